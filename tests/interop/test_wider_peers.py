"""Zarr v2 between ndzarr and six implementations, Zarr v3 between it and z5py and GDAL: the tables of docs/interoperability.md.

What a peer writes and reads back itself, ndzarr must read, and it must read ndzarr's. The exceptions are named below, each with
its reason; they are strict: an entry that has become wrong fails a test.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
wider: Any = importlib.import_module("wider")

# What is asked of the others is the same on any Python of ours.
pytestmark = pytest.mark.once

LABELS = [f"{features} {label}" for features, label, _, _ in wider.COLUMNS]
#: (peer, row): why one of the two reads otherwise what the peer itself reads back. In each the others agree with ndzarr.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("v2 z5py", "`null`"): "takes null for a NaN, and casts it",
    ("v2 z5py", "the greatest `u8`"): "keeps fill values as doubles",
    ("v2 z5py", "`lz4`"): "writes blocks without numcodecs' header, which ndzarr reads too, and reads no others",
    ("v2 GDAL", "the greatest `u8`"): "keeps fill values of integers as signed",
    ("v2 netCDF-C", "order F"): "reads it as order C",
    ("v2 netCDF-C", "order F, 3-d"): "reads it as order C",
    ("v2 netCDF-C", "`shuffle`"): "writes elementsize 0, which numcodecs takes for no shuffle, and shuffles",
    ("v3 z5py", "`uint64`: the greatest"): "keeps fill values as doubles",
    ("v3 z5py", "`bytes`, big-endian"): "takes no notice of endian",
    ("v3 z5py", "index at the start"): "takes no notice of index_location",
    ("v3 z5py", "index without `crc32c`"): "takes no notice of index_codecs",
    ("v3 z5py", "big-endian index"): "takes no notice of index_codecs",
    ("v3 z5py", "`transpose` before sharding, 3-d, unequal counts"): "takes no notice of codecs before the sharding codec",
    ("v3 z5py", "`scale_offset`, `cast_value` before sharding"): "takes no notice of codecs before the sharding codec",
    ("v3 z5py", "`gzip` after sharding"): "takes no notice of codecs after the sharding codec",
    ("v3 z5py", "`crc32c` after sharding"): "takes no notice of codecs after the sharding codec",
    ("v3 GDAL", "`uint64`: the greatest"): "keeps fill values of integers as signed",
    ("v3 GDAL", "`transpose`, 3-d, not its own inverse too"): "takes the order for its inverse",
    ("v3 GDAL", "`transpose`, 4-d"): "takes the order for its inverse",
    ("v3 GDAL", "`transpose` twice"): "takes the order for its inverse",
}


@pytest.fixture(scope="session")
def measured(interpreter: Callable[[str], str], shared: Any) -> Any:
    """Everything that was done, by all."""
    pythons = {name: interpreter(name) for name in wider.VARIABLES}
    root = shared("wider", lambda root: wider.measure(pythons, root).save(root / "measured.json"))
    return wider.Measured.load(root / "measured.json")


@pytest.mark.parametrize("features", ["v2", "v3"])
def test_ndzarr_reads_what_it_writes(features: str, measured: Any) -> None:
    wrong = {
        case.path: (case.row, measured.written[features][case.path], measured.own[features][case.path])
        for case in wider.others.cases_of(features)
        if wider.table.available(case) and {measured.written[features][case.path], measured.own[features][case.path]} != {"ok"}
    }
    assert not wrong


@pytest.mark.parametrize("label", LABELS)
def test_both_ways(label: str, measured: Any, record_property: Callable[[str, object], None]) -> None:
    features, _, peer = label.partition(" ")
    reports = measured.theirs[label]
    cases = [case for case in wider.others.cases_of(features) if wider.table.available(case)]
    found = [(case.row, wider.verdict(reports, case.path)) for case in cases]
    wrong = {row for row, verdict in found if verdict.startswith("**")}
    assert wrong == {row for name, row in EXCEPTIONS if name == label}
    both = sum(verdict == "yes" for _, verdict in found)
    assert both > 20
    record_property(f"count: {features} arrays that go both ways with {peer}", both)


def test_the_page_says_what_is_measured(measured: Any) -> None:
    found = wider.unlike(measured)
    assert not found, "run tests/interop/wider.py, and look at what has changed:\n" + "\n".join(found)


#: What docs/interoperability.md says that everybody reads, as rows of the tables.
NUMBERS_V2 = "`i1` `i2` `i4` `i8` `u1` `u2` `u4` `u8` `f4` `f8`".split()
NUMBERS_V3 = "`int8` `int16` `int32` `int64` `uint8` `uint16` `uint32` `uint64` `float32` `float64`".split()
EVERYBODY = {
    "v2": [
        *NUMBERS_V2,
        "`NaN`",
        "none",
        "`zlib`",
        "`zstd`",
        "`blosc`, shuffle",
        'separator "/"',
        'separator "."',
        "four dimensions",
    ],
    "v3": [*NUMBERS_V3, "`NaN`, `float32`", "`gzip`, levels 0, 1, 9", "`zstd` with checksum", "`blosc` zstd, each shuffle"],
}


@pytest.mark.parametrize("label", LABELS)
def test_what_everybody_reads(label: str, measured: Any) -> None:
    features = label[:2]
    rows = wider.v3.grouped(wider.others.cases_of(features))
    found = {row: {measured.theirs[label]["they"][case.path] for case in cases} for (_, row), cases in rows.items()}
    assert {row: found[row] for row in EVERYBODY[features] if found[row] != {"ok"}} == {}
