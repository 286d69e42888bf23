"""Metadata documents in a store: the only module but `engine` that calls one.

Locks. Changing a document is read-modify-write, so it happens under a lock that belongs to the document in the store, not to a
handle. Three kinds, taken in this order only:

1. the node's lock (`node_lock` without a document): creating, deleting, `append` and `resize`; while it is held, those of its
   ancestors, one at a time, to make the groups that are missing;
2. chunk locks (see `engine`), one at a time, while a node's lock is held or none is;
3. documents' locks: a node's own document first, then, while that is held, those of its ancestors, from the nearest up, each
   given back before the next is taken. At one node the order is `.zattrs`, `zarr.json`, `.zmetadata`.

There is no cycle to deadlock in. Nobody who holds a document's lock asks for one of the first two kinds. Among documents' locks
every thread goes from a node to its ancestors and never down: with them ordered by depth, deepest first, and at one node as
said, a thread only ever waits for one that comes after all it holds; the same goes for nodes' locks among themselves. This
includes the inline consolidated metadata of format 3, which lie in the `zarr.json` of a group: the lock of that document is the
group's own one when its attributes change and an ancestor's one when a node below changes, and has the same place in the order
both times. Gathering (`consolidate`) reads the documents below without their locks: a read is one step, and a change that it
misses is not through yet, for it still has to come up for the lock that gathering holds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias
from weakref import WeakValueDictionary

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Json, Key
from ndzarr.errors import ArgumentError, MetadataError, NodeNotFoundError
from ndzarr.formats import consolidated, v2, v3
from ndzarr.formats.consolidated import Consolidated, Documents, relative_path
from ndzarr.formats.document import dump_attributes, parse, too_deep
from ndzarr.keys import join
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.stores.base import Store

Meta: TypeAlias = ArrayMeta | GroupMeta
Change: TypeAlias = Callable[[dict[str, Json]], object]


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
    """The process-wide lock of a node, or with `document` that of one of its documents.

    A node's own lock goes by the key of its `.zarray`, whichever format it has or will have: that document has no lock besides.
    """
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


def _nowhere(store: Store, path: str) -> NodeNotFoundError:
    names = ", ".join(repr(join(path, name)) for name in (v3.NODE, v2.ARRAY, v2.GROUP))
    return NodeNotFoundError(
        f"no array or group at {path or '/'!r} in {store.url}: found none of {names}", store=store.url, path=path
    )


# ---- the two formats --------------------------------------------------------------------------------


class _Format(Protocol):
    """How the nodes of one format lie in a store."""

    def find(self, store: Store, path: str) -> Meta | None: ...
    def kind(self, store: Store, path: str) -> str | None: ...
    def write(self, store: Store, path: str, meta: Meta) -> None: ...
    def write_shape(self, store: Store, path: str, meta: ArrayMeta) -> None: ...
    def attributes(self, store: Store, path: str) -> dict[str, Json]: ...
    def update(self, store: Store, path: str, change: Change) -> dict[str, Json]: ...
    def consolidated(self, store: Store, path: str, meta: GroupMeta) -> Consolidated | None: ...
    def consolidate(self, store: Store, path: str) -> int: ...


class _Format2:
    """`.zarray` or `.zgroup`, and `.zattrs` beside it."""

    def find(self, store: Store, path: str) -> Meta | None:
        key = join(path, v2.ARRAY)
        data = _document(store, key)
        if data is not None:
            return v2.read_array(data, _document(store, join(path, v2.ATTRIBUTES)), key)
        key = join(path, v2.GROUP)
        data = _document(store, key)
        return None if data is None else v2.read_group(data, _document(store, join(path, v2.ATTRIBUTES)), key)

    def kind(self, store: Store, path: str) -> str | None:
        if store.exists(join(path, v2.ARRAY)):
            return "array"
        return "group" if store.exists(join(path, v2.GROUP)) else None

    def write(self, store: Store, path: str, meta: Meta) -> None:
        # Attributes first, so that no reader sees the node without them.
        documents = v2.node_to_json(meta)
        for name, document in documents.items():
            store.set(join(path, name), v2.write(name, document))
        _changed(store, path, documents)

    def write_shape(self, store: Store, path: str, meta: ArrayMeta) -> None:
        document = v2.array_to_json(meta)
        store.set(join(path, v2.ARRAY), v2.write(v2.ARRAY, document))
        _changed(store, path, {v2.ARRAY: document})

    def attributes(self, store: Store, path: str) -> dict[str, Json]:
        return v2.read_attributes(_document(store, join(path, v2.ATTRIBUTES)), join(path, v2.ARRAY))

    def update(self, store: Store, path: str, change: Change) -> dict[str, Json]:
        with node_lock(store, path, v2.ATTRIBUTES):
            attributes = self.attributes(store, path)
            change(attributes)
            store.set(join(path, v2.ATTRIBUTES), v2.write_attributes(attributes))
            _changed(store, path, {v2.ATTRIBUTES: attributes})
        return attributes

    def consolidated(self, store: Store, path: str, meta: GroupMeta) -> Consolidated | None:
        key = join(path, v2.CONSOLIDATED)
        data = _document(store, key)
        return None if data is None else consolidated.of_v2(consolidated.read(data, key), path, f"{key} in {store.url}")

    def consolidate(self, store: Store, path: str) -> int:
        prefix = path + "/" if path else ""
        documents = {}
        with node_lock(store, path, v2.CONSOLIDATED):
            for key in _keys(store, path, (v2.ARRAY, v2.GROUP), (v3.NODE,)):
                if key.rpartition("/")[2] in (v2.ARRAY, v2.GROUP, v2.ATTRIBUTES):
                    data = _document(store, key)
                    if data is not None:
                        documents[key[len(prefix) :]] = parse(data, key)
            written = _dumped(consolidated.v2_document(documents), dump_attributes)
            if written is None:
                raise _too_much(store, path)
            store.set(prefix + v2.CONSOLIDATED, written)
        return len(documents)


class _Format3:
    """`zarr.json`, with everything in it."""

    def _read(self, store: Store, path: str) -> dict[str, Json] | None:
        key = join(path, v3.NODE)
        data = _document(store, key)
        return None if data is None else parse(data, key)

    def _read_own(self, store: Store, path: str) -> dict[str, Json]:
        document = self._read(store, path)
        if document is None:
            raise _nowhere(store, path)
        return document

    def find(self, store: Store, path: str) -> Meta | None:
        document = self._read(store, path)
        return None if document is None else v3.node_from_json(document, join(path, v3.NODE))

    def kind(self, store: Store, path: str) -> str | None:
        try:
            document = self._read(store, path)
            return None if document is None else v3.node_type(document)
        except MetadataError:
            return "damaged"

    def write(self, store: Store, path: str, meta: Meta) -> None:
        with node_lock(store, path, v3.NODE):
            self._set(store, path, v3.node_to_json(meta))

    def _set(self, store: Store, path: str, document: Mapping[str, Json]) -> None:
        store.set(join(path, v3.NODE), v3.write(document))
        _changed(store, path, {v3.NODE: document})

    def write_shape(self, store: Store, path: str, meta: ArrayMeta) -> None:
        with node_lock(store, path, v3.NODE):
            self._set(store, path, v3.with_shape(self._read_own(store, path), meta))

    def attributes(self, store: Store, path: str) -> dict[str, Json]:
        return v3.attributes_of(self._read_own(store, path))

    def update(self, store: Store, path: str, change: Change) -> dict[str, Json]:
        with node_lock(store, path, v3.NODE):
            document = self._read_own(store, path)
            attributes = dict(v3.attributes_of(document))
            change(attributes)
            self._set(store, path, v3.with_attributes(document, attributes))
        return attributes

    def consolidated(self, store: Store, path: str, meta: GroupMeta) -> Consolidated | None:
        key = join(path, v3.NODE)
        nodes = consolidated.inline(meta.extra, key)
        return None if nodes is None else consolidated.of_v3(nodes, path, f"{key} in {store.url}")

    def consolidate(self, store: Store, path: str) -> int:
        own = join(path, v3.NODE)
        nodes = {}
        with node_lock(store, path, v3.NODE):
            document = self._read_own(store, path)
            for key in _keys(store, path, (v3.NODE,), (v2.ARRAY, v2.GROUP)):
                above, _, name = key.rpartition("/")
                if name == v3.NODE and key != own:
                    data = _document(store, key)
                    if data is not None:
                        nodes[relative_path(above, path)] = parse(data, key)
            written = _dumped(consolidated.with_inline(document, nodes), v3.write)
            if written is None:
                raise _too_much(store, path)
            store.set(own, written)
        return len(nodes)


#: By version, the newest first: where a node has the documents of both formats, that one counts.
_FORMATS: dict[int, _Format] = {3: _Format3(), 2: _Format2()}
_DOCUMENTS = (v3.NODE, v2.ARRAY, v2.GROUP, v2.ATTRIBUTES, v2.CONSOLIDATED)


def _order(zarr_format: int | None) -> list[_Format]:
    """The formats in the order in which to look for a node that is likely to be of the one given."""
    hinted = _FORMATS.get(zarr_format or 0)
    return sorted(_FORMATS.values(), key=lambda form: form is not hinted)


# ---- read --------------------------------------------------------------------------------


def find(store: Store, path: str, zarr_format: int | None = None) -> Meta | None:
    """The node's metadata, None when there is no node.

    `zarr_format`: which format to look for first, the parent group's say; it changes nothing else. One request for a node of
    format 3; for one of format 2, besides those that look for the other, two for an array and three for a group.
    """
    try:
        for form in _order(zarr_format):
            meta = form.find(store, path)
            if meta is not None:
                return meta
    except MetadataError as error:
        raise _in_store(store, path, error) from error
    return None


def read(store: Store, path: str, zarr_format: int | None = None) -> Meta:
    """As `find`, but NodeNotFoundError when there is no node."""
    meta = find(store, path, zarr_format)
    if meta is None:
        raise _nowhere(store, path)
    return meta


def kind(store: Store, path: str, zarr_format: int | None = None) -> str | None:
    """ "array", "group", "damaged" for a `zarr.json` that says neither, or None; nothing else of the node is understood."""
    for form in _order(zarr_format):
        found = form.kind(store, path)
        if found is not None:
            return found
    return None


def children(store: Store, path: str, zarr_format: int | None = None) -> Iterator[str]:
    """The names of the nodes directly under a group, sorted, from one listing of its directory and a look at each.

    Keys in a store are never interpreted: a name that no path may have is passed over.
    """
    prefix = path + "/" if path else ""
    for name in sorted(store.list_dir(prefix)):
        if name.endswith("/") and kind(store, prefix + name[:-1], zarr_format):
            yield name[:-1]


def ancestors(path: str) -> Iterator[str]:
    """The paths above `path`, nearest first, the root "" last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def format_above(store: Store, path: str) -> int | None:
    """The format of the nearest node above `path`, None where there is none."""
    for above in ancestors(path):
        for version, form in _FORMATS.items():
            if form.kind(store, above) is not None:
                return version
    return None


# ---- write --------------------------------------------------------------------------------


def write(store: Store, path: str, meta: Meta) -> None:
    """Write the documents of a new node, in its own format; the caller has seen to it that there is room."""
    _FORMATS[meta.zarr_format].write(store, path, meta)


def write_shape(store: Store, path: str, meta: ArrayMeta) -> None:
    """Write the shape of an array, and its chunk grid if that had to grow, into its document.

    In format 3 all else in the document, attributes too, stays as it is stored at this moment.
    """
    try:
        _FORMATS[meta.zarr_format].write_shape(store, path, meta)
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def update_attributes(store: Store, path: str, change: Change, zarr_format: int | None = None) -> dict[str, Json]:
    """Read the node's attributes, let `change` change them, write them back; one step among this process's threads.

    All else in the document stays as found. `zarr_format`: the node's, looked up where it is not known.
    """
    try:
        return _form(store, path, zarr_format).update(store, path, change)
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def read_attributes(store: Store, path: str, zarr_format: int | None = None) -> dict[str, Json]:
    """The node's attributes as they are stored now."""
    try:
        return _form(store, path, zarr_format).attributes(store, path)
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def _form(store: Store, path: str, zarr_format: int | None) -> _Format:
    known = _FORMATS.get(zarr_format or 0)
    if known is not None:
        return known
    for form in _FORMATS.values():
        if form.kind(store, path) is not None:
            return form
    raise _nowhere(store, path)


def require_ancestors(store: Store, path: str, zarr_format: int) -> str | None:
    """Make every path above `path` a group, of that format where it is new.

    The path of one that is an array, in which nothing can be made, or None. MetadataError where one is damaged.
    """
    missing = []
    for above in ancestors(path):
        found = kind(store, above, zarr_format)
        if found == "array":
            return above
        if found == "damaged":
            read(store, above)  # raises
        if found == "group":
            break  # whoever made it made its ancestors
        missing.append(above)
    for above in reversed(missing):
        # Somebody may be making the same one, with attributes, or another node in it.
        with node_lock(store, above):
            if kind(store, above, zarr_format) is None:
                write(store, above, GroupMeta(zarr_format=zarr_format))
    return None


def delete(store: Store, path: str) -> None:
    """Remove a node with all that lies under it, its documents first: a node half deleted is no node."""
    with node_lock(store, path):
        with node_lock(store, path, v3.NODE):  # a change of attributes would write the document again
            for document in _DOCUMENTS:
                store.delete(join(path, document))
        store.delete_prefix(path + "/" if path else "")
        _changed(store, path, None)


def delete_remains(store: Store, path: str) -> None:
    """Remove what a deletion that was cut short may have left at `path`: documents and chunks, and nothing else.

    For `overwrite` where no node is found; a directory may hold files that are none of ours, and nodes further down.
    """
    prefix = path + "/" if path else ""
    names = [key[len(prefix) :] for key in store.list(prefix)]
    inner = {above for above, _, name in (name.rpartition("/") for name in names) if above and name in _DOCUMENTS}
    for name in names:
        if any(above in inner for above in ancestors(name)):
            continue
        if name in _DOCUMENTS or _is_chunk(name):
            store.delete(prefix + name)


def _is_chunk(name: str) -> bool:
    """Whether a chunk may have this name by any encoding: "0.1", "0/1", "c", "c.0.1", "c/0/1"."""
    parts = name.replace("/", ".").split(".")
    return all(part.isdecimal() for part in (parts[1:] if parts[0] == "c" else parts))


# ---- consolidated metadata --------------------------------------------------------------------------------


def consolidate(store: Store, path: str) -> int:
    """Write the consolidated metadata of the group at `path` from the documents under it; how many documents they hold.

    Under the lock that changes of them take, so that a change made meanwhile is either in what is read or made afterwards.
    ArgumentError where nodes of both formats lie under the group: neither format has a place for the other's.
    """
    try:
        return _form(store, path, None).consolidate(store, path)
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def _keys(store: Store, path: str, own: Sequence[str], other: Sequence[str]) -> list[Key]:
    """All keys under a group, sorted; ArgumentError for a node that has documents of the other format only."""
    keys = sorted(store.list(path + "/" if path else ""))
    stray = consolidated.alone(keys, own, other)
    if stray is not None:
        raise ArgumentError(
            f"cannot consolidate {path or '/'!r} in {store.url}: {stray!r} is of another format than the group",
            path=path,
            key=stray,
        )
    return keys


def read_consolidated(store: Store, path: str, meta: GroupMeta) -> Consolidated | None:
    """The group's consolidated metadata, None when it has none. One request in format 2, none in format 3."""
    try:
        return _FORMATS[meta.zarr_format].consolidated(store, path, meta)
    except MetadataError as error:
        raise _in_store(store, path, error) from error


def _dumped(document: Mapping[str, Json], dump: Callable[[Mapping[str, Json]], bytes]) -> bytes | None:
    """The bytes of consolidated metadata; None where they would be too many, or nest too deep, to be read again."""
    data = None if too_deep(document) else dump(document)
    return data if data is not None and len(data) <= config.current().max_metadata else None


def _too_much(store: Store, path: str) -> ArgumentError:
    return ArgumentError(
        f"cannot consolidate {path or '/'!r} in {store.url}: the document would nest deeper, or be larger, than what can be "
        "read again; options(max_metadata=) allows more bytes",
        store=store.url,
        path=path,
    )


def _changed(store: Store, path: str, change: Documents | None) -> None:
    """Keep all consolidated metadata at or above the node true (promise P19); those that are not there stay away.

    `change`: the node's documents that were written; None where it was deleted.
    """
    # A group's own `zarr.json` says nothing of itself a second time, its `.zmetadata` does.
    if change is not None and v3.NODE not in change:
        _edit_v2(store, path, "", change)
    for above in ancestors(path):
        relative = relative_path(path, above)
        if not _edit_v3(store, above, relative, change):
            _edit_v2(store, above, relative, change)


def _edit_v2(store: Store, path: str, relative: str, change: Documents | None) -> None:
    key = join(path, v2.CONSOLIDATED)
    with node_lock(store, path, v2.CONSOLIDATED):
        if not store.exists(key):
            return
        try:
            data = _document(store, key)
            documents = consolidated.changed_v2({} if data is None else consolidated.read(data, key), relative, change)
        except MetadataError:
            documents = None
        written = None if documents is None else _dumped(consolidated.v2_document(documents), dump_attributes)
        if written is None:
            # Nobody can go by a document that cannot be read or be true; without it every reader looks at the nodes themselves.
            store.delete(key)
        else:
            store.set(key, written)


def _edit_v3(store: Store, path: str, relative: str, change: Documents | None) -> bool:
    """Whether there is a `zarr.json`, which then has been seen to."""
    key = join(path, v3.NODE)
    with node_lock(store, path, v3.NODE):
        try:
            data = _document(store, key)
            if data is None:
                return False
            # Most groups have none, and need not be parsed to know it.
            document = parse(data, key) if v3.CONSOLIDATED.encode() in bytes(data) else {}
        except MetadataError:
            return True  # a group that nobody can open misleads nobody
        if document.get(v3.CONSOLIDATED) is not None:
            written = _dumped(consolidated.changed_v3(document, relative, change), v3.write)
            store.set(key, v3.write(consolidated.without_inline(document)) if written is None else written)
    return True
