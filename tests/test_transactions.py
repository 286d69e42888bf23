"""`ndzarr.transaction`: all of it or nothing, for everybody else and after any crash."""

from __future__ import annotations

import contextvars
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import ndzarr
from ndzarr import ArgumentError, FaultStore, MemoryStore, SQLStore, StoreError
from ndzarr.stores import sqlite
from ndzarr.stores.base import Store
from ndzarr.stores.postgres import Postgres
from tests.servers.programs import Server

_tables = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, worker_id: str) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    server: Server = request.getfixturevalue("postgres")
    return f"{server.url}?table=x_{worker_id}_{next(_tables)}"


@pytest.fixture
def store(url: str) -> Iterator[SQLStore]:
    with SQLStore(url) as store:
        yield store


def contents(store: Store) -> dict[str, bytes]:
    return {key: bytes(store.get(key)) for key in store.list()}


def elsewhere(store: Store) -> dict[str, bytes]:
    """What somebody outside the calling context sees."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contents, store).result()


def prepare(store: Store) -> None:
    group = ndzarr.create_group(store, attributes={"version": 0})
    group.create_array("a", shape=(6, 8), chunks=(2, 4), dtype="i4")[:] = 0
    group.create_array("rows", shape=(4,), chunks=(4,), dtype="i4")[:] = [0, 1, 2, 3]
    group.create_array("sharded", shape=(8,), chunks=(2,), shards=(4,), dtype="i2")[:] = np.arange(8)
    group.create_array("gone/deep", shape=(4,), chunks=(2,), dtype="u1")[:] = 1


def change(store: Store) -> None:
    """Everything that can be written."""
    group = ndzarr.open_group(store, "r+")
    array = group["a"]
    array[1:5, 2:] = np.arange(24).reshape(4, 6)  # parts of chunks, and a whole one
    array.attrs["units"] = "K"
    group["rows"].append([4, 5, 6])
    group["sharded"][1:7] = -1
    group["sharded"].resize(5)
    new = group.create_array("new/array", shape=(5,), chunks=(2,), dtype="f8")
    new[:] = 7
    del group["gone"]
    group.attrs["version"] = 1
    ndzarr.consolidate(store)


def check_changed(group: Any) -> None:
    np.testing.assert_array_equal(group["a"][1:5, 2:], np.arange(24).reshape(4, 6))
    assert group["a"].attrs["units"] == "K"
    assert group["rows"][:].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert group["sharded"][:].tolist() == [0, -1, -1, -1, -1]
    assert group["new/array"][:].tolist() == [7] * 5
    assert "gone" not in group
    assert group.attrs["version"] == 1


def test_others_see_it_at_the_end(url: str, store: SQLStore) -> None:
    prepare(store)
    before = contents(store)
    with ndzarr.transaction(store):
        change(store)
        check_changed(ndzarr.open_group(store))
        with SQLStore(url) as other:  # another handle is part of it
            check_changed(ndzarr.open_group(other))
            other.set("extra", b"1")
        assert store.get("extra") == b"1"
        assert elsewhere(store) == before
    check_changed(ndzarr.open_group(store))
    after = contents(store)
    assert after["extra"] == b"1"
    assert elsewhere(store) == after != before


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_after_an_exception_nothing_has_happened(store: SQLStore, error: type[BaseException]) -> None:
    prepare(store)
    before = contents(store)
    with pytest.raises(error), ndzarr.transaction(store):
        change(store)
        raise error
    assert contents(store) == before
    change(store)
    check_changed(ndzarr.open_group(store))


def test_nodes_urls_and_wrapped_stores_name_a_store(url: str, store: SQLStore) -> None:
    prepare(store)
    group = ndzarr.open_group(store, "r+")
    for target in (group, group["a"], url, FaultStore(store)):
        before = contents(store)
        with pytest.raises(KeyError), ndzarr.transaction(target):
            group["a"][0, 0] = 5
            assert elsewhere(store) == before
            raise KeyError
        assert contents(store) == before


def test_large_writes_use_threads_and_all_of_them_belong_to_it(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndzarr.crew, "processors", lambda: 4)
    array = ndzarr.create_array(store, shape=(64, 1 << 14), chunks=(1, 1 << 14), dtype="i8", compressor="zlib")
    data = np.random.default_rng(0).integers(0, 100, array.shape)
    with ndzarr.transaction(store):
        array[:] = data
        np.testing.assert_array_equal(array[:], data)
        assert len(elsewhere(store)) == 1
        array[3:60, 5:100] = 1
        data[3:60, 5:100] = 1
    np.testing.assert_array_equal(array[:], data)
    with ThreadPoolExecutor(1) as pool:
        np.testing.assert_array_equal(pool.submit(array.__getitem__, ...).result(), data)


def test_one_inside_another_is_part_of_it(url: str, store: SQLStore) -> None:
    with SQLStore(url) as other:
        with ndzarr.transaction(store):
            store.set("a", b"1")
            with ndzarr.transaction(other), ndzarr.transaction(store):
                other.set("b", b"2")
            assert elsewhere(store) == {}
        assert contents(store) == {"a": b"1", "b": b"2"}
        with pytest.raises(StoreError, match="undone: KeyError"), ndzarr.transaction(store):
            store.set("a", b"3")
            with pytest.raises(KeyError), ndzarr.transaction(other):
                other.set("b", b"4")
                raise KeyError
            with pytest.raises(StoreError, match="undone"):  # nobody shall go on as if it could still be kept
                store.set("c", b"5")
        assert contents(store) == {"a": b"1", "b": b"2"}


def test_two_databases_have_two_transactions(tmp_path: Path) -> None:
    with SQLStore(f"sqlite:///{tmp_path}/a.db") as one, SQLStore(f"sqlite:///{tmp_path}/b.db") as two:
        with pytest.raises(KeyError), ndzarr.transaction(one):
            one.set("a", b"1")
            with ndzarr.transaction(two):
                two.set("a", b"2")
            raise KeyError
        assert contents(one) == {}
        assert contents(two) == {"a": b"2"}


def test_two_tables_of_one_database_share_one(url: str, store: SQLStore) -> None:
    with SQLStore(url, table=f"{store.table}_b") as other:
        with pytest.raises(KeyError), ndzarr.transaction(store):
            store.set("a", b"1")
            other.set("a", b"2")
            raise KeyError
        assert contents(store) == contents(other) == {}
        with ndzarr.transaction(other):
            assert store.get("a") is None
            assert list(store.list()) == []
            store.set("a", b"1")
            other.set("a", b"2")
        assert elsewhere(store) == {"a": b"1"}
        assert elsewhere(other) == {"a": b"2"}
        third = SQLStore(url, table=f"{store.table}_c")
        with ndzarr.transaction(other):
            assert third.get("a") is None
            third.delete("a")
            third.set("a", b"3")
        assert contents(third) == {"a": b"3"}
        third.close()


def test_a_failure_of_the_database_undoes_all_of_it(store: SQLStore) -> None:
    store.set("a", b"1")
    with pytest.raises(StoreError, match="undone"), ndzarr.transaction(store):
        store.set("a", b"2")
        with pytest.raises(store._database.errors):
            store._database.write([("b", cast(bytes, None))])  # NULL, which the table does not take
    assert contents(store) == {"a": b"1"}


def test_arguments_that_are_refused_undo_nothing(store: SQLStore) -> None:
    with ndzarr.transaction(store):
        store.set("a", b"1")
        with pytest.raises(ArgumentError):
            store.set("../b", b"2")
        with pytest.raises(ArgumentError):
            store.set("b", "text")
    assert contents(store) == {"a": b"1"}


def test_it_cannot_begin_under_a_lock(store: SQLStore) -> None:
    with store.lock("a"):
        store.set("a", b"1")
        with pytest.raises(ArgumentError, match="lock"), ndzarr.transaction(store):
            pass
        store.set("b", b"2")
    assert contents(store) == {"a": b"1", "b": b"2"}


def test_what_is_empty_is_allowed(store: SQLStore) -> None:
    with ndzarr.transaction(store):
        pass
    with ndzarr.transaction(store):
        assert store.get("a") is None
    assert contents(store) == {}


def test_a_child_of_fork_has_no_part_in_it(store: SQLStore) -> None:
    store.set("a", b"1")
    with ndzarr.transaction(store):
        store.set("a", b"2")
        pid = os.fork()
        if not pid:
            break_out = None
            try:
                with store.transaction():  # one of its own
                    break_out = bytes(store.get("a")) if isinstance(store._database, Postgres) else b"1"
            finally:
                os._exit(0 if break_out == b"1" else 1)
        assert os.waitpid(pid, 0)[1] == 0
        store.set("b", b"3")
    assert contents(store) == {"a": b"2", "b": b"3"}


def test_a_child_of_fork_may_leave_the_block(store: SQLStore) -> None:
    store.set("a", b"1")
    parent = os.getpid()
    try:
        with ndzarr.transaction(store):
            store.set("a", b"2")
            pid = os.fork()
            if not pid:
                raise KeyError
            assert os.waitpid(pid, 0)[1] == 0
            store.set("b", b"3")
    finally:
        if os.getpid() != parent:
            os._exit(0 if bytes(store.get("a")) == b"1" else 1)
    assert contents(store) == {"a": b"2", "b": b"3"}


def test_the_error_says_that_it_was_undone(store: SQLStore) -> None:
    array = ndzarr.create_array(store, shape=(8,), chunks=(1,), dtype="i4")
    broken = FaultStore(store, at=3, on="set_many")
    with (
        pytest.raises(StoreError, match="injected") as caught,
        ndzarr.transaction(broken),
        ndzarr.options(workers=1, batch_bytes=1),
    ):
        ndzarr.open(broken, "r+")[:] = 5
    assert "undone" in caught.value.__notes__[-1]
    assert array[:].tolist() == [0] * 8


def test_a_copy_of_the_context_that_outlives_it_is_outside(store: SQLStore) -> None:
    with ndzarr.transaction(store):
        store.set("a", b"1")
        context = contextvars.copy_context()
    context.run(store.set, "b", b"2")
    assert elsewhere(store) == {"a": b"1", "b": b"2"}


def test_a_database_in_memory_makes_others_wait() -> None:
    with SQLStore("sqlite:///:memory:", timeout_s=30) as store, ThreadPoolExecutor(1) as pool:
        with ndzarr.transaction(store):
            store.set("a", b"1")
            seen = pool.submit(store.get, "a")
            store.set("a", b"2")
        assert seen.result() == b"2"
        with pytest.raises(KeyError), ndzarr.transaction(store):
            store.set_many({"a": b"3", "b": b"4"})
            raise KeyError
        assert contents(store) == {"a": b"2"}


@pytest.mark.parametrize("target", [None, {}, "path"], ids=["memory", "mapping", "local"])
def test_stores_without_say_which_have_them(target: Any, tmp_path: Path) -> None:
    store = ndzarr.create_group(tmp_path / "x" if target == "path" else target).store
    with (
        pytest.raises(ArgumentError, match=r"has no transactions; stores that have them: .*postgresql, sqlite"),
        ndzarr.transaction(store),
    ):
        pass


def test_a_handle_opened_for_reading_has_none(url: str, store: SQLStore) -> None:
    store.set("a", b"1")
    with SQLStore(url, readonly=True) as reader, pytest.raises(ndzarr.ReadOnlyError), ndzarr.transaction(reader):
        pass


_KEYS = st.sampled_from(["a", "b", "b/c", "b/d"])
_STEPS = st.one_of(
    st.tuples(st.just("set"), _KEYS, st.binary(max_size=5)),
    st.tuples(st.just("set_if"), _KEYS, st.binary(max_size=5)),
    st.tuples(st.just("delete"), _KEYS),
    st.tuples(st.just("delete_prefix"), st.sampled_from(["b", "b/", ""])),
    st.tuples(st.just("move_prefix"), st.just("b/"), st.just("a/")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(st.tuples(st.booleans(), st.lists(_STEPS, max_size=6)), max_size=5))
def test_it_is_what_a_copy_of_a_dict_is(store: SQLStore, blocks: list[tuple[bool, list[tuple[Any, ...]]]]) -> None:
    """Each block changes a copy, which replaces the original where the block is kept."""
    store.delete_prefix("")
    model = MemoryStore()
    for kept, steps in blocks:
        changed = MemoryStore(contents(model))
        try:
            with ndzarr.transaction(store):
                for verb, *arguments in steps:
                    if verb == "set_if":
                        done = []
                        for one in (store, changed):
                            found = one.get_tagged(arguments[0])
                            tag = None if found is None or len(arguments[1]) == 2 else found[1]
                            done.append(one.set_if(*arguments, tag=tag))
                        assert done[0] == done[1]
                    elif verb == "move_prefix":
                        if store.move_prefix(*arguments):
                            moved = {key: value for key, value in contents(changed).items() if key.startswith("b/")}
                            assert not list(changed.list("a/"))
                            changed.delete_prefix("b/")
                            changed.set_many({"a/" + key[2:]: value for key, value in moved.items()})
                    else:
                        getattr(store, verb)(*arguments)
                        getattr(changed, verb)(*arguments)
                    assert contents(store) == contents(changed)
                if not kept:
                    raise KeyError
        except KeyError:
            assert not kept
        else:
            model = changed
        assert contents(store) == contents(model)


# ---- together with other writers -------------------------------------------------------------------------------------


def _half(url: str, number: int, rounds: int, together: Any) -> None:
    array = ndzarr.open_array(url, "r+", path="a")
    mine = slice(4 * number, 4 * number + 4)
    for n in range(rounds):
        together.wait(60)  # at one chunk at the same moment
        if number:
            array[n, mine] = n + 1
        else:
            with ndzarr.transaction(array):
                array[n, mine] = n + 1
                array.attrs["last"] = n
    os._exit(0)


def _children(works: list[Callable[[], None]]) -> list[int]:
    """Fork a child for each; the exit codes."""
    pids = []
    for work in works:
        pid = os.fork()
        if not pid:
            try:
                work()
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_one_process_in_transactions_and_one_without_lose_nothing(url: str) -> None:
    """What was read and changed in a transaction stays locked to its end."""
    rounds = 200
    array = ndzarr.create_array(url, path="a", shape=(rounds, 8), chunks=(1, 8), dtype="i4", fill_value=-1)
    together = multiprocessing.get_context("fork").Barrier(2)
    assert _children([lambda: _half(url, 0, rounds, together), lambda: _half(url, 1, rounds, together)]) == [0, 0]
    np.testing.assert_array_equal(array[:], np.arange(1, rounds + 1)[:, None] * np.ones(8, int))
    array.refresh()
    assert ndzarr.open(url, path="a").attrs["last"] == rounds - 1
    array.store.close()


# ---- crashes -----------------------------------------------------------------------------------------------------------


def _kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_at(work: Callable[[int], None], n: int) -> bool:
    """Run `work(n)` in a child; whether it was killed."""
    (code,) = _children([lambda: work(n)])
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def _kill_loop(store: SQLStore, work: Callable[[int], None], record: Callable[[str, object], None]) -> None:
    """Promise P7: kill -9 at every call, until it gets through; each time nothing has happened."""
    prepare(store)
    before = contents(store)
    for n in itertools.count(1):
        if not _killed_at(work, n):
            break
        assert contents(store) == before, n
    check_changed(ndzarr.open_group(store))
    assert n > 40
    record("count: transactions killed", n - 1)


def test_killed_at_every_call_of_the_store(url: str, store: SQLStore, record_property: Any) -> None:
    def work(n: int) -> None:
        broken = FaultStore(SQLStore(url), at=n, error=_kill)
        with ndzarr.options(workers=1), ndzarr.transaction(broken):
            change(broken)

    _kill_loop(store, work, record_property)


def test_killed_at_every_statement_of_sqlite(tmp_path: Path, record_property: Any) -> None:
    def work(n: int) -> None:
        left = itertools.count(n, -1)

        class Traced(sqlite._Connection):
            def __init__(self, *args: Any, **how: Any) -> None:
                super().__init__(*args, **how)
                self.set_trace_callback(lambda _: None if next(left) > 1 else _kill())

        sqlite._Connection = Traced
        with ndzarr.options(workers=1), SQLStore(f"sqlite:///{tmp_path}/a.db") as inner, ndzarr.transaction(inner):
            change(inner)

    with SQLStore(f"sqlite:///{tmp_path}/a.db") as store:
        _kill_loop(store, work, record_property)


def test_killed_at_every_statement_of_postgres(postgres: Server, worker_id: str, record_property: Any) -> None:
    url = f"{postgres.url}?table=x_{worker_id}_{next(_tables)}"

    def work(n: int) -> None:
        left = itertools.count(n, -1)
        execute = psycopg.Cursor.execute

        def counted(*args: Any, **how: Any) -> Any:
            if next(left) <= 1:
                _kill()
            return execute(*args, **how)

        psycopg.Cursor.execute = counted
        with ndzarr.options(workers=1), SQLStore(url) as inner, ndzarr.transaction(inner):
            change(inner)

    with SQLStore(url) as store:
        _kill_loop(store, work, record_property)
