"""Elements picked from stored arrays by position and by condition, against NumPy."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest

import ndzarr
from tests.test_functions_joining import compare, numbers, shape, stored


@pytest.mark.parametrize("seed", range(8))
def test_take_and_compress(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        a = numbers(choose, shape(choose))
        axis: Any = choose.choice([None, *range(-a.ndim, a.ndim)])
        n = a.size if axis is None else a.shape[axis]
        mode = choose.choice(["raise", "wrap", "clip"])
        far = 20 if mode != "raise" or choose.random() < 0.1 else max(0, n - 1)
        index = np.array([choose.randint(-min(far, n) if mode == "raise" else -far, far) for _ in range(6)])
        index = index.reshape(choose.choice([(6,), (2, 3)])) if choose.random() < 0.8 else index[0]
        compare(choose, lambda x, i, ax=axis, m=mode: np.take(x, i, ax, mode=m), a, np.asarray(index))
        mask = np.array([choose.random() < 0.5 for _ in range(choose.choice([n, n, max(0, n - 1), n + 1]))], bool)
        compare(choose, lambda c, x, ax=axis: np.compress(c, x, ax), mask, a)
        compare(choose, lambda c, x: np.extract(c, x), numbers(choose, a.shape, "i2") % 3, a)


def test_take_into_arrays() -> None:
    choose = random.Random(0)
    a = numbers(choose, (7, 5), "i4")
    z = stored(choose, a)
    with ndzarr.options(working_memory=1):
        for out in (np.zeros((3, 5), "i4"), stored(choose, np.zeros((3, 5), "i4"))):
            assert np.take(z, [6, 0, 6], 0, out) is out
            np.testing.assert_array_equal(out, a[[6, 0, 6]])
        with pytest.raises(ValueError):
            np.take(z, [0], 0, np.zeros((3, 5), "i4"))
        for kind in ("i8", "i2", "f4"):  # which of them are refused depends on NumPy's version
            try:
                want = np.take(a, [0], 0, np.zeros((1, 5), kind))
            except TypeError:
                with pytest.raises(TypeError):
                    np.take(z, [0], 0, np.zeros((1, 5), kind))
            else:
                np.testing.assert_array_equal(np.take(z, [0], 0, np.zeros((1, 5), kind)), want)


@pytest.mark.parametrize("seed", range(6))
def test_positions(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        a = numbers(choose, shape(choose), choose.choice(["i2", "b1", "f4", "U2"]))
        a[np.random.default_rng(seed).random(a.shape) < 0.5] = np.zeros((), a.dtype)
        for function in (np.nonzero, np.argwhere, np.flatnonzero, np.where):
            compare(choose, function, a)
    for _ in range(20):
        dims = tuple(choose.randint(1, 6) for _ in range(3))
        mode = choose.choice(["raise", "wrap", "clip"])
        index = [numbers(choose, (4, 3), "i8") % (n + (choose.random() < 0.05)) for n in dims]
        compare(choose, lambda *xs, d=dims, m=mode: np.ravel_multi_index(xs, d, m), *index)
        flat = numbers(choose, (4, 3), "i8") % (np.prod(dims) + (choose.random() < 0.1))
        compare(choose, lambda x, d=dims: np.unravel_index(x, d), flat)
        compare(choose, lambda x, d=dims: np.unravel_index(x, d, "F"), flat)
    with ndzarr.options(working_memory=1), pytest.raises(ValueError):
        np.nonzero(ndzarr.array(np.float64(3)))


@pytest.mark.parametrize("seed", range(4))
def test_triangles_and_diagonals(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        a = numbers(choose, shape(choose))
        k = choose.randint(-4, 4)
        compare(choose, lambda x, k=k: np.tril(x, k), a)
        compare(choose, lambda x, k=k: np.triu(x, k), a)
        compare(choose, lambda x, k=k: np.tril_indices_from(x, k), a)
        compare(choose, lambda x, k=k: np.triu_indices_from(x, k), a)
        compare(choose, lambda x, k=k: np.asarray(np.diag(x, k)), a)
        compare(choose, lambda x, k=k: np.diagflat(x, k), a)
        compare(choose, lambda x: np.ediff1d(x), a)
        compare(choose, lambda x: np.ediff1d(x, [1, 2], 0), a)


def test_blocks_beyond_the_diagonal_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    z = ndzarr.full((64, 64), 1.0, dtype="f8", chunks=(16, 16))
    boxes: list[Any] = []
    read_box = type(z).read_box

    def counted(self: Any, box: Any) -> Any:
        boxes.append(box)
        return read_box(self, box)

    monkeypatch.setattr(type(z), "read_box", counted)
    for function in (np.tril, np.triu):
        boxes.clear()
        with ndzarr.options(working_memory=1, workers=1):
            found = function(z)
        np.testing.assert_array_equal(found, function(np.ones((64, 64))))
        assert len(boxes) == 10


def test_memory_of_conditions_is_bounded() -> None:
    z = ndzarr.create_array(None, shape=(4000, 1000), dtype="f4", chunks=(100, 100), compressor="zstd")
    z[::50] = 1
    with ndzarr.options(working_memory=2 << 20, workers=2, max_load=1 << 20):
        for function in (np.nonzero, np.flatnonzero, np.argwhere, lambda x: np.extract(x, x)):
            function(z.lazy[:700])  # imports are not counted
            tracemalloc.start()
            found = function(z)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            nbytes = sum(x.nbytes for x in found) if isinstance(found, tuple) else found.nbytes
            assert peak - nbytes < 2 << 20
            assert len(found[0] if isinstance(found, tuple) else found) == 80_000
