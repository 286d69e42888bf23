"""Where elements differ, as few boxes: found in each block, merged between blocks. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from ndzarr._typing import NDArray, Shape

#: The most boxes that are made of one block.
_OF_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Region:
    """A box in which elements differ: `start` and `stop` along each axis, so many elements of it, by at most `max_abs`.

    max_abs: the largest absolute difference of two numbers; None for what are no numbers, and where one of each two is a NaN.
    """

    start: Shape
    stop: Shape
    count: int
    max_abs: float | int | None = None

    @property
    def index(self) -> tuple[slice, ...]:
        """What selects the box: `a[region.index]`."""
        return tuple([slice(a, b) for a, b in zip(self.start, self.stop, strict=True)])

    def __str__(self) -> str:
        box = ", ".join([str(a) if b == a + 1 else f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True)])
        size = math.prod(b - a for a, b in zip(self.start, self.stop, strict=True))
        what = f"{self.count:,} of {size:,} differ" if size != self.count else f"{size:,} differ{'s' if size == 1 else ''}"
        return f"[{box or '()'}] {what}{'' if self.max_abs is None else f', by up to {self.max_abs:.6g}'}"


def regions_of(mask: NDArray) -> list[Region]:
    """At most eight boxes that hold all that is True in `mask`, and as little else as their number allows."""
    if not mask.ndim:
        return [Region((), (), 1)] if mask else []
    spots = np.argwhere(mask)
    if not len(spots):
        return []
    order = count()
    first = _box(spots)
    # The box with the most in it that does not differ is cut first.
    waiting = [(-_waste(first), next(order), spots, first)]
    while len(waiting) < _OF_BLOCK and waiting[0][0] < 0:
        _, _, inside, box = heapq.heappop(waiting)
        for half in _halves(inside, box):
            own = _box(half)
            heapq.heappush(waiting, (-_waste(own), next(order), half, own))
    return [box for *_, box in sorted(waiting, key=lambda entry: entry[3].start)]


def _box(spots: NDArray) -> Region:
    low, high = spots.min(axis=0), spots.max(axis=0) + 1
    return Region(tuple(low.tolist()), tuple(high.tolist()), len(spots))


def _waste(box: Region) -> int:
    return math.prod(b - a for a, b in zip(box.start, box.stop, strict=True)) - box.count


def _halves(spots: NDArray, box: Region) -> tuple[NDArray, NDArray]:
    """The spots on either side of the widest gap along any axis, or of the middle of the longest axis."""
    widest, axis, cut = 1, 0, 0
    for along in range(spots.shape[1]):
        values = np.unique(spots[:, along])
        if len(values) > 1:
            gaps = np.diff(values)
            at = int(gaps.argmax())
            if gaps[at] > widest:
                widest, axis, cut = int(gaps[at]), along, int(values[at]) + 1
    if widest == 1:
        lengths = [b - a for a, b in zip(box.start, box.stop, strict=True)]
        axis = lengths.index(max(lengths))
        cut = box.start[axis] + lengths[axis] // 2
    low = spots[:, axis] < cut
    return spots[low], spots[~low]


def shifted(box: Region, origin: Sequence[int], max_abs: float | None) -> Region:
    """A box of a block, in the place that it has in the array."""
    return replace(
        box,
        start=tuple(a + n for a, n in zip(box.start, origin, strict=True)),
        stop=tuple(b + n for b, n in zip(box.stop, origin, strict=True)),
        max_abs=max_abs,
    )


def merged(boxes: Iterable[Region]) -> list[Region]:
    """The same boxes, in C order, with those put together that make one box."""
    found = list(boxes)
    axes = len(found[0].start) if found else 0
    while True:
        before = len(found)
        for axis in range(axes):
            found = _merged_along(found, axis)
        if len(found) == before:
            return sorted(found, key=lambda box: box.start)


def _merged_along(boxes: list[Region], axis: int) -> list[Region]:
    def others(box: Region) -> tuple[Shape, Shape]:
        return (*box.start[:axis], *box.start[axis + 1 :]), (*box.stop[:axis], *box.stop[axis + 1 :])

    found: list[Region] = []
    for box in sorted(boxes, key=lambda box: (*others(box), box.start[axis])):
        last = found[-1] if found else None
        if last is not None and others(last) == others(box) and last.stop[axis] == box.start[axis]:
            largest = [n for n in (last.max_abs, box.max_abs) if n is not None]
            found[-1] = Region(last.start, box.stop, last.count + box.count, max(largest, default=None))
        else:
            found.append(box)
    return found
