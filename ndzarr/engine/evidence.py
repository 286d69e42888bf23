"""Whole stored objects, what tells of their changes, and the record of what they hold that is kept beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Coords, NDArray
from ndzarr.engine.objects import Engine
from ndzarr.errors import CorruptChunkError
from ndzarr.fillvalue import element
from ndzarr.keys import STATISTICS, join
from ndzarr.shards import Found


def read_record(engine: Engine) -> Buffer | None:
    """The bytes of the array's record of statistics; None where there is none, or it is larger than `options(max_object)`."""
    most = config.current().max_object
    data = engine.store.get(join(engine.path, STATISTICS), ByteRange(0, most + 1))
    return None if data is None or len(data) > most else data


def write_record(engine: Engine, data: Buffer) -> None:
    """Put a record in the place of the one before."""
    engine.store.set(join(engine.path, STATISTICS), data)


def evidence(engine: Engine, coords: Sequence[Coords]) -> list[str | None]:
    """`Store.evidence` of objects."""
    if engine.store.evidence_after_s is None:
        return [None for _ in coords]
    return engine.store.evidence([engine.layout.key(spot) for spot in coords])


def evidence_after_s(engine: Engine) -> float | None:
    """`Store.evidence_after_s`."""
    return engine.store.evidence_after_s


def whole_objects(engine: Engine, coords: Sequence[Coords]) -> list[Buffer | None]:
    """The bytes of objects, all there are; None for those that are not there. One call of the store.

    Of one that is larger than any correct object, one byte more than those, which nothing takes for a good one.
    """
    layout = engine.layout
    reach = [ByteRange(0, engine.most(layout.uniform or layout.cell(spot)) + 1) for spot in coords]
    if len(coords) == 1:
        return [engine.store.get(layout.key(coords[0]), reach[0])]
    return engine.store.get_many([(layout.key(spot), range) for spot, range in zip(coords, reach, strict=True)])


def encoded_in(engine: Engine, coords: Coords, data: Buffer) -> dict[Coords, Buffer]:
    """The encoded bytes of each chunk that an object's bytes hold, by the chunk's own coords. Raises CorruptChunkError."""
    cell = engine.layout.uniform or engine.layout.cell(coords)
    if cell.shard is None:
        return {coords: data}
    codec = cell.shard.codec
    try:
        found = Found(codec, codec.split(data), None, data, {})
        return engine.chunks_of(coords, cell.shard, found)
    except CorruptChunkError as error:
        raise engine.chunks.named(error, coords) from error


def chunk_in(engine: Engine, coords: Coords, spot: Coords, data: Buffer | None) -> NDArray:
    """What the encoded chunk `spot` of the object at `coords` holds, cut at the edge of the array; None is one not there."""
    layout = engine.layout
    valid = layout.grid.valid(spot)
    if data is None:
        blank = np.empty(valid, layout.dtype)
        blank[...] = element(layout.fill, layout.dtype)
        return blank
    cell = layout.uniform or layout.cell(coords)
    chunk = engine.chunks.decode(cell.pipeline if cell.shard is None else cell.shard.pipeline, data, None, coords)
    inside = tuple([slice(0, n) for n in valid])
    return np.asarray(chunk[inside] if inside else chunk)  # of no axes an index makes a scalar, which NumPy may read otherwise
