"""Arrays in and out a block of rows at a time, along one axis: `stream` reads ahead, `extend` appends what an iterator gives.

Both keep within the memory allowed: `stream` reads no further ahead than that, and `extend` asks the iterator for more only
when there is room for it (back-pressure). Rows to be appended are gathered to whole stored objects, so that each is written
once; they are written by another thread while the iterator makes the next.
"""

from __future__ import annotations

import math
import operator
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.crew import Pending, begin
from ndzarr.errors import ArgumentError, MemoryLimitError
from ndzarr.grid import RegularAxis
from ndzarr.operand import Borders, Operand
from ndzarr.progress import Progress, meter
from ndzarr.sizes import nbytes_of


def axis_argument(axis: Any, ndim: int) -> int:
    """An axis, counted from the first; ArgumentError where there is none such."""
    found = operator.index(axis)
    if not -ndim <= found < ndim:
        raise ArgumentError(f"axis {found} is out of bounds for array of dimension {ndim}", field="axis", found=found)
    return found % ndim


# ---- out ------------------------------------------------------------------------------------------


def stream(
    z: Operand, axis: Any = 0, block: Any = None, max_mem: Any = "64MiB", prefetch: int = 1, progress: Progress = None
) -> Iterator[tuple[Box, NDArray]]:
    """(box, values) for each block of rows, in order; see `ZArray.stream`."""
    axis = axis_argument(axis, len(z.shape))
    limit = nbytes_of(max_mem, "max_mem")
    if operator.index(prefetch) < 0:
        raise ArgumentError(f"prefetch is {prefetch!r}, expected at least 0", field="prefetch", found=prefetch)
    itemsize = max(1, z.dtype.itemsize)
    row = itemsize * math.prod(z.shape[:axis] + z.shape[axis + 1 :])
    chunk = itemsize * math.prod(min(b.chunk, b.length) for b in z.borders())
    if block is None:
        # Those read ahead, and one in the caller's hands; beside them a chunk, encoded and decoded.
        room = int(limit - 2 * chunk) // (prefetch + 1)
        stops = _stops(z.borders()[axis], z.object_borders()[axis], room // max(1, row))
        needed = (prefetch + 1) * row + 2 * chunk
    else:
        length = operator.index(block)
        if length < 1:
            raise ArgumentError(f"block is {block!r}, expected at least 1", field="block", found=block)
        stops = [min(n + length, z.shape[axis]) for n in range(0, z.shape[axis], length)]
        needed = min(length, z.shape[axis]) * row
        prefetch = min(prefetch, max(0, limit // max(1, needed) - 1))
    if needed > limit:
        raise MemoryLimitError(
            f"streaming {z.shape} of {z.dtype} along axis {axis} needs {needed} bytes, and max_mem allows {limit}; pass "
            "more, or less prefetch, or a smaller block",
            found=needed,
            expected=limit,
        )
    boxes = [
        tuple([slice(a, b, 1) if n == axis else slice(0, length, 1) for n, length in enumerate(z.shape)])
        for a, b in zip([0, *stops], stops, strict=False)
    ]
    return _ahead(z, boxes, prefetch, progress)


def _stops(chunks: Borders, objects: Borders, rows: int) -> list[int]:
    """Where blocks of at most so many rows end: at objects, else at chunks, else anywhere."""
    if rows < 1:
        return []
    return objects.stops(rows) if objects.chunk <= rows else chunks.stops(rows, inside=True)


def _ahead(z: Operand, boxes: list[Box], prefetch: int, progress: Progress) -> Iterator[tuple[Box, NDArray]]:
    def reading(box: Box) -> Pending[NDArray]:
        return begin(lambda: z.read_box(box))

    begun: deque[tuple[Box, Pending[NDArray]]] = deque()
    left = iter(boxes)
    try:
        with meter(progress, len(boxes), "read") as done:
            for _ in boxes:
                while len(begun) <= prefetch and (box := next(left, None)) is not None:
                    # With nothing read ahead a block is read when it is asked for.
                    begun.append((box, reading(box)))
                    if not prefetch:
                        break
                box, pending = begun.popleft()
                values = pending.result()
                del pending
                yield box, values
                del values
                done(1)
    finally:
        for _, pending in begun:
            pending.drop()


#: What no iterator gives.
_END: Any = object()

# ---- in ------------------------------------------------------------------------------------------


class Growing(Protocol):
    """What `extend` needs of an array."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> DType: ...
    def refresh(self) -> None: ...
    def append(self, data: Any, axis: int = 0) -> Shape: ...
    def object_borders(self) -> tuple[Borders, ...]: ...


def extend(z: Growing, blocks: Iterable[Any], axis: Any, max_mem: Any, progress: Progress) -> Shape:
    """Append every block, gathered to whole objects; the new shape; see `ZArray.extend`."""
    axis = axis_argument(axis, len(z.shape))
    z.refresh()
    slabs = _Slabs(z, axis, nbytes_of(max_mem, "max_mem"))
    try:
        with meter(progress, operator.length_hint(blocks), "append") as done:
            source = iter(blocks)
            while True:
                try:
                    block = next(source, _END)
                    rows = None if block is _END else slabs.checked(rows_in(block))
                except BaseException:
                    slabs.finish()  # the rows before it are there
                    raise
                if rows is None:
                    break
                slabs.put(rows)
                del block, rows
                try:
                    done(1)
                except BaseException:
                    slabs.finish()
                    raise
            slabs.finish()
    finally:
        slabs.drop()
    return z.shape


def rows_in(block: Any) -> Any:
    """The values of a block, which may come with its box, as `stream` gives it."""
    pair = type(block) is tuple and len(block) == 2 and type(block[0]) is tuple
    return block[1] if pair and block[0] and all(isinstance(s, slice) for s in block[0]) else block


class _Slabs:
    """Rows on their way: those that are gathered, and those that are being written."""

    def __init__(self, z: Growing, axis: int, limit: int) -> None:
        self._z = z
        self._axis = axis
        self._rest = z.shape[:axis] + z.shape[axis + 1 :]
        row = max(1, z.dtype.itemsize) * math.prod(self._rest)
        borders = z.object_borders()[axis]
        self._unit = _unit(borders)
        # One that is filled, one that is written, and what it is encoded to.
        self._most = limit // 3 // max(1, row) // self._unit * self._unit if row else 1 << 20
        if not self._most:
            needed = 3 * row * self._unit
            raise MemoryLimitError(
                f"appending along axis {axis} gathers {self._unit} rows, which takes {needed} bytes; max_mem allows {limit}: "
                "pass more, or make the array with shorter chunks or shards",
                found=needed,
                expected=limit,
            )
        self._at = 0
        self._stop = self._room(z.shape[axis])
        self._slab: NDArray | None = None
        self._writing: Pending[Shape] | None = None

    def _room(self, start: int) -> int:
        """How many rows from `start` on make whole objects."""
        return self._most - start % self._unit

    def checked(self, block: Any) -> NDArray:
        """The rows of a block; ArgumentError where they are of another shape."""
        rows = np.asarray(block)
        axis = self._axis
        if rows.ndim != len(self._rest) + 1 or rows.shape[:axis] + rows.shape[axis + 1 :] != self._rest:
            expected = (*self._rest[:axis], None, *self._rest[axis:])
            raise ArgumentError(
                f"cannot append a block of shape {rows.shape} along axis {axis}: expected {expected}, where None is any length",
                field="blocks",
                found=rows.shape,
                expected=expected,
            )
        return rows

    def put(self, rows: NDArray) -> None:
        """Take rows, which the caller may change afterwards; waits while what was taken before is written."""
        before = (slice(None),) * self._axis
        at, count = 0, rows.shape[self._axis]
        while at < count:
            if self._slab is None:
                shape = (*self._rest[: self._axis], self._stop, *self._rest[self._axis :])
                self._slab = np.empty(shape, self._z.dtype)
            taken = min(count - at, self._stop - self._at)
            self._slab[(*before, slice(self._at, self._at + taken))] = rows[(*before, slice(at, at + taken))]
            self._at += taken
            at += taken
            if self._at == self._stop:
                self._write()

    def _write(self) -> None:
        slab, self._slab = self._slab, None
        if slab is None or not self._at:
            return
        rows = slab[(slice(None),) * self._axis + (slice(0, self._at),)]
        self._wait()
        start = self._z.shape[self._axis] + self._at
        self._at = 0
        self._stop = self._room(start)
        z, axis = self._z, self._axis

        def append() -> Shape:
            return z.append(rows, axis)

        self._writing = begin(append)

    def _wait(self) -> None:
        if self._writing is not None:
            try:
                self._writing.result()
            finally:
                self.drop()

    def drop(self) -> None:
        """Return when no thread writes any more: after Ctrl-C, say, while one was waited for (promise P17)."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.drop()

    def finish(self) -> None:
        """Return when all rows taken are stored."""
        self._write()
        self._wait()


def _unit(borders: Borders) -> int:
    """How many rows an object has along the axis; where objects differ, or are not known, the longest."""
    axis = borders.axis
    if isinstance(axis, RegularAxis):
        return axis.chunk
    return 1 if axis is None else max((length for length, _ in axis.edges.runs), default=1)
