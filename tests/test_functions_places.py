"""`out=` that shares elements with what is read, has another dtype, or repeats its own elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import NDArray

WHOLE = np.arange(36.0).reshape(6, 6) % 7 + 1


def stored(array: NDArray) -> Any:
    z = ndzarr.create_array(None, shape=array.shape, dtype=array.dtype, chunks=(2,) * array.ndim)
    z[...] = array
    return z


def view(array: Any, index: Any) -> Any:
    return array[index] if isinstance(array, np.ndarray) else array.lazy[index]


Writing = Callable[[Any, Any], Any]

#: What is written to the first array or a view of it, of an array with the same elements that is always in memory.
SHARED: dict[str, Writing] = {
    "reduce": lambda a, b: np.sum(a, axis=1, out=view(a, 0)),
    "reduce keeping axes": lambda a, b: np.max(a, axis=0, keepdims=True, out=view(a, np.s_[2:3])),
    "mean": lambda a, b: np.mean(a, axis=1, out=view(a, np.s_[:, 0])),
    "var": lambda a, b: np.var(a, axis=1, out=view(a, 5)),
    "median": lambda a, b: np.median(a, axis=1, out=view(a, 1)),
    "cumsum": lambda a, b: np.cumsum(a, axis=0, out=view(a, np.s_[::-1])),
    "cumsum in place": lambda a, b: np.cumsum(a, axis=0, out=a),
    "accumulate": lambda a, b: np.maximum.accumulate(a, axis=1, out=a.T),
    "cumsum of a line": lambda a, b: np.cumsum(view(a, np.s_[2, ::-1]), axis=None, out=view(a, 2)),
    "reduceat": lambda a, b: np.add.reduceat(a, [0, 2, 1, 4, 3, 5], axis=0, out=view(a, np.s_[::-1])),
    "add": lambda a, b: np.add(a, 1, out=view(a, np.s_[:, ::-1])),
    "where": lambda a, b: np.add(a, 1, out=a.T, where=b > 3),
    "round": lambda a, b: np.round(view(a, np.s_[::-1]), -1, out=a),
    "matmul": lambda a, b: np.matmul(a, a, out=a),
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", SHARED)
def test_out_that_shares_elements_with_the_input(name: str, workers: int) -> None:
    array, z = WHOLE.copy(), stored(WHOLE)
    want = SHARED[name](array, WHOLE)
    with ndzarr.options(working_memory=1, workers=workers):
        got = SHARED[name](z, WHOLE)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-14)
    np.testing.assert_allclose(z[...], array, rtol=1e-14)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_array_in_memory_that_is_read_and_written_at_other_indices(workers: int) -> None:
    z = stored(WHOLE)
    base, want = WHOLE.copy(), WHOLE.copy()
    np.add(want[:-1], WHOLE[:-1], out=want[1:])
    with ndzarr.options(working_memory=1, workers=workers):
        np.add(base[:-1], z.lazy[:-1], out=base[1:])
    np.testing.assert_array_equal(base, want)
    base, want = WHOLE.copy(), WHOLE.copy()
    np.copyto(want[1:], want[:-1], where=WHOLE[1:] > 2)
    with ndzarr.options(working_memory=1, workers=workers):
        np.copyto(base[1:], base[:-1], where=stored(WHOLE[1:] > 2))
    np.testing.assert_array_equal(base, want)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_view_that_repeats_elements_is_changed_once(workers: int) -> None:
    places = [5, 0, 0, 1, 0, 3, 5]
    line = np.arange(6.0)
    z = stored(line)
    line[places] += 1
    with ndzarr.options(working_memory=1, workers=workers):
        repeated = z.lazy[places]
        repeated += 1
    np.testing.assert_array_equal(z[...], line)
    with ndzarr.options(working_memory=1, workers=workers):
        np.copyto(z.lazy[places], np.arange(7.0))  # the last stays
        np.testing.assert_array_equal(z[...], [4, 3, 2, 5, 4, 6])
        np.sum(np.arange(14.0).reshape(7, 2), axis=1, out=z.lazy[places], where=stored(np.ones(2, bool)))
    np.testing.assert_array_equal(z[...], [17, 13, 2, 21, 4, 25])


@pytest.mark.parametrize(
    "call",
    [
        lambda a, out: np.round(a, 1, out=out),
        lambda a, out: np.clip(a, 0.5, 3.5, out=out),
        lambda a, out: np.clip(a, 0.5, 3.5, out),
        lambda a, out: np.fix(a, out=out),
        lambda a, out: np.ptp(a, axis=0, keepdims=True, out=view(out, np.s_[:1])),
        lambda a, out: np.std(a, axis=0, keepdims=True, out=view(out, np.s_[:1])),
        lambda a, out: np.fft.fft(a, out=out),
    ],
)
@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")  # by NumPy 2.5
@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_what_numpy_does_not_cast(call: Writing, memory: int) -> None:
    whole = np.arange(36).reshape(6, 6)
    with pytest.raises(TypeError):
        call(WHOLE + 0.5, whole.copy())
    z = stored(whole)
    with ndzarr.options(working_memory=memory):
        for place in (z, whole.copy()):
            with pytest.raises(TypeError):
                call(stored(WHOLE + 0.5), place)
            np.testing.assert_array_equal(np.asarray(place), whole)


@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.cumsum, np.any, np.all, np.nansum])
@pytest.mark.parametrize("dtype", ["u1", "i8", "f4"])
@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_what_numpy_casts_at_the_end(function: Any, dtype: str, memory: int) -> None:
    """Reductions work in a dtype that both the array and `out` go into, and only then cast."""
    array = WHOLE / 4
    want = np.zeros((6, 6) if function is np.cumsum else 6, dtype)
    z = stored(want)
    function(array, axis=1, out=want)
    with ndzarr.options(working_memory=memory):
        function(stored(array), axis=1, out=z)
    np.testing.assert_allclose(z[...], want, rtol=1e-6)


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_shapes_that_do_not_go_together(memory: int) -> None:
    z, line = stored(WHOLE), stored(WHOLE[0])
    mask = np.ones((6, 6), bool)
    with ndzarr.options(working_memory=memory):
        for call in (
            lambda: np.negative(line, out=line, where=mask),
            lambda: np.sum(line, where=mask),
            lambda: np.mean(line, where=mask),
            lambda: np.copyto(line, 1, where=mask),
            lambda: np.round(z, out=line),
            lambda: np.cumsum(stored(np.ones(())), out=np.ones((6, 6))),
        ):
            with pytest.raises(ValueError, match=r"shape|broadcast|more dimensions"):
                call()
    np.testing.assert_array_equal(z[...], WHOLE)
    np.testing.assert_array_equal(line[...], WHOLE[0])


def test_running_sums_of_arrays_in_memory_into_stored_ones() -> None:
    z = stored(np.zeros(36))
    with ndzarr.options(working_memory=1):
        assert np.cumsum(WHOLE, out=z) is z
    np.testing.assert_array_equal(z[...], np.cumsum(WHOLE))


def test_put_into_an_array_without_elements() -> None:
    with pytest.raises(IndexError):
        np.put(np.zeros(0), [0], [])
    with pytest.raises(IndexError):
        np.put(stored(np.zeros(0)), [0], [])


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_arrays_without_axes(memory: int) -> None:
    z = ndzarr.array(np.array(2.5))
    with ndzarr.options(working_memory=memory):
        assert np.max(z, axis=0) == 2.5
        assert np.std(z) == 0
        assert np.cumsum(z, axis=0).shape == (1,)
        assert np.round(z, out=z) is z
        assert np.argsort(z, axis=-1).shape == (1,)
        assert np.isclose(z, 2) is np.True_
        assert np.unique(z, return_index=True)[1].tolist() == [0]
        assert np.ravel(ndzarr.array(np.array("a", "U3")), "F").dtype == "U3"
        np.copyto(z, z + 1, where=True)
        assert z[()] == 3
        np.put(z, [0, 0], [4.0, np.inf])
        np.nan_to_num(z, copy=False, posinf=7)
        assert z[()] == 7


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_masked_arrays_where_numpy_makes_them(memory: int) -> None:
    array = np.arange(6.0)
    masked = np.ma.MaskedArray(array, array % 2 == 0)
    with ndzarr.options(working_memory=memory):
        z = stored(array)
        for got, want in (
            (np.where(z > 1, masked, z), np.where(array > 1, masked, array)),
            (z + masked, array + masked),
            (np.clip(z, masked, 4), np.clip(array, masked, 4)),
        ):
            assert type(got) is type(want)
            np.testing.assert_array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(want))
            np.testing.assert_array_equal(got, want)


def test_views_under_masks_are_plain_arrays_to_numpy() -> None:
    z = ndzarr.create_array(None, shape=(4,), chunks=(2,), dtype="f8", fill_value=-1)
    z[:2] = [1, 2]
    with ndzarr.options(missing="mask"):
        assert type(z.lazy[1:].compute()) is np.ma.MaskedArray
        assert type(np.array(z.lazy[1:], subok=True)) is np.ndarray


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_variances_that_numpy_rounds_between_its_steps(memory: int) -> None:
    array = WHOLE * 9
    want = np.zeros(6, "u1")
    np.var(array, axis=0, out=want)
    with ndzarr.options(working_memory=memory):
        z = stored(np.zeros(6, "u1"))
        np.var(stored(array), axis=0, out=z)
        np.testing.assert_array_equal(z[...], want)
        with pytest.warns(np.exceptions.ComplexWarning):
            want = np.var(array * 1j, dtype="f8")
        with pytest.warns(np.exceptions.ComplexWarning):
            np.testing.assert_allclose(np.var(stored(array * 1j), dtype="f8"), want)
