"""Byte for byte against numcodecs: what we encode it decodes, and the reverse."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build

RNG = np.random.default_rng(7)
INTS = np.cumsum(RNG.integers(-3, 4, (37, 40)), axis=0).astype("<i4")
FLOATS = np.round(np.sin(INTS / 7) * 50, 2).astype("<f8")
BOOLS = INTS % 3 == 0
TEXT = np.array(["", "a", "bé", "中文" * 5, "\N{GRINNING FACE}"], object)[np.abs(INTS) % 5]
BLOBS = np.array([b"", b"a", b"\0\xff" * 9], object)[np.abs(INTS) % 3]
ARRAYS = np.empty(12, object)
ARRAYS[:] = [np.arange(n % 4, dtype="<f4") for n in range(12)]
ANYTHING = np.empty(6, object)
ANYTHING[:] = [1, "é", None, {"a": [1.5]}, True, "z"]

# (configuration, values, encode gives the very bytes that numcodecs gives)
CASES = [
    ({"id": "zlib", "level": 1}, INTS, True),
    ({"id": "zlib", "level": 9}, FLOATS, True),
    ({"id": "gzip", "level": 1}, INTS, False),  # numcodecs writes the time of day
    ({"id": "bz2", "level": 1}, INTS, True),
    ({"id": "bz2", "level": 9}, FLOATS, True),
    ({"id": "lzma"}, INTS, True),
    ({"id": "lzma", "format": 1, "check": 1, "preset": 2, "filters": None}, INTS, True),
    ({"id": "lzma", "format": 2}, INTS, True),
    ({"id": "lzma", "format": 3, "filters": [{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]}, INTS, True),
    ({"id": "lz4"}, INTS, True),
    ({"id": "lz4", "acceleration": 10}, FLOATS, True),
    ({"id": "zstd"}, INTS, False),  # our level is 1, numcodecs' 0
    ({"id": "zstd", "level": 1}, INTS, True),
    ({"id": "zstd", "level": 19, "checksum": True}, FLOATS, True),
    ({"id": "zstd", "level": -10}, FLOATS, True),
    ({"id": "shuffle", "elementsize": 4}, INTS, True),
    ({"id": "shuffle", "elementsize": 8}, FLOATS, True),
    ({"id": "shuffle", "elementsize": 0}, INTS, True),
    ({"id": "crc32"}, INTS, True),
    ({"id": "crc32", "location": "end"}, INTS, True),
    ({"id": "adler32"}, INTS, True),
    ({"id": "adler32", "location": "start"}, INTS, True),
    ({"id": "crc32c"}, INTS, True),
    ({"id": "crc32c", "location": "start"}, INTS, True),
    ({"id": "fletcher32"}, INTS, True),
    ({"id": "fletcher32"}, INTS.astype("i1")[:3, :7].copy(), True),
    ({"id": "jenkins_lookup3"}, INTS, True),
    ({"id": "jenkins_lookup3", "initval": 5}, FLOATS, True),
    ({"id": "base64"}, INTS, True),
    ({"id": "delta", "dtype": "<i4"}, INTS, True),
    ({"id": "delta", "dtype": "<i4", "astype": "|i1"}, INTS, True),
    ({"id": "delta", "dtype": ">i4", "astype": "<i8"}, INTS.astype(">i4"), True),
    ({"id": "delta", "dtype": "<i8"}, INTS.astype("<M8[s]"), True),
    ({"id": "quantize", "digits": 2, "dtype": "<f8"}, FLOATS, True),
    ({"id": "quantize", "digits": -1, "dtype": "<f8", "astype": "<f4"}, FLOATS, True),
    ({"id": "fixedscaleoffset", "offset": 10, "scale": 100, "dtype": "<f8", "astype": "<i4"}, FLOATS, True),
    ({"id": "fixedscaleoffset", "offset": 0.5, "scale": 0.25, "dtype": "<f8", "astype": "<f4"}, FLOATS, True),
    ({"id": "astype", "encode_dtype": "<i2", "decode_dtype": "<i4"}, INTS, True),
    ({"id": "astype", "encode_dtype": ">f4", "decode_dtype": "<f8"}, FLOATS, True),
    ({"id": "bitround", "keepbits": 5}, FLOATS, True),
    ({"id": "bitround", "keepbits": 0}, FLOATS.astype("<f4"), True),
    ({"id": "bitround", "keepbits": 23}, FLOATS.astype("<f4"), True),
    ({"id": "packbits"}, BOOLS, True),
    ({"id": "packbits"}, BOOLS[:3, :8].copy(), True),
    ({"id": "categorize", "labels": ["", "a", "bé"], "dtype": "|O", "astype": "|u1"}, TEXT, True),
    ({"id": "categorize", "labels": ["", "a"], "dtype": "<U2", "astype": "<i4"}, TEXT.astype("<U2"), True),
    ({"id": "vlen-utf8"}, TEXT, True),
    ({"id": "vlen-bytes"}, BLOBS, True),
    ({"id": "vlen-array", "dtype": "<f4"}, ARRAYS, True),
    ({"id": "json2"}, TEXT, True),
    ({"id": "json2"}, INTS, True),
    ({"id": "json2", "indent": 2, "encoding": "utf-16", "ensure_ascii": False}, ANYTHING, True),
    ({"id": "msgpack2"}, TEXT, True),
    ({"id": "msgpack2", "use_single_float": True}, FLOATS.astype("<f4").astype(object), True),
    ({"id": "msgpack2"}, ANYTHING, True),
]
CASES += [
    ({"id": "blosc", "cname": cname, "clevel": clevel, "shuffle": shuffle, "blocksize": blocksize}, values, True)
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
    for shuffle in (-1, 0, 1, 2)
    for clevel, blocksize, values in (
        (5, 0, INTS),
        (1, 512, FLOATS),
        (9, 0, BOOLS),
        (0, 0, INTS),
        (5, 0, TEXT.astype("<U5")),
        (3, 0, INTS.astype("<M8[s]")),
    )
]


def named(case):
    return "-".join(str(v) for v in case.values()) if isinstance(case, dict) else ""


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("config", "values", "exact"), CASES, ids=named)
def test_same_bytes_as_numcodecs(config, values, exact):
    theirs = numcodecs.get_codec(config)
    spec = CodecSpec("numcodecs." + config["id"], {k: v for k, v in config.items() if k != "id"})
    pipeline = build([spec], ChunkSpec(values.shape, values.dtype))
    encoded = bytes(pipeline.encode(values))
    expected = theirs.encode(values)
    expected = bytes(expected.tobytes() if isinstance(expected, np.ndarray) else expected)
    if exact:
        assert encoded == expected
    if "filters" in config and config["format"] != 3:
        return
    want = np.asarray(theirs.decode(expected))
    found = pipeline.decode(expected)
    again = np.asarray(theirs.decode(encoded))
    if values.dtype == object:
        assert [np.asarray(x, object).tolist() for x in found.ravel()] == [np.asarray(x, object).tolist() for x in want.ravel()]
        assert [np.asarray(x, object).tolist() for x in again.ravel()] == [np.asarray(x, object).tolist() for x in want.ravel()]
    else:
        assert (found.shape, found.dtype) == (values.shape, values.dtype)
        assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(want).astype(want.dtype).tobytes()
        assert again.tobytes() == want.tobytes()


@pytest.mark.parametrize("values", [INTS, TEXT], ids=["i4", "O"])
def test_fortran_order_is_what_zarr_python_2_wrote(values):
    """Its filters and compressor saw the chunk in the order of its memory: transposed, in our words."""
    ids = ["vlen-utf8"] if values.dtype == object else ["delta"]
    config = {} if ids == ["vlen-utf8"] else {"dtype": values.dtype.str}
    memory = np.asfortranarray(values)
    expected = numcodecs.get_codec({"id": ids[0], **config}).encode(memory)
    expected = bytes(numcodecs.Zlib(1).encode(expected))
    chain = [CodecSpec("transpose", {"order": [1, 0]}), CodecSpec("numcodecs." + ids[0], config), CodecSpec("zlib")]
    pipeline = build(chain, ChunkSpec(values.shape, values.dtype))
    assert bytes(pipeline.encode(values)) == expected
    assert np.array_equal(pipeline.decode(expected), values)


def test_chain_of_filters_is_what_zarr_python_2_wrote():
    configs = [
        {"id": "fixedscaleoffset", "offset": 0, "scale": 10, "dtype": "<f8", "astype": "<i4"},
        {"id": "delta", "dtype": "<i4", "astype": "<i2"},
        {"id": "shuffle", "elementsize": 2},
        {"id": "blosc", "cname": "zstd", "shuffle": 2},
        {"id": "crc32c"},
    ]
    data = FLOATS
    for config in configs:
        data = numcodecs.get_codec(config).encode(data)
    specs = [CodecSpec("numcodecs." + c["id"], {k: v for k, v in c.items() if k != "id"}) for c in configs]
    pipeline = build(specs, ChunkSpec(FLOATS.shape, FLOATS.dtype))
    assert bytes(pipeline.encode(FLOATS)) == bytes(data)
    assert np.allclose(pipeline.decode(bytes(data)), FLOATS, atol=0.05)


def test_blosc_takes_the_typesize_of_what_it_is_given():
    """zarr-python 2 gave it the filter's output, or the chunk; zarr-python 3 writes the typesize down."""
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    for before, wanted in (
        ([], 8),
        ([CodecSpec("delta", {"dtype": "<f8", "astype": "<f4"})], 4),
        ([CodecSpec("crc32")], 1),
    ):
        pipeline = build([*before, CodecSpec("blosc", blosc)], ChunkSpec(FLOATS.shape, FLOATS.dtype))
        assert bytes(pipeline.encode(FLOATS))[3] == wanted
    pipeline = build([CodecSpec("blosc", {**blosc, "typesize": 2})], ChunkSpec(FLOATS.shape, FLOATS.dtype))
    assert bytes(pipeline.encode(FLOATS))[3] == 2
    wide = np.zeros(4, "V300")
    pipeline = build([CodecSpec("blosc", blosc)], ChunkSpec((4,), wide.dtype))
    assert bytes(pipeline.encode(wide)) == bytes(numcodecs.Blosc(**blosc).encode(wide))
    # A typesize that does not divide the bytes still makes a container that anybody reads.
    pipeline = build([CodecSpec("blosc", {**blosc, "typesize": 7})], ChunkSpec((5,), FLOATS.dtype))
    assert np.array_equal(pipeline.decode(pipeline.encode(FLOATS[0, :5])), FLOATS[0, :5])


def test_numcodecs_codec_sees_the_chunk_itself():
    """Codecs such as zfpy need the dtype and shape, as zarr-python 2 gave them."""
    seen = []

    class Nosy:
        codec_id = "nosy"

        @classmethod
        def from_config(cls, config):
            return cls()

        def encode(self, buf):
            seen.append((buf.shape, buf.dtype))
            return buf.tobytes()

        def decode(self, buf, out=None):
            return np.frombuffer(buf, "<f8")

    numcodecs.registry.codec_registry["nosy"] = Nosy
    try:
        pipeline = build([CodecSpec("numcodecs.nosy")], ChunkSpec(FLOATS.shape, FLOATS.dtype))
        assert np.array_equal(pipeline.decode(pipeline.encode(FLOATS[::-1])), FLOATS[::-1])
        assert seen == [(FLOATS.shape, FLOATS.dtype)]
        assert pipeline.codecs[1].configuration() == {}
        assert "Nosy" in repr(pipeline.codecs[1])
        assert repr(pipeline) == "Pipeline(bytes, nosy)"
    finally:
        del numcodecs.registry.codec_registry["nosy"]
