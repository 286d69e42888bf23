"""SQLStore on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import multiprocessing
import os
import pickle
import re
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import ndzarr
from ndzarr import ArgumentError, MemoryStore, NodeNotFoundError, ReadOnlyError, StoreError
from ndzarr._typing import ByteRange
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.sql import SQLStore
from ndzarr.testing.stores import StoreSuite
from tests.servers.programs import Server, free_port

_tables = itertools.count()


@pytest.fixture
def table(worker_id: str) -> str:
    """A table that no other test uses."""
    return f"t_{worker_id}_{next(_tables)}"


class _SQLSuite(StoreSuite):
    def reopen(self, store: Store) -> Store:
        store.close()
        return _again(store)

    def reopen_for_reading(self, store: Store) -> Store:
        return _again(store, readonly=True)


def _again(store: Store, readonly: bool = False) -> Store:
    if isinstance(store, FaultStore):
        return FaultStore(_again(store.inner, readonly))
    assert isinstance(store, SQLStore)
    return SQLStore(store.url, readonly=readonly)


class TestSQLite(_SQLSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with SQLStore(f"sqlite:///{tmp_path}/a.db") as store:
            yield store


class TestSQLiteWithPrefix(_SQLSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with SQLStore(f"sqlite:///{tmp_path}/a.db?prefix=b/c/&table=other") as other:
            other.set("x", b"of the store with the prefix")
        with SQLStore(f"sqlite:///{tmp_path}/a.db", prefix="b/", table="other") as beside:
            beside.delete("c/x")
            beside.set("c2/y", b"beside it")
        with SQLStore(f"sqlite:///{tmp_path}/a.db?prefix=b/c/&table=other") as store:
            yield store
        with SQLStore(f"sqlite:///{tmp_path}/a.db?table=other") as all_of_it:
            assert all_of_it.get("b/c2/y") == b"beside it"


class TestMemory(StoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with SQLStore("sqlite:///:memory:") as store:
            yield store


class TestPostgres(_SQLSuite):
    @pytest.fixture
    def store(self, postgres: Server, table: str) -> Iterator[Store]:
        with SQLStore(postgres.url, table=table) as store:
            yield store


class TestPostgresWithPrefix(_SQLSuite):
    @pytest.fixture
    def store(self, postgres: Server, table: str) -> Iterator[Store]:
        with SQLStore(postgres.url, table=table) as beside, SQLStore(postgres.url, table=table, prefix="b/c/") as store:
            beside.set("b/c2/y", b"beside it")
            yield store
            assert beside.get("b/c2/y") == b"beside it"


class TestFaultySQLite(TestSQLite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with FaultStore(SQLStore(f"sqlite:///{tmp_path}/a.db")) as store:
            yield store


class TestFaultyMemory(TestMemory):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with FaultStore(SQLStore("sqlite:///:memory:")) as store:
            yield store


class TestFaultyPostgres(TestPostgres):
    @pytest.fixture
    def store(self, postgres: Server, table: str) -> Iterator[Store]:
        with FaultStore(SQLStore(postgres.url, table=table)) as store:
            yield store


# ---- both databases --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, table: str) -> str:
    """A place that is empty, which other processes reach too."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db?table={table}"
    return f"{request.getfixturevalue('postgres').url}?table={table}"


@pytest.fixture
def store(url: str) -> Iterator[SQLStore]:
    with SQLStore(url) as store:
        yield store


def test_arrays_and_groups_are_opened_by_url(url: str) -> None:
    with pytest.raises(NodeNotFoundError):
        ndzarr.open(url)
    group = ndzarr.create_group(url, attributes={"a": 1})
    data = np.arange(60, dtype="f4").reshape(6, 10)
    array = group.create_array("b/c", shape=(6, 10), chunks=(2, 5), dtype="f4")
    array[:] = data
    group.create_array("s", shape=(6, 10), chunks=(2, 2), shards=(4, 10), dtype="f4")[:] = data
    opened = ndzarr.open(url)
    assert opened.attrs["a"] == 1
    assert sorted(opened) == ["b", "s"]
    for path in ("b/c", "s"):
        np.testing.assert_array_equal(opened[path][1:5, ::3], data[1:5, ::3])
        assert ndzarr.open(url, path=path)[3, 7] == data[3, 7]
    ndzarr.delete(url, path="b")
    assert sorted(ndzarr.open(url)) == ["s"]
    ndzarr.move(ndzarr.open(url, "r+", path="s"), url, path="t/u")
    np.testing.assert_array_equal(ndzarr.open(url)["t/u"][:], data)
    for node in (group, opened):
        node.store.close()


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    store = SQLStore(f"sqlite:///{tmp_path}/sub/a.db")
    assert store.get("a") is None
    assert store.get_tagged("a", ByteRange(0, 1)) is None
    assert store.size("a") is None
    assert list(store.list()) == list(store.list_dir()) == []
    assert list(tmp_path.iterdir()) == []
    store.set("a", b"1")
    assert (tmp_path / "sub" / "a.db").exists()
    store.close()


def test_reading_does_not_make_the_table(store: SQLStore) -> None:
    assert store.get_many([("a", None), ("b", ByteRange(1, 2))]) == [None, None]
    with SQLStore(store.url, readonly=True) as reader:
        assert reader.get("a") is None
        assert list(reader.list()) == []
        store.set("a", b"12")
        assert reader.get("a", ByteRange(1)) == b"2"
        with pytest.raises(ReadOnlyError), reader.transaction():
            pass


def test_tags_are_never_used_again(store: SQLStore) -> None:
    seen = set()
    for n in range(20):
        store.set("a", b"%d" % n)
        seen.add(store.get_tagged("a")[1])
        if n % 2:
            store.delete("a")
        with pytest.raises(KeyError), store.transaction():
            store.set("a", b"undone")
            seen.add(store.get_tagged("a")[1])
            raise KeyError
        if n % 3 == 0:
            store.set_if("a", b"x", tag=None if store.get("a") is None else store.get_tagged("a")[1])
            seen.add(store.get_tagged("a")[1])
    assert len(seen) == 20 + 20 + 7
    for tag in ("5", b"5", 5.0, (5,), True, -1, 1 << 63, 1 << 200):
        assert store.set_if("a", b"y", tag=tag) is False


def test_many_conditions_at_once(store: SQLStore) -> None:
    store.set_many({"a": b"1", "b": b"2"})
    tags = {
        key: found[1] for key, found in zip("ab", store.get_many_tagged([("a", None), ("b", ByteRange(0, 1))]), strict=True)
    }
    assert store.set_many_if(
        {"b": (b"3", tags["b"]), "a": (b"4", tags["b"]), "c": (b"5", None), "d": (b"6", tags["a"]), "e": (b"7", "none of ours")}
    ) == {"b": True, "a": False, "c": True, "d": False, "e": False}
    assert {key: store.get(key) for key in store.list()} == {"a": b"1", "b": b"3", "c": b"5"}


def test_more_keys_than_a_statement_takes(store: SQLStore) -> None:
    n = 2500
    store.set_many({f"a/{i}": b"%05d" % i for i in range(n)})
    wanted = [(f"a/{i}", None) for i in range(n + 50)]
    assert store.get_many(wanted) == [b"%05d" % i if i < n else None for i in range(n + 50)]
    ranges = [(f"a/{i}", ByteRange(i % 4, i % 4 + 1)) for i in range(n)]
    assert store.get_many(ranges) == [(b"%05d" % i)[i % 4 : i % 4 + 1] for i in range(n)]
    store.delete_many(f"a/{i}" for i in range(1, n))
    assert list(store.list()) == ["a/0"]


def test_ranges_of_any_kind(store: SQLStore) -> None:
    value = bytes(range(100))
    store.set("a", value)
    bounds = [None, *range(-120, 121, 20), 1 << 31, 1 << 62]
    ranges = [ByteRange(start, stop) for start in bounds[1:] for stop in bounds]
    assert store.get_many([("a", range) for range in ranges]) == [value[start:stop] for start, stop in ranges]
    for range_ in ranges:
        assert store.get("a", range_) == value[range_.start : range_.stop], range_


_SEGMENTS = ["a", "b", "a.b", "ab", "a-", "0", "a0", "\ud7ff", "\U0010ffff"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.sets(st.lists(st.sampled_from(_SEGMENTS), min_size=1, max_size=3).map("/".join), max_size=20),
    prefix=st.sampled_from(["", "a", "a/", "a/b", "a/b/", "\ud7ff", "\ud7ff/", "\U0010ffff", "\U0010ffff/", "a/\U0010ffff"]),
)
def test_listing_is_that_of_a_dict(store: SQLStore, keys: set[str], prefix: str) -> None:
    store.delete_prefix("")
    store.set_many(dict.fromkeys(keys, b""))
    want = {key for key in keys if key.startswith(prefix)}
    assert sorted(store.list(prefix)) == sorted(want)
    folder = prefix if prefix.endswith("/") else ""
    names = list(store.list_dir(folder))
    assert len(names) == len(set(names))
    assert set(names) == set(MemoryStore(dict.fromkeys(keys, b"")).list_dir(folder))
    store.delete_prefix(prefix)
    assert sorted(store.list()) == sorted(keys - want)


def test_a_folder_is_moved_in_one_step(store: SQLStore) -> None:
    store.set_many({"a/b": b"1", "a/c/d": b"2", "ab": b"3", "c": b"4"})
    assert store.move_prefix("a/", "x/y/")
    assert {key: store.get(key) for key in store.list()} == {"x/y/b": b"1", "x/y/c/d": b"2", "ab": b"3", "c": b"4"}
    store.set("z/1", b"5")
    assert not store.move_prefix("x/", "z/")
    assert not store.move_prefix("x/", "x/y/z/")
    assert sorted(store.list()) == ["ab", "c", "x/y/b", "x/y/c/d", "z/1"]


def test_values_that_are_too_large_are_refused(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 900_000_000 < store._database.most < 1 << 30
    monkeypatch.setattr(store._database, "most", 10)
    store.set("a", b"1234567890")
    for change in (
        lambda: store.set("a", b"12345678901"),
        lambda: store.set_many({"b": b"1", "a": bytes(11)}),
        lambda: store.set_if("c", bytes(11), tag=None),
    ):
        with pytest.raises(StoreError, match="at most 10"):
            change()
    assert {key: store.get(key) for key in store.list()} == {"a": b"1234567890"}


def test_names_of_others_are_left_out(store: SQLStore) -> None:
    store.set("a/b", b"1")
    store._database.write([("../x", b""), ("a//b", b""), ("a/\n", b""), ("/", b"")])
    assert list(store.list()) == ["a/b"]
    assert list(store.list_dir()) == ["a/"]
    assert list(store.list_dir("a/")) == ["b"]


def test_only_a_missing_key_is_missing(store: SQLStore) -> None:
    """Promise P8: a table that others have dropped is a failure."""
    store.set("a", b"1")
    if store.url.startswith("sqlite"):
        with closing(sqlite3.connect(store._database.path)) as connection:
            connection.execute(f"drop table {store.table}")
    else:
        with psycopg.connect(store.url.partition("?")[0], autocommit=True) as other:
            other.execute(f"drop table {store.table}")
    for ask in (
        lambda: store.get("a"),
        lambda: store.get("a", ByteRange(0, 1)),
        lambda: store.get_many([("a", None), ("b", ByteRange(0, 1))]),
        lambda: store.get_tagged("a"),
        lambda: store.size("a"),
        lambda: store.exists("a"),
        lambda: list(store.list()),
        lambda: list(store.list_dir()),
        lambda: store.set("a", b"1"),
        lambda: store.set_if("a", b"1", tag=None),
        lambda: store.delete("a"),
        lambda: store.delete_prefix("a"),
    ):
        with pytest.raises(StoreError, match=re.escape(store.url)):
            ask()


@pytest.mark.parametrize(
    "options",
    [
        *({"table": name} for name in ("a b", "a;drop", "", "1a", "x" * 64, 'a"')),
        *({"prefix": prefix} for prefix in ("a", "../", "/")),
        *({"timeout_s": seconds} for seconds in (0, "soon", float("nan"))),
        {"unknown": 1},
    ],
    ids=str,
)
def test_options_are_checked(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        ndzarr.open(url, **options)


# ---- locks ----------------------------------------------------------------------------------------------------------


def test_a_lock_does_not_stop_its_own_workers(store: SQLStore) -> None:
    """Those of `crew`, which have a copy of the context, get through to every key while the lock is held."""
    store.set("a", b"1")
    with store.lock("a"), ThreadPoolExecutor(4) as pool:
        assert store.get("a") == b"1"
        futures = []
        for n in range(8):

            def work(n: int = n) -> bytes | None:
                with store.lock(f"b/{n}"):
                    store.set(f"b/{n}", b"%d" % n)
                    return store.get(f"b/{n}")

            futures.append(pool.submit(contextvars.copy_context().run, work))
        assert [future.result(20) for future in futures] == [b"%d" % n for n in range(8)]
        with store.lock("c"), store.lock("a"):
            store.set_many({"c": b"3", "a": b"4"})
    assert store.get_many([("a", None), ("c", None), ("b/7", None)]) == [b"4", b"3", b"7"]


def test_what_was_set_under_a_lock_stays_after_an_exception(store: SQLStore) -> None:
    with pytest.raises(KeyError), store.lock("a"):
        store.set("a", b"1")
        raise KeyError
    assert store.get("a") == b"1"
    with store.lock("a"):
        pass


def test_a_lock_outlives_no_process(url: str, store: SQLStore) -> None:
    store.set("a", b"1")
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_hold, args=(url, started))
    process.start()
    assert started.wait(30)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_add, store, b"2")
        time.sleep(0.2)
        assert not waiting.done()
        process.kill()
        waiting.result(20)
    process.join()
    assert store.get("a") == b"12"


def _hold(url: str, started: Any) -> None:
    store = SQLStore(url)
    with store.lock("a"):
        store.get("a")
        started.set()
        time.sleep(60)


def _add(store: Store, more: bytes) -> None:
    with store.lock("a"):
        store.set("a", bytes(store.get("a")) + more)


def test_waiting_ends(url: str, store: SQLStore) -> None:
    """A writer that does not come to an end is an error in the others after `timeout_s`, not a hang."""
    store.set("a", b"1")
    with SQLStore(url, timeout_s=0.3) as other, ThreadPoolExecutor(1) as pool, store.transaction():
        store.set("a", b"2")
        before = time.monotonic()
        with pytest.raises(StoreError, match=r"lock"):
            pool.submit(other.set, "a", b"3").result()
        assert 0.2 < time.monotonic() - before < 10
        with pytest.raises(StoreError, match=r"lock"):
            pool.submit(_add, other, b"3").result()
    assert store.get("a") == b"2"


def _race(url: str, half: int, together: Any) -> None:
    array = ndzarr.open_array(url, "r+")
    for n in range(array.shape[0]):
        together.wait(60)  # at one chunk at the same moment
        array[n, 4 * half : 4 * half + 4] = 2 * n + half
    array.store.close()


def _in_two_processes(url: str, work: Callable[..., None]) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    processes = [context.Process(target=work, args=(url, number, together)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]


def test_two_processes_write_half_of_every_chunk(url: str, record_property: Callable[[str, object], None]) -> None:
    """Promise P4: nothing is lost of 2,000 chunks."""
    n = 2000
    array = ndzarr.create_array(url, shape=(n, 8), chunks=(1, 8), dtype="i4", fill_value=-1)
    _in_two_processes(url, _race)
    want = np.arange(n, dtype="i4")[:, None] * 2 + np.repeat([0, 1], 4)
    lost = int((array[:] != want).any(axis=1).sum())
    record_property("count: chunks written by two processes", n)
    assert lost == 0
    array.store.close()


def _append(url: str, number: int, together: Any) -> None:
    array = ndzarr.open_array(url, "r+")
    for n in range(50):
        together.wait(60)
        array.append(np.full((3,), number * 100 + n, "i4"))
        array.attrs.update({f"{number}.{n}": n})
    array.store.close()


def test_processes_append_and_change_attributes(url: str) -> None:
    array = ndzarr.create_array(url, shape=(0,), chunks=(4,), dtype="i4")
    _in_two_processes(url, _append)
    array.refresh()
    rows = array[:].reshape(-1, 3)
    assert sorted(rows[:, 0]) == sorted([*range(50), *range(100, 150)])
    assert (rows == rows[:, :1]).all()
    assert len(ndzarr.open(url).attrs) == 100
    array.store.close()


def test_children_of_fork_make_their_own_connections(store: SQLStore) -> None:
    store.set("a", b"1")
    with store.lock("b"):  # held by the parent: the child has no part in it
        pid = os.fork()
        if not pid:
            good = store.get("a") == b"1" and store.get_many([("a", ByteRange(0, 1))]) == [b"1"]
            os._exit(0 if good else 1)
        assert os.waitpid(pid, 0)[1] == 0
        store.set("b", b"2")
    pid = os.fork()
    if not pid:
        with store.lock("a"), store.lock("b"):
            store.set_many({"a": b"3", "c": b"4"})
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.get_many([("a", None), ("b", None), ("c", None)]) == [b"3", b"2", b"4"]


def test_it_pickles_into_another_process(url: str, store: SQLStore) -> None:
    store.set("a", b"1")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_bytes_of, store, "a").result() == b"1"


def _bytes_of(store: Store, key: str) -> bytes:
    return bytes(store.get(key))


# ---- SQLite ---------------------------------------------------------------------------------------------------------


def _traced(store: SQLStore) -> list[str]:
    """The statements that `store` sends from now on."""
    statements: list[str] = []
    connection = store._database._take(create=True)
    connection.set_trace_callback(statements.append)
    store._database._give(connection)
    return statements


def test_statements(tmp_path: Path) -> None:
    with SQLStore(f"sqlite:///{tmp_path}/a.db") as store:
        array = ndzarr.create_array(store, shape=(100,), chunks=(1,), dtype="i4")
        array[:] = np.arange(100)
        keys = [array._engine.layout.key((n,)) for n in range(100)]
        statements = _traced(store)

        def sent(call: Callable[[], object]) -> list[str]:
            statements.clear()
            call()
            return [text.partition(" ")[0].lower() for text in statements if "busy_timeout" not in text]

        assert sent(lambda: store.get_many([(key, None) for key in keys])) == ["select"]
        assert sent(lambda: store.get_many_tagged([(key, None) for key in keys])) == ["select"]
        assert sent(lambda: store.get_many([(key, ByteRange(0, 2)) for key in keys])) == ["select"]
        assert sent(lambda: store.get(keys[0])) == ["select"]
        store.set("large", bytes(1 << 20))
        assert sent(lambda: store.get("large", ByteRange(5, 9))) == ["select", "begin", "select", "commit"]
        assert sent(lambda: store.size(keys[0])) == ["select"]
        assert sent(lambda: list(store.list())) == ["select"]
        assert sent(lambda: list(store.list_dir("c/")))[:1] in (["with"], ["\nwith"])
        assert sent(lambda: store.set(keys[0], b"1")) == ["begin", "insert", "commit"]
        assert sent(lambda: store.set_many(dict.fromkeys(keys[:3], b"1"))) == ["begin", *["insert"] * 3, "commit"]
        assert sent(lambda: store.delete_prefix("c/")) == ["begin", "delete", "commit"]
        assert sent(lambda: ndzarr.open(store)) == ["select"]


def test_no_room_leaves_the_old_values(tmp_path: Path) -> None:
    with SQLStore(f"sqlite:///{tmp_path}/a.db") as store:
        store.set_many({"a": b"1", "b": b"2"})
        connection = store._database._take(create=True)
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages + 8}")
        store._database._give(connection)
        large = bytes(1 << 20)
        with pytest.raises(StoreError, match="full"):
            store.set("a", large)
        with pytest.raises(StoreError, match="full"):
            store.set_many({"c": b"3", "b": large})
        with pytest.raises(StoreError, match="undone"), store.transaction():
            store.set("c", b"3")
            with pytest.raises(StoreError, match="full"):
                store.set("a", large)
        assert {key: store.get(key) for key in store.list()} == {"a": b"1", "b": b"2"}
        with pytest.raises(StoreError), store.lock("a"):  # which is said, wherever it comes to light
            store.set("c", b"3")
            with contextlib.suppress(StoreError):
                store.set("a", large)
            if store.get("c") == b"3":
                raise StoreError("the first was kept")
        assert store.get("a") == b"1"
        store.set("c", b"4")


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///a.db", "a.db"), ("sqlite:///b/a b.db?table=x", "b/a b.db"), ("sqlite:////{}/x%20y.db", "x%20y.db")],
)
def test_paths_are_written_as_sqlalchemy_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with SQLStore(url.replace("{}", str(tmp_path).lstrip("/"))) as store:
        monkeypatch.chdir("/")
        store.set("a", b"1")
        assert (tmp_path / path).is_file()
        assert store.object_id("a") == SQLStore(store.url).object_id("a")


@pytest.mark.parametrize("url", ["sqlite://host/a.db", "sqlite:a.db", "sqlite:///a.db?mode=ro", "mysql://a/b", "a.db", None])
def test_other_urls_are_refused(url: Any) -> None:
    with pytest.raises(ArgumentError):
        SQLStore(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_databases_in_memory_are_apart(url: str) -> None:
    with SQLStore(url) as one, SQLStore(url) as two:
        one.set("a", b"1")
        assert two.get("a") is None
        assert not one.exclusive
        assert one.object_id("a") != two.object_id("a")


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"something else" * 1000)
    (tmp_path / "d.db").mkdir()
    for name in ("a.db", "d.db", "a.db/b.db"):
        with SQLStore(f"sqlite:///{tmp_path}/{name}") as store:
            with pytest.raises(StoreError):
                store.set("a", b"1")
            if name != "a.db/b.db":
                with pytest.raises(StoreError):
                    store.get("a")


def test_durable_writes_sync(tmp_path: Path) -> None:
    with SQLStore(f"sqlite:///{tmp_path}/a.db") as store:
        store.set("a", b"1")
        statements = _traced(store)
        with ndzarr.options(durable=True):
            store.set("a", b"2")
            store.set("a", b"3")
        store.set("a", b"4")
        assert [text.rpartition(" ")[2] for text in statements if "synchronous" in text] == ["full", "normal"]


def test_a_database_in_memory_stays_behind_at_fork() -> None:
    with SQLStore("sqlite:///:memory:") as store:
        store.set("a", b"1")
        pid = os.fork()
        if not pid:
            try:
                store.get("a")
            except StoreError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert store.get("a") == b"1"


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


def test_passwords_are_never_shown(postgres: Server) -> None:
    port = free_port()
    for url in (
        f"postgresql://me:s3cr%40t@127.0.0.1:{port}/db?sslmode=disable",
        f"postgres://me@127.0.0.1:{port}/db?password=s3cr%40t",
        f"postgresql://me:s3cr%40t@127.0.0.1:{port},localhost:{port}/db",
        "postgresql://me:s3cr%40t@/db?nonsense=1",
    ):
        try:
            store = SQLStore(url)
            told = f"{store.url} {store!r}"
            with pytest.raises(StoreError, match="me@") as caught:
                store.get("a")
            told += "".join(traceback.format_exception(caught.value))
            assert pickle.loads(pickle.dumps(store))._address == store._address
        except ArgumentError as error:
            assert "nonsense" in url
            told = "".join(traceback.format_exception(error))
        assert "s3cr" not in told


def test_a_server_that_was_never_there_fails_at_once() -> None:
    store = SQLStore(f"postgresql://nd@127.0.0.1:{free_port()}/db")
    before = time.monotonic()
    for ask in (
        lambda: store.get("a"),
        lambda: store.set("a", b"1"),
        lambda: store.lock("a").__enter__(),
        lambda: list(store.list()),
    ):
        with pytest.raises(StoreError, match="refused"):
            ask()
    with pytest.raises(StoreError, match="refused"), store.transaction():
        pass
    assert time.monotonic() - before < 5


def test_of_several_hosts_one_that_answers_is_taken(postgres: Server, table: str) -> None:
    """What the documentation says about failover; the server that is gone costs no error."""
    url = postgres.url.replace("127.0.0.1:", f"127.0.0.1:{free_port()},127.0.0.1:", 1)
    with (
        SQLStore(f"{url}?target_session_attrs=read-write&table={table}") as store,
        SQLStore(postgres.url, table=table) as direct,
    ):
        store.set("a", b"1")
        assert direct.get("a") == b"1"
        assert store.object_id("a") == direct.object_id("a")
        with store.transaction():  # under either name
            store.set("a", b"2")
            direct.set("a", b"3")
            assert store.get("a") == b"3"


def test_lost_connections_are_made_again(postgres: Server, table: str) -> None:
    with SQLStore(postgres.url, table=table) as store, psycopg.connect(postgres.url, autocommit=True) as other:

        def cut() -> None:
            # Waits until it is gone, so that the next statement meets a dead connection.
            idle = store._database._connections._idle
            for pid in [connection.info.backend_pid for connection in idle]:
                other.execute("select pg_terminate_backend(%s, 5000)", [pid])

        store.set("a", b"1")
        cut()
        assert store.get("a") == b"1"
        cut()
        store.set("a", b"2")
        cut()
        with store.lock("a"):
            assert store.get("a") == b"2"
        cut()
        with store.transaction():
            store.set("a", b"3")
        assert store.get("a") == b"3"
        # A write with a condition may have been done before the answer was lost: it is not done again.
        tag = store.get_tagged("a")[1]
        cut()
        with pytest.raises(StoreError):
            store.set_if("a", b"4", tag=tag)
        assert store.set_if("a", b"4", tag=tag)


def test_a_server_that_goes_away_is_waited_for(postgres: Server, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise P9: tried again for a bounded time, and the error says how often."""
    with SQLStore(postgres.url, table=table) as store:
        store.set("a", b"1")
        database = store._database
        there, gone = database._conninfo, database._conninfo.replace(f"port={postgres.port}", f"port={free_port()}")
        assert there != gone

        def go_away() -> None:
            database._conninfo = gone
            store.close()

        with ThreadPoolExecutor(1) as pool:
            for call in (lambda: store.get("a"), lambda: store.set("a", b"1"), lambda: _add(store, b"")):
                go_away()
                waiting = pool.submit(call)
                time.sleep(0.2)
                assert not waiting.done()
                database._conninfo = there
                waiting.result(20)
        monkeypatch.setattr("ndzarr.stores.postgres._RETRY_S", 0.3)
        go_away()
        with pytest.raises(StoreError, match=r"refused.*tried [0-9]+ times"):
            store.get("a")
        database._conninfo = there
        assert store.get("a") == b"1"


def test_a_connection_lost_in_a_transaction_undoes_it(postgres: Server, table: str) -> None:
    with (
        SQLStore(f"{postgres.url}?application_name={table}", table=table) as store,
        psycopg.connect(postgres.url, autocommit=True) as other,
    ):
        store.set("a", b"1")
        with pytest.raises(StoreError, match="undone"), store.transaction():
            store.set("a", b"2")
            ended = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = %s"
            assert other.execute(f"{ended} and state = 'idle in transaction'", [table]).fetchall() == [(True,)]
            with pytest.raises(StoreError):
                store.set("b", b"2")
        assert store.get_many([("a", None), ("b", None)]) == [b"1", None]


def test_deadlocks_are_tried_again(postgres: Server, table: str) -> None:
    """Two that write the same keys in other orders; outside transactions nobody gets to see it."""
    keys = [f"k{n}" for n in range(40)]
    with SQLStore(postgres.url, table=table) as store:
        store.set_many(dict.fromkeys(keys, b"0"))

        def work(number: int) -> None:
            order = keys if number % 2 else keys[::-1]
            for n in range(15):
                if n % 3 == 0:
                    store.delete_many(order)
                elif n % 3 == 1:
                    store.set_many(dict.fromkeys(order, b"%d" % number))
                else:
                    store.set_many_if(dict.fromkeys(order, (b"x", None)))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))


def test_values_are_kept_as_they_are(postgres: Server, table: str) -> None:
    """Out of line and uncompressed: what a range of a large value costs goes by that."""
    with SQLStore(postgres.url, table=table) as store, psycopg.connect(postgres.url) as other:
        store.set("a", bytes(1 << 20))
        row = other.execute(f"select pg_column_size(value) from {table}").fetchone()
        assert row[0] >= 1 << 20


def test_one_statement_for_many_keys(postgres: Server, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with SQLStore(postgres.url, table=table) as store:
        store.set_many({f"a/{n}": b"%03d" % n for n in range(100)})
        sent: list[object] = []
        execute = psycopg.Cursor.execute

        def counted(cursor: Any, query: Any, *rest: Any, **how: Any) -> Any:
            sent.append(query)
            return execute(cursor, query, *rest, **how)

        monkeypatch.setattr(psycopg.Cursor, "execute", counted)
        assert store.get_many([(f"a/{n}", None) for n in range(100)]) == [b"%03d" % n for n in range(100)]
        assert len(sent) == 1
        assert store.get_many([(f"a/{n}", ByteRange(1, 3)) for n in range(100)]) == [b"%02d" % n for n in range(100)]
        assert len(sent) == 2
        store.delete_many([f"a/{n}" for n in range(100)])
        assert len(sent) == 3


def test_users_without_rights_can_still_read(postgres: Server, table: str) -> None:
    with SQLStore(postgres.url, table=table) as store, psycopg.connect(postgres.url, autocommit=True) as other:
        store.set("a", b"1")
        other.execute(f"create role r_{table} login; grant select on {table} to r_{table}")
        with SQLStore(postgres.url.replace("nd@", f"r_{table}@"), table=table) as reader:
            assert reader.get("a") == b"1"
            assert reader.object_id("a") == store.object_id("a")
            with pytest.raises(StoreError, match="permission denied"):
                reader.set("a", b"2")
        other.execute(f"drop owned by r_{table}; drop role r_{table}")


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "ndzarr.stores.postgres", raising=False)
    with pytest.raises(ArgumentError, match=re.escape("pip install 'ndzarr[postgres]'")):
        ndzarr.open("postgresql://me@host/db")


def test_a_file_that_is_made_while_a_reader_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, connect = SQLStore(f"sqlite:///{tmp_path}/x.db"), sqlite3.connect

    def slow(*args: Any, **kwargs: Any) -> Any:
        try:
            return connect(*args, **kwargs)
        except sqlite3.OperationalError:
            monkeypatch.setattr(sqlite3, "connect", connect)
            with closing(SQLStore(store.url)) as other:
                other.set("a", b"1")
            raise

    monkeypatch.setattr(sqlite3, "connect", slow)
    assert store.get("a") == b"1"
    store.close()
