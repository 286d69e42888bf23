"""Chunks of shards by way of the cache of decoded chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndzarr.chunkcache import CachedChunks, CachedShardReader
from ndzarr.chunks import Result, decode_ns
from ndzarr.crew import share
from ndzarr.layout import Cell, Shard
from ndzarr.plan import Part, plan, within

if TYPE_CHECKING:
    from ndzarr.engine.objects import Engine


def read_cached_shard(engine: Engine, cached: CachedChunks, part: Part, cell: Cell, shard: Shard, result: Result) -> None:
    """Read a part of a shard: chunks that are not in the cache are fetched, and all are of one version of the shard."""
    parts = list(plan(within(part), shard.grid))
    positions = [shard.position(inner.coords) for inner in parts]
    found = None
    held = cached.inner(part.coords, shard, positions)
    if held is not None and len(held.chunks) < len(positions):
        found = engine.fetch_shard(part.coords, cell, shard, [p for p in positions if p not in held.chunks])
        if found is not None and held.chunks and found.tag != held.tag:
            held.chunks.clear()
            found = engine.fetch_shard(part.coords, cell, shard, positions)
        if found is None:
            held = None
    if held is None:
        engine.chunks.missing(part, result, part.coords)
        return
    place = result.lift(part)
    work = CachedShardReader(engine.chunks, part.coords, shard, found, place, held, cached.cache)
    share(iter(parts), work, decode_ns(shard.pipeline), result.options.workers, count=len(parts))
    result.lower(part, place)
