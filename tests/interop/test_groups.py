"""Hierarchies between ndzarr and zarr-python 2 and 3, with consolidated metadata, both ways; and behind each other's back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr

#: What each peer does in its own process. `open_group` of zarr-python 3 takes the format of a new group.
_WRITE = """
import json, sys, warnings
import numpy as np, zarr
warnings.simplefilter("ignore")
path, version = sys.argv[1], int(sys.argv[2])
new = {"zarr_format": version} if zarr.__version__ >= "3" else {}
root = zarr.open_group(path, mode="w", **new)
root.attrs["title"] = "theirs"
deep = root.create_group("g").create_group("deep")
make = deep.create_array if zarr.__version__ >= "3" else deep.create_dataset
a = make("a", shape=(4, 5), chunks=(2, 2), dtype="i4")
a[:] = np.arange(20).reshape(4, 5)
a.attrs["units"] = "K"
root.create_group("empty").attrs["x"] = [1, {"y": None}]
zarr.consolidate_metadata(path)
"""
_RESIZE = """
import sys, zarr
zarr.open_array(sys.argv[1] + "/g/deep/a", mode="r+").resize(*([(6, 5)] if zarr.__version__ >= "3" else (6, 5)))
"""
_READ = """
import json, sys, warnings
import zarr
warnings.simplefilter("ignore")
found = []
def walk(group, above):
    for name in sorted([*group.group_keys(), *group.array_keys()]):
        node = group[name]
        shape = list(getattr(node, "shape", ())) or None
        data = node[...].tolist() if shape else None
        found.append([above + name, shape, data, dict(node.attrs)])
        if shape is None:
            walk(node, above + name + "/")
walk(zarr.open_consolidated(sys.argv[1], mode="r"), "")
print(json.dumps(found))
"""

#: With a fill value: format 2 leaves it undefined otherwise, and zarr-python 2 then reads whatever is in memory.
_B = {"data": [1.5], "attributes": {"u": "K"}, "fill_value": 0}

PEERS = [("zarr2", 2), ("zarr3", 2), ("zarr3", 3)]


@pytest.fixture(params=PEERS, ids=lambda peer: f"{peer[0]}-v{peer[1]}")
def peer(request: pytest.FixtureRequest, interpreter: Callable[[str], str]) -> tuple[Callable[..., str], int]:
    """A function that runs a script in the peer's Python, and the format."""
    name, version = request.param
    python = interpreter(name)

    def run(script: str, *arguments: object) -> str:
        done = subprocess.run(
            [python, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run, version


def test_theirs(peer: tuple[Callable[..., str], int], tmp_path: Path) -> None:
    run, version = peer
    run(_WRITE, tmp_path / "t", version)
    g = ndzarr.open_group(tmp_path / "t", consolidated=True)
    assert [(name, dict(node.attrs)) for name, node in g.walk()] == [
        ("empty", {"x": [1, {"y": None}]}), ("g", {}), ("g/deep", {}), ("g/deep/a", {"units": "K"})
    ]  # fmt: skip
    assert g.attrs["title"] == "theirs"
    assert g.zarr_format == version
    np.testing.assert_array_equal(g["g/deep/a"], np.arange(20).reshape(4, 5))
    assert g.stale() == []
    # Promise P19: they change a shape behind the consolidated metadata.
    run(_RESIZE, tmp_path / "t")
    assert g.stale() == ["g/deep/a"]
    w = ndzarr.open_group(tmp_path / "t", "r+")
    with pytest.warns(ndzarr.StaleMetadataWarning, match="g/deep/a"):
        a = w["g/deep/a"]
    assert a.shape == (6, 5)
    a.attrs["seen"] = True
    assert ndzarr.open_group(tmp_path / "t", consolidated=True)["g/deep/a"].shape == (6, 5)
    assert g.stale() == []


def test_ours(peer: tuple[Callable[..., str], int], tmp_path: Path) -> None:
    run, version = peer
    g = ndzarr.create_group(
        tmp_path / "o",
        zarr_format=version,
        members={
            "g": {
                "attributes": {"n": np.int8(1)},
                "a": np.arange(6).reshape(2, 3),
                "b": _B,
            },
            "c": [7],
            "gone": [1],
        },
    )
    ndzarr.consolidate(tmp_path / "o")
    g.copy("g", "h/i")
    g.rename("c", "d")
    del g["gone"]
    g["h/i/b"].resize(2)
    g["h"].attrs["late"] = [1, 2]
    want: list[Any] = [
        ["d", [1], [7], {}],
        ["g", None, None, {"n": 1}],
        ["g/a", [2, 3], [[0, 1, 2], [3, 4, 5]], {}],
        ["g/b", [1], [1.5], {"u": "K"}],
        ["h", None, None, {"late": [1, 2]}],
        ["h/i", None, None, {"n": 1}],
        ["h/i/a", [2, 3], [[0, 1, 2], [3, 4, 5]], {}],
        ["h/i/b", [2], [1.5, 0.0], {"u": "K"}],
    ]
    assert json.loads(run(_READ, tmp_path / "o")) == want
