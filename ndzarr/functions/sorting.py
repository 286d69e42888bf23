"""sort, argsort, partition, argpartition, sort_complex, lexsort, take_along_axis: whole lanes, NumPy's own function on each.

sort and partition of long lanes, or of all elements, are read into the result and done there, so that they take no more memory
than that and read each chunk once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray
from ndzarr.functions.lanes import fit_share, lanes
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of


def whole(a: Any, name: str, dtype: Any = None) -> NDArray:
    """All elements in a new array, read block by block."""
    shape = shape_of(a)
    place = result(shape, np.dtype(dtype_of(a) if dtype is None else dtype), name)
    blocks = cut([a], shape)

    def one(box: Box) -> None:
        place[box] = read(a, box)

    run(blocks.boxes(), one, [a], blocks)
    return place


def lane_axis(a: Any, axis: Any) -> int:
    """An axis counted from the front; NumPy's own error."""
    return int(np.lib.array_utils.normalize_axis_index(axis, len(shape_of(a))))


def _nbytes(a: Any, more: int) -> int:
    return int(np.dtype(dtype_of(a)).itemsize) * 2 + more


def _in_place(
    function: Callable[..., Any], method: str, a: Any, axis: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """sort or partition: by lanes, or in the result where a lane is long."""
    name = f"numpy.{function.__name__}"
    if axis is None:
        place = whole(a, name).reshape(-1)
        getattr(place, method)(*args, **kwargs)
        return place
    axis = lane_axis(a, axis)
    shape = shape_of(a)
    if len(shape) == 1 or not fit_share([a], (axis,), _nbytes(a, 0)):
        place = whole(a, name)
        getattr(place, method)(*args, axis=axis, **kwargs)
        return place

    def block(array: NDArray) -> NDArray:
        getattr(array, method)(*args, axis=axis, **kwargs)
        return array

    return lanes(block, [a], (axis,), name=name, nbytes=_nbytes(a, 0))


@implements(np.sort, kind="lanes", note="of one lane, or axis=None: in the result")
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """`numpy.sort`."""
    kwargs = {"kind": kind, "order": order, "stable": stable}
    np.sort(np.zeros(1, dtype_of(a)), -1, kind, order, stable=stable)
    return _in_place(np.sort, "sort", a, axis, (), kwargs)


@implements(np.partition, kind="lanes", note="of one lane, or axis=None: in the result")
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Any:
    """`numpy.partition`."""
    return _in_place(np.partition, "partition", a, axis, (kth,), {"kind": kind, "order": order})


def _indices(function: Callable[..., Any], a: Any, axis: Any, *args: Any, **kwargs: Any) -> Any:
    """argsort and argpartition."""
    if axis is None and len(shape_of(a)) != 1:
        raise UnstreamedError
    axis = lane_axis(a, -1 if axis is None else axis)
    return lanes(
        lambda block: np.asarray(function(block, *args, axis=axis, **kwargs)), [a], (axis,), nbytes=_nbytes(a, 8),
        name=f"numpy.{function.__name__}",
    )  # fmt: skip


@implements(np.argsort, kind="lanes", note="axis=None: loaded")
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """`numpy.argsort`."""
    return _indices(np.argsort, a, axis, kind=kind, order=order, stable=stable)


@implements(np.argpartition, kind="lanes", note="axis=None: loaded")
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Any:
    """`numpy.argpartition`."""
    return _indices(np.argpartition, a, axis, kth, kind=kind, order=order)


@implements(np.sort_complex, kind="lanes")
def sort_complex(a: Any) -> Any:
    """`numpy.sort_complex`."""
    axis = lane_axis(a, -1)
    return lanes(np.sort_complex, [a], (axis,), name="numpy.sort_complex", nbytes=_nbytes(a, 32))


@implements(np.lexsort, kind="lanes")
def lexsort(keys: Any, axis: Any = -1) -> Any:
    """`numpy.lexsort`."""
    if is_operand(keys):
        ndim = len(shape_of(keys))
        if ndim < 2:
            raise UnstreamedError
        axis = int(np.lib.array_utils.normalize_axis_index(axis, ndim - 1))
        # The keys lie along the first axis, which every block has whole and the result does not have.
        found = lanes(
            lambda block: np.lexsort(block, axis)[None], [keys], (0, axis + 1), name="numpy.lexsort", nbytes=_nbytes(keys, 8)
        )
        return found[0]
    arrays = [k if is_operand(k) else np.asarray(k) for k in keys]
    shape = shape_of(arrays[0])
    if not shape or any(shape_of(k) != shape for k in arrays):
        raise UnstreamedError
    axis = int(np.lib.array_utils.normalize_axis_index(axis, len(shape)))
    itemsize = sum(np.dtype(dtype_of(k)).itemsize for k in arrays)
    return lanes(
        lambda *blocks: np.asarray(np.lexsort(blocks, axis)), arrays, (axis,), name="numpy.lexsort", nbytes=2 * itemsize + 8
    )


@implements(np.take_along_axis, kind="lanes")
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """`numpy.take_along_axis`."""
    if axis is None:
        raise UnstreamedError
    arr = arr if is_operand(arr) else np.asarray(arr)
    indices = indices if is_operand(indices) else np.asarray(indices)
    axis = lane_axis(arr, axis)
    shapes = [list(shape_of(x)) for x in (arr, indices)]
    if len(shapes[0]) != len(shapes[1]) or np.dtype(dtype_of(indices)).kind not in "iu":
        raise UnstreamedError  # NumPy's own error
    length = max(shapes[0][axis], shapes[1][axis])
    for shape in shapes:
        shape[axis] = 1
    shape = list(np.broadcast_shapes(*map(tuple, shapes)))
    if not math.prod(shape):
        raise UnstreamedError
    shape[axis] = length
    return lanes(
        lambda block, spots: np.take_along_axis(block, spots, axis), [arr, indices], (axis,), shape=tuple(shape),
        name="numpy.take_along_axis", nbytes=_nbytes(arr, 24),
    )  # fmt: skip
