"""The codecs that Zarr v3 registers, and numcodecs' under their v3 names: against other implementations and slow references."""

from __future__ import annotations

import struct
import zlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.bytes import has_order
from ndzarr.codecs.number import number
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec, get_codec
from ndzarr.config import options
from ndzarr.errors import ArgumentError, CorruptChunkError

LITTLE = ("bytes", {"endian": "little"})


def chain(steps, array, fill=None):
    return build([CodecSpec(*step) for step in steps], ChunkSpec(array.shape, array.dtype, fill))


def both(steps, array):
    """The object, and what it decodes to."""
    pipeline = chain(steps, array)
    encoded = bytes(pipeline.encode(array))
    return encoded, pipeline.decode(encoded)


# ---- numcodecs in v3 and v2 documents -------------------------------------------------------------------

I4 = np.arange(12, dtype="<i4").reshape(3, 4) * 3 - 7
F8 = np.linspace(-1, 1, 12).reshape(3, 4)
INPUT = {"<i4": I4, "<f8": F8, "<f4": F8.astype("<f4"), "|b1": I4 % 2 == 1}
#: Written by zarr-python 3.4.2 with numcodecs 0.17.1: the chain as in zarr.json, the dtype, the object, and what zarr-python
#: read from it where that is not what was written. The bytes of Blosc, LZMA, zstd are those of one version: only read here.
V3 = [
    (
        [
            {"name": "numcodecs.astype", "configuration": {"encode_dtype": "<i2", "decode_dtype": "int32"}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ],
        "<i4",
        "f9fffcffffff0200050008000b000e001100140017001a00",
        None,
    ),
    (
        [
            {"name": "numcodecs.bitround", "configuration": {"keepbits": 3}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ],
        "<f4",
        "000080bf000050bf000020bf0000f0be000090be0000c0bd0000c03d0000903e0000f03e0000203f0000503f0000803f",
        [[-1.0, -0.8125, -0.625, -0.46875], [-0.28125, -0.09375, 0.09375, 0.28125], [0.46875, 0.625, 0.8125, 1.0]],
    ),
    (
        [
            {"name": "numcodecs.delta", "configuration": {"dtype": "<i4", "astype": "<i2"}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ],
        "<i4",
        "f9ff03000300030003000300030003000300030003000300",
        None,
    ),
    (
        [
            {
                "name": "numcodecs.fixedscaleoffset",
                "configuration": {"offset": -1, "scale": 100, "astype": "u1", "dtype": "float64"},
            },
            {"name": "bytes"},
        ],
        "<f8",
        "00122437495b6d7f91a4b6c8",
        [
            [-1.0, -0.8200000000000001, -0.64, -0.44999999999999996],
            [-0.27, -0.08999999999999997, 0.09000000000000008, 0.27],
            [0.44999999999999996, 0.6399999999999999, 0.8200000000000001, 1.0],
        ],
    ),
    ([{"name": "numcodecs.packbits", "configuration": {}}, {"name": "bytes"}], "|b1", "04aaa0", None),
    (
        [
            {"name": "numcodecs.quantize", "configuration": {"digits": 1, "dtype": "float64"}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ],
        "<f8",
        "000000000000f0bf000000000000eabf000000000000e4bf000000000000dcbf000000000000d0bf000000000000b0bf000000000000b03f000000000000d03f000000000000dc3f000000000000e43f000000000000ea3f000000000000f03f",
        [[-1.0, -0.8125, -0.625, -0.4375], [-0.25, -0.0625, 0.0625, 0.25], [0.4375, 0.625, 0.8125, 1.0]],
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.bz2", "configuration": {"level": 1}}],
        "<i4",
        "425a6831314159265359518ef154000012e000da4924900024a00021248d064c8400006cbeb7cec4c0826f0818557f177245385090518ef154",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.crc32", "configuration": {}}],
        "<i4",
        "8bf6e487f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.crc32c", "configuration": {}}],
        "<i4",
        "f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000e4651369",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.adler32", "configuration": {}}],
        "<i4",
        "6a0cb401f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.fletcher32", "configuration": {}}],
        "<i4",
        "f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000007502b2",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.jenkins_lookup3", "configuration": {}}],
        "<i4",
        "f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000dee0bf2e",
        None,
    ),
    (
        [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "numcodecs.lz4", "configuration": {"acceleration": 1}},
        ],
        "<i4",
        "3000000062f9fffffffcff0100f0150200000005000000080000000b0000000e0000001100000014000000170000001a000000",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.lzma", "configuration": {"preset": 1}}],
        "<i4",
        "fd377a585a000004e6d6b4460200210110000000a8708e86e0002f00235d007cbff01f8ffc80b5289572d2cb583acde00aadd5522f658eef96f16db3fda43941af4c0000f82b5eddf288737c00013f30bbaf815e1fb6f37d010000000004595a",
        None,
    ),
    (
        [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}},
        ],
        "<i4",
        "f9fcff0205080b0e1114171affffff000000000000000000ffffff000000000000000000ffffff000000000000000000",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.zlib", "configuration": {"level": 1}}],
        "<i4",
        "7801fbf9ffffff3f400c024c0c0c0cac40cc01c4dc40cc07c482402c02c4e2402c05c40001b40c6a",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.zstd", "configuration": {"level": 1}}],
        "<i4",
        "28b52ffd2030810100f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000",
        None,
    ),
    (
        [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.gzip", "configuration": {"level": 1}}],
        "<i4",
        "1f8b080014c9036b04fffbf9ffffff3f400c024c0c0c0cac40cc01c4dc40cc07c482402c02c4e2402c05c4008bf6e48730000000",
        None,
    ),
    (
        [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "numcodecs.blosc", "configuration": {"cname": "lz4", "clevel": 1, "shuffle": 1}},
        ],
        "<i4",
        "02013301300000003000000040000000f9fffffffcffffffffffffff0200000005000000080000000b0000000e0000001100000014000000170000001a000000",
        None,
    ),
    (
        [{"name": "numcodecs.pcodec", "configuration": {"level": 8}}],
        "<f8",
        "70636f21030003030401060b00006274d145175d74fb0b1000a0ffffffffffffff2b400040ffffffffffffff8f00401083547b71d66b67660c66770600",
        None,
    ),
    (
        [{"name": "numcodecs.pcodec", "configuration": {"level": 4, "mode_spec": "classic"}}],
        "<i4",
        "70636f21030003030401030b0000100101800100004000f9ffff7f00",
        None,
    ),
    (
        [{"name": "numcodecs.zfpy", "configuration": {"mode": 4, "tolerance": 0.01}}],
        "<f8",
        "7a667005370000200000c0ca0188a0211ac189084482018de044042201000000",
        [
            [-0.99951171875, -0.81787109375, -0.63623046875, -0.45458984375],
            [-0.27197265625, -0.09033203125, 0.09130859375, 0.27294921875],
            [0.45458984375, 0.63623046875, 0.81787109375, 0.99951171875],
        ],
    ),
    (
        [{"name": "numcodecs.zfpy", "configuration": {"mode": 2, "rate": 12}}],
        "<f8",
        "7a667005370000200000f00b0188a0211ac189084482018de0440422c18046702202916000000000",
        [
            [-0.9999961853027344, -0.8181800842285156, -0.6363639831542969, -0.4545478820800781],
            [-0.2727317810058594, -0.09091567993164062, 0.09090042114257812, 0.2727165222167969],
            [0.4545631408691406, 0.6363792419433594, 0.8181953430175781, 1.0000114440917969],
        ],
    ),
    (
        [{"name": "numcodecs.zfpy", "configuration": {"mode": 4, "tolerance": -1}}],
        "<f4",
        "7a667005360000200000008801ee0022500104602000198800023010800c440001180840062280000c042003114000068600a00d6349bb01",
        None,
    ),
    (
        [{"name": "numcodecs.zfpy", "configuration": {"mode": 3, "precision": 30}}],
        "<i4",
        "7a667005340000200000d081000000383446020200000000",
        [[-5, -1, 3, 7], [5, 9, 13, 17], [15, 19, 23, 27]],
    ),
]
#: As above, by zarr-python 2.18.7 with numcodecs 0.15.2: filters and compressor as in .zarray.
V2 = [
    (
        [
            {
                "delta_encoding_order": None,
                "delta_spec": "auto",
                "equal_pages_up_to": 262144,
                "id": "pcodec",
                "level": 8,
                "mode_spec": "auto",
                "paging_spec": "equal_pages_up_to",
            }
        ],
        "<f8",
        "70636f21030003030401060b00006274d145175d74fb0b1000a0ffffffffffffff2b400040ffffffffffffff8f00401083547b71d66b67660c66770600",
        None,
    ),
    (
        [
            {"astype": "<i4", "dtype": "<i4", "id": "delta"},
            {
                "delta_encoding_order": None,
                "delta_spec": "auto",
                "equal_pages_up_to": 262144,
                "id": "pcodec",
                "level": 8,
                "mode_spec": "auto",
                "paging_spec": "equal_pages_up_to",
            },
        ],
        "<i4",
        "70636f21030003030401030b0000001000c8ffffff2300a0aaaaaaaaaa00",
        None,
    ),
    (
        [{"compression_kwargs": {"tolerance": 0.01}, "id": "zfpy", "mode": 4, "precision": -1, "rate": -1, "tolerance": 0.01}],
        "<f8",
        "7a667005370000200000c0ca0188a0211ac189084482018de044042201000000",
        [
            [-0.99951171875, -0.81787109375, -0.63623046875, -0.45458984375],
            [-0.27197265625, -0.09033203125, 0.09130859375, 0.27294921875],
            [0.45458984375, 0.63623046875, 0.81787109375, 0.99951171875],
        ],
    ),
    (
        [{"compression_kwargs": {"rate": 12}, "id": "zfpy", "mode": 2, "precision": -1, "rate": 12, "tolerance": -1}],
        "<f8",
        "7a667005370000200000f00b0188a0211ac189084482018de0440422c18046702202916000000000",
        [
            [-0.9999961853027344, -0.8181800842285156, -0.6363639831542969, -0.4545478820800781],
            [-0.2727317810058594, -0.09091567993164062, 0.09090042114257812, 0.2727165222167969],
            [0.4545631408691406, 0.6363792419433594, 0.8181953430175781, 1.0000114440917969],
        ],
    ),
    (
        [
            {"astype": "<i4", "dtype": "<i4", "id": "delta"},
            {"compression_kwargs": {"precision": 30}, "id": "zfpy", "mode": 3, "precision": 30, "rate": -1, "tolerance": -1},
        ],
        "<i4",
        "7a667005b00000000000d0810000002001000080010000800100000000000000",
        [[-4, 0, 4, 0], [4, 8, 12, 16], [20, 24, 28, 32]],
    ),
]
#: Whose bytes depend on the version of a library, or hold the time of day.
READ_ONLY = {
    "numcodecs.blosc",
    "numcodecs.gzip",
    "numcodecs.lzma",
    "numcodecs.zlib",
    "numcodecs.zstd",
    "numcodecs.pcodec",
    "numcodecs.bz2",
    "numcodecs.lz4",
}


@pytest.mark.parametrize(
    ("codecs", "dtype", "written", "read"),
    V3,
    ids=lambda v: v[-1]["name"] if isinstance(v, list) and isinstance(v[-1], dict) else "",
)
def test_numcodecs_as_zarr_python_3_writes_them(codecs, dtype, written, read):
    array = INPUT[dtype]
    steps = [(codec["name"], codec.get("configuration", {})) for codec in codecs]
    pipeline = chain(steps, array, array.dtype.type(0))
    found = pipeline.decode(bytes.fromhex(written))
    np.testing.assert_array_equal(found, array if read is None else np.array(read, dtype))
    if not READ_ONLY & {name for name, _ in steps}:
        assert bytes(pipeline.encode(array)).hex() == written
    again = pipeline.decode(bytes(pipeline.encode(array)))
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize(("codecs", "dtype", "written", "read"), V2)
def test_pcodec_and_zfpy_as_zarr_python_2_writes_them(codecs, dtype, written, read):
    array = INPUT[dtype]
    steps = [("numcodecs." + codec["id"], {k: v for k, v in codec.items() if k != "id"}) for codec in codecs]
    pipeline = chain(steps, array)
    found = pipeline.decode(bytes.fromhex(written))
    np.testing.assert_array_equal(found, array if read is None else np.array(read, dtype))
    if len(steps) == 1 and "pcodec" not in steps[-1][0]:
        assert bytes(pipeline.encode(array)).hex() == written


@pytest.mark.parametrize("name", ["pcodec", "zfpy"])
def test_both_names_are_one_codec(name):
    assert get_codec(name) is get_codec(f"numcodecs.{name}")
    assert get_codec(name).kind == "array->bytes"


# ---- bytes, transpose, vlen, blosc: what zarr-python 3.4.2 wrote -----------------------------------------------


def strings(*values):
    return np.array(values, np.dtypes.StringDType())


WRITTEN = [
    (
        [("transpose", {"order": [1, 0]}), ("vlen-utf8", {})],
        strings("a", "", "é", "中文", "x\0y", "zz").reshape(2, 3),
        "06000000010000006106000000e4b8ade69687000000000300000078007902000000c3a9020000007a7a",
    ),
    (
        [("vlen-bytes", {})],
        np.array([[b"a", b""], [b"\0\1", b"zz"]], object),
        "04000000010000006100000000020000000001020000007a7a",
    ),
    (
        [("transpose", {"order": [2, 0, 1]}), ("bytes", {"endian": "big"})],
        np.arange(24, dtype="u2").reshape(2, 3, 4),
        "000000040008000c00100014000100050009000d0011001500020006000a000e0012001600030007000b000f00130017",
    ),
    (
        [LITTLE, ("blosc", {"typesize": 4, "cname": "zstd", "clevel": 3, "shuffle": "shuffle", "blocksize": 0})],
        np.arange(6, dtype="f4"),
        "02019304180000001800000028000000000000000000803f0000004000004040000080400000a040",
    ),
    (
        [("bytes", {"endian": "big"})],
        np.array([(1, 2.5), (3, -1)], [("a", "<i2"), ("b", "<f8")]),
        "000140040000000000000003bff0000000000000",
    ),
    ([("bytes", {"endian": "big"})], np.array(["ab", "c"], "U2"), "00000061000000620000006300000000"),
    ([("bytes", {"endian": "big"})], np.array(["2020-01-01"], "M8[s]"), "000000005e0be100"),
    # The same by its old name, with the old way to say an order.
    (
        [("transpose", {"order": "F"}), ("endian", {"endian": "big"})],
        np.arange(6, dtype="u2").reshape(2, 3),
        "000000030001000400020005",
    ),
    (
        [("transpose", {"order": "C"}), ("endian", {"endian": "big"})],
        np.arange(6, dtype="u2").reshape(2, 3),
        "000000010002000300040005",
    ),
]


@pytest.mark.parametrize(("steps", "array", "written"), WRITTEN)
def test_what_zarr_python_wrote(steps, array, written):
    encoded, decoded = both(steps, array)
    assert encoded.hex() == written
    assert decoded.dtype == array.dtype
    assert decoded.tolist() == array.tolist()


@settings(deadline=None)
@given(st.permutations(range(4)), st.sampled_from(["little", "big"]), st.sampled_from(["<i2", ">f8", "|u1", "<U2"]))
def test_transpose_is_an_index(order, endian, dtype):
    """`B[B_pos] = A[A_pos]`, where `B_pos[i] = A_pos[order[i]]`."""
    array = np.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4).astype(dtype)
    encoded, decoded = both([("transpose", {"order": list(order)}), ("bytes", {"endian": endian})], array)
    stored = array.dtype.newbyteorder({"little": "<", "big": ">"}[endian])
    result = np.frombuffer(encoded, stored).reshape([array.shape[axis] for axis in order])
    for position in np.ndindex(array.shape):
        assert result[tuple(position[axis] for axis in order)] == array[position]
    assert decoded.dtype == array.dtype
    assert (decoded == array).all()


def test_bytes_of_ml_dtypes():
    array = np.array([1.0, -2.5], ml_dtypes.bfloat16)
    assert both([("bytes", {"endian": "big"})], array)[0].hex() == "3f80c020"
    assert both([LITTLE], array)[0].hex() == "803f20c0"
    for endian in ("little", "big"):
        for dtype in (ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.float6_e2m3fn):
            values = np.array([[1, 2, 3], [0, 1, 2]]).astype(dtype)
            encoded, decoded = both([("bytes", {"endian": endian})], values)
            assert decoded.dtype == values.dtype
            assert decoded.tobytes() == values.tobytes()
            assert len(encoded) == values.nbytes
    fields = np.dtype([("a", "<i4"), ("b", ml_dtypes.bfloat16), ("c", ml_dtypes.bfloat16, (2,)), ("d", "S1")])
    record = np.array([(1, 1.0, (1.0, 2.0), b"x")], fields)
    encoded, decoded = both([("bytes", {"endian": "big"})], record)
    assert encoded.hex() == "00000001" + "3f80" + "3f804000" + "78"
    assert decoded.tobytes() == record.tobytes()


def test_bytes_of_single_bytes_are_stored_as_they_are_in_memory():
    for dtype in ("?", "u1", "S3", "V5", ml_dtypes.float8_e4m3, [("a", "u1"), ("b", "S2")]):
        for endian in ("little", "big"):
            assert not has_order(np.dtype(dtype))
            assert build([CodecSpec("bytes", {"endian": endian})], ChunkSpec((2,), np.dtype(dtype))).raw


def test_upper_bits_of_narrow_types_mean_nothing():
    """zarr-extensions/data-types/float4_e2m1fn, "Codec compatibility"."""
    for dtype, bits in (("float4_e2m1fn", 4), ("float6_e3m2fn", 6), ("int4", 4), ("uint2", 2)):
        pipeline = build([CodecSpec("bytes")], ChunkSpec((256,), np.dtype(getattr(ml_dtypes, dtype))))
        found = pipeline.decode(bytes(range(256)))
        clean = pipeline.decode(bytes(n % (1 << bits) for n in range(256)))
        assert found.tobytes() == clean.tobytes()
        assert not pipeline.raw


def test_booleans_of_other_bytes_are_true():
    found = build([CodecSpec("bytes")], ChunkSpec((4,), np.dtype(bool))).decode(b"\0\1\2\xff")
    assert found.tolist() == [False, True, True, True]
    assert np.count_nonzero(found) == 3


# ---- packbits ---------------------------------------------------------------------------------

ELEVEN = np.array([1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1], bool)
#: Written by zarrs 0.2.3 (its Python bindings): configuration, array, the object, what zarrs read.
ZARRS = [
    ({}, ELEVEN, "3905", None),
    ({"padding_encoding": "none"}, ELEVEN, "3905", None),
    ({"padding_encoding": "first_byte"}, ELEVEN, "053905", None),
    ({"padding_encoding": "last_byte"}, ELEVEN, "390505", None),
    (
        {"first_bit": 3, "last_bit": 9},
        np.arange(-5000, 5000, 777).astype("i2"),
        "0f785436a1576d98bc76c701",
        [120, -128, -376, 400, 152, -96, -344, 432, 192, -56, -304, 472, 224],
    ),
    ({"last_bit": 4}, np.arange(15, dtype="u1").reshape(3, 5), "2088418a3928a9c59a03", None),
    ({"first_bit": 40}, np.array([1.5, -5.75, 0.25]), "00f83f0017c000d03f", None),
]


@pytest.mark.parametrize(("configuration", "array", "written", "read"), ZARRS)
def test_what_zarrs_packed(configuration, array, written, read):
    encoded, decoded = both([("packbits", configuration)], array)
    assert encoded.hex() == written
    assert decoded.tolist() == (array.tolist() if read is None else read)


def packed(array, configuration):
    """The README, bit by bit."""
    of = number(array.dtype)
    first, last = configuration.get("first_bit") or 0, configuration.get("last_bit")
    last = of.bits - 1 if last is None else last
    width = array.dtype.itemsize // of.components
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes() if array.dtype.kind in "iufc" else array.tobytes()
    bits = []
    for at in range(0, len(raw), width):
        component = int.from_bytes(raw[at : at + width], "little")
        bits += [component >> bit & 1 for bit in range(first, last + 1)]
    padding = -len(bits) % 8
    bits += [0] * padding
    content = bytes(sum(bit << n for n, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))
    where = configuration.get("padding_encoding", "none")
    return {"none": content, "first_byte": bytes([padding]) + content, "last_byte": content + bytes([padding])}[where]


def kept(array, configuration):
    """What decoding gives: the bits that were not kept are 0, or the sign."""
    of = number(array.dtype)
    first, last = configuration.get("first_bit") or 0, configuration.get("last_bit")
    last = of.bits - 1 if last is None else last
    width = array.dtype.itemsize // of.components
    raw, out = array.tobytes(), b""
    for at in range(0, len(raw), width):
        value = int.from_bytes(raw[at : at + width], "little") >> first & ((1 << last - first + 1) - 1)
        if of.kind == "i" and value >> (last - first):
            value -= 1 << (last - first + 1)
        out += ((value << first) & ((1 << of.bits) - 1)).to_bytes(width, "little")
    return out


PACKED = ["int2", "uint2", "int4", "uint4", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e4m3", "bfloat16"]
PACKED += ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(PACKED), st.sampled_from(["none", "first_byte", "last_byte"]), st.integers(0, 40))
def test_packbits_is_the_readme(data, name, padding, count):
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    bits = number(dtype).bits
    configuration = {"padding_encoding": padding}
    if data.draw(st.booleans()):
        configuration["first_bit"] = data.draw(st.integers(0, bits - 1))
    if data.draw(st.booleans()):
        configuration["last_bit"] = data.draw(st.integers(configuration.get("first_bit", 0), bits - 1))
    raw = np.frombuffer(data.draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize)), "u1")
    if bits < 8:
        raw = raw & ((1 << bits) - 1)
    array = raw.view(dtype)
    encoded, decoded = both([("packbits", configuration)], array)
    assert encoded == packed(array, configuration)
    assert decoded.dtype == dtype
    assert decoded.tobytes() == kept(array, configuration)


def test_packbits_of_many_blocks_and_other_byte_orders():
    values = np.arange(50_000) % 29 - 14
    for dtype in (">i2", "<i8", "i1"):
        array = values.astype(dtype).reshape(25, -1)[:, ::-1]
        encoded, decoded = both([("packbits", {"last_bit": 4})], array)
        assert len(encoded) == 50_000 * 5 // 8
        assert decoded.dtype == array.dtype
        assert (decoded == array).all()


def test_packbits_of_complex_numbers_without_a_type():
    part = np.dtype(ml_dtypes.float4_e2m1fn)
    array = np.array([(1.0, -6.0), (0.5, 2.0), (3.0, 0.0)], [("real", part), ("imag", part)])
    encoded, decoded = both([("packbits", {})], array)
    assert encoded == bytes([0xF2, 0x41, 0x05])
    assert decoded.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("configuration", "dtype", "match"),
    [
        ({"padding_encoding": "first"}, "u1", "padding_encoding is 'first'"),
        ({"first_bit": -1}, "u1", "first_bit is -1"),
        ({"first_bit": 4, "last_bit": 3}, "u1", "last_bit is 3, expected at least first_bit"),
        ({"last_bit": 8}, "u1", "bits 0 to 8 are wanted, dtype uint8 has 0 to 7"),
        ({"first_bit": 32}, "c8", "dtype complex64 has 0 to 31"),
        ({"last_bit": 1}, "?", "dtype bool has 0 to 0"),
        ({}, "S3", "takes numbers and bool"),
        ({}, "U1", "takes numbers and bool"),
    ],
)
def test_packbits_refuses(configuration, dtype, match):
    with pytest.raises(ArgumentError, match=match):
        chain([("packbits", configuration)], np.zeros(3, dtype))


def test_packbits_damaged():
    pipeline = chain([("packbits", {"padding_encoding": "last_byte"})], ELEVEN)
    for data, match in ((b"\x39\x05\x04", "counts 4 padding bits, expected 5"), (b"\x39\x05", "found 2 bytes, expected 3")):
        with pytest.raises(CorruptChunkError, match=match):
            pipeline.decode(data)


# ---- bitround ---------------------------------------------------------------------------------


def test_bitround_samples_of_zarr_extensions():
    """codecs/bitround/sample_data/README.md."""
    steps = [("bitround", {"keepbits": 3}), LITTLE]
    array = np.array([0, 0.1, 1.2, 12.3, 123.4, 1234.5, np.nan, np.inf, -np.inf], "f4")
    np.testing.assert_array_equal(both(steps, array)[1], [0, 0.1015625, 1.25, 12, 120, 1280, np.nan, np.inf, -np.inf])
    array = np.array([0, 1, 10, 11, 100, 123, 200, 208, 209, 255], "u1")
    assert both(steps, array)[1].tolist() == [0, 1, 10, 12, 96, 128, 192, 192, 224, 224]
    # From the tests of zarrs.
    array = np.array([0, 1024, 1280, 1664, 1685, 123145182, 4294967295], "u4")
    assert both(steps, array)[1].tolist() == [0, 1024, 1280, 1536, 1792, 117440512, 3758096384]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["i1", "u1", "i2", "u4", "i8", "u8", "M8[s]"]), st.integers(0, 64))
def test_bitround_of_integers(data, dtype, keepbits):
    """Nearest in so many bits from the highest, ties to even; where that has no place, towards zero."""
    info = np.iinfo("i8" if "M8" in dtype else dtype)
    values = data.draw(st.lists(st.integers(int(info.min), int(info.max)), max_size=9))
    wanted = []
    for x in values:
        drop = max(abs(x).bit_length() - keepbits, 0)
        n = round(abs(x) / 2**drop) if abs(x) < 2**50 else (abs(x) >> drop) + _up(abs(x), drop)
        n = (n << drop) * (1 if x >= 0 else -1)
        if not info.min <= n <= info.max:
            n = (abs(x) >> drop << drop) * (1 if x >= 0 else -1)
        wanted.append(n)
    array = np.array(values, "u8" if dtype == "u8" else "i8").astype("i8" if "M8" in dtype else dtype).view(dtype)
    found = both([("bitround", {"keepbits": keepbits}), LITTLE], array)[1]
    assert found.dtype == array.dtype
    if keepbits:
        assert found.view("i8" if "M8" in dtype else dtype).tolist() == wanted


def _up(x, drop):
    rest, half = x & ((1 << drop) - 1), (1 << drop) >> 1
    return int(drop > 0 and (rest > half or (rest == half and x >> drop & 1)))


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "bfloat16", "c8", "c16"])
def test_bitround_of_floats_is_that_of_numcodecs_or_nearest(dtype):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(1)
    wide = rng.normal(0, 1e4, (3, 40))
    array = (wide + 1j * rng.normal(0, 1, (3, 40)) if dtype.kind == "c" else wide).astype(dtype)
    for keepbits in (1, 4, 7):
        found = both([("bitround", {"keepbits": keepbits}), LITTLE], array)[1]
        assert found.dtype == dtype
        parts = [(array.real, found.real), (array.imag, found.imag)] if dtype.kind == "c" else [(array, found)]
        for before, after in parts:
            before, after = before.astype("f8"), after.astype("f8")
            mantissa, exponent = np.frexp(before)
            assert (after == np.ldexp(np.rint(np.ldexp(mantissa, keepbits + 1)), exponent - keepbits - 1)).all()


def test_bitround_keeps_every_nan():
    bits = np.array([0x7FFFFFFF, 0x7F800001, 0xFFC00000, 0x7FC00000], "u4")
    found = both([("bitround", {"keepbits": 3}), LITTLE], bits.view("f4"))[1]
    assert found.view("u4").tolist() == bits.tolist()


def test_bitround_of_all_bits_or_more_changes_nothing():
    array = np.array([1 / 3, -1e-300])
    for keepbits in (52, 60, 64):
        assert both([("bitround", {"keepbits": keepbits}), LITTLE], array)[1].tolist() == array.tolist()


# ---- reshape ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "chunk", "result"),
    [
        ([[0, 1], [2], 3], (100, 50, 64, 3), (5000, 64, 3)),  # the README's own example
        ([[0, 1], -1], (2, 3, 4), (6, 4)),
        ([-1], (2, 3, 4), (24,)),
        ([-1, 4], (2, 3, 4), (6, 4)),
        ([2, 12], (2, 3, 4), (2, 12)),
        ([[0], 1, [1], [], [2]], (2, 3, 4), (2, 1, 3, 1, 4)),
        ([[0], 3, -1], (2, 6, 4), (2, 3, 8)),
        ([], (), ()),
        ([1, -1, 1], (), (1, 1, 1)),
        ([], (1, 1), ()),
        ([[0, 1, 2]], (2, 0, 4), (0,)),
        ([[0, 2]], (2, 1, 4), (8,)),
    ],
)
def test_reshape(shape, chunk, result):
    spec = ChunkSpec(chunk, np.dtype("i4"), np.int32(3))
    bound = create_codec(CodecSpec("reshape", {"shape": shape})).bind(spec)
    assert bound.resolve(spec) == ChunkSpec(result, np.dtype("i4"), np.int32(3))
    array = np.arange(spec.size, dtype="i4").reshape(chunk)
    encoded = bound.encode(array, spec)
    assert encoded.shape == result
    assert encoded.ravel().tolist() == array.ravel().tolist()
    assert not spec.size or np.shares_memory(encoded, array)
    assert (bound.decode(encoded, spec) == array).all()


def test_reshape_before_and_after_transpose():
    """The elements of a transposed chunk in the order in which they are then."""
    array = np.arange(24, dtype="u1").reshape(2, 3, 4)
    steps = [
        ("transpose", {"order": [2, 0, 1]}),
        ("reshape", {"shape": [[0], [1, 2]]}),
        ("transpose", {"order": [1, 0]}),
        ("bytes", {}),
    ]
    encoded, decoded = both(steps, array)
    assert list(encoded) == [array[i, j, k] for i in range(2) for j in range(3) for k in range(4)]
    encoded, _ = both(steps[:2] + steps[3:], array)
    assert list(encoded) == [array[i, j, k] for k in range(4) for i in range(2) for j in range(3)]
    assert (decoded == array).all()


@pytest.mark.parametrize(
    ("shape", "chunk", "match"),
    [
        ([5, -1], (2, 3, 4), "5 elements for each step"),
        ([2, 3], (2, 3, 4), "6 elements, the chunk has 24"),
        ([[0], [3]], (2, 3, 4), "axis 3, the chunk has 3"),
        ([3, [0], 4], (2, 3, 4), "in a place where it has others"),
        ([[0, 2], 3], (2, 3, 4), "in a place where it has others"),
        ([-1, [2]], (2, 0, 0), "0 elements for each step"),
        ([[1], [0]], (3, 3), "each axis after the one before"),
        ([[1, 0]], (3, 3), "each axis after the one before"),
        ([[0], [0]], (3, 3), "each axis after the one before"),
        ([-1, -1], (3, 3), "-1 once at most"),
        ([0], (0,), "positive integers, lists of axes, or -1"),
        ([True], (1,), "positive integers"),
        ([[-1]], (3,), "positive integers"),
        ([2.0], (2,), "positive integers"),
        (3, (3,), "expected a list"),
    ],
)
def test_reshape_refuses(shape, chunk, match):
    with pytest.raises(ArgumentError, match=match):
        create_codec(CodecSpec("reshape", {"shape": shape})).bind(ChunkSpec(chunk, np.dtype("i4")))


# ---- conditional ------------------------------------------------------------------------------

NOISE = np.frombuffer(np.random.default_rng(0).bytes(4096), "u1")
PLAIN = np.arange(512, dtype="<i8")
TWO = [{"name": "numcodecs.shuffle", "configuration": {"elementsize": 8}}, {"name": "zstd", "configuration": {"level": 5}}]


def test_conditional_applies_what_makes_the_chunk_smaller():
    steps = [LITTLE, ("conditional", {"codecs": TWO})]
    encoded, decoded = both(steps, PLAIN)
    assert encoded[0] == 0b11
    assert len(encoded) < PLAIN.nbytes / 4
    assert (decoded == PLAIN).all()
    noise = NOISE.view("<i8")
    encoded, decoded = both(steps, noise)
    assert encoded == b"\0" + noise.tobytes()
    assert (decoded == noise).all()


def test_conditional_reads_any_mask_and_any_header():
    """Objects put together by hand: what is skipped is not decoded, and bits beyond the codecs are 0."""
    raw = PLAIN.tobytes()
    shuffled = np.frombuffer(raw, "u1").reshape(-1, 8).T.tobytes()
    codecs = [TWO[0], "numcodecs.zlib", {"name": "crc32c"}]
    pipeline = chain([LITTLE, ("conditional", {"codecs": codecs, "header_bits": 16})], PLAIN)
    for mask, content in (
        (0b000, raw),
        (0b001, shuffled),
        (0b010, zlib.compress(raw)),
        (0b011, zlib.compress(shuffled)),
    ):
        assert (pipeline.decode(mask.to_bytes(2, "little") + content) == PLAIN).all()
    # A checksum does not make anything smaller, and is applied for what it is.
    encoded = bytes(pipeline.encode(NOISE.view("<i8")))
    assert encoded[:2] == b"\4\0"
    assert len(encoded) == 2 + 4096 + 4
    for bad, match in (
        (b"\x08\0" + raw, "bits of codecs that are not there"),
        (b"\0", "the mask alone has 2"),
        (b"\0\0" + raw[1:], "bytes"),
    ):
        with pytest.raises(CorruptChunkError, match=match):
            pipeline.decode(bad)


def test_conditional_of_no_codecs_and_configurations():
    assert both([LITTLE, ("conditional", {"codecs": []})], PLAIN)[0] == PLAIN.tobytes()
    assert both([LITTLE, ("conditional", {"codecs": [], "header_bits": 8})], PLAIN)[0] == b"\0" + PLAIN.tobytes()
    nine = create_codec(CodecSpec("conditional", {"codecs": ["zstd"] * 9}))
    assert nine.configuration()["header_bits"] == 16
    assert nine.max_encoded_size(100) >= 102


@pytest.mark.parametrize(
    ("configuration", "match"),
    [
        ({}, "codecs is missing"),
        ({"codecs": "zstd"}, "codecs is 'zstd'"),
        ({"codecs": [LITTLE]}, "codecs"),
        ({"codecs": ["bytes"]}, "expected a bytes->bytes codec; it is array->bytes"),
        ({"codecs": ["numcodecs.pickle"]}, "allow_pickle"),
        ({"codecs": ["no-such"]}, "unknown codec"),
        ({"codecs": ["zstd"], "header_bits": 12}, "a multiple of 8"),
        ({"codecs": ["zstd"] * 9, "header_bits": 8}, "header_bits is 8"),
    ],
)
def test_conditional_refuses(configuration, match):
    with pytest.raises(ArgumentError, match=match):
        create_codec(CodecSpec("conditional", configuration))


def test_conditional_bomb():
    """Steps are held to what can be between them, not to what a header says."""
    pipeline = chain([("bytes", {}), ("conditional", {"codecs": ["numcodecs.zlib", "numcodecs.zlib"]})], np.zeros(1000, "u1"))
    bomb = b"\3" + zlib.compress(zlib.compress(bytes(1 << 24), 9), 9)
    with pytest.raises(CorruptChunkError):
        pipeline.decode(bomb)


# ---- n5_default -------------------------------------------------------------------------------


def n5(*last, ndim=2, endian="big"):
    order = list(range(ndim))[::-1]
    return (
        "n5_default",
        {
            "codecs": [
                {"name": "transpose", "configuration": {"order": order}},
                {"name": "bytes", "configuration": {"endian": endian}},
                *last,
            ]
        },
    )


def block(array, pack=bytes):
    """A block as the N5 specification has it: the first axis is stored fastest."""
    big = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">HH{array.ndim}I", 0, array.ndim, *array.shape) + pack(big.tobytes(order="F"))


@pytest.mark.parametrize("dtype", ["<u2", ">i4", "<f8", "|i1"])
def test_n5_block(dtype):
    array = np.arange(15).reshape(3, 5).astype(dtype)
    encoded, decoded = both([n5()], array)
    assert encoded == block(array)
    assert encoded[:12].hex() == "000000020000000300000005"
    assert decoded.dtype == array.dtype
    assert (decoded == array).all()
    encoded, decoded = both([n5("numcodecs.zlib")], array)
    assert encoded[:12] == block(array)[:12]
    assert zlib.decompress(encoded[12:]) == block(array)[12:]
    assert (decoded == array).all()


@pytest.mark.parametrize("shape", [(2, 5), (3, 2), (1, 1), (4, 5), (2, 7), (9, 9), (0, 3)])
def test_n5_blocks_of_other_shapes_are_cut_or_padded(shape):
    array = np.arange(shape[0] * shape[1], dtype="<i4").reshape(shape)
    for last, pack in (((), bytes), (("numcodecs.zlib",), zlib.compress)):
        pipeline = build([CodecSpec(*n5(*last))], ChunkSpec((3, 5), np.dtype("<i4"), np.int32(-7)))
        found = pipeline.decode(block(array, pack))
        wanted = np.full((3, 5), -7, "<i4")
        wanted[: shape[0], : shape[1]] = array[:3, :5]
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\0\0", "the header has 12"),
        (struct.pack(">HHII", 1, 2, 3, 5) + bytes(60), "of mode 1, expected 0"),
        (struct.pack(">HHIII", 0, 3, 3, 5, 1) + bytes(60), "has 3 axes, expected 2"),
        (struct.pack(">HHII", 0, 2, 3, 5) + bytes(59), "59 bytes"),
        (struct.pack(">HHII", 0, 2, 2, 5) + bytes(60), "60 bytes"),
        (struct.pack(">HHII", 0, 2, 2**31, 2**31), "expected at most"),
    ],
)
def test_n5_damaged(data, match):
    with pytest.raises(CorruptChunkError, match=match) as info:
        build([CodecSpec(*n5())], ChunkSpec((3, 5), np.dtype("<i4"))).decode(data)
    assert info.value.codec == "n5_default"


@pytest.mark.parametrize(
    ("codecs", "dtype", "match"),
    [
        ([], "i4", "codecs is"),
        (["bytes"], "u1", "codecs is"),
        ([("transpose", [0, 1]), ("bytes", "big")], "i4", "codecs is"),
        ([("transpose", [1, 0]), ("bytes", "little")], "i4", "codecs is"),
        ([("transpose", [1, 0]), "bytes"], "i4", "expected 'big'"),
        ([("transpose", [1, 0]), ("bytes", "big"), "zstd", "crc32c"], "i4", "codecs is"),
        ([("transpose", [1, 0]), ("bytes", "big"), "bytes"], "i4", "codecs is"),
        ([("transpose", [2, 1, 0]), ("bytes", "big")], "i4", "3 axes, the chunk 2"),
        ([("transpose", [1, 0]), ("bytes", "big")], "c8", "N5 has no dtype complex64"),
        ([("transpose", [1, 0]), ("bytes", "big")], "?", "N5 has no dtype bool"),
    ],
)
def test_n5_refuses(codecs, dtype, match):
    documents = []
    for codec in codecs:
        if isinstance(codec, tuple):
            name, value = codec
            codec = {"name": name, "configuration": {"order" if name == "transpose" else "endian": value}}
        documents.append(codec)
    with pytest.raises(ArgumentError, match=match):
        chain([("n5_default", {"codecs": documents})], np.zeros((2, 3), dtype))


# ---- zfp --------------------------------------------------------------------------------------

WAVE = np.sin(np.arange(9 * 10 * 11) / 50).reshape(9, 10, 11)
MODES = {
    "reversible": {},
    "fixed_accuracy": {"tolerance": 0.01},
    "fixed_rate": {"rate": 7.5},
    "fixed_precision": {"precision": 19},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (9, 10, 11), (2, 3, 5, 6)])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i4", "<i8"])
def test_zfp_is_the_stream_of_numcodecs_without_its_header(mode, shape, dtype):
    from numcodecs.zfpy import ZFPY

    if mode == "fixed_accuracy" and "i" in dtype:
        return
    array = (100 * np.resize(WAVE, shape)).astype(dtype)
    configuration = {"mode": mode, **MODES[mode]}
    encoded, decoded = both([("zfp", configuration)], array)
    number_of = {"reversible": 4, "fixed_accuracy": 4, "fixed_rate": 2, "fixed_precision": 3}
    native = np.ascontiguousarray(np.atleast_1d(array), array.dtype.newbyteorder("="))
    numcodec = ZFPY(mode=number_of[mode], **MODES[mode])
    headed = bytes(numcodec.encode(native))[12:]
    length = min(len(headed), len(encoded))
    assert encoded[:length] == headed[:length]
    assert not any(encoded[length:] + headed[length:])
    assert decoded.dtype == array.dtype
    assert decoded.tolist() == numcodec.decode(numcodec.encode(native)).reshape(shape).tolist()
    if mode == "reversible":
        assert decoded.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["f2", "bfloat16", "i1", "u1", "i2", "u2", "u4", "u8", "int4", "uint2"])
def test_zfp_of_promoted_types(dtype):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    of = number(dtype)
    if of.whole:
        least, largest = int(of.least), int(of.largest) if of.bits < 32 else 2 ** (of.bits - 1) - 1
        values = np.array([least + (largest - least) * n // 29 for n in range(30)], "i8")
    else:
        values = np.linspace(-9, 9, 30)
    array = values.reshape(5, 6).astype(dtype)
    decoded = both([("zfp", {"mode": "reversible"})], array)[1]
    assert decoded.dtype == dtype
    assert decoded.tobytes() == array.tobytes()
    if of.whole and of.bits < 32:
        # As "Compression" in the README has it.
        wide = array.astype("i4") - (1 << (of.bits - 1) if of.kind == "u" else 0)
        as_int32 = both([("zfp", {"mode": "reversible"})], wide << (31 - of.bits))[0]
        assert both([("zfp", {"mode": "reversible"})], array)[0] == as_int32


def test_zfp_refuses_unsigned_numbers_that_are_too_large():
    with pytest.raises(ArgumentError, match="takes uint32 up to 2147483647, found 2147483648"):
        both([("zfp", {"mode": "reversible"})], np.array([2**31], "u4"))


@pytest.mark.parametrize("shape", [(9,), (3, 5), (9, 10, 11), (2, 3, 5, 6)])
def test_zfp_expert_mode_is_read(shape):
    """Each of the other modes is a case of it (https://zfp.readthedocs.io/en/release1.0.1/modes.html)."""
    array = (100 * np.resize(WAVE, shape)).astype("<f8")
    size = 4 ** len(shape)
    for mode, keywords, expert in (
        ("fixed_precision", {"precision": 19}, (1, 16658, 19, -1074)),
        ("fixed_rate", {"rate": 10}, (10 * size, 10 * size, 64, -1074)),
        ("fixed_accuracy", {"tolerance": 2.0**-7}, (1, 16658, 64, -7)),
        ("reversible", {}, (1, 16658, 64, -1075)),
    ):
        encoded, decoded = both([("zfp", {"mode": mode, **keywords})], array)
        names = ("minbits", "maxbits", "maxprec", "minexp")
        pipeline = chain([("zfp", {"mode": "expert", **dict(zip(names, expert, strict=True))})], array)
        assert pipeline.decode(encoded).tolist() == decoded.tolist(), mode
        with pytest.raises(ArgumentError, match="can be read only"):
            pipeline.encode(array)


@pytest.mark.parametrize("name", ["zfp", "zfpy"])
def test_truncated_zfp_streams_are_found(name):
    configuration = {"mode": "fixed_accuracy", "tolerance": 0.01} if name == "zfp" else {"tolerance": 0.01}
    array = WAVE + np.random.default_rng(0).normal(0, 1, WAVE.shape)
    pipeline = chain([(name, configuration)], array)
    encoded = bytes(pipeline.encode(array))
    for length in (*range(0, 60, 7), len(encoded) // 2, len(encoded) - 9):
        with pytest.raises(CorruptChunkError):
            pipeline.decode(encoded[:length])


def test_zfpy_with_its_parameters_in_full():
    """A rate of more than 2048 bits a block does not fit the short header."""
    array = np.resize(WAVE, (2, 3, 5, 6))
    pipeline = chain([("zfpy", {"mode": 2, "rate": 30})], array)
    encoded = bytes(pipeline.encode(array))
    np.testing.assert_allclose(pipeline.decode(encoded), array, atol=1e-5)
    assert len(encoded) <= pipeline.max_encoded
    for length in (15, 18, 19, 1000, len(encoded) - 9):
        with pytest.raises(CorruptChunkError):
            pipeline.decode(encoded[:length])


def test_zfpy_believes_no_header():
    import zfpy

    pipeline = chain([("numcodecs.zfpy", {"tolerance": 0.1})], WAVE)
    for other in (WAVE[:8], WAVE.astype("f4"), np.zeros((1000, 1000)), WAVE.reshape(11, 10, 9)):
        with pytest.raises(CorruptChunkError, match="the header says shape"):
            pipeline.decode(zfpy.compress_numpy(np.ascontiguousarray(other), tolerance=0.1))


@pytest.mark.parametrize(
    ("name", "configuration", "array", "match"),
    [
        ("zfp", {}, F8, "mode is missing"),
        ("zfp", {"mode": "lossy"}, F8, "mode is 'lossy'"),
        ("zfp", {"mode": "fixed_rate"}, F8, "rate is missing"),
        ("zfp", {"mode": "fixed_rate", "rate": 0}, F8, "rate is 0"),
        ("zfp", {"mode": "fixed_rate", "rate": 1e9}, F8, "rate is"),
        ("zfp", {"mode": "fixed_accuracy", "tolerance": -1}, F8, "tolerance is -1"),
        ("zfp", {"mode": "fixed_precision", "precision": 0}, F8, "precision is 0"),
        ("zfp", {"mode": "reversible", "rate": 3}, F8, "unknown configuration field 'rate'"),
        ("zfp", {"mode": "reversible", "write_header": False}, F8, "unknown configuration field 'write_header'"),
        ("zfp", {"mode": "expert", "minbits": 9, "maxbits": 8, "maxprec": 1, "minexp": 0}, F8, "maxbits is 8"),
        ("zfp", {"mode": "reversible"}, np.zeros((1,) * 5), "up to 4 axes, a chunk has 5"),
        ("zfp", {"mode": "reversible"}, np.zeros(3, bool), "not dtype bool"),
        ("zfp", {"mode": "reversible"}, np.zeros(3, "c8"), "not dtype complex64"),
        ("zfp", {"mode": "fixed_accuracy", "tolerance": 1}, I4, "has no mode 'fixed_accuracy' for integers"),
        ("zfpy", {"mode": 5}, F8, "mode is 5"),
        ("zfpy", {"rate": "fast"}, F8, "rate is 'fast'"),
        ("zfpy", {"precision": 1.5}, F8, "precision is 1.5"),
        ("zfpy", {}, np.zeros(3, "u4"), "not of shape"),
        ("pcodec", {"level": 13}, F8, "level is 13"),
        ("pcodec", {"delta_spec": "none", "delta_encoding_order": 1}, F8, "delta_encoding_order is 1"),
        ("pcodec", {}, np.zeros(3, "S3"), "not dtype"),
        ("pcodec", {}, np.zeros(3, ml_dtypes.bfloat16), "not dtype bfloat16"),
    ],
)
def test_numeric_compressors_refuse(name, configuration, array, match):
    with pytest.raises(ArgumentError, match=match):
        chain([(name, configuration)], array)


def test_pcodec_of_another_count_or_dtype():
    pipeline = chain([("pcodec", {})], I4)
    for other in (np.arange(11, dtype="i4"), np.arange(13, dtype="i4"), np.arange(12, dtype="i8")):
        data = bytes(chain([("pcodec", {})], other).encode(other))
        with pytest.raises(CorruptChunkError, match="pcodec"):
            pipeline.decode(data)


def test_what_needs_a_library_says_so(monkeypatch):
    from ndzarr.codecs import zfp_stream

    monkeypatch.setattr(zfp_stream, "installed", lambda: False)
    for name in ("zfp", "zfpy", "pcodec"):
        cls = get_codec(name)
        monkeypatch.setattr(cls, "available", classmethod(lambda cls: False))
        with pytest.raises(ArgumentError, match=f"codec '{name}' needs {cls.needs.split()[0]}"):
            create_codec(CodecSpec(name, {"mode": "reversible"}))


# ---- vlen with StringDType ------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=20))
def test_vlen_utf8_of_strings(values):
    array = np.array(values, np.dtypes.StringDType())
    encoded, decoded = both([("vlen-utf8", {})], array)
    wanted = struct.pack("<I", len(values))
    for value in values:
        wanted += struct.pack("<I", len(value.encode())) + value.encode()
    assert encoded == wanted
    assert decoded.dtype == array.dtype
    assert decoded.tolist() == values


def test_vlen_utf8_that_is_no_utf8():
    pipeline = chain([("vlen-utf8", {})], strings("ab"))
    with options(max_object=1 << 20), pytest.raises(CorruptChunkError, match="vlen-utf8"):
        pipeline.decode(b"\1\0\0\0\2\0\0\0\xff\xfe")
