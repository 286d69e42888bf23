"""Ctrl-C: when it reaches the caller, no thread of ours changes anything any more, and what is stored is whole (promise P17).

A process of its own, since the signal goes to the main thread whatever that is doing at the moment.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_PROBE = '''
import itertools, json, os, random, signal, sys, threading, time
import numpy as np
import ndzarr
from ndzarr import crew

top, rounds, version = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
crew.processors = lambda: 4  # threads even where there is one processor
rng = random.Random(version)
data = np.random.default_rng(0).normal(size=(1600, 300))
SHARDS = {} if version == 2 else {"shards": (400, 300)}


armed = False


def interrupt(*_):
    if armed:  # else the work was done already
        raise KeyboardInterrupt


signal.signal(signal.SIGINT, interrupt)


def tree():
    """Whatever may be seen of the directory: names, sizes, times of change."""
    found = {}
    for folder, _, names in os.walk(os.path.dirname(top)):
        for name in names:
            info = os.stat(os.path.join(folder, name))
            found[folder, name] = info.st_ino, info.st_size, info.st_mtime_ns
    return found


def start(shards):
    z = ndzarr.create_array(top, path="a", shape=data.shape, dtype="f8", chunks=(100, 100), compressor="zlib", overwrite=True,
                            zarr_format=version, **(SHARDS if shards else {}))
    z[...] = 1.0
    return z


WORKS = {
    "overwrite": lambda z: z.__setitem__(..., data),
    "part": lambda z: z.__setitem__((slice(50, 1550), slice(7, 290)), data[50:1550, 7:290]),
    "append": lambda z: z.append(data),
    "shrink": lambda z: z.resize(10, 10),
    "ufunc": lambda z: np.multiply(z, 2.0, out=z),
    "copy": lambda z: ndzarr.copy(z, ndzarr.LocalStore(top + "-copy"), if_exists="replace"),
    "read": lambda z: z[...],
}


def went(name, z):
    """How long it takes when nothing happens."""
    started = time.perf_counter()
    WORKS[name](z)
    return time.perf_counter() - started


long = {name: went(name, start(False)) for name in WORKS}
later = interrupted = mixed = 0
for number, (name, shards) in enumerate(itertools.cycle(itertools.product(WORKS, (False, True) if SHARDS else (False,)))):
    if interrupted >= rounds or number > 20 * rounds:
        break
    z = start(shards)
    timer = threading.Timer(rng.random() * long[name], os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    caught, armed = False, True
    try:
        WORKS[name](z)
        armed = False
    except KeyboardInterrupt:
        armed, caught = False, True
    before = tree()
    timer.join()
    if not caught:
        continue
    interrupted += 1
    time.sleep(0.02)
    later += tree() != before
    if name in ("overwrite", "part"):  # each chunk is old or new
        now = ndzarr.open_array(top, path="a")[...]
        for r in range(0, 1600, 100):
            for c in range(0, 300, 100):
                block, wanted = now[r : r + 100, c : c + 100], data[r : r + 100, c : c + 100].copy()
                if name == "part":
                    frame = np.ones(data.shape)
                    frame[50:1550, 7:290] = data[50:1550, 7:290]
                    wanted = frame[r : r + 100, c : c + 100]
                mixed += not ((block == 1.0).all() or (block == wanted).all())
    with ndzarr.options(workers=4):  # the pool is of use still
        assert start(False)[...].sum() == data.size
print(json.dumps({"interrupted": interrupted, "later": later, "mixed": mixed}))
'''


@pytest.mark.parametrize("rounds", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_nothing_changes_after_an_interrupt(
    tmp_path: Path, rounds: int, zarr_format: int, record_property: Callable[[str, object], None]
) -> None:
    command = [sys.executable, "-c", _PROBE, str(tmp_path / "a"), str(rounds), str(zarr_format)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["interrupted"] == rounds
    assert found["later"] == 0
    assert found["mixed"] == 0
    record_property("count: writes interrupted", rounds)
    record_property("count: changes after an interrupt", found["later"])
