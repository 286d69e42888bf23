"""`python -m ndzarr demo`: what it prints is counted, and what it writes is a dataset like any other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ndzarr
from ndzarr import demo
from ndzarr.display import format_nbytes

if TYPE_CHECKING:
    from tests.conftest import Names

pytestmark = pytest.mark.usefixtures("zarr_format")  # a user gets format 3


@pytest.fixture(scope="module")
def data() -> demo.Dataset:
    return demo.make_dataset()


@pytest.fixture
def printed(zarr_format: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a run in `tmp_path` prints."""
    assert demo.run(str(tmp_path / "d.zarr")) == 0
    return capsys.readouterr().out


@pytest.mark.formats(3)
def test_as_the_readme_runs_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(ndzarr.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-m", "ndzarr", "demo"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.perf_counter() - started < 60  # it takes about one second; a busy machine may be slow, not hang
    assert sorted(p.name for p in tmp_path.iterdir()) == [demo.DIRECTORY]
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert ndzarr.open(tmp_path / demo.DIRECTORY).zarr_format == 3


def test_what_is_written_is_what_was_made(tmp_path: Path, printed: str, data: demo.Dataset, zarr_format: int) -> None:
    root = ndzarr.open_group(tmp_path / "d.zarr")
    assert root.zarr_format == zarr_format
    assert list(root) == ["lat", "lon", "sst", "time"]
    for name in root:
        np.testing.assert_array_equal(root[name][...], getattr(data, name))
        assert root[name].dtype == getattr(data, name).dtype
    sst = root["sst"]
    assert sst.dimension_names == ("time", "lat", "lon")
    assert sst.attrs["units"] == "degree_Celsius"
    assert 0.1 < np.isnan(data.sst[0]).mean() < 0.5
    if zarr_format == 2:
        consolidated = {key for key in json.loads((tmp_path / "d.zarr" / ".zmetadata").read_bytes())["metadata"] if "/" in key}
        assert consolidated == {f"{name}/{kind}" for name in root for kind in (".zarray", ".zattrs")}
    else:
        document = json.loads((tmp_path / "d.zarr" / "zarr.json").read_bytes())
        assert set(document["consolidated_metadata"]["metadata"]) == set(root)
    files = [p.stat().st_size for p in (tmp_path / "d.zarr").rglob("*") if p.is_file() and p.name != "stripes"]
    assert f"stored as {format_nbytes(sum(files))} in {len(files)} objects" in printed


def test_chunks_on_land_are_not_stored(tmp_path: Path, printed: str, data: demo.Dataset, names: Names) -> None:
    top = tmp_path / "d.zarr" / "sst"
    stored = {p.relative_to(top).as_posix() for p in top.rglob("*") if p.is_file()}
    stored -= {".zarray", ".zattrs", "zarr.json", ".ndzarr/locks/stripes"}
    expected = set()
    for coords in np.ndindex(4, 9, 9):
        box = tuple(slice(c * n, (c + 1) * n) for c, n in zip(coords, demo.CHUNKS, strict=True))
        if not np.isnan(data.sst[box]).all():
            expected.add(names.chunk(*coords))
    assert stored == expected
    assert f"chunks  {len(expected)} of sst; the other {4 * 9 * 9 - len(expected)} are all land" in printed


#: index as printed -> chunks that hold something, requests: worked out by hand from the mask in the test above.
def test_costs_printed_are_those_of_the_chunks_touched(printed: str, data: demo.Dataset) -> None:
    rows = {m[1].strip(): (int(m[2]), int(m[3])) for m in re.finditer(r"^  (sst\[.*?)  +\(.*?\) +(\d+) +(\d+) ", printed, re.M)}
    warm = data.sst[6] > 30.0
    indices: dict[str, Any] = {
        "sst[:, 44, 125]": np.s_[:, 44, 125],
        "sst[6, ::-1]": np.s_[6, ::-1],
        "sst[6, warm]": np.s_[6, warm],
        "sst[6::12, [20, 60], [75, 80]]": np.s_[6::12, [20, 60], [75, 80]],
        "sst[...]": np.s_[...],
    }
    assert set(rows) == set(indices)
    number = np.indices(data.sst.shape) // np.array(demo.CHUNKS)[:, None, None, None]
    ids = np.ravel_multi_index(tuple(number), (4, 9, 9))
    full = {int(i) for i in np.unique(ids[~np.isnan(data.sst)])}
    for text, index in indices.items():
        touched = {int(i) for i in np.unique(ids[index])}
        assert rows[text] == (len(touched & full), len(touched)), text


def test_runs_again_over_its_own(tmp_path: Path, names: Names) -> None:
    place = tmp_path / "d.zarr"
    assert demo.run(str(place)) == 0
    left = place / "sst" / names.chunk(9, 9, 9)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"left over")
    assert demo.run(str(place)) == 0
    assert not left.exists()


def test_runs_over_one_of_the_other_format(tmp_path: Path, zarr_format: int) -> None:
    ndzarr.create_group(tmp_path / "d", attributes={"written_by": "python -m ndzarr demo"}, zarr_format=5 - zarr_format)
    assert demo.run(str(tmp_path / "d")) == 0
    assert ndzarr.open(tmp_path / "d").zarr_format == zarr_format
    assert [p.name for p in tmp_path.rglob(".zgroup" if zarr_format == 3 else "zarr.json")] == []


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert demo.run(str(tmp_path)) == 0


@pytest.mark.parametrize("what", ["file", "directory", "group", "array"])
def test_refuses_what_is_not_its_own(tmp_path: Path, what: str) -> None:
    place = tmp_path / "mine"
    if what == "file":
        place.write_bytes(b"precious")
    elif what == "directory":
        place.mkdir()
        (place / "thesis.txt").write_bytes(b"precious")
    elif what == "group":
        ndzarr.create_group(place, attributes={"title": "precious"})
    else:
        ndzarr.save(place, [1, 2, 3])
    before = sorted((p, p.read_bytes()) for p in [place, *place.rglob("*")] if p.is_file())
    with pytest.raises(ndzarr.NodeExistsError, match="did not write"):
        demo.run(str(place))
    assert sorted((p, p.read_bytes()) for p in [place, *place.rglob("*")] if p.is_file()) == before


def test_says_so_when_a_read_is_wrong(
    tmp_path: Path, data: demo.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(store: ndzarr.FaultStore, given: demo.Dataset) -> None:
        original(store, given)
        ndzarr.open_array(store, "r+", path="sst")[6, 44, 125] = 0.0

    original = demo.write_dataset
    monkeypatch.setattr(demo, "write_dataset", wrong)
    assert demo.run(str(tmp_path / "d.zarr")) == 1
    assert "differ from what NumPy gives" in capsys.readouterr().out
