"""What was ever written: `presence`, and reads under `missing="mask"`. The model is a NumPy array of booleans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.chunks import Chunks
from ndzarr.stores.base import Store
from ndzarr.testing import expressions
from ndzarr.testing.expressions import IndexKinds, RandomChoices, Sample


def partly_written(choices: RandomChoices, store: Store | None = None) -> tuple[Any, Sample, np.ndarray]:
    """A random array in any layout, what it holds, and which of its elements lie in chunks that were written."""
    sample = expressions.sample(choices)
    z = ndzarr.create_array(store, **sample.keywords)
    written = np.zeros(sample.data.shape, bool)
    axes = z._engine.layout.grid.axes
    with ndzarr.options(write_empty=True):
        for coords, region in sample.regions():
            if coords in sample.missing or choices.chance(20):
                sample.data[region] = z._engine.layout.fill
                continue
            z[region] = sample.data[region]
            spot = [axis.find(s.start) for axis, s in zip(axes, region, strict=True)]
            written[tuple(slice(a.start(c), a.start(c) + a.valid(c)) for a, c in zip(axes, spot, strict=True))] = True
    return z, sample, written


def same(got: Any, want: Any) -> bool:
    """Whether two results of reading or indexing masked arrays are alike."""
    if want is np.ma.masked or got is np.ma.masked:
        return got is want
    if not isinstance(want, np.ma.MaskedArray):
        return not isinstance(got, np.ma.MaskedArray) and type(got) is type(want) and equal(got, want)
    masks = np.ma.getmaskarray(got), np.ma.getmaskarray(want)
    return (
        type(got) is type(want)
        and (got.shape, got.dtype) == (want.shape, want.dtype)
        and np.array_equal(masks[0], masks[1])
        and equal(np.ma.getdata(got), np.ma.getdata(want))
    )


def equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and (np.array_equal(a, b) if a.dtype.kind in "OT" else a.tobytes() == b.tobytes())


def test_presence_and_masks_are_what_was_written() -> None:
    masked = scalars = 0
    for number in range(400):
        choices = RandomChoices(f"missing-{number}")
        z, sample, written = partly_written(choices)
        model = np.ma.MaskedArray(sample.data, ~written)
        for _ in range(8):
            index = expressions.index(choices, z.shape, IndexKinds())
            try:
                want = written[index]
            except (IndexError, ValueError, TypeError) as error:
                with pytest.raises(type(error)):
                    z.presence(index)
                continue
            got = z.presence(index)
            assert type(got) is type(want), (number, index)
            assert np.array_equal(got, want), (number, index)
            plain = z[index]
            with ndzarr.options(missing="mask"):
                found = z[index]
            assert same(found, model[index]), (number, index)
            assert not isinstance(plain, np.ma.MaskedArray)
            if isinstance(found, np.ma.MaskedArray) and found is not np.ma.masked and not z.dtype.names:
                assert equal(found.filled(), plain), (number, index)
            masked += not np.all(want)
            scalars += np.ndim(want) == 0
    assert masked > 500
    assert scalars > 100


@pytest.mark.parametrize("where", ["memory", "local"])
def test_presence_reads_no_chunk(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError("a chunk is decoded")

    for number in range(60):
        choices = RandomChoices(f"bodies-{number}")
        inner = ndzarr.MemoryStore() if where == "memory" else ndzarr.LocalStore(tmp_path / str(number))
        store = ndzarr.FaultStore(inner)
        z, _, written = partly_written(choices, store)
        layout = z._engine.layout
        shards = layout.objects.nchunks if layout.grid is not layout.objects else 0
        store.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Chunks, "decode", refuse)
            assert np.array_equal(z.presence(), written)
        reads = [call for call in store.log if call.op.startswith("get")]
        assert len(reads) <= shards
        for call in reads:
            shard = layout.cell(layout.coords(call.key)).shard
            assert (call.nbytes or 0) <= shard.codec.index_nbytes
            assert (call.range.start, call.range.stop) in ((-shard.codec.index_nbytes, None), (0, shard.codec.index_nbytes))
        assert len(store.log) <= max(1, layout.objects.nchunks)


def test_one_listing_where_most_of_the_grid_is_asked_for() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(100, 100), chunks=(10, 10), dtype="i4", path="a")
    z[15:35, 50:] = 1
    store.clear()
    assert z.presence().sum() == 30 * 50
    assert z.presence(np.s_[::20, ::20]).sum() == 2
    assert [call.op for call in store.log] == ["list", "list"]
    store.clear()
    assert z.presence((20, [5, 55])).tolist() == [False, True]
    assert {call.op for call in store.log} <= {"size", "exists"}
    assert len(store.log) == 2


@pytest.mark.usefixtures("zarr_format")
def test_chunks_of_fill_values_count_as_never_written() -> None:
    z = ndzarr.create_array(shape=(6,), chunks=(2,), dtype="i4", fill_value=0)
    z[...] = [0, 0, 1, 0, 0, 0]
    assert z.presence().tolist() == [False, False, True, True, False, False]
    with ndzarr.options(write_empty=True):
        z[4:] = 0
    assert z.presence().tolist() == [False, False, True, True, True, True]


def test_a_masked_read_needs_no_more_requests() -> None:
    for number in range(150):
        choices = RandomChoices(f"requests-{number}")
        store = ndzarr.FaultStore(ndzarr.MemoryStore())
        partly_written(choices, store)
        counts = []
        for missing in ("fill", "mask"):
            again = ndzarr.open_array(store, missing=missing)
            store.clear()
            again[...]
            counts.append(sorted((call.op, call.key, call.range) for call in store.log))
        assert counts[0] == counts[1]


def test_points(tmp_path: Path) -> None:
    for store in (ndzarr.MemoryStore(), ndzarr.LocalStore(tmp_path)):
        for compressor in (None, "zstd"):
            z = ndzarr.create_array(store, shape=(4, 4), chunks=(2, 2), dtype="f4", compressor=compressor, overwrite=True)
            z[:2, :2] = 1
            z = ndzarr.open_array(store, missing="mask")
            assert z[0, 0] == 1
            assert isinstance(z[0, 0], np.float32)
            assert z[3, 3] is np.ma.masked
            assert z[-1, 0] is np.ma.masked
            with ndzarr.options(missing="mask"):
                assert ndzarr.open_array(store)[3, 3] is np.ma.masked
            with ndzarr.options(missing="fill"):
                assert z[3, 3] is np.ma.masked  # the handle's own setting is nearer
            assert z.presence((3, 3)) == np.False_


def test_fields() -> None:
    dtype = np.dtype([("a", "i4"), ("b", "f8", (2,)), ("c", "S2")])
    z = ndzarr.create_array(shape=(6,), chunks=(2,), dtype=dtype, zarr_format=2, fill_value=np.zeros((), dtype)[()])
    a = np.zeros(6, dtype)
    a[2:4] = z[2:4] = np.array([(1, (2, 3), b"x"), (4, (5, 6), b"y")], dtype)
    model = np.ma.MaskedArray(a)
    model[:2] = model[4:] = np.ma.masked
    for index in ("a", ("a", 3), ["c", "a"], (["c", "a"], slice(1, 4)), slice(1, 5), 3, 0):
        with ndzarr.options(missing="mask"):
            found = z[index]
        want = model[index[0]][index[1]] if isinstance(index, tuple) else model[index]
        assert same(found, want), index
    with ndzarr.options(missing="mask"):
        found = z["b"]
        assert found.mask.tolist() == [[True] * 2] * 2 + [[False] * 2] * 2 + [[True] * 2] * 2
    assert z.presence("b").shape == z["b"].shape
    assert z.presence(("a", 2)) == np.True_
    assert z.presence(["a", "c"]).tolist() == [False, False, True, True, False, False]


def test_indexers_are_masked_and_functions_are_not() -> None:
    z = ndzarr.create_array(shape=(4, 4), chunks=(2, 2), dtype="i4", fill_value=7)
    z[:2, :2] = 1
    with ndzarr.options(missing="mask"):
        assert z.oindex[[0, 3], [0, 1]].tolist() == [[1, 1], [None, None]]
        assert z.vindex[[0, 3], [0, 3]].tolist() == [1, None]
        assert z.blocks[0, :].tolist() == [[1, 1, None, None], [1, 1, None, None]]
        assert type(np.asarray(z)) is np.ndarray
        assert np.asarray(z).tolist()[3] == [7, 7, 7, 7]
        assert z[...].filled().tolist()[3] == [7, 7, 7, 7]
        assert np.ma.getmaskarray(z[:2, :2]).tolist() == [[False, False], [False, False]]
        assert isinstance(z[3:3], np.ma.MaskedArray)


def test_a_damaged_index_is_no_missing_chunk() -> None:
    z = ndzarr.create_array(shape=(8,), chunks=(2,), shards=(8,), dtype="i4")
    z[:2] = 1
    key = "c/0"
    z.store.set(key, bytes(z.store.get(key))[:-1] + b"\xff")
    with pytest.raises(ndzarr.CorruptChunkError, match="c/0"):
        z.presence()


def test_settings() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="'mask'"), ndzarr.options(missing="masked"):
        pass
    group = ndzarr.create_group()
    group.create_array("a", shape=4, chunks=2, dtype="i4")
    assert ndzarr.open(group.store, missing="mask")["a"][...].mask.all()
