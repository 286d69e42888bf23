"""Read, write and erase chunk objects: the only module but `nodes` that calls a store.

One `Engine` serves one array in one store. A read plans, fetches each object, decodes it and scatters it into the result; a
write does the reverse under the object's lock. `crew` shares the work out among threads. A shard is one object and one task:
its inner chunks are planned again, inside it, and shared out once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Coords, Key, NDArray
from ndzarr.chunks import Chunks, Result, Scratch, ShardReader, ShardWriter, decode_ns
from ndzarr.codecs.sharding_indexed import MISSING, Index
from ndzarr.crew import THREADS_FROM_NS, Ledger, crew_size, share
from ndzarr.errors import ArgumentError, CorruptChunkError
from ndzarr.fields import Field, field_dtype, field_of
from ndzarr.fillvalue import element
from ndzarr.keys import check_key
from ndzarr.layout import Cell, Layout, Shard
from ndzarr.memory import check_result, room
from ndzarr.metadata import ArrayMeta
from ndzarr.plan import Part, count_parts, plan, within
from ndzarr.scatter import Stretch, fill, lift, lower, put, stretch
from ndzarr.selection import Point, Selection
from ndzarr.shards import Answer, Found, Indices, fetch, index_range
from ndzarr.stores.base import Store
from ndzarr.tiles import Tile, TileReader, part_of, tiles

#: How many chunks an error lists.
_TOLD = 1000
#: One listing is cheaper than look-ups of one chunk in so many, or more.
_LIST_FROM = 4


class Engine:
    """The chunk objects of one array. Safe to use from any thread; immutable but for the indices of shards that it keeps."""

    __slots__ = ("_chunks", "_indices", "_range", "layout", "meta", "path", "store")

    def __init__(self, store: Store, meta: ArrayMeta, layout: Layout, path: str) -> None:
        self.store = store
        self.meta = meta
        self.layout = layout
        self.path = path
        self._chunks = Chunks(layout, path, store.url)
        self._range = None if layout.uniform is None else self._chunks.reach(layout.uniform.pipeline)
        self._indices = Indices()

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
        if out.size and not (field is None and self._read_tiles(selection, result)):
            share(plan(selection, self.layout.objects), _Reader(self, result), self._part_ns(selection), options.workers)
        trailing = out.shape[len(selection.work_shape) :]  # of a field that is itself an array
        array = out.reshape(selection.shape + trailing)
        if mask is not None:
            array = self._chunks.masked(array, mask.reshape(array.shape), field)
        return array[()] if selection.scalar else array

    def _read_tiles(self, selection: Selection, result: Result) -> bool:
        """Read by tiles, the way of a rectangle of plain chunks in a store of ours; False where that is not what it is.

        Safe: it differs from the general way in what `tiles.TileReader`, `Pipeline.quick` and `Store.shortcut` say only, and
        what any of them does not take at once is read the general way. Keys are checked by that of the last chunk: they differ
        in digits, and none has more of them.
        """
        layout = self.layout
        found = tiles(selection, layout)
        if found is None:
            return False
        count, items = found
        pipeline = layout.uniform.pipeline  # type: ignore[union-attr]  # there are no tiles of another layout
        fetch = self.store.shortcut(self._chunks.most(pipeline) + 1)
        if fetch is None or pipeline.quick() is None:
            return False
        check_key(layout.key(tuple([axis.count - 1 for axis in layout.objects.axes])))

        def general(tile: Tile) -> None:
            self._read_part(part_of(tile, layout), result, Scratch())

        work = TileReader(fetch, pipeline, result.out, general)
        share(items, work, self._part_ns(selection), result.options.workers, count=count)
        return True

    def read_point(self, index: tuple[int, ...], *, masked: bool = False) -> Any:
        """One element, for plain ints already within bounds: the shortest way from an index to a scalar.

        Does what `read` does for a selection of Points only; a test compares the two.
        """
        layout = self.layout
        coords = []
        local = []
        for i, axis in zip(index, layout.objects.axes, strict=True):
            coord = axis.find(i)
            coords.append(coord)
            local.append(i - axis.start(coord))
        spot = tuple(coords)
        cell = layout.uniform or layout.cell(spot)
        if cell.shard is not None or (masked and layout.dtype.names and config.current().missing == "mask"):
            # A record of a masked array has a mask for each field.
            return self.read(Selection(tuple([Point(i) for i in index]), (), (), scalar=True), masked=masked)
        pipeline = cell.pipeline
        if pipeline.raw:
            offset = 0
            for step, extent in zip(local, cell.chunk.shape, strict=True):
                offset = offset * extent + step
            dtype = layout.dtype
            offset *= dtype.itemsize
            data = self.store.get(layout.key(spot), ByteRange(offset, offset + dtype.itemsize))
            if data is not None:
                if len(data) != dtype.itemsize:
                    raise self._chunks.short(spot, offset, len(data), dtype.itemsize)
                return _own(np.frombuffer(data, dtype)[0])
        else:
            data = self.store.get(layout.key(spot), self._range or self._chunks.reach(pipeline))
            if data is not None:
                return _own(self._chunks.decode(pipeline, data, None, spot)[tuple(local)])
        if self._chunks.allowed(spot, config.current()) and masked:
            return np.ma.masked
        return _own(element(layout.fill, layout.dtype)[()]) if layout.dtype.kind == "O" else _own(layout.fill)

    def _read_part(self, part: Part, result: Result, scratch: Scratch) -> None:
        layout = self.layout
        cell = layout.uniform or layout.cell(part.coords)
        if cell.shard is not None:
            self._read_shard(part, cell, cell.shard, result)
            return
        wanted = stretch_of(part, cell, result.field)
        if wanted is not None:
            self._read_stretch(part, wanted, result)
            return
        data = self.store.get(layout.key(part.coords), self._range or self._chunks.reach(cell.pipeline))
        if data is None:
            self._chunks.missing(part, result, part.coords)
        else:
            self._chunks.unpack(part, data, cell.pipeline, result, scratch, part.coords)

    def _read_stretch(self, part: Part, wanted: Stretch, result: Result) -> None:
        """Read only the bytes between the first and the last element wanted.

        Safe: the elements of a raw chunk lie at known offsets, `np.ndarray` refuses strides that leave the buffer, and an
        object too short for the range is refused here.
        """
        layout = self.layout
        first, nbytes, shape, strides = wanted
        data = self.store.get(layout.key(part.coords), ByteRange(first, first + nbytes))
        if data is None:
            self._chunks.missing(part, result, part.coords)
            return
        if len(data) != nbytes:
            raise self._chunks.short(part.coords, first, len(data), nbytes)
        result.out[part.target] = np.ndarray(shape, layout.dtype, data, 0, strides)

    def _read_shard(self, part: Part, cell: Cell, shard: Shard, result: Result) -> None:
        """Read the inner chunks of one shard that a part touches, and no more of it than they take."""
        parts = list(plan(within(part), shard.grid))
        found = self._fetch(part.coords, cell, shard, [shard.position(inner.coords) for inner in parts])
        if found is None:
            self._chunks.missing(part, result, part.coords)
            return
        place = result.lift(part)
        work = ShardReader(self._chunks, part.coords, shard, found, place)
        share(iter(parts), work, decode_ns(shard.pipeline), result.options.workers, count=len(parts))
        result.lower(part, place)

    def _fetch(self, coords: Coords, cell: Cell, shard: Shard, positions: Sequence[int]) -> Found | None:
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
        key, tagged = self.layout.key(coords), self.store.tagged
        steps = fetch(shard.codec, positions, indices.get(key) if tagged else None, self.most(cell))
        try:
            ranges = next(steps)
            while True:
                ranges = steps.send([ask(key, range) for range in ranges])
        except StopIteration as stop:
            found: Found | None = stop.value
        except CorruptChunkError as error:
            raise self._chunks.named(error, coords) from error
        if tagged:
            if found is None:
                indices.forget(key)
            else:
                indices.keep(key, found.tag, found.index)
        return found

    def _ask(self, key: Key, range: ByteRange) -> Answer:
        if self.store.tagged:
            return self.store.get_tagged(key, range)
        data = self.store.get(key, range)
        return None if data is None else (data, None)

    # ---- what there is, without reading chunks ----------------------------------------------------------

    def presence(self, selection: Selection) -> Any:
        """Booleans shaped like a read of `selection`: True where the element lies in a chunk that exists.

        Costs one look-up an object, or one listing where most of the grid is touched, and the index of each shard. A shard
        inside a shard, or one that other codecs follow, is one chunk.
        """
        out = room(selection.work_shape, np.dtype(bool), f"a result of shape {selection.shape}")
        objects = self.layout.objects
        # A listing tells of objects only, and costs as much as there are.
        listed = None
        if self.layout.grid is objects and count_parts(selection, objects) * _LIST_FROM >= objects.nchunks > _LIST_FROM:
            listed = set(self.stored())
        for part in plan(selection, objects) if out.size else ():
            cell = self.layout.uniform or self.layout.cell(part.coords)
            if cell.shard is None:
                fill(part, out, self.size(part.coords) is not None if listed is None else part.coords in listed)
                continue
            index = self._index(part.coords, cell.shard)
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

    def size(self, coords: Coords) -> int | None:
        """How many bytes the object at `coords` has; None where there is none."""
        return self.store.size(self.layout.key(coords))

    def index_bytes(self, coords: Coords, shard: Shard) -> Answer:
        """The encoded index of a shard as it is now, and the tag; None where there is none."""
        return self._ask(self.layout.key(coords), index_range(shard.codec))

    def _index(self, coords: Coords, shard: Shard) -> Index | None:
        answer = self.index_bytes(coords, shard)
        try:
            return None if answer is None else shard.codec.read_index(answer[0])
        except CorruptChunkError as error:
            raise self._chunks.named(error, coords) from error

    def most(self, cell: Cell) -> int:
        """The most bytes that a correct object has, of those that lie like `cell`; a read asks for one more."""
        return self._chunks.most(cell.pipeline)

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
        if options.exclusive is True and not self.store.exclusive:
            raise ArgumentError(
                f"options(exclusive=True) is in force, but {self.store.url} cannot keep other processes out",
                store=self.store.url,
            )
        done: Ledger = []
        try:
            work = _Writer(self, value, field, options)
            share(plan(selection, self.layout.objects), work, self._part_ns(selection), options.workers, done)
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
        layout, chunks = self.layout, self._chunks
        cell = layout.uniform or layout.cell(part.coords)
        # Only a chunk that lies wholly inside the array may be replaced unread: behind the edge that this handle knows of
        # there may be rows that another handle has appended.
        unread = part.whole and field is None and layout.objects.valid(part.coords) == cell.chunk.shape
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

    def _full(self) -> tuple[slice, ...] | None:
        """What a part that replaces all of a chunk takes of it; None where objects are no chunks, or not all alike."""
        cell = self.layout.uniform
        return None if cell is None or cell.shard is not None else tuple([slice(0, n, 1) for n in cell.chunk.shape])

    def _stored(self, key: Key, coords: Coords, cell: Cell, scratch: Scratch) -> NDArray:
        """The stored chunk, ours to change; fill values when there is none."""
        data = self.store.get(key, self._range or self._chunks.reach(cell.pipeline))
        return self._chunks.opened(data, cell.pipeline, scratch, coords)

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
            found = None if unread else self._fetch(part.coords, cell, shard, range(shard.grid.nchunks))
            if value is None and found is None:
                return
            made: dict[int, Buffer | None] = {}
            work = ShardWriter(self._chunks, part.coords, shard, found, value, field, options, made)
            share(iter(parts), work, decode_ns(shard.pipeline), options.workers, count=len(parts))
            if not made:
                return
            if found is None:
                new = shard.codec.join(None, None, made)
            elif found.data is not None:
                new = shard.codec.join(found.data, found.index, made)
            else:  # more gaps than is sensible to read: written again without them
                new = shard.codec.join(None, None, {**found.chunks, **made})
            self._set(key, new)
            self._indices.forget(key)

    # ---- encoded chunks, as they are --------------------------------------------------------------------------------

    def encoded(self, coords: Coords) -> dict[Coords, Buffer]:
        """The encoded bytes of each chunk that the object at `coords` holds, by the chunk's own coords; missing ones left out.

        Nothing is decoded. Raises CorruptChunkError for a shard with a damaged index.
        """
        cell = self.layout.uniform or self.layout.cell(coords)
        if cell.shard is None:
            data = self.store.get(self.layout.key(coords), self._range or self._chunks.reach(cell.pipeline))
            return {} if data is None else {coords: data}
        found = self._fetch(coords, cell, cell.shard, range(cell.shard.grid.nchunks))
        if found is None:
            return {}
        first = self._first(coords)
        chunks = {}
        for inner in cell.shard.grid:
            data = found.get(cell.shard.position(inner))
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
        options = config.current()
        layout = self.layout
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
                if self._chunks.wipe(part, chunk):
                    self._set(key, self._chunks.pack(cell.pipeline, chunk, options))

    def erase(self, coords: Iterable[Coords]) -> None:
        """Delete chunk objects."""
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


def stretch_of(part: Part, cell: Cell, field: Field | None) -> Stretch | None:
    """The bytes that a read of a part asks for where that is less than the whole chunk.

    A chunk of which all is wanted is read whole, past the edge of the array too, so that a damaged one is noticed; but never
    for the sake of one element, which `read_point` may read too.
    """
    if not cell.pipeline.raw or not part.simple or field is not None or (part.whole and part.target):
        return None
    return stretch(part, cell.chunk)


def _own(scalar: Any) -> Any:
    """`scalar`, copied where NumPy's scalar is a view: records can be changed, and would change what they were read from."""
    return scalar.copy() if type(scalar) is np.void else scalar


@dataclass(slots=True)
class _Reader:
    engine: Engine
    result: Result

    def __call__(self, parts: Iterator[Part]) -> None:
        scratch = Scratch()
        read, result = self.engine._read_part, self.result
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
        write, chunks, store, key_of, cell = (
            engine._write_part,
            engine._chunks,
            engine.store,
            engine.layout.key,
            engine.layout.uniform,
        )
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
