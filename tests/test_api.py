from __future__ import annotations

import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import ndzarr


def test_every_mode_of_open_array(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    for mode in ("r", "r+", "a"):
        with pytest.raises(ndzarr.NodeNotFoundError):
            ndzarr.open_array(path, mode)
    assert not path.exists()
    for mode in ("w", "w-"):
        with pytest.raises(ndzarr.ArgumentError, match="shape"):
            ndzarr.open_array(path, mode)
    z = ndzarr.open_array(path, "w-", shape=(4,), dtype="i4")
    z[:] = 1
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.open_array(path, "w-", shape=(4,), dtype="i4")
    assert ndzarr.open_array(path, "a", shape=(9,), dtype="f8").shape == (4,)
    ndzarr.open_array(path, "r+")[0] = 5
    assert ndzarr.open_array(path)[:].tolist() == [5, 1, 1, 1]
    assert ndzarr.open_array(path, "w", shape=(2,), dtype="i4")[:].tolist() == [0, 0]
    assert sorted(p.name for p in path.iterdir()) == [".zarray"]
    assert ndzarr.open_array(tmp_path / "y", "a", shape=3, dtype="u1").writable
    with pytest.raises(ndzarr.ArgumentError, match="mode"):
        ndzarr.open_array(path, "x")
    with pytest.raises(ndzarr.ArgumentError, match="group"):
        ndzarr.open_group(path)


def test_every_mode_of_open_group(tmp_path: Path) -> None:
    path = tmp_path / "g"
    for mode in ("r", "r+"):
        with pytest.raises(ndzarr.NodeNotFoundError, match=r"\.zgroup"):
            ndzarr.open_group(path, mode)
    ndzarr.open_group(path, "a", attributes={"a": 1})["x"] = [1]
    assert ndzarr.open_group(path, "a").attrs["a"] == 1
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.open_group(path, "w-")
    assert list(ndzarr.open_group(path)) == ["x"]
    assert list(ndzarr.open_group(path, "w")) == []
    with pytest.raises(ndzarr.ArgumentError, match="array"):
        ndzarr.open_array(path)


def test_open_says_what_it_finds() -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_group(data)["a"] = [1]
    assert isinstance(ndzarr.open(data), ndzarr.Group)
    assert isinstance(ndzarr.open(data, path="a"), ndzarr.ZArray)
    for mode in ("w", "w-", "q"):
        with pytest.raises(ndzarr.ArgumentError, match="mode"):
            ndzarr.open(data, mode)
    with pytest.raises(ndzarr.NodeNotFoundError, match="format 2"):
        ndzarr.open({"zarr.json": b"{}"})


def test_opening_an_array_takes_two_requests_and_creating_lists_nothing() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    ndzarr.create_array(store, shape=3)
    assert "list" not in store.counts
    assert "list_dir" not in store.counts
    store.clear()
    ndzarr.open(store)
    assert len(store.log) == 2


def test_creating_looks_for_consolidated_metadata_once_a_level() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    ndzarr.create_group(store)
    store.clear()
    ndzarr.create_array(store, shape=3, path="x", attributes={"a": 1})
    assert sorted(str(call.key) for call in store.log if str(call.key).endswith(".zmetadata")) == [".zmetadata", "x/.zmetadata"]


def test_an_empty_mapping_is_a_store() -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_array(data, shape=(2,), dtype="i4")
    assert set(data) == {".zarray"}
    assert ndzarr.create_array(shape=(2,)).store is not ndzarr.create_array(shape=(2,)).store


def test_makers() -> None:
    assert ndzarr.zeros((2, 2), dtype="i2")[...].tolist() == [[0, 0], [0, 0]]
    assert ndzarr.ones(3)[:].tolist() == [1, 1, 1]
    assert ndzarr.full((2,), 7.5)[:].tolist() == [7.5, 7.5]
    assert ndzarr.empty(2, dtype="i4").fill_value is None
    assert ndzarr.array([[1, 2]], dtype="f4").dtype == "f4"
    assert ndzarr.create is ndzarr.create_array
    z = ndzarr.array(np.arange(6, dtype=">i2").reshape(2, 3), chunks=(1, 2), compressor="lz4", order="F")
    for like, value in [
        (ndzarr.zeros_like(z), 0),
        (ndzarr.ones_like(z), 1),
        (ndzarr.full_like(z, 5), 5),
        (ndzarr.empty_like(z), 0),
    ]:
        assert (like.shape, like.dtype, like.chunks, like.order) == (z.shape, z.dtype, z.chunks, "F")
        assert like.metadata.codecs == z.metadata.codecs
        assert (like[...] == value).all()
    assert ndzarr.zeros_like(np.ones((3, 4), "f4")).dtype == "f4"
    assert ndzarr.zeros_like(z, dtype="f8", chunks=2).chunks == (2, 2)
    assert ndzarr.array(z).chunks == z.chunks
    assert ndzarr.zeros(2, dtype=object, filters=["vlen-utf8"])[:].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("chunks", "want"),
    [("auto", (100, 80)), (None, (100, 80)), (True, (100, 80)), (False, (100, 80)), (7, (7, 7)), ((10, -1), (10, 80)),
     ([10, None], (10, 80)), ((1000, 1000), (1000, 1000))],
)  # fmt: skip
def test_chunks_forms(chunks: Any, want: tuple[int, ...]) -> None:
    assert ndzarr.zeros((100, 80), chunks=chunks).chunks == want


@pytest.mark.parametrize(
    "bad",
    [
        {"shape": -1}, {"shape": "a"}, {"shape": (2, 2.5)}, {"chunks": (1, 2)}, {"chunks": 0}, {"chunks": "big"},
        {"chunks": (-2,)}, {"chunks": 1.5}, {"order": "A"}, {"dimension_separator": "-"}, {"zarr_format": 3},
        {"zarr_format": 1}, {"shards": (2,)}, {"compressor": "nope"}, {"compressor": {"id": "zlib", "level": 99}},
        {"compressor": {"id": "zlib", "colour": 1}}, {"filters": "nope"}, {"fill_value": "x"}, {"dtype": "S"},
        {"attributes": {"a": object()}}, {"dimension_names": ["x", "y"]}, {"path": "a/../b"}, {"compressor": 3},
    ],
    ids=lambda bad: next(iter(bad)),
)  # fmt: skip
def test_bad_arguments_write_nothing(bad: dict[str, Any]) -> None:
    data: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.create_array(data, **{"shape": (4,), **bad})
    assert data == {}


@pytest.mark.parametrize(
    "compressor",
    ["zstd", "zlib", "gzip", "bz2", "lzma", "lz4", "blosc", "snappy", {"id": "zlib", "level": 3},
     {"name": "zstd", "configuration": {"level": 3}}, numcodecs.Blosc("zstd"), [numcodecs.Zlib(), "crc32c"], None, []],
    ids=repr,
)  # fmt: skip
def test_compressor_forms(compressor: Any) -> None:
    z = ndzarr.array(np.arange(100), compressor=compressor, chunks=30)
    assert ndzarr.open_array(z.store)[:].tolist() == list(range(100))


@pytest.mark.parametrize("compressor", ["auto", None, "zlib", "blosc"])
def test_checksum_option_finds_every_flip(compressor: Any) -> None:
    """Promise P12, for one chunk: each bit changed in turn is noticed, or it carried nothing and the values are right."""
    values = list(range(50))
    z = ndzarr.array(np.arange(50, dtype="i2"), compressor=compressor, checksum=True, chunks=50)
    good = bytes(z.store.get("0") or b"")
    found = 0
    for k in range(8 * len(good)):
        z.store.set("0", good[: k // 8] + bytes([good[k // 8] ^ (1 << k % 8)]) + good[k // 8 + 1 :])
        try:
            assert z[:].tolist() == values
        except ndzarr.CorruptChunkError:
            found += 1
    assert found >= 8 * len(good) - 8  # zstd's frame header has a few unused bits
    z.store.set("0", good)
    assert z[:].tolist() == values


def test_save_and_load(tmp_path: Path) -> None:
    a, b = np.arange(6).reshape(2, 3), np.array(["x", "yy"])
    for place in (tmp_path / "one.zarr", tmp_path / "one.zip", {}):
        ndzarr.save(place, a)
        np.testing.assert_array_equal(ndzarr.load(place), a)
        ndzarr.save(place, b, a=a)
        loaded = ndzarr.load(place)
        assert isinstance(loaded, dict)
        assert sorted(loaded) == ["a", "arr_0"]
        np.testing.assert_array_equal(loaded["arr_0"], b)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert len(archive.namelist()) == len(set(archive.namelist()))
        assert json.loads(archive.read("a/.zarray"))["shape"] == [2, 3]
    with pytest.raises(ndzarr.ArgumentError, match="nothing"):
        ndzarr.save({})


def test_delete() -> None:
    g = ndzarr.create_group()
    g["a/b"] = [1]
    ndzarr.delete(g.store, "a")
    assert list(g) == []
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.delete(g.store, "a")


def test_a_document_that_is_too_large() -> None:
    data = {".zarray": b"{" + b" " * 1000 + b"}"}
    with ndzarr.options(max_metadata=1000), pytest.raises(ndzarr.MetadataError, match="max_metadata"):
        ndzarr.open(data)


def test_options() -> None:
    with ndzarr.options(workers=1) as outer:
        with ndzarr.options(missing="raise") as inner:
            assert (inner.workers, inner.missing) == (1, "raise")
        assert outer.missing == "fill"
    for bad in (
        {"nope": 1},
        {"workers": 0},
        {"workers": True},
        {"workers": 1.5},
        {"workers": "x"},
        {"missing": "x"},
        {"exclusive": 2},
        {"max_result": "x"},
        {"max_metadata": -5},
        {"max_object": 0},
        {"durable": 1},
    ):
        with pytest.raises(ndzarr.ArgumentError), ndzarr.options(**bad):
            pass


@pytest.mark.parametrize(
    "bad",
    [
        {"shape": 2**63},
        {"shape": 4, "chunks": 2**63},
        {"shape": (1,) * 65},
        {"shape": 4, "dtype": np.dtype(("f4", (2,)))},
        {"shape": 4, "dtype": [("a", "S0"), ("b", "i4")]},
        {"shape": 4, "attributes": [1, 2]},
        {"shape": 4, "attributes": "abc"},
        {"shape": 4, "dimension_names": 5},
        {"shape": 4, "dimension_names": [1]},
    ],
    ids=str,
)
def test_what_could_not_be_opened_again_is_not_written(bad: dict[str, Any]) -> None:
    data: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.create_array(data, **bad)
    assert data == {}


def test_attributes_too_deep_to_be_read_again() -> None:
    z = ndzarr.zeros(3)
    deep: list[Any] = []
    for _ in range(150):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    for value in (deep, endless, np.longdouble(1)):
        with pytest.raises(ndzarr.ArgumentError):
            z.attrs["x"] = value
    assert dict(ndzarr.open(z.store).attrs) == {}


def test_overwriting_removes_what_a_broken_deletion_left() -> None:
    data: dict[str, bytes] = {}
    z = ndzarr.create_array(data, shape=(4,), dtype="i4", chunks=(2,), fill_value=0)
    z[:] = 5
    del data[".zarray"]
    data["notes.txt"] = b"somebody's"
    assert ndzarr.create_array(data, shape=(4,), dtype="i4", chunks=(2,), fill_value=0, overwrite=True)[:].tolist() == [0] * 4
    assert sorted(data) == [".zarray", "notes.txt"]


def test_creating_is_one_step() -> None:
    for _ in range(20):
        store = ndzarr.MemoryStore()
        barrier = threading.Barrier(6)
        made = []

        def make(n: int, store: ndzarr.MemoryStore = store, barrier: threading.Barrier = barrier, made: Any = made) -> None:
            barrier.wait()
            try:
                ndzarr.create_array(store, shape=n, path="x")
            except ndzarr.NodeExistsError:
                return
            made.append(n)

        threads = [threading.Thread(target=make, args=(n,)) for n in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert ndzarr.open_array(store, path="x").shape == (made[0],)


def test_nothing_is_made_under_an_array() -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_array(data, shape=3, path="arr")
    before = dict(data)
    for overwrite in (False, True):
        with pytest.raises(ndzarr.NodeExistsError):
            ndzarr.create_array(data, shape=3, path="arr/x/y", overwrite=overwrite)
    assert data == before
