"""Whether consolidated metadata still say what is so: asked by handles that may write, which go by the nodes themselves."""

from __future__ import annotations

import threading
import warnings

from ndzarr import nodes
from ndzarr.errors import MetadataError, StaleMetadataWarning
from ndzarr.formats.consolidated import Consolidated
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.stores.base import Store


class Recorded:
    """The consolidated metadata of one group, read when first compared; shared by the handles of the groups in it.

    Costs one request in format 2 and none in format 3, whose group has them in its own document. Thread-safe.
    """

    def __init__(self, store: Store, path: str, meta: GroupMeta) -> None:
        self._store = store
        self._path = path
        self._meta: GroupMeta | None = meta
        self._found: Consolidated | None = None
        self._read = False
        self._lock = threading.Lock()

    def compare(self, path: str, meta: ArrayMeta, stacklevel: int) -> None:
        """Warn where the consolidated metadata have another shape or dtype for the array at `path` (promise P19)."""
        with self._lock:
            if not self._read:
                self._look(self._meta)
            if not self._differs(path, meta):
                return
            self._look(None)  # our own writes keep them true, and these may be older
            if not self._differs(path, meta):
                return
        warnings.warn(
            f"the consolidated metadata of {self._path or '/'!r} in {self._store.url} have another shape or dtype for {path!r} "
            f"than the array's own, {meta.shape} and {meta.dtype}: another program has changed it; call ndzarr.consolidate",
            StaleMetadataWarning,
            stacklevel=stacklevel + 1,
        )

    def _look(self, meta: GroupMeta | None) -> None:
        self._read = True
        try:
            found = meta or nodes.find(self._store, self._path)
            self._found = nodes.read_consolidated(self._store, self._path, found) if isinstance(found, GroupMeta) else None
        except MetadataError:
            self._found = None  # nobody can go by it

    def _differs(self, path: str, meta: ArrayMeta) -> bool:
        try:
            said = None if self._found is None else self._found.find(path)
        except MetadataError:
            return True
        return said is not None and (not isinstance(said, ArrayMeta) or (said.shape, said.dtype) != (meta.shape, meta.dtype))


def stale(store: Store, path: str) -> list[str]:
    """The relative paths for which a group's consolidated metadata say something else than the nodes; [] where it has none."""
    found = nodes.find(store, path)
    said = nodes.read_consolidated(store, path, found) if isinstance(found, GroupMeta) else None
    return [] if said is None else nodes.stale(store, path, said)
