"""Steps from a view to a view, drawn at random: what each does to a NumPy array, and the same to anything like a LazyView."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.testing.expressions import Choices, index

#: A step that would make a view of more elements is not drawn, or tests would take long.
_MOST = 600


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how it reads in code, what it does to an array, what to a view.

    broadcasts: elements share their place, so that the view cannot be written. index: of `outer` and `points`, what was drawn.
    """

    told: str
    numpy: Callable[[NDArray], NDArray]
    view: Callable[[Any], Any]
    broadcasts: bool = False
    index: Any = None


def step(choices: Choices, shape: Shape) -> Step:
    """A step from a view of this shape, all of NumPy's indices and every method of `LazyView` among them."""
    makers = [_index] * 6 + [
        outer,
        outer,
        points,
        points,
        _permuted,
        _expanded,
        _squeezed,
        _broadcast,
        _diagonal,
        _reshaped,
    ]
    for _ in range(20):
        made = choices.pick(makers)(choices, shape)
        if made is None:
            continue
        try:
            probe = made.numpy(np.broadcast_to(np.int8(0), shape))
        except IndexError:  # masks beside index arrays fit by chance only
            continue
        if probe.size < 5 <= math.prod(shape) and choices.chance(85):
            continue  # views of little or nothing would be too many
        if probe.size <= _MOST and probe.ndim <= 8:
            return made
    return Step("[...]", lambda a: a[...], lambda v: v[...])


def _index(choices: Choices, shape: Shape) -> Step:
    drawn = index(choices, shape)
    # An index of ints alone is an array without axes here, not a scalar.
    return Step(f"[{drawn!r}]", lambda a: np.asarray(a[drawn]), lambda v: v[drawn])


def _entry(choices: Choices, n: int) -> Any:
    kind = choices.integer(0, 5)
    if kind == 0 and n:
        return choices.integer(-n, n - 1)
    if kind in (1, 2):
        return np.array(
            [choices.integer(-n, n - 1) for _ in range(choices.integer(0, 2) + choices.integer(1, 3))] if n else [], np.intp
        )
    if kind == 3:
        return np.array([choices.chance(50) for _ in range(n)], bool)
    return _slice(choices, n)


def _slice(choices: Choices, n: int) -> slice:
    start, stop = choices.integer(0, n // 2), choices.integer(n // 2, n)
    step = choices.pick((1, 1, 2, 3))
    if choices.chance(40):
        return slice(stop - 1 if stop else None, start - 1 if start else None, -step)
    return slice(start, stop, step) if choices.chance(70) else slice(None)


def outer(choices: Choices, shape: Shape) -> Step:
    """An outer index."""
    entries = tuple(_entry(choices, n) for n in shape)

    def numpy(a: NDArray) -> NDArray:
        for axis in reversed(range(len(entries))):  # from the last, since ints drop their axis
            a = np.asarray(a[(slice(None),) * axis + (entries[axis],)])
        return a

    return Step(f".oindex[{entries!r}]", numpy, lambda v: v.oindex[entries], index=entries)


def points(choices: Choices, shape: Shape) -> Step:
    """A point-wise index."""
    broadcast = tuple(choices.integer(1, 4) for _ in range(choices.integer(0, 2)))

    def array(n: int) -> Any:
        lengths = tuple(1 if choices.chance(25) else m for m in broadcast)
        return np.array([choices.integer(-n, n - 1) for _ in range(int(np.prod(lengths)))], np.intp).reshape(lengths)

    entries = tuple(array(n) if n and choices.chance(60) else _slice(choices, n) for n in shape)

    def numpy(a: NDArray) -> NDArray:
        arrays = [axis for axis, entry in enumerate(entries) if not isinstance(entry, slice)]
        sliced = a[tuple(entry if isinstance(entry, slice) else slice(None) for entry in entries)]
        first = np.moveaxis(sliced, arrays, range(len(arrays)))
        return np.asarray(first[tuple(entries[axis] for axis in arrays)])

    return Step(f".vindex[{entries!r}]", numpy, lambda v: v.vindex[entries], index=entries)


def _permuted(choices: Choices, shape: Shape) -> Step:
    left = list(range(len(shape)))
    order = [left.pop(choices.integer(0, len(left) - 1)) for _ in shape]
    return Step(f".permuted({order})", lambda a: a.transpose(order), lambda v: v.permuted(order))


def _expanded(choices: Choices, shape: Shape) -> Step | None:
    if len(shape) > 5:
        return None
    axes = tuple({choices.integer(0, len(shape) + 1) for _ in range(2)})
    axes = axes if len(axes) == 2 else (min(axes[0], len(shape)),)
    return Step(f".expanded({axes})", lambda a: np.expand_dims(a, axes), lambda v: v.expanded(axes))


def _squeezed(choices: Choices, shape: Shape) -> Step | None:
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1 and choices.chance(70))
    return Step(f".squeezed({axes})", lambda a: np.squeeze(a, axes), lambda v: v.squeezed(axes)) if axes else None


def _broadcast(choices: Choices, shape: Shape) -> Step:
    lead = tuple(choices.integer(1, 3) for _ in range(choices.integer(0, 1)))
    to = lead + tuple(choices.integer(0, 3) if n == 1 else n for n in shape)
    return Step(f".broadcast({to})", lambda a: np.broadcast_to(a, to), lambda v: v.broadcast(to), broadcasts=True)


def _diagonal(choices: Choices, shape: Shape) -> Step | None:
    if len(shape) < 2:
        return None
    first = choices.integer(0, len(shape) - 1)
    second = (first + choices.integer(1, len(shape) - 1)) % len(shape)
    where = (choices.integer(-2, 2), first, second)
    return Step(f".diagonal{where}", lambda a: a.diagonal(*where), lambda v: v.diagonal(*where))


def _reshaped(choices: Choices, shape: Shape) -> Step:
    """A split of one axis and axes of length 1 more and fewer: what is always lazy."""
    to: list[int] = []
    for n in shape:
        factor = choices.pick([k for k in range(1, n + 1) if n % k == 0] or [1])
        to += ([factor, n // factor] if choices.chance(40) else [n]) if n != 1 or choices.chance(50) else []
        to += [1] if choices.chance(15) else []
    lengths = tuple(to)
    return Step(f".reshaped({lengths})", lambda a: a.reshape(lengths), lambda v: v.reshaped(lengths))
