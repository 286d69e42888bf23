"""The nodes under a group: one listing, and their documents asked for together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeAlias

from ndzarr._typing import Buffer, ByteRange, Json, Key
from ndzarr.errors import MetadataError
from ndzarr.formats import consolidated, v2, v3
from ndzarr.formats.document import parse
from ndzarr.keys import is_key, join
from ndzarr.metadata import GroupMeta
from ndzarr.nodes.documents import Meta, order_of
from ndzarr.nodes.reading import RUN, in_store, read_documents
from ndzarr.stores.base import Store

#: A path relative to the group, and the node's metadata, or why they cannot be understood.
Member: TypeAlias = tuple[str, Meta | MetadataError]
#: Of a store far away, so many keys are listed in the hope that they are those of documents and not of chunks.
_LISTED = 100_000


def children(store: Store, path: str, zarr_format: int | None = None) -> Iterator[str]:
    """The names of the nodes directly under a group, sorted, from one listing of its directory and a look at each.

    The looks are one request together where the store takes many. Keys in a store are never interpreted: a name that no path
    may have is passed over.
    """
    names = _folders(store, path)
    if not store.batched:
        own = [name for form in order_of(zarr_format) for name in form.names if name != v2.ATTRIBUTES]
        prefix = path + "/" if path else ""
        yield from (name for name in names if any(store.exists(f"{prefix}{name}/{document}") for document in own))
        return
    left = iter(names)
    while run := list(islice(left, RUN)):
        found: set[str] = set()
        for form in order_of(zarr_format):
            missing = [name for name in run if name not in found]
            found.update(_held(store, path, missing, form.names) if missing else ())
        yield from (name for name in run if name in found)


def _held(store: Store, path: str, names: list[str], documents: tuple[str, ...]) -> Iterator[str]:
    """Those of the names under which one of the documents is."""
    wanted = [(name, join(join(path, name), document)) for name in names for document in documents if document != v2.ATTRIBUTES]
    for (name, _), data in zip(wanted, store.get_many([(key, ByteRange(0, 1)) for _, key in wanted]), strict=True):
        if data is not None:
            yield name


def _folders(store: Store, path: str) -> list[str]:
    """The names under which more keys lie, sorted."""
    prefix = path + "/" if path else ""
    return sorted(name[:-1] for name in store.list_dir(prefix) if name.endswith("/") and is_key(name[:-1]))


def members(store: Store, path: str, zarr_format: int | None = None, max_depth: int | None = 0) -> Iterator[Member]:
    """Every node under a group, each followed by those under it, sorted; 0 stops at direct ones, None goes all the way down.

    One listing of the group's directory and its documents together, and again for each group inside; where the store takes
    many requests at once, or lists nothing but everything, one listing for all of it.
    """
    deep = max_depth is None or max_depth > 0
    if deep and (store.batched or type(store).list_dir is Store.list_dir):
        found = _documents(store, path, None if type(store).list_dir is Store.list_dir else _LISTED)
        if found is not None:
            yield from _from_listing(store, path, found, zarr_format, max_depth)
            return
    yield from _by_folders(store, path, zarr_format, max_depth)


def _by_folders(store: Store, path: str, zarr_format: int | None, max_depth: int | None) -> Iterator[Member]:
    for name, meta in _children(store, path, zarr_format):
        yield name, meta
        if isinstance(meta, GroupMeta) and (max_depth is None or max_depth > 0):
            below = _by_folders(store, join(path, name), meta.zarr_format, None if max_depth is None else max_depth - 1)
            yield from ((f"{name}/{inner}", node) for inner, node in below)


def _documents(store: Store, path: str, most: int | None) -> dict[str, set[str]] | None:
    """The names of the documents of each node under a group, by relative path; None where more keys than `most` lie there."""
    prefix = path + "/" if path else ""
    found: dict[str, set[str]] = {}
    own = {name for form in order_of() for name in form.names}
    for n, key in enumerate(store.list(prefix)):
        if most is not None and n >= most:
            return None
        above, _, name = key[len(prefix) :].rpartition("/")
        if above and name in own:
            found.setdefault(above, set()).add(name)
    return found


def _from_listing(
    store: Store, path: str, found: Mapping[str, set[str]], zarr_format: int | None, max_depth: int | None
) -> Iterator[Member]:
    # Sorted by segments, so that what is under a node follows it.
    order = sorted(node.split("/") for node in found)
    wanted = ["/".join(parts) for parts in order if max_depth is None or len(parts) <= max_depth + 1]
    groups = {""}
    for relative, meta in read_nodes(store, path, ((node, found[node]) for node in wanted), zarr_format):
        # What lies under an array, or under no node at all, is no member.
        if meta is not None and relative.rpartition("/")[0] in groups:
            yield relative, meta
            if isinstance(meta, GroupMeta):
                groups.add(relative)


def _children(store: Store, path: str, zarr_format: int | None) -> Iterator[Member]:
    left = iter(_folders(store, path))
    while run := list(islice(left, RUN)):
        found: dict[str, Meta | MetadataError] = {}
        for form in order_of(zarr_format):
            missing = [(name, set(form.names)) for name in run if name not in found]
            for name, meta in read_nodes(store, path, missing, zarr_format):
                if meta is not None:
                    found[name] = meta
        yield from ((name, found[name]) for name in run if name in found)


def read_nodes(
    store: Store, path: str, wanted: Iterable[tuple[str, set[str]]], zarr_format: int | None
) -> Iterator[tuple[str, Meta | MetadataError | None]]:
    """The metadata of each (relative path, names of the documents that may be there); None where there is no node."""
    forms = order_of(zarr_format)
    left = iter(wanted)
    while run := list(islice(left, RUN)):
        asked: dict[Key, tuple[str, str]] = {}
        for relative, names in run:
            form = next((form for form in forms if not names.isdisjoint(form.names)), None)
            for name in form.names if form is not None else ():
                if name in names:
                    asked[join(join(path, relative), name)] = relative, name
        answers: dict[str, dict[str, Buffer]] = {}
        failed: dict[str, MetadataError] = {}
        for key, data in read_documents(store, asked):
            relative, name = asked[key]
            if isinstance(data, MetadataError):
                failed[relative] = data
            elif data is not None:
                answers.setdefault(relative, {})[name] = data
        for relative, _ in run:
            full = join(path, relative)
            try:
                if relative in failed:
                    raise failed[relative]
                own = answers.get(relative, {})
                yield relative, next((meta for form in forms if (meta := form.parse(full, own)) is not None), None)
            except MetadataError as error:
                yield relative, in_store(store, full, error)


# ---- what consolidated metadata say, and what is so ---------------------------------------------------


def stale(store: Store, path: str, found: consolidated.Consolidated) -> list[str]:
    """The relative paths of the nodes of which a group's consolidated metadata say something else than their documents.

    Nodes that are missing from either are among them. One listing, and the documents together.
    """
    names = _documents(store, path, None) or {}
    said = found.documents()
    asked = {join(join(path, node), name): (node, name) for node, own in names.items() for name in own}
    stored: dict[str, dict[str, Json]] = {}
    for key, data in read_documents(store, asked):
        node, name = asked[key]
        try:
            if data is not None:
                stored.setdefault(node, {})[name] = data if isinstance(data, MetadataError) else parse(data, key)
        except MetadataError as error:
            stored.setdefault(node, {})[name] = error
    return sorted(node for node in said.keys() | stored.keys() if node and _text(said.get(node)) != _text(stored.get(node)))


def _text(documents: Mapping[str, Json] | None) -> str | None:
    """What to compare by: NaN equals itself, and no attributes are an empty document of them."""
    if documents is None or not documents.keys() & {v2.ARRAY, v2.GROUP, v3.NODE}:
        return None
    plain = {
        name: consolidated.without_inline(document) if isinstance(document, dict) else document
        for name, document in documents.items()
        if document != {}
    }
    if v3.NODE in plain:
        plain = {v3.NODE: plain[v3.NODE]}
    return json.dumps(plain, sort_keys=True, default=str)
