"""What a read takes out of one shard: cut over its inner chunks before it is fetched, then put in place. No store here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ndzarr._typing import Buffer
from ndzarr.chunks import Chunks, Result, ShardReader, decode_ns
from ndzarr.crew import share
from ndzarr.layout import Shard
from ndzarr.plan import Part, plan, within
from ndzarr.points import clusters
from ndzarr.shards import Found
from ndzarr.shortcuts import PointReader, TileReader
from ndzarr.tiles import tiles


@dataclass(frozen=True, slots=True)
class ShardCut:
    """A part's share of a shard by inner chunks. positions: which of them. items: what `reader` takes, one for each."""

    positions: list[int]
    items: list[Any]
    reader: type[TileReader[int] | PointReader[int]] | None


def cut_shard(part: Part, shard: Shard, result: Result) -> ShardCut:
    """The inner chunks of a shard that a part touches: tiles or clusters where `shortcuts` may read them, else parts."""
    selection, grid = within(part), shard.grid
    if result.field is None and shard.pipeline.quick() is not None:
        found: tuple[int, Iterator[Any]] | None
        reader: type[TileReader[int] | PointReader[int]]
        if selection.gather_axis is None:
            found, reader = tiles(selection, grid, shard.position), TileReader
        else:
            found, reader = clusters(selection, grid, shard.position), PointReader
        if found is not None:
            items = list(found[1])
            return ShardCut([item[1] for item in items], items, reader)
    parts = list(plan(selection, grid))
    return ShardCut([shard.position(inner.coords) for inner in parts], parts, None)


def place_shard(chunks: Chunks, part: Part, shard: Shard, cut: ShardCut, found: Found | None, result: Result) -> None:
    """Decode what was cut out of a shard and put it in its place; `found` is None where there is no such shard."""
    if found is None:
        chunks.missing(part, result, part.coords)
        return
    place = result.lift(part)
    general = ShardReader(chunks, part.coords, shard, found, place)
    work: Any = general
    if cut.reader is not None:

        def one(part: Part) -> None:
            general(iter([part]))

        work = cut.reader(found.getter(), shard.pipeline, place.out, shard.grid, one, one)
    share(iter(cut.items), work, decode_ns(shard.pipeline), result.options.workers, count=len(cut.items))
    result.lower(part, place)


def join_shard(shard: Shard, found: Found | None, made: Mapping[int, Buffer | None]) -> Buffer | None:
    """The new bytes of a shard of which some inner chunks were made anew; None where there are none left."""
    if found is None:
        return shard.codec.join(None, None, made)
    if found.data is not None:
        return shard.codec.join(found.data, found.index, made)
    # There were more gaps than is sensible to read: written again without them.
    return shard.codec.join(None, None, {**found.chunks, **made})
