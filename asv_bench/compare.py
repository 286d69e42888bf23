"""ndzarr beside zarr-python, zarrs and tensorstore, all in one process and one run: `python asv_bench/compare.py [--quick]`.

Every library reads the same files, written from one v2 document, and opens them as it does by default. Measurements are
interleaved, one of each library in turn, so that a machine that is busy for a while is busy for all; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmarks import libraries

OURS = "ndzarr"


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int, repeat: int) -> dict[str, float]:
    """The median seconds of one call of each job, over `rounds` rounds in each of which every job runs `repeat` times."""
    for job in jobs.values():
        job()
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            for _ in range(repeat):
                job()
            taken[name].append((time.perf_counter() - started) / repeat)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def point_in_memory(names: list[str], rounds: int) -> dict[str, float]:
    jobs = {}
    for name in names:
        array = libraries.create_memory(name, (1024, 1024), (64, 64))
        libraries.write(name, array, np.s_[:64, :64], libraries.values((64, 64)))
        jobs[name] = lambda name=name, array=array: libraries.read(name, array, (5, 5))
    return interleaved(jobs, rounds, 200)


#: What is measured on a stored array of 64 MiB: (library, its array, lengths of chunks) -> the result, or None.
Job = Callable[[str, Any, tuple[int, int]], Any]


def stored(
    job: Job, chunks: tuple[int, int], compressor: dict[str, Any] | None, expected: Callable[[Any], Any] | None = None
) -> Any:
    """A row that measures `job` on 4096 x 4096 float32 in a directory; what it gives is compared with `expected(values)`."""

    def measure(names: list[str], rounds: int) -> dict[str, float]:
        shape = (4096, 4096)
        with tempfile.TemporaryDirectory() as top:
            path = Path(top, "a")
            values = libraries.values(shape)
            libraries.create_local(OURS, path, libraries.document(shape, chunks, compressor))[...] = values
            jobs = {}
            for name in names:
                opened = libraries.open_local(name, path)
                if expected is not None:
                    assert np.allclose(job(name, opened, chunks), expected(values), rtol=1e-6), name
                jobs[name] = lambda name=name, opened=opened: job(name, opened, chunks)
            return interleaved(jobs, rounds, 1)

    return measure


def whole_read(chunks: tuple[int, int], compressor: dict[str, Any] | None) -> Any:
    return stored(lambda name, array, _: libraries.read(name, array, np.s_[...]), chunks, compressor, lambda values: values)


def slabs(chunks: tuple[int, int], compressor: dict[str, Any] | None) -> Any:
    """The whole array by slabs of one row of chunks each, as what streams over it reads it."""

    def read(name: str, array: Any, chunks: tuple[int, int]) -> None:
        for start in range(0, array.shape[0], chunks[0]):
            libraries.read(name, array, np.s_[start : start + chunks[0]])

    return stored(read, chunks, compressor)


def mean(chunks: tuple[int, int], compressor: dict[str, Any] | None) -> Any:
    """The mean over axis 0; see `libraries.mean_of_columns`. tensorstore's best slab for 64x64 chunks is 512 rows, not 64."""

    def of_columns(name: str, array: Any, _: tuple[int, int]) -> Any:
        return libraries.mean_of_columns(name, array, 512)

    return stored(of_columns, chunks, compressor, lambda values: values.mean(axis=0, dtype="f8"))


def windows(names: list[str], rounds: int) -> dict[str, float]:
    """One random 64x64 window of an array in 16 shards of 1,024 chunks each."""
    shape, shards, chunks = (8192, 8192), (2048, 2048), (64, 64)
    with tempfile.TemporaryDirectory() as top:
        path = Path(top, "a")
        array = libraries.create_local(OURS, path, libraries.sharded(shape, shards, chunks))
        expected = array[...] = libraries.values(shape)
        corners = np.random.default_rng(0).integers(0, 8192 - 64, (100, 2)).tolist()
        jobs = {}
        for name in names:
            opened = libraries.open_local(name, path)
            for x, y in corners[:5]:
                found = libraries.read(name, opened, np.s_[x : x + 64, y : y + 64])
                assert np.array_equal(found, expected[x : x + 64, y : y + 64]), name

            def job(name: str = name, opened: Any = opened) -> None:
                for x, y in corners:
                    libraries.read(name, opened, np.s_[x : x + 64, y : y + 64])

            jobs[name] = job
        return {name: seconds / len(corners) for name, seconds in interleaved(jobs, rounds, 1).items()}


def whole_shards(names: list[str], rounds: int) -> dict[str, float]:
    shape = (4096, 4096)
    with tempfile.TemporaryDirectory() as top:
        path = Path(top, "a")
        array = libraries.create_local(OURS, path, libraries.sharded(shape, (2048, 2048), (256, 256)))
        array[...] = libraries.values(shape)
        jobs = {}
        for name in names:
            opened = libraries.open_local(name, path)
            jobs[name] = lambda name=name, opened=opened: libraries.read(name, opened, np.s_[...])
        return interleaved(jobs, rounds, 1)


def chunk_in_shard(names: list[str], rounds: int) -> dict[str, float]:
    """One chunk of a shard of 16 MiB overwritten."""
    with tempfile.TemporaryDirectory() as top:
        jobs = {}
        for name in names:
            array = libraries.create_local(name, Path(top, name), libraries.sharded((2048, 2048), (2048, 2048), (64, 64)))
            libraries.write(name, array, np.s_[...], libraries.values((2048, 2048)))
            chunk = libraries.values((64, 64), seed=1)
            jobs[name] = lambda name=name, array=array, chunk=chunk: libraries.write(name, array, np.s_[64:128, 640:704], chunk)
        return interleaved(jobs, rounds, 3)


def whole_write(names: list[str], rounds: int) -> dict[str, float]:
    shape = (2048, 2048)
    data = libraries.values(shape)
    with tempfile.TemporaryDirectory() as top:
        jobs = {}
        for name in names:
            array = libraries.create_local(name, Path(top, name), libraries.document(shape, (64, 64), libraries.ZSTD))
            jobs[name] = lambda name=name, array=array: libraries.write(name, array, np.s_[...], data)
        return interleaved(jobs, rounds, 1)


def part_write(names: list[str], rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as top:
        jobs = {}
        for name in names:
            description = libraries.document((1024, 1024), (64, 64), libraries.ZSTD)
            array = libraries.create_local(name, Path(top, name), description)
            libraries.write(name, array, np.s_[...], libraries.values((1024, 1024)))
            jobs[name] = lambda name=name, array=array: libraries.write(name, array, (5, 5), 1.0)
        return interleaved(jobs, rounds, 20)


def imports(_: list[str], rounds: int) -> dict[str, float]:
    """Process times of `import x`, the bare interpreter's subtracted round by round."""
    codes = {
        "nothing": "pass",
        "numpy": "import numpy",
        OURS: "import ndzarr",
        f"{OURS} + numpy": "import numpy, ndzarr",
        f"{OURS}, first array": "import ndzarr; ndzarr.zeros((4, 4))[0, 0]",
    }
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for round_ in range(max(rounds, 15) + 1):
        for name, code in codes.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            if round_:  # the first fills the disk cache and compiles
                taken[name].append(time.perf_counter() - started)
    return {
        name: statistics.median(s - empty for s, empty in zip(taken[name], taken["nothing"], strict=True))
        for name in codes
        if name != "nothing"
    }


ROWS: list[tuple[str, Callable[[list[str], int], dict[str, float]]]] = [
    ("z[5, 5], in memory, raw", point_in_memory),
    ("read 4096 chunks of 16 KiB, zstd", whole_read((64, 64), libraries.ZSTD)),
    ("read 4096 chunks of 16 KiB, blosc-lz4", whole_read((64, 64), libraries.BLOSC)),
    ("read 4096 chunks of 16 KiB, raw", whole_read((64, 64), None)),
    ("read slabs of 64 chunks, zstd", slabs((64, 64), libraries.ZSTD)),
    ("read slabs of 64 chunks, blosc-lz4", slabs((64, 64), libraries.BLOSC)),
    ("read slabs of 64 chunks, raw", slabs((64, 64), None)),
    ("read 64 chunks of 1 MiB, blosc-lz4", whole_read((512, 512), libraries.BLOSC)),
    ("read 64 chunks of 1 MiB, raw", whole_read((512, 512), None)),
    ("mean over axis 0, 4096 chunks of 16 KiB, zstd", mean((64, 64), libraries.ZSTD)),
    ("mean over axis 0, 4096 chunks of 16 KiB, blosc-lz4", mean((64, 64), libraries.BLOSC)),
    ("mean over axis 0, 64 chunks of 1 MiB, zstd", mean((512, 512), libraries.ZSTD)),
    ("write 1024 chunks of 16 KiB, zstd", whole_write),
    ("z[5, 5] = 1, directory, zstd", part_write),
    ("random 64x64 window of shards, zstd", windows),
    ("read 4 shards of 64 chunks, zstd", whole_shards),
    ("overwrite one chunk of a shard, zstd", chunk_in_shard),
]


def shown(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds in place of 15")
    parser.add_argument("--rows", metavar="TEXT", default="", help="only rows whose name has TEXT in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the medians, in seconds, to FILE")
    given = parser.parse_args()
    rounds = 3 if given.quick else 15

    names = libraries.installed()
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}, medians of {rounds}")
    print(", ".join(f"{name} {libraries.version(name)}" for name in names), end="\n\n")
    others = [name for name in names if name != OURS]
    print(f"{'':<52}" + "".join(f"{name:>14}" for name in names) + "".join(f"{'x ' + name:>15}" for name in others))
    results = {}
    for title, measure in [row for row in ROWS if given.rows in row[0]]:
        medians = results[title] = measure(names, rounds)
        times = "".join(f"{shown(medians[name]):>14}" for name in names)
        print(f"{title:<52}{times}" + "".join(f"{medians[name] / medians[OURS]:>15.1f}" for name in others), flush=True)
    print(f"\n{'import, interpreter subtracted':<52}{'time':>14}{'/ numpy':>14}")
    medians = results["import"] = imports(names, rounds)
    for name, seconds in medians.items():
        print(f"  {name:<50}{shown(seconds):>14}{seconds / medians['numpy']:>14.2f}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
