"""What of an array is looked at before it is compressed: some blocks, spread over all of it, and what a chain makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.compression.bound import Bound
from ndzarr.compression.candidates import Candidate
from ndzarr.creation import planned_array
from ndzarr.errors import ArgumentError, NdzarrError
from ndzarr.stores.memory import MemoryStore

#: A block is at most this share of the sample, and there are at most so many.
_SHARE, _MOST = 4, 64


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a sample: encoded bytes, or None and why not."""

    candidate: Candidate
    nbytes: int | None
    why: str | None = None


def blocks_of(shape: Shape, chunks: Shape, itemsize: int, nbytes: int, read: Callable[[Box], NDArray]) -> list[NDArray]:
    """Blocks of one shape, each out of one chunk, of about `nbytes` bytes together, at least one.

    The same places each time. Blocks that are constant tell nothing, so that others are taken where there are any.
    """
    if 0 in shape:
        return []
    block = [min(c, n) for c, n in zip(chunks, shape, strict=True)]
    axis = 0
    while math.prod(block) * itemsize * _SHARE > max(nbytes, _SHARE * itemsize) and axis < len(block):
        if block[axis] == 1:
            axis += 1
        else:
            block[axis] = -(-block[axis] // 2)
    wanted = min(_MOST, max(1, nbytes // max(1, math.prod(block) * itemsize)))
    random = np.random.default_rng(0)
    found: list[NDArray] = []
    constant: list[NDArray] = []
    for start in _starts(shape, chunks, block, wanted * 3, random):
        piece = read(tuple([slice(a, a + n, 1) for a, n in zip(start, block, strict=True)]))
        (constant if _is_constant(piece) else found).append(piece)
        if len(found) == wanted:
            return found
        del constant[wanted:]
    return found or constant


def _starts(
    shape: Shape, chunks: Shape, block: Sequence[int], count: int, random: np.random.Generator
) -> list[tuple[int, ...]]:
    starts = []
    for _ in range(count):
        start = []
        for n, c, b in zip(shape, chunks, block, strict=True):
            first = int(random.integers(0, -(-n // c))) * c
            last = min(first + c, n) - b
            start.append(first if last < first else int(random.integers(first, last + 1)))
        starts.append(tuple([min(a, n - b) for a, n, b in zip(start, shape, block, strict=True)]))
    return list(dict.fromkeys(starts))


def _is_constant(block: NDArray) -> bool:
    data = np.ascontiguousarray(block).tobytes()
    return data == data[: block.dtype.itemsize] * block.size


def tried(candidate: Candidate, blocks: Sequence[NDArray], bound: Bound, create: Mapping[str, Any]) -> Trial:
    """How small a candidate makes the blocks; a coding one is decoded as well, and held to the bound."""
    block = blocks[0]
    asked = {**create, "shape": block.shape, "chunks": block.shape or "auto", "shards": None, "access": None}
    try:
        array = planned_array(MemoryStore(), "", filters=candidate.filters, compressor=candidate.compressor, **asked)
        cell = array._engine.layout.cell((0,) * block.ndim)
        nbytes = 0
        for values in blocks:
            given = values if candidate.rounding is None else candidate.rounding(values)
            with np.errstate(all="ignore"):  # what overflows shows below
                data = cell.pipeline.encode(given)
                back = cell.pipeline.decode(data) if candidate.coding else given
            nbytes += len(data)
            if candidate.coding and not bound.kept(values, back).all():
                return Trial(candidate, None, "breaks the bound")
    except NdzarrError as error:  # a codec that cannot take the dtype, the shape, a value or the fill value
        return Trial(candidate, None, str(error))
    return Trial(candidate, nbytes)


def has_casts(create: Mapping[str, Any]) -> bool:
    """Whether the format that is asked for has `cast_value`."""
    cast = {"name": "cast_value", "configuration": {"data_type": "int16"}}
    try:
        planned_array(MemoryStore(), "", shape=(1,), dtype="f4", filters=[cast], zarr_format=create["zarr_format"])
    except ArgumentError:
        return False
    return True
