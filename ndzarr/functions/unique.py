"""unique and its kin, set operations, trim_zeros: the distinct values of blocks merged in the blocks' order.

Memory: the distinct values found so far, twice, with an index and a count each where they are asked for. Blocks are sorted by
several threads, but merged in C order, so the same call gives the same bits. An inverse is a second pass over the array.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray
from ndzarr.functions.fold import Fold, State, normal_axes
from ndzarr.functions.histograms import total
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import check_result, result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of

#: How many blocks may be done before their turn.
_AHEAD = 4


class Distinct:
    """The distinct values of an array, sorted, with the first index and the number of each where asked for."""

    def __init__(self, a: Any, index: bool, counts: bool, equal_nan: bool, name: str) -> None:
        self._a, self._name = a, name
        self._shape = shape_of(a)
        self._wanted = {"return_index": index, "return_counts": counts}
        self._equal_nan = equal_nan
        self._turn = threading.Condition()
        self._failed = False
        self._waiting: dict[int, list[NDArray]] = {}
        self._next = 0
        # Parts of which each is as large as all that come after: so every value is merged a few times, not once a block.
        self._parts: list[list[NDArray]] = []
        itemsize = np.dtype(dtype_of(a)).itemsize
        blocks = cut([a], self._shape, nbytes=4 * itemsize + 16 * (index + counts))
        run(enumerate(blocks.boxes()), self._guarded, [a], blocks)
        while len(self._parts) > 1:
            self._merge()
        self.values, *rest = self._parts[0]
        self.index = rest.pop(0) if index else None
        self.counts = rest.pop(0) if counts else None
        if self.index is not None and self.values.dtype.kind in "fcmM":
            nans = int(np.searchsorted(np.isnan(self.values), True))
            if nans < len(self.values) and self.values.dtype.kind == "c":
                raise UnstreamedError  # of several kinds of NaN NumPy takes the first in sorting order
            self.index[nans:].sort()  # NaNs that count each for itself come in the order of the array

    def _guarded(self, task: tuple[int, Box]) -> None:
        try:
            self._block(task)
        except BaseException:
            with self._turn:
                self._failed = True
                self._turn.notify_all()
            raise

    def _block(self, task: tuple[int, Box]) -> None:
        number, box = task
        block = np.asarray(read(self._a, box)).reshape(-1)
        found = self._unique(block)
        if self._wanted["return_index"]:
            # The first of a block in C order is the first of them in the array: a box keeps that order.
            shape = [s.stop - s.start for s in box]
            spots = np.unravel_index(found[1], shape)
            starts = [spot + s.start for spot, s in zip(spots, box, strict=True)]
            found[1] = np.ravel_multi_index(tuple(starts), self._shape) if shape else found[1]
        with self._turn:
            # A thread that is far ahead waits; the one that has the next block never does.
            while number - self._next > _AHEAD and not self._failed:
                self._turn.wait()
            self._waiting[number] = found
            while self._next in self._waiting:
                self._parts.append(self._waiting.pop(self._next))
                self._next += 1
                while len(self._parts) > 1 and self._parts[-1][0].size * 2 > self._parts[-2][0].size:
                    self._merge()
            self._turn.notify_all()

    def _unique(self, array: NDArray) -> list[NDArray]:
        function: Callable[..., Any] = np.unique
        found = function(array, equal_nan=self._equal_nan, **self._wanted)
        return list(found) if isinstance(found, tuple) else [found]

    def _merge(self) -> None:
        """Make one of the last two parts."""
        later = self._parts.pop()
        first = self._parts.pop()
        nbytes = sum(x.nbytes for x in (*first, *later))
        check_result(nbytes // 2, f"what is distinct for {self._name}", "take a slice")
        joined = [np.concatenate(pair) for pair in zip(first, later, strict=True)]
        if len(joined) == 1:
            self._parts.append(self._unique(joined[0]))
            return
        values, spots, inverse = np.unique(joined[0], return_index=True, return_inverse=True, equal_nan=self._equal_nan)
        inverse = inverse.reshape(-1)
        merged = [values]
        if self._wanted["return_index"]:
            # Not simply that of the first part: blocks beside each other have rows in turn.
            low = joined[1][spots]
            np.minimum.at(low, inverse, joined[1])
            merged.append(low)
        if self._wanted["return_counts"]:
            number = np.zeros(len(values), np.intp)
            np.add.at(number, inverse, joined[-1])
            merged.append(number)
        self._parts.append(merged)

    def inverse(self) -> NDArray:
        """For each element the index of its value, in the shape of the array."""
        values, a = self.values, self._a
        if values.dtype.kind in "fcmM" and not self._equal_nan and values.size and np.isnan(values[-1]):
            raise UnstreamedError  # each NaN is a value of its own; which is which is not kept
        place = result(self._shape, np.dtype(np.intp), self._name)
        blocks = cut([a], self._shape, nbytes=3 * values.dtype.itemsize + 16)

        def one(box: Box) -> None:
            block = np.asarray(read(a, box))
            spots = np.searchsorted(values, block.reshape(-1)).reshape(block.shape)
            place[box] = np.minimum(spots, len(values) - 1)  # a NaN that sorts behind the one that stands for all

        run(blocks.boxes(), one, [a], blocks)
        return place


def _distinct(a: Any, index: bool, inverse: bool, counts: bool, equal_nan: bool, name: str) -> tuple[Any, ...]:
    """(values, index, inverse, counts), None for what is not wanted."""
    a = a if is_operand(a) else np.asarray(a)
    dtype = np.dtype(dtype_of(a))
    if dtype.hasobject or dtype.kind not in "biufcmMUS" or not math.prod(shape_of(a)):
        raise UnstreamedError
    found = Distinct(a, index, counts, equal_nan, name)
    return found.values, found.index, found.inverse() if inverse else None, found.counts


def _values(a: Any, name: str) -> NDArray:
    """The distinct values of anything, sorted."""
    if not is_operand(a):
        return np.unique(a)
    if not math.prod(shape_of(a)):
        return np.empty(0, dtype_of(a))
    found: NDArray = _distinct(a, False, False, False, True, name)[0]
    return found


@implements(np.unique, kind="stream", note="always sorted; along an axis: loaded")
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None, *,
           equal_nan: bool = True, sorted: bool = True) -> Any:  # fmt: skip
    """`numpy.unique`."""
    if axis is not None and len(shape_of(ar)) != 1:
        raise UnstreamedError
    if axis is not None:
        normal_axes(axis, 1)
    found = _distinct(ar, bool(return_index), bool(return_inverse), bool(return_counts), bool(equal_nan), "numpy.unique")
    wanted = tuple(x for x in found if x is not None)
    return wanted[0] if len(wanted) == 1 else wanted


def _named(function: Any, index: bool, inverse: bool, counts: bool) -> None:
    """The forms of the array API standard, to which no two NaNs are equal."""

    @implements(function, kind="stream", note="always sorted")
    def form(x: Any) -> Any:
        found = _distinct(x, index, inverse, counts, False, f"numpy.{function.__name__}")
        wanted = tuple(x for x in found if x is not None)
        if len(wanted) == 1:
            return wanted[0]
        return type(function(np.zeros(1)))(*wanted)


_named(np.unique_values, False, False, False)
_named(np.unique_counts, False, False, True)
_named(np.unique_inverse, False, True, False)
_named(np.unique_all, True, True, True)


# ---- sets --------------------------------------------------------------------------------


def _comparable(a: Any, b: Any) -> None:
    """Refuse numbers beside texts: they become texts, and of equal numbers more than one text may come."""
    kinds = {np.dtype(dtype_of(x)).kind for x in (a, b)}
    if len(kinds) > 1 and not kinds.isdisjoint("US"):
        raise UnstreamedError


@implements(np.union1d, kind="stream")
def union1d(ar1: Any, ar2: Any) -> Any:
    """`numpy.union1d`."""
    _comparable(ar1, ar2)
    return np.union1d(_values(ar1, "numpy.union1d"), _values(ar2, "numpy.union1d"))


@implements(np.intersect1d, kind="stream", note="assume_unique=True: loaded")
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """`numpy.intersect1d`."""
    if assume_unique:
        raise UnstreamedError
    _comparable(ar1, ar2)
    name = "numpy.intersect1d"
    if not return_indices:
        return np.intersect1d(_values(ar1, name), _values(ar2, name), assume_unique=True)
    first, second = (_distinct(x, True, False, False, True, name) for x in (ar1, ar2))
    found, mine, its = np.intersect1d(first[0], second[0], assume_unique=True, return_indices=True)
    return found, first[1][mine], second[1][its]


@implements(np.setdiff1d, kind="stream", note="assume_unique=True: loaded")
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """`numpy.setdiff1d`."""
    if assume_unique:
        raise UnstreamedError
    _comparable(ar1, ar2)
    return np.setdiff1d(_values(ar1, "numpy.setdiff1d"), _values(ar2, "numpy.setdiff1d"), assume_unique=True)


@implements(np.setxor1d, kind="stream", note="assume_unique=True: loaded")
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """`numpy.setxor1d`."""
    if assume_unique:
        raise UnstreamedError
    _comparable(ar1, ar2)
    return np.setxor1d(_values(ar1, "numpy.setxor1d"), _values(ar2, "numpy.setxor1d"), assume_unique=True)


# ---- what is not zero --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Extent(Fold):
    """The first and the last index along each axis of what is not zero: (2, axes), the first behind the last if all is."""

    shape: tuple[int, ...]

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        found = np.array([self.shape, [-1] * len(self.shape)], np.intp)
        full = np.asarray(arrays[0]).astype(bool)
        for axis, s in enumerate(box):
            line = np.flatnonzero(full.any(axis=tuple(k for k in axes if k != axis)))
            if line.size:
                found[:, axis] = line[0] + s.start, line[-1] + s.start
        return (found,)

    def merge(self, state: State, later: State) -> State:
        return (np.stack([np.minimum(state[0][0], later[0][0]), np.maximum(state[0][1], later[0][1])]),)

    def last(self, state: State) -> NDArray:
        return np.asarray(state[0])


@implements(np.trim_zeros, kind="stream", note="reads what is left")
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """`numpy.trim_zeros`."""
    shape = shape_of(filt)
    dtype = np.dtype(dtype_of(filt))
    modern = "axis" in inspect.signature(np.trim_zeros).parameters
    if (
        not shape
        or dtype.kind not in ("biufcmM" if modern else "biufc")
        or (not modern and (len(shape) > 1 or axis is not None))
    ):
        raise UnstreamedError
    function: Callable[..., Any] = np.trim_zeros
    function(np.zeros(1), trim)
    axes = normal_axes(axis, len(shape))
    if not axes:
        raise UnstreamedError
    first, last = total(_Extent(shape), [filt], shape)
    trim = trim.lower()
    everything = first[0] > last[0] and ("f" in trim or "b" in trim)  # zeros; before NumPy 2.2 `trim` might have neither
    box = []
    for k, n in enumerate(shape):
        start, stop = (0, 0) if everything else (int(first[k]) if "f" in trim else 0, int(last[k]) + 1 if "b" in trim else n)
        box.append(slice(start, stop, 1) if k in axes else slice(0, n, 1))
    place = result(tuple(s.stop - s.start for s in box), dtype, "numpy.trim_zeros")
    if place.size:
        place[...] = filt.read_box(tuple(box))
    return place
