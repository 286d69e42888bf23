"""Arrays put together from stored arrays, against NumPy, in blocks and without a second copy."""

from __future__ import annotations

import random
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import NDArray

DTYPES = ["b1", "i2", "i8", "f4", "f8", "c8", "U3", "S4", "M8[s]"]


def numbers(choose: random.Random, shape: tuple[int, ...], dtype: Any = None) -> NDArray:
    dtype = choose.choice(DTYPES[:6]) if dtype is None else dtype
    return np.random.default_rng(choose.randrange(1 << 30)).integers(0, 100, shape).astype(dtype)


def stored(choose: random.Random, array: NDArray) -> Any:
    chunks = tuple(choose.randint(1, max(1, n)) for n in array.shape)
    made = ndzarr.create_array(None, shape=array.shape, dtype=array.dtype, chunks=chunks)
    made[...] = array
    return made


def some_stored(choose: random.Random, arrays: list[NDArray]) -> list[Any]:
    sure = choose.randrange(len(arrays))
    return [stored(choose, a) if k == sure or choose.random() < 0.6 else a for k, a in enumerate(arrays)]


def compare(choose: random.Random, call: Callable[..., Any], *arrays: NDArray, rtol: float = 0) -> None:
    """`call` of stored arrays is what it is of NumPy's: value, shape, dtype, class of exception."""
    things = some_stored(choose, list(arrays))
    options = ndzarr.options(working_memory=choose.choice([1, 100, 1000, 64 << 20]), workers=choose.choice([1, 2]))
    with options, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = call(*arrays)
        except Exception as error:
            with pytest.raises(type(error)):
                call(*things)
            return
        got = call(*things)
    assert type(got) is type(want)
    for one, other in zip(got, want, strict=True) if isinstance(want, (tuple, list)) else [(got, want)]:
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        if rtol:
            np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)
        else:
            np.testing.assert_array_equal(one, other)


def shape(choose: random.Random, ndim: int | None = None) -> tuple[int, ...]:
    return tuple(choose.randint(choose.random() > 0.05, 6) for _ in range(choose.randint(1, 3) if ndim is None else ndim))


@pytest.mark.parametrize("seed", range(8))
def test_concatenate_and_stacks(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        first = shape(choose)
        axis: Any = choose.choice([None, *range(-len(first), len(first) + 1)])
        count = choose.randint(1, 4)
        shapes = [first]
        for _ in range(count - 1):
            other = list(first)
            if axis is not None and choose.random() < 0.9:
                other[axis % len(first)] = choose.randint(0, 4)
            elif axis is None or choose.random() < 0.3:
                other = list(shape(choose))
            shapes.append(tuple(other))
        kind = choose.choice([None, *DTYPES])
        arrays = [numbers(choose, s, kind) for s in shapes]
        kwargs: dict[str, Any] = {}
        if choose.random() < 0.2:
            kwargs = {"dtype": choose.choice(["f4", "f8", "i4", "U9"]), "casting": choose.choice(["unsafe", "same_kind"])}
        compare(choose, lambda *xs, axis=axis, kw=kwargs: np.concatenate(xs, axis, **kw), *arrays)
        compare(choose, lambda *xs, axis=axis or 0, kw=kwargs: np.stack(xs, axis, **kw), *arrays)
        for function in (np.vstack, np.hstack, np.dstack, np.column_stack):
            compare(choose, lambda *xs, f=function: f(xs), *arrays)
        compare(choose, lambda *xs, axis=axis: np.append(xs[0], xs[-1], axis), *arrays)


@pytest.mark.parametrize("seed", range(4))
def test_concatenate_into_arrays(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(20):
        first = shape(choose)
        axis = choose.randrange(len(first))
        arrays = [numbers(choose, first, "f4") for _ in range(3)]
        want = np.concatenate(arrays, axis)
        out = np.zeros(want.shape, choose.choice(["f4", "f8", "i4"]))
        place = stored(choose, out) if choose.random() < 0.7 else out.copy()
        things = some_stored(choose, arrays)
        with ndzarr.options(working_memory=choose.choice([1, 200])):
            try:
                np.concatenate(arrays, axis, out)
            except TypeError:
                with pytest.raises(TypeError):
                    np.concatenate(things, axis, place)
                continue
            assert np.concatenate(things, axis, place) is place
            np.testing.assert_array_equal(place, out)
    with ndzarr.options(working_memory=1), pytest.raises(ValueError):
        np.concatenate([stored(choose, np.zeros(4))], out=np.zeros(5))


def test_concatenate_into_what_it_reads() -> None:
    choose = random.Random(0)
    a = numbers(choose, (12, 3), "i8")
    z = stored(choose, a)
    with ndzarr.options(working_memory=1):
        np.concatenate([z.lazy[6:], z.lazy[:6]], out=z)
    np.testing.assert_array_equal(z, np.concatenate([a[6:], a[:6]]))


def test_a_sequence_that_is_an_array() -> None:
    choose = random.Random(0)
    a = numbers(choose, (4, 3, 2), "i8")
    for function in (np.vstack, np.hstack, np.stack, np.dstack):
        with ndzarr.options(working_memory=1):
            np.testing.assert_array_equal(function(stored(choose, a)), function(a))


@pytest.mark.parametrize("seed", range(4))
def test_block(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(20):
        rows = [choose.randint(1, 4) for _ in range(choose.randint(1, 3))]
        columns = [choose.randint(1, 4) for _ in range(choose.randint(1, 3))]
        lead = (choose.randint(1, 2),) if choose.random() < 0.3 else ()
        arrays = [numbers(choose, (*lead, r, c)) for r in rows for c in columns]
        if choose.random() < 0.1:
            arrays[-1] = numbers(choose, (7, 7))
        n = len(columns)
        compare(choose, lambda *xs, n=n: np.block([list(xs[k : k + n]) for k in range(0, len(xs), n)]), *arrays)
        compare(choose, lambda x: np.block([x, 1]), numbers(choose, (5,)))
        compare(choose, lambda x: np.block([[x], [x]]), numbers(choose, (5,)))


@pytest.mark.parametrize("seed", range(8))
def test_more_and_less_of_an_array(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        a = numbers(choose, shape(choose))
        ndim = a.ndim
        axis: Any = choose.choice([None, *range(-ndim, ndim)])
        n = a.size if axis is None else a.shape[axis]
        some = [choose.randint(-n - (choose.random() < 0.05), max(0, n - 1)) for _ in range(choose.randint(0, 4))]
        gone: Any = choose.choice([some, some[0] if some else 0, slice(choose.randint(-3, 3), choose.randint(-3, 6), 1),
                                   slice(5, 0, -1), slice(None, None, 2), np.arange(n) % 2 == 0])  # fmt: skip
        compare(choose, lambda x, g=gone, ax=axis: np.delete(x, g, ax), a)
        where: Any = choose.choice([some, some[0] if some else 0, np.array(some[:1], int), slice(0, n, 2)])
        compare(choose, lambda x, w=where, ax=axis: np.insert(x, w, 7, ax), a)
        if axis is not None and some:
            rest = np.moveaxis(numbers(choose, (len(some), *np.delete(a.shape, axis)), a.dtype), 0, axis)
            compare(choose, lambda x, y, w=some, ax=axis: np.insert(x, w, y, ax), a, rest)
            compare(choose, lambda x, y, w=some[0], ax=axis: np.insert(x, w, y, ax), a, np.delete(a, slice(1, None), axis))
        reps: Any = choose.choice([2, (2, 1), (1, 2, 0, 3), ()])
        compare(choose, lambda x, r=reps: np.tile(x, r), a)
        times: Any = choose.choice([0, 1, 3, [2], [choose.randint(0, 3) for _ in range(n)], [1, 2, 3], -1])
        compare(choose, lambda x, t=times, ax=axis: np.repeat(x, t, ax), a)
        by: Any = choose.choice([0, 1, -2, 100, (1, 2)])
        compare(choose, lambda x, b=by, ax=axis: np.roll(x, b, ax), a)
        compare(choose, lambda x: np.roll(x, (1, -2, 4), (0, -1, 0)), a)
        lengths: Any = choose.choice([5, (3, 4), (2, 2, 2), (50,), 0])
        compare(choose, lambda x, s=lengths: np.resize(x, s), a)


@pytest.mark.parametrize("mode", ["constant", "edge", "wrap", "symmetric", "reflect", "linear_ramp", "mean", "maximum"])
def test_pad(mode: str) -> None:
    choose = random.Random(mode)
    for _ in range(40):
        a = numbers(choose, shape(choose), choose.choice(["i4", "f8"]))
        width: Any = choose.choice(
            [0, 1, 2, 9, (1, 3), [(choose.randint(0, 5), choose.randint(0, 5)) for _ in range(a.ndim)], -1, 1.5]
        )
        kwargs: dict[str, Any] = {}
        if mode == "constant" and choose.random() < 0.5:
            kwargs["constant_values"] = choose.choice([4, (1, 2), [(k, k + 5) for k in range(a.ndim)]])
        if mode in ("symmetric", "reflect") and choose.random() < 0.3:
            kwargs["reflect_type"] = "odd"
        compare(choose, lambda x, w=width, kw=kwargs: np.pad(x, w, mode, **kw), a)
    compare(choose, lambda x: np.pad(x, 1, mode, nonsense=1), np.zeros((3, 3)))


def test_meshgrid() -> None:
    choose = random.Random(0)
    for kwargs in ({}, {"indexing": "ij"}, {"sparse": True}):
        compare(
            choose, lambda x, y, kw=kwargs: np.meshgrid(x, y, **kw), numbers(choose, (5,), "i4"), numbers(choose, (3,), "f4")
        )
    with ndzarr.options(max_result=1000), pytest.raises(ndzarr.MemoryLimitError):
        np.meshgrid(stored(choose, np.zeros(500)), np.zeros(500))


JOINED: dict[str, Callable[[Any], Any]] = {
    "concatenate": lambda z: np.concatenate([z, z]),
    "stack": lambda z: np.stack([z, z], 1),
    "tile": lambda z: np.tile(z, 2),
    "repeat": lambda z: np.repeat(z, 2, 0),
    "roll": lambda z: np.roll(z, 1000, 0),
    "flat roll": lambda z: np.roll(z, 1000),
    "pad": lambda z: np.pad(z, 3, "reflect"),
    "insert": lambda z: np.insert(z, 5, 0, axis=0),
    "resize": lambda z: np.resize(z, (2, *z.shape)),
    "delete": lambda z: np.delete(z, 5, axis=0),
    "block": lambda z: np.block([[z, z]]),
    "take": lambda z: np.take(z, [3, 1] * 50, 1),
    "tril": np.tril,
    "delete many": lambda z: np.delete(z, slice(None, None, 2), 1),
}


@pytest.mark.parametrize("name", JOINED)
def test_memory_beside_the_result_is_bounded(name: str) -> None:
    z = ndzarr.create_array(None, shape=(40000, 100), dtype="f4", chunks=(600, 100), compressor="zstd")
    z[...] = np.broadcast_to(np.arange(100, dtype="f4"), z.shape)
    with ndzarr.options(working_memory=2 << 20, workers=2, max_load=1 << 20):
        tracemalloc.start()
        try:
            found = JOINED[name](z)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        np.testing.assert_array_equal(found[:3], JOINED[name](np.asarray(z))[:3])
        assert peak - found.nbytes < 2 << 20
    with ndzarr.options(working_memory=2 << 20, max_result=1 << 20), pytest.raises(ndzarr.MemoryLimitError, match="max_result"):
        JOINED[name](z)
