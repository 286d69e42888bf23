"""`ndzarr.dask_bridge` with a plain operand over an ndarray; what a class of arrays must do for dask to defer to it."""

from __future__ import annotations

import operator
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin

import ndzarr
from ndzarr import dask_bridge
from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.dask_bridge import BLOCK_NBYTES, Boxed, is_dask, own_blocks, to_dask
from ndzarr.grid import Edges, EdgesAxis, RegularAxis
from ndzarr.operand import Borders, Operand


class Stored(NDArrayOperatorsMixin):
    """An operand over an ndarray that counts what is read; to NumPy an array that hands over to dask where dask is there."""

    def __init__(self, array: Any, chunks: Any = None, shards: Any = None) -> None:
        self.array = np.array(array)
        self.chunks_ = chunks or tuple(max(1, -(-n // 3)) for n in self.array.shape)
        self.shards_ = shards or self.chunks_
        self.boxes: list[Box] = []
        self.written: list[Box] = []
        self.lock = threading.Lock()

    def __getstate__(self) -> Any:
        return {**self.__dict__, "lock": None}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update({**state, "lock": threading.Lock()})

    @property
    def shape(self) -> Shape:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> DType:
        return self.array.dtype

    def read_box(self, box: Box) -> NDArray:
        assert all(range(n)[s] == range(s.start, s.stop) for s, n in zip(box, self.shape, strict=True))
        with self.lock:
            self.boxes.append(box)
            return self.array[(*box, ...)].copy()

    def write_box(self, box: Box, value: NDArray) -> None:
        assert value.shape == tuple(s.stop - s.start for s in box)
        with self.lock:
            self.written.append(box)
            self.array[box] = value

    def borders(self) -> tuple[Borders, ...]:
        return tuple(Borders.of(RegularAxis(n, c)) for n, c in zip(self.shape, self.chunks_, strict=True))

    def object_borders(self) -> tuple[Borders, ...]:
        return tuple(Borders.of(RegularAxis(n, c)) for n, c in zip(self.shape, self.shards_, strict=True))

    def chunk_ns(self) -> float:
        return 1000.0

    def overlaps(self, other: Any) -> bool:
        return getattr(other, "base", None) is self

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        raise AssertionError("the whole array was asked for")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(is_dask(type(x)) for x in (*inputs, *kwargs.get("out", ()))):
            return dask_bridge.dispatch_ufunc(ufunc, method, inputs, kwargs)
        return NotImplemented

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(is_dask(kind) for kind in types):
            return dask_bridge.dispatch_function(func, args, kwargs)
        return NotImplemented


class Hooked(Stored):
    """With the method that dask asks for."""

    def to_dask_array(self) -> Any:
        return to_dask(self)


X = np.random.default_rng(3).normal(size=(7, 6))
Y = np.random.default_rng(4).normal(size=(7, 6))


def lazy(array: Any) -> Any:
    return da.from_array(array, chunks=tuple(max(1, -(-n // 2)) for n in array.shape))


def check(found: Any, want: Any, *stored: Stored) -> None:
    """A dask array, made without reading anything, of NumPy's values."""
    assert isinstance(found, da.Array)
    assert [s.boxes for s in stored] == [[] for _ in stored]
    got = found.compute()
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-12)


# ---- to_dask ----


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7, 6), (0, 3), (5, 4, 6)])
@pytest.mark.parametrize("dtype", ["f8", "i2", "?", "c16", "U3", "M8[s]", [("a", "i4"), ("b", "f8")], np.dtypes.StringDType()])
def test_blocks_hold_what_is_stored(shape: Shape, dtype: Any) -> None:
    z = Stored(
        np.arange(int(np.prod(shape))).reshape(shape).astype(dtype if not isinstance(dtype, list) else "i4").astype(dtype)
    )
    found = to_dask(z)
    assert z.boxes == []
    assert (found.shape, found.dtype, type(found._meta)) == (z.shape, z.dtype, np.ndarray)
    got = found.compute()
    assert (got.shape, got.dtype) == (z.shape, z.dtype)
    np.testing.assert_array_equal(got, z.array)


def test_small_chunks_are_put_together_and_none_is_cut() -> None:
    z = Stored(np.zeros((700, 60_000), "u1"), chunks=(7, 100))
    blocks = own_blocks(z)
    assert all(length % 7 == 0 for length in blocks[0][:-1])
    assert all(length % 100 == 0 for length in blocks[1][:-1])
    assert blocks[1] == (60_000,)  # the last axes first
    largest = max(blocks[0]) * max(blocks[1])
    assert BLOCK_NBYTES / 2 < largest <= BLOCK_NBYTES
    assert (sum(blocks[0]), sum(blocks[1])) == z.shape
    assert to_dask(z).chunks == blocks


def test_a_large_chunk_is_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_bridge, "BLOCK_NBYTES", 64)
    assert own_blocks(Stored(np.zeros((10, 10)), chunks=(5, 4))) == ((5, 5), (4, 4, 2))


def test_shards_are_blocks_unless_they_are_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    z = Stored(np.zeros((16, 16)), chunks=(2, 2), shards=(8, 8))
    monkeypatch.setattr(dask_bridge, "BLOCK_NBYTES", 8 * 8 * 8)
    assert own_blocks(z) == ((8, 8), (8, 8))
    monkeypatch.setattr(dask_bridge, "BLOCK_NBYTES", 8 * 8 * 8 // 4)
    assert own_blocks(z) == ((2,) * 8, (8, 8))


def test_chunks_of_different_lengths_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    class Uneven(Stored):
        def borders(self) -> tuple[Borders, ...]:
            return (Borders.of(EdgesAxis(20, Edges.of([1, 6, 2, 11]))),)

        object_borders = borders

    monkeypatch.setattr(dask_bridge, "BLOCK_NBYTES", 9 * 8)
    z = Uneven(np.arange(20), chunks=(5,))
    assert own_blocks(z) == ((9, 11),)  # not cut at 10 or 18
    check(to_dask(z), np.arange(20), z)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (2, ((2, 2, 2, 1), (2, 2, 2))),
        ((4, -1), ((4, 3), (6,))),
        (((3, 4), (1, 5)), ((3, 4), (1, 5))),
        ({0: 5}, ((5, 2), (6,))),
        ("auto", ((7,), (6,))),
        ("64 B", None),
    ],
)
def test_chunks_are_what_dask_takes(chunks: Any, expected: Any) -> None:
    z = Stored(X)
    found = to_dask(z, chunks)
    assert expected is None or found.chunks == expected
    check(found, X, z)


def test_names_are_never_used_twice() -> None:
    """What lies in the store may change between two calls, and dask takes equal names for equal values."""
    z = Stored(X)
    first = to_dask(z)
    kept = first.persist(scheduler="synchronous")
    z.array[...] = Y
    assert to_dask(z).name != first.name
    both = dask.compute(kept, to_dask(z))
    np.testing.assert_array_equal(both[0], X)
    np.testing.assert_array_equal(both[1], Y)
    assert to_dask(z, name="mine").name == "mine"


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
@pytest.mark.parametrize("inline", [True, False])
def test_every_scheduler_reads_it(scheduler: str, inline: bool) -> None:
    found = to_dask(Stored(X), inline_array=inline) * 2
    np.testing.assert_array_equal(found.compute(scheduler=scheduler), X * 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).compute(scheduler="synchronous"), X * 2)


@pytest.mark.parametrize(
    "index",
    [
        (2,),
        (slice(None), 3),
        (-1, -2),
        (slice(1, 6, 2),),
        (slice(None, None, -1), slice(4, 0, -2)),
        (slice(3, 3),),
        (slice(5, 1),),
        ([0, 4, 2],),
        (slice(2, 4), [5, 1]),
        (slice(None), None, slice(1, 3)),
        (Ellipsis, 0),
    ],
)
def test_slices_of_it(index: Any) -> None:
    z = Stored(X)
    check(to_dask(z)[index], X[index], z)
    np.testing.assert_array_equal(to_dask(z, 3)[index], X[index])


def test_a_slice_reads_no_more_than_its_blocks() -> None:
    z = Stored(np.zeros((100, 100)), chunks=(10, 10))
    to_dask(z, (10, 10))[:10, 5].compute()
    assert {(box[0].start, box[0].stop) for box in z.boxes} == {(0, 10)}
    assert all(box[1].start >= 0 and box[1].stop <= 10 for box in z.boxes)


def test_boxes_of_what_dask_fuses() -> None:
    boxed = Boxed(Stored(X))
    for index in [(3,), (slice(6, 0, -3), -1), (slice(9, 2),), (), (slice(None), slice(1, None, 4)), (2, 3)]:
        got = boxed[index]
        np.testing.assert_array_equal(got, X[index])
        assert isinstance(got, np.ndarray)
    with pytest.raises(IndexError):
        boxed[(7,)]


# ---- together with dask arrays ----

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.lt, operator.le,
    operator.eq, operator.ne, operator.gt, operator.ge, np.add, np.hypot, np.arctan2, np.maximum, np.logical_and, np.isclose,
    np.multiply.outer, np.outer, np.tensordot,
]  # fmt: skip


@pytest.mark.parametrize("kind", [Stored, Hooked])
@pytest.mark.parametrize("function", BINARY, ids=lambda f: getattr(f, "__qualname__", None) or f.__name__)
def test_functions_of_two_in_both_orders(function: Any, kind: type[Stored]) -> None:
    z = kind(X)
    check(function(lazy(Y), z), function(Y, X), z)
    z = kind(X)
    check(function(z, lazy(Y)), function(X, Y), z)


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift", "pow"])
def test_operators_of_integers_in_both_orders(name: str) -> None:
    function = getattr(operator, name)
    i, j = np.arange(12).reshape(4, 3) % 6, np.arange(12)[::-1].reshape(4, 3) % 5
    z = Stored(i)
    check(function(lazy(j), z), function(j, i), z)
    z = Stored(i)
    check(function(z, lazy(j)), function(i, j), z)


def test_matmul_in_both_orders() -> None:
    z = Stored(X)
    check(z @ lazy(Y.T), X @ Y.T, z)
    z = Stored(X)
    check(lazy(Y.T) @ z, Y.T @ X, z)


@pytest.mark.parametrize("part", [0, 1])
def test_divmod_in_both_orders(part: int) -> None:
    z = Stored(X)
    check(divmod(z, lazy(Y))[part], divmod(X, Y)[part], z)
    z = Stored(X)
    check(divmod(lazy(Y), z)[part], divmod(Y, X)[part], z)


@pytest.mark.parametrize(
    "call",
    [
        lambda z, d: np.concatenate([d, z]),
        lambda z, d: np.concatenate([z, d], axis=1),
        lambda z, d: np.stack((z, d, z), axis=-1),
        lambda z, d: np.vstack([d, z]),
        lambda z, d: np.block([[z, d], [d, z]]),
        lambda z, d: np.where(d > 0, z, 0),
        lambda z, d: np.where(d > 0, d, z),
        lambda z, d: np.dot(z, d.T),
        lambda z, d: np.einsum("ij,ij->i", z, d),
        lambda z, d: np.average(z, axis=0, weights=abs(d)),
        lambda z, d: np.append(d, z, axis=0),
        lambda z, d: np.choose(d > 0, [z, d]),
        lambda z, d: np.add(z, 1, where=d > 0, out=d),
        lambda z, d: np.clip(d, -1, np.abs(z + d)),
        lambda z, d: np.isclose(z, d),
        lambda z, d: np.broadcast_arrays(z, d)[0],
    ],
)
def test_functions_give_lazy_arrays(call: Any) -> None:
    z = Stored(X)
    check(call(z, lazy(Y)), call(X, Y.copy()), z)


@pytest.mark.parametrize(
    "call",
    [
        lambda z, d: da.stack([z, d]),
        lambda z, d: da.concatenate([d, z]),
        lambda z, d: da.asarray(z),
        lambda z, d: da.asanyarray(z),
        lambda z, d: da.from_array(z, chunks=3),
        lambda z, d: da.from_array(z),
        lambda z, d: da.where(d > 0, z, d),
        lambda z, d: da.dot(d, da.asarray(z).T),
        lambda z, d: da.tensordot(z, d, axes=2),
        lambda z, d: da.broadcast_to(z, (2, 7, 6)),
        lambda z, d: da.sum(da.asarray(z), axis=0),
        lambda z, d: d.map_blocks(operator.add, da.asarray(z).rechunk(d.chunks)),
    ],
)
@pytest.mark.parametrize("kind", [Stored, Hooked])
def test_dask_own_functions_are_lazy_too(call: Any, kind: type[Stored]) -> None:
    z = kind(X)
    found = call(z, lazy(Y))
    check(found, call(X, lazy(Y)).compute(), z)


def test_the_hook_decides_the_blocks() -> None:
    z = Hooked(np.zeros((8, 8)), chunks=(2, 4))
    assert da.asarray(z).name.startswith("ndzarr-")
    assert da.stack([z, z]).chunks[1:] == own_blocks(z)


def test_one_operand_twice_is_read_once() -> None:
    z = Stored(X)
    np.stack([z, lazy(Y), z]).compute()
    assert len(z.boxes) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda z, d: np.kron(z, d),
        lambda z, d: np.interp(d, z, z),
        lambda z, d: np.put(z, [0], d),
        lambda z, d: np.putmask(z, d > 0, 1),
        lambda z, d: np.place(z, d > 0, [1]),
        lambda z, d: np.lexsort((z, d)),
        lambda z, d: np.array_equal(z, d),
        lambda z, d: np.add.at(z, 0, d),
        lambda z, d: np.add.reduceat(d, z),
        lambda z, d: np.copyto(d, z),
        lambda z, d: np.divmod(z, d, out=(z, None)),
        lambda z, d: np.add.accumulate(d, out=z),
    ],
)
def test_what_dask_has_not_got_is_a_type_error_and_loads_nothing(call: Any) -> None:
    z = Stored(X)
    with pytest.raises(TypeError):
        call(z, lazy(Y))
    assert (z.boxes, z.written) == ([], [])
    np.testing.assert_array_equal(z.array, X)


def test_shapes_that_do_not_fit_are_numpys_error() -> None:
    z = Stored(X)
    with pytest.raises(ValueError):
        z + lazy(np.zeros(4))
    with pytest.raises(ValueError):
        np.concatenate([lazy(np.zeros(4)), z])
    assert z.boxes == []


# ---- writing ----


@pytest.mark.parametrize(
    ("call", "want"),
    [
        (lambda z, d: operator.iadd(z, d), X + Y),
        (lambda z, d: operator.imul(z, d[0]), X * Y[0]),
        (lambda z, d: np.add(d, 1, out=z), Y + 1),
        (lambda z, d: np.subtract(z, d, out=z), X - Y),
        (lambda z, d: np.add(z, d, out=z, where=d > 0), np.where(Y > 0, X + Y, X)),
        (lambda z, d: np.add(d[:1], 1, out=z), np.broadcast_to(Y[:1] + 1, X.shape)),
        (lambda z, d: np.cumsum(d, axis=0, out=z), np.cumsum(Y, axis=0)),
        (lambda z, d: np.copyto(z, d), Y),
        (lambda z, d: np.copyto(z, d[2]), np.broadcast_to(Y[2], X.shape)),
        (lambda z, d: np.copyto(z, d, where=d < 0), np.where(Y < 0, Y, X)),
        (lambda z, d: np.copyto(z, 5.0, where=d < 0), np.where(Y < 0, 5.0, X)),
        (lambda z, d: operator.iadd(z, to_dask(z, (2, 5)) + d), X + X + Y),
    ],
)
@pytest.mark.parametrize("chunks", [(3, 2), (7, 1), (2, 6)])
def test_what_is_written_to(call: Any, want: NDArray, chunks: Shape) -> None:
    z = Stored(X, chunks=chunks)
    found = call(z, lazy(Y))
    assert found is z or found is None
    np.testing.assert_allclose(z.array, want, rtol=1e-12)


def test_writes_are_of_whole_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_bridge, "BLOCK_NBYTES", 1)
    z = Stored(np.zeros((12, 12)), chunks=(2, 2), shards=(4, 6))
    np.copyto(z, da.ones((12, 12), chunks=5))
    assert sorted((box[0].start, box[1].start) for box in z.written) == [(r, c) for r in (0, 4, 8) for c in (0, 6)]
    assert all((box[0].stop - box[0].start, box[1].stop - box[1].start) == (4, 6) for box in z.written)
    np.testing.assert_array_equal(z.array, 1)


@pytest.mark.parametrize("scalar", [np.array(1.5), np.zeros((0, 3))])
def test_writing_to_arrays_without_axes_or_elements(scalar: NDArray) -> None:
    z = Stored(scalar)
    np.copyto(z, da.full(scalar.shape, 7.0))
    np.testing.assert_array_equal(z.array, np.full(scalar.shape, 7.0))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda z, d: np.add(d, 1, out=Stored(np.zeros((7, 6), "i8"))), TypeError),
        (lambda z, d: np.copyto(Stored(np.zeros((7, 6), "i8")), d), TypeError),
        (lambda z, d: np.add(d, 1, out=Stored(np.zeros((3, 6)))), ValueError),
        (lambda z, d: np.copyto(z, da.zeros((2, 7, 6))), ValueError),
        (lambda z, d: np.sum(d, axis=0, out=z), ValueError),
        (lambda z, d: np.matmul(z, d[:6], out=z), ValueError),
        (lambda z, d: np.concatenate([d, z], axis=0, out=z), (ValueError, TypeError)),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(call: Any, error: Any) -> None:
    z = Stored(X)
    with pytest.raises(error):
        call(z, lazy(Y))
    assert (z.boxes, z.written) == ([], [])


class Flipped(Stored):
    def __init__(self, base: Stored) -> None:
        super().__init__(base.array[::-1])
        self.base = base

    def overlaps(self, other: Any) -> bool:
        return other is self.base


def test_inputs_at_other_indices_of_what_is_written_are_refused() -> None:
    z = Stored(X)
    with pytest.raises(ValueError, match="overlaps"):
        np.add(Flipped(z), lazy(Y), out=z)
    with pytest.raises(ValueError, match="overlaps"):
        np.copyto(z, Flipped(z), where=lazy(Y > 0))
    assert z.written == []


def test_da_store_writes_block_by_block() -> None:
    class Settable(Hooked):
        def __setitem__(self, index: Any, value: Any) -> None:
            with self.lock:
                self.written.append(index)
                self.array[index] = value

    z = Settable(np.zeros((7, 6)))
    da.store(lazy(Y), z)
    np.testing.assert_array_equal(z.array, Y)
    assert len(z.written) == 4
    assert z.boxes == []


# ---- ZArray and LazyView ----


@pytest.fixture(params=["whole", "view"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An array on disk that holds X: as it stands, or as a view of a larger one."""
    if request.param == "whole":
        z = ndzarr.create_array(tmp_path / "a", shape=X.shape, dtype=X.dtype, chunks=(3, 2))
        z[...] = X
        return z
    base = ndzarr.create_array(tmp_path / "a", shape=(6, 14), dtype=X.dtype, chunks=(2, 4))
    base[...] = -1
    base[:, ::2] = X[::-1].T
    return base.lazy[:, ::2].T[::-1]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_arrays_as_dask_arrays(stored: Any, scheduler: str) -> None:
    found = stored.to_dask()
    assert found.name.startswith("ndzarr-")
    np.testing.assert_array_equal(found.compute(scheduler=scheduler), X)
    np.testing.assert_array_equal(stored.to_dask(chunks=4)[::2, [3, 1]].compute(scheduler=scheduler), X[::2, [3, 1]])


@pytest.mark.parametrize("function", [operator.add, np.hypot, np.outer, lambda a, b: np.concatenate([a, b]), da.maximum])
def test_arrays_beside_dask_arrays(stored: Any, function: Any) -> None:
    for found, want in [(function(stored, lazy(Y)), function(X, Y)), (function(lazy(Y), stored), function(Y, X))]:
        assert isinstance(found, da.Array)
        assert isinstance(found._meta, np.ndarray)
        np.testing.assert_array_equal(found.compute(), np.asarray(want))


def test_dask_asks_arrays_for_themselves(stored: Any) -> None:
    assert da.asarray(stored).name.startswith("ndzarr-")
    np.testing.assert_array_equal(da.stack([stored, lazy(Y)]).compute(), [X, Y])
    np.testing.assert_array_equal(da.from_array(stored, chunks=(3, 4)).compute(), X)
    assert not hasattr(stored, "copy")  # from_array would call it


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_dask_writes_to_arrays(stored: Any, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler):
        stored += lazy(Y)
    np.testing.assert_array_equal(np.asarray(stored), X + Y)
    da.store(lazy(Y), stored, lock=False, scheduler=scheduler)
    np.testing.assert_array_equal(np.asarray(stored), Y)


def test_other_processes_cannot_write_to_memory() -> None:
    z = ndzarr.zeros(X.shape, chunks=(3, 2))
    np.testing.assert_array_equal(z.to_dask().compute(scheduler="processes"), 0)
    with dask.config.set(scheduler="processes"), pytest.raises(ValueError, match="in memory"):
        np.copyto(z, lazy(Y))
    np.copyto(z, lazy(Y))
    np.testing.assert_array_equal(z[...], Y)


def test_overlapping_views_are_not_written_to(tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path / "a", shape=X.shape, dtype=X.dtype, chunks=(3, 2))
    z[...] = X
    for refused in (
        lambda: np.add(z.lazy[::-1], lazy(Y), out=z),
        lambda: np.matmul(z, lazy(Y[:6]), out=z),
        lambda: np.concatenate([z.lazy[:3], lazy(Y[:4])], out=ndzarr.open_array(tmp_path / "a", mode="r+")),
    ):
        with pytest.raises((ValueError, TypeError)):
            refused()
    np.testing.assert_array_equal(z[...], X)


# ---- imports ----


def test_dask_is_recognised_and_nothing_else_is() -> None:
    class Own(da.Array):
        pass

    assert is_dask(da.Array)
    assert is_dask(Own)
    assert not is_dask(np.ndarray)
    assert not is_dask(Stored)
    assert isinstance(Stored(X), Operand)


def test_importing_the_bridge_imports_no_dask() -> None:
    code = "import sys, ndzarr.dask_bridge; sys.exit(any(name.partition('.')[0] == 'dask' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
