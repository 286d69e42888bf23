"""Ufuncs, block by block: calls and their methods reduce, accumulate, outer, at and reduceat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.functions import folds
from ndzarr.functions.blockwise import elementwise
from ndzarr.functions.cumulative import accumulate
from ndzarr.functions.dispatch import loaded
from ndzarr.functions.fold import answer, normal_axes, place_for
from ndzarr.functions.table import UnstreamedError
from ndzarr.streaming import fits_block, is_operand, load, shape_of


def call(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `getattr(ufunc, method)(*inputs, **kwargs)` gives when an input or an output is an operand."""
    out = kwargs.get("out")
    outs = out if isinstance(out, tuple) else () if out is None else (out,)
    if method == "at":
        return at(ufunc, *inputs)
    if not any(is_operand(x) for x in outs) and fits_block([x for x in (*inputs, kwargs.get("where")) if is_operand(x)]):
        return loaded(getattr(ufunc, method), inputs, kwargs, limited=False)
    try:
        if method == "__call__" and ufunc.signature is None:
            return elementwise(ufunc, inputs, **kwargs)
        if method == "__call__":
            from ndzarr.functions.linear import core

            return core(ufunc, inputs, **kwargs)
        if method == "reduce":
            return folds.reduce(ufunc, *inputs, **kwargs)
        if method == "accumulate":
            return accumulate(ufunc, *inputs, **kwargs)
        if method == "outer":
            return outer(ufunc, *inputs, **kwargs)
        if method == "reduceat":
            return reduceat(ufunc, *inputs, **kwargs)
    except UnstreamedError:
        pass
    return loaded(getattr(ufunc, method), inputs, kwargs)


# ---- methods --------------------------------------------------------------------------------


def outer(ufunc: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Any:
    """`ufunc.outer(a, b)`."""
    a = a if is_operand(a) else np.asarray(a)
    b = b if is_operand(b) else np.asarray(b)
    ones = (None,) * len(shape_of(b))
    first = a.lazy[(..., *ones)] if is_operand(a) else a[(..., *ones)]
    return elementwise(ufunc, (first, b), **kwargs)


def reduceat(ufunc: np.ufunc, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.reduceat(array, indices)`: each stretch between two indices reduced by itself."""
    shape = shape_of(array)
    probe = ufunc.reduceat(folds.tiny(array), [0], axis=axis, dtype=dtype)
    (axis,) = normal_axes(axis, len(shape))
    spots = [int(i) for i in np.asarray(indices)]
    if any(not 0 <= i < shape[axis] for i in spots):
        bad = next(i for i in spots if not 0 <= i < shape[axis])
        raise IndexError(f"index {bad} out-of-bounds in {ufunc.__name__}.reduceat [0, {shape[axis]})")
    if not is_operand(array):
        raise UnstreamedError
    lengths = (*shape[:axis], len(spots), *shape[axis + 1 :])
    place = place_for(out, lengths, probe.dtype, f"numpy.{ufunc.__name__}.reduceat")
    before = (slice(None),) * axis
    for k, start in enumerate(spots):
        stop = spots[k + 1] if k + 1 < len(spots) else shape[axis]
        stretch = array.lazy[(*before, slice(start, max(stop, start + 1)))]
        if max(stop, start + 1) == start + 1:
            piece = np.asarray(load(stretch)).astype(probe.dtype, copy=False)
        else:
            piece = np.asarray(call(ufunc, "reduce", (stretch,), {"axis": axis, "dtype": dtype, "keepdims": True}))
        box = tuple(slice(k, k + 1, 1) if n == axis else slice(0, length, 1) for n, length in enumerate(shape))
        if is_operand(place):
            place.write_box(box, piece)
        else:
            place[box] = piece
    return answer(place, out)


def at(ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    """`ufunc.at(target, index, values)`: in place, repeated indices each counted.

    The elements that `index` picks are read once each, changed by NumPy's own `at`, and written back.
    """
    values = tuple(load(x) if is_operand(x) else x for x in values)
    index = load(index) if is_operand(index) else index
    if not is_operand(target):
        getattr(ufunc, "at")(target, index, *values)  # noqa: B009  # the stubs know fewer ufuncs with it
        return
    spots, shape = _coordinates(index, tuple(target.shape))
    if spots is None:
        view = target.lazy[index]
        elementwise(ufunc, (view, *values), out=view)
        return
    flat, inverse = np.unique(spots, axis=1, return_inverse=True)
    picked = tuple(flat)
    old = np.asarray(target.lazy.vindex[picked])
    # Flat: NumPy's short cut for one axis reads past values that have fewer axes than the index (seen with 2.4).
    ufunc.at(old, inverse.reshape(-1), *[np.broadcast_to(np.asarray(v), shape).reshape(-1) for v in values])
    target.lazy.vindex[picked] = old


def _coordinates(index: Any, shape: Shape) -> tuple[NDArray | None, Shape]:
    """The coordinates of what an index with arrays picks, (axes, elements), and its shape; None for a basic index."""
    entries = index if isinstance(index, tuple) else (index,)
    if all(isinstance(e, (slice, int, np.integer, type(None), type(...))) and not isinstance(e, bool) for e in entries):
        return None, ()
    # Every axis by an array that is as small as the axis, expanded only as far as the index picks.
    axes = [
        np.broadcast_to(np.arange(n).reshape((n,) + (1,) * (len(shape) - 1 - k)), shape)[index] for k, n in enumerate(shape)
    ]
    return np.stack([a.reshape(-1) for a in axes]), axes[0].shape if axes else ()
