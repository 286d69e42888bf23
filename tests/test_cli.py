"""The command line: what it prints, where, and its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ndzarr
from ndzarr.cli import main

pytestmark = pytest.mark.usefixtures("zarr_format")  # everything is true of both


@pytest.fixture
def tree(tmp_path: Path) -> str:
    path = str(tmp_path / "a.zarr")
    root = ndzarr.create_group(path, attributes={"title": "x"})
    root.create_array("g/z", shape=(10, 10), chunks=(5, 5), dtype="i2", fill_value=0, compressor=None)[:5] = 1
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_tree(capsys: pytest.CaptureFixture[str], tree: str) -> None:
    status, out, err = run(capsys, "tree", tree)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["/", "└── g", "    └── z (10, 10) int16"]
    assert run(capsys, "tree", tree, "g")[1].splitlines()[1:] == ["└── z (10, 10) int16"]


def info(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """What `ndzarr info` prints, by name."""
    status, out, err = run(capsys, "info", *arguments)
    assert (status, err) == (0, "")
    rows = dict(line.split("  ", 1) for line in out.splitlines())
    return {name.strip(): value.strip() for name, value in rows.items()}


def test_info_of_an_array(capsys: pytest.CaptureFixture[str], tree: str, zarr_format: int) -> None:
    rows = info(capsys, tree, "g/z")
    assert rows["format"] == f"Zarr {zarr_format}"
    assert rows["codecs"] == ("none" if zarr_format == 2 else "bytes(endian='little')")
    assert not {"shards", "dimensions"} & rows.keys()
    assert (rows["shape"], rows["dtype"], rows["chunks"]) == ("(10, 10)", "int16", "(5, 5), 4 in all")
    assert rows["stored"].startswith("100 B")


@pytest.mark.formats(3)
def test_info_of_shards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    z = ndzarr.create_array(
        path, shape=(100, 64), chunks=(10, 8), shards=(50, 64), dtype="f4", dimension_names=["time", None], fill_value=0
    )
    z[:50] = 1
    rows = info(capsys, path)
    assert rows["dimensions"] == "time, -"
    assert (rows["chunks"], rows["shards"]) == ("(10, 8), 80 in all", "(50, 64), 2 in all")
    assert rows["codecs"] == (
        "sharding_indexed(chunk_shape=[10, 8], codecs=[bytes(endian='little') -> zstd(level=1)], "
        "index_codecs=[bytes(endian='little') -> crc32c], index_location='end')"
    )
    assert rows["stored"].endswith(f"(ratio {z.nbytes / z.nbytes_stored:.1f})")
    assert repr(z).startswith("<ndzarr.ZArray / shape=(100, 64) chunks=(10, 8) shards=(50, 64) dtype=float32 in ")


@pytest.mark.formats(3)
@pytest.mark.parametrize(
    ("chunks", "shards", "shown", "shards_shown"),
    [
        (([3, 5, 4], 6), None, "([3, 5, 4], 6), 6 in all", None),
        (([1] * 12, 12), None, "(12 of 1, 12), 12 in all", None),
        (([1, 2] * 4, [12]), None, "([1, 2, 1, 2, 1, 2, 1, 2], [12]), 8 in all", None),
        (([1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 30], [5, 9]), None, "(11 of 1 to 30, [5, 9]), 22 in all", None),
        (([1] * 12 + [99], 12), None, "(12 of 1, 12), 12 in all", None),  # one past the end is no chunk
        ((2, 3), ([4, 8], 12), "(2, 3), 24 in all", "([4, 8], 12), 2 in all"),
    ],
)
def test_info_of_chunks_of_different_lengths(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, chunks: Any, shards: Any, shown: str, shards_shown: str | None
) -> None:
    z = ndzarr.create_array(str(tmp_path / "a"), shape=(12, 12), chunks=chunks, shards=shards, dtype="i2")
    rows = info(capsys, str(tmp_path / "a"))
    assert (rows["chunks"], rows.get("shards")) == (shown, shards_shown)
    assert f" chunks={shown.removesuffix(f', {z.nchunks} in all')} " in repr(z)


@pytest.mark.formats(3)
@pytest.mark.parametrize(
    ("dtype", "shown", "fill"),
    [
        (str, "StringDType()", "''"),
        ("M8[ns]", "datetime64[ns]", "NaT"),
        ("m8[25s]", "timedelta64[25s]", "NaT"),
        ("f4", "float32", "0.0"),
        (">c8", "complex64", "0j"),
        ("i4,f8", "[f0: int32, f1: float64]", "np.void((0, 0.0), dtype=[('f0', '<i4'), ('f1', '<f8')])"),
    ],
)
def test_info_of_dtypes(capsys: pytest.CaptureFixture[str], tmp_path: Path, dtype: Any, shown: str, fill: str) -> None:
    z = ndzarr.create_array(str(tmp_path / "a"), shape=(3,), dtype=dtype)
    rows = info(capsys, str(tmp_path / "a"))
    assert (rows["dtype"], rows["fill value"]) == (shown, fill)
    assert rows["size"] == ("3 elements of any length" if dtype is str else f"{z.nbytes} B")
    assert f" dtype={shown} " in repr(z)


def test_info_of_a_group(capsys: pytest.CaptureFixture[str], tree: str, zarr_format: int) -> None:
    status, out, _ = run(capsys, "info", tree)
    rows = {line[:10].strip(): line[10:].strip() for line in out.splitlines()}
    assert status == 0
    assert rows["format"] == f"Zarr {zarr_format}"
    assert (rows["arrays"], rows["groups"], rows["attributes"]) == ("none", "g", "title")


def test_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "codecs")
    kinds = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert status == 0
    assert (kinds["zstd"], kinds["delta"], kinds["vlen-utf8"]) == ("bytes->bytes", "array->array", "array->bytes")
    assert set(kinds) == set(ndzarr.codecs())


def test_codecs_says_what_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndzarr.get_codec("snappy"), "available", classmethod(lambda cls: False))
    _, out, _ = run(capsys, "codecs")
    (line,) = [line for line in out.splitlines() if line.startswith("snappy")]
    assert line.endswith("(not installed)")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("info", "nowhere"), "no array or group at '/'"),
        (("info", "a.zarr", "g/missing"), "no array or group at 'g/missing'"),
        (("tree", "a.zarr", "g/z"), "is an array, expected a group"),
        (("info", "nosuch://x"), "no store for the scheme 'nosuch'"),
        (("demo", "a.zarr"), "did not write"),
    ],
)
def test_errors_are_one_line_and_status_1(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tree: str,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(Path(tree).parent)
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("ndzarr: ")
    assert err.count("\n") == 1
    assert expected in err


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("info",), ("demo", "a", "b")])
def test_usage_errors_are_status_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: ndzarr" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("ndzarr ")


def test_as_a_process(tree: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(ndzarr.__file__).parents[1]), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "ndzarr"]
    done = subprocess.run([*command, "tree", tree], env=environment, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run([*command, "info", "nowhere"], env=environment, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_a_reader_that_has_enough(tree: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(ndzarr.__file__).parents[1])}
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        command = [sys.executable, "-m", "ndzarr", "codecs"]
        done = subprocess.run(command, env=environment, stdout=write_end, stderr=subprocess.PIPE, timeout=120)
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")
