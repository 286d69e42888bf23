"""Tables: lines for a terminal, Markdown for docs/performance.md, and what they were measured on."""

from __future__ import annotations

import datetime as dt
import math
import os
import platform
from pathlib import Path

import numpy as np
from benchmarks import libraries

from comparison.measure import BARE, OURS, Measured
from ndzarr.crew import processors

#: What a column is called.
_HEADS = {"zarr-python": "zarr", libraries.FUSED: "zarr fused"}


def shown(seconds: float) -> str:
    """A time with its unit, three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def heads(names: list[str]) -> list[str]:
    """The heads of the columns that `cells` fills."""
    return [*(_HEADS.get(name, name) for name in names), "bare loop", "bare/ours", "best peer/ours"]


def cells(measured: Measured, names: list[str]) -> list[str]:
    """The columns of a row: times, the better bare loop's, and the two ratios."""
    bare = [measured.seconds[name] for name in BARE if name in measured.seconds]
    return [
        *(shown(measured.seconds[name]) if name in measured.seconds else "" for name in names),
        shown(min(bare)) if bare else "",
        f"{measured.bare:.2f}" if measured.bare is not None else "",
        f"{measured.best:.2f}" if measured.peers else "",
    ]


def geometric_mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table, its first column to the left and the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def machine(names: list[str]) -> str:
    """What it was measured on: processor, memory, versions, date."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {libraries.version(name)}" for name in names if name != libraries.FUSED)
    return (
        f"{processor}, {processors()} processors, {memory:.0f} GiB of memory, {platform.system()} "
        f"{platform.machine()}; Python {platform.python_version()}, NumPy {np.__version__}, {versions}; "
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}."
    )


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands in `page` between the two markers of `name`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no markers {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def of_group(title: str, results: dict[str, Measured], names: list[str]) -> str:
    """The Markdown of one group of rows."""
    head = [title, *heads(names)]
    rows = [[row, *cells(measured, names)] for row, measured in results.items()]
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]  # no bare loop, no column for it
    bold = head.index(OURS)
    for row in rows:
        row[bold] = f"**{row[bold]}**"
    return markdown([head[i] for i in kept], [[row[i] for i in kept] for row in rows])
