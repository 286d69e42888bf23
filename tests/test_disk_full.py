"""A full disk: every failure reaches the caller, what was there stays, and nothing of the attempt is left (promise P24)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

#: What is there; what is then done. A second name stands for a step that happens as a whole or not at all.
STEPS: dict[str, tuple[str, str]] = {
    "chunk": ("z = create(path='a')", "z[:2] = data[:2]"),
    "chunk-durable": ("z = create(path='a')", "with ndzarr.options(durable=True): z[:2] = data[:2]"),
    "part-of-a-chunk": ("z = create(path='a'); z[...] = 7", "z[0, 1:] = data[0, 1:]"),
    "format-2": ("z = create(path='a', zarr_format=2)", "z[:2] = data[:2]"),
    "chunks": ("z = create(path='a'); z[...] = 7", "z[...] = data"),
    "shard": ("z = create(path='a', shards=(4, cols)); z[...] = 7", "z[1] = data[1]"),
    "append": ("z = create(path='a'); z[...] = 7", "z.append(data[:3])"),
    "resize": ("z = create(path='a'); z[...] = 7", "z.resize((3, cols))"),
    "attributes": ("z = create(path='a', attributes={'a': 'x' * 300})", "z.attrs['b'] = 'y' * 300"),
    "group-attributes": (
        "g = ndzarr.create_group(place, zarr_format=2); create(path='a', zarr_format=2); ndzarr.consolidate(place)",
        "g.attrs['b'] = 'y' * 300",
    ),
    "create": ("g = ndzarr.create_group(place)", "z = g.create_array('b/c', shape=(3,), dtype='i1')"),
    "overwrite": ("z = create(path='a', attributes={'a': 1})", "z = create(path='a', overwrite=True)"),
    "transaction": (
        "z = create(path='a'); z[...] = 7",
        "with ndzarr.transaction(place): z[...] = data; z.attrs['b'] = 1; create(path='b')",
    ),
    "zip": (
        "with ndzarr.ZipStore(place, 'a') as store: create(store, path='a')[...] = 7",
        "with ndzarr.ZipStore(place, 'a') as store: ndzarr.open(store, 'r+', path='a')[...] = data",
    ),
}
WHOLE = {"chunk", "chunk-durable", "part-of-a-chunk", "format-2", "shard", "append", "attributes", "transaction", "zip"}

_PROGRAM = """
import errno, json, os, resource, shutil, subprocess, sys
import numpy as np
import ndzarr
from ndzarr.keys import TEMP_PREFIX
from tests.snapshots import between, read, same

folder, kind, steps, whole, cols, every = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:])
place, filler = folder + "/root", folder + "/filler"
rows = 5
data = np.random.default_rng(1).integers(1, 100, (rows, cols), "i1")


def create(store=place, **more):
    how = {"shape": (rows, cols), "chunks": (2, cols), "dtype": "i1", "compressor": None, **more}
    return ndzarr.create_array(store, **how)


def clear():
    for path in (place, filler):
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)


def leave(left):
    # Fill the disk but for so much: pages, or names.
    if kind == "pages":
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError as error:
                assert error.errno == errno.ENOSPC
            file.truncate(max(0, os.stat(filler).st_size - left * 4096))
    else:
        os.mkdir(filler)
        try:
            for number in range(1 << 30):
                os.close(os.open(f"{filler}/{number}", os.O_CREAT))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        for last in range(number - left, number):
            os.unlink(f"{filler}/{last}")


def limited(left):
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if left is None else left, resource.RLIM_INFINITY))


counts = {"failed": 0, "silent": 0, "damaged": 0, "left": 0, "untyped": 0}
told = []


def attempt(name, names, left):
    wanted, what = (errno.EFBIG,) if kind == "bytes" else (errno.ENOSPC,), None
    try:
        limited(left) if kind == "bytes" else leave(left)
        try:
            exec(steps[name][1], names)
        finally:
            limited(None)
    except ndzarr.StoreError as error:
        what = error
        if getattr(error.__cause__, "errno", None) not in wanted:
            counts["untyped"] += 1
            told.append(f"{name}, {left}: {error!r} from {error.__cause__!r}")
    except OSError as error:
        what = error
        counts["untyped"] += 1
        told.append(f"{name}, {left}: {error!r}")
    names.clear()  # handles, of archives for one, are closed
    if os.path.isdir(filler):
        shutil.rmtree(filler)
    elif os.path.exists(filler):
        os.unlink(filler)
    remains = [os.path.join(at, n) for at, folders, files in os.walk(folder) for n in [*folders, *files]
               if n.startswith(TEMP_PREFIX) or n == "transactions"]
    if remains:
        counts["left"] += 1
        told.append(f"{name}, {left}: left {remains} after {what!r}")
    return what


def start(name):
    clear()
    names = {"np": np, "ndzarr": ndzarr, "place": place, "create": create, "data": data, "cols": cols}
    exec(steps[name][0], names)
    return names


for name in steps:
    names = start(name)
    before = read(place)
    exec(steps[name][1], names)
    names.clear()
    after = read(place)
    assert not same(before, after)
    left, passed = 0, 0
    while passed < 3:
        error = attempt(name, start(name), left)
        found = read(place)
        if error is None:
            passed += 1
            if not same(found, after):
                counts["silent"] += 1
                told.append(f"{name}, {left}: silent {found}")
        else:
            passed = 0
            counts["failed"] += 1
            if not same(found, before) and (name in whole or not between(found, before, after)):
                counts["damaged"] += 1
                told.append(f"{name}, {left}: {found} after {error!r}")
        left += every
    assert left > 3 * every or name == "overwrite", name  # which first makes room for itself
clear()
print(json.dumps([counts, told[:5]]))
"""


@cache
def _may_mount() -> bool:
    """Whether a small file system of our own can be mounted here, in a namespace of a child's."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")
@pytest.mark.parametrize(
    ("kind", "every"), [("bytes", 7), pytest.param("bytes", 1, marks=pytest.mark.slow), ("pages", 1), ("names", 1)]
)
def test_a_full_disk(kind: str, every: int, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    # Of bytes: a file may have so many, which is no full disk, but stops at any byte. Of pages and names: a full tmpfs.
    if kind != "bytes" and not _may_mount():
        pytest.skip(
            "no file system of our own can be mounted here (`unshare -rm`); the run by bytes says the same of every byte"
        )
    cells = 30 if kind == "bytes" else 5000
    arguments = [
        sys.executable,
        "-c",
        _PROGRAM,
        str(tmp_path),
        kind,
        json.dumps(STEPS),
        json.dumps(sorted(WHOLE)),
        str(cells),
        str(every),
    ]
    if kind != "bytes":
        mount = f'mount -t tmpfs -o size=1m,nr_inodes=200 tmpfs "{tmp_path}" && exec "$@"'
        arguments = ["unshare", "-rm", "sh", "-c", mount, "sh", *arguments]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    counts, told = json.loads(done.stdout)
    failed = counts.pop("failed")
    assert failed > len(STEPS), counts
    assert not any(counts.values()), (counts, told)
    record_property(f"count: full disk by {kind}: steps that failed, none silently, nothing damaged or left", failed)
