from __future__ import annotations

import math

import numpy as np
import pytest

from ndzarr.grid import Edges, EdgesAxis, Grid, RegularAxis, auto_chunks


def test_axis() -> None:
    axis = RegularAxis(10, 4)
    assert axis.count == 3
    assert [axis.start(c) for c in range(3)] == [0, 4, 8]
    assert [axis.valid(c) for c in range(3)] == [4, 4, 2]
    assert [axis.size(c) for c in range(3)] == [4, 4, 4]
    assert [axis.find(i) for i in (0, 3, 4, 9)] == [0, 0, 1, 2]


def test_grid() -> None:
    grid = Grid.of((10, 3), (4, 5))
    assert grid.shape == (3, 1)
    assert grid.nchunks == 3
    assert list(grid) == [(0, 0), (1, 0), (2, 0)]
    assert grid.start((2, 0)) == (8, 0)
    assert grid.valid((2, 0)) == (2, 3)
    assert (2, 0) in grid
    assert all(c not in grid for c in [(3, 0), (-1, 0), (0,), [0, 0]])


def test_no_axes_and_no_elements() -> None:
    assert list(Grid.of((), ())) == [()]
    empty = Grid.of((4, 0), (2, 0))  # old files have a chunk length of 0 there
    assert empty.nchunks == 0
    assert list(empty) == []


@pytest.mark.parametrize("shape", [(), (0,), (1,), (10**6,), (10**4, 10**4), (3, 10**9), (7, 0, 5), (365, 721, 1440)])
@pytest.mark.parametrize("itemsize", [1, 4, 16])
def test_auto_chunks_aim_at_a_mebibyte(shape: tuple[int, ...], itemsize: int) -> None:
    chunks = auto_chunks(shape, itemsize)
    assert len(chunks) == len(shape)
    assert all(1 <= c <= max(1, n) for c, n in zip(chunks, shape, strict=True))
    nbytes = math.prod(chunks) * itemsize
    assert nbytes <= 1 << 20
    if math.prod(shape) * itemsize > 1 << 20:
        assert nbytes > 1 << 18


def test_auto_chunks_of_huge_elements() -> None:
    assert auto_chunks((5, 5), 1 << 30) == (1, 1)


LENGTHS = [3, 3, 3, 1, 5, 5, 2]


def test_edges_are_runs() -> None:
    edges = Edges.of(LENGTHS)
    assert edges.runs == ((3, 3), (1, 1), (5, 2), (2, 1))
    assert (edges.total, edges.count, list(edges)) == (22, 7, LENGTHS)
    with pytest.raises(ValueError, match="at least 1"):
        Edges(((0, 1),))
    with pytest.raises(ValueError, match="at least 1"):
        Edges(((1, 0),))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 9, 10, 11, 20, 21, 22])
def test_axis_with_edges_against_a_list(length: int) -> None:
    axis = EdgesAxis(length, Edges.of(LENGTHS))
    owner = [chunk for chunk, n in enumerate(LENGTHS) for _ in range(n)][:length]
    assert axis.count == len(set(owner))
    assert [axis.find(i) for i in range(length)] == owner
    assert axis.find_many(np.arange(length)).tolist() == owner
    for chunk in set(owner):
        assert axis.start(chunk) == owner.index(chunk)
        assert axis.valid(chunk) == owner.count(chunk)
        assert axis.size(chunk) == LENGTHS[chunk]
    # Also for chunks past the end, which documents may have.
    assert [axis.size(c) for c in range(axis.count, axis.count)] == []


def test_edges_cost_nothing_for_many_chunks() -> None:
    edges = Edges(((7, 10**17), (3, 10**17)))
    axis = EdgesAxis(10**18 - 5, edges)
    assert axis.find(7 * 10**17 - 1) == 10**17 - 1
    assert axis.find(7 * 10**17) == 10**17
    assert axis.start(10**17 + 2) == 7 * 10**17 + 6
    assert axis.count == 10**17 + -(-(3 * 10**17 - 5) // 3)
    assert axis.valid(axis.count - 1) == 1
    far = np.array([0, 7 * 10**17 + 3, 10**18 - 6])
    assert axis.find_many(far).tolist() == [axis.find(int(i)) for i in far]


def test_grid_of_both_kinds() -> None:
    grid = Grid.of((10, 6), (Edges.of([4, 6]), 4))
    assert (grid.shape, grid.uniform) == ((2, 2), False)
    assert [grid.size(c) for c in grid] == [(4, 4), (4, 4), (6, 4), (6, 4)]
    assert [grid.valid(c) for c in grid] == [(4, 4), (4, 2), (6, 4), (6, 2)]
    assert Grid.of((10, 6), (5, 4)).uniform
