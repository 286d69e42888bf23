"""`ndzarr.diff`: every difference is found, and no more is decoded than has to be."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import ndzarr
from ndzarr.comparing.elements import differing, distance
from ndzarr.comparing.regions import merged, regions_of, shifted

CHUNKS = [((2, 3), (2, 3)), ((2, 3), (3, 2)), ((5, 6), (1, 1)), ((4, 4), (5, 6))]


def other_value(x: Any) -> Any:
    dtype = x.dtype
    if dtype.names:
        changed = x.copy()
        changed[dtype.names[-1]] = other_value(x[dtype.names[-1]])
        return changed
    if dtype.kind in "US":
        return np.array("z", dtype)
    if dtype.kind == "b":
        return ~x
    return x + np.ones((), dtype.str.replace("M8", "m8"))[()]


@pytest.mark.parametrize(
    "dtype", ["?", "i1", ">u2", "i8", "u8", "f2", "<f4", "f8", "c8", "M8[s]", "m8[D]", "U2", "S2", [("a", "i2"), ("b", "f4")]]
)
@pytest.mark.parametrize("chunks", CHUNKS)
def test_every_single_element_change_is_found(dtype: Any, chunks: Any, record_property: Any) -> None:
    kind = np.dtype(dtype)
    a = np.zeros((5, 6), kind)
    if kind.names:
        a["a"] = a["b"] = np.arange(30).reshape(5, 6)
    else:
        a[...] = np.arange(30).reshape(5, 6).astype(kind if kind.kind not in "US" else int).astype(kind)
    create = {} if kind.byteorder != ">" else {"zarr_format": 2}
    x = ndzarr.array(a, chunks=chunks[0], **create)
    y = ndzarr.array(a, chunks=chunks[1], **create)
    assert ndzarr.diff(x, y).same
    for spot in np.ndindex(a.shape):
        y[spot] = other_value(a[spot])
        found = ndzarr.diff(x, y)
        assert not found.same
        (item,) = [item for item in found.items if item.kind == "values"]
        assert (item.count, [region.start for region in item.regions]) == (1, [spot])
        assert item.max_abs == (None if kind.kind in "mMUSV" else 1)
        y[spot] = a[spot]
    assert ndzarr.diff(x, y).same
    record_property("count: single changes, each found", a.size)


@pytest.mark.parametrize("texts", [np.array(["a", "", "größer", "b"] * 3, np.dtypes.StringDType())])
def test_text_of_both_formats(texts: Any) -> None:
    three = ndzarr.array(texts, chunks=5)
    two = ndzarr.create_array(None, shape=12, dtype=object, zarr_format=2, filters=[{"id": "vlen-utf8"}], chunks=7)
    two[:] = texts.astype(object)
    assert ndzarr.diff(two, three).same
    for k in range(12):
        two[k] = "other"
        assert [i.regions[0].start for i in ndzarr.diff(two, three).items if i.kind == "values"] == [(k,)]
        two[k] = texts[k]


def unequal(a: Any, b: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    if a.dtype.kind in "mM":
        return (a != b) & ~(equal_nan & np.isnat(a) & np.isnat(b))
    with np.errstate(all="ignore"):
        return ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_is_numpys_isclose(data: Any) -> None:
    kind = data.draw(st.sampled_from(["f4", "f8", "i2", "c16", "M8[s]"]))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=5))
    elements = st.sampled_from([0, 1, 2, 100, 101] + ([np.nan, np.inf, -np.inf] if kind[0] in "fc" else []))
    a, b = (np.array(data.draw(hnp.arrays("f8", shape, elements=elements))).astype(kind) for _ in range(2))
    rtol, atol = data.draw(st.sampled_from([(0.0, 0.0), (0.0, 1.0), (0.02, 0.0)]))
    equal_nan = data.draw(st.booleans())
    want = unequal(a, b, rtol, atol, equal_nan)
    sides = [ndzarr.array(x, chunks=tuple(data.draw(st.integers(1, 4)) for _ in shape)) for x in (a, b)]
    found = ndzarr.diff(sides[0], sides[1], rtol=rtol, atol=atol, equal_nan=equal_nan)
    values = [item for item in found.items if item.kind == "values"]
    assert sum(item.count for item in values) == want.sum()
    assert found.same == (not want.any())
    covered = np.zeros(shape, bool)
    for item in values:
        assert sum(region.count for region in item.regions) == item.count
        for region in item.regions:
            assert want[region.index].sum() == region.count
            assert not covered[region.index].any()
            covered[region.index] = True
    assert not (want & ~covered).any()


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, max_side=7)))
def test_boxes(mask: Any) -> None:
    boxes = regions_of(mask)
    assert len(boxes) <= 8
    assert sum(box.count for box in boxes) == mask.sum()
    covered = np.zeros(mask.shape, int)
    for box in boxes:
        assert mask[box.index].sum() == box.count > 0
        covered[box.index] += 1
    assert covered.max() <= 1
    assert covered[mask].all()
    halves = [shifted(box, (0,) * mask.ndim, None) for box in boxes]
    assert sum(box.count for box in merged(halves)) == mask.sum()


def test_boxes_of_several_chunks_are_merged() -> None:
    a = ndzarr.zeros((100, 100), chunks=(10, 10))
    b = ndzarr.zeros((100, 100), chunks=(10, 10))
    b[15:85, 20:60] = 3
    b[99, 99] = -9
    (item,) = ndzarr.diff(a, b).items
    assert [(r.start, r.stop, r.count, r.max_abs) for r in item.regions] == [
        ((15, 20), (85, 60), 2800, 3.0),
        ((99, 99), (100, 100), 1, 9.0),
    ]
    assert (item.count, item.max_abs) == (2801, 9.0)
    b[::2, ::2] = 7
    (item,) = ndzarr.diff(a, b, max_regions=3).items
    assert len(item.regions) == 3
    assert item.regions_left > 0
    assert item.count == np.count_nonzero(b[...])


INTEGERS = ["i1", "i2", "i8", "u1", "u8", "?"]


@pytest.mark.parametrize("mine", INTEGERS)
@pytest.mark.parametrize("theirs", INTEGERS)
def test_tolerances_of_integers_are_exact(mine: str, theirs: str) -> None:
    """At their ends too, where abs() overflows, and where double precision has no more bits."""

    def some(kind: str) -> list[int]:
        i = np.iinfo(kind) if kind != "?" else None
        return [0, 1] if i is None else [i.min, i.min + 1, 0, 1, 7, i.max - 1, i.max]

    pairs = list(product(some(mine), some(theirs)))
    a, b = (np.array(side, object).astype(kind) for side, kind in zip(zip(*pairs, strict=True), (mine, theirs), strict=True))
    told = [min(abs(x - y), 2**64 - 1) for x, y in pairs]
    assert [int(n) for n in distance(a, b)] == told
    for rtol, atol in [(0, 0), (0, 0.5), (0, 1), (0, 2.0**53), (0, 2.0**63), (0, 1e300), (0.1, 0), (1, 0), (1e-9, 3)]:
        found = differing(a, b, rtol, atol, True)
        for spot, (n, (x, y)) in enumerate(zip(told, pairs, strict=True)):
            allowed = Fraction(atol) + Fraction(rtol) * abs(y)
            if not rtol or abs(n - allowed) > allowed / 10**12:  # a relative tolerance itself is a double
                assert found[spot] == (x != y and n > allowed)


@pytest.mark.parametrize("kind", ["f2", "f4"])
def test_tolerances_are_not_rounded_to_the_dtype(kind: str) -> None:
    top = np.finfo(kind).max
    a, b = np.array([top, 1, 1, 0, top], kind), np.array([-top, 1 + np.finfo(kind).eps, 2, 1, top * 0.75], kind)
    assert differing(a, b, 0, 1.5 * float(top), True).tolist() == [True, False, False, False, False]
    assert differing(a, b, 1e-9, 0, True).tolist() == [True] * 5
    assert differing(a, b, 0, 1e300, True).tolist() == [False] * 5
    assert differing(a, b, 0, 1e-300, True).tolist() == [True] * 5


@pytest.mark.parametrize(("a", "b"), [(-(2**63), 2**63 - 1), (0, 2**64 - 1), (-1, 1)])
def test_distances_of_integers_are_exact(a: int, b: int) -> None:
    kind = "u8" if b >= 2**63 else "i8"
    assert int(distance(np.array([a], kind), np.array([b], kind))[0]) == b - a
    assert int(distance(np.array([b], kind), np.array([a], kind))[0]) == b - a


def test_signed_zeros_and_payloads_are_equal_values() -> None:
    nan = np.array([0x7FF8000000000001], "u8").view("f8")
    assert ndzarr.diff(np.array([0.0, nan[0]]), np.array([-0.0, np.nan])).same
    assert not ndzarr.diff(nan, nan, equal_nan=False).same
    assert not differing(np.array(["NaT"], "M8[s]"), np.array(["NaT"], "M8[s]"), 0, 0, True).any()


# ---- what is decoded --------------------------------------------------------------------------------


class Counting:
    """How many chunks are decoded, by wrapping the pipeline's method."""

    def __init__(self, monkeypatch: Any) -> None:
        from ndzarr.codecs.pipeline import Pipeline

        self.count = 0
        true = Pipeline.decode

        def decode(pipeline: Any, data: Any, out: Any = None) -> Any:
            self.count += pipeline.chunk.shape == (10, 10)  # not the index of a shard
            return true(pipeline, data, out)

        monkeypatch.setattr(Pipeline, "decode", decode)


@pytest.mark.parametrize("shards", [None, (20, 20)])
def test_chunks_equal_as_bytes_are_not_decoded(shards: Any, monkeypatch: Any, record_property: Any) -> None:
    rng = np.random.default_rng(3)
    data = rng.random((100, 100))
    a = ndzarr.array(data, chunks=(10, 10), shards=shards)
    b = ndzarr.array(data, chunks=(10, 10), shards=shards)
    a[40:50, 40:50] = b[40:50, 40:50] = 0  # a chunk that neither has
    counting = Counting(monkeypatch)
    found = ndzarr.diff(a, b)
    assert found.identical
    assert counting.count == 0
    assert found.elements_read == 0
    b[33, 44] += 1
    b[40:50, 40:50] = 1  # a chunk that only one has
    counting.count = 0
    found = ndzarr.diff(a, b)
    assert counting.count == 3  # two of one chunk, one of the other
    assert found.elements_read == 200
    assert {r.start for item in found.items for r in item.regions} == {(33, 44), (40, 40)}
    record_property("count: chunks decoded of 200 where two differ", counting.count)
    assert ndzarr.diff(a, a, equal_nan=False).elements_read == a.size  # NaNs are not themselves then


def test_chunks_of_a_shard_behind_the_edge_do_not_count() -> None:
    sides = []
    for last in (1, 2):
        store = ndzarr.MemoryStore()
        z = ndzarr.create_array(store, shape=8, dtype="i4", chunks=2, shards=8)
        z[:] = [0, 1, 2, 3, 4, last, last, last]
        store.set("zarr.json", bytes(store.get("zarr.json")).replace(b"8", b"5", 1))
        sides.append(ndzarr.open(store))
    assert sides[0].shape == (5,)
    assert ndzarr.diff(*sides).same
    assert sides[0].digest() == sides[1].digest()


def test_stores_that_cannot_list() -> None:
    class Unlisted(ndzarr.MemoryStore):
        def list(self, prefix: str = "") -> Any:
            raise ndzarr.StoreError("no listing here")

    a, b = (ndzarr.create_array(Unlisted(), shape=(4, 4), chunks=(2, 2), dtype="i4") for _ in range(2))
    a[:2] = b[:2] = 1
    steps: list[tuple[int, int]] = []
    assert ndzarr.diff(a, b, progress=lambda done, total: steps.append((done, total))).identical
    assert steps[-1] == (16, 16)
    b[3, 3] = 1
    assert [r.start for item in ndzarr.diff(a, b).items for r in item.regions] == [(3, 3)]


@pytest.mark.parametrize("compressor", ["zstd", "zlib"])
def test_statistics_say_what_need_not_be_read(compressor: str, tmp_path: Any, record_property: Any) -> None:
    data = np.arange(10_000.0).reshape(100, 100)
    sides = []
    for name, codec in (("a", "zstd"), ("b", compressor)):
        store = ndzarr.RecordingStore(ndzarr.LocalStore(tmp_path / name))
        z = ndzarr.create_array(store, shape=(100, 100), dtype="f8", chunks=(10, 10), compressor=codec)
        z[...] = data
        z.collect_statistics()
        sides.append((store, z))

    def read() -> int:
        found = sum(store.counts().requests["get"] for store, _ in sides)
        for store, _ in sides:
            store.clear()
        return found

    (_, a), (_, b) = sides
    read()
    assert ndzarr.diff(a, b).same
    assert read() == 2  # the records
    b[55, 66] = -1
    read()
    found = ndzarr.diff(a, b)
    requests = read()
    assert [region.start for item in found.items for region in item.regions] == [(55, 66)]
    assert found.elements_read == 100
    assert requests == 4
    record_property("count: requests of a diff of 200 chunks with statistics, one of which differs", requests)
    b[55, 66] = data[55, 66]
    assert ndzarr.diff(a, b).same


def test_other_codecs_mean_that_values_are_compared() -> None:
    data = np.arange(100.0).reshape(10, 10)
    a, b = ndzarr.array(data, chunks=(5, 5)), ndzarr.array(data, chunks=(5, 5), compressor="zlib")
    found = ndzarr.diff(a, b)
    assert found.same
    assert not found.identical
    assert [(item.kind, item.name) for item in found.items] == [("storage", "codecs")]
    assert found.elements_read == 100


def test_another_fill_value_of_chunks_that_do_not_exist() -> None:
    a, b = ndzarr.full((4,), 1, chunks=2), ndzarr.full((4,), 2, chunks=2)
    found = ndzarr.diff(a, b)
    assert not found.same
    assert [item.count for item in found.items if item.kind == "values"] == [4]


# ---- metadata and groups -------------------------------------------------------------------------


def test_metadata() -> None:
    a = ndzarr.create_array(None, shape=(2, 3), dtype="f4", dimension_names=("y", "x"), attributes={"u": "K", "n": None})
    b = ndzarr.create_array(None, shape=(3, 2), dtype="f8", dimension_names=("x", "y"), attributes={"u": "C"}, zarr_format=2)
    kinds = {(item.kind, item.name) for item in ndzarr.diff(a, b).items}
    assert {("shape", ""), ("dtype", ""), ("dimension_names", ""), ("attributes", "u"), ("attributes", "n")} <= kinds
    assert ("storage", "zarr_format") in kinds
    c = ndzarr.convert(a, None, zarr_format=2)
    assert ndzarr.diff(a, c).same
    assert not ndzarr.diff(a, c).identical
    text = ndzarr.diff(ndzarr.array(["a"]), ndzarr.array([1.0]))
    assert not text.same
    assert "cannot be compared" in str(text)


def test_groups() -> None:
    a, b = ndzarr.create_group(None), ndzarr.create_group(None, attributes={"title": "b"})
    for g in (a, b):
        g["x/y"] = np.arange(5)
        g["same"] = np.arange(3)
    a["only/deep"] = [1]
    b["here"] = [1]
    a["kind"] = [1]
    b.create_group("kind")
    b["x/y"][2] = 9
    found = ndzarr.diff(a, b)
    assert [(item.path, item.kind) for item in found.items] == [
        ("", "attributes"), ("here", "only_b"), ("kind", "node"), ("only", "only_a"), ("x/y", "values"),
    ]  # fmt: skip
    told = json.loads(found.to_json())
    assert told["same"] is False
    assert told["items"][4]["regions"] == [{"start": [2], "stop": [3], "count": 1, "max_abs": 7}]
    assert "x/y: values: 1 of 5 differ, by up to 7" in str(found)
    assert ndzarr.diff(a, a).identical
    assert json.loads(ndzarr.diff(a, a).to_json())["same"] is True
    assert [item.kind for item in ndzarr.diff(a, a["same"]).items] == ["node"]
    steps: list[tuple[int, int]] = []
    ndzarr.diff(a, b, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (8, 8)


def test_what_can_be_opened(tmp_path: Any) -> None:
    a = np.arange(6.0)
    ndzarr.save(str(tmp_path / "a.zarr"), a)
    ndzarr.save(str(tmp_path / "b.zip"), a)
    assert ndzarr.diff(tmp_path / "a.zarr", str(tmp_path / "b.zip")).same
    assert ndzarr.diff(a, tmp_path / "a.zarr").same
    a[3] = np.inf
    found = ndzarr.diff(a, tmp_path / "a.zarr")
    assert found.items[0].max_abs == np.inf
    assert '"inf"' in found.to_json()
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.diff(a, tmp_path / "c.zarr")
    for wrong in ({"rtol": -1}, {"atol": np.nan}, {"max_regions": -1}):
        with pytest.raises(ndzarr.ArgumentError):
            ndzarr.diff(a, a, **wrong)


@pytest.mark.parametrize(
    ("create", "one", "other"),
    [({"dtype": str}, "\0", ""), ({"dtype": str}, "a\0", "a"), ({"dtype": object, "filters": ["json2"]}, [1, 2], [1, 3])],
)
def test_of_no_axes(create: dict[str, Any], one: Any, other: Any) -> None:
    arrays = []
    for value in (one, other, one):
        z = ndzarr.create_array(None, shape=(), zarr_format=2 if "filters" in create else 3, **create)
        cell = np.empty((), z.dtype)
        cell[()] = value
        z[...] = cell
        z.collect_statistics()
        arrays.append(z)
    assert [item.count for item in ndzarr.diff(arrays[0], arrays[1]).items if item.kind == "values"] == [1]
    assert ndzarr.diff(arrays[0], arrays[2]).identical
