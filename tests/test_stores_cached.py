"""CachedStore: the suite, what is asked of the inner store, the limit, files, and what may never be served."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr
from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.stores.base import Store
from ndzarr.stores.cached import CachedStore
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.prefix import PrefixStore
from ndzarr.stores.sql import SQLStore
from ndzarr.testing.stores import StoreSuite


def batched(inner: Store) -> Store:
    inner.batched = True
    return inner


class TestCachedStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return CachedStore(MemoryStore())


class TestCachedFiles(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        self.path = tmp_path
        return CachedStore(LocalStore(tmp_path / "root"), path=tmp_path / "cache", validate="tag")

    def reopen(self, store: Store) -> Store:
        return CachedStore(LocalStore(self.path / "root"), path=self.path / "cache")

    def reopen_for_reading(self, store: Store) -> Store:
        return CachedStore(LocalStore(self.path / "root", readonly=True))


class TestCachedRows(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with CachedStore(SQLStore(f"sqlite:///{tmp_path}/a.db")) as store:
            yield store


class TestFaultyCachedStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return FaultStore(CachedStore(batched(FaultStore(MemoryStore())), limit=1 << 16))


class TestCachedStoreWithoutTags(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        inner = MemoryStore()
        inner.tagged = False
        return CachedStore(inner)


@pytest.fixture(params=["memory", "files"])
def cached(request: pytest.FixtureRequest, tmp_path: Path) -> CachedStore:
    """A cache over a store that counts."""
    inner = FaultStore(batched(LocalStore(tmp_path / "root")))
    return CachedStore(inner, path=None if request.param == "memory" else tmp_path / "cache")


@pytest.mark.parametrize("shards", [None, (40, 40)], ids=["chunks", "shards"])
@pytest.mark.parametrize("is_batched", [False, True], ids=["one by one", "batched"])
def test_the_second_read_of_an_array_asks_for_nothing(cached: CachedStore, shards: Any, is_batched: bool) -> None:
    values = np.arange(80 * 90, dtype="<i4").reshape(80, 90)
    cached.batched = is_batched
    create: dict[str, Any] = {"shape": values.shape, "dtype": values.dtype, "chunks": (20, 10), "shards": shards}
    ndzarr.create_array(cached.inner.inner, path="z", **create)[...] = values
    inner = cached.inner
    assert isinstance(inner, FaultStore)
    for part in (..., (slice(3, 70, 7), slice(None, None, -2)), (slice(None), 5)):
        np.testing.assert_array_equal(ndzarr.open(cached, path="z")[part], values[part])
        assert inner.log or part != ...
        inner.clear()
        np.testing.assert_array_equal(ndzarr.open(cached, path="z")[part], values[part])
        assert inner.log == []
    info = cached.info()
    assert info.hits > 0 < info.misses
    assert 0 < info.nbytes <= info.limit


def test_only_the_misses_go_down_and_in_one_call(cached: CachedStore) -> None:
    inner = cached.inner
    assert isinstance(inner, FaultStore)
    cached.set_many({f"k{n}": b"%d" % n for n in range(6)})
    for key in ("k1", "k3"):
        cached.get(key)
    inner.clear()
    wanted = [(f"k{n}", None) for n in range(6)] + [("none", None)]
    assert [bytes(v or b"") for v in cached.get_many(wanted)] == [b"0", b"1", b"2", b"3", b"4", b"5", b""]
    assert [call.op for call in inner.log] == ["get_many_tagged"]
    inner.clear()
    assert sorted((n, bytes(v or b"")) for n, v in cached.get_each(wanted))[5:] == [(5, b"5"), (6, b"")]
    assert [call.op for call in inner.log] == ["get_each"]  # for "none"
    info = cached.info()
    assert (info.hits, info.misses, info.hit_bytes, info.missed_bytes) == (2 + 6, 2 + 5 + 1, 8, 6)
    cached.clear()
    inner.clear()
    assert dict(cached.get_each(wanted))[6] is None
    assert [call.op for call in inner.log] == ["get_each"]


def test_ranges_come_out_of_whole_values_and_of_wider_ranges() -> None:
    inner = FaultStore(MemoryStore({"k": bytes(range(100)), "j": bytes(range(100))}))
    store = CachedStore(inner)
    store.get("k", ByteRange(10, 50))
    inner.clear()
    assert store.get("k", ByteRange(20, 30)) == bytes(range(20, 30))
    assert store.get("k", ByteRange(10, 50)) == bytes(range(10, 50))
    assert inner.log == []
    store.get("k", ByteRange(40, 60))
    store.get("k", ByteRange(-5))
    assert len(inner.log) == 2
    store.get("k", ByteRange(0, 1000))  # short: it is all there is
    inner.clear()
    assert store.get("k") == bytes(range(100))
    assert store.get("k", ByteRange(-7)) == bytes(range(93, 100))
    assert store.size("k") == 100
    assert store.exists("k")
    assert inner.log == []


def test_missing_is_asked_for_each_time(cached: CachedStore) -> None:
    assert cached.get("k") is None
    cached.inner.inner.set("k", b"1")  # by somebody else
    assert cached.get("k") == b"1"
    cached.inner.inner.set("k", b"2")
    assert cached.get("k") == b"1"  # "never"
    cached.clear()
    assert cached.get("k") == b"2"


# ---- changes --------------------------------------------------------------------------------

CHANGES = {
    "set": lambda s: s.set("a/k", b"new"),
    "set_if": lambda s: s.set_if("a/k", b"new", tag=s.get_tagged("a/k")[1]),
    "set_many": lambda s: s.set_many({"a/k": b"new"}),
    "set_many_if": lambda s: s.set_many_if({"a/k": (b"new", s.get_tagged("a/k")[1])}),
    "delete": lambda s: s.delete("a/k"),
    "delete_many": lambda s: s.delete_many(["a/k"]),
    "delete_prefix": lambda s: s.delete_prefix("a/"),
    "move_prefix": lambda s: s.move_prefix("a/", "b/"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_own_writes_are_seen_by_every_cache(cached: CachedStore, change: Any, tmp_path: Path) -> None:
    cached.set("a/k", b"old")
    cached.inner = cached.inner.inner  # a FaultStore moves nothing in one step
    others = [
        (CachedStore(LocalStore(tmp_path / "root")), "a/k"),
        (CachedStore(PrefixStore(LocalStore(tmp_path / "root"), "a")), "k"),
        (CachedStore(LocalStore(tmp_path / "root" / "a"), path=tmp_path / "cache"), "k"),
    ]
    for other, key in [*others, (cached, "a/k")]:
        assert other.get(key) == b"old"
        assert other.get(key, ByteRange(0, 2)) == b"ol"
    change(cached)
    now = LocalStore(tmp_path / "root").get("a/k")
    assert now != b"old"
    for other, key in [*others, (cached, "a/k")]:
        assert other.get(key) == now
        assert other.get(key, ByteRange(0, 2)) == (None if now is None else b"ne")


def test_what_was_read_while_it_was_written_is_not_kept() -> None:
    class Slow(MemoryStore):
        def get_tagged(self, key: str, range: ByteRange | None = None) -> Any:
            found = super().get_tagged(key, range)
            if during:
                during.pop()()
            return found

    during: list[Any] = []
    inner = Slow({"k": b"old"})
    store = CachedStore(inner)
    peer = CachedStore(inner)
    for write in (
        lambda: peer.set("k", b"new"),
        lambda: store.set("k", b"new"),
        lambda: store.delete_prefix("k"),
        lambda: peer.delete_prefix(""),
    ):
        inner.set("k", b"old")
        store.clear()
        during.append(write)
        assert store.get("k") == b"old"
        assert store.get("k") == inner.get("k") != b"old"


def test_a_failed_condition_drops_what_was_kept() -> None:
    inner = MemoryStore({"k": b"1"})
    store = CachedStore(inner)
    tag = store.get_tagged("k")[1]
    inner.set("k", b"2")
    assert store.set_if("k", b"3", tag=tag) is False
    assert store.get_tagged("k") == (b"2", b"2")


def test_pieces_of_two_versions_do_not_stay_together(cached: CachedStore) -> None:
    cached.set("k", b"old old old")
    first = cached.get_tagged("k", ByteRange(2, 3))
    cached.inner.inner.set("k", b"new new new")
    second = cached.get_tagged("k", ByteRange(4, 7))
    assert first[1] != second[1]
    assert cached.get_tagged("k", ByteRange(2, 3)) == (b"w", second[1])


def test_by_tag_every_change_is_seen(tmp_path: Path) -> None:
    inner = FaultStore(batched(LocalStore(tmp_path / "root")))
    for path in (None, tmp_path / "cache"):
        store = CachedStore(inner, validate="tag", path=path)
        inner.inner.set("k", b"1" * 1000)
        inner.inner.set("j", b"2" * 1000)
        for value in (b"3", b"4"):
            assert store.get_many([("k", None), ("j", None)]) == [inner.inner.get("k"), inner.inner.get("j")]
            now = [inner.inner.get("k"), inner.inner.get("j")]
            inner.clear()
            assert bytes(store.get("k", ByteRange(0, 2))) == inner.inner.get("k")[:2]
            assert [bytes(v) for _, v in store.get_each([("k", None), ("j", None)])] == now
            assert sum(call.nbytes or 0 for call in inner.log) == 0
            assert len(inner.log) == 2
            inner.inner.set("k", value * 1000)
            assert store.get("k") == value * 1000
        inner.inner.delete("k")
        assert store.get("k") is None
    with pytest.raises(ArgumentError, match="no tags"):
        CachedStore(_untagged(), validate="tag")


def _untagged() -> Store:
    store = MemoryStore()
    store.tagged = False
    return store


def test_transactions_are_not_seen_outside() -> None:
    class Transacting(MemoryStore):
        transactional = True

        @contextmanager
        def transaction(self) -> Iterator[None]:
            before = self._data.copy()
            try:
                yield
            except BaseException:
                self._data = before
                raise

    store = CachedStore(Transacting({"k": b"old"}))
    assert store.transactional
    store.get("k")

    def fail() -> None:
        with store.transaction():
            store.set("k", b"new")
            assert store.get("k") == b"new"
            raise KeyError("k")

    with pytest.raises(KeyError):
        fail()
    assert store.get("k") == b"old"
    with store.transaction():
        store.set("k", b"new")
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(store.get("k")))
        thread.start()
        thread.join()
    assert store.get("k") == b"new"
    assert seen


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_answers_as_the_inner_store_does(data: st.DataObject) -> None:
    inner = MemoryStore()
    stores = [CachedStore(inner, limit=data.draw(st.integers(0, 60))), CachedStore(PrefixStore(inner, "a")), CachedStore(inner)]
    keys = ["a/x", "a/y", "a/y/z"]
    for _ in [None] * data.draw(st.integers(1, 40)):
        store = data.draw(st.sampled_from(stores))
        key = data.draw(st.sampled_from(keys))
        mine = key[2:] if isinstance(store.inner, PrefixStore) else key
        start, n = data.draw(st.integers(-12, 12)), data.draw(st.none() | st.integers(0, 12))
        range = None if start == 0 and n is None else ByteRange(start, None if start < 0 or n is None else start + n)
        match data.draw(st.sampled_from(["get", "get", "get", "many", "set", "if", "delete", "prefix", "size"])):
            case "get":
                assert store.get(mine, range) == inner.get(key, range)
                assert store.get_tagged(mine, range) == inner.get_tagged(key, range)
            case "many":
                assert store.get_many([(mine, range), (mine, None)]) == inner.get_many([(key, range), (key, None)])
            case "set":
                store.set(mine, data.draw(st.binary(max_size=15)))
            case "if":
                store.set_if(mine, data.draw(st.binary(max_size=15)), tag=inner.get(key))
            case "delete":
                store.delete(mine)
            case "prefix":
                store.delete_prefix(mine[:-1])
            case "size":
                assert (store.size(mine), store.exists(mine)) == (inner.size(key), inner.exists(key))
        for one in stores:
            assert one.info().nbytes <= one.limit


# ---- limit and files --------------------------------------------------------------------------------


def test_the_limit_drives_out_what_was_not_used() -> None:
    inner = FaultStore(MemoryStore({key: bytes(40) for key in "abc"} | {"big": bytes(101)}))
    store = CachedStore(inner, limit="100 B")
    for key in ("a", "b", "a", "c", "big"):
        store.get(key)
    info = store.info()
    assert (info.nbytes, info.entries, info.evicted, info.hits, info.misses) == (80, 2, 1, 1, 4)
    inner.clear()
    store.get("a")
    store.get("c")
    assert inner.log == []
    store.get("b")
    assert len(inner.log) == 1
    assert store.info().hit_bytes == 120


@pytest.mark.parametrize(("limit", "nbytes"), [("256MiB", 256 << 20), ("1.5 kB", 1500), (7, 7), ("1GiB", 1 << 30), ("0", 0)])
def test_limits(limit: Any, nbytes: int) -> None:
    assert CachedStore(MemoryStore(), limit=limit).limit == nbytes


@pytest.mark.parametrize("limit", [-1, "many", None, 1.5, True, "5 XB"])
def test_what_is_no_limit(limit: Any) -> None:
    with pytest.raises(ArgumentError, match="limit is"):
        CachedStore(MemoryStore(), limit=limit)


def test_files_outlive_the_process(tmp_path: Path) -> None:
    inner = FaultStore(LocalStore(tmp_path / "root"))
    inner.inner.set_many({"a": b"1" * 100, "b": b"2" * 100})
    store = CachedStore(inner, path=tmp_path / "cache")
    store.get("a")
    store.get("b", ByteRange(3, 5))
    again = pickle.loads(pickle.dumps(store))
    inner.clear()
    again.inner.clear()
    assert again.get("a") == b"1" * 100
    assert again.get("b", ByteRange(3, 5)) == b"22"
    assert again.get_tagged("a")[1] == inner.inner.get_tagged("a")[1]
    assert again.inner.log == []
    other = CachedStore(FaultStore(LocalStore(tmp_path / "elsewhere")), path=tmp_path / "cache")
    assert other.get("a") is None


@pytest.mark.parametrize("damage", ["short", "long", "flipped", "empty", "other"])
def test_a_damaged_file_is_not_used(tmp_path: Path, damage: str) -> None:
    inner = FaultStore(LocalStore(tmp_path / "root"))
    inner.inner.set("a", b"value" * 100)
    store = CachedStore(inner, path=tmp_path / "cache")
    store.get("a")
    (file,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    data = file.read_bytes()
    flipped = bytearray(data)
    flipped[-7] ^= 1
    file.write_bytes(
        {"short": data[:-1], "long": data + b"x", "flipped": bytes(flipped), "empty": b"", "other": b"x" * 500}[damage]
    )
    inner.clear()
    assert store.get("a") == b"value" * 100
    assert len(inner.log) == 1
    assert file.read_bytes() == data


def test_the_limit_holds_for_the_directory(tmp_path: Path) -> None:
    inner = LocalStore(tmp_path / "root")
    inner.set_many({f"k{n}": bytes(1000) for n in range(40)})
    stores = [CachedStore(inner, path=tmp_path / "cache", limit=12_000) for _ in range(2)]
    for n in range(40):
        stores[n % 2].get(f"k{n}")
        held = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
        assert held <= 2 * 12_000
    assert sum(store.info().evicted for store in stores) > 10
    assert stores[0].info().entries > 5


def _hammer(folder: str, seed: int) -> None:
    store = CachedStore(LocalStore(f"{folder}/root"), path=f"{folder}/cache", limit=50_000)
    order = np.random.default_rng(seed)
    for _ in range(400):
        n = int(order.integers(30))
        value = store.get(f"k{n}", ByteRange(0, 2000) if order.random() < 0.3 else None)
        if bytes(value)[:2000] != bytes([n]) * 2000:
            sys.exit(3)
        if order.random() < 0.05:
            store.delete(f"gone{n}")
        if order.random() < 0.02:
            store.clear()


def test_processes_share_a_directory(tmp_path: Path) -> None:
    LocalStore(tmp_path / "root").set_many({f"k{n}": bytes([n]) * 4000 for n in range(30)})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(str(tmp_path), seed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot keep copies"):
        CachedStore(LocalStore(tmp_path / "root"), path=tmp_path / "file")
    store = CachedStore(MemoryStore({"a": b"1"}), path=tmp_path / "cache", name="mine")
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_bytes(b"")
    assert (store.get("a"), store.get("a")) == (b"1", b"1")
    for inner in (MemoryStore(), FaultStore(MemoryStore()), PrefixStore(MemoryStore(), "a")):
        with pytest.raises(ArgumentError, match="give a name"):
            CachedStore(inner, path=tmp_path / "other")


def test_failures_are_not_kept() -> None:
    inner = FaultStore(MemoryStore({"k": b"1"}), at=1, on=("get", "get_tagged"))
    store = CachedStore(inner)
    with pytest.raises(StoreError, match="injected"):
        store.get("k")
    assert store.get("k") == b"1"
    assert store._flights == set()


def test_threads() -> None:
    inner = MemoryStore({f"k{n}": bytes([n]) * 100 for n in range(20)})
    stores = [CachedStore(inner, limit=700), CachedStore(inner)]
    failed: list[Any] = []

    def work(seed: int) -> None:
        order = np.random.default_rng(seed)
        try:
            for _ in range(1500):
                n, store = int(order.integers(20)), stores[int(order.integers(2))]
                if order.random() < 0.1:
                    store.set(f"k{n}", bytes([n]) * int(order.integers(50, 150)))
                else:
                    value = bytes(store.get(f"k{n}") or b"")
                    assert value == bytes([n]) * len(value)
                    assert value
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for n in range(20):
        for store in stores:
            assert store.get(f"k{n}") == inner.get(f"k{n}")
