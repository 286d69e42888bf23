"""Two arrays or groups compared: metadata first, then values, of which no more is decoded than has to be.

Where both arrays cut their elements into the same chunks and encode them by the same chain, encoded chunks are compared as
bytes, and only those that differ are decoded. Else both are read block by block. Chunks of which statistics that are so now
(`ZArray.collect_statistics`) have the same digest of their elements are not looked at in either case.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ndzarr import config, statistics
from ndzarr._typing import Box, Buffer, Coords, Json, NDArray
from ndzarr.api import open
from ndzarr.canonical import dtype_name, element_bytes
from ndzarr.comparing.difference import Difference, Item, ItemKind
from ndzarr.comparing.elements import comparable, differing, largest, nan_free
from ndzarr.comparing.regions import Region, merged, regions_of, shifted
from ndzarr.crew import CREW_FROM_NS, share
from ndzarr.engine import Engine, chunk_in
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.fillvalue import element
from ndzarr.group import Group
from ndzarr.progress import Progress, meter
from ndzarr.statistics.record import chunks_of_objects
from ndzarr.streaming import cut, read, run
from ndzarr.zarray import ZArray

Side: TypeAlias = ZArray | Group | NDArray

#: What format 2 keeps among the attributes and format 3 does not: names of dimensions, which are compared as such.
_DIMENSIONS = "_ARRAY_DIMENSIONS"
#: With fewer chunks than this nobody asks for statistics.
_FEW = 4
#: More boxes than this are counted, not kept, before they are merged.
_MOST = 100_000


def diff(
    a: Any,
    b: Any,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    equal_nan: bool = True,
    max_regions: int = 100,
    allow_pickle: bool = False,
    progress: Progress = None,
) -> Difference:
    """What differs between two arrays, or two groups with all that they hold; see `Difference`.

    a, b: a ZArray, a Group, a NumPy array, or anything that `open` takes. rtol, atol: numbers `a` and `b` differ where
    `abs(a - b) > atol + rtol * abs(b)`, as in `numpy.isclose`. equal_nan: whether NaN equals NaN, and NaT NaT. max_regions: so
    many boxes with differing elements are listed for each array, the rest is counted. progress counts elements.

    Values are compared, not bits: -0.0 equals 0.0, and a NaN any other (`digest` compares bits). Of arrays of different shapes,
    or of dtypes that have no values in common, values are not compared. Chunks that are equal as encoded bytes are not decoded,
    where both arrays have the same chunks and codecs, nor those of which statistics say that they are equal. Memory: some
    blocks of `options(working_memory)`.

    Raises ArgumentError for wrong arguments, NodeNotFoundError where nothing is, MetadataError for a damaged member of a group,
    and CorruptChunkError for a chunk that has to be decoded and cannot be.

    >>> import ndzarr, numpy as np
    >>> a = np.arange(12.0).reshape(3, 4)
    >>> b = ndzarr.array(a, chunks=(2, 2))
    >>> b[1, 1:3] = 7
    >>> print(ndzarr.diff(a, b))
    different: an array in memory and memory:... (1 array, 12 elements)
      /: values: 2 of 12 differ, by up to 2
          [1, 1:3] 2 differ, by up to 2
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not (value >= 0 and math.isfinite(value)):
            raise ArgumentError(f"{name} is {value!r}, expected a number of at least 0", field=name, found=value)
    if max_regions < 0:
        raise ArgumentError(f"max_regions is {max_regions!r}, expected an integer of at least 0", field="max_regions")
    opened: list[Side] = []
    try:
        sides = []
        for side in (a, b):
            if not isinstance(side, (ZArray, Group, np.ndarray)):
                side = open(side, allow_pickle=allow_pickle)
                opened.append(side)
            sides.append(side)
        return _Comparison(sides[0], sides[1], rtol, atol, equal_nan, max_regions).run(progress)
    finally:
        for side in opened:
            if isinstance(side, (ZArray, Group)) and side.store is not a and side.store is not b:
                side.store.close()


@dataclass(slots=True)
class _Comparison:
    a: Side
    b: Side
    rtol: float
    atol: float
    equal_nan: bool
    max_regions: int
    items: list[Item] = field(default_factory=list)
    elements_read: int = 0

    def run(self, progress: Progress) -> Difference:
        pairs = list(self._pairs())
        total = sum(x.size for _, x, _ in pairs)
        with meter(progress, total, "diff") as done:
            for path, x, y in pairs:
                self._arrays(path, x, y, done)
        items = tuple(sorted(self.items, key=lambda item: item.path))
        return Difference(_name(self.a), _name(self.b), items, len(pairs), total, self.elements_read)

    def _note(self, path: str, kind: ItemKind, a: Json, b: Json, name: str = "") -> None:
        if _text(a) != _text(b):
            self.items.append(Item(path, kind, name, a, b))

    def _pairs(self) -> Iterator[tuple[str, Any, Any]]:
        """The arrays that both have, by path; what only one has is noted, and so is what differs between groups."""
        a, b = self.a, self.b
        if not (isinstance(a, Group) and isinstance(b, Group)):
            if isinstance(a, Group) or isinstance(b, Group):
                self._note("", "node", _kind(a), _kind(b))
            else:
                yield "", a, b
            return
        mine, theirs = ({"": g, **dict(g.members(None, damaged="raise"))} for g in (a, b))
        for path in sorted({*mine, *theirs}):
            one, other = mine.get(path), theirs.get(path)
            if one is None or other is None:
                above = path.rpartition("/")[0]
                if above in mine and above in theirs:  # else it is part of what is noted already
                    self.items.append(Item(path, "only_b" if one is None else "only_a"))
            elif isinstance(one, Group) and isinstance(other, Group):
                self._attributes(path, one, other)
                self._note(path, "storage", one.zarr_format, other.zarr_format, "zarr_format")
            elif isinstance(one, Group) or isinstance(other, Group):
                self._note(path, "node", _kind(one), _kind(other))
            else:
                yield path, one, other

    # ---- metadata --------------------------------------------------------------------------------

    def _attributes(self, path: str, a: ZArray | Group, b: ZArray | Group) -> None:
        mine, theirs = dict(a.attrs), dict(b.attrs)
        for name in sorted({*mine, *theirs}):
            if isinstance(a, Group) or name != _DIMENSIONS:
                self._note(path, "attributes", mine.get(name), theirs.get(name), name)
                if (name in mine) != (name in theirs) and mine.get(name) is theirs.get(name) is None:
                    self.items.append(Item(path, "attributes", name, None, None))

    def _arrays(self, path: str, a: Any, b: Any, done: Callable[[int], object]) -> None:
        self._note(path, "shape", list(a.shape), list(b.shape))
        self._note(path, "dtype", dtype_name(a.dtype), dtype_name(b.dtype))
        if isinstance(a, ZArray) and isinstance(b, ZArray):
            self._note(path, "dimension_names", a.dimension_names, b.dimension_names)
            self._attributes(path, a, b)
            self._note(path, "fill_value", _fill_text(a), _fill_text(b))
            mine, theirs = _storage(a), _storage(b)
            for name in mine:
                self._note(path, "storage", mine[name], theirs[name], name)
        if tuple(a.shape) != tuple(b.shape):
            done(a.size)
        elif not comparable(a.dtype, b.dtype):
            self.items.append(Item(path, "values", size=a.size))
            done(a.size)
        elif a.size:
            found = _Values(a, b, self.rtol, self.atol, self.equal_nan, done)
            found.compare()
            self.elements_read += found.read
            if found.count:
                boxes = merged(found.boxes)
                kept = tuple(boxes[: self.max_regions])
                left = len(boxes) - len(kept) + found.left
                top = max((n for n in (found.largest, *(box.max_abs for box in boxes)) if n is not None), default=None)
                self.items.append(
                    Item(path, "values", count=found.count, size=a.size, max_abs=top, regions=kept, regions_left=left)
                )


# ---- values --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Values:
    """The comparison of two arrays of one shape. What is found is gathered under a lock, from any thread."""

    a: Any
    b: Any
    rtol: float
    atol: float
    equal_nan: bool
    done: Callable[[int], object]
    count: int = 0
    read: int = 0
    left: int = 0
    largest: float | int | None = None
    boxes: list[Region] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def compare(self) -> None:
        a, b = self.a, self.b
        if isinstance(a, ZArray) and isinstance(b, ZArray) and (self.equal_nan or nan_free(a.dtype)):
            mine, theirs = a._engine, b._engine
            agreed = None
            if mine.layout.grid == theirs.layout.grid and dtype_name(a.dtype) == dtype_name(b.dtype) and a.nchunks >= _FEW:
                agreed = statistics.agreed(mine, theirs)
            if _alike(a, b):
                self._by_objects(mine, theirs, agreed)
                return
            if agreed is not None:
                self._by_chunks(mine, agreed)
                return
        blocks = cut([a, b], tuple(a.shape), nbytes=4 * (a.dtype.itemsize + b.dtype.itemsize))
        run(blocks.boxes(), self._block, [a, b], blocks)

    def _block(self, box: Box) -> None:
        self._compare(box, np.asarray(read(self.a, box)), np.asarray(read(self.b, box)))

    def _compare(self, box: Box, x: NDArray, y: NDArray) -> None:
        mask = np.asarray(differing(x, y, self.rtol, self.atol, self.equal_nan))
        boxes = []
        origin = [s.start for s in box]
        for own in regions_of(mask):
            where: Any = (*own.index, ...)  # the dots: of a 0-d array an index alone makes a scalar
            inside = mask[where]
            boxes.append(shifted(own, origin, largest(x[where][inside], y[where][inside])))
        with self._lock:
            self.read += mask.size
            self.count += sum(own.count for own in boxes)
            room = max(0, _MOST - len(self.boxes))
            self.boxes += boxes[:room]
            for own in boxes[room:]:
                self.left += 1
                self.largest = max((n for n in (self.largest, own.max_abs) if n is not None), default=None)
            self.done(mask.size)

    def _by_chunks(self, a: Engine, agreed: NDArray) -> None:
        """Compare the elements of the chunks that are not known to be equal; both arrays have the same grid of them."""
        left = np.argwhere(~agreed.reshape(a.layout.grid.shape))
        boxes = [a.layout.grid.box(tuple(spot)) for spot in left.tolist()]
        run(iter(boxes), self._block, [self.a, self.b])
        self.done(math.prod(a.meta.shape) - sum(math.prod(s.stop - s.start for s in box) for box in boxes))

    def _by_objects(self, a: Engine, b: Engine, agreed: NDArray | None) -> None:
        """Compare encoded chunks; what neither has stored is the same fill value in both."""
        objects, grid = a.layout.objects, a.layout.grid
        open_ = None
        if agreed is not None:
            open_ = np.bincount(chunks_of_objects(a.layout)[~agreed], minlength=objects.nchunks).reshape(objects.shape) > 0
        compared = 0

        def work(mine: Iterator[Coords]) -> None:
            nonlocal compared
            for coords in mine:
                if open_ is not None and not open_[coords]:
                    continue
                size = left = math.prod(objects.valid(coords))
                one, other = a.encoded(coords), b.encoded(coords)
                for spot in sorted({*one, *other}):
                    if spot not in grid or (spot in one and spot in other and _equal(one[spot], other[spot])):
                        continue  # a shard may hold chunks behind the edge of the array
                    left -= math.prod(grid.valid(spot))
                    x, y = (chunk_in(e, coords, spot, found.get(spot)) for e, found in ((a, one), (b, other)))
                    self._compare(a.layout.grid.box(spot), x, y)
                with self._lock:
                    compared += size
                    self.done(left)

        stored = _stored(a, b)
        share(iter(objects if stored is None else stored), work, CREW_FROM_NS, config.current().workers)
        self.done(math.prod(a.meta.shape) - compared)


def _stored(a: Engine, b: Engine) -> list[Coords] | None:
    """The coords of the objects that either array has; None where a store cannot list, as on a web server."""
    try:
        return sorted({coords for engine in (a, b) for coords in engine.stored() if coords in a.layout.objects})
    except StoreError:
        return None


def _alike(a: ZArray, b: ZArray) -> bool:
    """Whether equal bytes of one chunk are equal elements, and missing ones too."""
    mine, theirs = a._engine.meta, b._engine.meta
    return (
        mine.dtype == theirs.dtype
        and mine.chunks == theirs.chunks
        and mine.codecs == theirs.codecs
        and _fill_bytes(a) == _fill_bytes(b)
    )


def _equal(a: Buffer, b: Buffer) -> bool:
    if type(a) is bytes and type(b) is bytes:
        return a == b
    return np.array_equal(np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8))


# ---- words --------------------------------------------------------------------------------


def _kind(node: Side) -> str:
    return "group" if isinstance(node, Group) else "array"


def _name(side: Side) -> str:
    return f"{side.store.url} {side.path}".rstrip() if isinstance(side, (ZArray, Group)) else "an array in memory"


def _text(value: Json) -> str:
    """What to compare by: NaN equals itself, and True is not 1."""
    return json.dumps(value, sort_keys=True, default=repr)


def _fill_bytes(array: ZArray) -> bytes:
    layout = array._engine.layout
    cell = np.empty(1, layout.dtype)
    cell[...] = element(layout.fill, layout.dtype)
    return bytes(element_bytes(cell))


def _fill_text(array: ZArray) -> str | None:
    fill = array.fill_value
    return None if fill is None else str(fill)


def _storage(array: ZArray) -> dict[str, Json]:
    meta = array._engine.meta
    return {
        "zarr_format": meta.zarr_format,
        "chunks": [n if isinstance(n, int) else repr(n) for n in meta.chunks],
        "codecs": [{"name": spec.name, "configuration": dict(spec.configuration)} for spec in meta.codecs],
        "byteorder": meta.dtype.byteorder.replace("=", "<" if np.little_endian else ">"),
    }
