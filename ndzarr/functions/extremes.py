"""min, max, ptp, where they lie, and the forms that pass over NaNs, block by block."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.functions.fold import Fold, Sink, State, fold, normal_axes, reduced_shape
from ndzarr.functions.folds import like, reduce, tiny
from ndzarr.functions.places import answer, place_for
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import dtype_of, shape_of

_NOT_GIVEN: Any = np._NoValue
_NOTE = "with statistics, only chunks that could change the answer are read"


def _extreme(ufunc: np.ufunc, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    known = getattr(type(a), "_known_extreme", None)  # of an array beside which statistics may be kept
    if known is not None and out is None and initial is _NOT_GIVEN and (where is _NOT_GIVEN or where is True):
        found = known(a, ufunc, normal_axes(axis, len(a.shape)), keepdims is not _NOT_GIVEN and bool(keepdims))
        if found is not NotImplemented:
            return found
    return reduce(
        ufunc,
        a,
        axis,
        None,
        out,
        False if keepdims is _NOT_GIVEN else keepdims,
        initial,
        True if where is _NOT_GIVEN else where,
    )


@implements(np.min, np.amin, kind="stream", note=_NOTE)
def min(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
        where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.min`."""
    return _extreme(np.minimum, a, axis, out, keepdims, initial, where)


@implements(np.max, np.amax, kind="stream", note=_NOTE)
def max(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
        where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.max`."""
    return _extreme(np.maximum, a, axis, out, keepdims, initial, where)


def _nan_extreme(ufunc: np.ufunc, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    found = _extreme(ufunc, a, axis, out, keepdims, initial, where)
    with np.errstate(all="ignore"):
        if np.asarray(found).dtype.kind in "fc" and np.isnan(found).any():
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=2)
    return found


@implements(np.nanmin, kind="stream", note=_NOTE)
def nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
           where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.nanmin`."""
    return _nan_extreme(np.fmin, a, axis, out, keepdims, initial, where)


@implements(np.nanmax, kind="stream", note=_NOTE)
def nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
           where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.nanmax`."""
    return _nan_extreme(np.fmax, a, axis, out, keepdims, initial, where)


@dataclass(frozen=True, slots=True)
class Peak(Fold):
    """(highest, lowest): what `ptp` is the difference of."""

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block = arrays[0]
        return np.maximum.reduce(block, axis=axes, keepdims=True), np.minimum.reduce(block, axis=axes, keepdims=True)

    def merge(self, state: State, later: State) -> State:
        return np.maximum(state[0], later[0]), np.minimum(state[1], later[1])

    def last(self, state: State) -> NDArray:
        return np.asarray(np.subtract(state[0], state[1]))


@implements(np.ptp, kind="stream")
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN) -> Any:
    """`numpy.ptp`."""
    shape = shape_of(a)
    keep = False if keepdims is _NOT_GIVEN else bool(keepdims)
    kind = np.asarray(np.ptp(tiny(a), axis=axis)).dtype
    np.ptp(tiny(a), axis=axis, out=like(out, len(shape)), keepdims=True)
    axes = normal_axes(axis, len(shape))
    place = place_for(out, reduced_shape(shape, axes, keep), kind, "numpy.ptp", [a])
    fold(Peak(), [a], shape, axes, Sink(place, axes, keep))
    return answer(place, out)


@dataclass(frozen=True, slots=True)
class Place(Fold):
    """Where the extreme lies: (its value, its index), the index counted along one axis or, in C order, over all of `shape`.

    skip: NaNs are passed over; the value is then the one that none of them can beat. Among equals the first wins, and a NaN
    (NaT) beats everything unless skipped, as NumPy says.
    """

    lowest: bool
    shape: Shape
    flat: bool
    skip: bool = False

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block = arrays[0]
        empty: Any = False
        if self.skip:
            nan = np.isnan(block)
            empty = nan.all(axis=axes, keepdims=True)
            block = np.where(nan, np.inf if self.lowest else -np.inf, block).astype(block.dtype, copy=False)
        find = np.argmin if self.lowest else np.argmax
        if self.flat:
            here = int(find(block))
            spot = np.unravel_index(here, block.shape)
            where = np.asarray(_ravel([int(i) + s.start for i, s in zip(spot, box, strict=True)], self.shape))
            where = where.reshape((1,) * block.ndim)
            value = block[spot].reshape((1,) * block.ndim) if isinstance(block[spot], np.generic) else _cell(block[spot], block)
        else:
            index = find(block, axis=axes[0], keepdims=True)
            value = np.take_along_axis(block, index, axes[0])
            where = index + box[axes[0]].start
        return value, where, np.broadcast_to(empty, np.shape(where))

    def merge(self, state: State, later: State) -> State:
        value, where, empty = state
        other, place, none = later
        with np.errstate(all="ignore"):
            better = np.asarray(other < value if self.lowest else other > value).astype(bool)
            if np.asarray(value).dtype.kind in "fcmM":
                better = (better | (np.isnat(other) if value.dtype.kind in "mM" else np.isnan(other))) & ~(
                    np.isnat(value) if value.dtype.kind in "mM" else np.isnan(value)
                )
                same = (other == value) | (_odd(other) & _odd(value))
            else:
                same = np.asarray(other == value).astype(bool)
        if self.skip:
            better = (better | empty) & ~none
            same = same & ~empty & ~none
        better = better | (same & (place < where))
        return np.where(better, other, value), np.where(better, place, where), empty & none

    def last(self, state: State) -> NDArray:
        if self.skip and state[2].any():
            raise ValueError("All-NaN slice encountered")
        return np.asarray(state[1])


def _odd(array: NDArray) -> NDArray:
    return np.isnat(array) if array.dtype.kind in "mM" else np.isnan(array)


def _cell(value: Any, like: NDArray) -> NDArray:
    cell = np.empty((1,) * like.ndim, like.dtype)
    cell[...] = value
    return cell


def _ravel(index: list[int], shape: Shape) -> int:
    flat = 0
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + i
    return flat


def _place(function: Any, a: Any, axis: Any, out: Any, keepdims: Any, lowest: bool, skip: bool) -> Any:
    shape = shape_of(a)
    dtype = np.dtype(dtype_of(a))
    keep = False if keepdims is _NOT_GIVEN else bool(keepdims)
    function(tiny(a), axis=axis)
    if dtype.hasobject or dtype.kind == "V" or (dtype.kind == "c" and skip) or math.prod(shape) >= 1 << 62:
        raise UnstreamedError
    axes = normal_axes(axis, len(shape))
    place = place_for(out, reduced_shape(shape, axes, keep), np.dtype(np.intp), f"numpy.{function.__name__}", [a])
    if out is not None and np.dtype(dtype_of(out[0] if isinstance(out, tuple) else out)) != np.intp:
        raise UnstreamedError
    algorithm = Place(lowest, shape, axis is None, skip and dtype.kind == "f")
    fold(algorithm, [a], shape, axes, Sink(place, axes, keep), nbytes=4 * dtype.itemsize)
    return answer(place, out)


def _place_form(function: Any, lowest: bool, skip: bool) -> Any:
    @implements(function, kind="stream")
    def place(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NOT_GIVEN) -> Any:
        return _place(function, a, axis, out, keepdims, lowest, skip)

    return place


argmin, argmax = _place_form(np.argmin, True, False), _place_form(np.argmax, False, False)
nanargmin, nanargmax = _place_form(np.nanargmin, True, True), _place_form(np.nanargmax, False, True)
