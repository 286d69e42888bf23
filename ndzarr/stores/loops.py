"""Coroutines run on the event loop of a thread, from code that is not asynchronous: one, many at a time, or as they end."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

#: How long the end of the program waits for the clients' threads, after requests by the loop.
_GRACE_S = 0.05

_own: AbstractEventLoop | None = None
_lock = threading.Lock()


def own_loop() -> AbstractEventLoop:
    """The loop of a thread that the stores share; made when first asked for, and a new one in a child of fork."""
    global _own
    with _lock:
        if _own is None:
            _own = asyncio.new_event_loop()
            threading.Thread(target=_own.run_forever, name="ndzarr_requests", daemon=True).start()
        return _own


def _end() -> None:
    """Stop the loop while there is an interpreter to stop it in.

    The clients' own threads may still be giving back what their last requests held, for which they need the interpreter. If
    it is gone by then, Python ends such a thread on the spot, which Rust takes for a reason to abort the process.
    """
    global _own
    with _lock:
        loop, _own = _own, None
    if loop is not None:
        loop.call_soon_threadsafe(loop.stop)
        time.sleep(_GRACE_S)


atexit.register(_end)


def _forget() -> None:
    global _own, _lock
    _own, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns or raises on `loop`; the calling thread sleeps meanwhile.

    When the sleep is interrupted (Ctrl-C) the coroutine is cancelled, and has ended when the interrupt goes on: nothing is
    written after it. Raises RuntimeError in the thread of `loop` itself, which would wait for itself for ever.
    """
    _must_differ(loop, coroutine)
    ended = threading.Event()

    async def work() -> T:
        try:
            return await coroutine
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            ended.wait(10)
        raise


def _must_differ(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | None = None) -> None:
    running = None
    with suppress(RuntimeError):
        running = asyncio.get_running_loop()
    if running is loop:
        if coroutine is not None:
            coroutine.close()
        raise RuntimeError("a store was called in the thread of its own event loop; call it in another, by asyncio.to_thread")


async def gather(jobs: Sequence[Callable[[], Awaitable[T]]], most: int, told: Callable[[int, T], None]) -> None:
    """Run all jobs, at most `most` at a time, and give `told` (number, result) of each as it ends.

    When one raises, no further one starts, those under way are cancelled, and it raises.
    """
    numbers = iter(range(len(jobs)))

    async def work() -> None:
        for number in numbers:
            told(number, await jobs[number]())

    tasks = [asyncio.ensure_future(work()) for _ in range(min(most, len(jobs)))]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def each(loop: AbstractEventLoop, jobs: Sequence[Callable[[], Awaitable[T]]], most: int) -> Iterator[tuple[int, T]]:
    """(number, result) of each job in the order in which they end, run on `loop`, at most `most` at a time.

    Closing the iterator cancels the rest.
    """
    _must_differ(loop)
    ended: SimpleQueue[tuple[int, T] | BaseException | None] = SimpleQueue()

    async def work() -> None:
        try:
            await gather(jobs, most, lambda number, result: ended.put((number, result)))
        except BaseException as error:
            ended.put(error)
            if not isinstance(error, Exception):
                raise
        else:
            ended.put(None)

    future = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        while (found := ended.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        future.cancel()
