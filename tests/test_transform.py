"""Transforms against NumPy: which element of the array each element of a view is, however views were composed. No store."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ndzarr.accessors import select_outer, select_points
from ndzarr.errors import ArgumentError
from ndzarr.grid import Grid
from ndzarr.plan import plan
from ndzarr.scatter import put, take
from ndzarr.selection import Selection, Span, select
from ndzarr.testing.expressions import Choices, RandomChoices
from ndzarr.testing.views import Step, step
from ndzarr.transform import Access, Affine, Fixed, Table, Transform


class View:
    """A Transform with the methods of a LazyView."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> View | None:
            made = getattr(self.transform, name)(*arguments)
            return None if made is None else View(made)

        return call

    def __getitem__(self, index: Any) -> View:
        return View(self.transform.indexed(select(index, self.transform.shape)))

    @property
    def oindex(self) -> Any:
        return Indexed(self.transform, select_outer)

    @property
    def vindex(self) -> Any:
        return Indexed(self.transform, select_points)


class Indexed:
    def __init__(self, transform: Transform, make: Callable[[Any, Any], Selection]) -> None:
        self.transform, self.make = transform, make

    def __getitem__(self, index: Any) -> View:
        return View(self.transform.indexed(self.make(index, self.transform.shape)))


def elements(transform: Transform, shape: tuple[int, ...]) -> np.ndarray:
    """By the definition of the maps: the flat index of each element of the view."""
    flat = np.zeros(transform.shape, np.intp)
    if flat.size:
        for m, n in zip(transform.maps, shape, strict=True):
            if isinstance(m, Fixed):
                along: Any = m.index
            elif isinstance(m, Affine):
                along = m.offset + m.step * np.indices(transform.shape, sparse=True)[m.axis]
            else:
                rank = len(transform.shape)
                along = m.values.reshape([transform.shape[axis] if axis in m.axes else 1 for axis in range(rank)])
            assert np.all((along >= 0) & (along < n))
            flat = flat * n + along
    return flat


def read(access: Access, data: np.ndarray, grid: Grid) -> np.ndarray:
    work = np.full(access.selection.work_shape, -1, data.dtype)
    for part in plan(access.selection, grid):
        take(part, data[(*region(grid, part.coords), ...)], work)
    return access.view(work)


def write(access: Access, value: np.ndarray, data: np.ndarray, grid: Grid) -> None:
    work = access.work(value)
    for part in plan(access.selection, grid):
        put(part, data[(*region(grid, part.coords), ...)], work)


def region(grid: Grid, coords: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(grid.start(coords), grid.valid(coords), strict=True))


def check_small(transform: Transform) -> None:
    """What the module promises of maps."""
    for m in transform.maps:
        if isinstance(m, Affine):
            assert transform.shape[m.axis] > 1
            assert m.step
        elif isinstance(m, Table):
            assert list(m.axes) == sorted(set(m.axes))
            assert m.axes
            assert m.values.shape == tuple(transform.shape[axis] for axis in m.axes)
            assert all(np.ptp(m.values, axis=at).any() for at in range(m.values.ndim))
            assert m.values.ndim > 1 or np.unique(np.diff(m.values)).size > 1


def composition(choices: Choices, shape: tuple[int, ...]) -> tuple[np.ndarray, View, list[Step]]:
    flat = np.arange(int(np.prod(shape))).reshape(shape)
    view = View(Transform.identity(shape))
    steps = []
    for _ in range(choices.integer(0, 4)):
        steps.append(step(choices, flat.shape))
        flat, view = steps[-1].numpy(flat), steps[-1].view(view)
        assert view is not None, steps[-1].told
    return flat, view, steps


@pytest.mark.parametrize("part", range(10))
def test_compositions(part: int, record_property: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 of them: every element in its place; read and written through plan and scatter, in C order where repeated."""
    wanted = 2000
    kinds: set[str] = set()
    for number in range(wanted):
        choices = RandomChoices(f"transform-{part}-{number}")
        shape = tuple(choices.integer(1, 7) for _ in range(choices.pick((2, 3, 1, 2, 3, 4, 0))))
        flat, view, steps = composition(choices, shape)
        transform = view.transform
        told = f"{part}-{number}: {shape}" + "".join(s.told for s in steps) + f": {transform.describe(shape)}"
        assert transform.shape == flat.shape, told
        assert np.array_equal(elements(transform, shape), flat), told
        check_small(transform)
        kinds |= {type(m).__name__ for m in transform.maps}
        grid = Grid.of(shape, tuple(choices.integer(1, n) for n in shape))
        data = np.arange(int(np.prod(shape))).reshape(shape)
        got = read(transform.selection(), data, grid)
        assert got.shape == flat.shape, told
        assert np.array_equal(got, flat), told
        assert got.flags.writeable
        assert not np.shares_memory(got, data)
        box = tuple(slice(*sorted((choices.integer(0, n), choices.integer(0, n)))) for n in flat.shape)
        got = read(transform.box_selection(box), data, grid)
        assert got.shape == flat[box].shape, (told, box)
        assert np.array_equal(got, flat[box]), (told, box)
        value = -1 - np.arange(flat.size).reshape(flat.shape)
        if choices.chance(30):
            value = np.asfortranarray(value)
        want = data.copy()
        want.reshape(-1)[flat.reshape(-1)] = value.reshape(-1)
        with monkeypatch.context() as patch:
            # As if what is gathered were much, in every other case.
            patch.setattr("ndzarr.transform._MOST_POINTS", 3 if number % 2 else 1 << 20)
            for box in transform.pieces(tuple(slice(0, n) for n in flat.shape)):
                write(transform.box_selection(box), value[(*box, ...)], data, grid)
        assert np.array_equal(data, want), told
        again: Transform = pickle.loads(pickle.dumps(transform))
        assert np.array_equal(elements(again, shape), flat)
    assert kinds == {"Fixed", "Affine", "Table"}
    record_property("count: transforms composed", wanted)


def picks(transform: Transform) -> list[str]:
    return [type(pick).__name__ for pick in transform.selection().selection.picks]


def test_which_picks() -> None:
    """What can be spans stays spans, whatever is beside them."""
    view = View(Transform.identity((10, 11, 12)))
    assert picks(view[2:8:2, ::-1].transform) == ["Span", "Span", "Span"]
    assert picks(view[[1, 5, 2]].transform) == ["Take", "Span", "Span"]
    assert picks(view[[1, 5, 2]][:, [3, 0, 1]].transform) == ["Take", "Take", "Span"]
    assert picks(view[[1, 5, 2], :, [3, 1, 9]].transform) == ["Gather", "Span", "Gather"]
    assert picks(view.diagonal(0, 0, 2).transform) == ["Gather", "Span", "Gather"]
    assert picks(view[[1, 5, 2], :, [3, 1, 9]][:, [4, 1, 0]].transform) == ["Gather", "Gather", "Gather"]
    assert picks(view[np.ix_([1, 5, 2], [0, 1, 2], [9, 1, 4])].transform) == ["Take", "Span", "Take"]
    assert picks(view[3, [5]].transform) == ["Point", "Point", "Span"]


def test_tables_stay_small() -> None:
    """Index arrays that are independent do not grow to their product, those in equal steps are none."""
    transform = View(Transform.identity((1000, 1000)))[np.arange(0, 1000, 3)].transform
    assert transform.maps[0] == Affine(0, 0, 3)
    many = np.random.default_rng(0).integers(0, 1000, 300)
    for view in (
        View(Transform.identity((1000, 1000)))[np.ix_(many, many)],
        View(Transform.identity((1000, 1000))).oindex[many, many],
        View(Transform.identity((1000, 1000)))[many][:, many],
    ):
        assert [m.values.size for m in view.transform.maps if isinstance(m, Table)] == [300, 300]
    turned = View(Transform.identity((12,))).reshaped((3, 4)).reshaped((12,)).transform
    assert turned.maps == (Affine(0, 0, 1),)


def test_what_cannot_be_reshaped_lazily() -> None:
    view = View(Transform.identity((4, 6)))
    assert view.reshaped((24,)) is None
    assert view.reshaped((6, 4)) is None
    assert view.reshaped((2, 12)) is None
    assert view.reshaped((2, 2, 1, 6)) is not None
    assert view[:, :1].reshaped((4,)) is not None
    assert view[[0, 1], [2, 3]].reshaped((1, 2, 1)) is not None
    assert view[np.array([[0, 3], [2, 1]]), np.array([[5, 2], [1, 4]])].reshaped((4,)) is not None
    assert View(Transform.identity((1 << 40,))).reshaped((1 << 20, 1 << 20)) is None
    assert View(Transform.identity((1 << 40,))).reshaped((1, 1 << 40, 1)) is not None
    with pytest.raises(ArgumentError):
        view.reshaped((5, 5))
    with pytest.raises(ArgumentError):
        view.reshaped((-1, 24))


def test_index_arrays_are_copied() -> None:
    points = np.array([3, 1, 2])
    view = View(Transform.identity((5,)))[points]
    outer = View(Transform.identity((5,))).oindex[points]
    points[:] = 0
    assert elements(view.transform, (5,)).tolist() == elements(outer.transform, (5,)).tolist() == [3, 1, 2]


def test_fits() -> None:
    whole = View(Transform.identity((10, 10)))
    assert whole.transform.fits((10, 12))
    assert not whole.transform.fits((9, 12))
    assert not whole.transform.fits((10,))
    assert whole[2:5, ::-1].transform.fits((5, 10))
    assert not whole[2:5, ::-1].transform.fits((4, 10))
    assert whole[[1, 7, 3], 4].transform.fits((8, 5))
    assert not whole[[1, 7, 3], 4].transform.fits((7, 5))
    assert whole[3:3].transform.fits((0, 0))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda v: v, "[:, :, :]"),
        (lambda v: v[10:20:2, ::-1, [3, 1, 2]], "[10:20:2, ::-1, (3 points)]"),
        (lambda v: v[5, 3:0:-1, -1], "[5, 3:0:-1, 6]"),
        (lambda v: v.permuted((2, 0, 1)), "[:, :, :] along axes 1, 2, 0"),
        (lambda v: v.diagonal(1), "[:7, 1:, :] along axes 1, 1, 0"),
        (lambda v: v[None, 0, 0], "[0, 0, :]"),
        (lambda v: v[0, 0, 0].broadcast((3,)), "[0, 0, 0] along axes none"),
        (lambda v: v[[[1, 3], [4, 9]], 1], "[(2 x 2 points), 1, :]"),
        (lambda v: v[2:2], "[nothing]"),
    ],
)
def test_describe(make: Callable[[View], View], told: str) -> None:
    shape = (30, 8, 7)
    assert make(View(Transform.identity(shape))).transform.describe(shape) == told


def test_box_selection_of_plain_views_makes_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What streaming calls for every block goes straight to spans."""
    view = View(Transform.identity((20, 30))).permuted((1, 0))[::-2, None, 3:].transform
    monkeypatch.setattr(Transform, "composed", None)
    access = view.box_selection((slice(2, 6), slice(0, 1), slice(1, 9)))
    assert access.selection.work_shape == (8, 4)
    assert all(type(pick) is Span for pick in access.selection.picks)
