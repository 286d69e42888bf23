"""Zarr v3 between ndzarr and zarr-python, tensorstore and zarrs, both ways: every feature, and arrays drawn at random.

The features are those of the table in docs/interoperability.md, which a test here measures again. ndzarr must read whatever
a peer wrote and itself reads back, and a peer that can do a feature at all must read it as ndzarr wrote it. The tables
below are the exceptions, each with its reason; they are strict: an entry that has become wrong fails a test.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr

sys.path.insert(0, str(Path(__file__).parent))
table: Any = importlib.import_module("table")
features: Any = importlib.import_module("v3_features")
n5: Any = importlib.import_module("n5")

PEERS = list(table.PEERS)
CASES = {case.path: case for case in features.features()}

#: Features (rows) that a peer writes and reads back, though not as the specification says, so that ndzarr reads otherwise.
NOT_READ_BY_US: dict[str, dict[str, str]] = {
    "zarr-python": {},
    "tensorstore": {
        "`float8_e8m0fnu`": "takes the number 2**64 for 1, in both directions, so that its fill value is another one"
    },
    "zarrs": {},
}
#: Features (rows) that a peer can do by itself, and does not read as ndzarr, rightly, writes them.
NOT_READ_BY_THEM: dict[str, dict[str, str]] = {"zarr-python": {}, "tensorstore": {}, "zarrs": {}}

#: Data types of the arrays drawn for each peer, and how many they and ndzarr write.
DRAWN = {"zarr-python": ("zarr", 500, 300), "tensorstore": ("common", 600, 300), "zarrs": ("real", 250, 250)}

Shared = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def python(interpreter: Callable[[str], str]) -> str:
    return interpreter("zarr3")


@pytest.fixture(scope="session")
def measured(python: str, shared: Shared) -> Any:
    """Everything that was done with the features, by all."""
    root = shared("v3-features", lambda root: table.measure(python, root).save(root / "measured.json"))
    return table.Measured.load(root / "measured.json")


@pytest.fixture(params=PEERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def described(paths: dict[str, str]) -> str:
    return f"{len(paths)} arrays:\n" + "\n".join(
        f"{path} {CASES[path].section}, {CASES[path].row}: {said}" for path, said in paths.items()
    )


def known(exceptions: dict[str, str]) -> set[str]:
    """Those among the rows of a table that can be tried with the packages that are here."""
    return set(exceptions) - {case.row for case in CASES.values() if not table.available(case)}


# ---- features ----


def test_ndzarr_writes_and_reads_every_feature(measured: Any, record_property: Callable[[str, object], None]) -> None:
    """What needs a package that is not here is refused with the name of what to install."""
    wrong: dict[str, str] = {}
    for path, case in CASES.items():
        said = {measured.written[path], measured.own[path]} - {"ok"}
        if not table.available(case):
            said = {text for text in said if "install" not in text}
        if said:
            wrong[path] = " ".join(sorted(said))
    record_property("count: features of Zarr v3", len(features.grouped(CASES.values())))
    assert not wrong, described(wrong)


def test_ndzarr_reads_what_they_wrote(name: str, measured: Any, record_property: Callable[[str, object], None]) -> None:
    reports = measured.theirs[name]
    can = [path for path, case in CASES.items() if table.able(measured, name, path) and table.available(case)]
    assert len(can) > 100
    wrong = {path: reports["we"][path] for path in can if reports["we"][path] != "ok"}
    record_property(f"count: v3 features written by {name}, read by ndzarr", len(can) - len(wrong))
    unknown = {path: said for path, said in wrong.items() if CASES[path].row not in NOT_READ_BY_US[name]}
    assert not unknown, described(unknown)
    assert known(NOT_READ_BY_US[name]) == {CASES[path].row for path in wrong}


def test_they_read_what_ndzarr_wrote(name: str, measured: Any, record_property: Callable[[str, object], None]) -> None:
    reports = measured.theirs[name]
    can = [path for path, case in CASES.items() if table.able(measured, name, path) and table.available(case)]
    wrong = {path: reports["they"][path] for path in can if reports["they"][path] != "ok"}
    record_property(f"count: v3 features written by ndzarr, read by {name}", len(can) - len(wrong))
    unknown = {path: said for path, said in wrong.items() if CASES[path].row not in NOT_READ_BY_THEM[name]}
    assert not unknown, described(unknown)
    assert known(NOT_READ_BY_THEM[name]) == {CASES[path].row for path in wrong}


def test_the_page_says_what_is_measured(measured: Any) -> None:
    found = table.unlike(measured)
    assert not found, "run tests/interop/table.py, and look at what has changed:\n" + "\n".join(found)


# ---- arrays at random ----


def problems(report: dict[str, str], cases: list[Any]) -> str:
    rows = {case.path: case.row for case in cases}
    wrong = [f"{path} {said}\n    {rows[path]}" for path, said in report.items() if said != "ok"]
    return f"{len(wrong)} of {len(rows)} arrays:\n" + "\n".join(wrong[:20]) if wrong else ""


def check(stage: str, report: dict[str, str], cases: list[Any]) -> None:
    found = problems(report, cases)
    assert not found, f"{stage}: {found}"


@pytest.mark.once
def test_arrays_that_they_draw(name: str, python: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """They write, ndzarr reads and writes into them, they read."""
    kind, count, _ = DRAWN[name]
    cases = features.drawn(count, kind)
    place = f"{kind}7:{count}:{tmp_path}"
    _, (written, own) = table.ask(python, name, f"write:{place}", f"read:{place}")
    check(f"{name} writes", written, cases)
    check(f"{name} reads its own", own, cases)
    check("ndzarr reads", table.do("read", cases, tmp_path), cases)
    check("ndzarr changes", table.do("change", cases, tmp_path), cases)
    check("ndzarr reads what it changed", table.do("reread", cases, tmp_path), cases)
    check(f"{name} reads what ndzarr changed", table.ask(python, name, f"reread:{place}")[1][0], cases)
    record_property(f"count: v3 arrays drawn, written by {name}, read and changed by ndzarr", count)


@pytest.mark.once
def test_arrays_that_ndzarr_draws(
    name: str, python: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """ndzarr writes, they read and write into them, ndzarr reads."""
    kind, _, count = DRAWN[name]
    cases = features.drawn(count, kind, seed=8)
    check("ndzarr writes", table.do("write", cases, tmp_path), cases)
    check("ndzarr reads", table.do("read", cases, tmp_path), cases)
    place = f"{kind}8:{count}:{tmp_path}"
    _, (read, changed, reread) = table.ask(python, name, f"read:{place}", f"change:{place}", f"reread:{place}")
    check(f"{name} reads", read, cases)
    check(f"{name} changes", changed, cases)
    check(f"{name} reads what it changed", reread, cases)
    check(f"ndzarr reads what {name} changed", table.do("reread", cases, tmp_path), cases)
    record_property(f"count: v3 arrays drawn, written by ndzarr, read and changed by {name}", count)


# ---- N5 ----


@pytest.mark.parametrize("codec", ["gzip", "raw"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f8"])
def test_n5_blocks_go_both_ways(dtype: str, codec: str, interpreter: Callable[[str], str], tmp_path: Path) -> None:
    """`n5_default`, which none of the three has, against the N5Store of zarr-python 2, whose axes are reversed."""
    python, script = interpreter("zarr2"), str(Path(n5.__file__))
    subprocess.run([python, script, "write", str(tmp_path), dtype, codec], check=True, timeout=table.TIMEOUT_S)
    packed = [{"name": "gzip", "configuration": {"level": 1}}] if codec == "gzip" else []
    chain = [{"name": "transpose", "configuration": {"order": [2, 1, 0]}}, features.BIG, *packed]
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": n5.SHAPE[::-1],
        "data_type": np.dtype(dtype).name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": n5.CHUNKS[::-1]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "n5_default", "configuration": {"codecs": chain}}],
    }
    (tmp_path / "zarr.json").write_text(json.dumps(document), "utf-8")
    z = ndzarr.open_array(str(tmp_path), mode="r+")
    assert np.array_equal(z[...].T, n5.values(dtype))
    z[...] = z[...] + np.array(1, dtype)
    done = subprocess.run(
        [python, script, "read", str(tmp_path), dtype, codec],
        capture_output=True,
        text=True,
        check=True,
        timeout=table.TIMEOUT_S,
    )
    assert done.stdout.strip() == "ok"
