"""Group: a mapping of nodes."""

from __future__ import annotations

import warnings
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, Literal, TypeAlias

import numpy as np

from ndzarr import config, display, hierarchy, nodes, treeview
from ndzarr.chunkcache import ChunkCache, cache_of
from ndzarr.creation import new_array, values_of
from ndzarr.errors import ArgumentError, DamagedNodeWarning, MetadataError, NodeNotFoundError
from ndzarr.formats.consolidated import Consolidated
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import ArrayMeta, GroupMeta, shape_argument
from ndzarr.node import Node
from ndzarr.process import arrived
from ndzarr.progress import Progress
from ndzarr.relocation import IfExists, Transfer, transfer
from ndzarr.staleness import Recorded, stale
from ndzarr.stores.base import Store
from ndzarr.zarray import ZArray

#: What is done with a member whose metadata cannot be understood.
OnDamage: TypeAlias = Literal["warn", "raise"]
_MISSING = object()


class Group(Node, MutableMapping[str, Any]):
    """Arrays and groups under one path, as a mapping: `g["a/b"]`, `"a" in g`, `list(g)`, `del g["a"]`.

    `g["x"] = data` writes an array, `g["x"] = another_array_or_group` copies it as the bytes it is, and a mapping makes a group
    with members. Iteration gives the names of direct members, sorted. A group opened with mode "r" goes by consolidated
    metadata where there are any, with no further request; else, and with the other modes, it always looks: `members`, `items`
    and their kin ask for one listing and for all documents together.

    A member whose metadata cannot be understood does not hide the others: its name is listed, `g[name]` raises its
    MetadataError, and `members` and all that goes by it leave it out with a DamagedNodeWarning.

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
        chunk_cache: ChunkCache | None = None,
        consolidated: Consolidated | None = None,
        recorded: Recorded | None = None,
    ) -> None:
        """consolidated: what to go by instead of looking. recorded: what to compare arrays with, where writable."""
        super().__init__(store, path, writable=writable, allow_pickle=allow_pickle, missing=missing, chunk_cache=chunk_cache)
        self._group_meta = meta
        self._consolidated = consolidated
        if recorded is None and writable:
            recorded = Recorded(store, path, meta)
        self._recorded = recorded

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
            if self._recorded is not None:
                self._recorded.compare(path, meta, 3)
            return ZArray(
                self._store,
                path,
                meta,
                writable=self._writable,
                allow_pickle=self._allow_pickle,
                missing=self._missing,
                chunk_cache=self._chunk_cache,
            )._of(self._home)
        return Group(
            self._store,
            path,
            meta,
            writable=self._writable,
            allow_pickle=self._allow_pickle,
            missing=self._missing,
            chunk_cache=self._chunk_cache,
            consolidated=self._consolidated,
            recorded=self._recorded,
        )._of(self._home)

    def __getitem__(self, name: str) -> ZArray | Group:
        path = self._full(name)
        meta = self._find(path)
        if meta is None:
            raise self._nothing(name, path)
        return self._node(path, meta)

    def __setitem__(self, name: str, value: Any) -> None:
        path = self._full(name)
        if isinstance(value, Node):
            self._check_writable()
            if value.store.object_id(join(value.path, "zarr.json")) != self._store.object_id(join(path, "zarr.json")):
                transfer(value.store, value.path, self._store, path, move=False, if_exists="replace")
        elif isinstance(value, Mapping) and not hierarchy.is_array(value):
            members = {inner: node for inner, node in value.items() if inner != hierarchy.ATTRIBUTES}
            self.create_group(name, attributes=value.get(hierarchy.ATTRIBUTES), members=members, overwrite=True)
        elif isinstance(value, Mapping):
            self.create_hierarchy({name: value}, overwrite=True)
        else:
            data = np.asarray(value)
            self.create_array(name, shape=data.shape, dtype=data.dtype, overwrite=True)[...] = data

    def __delitem__(self, name: str) -> None:
        path = self._full(name)
        self._check_writable()
        if nodes.kind(self._store, path, self.zarr_format) is None:
            raise self._nothing(name, path)
        nodes.delete(self._store, path)

    def _nothing(self, name: str, path: str) -> NodeNotFoundError:
        return NodeNotFoundError(
            f"no array or group {name!r} in {self._path or '/'!r} of {self._store.url}", store=self._store.url, path=path
        )

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        """Remove a member; an array as NumPy's, a group as a dict of its members, since nothing is left to be read."""
        if default is not _MISSING and name not in self:
            return default
        self._check_writable()
        value = loaded(self[name])
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the first member; its name, and what `pop` gives. KeyError for an empty group."""
        name = next(iter(self), None)
        if name is None:
            raise KeyError(f"{self._path or '/'!r} in {self._store.url} has no members")
        return name, self.pop(name)

    def clear(self) -> None:
        """Delete every member, unread."""
        self._check_writable()
        for name in list(self):
            del self[name]

    def setdefault(self, name: str, default: Any = None) -> ZArray | Group:
        """The member of that name, made of `default` if there is none."""
        if name not in self:
            self[name] = default
        return self[name]

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

    def items(self) -> ItemsView[str, Any]:
        """(name, node) for each direct member; their documents are asked for together."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Each direct member; their documents are asked for together."""
        return _Values(self)

    def arrays(self) -> Iterator[tuple[str, ZArray]]:
        """(name, array) for each array directly in the group."""
        return ((name, node) for name, node in self.members() if isinstance(node, ZArray))

    def groups(self) -> Iterator[tuple[str, Group]]:
        """(name, group) for each group directly in the group."""
        return ((name, node) for name, node in self.members() if isinstance(node, Group))

    def members(self, max_depth: int | None = 0, *, damaged: OnDamage = "warn") -> Iterator[tuple[str, ZArray | Group]]:
        """(path relative to this group, node) for each member; 0 stops at direct ones, None goes all the way down.

        Sorted, each group followed by what is in it. damaged: what a member does whose metadata cannot be understood: "warn"
        leaves it out with a DamagedNodeWarning that names it, "raise" raises its MetadataError. A store that fails raises.
        """
        if damaged not in ("warn", "raise"):
            raise ArgumentError(f"damaged is {damaged!r}, expected 'warn' or 'raise'", field="damaged", found=damaged)
        for name, node in self._nodes(max_depth):
            if not isinstance(node, MetadataError):
                yield name, node
            elif damaged == "raise":
                raise node
            else:
                warnings.warn(f"left out {name!r}: {node}", DamagedNodeWarning, stacklevel=2)

    def _nodes(self, max_depth: int | None) -> Iterator[tuple[str, ZArray | Group | MetadataError]]:
        if max_depth is not None and max_depth < 0:
            raise ArgumentError(f"max_depth is {max_depth!r}, expected 0, a number above it, or None", field="max_depth")
        for name, meta in self.metadata_of_members(max_depth):
            if isinstance(meta, MetadataError):
                yield name, meta
                continue
            try:
                node = self._node(join(self._path, name), meta)
            except MetadataError as error:  # a codec that is not known
                yield name, error
                continue
            yield name, node

    def metadata_of_members(self, max_depth: int | None = 0) -> Iterator[nodes.Member]:
        """(path relative to this group, metadata) as for `members`; a MetadataError where they cannot be understood."""
        if self._consolidated is None:
            return nodes.members(self._store, self._path, self.zarr_format, max_depth)
        return self._consolidated.walk(self._path, max_depth)

    def walk(self) -> Iterator[tuple[str, ZArray | Group]]:
        """(path relative to this group, node) for every node below, each group followed by what is in it."""
        return self.members(None)

    def tree(self, max_depth: int | None = None) -> treeview.Tree:
        """The hierarchy below the group, to be printed or shown in a notebook, without data; `max_depth` as for `members`."""
        return treeview.tree(self, self._nodes(max_depth))

    def digest(self, *, algorithm: str = "sha256", progress: Progress = None) -> str:
        """A digest of all that lies below the group: names of members, and of each array what `ZArray.digest` covers.

        Attributes do not count, nor does how anything is stored. docs/knowing.md defines it. progress counts elements. Raises
        what reading raises, MetadataError for a damaged member, and ArgumentError as `ZArray.digest` does.
        """
        from ndzarr.digesting import group_digest  # of use to few

        found = dict(self.members(None, damaged="raise"))
        return group_digest({k: v if isinstance(v, ZArray) else None for k, v in found.items()}, algorithm, progress)

    def stale(self) -> list[str]:
        """The paths, relative to this group, for which its consolidated metadata say something else than the nodes themselves.

        Nodes that only one of the two knows are among them. Other programs may change nodes behind consolidated metadata; what
        is written through ndzarr does not. One listing, and all documents together; [] where there are none consolidated.
        """
        return stale(self._store, self._path)

    @property
    def consolidated(self) -> bool:
        """Whether this handle goes by consolidated metadata."""
        return self._consolidated is not None

    # ---- making members --------------------------------------------------------------------------------

    def create_array(self, name: str, *, data: Any = None, **create: Any) -> ZArray:
        """A new array under `name`, with the groups above it; keywords as for `ndzarr.create_array`.

        data: what it is to hold, which also says of which shape and dtype it is. In the format of this group, or of the nearest
        one that is there under `name`, unless `zarr_format` says another.
        """
        path = self._full(name)
        self._check_writable()
        if self._holds(path):
            create.setdefault("zarr_format", self.zarr_format)
        create.setdefault("chunk_cache", self._chunk_cache)
        if data is None:
            return new_array(self._store, path, **create)
        values, dtype = values_of(data, create.pop("dtype", None), gone=bool(create.get("overwrite")))
        z = new_array(self._store, path, **{"shape": values.shape, "dtype": dtype, **create})
        z[...] = values
        return z

    def create_group(
        self,
        name: str,
        *,
        attributes: Any = None,
        members: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        zarr_format: int | None = None,
    ) -> Group:
        """A new group under `name`, with the groups above it; its format as for `create_array`.

        members: what is to be in it, as for `create_hierarchy`.
        """
        path = self._full(name)
        self._check_writable()
        version = zarr_format or (self.zarr_format if self._holds(path) else None)
        meta = hierarchy.create_group(
            self._store, path, attributes=attributes, members=members, overwrite=overwrite, zarr_format=version
        )
        return Group(
            self._store,
            path,
            meta,
            writable=True,
            allow_pickle=self._allow_pickle,
            missing=self._missing,
            chunk_cache=self._chunk_cache,
        )

    def create_hierarchy(self, members: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Make arrays and groups from nested mappings of names, or paths, to what is to be there.

        A mapping is a group, and its "attributes" that group's attributes. A mapping in which "shape" or "data" is, and nothing
        but what `create_array` takes besides, is an array. Anything else is an array's data; an array or group in a store is
        copied as the bytes it is.

        All of it is checked before anything is written. Groups that are there already get the attributes and members; any
        other node that is raises NodeExistsError, unless `overwrite`.

        >>> import ndzarr
        >>> g = ndzarr.create_group(None)
        >>> g.create_hierarchy({
        ...     "time": [0.0, 0.5, 1.0],
        ...     "ocean": {
        ...         "attributes": {"source": "model"},
        ...         "sst": {"shape": (3, 180, 360), "dtype": "f4", "chunks": (1, 180, 360), "attributes": {"units": "K"}},
        ...     },
        ... })
        >>> g.tree()
        /
        ├── ocean
        │   └── sst (3, 180, 360) float32
        └── time (3,) float64
        """
        self._check_writable()
        hierarchy.plan(self._store, self._path, members, self.zarr_format, overwrite=overwrite).make()

    def _holds(self, path: str) -> bool:
        """Whether a node at `path` lies directly in this group, so that nobody need look for a nearer one."""
        return path.rpartition("/")[0] == self._path

    def require_group(self, name: str) -> Group:
        """The group under `name`, made if there is none; ArgumentError if an array is there."""
        if name in self:
            node = self[name]
            nodes.check_spelling(self._store, node.path)
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
        nodes.check_spelling(self._store, node.path)
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

    # ---- moving members --------------------------------------------------------------------------------

    def copy(
        self,
        source: str | ZArray | Group,
        dest: str | Group,
        *,
        name: str | None = None,
        if_exists: IfExists = "raise",
        dry_run: bool = False,
        progress: Progress = None,
    ) -> Transfer:
        """Copy a member, or any array or group, to the path `dest` in this group, or into the group `dest`.

        name: its path in the group `dest`; by default it keeps its own name. All else as for `ndzarr.copy`.
        """
        node = self[source] if isinstance(source, str) else source
        holder, path = self._place(node, dest, name)
        return transfer(
            node.store, node.path, holder.store, path, move=False, if_exists=if_exists, dry_run=dry_run, progress=progress
        )

    def move(
        self,
        source: str,
        dest: str | Group,
        *,
        name: str | None = None,
        if_exists: IfExists = "raise",
        dry_run: bool = False,
        progress: Progress = None,
    ) -> Transfer:
        """Move a member to the path `dest` in this group, or into the group `dest`; see `copy` and `ndzarr.move`."""
        self._check_writable()
        node = self[source]
        holder, path = self._place(node, dest, name)
        return transfer(
            node.store, node.path, holder.store, path, move=True, if_exists=if_exists, dry_run=dry_run, progress=progress
        )

    def rename(self, source: str, name: str, *, if_exists: IfExists = "raise") -> Transfer:
        """Give a member another name in the group that it is in."""
        above = normalize_path(source).rpartition("/")[0]
        if not normalize_path(name) or "/" in normalize_path(name):
            raise ArgumentError(f"{name!r} is no name without a path; `move` goes to another group", found=name)
        return self.move(source, join(above, normalize_path(name)), if_exists=if_exists)

    def delete(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove a member with all that it holds; as `del g[name]`, which a missing one is an error for."""
        try:
            del self[name]
        except NodeNotFoundError:
            if not missing_ok:
                raise

    def _place(self, node: ZArray | Group, dest: str | Group, name: str | None) -> tuple[Group, str]:
        """The group whose handle has to be writable, and the path in its store."""
        if not isinstance(dest, Group):
            if name is not None:
                raise ArgumentError("name= is for a group as dest; put it into the path", field="name", found=name)
            self._check_writable()
            return self, self._full(dest)
        dest._check_writable()
        return dest, dest._full(node.path.rpartition("/")[2] if name is None else name)

    def __reduce__(self) -> tuple[Any, ...]:
        limit = None if self._chunk_cache is None else self._chunk_cache.limit
        arguments = (self._store, self._path, self._writable, self._allow_pickle, self._missing, self.consolidated, limit)
        return _reopen, (*arguments, self._home)

    def __repr__(self) -> str:
        return display.group_repr(self)

    def _repr_html_(self) -> str:
        from ndzarr import notebook  # of no use where there is no notebook

        return notebook.group_html(self)


class _Items(ItemsView[str, Any]):
    """`Group.items()`: the mixin's own would look up each name by itself."""

    _mapping: Group

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._mapping.members()


class _Values(ValuesView[Any]):
    """`Group.values()`."""

    _mapping: Group

    def __iter__(self) -> Iterator[Any]:
        return (node for _, node in self._mapping.members())


def loaded(node: ZArray | Group) -> Any:
    """An array as NumPy's, a group as a dict of its members, each loaded likewise; MetadataError for a damaged one."""
    if isinstance(node, ZArray):
        return node[...]
    return {name: loaded(member) for name, member in node.members(damaged="raise")}


def open_node(
    store: Store,
    path: str,
    *,
    writable: bool,
    group: bool = False,
    consolidated: bool | None = None,
    allow_pickle: bool = False,
    missing: config.Missing | None = None,
    chunk_cache: ChunkCache | None = None,
) -> ZArray | Group | None:
    """The node at `path`, None where there is none; a group that is opened for reading with its consolidated metadata.

    group: whether a group is expected. consolidated: False to look at the nodes themselves, True to raise ArgumentError where a
    group has no consolidated metadata.
    """
    look = writable or consolidated is False
    meta, members = (
        (nodes.find(store, path), None) if look else nodes.find_consolidated(store, path, group=group) or (None, None)
    )
    if meta is None:
        return None
    if isinstance(meta, ArrayMeta):
        return ZArray(store, path, meta, writable=writable, allow_pickle=allow_pickle, missing=missing, chunk_cache=chunk_cache)
    if consolidated and (nodes.read_consolidated(store, path, meta) if look else members) is None:
        raise ArgumentError(
            f"{path or '/'!r} in {store.url} has no consolidated metadata; call ndzarr.consolidate, or leave consolidated=None",
            field="consolidated",
            path=path,
        )
    return Group(
        store,
        path,
        meta,
        writable=writable,
        allow_pickle=allow_pickle,
        missing=missing,
        chunk_cache=chunk_cache,
        consolidated=members,
    )


def _reopen(
    store: Store,
    path: str,
    writable: bool,
    allow_pickle: bool,
    missing: Any,
    consolidated: bool,
    cache: int | None = None,
    home: bytes | None = None,
) -> Group:
    found = open_node(
        store,
        path,
        writable=writable,
        group=True,
        consolidated=None if consolidated else False,
        allow_pickle=allow_pickle,
        missing=missing,
        chunk_cache=cache_of(cache),
    )
    if found is None:
        raise nodes.nowhere(store, path)
    if not isinstance(found, Group):
        raise NodeNotFoundError(f"{path or '/'!r} in {store.url} is an array now", path=path)
    return found if home is None else found._of(arrived(home))
