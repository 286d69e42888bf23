"""The two ways into a result in memory: all of an array into a part of it, and elements at given positions along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray
from ndzarr.memory import result
from ndzarr.streaming import cut, is_operand, run


def fill(place: NDArray, source: Any) -> None:
    """Put all of `source` into an array in memory, or a part of one, of the same shape."""
    if not is_operand(source):
        place[...] = source
        return
    if not source.shape:
        place[...] = source.read_box(())
        return
    blocks = cut([source], tuple(source.shape), nbytes=source.dtype.itemsize + place.dtype.itemsize)

    def one(box: Box) -> None:
        place[box] = source.read_box(box)

    run(blocks.boxes(), one, [source], blocks)


def picked(a: Any, axis: int, index: NDArray, name: str) -> NDArray:
    """The elements of an operand at `index` along an axis: 1-d, integers of 0 ... n - 1 in any order, repeated or not."""
    place = result((*a.shape[:axis], index.size, *a.shape[axis + 1 :]), a.dtype, name)
    if not place.size:
        return place
    order = None if (index[1:] >= index[:-1]).all() else index.argsort(kind="stable")
    rising = index if order is None else index[order]
    blocks = cut([a], tuple(a.shape), nbytes=3 * a.dtype.itemsize)
    before = (slice(None),) * axis

    def one(box: Box) -> None:
        own = box[axis]
        low, high = (int(k) for k in np.searchsorted(rising, (own.start, own.stop)))
        if low == high:
            return
        # As many at once as the block has, so that many repeats take no more memory.
        block = a.read_box(box)
        length = own.stop - own.start
        for start in range(low, high, length):
            stop = min(start + length, high)
            to: Any = slice(start, stop) if order is None else order[start:stop]
            place[(*box[:axis], to, *box[axis + 1 :])] = block[(*before, rising[start:stop] - own.start)]

    run(blocks.boxes(), one, [a], blocks)
    return place
