"""Chunk objects: which are touched, what happens to them when things fail, and what many threads do to them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ndzarr
from ndzarr import config
from ndzarr.crew import processors
from ndzarr.engine import objects as engine_module
from ndzarr.fillvalue import is_fill

if TYPE_CHECKING:
    from tests.conftest import Names

pytestmark = pytest.mark.usefixtures("zarr_format")  # everything is true of both


def counted(**create: Any) -> tuple[ndzarr.ZArray, ndzarr.FaultStore]:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, **create)
    store.clear()
    return z, store


def keys(store: ndzarr.FaultStore, op: str) -> list[str]:
    return [call.key for call in store.calls(op)]


# ---- what is touched --------------------------------------------------------------------------------


@pytest.mark.parametrize("compressor", [None, "zstd"])
def test_a_read_fetches_each_chunk_that_it_touches_once(compressor: str | None) -> None:
    z, store = counted(shape=(100, 100), dtype="i4", chunks=(10, 10), compressor=compressor)
    z[...] = np.arange(10_000).reshape(100, 100)
    for index, touched in [
        ((5, 5), 1),
        ((slice(5, 15), slice(5, 15)), 4),
        ((slice(None, None, 50), 0), 2),
        (([0, 99, 0, 99], [0, 99, 99, 0]), 4),
        ((slice(None, None, -1), 3), 10),
        (([3, 4, 5],), 10),
        ((slice(0, 0),), 0),
        ((np.eye(100, dtype=bool),), 10),
    ]:
        store.clear()
        z[index]
        assert len(keys(store, "get")) == len(set(keys(store, "get"))) == touched, index
        assert {call.op for call in store.log} <= {"get"}


def test_uncompressed_reads_fetch_only_the_bytes_between() -> None:
    z, store = counted(shape=(64, 64), dtype="f4", chunks=(64, 64), compressor=None)
    z[...] = 1
    for index, nbytes in [((3, 4), 4), ((3, slice(None)), 256), ((slice(2, 4), slice(0, 1)), 64 * 4 + 4)]:
        store.clear()
        z[index]
        (call,) = store.calls("get")
        assert call.nbytes == nbytes, index


def test_whole_chunks_are_written_without_being_read(names: Names) -> None:
    z, store = counted(shape=(25, 25), dtype="i4", chunks=(10, 10))
    z[...] = 1
    z[10:20, :20] = 2
    z[19:9:-1, 19::-1] = np.arange(200).reshape(10, 20)
    z[list(range(10)), :20] = 4
    # Those at the edge are read: behind it there may be rows that another handle has appended.
    assert set(keys(store, "get")) == {names.chunk(*coords) for coords in ((0, 2), (1, 2), (2, 0), (2, 1), (2, 2))}
    store.clear()
    z[0, 0] = 1
    assert keys(store, "get") == [names.chunk(0, 0)]


def test_chunks_of_fill_values_are_deleted(names: Names) -> None:
    z, store = counted(shape=(20,), dtype="f4", chunks=(10,), fill_value=0)
    z[...] = 1
    z[:10] = 0
    assert set(store.inner.list()) == {names.document, names.chunk(1)}
    z[10:] = -0.0  # not the fill value: another bit
    assert names.chunk(1) in store.inner.list()
    with ndzarr.options(write_empty=True):
        z[...] = 0
    assert {names.chunk(0), names.chunk(1)} <= set(store.inner.list())


@pytest.mark.formats(2)
def test_an_undefined_fill_value_leaves_nothing_out() -> None:
    z, store = counted(shape=(4,), dtype="i4", chunks=(2,), fill_value=None)
    z[:2] = 0
    assert "0" in store.inner.list()


@pytest.mark.formats(3)
@pytest.mark.parametrize(("dtype", "zero"), [("i4", 0), ("f8", 0.0), ("S3", b""), ("M8[s]", "NaT"), (str, "")])
def test_no_fill_value_is_the_zero_of_the_dtype(dtype: Any, zero: Any, names: Names) -> None:
    z, store = counted(shape=(4,), dtype=dtype, chunks=(2,), fill_value=None)
    z[:2] = zero
    assert set(store.inner.list()) == {names.document}
    z[:2] = "1" if z.dtype.kind in "ST" else 1
    assert set(store.inner.list()) == {names.document, names.chunk(0)}
    z[:2] = zero
    assert set(store.inner.list()) == {names.document}


def test_the_padding_of_edge_chunks_is_the_fill_value(names: Names) -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(3,), dtype="i2", chunks=(4,), compressor=None, fill_value=7)
    z[:] = [1, 2, 3]
    assert np.frombuffer(store.get(names.chunk(0)), "i2").tolist() == [1, 2, 3, 7]
    store.set(names.chunk(0), np.array([7, 7, 7, 99], "i2").tobytes())  # another writer's garbage past the edge
    assert z[:].tolist() == [7, 7, 7]
    z.resize(4)
    assert z[:].tolist() == [7, 7, 7, 7]
    z[:] = 7
    assert store.get(names.chunk(0)) is None


@pytest.mark.parametrize(
    ("dtype", "fill", "same", "other"),
    [
        ("f8", np.nan, np.nan, 0.0),
        ("f4", 0.0, 0.0, -0.0),
        ("c16", 1j, 1j, 0),
        ("S5", b"a", b"a", b"b"),
        ("M8[s]", "NaT", "NaT", 0),
        ([("a", "i4"), ("b", "f4")], (1, 2), (1, 2), (1, 3)),
        (object, "x", "x", "y"),
        (object, 1, 1, True),
        (np.dtypes.StringDType(), "\0", "\0", ""),
        (np.dtypes.StringDType(), "a\0", "a\0", "a"),
    ],
)
def test_is_fill(dtype: Any, fill: Any, same: Any, other: Any) -> None:
    kind = np.dtype(dtype)
    value = np.array(fill, kind)[()]
    a = np.empty((3, 4), kind)
    a[...] = np.array(same, kind)
    assert is_fill(a, value)
    assert is_fill(a[::2, ::3], value)
    assert is_fill(a[:0], value)
    a[2, 3] = np.array(other, kind)[()]
    assert not is_fill(a, value)


# ---- fast paths against the general one --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compressor", [None, "zstd", "blosc"])
def test_points_equal_slices(compressor: str | None, order: str) -> None:
    z, _ = counted(shape=(7, 5, 3), dtype=">i4", chunks=(3, 2, 2), compressor=compressor, order=order, fill_value=-1)
    a = np.full(z.shape, -1, z.dtype)
    z[2:6, :3] = a[2:6, :3] = np.arange(36).reshape(4, 3, 3)
    for point in np.ndindex(*a.shape):
        got = z[point]
        assert got == a[point]
        assert type(got) is type(a[point])
        assert z[tuple(i - n for i, n in zip(point, a.shape, strict=True))] == a[point]


def test_ranged_reads_equal_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    z, _ = counted(shape=(20, 30), dtype="f8", chunks=(8, 9), compressor=None)
    z[...] = np.random.default_rng(1).normal(size=z.shape)
    indices = [
        (slice(1, 3), slice(None)),
        (4, slice(2, 28, 5)),
        (slice(None, None, -7), 3),
        (slice(2, 3), slice(20, 5, -2)),
    ]
    fast = [z[i] for i in indices]
    monkeypatch.setattr(engine_module, "stretch_of", lambda *args: None)
    for i, got in zip(indices, fast, strict=True):
        np.testing.assert_array_equal(z[i], got)


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_threads_and_one_thread_give_the_same(dtype: str) -> None:
    z, _ = counted(shape=(1200, 1000), dtype=dtype, chunks=(300, 300), compressor="zlib")
    a = (np.random.default_rng(0).normal(size=z.shape) * 50).astype(dtype)
    with ndzarr.options(workers=3):
        z[...] = a
        many = z[::-1, 5:]
    with ndzarr.options(workers=1):
        one = z[::-1, 5:]
    np.testing.assert_array_equal(many, a[::-1, 5:])
    np.testing.assert_array_equal(one, many)


def test_small_reads_start_no_thread(zarr_format: int) -> None:
    script = (
        f"import threading, ndzarr; z = ndzarr.array([[1, 2], [3, 4]], chunks=1, zarr_format={zarr_format}); z[...]; z[0] = 5; "
        f"assert z.zarr_format == {zarr_format}; assert threading.active_count() == 1, threading.enumerate()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_memory_of_a_read_is_the_result_and_a_few_chunks() -> None:
    z, _ = counted(shape=(2048, 2048), dtype="f8", chunks=(256, 256))
    z[...] = np.random.default_rng(0).normal(size=z.shape)
    z[:10, :10]
    tracemalloc.start()
    z[...]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    chunk = 256 * 256 * 8
    workers = processors()
    assert peak <= z.nbytes + workers * 3 * chunk + (4 << 20)


# ---- faults --------------------------------------------------------------------------------


def test_only_not_found_reads_as_fill_value() -> None:
    z, store = counted(shape=(4,), dtype="i4", chunks=(2,), fill_value=3)
    assert z[:].tolist() == [3, 3, 3, 3]
    faulty = ndzarr.FaultStore(store.inner, fail="always", on=("get",))
    broken = ndzarr.ZArray(faulty, "", z.metadata)
    for index in (slice(None), 1, [1, 2]):
        with pytest.raises(ndzarr.StoreError):
            broken[index]
    with pytest.raises(ndzarr.StoreError):
        broken[(1,)]


def test_missing_raise(names: Names) -> None:
    z, store = counted(shape=(4,), dtype="i4", chunks=(2,))
    z[:2] = 1
    with ndzarr.options(missing="raise"):
        assert z[:2].tolist() == [1, 1]
        for index in (slice(None), (3,), [3], (slice(2, 3),)):
            with pytest.raises(ndzarr.MissingChunkError) as caught:
                z[index]
            assert caught.value.coords == (1,)
            assert caught.value.key == names.chunk(1)
    strict = ndzarr.open(store, missing="raise")
    with pytest.raises(ndzarr.MissingChunkError):
        strict[...]
    with pytest.raises(ndzarr.MissingChunkError):
        strict[(3,)]


def test_a_write_that_fails_tells_what_it_did() -> None:
    z, store = counted(shape=(10,), dtype="i4", chunks=(2,))
    faulty = ndzarr.FaultStore(store.inner, on=("set",), at=3)
    w = ndzarr.ZArray(faulty, "", z.metadata, writable=True)
    with ndzarr.options(workers=1), pytest.raises(ndzarr.StoreError) as caught:
        w[:] = np.arange(10)
    assert caught.value.chunks_done == [(0,), (1,)]
    assert caught.value.chunks_left == [(2,), (3,), (4,)]
    assert "2 chunks" in caught.value.__notes__[0]
    assert z[:].tolist() == [0, 1, 2, 3, 0, 0, 0, 0, 0, 0]


def test_an_error_in_one_chunk_stops_the_others(names: Names) -> None:
    """Promise P17: when the exception reaches the caller no thread of ours still writes."""
    for at in range(1, 30, 3):
        inner = ndzarr.MemoryStore()
        z = ndzarr.create_array(inner, shape=(3000, 300), dtype="f8", chunks=(100, 100), compressor="zlib")
        faulty = ndzarr.FaultStore(inner, on=("set",), at=at)
        w = ndzarr.ZArray(faulty, "", z.metadata, writable=True)
        with ndzarr.options(workers=4), pytest.raises(ndzarr.StoreError) as caught:
            w[...] = np.random.default_rng(at).normal(size=z.shape)
        calls = len(faulty.log)
        written = set(inner.list()) - {names.document}
        time.sleep(0.02)
        assert len(faulty.log) == calls
        assert set(inner.list()) - {names.document} == written
        done = {names.chunk(*coords) for coords in caught.value.chunks_done}
        assert done == written
        assert len(caught.value.chunks_done) + len(caught.value.chunks_left) == 90


class Interrupting(ndzarr.MemoryStore):
    """Ctrl-C at the moment when the main thread has written a chunk."""

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        if threading.current_thread() is threading.main_thread() and not key.endswith((".zarray", "zarr.json")):
            raise KeyboardInterrupt


@pytest.mark.parametrize("shards", [None, (400, 200)])
def test_interrupts_stop_everything(shards: tuple[int, int] | None, zarr_format: int) -> None:
    """Ctrl-C in the middle of a write over several threads: nothing changes after the exception is out."""
    if shards and zarr_format == 2:
        with pytest.raises(ndzarr.ArgumentError, match="shards"):
            ndzarr.create_array(shape=(2000, 200), chunks=(100, 100), shards=shards)
        return
    for _ in range(20):
        store = Interrupting()
        z = ndzarr.create_array(
            store, shape=(2000, 200), dtype="f8", chunks=(100, 100), shards=shards, compressor="zlib"
        )  # outside `raises`: an interrupt here is nobody's business but pytest's
        with ndzarr.options(workers=4), pytest.raises(KeyboardInterrupt):
            z[...] = np.random.default_rng(0).normal(size=z.shape)
        before = {key: bytes(store.get(key) or b"") for key in store.list()}
        time.sleep(0.01)
        assert {key: bytes(store.get(key) or b"") for key in store.list()} == before


# ---- races --------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "local"])
def test_two_threads_writing_halves_of_one_chunk_lose_nothing(where: str, tmp_path: Any) -> None:
    """Promise P3, through two handles on two stores: 10,000 rounds, each thread's last value must be there."""
    rounds = 10_000 if where == "memory" else 1_000
    if where == "memory":
        data: dict[str, bytes] = {}
        first = ndzarr.create_array(data, shape=(2,), dtype="i4", chunks=(2,), compressor=None)
        second = ndzarr.open_array(data, "r+")
    else:
        ndzarr.create_group(tmp_path / "a")
        first = ndzarr.create_array(tmp_path / "a", path="x", shape=(2,), dtype="i4", chunks=(2,), compressor=None)
        second = ndzarr.open_array(tmp_path / "a" / "x", "r+")  # the same object under another root
    lost = []
    barrier = threading.Barrier(2)

    def work(z: ndzarr.ZArray, place: int) -> None:
        barrier.wait()
        for n in range(1, rounds + 1):
            z[place] = n
            if z[place] != n:
                lost.append((place, n))

    threads = [threading.Thread(target=work, args=(z, k)) for k, z in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert first[:].tolist() == [rounds, rounds]


def test_appenders_never_overlap() -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_array(data, shape=(0, 3), dtype="i4", chunks=(7, 3))

    def work(name: int) -> None:
        z = ndzarr.open_array(data, "r+")
        for n in range(100):
            z.append(np.full((2, 3), name * 1000 + n))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = ndzarr.open_array(data)[...]
    assert whole.shape == (800, 3)
    values, counts = np.unique(whole[:, 0], return_counts=True)
    assert len(values) == 400
    assert (counts == 2).all()


_FORKS = """
import os, sys, threading, time

import numpy as np

import ndzarr

z = ndzarr.create_array(
    shape=(900, 300), dtype="f8", chunks=(100, 100), compressor="zlib", zarr_format=int(sys.argv[1]), shards=eval(sys.argv[2])
)
stop = threading.Event()
data = np.random.default_rng(0).normal(size=z.shape)


def busy():
    while not stop.is_set():
        with ndzarr.options(workers=4):
            z[...] = data


thread = threading.Thread(target=busy)
thread.start()
try:
    for _ in range(100):
        child = os.fork()
        if child == 0:
            try:
                with ndzarr.options(workers=4):
                    z[...] = 1.0
                    good = bool((z[...] == 1.0).all())
                os._exit(0 if good else 1)
            except BaseException:
                os._exit(2)
        deadline = time.monotonic() + 30
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(child, 9)
                sys.exit("the child hangs")
            time.sleep(0.002)
        if status:
            sys.exit(f"the child failed: {status}")
finally:
    stop.set()
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.formats(3)  # the layouts say which
@pytest.mark.parametrize("layout", ["2 None", "3 None", "3 (300,300)"])
def test_fork_while_busy(layout: str) -> None:
    """Promise P18: a child of a process whose pool works and whose locks are held can read and write.

    In a process of its own: what measures coverage has a lock too, which a child inherits held, and hangs on.
    """
    ran = subprocess.run([sys.executable, "-c", _FORKS, *layout.split()], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr


def test_a_store_may_read_arrays_itself() -> None:
    """A `get` that reads another array from a pool thread must not wait for a place in the pool."""
    source = ndzarr.create_array(shape=(1600, 100), dtype="f8", chunks=(100, 100), compressor="zlib")
    source[...] = np.random.default_rng(0).normal(size=source.shape)

    class Nested(ndzarr.MemoryStore):
        def get(self, key: str, range: Any = None) -> Any:
            if not key.endswith((".zarray", "zarr.json")):
                with ndzarr.options(workers=4):
                    source[...]
            return super().get(key, range)

    z = ndzarr.create_array(Nested(), shape=(1600, 100), dtype="f8", chunks=(100, 100), compressor="zlib")
    z[...] = 2.0
    with ndzarr.options(workers=4):
        assert (z[...] == 2.0).all()


def test_options_reach_the_pool() -> None:
    seen = set()

    class Looking(ndzarr.MemoryStore):
        def set(self, key: str, value: Any) -> None:
            seen.add((threading.current_thread().name.partition("_")[0], config.current().durable))
            super().set(key, value)

    z = ndzarr.create_array(Looking(), shape=(6400, 100), dtype="f8", chunks=(100, 100), compressor="zlib")
    data = np.random.default_rng(0).normal(size=z.shape)
    seen.clear()
    with ndzarr.options(workers=4, durable=True):
        for _ in range(5):
            z[...] = data
    assert {durable for _, durable in seen} == {True}
    if processors() > 1:
        assert len(seen) > 1


def test_limits() -> None:
    z = ndzarr.zeros((1000, 1000), dtype="f8", chunks=(100, 100))
    with ndzarr.options(max_result=1 << 20):
        z[:100]
        with pytest.raises(ndzarr.MemoryLimitError, match="max_result"):
            z[...]
    with ndzarr.options(exclusive=True):
        z[0] = 1  # nobody else reaches this memory
        z = ndzarr.create_array({}, shape=(4,), chunks=(2,), dtype="f8")
        with pytest.raises(ndzarr.ArgumentError, match="exclusive"):
            z[0] = 1


def test_errors_survive_pickling(names: Names) -> None:
    z, store = counted(shape=(4,), dtype="i4", chunks=(2,))
    store.inner.set(names.chunk(0), b"garbage")
    with pytest.raises(ndzarr.CorruptChunkError) as caught:
        z[:]
    back = pickle.loads(pickle.dumps(caught.value))
    assert str(back) == str(caught.value)
    assert (back.key, back.coords, back.codec) == (names.chunk(0), (0,), "zstd")
