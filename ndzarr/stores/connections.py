"""Connections to a database that the threads of a process share out, and the scopes that keep one to themselves.

A thread takes a connection for one call of a store and gives it back. There is no upper limit: a thread never holds more than
one, so that there are as many as threads at work, and nobody who holds a lock can come to wait for a connection.

A scope is a stretch of a caller's code (`lock`, `transaction`) that has a connection to itself. It is known by a context
variable, so the threads that `crew` lets work for the caller belong to it, and others do not.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Generic, TypeVar
from weakref import WeakSet, finalize

from ndzarr.errors import ArgumentError, StoreError

C = TypeVar("C")

#: Connections kept open though nobody uses them.
_KEPT = 16


class Connections(Generic[C]):
    """The connections that nobody uses at the moment. Thread-safe; a child of fork starts with none."""

    def __init__(self, close: Callable[[C], None]) -> None:
        self._close = close
        self._idle: list[C] = []
        self._lock = threading.Lock()
        finalize(self, _close_all, self._idle, close, os.getpid())
        _holders.add(self)

    def take(self) -> C | None:
        """The one used last of those that are idle; None where the caller has to make one."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def give(self, connection: C) -> None:
        """Keep `connection`, which is in order, for whoever comes next."""
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        self._close(connection)

    def drop(self, connection: C) -> None:
        """Close `connection`, of which nobody knows what state it is in."""
        with suppress(Exception):
            self._close(connection)

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            idle = self._idle[:]
            self._idle.clear()
        for connection in idle:
            self.drop(connection)

    def _forget(self) -> None:
        # Not closed: that would say goodbye to the server, or clear away files, for the parent. Kept, since a connection that
        # is collected closes itself.
        _of_parents.extend(self._idle)
        self._idle.clear()
        self._lock = threading.Lock()


_holders: WeakSet[Connections[Any]] = WeakSet()
_of_parents: list[object] = []


def _close_all(idle: list[Any], close: Callable[[Any], None], pid: int) -> None:
    if os.getpid() == pid:
        for connection in idle:
            with suppress(Exception):
                close(connection)


# ---- scopes ---------------------------------------------------------------------------------------------------------


class Scope(Generic[C]):
    """A stretch of code with a connection to itself, which `start` opens when it is first used and `end` closes.

    whole: what is written in it is kept as a whole or not at all. Thread-safe: statements of its threads take turns.
    """

    def __init__(
        self, start: Callable[[], C], end: Callable[[C, bool], None], url: str, timeout_s: float, *, whole: bool
    ) -> None:
        self.whole = whole
        #: Why nothing of a whole can be kept any more.
        self.failed: BaseException | None = None
        #: The tables that are known to be there.
        self.tables: set[str] = set()
        self._start, self._end, self._url, self._timeout_s = start, end, url, timeout_s
        self._connection: C | None = None
        self._over = False
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._keys: dict[str, Any] = {}  # of RLocks

    @property
    def lives(self) -> bool:
        """Whether what is done now still belongs to it: a copy of its context may outlive it, or go into a child of fork."""
        return not self._over and self._pid == os.getpid()

    @contextmanager
    def use(self) -> Iterator[C]:
        """Its connection, for one call."""
        if not self._lock.acquire(timeout=self._timeout_s):
            raise StoreError(f"another thread of this transaction on {self._url} has kept it for too long", store=self._url)
        try:
            if self.failed is not None:
                raise self._given_up()
            if self._over:
                raise StoreError(f"the transaction on {self._url} has ended", store=self._url)
            try:
                if self._connection is None:
                    self._connection = self._start()
                yield self._connection
            except BaseException as error:
                # Ctrl-C too: how much of a call was done is not known then.
                self.fail(error)
                raise
        finally:
            self._lock.release()

    def key(self, key: str) -> AbstractContextManager[Any]:
        """The lock of `key` among the threads of this scope."""
        lock: AbstractContextManager[Any] = self._keys.setdefault(key, threading.RLock())
        return lock

    def fail(self, error: BaseException) -> None:
        """Let nothing of a whole be kept."""
        if self.whole and self.failed is None:
            self.failed = error

    def _given_up(self) -> StoreError:
        error = StoreError(
            f"the transaction on {self._url} is undone: {type(self.failed).__name__}: {self.failed}", store=self._url
        )
        error.__cause__ = self.failed
        return error

    def finish(self, keep: bool) -> None:
        """End it, and keep or undo what was written; StoreError where it was to be kept and cannot be."""
        with self._lock:
            self._over = True
            connection, self._connection = self._connection, None
            if connection is not None and self._pid != os.getpid():
                _of_parents.append(connection)  # a child of fork that leaves the block: it is the parent's to end
                return
            if connection is not None:
                self._end(connection, keep and self.failed is None)
            if keep and self.failed is not None:
                raise self._given_up()


#: The scopes that the code running now is in, by what each has to itself.
_scopes: ContextVar[Mapping[Hashable, Scope[Any]]] = ContextVar("ndzarr.scopes", default={})  # noqa: B039  # never changed


def scopes() -> Mapping[Hashable, Scope[Any]]:
    """The scopes that the code running now is in, or was, by what each has to itself."""
    return _scopes.get()


def any_scopes() -> bool:
    """Whether the code running now is in a scope on any database."""
    return bool(_scopes.get())


def scope_of(identity: Hashable) -> Scope[Any] | None:
    """The scope on the database `identity` that the code running now is in."""
    scope = _scopes.get().get(identity)
    return scope if scope is not None and scope.lives else None


@contextmanager
def entered(identity: Hashable, scope: Scope[Any]) -> Iterator[None]:
    """Let what runs in the block, and threads that work for it, belong to `scope`; it ends with the block."""
    token = _scopes.set({**_scopes.get(), identity: scope})
    try:
        try:
            yield
        except BaseException as error:
            scope.finish(not scope.whole)
            if scope.whole:  # the error may tell of chunks that were written
                error.add_note("the transaction is undone: nothing of what was written in it was kept")
            raise
        scope.finish(True)
    finally:
        _scopes.reset(token)


@contextmanager
def joined(scope: Scope[Any], url: str) -> Iterator[None]:
    """A transaction inside `scope`: it becomes visible with the outer one, and if it fails so does that."""
    if not scope.whole:
        raise held(url)
    try:
        yield
    except BaseException as error:
        scope.fail(error)
        raise


def held(url: str) -> ArgumentError:
    """What to raise where a transaction is begun while a lock is held: another process might wait for each the other way."""
    return ArgumentError(
        f"cannot begin a transaction on {url} while holding a lock of it; begin the transaction first", store=url
    )


class Patience:
    """How long somebody has been waiting for a database, and a pause between two tries."""

    def __init__(self, timeout_s: float) -> None:
        self._deadline = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds left, 0 when there are none."""
        return max(0.0, self._deadline - time.monotonic())

    def pause(self, seconds: float) -> bool:
        """Sleep; False at once when the time is up."""
        left = self.left_s
        if not left:
            return False
        time.sleep(min(seconds, left))
        return True


def _forget_connections() -> None:
    for holder in list(_holders):
        holder._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)
