"""Medians and quantiles: NumPy's numbers to the bit, from arrays of any size in the memory that is allowed."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.functions.ranks import Keys, Ranks
from tests.compared import compare, numbers, same, stored

MiB = 1 << 20
DTYPES = ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "m8[s]", "M8[s]", "c8"]
METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "linear",
    "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest", "no method",
]  # fmt: skip
QUANTILES: list[Any] = [0, 1, 0.5, 1.5, [0.1, 0.9], [[0.2, 0.3], [1, 0.0]], np.float32(0.3), np.array([0.25, 0.5], "f4")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("working_memory", [1, 200])
def test_as_numpy(dtype: str, working_memory: int) -> None:
    choose = random.Random(dtype)
    for _ in range(60):
        shape = tuple(choose.randint(1, 9) for _ in range(choose.randint(1, 3)))
        array = numbers(choose, dtype, shape)
        function = choose.choice([np.median, np.nanmedian, np.quantile, np.nanquantile, np.percentile, np.nanpercentile])
        ndim = len(shape)
        kwargs: dict[str, Any] = {"axis": choose.choice([None, None, 0, -1, 3, tuple(range(ndim)), tuple({0, ndim - 1})])}
        kwargs |= {"keepdims": True} if choose.random() < 0.3 else {}
        args: tuple[Any, ...] = ()
        if function not in (np.median, np.nanmedian):
            q = choose.choice(QUANTILES)
            args = (q if "quantile" in function.__name__ else np.multiply(q, 100) if np.ndim(q) else q * 100,)
            kwargs["method"] = choose.choice(METHODS)
        z = stored(choose, array)
        compare(function, (array, *args), (z, *args), kwargs, working_memory=working_memory)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i4", "u8", "?", "m8[s]"])
def test_every_rank(dtype: str) -> None:
    choose = random.Random(dtype)
    keys = Keys.of(np.dtype(dtype))
    assert keys is not None
    for size, spread in ((1, 1), (17, 3), (1000, 1 << 30)):
        if dtype[0] in "iu":
            array = np.array([choose.randrange(spread) % (np.iinfo(dtype).max + 1) for _ in range(size)], dtype)
        else:
            array = numbers(choose, dtype, (size,))
        z = ndzarr.create_array(shape=size, dtype=dtype, chunks=max(1, size // 6))
        z[...] = array
        valid = array[~np.isnan(array)] if array.dtype.kind in "fm" else array
        with ndzarr.options(working_memory=600):
            ranks = Ranks(z, keys)
            assert (ranks.count, ranks.nans) == (valid.size, array.size - valid.size)
            if valid.size:
                np.testing.assert_array_equal(ranks.values(range(valid.size)), np.sort(valid))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_values_that_differ_in_the_last_digit(dtype: str) -> None:
    # Every pass leaves all of them, until the last.
    z = ndzarr.create_array(shape=(4000,), dtype=dtype, chunks=(500,))
    array = np.full(4000, 1, dtype)
    array.view(f"i{array.itemsize}")[...] += np.random.default_rng(0).permutation(4000) % 250
    z[...] = array
    with ndzarr.options(working_memory=900):
        for function in (np.median, lambda a: np.quantile(a, [0.1, 0.5, 0.77, 0.9])):
            same(function(z), function(array))


def test_many_quantiles() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(300, 100))
    z = stored(random.Random(0), array)
    q = rng.random(500)
    with ndzarr.options(working_memory=20_000):
        same(np.quantile(z, q), np.quantile(array, q))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_out(axis: Any, keepdims: bool) -> None:
    choose = random.Random(0)
    array = np.random.default_rng(0).normal(size=(40, 6))
    z = stored(choose, array)
    functions: list[Any] = [np.median, np.nanmedian, lambda a, **kw: np.quantile(a, [0.1, 0.7], **kw)]
    for function in functions:
        want = np.asarray(function(array, axis=axis, keepdims=keepdims))
        for out in (np.zeros_like(want), stored(choose, np.zeros_like(want))):
            with ndzarr.options(working_memory=300):
                assert function(z, axis=axis, keepdims=keepdims, out=out) is out
            np.testing.assert_array_equal(np.asarray(out), want)
        with ndzarr.options(working_memory=300), pytest.raises(ValueError):
            function(z, axis=axis, keepdims=keepdims, out=np.zeros((5, 5, 5)))


def test_overwrite_input_leaves_what_is_stored() -> None:
    array = np.random.default_rng(0).normal(size=(40, 6))
    z = stored(random.Random(0), array)
    for working_memory in (1, 1 * MiB):
        with ndzarr.options(working_memory=working_memory):
            same(np.median(z, axis=0, overwrite_input=True), np.median(array, axis=0))
    np.testing.assert_array_equal(z[...], array)


@pytest.mark.parametrize("function", [np.quantile, np.nanquantile])
def test_weights(function: Any) -> None:
    choose = random.Random(1)
    for _ in range(60):
        shape = tuple(choose.randint(1, 9) for _ in range(choose.randint(1, 3)))
        array = numbers(choose, choose.choice(["f8", "i4"]), shape)
        weights = np.random.default_rng(choose.randrange(99)).integers(1, 4, shape).astype("f8")
        kwargs = {"axis": choose.choice([None, 0, -1]), "method": choose.choice(["inverted_cdf", "inverted_cdf", "linear"])}
        q = choose.choice([0.3, [0.2, 0.9]])
        compare(
            function, (array, q), (stored(choose, array), q), kwargs | {"weights": weights},
            given_kwargs=kwargs | {"weights": choose.choice([weights, stored(choose, weights)])},
        )  # fmt: skip


def test_a_lane_longer_than_the_memory() -> None:
    array = np.random.default_rng(0).normal(size=(2000, 3)).astype("f4")
    array[5, 1] = np.nan
    z = ndzarr.create_array(shape=array.shape, dtype="f4", chunks=(100, 2))
    z[...] = array
    # Less than one lane takes: found by counting, which needs none whole.
    with ndzarr.options(working_memory=10_000, max_load=4000):
        same(np.median(z, axis=0), np.median(array, axis=0))
        same(np.nanquantile(z, [0.2, 0.5], axis=0, keepdims=True), np.nanquantile(array, [0.2, 0.5], axis=0, keepdims=True))


@pytest.mark.parametrize(
    "function", [np.median, lambda a: np.quantile(a, [0.1, 0.5, 0.99]), np.nanmedian], ids=["median", "quantile", "nanmedian"]
)
def test_memory(function: Any) -> None:
    # 50 times the cap.
    row = np.random.default_rng(0).normal(size=1 << 16).astype("f4")
    z = ndzarr.create_array(shape=(800, row.size), dtype="f4", chunks=(1, row.size))
    z[...] = np.broadcast_to(row, z.shape)
    assert z.nbytes == 50 * 4 * MiB
    with ndzarr.options(working_memory=4 * MiB, workers=2):
        function(z[:1])  # what is imported and started once is not counted
        tracemalloc.start()
        try:
            got = function(z)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * MiB
    # Each value 800 times: the order statistics are those of one row.
    if function is np.median:
        middle = np.sort(row)[[row.size // 2 - 1, row.size // 2]]
        assert got == np.median(middle)
