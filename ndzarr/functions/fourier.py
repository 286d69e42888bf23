"""numpy.fft: transforms of whole lanes; those over several axes one axis after the other, the later ones in the result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray
from ndzarr.functions.blockwise import store
from ndzarr.functions.fold import normal_axes, place_for
from ndzarr.functions.lanes import fit_share, lanes
from ndzarr.functions.sorting import whole
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of


def _transform(function: Callable[..., Any], a: Any, n: Any, axis: Any, norm: Any, out: Any = None) -> Any:
    """A transform along one axis, of an operand or an array."""
    if not is_operand(a):
        return function(a, n, axis, norm, out)
    probe = function(np.ones((2,) * len(shape_of(a)), dtype_of(a)), n, axis, norm)  # NumPy's own errors
    axis = int(np.lib.array_utils.normalize_axis_index(axis, len(shape_of(a))))
    length = shape_of(a)[axis]
    name = f"numpy.fft.{function.__name__}"
    kind = probe.dtype
    itemsize = np.dtype(dtype_of(a)).itemsize
    longer = max(1.0, (n or length) / max(1, length), 2.0 if function is np.fft.hfft else 1.0)
    nbytes = itemsize + int(2 * kind.itemsize * longer)

    def block(array: NDArray) -> NDArray:
        return np.asarray(function(array, n, axis, norm))

    same = n in (None, length) and function in (np.fft.fft, np.fft.ifft) and np.dtype(dtype_of(a)) == kind
    if out is None and same and not fit_share([a], (axis,), nbytes):
        # Long lanes are read into the result, each chunk once, and transformed there. Real ones are not: their transform is
        # another one, which rounds otherwise.
        place = whole(a, name, kind)
        return lanes(block, [place], (axis,), name=name, nbytes=nbytes, out=place)
    return lanes(block, [a], (axis,), name=name, nbytes=nbytes, out=out)


def _single(function: Callable[..., Any]) -> None:
    @implements(function, kind="lanes")
    def form(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
        return _transform(function, a, n, axis, norm, out)


_function: Any
for _function in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft):
    _single(_function)


def _several(function: Callable[..., Any], steps: Callable[[int], list[tuple[Any, int]]], default: Any) -> None:
    """steps: for a number of axes which transform goes over which, in the order of NumPy's `_raw_fftnd`, `rfftn`, `irfftn`."""

    @implements(function, kind="lanes")
    def form(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        shape = shape_of(a)
        if not is_operand(a) or (s is not None and (axes is None or any(n is None for n in s))):
            raise UnstreamedError
        function(np.ones((2,) * len(shape), dtype_of(a)), s, axes, norm)  # NumPy's own errors
        order = list(range(len(shape))) if axes is None else [int(k) for k in axes]
        if len({k % len(shape) for k in order}) != len(order) or not order:
            raise UnstreamedError
        lengths: list[Any] = [None] * len(order) if s is None else [None if n == -1 else int(n) for n in s]
        if s is not None and lengths[-1] is None and function in (np.fft.irfftn, np.fft.irfft2):
            lengths[-1] = shape[order[-1]]
        found = a
        for transform, k in steps(len(order)):
            found = _transform(transform, found, lengths[k], order[k], norm, _reusable(transform, found, lengths[k], order[k]))
        if out is None or function is np.fft.irfft2:  # which pays no attention to out
            return found
        place = place_for(out, found.shape, found.dtype, f"numpy.fft.{function.__name__}")
        if is_operand(place):
            store(found, place)
        else:
            np.copyto(place, found, "same_kind")
        return out


def _reusable(transform: Any, found: Any, length: Any, axis: int) -> Any:
    """The array itself, when its transform may take its place."""
    if isinstance(found, np.ndarray) and transform in (np.fft.fft, np.fft.ifft) and length in (None, found.shape[axis]):
        return found
    return None


def _backwards(transform: Any) -> Callable[[int], list[tuple[Any, int]]]:
    return lambda number: [(transform, k) for k in reversed(range(number))]


def _real(number: int) -> list[tuple[Any, int]]:
    others = range(number - 1)
    # From the last axis to the first, but before NumPy 2.1; it makes a difference in the last digit.
    turned = others if np.lib.NumpyVersion(np.__version__) < "2.1.0" else reversed(others)
    return [(np.fft.rfft, number - 1), *((np.fft.fft, k) for k in turned)]


def _to_real(number: int) -> list[tuple[Any, int]]:
    return [*((np.fft.ifft, k) for k in range(number - 1)), (np.fft.irfft, number - 1)]


for _function, _steps, _default in (
    (np.fft.fftn, _backwards(np.fft.fft), None), (np.fft.ifftn, _backwards(np.fft.ifft), None),
    (np.fft.fft2, _backwards(np.fft.fft), (-2, -1)), (np.fft.ifft2, _backwards(np.fft.ifft), (-2, -1)),
    (np.fft.rfftn, _real, None), (np.fft.rfft2, _real, (-2, -1)),
    (np.fft.irfftn, _to_real, None), (np.fft.irfft2, _to_real, (-2, -1)),
):  # fmt: skip
    _several(_function, _steps, _default)


# ---- shifted --------------------------------------------------------------------------------


def _shifts(function: Callable[..., Any], sign: int) -> None:
    @implements(function, kind="stream")
    def form(x: Any, axes: Any = None) -> Any:
        shape = shape_of(x)
        if isinstance(axes, (tuple, list)) and len(set(axes)) != len(axes):
            raise UnstreamedError
        moved = normal_axes(axes, len(shape))
        # As `fftshift` and `ifftshift` roll: by half the length, rounded down, forwards or backwards.
        by = [sign * (n // 2) % max(1, n) if k in moved else 0 for k, n in enumerate(shape)]
        place = result(shape, np.dtype(dtype_of(x)), f"numpy.fft.{function.__name__}")
        blocks = cut([x], shape)

        def one(box: Box) -> None:
            block = read(x, box)
            for parts in product(*(_rolled(s, shift, n) for s, shift, n in zip(box, by, shape, strict=True))):
                place[tuple([to for _, to in parts])] = block[tuple([own for own, _ in parts])]

        run(blocks.boxes(), one, [x], blocks)
        return place


def _rolled(s: slice, shift: int, length: int) -> list[tuple[slice, slice]]:
    """Which parts of a stretch of an axis go where when it is rolled: slices of the stretch, and of the result."""
    turn = min(max(length - shift, s.start), s.stop)  # what lies from here on comes round to the beginning
    parts = [(s.start, turn, shift), (turn, s.stop, shift - length)]
    return [(slice(a - s.start, b - s.start), slice(a + by, b + by)) for a, b, by in parts if a < b]


_shifts(np.fft.fftshift, 1)
_shifts(np.fft.ifftshift, -1)
