"""Histograms and bincount: the counts and edges of NumPy, exactly; sums of weights up to rounding."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest

import ndzarr
from tests.compared import compare, numbers, same, stored

MiB = 1 << 20
DTYPES = ["f2", "f4", "f8", "i1", "u1", "i2", "i4", "u4", "i8", "u8", "?"]
BINS: list[Any] = [
    10, 1, 3, 7, [0, 1, 2, 3], np.array([-1, -0.2, 0.1, 0.3, 0.7]), "auto", "fd", "doane", "scott", "rice", "sturges", "sqrt",
    "stone", "no estimator", 0, -1, [3, 1], 2.5,
]  # fmt: skip


def weights_like(choose: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    found = numbers(choose, choose.choice(["f4", "f8", "i4", "u1"]), shape)
    return (np.nan_to_num(found, posinf=1, neginf=1) % 100).astype(found.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_histogram(dtype: str) -> None:
    choose = random.Random(dtype)
    for _ in range(100):
        shape = tuple(choose.randint(1, 9) for _ in range(choose.randint(1, 3)))
        array = numbers(choose, dtype, shape)
        kwargs: dict[str, Any] = {"bins": choose.choice(BINS)}
        if choose.random() < 0.3:
            kwargs["range"] = choose.choice([(0, 1), (-0.5, 0.7), (1, 0), (0, 0), (0.1, 0.3), (np.nan, 1)])
        given, rtol = dict(kwargs), 0.0
        if choose.random() < 0.3:
            weights = weights_like(choose, shape)
            kwargs["weights"], given["weights"] = weights, choose.choice([weights, stored(choose, weights)])
            rtol = 1e-5 if weights.dtype.kind == "f" else 0
        function = choose.choice([np.histogram, np.histogram, np.histogram_bin_edges])
        if function is np.histogram and choose.random() < 0.3:
            kwargs["density"] = given["density"] = True
        z = stored(choose, array)
        compare(function, (array,), (z,), kwargs, given_kwargs=given, working_memory=choose.choice([1, 200]), rtol=rtol)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_on_and_beside_edges(dtype: str) -> None:
    choose = random.Random(dtype)
    for _ in range(40):
        low = choose.uniform(-10, 10)
        edges = np.linspace(low, low + choose.choice([1e-3, 0.3, 7.7]), choose.choice([11, 50, 101]), dtype=dtype)
        array = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
        z = stored(choose, array)
        for kwargs in ({"bins": len(edges) - 1}, {"bins": 7, "range": (edges[0], edges[-1])}, {"bins": edges}):
            compare(np.histogram, (array,), (z,), kwargs)


@pytest.mark.parametrize("seed", range(4))
def test_of_several_columns(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(60):
        count, ncolumns = choose.randint(1, 30), choose.randint(1, 3)
        kwargs: dict[str, Any] = {
            "bins": choose.choice(
                [3, 5, 0, [2] * ncolumns, [np.array([-1, 0, 1.0])] * ncolumns, [3] * (ncolumns - 1) + [[0, 0.5, 1]]]
            )
        }
        if choose.random() < 0.3:
            kwargs["range"] = choose.choice([[(0, 1)] * ncolumns, [(0, 1)] * (ncolumns - 1) + [None]])
        if choose.random() < 0.3:
            kwargs["density"] = True
        given, rtol = dict(kwargs), 0.0
        if choose.random() < 0.3:
            weights = weights_like(choose, (count,))
            kwargs["weights"], given["weights"] = weights, choose.choice([weights, stored(choose, weights)])
            rtol = 1e-9
        options: dict[str, Any] = {"given_kwargs": given, "rtol": rtol}
        if choose.random() < 0.4:
            table = numbers(choose, choose.choice(DTYPES), (count, ncolumns))
            compare(np.histogramdd, (table,), (stored(choose, table),), kwargs, **options)
            continue
        columns = [numbers(choose, choose.choice(DTYPES), (count,)) for _ in range(ncolumns)]
        zs = [stored(choose, column) for column in columns]
        if ncolumns == 2 and choose.random() < 0.7:
            compare(np.histogram2d, tuple(columns), tuple(zs), kwargs, **options)
        else:
            compare(np.histogramdd, (columns,), (zs,), kwargs, **options)


@pytest.mark.parametrize("seed", range(4))
def test_bincount(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(60):
        count = choose.randint(1, 40)
        low = -1 if choose.random() < 0.1 else 0
        rng = np.random.default_rng(choose.randrange(99))
        array = rng.integers(low, choose.choice([3, 100, 100_000]), count).astype(choose.choice(["i4", "u1", "i8", "u8", "f4"]))
        if array.dtype.kind == "i" or array.dtype.itemsize == 1 or low == 0:
            kwargs: dict[str, Any] = {} if choose.random() < 0.5 else {"minlength": choose.choice([0, 5, 2000, -1])}
            given = dict(kwargs)
            if choose.random() < 0.4:
                weights = numbers(choose, choose.choice(["f4", "f8", "i4"]), (count,))
                kwargs["weights"], given["weights"] = weights, choose.choice([weights, stored(choose, weights)])
            compare(np.bincount, (array,), (stored(choose, array),), kwargs, given_kwargs=given)


def test_bincount_of_huge_numbers_is_refused() -> None:
    z = stored(random.Random(0), np.array([1, 1 << 40] * 10))
    with ndzarr.options(working_memory=1), pytest.raises(ndzarr.MemoryLimitError, match=r"numpy\.unique"):
        np.bincount(z)


def test_no_data() -> None:
    z = ndzarr.create_array(shape=(0,), dtype="f8", chunks=(4,))
    with ndzarr.options(working_memory=1):
        same(np.histogram(z), np.histogram(np.empty(0)))


@pytest.mark.parametrize("bins", [50, "scott"])
def test_memory(bins: Any) -> None:
    # 50 times the cap.
    row = np.random.default_rng(0).normal(size=1 << 16).astype("f4")
    z = ndzarr.create_array(shape=(800, row.size), dtype="f4", chunks=(1, row.size))
    z[...] = np.broadcast_to(row, z.shape)
    assert z.nbytes == 50 * 4 * MiB
    with ndzarr.options(working_memory=4 * MiB, workers=2):
        np.histogram(z[:1], bins)
        tracemalloc.start()
        try:
            counts, edges = np.histogram(z, bins)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * MiB
    want = np.histogram(row, len(counts))
    np.testing.assert_array_equal(counts, want[0] * 800)
    np.testing.assert_array_equal(edges, want[1])
