"""PrefixStore and ReadOnlyStore: the store suite, what they hand on, and what they refuse."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError, ReadOnlyError, StoreError
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.prefix import PrefixStore
from ndzarr.stores.readonly import ReadOnlyStore
from ndzarr.stores.sql import SQLStore
from ndzarr.stores.wrapper import WrapperStore
from ndzarr.testing.stores import HOSTILE_KEYS, StoreSuite, verbs


class Everything(MemoryStore):
    """A store with all that a store may have; says which method was called."""

    batched = True
    transactional = True

    def __init__(self) -> None:
        super().__init__()
        self.called: list[tuple[str, Any]] = []

    def get_many(self, requests):
        requests = list(requests)
        self.called.append(("get_many", requests))
        return super().get_many(requests)

    def get_many_tagged(self, requests):
        requests = list(requests)
        self.called.append(("get_many_tagged", requests))
        return super().get_many_tagged(requests)

    def get_each(self, requests):
        requests = list(requests)
        self.called.append(("get_each", requests))
        yield from reversed(list(enumerate(super().get_many(requests))))

    def set_many(self, items):
        self.called.append(("set_many", list(items)))
        super().set_many(items)

    def set_many_if(self, items):
        self.called.append(("set_many_if", list(items)))
        return super().set_many_if(items)

    def delete_many(self, keys):
        keys = list(keys)
        self.called.append(("delete_many", keys))
        super().delete_many(keys)

    def delete_prefix(self, prefix):
        self.called.append(("delete_prefix", prefix))
        super().delete_prefix(prefix)

    def move_prefix(self, old, new):
        self.called.append(("move_prefix", (old, new)))
        return True

    def flush(self):
        self.called.append(("flush", None))

    def close(self):
        self.called.append(("close", None))

    @contextmanager
    def transaction(self) -> Iterator[str]:
        self.called.append(("transaction", None))
        before = self._data.copy()
        try:
            yield "transaction"
        except BaseException:
            self._data.clear()
            self._data.update(before)
            raise


class TestWrapperStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return WrapperStore(MemoryStore())


class TestPrefixStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return PrefixStore(MemoryStore({"a": b"not there", "p": b"nor this", "p2/q": b"nor that", "pq": b""}), "p")


class TestPrefixStoreOfRows(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with PrefixStore(SQLStore(f"sqlite:///{tmp_path}/a.db"), "p") as store:
            yield store


class TestPrefixStoreOfFiles(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return PrefixStore(LocalStore(tmp_path / "root"), "/deep//in\\it/")

    def reopen_for_reading(self, store: Store) -> Store:
        return ReadOnlyStore(store)


class TestFaultyPrefixStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return FaultStore(PrefixStore(FaultStore(Everything()), "p"))

    def reopen_for_reading(self, store: Store) -> Store:
        return FaultStore(ReadOnlyStore(store))


WRAPPERS = {"prefix": lambda inner: PrefixStore(inner, "p"), "plain": WrapperStore}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_batches_go_down_as_batches(wrap: Any) -> None:
    inner = Everything()
    store, p = wrap(inner), "p/" if wrap is WRAPPERS["prefix"] else ""
    assert store.set_many_if({"a": (b"1", None)}) == {"a": True}
    assert store.set_many_if({"a": (b"2", None), "b": (b"3", None)}) == {"a": False, "b": True}
    store.set_many({"c": b"45", "d/e": b"6"})
    wanted = [("a", None), ("none", None), ("c", ByteRange(1))]
    inner.called.clear()
    assert store.get_many(iter(wanted)) == [b"1", None, b"5"]
    assert store.get_many_tagged(iter(wanted)) == [(b"1", b"1"), None, (b"5", b"45")]
    assert list(store.get_each(iter(wanted))) == [(2, b"5"), (1, None), (0, b"1")]
    store.delete_many(iter(["a"]))
    store.delete_prefix("d/")
    assert store.move_prefix("x/", "y/")
    with store.transaction() as entered:
        assert entered == "transaction"
    store.flush()
    store.close()
    keys = [(p + key, range) for key, range in wanted]
    assert inner.called == [
        ("get_many", keys),
        ("get_many_tagged", keys),
        ("get_each", keys),
        ("delete_many", [f"{p}a"]),
        ("delete_prefix", f"{p}d/"),
        ("delete_many", [f"{p}d/e"]),
        ("move_prefix", (f"{p}x/", f"{p}y/")),
        ("transaction", None),
        ("flush", None),
        ("close", None),
    ]
    assert sorted(inner.list()) == [f"{p}b", f"{p}c"]


@pytest.mark.parametrize("wrap", [*WRAPPERS.values(), ReadOnlyStore], ids=[*WRAPPERS, "readonly"])
@pytest.mark.parametrize("flag", ["conditional", "tagged", "batched", "exclusive"])
@pytest.mark.parametrize("value", [False, True])
def test_flags_are_those_of_the_inner_store(wrap: Any, flag: str, value: bool) -> None:
    inner = MemoryStore()
    setattr(inner, flag, value)
    assert getattr(wrap(inner), flag) is value


def test_one_object_has_one_identity_and_one_lock(tmp_path: Path) -> None:
    whole = LocalStore(tmp_path)
    below, rooted = PrefixStore(whole, "a/b"), LocalStore(tmp_path / "a" / "b")
    assert below.object_id("c") == whole.object_id("a/b/c") == rooted.object_id("c") == ReadOnlyStore(below).object_id("c")
    for other in (below, rooted, PrefixStore(PrefixStore(whole, "a"), "b"), ReadOnlyStore(below)):
        entered = threading.Event()
        with whole.lock("a/b/c"):
            thread = threading.Thread(target=_enter, args=(other, entered))
            thread.start()
            assert not entered.wait(0.05)
        thread.join()


def _enter(store: Store, entered: threading.Event) -> None:
    with store.lock("c"):
        entered.set()


@pytest.mark.parametrize("wrap", [*WRAPPERS.values(), ReadOnlyStore], ids=[*WRAPPERS, "readonly"])
def test_hostile_keys_do_not_reach_the_inner_store(wrap: Any) -> None:
    inner = FaultStore(MemoryStore())
    store = wrap(inner)
    more = {
        "get_many_tagged": lambda key: store.get_many_tagged([(key, None)]),
        "get_each": lambda key: list(store.get_each([(key, None)])),
        "set_many_if": lambda key: store.set_many_if({key: (b"", None)}),
        "object_id": store.object_id,
        "lock": store.lock,
    }
    for verb in {**verbs(store), **more}.values():
        for key in HOSTILE_KEYS:
            with pytest.raises(ArgumentError, match="cannot be a store key"):
                verb(key)
    assert inner.log == []


def test_a_prefix_is_a_folder() -> None:
    store = PrefixStore(MemoryStore(), "/a//b/")
    assert store.prefix == "a/b/"
    assert store.url == f"{store.inner.url}/a/b"
    for wrong in ("", "/", "..", "a/../b", "a\0"):
        with pytest.raises(ArgumentError):
            PrefixStore(MemoryStore(), wrong)
    with pytest.raises(ArgumentError, match="expected a Store"):
        PrefixStore({}, "a")


def test_the_whole_of_a_prefix_can_go_but_not_move() -> None:
    inner = Everything()
    inner.set_many({"p/a": b"1", "pa": b"2"})
    store = PrefixStore(inner, "p")
    assert store.move_prefix("", "x/") is False
    assert store.move_prefix("x/", "") is False
    store.delete_prefix("")
    assert list(inner.list()) == ["pa"]


def test_reading_only_refuses_everything_else() -> None:
    inner = Everything()
    inner.set("a", b"1")
    inner.called.clear()
    store = ReadOnlyStore(inner)
    assert not store.writable
    assert not store.transactional
    for change in (
        lambda: store.set("a", b"2"),
        lambda: store.set_if("a", b"2", tag=b"1"),
        lambda: store.set_many({"a": b"2"}),
        lambda: store.set_many_if({"a": (b"2", b"1")}),
        lambda: store.delete("a"),
        lambda: store.delete_many(["a"]),
        lambda: store.delete_prefix(""),
        lambda: store.move_prefix("a/", "b/"),
        store.transaction,
    ):
        with pytest.raises(ReadOnlyError, match="open for reading only"):
            change()
    assert inner.called == []
    assert store.get("a") == b"1"


def test_errors_of_the_inner_store_come_through() -> None:
    for wrap in (*WRAPPERS.values(), ReadOnlyStore):
        store = wrap(FaultStore(MemoryStore(), fail="always", on="get"))
        with pytest.raises(StoreError, match="injected"):
            store.get("a")


def test_shortcuts_are_those_of_the_inner_store() -> None:
    inner = MemoryStore({"p/a": b"1", "a": b"2"})
    below, reader = PrefixStore(inner, "p").shortcut(100), ReadOnlyStore(inner).shortcut(100)
    assert below is not None
    assert reader is not None
    assert (below("a"), below("none"), reader("a"), reader("none")) == (b"1", None, b"2", None)
    assert PrefixStore(FaultStore(inner), "p").shortcut(100) is None
    assert ReadOnlyStore(FaultStore(inner)).shortcut(100) is None


def test_arrays_and_groups_through_wrappers(tmp_path: Path, zarr_format: int) -> None:
    values = np.arange(600).reshape(20, 30)
    whole = LocalStore(tmp_path / "a.zarr")
    group = ndzarr.create_group(PrefixStore(whole, "run"), attributes={"n": 1})
    group.create_array("x", shape=values.shape, dtype=values.dtype, chunks=(7, 8))[...] = values
    reader = ndzarr.open(ReadOnlyStore(PrefixStore(whole, "run")))
    np.testing.assert_array_equal(reader["x"][3:17, ::-2], values[3:17, ::-2])
    np.testing.assert_array_equal(ndzarr.open(whole, path="run/x")[:], values)
    with pytest.raises(ReadOnlyError):
        ndzarr.open(ReadOnlyStore(whole), path="run/x", mode="r+")[0] = 1
    again = pickle.loads(pickle.dumps(reader))
    assert again["x"][1, 1] == 31
    assert type(again.store) is ReadOnlyStore
