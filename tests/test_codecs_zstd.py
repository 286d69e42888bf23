"""zstd: frames with and without a size, several, skippable and empty ones; the fast path against the careful one."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
import zstandard

from ndzarr._typing import CodecSpec
from ndzarr.codecs import zstd
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.zstd import ZstdCodec
from ndzarr.errors import ArgumentError, CorruptChunkError

SKIPPABLE = struct.pack("<II", 0x184D2A53, 5) + b"hello"


@pytest.fixture(params=["zstandard", "numcodecs"], autouse=True)
def library(request, monkeypatch):
    """Every test with the fast path, and without."""
    if request.param == "numcodecs":
        monkeypatch.setattr(zstd, "_zstandard", lambda: None)
    zstd._threads.__dict__.clear()
    yield request.param
    zstd._threads.__dict__.clear()


def unsized(content: bytes, level: int = 1, checksum: bool = False) -> bytes:
    stream = zstandard.ZstdCompressor(level, write_checksum=checksum).compressobj()
    return stream.compress(content) + stream.flush()


def decode(data: bytes, size: int) -> bytes:
    return build([CodecSpec("zstd")], ChunkSpec((size,), np.dtype("u1"))).decode(data).tobytes()


@pytest.mark.parametrize("size", [1, 255, 256, 65535, 65536, 70_000, 400_000, 1 << 20])
def test_sizes(size):
    content = np.random.default_rng(size).integers(0, 5, size).astype("u1").tobytes()
    half = size // 2
    one = zstandard.ZstdCompressor(1, write_checksum=True).compress(content)
    first, second = ZstdCodec().encode(content[:half]), ZstdCodec().encode(content[half:])
    for data in (
        one,
        unsized(content),
        unsized(content, checksum=True),
        first + second,
        unsized(content[:half]) + second,
        first + unsized(content[half:]),
        SKIPPABLE + one,
        one + SKIPPABLE,
        first + SKIPPABLE + second + SKIPPABLE,
        one + ZstdCodec().encode(b""),
        unsized(content) + unsized(b""),
    ):
        assert decode(data, size) == content
        assert bytes(ZstdCodec().decode(data, size=None, limit=size + (1 << 18))) == content
        out = np.zeros(size, "u1")
        pipeline = build([CodecSpec("zstd")], ChunkSpec((size,), np.dtype("u1")))
        assert pipeline.decode(data, out).tobytes() == content
        for damaged in (data[:-1], data[: len(data) // 2], data + b"\0", data + b"(\xb5/\xfd"):
            with pytest.raises(CorruptChunkError):
                decode(damaged, size)
        with pytest.raises(CorruptChunkError):
            decode(data, size + 1)
        with pytest.raises(CorruptChunkError):
            decode(data, size - 1)


def test_encoders_take_turns():
    """The context kept by the thread is that of the level and the checksum asked for, whichever came before."""
    content = np.random.default_rng(0).integers(0, 5, 30_000).astype("u1").tobytes()
    codecs = [ZstdCodec(level, checksum) for level in (-5, 0, 1, 19) for checksum in (False, True)]
    expected = {codec: bytes(codec.encode(content)) for codec in codecs}
    for codec in codecs[::-1] + codecs[::3] * 2:
        data = bytes(codec.encode(memoryview(content)))
        assert data == expected[codec]
        found = zstandard.get_frame_parameters(data)
        assert (found.content_size, found.has_checksum) == (len(content), codec.checksum)
        assert bytes(codec.decode(data, size=len(content), limit=len(content))) == content
    assert len(expected[ZstdCodec(19)]) < len(expected[ZstdCodec(-5)])


def test_empty_chunks():
    for data in (ZstdCodec().encode(b""), unsized(b""), SKIPPABLE + unsized(b"") + SKIPPABLE):
        assert decode(data, 0) == b""
        assert bytes(ZstdCodec().decode(data, size=None, limit=0 if data != unsized(b"") else 10)) == b""
    for data in (b"", ZstdCodec().encode(b"x"), unsized(b"x"), unsized(bytes(1 << 20)), b"\x28\xb5\x2f\xfd"):
        with pytest.raises(CorruptChunkError):
            decode(data, 0)


def test_limit_without_a_size():
    content = bytes(3000)
    codec = ZstdCodec()
    for data in (codec.encode(content), codec.encode(content[:1500]) * 2):
        assert bytes(codec.decode(data, size=None, limit=3000)) == content
        with pytest.raises(CorruptChunkError, match="expected 2999"):
            codec.decode(data, size=None, limit=2999)
    with pytest.raises(CorruptChunkError, match="more than 2999"):
        codec.decode(unsized(content), size=None, limit=2999)


@pytest.mark.parametrize("length", range(1, 24))
def test_every_short_prefix_is_refused(length):
    data = ZstdCodec(checksum=True).encode(bytes(range(200)) * 400)
    for size in (80_000, None):
        with pytest.raises((CorruptChunkError, RuntimeError)):
            ZstdCodec().decode(data[:length], size=size, limit=80_000)


def test_wrong_magic_is_named():
    with pytest.raises(CorruptChunkError, match=r"no zstd frame at byte 0: found '1f8b0800'"):
        decode(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", 100)


def test_reserved_blocks_and_long_blocks_are_refused():
    for block in (0b111, (1 << 18) << 3 | 1):
        with pytest.raises(CorruptChunkError, match="no zstd block at byte 6"):
            ZstdCodec().decode(b"\x28\xb5\x2f\xfd\x20\x05" + block.to_bytes(3, "little"), size=7, limit=7)


def test_checksum_finds_every_flip():
    content = np.arange(2000, dtype="<i4")
    pipeline = build([CodecSpec("zstd", {"checksum": True})], ChunkSpec(content.shape, content.dtype))
    encoded = bytes(pipeline.encode(content))
    for at in range(0, len(encoded), 7):
        damaged = bytearray(encoded)
        damaged[at] ^= 4
        try:
            found = pipeline.decode(bytes(damaged))
        except CorruptChunkError:
            continue
        assert np.array_equal(found, content)  # a bit of the header that nothing depends on


@pytest.mark.parametrize(
    ("field", "value"), [("level", 23), ("level", "1"), ("level", True), ("checksum", 1), ("checksum", None)]
)
def test_bad_configurations_name_the_field(field, value):
    with pytest.raises(ArgumentError, match=field):
        ZstdCodec.from_spec({field: value})


def test_fast_path_agrees_with_the_careful_one(library):
    rng = np.random.default_rng(1)
    content = rng.integers(0, 4, 5000).astype("u1").tobytes()
    encoded = ZstdCodec(checksum=True).encode(content)
    for _ in range(300):
        damaged = bytearray(encoded)
        damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(CorruptChunkError):
            assert decode(bytes(damaged), 5000) == content
