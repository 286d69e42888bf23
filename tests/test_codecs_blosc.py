"""blosc: header checks, snappy blocks, which no library here can write, and the limits of the format."""

from __future__ import annotations

import struct
import zlib

import cramjam
import numpy as np
import pytest
from numcodecs import blosc, lz4, zstd

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.blosc import MAX_NBYTES, BloscCodec
from ndzarr.codecs.blosc_snappy import decompress_snappy
from ndzarr.codecs.pipeline import build
from ndzarr.errors import ArgumentError, CorruptChunkError

HEADER = struct.Struct("<BBBBIII")
STREAMS = {
    "lz4": lambda data, size: lz4.decompress(struct.pack("<I", size) + bytes(data)),
    "zlib": lambda data, size: zlib.decompress(data),
    "zstd": lambda data, size: zstd.decompress(bytes(data)),
}


def values(nbytes: int, typesize: int) -> bytes:
    rng = np.random.default_rng(nbytes)
    smooth = np.cumsum(rng.integers(-2, 3, nbytes // typesize + 1)).astype("<i8").view("u1").reshape(-1, 8)
    wide = np.zeros((len(smooth), typesize), "u1")
    wide[:, : min(8, typesize)] = smooth[:, : min(8, typesize)]
    return wide.tobytes()[:nbytes]


def container(content: bytes, cname: str, shuffle: int, typesize: int, blocksize: int = 0) -> bytes:
    source = np.frombuffer(content, np.uint8)
    if len(content) % typesize == 0:
        source = source.view(f"V{typesize}")
        return bytes(blosc.compress(source, cname.encode(), 5, shuffle, blocksize))
    return bytes(blosc.compress(source, cname.encode(), 5, shuffle, blocksize, typesize=typesize))


def snappy_container(lz4_container: bytes) -> bytes:
    """The same container with every lz4 stream replaced by a snappy one, as c-blosc with snappy would have written it."""
    version, lz, flags, typesize, nbytes, blocksize, _ = HEADER.unpack_from(lz4_container)
    assert flags >> 5 == 1
    if flags & 2:
        return (
            HEADER.pack(version, lz, flags & 0x1F | 2 << 5, typesize, nbytes, blocksize, len(lz4_container))
            + (lz4_container[16:])
        )
    nblocks = -(-nbytes // blocksize)
    starts, body = [], b""
    for number, at in enumerate(struct.unpack_from(f"<{nblocks}i", lz4_container, 16)):
        starts.append(16 + 4 * nblocks + len(body))
        length = min(blocksize, nbytes - number * blocksize)
        split = not flags & 0x10 and typesize <= 16 and blocksize // typesize >= 128 and length == blocksize
        for _ in range(typesize if split else 1):
            each = length // (typesize if split else 1)
            size = struct.unpack_from("<i", lz4_container, at)[0]
            stream = lz4_container[at + 4 : at + 4 + size]
            at += 4 + size
            plain = stream if size == each else STREAMS["lz4"](stream, each)
            packed = bytes(cramjam.snappy.compress_raw(plain))
            if len(packed) >= each:
                packed = plain
            body += struct.pack("<i", len(packed)) + packed
    size = 16 + 4 * nblocks + len(body)
    header = HEADER.pack(version, lz, flags & 0x1F | 2 << 5, typesize, nbytes, blocksize, size)
    return header + struct.pack(f"<{nblocks}i", *starts) + body


SHAPES = [
    (nbytes, typesize, blocksize)
    for nbytes in (1, 7, 64, 129, 1000, 1024, 4096, 4097, 100_000, 262_144)
    for typesize in (1, 2, 3, 4, 8, 16, 17, 33)
    for blocksize in (0, 256, 4096)
]


@pytest.mark.parametrize("cname", STREAMS)
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_our_container_reader_agrees_with_c_blosc(cname, shuffle):
    """The reader that serves snappy, on streams that c-blosc can write: offsets, splits, both shuffles, leftovers."""
    read = 0
    for nbytes, typesize, blocksize in SHAPES:
        if nbytes % typesize:
            continue
        content = values(nbytes, typesize)
        encoded = container(content, cname, shuffle, typesize, blocksize)
        if encoded[2] & 2:
            continue  # stored verbatim: the codec does not get as far as blocks
        out = np.empty(nbytes, np.uint8)
        assert decompress_snappy(encoded, out, STREAMS[cname]) is out
        assert out.tobytes() == content, (nbytes, typesize, blocksize)
        read += 1
    assert read > 50


@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_snappy_containers_are_read(shuffle):
    for nbytes, typesize, blocksize in SHAPES:
        if nbytes % typesize:
            continue
        content = values(nbytes, typesize)
        encoded = snappy_container(container(content, "lz4", shuffle, typesize, blocksize))
        pipeline = build([CodecSpec("blosc", {"cname": "snappy"})], ChunkSpec((nbytes,), np.dtype("u1")))
        assert pipeline.decode(encoded).tobytes() == content
        out = np.empty(nbytes, np.uint8)
        assert np.may_share_memory(pipeline.decode(encoded, out), out) or encoded[2] & 2


def test_snappy_containers_that_lie_are_refused():
    content = values(100_000, 4)
    good = snappy_container(container(content, "lz4", 1, 4, 4096))
    pipeline = build([CodecSpec("blosc")], ChunkSpec((100_000,), np.dtype("u1")))
    assert pipeline.decode(good).tobytes() == content
    nblocks = -(-100_000 // HEADER.unpack_from(good)[5])
    assert nblocks > 1
    for at, value in ((16, 0), (16, len(good)), (16, 0x80000000), (20, 17), (16 + 4 * nblocks, 1 << 30)):
        bad = bytearray(good)
        bad[at : at + 4] = struct.pack("<I", value)
        with pytest.raises(CorruptChunkError, match=r"^blosc: .*block|^blosc: .*snappy"):
            pipeline.decode(bytes(bad))
    # A blocksize that does not divide into its streams.
    bad = bytearray(good)
    bad[3], bad[8:12] = 3, struct.pack("<I", 4097)
    with pytest.raises(CorruptChunkError):
        pipeline.decode(bytes(bad))


def test_snappy_without_cramjam_says_what_to_install(monkeypatch):
    monkeypatch.setattr("ndzarr.codecs.snappy._library", lambda: None)
    good = snappy_container(container(values(4096, 4), "lz4", 1, 4))
    with pytest.raises(ArgumentError, match="cramjam"):
        build([CodecSpec("blosc")], ChunkSpec((4096,), np.dtype("u1"))).decode(good)


def test_snappy_is_not_written():
    pipeline = build([CodecSpec("blosc", {"cname": "snappy"})], ChunkSpec((4,), np.dtype("u1")))
    with pytest.raises(ArgumentError, match="snappy"):
        pipeline.encode(np.zeros(4, "u1"))


def header(encoded: bytes, **changes: int) -> bytes:
    names = ("version", "versionlz", "flags", "typesize", "nbytes", "blocksize", "cbytes")
    fields = dict(zip(names, HEADER.unpack_from(encoded), strict=True)) | changes
    return HEADER.pack(*(fields[name] for name in names)) + encoded[16:]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 1}, "format is 1"),
        ({"version": 3}, "format is 3"),
        ({"cbytes": 17}, "says 17 bytes"),
        ({"cbytes": 0xFFFFFFFF}, "says 4294967295 bytes"),
        ({"nbytes": 39}, "says 39 decoded bytes, expected 40000"),
        ({"nbytes": 40001}, "says 40001 decoded"),
        ({"nbytes": 0x7FFFFFEF}, "says 2147483631 decoded"),
        ({"flags": 0x28}, "flags"),
        ({"typesize": 0}, "typesize 0"),
        ({"blocksize": 0}, "blocks of 0"),
        ({"blocksize": 40001}, "blocks of 40001"),
        ({"blocksize": 1}, "cannot hold blocks of 1"),
        ({"flags": 0x02}, "verbatim"),
        ({"flags": 0xE0}, "blosc"),
    ],
)
def test_headers_that_lie_are_refused(changes, words):
    array = np.arange(10_000, dtype="<i4")
    pipeline = build([CodecSpec("blosc")], ChunkSpec(array.shape, array.dtype))
    encoded = bytes(pipeline.encode(array))
    with pytest.raises(CorruptChunkError, match=words) as info:
        pipeline.decode(header(encoded, **changes))
    assert info.value.codec == "blosc"


def test_nothing_is_read_beyond_the_object():
    """zarr-developers/numcodecs#228: a 16-byte object came back as 4096 bytes of somebody else's memory."""
    bare = HEADER.pack(2, 1, 0x02, 1, 4096, 4096, 4112)
    pipeline = build([CodecSpec("blosc")], ChunkSpec((4096,), np.dtype("u1")))
    for data in (bare, HEADER.pack(2, 1, 0x02, 1, 4096, 4096, 16), HEADER.pack(2, 1, 0x21, 1, 4096, 4096, 16)):
        with pytest.raises(CorruptChunkError):
            pipeline.decode(data)


def test_empty_chunks():
    pipeline = build([CodecSpec("blosc")], ChunkSpec((0, 3), np.dtype("<i4")))
    encoded = bytes(pipeline.encode(np.empty((0, 3), "<i4")))
    assert pipeline.decode(encoded).shape == (0, 3)
    with pytest.raises(CorruptChunkError, match="data follows"):
        pipeline.decode(header(encoded + b"x", cbytes=17))


def test_unknown_size_is_held_to_the_limit():
    codec = BloscCodec()
    encoded = codec.encode(b"abcd" * 1000)
    assert bytes(codec.decode(encoded, size=None, limit=4000)) == b"abcd" * 1000
    with pytest.raises(CorruptChunkError, match="expected 3999"):
        codec.decode(encoded, size=None, limit=3999)


def test_chunks_over_two_gigabytes_are_refused_before_anything_is_written():
    with pytest.raises(ArgumentError, match="smaller chunks"):
        build([CodecSpec("blosc")], ChunkSpec((1 << 31,), np.dtype("u1")))
    build([CodecSpec("blosc")], ChunkSpec((MAX_NBYTES,), np.dtype("u1")))


def test_buffers_over_two_gigabytes_are_refused(monkeypatch):
    monkeypatch.setattr("ndzarr.codecs.blosc.MAX_NBYTES", 10)
    with pytest.raises(ArgumentError, match="at most 10 bytes"):
        BloscCodec().encode(bytes(11))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cname", "gzip"),
        ("cname", 5),
        ("clevel", 10),
        ("clevel", True),
        ("clevel", 1.0),
        ("shuffle", 3),
        ("shuffle", -2),
        ("shuffle", True),
        ("shuffle", "bytes"),
        ("shuffle", None),
        ("blocksize", -1),
        ("typesize", 0),
        ("typesize", "4"),
    ],
)
def test_bad_configurations_name_the_field(field, value):
    with pytest.raises(ArgumentError, match=field) as info:
        BloscCodec.from_spec({field: value})
    assert info.value.field == field
    assert info.value.codec == "blosc"


def test_words_and_numbers():
    for number, word in enumerate(("noshuffle", "shuffle", "bitshuffle")):
        words = BloscCodec.from_spec({"shuffle": word, "typesize": 4})
        assert words.configuration() == {"cname": "lz4", "clevel": 5, "shuffle": word, "blocksize": 0, "typesize": 4}
        numbers = BloscCodec.from_spec({"shuffle": number})
        assert numbers.configuration() == {"cname": "lz4", "clevel": 5, "shuffle": number, "blocksize": 0}
        assert words.encode(b"abcd" * 50) == BloscCodec(shuffle=number, typesize=4).encode(b"abcd" * 50)
    assert BloscCodec() == BloscCodec().bind(ChunkSpec((4,), np.dtype("<f8")))


def test_threads_of_blosc_are_off():
    assert blosc.use_threads is False
