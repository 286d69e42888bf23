"""Documents that the specification allows and that zarr-python 3.1.6 rejected: each opens, and gives the right values."""

from __future__ import annotations

import importlib.util
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest

import ndzarr

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BASE: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [3],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [LITTLE],
}


def opened(chunk: bytes, **fields: Any) -> ndzarr.ZArray:
    """An array whose first chunk is stored, and whose second is not."""
    document = json.dumps({**BASE, **fields}).encode()
    return ndzarr.open_array({"zarr.json": document, "c/0": chunk, "c/0/0": chunk}, mode="r")


FLOATS = struct.pack("<2f", 1.5, -2)


@pytest.mark.parametrize(
    "fields",
    [
        {"codecs": ["bytes"]},
        {"chunk_key_encoding": "default"},
        {"chunk_key_encoding": {"name": "default"}},
        {"data_type": {"name": "float32"}},
        {"data_type": {"name": "float32", "configuration": {}}},
        {"consolidated_metadata": None},
        {"storage_transformers": []},
        {"fill_value": "0x00000000"},
        {"extension": {"must_understand": False}},
        {"codecs": [{"name": "transpose", "configuration": {"order": "C"}}, LITTLE]},
        {"codecs": [{"name": "transpose", "configuration": {"order": "F"}}, LITTLE]},
        {"chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[2, 1]]}}},
        {"chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[[2, 2]]]}}},
        {"chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [2]}}},
    ],
    ids=lambda fields: json.dumps(fields),
)
def test_documents_that_differ_in_form(fields: dict[str, Any]) -> None:
    if fields.get("codecs") == ["bytes"]:
        # Without `endian`, for elements of one byte only.
        z = opened(b"\x01\x02", data_type="uint8", **fields)
        assert np.array_equal(z[...], np.array([1, 2, 0], "u1"))
        return
    z = opened(FLOATS, **fields)
    assert z.dtype == np.float32
    assert np.array_equal(z[...], np.array([1.5, -2, 0], "f4"))


def test_raw_bits() -> None:
    z = opened(b"\x01\x02\x03\x04", data_type="r16", fill_value=[9, 8], codecs=[{"name": "bytes"}])
    assert z.dtype == np.dtype("V2")
    assert z[...].tobytes() == b"\x01\x02\x03\x04\x09\x08"


def test_bytes_with_a_fill_value_of_numbers() -> None:
    chunk = struct.pack("<I", 2) + struct.pack("<I", 1) + b"x" + struct.pack("<I", 3) + b"\x00yz"
    z = opened(chunk, data_type="bytes", fill_value=[1, 2], codecs=[{"name": "vlen-bytes"}])
    assert z[...].tolist() == [b"x", b"\x00yz", b"\x01\x02"]


def test_struct() -> None:
    fields = [{"name": "a", "data_type": "int16"}, {"name": "b", "data_type": "float32"}]
    z = opened(
        struct.pack("<hfhf", 1, 1.5, 2, 2.5),
        data_type={"name": "struct", "configuration": {"fields": fields}},
        fill_value={"a": -1, "b": "NaN"},
    )
    assert z.dtype == np.dtype([("a", "i2"), ("b", "f4")])
    assert z["a"].tolist() == [1, 2, -1]
    assert np.array_equal(z["b"], np.array([1.5, 2.5, np.nan], "f4"), equal_nan=True)


def test_bfloat16() -> None:
    fields: dict[str, Any] = {"data_type": "bfloat16", "fill_value": "NaN"}
    if importlib.util.find_spec("ml_dtypes") is None:
        with pytest.raises(ndzarr.NdzarrError, match="ml_dtypes"):
            opened(b"", **fields)
        return
    z = opened(struct.pack("<2H", 0x3FC0, 0xC000), **fields)
    assert z[:2].astype("f4").tolist() == [1.5, -2]
    assert z[2:].view("u2").tolist() == [0x7FC0]


def test_a_transposition_named_f() -> None:
    """`"F"` is the reversal of the axes."""
    grid = {"name": "regular", "configuration": {"chunk_shape": [2, 3]}}
    codecs = [{"name": "transpose", "configuration": {"order": "F"}}, LITTLE]
    values = np.arange(6, dtype="f4").reshape(2, 3)
    z = opened(values.T.tobytes(), shape=[2, 3], chunk_grid=grid, codecs=codecs)
    assert np.array_equal(z[...], values)


@pytest.mark.parametrize("name", ["zlib", "numcodecs.zlib"])
def test_codecs_of_numcodecs_without_their_prefix(name: str) -> None:
    z = opened(zlib.compress(FLOATS), codecs=[LITTLE, {"name": name, "configuration": {"level": 1}}])
    assert z[...].tolist() == [1.5, -2, 0]


@pytest.mark.parametrize("must_understand", [False, True])
def test_an_unknown_codec_is_refused_by_name(must_understand: bool) -> None:
    """Even one that need not be understood: it ran when the chunk was written, and to skip it would give other values."""
    codecs = [LITTLE, {"name": "example.org/unheard-of", "must_understand": must_understand}]
    with pytest.raises(ndzarr.NdzarrError, match=r"example\.org/unheard-of"):
        opened(FLOATS, codecs=codecs)[...]


@pytest.mark.parametrize("extension", [{"must_understand": True}, {"name": "x"}, "text", 1, [], None])
def test_an_unknown_member_is_refused_by_name(extension: Any) -> None:
    with pytest.raises(ndzarr.NdzarrError, match="extension"):
        opened(FLOATS, extension=extension)
