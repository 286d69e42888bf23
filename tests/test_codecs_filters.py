"""Filters: what they are bound to, what they refuse, fill values carried through."""

from __future__ import annotations

import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.numcodecs_filter import BytesFilter
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import ArgumentError, CorruptChunkError

DELTA = CodecSpec("delta", {"dtype": "<i4"})


@pytest.mark.parametrize(
    ("name", "configuration", "field"),
    [
        ("delta", {}, "dtype"),
        ("delta", {"dtype": "object"}, "dtype"),
        ("delta", {"dtype": "i9"}, "dtype"),
        ("delta", {"dtype": None}, "dtype"),
        ("delta", {"dtype": 4}, "dtype"),
        ("delta", {"dtype": "i4,i4"}, "dtype"),
        ("delta", {"dtype": ",".join(["i4"] * 50)}, "dtype"),
        ("delta", {"dtype": "(2,2)i4"}, "dtype"),
        ("delta", {"dtype": "<i4", "astype": "|O"}, "astype"),
        ("quantize", {"digits": 1.5, "dtype": "<f8"}, "digits"),
        ("quantize", {"digits": 2, "dtype": "<i4"}, "dtype"),
        ("quantize", {"digits": 400, "dtype": "<f8"}, "digits"),
        ("fixedscaleoffset", {"offset": "0", "scale": 1, "dtype": "<f8"}, "offset"),
        ("fixedscaleoffset", {"offset": 0, "scale": float("nan"), "dtype": "<f8"}, "scale"),
        ("fixedscaleoffset", {"offset": 0, "scale": 0, "dtype": "<f8"}, "scale"),
        ("fixedscaleoffset", {"offset": True, "scale": 1, "dtype": "<f8"}, "offset"),
        ("astype", {"encode_dtype": "<i2"}, "decode_dtype"),
        ("astype", {"encode_dtype": "|S0", "decode_dtype": "<i4"}, "encode_dtype"),
        ("bitround", {}, "keepbits"),
        ("bitround", {"keepbits": -1}, "keepbits"),
        ("bitround", {"keepbits": 65}, "keepbits"),
        ("shuffle", {"elementsize": -1}, "elementsize"),
        ("categorize", {"labels": "ab", "dtype": "|O"}, "labels"),
        ("categorize", {"labels": [1], "dtype": "|O"}, "labels"),
        ("categorize", {"labels": [], "dtype": "<i4"}, "dtype"),
        ("categorize", {"labels": ["x"] * 256, "dtype": "|O", "astype": "|u1"}, "astype"),
        ("transpose", {}, "order"),
        ("transpose", {"order": "A"}, "order"),
        ("transpose", {"order": [0, 0]}, "order"),
        ("transpose", {"order": [1, 2]}, "order"),
        ("transpose", {"order": [True, False]}, "order"),
        ("bytes", {"endian": "middle"}, "endian"),
        ("bytes", {"endian": ["little"]}, "endian"),
        ("bytes", [], "configuration"),
    ],
)
def test_bad_configurations_name_the_field(name, configuration, field):
    with pytest.raises(ArgumentError, match=field) as info:
        create_codec(CodecSpec(name, configuration))
    assert info.value.codec == name


@pytest.mark.parametrize(
    ("name", "configuration", "chunk", "words"),
    [
        ("delta", {"dtype": "<i8"}, ((3,), "<i4"), "'<i8', into which a chunk of 12 bytes does not divide"),
        ("delta", {"dtype": "<i8"}, ((3,), "O"), "holds objects; put a codec that turns them into bytes first"),
        ("shuffle", {"elementsize": 8}, ((3,), "<i4"), "elements of 8 bytes, into which 12 bytes do not divide"),
        ("bitround", {"keepbits": 3}, ((3,), "|b1"), "takes floats, complex numbers, integers and dates"),
        ("bitround", {"keepbits": 3}, ((3,), "|S4"), "not dtype"),
        ("bitround", {"keepbits": 3}, ((3,), np.longdouble), "takes floats"),
        ("categorize", {"labels": [], "dtype": "|O"}, ((3,), "<U4"), "the array's is '<U4'"),
        ("categorize", {"labels": [], "dtype": "<U4"}, ((3,), "O"), "the array's is '|O'"),
        ("categorize", {"labels": [], "dtype": "<U5"}, ((3,), "<U4"), "does not divide"),
        ("transpose", {"order": [1, 0]}, ((3,), "<i4"), "has 2 axes, the chunk 1"),
        ("vlen-utf8", {}, ((3,), "<i4"), "takes objects, not dtype int32"),
        ("vlen-bytes", {}, ((3,), "|S4"), "takes objects"),
        ("json2", {}, ((3,), "<M8[s]"), "cannot store dtype"),
        ("msgpack2", {}, ((3,), "<c8"), "cannot store dtype"),
        ("bytes", {}, ((3,), "O"), "'vlen-utf8' for strings"),
        ("zlib", {}, ((3,), "O"), "'vlen-utf8' for strings"),
    ],
)
def test_chunks_that_do_not_fit_are_refused(name, configuration, chunk, words):
    with pytest.raises(ArgumentError, match=words) as info:
        build([CodecSpec(name, configuration)], ChunkSpec(chunk[0], np.dtype(chunk[1])))
    assert info.value.codec == name.replace("zlib", "bytes")


def test_fill_values_go_forward_where_that_is_cheap():
    chunk = ChunkSpec((2, 3), np.dtype("<f8"), 1.26)
    for spec, fill in (
        (CodecSpec("quantize", {"digits": 1, "dtype": "<f8"}), 1.25),
        (CodecSpec("astype", {"encode_dtype": "<i2", "decode_dtype": "<f8"}), 1),
        (CodecSpec("fixedscaleoffset", {"offset": 1, "scale": 100, "dtype": "<f8", "astype": "<i4"}), 26),
        (CodecSpec("bitround", {"keepbits": 1}), 1.5),
        (CodecSpec("delta", {"dtype": "<f8"}), None),
        (CodecSpec("transpose", {"order": [1, 0]}), 1.26),
    ):
        resolved = create_codec(spec).bind(chunk).resolve(chunk)
        assert resolved.fill_value == fill
        assert resolved.shape in ((2, 3), (3, 2))
    chunk = ChunkSpec((2, 3), np.dtype("<f8"))
    assert create_codec(CodecSpec("bitround", {"keepbits": 1})).resolve(chunk).fill_value is None
    nine = ChunkSpec((1,), np.dtype("<M8[s]"), np.datetime64("NaT", "s"))
    assert create_codec(CodecSpec("astype", {"encode_dtype": "|S1", "decode_dtype": "<M8[s]"})).resolve(nine).size == 1
    text = ChunkSpec((1,), np.dtype("<U2"), "ab")
    astype = create_codec(CodecSpec("astype", {"encode_dtype": "<f8", "decode_dtype": "<U2"}))
    assert astype.resolve(text).fill_value is None  # "ab" is no number


def test_filters_over_bytes():
    """v2 takes any order; a filter then sees bytes as elements of its dtype."""
    array = np.arange(40, dtype="<i4")
    chain = [CodecSpec("none"), CodecSpec("base64"), CodecSpec("delta", {"dtype": "|u1"}), CodecSpec("zlib")]
    pipeline = build(chain, ChunkSpec(array.shape, array.dtype))
    assert [type(c).__name__ for c in pipeline.codecs] == ["BytesCodec", "Base64Codec", "BytesFilter", "ZlibCodec"]
    assert [c.name for c in pipeline.codecs] == ["bytes", "base64", "delta", "zlib"]
    assert np.array_equal(pipeline.decode(pipeline.encode(array)), array)
    wrapper = pipeline.codecs[2]
    assert wrapper.configuration() == {"dtype": "|u1", "astype": "|u1"}
    with pytest.raises(ArgumentError):
        BytesFilter.from_spec({})
    with pytest.raises(CorruptChunkError):
        wrapper.decode(b"abc", size=4, limit=4)
    with pytest.raises(CorruptChunkError):
        wrapper.decode(b"abc", size=None, limit=2)
    # Elements of four bytes do not come out of a compressor, unless by chance.
    pipeline = build([CodecSpec("zlib"), DELTA], ChunkSpec((40,), np.dtype("<i4")))
    assert pipeline.max_encoded is not None
    with pytest.raises(CorruptChunkError, match="expected elements of 4"):
        pipeline.decode(b"abcde")
    with pytest.raises(ArgumentError, match="do not divide"):
        build([CodecSpec("crc32"), CodecSpec("delta", {"dtype": "<i8"})], ChunkSpec((1,), np.dtype("<i8")))
    packed = build([CodecSpec("zlib"), CodecSpec("numcodecs.packbits")], ChunkSpec((4,), np.dtype("?")))
    with pytest.raises(CorruptChunkError, match="found no bytes"):
        packed.decode(b"")


def test_packbits_counts_its_padding():
    pipeline = build([CodecSpec("numcodecs.packbits")], ChunkSpec((11,), np.dtype("?")))
    encoded = bytes(pipeline.encode(np.arange(11) % 2 == 0))
    assert encoded == b"\x05" + bytes([0b10101010, 0b10100000])
    for first in (0, 4, 6, 255):
        with pytest.raises(CorruptChunkError, match=f"counts {first} padding bits, expected 5"):
            pipeline.decode(bytes([first]) + encoded[1:])


def test_categories_beyond_the_labels_are_damage():
    spec = CodecSpec("categorize", {"labels": ["a", "b"], "dtype": "|O", "astype": "|i1"})
    pipeline = build([spec], ChunkSpec((3,), np.dtype(object)))
    assert pipeline.encode(np.array(["b", "?", "a"], object)) == b"\x02\0\x01"
    assert pipeline.decode(b"\x02\0\x01").tolist() == ["b", "", "a"]
    for data in (b"\x03\0\0", b"\xff\0\0"):
        with pytest.raises(CorruptChunkError, match="there are 2 labels"):
            pipeline.decode(data)


def test_repr_and_equality():
    delta = create_codec(DELTA)
    assert repr(delta) == "DeltaCodec({'dtype': '<i4', 'astype': '<i4'})"
    assert delta == create_codec(DELTA)
    assert delta != create_codec(CodecSpec("delta", {"dtype": "<i8"}))
    assert delta != create_codec(CodecSpec("zlib"))
