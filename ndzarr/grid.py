"""The chunk grid: which chunk holds an index, where that chunk starts, how much of it lies inside the array."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ndzarr._typing import Box, Coords, Shape


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
class Edges:
    """The chunk lengths of one axis of a rectilinear grid, as runs of (length, how many in a row); never expanded.

    A document of a few bytes may speak of 10**18 chunks; all that is worked out here costs as much as there are runs. Raises
    ValueError for a length or a count under 1.

    https://github.com/zarr-developers/zarr-extensions/tree/main/chunk-grids/rectilinear

    >>> Edges.of([10, 10, 5]).runs
    ((10, 2), (5, 1))
    """

    runs: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if any(length < 1 or count < 1 for length, count in self.runs):
            raise ValueError(f"chunk lengths and their counts must be at least 1, found {self.runs[:10]!r}")

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Edges:
        """The runs of a list of lengths."""
        return cls(tuple((length, len(list(same))) for length, same in groupby(lengths)))

    @property
    def total(self) -> int:
        """The sum of all lengths."""
        return sum(length * count for length, count in self.runs)

    @property
    def count(self) -> int:
        """How many chunks there are, those past the end of the array included."""
        return sum(count for _, count in self.runs)

    def __iter__(self) -> Iterator[int]:
        """The lengths one by one."""
        for length, count in self.runs:
            for _ in range(count):
                yield length


@dataclass(frozen=True, slots=True)
class EdgesAxis:
    """One axis cut into chunks of given lengths, whose sum reaches `length`. Answers cost the logarithm of the runs."""

    length: int
    edges: Edges
    #: Of each run: its first element, its first chunk, the length of its chunks. Runs past the end are left out.
    _starts: list[int] = field(init=False, repr=False, compare=False)
    _coords: list[int] = field(init=False, repr=False, compare=False)
    _sizes: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts: list[int] = []
        coords: list[int] = []
        sizes: list[int] = []
        start = coord = 0
        for size, count in self.edges.runs:
            if start >= self.length and starts:
                break
            starts.append(start)
            coords.append(coord)
            sizes.append(size)
            start += size * count
            coord += count
        for name, value in (("_starts", starts), ("_coords", coords), ("_sizes", sizes)):
            object.__setattr__(self, name, value)

    @property
    def count(self) -> int:
        """Chunks that hold an element of the array; 0 when the axis has no elements."""
        return self.find(self.length - 1) + 1 if self.length else 0

    def find(self, index: int) -> int:
        """Which chunk holds element `index` (0 <= index < length)."""
        run = bisect_right(self._starts, index) - 1
        return self._coords[run] + (index - self._starts[run]) // self._sizes[run]

    def find_many(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """`find` for an array of indices."""
        run = np.searchsorted(self._starts, indices, "right") - 1
        within = (indices - np.asarray(self._starts, np.intp)[run]) // np.asarray(self._sizes, np.intp)[run]
        found: npt.NDArray[np.intp] = np.asarray(self._coords, np.intp)[run] + within
        return found

    def start(self, coord: int) -> int:
        """The first element of chunk `coord`."""
        run = bisect_right(self._coords, coord) - 1
        return self._starts[run] + (coord - self._coords[run]) * self._sizes[run]

    def valid(self, coord: int) -> int:
        """How many elements of chunk `coord` lie inside the array; at least 1 for a chunk of the grid."""
        return min(self.size(coord), self.length - self.start(coord))

    def size(self, coord: int) -> int:
        """The stored extent of chunk `coord`: the last is stored whole, past the end too."""
        return self._sizes[bisect_right(self._coords, coord) - 1]


Axis: TypeAlias = RegularAxis | EdgesAxis


@dataclass(frozen=True, slots=True)
class Grid:
    """A product of axes. 0-d arrays have one chunk, with coords ()."""

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, shape: Shape, chunks: tuple[int | Edges, ...]) -> Grid:
        """The grid of an array. A chunk length of 0 counts as 1: old files have it where the axis has no elements."""
        return cls(
            tuple(
                EdgesAxis(n, c) if isinstance(c, Edges) else RegularAxis(n, c or 1) for n, c in zip(shape, chunks, strict=True)
            )
        )

    @property
    def uniform(self) -> bool:
        """Whether all chunks are alike."""
        return all(type(axis) is RegularAxis for axis in self.axes)

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

    def size(self, coords: Coords) -> Shape:
        """The stored lengths of a chunk."""
        return tuple(axis.size(c) for axis, c in zip(self.axes, coords, strict=True))

    def valid(self, coords: Coords) -> Shape:
        """How much of a chunk lies inside the array."""
        return tuple(axis.valid(c) for axis, c in zip(self.axes, coords, strict=True))

    def box(self, coords: Coords) -> Box:
        """Where a chunk lies in the array, cut at its edge."""
        return tuple([slice(n, n + valid, 1) for n, valid in zip(self.start(coords), self.valid(coords), strict=True)])

    def __iter__(self) -> Iterator[Coords]:
        """All coords in C order; lazily, so that a grid of any size may be walked in part."""
        return iter(()) if 0 in self.shape else _walk(self.shape)

    def __contains__(self, coords: object) -> bool:
        return (
            isinstance(coords, tuple)
            and len(coords) == len(self.axes)
            and all(0 <= c < axis.count for axis, c in zip(self.axes, coords, strict=True))
        )


def _walk(shape: Shape) -> Iterator[Coords]:
    # Not `itertools.product`, which lists each axis before it begins.
    if not shape:
        yield ()
        return
    for head in _walk(shape[:-1]):
        for coord in range(shape[-1]):
            yield (*head, coord)


#: What "auto" aims at for one decoded chunk, in bytes: large enough that per-chunk costs vanish, small enough for caches.
TARGET_NBYTES = 1 << 20


def auto_chunks(shape: Shape, itemsize: int, target: int = TARGET_NBYTES) -> Shape:
    """Chunks of about `target` bytes, as near to the array's own proportions as whole halvings allow.

    Halves the longest axis until the chunk fits, the way h5py's guess does, so that no direction of access is much worse
    than another. An axis of length 0 gets 1.
    """
    chunks = [max(1, n) for n in shape]
    itemsize = max(1, itemsize)
    while chunks and math.prod(chunks) * itemsize > target:
        axis = max(range(len(chunks)), key=chunks.__getitem__)
        if chunks[axis] == 1:
            break
        chunks[axis] = -(-chunks[axis] // 2)
    return tuple(chunks)
