"""A caller's fill value as a scalar of the array's dtype, for every format."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ndzarr._typing import DType
from ndzarr.dtypes import ml
from ndzarr.dtypes.bounds import short
from ndzarr.dtypes.floats import float_bytes
from ndzarr.dtypes.v2 import fill_from_v2, fill_to_v2
from ndzarr.errors import ArgumentError, MetadataError


def fill_scalar(value: Any, dtype: DType, object_codec: str | None = None) -> Any:
    """A caller's fill value as a scalar of `dtype` (None stays None); ArgumentError when it does not fit.

    Strings "NaN", "Infinity", "-Infinity" and bits as "0x7fc00001" are taken for floats, as documents spell them, a pair for
    the parts of a complex number, a tuple or a dict for the fields of a struct. A dict must have every field.

    >>> fill_scalar({"x": 1, "y": "NaN"}, np.dtype([("x", "i4"), ("y", "f4")])).item()
    (1, nan)
    """
    if value is None:
        return None
    if dtype.kind == "O":
        # As it will be read again: 0 for "", say.
        try:
            return fill_from_v2(fill_to_v2(value, dtype, object_codec), dtype, object_codec)
        except MetadataError as error:
            raise ArgumentError(str(error), field="fill_value", found=value) from error
    try:
        return _scalar(value, dtype)
    except (ValueError, TypeError, ArithmeticError, KeyError) as error:
        raise ArgumentError(
            f"fill_value {short(value)} does not fit dtype {dtype}: {error}", field="fill_value", found=value
        ) from error


def _scalar(value: Any, dtype: DType) -> Any:
    if dtype.kind == "T":
        return _text(value)
    name = ml.name_of(dtype)
    if name in ml.COMPLEX:
        return _pair(value, dtype, ml.part_of(name, dtype))
    if name in ml.FLOATS:
        return _ml_float(value, dtype)
    if name in ml.INTEGERS:
        return _ml_integer(value, dtype, *ml.INTEGERS[name])
    if dtype.names is not None and not dtype.hasobject and isinstance(value, (dict, tuple)):
        return _record(value, dtype)
    if dtype.kind == "c" and isinstance(value, (list, tuple, str)):
        return _pair((value, 0.0) if isinstance(value, str) else value, dtype, dtype.type(0).real.dtype)
    if dtype.kind == "f":
        return _float(value, dtype)
    if dtype.kind in "mM" and (value == "NaT" if isinstance(value, str) else _whole(value)):
        # From the bits: NumPy 2.5 warns of making one without a unit.
        return np.array([-(1 << 63) if isinstance(value, str) else int(value)], np.int64).view(dtype.newbyteorder("="))[0]
    return _numpy(value, dtype)


def _numpy(value: Any, dtype: DType) -> Any:
    """What NumPy makes of it, where that is the same value."""
    if isinstance(value, np.generic) and dtype.kind in "iu" and value.dtype.kind in "biuf":
        value = value.item()  # Python's numbers are range-checked, NumPy's are wrapped
    if dtype.kind in "iu" and not isinstance(value, str):
        exact = np.asarray(value)
        if exact.dtype.kind == "f" and not np.equal(exact, np.trunc(exact)):
            raise ValueError("not an integer")
    if dtype.kind in "SUV" and dtype.names is None and isinstance(value, (bytes, str)):
        room = dtype.itemsize // 4 if dtype.kind == "U" else dtype.itemsize
        if len(value) > room:  # NumPy would cut it
            raise ValueError(f"expected at most {room} {'characters' if dtype.kind == 'U' else 'bytes'}, found {len(value)}")
    with np.errstate(over="raise"):
        array = np.asarray(value, dtype) if not isinstance(value, np.generic) else np.asarray(value).astype(dtype)
    if array.ndim:
        raise ValueError(f"expected a scalar, found shape {array.shape}")
    return array[()]


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))  # NumPy's is an integer too


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    value.encode("utf-8")  # half a surrogate pair cannot be stored
    return str(value)


def _float(value: Any, dtype: DType) -> Any:
    if isinstance(value, str):
        if dtype.itemsize > 8:  # longdouble: no document can hold its bits
            return dtype.type({"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[value])
        raw = float_bytes(value, dtype.newbyteorder("="))
        return np.frombuffer(raw, dtype.newbyteorder("="))[0]
    return _numpy(value, dtype)


def _ml_float(value: Any, dtype: DType) -> Any:
    if isinstance(value, np.generic) and value.dtype == dtype:
        return value
    if isinstance(value, str):
        return np.frombuffer(float_bytes(value, dtype), dtype)[0]
    number = int(value) if isinstance(value, (int, np.integer, np.bool_)) else float(value)
    scalar = np.frombuffer(float_bytes(number, dtype), dtype)[0]
    if math.isinf(float(scalar)) and not math.isinf(number):
        raise OverflowError("too large")
    return scalar


def _ml_integer(value: Any, dtype: DType, least: int, most: int) -> Any:
    if isinstance(value, str):
        raise TypeError("expected an integer")
    number = int(value)
    if number != value or not least <= number <= most:
        raise ValueError(f"expected an integer between {least} and {most}")
    return np.array(number, dtype)[()]


def _pair(value: Any, dtype: DType, part: DType) -> Any:
    """A complex scalar from a number or from its two parts, each to the bit."""
    if isinstance(value, np.generic) and value.dtype == dtype:
        return value
    if isinstance(value, (list, tuple)):
        real, imaginary = value
    else:
        number = complex(value)
        real, imaginary = number.real, number.imag
    one = _ml_float if ml.name_of(part) is not None else _float
    raw = b"".join(np.array(one(half, part), part).tobytes() for half in (real, imaginary))
    return np.frombuffer(raw, dtype if dtype.isbuiltin == 2 else dtype.newbyteorder("=")).copy()[0]


def _record(value: dict[str, Any] | tuple[Any, ...], dtype: DType) -> Any:
    """A struct from its fields, each as it would be taken alone; a field that is itself an array as NumPy takes it."""
    names = dtype.names or ()
    if isinstance(value, dict):
        if unknown := value.keys() - set(names):
            raise ValueError(f"there is no field {short(sorted(unknown, key=repr)[0])}")
        if missing := [name for name in names if name not in value]:
            raise ValueError(f"field {missing[0]!r} is missing")
        value = tuple(value[name] for name in names)
    if len(value) != len(names):
        raise ValueError(f"expected {len(names)} fields, found {len(value)}")
    record = np.zeros(1, dtype)
    for name, item in zip(names, value, strict=True):
        try:
            record[name] = np.asarray(item, dtype[name].base) if dtype[name].subdtype else _scalar(item, dtype[name])
        except (ValueError, TypeError, ArithmeticError, KeyError) as error:
            raise ValueError(f"field {name!r}: {error}") from error
    return record[0]
