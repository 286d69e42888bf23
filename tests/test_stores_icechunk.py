"""Sessions of icechunk: transactions over whole hierarchies, through its store for zarr-python."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import ReadOnlyError, StoreError, ZarrPythonStore
from ndzarr._typing import ByteRange

if sys.version_info < (3, 12):
    pytest.skip("icechunk needs Python 3.12", allow_module_level=True)

import icechunk
import zarr


@pytest.fixture
def repo(tmp_path: Path) -> Any:
    return icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path)))


def test_a_session_is_written_committed_and_read(repo: Any) -> None:
    data = np.random.default_rng(0).random((100, 90), dtype="f4")
    session = repo.writable_session("main")
    ndzarr.create_group(session.store, attributes={"title": "t"})
    z = ndzarr.create_array(
        session.store,
        path="a/b",
        shape=data.shape,
        chunks=(10, 20),
        dtype="f4",
        dimension_names=["y", "x"],
        attributes={"u": 1},
    )
    z[...] = data
    z[3, 5:7] = data[3, 5:7] = 7
    z.attrs["k"] = [1, 2]
    assert np.array_equal(z[...], data)
    session.commit("first")

    store = repo.readonly_session("main").store
    again = ndzarr.open(store, path="a/b")
    assert np.array_equal(again[...], data)
    assert np.array_equal(again[::7, -3], data[::7, -3])
    assert dict(again.attrs) == {"u": 1, "k": [1, 2]}
    assert again.dimension_names == ("y", "x")
    assert np.array_equal(zarr.open_array(store, path="a/b", mode="r")[...], data)
    assert np.array_equal(pickle.loads(pickle.dumps(again))[...], data)
    with pytest.raises(ReadOnlyError):
        ndzarr.open(store, "r+", path="a/b")[0, 0] = 1


def test_what_is_not_committed_is_not_seen(repo: Any) -> None:
    session = repo.writable_session("main")
    z = ndzarr.create_array(session.store, shape=10, chunks=5, dtype="i4")
    z[...] = 1
    session.commit("ones")
    z = ndzarr.open(repo.writable_session("main").store, "r+")
    z[...] = 2
    assert z[...].tolist() == [2] * 10
    assert ndzarr.open(repo.readonly_session("main").store)[...].tolist() == [1] * 10


def test_shards_groups_resizing_and_deletion(repo: Any) -> None:
    store = repo.writable_session("main").store
    root = ndzarr.create_group(store)
    z = root.create_array("g/s", shape=(64, 64), chunks=(8, 8), shards=(32, 32), dtype="i4")
    z[...] = np.arange(4096).reshape(64, 64)
    assert z[33, 33] == 33 * 65
    assert zarr.open_array(store, path="g/s", mode="r")[5, 5] == 325
    z.resize((96, 64))
    z[64:] = -1
    assert z[...].min() == -1
    ndzarr.consolidate(store)
    assert sorted(ndzarr.open_group(store)) == ["g"]
    ndzarr.delete(store, "g/s")
    assert list(ndzarr.open(store, path="g")) == []
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.open(store, path="g/s")


def test_chunks_come_after_the_shape_that_has_them(repo: Any) -> None:
    """icechunk refuses a chunk outside the array as it is: `append`, which writes those first, changes nothing."""
    z = ndzarr.create_array(repo.writable_session("main").store, shape=10, chunks=5, dtype="i4")
    with pytest.raises(StoreError, match="invalid chunk index"):
        z.append(np.ones(10, "i4"))
    assert ndzarr.open(z.store).shape == (10,)


def test_ranges(repo: Any) -> None:
    z = ndzarr.create_array(repo.writable_session("main").store, shape=4000, chunks=4000, dtype="u1", compressor=None)
    z[...] = np.random.default_rng(0).integers(1, 255, 4000).astype("u1")
    value, store = z[...].tobytes(), ZarrPythonStore(z.store.store)
    for start in (0, 1, 2000, 3999, 4000, 4005, -1, -2000, -4000, -4001):
        for stop in (None, 0, 1, 2000, 3999, 4000, 4001, 1 << 40):
            if start >= 0 or stop is None:
                assert bytes(store.get("c/0", ByteRange(start, stop))) == value[start:stop], (start, stop)
    assert store.get_many([("c/1", None), ("zarr.json", ByteRange(0, 1)), ("no/zarr.json", None)]) == [None, b"{", None]
    assert [store.exists(key) for key in ("c/0", "c/1", ".zarray", "c", "odd")] == [True, False, False, False, False]
    assert (store.size("c/0"), store.size("c/1"), store.size("odd")) == (4000, None, None)
    assert sorted(store.list_dir()) == ["c/", "zarr.json"]
    assert store.set_if("zarr.json", b"{}", tag=None) is False
