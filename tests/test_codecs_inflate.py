"""zlib, gzip, bz2, lzma: every library that may decode them, several streams, bounds."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import sys
import zlib

import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs import inflate, streams
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.lzma import LzmaCodec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import ArgumentError, CorruptChunkError

CONTENT = np.random.default_rng(3).integers(0, 9, 50_000).astype("u1").tobytes()


@pytest.fixture(params=["libdeflate", "isal", "standard"])
def library(request, monkeypatch):
    """What is installed decides which library decodes; all of them must agree."""
    if request.param != "libdeflate":
        monkeypatch.setitem(sys.modules, "deflate", None)
    if request.param == "standard":
        monkeypatch.setitem(sys.modules, "isal", None)
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    inflate._libdeflate.forget()
    inflate._decompressors.forget()
    yield request.param
    inflate._libdeflate.forget()
    inflate._decompressors.forget()


def decode(name: str, data: bytes, size: int) -> bytes:
    return build([CodecSpec(name)], ChunkSpec((size,), np.dtype("u1"))).decode(data).tobytes()


def test_the_library_that_was_asked_for(library):
    assert (inflate._libdeflate() is not None) == (library == "libdeflate")
    assert (inflate._decompressors() is zlib) == (library == "standard")


@pytest.mark.parametrize("name", ["zlib", "gzip"])
def test_every_library_agrees(library, name):
    packed = zlib.compress(CONTENT, 6, wbits=inflate.GZIP if name == "gzip" else inflate.ZLIB)
    assert decode(name, packed, len(CONTENT)) == CONTENT
    codec = create_codec(CodecSpec(name))
    assert bytes(codec.decode(packed, size=None, limit=len(CONTENT))) == CONTENT
    damaged = [packed[:-1], packed[:-4], packed[:100], packed[:1], b""]
    damaged += [packed + b"\0", packed + b"x" * 9, b"\0" + packed]
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    damaged.append(bytes(flipped))
    for data in damaged:
        with pytest.raises(CorruptChunkError) as info:
            decode(name, data, len(CONTENT))
        assert info.value.codec == name
    for size in (len(CONTENT) - 1, len(CONTENT) + 1, 1, 0):
        with pytest.raises(CorruptChunkError):
            decode(name, packed, size)
    with pytest.raises(CorruptChunkError, match="more than 49999"):
        codec.decode(packed, size=None, limit=len(CONTENT) - 1)


def test_zlib_and_gzip_are_not_taken_for_each_other(library):
    with pytest.raises(CorruptChunkError):
        decode("zlib", gzip.compress(CONTENT), len(CONTENT))
    with pytest.raises(CorruptChunkError):
        decode("gzip", zlib.compress(CONTENT), len(CONTENT))


def test_preset_dictionaries_are_refused(library):
    packer = zlib.compressobj(zdict=b"abc")
    with pytest.raises(CorruptChunkError):
        decode("zlib", packer.compress(b"abcabc") + packer.flush(), 6)


PACK = {
    "gzip": lambda data: gzip.compress(data, 1),
    "bz2": bz2.compress,
    "lzma": lzma.compress,
}


@pytest.mark.parametrize("name", PACK)
def test_several_streams_are_one(library, name):
    pack = PACK[name]
    cut = [0, 1, 1, 20_000, 20_001, 49_990, len(CONTENT)]
    data = b"".join(pack(CONTENT[a:b]) for a, b in itertools.pairwise(cut))
    assert decode(name, data, len(CONTENT)) == CONTENT
    for damaged in (data[:-1], data + b"\0", data + data[:5], data + pack(b"x")):
        with pytest.raises(CorruptChunkError):
            decode(name, damaged, len(CONTENT))


@pytest.mark.parametrize("name", PACK)
def test_many_small_streams_take_linear_time(library, name):
    data = PACK[name](b"x") * 2000
    assert decode(name, data, 2000) == b"x" * 2000


@pytest.mark.parametrize("name", PACK)
def test_endless_empty_streams_are_refused(name):
    data = PACK[name](b"x") + PACK[name](b"") * (streams._MAX_EMPTY + 2)
    with pytest.raises(CorruptChunkError, match="empty streams"):
        decode(name, data, 1)
    assert decode(name, PACK[name](b"") * 10 + PACK[name](b"x"), 1) == b"x"


def test_gzip_does_not_hold_the_time_of_day():
    pipeline = build([CodecSpec("gzip", {"level": 6})], ChunkSpec((len(CONTENT),), np.dtype("u1")))
    encoded = bytes(pipeline.encode(np.frombuffer(CONTENT, "u1")))
    assert encoded[4:8] == bytes(4)
    assert gzip.decompress(encoded) == CONTENT


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("zlib", "level", 10),
        ("zlib", "level", -2),
        ("gzip", "level", True),
        ("gzip", "level", "1"),
        ("bz2", "level", 0),
        ("bz2", "level", 10),
        ("lzma", "format", 4),
        ("lzma", "check", 16),
        ("lzma", "preset", 10),
        ("lzma", "preset", -1),
        ("lzma", "preset", "9"),
        ("lzma", "filters", 5),
        ("lzma", "filters", [{"dist": 4}]),
        ("lzma", "filters", [{"id": 33, "dict_size": 1 << 32}]),
        ("lzma", "filters", [{"id": "33"}]),
    ],
)
def test_bad_configurations_name_the_field(name, field, value):
    with pytest.raises(ArgumentError, match=field) as info:
        create_codec(CodecSpec(name, {field: value}))
    assert info.value.field == field


def test_raw_lzma_needs_its_filters():
    with pytest.raises(ArgumentError, match="filters"):
        create_codec(CodecSpec("lzma", {"format": 3}))


def test_lzma_may_be_missing(monkeypatch):
    monkeypatch.setattr("ndzarr.codecs.lzma.lzma", None)
    assert not LzmaCodec.available()
    with pytest.raises(ArgumentError, match="built with lzma"):
        create_codec(CodecSpec("lzma"))


def test_lzma_extreme_preset():
    codec = create_codec(CodecSpec("lzma", {"preset": 9 | lzma.PRESET_EXTREME}))
    assert bytes(codec.decode(codec.encode(b"abc"), size=3, limit=3)) == b"abc"
