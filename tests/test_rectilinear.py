"""Chunks of different lengths: which object holds what, and what becomes of the grid when the shape changes.

Indexing over such grids is compared with NumPy in tests/test_numpy_parity.py.
"""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.grid import Edges


def numbers(*shape: int) -> np.ndarray:
    return np.arange(1, 1 + int(np.prod(shape)), dtype="i4").reshape(shape)


def grid_of(z: Any) -> Any:
    return json.loads(bytes(z.store.get("zarr.json") or b""))["chunk_grid"]


def test_each_object_holds_its_own_shape() -> None:
    z = ndzarr.create_array(None, shape=(10, 7), dtype="i4", chunks=[[4, 1, 7], 3], compressor=None)
    a = numbers(10, 7)
    z[...] = a
    assert (z.chunks, z.shards, z.nchunks) == (((4, 1, 7), 3), None, 9)
    assert {key: len(z.store.get(key) or b"") // 4 for key in sorted(z.store.list("c/"))} == {
        **{f"c/0/{j}": 12 for j in range(3)},
        **{f"c/1/{j}": 3 for j in range(3)},
        **{f"c/2/{j}": 21 for j in range(3)},  # past the edge too
    }
    np.testing.assert_array_equal(np.frombuffer(z.store.get("c/1/1") or b"", "<i4"), a[4, 3:6])
    np.testing.assert_array_equal(z[...], a)
    assert grid_of(z) == {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[4, 1, 7], 3]}}
    assert [len(z.blocks[i]) for i in range(3)] == [4, 1, 5]
    np.testing.assert_array_equal(z.blocks[1:, 2], a[4:, 6:])
    np.testing.assert_array_equal(list(z), a)
    z.blocks[1, 0] = 0
    assert z[4].tolist() == [0, 0, 0, *a[4, 3:].tolist()]
    assert z[4, 2] == 0
    assert z[9, 6] == a[9, 6]


def test_reading_touches_the_chunks_it_needs() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(1000,), dtype="i4", chunks=[[500, 1, 1, 498]])
    z[...] = numbers(1000)
    store.clear()
    assert z[499:502].tolist() == [500, 501, 502]
    assert [call.key for call in store.calls()] == ["c/0", "c/1", "c/2"]


def test_documents_with_runs() -> None:
    z = ndzarr.create_array(None, shape=(30, 8), dtype="i4", chunks=[[3] * 8 + [6], 8])
    assert grid_of(z)["configuration"]["chunk_shapes"] == [[[3, 8], 6], 8]
    document = json.loads(bytes(z.store.get("zarr.json") or b""))
    document["chunk_grid"]["configuration"]["chunk_shapes"] = [[3, [3, 7], [6, 10**15]], [[8, 1], 2]]
    z.store.set("zarr.json", json.dumps(document).encode())
    again = ndzarr.open_array(z.store, "r+")
    a = numbers(30, 8)
    again[...] = a
    np.testing.assert_array_equal(again[...], a)
    assert again.chunks == ((3,) * 8 + (6,), (8,))
    assert again.metadata.chunks[0] == Edges(((3, 8), (6, 10**15)))


def test_a_list_of_lengths_too_long_to_make() -> None:
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [10**17],
        "data_type": "uint8",
        "chunk_grid": {
            "name": "rectilinear",
            "configuration": {"kind": "inline", "chunk_shapes": [[[7, 10**16], [8, 10**16]]]},
        },
        "chunk_key_encoding": "default",
        "fill_value": 3,
        "codecs": ["bytes"],
    }
    z = ndzarr.open_array({"zarr.json": json.dumps(document).encode()}, "r+")
    assert z[10**17 - 1] == 3
    z[7 * 10**16 + 7 : 7 * 10**16 + 9] = [1, 2]
    assert sorted(z.store.list("c/")) == [f"c/{10**16}", f"c/{10**16 + 1}"]
    assert z[7 * 10**16 + 5 : 7 * 10**16 + 11].tolist() == [3, 3, 1, 2, 3, 3]
    with pytest.raises(ndzarr.MemoryLimitError):
        z.chunks  # noqa: B018  # a property that raises


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_programs_of_writes_and_resizes(shards: bool, seed: int) -> None:
    """Against a NumPy array: what is cut off is gone, what is new is fill, and no chunk gets longer than those there were."""
    rng = random.Random(seed)
    unit = 3 if shards else 1
    edges = [rng.randint(1, 4) * unit for _ in range(3)]
    keywords: dict[str, Any] = {"chunks": (3, 2), "shards": [edges, 4]} if shards else {"chunks": [edges, 2]}
    shape = (rng.randint(sum(edges[:2]) + 1, sum(edges)), 5)
    z = ndzarr.create_array(None, shape=shape, dtype="i4", fill_value=-1, **keywords)
    model = np.full(shape, -1, "i4")
    for step in range(40):
        what = rng.choice(("write", "write", "resize", "append"))
        if what == "write":
            rows = slice(*sorted(rng.randint(0, model.shape[0]) for _ in range(2)))
            z[rows, ::2] = model[rows, ::2] = step
        elif what == "append":
            new = np.full((rng.randint(0, 7), model.shape[1]), 1000 + step, "i4")
            z.append(new)
            model = np.concatenate([model, new])
        else:
            wanted = (rng.randint(0, 30), rng.randint(0, 7))
            z.resize(wanted)
            grown = np.full(wanted, -1, "i4")
            kept = tuple(slice(min(a, b)) for a, b in zip(wanted, model.shape, strict=True))
            grown[kept] = model[kept]
            model = grown
        assert z.shape == model.shape
        np.testing.assert_array_equal(z[...], model)
        reopened = ndzarr.open_array(z.store)
        np.testing.assert_array_equal(reopened[...], model)
        stored = reopened.metadata.chunks[0]
        assert isinstance(stored, Edges)
        assert list(stored)[:3] == edges
        assert all(length % unit == 0 and length <= max(edges) for length, _ in stored.runs)
        assert reopened.nchunks == ndzarr.open_array(z.store).nchunks


def test_appending_adds_a_chunk_as_long_as_the_rows() -> None:
    z = ndzarr.create_array(None, shape=(59,), dtype="i4", chunks=[[31, 28]])
    z.append(numbers(31))
    z.append(numbers(30))
    assert z.chunks == ((31, 28, 31, 30),)
    z.append(numbers(65))
    assert z.chunks == ((31, 28, 31, 30, 31, 31, 3),)
    np.testing.assert_array_equal(z[-65:], numbers(65))


@pytest.mark.parametrize("layout", [{"chunks": [[2, 3], 2]}, {"chunks": (1, 2), "shards": [[2, 3], 4]}], ids=str)
def test_appending_after_an_append_of_another_length_has_failed(layout: Any) -> None:
    inner = ndzarr.MemoryStore()
    ndzarr.create_array(inner, shape=(5, 5), dtype="i4", **layout)[...] = 1
    z = ndzarr.open_array(ndzarr.FaultStore(inner, on=("set",), keys="zarr.json", fail="always"), "r+")
    with pytest.raises(ndzarr.StoreError):
        z.append(numbers(3, 5))  # the chunks are there, the shape is not
    z = ndzarr.open_array(inner, "r+")
    z.append(numbers(2, 5))
    np.testing.assert_array_equal(z[...], np.concatenate([np.ones((5, 5), "i4"), numbers(2, 5)]))


def test_shards_of_different_lengths() -> None:
    z = ndzarr.create_array(None, shape=(20, 9), dtype="i4", chunks=(2, 3), shards=[[4, 2, 14], [6, 3]])
    a = numbers(20, 9)
    z[...] = a
    assert (z.chunks, z.shards) == ((2, 3), ((4, 2, 14), (6, 3)))
    assert sorted(z.store.list("c/")) == [f"c/{i}/{j}" for i in range(3) for j in range(2)]
    np.testing.assert_array_equal(z[3:7, 5:7], a[3:7, 5:7])
    np.testing.assert_array_equal(z[[19, 4, 4], [8, 0, 6]], a[[19, 4, 4], [8, 0, 6]])
    np.testing.assert_array_equal(z.blocks[2, 1], a[4:6, 3:6])


@pytest.mark.parametrize(
    ("chunks", "shards"),
    [
        ([[4, 4], 3], None),  # 8 < 10
        ([[4, 0, 6], 3], None),
        ([[], 3], None),
        ([[10, -1], 3], None),
        ([[4, 1.5, 6], 3], None),
        ([["4", 6], 3], None),
        ([[10]], None),
        ((2, 3), [[4, 3, 4], 6]),
        ((2, 3), [[4, 4], 6]),
        ([[4, 6], 3], (10, 6)),
    ],
)
def test_lengths_that_are_refused(chunks: Any, shards: Any) -> None:
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.create_array(None, shape=(10, 6), dtype="i4", chunks=chunks, shards=shards)
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.create_array(None, shape=(10, 6), dtype="i4", chunks=[[4, 6], 3], zarr_format=2)
