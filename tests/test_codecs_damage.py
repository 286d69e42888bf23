"""Damaged objects: hypothesis changes, cuts and joins encoded bytes; nothing but a CorruptChunkError or an array comes out."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.config import options
from ndzarr.errors import CorruptChunkError

#: 100,000 in the long run of promise P10: NDZARR_MUTATIONS=100000.
EXAMPLES = int(os.environ.get("NDZARR_MUTATIONS", "300"))

NUMBERS = np.cumsum(np.random.default_rng(0).integers(-3, 4, 600)).astype("<i4")
FLOATS = np.sin(NUMBERS / 9).astype("<f8")
WORDS = np.array(["", "word", "wörter", "中文"], object)[np.abs(NUMBERS[:40]) % 4]
BLOBS = np.array([b"", b"abc", b"\0" * 30], object)[np.abs(NUMBERS[:40]) % 3]
LISTS = np.fromiter(([np.arange(n % 3, dtype="<i4") for n in range(40)]), object, 40)
LITTLE = ("bytes", {"endian": "little"})
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
REVERSED = {"name": "transpose", "configuration": {"order": [1, 0]}}

CHAINS = {
    "bytes": ([], NUMBERS),
    "transpose": ([("transpose", {"order": [1, 0]})], NUMBERS.reshape(30, 20)),
    "zlib": ([("zlib", {})], NUMBERS),
    "gzip": ([("gzip", {})], NUMBERS),
    "bz2": ([("bz2", {})], NUMBERS),
    "bzip2": ([("bzip2", {})], NUMBERS),
    "lzma": ([("lzma", {})], NUMBERS),
    "lzma raw": ([("lzma", {"format": 3, "filters": [{"id": 33, "preset": 1}]})], NUMBERS),
    "lzma alone": ([("lzma", {"format": 2})], NUMBERS),
    "lz4": ([("lz4", {})], NUMBERS),
    "zstd": ([("zstd", {})], NUMBERS),
    "zstd checksum": ([("zstd", {"checksum": True})], NUMBERS),
    "snappy": ([("snappy", {})], NUMBERS),
    "crc32": ([("crc32", {})], NUMBERS),
    "adler32": ([("adler32", {})], NUMBERS),
    "crc32c": ([("crc32c", {})], NUMBERS),
    "fletcher32": ([("fletcher32", {})], NUMBERS),
    "jenkins_lookup3": ([("jenkins_lookup3", {})], NUMBERS),
    "shuffle": ([("shuffle", {"elementsize": 4})], NUMBERS),
    "base64": ([("base64", {})], NUMBERS),
    "delta": ([("delta", {"dtype": "<i4"})], NUMBERS),
    "quantize": ([("quantize", {"digits": 2, "dtype": "<f8", "astype": "<f4"})], FLOATS),
    "fixedscaleoffset": ([("fixedscaleoffset", {"offset": 1, "scale": 9, "dtype": "<f8", "astype": "<f4"})], FLOATS),
    "astype": ([("astype", {"encode_dtype": "<f4", "decode_dtype": "<i4"})], NUMBERS),
    "astype of text": ([("astype", {"encode_dtype": "|S6", "decode_dtype": "<i4"})], NUMBERS),
    "bitround": ([("bitround", {"keepbits": 3})], FLOATS),
    "packbits": ([("numcodecs.packbits", {})], NUMBERS[:595] > 0),
    "registered packbits": ([("packbits", {"padding_encoding": "first_byte"})], NUMBERS[:595] > 0),
    "packbits of some bits": ([("packbits", {"last_bit": 10})], NUMBERS),
    "cast_value": ([("cast_value", {"data_type": "float32", "rounding": "towards-zero"}), LITTLE], NUMBERS),
    "cast_value map": (
        [("cast_value", {"data_type": "int8", "scalar_map": {"decode": [[0, "NaN"]]}, "out_of_range": "wrap"}), LITTLE],
        FLOATS,
    ),
    "scale_offset": ([("scale_offset", {"offset": 3, "scale": 7}), LITTLE], NUMBERS),
    "scale_offset of floats": ([("scale_offset", {"offset": 3, "scale": 0.1}), LITTLE], FLOATS),
    "reshape": ([("transpose", {"order": [1, 0]}), ("reshape", {"shape": [-1, 4]}), LITTLE], NUMBERS.reshape(30, 20)),
    "conditional": ([LITTLE, ("conditional", {"codecs": ["numcodecs.zlib", "crc32c"]})], NUMBERS),
    "conditional of unknown sizes": ([("vlen-utf8", {}), ("conditional", {"codecs": ["zstd", "gzip"]})], WORDS),
    "n5_default": ([("n5_default", {"codecs": [REVERSED, BIG]})], NUMBERS.reshape(30, 20)),
    "n5_default zstd": ([("n5_default", {"codecs": [REVERSED, BIG, "zstd"]})], NUMBERS.reshape(30, 20)),
    "endian": ([("endian", {"endian": "big"})], NUMBERS),
    "zfp": ([("zfp", {"mode": "reversible"})], FLOATS.reshape(30, 20)),
    "zfp accuracy": ([("zfp", {"mode": "fixed_accuracy", "tolerance": 0.01})], FLOATS.reshape(10, 6, 10)),
    "zfp rate": ([("zfp", {"mode": "fixed_rate", "rate": 7})], NUMBERS),
    "zfp precision": ([("zfp", {"mode": "fixed_precision", "precision": 11})], NUMBERS.reshape(5, 6, 4, 5)),
    "zfpy": ([("numcodecs.zfpy", {"tolerance": 0.01})], FLOATS.reshape(30, 20)),
    "zfpy rate": ([("zfpy", {"mode": 2, "rate": 30})], FLOATS.reshape(5, 6, 4, 5)),
    "pcodec": ([("pcodec", {})], NUMBERS),
    "pcodec of floats": ([("numcodecs.pcodec", {"equal_pages_up_to": 50})], FLOATS),
    "vlen-utf8 of strings": ([("vlen-utf8", {})], WORDS.astype(np.dtypes.StringDType())),
    "categorize": ([("categorize", {"labels": ["word", "中文"], "dtype": "|O"})], WORDS),
    "vlen-utf8": ([("vlen-utf8", {})], WORDS),
    "vlen-bytes": ([("vlen-bytes", {})], BLOBS),
    "vlen-array": ([("vlen-array", {"dtype": "<i4"})], LISTS),
    "json2": ([("json2", {})], WORDS),
    "json2 of numbers": ([("json2", {})], NUMBERS),
    "msgpack2": ([("msgpack2", {})], WORDS),
    "vlen-utf8 and blosc": ([("vlen-utf8", {}), ("blosc", {})], WORDS),
    "vlen-utf8 and zstd": ([("vlen-utf8", {}), ("zstd", {})], WORDS),
    "vlen-utf8 and gzip": ([("vlen-utf8", {}), ("gzip", {})], WORDS),
    "delta after zlib": ([("zlib", {}), ("delta", {"dtype": "|u1"})], NUMBERS),
    "packbits after crc32": ([("base64", {}), ("numcodecs.packbits", {})], np.zeros(3, "u1")),
} | {
    f"blosc {cname} {shuffle} {blocksize}": (
        [("blosc", {"cname": cname, "shuffle": shuffle, "blocksize": blocksize})],
        NUMBERS,
    )
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
    for shuffle in (0, 1, 2)
    for blocksize in (0, 256)
}
#: Chains in which any change at all is found. bz2, gzip, lzma, zlib: their own checksums; a header has bits that mean
#: nothing.
CHECKED = ("crc32", "adler32", "crc32c", "fletcher32", "jenkins_lookup3")


@st.composite
def mutations(draw, encoded: bytes) -> bytes:
    data = bytearray(encoded)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(len(data), 40)) | st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "word", "cut", "insert", "repeat", "end"]))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "word":
            odd = st.sampled_from([0, 1, 16, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data)])
            word = draw(odd | st.integers(0, 2**32 - 1))
            data[at : at + 4] = word.to_bytes(4, "little")
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "repeat":
            data += data[at : at + 400]
        else:
            del data[at:]
    return bytes(data)


def check_error(error: CorruptChunkError, names: list[str]) -> None:
    assert error.codec in names
    assert error.codec in str(error)


@pytest.mark.parametrize("name", CHAINS)
def test_mutated_objects(name):
    chain, array = CHAINS[name]
    pipeline = build([CodecSpec(*step) for step in chain], ChunkSpec(array.shape, array.dtype))
    encoded = bytes(pipeline.encode(array))
    names = [codec.name for codec in pipeline.codecs]
    out = None if array.dtype.hasobject or array.dtype.kind == "T" else np.empty_like(array)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(mutations(encoded), st.booleans())
    def run(data: bytes, into: bool) -> None:
        try:
            found = pipeline.decode(data, out if into else None)
        except CorruptChunkError as error:
            check_error(error, names)
            return
        assert (found.shape, found.dtype) == (array.shape, array.dtype)
        assert data == encoded or name not in CHECKED

    # Where the decoded size is not known: a limit, or an 8-byte change has lz4 ask for gigabytes.
    with options(max_object=1 << 22):
        run()


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("data", [b"", b"\0", bytes(16), b"\xff" * 16, bytes(5000), b"\xff" * 5000], ids=len)
def test_other_objects(name, data):
    chain, array = CHAINS[name]
    pipeline = build([CodecSpec(*step) for step in chain], ChunkSpec(array.shape, array.dtype))
    with options(max_object=1 << 22):
        try:
            found = pipeline.decode(data)
        except CorruptChunkError as error:
            check_error(error, [codec.name for codec in pipeline.codecs])
        else:
            assert (found.shape, found.dtype) == (array.shape, array.dtype)
            # Zeros are blocks of zeros to zfp, which does not say how long a stream is.
            assert len(data) == pipeline.max_encoded or pipeline.codecs[0].name == "zfp"


def test_every_codec_of_ours_is_mutated():
    from ndzarr.codecs.registry import codecs

    used = {step[0] for chain, _ in CHAINS.values() for step in chain} | {"bytes"}
    used |= {name.removeprefix("numcodecs.") for name in used}
    # `none` does nothing, damaged pickles would be run, and shards are damaged in tests of their own.
    assert {n for n, info in codecs().items() if info.available} - used <= {"none", "pickle", "sharding_indexed"}
