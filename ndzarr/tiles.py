"""Rectangles and lattices of uniform grids, cut by chunks without the objects of a plan: the way of most large reads.

A *tile* is what `plan` would make a Part of. The names, targets and sources of a rectangle are products of short lists, which
`map`, `zip` and `product` walk in C. What `shortcuts` cannot read at once is given back as a Part, for the general way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product, repeat
from typing import TypeAlias, TypeVar

from ndzarr._typing import Coords
from ndzarr.grid import Grid, RegularAxis
from ndzarr.plan import Part, cut_span
from ndzarr.selection import Point, Selection, Span

#: What a chunk is found by: the key of its object, or its place in a shard.
Name = TypeVar("Name")
#: A chunk, its name, its place in the work array, and what to take of it: slices and ints.
Tile: TypeAlias = tuple[Coords, Name, tuple[slice, ...], tuple[slice | int, ...]]


def tiles(
    selection: Selection, grid: Grid, name: Callable[[Coords], Name], *, whole: bool = False
) -> tuple[int, Iterator[Tile[Name]]] | None:
    """How many tiles a selection has, and those, lazily, in C order of their chunks; None where a plan is needed.

    Tiles are made of Points and Spans over a uniform grid. whole: only where every chunk is wanted whole.
    """
    if 0 in selection.shape:
        return None
    coords: list[Sequence[int]] = []
    targets: list[list[slice]] = []
    sources: list[list[slice] | list[int]] = []
    for pick, axis in zip(selection.picks, grid.axes, strict=True):
        if type(axis) is not RegularAxis:
            return None
        if type(pick) is Span and pick.step == 1 and not pick.flip:
            start, stop, chunk = pick.start, pick.start + pick.count, axis.chunk
            if stop > axis.length or (whole and (start % chunk or (stop % chunk and stop != axis.length))):
                return None
            first, last = start // chunk, (stop - 1) // chunk
            borders = [0, *range((first + 1) * chunk - start, pick.count, chunk), pick.count]
            coords.append(range(first, last + 1))
            targets.append(list(map(slice, borders[:-1], borders[1:], repeat(1))))
            inside: list[slice] = [slice(0, chunk, 1)] * (last - first + 1)
            inside[-1] = slice(0, stop - last * chunk, 1)
            inside[0] = slice(start - first * chunk, inside[0].stop, 1)
            sources.append(inside)
        elif type(pick) is Span and not whole:
            cuts = cut_span(pick, axis)
            coords.append([cut.coord for cut in cuts])
            targets.append([cut.target for cut in cuts])  # type: ignore[misc]  # a Span's are slices
            sources.append([cut.source for cut in cuts])  # type: ignore[arg-type]  # likewise
        elif type(pick) is Point and not whole:
            coord = axis.find(pick.index)
            coords.append(range(coord, coord + 1))
            sources.append([pick.index - axis.start(coord)])
        else:
            return None
    # A Point has one chunk, so that leaving its axis out of the targets leaves their product as long as the others.
    count = math.prod([len(column) for column in coords])
    return count, zip(product(*coords), map(name, product(*coords)), product(*targets), product(*sources), strict=True)


def part_of(tile: Tile[Name], grid: Grid) -> Part:
    """The same as a part of a plan."""
    coords, _, target, source = tile
    lengths = tuple([-(-(entry.stop - entry.start) // entry.step) if type(entry) is slice else 1 for entry in source])
    return Part(coords, source, target, lengths == grid.valid(coords), True)
