"""How cost grows: with the chunks that are touched, not with the grid, and what threads do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import libraries

import ndzarr
from comparison.measure import Stores
from comparison.rows_read import LARGE, SHAPE, SMALL
from comparison.table import shown

#: The head of a table and its rows.
Table = tuple[list[str], list[list[str]]]
#: Elements of a chunk here: 64 bytes of float32.
_CHUNK = 16


def growth(*, quick: bool) -> list[Table]:
    """Three tables: chunks touched, size of the grid, threads."""
    rounds = 3 if quick else 9
    return [touched(5 if quick else 6, rounds), grids(rounds), threads(3 * rounds)]


def _fastest(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least seconds of each job.

    Nothing is compared here but ndzarr with itself, so what others do to the machine is noise; and one other busy program is
    enough to leave two threads one processor.
    """
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            if round_:
                taken[name].append(time.perf_counter() - started)
    return {name: min(seconds) for name, seconds in taken.items()}


def _tiny(nchunks: int, compressor: Any, *, filled: int) -> Any:
    """A MemoryStore array of chunks of 64 bytes, of which the first `filled` are there, all with the same values."""
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(
        store, shape=(nchunks * _CHUNK,), chunks=(_CHUNK,), dtype="f4", compressor=compressor, zarr_format=2
    )
    z[:_CHUNK] = np.arange(_CHUNK)
    data = store.get("0")
    if data is None:
        raise SystemExit("the first chunk was not written")
    for n in range(1, filled):
        store.set(str(n), data)
    return z


def touched(decades: int, rounds: int) -> Table:
    """Reads and writes of 1, 10, ... chunks of 64 bytes in memory, and points of as many chunks; time of one chunk."""
    arrays = {name: _tiny(10**decades, name if name != "raw" else None, filled=10**decades) for name in ("raw", "zstd")}
    values = np.arange(_CHUNK * 10**decades, dtype="f4")
    rows = []
    for n in [10**k for k in range(decades + 1)]:
        jobs: dict[str, Callable[[], object]] = {}
        repeat = max(1, 100 // n)
        places = np.arange(n) * _CHUNK + 3
        for name, z in arrays.items():
            jobs[f"read {name}"] = lambda z=z, n=n, repeat=repeat: [z[: n * _CHUNK] for _ in range(repeat)]
        raw = arrays["raw"]
        jobs["points"] = lambda z=raw, places=places, repeat=repeat: [z[places] for _ in range(repeat)]
        jobs["write"] = lambda z=raw, n=n, repeat=repeat: [
            z.__setitem__(slice(n * _CHUNK), values[: n * _CHUNK]) for _ in range(repeat)
        ]
        found = _fastest(jobs, rounds if n < 100_000 else 3)
        rows.append([f"{n:,}", *(shown(found[job] / repeat / n) for job in jobs)])
    heads = ["chunks touched", "read, raw", "read, zstd", "one point of each, raw", "write, raw"]
    return [heads[0], *(f"{head}: a chunk" for head in heads[1:])], rows


def grids(rounds: int) -> Table:
    """Ten chunks of a grid of ten, and of one of a million times a million."""
    jobs: dict[str, dict[str, Callable[[], object]]] = {}
    for nchunks in (10, 10**12):
        z = _tiny(nchunks, None, filled=10)
        step = (nchunks // 10) * _CHUNK  # ten elements far apart: most of their chunks were never written
        far = np.arange(10) * step
        values = np.arange(10 * _CHUNK, dtype="f4")
        for name, job in {
            "a slice": lambda z=z, _=0: z[: 10 * _CHUNK],
            "every n-th element": lambda z=z, step=step: z[::step],
            "index array": lambda z=z, far=far: z[far],
            "write of a slice": lambda z=z, values=values: z.__setitem__(slice(10 * _CHUNK), values),
        }.items():
            jobs.setdefault(name, {})[f"{nchunks:,}"] = lambda job=job: [job() for _ in range(100)]
    rows = []
    for name, pair in jobs.items():
        found = _fastest(pair, rounds)
        rows.append([name, *(shown(seconds / 100) for seconds in found.values())])
    return ["ten chunks touched of a grid of", "10", "10^12"], rows


def threads(rounds: int) -> Table:
    """A full read of 64 MiB on 1, 2 and 4 threads, as `options(workers=)` allows; ndzarr takes no more than processors."""
    rows = []
    with tempfile.TemporaryDirectory() as top:
        stores = Stores(Path(top))
        for chunks in (LARGE, SMALL):
            for name, compressor in {"zstd": libraries.ZSTD, "blosc-lz4": libraries.BLOSC, "raw": None}.items():
                path, _ = stores.get(libraries.document(SHAPE, chunks, compressor))
                z = ndzarr.open_array(path)

                def job(workers: int, z: Any = z) -> None:
                    with ndzarr.options(workers=workers):
                        z[...]

                found = _fastest({str(n): lambda n=n, job=job: job(n) for n in (1, 2, 4)}, rounds)
                rows.append([f"{chunks[0]}x{chunks[1]} {name}", *map(shown, found.values())])
    return ["full read, options(workers=)", "1", "2", "4"], rows
