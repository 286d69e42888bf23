"""The `bitround` codec: numbers rounded to some bits (https://doi.org/10.1038/s43588-021-00156-2).

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/bitround. Of floats it gives what `numcodecs.bitround`
does, which knows no other numbers; but a NaN stays the NaN that it is, of which numcodecs may make an infinity or -0.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ndzarr._typing import Json, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import Number, number
from ndzarr.errors import ArgumentError

_INT64 = np.dtype(np.int64)
#: Elements rounded at a time, so that the temporary arrays stay in the cache.
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True)
class BitroundCodec(ArrayArrayCodec):
    """`keepbits`: how many bits are kept, of a float's mantissa, or of an integer from its highest bit that is set on.

    Lossy; there is nothing to decode. As many bits as there are, or more, change nothing.
    """

    keepbits: int

    name = "bitround"
    description = "numbers rounded to some bits"
    decode_ns_per_byte = 0.0
    decode_ns = 500.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> BitroundCodec:
        fields = Fields(cls.name, configuration)
        keepbits = fields.integer("keepbits", low=0, high=64)
        fields.done()
        return cls(keepbits)

    def configuration(self) -> dict[str, Json]:
        return {"keepbits": self.keepbits}

    def bind(self, spec: ChunkSpec) -> BitroundCodec:
        if _number(spec) is None:
            raise ArgumentError(
                f"codec 'bitround' takes floats, complex numbers, integers and dates, not dtype {spec.dtype}",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        return self

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        fill = spec.fill_value
        if fill is not None:
            fill = self.encode(np.full((1,), fill, spec.dtype), ChunkSpec((1,), spec.dtype))[0]
        return ChunkSpec(spec.shape, spec.dtype, fill)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        of = _number(spec)
        if of is None or (not of.whole and self.keepbits >= of.precision - 1):
            return array
        # A copy that nobody else has, in native byte order: it is changed in place.
        rounded = np.array(array, spec.dtype.newbyteorder("="), order="C")
        parts = rounded.reshape(-1).view(f"u{spec.dtype.itemsize // of.components}")
        for start in range(0, parts.size, _BLOCK):
            block = parts[start : start + _BLOCK]
            (_round_whole if of.whole else _round_float)(block, self.keepbits, of)
        return rounded.astype(spec.dtype, copy=False)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array


def _number(spec: ChunkSpec) -> Number | None:
    of = number(_INT64) if spec.dtype.kind in "mM" else number(spec.dtype)
    # Of the narrow types there is no mantissa worth rounding, and their place in memory is wider than they are.
    return None if of is None or of.kind == "b" or of.bits < 8 or (not of.whole and of.bits < 16) else of


def _round_float(bits: NDArray, keepbits: int, of: Number) -> None:
    """To the nearest, ties to even; the carry may go into the exponent, as it should."""
    mantissa = of.precision - 1
    drop = mantissa - keepbits
    one = bits.dtype.type(1)
    infinity = bits.dtype.type(((1 << (of.bits - 1 - mantissa)) - 1) << mantissa)
    magnitude = bits & bits.dtype.type((1 << (of.bits - 1)) - 1)
    # As numcodecs: with no bits to keep, the bit that ties look at is the lowest of the exponent.
    half = bits.dtype.type((1 << (drop - 1)) - 1)
    rounded = (bits + ((bits >> drop & one) + half)) >> drop << drop
    np.copyto(bits, rounded, where=magnitude <= infinity)


def _round_whole(bits: NDArray, keepbits: int, of: Number) -> None:
    """To the nearest, ties to even; where that has no place, towards zero.

    The README does not say what becomes of numbers less than 0. Here their magnitude is rounded, so that -5 is as near as
    5: zarrs takes the bits as they are in memory, where the highest is always set, and makes some -2**61 of it. Reading is
    the same for all.
    """
    negative = bits.view(f"{of.kind}{bits.itemsize}") < 0
    magnitude = np.where(negative, -bits, bits).astype(np.uint64)
    upper = magnitude >> np.uint64(32)
    # float64 holds each half exactly.
    length = np.where(upper > 0, np.frexp(upper.astype(np.float64))[1] + 32, np.frexp(magnitude.astype(np.float64))[1])
    drop = np.maximum(length - keepbits, 0).astype(np.uint64)
    one = np.uint64(1)
    half = (one << np.maximum(drop, one) - one) - one
    # With no bits to keep, 64 may be dropped: shifted in two steps, for a shift by 64 is not defined.
    lowest = magnitude >> np.minimum(drop, np.uint64(63)) & one
    add = np.where(drop > 0, half + np.where(drop < 64, lowest, 0), 0).astype(np.uint64)
    total = magnitude + add
    limit = np.where(negative, np.uint64(-int(of.least)), np.uint64(of.largest))
    total = np.where((total < magnitude) | (total > limit), limit, total)
    rounded = (
        total >> drop // np.uint64(2) >> (drop + one) // np.uint64(2) << drop // np.uint64(2) << (drop + one) // np.uint64(2)
    )
    done = np.where(drop > 0, rounded, magnitude).astype(bits.dtype)
    np.copyto(bits, np.where(negative, -done, done))
