"""`plan_write`: which blocks may be written at the same time, since no two of them touch one stored object.

Blocks that share an object belong together, and so do those that share one with either of them. Along the axes of blocks that
are a product (dask's) this is worked out axis by axis: two such blocks share an object exactly where they do along every
axis, so that the groups of the product are the products of the groups. Other boxes are swept along one axis, each compared
with those that reach as far.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, product
from typing import Any

import numpy as np

from ndzarr._typing import Box, Shape
from ndzarr.errors import ArgumentError
from ndzarr.operand import Borders


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Blocks in groups: no two groups touch one stored object, so that each may be written by a process of its own.

    groups: the blocks of each, as tuples of slices, in the order in which they were given. Immutable; pickles.
    """

    groups: tuple[tuple[Box, ...], ...]
    _borders: tuple[Borders, ...] = field(repr=False)

    @property
    def aligned(self) -> bool:
        """Whether no stored object is shared: each group is one block."""
        return all(len(group) == 1 for group in self.groups)

    @property
    def shared(self) -> tuple[Box, ...]:
        """The boxes of stored objects that more than one block touches. Costs as much as there are objects in groups of
        several."""
        found: set[tuple[int, ...]] = set()
        for group in self.groups:
            seen: set[tuple[int, ...]] = set()
            for box in group if len(group) > 1 else ():
                for origin in self._origins(box):
                    (found if origin in seen else seen).add(origin)
        return tuple(
            tuple(slice(n, _stop(b, n), 1) for n, b in zip(origin, self._borders, strict=True)) for origin in sorted(found)
        )

    def _origins(self, box: Box) -> Iterator[tuple[int, ...]]:
        """Where each object that a block touches begins."""
        axes = []
        for s, along in zip(box, self._borders, strict=True):
            starts = []
            position = _start(along, s.start) if s.stop > s.start else s.stop
            while position < s.stop:
                starts.append(position)
                position = _stop(along, position)
            axes.append(starts)
        return product(*axes)

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[tuple[Box, ...]]:
        return iter(self.groups)

    def __repr__(self) -> str:
        count = sum(map(len, self.groups))
        rest = "no stored object is shared" if self.aligned else "some share stored objects"
        return f"<ndzarr.WritePlan of {count} blocks in {len(self.groups)} groups: {rest}>"


def plan_write(target: Any, blocks: Any) -> WritePlan:
    """Group blocks of an array so that no two groups touch one stored object (a chunk, or a shard); nothing is read or written.

    target: a ZArray, or a view of one. blocks: a dask array, or the lengths of blocks along each axis as its `chunks` has them;
    or any number of boxes, each a tuple of slices with step 1, where axes left out are whole. Groups may be written at the same
    time, by any number of processes to any store; the blocks of one group one after the other, by one process. Raises
    ArgumentError for blocks that are not of the array.

    >>> import ndzarr
    >>> z = ndzarr.zeros((8, 6), dtype="i4", chunks=(4, 6))
    >>> plan = ndzarr.plan_write(z, ((3, 1, 4), (6,)))
    >>> plan.aligned, len(plan)
    (False, 2)
    >>> plan.groups[0]
    ((slice(0, 3, 1), slice(0, 6, 1)), (slice(3, 4, 1), slice(0, 6, 1)))
    """
    if not hasattr(target, "object_borders"):
        raise ArgumentError(
            f"expected a ZArray to plan writes to, found a {type(target).__name__}", field="target", found=target
        )
    borders: tuple[Borders, ...] = target.object_borders()
    shape: Shape = tuple(target.shape)
    if hasattr(blocks, "chunks") and hasattr(blocks, "dask"):
        blocks = blocks.chunks
    if isinstance(blocks, tuple) and all(isinstance(lengths, (tuple, list)) and _are_numbers(lengths) for lengths in blocks):
        return WritePlan(tuple(_product(_stops(blocks, shape), borders)), borders)
    if not isinstance(blocks, Iterable) or isinstance(blocks, (str, bytes)):
        raise ArgumentError(
            f"expected a dask array, lengths of blocks by axis, or boxes, found {blocks!r}", field="blocks", found=blocks
        )
    return WritePlan(tuple(_groups([_box(block, shape) for block in blocks], borders)), borders)


def aligned_blocks(target: Any, blocks: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Lengths of blocks, by axis, about as long as those given, whose borders lie between stored objects."""
    found = []
    for stops, along in zip(_stops(blocks, tuple(target.shape)), target.object_borders(), strict=True):
        kept = sorted({_start(along, stop) for stop in stops[:-1]} - {0, along.length})
        found.append(tuple(b - a for a, b in pairwise([0, *kept, along.length])))
    return tuple(found)


def _are_numbers(lengths: Sequence[Any]) -> bool:
    return all(hasattr(n, "__index__") or n != n for n in lengths)


def _stops(blocks: Sequence[Sequence[Any]], shape: Shape) -> list[list[int]]:
    """Where blocks end along each axis."""
    if len(blocks) != len(shape):
        raise ArgumentError(
            f"blocks have {len(blocks)} axes, the array has {len(shape)}", field="blocks", found=blocks, expected=shape
        )
    stops = []
    for axis, (lengths, n) in enumerate(zip(blocks, shape, strict=True)):
        if any(length != length for length in lengths):
            raise ArgumentError(
                f"the lengths of blocks along axis {axis} are unknown; call compute_chunk_sizes() of the dask array first",
                field="blocks",
            )
        ends = list(accumulate(map(operator.index, lengths)))
        if any(operator.index(length) < 0 for length in lengths) or (ends[-1] if ends else 0) != n:
            raise ArgumentError(
                f"blocks along axis {axis} are {tuple(lengths)!r}, which does not add up to its length, {n}",
                field="blocks",
                found=tuple(lengths),
                expected=n,
            )
        stops.append(ends)
    return stops


def _box(block: Any, shape: Shape) -> Box:
    entries = block if isinstance(block, tuple) else (block,)
    if len(entries) > len(shape) or not all(isinstance(s, slice) and s.step in (None, 1) for s in entries):
        raise ArgumentError(
            f"expected a block of at most {len(shape)} slices with step 1, found {block!r}", field="blocks", found=block
        )
    ends = [s.indices(n) for s, n in zip((*entries, *[slice(None)] * (len(shape) - len(entries))), shape, strict=True)]
    return tuple(slice(start, max(start, stop), 1) for start, stop, _ in ends)


def _start(along: Borders, position: int) -> int:
    """Where the object that holds an element begins; along an axis whose elements lie anywhere all of them are one."""
    if position >= along.length:
        return along.length
    return 0 if along.axis is None else along.below(position)


def _stop(along: Borders, position: int) -> int:
    return along.length if along.axis is None else along.above(position)


def _product(stops: list[list[int]], borders: tuple[Borders, ...]) -> Iterator[tuple[Box, ...]]:
    axes: list[list[list[slice]]] = []
    for ends, along in zip(stops, borders, strict=True):
        runs: list[list[slice]] = []
        run: list[slice] = []
        last = -1  # the object that the last block of `run` reaches into
        for start, stop in pairwise([0, *ends]):
            one = slice(start, stop, 1)
            if start == stop:
                runs.append([one])  # touches nothing
                continue
            if last != _start(along, start):
                run = []
                runs.append(run)
            run.append(one)
            last = _start(along, stop - 1)
        axes.append(runs)
    for group in product(*axes):
        boxes = tuple(product(*group))
        if all(run[0].stop > run[0].start for run in group):
            yield boxes
        else:  # without elements they touch nothing
            yield from ((box,) for box in boxes)


def _groups(boxes: list[Box], borders: tuple[Borders, ...]) -> Iterable[tuple[Box, ...]]:
    # From the first to the last object along each axis, by where they begin.
    first = np.array([[_start(b, s.start) for s, b in zip(box, borders, strict=True)] for box in boxes], np.int64)
    last = np.array([[_start(b, s.stop - 1) for s, b in zip(box, borders, strict=True)] for box in boxes], np.int64)
    above = list(range(len(boxes)))

    def root(n: int) -> int:
        while above[n] != n:
            above[n] = above[above[n]]
            n = above[n]
        return n

    some = [n for n, box in enumerate(boxes) if all(s.stop > s.start for s in box)]
    if borders and some:
        # By the axis that tells the most of them apart, fewest are compared.
        axis = max(range(len(borders)), key=lambda a: len(np.unique(first[some, a])))
        some.sort(key=lambda n: int(first[n, axis]))
    else:
        axis = 0
    active = np.empty(0, np.intp)
    for n in some:
        if borders:
            active = active[last[active, axis] >= first[n, axis]]
        for other in active[((first[active] <= last[n]) & (last[active] >= first[n])).all(1)] if len(active) else ():
            a, b = sorted((root(int(other)), root(n)))
            above[b] = a
        active = np.append(active, n)
    groups: dict[int, list[Box]] = {}
    for n, box in enumerate(boxes):
        groups.setdefault(root(n), []).append(box)
    return map(tuple, groups.values())
