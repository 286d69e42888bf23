"""Writers that race for the same chunks, arrays and documents: no update is lost (promises P3, P4, P5).

Each writer keeps something of its own in what all of them change: cells of one chunk, rows, an attribute, a member. After each
change it looks whether what is its own is as it left it; nobody else touches that, so that anything else is a lost update. The
processes run in an interpreter of their own, without threads, so that they may fork.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ndzarr.stores import filelocks

Record = Callable[[str, object], None]

_PROGRAM = '''
import json, os, sys, threading, time
import numpy as np
import ndzarr

top, kind, how, rounds, version, locked = *sys.argv[1:4], *map(int, sys.argv[4:])
WRITERS = 4
OPTIONS = {"zarr_format": version, "compressor": None}


def handle(number):
    """The same array by another root each time."""
    if number % 2:
        return ndzarr.open_array(top + "/a/x", mode="r+")
    return ndzarr.open_array(top, mode="r+", path="a/x")


def cells(number, rounds):
    z, lost = handle(number), 0
    for n in range(1, rounds + 1):
        z[number] = n
        lost += int(z[number]) != n
    return lost


def stripes(number, rounds):
    """Every fourth cell of several chunks."""
    z, lost = handle(number), 0
    mine = slice(number, None, WRITERS)
    for n in range(1, rounds + 1):
        z[mine] = n
        lost += bool((z[mine] != n).any())
    return lost


def rows(number, rounds):
    z = handle(number)
    for n in range(rounds):
        z.append(np.full((1 + n % 3, 3), number * rounds + n, "i4"))
    return 0


def attributes(number, rounds):
    node = handle(number)
    lost = 0
    for n in range(1, rounds + 1):
        node.attrs[f"of {number}"] = n
        node.refresh()
        lost += node.attrs[f"of {number}"] != n
    return lost


def members(number, rounds):
    g, lost = ndzarr.open_group(top, "r+"), 0
    for n in range(rounds):
        g.create_array(f"group/{number}-{n}", shape=(1,), dtype="i1", **OPTIONS)
    return 0


works = {"cells": cells, "shards": cells, "stripes": stripes, "rows": rows, "attributes": attributes, "members": members}
WORK = works[kind]
ndzarr.create_group(top, zarr_format=version)
if kind in ("cells", "stripes"):
    ndzarr.create_array(top, path="a/x", shape=(16,), chunks=(8 if kind == "stripes" else 4,), dtype="i4", **OPTIONS)
elif kind == "shards":
    ndzarr.create_array(top, path="a/x", shape=(4,), chunks=(1,), shards=(4,), dtype="i4", **OPTIONS)
elif kind in ("rows", "attributes"):
    ndzarr.create_array(top, path="a/x", shape=(0, 3), chunks=(7, 3), dtype="i4", **OPTIONS)
else:
    ndzarr.consolidate(top)

share = rounds // WRITERS
lost = 0
if how == "threads":
    found = [None] * WRITERS
    def run(number):
        found[number] = WORK(number, share)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(WRITERS)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    lost = sum(found)
else:
    pipes = []
    for number in range(WRITERS):
        out, into = os.pipe()
        if not os.fork():
            try:
                with ndzarr.options(exclusive="auto" if locked else False):
                    os.write(into, str(WORK(number, share)).encode())
            except BaseException:
                import traceback; traceback.print_exc()
            finally:
                os._exit(0)
        os.close(into)
        pipes.append(out)
    for out in pipes:
        lost += int(os.read(out, 100))
    for _ in pipes:
        os.wait()

if kind in ("cells", "shards"):
    lost += sum(int(v) != share for v in handle(0)[:WRITERS])
elif kind == "rows":
    z = handle(0)[...]
    wanted = {number * share + n: 1 + n % 3 for number in range(WRITERS) for n in range(share)}
    values, counts = np.unique(z[:, 0], return_counts=True)
    assert (z == z[:, :1]).all(), "a row is mixed"
    lost += len(wanted) - sum(counts[np.searchsorted(values, v)] == n for v, n in wanted.items() if v in values)
    assert len(z) == sum(wanted.values()) or lost
    assert (np.diff(np.flatnonzero(np.diff(z[:, 0]) != 0)) <= 3).all(), "the rows of one append lie apart"
elif kind == "attributes":
    z = handle(0)
    lost += sum(z.attrs[f"of {n}"] != share for n in range(WRITERS))
elif kind == "members":
    names = {f"{number}-{n}" for number in range(WRITERS) for n in range(share)}
    lost += len(names - set(ndzarr.open_group(top)["group"]))  # as the consolidated metadata say
    lost += len(names - set(ndzarr.open_group(top, "r+")["group"]))
left = [name for _, _, names in os.walk(top) for name in names if name.startswith(".ndzarr-tmp")]
print(json.dumps({"lost": int(lost), "left": left}))
'''

KINDS = ["cells", "stripes", "shards", "rows", "attributes", "members"]
#: Creating and changing documents is slower than changing a cell; consolidated metadata grow with the members.
SHARE = {"rows": 2, "attributes": 2, "members": 20}


def race(top: Path, kind: str, how: str, rounds: int, version: int, locked: bool = True) -> dict[str, object]:
    command = [sys.executable, "-c", _PROGRAM, str(top), kind, how, str(rounds), str(version), str(int(locked))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    found: dict[str, object] = json.loads(ran.stdout)
    return found


@pytest.mark.skipif(not filelocks.AVAILABLE, reason="this system has no such locks")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["threads", "processes"])
@pytest.mark.parametrize("rounds", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_update_is_lost(kind: str, how: str, rounds: int, zarr_format: int, tmp_path: Path, record_property: Record) -> None:
    if kind == "shards" and zarr_format == 2:
        kind = "cells"
    rounds //= SHARE.get(kind, 1) if rounds == 1_000 else 5 if kind == "members" else 1
    found = race(tmp_path / "a", kind, how, rounds, zarr_format)
    assert found == {"lost": 0, "left": []}
    what = {"rows": "appends", "attributes": "attributes set", "members": "nodes made"}.get(kind, "parts of chunks written")
    record_property(f"count: {what} by {how} at once", rounds)
    record_property("count: updates lost", found["lost"])


def test_the_race_is_one(tmp_path: Path) -> None:
    """Without locks between processes updates are lost here, or all of the above would show nothing."""
    assert race(tmp_path / "a", "cells", "processes", 1_000, 3, locked=False)["lost"]
