"""The locks of nodes and of their documents, and the order in which they are taken.

Changing a document is read-modify-write, so it happens under a lock that belongs to the document in the store, not to a
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
from collections.abc import Hashable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakValueDictionary

from ndzarr.formats import v2
from ndzarr.keys import join
from ndzarr.stores.base import Store


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


def node_lock(store: Store, path: str, document: str = v2.ARRAY) -> AbstractContextManager[Any]:
    """The lock of a node, or with `document` that of one of its documents.

    A node's own lock goes by the key of its `.zarray`, whichever format it has or will have: that document has no lock besides.
    A store with transactions locks by itself, and keeps other processes out: what a transaction has locked must stay locked
    until it ends, and no thread may hold a lock that the store knows nothing of while it waits for the end of a transaction.
    """
    if store.transactional:
        return store.lock(join(path, document))
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
