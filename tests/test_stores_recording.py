"""RecordingStore and ReplayStore: the suite, what is noted, and a program that runs again without the store."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError, MetadataError, NotRecordedError, ReadOnlyError, StoreError
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.readonly import ReadOnlyStore
from ndzarr.stores.recording import RecordingStore, ReplayStore, counted
from ndzarr.stores.sql import SQLStore
from ndzarr.testing.stores import HOSTILE_KEYS, StoreSuite


def batched(inner: Store) -> Store:
    inner.batched = True
    return inner


class TestRecordingStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return RecordingStore(MemoryStore(), payloads=True)

    def reopen_for_reading(self, store: Store) -> Store:
        return ReadOnlyStore(store)


class TestRecordedRows(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with RecordingStore(SQLStore(f"sqlite:///{tmp_path}/a.db")) as store:
            yield store


class TestFaultyRecordingStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return FaultStore(RecordingStore(batched(FaultStore(MemoryStore())), payloads="sha256"))


def test_each_request_is_noted() -> None:
    store = RecordingStore(batched(MemoryStore()), payloads=True)
    store.set("a", np.arange(3, dtype="u1"))
    store.get("a", ByteRange(1))
    store.get("none")
    store.get_many([("a", None), ("none", None), ("a", ByteRange(0, 2))])
    list(store.get_each([("a", None), ("none", None)]))
    store.get_tagged("a")
    store.get_many_tagged([("a", None), ("none", None)])
    store.set_if("a", b"x", tag=None)
    store.set_if("b", b"xy", tag=None)
    store.set_many({"c": b"1", "d": b"22"})
    store.set_many_if({"c": (b"3", None), "e": (b"4", None)})
    store.size("a")
    store.exists("none")
    list(store.list("a"))
    list(store.list_dir())
    store.delete("a")
    store.delete_many(["c", "d"])
    store.delete_prefix("")
    noted = [(r.op, r.key, r.range, r.nbytes, r.batch, r.found) for r in store.records]
    assert noted == [
        ("set", "a", None, 3, None, None),
        ("get", "a", (1, None), 2, None, None),
        ("get", "none", None, None, None, False),
        ("get_many", "a", None, 3, 1, None),
        ("get_many", "none", None, None, 1, False),
        ("get_many", "a", (0, 2), 2, 1, None),
        ("get_each", "a", None, 3, 2, None),
        ("get_each", "none", None, None, 2, False),
        ("get_tagged", "a", None, 3, None, None),
        ("get_many_tagged", "a", None, 3, 3, None),
        ("get_many_tagged", "none", None, None, 3, False),
        ("set_if", "a", None, None, None, False),
        ("set_if", "b", None, 2, None, None),
        ("set_many", "c", None, 1, 4, None),
        ("set_many", "d", None, 2, 4, None),
        ("set_many_if", "c", None, None, 5, False),
        ("set_many_if", "e", None, 1, 5, None),
        ("size", "a", None, None, None, 3),
        ("exists", "none", None, None, None, False),
        ("list", "a", None, None, None, ["a"]),
        ("list_dir", "", None, None, None, ["a", "b", "c", "d", "e"]),
        ("delete", "a", None, None, None, None),
        ("delete_many", "c", None, None, 6, None),
        ("delete_many", "d", None, None, 6, None),
        ("delete_prefix", "", None, None, None, None),
    ]
    counts = store.counts()
    assert (counts.calls["get_many"], counts.requests["get_many"], counts.nbytes["get_many"]) == (1, 3, 5)
    assert (counts.total, counts.errors) == (18, 0)
    assert store.records[0].payload == b64encode(bytes(range(3))).decode()
    times = [r.at_s for r in store.records]
    assert times == sorted(times)
    assert all(r.duration_s >= 0 for r in store.records)
    store.clear()
    assert store.counts().total == 0


def test_errors_are_noted() -> None:
    store = RecordingStore(batched(FaultStore(MemoryStore({"a": b"1"}), fail="always")))
    for ask in (
        lambda: store.get("a"),
        lambda: store.set("a", b""),
        lambda: store.get_many([("a", None), ("b", None)]),
        lambda: list(store.get_each([("a", None)])),
    ):
        with pytest.raises(StoreError, match="injected"):
            ask()
    assert [r.error[0] for r in store.records] == ["StoreError"] * 5
    assert store.counts().errors == 5
    assert counted(store.records) == store.counts()


@pytest.mark.parametrize("shards", [None, (6, 8)], ids=["chunks", "shards"])
@pytest.mark.parametrize("is_batched", [False, True], ids=["one by one", "batched"])
def test_a_program_runs_again_without_the_store(tmp_path: Path, shards: Any, is_batched: bool) -> None:
    values = np.arange(12 * 16, dtype="<i4").reshape(12, 16)
    inner = MemoryStore()
    create: dict[str, Any] = {"shape": values.shape, "dtype": values.dtype, "chunks": (3, 4), "shards": shards}
    ndzarr.create_group(inner, attributes={"n": 1})
    ndzarr.create_array(inner, path="g/z", **create)[...] = values
    inner.batched = is_batched
    store = RecordingStore(inner, payloads=True)

    def program(store: Store) -> list[Any]:
        z = ndzarr.open(store)["g/z"]
        return [z[...], z[2:7, ::3], z[5, 5], dict(ndzarr.open(store).attrs), sorted(store.list())]

    want = program(store)
    store.save(tmp_path / "trace.jsonl")
    replay = ReplayStore(tmp_path / "trace.jsonl")
    for again in (replay, pickle.loads(pickle.dumps(replay)), ReplayStore(store)):
        for found, wanted in zip(program(again), want, strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert again.counts() == store.counts()
        assert not again.writable
    np.testing.assert_array_equal(ndzarr.open(replay, path="g/z")[1:2, 1:2], values[1:2, 1:2])


def test_what_the_trace_does_not_hold(tmp_path: Path) -> None:
    store = RecordingStore(MemoryStore({"a": b"0123456789", "b": b"1", "d/e": b""}), payloads=True)
    store.get("a")
    store.get("b", ByteRange(0, 1))
    store.get("none")
    store.save(tmp_path / "t")
    replay = ReplayStore(tmp_path / "t")
    assert replay.get("a", ByteRange(2, 4)) == b"23"  # out of the whole
    assert replay.get("none", ByteRange(2, 4)) is None
    assert (replay.size("a"), replay.exists("a"), replay.exists("none"), replay.exists("b")) == (10, True, False, True)
    for ask, what in (
        (lambda: replay.get("c"), "get of 'c'"),
        (lambda: replay.get("b"), "get of 'b'"),
        (lambda: replay.get("b", ByteRange(3)), "get of 'b' bytes 3:"),
        (lambda: replay.get_many([("a", None), ("b", ByteRange(0, 9))]), "get of 'b' bytes 0:9"),
        (lambda: replay.size("b"), "size of 'b'"),
        (lambda: replay.exists("c"), "size of 'c'"),
        (lambda: replay.list("d"), "list of 'd'"),
        (lambda: replay.list_dir("d/"), "list_dir of 'd/'"),
    ):
        with pytest.raises(NotRecordedError, match=f"cannot replay {what}") as caught:
            ask()
        assert isinstance(caught.value, StoreError)
    for key in HOSTILE_KEYS:
        with pytest.raises(ArgumentError):
            replay.get(key)
    for change in (
        lambda: replay.set("a", b""),
        lambda: replay.set_if("a", b"", tag=None),
        lambda: replay.delete("a"),
        lambda: replay.delete_prefix("a"),
    ):
        with pytest.raises(ReadOnlyError):
            change()


@pytest.mark.parametrize("payloads", [False, "sha256"])
def test_without_payloads_there_is_nothing_to_serve(payloads: Any) -> None:
    store = RecordingStore(MemoryStore({"a": b"1"}), payloads=payloads)
    store.get("a")
    replay = ReplayStore(store)
    with pytest.raises(NotRecordedError, match="payloads=True keeps them"):
        replay.get("a")
    assert (replay.size("a"), replay.exists("a")) == (1, True)
    assert (store.records[0].payload or "").startswith("sha256:6b86b2") is bool(payloads)


def test_answers_come_in_turn() -> None:
    inner = FaultStore(MemoryStore({"k": b"1"}), at=2, on="get")
    store = RecordingStore(inner, payloads=True)
    store.get("k")
    with pytest.raises(StoreError):
        store.get("k")
    inner.heal()
    store.set("k", b"2")
    store.get("k")
    store.delete("k")
    replay = ReplayStore(store)
    assert replay.get("k") == b"1"
    with pytest.raises(StoreError, match="replayed StoreError: injected fault"):
        replay.get("k")
    assert [replay.get("k") for _ in range(4)] == [b"2", b"2", None, None]


def test_the_file_is_lines_of_json(tmp_path: Path) -> None:
    store = RecordingStore(MemoryStore({"a": b"123"}))
    store.get("a", ByteRange(1, 3))
    store.save(tmp_path / "t")
    head, line = map(json.loads, (tmp_path / "t").read_text().splitlines())
    assert (head["format"], head["store"]) == ("ndzarr trace", store.inner.url)
    assert {name: line[name] for name in ("op", "key", "range", "nbytes")} == {
        "op": "get",
        "key": "a",
        "range": [1, 3],
        "nbytes": 2,
    }
    assert set(line) == {"op", "key", "range", "nbytes", "at_s", "duration_s"}


@pytest.mark.parametrize("text", ["", "{}", "[]\n", "nonsense", '{"format": "ndzarr trace", "version": 2}', "1"])
def test_what_is_no_trace(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(MetadataError, match="no trace"):
        ReplayStore(tmp_path / "t")
    (tmp_path / "t").write_text('{"format": "ndzarr trace", "version": 1}\n{"op": "get", "other": 1}\n')
    with pytest.raises(MetadataError, match="other"):
        ReplayStore(tmp_path / "t")
    with pytest.raises(StoreError, match="cannot read the trace"):
        ReplayStore(tmp_path / "none")
    with pytest.raises(ArgumentError, match="payloads"):
        RecordingStore(MemoryStore(), payloads="md5")
