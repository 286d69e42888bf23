"""Numbers: what a dtype can hold, of NumPy's own dtypes and of those of ml_dtypes alike.

The narrow types are bytes in memory of which the upper bits mean nothing
(https://github.com/zarr-developers/zarr-extensions/tree/main/data-types, "Codec compatibility").
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray

_WIDE = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Number:
    """The numbers of one dtype. `components`: 2 for complex numbers, else 1; all that follows is about one of them.

    kind: "b" bool, "i" signed, "u" unsigned, "f" float. bits: of the value, not of its place in memory. least, largest:
    the smallest and the largest finite number. Of floats: `precision`, bits of the significand with the one that is not
    stored; `exponent`, that of the smallest normal number; `infinite`, `nan`, `zero`: whether it has those.
    """

    kind: str
    bits: int
    components: int = 1
    least: int | float = 0
    largest: int | float = 1
    precision: int = 0
    exponent: int = 0
    infinite: bool = False
    nan: bool = False
    zero: bool = True

    @property
    def whole(self) -> bool:
        """Whether it is an integer type."""
        return self.kind in "iu"

    @property
    def smallest(self) -> float:
        """The smallest number of a float type that is greater than 0."""
        return float(2.0 ** (self.exponent if not self.zero else self.exponent - self.precision + 1))

    def holds(self, other: Number) -> bool:
        """Whether every number of `other` is one of these, so that a plain cast is exact."""
        if other.components != self.components:
            return False
        if self.whole or not other.whole:
            kinds = self.whole == other.whole
        else:
            kinds = max(abs(int(other.least)), int(other.largest)).bit_length() <= self.precision
        if not kinds or other.least < self.least or other.largest > self.largest:
            return False
        if self.whole:
            return True
        fine = other.whole or (other.precision <= self.precision and other.smallest >= self.smallest)
        return (
            fine
            and (self.infinite or not other.infinite)
            and (self.nan or not other.nan)
            and (self.zero or not (other.whole or other.zero))
        )


def extension(dtype: DType) -> bool:
    """Whether it is a dtype of ml_dtypes, which is imported if so."""
    return dtype.type.__module__ == "ml_dtypes"


@cache
def number(dtype: DType) -> Number | None:
    """The Number of a dtype of any byte order; None for a dtype that is no number."""
    if extension(dtype):
        return _extension(dtype)
    if dtype.names == ("real", "imag") and dtype["real"] == dtype["imag"]:
        # The complex numbers that neither NumPy nor ml_dtypes has a type for.
        part = number(dtype["real"])
        return None if part is None or part.kind != "f" else replace(part, components=2)
    bits = 8 * dtype.itemsize
    if dtype.char in "gG":
        return None  # long double, which differs from machine to machine
    if dtype.kind == "b":
        return Number("b", 1)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return Number(dtype.kind, bits, 1, int(info.min), int(info.max))
    if dtype.kind == "c":
        return replace(_floating(np.dtype(f"f{dtype.itemsize // 2}")), components=2)
    return _floating(dtype) if dtype.kind == "f" else None


def _floating(dtype: DType) -> Number:
    info = np.finfo(dtype.newbyteorder("="))
    largest = float(info.max)
    return Number("f", 8 * dtype.itemsize, 1, -largest, largest, int(info.nmant) + 1, int(info.minexp), infinite=True, nan=True)


def _extension(dtype: DType) -> Number | None:
    # Imported already: the dtype is one of its. It has no type hints.
    ml_dtypes: Any = sys.modules["ml_dtypes"]
    name = dtype.name
    if name == "complex32":
        return replace(_floating(np.dtype(np.float16)), components=2)
    components = 1
    if name == "bcomplex32":
        dtype, name, components = np.dtype(ml_dtypes.bfloat16), "bfloat16", 2
    if name.startswith(("int", "uint")):
        whole = ml_dtypes.iinfo(dtype)
        return Number(name[0], int(name.lstrip("uint")), 1, int(whole.min), int(whole.max))
    if not name.startswith(("bfloat", "float")):
        return None
    info = ml_dtypes.finfo(dtype)
    with np.errstate(all="ignore"):
        special = np.array([np.inf, np.nan, 0.0]).astype(dtype).astype(_WIDE)
    return Number(
        "f",
        int(name.lstrip("bfloat").split("_")[0]),
        components,
        float(info.min),
        float(info.max),
        int(info.nmant) + 1,
        int(info.minexp),
        infinite=bool(np.isinf(special[0])),
        nan=bool(np.isnan(special[1])),
        zero=bool(special[2] == 0),
    )


def work_dtype(dtype: DType) -> DType:
    """The NumPy dtype in which numbers of `dtype` are compared and counted, each of them exactly."""
    found = number(dtype)
    if found is not None and found.whole:
        return np.dtype(f"{found.kind}{dtype.itemsize}")
    return _WIDE


def work(array: NDArray) -> NDArray:
    """Integers as integers of NumPy's own, floats as float64."""
    # A NaN that signals has NumPy warn.
    with np.errstate(invalid="ignore"):
        return array.astype(work_dtype(array.dtype), copy=False)
