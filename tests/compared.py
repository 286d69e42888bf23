"""A call with stored arrays beside the same call with NumPy's: what both give, or raise, has to be the same."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import ndzarr


def stored(choose: random.Random, array: np.ndarray) -> ndzarr.ZArray:
    """A stored array with these elements, in chunks of random lengths."""
    chunks = tuple(choose.randint(1, max(1, n)) for n in array.shape)
    z = ndzarr.create_array(shape=array.shape, dtype=array.dtype, chunks=chunks)
    z[...] = array
    return z


def numbers(choose: random.Random, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers with repetitions, extremes, and at times infinities and NaNs."""
    rng = np.random.default_rng(choose.randrange(1 << 30))
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind == "f":
        few = [0.0, -0.0, 0.1, 0.3, 0.7, 1, *np.linspace(-1, 1, 11), *rng.normal(size=5)]
        few += [np.inf, -np.inf] if choose.random() < 0.3 else []
        few += [np.nan] if choose.random() < 0.2 else []
        return rng.choice(few, size=shape).astype(dtype)
    if kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if kind in "US":
        return rng.choice(np.array(["", "a", "ab", "abc", "b", "zz"], dtype), size=shape)
    if kind in "mM":
        few = np.array([*range(-4, 5), 1 << 40], np.int64).view(dtype)
        if choose.random() < 0.2:
            few[0] = "NaT"
        return rng.choice(few, size=shape)
    bits = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    found = bits.view(dtype)[..., 0].copy()
    return found if choose.random() < 0.5 else (found % 7).astype(dtype)


def compare(
    function: Callable[..., Any], plain: tuple[Any, ...], given: tuple[Any, ...], kwargs: dict[str, Any], *,
    given_kwargs: dict[str, Any] | None = None, working_memory: int = 1, rtol: float = 0,
) -> None:  # fmt: skip
    """Call with NumPy's arrays and with the `given` ones, and assert that the outcomes are the same, within `rtol`."""
    want = _outcome(function, plain, kwargs)
    with ndzarr.options(working_memory=working_memory):
        got = _outcome(function, given, kwargs if given_kwargs is None else given_kwargs)
    if isinstance(want, Exception) or isinstance(got, Exception):
        assert isinstance(got, type(want)), f"{got!r}, expected {want!r}"
    else:
        same(got, want, rtol)


def _outcome(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call gives, or the exception it raises; warnings are not compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*args, **kwargs)
        except Exception as error:
            return error


def same(got: Any, want: Any, rtol: float = 0) -> None:
    """Assert that two results are of one type, shape, dtype and value; zeros of both signs are one."""
    if isinstance(want, (tuple, list)):
        assert type(got) is type(want)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            same(one, other, rtol)
        return
    assert type(got) is type(want)
    got, want = np.asarray(got), np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if rtol and want.dtype.kind in "fc":
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(got, want)
