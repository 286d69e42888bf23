from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.dtypes.fill import fill_scalar
from ndzarr.dtypes.v2 import dtype_from_v2, dtype_to_v2, fill_from_v2, fill_to_v2

SIMPLE = [
    "|b1", "|i1", "|u1", *(o + k for o in "<>" for k in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")),
    np.dtype("longdouble").str, np.dtype("clongdouble").str, "|S1", "|S300", "<U1", ">U7", "|V3", "|O",
    "<M8[ns]", ">M8[D]", "<m8[25s]", "<M8[Y]", "<M8[as]", "<m8", "<M8",
]  # fmt: skip


@pytest.mark.parametrize("name", SIMPLE)
def test_simple_round_trip(name: str) -> None:
    dtype = dtype_from_v2(name)
    assert dtype == np.dtype(name)
    assert dtype_to_v2(dtype) == name


@pytest.mark.parametrize("name", ["<i1", "<b1", ">u1", "i4", "=f8"])
def test_other_writers_spellings(name: str) -> None:
    assert dtype_from_v2(name) == np.dtype(name)


STRUCTURED = [
    np.dtype([("a", "<i4"), ("b", ">f8")]),
    np.dtype([("a", "<i4", (2,)), ("b", "S3")]),
    np.dtype([("a", [("x", "<f4"), ("y", "<f4", (2, 3))]), ("b", "<M8[D]")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([("a", [("x", "i1"), ("y", "f4")], (2,)), ("c", "i2")], align=True),
    np.dtype({"names": ["p", "q"], "formats": ["<i2", "<f4"], "offsets": [4, 10], "itemsize": 20}),
]


@pytest.mark.parametrize("dtype", STRUCTURED, ids=str)
def test_structured_round_trip(dtype: np.dtype[Any]) -> None:
    document = json.loads(json.dumps(dtype_to_v2(dtype)))
    back = dtype_from_v2(document)
    assert back.itemsize == dtype.itemsize
    assert back.names == dtype.names
    for name in dtype.names or ():
        assert back.fields[name][:2] == dtype.fields[name][:2]


def test_padding_keeps_offsets_and_drops_names() -> None:
    dtype = dtype_from_v2([["a", "|i1"], ["", "|V7"], ["b", "<f8"]])
    assert dtype.names == ("a", "b")
    assert dtype.fields["b"][1] == 8


@pytest.mark.parametrize(
    "document",
    [
        "", "x4", "<i3", "i4,f8", "<U", "|S", "|S0", "float32", "os.system", 4, None, [], {}, ["<i4"], [["a"]], [["a", 4]],
        [[4, "<i4"]], [["a", "<i4"], ["a", "<i4"]], [["", "|V4"]], [["a", "<i4", [-1]]], [["a", "<i4", ["2"]]],
        [["a", "<i4", [1 << 31]]], "|V9999999999", [["a", "|V2147483647"], ["b", "|V2147483647"]], [["a", []]],
    ],
)  # fmt: skip
def test_bad_dtypes(document: Any) -> None:
    with pytest.raises(ndzarr.MetadataError, match="dtype") as caught:
        dtype_from_v2(document)
    assert caught.value.field == "dtype"


def test_deeply_nested_dtype() -> None:
    document: Any = "<i4"
    for _ in range(60):
        document = [["a", document]]
    with pytest.raises(ndzarr.MetadataError, match="nested"):
        dtype_from_v2(document)


@pytest.mark.parametrize("dtype", [np.dtype("S"), np.dtype("U"), np.dtypes.StringDType()], ids=str)
def test_dtypes_that_v2_cannot_name(dtype: np.dtype[Any]) -> None:
    with pytest.raises(ndzarr.ArgumentError, match="cannot store dtype"):
        dtype_to_v2(dtype)


FILLS: list[tuple[str, Any, Any]] = [
    ("<f4", "NaN", np.float32("nan")),
    ("<f8", "Infinity", math.inf),
    ("<f2", "-Infinity", -math.inf),
    (">f8", math.nan, math.nan),
    ("<f4", 3, np.float32(3)),
    ("<f4", -0.0, -0.0),
    ("<i4", 3.0, 3),
    ("<i4", -7, -7),
    ("<u8", 2**64 - 1, 2**64 - 1),
    ("|b1", True, True),
    ("|b1", 0, False),
    ("<c8", [1, "NaN"], complex(1, math.nan)),
    ("<c16", 2, 2 + 0j),
    ("<M8[ns]", "NaT", np.datetime64("NaT", "ns")),
    (">M8[s]", 5, np.datetime64(5, "s")),
    ("<m8[25s]", -3, np.array(-3, "i8").view("m8[25s]")[()]),
    ("|S3", "YWI=", b"ab"),
    ("|S3", 0, b""),
    ("<U3", "äö", "äö"),
    ("<U3", 0, ""),
    ("|V2", "AQI=", np.void(b"\x01\x02")),
]


@pytest.mark.parametrize(("name", "document", "want"), FILLS, ids=lambda v: str(v)[:20])
def test_fill_forms(name: str, document: Any, want: Any) -> None:
    dtype = np.dtype(name)
    fill = fill_from_v2(document, dtype)
    assert np.array(fill, dtype).tobytes() == np.array(want, dtype).tobytes()
    again = fill_from_v2(json.loads(json.dumps(fill_to_v2(fill, dtype), allow_nan=False)), dtype)
    assert np.array(again, dtype).tobytes() == np.array(fill, dtype).tobytes()


def test_structured_fill_is_base64_of_the_element() -> None:
    dtype = np.dtype([("a", ">i2"), ("b", "<f4", (2,))])
    fill = np.array((1, [2, 3]), dtype)[()]
    document = fill_to_v2(fill, dtype)
    assert isinstance(document, str)
    back = fill_from_v2(document, dtype)
    assert back.tobytes() == fill.tobytes()
    assert fill_from_v2(0, dtype).tobytes() == bytes(10)
    assert fill_from_v2(None, dtype) is None


def test_object_fills() -> None:
    dtype = np.dtype(object)
    assert fill_from_v2(0, dtype, "vlen-utf8") == ""
    assert fill_from_v2("x", dtype, "vlen-utf8") == "x"
    assert fill_from_v2(0, dtype, "vlen-bytes") == b""
    assert fill_from_v2(fill_to_v2(b"\xff", dtype, "vlen-bytes"), dtype, "vlen-bytes") == b"\xff"
    assert fill_from_v2({"a": 1}, dtype, "json2") == {"a": 1}
    with pytest.raises(ndzarr.ArgumentError):
        fill_to_v2(object(), dtype, "json2")


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("<i4", 1.5), ("<i4", True), ("<i4", "1"), ("|u1", 256), ("|i1", -129), ("<i4", [1]), ("<i4", math.nan),
        ("<f4", True), ("<f4", "nan"), ("<f4", [1]), ("|b1", 2), ("|b1", "true"), ("<c8", [1]), ("<c8", ["x", 1]),
        ("<M8[s]", "2020"), ("<M8[s]", 1.5), ("<M8[s]", 2**63), ("|S2", "YWJj"), ("|S2", "!"), ("|S2", 5), ("<U2", "abc"),
        ("<U2", 1), ("|V2", "AQ=="), ("|V2", []), ("<i4", {}),
    ],
)  # fmt: skip
def test_bad_fills(name: str, document: Any) -> None:
    with pytest.raises(ndzarr.MetadataError, match="fill_value") as caught:
        fill_from_v2(document, np.dtype(name))
    assert caught.value.field == "fill_value"


def test_callers_fill_values() -> None:
    assert np.isnan(fill_scalar("NaN", np.dtype("f4")))
    assert fill_scalar(3.0, np.dtype("i4")) == 3
    assert fill_scalar(None, np.dtype("i4")) is None
    for value, name in [(3.5, "i4"), ("x", "f4"), (300, "u1"), ([1, 2], "i4"), (object(), "f8")]:
        with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
            fill_scalar(value, np.dtype(name))


def test_longdouble_fill_that_json_cannot_hold() -> None:
    value = np.longdouble(1) + np.finfo(np.longdouble).eps
    if value == float(value):  # a platform whose longdouble is a double
        return
    with pytest.raises(ndzarr.ArgumentError, match="digits"):
        fill_to_v2(value, np.dtype("longdouble"))
