"""The command line: what it prints, where, and its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ndzarr
from ndzarr.cli import main


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


def test_info_of_an_array(capsys: pytest.CaptureFixture[str], tree: str) -> None:
    status, out, err = run(capsys, "info", tree, "g/z")
    rows = dict(line.split("  ", 1) for line in out.splitlines())
    rows = {name.strip(): value.strip() for name, value in rows.items()}
    assert (status, err) == (0, "")
    assert (rows["shape"], rows["dtype"], rows["chunks"]) == ("(10, 10)", "int16", "(5, 5), 4 in all")
    assert rows["stored"].startswith("100 B")


def test_info_of_a_group(capsys: pytest.CaptureFixture[str], tree: str) -> None:
    status, out, _ = run(capsys, "info", tree)
    rows = {line[:10].strip(): line[10:].strip() for line in out.splitlines()}
    assert status == 0
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
