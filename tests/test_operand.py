"""Borders against what they mean: where the chunk under an element of a view is another than under the one before."""

from __future__ import annotations

import itertools
import random

import pytest

from ndzarr.grid import Axis, Edges, EdgesAxis, RegularAxis
from ndzarr.operand import Borders


def axis(choose: random.Random) -> Axis:
    length = choose.randint(1, 40)
    if choose.random() < 0.5:
        return RegularAxis(length, choose.randint(1, 12))
    chunks = []
    while sum(chunks) < length:
        chunks.append(choose.randint(1, 12))
    return EdgesAxis(length, Edges.of(chunks))


@pytest.mark.parametrize("seed", range(20))
def test_borders_are_where_the_chunk_changes(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(200):
        storage = axis(choose)
        start, step = choose.randrange(storage.length), choose.randint(1, 5)
        count = choose.randint(1, (storage.length - 1 - start) // step + 1)
        flip = choose.random() < 0.5
        borders = Borders.spanned(storage, start, step, count, flip)
        elements = range(start, start + count * step, step)[:: -1 if flip else 1]
        chunks = [storage.find(i) for i in elements]
        expected = [0, *(i for i in range(1, count) if chunks[i] != chunks[i - 1]), count]
        for position in range(count):
            assert borders.below(position) == max(b for b in expected if b <= position)
            assert borders.above(position) == min(b for b in expected if b > position)
        assert borders.below(count) == count
        wanted = choose.randint(1, 20)
        stops = borders.stops(wanted)
        assert stops[-1] == count
        longest = max(b - a for a, b in itertools.pairwise(expected))
        for low, high in zip([0, *stops], stops, strict=False):
            assert 0 < high - low <= max(wanted, longest)
            assert high in expected or high - low == wanted


def test_an_axis_of_nothing() -> None:
    assert Borders.of(RegularAxis(0, 4)).stops(3) == []


def test_loose_borders() -> None:
    assert Borders.loose(10).stops(4) == [4, 8, 10]
    assert Borders.loose(10, 3).chunk == 3
