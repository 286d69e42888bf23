"""Which blocks are copied to rechunk an array in bounded memory: pure arithmetic over shapes.

A *pass* reads an array block by block and writes each block to another one; blocks are made of whole objects of the one that is
written, so that each object is written once and none is read to be changed. Where a block cuts chunks of the array that is
read, those are read for several blocks: how often a chunk is read on average is the pass's *amplification*.

One pass is best while its amplification is small. From maps to series it is not: a block that holds some series whole holds a
sliver of each map, and each map is read for all of them. Then two passes go through an array in between, as those of rechunker
do (https://rechunker.readthedocs.io/en/latest/algorithm.html): its chunks are as long, along each axis, as the shorter of a
block that reads well from the source and a block that writes well to the target, so that both passes read and write whole
chunks of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ndzarr._typing import Shape

#: Up to this amplification one pass costs no more than two, which read and write everything once more.
ONE_PASS = 2.0
#: Blocks are made larger than they need be only while there are so many.
_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Pass:
    """block: lengths of the blocks, by axis. amplification: how often a chunk is read, on average."""

    block: Shape
    amplification: float


@dataclass(frozen=True, slots=True)
class Passes:
    """One pass, or two with `between`, the lengths of chunks of the array in between."""

    steps: tuple[Pass, ...]
    between: Shape | None = None

    @property
    def amplification(self) -> float:
        """How often everything is read in all."""
        return sum(step.amplification for step in self.steps)


def plan_passes(shape: Shape, source: Shape, target: Shape, most: int) -> Passes | None:
    """How to copy an array with chunks of lengths `source` to one with stored objects of lengths `target`.

    most: elements of a block. None where not even one object of the target fits into that.
    """
    source, target = _clipped(source, shape), _clipped(target, shape)
    if math.prod(target) > most:
        return None
    once = grown(shape, source, target, most)
    if once.amplification <= ONE_PASS or math.prod(source) > most:
        return Passes((once,))
    between = _between(shape, source, target, most)
    twice = Passes((grown(shape, source, between, most), grown(shape, between, target, most)), between)
    # A pass writes too, which costs about as much as it does to read.
    return twice if twice.amplification + 1 < once.amplification else Passes((once,))


def amplification(block: int, chunk: int, length: int) -> float:
    """How often each chunk along an axis is read for blocks of a length, on average.

    >>> amplification(3, 12, 24), amplification(12, 4, 24), amplification(5, 4, 100)
    (4.0, 1.0, 1.6)
    """
    return 1.0 if block >= length else (block + chunk - math.gcd(block, chunk)) / block


def grown(shape: Shape, source: Shape, unit: Shape, most: int) -> Pass:
    """The blocks of a pass: multiples of `unit`, grown along the axes where that saves most reads for the room it takes."""
    block = list(_clipped(unit, shape))

    def cost(axis: int, length: int) -> float:
        return amplification(length, source[axis], shape[axis])

    while True:
        best: tuple[float, int, int] | None = None
        for axis, (n, chunk, step) in enumerate(zip(shape, source, unit, strict=True)):
            now = block[axis]
            if now >= n:
                continue
            room = most // (math.prod(block) // now)
            for wanted in {2 * now, math.lcm(step, chunk), n, room // step * step}:
                length = min(-(-wanted // step) * step, n)
                if not now < length <= room:
                    continue
                saved = math.log(cost(axis, now) / cost(axis, length))
                gain = saved / math.log(length / now)
                if saved > 1e-9 and (best is None or gain > best[0]):
                    best = gain, axis, length
        if best is None:
            break
        block[best[1]] = best[2]
    # Many small objects together, since each block costs a note; but several blocks, to share out.
    for axis in reversed(range(len(shape))):
        room = min(most, math.prod(shape) // _BLOCKS) // max(1, math.prod(block) // block[axis])
        if room > block[axis]:
            block[axis] = min(room // block[axis] * block[axis], shape[axis])
    return Pass(tuple(block), math.prod(map(cost, range(len(shape)), block)))


def _between(shape: Shape, source: Shape, target: Shape, most: int) -> Shape:
    """Lengths of chunks of the array in between."""
    reads = _stretched(source, target, shape, most)
    writes = _stretched(target, source, shape, most)
    return _clipped([min(r, w) for r, w in zip(reads, writes, strict=True)], shape)


def _stretched(lengths: Shape, goal: Shape, shape: Shape, most: int) -> list[int]:
    """A block of whole chunks, longer along the axes where those of the other side are: there it decides about what lies
    between.

    A length that divides the other side's is better than one up to twice as long that does not, for then no chunk is cut; where
    the other side takes the whole axis, none is.
    """
    block = list(lengths)
    open_ = [axis for axis, (n, other) in enumerate(zip(lengths, goal, strict=True)) if n < other]
    while open_:
        # The one that is furthest from its goal, twice as long; the last one as long as there is room.
        axis = min(open_, key=lambda a: block[a] / goal[a])
        room = most // (math.prod(block) // block[axis])
        wanted = goal[axis] if len(open_) == 1 else min(2 * block[axis], goal[axis])
        length = min(room, -(-wanted // lengths[axis]) * lengths[axis]) // lengths[axis] * lengths[axis]
        if length <= block[axis]:
            open_.remove(axis)
            continue
        block[axis] = length
        if length >= goal[axis] or len(open_) == 1:
            open_.remove(axis)
    for axis, (length, unit, other, n) in enumerate(zip(block, lengths, goal, shape, strict=True)):
        if length < other < n and other % length:
            whole = [k for k in range(length // unit * unit, length // 2, -unit) if other % k == 0]
            block[axis] = whole[0] if whole else length
    return block


def _clipped(lengths: Sequence[int], shape: Shape) -> Shape:
    return tuple(max(1, min(a, n)) for a, n in zip(lengths, shape, strict=True))
