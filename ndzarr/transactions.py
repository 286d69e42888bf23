"""`transaction`: several writes that others see together, or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ndzarr.errors import ArgumentError
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve, stores


@contextmanager
def transaction(target: Any) -> Iterator[None]:
    """Let all writes of the block be seen by others together, at its end, or never.

    target: a store, an array or a group in it, or what `open` takes. Every write of the calling context counts, through
    whichever handle on that store: chunks, attributes, new nodes, `resize`, `append`, `delete`. What runs in the block,
    ndzarr's own threads included, sees them at once. After an exception, or a crash at any moment, none of them has happened;
    handles that were changed in the block then know more than is stored, so open them again or call `refresh`.

    Other threads, and the threads of other libraries, are not part of it: their writes wait, or count for themselves. A
    transaction inside another on the same store is part of that; if it fails, so does the outer one.

    Local directories, zip archives, SQLite and PostgreSQL have them. Raises ArgumentError for another store, StoreError when
    the end cannot be recorded, or somebody else has kept for too long what is to be changed.

    >>> import ndzarr
    >>> store = ndzarr.SQLStore("sqlite:///:memory:")
    >>> z = ndzarr.create_array(store, shape=(4,), dtype="i4")
    >>> with ndzarr.transaction(store):
    ...     z[:] = [1, 2, 3, 4]
    ...     z.attrs["checked"] = True
    """
    found = getattr(target, "store", None)  # of an array or a group
    store = found if isinstance(found, Store) else resolve(target, "a")
    try:
        if not store.transactional:
            names = [name for name, info in stores().items() if info.transactional]
            raise ArgumentError(f"{store.url} has no transactions; stores that have them: {', '.join(names)}", store=store.url)
        with store.transaction():
            yield
    finally:
        if store is not target and store is not found:
            store.close()
