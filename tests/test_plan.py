"""The planner against its own definition (three lines in `ndzarr/plan.py`); selection, plan and scatter against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ndzarr import scatter
from ndzarr.accessors import select_blocks, select_outer, select_points
from ndzarr.grid import Grid
from ndzarr.plan import Part, count_parts, plan
from ndzarr.selection import Gather, Selection, Span, Take, select
from ndzarr.testing.expressions import IndexKinds, RandomChoices, index


def blank_chunk(grid: Grid, coords: tuple[int, ...]) -> np.ndarray:
    return np.full(tuple(axis.size(c) for axis, c in zip(grid.axes, coords, strict=True)), -7)


def read(a: np.ndarray, chunks: tuple[int, ...], selection: Selection) -> Any:
    """What the engine does, on an array in memory cut into chunks."""
    grid = Grid.of(a.shape, chunks)
    out = np.full(selection.work_shape, -999)
    for part in plan(selection, grid):
        chunk = blank_chunk(grid, part.coords)
        start, valid = grid.start(part.coords), grid.valid(part.coords)
        inside = tuple(slice(s, s + n) for s, n in zip(start, valid, strict=True))
        chunk[tuple(slice(n) for n in valid)] = a[inside]
        scatter.take(part, chunk, out)
    result = out.reshape(selection.shape)
    return result[()] if selection.scalar else result


def check_plan(selection: Selection, grid: Grid) -> None:
    hits = np.zeros(selection.work_shape, int)
    seen = set()
    for part in plan(selection, grid):
        # (b) each part touches one chunk, and no two parts the same one
        assert part.coords in grid
        assert part.coords not in seen
        seen.add(part.coords)
        once = np.zeros_like(hits)
        scatter.fill(part, once, 1)
        hits += once
        check_whole(part, grid, selection)
    assert count_parts(selection, grid) == len(seen)
    # (a) every element of the work array is the target of exactly one part
    if 0 not in selection.shape:
        assert (hits == 1).all()
    else:
        assert not seen


def check_whole(part: Part, grid: Grid, selection: Selection) -> None:
    """(c) `whole` implies that each element inside the array is selected exactly once."""
    if not part.whole:
        return
    chunk = blank_chunk(grid, part.coords)
    names = np.arange(chunk.size).reshape(chunk.shape)
    out = np.full(selection.work_shape, -1)
    scatter.take(part, names, out)
    valid = names[tuple(slice(n) for n in grid.valid(part.coords))]
    assert sorted(out[out >= 0].tolist()) == sorted(valid.ravel().tolist())


@pytest.mark.parametrize("seed", range(8))
def test_random_indices(seed: int) -> None:
    choices = RandomChoices(seed)
    for _ in range(400):
        shape = tuple(choices.integer(0, 6) for _ in range(choices.integer(0, 4)))
        chunks = tuple(choices.integer(1, max(1, n + 1)) for n in shape)
        a = np.arange(int(np.prod(shape))).reshape(shape)
        i = index(choices, shape, IndexKinds())
        try:
            want = a[i]
        except (IndexError, ValueError, TypeError) as error:
            with pytest.raises(type(error)):
                select(i, shape)
            continue
        selection = select(i, shape)
        check_plan(selection, Grid.of(shape, chunks))
        got = read(a, chunks, selection)
        assert type(got) is type(want)
        np.testing.assert_array_equal(got, want, err_msg=repr((shape, chunks, i)))


@pytest.mark.parametrize("seed", range(4))
def test_outer(seed: int) -> None:
    """Each axis by itself: `ix_` where all axes are arrays, by hand otherwise."""
    choices = RandomChoices(seed)
    for _ in range(200):
        shape = tuple(choices.integer(1, 7) for _ in range(choices.integer(1, 3)))
        chunks = tuple(choices.integer(1, n + 1) for n in shape)
        a = np.arange(int(np.prod(shape))).reshape(shape)
        items: list[Any] = []
        lists: list[Any] = []
        for n in shape:
            kind = choices.pick(("array", "slice", "int", "mask"))
            if kind == "array":
                items.append([choices.integer(-n, n - 1) for _ in range(choices.integer(0, 6))])
                lists.append(np.array(items[-1], int))
            elif kind == "mask":
                items.append(np.array([choices.chance(50) for _ in range(n)]))
                lists.append(items[-1].nonzero()[0])
            elif kind == "slice":
                items.append(slice(choices.integer(-n, n), choices.integer(-n, n), choices.pick((-2, -1, 1, 3))))
                lists.append(np.arange(n)[items[-1]])
            else:
                items.append(choices.integer(-n, n - 1))
                lists.append(np.array([items[-1]]))
        dropped = tuple(k for k, item in enumerate(items) if isinstance(item, int))
        want = a[np.ix_(*lists)].squeeze(dropped)
        selection = select_outer(tuple(items), shape)
        check_plan(selection, Grid.of(shape, chunks))
        np.testing.assert_array_equal(read(a, chunks, selection), want)


def test_points() -> None:
    a = np.arange(7 * 6 * 5).reshape(7, 6, 5)
    i = np.array([[0, 6], [3, -1]])
    for key, want in [
        ((i, slice(None), 2), a[i, :, 2]),
        ((slice(1, 6, 2), i[:, :1] % 6, [4, 0]), np.moveaxis(a[1:6:2, i[:, :1] % 6, [4, 0]], 0, -1)),
        ((i, i % 6), a[i, i % 6]),
        ((i, i % 6, i % 5), a[i, i % 6, i % 5]),
        ((a > 100,), a[a > 100]),
        ((a[:, :, 0] > 100, slice(None, None, -1)), a[a[:, :, 0] > 100, ::-1]),
        ((slice(2, 5),), a[2:5]),
        ((3, 2), a[3, 2]),
    ]:
        selection = select_points(key, a.shape)
        check_plan(selection, Grid.of(a.shape, (3, 4, 2)))
        np.testing.assert_array_equal(read(a, (3, 4, 2), selection), want)


def test_blocks() -> None:
    a = np.arange(7 * 6).reshape(7, 6)
    chunks = (3, 4)
    for key, want in [
        ((0, 0), a[:3, :4]),
        ((2, 1), a[6:, 4:]),
        ((-1,), a[6:]),
        ((slice(1, 3), 0), a[3:, :4]),
        ((..., slice(0, 0)), a[:, :0]),
        (..., a),
    ]:
        np.testing.assert_array_equal(read(a, chunks, select_blocks(key, Grid.of(a.shape, chunks))), want)


@pytest.mark.parametrize(
    ("select_", "key", "error"),
    [
        (select_outer, ([[0, 1]],), IndexError),
        (select_outer, (None,), IndexError),
        (select_outer, (True,), IndexError),
        (select_outer, (0, 0, 0), IndexError),
        (select_outer, (..., ...), IndexError),
        (select_outer, ([9],), IndexError),
        (select_outer, (1.5,), IndexError),
        (select_outer, (np.ones(3, bool),), IndexError),
        (select_points, ([0, 1], [0, 1, 2]), IndexError),
        (select_points, (np.ones((2, 2), bool),), IndexError),
        (select_points, ("a",), IndexError),
        (select_points, (slice(None, None, 0),), ValueError),
        (select_points, (slice("a", None),), TypeError),
        (lambda i, s: select_blocks(i, Grid.of(s, (3, 4))), ([0],), IndexError),
        (lambda i, s: select_blocks(i, Grid.of(s, (3, 4))), (slice(None, None, 2),), IndexError),
        (lambda i, s: select_blocks(i, Grid.of(s, (3, 4))), (3,), IndexError),
    ],
)
def test_refusals(select_: Any, key: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        select_(key, (7, 6))


def test_cost_follows_what_is_touched() -> None:
    """A grid of 10^24 chunks: only those touched are ever named."""
    grid = Grid.of((10**12, 10**12), (1, 1))
    assert grid.nchunks == 10**24
    parts = list(plan(select((slice(5, None, 10**11), 7), (10**12, 10**12)), grid))
    assert [p.coords for p in parts] == [(5 + k * 10**11, 7) for k in range(10)]
    far = np.array([0, 10**12 - 1, 5])
    parts = list(plan(select((far, far), (10**12, 10**12)), grid))
    assert [p.coords for p in parts] == [(0, 0), (5, 5), (10**12 - 1, 10**12 - 1)]


def test_a_stride_jumps_over_chunks() -> None:
    grid = Grid.of((100,), (10,))
    assert [p.coords for p in plan(select(slice(3, None, 35), (100,)), grid)] == [(0,), (3,), (7,)]


def test_picks_are_the_simplest_that_do() -> None:
    shape = (5, 6, 7)
    assert [type(p) for p in select((slice(None), [1, 2]), shape).picks] == [Span, Take, Span]
    assert [type(p) for p in select(([0], [1, 2]), shape).picks] == [Gather, Gather, Span]
    assert [type(p).__name__ for p in select((0, slice(None), [1, 2]), shape).picks] == ["Point", "Span", "Gather"]


def test_put_keeps_the_last_of_repeated_indices() -> None:
    grid = Grid.of((4,), (4,))
    for key in ([1, 1, 0, 1], ([1, 1, 0, 1],)):
        (part,) = plan(select(key, (4,)), grid)
        chunk = np.zeros(4, int)
        scatter.put(part, chunk, np.array([10, 20, 30, 40]))
        assert chunk.tolist() == [30, 40, 0, 0]
