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


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def chunk_key(version: int, *coords: int) -> str:
    return ".".join(map(str, coords)) if version == 2 else "/".join(["c", *map(str, coords)])


def test_the_newest_format_is_the_default() -> None:
    assert ndzarr.create_array(shape=3).zarr_format == 3
    assert ndzarr.create_group().zarr_format == 3
    for make in (ndzarr.zeros, ndzarr.ones, ndzarr.empty):
        assert make(3).zarr_format == 3
    ndzarr.save(data := {}, [1], x=[2])
    assert "x/zarr.json" in data
    for bad in (1, 4, "3", 3.0, True):
        with pytest.raises(ndzarr.ArgumentError, match="zarr_format"):
            ndzarr.create_array(shape=3, zarr_format=bad)
        with pytest.raises(ndzarr.ArgumentError, match="zarr_format"):
            ndzarr.create_group(zarr_format=bad)


def test_every_mode_of_open_array(tmp_path: Path, version: int) -> None:
    path = tmp_path / "x.zarr"
    for mode in ("r", "r+", "a"):
        with pytest.raises(ndzarr.NodeNotFoundError):
            ndzarr.open_array(path, mode)
    assert not path.exists()
    for mode in ("w", "w-"):
        with pytest.raises(ndzarr.ArgumentError, match="shape"):
            ndzarr.open_array(path, mode)
    z = ndzarr.open_array(path, "w-", shape=(4,), dtype="i4", zarr_format=version)
    z[:] = 1
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.open_array(path, "w-", shape=(4,), dtype="i4")
    assert ndzarr.open_array(path, "a", shape=(9,), dtype="f8").shape == (4,)
    ndzarr.open_array(path, "r+")[0] = 5
    assert ndzarr.open_array(path)[:].tolist() == [5, 1, 1, 1]
    assert ndzarr.open_array(path, "w", shape=(2,), dtype="i4", zarr_format=version)[:].tolist() == [0, 0]
    assert sorted(p.name for p in path.iterdir() if p.name != ".ndzarr") == [".zarray" if version == 2 else "zarr.json"]
    assert ndzarr.open_array(tmp_path / "y", "a", shape=3, dtype="u1").writable
    with pytest.raises(ndzarr.ArgumentError, match="mode"):
        ndzarr.open_array(path, "x")
    with pytest.raises(ndzarr.ArgumentError, match="group"):
        ndzarr.open_group(path)


def test_every_mode_of_open_group(tmp_path: Path, version: int) -> None:
    path = tmp_path / "g"
    for mode in ("r", "r+"):
        with pytest.raises(ndzarr.NodeNotFoundError, match=r"\.zgroup"):
            ndzarr.open_group(path, mode)
    ndzarr.open_group(path, "a", attributes={"a": 1}, zarr_format=version)["x"] = [1]
    assert ndzarr.open_group(path).zarr_format == ndzarr.open_array(path / "x").zarr_format == version
    assert ndzarr.open_group(path, "a").attrs["a"] == 1
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.open_group(path, "w-")
    assert list(ndzarr.open_group(path)) == ["x"]
    assert list(ndzarr.open_group(path, "w")) == []
    with pytest.raises(ndzarr.ArgumentError, match="array"):
        ndzarr.open_array(path)


def test_open_says_what_it_finds(version: int) -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_group(data, zarr_format=version)["a"] = [1]
    assert isinstance(ndzarr.open(data), ndzarr.Group)
    assert isinstance(ndzarr.open(data, path="a"), ndzarr.ZArray)
    for mode in ("w", "w-", "q"):
        with pytest.raises(ndzarr.ArgumentError, match="mode"):
            ndzarr.open(data, mode)
    with pytest.raises(ndzarr.NodeNotFoundError, match=r"'zarr\.json', '\.zarray', '\.zgroup'"):
        ndzarr.open({})
    with pytest.raises(ndzarr.MetadataError, match=r"zarr\.json.*zarr_format"):
        ndzarr.open({"zarr.json": b"{}"})


def test_opening_an_array_takes_few_requests_and_creating_lists_nothing(version: int) -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    ndzarr.create_array(store, shape=3, zarr_format=version)
    assert "list" not in store.counts
    assert "list_dir" not in store.counts
    store.clear()
    ndzarr.open(store)
    assert len(store.log) == {2: 3, 3: 1}[version]


def test_creating_looks_for_consolidated_metadata_once_a_level() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    ndzarr.create_group(store, zarr_format=2)
    store.clear()
    ndzarr.create_array(store, shape=3, path="x", attributes={"a": 1})
    assert sorted(str(call.key) for call in store.log if str(call.key).endswith(".zmetadata")) == [".zmetadata", "x/.zmetadata"]


def test_creating_in_format_3_takes_few_requests() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    g = ndzarr.create_group(store)
    store.clear()
    g.create_array("x", shape=3, attributes={"a": 1})
    # Is something there, is the group above a group, is work there that is not finished (together, where a store can), the
    # document, consolidated metadata of the group above.
    assert [(call.op, call.key) for call in store.log] == [
        ("get", "x/zarr.json"),
        ("exists", "x/.zarray"),
        ("exists", "x/.zgroup"),
        ("get", "zarr.json"),
        ("get", "x/__unfinished__/record.json"),
        ("get", "x/__rechunk__/record.json"),
        ("set", "x/zarr.json"),
        ("get", "zarr.json"),
    ]


def test_what_is_there_already_is_asked_at_once(version: int) -> None:
    """Of a store that takes many requests together: one for all documents, one for records of unfinished work."""
    asked: list[list[str]] = []

    class Together(ndzarr.MemoryStore):
        batched = True

        def get_many(self, requests: Any) -> Any:
            requests = list(requests)
            asked.append([key for key, _ in requests])
            return super().get_many(requests)

    store = Together()
    ndzarr.create_array(store, shape=3, zarr_format=version)
    assert asked == [["zarr.json", ".zarray", ".zgroup"], ["__unfinished__/record.json", "__rechunk__/record.json"]]
    for there in (".zarray", ".zgroup", "zarr.json"):
        store = Together({there: b"not even JSON"})
        with pytest.raises(ndzarr.NodeExistsError, match="damaged" if there == "zarr.json" else there[2:]):
            ndzarr.create_array(store, shape=3, zarr_format=version)
        assert store.get(there) == b"not even JSON"


def test_an_empty_mapping_is_a_store(version: int) -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_array(data, shape=(2,), dtype="i4", zarr_format=version)
    assert set(data) == {".zarray" if version == 2 else "zarr.json"}
    assert ndzarr.create_array(shape=(2,)).store is not ndzarr.create_array(shape=(2,)).store


def test_makers(version: int) -> None:
    make: dict[str, Any] = {"zarr_format": version}
    assert ndzarr.zeros((2, 2), dtype="i2", **make)[...].tolist() == [[0, 0], [0, 0]]
    assert ndzarr.ones(3, **make)[:].tolist() == [1, 1, 1]
    assert ndzarr.full((2,), 7.5, **make)[:].tolist() == [7.5, 7.5]
    empty = ndzarr.empty(2, dtype="i4", **make)
    assert empty.fill_value == (None if version == 2 else 0)
    assert ndzarr.array([[1, 2]], dtype="f4", **make).dtype == "f4"
    assert ndzarr.create is ndzarr.create_array
    values = np.arange(6, dtype=">i2").reshape(2, 3)
    z = ndzarr.array(values, chunks=(1, 2), compressor="lz4", order="F", **make)
    assert z.dtype == (">i2" if version == 2 else np.dtype("i2"))
    np.testing.assert_array_equal(z[...], values)
    for like, value in [
        (ndzarr.zeros_like(z), 0),
        (ndzarr.ones_like(z), 1),
        (ndzarr.full_like(z, 5), 5),
        (ndzarr.empty_like(z), 0),
    ]:
        assert (like.shape, like.dtype, like.chunks, like.order) == (z.shape, z.dtype, z.chunks, "F")
        assert like.zarr_format == version
        assert like.metadata.codecs == z.metadata.codecs
        assert (like[...] == value).all()
    assert ndzarr.zeros_like(np.ones((3, 4), "f4"), **make).dtype == "f4"
    assert ndzarr.zeros_like(z, dtype="f8", chunks=2).chunks == (2, 2)
    assert ndzarr.array(z).chunks == z.chunks
    assert ndzarr.zeros(2, dtype=object, filters=["vlen-utf8"], **make)[:].tolist() == ["", ""]
    assert ndzarr.zeros_like(z, zarr_format=5 - version).chunks == z.chunks


@pytest.mark.parametrize(
    ("chunks", "want"),
    [("auto", (100, 80)), (None, (100, 80)), (True, (100, 80)), (False, (100, 80)), (7, (7, 7)), ((10, -1), (10, 80)),
     ([10, None], (10, 80)), ((1000, 1000), (1000, 1000))],
)  # fmt: skip
def test_chunks_forms(chunks: Any, want: tuple[int, ...], version: int) -> None:
    assert ndzarr.zeros((100, 80), chunks=chunks, zarr_format=version).chunks == want


@pytest.mark.parametrize(
    "bad",
    [
        {"shape": -1}, {"shape": "a"}, {"shape": (2, 2.5)}, {"chunks": (1, 2)}, {"chunks": 0}, {"chunks": "big"},
        {"chunks": (-2,)}, {"chunks": 1.5}, {"order": "A"}, {"dimension_separator": "-"},
        {"zarr_format": 1}, {"shards": (2,), "zarr_format": 2}, {"shards": (5,), "chunks": 2}, {"shards": 0}, {"shards": "x"},
        {"chunks": [[2, 2]], "zarr_format": 2}, {"chunks": [[2, 1]]}, {"chunks": [[]]}, {"chunks": [[4, 0]]},
        {"chunks": [[4, "x"]]}, {"chunks": [[2, 2]], "shards": 4}, {"chunks": 2, "shards": [[3, 2]]}, {"chunks": ["4"]},
        {"dtype": object}, {"dtype": object, "filters": ["json2"], "zarr_format": 3}, {"dtype": "g", "zarr_format": 3},
        {"filters": ["vlen-utf8"]}, {"compressor": ["zstd", {"name": "bytes"}], "zarr_format": 3},
        {"path": "a/__b", "zarr_format": 3}, {"path": "...", "zarr_format": 3},
        {"attributes": {"a": float("nan")}, "zarr_format": 3}, {"compressor": {"name": "transpose"}},
        {"compressor": "nope"}, {"compressor": {"id": "zlib", "level": 99}},
        {"compressor": {"id": "zlib", "colour": 1}}, {"filters": "nope"}, {"fill_value": "x"}, {"dtype": "S"},
        {"attributes": {"a": object()}}, {"dimension_names": ["x", "y"]}, {"path": "a/../b"}, {"compressor": 3},
    ],
    ids=lambda bad: next(iter(bad)),
)  # fmt: skip
def test_bad_arguments_write_nothing(bad: dict[str, Any], version: int) -> None:
    data: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.create_array(data, **{"shape": (4,), "zarr_format": version, **bad})
    assert data == {}


@pytest.mark.parametrize(
    "compressor",
    ["zstd", "zlib", "gzip", "bz2", "lzma", "lz4", "blosc", "snappy", {"id": "zlib", "level": 3},
     {"name": "zstd", "configuration": {"level": 3}}, numcodecs.Blosc("zstd"), [numcodecs.Zlib(), "crc32c"], None, []],
    ids=repr,
)  # fmt: skip
def test_compressor_forms(compressor: Any, version: int) -> None:
    z = ndzarr.array(np.arange(100), compressor=compressor, chunks=30, zarr_format=version)
    assert ndzarr.open_array(z.store)[:].tolist() == list(range(100))


@pytest.mark.parametrize("compressor", ["auto", None, "zlib", "blosc"])
def test_checksum_option_finds_every_flip(compressor: Any, version: int) -> None:
    """Promise P12, for one chunk: each bit changed in turn is noticed, or it carried nothing and the values are right."""
    values = list(range(50))
    z = ndzarr.array(np.arange(50, dtype="i2"), compressor=compressor, checksum=True, chunks=50, zarr_format=version)
    key = chunk_key(version, 0)
    good = bytes(z.store.get(key) or b"")
    found = 0
    for k in range(8 * len(good)):
        z.store.set(key, good[: k // 8] + bytes([good[k // 8] ^ (1 << k % 8)]) + good[k // 8 + 1 :])
        try:
            assert z[:].tolist() == values
        except ndzarr.CorruptChunkError:
            found += 1
    assert found >= 8 * len(good) - 8  # zstd's frame header has a few unused bits
    z.store.set(key, good)
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
        assert json.loads(archive.read("a/zarr.json"))["shape"] == [2, 3]
    with pytest.raises(ndzarr.ArgumentError, match="nothing"):
        ndzarr.save({})


def test_delete(version: int) -> None:
    g = ndzarr.create_group(zarr_format=version)
    g["a/b"] = [1]
    ndzarr.delete(g.store, "a")
    assert list(g) == []
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.delete(g.store, "a")


@pytest.mark.parametrize("name", [".zarray", ".zgroup", "zarr.json"])
def test_a_document_that_is_too_large(name: str) -> None:
    data = {name: b"{" + b" " * 1000 + b"}"}
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
def test_what_could_not_be_opened_again_is_not_written(bad: dict[str, Any], version: int) -> None:
    data: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.create_array(data, zarr_format=version, **bad)
    assert data == {}


def test_attributes_too_deep_to_be_read_again(version: int) -> None:
    z = ndzarr.zeros(3, zarr_format=version)
    deep: list[Any] = []
    for _ in range(150):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    for value in (deep, endless, np.longdouble(1)):
        with pytest.raises(ndzarr.ArgumentError):
            z.attrs["x"] = value
    assert dict(ndzarr.open(z.store).attrs) == {}


@pytest.mark.parametrize("separator", ["/", "."])
def test_overwriting_removes_what_a_broken_deletion_left(version: int, separator: str) -> None:
    data: dict[str, bytes] = {}
    create: dict[str, Any] = {
        "dtype": "i4", "fill_value": 0, "zarr_format": version, "dimension_separator": separator, "path": "x",
    }  # fmt: skip
    z = ndzarr.create_array(data, shape=(4, 2), chunks=(2, 1), **create)
    z[:] = 5
    name = ".zarray" if version == 2 else "zarr.json"
    del data[f"x/{name}"]
    strange = {
        "x/notes.txt": b"somebody's",
        "x/c/notes": b"theirs",
        "x/c.txt": b"theirs",
        "x/7/.zarray": b"{}",
        "x/7/0.0": b"a chunk of another node",
    }
    data |= strange
    data |= {"x/0": b"x", "x/3.1": b"x", "x/c": b"x", "x/c.0.7": b"x"}
    again = ndzarr.create_array(data, shape=(4, 2), chunks=(2, 1), overwrite=True, **create)
    assert again[...].tolist() == [[0, 0]] * 4
    assert {k for k in data if k.startswith("x/")} == {f"x/{name}", *strange}


def test_creating_is_one_step(version: int) -> None:
    for _ in range(20):
        store = ndzarr.MemoryStore()
        barrier = threading.Barrier(6)
        made = []

        def make(n: int, store: ndzarr.MemoryStore = store, barrier: threading.Barrier = barrier, made: Any = made) -> None:
            barrier.wait()
            try:
                ndzarr.create_array(store, shape=n, path="x", zarr_format=2 if n == 1 else version)
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


def test_nothing_is_made_under_an_array(version: int) -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_array(data, shape=3, path="arr", zarr_format=version)
    before = dict(data)
    for overwrite in (False, True):
        for other in (None, 2, 3):
            with pytest.raises(ndzarr.NodeExistsError):
                ndzarr.create_array(data, shape=3, path="arr/x/y", overwrite=overwrite, zarr_format=other)
    assert data == before


def test_a_damaged_document_is_not_overwritten_by_accident() -> None:
    for damaged in (b"", b"{", b"{}", b'{"zarr_format": 3, "node_type": "array"}', b"[]"):
        data = {"x/zarr.json": damaged, "zarr.json": b'{"zarr_format": 3, "node_type": "group"}'}
        with pytest.raises(ndzarr.MetadataError, match=r"x/zarr\.json"):
            ndzarr.open(data, path="x")
        for version in (2, 3):
            with pytest.raises(ndzarr.NodeExistsError):
                ndzarr.create_array(data, shape=3, path="x", zarr_format=version)
            with pytest.raises((ndzarr.MetadataError, ndzarr.NodeExistsError)):
                ndzarr.create_array(data, shape=3, path="x/below", zarr_format=version)
        assert list(ndzarr.open(data)) == ["x"]
        assert ndzarr.create_array(data, shape=3, path="x", overwrite=True).shape == (3,)
        data["x/zarr.json"] = damaged
        ndzarr.delete(data, "x")
        assert set(data) == {"zarr.json"}


# ---- what format 3 adds --------------------------------------------------------------------------------


def document(z: ndzarr.ZArray) -> dict[str, Any]:
    return dict(json.loads(bytes(z.store.get(f"{z.path}/zarr.json".lstrip("/")) or b"")))


def test_the_document_of_a_plain_array() -> None:
    z = ndzarr.create_array(shape=(4, 6), dtype="i4", chunks=(2, 3), dimension_names=["y", None], attributes={"a": 1})
    assert document(z) == {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 6],
        "data_type": "int32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 1}},
        ],
        "attributes": {"a": 1},
        "dimension_names": ["y", None],
    }
    assert ndzarr.open(z.store).dimension_names == ("y", None)
    z = ndzarr.create_array(shape=(4, 6), dtype="i4", dimension_separator=".")
    z[...] = 1
    assert sorted(z.store.list()) == ["c.0.0", "zarr.json"]


@pytest.mark.parametrize(
    ("create", "dtype", "data_type", "fill"),
    [
        ({"dtype": ">f8"}, np.dtype("f8"), "float64", 0.0),
        ({"dtype": str}, np.dtypes.StringDType(), "string", ""),
        ({"dtype": np.dtypes.StringDType()}, np.dtypes.StringDType(), "string", ""),
        ({"dtype": object, "filters": ["vlen-utf8"]}, np.dtypes.StringDType(), "string", ""),
        ({"dtype": object, "filters": ["vlen-bytes"]}, np.dtype(object), "bytes", b""),
        ({"dtype": "M8[s]"}, np.dtype("M8[s]"), None, np.datetime64("NaT", "s")),
        ({"dtype": bool}, np.dtype(bool), "bool", False),
        ({"dtype": "U3"}, np.dtype("U3"), None, ""),
        ({"dtype": ">U3"}, np.dtype("U3"), None, ""),
        ({"dtype": "S3"}, np.dtype("S3"), None, b""),
        ({"dtype": "V2"}, np.dtype("V2"), "r16", np.void(b"\0\0")),
        ({"dtype": [("a", ">i2"), ("b", ">f4")]}, np.dtype([("a", "i2"), ("b", "f4")]), None, None),
    ],
    ids=str,
)
def test_dtypes_of_format_3(create: dict[str, Any], dtype: Any, data_type: Any, fill: Any) -> None:
    z = ndzarr.create_array(shape=3, **create)
    assert z.dtype == dtype
    if data_type is not None:
        assert document(z)["data_type"] == data_type
    if fill is not None:
        assert z.fill_value == fill or (fill != fill and z.fill_value != z.fill_value)
    bytes_ = [c for c in document(z)["codecs"] if c["name"] == "bytes"]
    if bytes_ and "configuration" in bytes_[0]:
        big = np.dtype(create["dtype"]).str.startswith(">") or isinstance(create["dtype"], list)
        assert bytes_[0]["configuration"] == {"endian": "big" if big else "little"}
    again = ndzarr.open(z.store)
    assert again.dtype == dtype
    assert again.metadata.codecs == z.metadata.codecs


def test_objects_need_to_say_what_they_are() -> None:
    with pytest.raises(ndzarr.ArgumentError, match=r"vlen-utf8.*vlen-bytes"):
        ndzarr.create_array(shape=3, dtype=object)
    z = ndzarr.create_array(shape=3, dtype=object, filters=["vlen-bytes"], fill_value=b"ab")
    z[0] = b"xyz"
    assert ndzarr.open(z.store)[:].tolist() == [b"xyz", b"ab", b"ab"]
    z = ndzarr.create_array(shape=3, dtype=str, fill_value="?")
    z[0] = "x" * 100
    assert ndzarr.open(z.store)[:].tolist() == ["x" * 100, "?", "?"]


def names(codecs: Any) -> list[str]:
    return [codec["name"] for codec in codecs]


def test_the_order_of_codecs() -> None:
    create: dict[str, Any] = {"shape": (6, 4), "dtype": ">i4", "chunks": (3, 2), "order": "F", "checksum": True}
    values = np.arange(24).reshape(6, 4)
    plain = ndzarr.create_array(**create)
    assert names(document(plain)["codecs"]) == ["transpose", "bytes", "zstd", "crc32c"]
    assert document(plain)["codecs"][0]["configuration"] == {"order": [1, 0]}
    sharded = ndzarr.create_array(**create, shards=(6, 4))
    (shard,) = document(sharded)["codecs"]
    assert names(shard["configuration"]["codecs"]) == ["transpose", "bytes", "zstd", "crc32c"]
    assert shard["configuration"] == {
        "chunk_shape": [3, 2],
        "codecs": document(plain)["codecs"],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    assert document(sharded)["chunk_grid"]["configuration"] == {"chunk_shape": [6, 4]}
    assert (sharded.chunks, sharded.shards) == ((3, 2), (6, 4))
    twice = ndzarr.create_array(shape=4, compressor=["zstd", "crc32c"], checksum=True)
    assert names(document(twice)["codecs"]) == ["bytes", "zstd", "crc32c"]
    assert names(document(ndzarr.create_array(shape=4, order="F"))["codecs"]) == ["bytes", "zstd"]
    for z in (plain, sharded):
        z[...] = values
        np.testing.assert_array_equal(ndzarr.open(z.store)[...], values)
        like = ndzarr.zeros_like(z)
        assert (like.metadata.codecs, like.chunks, like.shards) == (z.metadata.codecs, z.chunks, z.shards)
        copy = ndzarr.array(z)
        assert (copy.metadata.codecs, copy.chunks, copy.shards) == (z.metadata.codecs, z.chunks, z.shards)
        np.testing.assert_array_equal(copy[...], values)


@pytest.mark.parametrize(
    ("shape", "create", "chunks", "shards"),
    [
        ((100, 80), {"chunks": 10, "shards": 20}, (10, 10), (20, 20)),
        ((100, 80), {"chunks": (10, 8), "shards": (-1, 16)}, (10, 8), (100, 16)),
        ((95, 81), {"chunks": 10, "shards": -1}, (10, 10), (100, 90)),
        ((95, 81), {"chunks": 10, "shards": (None, 20)}, (10, 10), (100, 20)),
        ((100, 80), {"chunks": (10, 8), "shards": "auto"}, (10, 8), (100, 80)),
        ((10**5, 10**5), {"chunks": (512, 256), "shards": "auto", "dtype": "f8"}, (512, 256), (3584, 1792)),
        ((10**5, 10**5), {"shards": (1000, 1000), "dtype": "f8"}, (500, 500), (1000, 1000)),
        ((10**5, 997), {"shards": (1000, 997), "dtype": "f8"}, (200, 997), (1000, 997)),
        ((60,), {"chunks": 5, "shards": [[20, 30, 10]]}, (5,), ((20, 30, 10),)),
        ((60, 6), {"shards": [[20, 30, 10], 6]}, (10, 6), ((20, 30, 10), 6)),
        ((0, 6), {"chunks": (2, 3), "shards": -1}, (2, 3), (2, 6)),
        ((), {"shards": "auto"}, (), ()),
        ((35, 8), {"chunks": [[10, 20, 5], 4]}, ((10, 20, 5), 4), None),
        ((35, 8), {"chunks": [np.array([10, 20, 5]), None]}, ((10, 20, 5), 8), None),
        ((35,), {"chunks": [[10, 20, 50]]}, ((10, 20, 50),), None),
        ((35, 8), {"shards": False}, (35, 8), None),
    ],
    ids=str,
)
def test_shards_and_chunks(shape: Any, create: dict[str, Any], chunks: Any, shards: Any) -> None:
    z = ndzarr.create_array(shape=shape, **create)
    assert z.shards == shards
    if (create.get("chunks"), shards is None) != (None, False):
        assert z.chunks == chunks
    for chunk, shard in zip(z.chunks, z.shards or (), strict=False):
        assert all(n % chunk == 0 for n in (shard if isinstance(shard, tuple) else [shard]))
    like = ndzarr.zeros_like(z)
    assert (like.chunks, like.shards) == (z.chunks, z.shards)
    if z.size < 10**6:
        z[...] = values = np.arange(z.size).reshape(shape)
        np.testing.assert_array_equal(ndzarr.open(z.store)[...], values)


def test_automatic_chunks_divide_the_shards() -> None:
    for length in (1000, 997, 1 << 20, 3 * 5 * 7 * 11 * 13):
        z = ndzarr.create_array(shape=(10 * length,), shards=length, dtype="f8")
        assert length % z.chunks[0] == 0
        assert min(length, 1 << 14) <= z.chunks[0] <= 1 << 20


def test_a_sharding_codec_of_the_callers_own() -> None:
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    inner = {"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 2], "codecs": [little]}}
    outer = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [4, 4], "codecs": [inner], "index_location": "start"},
    }
    values = np.arange(64).reshape(8, 8)
    for create in ({"filters": [outer]}, {"compressor": outer}, {"compressor": [outer], "chunks": (8, 4)}):
        z = ndzarr.create_array(shape=(8, 8), dtype="i8", checksum=True, order="F", **create)
        assert z.chunks == (4, 4)
        (shard,) = document(z)["codecs"]
        assert shard["configuration"]["index_location"] == "start"
        (inside,) = shard["configuration"]["codecs"]
        assert names(inside["configuration"]["codecs"]) == ["transpose", "bytes", "crc32c"]
        z[...] = values
        np.testing.assert_array_equal(ndzarr.open(z.store)[...], values)
        assert ndzarr.zeros_like(z).metadata.codecs == z.metadata.codecs
    with pytest.raises(ndzarr.ArgumentError, match="chunk_shape"):
        ndzarr.create_array(shape=(8, 8), filters=[outer], chunks=6)


def test_copies_between_formats() -> None:
    values = np.arange(12, dtype="i4").reshape(3, 4)
    delta = {"id": "delta", "dtype": "<i4"}
    for source in (2, 3):
        z = ndzarr.array(values, chunks=(2, 2), filters=[delta], compressor=["zlib", "crc32c"], zarr_format=source, order="F")
        copy = ndzarr.array(z, zarr_format=5 - source)
        assert (copy.zarr_format, copy.chunks, copy.order) == (5 - source, (2, 2), "F")
        np.testing.assert_array_equal(ndzarr.open(copy.store)[...], values)
        back = ndzarr.zeros_like(copy, zarr_format=source)
        assert back.metadata.codecs == z.metadata.codecs
    sharded = ndzarr.array(values, chunks=(1, 2), shards=(2, 4))
    assert ndzarr.array(sharded, zarr_format=2).chunks == (1, 2)


def test_patched_documents_keep_all_else() -> None:
    """A resize and a change of attributes leave what they do not change as somebody else wrote it."""
    z = ndzarr.create_array(shape=4, dtype="u1", chunks=2)
    found = document(z)
    found |= {
        "data_type": {"name": "uint8"},
        "codecs": ["bytes"],
        "chunk_key_encoding": "default",
        "storage_transformers": [],
        "whose": {"must_understand": False, "x": [1]},
    }
    z.store.set("zarr.json", json.dumps(found).encode())
    z = ndzarr.open_array(z.store, "r+")
    z.attrs["a"] = 1
    z.resize(7)
    z.append([1, 2])
    assert document(z) == {**found, "attributes": {"a": 1}, "shape": [9]}
    assert list(document(z)) == list(found)


def test_types_only_zarr_python_has_survive_a_resize() -> None:
    z = ndzarr.create_array(shape=4, dtype="u1")
    structured = {"name": "structured", "configuration": {"fields": [["a", "int32"], ["b", "uint8"]]}}
    raw = {"name": "raw_bytes", "configuration": {"length_bytes": 2}}
    for data_type, fill in ((structured, "AQAAAAI="), (raw, "AQI=")):
        found = {**document(z), "data_type": data_type, "fill_value": fill, "codecs": [{"name": "bytes"}], "shape": [4]}
        z.store.set("zarr.json", json.dumps(found).encode())
        again = ndzarr.open_array(z.store, "r+")
        again.resize(9)
        again.attrs["x"] = 1
        assert document(z) == {**found, "shape": [9], "attributes": {"x": 1}}
