"""Consolidated metadata: the documents of a whole hierarchy in one, by either format.

Format 2 has a document `.zmetadata`, zarr-python's convention, in which missing `.zattrs` entries are normal. Format 3 has a
field `consolidated_metadata` in the group's own `zarr.json`
(https://zarr-specs.readthedocs.io/en/latest/v3/core/#additional-fields); a group inside carries an empty one, as zarr-python
writes it.

A node's documents are a mapping of their names to JSON: {".zarray": {...}, ".zattrs": {...}}, or {"zarr.json": {...}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from ndzarr._typing import Buffer, Json
from ndzarr.errors import MetadataError
from ndzarr.formats import v2, v3
from ndzarr.formats.document import dump_attributes, parse, wrong
from ndzarr.formats.seen import Seen
from ndzarr.keys import is_key, join
from ndzarr.metadata import ArrayMeta, GroupMeta

Documents: TypeAlias = Mapping[str, Json]

_INLINE = v3.CONSOLIDATED


class Consolidated:
    """The nodes below one group as its consolidated metadata have them; nothing here asks a store.

    Immutable. `base`: the group's path in the store; all paths given to the methods are paths in the store too. `name`: what
    messages call the document. Names that no node can have are passed over.
    """

    __slots__ = ("_children", "_name", "_nodes", "_seen", "base")

    def __init__(self, base: str, name: str, nodes: Mapping[str, Documents]) -> None:
        self.base = base
        self._name = name
        self._nodes = {path: documents for path, documents in nodes.items() if not path or is_key(path)}
        self._seen = Seen()
        self._children: dict[str, list[str]] = {}
        for path in sorted(self._nodes):
            if path:
                above, _, child = path.rpartition("/")
                self._children.setdefault(above, []).append(child)

    def find(self, path: str) -> ArrayMeta | GroupMeta | None:
        """The node's metadata, None when there is no node; MetadataError when its documents cannot be understood."""
        relative = relative_path(path, self.base)
        documents = self._nodes.get(relative, {})
        if v3.NODE in documents:
            return self._seen.node_v3(documents[v3.NODE], f"{self._name}[{relative!r}]")
        attributes = documents.get(v2.ATTRIBUTES, {})
        if v2.ARRAY in documents:
            return self._seen.array_v2(documents[v2.ARRAY], attributes, f"{self._name}[{join(relative, v2.ARRAY)!r}]")
        if v2.GROUP in documents:
            return v2.group_from_json(documents[v2.GROUP], attributes, f"{self._name}[{join(relative, v2.GROUP)!r}]")
        return None

    def children(self, path: str) -> list[str]:
        """The names of the nodes directly under a group, sorted."""
        return list(self._children.get(relative_path(path, self.base), ()))

    def walk(self, path: str, max_depth: int | None = 0) -> Iterator[tuple[str, ArrayMeta | GroupMeta | MetadataError]]:
        """(path relative to `path`, metadata or why they cannot be understood) of each node under a group, sorted, each
        followed by those under it; 0 stops at direct ones."""
        for name in self._children.get(relative_path(path, self.base), ()):
            full = join(path, name)
            try:
                meta = self.find(full)
            except MetadataError as error:
                yield name, error
                continue
            if meta is None:
                continue
            yield name, meta
            if isinstance(meta, GroupMeta) and (max_depth is None or max_depth > 0):
                for inner, node in self.walk(full, None if max_depth is None else max_depth - 1):
                    yield f"{name}/{inner}", node

    def documents(self) -> Mapping[str, Documents]:
        """Each node's documents by path relative to the group."""
        return self._nodes


def relative_path(path: str, above: str) -> str:
    """`path` as seen from its ancestor `above`; "" for the same."""
    return "" if path == above else path[len(above) + 1 :] if above else path


# ---- format 2 --------------------------------------------------------------------------------


def read(data: Buffer, name: str) -> dict[str, Json]:
    """The documents by key, relative to the consolidated group: {"a/.zarray": {...}, ".zgroup": {...}}."""
    document = parse(data, name)
    found = document.get("zarr_consolidated_format")
    if type(found) is not int or found != 1:
        raise MetadataError(
            f"{name!r}: field 'zarr_consolidated_format' is {found!r}, expected 1",
            key=name,
            field="zarr_consolidated_format",
            found=found,
            expected=1,
        )
    documents = document.get("metadata")
    if not isinstance(documents, dict) or not all(isinstance(d, dict) for d in documents.values()):
        raise MetadataError(f"{name!r}: field 'metadata' must be an object of objects", key=name, field="metadata")
    return documents


def write(documents: Mapping[str, Json]) -> bytes:
    """The bytes of a `.zmetadata` document. NaN attributes stay bare, as in the documents themselves."""
    return dump_attributes(v2_document(documents))


def v2_document(documents: Mapping[str, Json]) -> dict[str, Json]:
    """A `.zmetadata` document."""
    return {"zarr_consolidated_format": 1, "metadata": dict(documents)}


def of_v2(documents: Mapping[str, Json], base: str, name: str) -> Consolidated:
    """What `read` gave, as nodes."""
    nodes: dict[str, dict[str, Json]] = {}
    for key, document in documents.items():
        path, _, last = key.rpartition("/")
        if last in (v2.ARRAY, v2.GROUP, v2.ATTRIBUTES):
            nodes.setdefault(path, {})[last] = document
    return Consolidated(base, name, {path: found for path, found in nodes.items() if found.keys() & {v2.ARRAY, v2.GROUP}})


def changed_v2(documents: Mapping[str, Json], path: str, change: Documents | None) -> dict[str, Json] | None:
    """The documents after a change of those of the node at `path`, or its removal.

    None where they can no longer be true: format 2 has no place for a node of format 3.
    """
    if change is None:
        return {k: d for k, d in documents.items() if path and k != path and not k.startswith(path + "/")}
    if v3.NODE in change:
        return None
    return {**documents, **{join(path, name): dict(document) for name, document in change.items()}}


# ---- format 3 --------------------------------------------------------------------------------


def inline(document: Mapping[str, Json], name: str = v3.NODE) -> dict[str, Json] | None:
    """The documents that a group's `consolidated_metadata` holds, by path relative to it; None where there are none.

    A kind that is not "inline" may be ignored, for it says that it need not be understood. MetadataError for anything else.
    """
    found = document.get(_INLINE)
    if found is None:
        return None
    if not isinstance(found, dict) or found.get("must_understand") is not False:
        raise _in(name, wrong(_INLINE, found, "expected an object with 'must_understand': false"))
    if found.get("kind") != "inline":
        return None
    nodes: dict[str, Json] = {}
    _flatten(found.get("metadata"), "", nodes, name)
    return nodes


def _flatten(found: Json, above: str, nodes: dict[str, Json], name: str) -> None:
    """Groups inside may have consolidated metadata of their own; what is said of a node further out counts."""
    if not isinstance(found, dict) or not all(isinstance(node, dict) for node in found.values()):
        raise _in(name, wrong(f"{_INLINE}.metadata", found, "expected an object of objects"))
    for path, node in found.items():
        full = join(above, path)
        nodes.setdefault(full, node)
    for path, node in found.items():
        below = node.get(_INLINE)
        if isinstance(below, dict) and below.get("metadata"):
            _flatten(below["metadata"], join(above, path), nodes, name)


def _in(name: str, error: MetadataError) -> MetadataError:
    return MetadataError(f"{name!r}: {error}", key=name, field=error.field, found=error.found, expected=error.expected)


def of_v3(nodes: Mapping[str, Json], base: str, name: str) -> Consolidated:
    """What `inline` gave, as nodes."""
    return Consolidated(base, name, {path: {v3.NODE: document} for path, document in nodes.items()})


def with_inline(document: Mapping[str, Json], nodes: Mapping[str, Json]) -> dict[str, Json]:
    """A group's document with these nodes as its consolidated metadata; those of format 3 only, in the order of zarr-python."""
    ordered = sorted(nodes, key=lambda path: (path.count("/"), path))
    return {**document, _INLINE: _form({path: _entry(nodes[path]) for path in ordered})}


def without_inline(document: Mapping[str, Json]) -> dict[str, Json]:
    """A group's document without consolidated metadata."""
    return {field: value for field, value in document.items() if field != _INLINE}


def changed_v3(document: Mapping[str, Json], path: str, change: Documents | None) -> dict[str, Json]:
    """A group's document after a change of the node at `path` below it, or its removal.

    The consolidated metadata are left out where they can no longer be true: they cannot be read, or the node is of format 2.
    """
    try:
        nodes = inline(document)
    except MetadataError:
        nodes = None
    if nodes is None or (change is not None and v3.NODE not in change):
        return without_inline(document)
    if change is None:
        nodes = {p: d for p, d in nodes.items() if p != path and not p.startswith(path + "/")}
    else:
        nodes[path] = change[v3.NODE]
    return with_inline(document, nodes)


def _form(nodes: Mapping[str, Json]) -> dict[str, Json]:
    return {"kind": "inline", "must_understand": False, "metadata": dict(nodes)}


def _entry(document: Mapping[str, Json]) -> dict[str, Json]:
    if document.get("node_type") != "group":
        return dict(document)
    return {**document, _INLINE: _form({})}


def alone(keys: Iterable[str], own: Iterable[str], other: Iterable[str]) -> str | None:
    """The first key of a document of another format that has none of `own` beside it, None where there is none.

    A node that was converted may keep its old documents.
    """
    present = set(keys)
    for key in sorted(present):
        path, _, name = key.rpartition("/")
        if name in other and not any(join(path, mine) in present for mine in own):
            return key
    return None
