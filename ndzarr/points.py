"""Points of a uniform grid, grouped by chunk without the objects of a plan: the way of `vindex`, masks and index arrays.

What `plan` makes a Part of is a *cluster* here: the points of one chunk, as places in the chunk's flat memory. All clusters are
cut at once, by one sort, so that a point costs little more than its own sorting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import numpy as np

from ndzarr._typing import Coords
from ndzarr.grid import Grid, RegularAxis
from ndzarr.plan import Part
from ndzarr.selection import Gather, IntpArray, Selection

Name = TypeVar("Name")
#: A chunk, its name, which of the points lie in it, and where in its C-ordered elements.
Cluster: TypeAlias = tuple[Coords, Name, slice | IntpArray, IntpArray]

_MOST = int(np.iinfo(np.intp).max)


def clusters(selection: Selection, grid: Grid, name: Callable[[Coords], Name]) -> tuple[int, Iterator[Cluster[Name]]] | None:
    """How many chunks the points of a selection lie in, and those points by chunk; None where a plan is needed.

    For selections of Gathers alone, over a uniform grid whose chunks an intp can number.
    """
    if not selection.picks or 0 in selection.shape or grid.nchunks > _MOST:
        return None
    number: IntpArray = np.zeros(1, np.intp)
    flat: IntpArray = np.zeros(1, np.intp)
    columns: list[IntpArray] = []
    for pick, axis in zip(selection.picks, grid.axes, strict=True):
        if type(pick) is not Gather or type(axis) is not RegularAxis:
            return None
        coord = pick.indices // axis.chunk
        local = pick.indices - coord * axis.chunk
        columns.append(coord)
        number = number * axis.count + coord
        flat = flat * axis.chunk + local
    order: IntpArray | None = None
    if not (number[1:] >= number[:-1]).all():
        order = np.argsort(number, kind="stable")
        number, flat = number[order], flat[order]
    starts = np.flatnonzero(number[1:] != number[:-1]) + 1
    bounds = [0, *starts.tolist(), number.size]
    heads = np.concatenate([[0], starts])
    if order is not None:
        heads = order[heads]
    coords = list(zip(*[column[heads].tolist() for column in columns], strict=True))
    cuts = list(map(slice, bounds[:-1], bounds[1:]))
    positions = cuts if order is None else map(order.__getitem__, cuts)
    return len(cuts), zip(coords, map(name, coords), positions, map(flat.__getitem__, cuts), strict=True)


def part_of(cluster: Cluster[Name], grid: Grid) -> Part:
    """The same as a part of a plan."""
    coords, _, positions, flat = cluster
    source = np.unravel_index(flat, grid.size(coords))
    return Part(coords, tuple(source), (positions,), False, False, 0)
