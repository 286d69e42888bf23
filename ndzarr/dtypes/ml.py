"""The registered data types that NumPy lacks and the optional package ml_dtypes has: a row each, imported when first asked for.

Bit patterns and ranges are those of the README of each type in
https://github.com/zarr-developers/zarr-extensions/tree/main/data-types. `float8_e4m3fn`, `int1` and `uint1` are in ml_dtypes
but not registered, so no document can name them.
"""

from __future__ import annotations

import importlib
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import DType


@dataclass(frozen=True, slots=True)
class FloatForm:
    """How a floating-point type is laid out, as far as fill values need it.

    bits: how many of the element's bits count, the lowest ones. nan: the bits that "NaN" stands for, or None. limit: what a
    number must stay below to be rounded to a finite value, for types that have no infinity to round to; else infinite.
    signed: False where neither zero nor negative numbers exist.
    """

    bits: int
    nan: int | None
    limit: float = math.inf
    signed: bool = True

    @property
    def infinite(self) -> bool:
        return self.limit == math.inf


FLOATS = {
    "bfloat16": FloatForm(16, 0x7FC0),
    "float8_e3m4": FloatForm(8, 0x78),
    "float8_e4m3": FloatForm(8, 0x7C),
    "float8_e5m2": FloatForm(8, 0x7E),
    # The limit is half a step above the largest value: 30, 240, 57344, 2**127, 6, 7.5, 28.
    "float8_e4m3b11fnuz": FloatForm(8, 0x80, 31.0),
    "float8_e4m3fnuz": FloatForm(8, 0x80, 248.0),
    "float8_e5m2fnuz": FloatForm(8, 0x80, 61440.0),
    "float8_e8m0fnu": FloatForm(8, 0xFF, 1.5 * 2.0**127, signed=False),
    "float4_e2m1fn": FloatForm(4, None, 7.0),
    "float6_e2m3fn": FloatForm(6, None, 7.75),
    "float6_e3m2fn": FloatForm(6, None, 30.0),
}
#: The smallest and largest value of each.
INTEGERS = {"int2": (-2, 1), "int4": (-8, 7), "uint2": (0, 3), "uint4": (0, 15)}
#: Complex types: the type of the two parts.
COMPLEX = {"complex_float16": "float16", **{f"complex_{name}": name for name in FLOATS}}
#: What ml_dtypes calls the two that it has, since 0.6.
_OWN = {"complex_float16": "complex32", "complex_bfloat16": "bcomplex32"}
_NAMES = {**{name: name for name in (*FLOATS, *INTEGERS)}, **{own: name for name, own in _OWN.items()}}
#: The key in a dtype's metadata under which its name in documents is kept, where the dtype alone does not tell.
KEY = "zarr"


def named(spelling: Any, name: str) -> DType:
    """The dtype with its name in documents put into `dtype.metadata`, which `==` and `hash` ignore."""
    dtype: DType = np.dtype(spelling, metadata={KEY: name})
    return dtype


def remembered(dtype: DType) -> str | None:
    """The name in documents that `named` put there, or None; not checked against the dtype."""
    name = dtype.metadata.get(KEY) if dtype.metadata else None
    return name if isinstance(name, str) else None


def dtype_of(name: str) -> DType | None:
    """The dtype for a name in `FLOATS`, `INTEGERS` or `COMPLEX`; None where the package is missing or too old to have it.

    Complex numbers that ml_dtypes has no type for are structured, with the fields "real" and "imag".
    """
    own = _scalar_type(_OWN.get(name, name))
    if own is not None or name not in COMPLEX:
        return own
    part = _part(COMPLEX[name])
    return None if part is None else named([("real", part), ("imag", part)], name)


def name_of(dtype: DType) -> str | None:
    """The name of a dtype of this table, or None. Never imports ml_dtypes for it: who has such a dtype, has loaded that."""
    if dtype.isbuiltin == 2:  # registered with NumPy by an extension
        own = dtype.type.__name__
        return _NAMES.get(own) if dtype.type is getattr(sys.modules.get("ml_dtypes"), own, None) else None
    name = remembered(dtype)
    if name in COMPLEX and dtype.names == ("real", "imag"):
        part = _part(COMPLEX[name])
        if part is not None and dtype == np.dtype([("real", part), ("imag", part)]):
            return name
    return None


def part_of(name: str, dtype: DType) -> DType:
    """The dtype of the real and the imaginary part of the complex type `name`."""
    part = _part(COMPLEX[name])
    return part if part is not None else dtype["real"]


def foreign(dtype: DType) -> bool:
    """Whether an extension other than NumPy defines the dtype or that of a field."""
    if dtype.subdtype is not None:
        return foreign(dtype.subdtype[0])
    return dtype.isbuiltin == 2 or any(foreign(field[0]) for field in (dtype.fields or {}).values())


def advice(name: str) -> str:
    """What to do about a type that `dtype_of` does not have."""
    package = _package()
    if package is None:
        return f"{name} needs the package ml_dtypes: pip install 'ndzarr[ml_dtypes]'"
    return f"ml_dtypes {package.__version__} has no {COMPLEX.get(name, name)}: pip install --upgrade ml_dtypes"


def _part(name: str) -> DType | None:
    return np.dtype(np.float16) if name == "float16" else _scalar_type(name)


def _scalar_type(own: str) -> DType | None:
    found = getattr(_package(), own, None)
    return None if found is None else np.dtype(found)


def _package() -> Any:
    try:
        return importlib.import_module("ml_dtypes")
    except ImportError:
        return None
