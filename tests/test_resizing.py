"""Programs of `resize`, `append` and writes against a NumPy model, killed in between: no cell that was cut off comes back.

Promise P6. A kill is a store of which one call and all after it raise: what was to be done afterwards is not done, as after
`kill -9`, however the code above cleans up. What is left in the store is then opened by a healthy one, must look as before the
step or as after it, and the program goes on from there, so that what the kill left behind the edge has every chance to show.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ndzarr
from ndzarr import FaultStore, StoreError
from tests.conftest import Names
from tests.dying import Dying

FILL = -1
Shape = tuple[int, ...]
Array = NDArray[Any]
Record = Callable[[str, object], None]

#: How the arrays of the programs are cut up; the lengths divide nothing evenly.
LAYOUTS: dict[str, dict[str, Any]] = {
    "one axis": {"shape": (5,), "chunks": (3,)},
    "two axes": {"shape": (5, 4), "chunks": (3, 2)},
    "order F": {"shape": (5, 4), "chunks": (3, 2), "order": "F"},
    "three axes": {"shape": (3, 2, 4), "chunks": (2, 2, 3), "compressor": "zlib"},
    "large chunks": {"shape": (4, 3), "chunks": (9, 9)},
}
#: And of format 3 alone.
LAYOUTS_3: dict[str, dict[str, Any]] = {
    "shards": {"shape": (5, 4), "chunks": (2, 1), "shards": (4, 3)},
    "shards in a row": {"shape": (7,), "chunks": (2,), "shards": (6,), "compressor": "zlib"},
    "uneven": {"shape": (6, 4), "chunks": ((1, 3, 2), 3)},
}


class Killed(BaseException):
    """What a process that is killed does not survive; no `except Exception` sees it."""


class Mortal(Dying):
    """Shares the values of `data`; from its change number `last` on, counted from 1, every call raises Killed.

    A `set_many` of several keys may be killed between two of them, where the store does not take them together.
    """

    def __init__(self, data: dict[str, bytes], last: int | None = None) -> None:
        super().__init__()
        self._data = data
        self.last = last
        self.changes = 0
        self.dead = False

    def _step(self) -> None:
        self._look()
        self.changes += 1
        if self.last is not None and self.changes >= self.last:
            self.dead = True
            raise Killed

    def _look(self) -> None:
        if self.dead:
            raise Killed

    def get(self, key: str, range: Any = None) -> Any:
        self._look()
        return super().get(key, range)

    def get_tagged(self, key: str, range: Any = None) -> Any:
        self._look()
        return super().get_tagged(key, range)

    def list(self, prefix: str = "") -> Iterable[str]:
        self._look()
        return super().list(prefix)


class Batched(Mortal):
    """The same, as a store far away: many keys in a call, writes by compare and set."""

    batched = True
    conditional = True
    exclusive = False

    def set_many(self, items: Mapping[str, Any]) -> None:
        for key, value in items.items():
            self.set(key, value)


@dataclass
class Program:
    """One array, its model, and how often which thing was done to them."""

    seed: int
    layout: dict[str, Any]
    zarr_format: int
    kind: type[Mortal] = Mortal
    data: dict[str, bytes] = field(default_factory=dict)
    kills: int = 0
    stale: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        options = {"dtype": "i4", "fill_value": FILL, "compressor": None, "zarr_format": self.zarr_format, **self.layout}
        ndzarr.create_array(self.kind(self.data), **options)
        self.model = np.full(self.layout["shape"], FILL, "i4")
        self.next = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        # Whatever lies behind the edges comes into view.
        self.do(lambda z: z.resize(tuple(n + 8 for n in z.shape)), [self.resized(tuple(n + 8 for n in self.model.shape))], None)

    def step(self) -> None:
        kill = int(self.rng.integers(1, 10)) if self.rng.random() < 0.6 else None
        model, ndim = self.model, self.model.ndim
        match int(self.rng.integers(4)):
            case 0 | 1:
                shape = tuple(int(n) for n in self.rng.integers(0, 11, ndim))
                # Where one axis shrinks and another grows, the two happen one after the other.
                kept = self.resized(tuple(min(a, b) for a, b in zip(shape, model.shape, strict=True)))
                self.do(lambda z: z.resize(shape), [kept, self.resized(shape)], kill)
            case 2:
                axis = int(self.rng.integers(ndim))
                rows = self.values((*model.shape[:axis], int(self.rng.integers(0, 5)), *model.shape[axis + 1 :]))
                self.do(lambda z: z.append(rows, axis), [np.concatenate([model, rows], axis)], kill)
            case _:
                low = [int(self.rng.integers(0, n + 1)) for n in model.shape]
                index = tuple(slice(a, a + int(self.rng.integers(0, 8))) for a in low)
                new = model.copy()
                values = new[index] = self.values(new[index].shape)
                self.do(lambda z: z.__setitem__(index, values), [new], kill, by_chunk=True)

    def values(self, shape: Shape) -> Array:
        """Numbers that were never there before, so that an old one is known when it is seen."""
        count = int(np.prod(shape))
        self.next += count
        return np.arange(self.next - count, self.next, dtype="i4").reshape(shape)

    def resized(self, shape: Shape) -> Array:
        new = np.full(shape, FILL, "i4")
        kept = tuple(slice(min(a, b)) for a, b in zip(shape, self.model.shape, strict=True))
        new[kept] = self.model[kept]
        return new

    def do(self, work: Callable[[Any], object], results: list[Array], kill: int | None, by_chunk: bool = False) -> None:
        """Do one step, killed at a change of the store if it has so many; the last of `results` is what it is for."""
        killed = False
        z = ndzarr.open_array(self.kind(self.data, kill), "r+")
        try:
            with ndzarr.options(workers=1):
                work(z)
        except Killed:
            killed = True
            self.kills += 1
        found = ndzarr.open_array(self.kind(self.data))[...]
        wanted = [self.model, *results] if killed else results[-1:]
        if not killed:
            np.testing.assert_array_equal(z[...], results[-1])
        if by_chunk and killed:
            # Each chunk is old or new.
            assert found.shape == self.model.shape
            good = bool(((found == self.model) | (found == results[-1])).all())
        else:
            good = any(found.shape == one.shape and bool((found == one).all()) for one in wanted)
        if not good:
            self.stale += sum(int((found != one).sum()) for one in wanted if one.shape == found.shape) or found.size
        self.model = found


def _layouts(zarr_format: int) -> Collection[dict[str, Any]]:
    return list({**LAYOUTS, **(LAYOUTS_3 if zarr_format == 3 else {})}.values())


@pytest.mark.parametrize("kind", [Mortal, Batched])
@pytest.mark.parametrize("programs", [200, pytest.param(2500, marks=pytest.mark.slow)])
def test_programs_killed_in_between(programs: int, kind: type[Mortal], zarr_format: int, record_property: Record) -> None:
    layouts = _layouts(zarr_format)
    kills = stale = 0
    for seed in range(programs):
        program = Program(seed, list(layouts)[seed % len(layouts)], zarr_format, kind)
        program.run(8)
        stale += program.stale
        kills += program.kills
        assert stale == 0, (seed, program.layout)
    assert kills > programs  # more than one a program, or this shows little
    record_property("count: programs of resize, append and write", programs)
    record_property("count: kills in programs of resize, append and write", kills)
    record_property("count: stale cells after programs of resize, append and write", stale)


@pytest.mark.parametrize("kind", [Mortal, Batched])
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_every_change(seed: int, kind: type[Mortal], zarr_format: int, record_property: Record) -> None:
    """For n = 1, 2, ...: the same program up to its last step, which is killed at its change n, until it gets through."""
    kills = 0
    for layout in _layouts(zarr_format):
        for n in range(1, 500):
            program = Program(seed, layout, zarr_format, kind)
            for _ in range(3):
                program.step()
            grown = tuple(n + 5 if axis % 2 else max(0, n - 3) for axis, n in enumerate(program.model.shape))
            kept = program.resized(tuple(min(a, b) for a, b in zip(grown, program.model.shape, strict=True)))
            before = program.kills
            program.do(lambda z, grown=grown: z.resize(grown), [kept, program.resized(grown)], n)
            killed = program.kills > before
            rows = program.values((4, *program.model.shape[1:]))
            before = program.kills
            program.do(lambda z, rows=rows: z.append(rows), [np.concatenate([program.model, rows])], n)
            killed |= program.kills > before
            program.run(1)
            assert program.stale == 0, (layout, n)
            kills += program.kills
            if not killed:
                break
        else:
            pytest.fail("it never gets through")
    record_property("count: kills at every change of a resize and an append", kills)


@pytest.mark.parametrize("when", ["before", "after"])
def test_failed_at_every_call(when: Any, zarr_format: int, names: Names) -> None:
    """A failure that is raised, instead of a kill: the handle can be used again, and shows what is stored."""
    for layout in _layouts(zarr_format):
        for n in range(1, 1000):
            program = Program(1, layout, zarr_format)
            program.step()
            broken = FaultStore(Mortal(program.data), at=n, when=when)
            shape = tuple(n + 4 if axis else 1 for axis, n in enumerate(program.model.shape))
            try:
                z = ndzarr.open_array(broken, "r+")
            except StoreError:
                continue
            try:
                z.resize(shape)
                failed = False
            except StoreError:
                failed = True
            broken.heal()
            z.refresh()
            np.testing.assert_array_equal(z[...], ndzarr.open_array(program.data)[...])
            z.resize(shape)
            np.testing.assert_array_equal(z[...], program.resized(shape))
            if not failed:
                break
        else:
            pytest.fail("it never gets through")


_BILLION = """
import resource, sys
import numpy as np, ndzarr

store = ndzarr.LocalStore(sys.argv[1])
z = ndzarr.create_array(store, shape=(10**9,), dtype="i1", chunks=(1,), zarr_format=int(sys.argv[2]))
for n in (0, 5, 10**9 // 2, 10**9 - 1):
    z[n] = 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
z.resize(6)
z.resize(10**9)
z.resize(10**9 - 10)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert z[:6].tolist() == [1, 0, 0, 0, 0, 1]
assert sum(not key.endswith(("zarr.json", ".zarray")) for key in store.list()) == 2
print(after - before)
"""


def test_a_grid_of_a_billion_chunks_is_resized_in_bounded_memory(
    tmp_path: Any, zarr_format: int, record_property: Record
) -> None:
    """The growth of the resident set while a grid of 10^9 chunks shrinks to 6, grows again and shrinks by ten, in KiB."""
    ran = subprocess.run(
        [sys.executable, "-c", _BILLION, str(tmp_path / "a"), str(zarr_format)], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    grown = int(ran.stdout)
    assert grown < 64 << 10
    record_property("count: KiB that resizing 10^9 chunks takes, of 65,536 allowed", grown)
