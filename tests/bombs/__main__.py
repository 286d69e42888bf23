"""`python -m tests.bombs`: what each bomb costs; exit code 1 where ndzarr does not refuse one within time and memory.

`--with zarr tensorstore` lets others read them too, in the Python that NDZARR_PEER_ZARR3 names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ndzarr
from tests.bombs.made import CHUNK, MiB, names, write

LIMIT_S = 10.0
#: Three chunks and 64 MiB.
LIMIT_NBYTES = 3 * CHUNK + 64 * MiB
_TIMEOUT_S = 120.0
_READ = Path(__file__).with_name("read.py")


@dataclass(frozen=True)
class Cost:
    """What reading a bomb cost. `error`: how it was refused; empty where it was not."""

    error: str
    seconds: float
    peak: int

    @property
    def refused(self) -> bool:
        return bool(self.error) and not self.error.startswith(("killed", "crashed", "MemoryError"))

    @property
    def kept(self) -> bool:
        """Whether it was refused within the limits."""
        return self.refused and self.seconds < LIMIT_S and self.peak < LIMIT_NBYTES


def good(folder: Path) -> str:
    """Small arrays of both formats with the codecs of the bombs, to read first; their places, for the reader."""
    places = []
    values = np.arange(64, dtype="u1")
    for n, keywords in enumerate(
        (
            {"zarr_format": 2, "compressor": "zlib"},
            {"zarr_format": 2, "compressor": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0}},
            {"zarr_format": 3, "compressor": "zstd"},
            {"zarr_format": 3, "compressor": "gzip"},
            {"zarr_format": 3, "compressor": "zstd", "chunks": (8,), "shards": (64,)},
        )
    ):
        place = folder / f"good{n}"
        ndzarr.create_array(place, shape=(64,), dtype="u1", **{"chunks": (64,), **keywords})[...] = values
        places.append(str(place))
    return ",".join(places)


def read(place: Path, warm: str, library: str = "ndzarr", python: str = sys.executable) -> Cost:
    """What reading `place` costs `library`, in a process of its own."""
    command = [python, "-W", "ignore", str(_READ), library, str(place), warm]
    environment = {**os.environ, "PYTHONPATH": str(Path(ndzarr.__file__).parents[1])} if library == "ndzarr" else None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return Cost(f"killed after {_TIMEOUT_S:.0f} s", _TIMEOUT_S, 0)
    if done.returncode:
        return Cost(f"crashed with {done.returncode}: {done.stderr.strip()[-100:]}", 0.0, 0)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bombs", description=__doc__)
    parser.add_argument("--with", dest="peers", nargs="*", default=[], choices=("zarr", "tensorstore"))
    given = parser.parse_args(arguments)
    libraries = [("ndzarr", sys.executable), *((peer, os.environ["NDZARR_PEER_ZARR3"]) for peer in given.peers)]
    worst = {library: [0.0, 0, 0] for library, _ in libraries}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        warm = good(Path(folder))
        for number, name in enumerate(names()):
            place = write(Path(folder) / f"bomb{number}", name)
            for library, python in libraries:
                cost = read(place, warm, library, python)
                failed += library == "ndzarr" and not cost.kept
                seconds, peak, count = worst[library]
                worst[library] = [max(seconds, cost.seconds), max(peak, cost.peak), count + cost.kept]
                said = "refused" if cost.refused else "READ" if not cost.error else "FAILED"
                print(f"{name:<42} {library:<12} {said:<8} {cost.seconds:7.2f} s {cost.peak / MiB:8.1f} MiB  {cost.error[:90]}")
    total = len(list(names()))
    for library, (seconds, peak, kept) in worst.items():
        limits = f"{LIMIT_S:.0f} s and {LIMIT_NBYTES // MiB} MiB"
        print(f"{library}: {kept} of {total} refused within {limits}; worst {seconds:.2f} s, {peak / MiB:.1f} MiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
