"""Coroutines of zarr-python's asynchronous stores, called from synchronous code; and the other way round.

`wait` runs a coroutine where zarr-python itself would, on its event loop: a file system or a session of theirs belongs to the
loop that first used it, so one that both libraries use must not see two. `aside` runs a function beside that loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_pool: ThreadPoolExecutor | None = None


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns, or raises; the calling thread sleeps meanwhile.

    May be called from any thread. From that of the loop itself, which would wait for itself for ever, the coroutine gets a
    thread and a loop of its own. After a fork zarr-python makes a new loop.
    """
    from zarr.core import sync

    try:
        running: Any = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not None and running is sync._get_loop():
        return _elsewhere(coroutine)
    found: T = sync.sync(coroutine)
    return found


def _elsewhere(coroutine: Coroutine[Any, Any, T]) -> T:
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(asyncio.run(coroutine))
        except BaseException as error:  # handed to the thread that waits
            done.set_exception(error)

    thread = threading.Thread(target=work, name="ndzarr_bridge", daemon=True)
    thread.start()
    return done.result()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns: one that never waits for anything, so that it needs no loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    coroutine.close()
    raise RuntimeError("a coroutine that was to run at once waits for something")


async def gather(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """What each call gives, in order, as many at a time as zarr-python's `async.concurrency` allows.

    When one raises, no further call starts, those under way are cancelled, and it raises.
    """
    from zarr.core.config import config

    waiting = list(enumerate(calls))[::-1]
    found: list[Any] = [None] * len(waiting)

    async def work() -> None:
        while waiting:
            n, call = waiting.pop()
            found[n] = await call()

    workers = min(len(waiting), max(1, config.get("async.concurrency") or len(waiting)))
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(work())
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
        raise first from first.__cause__
    return found


async def aside(function: Callable[..., T], *arguments: Any) -> T:
    """What `function` gives, called in another thread, in the calling context: the loop goes on meanwhile.

    The threads are not those of the loop's own executor. A store over a store over a store of zarr-python's would have all of
    them wait for work that only they could do.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads(), partial(copy_context().run, function, *arguments))


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="ndzarr_zarr")
    return _pool


def _forget() -> None:
    # A child of fork has none of its parent's threads.
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
