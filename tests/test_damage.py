"""Promise P10 on whole arrays: every kind of damage, for every codec, is a typed error that names the chunk; never a crash.

The codecs' own tests go deeper (tests/test_codecs_*.py), metadata documents are in tests/test_formats_v2.py.
"""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr

VALUES = np.arange(600, dtype="<i4").reshape(20, 30) % 37

#: Compressors and checksums, with what else they need.
COMPRESSORS: dict[str, Any] = {
    "raw": None,
    "zlib": "zlib",
    "gzip": "gzip",
    "bz2": "bz2",
    "lzma": "lzma",
    "lz4": "lz4",
    "zstd": "zstd",
    "zstd with checksum": {"id": "zstd", "level": 1, "checksum": True},
    "snappy": "snappy",
    "base64": "base64",
    "crc32c": "crc32c",
    "crc32": "crc32",
    "adler32": "adler32",
    "fletcher32": "fletcher32",
    "jenkins_lookup3": "jenkins_lookup3",
    **{
        f"blosc {inner} shuffle {shuffle}": {"id": "blosc", "cname": inner, "clevel": 5, "shuffle": shuffle, "blocksize": 0}
        for inner in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    },
}
FILTERS: dict[str, Any] = {
    "delta": {"id": "delta", "dtype": "<i4"},
    "fixedscaleoffset": {"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<i4", "astype": "<i4"},
    "astype": {"id": "astype", "encode_dtype": "<i8", "decode_dtype": "<i4"},
    "shuffle": {"id": "shuffle", "elementsize": 4},
}
OBJECTS: dict[str, tuple[Any, list[Any]]] = {
    "vlen-utf8": ({"id": "vlen-utf8"}, ["a", "bc", "", "déf"] * 5),
    "vlen-bytes": ({"id": "vlen-bytes"}, [b"a", b"bc", b"", b"\xff"] * 5),
    "vlen-array": ({"id": "vlen-array", "dtype": "<i4"}, [np.arange(k % 5, dtype="<i4") for k in range(20)]),
    "json2": ({"id": "json2"}, [1, "a", None, [1, 2]] * 5),
    "msgpack2": ({"id": "msgpack2"}, [1, "a", None, [1, 2]] * 5),
}


def numeric(name: str) -> tuple[ndzarr.ZArray, bytes]:
    create = {"compressor": COMPRESSORS[name]} if name in COMPRESSORS else {"compressor": None, "filters": [FILTERS[name]]}
    z = ndzarr.create_array({}, path="a/b", shape=VALUES.shape, dtype="<i4", chunks=(20, 30), **create)
    z[...] = VALUES
    return z, bytes(z.store.get("a/b/0.0") or b"")


def objects(name: str) -> tuple[ndzarr.ZArray, bytes]:
    codec, values = OBJECTS[name]
    z = ndzarr.create_array({}, path="a/b", shape=(20,), dtype=object, chunks=(20,), compressor=None, filters=[codec])
    for k, value in enumerate(values):
        z[k] = value
    return z, bytes(z.store.get("a/b/0") or b"")


def other_size(z: ndzarr.ZArray, length: int) -> bytes:
    """A good object of the same codecs for a chunk of another size."""
    create: dict[str, Any] = {"filters": list(z.metadata.codecs), "compressor": None}
    other = ndzarr.create_array({}, shape=(length,), dtype=z.dtype, chunks=(length,), fill_value=None, **create)
    if z.dtype == object:
        for k in range(length):
            other[k] = z[k % 20]
    else:
        other[:] = np.resize(VALUES, length)
    return bytes(other.store.get("0") or b"")


def check(z: ndzarr.ZArray, key: str, damaged: bytes, kind: str) -> None:
    z.store.set(key, damaged)
    for read in (lambda: z[...], lambda: z[(0,) * z.ndim], lambda: z[(slice(0, 20, 3),)]):
        tracemalloc.start()
        try:
            with pytest.raises(ndzarr.CorruptChunkError) as caught:
                read()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3 * max(z.nbytes, 1000) + (64 << 20), kind
        error = caught.value
        assert isinstance(error, ValueError)
        assert error.key == key
        assert error.codec, kind
        assert repr(key) in str(error)
        assert "a/b" in str(error)
        assert "memory" in str(error) or "mapping" in str(error).lower()


#: What can be told apart by length alone, and by nothing else.
_BY_LENGTH = {"raw", *FILTERS}


@pytest.mark.parametrize("name", [*COMPRESSORS, *FILTERS])
def test_damaged_chunks(name: str) -> None:
    z, good = numeric(name)
    kinds: dict[str, bytes] = {
        "empty": b"",
        "one byte": good[:1],
        "truncated": good[: len(good) // 2],
        "one byte short": good[:-1],
        "trailing bytes": good + b"\x01garbage",
        "decoded too short": other_size(z, 599),
        "decoded too long": other_size(z, 601),
        "decoded far too long": other_size(z, 60_000),
    }
    if name not in _BY_LENGTH:
        kinds["garbage"] = bytes(np.random.default_rng(0).integers(0, 256, len(good), dtype="u1"))
        kinds["wrong magic"] = b"\xaa\x55\xaa\x55" + good[4:]
        if name != "fletcher32":  # the sum of zeros is zero
            kinds["zeros"] = bytes(len(good))
    for kind, damaged in kinds.items():
        if name == "raw" and kind == "truncated":
            # A point or a few rows of an uncompressed chunk are read without the rest.
            z.store.set("a/b/0.0", damaged)
            with pytest.raises(ndzarr.CorruptChunkError, match="bytes"):
                z[...]
            continue
        if name == "raw" and kind not in ("empty", "one byte"):
            z.store.set("a/b/0.0", damaged)
            with pytest.raises(ndzarr.CorruptChunkError, match=r"a/b/0\.0"):
                z[...]
            continue
        check(z, "a/b/0.0", damaged, f"{name}: {kind}")
    z.store.set("a/b/0.0", good)
    np.testing.assert_array_equal(z[...], VALUES)


@pytest.mark.parametrize("name", OBJECTS)
def test_damaged_objects(name: str) -> None:
    z, good = objects(name)
    kinds = {
        "empty": b"",
        "one byte": good[:1],
        "truncated": good[: len(good) // 2],
        "one byte short": good[:-1],
        "garbage": bytes(np.random.default_rng(0).integers(0, 256, len(good), dtype="u1")),
        "too few items": other_size(z, 19),
        "too many items": other_size(z, 21),
    }
    if name.startswith("vlen"):
        kinds["a count that lies"] = b"\xff\xff\xff\x7f" + good[4:]
        kinds["a length that lies"] = good[:4] + b"\xff\xff\xff\x7f" + good[8:]
    for kind, damaged in kinds.items():
        check(z, "a/b/0", damaged, f"{name}: {kind}")
    z.store.set("a/b/0", good)
    assert z[1] == OBJECTS[name][1][1] if name != "vlen-array" else z[1].tolist() == [0]


CHECKED = ["zstd with checksum", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "gzip", "zlib", "bz2", "lzma"]


@pytest.mark.parametrize("name", CHECKED)
def test_flips_under_a_checksum(name: str) -> None:
    """No flip of a bit gives wrong values. (A few bits of a gzip or zstd header carry nothing.)"""
    z, good = numeric(name)
    rng = np.random.default_rng(1)
    for bit in rng.choice(8 * len(good), 200, replace=8 * len(good) < 200):
        z.store.set("a/b/0.0", good[: bit // 8] + bytes([good[bit // 8] ^ (1 << int(bit) % 8)]) + good[bit // 8 + 1 :])
        try:
            got = z[...]
        except ndzarr.CorruptChunkError:
            continue
        np.testing.assert_array_equal(got, VALUES)


def test_partial_writes_refuse_damaged_chunks_and_leave_them() -> None:
    z, good = numeric("zlib")
    z.store.set("a/b/0.0", good[:-3])
    with pytest.raises(ndzarr.CorruptChunkError):
        z[3, 3] = 1
    assert z.store.get("a/b/0.0") == good[:-3]
    z[...] = VALUES  # overwriting it whole needs nothing of it
    np.testing.assert_array_equal(z[...], VALUES)


def test_a_chunk_larger_than_any_is_not_read() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(10,), dtype="u1", chunks=(10,), compressor="zlib")
    store.inner.set("0", bytes(50 << 20))
    store.clear()
    with pytest.raises(ndzarr.CorruptChunkError, match="more than"):
        z[...]
    (call,) = store.calls("get")
    assert call.nbytes is not None
    assert call.nbytes < 1 << 20


@pytest.mark.parametrize("make", ["directory", "loop", "dangling"])
def test_what_stands_in_a_chunks_place(make: str, tmp_path: Path) -> None:
    """A directory or a symlink loop is an error; a link to nothing is nothing."""
    z = ndzarr.create_array(tmp_path, shape=(4,), dtype="i4", chunks=(2,), fill_value=3)
    if make == "directory":
        (tmp_path / "0").mkdir()
    elif make == "loop":
        os.symlink("0", tmp_path / "0")
    else:
        os.symlink("nothing", tmp_path / "0")
        assert z[:].tolist() == [3, 3, 3, 3]
        return
    for read in (lambda: z[...], lambda: z[(0,)], lambda: z[[0]]):
        with pytest.raises(ndzarr.StoreError) as caught:
            read()
        assert isinstance(caught.value, OSError)
        assert "0" in str(caught.value)
        assert str(tmp_path) in str(caught.value)


def document(**fields: Any) -> dict[str, bytes]:
    good = {
        "zarr_format": 2,
        "shape": [4],
        "chunks": [2],
        "dtype": "<i4",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    return {".zarray": json.dumps({**good, **fields}).encode()}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"compressor": {"id": "nope"}}, "nope"),
        ({"compressor": {"id": "zlib", "level": 77}}, "level"),
        ({"compressor": {"id": "zlib", "colour": 1}}, "colour"),
        ({"compressor": {"id": "os"}}, "os"),
        ({"filters": [{"id": "delta"}]}, "dtype"),
        ({"filters": [{"id": "pickle"}]}, "allow_pickle"),
        ({"dtype": "|O"}, "object"),
        ({"dtype": "|O", "filters": [{"id": "delta", "dtype": "<i4"}]}, "object"),
        ({"chunks": [2**40], "compressor": {"id": "blosc"}}, "blosc"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_documents_that_no_codec_can_serve(fields: dict[str, Any], names: str) -> None:
    modules = set(sys.modules)
    with pytest.raises(ndzarr.MetadataError, match=names) as caught:
        ndzarr.open(document(**fields))
    assert caught.value.field or caught.value.codec
    assert not {m for m in set(sys.modules) - modules if not m.startswith(("ndzarr", "numcodecs"))} & {"nope", "antigravity"}


def test_opening_runs_nothing(tmp_path: Path) -> None:
    """Promise P13: a pickle in the store, under every id that might load it, does not run."""
    import pickle

    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return open, (str(canary), "w")

    payload = pickle.dumps([Bomb()])
    for codec in ("pickle", "json2", "msgpack2", "vlen-utf8", "vlen-bytes"):
        store = document(dtype="|O", filters=[{"id": codec}])
        store |= {"0": payload, "1": payload, ".zattrs": b"{}"}
        with pytest.raises(ndzarr.DataError):
            ndzarr.open(store)[...]
    store = document(dtype="|O", filters=[{"id": "vlen-array", "dtype": "|O"}])
    store |= {"0": payload}
    with pytest.raises(ndzarr.DataError):
        ndzarr.open(store)[...]
    assert not canary.exists()


def test_huge_shapes_cost_nothing() -> None:
    """Sizes are Python ints: nothing overflows, and only what is touched is read."""
    z = ndzarr.open(document(shape=[2**62], chunks=[2**60]))
    assert z.nbytes == 2**64
    assert z[2**62 - 1] == 0
    assert z[5:8].tolist() == [0, 0, 0]
    w = ndzarr.open_array(document(shape=[2**62], chunks=[2**60]), "r+")
    with pytest.raises(ndzarr.MemoryLimitError, match="no memory for a chunk"):
        w[0] = 1
    with pytest.raises(ndzarr.MemoryLimitError, match="no memory for a result"):
        z[...]
    with pytest.raises(ndzarr.MetadataError, match="chunks"):
        ndzarr.open(document(shape=[2**62], chunks=[2**62]))
