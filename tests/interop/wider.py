"""Tries Zarr v2 on six implementations, and Zarr v3 on those that are not in `table.py`, both ways, and writes the tables.

    python tests/interop/wider.py          measure, and rewrite the tables in docs/interoperability.md
    python tests/interop/wider.py --check  measure, and fail if that file says anything else

NDZARR_PEER_ZARR2, NDZARR_PEER_ZARR3 and NDZARR_PEER_OTHERS name Pythons that have the implementations (`.ci/run peers` makes
them). As in `table.py` no cell is written by hand.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ndzarr

sys.path.insert(0, str(Path(__file__).parent))
table: Any = importlib.import_module("table")
v3: Any = importlib.import_module("v3_features")
others: Any = importlib.import_module("peer_others")
hosts: Any = importlib.import_module("hosts")

Report = dict[str, str]
START, END = "<!-- tables: written by tests/interop/wider.py -->", "<!-- end of tables -->"
VARIABLES = {"zarr2": "NDZARR_PEER_ZARR2", "zarr3": "NDZARR_PEER_ZARR3", "others": "NDZARR_PEER_OTHERS"}
#: What is a column of which table: (set of features, label, where it is installed, its name there); "here" are xarray and dask
#: over ndzarr.
COLUMNS = (
    ("v2", "zarr-python 2", "zarr2", "zarr-python"),
    ("v2", "zarr-python 3", "zarr3", "zarr-python"),
    ("v2", "tensorstore", "zarr3", "tensorstore"),
    ("v2", "z5py", "others", "z5py"),
    ("v2", "GDAL", "others", "GDAL"),
    ("v2", "netCDF-C", "others", "netCDF-C"),
    ("v2", "xarray", "here", "xarray"),
    ("v2", "dask", "here", "dask"),
    ("v3", "z5py", "others", "z5py"),
    ("v3", "GDAL", "others", "GDAL"),
    ("v3", "xarray", "here", "xarray"),
    ("v3", "dask", "here", "dask"),
)


class Ours:
    """ndzarr, doing what `peer_others.py` has the others do."""

    def write(self, case: Any, place: Path) -> None:
        others.put(case, place)
        z = ndzarr.open_array(place / "a", "r+")
        for box in case.boxes:
            z[box] = v3.from_plain(case.data[box], z.dtype)

    def read(self, case: Any, place: Path) -> Any:
        values = ndzarr.open_array(place / "a")[...]
        return others.Found(v3.to_plain(values, case.data_type), None, None, case.names)


@dataclass
class Measured:
    """What each did: reports by "v2 z5py" and the like; each maps a case's path to "ok" or what went wrong."""

    versions: dict[str, str]
    #: ndzarr writes, and reads its own; by set of features.
    written: dict[str, Report]
    own: dict[str, Report]
    #: A peer writes, reads its own, ndzarr reads it, the peer reads ndzarr's.
    theirs: dict[str, dict[str, Report]]

    @classmethod
    def load(cls, path: Path) -> Measured:
        return cls(**json.loads(path.read_text("utf-8")))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), "utf-8")


def ask(python: str, name: str, *steps: str) -> tuple[str, list[Report]]:
    """Let a peer take steps; its version and its reports."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [python, str(Path(others.__file__)), name, *steps],
        capture_output=True,
        text=True,
        env=environment,
        timeout=table.TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout)
    return answer["version"], answer["reports"]


def do(verb: str, features: str, root: Path, who: Any = Ours) -> Report:
    """Let ndzarr, or what runs over it, take a step."""
    with table.warnings.catch_warnings(), np.errstate(all="ignore"):
        table.warnings.simplefilter("ignore")
        report: Report = table.peer.step(who(), verb, others.cases_of(features), root)
    return report


def measure(pythons: Mapping[str, str], root: Path) -> Measured:
    """Every feature, both ways, with each peer."""
    written = {features: do("write", features, root / features) for features in ("v2", "v3")}
    own = {features: do("read", features, root / features) for features in ("v2", "v3")}
    found = Measured({}, written, own, {})

    def asked(column: tuple[str, str, str, str]) -> tuple[str, list[Report]]:
        features, label, where, name = column
        place = root / f"{features} {label}"
        steps = (f"write:{features}:{place}", f"read:{features}:{place}", f"read:{features}:{root / features}")
        return ask(pythons[where], name, *steps)

    with ThreadPoolExecutor(2) as pool:
        asking = {column: pool.submit(asked, column) for column in COLUMNS if column[2] != "here"}
        # Here, in one thread: Python's filters of warnings are for all of them.
        for column in COLUMNS:
            features, label, where, name = column
            place = root / f"{features} {label}"
            if where == "here":
                who = hosts.HOSTS[name]
                version, steps = (
                    importlib.metadata.version(name),
                    [("write", place), ("read", place), ("read", root / features)],
                )
                reports = [do(verb, features, at, who) for verb, at in steps]
            else:
                version, reports = asking[column].result()
            found.versions[label] = version
            found.theirs[f"{features} {label}"] = {
                "wrote": reports[0],
                "self": reports[1],
                "we": do("read", features, place),
                "they": reports[2],
            }
    return found


# ---- the verdicts ----


def able(reports: Mapping[str, Report], path: str) -> bool:
    """Whether the peer can do this at all: it reads what it wrote."""
    return reports["wrote"][path] == reports["self"][path] == "ok"


def verdict(reports: Mapping[str, Report], path: str) -> str:
    """One cell for one case."""
    we = reports["wrote"][path] == reports["we"][path] == "ok"
    they = reports["they"][path]
    if they.startswith("wrong"):
        return "**reads other values**"
    if able(reports, path) and not (we and they == "ok"):
        return "**no**"
    return "yes" if we and they == "ok" else "it reads ours" if they == "ok" else "we read its" if we else "-"


def merged(found: list[str]) -> str:
    bold = [v for v in dict.fromkeys(found) if v.startswith("**")]
    if bold:
        return bold[0]
    return found[0] if len(set(found)) == 1 else "partly"


def reason(text: str) -> str:
    """What a peer said, without what differs from one case to the next."""
    if text.startswith("wrong: "):
        return "other values are read"
    text = (
        text.removeprefix("error: ").removeprefix("UnableError: ").replace("a/zarr.json ", "").replace("a/.zarray", "….zarray")
    )
    text = re.sub(r'FAILED_PRECONDITION: Error opening "zarr" driver: (Error reading local file "[^"]*": )?', "", text)
    text = re.sub(r"(data_type: |dtype: |codec: |Decompressor |Filter |format: )(\{.*\}?|[\w.|<>\[\]]+)", r"\1…", text)
    text = re.sub(r"but received: .*", "but received: …", text)
    return text.replace("|", "\\|")[:120]


# ---- the page ----


def rows(measured: Measured, features: str) -> dict[str, dict[str, list[str]]]:
    """The cells of each row of each section."""
    made: dict[str, dict[str, list[str]]] = {}
    labels = [label for of, label, _, _ in COLUMNS if of == features]
    for (section, row), cases in v3.grouped(others.cases_of(features)).items():
        line = [merged([verdict(measured.theirs[f"{features} {label}"], case.path) for case in cases]) for label in labels]
        made.setdefault(section, {})[row] = line
    return made


def sayings(measured: Measured) -> list[str]:
    """What each cannot read, and what it says then; a line each."""
    lines = []
    for features, label, _, _ in COLUMNS:
        reports = measured.theirs[f"{features} {label}"]
        said: dict[str, list[str]] = {}
        for case in others.cases_of(features):
            answer = reports["they"][case.path]
            if answer != "ok":
                rows_of = said.setdefault(reason(answer), [])
                if case.row not in rows_of:
                    rows_of.append(case.row)
        lines += [f"| {label}, {features} | {text} | {'; '.join(rows_of)} |" for text, rows_of in said.items()]
    return lines


def rendered(measured: Measured) -> str:
    """The generated part of the page."""
    lines = [
        "Measured with "
        + ", ".join(f"{label} {measured.versions[label]}" for label in dict.fromkeys(c[1] for c in COLUMNS))
        + "."
    ]
    for features, title in (("v2", "Zarr v2"), ("v3", "Zarr v3, on z5py, GDAL, xarray and dask")):
        labels = [label for of, label, _, _ in COLUMNS if of == features]
        lines += ["", f"## {title}"]
        for section, found in rows(measured, features).items():
            lines += ["", f"**{section}**", "", "| | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
            lines += [f"| {row} | " + " | ".join(line) + " |" for row, line in found.items()]
    lines += [
        "",
        "**What they say of what they cannot read**",
        "",
        "| | answer | features |",
        "|---|---|---|",
        *sayings(measured),
    ]
    return "\n".join(lines)


def committed() -> str:
    return str(table.PAGE.read_text("utf-8")).split(START)[1].split(END)[0].strip()


def unlike(measured: Measured) -> list[str]:
    """Lines in which fresh tables differ from the page; the line of versions, and rows that need a package which is not here,
    are left out."""
    unmeasured = {case.row for case in others.cases_of("v3") if not table.available(case)}

    def kept(text: str) -> list[str]:
        return [line for line in text.splitlines()[1:] if not any(row in line for row in unmeasured)]

    old, new = kept(committed()), kept(rendered(measured))
    return [f"- {line}" for line in old if line not in new] + [f"+ {line}" for line in new if line not in old]


def main(arguments: list[str]) -> int:
    pythons = {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}
    if not all(pythons.values()) or arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        measured = measure(pythons, Path(directory))
    if arguments == ["--check"]:
        found = unlike(measured)
        print("\n".join(found) or "the page is true")
        return 1 if found else 0
    before, rest = table.PAGE.read_text("utf-8").split(START)
    table.PAGE.write_text(f"{before}{START}\n\n{rendered(measured)}\n\n{END}{rest.split(END)[1]}", "utf-8")
    for features, label, _, _ in COLUMNS:
        reports = measured.theirs[f"{features} {label}"]
        counts = [verdict(reports, case.path) for case in others.cases_of(features)]
        print(features, label, {v: counts.count(v) for v in dict.fromkeys(counts)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
