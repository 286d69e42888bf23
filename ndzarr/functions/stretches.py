"""diff, gradient, trapezoid, unwrap, packbits, unpackbits, vander: what looks at neighbours along one axis.

Most need no whole lanes: each block is read with the few elements around it that its results depend on, so a lane may be as
long as it likes, and each result is NumPy's own, bit for bit.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.functions.cumulative import rows
from ndzarr.functions.dispatch import load_small
from ndzarr.functions.folds import settle, two_sum
from ndzarr.functions.lanes import fit_share, lanes
from ndzarr.functions.sorting import lane_axis
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of

_NOT_GIVEN: Any = np._NoValue
_gradient: Callable[..., Any] = np.gradient


@dataclass(frozen=True, slots=True)
class _Joined:
    """Arrays one behind the other along an axis; the first operand among them says how they are cut."""

    parts: Sequence[Any]
    axis: int
    shape: Shape
    dtype: DType

    @classmethod
    def of(cls, parts: Sequence[Any], axis: int) -> _Joined:
        """NumPy's own error where they do not fit."""

        def hollow(x: Any) -> NDArray:
            return np.empty([0 if k == axis else n for k, n in enumerate(shape_of(x))], dtype_of(x))

        probe = np.concatenate([hollow(x) for x in parts], axis)
        length = sum(shape_of(x)[axis] for x in parts)
        return cls(parts, axis, tuple(length if k == axis else n for k, n in enumerate(probe.shape)), probe.dtype)

    def read(self, box: Box) -> NDArray:
        """What lies in a box."""
        found = []
        start = 0
        for part in self.parts:
            length = shape_of(part)[self.axis]
            low, high = (min(max(edge - start, 0), length) for edge in (box[self.axis].start, box[self.axis].stop))
            if low < high:
                own = tuple(slice(low, high, 1) if k == self.axis else s for k, s in enumerate(box))
                found.append(np.asarray(part.read_box(own) if is_operand(part) else part[own]))
            start += length
        return (found[0] if len(found) == 1 else np.concatenate(found, self.axis)).astype(self.dtype, copy=False)


def _along(box: Box, axis: int, start: int, stop: int) -> Box:
    return tuple([slice(start, stop, 1) if k == axis else s for k, s in enumerate(box)])


@implements(np.diff, kind="stream")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NOT_GIVEN, append: Any = _NOT_GIVEN) -> Any:
    """`numpy.diff`."""
    a = a if is_operand(a) else np.asarray(a)
    number = operator.index(n)
    shape = shape_of(a)
    np.diff(np.zeros((1,) * len(shape), dtype_of(a)), number, axis)
    if number == 0:
        raise UnstreamedError
    axis = lane_axis(a, axis)
    parts = [a]
    for more, at in ((prepend, 0), (append, 2)):
        if more is not _NOT_GIVEN:
            more = load_small(more)
            if more.ndim == 0:
                more = np.broadcast_to(more, [1 if k == axis else length for k, length in enumerate(shape)])
            parts.insert(at, more)
    joined = _Joined.of(parts, axis)
    length = joined.shape[axis]
    kind = np.diff(np.zeros(2, joined.dtype)).dtype
    place = result(tuple(max(0, length - number) if k == axis else m for k, m in enumerate(joined.shape)), kind, "numpy.diff")
    blocks = cut(parts, joined.shape, nbytes=3 * max(kind.itemsize, joined.dtype.itemsize))

    def one(box: Box) -> None:
        start, stop = box[axis].start, min(box[axis].stop, length - number)
        if start < stop:
            window = joined.read(_along(box, axis, start, stop + number))
            place[_along(box, axis, start, stop)] = np.diff(window, number, axis)

    run(blocks.boxes(), one, parts, blocks)
    return place


@implements(np.gradient, kind="stream", note="coordinates that are not evenly spaced: whole lanes")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Any:
    """`numpy.gradient`, one axis after the other."""
    if not is_operand(f):
        raise UnstreamedError
    ndim = len(shape_of(f))
    axes = tuple(range(ndim)) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    steps = [load_small(v) if is_operand(v) else v for v in varargs]
    if len(steps) == 0:
        steps = [1.0] * len(axes)
    elif len(steps) == 1 and np.ndim(steps[0]) == 0:
        steps = steps * len(axes)
    elif len(steps) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order > 2 or np.dtype(dtype_of(f)).kind not in "biufcmM":
        raise UnstreamedError
    for k, step in zip(axes, steps, strict=True):
        if np.ndim(step) > 1 or (np.ndim(step) == 1 and len(step) != shape_of(f)[k]) or shape_of(f)[k] < edge_order + 1:
            raise UnstreamedError  # NumPy's own error
    found = tuple(_slope(f, step, k, edge_order) for k, step in zip(axes, steps, strict=True))
    return found[0] if len(found) == 1 else found


def _slope(f: Any, step: Any, axis: int, edge_order: int) -> NDArray:
    if np.ndim(step):
        step = np.asarray(step)
        step = step.astype(np.float64) if step.dtype.kind in "iu" else step  # as NumPy does, against overflow
        gaps = np.diff(step)
        if not (gaps == gaps[0]).all():
            found: NDArray = lanes(
                lambda block: np.asarray(_gradient(block, step, axis=axis, edge_order=edge_order)), [f], (axis,),
                name="numpy.gradient", nbytes=np.dtype(dtype_of(f)).itemsize + 40,
            )  # fmt: skip
            return found
        step = gaps[0]
    shape = shape_of(f)
    length = shape[axis]
    probe = _gradient(np.zeros(3, dtype_of(f)), step, edge_order=edge_order)
    place = result(shape, np.asarray(probe).dtype, "numpy.gradient")
    blocks = cut([f], shape, nbytes=np.dtype(dtype_of(f)).itemsize + 3 * place.dtype.itemsize)

    def one(box: Box) -> None:
        start, stop = box[axis].start, box[axis].stop
        # Two more on both sides: at an end of the axis a slope is made of the three points there.
        low, high = max(0, start - 2), min(length, stop + 2)
        slope = _gradient(read(f, _along(box, axis, low, high)), step, axis=axis, edge_order=edge_order)
        place[box] = slope[_along(tuple(slice(None) for _ in box), axis, start - low, stop - low)]

    run(blocks.boxes(), one, [f], blocks)
    return place


@implements(getattr(np, "trapezoid", None), kind="lanes", note="a lane longer than the working memory: summed block by block")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """`numpy.trapezoid`."""
    if not is_operand(y) or (x is not None and is_operand(dx)):
        raise UnstreamedError
    shape, axis = shape_of(y), lane_axis(y, axis)
    x = x if x is None or is_operand(x) else np.asarray(x)
    if x is not None and shape_of(x) not in ((shape[axis],), shape):
        raise UnstreamedError
    if np.ndim(dx) or np.dtype(dtype_of(y)).kind not in "biufc":
        raise UnstreamedError
    aside = x is not None and len(shape_of(x)) == 1 < len(shape)
    if aside:
        x = load_small(x)
    line = [-1 if k == axis else 1 for k in range(len(shape))]
    inputs = [y] if x is None else [y, x.reshape(line) if aside else x]
    nbytes = sum(np.dtype(dtype_of(v)).itemsize for v in inputs) + 32
    if fit_share(inputs[:1], (axis,), nbytes):

        def block(part: NDArray, *place: NDArray) -> NDArray:
            where = place[0].reshape(-1) if place and aside else place[0] if place else None
            return np.expand_dims(np.trapezoid(part, where, dx, axis), axis)

        return lanes(block, inputs, (axis,), drop=True, name="numpy.trapezoid", nbytes=nbytes)
    kind = np.asarray(np.trapezoid(np.zeros(2, dtype_of(y)), None if x is None else np.zeros(2, dtype_of(x)), dx)).dtype
    if kind.kind not in "fc":
        raise UnstreamedError
    short = tuple(1 if k == axis else n for k, n in enumerate(shape))
    sums, lost = (result(short, kind, "numpy.trapezoid") for _ in range(2))
    sums[...] = lost[...] = 0
    for box in cut(inputs, shape, nbytes=nbytes).boxes():  # in turn: later ones are added to earlier ones
        window = _along(box, axis, box[axis].start, min(box[axis].stop + 1, shape[axis]))
        arrays = [np.asarray(read(v, window)) for v in inputs]
        where = None if x is None else arrays[1].reshape(-1) if aside else arrays[1]
        area = np.expand_dims(np.trapezoid(arrays[0], where, dx, axis), axis)
        spot = _along(box, axis, 0, 1)
        sums[spot], error = two_sum(sums[spot], area.astype(kind, copy=False))
        lost[spot] += error
    found = settle(sums, lost).astype(kind, copy=False).reshape([n for k, n in enumerate(shape) if k != axis])
    return found[()]


@implements(np.unwrap, kind="lanes")
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """`numpy.unwrap`."""
    axis = lane_axis(p, axis)
    nbytes = np.dtype(dtype_of(p)).itemsize + 48
    return lanes(lambda block: np.unwrap(block, discont, axis, period=period), [p], (axis,), name="numpy.unwrap", nbytes=nbytes)


# ---- bits --------------------------------------------------------------------------------


@implements(np.packbits, kind="stream", note="along one of several axes: whole lanes")
def packbits(a: Any, /, axis: Any = None, bitorder: Any = "big") -> Any:
    """`numpy.packbits`."""
    np.packbits(np.zeros((1,) * len(shape_of(a)), dtype_of(a)), axis, bitorder)
    if axis is not None and len(shape_of(a)) > 1:
        axis = lane_axis(a, axis)
        return lanes(lambda block: np.packbits(block, axis, bitorder), [a], (axis,), name="numpy.packbits")
    place = result((-(-math.prod(shape_of(a)) // 8),), np.dtype(np.uint8), "numpy.packbits")
    done = 0
    left = np.empty(0, bool)
    for box in rows(a):
        bits = np.concatenate([left, np.asarray(read(a, box)).reshape(-1).astype(bool)])
        full = bits.size // 8
        place[done : done + full] = np.packbits(bits[: 8 * full], bitorder=bitorder)
        left = bits[8 * full :]
        done += full
    place[done:] = np.packbits(left, bitorder=bitorder)
    return place


@implements(np.unpackbits, kind="stream", note="along one of several axes: whole lanes")
def unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: Any = "big") -> Any:
    """`numpy.unpackbits`."""
    np.unpackbits(np.zeros((1,) * len(shape_of(a)), dtype_of(a)), axis, None, bitorder)
    if axis is not None and len(shape_of(a)) > 1:
        axis = lane_axis(a, axis)
        return lanes(
            lambda block: np.unpackbits(block, axis, count, bitorder), [a], (axis,), name="numpy.unpackbits", nbytes=18
        )
    size = 8 * math.prod(shape_of(a))
    length = size if count is None else operator.index(count)
    if length < 0:
        length = size + length
    if length < 0:
        raise UnstreamedError  # NumPy's own error
    place = result((length,), np.dtype(np.uint8), "numpy.unpackbits")
    done = 0
    for box in rows(a, nbytes=18):
        if done >= length:
            break
        bits = np.unpackbits(np.asarray(read(a, box)).reshape(-1), bitorder=bitorder)
        place[done : done + bits.size] = bits[: length - done]
        done += bits.size
    place[min(done, length) :] = 0
    return place


@implements(np.vander, kind="stream")
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:  # noqa: N803  # NumPy's name
    """`numpy.vander`."""
    probe = np.vander(np.zeros((1,) * len(shape_of(x)), dtype_of(x)), N, increasing)
    (length,) = shape_of(x)
    columns = length if N is None else operator.index(N)
    place = result((length, columns), probe.dtype, "numpy.vander")
    blocks = cut([x], (length,), nbytes=place.dtype.itemsize * (columns + 2))

    def one(box: Box) -> None:
        place[box] = np.vander(np.asarray(read(x, box)), columns, increasing)

    run(blocks.boxes(), one, [x], blocks)
    return place
