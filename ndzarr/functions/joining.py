"""Arrays put together: concatenate, stack, block, insert, tile, pad and their kin, block by block into one result.

The result is as large as everything that goes into it: it is made once, within `options(max_result)`, and filled from the
operands, which are never whole in memory beside it. `concatenate(out=z)` fills a stored array, an object at a time.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.functions.blockwise import store
from ndzarr.functions.cumulative import rows
from ndzarr.functions.dispatch import load_small
from ndzarr.functions.fold import place_for
from ndzarr.functions.gather import fill, picked
from ndzarr.functions.linear import shared
from ndzarr.functions.stand_ins import arrays, miniature
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import check_result, result
from ndzarr.streaming import cut, dtype_of, is_operand, run, shape_of

# ---- along an axis --------------------------------------------------------------------------------


@implements(np.concatenate, kind="stream")
def concatenate(arrays_: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """`numpy.concatenate`."""
    parts = arrays(*arrays_)
    if out is not None and dtype is not None:
        np.concatenate([np.zeros(1)], out=np.zeros(1), dtype=float)  # refused
    probe = miniature(
        lambda *small: np.concatenate(small, axis, dtype=dtype if out is None else dtype_of(out), casting=casting), *parts
    )
    if axis is None:
        if out is not None and is_operand(out):
            raise UnstreamedError
        place = place_for(out, (sum(math.prod(shape_of(x)) for x in parts),), probe.dtype, "numpy.concatenate")
        start = 0
        for x in parts:
            n = math.prod(shape_of(x))
            fill(place[start : start + n].reshape(shape_of(x)), x)
            start += n
        return place if out is None else out
    axis = operator.index(axis) % probe.ndim
    joint = _Joint(parts, axis)
    place = place_for(out, joint.shape, probe.dtype, "numpy.concatenate")
    if is_operand(place) and not any(is_operand(x) and shared(x, place) for x in parts):
        blocks = cut([place], joint.shape, objects=True, nbytes=3 * probe.dtype.itemsize)
        run(blocks.boxes(), lambda box: place.write_box(box, joint.gather(box, probe.dtype)), parts, blocks)
        return out
    hidden = is_operand(place) or (out is not None and any(shared(x, place) for x in parts))
    target = result(joint.shape, probe.dtype, "numpy.concatenate") if hidden else place
    joint.pour(target)
    if is_operand(place):
        store(target, place)
    elif hidden:
        place[...] = target
    return place if out is None else out


@dataclass(frozen=True, slots=True)
class _Joint:
    """Arrays laid behind each other along one axis."""

    parts: Sequence[Any]
    axis: int

    @property
    def shape(self) -> Shape:
        first = shape_of(self.parts[0])
        return (*first[: self.axis], sum(shape_of(x)[self.axis] for x in self.parts), *first[self.axis + 1 :])

    def pour(self, place: NDArray) -> None:
        """Fill an array with them."""
        start = 0
        for x in self.parts:
            stop = start + shape_of(x)[self.axis]
            fill(place[(slice(None),) * self.axis + (slice(start, stop),)], x)
            start = stop

    def gather(self, box: Box, dtype: Any) -> NDArray:
        """What lies in a box of them."""
        found = np.empty([s.stop - s.start for s in box], dtype)
        own = box[self.axis]
        start = 0
        for x in self.parts:
            stop = start + shape_of(x)[self.axis]
            low, high = max(start, own.start), min(stop, own.stop)
            if low < high:
                inner = (*box[: self.axis], slice(low - start, high - start, 1), *box[self.axis + 1 :])
                place = (slice(None),) * self.axis + (slice(low - own.start, high - own.start),)
                found[place] = x.read_box(inner) if is_operand(x) else x[inner]
            start = stop
        return found


def _sequence(function: Any, things: Any, **kwargs: Any) -> list[Any]:
    """The arrays of a sequence, after NumPy has seen small ones like them."""
    if is_operand(things):  # its first axis is the sequence
        things = [things.lazy[k] for k in range(things.shape[0])] if things.shape else [things]
    parts = arrays(*things)
    miniature(lambda *small: function(small, **kwargs), *parts)
    return parts


@implements(np.stack, kind="stream")
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """`numpy.stack`."""
    parts = _sequence(np.stack, arrays, axis=axis, dtype=dtype, casting=casting)
    axis = operator.index(axis) % (len(shape_of(parts[0])) + 1)
    index = (slice(None),) * axis + (None,)
    return concatenate([_indexed(x, index) for x in parts], axis, out, dtype=dtype, casting=casting)


def _indexed(x: Any, index: Any) -> Any:
    return x.lazy[index] if is_operand(x) else x[index]


@implements(np.vstack, getattr(np, "row_stack", None) if "row_stack" in vars(np) else None, kind="stream")
def vstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """`numpy.vstack`."""
    parts = _sequence(np.vstack, tup, dtype=dtype, casting=casting)
    return concatenate([np.atleast_2d(x) for x in parts], 0, dtype=dtype, casting=casting)


@implements(np.hstack, kind="stream")
def hstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """`numpy.hstack`."""
    parts = [np.atleast_1d(x) for x in _sequence(np.hstack, tup, dtype=dtype, casting=casting)]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype, casting=casting)


@implements(np.dstack, kind="stream")
def dstack(tup: Any) -> Any:
    """`numpy.dstack`."""
    return concatenate([np.atleast_3d(x) for x in _sequence(np.dstack, tup)], 2)


@implements(np.column_stack, kind="stream")
def column_stack(tup: Any) -> Any:
    """`numpy.column_stack`."""
    parts = _sequence(np.column_stack, tup)
    columns = [_indexed(x, (..., None) if x.ndim == 1 else (None, None)) if x.ndim < 2 else x for x in parts]
    return concatenate(columns, 1)


@implements(np.append, kind="stream")
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """`numpy.append`."""
    return concatenate((arr, values), axis)


@implements(np.block, kind="stream")
def block(arrays: Any) -> Any:
    """`numpy.block`."""
    leaves: list[Any] = []
    tree = _numbered(arrays, leaves)
    probe = miniature(lambda *small: np.block(_replaced(tree, small)), *leaves)
    depth = _depth(tree)
    ndim = max([depth, *(len(shape_of(x)) for x in leaves)])
    leaves = [_indexed(x, (None,) * (ndim - len(shape_of(x))) + (...,)) for x in leaves]
    place = result(_extent(tree, leaves, ndim - depth), probe.dtype, "numpy.block")
    _laid(tree, leaves, ndim - depth, place)
    return place


def _numbered(thing: Any, leaves: list[Any]) -> Any:
    """Nested lists with the number of each leaf in its place; the leaves go to `leaves`, as arrays."""
    if isinstance(thing, list):
        return [_numbered(item, leaves) for item in thing]
    if isinstance(thing, tuple):
        np.block(thing)  # refused
    leaves.extend(arrays(thing))
    return len(leaves) - 1


def _replaced(tree: Any, leaves: Sequence[Any]) -> Any:
    return [_replaced(item, leaves) for item in tree] if isinstance(tree, list) else leaves[tree]


def _depth(tree: Any) -> int:
    return 1 + _depth(tree[0]) if isinstance(tree, list) else 0


def _extent(tree: Any, leaves: Sequence[Any], axis: int) -> Shape:
    """The shape of a part of a block; its items lie behind each other along `axis`."""
    if not isinstance(tree, list):
        return tuple(shape_of(leaves[tree]))
    shapes = [_extent(item, leaves, axis + 1) for item in tree]
    return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])


def _laid(tree: Any, leaves: Sequence[Any], axis: int, place: NDArray) -> None:
    if not isinstance(tree, list):
        fill(place, leaves[tree])
        return
    start = 0
    for item in tree:
        stop = start + _extent(item, leaves, axis + 1)[axis]
        _laid(item, leaves, axis + 1, place[(slice(None),) * axis + (slice(start, stop),)])
        start = stop


# ---- more and less of it --------------------------------------------------------------------------------


def _along(arr: Any, obj: Any, axis: Any) -> tuple[Any, int, int, Any]:
    """The array, the axis counted from the front and its length, and the places, of `insert` and `delete`."""
    (arr,) = arrays(arr)
    ndim = len(shape_of(arr))
    if not is_operand(arr) or (axis is None and ndim != 1):
        raise UnstreamedError
    axis = int(np.lib.array_utils.normalize_axis_index(0 if axis is None else axis, ndim))
    return arr, axis, shape_of(arr)[axis], load_small(obj) if is_operand(obj) else obj


@implements(np.insert, kind="stream", note="the values are loaded")
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """`numpy.insert`."""
    arr, axis, n, given = _along(arr, obj, axis)
    places = np.arange(*given.indices(n)) if isinstance(given, slice) else np.asarray(given)
    if places.dtype == bool or places.ndim > 1 or (places.size and places.dtype.kind not in "iu"):
        raise UnstreamedError
    places = places.astype(np.intp)
    new = np.array(load_small(values), copy=None, ndmin=len(arr.shape), dtype=arr.dtype)
    bad = places[(places < -n) | (places > n)] if places.ndim else places[None][[not -n <= places <= n]]
    if bad.size and places.size > 1:
        raise UnstreamedError  # NumPy looks at these only when it has moved them apart
    if bad.size:
        raise IndexError(f"index {int(bad[0])} is out of bounds for axis {axis} with size {n}")
    places = np.where(places < 0, places + n, places)
    if places.size == 1 and not isinstance(given, slice) and places.ndim == 0:
        new = np.moveaxis(new, 0, axis)
    if places.size == 1:
        count = new.shape[axis]
        spots: NDArray = int(places.reshape(-1)[0]) + np.arange(count)
    else:
        order = places.argsort(kind="stable")
        spots = places.copy()
        spots[order] += np.arange(places.size)
    before = (slice(None),) * axis
    place = result((*arr.shape[:axis], n + len(spots), *arr.shape[axis + 1 :]), arr.dtype, "numpy.insert")
    place[(*before, spots)] = new
    # What was there lies between the new elements.
    start = done = 0
    for stop in [*np.sort(spots).tolist(), place.shape[axis]]:
        if stop > start:
            fill(place[(*before, slice(start, stop))], arr.lazy[(*before, slice(done, done + stop - start))])
            done += stop - start
        start = stop + 1
    return place


@implements(np.delete, kind="stream")
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """`numpy.delete`."""
    arr, axis, n, given = _along(arr, obj, axis)
    if isinstance(given, slice) and given.indices(n)[2] in (1, -1):
        low, high = given.indices(n)[:2] if given.indices(n)[2] == 1 else [k + 1 for k in given.indices(n)[1::-1]]
        gone: Any = [low, max(low, high)]
    elif isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        if not -n <= given < n:
            raise IndexError(f"index {given} is out of bounds for axis {axis} with size {n}")
        gone = [given % n, given % n + 1]
    else:
        kept = np.delete(np.arange(n), given)  # NumPy's own rules, on the numbers of the elements
        return picked(arr, axis, kept, "numpy.delete")
    before = (slice(None),) * axis
    place = result((*arr.shape[:axis], n - gone[1] + gone[0], *arr.shape[axis + 1 :]), arr.dtype, "numpy.delete")
    fill(place[(*before, slice(0, gone[0]))], arr.lazy[(*before, slice(0, gone[0]))])
    fill(place[(*before, slice(gone[0], None))], arr.lazy[(*before, slice(gone[1], None))])
    return place


def _spread(source: Any, place: NDArray, index: Callable[[Box], Any], shape: Callable[[Box], Any]) -> None:
    """Put each block, in a shape that broadcasts, to where `index` says that copies of it go."""
    blocks = cut([source], tuple(source.shape), nbytes=2 * source.dtype.itemsize)

    def one(box: Box) -> None:
        place[index(box)] = source.read_box(box)[shape(box)]

    run(blocks.boxes(), one, [source], blocks)


@implements(np.tile, kind="stream")
def tile(A: Any, reps: Any) -> Any:  # noqa: N803  # NumPy's name
    """`numpy.tile`: each block is read once."""
    times = tuple(operator.index(n) for n in reps) if hasattr(reps, "__iter__") else (operator.index(reps),)
    if not shape_of(A) or any(n < 0 for n in times):
        raise UnstreamedError
    ndim = max(len(times), len(A.shape))
    times = (1,) * (ndim - len(times)) + times
    source = _indexed(A, (None,) * (ndim - len(A.shape)) + (...,))
    place = result(tuple(n * k for n, k in zip(source.shape, times, strict=True)), A.dtype, "numpy.tile")
    if place.size:
        split = place.reshape([m for pair in zip(times, source.shape, strict=True) for m in pair])
        _spread(
            source,
            split,
            lambda box: tuple([part for s in box for part in (slice(None), s)]),
            lambda box: (None, slice(None)) * ndim,
        )
    return place


@implements(np.repeat, kind="stream")
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """`numpy.repeat`: each block is read once."""
    if not is_operand(a) or not shape_of(a):
        raise UnstreamedError
    ndim = len(a.shape)
    counts = np.asarray(load_small(repeats) if is_operand(repeats) else repeats)
    if axis is not None:
        axis = int(np.lib.array_utils.normalize_axis_index(operator.index(axis), ndim))
    elif ndim == 1:
        axis = 0
    np.repeat(np.zeros(counts.size if counts.ndim else 1, bool)[:1], counts.reshape(-1)[:1])  # its type and its sign
    if counts.size == 1:
        times = int(counts.reshape(-1)[0])
        at = ndim - 1 if axis is None else axis
        shape = (*a.shape[: at + 1], times, *a.shape[at + 1 :])
        flat = (math.prod(shape),) if axis is None else (*a.shape[:at], a.shape[at] * times, *a.shape[at + 1 :])
        place = result(flat, a.dtype, "numpy.repeat")
        if place.size:
            _spread(
                a,
                place.reshape(shape),
                lambda box: (*box[: at + 1], slice(None), *box[at + 1 :]),
                lambda box: (slice(None),) * (at + 1) + (None,),
            )
        return place
    if axis is None:
        raise UnstreamedError
    return picked(a, axis, np.repeat(np.arange(a.shape[axis]), counts), "numpy.repeat")


@implements(np.roll, kind="stream")
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """`numpy.roll`."""
    if not is_operand(a):
        raise UnstreamedError
    shape = tuple(a.shape)
    if axis is None:
        if len(shape) == 1:
            axis = 0
        else:
            return _rolled_flat(a, shift)
    axes = np.lib.array_utils.normalize_axis_tuple(axis, len(shape), allow_duplicate=True)
    pairs = np.broadcast(shift, axes)
    if pairs.ndim > 1:
        raise ValueError("'shift' and 'axis' should be scalars or 1D sequences")
    shifts = [0] * len(shape)
    for by, k in pairs:
        shifts[int(k)] += int(by)
    place = result(shape, a.dtype, "numpy.roll")
    choices = []
    for n, by in zip(shape, shifts, strict=True):
        by = by % n if n else 0
        whole = [(slice(0, n - by), slice(by, n)), (slice(n - by, n), slice(0, by))]
        choices.append([pair for pair in whole if pair[0].start < pair[0].stop])
    for parts in product(*choices):
        fill(place[tuple([to for _, to in parts])], a.lazy[tuple([of for of, _ in parts])])
    return place


def _rolled_flat(a: Any, shift: Any) -> NDArray:
    size = math.prod(a.shape)
    place = result(tuple(a.shape), a.dtype, "numpy.roll")
    flat = place.reshape(-1)
    by = int(np.sum(shift)) % size if size else 0
    done = 0
    for box in rows(a):
        line = a.read_box(box).reshape(-1)
        split = max(0, min(line.size, size - by - done))
        flat[done + by : done + by + split] = line[:split]
        start = done + split + by - size
        flat[start : start + line.size - split] = line[split:]
        done += line.size
    return place


@implements(np.resize, kind="stream")
def resize(a: Any, new_shape: Any) -> Any:
    """`numpy.resize`: the elements in C order, over and over."""
    shape = (operator.index(new_shape),) if not hasattr(new_shape, "__iter__") else tuple(map(operator.index, new_shape))
    total, size = math.prod(shape), math.prod(shape_of(a))
    if not is_operand(a) or not shape_of(a) or any(n < 0 for n in shape) or not total or not size:
        raise UnstreamedError
    place = result(shape, a.dtype, "numpy.resize")
    flat = place.reshape(-1)
    done = 0
    for box in rows(a):
        if done >= total:
            break
        line = a.read_box(box).reshape(-1)
        for start in range(done, total, size):
            flat[start : start + line.size] = line[: max(0, total - start)]
        done += line.size
    return place


@implements(np.meshgrid, kind="stream", note="each line is loaded")
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: Any = "xy") -> Any:
    """`numpy.meshgrid`."""
    lines = [np.asarray(load_small(x)) for x in xi]
    if copy and not sparse:
        total = math.prod(x.size for x in lines) * sum(x.dtype.itemsize for x in lines)
        check_result(total, "the result of numpy.meshgrid", "pass sparse=True")
    return np.meshgrid(*lines, copy=copy, sparse=sparse, indexing=indexing)


# ---- edges --------------------------------------------------------------------------------


def _edge(spots: NDArray, n: int) -> NDArray:
    return np.clip(spots, 0, n - 1)


def _wrap(spots: NDArray, n: int) -> NDArray:
    return np.asarray(spots % n)


def _symmetric(spots: NDArray, n: int) -> NDArray:
    found = spots % (2 * n)
    return np.asarray(np.where(found < n, found, 2 * n - 1 - found))


def _reflect(spots: NDArray, n: int) -> NDArray:
    if n == 1:
        return np.zeros_like(spots)
    found = spots % (2 * n - 2)
    return np.asarray(np.where(found < n, found, 2 * n - 2 - found))


#: Modes in which what lies outside is an element inside: which one, along one axis.
_MIRRORS = {"edge": _edge, "wrap": _wrap, "symmetric": _symmetric, "reflect": _reflect}


@implements(np.pad, kind="stream", note="modes constant, edge, reflect, symmetric, wrap and empty; other modes are loaded")
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """`numpy.pad`."""
    ndim = len(shape_of(array))
    odd = kwargs.get("reflect_type", "even") != "even"
    if not is_operand(array) or not ndim or isinstance(pad_width, dict) or odd or 0 in array.shape:
        raise UnstreamedError
    if callable(mode) or mode not in (*_MIRRORS, "constant", "empty"):
        raise UnstreamedError
    np.pad(np.zeros((1,) * ndim, array.dtype), 0, mode, **kwargs)
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu" or (widths < 0).any():
        np.pad(np.zeros((1,) * ndim), pad_width, mode)
    widths = np.broadcast_to(widths, (ndim, 2)).tolist()
    place = result(tuple(n + sum(w) for n, w in zip(array.shape, widths, strict=True)), array.dtype, "numpy.pad")
    inside = tuple([slice(low, low + n) for (low, _), n in zip(widths, array.shape, strict=True)])
    fill(place[inside], array)
    values = np.broadcast_to(np.asarray(kwargs.get("constant_values", 0)), (ndim, 2))
    for axis, ((low, high), n) in enumerate(zip(widths, array.shape, strict=True)):
        # Along earlier axes what lies outside is there already, so the corners come by themselves.
        before = (*[slice(None)] * axis,)
        behind = inside[axis + 1 :]
        for side, spots in enumerate((np.arange(-low, 0), np.arange(n, n + high))):
            if mode == "constant":
                place[(*before, slice(0, low) if side == 0 else slice(low + n, None))] = values[axis, side]
            elif mode != "empty" and spots.size:
                found = _MIRRORS[mode](spots, n) + low
                place[(*before, spots + low, *behind)] = place[(*before, found, *behind)]
    return place
