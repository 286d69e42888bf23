"""Places: folders found from the folder above give what looking at the whole path gives, at less cost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.stores import filelocks
from ndzarr.stores.local import LocalStore
from ndzarr.stores.local_places import Places

pytestmark = pytest.mark.skipif(not filelocks.AVAILABLE, reason="no such locks, so no array is looked for")


def places(root: Path) -> Places:
    return Places(f"{root}{os.sep}")


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'{"node_type": "array"}' if path.name == "zarr.json" else b"")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Arrays in both formats, one of them below the folder of another, and links of many kinds."""
    root = tmp_path / "root"
    touch(root, "v2/.zarray", "v3/zarr.json", "v3/c/0/1", "v3/c/1/1", "g/v3/zarr.json", "g/v3/c/0", "v3/c/inner/.zarray")
    touch(root, "plain/x")
    touch(tmp_path, "elsewhere/zarr.json", "elsewhere/c/0/0", "chunks/0")
    for link, target in {
        "linked": "../elsewhere",  # an array that is elsewhere
        "v3/c/out": "../../../chunks",  # chunks of an array that are elsewhere
        "v3/c/aside": "1",  # beside it
        "v3/c/up": "../../g/v3/c",
        "g/self": ".",
        "loop": "loop",
        "dangling": "no/such",
    }.items():
        os.symlink(target, root / link)
    return root


FOLDERS = [
    f"{above}{below}"
    for above in "v2 v3 v3/c g g/v3 v3/c/inner plain linked v3/c/out v3/c/aside v3/c/up g/self".split()
    for below in ("", "/c", "/c/0", "/0", "/0/1", "/new/1", "/v3/c/0")
]


@pytest.mark.parametrize("locked", [False, True])
def test_it_finds_what_looking_at_all_of_the_path_finds(tree: Path, locked: bool) -> None:
    if locked:
        for array in ("v2", "v3", "g/v3", "v3/c/inner"):
            touch(tree, f"{array}/{filelocks.FILE}")
    kept = places(tree)
    for folder in ["", "loop", "loop/a", "dangling", "dangling/a", *FOLDERS, *FOLDERS[::-1]]:
        real = os.path.realpath(tree / folder)
        assert kept.real(folder) == real, folder
        found, want = kept.array(folder), filelocks.find(real)
        assert (found and (found[0].path, found[1])) == (want and (want[0].path, want[1])), folder


def test_an_array_that_is_gone_is_none(tree: Path) -> None:
    kept = places(tree)
    touch(tree, f"v3/{filelocks.FILE}")
    assert kept.array("v3/c/0") is not None
    for name in (filelocks.FILE, "zarr.json"):
        (tree / "v3" / name).unlink()
    touch(tree, "zarr.json")  # the array is the root now
    found = kept.array("v3/c/2")
    assert found is not None
    assert (found[0].folder, found[1]) == (str(tree), "v3/c/2/")


def counted(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """The paths that these functions of `os` are asked about."""
    asked: list[str] = []

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(path: Any, *arguments: Any, **keywords: Any) -> Any:
            asked.append(os.fspath(path) if not isinstance(path, int) else "")
            return call(path, *arguments, **keywords)

        return count

    for name in names:
        monkeypatch.setattr(os, name, counting(getattr(os, name)))
    return asked


def test_a_folder_for_each_chunk_is_no_walk_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cost 14 questions about the folders above it, and more the deeper the store lies."""
    deep = tmp_path.joinpath(*"abcdefgh")
    z = ndzarr.create_array(deep, shape=(50, 4), chunks=(1, 4), dtype="i4")
    z[:2] = 1
    asked = counted(monkeypatch, "lstat", "stat", "access")
    z[2:] = np.arange(48 * 4).reshape(48, 4) + 1
    monkeypatch.undo()
    above = [path for path in asked if str(deep).startswith(path)]
    assert not above
    # Of each folder: no link; no array (three files); the locks of the array, found, and once more when they are locked.
    assert len(asked) <= 48 * 6
    assert z[2:].sum() == (np.arange(48 * 4) + 1).sum()


def test_the_locks_are_those_that_another_store_finds(tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path / "g", path="x", shape=(4, 4), chunks=(1, 4), dtype="i4")
    z[...] = 1
    one, other = LocalStore(tmp_path), LocalStore(tmp_path / "g" / "x")
    for n in (3, 0, 2):
        a, b = one.lock(f"g/x/c/{n}/0"), other.lock(f"c/{n}/0")
        assert isinstance(a, filelocks.ChunkLock)
        assert isinstance(b, filelocks.ChunkLock)
        assert (a._file.path, a._byte) == (b._file.path, b._byte)
