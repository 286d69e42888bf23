"""Which elements of two arrays differ, and by how much at most. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray
from ndzarr.canonical import element_bytes
from ndzarr.dtypes import ml

#: Kinds of dtypes whose elements are numbers.
_NUMBERS = "biufc"
#: The largest distance of integers that is told; that of a uint64 and a negative int64 can be up to half of it more.
_MOST = 2**64 - 1


def plain(array: NDArray) -> NDArray:
    """The same numbers in a dtype of NumPy's own, where one of ml_dtypes has them: all are exact in it."""
    if array.dtype.isbuiltin != 2:
        return array
    name = ml.name_of(array.dtype)
    return array.astype(np.int8 if name in ml.INTEGERS else np.complex128 if name in ml.COMPLEX else np.float64)


def comparable(a: DType, b: DType) -> bool:
    """Whether elements of the two dtypes can be equal."""
    kinds = {_family(a), _family(b)}
    if kinds == {"V"}:
        if a.names is not None and b.names is not None:
            return a.names == b.names and all(a[n].shape == b[n].shape and comparable(a[n].base, b[n].base) for n in a.names)
        return a.names == b.names and a.itemsize == b.itemsize
    if kinds <= {"M", "m"}:
        # Not every unit can be put in another: years are no number of days.
        return len(kinds) == 1 and (a == b or a.kind == "M" or np.can_cast(a, b, "same_kind") or np.can_cast(b, a, "same_kind"))
    return len(kinds) == 1 or kinds == {"U", "O"}


def _family(dtype: DType) -> str:
    if dtype.isbuiltin == 2 or dtype.kind in _NUMBERS:
        return "number"
    return "O" if dtype.kind in "OT" else dtype.kind


def nan_free(dtype: DType) -> bool:
    """Whether no element of the dtype can be other than itself."""
    if dtype.names is not None:
        return all(nan_free(dtype[name].base) for name in dtype.names)
    return dtype.isbuiltin != 2 and dtype.kind in "biuSUV"


def differing(a: NDArray, b: NDArray, rtol: float, atol: float, equal_nan: bool) -> NDArray:
    """A mask of the elements that differ, of two arrays of one shape whose dtypes are `comparable`.

    rtol, atol: two numbers differ where `abs(a - b) > atol + rtol * abs(b)`; dates, text and the rest differ where they are not
    equal. equal_nan: whether NaN equals NaN, whatever its payload, and NaT NaT.
    """
    if a.dtype.names is not None:
        mask = np.zeros(a.shape, bool)
        for name in a.dtype.names:
            found = differing(a[name], b[name], rtol, atol, equal_nan)
            mask |= found.reshape(*a.shape, -1).any(axis=-1) if found.ndim > a.ndim else found
        return mask
    a, b = plain(a), plain(b)
    if a.dtype.kind in "OT" or b.dtype.kind in "OT":
        return _objects(a, b, equal_nan)
    if a.dtype.kind == "V":
        if not a.size or not a.dtype.itemsize:
            return np.zeros(a.shape, bool)
        x, y = (np.ascontiguousarray(side).reshape(-1).view(np.uint8).reshape(*a.shape, -1) for side in (a, b))
        return np.asarray((x != y).any(axis=-1))
    mask = np.asarray(a != b)
    if not mask.any():
        return mask
    odd = None
    if a.dtype.kind in "fcmM" or b.dtype.kind in "fcmM":
        odd = _odd(a), _odd(b)
    if (rtol or atol) and a.dtype.kind in _NUMBERS:
        with np.errstate(all="ignore"):
            # An infinity is near to itself only, and those are equal.
            near = _near(distance(a, b), b, rtol, atol) & np.isfinite(a) & np.isfinite(b)
        mask &= ~near
    if odd is not None and equal_nan:
        mask &= ~(odd[0] & odd[1])
    return mask


def _near(far: NDArray, b: NDArray, rtol: float, atol: float) -> NDArray:
    """Whether a distance is within the tolerance, which no narrow dtype rounds: in double precision, exact of integers."""
    if far.dtype.kind == "u" and not rtol:
        return np.asarray(far <= np.uint64(min(int(atol), _MOST)))
    wide = np.result_type(b, np.float64)
    return np.asarray(far <= atol + rtol * np.abs(b.astype(wide)))


def _odd(array: NDArray) -> NDArray:
    return np.asarray(np.isnat(array) if array.dtype.kind in "mM" else np.isnan(array))


def distance(a: NDArray, b: NDArray) -> NDArray:
    """`abs(a - b)` of numbers, exact for integers: unsigned, so that none overflows; 2**64 - 1 stands for more than that."""
    if a.dtype.kind == "b" and b.dtype.kind == "b":
        return np.asarray(a != b).view(np.uint8)
    signs = {x.dtype.kind for x in (a, b)}
    if signs <= set("biu"):
        # Subtraction modulo 2**64 is right wherever the true difference fits, and that of the larger and the smaller one does,
        # but for one of an unsigned and a negative one. NumPy compares those two as the numbers that they are.
        a64, b64 = (x.astype(np.uint64) if x.dtype.kind != "i" else x.astype(np.int64).view(np.uint64) for x in (a, b))
        found = np.asarray(np.where(np.asarray(a > b), a64 - b64, b64 - a64))
        if signs == {"i", "u"}:
            top, low = (a64, b) if a.dtype.kind == "u" else (b64, a)
            found = np.where((low < 0) & (found < top), np.uint64(_MOST), found)
        return found
    wide = np.result_type(a, b, np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(a.astype(wide) - b.astype(wide)))


def largest(a: NDArray, b: NDArray) -> float | int | None:
    """The largest `abs(a - b)` of numbers that differ; None where none of them are both numbers."""
    a, b = plain(a), plain(b)
    if a.dtype.kind not in _NUMBERS or b.dtype.kind not in _NUMBERS or not a.size:
        return None
    found = distance(a, b)
    if found.dtype.kind == "f":
        found = found[~np.isnan(found)]
    if not found.size:
        return None
    top = found.max()
    return int(top) if found.dtype.kind == "u" else float(top)


def _objects(a: NDArray, b: NDArray, equal_nan: bool) -> NDArray:
    """Objects differ in class or in value; strings of all kinds are of one class."""
    mask = np.zeros(a.shape, bool)
    for spot in np.ndindex(a.shape):
        mask[spot] = not _equal(a[spot], b[spot], equal_nan)
    return mask


def _equal(a: Any, b: Any, equal_nan: bool) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return str(a) == str(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, (float, np.floating)) and a != a and b != b:
        return equal_nan
    if isinstance(a, (bytes, bool, int, float)) or a is None:
        return bool(a == b)
    cells = np.empty((2, 1), object)
    cells[0, 0], cells[1, 0] = a, b
    return bytes(element_bytes(cells[0])) == bytes(element_bytes(cells[1]))
