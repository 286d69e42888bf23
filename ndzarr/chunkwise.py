"""The chunks of an array one by one: iterated over, or each put through a function on all processors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.crew import CREW_FROM_NS, share
from ndzarr.errors import ArgumentError
from ndzarr.grid import Grid
from ndzarr.memory import result


class Target(Protocol):
    """What results are written into: a stored array, or anything else with a shape that is assigned to by boxes."""

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""

    def __setitem__(self, index: Any, value: Any) -> None: ...


def boxes(grid: Grid) -> Iterator[Box]:
    """The box of each chunk, cut at the edge of the array, in C order; lazily, however many there are."""
    yield from map(grid.box, grid)


def iter_chunks(grid: Grid, read: Callable[[Box], NDArray]) -> Iterator[tuple[Box, NDArray]]:
    """(box, the chunk there) for each chunk, in C order; each is read when it is its turn."""
    for box in boxes(grid):
        yield box, read(box)


def map_chunks(
    grid: Grid,
    read: Callable[[Box], NDArray],
    f: Callable[[NDArray], Any],
    dtype: DType | None,
    out: Target | None,
    empty: NDArray,
) -> Any:
    """`out`, or a new NumPy array, with `f(chunk)` in the place of each chunk.

    f: called from several threads at once, in any order; what it gives has the shape of the chunk. dtype: of the new array; by
    default that of the first result. empty: what `f` is given to find the dtype of an array without elements. Raises
    ArgumentError for results of another shape, or of a dtype that the first one's cannot hold; what `f` raises is passed on,
    and no thread calls it any more then.
    """
    shape = tuple([axis.length for axis in grid.axes])
    if out is not None and out.shape != shape:
        raise ArgumentError(f"out has shape {out.shape}, expected {shape}", field="out", found=out.shape, expected=shape)
    rest = boxes(grid)
    first = list(islice(rest, 1))
    made: NDArray | None = None
    if out is None:
        # The first chunk comes first, for the dtype.
        sample = _checked(f, read(first[0]) if first else empty, first[0] if first else ())
        made = result(shape, sample.dtype if dtype is None else dtype, "map_chunks")
        if isinstance(sample, np.ma.MaskedArray):
            made = np.ma.MaskedArray(made, np.zeros(shape, np.ma.make_mask_descr(made.dtype)))
        if first:
            _put(made, first[0], sample)
    else:
        rest = chain(first, rest)

    def work(mine: Iterator[Box]) -> None:
        for box in mine:
            found = _checked(f, read(box), box)
            if made is not None:
                _put(made, box, found)
            elif out is not None:
                out[box] = found

    # Nobody knows what `f` costs: it is taken to be worth a thread.
    share(rest, work, CREW_FROM_NS, config.current().workers, count=max(1, math.prod(grid.shape)))
    return out if made is None else made


def _checked(f: Callable[[NDArray], Any], chunk: NDArray, box: Box) -> NDArray:
    """What `f` makes of a chunk."""
    found: NDArray = np.asanyarray(f(chunk))
    if found.shape != chunk.shape:
        raise ArgumentError(
            f"f gave an array of shape {found.shape} for the chunk at {_starts(box)}, expected the chunk's own, {chunk.shape}",
            field="f",
            found=found.shape,
            expected=chunk.shape,
        )
    return found


def _put(made: NDArray, box: Box, found: NDArray) -> None:
    if not np.can_cast(found.dtype, made.dtype, "same_kind"):
        raise ArgumentError(
            f"f gave dtype {found.dtype} for the chunk at {_starts(box)}, which {made.dtype} cannot hold; pass dtype=",
            field="dtype",
            found=found.dtype,
            expected=made.dtype,
        )
    made[box or ...] = found


def _starts(box: Box) -> tuple[int, ...]:
    return tuple([s.start for s in box])
