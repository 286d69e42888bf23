"""Stores of ours as stores of zarr-python: its own test suite, and what is built on it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import multiprocessing
import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr
import zarr.core.codec_pipeline
import zarr.testing.store
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.core.sync import sync

import ndzarr
import ndzarr.config
from ndzarr import ArgumentError, FaultStore, LocalStore, MemoryStore, ReadOnlyError, Store, StoreError, ZipStore
from ndzarr._typing import ByteRange
from ndzarr.stores.zarr_adapter import NdzarrStore

# ---- zarr-python's own suite --------------------------------------------------------------------------------


def _in_the_loop(test: Any) -> Any:
    """A coroutine test as one for pytest, run where zarr-python runs its stores."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        sync(test(*args, **kwargs))

    return run


class StoreTests(zarr.testing.store.StoreTests[NdzarrStore, cpu.Buffer]):
    """The suite that zarr-python gives to authors of stores, unchanged but for its use of an asyncio plug-in."""

    store_cls = NdzarrStore
    buffer_cls = cpu.Buffer

    async def set(self, store: NdzarrStore, key: str, value: Buffer) -> None:
        store.ndzarr_store.set(key, value.to_bytes())

    async def get(self, store: NdzarrStore, key: str) -> Buffer:
        return self.buffer_cls.from_bytes(bytes(store.ndzarr_store.get(key)))

    @pytest.fixture
    def inner(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def store_kwargs(self, inner: Store) -> dict[str, Any]:
        return {"store": inner}

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> Iterator[NdzarrStore]:
        store = sync(self.store_cls.open(**open_kwargs))
        yield store
        store.close()

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> NdzarrStore:
        return self.store_cls(**store_kwargs)

    def test_store_repr(self, store: NdzarrStore) -> None:
        assert repr(store) == f"<NdzarrStore {store.ndzarr_store.url!r}>"
        assert str(store) == store.ndzarr_store.url

    def test_store_supports_writes(self, store: NdzarrStore) -> None:
        assert store.supports_writes
        assert store.supports_deletes

    def test_store_supports_listing(self, store: NdzarrStore) -> None:
        assert store.supports_listing


for _name, _test in inspect.getmembers(zarr.testing.store.StoreTests, inspect.iscoroutinefunction):
    if _name.startswith("test_"):
        setattr(StoreTests, _name, _in_the_loop(_test))


class TestOverLocalStore(StoreTests):
    @pytest.fixture
    def inner(self, tmp_path: Path) -> Store:
        return LocalStore(tmp_path)


class TestOverZipStore(StoreTests):
    @pytest.fixture
    def inner(self, tmp_path: Path) -> Iterator[Store]:
        with ZipStore(tmp_path / "a.zip", "a") as store:
            yield store

    def test_serializable_store(self, store: NdzarrStore) -> None:
        # An archive has one writer: what goes to another process reads.
        store.set_sync("foo", cpu.Buffer.from_bytes(b"1234"))
        store.close()
        copy = pickle.loads(pickle.dumps(store))
        assert copy == store
        assert copy.read_only
        assert not copy.supports_writes
        assert copy.get_sync("foo").to_bytes() == b"1234"
        copy.close()


class TestOverMemoryStore(StoreTests):
    @pytest.fixture
    def inner(self) -> Store:
        return MemoryStore()

    def test_serializable_store(self, store: NdzarrStore) -> None:
        # A MemoryStore is copied by pickle: the copy holds the same, and is another store.
        store.set_sync("foo", cpu.Buffer.from_bytes(b"1234"))
        copy = pickle.loads(pickle.dumps(store))
        assert copy != store
        assert copy.get_sync("foo").to_bytes() == b"1234"
        store.set_sync("foo", cpu.Buffer.from_bytes(b"56"))
        assert copy.get_sync("foo").to_bytes() == b"1234"


class TestOverUnknownStore(StoreTests):
    """One that is called in threads, with nothing but the defaults of `Store`."""

    @pytest.fixture
    def inner(self) -> Store:
        return FaultStore(MemoryStore())

    test_serializable_store = TestOverMemoryStore.test_serializable_store


# ---- what the suite leaves open --------------------------------------------------------------------------------

RANGES = [
    (None, slice(None)),
    (RangeByteRequest(2, 5), slice(2, 5)),
    (RangeByteRequest(0, 0), slice(0, 0)),
    (RangeByteRequest(5, 2), slice(0, 0)),
    (RangeByteRequest(7, 1 << 40), slice(7, None)),
    (RangeByteRequest(100, 200), slice(0, 0)),
    (OffsetByteRequest(0), slice(None)),
    (OffsetByteRequest(4), slice(4, None)),
    (OffsetByteRequest(100), slice(0, 0)),
    (SuffixByteRequest(0), slice(0, 0)),
    (SuffixByteRequest(3), slice(-3, None)),
    (SuffixByteRequest(100), slice(None)),
]


@pytest.fixture(params=["memory", "local", "zip", "unknown"])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    makers = {
        "memory": MemoryStore,
        "local": lambda: LocalStore(tmp_path / "root"),
        "zip": lambda: ZipStore(tmp_path / "a.zip", "a"),
        "unknown": lambda: FaultStore(MemoryStore()),
    }
    with makers[request.param]() as store:
        yield store


@pytest.mark.parametrize(("wanted", "same_as"), RANGES, ids=repr)
def test_every_range(inner: Store, wanted: Any, same_as: slice) -> None:
    value = b"0123456789"
    inner.set("a/b", value)
    store, prototype = ndzarr.zarr_store(inner), default_buffer_prototype()
    for found in (
        sync(store.get("a/b", prototype, wanted)),
        store.get_sync("a/b", byte_range=wanted),
        sync(store.get_partial_values(prototype, iter([("a/b", wanted)])))[0],
    ):
        assert found is not None
        assert found.to_bytes() == value[same_as]
    assert sync(store.get("a/none", prototype, wanted)) is None


@pytest.mark.parametrize("wanted", [RangeByteRequest(-2, 3), OffsetByteRequest(-1), SuffixByteRequest(-1), (0, 1), 5])
def test_what_is_no_range(wanted: Any) -> None:
    store = ndzarr.zarr_store({"a": b"01234"})
    with pytest.raises(ValueError, match="Unexpected byte_range"):
        store.get_sync("a", byte_range=wanted)


def test_a_failure_is_not_a_missing_key() -> None:
    inner = FaultStore(MemoryStore({"zarr.json": b"{}", "c/0": b"1"}), fail="always")
    store, prototype = ndzarr.zarr_store(inner), default_buffer_prototype()
    value = cpu.Buffer.from_bytes(b"2")
    for call in (
        lambda: store.get("c/0", prototype),
        lambda: store.get_partial_values(prototype, [("c/0", None)]),
        lambda: store.exists("c/0"),
        lambda: store.getsize("c/0"),
        lambda: store.getsize_prefix(""),
        lambda: store.set("c/0", value),
        lambda: store.set_if_not_exists("c/1", value),
        lambda: store.delete("c/0"),
        lambda: store.delete_dir("c"),
        lambda: store.clear(),
        lambda: store.is_empty(""),
    ):
        with pytest.raises(StoreError, match="injected"):
            sync(call())
    inner.heal()
    assert inner.snapshot() == {"zarr.json": b"{}", "c/0": b"1"}


def test_one_of_many_is_first(inner: Store) -> None:
    stores = [ndzarr.zarr_store(inner) for _ in range(4)]

    async def all_at_once() -> None:
        await asyncio.gather(
            *(store.set_if_not_exists("a/b", cpu.Buffer.from_bytes(b"%d" % n)) for n, store in enumerate(stores * 5))
        )

    sync(all_at_once())
    first = bytes(inner.get("a/b"))
    sync(stores[0].set_if_not_exists("a/b", cpu.Buffer.from_bytes(b"late")))
    assert bytes(inner.get("a/b")) == first


def test_the_loop_goes_on() -> None:
    """A slow store holds up no other coroutine of zarr-python's."""
    inner = FaultStore(MemoryStore({"a": b"1"}), latency_s=0.3)
    store = ndzarr.zarr_store(inner)

    async def ticks() -> int:
        slow = asyncio.ensure_future(store.get("a", default_buffer_prototype()))
        n = 0
        while not slow.done():
            await asyncio.sleep(0.001)
            n += 1
        return n

    assert sync(ticks()) > 20


def test_options_hold_in_the_threads(tmp_path: Path) -> None:
    seen = []

    class Asks(MemoryStore):
        def get(self, key: str, range: ByteRange | None = None) -> Any:
            seen.append(ndzarr.config.current().workers)
            return super().get(key, range)

    async def ask() -> None:
        with ndzarr.options(workers=3):
            await ndzarr.zarr_store(Asks({"a": b"1"})).get("a")

    sync(ask())
    assert seen == [3]


def test_what_it_is_made_of(tmp_path: Path) -> None:
    assert type(ndzarr.zarr_store(tmp_path / "a").ndzarr_store) is LocalStore
    assert type(ndzarr.zarr_store().ndzarr_store) is MemoryStore
    mapping: dict[str, bytes] = {}
    zarr.create_group(ndzarr.zarr_store(mapping))
    assert list(mapping) == ["zarr.json"]
    with ndzarr.zarr_store(tmp_path / "a.zip") as store:
        zarr.create_group(store)
    assert ndzarr.open(tmp_path / "a.zip").zarr_format == 3
    with pytest.raises(ArgumentError, match="cannot open 5"):
        ndzarr.zarr_store(5)


def test_zarr_python_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ndzarr.stores.zarr_adapter")
    monkeypatch.setitem(sys.modules, "zarr.abc.store", None)
    with pytest.raises(ArgumentError, match=r"install `zarr>=3`"):
        ndzarr.zarr_store({})


def test_equality(tmp_path: Path) -> None:
    one, other = ndzarr.zarr_store(tmp_path), ndzarr.zarr_store(LocalStore(tmp_path))
    assert one == other == one.with_read_only(True)
    assert hash(one) == hash(other)
    assert one != ndzarr.zarr_store(tmp_path / "b")
    assert one != zarr.storage.LocalStore(tmp_path)
    assert ndzarr.zarr_store() != ndzarr.zarr_store()


def test_what_cannot_be_written_is_read_only(tmp_path: Path) -> None:
    zarr.create_group(ndzarr.zarr_store(tmp_path))
    store = ndzarr.zarr_store(LocalStore(tmp_path, readonly=True))
    assert store.read_only
    assert not store.supports_writes
    with pytest.raises(ReadOnlyError, match="reading only"):
        store.with_read_only(False)
    with pytest.raises(ValueError, match="read-only"):
        sync(store.clear())
    with pytest.raises(ValueError, match="read-only"):
        zarr.create_array(store, name="a", shape=1, dtype="i1")
    assert zarr.open_group(ndzarr.zarr_store(tmp_path, read_only=True), mode="r").metadata.zarr_format == 3


def test_a_read_only_copy_closes_nothing(tmp_path: Path) -> None:
    inner = ZipStore(tmp_path / "a.zip", "w")
    with ndzarr.zarr_store(inner) as store:
        with store.with_read_only(True):
            pass
        store.set_sync("a", cpu.Buffer.from_bytes(b"1"))
    with ZipStore(tmp_path / "a.zip") as again:
        assert list(again.list()) == ["a"]


def test_only_buffers_are_values() -> None:
    store = ndzarr.zarr_store()
    for call in (lambda: store.set_sync("a", b"1"), lambda: sync(store.set("a", np.zeros(3)))):
        with pytest.raises(TypeError, match="must be a Buffer"):
            call()


# ---- what is built on zarr-python --------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [None, (8, 10)])
def test_zarr_python_writes_and_ndzarr_reads(inner: Store, zarr_format: int, shards: Any) -> None:
    if zarr_format == 2 and shards:
        shards = None
    store = ndzarr.zarr_store(inner)
    data = np.random.default_rng(1).normal(size=(17, 20)).astype("f4")
    root = zarr.create_group(store, zarr_format=zarr_format, attributes={"title": "t"})
    a = root.create_array("deep/a", shape=data.shape, chunks=(4, 5), shards=shards, dtype="f4", fill_value=0)
    a[...] = data
    a[3:5, ::2] = 7
    data[3:5, ::2] = 7
    group = ndzarr.open(inner, "r+")
    assert dict(group.attrs) == {"title": "t"}
    z = group["deep/a"]
    assert np.array_equal(z[...], data)
    z[2, :] = -1
    assert np.array_equal(a[2, :], np.full(20, -1, "f4"))
    a.resize((10, 20))
    assert ndzarr.open(inner, path="deep/a").shape == (10, 20)
    assert [name for name, _ in sorted(root.members(max_depth=None))] == ["deep", "deep/a"]
    del root["deep"]
    assert list(ndzarr.open(inner)) == []
    assert not list(inner.list("deep/"))


#: Newer zarr-python has one that calls stores without its event loop.
PIPELINES = [name for name in ("BatchedCodecPipeline", "FusedCodecPipeline") if hasattr(zarr.core.codec_pipeline, name)]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("shards", [None, (8, 10)])
def test_every_pipeline(inner: Store, pipeline: str, shards: Any) -> None:
    data = np.random.default_rng(2).integers(0, 99, (16, 20))
    with zarr.config.set({"codec_pipeline.path": f"zarr.core.codec_pipeline.{pipeline}"}):
        a = zarr.create_array(
            ndzarr.zarr_store(inner), shape=data.shape, chunks=(4, 5), shards=shards, dtype="i8", fill_value=0
        )
        a[...] = data
        a[5:7, 3] = data[5:7, 3] = 0
        a[8:] = data[8:] = 0
        assert np.array_equal(a[...], data)
        assert np.array_equal(a[6, 7:11], data[6, 7:11])
    assert np.array_equal(ndzarr.open(inner)[...], data)


def test_threads_write_side_by_side(inner: Store) -> None:
    store = ndzarr.zarr_store(inner)
    a = zarr.create_array(store, name="a", shape=(64, 16), chunks=(2, 16), dtype="i4")

    def work(n: int) -> None:
        for row in range(2 * n, 64, 16):
            a[row : row + 2] = row

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    want = np.repeat(np.arange(0, 64, 2, dtype="i4"), 2)[:, None] + np.zeros((1, 16), "i4")
    assert np.array_equal(ndzarr.open(inner, path="a")[...], want)


def _write_rows(store: Any, rows: tuple[int, int]) -> None:
    zarr.open_array(store, mode="r+")[slice(*rows)] = rows[0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_write_side_by_side(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        assert os.name == "nt"
        return
    store = ndzarr.zarr_store(tmp_path)
    zarr.create_array(store, shape=(40, 5), chunks=(10, 5), dtype="i4")[...] = -1  # and the loop runs before the fork
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_write_rows, args=(store, (n, n + 10))) for n in range(0, 40, 10)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons' word on forking with threads
        for worker in workers:
            worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert ndzarr.open(tmp_path)[:, 0].tolist() == np.repeat([0, 10, 20, 30], 10).tolist()


def _dataset() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "sst": (("time", "y", "x"), rng.normal(size=(6, 4, 5)), {"units": "K"}),
            "mask": (("y", "x"), rng.integers(0, 2, (4, 5)).astype(bool)),
        },
        coords={"time": np.datetime64("2020-01-01", "ns") + np.arange(6).astype("m8[D]"), "y": np.arange(4.0)},
        attrs={"title": "a dataset"},
    )


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_datasets(inner: Store, zarr_format: int, consolidated: bool) -> None:
    ds, store = _dataset(), ndzarr.zarr_store(inner)
    ds.isel(time=slice(3)).to_zarr(store, zarr_format=zarr_format, consolidated=consolidated)
    ds.isel(time=slice(3, None)).to_zarr(store, append_dim="time", consolidated=consolidated)
    with xr.open_zarr(store, consolidated=consolidated, chunks=None) as again:
        xr.testing.assert_identical(again.load(), ds)
    with xr.open_zarr(store, consolidated=consolidated, chunks={}) as again:
        xr.testing.assert_identical(again.isel(time=[0, 4]).compute(), ds.isel(time=[0, 4]))
    z = ndzarr.open(inner, path="sst")
    assert z.dimension_names == ("time", "y", "x")
    assert np.array_equal(z[...], ds.sst.values)
    ds.sst.isel(time=[1]).drop_vars(["y", "time"]).to_dataset().map(lambda v: v * 0).to_zarr(
        store, region={"time": slice(1, 2)}, consolidated=consolidated
    )
    assert not ndzarr.open(inner, path="sst")[1].any()


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_dask_datasets_are_written_by_threads(inner: Store) -> None:
    ds, store = _dataset(), ndzarr.zarr_store(inner)
    ds.chunk({"time": 2, "x": 2}).to_zarr(store, consolidated=True)
    with xr.open_zarr(store) as again:
        xr.testing.assert_identical(again.compute(), ds)


def test_dask_arrays(inner: Store) -> None:
    data = np.arange(400.0).reshape(20, 20)
    dask.array.from_array(data, chunks=(6, 7)).rechunk((5, 10)).to_zarr(ndzarr.zarr_store(inner), component="a/b")
    assert np.array_equal(ndzarr.open(inner, path="a/b")[...], data)
    again = dask.array.from_zarr(ndzarr.zarr_store(inner), component="a/b")
    assert again.chunks == ((5,) * 4, (10, 10))
    assert again.sum().compute() == data.sum()


def test_dask_does_not_take_the_values_along_for_a_name() -> None:
    store = ndzarr.zarr_store(MemoryStore())
    assert dask.base.tokenize(store) != dask.base.tokenize(store)  # it may hold something else by now


def test_the_whole_suite_was_taken_over() -> None:
    names = [name for name in dir(zarr.testing.store.StoreTests) if name.startswith("test_")]
    assert len(names) > 35
    assert all(not inspect.iscoroutinefunction(getattr(TestOverLocalStore, name)) for name in names)
