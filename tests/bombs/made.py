"""The bombs, each written as a store: what would decode to far more than the chunk of 1 MiB that its metadata speak of."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import zstandard

MiB = 1 << 20
GB = 10**9
CHUNK = MiB
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
#: An endless chunk: 10 GB.
_ENDLESS = 10 * GB


# ---- encoded chunks ----------------------------------------------------------------------------------------------------------


def zstd(nbytes: int = _ENDLESS, *, sized: bool = False) -> bytes:
    """A frame of `nbytes` zeros in blocks that repeat one byte (RFC 8878, section 3.1.1.2): 10 GB are 305 kB."""
    block = 1 << 17
    count = -(-nbytes // block)
    repeated = ((block << 3) | 2).to_bytes(3, "little") + b"\0"
    last = ((block << 3) | 3).to_bytes(3, "little") + b"\0"
    # A window of 1 MiB, and the size of the content where it is told.
    head = b"\x28\xb5\x2f\xfd" + (b"\xc0\x50" + struct.pack("<Q", count * block) if sized else b"\x00\x50")
    return head + repeated * (count - 1) + last


def _deflated(nbytes: int) -> bytes:
    """`nbytes` zeros as one raw DEFLATE stream, of pieces that do not refer to each other."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(10 * 10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (nbytes // (10 * 10**6)) + b"\x03\x00"


def gzip() -> bytes:
    """10 GB in 10 MB."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + _deflated(_ENDLESS) + bytes(8)


def zlib_() -> bytes:
    """10 GB in 10 MB."""
    return b"\x78\x9c" + _deflated(_ENDLESS) + bytes(4)


def bzip2() -> bytes:
    """10 GB in streams of 45 bytes."""
    return bz2.compress(bytes(100 * 10**6)) * 100


def xz() -> bytes:
    """10 GB in one-hundred streams."""
    return lzma.compress(bytes(100 * 10**6), preset=0) * 100


@cache
def _blosc() -> bytes:
    encoded: bytes = numcodecs.Blosc("zstd", 5, 1).encode(np.zeros(1 << 30, "u1"))
    return encoded


def blosc_lie() -> bytes:
    """A header of 2 GiB over nothing."""
    return struct.pack("<BBBBIII", 2, 1, 0x21, 1, 0x7FFFFFEF, 1 << 20, 4096) + bytes(4080)


def blosc_lie_about_blocks() -> bytes:
    """The size that is expected, in blocks of 1 GiB."""
    good = bytearray(numcodecs.Blosc("zstd", 5, 1).encode(np.zeros(CHUNK, "u1")))
    good[8:12] = struct.pack("<I", 1 << 30)
    return bytes(good)


def lz4() -> bytes:
    """A header of 2 GiB over a few bytes."""
    return struct.pack("<I", 0x7FFFFFFF) + b"\x1f\x00\x01\x00" + b"\xff" * 1000


def lz4_whole() -> bytes:
    encoded: bytes = numcodecs.LZ4().encode(np.zeros(1 << 30, "u1"))
    return encoded


def snappy() -> bytes:
    return b"\xff\xff\xff\xff\x0f" + bytes(100)


def shard(entries: list[tuple[int, int]], body: bytes) -> bytes:
    """A shard whose index says `entries`, under a checksum that is right."""
    index = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    return body + index + struct.pack("<I", google_crc32c.value(index))


# ---- stores ------------------------------------------------------------------------------------------------------------------


def _v2(**fields: Any) -> dict[str, bytes]:
    document = {
        "zarr_format": 2,
        "shape": [CHUNK],
        "chunks": [CHUNK],
        "dtype": "|u1",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    return {".zarray": json.dumps({**document, **fields}).encode()}


def _v3(codecs: list[Any], **fields: Any) -> dict[str, bytes]:
    chunks = {"name": "regular", "configuration": {"chunk_shape": [CHUNK]}}
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [CHUNK],
        "data_type": "uint8",
        "chunk_grid": chunks,
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": codecs,
    }
    return {"zarr.json": json.dumps({**document, **fields}).encode()}


_BYTES = {"name": "bytes"}
_ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
_GZIP = {"name": "gzip", "configuration": {"level": 1}}
_BLOSC = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0}


def _sharding(chunk: int) -> dict[str, Any]:
    configuration = {
        "chunk_shape": [chunk],
        "codecs": [_BYTES, _ZSTD],
        "index_codecs": [LITTLE, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {"name": "sharding_indexed", "configuration": configuration}


def _grid(chunk: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": [chunk]}}


Store = dict[str, bytes]
_TEXT = {"id": "vlen-utf8"}


def _objects(data: bytes, compressor: dict[str, Any] | None = None, **fields: Any) -> Store:
    document = {"shape": [4], "chunks": [4], "dtype": "|O", "fill_value": "", "filters": [_TEXT], "compressor": compressor}
    return {**_v2(**{**document, **fields}), "0": data}


#: What is written into a folder, by name.
CHUNKS: dict[str, Callable[[], Store]] = {
    "zstd, 10 GB in 305 kB": lambda: {**_v3([_BYTES, _ZSTD]), "c/0": zstd()},
    "zstd, 10 GB, its header says so": lambda: {**_v3([_BYTES, _ZSTD]), "c/0": zstd(sized=True)},
    "zstd, 10 GB, format 2": lambda: {**_v2(compressor={"id": "zstd", "level": 1}), "0": zstd()},
    "zstd in zstd": lambda: {**_v3([_BYTES, _ZSTD, _ZSTD]), "c/0": zstandard.compress(zstd(), 19)},
    "zstd in gzip in zstd": lambda: {
        **_v3([_BYTES, _ZSTD, _GZIP, _ZSTD]),
        "c/0": zstandard.compress(zlib.compress(zstd(), 9, 31)),
    },
    "gzip, 10 GB": lambda: {**_v3([_BYTES, _GZIP]), "c/0": gzip()},
    "gzip, 250 MB in 250 kB": lambda: {
        **_v3([_BYTES, _GZIP]),
        "c/0": b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + _deflated(250 * 10**6) + bytes(8),
    },
    "zlib, 10 GB": lambda: {**_v2(compressor={"id": "zlib", "level": 1}), "0": zlib_()},
    "bz2, 10 GB": lambda: {**_v2(compressor={"id": "bz2", "level": 1}), "0": bzip2()},
    "lzma, 10 GB": lambda: {
        **_v2(compressor={"id": "lzma", "format": 1, "check": -1, "preset": None, "filters": None}),
        "0": xz(),
    },
    "blosc, a header of 2 GiB": lambda: {**_v2(compressor=_BLOSC), "0": blosc_lie()},
    "blosc, 1 GiB": lambda: {**_v2(compressor=_BLOSC), "0": _blosc()},
    "blosc, blocks of 1 GiB": lambda: {**_v2(compressor=_BLOSC), "0": blosc_lie_about_blocks()},
    "lz4, a header of 2 GiB": lambda: {**_v2(compressor={"id": "lz4", "acceleration": 1}), "0": lz4()},
    "lz4, 1 GiB": lambda: {**_v2(compressor={"id": "lz4", "acceleration": 1}), "0": lz4_whole()},
    "snappy, a header of 4 GiB": lambda: {**_v2(compressor={"id": "snappy"}), "0": snappy()},
    "strings, a count of 2**32 - 1": lambda: _objects(struct.pack("<I", 0xFFFFFFFF) + bytes(100)),
    "strings, one of 4 GiB": lambda: _objects(struct.pack("<II", 4, 0xFFFFFFFF) + bytes(100)),
    "strings, as many as the metadata say": lambda: _objects(
        struct.pack("<I", 0xFFFFFFFF) + bytes(100), shape=[0xFFFFFFFF], chunks=[0xFFFFFFFF]
    ),
    "shard, 10 GB in one chunk": lambda: {
        **_v3([_sharding(CHUNK // 4)]),
        "c/0": shard([(0, len(zstd()))] * 4, zstd()),
    },
    "shard, lengths of 2**40": lambda: {**_v3([_sharding(CHUNK // 4)]), "c/0": shard([(0, 1 << 40)] * 4, bytes(100))},
    "shard, an index of 16 TiB": lambda: {
        **_v3([_sharding(1)], shape=[1 << 40], chunk_grid=_grid(1 << 40)),
        "c/0": bytes(1000),
    },
    # Of strings nobody knows the size; these are read under `options(max_object=)`.
    "strings, 10 GB of zstd": lambda: _objects(zstd(), {"id": "zstd", "level": 1}),
    "strings, 10 GB of gzip": lambda: _objects(gzip(), {"id": "gzip", "level": 1}),
    "strings, 10 GB of bz2": lambda: _objects(bzip2(), {"id": "bz2", "level": 1}),
    "one element of 2 GiB": lambda: {**_v2(dtype="|V2147483647", shape=[1], chunks=[1], fill_value=None), "0": bytes(1000)},
}
DOCUMENTS: dict[str, Callable[[], Store]] = {
    "JSON, a million levels": lambda: {"zarr.json": b'{"a":' * 10**6 + b"1" + b"}" * 10**6},
    "JSON, a million lists deep": lambda: {"zarr.json": b'{"zarr_format": 3, "x": ' + b"[" * 10**6 + b"]" * 10**6 + b"}"},
    "JSON, a number of a million digits": lambda: (
        _v3([_BYTES], attributes={"n": 0})
        | {"zarr.json": _v3([_BYTES])["zarr.json"].replace(b'"fill_value": 0', b'"fill_value": ' + b"9" * 10**6)}
    ),
    "JSON, a shape of a thousand axes": lambda: _v3([_BYTES], shape=[1] * 1000),
    "JSON, a shape of huge numbers": lambda: _v3([_BYTES], shape=[10**400]),
    "JSON, 100 MB of spaces": lambda: {"zarr.json": b"{" + b" " * 10**8 + b"}"},
    "JSON, one string of 100 MB": lambda: {"zarr.json": b'{"a": "' + b"x" * 10**8 + b'"}'},
    "JSON, 30 MB of empty lists": lambda: {"zarr.json": b'{"a": [' + b"[]," * 10**7 + b"1]}"},
    "JSON, a key 100,000 times": lambda: {"zarr.json": b"{" + b'"a": 1, ' * 10**5 + b'"a": 1}'},
}


def write(folder: Path, name: str) -> Path:
    """The bomb `name` in `folder`; what to open."""
    folder.mkdir(parents=True, exist_ok=True)
    if name.startswith("sparse"):
        return _sparse(folder, name)
    if name.startswith("zip"):
        return _zip(folder / "bomb.zip", name)
    for key, data in {**CHUNKS, **DOCUMENTS}[name]().items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


SPARSE: dict[str, Callable[[], Store]] = {
    "sparse file of 10 GB, raw": lambda: _v3([_BYTES]),
    "sparse file of 10 GB, zstd": lambda: _v3([_BYTES, _ZSTD]),
    "sparse file of 10 GB, gzip, format 2": lambda: _v2(compressor={"id": "gzip", "level": 1}),
    "sparse file of 10 GB, shard": lambda: _v3([_sharding(CHUNK // 4)]),
    "sparse file of 10 GB, zarr.json": dict,
}


def _sparse(folder: Path, name: str) -> Path:
    documents = SPARSE[name]()
    for key, data in documents.items():
        (folder / key).write_bytes(data)
    key = "zarr.json" if not documents else "0" if ".zarray" in documents else "c/0"
    path = folder / key
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, _ENDLESS)
    return folder


ZIPS = ("zip, a chunk of 10 GB", "zip, a zarr.json of 10 GB", "zip, a directory that lies")


def _zip(path: Path, name: str) -> Path:
    documents = _v3([_BYTES])
    big = "zarr.json" if "zarr.json" in name else "c/0"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, data in documents.items():
            if key != big:
                archive.writestr(key, data)
        if "lies" in name:
            archive.writestr(big, bytes(CHUNK))
    if "lies" not in name:
        _append(path, big)
        return path
    # The sizes of a member, as the directory says them.
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)
    return path


def _append(path: Path, name: str) -> None:
    """A deflated member of 10 GB of zeros in an archive, made without deflating as much."""
    packed = _deflated(_ENDLESS)
    with zipfile.ZipFile(path) as archive:
        kept = {info.filename: archive.read(info) for info in archive.infolist()}
    members = [(key, zlib.compress(data, 9, -15), len(data), zlib.crc32(data)) for key, data in kept.items()]
    members.append((name, packed, _ENDLESS, 0))
    local, central = b"", b""
    for key, body, nbytes, crc in members:
        wide = nbytes >= 1 << 32
        extra = struct.pack("<HHQQ", 1, 16, nbytes, len(body)) if wide else b""
        sizes = (0xFFFFFFFF, 0xFFFFFFFF) if wide else (len(body), nbytes)
        head = struct.pack("<5H3L2H", 45, 0, 8, 0, 0x21, crc, *sizes, len(key), len(extra))
        central += (
            b"PK\x01\x02" + struct.pack("<H", 45) + head + struct.pack("<3H2L", 0, 0, 0, 0, len(local)) + key.encode() + extra
        )
        local += b"PK\x03\x04" + head + key.encode() + extra + body
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(members), len(members), len(central), len(local), 0)
    path.write_bytes(local + central + end)


def names() -> Iterable[str]:
    """All bombs, by name."""
    return [*CHUNKS, *SPARSE, *ZIPS, *DOCUMENTS]
