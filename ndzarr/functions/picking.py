"""Elements picked by position or by condition: take, compress, nonzero, tril, diag and their kin.

Every block of an array is read once, whatever the order in which its elements are asked for, and blocks of which nothing is
asked are not read. Results in C order of a condition take two passes: one counts, one fills a result that is made once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray
from ndzarr.functions.blockwise import elementwise
from ndzarr.functions.cumulative import rows
from ndzarr.functions.dispatch import load_small
from ndzarr.functions.folds import count_nonzero
from ndzarr.functions.gather import fill, picked
from ndzarr.functions.places import store
from ndzarr.functions.stand_ins import arrays
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of

_NOTE = "with statistics, chunks of zeros are not read"


def _normal(index: NDArray, n: int, axis: int, mode: str) -> NDArray:
    """Indices as `numpy.take` understands them, counted from the front."""
    if index.dtype.kind not in "iub" or (index.dtype.kind == "b" and index.size):
        np.take(np.zeros(1), index)  # refused, or understood in NumPy's way
    index = index.astype(np.intp)
    if mode == "wrap":
        return np.asarray(index % n) if n else index
    if mode == "clip":
        return np.clip(index, 0, n - 1)
    bad = index[(index < -n) | (index >= n)]
    if bad.size:
        raise IndexError(f"index {int(bad.reshape(-1)[0])} is out of bounds for axis {axis} with size {n}")
    return np.where(index < 0, index + n, index)


@implements(np.take, kind="stream", note="the indices are loaded; each chunk is read once, whatever their order")
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    """`numpy.take`."""
    spots = np.asarray(load_small(indices))
    if not is_operand(a):
        if out is not None and is_operand(out):
            raise UnstreamedError
        return np.take(a, spots, axis, out, mode)
    if mode not in ("raise", "wrap", "clip") or spots.dtype.kind not in "iu" or not a.shape:
        raise UnstreamedError
    if out is not None:
        np.take(np.zeros(1, a.dtype), [0], out=np.zeros(1, dtype_of(out)), mode=mode)
    ndim = len(a.shape)
    if axis is None and ndim > 1:
        size = math.prod(a.shape)
        flat = _normal(spots, size, 0, mode)
        if flat.size and not size:
            raise IndexError("cannot do a non-empty take from an empty axes.")
        found = np.asarray(a.lazy.vindex[np.unravel_index(flat, a.shape)])
    else:
        axis = int(np.lib.array_utils.normalize_axis_index(0 if axis is None else operator.index(axis), ndim))
        if spots.size and not a.shape[axis]:
            raise IndexError("cannot do a non-empty take from an empty axes.")
        index = _normal(spots, a.shape[axis], axis, mode).reshape(-1)
        found = picked(a, axis, index, "numpy.take").reshape((*a.shape[:axis], *spots.shape, *a.shape[axis + 1 :]))
    if out is None:
        return found[()]
    if tuple(out.shape) != found.shape:
        raise ValueError("output array does not match result of ndarray.take")
    if is_operand(out):
        store(found, out)
    else:
        out[...] = found
    return out


@implements(np.compress, kind="stream")
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """`numpy.compress`."""
    if len(shape_of(condition)) != 1:
        raise ValueError("condition must be a 1-d array")
    return take(a, flatnonzero(condition) if is_operand(condition) else np.flatnonzero(condition), axis, out)


@implements(np.extract, kind="stream")
def extract(condition: Any, arr: Any) -> Any:
    """`numpy.extract`."""
    condition, arr = arrays(condition, arr)
    if shape_of(condition) != shape_of(arr) or not shape_of(arr):
        raise UnstreamedError
    place = result((_count(condition),), arr.dtype, "numpy.extract")
    done = 0
    nbytes = 4 * (arr.dtype.itemsize + condition.dtype.itemsize + 1)
    for box in rows(arr if is_operand(arr) else condition, nbytes):
        chosen = np.asarray(read(condition, box)) != 0
        n = int(np.count_nonzero(chosen))
        if n:
            place[done : done + n] = read(arr, box)[chosen]
            done += n
    return place


# ---- positions --------------------------------------------------------------------------------


def _count(a: Any) -> int:
    return int(count_nonzero(a) if is_operand(a) and math.prod(a.shape) else 0 if is_operand(a) else np.count_nonzero(a))


def _found(a: Any) -> Iterator[tuple[Box, NDArray]]:
    """Where there is something other than zero: boxes in C order, each with its own coordinates."""
    for box in rows(a):
        spots = np.argwhere(a.read_box(box))
        if len(spots):
            spots += [s.start for s in box]
            yield box, spots


def _by_statistics(a: Any) -> NDArray | None:
    """The numbers of the elements other than zero, where statistics help to find them."""
    known = getattr(type(a), "_known_nonzero", None)
    found: NDArray | None = None if known is None else known(a)
    return found


def _coordinates(a: Any, name: str) -> NDArray:
    numbers = _by_statistics(a)
    if numbers is not None:
        return np.stack(np.unravel_index(numbers, a.shape), axis=-1)
    place = result((_count(a), len(a.shape)), np.dtype(np.intp), name)
    done = 0
    for _, spots in _found(a):
        place[done : done + len(spots)] = spots
        done += len(spots)
    return place


@implements(np.nonzero, kind="stream", note=_NOTE)
def nonzero(a: Any) -> Any:
    """`numpy.nonzero`."""
    if not is_operand(a):
        return np.nonzero(a)
    if not shape_of(a):
        return np.nonzero(np.zeros((), a.dtype))
    places = _coordinates(a, "numpy.nonzero")
    return tuple([places[:, k] for k in range(len(a.shape))])


@implements(np.argwhere, kind="stream", note=_NOTE)
def argwhere(a: Any) -> Any:
    """`numpy.argwhere`."""
    if not shape_of(a):
        raise UnstreamedError
    return _coordinates(a, "numpy.argwhere")


@implements(np.flatnonzero, kind="stream", note=_NOTE)
def flatnonzero(a: Any) -> Any:
    """`numpy.flatnonzero`."""
    numbers = _by_statistics(a)
    if numbers is not None:
        return numbers
    place = result((_count(a),), np.dtype(np.intp), "numpy.flatnonzero")
    done = start = 0
    for box in rows(a):
        block = a.read_box(box)
        spots = np.flatnonzero(block)
        place[done : done + spots.size] = spots + start
        done += spots.size
        start += block.size
    return place


@implements(np.tril_indices_from, kind="metadata")
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """`numpy.tril_indices_from`."""
    return _triangle(np.tril_indices_from, arr, k)


@implements(np.triu_indices_from, kind="metadata")
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """`numpy.triu_indices_from`."""
    return _triangle(np.triu_indices_from, arr, k)


def _triangle(function: Callable[..., Any], arr: Any, k: int) -> Any:
    return function(np.broadcast_to(np.zeros((), bool), shape_of(arr)), k)


@implements(np.ravel_multi_index, kind="stream")
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: Any = "C") -> Any:
    """`numpy.ravel_multi_index`."""
    lines = multi_index
    if is_operand(multi_index):
        lines = [multi_index.lazy[k] for k in range(multi_index.shape[0])]

    def ravelled(*blocks: Any) -> Any:
        return np.asarray(np.ravel_multi_index(blocks, dims, mode, order))

    ravelled.__name__ = "ravel_multi_index"
    if not np.broadcast_shapes(*map(shape_of, lines)):
        raise UnstreamedError
    return elementwise(ravelled, tuple(lines))


@implements(np.unravel_index, kind="stream")
def unravel_index(indices: Any, shape: Any, order: Any = "C") -> Any:
    """`numpy.unravel_index`."""
    if not is_operand(indices) or not indices.shape:
        raise UnstreamedError
    np.unravel_index(np.zeros(0, indices.dtype), shape, order)
    lengths = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    places = [result(indices.shape, np.dtype(np.intp), "numpy.unravel_index") for _ in lengths]
    blocks = cut([indices], tuple(indices.shape), nbytes=indices.dtype.itemsize + 8 * len(places) + 8)

    def one(box: Box) -> None:
        for place, found in zip(places, np.unravel_index(indices.read_box(box), lengths, order), strict=True):
            place[box] = found

    run(blocks.boxes(), one, [indices], blocks)
    return tuple(places)


# ---- triangles and diagonals --------------------------------------------------------------------------------


def _half(function: Any, lower: bool) -> None:
    @implements(function, kind="stream", note="blocks beyond the diagonal are not read")
    def form(m: Any, k: int = 0) -> Any:
        if not is_operand(m) or len(m.shape) < 2:
            raise UnstreamedError
        k = operator.index(k)
        place = result(tuple(m.shape), m.dtype, f"numpy.{function.__name__}")
        blocks = cut([m], tuple(m.shape))

        def one(box: Box) -> None:
            (top, bottom), (left, right) = ((s.start, s.stop) for s in box[-2:])
            # Of the block's elements the one that lies deepest in the half that stays.
            if not (left - (bottom - 1) <= k if lower else (right - 1) - top >= k):
                place[box] = np.zeros((), m.dtype)
                return
            place[box] = function(m.read_box(box), k + top - left)

        run(blocks.boxes(), one, [m], blocks)
        return place


_half(np.tril, True)
_half(np.triu, False)


def _on_diagonal(v: Any, k: int, name: str) -> NDArray:
    size = math.prod(v.shape)
    n = size + abs(k)
    place = result((n, n), v.dtype, name)
    place[...] = np.zeros((), v.dtype)
    first = k if k >= 0 else -k * n
    fill(place.reshape(-1)[first :: n + 1][:size].reshape(v.shape), v)
    return place


@implements(np.diag, kind="stream", note="of a matrix: a view of its diagonal")
def diag(v: Any, k: int = 0) -> Any:
    """`numpy.diag`."""
    if len(shape_of(v)) not in (1, 2):
        return np.diag(np.zeros((1,) * len(shape_of(v))), k)  # refused
    return _on_diagonal(v, operator.index(k), "numpy.diag") if len(v.shape) == 1 else np.diagonal(v, k)


@implements(np.diagflat, kind="stream")
def diagflat(v: Any, k: int = 0) -> Any:
    """`numpy.diagflat`."""
    if not shape_of(v):
        raise UnstreamedError
    return _on_diagonal(v, operator.index(k), "numpy.diagflat")


# ---- differences --------------------------------------------------------------------------------


@implements(np.ediff1d, kind="stream")
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """`numpy.ediff1d`."""
    if not is_operand(ary):
        raise UnstreamedError
    ends = [None if x is None else np.ravel(load_small(x)) for x in (to_begin, to_end)]
    kind = np.ediff1d(np.zeros(2, ary.dtype), ends[1], ends[0]).dtype
    first, last = (0 if x is None else x.size for x in ends)
    size = max(0, math.prod(ary.shape) - 1)
    place = result((first + size + last,), kind, "numpy.ediff1d")
    if first:
        place[:first] = ends[0]
    if last:
        place[first + size :] = ends[1]
    done = first
    carry = np.empty(0, ary.dtype)
    for box in rows(ary):
        line = np.concatenate([carry, ary.read_box(box).reshape(-1)])
        found = np.ediff1d(line)
        place[done : done + found.size] = found
        done += found.size
        carry = line[-1:]
    return place
