"""Many at a time, or one alone: who may change a store that has one writer while a transaction runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ndzarr.errors import StoreError


class _Mine(threading.local):
    count = 0


class Turns:
    """Holders of locks, shared, and a transaction, alone. Re-entrant for those who share; `name` is for messages.

    Whoever comes to share waits only for one who is alone, never for one who waits to be: a holder of one lock may ask for
    another, on a thread of its own even.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()
        self._sharing = 0
        self._alone = False
        self._mine = _Mine()

    @property
    def mine(self) -> bool:
        """Whether the calling thread shares."""
        return self._mine.count > 0

    @contextmanager
    def shared(self, timeout_s: float) -> Iterator[None]:
        """Let nobody be alone in the block; StoreError where somebody is for too long, who may be waiting for us."""
        with self._condition:
            if not self._condition.wait_for(lambda: not self._alone, timeout_s):
                raise StoreError(f"cannot take a lock: {self._name} has been running for {timeout_s} s")
            self._sharing += 1
        self._mine.count += 1
        try:
            yield
        finally:
            self._mine.count -= 1
            with self._condition:
                self._sharing -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self, timeout_s: float) -> Iterator[None]:
        """Let nobody share in the block; StoreError where others do for too long."""
        with self._condition:
            if not self._condition.wait_for(lambda: not self._alone and not self._sharing, timeout_s):
                raise StoreError(f"cannot begin {self._name}: other threads have held locks for {timeout_s} s")
            self._alone = True
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()
