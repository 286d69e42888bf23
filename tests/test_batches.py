"""Stores that take many requests at once: how many calls there are, and that nothing else differs; lost updates."""

from __future__ import annotations

import random
import threading
from collections.abc import Hashable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.testing import expressions
from ndzarr.testing.expressions import IndexKinds, RandomChoices


class Batched(ndzarr.MemoryStore):
    """Counts its calls. Nobody is kept out by its locks, as if each handle were a machine of its own."""

    batched = True
    exclusive = False

    def __init__(self, *, conditional: bool = True, tagged: bool = True) -> None:
        super().__init__()
        self.conditional, self.tagged = conditional, tagged
        self.calls: list[tuple[str, int]] = []
        self.before_set_if: Any = None
        self._inside = threading.local()

    def note(self, name: str, count: int) -> None:
        if not getattr(self._inside, "value", False):
            self.calls.append((name, count))

    def quietly(self, method: Any, *args: Any, **keywords: Any) -> Any:
        outer, self._inside.value = getattr(self._inside, "value", False), True
        try:
            return method(*args, **keywords)
        finally:
            self._inside.value = outer

    def get(self, key: str, range: Any = None) -> Any:
        self.note("get", 1)
        return super().get(key, range)

    def set(self, key: str, value: Any) -> None:
        self.note("set", 1)
        super().set(key, value)

    def delete(self, key: str) -> None:
        self.note("delete", 1)
        super().delete(key)

    def get_tagged(self, key: str, range: Any = None) -> Any:
        self.note("get_tagged", 1)
        return super().get_tagged(key, range)

    def get_many(self, requests: Iterable[Any]) -> list[Any]:
        requests = list(requests)
        self.note("get_many", len(requests))
        return self.quietly(super().get_many, requests)

    def get_many_tagged(self, requests: Iterable[Any]) -> list[Any]:
        requests = list(requests)
        self.note("get_many_tagged", len(requests))
        return self.quietly(super().get_many_tagged, requests)

    def get_each(self, requests: Iterable[Any]) -> Any:
        """In another order than asked for."""
        found = list(enumerate(self.get_many(requests)))
        random.Random(len(found)).shuffle(found)
        yield from found

    def set_many(self, items: Mapping[str, Any]) -> None:
        self.note("set_many", len(items))
        self.quietly(super().set_many, items)

    def delete_many(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.note("delete_many", len(keys))
        self.quietly(super().delete_many, keys)

    def set_many_if(self, items: Mapping[str, tuple[Any, Hashable]]) -> dict[str, bool]:
        self.note("set_many_if", len(items))
        if self.before_set_if is not None:
            self.before_set_if()
        return self.quietly(super().set_many_if, items)

    def lock(self, key: str) -> AbstractContextManager[Any]:
        return nullcontext() if self.conditional else super().lock(key)


KINDS = [{"conditional": True}, {"conditional": False}, {"conditional": False, "tagged": False}]


@pytest.mark.parametrize("kind", KINDS, ids=["conditional", "tagged", "plain"])
def test_reads_and_writes_are_numpys(kind: dict[str, bool]) -> None:
    for number in range(120):
        choices = RandomChoices(number)
        sample = expressions.sample(choices)
        store = Batched(**kind)
        with ndzarr.options(batch_bytes=random.Random(number).choice([1, 300, 1 << 20])):
            z = ndzarr.create_array(store, **sample.keywords)
            twin = ndzarr.create_array(ndzarr.MemoryStore(), **sample.keywords)
            sample.fill_into(z)
            sample.fill_into(twin)
            for _ in range(8):
                index = expressions.index(choices, z.shape, IndexKinds())
                try:
                    expected = twin[index]
                except (IndexError, ValueError, TypeError) as error:
                    with pytest.raises(type(error)):
                        z[index]
                    continue
                found = z[index]
                assert (type(found), np.asarray(found).dtype) == (type(expected), np.asarray(expected).dtype)
                np.testing.assert_array_equal(found, expected)
                if np.asarray(expected).size and choices.chance(50):
                    value = np.asarray(z[...]).reshape(-1)[0]
                    z[index] = value
                    twin[index] = value
                    np.testing.assert_array_equal(z[...], twin[...])
        missing = set(twin.store.list()) - set(store.list())
        assert not missing
        if not kind["conditional"]:  # else a chunk that came to hold nothing but fill values stays
            assert set(store.list()) == set(twin.store.list())


@pytest.mark.parametrize("compressor", [None, "zstd"])
def test_a_hundred_chunks_are_one_call(compressor: Any) -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(100, 10), chunks=(10, 1), dtype="i4", compressor=compressor, zarr_format=3)
    a = np.arange(1000, dtype="i4").reshape(100, 10) + 1
    store.calls.clear()
    z[...] = a
    assert store.calls == [("set_many", 100)]
    store.calls.clear()
    assert np.array_equal(z[...], a)
    assert store.calls == [("get_many", 100)]
    store.calls.clear()
    z[5:95, 1:] += 1
    a[5:95, 1:] += 1
    names = [name for name, _ in store.calls]
    assert names == ["get_many", "get_many_tagged", "set_many", "set_many_if"]  # the read of +=; then chunks in part, and whole
    assert np.array_equal(z[...], a)
    store.calls.clear()
    z.vindex[[1, 50, 99], [0, 5, 9]]
    assert store.calls == [("get_many", 3)]
    store.calls.clear()
    z[...] = 0
    assert store.calls == [("delete_many", 100)]


def test_a_shard_is_two_calls_at_most() -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(64, 64), chunks=(4, 4), shards=(16, 16), dtype="i4", zarr_format=3)
    a = np.arange(4096, dtype="i4").reshape(64, 64)
    z[...] = a
    store.calls.clear()
    z = ndzarr.open_array(store, mode="r+")
    store.calls.clear()
    assert np.array_equal(z[1:60:9, 3], a[1:60:9, 3])
    assert [name for name, _ in store.calls] == ["get_many_tagged", "get_many_tagged"]
    assert store.calls[0][1] == 4
    store.calls.clear()
    assert np.array_equal(z[1:60:9, 3], a[1:60:9, 3])  # the indices are kept
    assert [name for name, _ in store.calls] == ["get_many_tagged"]
    store.calls.clear()
    assert np.array_equal(z[...], a)
    assert store.calls == [("get_many_tagged", 16)]
    z[2:40, 5] = 7
    a[2:40, 5] = 7
    assert np.array_equal(z[...], a)


def test_a_run_holds_no_more_than_the_option_says() -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(100,), chunks=(10,), dtype="i4", compressor=None, zarr_format=3)
    with ndzarr.options(batch_bytes=120):
        z[...] = np.arange(1, 101)
        store.calls.clear()
        assert np.array_equal(z[...], np.arange(1, 101))
    assert store.calls == [("get_many", 3)] * 3 + [("get_many", 1)]


def test_a_write_to_one_element_of_each_chunk_counts_whole_chunks() -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(100,), chunks=(10,), dtype="i4", compressor=None, zarr_format=3)
    with ndzarr.options(batch_bytes=120):
        z[::10] = 5
    assert [call for call in store.calls if call[0] == "get_many_tagged"] == [("get_many_tagged", 3)] * 3 + [
        ("get_many_tagged", 1)
    ]


@pytest.mark.parametrize("shards", [None, (8,)])
@pytest.mark.parametrize("kind", KINDS[:2], ids=["conditional", "locked"])
def test_no_update_is_lost(kind: dict[str, bool], shards: Any) -> None:
    store = Batched(**kind)
    ndzarr.create_array(store, shape=(64,), chunks=(4,), shards=shards, dtype="i8", fill_value=0, zarr_format=3)

    def count(first: int) -> None:
        z = ndzarr.open_array(store, mode="r+")
        for step in range(1, 26):
            z[first::4] = step  # a quarter of every chunk

    threads = [threading.Thread(target=count, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ndzarr.open_array(store)[...].tolist() == [25] * 64


@pytest.mark.parametrize("shards", [None, (8,)])
def test_what_somebody_else_wrote_in_between_stays(shards: Any) -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(8,), chunks=(4,), shards=shards, dtype="i8", fill_value=0, zarr_format=3)
    z[...] = 1
    other = ndzarr.open_array(store, mode="r+")

    def interfere() -> None:
        store.before_set_if = None
        other[0] = 5

    store.before_set_if = interfere
    z[1] = 2
    assert z[...].tolist() == [5, 2, 1, 1, 1, 1, 1, 1]
    store.before_set_if = interfere
    z[1:4] = 0
    other[0] = 0  # nothing but fill values now, but somebody might have written in between: the chunk stays
    assert z[...].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(list(store.list("c/"))) == (2 if shards is None else 1)


def test_a_store_that_never_lets_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    from ndzarr.stores import attempts

    monkeypatch.setattr(attempts, "MOST", 3)
    store = Batched()
    z = ndzarr.create_array(store, shape=(8,), chunks=(4,), dtype="i8", fill_value=0, zarr_format=3)
    monkeypatch.setattr(Batched, "set_many_if", lambda self, items: dict.fromkeys(items, False))
    with pytest.raises(ndzarr.StoreError, match="others changed it 3 times") as caught:
        z[1] = 2
    assert caught.value.chunks_left == [(0,)]


def test_exclusive_is_granted_where_writes_are_conditional() -> None:
    with ndzarr.options(exclusive=True):
        z = ndzarr.create_array(Batched(), shape=(8,), chunks=(4,), dtype="i8", zarr_format=3)
        z[1] = 2
        y = ndzarr.create_array(Batched(conditional=False), shape=(8,), chunks=(4,), dtype="i8", zarr_format=3)
        with pytest.raises(ndzarr.ArgumentError, match="cannot keep other processes out"):
            y[1] = 2


def test_an_error_in_a_run_says_what_was_written() -> None:
    class Failing(Batched):
        def set_many(self, items: Mapping[str, Any]) -> None:
            if "c/6" in items:
                raise ndzarr.StoreError("cannot write 'c/6' in here: no room", store=self.url, key="c/6")
            super().set_many(items)

    z = ndzarr.create_array(Failing(), shape=(40,), chunks=(4,), dtype="i8", compressor=None, zarr_format=3)
    with ndzarr.options(batch_bytes=64), pytest.raises(ndzarr.StoreError) as caught:
        z[...] = 1
    assert caught.value.chunks_done == [(n,) for n in range(6)]
    assert caught.value.chunks_left == [(n,) for n in range(6, 10)]


@pytest.mark.parametrize("shards", [None, (8, 8)])
@pytest.mark.parametrize("kind", KINDS, ids=["conditional", "tagged", "plain"])
def test_resize_scrubs(kind: dict[str, bool], shards: Any) -> None:
    z = ndzarr.create_array(Batched(**kind), shape=(20, 20), chunks=(4, 4), shards=shards, dtype="i4", zarr_format=3)
    z[...] = 7
    z.resize((9, 11))
    z.resize((20, 20))
    a = np.zeros((20, 20), "i4")
    a[:9, :11] = 7
    assert np.array_equal(z[...], a)
    z.append(np.full((3, 20), 4))
    assert np.array_equal(z[20:], np.full((3, 20), 4))


def test_damage_is_told_as_elsewhere() -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(8,), chunks=(4,), dtype="i8", compressor="zstd", zarr_format=3)
    z[...] = 3
    store.set("c/1", b"nothing")
    with pytest.raises(ndzarr.CorruptChunkError, match=r"chunk \(1,\)"):
        z[...]
    with pytest.raises(ndzarr.CorruptChunkError, match=r"chunk \(1,\)"):
        z[5] = 1
    assert bytes(store.get("c/1")) == b"nothing"


@pytest.mark.parametrize("shards", [None, (16, 16)])
@pytest.mark.parametrize("kind", KINDS, ids=["conditional", "tagged", "plain"])
def test_decoded_chunks_are_kept_here_too(kind: dict[str, bool], shards: Any) -> None:
    store = Batched(**kind)
    a = np.arange(1024, dtype="i4").reshape(32, 32)
    z = ndzarr.create_array(store, shape=a.shape, chunks=(4, 4), shards=shards, dtype="i4", zarr_format=3, chunk_cache="1MiB")
    z[...] = a
    for _ in range(2):
        assert np.array_equal(z[...], a)
        assert np.array_equal(z[3:30, ::5], a[3:30, ::5])
        assert z[7, 9] == a[7, 9]
    assert z.chunk_cache is not None
    assert z.chunk_cache.hits > 0 or (shards and not store.tagged)
    ndzarr.open_array(store, mode="r+")[5:20, 3] = a[5:20, 3] = 7
    assert np.array_equal(z[...], a)
    if shards is None:
        store.calls.clear()
        assert np.array_equal(ndzarr.open_array(store, chunk_cache="1MiB")[...], a)
        assert next(name for name, _ in store.calls if name != "get") in ("get_many_tagged", "get_many")
        assert sum(count for _, count in store.calls) <= 64 + 2


def test_tags_are_asked_for_in_one_call() -> None:
    store = Batched()
    z = ndzarr.create_array(store, shape=(100,), chunks=(2,), dtype="i4", zarr_format=3, chunk_cache="1MiB")
    z[...] = np.arange(100)
    z[...]
    store.calls.clear()
    assert np.array_equal(z[...], np.arange(100))
    assert store.calls == [("get_many_tagged", 50)]
    assert z.chunk_cache is not None
    assert z.chunk_cache.hits == 50


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_of_two_writers_are_both_kept(zarr_format: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two handles that share no lock, as two machines would."""
    store = Batched()
    g = ndzarr.create_group(store, zarr_format=zarr_format)
    first = [True]
    set_if = Batched.set_if

    def late(self: Batched, key: str, value: Any, *, tag: Any) -> bool:
        if first:
            first.clear()
            found = self.get_tagged(key)
            text = bytes(found[0]).decode() if found else "{}"
            new = text.replace("{", '{"other": 1, ', 1) if zarr_format == 2 else text.replace(": {}", ': {"other": 1}')
            ndzarr.MemoryStore.set(self, key, new.replace(", }", "}").encode())
        return set_if(self, key, value, tag=tag)

    monkeypatch.setattr(Batched, "set_if", late)
    g.attrs["mine"] = 2
    assert dict(ndzarr.open_group(store).attrs) == {"other": 1, "mine": 2}
