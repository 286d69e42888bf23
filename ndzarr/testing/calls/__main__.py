"""`python -m ndzarr.testing.calls [--dask] [--max-load 1]`: the calls that are not right, and how many are."""

from __future__ import annotations

import argparse

import numpy as np

from ndzarr.config import options
from ndzarr.testing.calls import CALLS, REFUSED, missing, score
from ndzarr.testing.calls.wraps import dask_array, zarray


def main() -> None:
    """Print every outcome that is not right, then the score."""
    parser = argparse.ArgumentParser(prog="python -m ndzarr.testing.calls", description=__doc__)
    parser.add_argument("--dask", action="store_true", help="of dask.array too")
    parser.add_argument("--only", default="", metavar="TEXT", help="only calls that contain this")
    parser.add_argument("--working-memory", type=int, metavar="BYTES", help="options(working_memory=): 1 is all in blocks")
    parser.add_argument("--max-load", type=int, metavar="BYTES", help="options(max_load=): 1 is nothing loaded")
    given = parser.parse_args()
    limits = {name: getattr(given, name) for name in ("working_memory", "max_load") if getattr(given, name) is not None}
    calls = [call for call in CALLS if given.only in call.text]
    for name, wrap in [("ndzarr", zarray), *([("dask.array", dask_array)] if given.dask else [])]:
        found = score(wrap, calls, lambda: options(**limits))
        for outcome in found.of("refused") + found.of("wrong"):
            print(f"{outcome.kind:8} {outcome.call.text}\n         {outcome.why}")
        print(f"{name}, NumPy {np.__version__}: {found}")
        found = score(wrap, [call for call in REFUSED if given.only in call.text], lambda: options(**limits))
        for outcome in found.of("refused") + found.of("wrong"):
            print(f"{outcome.kind:8} {outcome.call.text}\n         {outcome.why}")
        print(f"{name}, of what NumPy refuses: {found}")
    for function in sorted(missing()):
        print(f"no call of {function}")


if __name__ == "__main__":
    main()
