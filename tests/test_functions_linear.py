"""Products, norms, moments and stacks of matrices of stored arrays against NumPy's, in blocks and within memory."""

from __future__ import annotations

import math
import random
import tracemalloc
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import NDArray

DTYPES = ["b1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]
#: Rounding of one sum of at most 100 products, relative to the sum of their magnitudes.
TOLERANCE = {"f2": 2e-3, "f4": 1e-5, "c8": 1e-5}


def numbers(choose: random.Random, shape: tuple[int, ...], dtype: Any) -> NDArray:
    rng = np.random.default_rng(choose.randrange(1 << 30))
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return rng.integers(0 if kind == "u" else -100, 100, shape).astype(dtype)
    found = rng.normal(size=shape)
    return (found + 1j * rng.normal(size=shape) if kind == "c" else found).astype(dtype)


def stored(choose: random.Random, array: NDArray) -> Any:
    chunks = tuple(choose.randint(1, max(1, n)) for n in array.shape)
    made = ndzarr.create_array(None, shape=array.shape, dtype=array.dtype, chunks=chunks)
    made[...] = array
    return made


def some_stored(choose: random.Random, arrays: list[NDArray]) -> list[Any]:
    """At least one of the arrays stored, the others as they are."""
    sure = choose.randrange(len(arrays))
    return [stored(choose, a) if k == sure or choose.random() < 0.7 else a for k, a in enumerate(arrays)]


def same(got: Any, want: Any, magnitude: Any = None) -> None:
    assert type(got) is type(want)
    assert np.shape(got) == np.shape(want)
    assert got.dtype == want.dtype
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
    else:
        tolerance = TOLERANCE.get(want.dtype.str[1:], 1e-13)
        scale = np.abs(want) if magnitude is None else magnitude
        assert np.all(np.abs(got - want) <= tolerance * (scale + 1e-30) + 1e-300)


def memory(choose: random.Random) -> Any:
    return ndzarr.options(working_memory=choose.choice([1, 300, 2000, 8000, 64 << 20]), workers=choose.choice([1, 2]))


def compare(choose: random.Random, call: Callable[..., Any], *arrays: NDArray, scale: float = 0) -> None:
    """`call` of stored arrays is what it is of NumPy's: value, shape, dtype, class of exception."""
    things = some_stored(choose, list(arrays))
    with memory(choose), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = call(*arrays)
        except Exception as error:
            with pytest.raises(type(error)):
                call(*things)
            return
        got = call(*things)
    try:
        magnitude = np.abs(call(*[np.abs(a).astype(float) for a in arrays])) + scale
    except Exception:
        magnitude = None
    same(np.asarray(got)[()], np.asarray(want)[()], magnitude)


def batches(choose: random.Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    whole = tuple(choose.randint(1, 3) for _ in range(choose.randint(0, 2)))
    return tuple(tuple(n if choose.random() < 0.7 else 1 for n in whole[choose.randint(0, len(whole)) :]) for _ in range(2))  # type: ignore[return-value]  # two of them


@pytest.mark.parametrize("seed", range(12))
def test_ufuncs_of_products(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(25):
        m, n, k = (choose.randint(0, 7) for _ in range(3))
        if choose.random() < 0.05:
            k = 1
        one, other = batches(choose)
        if choose.random() < 0.1:
            other = (*other, 5)
        name = choose.choice(["matmul", "matmul", "vecdot", "matvec", "vecmat"])
        ufunc = getattr(np, name, np.matmul)
        cores = {"matmul": [(m, k), (k, n)], "vecdot": [(k,), (k,)], "matvec": [(m, k), (k,)], "vecmat": [(k,), (k, n)]}[
            ufunc.__name__
        ]
        if ufunc is np.matmul and choose.random() < 0.3:
            cores[0], one = ((k,), ()) if choose.random() < 0.5 else (cores[0], one)
            cores[1], other = ((k,), ()) if choose.random() < 0.5 else (cores[1], other)
        if choose.random() < 0.1:
            cores[1] = (*cores[1][:-1], cores[1][-1] + 1)
        kwargs: dict[str, Any] = {}
        if choose.random() < 0.1:
            kwargs["dtype"] = choose.choice(["f8", "c16"])
        if ufunc.__name__ == "vecdot" and choose.random() < 0.4:
            kwargs = {**kwargs, "axis": choose.choice([0, -1, 1]), "keepdims": choose.random() < 0.5}
        if ufunc is np.matmul and min(map(len, cores)) == 2 and choose.random() < 0.2:
            kwargs["axes"] = [(-1, -2), (-2, -1), choose.choice([(-2, -1), (-1, -2), (0, 1), (1, 0)])]
            cores[0] = cores[0][::-1]
        shapes = [(*one, *cores[0]), (*other, *cores[1])]
        a, b = (numbers(choose, s, choose.choice(DTYPES)) for s in shapes)
        compare(choose, lambda x, y, ufunc=ufunc, kwargs=kwargs: ufunc(x, y, **kwargs), a, b)


@pytest.mark.parametrize("seed", range(6))
def test_matmul_into_an_array(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(20):
        m, n, k = (choose.randint(1, 9) for _ in range(3))
        a, b = numbers(choose, (m, k), "f8"), numbers(choose, (k, n), "f8")
        out = np.zeros((m, n), choose.choice(["f8", "c16", "f4", "i8"]))
        place = stored(choose, out) if choose.random() < 0.7 else out.copy()
        x, y = some_stored(choose, [a, b])
        with memory(choose):
            try:
                np.matmul(a, b, out=out)
            except TypeError:
                with pytest.raises(TypeError):
                    np.matmul(x, y, out=place)
                continue
            assert np.matmul(x, y, out=place) is place
        same(np.asarray(place), out, np.abs(a) @ np.abs(b) * (1e9 if out.dtype == "f4" else 1))


def test_matmul_into_one_of_its_factors() -> None:
    choose = random.Random(1)
    a, b = numbers(choose, (6, 6), "i8"), numbers(choose, (6, 6), "i8")
    for place in (0, 1):
        x, y = stored(choose, a), stored(choose, b)
        with ndzarr.options(working_memory=1):
            np.matmul(x, y, out=(x, y)[place])
        np.testing.assert_array_equal((x, y)[place], a @ b)
    x = stored(choose, a)
    with ndzarr.options(working_memory=1):
        np.matmul(x.T, b, out=x)
    np.testing.assert_array_equal(x, a.T @ b)
    # NumPy's arrays as factor and result, the other factor stored.
    c = a.copy()
    with ndzarr.options(working_memory=1):
        np.matmul(c, stored(choose, b), out=c)
    np.testing.assert_array_equal(c, a @ b)


@pytest.mark.parametrize("seed", range(8))
def test_products_by_function(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(25):
        ndims = [choose.randint(0, 3), choose.randint(0, 3)]
        shapes = [tuple(choose.randint(1, 4) for _ in range(n)) for n in ndims]
        function = choose.choice([np.dot, np.inner, np.outer, np.tensordot, np.kron, np.vdot, np.linalg.tensordot])
        kwargs: dict[str, Any] = {}
        if function is np.dot and all(ndims) and choose.random() < 0.9:
            where = max(0, ndims[1] - 2)
            shapes[1] = (*shapes[1][:where], shapes[0][-1], *shapes[1][where + 1 :])
        if function is np.inner and all(ndims) and choose.random() < 0.9:
            shapes[1] = (*shapes[1][:-1], shapes[0][-1])
        if function is np.vdot and choose.random() < 0.9:
            shapes[1] = shapes[0]
        if function in (np.tensordot, np.linalg.tensordot):
            count = choose.randint(0, min(ndims))
            kwargs["axes"] = count
            if choose.random() < 0.9:
                shapes[1] = (*shapes[0][ndims[0] - count :], *shapes[1][count:])
            if choose.random() < 0.5:
                order = choose.sample(range(count), count)
                kwargs["axes"] = ([ndims[0] - count + k for k in order], order)
        a, b = (numbers(choose, s, choose.choice(DTYPES)) for s in shapes)
        compare(choose, lambda x, y, f=function, kwargs=kwargs: f(x, y, **kwargs), a, b)


@pytest.mark.parametrize("seed", range(8))
def test_einsum(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(25):
        lengths = {x: choose.randint(1, 4) for x in "abcd"}
        parts, arrays = [], []
        for _ in range(choose.randint(1, 3)):
            own = "".join(choose.choice("abcd") for _ in range(choose.randint(0, 3)))
            shape = tuple(lengths[x] if choose.random() < 0.95 or own.count(x) > 1 else 1 for x in own)
            if choose.random() < 0.3:
                own, shape = "..." + own, ((2,) if choose.random() < 0.5 else (3, 2)) + shape
            parts.append(own)
            arrays.append(numbers(choose, shape, choose.choice(DTYPES)))
        text = ",".join(parts)
        if choose.random() < 0.6:
            used = sorted({x for part in parts for x in part if x != "."})
            text += "->" + ("..." if "..." in text else "") + "".join(choose.sample(used, choose.randint(0, len(used))))
        compare(choose, lambda *xs, text=text: np.einsum(text, *xs), *arrays)


def test_einsum_by_numbers_and_into_arrays() -> None:
    choose = random.Random(3)
    a, b = numbers(choose, (5, 4), "f8"), numbers(choose, (4, 6), "f8")
    x, y = stored(choose, a), stored(choose, b)
    with ndzarr.options(working_memory=1, max_load=1):
        same(np.einsum(x, [0, 1], y, [1, 2], [2, 0]), np.einsum(a, [0, 1], b, [1, 2], [2, 0]))
        same(np.einsum(x, [7, 3], y, [3, 9]), np.einsum(a, [7, 3], b, [3, 9]))
        out = stored(choose, np.zeros((5, 6)))
        assert np.einsum("ij,jk->ik", x, y, out=out) is out
        same(np.asarray(out), np.einsum("ij,jk->ik", a, b))
        with pytest.raises(ValueError):
            np.einsum("ij,kj->ik", x, y)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "c8"])
def test_sums_of_products_are_at_least_as_accurate_as_numpys(dtype: str) -> None:
    rng = np.random.default_rng(5)
    a = (rng.normal(size=(3, 4096)) * 2.0 ** rng.integers(-6, 7, 4096)).astype(dtype)
    b = rng.normal(size=(4096, 3)).astype(dtype)
    x, y = (ndzarr.create_array(None, shape=v.shape, dtype=v.dtype, chunks=(3, 100) if v is a else (100, 3)) for v in (a, b))
    x[...], y[...] = a, b
    with ndzarr.options(working_memory=4096, max_load=1):
        got = x @ y
    want = a @ b
    exact = np.empty((3, 3), object)
    for i in range(3):
        for j in range(3):
            exact[i, j] = sum(Fraction(float(p)) * Fraction(float(q)) for p, q in zip(a[i].real, b[:, j].real, strict=True))
    scale = np.abs(a).astype(float) @ np.abs(b).astype(float)
    errors = [
        max(abs(float(Fraction(float(found[i, j].real)) - exact[i, j])) / scale[i, j] for i in range(3) for j in range(3))
        for found in (got, want)
    ]
    if dtype != "c8":  # only the sums of real numbers are those of `exact`
        assert errors[0] <= max(errors[1], np.finfo(dtype).eps / 2)
    assert np.allclose(got, want, rtol=1e-2 if dtype == "f2" else 1e-4)


@pytest.mark.parametrize("dtype", ["i1", "u8", "b1"])
def test_integers_wrap_as_numpys(dtype: str) -> None:
    choose = random.Random(9)
    a, b = numbers(choose, (7, 300), dtype), numbers(choose, (300, 5), dtype)
    with ndzarr.options(working_memory=1, max_load=1):
        same(stored(choose, a) @ stored(choose, b), a @ b)
        same(np.kron(stored(choose, a[:2, :9]), b[:3]), np.kron(a[:2, :9], b[:3]))


@pytest.mark.parametrize("seed", range(6))
def test_norms(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        ndim = choose.randint(1, 3)
        a = numbers(choose, tuple(choose.randint(1, 5) for _ in range(ndim)), choose.choice(DTYPES[1:]))
        axis: Any = choose.choice([None, choose.randrange(-ndim, ndim), tuple(choose.sample(range(ndim), min(2, ndim)))])
        order = choose.choice([None, 0, 1, -1, 2, -2, 3, 0.5, np.inf, -np.inf, "fro", "nuc"])
        keep = choose.random() < 0.5
        compare(choose, lambda x, o=order, ax=axis, k=keep: np.linalg.norm(x, o, ax, k), a)
        if hasattr(np.linalg, "vector_norm"):
            order = choose.choice([0, 1, 2, 3, np.inf, -np.inf])
            compare(choose, lambda x, o=order, ax=axis, k=keep: np.linalg.vector_norm(x, ord=o, axis=ax, keepdims=k), a)
            compare(choose, lambda x, k=keep: np.linalg.matrix_norm(x, keepdims=k, ord=1), a)


def test_a_norm_does_not_overflow_where_its_squares_would() -> None:
    big = ndzarr.array(np.full((64,), 1e30, "f4"), chunks=(8,))
    with ndzarr.options(working_memory=1):
        assert np.linalg.norm(big) == np.float32(8e30)


STACKS: dict[str, Callable[[Any], Any]] = {
    "det": np.linalg.det, "slogdet": np.linalg.slogdet, "inv": np.linalg.inv, "pinv": np.linalg.pinv,
    "eigvals": lambda x: np.sort_complex(np.linalg.eigvals(x)), "eigvalsh": np.linalg.eigvalsh,
    "eigh": lambda x: np.linalg.eigh(x)[0], "eig": lambda x: np.sort_complex(np.linalg.eig(x)[0]),
    "qr": lambda x: np.abs(np.linalg.qr(x)[1]), "svd": lambda x: np.linalg.svd(x, full_matrices=False)[1],
    "svd values": lambda x: np.linalg.svd(x, compute_uv=False), "rank": np.linalg.matrix_rank, "cond": np.linalg.cond,
    "power": lambda x: np.linalg.matrix_power(x, 3), "nuclear": lambda x: np.linalg.norm(x, "nuc", axis=(-2, -1)),
    "spectral": lambda x: np.linalg.norm(x, 2, axis=(0, 2), keepdims=True),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_stacks_of_matrices(name: str) -> None:
    choose = random.Random(name)
    call = STACKS[name]
    for dtype in ("f4", "f8", "c16", "i4"):
        a = numbers(choose, (5, 2, 3, 3) if name != "spectral" else (3, 5, 3), dtype)
        x = stored(choose, a)
        with ndzarr.options(working_memory=1, max_load=1):
            got = call(x)
        want = call(a)
        for one, other in zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]:
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-3 if dtype == "f4" else 1e-9, atol=1e-9)


def test_results_of_stacks_have_numpys_names_and_refuse_as_numpy() -> None:
    choose = random.Random(2)
    a = numbers(choose, (6, 3, 3), "f8")
    x = stored(choose, a)
    with ndzarr.options(working_memory=1, max_load=1):
        found = np.linalg.eigh(x)
        assert type(found) is type(np.linalg.eigh(a))
        whole = found.eigenvectors @ (found.eigenvalues[..., None] * np.swapaxes(found.eigenvectors, 1, 2))
        lower = np.tril(a)
        np.testing.assert_allclose(whole, lower + np.swapaxes(np.tril(a, -1), 1, 2), atol=1e-12)
        np.testing.assert_allclose(np.linalg.solve(x, a[..., :2]), np.broadcast_to(np.eye(3)[:, :2], (6, 3, 2)), atol=1e-9)
        np.testing.assert_allclose(np.linalg.solve(a[0], x), np.linalg.solve(a[0], a), atol=1e-9)
        a[4] = 0
        singular = stored(choose, a)
        with pytest.raises(np.linalg.LinAlgError):
            np.linalg.inv(singular)
        with pytest.raises(np.linalg.LinAlgError):
            np.linalg.det(stored(choose, numbers(choose, (6, 3, 2), "f8")))
        # One matrix that is too large to be loaded.
        with pytest.raises(ndzarr.MemoryLimitError):
            np.linalg.det(stored(choose, a[0]))


@pytest.mark.parametrize("seed", range(6))
def test_covariances(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(20):
        shape = (choose.randint(1, 5), choose.randint(1, 12))[choose.randint(0, 1) :]
        m = numbers(choose, shape, choose.choice([*DTYPES[1:5], "f4", "f8", "c16"]))
        rowvar = choose.random() < 0.6
        count = shape[-1] if rowvar or len(shape) == 1 else shape[0]
        kwargs: dict[str, Any] = {"rowvar": rowvar}
        if choose.random() < 0.3:
            kwargs["fweights"] = np.array([choose.randint(0, 3) for _ in range(count + (choose.random() < 0.1))])
        if choose.random() < 0.3:
            kwargs["aweights"] = np.array([choose.random() for _ in range(count)])
        if choose.random() < 0.3:
            kwargs |= choose.choice([{"ddof": 0}, {"ddof": 2}, {"bias": True}, {"dtype": "f4"}, {"ddof": 0.5}])
        arrays = [m]
        if choose.random() < 0.3:
            arrays.append(numbers(choose, m.shape, "f8"))
        things = some_stored(choose, arrays)
        if m.size > 20 and choose.random() < 0.5:  # large enough to be more than a block where a pass is enough
            arrays = [np.tile(a, (1, 40) if rowvar or a.ndim == 1 else (40, 1)).squeeze() for a in arrays]
            things = [ndzarr.array(a, chunks=tuple(min(n, choose.randint(1, 12)) for n in a.shape)) for a in arrays]
            kwargs = {k: np.tile(v, 40) if k.endswith("weights") else v for k, v in kwargs.items()}
        with ndzarr.options(working_memory=choose.choice([1, 2000, 1 << 14, 1 << 15])), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                want = np.cov(*arrays, **kwargs)
            except Exception as error:
                with pytest.raises(type(error)):
                    np.cov(*things, **kwargs)
                continue
            got = np.cov(*things, **kwargs)
            assert got.shape == want.shape
            assert got.dtype == want.dtype
            np.testing.assert_allclose(
                got, want, rtol=1e-3 if want.dtype == "f4" else 1e-9, atol=1e-3 if want.dtype == "f4" else 1e-9
            )
            correlated = np.corrcoef(*things, rowvar=rowvar)
            np.testing.assert_allclose(correlated, np.corrcoef(*arrays, rowvar=rowvar), atol=1e-9)


@pytest.mark.parametrize("nbytes", [1, 1 << 15])  # in two passes, in one
def test_a_covariance_far_from_zero_is_accurate(nbytes: int) -> None:
    rng = np.random.default_rng(0)
    m = rng.normal(size=(2, 5000)) + 1e9
    x = ndzarr.array(m, chunks=(1, 100))
    with ndzarr.options(working_memory=nbytes, max_load=1):
        got = np.cov(x)
    exact = [[Fraction(float(v)) for v in row] for row in m]
    means = [sum(row) / len(row) for row in exact]
    for i in range(2):
        for j in range(2):
            want = sum((p - means[i]) * (q - means[j]) for p, q in zip(exact[i], exact[j], strict=True)) / (m.shape[1] - 1)
            assert math.isclose(got[i, j], float(want), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_convolutions(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(60):
        a, v = (numbers(choose, (choose.randint(1, 20),), choose.choice(DTYPES)) for _ in range(2))
        mode = choose.choice(["full", "same", "valid"])
        function = choose.choice([np.convolve, np.correlate])
        compare(choose, lambda x, y, f=function, mode=mode: f(x, y, mode), a, v)
    with pytest.raises(ValueError):
        np.convolve(stored(choose, np.zeros(3)), [])


# ---- memory and reading ----


@pytest.fixture(scope="module")
def large() -> Any:
    """200 MiB of float32 in chunks of 256 KiB: fifty times the memory allowed."""
    n = 2 << 20
    made = ndzarr.create_array(None, shape=(n, 25), dtype="f4", chunks=(2621, 25), compressor="zstd")
    rows = np.broadcast_to(np.arange(25, dtype="f4"), (2621 * 50, 25))
    for start in range(0, n, 2621 * 50):
        made[start : start + 2621 * 50] = rows[: n - start]
    return made


def peak(call: Callable[[], Any]) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        found = call()
        return found, tracemalloc.get_traced_memory()[1] - getattr(found, "nbytes", 0) * isinstance(found, np.ndarray)
    finally:
        tracemalloc.stop()


CAP = 4 << 20


@pytest.mark.parametrize("name", ["vector", "matrix", "left", "gram", "einsum", "cov", "norm", "out"])
def test_memory_of_products_fifty_times_the_limit(large: Any, name: str) -> None:
    n = large.shape[0]
    line, ones = np.arange(25, dtype="f4"), np.ones(n, "f4")
    place = ndzarr.create_array(None, shape=(n, 4), dtype="f4", chunks=(16384, 4), compressor="zstd")
    calls: dict[str, Callable[[], Any]] = {
        "vector": lambda: large @ line,
        "matrix": lambda: large @ np.ones((25, 2), "f4"),
        "left": lambda: ones @ large,
        "gram": lambda: large.T @ large,
        "einsum": lambda: np.einsum("ij,ij->j", large, large),
        "cov": lambda: np.cov(large, rowvar=False),
        "norm": lambda: np.linalg.norm(large, axis=0),
        "out": lambda: np.matmul(large, np.ones((25, 4), "f4"), out=place),
    }
    with ndzarr.options(working_memory=CAP, workers=2, max_load=CAP):
        found, nbytes = peak(calls[name])
    assert nbytes < CAP
    squares = float((line.astype(float) ** 2).sum())
    if name == "vector":
        assert (found == squares).all()
    elif name == "matrix":
        assert (found == line.sum()).all()
    elif name == "left":
        np.testing.assert_allclose(found, n * line, rtol=1e-6)
    elif name == "gram":
        np.testing.assert_allclose(found, n * np.outer(line, line), rtol=1e-6)
    elif name == "einsum":
        np.testing.assert_allclose(found, n * line * line, rtol=1e-6)
    elif name == "cov":
        np.testing.assert_allclose(found, np.zeros((25, 25)), atol=1e-9)
    elif name == "norm":
        np.testing.assert_allclose(found, line * math.sqrt(n), rtol=1e-6)
    else:
        assert (place[::4096] == line.sum()).all()


class Counted:
    """An operand over an array that counts the bytes read of it, in chunks."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype, self.nbytes_read = array, array.shape, array.dtype, 0
        self.borders, self.object_borders, self.chunk_ns = array.borders, array.object_borders, array.chunk_ns

    def read_box(self, box: Any) -> NDArray:
        found: NDArray = self.array.read_box(box)
        self.nbytes_read += found.nbytes
        return found

    def write_box(self, box: Any, value: NDArray) -> None:
        raise AssertionError("written")

    def overlaps(self, other: Any) -> bool:
        return False


def test_two_large_factors_are_not_read_more_often_than_memory_demands() -> None:
    n, cap = 1024, 2 << 20
    a, b = (
        ndzarr.create_array(None, shape=(n, n), dtype="f4", chunks=(64, 64), compressor="zstd", fill_value=1) for _ in range(2)
    )
    from ndzarr.functions.linear import core

    x, y = Counted(a), Counted(b)
    out = ndzarr.create_array(None, shape=(n, n), dtype="f4", chunks=(64, 64), compressor="zstd")
    with ndzarr.options(working_memory=cap, workers=1):
        _, nbytes = peak(lambda: core(np.matmul, (x, y), out=out))
    assert nbytes < cap
    assert (out[::100] == n).all()
    # A tile that takes half of the limit in double precision, with what is added to it, has sides of 256 or so.
    assert x.nbytes_read + y.nbytes_read <= 2 * n * n * 4 * (n // 256)


def test_chain_and_traces() -> None:
    choose = random.Random(4)
    shapes = [(6, 9), (9, 2), (2, 7), (7, 3)]
    arrays = [numbers(choose, s, "i8") for s in shapes]
    with ndzarr.options(working_memory=1, max_load=1):
        same(np.linalg.multi_dot([stored(choose, a) for a in arrays]), np.linalg.multi_dot(arrays))
        ends = [arrays[0][0], *arrays[1:-1], arrays[-1][:, 0]]
        assert np.linalg.multi_dot([stored(choose, a) for a in ends]) == np.linalg.multi_dot(ends)
        cube = numbers(choose, (4, 5, 6), "i4")
        x = stored(choose, cube)
        for offset in (-2, 0, 1, 7):
            same(np.trace(x, offset, 0, 2), np.trace(cube, offset, 0, 2))
        same(np.trace(stored(choose, cube[0])), np.trace(cube[0]))


@pytest.mark.parametrize("seed", range(3))
def test_cross_products(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(20):
        rest = tuple(choose.randint(1, 4) for _ in range(2))
        axes = [choose.randint(-3, 2) for _ in range(3)]
        a, b = (np.moveaxis(numbers(choose, (*rest, 3), choose.choice(["i4", "f4", "f8", "c16"])), -1, ax) for ax in axes[:2])
        compare(choose, lambda x, y, axes=axes: np.cross(x, y, *axes), a, b, scale=100)
        compare(choose, lambda x, y: np.cross(x, y), a, numbers(choose, (3,), "f8"), scale=100)
