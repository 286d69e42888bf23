"""Floating-point fill values as v3 documents write them <-> the bytes of an element, bit for bit.

https://zarr-specs.readthedocs.io/en/latest/v3/data-types/index.html, "Permitted fill values". Bytes, not Python floats, since
making a float of a NaN may lose which NaN it was.
"""

from __future__ import annotations

import math
import re
import sys

import numpy as np

from ndzarr._typing import DType, Json
from ndzarr.dtypes import ml

_IEEE = {2: ml.FloatForm(16, 0x7E00), 4: ml.FloatForm(32, 0x7FC00000), 8: ml.FloatForm(64, 0x7FF8000000000000)}
#: "+Infinity" is not in the specification, but in the README of the codec cast_value: read, never written.
_INFINITIES = {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}
_HEX = re.compile(r"0x[0-9a-fA-F]+")


def form_of(dtype: DType) -> ml.FloatForm:
    """The layout of a real floating-point dtype, NumPy's own or one of ml_dtypes."""
    name = ml.name_of(dtype)
    return _IEEE[dtype.itemsize] if name is None else ml.FLOATS[name]


def float_bytes(document: Json, dtype: DType) -> bytes:
    """The element, in native order, that a number, "NaN", "Infinity", "-Infinity" or "0x..." stands for; else ValueError.

    A number is rounded once, to nearest, ties to even, whether it is written with a fraction or not. One that is too large for
    the type becomes infinity, which is what that rule means in IEEE 754 (2019, 4.3.1) and what zarr-python 3.4 does; besides,
    `1e400` has become infinity before we see it. Where a type has no infinity, implementations differ (some saturate, some
    give NaN), so such a number is refused, as is an integer too large for any float.
    """
    form = form_of(dtype)
    if isinstance(document, str):
        if document == "NaN":
            return _nan(form, dtype)
        if document in _INFINITIES:
            return _rounded(_INFINITIES[document], form, dtype)
        if not _HEX.fullmatch(document):
            raise ValueError("expected a number, 'NaN', 'Infinity', '-Infinity' or the bits as '0x...'")
        if len(document) != 2 + 2 * dtype.itemsize:
            raise ValueError(f"expected 0x and {2 * dtype.itemsize} digits")
        bits = int(document, 16)
        if bits >> form.bits:
            raise ValueError(f"only the lowest {form.bits} bits may be set")
        return bits.to_bytes(dtype.itemsize, sys.byteorder)
    if isinstance(document, bool) or not isinstance(document, (int, float)):
        raise ValueError("expected a number, 'NaN', 'Infinity', '-Infinity' or the bits as '0x...'")
    return _rounded(document, form, dtype)


def float_json(raw: bytes, dtype: DType) -> Json:
    """What `float_bytes` reads as the same bits: a number, "Infinity", "-Infinity", "NaN" for its one NaN, hex for others."""
    form = form_of(dtype)
    if form.bits < 8:  # the bits above are to be ignored, and ml_dtypes 0.6 does not
        raw = bytes([raw[0] & ((1 << form.bits) - 1)])
    number = float(np.frombuffer(raw, dtype)[0])
    if math.isnan(number):
        bits = int.from_bytes(raw, sys.byteorder)
        return "NaN" if bits == form.nan else f"0x{bits:0{2 * dtype.itemsize}x}"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _nan(form: ml.FloatForm, dtype: DType) -> bytes:
    if form.nan is None:
        raise ValueError("this type has no NaN")
    return form.nan.to_bytes(dtype.itemsize, sys.byteorder)


def _rounded(number: float, form: ml.FloatForm, dtype: DType) -> bytes:
    if number != number:
        return _nan(form, dtype)
    if not -form.limit < number < form.limit and not form.infinite:
        raise ValueError(f"this type has no infinity, and its numbers end before {form.limit!r}")
    if not form.signed and number <= 0:
        raise ValueError("this type has positive numbers only")
    if not form.signed:
        return _power(float(number))
    if dtype.isbuiltin != 2:
        try:
            exact = float(number) if dtype.itemsize == 8 else _odd_double(number)
        except OverflowError as error:
            raise ValueError("an integer that no floating-point type can hold") from error
        with np.errstate(over="ignore", under="ignore"):
            return np.array(exact, np.float64).astype(dtype).tobytes()
    try:
        single = _odd_single(_odd_double(number))
    except OverflowError as error:
        raise ValueError("an integer that no floating-point type can hold") from error
    with np.errstate(all="ignore"):
        return np.array(single).astype(dtype).tobytes()


def _power(number: float) -> bytes:
    """The `float8_e8m0fnu`, a power of two, next to a positive number; from midway between two, the larger one.

    Not by ml_dtypes: 0.6 rounds what lies below 2**-126 the wrong way.
    """
    mantissa, exponent = math.frexp(number)  # 0.5 <= mantissa < 1
    return bytes([max(exponent - 1 + (mantissa >= 0.75) + 127, 0)])


# Rounding twice, to double and then to the type, can land one step off. Rounding the first time "to odd" (towards zero, and the
# last bit set if anything was cut off) makes the second rounding right, as long as it drops two bits or more:
# Boldo and Melquiond, "When double rounding is odd", 2005.


def _odd_double(number: float) -> float:
    """A double that rounds to every narrower type as the number does; OverflowError beyond 2**1024."""
    if not isinstance(number, int):
        return number
    size = abs(number)
    cut = max(size.bit_length() - 53, 0)
    head = size >> cut
    if head << cut != size:
        head |= 1
    return math.copysign(math.ldexp(head, cut), number)


def _odd_single(number: float) -> np.float32:
    """A single that rounds to every type of 16 bits or fewer as the double does."""
    with np.errstate(over="ignore", under="ignore"):
        single = np.float32(number)
    if float(single) == number:
        return single
    if abs(float(single)) > abs(number):
        single = np.nextafter(single, np.float32(0))
    return np.float32((single.view(np.uint32) | np.uint32(1)).view(np.float32))
