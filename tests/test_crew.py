"""Sharing out parts: each is worked on once, and nobody waits for who has nothing of theirs."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from ndzarr import crew as crew_module
from ndzarr.crew import CREW_FROM_NS, THREADS_FROM_NS, crew_size, processors, share

SLOW = 1e9


@pytest.mark.parametrize("count", [None, 7])
@pytest.mark.parametrize("part_ns", [1.0, THREADS_FROM_NS, CREW_FROM_NS, SLOW])
def test_every_part_once(part_ns: float, count: int | None) -> None:
    for parts in (0, 1, 2, 7, 300):
        done: list[int] = []

        def work(mine: Iterator[int], done: list[int] = done) -> None:
            for part in mine:
                done.append(part)

        share(iter(range(parts)), work, part_ns, 4, count=count and parts)
        assert sorted(done) == list(range(parts))


def test_little_work_stays_on_the_callers_thread() -> None:
    for parts, part_ns in ((1, SLOW), (10_000, THREADS_FROM_NS - 1), (3, CREW_FROM_NS / 4)):
        names: set[str] = set()

        def work(mine: Iterator[int], names: set[str] = names) -> None:
            for _ in mine:
                names.add(threading.current_thread().name)

        share(iter(range(parts)), work, part_ns, 4)
        assert names == {threading.current_thread().name}
        assert crew_size(part_ns, parts, 4) == 1
    assert crew_size(SLOW, 3, 4) == 3
    assert crew_size(SLOW, 3, None) == min(3, processors())


def test_a_crew_inside_a_crew_does_not_wait_for_the_pool() -> None:
    """The caller's thread shares out a part of its own while all other threads are busy with parts of the first crew."""
    inner_done = threading.Event()
    waited: list[bool] = []

    def inner(mine: Iterator[int]) -> None:
        for _ in mine:
            pass

    def outer(mine: Iterator[int]) -> None:
        for _ in mine:
            if threading.current_thread() is threading.main_thread():
                share(iter(range(8)), inner, SLOW, 4)
                inner_done.set()
            else:
                waited.append(inner_done.wait(20))

    share(iter(range(50)), outer, SLOW, processors())
    assert all(waited)


def test_what_was_cancelled_holds_on_to_nothing() -> None:
    """A thread of the pool that has not woken up yet still has the crew in its queue."""

    class Array:
        pass

    started, go_on = threading.Event(), threading.Event()
    held = []

    def outer(mine: Iterator[int]) -> None:
        for _ in mine:
            started.set()
            go_on.wait(20)

    # All threads of the pool are busy, though nobody has counted them.
    workers = processors()
    busy = threading.Thread(target=share, args=(iter(range(2 * workers)), outer, SLOW, workers))
    busy.start()
    assert started.wait(20)
    hired, crew_module._hired[:] = crew_module._hired[:], []
    try:
        array = Array()
        held.append(weakref.ref(array))

        def inner(mine: Iterator[int], array: Array = array) -> None:
            for _ in mine:
                assert array is not None

        share(iter(range(8)), inner, SLOW, workers)
        del array, inner
        gc.collect()
        assert held[0]() is None
    finally:
        crew_module._hired[:] = hired
        go_on.set()
        busy.join()
