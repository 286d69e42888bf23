"""What makes an array one to Python and NumPy: conversions, iteration, methods, pickling, and who answers beside whom."""

from __future__ import annotations

import copy
import operator
import pickle
import subprocess
import sys

import numpy as np
import pytest

import ndzarr
from ndzarr.testing.calls.wraps import zarray


def both(values: object) -> list[object]:
    """A stored array and a view of one, of the same values."""
    array = np.asarray(values)
    doubled = np.repeat(array[None], 2, axis=0)
    return [zarray(array), zarray(doubled).lazy[1]]


@pytest.mark.parametrize("value", [7, 2.5, True, 3 + 4j, -1])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,), (2,)])
@pytest.mark.parametrize(
    "convert", [int, float, complex, bool, operator.index, len, list, lambda a: a.item(), lambda a: a.tolist()]
)
def test_conversions(value: object, shape: tuple[int, ...], convert: object) -> None:
    array = np.full(shape, value)
    for z in both(array):
        try:
            with np.testing.suppress_warnings() as silent:
                silent.filter(DeprecationWarning)
                want = convert(array)
        except (TypeError, ValueError) as error:
            with pytest.raises(type(error)):
                convert(z)
            continue
        except DeprecationWarning:  # NumPy is about to refuse this one
            continue
        got = convert(z)
        assert type(got) is type(want)
        np.testing.assert_array_equal(got, want)


def test_numbers_for_python() -> None:
    z = zarray(np.array(3))
    assert [10, 20, 30, 40][z] == 40
    assert "%d" % z == "3"  # noqa: UP031  # what is tested
    assert list(range(z)) == [0, 1, 2]
    assert 3 in zarray(np.arange(6))
    assert 9 not in zarray(np.arange(6)).lazy[::2]


def test_iteration_reads_each_chunk_once() -> None:
    array = np.arange(60).reshape(10, 6)
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.array(array, store=store, chunks=(4, 6))
    store.clear()
    rows = list(z)
    assert len(store.calls("get")) == 3
    np.testing.assert_array_equal(rows, array)
    store.clear()
    first = next(iter(z))
    assert len(store.calls("get")) == 1
    np.testing.assert_array_equal(first, array[0])
    np.testing.assert_array_equal(list(z.lazy[::-1]), array[::-1])
    with pytest.raises(TypeError, match="0-d"):
        iter(zarray(np.array(1)))


METHODS: list[tuple[str, tuple[object, ...]]] = [
    ("sum", ()), ("mean", (0,)), ("std", ()), ("var", (1,)), ("min", ()), ("max", (0,)), ("argmin", ()), ("argmax", (1,)),
    ("prod", ()), ("any", ()), ("all", (0,)), ("cumsum", (1,)), ("cumprod", ()), ("round", (1,)), ("clip", (0, 1)),
    ("transpose", ()), ("transpose", (1, 0)), ("transpose", ((1, 0),)), ("reshape", (3, 8)), ("reshape", ((2, 12),)),
    ("reshape", (-1,)), ("ravel", ()), ("flatten", ()), ("flatten", ("F",)), ("squeeze", ()), ("swapaxes", (0, 1)),
    ("diagonal", ()), ("trace", ()), ("take", ([0, 2], 1)), ("repeat", (2,)), ("nonzero", ()), ("conj", ()),
    ("dot", (np.arange(6.0),)), ("argsort", ()), ("compress", ([True, False, True], 0)), ("item", (5,)), ("item", (1, 2)),
    ("astype", ("f4",)),
]  # fmt: skip


def test_methods_are_numpys() -> None:
    array = np.random.default_rng(0).normal(size=(4, 6))
    for z in both(array):
        for name, args in METHODS:
            got, want = getattr(z, name)(*args), getattr(array, name)(*args)
            np.testing.assert_allclose(np.asarray(got), np.asarray(want), err_msg=name)
            assert np.asarray(got).dtype == np.asarray(want).dtype
        for name in ("T", "mT", "real", "imag"):
            np.testing.assert_array_equal(getattr(z, name), getattr(array, name))
        assert (z.ndim, z.size, z.itemsize, z.nbytes) == (array.ndim, array.size, array.itemsize, array.nbytes)


def test_array_protocol() -> None:
    for z in both(np.arange(6.0)):
        assert np.asarray(z, dtype="f4").dtype == np.float32
        assert type(np.array(z)) is np.ndarray
        with pytest.raises(ValueError, match="without a copy"):
            np.asarray(z, copy=False)


def test_comparisons_go_element_by_element() -> None:
    array = np.arange(6).reshape(2, 3)
    for z in both(array):
        for compare in (operator.eq, operator.ne, operator.lt, operator.ge):
            for other in (3, array[::-1], zarray(array[:, ::-1]), array[0].tolist()):
                np.testing.assert_array_equal(compare(z, other), compare(array, np.asarray(other)))
        with pytest.raises(TypeError, match="unhashable"):
            hash(z)


def test_pickles_are_configuration() -> None:
    z = ndzarr.array(np.zeros(1 << 20), chunks=(1 << 16,))
    assert len(pickle.dumps(z.lazy[5:])) - len(pickle.dumps(z)) < 2000
    other = copy.copy(z)
    np.testing.assert_array_equal(other[:3], z[:3])


class Foreign:
    """An array of another library."""

    def __array_function__(self, func: object, types: object, args: object, kwargs: object) -> str:
        return f"foreign {func.__name__}"

    def __array_ufunc__(self, ufunc: object, method: str, *inputs: object, **kwargs: object) -> str:
        return f"foreign {ufunc.__name__}"


def test_an_array_of_another_library_may_answer() -> None:
    z = zarray(np.arange(6))
    assert np.add(z, Foreign()) == "foreign add"
    assert z + Foreign() == "foreign add"
    assert np.concatenate([z, Foreign()]) == "foreign concatenate"
    assert np.where(z > 1, z, Foreign()) == "foreign where"


class Blunt:
    """An array that wants nothing to do with ufuncs."""

    __array_ufunc__ = None

    def __radd__(self, other: object) -> str:
        return "blunt"


def test_one_that_opts_out_gets_python_operators() -> None:
    assert zarray(np.arange(3)) + Blunt() == "blunt"


def test_tokens_differ_between_calls() -> None:
    base = pytest.importorskip("dask.base", reason="dask is in the test extra")
    z = zarray(np.arange(3))
    assert base.tokenize(z) != base.tokenize(z)  # what is stored may have changed in between


def test_repr_reads_nothing() -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.array(np.arange(6), store=store)
    store.clear()
    assert "ZArray" in repr(z)
    assert "LazyView" in repr(z.T)
    assert not store.calls()


def test_a_function_numpy_has_not_got_a_form_for_is_refused_above_the_limit() -> None:
    z = zarray(np.random.default_rng(0).normal(size=(40, 40)))
    with ndzarr.options(max_load=100, working_memory=1):
        with pytest.raises(
            ndzarr.MemoryLimitError, match=r"numpy\.linalg\.svd.*max_load.*numpy\.asarray\(z\).*to_dask"
        ) as caught:
            np.linalg.svd(z)
        assert (caught.value.found, caught.value.expected) == (12800, 100)
    np.testing.assert_allclose(np.linalg.svd(z)[1], np.linalg.svd(z[...])[1])


def test_a_loaded_operand_cannot_be_changed_behind_the_back() -> None:
    """A function that writes into its argument, and that the table does not know to, must not lose the write."""
    from ndzarr.functions.dispatch import loaded

    def spoil(array: np.ndarray) -> None:
        array[...] = 0

    z = zarray(np.arange(3))
    with pytest.raises(ValueError, match="read-only"):
        loaded(spoil, (z,), {})


def test_items_out_of_bounds() -> None:
    z = ndzarr.array(np.arange(6).reshape(2, 3))
    assert (z.item(5), z.item(-6), z.item(1, 2)) == (5, 0, 5)
    for index in (6, -7):
        with pytest.raises(IndexError):
            np.arange(6).reshape(2, 3).item(index)
        with pytest.raises(IndexError):
            z.item(index)


def test_parts_of_complex_numbers_are_assigned() -> None:
    array = np.arange(4) * 1j
    z = ndzarr.array(array, chunks=(3,))
    for each in (z, z.lazy[1:], z.lazy[::-1]):
        like = array if each is z else array[1:] if each.shape == (3,) else array[::-1]
        for x in (each, like):
            x.real += 1
            x.imag = np.arange(len(x))
            x.imag *= 3
            x.real = x.imag
    np.testing.assert_array_equal(z[...], array)
    real = ndzarr.array(np.arange(3.0))
    real.real = 7
    np.testing.assert_array_equal(real[...], [7, 7, 7])
    with pytest.raises(TypeError):
        real.imag = 1


def test_orders_that_reshape_refuses() -> None:
    z = ndzarr.array(np.arange(6), chunks=(2,))
    with pytest.raises(ValueError):
        np.arange(6).reshape((2, 3), order="K")
    with pytest.raises(ValueError):
        z.reshape((2, 3), order="K")


@pytest.mark.parametrize("text", ["ij->ji", "ii->i"])
def test_views_of_what_was_loaded_can_be_changed(text: str) -> None:
    found = np.einsum(text, ndzarr.array(np.arange(9).reshape(3, 3)))
    found[...] = 7
    assert (found == 7).all()


@pytest.mark.parametrize("shape", [(5, 0, 2), (0, 5, 2), (5, 1, 2)])
def test_pieces_of_arrays_without_elements(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape)
    z = ndzarr.array(array)
    for axis, where in ((0, [2, 1]), (1, [1, 0, 9]), (2, [1])):
        assert [x.shape for x in np.split(z, where, axis)] == [x.shape for x in np.split(array, where, axis)]


def test_no_two_families_have_one_function() -> None:
    """Families are imported in turn until one has the function: another may not have it too."""
    code = """
from importlib import import_module
from ndzarr.functions import table

class Once(dict):
    def __setitem__(self, function, entry):
        before = self.get(function)
        assert before is None or before.run.__module__ == entry.run.__module__, (function, before, entry)
        super().__setitem__(function, entry)

table.TABLE = Once()
from ndzarr.functions import dispatch

for family in dispatch.FAMILIES:
    import_module(f"ndzarr.functions.{family}")
print(len(table.TABLE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) > 200
