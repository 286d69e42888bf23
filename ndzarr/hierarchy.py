"""A whole hierarchy from nested mappings: what is asked for, checked before anything is written, then made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr import nodes
from ndzarr._typing import Json
from ndzarr.creation import ARRAY_KEYWORDS, format_for, new_group, planned_array, put_node
from ndzarr.errors import ArgumentError, NodeExistsError
from ndzarr.formats.document import attribute_mapping
from ndzarr.formats.newarray import make_group
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import GroupMeta
from ndzarr.node import Node
from ndzarr.relocation import IfExists, check_apart, transfer
from ndzarr.stores.base import Store
from ndzarr.zarray import ZArray

#: The key of a group's own attributes among its members.
ATTRIBUTES = "attributes"
_DATA = "data"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One node. path: relative to where the hierarchy is put."""

    path: str


@dataclass(frozen=True, slots=True)
class _Group(_Wanted):
    attributes: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class _Array(_Wanted):
    create: Mapping[str, Any]
    data: Any


@dataclass(frozen=True, slots=True)
class _Copy(_Wanted):
    node: Node


def is_array(value: Mapping[str, Any]) -> bool:
    """Whether a mapping says how to create an array: it has "shape" or "data", and nothing that create_array does not take."""
    return bool(value.keys() & {"shape", _DATA}) and value.keys() <= ARRAY_KEYWORDS | {_DATA}


@dataclass(frozen=True, slots=True)
class Plan:
    """A hierarchy that was checked, nothing of which is written."""

    store: Store
    path: str
    zarr_format: int
    overwrite: bool
    wanted: Sequence[_Wanted]
    arrays: Mapping[str, ZArray]

    def make(self) -> None:
        """Write it."""
        for node in self.wanted:
            full = join(self.path, node.path)
            if isinstance(node, _Array):
                array = self.arrays[node.path]
                put_node(self.store, full, array._meta, overwrite=self.overwrite)
                if node.data is not None:
                    array[...] = node.data
            elif isinstance(node, _Copy):
                how: IfExists = "replace" if self.overwrite else "raise"
                transfer(node.node.store, node.node.path, self.store, full, move=False, if_exists=how)
            elif isinstance(node, _Group):
                _make_group(self.store, full, node, self.zarr_format, self.overwrite)


def plan(
    store: Store, path: str, members: Mapping[str, Any], zarr_format: int, *, overwrite: bool = False, fresh: bool = False
) -> Plan:
    """All members under the group at `path`, checked; see `Group.create_hierarchy`.

    fresh: whether the group is made anew, so that nothing in it may be what is copied, or in the way.
    """
    if not isinstance(members, Mapping):
        raise ArgumentError(f"members must be a mapping, found {members!r}", field="members", found=members)
    wanted = list(_wanted("", members))
    _check_places(wanted)
    arrays = {}
    for node in wanted:
        full = join(path, node.path)
        try:
            if isinstance(node, _Array):
                arrays[node.path] = planned_array(store, full, **{"zarr_format": zarr_format, **node.create})
                if isinstance(node.data, ZArray):
                    check_apart(node.data.store, node.data.path, store, path if fresh else full, "copy")
            elif isinstance(node, _Group):
                make_group(full, node.attributes, zarr_format)
            elif isinstance(node, _Copy):
                check_apart(node.node.store, node.node.path, store, path if fresh else full, "copy")
        except Exception as error:
            error.add_note(f"in the member {node.path!r}")
            raise
    if not fresh:
        for node in wanted:
            nodes.check_spelling(store, join(path, node.path))
    if not overwrite and not fresh:
        _check_free(store, path, wanted, zarr_format)
    return Plan(store, path, zarr_format, overwrite, wanted, arrays)


def create_group(
    store: Store,
    path: str,
    *,
    attributes: Mapping[str, Json] | None = None,
    members: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    zarr_format: int | None = None,
) -> GroupMeta:
    """Make a group at `path`, its ancestors too, and what is to be in it; its metadata."""
    version = format_for(store, path, zarr_format)
    inside = None if members is None else plan(store, path, members, version, fresh=True)
    meta = new_group(store, path, attributes=attributes, overwrite=overwrite, zarr_format=version)
    if inside is not None:
        inside.make()
    return meta


def _make_group(store: Store, path: str, node: _Group, zarr_format: int, overwrite: bool) -> None:
    found = nodes.kind(store, path, zarr_format)
    if found != "group":
        put_node(store, path, GroupMeta(node.attributes, zarr_format), overwrite=overwrite)
    elif node.attributes:
        nodes.update_attributes(store, path, lambda stored: stored.update(node.attributes))


def _wanted(path: str, members: Mapping[str, Any]) -> Iterator[_Wanted]:
    """The nodes of a mapping, each group before what is in it."""
    for name, value in members.items():
        if not isinstance(name, str):
            raise ArgumentError(f"a member's name must be a string, found {name!r} in {path or '/'!r}", found=name)
        if name == ATTRIBUTES:
            if path:
                continue  # of the group, which has them
            raise ArgumentError(
                f"{ATTRIBUTES!r} is no name of a member here: in a mapping inside it gives a group's attributes; those of the "
                "outermost group are an argument",
                field=ATTRIBUTES,
            )
        full = join(path, normalize_path(name))
        if full == path:
            raise ArgumentError(f"{name!r} is no name of a member", found=name)
        yield from _node(full, value)


def _node(path: str, value: Any) -> Iterator[_Wanted]:
    if isinstance(value, Node):
        yield _Copy(path, value)
    elif not isinstance(value, Mapping):
        data = np.asarray(value)
        yield _Array(path, {"shape": data.shape, "dtype": data.dtype}, data)
    elif is_array(value):
        create = {name: given for name, given in value.items() if name != _DATA}
        data = None
        if _DATA in value:
            data = value[_DATA] if isinstance(value[_DATA], ZArray) else np.asarray(value[_DATA])
            create = {"shape": data.shape, "dtype": data.dtype, **create}
        yield _Array(path, create, data)
    else:
        yield _Group(path, attribute_mapping(value.get(ATTRIBUTES, {})))
        yield from _wanted(path, value)


def _check_places(wanted: list[_Wanted]) -> None:
    """ArgumentError for two nodes in one place, or one inside an array."""
    places: dict[str, _Wanted] = {}
    for node in wanted:
        if node.path in places:
            raise ArgumentError(f"there are two members {node.path!r}", path=node.path)
        places[node.path] = node
    for node in wanted:
        for above in nodes.ancestors(node.path):
            if above in places and not isinstance(places[above], _Group):
                raise ArgumentError(
                    f"{node.path!r} cannot lie in {above!r}, which is no group of this hierarchy", path=node.path
                )


def _check_free(store: Store, path: str, wanted: list[_Wanted], zarr_format: int) -> None:
    """NodeExistsError, before anything is written, where something is in a member's place; a group may be there for a group."""
    there = {name: isinstance(meta, GroupMeta) for name, meta in nodes.members(store, path, zarr_format, None)}
    for node in wanted:
        if node.path in there and not (isinstance(node, _Group) and there[node.path]):
            raise NodeExistsError(
                f"there is something at {join(path, node.path)!r} in {store.url} already; pass overwrite=True to replace it "
                "with all that it holds",
                store=store.url,
                path=join(path, node.path),
            )
