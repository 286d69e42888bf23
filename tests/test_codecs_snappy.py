"""snappy raw blocks and frames; lz4 with and without its header."""

from __future__ import annotations

import cramjam
import numcodecs
import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs import snappy
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.lz4 import Lz4Codec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import codecs, create_codec
from ndzarr.codecs.snappy import SnappyCodec
from ndzarr.errors import ArgumentError, CorruptChunkError

CONTENT = np.random.default_rng(5).integers(0, 3, 150_000).astype("u1").tobytes()


def decode(name: str, data: bytes, size: int = len(CONTENT)) -> bytes:
    return build([CodecSpec(name)], ChunkSpec((size,), np.dtype("u1"))).decode(data).tobytes()


def test_raw_blocks_are_what_others_read():
    encoded = bytes(SnappyCodec().encode(CONTENT))
    assert bytes(cramjam.snappy.decompress_raw(encoded)) == CONTENT
    assert encoded == bytes(cramjam.snappy.compress_raw(CONTENT))
    assert encoded[0] == 0xF0
    assert decode("snappy", encoded) == CONTENT
    assert decode("snappy", b"\x05\x10hello", 5) == b"hello"  # from the format's description, by hand


def test_frames_are_read():
    framed = bytes(cramjam.snappy.compress(CONTENT))
    assert framed[:10] == b"\xff\x06\x00\x00sNaPpY"
    assert decode("snappy", framed) == CONTENT
    padding, skippable = b"\xfe\x03\0\0abc", b"\x80\x01\0\0x"
    noise = np.random.default_rng(0).bytes(1000)
    stored = bytes(cramjam.snappy.compress(noise))
    assert stored[10] == 1
    assert decode("snappy", framed + padding + skippable + framed[:10] + stored, len(CONTENT) + 1000) == CONTENT + noise
    assert bytes(SnappyCodec().decode(framed, size=None, limit=len(CONTENT))) == CONTENT
    assert decode("snappy", framed[:10], 0) == b""


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f[:-1], "truncated"),
        (lambda f: f[:12], "truncated"),
        (lambda f: f + b"\0", "truncated"),
        (lambda f: f + b"\x02\0\0\0", "unknown kind 0x2"),
        (lambda f: f + b"\x01\x02\0\0ab", "no checksum"),
        (lambda f: f[:14] + bytes([f[14] ^ 1]) + f[15:], "crc32c of the frame"),
        (lambda f: f + b"\xff\x06\0\0sNaPpX", "no snappy stream"),
        (lambda f: f + f[10:], "more than 150000 bytes"),
    ],
)
def test_frames_that_are_damaged(damage, words):
    with pytest.raises(CorruptChunkError, match=words):
        decode("snappy", damage(bytes(cramjam.snappy.compress(CONTENT))))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xff\xff\xff\xff\x7f", b"\xff" * 9, b"\x05", b"\x05\x10hell", b"\x04\x10hello"]
)
def test_raw_blocks_that_are_damaged(data):
    with pytest.raises(CorruptChunkError) as info:
        decode("snappy", data, 5)
    assert info.value.codec == "snappy"


def test_limit():
    encoded = SnappyCodec().encode(b"abc" * 10)
    assert bytes(SnappyCodec().decode(encoded, size=None, limit=30)) == b"abc" * 10
    with pytest.raises(CorruptChunkError, match="says 30 bytes, expected 29"):
        SnappyCodec().decode(encoded, size=None, limit=29)


def test_a_block_that_decodes_short(monkeypatch):
    class Short:
        @staticmethod
        def decompress_raw(data):
            return b"abcd"

    monkeypatch.setattr(snappy, "_library", lambda: Short)
    with pytest.raises(CorruptChunkError, match="decoded to 4 bytes"):
        decode("snappy", b"\x05\x10hello", 5)


def test_cramjam_may_be_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cramjam", None)
    snappy._library.forget()
    try:
        assert not SnappyCodec.available()
        assert not codecs()["snappy"].available
        with pytest.raises(ArgumentError, match=r"codec 'snappy' needs cramjam: pip install 'ndzarr\[snappy\]'"):
            create_codec(CodecSpec("snappy"))
        with pytest.raises(ArgumentError, match="needs cramjam"):
            SnappyCodec().encode(b"")
    finally:
        snappy._library.forget()


# ---- lz4 ------------------------------------------------------------------------------------------------------------


def test_lz4_of_exzarr_has_no_header():
    encoded = bytes(numcodecs.LZ4().encode(CONTENT))
    assert decode("lz4", encoded) == CONTENT
    assert decode("lz4", encoded[4:]) == CONTENT
    out = np.empty(len(CONTENT), np.uint8)
    pipeline = build([CodecSpec("lz4")], ChunkSpec((len(CONTENT),), np.dtype("u1")))
    assert pipeline.decode(encoded[4:], out) is out
    assert out.tobytes() == CONTENT
    for size in (len(CONTENT) - 1, len(CONTENT) + 1):
        for data in (encoded, encoded[4:]):
            with pytest.raises(CorruptChunkError):
                decode("lz4", data, size)
    with pytest.raises(CorruptChunkError):  # the size is known from nowhere
        Lz4Codec().decode(encoded[4:], size=None, limit=len(CONTENT))


def test_lz4_header():
    encoded = bytes(numcodecs.LZ4().encode(CONTENT))
    for header in (0, 1, len(CONTENT) - 1, len(CONTENT) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        with pytest.raises(CorruptChunkError, match=f"says {header} bytes, expected {len(CONTENT)}"):
            decode("lz4", header.to_bytes(4, "little") + encoded[4:])
    with pytest.raises(CorruptChunkError, match="only 3 bytes"):
        decode("lz4", b"abc")
    # A byte stands for 255 at most.
    with pytest.raises(CorruptChunkError):
        Lz4Codec().decode((100_000).to_bytes(4, "little") + b"\0" * 8, size=None, limit=1 << 30)
    with pytest.raises(CorruptChunkError, match="expected 149999"):
        Lz4Codec().decode(encoded, size=None, limit=len(CONTENT) - 1)


def test_lz4_of_nothing():
    encoded = bytes(Lz4Codec().encode(b""))
    assert decode("lz4", encoded, 0) == b""
    with pytest.raises(CorruptChunkError, match="data follows"):
        decode("lz4", encoded + b"\0", 0)
    with pytest.raises(CorruptChunkError):
        decode("lz4", b"", 0)
