"""The command line: what each command prints, where, its exit status, and its one line of error."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import ndzarr
from ndzarr import plugins
from ndzarr.cli import main, making, places
from ndzarr.cli.arguments import index, spelled
from ndzarr.cli.completion import commands
from ndzarr.cli.failures import named
from ndzarr.cli.parser import make_parser
from ndzarr.cli.values import flat, places as labels, text_lines
from ndzarr.stores.registry import resolve

TOP = Path(__file__).parents[1]


@dataclass
class Case:
    """A command on something good, something that is not there, and something that is damaged.

    Each is (arguments, what is printed): a pattern in standard output where all is well, in the one line on standard error
    where it is not. usage: those are wrong as words already (exit status 2). fields: the names in the document of `--json`.
    """

    good: tuple[str, str]
    missing: tuple[str, str]
    damaged: tuple[str, str]
    fields: str
    found: int = 1  # the exit status of what is damaged
    trouble: int = 1  # and of what is missing
    usage: bool = False
    json: bool = True


NOWHERE = "no array or group at '/' in .*nowhere"
UNOPENED = "1 node cannot be opened; `ndzarr check damaged.zarr` says why"
UNDECODED = r"cannot decode chunk.*; `ndzarr check (file://\S*/)?damaged.zarr`"
TRANSFER = "command source target nodes skipped replaced keys nbytes dry_run"
#: Of an array.
HEADER = "kind zarr_format shape dtype chunks shards order fill_value dimension_names codecs nchunks nbytes attributes"

CASES = {
    "info": Case(
        ("sound.zarr z", r"shape +\(10, 10\)"), ("nowhere", NOWHERE), ("damaged.zarr m", "cannot open 'm'.*ndzarr check"),
        f"store path {HEADER} nobjects_stored nbytes_stored nobjects",
    ),
    "tree": Case(
        ("sound.zarr", r"└── z \(10, 10\) int16"), ("nowhere", NOWHERE), ("damaged.zarr", UNOPENED),
        "store path kind zarr_format attributes members",
    ),
    "ls": Case(
        ("sound.zarr -rl", r"g/s +\(12,\) +int16 +chunks \(2,\) +shards \(6,\)"), ("nowhere", NOWHERE),
        ("damaged.zarr", UNOPENED), "store path members",
    ),
    "head": Case(
        ("sound.zarr z", r"\(0,0\) +0 +1 +2"), ("sound.zarr y", "no array or group at 'y'.*`ndzarr ls -r sound.zarr`"),
        ("damaged.zarr z", UNDECODED), f"path {HEADER} index data",
    ),
    "dump": Case(
        ("sound.zarr z -i [2:4]", r"\(2,0\) +20 +21"), ("nowhere", NOWHERE), ("damaged.zarr z", UNDECODED),
        f"path {HEADER} index data",
    ),
    "explain": Case(
        ("sound.zarr z [0]", r"requests +2"), ("nowhere", NOWHERE), ("damaged.zarr g/s [0]", "index"),
        "store path index amplification chunks chunks_present objects objects_present requests nbytes_fetched nbytes_decoded "
        "nbytes_used nbytes_result nbytes_peak exact hint",
    ),
    "create": Case(
        ("new.zarr --shape 3,4 --dtype i2 -a units=K", r"array / in .*: \(3, 4\) int16"),
        ("new.zarr --data nowhere.npy", "No such file.*nowhere.npy"), ("new.zarr --data cut.npy", "ends too early"),
        f"store path {HEADER}",
    ),
    "append": Case(
        ("sound.zarr z --data rows.npy", r"array z in .*: \(13, 10\)"), ("nowhere --data rows.npy", NOWHERE),
        ("sound.zarr z --data cut.npy", "ends too early"), "store path shape axis added",
    ),
    "copy": Case(
        ("sound.zarr new.zarr", "copied 4 nodes: "), ("nowhere new.zarr", NOWHERE),
        ("damaged.zarr new.zarr --node m", "cannot open 'm'"), TRANSFER,
    ),
    "move": Case(
        ("sound.zarr new.zarr --node g", "moved 2 nodes: "), ("nowhere new.zarr", NOWHERE),
        ("damaged.zarr new.zarr --node m", "cannot open 'm'"), TRANSFER,
    ),
    "convert": Case(
        ("sound.zarr new.zarr --node z --chunks 10,10 --compressor zlib", r"array / in .*chunks of \(10, 10\)"),
        ("nowhere new.zarr", NOWHERE), ("damaged.zarr new.zarr --node z --compressor none", UNDECODED), f"store path {HEADER}",
    ),
    "rechunk": Case(
        ("sound.zarr new.zarr --node z --chunks 10,2", r"array / in .*chunks of \(10, 2\)"),
        ("nowhere new.zarr --chunks 2", NOWHERE), ("damaged.zarr new.zarr --node z --chunks 10,2", UNDECODED),
        f"store path {HEADER}",
    ),
    "compress": Case(
        ("sound.zarr new.zarr --node z --max-abs 1", r"200 B stored as [\d.]+ B; measured: "), ("nowhere new.zarr", NOWHERE),
        ("damaged.zarr new.zarr --node z", UNDECODED), f"store path {HEADER}",
    ),
    "diff": Case(
        ("sound.zarr sound.zarr", "identical: "), ("nowhere sound.zarr", NOWHERE),
        ("sound.zarr damaged.zarr --node z", UNDECODED),
        "same identical a b arrays elements elements_read items", found=2, trouble=2,
    ),
    "digest": Case(
        ("sound.zarr", r"sha256:[0-9a-f]{64}  g/s\nsha256:[0-9a-f]{64}  z\n"), ("nowhere", NOWHERE),
        ("damaged.zarr z", UNDECODED),
        "store path algorithm digests",
    ),
    "consolidate": Case(
        ("sound.zarr", "consolidated 3 members"), ("nowhere", NOWHERE), ("damaged.zarr", "m/zarr.json"),
        "store path zarr_format members",
    ),
    "stats": Case(
        ("sound.zarr z", r"mean +49.5"), ("nowhere", NOWHERE), ("damaged.zarr z", UNDECODED),
        "store path index shape dtype count nan min max mean std",
    ),
    "advise": Case(
        ("sound.zarr z", "sound.zarr.*: .* \\(1 arrays"), ("nowhere", NOWHERE), ("damaged.zarr z", "cannot decode chunk"),
        "target looked_at complete findings",
    ),
    "check": Case(
        ("sound.zarr", "OK: no damage found"), ("nowhere", NOWHERE), ("damaged.zarr", "DATA DAMAGED"),
        "ok store path groups arrays chunks nbytes seconds decoded repair totals left findings",
    ),
    "bench": Case(
        ("sound.zarr z --seconds 0.001", r"read +[\d,]+ MiB/s"), ("nowhere", NOWHERE), ("damaged.zarr z", UNDECODED),
        "store path box nbytes read write",
    ),
    "codecs": Case(
        ("zstd", r"zstd +bytes->bytes"), ("nosuch", "no codec 'nosuch'; `ndzarr codecs` lists"),
        ("broken", r"broken .*\(not installed\)"), "codecs", found=0,
    ),
    "stores": Case(
        ("zip", "zip +ZipStore"), ("nosuch", "no store 'nosuch'; `ndzarr stores` lists"),
        ("broken", r"broken +\(cannot be loaded\).*ndzarr_nowhere"), "stores", found=0,
    ),
    "completion": Case(
        ("bash", "complete .*-F _ndzarr ndzarr"), ("", "required: SHELL; usage: ndzarr completion"),
        ("bashh", "no 'bashh': did you mean 'bash'"), "shell script", found=2, usage=True,
    ),
    "demo": Case(
        ("new.zarr", "All are equal"), ("rows.npy/x", "rows.npy"), ("sound.zarr", "did not write; name another directory"),
        "directory equal report",
    ),
}  # fmt: skip


@pytest.fixture
def stores(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, which is the current one, with a sound store and a damaged one, and .npy files."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `stores` is a copy of."""
    path = tmp_path_factory.mktemp("made")
    root = ndzarr.create_group(path / "sound.zarr", attributes={"title": "x"})
    z = root.create_array("z", shape=(10, 10), chunks=(5, 5), dtype="i2", fill_value=0)
    z[...] = np.arange(100).reshape(10, 10)
    root.create_array("g/s", shape=(12,), chunks=(2,), shards=(6,), dtype="i2", fill_value=0)[...] = np.arange(1, 13)
    ndzarr.copy(root, path / "damaged.zarr")
    ndzarr.create_array(path / "damaged.zarr", path="m", shape=(3,), dtype="i4")
    for name, data in {"z/c/0/0": b"\x28garbage", "g/s/c/0": b"no index here", "m/zarr.json": b"{"}.items():
        (path / "damaged.zarr" / name).write_bytes(data)
    np.save(path / "rows.npy", np.arange(30, dtype="i2").reshape(3, 10))
    (path / "cut.npy").write_bytes((path / "rows.npy").read_bytes()[:-7])
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    printed = capsys.readouterr()
    return status, printed.out, printed.err


# ---- every command ----------------------------------------------------------------------------------


def test_every_command_has_its_cases() -> None:
    assert set(CASES) == set(commands(make_parser()))


@pytest.mark.parametrize("name", CASES)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: ndzarr {name} ")
    command, help = commands(make_parser())[name]
    assert help[1:].split(",")[0] in " ".join(out.split())
    for action in command._actions:
        assert action.help, f"{action.dest} says nothing"
        assert all(flag in out for flag in action.option_strings)


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("name", CASES)
def test_on_what_is_good(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, pattern = CASES[name].good
    status, out, err = run(capsys, name, *arguments.split())
    assert (status, err) == (0, "")
    assert re.search(pattern, out), out
    assert "\x1b" not in out  # it is no terminal


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("name", CASES)
def test_on_what_is_missing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, pattern = CASES[name].missing
    status, out, err = run(capsys, name, *arguments.split())
    assert (status, out) == (2 if CASES[name].usage else CASES[name].trouble, "")
    check_line(err, pattern)


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("name", CASES)
def test_on_what_is_damaged(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    if name in ("codecs", "stores"):  # a package whose plug-in cannot be imported is installed
        point = EntryPoint("broken", "ndzarr_nowhere:Broken", f"ndzarr.{name}")
        monkeypatch.setattr(plugins, "_entry_points", lambda group, name="broken": [point] if name == "broken" else [])
    status, out, err = run(capsys, name, *case.damaged[0].split())
    assert status == case.found, (out, err)
    if name in ("check", "codecs", "stores"):  # damage is what these tell, as their result
        assert re.search(case.damaged[1], out), out
        assert err == ""
    else:
        check_line(err, case.damaged[1])


def check_line(err: str, pattern: str) -> None:
    assert err.startswith("ndzarr")
    assert err.count("\n") == 1, err
    assert re.search(pattern, err), err
    assert "Traceback" not in err
    assert "internal error" not in err


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("name", CASES)
def test_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One document, with the names that docs/cli.md promises."""
    case = CASES[name]
    status, out, err = run(capsys, name, *case.good[0].split(), "--json")
    assert (status, err) == (0, "")
    assert list(json.loads(out, parse_constant=pytest.fail)) == case.fields.split()


@pytest.mark.parametrize("name", CASES)
def test_the_page_tells_of_it(name: str) -> None:
    page = (TOP / "docs/cli.md").read_text(encoding="utf-8")
    assert re.search(rf'ndzarr\("{name}\b', page), f"docs/cli.md does not show what {name} prints"
    (row,) = re.findall(rf"^\| (?:`\w+`, )*`{name}`(?:, `\w+`)* \| (.*) \|$", page, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", row))
    wanted = set(CASES[name].fields.split())
    assert named >= (wanted - set(HEADER.split()) if wanted >= set(HEADER.split()) else wanted)
    if wanted >= set(HEADER.split()):
        assert "the header" in row


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("arguments", "status", "pattern"),
    [
        ("", 2, "required: COMMAND; usage: ndzarr "),
        ("nonsense", 2, "no 'nonsense': expected one of info, tree"),
        ("inf sound.zarr", 2, "no 'inf': did you mean 'info'?"),
        ("info", 2, "required: STORE; usage: ndzarr info"),
        ("demo a b", 2, "unrecognized arguments: b"),
        ("dump sound.zarr z -i [1,(2)]+3", 2, "is no index"),
        ("dump sound.zarr z -i [__import__('os')]", 2, "is not allowed in one"),
        ("dump sound.zarr z -i [99]", 1, "out of bounds"),
        ("dump sound.zarr -i [1]", 2, "--index takes an array.*name one of its arrays as NODE"),
        ("dump sound.zarr --npy", 2, "--npy takes an array"),
        ("head sound.zarr", 1, "is a group, expected an array; name one of its arrays as NODE"),
        ("head sound.zarr z -n 0", 2, "'0' is no number of at least 1"),
        ("tree sound.zarr z", 1, "is an array, expected a group"),
        ("explain sound.zarr z [x]", 2, "'x' is not allowed"),
        ("explain sound.zarr z -f system", 1, "no function of NumPy's"),
        ("advise sound.zarr --trace rows.npy", 1, "is no trace that RecordingStore.save wrote: [^;`]*$"),
        ("explain sound.zarr z -f mean --axis 9", 1, "cannot explain mean of 'z': axis 9 is out of bounds"),
        ("explain sound.zarr z -f reshape", 1, "cannot explain reshape of 'z'"),
        ("explain sound.zarr z -f append", 1, "cannot explain append of 'z': append.. missing 1 required"),
        ("explain sound.zarr z -f array_repr", 1, "is no reduction"),
        ("explain sound.zarr z [0] -f mean", 2, "leave the index out"),
        ("info nosuch://x", 1, "no store for the scheme 'nosuch'"),
        ("info sound.zarr ../x", 1, "x"),
        ("info sound.zarr -o nonsense=1", 1, "nonsense"),
        ("info sound.zarr -o nonsense", 2, "'nonsense' is not of the form NAME=VALUE"),
        ("create sound.zarr --shape 3", 1, "pass --overwrite to replace it with all that it holds"),
        ("create new.zarr", 2, "needs --shape, or --data"),
        ("create new.zarr --group --shape 3", 2, "--shape is for arrays"),
        ("create new.zarr --group --chunks 3", 2, "--chunks is for arrays"),
        ("create new.zarr --shape 3 --dtype nonsense", 2, "--dtype nonsense: "),
        ("create new.zarr --shape x", 2, "'x' is no shape"),
        ("create new.zarr --shape 3 --chunks 3,x", 2, "'3,x' is no list of lengths"),
        ("create new.zarr --shape 3 --compressor {", 2, "is no JSON"),
        ("create new.zarr --shape 3 --compressor nonsense", 1, "nonsense"),
        ("create new.zarr --shape 5,5 --data rows.npy", 1, "--shape is \\(5, 5\\), but 'rows.npy' holds \\(3, 10\\)"),
        ("create new.zarr --data sound.zarr/zarr.json", 1, "is no .npy file"),
        ("append sound.zarr g/s --data rows.npy", 1, "cannot be added to shape \\(12,\\)"),
        ("append sound.zarr z --data rows.npy --axis 5", 1, "axis 5 is out of bounds"),
        ("copy sound.zarr sound.zarr", 1, "one lies in the other"),
        ("copy sound.zarr damaged.zarr", 1, "pass --if-exists replace to replace it"),
        ("convert sound.zarr damaged.zarr", 1, "pass --overwrite to replace it"),
        ("convert sound.zarr new.zarr --zarr-format 4", 2, "no 4: expected one of 2, 3"),
        ("stats sound.zarr", 1, "is a group"),
        ("bench sound.zarr z --write-to sound.zarr", 1, "--write-to takes a place where nothing is"),
        ("bench sound.zarr z --seconds -1", 2, "expected one argument|seconds above 0"),
        ("check sound.zarr ../up", 2, "up"),
    ],
)  # fmt: skip
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], arguments: str, status: int, pattern: str) -> None:
    found, out, err = run(capsys, *arguments.split())
    assert (found, out) == (status, ""), err
    check_line(err, pattern)


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "ndzarr: interrupted"),
        (MemoryError(), 1, "ndzarr: not enough memory; ask for less at once"),
        (PermissionError(13, "Permission denied", "x.npy"), 1, "ndzarr: Permission denied: 'x.npy'"),
        (OSError("two\nlines"), 1, "ndzarr: two lines"),
        (ModuleNotFoundError("gone", name="rich"), 1, "ndzarr: rich is not installed; install it: pip install rich"),
        (RuntimeError("odd"), 1, "ndzarr: internal error: RuntimeError: odd; this is a bug"),
        (RecursionError("deep"), 1, "ndzarr: internal error: RecursionError"),
    ],
)  # fmt: skip
def test_whatever_is_raised_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int, line: str
) -> None:
    def fail(*arguments: Any, **keywords: Any) -> None:
        raise raised

    monkeypatch.setattr(places.api, "open", fail)
    found, out, err = run(capsys, "info", "sound.zarr")
    assert (found, out) == (status, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.usefixtures("stores")
def test_a_traceback_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDZARR_TRACEBACK", "1")
    with pytest.raises(ndzarr.NodeNotFoundError):
        main(["info", "nowhere"])


@pytest.mark.usefixtures("stores")
def test_warnings_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    ndzarr.consolidate("sound.zarr")
    document = Path("sound.zarr/z/zarr.json")
    document.write_text(document.read_text().replace('"K"', '"m"').replace("10,\n", "9,\n", 1), encoding="utf-8")
    status, _, err = run(capsys, "info", "sound.zarr", "z")
    assert status == 0
    assert all(line.startswith("ndzarr: warning: ") for line in err.splitlines())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--version")
    assert status == 0
    assert out.startswith("ndzarr ")


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    "arguments",
    [
        "info --no-list sound.zarr z",
        "info sound.zarr --no-list z",
        "info sound.zarr z --no-list",
        "head sound.zarr -n 2 z --json",
        "explain sound.zarr -f mean z",
        "explain sound.zarr --json z [0]",
        "info sound.zarr -- z",
        "create sound.zarr --shape 3 new -a n=-1",
        "copy sound.zarr --node z new.zarr --to n",
    ],
)
def test_options_stand_anywhere(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    status, _, err = run(capsys, *arguments.split())
    assert (status, err) == (0, "")


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("form", ["", " --json"])
@pytest.mark.parametrize(
    "arguments",
    [
        "create no/a.zip --shape 3",
        "create no/a.zip --group",
        "copy sound.zarr no/a.zip",
        "convert sound.zarr no/a.zip",
        "rechunk sound.zarr no/a.zip --node z --chunks 2,2",
        "compress sound.zarr no/a.zip --node z",
    ],
)
def test_nothing_is_said_to_be_made_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: str, form: str
) -> None:
    """An archive is written when its store is closed; and what has been told is not told again when the store is dropped."""

    def refuse(*rest: Any) -> None:
        raise PermissionError(13, "Permission denied")

    dropped: list[Any] = []
    monkeypatch.setattr("ndzarr.stores.zip._write_archive", refuse)
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    status, out, err = run(capsys, *(arguments + form).split())
    assert (status, out) == (1, "")
    check_line(err, "cannot write the archive")
    gc.collect()
    assert not dropped


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("fill", ["-1", "-1.5e3", "-Infinity"])
def test_values_that_begin_with_a_sign(capsys: pytest.CaptureFixture[str], fill: str) -> None:
    assert run(capsys, "create", "new.zarr", "--shape", "3", "--dtype", "f8", "--fill-value", fill)[0] == 0
    assert ndzarr.open("new.zarr").fill_value == float(fill)
    status, out, _ = run(capsys, "dump", "sound.zarr", "z", "-i", "-2:, 0", "--json")
    assert (status, json.loads(out)["data"]) == (0, [80, 90])


@pytest.mark.usefixtures("stores")
def test_what_is_not_known_is_told_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "info", "sound.zarr", "z", "more", "--nonsense")
    assert (status, out) == (2, "")
    assert err.startswith("ndzarr info: unrecognized arguments: more --nonsense; usage: ndzarr info ")


# ---- looking ----------------------------------------------------------------------------------


def rows_of(out: str) -> dict[str, str]:
    """Rows of names and values, by name."""
    return dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines() if "  " in line)


def test_info(capsys: pytest.CaptureFixture[str], tmp_path: Path, zarr_format: int) -> None:
    path = str(tmp_path / "a.zarr")
    z = ndzarr.create_array(
        path, shape=(10, 10), chunks=(5, 5), dtype="i2", fill_value=0, compressor=None, attributes={"n": [1, "é"], "units": "K"}
    )
    z[:5] = 1
    rows = rows_of(run(capsys, "info", path)[1])
    assert rows["format"] == f"Zarr {zarr_format}"
    assert rows["codecs"] == ("none" if zarr_format == 2 else "bytes(endian='little')")
    assert not {"shards", "dimensions"} & rows.keys()
    assert (rows["shape"], rows["dtype"], rows["chunks"]) == ("(10, 10)", "int16", "(5, 5), 4 in all")
    assert (rows["stored"], rows["written"]) == ("100 B (ratio 2.0)", "2 of 4 chunks")
    assert run(capsys, "info", path)[1].endswith('attributes\n  n      [1, "é"]\n  units  K\n')
    assert not {"stored", "written"} & rows_of(run(capsys, "info", path, "--no-list")[1]).keys()


@pytest.mark.formats(3)
def test_info_of_shards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    z = ndzarr.create_array(
        path, shape=(100, 64), chunks=(10, 8), shards=(50, 64), dtype="f4", dimension_names=["time", None], fill_value=0
    )
    z[:50] = 1
    rows = rows_of(run(capsys, "info", path)[1])
    assert rows["dimensions"] == "time, -"
    assert (rows["chunks"], rows["shards"]) == ("(10, 8), 80 in all", "(50, 64), 2 in all")
    assert rows["codecs"] == (
        "sharding_indexed(chunk_shape=[10, 8], codecs=[bytes(endian='little') -> zstd(level=1)], "
        "index_codecs=[bytes(endian='little') -> crc32c], index_location='end')"
    )
    assert rows["stored"].endswith(f"(ratio {z.nbytes / z.nbytes_stored:.1f})")
    assert rows["written"] == "1 of 2 shards"
    assert repr(z).startswith("<ndzarr.ZArray / shape=(100, 64) chunks=(10, 8) shards=(50, 64) dtype=float32 in ")


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
    rows = rows_of(run(capsys, "info", str(tmp_path / "a"))[1])
    assert (rows["chunks"], rows.get("shards")) == (shown, shards_shown)
    assert f" chunks={shown.removesuffix(f', {z.nchunks} in all')} " in repr(z)


@pytest.mark.parametrize(
    ("dtype", "shown", "fill"),
    [
        (str, "StringDType()", "''"),
        ("M8[ns]", "datetime64[ns]", "NaT"),
        ("m8[25s]", "timedelta64[25s]", "NaT"),
        ("f4", "float32", "0.0"),
        (">c8", "complex64", "0j"),
        ("i4,f8", "[f0: int32, f1: float64]", "(0, 0.0)"),
    ],
)
def test_info_of_dtypes(capsys: pytest.CaptureFixture[str], tmp_path: Path, dtype: Any, shown: str, fill: str) -> None:
    z = ndzarr.create_array(str(tmp_path / "a"), shape=(3,), dtype=dtype)
    rows = rows_of(run(capsys, "info", str(tmp_path / "a"))[1])
    assert (rows["dtype"], rows["fill value"]) == (shown, fill)
    assert rows["size"] == ("3 elements of any length" if dtype is str else f"{z.nbytes} B")
    assert f" dtype={shown} " in repr(z)
    document = json.loads(run(capsys, "info", str(tmp_path / "a"), "--json")[1])
    assert (document["dtype"], document["nbytes"]) == (shown, None if dtype is str else z.nbytes)


@pytest.mark.usefixtures("stores")
def test_info_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "info", "sound.zarr")
    assert out.splitlines()[2:] == [
        "format  Zarr 3", "attributes", "  title  x", "members",
        "  g/  group", "  z   (10, 10)  int16  chunks (5, 5)",
    ]  # fmt: skip
    status, out, err = run(capsys, "info", "damaged.zarr", "--json")
    assert status == 1
    assert (json.loads(out)["arrays"], json.loads(out)["groups"], json.loads(out)["damaged"]) == (["z"], ["g"], ["m"])
    check_line(err, "1 node cannot be opened")


@pytest.mark.usefixtures("stores")
def test_a_store_that_cannot_be_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise ndzarr.StoreError("no listing here")

    monkeypatch.setattr(ndzarr.LocalStore, "list", refuse)
    status, out, err = run(capsys, "info", "sound.zarr", "z")
    assert (status, err) == (0, "")
    assert rows_of(out)["stored"] == "unknown, since the store cannot be listed"
    assert json.loads(run(capsys, "info", "sound.zarr", "z", "--json")[1])["nbytes_stored"] is None
    assert run(capsys, "ls", "-l", "sound.zarr", "z")[1].split()[-2:] == ["?", "zstd"]


def test_a_url_is_not_shown_as_it_was_typed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It may hold a password."""
    assert named("postgresql://me:secret@host/db", "postgresql://host/db") == "postgresql://host/db"
    assert (named("postgresql://me:secret@host/db"), named("my data.zarr")) == ("STORE", "'my data.zarr'")
    url = f"sqlite:///{tmp_path / 's.db'}"
    ndzarr.create_group(url).create_array("z", shape=(3,), dtype="i4")
    resolve(url, "a").set("z/zarr.json", b"{")
    check_line(run(capsys, "tree", url)[2], "`ndzarr check STORE` says why")
    check_line(run(capsys, "info", f"{url}?table=zarr", "x")[2], r"`ndzarr ls -r sqlite://\S*table=zarr` lists what is there")


@pytest.mark.usefixtures("stores")
def test_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "tree", "sound.zarr")[1].splitlines() == [
        "/",
        "├── g",
        "│   └── s (12,) int16 in chunks of (2,)",
        "└── z (10, 10) int16 in chunks of (5, 5)",
    ]
    assert "s (12" not in run(capsys, "tree", "sound.zarr", "-L", "1")[1]
    assert run(capsys, "tree", "sound.zarr", "g")[1].splitlines()[1:] == ["└── s (12,) int16 in chunks of (2,)"]
    document = json.loads(run(capsys, "tree", "sound.zarr", "--json")[1])
    assert document["members"]["g"]["members"]["s"]["shards"] == [6]
    assert "members" not in document["members"]["z"]


@pytest.mark.usefixtures("stores")
def test_an_output_that_has_not_all_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["tree", "sound.zarr"]) == 0
    assert out.buffer.getvalue().splitlines()[0] == b"/"
    assert b"\\u2514\\u2500\\u2500 z" in out.buffer.getvalue()
    assert out.errors == "strict"


def test_columns_of_wide_letters(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A letter of Chinese takes two columns, one that is put on the letter before it none."""
    root = ndzarr.create_group(tmp_path / "a.zarr", attributes={"\u6c17\u6e29": 1, "abc": 2})
    for name in ("\u6c17\u6e29", "u\u0308", "abcdef"):
        root.create_array(name, shape=3, chunks=3, dtype="i2")
    assert run(capsys, "ls", str(tmp_path / "a.zarr"))[1].splitlines() == [
        "abcdef  (3,)  int16  chunks (3,)",
        "u\u0308       (3,)  int16  chunks (3,)",
        "\u6c17\u6e29    (3,)  int16  chunks (3,)",
    ]
    out = run(capsys, "info", str(tmp_path / "a.zarr"))[1]
    assert "  \u6c17\u6e29  1\n  abc   2\n" in out


@pytest.mark.usefixtures("stores")
def test_ls(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "ls", "sound.zarr")[1].splitlines() == ["g/  group", "z   (10, 10)  int16  chunks (5, 5)"]
    assert run(capsys, "ls", "sound.zarr", "z")[1] == "z  (10, 10)  int16  chunks (5, 5)\n"
    status, out, err = run(capsys, "ls", "damaged.zarr", "--json")
    assert (status, err.count("\n")) == (1, 1)
    kinds = {member["name"]: member["kind"] for member in json.loads(out)["members"]}
    assert kinds == {"g": "group", "m": "damaged", "z": "array"}


def test_codecs_and_stores(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = run(capsys, "codecs")[1]
    kinds = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert (kinds["zstd"], kinds["delta"], kinds["vlen-utf8"]) == ("bytes->bytes", "array->array", "array->bytes")
    assert set(kinds) == set(ndzarr.codecs())
    out = run(capsys, "stores")[1]
    assert {line.split()[0] for line in out.splitlines()} == set(ndzarr.stores())
    assert "transactions" in next(line for line in out.splitlines() if line.startswith("file "))
    monkeypatch.setattr(ndzarr.get_codec("snappy"), "available", classmethod(lambda cls: False))
    assert run(capsys, "codecs", "snappy")[1].endswith("(not installed)\n")


# ---- values ----------------------------------------------------------------------------------

DTYPES = [
    np.arange(60, dtype="i8").reshape(3, 4, 5) * 1000,
    np.array([[0.1, np.nan], [np.inf, -1e-30]], "f4"),
    np.array([1 + 2j, complex(np.nan, -1)]),
    np.array(["2020-01-01T12", "NaT"], "M8[s]"),
    np.array([1, -5], "m8[ms]"),
    np.array(["a'b", "", "é"], "U3"),
    np.array([b"x\xff", b""], "S2"),
    np.array([(1, 0.5), (2, np.nan)], "i4,f8"),
    np.array([True, False]),
    np.array(2.5),
    np.zeros((0, 3)),
]


@pytest.mark.parametrize("data", DTYPES, ids=lambda a: f"{a.dtype.kind}{a.ndim}")
def test_dump_npy_and_back(
    capfdbinary: pytest.CaptureFixture[bytes], stores: Path, monkeypatch: pytest.MonkeyPatch, data: Any, zarr_format: int
) -> None:
    """What `dump --npy` writes is what `create --data -` reads."""
    ndzarr.array(data, store="a.zarr", zarr_format=zarr_format)
    assert main(["dump", "a.zarr", "--npy"]) == 0
    printed = capfdbinary.readouterr().out
    found = np.load(io.BytesIO(printed))
    assert (found.dtype, found.shape) == (data.dtype, data.shape)
    assert found.tobytes() == data.tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(printed)))
    assert main(["create", "b.zarr", "--data", "-", "--zarr-format", str(zarr_format)]) == 0
    again = ndzarr.open_array("b.zarr")
    assert again.dtype == data.dtype
    assert again[...].tobytes() == data.tobytes()


@pytest.mark.formats(3)
@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("dtype", [str, "bfloat16"])
def test_what_npy_cannot_hold_is_refused(capsys: pytest.CaptureFixture[str], dtype: Any) -> None:
    ndzarr.zeros((2,), store="a.zarr", dtype=dtype)
    status, out, err = run(capsys, "dump", "a.zarr", "--npy")
    assert (status, out) == (1, "")
    check_line(err, "an .npy file cannot hold .*use --json")
    assert json.loads(run(capsys, "dump", "a.zarr", "--json")[1])["data"] == (["", ""] if dtype is str else [0.0, 0.0])


@pytest.mark.usefixtures("stores")
@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("command", ["head", "dump"])
def test_no_half_document(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, out, err = run(capsys, command, "damaged.zarr", "z", "--json")
    assert (status, out) == (1, "")
    check_line(err, UNDECODED)


@pytest.mark.usefixtures("stores")
def test_dump_json(capsys: pytest.CaptureFixture[str]) -> None:
    def data(array: Any, *index: str) -> Any:
        ndzarr.array(array, store="a.zarr", overwrite=True)
        return json.loads(run(capsys, "dump", "a.zarr", "--json", *index)[1], parse_constant=pytest.fail)["data"]

    cube = np.arange(120).reshape(4, 5, 6)
    assert data(cube) == cube.tolist()
    assert data(cube, "-i", "[1:3, ::-2, [0, 5]]") == cube[1:3, ::-2, [0, 5]].tolist()
    assert data(cube, "-i", "[3, 4, 5]") == 119
    assert data(cube, "-i", "[0:0]") == []
    assert data(np.array([0.1, np.nan, np.inf, -np.inf], "f4")) == [0.1, "NaN", "Infinity", "-Infinity"]
    assert data(np.array([1 + 2j])) == [[1, 2]]
    assert data(np.array(["2020-01-01", "NaT"], "M8[D]")) == ["2020-01-01", "NaT"]
    assert data(np.array([(1, "x")], [("a", "i4"), ("b", "U2")])) == [{"a": 1, "b": "x"}]


@pytest.mark.usefixtures("stores")
def test_dump_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "dump", "sound.zarr")[1]
    assert [line for line in out.splitlines() if line.startswith(("group", "array"))] == [
        "group /",
        "group g",
        "array g/s",
        "array z",
    ]
    assert "    (9,0)  90 91 92 93 94 95 96 97 98 99\n" in out
    assert "values" not in run(capsys, "dump", "sound.zarr", "-H")[1]
    nodes = json.loads(run(capsys, "dump", "sound.zarr", "--json")[1])["nodes"]
    assert [node["path"] for node in nodes] == ["", "g", "g/s", "z"]
    assert nodes[2]["data"] == list(range(1, 13))
    assert "data" not in json.loads(run(capsys, "dump", "sound.zarr", "--json", "-H")[1])["nodes"][3]


@pytest.mark.usefixtures("stores")
def test_head(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "head", "sound.zarr", "z", "-n", "2", "-c", "3")[1]
    assert out.splitlines() == ["z (10, 10) int16 [0:2, 0:3]", "(0,0)   0  1  2", "(1,0)  10 11 12"]
    ndzarr.array(np.arange(24).reshape(2, 3, 4), store="c.zarr")
    assert run(capsys, "head", "c.zarr", "-n", "1")[1].splitlines()[1:] == ["(0,0,0)  0 1 2 3"]
    ndzarr.array(7, store="s.zarr")
    assert run(capsys, "head", "s.zarr")[1].splitlines()[1:] == ["()  7"]


@pytest.mark.usefixtures("stores")
def test_head_and_dump_read_what_they_print(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def recorded(*arguments: Any, **options: Any) -> Any:
        seen.append(ndzarr.RecordingStore(resolve(*arguments, **options)))
        return seen[-1]

    monkeypatch.setattr(places, "resolve", recorded)
    ndzarr.array(np.arange(10_000).reshape(100, 100), store="a.zarr", chunks=(10, 10))
    for arguments, chunks in (
        (["head", "a.zarr"], {"c/0/0"}),
        (["head", "a.zarr", "-c", "11"], {"c/0/0", "c/0/1"}),
        (["dump", "a.zarr", "-i", "[35, 2:4]"], {"c/3/0"}),
        (["dump", "a.zarr", "-i", "[[5, 95], -1]", "--json"], {"c/0/9", "c/9/9"}),
        (["dump", "a.zarr", "-H"], set()),
        (["info", "a.zarr"], set()),
        (["explain", "a.zarr", "[0:50]"], set()),
    ):
        assert run(capsys, *arguments)[0] == 0
        gets = [r.key for r in seen[-1].records if r.op.startswith("get") and r.key.startswith("c/")]
        assert set(gets) == chunks, arguments
        assert len(gets) == len(set(gets)), "a chunk was read twice"


ENTRIES = st.one_of(
    st.integers(-4, 3),
    st.slices(5).map(lambda s: slice(s.start, s.stop, s.step)),
    st.lists(st.integers(-3, 3), min_size=1, max_size=3),
)


@given(st.lists(ENTRIES, max_size=3), st.sampled_from([None, ..., "none"]), st.integers(0, 3))
def test_every_value_is_printed_with_its_place(entries: list[Any], extra: Any, at: int) -> None:
    """In an array whose elements say where they are."""
    key: Any = (*entries[:at], *([] if extra == "none" else [extra]), *entries[at:])
    shape = (4, 5, 6)
    places_of = np.array([f"({i},{j},{k})" for i in range(4) for j in range(5) for k in range(6)], "U9").reshape(shape)
    try:
        want = places_of[key]
    except IndexError:
        return
    assert index(spelled(key)) == (key if len(key) != 1 else key[0]) or index(spelled(key)) == key
    z = ndzarr.array(places_of, chunks=(2, 3, 4))
    view = z.lazy[key]
    read = list(flat(view))
    assert np.array_equal(np.concatenate([np.empty(0, "U9"), *read]).reshape(want.shape), want)
    lines = list(text_lines(view.shape, iter(read), view.dtype, labels(key, shape)))
    words = [line.split() for line in lines]
    assert [word for line in words for word in line[1:]] == [repr(str(value)) for value in want.ravel()]
    lists = sum(isinstance(entry, list) for entry in key)
    if lists == 0 or (lists == 1 and not any(entry is None or isinstance(entry, int) for entry in key)):
        assert all(repr(line[0]) == line[1] for line in words)


@pytest.mark.parametrize(
    "text", ["", "1+1", "a", "[a]", "f()", "[1][2]", "1.5", "[1,,2]", "[lambda: 0]", "[1:2:'a']", "[{1}]", "\0"]
)
def test_what_is_no_index(text: str) -> None:
    with pytest.raises(Exception, match="is no index") as caught:
        index(text)
    assert type(caught.value).__name__ == "ArgumentTypeError"


def test_indices() -> None:
    assert index("1") == index("[1]") == 1
    assert index("[-1:+2, ..., None, [0, -1], 'a']") == (slice(-1, 2), ..., None, [0, -1], "a")
    assert index("[[0, 1]]") == [0, 1]
    assert index("10:20, ::2") == (slice(10, 20), slice(None, None, 2))


# ---- explain, stats, bench ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("stores")
def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "explain", "sound.zarr", "z", "[0:6, 0]", "--json")[1])
    assert (document["index"], document["chunks"], document["requests"]) == ("[0:6, 0]", 2, 2)
    ndzarr.copy("sound.zarr/z", "z.zarr")
    assert json.loads(run(capsys, "explain", "z.zarr", "[0:6, 0]", "--json")[1])["chunks"] == 2
    document = json.loads(run(capsys, "explain", "z.zarr", "-f", "mean", "--axis", "0", "--json")[1])
    assert (document["function"], document["nbytes_result"]) == ("mean", 80)


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("kind", ["i2", "u1", "f4", "f8", "?"])
def test_stats_are_those_of_numpy(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    random = np.random.default_rng(3)
    data = (random.normal(5, 40, (60, 70)) % 200).astype(kind)
    if kind[0] == "f":
        data[random.random(data.shape) < 0.1] = np.nan
    ndzarr.array(data, store="a.zarr", chunks=(7, 11))
    with ndzarr.options(working_memory=1 << 14):
        found = json.loads(run(capsys, "stats", "a.zarr", "--json")[1])
        part = json.loads(run(capsys, "stats", "a.zarr", "--json", "-i", "[3:50:2, 4]")[1])
    for stats, values in ((found, data), (part, data[3:50:2, 4])):
        good = values[~np.isnan(values)] if kind[0] == "f" else values
        assert (stats["count"], stats["nan"]) == (good.size, values.size - good.size)
        assert (stats["min"], stats["max"]) == (
            float(str(good.min())) if kind[0] == "f" else good.min(),
            float(str(good.max())) if kind[0] == "f" else good.max(),
        )
        assert stats["mean"] == pytest.approx(good.astype(float).mean(), rel=1e-12)
        assert stats["std"] == pytest.approx(good.astype(float).std(), rel=1e-9)


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("data", "want"),
    [
        (np.zeros((0, 3)), (0, 0, None, None, None)),
        (np.array(4.0), (1, 0, 4.0, 4.0, 4.0)),
        (np.array([np.nan, np.nan]), (0, 2, None, None, None)),
        (np.array([1e300, -1e300, np.inf]), (3, 0, -1e300, "Infinity", "Infinity")),
        (np.array([3 + 4j, 1j]), (2, 0, None, None, [1.5, 2.5])),
        (np.array(["2020-01-02", "NaT", "2019-05-01"], "M8[D]"), (2, 1, "2019-05-01", "2020-01-02", None)),
        (np.array([2**63 - 1, -(2**63)]), (2, 0, -(2**63), 2**63 - 1, -0.5)),
    ],
)
def test_stats_of_odd_arrays(capsys: pytest.CaptureFixture[str], data: Any, want: Any) -> None:
    ndzarr.array(data, store="a.zarr")
    found = json.loads(run(capsys, "stats", "a.zarr", "--json")[1], parse_constant=pytest.fail)
    assert tuple(found[name] for name in ("count", "nan", "min", "max", "mean"))[:4] == want[:4]
    assert found["mean"] == (pytest.approx(want[4], abs=1) if isinstance(want[4], float) else want[4])
    assert run(capsys, "stats", "a.zarr")[0] == 0


@pytest.mark.usefixtures("stores")
def test_stats_that_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert "kept        statistics of 4 chunks" in run(capsys, "stats", "sound.zarr", "z", "--collect")[1]
    assert ndzarr.open_array("sound.zarr", path="z").statistics.complete
    document = json.loads(run(capsys, "stats", "sound.zarr", "z", "--collect", "--json")[1])
    assert (document["chunks_known"], document["max"]) == (4, 99)
    store = ndzarr.RecordingStore(ndzarr.LocalStore("sound.zarr"))
    ndzarr.open_array(store, path="z")[0, 0]
    store.save("trace.json")
    assert "(2 arrays, 2 requests)" in run(capsys, "advise", "sound.zarr", "--trace", "trace.json")[1]
    assert json.loads(run(capsys, "advise", "sound.zarr", "--trace", "trace.json", "--json")[1])["looked_at"]["requests"] > 0
    check_line(run(capsys, "advise", "sound.zarr", "--trace", "nowhere.json")[2], "nowhere.json")


@pytest.mark.usefixtures("stores")
def test_stats_of_text_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    ndzarr.array(["a"], store="a.zarr")
    check_line(run(capsys, "stats", "a.zarr")[2], "have no range; expected numbers or times")


@pytest.mark.usefixtures("stores")
def test_bench_counts_and_leaves_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = sorted(Path().rglob("*"))
    arguments = ["bench", "sound.zarr", "z", "--seconds", "0.001", "--json", "--write-to", "scratch.zarr"]
    found = json.loads(run(capsys, *arguments)[1])
    assert (found["box"], found["nbytes"]) == ([[0, 10], [0, 10]], 200)
    assert (found["read"]["requests"], found["read"]["nbytes_fetched"]) == (4, ndzarr.open_array("sound.zarr/z").nbytes_stored)
    assert found["write"]["requests"] >= 4
    assert found["write"]["nbytes_stored"] == found["read"]["nbytes_fetched"]
    assert found["read"]["runs"] >= 3
    shutil.rmtree("scratch.zarr", ignore_errors=True)  # a directory without anything in it may stay
    assert sorted(Path().rglob("*")) == before
    sparse = ndzarr.create_array("sparse.zarr", shape=(10**6,), chunks=(1000,), dtype="f8", fill_value=0)
    sparse[500_000:] = 1.5
    found = json.loads(run(capsys, "bench", "sparse.zarr", "--json", "--no-write", "--limit", "1", "--seconds", "0.001")[1])
    assert found["box"][0][0] <= 500_000 < found["box"][0][1]
    assert "write" not in found


# ---- making and moving ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("stores")
def test_create(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--shape", "20,30", "--dtype", "f4", "--chunks", "5,10", "--shards", "10,30", "--compressor", '{"id": "zlib"}']
    words += ["--fill-value", "NaN", "--dimension-names", "y,-", "-a", "units=K", "-a", "n=3", "--checksum"]
    document = json.loads(run(capsys, "create", "new.zarr", "g/x", *words, "--json")[1])
    assert (document["chunks"], document["shards"], document["fill_value"]) == ([5, 10], [10, 30], "NaN")
    assert (document["dimension_names"], document["attributes"]) == (["y", None], {"units": "K", "n": 3})
    assert run(capsys, "create", "new.zarr", "h", "--group", "-a", "a=[1]")[0] == 0
    root = ndzarr.open_group("new.zarr")
    assert (root["h"].attrs["a"], root["g/x"].shape) == ([1], (20, 30))
    assert run(capsys, "create", "new.zarr", "v2", "--shape", "", "--zarr-format", "2", "--compressor", "none")[0] == 0
    assert (root["v2"].shape, root["v2"].zarr_format) == ((), 2)


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("order", ["C", "F"])
def test_create_goes_through_a_stream_in_whole_objects(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    data = np.asarray(np.random.default_rng(0).integers(0, 9, (95, 40, 12)), order=order)
    np.save("data.npy", data)
    monkeypatch.setattr(making, "PIECE_NBYTES", 1 << 16)
    stores = record(monkeypatch)
    assert run(capsys, "create", "a.zarr", "--data", "data.npy", "--chunks", "10,20,5")[0] == 0
    assert np.array_equal(ndzarr.open_array("a.zarr")[...], data)
    keys = [r.key for r in stores[0].records if r.op.startswith("set") and r.key.startswith("c/")]
    assert len(keys) == len(set(keys)) == 10 * 2 * 3
    monkeypatch.setattr(making, "_MOST", 1 << 10)  # less than a row of objects
    assert run(capsys, "create", "b.zarr", "--data", "data.npy", "--chunks", "95,40,12")[0] == 0
    assert np.array_equal(ndzarr.open_array("b.zarr")[...], data)


def record(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every store that a command opens, recorded."""
    seen: list[Any] = []
    resolve = places.resolve

    def recorded(*arguments: Any, **options: Any) -> Any:
        seen.append(ndzarr.RecordingStore(resolve(*arguments, **options)))
        return seen[-1]

    monkeypatch.setattr(places, "resolve", recorded)
    return seen


@pytest.mark.usefixtures("stores")
def test_create_leaves_nothing_where_the_stream_ends_early(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "create", "sound.zarr", "new", "--data", "cut.npy")[0] == 1
    assert "new" not in ndzarr.open_group("sound.zarr")
    assert ndzarr.check("sound.zarr").ok


@pytest.mark.usefixtures("stores")
def test_append(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PIECE_NBYTES", 200)  # ten rows
    data = np.arange(0, 470, dtype="i2").reshape(47, 10)
    np.save("more.npy", data)
    stores = record(monkeypatch)
    assert run(capsys, "append", "sound.zarr", "z", "--data", "more.npy")[0] == 0
    z = ndzarr.open_array("sound.zarr", path="z")
    assert z.shape == (57, 10)
    assert np.array_equal(z[10:], data)
    chunks = [r.key for r in stores[0].records if r.op.startswith("set") and "/c/" in r.key]
    assert len(chunks) == len(set(chunks)), "a chunk was written twice"
    np.save("columns.npy", np.asfortranarray(np.full((57, 2), 7, "i2")))
    status, out, _ = run(capsys, "append", "sound.zarr", "z", "--data", "columns.npy", "--axis", "-1", "--json")
    assert (status, json.loads(out)["shape"], json.loads(out)["added"]) == (0, [57, 12], 2)
    assert (ndzarr.open_array("sound.zarr", path="z")[:, 10:] == 7).all()


@pytest.mark.usefixtures("stores")
def test_append_says_how_much_it_has_added(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PIECE_NBYTES", 100)
    np.save("more.npy", np.ones((20, 10), "i2"))
    Path("more.npy").write_bytes(Path("more.npy").read_bytes()[:-50])
    status, _, err = run(capsys, "append", "sound.zarr", "z", "--data", "more.npy")
    assert status == 1
    check_line(err, "ends too early.*the first 15 of 20 rows were added")
    assert ndzarr.open_array("sound.zarr", path="z").shape == (25, 10)


@pytest.mark.usefixtures("stores")
def test_standard_input_that_is_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    status, _, err = run(capsys, "append", "sound.zarr", "z")
    assert status == 2
    check_line(err, "standard input is a terminal; pipe an .npy file into it")


@pytest.mark.usefixtures("stores")
def test_copy_and_move(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "copy", "sound.zarr", "new.zip", "--dry-run", "--json")[1])
    assert (document["dry_run"], document["nodes"]) == (True, ["", "g", "g/s", "z"])
    assert not Path("new.zip").exists()
    assert run(capsys, "copy", "sound.zarr", "new.zip", "--node", "g", "--to", "a/b")[0] == 0
    assert ndzarr.open_array("new.zip", path="a/b/s")[-1] == 12
    # In one store, an archive too.
    for store in ("sound.zarr", "new.zip"):
        node = "g" if store == "sound.zarr" else "a/b"
        assert run(capsys, "copy", store, store, "--node", node, "--to", "twin")[0] == 0
        assert run(capsys, "move", store, store, "--node", "twin", "--to", "moved")[0] == 0
        assert sorted(ndzarr.open_group(store))[-1] == ("z" if store == "sound.zarr" else "moved")
        assert ndzarr.open_array(store, path="moved/s")[0] == 1
    out = run(capsys, "copy", "sound.zarr", "new.zip", "--node", "g", "--to", "moved", "--if-exists", "skip")[1]
    assert "skipped 1 node that is there already" in out


@pytest.mark.usefixtures("stores")
def test_convert(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "convert", "sound.zarr", "old.zip", "--zarr-format", "2")[0] == 0
    old = ndzarr.open_group("old.zip")
    assert (old.zarr_format, old["g/s"].shards, old["g/s"][-1]) == (2, None, 12)
    assert run(capsys, "convert", "old.zip", "back.zarr", "--zarr-format", "3", "--shards", "none")[0] == 0
    assert np.array_equal(ndzarr.open_array("back.zarr/z")[...], ndzarr.open_array("sound.zarr/z")[...])
    assert run(capsys, "convert", "sound.zarr", "sound.zarr", "--node", "z", "--to", "big", "--chunks", "10")[0] == 0
    assert ndzarr.open_array("sound.zarr", path="big").chunks == (10, 10)


@pytest.mark.usefixtures("stores")
def test_rechunk_and_compress(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rechunk", "sound.zarr", "sound.zarr", "--node", "z", "--to", "series"]
    assert run(capsys, *words, "--chunks", "10,1", "--max-mem", "1MiB", "--zarr-format", "2")[0] == 0
    series = ndzarr.open_array("sound.zarr", path="series")
    assert (series.chunks, series.zarr_format, series[9, 9]) == ((10, 1), 2, 99)
    status, _, err = run(capsys, "rechunk", "sound.zarr", "new.zarr", "--node", "z", "--chunks", "2,2", "--max-mem", "3")
    assert status == 1
    check_line(err, "needs|at least")
    check_line(run(capsys, "rechunk", "sound.zarr", "new.zarr", "--node", "z")[2], "rechunk needs --chunks")
    check_line(run(capsys, "rechunk", "sound.zarr", "new.zarr", "--chunks", "1")[2], "expected an array; name one with --node")
    ndzarr.array(np.sin(np.arange(10_000)).astype("f4"), store="waves.zarr", compressor=None)
    document = json.loads(run(capsys, "compress", "waves.zarr", "small.zarr", "--max-abs", "0.01", "--json")[1])
    assert document["attributes"]["ndzarr_compression"]["bound"]["max_abs"] == 0.01
    assert np.abs(ndzarr.open_array("small.zarr")[...] - np.sin(np.arange(10_000))).max() < 0.011
    assert run(capsys, "compress", "waves.zarr", "bits.zarr", "--keep-bits", "auto")[0] == 0


@pytest.mark.usefixtures("stores")
def test_diff_has_the_status_of_diff(capsys: pytest.CaptureFixture[str]) -> None:
    ndzarr.convert("sound.zarr", "other.zarr", chunks=3, shards=None)
    assert run(capsys, "diff", "sound.zarr", "other.zarr")[0] == 0
    assert run(capsys, "diff", "sound.zarr", "other.zarr", "--strict")[0] == 1
    ndzarr.open_array("other.zarr/z", "r+")[3, 4] += 2
    status, out, err = run(capsys, "diff", "sound.zarr", "other.zarr")
    assert (status, err) == (1, "")
    assert "z: values: 1 of 100 differ, by up to 2" in out
    assert run(capsys, "diff", "sound.zarr", "other.zarr", "--atol", "2")[0] == 0
    assert run(capsys, "diff", "sound.zarr", "other.zarr", "--node", "g")[0] == 0
    assert run(capsys, "diff", "sound.zarr", "sound.zarr", "--node", "z", "--to", "g/s")[0] == 1
    assert run(capsys, "diff", "sound.zarr", "other.zarr", "--atol", "nan")[0] == 2
    ndzarr.consolidate("other.zarr")
    digests = [run(capsys, "digest", store, "g")[1] for store in ("sound.zarr", "other.zarr")]
    assert digests[0] == digests[1]
    assert run(capsys, "digest", "sound.zarr", "z", "--algorithm", "md5")[1].startswith("md5:")
    check_line(run(capsys, "digest", "sound.zarr", "z", "--algorithm", "nonsense")[2], "nonsense")


def test_urls_and_options(capsys: pytest.CaptureFixture[str], stores: Path) -> None:
    url = f"sqlite:///{stores / 's.db'}"
    assert run(capsys, "copy", "sound.zarr", url)[0] == 0
    assert run(capsys, "head", f"file://{stores}/sound.zarr", "z")[1] == run(capsys, "head", url, "z")[1]
    assert run(capsys, "copy", "sound.zarr", url, "--to", "x", "--target-option", "table=other")[0] == 0
    assert json.loads(run(capsys, "ls", url, "x", "-o", "table=other", "--json")[1])["path"] == "x"
    assert run(capsys, "check", url, "x", "-o", "table=other")[0] == 0


# ---- the terminal ----------------------------------------------------------------------------------

ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")},
    "PYTHONPATH": str(TOP),
    "PYTHONUTF8": "1",
    "TERM": "xterm-256color",
}
COMMAND = [sys.executable, "-m", "ndzarr"]
COLOUR = re.compile(r"\x1b\[(?:\d;)?3\dm")


@pytest.fixture
def terminal() -> Callable[..., tuple[int, str, str]]:
    """Runs a command whose standard error is a terminal, and with `both` its output too: status, output, error."""
    if os.name == "nt":
        pytest.skip("Windows has no pseudo-terminals")
    import pty

    def run(*arguments: str, both: bool = False, **environment: str) -> tuple[int, str, str]:
        ours, theirs = pty.openpty()
        try:
            out = theirs if both else subprocess.PIPE
            with subprocess.Popen(
                [*COMMAND, *arguments], env={**ENVIRONMENT, **environment}, stdout=out, stderr=theirs
            ) as process:
                os.close(theirs)
                shown = b""
                while True:
                    try:
                        data = os.read(ours, 1 << 16)
                    except OSError:  # Linux, where nobody has the other end
                        break
                    if not data:
                        break
                    shown += data
                rest = process.stdout.read() if process.stdout else b""
        finally:
            os.close(ours)
        return process.returncode, rest.decode(), shown.decode()

    return run


@pytest.mark.usefixtures("stores")
def test_a_bar_on_a_terminal_and_none_in_a_pipe(terminal: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = terminal("copy", "sound.zarr", "a.zarr")
    assert status == 0
    assert out.startswith("copied 4 nodes")
    assert "copy" in err
    assert "\x1b[?25l" in err  # the cursor is hidden while there is a bar, and shown again
    assert "\x1b[?25h" in err
    assert terminal("copy", "sound.zarr", "b.zarr", "--quiet") == (0, out, "")
    done = subprocess.run([*COMMAND, "copy", "sound.zarr", "c.zarr"], env=ENVIRONMENT, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, out, b"")
    _, _, err = terminal("copy", "sound.zarr", "d.zarr", NO_COLOR="1")
    assert "copy" in err
    assert not COLOUR.search(err)


@pytest.mark.usefixtures("stores")
def test_colours(terminal: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert COLOUR.search(terminal("tree", "sound.zarr", both=True)[2])
    for arguments, environment in ((["--color", "never"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})):
        assert "\x1b" not in terminal("tree", "sound.zarr", *arguments, both=True, **environment)[2]
    plain = run(capsys, "info", "sound.zarr")[1]
    coloured = run(capsys, "info", "sound.zarr", "--color", "always")[1]
    assert COLOUR.search(coloured)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "NO_COLOR" not in os.environ


@pytest.mark.usefixtures("stores")
def test_npy_is_not_written_to_a_terminal(terminal: Callable[..., tuple[int, str, str]]) -> None:
    status, _, shown = terminal("dump", "sound.zarr", "z", "--npy", both=True)
    assert status == 2
    assert "standard output is a terminal; redirect it" in shown


@pytest.mark.usefixtures("stores")
def test_as_a_process() -> None:
    done = subprocess.run([*COMMAND, "tree", "sound.zarr"], env=ENVIRONMENT, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run([*COMMAND, "info", "nowhere"], env=ENVIRONMENT, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_a_reader_that_has_enough() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run([*COMMAND, "codecs"], env=ENVIRONMENT, stdout=write_end, stderr=subprocess.PIPE, timeout=120)
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys; from ndzarr.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'numpy', 'rich', 'dask', 'fsspec'} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, timeout=120)
    assert done.stderr == b"[]\n"


# ---- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", {"info", "tree", "copy", "completion", "--version"}),
        ("in", {"info"}),
        ("copy --if-exists ", {"raise", "skip", "replace"}),
        ("dump --", {"--json", "--npy", "--index", "--header", "--color"}),
        ("completion ", {"bash", "zsh", "fish"}),
        ("create x --access = ", {"maps", "series", "balanced"}),  # as bash takes --access=m apart
        ("create x --access = m", {"maps"}),
        ("info sou", {"sound.zarr"}),
        ("info my", {"my store.zarr"}),
    ],
)
@pytest.mark.usefixtures("stores")
def test_completion_in_bash(capsys: pytest.CaptureFixture[str], words: str, found: set[str]) -> None:
    bash = shutil.which("bash")
    assert bash, "every CI machine has bash"
    Path("my store.zarr").mkdir()
    script = run(capsys, "completion", "bash")[1]
    typed = ["ndzarr", *words.split(" ")]
    quoted = " ".join(f"'{word}'" for word in typed)
    asked = f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(typed) - 1}; _ndzarr; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    said = set(done.stdout.splitlines())
    assert said >= found
    assert all(word.startswith(typed[-1]) for word in said)


def test_completion_in_bash_when_nothing_follows_the_sign(capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    assert bash
    script = run(capsys, "completion", "bash")[1]
    asked = script + "COMP_WORDS=(ndzarr create x --access =); COMP_CWORD=4; _ndzarr\necho ${COMPREPLY[@]}"
    assert subprocess.run([bash, "-c", asked], capture_output=True, timeout=60).stdout == b"maps series balanced\n"


def test_completion_in_zsh_loads_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a .zshrc, as on macOS, there is no compdef; and `--access=m` is completed as `--access m` is."""
    script = run(capsys, "completion", "zsh")[1]
    assert script.index("autoload -Uz compinit && compinit") < script.index("\ncompdef _ndzarr")
    assert "'--access=[" in script
    assert "'*--attribute=[" in script
    assert "'--json[" in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    script = run(capsys, "completion", shell)[1]
    assert ("-l version" if shell == "fish" else "--version") in script
    for name, (command, _) in commands(make_parser()).items():
        assert re.search(rf"\b{name}\b", script)
        for action in command._actions:
            for flag in action.option_strings:
                written = flag if shell != "fish" else f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                assert written in script, (name, flag)
    program = shutil.which(shell)
    if program:  # its own parser takes it
        assert subprocess.run([program, "-n"], input=script, text=True, capture_output=True, timeout=60).returncode == 0
