"""The other kinds of indexing: outer (`.oindex`), point-wise (`.vindex`) and by whole chunks (`.blocks`), as Selections."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndzarr._typing import Shape
from ndzarr.errors import SelectionError
from ndzarr.grid import Grid
from ndzarr.selection import (
    ONLY_VALID,
    Gather,
    IndexArray,
    IntpArray,
    Pick,
    Point,
    Rest,
    Selection,
    Span,
    Take,
    broadcast_shape,
    checked,
    mask_mismatch,
    parse_entries,
    point_of,
    span_of,
)


def _padded(index: Any, ndim: int, name: str) -> list[Any]:
    """One entry an axis: the Ellipsis and missing trailing entries filled with full slices."""
    items = list(index) if type(index) is tuple else [index]
    holes = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(holes) > 1:
        raise SelectionError("an index can only have a single ellipsis ('...')")
    covered = sum(np.ndim(i) if _is_mask(i) else 1 for i in items if i is not Ellipsis)
    if covered > ndim:
        raise SelectionError(f"too many indices for .{name}: array is {ndim}-dimensional, but {covered} were indexed")
    fill = [slice(None)] * (ndim - covered)
    if holes:
        items[holes[0] : holes[0] + 1] = fill
    else:
        items += fill
    if any(item is None for item in items):
        raise SelectionError(f".{name} takes no None; add the axis to the result")
    return items


def _is_mask(item: Any) -> bool:
    if isinstance(item, (int, slice, np.integer)) or item is None or item is Ellipsis:
        return False
    return bool(np.asarray(item).dtype == np.bool_)


def _axis_pick(item: Any, length: int, axis: int) -> Pick | IntpArray:
    """Point, Span, or an index array of any rank, for one axis by itself."""
    if isinstance(item, slice):
        return span_of(item, length)
    if isinstance(item, (bool, np.bool_)):
        raise SelectionError(ONLY_VALID.format(found=item, type=type(item).__name__))
    found = parse_entries((item,), (length,))
    if len(found) != 1 or found[0] is None or type(found[0]) is Rest:
        raise SelectionError(ONLY_VALID.format(found=item, type=type(item).__name__))
    if type(found[0]) is IndexArray:
        return checked(found[0].values, length, axis)
    return point_of(found[0], length, axis)


def select_outer(index: Any, shape: Shape) -> Selection:
    """The selection of `.oindex[index]`: each axis by itself. Ints drop their axis; index arrays and masks are 1-d."""
    items = _padded(index, len(shape), "oindex")
    picks: list[Pick] = []
    work: list[int] = []
    for axis, item in enumerate(items):
        pick = _axis_pick(item, shape[axis], axis)
        if isinstance(pick, np.ndarray):
            if pick.ndim != 1:
                raise SelectionError(f".oindex takes 1-d index arrays, found one of shape {pick.shape} for axis {axis}")
            pick = Take(pick)
        picks.append(pick)
        if type(pick) is Span:
            work.append(pick.count)
        elif type(pick) is Take:
            work.append(pick.indices.size)
    return Selection(tuple(picks), tuple(work), tuple(work), scalar=bool(picks) and all(type(p) is Point for p in picks))


def select_points(index: Any, shape: Shape) -> Selection:
    """The selection of `.vindex[index]`: ints, index arrays and masks broadcast together, sliced axes last.

    A mask of rank n stands for n axes, as in NumPy. This is xarray's vectorised indexing.
    """
    items = _padded(index, len(shape), "vindex")
    entries: list[Any] = []
    for item in items:
        if _is_mask(item) and np.ndim(item):
            mask = np.asarray(item)
            for k, length in enumerate(mask.shape):
                if length != shape[len(entries) + k]:
                    raise mask_mismatch(len(entries) + k, shape[len(entries) + k], length)
            entries.extend(mask.nonzero())
            continue
        axis = len(entries)
        pick = _axis_pick(item, shape[axis], axis)
        entries.append(np.asarray(pick.index, np.intp) if type(pick) is Point else pick)
    arrays = [e for e in entries if isinstance(e, np.ndarray)]
    broadcast = broadcast_shape(arrays) if arrays else ()
    spans = tuple(e.count for e in entries if type(e) is Span)
    if not arrays:
        return Selection(tuple(entries), spans, spans)
    picks: list[Pick] = [Gather(np.broadcast_to(e, broadcast).reshape(-1)) if isinstance(e, np.ndarray) else e for e in entries]
    count = next(p.indices.size for p in picks if type(p) is Gather)
    return Selection(tuple(picks), broadcast + spans, (count, *spans), 0)


def select_blocks(index: Any, grid: Grid) -> Selection:
    """The selection of `.blocks[index]`: ints and slices (step 1) that count chunks instead of elements.

    An int selects one chunk's extent and keeps its axis, as zarr-python does.
    """
    items = _padded(index, len(grid.axes), "blocks")
    picks: list[Pick] = []
    for axis, item in enumerate(items):
        along = grid.axes[axis]
        pick = _axis_pick(item, along.count, axis)
        if type(pick) is Point:
            first, count = pick.index, 1
        elif type(pick) is Span and pick.step == 1:
            first, count = pick.start, pick.count
        else:
            raise SelectionError(f".blocks takes ints and slices with step 1, found {item!r} for axis {axis}")
        start = along.start(first) if count else 0
        stop = along.start(first + count - 1) + along.valid(first + count - 1) if count else 0
        picks.append(Span(start, 1, stop - start))
    work = tuple(p.count for p in picks if type(p) is Span)
    return Selection(tuple(picks), work, work)
