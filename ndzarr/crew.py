"""Threads that share one iterator of parts: the only place where ndzarr starts any.

One lazily made pool serves the process. The caller's thread takes its share of the work, so Ctrl-C reaches a thread that
works, and a crew stops together: at the end of its parts, or at the first exception.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, TypeAlias, TypeVar

from ndzarr.process import here

#: Estimated time of one part, in nanoseconds, from which threads win. Measured on 4,096 chunks of 16 KiB, two cores: blosc-lz4
#: (estimated at 10 us) 52 ms on one thread and 57 on two, raw (3 us) 31 and 36, zstd (21 us) 99 and 62; chunks of 1 MiB always
#: gain (zstd 85 -> 47 ms). Passing the GIL about costs more than a cheap decode.
THREADS_FROM_NS = 15_000.0
#: Estimated time of all parts, in nanoseconds, from which waking other threads is worth while. Measured on rows of chunks of 16
#: KiB, zstd: 8 of them take 185 us on one thread and 194 on two, 12 take 268 and 240, 32 take 685 and 504.
CREW_FROM_NS = 180_000.0
#: A run should last about this long: short enough to share out evenly, long enough to hide the cost of taking one.
RUN_NS = 1_000_000.0

Task = TypeVar("Task")
#: What a thread does with its share.
Work: TypeAlias = Callable[[Iterator[Task]], None]
#: Runs of finished parts, as [number of the first in the plan, how many].
Ledger: TypeAlias = list[list[int]]


def share(
    parts: Iterator[Task],
    work: Work[Task],
    part_ns: float,
    workers: int | None,
    done: Ledger | None = None,
    count: int | None = None,
) -> None:
    """Do `work` for all `parts`, on this thread or, where they are many and slow enough, on up to `workers` threads.

    `part_ns`: the estimated time of one part. `done` is told which parts were finished. `count`: how many parts there are,
    where that is known. When this returns or raises, no thread works any more (promise P17).
    """
    if part_ns >= THREADS_FROM_NS and count != 1 and not _in_pool.value and (threads := workers or processors()) > 1:
        enough = max(2, min(256, int(CREW_FROM_NS / part_ns)))
        first = list(islice(parts, enough))
        parts = chain(first, parts)
        if len(first) == enough:
            size = min(256, int(RUN_NS / part_ns), *(() if count is None else (count // (4 * threads),)))
            _Crew(parts, work, max(1, size), done).run(threads)
            return
    work(parts if done is None else _noted(parts, 0, done))


Made = TypeVar("Made")


class Pending(Generic[Made]):
    """A piece of work begun on a thread of the pool, if one was free; else it is done when its result is asked for."""

    __slots__ = ("_future", "_home", "_work")

    def __init__(self, work: Callable[[], Made], future: Future[Made] | None) -> None:
        self._work = work
        self._future = future
        self._home = here()

    def result(self) -> Made:
        """What the work gives; raises what it raises. Done on this thread where no other has begun it."""
        # In a child that was forked meanwhile there is no thread that would ever end it.
        if self._future is None or self._home != here() or self._future.cancel():
            return self._work()
        return self._future.result()

    def drop(self) -> None:
        """Give up what was not begun, and wait for what was (promise P17)."""
        if self._future is not None and self._home == here() and not self._future.cancel():
            wait([self._future])


def begin(work: Callable[[], Made]) -> Pending[Made]:
    """Begin some work on a thread of the pool, in the caller's context; what it does by `share` it does alone."""

    def pooled() -> Made:
        _in_pool.value = True
        try:
            return work()
        finally:
            _in_pool.value = False

    future: Future[Made] | None = None
    if not _in_pool.value:
        with suppress(RuntimeError), _executor_lock:  # the interpreter is going down
            if _free() > 0:
                future = _pool().submit(contextvars.copy_context().run, pooled)
                _hired.append(future)
    return Pending(work, future)


def crew_size(part_ns: float, count: int, workers: int | None) -> int:
    """On how many threads `share` does so many parts when called from outside the pool."""
    alone = part_ns < THREADS_FROM_NS or count < 2 or part_ns * count < CREW_FROM_NS
    return 1 if alone else min(workers or processors(), count)


class _Crew(Generic[Task]):
    """Some threads that share one iterator of parts and stop together: at its end, or at the first exception."""

    def __init__(self, parts: Iterator[Task], work: Work[Task], size: int, done: Ledger | None) -> None:
        self._parts = parts
        self._taken = 0
        self._done: Ledger = [] if done is None else done
        self._work = work
        self._size = size
        self._lock = threading.Lock()
        self._stop = False
        self._error: BaseException | None = None

    def run(self, workers: int) -> None:
        hired: list[tuple[Future[None], _Errand]] = []
        try:
            with suppress(RuntimeError):  # the interpreter is going down and takes no new work: this thread does it all
                _hire(self._pooled, workers - 1, hired)
            self._share()
        except BaseException as error:  # Ctrl-C may fall between two parts, outside `_share`'s own try
            self._fail(error)
        finally:
            self._join(hired)
        if self._error is not None:
            raise self._error

    def _join(self, hired: list[tuple[Future[None], _Errand]]) -> None:
        """Wait until no thread of the crew works any more, whatever happens meanwhile (promise P17)."""
        while True:
            try:
                # Those that no thread has begun are not waited for: to `wait`, a future that was cancelled is not done before
                # a thread of the pool has seen that. It stays in the pool's queue until then, and must not hold on to results.
                begun = []
                for future, errand in hired:
                    if future.cancel():
                        errand.work = None
                    else:
                        begun.append(future)
                wait(begun)
                return
            except BaseException as error:  # a second Ctrl-C
                self._fail(error)

    def _pooled(self) -> None:
        _in_pool.value = True
        try:
            self._share()
        finally:
            _in_pool.value = False

    def _share(self) -> None:
        try:
            self._work(self._next())
        except BaseException as error:
            self._fail(error)

    def _next(self) -> Iterator[Task]:
        """This thread's parts: taken a run at a time, given out one by one while nobody has failed."""
        while True:
            with self._lock:
                run = [] if self._stop else list(islice(self._parts, self._size))
                start = self._taken
                self._taken += len(run)
            if not run:
                return
            for part in _noted(run, start, self._done):
                if self._stop:
                    return
                yield part

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._stop = True
            if self._error is None:
                self._error = error


class _InPool(threading.local):
    value = False


#: True on a thread of the pool: a store that reads another array inside `get` must not wait for a place in the pool it fills.
_in_pool = _InPool()
_executor: ThreadPoolExecutor | None = None
#: What its threads do now, and some things that they have done.
_hired: list[Future[Any]] = []
_executor_lock = threading.Lock()


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True)
class _Errand:
    """What a thread of the pool is to do when it comes to it; None when that is over by then."""

    work: Callable[[], None] | None

    def __call__(self) -> None:
        if self.work is not None:
            self.work()


def _hire(work: Callable[[], None], most: int, hired: list[tuple[Future[None], _Errand]]) -> None:
    """Put up to `most` threads of the process's one pool to work; `hired` gets an entry for each.

    Only those that are free: a crew inside a crew, as of a block that a function reads, would queue up behind the crew that it
    is a part of, and the queue would hold on to all that was to be done. The pool is made when first needed.
    """
    with _executor_lock:
        for _ in range(min(most, _free())):
            # Each thread gets a copy of the caller's context, so that stores see the caller's `options`.
            errand = _Errand(work)
            hired.append((_pool().submit(contextvars.copy_context().run, errand), errand))
            _hired.append(hired[-1][0])


def _pool() -> ThreadPoolExecutor:
    """The process's one pool, made when first needed. The caller holds the lock of it."""
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(max(1, processors() - 1), thread_name_prefix="ndzarr")
    return _executor


def _free() -> int:
    """How many threads of the pool have nothing to do. The caller holds the lock of it."""
    _hired[:] = [future for future in _hired if not future.done()]
    return max(1, processors() - 1) - len(_hired)


def _forget_pool() -> None:
    # The threads did not come along into the child; a pool object that thinks it has them would wait for ever.
    global _executor, _executor_lock
    _executor = None
    _hired.clear()
    _executor_lock = threading.Lock()
    _in_pool.value = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _noted(parts: Iterable[Task], start: int, done: Ledger) -> Iterator[Task]:
    """The same parts; an entry of `done` counts those that were worked on to the end, from number `start` on."""
    entry = [start, 0]
    done.append(entry)
    for part in parts:
        yield part
        entry[1] += 1
