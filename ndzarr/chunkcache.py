"""Decoded chunks kept in memory, up to a number of bytes, for the next read of any part of them; off unless asked for.

What is kept is never believed, only checked: each read of a chunk asks the store for the tag of the object that it came from,
and a chunk of another version of it is decoded anew. So no write that is done, by whichever handle, thread, process or program,
is ever missed, and nobody has to tell a cache of one. That costs a request for each object that a read touches: some 2 us in a
directory, where fetching and decoding a chunk of 1 MiB takes several hundred. A store without tags is asked for the whole
encoded chunk each time, which is then compared; only decoding is saved.

Compare h5py's `rdcc_nbytes`, which sees no other program's writes, and tensorstore's `cache_pool` with `recheck_cached_data`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from ndzarr._typing import Buffer, ByteRange, Coords, DType, Key, NDArray
from ndzarr.chunks import Chunks, Result
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.fields import field_of
from ndzarr.layout import Shard
from ndzarr.plan import Part, plan, within
from ndzarr.scatter import take
from ndzarr.shards import Answer, Found
from ndzarr.sizes import nbytes_of
from ndzarr.stores.base import own_lock

#: How many tags are asked for in one call.
_RUN = 1024

#: The key of an object, and the position of a chunk in it; of an object that is one chunk, 0.
Place: TypeAlias = tuple[Key, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A chunk, read-only, what it was decoded by, and the tag of the object that it came from."""

    chunk: NDArray
    pipeline: Pipeline
    tag: Hashable
    nbytes: int


class ChunkCache:
    """`z.chunk_cache`: the decoded chunks kept for one array, or for all arrays opened through one group.

    Those used last are kept. `hits` and `misses` count the chunks that reads wanted; one that turns out to be of an old
    version is a miss. Safe to use from any thread.
    """

    __slots__ = ("__weakref__", "_held", "_hits", "_limit", "_lock", "_misses", "_nbytes")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Place, _Held] = OrderedDict()
        self._nbytes = self._hits = self._misses = 0
        self._lock: Any
        own_lock(self)

    @property
    def limit(self) -> int:
        """The most bytes of chunks that are kept."""
        return self._limit

    @property
    def nbytes(self) -> int:
        """The bytes of the chunks that are kept now."""
        return self._nbytes

    @property
    def hits(self) -> int:
        """How many chunks were found here."""
        return self._hits

    @property
    def misses(self) -> int:
        """How many chunks had to be fetched and decoded; those that were never written are not counted."""
        return self._misses

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return True  # an empty cache is one

    def clear(self) -> None:
        """Give back all memory; the counts stay."""
        with self._lock:
            self._held.clear()
            self._nbytes = 0

    def find(self, place: Place, pipeline: Pipeline) -> _Held | None:
        """What is kept for a place, by this pipeline; whoever takes it checks the tag, and calls `found`."""
        held = self._held.get(place)
        return held if held is not None and held.pipeline is pipeline else None

    def found(self, places: Iterable[Place]) -> None:
        """Count hits, and note that these were used."""
        with self._lock:
            for place in places:
                self._hits += 1
                if place in self._held:
                    self._held.move_to_end(place)

    def put(self, place: Place, chunk: NDArray, pipeline: Pipeline, tag: Hashable, extra: int = 0) -> NDArray:
        """Count a miss, keep the chunk, and give it, read-only; `extra`: bytes that its tag takes."""
        chunk.flags.writeable = False
        held = _Held(chunk, pipeline, tag, chunk.nbytes + extra)
        with self._lock:
            self._misses += 1
            self._forget(place)
            if held.nbytes <= self._limit:
                self._held[place] = held
                self._nbytes += held.nbytes
                while self._nbytes > self._limit:
                    self._forget(next(iter(self._held)))
        return chunk

    def forget(self, place: Place) -> None:
        """Drop what is kept for a place."""
        with self._lock:
            self._forget(place)

    def _forget(self, place: Place) -> None:
        held = self._held.pop(place, None)
        if held is not None:
            self._nbytes -= held.nbytes

    def __repr__(self) -> str:
        counts = f"{len(self)} chunks, {self._nbytes} of {self._limit} bytes, {self._hits} hits, {self._misses} misses"
        return f"<ChunkCache {counts}>"


def cache_of(argument: Any) -> ChunkCache | None:
    """A cache of the size that a caller gives: bytes, or text such as "256MiB"; None or 0 is none. ArgumentError else.

    >>> cache_of("1.5 KiB").limit
    1536
    """
    limit = nbytes_of(argument, "chunk_cache", none="no cache")
    return ChunkCache(limit) if limit else None


class CachedChunks:
    """The chunks of one array by way of a cache. Asks the store through the engine's functions.

    ask: (key, range) -> the bytes there and the tag of the object, None where there is no object; the tag is None where the
    store has none. tag: key -> the tag alone, None where there is no object. tags: the same for many keys in one call of the
    store, None where that is no better.
    """

    __slots__ = ("_ask", "_chunks", "_tag", "_tags", "cache", "tagged")

    def __init__(
        self,
        cache: ChunkCache,
        chunks: Chunks,
        ask: Callable[[Key, ByteRange], Answer],
        tag: Callable[[Key], Hashable | None],
        tags: Callable[[Sequence[Key]], Sequence[Hashable | None]] | None,
        *,
        tagged: bool,
    ) -> None:
        self.cache = cache
        self.tagged = tagged
        self._chunks = chunks
        self._ask = ask
        self._tag = tag
        self._tags = tags

    def takes(self, pipeline: Pipeline) -> bool:
        """Whether chunks of this kind are kept: not larger ones than the whole cache, which would only push others out."""
        return 0 < pipeline.chunk.nbytes <= self.cache.limit

    def chunk(self, coords: Coords, pipeline: Pipeline) -> NDArray | None:
        """The chunk that is the object at `coords`, read-only; None where there is none."""
        cache, key = self.cache, self._chunks.layout.key(coords)
        place = (key, 0)
        held = cache.find(place, pipeline)
        if held is not None and self.tagged and self._tag(key) == held.tag:
            cache.found((place,))
            return held.chunk
        # Not the tag just asked for: the object may have changed since.
        return self.keep(coords, pipeline, self._ask(key, self._chunks.reach(pipeline)))

    def keep(self, coords: Coords, pipeline: Pipeline, answer: Answer) -> NDArray | None:
        """The chunk at `coords`, read-only, and kept; `answer` is what the store has just told of it."""
        cache, key = self.cache, self._chunks.layout.key(coords)
        place = (key, 0)
        if answer is None:
            cache.forget(place)
            return None
        data, tag = answer
        extra = 0
        if not self.tagged:
            tag = data = bytes(data)
            extra = len(data)
            held = cache.find(place, pipeline)
            if held is not None and held.tag == tag:
                cache.found((place,))
                return held.chunk
        chunk = own_memory(self._chunks.decode(pipeline, data, None, coords), data)
        return cache.put(place, chunk, pipeline, tag, extra)

    def left(self, parts: Iterator[Part], result: Result) -> Iterator[Part]:
        """The parts that are not read from the cache, which the others are on the way, by whoever asks for the next.

        So threads are woken for what has to be fetched and decoded only.
        """
        if not self.tagged:
            return parts
        if self._tags is not None:
            return self._left_of_runs(parts, result, self._tags)
        return (part for part in parts if not self._serve(part, result, self._tag))

    def _left_of_runs(
        self, parts: Iterator[Part], result: Result, tags: Callable[[Sequence[Key]], Sequence[Hashable | None]]
    ) -> Iterator[Part]:
        layout = self._chunks.layout
        while run := list(islice(parts, _RUN)):
            keys = []
            for part in run:
                key, cell = layout.key(part.coords), layout.uniform or layout.cell(part.coords)
                if len(self.cache) if cell.shard is not None else self.cache.find((key, 0), cell.pipeline) is not None:
                    keys.append(key)
            told = dict(zip(keys, tags(keys), strict=True)) if keys else {}
            yield from [part for part in run if not self._serve(part, result, told.get)]

    def _serve(self, part: Part, result: Result, tag: Callable[[Key], Hashable | None]) -> bool:
        """Put a part in its place, if all of it is kept; whether it was."""
        layout = self._chunks.layout
        key, cell = layout.key(part.coords), layout.uniform or layout.cell(part.coords)
        if cell.shard is None:
            place = (key, 0)
            held = self.cache.find(place, cell.pipeline)
            if held is None or tag(key) != held.tag:
                return False
            _take(part, held.chunk, result)
            self.cache.found((place,))
            return True
        parts = list(plan(within(part), cell.shard.grid))
        inner = self.inner(part.coords, cell.shard, [cell.shard.position(one.coords) for one in parts], tag)
        if inner is None or len(inner.chunks) < len(parts):
            return False
        onto = result.lift(part)
        for one, chunk in zip(parts, inner.chunks.values(), strict=True):
            _take(one, chunk, onto)
        result.lower(part, onto)
        self.cache.found([(key, position) for position in inner.chunks])
        return True

    def read(self, part: Part, pipeline: Pipeline, result: Result) -> None:
        """Put the part's share of an object that is one chunk in its place."""
        self._put(part, self.chunk(part.coords, pipeline), result)

    def place(self, part: Part, pipeline: Pipeline, answer: Answer, result: Result) -> None:
        """The same, where the store was asked already."""
        self._put(part, self.keep(part.coords, pipeline, answer), result)

    def _put(self, part: Part, chunk: NDArray | None, result: Result) -> None:
        if chunk is None:
            self._chunks.missing(part, result, part.coords)
        else:
            _take(part, chunk, result)

    def inner(
        self, coords: Coords, shard: Shard, positions: Sequence[int], tag: Callable[[Key], Hashable | None] | None = None
    ) -> Inner | None:
        """What is kept of chunks in a shard as it is now; None where there is no shard. With `tag`, which gives tags then, also
        where some are not kept."""
        key, find, pipeline = self._chunks.layout.key(coords), self.cache.find, shard.pipeline
        held = {}
        for position in positions:
            found = find((key, position), pipeline)
            if found is not None:
                held[position] = found
            elif tag is not None:
                return None
        now = (tag or self._tag)(key) if held else None
        if held and now is None:
            return None
        return Inner(key, now, {position: found.chunk for position, found in held.items() if found.tag == now})


@dataclass(slots=True)
class Inner:
    """Chunks of a shard with the tag `tag`, by position; the key of the shard."""

    key: Key
    tag: Hashable
    chunks: dict[int, NDArray]


@dataclass(slots=True)
class CachedShardReader:
    """Reads inner chunks of one shard: those in `inner` as they are, the others from `found`, to be kept."""

    chunks: Chunks
    coords: Coords
    shard: Shard
    found: Found | None
    result: Result
    inner: Inner
    cache: ChunkCache

    def __call__(self, parts: Iterator[Part]) -> None:
        chunks, shard, result, found, inner = self.chunks, self.shard, self.result, self.found, self.inner
        hits = []
        for part in parts:
            position = shard.position(part.coords)
            place = (inner.key, position)
            chunk = inner.chunks.get(position)
            if chunk is not None:
                hits.append(place)
            else:
                data = None if found is None else found.get(position)
                if found is None or data is None:
                    chunks.missing(part, result, self.coords, part.coords)
                    continue
                chunk = own_memory(chunks.decode(shard.pipeline, data, None, self.coords, part.coords), data)
                self.cache.put(place, chunk, shard.pipeline, found.tag)
            _take(part, chunk, result)
        self.cache.found(hits)


def _take(part: Part, chunk: NDArray, result: Result) -> None:
    take(part, chunk if result.field is None else field_of(chunk, result.field), result.out)


def own_memory(chunk: NDArray, data: Buffer) -> NDArray:
    """`chunk`, copied where it is a view of the encoded bytes: those may be the store's own, or a whole shard."""
    return chunk.copy() if np.may_share_memory(chunk, np.frombuffer(data, np.uint8)) else chunk


def is_cacheable(dtype: DType) -> bool:
    """Whether chunks of a dtype can be kept: not objects, which a caller could change, nor text whose memory is not counted."""
    return not dtype.hasobject and dtype.kind != "T"
