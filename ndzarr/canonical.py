"""Elements as bytes that do not depend on how they are stored: what digests are made of. docs/knowing.md has the definition."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, DType, Json, NDArray
from ndzarr.dtypes import ml
from ndzarr.errors import ArgumentError

#: The name of every dtype whose elements vary in length: format 2 has objects, format 3 strings and bytes.
VARIABLE = "variable"
#: Bytes of a long double that count; it takes 16 (12 on x86's 32 bits).
_LONG = 10 if np.finfo(np.longdouble).nmant == 63 else np.dtype(np.longdouble).itemsize


def dtype_name(dtype: DType) -> Json:
    """The name of a dtype without byte order, padding or titles: a string, or for a structured one a list of its fields.

    A field is [name, dtype], and [name, dtype, shape] where each element has an array of them. Raises ArgumentError for fields
    that hold Python objects.

    >>> dtype_name(np.dtype(">f4")), dtype_name(np.dtype([("a", "u1"), ("b", ">i2", (2,))]))
    ('float32', [['a', 'uint8'], ['b', 'int16', [2]]])
    """
    name = ml.name_of(dtype)
    if name is not None:
        return name
    if dtype.kind in "OT":
        return VARIABLE
    if dtype.names is not None:
        return [_field(name, dtype[name]) for name in dtype.names]
    if dtype.kind in "USV":
        return f"{dtype.kind}{dtype.itemsize // 4 if dtype.kind == 'U' else dtype.itemsize}"
    if dtype.kind in "mM":
        unit, count = np.datetime_data(dtype)
        kind = "datetime64" if dtype.kind == "M" else "timedelta64"
        return kind if unit == "generic" else f"{kind}[{count if count != 1 else ''}{unit}]"
    return dtype.name


def _field(name: str, dtype: DType) -> Json:
    found = dtype_name(dtype.base)
    if found == VARIABLE:
        raise ArgumentError(f"the field {name!r} holds Python objects, which have no bytes of their own", field=name)
    return [name, found, list(dtype.shape)] if dtype.shape else [name, found]


def element_bytes(array: NDArray) -> Buffer:
    """The elements of an array in C order as their canonical bytes, one after the other.

    Numbers are little-endian, bit for bit: NaNs keep their payload, -0.0 is not 0.0. Raises ArgumentError for Python objects
    of classes that no codec of Zarr's makes.
    """
    dtype = array.dtype
    if dtype.kind in "OT":
        parts: list[bytes] = []
        for item in array.ravel().tolist() if dtype.kind == "T" else array.flat:
            _put(item, parts)
        return b"".join(parts)
    return np.ascontiguousarray(_little(array)).reshape(-1).view(np.uint8).data if array.size and dtype.itemsize else b""


def _little(array: NDArray) -> NDArray:
    """The same elements, little-endian and without padding."""
    dtype = array.dtype
    name = ml.name_of(dtype)
    if name is not None:
        return _extended(array, name)
    if dtype.names is not None:
        fields = {name: _little(array[name]) for name in dtype.names}
        packed = np.empty(array.shape, [(name, part.dtype, part.shape[array.ndim :]) for name, part in fields.items()])
        for name, part in fields.items():
            packed[name] = part
        return packed
    if dtype.kind == "b":
        return np.asarray(array.view(np.uint8) != 0).view(np.uint8)  # NumPy takes any other byte for True, too
    if dtype.char in "gG" and np.dtype(np.longdouble).itemsize > _LONG:
        # x86's 80 bits lie in 12 or 16 bytes, and whatever was in memory lies in the rest.
        parts = array.astype(dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        parts.reshape(-1, np.dtype(np.longdouble).itemsize)[:, _LONG:] = 0
        return parts.view(dtype.newbyteorder("<")).reshape(array.shape)
    return array.astype(dtype.newbyteorder("<"), copy=False)


def _extended(array: NDArray, name: str) -> NDArray:
    """The bits of a dtype of ml_dtypes; those that do not count are 0, integers have their sign in all of theirs."""
    if name in ml.INTEGERS:
        return array.astype(np.int8 if ml.INTEGERS[name][0] else np.uint8)
    if name in ml.COMPLEX:
        size = array.dtype.itemsize // 2
        parts = np.ascontiguousarray(array).reshape(-1).view(f"u{size}")
        return parts.astype(f"<u{size}").reshape(*array.shape, 2)
    form = ml.FLOATS[name]
    bits = array.view(f"u{array.dtype.itemsize}")
    if form.bits < 8 * array.dtype.itemsize:
        bits = bits & bits.dtype.type((1 << form.bits) - 1)
    return np.asarray(bits).astype(f"<u{array.dtype.itemsize}", copy=False)


def _sized(tag: bytes, payload: bytes) -> bytes:
    return tag + struct.pack("<Q", len(payload)) + payload


def _put(item: Any, parts: list[bytes]) -> None:
    """Add one object: a letter for its class, the length where that may differ, and what it holds."""
    kind = type(item)
    if issubclass(kind, str) and kind is not np.str_:
        parts.append(_sized(b"s", item.encode("utf-8", "surrogatepass")))
    elif kind is bytes or kind is bytearray:
        parts.append(_sized(b"b", bytes(item)))
    elif item is None:
        parts.append(b"n")
    elif kind is bool:
        parts.append(b"t" if item else b"f")
    elif kind is int:
        parts.append(_sized(b"i", str(item).encode()))
    elif kind is float:
        parts.append(b"d" + struct.pack("<d", item))
    elif kind is list or kind is tuple:
        parts.append(b"l" + struct.pack("<Q", len(item)))
        for inner in item:
            _put(inner, parts)
    elif kind is dict and all(type(key) is str for key in item):
        parts.append(b"m" + struct.pack("<Q", len(item)))
        for key in sorted(item, key=str.encode):
            _put(key, parts)
            _put(item[key], parts)
    elif isinstance(item, (np.ndarray, np.generic)):
        array = np.asarray(item)
        head = json.dumps([dtype_name(array.dtype), list(array.shape)], separators=(",", ":"))
        parts.append(_sized(b"a", head.encode()) + _sized(b"", bytes(element_bytes(array))))
    else:
        raise ArgumentError(
            f"a {kind.__name__} among the elements has no bytes of its own; strings, bytes, numbers, None, lists, arrays, and "
            "mappings of strings have",
            found=item,
        )
