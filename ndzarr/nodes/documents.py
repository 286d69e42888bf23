"""A node's documents in either format: found, written, changed and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from ndzarr._typing import Buffer, Json, Key
from ndzarr.errors import MetadataError
from ndzarr.formats import consolidated, v2, v3
from ndzarr.formats.consolidated import Consolidated, relative_path
from ndzarr.formats.document import dump_attributes, parse
from ndzarr.formats.seen import Seen
from ndzarr.keys import STATISTICS, join
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.nodes.consolidation import changed, dumped, gather, too_much
from ndzarr.nodes.locks import node_lock
from ndzarr.nodes.reading import ancestors, in_store, nowhere, read_document, read_documents, replace_document
from ndzarr.nodes.worklog import check_finished
from ndzarr.progress import Progress
from ndzarr.stores.base import Store

Meta: TypeAlias = ArrayMeta | GroupMeta
#: A node, and for a group its consolidated metadata where it has any.
Opened: TypeAlias = tuple[Meta, Consolidated | None]
Change: TypeAlias = Callable[[dict[str, Json]], object]

#: Of all stores: the documents are equal, whoever holds them.
_SEEN = Seen(256)

# ---- the two formats --------------------------------------------------------------------------------


class _Format(Protocol):
    """How the nodes of one format lie in a store."""

    @property
    def names(self) -> tuple[str, ...]: ...  # of the documents that a node may have
    def parse(self, path: str, found: Mapping[str, Buffer]) -> Meta | None: ...
    def opened(self, store: Store, path: str, group: bool) -> Opened | None: ...
    def find(self, store: Store, path: str) -> Meta | None: ...
    def kind(self, store: Store, path: str) -> str | None: ...
    def kind_of(self, path: str, found: Mapping[Key, Buffer | MetadataError | None]) -> str | None: ...
    def write(self, store: Store, path: str, meta: Meta) -> None: ...
    def write_shape(self, store: Store, path: str, meta: ArrayMeta) -> None: ...
    def attributes(self, store: Store, path: str) -> dict[str, Json]: ...
    def update(self, store: Store, path: str, change: Change) -> dict[str, Json]: ...
    def consolidated(self, store: Store, path: str, meta: GroupMeta) -> Consolidated | None: ...
    def consolidate(self, store: Store, path: str, progress: Progress) -> int: ...


class _Format2:
    """`.zarray` or `.zgroup`, and `.zattrs` beside it."""

    names: tuple[str, ...] = (v2.ARRAY, v2.GROUP, v2.ATTRIBUTES)

    def parse(self, path: str, found: Mapping[str, Buffer]) -> Meta | None:
        attributes = found.get(v2.ATTRIBUTES)
        if v2.ARRAY in found:
            name = join(path, v2.ARRAY)
            return _SEEN.array_v2(parse(found[v2.ARRAY], name), v2.read_attributes(attributes, name), name)
        return v2.read_group(found[v2.GROUP], attributes, join(path, v2.GROUP)) if v2.GROUP in found else None

    def find(self, store: Store, path: str) -> Meta | None:
        for name in (v2.ARRAY, v2.GROUP):
            data = read_document(store, join(path, name))
            if data is not None:
                return self._with_attributes(store, path, name, data)
        return None

    def _with_attributes(self, store: Store, path: str, name: str, data: Buffer) -> Meta | None:
        attributes = read_document(store, join(path, v2.ATTRIBUTES))
        return self.parse(path, {name: data} if attributes is None else {name: data, v2.ATTRIBUTES: attributes})

    def opened(self, store: Store, path: str, group: bool) -> Opened | None:
        # What is likely comes first. Consolidated metadata say all of the group itself, too.
        order = (v2.CONSOLIDATED, v2.ARRAY, v2.GROUP) if group else (v2.ARRAY, v2.CONSOLIDATED, v2.GROUP)
        members = None
        for name in order:
            key = join(path, name)
            data = read_document(store, key)
            if data is None:
                continue
            if name != v2.CONSOLIDATED:
                meta = self._with_attributes(store, path, name, data)
                return None if meta is None else (meta, members if isinstance(meta, GroupMeta) else None)
            members = consolidated.of_v2(consolidated.read(data, key), path, f"{key} in {store.url}")
            meta = members.find(path)
            if isinstance(meta, GroupMeta):
                return meta, members
        return None

    def kind(self, store: Store, path: str) -> str | None:
        if store.exists(join(path, v2.ARRAY)):
            return "array"
        return "group" if store.exists(join(path, v2.GROUP)) else None

    def kind_of(self, path: str, found: Mapping[Key, Buffer | MetadataError | None]) -> str | None:
        if found[join(path, v2.ARRAY)] is not None:
            return "array"
        return None if found[join(path, v2.GROUP)] is None else "group"

    def write(self, store: Store, path: str, meta: Meta) -> None:
        # Attributes first, so that no reader sees the node without them.
        documents = v2.node_to_json(meta)
        for name, document in documents.items():
            store.set(join(path, name), v2.write(name, document))
        changed(store, path, documents)

    def write_shape(self, store: Store, path: str, meta: ArrayMeta) -> None:
        document = v2.array_to_json(meta)
        store.set(join(path, v2.ARRAY), v2.write(v2.ARRAY, document))
        changed(store, path, {v2.ARRAY: document})

    def attributes(self, store: Store, path: str) -> dict[str, Json]:
        return v2.read_attributes(read_document(store, join(path, v2.ATTRIBUTES)), join(path, v2.ARRAY))

    def update(self, store: Store, path: str, change: Change) -> dict[str, Json]:
        attributes: dict[str, Json] = {}

        def make(data: Buffer | None) -> Buffer:
            nonlocal attributes
            attributes = v2.read_attributes(data, join(path, v2.ARRAY))
            change(attributes)
            return v2.write_attributes(attributes)

        with node_lock(store, path, v2.ATTRIBUTES):
            replace_document(store, join(path, v2.ATTRIBUTES), make)
            changed(store, path, {v2.ATTRIBUTES: attributes})
        return attributes

    def consolidated(self, store: Store, path: str, meta: GroupMeta) -> Consolidated | None:
        key = join(path, v2.CONSOLIDATED)
        data = read_document(store, key)
        return None if data is None else consolidated.of_v2(consolidated.read(data, key), path, f"{key} in {store.url}")

    def consolidate(self, store: Store, path: str, progress: Progress) -> int:
        prefix = path + "/" if path else ""
        with node_lock(store, path, v2.CONSOLIDATED):
            found = gather(store, path, (v2.ARRAY, v2.GROUP, v2.ATTRIBUTES), (v3.NODE,), progress)
            documents = {key[len(prefix) :]: document for key, document in found}
            written = dumped(consolidated.v2_document(documents), dump_attributes)
            if written is None:
                raise too_much(store, path)
            store.set(prefix + v2.CONSOLIDATED, written)
        return len(documents)


class _Format3:
    """`zarr.json`, with everything in it."""

    names: tuple[str, ...] = (v3.NODE,)

    def parse(self, path: str, found: Mapping[str, Buffer]) -> Meta | None:
        name = join(path, v3.NODE)
        return _SEEN.node_v3(parse(found[v3.NODE], name), name) if v3.NODE in found else None

    def opened(self, store: Store, path: str, group: bool) -> Opened | None:
        meta = self.find(store, path)
        return None if meta is None else (meta, self.consolidated(store, path, meta) if isinstance(meta, GroupMeta) else None)

    def _read(self, store: Store, path: str) -> dict[str, Json] | None:
        key = join(path, v3.NODE)
        data = read_document(store, key)
        return None if data is None else parse(data, key)

    def _replace(self, store: Store, path: str, make: Callable[[dict[str, Json]], Mapping[str, Json]]) -> None:
        new: Mapping[str, Json] = {}

        def written(data: Buffer | None) -> Buffer:
            nonlocal new
            if data is None:
                raise nowhere(store, path)
            new = make(parse(data, join(path, v3.NODE)))
            return v3.write(new)

        with node_lock(store, path, v3.NODE):
            replace_document(store, join(path, v3.NODE), written)
            changed(store, path, {v3.NODE: new})

    def _read_own(self, store: Store, path: str) -> dict[str, Json]:
        document = self._read(store, path)
        if document is None:
            raise nowhere(store, path)
        return document

    def find(self, store: Store, path: str) -> Meta | None:
        document = self._read(store, path)
        return None if document is None else _SEEN.node_v3(document, join(path, v3.NODE))

    def kind(self, store: Store, path: str) -> str | None:
        key = join(path, v3.NODE)
        try:
            return self.kind_of(path, {key: read_document(store, key)})
        except MetadataError:
            return "damaged"

    def kind_of(self, path: str, found: Mapping[Key, Buffer | MetadataError | None]) -> str | None:
        key = join(path, v3.NODE)
        data = found[key]
        if data is None:
            return None
        try:
            return "damaged" if isinstance(data, MetadataError) else v3.node_type(parse(data, key))
        except MetadataError:
            return "damaged"

    def write(self, store: Store, path: str, meta: Meta) -> None:
        document = v3.node_to_json(meta)
        with node_lock(store, path, v3.NODE):
            store.set(join(path, v3.NODE), v3.write(document))
            changed(store, path, {v3.NODE: document})

    def write_shape(self, store: Store, path: str, meta: ArrayMeta) -> None:
        self._replace(store, path, lambda document: v3.with_shape(document, meta))

    def attributes(self, store: Store, path: str) -> dict[str, Json]:
        return v3.attributes_of(self._read_own(store, path))

    def update(self, store: Store, path: str, change: Change) -> dict[str, Json]:
        attributes: dict[str, Json] = {}

        def changed_attributes(document: dict[str, Json]) -> Mapping[str, Json]:
            nonlocal attributes
            attributes = dict(v3.attributes_of(document))
            change(attributes)
            return v3.with_attributes(document, attributes)

        self._replace(store, path, changed_attributes)
        return attributes

    def consolidated(self, store: Store, path: str, meta: GroupMeta) -> Consolidated | None:
        key = join(path, v3.NODE)
        nodes = consolidated.inline(meta.extra, key)
        return None if nodes is None else consolidated.of_v3(nodes, path, f"{key} in {store.url}")

    def consolidate(self, store: Store, path: str, progress: Progress) -> int:
        own = join(path, v3.NODE)
        with node_lock(store, path, v3.NODE):
            document = self._read_own(store, path)
            found = gather(store, path, (v3.NODE,), (v2.ARRAY, v2.GROUP), progress)
            nodes = {relative_path(key.rpartition("/")[0], path): inner for key, inner in found if key != own}
            written = dumped(consolidated.with_inline(document, nodes), v3.write)
            if written is None:
                raise too_much(store, path)
            store.set(own, written)
        return len(nodes)


#: By version, the newest first: where a node has the documents of both formats, that one counts.
_FORMATS: dict[int, _Format] = {3: _Format3(), 2: _Format2()}
#: In the order in which they are deleted: a group that lost what it says of others is a group still, but what it says may not
#: outlive it.
DOCUMENTS = (v2.CONSOLIDATED, v3.NODE, v2.ARRAY, v2.GROUP, v2.ATTRIBUTES)


def order_of(zarr_format: int | None = None) -> list[_Format]:
    """The formats in the order in which to look for a node that is likely to be of the one given."""
    hinted = _FORMATS.get(zarr_format or 0)
    return sorted(_FORMATS.values(), key=lambda form: form is not hinted)


# ---- read --------------------------------------------------------------------------------


def find(store: Store, path: str, zarr_format: int | None = None) -> Meta | None:
    """The node's metadata, None when there is no node.

    `zarr_format`: which format to look for first, the parent group's say; it changes nothing else. One request for a node of
    format 3; for one of format 2, besides those that look for the other, two for an array and three for a group.
    """
    if path:
        store.settle(path)
    try:
        for form in order_of(zarr_format):
            meta = form.find(store, path)
            if meta is not None:
                return meta
    except MetadataError as error:
        raise in_store(store, path, error) from error
    return None


def read(store: Store, path: str, zarr_format: int | None = None) -> Meta:
    """As `find`, but NodeNotFoundError when there is no node."""
    meta = find(store, path, zarr_format)
    if meta is None:
        raise nowhere(store, path)
    return meta


def find_consolidated(store: Store, path: str, *, group: bool = False) -> Opened | None:
    """As `find`, with the consolidated metadata of a group: one request in format 3, two in format 2 where there are any.

    group: whether a group is expected, so that an array takes a request more.
    """
    if path:
        store.settle(path)
    try:
        for form in order_of():
            found = form.opened(store, path, group)
            if found is not None:
                return found
    except MetadataError as error:
        raise in_store(store, path, error) from error
    return None


def kind(store: Store, path: str, zarr_format: int | None = None, *, likely: bool = True) -> str | None:
    """ "array", "group", "damaged" for a `zarr.json` that says neither, or None; nothing else of the node is understood.

    likely: whether a node is expected there. Where none is, a store that takes many requests together gets one, for all
    documents, and not one after the other.
    """
    if store.batched and not likely:
        documents = dict(read_documents(store, [join(path, name) for name in (v3.NODE, v2.ARRAY, v2.GROUP)]))
        kinds = [form.kind_of(path, documents) for form in order_of(zarr_format)]
        return next((kind for kind in kinds if kind is not None), None)
    for form in order_of(zarr_format):
        found = form.kind(store, path)
        if found is not None:
            return found
    return None


def format_at(store: Store, path: str) -> int | None:
    """The format of the node at `path`, None where there is none."""
    return next((version for version, form in _FORMATS.items() if form.kind(store, path) is not None), None)


def format_above(store: Store, path: str) -> int | None:
    """The format of the nearest node above `path`, None where there is none."""
    return next((found for above in ancestors(path) if (found := format_at(store, above)) is not None), None)


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
        raise in_store(store, path, error) from error


def update_attributes(store: Store, path: str, change: Change, zarr_format: int | None = None) -> dict[str, Json]:
    """Read the node's attributes, let `change` change them, write them back; one step among this process's threads.

    All else in the document stays as found. `zarr_format`: the node's, looked up where it is not known.
    """
    try:
        return _form(store, path, zarr_format).update(store, path, change)
    except MetadataError as error:
        raise in_store(store, path, error) from error


def read_attributes(store: Store, path: str, zarr_format: int | None = None) -> dict[str, Json]:
    """The node's attributes as they are stored now."""
    try:
        return _form(store, path, zarr_format).attributes(store, path)
    except MetadataError as error:
        raise in_store(store, path, error) from error


def _form(store: Store, path: str, zarr_format: int | None) -> _Format:
    known = _FORMATS.get(zarr_format or 0)
    if known is not None:
        return known
    for form in _FORMATS.values():
        if form.kind(store, path) is not None:
            return form
    raise nowhere(store, path)


def require_ancestors(store: Store, path: str, zarr_format: int) -> str | None:
    """Make every path above `path` a group, of that format where it is new.

    The path of one that is an array, in which nothing can be made, or None. MetadataError where one is damaged,
    NodeExistsError where one is not finished, and has values lying about.
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
    if missing:
        check_finished(store, missing)
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
            for document in DOCUMENTS:
                store.delete(join(path, document))
        store.delete_prefix(path + "/" if path else "")
        changed(store, path, None)


def delete_remains(store: Store, path: str) -> None:
    """Remove what a deletion that was cut short may have left at `path`: documents and chunks, and nothing else.

    For `overwrite` where no node is found; a directory may hold files that are none of ours, and nodes further down.
    """
    prefix = path + "/" if path else ""
    names = [key[len(prefix) :] for key in store.list(prefix)]
    inner = {above for above, _, name in (name.rpartition("/") for name in names) if above and name in DOCUMENTS}
    for name in names:
        if any(above in inner for above in ancestors(name)):
            continue
        if name in DOCUMENTS or name == STATISTICS or is_chunk(name):
            store.delete(prefix + name)


def is_chunk(name: str) -> bool:
    """Whether a chunk may have this name by any encoding: "0.1", "0/1", "c", "c.0.1", "c/0/1"."""
    parts = name.replace("/", ".").split(".")
    return all(part.isdecimal() for part in (parts[1:] if parts[0] == "c" else parts))


# ---- consolidated metadata --------------------------------------------------------------------------------


def consolidate(store: Store, path: str, progress: Progress = None) -> int:
    """Write the consolidated metadata of the group at `path` from the documents under it; how many documents they hold.

    Under the lock that changes of them take, so that a change made meanwhile is either in what is read or made afterwards.
    ArgumentError where nodes of both formats lie under the group: neither format has a place for the other's.
    """
    try:
        return _form(store, path, None).consolidate(store, path, progress)
    except MetadataError as error:
        raise in_store(store, path, error) from error


def read_consolidated(store: Store, path: str, meta: GroupMeta) -> Consolidated | None:
    """The group's consolidated metadata, None when it has none. One request in format 2, none in format 3."""
    try:
        return _FORMATS[meta.zarr_format].consolidated(store, path, meta)
    except MetadataError as error:
        raise in_store(store, path, error) from error
