"""NumPy dtypes and fill values <-> the fields `data_type` and `fill_value` of v3 documents.

https://zarr-specs.readthedocs.io/en/latest/v3/data-types/index.html has the core types and their fill values,
https://github.com/zarr-developers/zarr-extensions/tree/main/data-types the registered others. Besides those are read, as
zarr-python writes them: `null_terminated_bytes`, `raw_bytes`, `variable_length_bytes` and the legacy `structured`.

A v3 type has no byte order (the codec `bytes` says it), so dtypes are of the machine's own. Where several names mean one dtype,
the name is kept in the dtype's metadata, so that a document that is written again still says it: `complex_float32`,
`complex_float64`, `raw_bytes`, `variable_length_bytes`, `binary`, and the complex types that ml_dtypes has no scalar for, which
are structured.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ndzarr._typing import DType, Json
from ndzarr.dtypes import ml
from ndzarr.dtypes.bounds import MAX_DEPTH, MAX_ITEMSIZE, short
from ndzarr.dtypes.floats import float_bytes, float_json
from ndzarr.errors import ArgumentError, MetadataError

_Form: TypeAlias = Literal[
    "bool",
    "int",
    "float",
    "complex",
    "raw",
    "raw_bytes",
    "null_terminated",
    "utf32",
    "time",
    "struct",
    "structured",
    "text",
    "octets",
]


@dataclass(frozen=True, slots=True)
class _Type:
    """A data type as parsed. form: how its fill values are written. parts: the fields, or the type of both complex parts."""

    form: _Form
    dtype: DType
    parts: tuple[tuple[str, _Type], ...] = ()
    least: int = 0
    most: int = 0


def _core() -> dict[str, _Type]:
    table = {"bool": _Type("bool", np.dtype(bool)), "string": _Type("text", np.dtypes.StringDType())}
    for bits in (8, 16, 32, 64):
        table[f"int{bits}"] = _Type("int", np.dtype(f"i{bits // 8}"), (), -(1 << bits - 1), (1 << bits - 1) - 1)
        table[f"uint{bits}"] = _Type("int", np.dtype(f"u{bits // 8}"), (), 0, (1 << bits) - 1)
    for bits in (16, 32, 64):
        table[f"float{bits}"] = _Type("float", np.dtype(f"f{bits // 8}"))
    for bits in (32, 64):
        part = ("", table[f"float{bits}"])
        table[f"complex{2 * bits}"] = _Type("complex", np.dtype(f"c{bits // 4}"), (part, part))
        table[f"complex_float{bits}"] = _Type("complex", ml.named(f"c{bits // 4}", f"complex_float{bits}"), (part, part))
    table["bytes"] = _Type("octets", np.dtype(object))
    for name in ("variable_length_bytes", "binary"):
        table[name] = _Type("octets", ml.named(object, name))
    return table


_CORE = _core()
_RAW = re.compile(r"r([1-9][0-9]{0,9})")
_UNITS = {"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic"}
_TIMES = {"numpy.datetime64": "M8", "numpy.timedelta64": "m8"}
_LENGTHS: dict[str, tuple[str, int, _Form]] = {
    "fixed_length_utf32": ("U", 4, "utf32"),
    "null_terminated_bytes": ("S", 1, "null_terminated"),
    "raw_bytes": ("V", 1, "raw_bytes"),
}
_STRUCTS: dict[str, _Form] = {"struct": "struct", "structured": "structured"}
_NAMES = [*_CORE, *ml.FLOATS, *ml.INTEGERS, *ml.COMPLEX, *_TIMES, *_LENGTHS, *_STRUCTS, "r8", "r16"]


# ---- data types ---------------------------------------------------------------------------------


def dtype_from_v3(document: Json) -> DType:
    """The native dtype that the field `data_type` of a v3 document names; MetadataError when it names none.

    Short-hand strings and objects with `name` and `configuration` are read for every type. Types that NumPy lacks are those of
    ml_dtypes, which is imported then.

    >>> dtype_from_v3({"name": "numpy.datetime64", "configuration": {"unit": "us", "scale_factor": 10}})
    dtype('<M8[10us]')
    """
    return _parse(document, 0).dtype


def _parse(document: Json, depth: int) -> _Type:
    name, configuration = _extension(document)
    if name in _CORE:
        return _plain(_CORE[name], document, configuration)
    if name in _LENGTHS:
        kind, unit, form = _LENGTHS[name]
        length = _members(document, configuration, "length_bytes")["length_bytes"]
        if type(length) is not int or length < 1 or length % unit or length > MAX_ITEMSIZE:
            raise _bad_type(document, f"length_bytes must be a multiple of {unit} between {unit} and {MAX_ITEMSIZE}")
        spelling = f"{kind}{length // unit}"
        return _Type(form, ml.named(spelling, name) if name == "raw_bytes" else np.dtype(spelling))
    if name in _TIMES:
        found = _members(document, configuration, "unit", "scale_factor")
        unit_name, scale = found["unit"], found["scale_factor"]
        if not isinstance(unit_name, str) or unit_name not in _UNITS:
            raise _bad_type(document, "unit must be one of Y, M, W, D, h, m, s, ms, us, ns, ps, fs, as or generic")
        if type(scale) is not int or not 1 <= scale < 1 << 31:
            raise _bad_type(document, "scale_factor must be an integer between 1 and 2**31 - 1")
        return _Type("time", np.dtype(f"{_TIMES[name]}[{scale}{unit_name}]"))
    if name in _STRUCTS:
        return _struct(document, _members(document, configuration, "fields")["fields"], _STRUCTS[name], depth)
    if raw := _RAW.fullmatch(name):
        bits = int(raw[1])
        if bits % 8 or bits > 8 * MAX_ITEMSIZE:
            raise _bad_type(document, f"the number of bits must be a multiple of 8 and at most {8 * MAX_ITEMSIZE}")
        return _plain(_Type("raw", np.dtype(f"V{bits // 8}")), document, configuration)
    if name in ml.FLOATS or name in ml.INTEGERS or name in ml.COMPLEX:
        return _plain(_ml(document, name), document, configuration)
    import difflib

    near = difflib.get_close_matches(name, _NAMES, n=3) if len(name) <= 64 else []
    raise _bad_type(
        document, f"there is no data type {short(name)}" + (f"; is it {' or '.join(map(repr, near))}?" if near else "")
    )


def _extension(document: Json) -> tuple[str, Mapping[str, Json]]:
    """Name and configuration of an extension (core specification, "Extension definition")."""
    if isinstance(document, str):
        return document, {}
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise _bad_type(document, "expected a name, or an object with a name")
    if unknown := document.keys() - {"name", "configuration", "must_understand"}:
        raise _bad_type(document, f"unknown member {short(min(unknown))}")
    if document.get("must_understand", True) is not True:
        raise _bad_type(document, "a data type must be understood: must_understand may only be true")
    configuration = document.get("configuration", {})
    if not isinstance(configuration, dict):
        raise _bad_type(document, "configuration must be an object")
    return document["name"], configuration


def _members(document: Json, configuration: Mapping[str, Json], *names: str) -> Mapping[str, Json]:
    for name in names:
        if name not in configuration:
            raise _bad_type(document, f"the configuration needs {name!r}")
    if unknown := configuration.keys() - set(names):
        raise _bad_type(document, f"the configuration has no member {short(min(unknown))}")
    return configuration


def _plain(kind: _Type, document: Json, configuration: Mapping[str, Json]) -> _Type:
    _members(document, configuration)
    return kind


def _ml(document: Json, name: str) -> _Type:
    dtype = ml.dtype_of(name)
    if dtype is None:
        raise _bad_type(document, ml.advice(name))
    if name in ml.INTEGERS:
        return _Type("int", dtype, (), *ml.INTEGERS[name])
    if name in ml.FLOATS:
        return _Type("float", dtype)
    part = ("", _Type("float", ml.part_of(name, dtype)))
    return _Type("complex", dtype, (part, part))


def _struct(document: Json, fields: Json, form: _Form, depth: int) -> _Type:
    """Packed fields in the order of the document; `structured` may have them as pairs."""
    if depth >= MAX_DEPTH:
        raise _bad_type(document, f"fields are nested more than {MAX_DEPTH} deep")
    if not isinstance(fields, list) or not fields:
        raise _bad_type(document, "fields must be a list of at least one field")
    parts: dict[str, _Type] = {}
    nbytes = 0
    for field in fields:
        if isinstance(field, dict) and field.keys() == {"name", "data_type"}:
            name, kind = field["name"], field["data_type"]
        elif form == "structured" and isinstance(field, list) and len(field) == 2:
            name, kind = field
        else:
            raise _bad_type(field, "expected a field as an object with name and data_type")
        if not isinstance(name, str) or not name:
            raise _bad_type(field, "a field's name must be a string that is not empty")
        if name in parts:
            raise _bad_type(document, f"there are two fields {short(name)}")
        parts[name] = part = _parse(kind, depth + 1)
        if part.form in ("text", "octets"):
            raise _bad_type(field, "a field must have a fixed size")
        nbytes += part.dtype.itemsize
        if nbytes > MAX_ITEMSIZE:
            raise _bad_type(document, "an element must have at most 64 MiB")
    dtype = np.dtype({"names": list(parts), "formats": [part.dtype for part in parts.values()]})
    return _Type(form, dtype, tuple(parts.items()))


def _bad_type(found: Json, why: str) -> MetadataError:
    return MetadataError(f"cannot understand data_type {short(found)}: {why}", field="data_type", found=found, expected=why)


def dtype_to_v3(dtype: DType, object_codec: str | None = None) -> Json:
    """The field `data_type` for a dtype, whatever its byte order; ArgumentError for one that v3 cannot name.

    `object_codec` says what objects are: "vlen-bytes" or "vlen-utf8". Core types are written as strings, as readers of 3.0 want
    them, `S` as zarr-python's `null_terminated_bytes`.

    >>> dtype_to_v3(np.dtype([("a", ">i4"), ("b", "S3")]))["configuration"]["fields"][0]
    {'name': 'a', 'data_type': 'int32'}
    """
    remembered = ml.remembered(dtype)
    if dtype.kind == "O":
        if object_codec == "vlen-utf8":
            return "string"
        if object_codec == "vlen-bytes":
            return remembered if remembered in ("variable_length_bytes", "binary") else "bytes"
        raise _no_name(dtype, "objects need the codec 'vlen-utf8' (str) or 'vlen-bytes' (bytes), or pass zarr_format=2")
    if dtype.kind == "T":
        if hasattr(dtype, "na_object"):
            raise _no_name(dtype, "a missing value cannot be stored; pass numpy.dtypes.StringDType() without na_object")
        return "string"
    if (name := ml.name_of(dtype)) is not None:
        return name
    if dtype.subdtype is not None or dtype.isbuiltin == 2:
        raise _no_name(dtype, "it is not a registered data type; pass a numeric dtype")
    if dtype.names is not None:
        return _fields_to_v3(dtype)
    if not 0 < dtype.itemsize <= MAX_ITEMSIZE:
        raise _no_name(dtype, "an element must have between 1 byte and 64 MiB; pass a width such as 'U10' or 'S4'")
    if dtype.kind in "biufc" and dtype.name in _CORE:
        return remembered if remembered in _CORE and _CORE[remembered].dtype == dtype.newbyteorder("=") else dtype.name
    if dtype.kind in "mM":
        unit, scale = np.datetime_data(dtype)
        kind = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
        return {"name": kind, "configuration": {"unit": unit, "scale_factor": scale}}
    if dtype.kind == "V" and remembered != "raw_bytes":
        return f"r{8 * dtype.itemsize}"
    for name, (kind, _, _) in _LENGTHS.items():
        if dtype.kind == kind:
            return {"name": name, "configuration": {"length_bytes": dtype.itemsize}}
    raise _no_name(dtype, "pass float64 or complex128, or zarr_format=2")


def _fields_to_v3(dtype: DType) -> Json:
    fields, offset = [], 0
    for name in dtype.names or ():
        field: tuple[Any, ...] = dtype.fields[name] if dtype.fields else ()
        kind, start, *title = field
        if title:
            raise _no_name(dtype, f"field {name!r} has a title; rename it, or pass zarr_format=2")
        if kind.subdtype is not None:
            raise _no_name(dtype, f"field {name!r} is an array; use one field for each element, or pass zarr_format=2")
        if kind.hasobject:
            raise _no_name(dtype, f"field {name!r} has no fixed size; pass a width such as 'U10' or 'S4'")
        if start != offset:
            break
        fields.append({"name": name, "data_type": dtype_to_v3(kind)})
        offset += kind.itemsize
    if not fields or offset != dtype.itemsize or len(fields) != len(dtype.names or ()):
        raise _no_name(
            dtype,
            "fields must follow each other without padding; pass numpy.lib.recfunctions.repack_fields(dtype), or zarr_format=2",
        )
    if dtype.itemsize > MAX_ITEMSIZE:
        raise _no_name(dtype, "an element must have at most 64 MiB")
    return {"name": "struct", "configuration": {"fields": fields}}


def _no_name(dtype: DType, what_to_do: str) -> ArgumentError:
    return ArgumentError(f"format 3 cannot store dtype {dtype}: {what_to_do}", field="dtype", found=dtype)


# ---- fill values --------------------------------------------------------------------------------


def default_fill(dtype: DType, object_codec: str | None = None) -> Any:
    """The fill value of a new array whose maker gave none: zero, "", b"", NaT for datetimes, field by field for structs.

    Zero is an element of nothing but zero bytes, which is 2**-127 for `float8_e8m0fnu`, a type that has no zero.
    `object_codec` "vlen-utf8" makes it "" for objects, which otherwise are bytes.
    """
    if dtype.kind == "T":
        return ""
    if dtype.kind == "O":
        return "" if object_codec == "vlen-utf8" else b""
    if dtype.kind in "mM":  # from the bits: NumPy 2.5 warns of making one without a unit
        return np.array([-(1 << 63)], np.int64).view(dtype.newbyteorder("="))[0]
    blank = np.zeros(1, dtype)
    for name in dtype.names or ():
        field = dtype[name]
        blank[name] = default_fill(field if field.subdtype is None else field.subdtype[0], object_codec)
    return blank[0]


def fill_from_v3(document: Json, dtype: DType, *, data_type: Json, endian: str | None = None) -> Any:
    """The scalar of `dtype`, to the bit, that the field `fill_value` stands for; MetadataError when it does not fit.

    `dtype` is what `dtype_from_v3(data_type)` gave. `endian` is that of the codec `bytes`, "little" where it says none; only
    legacy `structured` documents need it, which hold the element as the codec writes it. Strings come as str, bytes as bytes.

    >>> fill_from_v3("0x7e01", np.dtype("f2"), data_type="float16").tobytes().hex()
    '017e'
    """
    kind = _parse(data_type, 0)
    if kind.dtype != dtype:
        raise ArgumentError(
            f"data_type {short(data_type)} is dtype {kind.dtype}, not {dtype}", field="data_type", found=data_type
        )
    try:
        if kind.form == "text":
            return _text(document)
        if kind.form == "octets":
            return _octets(document)
        if kind.form == "structured" and isinstance(document, str):
            raw = _octets(document)
            if len(raw) != dtype.itemsize:
                raise ValueError(f"expected base64 of {dtype.itemsize} bytes, found {len(raw)}")
            raw = raw if (endian or "little") == sys.byteorder else _swapped(raw, kind)
        else:
            raw = _pack(document, kind)
    except ValueError as error:
        raise MetadataError(
            f"fill_value {short(document)} does not fit data_type {short(data_type)}: {error}",
            field="fill_value",
            found=document,
            expected=str(error),
        ) from error
    return np.frombuffer(raw, kind.dtype).copy()[0]


def _pack(document: Json, kind: _Type) -> bytes:
    """One element of a type of fixed size, in native order; ValueError says what was expected."""
    form, itemsize = kind.form, kind.dtype.itemsize
    if form == "bool":
        if document is not True and document is not False:
            raise ValueError("expected true or false")
        return b"\x01" if document else b"\x00"
    if form == "int":
        number = _integer(document)
        if not kind.least <= number <= kind.most:
            raise ValueError(f"expected an integer between {kind.least} and {kind.most}")
        return np.array(number, kind.dtype).tobytes()
    if form == "float":
        return float_bytes(document, kind.dtype)
    if form == "complex":
        if not isinstance(document, list) or len(document) != 2:
            raise ValueError("expected a list of the real and the imaginary part")
        return b"".join(float_bytes(part, of.dtype) for part, (_, of) in zip(document, kind.parts, strict=True))
    if form == "time":
        if document != "NaT" and type(document) is not int:
            raise ValueError("expected an integer or 'NaT'")
        return (-(1 << 63) if document == "NaT" else _int64(document)).to_bytes(8, sys.byteorder, signed=True)
    if form == "utf32":
        if not isinstance(document, str):
            raise ValueError("expected a string")
        if len(document) * 4 > itemsize:
            raise ValueError(f"expected at most {itemsize // 4} code points, found {len(document)}")
        return document.encode(_UTF32, "surrogatepass").ljust(itemsize, b"\x00")
    if form in ("struct", "structured"):
        return _pack_fields(document, kind)
    raw = _octets(document)
    if form == "null_terminated":
        if len(raw) > itemsize:
            raise ValueError(f"expected at most {itemsize} bytes, found {len(raw)}")
        return raw.ljust(itemsize, b"\x00")
    # The specification says "length equal to <N>" and calls N bits elsewhere; nobody writes an integer for each bit.
    if len(raw) != itemsize:
        raise ValueError(f"expected {itemsize} bytes, found {len(raw)}")
    return raw


def _pack_fields(document: Json, kind: _Type) -> bytes:
    if not isinstance(document, dict):
        raise ValueError("expected an object with a value for each field")
    if unknown := document.keys() - {name for name, _ in kind.parts}:
        raise ValueError(f"there is no field {short(min(unknown))}")
    packed = []
    for name, part in kind.parts:
        if name not in document:
            raise ValueError(f"field {short(name)} is missing")
        try:
            packed.append(_pack(document[name], part))
        except ValueError as error:
            raise ValueError(f"field {short(name)}: {error}") from error
    return b"".join(packed)


def _integer(document: Json) -> int:
    """An integer; also `1.0`, as zarr-python reads it, but not where the float may stand for another integer."""
    if type(document) is int:
        return document
    if type(document) is float and document.is_integer() and abs(document) <= 1 << 53:
        return int(document)
    raise ValueError("expected an integer")


def _int64(number: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("expected an integer of 64 bits")
    return number


_UTF32 = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"


def _text(document: Json) -> str:
    if not isinstance(document, str):
        raise ValueError("expected a string")
    document.encode("utf-8")  # half a surrogate pair is legal in JSON, but no UTF-8 can hold it
    return document


def _octets(document: Json) -> bytes:
    """Bytes, from a list of them or from base64."""
    if isinstance(document, str):
        return base64.b64decode(document, validate=True)
    if isinstance(document, list) and all(type(n) is int and 0 <= n <= 255 for n in document):
        return bytes(document)
    raise ValueError("expected a list of integers between 0 and 255, or base64")


def _swapped(raw: bytes, kind: _Type) -> bytes:
    """The packed element in the other byte order. Not by NumPy: `byteswap` forgets imaginary parts in ml_dtypes 0.6."""
    if kind.parts:
        pieces, start = [], 0
        for _, part in kind.parts:
            pieces.append(_swapped(raw[start : start + part.dtype.itemsize], part))
            start += part.dtype.itemsize
        return b"".join(pieces)
    if kind.form in ("raw", "raw_bytes", "null_terminated"):
        return raw
    unit = 4 if kind.form == "utf32" else len(raw)
    return b"".join(raw[start : start + unit][::-1] for start in range(0, len(raw), unit))


def fill_to_v3(fill: Any, dtype: DType, data_type: Json) -> Json:
    """The field `fill_value` for a scalar of `dtype`, read again as the same bits; ArgumentError where that cannot be.

    `data_type` is what `dtype_to_v3(dtype)` gave: `raw_bytes` and `r24` are one dtype and write their fill values differently.
    NaN is "NaN" only with the bits that the specification gives it, any other its bits in hex.

    >>> fill_to_v3(np.float32("nan"), np.dtype("f4"), "float32")
    'NaN'
    """
    kind = _parse(data_type, 0)
    try:
        if kind.form == "text":
            return _text(fill)
        if kind.form == "octets":
            return base64.standard_b64encode(fill).decode("ascii")
        native = dtype if dtype.isbuiltin == 2 else dtype.newbyteorder("=")
        if native != kind.dtype:
            raise ValueError(f"the data type is dtype {kind.dtype}")
        if fill is None:
            raise ValueError("format 3 has no undefined fill value")
        return _unpack(np.array(fill, dtype).astype(kind.dtype).tobytes(), kind)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"fill_value {short(fill)} cannot be written for dtype {dtype}: {error}", field="fill_value", found=fill
        ) from error


def _unpack(raw: bytes, kind: _Type) -> Json:
    form = kind.form
    if form == "bool":
        return raw != b"\x00"
    if form == "int":
        return int(np.frombuffer(raw, kind.dtype)[0])
    if form == "float":
        return float_json(raw, kind.dtype)
    if form == "complex":
        half = len(raw) // 2
        return [float_json(part, of.dtype) for part, (_, of) in zip((raw[:half], raw[half:]), kind.parts, strict=True)]
    if form == "time":
        count = int.from_bytes(raw, sys.byteorder, signed=True)
        return "NaT" if count == -(1 << 63) else count
    if form == "utf32":
        return raw.decode(_UTF32, "surrogatepass").rstrip("\x00")
    if form in ("struct", "structured"):
        document, start = {}, 0
        for name, part in kind.parts:
            document[name] = _unpack(raw[start : start + part.dtype.itemsize], part)
            start += part.dtype.itemsize
        return document
    if form == "raw":
        return list(raw)
    return base64.standard_b64encode(raw.rstrip(b"\x00") if form == "null_terminated" else raw).decode("ascii")
