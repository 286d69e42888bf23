"""Bombs: objects that say, or would, decode to far more than a chunk. Refused within seconds and within memory."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import resource
import struct
import time
import tracemalloc
import zlib

import cramjam
import msgpack
import numpy as np
import pytest
import zstandard
from numcodecs import zstd

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.config import options
from ndzarr.errors import CorruptChunkError

MiB = 1 << 20
CHUNK = MiB
ZEROS = bytes(16 * MiB)


def endless(packer) -> bytes:
    """One stream of 256 MiB of zeros."""
    return b"".join(packer.compress(ZEROS) for _ in range(16)) + packer.flush()


BOMBS = {
    "zlib": lambda: endless(zlib.compressobj(9)),
    "gzip": lambda: endless(zlib.compressobj(9, wbits=31)),
    "gzip, a gibibyte in members": lambda: gzip.compress(ZEROS) * 64,
    "bz2, a gibibyte in streams": lambda: bz2.compress(ZEROS) * 64,
    "lzma": lambda: endless(lzma.LZMACompressor(preset=0)),
    "lzma, a gibibyte in streams": lambda: lzma.compress(ZEROS, preset=0) * 64,
    "zstd, sized": lambda: zstd.compress(ZEROS * 16, 1),
    "zstd, a gibibyte in frames": lambda: zstd.compress(ZEROS, 1) * 64,
    "zstd, first frame fits": lambda: zstd.compress(bytes(CHUNK), 1) + zstd.compress(ZEROS, 1) * 64,
    "zstd, unsized": lambda: endless(zstandard.ZstdCompressor(1).compressobj()),
    "zstd, header says 2**60": lambda: b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 60) + b"\x01\0\0",
    "zstd, header says what is expected, blocks do not": lambda: (
        b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", CHUNK) + (b"\x02\0\x10\0" * 1000) + b"\x03\0\x10\0"
    ),
    "blosc, header says 2 GiB": lambda: struct.pack("<BBBBIII", 2, 1, 0x21, 1, 0x7FFFFFEF, 1 << 20, 4096) + bytes(4080),
    "blosc, verbatim 2 GiB": lambda: struct.pack("<BBBBIII", 2, 1, 0x02, 1, 0x7FFFFFEF, 1 << 20, 16),
    "lz4, header says 2 GiB": lambda: struct.pack("<I", 0x7FFFFFFF) + bytes(100),
    "lz4, header says 4 GiB": lambda: struct.pack("<I", 0xFFFFFFFF) + bytes(100),
    "snappy, header says 4 GiB": lambda: b"\xff\xff\xff\xff\x0f" + bytes(100),
    "snappy, frames": lambda: bytes(cramjam.snappy.compress(ZEROS)) * 4,
    "base64": lambda: b"AAAA" * (4 * MiB),
    "crc32": lambda: zlib.crc32(ZEROS).to_bytes(4, "little") + ZEROS,
}


def measured(pipeline, data: bytes) -> None:
    """Refused, within 10 s and 3 chunks + 64 MiB: Python's memory by tracemalloc, all of it by the peak of the process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(CorruptChunkError):
            pipeline.decode(data)
        assert time.perf_counter() - start < 10
        assert tracemalloc.get_traced_memory()[1] < 3 * CHUNK + 64 * MiB
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < (3 * CHUNK + 64 * MiB) >> 10


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name):
    pipeline = build([CodecSpec(name.partition(",")[0])], ChunkSpec((CHUNK,), np.dtype("u1")))
    measured(pipeline, BOMBS[name]())


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_under_objects_are_refused(name):
    """Where the decoded size is not known, it is held to `options(max_object=...)`."""
    pipeline = build([CodecSpec("vlen-bytes"), CodecSpec(name.partition(",")[0])], ChunkSpec((4,), np.dtype(object)))
    with options(max_object=CHUNK):
        measured(pipeline, BOMBS[name]())


def test_layers_of_bombs_are_refused():
    """The limit of each step is what the step before it can make of a chunk."""
    inner = zlib.compress(ZEROS, 9)
    data = zstd.compress(gzip.compress(inner * 100), 1)
    measured(build([CodecSpec("zlib"), CodecSpec("gzip"), CodecSpec("zstd")], ChunkSpec((9,), np.dtype("u1"))), data)


OBJECTS = {
    "vlen-utf8": struct.pack("<I", 0xFFFFFFFF) + bytes(100),
    "vlen-bytes": struct.pack("<II", 10, 0xFFFFFFFF) + bytes(100),
    "json2": json.dumps([*range(10), "|V1000000000", [10]]).encode()[:-5] + b"[9999999999]]",
    "msgpack2": msgpack.packb([1] * 10 + ["|V1000000000", [10, 1000000000]]),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_counts_that_lie_are_refused(name):
    measured(build([CodecSpec(name)], ChunkSpec((10,), np.dtype(object))), OBJECTS[name])


def test_counts_of_a_huge_chunk_are_refused_before_memory_is_taken():
    """The chunk's shape is only a claim too."""
    for name in ("vlen-utf8", "vlen-bytes"):
        huge = build([CodecSpec(name)], ChunkSpec((0xFFFFFFFF,), np.dtype(object)))
        measured(huge, struct.pack("<I", 0xFFFFFFFF) + bytes(100))
