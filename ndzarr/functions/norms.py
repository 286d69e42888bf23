"""Norms of vectors and matrices, block by block: reductions of what a block's elements are mapped to first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Box, DType, NDArray
from ndzarr.functions.fold import Fold, Sink, State, fold, normal_axes, reduced_shape
from ndzarr.functions.folds import Reduce, Sum, tiny, wide
from ndzarr.functions.matrices import stacked
from ndzarr.functions.stand_ins import arrays, numeric
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import is_operand, shape_of


@dataclass(frozen=True, slots=True)
class Mapped(Fold):
    """Another reduction, of what `change` makes of the numbers, which come in at least double precision."""

    fold: Fold
    change: Callable[[NDArray], NDArray]

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block = arrays[0]
        block = block.astype(np.float64 if block.dtype.kind in "biu" else wide(block.dtype), copy=False)
        return self.fold.first([self.change(block), *arrays[1:]], axes, box)

    def merge(self, state: State, later: State) -> State:
        return self.fold.merge(state, later)

    def last(self, state: State) -> NDArray:
        return self.fold.last(state)


def _square(block: NDArray) -> NDArray:
    if block.dtype.kind == "c":
        return np.asarray(block.real * block.real + block.imag * block.imag)
    return np.asarray(block * block)


def _nonzero(block: NDArray) -> NDArray:
    return np.asarray((block != 0).astype(block.real.dtype))


def _folded(x: Any, algorithm: Callable[[DType], Fold], change: Callable[[NDArray], NDArray], axes: tuple[int, ...]) -> NDArray:
    """A reduction of mapped numbers, in double precision or more, reduced axes kept."""
    kind = np.result_type(x.dtype, np.float64)
    real = np.empty(0, kind).real.dtype
    shape = shape_of(x)
    place = result(reduced_shape(shape, axes, True), real, "numpy.linalg.norm")
    fold(
        Mapped(algorithm(real), change), [x], shape, axes, Sink(place, axes, True),
        nbytes=x.dtype.itemsize + 3 * kind.itemsize,
    )  # fmt: skip
    return place


def _sum(x: Any, change: Callable[[NDArray], NDArray], axes: tuple[int, ...]) -> NDArray:
    return _folded(x, lambda real: Sum(real, real), change, axes)


def _extreme(x: Any, ufunc: np.ufunc, axes: tuple[int, ...]) -> NDArray:
    return _folded(x, lambda real: Reduce(ufunc, None, real), lambda block: np.asarray(np.abs(block)), axes)


def _vector(x: Any, ord: Any, axes: tuple[int, ...]) -> NDArray:
    """The norm of all that lies along `axes`, taken as one vector; reduced axes kept."""
    if ord is None or ord == 2:
        return np.asarray(np.sqrt(_sum(x, _square, axes)))
    if ord == np.inf:
        return _extreme(x, np.maximum, axes)
    if ord == -np.inf:
        return _extreme(x, np.minimum, axes)
    if ord == 0:
        return _sum(x, _nonzero, axes)
    if ord == 1:
        return _sum(x, lambda block: np.asarray(np.abs(block)), axes)
    total = _sum(x, lambda block: np.asarray(np.abs(block) ** ord), axes)
    return np.asarray(total ** np.reciprocal(ord, dtype=total.dtype))


def _finish(found: NDArray, axes: tuple[int, ...], keepdims: bool, dtype: DType) -> Any:
    with np.errstate(over="ignore"):
        found = found.astype(dtype, copy=False)
    if not keepdims:
        found = found.reshape([n for k, n in enumerate(found.shape) if k not in axes])
    return found[()]


def _checked(x: Any) -> Any:
    (x,) = arrays(x)
    numeric(x)
    if math.prod(shape_of(x)) == 0 or not is_operand(x):
        raise UnstreamedError
    return x


@implements(np.linalg.norm, kind="stream", note="ord 2, -2 and 'nuc' of matrices: of a stack, a single one is loaded")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """`numpy.linalg.norm`."""
    x = _checked(x)
    with np.errstate(all="ignore"):
        dtype = np.asarray(np.linalg.norm(tiny(x), ord, axis, keepdims)).dtype
    ndim = len(shape_of(x))
    if axis is None and ord is None:
        axes = tuple(range(ndim))
        return _finish(_vector(x, None, axes), axes, keepdims, dtype)
    axes = normal_axes(axis, ndim)
    if len(axes) == 1:
        return _finish(_vector(x, ord, axes), axes, keepdims, dtype)
    if ord in (None, "fro", "f"):
        return _finish(_vector(x, None, axes), axes, keepdims, dtype)
    row, column = axes
    if ord in (1, -1, np.inf, -np.inf):
        along = row if ord in (1, -1) else column
        sums = _vector(x, 1, (along,))
        found = (np.amax if ord in (1, np.inf) else np.amin)(sums, axis=axes, keepdims=True)
        return _finish(np.asarray(found), axes, keepdims, dtype)
    view = np.moveaxis(x, axes, (-2, -1)) if axes != (ndim - 2, ndim - 1) else x
    found = stacked(lambda block: np.linalg.norm(block, ord, axis=(-2, -1)), [view], [2], "numpy.linalg.norm")
    if keepdims:
        found = np.expand_dims(found, axes)
    return found.astype(dtype, copy=False)


@implements(getattr(np.linalg, "vector_norm", None), kind="stream")
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """`numpy.linalg.vector_norm`."""
    x = _checked(x)
    with np.errstate(all="ignore"):
        dtype = np.asarray(np.linalg.vector_norm(tiny(x), axis=axis, keepdims=keepdims, ord=ord)).dtype
    axes = normal_axes(axis, len(shape_of(x)))
    return _finish(_vector(x, ord, axes), axes, keepdims, dtype)


@implements(
    getattr(np.linalg, "matrix_norm", None), kind="stream", note="ord 2, -2 and 'nuc': of a stack, one matrix is loaded"
)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """`numpy.linalg.matrix_norm`."""
    return norm(x, ord, (-2, -1), keepdims)
