"""Small arrays on which NumPy itself shows what it would give or raise for large ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray
from ndzarr.functions.table import UnstreamedError
from ndzarr.operand import Operand
from ndzarr.streaming import dtype_of, is_operand, shape_of


class UnreadError(Exception):
    """Raised by `Unread` in place of doing anything; reaches nobody but who made that."""


class Unread:
    """An operand of which nothing can be read or written: what needs that of it gets UnreadError."""

    def __init__(self, operand: Operand) -> None:
        self.shape, self.dtype = operand.shape, operand.dtype
        self.borders, self.object_borders = operand.borders, operand.object_borders
        self.chunk_ns, self.overlaps = operand.chunk_ns, operand.overlaps

    def read_box(self, box: Box) -> NDArray:
        raise UnreadError

    def write_box(self, box: Box, value: NDArray) -> None:
        raise UnreadError

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else UnreadError


def arrays(*things: Any) -> list[Any]:
    """Operands and arrays as they are, anything else as an array; masked arrays and matrices are NumPy's own business."""
    found: list[Any] = []
    for x in things:
        if not is_operand(x) and not isinstance(x, np.ndarray):
            x = np.asarray(x)
        if isinstance(x, (np.ma.MaskedArray, np.matrix)):
            raise UnstreamedError
        found.append(x)
    return found


def numeric(*things: Any) -> None:
    """UnstreamedError unless all are booleans or numbers."""
    if any(np.dtype(dtype_of(x)).kind not in "biufc" for x in things):
        raise UnstreamedError


def hollow(thing: Any) -> NDArray:
    """An array of the same shape and dtype that takes no memory: every element is the same one, a zero."""
    # Writable, unlike what broadcast_to gives: it may stand for an output, which NumPy looks at before it writes.
    shape = shape_of(thing)
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype_of(thing)), shape, (0,) * len(shape))


def miniature(call: Callable[..., Any], *things: Any) -> Any:
    """What `call` gives for arrays of zeros shaped like `things`, with other lengths: for its dtype and exceptions.

    Lengths that are equal stay equal, and 0 and 1 what they are; so whatever fits together still does. Where `call` raises it
    is called again with arrays of the true lengths, which take no memory, so that the message tells those.
    """
    lengths = sorted({n for x in things for n in shape_of(x)} | {0, 1})
    short = {n: n if n < 2 else k for k, n in enumerate(lengths)}
    small = [np.zeros([short[n] for n in shape_of(x)], dtype_of(x)) for x in things]
    try:
        with np.errstate(all="ignore"):
            return call(*small)
    except (ValueError, TypeError, IndexError) as error:
        call(*[hollow(x) for x in things])
        raise UnstreamedError from error
