"""The suite that outsiders run, over every codec of ours."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import codecs, register_codec, unregister_codec
from ndzarr.errors import CorruptChunkError
from ndzarr.testing.codecs import CodecSuite


class TestBytes(CodecSuite):
    spec = CodecSpec("bytes")
    dtypes = (*CodecSuite.dtypes, "|V5", "<f2")


class TestBytesLittle(CodecSuite):
    spec = CodecSpec("bytes", {"endian": "little"})


class TestBytesBig(CodecSuite):
    spec = CodecSpec("bytes", {"endian": "big"})


class TestTranspose(CodecSuite):
    spec = CodecSpec("transpose", {"order": [2, 0, 1]})
    shapes = ((2, 3, 4), (1, 5, 7), (3, 0, 2))

    def sample(self):
        pipeline, array = self.pipeline("<i4", (2, 3, 4)), self.values("<i4", (2, 3, 4))
        return pipeline, array, bytes(pipeline.encode(array))

    def test_round_trip_of_a_strided_chunk(self):
        array = np.arange(6 * 8 * 4).reshape(6, 8, 4).transpose(2, 0, 1)[::2, ::-1]
        pipeline = self.pipeline(array.dtype.str, array.shape)
        self.check_equal(pipeline.decode(bytes(pipeline.encode(array))), array)


class TestNone(CodecSuite):
    spec = CodecSpec("none")


class TestZlib(CodecSuite):
    spec = CodecSpec("zlib", {"level": 6})


class TestGzip(CodecSuite):
    spec = CodecSpec("gzip", {"level": 1})


class TestBz2(CodecSuite):
    spec = CodecSpec("bz2", {"level": 9})


class TestBzip2(CodecSuite):
    spec = CodecSpec("bzip2", {"level": 9})


class TestLzma(CodecSuite):
    spec = CodecSpec("lzma", {"preset": 1})


class TestLzmaAlone(CodecSuite):
    spec = CodecSpec("lzma", {"format": 2})


class TestLzmaRaw(CodecSuite):
    spec = CodecSpec("lzma", {"format": 3, "filters": [{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]})


class TestLz4(CodecSuite):
    spec = CodecSpec("lz4")


class TestZstd(CodecSuite):
    spec = CodecSpec("zstd")


class TestZstdChecksum(CodecSuite):
    spec = CodecSpec("zstd", {"level": -5, "checksum": True})


class TestBlosc(CodecSuite):
    spec = CodecSpec("blosc")


class TestBloscBitshuffleZstd(CodecSuite):
    spec = CodecSpec("blosc", {"cname": "zstd", "clevel": 9, "shuffle": 2, "blocksize": 128})


class TestBloscInWords(CodecSuite):
    spec = CodecSpec("blosc", {"cname": "zlib", "clevel": 0, "shuffle": "noshuffle", "blocksize": 0, "typesize": 4})


class TestBloscAuto(CodecSuite):
    spec = CodecSpec("blosc", {"cname": "blosclz", "shuffle": -1})


class TestSnappy(CodecSuite):
    spec = CodecSpec("snappy")


class TestCrc32(CodecSuite):
    spec = CodecSpec("crc32")
    detects_changes = True


class TestAdler32(CodecSuite):
    spec = CodecSpec("adler32", {"location": "end"})
    detects_changes = True


class TestCrc32c(CodecSuite):
    spec = CodecSpec("crc32c")
    detects_changes = True


class TestCrc32cStart(CodecSuite):
    spec = CodecSpec("crc32c", {"location": "start"})
    detects_changes = True


class TestFletcher32(CodecSuite):
    spec = CodecSpec("fletcher32")
    detects_changes = True


class TestJenkinsLookup3(CodecSuite):
    spec = CodecSpec("jenkins_lookup3", {"initval": 7, "prefix": [1, 2, 3]})
    detects_changes = True


class TestShuffle(CodecSuite):
    spec = CodecSpec("shuffle", {"elementsize": 4})
    dtypes = ("<i4", "<f8")


class TestShuffleOfBytes(CodecSuite):
    spec = CodecSpec("shuffle", {"elementsize": 1})


class TestBase64(CodecSuite):
    spec = CodecSpec("base64")


class TestDelta(CodecSuite):
    spec = CodecSpec("delta", {"dtype": "<i4", "astype": "<i2"})
    dtypes = ("<i4",)


class TestDeltaBigEndian(CodecSuite):
    spec = CodecSpec("delta", {"dtype": ">i8"})
    dtypes = (">i8",)


class TestDeltaOfOtherDtype(CodecSuite):
    """numcodecs sees whatever it is given as elements of its own dtype."""

    spec = CodecSpec("delta", {"dtype": "|u1"})
    dtypes = ("|u1", "<i4", "<M8[s]")


class TestQuantize(CodecSuite):
    spec = CodecSpec("quantize", {"digits": 1, "dtype": "<f8", "astype": "<f4"})
    dtypes = ("<f8",)
    lossless = False


class TestFixedScaleOffset(CodecSuite):
    spec = CodecSpec("fixedscaleoffset", {"offset": -100, "scale": 2, "dtype": "<f8", "astype": "<u2"})
    dtypes = ("<f8",)


class TestAstype(CodecSuite):
    spec = CodecSpec("astype", {"encode_dtype": "<i2", "decode_dtype": "<f8"})
    dtypes = ("<f8",)


class TestBitround(CodecSuite):
    spec = CodecSpec("bitround", {"keepbits": 4})
    dtypes = ("<f4", ">f4", "<f8", "<f2")
    lossless = False


class TestBitroundOfAllBits(CodecSuite):
    spec = CodecSpec("bitround", {"keepbits": 10})
    dtypes = ("<f2",)


class TestPackbits(CodecSuite):
    spec = CodecSpec("numcodecs.packbits")
    dtypes = ("|b1",)


class Numbers(CodecSuite):
    """Values that every dtype here holds: 0 to 2, or 1 to 3 for those without a 0."""

    def values(self, dtype, shape):
        n = int(np.prod(shape))
        return (np.arange(n) * 7 % 5 % 3).astype(np.dtype(getattr(ml_dtypes, dtype, dtype))).reshape(shape)

    def pipeline(self, dtype, shape):
        chunk = ChunkSpec(shape, np.dtype(getattr(ml_dtypes, dtype, dtype)))
        return build([*self.before, self.spec], chunk)


class TestBytesOfMlDtypes(Numbers):
    spec = CodecSpec("bytes", {"endian": "big"})
    dtypes = ("bfloat16", "int2", "uint4", "float4_e2m1fn", "float6_e2m3fn", "float8_e4m3")


class TestEndian(CodecSuite):
    spec = CodecSpec("endian", {"endian": "big"})


class TestRegisteredPackbits(Numbers):
    spec = CodecSpec("packbits")
    dtypes = ("|b1", "int4", "uint2", "float4_e2m1fn", "float6_e3m2fn", "bfloat16", "<i2", ">u4", "<f8", "<c8", "<M8[s]")

    def values(self, dtype, shape):
        if dtype == "|b1":
            return super().values("u1", shape) > 1
        return super().values("i8", shape).view(dtype) if "M8" in dtype else super().values(dtype, shape)


class TestRegisteredPackbitsOfSomeBits(Numbers):
    spec = CodecSpec("packbits", {"padding_encoding": "last_byte", "first_bit": 0, "last_bit": 2})
    dtypes = ("|u1", "<i2", ">u8")


class TestCastValue(Numbers):
    spec = CodecSpec(
        "cast_value",
        {
            "data_type": "int16",
            "rounding": "towards-zero",
            "out_of_range": "clamp",
            "scalar_map": {"encode": [[1, -5]], "decode": [[-5, 1]]},
        },
    )
    dtypes = ("|u1", ">i4", "<f8", "<f2", "bfloat16", "uint4")


class TestCastValueToFloats(Numbers):
    spec = CodecSpec("cast_value", {"data_type": "float16"})
    dtypes = ("|i1", "<u8", ">f4", "float8_e5m2")


class TestScaleOffset(Numbers):
    spec = CodecSpec("scale_offset", {"offset": 0, "scale": 2})
    dtypes = ("|u1", ">i4", "<u8", "<f8", ">f4", "bfloat16", "uint4")


class TestScaleOffsetOfNothing(Numbers):
    spec = CodecSpec("scale_offset")
    dtypes = ("<f4", "float6_e2m3fn", "int2")


class TestReshape(CodecSuite):
    spec = CodecSpec("reshape", {"shape": [-1, 1]})
    shapes = ((), (1,), (7,), (64,), (5, 8), (2, 3, 16))


class TestReshapeByAxes(CodecSuite):
    before = (CodecSpec("transpose", {"order": [1, 2, 0]}),)
    spec = CodecSpec("reshape", {"shape": [[0], [1, 2]]})
    shapes = ((2, 3, 4), (1, 5, 7), (3, 0, 2))

    def sample(self):
        pipeline, array = self.pipeline("<i4", (2, 3, 4)), self.values("<i4", (2, 3, 4))
        return pipeline, array, bytes(pipeline.encode(array))

    def test_round_trip_of_a_strided_chunk(self):
        array = np.arange(6 * 8 * 4).reshape(6, 8, 4).transpose(2, 0, 1)[::2, ::-1]
        pipeline = self.pipeline(array.dtype.str, array.shape)
        self.check_equal(pipeline.decode(bytes(pipeline.encode(array))), array)


class TestConditional(CodecSuite):
    spec = CodecSpec(
        "conditional",
        {
            "codecs": [
                {"name": "numcodecs.shuffle", "configuration": {"elementsize": 1}},
                {"name": "zstd", "configuration": {"level": 1}},
                {"name": "crc32c"},
            ],
            "header_bits": 16,
        },
    )


class TestN5(CodecSuite):
    spec = CodecSpec(
        "n5_default",
        {
            "codecs": [
                {"name": "transpose", "configuration": {"order": [1, 0]}},
                {"name": "bytes", "configuration": {"endian": "big"}},
                {"name": "gzip", "configuration": {"level": 1}},
            ]
        },
    )
    dtypes = ("|u1", "<i4", ">i4", "<f4", "<f8", "<u8")
    shapes = ((1, 1), (5, 8), (64, 1), (3, 0))

    def sample(self):
        pipeline, array = self.pipeline("<i4", (8, 8)), self.values("<i4", (8, 8))
        return pipeline, array, bytes(pipeline.encode(array))


class Endless(CodecSuite):
    """Libraries that do not say where they stopped to read, so that nobody knows of what follows."""

    #: How many of the last bytes may be padding.
    padding = 0

    def test_truncated_empty_and_extended(self):
        pipeline, _, encoded = self.sample()
        for length in range(len(encoded) - self.padding):
            with pytest.raises(CorruptChunkError):
                pipeline.decode(encoded[:length])


class Zfp(Endless):
    shapes = ((1,), (7,), (64,), (5, 8), (2, 3, 16), (2, 3, 4, 5))
    dtypes = ("<f8", "<f4", "<i4", "<i8")
    padding = 8


class TestZfp(Zfp):
    spec = CodecSpec("zfp", {"mode": "reversible"})
    shapes = ((), (0,), (3, 0), *Zfp.shapes)
    dtypes = (*Zfp.dtypes, ">f8", "|u1", "<i2", "<f2")

    def values(self, dtype, shape):
        return abs(super().values(dtype, shape)) if "u" in dtype else super().values(dtype, shape)


class TestZfpFixedRate(Zfp):
    spec = CodecSpec("zfp", {"mode": "fixed_rate", "rate": 16})
    lossless = False


class TestZfpy(Zfp):
    spec = CodecSpec("numcodecs.zfpy", {"mode": 4, "tolerance": -1, "rate": -1, "precision": -1})


class TestZfpyLossy(Zfp):
    spec = CodecSpec("zfpy", {"mode": 3, "precision": 20})
    lossless = False


class TestPcodec(Endless):
    spec = CodecSpec("pcodec", {"level": 5})
    dtypes = ("<i4", "<i8", "<u2", "<f4", "<f8", "<f2", "<M8[s]")


class TestVlenUtf8OfStrings(CodecSuite):
    spec = CodecSpec("vlen-utf8")
    dtypes = (np.dtypes.StringDType(),)

    def values(self, dtype, shape):
        return super().values("|O", shape).astype(dtype)

    def check_equal(self, found, wanted):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        assert found.tolist() == wanted.tolist()


class TestBitroundOfIntegers(CodecSuite):
    spec = CodecSpec("bitround", {"keepbits": 3})
    dtypes = ("<i4", ">u2", "<M8[s]", "|i1", "<c16")
    lossless = False


class TestCategorize(CodecSuite):
    labels = ("ab", "abc", "", "中")
    spec = CodecSpec("categorize", {"labels": list(labels), "dtype": "<U3", "astype": "|u1"})
    dtypes = ("<U3",)

    def values(self, dtype, shape):
        n = int(np.prod(shape))
        return np.array([self.labels[i % 4] for i in range(n)], dtype).reshape(shape)


class TestCategorizeObjects(TestCategorize):
    spec = CodecSpec("categorize", {"labels": list(TestCategorize.labels), "dtype": "|O", "astype": "<i2"})
    dtypes = ("|O",)


class TestVlenUtf8(CodecSuite):
    spec = CodecSpec("vlen-utf8")
    dtypes = ("|O",)


class TestVlenBytes(CodecSuite):
    spec = CodecSpec("vlen-bytes")
    dtypes = ("|O",)

    def values(self, dtype, shape):
        n = int(np.prod(shape))
        return np.fromiter((bytes(range(i % 9)) for i in range(n)), object, n).reshape(shape)


class TestVlenArray(CodecSuite):
    spec = CodecSpec("vlen-array", {"dtype": "<i4"})
    dtypes = ("|O",)

    def values(self, dtype, shape):
        n = int(np.prod(shape))
        out = np.empty(n, object)
        for i in range(n):
            out[i] = np.arange(i % 5, dtype="<i4")
        return out.reshape(shape)

    def check_equal(self, found, wanted):
        assert found.shape == wanted.shape
        assert all(np.array_equal(a, b) for a, b in zip(found.flat, wanted.flat, strict=True))

    def test_encode_repeats_itself_and_leaves_its_input(self):
        pipeline, array, encoded = self.sample()
        before = [item.copy() for item in array]
        assert bytes(pipeline.encode(array)) == encoded
        assert all(np.array_equal(a, b) for a, b in zip(array, before, strict=True))


class TestJson2(CodecSuite):
    spec = CodecSpec("json2")
    dtypes = ("|O", "<i4", "<f8", "|b1", "<U3")


class TestJson2OfAnything(TestJson2):
    spec = CodecSpec("json2", {"encoding": "utf-16", "indent": 1, "sort_keys": False})
    dtypes = ("|O",)

    def values(self, dtype, shape):
        n = int(np.prod(shape))
        some = [None, 1, 2.5, "é", [1, [2]], {"a": [], "b": {}}, True, []]
        return np.fromiter((some[i % 8] for i in range(n)), object, n).reshape(shape)


class TestMsgpack2(CodecSuite):
    spec = CodecSpec("msgpack2")
    dtypes = ("|O", "<i4", "<f8", "|b1", "<U3")


class TestPickle(CodecSuite):
    spec = CodecSpec("pickle", {"protocol": 4})
    dtypes = ("|O", "<i4")
    allow_pickle = True

    # Decoding damaged pickles would run them; that they are refused unless allowed is tested with the registry.
    def test_damage_is_found_or_gives_an_array(self):
        pipeline, _, _ = self.sample()
        with pytest.raises(CorruptChunkError, match="holds NoneType of no elements, expected 64"):
            pipeline.decode(b"\x80\x04N.")


class TestFilterAfterCompressor(CodecSuite):
    """v2 takes filters in any order."""

    before = (CodecSpec("zlib"),)
    spec = CodecSpec("delta", {"dtype": "|u1"})


class TestPackbitsAfterChecksum(CodecSuite):
    before = (CodecSpec("crc32"),)
    spec = CodecSpec("numcodecs.packbits")
    lossless = False  # a byte is a bit here

    def test_round_trip(self):
        pipeline, array = self.pipeline("|u1", (64,)), self.values("|u1", (64,))
        assert len(pipeline.encode(array)) == pipeline.max_encoded == 1 + 68 // 8 + 1

    test_round_trip_of_a_strided_chunk = test_decodes_any_buffer = test_decodes_into_out = test_round_trip
    test_threads = test_round_trip


class TestChain(CodecSuite):
    before = (
        CodecSpec("transpose", {"order": [1, 0]}),
        CodecSpec("delta", {"dtype": "<i4"}),
        CodecSpec("shuffle", {"elementsize": 4}),
        CodecSpec("zstd"),
        CodecSpec("crc32c"),
    )
    spec = CodecSpec("gzip")
    dtypes = ("<i4",)
    shapes = ((3, 5), (1, 64), (4, 0))

    def sample(self):
        pipeline, array = self.pipeline("<i4", (8, 8)), self.values("<i4", (8, 8))
        return pipeline, array, bytes(pipeline.encode(array))


class Reversed:
    """A codec as users write them for numcodecs, without its base class. The first byte says how many follow."""

    codec_id = "reversed"

    def __init__(self, salt=0):
        self.salt = salt

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def get_config(self):
        return {"id": self.codec_id, "salt": self.salt}

    def encode(self, buf):
        return np.ascontiguousarray(buf).tobytes()[::-1] + bytes([self.salt])

    def decode(self, buf, out=None):
        if bytes(buf[-1:]) != bytes([self.salt]):
            raise ValueError("wrong salt")
        return bytes(buf)[-2::-1]


class TestNumcodecsClass(CodecSuite):
    spec = CodecSpec("reversed", {"salt": 3})

    @pytest.fixture(autouse=True)
    def _registered(self):
        register_codec(Reversed)
        yield
        unregister_codec("reversed")


def _suites(cls=CodecSuite):
    for suite in cls.__subclasses__():
        yield suite
        yield from _suites(suite)


def test_every_codec_of_ours_runs_the_suite():
    tested = {suite.spec.name.removeprefix("numcodecs.") for suite in _suites() if hasattr(suite, "spec")}
    tested |= {suite.spec.name for suite in _suites() if hasattr(suite, "spec")}
    # Shards have tests of their own: what they are made of is cut in other ways.
    assert {name for name, info in codecs().items() if info.available} - tested <= {"sharding_indexed"}
