"""One row of the comparison: the same work done by each library in turn, and how their times compare.

What other programs do to the machine, they do to all libraries alike: in each round every library runs once, and what is
compared is the ratio of two times of one round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import libraries

OURS = "ndzarr"
#: The loop without planning, checks or locks, and on how many threads it runs.
BARE = {"bare loop, 1": 1, "bare loop, 2": 2}
#: After this many rounds a library that took so many times as long as the fastest one sits out the rest.
_ALL_ROUNDS, _HOPELESS = 3, 4.0


@dataclass(frozen=True, slots=True)
class Task:
    """What one library does in a row.

    run: what is timed. wrong: what is wrong with what `run` gave, or None. before: what is done before each run, not timed.
    """

    run: Callable[[], Any]
    wrong: Callable[[Any], str | None]
    before: Callable[[], object] = lambda: None


@dataclass(slots=True)
class Stores:
    """Arrays in directories under `top`, each written once, by ndzarr, and read by all."""

    top: Path
    _made: dict[str, tuple[Path, Any]] = field(default_factory=dict)

    def get(self, description: dict[str, Any]) -> tuple[Path, Any]:
        """The directory of the array that `description` describes, and its values."""
        name = str(description)
        if name not in self._made:
            path, values = self.new(), libraries.values(tuple(description["shape"]))
            libraries.create_local(OURS, path, description)[...] = values
            self._made[name] = path, values
        return self._made[name]

    def new(self) -> Path:
        """A directory that does not exist yet."""
        self._count += 1
        return self.top / str(self._count)

    _count: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One workload. task: what a library does. bare: what the bare loop does on so many threads, where there is one.

    calls: how often `run` does what the title says; times are of one.
    """

    title: str
    task: Callable[[str, Stores], Task]
    bare: Callable[[int, Stores], Task] | None = None
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """seconds: of one call, medians. ratios: by what our time is to be multiplied, medians of rounds; of each but ours."""

    seconds: dict[str, float]
    ratios: dict[str, float]
    rounds: int

    @property
    def peers(self) -> dict[str, float]:
        """The ratios of other libraries."""
        return {name: ratio for name, ratio in self.ratios.items() if name not in BARE}

    @property
    def best(self) -> float:
        """The best peer's ratio."""
        return min(self.peers.values())

    @property
    def bare(self) -> float | None:
        """The better bare loop's ratio."""
        return min((self.ratios[name] for name in BARE if name in self.ratios), default=None)


def equal(expected: Any) -> Callable[[Any], str | None]:
    """A check that what a library gives are these values, in this dtype."""

    def wrong(found: Any) -> str | None:
        same = np.asarray(found).dtype == expected.dtype and np.array_equal(found, expected)
        return None if same else f"gives {found!r}, expected {expected!r}"

    return wrong


def measure(row: Row, names: list[str], stores: Stores, rounds: int, limit_s: float) -> Measured:
    """The row's times, over `rounds` rounds, or as many as start within `limit_s` seconds, but no fewer than three.

    Ends the program where a library gives wrong values.
    """
    tasks = {}
    for name in names:
        with libraries.pipeline(name):
            tasks[name] = row.task(name, stores)
    if row.bare is not None:
        tasks.update({name: row.bare(threads, stores) for name, threads in BARE.items()})
    for name, task in tasks.items():  # what is imported at first use is not measured
        with libraries.pipeline(name):
            task.before()
            wrong = task.wrong(task.run())
        if wrong is not None:
            raise SystemExit(f"{row.title}: {name} {wrong}")
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    order = [*tasks]
    started = time.perf_counter()
    for round_ in range(rounds):
        if round_ == _ALL_ROUNDS:
            fastest = min(map(statistics.median, taken.values()))
            order = [name for name in order if name == OURS or statistics.median(taken[name]) < _HOPELESS * fastest]
        elif round_ > _ALL_ROUNDS and time.perf_counter() - started > limit_s:
            break
        order.append(order.pop(0))  # nobody always comes after the same one
        for name in order:
            taken[name].append(_timed(name, tasks[name]) / row.calls)
    ours = taken[OURS]
    ratios = {
        name: statistics.median(their / our for their, our in zip(times, ours[: len(times)], strict=True))
        for name, times in taken.items()
        if name != OURS
    }
    return Measured({name: statistics.median(times) for name, times in taken.items()}, ratios, len(ours))


def _timed(name: str, task: Task) -> float:
    with libraries.pipeline(name):
        task.before()
        started = time.perf_counter()
        result = task.run()
        seconds = time.perf_counter() - started
    del result  # freed outside of what is timed, for all alike
    return seconds
