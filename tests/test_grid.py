from __future__ import annotations

import math

import pytest

from ndzarr.grid import Grid, RegularAxis, auto_chunks


def test_axis() -> None:
    axis = RegularAxis(10, 4)
    assert axis.count == 3
    assert [axis.start(c) for c in range(3)] == [0, 4, 8]
    assert [axis.valid(c) for c in range(3)] == [4, 4, 2]
    assert [axis.size(c) for c in range(3)] == [4, 4, 4]
    assert [axis.find(i) for i in (0, 3, 4, 9)] == [0, 0, 1, 2]


def test_grid() -> None:
    grid = Grid.regular((10, 3), (4, 5))
    assert grid.shape == (3, 1)
    assert grid.nchunks == 3
    assert list(grid) == [(0, 0), (1, 0), (2, 0)]
    assert grid.start((2, 0)) == (8, 0)
    assert grid.valid((2, 0)) == (2, 3)
    assert (2, 0) in grid
    assert all(c not in grid for c in [(3, 0), (-1, 0), (0,), [0, 0]])


def test_no_axes_and_no_elements() -> None:
    assert list(Grid.regular((), ())) == [()]
    empty = Grid.regular((4, 0), (2, 0))  # old files have a chunk length of 0 there
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
