"""Chunks read the short way: the same tiles and clusters, the same values and errors as the general way gives."""

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
from ndzarr import crew
from ndzarr.accessors import select_points
from ndzarr.codecs import zstd as zstd_module
from ndzarr.codecs.blosc import BloscCodec
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.engine import Engine
from ndzarr.plan import plan
from ndzarr.points import clusters, part_of as part_of_cluster
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
    read_short, read_part = Engine._read_short, Engine.read_part

    def counted(*args: Any) -> bool:
        reading.append(True)
        taken = read_short(*args)
        reading.pop()
        counts["fast"] += taken
        return taken

    def general(*args: Any) -> Any:
        counts["general"] += bool(reading)
        return read_part(*args)

    reading: list[bool] = []
    monkeypatch.setattr(Engine, "_read_short", counted)
    monkeypatch.setattr(Engine, "read_part", general)
    return counts


def without_shortcuts(read: Any) -> Any:
    """What `read()` gives with the fast path turned off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "quick", lambda self: None)
        patch.setattr(Pipeline, "stretch", lambda *args: None)
        return read()


def random_index(rng: random.Random, shape: tuple[int, ...]) -> tuple[Any, ...]:
    entries: list[Any] = []
    for n in shape:
        start, stop = sorted(rng.choices(range(n + 1), k=2))
        step = rng.choice([1, 1, 2, 5, -1, -3])
        lattice = (
            slice(start, stop, step) if step > 0 else slice(stop - 1 if stop else None, start - 1 if start else None, step)
        )
        entries.append(rng.choice([slice(None), slice(start, stop), lattice, rng.randrange(n)]))
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
        found = tiles(selection, layout.objects, layout.key, whole=layout.uniform.pipeline.raw)
        parts = list(plan(selection, layout.objects))
        if found is None:
            assert not parts or z._engine.layout.uniform.pipeline.raw
            continue
        count, items = found
        got = [part_of(tile, layout.objects) for tile in items]
        assert count == len(got) == len(parts)
        made += 1
        places = np.arange(int(np.prod(selection.work_shape))).reshape(selection.work_shape)
        inside = np.arange(int(np.prod(chunks))).reshape(chunks)
        for a, b in zip(got, parts, strict=True):
            assert (a.coords, a.whole, a.simple) == (b.coords, b.whole, b.simple)
            assert np.array_equal(places[a.target], places[b.target])
            assert np.array_equal(inside[a.source], inside[b.source])
    assert made > 1000


def test_clusters_are_the_parts_of_the_plan() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        shape = tuple(int(n) for n in rng.integers(1, 12, rng.integers(1, 4)))
        chunks = tuple(int(rng.integers(1, n + 3)) for n in shape)
        z = ndzarr.create_array(shape=shape, chunks=chunks, dtype="i2")
        grid = z._engine.layout.objects
        points = [rng.integers(0, n, 30) for n in shape]
        if rng.random() < 0.3:
            points = [np.sort(column) for column in points]
        selection = select_points(tuple(points), shape)
        found = clusters(selection, grid, z._engine.layout.key)
        assert found is not None
        count, items = found
        got = [part_of_cluster(cluster, grid) for cluster in items]
        parts = list(plan(selection, grid))
        assert count == len(got) == len(parts)
        places = np.arange(30)
        for a, b in zip(got, parts, strict=True):
            assert (a.coords, a.whole, a.simple, a.gather_axis) == (b.coords, b.whole, b.simple, b.gather_axis)
            assert np.array_equal(places[a.target], places[b.target])
            assert all(np.array_equal(x, y) for x, y in zip(a.source, b.source, strict=True))


def test_a_grid_that_an_intp_cannot_number_has_no_clusters() -> None:
    shape = (1 << 40, 1 << 40)
    z = ndzarr.create_array(shape=shape, chunks=(1, 1), dtype="u1", fill_value=0)
    corner = (1 << 40) - 1
    assert clusters(select_points(([0, corner], [corner, 0]), shape), z._engine.layout.objects, z._engine.layout.key) is None
    z[corner, 0] = 5
    assert z.vindex[[0, corner, corner], [0, corner, 0]].tolist() == [0, 0, 5]


SHARDED = [{}, {"shards": (24, 20)}]


@pytest.mark.parametrize("shards", SHARDED, ids=["chunks", "shards"])
@pytest.mark.parametrize("compressor", [None, "zstd", "blosc", "zlib", "gzip", "lz4"], ids=str)
@pytest.mark.parametrize("where", STORES)
def test_every_kind_of_index_reads_what_numpy_gives(where: str, compressor: Any, shards: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    chance = random.Random(3)
    a = np.arange(61 * 47, dtype="i4").reshape(61, 47) // 3
    a[:8, :10] = 0  # a chunk, or inner chunk, that is not there
    z = ndzarr.create_array(
        new_store(where, tmp_path), shape=a.shape, chunks=(8, 5), dtype="i4", compressor=compressor, zarr_format=3, **shards
    )
    z[...] = a
    for _ in range(40):
        n = int(rng.integers(1, 60))
        rows, columns = rng.integers(-61, 61, n), rng.integers(-47, 47, n)
        mask = rng.random(a.shape) < 0.05
        simple = random_index(chance, a.shape)
        for expected, read in (
            (a[rows, columns], lambda rows=rows, columns=columns: z[rows, columns]),
            (a[rows, columns], lambda rows=rows, columns=columns: z.vindex[rows, columns]),
            (a[np.ix_(rows, columns)], lambda rows=rows, columns=columns: z.oindex[rows, columns]),
            (a[rows, 3:41:2], lambda rows=rows: z[rows, 3:41:2]),
            (a[rows], lambda rows=rows: z[rows]),
            (a[mask], lambda mask=mask: z[mask]),
            (a[simple], lambda simple=simple: np.asarray(z[simple])),
            (a[rows[0], columns[0]], lambda rows=rows, columns=columns: z[int(rows[0]), int(columns[0])]),
        ):
            found = read()
            assert np.array_equal(found, expected)
            assert outcome(read) == without_shortcuts(lambda read=read: outcome(read))


@pytest.mark.parametrize("index", ["all", "points", "point", "outer"])
@pytest.mark.parametrize("compressor", [None, "zstd", "blosc", "lz4", "gzip"], ids=str)
def test_damaged_shards_are_noticed_as_the_general_way_does(compressor: Any, index: str) -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(6, 8), chunks=(3, 2), shards=(6, 8), dtype="i4", compressor=compressor, zarr_format=3)
    z[...] = np.arange(48).reshape(6, 8) // 5
    z[:3, 2:4] = 0
    good = bytes(store.get("c/0/0"))
    read = {
        "all": lambda: z[...],
        "points": lambda: z.vindex[[0, 5, 3, 0], [0, 7, 1, 1]],
        "point": lambda: z[4, 5],
        "outer": lambda: z.oindex[[0, 5], [7, 0]],
    }[index]
    for data in [good[:n] for n in range(0, len(good), 7)] + [
        good[:n] + bytes([good[n] ^ bit]) + good[n + 1 :] for n in range(0, len(good), 3) for bit in (1, 0xFF)
    ]:
        store.set("c/0/0", data)
        assert outcome(read) == without_shortcuts(lambda: outcome(read)), data
    store.delete("c/0/0")
    with ndzarr.options(missing="raise"):
        assert outcome(read) == without_shortcuts(lambda: outcome(read))
        assert outcome(read)[0] is ndzarr.MissingChunkError


@pytest.mark.parametrize("cname", ["lz4", "lz4hc", "blosclz", "zlib", "zstd"])
def test_blocks_of_a_blosc_chunk_are_decoded_alone(cname: str) -> None:
    rng = random.Random(cname)
    alone = 0
    for size in (65536, 100_000, 300_004, 1 << 20, (1 << 20) + 12):
        values = np.cumsum(np.random.default_rng(size).integers(0, 3, size // 4)).astype("i4").view("u1")
        for typesize in (1, 2, 4, 12, 16):
            for shuffle in (0, 1, 2):
                for blocksize, level in ((0, 1), (8192, 5), (12288, 1), (0, 0)):
                    if size % typesize:
                        continue
                    codec = BloscCodec(cname=cname, clevel=level, shuffle=shuffle, blocksize=blocksize, typesize=typesize)
                    encoded = codec.encode(values.tobytes())
                    for _ in range(3):
                        nbytes = rng.randrange(1, rng.choice([9, 5000, size // 2]))
                        first = rng.choice([0, size - nbytes, rng.randrange(size - nbytes)])
                        piece = codec.stretch(encoded, first, nbytes, size)
                        if piece is not None:
                            alone += 1
                            assert bytes(piece) == values[first : first + nbytes].tobytes()
    assert alone > 300


def test_blocks_in_any_order_are_found() -> None:
    """Writers with threads put blocks where they come to be ready."""
    values = np.arange(262_144, dtype="i4")
    codec = BloscCodec(blocksize=32_768, typesize=4)
    encoded = bytes(codec.encode(values.tobytes()))
    count = values.nbytes // int.from_bytes(encoded[8:12], "little")
    assert count == 8
    begins = np.frombuffer(encoded, "<i4", count, 16)
    ends = [*begins[1:].tolist(), len(encoded)]
    blocks = [encoded[a:b] for a, b in zip(begins.tolist(), ends, strict=True)]
    order = [3, 7, 0, 1, 6, 2, 5, 4]
    at, places, body = 16 + 4 * count, np.zeros(count, "<i4"), b""
    for number in order:
        places[number] = at + len(body)
        body += blocks[number]
    mixed = encoded[:16] + places.tobytes() + body
    assert bytes(codec.decode(mixed, size=values.nbytes, limit=values.nbytes)) == values.tobytes()
    for first in range(0, values.nbytes - 160_000, 9_999):
        assert bytes(codec.stretch(mixed, first, 160_000, values.nbytes)) == values.tobytes()[first : first + 160_000]


@pytest.mark.parametrize("where", STORES)
def test_windows_of_large_blosc_chunks(where: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = np.cumsum(rng.integers(0, 3, (300, 410)), axis=1).astype("f8")
    z = ndzarr.create_array(
        new_store(where, tmp_path), shape=a.shape, chunks=(200, 205), dtype="f8", compressor={"id": "blosc", "blocksize": 4096}
    )
    z[...] = a
    calls: list[Any] = []
    stretch = Pipeline.stretch

    def counted(*args: Any) -> Any:
        calls.append(stretch(*args))
        return calls[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "stretch", counted)
        for _ in range(200):
            x, y = int(rng.integers(300)), int(rng.integers(410))
            for index in (
                np.s_[x : x + 9, y : y + 30],
                np.s_[x, y],
                np.s_[x, y:],
                np.s_[x : x + 30 : 7, y],
                np.s_[x:None:-9, ::-1],
            ):
                assert np.array_equal(z[index], a[index])
    assert sum(piece is not None for piece in calls) > 500


def test_damage_in_a_large_blosc_chunk_is_never_worse_than_decoding_it_whole() -> None:
    """Whatever a damaged header or a damaged table of blocks says: what decodes whole gives the same in part."""
    store = ndzarr.MemoryStore()
    a = np.arange(32768, dtype="i4").reshape(256, 128)
    z = ndzarr.create_array(
        store, shape=a.shape, chunks=a.shape, dtype="i4", compressor={"id": "blosc", "blocksize": 16384}, zarr_format=2
    )
    z[...] = a
    good = bytes(store.get("0.0"))
    for n in [*range(16 + 4 * 8), *range(60, len(good), 997)]:
        for bit in (1, 0x10, 0x80, 0xFF):
            store.set("0.0", good[:n] + bytes([good[n] ^ bit]) + good[n + 1 :])
            whole = without_shortcuts(lambda: outcome(lambda: z[3:5, 7:90]))
            found = outcome(lambda: z[3:5, 7:90])
            if isinstance(whole[0], type):  # by damage in a block that is not looked at now, perhaps
                assert isinstance(found[0], type) or found[0] == (2, 83)
            else:
                assert found == whole


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
        assert (ways["fast"] >= 20) == (compressor != ["zstd", "crc32c"])


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
        assert fast == without_shortcuts(lambda: outcome(lambda: z[...])), data
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


@pytest.mark.parametrize("index", [np.s_[...], np.s_[::3, ::-1], [0, 5, 9]])
def test_a_missing_chunk_is_looked_for_once(tmp_path: Path, index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    z = ndzarr.create_array(tmp_path, shape=(10, 10), chunks=(2, 2), dtype="i4", fill_value=7)
    want = np.full((10, 10), 7)
    want[4:6] = z[4:6] = 3
    opened: list[str] = []
    opens = os.open

    def noted(path: str, *arguments: Any) -> int:
        opened.append(path)
        return opens(path, *arguments)

    monkeypatch.setattr(os, "open", noted)
    got = z[index]
    monkeypatch.undo()
    np.testing.assert_array_equal(got, want[index])
    assert len(opened) == len(set(opened)) > 10
    with ndzarr.options(missing="raise"), pytest.raises(ndzarr.MissingChunkError):
        z[index]
    with ndzarr.options(missing="mask"):
        masked = z[index]
    np.testing.assert_array_equal(np.ma.getmaskarray(masked), want[index] == 7)


def test_an_empty_object_is_not_a_missing_one(tmp_path: Path) -> None:
    for compressor in (None, "zstd"):
        z = ndzarr.create_array(tmp_path, shape=(4,), chunks=(2,), dtype="i4", compressor=compressor, overwrite=True)
        z[...] = 1
        (tmp_path / "c" / "1").write_bytes(b"")
        with pytest.raises(ndzarr.CorruptChunkError):
            z[...]
