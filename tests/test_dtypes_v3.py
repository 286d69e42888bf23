from __future__ import annotations

import base64
import itertools
import json
import math
import struct
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

import ndzarr
from ndzarr.dtypes import ml
from ndzarr.dtypes.fill import fill_scalar
from ndzarr.dtypes.v2 import dtype_to_v2
from ndzarr.dtypes.v3 import default_fill, dtype_from_v3, dtype_to_v3, fill_from_v3, fill_to_v3

#: What the installed ml_dtypes has (0.4 has fewer than 0.6, and nothing has to be installed).
ML = [name for name in (*ml.FLOATS, *ml.INTEGERS, *ml.COMPLEX) if ml.dtype_of(name) is not None]


def extension(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def fields(**kinds: Any) -> dict[str, Any]:
    return extension("struct", fields=[{"name": name, "data_type": kind} for name, kind in kinds.items()])


def legacy(**kinds: Any) -> dict[str, Any]:
    return extension("structured", fields=[[name, kind] for name, kind in kinds.items()])


def times(name: str, unit: str, scale: int = 1) -> dict[str, Any]:
    return extension(f"numpy.{name}64", unit=unit, scale_factor=scale)


def octets(name: str, length: int) -> dict[str, Any]:
    return extension(name, length_bytes=length)


def read(data_type: Any, document: Any, endian: str | None = None) -> Any:
    return fill_from_v3(document, dtype_from_v3(data_type), data_type=data_type, endian=endian)


def little(scalar: Any, dtype: np.dtype[Any]) -> str:
    return np.array(scalar, dtype).astype(dtype.newbyteorder("<")).tobytes().hex()


# ---- documents that zarr-python wrote -----------------------------------------------------------

#: data_type and fill_value of `zarr.json` as zarr-python 3.4.2 wrote them for one array each, and the element that it reads
#: from
#: that array, in little-endian hex. The NaNs with a payload that were passed (0x7fc00001, 0xfff8000000000000, 0x7e01) it wrote
#: as "NaN". The last two are its class `Structured`, which writes what 3.1 wrote.
ZARR_PYTHON: list[tuple[Any, str, Any]] = [
    ("bool", "true", "01"),
    ("int8", "-128", "80"),
    ("int16", "-32768", "0080"),
    ("int32", "-2147483648", "00000080"),
    ("int64", "-9223372036854775808", "0000000000000080"),
    ("uint8", "255", "ff"),
    ("uint16", "65535", "ffff"),
    ("uint32", "4294967295", "ffffffff"),
    ("uint64", "18446744073709551615", "ffffffffffffffff"),
    ("float16", "0.0999755859375", "662e"),
    ("float32", "0.10000000149011612", "cdcccc3d"),
    ("float64", "0.1", "9a9999999999b93f"),
    ("float32", "3.4028234663852886e+38", "ffff7f7f"),
    ("float64", "5e-324", "0100000000000000"),
    ("float64", "-0.0", "0000000000000080"),
    ("float32", '"NaN"', "0000c07f"),
    ("float32", '"Infinity"', "0000807f"),
    ("float16", '"-Infinity"', "00fc"),
    ("float32", '"NaN"', "0000c07f"),
    ("float64", '"NaN"', "000000000000f87f"),
    ("float16", '"NaN"', "007e"),
    ("float64", "1e+300", "9c7500883ce4377e"),
    ("complex64", "[0.10000000149011612, 2.0]", "cdcccc3d00000040"),
    ("complex128", '["NaN", "-Infinity"]', "000000000000f87f000000000000f0ff"),
    (octets("null_terminated_bytes", 5), '"YWI="', "6162000000"),
    (octets("null_terminated_bytes", 5), '""', "0000000000"),
    (octets("raw_bytes", 3), '"AQID"', "010203"),
    (octets("fixed_length_utf32", 16), '"häß"', "68000000e4000000df00000000000000"),
    (octets("fixed_length_utf32", 16), '"😀"', "00f60100000000000000000000000000"),
    (octets("fixed_length_utf32", 16), '""', "00000000000000000000000000000000"),
    (times("datetime", "ns"), "-9223372036854775808", "0000000000000080"),
    (times("datetime", "us", 10), "7", "0700000000000000"),
    (times("datetime", "Y"), "-1", "ffffffffffffffff"),
    (times("datetime", "W"), "1", "0100000000000000"),
    (times("timedelta", "D"), "-3", "fdffffffffffffff"),
    (times("timedelta", "as"), "4611686018427387904", "0000000000000040"),
    (times("timedelta", "generic"), "5", "0500000000000000"),
    (times("datetime", "generic"), "-9223372036854775808", "0000000000000080"),
    (fields(a="int32", b="float64"), '{"a": 0, "b": 0.0}', "000000000000000000000000"),
    (fields(a="int32", b="float64"), '{"a": 1, "b": "NaN"}', "01000000000000000000f87f"),
    (
        fields(a="int16", p=fields(x="float32", y=octets("null_terminated_bytes", 2))),
        '{"a": 258, "p": {"x": 1.5, "y": "cQ=="}}',
        "02010000c03f7100",
    ),
    (
        fields(
            d=times("datetime", "s", 10), u=octets("fixed_length_utf32", 8), r=octets("raw_bytes", 3), c="complex64", t="bool"
        ),
        '{"d": 0, "u": "", "r": "AAAA", "c": [0.0, 0.0], "t": false}',
        "00000000000000000000000000000000000000000000000000000000",
    ),
    ("string", '"hi"', "'hi'"),
    ("string", '""', "''"),
    ("string", '"😀\\n"', "'😀\\n'"),
    ("variable_length_bytes", '"aGVsbG8="', "b'hello'"),
    ("variable_length_bytes", '""', "b''"),
    (legacy(a="int32", b="float64"), '"AQAAAAAAAAAAAARA"', "010000000000000000000440"),
    (legacy(a="int16", p=fields(x="float32", y=octets("null_terminated_bytes", 2))), '"AgEAAMA/cQA="', "02010000c03f7100"),
]


@pytest.mark.parametrize(("data_type", "text", "want"), ZARR_PYTHON, ids=lambda v: str(v)[:30])
def test_what_zarr_python_wrote(data_type: Any, text: str, want: str) -> None:
    dtype = dtype_from_v3(data_type)
    fill = fill_from_v3(json.loads(text), dtype, data_type=data_type)
    if dtype.kind in "TO":
        assert repr(fill) == want
    else:
        assert little(fill, dtype) == want
        assert fill.dtype == dtype or dtype.kind in "SU"  # scalars of these are as long as their text
        assert fill.dtype.isnative
    # And written again: the same text, but for NaT and for the name that new documents must not have.
    again = dtype_to_v3(dtype, "vlen-bytes" if dtype.kind == "O" else None)
    written = json.dumps(fill_to_v3(fill, dtype, again), ensure_ascii=False)
    if isinstance(data_type, dict) and data_type["name"] == "structured":
        assert again["name"] == "struct"
        assert little(read(again, json.loads(written)), dtype) == want
    else:
        assert again == data_type
        assert written == ('"NaT"' if text == str(-(2**63)) and dtype.kind in "mM" else text)


def test_legacy_structs_are_in_the_byte_order_of_the_codec() -> None:
    """Every kind of field, since each swaps its own units."""
    kinds = {
        "a": "int16", "b": "complex64", "c": octets("fixed_length_utf32", 8), "d": octets("null_terminated_bytes", 3),
        "e": "r24", "f": times("datetime", "s"), "g": fields(x="float64", y="bool"), "h": "uint8",
    }  # fmt: skip
    data_type = legacy(**kinds)
    packed = np.dtype([(n, dtype_from_v3(k)) for n, k in kinds.items()])
    item = np.array([(258, 1.5 + 2j, "aβ", b"xy", b"\1\2\3", 5, (0.1, True), 7)], packed)
    for order, endian in (("<", "little"), (">", "big")):
        text = base64.b64encode(item.astype(packed.newbyteorder(order)).tobytes()).decode()
        assert read(data_type, text, endian).tobytes() == item.tobytes()
        if order == "<":
            assert read(data_type, text).tobytes() == item.tobytes()
    with pytest.raises(ndzarr.MetadataError, match="bytes, found 3"):
        read(data_type, "AAAA")
    assert read(legacy(a="int8"), {"a": 3}).item() == (3,)
    assert read(extension("structured", fields=[{"name": "a", "data_type": "int8"}]), "Aw==").item() == (3,)


def test_byte_order_of_legacy_structs_with_ml_dtypes() -> None:
    for name in ML:
        data_type = legacy(a="uint16", v=name)
        value = dtype_from_v3(name)
        if name in ml.INTEGERS:
            item = np.array(1).astype(value).tobytes()
        else:
            item = np.arange(1, 1 + value.itemsize, dtype="u1").tobytes()
        size = len(item) // 2 if name in ml.COMPLEX else len(item)
        big = b"".join(item[start : start + size][::-1] for start in range(0, len(item), size))
        if sys.byteorder == "little":
            assert read(data_type, base64.b64encode(b"\x01\x02" + big).decode(), "big").tobytes() == b"\x02\x01" + item


# ---- names --------------------------------------------------------------------------------------

CORE = ["bool", *(f"{k}{b}" for k in ("int", "uint") for b in (8, 16, 32, 64)), "float16", "float32", "float64", "complex64",
        "complex128"]  # fmt: skip
ALIKE = ["complex_float32", "complex_float64"]
FIXED: list[Any] = [
    *CORE, *ALIKE, "r8", "r24", "r4096", octets("fixed_length_utf32", 4), octets("fixed_length_utf32", 48),
    octets("null_terminated_bytes", 1), octets("null_terminated_bytes", 9), octets("raw_bytes", 1), octets("raw_bytes", 16),
    *(times(kind, unit, scale) for kind in ("datetime", "timedelta") for unit, scale in itertools.product(
        ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"], [1, 25, 2**31 - 1])),
    fields(x="float32"), fields(x="float32", p=fields(y="complex128", z="r16", u=octets("raw_bytes", 3)), b="bool"),
    fields(when=times("datetime", "ns"), text=octets("fixed_length_utf32", 12), c="complex_float32"), *ML,
    *(fields(a="int16", v=name, b="int8") for name in ML),
]  # fmt: skip


@pytest.mark.parametrize("data_type", FIXED, ids=str)
def test_names_round_trip(data_type: Any) -> None:
    dtype = dtype_from_v3(data_type)
    assert dtype.isnative
    assert dtype_to_v3(dtype) == data_type
    if not (dtype.kind in "mM" and np.datetime_data(dtype)[0] == "generic"):  # NumPy drops a scale that has no unit
        array = np.zeros((2, 2), dtype)[::-1].copy()
        assert dtype_to_v3(array.dtype) == data_type
    if isinstance(data_type, str):
        for document in ({"name": data_type}, extension(data_type), {"name": data_type, "must_understand": True}):
            assert dtype_from_v3(document) == dtype
            assert dtype_to_v3(dtype_from_v3(document)) == data_type


@pytest.mark.parametrize("name", CORE)
def test_core_names_are_numpys_and_have_no_byte_order(name: str) -> None:
    assert dtype_from_v3(name) == np.dtype(name)
    assert dtype_to_v3(np.dtype(name).newbyteorder(">")) == name
    assert dtype_to_v3(np.dtype(name).newbyteorder("<")) == name


def test_numpys_own_spellings() -> None:
    assert dtype_to_v3(np.dtype("V3")) == "r24"
    assert dtype_to_v3(np.dtype(">U3")) == octets("fixed_length_utf32", 12)
    assert dtype_to_v3(np.dtype("S3")) == octets("null_terminated_bytes", 3)
    assert dtype_to_v3(np.dtype(">M8[25us]")) == times("datetime", "us", 25)
    assert dtype_to_v3(np.dtype("m8")) == times("timedelta", "generic")
    assert dtype_to_v3(np.dtype([("a", ">i4"), ("b", [("c", ">f8")])])) == fields(a="int32", b=fields(c="float64"))
    assert dtype_from_v3(times("datetime", "μs", 3)) == np.dtype("M8[3us]")
    assert dtype_to_v3(np.dtype("longlong")) == "int64"


def test_strings_and_objects() -> None:
    assert dtype_from_v3("string") == np.dtypes.StringDType()
    assert dtype_to_v3(np.dtypes.StringDType()) == "string"
    assert dtype_to_v3(np.dtypes.StringDType(coerce=False)) == "string"
    assert dtype_to_v3(np.dtype(object), "vlen-utf8") == "string"
    assert dtype_to_v3(np.dtype(object), "vlen-bytes") == "bytes"
    for name in ("bytes", "variable_length_bytes", "binary"):
        dtype = dtype_from_v3(name)
        assert dtype == np.dtype(object)
        assert dtype_to_v3(dtype, "vlen-bytes") == name


def test_names_in_metadata_are_checked() -> None:
    def tagged(spelling: Any, name: Any) -> np.dtype[Any]:
        return np.dtype(spelling, metadata={"zarr": name})

    assert dtype_to_v3(tagged("f4", "complex_float32")) == "float32"
    assert dtype_to_v3(tagged("c8", "complex_float64")) == "complex64"
    assert dtype_to_v3(tagged("c8", 5)) == "complex64"
    assert dtype_to_v3(tagged("S3", "raw_bytes")) == octets("null_terminated_bytes", 3)
    assert dtype_to_v3(tagged("O", "float32"), "vlen-bytes") == "bytes"
    pair = tagged([("real", "f4"), ("imag", "f4")], "complex_float8_e5m2")
    assert dtype_to_v3(pair) == fields(real="float32", imag="float32")
    assert dtype_to_v3(np.dtype(">c8", metadata={"zarr": "complex_float32"})) == "complex_float32"


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        (np.dtype("longdouble"), "float64"), (np.dtype("clongdouble"), "complex128"), (np.dtype(object), "vlen-utf8"),
        (np.dtypes.StringDType(na_object=None), "na_object"), (np.dtype("S"), "width"), (np.dtype("U"), "width"),
        (np.dtype("V"), "width"), (np.dtype((np.int32, (2,))), "numeric"), (np.dtype([]), "repack_fields"),
        (np.dtype([("a", "i4", (2,))]), "one field for each"), (np.dtype([(("title", "a"), "i4")]), "title"),
        (np.dtype([("a", "i1"), ("b", "f8")], align=True), "repack_fields"), (np.dtype([("a", "O")]), "fixed size"),
        (np.dtype({"names": ["a"], "formats": ["i4"], "itemsize": 8}), "repack_fields"),
        (np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [4, 0]}), "repack_fields"),
        (np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 0]}), "repack_fields"),
        (np.dtype(f"V{(1 << 26) + 1}"), "64 MiB"), (np.dtype([("a", "V67108864"), ("b", "i1")]), "64 MiB"),
        (np.dtype([("a", "longdouble")]), "float64"),
    ],
    ids=str,
)  # fmt: skip
def test_dtypes_that_v3_cannot_name(dtype: np.dtype[Any], advice: str) -> None:
    if dtype.kind in "fc" and dtype.itemsize in (8, 16) and dtype.name in CORE:
        return  # a platform whose longdouble is a double
    with pytest.raises(ndzarr.ArgumentError, match="format 3 cannot store dtype") as caught:
        dtype_to_v3(dtype)
    assert advice in str(caught.value)
    assert caught.value.field == "dtype"


@pytest.mark.parametrize(
    "document",
    [
        None, 4, 1.5, True, [], ["int8"], {}, {"name": 4}, {"configuration": {}}, "", "int", "float", "<f4", "r", "r0", "r7",
        "r08",
        "r-8", "R8", "r8 ", "int8\n", "r9999999999", "r99999999999999999999", "complex", "os.system", "float8_e4m3fn", "int1",
        "structured", "struct", "fixed_length_utf32", "numpy.datetime64", "raw_bytes", {"name": "int8", "extra": 1},
        {"name": "int8", "must_understand": False}, {"name": "int8", "must_understand": 1},
        {"name": "int8", "configuration": None},
        {"name": "int8", "configuration": []}, extension("int8", x=1), extension("r8", x=1), extension("string", x=1),
        extension("raw_bytes"), octets("raw_bytes", 0), octets("raw_bytes", -1), extension("raw_bytes", length_bytes=1.0),
        extension("raw_bytes", length_bytes=True), extension("raw_bytes", length_bytes="1"), octets("raw_bytes", (1 << 26) + 1),
        octets("raw_bytes", 10**400), octets("fixed_length_utf32", 6), octets("fixed_length_utf32", 1 << 27),
        octets("null_terminated_bytes", 0), extension("raw_bytes", length_bytes=1, extra=2),
        extension("numpy.datetime64", unit="s"),
        extension("numpy.datetime64", scale_factor=1), times("datetime", "S"), times("datetime", ""), times("datetime", "s", 0),
        times("datetime", "s", 2**31), times("datetime", "s", True), extension("numpy.timedelta64", unit=["s"], scale_factor=1),
        extension("numpy.timedelta64", unit="s", scale_factor=1.0), {**times("datetime", "s"), "endian": "little"},
        extension("struct"), extension("struct", fields=[]), extension("struct", fields={}),
        extension("struct", fields=["int8"]),
        extension("struct", fields=[["a", "int8"]]), extension("struct", fields=[{"name": "a"}]), fields(a="string"),
        fields(a="bytes"), fields(a="nothing"), extension("struct", fields=[{"name": "", "data_type": "int8"}]),
        extension("struct", fields=[{"name": 1, "data_type": "int8"}]),
        extension("struct", fields=[{"name": "a", "data_type": "int8", "offset": 1}]),
        extension("struct", fields=[{"name": "a", "data_type": "int8"}, {"name": "a", "data_type": "int8"}]),
        extension("structured", fields=[["a"]]), extension("structured", fields=[["a", "int8", [2]]]),
        extension("structured", fields=[[["a", "b"], "int8"]]), fields(a="r536870912", b="int8"),
    ],
    ids=lambda v: str(v)[:60],
)  # fmt: skip
def test_bad_data_types(document: Any) -> None:
    with pytest.raises(ndzarr.MetadataError, match="data_type") as caught:
        dtype_from_v3(document)
    assert caught.value.field == "data_type"
    assert len(str(caught.value)) < 1000


def test_unknown_names_say_what_is_near() -> None:
    for wrong, near in [("flaot32", "'float32'"), ("float8_e4m3fn", "'float8_e4m3'"), ("datetime64", "'numpy.datetime64'")]:
        with pytest.raises(ndzarr.MetadataError, match=f"no data type '{wrong}'; is it .*{near}"):
            dtype_from_v3(wrong)


def test_deeply_nested_data_types() -> None:
    document: Any = "int8"
    for _ in range(32):
        document = fields(a=document)
    value: Any = 5
    for _ in range(32):
        value = {"a": value}
    fill = read(document, value)
    assert fill.tobytes() == b"\5"
    assert fill_to_v3(fill, dtype_from_v3(document), document) == value
    with pytest.raises(ndzarr.MetadataError, match="nested"):
        dtype_from_v3(fields(a=document))
    for _ in range(100_000):
        document = {"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": document}]}}
    with pytest.raises(ndzarr.MetadataError, match="nested"):
        dtype_from_v3(document)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ndzarr.MetadataError, match="fill_value"):
        read("float32", deep)


# ---- ml_dtypes ----------------------------------------------------------------------------------


def test_the_table_is_what_ml_dtypes_has() -> None:
    try:
        package: Any = __import__("ml_dtypes")
    except ImportError:
        assert ML == ["complex_float16"]
        return
    for name in (*ml.FLOATS, *ml.INTEGERS):
        assert (name in ML) == hasattr(package, name)
        if name in ML:
            dtype = ml.dtype_of(name)
            assert dtype is not None
            assert dtype.type is getattr(package, name)
            assert ml.name_of(dtype) == name
    assert "bfloat16" in ML


def test_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for name in ("bfloat16", "int4", "complex_bfloat16", "complex_float8_e5m2"):
        with pytest.raises(ndzarr.MetadataError, match=r"pip install 'ndzarr\[ml_dtypes\]'"):
            dtype_from_v3(name)
    dtype = dtype_from_v3("complex_float16")  # needs nothing but float16
    assert dtype == np.dtype([("real", "f2"), ("imag", "f2")])
    assert dtype_to_v3(dtype) == "complex_float16"
    assert dtype_to_v3(np.dtype("f4")) == "float32"


def test_with_an_older_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        __version__ = "0.0.1"

    monkeypatch.setitem(sys.modules, "ml_dtypes", Old)
    with pytest.raises(ndzarr.MetadataError, match=r"ml_dtypes 0\.0\.1 has no float4_e2m1fn"):
        dtype_from_v3("complex_float4_e2m1fn")


def test_complex_numbers_without_a_scalar_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `complex_bfloat16` is before ml_dtypes 0.6, and every complex type of 8 bits and fewer."""
    for name in [name for name in ML if name in ml.COMPLEX]:
        part = ml.part_of(name, dtype_from_v3(name))
        monkeypatch.setattr(ml, "_OWN", {})
        dtype = dtype_from_v3(name)
        assert dtype.names == ("real", "imag")
        assert dtype["real"] == dtype["imag"] == part
        fill = fill_from_v3([1, 0.5], dtype, data_type=name)
        assert [float(fill["real"]), float(fill["imag"])] == [1, 0.5]
        assert fill_to_v3(fill, dtype, dtype_to_v3(dtype)) == [1.0, 0.5]
        assert dtype_to_v3(dtype) == name
        assert fill_scalar(1 + 0.5j, dtype).tobytes() == fill.tobytes()
        assert fill_scalar((1, 0.5), dtype).tobytes() == fill.tobytes()
        monkeypatch.undo()


def test_what_is_odd_about_these_dtypes() -> None:
    """Their kinds are V, f and W, their `str` is that of raw bytes, `newbyteorder` gives dtypes equal to nothing."""
    for name in ML:
        dtype = dtype_from_v3(name)
        assert dtype != np.dtype(f"V{dtype.itemsize}")
        assert dtype_to_v3(np.dtype(f"V{dtype.itemsize}")) == f"r{8 * dtype.itemsize}"
        if dtype.names is None:
            with pytest.raises(ndzarr.ArgumentError, match="format 2"):
                dtype_to_v2(dtype)
        for holder in (np.dtype([("a", dtype)]), np.dtype([("a", dtype, (2,))])):
            if name != "complex_float16" or dtype.names is None:
                with pytest.raises(ndzarr.ArgumentError, match="format 2"):
                    dtype_to_v2(holder)


# ---- fill values --------------------------------------------------------------------------------

NAN32, NAN64 = "0000c07f", "000000000000f87f"
#: data_type, fill_value, the element in little-endian hex.
FORMS: list[tuple[Any, Any, str]] = [
    ("int8", 3.0, "03"), ("int64", -3.0, "fdffffffffffffff"), ("uint64", 2**53 + 1, "0100000000002000"),
    ("uint64", float(2**53), "0000000000002000"), ("int8", -0.0, "00"),
    ("float32", math.nan, NAN32), ("float64", math.nan, NAN64), ("float16", math.nan, "007e"),
    ("float32", -math.nan, NAN32), ("float32", math.inf, "0000807f"), ("float64", -math.inf, "000000000000f0ff"),
    ("float32", "+Infinity", "0000807f"), ("float32", "0x7fc00000", NAN32), ("float32", "0x7fc00001", "0100c07f"),
    ("float32", "0x7f800001", "0100807f"), ("float32", "0xFFC00000", "0000c0ff"), ("float32", "0x3f800000", "0000803f"),
    ("float16", "0x7e01", "017e"), ("float64", "0x7ff0000000000001", "010000000000f07f"), ("float32", "0x80000000", "00000080"),
    ("float32", 1, "0000803f"), ("float32", -0.0, "00000080"), ("float32", 16777217, "0000804b"),
    ("float32", 16777219, "0200804b"), ("float32", 2**60 + 2**36 + 1, "0100805d"),
    ("float32", -(2**60) - 2**36 - 1, "010080dd"),
    ("float32", 2**60 + 2**36, "0000805d"), ("float64", 2**53 + 1, "0000000000004043"),
    ("float64", 2**53 + 3, "0200000000004043"),
    ("float16", 2049, "0068"), ("float16", 2051, "0268"), ("float16", 65519, "ff7b"), ("float16", 65520, "007c"),
    ("float32", 1e39, "0000807f"), ("float32", -1e39, "000080ff"), ("float32", 10**39, "0000807f"), ("float16", 1e-300, "0000"),
    ("float16", 1.0004882812500002, "013c"), ("float16", 1.00048828125, "003c"),
    ("complex64", [1, "NaN"], "0000803f" + NAN32), ("complex64", ["0x7f800001", -0.0], "0100807f00000080"),
    ("complex_float32", [1, 2], "0000803f00000040"), ("complex_float64", [0, "-Infinity"], "00" * 8 + "000000000000f0ff"),
    ("r16", [1, 255], "01ff"), ("r16", "Af8=", "01ff"), (octets("raw_bytes", 2), [1, 255], "01ff"),
    (octets("null_terminated_bytes", 3), "AQA=", "010000"), (octets("null_terminated_bytes", 3), [1, 0, 2], "010002"),
    (times("datetime", "s"), "NaT", "0000000000000080"), (times("timedelta", "s"), -(2**63), "0000000000000080"),
    (times("datetime", "s"), 2**63 - 1, "ffffffffffffff7f"), (octets("fixed_length_utf32", 4), "\ud800", "00d80000"),
    (fields(a="int8", p=fields(b="float16")), {"p": {"b": "NaN"}, "a": 1}, "01007e"),
]  # fmt: skip


@pytest.mark.parametrize(("data_type", "document", "want"), FORMS, ids=lambda v: str(v)[:40])
def test_fill_forms(data_type: Any, document: Any, want: str) -> None:
    dtype = dtype_from_v3(data_type)
    fill = fill_from_v3(document, dtype, data_type=data_type)
    assert little(fill, dtype) == want
    assert fill.dtype == dtype or dtype.kind in "SU"


def test_fills_without_a_fixed_size() -> None:
    assert read("bytes", "AQID") == read("bytes", [1, 2, 3]) == read("binary", "AQID") == b"\1\2\3"
    assert type(read("variable_length_bytes", "")) is bytes
    assert read("string", "a\0b") == "a\0b"
    assert type(read("string", "")) is str


@pytest.mark.parametrize(
    ("data_type", "document"),
    [
        *((kind, None) for kind in [*CORE, "string", "bytes", "r8", times("datetime", "s")]),
        (fields(a="int8"), None), (legacy(a="int8"), None),
        ("bool", 1), ("bool", 0), ("bool", "true"), ("bool", 1.0), ("bool", []), ("int8", True), ("int8", 128), ("int8", -129),
        ("int8", 1.5), ("int8", "1"), ("int8", math.nan), ("int8", math.inf), ("uint8", -1), ("uint8", 256), ("int64", 2**63),
        ("uint64", 2**64), ("uint64", float(2**54)), ("int64", 1e300), ("int32", [1]), ("int32", {}), ("int8", 10**5000),
        ("float32", True), ("float32", "nan"), ("float32", "inf"), ("float32", "1.5"), ("float32", ""), ("float32", [1]),
        ("float32", "0x7fc0"), ("float32", "0x7fc000001"), ("float32", "7fc00000"), ("float32", "0X7fc00000"),
        ("float32", "0x"),
        ("float32", "0x7fc0_000"), ("float32", "-0x7fc00000"), ("float32", "0x7fc0000g"), ("float32", "0x\uff17fc00000"),
        ("float32", " NaN"), ("float64", 10**400), ("float32", 10**400), ("float16", -(10**400)), ("float32", 10**5000),
        ("complex64", 1), ("complex64", "NaN"), ("complex64", [1]), ("complex64", [1, 2, 3]), ("complex64", [1, True]),
        ("complex64", [1, None]), ("complex64", {"real": 1, "imag": 2}), ("r16", [1]), ("r16", [1] * 16), ("r16", [1, 256]),
        ("r16", [1, -1]), ("r16", [1, True]), ("r16", [1, 1.0]), ("r16", "AQ=="), ("r16", "AQ"), ("r16", "A f8="), ("r16", 0),
        ("r16", "ä"), (octets("null_terminated_bytes", 2), "AQID"), (octets("null_terminated_bytes", 2), "!"),
        (octets("null_terminated_bytes", 2), 0), ("string", 0), ("string", "\ud800"), ("bytes", 0), ("bytes", "A"),
        ("bytes", [256]), ("bytes", {}), (times("datetime", "s"), "2020-01-01"), (times("datetime", "s"), 1.0),
        (times("datetime", "s"), True), (times("datetime", "s"), 2**63), (times("datetime", "s"), -(2**63) - 1),
        (times("datetime", "s"), []), (octets("fixed_length_utf32", 8), "abc"), (octets("fixed_length_utf32", 8), 0),
        (fields(a="int8"), {}), (fields(a="int8"), {"a": 1, "b": 2}), (fields(a="int8"), {"a": 300}), (fields(a="int8"), [1]),
        (fields(a="int8"), "AQ=="), (fields(a="int8"), 0), (legacy(a="int8"), "AQI="), (legacy(a="int8"), [1]),
        (fields(a=fields(b="int8")), {"a": 1}), (fields(a="int8"), {"a": None}),
    ],
    ids=lambda v: str(v)[:40] if not isinstance(v, int) else str(v % 10**9),
)  # fmt: skip
def test_bad_fills(data_type: Any, document: Any) -> None:
    with pytest.raises(ndzarr.MetadataError, match="fill_value") as caught:
        read(data_type, document)
    assert caught.value.field == "fill_value"
    assert len(str(caught.value)) < 1500


def test_bad_fills_of_structs_name_the_field() -> None:
    kind = fields(a="int8", p=fields(b="float32", c="bool"))
    for document, message in [
        ({"p": {"b": 1, "c": True}}, "field 'a' is missing"),
        ({"a": 1, "p": {"b": 1, "c": True}, "z": 0}, "there is no field 'z'"),
        ({"a": 1, "p": {"b": 1}}, "field 'p': field 'c' is missing"),
        ({"a": 1, "p": {"b": "x", "c": True}}, "field 'p': field 'b': expected a number"),
    ]:
        with pytest.raises(ndzarr.MetadataError, match=message):
            read(kind, document)


def test_the_dtype_must_be_that_of_the_document() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="dtype int8, not int16"):
        fill_from_v3(1, np.dtype("int16"), data_type="int8")
    with pytest.raises(ndzarr.ArgumentError, match="cannot be written"):
        fill_to_v3(np.int16(1), np.dtype("int16"), "int8")
    for fill, dtype, name in [
        (None, np.dtype("f4"), "float32"),
        (1, np.dtypes.StringDType(), "string"),
        ("x", np.dtype("O"), "bytes"),
    ]:
        with pytest.raises(ndzarr.ArgumentError, match="cannot be written"):
            fill_to_v3(fill, dtype, name)


def test_fills_of_the_other_byte_order_are_written() -> None:
    dtype = np.dtype([("a", ">i2"), ("b", ">f4"), ("c", ">U2"), ("d", ">c8")])
    fill = np.array([(1, np.frombuffer(b"\x7f\xc0\0\1", ">f4")[0], "äb", 1 + 2j)], dtype)[0]
    assert fill_to_v3(fill, dtype, dtype_to_v3(dtype)) == {"a": 1, "b": "0x7fc00001", "c": "äb", "d": [1.0, 2.0]}


def test_only_one_nan_is_called_nan() -> None:
    for name, bits, want in [
        ("float32", 0x7FC00000, "NaN"), ("float32", 0xFFC00000, "0xffc00000"), ("float32", 0x7F800001, "0x7f800001"),
        ("float16", 0x7E00, "NaN"), ("float16", 0xFE00, "0xfe00"), ("float64", 0x7FF8 << 48, "NaN"),
        ("float64", 0x7FF << 52 | 1, "0x7ff0000000000001"),
    ]:  # fmt: skip
        dtype = np.dtype(name)
        fill = np.frombuffer(bits.to_bytes(dtype.itemsize, sys.byteorder), dtype)[0]
        assert fill_to_v3(fill, dtype, name) == want


# The README of each type says which bits "NaN" is; those without NaN or infinity refuse them.
ML_NAN = {
    "bfloat16": 0x7FC0, "float8_e3m4": 0x78, "float8_e4m3": 0x7C, "float8_e5m2": 0x7E, "float8_e4m3b11fnuz": 0x80,
    "float8_e4m3fnuz": 0x80, "float8_e5m2fnuz": 0x80, "float8_e8m0fnu": 0xFF,
}  # fmt: skip
ML_INFINITY = {"bfloat16": 0x7F80, "float8_e3m4": 0x70, "float8_e4m3": 0x78, "float8_e5m2": 0x7C}
ML_LARGEST = {
    "float8_e4m3b11fnuz": 30.0, "float8_e4m3fnuz": 240.0, "float8_e5m2fnuz": 57344.0, "float8_e8m0fnu": 2.0**127,
    "float4_e2m1fn": 6.0, "float6_e2m3fn": 7.5, "float6_e3m2fn": 28.0,
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ML if name in ml.FLOATS])
def test_special_values_of_ml_dtypes(name: str) -> None:
    dtype = dtype_from_v3(name)

    def bits(document: Any) -> int:
        return int.from_bytes(read(name, document).tobytes(), sys.byteorder)

    for document in ("NaN", math.nan):
        if name in ML_NAN:
            assert bits(document) == ML_NAN[name]
        else:
            with pytest.raises(ndzarr.MetadataError, match="no NaN"):
                read(name, document)
    for document in ("Infinity", "+Infinity", math.inf):
        if name in ML_INFINITY:
            assert bits(document) == ML_INFINITY[name]
            assert bits("-Infinity") == ML_INFINITY[name] | 1 << 8 * dtype.itemsize - 1
        else:
            with pytest.raises(ndzarr.MetadataError, match="no infinity"):
                read(name, document)
    if name in ML_LARGEST:
        largest = ML_LARGEST[name]
        assert float(read(name, largest)) == float(read(name, largest * 1.01)) == largest
        for document in (largest * 1.5, 10**400, -largest * 1.5):
            with pytest.raises(ndzarr.MetadataError):
                read(name, document)
    if name == "float8_e8m0fnu":
        for document in (0, 0.0, -0.0, -1):
            with pytest.raises(ndzarr.MetadataError, match="positive"):
                read(name, document)
        assert float(read(name, 2.0**-127)) == 2.0**-127
    for document in ("0x7", "0x7fc00000", "0x", True, None, [1]):
        with pytest.raises(ndzarr.MetadataError, match="fill_value"):
            read(name, document)
    if ml.FLOATS[name].bits < 8:
        spare = np.array([0xC0 | int(read(name, 0.5).tobytes()[0])], "u1").view(dtype)[0]
        assert fill_to_v3(spare, dtype, name) == 0.5
        with pytest.raises(ndzarr.MetadataError, match="lowest"):
            read(name, "0x80")


@pytest.mark.parametrize("name", [name for name in ML if name in ml.INTEGERS])
def test_small_integers(name: str) -> None:
    least, most = ml.INTEGERS[name]
    for number in range(least, most + 1):
        assert int(read(name, number)) == number
        assert fill_to_v3(read(name, number), dtype_from_v3(name), name) == number
    for document in (least - 1, most + 1, 1.5, "1", True, None):
        with pytest.raises(ndzarr.MetadataError, match="expected an integer"):
            read(name, document)


def representable(name: str) -> dict[Fraction, int]:
    """The finite values of a type and their bits; of two zeros the positive one."""
    dtype, form = dtype_from_v3(name), ml.FLOATS[name]
    with np.errstate(invalid="ignore"):  # signalling NaNs among them
        numbers = np.arange(1 << form.bits).astype(f"u{dtype.itemsize}").view(dtype).astype("f8")
    return {Fraction(float(n)): bits for bits, n in reversed(list(enumerate(numbers))) if math.isfinite(n)}


@pytest.mark.parametrize("name", [name for name in ML if name in ml.FLOATS])
def test_numbers_are_rounded_once_to_nearest_even(name: str) -> None:
    """Midpoints and their neighbours among doubles: rounded by way of a single, the neighbours would be taken for midpoints."""
    table = representable(name)
    dtype = dtype_from_v3(name)
    for low, high in list(itertools.pairwise(sorted(table)))[:: 77 if name == "bfloat16" else 1]:
        middle = float((low + high) / 2)
        assert Fraction(middle) == (low + high) / 2
        even = low if table[low] % 2 == 0 else high
        for number, want in [(np.nextafter(middle, -math.inf), low), (np.nextafter(middle, math.inf), high), (middle, even)]:
            if name == "float8_e8m0fnu" and number == middle:
                want = high  # no mantissa, so none is even; the specification does not say, ml_dtypes takes the larger
            got = fill_from_v3(float(number), dtype, data_type=name)
            assert Fraction(float(got)) == want, (low, high, number)


@given(st.integers(-(2**200), 2**200) | st.integers(2**60, 2**61), st.sampled_from(["float16", "float32", "float64"]))
@example(2**60 + 2**36 + 1, "float32")
def test_integers_are_rounded_once(number: int, name: str) -> None:
    got = float(read(name, number))
    dtype = np.dtype(name)
    if math.isinf(got):
        assert abs(number) >= 2 * 2 ** (int(np.finfo(dtype).maxexp) - 1) - 2 ** (
            int(np.finfo(dtype).maxexp) - int(np.finfo(dtype).nmant) - 2
        )
        return
    with np.errstate(over="ignore"):
        for other in (np.nextafter(dtype.type(got), dtype.type(np.inf)), np.nextafter(dtype.type(got), dtype.type(-np.inf))):
            if np.isfinite(other):
                assert abs(Fraction(got) - number) <= abs(Fraction(float(other)) - number)


# ---- round trips --------------------------------------------------------------------------------


def patterns(kind: Any) -> st.SearchStrategy[bytes]:
    """Any bytes that are an element of the type: all of them, but for bool, strings and the spare bits of narrow types."""
    dtype = dtype_from_v3(kind)
    name = kind if isinstance(kind, str) else kind["name"]
    if name == "bool":
        return st.sampled_from([b"\0", b"\1"])
    if name == "struct":
        parts = [patterns(field["data_type"]) for field in kind["configuration"]["fields"]]
        return st.tuples(*parts).map(b"".join)
    if name == "fixed_length_utf32":
        text = st.text(st.characters(), max_size=dtype.itemsize // 4)
        return text.map(lambda value: np.array(value, dtype).tobytes())
    if name in ml.INTEGERS:
        return st.integers(*ml.INTEGERS[name]).map(lambda value: np.array(value).astype(dtype).tobytes())
    if name in ml.COMPLEX and ml.COMPLEX[name] in ml.FLOATS:
        half = patterns(ml.COMPLEX[name])
        return st.tuples(half, half).map(b"".join)
    if name in ml.FLOATS and ml.FLOATS[name].bits < 8:
        return st.integers(0, (1 << ml.FLOATS[name].bits) - 1).map(lambda value: bytes([value]))
    return st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize)


SMALL = [kind for kind in FIXED if dtype_from_v3(kind).itemsize <= 64]


@given(st.data(), st.sampled_from(SMALL))
def test_fills_round_trip_to_the_bit(data: st.DataObject, kind: Any) -> None:
    dtype = dtype_from_v3(kind)
    raw = data.draw(patterns(kind))
    fill = np.frombuffer(raw, dtype)[0]
    document = json.loads(json.dumps(fill_to_v3(fill, dtype, kind), allow_nan=False))
    again = fill_from_v3(document, dtype, data_type=kind)
    assert type(again) is type(fill)
    assert again.dtype == fill.dtype
    assert np.array(again, dtype).tobytes() == raw


@pytest.mark.parametrize("name", ["float16", *(name for name in ML if name in ml.FLOATS)])
def test_every_element_of_small_floats_round_trips(name: str) -> None:
    dtype = dtype_from_v3(name)
    bits = 16 if name == "float16" else ml.FLOATS[name].bits
    for fill in np.arange(1 << bits).astype(f"u{dtype.itemsize}").view(dtype):
        document = fill_to_v3(fill, dtype, name)
        assert read(name, document).tobytes() == np.array(fill).tobytes(), document


@given(st.text(st.characters(codec="utf-8")), st.binary())
def test_fills_without_a_fixed_size_round_trip(text: str, raw: bytes) -> None:
    assert read("string", json.loads(json.dumps(fill_to_v3(text, np.dtypes.StringDType(), "string")))) == text
    for name in ("bytes", "variable_length_bytes", "binary"):
        assert read(name, json.loads(json.dumps(fill_to_v3(raw, np.dtype(object), name)))) == raw


def test_native_floats_pass_unharmed() -> None:
    """Checked with struct, not with NumPy."""
    for name, code in [("float16", "e"), ("float32", "f"), ("float64", "d")]:
        for number in (0.0, -0.0, 1.5, -2.25, math.inf):
            document = fill_to_v3(np.dtype(name).type(number), np.dtype(name), name)
            assert read(name, document).tobytes() == struct.pack(f"={code}", number)


# ---- hostile documents --------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["name", "configuration", "fields", "data_type", "length_bytes", "unit", "scale_factor", "must_understand", "struct",
     "structured", "fixed_length_utf32", "raw_bytes", "null_terminated_bytes", "numpy.datetime64", "s", "μs", "generic", "a",
     "b",
     "NaN", "NaT", "Infinity", "0x7fc00001", "AQID", "r24", "r12", "real", "imag", *CORE, *ML, "string", "bytes"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-4, 300)
    | st.floats()
    | WORDS
    | st.text(st.characters())
    | st.integers(2**62)
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=4), max_leaves=20
)
#: Nearly right, so that what is wrong lies deep.
TYPES = st.recursive(
    st.sampled_from(FIXED) | WORDS | DOCUMENTS,
    lambda inner: st.builds(
        lambda name, items, extra: {"name": name, "configuration": {"fields": items, **extra}},
        st.sampled_from(["struct", "structured"]),
        st.lists(
            st.builds(lambda name, kind: {"name": name, "data_type": kind}, st.text(st.characters(), max_size=3), inner)
            | st.tuples(st.text(max_size=2), inner).map(list),
            max_size=4,
        ),
        st.just({}) | st.dictionaries(st.text(), SCALARS, max_size=1),
    ),
    max_leaves=6,
)


@given(TYPES)
def test_hostile_data_types(document: Any) -> None:
    try:
        dtype = dtype_from_v3(document)
    except ndzarr.MetadataError:
        return
    assert dtype.kind in "TO" or 0 < dtype.itemsize <= 1 << 26
    name = dtype_to_v3(dtype, "vlen-bytes" if dtype.kind == "O" else None)
    assert dtype_from_v3(name) == dtype
    fill = default_fill(dtype)
    assert (
        np.array(read(name, fill_to_v3(fill, dtype, name)), dtype).tobytes() == np.array(fill, dtype).tobytes()
        or dtype.kind in "TO"
    )


@given(
    st.sampled_from([*SMALL, "string", "bytes", legacy(a="int16", b="complex64")]),
    DOCUMENTS,
    st.sampled_from([None, "little", "big"]),
)
def test_hostile_fill_values(kind: Any, document: Any, endian: str | None) -> None:
    dtype = dtype_from_v3(kind)
    try:
        fill = fill_from_v3(document, dtype, data_type=kind, endian=endian)
    except ndzarr.MetadataError:
        return
    name = dtype_to_v3(dtype, "vlen-bytes" if dtype.kind == "O" else None)
    again = read(name, fill_to_v3(fill, dtype, name))
    assert again == fill if dtype.kind in "TO" else np.array(again, dtype).tobytes() == np.array(fill, dtype).tobytes()


# ---- values of callers --------------------------------------------------------------------------


def test_default_fills() -> None:
    assert default_fill(np.dtypes.StringDType()) == ""
    assert default_fill(np.dtype(object)) == b""
    assert default_fill(np.dtype(object), "vlen-utf8") == ""
    assert np.isnat(default_fill(np.dtype("M8[s]")))
    assert default_fill(np.dtype("m8[s]")).dtype == np.dtype("m8[s]")
    fill = default_fill(np.dtype([("a", "i4"), ("t", "M8[s]"), ("p", [("u", "m8")]), ("x", "f8", (2,))]))
    assert fill["a"] == 0
    assert np.isnat(fill["t"])
    assert np.isnat(fill["p"]["u"])
    assert fill["x"].tolist() == [0, 0]
    for kind in FIXED:
        dtype = dtype_from_v3(kind)
        if dtype.kind not in "mM" and dtype.names is None:
            assert np.array(default_fill(dtype), dtype).tobytes() == bytes(dtype.itemsize)


def test_callers_strings() -> None:
    dtype = np.dtypes.StringDType()
    assert fill_scalar("äx", dtype) == "äx"
    assert fill_scalar(np.str_("x"), dtype) == "x"
    assert type(fill_scalar(np.str_("x"), dtype)) is str
    for value in (5, b"x", "\ud800"):
        with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
            fill_scalar(value, dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "want"),
    [
        ("0x7fc00001", "f4", "0100c07f"), ("NaN", "f8", NAN64), ("+Infinity", "f2", "007c"), ("-Infinity", "f4", "000080ff"),
        ((1, 2), "c8", "0000803f00000040"), (["NaN", "-Infinity"], "c8", NAN32 + "000080ff"), ("NaN", "c8", NAN32 + "00000000"),
        (1 + 2j, "c8", "0000803f00000040"), (np.complex128(1), "c8", "0000803f00000000"), (True, "f4", "0000803f"),
        ("NaT", "m8", "0000000000000080"), (5, "m8", "0500000000000000"), (np.int8(-1), "M8[D]", "ff" * 8),
        (np.float64(0.1), "f4", "cdcccc3d"), ("NaT", "M8[s]", "0000000000000080"), (5, "M8[s]", "0500000000000000"),
        (np.timedelta64(2, "m"), "m8[s]", "7800000000000000"), (np.datetime64(2, "m"), "M8[s]", "7800000000000000"),
        (b"ab", "S3", "616200"), ("ab", "U3", "610000006200000000000000"),
        (b"\1\2\3", "V3", "010203"), (np.void(b"\1\2\3"), "V3", "010203"), (np.array(3), "i2", "0300"),
        (2**64 - 1, "u8", "ff" * 8),
    ],
    ids=str,
)  # fmt: skip
def test_callers_fill_values(value: Any, dtype: str, want: str) -> None:
    for order in "<>":
        assert little(fill_scalar(value, np.dtype(dtype).newbyteorder(order)), np.dtype(dtype)) == want


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("0x7fc1", "f4"), ("nan", "f4"), (1e39, "f4"), ([1, 2], "f4"), ((1, 2, 3), "c8"), (("x", 1), "c8"), ([1, [2]], "c8"),
        (b"abcd", "S3"), ("abcd", "U3"), (b"abcd", "V3"), (2**64, "u8"), (-1, "u1"), (1.5, "i4"), ({}, "f4"), (b"x", "i4"),
    ],
    ids=str,
)  # fmt: skip
def test_callers_fill_values_that_do_not_fit(value: Any, dtype: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match="fill_value") as caught:
        fill_scalar(value, np.dtype(dtype))
    assert caught.value.field == "fill_value"


def test_callers_structs() -> None:
    dtype = np.dtype([("a", ">i2"), ("p", [("x", "f4"), ("y", "S2")]), ("t", "M8[s]"), ("v", "i1", (2,))])
    want = fill_scalar((258, ("0x7fc00001", b"q"), "NaT", [1, 2]), dtype)
    assert (
        want.tobytes() == bytes.fromhex("0102") + b"\1\0\xc0\x7fq\0" + (-(2**63)).to_bytes(8, "little", signed=True) + b"\1\2"
    )
    given_ = {"v": [1, 2], "a": 258, "t": np.datetime64("NaT", "s"), "p": {"y": b"q", "x": "0x7fc00001"}}
    assert fill_scalar(given_, dtype).tobytes() == want.tobytes()
    assert fill_scalar(want, dtype).tobytes() == want.tobytes()
    assert fill_scalar(0, np.dtype([("a", "i4"), ("b", "f4")])).item() == (0, 0)
    for value, message in [
        ({"a": 1}, "'p' is missing"), ({**given_, "z": 1}, "no field 'z'"), ((1, 2), "expected 4 fields"),
        ((70000, (0, b""), 0, 0), "field 'a'"), ((0, (0, b"", 0), 0, 0), "field 'p'"), ((0, (0, b"abc"), 0, 0), "field 'y'"),
        ((0, (0, b""), 0, [1, 2, 3]), "field 'v'"), ({**given_, 5: 1}, "no field 5"),
    ]:  # fmt: skip
        with pytest.raises(ndzarr.ArgumentError, match=message):
            fill_scalar(value, dtype)


@pytest.mark.parametrize("name", [name for name in ML if name not in ml.INTEGERS])
def test_callers_fill_values_of_ml_dtypes(name: str) -> None:
    dtype = dtype_from_v3(name)
    if name in ml.COMPLEX:
        want = read(name, [1, 0.5])
        for value in (1 + 0.5j, (1, 0.5), [1.0, np.float32(0.5)], np.complex64(1 + 0.5j), want):
            assert fill_scalar(value, dtype).tobytes() == want.tobytes()
        for value in ("x", (1,), (1, "x"), object()):
            with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
                fill_scalar(value, dtype)
        return
    want = read(name, 2)
    for value in (2, 2.0, np.float16(2), np.int8(2), np.array(2.0), want):
        assert fill_scalar(value, dtype).tobytes() == want.tobytes()
        assert fill_scalar(value, dtype).dtype == dtype
    if name in ML_NAN:
        assert fill_scalar("NaN", dtype).tobytes() == fill_scalar(math.nan, dtype).tobytes() == read(name, "NaN").tobytes()
    for value in ("x", "0x", [1, 2], object(), 1e300, 10**400):
        with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
            fill_scalar(value, dtype)


@pytest.mark.parametrize("name", [name for name in ML if name in ml.INTEGERS])
def test_callers_small_integers(name: str) -> None:
    dtype = dtype_from_v3(name)
    assert fill_scalar(1, dtype) == fill_scalar(1.0, dtype) == fill_scalar(np.int64(1), dtype) == dtype.type(1)
    for value in (16, -9, 0.5, "1", [1], math.nan, object()):
        with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
            fill_scalar(value, dtype)


def test_names_that_numpy_does_not_know() -> None:
    if ml.dtype_of("bfloat16") is None:
        with pytest.raises(ndzarr.ArgumentError, match="ml_dtypes"):
            ndzarr.ones((3,), dtype="bfloat16")
    else:
        z = ndzarr.ones((3,), dtype="bfloat16")
        assert (z.dtype, z[:].tolist()) == (ml.dtype_of("bfloat16"), [1, 1, 1])
        assert ndzarr.array([1, -2], dtype="int4")[:].tolist() == [1, -2]
    assert ndzarr.zeros((1,), dtype="string")[0] == ""
    assert ndzarr.zeros((1,)).dtype == "f8"
    for nonsense in ("nonsense", "float8_e4m3fn "):
        with pytest.raises(TypeError, match="not understood"):
            ndzarr.zeros((1,), dtype=nonsense)
