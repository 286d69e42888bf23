"""Stores of zarr-python as stores of ours."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore.store
import pytest
import zarr
import zarr.core.buffer.cpu
import zarr.core.sync
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, ObjectStore, StorePath, WrapperStore, ZipStore

import ndzarr
from ndzarr import ArgumentError, ReadOnlyError, StoreError, ZarrPythonStore
from ndzarr._typing import ByteRange
from ndzarr.stores.base import Store
from ndzarr.stores.bridge import at_once
from ndzarr.stores.registry import resolve
from ndzarr.testing import StoreSuite


class Suite(StoreSuite):
    def reopen_for_reading(self, store: Store) -> Store | None:
        assert isinstance(store, ZarrPythonStore)
        return ZarrPythonStore(store.store.with_read_only(True))


class TestMemoryStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(MemoryStore())


class TestLocalStore(Suite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ZarrPythonStore(LocalStore(tmp_path / "root"))

    def test_what_is_set_is_read_back(self, store: Store) -> None:
        # zarr-python's temporary file has a longer name than the key, so that one of 255 bytes cannot be written.
        with pytest.raises(StoreError, match="name too long"):
            store.set("x" * 255, b"1")
        for key in ("a", "b/c", "b/d/0.0", ".zarray", "x" * 200, "\N{GREEK SMALL LETTER ALPHA}/ b%20.c"):
            store.set(key, key.encode())
            assert bytes(store.get(key) or b"") == key.encode()
            assert store.size(key) == len(key.encode())


class Plain(WrapperStore):
    """A store without synchronous methods, such as others write."""

    _supports_sync_io = False


class TestAsynchronousMemoryStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(Plain(MemoryStore()))


class TestAsynchronousLocalStore(TestLocalStore):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ZarrPythonStore(Plain(LocalStore(tmp_path / "root")))


def in_memory(name: str) -> FsspecStore:
    fs = fsspec.filesystem("memory")
    if fs.exists(f"/{name}"):
        fs.rm(f"/{name}", recursive=True)
    return FsspecStore(AsyncFileSystemWrapper(fs, asynchronous=True), path=f"/{name}")


class TestFsspecStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(in_memory("suite"))


class TestLoggedFsspecStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(LoggingStore(in_memory("logged"), log_level="ERROR"))


class TestObjectStore(Suite):
    pickles = False  # obstore's MemoryStore refuses

    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(ObjectStore(obstore.store.MemoryStore()))


# ---- what the suite leaves open --------------------------------------------------------------------------------


class Broken(Plain):
    """Fails as stores do: `error` on every request, or what it says for keys in `only`."""

    def __init__(self, store: Any, error: Exception) -> None:
        super().__init__(store)
        self.error = error

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error

    set = set_if_not_exists = delete = exists = getsize = delete_dir = get

    async def list_prefix(self, prefix: str) -> Any:
        raise self.error
        yield

    list_dir = list_prefix


@pytest.mark.parametrize("error", [KeyError("a"), PermissionError(13, "no"), TimeoutError("slow"), ValueError("odd")], ids=repr)
def test_a_failure_is_not_a_missing_key(error: Exception) -> None:
    store = ZarrPythonStore(Broken(MemoryStore(), error))
    for call in (
        lambda: store.get("a"),
        lambda: store.get("a", ByteRange(0, 3)),
        lambda: store.get_many([("a", None), ("b", None)]),
        lambda: store.get_tagged("a"),
        lambda: store.size("a"),
        lambda: store.exists("a"),
        lambda: store.list(),
        lambda: store.list_dir(),
        lambda: store.set("a", b"1"),
        lambda: store.set_many({"a": b"1", "b": b"2"}),
        lambda: store.set_if("a", b"1", tag=None),
        lambda: store.delete("a"),
        lambda: store.delete_many(["a", "b"]),
        lambda: store.delete_prefix("a/"),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert type(error).__name__ in str(caught.value)
        assert caught.value.__cause__ is error


def test_a_lost_chunk_of_a_broken_store_is_no_fill_value() -> None:
    inner = MemoryStore()
    ndzarr.create_array(inner, shape=4, dtype="i4", chunks=2)[...] = 1
    z = ndzarr.open(inner)

    class Fails(Plain):
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            if key.startswith("c/"):
                raise FileNotFoundError(key)  # which a store has no business to raise
            return await super().get(key, *args, **kwargs)

    assert z[...].tolist() == [1] * 4
    with pytest.raises(StoreError, match="FileNotFoundError"):
        ndzarr.open(Fails(inner))[...]


class Counted(Plain):
    """Counts requests, and how many of them there are at a time."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.now = self.most = self.total = 0

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.002)
        self.now -= 1
        return await super().get(*args, **kwargs)


@pytest.mark.parametrize("most", [1, 4, 10])
def test_many_are_asked_for_at_once(most: int) -> None:
    counted = Counted(MemoryStore())
    store = ZarrPythonStore(counted)
    store.set_many({f"c/{n}": b"%d" % n for n in range(25)})
    with zarr.config.set({"async.concurrency": most}):
        found = store.get_many([(f"c/{n}", None) for n in range(30)])
    assert [None if value is None else bytes(value) for value in found] == [b"%d" % n for n in range(25)] + [None] * 5
    assert (counted.most, counted.total) == (most, 30)


def test_a_subclass_sees_every_call(tmp_path: Path) -> None:
    """zarr-python's own stores are asked by synchronous methods, which one that changed the others would not hear of."""
    seen = []

    class Mine(MemoryStore):
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            seen.append(("get", key))
            return await super().get(key, *args, **kwargs)

        async def set(self, key: str, *args: Any, **kwargs: Any) -> None:
            seen.append(("set", key))
            await super().set(key, *args, **kwargs)

    z = ndzarr.create_array(Mine(), shape=4, dtype="i4", chunks=2)
    z[...] = 1
    z[...]
    assert {("set", "c/0"), ("set", "c/1"), ("get", "c/0"), ("get", "c/1")} <= set(seen)


def test_a_store_that_says_too_late_that_it_waits() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits for something"):
        at_once(waits())


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    store = ZarrPythonStore(Plain(LocalStore(tmp_path / "none", read_only=True)))
    with pytest.raises(StoreError, match="does not exist"):
        store.get("a")
    with pytest.raises(StoreError, match="does not exist"):
        store.get_many([("a", None), ("b", None)])


def test_nothing_more_is_asked_for_after_a_failure() -> None:
    asked = []

    class Fails(Plain):
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            asked.append(key)
            await asyncio.sleep(0.001)
            if key == "c/3":
                raise TimeoutError("slow")
            return await super().get(key, *args, **kwargs)

    with zarr.config.set({"async.concurrency": 2}), pytest.raises(StoreError, match=r"'c/3'.*slow"):
        ZarrPythonStore(Fails(MemoryStore())).get_many([(f"c/{n}", None) for n in range(100)])
    assert len(asked) < 10


def test_a_range_costs_one_request() -> None:
    counted = Counted(MemoryStore())
    store = ZarrPythonStore(counted)
    store.set("a", b"0123456789")
    for wanted, want in ((ByteRange(2, 5), b"234"), (ByteRange(-3), b"789"), (ByteRange(4), b"456789"), (None, b"0123456789")):
        counted.total = 0
        assert bytes(store.get("a", wanted) or b"") == want
        assert counted.total == 1


def test_it_can_be_called_from_the_loop_itself(tmp_path: Path) -> None:
    """Where zarr-python's own functions would refuse, since they would wait for themselves."""
    z = ndzarr.create_array(Plain(LocalStore(tmp_path)), shape=100, dtype="i4", chunks=5)

    async def inside() -> int:
        z[...] = 3
        return int(z[...].sum())

    assert zarr.core.sync.sync(inside()) == 300
    assert asyncio.run(inside()) == 300


def test_stores_over_stores_over_stores_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """More reads at a time than any pool has threads, through zarr-python twice."""
    outer = ndzarr.zarr_store(ndzarr.FaultStore(ZarrPythonStore(Plain(LocalStore(tmp_path)))))
    a = zarr.create_array(outer, shape=400, chunks=2, dtype="i4")
    with zarr.config.set({"async.concurrency": 200}):
        a[...] = np.arange(400)
        assert np.array_equal(a[...], np.arange(400))
    assert np.array_equal(ndzarr.open(outer)[...], np.arange(400))


def _add_up(node: Any) -> int:
    return int(node[...].sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        assert os.name == "nt"
        return
    z = ndzarr.create_array(Plain(LocalStore(tmp_path)), shape=1000, dtype="i4", chunks=10)
    z[...] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons' word on forking with threads
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map_async(_add_up, [z] * 4).get(60) == [1000] * 4


def _fails(node: Any) -> str:
    try:
        node[...]
    except StoreError as error:
        return str(error)
    return "no error"


def test_a_store_that_does_not_outlive_a_fork_says_so() -> None:
    """obstore would wait for ever for threads that the child does not have."""
    if "fork" not in multiprocessing.get_all_start_methods():
        assert os.name == "nt"
        return
    z = ndzarr.create_array(ObjectStore(obstore.store.MemoryStore()), shape=10, dtype="i4", chunks=5)
    z[...] = 1
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.write(writing, _fails(z).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert "obstore has no threads here" in told.read()
    assert os.waitpid(child, 0)[1] == 0
    assert z[...].sum() == 10


# ---- how it is opened --------------------------------------------------------------------------------


def test_open_and_create_take_any_store(zarr_format: int) -> None:
    for inner in (MemoryStore(), Plain(MemoryStore()), in_memory("any"), ObjectStore(obstore.store.MemoryStore())):
        group = ndzarr.create_group(inner, attributes={"a": 1})
        z = group.create_array("b/c", shape=(7, 9), dtype="f4", chunks=(2, 4), fill_value=0)
        z[...] = np.arange(63).reshape(7, 9)
        theirs = zarr.open_group(inner, mode="r+")
        assert theirs.metadata.zarr_format == zarr_format
        assert np.array_equal(theirs["b/c"][...], z[...])
        theirs["b/c"][0] = 5
        assert z[0].tolist() == [5] * 9
        assert list(ndzarr.open(inner)) == ["b"]
        assert type(z.store) is ZarrPythonStore
        assert z.store.store is inner
        assert z.nbytes_stored > 0
        ndzarr.delete(inner, "b")
        assert list(ndzarr.open(inner)) == []


def test_open_takes_their_arrays_and_groups(tmp_path: Path) -> None:
    for inner in (MemoryStore(), LocalStore(tmp_path)):
        root = zarr.create_group(inner)
        a = root.create_array("b/c", data=np.arange(6))
        for z in (
            ndzarr.open(a),
            ndzarr.open_array(a),
            ndzarr.open(root, path="b/c"),
            ndzarr.open(root["b"], path="c"),
            ndzarr.open_group(root)["b/c"],
            ndzarr.open(StorePath(inner, "b"), path="c"),
            ndzarr.open(a.store_path),
        ):
            assert z.path == "b/c"
            assert z[...].tolist() == [0, 1, 2, 3, 4, 5]
        assert ndzarr.open_array(root, "w", path="d", shape=3, dtype="i4").path == "d"
        assert sorted(root) == ["b", "d"]
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.open(root, path="none")


def test_read_only_stores() -> None:
    inner = MemoryStore()
    ndzarr.create_array(inner, shape=3, dtype="i4")[...] = 1
    reader = inner.with_read_only(True)
    assert ndzarr.open(reader)[...].tolist() == [1, 1, 1]
    with pytest.raises(ReadOnlyError):
        ndzarr.open(reader, "r+")[0] = 1
    with pytest.raises(ReadOnlyError):
        ndzarr.create_array(reader, shape=3, dtype="i4", path="b")


def test_local_store_becomes_ours(tmp_path: Path) -> None:
    ours = resolve(LocalStore(tmp_path))
    assert type(ours) is ndzarr.LocalStore
    assert ours.root == str(tmp_path)
    assert ours.writable
    assert not resolve(LocalStore(tmp_path, read_only=True)).writable

    class Mine(LocalStore):
        pass

    assert type(resolve(Mine(tmp_path))) is ZarrPythonStore


def test_what_zarr_store_made_is_taken_apart(tmp_path: Path) -> None:
    inner = ndzarr.LocalStore(tmp_path)
    assert resolve(ndzarr.zarr_store(inner)) is inner
    reader = resolve(ndzarr.zarr_store(inner, read_only=True))
    assert not reader.writable
    with pytest.raises(ReadOnlyError):
        reader.set("a", b"1")


def test_options_make_no_sense() -> None:
    with pytest.raises(ArgumentError, match="readonly"):
        ndzarr.open(MemoryStore(), readonly=True)


@pytest.mark.parametrize("what", [5, "memory://x", {}, ndzarr.MemoryStore(), zarr.storage])
def test_what_is_no_store_of_theirs(what: Any) -> None:
    with pytest.raises(ArgumentError, match="expected a store of zarr-python 3"):
        ZarrPythonStore(what)


def test_a_zip_store_of_theirs(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "a.zip", mode="w") as theirs:
        ndzarr.create_array(theirs, shape=(10, 10), dtype="i4", chunks=5)[...] = 4
    assert ndzarr.open(tmp_path / "a.zip")[...].sum() == 400
    with ndzarr.open(ZipStore(tmp_path / "a.zip", mode="r")).store as store:
        assert not store.writable
        assert ndzarr.open(store)[...].sum() == 400


def test_delete_of_a_folder_removes_nothing(tmp_path: Path) -> None:
    for inner in (LocalStore(tmp_path), Plain(LocalStore(tmp_path))):
        store = ZarrPythonStore(inner)
        store.set("a/b", b"1")
        store.delete("a")
        store.delete_many(["a", "x"])
        assert list(store.list()) == ["a/b"]
        assert not store.exists("a")
        assert store.size("a") is None


@pytest.mark.parametrize("held", ["lock", "lock_node"])
def test_a_store_of_ours_on_the_same_directory_waits(tmp_path: Path, held: str) -> None:
    z = ndzarr.create_array(tmp_path, shape=(4,), chunks=(2,), dtype="i4", compressor=None)
    z[:] = 1
    key = "c/0" if held == "lock" else "zarr.json"
    entered = threading.Event()

    def enter() -> None:
        with getattr(ndzarr.LocalStore(tmp_path), held)(key):
            entered.set()

    thread = threading.Thread(target=enter)
    with getattr(ZarrPythonStore(LocalStore(tmp_path)), held)(key):
        thread.start()
        assert not entered.wait(0.05)
    thread.join()
    assert entered.is_set()


def test_locks_are_those_of_the_directory(tmp_path: Path) -> None:
    ours, theirs, logged = (
        ndzarr.LocalStore(tmp_path),
        LocalStore(tmp_path),
        LoggingStore(LocalStore(tmp_path), log_level="ERROR"),
    )
    assert ours.object_id("a") == ZarrPythonStore(theirs).object_id("a") == ZarrPythonStore(logged).object_id("a")
    memory = MemoryStore()
    assert ZarrPythonStore(memory).object_id("a") == ZarrPythonStore(memory.with_read_only(True)).object_id("a")
    assert in_memory("one").fs is not None
    assert ZarrPythonStore(in_memory("one")).object_id("a") == ZarrPythonStore(in_memory("one")).object_id("a")
    assert ZarrPythonStore(in_memory("one")).object_id("a") != ZarrPythonStore(in_memory("two")).object_id("a")


def test_set_if_of_many_threads_lets_one_win() -> None:
    store = ZarrPythonStore(Plain(MemoryStore()))
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.set_if("a", b"same", tag=None), range(32)))
    assert sum(won) == 1


def test_a_creator_from_elsewhere_wins() -> None:
    """Between the look and the write, which the store does in one step, somebody else was there."""

    class Raced(Plain):
        async def set_if_not_exists(self, key: str, value: Any) -> None:
            await super().set(key, zarr.core.buffer.cpu.Buffer.from_bytes(b"theirs"))
            await super().set_if_not_exists(key, value)

    store = ZarrPythonStore(Raced(MemoryStore()))
    assert store.set_if("a", b"ours", tag=None) is False
    assert bytes(store.get("a") or b"") == b"theirs"
