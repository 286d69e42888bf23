"""The scripts of docs/examples: each runs as it stands, the codecs pass the suite for codecs and the store that for stores."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import CodecSpec
from ndzarr.testing import CodecSuite, StoreSuite

FOLDER = Path(__file__).parents[1] / "docs" / "examples"
#: What a line of each must say.
SAYS = {
    "interoperability.py": "ndzarr       -> zarr         518400 bytes, the same",
    "journal_store.py": "(25, 100) [ 0.  6. 12. 18. 24.]",
    "run_length.py": "1000000 bytes are stored as 11132",
    "zigzag.py": "delta + zigzag + zlib ",
}


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that what is in it pickles
    spec.loader.exec_module(module)
    return module


run_length, zigzag, journal_store = load("run_length"), load("zigzag"), load("journal_store")


def run(name: str, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(ndzarr.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-W", "error", "-W", "ignore:.*consolidated:UserWarning", str(FOLDER / name), *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_none_is_forgotten() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.py")) == sorted([*SAYS, "from_hdf5.py"])


@pytest.mark.parametrize("name", sorted(SAYS))
def test_it_runs(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert SAYS[name] in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_hdf5_file_becomes_a_hierarchy(tmp_path: Path) -> None:
    if importlib.util.find_spec("h5py") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("h5py is missing; `pip install '.[test]'` has it")
    import h5py

    values = np.random.default_rng(0).normal(size=(300, 400)).astype("f4")
    points = np.array([(1, 0.5), (2, 1.5)], [("id", "i4"), ("x", "f8")])
    with h5py.File(tmp_path / "old.h5", "w") as f:
        f.attrs["title"] = "a run"
        f.create_dataset("run/t", data=values, chunks=(10, 20), compression="gzip", fillvalue=-1).attrs["units"] = "K"
        f["run/t"].attrs["range"] = [1.5, 2.5]
        f["run/y"] = np.arange(300.0)
        f["run/y"].make_scale("y")
        f["run/t"].dims[0].attach_scale(f["run/y"])
        f["run/points"] = points
        f["run/names"] = ["Oslo", "Lima", "K\u00f8benhavn"]
        f["run/scalar"] = 7
        f["run/nothing"] = h5py.Empty("f4")
        f["run/pointer"] = f["run"].ref
        f["run/t"].attrs["pointer"] = f["run"].ref
        f["run/none_yet"] = np.zeros((0, 3), ">i2")
    done = run("from_hdf5.py", tmp_path, "old.h5", "new.zarr")
    assert done.returncode == 0, done.stderr
    told = [f"left out: {name}" for name in ("/run/nothing", "/run/pointer", "/run/t@pointer")]
    assert sorted(done.stderr.splitlines()) == told
    g = ndzarr.open(tmp_path / "new.zarr")
    assert dict(g.attrs) == {"title": "a run"}
    t = g["run/t"]
    assert dict(t.attrs) == {"units": "K", "range": [1.5, 2.5]}
    assert (t.dtype, t.fill_value, t.dimension_names) == (np.dtype("f4"), -1, ("y", None))
    assert np.prod(t.chunks) * 4 >= 256 << 10
    assert [n % c for n, c in zip(t.chunks, (10, 20), strict=True)] == [0, 0]
    np.testing.assert_array_equal(t[...], values)
    np.testing.assert_array_equal(g["run/points"][...], points)
    assert g["run/names"][...].tolist() == ["Oslo", "Lima", "K\u00f8benhavn"]
    assert (g["run/scalar"][()], g["run/none_yet"].shape) == (7, (0, 3))
    assert sorted(g["run"]) == ["names", "none_yet", "points", "scalar", "t", "y"]


# ---- the codecs --------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    ndzarr.register_codec(run_length.RunLengthCodec)
    ndzarr.register_codec(zigzag.ZigzagCodec)
    yield
    ndzarr.unregister_codec("runlength")
    ndzarr.unregister_codec("zigzag")


class TestRunLength(CodecSuite):
    spec = CodecSpec("runlength")


class TestShortRuns(CodecSuite):
    spec = CodecSpec("runlength", {"longest": 3})


class TestZigzag(CodecSuite):
    spec = CodecSpec("zigzag")
    dtypes = ("|i1", "<i2", "<i4", ">i4", "<i8")


@pytest.mark.parametrize("longest", [1, 2, 7, 255])
def test_runs_of_every_length(longest: int) -> None:
    codec = run_length.RunLengthCodec(longest)
    for n in [*range(1, 20), 254, 255, 256, 509, 510, 511, 100_000]:
        data = b"\7" * n + b"\0"
        encoded = codec.encode(data)
        assert codec.decode(encoded, size=n + 1, limit=n + 1) == data
        assert len(encoded) == 2 * (-(-n // longest) + 1)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8"])
def test_the_ends_of_each_type(dtype: str) -> None:
    info = np.iinfo(dtype)
    values = np.array([0, -1, 1, -2, info.min, info.max], dtype)
    z = ndzarr.array(values, chunks=3, filters=[{"id": "zigzag"}], compressor="zlib", zarr_format=2)
    stored = np.frombuffer(b"".join(zlib.decompress(bytes(z.store.get(key))) for key in ("0", "1")), f"u{info.bits // 8}")
    assert stored.tolist() == [0, 1, 2, 3, 2**info.bits - 1, 2**info.bits - 2]
    np.testing.assert_array_equal(z[...], values)


def test_what_is_not_signed_is_refused_when_the_array_is_made() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="signed integers"):
        ndzarr.zeros(4, dtype="f4", filters=[{"id": "zigzag"}])


# ---- the store ---------------------------------------------------------------------------------------------------------------


class TestJournal(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        store = journal_store.JournalStore(tmp_path / "all.journal")
        yield store
        store.close()


def test_readers_see_what_a_writer_adds(tmp_path: Path) -> None:
    path = tmp_path / "all.journal"
    with journal_store.JournalStore(path) as reader, journal_store.JournalStore(path) as writer:
        assert reader.get("a") is None
        writer.set("a", b"1")
        assert reader.get("a") == b"1"
        writer.set("a", b"22")
        writer.set("b", b"3")
        assert (reader.get("a"), sorted(reader.list())) == (b"22", ["a", "b"])
        writer.delete("a")
        assert (reader.get("a"), reader.size("b")) == (None, 1)


def test_a_record_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "all.journal"
    with journal_store.JournalStore(path) as store:
        store.set("a", b"first")
        whole = path.stat().st_size
        store.set("a", b"second")
        longer = path.read_bytes()
    for nbytes in range(whole, len(longer)):
        path.write_bytes(longer[:nbytes])
        with journal_store.JournalStore(path) as store:
            assert store.get("a") == b"first"
            store.set("b", b"after")
        with journal_store.JournalStore(path) as store:
            assert (store.get("a"), store.get("b")) == (b"first", b"after")
