"""Pipelines: sizes along the chain, where results lie, how failures are told."""

from __future__ import annotations

import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs import pipeline as module
from ndzarr.codecs.base import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec, ChunkSpec
from ndzarr.codecs.bytes import BytesCodec
from ndzarr.codecs.pipeline import Pipeline, build
from ndzarr.errors import ArgumentError, CorruptChunkError, StoreError

ARRAY = np.arange(24, dtype="<i4").reshape(4, 6)
CHUNK = ChunkSpec(ARRAY.shape, ARRAY.dtype, 0)
REVERSE = CodecSpec("transpose", {"order": [1, 0]})


def names(*specs: CodecSpec, chunk: ChunkSpec = CHUNK) -> list[str]:
    return [codec.name for codec in build(specs, chunk).codecs]


def test_v2_chains_get_a_bytes_step():
    delta, zlib, text = CodecSpec("numcodecs.delta", {"dtype": "<i4"}), CodecSpec("numcodecs.zlib"), CodecSpec("vlen-utf8")
    assert names() == ["bytes"]
    assert names(zlib) == ["bytes", "zlib"]
    assert names(REVERSE, delta, zlib) == ["transpose", "delta", "bytes", "zlib"]
    assert names(zlib, CodecSpec("delta", {"dtype": "u1"})) == ["bytes", "zlib", "delta"]
    assert names(text, zlib, chunk=ChunkSpec((3,), np.dtype(object))) == ["vlen-utf8", "zlib"]
    assert names(REVERSE, CodecSpec("bytes", {"endian": "big"}), zlib) == ["transpose", "bytes", "zlib"]
    assert names(CodecSpec("none"), CodecSpec("numcodecs.none")) == ["bytes"]


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        (["bytes", "bytes"], "'bytes' takes an array and cannot follow 'bytes'"),
        (["zlib", "bytes"], "'bytes' takes an array and cannot follow 'zlib'"),
        (["zlib", "json2"], "'json2' takes an array and cannot follow 'zlib'"),
        (["bytes", "transpose"], "'transpose' takes an array and cannot follow"),
        (["zlib", "bitround"], "'bitround' takes an array and cannot follow"),
    ],
)
def test_chains_that_cannot_be(chain, words):
    configurations = {"transpose": {"order": [1, 0]}, "bitround": {"keepbits": 1}}
    with pytest.raises(ArgumentError, match=words):
        build([CodecSpec(name, configurations.get(name, {})) for name in chain], CHUNK)


def test_raw():
    assert build([], CHUNK).raw
    assert build([CodecSpec("bytes", {"endian": "little"})], CHUNK).raw
    assert build([CodecSpec("bytes", {"endian": "big"})], ChunkSpec((3,), np.dtype("u1"))).raw
    assert not build([CodecSpec("bytes", {"endian": "big"})], CHUNK).raw
    assert not build([REVERSE], CHUNK).raw
    assert not build([CodecSpec("crc32c")], CHUNK).raw
    assert not build([CodecSpec("vlen-utf8")], ChunkSpec((3,), np.dtype(object))).raw
    for spec in (CHUNK, ChunkSpec((), np.dtype("<f8")), ChunkSpec((0, 3), np.dtype("<f8"))):
        raw = build([], spec)
        assert raw.max_encoded == spec.nbytes
        array = np.zeros(spec.shape, spec.dtype)
        assert raw.decode(bytes(raw.encode(array))).shape == spec.shape


def test_max_encoded():
    assert build([CodecSpec("crc32c"), CodecSpec("crc32"), CodecSpec("base64")], CHUNK).max_encoded == 140
    assert build([CodecSpec("zlib")], CHUNK).max_encoded == 2 * 96 + 65536
    assert build([CodecSpec("zlib"), CodecSpec("crc32c")], CHUNK).max_encoded == 2 * 96 + 65536 + 4
    assert build([CodecSpec("shuffle"), CodecSpec("zlib"), CodecSpec("base64")], CHUNK).max_encoded == 87640
    assert build([CodecSpec("vlen-utf8"), CodecSpec("zlib")], ChunkSpec((3,), np.dtype(object))).max_encoded is None
    # No codec makes more of noise than it says.
    noise = np.random.default_rng(0).integers(0, 256, 1 << 16).astype("u1")
    for name in ("zlib", "gzip", "bz2", "lzma", "lz4", "zstd", "blosc", "snappy"):
        pipeline = build([CodecSpec(name)], ChunkSpec(noise.shape, noise.dtype))
        assert pipeline.max_encoded is not None
        assert len(pipeline.encode(noise)) <= pipeline.max_encoded


def test_a_chunk_of_another_shape_is_not_encoded():
    with pytest.raises(ArgumentError, match=r"shape \(6, 4\), expected \(4, 6\)"):
        build([], CHUNK).encode(ARRAY.T)


def test_where_results_lie():
    out = np.empty_like(ARRAY)
    for name in ("lz4", "blosc"):
        zeros, target = np.zeros((64, 64)), np.ones((64, 64))
        pipeline = build([CodecSpec(name)], ChunkSpec(zeros.shape, zeros.dtype))
        assert pipeline.decode(bytes(pipeline.encode(zeros)), target) is target
        assert not target.any()
    raw = build([], CHUNK)
    data = ARRAY.tobytes()
    found = raw.decode(data, out)
    assert not found.flags.writeable
    assert np.may_share_memory(found, np.frombuffer(data, "u1"))
    # Nothing is decoded into `out` where something is done to it afterwards.
    pipeline = build([REVERSE, CodecSpec("blosc")], CHUNK)
    out[:] = 7
    found = pipeline.decode(bytes(pipeline.encode(ARRAY)), out)
    assert found is not out
    assert np.array_equal(found, ARRAY)
    # Nor by a step that is not the last.
    pipeline = build([CodecSpec("lz4"), CodecSpec("lz4")], CHUNK)
    assert pipeline.decode(bytes(pipeline.encode(ARRAY)), out) is out
    assert np.array_equal(out, ARRAY)


def test_datetimes_and_structures_decode_into_out():
    for dtype in ("<M8[s]", [("a", "<i4"), ("b", "|S3")], "|V7", "<U3", "|b1", "<c16"):
        array = np.zeros((5, 3), dtype)
        for name in ("zstd", "blosc", "lz4", "zlib"):
            pipeline = build([CodecSpec(name)], ChunkSpec(array.shape, array.dtype))
            found = pipeline.decode(bytes(pipeline.encode(array)), np.empty_like(array))
            assert found.tobytes() == array.tobytes()
            assert found.dtype == array.dtype


def test_decode_time_grows_with_work():
    big = ChunkSpec((1 << 20,), np.dtype("u1"))
    chains = ([], ["blosc"], ["zstd"], ["zlib"], ["bz2"])
    times = [build([CodecSpec(name) for name in chain], big).decode_ns for chain in chains]
    assert times == sorted(times)
    assert times[0] < 100_000 < times[1] < 2_000_000


class Failing(BytesBytesCodec):
    name = "failing"
    error: BaseException

    @classmethod
    def from_spec(cls, configuration):
        return cls()

    def configuration(self):
        return {}

    def encode(self, data):
        raise self.error

    def decode(self, data, *, size, limit, out=None):
        raise self.error


def test_failures_become_errors_with_the_codec_and_cause(monkeypatch):
    chain = Pipeline([], BytesCodec(), [Failing()], CHUNK)
    for error, words in (
        (ValueError("what it says"), "failing: what it says"),
        (RuntimeError(), "failing: RuntimeError"),
        (RecursionError("deep"), "failing: deep"),
        (CorruptChunkError("found 1", found=1, expected=2), "failing: found 1"),
    ):
        monkeypatch.setattr(Failing, "error", error, raising=False)
        with pytest.raises(CorruptChunkError) as info:
            chain.decode(b"")
        assert str(info.value) == words
        assert info.value.codec == "failing"
        assert info.value.__cause__ is error
        with pytest.raises((ArgumentError, CorruptChunkError)) as encoding:
            chain.encode(ARRAY)
        assert isinstance(encoding.value, CorruptChunkError) or encoding.value.codec == "failing"
    assert (info.value.found, info.value.expected) == (1, 2)
    named = CorruptChunkError("inner: it", codec="inner")
    monkeypatch.setattr(Failing, "error", named)
    with pytest.raises(CorruptChunkError) as info:
        chain.decode(b"")
    assert info.value is named


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), ArgumentError("install it"), StoreError("no")])
def test_failures_that_say_nothing_of_the_data_pass(monkeypatch, error):
    monkeypatch.setattr(Failing, "error", error, raising=False)
    chain = Pipeline([], BytesCodec(), [Failing()], CHUNK)
    expected = CorruptChunkError if isinstance(error, StoreError) else type(error)
    with pytest.raises(expected):
        chain.decode(b"")
    with pytest.raises(type(error)):
        chain.encode(ARRAY)


class Sized(Failing):
    """Gives what it is told, whatever it is asked for."""

    content: bytes = b""

    def decode(self, data, *, size, limit, out=None):
        return self.content


@pytest.mark.parametrize("length", [0, 1, 95, 97, 1000])
def test_codecs_are_held_to_the_size(length, monkeypatch):
    monkeypatch.setattr(Sized, "content", bytes(length))
    with pytest.raises(CorruptChunkError, match=f"failing: decoded to {length} bytes, expected 96") as info:
        Pipeline([], BytesCodec(), [Sized()], CHUNK).decode(b"")
    assert (info.value.found, info.value.expected) == (length, 96)


def test_codecs_are_held_to_the_limit(monkeypatch):
    monkeypatch.setattr(Sized, "content", bytes(2 * 96 + 65536 + 1))
    chain = Pipeline([], BytesCodec(), [Failing(), Sized()], CHUNK)
    with pytest.raises(CorruptChunkError, match="decoded to 65729 bytes, expected at most 65728"):
        chain.decode(b"")


class Odd(ArrayBytesCodec):
    name = "odd"
    result: object

    @classmethod
    def from_spec(cls, configuration):
        return cls()

    def configuration(self):
        return {}

    def encode(self, array, spec):
        return array.tobytes()

    def decode(self, data, spec):
        return self.result


@pytest.mark.parametrize("result", [np.zeros((4, 5), "<i4"), np.zeros((4, 6), "<i8"), np.zeros(24, "<i4"), None, b"abc"])
def test_codecs_are_held_to_shape_and_dtype(result, monkeypatch):
    monkeypatch.setattr(Odd, "result", result, raising=False)
    with pytest.raises(CorruptChunkError, match=r"^odd: ") as info:
        Pipeline([], Odd(), [], CHUNK).decode(b"")
    assert info.value.codec == "odd"


class Widening(ArrayArrayCodec):
    """A filter of somebody else's, with the least that a codec has."""

    name = "widening"

    @classmethod
    def from_spec(cls, configuration):
        return cls()

    def configuration(self):
        return {}

    def resolve(self, spec):
        return ChunkSpec(spec.shape, np.dtype("<f8"))

    def encode(self, array, spec):
        return array.astype("<f8")

    def decode(self, array, spec):
        return array.astype(spec.dtype)


def test_a_filter_of_somebody_elses():
    chain = Pipeline([Widening()], BytesCodec(), [], CHUNK)
    assert chain.max_encoded == 192
    assert np.array_equal(chain.decode(chain.encode(ARRAY)), ARRAY)
    with pytest.raises(CorruptChunkError, match="bytes: found 191 bytes, expected 192"):
        chain.decode(bytes(191))


def test_object_limit_is_asked_for_when_decoding(monkeypatch):
    limits = []

    class Asking(Failing):
        def decode(self, data, *, size, limit, out=None):
            limits.append((size, limit))
            return b""

    chain = Pipeline([], Odd(), [Asking(), Asking()], CHUNK)
    monkeypatch.setattr(Odd, "result", ARRAY, raising=False)
    with module_options(max_object=77):
        chain.decode(b"")
    assert limits == [(None, 77), (None, 77)]


def module_options(**changes):
    from ndzarr.config import options

    return options(**changes)


def test_overhead_of_a_raw_chunk_is_small():
    """A bound generous enough for any machine: what it guards against is work done per chunk instead of once."""
    import timeit

    small = np.zeros(8, "u1")
    pipeline = build([], ChunkSpec(small.shape, small.dtype))
    data = small.tobytes()
    assert min(timeit.repeat(lambda: pipeline.decode(data), number=200, repeat=5)) / 200 < 50e-6
    assert module.Pipeline.__slots__
