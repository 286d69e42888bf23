"""Elements rounded so that they compress, and never more than a bound allows: what would break it stays as it is. Pure.

Nothing here needs a codec to be undone: what is stored are plain numbers, with bits that are all 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ndzarr._typing import NDArray
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.bitround import BitroundCodec
from ndzarr.compression.bound import Bound

#: An array -> an array of its shape and dtype.
Rounding: TypeAlias = Callable[[NDArray], NDArray]


def within(bound: Bound, rounding: Rounding) -> Rounding:
    """`rounding`, but for elements that it would take out of the bound, which stay as they are."""

    def rounded(x: NDArray) -> NDArray:
        with np.errstate(all="ignore"):
            y = rounding(x)
            kept: NDArray = np.where(bound.kept(x, y), y, x)
        return kept

    return rounded


def to_bits(keep_bits: int) -> Rounding:
    """To so many bits of the mantissa, or of an integer; halves to even."""
    codec = BitroundCodec(min(keep_bits, 64))

    def rounded(x: NDArray) -> NDArray:
        return codec.encode(x, ChunkSpec(x.shape, x.dtype))

    return rounded


def bits_for(bound: Bound) -> int | None:
    """The fewest bits that keep a relative bound; None where there is none, or it takes all the bits that there are."""
    share = bound.relative
    if not share:
        return None
    bits = max(0, math.ceil(-math.log2(share)))
    if bound.whole:
        return max(1, bits) if bits < 8 * bound.dtype.itemsize else None
    bits = max(0, bits - 1)
    return bits if bits < np.finfo(bound.dtype).nmant else None


def to_grid(exponent: int) -> Rounding:
    """Floats to multiples of 2**exponent, exactly: nothing but the rounding itself rounds."""
    step, inverse = 2.0**exponent, 2.0**-exponent

    def rounded(x: NDArray) -> NDArray:
        wide = x.astype(np.float64, copy=False)
        return _unsigned_zeros(x, np.rint(wide * inverse) * step)

    return rounded


def grid_for(bound: Bound) -> int | None:
    """The largest exponent of a grid whose half step is within the absolute bound; None where there is none."""
    absolute = bound.absolute
    if not absolute:
        return None
    exponent = math.frexp(absolute)[1]  # 2**(exponent - 1) <= absolute
    return exponent if -1000 < exponent < 1000 else None


def to_multiples(step: float) -> Rounding:
    """Floats to the nearest numbers to multiples of any step: few values, which only some codecs see through."""

    def rounded(x: NDArray) -> NDArray:
        return _unsigned_zeros(x, np.rint(x.astype(np.float64, copy=False) / step) * step)

    return rounded


def _unsigned_zeros(x: NDArray, y: NDArray) -> NDArray:
    """`y` in the dtype of `x`; what becomes 0 has no sign, but a zero that was one keeps its own."""
    done: NDArray = np.where((y == 0) & (x != 0), 0.0, y).astype(x.dtype)
    return done


def to_whole_multiples(step: int) -> Rounding:
    """Integers to the nearest multiple of a step. Where there is no place for that it is some other number."""

    def rounded(x: NDArray) -> NDArray:
        of = x.dtype.type
        over = np.mod(x, of(step))
        down: NDArray = np.where(over <= of(step // 2), x - over, x - over + of(step))
        return down

    return rounded


def whole_steps(bound: Bound) -> tuple[int, int] | None:
    """The largest step of integers within the absolute bound, and the largest that is a power of two; None for none."""
    absolute = bound.absolute
    if not bound.whole or not absolute:
        return None
    most = min(int(absolute), (int(np.iinfo(bound.dtype).max) - 1) // 2)
    return (2 * most + 1, 1 << (2 * most).bit_length() - 1) if most else None
