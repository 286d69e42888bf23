"""Which elements lie in chunks that exist, found without reading a chunk."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndzarr.codecs.sharding_indexed import MISSING
from ndzarr.engine.objects import Engine
from ndzarr.memory import room
from ndzarr.plan import count_parts, plan, within
from ndzarr.scatter import fill, lift, lower
from ndzarr.selection import Selection

#: One listing is cheaper than look-ups of one chunk in so many, or more.
_LIST_FROM = 4


def presence(engine: Engine, selection: Selection) -> Any:
    """Booleans shaped like a read of `selection`: True where the element lies in a chunk that exists.

    Costs one look-up an object, or one listing where most of the grid is touched, and the index of each shard. A shard
    inside a shard, or one that other codecs follow, is one chunk.
    """
    out = room(selection.work_shape, np.dtype(bool), f"a result of shape {selection.shape}")
    objects = engine.layout.objects
    # A listing tells of objects only, and costs as much as there are.
    listed = None
    if engine.layout.grid is objects and count_parts(selection, objects) * _LIST_FROM >= objects.nchunks > _LIST_FROM:
        listed = set(engine.stored())
    for part in plan(selection, objects) if out.size else ():
        cell = engine.cell(part)
        if cell.shard is None:
            fill(part, out, engine.size(part.coords) is not None if listed is None else part.coords in listed)
            continue
        index = engine.index(part.coords, cell.shard)
        if index is None:
            fill(part, out, False)
            continue
        place = lift(part, out)
        for inner in plan(within(part), cell.shard.grid):
            fill(inner, place, not bool((index[cell.shard.position(inner.coords)] == MISSING).all()))
        if not part.simple:
            lower(part, place, out)
    found = out.reshape(selection.shape)
    return found[()] if selection.scalar else found
