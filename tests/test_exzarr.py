"""Directories as ExZarr (https://github.com/thanos/ExZarr) writes them, put together by hand and read by ndzarr.

Its habits, read in its source (lib/ex_zarr/storage.ex `encode_metadata_v2`, codecs.ex `compress_builtin`,
codecs/zig_codecs.ex): every compressor is `{"id": name, "level": 5}`, whether it has a level or not; keys have dots and
there is no `dimension_separator`; one-byte types are "<i1" and "<u1"; datetimes have no unit; "lz4" and "bzip2" put the
decoded size in front as eight bytes; "snappy" is a raw block; "blosc" compresses bytes (typesize 1); "crc32c" is a
checksum at the end of plain data. Bare blocks, without the size, are read as well.
"""

from __future__ import annotations

import bz2
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest

import ndzarr

SHAPE, CHUNKS = (7, 5), (3, 2)


def snappy_block(data: bytes) -> bytes:
    """The raw Snappy format by hand: the length, a literal of four bytes, then copies of what lies four bytes before.

    https://github.com/google/snappy/blob/main/format_description.txt
    """
    out = bytearray()
    n = len(data)
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    out.append(n)
    at = 0
    while at < len(data):
        if at >= 4 and data[at : at + 4] == data[at - 4 : at] and at + 4 <= len(data):
            out += bytes([1, 4])  # copy four bytes from four bytes before
        else:
            literal = data[at : at + 4]
            out.append((len(literal) - 1) << 2)
            out += literal
        at += 4
    return bytes(out)


def lz4_block(data: bytes) -> bytes:
    """A raw LZ4 block: numcodecs', without its four-byte header."""
    return bytes(numcodecs.LZ4().encode(data))[4:]


def sized(block: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + block


def crc32c(data: bytes) -> bytes:
    return data + struct.pack("<I", google_crc32c.value(data))


ENCODERS: dict[str, tuple[str | None, Callable[[bytes], bytes]]] = {
    "none": (None, bytes),
    "zlib": ("zlib", zlib.compress),
    "zstd": ("zstd", lambda data: bytes(numcodecs.Zstd(3).encode(data))),
    "lz4 after its size": ("lz4", lambda data: sized(lz4_block(data), data)),
    "lz4 bare": ("lz4", lz4_block),
    "snappy": ("snappy", snappy_block),
    "blosc typesize 1": ("blosc", lambda data: bytes(numcodecs.Blosc("lz4", 5, 1).encode(np.frombuffer(data, "u1")))),
    "bzip2 after its size": ("bzip2", lambda data: sized(bz2.compress(data), data)),
    "bzip2 bare": ("bzip2", bz2.compress),
    "crc32c": ("crc32c", crc32c),
}


def write(
    root: Path,
    data: np.ndarray,
    encode: Callable[[bytes], bytes],
    compressor: str | None,
    *,
    fill: Any = 0,
    missing: tuple[str, ...] = (),
    **changes: Any,
) -> None:
    """An array as ExZarr leaves it on disk: no group around it, no attributes."""
    document = {
        "zarr_format": 2,
        "shape": list(data.shape),
        "chunks": list(CHUNKS),
        "dtype": data.dtype.str,
        "compressor": None if compressor is None else {"id": compressor, "level": 5},
        "fill_value": fill,
        "order": "C",
        "filters": None,
        **changes,
    }
    (root / ".zarray").write_text(json.dumps(document, indent=2), "utf-8")
    for i in range(-(-data.shape[0] // CHUNKS[0])):
        for j in range(-(-data.shape[1] // CHUNKS[1])):
            if f"{i}.{j}" in missing:
                continue
            chunk = np.zeros(CHUNKS, data.dtype)
            if fill:
                chunk[...] = fill
            part = data[i * CHUNKS[0] : (i + 1) * CHUNKS[0], j * CHUNKS[1] : (j + 1) * CHUNKS[1]]
            chunk[: part.shape[0], : part.shape[1]] = part
            (root / f"{i}.{j}").write_bytes(encode(chunk.tobytes()))


@pytest.fixture(autouse=True)
def needs_snappy(request: pytest.FixtureRequest) -> None:
    """The library that decodes Snappy is an optional one."""
    if "snappy" in request.node.name:
        pytest.importorskip("cramjam")


@pytest.mark.parametrize("dtype", ["<i4", "<f8", "<u2", "<c16", "|b1"])
@pytest.mark.parametrize("name", ENCODERS)
def test_compressors(name: str, dtype: str, tmp_path: Path) -> None:
    compressor, encode = ENCODERS[name]
    data = (np.arange(35).reshape(SHAPE) % 6).astype(dtype)
    write(tmp_path, data, encode, compressor, missing=("1.1",))
    data[3:6, 2:4] = 0
    z = ndzarr.open_array(str(tmp_path))
    assert (z.shape, z.chunks, z.dtype, z.order) == (SHAPE, CHUNKS, data.dtype, "C")
    assert np.array_equal(z[...], data)
    assert np.array_equal(z[::-2, [4, 0]], data[::-2, [4, 0]])


@pytest.mark.parametrize("name", ENCODERS)
def test_long_repetitive_chunks(name: str, tmp_path: Path) -> None:
    """Blocks that compress well: a size that is taken for data, or the reverse, does not go unnoticed."""
    compressor, encode = ENCODERS[name]
    data = np.zeros((300, 200), "<i4")
    data[::7] = 5
    chunk = bytes(encode(data.tobytes()))
    document = {
        "zarr_format": 2,
        "shape": [300, 200],
        "chunks": [300, 200],
        "dtype": "<i4",
        "compressor": None if compressor is None else {"id": compressor, "level": 5},
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    (tmp_path / ".zarray").write_text(json.dumps(document), "utf-8")
    (tmp_path / "0.0").write_bytes(chunk)
    assert np.array_equal(ndzarr.open_array(str(tmp_path))[...], data)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "none"])
def test_damage_is_found(name: str, tmp_path: Path) -> None:
    """Reading several forms of one codec does not mean taking anything: a cut chunk is an error, never values."""
    compressor, encode = ENCODERS[name]
    data = np.arange(35, dtype="<i4").reshape(SHAPE)
    write(tmp_path, data, encode, compressor)
    chunk = (tmp_path / "0.0").read_bytes()
    (tmp_path / "0.0").write_bytes(chunk[: len(chunk) // 2])
    with pytest.raises(ndzarr.CorruptChunkError, match=r"0\.0"):
        ndzarr.open_array(str(tmp_path))[0, 0]


@pytest.mark.parametrize(("stored", "dtype"), [("<i1", "i1"), ("<u1", "u1"), (">i1", "i1"), ("|u1", "u1")])
def test_one_byte_types_with_a_byte_order(stored: str, dtype: str, tmp_path: Path) -> None:
    data = np.arange(35).reshape(SHAPE).astype(dtype)
    write(tmp_path, data, zlib.compress, "zlib", dtype=stored)
    z = ndzarr.open_array(str(tmp_path))
    assert z.dtype == np.dtype(dtype)
    assert np.array_equal(z[...], data)


def test_integer_fill_value_of_a_float_array(tmp_path: Path) -> None:
    data = np.arange(35, dtype="<f8").reshape(SHAPE)
    write(tmp_path, data, zlib.compress, "zlib", fill=1, missing=("0.0",))
    data[:3, :2] = 1
    assert np.array_equal(ndzarr.open_array(str(tmp_path))[...], data)


FILTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "delta": ("<i4", {"id": "delta", "dtype": "<i4", "astype": "<i4"}),
    "shuffle": ("<i4", {"id": "shuffle", "elementsize": 4}),
    "quantize": ("<f8", {"id": "quantize", "digits": 2, "dtype": "<f8"}),
    "fixedscaleoffset": ("<f8", {"id": "fixedscaleoffset", "offset": 0, "scale": 10, "dtype": "<f8", "astype": "<i4"}),
    "astype": ("<i4", {"id": "astype", "encode_dtype": "<i2", "decode_dtype": "<i4"}),
    "bitround": ("<f4", {"id": "bitround", "keepbits": 8}),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(name: str, tmp_path: Path) -> None:
    dtype, config = FILTERS[name]
    data = np.arange(35).reshape(SHAPE).astype(dtype)
    codec = numcodecs.get_codec(dict(config))

    def encode(chunk: bytes) -> bytes:
        encoded = codec.encode(np.frombuffer(chunk, dtype))
        return zlib.compress(np.ascontiguousarray(encoded).tobytes())

    write(tmp_path, data, encode, "zlib", filters=[config])
    assert np.array_equal(ndzarr.open_array(str(tmp_path))[...], data)


@pytest.mark.parametrize("kind", "Mm")
def test_datetimes_without_a_unit(kind: str, tmp_path: Path) -> None:
    """`<M8` says nothing about what is counted, so ndzarr does not guess: the counts are there, the unit is the
    caller's.

    The specification wants a unit; NumPy has such a type, whose values take part in nothing but this conversion.
    """
    counts = np.arange(35, dtype="<i8").reshape(SHAPE) * 1_000_000
    write(tmp_path, counts.view(f"<{kind}8"), zlib.compress, "zlib", dtype=f"<{kind}8")
    z = ndzarr.open_array(str(tmp_path))
    assert z.dtype == np.dtype(f"<{kind}8")
    assert np.array_equal(z[...].view("<i8"), counts)
    assert np.array_equal(z[...].astype(f"{kind}8[us]").view("<i8"), counts)


def test_written_back(tmp_path: Path) -> None:
    """What ndzarr changes in such an array is again readable; its odd compressor settings are kept."""
    data = np.arange(35, dtype="<i4").reshape(SHAPE)
    write(tmp_path, data, zlib.compress, "zlib")
    ndzarr.open_array(str(tmp_path), mode="r+")[1:5, 1:4] = -1
    data[1:5, 1:4] = -1
    assert np.array_equal(ndzarr.open_array(str(tmp_path))[...], data)
    assert json.loads((tmp_path / ".zarray").read_text("utf-8"))["compressor"] == {"id": "zlib", "level": 5}
    assert zlib.decompress((tmp_path / "2.2").read_bytes())[:4] == data[6:7, 4:5].tobytes()
