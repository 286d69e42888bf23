"""Reductions block by block: integers to the bit, floats at least as near to the true sum as NumPy."""

from __future__ import annotations

import math
import random
import tracemalloc
import warnings
from fractions import Fraction

import numpy as np
import pytest

import ndzarr
from ndzarr.testing.calls.wraps import zarray

AXES = [None, 0, 1, -1, (0, 2), (0, 1, 2), ()]
FUNCTIONS = [
    np.sum, np.prod, np.mean, np.var, np.std, np.min, np.max, np.any, np.all, np.ptp, np.nansum, np.nanprod, np.nanmean,
    np.nanvar, np.nanstd, np.nanmin, np.nanmax, np.average, np.count_nonzero,
]  # fmt: skip
DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", ">f8", ">i4"]


def array(dtype: str, shape: tuple[int, ...] = (7, 6, 5), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    found = rng.integers(-4 if kind not in "?u" else 0, 5, shape).astype(dtype)
    if kind in "fc":
        found = (found + rng.normal(size=shape).round(2)).astype(dtype)
    if kind == "c":
        found = (found + 1j * rng.normal(size=shape).round(2)).astype(dtype)
    return found


def same(got: object, want: object, tolerance: float) -> None:
    assert type(got) is type(want)
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if want.dtype.kind in "fc":
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("working_memory", [1, 600], ids=["chunks", "blocks"])
def test_as_numpy(function: object, dtype: str, working_memory: int) -> None:
    a = array(dtype)
    if np.dtype(dtype).kind in "fc" and function in (np.prod, np.nanprod):
        a = a / np.abs(a).max() * a.dtype.type(1.5)  # no infinities on the way: NumPy's would depend on the order
    z = zarray(a)
    tolerance = {"f2": 4e-3, "f4": 1e-5, "c8": 1e-5}.get(dtype, 1e-12)
    for axis in AXES:
        if axis == () and function in (np.average,):
            continue
        for keepdims in (False, True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    want = function(a, axis=axis, keepdims=keepdims)
                except TypeError as error:  # no subtraction of booleans
                    with ndzarr.options(working_memory=working_memory), pytest.raises(type(error)):
                        function(z, axis=axis, keepdims=keepdims)
                    continue
                with ndzarr.options(working_memory=working_memory):
                    got = function(z, axis=axis, keepdims=keepdims)
            same(got, want, tolerance)


@pytest.mark.parametrize("seed", range(60))
def test_keywords_as_numpy(seed: int) -> None:
    choose = random.Random(seed)
    a = array(choose.choice(DTYPES[1:]), seed=seed)
    if a.dtype.kind == "f" and choose.random() < 0.5:
        a[np.random.default_rng(seed).random(a.shape) < 0.1] = np.nan
    z = zarray(a)
    mask = np.random.default_rng(seed).random(choose.choice([a.shape, a.shape[1:], (1, 6, 1)])) < 0.6
    function = choose.choice([np.sum, np.prod, np.min, np.max, np.nansum, np.nanmax, np.mean, np.var, np.std, np.any, np.all])
    kwargs: dict[str, object] = {"axis": choose.choice(AXES[:-1]), "keepdims": choose.random() < 0.5}
    if choose.random() < 0.7:
        kwargs["where"] = mask
    if function in (np.sum, np.prod, np.min, np.max, np.nansum, np.nanmax) and (choose.random() < 0.4 or "where" in kwargs):
        kwargs["initial"] = 2
    if function in (np.sum, np.mean) and choose.random() < 0.4:
        kwargs["dtype"] = choose.choice(["f4", "f8", "c16"]) if a.dtype.kind != "c" else "c16"
    if function in (np.var, np.std):
        kwargs["ddof"] = choose.choice([0, 1, 2.5])
    wrapped = {**kwargs, "where": zarray(mask)} if "where" in kwargs and choose.random() < 0.5 else kwargs
    tolerance = 4e-3 if a.dtype == np.float16 else 2e-5 if a.dtype.itemsize <= 8 else 1e-11
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = function(a, **kwargs)
        with ndzarr.options(working_memory=choose.choice([1, 500]), workers=choose.choice([1, 3])):
            got = function(z, **wrapped)
    same(got, want, tolerance)


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("function", [np.argmin, np.argmax, np.nanargmin, np.nanargmax], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["i1", "f4", "f8", "c16", "M8[s]", "m8[s]", "U3", "?"])
def test_places_of_extremes(function: object, axis: int | None, dtype: str) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a = rng.integers(0, 4, (9, 8)).astype(dtype)  # many equal ones: the first counts
        if a.dtype.kind in "fc" and seed % 2:
            a[rng.random(a.shape) < 0.2] = np.nan
            a[0, 0] = a[1, 1] = a[-1, -1] = 1
            a[np.arange(9), np.arange(9) % 8] = 2
        if a.dtype.kind in "mM" and seed % 2:
            a[rng.random(a.shape) < 0.2] = "NaT"
        with ndzarr.options(working_memory=1):
            try:
                want = function(a, axis=axis)
            except (TypeError, ValueError) as error:
                with pytest.raises(type(error)):
                    function(zarray(a), axis=axis)
                continue
            same(function(zarray(a), axis=axis), want, 0)


@pytest.mark.parametrize("shape", [(200_000,), (50_000, 4), (4, 50_000), (37, 41, 43)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_are_at_least_as_near_as_numpys(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(1)
    a = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)).astype(dtype)
    z = ndzarr.array(a, chunks=tuple(max(1, n // 7) for n in shape), compressor=None)
    with ndzarr.options(working_memory=1 << 18):
        total, column, middle, spread = np.sum(z), np.sum(z, axis=0), np.mean(z), np.var(z)
    exact = math.fsum(a.reshape(-1).tolist())
    step = np.spacing(np.abs(a).sum(dtype="f8").astype(dtype))
    assert abs(float(total) - exact) <= abs(float(np.sum(a)) - exact) + step
    assert abs(float(middle) - exact / a.size) <= abs(float(np.mean(a)) - exact / a.size) + step / a.size
    ours, theirs = [], []  # errors, in units of what the last bit of the sum of absolute values is worth
    for got, lane, numpys in zip(np.ravel(column), a.reshape(shape[0], -1).T, np.ravel(np.sum(a, axis=0)), strict=True):
        exact, step = math.fsum(lane.tolist()), np.spacing(np.abs(lane).sum())
        ours.append(abs(float(got) - exact) / step)
        theirs.append(abs(float(numpys) - exact) / step)
    assert max(ours) <= max(theirs) + 1
    assert sum(ours) <= sum(theirs) + len(ours)
    if a.size <= 70_000:
        values = [Fraction(float(x)) for x in a.reshape(-1)]
        mean = sum(values) / len(values)
        variance = sum((x - mean) ** 2 for x in values) / len(values)
        assert abs(float(spread) / float(variance) - 1) < (1e-6 if dtype == "f4" else 1e-14)


def test_a_sum_that_pairs_lose() -> None:
    a = np.tile([1e16, 1.0, -1e16, 1.0], 1000)
    z = ndzarr.array(a, chunks=(1,), compressor=None)
    with ndzarr.options(working_memory=1):
        assert np.sum(z) == 2000.0


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_stays(value: float) -> None:
    a = np.ones((6, 6))
    a[4, 4] = value
    z = zarray(a)
    with ndzarr.options(working_memory=1):
        np.testing.assert_array_equal(np.sum(z), np.sum(a))
        np.testing.assert_array_equal(np.mean(z, axis=0), np.mean(a, axis=0))


def test_nothing_to_reduce() -> None:
    for shape in ((0, 3), (3, 0), (0,)):
        a, z = np.empty(shape), ndzarr.zeros(shape, dtype="f8")
        for function in (np.sum, np.prod, np.any, np.nansum, np.count_nonzero):
            same(function(z, axis=0), function(a, axis=0), 0)
        out = np.empty(shape[1:])
        np.sum(z, axis=0, out=out)
        np.testing.assert_array_equal(out, a.sum(axis=0))
        with ndzarr.options(working_memory=1):
            same(np.add.reduce(z, where=np.ones(shape, bool)), np.add.reduce(a), 0)
        for function in (np.max, np.argmin):
            if shape[0] == 0:
                with pytest.raises(ValueError, match=r"empty|identity"):
                    function(z, axis=0)


def test_the_same_bits_however_many_threads() -> None:
    a = np.random.default_rng(0).normal(size=(64, 300))
    z = ndzarr.array(a, chunks=(8, 30))
    found = set()
    for workers in (1, 2, 3, 5, 8):
        with ndzarr.options(workers=workers, working_memory=60_000):
            found.add((float(np.sum(z)), float(np.std(z)), np.mean(z, axis=0).tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("ufunc", [np.subtract, np.true_divide, np.hypot, np.logaddexp, np.bitwise_xor, np.maximum])
def test_every_ufunc_reduces(ufunc: np.ufunc) -> None:
    a = array("i4" if ufunc is np.bitwise_xor else "f8") + (10 if ufunc is np.true_divide else 0)
    with ndzarr.options(working_memory=1):
        for axis in (0, 1, 2):
            np.testing.assert_allclose(ufunc.reduce(zarray(a), axis=axis), ufunc.reduce(a, axis=axis), rtol=1e-12)


def test_out() -> None:
    a = array("f8")
    z = zarray(a)
    with ndzarr.options(working_memory=1):
        place = np.empty((6, 5))
        assert np.sum(z, axis=0, out=place) is place
        np.testing.assert_allclose(place, a.sum(axis=0))
        stored = ndzarr.zeros((7, 5), dtype="f4", chunks=(2, 2))
        assert np.mean(z, 1, None, stored) is stored
        np.testing.assert_allclose(stored[...], a.mean(axis=1), rtol=1e-6)
        with pytest.raises(ValueError, match="shape"):
            np.sum(z, axis=0, out=np.empty(3))


@pytest.mark.parametrize(
    "call",
    [
        lambda a: np.sum(a, axis=3),
        lambda a: np.sum(a, axis=(0, 0)),
        lambda a: np.mean(a, axis=-4),
        lambda a: np.max(a, axis="x"),
        lambda a: np.min(a, where=a > 0),
        lambda a: np.argmax(a, axis=7),
        lambda a: np.sum(a, dtype="M8[s]"),
        lambda a: np.std(a, ddof=1, correction=1),
        lambda a: np.sum(a, nonsense=1),
        lambda a: np.average(a, weights=[1, 2]),
        lambda a: np.average(a, weights=np.zeros_like(a)),
    ],
)
def test_what_numpy_refuses(call: object) -> None:
    a = array("f8")
    with pytest.raises(Exception) as expected:  # whatever NumPy raises
        call(a)
    with ndzarr.options(working_memory=1), pytest.raises(expected.type):
        call(zarray(a))


@pytest.mark.parametrize("function", [np.mean, np.std, np.sum, np.max, np.argmax, np.nanmean, np.any], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_memory_stays_under_the_cap(function: object, axis: int | None) -> None:
    cap = 4 << 20
    side = 7424
    z = ndzarr.create_array(None, shape=(side, side), dtype="f4", chunks=(256, 256), compressor="zstd")
    z[...] = np.broadcast_to(np.arange(side, dtype="f4"), (side, side))
    assert z.nbytes > 50 * cap
    with ndzarr.options(working_memory=cap, workers=2):
        function(z, axis=axis)  # what is loaded at first use is not the function's
        tracemalloc.start()
        try:
            got = function(z, axis=axis)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak - np.asarray(got).nbytes < cap
    if axis == 0:
        column = np.broadcast_to(np.arange(side, dtype="f4"), (64, side))  # rows are equal: as many as you like
        want = function(column, axis=0) * (side / 64 if function is np.sum else 1)
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["i4,f4", "V4"])
def test_records_that_are_not_zero(dtype: str) -> None:
    """Counted in blocks, of which NumPy counts those of an axis by a cast that records do not have."""
    a = np.zeros((4, 5, 6), dtype)
    a[1, 2, 3] = a[3, 4, 5] = np.frombuffer(b"\1" * a.itemsize, dtype)[0]
    z = ndzarr.array(a, chunks=2)
    with ndzarr.options(working_memory=256):
        assert np.count_nonzero(z) == 2
        np.testing.assert_array_equal(np.argwhere(z), np.argwhere(a))
        np.testing.assert_array_equal(np.nonzero(z), np.nonzero(a))
        if a.dtype.names is None:
            np.testing.assert_array_equal(np.count_nonzero(z, axis=0), np.count_nonzero(a, axis=0))
        else:
            with pytest.raises(TypeError):
                np.count_nonzero(z, axis=0)
