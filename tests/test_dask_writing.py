"""`from_dask`, dask.distributed with worker processes, and the guard: what would lose data is kept apart or refused."""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

import ndzarr
from ndzarr import config, dask_writing
from ndzarr.process import arrived, here, is_away

Record = Callable[[str, object], None]

X = np.random.default_rng(0).integers(0, 1000, (20, 30)).astype("i4")


# ---- from_dask -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("blocks", [(20, 30), (7, 9), (5, 10), ((3, 1, 16), (30,)), (1, 30)])
@pytest.mark.parametrize("grid", [{}, {"chunks": (4, 6)}, {"chunks": (2, 3), "shards": (6, 15)}])
def test_values_and_each_object_once(blocks: Any, grid: dict[str, Any], scheduler: str) -> None:
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    told: list[tuple[int, int]] = []
    with dask.config.set(scheduler=scheduler):
        z = ndzarr.from_dask(da.from_array(X, blocks), store, **grid, progress=lambda done, n: told.append((done, n)))
    np.testing.assert_array_equal(z[...], X)
    sets = Counter(r.key for r in store.records if r.op == "set" and r.key != "zarr.json")
    assert set(sets.values()) == {1}
    assert [done for done, _ in told] == list(range(1, told[0][1] + 1))


@pytest.mark.parametrize(
    ("shape", "blocks", "chunks"),
    [
        ((20, 30), (7, 10), (7, 10)),
        ((20, 30), ((3, 17), (30,)), None),
        ((4096, 4096), (4096, 4096), (1024, 2048)),
        ((0, 3), (1, 3), (1, 3)),
        ((), (), ()),
    ],
)
def test_chunks_are_those_of_dask_or_parts_of_them(shape: Any, blocks: Any, chunks: Any) -> None:
    z = ndzarr.from_dask(da.zeros(shape, chunks=blocks, dtype="f8"), None, compute=False).compute(scheduler="synchronous")
    assert z.shape == shape
    if chunks is not None:
        assert z.chunks == chunks


def test_into_what_is_there() -> None:
    z = ndzarr.zeros(X.shape, dtype="f8", chunks=(6, 30))
    assert ndzarr.from_dask(da.from_array(X, (5, 5)), z) is z
    np.testing.assert_array_equal(z[...], X)
    with pytest.raises(ndzarr.ArgumentError, match=r"of shape \(20, 30\) to one of shape \(3,\)"):
        ndzarr.from_dask(da.from_array(X), ndzarr.zeros(3))
    with pytest.raises(ndzarr.ArgumentError, match="chunks= is for a new array"):
        ndzarr.from_dask(da.from_array(X), z, chunks=(1, 1))
    with pytest.raises(TypeError, match="same_kind"):
        ndzarr.from_dask(da.from_array(X / 2), ndzarr.zeros(X.shape, dtype="i4"))
    with pytest.raises(ndzarr.ReadOnlyError):
        ndzarr.from_dask(da.from_array(X), ndzarr.open_array(z.store, "r"))


def test_align_raise() -> None:
    z = ndzarr.zeros(X.shape, dtype="i4", chunks=(6, 30))
    with pytest.raises(ndzarr.WriteHazardError, match="align='rechunk'") as caught:
        ndzarr.from_dask(da.from_array(X, (5, 30)), z, align="raise")
    assert caught.value.expected == (6, 30)
    assert not z[...].any()
    ndzarr.from_dask(da.from_array(X, (12, 30)), z, align="raise")
    np.testing.assert_array_equal(z[...], X)


def test_arguments() -> None:
    x = da.from_array(X)
    with pytest.raises(ndzarr.ArgumentError, match="align is 'maybe'"):
        ndzarr.from_dask(x, None, align="maybe")
    with pytest.raises(ndzarr.ArgumentError, match="expected a dask array, found a ndarray"):
        ndzarr.from_dask(X, None)
    with pytest.raises(ndzarr.ArgumentError, match=r"compute_chunk_sizes\(\)"):
        ndzarr.from_dask(x[x > 500], None)
    with dask.config.set(scheduler="processes"), pytest.raises(ndzarr.ArgumentError, match="other processes"):
        ndzarr.from_dask(x, None)


# ---- bugs of others --------------------------------------------------------------------------------------------


def test_zarr_python_3682(tmp_path: Path) -> None:
    """Blocks smaller than a shard, written naively by threads: there some 30 % were left."""
    data = np.arange(50 * 50 * 50, dtype=np.float64).reshape(50, 50, 50)
    x = da.from_array(data, chunks=(13, 13, 13))
    z = ndzarr.create_array(tmp_path / "a", shape=data.shape, dtype=data.dtype, chunks=(13, 13, 13), shards=(26, 26, 26))
    da.store(x, z, lock=False, scheduler="threads")
    np.testing.assert_array_equal(z[...], data)


def test_zarr_python_3514(tmp_path: Path) -> None:
    """Blocks that cut chunks and shards anywhere, with chunks given explicitly."""
    rng = da.random.default_rng(seed=42)
    x = rng.integers(0, 2, size=(200, 60, 60), chunks=(51, 51, 51), dtype=np.int64).persist(scheduler="synchronous")
    for write in ("store", "from_dask"):
        z = ndzarr.create_array(
            tmp_path / write, shape=x.shape, dtype=x.dtype, chunks=(8, 3, 5), shards=(56, 51, 30), compressor=None
        )
        if write == "store":
            da.store(x, z, lock=False, scheduler="threads")
        else:
            ndzarr.from_dask(x, z)
        assert z[...].sum() == x.sum().compute(scheduler="synchronous")
        np.testing.assert_array_equal(z[...], x.compute(scheduler="synchronous"))


def _xarray() -> Any:
    importlib.import_module("ndzarr.xarray_backend")  # brings the accessor
    return importlib.import_module("xarray")


def test_xarray_8371(tmp_path: Path) -> None:
    """Regions whose blocks cut chunks: refused, and with them aligned nothing is lost."""
    xr = _xarray()
    ds = xr.DataArray(np.arange(120).reshape(4, 3, -1), dims=list("abc")).rename("var1").to_dataset()
    ds.chunk(5).ndzarr.to_zarr(tmp_path / "foo", compute=False, mode="w")
    for r in range(ds.sizes["a"]):
        part, region = ds.chunk(3).isel(a=[r]), {"a": slice(r, r + 1)}
        with pytest.raises(ValueError, match="could lose data"):
            part.ndzarr.to_zarr(tmp_path / "foo", region=region)
        part.ndzarr.to_zarr(tmp_path / "foo", region=region, align_chunks=True)
    with xr.open_dataset(tmp_path / "foo", engine="ndzarr") as found:
        np.testing.assert_array_equal(found.var1.values, ds.var1.values)


def test_xarray_10501(tmp_path: Path) -> None:
    """Appending along time by dask where the array ends inside a chunk: nothing of what was there, or comes, is lost."""
    xr = _xarray()
    data = np.arange(23 * 12, dtype="f8").reshape(23, 12)
    at = 0
    for count in (3, 5, 4, 1, 10):
        ds = xr.Dataset({"v": (("time", "x"), da.from_array(data[at : at + count], (2, 5)))})
        if at:
            ds.ndzarr.to_zarr(tmp_path / "a", append_dim="time", align_chunks=True)
        else:
            ds.ndzarr.to_zarr(tmp_path / "a", encoding={"v": {"chunks": (4, 6)}}, align_chunks=True)
        at += count
    with xr.open_dataset(tmp_path / "a", engine="ndzarr") as found:
        np.testing.assert_array_equal(found.v.values, data)


# ---- workers of dask.distributed ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as made,
    ):
        yield made


def test_the_workers_are_other_processes(client: Any) -> None:
    import os

    assert len(set(client.run(os.getpid).values()) | {os.getpid()}) == 3


def test_one_sharded_array_written_through_a_plan(client: Any, tmp_path: Path, record_property: Record) -> None:
    """Without the locks of the directory: the plan alone keeps the two workers apart."""
    data = np.random.default_rng(1).integers(0, 99, (120, 64)).astype("i4")
    z = ndzarr.create_array(tmp_path / "a", shape=data.shape, dtype="i4", chunks=(5, 8), shards=(20, 32))
    blocks = ((7,) * 17 + (1,), (9,) * 7 + (1,))
    plan = ndzarr.plan_write(z, blocks)
    assert not plan.aligned
    assert sum(map(len, plan)) == len(blocks[0]) * len(blocks[1])

    def write(z: Any, group: Any, parts: Any) -> int:
        import os

        import ndzarr as library

        own = library.open_array(z.store, "r+", path=z.path)  # that nobody else writes there is what the plan says
        with library.options(exclusive=False):
            for box, part in zip(group, parts, strict=True):
                own[box] = part
        return os.getpid()

    tasks = [client.submit(write, z, group, [data[box] for box in group], pure=False) for group in plan]
    client.gather(tasks)
    np.testing.assert_array_equal(z[...], data)
    record_property("count: blocks written by two processes through a plan", sum(map(len, plan)))


def test_from_dask_by_workers(client: Any, tmp_path: Path) -> None:
    data = np.arange(96 * 32, dtype="i8").reshape(96, 32)
    told: list[int] = []
    x, grid = da.from_array(data, (7, 32)), {"chunks": (2, 8), "shards": (8, 16)}
    z = ndzarr.from_dask(x, tmp_path / "a", **grid, progress=lambda done, total: told.append(done))
    np.testing.assert_array_equal(z[...], data)
    assert told == list(range(1, len(told) + 1))
    assert len(told) > 8


def test_the_naive_way_is_safe_where_the_store_keeps_processes_apart(client: Any, tmp_path: Path) -> None:
    data = np.arange(60 * 20, dtype="i8").reshape(60, 20)
    for store in (tmp_path / "directory", ndzarr.SQLStore(f"sqlite:///{tmp_path}/a.db")):
        z = ndzarr.create_array(store, shape=data.shape, dtype="i8", chunks=(5, 5), shards=(20, 20))
        da.store(da.from_array(data, (7, 6)), z, lock=False)
        np.testing.assert_array_equal(z[...], data)


def test_the_naive_way_is_refused_elsewhere(client: Any, tmp_path: Path) -> None:
    data = np.arange(60 * 20, dtype="i8").reshape(60, 20)
    x = da.from_array(data, (7, 6))
    stores = {"files": ndzarr.FsspecStore(f"file://{tmp_path}/a"), "memory": ndzarr.MemoryStore()}
    for name, store in stores.items():
        z = ndzarr.create_array(store, shape=data.shape, dtype="i8", chunks=(5, 5), shards=(20, 20))
        with pytest.raises(ndzarr.WriteHazardError) as caught:
            da.store(x, z, lock=False)
        words = "plan_write" if name == "files" else "scheduler='threads'"
        assert words in str(caught.value)
        assert name == "memory" or caught.value.store == store.url
    z = ndzarr.open_array(stores["files"], "r+")
    ndzarr.from_dask(x, z)
    np.testing.assert_array_equal(z[...], data)
    with pytest.raises(ndzarr.ArgumentError, match="other processes"):
        ndzarr.from_dask(x, stores["memory"], overwrite=True)


def test_reads_by_workers(client: Any, tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path / "a", shape=X.shape, dtype="i4", chunks=(3, 7))
    z[...] = X
    assert int(z.to_dask().sum().compute()) == int(X.sum())
    memory = ndzarr.array(X, chunks=(3, 7))
    np.testing.assert_array_equal((memory.to_dask() + 1).compute(), X + 1)


def test_rechunk_by_workers(client: Any, tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path / "maps", shape=(16, 8, 8), dtype="i4", chunks=(1, 8, 8), compressor=None)
    z[...] = data = np.arange(1024).reshape(16, 8, 8)
    told: list[int] = []
    made = ndzarr.rechunk(
        z,
        tmp_path / "series",
        chunks=(16, 2, 2),
        max_mem=3000,
        scheduler="dask",
        progress=lambda done, total: told.append(done),
    )
    np.testing.assert_array_equal(made[...], data)
    assert told == list(range(1, len(told) + 1))
    with pytest.raises(ndzarr.ArgumentError, match="in memory"):
        ndzarr.rechunk(z, None, chunks=(16, 2, 2), max_mem=3000, scheduler="dask")


# ---- the guard ----------------------------------------------------------------------------------------------------

_ELSEWHERE = """
import json, pickle, sys
import numpy as np
import ndzarr

found = {}
for name, data in pickle.load(open(sys.argv[1], "rb")).items():
    z = pickle.loads(data)
    z = z["a"] if isinstance(z, ndzarr.Group) else z

    def outcome(write):
        try:
            write()
            return "written"
        except Exception as error:
            return type(error).__name__

    def partly(z=z):
        z[1:3] = 1

    def whole(z=z):
        z[4:] = 2

    def without_locks():
        with ndzarr.options(exclusive=False):
            partly()

    def own():
        ndzarr.open_array(z.store, "r+", path="a")[1:3] = 3

    found[name] = [outcome(f) for f in (partly, whole, without_locks, lambda: z.resize(9), own)]
    z = pickle.loads(pickle.dumps(pickle.loads(data)))
    z = z["a"] if isinstance(z, ndzarr.Group) else z
    found[name].append(outcome(partly))
print(json.dumps(found))
"""


def test_a_handle_in_another_process(tmp_path: Path) -> None:
    """What is written in part, whole (with an edge chunk), without locks, resized, by a handle of its own, pickled again."""
    import pickle

    handles = {}
    for name, store in {
        "directory": ndzarr.LocalStore(tmp_path / "d"),
        "files": ndzarr.FsspecStore(f"file://{tmp_path}/f"),
        "memory": ndzarr.MemoryStore(),
        "wrapped": ndzarr.RecordingStore(ndzarr.MemoryStore()),
        "sqlite": ndzarr.SQLStore(f"sqlite:///{tmp_path}/s.db"),
        "group": ndzarr.FsspecStore(f"file://{tmp_path}/g"),
    }.items():
        g = ndzarr.create_group(store)
        z = g.create_array("a", shape=(10,), chunks=4, dtype="i4")
        z[...] = np.arange(10)
        handles[name] = pickle.dumps(g if name == "group" else z)
    (tmp_path / "handles").write_bytes(pickle.dumps(handles))
    ran = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(tmp_path / "handles")], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    refused, written = "WriteHazardError", "written"
    assert found["directory"] == [written, written, refused, written, written, written]
    assert found["sqlite"][:2] == [written, written]
    assert found["files"] == [refused, written, refused, refused, written, refused]
    assert found["group"] == found["files"]
    assert found["memory"] == [refused, refused, refused, refused, written, refused]
    assert found["wrapped"] == found["memory"]


def test_at_home_nothing_is_refused() -> None:
    import copy
    import pickle

    for store in (ndzarr.MemoryStore(), {}):
        z = ndzarr.array(np.arange(10), store=store, chunks=4)
        for handle in (pickle.loads(pickle.dumps(z)), copy.copy(z), copy.deepcopy(z)):
            with config.options(exclusive=False):
                handle[1:3] = 5
            assert handle[2] == 5


def test_homes() -> None:
    away = arrived(b"another process")
    assert is_away(away)
    assert not is_away(here())
    assert arrived(here()) == here()
    assert arrived(away) == away  # sent on
    assert not is_away(arrived(b"away:" + here()))  # and back


def test_a_masked_array_is_refused() -> None:
    """What lay under the mask was written, as if it were data."""
    x = da.ma.masked_greater(da.arange(12, chunks=5), 6)
    with pytest.raises(ndzarr.ArgumentError, match=r"dask\.array\.ma\.filled"):
        ndzarr.from_dask(x, None)
    with dask.config.set(scheduler="sync"):
        assert ndzarr.from_dask(da.ma.filled(x, -1), None)[...].tolist() == [0, 1, 2, 3, 4, 5, 6, -1, -1, -1, -1, -1]


def test_after_an_interrupt_no_thread_of_dask_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has begun is waited for, what has not is left out: P17."""
    writing, go_on, written = threading.Event(), threading.Event(), []
    original = dask_writing.write_block

    def slow(block: Any, target: Any, block_info: Any = None) -> Any:
        writing.set()
        go_on.wait(60)
        written.append(1)
        return original(block, target, block_info)

    def interrupted(tasks: Any, progress: Any, what: str) -> None:
        threading.Thread(target=lambda: suppressed(tasks)).start()
        writing.wait(60)
        threading.Timer(0.05, go_on.set).start()  # while it is waited for
        raise KeyboardInterrupt

    def suppressed(tasks: Any) -> None:
        with contextlib.suppress(CancelledError):
            dask.compute(*tasks, scheduler="threads", num_workers=2)
        ended.set()

    ended = threading.Event()
    monkeypatch.setattr(dask_writing, "write_block", slow)
    monkeypatch.setattr(dask_writing, "compute_blocks", interrupted)
    with dask.config.set(scheduler="threads"), pytest.raises(KeyboardInterrupt):
        ndzarr.from_dask(da.ones(64, chunks=4), None, chunks=4)
    after = len(written)
    assert 1 <= after <= 2
    assert ended.wait(60)
    assert len(written) == after
