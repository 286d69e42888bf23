"""Metadata documents in a store: the only module but `engine` that calls one.

Locks. Changing a document is read-modify-write, so it happens under `node_lock`, which belongs to the node in the store, not to
a handle. Node locks and the engine's chunk locks are different objects: a thread may take chunk locks while it holds a node
lock, never the other way round, and the lock of a `.zmetadata` document last of all, so there is no cycle to deadlock in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Json, Key
from ndzarr.errors import MetadataError, NodeNotFoundError
from ndzarr.formats import consolidated, v2
from ndzarr.formats.document import parse
from ndzarr.keys import join
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.stores.base import Store

Meta: TypeAlias = ArrayMeta | GroupMeta


class _NodeLock:
    """A re-entrant lock that a WeakValueDictionary can hold."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


_node_locks: WeakValueDictionary[Hashable, _NodeLock] = WeakValueDictionary()
_node_locks_lock = threading.Lock()


def node_lock(store: Store, path: str, document: str = v2.ARRAY) -> _NodeLock:
    """The process-wide lock of a node: of its documents and, for `append` and `resize`, of its shape."""
    identity = store.object_id(join(path, document))
    with _node_locks_lock:
        return _node_locks.setdefault(identity, _NodeLock())


def _forget_locks() -> None:
    # Locks that other threads of the parent held would stay locked in a child of fork.
    global _node_locks, _node_locks_lock
    _node_locks = WeakValueDictionary()
    _node_locks_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def _document(store: Store, key: Key) -> Buffer | None:
    """A document's bytes, None when there is none; MetadataError when it is larger than any real one."""
    limit = config.current().max_metadata
    data = store.get(key, ByteRange(0, limit + 1))
    if data is not None and len(data) > limit:
        raise MetadataError(
            f"{key!r} in {store.url} has more than {limit} bytes; if it is a real document, raise options(max_metadata=)",
            store=store.url,
            key=key,
            expected=limit,
        )
    return data


def _in_store(store: Store, path: str, error: MetadataError) -> MetadataError:
    return MetadataError(
        f"cannot open {path or '/'!r} in {store.url}: {error}",
        store=store.url,
        path=path,
        key=error.key,
        field=error.field,
        found=error.found,
        expected=error.expected,
    )


# ---- read --------------------------------------------------------------------------------


def find(store: Store, path: str) -> Meta | None:
    """The node's metadata, None when there is no node. Two requests for an array, three for a group."""
    key = join(path, v2.ARRAY)
    try:
        data = _document(store, key)
        if data is not None:
            return v2.read_array(data, _document(store, join(path, v2.ATTRIBUTES)), key)
        key = join(path, v2.GROUP)
        data = _document(store, key)
        if data is not None:
            return v2.read_group(data, _document(store, join(path, v2.ATTRIBUTES)), key)
    except MetadataError as error:
        raise _in_store(store, path, error) from error
    return None


def read(store: Store, path: str) -> Meta:
    """The node's metadata; NodeNotFoundError when there is no node."""
    meta = find(store, path)
    if meta is None:
        hint = ""
        if store.exists(join(path, "zarr.json")):
            hint = "; there is a 'zarr.json', but this version reads format 2 only"
        raise NodeNotFoundError(
            f"no array or group at {path or '/'!r} in {store.url}: found neither {join(path, v2.ARRAY)!r} nor "
            f"{join(path, v2.GROUP)!r}{hint}",
            store=store.url,
            path=path,
        )
    return meta


def kind(store: Store, path: str) -> str | None:
    """ "array", "group" or None, without reading what the node says."""
    if store.exists(join(path, v2.ARRAY)):
        return "array"
    return "group" if store.exists(join(path, v2.GROUP)) else None


def children(store: Store, path: str) -> Iterator[str]:
    """The names of the nodes directly under a group, sorted, from one listing of its directory and a look at each.

    Keys in a store are never interpreted: a name that no path may have is passed over.
    """
    prefix = path + "/" if path else ""
    for name in sorted(store.list_dir(prefix)):
        if name.endswith("/") and kind(store, prefix + name[:-1]):
            yield name[:-1]


# ---- write --------------------------------------------------------------------------------


def write_array(store: Store, path: str, meta: ArrayMeta, *, attributes: bool = True) -> None:
    """Write an array's documents: attributes first, so that no reader sees the array without them."""
    changes: dict[str, Mapping[str, Any]] = {v2.ARRAY: v2.array_to_json(meta)}
    if attributes and meta.attributes:
        store.set(join(path, v2.ATTRIBUTES), v2.write_attributes(meta.attributes))
        changes[v2.ATTRIBUTES] = meta.attributes
    store.set(join(path, v2.ARRAY), v2.write_array(meta))
    _changed(store, path, changes)


def write_group(store: Store, path: str, meta: GroupMeta) -> None:
    """Write a group's documents."""
    changes: dict[str, Mapping[str, Any]] = {v2.GROUP: {"zarr_format": 2, **meta.extra}}
    if meta.attributes:
        store.set(join(path, v2.ATTRIBUTES), v2.write_attributes(meta.attributes))
        changes[v2.ATTRIBUTES] = meta.attributes
    store.set(join(path, v2.GROUP), v2.write_group(meta))
    _changed(store, path, changes)


def update_attributes(store: Store, path: str, change: Callable[[dict[str, Json]], None]) -> dict[str, Json]:
    """Read the node's attributes, let `change` change them, write them back; one step among this process's threads."""
    key = join(path, v2.ATTRIBUTES)
    with node_lock(store, path, v2.ATTRIBUTES):
        attributes = read_attributes(store, path)
        change(attributes)
        store.set(key, v2.write_attributes(attributes))
        _changed(store, path, {v2.ATTRIBUTES: attributes})
    return attributes


def read_attributes(store: Store, path: str) -> dict[str, Json]:
    """The node's attributes as they are stored now."""
    try:
        return v2.read_attributes(_document(store, join(path, v2.ATTRIBUTES)), join(path, v2.ARRAY))
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def ancestors(path: str) -> Iterator[str]:
    """The paths above `path`, nearest first, the root "" last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def require_ancestors(store: Store, path: str) -> str | None:
    """Make every path above `path` a group; the path of one that is an array, in which nothing can be made, or None."""
    missing = []
    for above in ancestors(path):
        found = kind(store, above)
        if found == "array":
            return above
        if found == "group":
            break  # whoever made it made its ancestors
        missing.append(above)
    for above in reversed(missing):
        write_group(store, above, GroupMeta())
    return None


def delete(store: Store, path: str) -> None:
    """Remove a node with all that lies under it, its documents first: a node half deleted is no node."""
    for document in (v2.ARRAY, v2.GROUP, v2.ATTRIBUTES, v2.CONSOLIDATED):
        store.delete(join(path, document))
    store.delete_prefix(path + "/" if path else "")
    for above in ancestors(path):
        _edit_consolidated(store, above, partial(_drop, _relative(path, above)))


def delete_remains(store: Store, path: str) -> None:
    """Remove what a deletion that was cut short may have left at `path`: documents and chunks, and nothing else.

    For `overwrite` where no node is found; a directory may hold files that are none of ours.
    """
    prefix = path + "/" if path else ""
    documents = {v2.ATTRIBUTES, v2.CONSOLIDATED}
    for key in list(store.list(prefix)):
        name = key[len(prefix) :]
        if name in documents or all(part.isdecimal() for part in name.replace("/", ".").split(".")):
            store.delete(key)


# ---- consolidated metadata --------------------------------------------------------------------------------


def consolidate(store: Store, path: str) -> int:
    """Write `.zmetadata` for the group at `path` from the documents under it; how many documents it holds.

    Under the lock that changes of it take, so that a change made meanwhile is either in what is read or made afterwards.
    """
    prefix = path + "/" if path else ""
    documents = {}
    with node_lock(store, path, v2.CONSOLIDATED):
        for key in sorted(store.list(prefix)):
            if key.rpartition("/")[2] in (v2.ARRAY, v2.GROUP, v2.ATTRIBUTES):
                data = _document(store, key)
                if data is not None:
                    documents[key[len(prefix) :]] = parse(data, key)
        store.set(prefix + v2.CONSOLIDATED, consolidated.write(documents))
    return len(documents)


def read_consolidated(store: Store, path: str) -> dict[str, Json] | None:
    """The documents that the group's `.zmetadata` holds, by key relative to it; None when there is none."""
    key = join(path, v2.CONSOLIDATED)
    try:
        data = _document(store, key)
        return None if data is None else consolidated.read(data, key)
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def consolidated_meta(documents: Mapping[str, Json], path: str, name: str) -> Meta | None:
    """The metadata of the node at `path`, relative to the consolidated group, from its documents."""
    key = join(path, v2.ARRAY)
    attributes = documents.get(join(path, v2.ATTRIBUTES), {})
    if key in documents:
        return v2.array_from_json(documents[key], attributes, f"{name}[{key!r}]")
    key = join(path, v2.GROUP)
    if key in documents:
        return v2.group_from_json(documents[key], attributes, f"{name}[{key!r}]")
    return None


def consolidated_children(documents: Mapping[str, Json], path: str) -> list[str]:
    """The names of the nodes directly under a group of consolidated metadata, sorted."""
    prefix = path + "/" if path else ""
    names = set()
    for key in documents:
        if key.startswith(prefix):
            name, slash, document = key[len(prefix) :].partition("/")
            if slash and document in (v2.ARRAY, v2.GROUP):
                names.add(name)
    return sorted(names)


def _relative(path: str, above: str) -> str:
    return path[len(above) + 1 :] if above else path


def _changed(store: Store, path: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep every `.zmetadata` at or above the node true (promise P19); those that are not there stay away."""
    for above in (path, *ancestors(path)):
        relative = "" if path == above else _relative(path, above)
        _edit_consolidated(store, above, partial(_put, {join(relative, name): dict(c) for name, c in changes.items()}))


def _edit_consolidated(store: Store, path: str, edit: Callable[[dict[str, Json]], object]) -> None:
    key = join(path, v2.CONSOLIDATED)
    with node_lock(store, path, v2.CONSOLIDATED):
        if not store.exists(key):
            return
        try:
            data = _document(store, key)
            documents = {} if data is None else consolidated.read(data, key)
        except MetadataError:
            # Nobody can go by a document that cannot be read; without it every reader looks at the nodes themselves.
            store.delete(key)
            return
        if data is not None:
            edit(documents)
            store.set(key, consolidated.write(documents))


def _put(changes: dict[str, Json], documents: dict[str, Json]) -> None:
    documents.update(changes)


def _drop(path: str, documents: dict[str, Json]) -> None:
    for key in [k for k in documents if k == path or k.startswith(path + "/")]:
        del documents[key]
