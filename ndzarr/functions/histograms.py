"""histogram, histogram2d, histogramdd, their edges, and bincount: ranges first, then counts block by block.

NumPy computes the edges, from a stand-in for the data: two elements, the smallest and the largest. Then it counts each block
with the same range or edges, which decide for each element by itself, so that the sums of the counts are NumPy's own.
"""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ndzarr._typing import Box, DType, NDArray
from ndzarr.functions import extremes, folds
from ndzarr.functions.dispatch import load_small
from ndzarr.functions.fold import Fold, Sink, State, fold
from ndzarr.functions.order import order
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import check_result, room
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of

#: Points that are counted at a time.
_SLICE = 1 << 14


@dataclass(slots=True)
class _Kept(Sink):
    """A sink that keeps the one value of a reduction over all axes, whatever its shape."""

    value: NDArray = field(default_factory=lambda: np.empty(0))

    def put(self, box: Box, value: NDArray) -> None:
        """Keep `value`."""
        self.value = value


def total(algorithm: Fold, operands: Sequence[Any], shape: tuple[int, ...], **cutting: Any) -> NDArray:
    """The result of a reduction over all axes, of any shape."""
    axes = tuple(range(len(shape)))
    sink = _Kept(None, axes, False)
    fold(algorithm, operands, shape, axes, sink, **cutting)
    return sink.value


@dataclass(frozen=True, slots=True)
class Bins(Fold):
    """How many elements, or how much weight, lies in each bin. arrays: the data, and weights if there are any."""

    bins: Any
    range: Any

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        weights = np.asarray(arrays[1]).reshape(-1) if len(arrays) > 1 else None
        block = np.asarray(arrays[0]).reshape(-1)
        if block.dtype == np.bool_:
            block = block.astype(np.uint8)  # as NumPy does, which warns; it has warned when the edges were found
        found: Any = 0
        slice_ = max(_SLICE, self.bins if np.ndim(self.bins) == 0 else len(self.bins))
        for start in range(0, block.size, slice_):  # of each element NumPy makes some ten others
            part = slice(start, start + slice_)
            mine = None if weights is None else weights[part]
            found = found + np.histogram(block[part], self.bins, self.range, weights=mine)[0]
        return (found,)

    def merge(self, state: State, later: State) -> State:
        return (state[0] + later[0],)

    def last(self, state: State) -> NDArray:
        return np.asarray(state[0])


def _checked(a: Any, weights: Any) -> tuple[Any, Any]:
    if not is_operand(a) and not is_operand(weights):
        raise UnstreamedError
    a = a if is_operand(a) else np.asarray(a)
    if weights is not None:
        weights = weights if is_operand(weights) else np.asarray(weights)
        if shape_of(weights) != shape_of(a):
            raise ValueError("weights should have the same shape as a.")
    if not math.prod(shape_of(a)) or np.dtype(dtype_of(a)).kind not in "biuf":
        raise UnstreamedError
    return a, weights


def _span(a: Any) -> tuple[Any, Any, NDArray]:
    """The smallest and the largest element, and an array of both."""
    low, high = extremes.min(a), extremes.max(a)
    ends = np.array([low, high], dtype_of(a))
    return (np.uint8(low), np.uint8(high), ends) if ends.dtype == np.bool_ else (low, high, ends)


@implements(np.histogram_bin_edges, kind="stream", note="bins='stone', or a name with range=: loaded")
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """`numpy.histogram_bin_edges`."""
    a, weights = _checked(a, weights)
    return _edges(a, bins, range, weights)[0]


def _edges(a: Any, bins: Any, range: Any, weights: Any) -> tuple[NDArray, Any, Any]:
    """The edges of the bins, and the bins and range that NumPy makes these of for every block."""
    bins = load_small(bins) if is_operand(bins) else bins
    given = None if weights is None else np.ones(2)
    if isinstance(bins, str):
        if range is not None or weights is not None or np.dtype(dtype_of(a)).kind == "b":
            raise UnstreamedError
        low, high, ends = _span(a)
        np.histogram_bin_edges(ends, "sqrt")  # whether the range is finite
        bins = _count(a, bins, low, high)
    elif np.ndim(bins) or range is not None:
        ends = np.zeros(2, dtype_of(a))
        return np.histogram_bin_edges(ends, bins, range, given), bins, range
    else:
        low, high, ends = _span(a)
    return np.histogram_bin_edges(ends, bins, None, given), bins, (low, high)


@implements(np.histogram, kind="stream", note="weights may be a stored array; bins='stone', or a name with range=: loaded")
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`numpy.histogram`."""
    a, weights = _checked(a, weights)
    edges, bins, range = _edges(a, bins, range, weights)
    operands = [a] if weights is None else [a, weights]
    itemsize = np.dtype(dtype_of(a)).itemsize + (0 if weights is None else np.dtype(dtype_of(weights)).itemsize)
    counts = total(Bins(bins, range), operands, shape_of(a), nbytes=2 * itemsize)
    if density:
        widths = np.array(np.diff(edges), float)
        return counts / widths / counts.sum(), edges
    return counts, edges


# ---- how many bins --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cubes(Fold):
    """The sum of the third powers of distances from the mean, in standard deviations."""

    mean: Any
    sigma: Any

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        away = (np.asarray(arrays[0]) - self.mean) / self.sigma
        return (np.sum(away * away * away),)

    def merge(self, state: State, later: State) -> State:
        return (state[0] + later[0],)

    def last(self, state: State) -> NDArray:
        return np.asarray(state[0])


class _Summary:
    """What NumPy's estimators of bin widths ask of their data: its size, ends, spread and quantiles."""

    def __init__(self, a: Any, low: Any, high: Any) -> None:
        self._a, self._low, self._high = a, low, high
        self.size = math.prod(shape_of(a))

    def max(self) -> Any:
        return self._high

    def min(self) -> Any:
        return self._low

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.std and len(args) == 1 and not kwargs:
            return folds.std(self._a)
        if function is np.percentile and len(args) == 2 and not kwargs:
            return order(np.percentile, self._a, args[1:], None, None, False, False, {"method": "linear"})
        raise UnstreamedError


def _count(a: Any, name: str, low: Any, high: Any) -> int:
    """How many bins NumPy makes for one of its estimators."""
    selectors = getattr(np.lib._histograms_impl, "_hist_bin_selectors", {})
    if name not in selectors:
        np.histogram_bin_edges(np.zeros(1), name)  # NumPy's own error
        raise UnstreamedError
    first, last = (low - 0.5, high + 0.5) if low == high else (low, high)
    width = _doane(a, low, high) if name == "doane" else selectors[name](_Summary(a, low, high), (first, last))
    if not width:
        return 1
    if np.dtype(dtype_of(a)).kind in "iu" and _whole_widths():
        width = max(width, 1)
    return int(np.ceil(_between(first, last) / width))


@cache
def _whole_widths() -> bool:
    """Whether this NumPy makes no bins narrower than 1 for integers; before 2.1 it did."""
    return len(np.histogram_bin_edges(np.arange(100) // 50, "sqrt")) == 2


def _between(low: Any, high: Any) -> Any:
    """The difference, which for integers may be more than their dtype holds."""
    return int(high) - int(low) if isinstance(low, np.integer) else high - low


def _doane(a: Any, low: Any, high: Any) -> Any:
    """Doane's bin width; `_hist_bin_doane` in NumPy's sources, its mean of third powers summed block by block."""
    size = math.prod(shape_of(a))
    sigma = folds.std(a)
    if size <= 2 or not sigma > 0:
        return 0.0
    spread = np.sqrt(6.0 * (size - 2) / ((size + 1.0) * (size + 3)))
    skew = total(_Cubes(folds.mean(a), sigma), [a], shape_of(a), nbytes=40) / size
    return _between(low, high) / (1.0 + np.log2(size) + np.log2(1.0 + np.absolute(skew) / spread))


# ---- of several columns --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cells(Fold):
    """How many points lie in each cell. arrays: the columns, or one array of all when `table`; and weights."""

    edges: list[NDArray]
    table: bool
    dtype: DType

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        columns = 1 if self.table else len(self.edges)
        weights = np.asarray(arrays[columns]) if len(arrays) > columns else None
        if weights is not None and self.table:
            weights = weights.reshape(-1)
        sample = np.asarray(arrays[0]) if self.table else np.stack([np.asarray(x, self.dtype) for x in arrays[:columns]], 1)
        found: Any = 0
        slice_ = max(_SLICE, math.prod(len(line) for line in self.edges))
        for start in range(0, len(sample), slice_):  # NumPy makes a place in each axis, and one in all, of every point
            part = slice(start, start + slice_)
            mine = None if weights is None else weights[part]
            found = found + np.histogramdd(sample[part], self.edges, weights=mine)[0]
        return (found,)

    def merge(self, state: State, later: State) -> State:
        return (state[0] + later[0],)

    def last(self, state: State) -> NDArray:
        return np.asarray(state[0])


@implements(np.histogramdd, kind="stream")
def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`numpy.histogramdd`."""
    table = is_operand(sample) or isinstance(sample, np.ndarray)
    columns = [sample] if table else [x if is_operand(x) else np.asarray(x) for x in sample]
    shape = shape_of(columns[0])
    if len(shape) != 1 + table or any(shape_of(x) != shape for x in columns) or not math.prod(shape):
        raise UnstreamedError
    kind = np.result_type(*(dtype_of(x) for x in columns))
    if kind.kind not in "biuf":
        raise UnstreamedError
    if not isinstance(bins, (int, np.integer)):
        bins = [load_small(b) if is_operand(b) else b for b in bins]
    # NumPy makes the edges, and its own errors, of two points: the corners of all.
    lows, highs = ([np.ravel(np.asarray(f(x, axis=0))).astype(kind) for x in columns] for f in (extremes.min, extremes.max))
    corners = np.stack([np.concatenate(lows), np.concatenate(highs)])
    edges = list(np.histogramdd(corners, bins, range)[1])
    operands = list(columns)
    if weights is not None:
        weights = weights if is_operand(weights) else np.asarray(weights)
        if shape_of(weights) != shape[:1]:
            raise ValueError("The weights and list don't have the same length.")
        np.histogramdd(corners, edges, weights=np.ones(2, dtype_of(weights)))
        if table and is_operand(weights):
            raise UnstreamedError
        operands.append(weights[:, None] if table else weights)
    nbytes = kind.itemsize * 2 + (16 if table else 8 * (2 + len(columns)))
    counts = total(Cells(edges, table, kind), operands, shape, nbytes=nbytes, whole=(1,) if table else ())
    if density:
        whole = counts.sum()
        for k, line in enumerate(edges):
            lengths = [1] * len(edges)
            lengths[k] = -1
            counts = counts / np.diff(line).reshape(lengths)
        counts /= whole
    return counts, edges


@implements(np.histogram2d, kind="stream")
def histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`numpy.histogram2d`."""
    if shape_of(x)[:1] != shape_of(y)[:1] or len(shape_of(x)) != 1 or len(shape_of(y)) != 1:
        raise UnstreamedError
    bins = load_small(bins) if is_operand(bins) else bins
    try:
        number = len(bins)
    except TypeError:
        number = 1
    if number not in (1, 2):
        bins = [np.asarray(bins)] * 2
    counts, edges = histogramdd([x, y], bins, range, density, weights)
    return counts, edges[0], edges[1]


# ---- of small integers --------------------------------------------------------------------------------


@implements(np.bincount, kind="stream", note="weights may be a stored array")
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """`numpy.bincount`; weights are added one by one in their order, as NumPy does."""
    x = x if is_operand(x) else np.asarray(x)
    shape = shape_of(x)
    minlength = operator.index(minlength)
    if weights is not None:
        weights = weights if is_operand(weights) else np.asarray(weights)
    probe = np.bincount(folds.tiny(x), None if weights is None else folds.tiny(weights), minlength)
    if weights is not None and shape_of(weights) != shape:
        raise ValueError("The weights and list don't have the same length.")
    if not shape[0]:
        raise UnstreamedError
    if extremes.min(x) < 0:
        raise ValueError("'list' argument must have no negative elements")
    size = max(int(extremes.max(x)) + 1, minlength)
    check_result(size * probe.dtype.itemsize, f"numpy.bincount of numbers up to {size - 1}", "count with numpy.unique instead")
    counts = room((size,), probe.dtype, "the counts of numpy.bincount")
    counts[...] = 0
    lock = threading.Lock()

    def count(box: Box) -> None:
        block = np.asarray(read(x, box)).astype(np.intp)
        if weights is not None:
            np.add.at(counts, block, np.asarray(read(weights, box)).astype(np.double))
            return
        low = int(block.min())
        high = int(block.max()) + 1
        if high - low > 4 * block.size:  # a table of the whole range would take more time and memory than the block
            values, found = np.unique(block, return_counts=True)
            with lock:
                counts[values] += found
            return
        block -= low
        found = np.bincount(block)
        with lock:
            counts[low:high] += found

    operands = [x] if weights is None else [x, weights]
    blocks = cut(operands, shape, nbytes=40)
    if weights is None:
        run(blocks.boxes(), count, operands, blocks)
    else:
        for box in blocks.boxes():
            count(box)
    return counts
