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


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_it_runs(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(ndzarr.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-W", "ignore:.*consolidated:UserWarning", str(FOLDER / name)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert SAYS[name] in done.stdout
    assert list(tmp_path.iterdir()) == []


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
