"""`progress=` of every verb that goes over many chunks, and `options(progress=)` for NumPy's functions."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import progress
from ndzarr.streaming import pieces


class Heard(list[tuple[int, int]]):
    """What a progress function was called with."""

    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))

    def check(self, total: int | None = None) -> None:
        """It counts up without a gap, to the total that it said from the beginning."""
        assert self
        assert total is None or self[0][1] == total
        assert {said for _, said in self} == {self[0][1]}
        done = [done for done, _ in self]
        assert done == sorted(set(done))
        assert done[-1] == self[0][1]


def filled(store: Any = None, **create: Any) -> ndzarr.ZArray:
    z = ndzarr.create_array(store, **{"shape": (40, 30), "chunks": (10, 10), "dtype": "i4", "fill_value": 0, **create})
    z[...] = np.arange(1, z.size + 1).reshape(z.shape)
    return z


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        ({}, 12),  # copied as they are, chunk by chunk
        ({"shards": (20, 30)}, 2),  # into shards
        ({"compressor": None}, 1),  # decoded and encoded, all in one block
        ({"zarr_format": 2}, 12),
    ],
)
def test_convert(changes: dict[str, Any], total: int) -> None:
    z, heard = filled(), Heard()
    made = ndzarr.convert(z, None, progress=heard, **changes)
    heard.check(total)
    assert np.array_equal(made[...], z[...])


def test_convert_of_a_group_counts_all_of_it() -> None:
    g, heard = ndzarr.create_group(None), Heard()
    for name in ("a", "b/c", "b/d"):
        filled(g.store, path=name)
    g.create_array("empty", shape=(100,), chunks=(1,), dtype="i4")
    made = ndzarr.convert(g, None, progress=heard)
    heard.check(36)
    assert np.array_equal(made["b/c"][...], g["b/c"][...])


def test_convert_refuses_a_group_before_any_chunk_is_written() -> None:
    g, target = ndzarr.create_group(None), ndzarr.MemoryStore()
    filled(g.store, path="a")
    ndzarr.create_array(g.store, path="b", shape=(3,), chunks=([1, 2],), dtype="i4")
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.convert(g, target, zarr_format=2)
    assert not [key for key in target.list() if key.rpartition("/")[2][:1].isdigit()]


def test_what_the_function_raises_ends_the_work() -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyError("enough")

    z, target = filled(), ndzarr.MemoryStore()
    with pytest.raises(KeyError, match="enough"):
        ndzarr.convert(z, target, progress=stop)
    assert len([key for key in target.list() if key.startswith("c/")]) == 3
    with pytest.raises(KeyError, match="enough"), ndzarr.options(progress=stop, working_memory=1 << 10):
        np.sum(z)


@pytest.mark.parametrize("count", [1, 3])
def test_save(count: int) -> None:
    arrays = [np.arange(n * 1000.0).reshape(n, 1000) for n in range(1, count + 1)]
    heard, target = Heard(), {}
    ndzarr.save(target, *arrays, progress=heard)
    heard.check(sum(a.nbytes for a in arrays))
    found = ndzarr.load(target)
    for n, a in enumerate(arrays):
        assert np.array_equal(found if count == 1 else found[f"arr_{n}"], a)


def test_save_writes_the_same_with_and_without() -> None:
    data = filled(shards=(20, 30))
    plain, told, scalar = {}, {}, {}
    ndzarr.save(plain, data)
    ndzarr.save(told, data, progress=Heard())
    assert {k: bytes(v) for k, v in plain.items()} == {k: bytes(v) for k, v in told.items()}
    ndzarr.save(scalar, 7, progress=Heard())
    assert ndzarr.load(scalar) == 7


def test_save_takes_an_array_named_progress() -> None:
    target = {}
    ndzarr.save(target, progress=[1, 2, 3])
    assert ndzarr.load(target)["progress"].tolist() == [1, 2, 3]


def test_pieces_are_whole_objects() -> None:
    z = ndzarr.create_array(None, shape=(100, 70), chunks=(5, 10), shards=(20, 30), dtype="i4")
    for nbytes in (1, 20 * 30 * 4, 20 * 60 * 4, 10**9):
        cut = pieces(z, nbytes)
        assert all(stop % 20 in (0, 100) for stop in cut.stops[0])
        assert all(stop % 30 == 0 or stop == 70 for stop in cut.stops[1])
        seen = np.zeros(z.shape, int)
        for box in cut.boxes():
            seen[box] += 1
            assert seen[box].nbytes // 2 <= max(nbytes, 20 * 30 * 4)
        assert (seen == 1).all()


@pytest.mark.usefixtures("zarr_format")
def test_consolidate() -> None:
    g, heard = ndzarr.create_group(None), Heard()
    for n in range(5):
        g.create_array(f"a{n}", shape=(1,), dtype="i4")
    ndzarr.consolidate(g.store, progress=heard)
    heard.check()
    assert len(heard) >= 5


WHOLE = {"working_memory": 1 << 12, "workers": 2}


@pytest.mark.parametrize(
    "function",
    [np.sum, lambda z: np.mean(z, 0), np.argmax, np.add.reduce, lambda z: np.add(z, 1), lambda z: np.cumsum(z, 0), np.unique],
    ids=["sum", "mean", "argmax", "add.reduce", "add", "cumsum", "unique"],
)  # fmt: skip
def test_functions(function: Callable[[Any], Any]) -> None:
    z, heard = filled(shape=(80, 60)), Heard()
    with ndzarr.options(progress=heard, **WHOLE):
        found = function(z)
    heard.check()
    assert heard[0][1] >= 8
    assert np.array_equal(found, function(z[...]))


@pytest.mark.parametrize(
    "function", [lambda z: np.median(z, 0), lambda z: np.sort(z, 0), lambda z: z @ z[...].T, np.histogram, np.cov, np.diff]
)
def test_functions_that_go_over_it_more_than_once_begin_again(function: Callable[[Any], Any]) -> None:
    z, heard = filled(shape=(80, 60)), Heard()
    with ndzarr.options(progress=heard, **WHOLE):
        function(z)
    begins = [n for n, (done, _) in enumerate(heard) if n == 0 or done <= heard[n - 1][0]] + [len(heard)]
    for start, stop in pairwise(begins):
        Heard(heard[start:stop]).check()


def test_options_know_what_progress_is() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="progress is 3"), ndzarr.options(progress=3):
        pass
    assert ndzarr.Options().progress is None


def test_calls_never_overlap() -> None:
    inside = threading.Lock()

    def tell(done: int, total: int) -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    with ndzarr.options(progress=tell, **WHOLE):
        np.sum(filled(shape=(200, 200), compressor="zlib"))


def test_a_line_is_drawn_seldom_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.meter(True, 100_000, "copy") as told:
        for _ in range(100_000):
            told(1)
    err = capsys.readouterr().err
    assert err.endswith("\rcopy: 100,000 of 100,000\n")
    assert err.count("\r") < 1000


def test_of_two_bars_one_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.meter(True, 1, "outer") as outer, progress.meter(True, 1, "inner") as inner:
        inner(1)
        outer(1)
    assert capsys.readouterr().err == "\router: 1 of 1\n"
    with pytest.raises(KeyError), progress.meter(True, 1, "fails"):
        raise KeyError
    with progress.meter(True, 1, "after") as told:
        told(1)
    assert "after: 1 of 1" in capsys.readouterr().err


def test_nothing_to_show_brings_no_library() -> None:
    code = (
        "import sys, ndzarr; z = ndzarr.ones((9,), chunks=(2,)); ndzarr.copy(z, None); ndzarr.convert(z, None); "
        "sys.exit('rich' in sys.modules or 'tqdm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
