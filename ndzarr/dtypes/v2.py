"""NumPy dtypes and fill values <-> their names in v2 documents.

Zarr v2 (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html, "Data type encoding" and "Fill value encoding") takes
NumPy's own type strings; what its text leaves open is settled as zarr-python writes it.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

import numpy as np

from ndzarr._typing import DType, Json
from ndzarr.dtypes import ml
from ndzarr.dtypes.bounds import MAX_DEPTH, MAX_ITEMSIZE, short
from ndzarr.errors import ArgumentError, MetadataError

_SIMPLE = re.compile(
    r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SUV]\d{1,10}|O8?|[mM]8(?:\[(?:[1-9]\d*)?[a-zA-Zμ]+(?:/[1-9]\d*)?\])?)"
)


def dtype_from_v2(document: Json) -> DType:
    """The dtype that the `dtype` field of a v2 document names; MetadataError when it names none.

    >>> dtype_from_v2([["x", "<i4"], ["", "|V4"], ["y", ">f8", [2]]]).itemsize
    24
    """
    if isinstance(document, str):
        return _simple(document)
    if isinstance(document, list) and document:
        return _structured(document, depth=0)
    raise _bad_dtype(document, "expected a type string such as '<f4' or a list of fields")


def _simple(name: str) -> DType:
    if not _SIMPLE.fullmatch(name):
        raise _bad_dtype(name, "expected a type string such as '<f4', '|S10' or '<M8[ns]'")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError) as error:
        raise _bad_dtype(name, str(error)) from error
    if dtype.itemsize == 0 or dtype.itemsize > MAX_ITEMSIZE:
        raise _bad_dtype(name, "an element must have between 1 byte and 64 MiB")
    return dtype


def _structured(fields: list[Json], depth: int) -> DType:
    """Fields in file order; an entry without a name is padding (`numpy.dtype.descr` writes aligned types so)."""
    if depth > MAX_DEPTH:
        raise _bad_dtype(fields, f"fields are nested more than {MAX_DEPTH} deep")
    names, formats, offsets, offset = [], [], [], 0
    for entry in fields:
        if not isinstance(entry, list) or len(entry) not in (2, 3):
            raise _bad_dtype(entry, "expected a field as [name, type] or [name, type, shape]")
        name, kind = entry[0], entry[1]
        if isinstance(name, list) and len(name) == 2:  # NumPy's (title, name)
            name = name[1]
        if not isinstance(name, str):
            raise _bad_dtype(entry, "a field's name must be a string")
        base = _structured(kind, depth + 1) if isinstance(kind, list) and kind else _simple_field(kind)
        if len(entry) == 3:
            lengths = entry[2] if isinstance(entry[2], list) else [entry[2]]
            if not all(type(n) is int and n > 0 for n in lengths):
                raise _bad_dtype(entry, "a field's shape must be a list of positive integers")
            if math.prod(lengths) * base.itemsize > MAX_ITEMSIZE:
                raise _bad_dtype(entry, "an element must have between 1 byte and 64 MiB")
            if len(lengths) > 32:
                raise _bad_dtype(entry, "a field's shape must have at most 32 axes")
            base = np.dtype((base, tuple(lengths)))
        if name:
            names.append(name)
            formats.append(base)
            offsets.append(offset)
        offset += base.itemsize
    if not names or len(set(names)) != len(names) or offset > MAX_ITEMSIZE:
        raise _bad_dtype(fields, "expected at least one field, distinct names and at most 64 MiB an element")
    packed = np.dtype(list(zip(names, formats, strict=True)))
    if packed.itemsize == offset and not any(field[0] == "" for field in fields):
        return packed  # without padding: equal to the spelling that users write
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": offset})


def _simple_field(kind: Json) -> DType:
    if not isinstance(kind, str):
        raise _bad_dtype(kind, "expected a type string")
    return _simple(kind)


def _bad_dtype(found: Json, why: str) -> MetadataError:
    return MetadataError(f"cannot understand dtype {short(found)}: {why}", field="dtype", found=found, expected=why)


def dtype_to_v2(dtype: DType) -> Json:
    """The `dtype` field for a dtype; ArgumentError for one that v2 cannot name."""
    if ml.foreign(dtype):  # NumPy would write bfloat16 as "<V2"
        raise ArgumentError(f"format 2 has no name for dtype {dtype}: pass zarr_format=3", field="dtype", found=dtype)
    if dtype.fields is not None:
        try:
            descr = dtype.descr
        except ValueError as error:
            raise ArgumentError(f"format 2 cannot store dtype {dtype}: {error}", found=dtype) from error
        return _lists(descr)
    if not _SIMPLE.fullmatch(dtype.str) or dtype.itemsize == 0:
        raise ArgumentError(
            f"format 2 cannot store dtype {dtype}: pass a fixed width (such as 'U10' or 'S4'), a numeric type, or object "
            "with an object codec as the first filter",
            found=dtype,
        )
    return dtype.str


def _lists(descr: Any) -> Json:
    """`dtype.descr`, its tuples as lists; a subarray's shape as a list too."""
    if isinstance(descr, (list, tuple)):
        return [_lists(item) for item in descr]
    return descr


# ---- fill values --------------------------------------------------------------------------------


def fill_from_v2(document: Json, dtype: DType, object_codec: str | None = None) -> Any:
    """The scalar that a v2 `fill_value` stands for, or None for null; MetadataError when it fits the dtype in no way.

    `object_codec`: the id of the codec that stores objects, since zarr-python 2 wrote 0 for an empty string (measured: 2.18).
    """
    if document is None:
        return None
    try:
        return _fill(document, dtype, object_codec)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        if isinstance(error, MetadataError):
            raise
        raise _bad_fill(document, dtype, str(error)) from error


def _bad_fill(document: Json, dtype: DType, why: str) -> MetadataError:
    return MetadataError(
        f"fill_value {short(document)} does not fit dtype {dtype}: {why}",
        field="fill_value",
        found=document,
        expected=why,
    )


def _fill(document: Json, dtype: DType, object_codec: str | None) -> Any:
    kind = dtype.kind
    number = isinstance(document, (int, float)) and not isinstance(document, bool)
    if kind == "O":
        if object_codec in ("vlen-utf8", "vlen-bytes") and number and document == 0:
            document = ""
        if object_codec == "vlen-bytes" and isinstance(document, str):
            return base64.b64decode(document, validate=True)
        if object_codec in ("vlen-utf8", "vlen-bytes") and not isinstance(document, str):
            raise _bad_fill(document, dtype, f"{object_codec} takes a string")
        return document
    if number and document == 0 and kind in "SUV":
        return np.zeros((), dtype)[()]  # what zarr-python 2 writes by default, for any type
    if kind == "b":
        if document is True or document is False or (number and document in (0, 1)):
            return np.bool_(document)
        raise _bad_fill(document, dtype, "expected true or false")
    if kind in "iu":
        if number and document == int(document):
            return np.array(int(document), dtype)[()]
        raise _bad_fill(document, dtype, "expected an integer")
    if kind == "f":
        return np.array(_float(document, dtype), dtype)[()]
    if kind == "c":
        if isinstance(document, list) and len(document) == 2:
            scalar = np.zeros((), dtype)
            scalar.real, scalar.imag = _float(document[0], dtype), _float(document[1], dtype)
            return scalar[()]
        return np.array(_float(document, dtype), dtype)[()]
    if kind in "mM":
        if document == "NaT" or (number and document == int(document)):
            count = np.iinfo(np.int64).min if document == "NaT" else int(document)
            return np.array(count, f"{dtype.str[0]}i8").view(dtype)[()]
        raise _bad_fill(document, dtype, "expected an integer or 'NaT'")
    if not isinstance(document, str):
        raise _bad_fill(document, dtype, "expected a string")
    if kind == "U":
        if len(document) * 4 > dtype.itemsize:
            raise _bad_fill(document, dtype, "the string is longer than the dtype")
        return np.array(document, dtype)[()]
    raw = base64.b64decode(document, validate=True)
    if kind == "S" and len(raw) <= dtype.itemsize:
        return np.array(raw, dtype)[()]
    if len(raw) != dtype.itemsize or dtype.hasobject:
        raise _bad_fill(document, dtype, f"expected base64 of {dtype.itemsize} bytes, found {len(raw)}")
    return np.frombuffer(raw, dtype)[0].copy()


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _float(document: Json, dtype: DType) -> float:
    if isinstance(document, str) and document in _SPECIAL:
        return _SPECIAL[document]
    if isinstance(document, (int, float)) and not isinstance(document, bool):
        return float(document)
    raise _bad_fill(document, dtype, "expected a number, 'NaN', 'Infinity' or '-Infinity'")


def fill_to_v2(fill: Any, dtype: DType, object_codec: str | None = None) -> Json:
    """The v2 `fill_value` for a scalar of `dtype`, null for None; ArgumentError where JSON cannot hold it exactly."""
    if fill is None:
        return None
    kind = dtype.kind
    if kind == "O":
        if isinstance(fill, bytes) and object_codec == "vlen-bytes":
            return base64.standard_b64encode(fill).decode("ascii")
        if isinstance(fill, (str, int, float, bool, list, dict)):
            return fill
        raise ArgumentError(f"fill_value {fill!r} cannot be written as JSON; pass None", field="fill_value", found=fill)
    if kind == "b":
        return bool(fill)
    if kind in "iu":
        return int(fill)
    if kind == "f":
        return _float_to_json(fill)
    if kind == "c":
        return [_float_to_json(fill.real), _float_to_json(fill.imag)]
    if kind in "mM":
        return int(np.array(fill, dtype).astype(dtype.newbyteorder("=")).view("i8"))
    if kind == "U":
        return str(fill)
    return base64.standard_b64encode(np.array(fill, dtype).tobytes()).decode("ascii")


def _float_to_json(value: Any) -> Json:
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number != value:  # longdouble holds more than a JSON number does in practice
        raise ArgumentError(f"fill_value {value!r} has more digits than the document can hold", field="fill_value", found=value)
    return number
