"""The loop of functions that need whole lanes: blocks as long as the axis, NumPy's own function on each, results put in place.

A block spans the lane axes and as many chunks of the others as the memory allows. Where one row of chunks as long as the lane
is more than a thread's share, blocks follow one another and each has all of `options(working_memory)`, down to a single lane;
the chunks are then read more than once. A single lane longer than `options(max_load)` is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, NDArray, Shape
from ndzarr.errors import MemoryLimitError
from ndzarr.functions.places import answer, place_for
from ndzarr.streaming import Cut, cut, dtype_of, is_operand, run, shape_of, share_nbytes


def lanes(
    function: Callable[..., Any], inputs: Sequence[Any], axes: Sequence[int], *, name: str, out: Any = None,
    lead: int | None = 0, drop: bool = False, nbytes: int | None = None, shape: Shape | None = None, serial: bool = False,
) -> Any:  # fmt: skip
    """`function` of the inputs, which have the same rank and broadcast but for `axes`, applied block by block.

    function: gives for a block an array of the same rank, with any length along `axes` (the same for all blocks), behind `lead`
    more axes, None for as many as come. drop: `axes` have length 1 in what it gives, and none in the result. nbytes: of one
    element of the first input in all arrays that exist at once. shape: what is cut, of the first input by default. serial:
    blocks in C order, on one thread.
    """
    shape = shape_of(inputs[0]) if shape is None else shape
    itemsize = sum(np.dtype(dtype_of(x)).itemsize for x in inputs)
    blocks, alone = _cut(inputs, shape, axes, 4 * itemsize if nbytes is None else nbytes, name)
    boxes = blocks.boxes()
    # The first block shows what comes out of one: dtype, and lengths along the axes.
    box = next(boxes)
    found = np.asarray(function(*[_read(x, box, axes) for x in inputs]))
    ahead = found.ndim - len(shape) if lead is None else lead

    def place_of(box: Box, found: NDArray) -> Box:
        own = [slice(0, n, 1) for n in found.shape[:ahead]]
        for axis, s in enumerate(box):
            if axis not in axes:
                own.append(s)
            elif not drop:
                own.append(slice(0, found.shape[ahead + axis], 1))
        return tuple(own)

    def put(box: Box, found: NDArray) -> None:
        spot = place_of(box, found)
        found = found.reshape([s.stop - s.start for s in spot])
        if is_operand(place):
            place.write_box(spot, found)
        else:
            np.copyto(place[(*spot, ...)], found, "unsafe")

    wanted = tuple(s.stop for s in place_of(tuple(slice(0, n, 1) for n in shape), found))
    place = place_for(out, wanted, found.dtype, name, inputs, in_step=not drop)
    put(box, found)
    del found

    def one(box: Box) -> None:
        put(box, np.asarray(function(*[_read(x, box, axes) for x in inputs])))

    if serial or alone:
        for box in boxes:
            one(box)
    else:
        run(boxes, one, inputs, blocks, total=blocks.nblocks - 1)
    return answer(place, out)


def _read(x: Any, box: Box, axes: Sequence[int]) -> NDArray:
    """What lies in a box of `x`, whole along `axes`, whose lengths may be its own."""
    own = tuple(
        [
            slice(0, n, 1) if axis in axes or n == 1 else s
            for axis, (n, s) in enumerate(zip(shape_of(x), box, strict=True))
        ]
    )  # fmt: skip
    return np.asarray(x.read_box(own)) if is_operand(x) else np.asarray(x)[own]


def fit_share(inputs: Sequence[Any], axes: Sequence[int], nbytes: int) -> bool:
    """Whether `lanes` reads each chunk once, since lanes across one row of chunks fit into a thread's share."""
    blocks = cut(inputs, shape_of(inputs[0]), whole=axes, nbytes=nbytes)
    return math.prod(_longest(blocks)) * nbytes <= share_nbytes()


def _longest(blocks: Cut) -> list[int]:
    """The longest block along each axis."""
    return [int(np.diff([0, *stops]).max()) if len(stops) else 1 for stops in blocks.stops]


def _cut(inputs: Sequence[Any], shape: Shape, axes: Sequence[int], nbytes: int, name: str) -> tuple[Cut, bool]:
    """The blocks, and whether they need all of the working memory each."""
    lane = math.prod(shape[axis] for axis in axes)
    taken = lane * np.dtype(dtype_of(inputs[0])).itemsize
    limit = config.current().max_load
    if taken > limit:
        raise MemoryLimitError(
            f"{name} needs whole lanes along axis {', '.join(map(str, axes))}: one takes {taken} bytes, options(max_load=) "
            f"allows {limit}; take a slice, or allow more",
            found=taken,
            expected=limit,
        )
    blocks = cut(inputs, shape, whole=axes, nbytes=nbytes)
    lengths = _longest(blocks)
    if math.prod(lengths) * nbytes <= share_nbytes():
        return blocks, False
    # Chunks across the lanes are too many for a thread: fewer, and on one thread.
    room = config.current().working_memory * 5 // 8 // nbytes
    while math.prod(lengths) > room:
        axis = max((k for k in range(len(shape)) if k not in axes), key=lambda k: lengths[k], default=None)
        if axis is None or lengths[axis] == 1:
            break
        lengths[axis] = -(-lengths[axis] // 2)
    finer = []
    for stops, length in zip(blocks.stops, lengths, strict=True):
        own: list[int] = []
        start = 0
        for stop in stops:
            own += [*range(start + length, stop, length), stop]
            start = stop
        finer.append(own)
    return Cut(tuple(finer)), True
