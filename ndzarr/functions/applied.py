"""apply_along_axis and apply_over_axes: a caller's function, on whole lanes or on what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr._typing import NDArray
from ndzarr.functions.lanes import lanes
from ndzarr.functions.sorting import lane_axis
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import is_operand, shape_of


@implements(np.apply_along_axis, kind="lanes", note="lanes are given to the function in C order of blocks, on one thread")
def apply_along_axis(func1d: Callable[..., Any], axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """`numpy.apply_along_axis`; the first lane says dtype and shape of what comes out, as with NumPy."""
    if not is_operand(arr):
        raise UnstreamedError
    axis = lane_axis(arr, axis)
    ndim = len(shape_of(arr))
    kind: list[np.dtype[Any]] = []

    def cast(lane: NDArray) -> NDArray:
        found = np.asanyarray(func1d(lane, *args, **kwargs))
        if not kind:
            kind.append(found.dtype)
        lane_result: NDArray = found.astype(kind[0], copy=False)
        return lane_result

    def block(array: NDArray) -> NDArray:
        found = np.asarray(np.apply_along_axis(cast, axis, array))
        # What comes of each lane goes to the front, and an axis of length 1 to where the lane was.
        own = found.ndim - (ndim - 1)
        return np.expand_dims(np.moveaxis(found, range(axis, axis + own), range(own)), own + axis)

    found = lanes(block, [arr], (axis,), name="numpy.apply_along_axis", lead=None, drop=True, serial=True)
    own = np.ndim(found) - (ndim - 1)
    return np.moveaxis(found, range(own), range(axis, axis + own)) if own else np.asarray(found)


@implements(np.apply_over_axes, kind="stream", note="as the function that is applied is done")
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """`numpy.apply_over_axes`."""
    ndim = len(shape_of(a))
    found = a
    for axis in [axes] if np.ndim(axes) == 0 else axes:
        axis = ndim + axis if axis < 0 else axis
        reduced = func(found, axis)
        if np.ndim(reduced) != ndim:
            reduced = np.expand_dims(reduced, axis)
            if np.ndim(reduced) != ndim:
                raise ValueError("function is not returning an array of the correct shape")
        found = reduced
    return found
