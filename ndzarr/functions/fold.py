"""The one loop of all reductions: blocks folded into states, states merged in a fixed order, results put in their place.

A reduction is a `Fold`: what one block gives (`first`), how two neighbouring states become one (`merge`), and what the last one
means (`last`). A state is a tuple of arrays in which the reduced axes have length 1.

The result is cut into tiles, by the blocks of the axes that are kept. Where there are few tiles the blocks of each are cut into
segments, which are folded each by itself and merged in their order; so there is work for several threads, and the order of all
merging depends on the shape and the chunks alone, never on threads: the same call gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, Protocol, TypeAlias

import numpy as np

from ndzarr._typing import Box, Coords, NDArray, Shape
from ndzarr.functions.table import UnstreamedError
from ndzarr.streaming import Cut, cut, dtype_of, is_operand, read, run

State: TypeAlias = tuple[Any, ...]

#: So many tasks are enough to keep all threads busy; fixed, so that results do not depend on the machine.
_TASKS = 16


class Planned(BaseException):
    """What a reduction would do, raised in place of doing it; caught by `planned`, and reaches nobody else.

    blocks: of the shape that the operands broadcast to. weight: bytes of one element of a block, in all that is made of it.
    nbytes_result: of the reduction.
    """

    def __init__(self, operands: list[Any], blocks: Cut, weight: int, nbytes_result: int) -> None:
        super().__init__()
        self.operands = operands
        self.blocks = blocks
        self.weight = weight
        self.nbytes_result = nbytes_result


_planning: ContextVar[bool] = ContextVar("ndzarr.planning", default=False)


def planned(reduction: Callable[[], Any]) -> Planned | None:
    """What the reduction in `reduction()` would do; None where it is over without having come to one."""
    token = _planning.set(True)
    try:
        reduction()
    except Planned as plan:
        return plan
    finally:
        _planning.reset(token)
    return None


class Fold(Protocol):
    """One reduction. Stateless, so that any number of threads may use it."""

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        """The state of one block: `arrays` are the operands' elements in `box`, broadcastable to its shape."""

    def merge(self, state: State, later: State) -> State:
        """The state of two neighbouring stretches, `later` being the one behind."""

    def last(self, state: State) -> NDArray:
        """The result of a state; reduced axes still have length 1."""


@dataclass(slots=True)
class Sink:
    """Where results of tiles go: an array in memory or an operand, with the reduced axes kept at length 1 or dropped."""

    place: Any
    axes: tuple[int, ...]
    keepdims: bool

    def put(self, box: Box, value: NDArray) -> None:
        """Put a tile in its place; `box` has a slice for every axis, (0, 1) for the reduced ones."""
        if not self.keepdims:
            box = tuple([s for axis, s in enumerate(box) if axis not in self.axes])
            value = value.reshape([s.stop - s.start for s in box])
        if is_operand(self.place):
            self.place.write_box(box, value)
        else:
            self.place[box or ...] = value


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """`axis` of a reduction as a tuple of axes counted from the front, None meaning all; NumPy's own errors."""
    if not ndim and axis is not None and axis != ():
        raise UnstreamedError  # NumPy takes 0 and -1 for axes of a scalar, here and there
    if axis is None:
        return tuple(range(ndim))
    return tuple(np.lib.array_utils.normalize_axis_tuple(axis, ndim))


def reduced_shape(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """The shape of the result of a reduction."""
    if keepdims:
        return tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    return tuple(n for axis, n in enumerate(shape) if axis not in axes)


def fold(
    algorithm: Fold, operands: Sequence[Any], shape: Shape, axes: tuple[int, ...], sink: Sink, *, nbytes: int | None = None,
    in_order: bool = False, whole: tuple[int, ...] = (),
) -> None:  # fmt: skip
    """Reduce what `operands` broadcast to `shape` over `axes`, into `sink`.

    nbytes: of one element in all arrays that `first` holds at once (see `streaming.cut`). in_order: every state has to be
    merged into the one of everything before it, so there are no segments. whole: axes that every block spans.
    """
    if 0 in shape:
        raise UnstreamedError  # NumPy knows what nothing adds up to
    blocks = cut(operands, shape, nbytes=nbytes, whole=whole)
    if _planning.get():
        weight = 2 * sum([np.dtype(dtype_of(x)).itemsize for x in operands]) if nbytes is None else nbytes
        nbytes_result = math.prod(sink.place.shape) * np.dtype(dtype_of(sink.place)).itemsize
        raise Planned(list(operands), blocks, weight, nbytes_result)
    _Folding(algorithm, operands, axes, sink, blocks, in_order).run()


@dataclass(slots=True)
class _Folding:
    algorithm: Fold
    operands: Sequence[Any]
    axes: tuple[int, ...]
    sink: Sink
    blocks: Cut
    in_order: bool
    states: dict[tuple[Coords, int], State] = field(default_factory=dict)

    def run(self) -> None:
        counts = self.blocks.counts
        kept = [range(n) if axis not in self.axes else range(1) for axis, n in enumerate(counts)]
        reduced = math.prod(n for axis, n in enumerate(counts) if axis in self.axes)
        ntiles = math.prod(len(r) for r in kept)
        segments = 1 if self.in_order else max(1, min(reduced, -(-_TASKS // max(1, ntiles))))
        bounds = [reduced * k // segments for k in range(segments + 1)]
        tasks = ((tile, k, bounds[k], bounds[k + 1]) for tile in product(*kept) for k in range(segments))
        run(tasks, self._task, self.operands, self.blocks)
        if segments > 1:
            for tile in product(*kept):
                self._finish(tile, [self.states[tile, k] for k in range(segments)])

    def _task(self, task: tuple[Coords, int, int, int]) -> int:
        tile, segment, start, stop = task
        spots = product(*(range(n) if axis in self.axes else (tile[axis],) for axis, n in enumerate(self.blocks.counts)))
        state: State | None = None
        for coords in islice(spots, start, stop):
            box = self.blocks.box(coords)
            found = self.algorithm.first([read(x, box) for x in self.operands], self.axes, box)
            state = found if state is None else self.algorithm.merge(state, found)
        if state is None:
            raise AssertionError("a task without blocks")  # segments are never more than blocks
        if start == 0 and stop == math.prod(n for axis, n in enumerate(self.blocks.counts) if axis in self.axes):
            self._finish(tile, [state])
        else:
            self.states[tile, segment] = state  # one key a task: no lock needed
        return stop - start

    def _finish(self, tile: Coords, states: list[State]) -> None:
        state = states[0]
        for later in states[1:]:
            state = self.algorithm.merge(state, later)
        box = tuple([slice(0, 1, 1) if axis in self.axes else self.blocks.slice(axis, c) for axis, c in enumerate(tile)])
        self.sink.put(box, self.algorithm.last(state))
