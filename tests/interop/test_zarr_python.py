"""Arrays that zarr-python 2 and 3 wrote, read and changed by ndzarr; arrays that ndzarr wrote, read by both.

The peers run in environments of their own, named by variables: NDZARR_PEER_ZARR2 and NDZARR_PEER_ZARR3 are Python
executables. `peer.py`, beside this file, is what they run, and holds the list of arrays. One test stands for one family
of arrays and collects every difference in it.

The tables below say what a peer is known not to do, and why. They are strict: an entry that has become wrong fails a
test.
"""

from __future__ import annotations

import base64
import fnmatch
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields

import ndzarr


def _load_peer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ndzarr_interop_peer", Path(__file__).with_name("peer.py"))
    if spec is None or spec.loader is None:
        raise ImportError("tests/interop/peer.py is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


peer = _load_peer()
FAMILIES = sorted({case.family for case in peer.cases()})

PEERS = ("zarr2", "zarr3")

#: Families that a peer cannot write.
CANNOT_WRITE = {
    "zarr2": {
        "dtypes/M8": "refuses datetime64 without a unit",
        "dtypes/m8": "refuses timedelta64 without a unit",
        "dtypes/struct-aligned": "turns padding into a field named f1, to which it cannot cast",
        "dtypes/struct-offsets": "turns padding into fields named f0 and f1",
        "fills/aligned": "turns padding into a field named f1",
        "objects/vlen-bytes": "writes a bytes fill value as JSON",
    },
    "zarr3": {
        "dtypes/f16": "has no long double",
        "dtypes/c32": "has no complex long double",
        "dtypes/struct-text-dates": "takes the buffer of a structure with dates (uncompressed and zlib)",
        "dtypes/struct-subarray": "has no structures with subarrays",
        "dtypes/struct-subarray-2d": "has no structures with subarrays",
        "dtypes/struct-subarray-nested": "has no structures with subarrays",
        "fills/f16": "has no long double",
        "fills/f16-nan": "has no long double",
        "objects/vlen-array-i4": "has no vlen-array",
        "objects/vlen-array-f8": "has no vlen-array",
        "objects/json2": "has no object arrays but strings and bytes",
        "objects/msgpack2": "has no object arrays but strings and bytes",
        "objects/categorize": "has no object arrays but strings and bytes",
        "objects/pickle": "has no object arrays but strings and bytes",
    },
}
_BITROUND = "numcodecs' BitRound copies an F-ordered chunk into C order, so the document's order is not the bytes'"
#: Arrays (patterns of paths) that a peer writes but does not itself read as they were.
MISREADS_OWN = {
    "zarr2": {
        "codecs/lzma-delta/*": "numcodecs passes the filters of an .xz stream to the decoder, which refuses them",
        "filters/bitround-*/*-F": _BITROUND,
        "filters/astype-bitround/*-F": _BITROUND,
        "fills/f8-minus-zero/*": "writes 0.0 for -0.0",
        "fills/c8-minus-inf/*": "makes the real part NaN where the imaginary one is infinite",
        "objects/json2/*-F": "decodes an F-ordered chunk as a C-ordered one",
        "objects/msgpack2/*-F": "decodes an F-ordered chunk as a C-ordered one",
    },
    "zarr3": {
        "codecs/lzma-delta/*": "numcodecs passes the filters of an .xz stream to the decoder, which refuses them",
        "filters/bitround-*/*-F": _BITROUND,
        "filters/astype-bitround/*-F": _BITROUND,
    },
}
#: Arrays (patterns of paths) that ndzarr writes and a peer does not read.
CANNOT_READ = {
    "zarr2": {
        "codecs/lzma-delta/*": "numcodecs passes the filters of an .xz stream to the decoder, which refuses them",
        "dtypes/M8/*": "refuses datetime64 without a unit",
        "fills/c8-minus-inf/*": "makes the real part NaN where the imaginary one is infinite",
        "objects/vlen-bytes/*": "fills with an empty string, not bytes",
    },
    "zarr3": {
        "codecs/lzma-delta/*": "numcodecs passes the filters of an .xz stream to the decoder, which refuses them",
        "dtypes/f16/*": "has no long double",
        "dtypes/c32/*": "has no complex long double",
        "dtypes/struct-subarray/*": "has no structures with subarrays",
        "dtypes/struct-subarray-2d/*": "has no structures with subarrays",
        "dtypes/struct-subarray-nested/*": "has no structures with subarrays",
        "fills/f16/*": "has no long double",
        "fills/f16-nan/*": "has no long double",
        "fills/M8-null/*": "fills with NaT where the fill value is null, everybody else with zero",
        "objects/vlen-array-*/*": "has no vlen-array",
        "objects/json2/*": "has no object arrays but strings and bytes",
        "objects/msgpack2/*": "has no object arrays but strings and bytes",
        "objects/categorize/*": "has no object arrays but strings and bytes",
        "objects/pickle/*": "has no object arrays but strings and bytes",
    },
}
#: What ndzarr itself does not write.
NOT_WRITTEN = {"objects/pickle": "never pickles; reading pickles takes allow_pickle=True"}


def known(table: dict[str, str], path: str) -> str | None:
    """The reason in `table` (path patterns) for this path, or None."""
    return next((reason for pattern, reason in table.items() if fnmatch.fnmatchcase(path, pattern)), None)


# ---- running the peers ----


def run(python: str, *arguments: str) -> str:
    """What `peer.py` prints."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    script = str(Path(__file__).with_name("peer.py"))
    done = subprocess.run(
        [python, script, *arguments], capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"the peer failed with {done.returncode}:\n{done.stderr[-3000:]}"
    return done.stdout


TIMEOUT_S = 600


class Written:
    """A directory with a manifest: what somebody wrote."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = json.loads((root / "manifest.json").read_text("utf-8"))
        self.items: dict[str, dict[str, Any]] = {item["path"]: item for item in self.manifest["arrays"]}

    def family(self, family: str) -> list[dict[str, Any]]:
        return [item for item in self.items.values() if item["family"] == family]


@pytest.fixture(scope="session", params=PEERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def python(name: str, interpreter: Callable[[str], str]) -> str:
    return interpreter(name)


Shared = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def theirs(name: str, python: str, shared: Shared) -> Written:
    """What the peer wrote."""
    return Written(shared(name, lambda root: void(run(python, "write", str(root)))))


@pytest.fixture(scope="session")
def ours(shared: Shared) -> Written:
    """What ndzarr wrote."""
    return Written(shared("ndzarr", write_with_ndzarr))


def void(_: object) -> None:
    """Nothing: for a lambda whose value is not wanted."""


def read_by(python: str, root: Path, report: Path) -> None:
    """Let the peer read a directory and keep its report: path -> "ok" or what is wrong."""
    (report / "report.json").write_text(run(python, "read", str(root)), "utf-8")


def load(directory: Path, name: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((directory / f"{name}.json").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="session")
def report_on_ours(name: str, python: str, ours: Written, shared: Shared) -> dict[str, str]:
    """What the peer reads in `ours`."""
    return load(shared(f"ours-by-{name}", lambda root: read_by(python, ours.root, root)), "report")


@pytest.fixture(scope="session")
def report_on_changed(name: str, python: str, theirs: Written, shared: Shared) -> tuple[dict[str, str], dict[str, str]]:
    """What the peer reads in a copy of `theirs` that ndzarr wrote into, and what went wrong while writing."""

    def make(root: Path) -> None:
        shutil.copytree(theirs.root, root / "copy")
        failed = change_with_ndzarr(root / "copy", MISREADS_OWN[name])
        (root / "failed.json").write_text(json.dumps(failed), "utf-8")
        read_by(python, root / "copy", root)

    root = shared(f"changed-{name}", make)
    return load(root, "report"), load(root, "failed")


# ---- ndzarr's side ----


def create(case: Any, root: Path) -> Any:
    return ndzarr.create_array(
        str(root),
        path=case.path,
        shape=case.data.shape,
        dtype=case.data.dtype,
        chunks=case.chunks,
        compressor=case.compressor,
        filters=case.filters or None,
        fill_value=case.fill,
        order=case.order,
        zarr_format=2,
        dimension_separator=case.separator,
        attributes=case.attributes,
    )


def write_with_ndzarr(root: Path) -> None:
    """The whole matrix, written by ndzarr, with a manifest like the peers'."""
    for path, attributes in peer.GROUPS.items():
        ndzarr.create_group(str(root), path=path, zarr_format=2, attributes=attributes)
    entries = []
    for case in [*peer.cases(), *peer.tree_cases()]:
        item = peer.entry(case, str(root))
        entries.append(item)
        try:
            z = create(case, root)
            for written, region in case.regions():
                if written:
                    z[region] = case.data[region]
        except Exception as error:
            item["error"] = peer.brief(error)
    ndzarr.consolidate(str(root / peer.CONSOLIDATED))
    manifest = {"writer": "ndzarr", "arrays": entries, "groups": peer.GROUPS, "consolidated": peer.CONSOLIDATED}
    (root / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def opened(root: Path, item: dict[str, Any], mode: Literal["r", "r+"] = "r") -> Any:
    return ndzarr.open_array(str(root), mode=mode, path=item["path"], allow_pickle=item["family"] == "objects/pickle")


def change_with_ndzarr(root: Path, misread: dict[str, str]) -> dict[str, str]:
    """Write into the second half of every axis of every array and correct the manifest; gives what raised."""
    written = Written(root)
    failed: dict[str, str] = {}
    for item in written.items.values():
        if "error" in item or known(misread, item["path"]) or item["family"] == "objects/pickle":
            item["error"] = "left as it was"
            continue
        values = expected_values(item, root)
        region = tuple(slice(n // 2, n) for n in values.shape)
        # Other values than were there, yet valid for every filter: those of the first half, backwards.
        new = values[tuple(slice(None, None, -1) for _ in values.shape)][region].copy()
        values[region] = new
        try:
            opened(root, item, "r+")[region] = new
        except Exception as error:
            failed[item["path"]] = peer.brief(error)
        item["expected"] = peer.save_values(values, item["path"] + "+changed", str(root))
        item["holes"] = [hole for hole in item["holes"] if not touches(hole, region, item["chunks"])]
    (root / "manifest.json").write_text(json.dumps(written.manifest), "utf-8")
    return failed


def touches(hole: list[list[int]], region: tuple[slice, ...], chunks: list[int]) -> bool:
    """Whether a write to `region` touches the missing chunk, so that all of it is defined afterwards."""
    return all(stop > s.start and start < s.stop for (start, stop), s in zip(hole, region, strict=True))


def expected_values(item: dict[str, Any], root: Path) -> np.ndarray:
    """What the manifest expects, as values (not packed)."""
    saved = item["expected"]
    if not isinstance(saved, dict):
        return np.asarray(np.load(root / "expected" / saved))
    values = np.empty(len(saved["objects"]), object)
    for n, packed in enumerate(saved["objects"]):
        values[n] = unpack(packed)
    return values.reshape(saved["shape"])


def unpack(packed: Any) -> Any:
    """The inverse of `peer.pack`."""
    if not isinstance(packed, dict):
        return packed
    ((kind, value),) = packed.items()
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "array":
        return np.array(value[1], value[0])
    if kind == "dict":
        return {unpack(k): unpack(v) for k, v in value}
    return {"list": list, "tuple": tuple, "set": set}[kind](unpack(v) for v in value)


INDICES: dict[int, list[Any]] = {
    0: [...],
    1: [slice(1, 5), slice(None, None, -2), [0, -1, 0], slice(2, 3)],
    2: [
        (slice(1, None), slice(0, 2)),
        (slice(None, None, -1), slice(None, None, 2)),
        ([0, -1, 0],),
        (slice(None), [1, 0]),
    ],
}


def problems_with(item: dict[str, Any], root: Path) -> list[str]:
    """How ndzarr's reading of an array differs from what the manifest says."""
    z = opened(root, item)
    found = []

    def check(what: str, got: Any, wanted: Any) -> None:
        if got != wanted:
            found.append(f"{what} {got!r}, expected {wanted!r}")

    text = str(root)
    wanted = peer.load_values(item["expected"], text)
    check("shape", z.shape, tuple(item["shape"]))
    check("chunks", z.chunks, tuple(item["chunks"]))
    check("order", z.order, item["order"])
    check("zarr_format", z.zarr_format, 2)
    check("attributes", dict(z.attrs), item["attributes"])
    values = z[...]
    if isinstance(item["expected"], dict):
        check("dtype", z.dtype, np.dtype(object))
    else:
        check("dtype", packed(z.dtype), packed(wanted.dtype))
        check("dtype read", values.dtype, z.dtype)
    difference = peer.array_differs(peer.comparable(values), wanted)
    if difference is not None and "read_back" in item:
        # The peer wrote it wrongly and reads it so; to read what it meant is right too.
        wanted = peer.load_values(item["read_back"], text)
        difference = peer.array_differs(peer.comparable(values), wanted)
    if difference is not None:
        found.append(difference)
    else:
        for index in INDICES.get(len(item["shape"]), [(slice(0, 2), ..., slice(None, None, -1))]):
            try:
                part = wanted[index]
            except IndexError:  # an empty axis
                continue
            difference = peer.array_differs(peer.comparable(z[index]), part)
            if difference is not None:
                found.append(f"[{index!r}]: {difference}")
    if item["fill"] is None:
        check("fill_value", z.fill_value, None)
    elif "object" in item["fill"]:
        check("fill_value", peer.pack(z.fill_value), item["fill"]["object"])
    else:
        fills = [item[name]["raw"] for name in ("fill", "fill_read_back") if name in item]
        raws = [np.frombuffer(base64.b64decode(fill), expected_values(item, root).dtype) for fill in fills]
        got = np.asarray(z.fill_value, values.dtype).reshape(1)
        if all(peer.array_differs(got, raw) for raw in raws):
            found.append(f"fill_value: {got!r}, expected {raws!r}")
    return found


def packed(dtype: np.dtype) -> np.dtype:
    """`dtype` without padding, which zarr-python 3 drops: documents and chunks agree, so it is no mistake."""
    return repack_fields(dtype, recurse=True) if dtype.fields is not None else dtype


def check_items(items: list[dict[str, Any]], root: Path) -> list[str]:
    problems = []
    for item in items:
        try:
            found = problems_with(item, root)
        except Exception as error:
            found = [f"raised {peer.brief(error)}"]
        problems += [f"{item['path']}: {text}" for text in found]
    return problems


def message(problems: list[str], of: int) -> str:
    return f"{len(problems)} problems in {of} arrays:\n" + "\n".join(problems[:40])


# ---- tests ----


@pytest.mark.parametrize("family", FAMILIES)
def test_ndzarr_reads_what_they_wrote(
    family: str, name: str, theirs: Written, record_property: Callable[[str, object], None]
) -> None:
    items = theirs.family(family)
    assert items
    unexpected = [f"{i['path']}: {i['error']}" for i in items if "error" in i and family not in CANNOT_WRITE[name]]
    assert not unexpected, f"{name} could not write:\n" + "\n".join(unexpected)
    items = [item for item in items if "error" not in item]
    record_property(f"count: arrays written by {name}, read by ndzarr", len(items))
    problems = check_items(items, theirs.root)
    assert not problems, message(problems, len(items))


def test_what_they_cannot_write_is_known(name: str, theirs: Written) -> None:
    assert {item["family"] for item in theirs.items.values() if "error" in item} == set(CANNOT_WRITE[name])


def test_what_they_misread_is_known(name: str, theirs: Written) -> None:
    table = MISREADS_OWN[name]
    wrong = {path for path, item in theirs.items.items() if "self" in item}
    listed = {path for path, item in theirs.items.items() if known(table, path) and "error" not in item}
    assert wrong == listed, {path: theirs.items[path].get("self") for path in wrong ^ listed}
    assert all(any(fnmatch.fnmatchcase(path, pattern) for path in wrong) for pattern in table)


@pytest.mark.parametrize("family", FAMILIES)
def test_they_read_what_ndzarr_changed(
    family: str, name: str, report_on_changed: tuple[dict[str, str], dict[str, str]], theirs: Written
) -> None:
    report, failed = report_on_changed
    changed = [
        path
        for path, item in theirs.items.items()
        if item["family"] == family
        and "error" not in item
        and not known(MISREADS_OWN[name], path)
        and family != "objects/pickle"
    ]
    problems = [f"{path}: writing raised {failed[path]}" for path in changed if path in failed]
    problems += [f"{path}: {report[path]}" for path in changed if path not in failed and report[path] != "ok"]
    # A null fill value is the one thing that a peer fills in otherwise than ndzarr.
    problems = [p for p in problems if not (name == "zarr3" and p.startswith("fills/M8-null/"))]
    assert not problems, message(problems, len(changed))


@pytest.mark.parametrize("family", FAMILIES)
def test_ndzarr_writes_and_reads(family: str, ours: Written) -> None:
    items = ours.family(family)
    errors = [f"{item['path']}: {item['error']}" for item in items if "error" in item]
    if family in NOT_WRITTEN:
        assert len(errors) == len(items), NOT_WRITTEN[family]
        return
    assert not errors, message(errors, len(items))
    problems = check_items(items, ours.root)
    assert not problems, message(problems, len(items))


@pytest.mark.parametrize("family", FAMILIES)
def test_they_read_what_ndzarr_wrote(
    family: str,
    name: str,
    ours: Written,
    report_on_ours: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    table = CANNOT_READ[name]
    paths = [item["path"] for item in ours.family(family) if "error" not in item]
    problems = []
    for path in paths:
        reason = known(table, path)
        if reason is None and report_on_ours[path] != "ok":
            problems.append(f"{path}: {report_on_ours[path]}")
        elif reason is not None and report_on_ours[path] == "ok":
            problems.append(f"{path}: is read, though the table says that {name} {reason}")
    record_property(f"count: arrays written by ndzarr, read by {name}", len(paths))
    assert not problems, message(problems, len(paths))


def test_every_known_limit_is_of_something(ours: Written) -> None:
    """No pattern of the tables stands for nothing."""
    paths = list(ours.items)
    for table in (*MISREADS_OWN.values(), *CANNOT_READ.values()):
        for pattern in table:
            assert fnmatch.filter(paths, pattern), pattern
    for families in (*CANNOT_WRITE.values(), NOT_WRITTEN):
        assert set(families) <= set(FAMILIES)


def test_pickles_are_refused(theirs: Written, name: str) -> None:
    items = [item for item in theirs.family("objects/pickle") if "error" not in item]
    if name == "zarr3":
        assert not items
        return
    assert items
    for item in items:
        with pytest.raises(ndzarr.NdzarrError, match="allow_pickle"):
            ndzarr.open_array(str(theirs.root), path=item["path"])[...]


# ---- groups ----


def test_ndzarr_reads_their_groups(theirs: Written) -> None:
    root: Any = ndzarr.open_group(str(theirs.root))  # its nodes are arrays or groups, as the paths say
    for path, attributes in theirs.manifest["groups"].items():
        group = root[path] if path else root
        assert isinstance(group, ndzarr.Group)
        assert dict(group.attrs) == attributes
    assert sorted(root["tree"]) == ["a", "x"]
    assert sorted(root["tree/a"]) == ["b", "x"]
    assert dict(root["tree/a/b/c/x"].attrs) == peer.ATTRIBUTES
    assert np.array_equal(root["tree"]["a"]["b"]["c"]["x"][...], peer.pattern(peer.SHAPE, "<i4"))


def test_ndzarr_reads_their_consolidated_metadata(theirs: Written) -> None:
    top: Any = ndzarr.open_group(str(theirs.root / theirs.manifest["consolidated"]))
    assert dict(top.attrs) == peer.GROUPS["consolidated"]
    assert sorted(top) == ["sub", "x"]
    assert sorted(top["sub"]) == ["empty", "y", "z"]
    assert dict(top["sub"].attrs) == {"n": 1}
    for path in ("x", "sub/y", "sub/z"):
        assert np.array_equal(top[path][...], peer.pattern(peer.SHAPE, "<i4"))
        assert dict(top[path].attrs) == peer.ATTRIBUTES


def test_they_read_our_groups(name: str, report_on_ours: dict[str, str]) -> None:
    groups = {key: value for key, value in report_on_ours.items() if key.startswith(("group ", "tree/"))}
    assert len(groups) == len(peer.GROUPS) + 3
    assert set(groups.values()) == {"ok"}, groups


def test_they_read_our_consolidated_metadata(name: str, report_on_ours: dict[str, str]) -> None:
    found = {key: value for key, value in report_on_ours.items() if key.startswith("consolidated ")}
    assert len(found) == 5
    assert set(found.values()) == {"ok"}, found


def test_a_change_behind_consolidated_metadata_is_seen(theirs: Written, tmp_path: Path) -> None:
    """An array resized by ndzarr is not opened at its old shape through the peer's stale .zmetadata."""
    shutil.copytree(theirs.root / theirs.manifest["consolidated"], tmp_path / "copy")
    ndzarr.open_array(str(tmp_path / "copy"), mode="r+", path="sub/y").resize((9, 3))
    top: Any = ndzarr.open_group(str(tmp_path / "copy"))
    assert top["sub/y"].shape == (9, 3)
