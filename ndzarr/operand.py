"""What functions need of an array that is not in memory: its shape, a box of it, and where its chunks begin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.grid import Axis, RegularAxis


@dataclass(frozen=True, slots=True)
class Borders:
    """Where chunks begin along one axis of an array or view.

    axis: the storage axis, None where the axis of the view has none (a new or broadcast axis, or one picked by an index array).
    Element `i` of the view lies at `start + i * step` of it, or in falling order when `flip`. length: of the axis of the view.
    chunk: how many elements of the view lie in one chunk, about; at least 1.
    """

    length: int
    chunk: int
    axis: Axis | None = None
    start: int = 0
    step: int = 1
    flip: bool = False

    @classmethod
    def of(cls, axis: Axis) -> Borders:
        """The borders of a storage axis itself."""
        return cls.spanned(axis, 0, 1, axis.length, False)

    @classmethod
    def spanned(cls, axis: Axis, start: int, step: int, count: int, flip: bool) -> Borders:
        """The borders of `count` elements of a storage axis, `step` >= 1 apart from `start` on."""
        chunk = axis.chunk if isinstance(axis, RegularAxis) else math.ceil(axis.length / max(1, axis.count))
        return cls(count, max(1, min(-(-chunk // step), count)), axis, start, step, flip)

    @classmethod
    def loose(cls, length: int, chunk: int | None = None) -> Borders:
        """Borders of an axis along which any place is as good as another."""
        return cls(length, max(1, length if chunk is None else min(chunk, length)))

    def below(self, position: int) -> int:
        """The last border at or before `position`; 0 where there is none. `length` is one."""
        if position >= self.length:
            return self.length
        if self.axis is None:
            return position
        if not self.flip:
            origin = self.axis.start(self.axis.find(self.start + position * self.step))
            return max(0, -((self.start - origin) // self.step))
        coord = self.axis.find(self.start + (self.length - 1 - position) * self.step)
        last = self.axis.start(coord) + self.axis.valid(coord) - 1
        return max(0, self.length - 1 - (last - self.start) // self.step)

    def stops(self, wanted: int, *, inside: bool = False) -> list[int]:
        """Where blocks of about `wanted` elements end, the last at `length`: at borders where these are near enough.

        A block is never longer than `wanted` or one chunk, whichever is more; with `inside`, which cuts chunks, than `wanted`.
        """
        found: list[int] = []
        position = 0
        while position < self.length:
            stop = self.below(min(position + max(1, wanted), self.length))
            if stop <= position:  # a chunk longer than wanted
                stop = min(self.above(position), position + max(1, wanted) if inside else self.length)
            found.append(stop)
            position = stop
        return found

    def above(self, position: int) -> int:
        """The first border after `position`."""
        if self.axis is None:
            return min(position + self.chunk, self.length)
        if not self.flip:
            coord = self.axis.find(self.start + position * self.step)
            last = self.axis.start(coord) + self.axis.valid(coord) - 1
            return min(self.length, (last - self.start) // self.step + 1)
        coord = self.axis.find(self.start + (self.length - 1 - position) * self.step)
        # The first element of the view that lies in a chunk before this one.
        first = self.axis.start(coord)
        return min(self.length, self.length - 1 - (first - 1 - self.start) // self.step)


@runtime_checkable
class Operand(Protocol):
    """An array that is read and written a box at a time. Safe to use from any number of threads."""

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""

    @property
    def dtype(self) -> DType:
        """The dtype of what `read_box` gives."""

    def read_box(self, box: Box) -> NDArray:
        """The elements in a box, as a fresh array that the caller may change. Raises what reading a chunk raises."""

    def write_box(self, box: Box, value: NDArray) -> None:
        """Put `value`, of the box's shape and castable to the dtype, there. Raises ReadOnlyError, and what writing raises."""

    def borders(self) -> tuple[Borders, ...]:
        """Where chunks begin along each axis."""

    def object_borders(self) -> tuple[Borders, ...]:
        """Where stored objects begin along each axis: chunks, or shards of them. Writes that end there read nothing."""

    def chunk_ns(self) -> float:
        """About how long one chunk takes to decode, in nanoseconds: short ones are not worth a thread."""

    def overlaps(self, other: Operand) -> bool:
        """Whether some element of this may be an element of `other` at another index: then blocks cannot be written in turn.

        Of the array itself: whether elements at several indices lie at one place.
        """
