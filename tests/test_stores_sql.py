"""SQLStore on SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.sql import SQLStore
from ndzarr.testing.stores import StoreSuite
from tests.servers.programs import Server

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
