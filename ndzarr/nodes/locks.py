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

A store may have one lock for a node and all its documents, as a directory has (`stores.filelocks`). The order is the same then:
whoever asks for the lock of a document either has that lock already, being at work on the node, or comes up from below; and
nobody who has it goes down.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ndzarr.formats import v2
from ndzarr.keys import join
from ndzarr.stores.base import Store


def node_lock(store: Store, path: str, document: str = v2.ARRAY) -> AbstractContextManager[Any]:
    """The lock of a node, or with `document` that of one of its documents.

    A node's own lock goes by the key of its `.zarray`, whichever format it has or will have: that document has no lock besides.
    """
    return store.lock_node(join(path, document))
