"""Where a result goes: to a new array, to what was given as `out=`, or beside it where writing would change what is still read.

NumPy gives for an output that shares elements with an input what it would give for one that does not. Blocks that are read and
written in turn would not: so such results are made in memory, and put in their place when all is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.errors import ArgumentError
from ndzarr.memory import result
from ndzarr.streaming import cut, is_operand, run


def place_for(out: Any, shape: Shape, dtype: Any, name: str, inputs: Sequence[Any] = (), *, in_step: bool = False) -> Any:
    """`out` where it is given, has the right shape and is apart from the inputs, else a new array for `answer` to store.

    in_step: each element is written when only the elements of the inputs at its own index were read for it.
    """
    if out is None:
        return result(shape, dtype, name)
    if isinstance(out, tuple):
        (out,) = out
    if tuple(out.shape) != tuple(shape):
        raise ArgumentError(
            f"out of {name} has shape {tuple(out.shape)}, expected {tuple(shape)}", field="out", found=out.shape
        )
    meets = displaced if in_step else shared
    return result(shape, dtype, name) if repeats(out) or any(meets(x, out) for x in inputs) else out


def answer(place: Any, out: Any) -> Any:
    """What a function returns: `out` itself where it was given, a scalar for a result without axes, else the array."""
    if out is None:
        return place[()] if place.shape == () else place
    target = out[0] if isinstance(out, tuple) else out
    if place is not target:
        store(place, target)
    return target


def store(array: NDArray, place: Any) -> None:
    """Write a whole array where it belongs: to an operand an object at a time. Casts as `astype` does."""
    if not is_operand(place):
        place[...] = array
        return
    if repeats(place):
        # In one go: of elements that lie at one place the last has to stay.
        place.write_box(tuple([slice(0, n, 1) for n in place.shape]), array)
        return
    blocks = cut([place], tuple(place.shape), objects=True)
    run(blocks.boxes(), lambda box: place.write_box(box, array[box]), [place], blocks)


def shared(x: Any, out: Any) -> bool:
    """Whether writing to `out` may change `x`."""
    if is_operand(x) != is_operand(out):
        return False
    if not is_operand(x):
        return isinstance(x, np.ndarray) and bool(np.may_share_memory(x, out))
    if x is out or x.overlaps(out):
        return True
    return hasattr(x, "placed") and hasattr(out, "placed") and bool(x.placed()[0] == out.placed()[0])


def displaced(x: Any, out: Any) -> bool:
    """Whether `x` may hold elements of `out` at another index than `out` has them."""
    if x is out or not shared(x, out):
        return False
    if is_operand(x):
        return bool(x.overlaps(out))
    return not (
        x.__array_interface__["data"] == out.__array_interface__["data"] and (x.shape, x.strides) == (out.shape, out.strides)
    )


def repeats(out: Any) -> bool:
    """Whether elements of `out` at several indices lie at one place."""
    return is_operand(out) and bool(out.overlaps(out))
