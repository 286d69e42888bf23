"""Group: a mapping of nodes."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np

from ndzarr import config, display, nodes
from ndzarr.creation import new_array, new_group
from ndzarr.errors import ArgumentError, NodeNotFoundError
from ndzarr.formats.consolidated import Consolidated
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import ArrayMeta, GroupMeta, shape_argument
from ndzarr.node import Node
from ndzarr.stores.base import Store
from ndzarr.zarray import ZArray


class Group(Node, MutableMapping[str, Any]):
    """Arrays and groups under one path, as a mapping: `g["a/b"]`, `"a" in g`, `list(g)`, `del g["a"]`.

    `g["x"] = data` writes an array. Iteration gives the names of direct members, sorted. A group opened with mode "r" goes by
    consolidated metadata where there are any; with the others it always looks.

    >>> import ndzarr
    >>> g = ndzarr.create_group(None)
    >>> g["t/x"] = [1, 2, 3]
    >>> list(g), g["t/x"].shape
    (['t'], (3,))
    """

    def __init__(
        self,
        store: Store,
        path: str,
        meta: GroupMeta,
        *,
        writable: bool = False,
        allow_pickle: bool = False,
        missing: config.Missing | None = None,
        consolidated: Consolidated | None = None,
    ) -> None:
        """`consolidated`: what to go by instead of looking."""
        super().__init__(store, path, writable=writable, allow_pickle=allow_pickle, missing=missing)
        self._group_meta = meta
        self._consolidated = consolidated

    @property
    def _meta(self) -> GroupMeta:
        return self._group_meta

    # ---- members --------------------------------------------------------------------------------

    def _full(self, name: object) -> str:
        if not isinstance(name, str):
            raise ArgumentError(f"a member's name must be a string, found {name!r}", found=name)
        path = normalize_path(name)
        if not path:
            raise ArgumentError(f"{name!r} is no name of a member", found=name)
        return join(self._path, path)

    def _find(self, path: str) -> ArrayMeta | GroupMeta | None:
        if self._consolidated is None:
            return nodes.find(self._store, path, self.zarr_format)
        return self._consolidated.find(path)

    def _node(self, path: str, meta: ArrayMeta | GroupMeta) -> ZArray | Group:
        if isinstance(meta, ArrayMeta):
            return ZArray(
                self._store, path, meta, writable=self._writable, allow_pickle=self._allow_pickle, missing=self._missing
            )
        return Group(
            self._store,
            path,
            meta,
            writable=self._writable,
            allow_pickle=self._allow_pickle,
            missing=self._missing,
            consolidated=self._consolidated,
        )

    def __getitem__(self, name: str) -> ZArray | Group:
        path = self._full(name)
        meta = self._find(path)
        if meta is None:
            raise NodeNotFoundError(
                f"no array or group {name!r} in {self._path or '/'!r} of {self._store.url}",
                store=self._store.url,
                path=path,
            )
        return self._node(path, meta)

    def __setitem__(self, name: str, value: Any) -> None:
        data = np.asarray(value)
        self.create_array(name, shape=data.shape, dtype=data.dtype, overwrite=True)[...] = data

    def __delitem__(self, name: str) -> None:
        path = self._full(name)
        self._check_writable()
        if nodes.kind(self._store, path, self.zarr_format) is None:
            raise NodeNotFoundError(f"no array or group {name!r} in {self._path or '/'!r} of {self._store.url}", path=path)
        nodes.delete(self._store, path)

    def __contains__(self, name: object) -> bool:
        try:
            path = self._full(name)
        except ArgumentError:
            return False  # nothing can have such a name
        return self._find(path) is not None

    def __iter__(self) -> Iterator[str]:
        if self._consolidated is None:
            return nodes.children(self._store, self._path, self.zarr_format)
        return iter(self._consolidated.children(self._path))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __eq__(self, other: object) -> bool:
        # A Mapping compares by content; that would read every array. Two groups are equal when they are the same place.
        return isinstance(other, Group) and (self._store, self._path) == (other._store, other._path)

    def __hash__(self) -> int:
        return hash((id(self._store), self._path))

    def arrays(self) -> Iterator[tuple[str, ZArray]]:
        """(name, array) for each array directly in the group."""
        return ((name, node) for name, node in self.members() if isinstance(node, ZArray))

    def groups(self) -> Iterator[tuple[str, Group]]:
        """(name, group) for each group directly in the group."""
        return ((name, node) for name, node in self.members() if isinstance(node, Group))

    def members(self, max_depth: int | None = 0) -> Iterator[tuple[str, ZArray | Group]]:
        """(path relative to this group, node) for each member; 0 stops at direct ones, None goes all the way down."""
        for name in self:
            node = self[name]
            yield name, node
            if isinstance(node, Group) and (max_depth is None or max_depth > 0):
                for below, child in node.members(None if max_depth is None else max_depth - 1):
                    yield f"{name}/{below}", child

    def tree(self) -> display.Tree:
        """The hierarchy below the group, to be printed."""
        return display.tree(self)

    # ---- making members --------------------------------------------------------------------------------

    def create_array(self, name: str, **create: Any) -> ZArray:
        """A new array under `name`, with the groups above it; keywords as for `ndzarr.create_array`.

        In the format of this group, or of the nearest one that is there under `name`, unless `zarr_format` says another.
        """
        path = self._full(name)
        self._check_writable()
        if self._holds(path):
            create.setdefault("zarr_format", self.zarr_format)
        return new_array(self._store, path, **create)

    def create_group(
        self, name: str, *, attributes: Any = None, overwrite: bool = False, zarr_format: int | None = None
    ) -> Group:
        """A new group under `name`, with the groups above it; its format as for `create_array`."""
        path = self._full(name)
        self._check_writable()
        version = zarr_format or (self.zarr_format if self._holds(path) else None)
        meta = new_group(self._store, path, attributes=attributes, overwrite=overwrite, zarr_format=version)
        return Group(self._store, path, meta, writable=True, allow_pickle=self._allow_pickle, missing=self._missing)

    def _holds(self, path: str) -> bool:
        """Whether a node at `path` lies directly in this group, so that nobody need look for a nearer one."""
        return path.rpartition("/")[0] == self._path

    def require_group(self, name: str) -> Group:
        """The group under `name`, made if there is none; ArgumentError if an array is there."""
        if name in self:
            node = self[name]
            if isinstance(node, Group):
                return node
            raise ArgumentError(f"{name!r} in {self._path or '/'!r} is an array, expected a group", path=node.path)
        return self.create_group(name)

    def require_array(self, name: str, *, shape: Any, dtype: Any = None, exact: bool = False, **create: Any) -> ZArray:
        """The array under `name`, made if there is none.

        Raises ArgumentError if a group is there, or an array of another shape or of a dtype that `dtype` cannot be cast to
        safely (with `exact`, of another dtype).
        """
        if name not in self:
            return self.create_array(name, shape=shape, dtype=dtype, **create)
        node = self[name]
        if not isinstance(node, ZArray):
            raise ArgumentError(f"{name!r} in {self._path or '/'!r} is a group, expected an array", path=node.path)
        lengths = shape_argument(shape)
        wanted = node.dtype if dtype is None else np.dtype(dtype)
        if node.shape != lengths or (node.dtype != wanted if exact else not np.can_cast(wanted, node.dtype, "safe")):
            raise ArgumentError(
                f"{name!r} in {self._path or '/'!r} has shape {node.shape} and dtype {node.dtype}, "
                f"expected {lengths} and {wanted}",
                path=node.path,
                found=(node.shape, node.dtype),
                expected=(lengths, wanted),
            )
        return node

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._store, self._path, self._writable, self._allow_pickle, self._missing)

    def __repr__(self) -> str:
        return display.group_repr(self)


def read_group(
    store: Store,
    path: str,
    meta: GroupMeta,
    *,
    writable: bool,
    allow_pickle: bool = False,
    missing: config.Missing | None = None,
) -> Group:
    """The group with these metadata; with its consolidated metadata if it is opened for reading only."""
    consolidated = None if writable else nodes.read_consolidated(store, path, meta)
    return Group(store, path, meta, writable=writable, allow_pickle=allow_pickle, missing=missing, consolidated=consolidated)


def _reopen(store: Store, path: str, writable: bool, allow_pickle: bool, missing: Any) -> Group:
    meta = nodes.read(store, path)
    if not isinstance(meta, GroupMeta):
        raise NodeNotFoundError(f"{path or '/'!r} in {store.url} is an array now", path=path)
    return read_group(store, path, meta, writable=writable, allow_pickle=allow_pickle, missing=missing)
