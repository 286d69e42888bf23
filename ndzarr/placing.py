"""Nodes whose documents are written after their values, and the place that is kept for them until then."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence

from ndzarr import nodes
from ndzarr.creation import make_room
from ndzarr.errors import NodeExistsError
from ndzarr.keys import UNFINISHED, join
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.nodes import Worklog
from ndzarr.stores.base import Store

#: Whether the place is still kept is looked up so often at most: where that is a request over a network, and elsewhere.
_CHECK_S, _CHECK_NEAR_S = 1.0, 0.02


class Place:
    """Where new nodes of one format go: the one at `path`, and the others, at `inside`, below it.

    Until `finish` nothing can be opened there, so that what is cut short is not taken for whole. A record keeps the place
    meanwhile: whoever comes second is refused, or with `overwrite` takes it over, and then the first one's `check` raises. (No
    lock does that: the threads that write values may want the locks of the node for themselves.)
    """

    def __init__(self, store: Store, path: str, zarr_format: int, inside: Iterable[str] = ("",)) -> None:
        self._store = store
        self._path = path
        self._format = zarr_format
        self._inside = frozenset(inside)
        self._log = Worklog(store, path, UNFINISHED)
        self._run = secrets.token_hex(8)
        self._checked = time.monotonic()
        self._every = _CHECK_S if nodes.is_far(store) else min(_CHECK_S, _CHECK_NEAR_S)

    def take(self, *, overwrite: bool) -> None:
        """See to it that nothing is there, and keep the place.

        NodeExistsError where a node is, or chunks and documents that would become part of the new ones, or somebody keeps the
        place; with `overwrite` all that goes.
        """
        store, path = self._store, self._path
        nodes.check_spelling(store, path)  # before the lock makes the directory
        if overwrite:
            nodes.stop_unfinished(store, path)
        with nodes.node_lock(store, path):
            make_room(store, path, overwrite, self._format)
            left = nodes.leftovers(store, path, self._inside)
            if left and not overwrite:
                raise NodeExistsError(
                    f"{join(path, left[0])!r} in {store.url} is left from a node that is gone; pass overwrite=True to start "
                    "over and remove what is there",
                    store=store.url,
                    path=path,
                    key=join(path, left[0]),
                )
            nodes.remove_keys(store, path, left)
            self._log.write(json.dumps({"run": self._run, "inside": sorted(self._inside)}).encode())

    def check(self) -> None:
        """Raise WriteHazardError where somebody else has taken the place over. To be called after each step."""
        now = time.monotonic()
        if now - self._checked > self._every:
            self._checked = now
            self._log.check(self._run)

    def empty(self) -> None:
        """Remove the values that were written, to begin again."""
        with nodes.node_lock(self._store, self._path):
            self._log.check(self._run)
            nodes.remove_values(self._store, self._path, self._inside)

    def finish(self, made: Sequence[tuple[str, ArrayMeta | GroupMeta]]) -> None:
        """Write the documents of the nodes at these paths, the last first, so that a group comes after what it holds.

        NodeExistsError where somebody has made a node there meanwhile, by whatever else writes documents first.
        """
        with nodes.node_lock(self._store, self._path):
            self._log.check(self._run)
            make_room(self._store, self._path, False, self._format, UNFINISHED)
            for path, meta in reversed(made):
                nodes.write(self._store, path, meta)
            self._log.clear()
