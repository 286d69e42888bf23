"""What callers may pass as compressor or filters."""

from __future__ import annotations

import numcodecs
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.argument import normalize, normalize_all
from ndzarr.codecs.blosc import BloscCodec
from ndzarr.codecs.registry import create_codec
from ndzarr.codecs.zstd import ZstdCodec
from ndzarr.errors import ArgumentError

BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}


@pytest.mark.parametrize(
    ("argument", "name", "configuration"),
    [
        ("zstd", "zstd", {"level": 1}),
        ("zlib", "zlib", {"level": 1}),
        ("gzip", "gzip", {"level": 1}),
        ("bz2", "bz2", {"level": 1}),
        ("lz4", "lz4", {"acceleration": 1}),
        ("snappy", "snappy", {}),
        ("blosc", "blosc", BLOSC),
        ("numcodecs.blosc", "blosc", BLOSC),
        ("none", "none", {}),
        ("packbits", "numcodecs.packbits", {}),
        ("vlen-utf8", "vlen-utf8", {}),
        ("pickle", "pickle", {"protocol": 5}),
        ({"id": "blosc"}, "blosc", BLOSC),
        ({"id": "zstd", "level": 3}, "zstd", {"level": 3}),
        ({"id": "packbits"}, "numcodecs.packbits", {}),
        ({"name": "zstd"}, "zstd", {"level": 1}),
        ({"name": "zstd", "configuration": {"level": 5, "checksum": True}}, "zstd", {"level": 5, "checksum": True}),
        ({"name": "gzip", "configuration": None}, "gzip", {"level": 1}),
        ({"name": "numcodecs.delta", "configuration": {"dtype": "i4"}}, "delta", {"dtype": "<i4", "astype": "<i4"}),
        (
            {"name": "blosc", "configuration": {"cname": "zstd", "shuffle": "bitshuffle", "typesize": 4}},
            "blosc",
            {"cname": "zstd", "clevel": 5, "shuffle": 2, "blocksize": 0, "typesize": 4},
        ),
        (numcodecs.Zlib(level=7), "zlib", {"level": 7}),
        (numcodecs.Blosc(), "blosc", BLOSC),
        (numcodecs.PackBits(), "numcodecs.packbits", {}),
        (numcodecs.JenkinsLookup3(prefix=b"a"), "jenkins_lookup3", {"initval": 0, "prefix": [97]}),
        (ZstdCodec(7), "zstd", {"level": 7}),
        (BloscCodec(shuffle=0, words=True), "blosc", {**BLOSC, "shuffle": 0}),
        (CodecSpec("numcodecs.zlib", {"level": 2}), "zlib", {"level": 2}),
        (CodecSpec("transpose", {"order": (1, 0)}), "transpose", {"order": [1, 0]}),
    ],
    ids=str,
)
def test_normalize(argument, name, configuration):
    spec = normalize(argument)
    assert spec == CodecSpec(name, configuration)
    assert create_codec(spec, allow_pickle=True).configuration() == configuration
    assert normalize(spec) == spec


@pytest.mark.parametrize("id", sorted(numcodecs.registry.codec_registry))
def test_every_numcodecs_object_with_its_defaults(id):
    arguments = {
        "astype": {"encode_dtype": "<i2", "decode_dtype": "<i4"},
        "bitround": {"keepbits": 3},
        "categorize": {"labels": ["a"], "dtype": "<U1"},
        "delta": {"dtype": "<i4"},
        "fixedscaleoffset": {"offset": 0, "scale": 1, "dtype": "<f8"},
        "quantize": {"digits": 1, "dtype": "<f8"},
        "vlen-array": {"dtype": "<i4"},
    }
    codec = numcodecs.get_codec({"id": id, **arguments.get(id, {})})
    config = codec.get_config()
    config.pop("id")
    config.pop("compression_kwargs", None)  # of zfpy, which makes it of its other arguments
    if id == "zstd":
        assert config.pop("checksum") is False  # left out where it says nothing
    if id == "json2":
        config["separators"] = list(config["separators"])
    assert normalize(codec).configuration == config


def test_normalize_all():
    zlib = normalize("zlib")
    assert normalize_all(None) == ()
    assert normalize_all([]) == ()
    assert normalize_all("zlib") == (zlib,)
    assert normalize_all({"id": "zlib"}) == (zlib,)
    assert normalize_all(zlib) == (zlib,)
    assert normalize_all(["zlib", numcodecs.Zlib()]) == (zlib, zlib)
    assert normalize_all(("crc32", "zlib")) == (normalize("crc32"), zlib)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("zslib", "unknown codec 'zslib'; did you mean 'zlib'"),
        ("qqqqqqq", "unknown codec 'qqqqqqq'; the codecs are"),
        (5, "no codec: 5"),
        (True, "no codec: True"),
        (b"zlib", "no codec: b'zlib'"),
        ({}, "has neither 'id' nor 'name'"),
        ({"id": 5}, "has neither 'id' nor 'name'"),
        ({"id": "zlib", "levle": 1}, "unknown configuration field 'levle'"),
        ({"id": "zlib", "level": "1"}, "level is '1', expected an integer from -1 to 9"),
        ({"name": "zlib", "level": 1}, "unknown field 'level'"),
        ({"name": "zlib", "configuration": [1]}, "expected an object"),
        (numcodecs.Zlib, "no codec: <class"),
        (numcodecs.Zlib(level=99), "level is 99"),
        (["zlib", ["zlib"]], "no codec"),
    ],
    ids=str,
)
def test_what_is_no_codec(argument, words):
    with pytest.raises(ArgumentError, match=words):
        normalize_all(argument)


def test_codecs_of_zarr_python():
    from zarr import codecs as zarr

    assert normalize(zarr.GzipCodec(level=5)) == CodecSpec("gzip", {"level": 5})
    assert normalize(zarr.TransposeCodec(order=(1, 0))) == CodecSpec("transpose", {"order": [1, 0]})
    assert normalize(zarr.Crc32cCodec()).name == "crc32c"
    given = {"cname": "lz4", "clevel": 3, "blocksize": 0}
    # What nobody chose is left to us, as it is to zarr-python.
    assert normalize(zarr.BloscCodec(cname="lz4", clevel=3)) == normalize({"id": "blosc", "cname": "lz4", "clevel": 3})
    chosen = normalize(zarr.BloscCodec(typesize=4, cname="lz4", clevel=3, shuffle="noshuffle"))
    assert given.items() <= chosen.configuration.items()
    assert chosen.configuration["shuffle"] == 0
    with pytest.raises(ArgumentError, match="no codec"):
        normalize(zarr.GzipCodec)
