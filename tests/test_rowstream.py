"""`ZArray.stream`, `ZArray.extend` and `write_stream`: rows in order, memory bounded, objects written once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr
from ndzarr import crew, rowstream


@pytest.fixture(autouse=True)
def _some_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "processors", lambda: 3)  # threads even where there is one processor


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, int, dict[str, Any], list[int]]:
    """Data, an axis, a grid, and where the blocks of an iterator end."""
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = draw(st.integers(0, 25))
    dtype = draw(st.sampled_from(["i4", "f8", "S3", "T", "?"]))
    data = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 3, shape).astype("T" if dtype == "T" else "i4")
    chunks = tuple(draw(st.integers(1, 5)) for _ in shape)
    grid: dict[str, Any] = {"chunks": chunks}
    if draw(st.booleans()):
        grid["shards"] = tuple(c * draw(st.integers(1, 3)) for c in chunks)
    ends = sorted(draw(st.lists(st.integers(0, shape[axis]), max_size=6)))
    return data.astype(dtype), axis, grid, [*ends, shape[axis]]


def cut(data: Any, axis: int, ends: list[int]) -> Iterator[Any]:
    for a, b in zip([0, *ends], ends, strict=False):
        yield data[(slice(None),) * (axis % data.ndim) + (slice(a, b),)].copy()


@given(cases(), st.integers(0, 3), st.sampled_from([None, 1, 4]), st.sampled_from([600, 5000, 1 << 20]))
@settings(max_examples=150, deadline=None)
def test_a_stream_is_the_array_in_order(case: Any, prefetch: int, block: Any, max_mem: int) -> None:
    data, axis, grid, _ = case
    z = ndzarr.array(data, **grid)
    row = data.itemsize * (data.size // max(1, data.shape[axis]))
    if (prefetch + 1 if block is None else min(block, data.shape[axis])) * row > max_mem:
        with pytest.raises(ndzarr.MemoryLimitError):
            z.stream(axis, block=block, max_mem=max_mem, prefetch=prefetch)
        return
    try:
        found = list(z.stream(axis, block=block, max_mem=max_mem, prefetch=prefetch))
    except ndzarr.MemoryLimitError:  # chunks count too
        return
    for box, values in found:
        np.testing.assert_array_equal(values, data[box])
        assert len(found) == 1 or values.shape[axis] * row * (1 if block else prefetch + 1) <= max_mem
    starts = [box[axis].start for box, _ in found]
    assert starts == sorted(starts)
    if data.shape[axis]:
        np.testing.assert_array_equal(np.concatenate([values for _, values in found], axis), data)
    else:
        assert found == []


@given(cases(), st.sampled_from([60_000, 1 << 20]))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_what_came_and_objects_are_written_once(case: Any, max_mem: int) -> None:
    data, axis, grid, ends = case
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.write_stream(store, cut(data, axis, ends), axis=axis, max_mem=max_mem, **grid)
    assert (z.shape, z.dtype, z.chunks, z.shards) == (data.shape, data.dtype, grid["chunks"], grid.get("shards"))
    np.testing.assert_array_equal(ndzarr.open_array(store.inner)[...], data)
    sets = Counter(r.key for r in store.records if r.op == "set" and not (r.key or "").endswith("zarr.json"))
    assert set(sets.values()) <= {1}


@given(cases(), st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_extending_what_is_there(case: Any, before: int) -> None:
    data, axis, grid, ends = case
    index = (slice(None),) * (axis % data.ndim) + (slice(0, before),)
    z = ndzarr.array(data[index], **grid)
    shape = z.extend(cut(data, axis, ends), axis)
    want = np.concatenate([data[index], data], axis)
    assert shape == z.shape == want.shape
    np.testing.assert_array_equal(z[...], want)


def test_only_the_object_that_was_begun_is_read_again() -> None:
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.array(np.arange(10), store=store, chunks=4)
    before = len(store.records)
    z.extend([np.arange(10, 13)] * 7)
    sets = Counter(r.key for r in store.records[before:] if r.op == "set" and r.key != "zarr.json")
    assert sets == {f"c/{n}": 1 for n in range(2, 8)}
    reads = {r.key for r in store.records[before:] if r.op.startswith("get") and r.key and r.key.startswith("c/") and r.nbytes}
    assert reads == {"c/2"}


@pytest.mark.parametrize("stop", [0, 1, 5, 9])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_of_the_iterator_leaves_the_rows_before_it(stop: int, error: type[BaseException]) -> None:
    def blocks() -> Iterator[Any]:
        for n in range(10):
            if n == stop:
                raise error("no more")
            yield np.full((3, 2), n)

    z = ndzarr.zeros((0, 2), chunks=(4, 2), dtype="i8")
    with pytest.raises(error, match="no more"):
        z.extend(blocks())
    want = np.repeat(np.arange(stop), 3)
    again = ndzarr.open_array(z.store)
    assert again.shape == (3 * stop, 2)
    np.testing.assert_array_equal(again[:, 0], want)
    assert z.extend([np.full((3, 2), -1)]) == (3 * stop + 3, 2)


def test_a_block_of_another_shape_is_refused_and_those_before_it_are_there() -> None:
    z = ndzarr.zeros((0, 2), chunks=(4, 2), dtype="i8")
    with pytest.raises(ndzarr.ArgumentError, match=r"block of shape \(3, 1\) along axis 0: expected \(None, 2\)"):
        z.extend([np.ones((3, 2)), np.ones((3, 1)), np.ones((3, 2))])
    assert z.shape == (3, 2)


def test_an_error_of_the_store_comes_through_and_nothing_is_shown_that_is_not_there() -> None:

    class Full(ndzarr.MemoryStore):
        def set(self, key: str, value: Any) -> None:
            if key == "c/3":
                raise ndzarr.StoreError("disk full", key=key)
            super().set(key, value)

    z = ndzarr.zeros((0,), store=Full(), chunks=100, dtype="i8")
    with pytest.raises(ndzarr.StoreError, match="disk full"):
        z.extend((np.arange(50) + 50 * n for n in range(20)), max_mem=2400)
    np.testing.assert_array_equal(ndzarr.open_array(z.store)[...], np.arange(300))


def test_the_iterator_is_not_asked_for_more_than_there_is_room_for() -> None:
    """Back-pressure: with a store that does not finish, only so many blocks are taken."""
    going = threading.Event()

    class Slow(ndzarr.MemoryStore):
        def set(self, key: str, value: Any) -> None:
            if key.startswith("c/"):
                going.wait(30)
            super().set(key, value)

    taken = []

    def blocks() -> Iterator[Any]:
        for n in range(100):
            taken.append(n)
            yield np.full(100, n, "u1")

    z = ndzarr.zeros((0,), store=Slow(), chunks=100, dtype="u1")
    worker = threading.Thread(target=lambda: z.extend(blocks(), max_mem=3000))
    worker.start()
    for _ in range(200):
        if len(taken) >= 20:
            break
        going.wait(0.01)
    going.wait(0.2)  # nothing more comes while nothing is written
    assert len(taken) <= 21  # two slabs of 1000 rows, and the block in hand
    going.set()
    worker.join()
    np.testing.assert_array_equal(z[...], np.repeat(np.arange(100, dtype="u1"), 100))


def test_reading_ahead_is_bounded_and_ends_with_the_iterator() -> None:
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.array(np.arange(1000), store=store, chunks=10)

    def read() -> int:
        return len({r.key for r in store.records[before:] if r.op.startswith("get")})

    for prefetch in (0, 1, 2):
        before = len(store.records)
        rows = z.stream(block=10, prefetch=prefetch)
        assert read() == 0
        for n in range(5):
            next(rows)
            assert n + 1 <= read() <= n + 1 + prefetch
        rows.close()
        seen = read()
        assert seen <= 5 + prefetch


def test_a_failing_read_is_raised_where_its_block_would_come() -> None:
    z = ndzarr.array(np.arange(100), chunks=10, compressor="zlib")
    z.store.set("c/3", b"damaged")
    rows = z.stream(block=10)
    assert [int(values[0]) for _, values in (next(rows), next(rows), next(rows))] == [0, 10, 20]
    with pytest.raises(ndzarr.CorruptChunkError):
        next(rows)


def test_a_buffer_that_is_used_again_does_not_matter() -> None:
    def blocks() -> Iterator[Any]:
        buffer = np.empty(7, "i8")
        for n in range(50):
            buffer[:] = n
            yield buffer

    z = ndzarr.write_stream(None, blocks(), chunks=10, max_mem=1000)
    np.testing.assert_array_equal(z[...], np.repeat(np.arange(50), 7))


def test_from_one_array_to_another_with_progress() -> None:
    z = ndzarr.array(np.arange(600).reshape(100, 6), chunks=(7, 3))
    told: list[tuple[int, int]] = []
    made = ndzarr.write_stream(None, z.stream(block=9), chunks=(20, 6), progress=lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(made[...], z[...])
    assert [done for done, _ in told] == list(range(1, 13))
    told.clear()
    for _ in z.stream(block=9, progress=lambda done, total: told.append((done, total))):
        pass
    assert told[-1] == (12, 12)
    told.clear()
    z.extend([z[:3]] * 2, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_chunks_of_rows_are_chosen() -> None:
    assert ndzarr.write_stream(None, [np.zeros((2, 16), "u1")]).chunks == (1 << 16, 16)
    large = ndzarr.write_stream(None, [np.zeros((1, 2048, 2048), "u1")])
    assert large.chunks[0] == 1
    assert 1 << 18 <= large.chunks[1] * large.chunks[2] <= 1 << 21
    sharded = ndzarr.write_stream(None, [np.zeros((2, 16), "u1")], chunks=(4, 16), shards="auto", max_mem="1GiB")
    assert sharded.shards is not None
    assert sharded.shards[1] == 16


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda z: z.stream(axis=2), "axis 2 is out of bounds"),
        (lambda z: z.stream(block=0), "block is 0"),
        (lambda z: z.stream(prefetch=-1), "prefetch is -1"),
        (lambda z: z.stream(max_mem="much"), "max_mem is 'much'"),
        (lambda z: z.extend([], axis=-3), "axis -3 is out of bounds"),
        (lambda z: z.extend([], max_mem=100), "gathers 4 rows"),
        (lambda z: z.stream(max_mem=10), "along axis 0 needs"),
        (lambda z: ndzarr.write_stream(None, []), "there is no block"),
        (lambda z: ndzarr.write_stream(None, [5]), "without axes"),
    ],
)
def test_what_is_refused_is_refused_at_once(call: Any, words: str) -> None:
    z = ndzarr.zeros((10, 5), chunks=(4, 5))
    with pytest.raises((ndzarr.ArgumentError, ndzarr.MemoryLimitError), match=words):
        call(z)


def test_a_handle_for_reading_does_not_grow() -> None:
    z = ndzarr.open_array(ndzarr.zeros((4,), chunks=2).store, mode="r")
    with pytest.raises(ndzarr.ReadOnlyError):
        z.extend([np.zeros(3)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1], [0.5]),
        (np.array([1], "i1"), np.array([300])),
        (["abc"], ["abcdef"]),
        ([1.0], [1j]),
        (np.array(["2020"], "M8[D]"), np.array(["2020-01-01T05"], "M8[h]")),
    ],
    ids=["fraction", "range", "length", "imaginary part", "hours"],
)
def test_a_block_that_does_not_fit_into_the_dtype_of_the_first(first: Any, second: Any) -> None:
    """It was cut off, as an assignment of NumPy's would; but here nobody has said what the dtype is to be."""
    store = ndzarr.MemoryStore()
    with pytest.raises(ndzarr.ArgumentError, match="pass dtype="):
        ndzarr.write_stream(store, [first, second])
    np.testing.assert_array_equal(ndzarr.open_array(store)[...], first)
    made = ndzarr.write_stream(None, [first, second], dtype=np.asarray(second).dtype)
    np.testing.assert_array_equal(made[...], np.concatenate([first, second]))


def test_a_progress_that_raises_loses_no_row_that_it_was_told_of() -> None:
    z = ndzarr.zeros((0,), chunks=5)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        z.extend([np.full(3, n) for n in range(9)], progress=stop)
    np.testing.assert_array_equal(z[...], np.repeat([0, 1, 2], 3))


def test_no_thread_writes_any_more_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which comes while one is waited for: P17."""
    begun: list[Any] = []

    class Interrupted(crew.Pending[Any]):
        def result(self) -> Any:
            raise KeyboardInterrupt

        def drop(self) -> None:
            super().drop()
            begun.remove(self)

    def begin(work: Any) -> Any:
        begun.append(Interrupted(work, None))
        return begun[-1]

    monkeypatch.setattr(rowstream, "begin", begin)
    for count in (4, 5):  # at the end, and before
        with pytest.raises(KeyboardInterrupt):
            ndzarr.write_stream(None, (np.ones((2, 3)) for _ in range(count)), chunks=(4, 3), max_mem=600)
        assert not begun


@pytest.mark.parametrize("verb", ["write_stream", "from_dask"])
def test_an_archive_that_was_cut_short_is_closed(verb: str, tmp_path: Path) -> None:
    """Or it would be written some time later, and get in the way of the next call."""

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    def write(**given: Any) -> Any:
        if verb == "write_stream":
            return ndzarr.write_stream(tmp_path / "a.zip", [np.ones(4), np.zeros(4)], chunks=4, **given)
        return ndzarr.from_dask(da.from_array(np.repeat([1.0, 0.0], 4), chunks=4), tmp_path / "a.zip", **given)

    caught = []
    try:
        write(progress=cut)
    except KeyboardInterrupt as error:
        caught.append(error)  # with all that it was in the middle of
    with write(overwrite=True).store as store:
        np.testing.assert_array_equal(ndzarr.open_array(store), np.repeat([1, 0], 4))
    assert caught
