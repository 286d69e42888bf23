"""Functions along whole lanes, and those that look at neighbours: NumPy's results to the bit, lanes longer than the memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndzarr
from tests.compared import compare, numbers, same, stored

MiB = 1 << 20
REAL = ["f2", "f4", "f8", "i1", "u1", "i4", "u8", "i8"]
#: What a case is made of: a generator of choices to (function, args, kwargs), the args all arrays to be stored.
Case = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def pick(choose: random.Random, dtypes: list[str] = REAL) -> np.ndarray:
    return numbers(choose, choose.choice(dtypes), tuple(choose.randint(1, 9) for _ in range(choose.randint(1, 3))))


def axis(choose: random.Random, array: np.ndarray) -> int:
    return choose.randrange(-array.ndim, array.ndim) if choose.random() < 0.95 else 5


def some(choose: random.Random, array: np.ndarray, *more: dict[str, Any]) -> dict[str, Any]:
    return choose.choice([{}, {"axis": axis(choose, array)}, {"axis": axis(choose, array)}, *more])


def sorts(choose: random.Random) -> Case:
    array = pick(choose, [*REAL, "?", "c8", "M8[s]", "U3", "S2"])
    kind = some(choose, array, {"axis": None}) | choose.choice([{}, {"kind": "stable"}, {"stable": True}, {"kind": "no kind"}])
    function: Any = choose.choice([np.sort, np.sort, np.argsort, np.sort_complex])
    if function is np.argsort:
        kind = {**some(choose, array, {"axis": None}), "kind": "stable"}
    return function, (array,), {} if function is np.sort_complex else kind


def partitions(choose: random.Random) -> Case:
    array = pick(choose)
    kth = choose.choice([0, -1, [0, 1], 3])
    return choose.choice([np.partition, np.argpartition]), (array,), {"kth": kth, **some(choose, array, {"axis": None})}


def lexsorts(choose: random.Random) -> Case:
    array = numbers(choose, "i1", (choose.randint(1, 3), choose.randint(1, 9), choose.randint(1, 5))) % 3
    if choose.random() < 0.5:
        return np.lexsort, (array,), choose.choice([{}, {"axis": 0}, {"axis": -1}, {"axis": 4}])
    return (lambda *keys, **kwargs: np.lexsort(keys, **kwargs)), tuple(array), choose.choice([{}, {"axis": 0}])


def transforms(choose: random.Random) -> Case:
    array = pick(choose, [*REAL, "c8", "c16"])
    names = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
    norm = choose.choice([{}, {}, {"norm": "ortho"}, {"norm": "no norm"}])
    return getattr(np.fft, choose.choice(names)), (array,), some(choose, array, {"n": choose.randint(0, 12)}) | norm


def transforms_of_axes(choose: random.Random) -> Case:
    array = pick(choose, [*REAL, "c8", "c16"])
    name = choose.choice(["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"])
    kwargs: dict[str, Any] = {}
    if choose.random() < 0.5:
        kwargs["axes"] = tuple(choose.sample(range(array.ndim), choose.randint(1, array.ndim)))
    if choose.random() < 0.4:
        kwargs.setdefault("axes", (-2, -1) if name.endswith("2") else tuple(range(array.ndim)))
        kwargs["s"] = tuple(choose.choice([-1, 1, 2, 5]) for _ in kwargs["axes"])
    return getattr(np.fft, name), (array,), kwargs | choose.choice([{}, {"norm": "forward"}])


def shifts(choose: random.Random) -> Case:
    array = pick(choose)
    kwargs: Any = choose.choice([{}, {"axes": axis(choose, array)}, {"axes": (0,)}, {"axes": (0, array.ndim - 1)}])
    return choose.choice([np.fft.fftshift, np.fft.ifftshift]), (array,), kwargs


def applied(choose: random.Random) -> Case:
    array = pick(choose)
    along = axis(choose, array)
    function = choose.choice([
        np.sum, np.sort, lambda lane: lane[:1] * 2.5, lambda lane: np.outer(lane, [1, 2]), lambda lane: 3,
        lambda lane: int(lane[0] > 0) or 0.5,
    ])  # fmt: skip
    return (lambda a: np.apply_along_axis(function, along, a)), (array,), {}


def applied_over_axes(choose: random.Random) -> Case:
    array = pick(choose, ["i1", "i4", "i8", "u8"])
    axes = choose.choice([0, [0, array.ndim - 1], axis(choose, array)])
    function = choose.choice([np.sum, np.max])
    return (lambda a: np.apply_over_axes(function, a, axes)), (array,), {}


def bits(choose: random.Random) -> Case:
    if choose.random() < 0.5:
        array = pick(choose, ["?", "i4", "f4"])
        return np.packbits, (array,), some(choose, array) | choose.choice([{}, {"bitorder": "little"}, {"bitorder": "x"}])
    array = pick(choose, ["u1", "u1", "u1", "i4"])
    count = choose.choice([{}, {"count": choose.choice([7, 3, -2, -9, 0, 50, 500, -500])}])
    return np.unpackbits, (array,), some(choose, array) | count | choose.choice([{}, {"bitorder": "little"}])


def unwraps(choose: random.Random) -> Case:
    array = pick(choose, ["f2", "f4", "f8", "i4"])
    return np.unwrap, (array,), some(choose, array, {"period": 4}, {"discont": 1.0})


def diffs(choose: random.Random) -> Case:
    array = pick(choose, [*REAL, "?", "M8[s]", "c8"])
    kwargs: dict[str, Any] = {"n": choose.choice([1, 1, 2, 3, 0, -1, 20]), **some(choose, array)}
    if choose.random() < 0.3 and array.dtype.kind != "M":
        kwargs["prepend"] = choose.choice([0, 2.5, numbers(choose, "i4", array.shape)])
        kwargs |= choose.choice([{}, {"append": numbers(choose, "f4", array.shape)}, {"append": np.zeros((2,) * array.ndim)}])
    return np.diff, (array,), kwargs


def gradients(choose: random.Random) -> Case:
    array = pick(choose, [*REAL, "M8[s]", "c8"])
    kwargs = some(choose, array, {"axis": (0, array.ndim - 1)}) | choose.choice([{}, {"edge_order": 2}, {"edge_order": 3}])
    axes = kwargs.get("axis")
    axes = tuple(range(array.ndim)) if axes is None else (axes,) if isinstance(axes, int) else axes
    steps: Any = ()
    if 5 not in axes and array.dtype.kind != "M":
        uneven = tuple(np.cumsum([choose.randint(1, 2) for _ in range(array.shape[k])]) for k in axes)
        even = tuple(np.arange(array.shape[k]) * 0.1 for k in axes)
        steps = choose.choice([(), (2,), (0.5,) * len(axes), uneven, even, (1, 2, 3, 4)])
    return (lambda a, **kw: np.gradient(a, *steps, **kw)), (array,), kwargs


def taken(choose: random.Random) -> Case:
    array = pick(choose)
    along = axis(choose, array)
    if along == 5:
        return (lambda a, i: np.take_along_axis(a, i, along)), (array, np.zeros(array.shape, int)), {}
    shape = [n if choose.random() < 0.8 else 1 for n in array.shape]
    shape[along] = choose.randint(1, 4)
    high = array.shape[along] + (choose.random() < 0.1)
    spots = np.random.default_rng(choose.randrange(99)).integers(-array.shape[along], high, shape)
    return (lambda a, i: np.take_along_axis(a, i, along)), (array, spots), {}


def vanders(choose: random.Random) -> Case:
    return np.vander, (pick(choose),), choose.choice([{}, {"N": 3}, {"N": 4, "increasing": True}, {"N": 0}, {"N": -1}])


CASES = [
    sorts, partitions, lexsorts, transforms, transforms_of_axes, shifts, applied, applied_over_axes, bits, unwraps, diffs,
    gradients, taken, vanders,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("working_memory", [1, 400])
def test_as_numpy(case: Callable[[random.Random], Case], working_memory: int) -> None:
    choose = random.Random(case.__name__)
    for _ in range(120):
        function, args, kwargs = case(choose)
        compare(function, args, tuple(stored(choose, a) for a in args), kwargs, working_memory=working_memory)


@pytest.mark.skipif(not hasattr(np, "trapezoid"), reason="NumPy before 2.0 calls it trapz")
@pytest.mark.parametrize("working_memory", [1, 2000])
def test_trapezoid(working_memory: int) -> None:
    choose = random.Random(0)
    for _ in range(150):
        array = np.abs(np.nan_to_num(pick(choose, ["f4", "f8", "i4", "u1"]), posinf=1, neginf=1) % 100)
        along = axis(choose, array)
        kwargs: dict[str, Any] = {"axis": along}
        if along != 5 and choose.random() < 0.5:
            rng = np.random.default_rng(choose.randrange(99))
            kwargs["x"] = choose.choice([np.sort(rng.random(array.shape[along])), rng.random(array.shape)])
        elif choose.random() < 0.3:
            kwargs["dx"] = 0.25
        compare(np.trapezoid, (array,), (stored(choose, array),), kwargs, working_memory=working_memory, rtol=1e-5)


def test_transform_into() -> None:
    choose = random.Random(0)
    array = np.random.default_rng(0).normal(size=(6, 7)) + 0j
    for function in (np.fft.fft, np.fft.ifft, np.fft.fftn, np.fft.fft2):
        want = function(array)
        for out in (np.zeros_like(want), stored(choose, np.zeros_like(want))):
            z = stored(choose, array)
            with ndzarr.options(working_memory=300):
                assert function(z, out=out) is out
                np.testing.assert_array_equal(np.asarray(out), want)
        z = stored(choose, array)
        with ndzarr.options(working_memory=300):
            assert function(z, out=z) is z
        np.testing.assert_array_equal(z[...], want)


def test_a_function_is_called_once_for_each_lane() -> None:
    array = np.random.default_rng(0).normal(size=(6, 7, 3))
    z = stored(random.Random(0), array)
    lanes = []

    def mean(lane: np.ndarray) -> float:
        lanes.append(lane.copy())
        return float(lane.mean())

    with ndzarr.options(working_memory=1):
        np.testing.assert_array_equal(np.apply_along_axis(mean, 1, z), array.mean(axis=1))
    assert len(lanes) == 18


@pytest.mark.parametrize(
    "function",
    [np.argsort, np.fft.rfft, np.unwrap, lambda z: np.apply_along_axis(np.sum, -1, z)],
    ids=["argsort", "rfft", "unwrap", "apply_along_axis"],
)
def test_a_lane_longer_than_may_be_loaded_is_refused(function: Any) -> None:
    z = ndzarr.create_array(shape=(2, 1000), dtype="f8", chunks=(1, 100))
    with ndzarr.options(working_memory=1, max_load=7999), pytest.raises(ndzarr.MemoryLimitError, match=r"numpy\..* 8000 bytes"):
        function(z)
    with ndzarr.options(working_memory=1, max_load=8000):
        function(z)


@pytest.mark.parametrize(
    "function",
    [np.sort, lambda a: np.partition(a, 5), np.diff, np.gradient, np.packbits],
    ids=["sort", "partition", "diff", "gradient", "packbits"],
)  # fmt: skip
def test_a_lane_of_any_length(function: Any) -> None:
    array = np.random.default_rng(0).integers(0, 2, 5000).astype("i4")
    z = ndzarr.create_array(shape=5000, dtype="i4", chunks=300)
    z[...] = array
    with ndzarr.options(working_memory=3000, max_load=100):
        same(function(z), function(array))


def test_memory_of_lanes() -> None:
    # Lanes go across all chunks; a row of chunks as long as the lanes is four times the cap.
    z = ndzarr.create_array(shape=(4096, 4096), dtype="f4", chunks=(128, 1024))
    z[...] = np.arange(4096, dtype="f4")[:, None] % 1000
    with ndzarr.options(working_memory=4 * MiB, workers=2):
        np.median(z[:1], axis=0)
        tracemalloc.start()
        try:
            got = np.median(z, axis=0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * MiB
    np.testing.assert_array_equal(got, np.full(4096, np.median(np.arange(4096) % 1000), "f4"))
