"""What `explain` tells of a read equals what a counting store and a counting decoder then count."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.chunks import Chunks
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.engine import Engine
from ndzarr.explain import Explanation, explain_reads
from ndzarr.selection import boxed
from ndzarr.stores.base import Store
from ndzarr.testing import expressions
from ndzarr.testing.expressions import IndexKinds, RandomChoices

STORES = ["memory", "local", "mapping"]


def inner_store(where: str, path: Path) -> Store:
    return ndzarr.MemoryStore() if where == "memory" else ndzarr.LocalStore(path) if where == "local" else Untagged()


class Untagged(ndzarr.MemoryStore):
    """A store whose versions have no tags: no index of a shard can be kept."""

    tagged = False


def partly_written(choices: RandomChoices, store: Store) -> Any:
    sample = expressions.sample(choices)
    z = ndzarr.create_array(store, **sample.keywords)
    with ndzarr.options(write_empty=choices.chance(50)):
        sample.fill_into(z)
    return z


class Counted:
    """Requests, bytes fetched and bytes decoded since `clear`."""

    def __init__(self, store: ndzarr.FaultStore, patch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.decoded = 0
        decode, stretch = Chunks.decode, Engine._place_stretch

        def counted(chunks: Chunks, pipeline: Any, *args: Any) -> Any:
            self.decoded += pipeline.chunk.nbytes
            return decode(chunks, pipeline, *args)

        def stretched(engine: Engine, part: Any, wanted: Any, data: Any, result: Any) -> None:
            self.decoded += wanted[1]
            stretch(engine, part, wanted, data, result)

        def quick(pipeline: Pipeline) -> Any:
            unpack = short(pipeline)

            def at_once(data: Any) -> Any:
                chunk = unpack(data)
                self.decoded += 0 if chunk is None else chunk.nbytes  # else it is decoded once more, by the general way
                return chunk

            return None if unpack is None else at_once

        short = Pipeline.quick
        patch.setattr(Pipeline, "quick", quick)
        patch.setattr(Chunks, "decode", counted)
        patch.setattr(Engine, "_place_stretch", stretched)

    def clear(self) -> None:
        self.store.clear()
        self.decoded = 0

    def told(self) -> tuple[int, int]:
        """Requests and bytes."""
        reads = [call for call in self.store.log if call.op.startswith("get")]
        return len(reads), sum(call.nbytes or 0 for call in reads)


def is_raw_point(z: Any, index: Any) -> bool:
    index = (index,) if type(index) is int else index
    if type(index) is not tuple or len(index) != z.ndim or not all(type(i) is int for i in index):
        return False
    cell = z._engine.layout.cell((0,) * z.ndim)
    return cell.shard is None and cell.pipeline.raw


@pytest.mark.parametrize("where", STORES)
def test_the_prediction_is_what_is_counted(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = sharded = missing = raw = 0
    for number in range(300 if where == "memory" else 150):
        choices = RandomChoices(f"explain-{where}-{number}")
        store = ndzarr.FaultStore(inner_store(where, tmp_path / str(number)))
        z = partly_written(choices, store)
        shards = z.shards is not None
        with monkeypatch.context() as patch:
            counted = Counted(store, patch)
            for _ in range(6):
                # Now a handle that keeps no index of a shard yet, now one that keeps those of the reads before.
                z = ndzarr.open_array(store) if choices.chance(50) else z
                index = expressions.index(choices, z.shape, IndexKinds())
                try:
                    told = z.explain(index)
                except (IndexError, ValueError, TypeError) as error:
                    with pytest.raises(type(error)):
                        z[index]
                    continue
                counted.clear()
                value = z[index]
                about = (number, z, index, told)
                assert (told.requests, told.nbytes_fetched) == counted.told(), about
                # A point of a raw chunk is what was fetched, and no codec sees it.
                decoded = counted.told()[1] if is_raw_point(z, index) else counted.decoded
                assert told.nbytes_decoded == decoded, about
                assert told.nbytes_result == np.size(value) * z.dtype.itemsize, about
                assert told.exact
                assert told.objects_present <= told.objects
                assert told.chunks_present <= told.chunks
                assert told.nbytes_used <= told.nbytes_decoded
                assert told.nbytes_peak >= told.nbytes_result or not told.chunks
                # A second explanation tells what a second read costs, which may find an index kept.
                again = z.explain(index)
                counted.clear()
                z[index]
                assert (again.requests, again.nbytes_fetched) == counted.told(), about
                reads += 1
                sharded += shards
                missing += told.chunks_present < told.chunks
                raw += told.nbytes_fetched == told.nbytes_decoded > 0
    assert min(reads, sharded, missing, raw) > 50


def test_explaining_leaves_no_trace_and_reads_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError("a chunk is decoded")

    for number in range(200):
        choices = RandomChoices(f"trace-{number}")
        store = ndzarr.FaultStore(ndzarr.MemoryStore())
        z = partly_written(choices, store)
        layout = z._engine.layout
        store.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Chunks, "decode", refuse)
            one = z.explain()
        assert {call.op for call in store.log} <= {"size", "get_tagged"}
        assert sum(call.op == "size" for call in store.log) <= layout.objects.nchunks
        for call in store.calls("get_tagged"):
            shard = layout.cell(layout.coords(call.key)).shard
            assert (call.nbytes or 0) <= shard.codec.index_nbytes
        assert z.explain() == one
        assert not z._engine._indices._held or z._engine.layout.grid is not layout.objects


def counts_of_chunks() -> Iterator[tuple[Any, Any, tuple[int, int, int, int]]]:
    z = ndzarr.create_array(shape=(40, 40), chunks=(10, 10), dtype="i4", compressor=None)
    z[:20] = 1
    yield z, ..., (16, 8, 16, 8)
    yield z, np.s_[5, :], (4, 4, 4, 4)
    yield z, ([0, 39], [0, 39]), (2, 1, 2, 1)
    yield z, np.s_[3:3], (0, 0, 0, 0)
    z = ndzarr.create_array(shape=(40, 40), chunks=(5, 5), shards=(20, 20), dtype="i4")
    z[:7, :7] = 1
    yield z, ..., (64, 4, 4, 1)
    yield z, np.s_[:, 0], (8, 2, 2, 1)


def test_counts() -> None:
    for z, index, expected in counts_of_chunks():
        told = z.explain(index)
        assert (told.chunks, told.chunks_present, told.objects, told.objects_present) == expected, index


def test_more_objects_than_look_ups() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(1000,), chunks=(1,), dtype="i4", compressor=None)
    z[...] = 1
    store.clear()
    told = z.explain(lookups=100)
    assert len(store.log) == 100
    assert not told.exact
    assert "estimated" in repr(told)
    exact = z.explain()
    assert exact.exact
    for name in ("chunks", "chunks_present", "objects", "objects_present", "requests", "nbytes_fetched", "nbytes_decoded"):
        assert getattr(told, name) == getattr(exact, name), name
    none = z.explain(lookups=0)
    assert (none.objects, none.exact, none.nbytes_result) == (1000, False, 4000)


def test_an_array_without_end_is_explained_in_no_time() -> None:
    z = ndzarr.create_array(shape=(10**9,), chunks=(1000,), dtype="u1")
    told = z.explain(lookups=10)
    assert told.objects == 10**6
    assert told.nbytes_result == 10**9


def test_boxes_are_one_operation() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    for shards in (None, (20, 20)):
        z = ndzarr.create_array(store, shape=(40, 40), chunks=(10, 10), shards=shards, dtype="i4", overwrite=True)
        z[:, 5:] = np.arange(1400).reshape(40, 35)
        z = ndzarr.open_array(store)
        boxes = [(slice(i, i + 15, 1), slice(3, 40, 1)) for i in range(0, 25, 5)]
        told = explain_reads(z._engine, map(boxed, boxes))
        store.clear()
        for box in boxes:
            z[box]
        reads = [call for call in store.log if call.op.startswith("get")]
        assert (told.requests, told.nbytes_fetched) == (len(reads), sum(call.nbytes or 0 for call in reads))
        assert told.nbytes_result == sum(z[box].nbytes for box in boxes)
        assert told.nbytes_peak < told.nbytes_result
        assert told.exact


def test_hints() -> None:
    z = ndzarr.create_array(shape=(640, 640), chunks=(10, 640), dtype="f4", compressor=None)
    z[...] = np.random.default_rng(0).normal(size=z.shape)
    assert z.explain().hint is None
    assert z.explain(np.s_[:10]).hint is None
    assert z.explain(np.s_[::10, :]).hint is None  # only the bytes wanted are fetched
    z = ndzarr.create_array(shape=(640, 640), chunks=(10, 640), dtype="f4")
    z[...] = np.random.default_rng(0).normal(size=z.shape)
    hint = z.explain(np.s_[:, 7]).hint
    assert hint is not None
    assert "64 chunks" in hint
    assert "0.16 %" in hint
    assert "shorter along axis 1" in hint
    assert "1 of 640" in hint
    hint = z.explain((5, slice(None))).hint
    assert hint is not None
    assert "1 chunk to use 10 % of it" in hint
    assert "shorter along axis 0" in hint
    small = ndzarr.create_array(shape=(640, 640), chunks=(10, 10), dtype="f4")
    assert small.explain().hint is not None
    assert "4,096 requests" in small.explain().hint
    line = ndzarr.create_array(shape=(100,), chunks=(100,), dtype="f4")
    line[...] = 1
    hint = line.explain(np.s_[:1]).hint
    assert hint is not None
    assert hint.endswith("chunks that are shorter would take less")


def test_what_it_looks_like() -> None:
    z = ndzarr.create_array(shape=(4096, 4096), chunks=(64, 4096), dtype="f4", compressor=None)
    z[:64] = 1
    with ndzarr.options(workers=1):
        told = z.explain(np.s_[:128])
    assert repr(told).splitlines() == [
        "chunks         2, 1 of them written",
        "objects        2, 1 of them stored",
        "requests       2",
        "fetched        1.0 MiB",
        "decoded        1.0 MiB",
        "result         2.0 MiB",
        "amplification  1.0",
        "peak memory    4.0 MiB",
    ]
    assert isinstance(z.explain(), Explanation)
    with pytest.raises(AttributeError):
        z.explain().chunks = 5


@pytest.mark.parametrize("compressor", [None, "zstd"])
def test_the_peak_is_about_right(compressor: Any, tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path, shape=(2048, 1024), chunks=(512, 512), dtype="f8", compressor=compressor)
    z[...] = np.random.default_rng(0).normal(size=z.shape)
    for index in (..., np.s_[::2, 3:], np.s_[100, :]):
        told = z.explain(index)
        z[index]
        tracemalloc.start()
        z[index]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= told.nbytes_peak + (1 << 18), index
        assert told.nbytes_peak <= 3 * peak + (8 << 20), index


def test_fields_and_errors() -> None:
    dtype = np.dtype([("a", "i4"), ("b", "f8", (2,))])
    z = ndzarr.create_array(shape=(6,), chunks=(2,), dtype=dtype, zarr_format=2)
    z[2:4] = np.ones(2, dtype)
    assert z.explain("b").nbytes_result == z["b"].nbytes
    assert z.explain(("a", slice(1, 3))).nbytes_result == 8
    assert z.explain(["a"]).chunks == 3
    with pytest.raises(IndexError):
        z.explain(9)
    with pytest.raises(ValueError, match="no field"):
        z.explain("c")
    broken = ndzarr.ZArray(ndzarr.FaultStore(z.store, fail="always"), "", z.metadata)
    with pytest.raises(ndzarr.StoreError):
        broken.explain()
    z = ndzarr.create_array(shape=(8,), chunks=(2,), shards=(8,), dtype="i4")
    z[...] = 1
    z.store.set("c/0", bytes(100))
    for index in (..., 3):
        with pytest.raises(ndzarr.CorruptChunkError, match="c/0"):
            z.explain(index)


REDUCTIONS: list[tuple[Any, dict[str, Any]]] = [
    (np.sum, {}),
    (np.mean, {"axis": 0}),
    (np.std, {"axis": -1, "keepdims": True}),
    (np.max, {"axis": 0}),
    (np.argmin, {}),
    (np.any, {"axis": 0}),
    (np.ptp, {}),
    (np.nanmean, {"axis": 0}),
    (np.count_nonzero, {}),
    (np.average, {}),
    (np.add.reduce, {"axis": 0}),
    (np.subtract.reduce, {"axis": 0}),
]


@pytest.mark.parametrize("number", range(40))
def test_of_a_reduction_too(number: int) -> None:
    choices = RandomChoices(f"reduction-{number}")
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    shape = tuple(choices.integer(1, 30) for _ in range(choices.integer(1, 3)))
    chunks = tuple(choices.integer(1, n) for n in shape)
    more: dict[str, Any] = {"shards": tuple(2 * c for c in chunks)} if choices.chance(30) else {}
    z = ndzarr.create_array(store, shape=shape, chunks=chunks, dtype="f8", compressor=choices.pick([None, "zstd"]), **more)
    z[tuple(slice(0, n // 2 + 1) for n in shape)] = 1.0  # the rest was never written
    array = z if choices.chance(60) else z.lazy[::-1]
    for function, kwargs in REDUCTIONS:
        with ndzarr.options(
            working_memory=choices.pick([1, 2000, 1 << 20]), workers=1 if more else choices.pick([1, 2])
        ):  # two threads may both ask for the index of one shard
            told = array.explain(function, **kwargs)
            z._engine._indices = type(z._engine._indices)()
            store.clear()
            got = function(array, **kwargs)
        assert told.requests == len(store.calls()), function
        assert told.nbytes_fetched == sum(call.nbytes or 0 for call in store.calls())
        assert told.nbytes_result == np.asarray(got).nbytes
        z._engine._indices = type(z._engine._indices)()


def test_only_reductions_are_known_beforehand() -> None:
    z = ndzarr.zeros((4, 4), chunks=(2, 2))
    with pytest.raises(ValueError, match="no reduction"):
        z.explain(np.median)
    with pytest.raises(np.exceptions.AxisError):
        z.explain(np.mean, axis=5)
    with pytest.raises(ValueError, match="an index alone"):
        z.explain(slice(None), axis=0)


def test_of_a_view() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.array(np.arange(100.0), store=store, chunks=(10,))
    view = z.lazy[::-1]
    told = view.explain(slice(5, 25))
    store.clear()
    view[5:25].compute()
    assert told.requests == len(store.calls()) == 3


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (np.copyto, (0,), {}),
        (np.clip, (0, 1), {"out": ...}),
        (np.put, ([0], [9]), {}),
        (np.cumsum, (), {"out": ...}),
        (np.nan_to_num, (), {"copy": False, "nan": 9}),
        (np.place, ([True] * 6, [5]), {}),
        (np.median, (), {}),
    ],
)
def test_explaining_what_is_no_reduction_reads_and_writes_nothing(function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(6,), chunks=(2,), dtype="f8")
    z[...] = np.arange(6.0)
    store.clear()
    kwargs = {name: z if value is ... else value for name, value in kwargs.items()}
    with ndzarr.options(working_memory=1), pytest.raises(ndzarr.ArgumentError, match="no reduction"):
        z.explain(function, *args, **kwargs)
    assert not store.calls()
    np.testing.assert_array_equal(z[...], np.arange(6.0))
