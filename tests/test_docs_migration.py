"""docs/migration-zarr.md and docs/migration-h5py.md: both sides of each row are run on the same data, and do the same.

A row is two cells of code and nothing else. Sections of what the other library no longer has run on our side alone.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import ndzarr

DOCS = Path(__file__).parents[1] / "docs"
OURS_ALONE = "ndzarr: run"
A = np.arange(48, dtype="i4").reshape(6, 8)
MASK = A % 5 == 0
OPAQUE = "nothing to compare"


@dataclass(frozen=True)
class Row:
    left: str
    right: str
    alone: bool


def rows(page: str) -> list[Row]:
    found: list[Row] = []
    head = ""
    for line in (DOCS / page).read_text("utf-8").splitlines():
        if line.startswith("|") and not line.startswith(("| `", "|---")):
            head = line
        cells = re.fullmatch(r"\| `([^`]+)` \| `([^`]+)` \|", line)
        if cells:
            found.append(Row(cells[1], cells[2], OURS_ALONE in head))
    return found


def evaluate(code: str, names: dict[str, Any]) -> Any:
    """Run it; the value of the last statement where that is an expression."""
    body = ast.parse(code).body
    if isinstance(body[-1], ast.Expr):
        last = ast.Expression(body.pop().value)
        exec(compile(ast.Module(body, []), code, "exec"), names)
        return eval(compile(last, code, "eval"), names)
    exec(code, names)
    return None


def plain(value: Any) -> Any:
    """What two libraries can be asked to agree on; OPAQUE for all else."""
    if isinstance(value, np.ndarray | np.generic):
        return str(value.dtype), value.shape, value.tolist()
    if isinstance(value, bool | int | float | str | np.dtype | type(None)):
        return value
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    if isinstance(value, dict) and value:
        return {key: plain(item) for key, item in value.items()}
    return OPAQUE


def snapshot(node: Any) -> Any:
    if isinstance(node, ndzarr.Group):
        return dict(node.attrs), {name: snapshot(node[name]) for name in node}, node.zarr_format
    codecs = [codec.name for codec in node.metadata.codecs]
    layout = (node.chunks, node.shards, node.dimension_names, node.zarr_format, codecs)
    return dict(node.attrs), plain(node[...]), plain(node.fill_value), layout


def left_behind() -> dict[str, Any]:
    """What lies in the working directory."""
    return {path.name: snapshot(ndzarr.open(path)) for path in sorted(Path().glob("*.zarr"))}


def prepare(place: Path) -> None:
    ndzarr.array(A, store=place / "a.zarr", chunks=(2, 4), attributes={"units": "m"}, dimension_names=["y", "x"])
    g = ndzarr.create_group(place / "x.zarr", attributes={"title": "t"})
    g.create_array("a", shape=A.shape, dtype="i4", chunks=(2, 4))[...] = A
    g["sub/b"] = A[0]


def run_ours(code: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    place.mkdir()
    prepare(place)
    monkeypatch.chdir(place)
    names: dict[str, Any] = {"ndzarr": ndzarr, "np": np, "a": A, "mask": MASK, "numcodecs": numcodecs}
    names |= {"z": ndzarr.open_array("a.zarr", "r+"), "g": ndzarr.open_group("x.zarr", "r+")}
    return plain(evaluate(code, names)), left_behind()


@pytest.mark.parametrize("page", ["migration-zarr.md", "migration-h5py.md"])
def test_errors_are_what_the_page_says(page: str) -> None:
    found = re.findall(
        r"^\|[^|]+\| `(\w+Error)`[^|]*\| ((?:`\w+Error`(?:, )?)+) \|$", (DOCS / page).read_text("utf-8"), re.MULTILINE
    )
    assert found
    for name, others in found:
        for other in re.findall(r"\w+", others):
            assert issubclass(getattr(ndzarr, name), getattr(builtins, other)), (name, other)


# ---- zarr-python -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("migration-zarr.md"), ids=lambda row: row.left)
def test_zarr_python(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    ours, left = run_ours(row.right, tmp_path / "ours", monkeypatch)
    if row.alone:
        return
    import zarr

    place = tmp_path / "theirs"
    place.mkdir()
    prepare(place)
    monkeypatch.chdir(place)
    names: dict[str, Any] = {"zarr": zarr, "np": np, "a": A, "mask": MASK, "numcodecs": numcodecs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names |= {"z": zarr.open_array("a.zarr", mode="r+"), "g": zarr.open_group("x.zarr", mode="r+")}
        try:
            theirs = plain(evaluate(row.left, names))
        finally:
            zarr.config.reset()
    if OPAQUE not in (ours, theirs):
        assert ours == theirs
    assert left == left_behind()
    record_property("count: calls of other libraries that were run beside ours", 1)


# ---- h5py --------------------------------------------------------------------------------------------------------------------


def h5py_or_skip() -> Any:
    if importlib.util.find_spec("h5py") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("h5py is missing; `pip install '.[test]'` has it")
    import h5py

    return h5py


def of_h5py(node: Any) -> Any:
    """What `of_ndzarr` gives, of a file."""
    attributes = {name: plain(np.asarray(value)[()])[2] for name, value in node.attrs.items()}
    if hasattr(node, "keys"):
        return attributes, {name: of_h5py(node[name]) for name in sorted(node)}
    text = node.dtype.hasobject
    values = node.asstr()[...].tolist() if text else plain(node[...])
    return attributes, values


def of_ndzarr(node: Any) -> Any:
    if isinstance(node, ndzarr.Group):
        return dict(node.attrs), {name: of_ndzarr(node[name]) for name in sorted(node)}
    values = node[...]
    return dict(node.attrs), values.tolist() if isinstance(values.dtype, np.dtypes.StringDType) else plain(values)


def make_file(h5py: Any) -> None:
    with h5py.File("x.h5", "w") as f:
        f.attrs["title"] = "t"
        f.create_dataset("a", data=A, chunks=(2, 4), maxshape=(None, None), fillvalue=0).attrs["units"] = "m"
        f["sub/b"] = A[0]


@pytest.mark.parametrize("row", rows("migration-h5py.md"), ids=lambda row: row.left)
def test_h5py(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    h5py = h5py_or_skip()
    monkeypatch.chdir(tmp_path)
    make_file(h5py)
    g = ndzarr.create_group("x.zarr", attributes={"title": "t"})
    g.create_array("a", data=A, chunks=(2, 4), attributes={"units": "m"})
    g["sub/b"] = A[0]
    names: dict[str, Any] = {"ndzarr": ndzarr, "np": np, "a": A, "mask": MASK, "g": g, "z": g["a"]}
    ours = plain(evaluate(row.right, names))
    if "File(" in row.left:
        with evaluate(row.left, {"h5py": h5py}) as f:
            theirs = plain(f.filename) and OPAQUE
    else:
        with h5py.File("x.h5", "r+") as f:
            theirs = plain(evaluate(row.left, {"h5py": h5py, "np": np, "a": A, "mask": MASK, "f": f, "d": f["a"]}))
    if theirs is not None and OPAQUE not in (ours, theirs):
        assert ours == theirs
    for path in sorted(Path().glob("*.h5")):
        with h5py.File(path) as f:
            assert of_ndzarr(ndzarr.open(path.with_suffix(".zarr"))) == of_h5py(f)
    assert len(list(Path().glob("*.h5"))) == len(list(Path().glob("*.zarr")))
    record_property("count: calls of other libraries that were run beside ours", 1)
