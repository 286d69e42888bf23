"""Sharded arrays: what is asked of the store, what is decoded, and that no index is believed longer than its shard."""

from __future__ import annotations

import math
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

import ndzarr
from ndzarr._typing import ByteRange
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.shards import GAP
from ndzarr.stores.fault import FaultStore

MISSING = (1 << 64) - 1


def sharding(chunk_shape: tuple[int, ...], codecs: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": "sharding_indexed", "configuration": {"chunk_shape": list(chunk_shape), "codecs": codecs, **more}}


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}


def transpose(*order: int) -> dict[str, Any]:
    return {"name": "transpose", "configuration": {"order": list(order)}}


def numbers(*shape: int, dtype: str = "i4") -> np.ndarray:
    return np.arange(1, 1 + math.prod(shape), dtype=dtype).reshape(shape)


def chunk_calls(store: FaultStore) -> list[Any]:
    return [call for call in store.calls() if call.key and call.key.startswith("c/")]


def calls_of(store: FaultStore, read: Any) -> list[Any]:
    """The calls that `read` makes about chunks."""
    before = len(chunk_calls(store))
    read()
    return chunk_calls(store)[before:]


# ---- requests --------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["end", "start"])
@pytest.mark.parametrize("tagged", [True, False])
def test_one_chunk_of_1024_costs_two_requests_then_one(where: str, tagged: bool) -> None:
    store = FaultStore(ndzarr.MemoryStore())
    store.tagged = tagged
    codec = sharding((20, 30), [LITTLE, "zstd"], index_codecs=[LITTLE, "crc32c"], index_location=where)
    z = ndzarr.create_array(store, shape=(1280, 480), dtype="i4", chunks=(1280, 480), compressor=[codec], zarr_format=3)
    a = numbers(1280, 480)
    z[...] = a
    z = ndzarr.open_array(store)
    index_nbytes = 1024 * 16 + 4
    found = []
    first = calls_of(store, lambda: found.append(z[45:50, 33:58]))
    assert [call.op for call in first] == ["get_tagged" if tagged else "get"] * 2
    assert first[0].nbytes == index_nbytes
    # The second is the one chunk and nothing else; its length stands in the index.
    shard = bytes(store.inner.get("c/0/0") or b"")
    index = np.frombuffer(shard[:index_nbytes] if where == "start" else shard[-index_nbytes:], "<u8", 2048).reshape(64, 16, 2)
    assert first[1].nbytes == index[2, 1, 1]
    second = calls_of(store, lambda: found.append(z[900:905, 400:410]))
    assert len(second) == (1 if tagged else 2)
    assert second[-1].nbytes == index[45, 13, 1]
    np.testing.assert_array_equal(found[0], a[45:50, 33:58])
    np.testing.assert_array_equal(found[1], a[900:905, 400:410])


def test_a_whole_shard_is_one_request() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(90, 60), dtype="i4", chunks=(10, 15), shards=(30, 60), zarr_format=3)
    z[...] = numbers(90, 60)
    calls = calls_of(store, lambda: z[...])
    assert [call.key for call in calls] == ["c/0/0", "c/1/0", "c/2/0"]


def test_chunks_that_lie_together_are_read_together() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(
        store, shape=(64, 800), dtype="i8", chunks=(4, 100), shards=(64, 800), compressor=None, zarr_format=3
    )
    a = numbers(64, 800, dtype="i8")
    z[...] = a
    nbytes = 4 * 100 * 8
    z[0, 0]  # the index
    row = calls_of(store, lambda: np.testing.assert_array_equal(z[5], a[5]))
    assert [call.nbytes for call in row] == [8 * nbytes]
    # Chunks further apart than the gap are two requests; nearer ones are one, with what lies between.
    assert 8 * nbytes > GAP > 2 * nbytes
    far = calls_of(store, lambda: np.testing.assert_array_equal(z[[0, 60], 0], a[[0, 60], 0]))
    assert [call.nbytes for call in far] == [nbytes, nbytes]
    near = calls_of(store, lambda: np.testing.assert_array_equal(z[0, [0, 250]], a[0, [0, 250]]))
    assert [call.nbytes for call in near] == [3 * nbytes]


def test_a_missing_shard_is_one_request_and_a_missing_chunk_two() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(40, 30), dtype="i4", chunks=(5, 6), shards=(20, 30), fill_value=7, zarr_format=3)
    z[:5, :6] = 1
    assert len(calls_of(store, lambda: z[30, 3])) == 1
    fresh = ndzarr.open_array(store)
    assert len(calls_of(store, lambda: fresh[17, 3])) == 1
    # A kept index that knows nothing of the chunk would show no change of the shard: it is read anew.
    assert len(calls_of(store, lambda: fresh[17, 3])) == 1
    assert fresh[17, 3] == 7


def test_writes_never_read_a_shard_that_they_replace() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(60, 40), dtype="i4", chunks=(5, 8), shards=(20, 40), zarr_format=3)
    z[...] = 1
    z[20:40] = numbers(20, 40)
    assert {call.op for call in chunk_calls(store)} == {"set"}
    part = calls_of(store, lambda: z.__setitem__(slice(0, 5), 3))
    assert [call.op for call in part] == ["get_tagged", "set"]


# ---- an index is never older than its shard --------------------------------------------------------------------------------


class Rewriting(FaultStore):
    """Lets somebody else write after the n-th read of a chunk."""

    def __init__(self, inner: Any, after: int, change: Any) -> None:
        super().__init__(inner)
        self._after = after
        self._change = change
        self._reads = 0

    def get_tagged(self, key: str, range: Any = None) -> Any:
        found = super().get_tagged(key, range)
        if key.startswith("c/"):
            self._reads += 1
            if self._reads == self._after:
                self._change()
        return found


@pytest.mark.parametrize("kind", ["memory", "local", "zip", "mapping"])
def test_a_kept_index_is_dropped_when_the_shard_changes(kind: str, tmp_path: Path) -> None:
    store: Any
    if kind == "memory":
        store = ndzarr.MemoryStore()
    elif kind == "local":
        store = ndzarr.LocalStore(tmp_path / "a")
    elif kind == "zip":
        store = ndzarr.ZipStore(tmp_path / "a.zip", mode="w")
    else:
        store = {}
    create: dict[str, Any] = {"shape": (24, 18), "dtype": "i4", "chunks": (3, 2), "shards": (24, 18), "zarr_format": 3}
    writer = ndzarr.create_array(store, **create)
    reader = ndzarr.open_array(store)
    a = np.zeros((24, 18), "i4")
    rng = np.random.default_rng(1)
    for _ in range(60):
        r, c = int(rng.integers(0, 21)), int(rng.integers(0, 16))
        # Now less, now more compressible, so that every chunk moves.
        a[r : r + 5, c : c + 3] = rng.integers(0, 1 << int(rng.integers(1, 30)), a[r : r + 5, c : c + 3].shape)
        writer[r : r + 5, c : c + 3] = a[r : r + 5, c : c + 3]
        i, j = int(rng.integers(0, 24)), int(rng.integers(0, 18))
        assert reader[i, j] == a[i, j]
        np.testing.assert_array_equal(reader[i : i + 4, j : j + 3], a[i : i + 4, j : j + 3])
    writer.store.close()


@pytest.mark.parametrize("what", ["rewritten", "deleted", "smaller", "created"])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
@pytest.mark.parametrize("warm", [False, True])
def test_a_shard_changed_in_the_middle_of_a_read(what: str, after: int, warm: bool) -> None:
    inner = ndzarr.MemoryStore()
    create: dict[str, Any] = {"shape": (40, 30), "dtype": "i4", "chunks": (4, 5), "shards": (40, 30), "fill_value": -1}
    z = ndzarr.create_array(inner, zarr_format=3, compressor="zstd", **create)
    old = numbers(40, 30)
    if what == "created":
        old[...] = -1
    else:
        z[...] = old
    new = np.random.default_rng(0).integers(0, 1 << 30, (40, 30), "i4")
    if what == "deleted":
        new[...] = -1
    if what == "smaller":
        new[...] = -1
        new[5, 5] = 3

    def change() -> None:
        ndzarr.open_array(inner, "r+")[...] = new

    store = Rewriting(inner, after, change)
    reader = ndzarr.open_array(store)
    if warm:
        store._reads = -1
        reader[39, 29]
        store._reads = 0
    region = (slice(2, 9), slice(3, 12))
    found = reader[region]
    assert np.array_equal(found, old[region]) or np.array_equal(found, new[region])
    store._reads = after
    np.testing.assert_array_equal(reader[region], np.asarray(ndzarr.open_array(inner)[region]))


def test_a_shard_that_never_stands_still_is_read_whole() -> None:
    inner = ndzarr.MemoryStore()
    z = ndzarr.create_array(inner, shape=(40, 30), dtype="i4", chunks=(4, 5), shards=(40, 30), zarr_format=3)
    z[...] = 1
    values = iter(range(2, 100))

    class Restless(FaultStore):
        def get_tagged(self, key: str, range: Any = None) -> Any:
            if key.startswith("c/"):
                z[...] = next(values)
            return super().get_tagged(key, range)

    store = Restless(inner)
    found = ndzarr.open_array(store)[3:9, 2:11]
    assert len(np.unique(found)) == 1
    assert chunk_calls(store)[-1].range == ByteRange(0)
    assert len(chunk_calls(store)) <= 7


# ---- what is decoded --------------------------------------------------------------------------------


class CountedCodec(BytesBytesCodec):
    """Stores the bytes as they are, and counts."""

    name = "test.counted"
    encoded = 0
    decoded = 0

    @classmethod
    def from_spec(cls, configuration: Any) -> CountedCodec:
        return cls()

    def configuration(self) -> dict[str, Any]:
        return {}

    def encode(self, data: Any) -> Any:
        CountedCodec.encoded += 1
        return bytes(data)

    def decode(self, data: Any, *, size: Any, limit: int, out: Any = None) -> Any:
        CountedCodec.decoded += 1
        return data


@pytest.fixture
def counted() -> Iterator[type[CountedCodec]]:
    ndzarr.register_codec(CountedCodec)
    CountedCodec.encoded = CountedCodec.decoded = 0
    yield CountedCodec
    ndzarr.unregister_codec("test.counted")


def test_one_chunk_of_a_64_mib_shard_is_overwritten_alone(counted: type[CountedCodec]) -> None:
    shape, chunks = (4096, 4096), (128, 256)
    z = ndzarr.create_array(
        None, shape=shape, dtype="i4", chunks=chunks, shards=shape, compressor="test.counted", zarr_format=3
    )
    a = numbers(*shape)
    z[...] = a
    assert counted.encoded == 32 * 16
    counted.encoded = counted.decoded = 0
    before = bytes(z.store.get("c/0/0") or b"")
    z[256:384, 512:768] = a[256:384, 512:768] = -5
    assert (counted.decoded, counted.encoded) == (0, 1)
    z[400:401, 600:900] = a[400:401, 600:900] = -6  # two chunks, in part
    assert (counted.decoded, counted.encoded) == (2, 3)
    z[:, 256:512] = a[:, 256:512] = -7
    assert (counted.decoded, counted.encoded) == (2, 3 + 32)
    np.testing.assert_array_equal(z[...], a)
    # The rest are the same bytes, in the order in which they lay.
    after = bytes(z.store.get("c/0/0") or b"")
    assert len(after) == len(before)
    assert after[: 256 * 128 * 4] == before[: 256 * 128 * 4]


def test_reading_decodes_what_is_asked_for(counted: type[CountedCodec]) -> None:
    z = ndzarr.create_array(
        None, shape=(60, 50, 7), dtype="i2", chunks=(6, 5, 7), shards=(30, 50, 7), compressor="test.counted", zarr_format=3
    )
    a = numbers(60, 50, 7, dtype="i2")
    z[...] = a
    counted.decoded = 0
    np.testing.assert_array_equal(z[5:7, 4:6], a[5:7, 4:6])
    assert counted.decoded == 4
    index = ([59, 0, 59, 1], [49, 0, 49, 0], [6, 0, 5, 6])
    np.testing.assert_array_equal(z[index], a[index])
    assert counted.decoded == 6


# ---- where chunks lie --------------------------------------------------------------------------------


def by_hand(chunks: list[bytes | None], order: list[int], *, gap: int = 0, start: bool = False, shared: bool = False) -> bytes:
    """A shard with its chunks in this order, `gap` bytes of rubbish around each; `shared`: equal chunks share bytes."""
    head = 16 * len(chunks) + 4 if start else 0
    places: dict[int, tuple[int, int]] = {}
    body = b""
    seen: dict[bytes, int] = {}
    for k in order:
        chunk = chunks[k]
        if chunk is None:
            continue
        body += b"\xee" * gap
        if not (shared and chunk in seen):
            seen[chunk] = head + len(body)
            body += chunk
        places[k] = seen[chunk] if shared else head + len(body) - len(chunk), len(chunk)
    body += b"\xee" * gap
    index = b"".join(struct.pack("<QQ", *places.get(k, (MISSING, MISSING))) for k in range(len(chunks)))
    index += struct.pack("<I", google_crc32c.value(index))
    return index + body if start else body + index


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("gap", [0, 1, GAP + 5])
@pytest.mark.parametrize("shared", [False, True])
def test_chunks_in_any_order_with_gaps_and_shared_bytes(start: bool, gap: int, shared: bool) -> None:
    codec = sharding((3, 2), [LITTLE], index_codecs=[LITTLE, "crc32c"], index_location="start" if start else "end")
    z = ndzarr.create_array(None, shape=(12, 10), dtype="i4", chunks=(12, 10), compressor=[codec], fill_value=9, zarr_format=3)
    a = numbers(12, 10)
    a[3:6, 2:4] = a[:3, :2]
    a[9:, 8:] = 9
    cells = [a[3 * i : 3 * i + 3, 2 * j : 2 * j + 2] for i in range(4) for j in range(5)]
    chunks = [cell.tobytes() if k != 19 else None for k, cell in enumerate(cells)]
    order = np.random.default_rng(3).permutation(20).tolist()
    z.store.set("c/0/0", by_hand(chunks, order, gap=gap, start=start, shared=shared))
    z = ndzarr.open_array(z.store, "r+")
    np.testing.assert_array_equal(z[...], a)
    for i, j in [(0, 0), (4, 3), (11, 9), (8, 5)]:
        assert z[i, j] == a[i, j]
    np.testing.assert_array_equal(z[[11, 0, 4, 0], [9, 0, 3, 1]], a[[11, 0, 4, 0], [9, 0, 3, 1]])
    z[4:8, 1:5] = a[4:8, 1:5] = -1
    np.testing.assert_array_equal(z[...], a)
    # Written again, without the gaps.
    assert len(z.store.get("c/0/0") or b"") == 19 * 24 + 20 * 16 + 4


def test_too_many_gaps_to_read_them(tmp_path: Path) -> None:
    codec = sharding((3, 2), [LITTLE], index_codecs=[LITTLE, "crc32c"])
    z = ndzarr.create_array(
        tmp_path / "a", shape=(12, 10), dtype="i4", chunks=(12, 10), compressor=[codec], fill_value=9, zarr_format=3
    )
    a = numbers(12, 10)
    cells = [a[3 * i : 3 * i + 3, 2 * j : 2 * j + 2].tobytes() for i in range(4) for j in range(5)]
    z.store.set("c/0/0", by_hand(list(cells), list(range(20)), gap=100_000))
    np.testing.assert_array_equal(z[...], a)
    z[5, 5] = a[5, 5] = -1
    np.testing.assert_array_equal(z[...], a)
    assert z.nbytes_stored == 20 * 24 + 20 * 16 + 4


# ---- transposes: the chunk shape is in transposed space ----

CHAINS = {
    "before": ([transpose(2, 0, 1)], (2, 6, 5), []),
    "before, twice": ([transpose(2, 0, 1), transpose(1, 2, 0)], (6, 5, 2), []),
    "before, two that undo each other": ([transpose(2, 0, 1), transpose(1, 2, 0)], (3, 5, 4), []),
    "inside": ([], (6, 5, 2), [transpose(1, 2, 0)]),
    "before and inside": ([transpose(1, 2, 0)], (5, 2, 6), [transpose(2, 0, 1)]),
    "reversed": ([transpose(2, 1, 0)], (2, 5, 6), []),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("compressor", [[], ["zstd"]])
def test_transposes_and_shards(name: str, compressor: list[Any]) -> None:
    before, chunk_shape, inside = CHAINS[name]
    codec = sharding(chunk_shape, [*inside, BIG, *compressor])
    shape, outer = (31, 23, 17), (12, 10, 4) if "undo" not in name else (12, 10, 8)
    if "undo" in name:
        codec = sharding((6, 5, 4), [*inside, BIG, *compressor])
    z = ndzarr.create_array(None, shape=shape, dtype="i4", chunks=outer, filters=before, compressor=[codec], zarr_format=3)
    a = numbers(*shape)
    z[...] = a
    assert z.shards == outer
    assert all(n % c == 0 for n, c in zip(outer, z.chunks, strict=True))
    np.testing.assert_array_equal(z[...], a)
    np.testing.assert_array_equal(z[11:13, 9:12, 3:9], a[11:13, 9:12, 3:9])
    np.testing.assert_array_equal(z[[30, 0, 7], [22, 9, 3], [16, 0, 5]], a[[30, 0, 7], [22, 9, 3], [16, 0, 5]])
    z[3:20, 7, ::3] = a[3:20, 7, ::3] = -1
    np.testing.assert_array_equal(z[...], a)
    # The engine works on single inner chunks; the codec itself, on the whole shard, must agree about what lies where.
    layout = z._engine.layout
    for coords in layout.objects:
        whole = layout.cell(coords).pipeline.decode(z.store.get(layout.key(coords)))
        region = tuple(slice(c * n, (c + 1) * n) for c, n in zip(coords, outer, strict=True))
        part = a[region]
        np.testing.assert_array_equal(whole[tuple(slice(n) for n in part.shape)], part)
    # And what the codec makes of a whole shard, the engine reads.
    block = a[:12, : outer[1], : outer[2]]
    z.store.set("c/0/0/0", layout.cell((0, 0, 0)).pipeline.encode(block[::-1].copy()))
    np.testing.assert_array_equal(z[:12, : outer[1], : outer[2]], block[::-1])


@pytest.mark.parametrize("last", [["zstd"], ["crc32c"], [{"name": "gzip", "configuration": {"level": 1}}]])
def test_codecs_behind_the_shard(last: list[Any]) -> None:
    codec = sharding((4, 5), [LITTLE])
    z = ndzarr.create_array(None, shape=(19, 23), dtype="i4", chunks=(8, 15), compressor=[codec, *last], zarr_format=3)
    a = numbers(19, 23)
    z[...] = a
    assert (z.chunks, z.shards) == ((8, 15), None)  # parts of an object cannot be read
    np.testing.assert_array_equal(z[3:9, 14:17], a[3:9, 14:17])
    z[7:9, 3] = a[7:9, 3] = 0
    np.testing.assert_array_equal(z[...], a)


# ---- nothing stored --------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [0, 5])
def test_empty_chunks_and_shards_go(fill: int) -> None:
    z = ndzarr.create_array(None, shape=(21, 13), dtype="i4", chunks=(3, 4), shards=(9, 8), fill_value=fill, zarr_format=3)
    z[...] = fill
    assert list(z.store.list("c/")) == []
    a = np.full((21, 13), fill)
    z[10, 9] = a[10, 9] = 1
    z[2, 2] = a[2, 2] = 1
    assert sorted(z.store.list("c/")) == ["c/0/0", "c/1/1"]
    one = len(z.store.get("c/0/0") or b"")
    z[2, 5] = a[2, 5] = 2
    assert len(z.store.get("c/0/0") or b"") > one
    z[2, 5] = a[2, 5] = fill
    assert len(z.store.get("c/0/0") or b"") == one
    np.testing.assert_array_equal(z[...], a)
    z[2, 2] = a[2, 2] = fill
    assert sorted(z.store.list("c/")) == ["c/1/1"]
    with ndzarr.options(missing="raise"), pytest.raises(ndzarr.MissingChunkError, match=r"chunk \(1, 0\) of shard \(1, 1\)"):
        z[13, 9]
    with ndzarr.options(write_empty=True):
        z[2, 2] = fill
    assert sorted(z.store.list("c/")) == ["c/0/0", "c/1/1"]
    np.testing.assert_array_equal(z[...], a)


def test_minus_zero_is_not_zero_inside_shards_either() -> None:
    z = ndzarr.create_array(None, shape=(6, 8), dtype="f8", chunks=(3, 2), shards=(6, 8), fill_value=0.0, zarr_format=3)
    z[...] = -0.0
    assert np.signbit(z[...]).all()


# ---- shape --------------------------------------------------------------------------------


def test_resize_and_append() -> None:
    z = ndzarr.create_array(None, shape=(20, 14), dtype="i4", chunks=(3, 4), shards=(9, 8), fill_value=-1, zarr_format=3)
    a = numbers(20, 14)
    z[...] = a
    z.resize(10, 13)
    z.resize(25, 30)
    want = np.full((25, 30), -1, "i4")
    want[:10, :13] = a[:10, :13]
    np.testing.assert_array_equal(z[...], want)
    rows = numbers(7, 30)
    z.append(rows)
    np.testing.assert_array_equal(z[...], np.concatenate([want, rows]))
    assert ndzarr.open_array(z.store).shape == (32, 30)
    # Behind the edge that an old handle knows lie rows that are not its to write over.
    other = ndzarr.open_array(z.store, "r+")
    z.append(rows)
    other[...] = 0
    np.testing.assert_array_equal(z[32:], rows)


# ---- threads --------------------------------------------------------------------------------


def test_threads_that_write_chunks_of_one_shard_lose_nothing() -> None:
    z = ndzarr.create_array(None, shape=(64, 10), dtype="i4", chunks=(1, 10), shards=(64, 10), zarr_format=3)
    again = ndzarr.open_array(z.store, "r+")

    def write(handle: Any, rows: range) -> None:
        for turn in range(1, 31):
            for row in rows:
                handle[row, turn % 10] = turn

    threads = [threading.Thread(target=write, args=(z if k % 2 else again, range(k, 64, 4))) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    want = np.array([30, 21, 22, 23, 24, 25, 26, 27, 28, 29])
    np.testing.assert_array_equal(z[...], np.broadcast_to(want, (64, 10)))


def test_one_large_shard_is_read_by_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()

    class Watched(CountedCodec):
        name = "test.watched"
        decode_ns_per_byte = 100.0

        def decode(self, data: Any, *, size: Any, limit: int, out: Any = None) -> Any:
            seen.add(threading.current_thread().name)
            threading.Event().wait(0.002)
            return data

    ndzarr.register_codec(Watched)
    try:
        z = ndzarr.create_array(
            None, shape=(512, 512), dtype="f8", chunks=(64, 128), shards=(512, 512), compressor="test.watched", zarr_format=3
        )
        a = np.random.default_rng(0).random((512, 512))
        z[...] = a
        monkeypatch.setattr("ndzarr.crew.processors", lambda: 4)
        np.testing.assert_array_equal(z[...], a)
        with ndzarr.options(workers=1):
            np.testing.assert_array_equal(z[...], a)
    finally:
        ndzarr.unregister_codec("test.watched")
    assert len(seen) > 1


# ---- other kinds of elements --------------------------------------------------------------------------------


def test_strings_bytes_and_records() -> None:
    words = np.array([f"{'ä' * (n % 5)}{n}" for n in range(77)]).reshape(7, 11)
    z = ndzarr.create_array(
        None, shape=(7, 11), dtype=np.dtypes.StringDType(), chunks=(2, 3), shards=(4, 6), fill_value="?", zarr_format=3
    )
    z[1:, :] = words[1:]
    assert z[0].tolist() == ["?"] * 11
    assert z[1:].tolist() == words[1:].tolist()
    z[3, 4:6] = ["x" * 1000, ""]
    assert z[3, 3:7].tolist() == [words[3, 3], "x" * 1000, "", words[3, 6]]

    raw = ndzarr.create_array(
        None, shape=(5, 4), dtype=object, chunks=(2, 2), shards=(4, 4), filters=["vlen-bytes"], zarr_format=3
    )
    raw[2] = [b"a", b"", b"\x00\xff", b"b" * 99]
    assert raw[2].tolist() == [b"a", b"", b"\x00\xff", b"b" * 99]
    assert raw[0].tolist() == [b""] * 4

    dtype = np.dtype([("t", "i4"), ("v", "f8")])
    r = ndzarr.create_array(None, shape=(9, 5), dtype=dtype, chunks=(2, 2), shards=(4, 4), zarr_format=3)
    a = np.zeros((9, 5), dtype)
    r["t"] = a["t"] = np.arange(45).reshape(9, 5)
    r[2:7, 1:] = a[2:7, 1:] = np.array((7, 0.5), dtype)
    np.testing.assert_array_equal(r[...], a)
    np.testing.assert_array_equal(r["v", 3:], a["v"][3:])
    with pytest.raises(ValueError, match="vlen-bytes"):
        ndzarr.create_array(None, shape=(3,), dtype=object, chunks=(1,), shards=(3,), zarr_format=3)


def test_no_dimensions_and_no_elements() -> None:
    z = ndzarr.create_array(None, shape=(), dtype="i4", chunks=(), shards=(), fill_value=4, zarr_format=3)
    assert z[()] == 4
    z[()] = 6
    assert z[()] == 6
    assert z.shards == ()
    empty = ndzarr.create_array(None, shape=(0, 4), dtype="i4", chunks=(2, 2), shards=(4, 4), zarr_format=3)
    assert empty[...].shape == (0, 4)
    empty.resize(3, 4)
    empty[...] = 1
    assert empty[...].tolist() == [[1] * 4] * 3


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"chunk_shape": [3, 4]}, "divide"),
        ({"chunk_shape": [4]}, "divide"),
        ({"chunk_shape": [4, 0]}, "positive"),
        ({"chunk_shape": 4}, "positive"),
        ({"chunk_shape": [4, 4], "codecs": []}, "at least one"),
        ({"chunk_shape": [4, 4], "codecs": ["zstd"]}, "zstd"),
        ({"chunk_shape": [4, 4], "codecs": "bytes"}, "list"),
        ({"chunk_shape": [4, 4], "codecs": [{"name": "nonesuch"}]}, "nonesuch"),
        ({"chunk_shape": [4, 4], "index_location": "middle"}, "'middle'"),
        ({"chunk_shape": [4, 4], "index_codecs": [LITTLE, "zstd"]}, "zstd"),
        ({"chunk_shape": [4, 4], "index_codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 1}}]}, "gzip"),
        ({"chunk_shape": [4, 4], "index_codecs": []}, "at least one"),
        ({"chunk_shape": [4, 4], "other": 1}, "other"),
        ({}, "chunk_shape"),
    ],
)
def test_configurations_that_are_refused(configuration: dict[str, Any], message: str) -> None:
    codec = {"name": "sharding_indexed", "configuration": {"codecs": [LITTLE], **configuration}}
    with pytest.raises(ndzarr.ArgumentError, match=message):
        ndzarr.create_array(None, shape=(8, 8), dtype="i4", chunks=(8, 8), compressor=[codec], zarr_format=3)


def test_the_order_inside_a_chunk() -> None:
    create: dict[str, Any] = {"shape": (8, 6), "dtype": "i4", "chunks": (2, 3), "zarr_format": 3}
    assert ndzarr.create_array(None, **create, shards=(4, 6)).order == "C"
    z = ndzarr.create_array(None, **create, shards=(4, 6), order="F", compressor=None)
    z[...] = a = numbers(8, 6)
    assert z.order == "F"
    assert bytes(z.store.get("c/0/0") or b"")[:24] == a[:2, :3].tobytes("F")
    assert ndzarr.zeros_like(z).order == "F"


def test_a_shard_rewritten_in_place_with_its_old_time(tmp_path: Path) -> None:
    """Neither inode, size nor mtime tell that the index is another one; the time of the last change does."""
    ones, counted = np.ones(64, "i4"), np.arange(64, dtype="i4")
    for name, value in (("a", np.concatenate([ones, counted])), ("b", np.concatenate([counted, ones]))):
        z = ndzarr.create_array(tmp_path / name, shape=(128,), dtype="i4", chunks=(64,), shards=(128,), compressor="zstd")
        z[...] = value
    file, other = (tmp_path / name / "c" / "0" for name in "ab")
    z = ndzarr.open_array(tmp_path / "a")
    assert z[:64].tolist() == ones.tolist()  # and the index is kept
    before = file.stat()
    time.sleep(0.05)  # the clocks of file systems tick slowly
    with open(file, "r+b") as opened:
        opened.write(other.read_bytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert z[:64].tolist() == counted.tolist()
