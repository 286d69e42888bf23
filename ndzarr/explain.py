"""What a read would cost, before it is made: planned as the read itself, with look-ups of sizes in place of chunks.

Nothing here guesses what a read asks for: parts come from `plan`, ranges of raw chunks from `chunks.stretch_of`, and shards
from `shards.fetch` itself, which is answered by buffers of the right size with nothing in them but the true index. So what is
told is what is then counted, as long as nobody writes in between. An explanation leaves no trace: indices of shards that it
reads are not kept, and the read that follows costs what was told.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field as field_
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, ByteRange, Coords, Key
from ndzarr.chunks import stretch_of
from ndzarr.display import format_nbytes
from ndzarr.engine import Engine
from ndzarr.fields import Field, field_dtype
from ndzarr.layout import Cell, Shard
from ndzarr.plan import Part, count_parts, plan, within
from ndzarr.selection import Selection
from ndzarr.shards import Answer, index_range

#: How many stored objects are looked at by default before the rest is estimated.
LOOKUPS = 10_000
#: A read that decodes so many times what it uses is told so.
_WASTEFUL = 4.0
#: So many requests of so few bytes are too many.
_MANY, _TINY = 256, 32 << 10


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a read would do, found without reading a chunk. Sizes are in bytes; what is read twice counts twice.

    chunks: that hold what is wanted; chunks_present: those of them that exist. objects: stored objects that they lie in, which
    are chunks or shards, and objects_present. requests: calls of the store. nbytes_fetched: encoded bytes that these give.
    nbytes_decoded: what is decoded: whole chunks, or the bytes fetched of uncompressed ones. nbytes_used: of those, what is
    wanted. nbytes_result: the result's own size. nbytes_peak: about the most memory at once, the result included. exact: False
    where there were more objects than look-ups allowed, so that the rest is estimated by those seen. hint: what would make it
    cheaper, in words; None where all is well.
    """

    chunks: int
    chunks_present: int
    objects: int
    objects_present: int
    requests: int
    nbytes_fetched: int
    nbytes_decoded: int
    nbytes_used: int
    nbytes_result: int
    nbytes_peak: int
    exact: bool = True
    hint: str | None = None

    @property
    def amplification(self) -> float:
        """How many bytes are decoded for one that is wanted; 1.0 where nothing is decoded."""
        return self.nbytes_decoded / self.nbytes_used if self.nbytes_used else 1.0

    def __repr__(self) -> str:
        rows = [
            ("chunks", f"{self.chunks:,}, {self.chunks_present:,} of them written"),
            ("objects", f"{self.objects:,}, {self.objects_present:,} of them stored"),
            ("requests", f"{self.requests:,}"),
            ("fetched", format_nbytes(self.nbytes_fetched)),
            ("decoded", format_nbytes(self.nbytes_decoded)),
            ("result", format_nbytes(self.nbytes_result)),
            ("amplification", f"{self.amplification:,.{0 if self.amplification >= 100 else 1}f}"),
            ("peak memory", format_nbytes(self.nbytes_peak)),
        ]
        if not self.exact:
            rows.append(("", "estimated: there are more objects than were looked at"))
        if self.hint is not None:
            rows.append(("hint", self.hint))
        return "\n".join(f"{name:<15}{value}".rstrip() for name, value in rows)


def explain(engine: Engine, selection: Selection, field: Field | None = None, *, lookups: int = LOOKUPS) -> Explanation:
    """What `engine.read(selection, field)` would cost; at most `lookups` objects are looked at.

    Raises StoreError for what cannot be looked at, and CorruptChunkError for a shard with a damaged index.
    """
    tally = _Tally(engine, field, lookups)
    tally.add(selection)
    return tally.total()


def explain_reads(
    engine: Engine, selections: Iterable[Selection], field: Field | None = None, *, lookups: int = LOOKUPS
) -> Explanation:
    """What all these reads one after the other would cost: sums, but for the peak, which is that of the largest read."""
    tally = _Tally(engine, field, lookups)
    for selection in selections:
        tally.add(selection)
    return tally.total()


@dataclass(slots=True)
class _Counts:
    """What single reads add up to; by itself nothing but sums."""

    chunks: int = 0
    chunks_present: int = 0
    objects: int = 0
    objects_present: int = 0
    requests: int = 0
    nbytes_fetched: int = 0
    nbytes_decoded: int = 0
    nbytes_used: int = 0

    def scaled(self, before: _Counts, factor: float) -> None:
        """Add what was counted since `before` once more, `factor` times."""
        for name in self.__slots__:
            now = getattr(self, name)
            setattr(self, name, now + round((now - getattr(before, name)) * factor))


@dataclass(slots=True)
class _Tally:
    """The cost of one read after the other."""

    engine: Engine
    field: Field | None
    lookups: int
    counts: _Counts = field_(default_factory=_Counts)
    nbytes_result: int = 0
    nbytes_peak: int = 0
    exact: bool = True
    sizes: dict[Coords, int | None] = field_(default_factory=dict)
    heads: dict[Coords, tuple[Buffer, Hashable] | None] = field_(default_factory=dict)
    indices: Any = None
    itemsize: int = 0
    #: Encoded and decoded bytes that a thread holds at once, at most.
    held: int = 0
    wanted: list[float] = field_(default_factory=list)
    lengths: list[float] = field_(default_factory=list)

    def __post_init__(self) -> None:
        self.indices = self.engine.kept_indices()
        dtype = self.engine.layout.dtype
        self.itemsize = (dtype if self.field is None else field_dtype(dtype, self.field)).itemsize
        self.wanted = [0.0] * len(self.engine.layout.objects.axes)
        self.lengths = self.wanted.copy()

    def add(self, selection: Selection) -> None:
        """Count one read."""
        engine, layout = self.engine, self.engine.layout
        nbytes_result = math.prod(selection.work_shape) * self.itemsize
        self.nbytes_result += nbytes_result
        if 0 in selection.shape:
            return
        count = count_parts(selection, layout.objects)
        before = _Counts(**{name: getattr(self.counts, name) for name in _Counts.__slots__})
        seen = 0
        self.held = 0
        for part in plan(selection, layout.objects):
            if part.coords not in self.sizes and len(self.sizes) >= self.lookups:
                break
            self._part(part)
            seen += 1
        if seen < count:
            self.exact = False
            if seen:
                self.counts.scaled(before, (count - seen) / seen)
            else:
                self.counts.objects += count
        self.nbytes_peak = max(self.nbytes_peak, nbytes_result + engine.threads(selection, count) * self.held)

    def _part(self, part: Part) -> None:
        """Count the read of one part."""
        engine, counts = self.engine, self.counts
        cell = engine.layout.uniform or engine.layout.cell(part.coords)
        counts.objects += 1
        size = self._size(part.coords)
        counts.objects_present += size is not None
        if cell.shard is not None:
            self._shard(part, cell, cell.shard, size)
            return
        counts.chunks += 1
        counts.requests += 1
        self._use(part, cell.chunk.shape)
        if size is None:
            return
        counts.chunks_present += 1
        stretch = stretch_of(part, cell, self.field)
        if stretch is None:
            self._count(min(size, engine.most(cell) + 1), cell.chunk.nbytes, _picked(part))
        else:
            first, nbytes, _, _ = stretch
            self._count(max(0, min(size, first + nbytes) - first), nbytes, _picked(part))

    def _shard(self, part: Part, cell: Cell, shard: Shard, size: int | None) -> None:
        """Count the read of a part of a shard, by letting `shards.fetch` go through it."""
        counts = self.counts
        parts = list(plan(within(part), shard.grid))
        counts.chunks += len(parts)
        for inner in parts:
            self._use(inner, shard.pipeline.chunk.shape)
        head = self._head(part.coords, shard, size)
        fetched = 0

        def ask(key: Key, range: ByteRange) -> Answer:
            nonlocal fetched
            counts.requests += 1
            if size is None or head is None:
                return None
            data = _like(range, size, head[0], shard)
            fetched += len(data)
            return data, head[1]

        positions = [shard.position(inner.coords) for inner in parts]
        found = self.engine.fetch(part.coords, cell, shard, positions, ask, self.indices)
        counts.nbytes_fetched += fetched
        if found is None:
            return
        for inner, position in zip(parts, positions, strict=True):
            if shard.codec.check_entry(found.index, position, None) is not None:
                counts.chunks_present += 1
                self._count(0, shard.pipeline.chunk.nbytes, _picked(inner))
        self.held = max(self.held, fetched + shard.pipeline.chunk.nbytes)

    def _count(self, fetched: int, decoded: int, picked: int) -> None:
        counts = self.counts
        counts.nbytes_fetched += fetched
        counts.nbytes_decoded += decoded
        counts.nbytes_used += min(picked * self.engine.layout.dtype.itemsize, decoded)
        self.held = max(self.held, fetched + decoded)

    def _use(self, part: Part, shape: tuple[int, ...]) -> None:
        """Note how much of a chunk is wanted along each axis, for the hint."""
        for axis, (entry, length) in enumerate(zip(part.source, shape, strict=True)):
            self.wanted[axis] += _distinct(entry)
            self.lengths[axis] += length

    # ---- looking ----

    def _size(self, coords: Coords) -> int | None:
        if coords not in self.sizes:
            self.sizes[coords] = self.engine.size(coords)
        return self.sizes[coords]

    def _head(self, coords: Coords, shard: Shard, size: int | None) -> tuple[Buffer, Hashable] | None:
        if size is None:
            return None
        if coords not in self.heads:
            self.heads[coords] = self.engine.index_bytes(coords, shard)
        return self.heads[coords]

    # ---- telling ----

    def total(self) -> Explanation:
        """All that was counted."""
        counts = {name: getattr(self.counts, name) for name in _Counts.__slots__}
        told = Explanation(**counts, nbytes_result=self.nbytes_result, nbytes_peak=self.nbytes_peak, exact=self.exact)
        return Explanation(
            **counts,
            nbytes_result=self.nbytes_result,
            nbytes_peak=self.nbytes_peak,
            exact=self.exact,
            hint=self._wasteful(told) or _tiny(told),
        )

    def _wasteful(self, told: Explanation) -> str | None:
        if told.amplification < _WASTEFUL or not told.chunks:
            return None
        shares = [w / n for w, n in zip(self.wanted, self.lengths, strict=True)]
        axis = min(range(len(shares)), key=shares.__getitem__)
        now = round(self.lengths[axis] / told.chunks) if self.exact else self.engine.layout.grid.axes[axis].size(0)
        wanted = max(1, round(now * shares[axis]))
        one = told.chunks_present == 1
        advice = f"that are shorter along axis {axis}, and longer along others," if len(shares) > 1 else "that are shorter"
        return (
            f"decodes {'1 chunk' if one else f'{told.chunks_present:,} chunks'} to use {_percent(1 / told.amplification)} of "
            f"{'it' if one else 'each'}, {wanted:,} of {now:,} elements along axis {axis}: chunks {advice} would take less"
        )


def _tiny(told: Explanation) -> str | None:
    if told.requests < _MANY or told.nbytes_fetched > _TINY * told.requests:
        return None
    each = format_nbytes(told.nbytes_fetched // told.requests)
    return f"makes {told.requests:,} requests of {each} on average: larger chunks, or shards of them, would need fewer"


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %"


def _like(range: ByteRange, size: int, head: Buffer, shard: Shard) -> Buffer:
    """What a shard of `size` bytes would answer, with nothing but the true index in it."""
    where = index_range(shard.codec)
    if range == where:
        return head
    start, stop, _ = slice(range.start, range.stop).indices(size)
    data = np.zeros(max(0, stop - start), np.uint8)  # memory that is never touched, but where the index is
    if start == 0 and stop == size:
        data[slice(*where)] = np.frombuffer(head, np.uint8)
    return data.data


def _distinct(entry: Any) -> int:
    """How many elements of an axis of a chunk one entry of a source picks."""
    if isinstance(entry, slice):
        return len(range(entry.start, entry.stop, entry.step))
    return int(np.unique(entry).size) if isinstance(entry, np.ndarray) else 1


def _picked(part: Part) -> int:
    """How many elements of its chunk a part takes, those taken twice counted once."""
    if part.gather_axis is None:
        return math.prod([_distinct(entry) for entry in part.source])
    arrays = [entry for entry in part.source if isinstance(entry, np.ndarray)]
    points: int = np.unique(np.stack(arrays), axis=1).shape[1]
    return points * math.prod([_distinct(entry) for entry in part.source if not isinstance(entry, np.ndarray)])
