"""Chains in v3's words and in v2's: the names, the configurations, and that the bytes are the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.argument import normalize_all, to_v2, to_v3
from ndzarr.codecs.base import ArrayArrayCodec, ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.chains import to_v3 as same
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec, get_codec, register_codec, unregister_codec
from ndzarr.errors import ArgumentError


def spec(dtype, shape=(3, 4), fill=None):
    return ChunkSpec(shape, np.dtype(dtype) if not isinstance(dtype, np.dtype) else dtype, fill)


def said(argument, dtype, **options):
    return [(item.name, dict(item.configuration)) for item in to_v3(normalize_all(argument), spec(dtype), **options)]


LITTLE, BIG = ("bytes", {"endian": "little"}), ("bytes", {"endian": "big"})
BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}


@pytest.mark.parametrize(
    ("argument", "dtype", "wanted"),
    [
        (None, "<i4", [LITTLE]),
        (None, ">i4", [BIG]),
        (None, "|u1", [("bytes", {})]),
        (None, "|b1", [("bytes", {})]),
        (None, "|S5", [("bytes", {})]),
        (None, "|V5", [("bytes", {})]),
        (None, ">U2", [BIG]),
        (None, "<M8[s]", [LITTLE]),
        (None, [("a", "|u1"), ("b", "|S2")], [("bytes", {})]),
        (None, [("a", "|u1"), ("b", ">i2")], [BIG]),
        (None, np.dtypes.StringDType(), [("vlen-utf8", {})]),
        (None, object, [("vlen-bytes", {})]),
        ("vlen-utf8", object, [("vlen-utf8", {})]),
        (["vlen-utf8", "zstd"], np.dtypes.StringDType(), [("vlen-utf8", {}), ("zstd", {"level": 1})]),
        ("gzip", "<i4", [LITTLE, ("gzip", {"level": 1})]),
        ({"id": "gzip", "level": -1}, "<i4", [LITTLE, ("gzip", {"level": 6})]),
        ({"id": "zstd", "level": 3, "checksum": False}, "<i4", [LITTLE, ("zstd", {"level": 3})]),
        ({"id": "zstd", "level": 3, "checksum": True}, "<i4", [LITTLE, ("zstd", {"level": 3, "checksum": True})]),
        ("crc32c", "<i4", [LITTLE, ("crc32c", {})]),
        ({"id": "crc32c", "location": "end"}, "<i4", [LITTLE, ("crc32c", {})]),
        ({"id": "crc32c", "location": "start"}, "<i4", [LITTLE, ("numcodecs.crc32c", {"location": "start"})]),
        ("crc32", "<i4", [LITTLE, ("numcodecs.crc32", {})]),
        ("zlib", "<i4", [LITTLE, ("numcodecs.zlib", {"level": 1})]),
        ("none", "<i4", [LITTLE]),
        ("blosc", "<i4", [LITTLE, ("blosc", BLOSC)]),
        ("blosc", "|u1", [("bytes", {}), ("blosc", {**BLOSC, "typesize": 1})]),
        ({"id": "blosc", "shuffle": -1}, "|u1", [("bytes", {}), ("blosc", {**BLOSC, "shuffle": "bitshuffle", "typesize": 1})]),
        ({"id": "blosc", "shuffle": -1}, "<i4", [LITTLE, ("blosc", BLOSC)]),
        ({"id": "blosc", "shuffle": 0}, "<i4", [LITTLE, ("blosc", {**BLOSC, "shuffle": "noshuffle"})]),
        ({"id": "blosc", "typesize": 2}, "<i4", [LITTLE, ("blosc", {**BLOSC, "typesize": 2})]),
        ({"name": "blosc", "configuration": {**BLOSC, "typesize": 8}}, "<i4", [LITTLE, ("blosc", {**BLOSC, "typesize": 8})]),
        ("blosc", "|S300", [("bytes", {}), ("blosc", {**BLOSC, "typesize": 1})]),
        (
            ["crc32c", "blosc"],
            "<i4",
            [LITTLE, ("crc32c", {}), ("blosc", {**BLOSC, "typesize": 1})],
        ),
        (["vlen-utf8", "blosc"], object, [("vlen-utf8", {}), ("blosc", {**BLOSC, "typesize": 1})]),
        (
            [{"id": "delta", "dtype": "<i4", "astype": "<i2"}, "blosc"],
            "<i4",
            [("numcodecs.delta", {"dtype": "<i4", "astype": "<i2"}), LITTLE, ("blosc", {**BLOSC, "typesize": 2})],
        ),
        # What v2 stores as big-endian is native in memory in v3, and stored as it was.
        (
            {"id": "delta", "dtype": ">i4"},
            ">i4",
            [("numcodecs.delta", {"dtype": "<i4", "astype": "<i4"}), BIG],
        ),
        (
            {"id": "astype", "encode_dtype": "|u1", "decode_dtype": ">i4"},
            ">i4",
            [("numcodecs.astype", {"encode_dtype": "|u1", "decode_dtype": "<i4"}), ("bytes", {})],
        ),
        ("packbits", "|b1", [("numcodecs.packbits", {}), ("bytes", {})]),
        ({"id": "packbits"}, "|b1", [("numcodecs.packbits", {}), ("bytes", {})]),
        ({"name": "packbits"}, "|b1", [("packbits", {"padding_encoding": "none"})]),
        ({"id": "bitround", "keepbits": 3}, "<f4", [("numcodecs.bitround", {"keepbits": 3}), LITTLE]),
        ({"name": "bitround", "configuration": {"keepbits": 3}}, "<i4", [("bitround", {"keepbits": 3}), LITTLE]),
        ({"id": "bitround", "keepbits": 23}, "<f4", [("bitround", {"keepbits": 23}), LITTLE]),
        ({"name": "transpose", "configuration": {"order": [1, 0]}}, "<i4", [("transpose", {"order": [1, 0]}), LITTLE]),
        (
            [{"name": "transpose", "configuration": {"order": [1, 0]}}, "shuffle"],
            "<i4",
            [("transpose", {"order": [1, 0]}), LITTLE, ("numcodecs.shuffle", {"elementsize": 4})],
        ),
        (
            {"name": "cast_value", "configuration": {"data_type": "uint8"}},
            "<i4",
            [("cast_value", {"data_type": "uint8", "rounding": "nearest-even"}), ("bytes", {})],
        ),
        ({"name": "bytes", "configuration": {"endian": "big"}}, "<i4", [BIG]),
        ({"name": "bytes"}, "<i4", [LITTLE]),
        ("pcodec", "<i4", [("numcodecs.pcodec", create_codec(CodecSpec("pcodec")).configuration())]),
        ("json2", object, [("numcodecs.json2", create_codec(CodecSpec("json2")).configuration())]),
    ],
)
def test_to_v3(argument, dtype, wanted):
    assert said(argument, dtype) == wanted
    chain = to_v3(normalize_all(argument), spec(dtype))
    # It says itself, whatever the caller's byte order.
    native = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype).newbyteorder("=")
    assert to_v3(chain, spec(native), endian="big") == chain
    kinds = [get_codec(item.name).kind for item in chain]
    assert kinds == sorted(kinds, key=["array->array", "array->bytes", "bytes->bytes"].index)
    assert kinds.count("array->bytes") == 1


def test_endian_of_the_caller():
    assert said("zstd", "<i4", endian="big") == [BIG, ("zstd", {"level": 1})]
    assert said("zstd", "|i1", endian="big") == [("bytes", {}), ("zstd", {"level": 1})]
    assert said(None, np.dtypes.StringDType(), endian="big") == [("vlen-utf8", {})]


@pytest.mark.parametrize(
    ("argument", "dtype", "match"),
    [
        (["zlib", {"id": "delta", "dtype": "|u1"}], "|u1", "'delta' takes an array and cannot follow 'zlib'"),
        (
            ["zstd", "vlen-utf8"],
            object,
            "'vlen-utf8' takes an array and cannot follow 'bytes'|cannot follow 'zstd'|holds objects",
        ),
        ([{"name": "bytes"}, {"name": "bytes"}], "|u1", "'bytes' takes an array and cannot follow 'bytes'"),
        (["vlen-utf8", "pcodec"], object, "'pcodec' takes an array and cannot follow 'vlen-utf8'"),
        ({"id": "delta", "dtype": "|u1"}, ">i4", "sees elements of dtype '>i4' as"),
        (None, [("a", "<i2"), ("b", ">i2")], "both byte orders"),
        ({"name": "cast_value", "configuration": {"data_type": "uint8"}}, "|S1", "takes integers or floats"),
        ({"id": "delta", "dtype": "<f8"}, [("a", "|u1")], "does not divide"),
    ],
)
def test_chains_that_v3_cannot_say(argument, dtype, match):
    with pytest.raises(ArgumentError, match=match):
        to_v3(normalize_all(argument), spec(dtype, (3,)))


@pytest.mark.parametrize("dtype", ["<i4", ">i4", ">f8"])
@pytest.mark.parametrize(
    "argument",
    [
        None,
        "zlib",
        {"id": "blosc", "shuffle": 2},
        [{"id": "delta", "dtype": "DTYPE"}, "zstd"],
        [{"id": "fixedscaleoffset", "offset": 1, "scale": 2, "dtype": "DTYPE", "astype": ">i2"}, "crc32"],
        [{"name": "transpose", "configuration": {"order": [1, 0]}}, {"id": "shuffle", "elementsize": 4}],
    ],
)
def test_a_chain_makes_the_bytes_that_it_made(dtype, argument):
    """So that an array can be taken from v2 to v3 by its documents alone."""
    specs = normalize_all(json.loads(json.dumps(argument).replace("DTYPE", dtype)))
    array = np.arange(12).reshape(3, 4).astype(dtype)
    before = bytes(build(specs, spec(dtype)).encode(array))
    native = np.dtype(dtype).newbyteorder("=")
    after = build(to_v3(specs, spec(dtype)), spec(native))
    assert bytes(after.encode(array.astype(native))) == before
    assert (after.decode(before) == array).all()


@pytest.mark.parametrize(
    ("codecs", "dtype", "wanted"),
    [
        ([LITTLE], "<i4", [LITTLE]),
        ([("bytes", {})], "|u1", []),
        ([BIG, ("gzip", {"level": 4})], "<i4", [BIG, ("numcodecs.gzip", {"level": 4})]),
        ([LITTLE, ("zstd", {"level": 0})], "<i4", [LITTLE, ("numcodecs.zstd", {"level": 0})]),
        (
            [LITTLE, ("blosc", BLOSC)],
            "<i4",
            [LITTLE, ("numcodecs.blosc", {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0})],
        ),
        ([LITTLE, ("crc32c", {})], "<i4", [LITTLE, ("numcodecs.crc32c", {"location": "end"})]),
        ([LITTLE, ("numcodecs.lz4", {"acceleration": 2})], "<i4", [LITTLE, ("numcodecs.lz4", {"acceleration": 2})]),
        (
            [("vlen-utf8", {}), ("zstd", {"level": 1})],
            np.dtypes.StringDType(),
            [("numcodecs.vlen-utf8", {}), ("numcodecs.zstd", {"level": 1})],
        ),
        ([("transpose", {"order": [1, 0]}), LITTLE], "<i4", [("transpose", {"order": [1, 0]}), LITTLE]),
        ([("transpose", {"order": "F"}), LITTLE], "<i4", [("transpose", {"order": [1, 0]}), LITTLE]),
        ([("transpose", {"order": [0, 1]}), LITTLE], "<i4", [LITTLE]),
        ([("bitround", {"keepbits": 3}), LITTLE], "<f4", [("numcodecs.bitround", {"keepbits": 3}), LITTLE]),
        ([("bitround", {"keepbits": 23}), LITTLE], "<f4", [LITTLE]),
        ([("numcodecs.packbits", {}), ("bytes", {})], "|b1", [("numcodecs.packbits", {})]),
    ],
)
def test_to_v2(codecs, dtype, wanted):
    found = to_v2([CodecSpec(*codec) for codec in codecs], spec(dtype))
    assert [(item.name, dict(item.configuration)) for item in found] == wanted


@pytest.mark.parametrize(
    ("codec", "dtype", "match"),
    [
        (("packbits", {}), "|b1", "'packbits': Zarr format 2 does not have such a codec"),
        (("cast_value", {"data_type": "uint8"}), "<i4", "'cast_value'"),
        (("scale_offset", {}), "<i4", "'scale_offset'"),
        (("reshape", {"shape": [-1]}), "<i4", "'reshape'"),
        (("conditional", {"codecs": []}), "<i4", "'conditional'"),
        (("zfp", {"mode": "reversible"}), "<f4", "'zfp'"),
        (("sharding_indexed", {"chunk_shape": [1, 1], "codecs": ["bytes"]}), "|u1", "'sharding_indexed'"),
        (("transpose", {"order": [1, 2, 0]}), "<i4", r"'transpose': Zarr format 2 does not have the order \[1, 2, 0\]"),
        (("bitround", {"keepbits": 3}), "<i4", "'bitround': Zarr format 2 does not have it for dtype int32"),
        (("bitround", {"keepbits": 3}), "<c8", "'bitround'"),
    ],
)
def test_codecs_that_v2_cannot_say(codec, dtype, match):
    shape = (2, 3, 4) if codec[0] == "transpose" else (3, 4)
    with pytest.raises(ArgumentError, match=match):
        to_v2([CodecSpec(*codec)], spec(dtype, shape))


def test_a_transpose_that_comes_later_is_no_order():
    chain = [CodecSpec("numcodecs.delta", {"dtype": "<i4"}), CodecSpec("transpose", {"order": [1, 0]}), CodecSpec("bytes")]
    with pytest.raises(ArgumentError, match="the order"):
        to_v2(chain)


class Salted:
    """A codec for numcodecs, by a user."""

    codec_id = "salted"

    @classmethod
    def from_config(cls, config):
        return cls()

    def get_config(self):
        return {"id": "salted", "grains": 3}

    def encode(self, buf):
        return bytes(memoryview(buf).cast("B")) + b"salt"

    def decode(self, buf, out=None):
        return bytes(buf)[:-4]


class Doubled(ArrayBytesCodec):
    """A codec for ndzarr, by a user."""

    name = "example.doubled"

    @classmethod
    def from_spec(cls, configuration):
        return cls()

    def configuration(self):
        return {}

    def encode(self, array, spec):
        return np.ascontiguousarray(array).tobytes() * 2

    def decode(self, data, spec):
        return np.frombuffer(data[: spec.nbytes], spec.dtype).reshape(spec.shape)


def test_codecs_of_users_keep_their_names():
    register_codec(Salted)
    register_codec(Doubled)
    try:
        assert said(["example.doubled", "salted"], "<i4") == [("example.doubled", {}), ("salted", {"grains": 3})]
        assert said([Salted()], "<i4") == [LITTLE, ("salted", {"grains": 3})]
        chain = to_v3(normalize_all("salted"), spec("<i4"))
        assert [item.name for item in to_v2(chain)] == ["bytes", "numcodecs.salted"]
    finally:
        unregister_codec("salted")
        unregister_codec("example.doubled")


def test_the_fill_value_goes_along():
    """A codec that minds it is bound to what the ones before make of it."""
    chain = [
        CodecSpec("scale_offset", {"offset": 1000}),
        CodecSpec("cast_value", {"data_type": "uint8"}),
    ]
    assert [item.name for item in to_v3(chain, spec("u2", fill=np.uint16(1010)))] == ["scale_offset", "cast_value", "bytes"]
    with pytest.raises(ArgumentError, match=r"the fill value .*300"):
        to_v3(chain, spec("u2", fill=np.uint16(1300)))
    assert same is to_v3


def test_kinds_of_the_new_codecs():
    for name in ("cast_value", "scale_offset", "reshape", "bitround", "transpose"):
        assert issubclass(get_codec(name), ArrayArrayCodec)
    for name in ("packbits", "n5_default", "zfp", "zfpy", "pcodec", "vlen-utf8", "bytes", "endian"):
        assert issubclass(get_codec(name), ArrayBytesCodec)
