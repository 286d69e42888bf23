"""Promise P10 for shards: every kind of damage to an object is a typed error that names store, key and codec."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

import ndzarr

SHAPE, CHUNKS, SHARDS = (14, 22), (3, 4), (15, 24)
COUNT = 5 * 6
INDEX = 16 * COUNT + 4
VALUES = np.arange(1, 14 * 22 + 1, dtype="i4").reshape(SHAPE)


def make(store: Any, chain: list[Any], start: bool, checksum: bool = True) -> ndzarr.ZArray:
    configuration = {
        "chunk_shape": list(CHUNKS),
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *chain],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *(["crc32c"] if checksum else [])],
        "index_location": "start" if start else "end",
    }
    z = ndzarr.create_array(
        store,
        path="a/b",
        shape=SHAPE,
        dtype="i4",
        chunks=SHARDS,
        compressor=[{"name": "sharding_indexed", "configuration": configuration}],
        zarr_format=3,
    )
    z[...] = VALUES
    return z


def split(shard: bytes, start: bool) -> tuple[list[tuple[int, int]], bytes]:
    index, body = (shard[:INDEX], shard[INDEX:]) if start else (shard[-INDEX:], shard[:-INDEX])
    return [struct.unpack_from("<QQ", index, 16 * k) for k in range(COUNT)], body


def joined(entries: list[tuple[int, int]], body: bytes, start: bool) -> bytes:
    index = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    index += struct.pack("<I", google_crc32c.value(index))
    return index + body if start else body + index


def entry(position: int, offset: int, nbytes: int) -> Callable[[bytes, bool], bytes]:
    def change(shard: bytes, start: bool) -> bytes:
        entries, body = split(shard, start)
        entries[position] = offset, nbytes
        return joined(entries, body, start)

    return change


def inside(change: Callable[[bytearray], None]) -> Callable[[bytes, bool], bytes]:
    """Change the bytes of the chunk at position 7."""

    def damage(shard: bytes, start: bool) -> bytes:
        entries, _ = split(shard, start)
        offset, nbytes = entries[7]
        chunk = bytearray(shard[offset : offset + nbytes])
        change(chunk)
        return shard[:offset] + bytes(chunk) + shard[offset + nbytes :]

    return damage


def flip(chunk: bytearray) -> None:
    chunk[len(chunk) // 2] ^= 0x10


MISSING = (1 << 64) - 1
#: What is done to the object, by name; each must be noticed when the chunk at position 7 is read, and on whole reads.
KINDS: dict[str, Callable[[bytes, bool], bytes]] = {
    "empty": lambda shard, start: b"",
    "one byte": lambda shard, start: shard[:1],
    "truncated": lambda shard, start: shard[: len(shard) // 2] if not start else shard[: INDEX + 9],
    "shorter than the index": lambda shard, start: shard[:100],
    "garbage": lambda shard, start: bytes(range(256)) * 20,
    "a flip in the index": lambda shard, start: (
        bytes([shard[0] ^ 1]) + shard[1:] if start else shard[:-9] + b"\x55" + shard[-8:]
    ),
    "the index's checksum": lambda shard, start: (
        shard[: INDEX - 1] + bytes([shard[INDEX - 1] ^ 1]) + shard[INDEX:] if start else shard[:-1] + bytes([shard[-1] ^ 1])
    ),
    "offset beyond the object": entry(7, 1 << 40, 20),
    "length beyond the object": entry(7, 1000, 1 << 40),
    "both huge, their sum small": entry(7, MISSING - 10, 30),
    "offset missing, length not": entry(7, MISSING, 20),
    "length missing, offset not": entry(7, 20, MISSING),
    "length 0": entry(7, 600, 0),
    "a chunk of another length": entry(7, 600, 5),
    "a flip in the chunk": inside(flip),
}
CHAINS: dict[str, list[Any]] = {
    "crc32c": ["crc32c"],
    "zstd, crc32c": [{"name": "zstd", "configuration": {"level": 1}}, "crc32c"],
    "gzip": [{"name": "gzip", "configuration": {"level": 1}}],
}


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("where", ["memory", "local", "mapping"])
def test_damaged_shards(where: str, chain: str, kind: str, start: bool, tmp_path: Path) -> None:
    store: Any = {"memory": ndzarr.MemoryStore, "local": lambda: ndzarr.LocalStore(tmp_path / "s"), "mapping": dict}[where]()
    z = make(store, CHAINS[chain], start)
    good = bytes(z.store.get("a/b/c/0/0") or b"")
    damaged = KINDS[kind](good, start)
    assert damaged != good
    z.store.set("a/b/c/0/0", damaged)
    fresh = ndzarr.open_array(store, "r+", path="a/b")
    whole: Any = slice(None)
    for attempt in (
        lambda: fresh[...],
        lambda: fresh[4, 6],
        lambda: fresh[3:6, 4:8],
        lambda: fresh[[4, 4], [5, 6]],
        lambda: fresh.__setitem__((4, whole), 0),
        lambda: (
            fresh.__setitem__((slice(0, 2), 0), 0)
            if kind not in ("length 0", "a chunk of another length", "a flip in the chunk")
            else fresh[...]
        ),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ndzarr.CorruptChunkError) as caught:
                attempt()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        error = caught.value
        assert error.key == "a/b/c/0/0"
        assert error.codec
        assert "'a/b/c/0/0'" in str(error)
        assert "shard" in str(error)
        assert peak < 64 << 20
    # Nothing was written over what somebody may still want to look at.
    assert bytes(z.store.get("a/b/c/0/0") or b"") == damaged


@pytest.mark.parametrize("start", [False, True])
def test_trailing_bytes(start: bool) -> None:
    """Behind an index in front they are a gap, which is allowed; behind one at the end they are taken for it."""
    z = make({}, ["crc32c"], start)
    z.store.set("a/b/c/0/0", bytes(z.store.get("a/b/c/0/0") or b"") + b"garbage")
    if start:
        np.testing.assert_array_equal(z[...], VALUES)
    else:
        with pytest.raises(ndzarr.CorruptChunkError, match="index"):
            z[...]


def test_an_index_without_checksum_is_checked_by_what_it_says() -> None:
    z = make({}, [], False, checksum=False)
    good = bytes(z.store.get("a/b/c/0/0") or b"")
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(300):
        damaged = bytearray(good)
        for at in rng.integers(len(good) - 16 * COUNT, len(good), 3):
            damaged[at] ^= int(rng.integers(1, 256))
        z.store.set("a/b/c/0/0", bytes(damaged))
        fresh = ndzarr.open_array(z.store, path="a/b")
        for read in (lambda f=fresh: f[...], lambda f=fresh: f[4, 6]):
            try:
                shape = np.shape(read())
            except ndzarr.CorruptChunkError as error:
                refused += error.key == "a/b/c/0/0"
            else:
                assert shape in (SHAPE, ())  # other chunks' bytes are data: without a checksum nobody can tell
    assert refused > 200


@pytest.mark.parametrize("local", [False, True])
def test_a_claim_of_exabytes_for_strings_allocates_nothing(local: bool, tmp_path: Path) -> None:
    store: Any = tmp_path / "a" if local else {}
    z = ndzarr.create_array(
        store, shape=(40,), dtype=np.dtypes.StringDType(), chunks=(4,), shards=(40,), compressor=None, zarr_format=3
    )
    z[...] = [f"word {n}" for n in range(40)]
    shard = bytes(z.store.get("c/0") or b"")
    index = bytearray(shard[-(16 * 10 + 4) :])
    struct.pack_into("<QQ", index, 16 * 3, 8, 1 << 61)
    struct.pack_into("<I", index, 160, google_crc32c.value(bytes(index[:160])))
    z.store.set("c/0", shard[:-164] + bytes(index))
    fresh = ndzarr.open_array(store)
    for read in (lambda: fresh[13], lambda: fresh[...]):
        tracemalloc.start()
        try:
            with pytest.raises(ndzarr.CorruptChunkError):
                read()
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
    assert fresh[0] == "word 0"


def test_a_directory_in_the_place_of_a_shard(tmp_path: Path) -> None:
    z = make(tmp_path / "s", ["crc32c"], False)
    path = tmp_path / "s" / "a" / "b" / "c" / "0" / "0"
    path.unlink()
    path.mkdir()
    fresh = ndzarr.open_array(tmp_path / "s", path="a/b")
    for read in (lambda: fresh[...], lambda: fresh[4, 6]):
        with pytest.raises(ndzarr.StoreError, match="c/0/0"):
            read()
    assert z.shards == SHARDS
