"""A bound on the error of each element, and whether it is kept: the judge of all that `compress` writes. Pure.

The comparison is as strict as the strictest that a reader will make. Differences are taken in float64, with what that rounds
off worked out as well (Knuth's two-sum), so that an error counts as kept only where the exact one is. The absolute bound is
first rounded down to the array's own dtype, and the relative one made smaller by four units of its last place: then
`abs(x - y) <= max_abs`, computed in that dtype, is true as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ndzarr._typing import DType, NDArray
from ndzarr.canonical import element_bytes
from ndzarr.errors import ArgumentError

#: Products below this are rounded to multiples of the smallest number there is, and decide nothing.
_SMALL = 2.0**-1000


@dataclass(frozen=True, slots=True)
class Bound:
    """What the error of each finite element is held to: all that is not None. NaN and infinities stay what they are.

    max_abs: `|x - y|` at most. max_rel: `|x - y| / |x|` at most, so that 0 stays 0. keep_bits: bits of the mantissa that are
    kept, of integers bits from the highest that is set on; the error is half a unit of the last one at most. With none of them
    nothing may change.
    """

    dtype: DType
    max_abs: float | None = None
    max_rel: float | None = None
    keep_bits: int | None = None

    @property
    def lossless(self) -> bool:
        """Whether nothing may change."""
        return not self.absolute and not self.relative

    @property
    def whole(self) -> bool:
        """Whether the elements are integers."""
        return self.dtype.kind in "iu"

    @property
    def absolute(self) -> float | int | None:
        """The largest number of the dtype that is at most `max_abs`; an int where the elements are integers."""
        if self.max_abs is None:
            return None
        if self.whole:
            return min(int(self.max_abs), int(np.iinfo(self.dtype).max))
        most = float(np.finfo(self.dtype).max)
        if self.max_abs >= most:
            return most
        near = self.dtype.type(self.max_abs)
        return float(near if float(near) <= self.max_abs else np.nextafter(near, self.dtype.type(0)))

    @property
    def relative(self) -> float | None:
        """The share of an element that its error may have, by `max_rel` and `keep_bits`."""
        found = []
        if self.max_rel is not None:
            eps = 2.0**-52 if self.whole else float(np.finfo(self.dtype).eps)
            found.append(self.max_rel * (1 - 4 * eps))
        if self.keep_bits is not None:
            # Exact: a power of two, and half a unit of the last bit is no more than that share of any element.
            found.append(2.0 ** -(self.keep_bits + (0 if self.whole else 1)))
        return min(found) if found else None

    def kept(self, x: NDArray, y: NDArray) -> npt.NDArray[np.bool_]:
        """Which elements of `y` are as near to those of `x` as they must be."""
        if self.lossless:
            return _alike(x, y)
        with np.errstate(all="ignore"):
            same = x == y
            if not self.whole:
                same |= np.isnan(x) & np.isnan(y)
            error = _error(x, y)
            kept = np.ones(same.shape, np.bool_)
            absolute, relative = self.absolute, self.relative
            if absolute is not None:
                kept &= error <= absolute
                # Of those at the bound itself, what float64 rounded off decides.
                at = error == absolute
                if at.any():
                    kept[at] = _rest(x[at], y[at]) <= 0
            if relative is not None:
                limit = relative * _magnitude(x)
                kept &= (error <= limit) & (limit >= _SMALL) & np.isfinite(error)  # both may be too large to tell
            found: npt.NDArray[np.bool_] = same | (kept & np.isfinite(x) & np.isfinite(y))
            return found

    def to_json(self) -> dict[str, float | int]:
        """What was asked, by name."""
        return {name: value for name in ("max_abs", "max_rel", "keep_bits") if (value := getattr(self, name)) is not None}


def _alike(x: NDArray, y: NDArray) -> npt.NDArray[np.bool_]:
    """Which elements are the same bit for bit: zeros have a sign, and NaN a payload; what pads a structured dtype is none."""
    if x.dtype.names is not None and x.size:
        packed = [np.frombuffer(element_bytes(a), np.uint8).reshape(*a.shape, -1) for a in (x, y)]
        return np.asarray((packed[0] == packed[1]).all(axis=-1))
    words = [np.ascontiguousarray(a).reshape(-1).view(np.uint8).reshape(*a.shape, a.dtype.itemsize) for a in (x, y)]
    found: npt.NDArray[np.bool_] = (words[0] == words[1]).all(axis=-1)
    return found


def _error(x: NDArray, y: NDArray) -> NDArray:
    """`|x - y|`: of integers exactly, of floats in float64."""
    if x.dtype.kind in "iu":
        unsigned = np.dtype(f"u{x.dtype.itemsize}")
        a, b = x.view(unsigned), y.view(unsigned)
        whole: NDArray = np.where(x > y, a - b, b - a)
        return whole
    error: NDArray = x.astype(np.float64)
    error -= y
    np.abs(error, out=error)
    return error


def _rest(x: NDArray, y: NDArray) -> NDArray:
    """What is to be added to `|x - y|`, as float64 has it, for the exact value."""
    if x.dtype.kind in "iu":
        return np.zeros(x.shape, np.int8)
    a, b = x.astype(np.float64), y.astype(np.float64)
    difference = a - b
    back = difference - a
    rest = (a - (difference - back)) - (b + back)
    return np.where(difference < 0, -rest, rest)


def _magnitude(x: NDArray) -> NDArray:
    if x.dtype.kind in "iu":
        unsigned = np.dtype(f"u{x.dtype.itemsize}")
        return np.where(x < 0, np.zeros((), unsigned) - x.view(unsigned), x.view(unsigned)).astype(np.float64)
    return np.abs(x.astype(np.float64))


@dataclass(slots=True)
class Measured:
    """The largest errors met so far; `max_rel` of elements that are not 0. Of one thread."""

    max_abs: float | int = 0
    max_rel: float = 0.0
    elements: int = 0
    nonfinite: int = 0

    def add(self, x: NDArray, y: NDArray) -> None:
        """Take up the errors of some elements."""
        self.elements += x.size
        if x.dtype.kind not in "iuf" or not x.size:
            return
        x, y = x.reshape(-1), y.reshape(-1)
        with np.errstate(all="ignore"):
            error = _error(x, y)
            if x.dtype.kind == "f":
                finite = np.isfinite(x)
                count = int(np.count_nonzero(finite))
                if count < x.size:
                    self.nonfinite += x.size - count
                    error[~finite] = 0
            most = error.max()
            if not most:
                return
            share = _magnitude(x)
            np.divide(error, share, out=share, where=error > 0)
            share[(error == 0) | np.isinf(share) & (x == 0)] = 0
        self.max_abs = max(self.max_abs, most.item())
        self.max_rel = max(self.max_rel, float(share.max()))

    def join(self, other: Measured) -> None:
        """Take up what another one has met."""
        self.max_abs, self.max_rel = max(self.max_abs, other.max_abs), max(self.max_rel, other.max_rel)
        self.elements += other.elements
        self.nonfinite += other.nonfinite


def bound_argument(dtype: DType, max_abs: Any, max_rel: Any, keep_bits: Any) -> Bound:
    """The Bound of a caller's arguments; ArgumentError for one that is none, or that the dtype cannot have."""
    for name, value in (("max_abs", max_abs), ("max_rel", max_rel)):
        good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if value is not None and not (good and math.isfinite(value) and value >= 0):
            raise ArgumentError(f"{name} is {value!r}, expected a finite number of at least 0", field=name, found=value)
    if keep_bits is not None and not (
        isinstance(keep_bits, int | np.integer) and type(keep_bits) is not bool and keep_bits >= 0
    ):
        raise ArgumentError(
            f"keep_bits is {keep_bits!r}, expected 'auto' or a number of bits", field="keep_bits", found=keep_bits
        )
    if keep_bits is not None and (max_abs is not None or max_rel is not None):
        raise ArgumentError("keep_bits says how exact elements stay; pass it without max_abs and max_rel", field="keep_bits")
    bound = Bound(
        dtype,
        None if max_abs is None else float(max_abs),
        None if max_rel is None else float(max_rel),
        None if keep_bits is None else int(keep_bits),
    )
    asked = bound.to_json()
    if asked and not lossy_dtype(dtype):
        raise ArgumentError(
            f"dtype {dtype} cannot have {next(iter(asked))}: only integers, and floats of 2, 4 or 8 bytes, are rounded; "
            "without a bound it is compressed as it is",
            field=next(iter(asked)),
            found=str(dtype),
        )
    if bound.whole and keep_bits == 0:
        raise ArgumentError("keep_bits is 0, of integers at least 1 is kept", field="keep_bits", found=0)
    return bound


def lossy_dtype(dtype: DType) -> bool:
    """Whether elements can be rounded."""
    return dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (2, 4, 8))
