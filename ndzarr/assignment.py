"""A value to assign -> an array of the right dtype and shape, by NumPy's rules, down to what it raises and when.

https://numpy.org/doc/stable/user/basics.indexing.html#assigning-values-to-indexed-arrays, and where that is silent the source:
`PyArray_CopyObject` for basic indices, `array_assign_subscript` for index arrays (numpy/_core/src/multiarray/).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray, Shape
from ndzarr.errors import ArgumentError, SelectionTypeError
from ndzarr.selection import LateSelectionError, Selection, Span, in_numpy_order, select


def cast(value: Any, dtype: DType, selection: Selection, shape: Shape) -> NDArray:
    """`value` as an array of `dtype`, by the rules of assignment: anything that NumPy can cast, Python ints with a range check.

    `shape`: that of the place it goes to. Where no index array is at work NumPy looks no deeper into nested lists than that
    place has axes: what lies deeper is an element for object arrays, and too deep for all others.
    """
    if selection.scalar and not shape:
        cell = np.empty(1, dtype)
        cell[0] = value  # one element: NumPy itself knows best, down to what it raises
        return cell.reshape(())
    if isinstance(value, np.ndarray):
        array = value
        _check_mask_value(array, selection)
        if value.dtype != dtype:
            if selection.fancy or np.can_cast(value.dtype, dtype, "unsafe"):
                # Whether it fits comes before whether it can be cast.
                spread(value, selection, shape[len(selection.shape) :])
            # Where nothing is selected nothing is cast, but what could never be is refused.
            if 0 not in shape or _cast_first(value, dtype, selection) or not (selection.mask or _castable(value.dtype, dtype)):
                array = value.astype(dtype)
    elif dtype.kind in ("OT" if selection.fancy else "O") and not selection.mask:
        array = np.empty(shape, dtype)
        array[...] = value
    elif selection.fancy or (hasattr(value, "__array__") and not isinstance(value, np.generic)):
        array = np.asarray(value, dtype)
    else:
        # Let NumPy assign the value to a place of its own shape: it converts, warns and raises as it would for any other.
        if dtype.names:
            depth = _list_shape(value) if isinstance(value, list) else np.asarray(value, dtype).shape
        else:
            depth = np.shape(value)
        if len(depth) > len(shape):
            raise ArgumentError(
                f"setting an array element with a sequence: the value has {len(depth)} dimensions, its place {len(shape)}"
            )
        array = np.empty(depth, dtype)
        array[...] = value
    _check_mask_value(array, selection)
    return array


def _cast_first(value: NDArray, dtype: DType, selection: Selection, index: Any = ()) -> bool:
    """Whether NumPy casts an array before it looks what is in the index arrays, which take every axis (tried with 2.4 and 2.5).

    Its iterator over the two knows from the beginning which casts there are, and holds a value without axes, cast, unless the
    index makes new axes.
    """
    arrays = selection.fancy and not selection.mask and bool(selection.picks)
    if not arrays or any(type(pick) is Span for pick in selection.picks):
        return False
    return (value.ndim == 0 and not _new_axes(index)) or not _castable(value.dtype, dtype)


def _new_axes(index: Any) -> bool:
    return isinstance(index, tuple) and any(entry is None for entry in index)


def _castable(given: DType, dtype: DType) -> bool:
    # `np.can_cast` says yes to some pairs that NumPy then refuses: structures to strings without a length.
    try:
        np.empty(0, given).astype(dtype)
    except TypeError:
        return False
    return True


def _list_shape(value: Any) -> Shape:
    """The shape of nested lists, in which tuples are records."""
    lengths = []
    while isinstance(value, list):
        lengths.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(lengths)


def _check_mask_value(array: NDArray, selection: Selection) -> None:
    if selection.mask and array.ndim > 1:
        raise SelectionTypeError(
            f"NumPy boolean array indexing assignment requires a 0 or 1-dimensional input, input has {array.ndim} dimensions"
        )


def spread(array: NDArray, selection: Selection, trailing: Shape, *, nested: bool = False) -> tuple[Selection, NDArray]:
    """`array` broadcast to the selection (a view where that can be) and shaped like its work array.

    `nested`: see `selection.in_numpy_order`.
    """
    shape = selection.shape + trailing
    if array.ndim > len(shape):
        # Leading axes of length 1 may be left out. NumPy does it by a reshape when index arrays are at work, so that any
        # leading axes may go where nothing is selected.
        kept = array.shape[array.ndim - len(shape) :]
        if math.prod(kept) == array.size and (selection.fancy or all(n == 1 for n in array.shape[: array.ndim - len(shape)])):
            array = array.reshape(kept)
    try:
        whole = np.broadcast_to(array, shape)
    except ValueError:
        raise ArgumentError(f"could not broadcast input array from shape {array.shape} into shape {shape}") from None
    if not trailing:
        selection, whole = in_numpy_order(selection, whole, nested=nested)
    work = selection.work_shape + trailing
    return selection, whole if whole.shape == work else whole.reshape(work)


def check_value(value: Any, dtype: DType, index: Any, shape: Shape) -> None:
    """Raise what NumPy raises for a value before it looks whether index arrays fit each other and are within bounds."""
    if not isinstance(value, np.ndarray) and dtype.kind not in "OT":
        np.asarray(value, dtype)
    try:
        selection = select(index, shape, bounds=False)
    except LateSelectionError:
        return
    if isinstance(value, np.ndarray) and not _cast_first(value, dtype, selection, index):
        array = value  # which is cast when the indices are known to be good
    else:
        array = cast(value, dtype, selection, selection.shape)
    spread(array, selection, ())
