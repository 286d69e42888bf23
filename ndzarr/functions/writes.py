"""Functions that change their first argument: what they write goes to the stored array, chunk by chunk.

Where the first argument is a NumPy array and another one is stored, that other one is loaded.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib import recfunctions as rfn

from ndzarr._typing import Box
from ndzarr.functions.blockwise import elementwise
from ndzarr.functions.dispatch import load_small, loaded_into
from ndzarr.functions.places import displaced, repeats
from ndzarr.functions.table import implements
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of


@implements(np.copyto, kind="write")
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """`numpy.copyto`."""
    # NumPy says on arrays without elements what it would raise; then every block is its own.
    source: Any = src if is_operand(src) or isinstance(src, np.ndarray) else np.asarray(src)
    kind = np.dtype(dtype_of(source)) if is_operand(src) or isinstance(src, np.ndarray) else src
    if not np.can_cast(
        np.empty(0, kind).dtype if isinstance(kind, np.dtype) else np.asarray(src).dtype, dtype_of(dst), casting
    ):
        np.copyto(np.empty(1, dtype_of(dst)), np.empty(1, dtype_of(source)) if isinstance(kind, np.dtype) else src, casting)
    shape = shape_of(dst)
    np.broadcast_to(np.broadcast_to(np.zeros(()), shape_of(source)), shape)  # refused where it does not fit

    if where is not True and np.broadcast_shapes(shape, shape_of(where)) != shape:
        raise ValueError(f"could not broadcast where mask from shape {shape_of(where)} into shape {shape}")

    def copied(old: Any, new: Any, *mask: Any) -> Any:
        np.copyto(old, new, casting, mask[0] if mask else True)
        return old

    if not is_operand(dst):
        source = source.copy() if displaced(source, dst) else source
        where = where if where is True or is_operand(where) else np.asarray(where, bool)
        for box in cut([source], shape).boxes():
            np.copyto(dst[box], read(source, box), casting, True if where is True else read(where, box))
        return
    masks = [] if where is True else [where if is_operand(where) else np.asarray(where, bool)]
    if not masks and not repeats(dst) and not displaced(source, dst):

        def block(box: Box) -> None:
            fresh = np.empty([s.stop - s.start for s in box], dtype_of(dst))
            np.copyto(fresh, read(source, box), casting)
            dst.write_box(box, fresh)

        blocks = cut([dst, source], shape, objects=True)
        run(blocks.boxes(), block, [source, dst], blocks)
        return
    copied.__name__ = "copyto"
    elementwise(copied, (dst, source, *masks), out=dst)


@implements(np.putmask, kind="write")
def putmask(a: Any, /, mask: Any, values: Any) -> None:
    """`numpy.putmask`: element `k` of `a` in C order gets `values[k % len(values)]`, so the values are loaded."""
    if not is_operand(a):
        loaded_into(np.putmask, a, (mask, values), {})
        return
    np.putmask(np.zeros(1, dtype_of(a)), np.zeros(1, bool), np.zeros(1, dtype_of(values)))
    values = np.ravel(load_small(values))
    shape = shape_of(a)
    if math.prod(shape_of(mask)) != math.prod(shape):
        raise ValueError("putmask: mask and data must be the same size")
    if shape_of(mask) != shape:
        mask = np.reshape(mask, shape)
    if not values.size:
        return
    values = values.astype(dtype_of(a))

    def block(box: Box) -> None:
        chosen = np.asarray(read(mask, box)).astype(bool)
        if chosen.any():
            found = a.read_box(box)
            found[chosen] = values[positions(box, shape)[chosen] % values.size]
            a.write_box(box, found)

    blocks = cut([a, mask], shape, objects=True, nbytes=24)
    run(blocks.boxes(), block, [a], blocks)


def positions(box: Box, shape: tuple[int, ...]) -> Any:
    """The index in C order of each element of a box."""
    flat: Any = np.zeros((1,) * len(shape), np.intp)
    for axis, (s, n) in enumerate(zip(box, shape, strict=True)):
        line = np.arange(s.start, s.stop).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        flat = flat * n + line
    return flat


@implements(np.place, kind="write")
def place(arr: Any, mask: Any, vals: Any) -> None:
    """`numpy.place`: the values go in turn to where the mask is true, in C order."""
    if not is_operand(arr):
        loaded_into(np.place, arr, (mask, vals), {})
        return
    np.place(np.zeros(1, dtype_of(arr)), [False], np.zeros(1, dtype_of(vals)) if is_operand(vals) else vals)
    values = np.ravel(load_small(vals)).astype(dtype_of(arr))
    shape = shape_of(arr)
    if math.prod(shape_of(mask)) != math.prod(shape):
        raise ValueError("place: mask and data must be the same size")
    mask = mask if is_operand(mask) else np.asarray(mask, bool)
    if shape_of(mask) != shape:
        mask = np.reshape(mask, shape)
    if not values.size:
        if np.any(mask):
            raise ValueError("Cannot insert from an empty array!")
        return
    done = 0
    for box in cut([arr, mask], shape, whole=range(1, len(shape))).boxes():
        chosen = np.asarray(read(mask, box)).astype(bool)
        count = int(np.count_nonzero(chosen))
        if count:
            found = arr.read_box(box)
            found[chosen] = values[np.arange(done, done + count) % values.size]
            arr.write_box(box, found)
            done += count


@implements(np.put, kind="write")
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """`numpy.put`: by index in C order; the last of repeated indices stays."""
    if not is_operand(a):
        loaded_into(np.put, a, (ind, v), {"mode": mode})
        return
    shape = shape_of(a)
    size = math.prod(shape)
    spots = np.ravel(load_small(ind)).astype(np.intp)
    values = np.ravel(load_small(v)).astype(dtype_of(a))
    if spots.size and not size:
        raise IndexError("cannot replace elements of an empty array")
    if not spots.size or not values.size:
        return
    if mode == "raise":
        bad = spots[(spots < -size) | (spots >= size)]
        if bad.size:
            raise IndexError(f"index {int(bad[0])} is out of bounds for axis 0 with size {size}")
        spots = np.where(spots < 0, spots + size, spots)
    else:
        spots = np.clip(spots, 0, size - 1) if mode == "clip" else spots % size
    values = np.resize(values, spots.shape)
    if shape:
        a.lazy.vindex[np.unravel_index(spots, shape)] = values
    else:
        a.write_box((), values[-1:].reshape(()))


@implements(np.put_along_axis, kind="write")
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """`numpy.put_along_axis`; the indices and values are loaded."""
    if not is_operand(arr):
        loaded_into(np.put_along_axis, arr, (indices, values, axis), {})
        return
    shape = shape_of(arr)
    spots = load_small(indices)
    if axis is None:
        np.put_along_axis(np.zeros(max(1, math.prod(shape)), np.int8), spots, 0, None) if math.prod(shape) < 1 << 20 else None
        where: Any = np.unravel_index(np.where(spots < 0, spots + math.prod(shape), spots), shape)
    else:
        ndim = len(shape)
        axis = int(np.lib.array_utils.normalize_axis_index(axis, ndim))
        if spots.ndim != ndim:
            raise ValueError("`indices` and `arr` must have the same number of dimensions")
        if spots.dtype.kind not in "iu":
            raise IndexError("`indices` must be an integer array")
        where = tuple(
            spots if k == axis else np.arange(n).reshape([-1 if j == k else 1 for j in range(ndim)])
            for k, n in enumerate(shape)
        )
    arr.lazy.vindex[where] = load_small(values)


@implements(np.fill_diagonal, kind="write")
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """`numpy.fill_diagonal`."""
    if not is_operand(a):
        loaded_into(np.fill_diagonal, a, (val, wrap), {})
        return
    shape = shape_of(a)
    if len(shape) < 2:
        raise ValueError("array must be at least 2-d")
    if len(shape) > 2 and len(set(shape)) != 1:
        raise ValueError("All dimensions of input must be of equal length")
    if len(shape) == 2:
        step = shape[1] + 1
        end = math.prod(shape) if wrap else min(shape[1] * shape[1], math.prod(shape))
        spots: Any = np.arange(0, end, step)
        where = np.unravel_index(spots, shape)
    else:
        spots = np.arange(shape[0])
        where = (spots,) * len(shape)
    values = np.zeros(np.size(val) if not is_operand(val) else math.prod(shape_of(val)), dtype_of(a))
    values.flat[:] = load_small(val) if is_operand(val) else val  # as NumPy assigns it
    if values.size:
        a.lazy.vindex[where] = np.resize(values, spots.shape)


def _records(function: Any, target: int) -> None:
    """A function of records that fills argument `target`, field by field: loaded, filled, written back."""

    @implements(function, kind="write", note="both arrays are loaded")
    def form(*args: Any, **kwargs: Any) -> Any:
        place = args[target]
        arrays = [np.array(load_small(x)) if is_operand(x) else x for x in args]
        found = function(*arrays, **kwargs)
        if is_operand(place):
            place.write_box(tuple(slice(0, n, 1) for n in shape_of(place)), arrays[target])
        return place if found is arrays[target] else found


_records(rfn.assign_fields_by_name, 0)
_records(rfn.recursive_fill_fields, 1)
