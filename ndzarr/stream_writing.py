"""`write_stream`: a new array from an iterator of blocks of rows, whose number nobody need know."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from operator import length_hint
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray, Shape
from ndzarr.creation import planned_array, put_node
from ndzarr.errors import ArgumentError
from ndzarr.grid import TARGET_NBYTES, auto_chunks
from ndzarr.keys import normalize_path
from ndzarr.progress import Progress
from ndzarr.rowstream import axis_argument, extend, rows_in
from ndzarr.sources import check_unread
from ndzarr.stores.registry import resolve
from ndzarr.zarray import ZArray

#: Lengths along the axis that grows are chosen as if there were so many bytes of rows: what comes is not known.
_SUPPOSED_NBYTES = 1 << 30


def write_stream(
    store: Any,
    blocks: Iterable[Any],
    *,
    axis: int = 0,
    path: str = "",
    dtype: Any = None,
    chunks: Any = "auto",
    max_mem: int | str = "256MiB",
    overwrite: bool = False,
    progress: Progress = None,
    **create: Any,
) -> ZArray:
    """Write blocks of rows as they come to a new array, which grows along `axis`; the ZArray.

    blocks: arrays equal in dtype and in all lengths but that of `axis`, or (box, array) as `ZArray.stream` gives them. The
    first one says what dtype and lengths are. store, path, chunks, create: as for `create_array`, but for the shape. Rows are
    gathered to whole stored objects within `max_mem`; see `ZArray.extend` for that, for what an exception leaves, and for
    what is raised besides. ArgumentError where there is no block at all, for one
    whose dtype does not fit into that of the first, unless `dtype` is given, and for blocks that are read from what `overwrite`
    would delete.

    >>> import ndzarr, numpy as np
    >>> z = ndzarr.write_stream(None, (np.full((n, 3), n) for n in (2, 1, 4)), chunks=(4, 3))
    >>> z.shape, z[:, 0].tolist()
    ((7, 3), [2, 2, 1, 4, 4, 4, 4])
    """
    source = iter(blocks)
    nothing = object()
    first = next(source, nothing)
    if first is nothing:
        raise ArgumentError("there is no block, so that shape and dtype are not known; see ndzarr.create_array", field="blocks")
    rows: NDArray = np.asarray(rows_in(first))
    if not rows.ndim:
        raise ArgumentError(f"expected a block with rows, found {first!r} without axes", field="blocks", found=first)
    axis = axis_argument(axis, rows.ndim)
    kind = rows.dtype if dtype is None else dtype
    supposed = _with(rows.shape, axis, max(rows.shape[axis], _SUPPOSED_NBYTES // max(1, _row_nbytes(rows, axis))))
    if isinstance(chunks, str) and chunks == "auto" and "access" not in create:
        chunks = _chunks(rows, axis)
    opened, where = resolve(store, "a"), normalize_path(path)
    planned = planned_array(opened, where, shape=supposed, dtype=kind, chunks=chunks, **create)
    if overwrite:
        check_unread(source, opened, where)
    meta = replace(planned._meta, shape=_with(rows.shape, axis, 0))
    put_node(opened, where, meta, overwrite=overwrite)
    made = ZArray(opened, where, meta, writable=True, allow_pickle=planned._allow_pickle)
    given = _Blocks(first, source, length_hint(blocks), rows.dtype if dtype is None else None)
    try:
        extend(made, given, axis, max_mem, progress)
    except BaseException:
        if isinstance(store, (str, os.PathLike)):
            opened.close()  # of an archive the rows so far are written, now that nobody has a handle on it
        raise
    return made


class _Blocks:
    """The first block and those after it; how many they are, where that is known.

    dtype: that of the first, where it is the array's: one that does not fit into it is refused, not cut off.
    """

    def __init__(self, first: Any, rest: Any, length: int, dtype: DType | None) -> None:
        self._all = chain((first,), rest)
        self._length = length
        self._dtype = dtype

    def __iter__(self) -> Iterator[NDArray]:
        for block in self._all:
            rows = np.asarray(rows_in(block))
            if self._dtype is not None and rows.size and not np.can_cast(rows.dtype, self._dtype, "safe"):
                raise ArgumentError(
                    f"cannot write a block of {rows.dtype} after a first one of {self._dtype}, which cannot hold all that may "
                    "be in it; pass dtype=",
                    field="blocks",
                    found=rows.dtype,
                    expected=self._dtype,
                )
            yield rows

    def __length_hint__(self) -> int:
        return self._length


def _row_nbytes(rows: NDArray, axis: int) -> int:
    return math.prod(rows.shape[:axis] + rows.shape[axis + 1 :]) * rows.dtype.itemsize


def _chunks(rows: NDArray, axis: int) -> Shape:
    """Whole rows, as many as make about 1 MiB; pieces of one row where that is larger."""
    nbytes = _row_nbytes(rows, axis)
    one = _with(rows.shape, axis, 1)
    if nbytes > TARGET_NBYTES:
        return auto_chunks(one, rows.dtype.itemsize)
    return tuple(max(1, n) for n in _with(one, axis, TARGET_NBYTES // max(1, nbytes)))


def _with(shape: Shape, axis: int, length: int) -> Shape:
    return (*shape[:axis], length, *shape[axis + 1 :])
