"""The command line where its streams are closed, cannot show what is to be shown, or would be steered by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ndzarr
from ndzarr.cli import main
from ndzarr.cli.output import shown

TOP = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path: Path) -> str:
    group = ndzarr.create_group(str(tmp_path / "s.zarr"), attributes={"unit": "\x1b[31mm\u202e\x07", "place": "Zürich"})
    group["text"] = ["é"]
    return str(tmp_path / "s.zarr")


def run(arguments: list[str], shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = " ".join(["exec", *[f"'{word}'" for word in (sys.executable, "-m", "ndzarr", *arguments)], shell])
    kept = {**os.environ, "PYTHONPATH": str(TOP), **environment}
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, env=kept, timeout=120)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes them")
def test_closed_streams(store: str) -> None:
    """An internal error, or the error of a command in the middle of its results."""
    done = run(["info", store], ">&-")
    assert (done.returncode, done.stderr) == (0, b"")
    done = run(["info", store + "x"], "2>&-")
    assert (done.returncode, done.stdout) == (1, b"")
    done = run(["append", store, "text"], "<&-")
    assert done.returncode == 1
    assert b".npy" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"internal" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="it has /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["info", "--help"], ["info", "STORE"], ["dump", "--npy", "STORE", "n"]]
)
def test_an_output_that_is_full(store: str, arguments: list[str]) -> None:
    """What was printed may be written at exit only, where Python has two lines and a status of its own."""
    ndzarr.create_array(store, path="n", shape=3, dtype="u1")
    done = run([store if word == "STORE" else word for word in arguments], ">/dev/full", PYTHONUNBUFFERED="")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"ndzarr: No space left on device\n"


def test_what_the_encoding_has_no_words_for(store: str) -> None:
    for arguments in (["tree"], ["info"], ["dump"]):
        done = run([*arguments, store], PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, b"")
    assert b"Z\\xfcrich" in done.stdout
    done = run(["info", "--json", store], PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["attributes"]["place"] == "Zürich"


@pytest.mark.skipif(sys.platform != "linux", reason="names there are bytes of any kind")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/n\xff.zarr"
    ndzarr.create_array(os.fsdecode(place), shape=(2,), dtype="u1")
    done = run(["info", os.fsdecode(place)], PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 0
    assert b"n\\udcff.zarr" in done.stdout
    done = run(["info", "--json", os.fsdecode(place)], PYTHONIOENCODING="utf-8:strict")
    assert json.loads(done.stdout)["store"].endswith("n\udcff.zarr")


def test_nobody_steers_the_terminal(store: str, capsys: Any) -> None:
    for command in ("info", "dump", "tree", "ls"):
        assert main([command, store]) == 0
        told = capsys.readouterr().out
        assert not {"\x1b", "\x07", "\u202e"} & set(told)
        assert command not in ("info", "dump") or r"\x1b[31mm\u202e\x07" in told


def test_shown() -> None:
    assert shown("Zürich 3 µm ²") == "Zürich 3 µm ²"
    assert shown("a\nb\tc\rd\x9b") == "a\nb\tc\\rd\\x9b"
