"""sum, prod, mean, var, std, average, any, all and their kin, and `reduce` of every ufunc, block by block.

Accuracy. Integers are exact (modulo their width, as NumPy's). Half and single precision is summed in double precision and
rounded once. Double precision: blocks by NumPy's pairwise sums, in runs of 128 where NumPy would add one by one; block sums are
added with the error of each addition kept (Knuth's TwoSum, The Art of Computer Programming vol. 2, 4.2.2, theorem B). Means and
variances of blocks, each found in two passes, are merged by Chan, Golub and LeVeque, "Updating formulae and a pairwise
algorithm for computing sample variances", 1979.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.errors import ArgumentError
from ndzarr.functions.fold import Fold, Sink, State, fold, normal_axes, reduced_shape
from ndzarr.functions.places import answer, place_for
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import dtype_of, is_operand, shape_of

_NOT_GIVEN: Any = np._NoValue
#: Rows that are added one by one; as NumPy's pairwise sums do (`PW_BLOCKSIZE` in numpy/_core/src/umath/loops_utils.h.src).
_RUN = 128

#: Ufuncs of which f(f(a, b), c) is f(a, f(b, c)), so that stretches can be reduced each by itself.
_ASSOCIATIVE = {
    "add", "multiply", "minimum", "maximum", "fmin", "fmax", "logical_and", "logical_or", "logical_xor", "bitwise_and",
    "bitwise_or", "bitwise_xor", "gcd", "lcm", "logaddexp", "logaddexp2", "hypot",
}  # fmt: skip


# ---- sums --------------------------------------------------------------------------------


def wide(dtype: DType) -> DType:
    """The dtype in which numbers of `dtype` are added: double precision for all floats with less."""
    if dtype.kind == "f" and dtype.itemsize < 8:
        return np.dtype(np.float64)
    return np.dtype(np.complex128) if dtype == np.complex64 else dtype


def block_sum(block: NDArray, axes: tuple[int, ...], dtype: DType, where: Any = True) -> tuple[NDArray, Any]:
    """The sum of a block in `dtype`, reduced axes kept, and what rounding took from it as far as that is known.

    As near to the truth along the first axes as NumPy is along the last: it adds rows one by one, here these are short runs.
    """
    if where is True and dtype.kind in "fc" and block.dtype == dtype and block.ndim > 1:
        axis = max(axes, key=lambda n: block.shape[n] if n != block.ndim - 1 else 0, default=block.ndim - 1)
        if block.shape[axis] > _RUN and axis != block.ndim - 1:
            runs = np.add.reduceat(block, np.arange(0, block.shape[axis], _RUN), axis=axis)
            rest = tuple(n for n in axes if n != axis)
            if rest:
                runs = np.add.reduce(runs, axis=rest, keepdims=True)
            with np.errstate(all="ignore"):
                return _chain(np.moveaxis(runs, axis, 0), axis)
    if where is True:
        return np.add.reduce(block, axis=axes, dtype=dtype, keepdims=True), 0
    return np.add.reduce(block, axis=axes, dtype=dtype, keepdims=True, where=where), 0


def _chain(runs: NDArray, axis: int) -> tuple[NDArray, NDArray]:
    """The sum of `runs` over their first axis, which comes back at `axis`, and what rounding took from it."""
    total, lost = runs[0], np.zeros_like(runs[0])
    for run in runs[1:]:
        total, gone = two_sum(total, run)
        lost += gone
    return np.expand_dims(total, axis), np.expand_dims(lost, axis)


def two_sum(a: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
    """The rounded sum and what rounding took from it."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def settle(total: NDArray, lost: Any) -> NDArray:
    """A sum with its lost part put back; where it is infinite or NaN the lost part means nothing."""
    if type(lost) is int:
        return total
    found: NDArray = np.where(np.isfinite(total), total + lost, total)
    return found


@dataclass(frozen=True, slots=True)
class Sum(Fold):
    """A sum in `dtype`, rounded to `result`. arrays: the numbers, and a mask if `where`."""

    dtype: DType
    result: DType
    initial: Any = _NOT_GIVEN
    where: bool = False

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block = arrays[0]
        if block.dtype != self.result and wide(self.result) == self.dtype and block.dtype.kind in "fc":
            block = block.astype(self.result)  # `dtype=` narrower than the data: NumPy casts first
        total, lost = block_sum(block, axes, self.dtype, np.broadcast_to(arrays[1], block.shape) if self.where else True)
        return (total, lost) if self.dtype.kind in "fc" else (total,)

    def merge(self, state: State, later: State) -> State:
        if len(state) == 1:
            return (np.add(state[0], later[0]),)
        with np.errstate(all="ignore"):
            total, lost = two_sum(state[0], later[0])
            return total, state[1] + later[1] + lost

    def last(self, state: State) -> NDArray:
        if len(state) == 1:
            total = state[0]
        else:
            with np.errstate(all="ignore"):
                total = settle(*state)
        if self.initial is not _NOT_GIVEN:
            total = np.add(total, np.asarray(self.initial, self.dtype))
        return np.asarray(total).astype(self.result, copy=False)


@dataclass(frozen=True, slots=True)
class Reduce(Fold):
    """`reduce` of an associative ufunc, in `dtype`."""

    ufunc: np.ufunc
    dtype: DType | None
    result: DType
    initial: Any = _NOT_GIVEN
    where: bool = False

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        kwargs: dict[str, Any] = {}
        if self.where:
            kwargs["where"] = np.broadcast_to(arrays[1], arrays[0].shape)
            if self.ufunc.identity is None or self.result.hasobject:
                kwargs["initial"] = self.initial  # minimum and its like: as good once as many times
        return (self.ufunc.reduce(arrays[0], axis=axes, dtype=self.dtype, keepdims=True, **kwargs),)

    def merge(self, state: State, later: State) -> State:
        return (self.ufunc(state[0], later[0]),)

    def last(self, state: State) -> NDArray:
        total = state[0]
        if self.initial is not _NOT_GIVEN and self.initial is not None:
            dtype = self.result if self.result.kind in "mM" else self.dtype
            total = self.ufunc(np.asarray(self.initial, dtype=dtype), total)
        return np.asarray(total).astype(self.result, copy=False)


@dataclass(frozen=True, slots=True)
class InOrder(Fold):
    """`reduce` of any ufunc along one axis, each block after what all blocks before it gave: a left fold, as NumPy's."""

    ufunc: np.ufunc
    dtype: DType | None
    result: DType

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        return (arrays[0], axes[0])

    def merge(self, state: State, later: State) -> State:
        block, axis = state
        return (np.concatenate([self.ufunc.reduce(block, axis=axis, dtype=self.dtype, keepdims=True), later[0]], axis), axis)

    def last(self, state: State) -> NDArray:
        block, axis = state
        return np.asarray(self.ufunc.reduce(block, axis=axis, dtype=self.dtype, keepdims=True)).astype(self.result, copy=False)


def tiny(thing: Any, ndim: int | None = None) -> NDArray:
    """An array of the dtype and rank of an operand with one element, on which NumPy itself shows what it would raise."""
    return np.zeros((1,) * (len(shape_of(thing)) if ndim is None else ndim), dtype_of(thing))


def like(out: Any, ndim: int) -> NDArray | None:
    """What NumPy may fill in place of `out` when it is tried on what `tiny` gives; None for None."""
    return None if out is None else np.zeros((1,) * ndim, dtype_of(out))


def loop_dtype(ufunc: np.ufunc, array: Any, out: Any) -> DType:
    """The dtype in which `reduce` and its like work when they are given `out` alone; the result is cast to that of it.

    NumPy has `out` promoted with the array, so that floats summed into integers are summed as floats.
    """
    found: DType = ufunc.resolve_dtypes(
        (np.dtype(dtype_of(out)), np.dtype(dtype_of(array)), None), reduction=True, casting="unsafe"
    )[0]
    return found


def reduce(
    ufunc: np.ufunc, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False,
    initial: Any = _NOT_GIVEN, where: Any = True, nan: int | None = None,
) -> Any:  # fmt: skip
    """`ufunc.reduce(array, ...)`, block by block; NaNs are replaced by `nan` first. Raises what NumPy raises."""
    shape = shape_of(array)
    if isinstance(out, tuple):
        (out,) = out
    options: dict[str, Any] = {} if initial is _NOT_GIVEN else {"initial": initial}
    masked = where is not True
    if masked:
        options["where"] = tiny(where, len(shape)).astype(bool)
    probe = ufunc.reduce(tiny(array), axis=axis, dtype=dtype, out=like(out, len(shape)), keepdims=True, **options)
    if out is not None and dtype is not None:
        probe = ufunc.reduce(tiny(array), axis=axis, dtype=dtype, keepdims=True, **options)
    kind = probe.dtype
    if out is not None and dtype is None:
        kind = loop_dtype(ufunc, array, out)
        dtype = None if kind.kind in "mM" else kind
    axes = normal_axes(axis, len(shape))
    operands, _ = counting(array, where, shape)
    place = place_for(out, reduced_shape(shape, axes, keepdims), kind, f"numpy.{ufunc.__name__}.reduce", operands)
    sink = Sink(place, axes, bool(keepdims))
    if kind.hasobject and masked:
        raise UnstreamedError
    if ufunc.__name__ in _ASSOCIATIVE:
        algorithm: Fold
        if ufunc is np.add and kind.kind in "biufc":
            algorithm = Sum(wide(kind), kind, initial, masked)
        else:
            algorithm = Reduce(
                ufunc, wide(kind) if ufunc is np.multiply and kind.kind not in "mM" else dtype, kind, initial, masked
            )
        fold(algorithm if nan is None else Filled(algorithm, nan), operands, shape, axes, sink)
    elif len(axes) == 1 and not masked and initial is _NOT_GIVEN:
        fold(InOrder(ufunc, dtype, kind), operands, shape, axes, sink, in_order=True, nbytes=4 * kind.itemsize)
    else:
        raise UnstreamedError
    return answer(place, out)


def _reduction(ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    return reduce(
        ufunc,
        a,
        axis,
        dtype,
        out,
        False if keepdims is _NOT_GIVEN else keepdims,
        initial,
        True if where is _NOT_GIVEN else where,
    )


@implements(np.sum, kind="stream")
def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
        where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.sum`."""
    return _reduction(np.add, a, axis, dtype, out, keepdims, initial, where)


@implements(np.prod, kind="stream")
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
         where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.prod`."""
    return _reduction(np.multiply, a, axis, dtype, out, keepdims, initial, where)


@implements(np.any, kind="stream")
def any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, *, where: Any = _NOT_GIVEN) -> Any:
    """`numpy.any`."""
    return _reduction(np.logical_or, a, axis, bool if out is None else None, out, keepdims, _NOT_GIVEN, where)


@implements(np.all, kind="stream")
def all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, *, where: Any = _NOT_GIVEN) -> Any:
    """`numpy.all`."""
    return _reduction(np.logical_and, a, axis, bool if out is None else None, out, keepdims, _NOT_GIVEN, where)


# ---- counts --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count(Fold):
    """How many elements are not zero."""

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        if arrays[0].dtype.names is not None:  # of all axes then: along one NumPy wants a cast to bool
            return (np.asarray(np.count_nonzero(arrays[0])).reshape((1,) * arrays[0].ndim),)
        return (np.asarray(np.count_nonzero(arrays[0], axis=axes, keepdims=True)),)

    def merge(self, state: State, later: State) -> State:
        return (state[0] + later[0],)

    def last(self, state: State) -> NDArray:
        return np.asarray(state[0])


@implements(np.count_nonzero, kind="stream")
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """`numpy.count_nonzero`."""
    shape = shape_of(a)
    np.count_nonzero(tiny(a), axis=axis, keepdims=keepdims)
    axes = normal_axes(axis, len(shape))
    place = place_for(None, reduced_shape(shape, axes, keepdims), np.dtype(np.intp), "numpy.count_nonzero")
    fold(Count(), [a], shape, axes, Sink(place, axes, bool(keepdims)))
    found = answer(place, None)
    return type(np.count_nonzero(np.zeros(1)))(found) if axis is None and not keepdims else found


# ---- means and variances --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mean(Fold):
    """A mean. arrays: the numbers, and a mask if `where`. `skip`: NaNs do not count."""

    dtype: DType
    result: DType
    where: bool = False
    skip: bool = False

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block, mask = counted(arrays, self.where, self.skip)
        total, lost = block_sum(block, axes, self.dtype, True if mask is None else mask)
        number = math.prod(block.shape[axis] for axis in axes) if mask is None else mask.sum(axis=axes, keepdims=True)
        return total, lost, number

    def merge(self, state: State, later: State) -> State:
        with np.errstate(all="ignore"):
            total, lost = two_sum(state[0], later[0])
            return total, state[1] + later[1] + lost, state[2] + later[2]

    def last(self, state: State) -> NDArray:
        with np.errstate(all="ignore"):
            total = settle(state[0], state[1])
        if np.any(np.equal(state[2], 0)):
            _warn("Mean of empty slice")
            with np.errstate(all="ignore"):
                return np.asarray(np.true_divide(total, state[2])).astype(self.result, copy=False)
        return np.asarray(np.true_divide(total, state[2])).astype(self.result, copy=False)


def counted(arrays: list[Any], where: bool, skip: bool) -> tuple[NDArray, NDArray | None]:
    """The numbers of a block and a mask of those that count, None when all do."""
    block = arrays[0]
    mask = np.broadcast_to(arrays[1], block.shape) if where else None
    if skip:
        valid = ~np.isnan(block)
        mask = valid if mask is None else mask & valid
    return block, mask


def _warn(text: str) -> None:
    import warnings

    warnings.warn(text, RuntimeWarning, stacklevel=2)


def counting(a: Any, where: Any, shape: Shape) -> tuple[list[Any], bool]:
    """The operands of a reduction, and whether the second one says which elements count."""
    if where is _NOT_GIVEN or where is True:
        return [a], False
    where = where if is_operand(where) else np.asarray(where, bool)
    if np.broadcast_shapes(shape, shape_of(where)) != shape:
        raise ArgumentError(f"where has shape {shape_of(where)}, which does not broadcast to {shape}", field="where")
    return [a, where], True


def _flag(keepdims: Any) -> bool:
    return False if keepdims is _NOT_GIVEN else bool(keepdims)


def _mean(function: Any, a: Any, axis: Any, dtype: Any, out: Any, keepdims: Any, where: Any, skip: bool) -> Any:
    shape = shape_of(a)
    kind = np.asarray(function(tiny(a), axis=axis, dtype=dtype if out is None or dtype is not None else out.dtype)).dtype
    if kind.kind not in "fc":
        raise UnstreamedError
    axes = normal_axes(axis, len(shape))
    operands, masked = counting(a, where, shape)
    place = place_for(out, reduced_shape(shape, axes, _flag(keepdims)), kind, f"numpy.{function.__name__}", operands)
    skip = skip and np.dtype(dtype_of(a)).kind in "fc"
    fold(Mean(wide(kind), kind, masked, skip), operands, shape, axes, Sink(place, axes, _flag(keepdims)))
    return answer(place, out)


@implements(np.mean, kind="stream")
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, *, where: Any = _NOT_GIVEN
) -> Any:
    """`numpy.mean`."""
    return _mean(np.mean, a, axis, dtype, out, keepdims, where, False)


@implements(np.nanmean, kind="stream")
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, *, where: Any = _NOT_GIVEN
) -> Any:
    """`numpy.nanmean`."""
    return _mean(np.nanmean, a, axis, dtype, out, keepdims, where, True)


@dataclass(frozen=True, slots=True)
class Variance(Fold):
    """A variance or, with `root`, a standard deviation: (count, mean, sum of squared distances from it), merged by Chan."""

    dtype: DType
    result: DType
    ddof: float
    root: bool
    where: bool = False
    skip: bool = False

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block, mask = counted(arrays, self.where, self.skip)
        which: Any = True if mask is None else mask
        number = math.prod(block.shape[axis] for axis in axes) if mask is None else mask.sum(axis=axes, keepdims=True)
        with np.errstate(all="ignore"):
            middle = np.true_divide(settle(*block_sum(block, axes, self.dtype, which)), number)
            if mask is not None:
                middle = np.where(number == 0, 0, middle)
            away = np.asarray(np.subtract(block, middle, dtype=self.dtype))
            if self.dtype.kind == "c":
                squares = away.real * away.real + away.imag * away.imag
            else:
                squares = np.multiply(away, away, out=away)
            return np.asarray(number), middle, settle(*block_sum(squares, axes, squares.dtype, which))

    def merge(self, state: State, later: State) -> State:
        n, middle, squares = state
        m, other, more = later
        with np.errstate(all="ignore"):
            total = n + m
            share = np.true_divide(m, np.where(total == 0, 1, total))
            shift = other - middle
            between = (shift.real * shift.real + shift.imag * shift.imag) if self.dtype.kind == "c" else shift * shift
            return total, middle + shift * share, squares + more + between * (n * share)

    def last(self, state: State) -> NDArray:
        number, _, squares = state
        free = np.asarray(number - self.ddof)
        if np.any(free <= 0):
            _warn("Degrees of freedom <= 0 for slice" + ("." if self.skip else ""))
        with np.errstate(all="ignore"):
            found = np.where(free <= 0, np.nan, squares / free) if self.skip else squares / np.maximum(free, 0)
            return np.asarray(np.sqrt(found) if self.root else found).astype(self.result, copy=False)


def _variance(
    function: Any, a: Any, axis: Any, dtype: Any, out: Any, ddof: Any, keepdims: Any, where: Any, mean: Any, correction: Any,
    skip: bool,
) -> Any:  # fmt: skip
    shape = shape_of(a)
    if mean is not _NOT_GIVEN:
        raise UnstreamedError
    if correction is not _NOT_GIVEN:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    with np.errstate(all="ignore"):
        kind = np.asarray(function(tiny(a), axis=axis, dtype=dtype)).dtype
        function(tiny(a), axis=axis, dtype=dtype, out=like(out, len(shape)), keepdims=True)
    if kind.kind != "f":
        raise UnstreamedError
    complex_ = np.dtype(dtype_of(a) if dtype is None else dtype).kind == "c"
    if (out is not None and np.dtype(dtype_of(out)).kind not in "fc") or (np.dtype(dtype_of(a)).kind == "c") > complex_:
        raise UnstreamedError  # NumPy rounds, or takes what is real, between its steps
    step = np.result_type(wide(kind), np.complex128) if complex_ else wide(kind)
    axes = normal_axes(axis, len(shape))
    operands, masked = counting(a, where, shape)
    place = place_for(out, reduced_shape(shape, axes, _flag(keepdims)), kind, f"numpy.{function.__name__}", operands)
    skip = skip and np.dtype(dtype_of(a)).kind in "fc"
    root = "std" in function.__name__
    algorithm = Variance(step, kind, ddof, root, masked, skip)
    fold(
        algorithm,
        operands,
        shape,
        axes,
        Sink(place, axes, _flag(keepdims)),
        nbytes=np.dtype(dtype_of(a)).itemsize + 3 * step.itemsize,
    )
    return answer(place, out)


def _variance_form(function: Any, skip: bool) -> Any:
    @implements(function, kind="stream")
    def variance(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = _NOT_GIVEN, *,
                 where: Any = _NOT_GIVEN, mean: Any = _NOT_GIVEN, correction: Any = _NOT_GIVEN) -> Any:  # fmt: skip
        return _variance(function, a, axis, dtype, out, ddof, keepdims, where, mean, correction, skip)

    return variance


var, std = _variance_form(np.var, False), _variance_form(np.std, False)
nanvar, nanstd = _variance_form(np.nanvar, True), _variance_form(np.nanstd, True)


# ---- without NaNs --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filled(Fold):
    """Another reduction, of numbers whose NaNs are replaced by `value` first."""

    fold: Fold
    value: int

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block = arrays[0]
        if block.dtype.kind in "fc":
            block = np.where(np.isnan(block), block.dtype.type(self.value), block)
        return self.fold.first([block, *arrays[1:]], axes, box)

    def merge(self, state: State, later: State) -> State:
        return self.fold.merge(state, later)

    def last(self, state: State) -> NDArray:
        return self.fold.last(state)


@implements(np.nansum, kind="stream")
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
           where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.nansum`."""
    return reduce(np.add, a, axis, dtype, out, _flag(keepdims), initial, True if where is _NOT_GIVEN else where, nan=0)


@implements(np.nanprod, kind="stream")
def nanprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NOT_GIVEN, initial: Any = _NOT_GIVEN,
            where: Any = _NOT_GIVEN) -> Any:  # fmt: skip
    """`numpy.nanprod`."""
    return reduce(np.multiply, a, axis, dtype, out, _flag(keepdims), initial, True if where is _NOT_GIVEN else where, nan=1)


# ---- weighted --------------------------------------------------------------------------------


@implements(np.average, kind="stream", note="weights may be stored arrays too")
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = _NOT_GIVEN) -> Any:
    """`numpy.average`."""
    if weights is None:
        middle = mean(a, axis, keepdims=keepdims)
        if not returned:
            return middle
        number = math.prod(shape_of(a)) / max(1, math.prod(np.shape(middle)))
        return middle, np.full_like(np.asarray(middle), number)[()]
    shape = shape_of(a)
    axes = normal_axes(axis, len(shape))
    if (
        shape_of(weights) != shape
        or np.dtype(dtype_of(a)).kind not in "biufc"
        or np.dtype(dtype_of(weights)).kind not in "biufc"
    ):
        raise UnstreamedError  # weights along some axes only: few, but NumPy's rules for them are many
    kind = np.asarray(np.average(tiny(a), axis=axis, weights=np.ones((1,) * len(shape), dtype_of(weights)))).dtype
    sums = [
        place_for(None, reduced_shape(shape, axes, True), wide(kind), "numpy.average") for _ in range(2)
    ]  # fmt: skip
    fold(_Products(wide(kind), sums[1], axes), [a, weights], shape, axes, Sink(sums[0], axes, True), nbytes=4 * kind.itemsize)
    if np.any(sums[1] == 0):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    out_shape = reduced_shape(shape, axes, _flag(keepdims))
    middle = (sums[0] / sums[1]).astype(kind, copy=False).reshape(out_shape)
    total = sums[1].astype(kind, copy=False).reshape(out_shape)
    return (middle[()], total[()]) if returned else middle[()]


@dataclass(frozen=True, slots=True)
class _Products(Fold):
    """The sums of products and of weights; the latter go to `weights`, the sink of the second result."""

    dtype: DType
    weights: NDArray
    axes: tuple[int, ...]

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        block, weights = (np.asarray(x).astype(self.dtype, copy=False) for x in arrays)
        place = tuple([slice(0, 1, 1) if axis in axes else s for axis, s in enumerate(box)])
        return *block_sum(block * weights, axes, self.dtype), *block_sum(weights, axes, self.dtype), place

    def merge(self, state: State, later: State) -> State:
        with np.errstate(all="ignore"):
            total, lost = two_sum(state[0], later[0])
            weight, gone = two_sum(state[2], later[2])
            return total, state[1] + later[1] + lost, weight, state[3] + later[3] + gone, state[4]

    def last(self, state: State) -> NDArray:
        with np.errstate(all="ignore"):
            self.weights[state[4]] = settle(state[2], state[3])  # a tile of its own: no other thread writes there
            return settle(state[0], state[1])
