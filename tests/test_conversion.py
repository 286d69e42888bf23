"""`convert`: v2 to v3, back, and any re-encoding: values, documents, and which bytes pass through a codec."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import placing
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.nodes import copying
from ndzarr.testing import expressions
from ndzarr.testing.expressions import RandomChoices
from ndzarr.testing.outcomes import same_values
from tests.dying import Dying, Stop


@pytest.fixture
def codec_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by "encode" or "decode" for each chunk that passes through a pipeline."""
    calls: list[str] = []
    for name in ("encode", "decode"):
        original = getattr(Pipeline, name)

        def counting(self: Any, *args: Any, name: str = name, original: Any = original) -> Any:
            if self.chunk.dtype != np.dtype("<u8"):  # the indices of shards
                calls.append(name)
            return original(self, *args)

        monkeypatch.setattr(Pipeline, name, counting)
    return calls


def numbers(*shape: int, dtype: Any = "i4") -> np.ndarray:
    return np.arange(1, 1 + int(np.prod(shape))).astype(dtype).reshape(shape)


def chunk_bytes(z: Any) -> dict[str, bytes]:
    keys = [key for key in z.store.list(z.path + "/" if z.path else "") if "zarr.json" not in key and "/.z" not in "/" + key]
    return {key: bytes(z.store.get(key)) for key in keys}


V2: dict[str, dict[str, Any]] = {
    "plain": {"dtype": "<i4"},
    "big-endian": {"dtype": ">i4"},
    "order F": {"dtype": "<i4", "order": "F"},
    "blosc": {"dtype": "<f8", "compressor": {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": -1, "blocksize": 0}},
    "zlib": {"dtype": "<i2", "compressor": "zlib"},
    "delta and shuffle": {"dtype": "<i4", "filters": [{"id": "delta", "dtype": "<i4"}], "compressor": "lz4"},
    "fixedscaleoffset": {
        "dtype": "<f8",
        "filters": [{"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<f8", "astype": "<i4"}],
    },
    "packbits": {"dtype": "?", "filters": [{"id": "packbits"}], "compressor": None},
    "raw": {"dtype": "<c16", "compressor": None},
    "strings": {"dtype": object, "filters": ["vlen-utf8"]},
    "bytes": {"dtype": object, "filters": ["vlen-bytes"]},
    "datetimes": {"dtype": "<M8[25s]"},
    "fixed strings": {"dtype": "<U5"},
    "fixed bytes": {"dtype": "S5"},
    "records": {"dtype": [("a", "<i4"), ("b", "<f8")]},
    "big-endian records": {"dtype": [("a", ">i4"), ("b", ">f8")]},
    "no fill value": {"dtype": "<f4", "fill_value": None},
    "datetimes without a fill value": {"dtype": "<M8[s]", "fill_value": None},
    "slashes": {"dtype": "<i4", "dimension_separator": "/"},
    "crc32c": {"dtype": "<i4", "checksum": True, "compressor": "gzip"},
}


def contents(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    dtype = np.dtype(dtype)
    if dtype.kind == "O":
        return np.array([f"é{n}" for n in range(int(np.prod(shape)))], object).reshape(shape)
    if dtype.names:
        a = np.zeros(shape, dtype)
        for name in dtype.names:
            a[name] = numbers(*shape)
        return a
    if dtype.kind == "M":
        return numbers(*shape, dtype="i8").view(dtype)
    return numbers(*shape, dtype=dtype)


@pytest.mark.parametrize("name", V2)
def test_v2_to_v3_and_back_copies_chunks_as_they_are(name: str, codec_calls: list[str]) -> None:
    create = {"fill_value": 0, **V2[name]} if np.dtype(V2[name]["dtype"]).kind not in "OSUV" else V2[name]
    old = ndzarr.create_array(
        {}, path="a", shape=(7, 11), chunks=(3, 4), zarr_format=2, attributes={"units": "K", "n": [1, None]},
        dimension_names=["y", "x"], **create,
    )  # fmt: skip
    a = contents((7, 11), create["dtype"])
    if name == "bytes":
        a = np.vectorize(lambda s: s.encode(), otypes=[object])(a)
    old[2:, :] = a[2:]  # the first two rows lie in chunks with others; the next line leaves chunks out
    whole = old[...]
    codec_calls.clear()
    new = ndzarr.convert(old, {}, path="b/c", zarr_format=3)
    assert codec_calls == []
    assert (new.zarr_format, new.chunks, new.shards, new.dimension_names) == (3, (3, 4), None, ("y", "x"))
    assert dict(new.attrs) == {"units": "K", "n": [1, None]}
    assert list(chunk_bytes(new).values()) == [chunk_bytes(old)[k] for k in sorted(chunk_bytes(old))]
    read = new[...]
    assert same_values(np.asarray(read, object) if read.dtype.kind == "T" else read.astype(whole.dtype), whole)
    back = ndzarr.convert(new, None, zarr_format=2)
    assert back.dtype == old.dtype
    assert same_values(back[...], whole)
    assert dict(back.attrs) == {**dict(old.attrs), "_ARRAY_DIMENSIONS": ["y", "x"]}
    assert back.order == old.order
    names = [[spec.name.removeprefix("numcodecs.") for spec in z.metadata.codecs] for z in (back, old)]
    assert names[0] == names[1]


def test_missing_chunks_stay_missing() -> None:
    old = ndzarr.create_array(None, shape=(1000, 900), chunks=(10, 9), dtype="i4", fill_value=7, zarr_format=2)
    old[500:520, 80:90] = 1
    for changes in (
        {},
        {"chunks": (20, 18)},
        {"compressor": "blosc"},
        {"shards": (100, 90)},
        {"shards": (100, 90), "compressor": None},
    ):
        new = ndzarr.convert(old, None, zarr_format=3, **changes)
        np.testing.assert_array_equal(new[...], old[...])
        assert len(chunk_bytes(new)) <= len(chunk_bytes(old))


@pytest.mark.parametrize("changes", [{}, {"shards": (4,)}, {"chunks": (3,)}], ids=str)
def test_records_of_both_byte_orders(changes: Any) -> None:
    old = ndzarr.create_array(None, shape=(5,), chunks=2, dtype=[("a", ">i2"), ("b", "<f4"), ("c", "S2")], zarr_format=2)
    old["a"] = [1, 2, 3, 4, 5]
    new = ndzarr.convert(old, None, zarr_format=3, **changes)
    assert new["a"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["<i4", ">i4", "u1"])
@pytest.mark.parametrize("stored", ["<i8", ">i8", "<i2", ">i2"])
@pytest.mark.parametrize("name", ["delta", "astype", "fixedscaleoffset"])
def test_filters_that_store_another_byte_order(version: int, dtype: str, stored: str, name: str) -> None:
    filters = {
        "delta": {"id": "delta", "dtype": dtype, "astype": stored},
        "astype": {"id": "astype", "decode_dtype": dtype, "encode_dtype": stored},
        "fixedscaleoffset": {"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": dtype, "astype": stored},
    }
    old = ndzarr.create_array(None, shape=(6,), chunks=2, dtype=dtype, filters=[filters[name]], zarr_format=version)
    old[:] = numbers(6)
    assert ndzarr.convert(old, None, zarr_format=5 - version)[:].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("changes", [{}, {"chunks": (4,)}, {"shards": (4,)}, {"compressor": None}], ids=str)
@pytest.mark.parametrize("dtype", ["i4", "f8", "S3", np.dtypes.StringDType()], ids=str)
def test_missing_chunks_keep_their_values_under_another_fill_value(changes: Any, dtype: Any) -> None:
    fills = ("ab", "q") if np.dtype(dtype).kind in "ST" else (0, -1)
    old = ndzarr.create_array(None, shape=(9,), chunks=2, dtype=dtype, fill_value=fills[0], zarr_format=3)
    old[:2] = fills[1]
    new = ndzarr.convert(old, None, fill_value=fills[1], **changes)
    assert new[:].tolist() == old[:].tolist()
    assert new.fill_value != old.fill_value


SHAPE = (22, 31)


@pytest.mark.parametrize(
    ("before", "changes", "decoded"),
    [
        ({"chunks": (3, 4), "shards": (9, 8)}, {}, False),
        ({"chunks": (3, 4), "shards": (9, 8)}, {"shards": None}, False),
        ({"chunks": (3, 4), "shards": (9, 8)}, {"shards": (6, 12)}, False),
        ({"chunks": (3, 4)}, {"shards": (9, 8)}, False),
        ({"chunks": (3, 4), "shards": (9, 8)}, {"zarr_format": 2}, False),
        ({"chunks": (3, 4), "order": "F", "shards": (9, 8)}, {"zarr_format": 2}, False),
        ({"chunks": (3, 4), "zarr_format": 2}, {"zarr_format": 3, "shards": (9, 8)}, False),
        ({"chunks": (3, 4)}, {"chunks": (5, 7)}, True),
        ({"chunks": (3, 4), "shards": (9, 8)}, {"chunks": (5, 7)}, True),
        ({"chunks": (3, 4)}, {"compressor": "gzip"}, True),
        ({"chunks": (3, 4)}, {"checksum": True}, True),
        ({"chunks": (3, 4)}, {"order": "F"}, True),
        ({"chunks": (3, 4)}, {"chunks": [[4, 5, 13], 4], "dimension_separator": "."}, True),
        ({"chunks": [[4, 5, 13], 4]}, {}, False),
        ({"chunks": [[4, 5, 13], 4]}, {"chunks": (3, 4), "zarr_format": 2}, True),
        ({"chunks": (3, 4), "shards": [[9, 3, 12], 8]}, {"shards": (6, 16)}, False),
    ],
)
def test_re_encodings(before: dict[str, Any], changes: dict[str, Any], decoded: bool, codec_calls: list[str]) -> None:
    create = {"shape": SHAPE, "dtype": "i4", "fill_value": -1, "zarr_format": 3, **before}
    old = ndzarr.create_array(None, **create)
    a = numbers(*SHAPE)
    a[:9, :8] = -1
    old[...] = a
    codec_calls.clear()
    new = ndzarr.convert(old, {}, **changes)
    assert bool(codec_calls) == decoded
    np.testing.assert_array_equal(new[...], a)
    np.testing.assert_array_equal(old[...], a)
    assert new.fill_value == -1


def test_nested_shards_and_transposes_to_v2(codec_calls: list[str]) -> None:
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    inner = {"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 3], "codecs": [big, "zstd"]}}
    outer = {"name": "sharding_indexed", "configuration": {"chunk_shape": [4, 6], "codecs": [inner]}}
    turn = {"name": "transpose", "configuration": {"order": [1, 0]}}
    old = ndzarr.create_array(
        None, shape=(25, 17), dtype="i4", chunks=(12, 8), filters=[turn], compressor=[outer], zarr_format=3
    )
    a = numbers(25, 17)
    old[...] = a
    new = ndzarr.convert(old, None, zarr_format=2)
    assert new.chunks == old.chunks == (6, 4)
    np.testing.assert_array_equal(new[...], a)
    again = ndzarr.convert(old, None)
    np.testing.assert_array_equal(again[...], a)
    assert again.metadata.codecs == old.metadata.codecs


def test_drawn_arrays() -> None:
    """Any array of either format, to either format with other chunks: values and dtypes are those of the old one."""
    for number in range(150):
        choices = RandomChoices(f"convert-{number}")
        sample = expressions.sample(choices)
        old = ndzarr.create_array(None, **sample.keywords)
        sample.fill_into(old)
        version = choices.pick((2, 3))
        changes: dict[str, Any] = {}
        if choices.chance(40) or (version == 2 and any(isinstance(c, tuple) for c in old.chunks)):
            changes["chunks"] = tuple(choices.integer(1, n + 1) for n in old.shape)
        if choices.chance(30):
            changes["compressor"] = choices.pick((None, "zlib", "blosc"))
            if not (old.dtype.kind == "T" and version == 2):  # where strings are objects, and need theirs
                changes["filters"] = None
        new = ndzarr.convert(old, None, zarr_format=version, **changes)
        assert same_values(np.asarray(new[...]), np.asarray(old[...]).astype(new.dtype)), (number, sample.keywords, changes)
        if old.dtype.kind == "T":  # objects, where format 2 holds them
            assert new.dtype.kind == ("T" if version == 3 else "O"), (number, sample.keywords)
        else:
            assert new.dtype.newbyteorder("=") == old.dtype.newbyteorder("="), (number, sample.keywords)


def test_groups(tmp_path: Path) -> None:
    root = ndzarr.create_group(tmp_path / "old", zarr_format=2, attributes={"title": "t"})
    sub = root.create_group("a/b", attributes={"n": 1})
    z = sub.create_array("z", shape=(10, 6), dtype=">f4", chunks=(4, 5), dimension_names=["y", "x"])
    z[...] = numbers(10, 6, dtype="f4")
    root.create_group("empty")
    ndzarr.consolidate(tmp_path / "old")
    for target in (tmp_path / "new", tmp_path / "new.zip", ndzarr.MemoryStore()):
        new = ndzarr.convert(tmp_path / "old", target, zarr_format=3)
        assert [name for name, _ in new.members(None)] == ["a", "a/b", "a/b/z", "empty"]
        assert (dict(new.attrs), dict(new["a/b"].attrs)) == ({"title": "t"}, {"n": 1})
        np.testing.assert_array_equal(new["a/b/z"][...], z[...])
        again = ndzarr.open(target) if not isinstance(target, ndzarr.Store) else ndzarr.open_group(target)
        np.testing.assert_array_equal(again["a/b/z"][...], z[...])
        assert {node.zarr_format for _, node in again.members(None)} == {3}
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.convert(tmp_path / "old", tmp_path / "new", zarr_format=3)
    ndzarr.convert(tmp_path / "old", tmp_path / "new", zarr_format=3, overwrite=True, compressor="blosc")
    np.testing.assert_array_equal(ndzarr.open(tmp_path / "new")["a/b/z"][...], z[...])


def test_unknown_fields_are_kept() -> None:
    z = ndzarr.create_array({}, shape=(4,), chunks=(2,), dtype="i4", zarr_format=2)
    document = json.loads(bytes(z.store.get(".zarray") or b""))
    z.store.set(".zarray", json.dumps({**document, "made_by": "us", "more": {"a": 1}}).encode())
    new = ndzarr.convert(z.store, {}, zarr_format=3)
    found = json.loads(bytes(new.store.get("zarr.json") or b""))
    assert found["made_by"] == {"must_understand": False, "value": "us"}
    assert found["more"] == {"must_understand": False, "a": 1}
    back = ndzarr.convert(new, {}, zarr_format=2)
    found = json.loads(bytes(back.store.get(".zarray") or b""))
    assert found["made_by"] == "us"
    assert found["more"] == {"must_understand": False, "a": 1}
    copy = ndzarr.convert(new, {})
    assert copy.metadata.extra == new.metadata.extra


def test_memory_is_bounded(tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path / "a", shape=(8192, 8192), dtype="f8", chunks=(256, 8192), compressor=None, zarr_format=2)
    for start in range(0, 8192, 1024):
        z[start : start + 1024] = start
    tracemalloc.start()
    try:
        new = ndzarr.convert(z, tmp_path / "b", zarr_format=3, chunks=(8192, 64), compressor="zstd")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 400 << 20  # of 512 MiB
    assert new[5000, 5000] == 4096


@pytest.mark.parametrize(
    ("create", "changes", "message"),
    [
        ({"dtype": object, "filters": ["json2"], "zarr_format": 2}, {"zarr_format": 3}, "objects"),
        ({"filters": [{"name": "scale_offset", "configuration": {"offset": 1}}]}, {"zarr_format": 2}, "scale_offset"),
        ({"chunks": [[2, 3, 3]]}, {"zarr_format": 2}, "zarr_format=3"),
        ({"dtype": "g", "zarr_format": 2}, {"zarr_format": 3}, "dtype|data type"),
        ({}, {"zarr_format": 4}, "zarr_format"),
        ({}, {"shape": (3,)}, "shape"),
        ({}, {"shards": (4,), "zarr_format": 2}, "shards"),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_written(create: Any, changes: Any, message: str) -> None:
    z = ndzarr.create_array(None, **{"shape": (8,), "dtype": "f4", "chunks": (2,), "zarr_format": 3, **create})
    target: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError, match=message):
        ndzarr.convert(z, target, **changes)
    assert target == {}


def test_places_that_overlap_are_refused(tmp_path: Path) -> None:
    g = ndzarr.create_group(tmp_path / "g")
    g["a"] = [1, 2, 3]
    for src, dst, path in [
        (g, tmp_path / "g", ""),
        (g, tmp_path, "g"),
        (g, tmp_path / "g", "sub"),
        (g["a"], tmp_path / "g", "a"),
        (g["a"], tmp_path / "g", ""),
    ]:
        with pytest.raises(ndzarr.ArgumentError, match="another place"):
            ndzarr.convert(src, dst, path=path, overwrite=True)
    assert g["a"][:].tolist() == [1, 2, 3]
    assert ndzarr.convert(g["a"], tmp_path / "g", path="b")[:].tolist() == [1, 2, 3]


def test_a_damaged_chunk_is_named_when_it_has_to_be_decoded() -> None:
    z = ndzarr.create_array({}, shape=(8,), dtype="i4", chunks=(2,), compressor="zstd")
    z[...] = 1
    z.store.set("c/1", b"garbage")
    with pytest.raises(ndzarr.CorruptChunkError, match="c/1"):
        ndzarr.convert(z, {}, compressor=None)


# ---- cut short anywhere ---------------------------------------------------------------------------------------


def _sources() -> dict[str, Any]:
    z = ndzarr.array(numbers(9, 6), chunks=(4, 3), zarr_format=2, fill_value=7)
    group = ndzarr.create_group({}, zarr_format=2, attributes={"n": 1})
    group["a/b"] = numbers(6)
    group["c"] = numbers(2, 3)
    return {"array": z, "group": group}


VERBS: dict[str, tuple[str, Callable[..., Any]]] = {
    "chunks": ("array", partial(ndzarr.convert, zarr_format=3)),
    "shards": ("array", partial(ndzarr.convert, zarr_format=3, shards=(8, 6))),
    "values": ("array", partial(ndzarr.convert, chunks=(3, 3), compressor="zstd")),
    "group": ("group", partial(ndzarr.convert, zarr_format=3)),
    "compress": ("array", partial(ndzarr.compress, max_abs=1)),
}


def values_of(node: Any) -> dict[str, list[Any]]:
    if isinstance(node, ndzarr.ZArray):
        return {"": node[...].tolist()}
    return {path: member[...].tolist() for path, member in node.members(None) if isinstance(member, ndzarr.ZArray)}


@pytest.mark.parametrize("path", ["", "x/y"])
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_cut_short_is_not_there(
    verb: str, path: str, record_property: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each change of the store: nothing can be opened before all of it can, and the next call does it all."""
    monkeypatch.setattr(copying, "WAIT_NEAR_S", 0)
    kind, work = VERBS[verb]
    src = _sources()[kind]
    want = values_of(work(src, {}))
    cuts = whole = 0
    while True:
        store = Dying()
        store.left = cuts
        with ndzarr.options(workers=1):
            try:
                work(src, store, path=path)
                finished = True
            except Stop:
                finished = False
            store.left = math.inf
            if finished:
                break
            try:
                found = ndzarr.open(store, path=path)
            except ndzarr.NodeNotFoundError:
                pass
            else:  # all that is left to do is to remove what kept the place
                assert values_of(found) == want
                whole += 1
            if [key for key in store.list(path) if not key.endswith("zarr.json")]:
                with pytest.raises(ndzarr.NodeExistsError, match="overwrite=True"):
                    work(src, store, path=path)
            work(src, store, path=path, overwrite=True)
        assert values_of(ndzarr.open(store, path=path)) == want
        cuts += 1
    assert values_of(ndzarr.open(store, path=path)) == want
    assert cuts > 2
    assert whole == 1
    record_property("count: conversions cut short at a change of the store", cuts)


@pytest.mark.parametrize("verb", ["values", "group", "compress"])
def test_what_is_refused_leaves_what_was_there(verb: str) -> None:
    kind, work = VERBS[verb]
    src, target = _sources()[kind], {}
    there = ndzarr.array([1, 2, 3], store=target)
    with pytest.raises(ndzarr.ArgumentError):
        work(src, target, overwrite=True, zarr_format=2, shards=(8, 6))
    assert there[...].tolist() == ndzarr.open_array(target)[...].tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_two_at_once_to_one_place(kind: str, tmp_path: Path) -> None:
    """The second is told that something is there, and the values are those of the first."""
    first, second = ndzarr.array(numbers(40, 40), chunks=(3, 3)), ndzarr.array(-numbers(40, 40), chunks=(3, 3))
    for n in range(10):
        store: Any = ndzarr.MemoryStore() if kind == "memory" else ndzarr.LocalStore(tmp_path / str(n))
        both = Barrier(2)

        def work(src: Any, store: Any = store, both: Barrier = both) -> int:
            both.wait()
            try:
                return int(ndzarr.convert(src, store, compressor="zlib")[0, 0])
            except ndzarr.NodeExistsError:
                return 0

        with ThreadPoolExecutor(2) as pool:
            won = sum(pool.map(work, (first, second)))
        np.testing.assert_array_equal(ndzarr.open_array(store)[...], won * numbers(40, 40))
        assert sorted({key.partition("/")[0] for key in store.list()}) == ["c", "zarr.json"]


@pytest.mark.parametrize("verb", ["values", "group", "compress"])
def test_a_place_that_is_taken_over(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `overwrite=True`, while somebody else writes there: that one stops, and the values are the last one's."""
    monkeypatch.setattr(placing, "_CHECK_S", -1.0)  # at every step
    kind, work = VERBS[verb]
    src, store = _sources()[kind], ndzarr.MemoryStore()
    want = values_of(work(src, {}))
    steps = []

    def take_over(done: int, total: int) -> None:
        steps.append(done)
        if len(steps) == 1:
            work(src, store, overwrite=True)

    with ndzarr.options(workers=1), pytest.raises(ndzarr.WriteHazardError, match="begun after this one"):
        work(src, store, progress=take_over)
    assert values_of(ndzarr.open(store)) == want
    # And by another library, which does not know that the place is taken.
    store, other = ndzarr.MemoryStore(), ndzarr.MemoryStore()
    ndzarr.create_group(other)

    def create(done: int, total: int) -> None:
        if done == total:
            with pytest.raises(ndzarr.NodeExistsError, match="not finished"):
                ndzarr.create_group(store)
            store.set_many({key: other.get(key) for key in other.list()})

    with pytest.raises(ndzarr.NodeExistsError):
        work(src, store, progress=create)
    assert list(ndzarr.open_group(store)) == []
