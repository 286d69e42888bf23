"""Rectangles of uniform grids, read a chunk at a time without the objects of a plan: the way of most large reads.

A *tile* is what `plan` would make a Part of. The names, targets and sources of a rectangle are products of short lists, which
`map`, `zip` and `product` walk in C. Whatever is not the common case (no such object, bytes that do not decode at once) is
given back as a Part, for the engine to read the general way; so errors and fill values are made in one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from ndzarr._typing import Buffer, Coords, Key, NDArray
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.grid import RegularAxis
from ndzarr.layout import Layout
from ndzarr.plan import Part
from ndzarr.selection import Point, Selection, Span

#: A chunk, its key, its place in the work array, and what to take of it: slices with step 1, and ints.
Tile: TypeAlias = tuple[Coords, Key, tuple[slice, ...], tuple[slice | int, ...]]


def tiles(selection: Selection, layout: Layout) -> tuple[int, Iterator[Tile]] | None:
    """How many tiles a selection has, and those, lazily, in C order of their chunks; None where a plan is needed.

    Tiles are made of Points and Spans with step 1 over a uniform grid whose objects are chunks. Raw chunks must be wanted
    whole: of others a general read fetches only the bytes wanted.
    """
    cell = layout.uniform
    if cell is None or cell.shard is not None or 0 in selection.shape:
        return None
    coords: list[range] = []
    targets: list[list[slice]] = []
    sources: list[list[slice] | list[int]] = []
    for pick, axis in zip(selection.picks, layout.objects.axes, strict=True):
        if type(axis) is not RegularAxis:
            return None
        if type(pick) is Span and pick.step == 1 and not pick.flip:
            start, stop, chunk = pick.start, pick.start + pick.count, axis.chunk
            if stop > axis.length or (cell.pipeline.raw and (start % chunk or (stop % chunk and stop != axis.length))):
                return None
            first, last = start // chunk, (stop - 1) // chunk
            borders = [0, *range((first + 1) * chunk - start, pick.count, chunk), pick.count]
            coords.append(range(first, last + 1))
            targets.append(list(map(slice, borders[:-1], borders[1:])))
            whole: list[slice] = [slice(0, chunk)] * (last - first + 1)
            whole[-1] = slice(0, stop - last * chunk)
            whole[0] = slice(start - first * chunk, whole[0].stop)
            sources.append(whole)
        elif type(pick) is Point and not cell.pipeline.raw:
            coord = axis.find(pick.index)
            coords.append(range(coord, coord + 1))
            sources.append([pick.index - axis.start(coord)])
        else:
            return None
    # A Point has one chunk, so that leaving its axis out of the targets leaves their product as long as the others.
    count = math.prod([len(column) for column in coords])
    return count, zip(product(*coords), map(layout.key, product(*coords)), product(*targets), product(*sources), strict=True)


def part_of(tile: Tile, layout: Layout) -> Part:
    """The same as a part of a plan."""
    coords, _, target, source = tile
    lengths = tuple([entry.stop - entry.start if type(entry) is slice else 1 for entry in source])
    return Part(coords, source, target, lengths == layout.objects.valid(coords), True)


@dataclass(slots=True)
class TileReader:
    """Reads tiles into `out`.

    fetch: key -> the bytes of the object, or None; it may give fewer or more bytes than there are, never others. general:
    reads what was not read here.
    """

    fetch: Callable[[Key], Buffer | None]
    pipeline: Pipeline
    out: NDArray
    general: Callable[[Tile], None]

    def __call__(self, tiles: Iterator[Tile]) -> None:
        fetch, out, general = self.fetch, self.out, self.general
        decode = self.pipeline.quick()
        for tile in tiles:
            _, key, target, source = tile
            # Safe: `quick` gives a chunk only of a whole, correct object, and None for anything else, an object cut short
            # or too long among it; then the general way looks at it again, and says what is wrong.
            data = fetch(key)
            chunk = None if data is None or decode is None else decode(data)
            if chunk is None:
                general(tile)
            else:
                out[target] = chunk[source]
            data = chunk = None  # or there would be two of each while the next is made
