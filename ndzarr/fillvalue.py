"""Fill values as NumPy needs them: an element to assign, and the question whether an array holds nothing else."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray

_UNSIGNED: dict[int, DType] = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}


def element(fill_value: Any, dtype: DType) -> Any:
    """The fill value in a form that NumPy assigns as one element: an object may be a list, and must not be shared by reads."""
    if dtype.kind != "O":
        return fill_value
    array = np.empty((), object)
    array[()] = copy.deepcopy(fill_value)
    return array


def is_fill(array: NDArray, fill_value: Any) -> bool:
    """Whether every element is the fill value bit for bit: -0.0 is not 0.0, and a NaN equals itself.

    Objects are compared by type, value and repr: `[True] == [1]` and `0.0 == -0.0`. The first element of other dtypes is looked
    at alone, since it settles nearly every chunk.
    """
    if array.size == 0:
        return True
    dtype = array.dtype
    if dtype.kind == "T":
        # A str alone NumPy would take for one of fixed length, which has no zeros at its end.
        return bool((array == np.array(fill_value, dtype)).all())
    if dtype.hasobject:
        kind = type(fill_value)
        plain = kind in (str, bytes, int)  # whose equal values are one and the same
        return all(
            item is fill_value
            or (type(item) is kind and bool(item == fill_value) and (plain or repr(item) == repr(fill_value)))
            for item in array.flat
        )
    blank = np.array(fill_value, dtype)
    if array[(slice(0, 1),) * array.ndim].tobytes() != blank.tobytes():  # a slice: a bytes scalar would lose its zeros
        return False
    unsigned: DType | None = _UNSIGNED.get(dtype.itemsize)
    if unsigned is not None and dtype.fields is None:
        return bool((array.view(unsigned) == blank.view(unsigned)).all())
    return array.tobytes() == blank.tobytes() * array.size
