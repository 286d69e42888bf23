"""From maps to series in bounded memory, beside rechunker's two passes through dask and zarr-python: `python
asv_bench/rechunk.py`.

Each side runs in a process of its own, in turn; printed are seconds, the peak of the process's memory, and the ratio. The last
rows kill a rechunk half-way and let the same call finish it. rechunker itself does not run with zarr-python 3 (0.5.4 looks for
`zarr.hierarchy`), so that its passes are written out here, as its executor for dask does them, by its own plan where the
package is installed and else by the same rule.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ndzarr need not be installed

MiB = 1 << 20
MAX_MEM = 256
SERIES = 16


def shape_of(mib: int) -> tuple[int, int, int]:
    """Maps of 1 MiB."""
    return mib, 512, 512


def make(folder: str, mib: int) -> None:
    import numpy as np

    import ndzarr

    shape = shape_of(mib)
    z = ndzarr.create_array(f"{folder}/maps", shape=shape, dtype="f4", chunks=(1, *shape[1:]))
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : shape[1], 0 : shape[2]] / 80
    noise = rng.normal(size=(16, *shape[1:]))
    for n in range(shape[0]):
        z[n] = np.round(280 + 10 * np.sin(x + n / 50) * np.cos(y - n / 90) + noise[n % 16], 2)


def chunks_of(mib: int, max_mem: int) -> tuple[int, int, int]:
    """Series as long as the array; with less memory narrower ones, so that objects keep their share of it."""
    return mib, *(2 * [max(1, int(SERIES * math.sqrt(max_mem / MAX_MEM * 4096 / mib)))])


def by_ndzarr(folder: str, mib: int, max_mem: int, out: str) -> None:
    import ndzarr

    def told(done: int, total: int) -> None:
        print(json.dumps([done, total]), flush=True)

    ndzarr.rechunk(f"{folder}/maps", f"{folder}/{out}", chunks=chunks_of(mib, max_mem), max_mem=max_mem * MiB, progress=told)


def by_dask(folder: str, mib: int, max_mem: int, out: str) -> None:
    import dask
    import zarr
    from zarr.codecs import BloscCodec

    shape, target = shape_of(mib), chunks_of(mib, max_mem)
    threads = len(os.sched_getaffinity(0))
    reads, between, writes = passes(shape, (1, *shape[1:]), target, max_mem * MiB // threads)
    source = zarr.open_array(f"{folder}/maps", mode="r")
    quick = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle", typesize=4)
    middle = zarr.create_array(f"{folder}/middle", shape=shape, chunks=between, dtype="f4", compressors=quick)
    series = zarr.create_array(
        f"{folder}/{out}", shape=shape, chunks=target, dtype="f4", compressors=zarr.codecs.ZstdCodec(level=1)
    )

    def copy(a: zarr.Array, b: zarr.Array, box: tuple[slice, ...]) -> None:
        b[box] = a[box]

    with dask.config.set(scheduler="threads", num_workers=threads):
        for a, b, lengths in ((source, middle, reads), (middle, series, writes)):
            dask.compute([dask.delayed(copy)(a, b, box) for box in boxes(shape, lengths)])


def passes(shape: tuple[int, ...], source: tuple[int, ...], target: tuple[int, ...], max_mem: int) -> list[tuple[int, ...]]:
    """Lengths of what is read at once, of chunks in between, and of what is written at once."""
    try:
        from rechunker.algorithm import rechunking_plan
    except ImportError:
        rows = max(1, max_mem // (4 * shape[1] * shape[2]))
        side = target[1] * max(1, math.isqrt(max_mem // (4 * math.prod(target))))
        return [(rows, *shape[1:]), (rows, side, side), (shape[0], side, side)]
    return list(rechunking_plan(shape, source, target, 4, max_mem))


def boxes(shape: tuple[int, ...], lengths: tuple[int, ...]) -> list[tuple[slice, ...]]:
    axes = [[slice(i, min(i + n, end)) for i in range(0, end, n)] for n, end in zip(lengths, shape, strict=True)]
    return list(itertools.product(*axes))


SIDES = {"ndzarr": by_ndzarr, "dask + zarr-python": by_dask}


def check(folder: str, mib: int, out: str) -> None:
    """Compare what was written with the source, a few maps at a time."""
    import numpy as np

    import ndzarr

    a, b = ndzarr.open_array(f"{folder}/maps"), ndzarr.open_array(f"{folder}/{out}")
    width = b.chunks[1] * max(1, 64 // b.chunks[1])
    assert a.shape == b.shape
    for i in range(0, a.shape[1], width):
        wanted = np.stack([a[n, i : i + width] for n in range(a.shape[0])])
        np.testing.assert_array_equal(b[:, i : i + width], wanted)


def peak() -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def child(arguments: list[str], stop_at: float | None = None) -> dict[str, float]:
    """Run one side in a fresh process; `stop_at`: kill it when that share of its blocks is done."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--child", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found: dict[str, float] = {}
    for line in process.stdout:
        said = json.loads(line)
        if isinstance(said, dict):
            found = said
        elif stop_at is not None and said[0] >= stop_at * said[1]:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    if stop_at is None and process.returncode:
        sys.exit(f"{arguments} failed")
    return {"seconds": time.perf_counter() - start, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=4096, help="size of the array")
    parser.add_argument("--max-mem", type=int, default=MAX_MEM, help="in MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="where arrays are made; by default where temporary files are")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        side, folder, mib, max_mem, out = given.child
        if side == "make":
            make(folder, int(mib))
        elif side == "check":
            check(folder, int(mib), out)
        else:
            SIDES[side](folder, int(mib), int(max_mem), out)
        print(json.dumps({"peak": peak()}))
        return
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:

        def run(side: str, out: str, **more: float) -> dict[str, float]:
            return child([side, folder, str(given.mib), str(given.max_mem), out], **more)

        run("make", "-")
        ratios = []
        for n in range(given.rounds):
            seconds = {}
            for side in sorted(SIDES, reverse=bool(n % 2)):
                os.sync()
                found = run(side, "out")
                seconds[side] = found["seconds"]
                print(f"{side:<30}{found['seconds']:8.1f} s{found['peak']:8.0f} MiB at most", flush=True)
                run("check", "out")
                for name in ("out", "middle"):
                    shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
            ratios.append(seconds["ndzarr"] / seconds["dask + zarr-python"])
            print(f"{'ratio of times':<30}{ratios[-1]:8.2f}", flush=True)
        print(f"{'median of ratios':<30}{statistics.median(ratios):8.2f}")
        for share in (0.25, 0.5, 0.75):
            run("ndzarr", "killed", stop_at=share)
            assert not Path(folder, "killed", "zarr.json").exists()
            found = run("ndzarr", "killed")
            run("check", "killed")
            shutil.rmtree(f"{folder}/killed")
            print(f"killed at {share:.0%}, then{'':<15}{found['seconds']:8.1f} s{found['peak']:8.0f} MiB at most", flush=True)


if __name__ == "__main__":
    main()
