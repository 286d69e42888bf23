"""Writes through handles that came from another process, where others like them may write at the same time.

Of two processes that change parts of one stored object one loses its part, unless the store keeps them apart, by locks or by
conditions. Such a handle says so instead of losing anything. What it overwrites whole it may write anywhere: that nobody else
writes that object is then the caller's own plan, as of `ndzarr.plan_write`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ndzarr import config
from ndzarr.errors import WriteHazardError
from ndzarr.layout import Layout
from ndzarr.plan import plan
from ndzarr.process import is_away
from ndzarr.selection import Selection
from ndzarr.stores.base import Store


def check_seen(store: Store, path: str, home: bytes) -> None:
    """Raise WriteHazardError where nobody else would see what a handle with this home writes: elements, shape, attributes."""
    if store.by_value and is_away(home):
        raise WriteHazardError(
            f"cannot write to {path or '/'!r} in {store.url} in this process: the handle came here from another one, and with "
            "it a copy of all that is stored, so that nobody else would see what is written here; keep the array in a "
            "directory, a database or an object store, or write from threads (dask: scheduler='threads'); to change this very "
            "copy, open it anew: ndzarr.open(z.store, 'r+')",
            store=store.url,
            path=path,
        )


def guarded(
    store: Store, path: str, layout: Layout, selection: Selection, home: bytes, *, partly: bool = False
) -> AbstractContextManager[Any]:
    """What to hold while `selection` is written through a handle of another process.

    home: that of the handle. partly: what is written is no more than a field of each element, or less than the selection.
    Raises WriteHazardError where that could lose what another process writes.
    """
    check_seen(store, path, home)
    if store.by_value:
        return nullcontext()  # a child that was forked knows that its memory is its own
    name = f"{path or '/'!r} in {store.url}"
    part = next((part for part in plan(selection, layout.objects) if partly or not part.whole), None)
    if part is None:
        return nullcontext()
    options = config.current()
    if store.exclusive and options.exclusive is not False:
        # Where the file system turns out to have no locks, that is an error and no reason to do without.
        return config.options(exclusive=True)
    if store.conditional and not store.exclusive:
        return nullcontext()
    what = "chunk" if layout.objects is layout.grid else "shard"
    lengths = layout.objects.size(part.coords)
    why = "options(exclusive=False) leaves its locks out" if store.exclusive else "the store cannot keep processes apart"
    raise WriteHazardError(
        f"cannot write to part of {what} {part.coords} of {name}: the handle came here from another process, which may write "
        f"to the same {what} at the same time, and one of two such writes would be lost, since {why}; write whole {what}s of "
        f"{lengths} (ndzarr.from_dask does, ndzarr.plan_write says which blocks go together), or to a local directory or a "
        "database, whose locks keep processes apart; if nobody else writes, open the array in this process",
        store=store.url,
        path=path,
        coords=part.coords,
        expected=lengths,
    )
