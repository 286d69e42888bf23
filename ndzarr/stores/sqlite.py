"""SQLite, from the standard library: one file, or the memory of this process.

SQLite lets one writer in at a time. In this process writers queue up at a lock, so that they need not poll the file; readers go
by the state of the last commit (write-ahead log) and wait for nobody.
"""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary, finalize

from ndzarr import config
from ndzarr._typing import ByteRange
from ndzarr.errors import StoreError
from ndzarr.stores.base import span
from ndzarr.stores.connections import Connections, Patience, Scope, entered, joined, scope_of
from ndzarr.stores.database import Database, Found, Keys, condition, new_tag

#: Bytes of a page of a new file. Measured, values of 1 MiB: written in 1.4 ms with SQLite's own 4 KiB, 0.5 ms with 16 KiB,
#: 1.3 ms with 64 KiB; values of 1 KB cost 12, 19 and 38 us.
_PAGE_BYTES = 16384
#: Keys in one statement: SQLite before 3.32 takes 999 parameters.
_KEYS = 900
#: Values up to so many bytes are loaded whole where a range of them is wanted.
_SMALL = 16384
#: The longest pause between two tries at a file that another process writes to. SQLite's own go up to 100 ms.
_PAUSE_S = 0.004
_memories = itertools.count()


class _Connection(sqlite3.Connection):
    durable: bool | None = None


class _Gate:
    """Lets one writer of this process in at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_gates: WeakValueDictionary[Hashable, _Gate] = WeakValueDictionary()


class SQLite(Database):
    """The table `table` of the file `path`; of a database in memory where that is None, with the contents of `image`."""

    errors = (sqlite3.Error, OSError)

    def __init__(
        self, path: str | None, table: str, url: str, *, readonly: bool, timeout_s: float, image: bytes | None
    ) -> None:
        self.path = path
        self.shared = path is not None
        self.most = 1_000_000_000  # SQLITE_MAX_LENGTH, unless that was changed when SQLite was built
        self._table, self._url, self._readonly, self._timeout_s = table, url, readonly, timeout_s
        self._identity: Hashable = ("sqlite", next(_memories) if path is None else os.path.realpath(path))
        self._gate = _gates.setdefault(self._identity, _Gate())
        self._connections: Connections[_Connection] = Connections(_Connection.close)
        self._memory = None if path is not None else _Memory(self._connect(":memory:", image), url, timeout_s)

    @property
    def identity(self) -> Hashable:
        return self._identity

    # ---- connections ------------------------------------------------------------------------------

    def _connect(self, name: str, image: bytes | None = None) -> _Connection:
        connection: _Connection = sqlite3.connect(
            name,
            timeout=self._timeout_s,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time, but not always the same
            factory=_Connection,
            uri=name != ":memory:",
        )
        try:
            if image is not None:
                connection.deserialize(image)
            if name == ":memory:":
                connection.execute(self._sql(_CREATE))
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, create: bool) -> _Connection | None:
        """A connection to the table; None where there is none and it is not to be made."""
        if self._memory is not None:
            return self._memory.take()
        found = self._connections.take()
        if found is not None:
            return found
        path = self.path or ""
        mode = "ro" if self._readonly else "rwc" if create else "rw"
        if create:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        name = f"file:{quote(path)}?mode={mode}"
        try:
            connection = self._connect(name)
        except sqlite3.OperationalError:
            if create:
                raise
            if not os.path.lexists(path):
                return None
            connection = self._connect(name)  # somebody else may have made it between the two
        try:
            there = self._has_table(connection)
            if not there and create:
                self._enter()
                try:
                    self._make_table(connection)
                finally:
                    self._gate.lock.release()
            elif not there:
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
        return connection

    def _has_table(self, connection: _Connection) -> bool:
        ask = "select 1 from sqlite_master where type = 'table' and name = ? collate nocase"
        return connection.execute(ask, (self._table,)).fetchone() is not None

    def _make_table(self, connection: _Connection) -> None:
        # In this order: a page has its size, and the file its journal, from the first table on.
        connection.execute(f"pragma page_size = {_PAGE_BYTES}")
        patience = Patience(self._timeout_s)
        while True:  # two processes that make one file: SQLite does not wait here
            try:
                connection.execute("pragma journal_mode = wal").fetchone()
                break
            except sqlite3.OperationalError as error:
                if not _busy(error) or not patience.pause(_PAUSE_S):
                    raise
        connection.execute(self._sql(_CREATE))

    def _give(self, connection: _Connection) -> None:
        if self._memory is not None:
            self._memory.give(connection)
        elif connection.in_transaction:
            self._connections.drop(connection)
        else:
            self._connections.give(connection)

    def _enter(self) -> None:
        """Pass the gate; whoever does gives its lock back."""
        if not self._gate.lock.acquire(timeout=self._timeout_s):
            raise sqlite3.OperationalError(f"database is locked: another thread has been writing for {self._timeout_s} s")

    def _begin(self, connection: _Connection) -> None:
        """Become the one writer; the gate is passed."""
        durable = config.current().durable
        if durable is not connection.durable:
            # With the write-ahead log, "normal" is safe against everything but the loss of the last commits with the power.
            wal = connection.execute("pragma journal_mode").fetchone()[0] == "wal"
            connection.execute(f"pragma synchronous = {'full' if durable or not wal else 'normal'}")
            connection.durable = durable
        patience = Patience(self._timeout_s)
        connection.execute("pragma busy_timeout = 0")
        try:
            while True:
                try:
                    connection.execute("begin immediate")
                    return
                except sqlite3.OperationalError as error:
                    if not _busy(error) or not patience.pause(random.uniform(_PAUSE_S / 8, _PAUSE_S)):
                        raise
        finally:
            connection.execute(f"pragma busy_timeout = {int(self._timeout_s * 1000)}")

    @contextmanager
    def _reading(self) -> Iterator[_Connection | None]:
        """A connection for a read; None where there is nothing to read."""
        scope = scope_of(self._identity)
        if scope is not None:
            with scope.use() as connection:
                yield connection if self._is_in(scope, connection) else None
            return
        found = self._take(create=False)
        if found is None:
            yield None
            return
        try:
            yield found
        except BaseException:
            _undo(found)
            raise
        finally:
            self._give(found)

    def _is_in(self, scope: Scope[_Connection], connection: _Connection) -> bool:
        """Whether there is the table in a scope, which another store may have begun."""
        if self._table not in scope.tables and self._has_table(connection):
            scope.tables.add(self._table)
        return self._table in scope.tables

    @contextmanager
    def _writing(self) -> Iterator[_Connection]:
        """A connection for a write that is kept as a whole."""
        scope = scope_of(self._identity)
        if scope is not None:
            with scope.use() as connection:
                if not self._is_in(scope, connection):
                    connection.execute(self._sql(_CREATE))
                yield connection
            return
        found = self._made()
        try:
            self._enter()
            try:
                self._begin(found)
                yield found
                found.execute("commit")
            finally:
                _undo(found)
                self._gate.lock.release()
        finally:
            self._give(found)

    def _made(self) -> _Connection:
        connection = self._take(create=True)
        if connection is None:  # "create" makes one, or raises
            raise StoreError(f"cannot open {self._url}", store=self._url)
        return connection

    # ---- scopes: a lock and a transaction are both a transaction of SQLite's ---------------------------------------------

    def _start(self) -> _Connection:
        connection = self._made()
        try:
            self._enter()
            try:
                self._begin(connection)
            except BaseException:
                self._gate.lock.release()
                raise
        except BaseException:
            self._give(connection)
            raise
        return connection

    def _end(self, connection: _Connection, keep: bool) -> None:
        try:
            if keep and not connection.in_transaction:
                raise StoreError(
                    f"{self._url} has undone what was written: it ran out of room or failed to write", store=self._url
                )
            if keep:
                connection.execute("commit")
        except sqlite3.Error as error:
            raise StoreError(f"cannot commit to {self._url}: {error}; what was written is undone", store=self._url) from error
        finally:
            _undo(connection)
            self._gate.lock.release()
            self._give(connection)

    def _scope(self, *, whole: bool) -> Scope[_Connection]:
        return Scope(self._start, self._end, self._url, self._timeout_s, whole=whole)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Be the one writer, from the first call in the block to its end, when all that was written is committed.

        From the first call on, not before: two threads that encode chunks need not wait for each other. An exception undoes
        nothing, as with every other store.
        """
        outer = scope_of(self._identity)
        if outer is not None:
            with outer.key(self._table + "\0" + key):
                yield
            return
        scope = self._scope(whole=False)
        with entered(self._identity, scope), scope.key(self._table + "\0" + key):
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        outer = scope_of(self._identity)
        with entered(self._identity, self._scope(whole=True)) if outer is None else joined(outer, self._url):
            yield

    # ---- values ---------------------------------------------------------------------------------------------------------

    def _sql(self, text: str) -> str:
        return text.replace("<table>", f'"{self._table}"')

    def read(self, requests: Sequence[tuple[str, ByteRange | None]]) -> list[Found | None]:
        with self._reading() as connection:
            if connection is None:
                return [None] * len(requests)
            if len(requests) == 1 and requests[0][1] is None:
                row = connection.execute(
                    self._sql("select value, tag from <table> where key = ?"), (requests[0][0],)
                ).fetchone()
                return [None if row is None else Found(*row)]
            whole = list({key for key, range in requests if range is None})
            values = {key: Found(value, tag) for key, value, tag in self._among(connection, "key, value, tag", whole)}
            parts = {(key, range): None for key, range in requests if range is not None and key not in values}
            found = self._parts(connection, list(parts)) if parts else {}
        answers: list[Found | None] = []
        for key, range in requests:
            value = values.get(key)
            if range is None or value is None:
                answers.append(value if range is None else found.get((key, range)))
            else:
                answers.append(Found(value.value[slice(*range)], value.tag))
        return answers

    def _among(self, connection: _Connection, columns: str, keys: Sequence[str]) -> Iterator[Any]:
        for start in range(0, len(keys), _KEYS):
            some = keys[start : start + _KEYS]
            marks = ", ".join("?" * len(some))
            yield from connection.execute(self._sql(f"select {columns} from <table> where key in ({marks})"), some)

    def _parts(self, connection: _Connection, wanted: Sequence[tuple[str, ByteRange]]) -> dict[tuple[str, ByteRange], Found]:
        """Ranges of values: cut from small values, and of large ones no more read than the pages that hold them.

        Not by `substr`, which loads the whole value: 120 us instead of 6 for the first bytes of 1 MiB.
        """
        keys = list(dict.fromkeys(key for key, _ in wanted))
        columns = f"key, tag, case when length(value) <= {_SMALL} then value end"
        small = {key: (tag, value) for key, tag, value in self._among(connection, columns, keys)}
        found = {}
        large = []
        for key, range in wanted:
            if key in small:
                tag, value = small[key]
                if value is None:
                    large.append((key, range))
                else:
                    found[key, range] = Found(value[slice(*range)], tag)
        if large:
            found |= self._stretches(connection, large)
        return found

    def _stretches(
        self, connection: _Connection, wanted: Sequence[tuple[str, ByteRange]]
    ) -> dict[tuple[str, ByteRange], Found]:
        inside = connection.in_transaction
        if not inside:
            connection.execute("begin")  # rows and values of one state
        keys = list(dict.fromkeys(key for key, _ in wanted))
        rows = {key: rest for key, *rest in self._among(connection, "key, rowid, tag, length(value)", keys)}
        found = {}
        for key, range in wanted:
            if key in rows:
                row, tag, nbytes = rows[key]
                start, length = span(range, nbytes)
                data = b""
                if length:
                    with connection.blobopen(self._table, "value", row, readonly=True) as blob:
                        blob.seek(start)
                        data = blob.read(length)
                found[key, range] = Found(data, tag)
        if not inside:
            connection.execute("commit")
        return found

    def size(self, key: str) -> int | None:
        with self._reading() as connection:
            if connection is None:
                return None
            row = connection.execute(self._sql("select length(value) from <table> where key = ?"), (key,)).fetchone()
            return None if row is None else row[0]

    def keys(self, among: Keys) -> list[str]:
        with self._reading() as connection:
            if connection is None:
                return []
            where, values = condition(among, "?")
            return [key for (key,) in connection.execute(self._sql(f"select key from <table> where {where}"), values)]

    def names(self, among: Keys, start: int) -> list[str]:
        with self._reading() as connection:
            if connection is None:
                return []
            where, values = condition(among, "?")
            past = values[1:]
            cut = self._sql(_NAMES.replace("<where>", where).replace("<past>", " and key < ?" if past else ""))
            rows = connection.execute(cut, [*values, *[start + 1] * 3, *past])
            return [key for (key,) in rows]

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        rows = [(key, new_tag(), value) for key, value in items]
        with self._writing() as connection:
            connection.executemany(self._sql(_WRITE), rows)

    def write_if(self, items: Sequence[tuple[str, bytes, int | None]]) -> list[bool]:
        with self._writing() as connection:
            done = []
            for key, value, tag in items:
                if tag is None:
                    cursor = connection.execute(self._sql(_WRITE_NEW), (key, new_tag(), value))
                else:
                    cursor = connection.execute(self._sql(_WRITE_IF), (new_tag(), value, key, tag))
                done.append(cursor.rowcount == 1)
            return done

    def delete(self, keys: Sequence[str]) -> None:
        with self._writing() as connection:
            connection.executemany(self._sql("delete from <table> where key = ?"), [(key,) for key in keys])

    def delete_all(self, among: Keys) -> None:
        where, values = condition(among, "?")
        with self._writing() as connection:
            connection.execute(self._sql(f"delete from <table> where {where}"), values)

    def move(self, among: Keys, new: Keys) -> bool:
        where_new, values_new = condition(new, "?")
        where, values = condition(among, "?")
        with self._writing() as connection:
            if connection.execute(self._sql(f"select 1 from <table> where {where_new} limit 1"), values_new).fetchone():
                return False
            update = self._sql(f"update <table> set key = ? || substr(key, ?) where {where}")
            connection.execute(update, [new.first, len(among.first) + 1, *values])
            return True

    def image(self) -> bytes | None:
        """All of a database in memory as bytes; None of a file."""
        if self._memory is None:
            return None
        with self._reading() as connection:
            return None if connection is None else connection.serialize()

    def close(self) -> None:
        self._connections.close()


class _Memory:
    """The one connection to a database in memory; whoever wants it waits until it is given back."""

    def __init__(self, connection: _Connection, url: str, timeout_s: float) -> None:
        self._connection, self._url, self._timeout_s = connection, url, timeout_s
        self._free = threading.Lock()
        self._pid = os.getpid()
        finalize(self, connection.close)

    def take(self) -> _Connection:
        if self._pid != os.getpid():
            raise StoreError(f"{self._url} does not come along into a child of fork; use a file", store=self._url)
        if not self._free.acquire(timeout=self._timeout_s):
            raise sqlite3.OperationalError(f"database is locked: another thread has been using it for {self._timeout_s} s")
        return self._connection

    def give(self, connection: _Connection) -> None:
        self._free.release()


_CREATE = "create table if not exists <table> (key text primary key not null, tag integer not null, value blob not null)"
_WRITE = (
    "insert into <table> (key, tag, value) values (?, ?, ?) on conflict (key) do update set tag = excluded.tag, "
    "value = excluded.value"
)
_WRITE_NEW = "insert into <table> (key, tag, value) values (?, ?, ?) on conflict (key) do nothing"
_WRITE_IF = "update <table> set tag = ?, value = ? where key = ? and tag = ?"
# From each key to the next one that has another name: behind all that start with "name/" ("0" comes after "/"), or behind the
# key itself (no key has control characters).
_NAMES = """
with recursive found(key) as (
    select min(key) from <table> where <where>
    union all
    select (
        select min(key) from <table>
        where key >= case instr(substr(found.key, ?), '/')
            when 0 then found.key || char(1)
            else substr(found.key, 1, ? + instr(substr(found.key, ?), '/') - 2) || '0'
        end <past>
    ) from found where found.key is not null
) select key from found where key is not null
"""


def _busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _undo(connection: _Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("rollback")


def _fresh_gates() -> None:
    # A gate that another thread of the parent was in would stay shut in a child of fork.
    for gate in list(_gates.values()):
        gate.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_gates)
