"""Cost goes by the chunks that are touched, never by the grid: counted, not timed."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.accessors import select_outer, select_points
from ndzarr.grid import Grid
from ndzarr.plan import count_parts, plan
from ndzarr.selection import select

#: Ten chunks, and a million times a million.
CHUNKS = (4, 4)
SMALL, HUGE = (2 * 4, 5 * 4), (10**6 * 4, 10**6 * 4)
#: What may be more for one thing only: integers over 2**30 take a word more, and those over 256 are not shared.
SLACK = 4096

#: name -> an index of an array of a shape, which touches ten chunks.
INDICES: dict[str, Callable[[tuple[int, ...]], Any]] = {
    "slice": lambda shape: np.s_[:8, :20],
    "slice at the end": lambda shape: np.s_[shape[0] - 8 :, shape[1] - 20 :],
    "part of each chunk": lambda shape: np.s_[1:7, 1:19],
    "far apart": lambda shape: np.s_[:: shape[0] // 2, :: shape[1] // 5],
    "backwards": lambda shape: np.s_[7::-1, 19::-1],
    "backwards from the end": lambda shape: np.s_[-1 : -shape[0] : -shape[0] // 2, :: -shape[1] // 5],
    "array": lambda shape: np.s_[:8, np.arange(5) * (shape[1] // 5)],
    "arrays": lambda shape: (np.arange(10) % 2 * (shape[0] // 2), np.arange(10) // 2 * (shape[1] // 5)),
}


@pytest.fixture(params=INDICES)
def index(request: pytest.FixtureRequest) -> Callable[[tuple[int, ...]], Any]:
    found: Callable[[tuple[int, ...]], Any] = INDICES[request.param]
    return found


def peak(job: Callable[[], Any]) -> tuple[int, Any]:
    """The most bytes that Python and NumPy held at once while `job` ran, and what it gave."""
    job()  # what is imported or kept at first use does not count
    tracemalloc.start()
    try:
        found = job()
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def test_planning(index: Callable[[tuple[int, ...]], Any]) -> None:
    def parts(shape: tuple[int, ...]) -> list[Any]:
        return list(plan(select(index(shape), shape), Grid.of(shape, CHUNKS)))

    small_bytes, small = peak(lambda: parts(SMALL))
    huge_bytes, huge = peak(lambda: parts(HUGE))
    assert len(small) == len(huge) == 10
    assert huge_bytes <= small_bytes + SLACK
    assert [part.target for part in huge] == [part.target for part in small]


def test_counting_parts(index: Callable[[tuple[int, ...]], Any]) -> None:
    def count(shape: tuple[int, ...]) -> int:
        return count_parts(select(index(shape), shape), Grid.of(shape, CHUNKS))

    small_bytes, small = peak(lambda: count(SMALL))
    huge_bytes, huge = peak(lambda: count(HUGE))
    assert small == huge == 10
    assert huge_bytes <= small_bytes + SLACK


@pytest.mark.parametrize("kind", [select_outer, select_points])
def test_planning_of_accessors(kind: Callable[..., Any]) -> None:
    def parts(shape: tuple[int, ...]) -> list[Any]:
        rows = np.arange(2) * (shape[0] // 2)
        columns = np.arange(5) * (shape[1] // 5)
        pair = (rows, columns) if kind is select_outer else tuple(map(np.ravel, np.meshgrid(rows, columns)))
        return list(plan(kind(pair, shape), Grid.of(shape, CHUNKS)))

    small_bytes, small = peak(lambda: parts(SMALL))
    huge_bytes, huge = peak(lambda: parts(HUGE))
    assert len(small) == len(huge) == 10
    assert huge_bytes <= small_bytes + SLACK


#: name -> how the array is stored.
STORED: dict[str, dict[str, Any]] = {
    "raw": {"chunks": CHUNKS, "compressor": None},
    "zstd": {"chunks": CHUNKS},
    "sharded": {"chunks": (2, 2), "shards": CHUNKS, "zarr_format": 3},
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("filled", [True, False], ids=["filled", "empty"])
def test_requests_and_memory_of_reads_and_writes(index: Callable[[tuple[int, ...]], Any], stored: str, filled: bool) -> None:
    costs = {}
    for shape in (SMALL, HUGE):
        store = ndzarr.FaultStore(ndzarr.MemoryStore())
        z = ndzarr.create_array(store, shape=shape, dtype="f4", **STORED[stored])
        where = index(shape)
        value = np.arange(z.lazy[where].size, dtype="f4").reshape(z.lazy[where].shape)
        if filled:
            z[where] = value
        calls = []

        def noted(job: Callable[[], Any], store: Any = store, calls: list[Any] = calls) -> int:
            nbytes, _ = peak(job)
            store.clear()
            job()
            calls.append(Counter(call.op for call in store.calls()))
            return nbytes

        memory = [noted(lambda z=z, where=where: z[where])]
        assert np.array_equal(z[where], value if filled else np.zeros_like(value))
        memory.append(noted(lambda z=z, where=where, value=value: z.__setitem__(where, value)))
        assert np.array_equal(z[where], value)
        memory.append(noted(lambda z=z, where=where: z.explain(where)))
        costs[shape] = calls, memory
    assert costs[HUGE][0] == costs[SMALL][0]
    assert sum(costs[HUGE][0][0].values()) >= 10  # something was counted
    for huge, small in zip(costs[HUGE][1], costs[SMALL][1], strict=True):
        assert huge <= small + 2 * SLACK
