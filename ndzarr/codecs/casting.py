"""Numbers of one dtype as numbers of another: exact where they can be, rounded and brought into range by named rules where not.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value, steps 2 and 3 of "Procedure".

What NumPy's casts do is not enough: they round to even or towards zero as the dtypes have it, twice on some ways (int64 over
float32 to float16), and what is out of range is undefined by C. All floats but those of 64-bit integers fit float64 exactly, so
that rounding to a narrower one is rounding `x / 2**k` to an integer, `2**k` being the place of the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray
from ndzarr.codecs.number import Number, extension, number, work

#: Elements cast at a time: the temporary arrays stay in the cache, and their size does not grow with the chunk.
_BLOCK = 1 << 15


def _away(x: NDArray) -> NDArray:
    whole = np.trunc(x)
    # Not floor(x + 0.5), which makes 1 of the number just below a half. `x - whole` is exact.
    away: NDArray = np.copysign(np.abs(whole) + (np.abs(x - whole) >= 0.5), x)
    return away


ROUNDINGS: dict[str, Callable[[NDArray], NDArray]] = {
    "nearest-even": np.rint,
    "towards-zero": np.trunc,
    "towards-positive": np.ceil,
    "towards-negative": np.floor,
    "nearest-away": _away,
}
OUT_OF_RANGE = ("clamp", "wrap")


def cast(array: NDArray, dtype: DType, rounding: str = "nearest-even", out_of_range: str | None = None) -> NDArray:
    """`array` as a C-contiguous array of `dtype`, both native, real numbers.

    Raises ValueError for a value that has no place in `dtype`: too large or too small when `out_of_range` is None, an
    infinity or NaN where `dtype` has none.
    """
    source, target = number(array.dtype), number(dtype)
    if source is None or target is None or not _real(source) or not _real(target):
        raise ValueError(f"cannot cast {array.dtype} to {dtype}: expected integers or floats")
    if target.holds(source):
        with np.errstate(invalid="ignore"):
            return work(np.ascontiguousarray(array)).astype(dtype).reshape(array.shape)
    flat = np.ascontiguousarray(array).reshape(-1)
    out = np.empty(flat.shape, dtype)
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            if target.whole:
                done = _to_integers(work(block), source, target, dtype, rounding, out_of_range)
            else:
                done = _to_floats(block, source, target, dtype, rounding, out_of_range)
            out[start : start + _BLOCK] = done
    return out.reshape(array.shape)


def _real(found: Number) -> bool:
    return found.components == 1 and found.kind != "b"


def _refuse(values: NDArray, bad: NDArray, dtype: DType, hint: str) -> None:
    if bad.any():
        raise ValueError(f"{values[bad][0]} has no place in {dtype}; {hint}")


_RANGE = "with out_of_range 'clamp', or 'wrap' for integers, it would be given one"
_SPECIAL = "only a scalar_map can give it one"


def _to_integers(
    values: NDArray, source: Number, target: Number, dtype: DType, rounding: str, out_of_range: str | None
) -> NDArray:
    least, largest = int(target.least), int(target.largest)
    given = values
    if source.whole:
        low, high = values < least, values > largest
    else:
        _refuse(values, ~np.isfinite(values), dtype, _SPECIAL)
        given, values = values, ROUNDINGS[rounding](values)
        # The largest of 64 bits is no float64, the number after it is. -0.4 may have become -0.0: not less than 0.
        low, high = values < float(least), values >= float(largest + 1)
    bad = low | high
    if not bad.any():
        return _narrow(values, target, dtype)
    if out_of_range is None:
        _refuse(given, bad, dtype, _RANGE)
    if out_of_range == "wrap":
        return _narrow(_wrap(values, target), target, dtype)
    done = _narrow(np.where(bad, values.dtype.type(0), values), target, dtype)
    done[low], done[high] = least, largest
    return done


def _narrow(values: NDArray, target: Number, dtype: DType) -> NDArray:
    """Integers in range, as integers or float64, in `dtype`."""
    return values.astype(f"{target.kind}{dtype.itemsize}").astype(dtype, copy=False)


def _wrap(values: NDArray, target: Number) -> NDArray:
    """Integers modulo 2**bits, in the range of `target`."""
    if values.dtype.kind == "f":
        # fmod of float64 is exact. The magnitude first, for what is less than 0 by little cannot be brought above 0 exactly.
        rest = np.fmod(values, 2.0**target.bits)
        magnitude = np.abs(rest).astype(np.uint64)
        bits: NDArray = np.where(rest < 0, -magnitude, magnitude)
    else:
        bits = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    # The lowest `bits` bits, moved to the top and back: an arithmetic shift fills in the sign.
    spare = np.uint64(64 - target.bits)
    moved = bits << spare
    return moved.view(np.int64) >> spare.astype(np.int64) if target.kind == "i" else moved >> spare


def _to_floats(
    block: NDArray, source: Number, target: Number, dtype: DType, rounding: str, out_of_range: str | None
) -> NDArray:
    plain = rounding == "nearest-even" and not extension(dtype)
    if source.whole:
        values = work(block)
        if plain and target.bits >= 32:
            return values.astype(dtype)  # the processor rounds once; no integer is out of range
        values = _significant(values, target, rounding) if source.bits > 53 else values.astype(np.float64)
    elif plain and not extension(block.dtype):
        done: NDArray = block.astype(dtype)  # from one of NumPy's floats to a narrower one it rounds once, too
        bad = np.isinf(done) & ~np.isinf(block)
        if out_of_range is None:
            _refuse(block, bad, dtype, _RANGE)
        return done  # clamped means infinite
    else:
        values = work(block)
    if not target.infinite:
        _refuse(values, np.isinf(values), dtype, _SPECIAL)
    if not target.nan:
        _refuse(values, np.isnan(values), dtype, _SPECIAL)
    _, exponent = np.frexp(values)
    last = np.maximum(exponent - 1, target.exponent) - (target.precision - 1)
    rounded: NDArray = np.ldexp(ROUNDINGS[rounding](np.ldexp(values, -last)), last)
    finite = np.isfinite(values)
    high, low = finite & (rounded > target.largest), finite & (rounded < target.least)
    if high.any() or low.any():
        if out_of_range is None:
            _refuse(values, high | low, dtype, _RANGE)
        rounded[high] = np.inf if target.infinite else target.largest
        rounded[low] = -np.inf if target.infinite else target.least
    return rounded.astype(dtype)


def _significant(values: NDArray, target: Number, rounding: str) -> NDArray:
    """64-bit integers as float64, rounded to what `target` holds of their leading bits."""
    negative = values < 0
    magnitude = values.astype(np.uint64)
    magnitude = np.where(negative, -magnitude, magnitude)
    # How many bits: the upper ones and the lower ones are each exact in float64.
    upper = magnitude >> np.uint64(11)
    length = np.where(upper > 0, np.frexp(upper.astype(np.float64))[1] + 11, np.frexp(magnitude.astype(np.float64))[1])
    drop = np.maximum(length - target.precision, 0).astype(np.uint64)
    kept = magnitude >> drop
    rest = magnitude - (kept << drop)
    half = np.where(drop > 0, np.uint64(1) << np.maximum(drop, np.uint64(1)) - np.uint64(1), np.uint64(0))
    some = rest > 0
    up: Any
    if rounding == "nearest-even":
        up = some & ((rest > half) | ((rest == half) & (kept & np.uint64(1) == 1)))
    elif rounding == "nearest-away":
        up = some & (rest >= half)
    else:
        up = some & {"towards-zero": np.False_, "towards-positive": ~negative, "towards-negative": negative}[rounding]
    done = np.ldexp((kept + up).astype(np.float64), drop.astype(np.int32))
    signed: NDArray = np.where(negative, -done, done)
    return signed
