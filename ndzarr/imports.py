"""Libraries imported when they are first needed, on whatever thread that is, in a process that may fork meanwhile.

A child of `fork` has the one thread that forked. If another was in the middle of an import, the lock of that module is held for
ever, and the child hangs when it needs it. So imports that threads may come upon hold `gate`, and so does a fork (promise P18).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

#: Held while a module is imported, and while the process forks.
gate = threading.RLock()

#: How long a fork waits for an import. Not for ever: other libraries hold locks of theirs while they fork, `logging` for one,
#: and the import might wait for one of those. What brings such a library along is imported early instead, as by `crew`.
_PATIENCE_S = 5.0
_held: list[bool] = []


def _before_fork() -> None:
    _held.append(gate.acquire(timeout=_PATIENCE_S))


def _after_fork() -> None:
    if _held.pop():
        gate.release()


def _after_fork_in_child() -> None:
    global gate
    if _held.pop():
        gate.release()  # it is held by the thread that forked, which is the one that there is
    else:
        gate = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


class once(Generic[Value]):  # noqa: N801  # a decorator
    """What a function without arguments returned when it was first called, which happens behind the gate."""

    def __init__(self, load: Callable[[], Value]) -> None:
        self._load = load
        self._found: list[Value] = []

    def __call__(self) -> Value:
        if not self._found:
            with gate:
                if not self._found:
                    self._found.append(self._load())
        return self._found[0]

    def forget(self) -> None:
        """Ask again next time."""
        self._found.clear()


def import_behind(name: str) -> Any:
    """The module of this name, imported behind the gate."""
    from importlib import import_module

    with gate:
        return import_module(name)
