"""Objects: vlen-*, json2, msgpack2 and pickle."""

from __future__ import annotations

import json
import pickle
import struct

import msgpack
import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import ArgumentError, CorruptChunkError

O = np.dtype(object)  # noqa: E741  # the dtype's own letter


def chain(name: str, shape: tuple[int, ...] = (2,), dtype: np.dtype = O, **configuration):
    return build([CodecSpec(name, configuration)], ChunkSpec(shape, dtype), allow_pickle=True)


def objects(*items) -> np.ndarray:
    return np.fromiter(items, object, len(items))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("vlen-utf8", b"", "at least 12"),
        ("vlen-utf8", struct.pack("<I", 3) + bytes(12), "holds 3 items, expected 2"),
        ("vlen-utf8", struct.pack("<III", 2, 0, 5) + b"abcd", "truncated"),
        ("vlen-utf8", struct.pack("<III", 2, 0, 2) + b"abc", "1 bytes follow"),
        ("vlen-utf8", struct.pack("<II", 2, 0xFFFFFFFF) + b"abcd", "truncated"),
        ("vlen-utf8", struct.pack("<III", 2, 0, 1) + b"\xff", "utf-8"),
        ("vlen-bytes", struct.pack("<III", 2, 0, 5) + b"abcd", "truncated"),
        ("vlen-bytes", struct.pack("<III", 2, 0, 2) + b"abc", "1 bytes follow"),
        ("vlen-array", struct.pack("<III", 2, 0, 3) + b"abc", "divis"),
        ("vlen-array", struct.pack("<III", 2, 0, 4) + b"abcde", "1 bytes follow"),
    ],
)
def test_vlen_damage(name, data, words):
    spec = CodecSpec(name, {"dtype": "<i4"} if name == "vlen-array" else {})
    pipeline = build([spec], ChunkSpec((2,), O))
    with pytest.raises(CorruptChunkError, match=words) as info:
        pipeline.decode(data)
    assert info.value.codec == name


def test_vlen_missing_values_are_empty():
    assert chain("vlen-utf8").decode(chain("vlen-utf8").encode(objects(None, 0))).tolist() == ["", ""]
    assert chain("vlen-bytes").decode(chain("vlen-bytes").encode(objects(None, 0))).tolist() == [b"", b""]
    pipeline = build([CodecSpec("vlen-array", {"dtype": "<i4"})], ChunkSpec((2,), O))
    assert [a.tolist() for a in pipeline.decode(pipeline.encode(objects(None, np.array([7], "<i4"))))] == [[], [7]]


@pytest.mark.parametrize(
    ("name", "items"),
    [("vlen-utf8", (1, "a")), ("vlen-utf8", (b"a", "a")), ("vlen-bytes", ("a", b"")), ("json2", (1j, 2)), ("json2", ({1}, 2))],
)
def test_values_that_do_not_fit_are_the_callers_fault(name, items):
    with pytest.raises(ArgumentError, match=f"cannot encode a chunk: codec '{name}'"):
        chain(name).encode(objects(*items))


def test_vlen_array_needs_a_plain_dtype():
    for dtype in ("|O", "<M8[s]"):
        with pytest.raises(ArgumentError, match="dtype"):
            create_codec(CodecSpec("vlen-array", {"dtype": dtype}))


def test_numpys_strings():
    strings = np.dtypes.StringDType()
    words = np.array(["", "中文", "x" * 100], strings)
    for name in ("vlen-utf8", "json2", "msgpack2"):
        pipeline = chain(name, (3,), strings)
        found = pipeline.decode(bytes(pipeline.encode(words)))
        assert found.dtype == strings
        assert found.tolist() == words.tolist()
    assert bytes(chain("vlen-utf8", (3,), strings).encode(words)) == bytes(
        chain("vlen-utf8", (3,)).encode(words.astype(object))
    )


@pytest.mark.parametrize("pack", [lambda x: json.dumps(x).encode(), msgpack.packb], ids=["json2", "msgpack2"])
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "no list"),
        ([], "no list"),
        (["|O"], "no list"),
        (5, "no list"),
        ([1, 2], "no list"),
        (["a", "b", "|O", 2], "the shape is 2"),
        (["a", "b", "|O", [3]], "expected 2 items"),
        (["a", "b", "|O", [-2]], "expected 2 items"),
        (["a", "b", "|O", [True, 2]], "expected 2 items"),
        (["a", "b", "|O", [2.0]], "expected 2 items"),
        (["a", "|O", [2]], "do not have the shape"),
        (["a", "b", "c", "|O", [2]], "do not have the shape"),
        (["a", "b", "|O", [1, 2]], "do not have the shape"),
        ([["a"], ["b"], "|O", [1, 2]], "do not have the shape"),
        ([["a", "b"], "|O", [2, 1]], "do not have the shape"),
        (["a", "b", "|O", []], "expected 2 items"),
    ],
)
def test_documents_that_lie_are_refused(pack, document, words, request):
    name = "json2" if "json2" in request.node.name else "msgpack2"
    with pytest.raises(CorruptChunkError, match=words):
        chain(name).decode(pack(document))


@pytest.mark.parametrize(("name", "pack"), [("json2", lambda x: json.dumps(x).encode()), ("msgpack2", msgpack.packb)])
def test_documents(name, pack):
    assert chain(name).decode(pack([["a", [1]], {"b": []}, "|O", [2]])).tolist() == [["a", [1]], {"b": []}]
    assert chain(name, (2, 1)).decode(pack([[[1, 2]], [[3]], "|O", [2, 1]])).tolist() == [[[1, 2]], [[3]]]
    # The shape of a Fortran-ordered chunk, as zarr-python 2 wrote it, and a dtype that would take a gigabyte an item.
    assert chain(name, (3, 2)).decode(pack([[1, 2, 3], [4, 5, 6], "|V1000000000", [2, 3]])).shape == (3, 2)
    assert chain(name, (2,), np.dtype("<f8")).decode(pack([1, 2.5, "<f8", [2]])).tolist() == [1.0, 2.5]
    assert chain(name, ()).decode(bytes(chain(name, ()).encode(np.array("x", object)))).tolist() == "x"
    assert chain(name, (0,)).decode(pack(["|O", [0]])).shape == (0,)
    for items in (["x", 1], [[1], [2]], [None, 1]):
        with pytest.raises(CorruptChunkError):
            chain(name, (2,), np.dtype("<i4")).decode(pack([*items, "<i4", [2]]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"\xff",
        b'["a", "b", "|O", [2]] x',
        b"[" * 100_000,
        b'["a", "\n", "|O", [2]]',
        b"[1" + b"0" * 5000 + b', 1, "|O", [2]]',
    ],
)
def test_json_damage(data):
    with pytest.raises(CorruptChunkError, match=r"^json2: "):
        chain("json2").decode(data)


def test_json_texts():
    assert chain("json2", strict=False).decode(b'["a", "\n", "|O", [2]]').tolist() == ["a", "\n"]
    assert chain("json2").decode(b'[NaN, -Infinity, "|O", [2]]').tolist()[1] == float("-inf")
    with pytest.raises(ArgumentError, match=r"out of range|compliant"):
        chain("json2", allow_nan=False).encode(objects(float("nan"), 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoding", "zip"),
        ("encoding", "bz2"),
        ("encoding", "os"),
        ("encoding", "rot13"),
        ("encoding", 8),
        ("indent", -1),
        ("indent", True),
        ("separators", ","),
        ("separators", [",", 1]),
        ("strict", 1),
        ("sort_keys", None),
    ],
)
def test_json_configuration(field, value):
    with pytest.raises(ArgumentError, match=field):
        create_codec(CodecSpec("json2", {field: value}))


def test_json_configuration_of_numcodecs():
    import numcodecs

    for arguments in ({}, {"indent": 1}, {"encoding": "UTF8", "separators": (";", "=")}):
        config = numcodecs.JSON(**arguments).get_config()
        config.pop("id")
        found = create_codec(CodecSpec("json2", config)).configuration()
        assert found == {**config, "separators": list(config["separators"])}
        json.dumps(found)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x94\xa1a", b"\x91" * 5000, b"\x92\xa2|O\x91\x02\0"])
def test_msgpack_damage(data):
    with pytest.raises(CorruptChunkError, match=r"^msgpack2: "):
        chain("msgpack2").decode(data)


def test_msgpack_extensions_stay_plain():
    data = msgpack.packb([msgpack.ExtType(5, b"cos\nsystem\n"), 1, "|O", [2]])
    assert chain("msgpack2").decode(data).tolist() == [msgpack.ExtType(5, b"cos\nsystem\n"), 1]
    raw = chain("msgpack2", raw=True)
    assert raw.decode(raw.encode(objects("é", 1))).tolist() == ["é".encode(), 1]


def test_msgpack_may_be_missing(monkeypatch):
    monkeypatch.setattr("ndzarr.codecs.msgpack2.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"needs msgpack: pip install 'ndzarr\[codecs\]'"):
        create_codec(CodecSpec("msgpack2"))


# ---- pickle ---------------------------------------------------------------------------------------------------------


class Canary:
    """Unpickling it touches a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("name", ["pickle", "numcodecs.pickle"])
def test_pickle_is_refused_unless_allowed(name, tmp_path):
    canary = tmp_path / "canary"
    with pytest.raises(ArgumentError, match="pass allow_pickle=True") as info:
        build([CodecSpec(name)], ChunkSpec((2,), O))
    assert info.value.field == "allow_pickle"
    data = pickle.dumps(Canary(str(canary)))
    # Nor does any codec that anybody may name reach it.
    for other in ("json2", "msgpack2", "vlen-utf8", "vlen-bytes", "vlen-array"):
        pipeline = build([CodecSpec(other, {"dtype": "<i4"} if other == "vlen-array" else {})], ChunkSpec((2,), O))
        with pytest.raises(CorruptChunkError):
            pipeline.decode(data)
    assert not canary.exists()


def test_pickle_when_allowed():
    pipeline = chain("pickle", (2, 3))
    array = np.array([[1, "a", None], [{2}, 1j, b""]], object)
    assert pipeline.decode(pipeline.encode(array)).tolist() == array.tolist()
    # As zarr-python 2 wrote Fortran-ordered chunks; the transpose comes first in our chain.
    order = CodecSpec("transpose", {"order": [1, 0]})
    fortran = build([order, CodecSpec("pickle")], ChunkSpec((2, 3), O), allow_pickle=True)
    assert fortran.decode(pickle.dumps(np.asfortranarray(array))).tolist() == array.tolist()
    for found in (5, np.zeros(5), [1, 2]):
        with pytest.raises(CorruptChunkError, match="expected 6"):
            pipeline.decode(pickle.dumps(found))
    with pytest.raises(CorruptChunkError, match="1 bytes follow"):
        pipeline.decode(bytes(pipeline.encode(array)) + b"x")
    for protocol in (-1, True, 256):
        with pytest.raises(ArgumentError, match="protocol"):
            create_codec(CodecSpec("pickle", {"protocol": protocol}), allow_pickle=True)
