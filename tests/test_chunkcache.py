"""Decoded chunks kept: never an old one shown, never more memory than allowed, never memory of the cache's own given out."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.chunkcache import ChunkCache, cache_of
from ndzarr.engine import Engine
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.testing import expressions
from ndzarr.testing.outcomes import difference, read, write

MiB = 1 << 20


def new_store(where: str, tmp_path: Path) -> Store:
    if where == "local":
        return ndzarr.LocalStore(tmp_path / "a")
    return ndzarr.MemoryStore() if where == "memory" else ndzarr.MappingStore({})


def numbers(*shape: int, dtype: str = "i4") -> Any:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=dtype).reshape(shape)


def counted(z: Any) -> tuple[int, int]:
    return z.chunk_cache.hits, z.chunk_cache.misses


def chunk_calls(store: FaultStore, act: Any) -> list[tuple[str, str]]:
    """The calls about chunks that `act()` makes, as (operation, key)."""
    store.log.clear()
    act()
    return [(call.op, call.key) for call in store.log if call.key and call.key.startswith("c/")]


# ---- NumPy is right --------------------------------------------------------------------------------


def same(handle: Any, model: Any, index: Any) -> None:
    got, want = read(handle, index), read(model, index)
    assert difference(got, want) is None, (index, difference(got, want))
    if isinstance(got.value, np.ndarray) and got.value.size and not got.value.dtype.hasobject:
        got.value[...] = got.value.flat[-1]  # what was given out is the caller's: nothing in the cache may change by it


@pytest.mark.parametrize("limit", [1, 60, "1 MiB"])
@pytest.mark.parametrize("where", ["memory", "local", "mapping"])
@pytest.mark.parametrize("seed", range(60))
def test_reads_and_writes_by_several_handles(where: str, limit: Any, seed: int, tmp_path: Path) -> None:
    choices = expressions.RandomChoices(f"chunk cache {where} {limit} {seed}")
    sample = expressions.sample(choices)
    store = new_store(where, tmp_path)
    ndzarr.create_array(store, **sample.keywords)
    cached = [ndzarr.open_array(store, "r+", chunk_cache=limit) for _ in range(2)]
    handles = [*cached, ndzarr.open_array(store, "r+")]
    sample.fill_into(cached[0])
    model = sample.data.copy()
    for n in range(12):
        index = expressions.index(choices, model.shape)
        if choices.chance(35):
            selected = read(model, index)
            new = expressions.value(choices, np.shape(selected.value), model.dtype) if selected.error is None else 0
            before = model.copy()
            want = write(model, index, new)
            got = write(choices.pick(handles), index, new)
            assert difference(got, want) is None, (index, difference(got, want))
            if want.error is not None:
                model = before
        else:
            same(choices.pick(cached), model, index)
        if choices.chance(25) and model.ndim and model.size:
            if choices.chance(50):
                shape = tuple(choices.integer(1, k + 2) for k in model.shape)
                choices.pick(handles).resize(shape)
                grown = np.full(shape, sample.keywords["fill_value"], model.dtype)
                common = tuple(slice(min(a, b)) for a, b in zip(shape, model.shape, strict=True))
                grown[common] = model[common]
                model = grown
            else:
                rows = expressions.pattern((choices.integer(1, 3), *model.shape[1:]), model.dtype, n)
                choices.pick(handles).append(rows)
                model = np.concatenate([model, rows]).astype(model.dtype)
            for handle in handles:
                handle.refresh()
        for handle in cached:
            assert handle.chunk_cache is not None
            assert handle.chunk_cache.nbytes <= handle.chunk_cache.limit
    for handle in cached:
        same(handle, model, ...)
        same(handle, model, ...)


def test_seldom_used_ways_of_reading_go_through_it_too() -> None:
    a = numbers(30, 20)
    store = ndzarr.MemoryStore()
    made = ndzarr.create_array(store, shape=a.shape, dtype=a.dtype, chunks=(7, 6))
    made[...] = a
    z = ndzarr.open_array(store, chunk_cache=MiB)
    for _ in range(2):
        assert z[11, 3] == a[11, 3]
        np.testing.assert_array_equal(z.oindex[[3, 20], [1, 1, 5]], a[np.ix_([3, 20], [1, 1, 5])])
        np.testing.assert_array_equal(z.vindex[[3, 20], [1, 5]], a[[3, 20], [1, 5]])
        np.testing.assert_array_equal(z.blocks[1, 1:3], a[7:14, 6:18])
        np.testing.assert_array_equal(np.asarray(z.lazy[::-2, 4]), a[::-2, 4])
        assert np.sum(z) == a.sum()
    hits, misses = counted(z)
    assert misses == 20
    assert hits > misses


# ---- what is asked of the store ----------------------------------------------------------------------


def test_a_chunk_is_fetched_once_and_then_only_checked() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    a = numbers(40, 40)
    ndzarr.create_array(store, shape=a.shape, dtype=a.dtype, chunks=(20, 20))[...] = a
    z = ndzarr.open_array(store, chunk_cache=MiB)
    first = chunk_calls(store, lambda: z[5:25, 3])
    assert first == [("get_tagged", "c/0/0"), ("get_tagged", "c/1/0")]
    assert [call.nbytes for call in store.log] != [1, 1]
    for act in (lambda: z[5:25, 3], lambda: z[0:30:7, [4, 5]], lambda: (z[1, 1], z[39, 2])):
        assert chunk_calls(store, act) == first
        assert [call.nbytes for call in store.log] == [1, 1]
    assert counted(z) == (6, 2)


def test_of_shards_the_chunks_are_kept_singly() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    a = numbers(64, 64)
    ndzarr.create_array(store, shape=a.shape, dtype=a.dtype, chunks=(8, 8), shards=(32, 32))[...] = a
    z = ndzarr.open_array(store, chunk_cache=MiB)
    assert len(chunk_calls(store, lambda: z[0:8, 0:8])) == 2  # the index, the chunk
    assert chunk_calls(store, lambda: z[2:8, 0:8]) == [("get_tagged", "c/0/0")]
    assert store.log[-1].nbytes == 1
    assert counted(z) == (1, 1)
    np.testing.assert_array_equal(z[4:12, 4:12], a[4:12, 4:12])
    assert counted(z) == (2, 4)
    np.testing.assert_array_equal(z[...], a)
    assert counted(z) == (6, 64)
    assert len(chunk_calls(store, lambda: z[...])) == 4
    assert counted(z) == (70, 64)


def test_without_tags_the_bytes_are_compared() -> None:
    data: dict[str, bytes] = {}
    a = numbers(40, 40)
    ndzarr.create_array(data, shape=a.shape, dtype=a.dtype, chunks=(20, 20))[...] = a
    z = ndzarr.open_array(data, chunk_cache=MiB)
    for _ in range(2):
        np.testing.assert_array_equal(z[...], a)
    assert counted(z) == (4, 4)
    data["c/0/0"], data["c/1/1"] = data["c/1/1"], data["c/0/0"]
    np.testing.assert_array_equal(z[:20, :20], a[20:, 20:])
    sharded: dict[str, bytes] = {}
    ndzarr.create_array(sharded, shape=a.shape, dtype=a.dtype, chunks=(10, 10), shards=(20, 20))[...] = a
    z = ndzarr.open_array(sharded, chunk_cache=MiB)
    np.testing.assert_array_equal(z[...], a)
    np.testing.assert_array_equal(z[...], a)
    assert counted(z) == (0, 0)


def test_off_by_default_and_then_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChunkCache, "put", lambda *args: pytest.fail("there is no cache"))
    for z in (ndzarr.zeros((4, 4)), ndzarr.zeros((4, 4), chunk_cache=None), ndzarr.zeros((4, 4), chunk_cache=0)):
        assert z.chunk_cache is None
        z[...] = 1
        assert z[...].sum() == 16


# ---- writes by others ----------------------------------------------------------------------


@pytest.mark.parametrize("shards", [None, (4, 4)])
@pytest.mark.parametrize("where", ["memory", "local", "mapping", "zip"])
def test_what_another_handle_has_written_is_seen_at_once(where: str, shards: Any, tmp_path: Path) -> None:
    store = ndzarr.ZipStore(tmp_path / "a.zip", "a") if where == "zip" else new_store(where, tmp_path)
    writer = ndzarr.create_array(store, shape=(8, 8), dtype="i4", chunks=(2, 2), shards=shards)
    z = ndzarr.open_array(store, chunk_cache=MiB)
    for n in range(1, 6):
        writer[:3, :5] = n
        assert (z[:3, :5] == n).all()
        assert z[2, 4] == n
    writer[...] = 0  # chunks of fill values are deleted
    assert (z[...] == 0).all()
    store.close()


def test_what_another_program_has_written_is_seen(tmp_path: Path) -> None:
    ndzarr.create_array(tmp_path / "a", shape=(4,), dtype="i4", chunks=(4,), compressor="zstd")[...] = 1
    ndzarr.create_array(tmp_path / "b", shape=(4,), dtype="i4", chunks=(4,), compressor="zstd")[...] = 2
    z = ndzarr.open_array(tmp_path / "a", chunk_cache=MiB)
    assert z[:].tolist() == [1] * 4
    (tmp_path / "b/c/0").replace(tmp_path / "a/c/0")
    assert z[:].tolist() == [2] * 4
    (tmp_path / "a/c/0").write_bytes(b"no frame")
    with pytest.raises(ndzarr.CorruptChunkError, match="zstd"):
        z[0]
    (tmp_path / "a/c/0").unlink()
    assert z[:].tolist() == [0] * 4
    assert z.chunk_cache is not None
    with ndzarr.options(missing="raise"), pytest.raises(ndzarr.MissingChunkError):
        z[:]


@pytest.mark.parametrize("again", [{"dtype": "f4"}, {"chunks": (4,)}, {"compressor": "gzip"}, {"order": "F"}])
def test_an_array_made_anew_shares_nothing_with_the_one_before(again: dict[str, Any]) -> None:
    store = ndzarr.MemoryStore()
    g = ndzarr.open_group(store, "w", chunk_cache=MiB)
    create: dict[str, Any] = {"shape": (8,), "dtype": "i4", "chunks": (8,)}
    g.create_array("x", **create)[...] = numbers(8)
    assert g["x"][:].tolist() == list(range(1, 9))
    new = g.create_array("x", **{**create, **again}, overwrite=True)
    assert g["x"][:].tolist() == [0] * 8
    new[...] = numbers(8)[::-1]
    assert g["x"][:].tolist() == list(range(8, 0, -1))


@pytest.mark.parametrize("shards", [None, (8,)])
def test_bytes_that_mean_something_else_now_are_decoded_anew(shards: Any) -> None:
    """The object is the same, and so its tag; another program has changed the array's document."""
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, path="x", shape=(8,), dtype="i4", chunks=(8,), shards=shards, compressor=None)[...] = 1 << 29
    g = ndzarr.open_group(store, chunk_cache=MiB)
    assert g["x"][:].tolist() == [1 << 29] * 8
    document = bytes(store.get("x/zarr.json") or b"")
    store.set("x/zarr.json", document.replace(b'"int32"', b'"float32"').replace(b'"fill_value": 0', b'"fill_value": 0.0'))
    assert g["x"][:].tolist() == [2.0**-63] * 8


@pytest.mark.parametrize("shards", [None, (8, 8)])
def test_no_thread_reads_what_was_there_before_a_write_that_was_done(shards: Any) -> None:
    store = ndzarr.MemoryStore()
    writer = ndzarr.create_array(store, shape=(16, 16), dtype="i8", chunks=(4, 4), shards=shards, compressor="zstd")
    z = ndzarr.open_array(store, chunk_cache=1024)  # a part of the chunks
    written = [0]
    faults: list[Any] = []
    stop = threading.Event()

    def look(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            least = written[0]
            x, y = rng.integers(0, 12, 2).tolist()
            found = z[x : x + 5, y : y + 5]
            if found.min() < least:
                faults.append((found.min(), least))

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for n in range(1, 150):
            writer[...] = n
            written[0] = n
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert z.chunk_cache is not None
    assert z.chunk_cache.nbytes <= 1024
    assert z.chunk_cache.nbytes == sum(held.nbytes for held in z.chunk_cache._held.values())


def test_a_shard_rewritten_in_between_is_read_of_one_version() -> None:
    """Of a shard of which some chunks are kept, the others are fetched after the tag was asked for."""
    store = ndzarr.MemoryStore()
    writer = ndzarr.create_array(store, shape=(8,), dtype="i4", chunks=(2,), shards=(8,))
    writer[...] = 1
    z = ndzarr.open_array(store, chunk_cache=MiB)
    assert z[:4].tolist() == [1] * 4
    plain = Engine.fetch_shard
    turns = [2]

    def fetch(engine: Engine, *args: Any) -> Any:
        if turns:
            writer[...] = turns.pop()
        return plain(engine, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "fetch_shard", fetch)
        assert z[...].tolist() == [2] * 8
    assert not turns


# ---- memory --------------------------------------------------------------------------------


def test_the_least_recently_used_are_dropped() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(40,), dtype="u1", chunks=(10,))[...] = numbers(40, dtype="u1")
    z = ndzarr.open_array(store, chunk_cache=30)
    cache = z.chunk_cache
    assert cache is not None
    for chunk in (0, 1, 2, 0, 3):
        z[10 * chunk]
    assert (cache.nbytes, cache.limit, len(cache)) == (30, 30, 3)
    assert counted(z) == (1, 4)
    z[0], z[20], z[30]
    assert counted(z) == (4, 4)
    z[10]
    assert counted(z) == (4, 5)
    cache.clear()
    assert (cache.nbytes, len(cache)) == (0, 0)
    assert counted(z) == (4, 5)
    assert z[...].tolist() == list(range(1, 41))


def test_chunks_larger_than_the_cache_are_read_as_without() -> None:
    store = FaultStore(ndzarr.MemoryStore())
    ndzarr.create_array(store, shape=(40,), dtype="u1", chunks=(20,), compressor=None)[...] = numbers(40, dtype="u1")
    z = ndzarr.open_array(store, chunk_cache=19)
    assert z[5] == 6
    assert z[5:9].tolist() == [6, 7, 8, 9]
    assert [call.nbytes for call in store.calls("get") if call.key == "c/0"] == [1, 4]
    assert counted(z) == (0, 0)


@pytest.mark.parametrize("where", ["memory", "local", "mapping"])
@pytest.mark.parametrize("compressor", [None, "zstd", "crc32c"])
@pytest.mark.parametrize("shards", [None, (16, 16)])
def test_a_chunk_keeps_no_more_than_itself_in_memory(where: str, compressor: Any, shards: Any, tmp_path: Path) -> None:
    store = new_store(where, tmp_path)
    a = numbers(32, 32)
    ndzarr.create_array(store, shape=a.shape, dtype=a.dtype, chunks=(8, 8), shards=shards, compressor=compressor)[...] = a
    z = ndzarr.open_array(store, chunk_cache=MiB)
    z[...], z[0, 0], z[3:30, 4:9]
    assert z.chunk_cache is not None
    for held in z.chunk_cache._held.values():
        owner: Any = held.chunk
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        assert memoryview(owner).nbytes == held.chunk.nbytes == 256
        assert not held.chunk.flags.writeable
    np.testing.assert_array_equal(z[...], a)


def test_elements_that_a_caller_could_change_are_not_kept() -> None:
    z = ndzarr.create_array(None, shape=(2,), dtype=object, filters=["json2"], zarr_format=2, chunk_cache=MiB, fill_value=None)
    z[...] = np.array([None, {"a": 1}], object)
    for _ in range(2):
        z[1]["a"] = 2
        z[:][1]["a"] = 2
    assert z[1] == {"a": 1}
    text = ndzarr.create_array(None, shape=(2,), dtype=str, chunk_cache=MiB)
    text[...] = ["x" * 1000, "y"]
    assert text[0] == text[:][0] == "x" * 1000
    assert counted(z) == counted(text) == (0, 0)


def test_records_given_out_are_copies() -> None:
    z = ndzarr.create_array(None, shape=(2,), dtype=[("a", "i4"), ("b", "f8")], chunk_cache=MiB)
    z[...] = [(1, 2.0), (3, 4.0)]
    z[1]["a"] = 9
    assert z[1].item() == (3, 4.0)
    assert z["a"].tolist() == [1, 3]
    assert z["b", 1] == 4.0


# ---- handles --------------------------------------------------------------------------------


def test_a_group_shares_its_cache_with_its_members() -> None:
    store = ndzarr.MemoryStore()
    g = ndzarr.create_group(store, chunk_cache="1MiB", members={"a/x": {"data": numbers(4)}, "y": {"data": numbers(4)}})
    assert g.chunk_cache is not None
    assert g["a"].chunk_cache is g["a/x"].chunk_cache is g["y"].chunk_cache is g.chunk_cache
    assert g["a/x"][:].tolist() == g["y"][:].tolist() == g["a"]["x"][:].tolist() == [1, 2, 3, 4]
    assert counted(g) == (1, 2)
    assert g.create_array("z", shape=(2,), dtype="i4").chunk_cache is g.chunk_cache
    assert g.create_group("h").chunk_cache is g.chunk_cache
    ndzarr.consolidate(store)
    again = ndzarr.open(store, chunk_cache=5000)
    assert again.chunk_cache is not None
    assert again.chunk_cache.limit == again["a/x"].chunk_cache.limit == 5000
    assert ndzarr.open_group(store, "a")["y"].chunk_cache is None


@pytest.mark.parametrize("node", ["array", "group"])
def test_a_pickle_has_the_limit_and_no_chunks(node: str, tmp_path: Path) -> None:
    g = ndzarr.open_group(tmp_path, "w", chunk_cache=MiB)
    g["x"] = np.zeros((100, 100))
    g["x"][...] = numbers(100, 100)
    g["x"][...]
    assert g.chunk_cache is not None
    assert g.chunk_cache.nbytes == 80_000
    data = pickle.dumps(g["x"] if node == "array" else g)
    assert len(data) < 2000
    copy = pickle.loads(data)
    assert (copy.chunk_cache.limit, copy.chunk_cache.nbytes) == (MiB, 0)
    found = copy if node == "array" else copy["x"]
    np.testing.assert_array_equal(found[...], numbers(100, 100))


def test_modes_that_create_take_it_too(tmp_path: Path) -> None:
    for mode in ("w", "a", "r+", "r"):
        z = ndzarr.open_array(tmp_path / "a", mode, shape=(2,), dtype="i4", chunk_cache=100)
        assert z.chunk_cache is not None
        assert z.chunk_cache.limit == 100
        g = ndzarr.open_group(tmp_path / "g", mode, chunk_cache=100)
        assert g.chunk_cache is not None
    assert "0 chunks" in repr(z.chunk_cache)
    assert ndzarr.zeros((2,), chunk_cache=100).chunk_cache is not None


@pytest.mark.parametrize(
    ("argument", "limit"),
    [
        (1, 1),
        (np.int64(5), 5),
        ("100", 100),
        ("256MiB", 256 << 20),
        ("256 mib", 256 << 20),
        ("1.5 KiB", 1536),
        ("2kB", 2000),
        (" 1 GB ", 10**9),
        ("1B", 1),
    ],
)
def test_sizes(argument: Any, limit: int) -> None:
    cache = cache_of(argument)
    assert cache is not None
    assert cache.limit == limit
    assert cache


@pytest.mark.parametrize("argument", [-1, 1.5, "much", "1 XB", "-1", "", True, [1], "1e9"])
def test_what_is_no_size_is_refused(argument: Any, tmp_path: Path) -> None:
    for make in (
        lambda: ndzarr.create_array(tmp_path, shape=(2,), dtype="i4", chunk_cache=argument),
        lambda: ndzarr.create_group(tmp_path, chunk_cache=argument),
        lambda: ndzarr.open_group(tmp_path, "a", chunk_cache=argument),
        lambda: ndzarr.open_array(tmp_path, "w", shape=(2,), dtype="i4", chunk_cache=argument),
    ):
        with pytest.raises(ndzarr.ArgumentError, match="chunk_cache"):
            make()
    assert not [*tmp_path.iterdir()]
    assert cache_of(None) is cache_of(0) is cache_of("0") is None
