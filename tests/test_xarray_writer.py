"""`ds.ndzarr.to_zarr`: what is refused changes nothing, blocks never share an object, encoding means what it says."""

from __future__ import annotations

import json
import math
import warnings
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

import ndzarr
import ndzarr.xarray_backend
from ndzarr.formats import consolidated
from ndzarr.formats.consolidated import Consolidated
from ndzarr.grid import Edges
from ndzarr.xarray_alignment import _snapped, check_aligned
from ndzarr.xarray_store import EncodedCodec, _listed

GOOD = xr.Dataset({"a": ("x", np.arange(4.0))}, coords={"x": np.arange(4)}, attrs={"kept": 1})


def content(store: ndzarr.MemoryStore) -> dict[str, bytes]:
    return {key: bytes(store.get(key)) for key in store.list()}


def refused() -> dict[str, xr.Dataset]:
    """Datasets of which the first variable could be written and something else could not."""
    objects = GOOD.assign(b=("x", np.array([object()] * 4, object)))
    attribute = GOOD.assign(b=("x", np.arange(4), {"bad": object()}))
    codec = GOOD.assign(b=("x", np.arange(4)))
    codec.b.encoding["compressors"] = "no such codec"
    blocks = GOOD.assign(b=("x", np.arange(4))).chunk(x=1)
    blocks.b.encoding["chunks"] = (2,)
    return {
        "objects": objects,
        "attribute": attribute,
        "codec": codec,
        "blocks": blocks,
        "group": GOOD.assign_attrs(bad=object()),
    }


@pytest.mark.parametrize("what", ["objects", "attribute", "codec", "blocks", "group"])
@pytest.mark.parametrize("mode", ["w", "w-", "a"])
def test_what_cannot_be_written_destroys_nothing(what: str, mode: str, zarr_format: int) -> None:
    store = ndzarr.MemoryStore()
    if mode != "w-":
        GOOD.ndzarr.to_zarr(store)
    before = content(store)
    bad = refused()[what]
    for made in (bad, xr.DataTree.from_dict({"/": GOOD if mode != "w-" else None, "/in": bad})):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # xarray, of objects
            with pytest.raises((TypeError, ValueError)):
                made.ndzarr.to_zarr(store, mode=mode)
        assert content(store) == before


def test_a_refused_append_resizes_nothing(zarr_format: int) -> None:
    store = ndzarr.MemoryStore()
    GOOD.ndzarr.to_zarr(store, encoding={"a": {"chunks": (3,)}})
    before = content(store)
    more = GOOD.assign(new=("x", np.array([object()] * 4, object)))
    for bad in (more, GOOD.rename(x="y"), GOOD.chunk(x=1)):
        with pytest.raises((TypeError, ValueError)):
            bad.ndzarr.to_zarr(store, append_dim="x")
        assert content(store) == before


def test_replacing_leaves_nothing_of_what_was_there(tmp_path: Path, zarr_format: int) -> None:
    GOOD.assign(old=1).ndzarr.to_zarr(tmp_path / "a")
    xr.DataTree.from_dict({"/": GOOD, "/in": GOOD[["a"]]}).ndzarr.to_zarr(tmp_path / "a", mode="w")
    assert sorted(ndzarr.open_group(tmp_path / "a")) == ["a", "in", "x"]
    GOOD[["a"]].ndzarr.to_zarr(tmp_path / "a", mode="w", group="in")
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "a", engine="ndzarr").load(), GOOD)
    assert sorted(ndzarr.open_group(tmp_path / "a", path="in")) == ["a", "x"]


def test_attributes_that_are_no_numbers_of_json(tmp_path: Path, zarr_format: int) -> None:
    made = GOOD.assign_attrs(nan=np.nan)
    made["a"].attrs["valid_max"] = math.inf
    made["a"].encoding |= {"missing_value": np.nan, "_FillValue": np.nan}
    with ndzarr.options(nan_attributes=True):
        made.ndzarr.to_zarr(tmp_path / "a")
    for engine in ("ndzarr", "zarr"):
        found = xr.open_dataset(tmp_path / "a", engine=engine)
        assert math.isnan(found.attrs["nan"])
        assert found.a.attrs["valid_max"] == math.inf
        assert math.isnan(found.a.encoding["missing_value"])
    again = ndzarr.open_group(tmp_path / "a", "r+")
    again["a"].attrs["more"] = 1  # what is there may stay
    if zarr_format == 3:
        with pytest.raises(ValueError, match="nan_attributes"):
            again["a"].attrs["more"] = math.nan


@pytest.mark.formats(3)
@pytest.mark.parametrize("mode", ["w", "a"])
@pytest.mark.parametrize("place", ["dataset", "array", "tree"])
def test_what_strict_json_has_no_number_for_is_refused_and_destroys_nothing(
    tmp_path: Path, zarr_format: int, place: str, mode: str
) -> None:
    GOOD.ndzarr.to_zarr(tmp_path / "a")
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    made: Any = GOOD.copy(deep=True).rename(a="b")
    if place == "array":
        made["b"].attrs["valid_max"] = math.inf
    else:
        made.attrs["limits"] = [0.0, math.nan]
    if place == "tree":
        made = xr.DataTree.from_dict({"/": GOOD, "/in": made})
    with pytest.raises((ValueError, TypeError), match="nan_attributes"):
        made.ndzarr.to_zarr(tmp_path / "a", mode=mode)
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()} == before


# ---- blocks and objects --------------------------------------------------------------------------------

blocks = st.lists(st.integers(1, 7), min_size=1, max_size=8).map(tuple)


def shared(sizes: tuple[int, ...], unit: int, start: int) -> bool:
    """Whether two blocks have elements in one object, element by element."""
    owners: dict[int, set[int]] = {}
    at = start
    for block, size in enumerate(sizes):
        for element in range(at, at + size):
            owners.setdefault(element // unit, set()).add(block)
        at += size
    return any(len(found) > 1 for found in owners.values())


@given(blocks, st.integers(1, 9), st.integers(0, 20), st.integers(0, 5))
def test_blocks_are_refused_where_two_share_an_object(sizes: tuple[int, ...], unit: int, start: int, more: int) -> None:
    stop = start + sum(sizes)

    def refused(*, partial: bool) -> bool:
        try:
            check_aligned((sizes,), (unit,), (stop + more,), [slice(start, stop)], partial=partial, name="a")
        except ValueError:
            return True
        return False

    assert refused(partial=True) == shared(sizes, unit, start)
    # Others may write what is beside the region.
    outside = bool(start % unit) or (bool(stop % unit) and more > 0)
    assert refused(partial=False) == (shared(sizes, unit, start) or outside)


@given(blocks, st.integers(1, 9), st.integers(0, 20))
def test_aligned_blocks_share_no_object(sizes: tuple[int, ...], unit: int, start: int) -> None:
    made = _snapped(sizes, unit, start)
    assert sum(made) == sum(sizes)
    assert all(made)
    assert not shared(made, unit, start)
    assert max(made) < max(*sizes, unit) + unit
    if not shared(sizes, unit, start):
        assert made == sizes
    assert set(accumulate(made[:-1])) <= {n for n in range(sum(sizes)) if (start + n) % unit == 0}


def test_automatic_shards_are_known_before_blocks_are_checked() -> None:
    made = xr.Dataset({"a": ("x", np.arange(100.0))}).chunk(x=10)
    with pytest.raises(ValueError, match="overlap"):
        made.ndzarr.to_zarr(encoding={"a": {"chunks": (10,), "shards": "auto"}}, zarr_format=3)
    written = made.ndzarr.to_zarr(encoding={"a": {"chunks": (10,), "shards": "auto"}}, zarr_format=3, align_chunks=True)
    z = written.group["a"]
    assert z.shards is not None
    np.testing.assert_array_equal(z[:], np.arange(100.0))


def test_shards_of_another_shape_are_no_wish() -> None:
    made = xr.Dataset({"a": (("x", "y"), np.ones((8, 8)))})
    first = made.ndzarr.to_zarr(encoding={"a": {"chunks": (2, 2), "shards": (4, 4)}}, zarr_format=3).group
    part = xr.open_dataset(first, engine="ndzarr").isel(x=0)
    np.testing.assert_array_equal(part.ndzarr.to_zarr(zarr_format=3).group["a"][:], np.ones(8))


# ---- encoding --------------------------------------------------------------------------------


def test_codecs_equal_those_of_zarr_python_that_say_the_same() -> None:
    from zarr.codecs import BytesCodec, ZstdCodec

    ours = EncodedCodec({"name": "zstd", "configuration": {"level": 1}})
    assert ours == ZstdCodec(level=1)
    assert ours != ZstdCodec(level=2)
    assert ours != BytesCodec()
    assert ours.level == 1
    assert not hasattr(ours, "cname")
    assert json.loads(json.dumps(ours)) == ours


def test_encoding_of_one_variable_may_be_changed_alone(zarr_format: int) -> None:
    made = xr.Dataset({"a": ("x", np.arange(4)), "b": ("x", np.arange(4))}).ndzarr.to_zarr().group
    opened = xr.open_dataset(ndzarr.open_group(made.store), engine="ndzarr")
    opened.a.encoding["chunks"] = (1,)
    if zarr_format == 3:
        opened.a.encoding["compressors"][0]["configuration"]["level"] = 9
        assert opened.b.encoding["compressors"][0].level == 1
    assert opened.b.encoding["chunks"] == (4,)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=4), st.data())
def test_chunk_lengths_are_listed_as_far_as_the_array_goes(runs: list[tuple[int, int]], data: Any) -> None:
    sizes = [size for size, times in runs for _ in range(times)]
    length = data.draw(st.integers(0, sum(sizes)))
    found = _listed(Edges(tuple(runs)), length)
    expected = []
    for size in sizes:
        if sum(expected) < length:
            expected.append(min(size, length - sum(expected)))
    if isinstance(found, int):  # a regular grid
        assert expected == [min(found, length - at) for at in range(0, length, found)]
    else:
        assert list(found) == (expected or [0])


def test_a_grid_of_a_billion_lengths_is_refused_or_regular() -> None:
    assert _listed(Edges(((1, 10**9),)), 10**9) == 1
    with pytest.raises(ndzarr.MemoryLimitError):
        _listed(Edges(((1, 10**9), (2, 10**9))), 3 * 10**9)


# ---- consolidated documents are parsed once where they are alike --------------------------------------


@pytest.mark.parametrize(
    ("field", "value"), [("fill_value", -0.0), ("shape", [4.0]), ("shape", [5]), ("data_type", "float32"), ("fill_value", 1.0)]
)
def test_documents_are_alike_only_where_they_are_equal_to_the_bit(field: str, value: Any) -> None:
    z = ndzarr.create_array(None, shape=(4,), chunks=(2,), dtype="f8", fill_value=0.0, zarr_format=3, attributes={"n": 1})
    document = json.loads(bytes(z.store.get("zarr.json")))
    other = {**document, field: value}
    said = consolidated.of_v3({"a": document, "b": other, "c": {**document, "attributes": {"n": 2}}}, "", "x")
    alone = consolidated.of_v3({"b": other}, "", "x")
    first = said.find("a")
    try:
        expected = alone.find("b")
    except ndzarr.MetadataError:
        with pytest.raises(ndzarr.MetadataError):
            said.find("b")
    else:
        found = said.find("b")
        assert found == expected
        assert math.copysign(1, found.fill_value) == math.copysign(1, expected.fill_value)
    third = said.find("c")
    assert third.attributes == {"n": 2}
    assert first.attributes == {"n": 1}
    assert third.described({"n": 1}, None) == first


def test_names_of_axes_in_format_2_are_those_of_each_array() -> None:
    array = {
        "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<f8", "compressor": None, "fill_value": 0, "order": "C",
        "filters": None,
    }  # fmt: skip
    nodes = {
        name: {".zarray": array, ".zattrs": {"_ARRAY_DIMENSIONS": names}}
        for name, names in (("a", ["x"]), ("b", ["y"]), ("c", 1))
    }
    said = Consolidated("", "x", nodes)
    assert [said.find(name).dimension_names for name in "abc"] == [("x",), ("y",), None]


@pytest.mark.parametrize("blocks", [None, 2])
@pytest.mark.parametrize("how", ["region", "append", "whole"])
@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_times_go_into_arrays_that_hold_times(unit: str, how: str, blocks: int | None, zarr_format: int) -> None:
    """Not as counts since the first of them, which nothing says in an array with a datetime dtype of its own."""
    kind = np.dtype(f"M8[{unit}]")
    times = np.array(["2001-02-03T04:05:06", "NaT", "1955-01-01", "2020-02-29T12:00:00"], kind)
    g = ndzarr.create_group(zarr_format=zarr_format)
    g.create_array("t", data=np.zeros(4, kind), chunks=2, fill_value=0, dimension_names=["x"], attributes={"note": "kept"})
    dataset = xr.Dataset({"t": ("x", times)})
    if blocks is not None:
        dataset = dataset.chunk(x=blocks)
    old = np.zeros(4, kind)
    if how == "region":
        dataset.isel(x=slice(2)).ndzarr.to_zarr(g, region={"x": slice(2, 4)}, consolidated=False)
        want = np.concatenate([old[:2], times[:2]])
    elif how == "append":
        dataset.ndzarr.to_zarr(g, append_dim="x", consolidated=False)
        want = np.concatenate([old, times])
    else:
        dataset.ndzarr.to_zarr(g, mode="a", consolidated=False)
        want = times
    np.testing.assert_array_equal(g["t"][...], want)
    assert g["t"].dtype == kind
    assert g["t"].attrs["note"] == "kept"


def test_times_that_an_array_cannot_hold_are_refused(zarr_format: int) -> None:
    g = ndzarr.create_group(zarr_format=zarr_format)
    g.create_array("t", data=np.array(["2001-02-03"], "M8[D]"), dimension_names=["x"])
    with pytest.raises(ndzarr.ArgumentError, match=r"datetime64\[D\]"):
        xr.Dataset({"t": ("x", np.array(["2001-02-03T04"], "M8[s]"))}).ndzarr.to_zarr(
            g, region={"x": slice(1)}, consolidated=False
        )
    assert g["t"][...].tolist() == [np.datetime64("2001-02-03").item()]
