"""The most memory that a read or a write takes, beside its result: two chunks at work, encoded and decoded, and 8 MiB."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr

MiB = 1 << 20
SLACK = 8 * MiB
SHAPE = (2048, 4096)
INNER = 256
#: name -> how an array in chunks of a size is stored. Chunks of a shard are `INNER` wide.
STORED: dict[str, Callable[[int], dict[str, Any]]] = {
    "raw": lambda side: {"chunks": (side, side), "compressor": None},
    "zstd": lambda side: {"chunks": (side, side), "compressor": "zstd"},
    "blosc": lambda side: {"chunks": (side, side), "compressor": "blosc"},
    "zlib": lambda side: {"chunks": (side, side), "compressor": "zlib", "zarr_format": 2},
    "sharded": lambda side: {"chunks": (INNER, INNER), "shards": (side, side), "compressor": "zstd", "zarr_format": 3},
}
#: Chunks of 1 MiB, as they are made by default, and of 16 MiB, beside which 8 MiB are little.
SIDES = [512, 2048]


def values() -> Any:
    return np.random.default_rng(0).integers(0, 5000, SHAPE, np.int16).astype("f4")


@dataclass
class Case:
    """encoded: the bytes of the largest object; decoded: of one chunk; whole: of all chunks of one object.

    kept: the bytes of all objects, where they are in memory."""

    z: Any
    name: str
    values: Any
    encoded: int
    decoded: int
    whole: int
    kept: int

    @property
    def most(self) -> int:
        """What a read may take beside its result."""
        return 2 * (self.encoded + self.decoded) + SLACK


PLACES = ["memory", "local"]


CASES = [(stored, side, place) for stored in STORED for side in SIDES for place in PLACES]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    stored, side, place = request.param
    store = ndzarr.MemoryStore() if place == "memory" else ndzarr.LocalStore(tmp_path_factory.mktemp("peaks"))
    z = ndzarr.create_array(store, shape=SHAPE, dtype="f4", **STORED[stored](side))
    data = z[...] = values()
    sizes = [store.size(key) or 0 for key in store.list() if not key.endswith((".zarray", "zarr.json"))]
    assert len(sizes) == data.size // side**2
    whole = side * side * 4
    decoded = INNER * INNER * 4 if stored == "sharded" else whole
    return Case(z, stored, data, max(sizes), decoded, whole, sum(sizes) if place == "memory" else 0)


def peak(job: Callable[[], Any]) -> int:
    """The most bytes that Python and NumPy held at once while `job` ran on two threads."""
    with ndzarr.options(workers=2):
        job()  # what is imported or kept at first use does not count
        tracemalloc.start()
        try:
            job()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_full_read(case: Case) -> None:
    assert peak(lambda: case.z[...]) <= case.values.nbytes + case.most


def test_strided_read(case: Case) -> None:
    """Every chunk is decoded for a little of it."""
    found = peak(lambda: case.z[::7, ::5])
    assert found <= case.values[::7, ::5].nbytes + case.most


def test_full_write(case: Case) -> None:
    # A shard is put together from all its encoded chunks, so that it is the shard that counts. A compressor is given room for
    # the worst that it can make of a chunk, which is the size of that: with small chunks the 8 MiB have room for it.
    encoded = case.encoded if case.whole <= MiB else max(case.encoded, case.whole)
    # What a store in memory keeps of the new objects takes the place of the old ones, which were there before.
    assert peak(lambda: case.z.__setitem__(..., case.values)) <= case.kept + 2 * (encoded + case.whole) + SLACK


def test_point_read(case: Case) -> None:
    found = peak(lambda: case.z[5, 5])
    if case.name == "raw":
        assert found <= 64 * 1024
    elif case.name == "sharded":
        assert found <= 2 * case.decoded + 256 * 1024  # an encoded chunk is no larger than that
    else:
        least = 0 if case.name == "blosc" else case.decoded  # of which only the blocks wanted are decoded
        assert least <= found <= case.encoded + case.decoded + 256 * 1024


CHILD = """
import sys
import numpy as np
import ndzarr

def high():
    if sys.platform == "linux":  # where getrusage() gives what this process had before it became another program, too
        for line in open("/proc/self/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024

array, small, store, job, data = sys.argv[1:]
def opened(path):
    if store == "local":
        return ndzarr.open_array(path, "r+")
    files = ndzarr.LocalStore(path)
    return ndzarr.open_array(ndzarr.MemoryStore({key: files.get(key) for key in files.list()}), "r+")

with ndzarr.options(workers=2):
    other = opened(small)  # what is imported at first use does not count, nor what threads are made of
    other[...] = other[...]
    z, values = opened(array), np.load(data)
    before = high()
    if job == "read":
        found = z[...]
    elif job == "write":
        z[...] = values
    else:
        found = z[5, 5]
    print(high() - before)
    if job != "write":
        assert np.array_equal(found, values if job == "read" else values[5, 5])
"""


@pytest.fixture(scope="module", params=STORED)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The directories of an array of `SHAPE` and of a small one, in chunks of 1 MiB; the values of the first beside them."""
    top = tmp_path_factory.mktemp(request.param)
    data = values()
    np.save(top / "values.npy", data)
    for name, found in {"array": data, "small": data[:1024, :1024]}.items():
        z = ndzarr.create_array(top / name, shape=found.shape, dtype="f4", **STORED[request.param](512))
        z[...] = found
    return top / "array", top / "small"


@pytest.mark.skipif(sys.platform == "win32", reason="has no `resource`")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("job", ["read", "write", "point"])
def test_process(job: str, place: str, files: tuple[Path, Path]) -> None:
    """The same of the whole process, where decoders allocate outside of Python; chunks of 1 MiB."""
    array, small = files
    command = [sys.executable, "-c", CHILD, str(array), str(small), place, job, str(array.with_name("values.npy"))]
    rise = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    nbytes = math.prod(SHAPE) * 4
    chunks = 2 * (2 * MiB) + SLACK  # encoded and decoded, each at most 1 MiB and a little
    if job == "read":
        assert nbytes <= rise <= nbytes + chunks
    elif job == "write":
        # What a store in memory drops is not at once what the process has less.
        assert rise <= chunks + (ndzarr.open_array(array).nbytes_stored if place == "memory" else 0)
    else:
        assert rise <= 3 * MiB
