"""Rectangles read without a plan: the same tiles, the same values and the same errors as the general way gives."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import crew, engine as engine_module
from ndzarr.codecs import zstd as zstd_module
from ndzarr.engine import Engine
from ndzarr.plan import plan
from ndzarr.selection import select
from ndzarr.tiles import part_of, tiles

STORES = ["memory", "local"]
COMPRESSORS: list[Any] = [None, "zstd", "blosc", {"id": "blosc", "clevel": 0}, "gzip", ["zstd", "crc32c"]]


def new_store(where: str, tmp_path: Path) -> Any:
    return ndzarr.MemoryStore() if where == "memory" else ndzarr.LocalStore(tmp_path / str(random.getrandbits(64)))


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many reads went by tiles, and how many of their tiles had to be read the general way."""
    counts = {"fast": 0, "general": 0}
    read_tiles, part = Engine._read_tiles, engine_module.part_of

    def counted(*args: Any) -> bool:
        taken = read_tiles(*args)
        counts["fast"] += taken
        return taken

    def general(*args: Any) -> Any:
        counts["general"] += 1
        return part(*args)

    monkeypatch.setattr(Engine, "_read_tiles", counted)
    monkeypatch.setattr(engine_module, "part_of", general)
    return counts


def without_tiles(read: Any) -> Any:
    """What `read()` gives with the fast path turned off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_read_tiles", lambda *args: False)
        return read()


def random_index(rng: random.Random, shape: tuple[int, ...]) -> tuple[Any, ...]:
    entries: list[Any] = []
    for n in shape:
        start, stop = sorted(rng.choices(range(n + 1), k=2))
        entries.append(rng.choice([slice(None), slice(start, stop), slice(start, stop), rng.randrange(n)]))
    return tuple(entries)


def outcome(read: Any) -> tuple[Any, ...]:
    try:
        value = read()
    except ndzarr.NdzarrError as error:
        return type(error), str(error), getattr(error, "found", None), getattr(error, "expected", None)
    return value.shape, value.dtype, value.tobytes()


def test_tiles_are_the_parts_of_the_plan() -> None:
    rng = random.Random(1)
    made = 0
    for _ in range(2000):
        shape = tuple(rng.randrange(1, 12) for _ in range(rng.randrange(4)))
        chunks = tuple(rng.randrange(1, n + 3) for n in shape)
        z = ndzarr.create_array(shape=shape, chunks=chunks, dtype="i2", compressor=rng.choice([None, "zstd"]))
        layout = z._engine.layout
        selection = select(random_index(rng, shape), shape)
        found = tiles(selection, layout)
        parts = list(plan(selection, layout.objects))
        if found is None:
            assert not parts or z._engine.layout.uniform.pipeline.raw
            continue
        count, items = found
        got = [part_of(tile, layout) for tile in items]
        assert count == len(got) == len(parts)
        made += 1
        places = np.arange(int(np.prod(selection.work_shape))).reshape(selection.work_shape)
        inside = np.arange(int(np.prod(chunks))).reshape(chunks)
        for a, b in zip(got, parts, strict=True):
            assert (a.coords, a.whole, a.simple) == (b.coords, b.whole, b.simple)
            assert np.array_equal(places[a.target], places[b.target])
            assert np.array_equal(inside[a.source], inside[b.source])
    assert made > 1000


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compressor", COMPRESSORS, ids=str)
@pytest.mark.parametrize("where", STORES)
def test_reads_equal_those_of_the_general_way(
    where: str, compressor: Any, order: str, tmp_path: Path, ways: dict[str, int]
) -> None:
    rng = random.Random(2)
    for dtype in ("<f4", ">f4", "u1", "M8[s]", [("a", "u1"), ("b", "<f8")]):
        for shape, chunks in (((37, 23), (8, 5)), ((50,), (7,)), ((), ()), ((6, 7, 8), (2, 7, 3))):
            a = np.frombuffer(rng.randbytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(shape)
            store = new_store(where, tmp_path)
            z = ndzarr.create_array(
                store, shape=shape, chunks=chunks, dtype=dtype, compressor=compressor, order=order, fill_value=0, zarr_format=2
            )
            z[...] = a
            if shape:  # one chunk that is missing
                store.delete("0" + ".0" * (len(shape) - 1))
                a = a.copy()
                a[tuple(slice(0, c) for c in chunks)] = np.zeros((), dtype)
            assert outcome(lambda z=z: z[...])[2] == a.tobytes()
            for _ in range(15):
                index = random_index(rng, shape)
                assert outcome(lambda z=z, index=index: np.asarray(z[index])) == outcome(lambda a=a, index=index: a[index])
    if order == "C":
        assert (ways["fast"] >= 20) == (compressor not in ("gzip", ["zstd", "crc32c"]))


@pytest.mark.parametrize("compressor", COMPRESSORS[:4], ids=str)
@pytest.mark.parametrize("where", STORES)
def test_ordinary_chunks_are_not_read_twice(where: str, compressor: Any, tmp_path: Path, ways: dict[str, int]) -> None:
    z = ndzarr.create_array(new_store(where, tmp_path), shape=(40, 40), chunks=(8, 9), dtype="i4", compressor=compressor)
    z[...] = np.arange(1600).reshape(40, 40) // 7
    ways["fast"] = 0
    z[...]
    z[8:16]
    assert ways == {"fast": 2, "general": 0}


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("compressor", [None, "zstd", {"id": "zstd", "level": 1, "checksum": True}, "blosc"], ids=str)
@pytest.mark.parametrize("where", STORES)
def test_damage_is_noticed_as_the_general_way_does(
    where: str, compressor: Any, library: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: dict[str, int]
) -> None:
    """Objects cut short at every length, longer ones, and every byte changed; with and without `zstandard`."""
    if not library:
        monkeypatch.setattr(zstd_module, "_context", lambda: None)
    store = new_store(where, tmp_path)
    z = ndzarr.create_array(store, shape=(4, 12), chunks=(4, 6), dtype="i4", compressor=compressor, zarr_format=2)
    z[...] = np.arange(48).reshape(4, 12) // 5
    good = bytes(store.get("0.1"))
    damaged = [good[:n] for n in range(len(good))]
    damaged += [good + more for more in (b"\0", good, b"\x50\x2a\x4d\x18\x01\0\0\0x", bytes(200_000))]
    damaged += [good[:n] + bytes([good[n] ^ bit]) + good[n + 1 :] for n in range(len(good)) for bit in (1, 0x80, 0xFF)]
    for data in damaged:
        store.set("0.1", data)
        fast = outcome(lambda: z[...])
        assert fast == without_tiles(lambda: outcome(lambda: z[...])), data
        if len(data) < len(good):
            assert fast[0] is ndzarr.CorruptChunkError
    assert ways["fast"] > 0


@pytest.mark.parametrize("where", STORES)
def test_missing_chunks(where: str, tmp_path: Path) -> None:
    z = ndzarr.create_array(new_store(where, tmp_path), shape=(4, 4), chunks=(2, 2), dtype="i4", fill_value=7)
    z[:2, :2] = 1
    assert z[...].tolist() == [[1, 1, 7, 7], [1, 1, 7, 7], [7, 7, 7, 7], [7, 7, 7, 7]]
    with ndzarr.options(missing="raise"), pytest.raises(ndzarr.MissingChunkError) as caught:
        z[...]
    assert caught.value.coords == (0, 1)


def test_what_cannot_be_read_is_no_missing_chunk(tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path, shape=(4,), chunks=(2,), dtype="i4", zarr_format=2)
    z[...] = 1
    (tmp_path / "1").unlink()
    (tmp_path / "1").mkdir()
    with pytest.raises(ndzarr.StoreError, match="'1'"):
        z[...]
    (tmp_path / "1").rmdir()
    (tmp_path / "1").symlink_to(tmp_path / "1")  # a loop
    with pytest.raises(ndzarr.StoreError, match="'1'"):
        z[...]


def test_a_huge_object_is_not_read(tmp_path: Path) -> None:
    """Promise P11: what a small array's chunk can be bounds what is read."""
    z = ndzarr.create_array(tmp_path, shape=(4,), chunks=(2,), dtype="i4", zarr_format=2)
    z[...] = 1
    os.truncate(tmp_path / "1", 1 << 40)
    with pytest.raises(ndzarr.CorruptChunkError, match="more than"):
        z[...]


def test_subclasses_of_stores_see_every_call(tmp_path: Path) -> None:
    seen: list[str] = []

    class Local(ndzarr.LocalStore):
        def get(self, key: str, range: Any = None) -> Any:
            seen.append(key)
            return super().get(key, range)

    class Memory(ndzarr.MemoryStore):
        def get(self, key: str, range: Any = None) -> Any:
            seen.append(key)
            return super().get(key, range)

    for store in (Local(tmp_path), Memory(), ndzarr.FaultStore(ndzarr.MemoryStore()), ndzarr.MappingStore({})):
        assert store.shortcut(100) is None
    assert ndzarr.LocalStore(tmp_path, follow_symlinks=False).shortcut(100) is None
    for store in (Local(tmp_path), Memory()):
        z = ndzarr.create_array(store, shape=(4, 4), chunks=(2, 2), dtype="i4", zarr_format=2)
        z[...] = 1
        seen.clear()
        z[...]
        assert sorted(seen) == ["0.0", "0.1", "1.0", "1.1"]


@pytest.fixture
def eager_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(crew, "THREADS_FROM_NS", 1.0)
    monkeypatch.setattr(crew, "CREW_FROM_NS", 1.0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("compressor", [None, "zstd", "blosc"])
@pytest.mark.parametrize("where", STORES)
def test_threads_do_not_share_what_they_decode_with(
    where: str, compressor: Any, library: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library:
        monkeypatch.setattr(zstd_module, "_context", lambda: None)
    a = np.random.default_rng(0).integers(0, 1000, (300, 300))
    z = ndzarr.create_array(new_store(where, tmp_path), shape=a.shape, chunks=(11, 13), dtype=a.dtype, compressor=compressor)
    z[...] = a
    with ndzarr.options(workers=4):
        for _ in range(20):
            assert np.array_equal(z[...], a)
            assert np.array_equal(z[5:290, 7], a[5:290, 7])


@pytest.mark.usefixtures("eager_threads")
def test_an_error_leaves_no_thread_reading(tmp_path: Path) -> None:
    a = np.arange(90_000).reshape(300, 300)
    z = ndzarr.create_array(tmp_path, shape=a.shape, chunks=(11, 13), dtype=a.dtype, zarr_format=2)
    z[...] = a
    (tmp_path / "9.9").write_bytes(b"nothing")
    with ndzarr.options(workers=4), pytest.raises(ndzarr.CorruptChunkError, match=r"\(9, 9\)"):
        z[...]
