"""MemoryStore and MappingStore: what is particular to values in memory, and to mappings that misbehave."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import ChainMap, UserDict, defaultdict
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError, ReadOnlyError, StoreError
from ndzarr.stores.mapping import MappingStore
from ndzarr.stores.memory import MemoryStore

# ---- MemoryStore -----------------------------------------------------------------------------------------------------


def test_data_is_copied_and_checked() -> None:
    value = bytearray(b"1")
    data = {"a": value, "b": np.arange(2, dtype="<u2")}
    store = MemoryStore(data)
    value[:] = b"2"
    data["c"] = bytearray(b"3")
    assert {key: store.get(key) for key in store.list()} == {"a": b"1", "b": b"\0\0\1\0"}
    with pytest.raises(ArgumentError, match=r"\.\./a"):
        MemoryStore({"../a": b""})
    with pytest.raises(ArgumentError, match="Python objects"):
        MemoryStore({"a": np.array([object()])})
    with pytest.raises(ArgumentError, match="Python objects"):
        MemoryStore({"a": memoryview(np.array([object()]))})


def test_values_are_bytes_and_are_not_copied_out() -> None:
    store = MemoryStore()
    value = b"x" * 100
    store.set("a", value)
    assert store.get("a") is value
    part = store.get("a", ByteRange(1, 3))
    assert isinstance(part, memoryview)
    assert part.obj is value
    assert part.readonly


def test_named_stores_are_one_in_a_process() -> None:
    store = MemoryStore.from_url("memory://test_named")
    store.set("a", b"1")
    assert MemoryStore.from_url("memory://test_named") is store
    assert MemoryStore.from_url("memory://test_other") is not store
    assert store.url == "memory://test_named"
    assert MemoryStore().url != MemoryStore().url
    store.delete("a")


def test_two_threads_that_name_a_store_get_the_same() -> None:
    found: list[MemoryStore] = []
    threads = [threading.Thread(target=lambda: found.append(MemoryStore.from_url("memory://test_raced"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(store) for store in found}) == 1


@pytest.mark.parametrize("duplicate", [lambda s: pickle.loads(pickle.dumps(s)), copy.copy, copy.deepcopy])
def test_a_copy_is_another_store(duplicate: Any) -> None:
    store = MemoryStore({"a": b"1"})
    other = duplicate(store)
    other.set("a", b"2")
    assert other.set_if("b", b"3", tag=None)
    assert store.get("a") == b"1"
    assert list(store.list()) == ["a"]
    assert other.object_id("a") != store.object_id("a")


# ---- MappingStore ----------------------------------------------------------------------------------------------------


def test_the_mapping_is_used_as_it_is() -> None:
    mapping: dict[str, Any] = {}
    store = MappingStore(mapping)
    store.set("a/b", bytearray(b"1"))
    assert mapping == {"a/b": b"1"}
    assert type(mapping["a/b"]) is bytes
    mapping["c"] = np.arange(2, dtype="<u2")
    assert store.get("c") == b"\0\0\1\0"
    mapping["d"] = bytearray(b"before")
    value = store.get("d")
    mapping["d"][:] = b"after."
    assert value == b"before"
    assert MappingStore(mapping).object_id("c") == store.object_id("c")


def test_what_is_no_key_or_no_value() -> None:
    store = MappingStore({"../a": b"1", "a//b": b"1", 3: b"1", "good": b"1", "text": "1", "none": None})
    assert sorted(store.list()) == ["good", "none", "text"]
    assert store.get("none") is None
    with pytest.raises(StoreError, match="expected bytes") as caught:
        store.get("text")
    assert caught.value.key == "text"


def test_asking_a_defaultdict_makes_nothing() -> None:
    mapping: defaultdict[str, bytes] = defaultdict(bytes)
    store = MappingStore(mapping)
    assert store.get("a") is None
    assert not store.exists("a")
    assert not mapping


@pytest.mark.parametrize("make", [UserDict, ChainMap, lambda: defaultdict(bytes)])
def test_other_mappings(make: Any) -> None:
    store = MappingStore(make())
    store.set("a", b"1")
    store.delete("a")
    store.delete("a")
    store.set("b", b"2")
    assert list(store.list()) == ["b"]
    assert store.get("a") is None


def test_a_mapping_that_cannot_be_changed() -> None:
    store = MappingStore(MappingProxyType({"a": b"1"}))
    assert store.get("a") == b"1"
    assert not store.writable
    for change in (lambda: store.set("a", b"2"), lambda: store.delete("a"), lambda: store.delete("b")):
        with pytest.raises(ReadOnlyError, match="mappingproxy"):
            change()


@pytest.mark.parametrize("value", [None, [("a", b"1")], "text", 5])
def test_what_is_no_mapping(value: Any) -> None:
    with pytest.raises(ArgumentError, match="mapping"):
        MappingStore(value)


class Broken(UserDict):
    """A mapping whose every method fails with an exception of its own."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __getitem__(self, key: str) -> Any:
        raise self.error

    def __setitem__(self, key: str, value: Any) -> None:
        raise self.error

    def __delitem__(self, key: str) -> None:
        raise self.error

    def __iter__(self) -> Iterator[str]:
        raise self.error


@pytest.mark.parametrize("error", [FileNotFoundError("a"), TimeoutError("slow"), RuntimeError("odd"), ValueError("bad")])
def test_whatever_a_mapping_raises_is_an_error(error: Exception) -> None:
    store = MappingStore(Broken(error))
    for call in (
        lambda: store.get("a"),
        lambda: store.set("a", b"1"),
        lambda: store.delete("a"),
        lambda: store.list(),
        lambda: store.size("a"),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.__cause__ is error
        assert type(error).__name__ in str(caught.value)


def test_an_interrupt_is_no_error_of_the_store() -> None:
    with pytest.raises(KeyboardInterrupt):
        MappingStore(Broken(KeyboardInterrupt())).get("a")


def test_a_mapping_s_key_error_is_missing() -> None:
    assert MappingStore(Broken(KeyError("a"))).get("a") is None
    MappingStore(Broken(KeyError("a"))).delete("a")
    with pytest.raises(StoreError):
        MappingStore(Broken(KeyError("a"))).set("a", b"1")
