"""One element: the shortest way from an index to a scalar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import ByteRange, Coords
from ndzarr.codecs.base import ChunkSpec
from ndzarr.engine.objects import Engine
from ndzarr.fillvalue import element
from ndzarr.selection import Point, Selection


def read_point(engine: Engine, index: tuple[int, ...], *, masked: bool = False) -> Any:
    """One element, for plain ints already within bounds: the shortest way from an index to a scalar.

    Does what `read` does for a selection of Points only; a test compares the two.
    """
    layout = engine.layout
    coords = []
    local = []
    for i, axis in zip(index, layout.objects.axes, strict=True):
        coord = axis.find(i)
        coords.append(coord)
        local.append(i - axis.start(coord))
    spot = tuple(coords)
    cell = layout.uniform or layout.cell(spot)
    if (masked and layout.dtype.names and config.current().missing == "mask") or (
        cell.shard is not None and engine.cached is not None
    ):
        # A record of a masked array has a mask for each field.
        return engine.read(Selection(tuple([Point(i) for i in index]), (), (), scalar=True), masked=masked)
    pipeline = cell.pipeline
    inner: Coords | None = None
    if cell.shard is not None:
        axes = cell.shard.grid.axes
        inner = tuple([axis.find(i) for axis, i in zip(axes, local, strict=True)])
        position = cell.shard.position(inner)
        found = engine.fetch_shard(spot, cell, cell.shard, (position,))
        data = None if found is None else found.get(position)
        if data is not None:
            place = tuple([i - axis.start(coord) for axis, i, coord in zip(axes, local, inner, strict=True)])
            decode = cell.shard.pipeline.quick()
            chunk = None if decode is None else decode(data)
            if chunk is None:
                chunk = engine.chunks.decode(cell.shard.pipeline, data, None, spot, inner)
            return _own(chunk[place])
        if found is None:
            inner = None  # it is the shard that is missing
    elif engine.cached is not None and engine.cached.takes(pipeline):
        chunk = engine.cached.chunk(spot, pipeline)
        if chunk is not None:
            return _own(chunk[tuple(local)])
    elif pipeline.raw:
        dtype = layout.dtype
        offset = _offset(local, cell.chunk)
        data = engine.store.get(layout.key(spot), ByteRange(offset, offset + dtype.itemsize))
        if data is not None:
            if len(data) != dtype.itemsize:
                raise engine.chunks.short(spot, offset, len(data), dtype.itemsize)
            return _own(np.frombuffer(data, dtype)[0])
    else:
        data = engine.store.get(layout.key(spot), engine.reach(cell, None))
        if data is not None:
            if pipeline.divisible:
                one = pipeline.stretch(data, _offset(local, cell.chunk), layout.dtype.itemsize)
                if one is not None:
                    return _own(np.frombuffer(one, layout.dtype)[0])
            return _own(engine.chunks.decode(pipeline, data, None, spot)[tuple(local)])
    if engine.chunks.allowed(spot, config.current(), inner) and masked:
        return np.ma.masked
    return _own(element(layout.fill, layout.dtype)[()]) if layout.dtype.kind == "O" else _own(layout.fill)


def _offset(local: Sequence[int], chunk: ChunkSpec) -> int:
    """Where an element lies in the memory of a chunk, in bytes."""
    offset = 0
    for step, extent in zip(local, chunk.shape, strict=True):
        offset = offset * extent + step
    return offset * chunk.dtype.itemsize


def _own(scalar: Any) -> Any:
    """`scalar`, copied where NumPy's scalar is a view: records can be changed, and would change what they were read from."""
    return scalar.copy() if type(scalar) is np.void else scalar
