"""Documents read from a store, one or many at a time, within the limit set; errors that name their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import MetadataError, NodeExistsError, NodeNotFoundError
from ndzarr.formats import v2, v3
from ndzarr.keys import join
from ndzarr.stores.attempts import attempts
from ndzarr.stores.base import Store

#: So many documents are asked for at once: memory stays bounded, and the first are there soon.
RUN = 1000
#: No document that anybody met was larger; of one that is, the size is asked before the rest is read.
_FIRST = 16 << 20


def read_document(store: Store, key: Key) -> Buffer | None:
    """A document's bytes, None when there is none; MetadataError when it is larger than any real one."""
    limit = config.current().max_metadata
    most = min(limit + 1, _FIRST)
    return _rest(store, key, store.get(key, ByteRange(0, most)), most, limit)


def replace_document(store: Store, key: Key, make: Callable[[Buffer | None], Buffer]) -> None:
    """Put what `make` makes of a document in its place; `make` gets None where there is none, and may raise.

    Where other processes are kept out by conditions alone, it is asked again whenever one of them was first (promise P4).
    """
    if store.exclusive or not store.conditional:
        store.set(key, make(read_document(store, key)))
        return
    limit = config.current().max_metadata
    for _ in attempts(store, key):
        found = store.get_tagged(key, ByteRange(0, limit + 1))
        data, tag = (None, None) if found is None else found
        if store.set_if(key, make(_within(store, key, data, limit)), tag=tag):
            return


def read_documents(store: Store, keys: Iterable[Key]) -> Iterator[tuple[Key, Buffer | MetadataError | None]]:
    """(key, its bytes or None) in order, a run of requests at a time; for one that is too large the MetadataError itself."""
    limit = config.current().max_metadata
    left = iter(keys)
    while run := list(islice(left, RUN)):
        most = min(limit + 1, _FIRST)
        for key, data in zip(run, store.get_many([(key, ByteRange(0, most)) for key in run]), strict=True):
            try:
                yield key, _rest(store, key, data, most, limit)
            except MetadataError as error:
                yield key, error


def _rest(store: Store, key: Key, data: Buffer | None, most: int, limit: int) -> Buffer | None:
    """The whole document of which the first `most` bytes are in `data`."""
    if data is None or len(data) < most or most > limit:
        return _within(store, key, data, limit)
    size = store.size(key)
    if size is not None and size > limit:
        raise _too_large(store, key, limit)
    return _within(store, key, store.get(key, ByteRange(0, limit + 1)), limit)


def _within(store: Store, key: Key, data: Buffer | None, limit: int) -> Buffer | None:
    if data is not None and len(data) > limit:
        raise _too_large(store, key, limit)
    return data


def _too_large(store: Store, key: Key, limit: int) -> MetadataError:
    return MetadataError(
        f"{key!r} in {store.url} has more than {limit} bytes; if it is a real document, raise options(max_metadata=)",
        store=store.url,
        key=key,
        expected=limit,
    )


def in_store(store: Store, path: str, error: MetadataError) -> MetadataError:
    """The error with the node's place in it."""
    if error.store is not None:
        return error
    return MetadataError(
        f"cannot open {path or '/'!r} in {store.url}: {error}",
        store=store.url,
        path=path,
        key=error.key,
        codec=error.codec,
        field=error.field,
        found=error.found,
        expected=error.expected,
    )


def nowhere(store: Store, path: str) -> NodeNotFoundError:
    """The error for a path at which no node is."""
    names = ", ".join(repr(join(path, name)) for name in (v3.NODE, v2.ARRAY, v2.GROUP))
    return NodeNotFoundError(
        f"no array or group at {path or '/'!r} in {store.url}: found none of {names}", store=store.url, path=path
    )


def check_spelling(store: Store, path: str) -> None:
    """Raise NodeExistsError where `path`, or a node above it, would be one that is there under a name spelt otherwise (P15)."""
    found = store.other_spelling(path)
    if found is not None:
        asked, there = found
        raise NodeExistsError(
            f"cannot have {path or '/'!r} in {store.url}: {there!r} is there, and {asked!r} is the same name on this "
            "file system; choose another",
            store=store.url,
            path=path,
            found=there,
        )


def ancestors(path: str) -> Iterator[str]:
    """The paths above `path`, nearest first, the root "" last."""
    while path:
        path = path.rpartition("/")[0]
        yield path
