"""What an array becomes when it grows or shrinks: its metadata, the chunks between two grids, the rows that are added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from ndzarr._typing import Coords, DType, NDArray, Shape
from ndzarr.engine import Engine
from ndzarr.grid import Edges
from ndzarr.metadata import ArrayMeta


def reshaped(engine: Engine, shape: Shape) -> ArrayMeta:
    """The metadata for another shape. A rectilinear axis that grows past its last chunk gets more of them.

    None is longer than the longest it has; the last is as long as what is left. A shrunken axis keeps its chunk lengths, so
    that it can grow again.
    """
    meta = engine.meta
    chunks = []
    for n, chunk, inner in zip(shape, meta.chunks, engine.layout.grid.axes, strict=True):
        if isinstance(chunk, Edges) and n > chunk.total:
            # A shard holds whole chunks.
            unit = 1 if engine.layout.grid is engine.layout.objects else inner.size(0)
            longest = max(length for length, _ in chunk.runs)
            count, rest = divmod(n - chunk.total, longest)
            runs = [(longest, count), (-(-rest // unit) * unit, 1)]
            chunk = Edges((*chunk.runs, *((length, times) for length, times in runs if length and times)))
        chunks.append(chunk)
    return replace(meta, shape=shape, chunks=tuple(chunks))


def shell(inside: Coords, outside: Coords) -> Iterator[Coords]:
    """The coords of a grid of shape `outside` that are not in the grid of shape `inside` at its origin, each once."""
    for axis in range(len(outside)):
        ranges = [range(n) for n in inside[:axis]]
        ranges.append(range(inside[axis], outside[axis]))
        ranges += [range(n) for n in outside[axis + 1 :]]
        yield from product(*ranges)


def rows_of(data: Any, dtype: DType, ndim: int) -> NDArray:
    """Rows to append, given as nested lists or another array-like; for objects `ndim` says where elements begin."""
    if dtype.kind != "O":
        return np.asarray(data, dtype if dtype.names else None)
    lengths: list[int] = []
    level = data
    while len(lengths) < ndim and hasattr(level, "__len__") and not isinstance(level, (str, bytes)):
        lengths.append(len(level))
        if not lengths[-1]:
            break
        level = level[0]
    rows = np.empty(lengths, object)
    rows[...] = data
    return rows
