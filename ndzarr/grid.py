"""The chunk grid: which chunk holds an index, where that chunk starts, how much of it lies inside the array."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from ndzarr._typing import Coords, Shape


@dataclass(frozen=True, slots=True)
class RegularAxis:
    """One axis cut into equal chunks; the last may reach past the end. All answers are arithmetic, none depends on the size."""

    length: int
    chunk: int

    @property
    def count(self) -> int:
        """Chunks along the axis; 0 when the axis has no elements."""
        return -(-self.length // self.chunk)

    def find(self, index: int) -> int:
        """Which chunk holds element `index` (0 <= index < length)."""
        return index // self.chunk

    def find_many(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """`find` for an array of indices."""
        return indices // self.chunk

    def start(self, coord: int) -> int:
        """The first element of chunk `coord`."""
        return coord * self.chunk

    def valid(self, coord: int) -> int:
        """How many elements of chunk `coord` lie inside the array; at least 1 for a chunk of the grid."""
        return min(self.chunk, self.length - coord * self.chunk)

    def size(self, coord: int) -> int:
        """The stored extent of chunk `coord`: edge chunks are stored whole."""
        return self.chunk


@dataclass(frozen=True, slots=True)
class Grid:
    """A product of axes. 0-d arrays have one chunk, with coords ()."""

    axes: tuple[RegularAxis, ...]

    @classmethod
    def regular(cls, shape: Shape, chunks: Shape) -> Grid:
        """The grid of equal chunks. A chunk length of 0 counts as 1: old files have it where the axis has no elements."""
        return cls(tuple(RegularAxis(n, c or 1) for n, c in zip(shape, chunks, strict=True)))

    @property
    def shape(self) -> Shape:
        """Chunks along each axis."""
        return tuple(axis.count for axis in self.axes)

    @property
    def nchunks(self) -> int:
        """Chunks in all; a Python int, so it cannot overflow."""
        return math.prod(self.shape)

    def start(self, coords: Coords) -> Coords:
        """The array index of the first element of a chunk."""
        return tuple(axis.start(c) for axis, c in zip(self.axes, coords, strict=True))

    def valid(self, coords: Coords) -> Shape:
        """How much of a chunk lies inside the array."""
        return tuple(axis.valid(c) for axis, c in zip(self.axes, coords, strict=True))

    def __iter__(self) -> Iterator[Coords]:
        """All coords in C order; lazily, so that a grid of any size may be walked in part."""
        return product(*(range(axis.count) for axis in self.axes))

    def __contains__(self, coords: object) -> bool:
        return (
            isinstance(coords, tuple)
            and len(coords) == len(self.axes)
            and all(0 <= c < axis.count for axis, c in zip(self.axes, coords, strict=True))
        )


#: What "auto" aims at for one decoded chunk, in bytes: large enough that per-chunk costs vanish, small enough for caches.
TARGET_NBYTES = 1 << 20


def auto_chunks(shape: Shape, itemsize: int, target: int = TARGET_NBYTES) -> Shape:
    """Chunks of about `target` bytes, as near to the array's own proportions as whole halvings allow.

    Halves the longest axis until the chunk fits, the way h5py's guess does, so that no direction of access is much worse
    than another. An axis of length 0 gets 1.
    """
    chunks = [max(1, n) for n in shape]
    itemsize = max(1, itemsize)
    while math.prod(chunks) * itemsize > target:
        axis = max(range(len(chunks)), key=chunks.__getitem__)
        if chunks[axis] == 1:
            break
        chunks[axis] = -(-chunks[axis] // 2)
    return tuple(chunks)
