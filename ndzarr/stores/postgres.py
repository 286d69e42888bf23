"""PostgreSQL, through psycopg 3.

Statements are in text with parameters, answers in binary: of 500 values of 64 KiB the text form takes 2.5 times as long. Values
are kept out of line and uncompressed (`storage external`), so that a range reads only the pieces that hold it.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import blake2b
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.stores.connections import Connections, Patience, Scope, any_scopes, entered, held, joined, scope_of
from ndzarr.stores.database import Database, Found, Keys, condition, new_tag, plain_range

_Connection: TypeAlias = psycopg.Connection[Any]
_T = TypeVar("_T")

#: What libpq is told unless the URL says otherwise: to give up on a server that is silent (promise P9).
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": "10",
    "tcp_user_timeout": "30000",
    "keepalives_idle": "30",
    "application_name": "ndzarr",
}
#: How long a call that failed for a passing reason is tried again.
_RETRY_S = 30.0
#: What PostgreSQL undid by itself, so that any call can be done again: serialization failure, deadlock.
_UNDONE = ("40001", "40P01")
#: The server goes down or comes up, or the connection broke.
_PASSING = ("57P01", "57P02", "57P03")
_INT4 = (1 << 31) - 1


class _Held(threading.local):
    """The connection by which this thread holds advisory locks, and how often each."""

    connection: _Connection | None = None
    pid = 0

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}


class Postgres(Database):
    """The table `table` of the database that `conninfo`, a URL for libpq, leads to; nothing is connected before it is used."""

    errors = (psycopg.Error, OSError)
    shared = True
    #: What PostgreSQL allocates at once, less what goes with a value.
    most = 0x3FFFFFFF - 4096

    def __init__(self, conninfo: str, table: str, url: str, *, readonly: bool, timeout_s: float) -> None:
        try:
            given = conninfo_to_dict(conninfo)
        except psycopg.Error:
            raise ArgumentError(f"cannot open {url!r}: it is no URL of a PostgreSQL database") from None  # it would repeat it
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **given, "client_encoding": "UTF8"})
        self._table, self._url, self._readonly, self._timeout_s = table, url, readonly, timeout_s
        self._identity: Hashable | None = None
        self._reached = False
        self._connections: Connections[_Connection] = Connections(_Connection.close)
        self._held = _Held()

    @property
    def identity(self) -> Hashable:
        # Not the URL: one server has many names, and a second handle that did not take part in a transaction would wait for it.
        if self._identity is None:
            self._identity = self._alone(self._ask_identity, table=False)
        return self._identity

    def _ask_identity(self, connection: _Connection) -> Hashable:
        try:
            row = connection.execute("select system_identifier::text, current_database() from pg_control_system()").fetchone()
        except psycopg.errors.InsufficientPrivilege:
            row = (connection.info.host, connection.info.port, connection.info.dbname)
        return ("postgresql", *(row or ()))

    # ---- connections ------------------------------------------------------------------------------

    def _take(self, create: bool, table: bool) -> _Connection | None:
        """A connection to the table; None where there is none and it is not to be made."""
        found = self._connections.take()
        if found is not None:
            return found
        connection = psycopg.connect(self._conninfo, autocommit=True)
        try:
            self._reached = True
            connection.execute("select set_config('lock_timeout', %s, false)", [str(int(self._timeout_s * 1000))])
            if self._readonly:
                connection.execute("set default_transaction_read_only = on")
            if not table:  # of no use to anybody else
                return connection
            if self._has_table(connection):
                return connection
            if create:
                self._make_table(connection)
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def _has_table(self, connection: _Connection) -> bool:
        row = connection.execute("select to_regclass(%s)", [f'"{self._table}"']).fetchone()
        return row is not None and row[0] is not None

    def _make_table(self, connection: _Connection) -> None:
        with self._whole(connection):
            # "if not exists" looks first, and of two that look at once one fails.
            connection.execute("select pg_advisory_xact_lock(%s)", [self._number("", "table")])
            connection.execute(self._sql(_CREATE))
            connection.execute(self._sql("alter table <table> alter column value set storage external"))

    def _give(self, connection: _Connection) -> None:
        if connection.closed or connection.broken or connection.info.transaction_status != TransactionStatus.IDLE:
            self._connections.drop(connection)
        else:
            self._connections.give(connection)

    def _run(self, work: Callable[[_Connection], _T], absent: _T, *, create: bool = False, again: bool = True) -> _T:
        """What `work` gives for the connection of this thread or context, else see `_alone`."""
        scope = scope_of(self.identity) if any_scopes() else None
        if scope is not None:
            with scope.use() as connection:
                if self._table not in scope.tables:  # another store may have begun it
                    if not self._has_table(connection):
                        if not create:
                            return absent
                        self._make_table(connection)
                    scope.tables.add(self._table)
                return work(connection)
        bound = self._bound()
        return self._alone(work, absent, create=create, again=again) if bound is None else work(bound)

    def _alone(
        self,
        work: Callable[[_Connection], _T],
        absent: Any = None,
        *,
        create: bool = False,
        table: bool = True,
        again: bool = True,
        keep: bool = False,
    ) -> Any:
        """What `work` gives for a connection, or the connection itself, to `keep`; `absent` where there is no table.

        Done again, with growing pauses, where it failed for a passing reason; with `again` false only where the server has
        certainly undone it.
        """
        patience = Patience(_RETRY_S)
        for tries in itertools.count(1):
            connection = None
            kept = False
            reached = self._reached
            try:
                connection = self._take(create, table)
                if connection is None:
                    return absent
                result = work(connection)
                kept = keep
                return connection if keep else result
            except psycopg.Error as error:
                if connection is None or connection.broken:
                    self._connections.close()  # when the server went down the others broke too
                if not self._passing(error, connection, reached, again) or not patience.pause(_pause_s(tries)):
                    if tries > 1:
                        error.add_note(f"tried {tries} times")
                    raise
            finally:
                if connection is not None and not kept:
                    if table:
                        self._give(connection)
                    else:
                        self._connections.drop(connection)
        raise AssertionError  # that loop has no other end

    def _passing(self, error: psycopg.Error, connection: _Connection | None, reached: bool, again: bool) -> bool:
        code = error.sqlstate or ""
        if code in _UNDONE:
            return True
        if not isinstance(error, psycopg.OperationalError):
            return False
        if connection is None:
            # A server that was never reached: rather a wrong address than one that comes back.
            return code in _PASSING or (reached and not code)
        return again and (connection.broken or code in _PASSING)

    # ---- locks and transactions --------------------------------------------------------------------

    def _bound(self) -> _Connection | None:
        return self._held.connection if self._held.pid == os.getpid() else None

    def _number(self, key: str, kind: str = "key") -> int:
        """The advisory lock of a key: 64 bits, so that two keys have practically never the same."""
        name = "\0".join((kind, self._table, key)).encode()
        return int.from_bytes(blake2b(name, digest_size=8, person=b"ndzarr").digest(), "big", signed=True)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """An advisory lock of the database, held by the connection that this thread uses meanwhile.

        In a transaction it is that of the transaction and held to its end, for only then others see what was written under it.
        """
        number = self._number(key)
        scope = scope_of(self.identity) if any_scopes() else None
        if scope is not None:
            with scope.key(self._table + "\0" + key):
                with scope.use() as connection:
                    connection.execute("select pg_advisory_xact_lock(%s)", [number])
                yield
            return
        self._lock(number)
        try:
            yield
        finally:
            self._unlock(number)

    def _lock(self, number: int) -> None:
        held = self._held
        statement, values = "select pg_advisory_lock(%s)", [number]
        connection = self._bound()
        if connection is None:
            # A server that goes down gives up the lock: trying again is safe.
            held.connection = self._alone(lambda new: new.execute(statement, values), create=True, keep=True)
            held.pid, held.counts = os.getpid(), {}
        elif number not in held.counts:
            connection.execute(statement, values)
        held.counts[number] = held.counts.get(number, 0) + 1

    def _unlock(self, number: int) -> None:
        held, connection = self._held, self._bound()
        if connection is None:
            return  # a child of fork, which holds nothing
        held.counts[number] -= 1
        if not held.counts[number]:
            del held.counts[number]
            try:
                connection.execute("select pg_advisory_unlock(%s)", [number])
            except psycopg.Error:  # whatever is wrong with it: without the connection there is no lock
                connection.close()
        if not held.counts:
            held.connection = None
            self._give(connection)

    def _start(self) -> _Connection:
        connection: _Connection = self._alone(lambda new: new.execute("begin"), create=True, keep=True)
        return connection

    def _end(self, connection: _Connection, keep: bool) -> None:
        try:
            if not keep:
                with suppress(psycopg.Error):
                    connection.execute("rollback")
                return
            status = connection.execute("commit").statusmessage
            if status != "COMMIT":
                raise StoreError(f"{self._url} has undone the transaction: {status}", store=self._url)
        except psycopg.Error as error:
            outcome = "whether it was kept is not known" if connection.broken else "it is undone"
            raise StoreError(f"cannot commit a transaction on {self._url}: {error}; {outcome}", store=self._url) from error
        finally:
            self._give(connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._bound() is not None:
            raise held(self._url)
        outer = scope_of(self.identity)
        if outer is None:
            scope = Scope(self._start, self._end, self._url, self._timeout_s, whole=True)
        with entered(self.identity, scope) if outer is None else joined(outer, self._url):
            yield

    # ---- values ---------------------------------------------------------------------------------------------------------

    def _sql(self, text: str) -> sql.Composed:
        # The name of the table was checked when the store was made, and is quoted all the same.
        parts: list[sql.Composable] = []
        for part in text.split("<table>"):
            parts += [sql.SQL(part), sql.Identifier(self._table)]
        return sql.Composed(parts[:-1])

    def read(self, requests: Sequence[tuple[str, ByteRange | None]]) -> list[Found | None]:
        none: list[Found | None] = [None] * len(requests)
        return self._run(lambda connection: self._read(connection, requests), none)

    def _read(self, connection: _Connection, requests: Sequence[tuple[str, ByteRange | None]]) -> list[Found | None]:
        # Ranges that count from both ends are cut here, from the whole.
        whole = {key for key, range in requests if range is None or not plain_range(range)}
        values: dict[str, Found] = {}
        if whole:
            select = "select key, value, tag from <table> where key = any(%s)"
            for key, value, tag in connection.execute(self._sql(select), [list(whole)], binary=True):
                values[key] = Found(value, tag)
        parts = [(n, key, range) for n, (key, range) in enumerate(requests) if range is not None and key not in whole]
        found: dict[int, Found] = {}
        if parts:
            starts = [max(-_INT4, min(range[0], _INT4 - 1)) for _, _, range in parts]
            lengths = [_INT4 if range[1] is None else max(0, min(range[1] - max(range[0], 0), _INT4)) for _, _, range in parts]
            columns = [[n for n, _, _ in parts], [key for _, key, _ in parts], starts, lengths]
            for n, value, tag in connection.execute(self._sql(_READ_PARTS), columns, binary=True):
                found[n] = Found(value, tag)
        answers: list[Found | None] = []
        for n, (key, range) in enumerate(requests):
            value = values.get(key)
            if value is not None and range is not None:
                value = Found(value.value[slice(*range)], value.tag)
            answers.append(value if key in whole else found.get(n))
        return answers

    def size(self, key: str) -> int | None:
        select = self._sql("select octet_length(value) from <table> where key = %s")

        def ask(connection: _Connection) -> int | None:
            row = connection.execute(select, [key]).fetchone()
            return None if row is None else row[0]

        return self._run(ask, None)

    def keys(self, among: Keys) -> list[str]:
        where, values = condition(among, "%s")
        return self._column(f"select key from <table> where {where}", values)

    def names(self, among: Keys, start: int) -> list[str]:
        where, values = condition(among, "%s")
        past = values[1:]
        text = _NAMES.replace("<where>", where).replace("<past>", " and key < %s" if past else "")
        return self._column(text, [*values, *[start + 1] * 3, *past])

    def _column(self, text: str, values: Sequence[str | int]) -> list[str]:
        return self._run(lambda connection: [key for (key,) in connection.execute(self._sql(text), values)], [])

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        # In one order, so that two that write the same keys do not wait for each other.
        rows = [(key, new_tag(), value) for key, value in sorted(items, key=itemgetter(0))]

        def put(connection: _Connection) -> None:
            if len(rows) == 1:
                connection.execute(self._sql(_WRITE), rows[0])
            else:
                with self._whole(connection), connection.cursor() as cursor:
                    cursor.executemany(self._sql(_WRITE), rows)

        self._run(put, None, create=True)

    def write_if(self, items: Sequence[tuple[str, bytes, int | None]]) -> list[bool]:
        order = sorted(range(len(items)), key=lambda n: items[n][0])

        def put(connection: _Connection) -> list[bool]:
            done = [False] * len(items)
            with self._whole(connection):
                for n in order:
                    key, value, tag = items[n]
                    if tag is None:
                        cursor = connection.execute(self._sql(_WRITE_NEW), [key, new_tag(), value])
                    else:
                        cursor = connection.execute(self._sql(_WRITE_IF), [new_tag(), value, key, tag])
                    done[n] = cursor.rowcount == 1
            return done

        # Not again where the answer was lost: it may have been done, and would then say that somebody else was first.
        return self._run(put, [], create=True, again=False)

    def delete(self, keys: Sequence[str]) -> None:
        self._run(lambda connection: connection.execute(self._sql("delete from <table> where key = any(%s)"), [keys]), None)

    def delete_all(self, among: Keys) -> None:
        where, values = condition(among, "%s")
        self._run(lambda connection: connection.execute(self._sql(f"delete from <table> where {where}"), values), None)

    def move(self, among: Keys, new: Keys) -> bool:
        where, values = condition(new, "%s")
        there = self._sql(f"select 1 from <table> where {where} limit 1")
        where_old, values_old = condition(among, "%s")
        update = self._sql(f"update <table> set key = %s || substr(key, %s) where {where_old}")

        def change(connection: _Connection) -> bool:
            with self._whole(connection):
                if connection.execute(there, values).fetchone() is not None:
                    return False
                connection.execute(update, [new.first, len(among.first) + 1, *values_old])
                return True

        return self._run(change, False, again=False)

    def _whole(self, connection: _Connection) -> AbstractContextManager[Any]:
        """A transaction around several statements, unless one is going on."""
        return connection.transaction() if connection.info.transaction_status == TransactionStatus.IDLE else nullcontext()

    def close(self) -> None:
        self._connections.close()


_CREATE = 'create table if not exists <table> (key text collate "C" primary key, tag bigint not null, value bytea not null)'
_WRITE = (
    "insert into <table> (key, tag, value) values (%s, %s, %b) on conflict (key) do update set tag = excluded.tag, "
    "value = excluded.value"
)
_WRITE_NEW = "insert into <table> (key, tag, value) values (%s, %s, %b) on conflict (key) do nothing"
_WRITE_IF = "update <table> set tag = %s, value = %b where key = %s and tag = %s"
_READ_PARTS = """
select wanted.n, substring(
    stored.value
    from (case when wanted.start < 0 then greatest(octet_length(stored.value) + wanted.start, 0) else wanted.start end) + 1
    for wanted.nbytes
), stored.tag
from unnest(%s::int4[], %s::text[], %s::int4[], %s::int4[]) as wanted(n, key, start, nbytes)
join <table> as stored on stored.key = wanted.key
"""
# From each key to the next one that has another name: behind all that start with "name/" ("0" comes after "/"), or behind the
# key itself (no key has control characters).
_NAMES = """
with recursive found(key) as (
    (select key from <table> where <where> order by key limit 1)
    union all
    select (
        select key from <table>
        where key >= case position('/' in substr(found.key, %s))
            when 0 then found.key || chr(1)
            else substr(found.key, 1, %s + position('/' in substr(found.key, %s)) - 2) || '0'
        end <past>
        order by key limit 1
    ) from found where found.key is not null
) select key from found where key is not null
"""


def _pause_s(tries: int) -> float:
    longest: float = min(2.0, 0.01 * 2.0**tries)
    return random.uniform(0.5, 1.0) * longest
