"""Checksums: known values, where they stand, every flip found."""

from __future__ import annotations

import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import ArgumentError, CorruptChunkError

CHECK = b"123456789"  # what catalogues of checksums give the value for


@pytest.mark.parametrize(
    ("name", "configuration", "value", "start"),
    [
        ("crc32", {}, 0xCBF43926, True),
        ("crc32", {"location": "end"}, 0xCBF43926, False),
        ("adler32", {}, 0x091E01DE, True),
        ("crc32c", {}, 0xE3069283, False),
        ("crc32c", {"location": "start"}, 0xE3069283, True),
        # "Four score and seven years ago" of lookup3.c, driver5; it goes through the prefix too.
        ("jenkins_lookup3", {}, 0x17770551, False),
    ],
)
def test_known_values(name, configuration, value, start):
    content = b"Four score and seven years ago" if name == "jenkins_lookup3" else CHECK
    codec = create_codec(CodecSpec(name, configuration))
    encoded = bytes(codec.encode(content))
    stored = value.to_bytes(4, "little")
    assert encoded == (stored + content if start else content + stored)
    assert bytes(codec.decode(encoded, size=len(content), limit=len(content))) == content


def test_jenkins_prefix():
    content = b"Four score and seven years ago"
    whole = create_codec(CodecSpec("jenkins_lookup3")).checksum(content)
    assert create_codec(CodecSpec("jenkins_lookup3", {"prefix": list(content[:9])})).checksum(content[9:]) == whole
    assert create_codec(CodecSpec("jenkins_lookup3", {"prefix": list(content)})).checksum(b"") == whole
    codec = create_codec(CodecSpec("jenkins_lookup3", {"initval": 1, "prefix": np.frombuffer(b"ab", "u1")}))
    assert codec.configuration() == {"initval": 1, "prefix": [97, 98]}
    # lookup3.c, driver5: the hash of nothing, started at 0.
    assert create_codec(CodecSpec("jenkins_lookup3")).checksum(b"") == 0xDEADBEEF


@pytest.mark.parametrize("name", ["crc32", "adler32", "crc32c", "fletcher32", "jenkins_lookup3"])
def test_every_flip_is_found(name):
    array = np.arange(25, dtype="<i4")
    pipeline = build([CodecSpec(name)], ChunkSpec(array.shape, array.dtype))
    encoded = bytes(pipeline.encode(array))
    for at in range(8 * len(encoded)):
        damaged = bytearray(encoded)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(CorruptChunkError, match=rf"{name} is 0x[0-9a-f]{{8}} but the object says 0x[0-9a-f]{{8}}"):
            pipeline.decode(bytes(damaged))
    for n in range(4):
        with pytest.raises(CorruptChunkError, match=f"found {n} bytes"):
            pipeline.decode(encoded[:n])


def test_decoding_does_not_copy():
    array = np.arange(25, dtype="<i4")
    pipeline = build([CodecSpec("crc32c")], ChunkSpec(array.shape, array.dtype))
    encoded = bytes(pipeline.encode(array))
    assert np.may_share_memory(pipeline.decode(encoded), np.frombuffer(encoded, "u1"))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("crc32", "location", "middle"),
        ("crc32c", "location", 1),
        ("jenkins_lookup3", "initval", -1),
        ("jenkins_lookup3", "initval", 1 << 32),
        ("jenkins_lookup3", "prefix", "ab"),
        ("jenkins_lookup3", "prefix", [256]),
    ],
)
def test_bad_configurations_name_the_field(name, field, value):
    with pytest.raises(ArgumentError, match=field):
        create_codec(CodecSpec(name, {field: value}))
