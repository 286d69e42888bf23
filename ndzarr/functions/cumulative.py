"""cumsum, cumprod and `accumulate` of every ufunc: blocks along the axis in turn, each after the last of the one before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from ndzarr._typing import Box, Coords, NDArray
from ndzarr.functions.folds import like, loop_dtype, tiny
from ndzarr.functions.places import answer, place_for
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import Cut, cut, dtype_of, is_operand, read, run, shape_of, share_nbytes

_NOT_GIVEN: Any = np._NoValue


def accumulate(
    ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None, out: Any = None, *, nan: int | None = None, name: str = ""
) -> Any:  # fmt: skip
    """`ufunc.accumulate(array, ...)`: the same additions in the same order as NumPy, so the same bits.

    nan: what NaNs are replaced by first.
    """
    shape = shape_of(array)
    if isinstance(out, tuple):
        (out,) = out
    kind = _kind(ufunc, tiny(array), axis, dtype, out)
    axis = int(np.lib.array_utils.normalize_axis_index(axis, len(shape)))
    step = _step(kind)
    place = place_for(out, shape, kind, name or f"numpy.{ufunc.__name__}.accumulate", [array], in_step=True)
    blocks = cut([array], shape, nbytes=2 * np.dtype(dtype_of(array)).itemsize + 3 * kind.itemsize)

    def lane(coords: Coords) -> int:
        carry = None
        for k in range(blocks.counts[axis]):
            box = blocks.box((*coords[:axis], k, *coords[axis + 1 :]))
            block = read(array, box)
            if nan is not None and block.dtype.kind in "fc":
                block = np.where(np.isnan(block), block.dtype.type(nan), block)
            if carry is None:
                found = ufunc.accumulate(block, axis=axis, dtype=step)
            else:
                joined = np.concatenate([carry, block.astype(kind)], axis)
                found = ufunc.accumulate(joined, axis=axis, dtype=step)
                found = found[(slice(None),) * axis + (slice(1, None),)]
            carry = found[(slice(None),) * axis + (slice(-1, None),)].copy()
            if is_operand(place):
                place.write_box(box, found)
            else:
                place[box] = found
        return blocks.counts[axis]

    run(product(*(range(n) if k != axis else range(1) for k, n in enumerate(blocks.counts))), lane, [array], blocks)
    return answer(place, out)


def _kind(ufunc: np.ufunc, sample: NDArray, axis: int, dtype: Any, out: Any) -> Any:
    """The dtype in which `ufunc` accumulates what is like `sample`; raises what NumPy raises."""
    if out is None:
        return ufunc.accumulate(sample, axis=axis, dtype=dtype).dtype
    ufunc.accumulate(sample, axis=axis, dtype=dtype, out=like(out, sample.ndim))
    return loop_dtype(ufunc, sample, out) if dtype is None else ufunc.accumulate(sample, axis=axis, dtype=dtype).dtype


def _step(kind: Any) -> Any:
    """The `dtype=` for `accumulate`, which takes no units of time."""
    return None if kind.kind in "mM" else kind


def _flat(ufunc: np.ufunc, array: Any, dtype: Any, out: Any, nan: int | None, name: str) -> Any:
    """Over the elements in C order: slabs of whole rows, each after the last element of the one before."""
    if not is_operand(array):
        raise UnstreamedError
    shape = shape_of(array)
    kind = _kind(ufunc, np.zeros(1, dtype_of(array)), 0, dtype, out)
    step = _step(kind)
    size = math.prod(shape)
    place = place_for(out, (size,), kind, name, [array])
    carry = None
    done = 0
    for box in rows(array):
        block = read(array, box).reshape(-1)
        if nan is not None and block.dtype.kind in "fc":
            block = np.where(np.isnan(block), block.dtype.type(nan), block)
        if carry is None:
            found = ufunc.accumulate(block, dtype=step)
        else:
            found = ufunc.accumulate(np.concatenate([carry, block.astype(kind)]), dtype=step)[1:]
        carry = found[-1:].copy()
        stretch = (slice(done, done + block.size, 1),)
        if is_operand(place):
            place.write_box(stretch, found)
        else:
            place[stretch] = found
        done += block.size
    return answer(place, out)


def rows(array: Any, nbytes: int | None = None) -> Iterator[Box]:
    """Boxes of an operand that follow each other in C order: each has all of the axes behind the one that it is cut along.

    Axes are cut to single elements from the first on until what lies behind them fits a thread's share of memory. nbytes: of
    one element in all the arrays that the caller makes of a box at once; by default four times the element itself.
    """
    shape = tuple(array.shape)
    # Nothing smaller than a chunk can be decoded.
    chunk = math.prod(min(b.chunk, b.length) for b in array.borders())
    limit = max(chunk, share_nbytes() // (4 * max(1, array.dtype.itemsize) if nbytes is None else nbytes))
    depth = 0
    while depth < len(shape) - 1 and math.prod(shape[depth + 1 :]) > limit:
        depth += 1
    line = Cut((array.borders()[depth].stops(max(1, limit // max(1, math.prod(shape[depth + 1 :])))),)) if shape else Cut(())
    behind = tuple([slice(0, n, 1) for n in shape[depth + 1 :]])
    for head in product(*map(range, shape[:depth])):
        for box in line.boxes():
            for part in _shortened(box, limit // max(1, math.prod(shape[depth + 1 :]))):
                yield (*[slice(k, k + 1, 1) for k in head], *part, *behind)


def _shortened(box: Box, limit: int) -> Iterator[Box]:
    """A box of one axis in boxes of at most `limit` elements: a chunk may be longer."""
    if not box:
        yield box
        return
    for start in range(box[0].start, box[0].stop, max(1, limit)):
        yield (slice(start, min(start + max(1, limit), box[0].stop), 1),)


def _cumulative(ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, out: Any, nan: int | None, name: str) -> Any:
    ndim = len(shape_of(a))
    if not ndim:
        place_for(out, (1,), dtype_of(a), name)  # NumPy writes beyond the end of another one
        raise UnstreamedError
    if dtype is None and out is None:
        # The functions, unlike the ufuncs' methods, add short integers in long ones, as `sum` does.
        dtype = _step(ufunc.reduce(np.zeros(1, dtype_of(a))).dtype)
    if np.dtype(dtype_of(a)).hasobject:
        raise UnstreamedError
    if axis is None and ndim != 1:
        return _flat(ufunc, a, dtype, out, nan, name)
    return accumulate(ufunc, a, 0 if axis is None else axis, dtype, out, nan=nan, name=name)


def _form(function: Any, ufunc: np.ufunc, nan: int | None) -> Any:
    @implements(function, kind="stream")
    def cumulative(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        return _cumulative(ufunc, a, axis, dtype, out, nan, f"numpy.{function.__name__}")

    return cumulative


cumsum, cumprod = _form(np.cumsum, np.add, None), _form(np.cumprod, np.multiply, None)
nancumsum, nancumprod = _form(np.nancumsum, np.add, 0), _form(np.nancumprod, np.multiply, 1)


def _cumulative_form(function: Any, ufunc: np.ufunc, start: int) -> Any:
    @implements(function, kind="stream")
    def cumulative(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
        ndim = len(shape_of(x))
        if include_initial or out is not None or ndim == 0 or (axis is None and ndim > 1):
            raise UnstreamedError
        return _cumulative(ufunc, x, axis, dtype, out, None, f"numpy.{function.__name__}")

    return cumulative


cumulative_sum = _cumulative_form(getattr(np, "cumulative_sum", None), np.add, 0)
cumulative_prod = _cumulative_form(getattr(np, "cumulative_prod", None), np.multiply, 1)
