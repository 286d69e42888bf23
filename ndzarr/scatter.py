"""Move elements between one decoded chunk and one buffer, as a Part says. Pure: no store, no codec, no lock.

NumPy's own rules for mixed indices would move axes about, so arrays are applied one at a time (`Take`s are independent) or to
axes brought to the front (`Gather`s belong together), and everything else by basic indexing, which only makes views.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.codecs.base import ChunkSpec
from ndzarr.plan import AxisIndex, Part

#: Bytes of a raw chunk: where they begin, how many they are, and the shape and strides in them of what is wanted.
Stretch: TypeAlias = tuple[int, int, Shape, Shape]


def take(part: Part, chunk: NDArray, out: NDArray) -> None:
    """Copy the part's elements of `chunk` to their place in `out`, the work array (trailing axes beyond it come along)."""
    if part.simple:
        out[part.target] = chunk[part.source]
    elif part.gather_axis is not None:
        view, arrays = _gather_view(part, chunk)
        place, rest = _front(out, part)
        place[rest] = view[arrays]
    else:
        view, axes = _views(part.source, chunk)
        for axis, indices in axes:
            view = view.take(indices, axis=axis)
        out[_mesh(part.target, out)] = view


def put(part: Part, chunk: NDArray, value: NDArray) -> None:
    """Copy the part's elements of `value`, shaped like the work array, to their place in `chunk`; repeats: the last stays."""
    if part.simple:
        chunk[part.source] = value[part.target]
    elif part.gather_axis is not None:
        view, arrays = _gather_view(part, chunk)
        source, rest = _front(value, part)
        view[arrays] = source[rest]
    else:
        view, axes = _views(part.source, chunk)
        index: list[AxisIndex] = [slice(None)] * view.ndim
        for axis, indices in axes:
            index[axis] = indices
        view[_mesh(tuple(index), view)] = value[_mesh(part.target, value)]


def lift(part: Part, value: NDArray) -> NDArray:
    """The part's place in `value`, a work array, as a work array of its own (see `plan.within`); a view where it can be one."""
    if part.simple and not part.target:
        return value  # `value[()]` of a 0-d array would be a scalar
    if part.gather_axis is not None:
        place, rest = _front(value, part)
        return np.moveaxis(place[rest], 0, part.gather_axis)
    found: NDArray = value[part.target if part.simple else _mesh(part.target, value)]
    return found


def lower(part: Part, piece: NDArray, out: NDArray) -> None:
    """Put what `lift` would give back to its place in `out`."""
    if part.gather_axis is not None:
        place, rest = _front(out, part)
        place[rest] = np.moveaxis(piece, part.gather_axis, 0)
    else:
        out[_mesh(part.target, out)] = piece


def stretch(part: Part, chunk: ChunkSpec) -> Stretch | None:
    """The bytes of a raw chunk between the first and the last element that a simple part takes of it.

    None where that is most of the chunk, so that the whole chunk may as well be read.
    """
    first = last = 0
    shape: list[int] = []
    strides: list[int] = []
    stride = chunk.dtype.itemsize
    for entry, extent in zip(reversed(part.source), reversed(chunk.shape), strict=True):
        if type(entry) is slice:
            count = -(-(entry.stop - entry.start) // entry.step)
            first += entry.start * stride
            last += (entry.start + (count - 1) * entry.step) * stride
            shape.append(count)
            strides.append(entry.step * stride)
        else:
            first += entry * stride  # type: ignore[assignment]  # a simple part has ints and slices only
            last += entry * stride  # type: ignore[assignment]  # likewise
        stride *= extent
    nbytes = last + chunk.dtype.itemsize - first
    return None if nbytes * 2 > chunk.nbytes else (first, nbytes, tuple(shape[::-1]), tuple(strides[::-1]))


def fill(part: Part, out: NDArray, value: Any) -> None:
    """Set the part's place in `out` to one value."""
    if part.simple:
        # Into 0-d arrays by `...`: NumPy's `out[()] = value` would make a 0-d array of objects an element of itself.
        out[part.target or ...] = value
    elif part.gather_axis is not None:
        place, rest = _front(out, part)
        place[rest] = value
    else:
        out[_mesh(part.target, out)] = value


def _views(source: tuple[AxisIndex, ...], chunk: NDArray) -> tuple[NDArray, list[tuple[int, NDArray]]]:
    """`chunk` with the ints and slices applied, and the index arrays with the axis of that view that each is for."""
    basic: list[int | slice] = []
    arrays = []
    axis = 0
    for entry in source:
        if isinstance(entry, np.ndarray):
            basic.append(slice(None))
            arrays.append((axis, entry))
            axis += 1
        else:
            basic.append(entry)
            axis += type(entry) is slice
    return chunk[tuple(basic)], arrays


def _gather_view(part: Part, chunk: NDArray) -> tuple[NDArray, tuple[NDArray, ...]]:
    """A view of `chunk` with the gathered axes first, and the index arrays for them."""
    view, axes = _views(part.source, chunk)
    front = [axis for axis, _ in axes]
    return np.moveaxis(view, front, range(len(front))), tuple([indices for _, indices in axes])


def _front(array: NDArray, part: Part) -> tuple[NDArray, tuple[AxisIndex, ...]]:
    """A view of a work array with the gather axis first, and the part's target in that order."""
    place = part.gather_axis or 0
    target = part.target
    return np.moveaxis(array, place, 0), (target[place], *target[:place], *target[place + 1 :])


def _mesh(index: tuple[AxisIndex, ...], array: NDArray) -> tuple[Any, ...]:
    """An index in which several arrays pick independently: NumPy's `ix_`, with slices kept while one array alone can do."""
    arrays = sum(isinstance(entry, np.ndarray) for entry in index)
    if arrays < 2:
        return index
    ranges = [
        entry if isinstance(entry, np.ndarray) else np.arange(length)[entry]
        for entry, length in zip(index, array.shape, strict=False)
    ]
    return np.ix_(*ranges)
