"""Tries every feature of Zarr v3 between ndzarr and other implementations, both ways, and writes the table of the outcome.

    python tests/interop/table.py          measure, and rewrite the table in docs/interoperability.md
    python tests/interop/table.py --check  measure, and fail if that file says anything else

NDZARR_PEER_ZARR3 names a Python that has zarr, tensorstore and zarrs (`.ci/run peers` makes one). No cell is written by
hand: a feature is a document and values (`v3_features.py`), each implementation writes it and reads what the others
wrote (`peer_v3.py`), and what comes out is compared here.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ndzarr

sys.path.insert(0, str(Path(__file__).parent))
features: Any = importlib.import_module("v3_features")
peer: Any = importlib.import_module("peer_v3")

Json = Any
Report = dict[str, str]
PEERS = list(peer.PEERS)
VARIABLE = "NDZARR_PEER_ZARR3"
PAGE = Path(__file__).parents[2] / "docs" / "interoperability.md"
START, END = "<!-- table: written by tests/interop/table.py -->", "<!-- end of table -->"
TIMEOUT_S = 300


class Ndzarr:
    """ndzarr, doing what `peer_v3.py` has the others do."""

    packages = ("ndzarr",)

    def write(self, case: Any, place: Path) -> None:
        if case.arguments:
            z = self.create(case, place)
        else:
            verbatim = case.section == "Documents"
            peer.put_document(place, {**case.document, **({"attributes": case.attributes} if verbatim else {})})
            z = ndzarr.open_array(str(place), mode="r+")
            if not verbatim:
                z.attrs.update(case.attributes)  # writes the document anew
        for box in case.boxes:
            z[box] = features.from_plain(case.data[box], z.dtype)

    def create(self, case: Any, place: Path) -> Any:
        """A random array, by ndzarr's own arguments."""
        given = case.arguments
        dtype = np.dtypes.StringDType() if given["string"] else given["dtype"]
        start = given["index_location"] == "start"
        chain = [*([] if given["order"] == "F" else given["filters"]), given["serializer"]]
        return ndzarr.create_array(
            str(place),
            shape=given["shape"],
            dtype=dtype,
            # An index at the start takes the sharding codec itself; the chunks are then its shards.
            chunks=given["shards"] if start else given["chunks"],
            shards=None if start else given["shards"],
            filters=case.document["codecs"] if start else chain,
            compressor=None if start else given["compressors"] or None,
            order="C" if start else given["order"],
            fill_value=given["fill_value"],
            dimension_separator=given["separator"],
            dimension_names=given["dimension_names"],
            attributes=case.attributes,
            zarr_format=3,
        )

    def change(self, case: Any, place: Path) -> None:
        z = ndzarr.open_array(str(place), mode="r+")
        box, values = case.change
        z[box] = features.from_plain(values, z.dtype)

    def read(self, case: Any, place: Path) -> Any:
        z = ndzarr.open_array(str(place), mode="r")
        names = None if z.dimension_names is None else list(z.dimension_names)
        values = features.to_plain(z[...], case.data_type)
        for index in indices(z.shape):
            wrong = features.differs(features.to_plain(z[index], case.data_type), np.asarray(values[index], values.dtype))
            if wrong is not None:
                raise ValueError(f"[{index!r}] is not what is read of the whole: {wrong}")
        return peer.Found(values, peer.plain_fill(z.fill_value, case.data_type, z.dtype), dict(z.attrs), names)

    def write_group(self, case: Any, place: Path) -> None:
        for path, attributes in case.groups.items():
            ndzarr.create_group(str(place), path=path, zarr_format=3, attributes=attributes)
        for path, values in case.arrays.items():
            z = ndzarr.create_array(
                str(place), path=path, shape=values.shape, dtype=values.dtype, chunks=(2,) * values.ndim, zarr_format=3
            )
            z[...] = values
        if case.consolidated:
            ndzarr.consolidate(str(place))

    def read_group(self, case: Any, place: Path) -> dict[str, Any]:
        top: Any = ndzarr.open_group(str(place), mode="r")
        found: dict[str, Any] = {"": dict(top.attrs)}

        def walk(group: Any, prefix: str) -> None:
            for name in group:
                node = group[name]
                if isinstance(node, ndzarr.Group):
                    found[prefix + name] = dict(node.attrs)
                    walk(node, f"{prefix}{name}/")
                else:
                    found[prefix + name] = node[...]

        walk(top, "")
        return found


def indices(shape: tuple[int, ...]) -> list[Any]:
    """Parts of an array that are read in other ways than the whole is."""
    if not shape or 0 in shape:
        return []
    return [
        (-1,) * len(shape),
        tuple(slice(n // 3, n // 3 + max(1, n // 2)) for n in shape),
        tuple(slice(None, None, -2) for _ in shape),
        ([shape[0] - 1, 0, shape[0] - 1], ...),
        (..., slice(0, 1)),
    ]


# ---- measuring ----


@dataclass
class Measured:
    """What every implementation did: reports by implementation; each maps a case's path to "ok" or what went wrong."""

    versions: dict[str, str]
    #: ndzarr writes, and reads its own.
    written: Report
    own: Report
    #: A peer writes, reads its own, ndzarr reads it, the peer reads ndzarr's.
    theirs: dict[str, dict[str, Report]]

    @classmethod
    def load(cls, path: Path) -> Measured:
        return cls(**json.loads(path.read_text("utf-8")))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), "utf-8")


def ask(python: str, name: str, *steps: str) -> tuple[dict[str, str], list[Report]]:
    """Let a peer take steps; its versions and its reports."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    script = str(Path(__file__).with_name("peer_v3.py"))
    done = subprocess.run(
        [python, script, name, *steps], capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout)
    return answer["versions"], answer["reports"]


def do(verb: str, cases: list[Any], root: Path) -> Report:
    """Let ndzarr take a step."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        report: Report = peer.step(Ndzarr(), verb, cases, root)
    return report


def measure(python: str, root: Path) -> Measured:
    """Every feature, both ways, with each peer."""
    cases = features.features()
    ours = root / "ndzarr"
    versions: dict[str, str] = {}
    theirs: dict[str, dict[str, Report]] = {}
    with ThreadPoolExecutor() as pool:
        writing = {
            name: pool.submit(ask, python, name, f"write:features:{root / name}", f"read:features:{root / name}")
            for name in PEERS
        }
        written, own = do("write", cases, ours), do("read", cases, ours)
        reading = {name: pool.submit(ask, python, name, f"read:features:{ours}") for name in PEERS}
        for name in PEERS:
            found, (wrote, self_read) = writing[name].result()
            versions.update(found)
            theirs[name] = {"wrote": wrote, "self": self_read, "we": do("read", cases, root / name)}
        for name in PEERS:
            theirs[name]["they"] = reading[name].result()[1][0]
    return Measured(versions, written, own, theirs)


# ---- the verdicts ----


def able(measured: Measured, name: str, path: str) -> bool:
    """Whether the peer can do this at all: it reads what it wrote."""
    reports = measured.theirs[name]
    return reports["wrote"][path] == "ok" and reports["self"][path] == "ok"


def cells(measured: Measured, name: str, path: str) -> tuple[str, str]:
    """ "yes", "no" or "-" (nothing to compare, since the peer cannot do it) for: we read theirs, they read ours."""
    reports = measured.theirs[name]
    can = able(measured, name, path)
    we = "yes" if reports["wrote"][path] == "ok" and reports["we"][path] == "ok" else "no" if can else "-"
    they = "yes" if reports["they"][path] == "ok" else "no" if can else "-"
    return we, they


def merged(verdicts: Iterable[str]) -> str:
    found = set(verdicts)
    if "no" in found:
        return "**no**"
    return found.pop() if len(found) == 1 else "partly"


def available(case: Any) -> bool:
    """Whether the packages that ndzarr needs for a case are there."""
    return all(importlib.util.find_spec(package) is not None for package in case.needs)


# ---- the page ----


def rows(measured: Measured) -> dict[str, dict[str, list[str]]]:
    """The cells of each row of each section."""
    made: dict[str, dict[str, list[str]]] = {}
    for (section, row), cases in features.grouped(features.features()).items():
        line = []
        for name in PEERS:
            pairs = [cells(measured, name, case.path) for case in cases]
            line += [merged(we for we, _ in pairs), merged(they for _, they in pairs)]
        made.setdefault(section, {})[row] = line
    return made


def reason(text: str) -> str:
    """What a peer said, without what differs from one case to the next."""
    if text.startswith("wrong: fill value"):
        return "another fill value is read"
    if text.startswith("wrong: "):
        return "other values are read"
    text = text.removeprefix("error: ").removeprefix("UnableError: ")
    text = re.sub(r"(FAILED_PRECONDITION: )?Error opening \"zarr3\" driver: (Error reading local file \"[^\"]*\": )?", "", text)
    text = re.sub(r"Error parsing (object member \"[^\"]*\"|value at position \d+): ", "", text)
    text = re.sub(r'\{".*\}(?= )', "{…}", text)
    # Names of things, so that those said of several come to one line.
    text = re.sub(
        r"(?<=matches )'[^']*'|(?<=for codec )'[^']*'|(?<=data type )[a-z_0-9]+(?= is not)|(?<=codec )[a-z_.0-9]+(?= is not)",
        "…",
        text,
    )
    text = re.sub(
        r"^ValueError: [a-z_.0-9]+ data type is not one of.*|^ValueError: \"[a-z_.0-9-]+\" is not registered", _unnamed, text
    )
    text = text.split(" Register one")[0].split(". Extra fields")[0]
    return text.replace("|", "\\|")[:140]


def _unnamed(match: re.Match[str]) -> str:
    return (
        "ValueError: … is not registered"
        if "registered" in match[0]
        else "ValueError: … data type is not one of the supported data types"
    )


def sayings(measured: Measured) -> list[tuple[str, str, list[str]]]:
    """(peer, what it says, rows) of everything that a peer cannot do."""
    made: dict[tuple[str, str], list[str]] = {}
    for (_, row), cases in features.grouped(features.features()).items():
        for name in PEERS:
            for case in cases:
                reports = measured.theirs[name]
                # Why it cannot at all, or why not from ndzarr.
                steps = ("wrote", "self", "they") if available(case) else ("wrote", "self")
                said = next((reports[step][case.path] for step in steps if reports[step][case.path] != "ok"), "ok")
                if said != "ok":
                    rows_of = made.setdefault((name, reason(said)), [])
                    if row not in rows_of:
                        rows_of.append(row)
    return sorted(((name, said, rows_of) for (name, said), rows_of in made.items()), key=lambda s: PEERS.index(s[0]))


def version_line(versions: dict[str, str]) -> str:
    return (
        "Measured with " + ", ".join(f"{name} {versions[name]}" for name in ("zarr", "numcodecs", "tensorstore", "zarrs")) + "."
    )


def rendered(measured: Measured) -> str:
    """The generated part of the page."""
    lines = [version_line(measured.versions), ""]
    head = [f"{name}: {way}" for name in PEERS for way in ("ndzarr reads it", "it reads ndzarr")]
    for section, found in rows(measured).items():
        lines += [f"### {section}", "", "| | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
        lines += [f"| {row} | " + " | ".join(line) + " |" for row, line in found.items()]
        lines.append("")
    lines += ["### What the others say", "", "| | answer | features |", "|---|---|---|"]
    lines += [f"| {name} | {said} | {'; '.join(rows_of)} |" for name, said, rows_of in sayings(measured)]
    return "\n".join(lines)


def committed() -> str:
    """The generated part of the page as it stands."""
    return PAGE.read_text("utf-8").split(START)[1].split(END)[0].strip()


def unlike(measured: Measured) -> list[str]:
    """Lines in which a fresh table differs from the page; the line of versions, and rows that need a package which is not
    here, are left out."""
    unmeasured = {case.row for case in features.features() if not available(case)}

    def kept(text: str) -> list[str]:
        return [line for line in text.splitlines()[1:] if not any(row in line for row in unmeasured)]

    old, new = kept(committed()), kept(rendered(measured))
    return [f"- {line}" for line in old if line not in new] + [f"+ {line}" for line in new if line not in old]


def main(arguments: list[str]) -> int:
    python = os.environ.get(VARIABLE)
    if not python or arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        measured = measure(python, Path(directory))
    if arguments == ["--check"]:
        found = unlike(measured)
        print("\n".join(found) or "the page is true")
        return 1 if found else 0
    before, rest = PAGE.read_text("utf-8").split(START)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{START}\n\n{rendered(measured)}\n\n{END}{after}", "utf-8")
    for name in PEERS:
        counts = [cells(measured, name, case.path) for case in features.features()]
        print(
            name,
            {way: {v: [c[n] for c in counts].count(v) for v in ("yes", "no", "-")} for n, way in enumerate(("we", "they"))},
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
