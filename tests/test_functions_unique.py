"""Distinct values, sets, and what is left without zeros, as NumPy finds them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import ndzarr
from tests.compared import compare, numbers, same, stored

DTYPES = ["f2", "f4", "f8", "i1", "u1", "i4", "u8", "i8", "?", "c8", "M8[s]", "m8[ms]", "U3", "S2"]


def shape_of(choose: random.Random) -> tuple[int, ...]:
    return tuple(choose.randint(1, 9) for _ in range(choose.randint(1, 3)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_unique(dtype: str) -> None:
    choose = random.Random(dtype)
    for _ in range(60):
        array = numbers(choose, dtype, shape_of(choose))
        kwargs = {name: True for name in ("return_index", "return_inverse", "return_counts") if choose.random() < 0.5}
        if choose.random() < 0.3:
            kwargs["equal_nan"] = False
        if choose.random() < 0.2:
            kwargs["axis"] = choose.choice([0, None, 5])
        compare(np.unique, (array,), (stored(choose, array),), kwargs, working_memory=choose.choice([1, 200]))


@pytest.mark.parametrize("dtype", ["f4", "f8", "M8[s]"])
@pytest.mark.parametrize("equal_nan", [True, False])
def test_unique_with_many_nans(dtype: str, equal_nan: bool) -> None:
    choose = random.Random(dtype)
    for seed in range(20):
        array = numbers(choose, dtype, (7, 5))
        array[np.random.default_rng(seed).random(array.shape) < 0.5] = "NaT" if dtype == "M8[s]" else np.nan
        for names in ((), ("index",), ("counts",), ("inverse",), ("index", "counts"), ("index", "inverse", "counts")):
            kwargs = {f"return_{name}": True for name in names} | {"equal_nan": equal_nan}
            compare(np.unique, (array,), (stored(choose, array),), kwargs)


def test_unique_of_nans_of_several_kinds() -> None:
    array = np.array([complex(np.nan, 1), 2, complex(1, np.nan), complex(np.nan, np.nan), 2j, 2, complex(np.nan, 0)] * 3)
    for kwargs in ({}, {"return_counts": True}, {"return_index": True}, {"return_inverse": True}):
        compare(np.unique, (array,), (stored(random.Random(0), array),), kwargs)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "c8"])
def test_the_array_api_forms(dtype: str) -> None:
    choose = random.Random(dtype)
    for _ in range(20):
        array = numbers(choose, dtype, shape_of(choose))
        z = stored(choose, array)
        for function in (np.unique_counts, np.unique_inverse, np.unique_all):
            compare(function, (array,), (z,), {})
        compare(lambda x: np.sort(np.unique_values(x)), (array,), (z,), {})  # NumPy's order is that of a hash table


@pytest.mark.parametrize("function", [np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d])
def test_sets(function: Any) -> None:
    choose = random.Random(function.__name__)
    for _ in range(120):
        first = numbers(choose, choose.choice([d for d in DTYPES if d != "c8"]), shape_of(choose))
        second = first.reshape(-1)[[choose.randrange(first.size) for _ in range(choose.randint(1, 9))]]
        if choose.random() < 0.3:
            second = numbers(choose, choose.choice(["f4", "i4", "U3"]), shape_of(choose))
        kwargs: dict[str, Any] = {"assume_unique": True} if choose.random() < 0.1 and function is not np.union1d else {}
        if function is np.intersect1d and choose.random() < 0.5:
            kwargs["return_indices"] = True
        given = choose.choice([
            (stored(choose, first), second), (first, stored(choose, second)), (stored(choose, first), stored(choose, second)),
        ])  # fmt: skip
        compare(function, (first, second), given, kwargs)


@pytest.mark.parametrize("dtype", ["f4", "i4", "?", "M8[s]"])
def test_trim_zeros(dtype: str) -> None:
    choose = random.Random(dtype)
    for _ in range(60):
        array = numbers(choose, dtype, shape_of(choose))
        array[np.random.default_rng(choose.randrange(99)).random(array.shape) < 0.8] = np.zeros((), dtype)
        kwargs: dict[str, Any] = {"trim": choose.choice(["f", "b", "fb", "BF", "x", ""])} if choose.random() < 0.5 else {}
        if choose.random() < 0.3:
            kwargs["axis"] = choose.choice([0, -1])
        compare(np.trim_zeros, (array,), (stored(choose, array),), kwargs)


def test_many_blocks_of_different_values() -> None:
    array = np.random.default_rng(0).permutation(20_000).reshape(200, 100) // 2
    z = ndzarr.create_array(shape=array.shape, dtype=array.dtype, chunks=(20, 30))
    z[...] = array
    with ndzarr.options(working_memory=10_000, workers=2):
        same(np.unique(z, return_index=True, return_inverse=True, return_counts=True),
             np.unique(array, return_index=True, return_inverse=True, return_counts=True))  # fmt: skip


def test_too_many_distinct_values_are_refused() -> None:
    z = ndzarr.create_array(shape=(10_000,), dtype="i8", chunks=(500,))
    z[...] = np.arange(10_000)
    with ndzarr.options(working_memory=1, max_result=20_000), pytest.raises(ndzarr.MemoryLimitError, match=r"numpy\.unique"):
        np.unique(z)


def test_a_damaged_chunk_stops_every_thread() -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(100, 1000), dtype="i8", chunks=(1, 1000))
    z[...] = np.arange(100_000).reshape(100, 1000)
    chunks = [key for key in store.list() if not key.endswith((".json", ".zarray", ".zattrs"))]
    store.set(chunks[0], b"no chunk")
    with ndzarr.options(working_memory=1, workers=2), pytest.raises(ndzarr.DataError):
        np.unique(z)
