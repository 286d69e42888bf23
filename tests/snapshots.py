"""What a store holds, as plain values: compared whole, or as something between two states."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import ndzarr

#: By path of each node: its attributes, and of an array its shape, dtype and values.
Snapshot = dict[str, dict[str, Any]]


def read(place: str) -> Snapshot:
    """All nodes of a store that is there, with all that they hold."""
    if not os.path.exists(place):
        return {}
    try:
        node = ndzarr.open(place, "r")
    except ndzarr.NodeNotFoundError:
        if os.path.isdir(place):
            found: Snapshot = {}
            for name in sorted(os.listdir(place)):  # groups are made from the top, but a store may lie deeper
                if not name.startswith(".") and os.path.isdir(os.path.join(place, name)):
                    found.update({f"{name}/{path}": node for path, node in read(os.path.join(place, name)).items()})
            return found
        raise
    if isinstance(node, ndzarr.ZArray):
        return {"": _told(node)}
    return {"": _told(node), **{path: _told(member) for path, member in node.members(max_depth=None)}}


def _told(node: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"attributes": dict(node.attrs)}
    if isinstance(node, ndzarr.ZArray):
        told |= {"shape": node.shape, "dtype": str(node.dtype), "values": node[...]}
    return told


def same(one: Snapshot, other: Snapshot) -> bool:
    return repr(one) == repr(other)


def between(found: Snapshot, old: Snapshot, new: Snapshot) -> bool:
    """Whether each node is one of the two, or holds nothing that is in neither; a further one is a group above one."""
    for path, node in found.items():
        before, after = old.get(path), new.get(path)
        if before is None and after is None:
            if "shape" in node or not any(name.startswith(path) for name in [*old, *new]):
                return False
        elif not (
            repr(node) in (repr(before), repr(after))
            or (before and after and _mixed(node, before, after))
            # a new array before anything was written to it
            or (after and "shape" in after and node["shape"] == after["shape"] and not node["values"].any())
        ):
            return False
    return all(path in found for path in old if path in new and "shape" not in old[path])


def _mixed(node: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> bool:
    if "shape" not in node or node["dtype"] != before["dtype"] or node["dtype"] != after["dtype"]:
        return False
    if node["attributes"] not in (before["attributes"], after["attributes"]):
        return False
    if node["shape"] not in (before["shape"], after["shape"]):
        return False
    for index, value in np.ndenumerate(node["values"]):
        allowed = {
            other["values"][index].item()
            for other in (before, after)
            if all(i < n for i, n in zip(index, other["shape"], strict=True))
        }
        if value.item() not in allowed:
            return False
    return True
