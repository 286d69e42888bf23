"""Hierarchies from nested mappings: all of it is checked before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndzarr


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_hierarchy_in_one_call(version: int) -> None:
    source = ndzarr.array(np.arange(6).reshape(2, 3), chunks=(1, 3), attributes={"from": "elsewhere"}, zarr_format=version)
    g = ndzarr.create_group(
        attributes={"title": "t"},
        zarr_format=version,
        members={
            "time": np.array([1.5, 2.5]),
            "number": 7,
            "words": np.array(["a", "bc"]),
            "ocean": {
                "attributes": {"source": "model", "n": np.int8(3)},
                "sst": {"shape": (4, 6), "dtype": "f4", "chunks": (2, 6), "fill_value": -1, "attributes": {"units": "K"}},
                "ice": {"data": [[1, 2], [3, 4]], "chunks": (1, 2), "dtype": "i2", "dimension_names": ["y", "x"]},
                "deep": {},
            },
            "a/b/c": [1, 2],
            "copied": source,
        },
    )
    assert [name for name, _ in g.walk()] == [
        "a", "a/b", "a/b/c", "copied", "number", "ocean", "ocean/deep", "ocean/ice", "ocean/sst", "time", "words"
    ]  # fmt: skip
    assert dict(g.attrs) == {"title": "t"}
    assert dict(g["ocean"].attrs) == {"source": "model", "n": 3}
    assert g["number"][()] == 7
    assert g["words"][:].tolist() == ["a", "bc"]
    sst, ice = g["ocean/sst"], g["ocean/ice"]
    assert (sst.shape, sst.dtype, sst.chunks, sst[0, 0], sst.attrs["units"]) == ((4, 6), "f4", (2, 6), -1, "K")
    assert (ice.dtype, ice.chunks, ice.dimension_names, ice[:].tolist()) == ("i2", (1, 2), ("y", "x"), [[1, 2], [3, 4]])
    assert g["copied"].chunks == (1, 3)
    assert g["copied"].attrs["from"] == "elsewhere"
    assert {node.zarr_format for _, node in g.walk()} == {version}


def test_what_is_an_array_and_what_a_group() -> None:
    g = ndzarr.create_group()
    g.create_hierarchy(
        {
            "array": {"data": [1]},
            "group": {"data": [1], "time": [2]},
            "paths": {"data": {"x": [1], "y": [2]}, "time": [3]},
            "shapeless": {"dtype": [1.0]},
        }
    )
    assert isinstance(g["array"], ndzarr.ZArray)
    assert list(g["group"]) == ["data", "time"]
    assert list(g["paths/data"]) == ["x", "y"]
    assert list(g["shapeless"]) == ["dtype"]


def test_groups_that_are_there_are_filled_and_nothing_else_is_touched(version: int) -> None:
    g = ndzarr.create_group(zarr_format=version, members={"a": {"attributes": {"x": 1, "y": 1}, "b": [1]}})
    g.create_hierarchy({"a": {"attributes": {"y": 2}, "c": [2]}})
    assert list(g["a"]) == ["b", "c"]
    assert dict(g["a"].attrs) == {"x": 1, "y": 2}
    before = {key: bytes(g.store.get(key) or b"") for key in g.store.list()}
    for members in ({"n": [1], "a": {"b": [5]}}, {"n": [1], "a": [5]}, {"n": [1], "a": {"b": {"d": [1]}}}):
        with pytest.raises(ndzarr.NodeExistsError):
            g.create_hierarchy(members)
    assert {key: bytes(g.store.get(key) or b"") for key in g.store.list()} == before
    g.create_hierarchy({"a": {"b": [5, 6]}}, overwrite=True)
    assert g["a/b"][:].tolist() == [5, 6]
    assert g["a/c"][:].tolist() == [2]


def test_nothing_is_written_where_anything_is_wrong(version: int) -> None:
    g = ndzarr.create_group(zarr_format=version)
    g["x/y"] = [1]
    before = {key: bytes(g.store.get(key) or b"") for key in g.store.list()}
    wrong: list[Any] = [
        {"bad": {"shape": (3,), "dtype": "no such"}},
        {"bad": {"shape": (-1,)}},
        {"bad": {"data": [1], "chunks": (0,)}},
        {"bad": {"data": [1], "compressor": "no such"}},
        {"bad": np.array([object()])},
        {"bad": {"attributes": {"x": object()}}},
        {"bad": {"attributes": [1]}},
        {"attributes": {"x": 1}},
        {"": [1]},
        {"..": [1]},
        {3: [1]},
        {"p/q": [1], "p": {"q": [2]}},
        {"p": [1], "p/q": [2]},
        {"p": {"q": g["x"]}, "p/q/r": [1]},
        {"x/y/z": g},
        [1],
    ]
    for members in wrong:
        for make in (
            lambda members=members: g.create_hierarchy({"good": [1], **members} if isinstance(members, dict) else members),
            lambda members=members: g.create_group("new", members=members),
            lambda members=members: g.create_group("x", members=members, overwrite=True),
            lambda members=members: ndzarr.create_group(g.store, members=members, overwrite=True),
        ):
            with pytest.raises((ndzarr.ArgumentError, TypeError)):  # TypeError: NumPy's, for a dtype
                make()
            assert {key: bytes(g.store.get(key) or b"") for key in g.store.list()} == before, members
    with pytest.raises(ndzarr.ReadOnlyError):
        ndzarr.open_group(g.store).create_hierarchy({"a": [1]})


def test_assignment_of_a_mapping(version: int) -> None:
    g = ndzarr.create_group(zarr_format=version)
    g["a"] = {"attributes": {"n": 1}, "b": [1, 2], "c": {"d": [3]}}
    assert [name for name, _ in g.walk()] == ["a", "a/b", "a/c", "a/c/d"]
    assert g["a"].attrs["n"] == 1
    g["a"] = {"e": [1]}  # replaces, as any assignment does
    assert [name for name, _ in g.walk()] == ["a", "a/e"]
    assert dict(g["a"].attrs) == {}
    g["a"] = {"data": [1, 2], "chunks": 1}
    assert g["a"].chunks == (1,)
    g.update({"p": [1], "q": {"r": [2]}}, s=3)
    assert sorted(g) == ["a", "p", "q", "s"]


def test_errors_name_the_member() -> None:
    with pytest.raises(ndzarr.ArgumentError) as caught:
        ndzarr.create_group(members={"a": {"b": {"shape": 3, "chunks": 0}}})
    assert caught.value.__notes__ == ["in the member 'a/b'"]
