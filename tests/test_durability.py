"""`durable=True`: what a call has acknowledged survives a loss of power (promise P2), proven from its system calls."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ndzarr
from tests import powerloss
from tests.powerloss import Disk
from tests.snapshots import Snapshot, between, read, same

pytestmark = [
    pytest.mark.skipif(not powerloss.may_trace(), reason="needs strace, which is for Linux, and the right to trace"),
    pytest.mark.once,
]


@dataclass(frozen=True)
class Scenario:
    """Steps, each some lines of Python that have `place`, `np` and `ndzarr`; what they leave is read after each.

    whole: steps that are seen as a whole or not at all. A step that is not may be seen in part: any element old or new.
    """

    steps: tuple[str, ...]
    whole: tuple[int, ...] = ()
    #: Whether files are renamed before they are synced, in steps that are not durable.
    early: bool = False
    name: str = "root"


def _array(zarr_format: int, **more: Any) -> str:
    options = {"shape": (5, 4), "chunks": (2, 2), "dtype": "i2", "compressor": None, "zarr_format": zarr_format, **more}
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def _writes(zarr_format: int, **more: Any) -> Scenario:
    return Scenario(
        (
            f"z = ndzarr.create_array(place, path='a', fill_value=-1, {_array(zarr_format, **more)})",
            "z[...] = 7",
            "z[1:4, 1:3] = np.arange(6).reshape(3, 2)",
            "z[0] = 99",
            "z[...] = -1",
            "z[2, 2] = 5",
        )
    )


SCENARIOS = {
    "writes-v2": _writes(2),
    "writes-v3": _writes(3),
    "writes-nested-v2": _writes(2, dimension_separator="/"),
    "writes-shards": _writes(3, chunks=(1, 2), shards=(2, 4)),
    "small": Scenario((f"z = ndzarr.create_array(place, {_array(3, shape=(2, 2))})", "z[...] = 7", "z[0] = 8"), whole=(1,)),
    "deep": Scenario(
        (
            "g = ndzarr.create_group(place + '/new/deep')",
            f"z = g.create_array('b/c', {_array(3)}, attributes={{'a': 1}})",
            "z[:3] = 1",
            "z.attrs['a'] = 2",
            "g.attrs['b'] = 1",
        ),
        whole=(3, 4),
    ),
    **{
        f"lengths-v{version}": Scenario(
            (
                f"z = ndzarr.create_array(place, path='a', {_array(version)})",
                "z[...] = 7",
                "z.append(np.full((3, 4), 8, 'i2'))",
                "z.append(np.full((1, 4), 9, 'i2'))",
                "z.resize((4, 3))",
                "z.resize((9, 4))",
                "z.append(np.full((4, 4), 10, 'i2'))",
            ),
            whole=(2, 3, 6),
        )
        for version in (2, 3)
    },
    "deletes": Scenario(
        (
            f"g = ndzarr.create_group(place); z = g.create_array('a', {_array(3, shape=(3, 2))})",
            f"y = g.create_array('b/c', {_array(3, shape=(3, 2))})",
            "z[...] = 1",
            "y[...] = 2",
            "del g['a']",
            f"z = g.create_array('a', {_array(3, shape=(3, 2), dtype='i4')})",
            "z[0, 0] = 3",
            f"y = g.create_array('b/c', overwrite=True, {_array(3, shape=(3, 2), dtype='i8')})",
            "y[0, 0] = 3",
            "g.move('b', 'd/e')",
            "del g['d']",
        ),
        whole=(4, 5, 10),
    ),
    "whole-store": Scenario(
        (
            f"z = ndzarr.create_array(place, {_array(3)})",
            "z[...] = 1",
            f"z = ndzarr.create_array(place, overwrite=True, {_array(3, dtype='i4')})",
            "z[0, 0] = 3",
        ),
    ),
    "after-others": Scenario(  # what was done without `durable` is not acknowledged, until it is done again
        (
            f"z = ndzarr.create_array(place, path='x/a', {_array(3)})",
            "z[...] = 1",
            "with ndzarr.options(durable=False): z[...] = 0\nz[...] = 0",
            "with ndzarr.options(durable=False): z[:2] = 4\nz[...] = 4",
        ),
        early=True,
    ),
    "consolidated": Scenario(
        (
            f"g = ndzarr.create_group(place, zarr_format=2); z = g.create_array('a', {_array(2)})",
            "z[...] = 1",
            "ndzarr.consolidate(place)",
            "z.append(np.full((3, 4), 8, 'i2'))",
            "g['a'].attrs['b'] = 1",
        ),
        whole=(3,),
    ),
    "transactions": Scenario(
        (
            f"g = ndzarr.create_group(place); z = g.create_array('a', {_array(3, shape=(2, 4))})",
            "z[...] = 1",
            f"with ndzarr.transaction(place):\n z[...] = 2; z.attrs['n'] = 1; y = g.create_array('b/c', {_array(3)}); y[0] = 3",
            "with ndzarr.transaction(place):\n z.resize((1, 1)); del g['b']",
        ),
        whole=(2, 3),
    ),
    "zip": Scenario(
        (
            f"store = ndzarr.ZipStore(place, mode='a'); z = ndzarr.create_array(store, path='a', {_array(3)}); store.flush()",
            "z[...] = 2; z.attrs['a'] = 1; store.flush()",
            "z.append(np.full((3, 4), 8, 'i2')); store.close()",
        ),
        whole=(0, 1, 2),
        name="new/file.zip",
    ),
}

_PROGRAM = """
import json, os, sys
import numpy as np
import ndzarr, ndzarr.stores.local, ndzarr.stores.zip
exec(sys.argv[3])

def mark(text):
    try:
        os.mkdir(f"/.mark/{text}/")
    except OSError:
        pass

place, steps = sys.argv[1], json.loads(sys.argv[2])
names = {"np": np, "ndzarr": ndzarr, "place": place}
with ndzarr.options(durable=True):
    for number, step in enumerate(steps):
        mark(f"begin {number}")
        exec(step, names)
        mark(f"end {number}")
mark("done")
"""


@dataclass
class Verdict:
    """What was found in a trace: counts, and what was wrong."""

    renames: int = 0
    states: int = 0
    early: int = 0
    late: int = 0
    bad: int = 0
    first: str = ""


def judge(scenario: Scenario, folder: Path, most: int, change: str = "") -> Verdict:
    """Run a scenario, lose power after each of its system calls, and read what is left each time; `most`: see `Disk.states`."""
    root = folder / "disk"
    root.mkdir()
    place = str(root / scenario.name)
    names: dict[str, Any] = {"ndzarr": ndzarr, "np": __import__("numpy"), "place": place}
    expected: list[Snapshot] = [{}]
    for step in scenario.steps:
        exec(step, names)
        expected.append(read(place))
    names.clear()
    powerloss.put({}, str(root))
    log = folder / "log"
    powerloss.trace(_PROGRAM, [place, json.dumps(scenario.steps), change], log)
    powerloss.put({}, str(root))

    disk, verdict, rng = Disk(str(root)), Verdict(), random.Random(1)
    seen: set[Any] = set()
    done, running = 0, False
    for call in powerloss.calls(log):
        if call.name == "mkdir" and call.result < 0:
            what, _, number = os.fsdecode(call.arguments[0])[len("/.mark/") : -1].partition(" ")
            running = what == "begin"
            if what == "end":
                done = int(number) + 1
                unsynced = disk.unsynced()
                verdict.late += len(unsynced)
                if unsynced and not verdict.first:
                    verdict.first = f"after step {done - 1} not on the disk: {unsynced}"
        elif not disk.do(call) or (scenario.early and running):
            continue
        for state in disk.states(rng, most):
            key = (done, running, frozenset(state.items()))
            if key in seen:
                continue
            seen.add(key)
            powerloss.put(state, str(root))
            verdict.states += 1
            try:
                found = read(place)
                good = same(found, expected[done])
                if not good and running:
                    old, new = expected[done : done + 2]
                    good = same(found, new) or (done not in scenario.whole and between(found, old, new))
            except Exception as error:
                found, good = {"error": {"error": repr(error)}}, False
            if not good:
                verdict.bad += 1
                if verdict.bad == 1 or not verdict.first:
                    verdict.first += f"\nin or after step {done - (not running)}, {call.name} {call.arguments[:2]}: {found}"
    assert done == len(scenario.steps)
    verdict.renames, verdict.early = disk.renames, len(disk.early)
    if disk.early:
        verdict.first += f"\nrenamed before they were synced: {disk.early[:3]}"
    shutil.rmtree(root)
    return verdict


@pytest.mark.parametrize("most", [4, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_acknowledged_survives(
    name: str, most: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    verdict = judge(SCENARIOS[name], tmp_path, most)
    assert (verdict.early > 0, verdict.late, verdict.bad) == (SCENARIOS[name].early, 0, 0), verdict
    assert verdict.renames > 0
    assert verdict.states > 10
    record_property("count: durable: renames of final names, each between its two syncs", verdict.renames)
    record_property("count: durable: states after a loss of power, none of them bad", verdict.states)


#: What must be noticed when it is left out, and how.
_FAULTS = {
    "nothing-synced": ("import os; os.fsync = lambda fd: None", "early late bad"),
    "no-files-synced": ("ndzarr.stores.local.sync_file = lambda fd: None", "early bad"),
    "no-folders-synced": ("ndzarr.stores.local.sync_folder = lambda folder: None", "late bad"),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_what_is_left_out_is_noticed(fault: str, tmp_path: Path) -> None:
    change, noticed = _FAULTS[fault]
    verdict = judge(SCENARIOS["small"], tmp_path, 3, change)
    for what in noticed.split():
        assert getattr(verdict, what) > 0, verdict
