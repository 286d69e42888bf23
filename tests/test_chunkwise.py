"""Going by chunks: each is met once, in C order where it is iterated, and results come to its place."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.crew import processors
from ndzarr.testing import expressions
from ndzarr.testing.expressions import RandomChoices


def same(a: Any, b: Any) -> bool:
    alike = np.array_equal(a, b) if a.dtype.kind == "T" else a.tobytes() == b.tobytes()
    return (a.shape, a.dtype) == (b.shape, b.dtype) and alike


def test_chunks_of_every_layout() -> None:
    for number in range(150):
        sample = expressions.sample(RandomChoices(f"chunkwise-{number}"))
        z = ndzarr.create_array(**sample.keywords)
        sample.fill_into(z)
        whole = z[...]
        seen = np.zeros(z.shape, int)
        starts = []
        for box, chunk in z.iter_chunks():
            assert type(chunk) is np.ndarray
            assert same(chunk, whole[box] if box else whole)
            assert all(s.step == 1 and 0 <= s.start < s.stop <= n for s, n in zip(box, z.shape, strict=True))
            seen[box] += 1
            starts.append(tuple(s.start for s in box))
        assert (seen == 1).all()
        assert starts == sorted(starts)
        assert len(starts) == z.nchunks
        assert same(z.map_chunks(lambda chunk: chunk), whole)


def test_iteration_is_lazy() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(10**9, 10**9), chunks=(10, 10), dtype="i4")
    store.clear()
    chunks = z.iter_chunks()
    assert store.log == []
    box, chunk = next(chunks)
    assert box == (slice(0, 10, 1), slice(0, 10, 1))
    assert chunk.shape == (10, 10)
    next(chunks)
    assert len(store.log) == 2


def test_edge_chunks_are_cut() -> None:
    z = ndzarr.array(np.arange(35).reshape(5, 7), chunks=(2, 4))
    shapes = [chunk.shape for _, chunk in z.iter_chunks()]
    assert shapes == [(2, 4), (2, 3), (2, 4), (2, 3), (1, 4), (1, 3)]
    seen = []

    def f(chunk: np.ndarray) -> np.ndarray:
        seen.append(chunk.shape)
        return chunk

    z.map_chunks(f)
    assert sorted(seen) == sorted(shapes)


@pytest.mark.parametrize("workers", [1, 4])
def test_results_equal_numpy(workers: int, tmp_path: Path) -> None:
    a = np.random.default_rng(0).integers(-99, 99, (70, 50))
    z = ndzarr.array(a, store=tmp_path / "a", chunks=(8, 9))
    with ndzarr.options(workers=workers):
        assert np.array_equal(z.map_chunks(np.square), a**2)
        halves = z.map_chunks(lambda chunk: chunk / 2)
        assert halves.dtype == np.float64
        assert np.array_equal(halves, a / 2)
        small = z.map_chunks(np.sign, dtype="i1")
        assert small.dtype == np.int8
        assert np.array_equal(small, np.sign(a))
        # Chunks of the target lie across those of the source.
        out = ndzarr.create_array(tmp_path / "out", shape=a.shape, chunks=(5, 50), dtype="i4")
        assert z.map_chunks(np.negative, out=out) is out
        assert np.array_equal(out[...], -a)
        plain = np.zeros(a.shape)
        assert z.map_chunks(np.abs, out=plain) is plain
        assert np.array_equal(plain, np.abs(a))
        # In place.
        again = ndzarr.open_array(tmp_path / "a", "r+")
        again.map_chunks(lambda chunk: chunk + 1, out=again)
        assert np.array_equal(again[...], a + 1)


def test_threads_share_the_chunks() -> None:
    z = ndzarr.ones((64,), chunks=1, dtype="i4")
    met = threading.Barrier(2)
    names = set()

    def f(chunk: np.ndarray) -> np.ndarray:
        if len(names) < 2:
            names.add(threading.current_thread().name)
            met.wait(20)
        return chunk

    with ndzarr.options(workers=1):
        z.map_chunks(lambda chunk: chunk)
    if processors() < 2:
        pytest.skip("one processor")
    # The first chunk comes before all others, for the dtype: given an `out` there is no first.
    out = np.zeros(64)
    with ndzarr.options(workers=2):
        z.map_chunks(f, out=out)
    assert len(names) == 2
    assert (out == 1).all()


def test_what_f_gives_is_checked() -> None:
    z = ndzarr.array(np.arange(12).reshape(3, 4), chunks=(2, 2))
    for f in (lambda chunk: chunk[:1], lambda chunk: chunk.sum(), lambda chunk: None, lambda chunk: chunk[..., None]):
        for out in (None, np.zeros((3, 4))):
            with pytest.raises(ndzarr.ArgumentError, match="shape"):
                z.map_chunks(f, out=out)
    with pytest.raises(ndzarr.ArgumentError, match="out has shape"):
        z.map_chunks(lambda chunk: chunk, out=np.zeros((4, 3)))
    with pytest.raises(ndzarr.ArgumentError, match="pass dtype="):
        z.map_chunks(lambda chunk: chunk if chunk[0, 0] == 0 else chunk / 2)
    assert z.map_chunks(lambda chunk: chunk if chunk[0, 0] == 0 else chunk / 2, dtype=float)[2, 3] == 5.5
    with pytest.raises(ndzarr.ReadOnlyError):
        z.map_chunks(lambda chunk: chunk, out=ndzarr.ZArray(z.store, "", z.metadata))


def test_errors_of_f_stop_it() -> None:
    z = ndzarr.ones((1000,), chunks=1, dtype="i4")
    calls = []

    def f(chunk: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 20:
            raise ZeroDivisionError("mine")
        return chunk

    with pytest.raises(ZeroDivisionError, match="mine"):
        z.map_chunks(f)
    assert len(calls) < 100


def test_no_elements() -> None:
    z = ndzarr.create_array(shape=(0, 4), chunks=(2, 2), dtype="i4")
    assert list(z.iter_chunks()) == []
    found = z.map_chunks(lambda chunk: chunk / 2)
    assert (found.shape, found.dtype) == ((0, 4), np.float64)
    scalar = ndzarr.array(5)
    assert [(box, chunk.tolist()) for box, chunk in scalar.iter_chunks()] == [((), 5)]
    assert scalar.map_chunks(lambda chunk: chunk + 1).tolist() == 6
    out = ndzarr.zeros((), dtype="i4")
    scalar.map_chunks(lambda chunk: chunk + 1, out=out)
    assert out[...] == 6


def test_masks_come_along() -> None:
    z = ndzarr.create_array(shape=(6,), chunks=(2,), dtype="i4")
    z[2:4] = [5, 6]
    z = ndzarr.open_array(z.store, missing="mask")
    assert z.map_chunks(lambda chunk: chunk * 2).tolist() == [None, None, 10, 12, None, None]
    assert [chunk.tolist() for _, chunk in z.iter_chunks()] == [[None, None], [5, 6], [None, None]]


def test_a_result_that_is_too_large_is_refused() -> None:
    z = ndzarr.zeros((1000, 1000), chunks=(100, 100))
    with ndzarr.options(max_result=1000_000), pytest.raises(ndzarr.MemoryLimitError, match="out="):
        z.map_chunks(lambda chunk: chunk)
