"""Consolidated metadata kept true: whoever changes a document says so here (promise P19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ndzarr import config
from ndzarr._typing import Json, Key
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.formats import consolidated, v2, v3
from ndzarr.formats.consolidated import Documents, relative_path
from ndzarr.formats.document import dump_attributes, parse, too_deep
from ndzarr.keys import join
from ndzarr.nodes.locks import node_lock
from ndzarr.nodes.reading import ancestors, read_document, read_documents
from ndzarr.progress import Progress, meter
from ndzarr.stores.base import Store

#: A node's documents that were written, by its path; None where it was deleted.
Changes: TypeAlias = Mapping[str, Documents | None]


def changed(store: Store, path: str, change: Documents | None) -> None:
    """Keep all consolidated metadata at or above one node true; those that are not there stay away."""
    # A group's own `zarr.json` says nothing of itself a second time, its `.zmetadata` does.
    if change is not None and v3.NODE not in change:
        _edit_v2(store, path, {path: change})
    changed_many(store, {path: change})


def changed_many(store: Store, changes: Changes) -> None:
    """Keep all consolidated metadata above these nodes true, with one change of each.

    Those of groups that are among the nodes are left alone: they came with what they say.
    """
    below: dict[str, dict[str, Documents | None]] = {}
    for path, change in changes.items():
        for above in ancestors(path):
            if above not in changes:
                below.setdefault(above, {})[path] = change
    for above in sorted(below, key=lambda path: -len(path)):  # an ancestor's path is shorter
        if not _edit_v3(store, above, below[above]):
            _edit_v2(store, above, below[above])


def _edit_v2(store: Store, path: str, changes: Changes) -> None:
    key = join(path, v2.CONSOLIDATED)
    with node_lock(store, path, v2.CONSOLIDATED):
        if not store.exists(key):
            return
        documents: dict[str, Json] | None
        try:
            data = read_document(store, key)
            documents = {} if data is None else consolidated.read(data, key)
            for node, change in changes.items():
                if documents is not None:
                    documents = consolidated.changed_v2(documents, relative_path(node, path), _with_array(store, node, change))
        except MetadataError:
            documents = None
        written = None if documents is None else dumped(consolidated.v2_document(documents), dump_attributes)
        if written is None:
            # Nobody can go by a document that cannot be read or be true; without it every reader looks at the nodes themselves.
            store.delete(key)
        else:
            store.set(key, written)


def _with_array(store: Store, path: str, change: Documents | None) -> Documents | None:
    """A change of attributes, with the `.zarray` beside them: another program may have changed the shape.

    Read under the lock of the consolidated document, as all that goes into it is.
    """
    if change is None or change.keys() != {v2.ATTRIBUTES}:
        return change
    key = join(path, v2.ARRAY)
    data = read_document(store, key)
    return change if data is None else {**change, v2.ARRAY: parse(data, key)}


def _edit_v3(store: Store, path: str, changes: Changes) -> bool:
    """Whether there is a `zarr.json`, which then has been seen to."""
    key = join(path, v3.NODE)
    with node_lock(store, path, v3.NODE):
        try:
            data = read_document(store, key)
            if data is None:
                return False
            # Most groups have none, and need not be parsed to know it.
            document = parse(data, key) if v3.CONSOLIDATED.encode() in bytes(data) else {}
        except MetadataError:
            return True  # a group that nobody can open misleads nobody
        if document.get(v3.CONSOLIDATED) is not None:
            edited = document
            for node, change in changes.items():
                if v3.CONSOLIDATED in edited:
                    edited = consolidated.changed_v3(edited, relative_path(node, path), change)
            written = dumped(edited, v3.write)
            store.set(key, v3.write(consolidated.without_inline(document)) if written is None else written)
    return True


def dumped(document: Mapping[str, Json], dump: Callable[[Mapping[str, Json]], bytes]) -> bytes | None:
    """The bytes of consolidated metadata; None where they would be too many, or nest too deep, to be read again."""
    data = None if too_deep(document) else dump(document)
    return data if data is not None and len(data) <= config.current().max_metadata else None


def too_much(store: Store, path: str) -> ArgumentError:
    """The error where `dumped` gives None."""
    return ArgumentError(
        f"cannot consolidate {path or '/'!r} in {store.url}: the document would nest deeper, or be larger, than what can be "
        "read again; options(max_metadata=) allows more bytes",
        store=store.url,
        path=path,
    )


def gather(
    store: Store, path: str, own: Sequence[str], other: Sequence[str], progress: Progress
) -> Iterator[tuple[Key, dict[str, Json]]]:
    """(key, document) for each document under a group that is of the names `own`, sorted.

    ArgumentError for a node that has documents of the `other` format only, before anything is read.
    """
    keys = sorted(store.list(path + "/" if path else ""))
    stray = consolidated.alone(keys, [name for name in own if name != v2.ATTRIBUTES], other)
    if stray is not None:
        raise ArgumentError(
            f"cannot consolidate {path or '/'!r} in {store.url}: {stray!r} is of another format than the group",
            path=path,
            key=stray,
        )
    keys = [key for key in keys if key.rpartition("/")[2] in own]
    with meter(progress, len(keys), "consolidate") as told:
        for key, data in read_documents(store, keys):
            if isinstance(data, MetadataError):
                raise data
            if data is not None:
                yield key, parse(data, key)
            told(1)
