"""What arrays and groups have in common: a place in a store, attributes, and whether they may be changed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

from ndzarr import config
from ndzarr.attributes import Attributes
from ndzarr.chunkcache import ChunkCache
from ndzarr.engine import check_seen
from ndzarr.errors import ReadOnlyError
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.process import here
from ndzarr.stores.base import Store


class Node:
    """A handle on one array or group. The handle is cheap; what it shows of the metadata is what it last saw."""

    __slots__ = ("__weakref__", "_allow_pickle", "_attrs", "_chunk_cache", "_home", "_missing", "_path", "_store", "_writable")

    def __init__(
        self,
        store: Store,
        path: str,
        *,
        writable: bool,
        allow_pickle: bool,
        missing: config.Missing | None,
        chunk_cache: ChunkCache | None,
    ) -> None:
        self._store = store
        self._path = path
        self._writable = writable
        self._allow_pickle = allow_pickle
        self._missing = missing
        self._chunk_cache = chunk_cache
        self._attrs: Attributes | None = None
        #: The process that made this handle, or the one that it was pickled from.
        self._home = here()

    @property
    @abstractmethod
    def _meta(self) -> ArrayMeta | GroupMeta: ...

    @property
    def store(self) -> Store:
        """The store that holds the node."""
        return self._store

    @property
    def path(self) -> str:
        """The node's path in the store; "" is the root."""
        return self._path

    @property
    def zarr_format(self) -> int:
        """The version of the format that the node is stored in."""
        return self._meta.zarr_format

    @property
    def writable(self) -> bool:
        """Whether this handle may write."""
        return self._writable

    @property
    def attrs(self) -> Attributes:
        """The node's attributes, a mapping that writes through."""
        if self._attrs is None:
            self._attrs = Attributes(
                self._store,
                self._path,
                self._meta.attributes,
                writable=self._writable,
                zarr_format=self._meta.zarr_format,
                home=self._home,
            )
        return self._attrs

    @property
    def chunk_cache(self) -> ChunkCache | None:
        """The decoded chunks kept by a handle that was opened with `chunk_cache=`, else None; a group shares its own with its
        members."""
        return self._chunk_cache

    def _of(self, home: bytes) -> Self:
        """The same handle, made by another process, or by a group that is: see `engine.hazard`."""
        self._home = home
        return self

    def _check_writable(self) -> None:
        if not self._writable:
            raise ReadOnlyError(
                f"cannot change {self._path or '/'!r} in {self._store.url}: it was opened with mode 'r'; open it with mode "
                "'r+' or 'a'",
                store=self._store.url,
                path=self._path,
            )
        check_seen(self._store, self._path, self._home)
