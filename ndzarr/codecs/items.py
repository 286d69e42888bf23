"""Items: what json2 and msgpack2 store, a nested list of the chunk's elements with its dtype and shape at the end."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ndzarr._typing import NDArray
from ndzarr.codecs.base import ChunkSpec
from ndzarr.errors import ArgumentError, CorruptChunkError

#: Kinds of dtype that the codecs take: what comes back from JSON and MessagePack as it went in.
_KINDS = "biufUOT"


def check_dtype(codec: str, spec: ChunkSpec) -> None:
    """Raise ArgumentError when the codec cannot give elements of this dtype back."""
    if spec.dtype.kind not in _KINDS:
        raise ArgumentError(
            f"codec {codec!r} cannot store dtype {spec.dtype}; pass dtype=object, or a codec for that dtype",
            codec=codec,
            field="dtype",
            found=str(spec.dtype),
        )


def unpack_items(items: Any, spec: ChunkSpec) -> NDArray:
    """The array like `spec` that a decoded document holds; CorruptChunkError for anything else.

    The dtype in the document is not used: it is whatever the writer's array happened to have, and a large one would
    make NumPy allocate as much. Nor is its shape beyond its size, since zarr-python 2 wrote Fortran-ordered chunks with
    theirs.
    """
    if not isinstance(items, list) or len(items) < 2 or not isinstance(items[-2], str | bytes):
        raise CorruptChunkError("no list that ends in a dtype and a shape", found=type(items).__name__, expected="list")
    shape = items[-1]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or prod(shape) != spec.size:
        raise CorruptChunkError(f"the shape is {str(shape)[:80]}, expected {spec.size} items", found=shape)
    level: list[Any] = items[:-2]
    for depth, length in enumerate(shape or [1]):
        # At each depth every list must be as long as the shape says.
        rows = [level] if depth == 0 else level
        if not all(isinstance(row, list) and len(row) == length for row in rows):
            raise CorruptChunkError(f"the items do not have the shape {shape}", found=shape)
        level = [item for row in rows for item in row]
    if spec.dtype == object:
        # One by one, for NumPy would take items that are lists for further axes.
        return np.fromiter(level, object, len(level)).reshape(spec.shape)
    array = np.array(level, spec.dtype)
    if array.ndim != 1:
        raise CorruptChunkError(f"holds lists, expected items of dtype {spec.dtype}", found=array.shape)
    return array.reshape(spec.shape)
