"""What locks, checks, whole replacement and `durable` cost, row by row: `python asv_bench/safety.py`.

The rows are those of `asv_bench/compare.py`, all done by ndzarr, in turn as it is and with something left out, so that what is
compared is the ratio of times of one round. `--write` puts the tables into docs/performance.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ndzarr need not be installed

from comparison import table
from comparison.measure import Row, Stores
from comparison.rows_open import OPENS
from comparison.rows_read import PARTS, SUMS, WHOLE
from comparison.rows_write import WRITES
from comparison.safety import AS_IT_IS, DISK, PRECAUTIONS, Cost, Variant, cost

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def costs(
    rows: list[Row], variants: list[Variant], folder: str | None, rounds: int, limit_s: float
) -> tuple[list[list[str]], dict[str, Cost]]:
    """The table of these rows, the geometric mean last, printed as it comes; and the figures."""
    shown, found = [], {}
    names = [variant.name for variant in variants]
    for row in rows:
        with tempfile.TemporaryDirectory(dir=folder) as top:
            figures = found[row.title] = cost(row, variants, Stores(Path(top)), rounds, limit_s)
        times = [table.shown(figures.seconds[name]) for name in names]
        shown.append([row.title, *times, *(f"{figures.ratios[name]:.2f}" for name in names[1:])])
        print(f"{row.title:<62}" + "".join(f"{cell:>15}" for cell in shown[-1][1:]), flush=True)
    means = [table.geometric_mean([figures.ratios[name] for figures in found.values()]) for name in names[1:]]
    shown.append(["**geometric mean**", *[""] * len(names), *(f"**{mean:.3f}**" for mean in means)])
    print(
        f"{'geometric mean':<62}"
        + "".join(f"{cell:>15}" for cell in ["", *[""] * len(names[1:]), *(f"{m:.3f}" for m in means)])
    )
    return shown, found


def head(variants: list[Variant]) -> list[str]:
    return [
        "",
        *(variant.name for variant in variants),
        *(f"{AS_IT_IS.name} / {variant.name}" for variant in variants[1:]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds in place of up to 41")
    parser.add_argument("--rows", metavar="TEXT", default="", help="only rows whose title has TEXT in it")
    parser.add_argument("--disk", metavar="DIR", help="where the second table lies; by default where temporary files do")
    parser.add_argument("--memory", metavar="DIR", default="/dev/shm", help="where the first lies; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--write", action="store_true", help="also put the tables into docs/performance.md")
    given = parser.parse_args()
    if given.write and given.rows:
        parser.error("--write puts all rows into the page: leave out --rows")
    rounds, limit_s = (5, 0.0) if given.quick else (41, 6.0)
    memory = given.memory if Path(given.memory).is_dir() else None
    everything = [row for row in [*WHOLE, *PARTS, *SUMS, *WRITES, *OPENS] if given.rows in row.title]
    written = [row for row in WRITES if given.rows in row.title]
    texts, figures = [], {}
    for title, rows, variants, folder in (
        ("files in memory", everything, PRECAUTIONS, memory),
        ("files on a disk", written, DISK, given.disk),
    ):
        print(f"\n{title:<62}" + "".join(f"{cell[:14]:>15}" for cell in head(variants)[1:]))
        shown, found = costs(rows, variants, folder, rounds, limit_s)
        texts.append(table.markdown([title, *head(variants)[1:]], shown))
        figures[title] = {name: dataclasses.asdict(one) for name, one in found.items()}
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    if given.write:
        table.put(PAGE, "safety", "\n\n".join([table.machine(["ndzarr"]), *texts]))


if __name__ == "__main__":
    main()
