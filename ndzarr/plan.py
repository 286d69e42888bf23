"""A Selection over a Grid -> Parts: for each chunk touched, what to take from it and where that goes in the result.

A definition first; the code below only enumerates it cheaply. A *part* is a chunk with a `source` (an index into the chunk)
and a `target` (an index into the work array). A plan is right when

    (a) every element of the work array is the target of exactly one part,
    (b) each part touches one chunk, and no two parts the same chunk,
    (c) `whole` implies that each element of the chunk that lies inside the array is selected exactly once.

Axes are independent, but for those that are gathered together: cut each axis by itself into *cuts* (which chunk, source,
target), then take the product. So the cost grows with the chunks touched and the points asked for, never with the grid, nor
with the box around the points. For writes through repeated indices the order of points within a part is that of the index, so
that NumPy's "the last value stays" holds chunk by chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from ndzarr._typing import Coords
from ndzarr.errors import SelectionError
from ndzarr.grid import Axis, Grid, RegularAxis
from ndzarr.selection import Gather, IntpArray, Pick, Point, Selection, Span, Take

#: One axis of a source or target: an int drops the axis, a slice keeps it, an array picks.
AxisIndex: TypeAlias = int | slice | IntpArray


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One chunk's share of a selection.

    coords: the chunk. source: one entry for each axis of the chunk. target: one entry for each axis of the work array (the
    gather axis included). gathered: `source` holds arrays that belong together. whole: see the module. simple: no arrays at
    all, so that NumPy's basic indexing does the work.
    """

    coords: Coords
    source: tuple[AxisIndex, ...]
    target: tuple[AxisIndex, ...]
    whole: bool
    simple: bool
    gather_axis: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One chunk's share of one axis; `target` is None where the axis is dropped."""

    coord: int
    source: AxisIndex
    target: slice | IntpArray | None
    whole: bool


def plan(selection: Selection, grid: Grid) -> Iterator[Part]:
    """The parts of a selection, lazily, in C order of their chunks (gathered selections: grouped by gathered chunk first)."""
    if 0 in selection.shape:
        return
    picks = selection.picks
    if selection.gather_axis is not None:
        yield from _plan_gather(selection, grid)
        return
    simple = not any(type(pick) is Take for pick in picks)
    columns = [_cuts(pick, axis) for pick, axis in zip(picks, grid.axes, strict=True)]
    kept = [type(pick) is not Point for pick in picks]
    if len(columns) == 2 and all(kept):
        # The common case, spelt out: it halves the planning time of large 2-d reads.
        first, second = columns
        for a in first:
            for b in second:
                yield Part((a.coord, b.coord), (a.source, b.source), (a.target, b.target), a.whole and b.whole, simple)  # type: ignore[arg-type]  # kept axes have targets
        return
    for cuts in product(*columns):
        yield Part(
            tuple([c.coord for c in cuts]),
            tuple([c.source for c in cuts]),
            tuple([c.target for c in cuts if c.target is not None]),
            all(c.whole for c in cuts),
            simple,
        )


def count_parts(selection: Selection, grid: Grid) -> int:
    """How many parts `plan` makes, at the cost of cutting each axis once."""
    if 0 in selection.shape:
        return 0
    picks = list(zip(selection.picks, grid.axes, strict=True))
    count = math.prod([_count_cuts(pick, axis) for pick, axis in picks if type(pick) is not Gather])
    if selection.gather_axis is not None:
        count *= sum(1 for _ in _point_groups([axis.find_many(pick.indices) for pick, axis in picks if type(pick) is Gather]))
    return count


def _count_cuts(pick: Pick, axis: Axis) -> int:
    if type(pick) is Span and type(axis) is RegularAxis and pick.step <= axis.chunk:  # no chunk is jumped over
        return axis.find(pick.start + (pick.count - 1) * pick.step) - axis.find(pick.start) + 1
    return len(_cuts(pick, axis))


def within(part: Part) -> Selection:
    """What a part takes from its chunk, as a selection of the chunk's own whose work axes are those of the target."""
    picks: list[Pick] = []
    lengths: list[int] = []
    gathered = None
    for entry in part.source:
        if type(entry) is slice:
            count = -(-(entry.stop - entry.start) // entry.step)
            picks.append(Span(entry.start, entry.step, count))
            lengths.append(count)
        elif isinstance(entry, np.ndarray):
            if part.gather_axis is None:
                picks.append(Take(entry))
                lengths.append(entry.size)
            else:
                picks.append(Gather(entry))
                gathered = entry.size
        else:
            picks.append(Point(entry))
    if gathered is not None:
        lengths.insert(part.gather_axis or 0, gathered)
    shape = tuple(lengths)
    return Selection(tuple(picks), shape, shape, part.gather_axis)


def _cuts(pick: Point | Span | Take | Gather, axis: Axis) -> Sequence[Cut]:
    if type(pick) is Span:
        return cut_span(pick, axis)
    if type(pick) is Point:
        coord = axis.find(pick.index)
        return [Cut(coord, pick.index - axis.start(coord), None, axis.valid(coord) == 1)]
    return _cut_take(pick.indices, axis)  # type: ignore[union-attr]  # Gathers were taken out before


def cut_span(span: Span, axis: Axis) -> list[Cut]:
    """Cut a lattice at the chunk borders; chunks that a large step jumps over are never visited."""
    cuts = []
    start, step, count = span.start, span.step, span.count
    done = 0  # elements cut so far
    while done < count:
        first = start + done * step
        coord = axis.find(first)
        origin = axis.start(coord)
        valid = axis.valid(coord)
        here = min(count - done, -(-(origin + valid - first) // step))
        if here <= 0:  # a selection made for another shape; without this the loop would not end
            raise SelectionError(f"a selection up to index {start + (count - 1) * step} does not fit an axis of {axis.length}")
        low = first - origin
        source = slice(low, low + (here - 1) * step + 1, step)
        if not span.flip:
            target = slice(done, done + here, 1)
        else:
            # Element `done` of the lattice is element `count - 1 - done` of the result.
            last = count - done - here - 1
            target = slice(count - 1 - done, last if last >= 0 else None, -1)
        cuts.append(Cut(coord, source, target, here == valid))
        done += here
    return cuts


def _cut_take(indices: IntpArray, axis: Axis) -> list[Cut]:
    """Group an index array by chunk, keeping its order within each."""
    cuts = []
    for coord, positions in _groups(axis.find_many(indices)):
        local = indices[positions] - axis.start(coord)
        valid = axis.valid(coord)
        whole = local.size == valid and np.unique(local).size == valid
        cuts.append(Cut(coord, local, positions, whole))
    return cuts


def _groups(labels: IntpArray) -> Iterator[tuple[int, slice | IntpArray]]:
    """Each distinct label in rising order with the positions where it stands, rising; a slice where they adjoin."""
    if labels.size == 0:
        return
    steps = labels[1:] - labels[:-1]
    if (steps >= 0).all():  # already sorted: positions are runs
        bounds = np.flatnonzero(steps) + 1
        order = None
    else:
        order = np.argsort(labels, kind="stable")
        labels = labels[order]
        bounds = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    starts = [0, *bounds.tolist()]
    stops = [*bounds.tolist(), labels.size]
    for start, stop in zip(starts, stops, strict=True):
        yield int(labels[start]), slice(start, stop) if order is None else order[start:stop]


def _plan_gather(selection: Selection, grid: Grid) -> Iterator[Part]:
    picks = selection.picks
    gathered = [k for k, pick in enumerate(picks) if type(pick) is Gather]
    place = selection.gather_axis
    chunk_of = [grid.axes[k].find_many(picks[k].indices) for k in gathered]  # type: ignore[union-attr]  # Gathers only
    others = [_cuts(pick, axis) for pick, axis in zip(picks, grid.axes, strict=True) if type(pick) is not Gather]
    for positions in _point_groups(chunk_of):
        one = positions.start if isinstance(positions, slice) else int(positions[0])
        near = [int(column[one]) for column in chunk_of]
        local = [
            picks[k].indices[positions] - grid.axes[k].start(coord)  # type: ignore[union-attr]  # Gathers only
            for k, coord in zip(gathered, near, strict=True)
        ]
        for cuts in product(*others):
            rest = iter(cuts)
            coords: list[int] = []
            source: list[AxisIndex] = []
            target: list[AxisIndex] = []
            g = 0
            for k in range(len(picks)):
                if g < len(gathered) and gathered[g] == k:
                    coords.append(near[g])
                    source.append(local[g])
                    g += 1
                else:
                    cut = next(rest)
                    coords.append(cut.coord)
                    source.append(cut.source)
                    if cut.target is not None:
                        target.append(cut.target)
            target.insert(place, positions)  # type: ignore[arg-type]  # gather_axis is an int here
            yield Part(tuple(coords), tuple(source), tuple(target), False, False, place)


def _point_groups(columns: list[IntpArray]) -> Iterator[slice | IntpArray]:
    """Positions of the points of each chunk, for points given by one array of chunk coords an axis.

    Sorting by the columns, not by one number made of them, since a grid may have more chunks than an intp can count.
    """
    if len(columns) == 1:
        for _, positions in _groups(columns[0]):
            yield positions
        return
    changed = np.zeros(max(columns[0].size - 1, 0), bool)
    rising = True
    # Already in C order of chunks? Then no sort, and the groups are slices.
    tied = np.ones(changed.shape, bool)
    for column in columns:
        step = column[1:] - column[:-1]
        rising = rising and not bool((tied & (step < 0)).any())
        tied &= step == 0
    if rising:
        order = None
        changed = ~tied
    else:
        order = np.lexsort(columns[::-1])  # stable; the last key given is the primary one
        for column in columns:
            ordered = column[order]
            changed |= ordered[1:] != ordered[:-1]
    bounds = (np.flatnonzero(changed) + 1).tolist()
    for start, stop in zip([0, *bounds], [*bounds, columns[0].size], strict=True):
        yield slice(start, stop) if order is None else order[start:stop]
