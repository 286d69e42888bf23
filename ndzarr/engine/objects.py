"""Read, write and erase chunk objects: the only module but `nodes` that calls a store.

One `Engine` serves one array in one store. A read plans, fetches each object, decodes it and scatters it into the result; a
write does the reverse under the object's lock. `crew` shares the work out among threads. A shard is one object and one task:
its inner chunks are planned again, inside it, and shared out once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Coords, Key, NDArray
from ndzarr.chunkcache import CachedChunks, ChunkCache, is_cacheable
from ndzarr.chunks import Chunks, Result, Scratch, ShardWriter, decode_ns, stretch_of
from ndzarr.codecs.sharding_indexed import Index
from ndzarr.crew import THREADS_FROM_NS, Ledger, crew_size, share
from ndzarr.engine.batches import read_batches, write_batches
from ndzarr.engine.cached import read_cached_shard
from ndzarr.engine.hazard import guarded
from ndzarr.engine.sharded import cut_shard, join_shard, place_shard
from ndzarr.errors import ArgumentError, CorruptChunkError
from ndzarr.fields import Field, field_dtype, field_of
from ndzarr.keys import check_key
from ndzarr.layout import Cell, Layout, Shard
from ndzarr.memory import check_result, room
from ndzarr.metadata import ArrayMeta
from ndzarr.plan import Part, count_parts, plan, within
from ndzarr.points import clusters
from ndzarr.process import here
from ndzarr.scatter import Stretch, lift, put
from ndzarr.selection import Point, Selection, Span
from ndzarr.shards import Answer, Found, Indices, fetch, index_range
from ndzarr.shortcuts import PartReader, PointReader, TileReader
from ndzarr.stores.base import Store
from ndzarr.tiles import tiles

#: How many chunks an error lists, and are deleted in one call.
_TOLD = 1000


class Engine:
    """The chunk objects of one array. Safe to use from any thread; immutable but for the indices of shards that it keeps."""

    __slots__ = ("_indices", "_range", "cached", "chunks", "home", "layout", "meta", "path", "store")

    def __init__(
        self,
        store: Store,
        meta: ArrayMeta,
        layout: Layout,
        path: str,
        cache: ChunkCache | None = None,
        home: bytes | None = None,
    ) -> None:
        self.store = store
        self.meta = meta
        self.layout = layout
        self.path = path
        self.chunks = Chunks(layout, path, store.url)
        self._range = None if layout.uniform is None else self.chunks.reach(layout.uniform.pipeline)
        self._indices = Indices()
        self.home = here() if home is None else home
        self.cached = None
        if cache is not None and is_cacheable(layout.dtype):
            tags = self._tags if store.batched else None
            self.cached = CachedChunks(cache, self.chunks, self._ask, store.tag, tags, tagged=store.tagged)

    @property
    def together(self) -> bool:
        """Whether objects go to the store and come from it many at a time; see `batches`."""
        return self.store.batched or (self.store.conditional and not self.store.exclusive)

    def cell(self, part: Part) -> Cell:
        """What lies under the key of a part."""
        return self.layout.uniform or self.layout.cell(part.coords)

    def chunk_ns(self) -> float:
        """The estimated time of decoding one chunk, in nanoseconds."""
        cell = self.layout.uniform or self.layout.cell((0,) * len(self.layout.objects.axes))
        return decode_ns(cell.pipeline if cell.shard is None else cell.shard.pipeline)

    def _part_ns(self, selection: Selection) -> float:
        """The estimated time of one part, in nanoseconds: what `crew` decides by."""
        layout = self.layout
        cell = layout.uniform or layout.cell((0,) * len(layout.objects.axes))
        if cell.shard is None:
            return decode_ns(cell.pipeline)
        inner = cell.shard.pipeline
        one = decode_ns(inner)
        # Where threads do not win on single chunks, many of them in one task change nothing: it is the chunks that make the
        # threads wait for each other. Measured, 16 shards of 4,096 chunks of 2 KiB, zstd: 0.9 s on one thread, 3.3 s on four.
        touched = math.prod(selection.work_shape) / max(1, inner.chunk.size) if one >= THREADS_FROM_NS else 1.0
        return one * min(max(1.0, touched), cell.shard.grid.nchunks)

    # ---- read --------------------------------------------------------------------------------

    def read(self, selection: Selection, field: Field | None = None, *, masked: bool = False) -> Any:
        """What `selection` selects, as a fresh array (or a scalar); with `field`, that part of each element.

        masked: under `options(missing="mask")` give a masked array, whose masked elements are those of chunks that were never
        written and hold fill values. Raises CorruptChunkError, StoreError, MissingChunkError (under
        `options(missing="raise")`), MemoryLimitError.
        """
        options = config.current()
        dtype = self.layout.dtype if field is None else field_dtype(self.layout.dtype, field)
        nbytes = math.prod(selection.work_shape) * dtype.itemsize
        if options.max_result is not None:
            check_result(nbytes, f"reading {selection.shape} of {self.path!r}", "read it in slices", path=self.path)
        out = room(selection.work_shape, dtype, f"a result of shape {selection.shape}")
        mask = np.zeros(out.shape, np.bool_) if masked and options.missing == "mask" else None
        result = Result(out, field, options, mask)
        if out.size and not (field is None and self.cached is None and self._read_short(selection, result)):
            self._read_parts(selection, result)
        trailing = out.shape[len(selection.work_shape) :]  # of a field that is itself an array
        array = out.reshape(selection.shape + trailing)
        if mask is not None:
            array = self.chunks.masked(array, mask.reshape(array.shape), field)
        return array[()] if selection.scalar else array

    def _read_parts(self, selection: Selection, result: Result) -> None:
        parts = plan(selection, self.layout.objects)
        if self.cached is not None:
            parts = self.cached.left(parts, result)
            first = next(parts, None)
            if first is None:
                return
            parts = chain((first,), parts)
        if self.together:
            read_batches(self, parts, result, self._part_ns(selection))
        else:
            share(parts, _Reader(self, result), self._part_ns(selection), result.options.workers)

    def _read_short(self, selection: Selection, result: Result) -> bool:
        """Read the way of `shortcuts`: plain chunks of a store of ours; False where that is not what it is.

        Safe: it differs from the general way in what `shortcuts`, `Pipeline.quick` and `Store.shortcut` say only, and what any
        of them does not take at once is read the general way. Keys are checked by that of the last chunk: they differ in
        digits, and none has more of them.
        """
        layout = self.layout
        cell = layout.uniform
        if cell is None or cell.shard is not None:
            return False
        pipeline, grid, key, out = cell.pipeline, layout.objects, layout.key, result.out
        fetch = self.store.shortcut(self.chunks.most(pipeline) + 1)
        if fetch is None or pipeline.quick() is None:
            return False

        def general(part: Part) -> None:
            self.read_part(part, result, Scratch())

        def missing(part: Part) -> None:
            self.chunks.missing(part, result, part.coords)

        work: Any
        found: tuple[int, Iterator[Any]] | None
        if selection.gather_axis is not None:
            found = clusters(selection, grid, key)
            work = PointReader(fetch, pipeline, out, grid, general, missing)
        else:
            found = tiles(selection, grid, key, whole=pipeline.raw)
            work = TileReader(fetch, pipeline, out, grid, general, missing)
        if found is None:
            if pipeline.raw and all(type(pick) in (Point, Span) for pick in selection.picks):
                return False  # of raw chunks the general way fetches only the bytes wanted
            found = count_parts(selection, grid), plan(selection, grid)
            work = PartReader(fetch, pipeline, out, key, general, missing)
        count, items = found
        if pipeline.divisible and 2 * out.size < count * pipeline.chunk.size and type(work) is TileReader:
            return False  # of such chunks it decodes only the blocks wanted
        check_key(key(tuple([axis.count - 1 for axis in grid.axes])))
        share(items, work, self._part_ns(selection), result.options.workers, count=count)
        return True

    def read_part(self, part: Part, result: Result, scratch: Scratch) -> None:
        """Read one part of a plan into its place."""
        cell = self.layout.uniform or self.layout.cell(part.coords)
        if cell.shard is not None:
            if self.cached is not None and self.store.tagged and self.cached.takes(cell.shard.pipeline):
                read_cached_shard(self, self.cached, part, cell, cell.shard, result)
                return
            cut = cut_shard(part, cell.shard, result)
            found = self.fetch_shard(part.coords, cell, cell.shard, cut.positions)
            place_shard(self.chunks, part, cell.shard, cut, found, result)
            return
        if self.cached is not None and self.cached.takes(cell.pipeline):
            self.cached.read(part, cell.pipeline, result)
            return
        wanted = stretch_of(part, cell, result.field)
        data = self.store.get(self.layout.key(part.coords), self.reach(cell, wanted))
        self.place(part, cell, wanted, data, result, scratch)

    def reach(self, cell: Cell, wanted: Stretch | None) -> ByteRange:
        """The range of an object to ask for."""
        if wanted is not None:
            return ByteRange(wanted[0], wanted[0] + wanted[1])
        return self._range or self.chunks.reach(cell.pipeline)

    def place(
        self, part: Part, cell: Cell, wanted: Stretch | None, data: Buffer | None, result: Result, scratch: Scratch
    ) -> None:
        """Put a part's share of a chunk in its place; `data` is what lies in `reach(cell, wanted)` of it."""
        if data is None:
            self.chunks.missing(part, result, part.coords)
        elif wanted is not None:
            self._place_stretch(part, wanted, data, result)
        elif not (cell.pipeline.divisible and self.chunks.divide(part, data, cell.pipeline, result)):
            self.chunks.unpack(part, data, cell.pipeline, result, scratch, part.coords)

    def _place_stretch(self, part: Part, wanted: Stretch, data: Buffer, result: Result) -> None:
        """Put in their place the bytes of a raw chunk between the first and the last element wanted.

        Safe: the elements of a raw chunk lie at known offsets, `np.ndarray` refuses strides that leave the buffer, and an
        object too short for the range is refused here.
        """
        first, nbytes, shape, strides = wanted
        if len(data) != nbytes:
            raise self.chunks.short(part.coords, first, len(data), nbytes)
        result.out[part.target] = np.ndarray(shape, self.layout.dtype, data, 0, strides)

    def fetch_shard(self, coords: Coords, cell: Cell, shard: Shard, positions: Sequence[int]) -> Found | None:
        """The encoded inner chunks of one shard, all of one version of it; None when there is no such object."""
        # Where versions have no tags, only the lock can keep somebody else's write from coming between index and chunks.
        guard: AbstractContextManager[Any] = nullcontext()
        if not self.store.tagged:
            guard = self.store.lock(self.layout.key(coords))
        with guard:
            return self.fetch(coords, cell, shard, positions, self._ask, self._indices)

    def fetch(
        self,
        coords: Coords,
        cell: Cell,
        shard: Shard,
        positions: Sequence[int],
        ask: Callable[[Key, ByteRange], Answer],
        indices: Indices,
    ) -> Found | None:
        """What `shards.fetch` finds by the answers of `ask`, with the index that `indices` keeps, and shall keep."""
        steps = self.steps(coords, cell, shard, positions, indices)
        key = self.layout.key(coords)
        try:
            ranges = next(steps)
            while True:
                ranges = steps.send([ask(key, range) for range in ranges])
        except StopIteration as stop:
            found: Found | None = stop.value
            return found

    def steps(
        self, coords: Coords, cell: Cell, shard: Shard, positions: Sequence[int], indices: Indices | None = None
    ) -> Generator[list[ByteRange], list[Answer], Found | None]:
        """`shards.fetch` for one shard of the array, with the index that `indices` keeps, and shall keep."""
        key, tagged = self.layout.key(coords), self.store.tagged
        indices = self._indices if indices is None else indices
        try:
            found = yield from fetch(shard.codec, positions, indices.get(key) if tagged else None, self.most(cell))
        except CorruptChunkError as error:
            raise self.chunks.named(error, coords) from error
        if tagged:
            if found is None:
                indices.forget(key)
            else:
                indices.keep(key, found.tag, found.index)
        return found

    def ask_many(self, requests: Sequence[tuple[Key, ByteRange | None]]) -> Sequence[Answer]:
        """What lies in these ranges, with tags where the store has any; one call of the store."""
        if self.store.tagged:
            return self.store.get_many_tagged(requests)
        return [None if data is None else (data, None) for data in self.store.get_many(requests)]

    def _tags(self, keys: Sequence[Key]) -> Sequence[Hashable | None]:
        return [None if answer is None else answer[1] for answer in self.ask_many([(key, ByteRange(0, 1)) for key in keys])]

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop the indices kept of shards that were written."""
        for key in keys:
            self._indices.forget(key)

    def _ask(self, key: Key, range: ByteRange) -> Answer:
        if self.store.tagged:
            return self.store.get_tagged(key, range)
        data = self.store.get(key, range)
        return None if data is None else (data, None)

    # ---- what there is, without reading chunks ----------------------------------------------------------

    def size(self, coords: Coords) -> int | None:
        """How many bytes the object at `coords` has; None where there is none."""
        return self.store.size(self.layout.key(coords))

    def index_bytes(self, coords: Coords, shard: Shard) -> Answer:
        """The encoded index of a shard as it is now, and the tag; None where there is none."""
        return self._ask(self.layout.key(coords), index_range(shard.codec))

    def index(self, coords: Coords, shard: Shard) -> Index | None:
        """The index of a shard; None where there is no such object. Raises CorruptChunkError."""
        answer = self.index_bytes(coords, shard)
        try:
            return None if answer is None else shard.codec.read_index(answer[0])
        except CorruptChunkError as error:
            raise self.chunks.named(error, coords) from error

    def most(self, cell: Cell) -> int:
        """The most bytes that a correct object has, of those that lie like `cell`; a read asks for one more."""
        return self.chunks.most(cell.pipeline)

    def kept_indices(self) -> Indices:
        """A copy of the indices of shards kept for the next read."""
        return self._indices.copy()

    def threads(self, selection: Selection, count: int) -> int:
        """How many threads a read of `count` parts goes by."""
        return crew_size(self._part_ns(selection), count, config.current().workers)

    # ---- write --------------------------------------------------------------------------------

    def write(self, selection: Selection, value: NDArray, field: Field | None = None) -> None:
        """Put `value`, shaped like the work array of `selection`, where `selection` says; one object at a time, each whole.

        `value` has the dtype of the array (or of `field`). After an exception the objects already replaced hold new values,
        the others old ones; no thread of ours still writes when the exception reaches the caller (promise P17).
        """
        if 0 in selection.shape:
            return
        options = config.current()
        if options.exclusive is True and not (self.store.exclusive or self.store.conditional):
            raise ArgumentError(
                f"options(exclusive=True) is in force, but {self.store.url} cannot keep other processes out",
                store=self.store.url,
            )
        if self.home != here():
            with guarded(self.store, self.path, self.layout, selection, self.home, partly=field is not None):
                self._write(selection, value, field)
            return
        self._write(selection, value, field)

    def _write(self, selection: Selection, value: NDArray, field: Field | None) -> None:
        options = config.current()
        done: Ledger = []
        try:
            parts = plan(selection, self.layout.objects)
            if self.together:
                write_batches(self, parts, value, field, self._part_ns(selection), done)
            else:
                share(parts, _Writer(self, value, field, options), self._part_ns(selection), options.workers, done)
        except BaseException as error:
            self._tell(error, selection, done)
            raise

    def _tell(self, error: BaseException, selection: Selection, done: Ledger) -> None:
        """Say in the error how many chunks were replaced, and which: `chunks_done`, `chunks_left`, and a note."""
        count = sum(n for _, n in done)
        coords: tuple[list[Coords], list[Coords]] = ([], [])
        # The first of them only: a plan may have more parts than anybody would read about, or memory would hold.
        for n, part in enumerate(islice(plan(selection, self.layout.objects), _TOLD)):
            coords[any(start <= n < start + length for start, length in done)].append(part.coords)
        error.chunks_left, error.chunks_done = coords  # type: ignore[attr-defined]  # any exception, KeyboardInterrupt too
        error.add_note(
            f"{count} chunks of {self.path or '/'!r} hold the new values, the others were not written; chunks_done and "
            f"chunks_left of this error list which, of the first {_TOLD} of the plan"
        )

    def _write_part(self, part: Part, value: NDArray, field: Field | None, options: config.Options, scratch: Scratch) -> None:
        layout, chunks = self.layout, self.chunks
        cell = layout.uniform or layout.cell(part.coords)
        unread = field is None and self.covers(part)
        if cell.shard is not None:
            self._write_shard(part, cell, cell.shard, lift(part, value), field, options, unread)
            return
        key = layout.key(part.coords)
        with self.store.lock(key):
            if unread:
                self._set(key, chunks.overwrite(part, value, cell.pipeline, scratch, options))
                return
            chunk = self._stored(key, part.coords, cell, scratch)
            put(part, chunk if field is None else field_of(chunk, field), value)
            self._set(key, chunks.pack(cell.pipeline, chunk, options))

    def covers(self, part: Part) -> bool:
        """Whether a part that is written replaces all of its object, so that nobody need read it.

        Only one that lies wholly inside the array: behind the edge that this handle knows of there may be rows that another
        handle has appended.
        """
        return part.whole and self.layout.objects.valid(part.coords) == self.cell(part).chunk.shape

    def _full(self) -> tuple[slice, ...] | None:
        """What a part that replaces all of a chunk takes of it; None where objects are no chunks, or not all alike."""
        cell = self.layout.uniform
        return None if cell is None or cell.shard is not None else tuple([slice(0, n, 1) for n in cell.chunk.shape])

    def _stored(self, key: Key, coords: Coords, cell: Cell, scratch: Scratch) -> NDArray:
        """The stored chunk, ours to change; fill values when there is none."""
        data = self.store.get(key, self._range or self.chunks.reach(cell.pipeline))
        return self.chunks.opened(data, cell.pipeline, scratch, coords)

    def _set(self, key: Key, data: Buffer | None) -> None:
        if data is None:
            self.store.delete(key)
        else:
            self.store.set(key, data)

    def _write_shard(
        self,
        part: Part,
        cell: Cell,
        shard: Shard,
        value: NDArray | None,
        field: Field | None,
        options: config.Options,
        unread: bool = False,
    ) -> None:
        """Replace the inner chunks of one shard that a part touches; all others stay as they are encoded.

        `value`: shaped like the work array of what the part selects inside the shard; None wipes it: fill values go there, and
        nothing is written where there are no others.
        """
        key = self.layout.key(part.coords)
        parts = list(plan(within(part), shard.grid))
        with self.store.lock(key):
            found = None if unread else self.fetch_shard(part.coords, cell, shard, range(shard.grid.nchunks))
            if value is None and found is None:
                return
            made: dict[int, Buffer | None] = {}
            work = ShardWriter(self.chunks, part.coords, shard, found, value, field, options, made)
            share(iter(parts), work, decode_ns(shard.pipeline), options.workers, count=len(parts))
            if not made:
                return
            self._set(key, join_shard(shard, found, made))
            self._indices.forget(key)

    # ---- encoded chunks, as they are --------------------------------------------------------------------------------

    def encoded(self, coords: Coords) -> dict[Coords, Buffer]:
        """The encoded bytes of each chunk that the object at `coords` holds, by the chunk's own coords; missing ones left out.

        Nothing is decoded. Raises CorruptChunkError for a shard with a damaged index.
        """
        cell = self.layout.uniform or self.layout.cell(coords)
        if cell.shard is None:
            data = self.store.get(self.layout.key(coords), self._range or self.chunks.reach(cell.pipeline))
            return {} if data is None else {coords: data}
        found = self.fetch_shard(coords, cell, cell.shard, range(cell.shard.grid.nchunks))
        return {} if found is None else self.chunks_of(coords, cell.shard, found)

    def chunks_of(self, coords: Coords, shard: Shard, found: Found) -> dict[Coords, Buffer]:
        """The encoded bytes of each chunk found of a shard, by the chunk's own coords; missing ones left out."""
        first = self._first(coords)
        chunks = {}
        for inner in shard.grid:
            data = found.get(shard.position(inner))
            if data is not None:
                chunks[tuple(a + b for a, b in zip(first, inner, strict=True))] = data
        return chunks

    def put_encoded(self, coords: Coords, chunks: Mapping[Coords, Buffer]) -> None:
        """Make an object of encoded chunks, by their own coords; it is deleted where there are none."""
        cell = self.layout.uniform or self.layout.cell(coords)
        key = self.layout.key(coords)
        with self.store.lock(key):
            if cell.shard is None:
                self._set(key, chunks.get(coords))
            else:
                first = self._first(coords)
                made = {
                    cell.shard.position(tuple(a - b for a, b in zip(spot, first, strict=True))): data
                    for spot, data in chunks.items()
                }
                self._set(key, cell.shard.codec.join(None, None, made))
            self._indices.forget(key)

    def _first(self, coords: Coords) -> Coords:
        """The coords of the first chunk of a shard."""
        start = self.layout.objects.start(coords)
        return tuple(axis.find(n) for axis, n in zip(self.layout.grid.axes, start, strict=True))

    # ---- erase --------------------------------------------------------------------------------

    def blank(self, selection: Selection) -> None:
        """Set what `selection` (spans with step 1) selects to the fill value; chunks that do not exist stay away."""
        if 0 in selection.shape:
            return
        if self.home != here():
            with guarded(self.store, self.path, self.layout, selection, self.home, partly=True):
                self._blank(selection)
            return
        self._blank(selection)

    def _blank(self, selection: Selection) -> None:
        options = config.current()
        layout = self.layout
        if self.together:
            write_batches(self, plan(selection, layout.objects), None, None, self._part_ns(selection), [])
            return
        scratch = Scratch()
        for part in plan(selection, layout.objects):
            cell = layout.uniform or layout.cell(part.coords)
            if cell.shard is not None:
                self._write_shard(part, cell, cell.shard, None, None, options)
                continue
            key = layout.key(part.coords)
            with self.store.lock(key):
                if not self.store.exists(key):
                    continue
                chunk = self._stored(key, part.coords, cell, scratch)
                if self.chunks.wipe(part, chunk):
                    self._set(key, self.chunks.pack(cell.pipeline, chunk, options))

    def erase(self, coords: Iterable[Coords]) -> None:
        """Delete chunk objects."""
        if self.together:
            keys = map(self.layout.key, coords)
            while run := list(islice(keys, _TOLD)):
                self.store.delete_many(run)
            return
        for spot in coords:
            key = self.layout.key(spot)
            with self.store.lock(key):
                self.store.delete(key)

    def stored(self) -> Iterator[Coords]:
        """The coords of every chunk object there is, from one listing, in any order; those outside the grid too."""
        prefix = self.path + "/" if self.path else ""
        for key in self.store.list(prefix):
            coords = self.layout.coords(key)
            if coords is not None:
                yield coords

    def nbytes_stored(self) -> int:
        """The encoded bytes of all chunk objects."""
        return sum(self.store.size(self.layout.key(coords)) or 0 for coords in self.stored())


@dataclass(slots=True)
class _Reader:
    engine: Engine
    result: Result

    def __call__(self, parts: Iterator[Part]) -> None:
        scratch = Scratch()
        read, result = self.engine.read_part, self.result
        for part in parts:
            read(part, result, scratch)


@dataclass(slots=True)
class _Writer:
    engine: Engine
    value: NDArray
    field: Field | None
    options: config.Options

    def __call__(self, parts: Iterator[Part]) -> None:
        scratch = Scratch()
        engine, value, field, options = self.engine, self.value, self.field, self.options
        write, chunks, store = engine._write_part, engine.chunks, engine.store
        key_of, cell = engine.layout.key, engine.layout.uniform
        full = engine._full() if field is None else None
        for part in parts:
            # Safe: every element of the chunk is selected, so all lie inside the array and none is left of the old ones:
            # `_write_part` would not read it either. Nothing of the store goes into the bytes, so that they may be made before
            # the lock is taken.
            if part.simple and part.source == full:
                data = chunks.overwrite(part, value, cell.pipeline, scratch, options)  # type: ignore[union-attr]  # full is set
                key = key_of(part.coords)
                with store.lock(key):
                    engine._set(key, data)
            else:
                write(part, value, field, options, scratch)
