"""FaultStore: it fails when told to, and otherwise is the store inside."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ndzarr._typing import Buffer, ByteRange
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.stores.fault import OPERATIONS, FaultStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.memory import MemoryStore


def outcomes(store: FaultStore, calls: int, op: str = "get") -> list[bool]:
    """Which of so many calls fail."""
    failed = []
    for _ in range(calls):
        try:
            store.get("a") if op == "get" else store.set("a", b"1")
        except StoreError:
            failed.append(True)
        else:
            failed.append(False)
    return failed


def all_operations(store: FaultStore) -> dict[str, Any]:
    return {
        "get": lambda: store.get("a"),
        "get_tagged": lambda: store.get_tagged("a"),
        "set": lambda: store.set("a", b"1"),
        "set_if": lambda: store.set_if("z", b"1", tag=None),
        "delete": lambda: store.delete("z"),
        "delete_prefix": lambda: store.delete_prefix("z"),
        "list": lambda: store.list(),
        "list_dir": lambda: store.list_dir(),
        "size": lambda: store.size("a"),
        "exists": lambda: store.exists("a"),
        "set_aside": lambda: store.set_aside("z", ""),
        "close": store.close,
    }


def test_it_never_fails_unless_told_to() -> None:
    store = FaultStore(MemoryStore({"a": b"1"}))
    for run in all_operations(store).values():
        run()
    assert [call.op for call in store.log] == list(all_operations(store))
    assert all(call.error is None for call in store.log)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if "_many" not in op and op != "get_each"])
def test_only_what_on_names_fails(op: str) -> None:
    store = FaultStore(MemoryStore({"a": b"1"}), fail="always", on=(op,))
    for name, run in all_operations(store).items():
        if name == op:
            with pytest.raises(StoreError, match=f"injected fault: call 1, {op}") as caught:
                run()
            assert caught.value.store == store.inner.url
        else:
            run()
    assert [call.op for call in store.log if call.error] == [op]


def test_at_counts_from_one() -> None:
    assert outcomes(FaultStore(MemoryStore(), at=2), 4) == [False, True, False, False]
    assert outcomes(FaultStore(MemoryStore(), at={1, 3}), 4) == [True, False, True, False]
    store = FaultStore(MemoryStore(), at=2, on="set", keys=r"/0$")
    store.set("a/0", b"1")
    store.get("a/0")
    store.set("a/1", b"1")  # neither counts
    with pytest.raises(StoreError, match=r"call 2, set of 'b/0'"):
        store.set("b/0", b"2")
    assert store.snapshot() == {"a/0": b"1", "a/1": b"1"}


def test_probabilities_are_seeded() -> None:
    runs = [outcomes(FaultStore(MemoryStore(), fail=0.3, seed=seed), 200) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert 30 < sum(runs[0]) < 90
    assert outcomes(FaultStore(MemoryStore(), fail=0.0), 20) == [False] * 20
    assert outcomes(FaultStore(MemoryStore(), fail=1.0), 20) == [True] * 20


def test_failing_next_and_healing() -> None:
    store = FaultStore(MemoryStore(), on="get")
    store.fail_next(2)
    store.set("a", b"1")
    assert outcomes(store, 4) == [True, True, False, False]
    store = FaultStore(MemoryStore({"a": b"12345"}), fail="always", at=1, truncate=2)
    store.fail_next()
    assert outcomes(store, 2) == [True, True]
    store.heal()
    assert outcomes(store, 2) == [False, False]
    assert store.get("a") == b"12345"


def test_clear_counts_anew() -> None:
    store = FaultStore(MemoryStore(), at=1)
    assert outcomes(store, 2) == [True, False]
    store.clear()
    assert store.log == []
    assert outcomes(store, 2) == [True, False]


def test_before_or_after() -> None:
    for when, want in (("before", {}), ("after", {"a": b"1"})):
        store = FaultStore(MemoryStore(), fail="always", when=when)
        with pytest.raises(StoreError):
            store.set("a", b"1")
        assert store.snapshot() == want


class OddError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OddError("mine"), OddError),
        (TimeoutError, TimeoutError),
        (KeyboardInterrupt, KeyboardInterrupt),
        (lambda op, key: OddError(f"{op} {key}"), OddError),
    ],
)
def test_the_error_may_be_chosen(error: Any, kind: type[BaseException]) -> None:
    store = FaultStore(MemoryStore(), fail="always", error=error)
    with pytest.raises(kind):
        store.get("a")
    assert isinstance(store.log[0].error, kind)


def test_latency() -> None:
    store = FaultStore(MemoryStore(), latency_s=0.02)
    start = time.perf_counter()
    store.get("a")
    assert time.perf_counter() - start >= 0.02
    assert store.log[0].time_s >= 0.02
    store = FaultStore(MemoryStore(), latency_s=lambda op, key: 0.02 if (op, key) == ("get", "slow") else 0.0)
    store.get("slow")
    store.get("quick")
    assert store.log[0].time_s >= 0.02 > store.log[1].time_s


def test_truncated_values() -> None:
    store = FaultStore(MemoryStore({"a": b"12345"}), truncate=2)
    assert store.get("a") == b"12"
    assert store.get("a", ByteRange(1)) == b"23"
    assert (store.get_tagged("a") or (b"",))[0] == b"12"
    assert store.get("none") is None
    assert store.get_tagged("none") is None


def test_the_log_tells_what_was_asked() -> None:
    store = FaultStore(MemoryStore({"a": b"12345"}))
    store.get("a", ByteRange(1, 3))
    store.get("none")
    store.get_tagged("a")
    store.set("b", bytearray(7))
    store.set("b", b"")
    with pytest.raises(ArgumentError):
        store.set("b", 7)
    store.get_many([("a", None), ("none", None)])
    store.set_many({"c": b"1"})
    store.delete_many(["c"])
    store.list("a")
    store.exists("a")
    found = [(call.op, call.key, call.range, call.nbytes) for call in store.log]
    assert found == [
        ("get", "a", (1, 3), 2),
        ("get", "none", None, None),
        ("get_tagged", "a", None, 5),
        ("set", "b", None, 7),
        ("set", "b", None, 0),
        ("set", "b", None, None),
        ("get", "a", None, 5),
        ("get", "none", None, None),
        ("set", "c", None, 1),
        ("delete", "c", None, None),
        ("list", "a", None, None),
        ("exists", "a", None, None),
    ]
    assert [call.op for call in store.log if call.error] == ["set"]
    assert store.counts["get"] == 4
    assert store.counts["close"] == 0
    assert store.calls("delete") == [store.log[9]]
    assert all(call.time_s >= 0 for call in store.calls())


class Batched(MemoryStore):
    """A store for which many at once are one request."""

    batched = True

    def get_many(self, requests: Iterable[tuple[str, ByteRange | None]]) -> list[Buffer | None]:
        return [self.get(key, range) for key, range in requests]

    def set_many(self, items: Mapping[str, Buffer]) -> None:
        self._data.update(items)


def test_batches_are_one_call() -> None:
    store = FaultStore(Batched())
    assert store.batched
    store.set_many({"a": b"12", "b": b"3"})
    assert store.get_many(iter([("a", None), ("b", None), ("c", None)])) == [b"12", b"3", None]
    store.delete_many(iter(["a", "c"]))
    assert [(call.op, call.key, call.nbytes) for call in store.log] == [
        ("set_many", None, 3),
        ("get_many", None, 3),
        ("delete_many", None, None),
    ]
    assert store.snapshot() == {"b": b"3"}
    store.clear()
    assert list(store.get_each(iter([("c", None), ("b", None)]))) == [(0, None), (1, b"3")]
    assert store.get_many_tagged([("b", ByteRange(0, 0)), ("c", None)]) == [(b"", b"3"), None]
    assert store.set_many_if({"b": (b"4", b"3"), "d": (b"5", b"6")}) == {"b": True, "d": False}
    store.truncate = 0
    assert list(store.get_each([("b", None)])) == [(0, b"")]
    assert store.get_many_tagged([("b", None)]) == [(b"", b"4")]
    store.truncate = None
    assert [call.op for call in store.log] == ["get_each", "get_many_tagged", "set_many_if", "get_each", "get_many_tagged"]
    for run in (
        lambda: list(store.get_each([("b", None)])),
        lambda: store.get_many_tagged([("b", None)]),
        lambda: store.set_many_if({"b": (b"3", b"4")}),
    ):
        store.fail_next()
        with pytest.raises(StoreError, match="injected"):
            run()
    store.set("b", b"3")
    store.fail_next(3)
    for run in (
        lambda: store.set_many({"x": b""}),
        lambda: store.get_many([("b", None)]),
        lambda: store.delete_many(["b"]),
    ):
        with pytest.raises(StoreError, match="_many in"):
            run()
    for hostile in (
        lambda: store.set_many({"../x": b""}),
        lambda: store.get_many([("../x", None)]),
        lambda: store.delete_many(["../x"]),
    ):
        with pytest.raises(ArgumentError):
            hostile()
    assert store.snapshot() == {"b": b"3"}


def test_it_can_fail_between_two_of_many() -> None:
    store = FaultStore(MemoryStore(), at=2)
    with pytest.raises(StoreError):
        store.set_many({"a": b"1", "b": b"2", "c": b"3"})
    assert store.snapshot() == {"a": b"1"}


def test_flags_locks_and_identity_are_the_inner_store_s(tmp_path: Path) -> None:
    for inner in (MemoryStore(), LocalStore(tmp_path), LocalStore(tmp_path, readonly=True), Batched()):
        store = FaultStore(inner)
        for flag in ("writable", "conditional", "tagged", "batched", "exclusive", "transactional"):
            assert getattr(store, flag) == getattr(inner, flag)
        assert store.object_id("a") == inner.object_id("a")
        lock, own = store.lock("a"), inner.lock("a")
        assert lock is own or lock._folder is own._folder
        assert store.url == f"fault:{inner.url}"


def test_threads() -> None:
    store = FaultStore(MemoryStore(), at=range(1, 801, 8))
    with ThreadPoolExecutor(8) as pool:
        failed = sum(sum(found) for found in pool.map(lambda n: outcomes(store, 100, "set"), range(8)))
    assert failed == 100
    assert len(store.log) == 800
    assert store.counts["set"] == 800


def test_pickling(tmp_path: Path) -> None:
    store = FaultStore(LocalStore(tmp_path), at=2)
    store.set("a", b"1")
    again = pickle.loads(pickle.dumps(store))
    assert outcomes(again, 2) == [True, False]
    assert outcomes(store, 2) == [True, False]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"fail": "sometimes"}, "fail is 'sometimes'"),
        ({"fail": 1.5}, "fail is 1.5"),
        ({"fail": -0.1}, "fail is -0.1"),
        ({"on": "read"}, "no store operation 'read'"),
        ({"on": ["get", "put"]}, "no store operation 'put'"),
        ({"when": "during"}, "when is 'during'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        FaultStore(MemoryStore(), **arguments)


def test_it_wraps_a_store() -> None:
    with pytest.raises(ArgumentError, match="expected a Store"):
        FaultStore({})
