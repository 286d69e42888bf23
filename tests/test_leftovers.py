"""What a killed process leaves is removed by the next write to the same place (promise P22)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# A process of its own, without threads, so that it may fork. In each round a child does all kinds of writes, over and over, and
# is killed in the middle; then each is done once more by handles of their own.
_PROGRAM = """
import json, os, random, signal, sys, time
import numpy as np
import ndzarr
from ndzarr.keys import TEMP_PREFIX

folder, rounds = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
how = {"chunks": (2, 2), "dtype": "i8", "compressor": None}


def cycle(number):
    group = ndzarr.create_group(folder + "/root", overwrite=True)
    for name, more in {"v3": {}, "shards": {"shards": (4, 4)}, "v2": {"zarr_format": 2}}.items():
        z = group.create_array("deep/" + name, shape=(5, 4), overwrite=True, **how, **more)
        z[...] = number
        z[1:3, 1:3] = -number
        z.attrs["number"] = number
        z.append(np.full((3, 4), number))
        z.resize((3, 3))
        z[...] = 0
    with ndzarr.options(durable=True):
        group["deep/v3"][...] = number
    with ndzarr.transaction(folder + "/root"):
        group["deep/v3"][...] = number + 1
        group.create_array("deep/new", shape=(2, 2), overwrite=True, **how)[...] = number
    with ndzarr.ZipStore(folder + "/archive.zip", "a") as store:
        ndzarr.create_array(store, shape=(5, 4), overwrite=True, **how)[...] = number


def leftovers():
    return [os.path.join(at, name) for at, folders, files in os.walk(folder) for name in [*folders, *files]
            if name.startswith(TEMP_PREFIX) or name == "transactions"]


def timed():
    started = time.perf_counter()
    cycle(0)
    return time.perf_counter() - started


timed()
length = timed()
found = {"left": 0, "after": 0, "listed": 0, "bad": 0}
first = []
for number in range(rounds):
    ready, signalled = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(signalled, b"x")
            while True:
                cycle(number)
        finally:
            os._exit(1)
    os.read(ready, 1)
    time.sleep(rng.random() * 1.5 * length)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(signalled)
    found["left"] += bool(leftovers())
    found["listed"] += any(TEMP_PREFIX in key for key in ndzarr.LocalStore(folder + "/root", readonly=True).list())
    cycle(number)
    remain = leftovers()
    found["after"] += bool(remain)
    first = first or remain
    group = ndzarr.open(folder + "/root")
    good = group["deep/v3"][...].tolist() == [[number + 1] * 3] * 3 and sorted(group["deep"]) == ["new", "shards", "v2", "v3"]
    found["bad"] += not good
print(json.dumps([found, first]))
"""


@pytest.mark.once
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
@pytest.mark.parametrize("rounds", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_next_write_removes_what_a_killed_one_left(
    rounds: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found, first = json.loads(done.stdout)
    assert found.pop("left") > 0  # else no kill came while anything was written, and this shows nothing
    assert not any(found.values()), (found, first)
    record_property("count: writers of all kinds killed, nothing left of them after the next write", rounds)
