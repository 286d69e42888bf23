"""No false alarms: `ndzarr.check` finds nothing in stores that ndzarr, zarr-python 2 and 3, tensorstore and zarrs wrote.

A store here is a directory, an archive or a database of its own; of the peers' many small ones, each with one array or a few.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr

sys.path.insert(0, str(Path(__file__).parent))
features: Any = importlib.import_module("v3_features")

Shared = Callable[[str, Callable[[Path], None]], Path]
Record = Callable[[str, object], None]
COUNT = "count: healthy stores without a false alarm"
#: Stores that ndzarr writes at random, and arrays that each peer does.
OURS, THEIRS = 120, 40
TIMEOUT_S = 600
PEERS = {"zarr-python": "zarr", "tensorstore": "common", "zarrs": "real"}


def alarms(target: Any, path: str = "") -> list[str]:
    """What a check says of a healthy store; notes are no alarm, and there are none but of files that are none of Zarr's."""
    report = ndzarr.check(target, path)
    return [
        f"{target} {path}: {f.kind} {f.where}: {f.message}" for f in report.findings if f.kind not in ("other", "unchecked")
    ]


# ---- by ndzarr ------------------------------------------------------------------------------------------------------

DTYPES = [
    "i1", "u2", "i4", ">i4", "f2", "f4", "f8", "c8", "?", "U5", "S3", "M8[s]", "m8[ms]", "V4",
    [("a", "i4"), ("b", "f8")], [("x", "u1"), ("y", "S4"), ("z", "<i2")],
]  # fmt: skip
CODECS: list[dict[str, Any]] = [
    {}, {"compressor": None}, {"compressor": "zstd"}, {"compressor": "gzip"}, {"compressor": "blosc"}, {"compressor": "lz4"},
    {"compressor": None, "checksum": True}, {"checksum": True}, {"order": "F"}, {"compressor": "bz2"}, {"compressor": "lzma"},
]  # fmt: skip


def build(rng: random.Random, store: Any) -> None:
    """A hierarchy at random, with what happens to arrays: written in part, shrunk, grown, overwritten, deleted."""
    zarr_format = rng.choice([2, 3])
    root = ndzarr.create_group(store, zarr_format=zarr_format, attributes={"n": rng.random()})
    consolidated = rng.random() < 0.5
    if consolidated and rng.random() < 0.5:
        ndzarr.consolidate(store)  # kept true by what follows
    for number in range(rng.randint(1, 5)):
        path = rng.choice(["a", "b/c", "b/d/e", "x.y", "0", "c", "deep/er/still"]) + str(number)
        array(rng, root, path, zarr_format)
    if rng.random() < 0.3:
        root.create_group("nothing/in/it")
    if rng.random() < 0.3:
        array(rng, root, "away", zarr_format)
        del root["away"]
    if consolidated:
        ndzarr.consolidate(store)


def array(rng: random.Random, root: ndzarr.Group, path: str, zarr_format: int) -> None:
    ndim = rng.choice([0, 1, 1, 2, 2, 3])
    shape = tuple(rng.choice([0, 1, rng.randint(1, 20), rng.randint(1, 20)]) for _ in range(ndim))
    chunks: Any = tuple(rng.randint(1, max(1, n + 2)) for n in shape)
    options = dict(rng.choice(CODECS))
    dtype: Any = rng.choice(DTYPES)
    kind = rng.random()
    if kind < 0.15 and ndim:
        dtype = str if zarr_format == 3 else object
        options = {"filters": ["vlen-utf8"]} if zarr_format == 2 else {}
    elif zarr_format == 3 and kind < 0.4 and ndim:
        options["shards"] = tuple(c * rng.randint(1, 3) for c in chunks)
        if kind < 0.2:
            inner = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 1}}]
            codec = {"name": "sharding_indexed", "configuration": {"chunk_shape": [1] * ndim, "codecs": inner}}
            options = {"filters": [codec], "compressor": None, "shards": options["shards"]}
            dtype = "f4"
    elif zarr_format == 3 and kind < 0.5 and ndim and 0 not in shape:
        cut = rng.randint(1, shape[0])
        chunks = ([cut, shape[0] - cut] if cut < shape[0] else [cut], *chunks[1:])
    if dtype == "V4" or (zarr_format == 3 and isinstance(dtype, list)):
        options.pop("order", None)
    if rng.random() < 0.3 and "." not in path:
        options["dimension_separator"] = rng.choice("./")
    z = root.create_array(path, shape=shape, chunks=chunks, dtype=dtype, **options)
    z[...] = values(rng, shape, dtype)
    if ndim and shape[0] and isinstance(chunks[0], int):
        for length in (rng.randint(0, 30), rng.randint(0, 30)):
            if rng.random() < 0.5:
                z.resize((length, *shape[1:]))
        if rng.random() < 0.5 and z.shape[0]:
            z[: rng.randint(1, z.shape[0])] = values(rng, (), dtype)[()] if dtype not in (str, object) else "again"
    if rng.random() < 0.3:
        z.attrs["units"] = "K"


def values(rng: random.Random, shape: tuple[int, ...], dtype: Any) -> Any:
    made = np.random.default_rng(rng.randint(0, 1 << 30))
    if dtype in (str, object):
        found = np.empty(shape, object)
        for n in range(found.size):
            found.flat[n] = rng.choice(["", "a", "größer", "x" * 50])
        return found
    return made.integers(0, 3, shape).astype(dtype) if not isinstance(dtype, list) and dtype != "V4" else np.zeros(shape, dtype)


@pytest.mark.parametrize("kind", ["directory", "zip", "sqlite"])
def test_what_ndzarr_wrote(kind: str, tmp_path: Path, record_property: Record) -> None:
    said: list[str] = []
    arrays = 0
    for seed in range(OURS // 3):
        rng = random.Random(f"{kind} {seed}")
        target: Any = {
            "directory": tmp_path / f"{seed}.zarr",
            "zip": tmp_path / f"{seed}.zip",
            "sqlite": f"sqlite:///{tmp_path / f'{seed}.db'}",
        }[kind]
        if kind == "zip":
            with ndzarr.ZipStore(target, "w") as store:
                build(rng, store)
        else:
            build(rng, target)
        said += alarms(target)
        arrays += ndzarr.check(target, decode=False).arrays
    record_property(COUNT, OURS // 3)
    record_property("count: arrays in healthy stores that ndzarr wrote", arrays)
    assert not said, "\n".join(said)


# ---- by others ------------------------------------------------------------------------------------------------------


def run(python: str, script: str, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [python, str(Path(__file__).with_name(script)), *arguments],
        capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", PEERS)
def test_what_peers_wrote_in_format_3(
    name: str, interpreter: Callable[[str], str], tmp_path: Path, record_property: Record
) -> None:
    """Written, and written into once more, so that tensorstore leaves its locks."""
    cases = f"{PEERS[name]}7:{THEIRS}"
    out = run(interpreter("zarr3"), "peer_v3.py", name, f"write:{cases}:{tmp_path}", f"change:{cases}:{tmp_path}")
    written, changed = json.loads(out)["reports"]
    healthy = [path for path in written if written[path] == changed[path] == "ok"]
    assert len(healthy) > THEIRS // 2
    said = [text for path in healthy for text in alarms(tmp_path / path)]
    assert not said, "\n".join(said)
    record_property(COUNT, len(healthy))


@pytest.mark.once
@pytest.mark.parametrize("name", ["zarr2", "zarr3"])
def test_what_zarr_python_wrote_in_format_2(
    name: str, interpreter: Callable[[str], str], shared: Shared, record_property: Record
) -> None:
    """Each family of arrays is a group of its own; beside them the whole hierarchy, and one with consolidated metadata."""

    def write(root: Path) -> None:
        run(interpreter(name), "peer.py", "write", str(root))

    root = shared(f"checked-{name}", write)
    manifest = json.loads((root / "manifest.json").read_text("utf-8"))
    failed = {entry["family"] for entry in manifest["arrays"] if "error" in entry}
    families = sorted({entry["family"] for entry in manifest["arrays"]} - failed)
    assert len(families) > 50
    said = [text for family in families for text in alarms(root / family)]
    assert not said, "\n".join(said)
    record_property(COUNT, len(families))
    # Among the names of families some are the same but for case, which is told, and rightly.
    whole = [text for text in alarms(root) if not any(family in text for family in failed)]
    assert [text for text in whole if ": collision " not in text] == []


SCRIPT = """
import sys, warnings, numpy as np, zarr
warnings.simplefilter("ignore")
root = sys.argv[1]
two = zarr.__version__.startswith("2")
for number in range(6):
    place = f"{root}/{number}"
    store = (zarr.DirectoryStore if two else zarr.storage.LocalStore)(place)
    if number % 3 == 2:
        store = (zarr.ZipStore if two else zarr.storage.ZipStore)(place + ".zip", mode="w")
    options = {} if two else {"zarr_format": 2 + number % 2}
    g = zarr.open_group(store, mode="w", **options)
    for path in ("a", "b/c", "b/d"):
        make = g.create_dataset if two else g.create_array
        z = make(path, shape=(20, 7), chunks=(6, 3), dtype="f4")
        z[:] = np.random.rand(20, 7)
        if number % 3 != 2:
            z.resize((30, 7)); z.resize((11, 7)); z.append(np.ones((5, 7), "f4"))
    if number % 3 == 2:  # where a document written again would be there twice
        store.close()
        continue
    g.attrs["title"] = "a group"
    if number % 2:
        zarr.consolidate_metadata(store)
"""


@pytest.mark.parametrize("name", ["zarr2", "zarr3"])
def test_hierarchies_of_zarr_python(
    name: str, interpreter: Callable[[str], str], tmp_path: Path, record_property: Record
) -> None:
    """Resized, appended to, in archives, and consolidated; directory members of archives too."""
    script = tmp_path / "write.py"
    script.write_text(SCRIPT, "utf-8")
    (tmp_path / "made").mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    subprocess.run([interpreter(name), str(script), str(tmp_path / "made")], check=True, env=environment, timeout=TIMEOUT_S)
    places = sorted((tmp_path / "made").iterdir())
    assert len(places) == 6
    with zipfile.ZipFile(tmp_path / "made" / "tree.zip", "w") as archive:
        for path in sorted((tmp_path / "made" / "0").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "made" / "0"))
    places.append(tmp_path / "made" / "tree.zip")
    said = [text for place in places for text in alarms(place)]
    assert not said, "\n".join(said)
    record_property(COUNT, len(places))
