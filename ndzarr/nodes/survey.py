"""All that lies in a store, seen at once: its nodes, its documents, its keys; and what is moved out of the way there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from ndzarr._typing import Key
from ndzarr.errors import MetadataError, StoreError
from ndzarr.formats import v2, v3
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.nodes.documents import DOCUMENTS, Meta, read_consolidated
from ndzarr.nodes.listing import read_nodes, stale
from ndzarr.nodes.locks import node_lock
from ndzarr.nodes.reading import RUN, ancestors, in_store
from ndzarr.stores.base import Store
from ndzarr.stores.remains import Remain, is_aside

#: So many keys are kept from the first listing; a store that has more is listed twice.
_KEPT = 200_000
_NODES = frozenset({v2.ARRAY, v2.GROUP, v3.NODE})


class Survey:
    """The nodes at and below one path. Nothing is changed by it; transactions that were cut short are left alone.

    documents: which of the names of documents are there, by path. nodes: the metadata by path, or why they cannot be understood
    or read. failures: folders that cannot be listed, and why. count: how many keys `keys` gives. Raises StoreError where
    nothing can be listed.
    """

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._prefix = path + "/" if path else ""
        self.count = 0
        self.failures: dict[str, StoreError] = {}
        self.documents: dict[str, set[str]] = {}
        # Folder by folder where all at once fails, so that one that cannot be listed does not hide the rest.
        self._by_folder = False
        try:
            self._kept = self._gather()
        except StoreError as error:
            self._by_folder = True
            self.documents.clear()
            self.count = 0
            try:
                self._kept = self._gather()
            except StoreError:
                raise error from None
        there = [(place, names) for place, names in sorted(self.documents.items()) if names & _NODES]
        self.nodes: dict[str, Meta | MetadataError | StoreError] = {}
        for at in range(0, len(there), RUN):
            self._read(there[at : at + RUN])

    def _read(self, there: list[tuple[str, set[str]]]) -> None:
        try:
            self.nodes.update((place, meta) for place, meta in read_nodes(self._store, "", there, None) if meta is not None)
        except StoreError as error:  # one of them: which, single requests tell
            if len(there) == 1:
                self.nodes[there[0][0]] = error
            else:
                for one in there:
                    self._read([one])

    def _gather(self) -> list[Key] | None:
        """Note all documents; all keys, where those are few enough to be kept."""
        keys = iter(self._list())
        kept = list(islice(keys, _KEPT))
        rest = False
        for n, key in enumerate(chain(kept, keys)):
            rest = n >= _KEPT
            place, _, name = key.rpartition("/")
            if is_aside(key):
                continue
            if name in DOCUMENTS:
                self.documents.setdefault(place, set()).add(name)
            else:
                self.count += 1
        return None if rest else kept

    def _list(self) -> Iterable[Key]:
        return self._folders(self._prefix) if self._by_folder else self._store.list(self._prefix)

    def _folders(self, top: str) -> Iterator[Key]:
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                names = sorted(self._store.list_dir(folder))
            except StoreError as error:
                if folder == top:
                    raise
                self.failures[folder.rstrip("/")] = error
                continue
            yield from (folder + name for name in names if not name.endswith("/"))
            folders += [folder + name for name in reversed(names) if name.endswith("/")]

    def keys(self) -> Iterator[Key]:
        """All keys but those of documents, and of what was set aside."""
        found = self._list() if self._kept is None else self._kept
        return (key for key in found if key.rpartition("/")[2] not in DOCUMENTS and not is_aside(key))

    def set_aside(self) -> Iterator[Key]:
        """The keys of what was set aside."""
        return (key for key in (self._list() if self._kept is None else self._kept) if is_aside(key))

    def above(self, path: str) -> str | None:
        """The path of the nearest node at or above `path`; None where there is none."""
        if path in self.nodes:
            return path
        return next((place for place in ancestors(path) if place in self.nodes), None)


def differing(store: Store, path: str, meta: GroupMeta) -> list[str] | None:
    """The paths of which a group's consolidated metadata say something else than the nodes; None where it has none.

    Raises MetadataError for those that cannot be understood.
    """
    try:
        said = read_consolidated(store, path, meta)
    except MetadataError as error:
        raise in_store(store, path, error) from error
    return None if said is None else stale(store, path, said)


def read_again(store: Store, path: str) -> Meta | MetadataError | None:
    """A node's metadata as they are now; transactions that were cut short are left alone."""
    for names in ({v3.NODE}, {v2.ARRAY, v2.GROUP, v2.ATTRIBUTES}):
        for _, meta in read_nodes(store, "", [(path, names)], None):
            if meta is not None:
                return meta
    return None


def remains(store: Store, path: str) -> Iterable[Remain]:
    """See `Store.remains`."""
    return store.remains(path)


def tidy(store: Store, remain: Remain) -> None:
    """See `Store.tidy`."""
    store.tidy(remain)


def finish(store: Store) -> None:
    """Finish, or undo, what transactions that were cut short have left."""
    store.settle()


def set_aside(store: Store, key: Key, path: str) -> str:
    """Move a key that is of no array, or a directory, out of the way, under the lock of the node `path`; where it is then."""
    with node_lock(store, path):
        return store.set_aside(key, path)


def set_orphan_aside(store: Store, key: Key, path: str, meta: ArrayMeta) -> str | None:
    """The same for a chunk outside of the grid of the array `path`; None where it is inside by now.

    Under the lock that whoever appends holds until the shape is written.
    """
    with node_lock(store, path):
        found = read_again(store, path)
        if not isinstance(found, ArrayMeta) or found.shape != meta.shape:
            return None
        with store.lock(key):
            return store.set_aside(key, path)


def flush(store: Store) -> None:
    """See `Store.flush`."""
    store.flush()
