"""ndzarr beside zarr-python, its fused pipeline, zarrs and tensorstore, in one process: `python asv_bench/compare.py`.

Every library reads the same files and opens them as it does by default. Measurements are interleaved, one of each library in
turn, and what is compared is the ratio of times of one round, so that a machine that is busy is busy for all.
`docs/performance.md` says more, and `--write` puts the tables there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ndzarr need not be installed

from benchmarks import libraries
from comparison import table
from comparison.growth import growth
from comparison.imports import imports
from comparison.measure import Measured, Row, Stores, measure
from comparison.rows_open import OPENS
from comparison.rows_read import PARTS, SUMS, WHOLE
from comparison.rows_write import WRITES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
GROUPS: dict[str, list[Row]] = {
    "whole reads": WHOLE,
    "reads of parts": PARTS,
    "sums": SUMS,
    "writes": WRITES,
    "opening": OPENS,
}


def compare(rounds: int, limit_s: float, wanted: str) -> dict[str, dict[str, Measured]]:
    """Measure the rows that have `wanted` in their titles, print them as they come, and give them by group."""
    names = libraries.installed()
    print(f"{table.machine(names)} Medians of up to {rounds} rounds.\n")
    print(f"{'':<62}" + "".join(f"{head:>15}" for head in table.heads(names)))
    results: dict[str, dict[str, Measured]] = {}
    for group, rows in GROUPS.items():
        # Each group has its files to itself: a disk cache need not hold them all.
        with tempfile.TemporaryDirectory() as top:
            stores = Stores(Path(top))
            for row in rows:
                if wanted in row.title:
                    found = results.setdefault(group, {})[row.title] = measure(row, names, stores, rounds, limit_s)
                    print(f"{row.title:<62}" + "".join(f"{cell:>15}" for cell in table.cells(found, names)), flush=True)
    best = [found.best for group in results.values() for found in group.values() if found.peers]
    if best:
        print(f"{f'geometric mean of {len(best)} rows':<62}" + f"{table.geometric_mean(best):>{15 * (len(names) + 3)}.2f}")
    return results


def written(results: dict[str, dict[str, Measured]]) -> str:
    """The tables for the page."""
    names = libraries.installed()
    best = [found.best for group in results.values() for found in group.values()]
    parts = [table.of_group(group, rows, names) for group, rows in results.items()]
    mean = f"Geometric mean of the last column over all {len(best)} rows: **{table.geometric_mean(best):.2f}**."
    return "\n\n".join([table.machine(names), *parts, mean])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds in place of up to 25")
    parser.add_argument("--rows", metavar="TEXT", default="", help="only rows whose title has TEXT in it")
    parser.add_argument("--growth", action="store_true", help="how cost grows, in place of the comparison")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures, in seconds, to FILE")
    parser.add_argument("--write", action="store_true", help="also put the tables into docs/performance.md")
    parser.add_argument("--list", action="store_true", help="print the titles of the rows, and measure nothing")
    given = parser.parse_args()
    if given.list:
        print(*[row.title for rows in GROUPS.values() for row in rows if given.rows in row.title], sep="\n")
        return
    if given.write and given.rows:
        parser.error("--write puts all rows into the page: leave out --rows")
    if given.write and len(libraries.installed()) == 1:
        parser.error("--write needs another library to compare with")

    figures: dict[str, Any] = {}
    if given.growth:
        tables = growth(quick=given.quick)
        text = "\n\n".join(table.markdown(head, rows) for head, rows in tables)
        print(text)
        figures["growth"] = tables
        if given.write:
            table.put(PAGE, "growth", f"{table.machine(['ndzarr'])}\n\n{text}")
    else:
        results = compare(3 if given.quick else 25, 9.0, given.rows)
        figures.update({group: {t: dataclasses.asdict(m) for t, m in rows.items()} for group, rows in results.items()})
        if given.write:
            table.put(PAGE, "comparison", written(results))
        if given.rows in "import":
            medians = figures["import"] = imports(3 if given.quick else 25)
            rows = [[name, table.shown(seconds), f"{seconds / medians['numpy']:.2f}"] for name, seconds in medians.items()]
            text = table.markdown(["import, a bare interpreter subtracted", "time", "/ numpy"], rows)
            print(f"\n{text}")
            if given.write:
                table.put(PAGE, "import", text)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
