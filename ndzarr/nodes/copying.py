"""Nodes copied and removed as the bytes they are, with whatever else lies under them; nothing is decoded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ndzarr._typing import Json, Key
from ndzarr.errors import MetadataError
from ndzarr.formats import v2, v3
from ndzarr.formats.document import parse
from ndzarr.keys import STATISTICS, join
from ndzarr.nodes.consolidation import Changes, changed_many
from ndzarr.nodes.documents import DOCUMENTS, is_chunk
from ndzarr.nodes.locks import node_lock
from ndzarr.nodes.reading import ancestors
from ndzarr.nodes.worklog import WORKLOGS, Worklog, is_far, unfinished
from ndzarr.stores.base import Store
from ndzarr.stores.connections import any_scopes

#: So many objects are held at once where a store takes many requests together.
_TOGETHER = 16
#: Attributes before the node that has them, and what a group says of others last of all.
_LAST = (v2.ATTRIBUTES, v2.ARRAY, v2.GROUP, v3.NODE, v2.CONSOLIDATED)
#: Whoever is at work on a node that somebody else makes anew sees that within this time, unless a value takes longer to write:
#: where it looks over a network, and elsewhere.
WAIT_S, WAIT_NEAR_S = 1.5, 0.05
_NODES = (v2.ARRAY, v2.GROUP, v3.NODE)
_NOTES = tuple([f"{name}/" for name in WORKLOGS])


@dataclass(frozen=True, slots=True)
class Contents:
    """The keys under a node, relative to it, sorted, and the relative paths of the nodes among them, "" the node itself."""

    keys: Sequence[str]
    nodes: frozenset[str]

    def below(self, tops: Iterable[str]) -> Contents:
        """Those at and under the nodes given."""
        wanted = frozenset(tops)
        if "" in wanted:
            return self
        keys = [key for key in self.keys if not wanted.isdisjoint(ancestors(key))]
        return Contents(
            keys, frozenset(node for node in self.nodes if node in wanted or not wanted.isdisjoint(ancestors(node)))
        )


def contents(store: Store, path: str) -> Contents:
    """What lies under a node, by one listing."""
    prefix = path + "/" if path else ""
    keys = sorted(key[len(prefix) :] for key in store.list(prefix))
    return Contents(keys, frozenset(above for above, _, name in (key.rpartition("/") for key in keys) if name in _NODES))


def nbytes(store: Store, path: str, keys: Iterable[str]) -> int | None:
    """What the values take; None where to ask for the size of each would be a request over a network."""
    return None if store.batched else sum(store.size(join(path, key)) or 0 for key in keys)


def leftovers(store: Store, path: str, nodes: frozenset[str]) -> list[str]:
    """The keys under `path` that would become part of `nodes` if those were put there: documents and chunks without a node."""
    found = []
    for key in contents(store, path).keys:
        node = next((above for above in ancestors(key) if above in nodes), None)
        if node is not None and _belongs(key[len(node) + 1 :] if node else key):
            found.append(key)
    return found


def _belongs(name: str) -> bool:
    return name in DOCUMENTS or name == STATISTICS or is_chunk(name) or name.startswith(_NOTES)


def stop_unfinished(store: Store, path: str, own: str = "") -> None:
    """Have work that is not finished at `path` stop, for a node that is to replace it, and wait until most likely it has.

    own: the folder of work that goes on. To be called before the lock of the node is taken: that of a database would keep such
    work waiting in the middle of a write.
    """
    if unfinished(store, [path], own) is None:
        return
    with node_lock(store, path):
        for log in _others(store, path, own):
            if log.read() is not None:
                _refuse(log)
    _wait(store)


def remove_unfinished(store: Store, path: str, own: str = "") -> None:
    """Remove what work that was not finished has written for a node at `path`, so that it cannot go on.

    own: the folder of the caller's own work, which stays. The caller holds the lock of the node.
    """
    for log in _others(store, path, own) if unfinished(store, [path], own) is not None else ():
        record = log.read()
        if record is not None:
            inside = _refuse(log)
            if "run" in record:  # it has begun since `stop_unfinished`
                _wait(store)
            remove_values(store, path, frozenset(inside))
            log.clear()


def _others(store: Store, path: str, own: str) -> list[Worklog]:
    return [Worklog(store, path, name) for name in WORKLOGS if name != own]


def _wait(store: Store) -> None:
    if not any_scopes():  # in which nobody else could write meanwhile
        time.sleep(WAIT_S if is_far(store) else WAIT_NEAR_S)


def _refuse(log: Worklog) -> set[str]:
    """See to it that whoever is at it stops, nobody takes anything for done, and nobody else begins; the nodes that it made."""
    inside = {"", *log.inside()}
    log.write(json.dumps({"inside": sorted(inside)}).encode())
    return inside


def remove_values(store: Store, path: str, nodes: frozenset[str]) -> None:
    """Remove the leftovers that would become part of `nodes`, but for notes of work at `path`."""
    remove_keys(store, path, [key for key in leftovers(store, path, nodes) if not key.startswith(_NOTES)])


def remove_keys(store: Store, path: str, keys: Iterable[str]) -> None:
    """Delete leftovers, keys relative to `path`, and what consolidated metadata say of nodes whose documents are among them."""
    left = [join(path, key) for key in keys]
    store.delete_many(left)
    gone = {above for above, _, name in (key.rpartition("/") for key in left) if name in DOCUMENTS}
    if gone:
        changed_many(store, dict.fromkeys(gone))


def copy_keys(
    src: Store, old: str, dst: Store, new: str, found: Contents, tops: Iterable[str], told: Callable[[int], object]
) -> int:
    """Copy everything in `found` from under `old` in one store to under `new` in the other; how many bytes that were.

    Documents come last, those of the outermost nodes last of all, so that a copy cut short is no node. `told` is called with
    how many keys were copied since the last call. `tops`: the nodes that lie in no other of those copied. The caller holds
    the lock of the new node.
    """
    documents = [key for key in found.keys if key.rpartition("/")[2] in DOCUMENTS]
    documents.sort(key=lambda key: (-key.count("/"), _LAST.index(key.rpartition("/")[2])))
    total = 0
    together = _TOGETHER if src.batched or dst.batched else 1
    for run in _runs((key for key in found.keys if key.rpartition("/")[2] not in DOCUMENTS), together):
        values = src.get_many([(join(old, key), None) for key in run])
        # One that is gone was deleted since it was listed.
        items = {join(new, key): value for key, value in zip(run, values, strict=True) if value is not None}
        dst.set_many(items)
        total += sum(memoryview(value).nbytes for value in items.values())
        told(len(run))
    changes: dict[str, dict[str, Json] | None] = {}
    for run in _runs(documents, together):
        for key, value in zip(run, src.get_many([(join(old, key), None) for key in run]), strict=True):
            if value is not None:
                dst.set(join(new, key), value)
                total += memoryview(value).nbytes
                _note(changes, new, key, bytes(value))
        told(len(run))
    changed_many(dst, _within(changes, [join(new, top) if top else new for top in tops]))
    return total


def move_at_once(store: Store, old: str, new: str, found: Contents) -> bool:
    """Move a node with all that lies under it by one step of the store; False, and nothing changed, where it has none.

    The caller holds the lock of the new node.
    """
    # Whoever changes attributes meanwhile would put the old document back.
    with node_lock(store, old, v2.ATTRIBUTES), node_lock(store, old, v3.NODE):
        if not (old and new and store.move_prefix(old + "/", new + "/")):
            return False
    changes: dict[str, dict[str, Json] | None] = {}
    documents = [key for key in found.keys if key.rpartition("/")[2] in DOCUMENTS]
    for key, value in zip(documents, store.get_many([(join(new, key), None) for key in documents]), strict=True):
        if value is not None:
            _note(changes, new, key, bytes(value))
    changed_many(store, {old: None})
    changed_many(store, _within(changes, [new]))
    return True


def _note(changes: dict[str, dict[str, Json] | None], path: str, key: str, value: bytes) -> None:
    above, _, name = key.rpartition("/")
    node = join(path, above) if above else path
    if name == v2.CONSOLIDATED:
        return
    try:
        known = changes.setdefault(node, {})
        if known is not None:
            known[name] = parse(value, key)
    except MetadataError:
        changes[node] = None  # what nobody can open misleads nobody


def _within(changes: Changes, tops: Sequence[str]) -> Changes:
    """Changes of nodes; those of a group come before those of what is in it."""
    kept = {node: change for node, change in changes.items() if change is None or not change.keys().isdisjoint(_NODES)}
    return {node: kept[node] for node in sorted(kept) if any(_is_under(node, top) for top in tops)}


def _is_under(path: str, top: str) -> bool:
    return not top or path == top or path.startswith(top + "/")


def remove_copied(store: Store, path: str, found: Contents, tops: Iterable[str]) -> None:
    """Delete what was copied and nothing else, documents first; what somebody put there meanwhile stays."""
    keys = set(found.keys)
    for top in sorted(tops):
        node = join(path, top) if top else path
        with node_lock(store, node):
            with node_lock(store, node, v3.NODE):  # a change of attributes would write the document again
                for document in DOCUMENTS:
                    if join(top, document) in keys:
                        store.delete(join(node, document))
            changed_many(store, {node: None})
    documents = [key for key in found.keys if key.rpartition("/")[2] in DOCUMENTS]
    for part in (documents, [key for key in found.keys if key.rpartition("/")[2] not in DOCUMENTS]):
        remove_keys(store, path, part)


def remove_below(store: Store, path: str) -> None:
    """Remove all that lies under `path`, whatever it is."""
    store.delete_prefix(path + "/")


def _runs(keys: Iterable[Key], most: int) -> Iterator[list[Key]]:
    left = iter(keys)
    while run := list(islice(left, most)):
        yield run
