"""Functions of shape alone: each gives a LazyView, which reads nothing until asked and can be written through."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.functions.metadata import _hollow
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import dtype_of, is_operand, shape_of


def _view(a: Any) -> Any:
    """`a` as a view; an array stays one."""
    return a.lazy[...] if is_operand(a) else np.asarray(a)


def _order(function: Any, a: Any, *args: Any, **kwargs: Any) -> tuple[int, ...]:
    """What a function that permutes axes makes of them, and NumPy's own errors: tried on axes of length 0, 1, 2, ..."""
    ndim = len(shape_of(a))
    tried = function(np.broadcast_to(np.zeros(()), tuple(range(ndim))), *args, **kwargs)
    return tuple(tried.shape)


def _permutes(function: Any) -> None:
    @implements(function, kind="view")
    def form(a: Any, *args: Any, **kwargs: Any) -> Any:
        return a.lazy[...].permuted(_order(function, a, *args, **kwargs))


_function: Any
for _function in (
    np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose, np.linalg.matrix_transpose,
):  # fmt: skip
    _permutes(_function)


@implements(np.flip, kind="view")
def flip(m: Any, axis: Any = None) -> Any:
    """`numpy.flip`."""
    ndim = len(shape_of(m))
    axes = range(ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    return m.lazy[tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(ndim))]


@implements(np.fliplr, kind="view")
def fliplr(m: Any) -> Any:
    """`numpy.fliplr`."""
    np.fliplr(_hollow(m))
    return flip(m, 1)


@implements(np.flipud, kind="view")
def flipud(m: Any) -> Any:
    """`numpy.flipud`."""
    np.flipud(_hollow(m))
    return flip(m, 0)


@implements(np.rot90, kind="view")
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """`numpy.rot90`."""
    np.rot90(_hollow(m), k, axes)
    ndim = len(shape_of(m))
    first, second = (operator.index(axis) % ndim for axis in axes)
    order = list(range(ndim))
    order[first], order[second] = order[second], order[first]
    k %= 4
    view = m.lazy[...]
    if k == 2:
        return flip(view, (first, second))
    if k == 1:
        return flip(view, second).permuted(tuple(order))
    return flip(view.permuted(tuple(order)), second) if k == 3 else view


@implements(np.squeeze, kind="view")
def squeeze(a: Any, axis: Any = None) -> Any:
    """`numpy.squeeze`."""
    np.squeeze(_hollow(a), axis)
    shape = shape_of(a)
    axes = (
        [k for k, n in enumerate(shape) if n == 1]
        if axis is None
        else np.lib.array_utils.normalize_axis_tuple(axis, len(shape))
    )
    return a.lazy[tuple(0 if k in axes else slice(None) for k in range(len(shape)))]


@implements(np.expand_dims, kind="view")
def expand_dims(a: Any, axis: Any) -> Any:
    """`numpy.expand_dims`."""
    ndim = np.expand_dims(_hollow(a), axis).ndim
    axes = np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    return a.lazy[tuple(None if k in axes else slice(None) for k in range(ndim))]


def _at_least(function: Any) -> None:
    @implements(function, kind="view")
    def form(*arys: Any) -> Any:
        found = tuple(_reach(function, a) for a in arys)
        return found[0] if len(found) == 1 else found


def _reach(function: Any, a: Any) -> Any:
    if not is_operand(a):
        return function(a)
    shape = function(np.broadcast_to(np.zeros(()), shape_of(a))).shape
    spare = len(shape) - len(shape_of(a))
    if not spare:
        return a.lazy[...]
    # Before or behind the axes there are: as NumPy has it for this rank.
    before = 0
    while shape[before : before + len(shape_of(a))] != shape_of(a) or (before == 0 and function is np.atleast_2d):
        before += 1
    return a.lazy[(None,) * before + (...,) + (None,) * (spare - before)]


for _function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    _at_least(_function)


@implements(np.broadcast_to, kind="view")
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """`numpy.broadcast_to`."""
    return array.lazy[...].broadcast(np.broadcast_to(_hollow(array), shape).shape)


@implements(np.broadcast_arrays, kind="view")
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """`numpy.broadcast_arrays`."""
    arrays: list[Any] = [a if is_operand(a) else np.asarray(a) for a in args]
    shape = np.broadcast_shapes(*(shape_of(a) for a in arrays))
    return tuple(a.lazy[...].broadcast(shape) if is_operand(a) else np.broadcast_to(a, shape) for a in arrays)


@implements(np.reshape, kind="view", note="a view where axes are split, added or dropped; merged axes are read")
def reshape(a: Any, /, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    """`numpy.reshape`."""
    wanted = _reshaped(a, newshape if shape is None else shape)
    view = a.lazy[...].reshaped(wanted) if order in ("C", "A") else None
    if view is not None:
        return view
    if copy is False:
        raise ValueError("Unable to avoid creating a copy while reshaping.")
    if order not in ("C", "A"):
        raise UnstreamedError
    return _whole(a, "numpy.reshape").reshape(wanted)


def _reshaped(a: Any, shape: Any) -> Shape:
    hollow = np.broadcast_to(np.zeros((), np.int8), (1,))
    lengths = (operator.index(shape),) if not hasattr(shape, "__iter__") else tuple(operator.index(n) for n in shape)
    size = math.prod(shape_of(a))
    holes = [k for k, n in enumerate(lengths) if n < 0]
    rest = math.prod(n for n in lengths if n >= 0)
    if len(holes) > 1:
        hollow.reshape(lengths)  # NumPy's own error
    if len(holes) == 1 and rest and size % rest == 0:
        return tuple(size // rest if n < 0 else n for n in lengths)
    if holes or rest != size:
        raise ValueError(f"cannot reshape array of size {size} into shape {lengths}".replace(", ", ",").replace("(", "(", 1))
    return lengths


def _whole(a: Any, name: str) -> NDArray:
    """All elements in memory, within `options(max_result)`, read block by block."""
    from ndzarr.functions.blockwise import elementwise

    def same(block: Any) -> Any:
        return block

    same.__name__ = name
    found: NDArray = np.asarray(elementwise(same, (a,)))
    return found


@implements(np.ravel, kind="view", note="a view of an array with one axis longer than 1, else read")
def ravel(a: Any, order: Any = "C") -> Any:
    """`numpy.ravel`."""
    if order not in ("C", "K", "A"):
        if order != "F":
            np.ravel(np.zeros(1), order)
        return _whole(a, "numpy.ravel").ravel(order)
    return reshape(a, (math.prod(shape_of(a)),))


# ---- in pieces --------------------------------------------------------------------------------


def _pieces(function: Any) -> None:
    @implements(function, kind="view")
    def form(ary: Any, *args: Any, **kwargs: Any) -> Any:
        # On the numbers of the axis NumPy says where it would cut, and what it would raise.
        shape = shape_of(ary)
        axis = _split_axis(function, shape, args, kwargs)
        numbers = np.arange(shape[axis]).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        bounds = [0]
        views = []
        for piece in function(numbers, *args, **kwargs):
            length = piece.shape[axis]
            start = int(piece.reshape(-1)[0]) if length else bounds[-1]
            bounds.append(start + length)
            views.append(ary.lazy[(slice(None),) * axis + (slice(start, start + length),)])
        return views


def _split_axis(function: Any, shape: Shape, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    if function is np.hsplit:
        axis = 0 if len(shape) == 1 else 1
    elif function in (np.vsplit, np.dsplit):
        axis = 0 if function is np.vsplit else 2
    else:
        axis = kwargs.get("axis", args[1] if len(args) > 1 else 0)
    if not -len(shape) <= axis < len(shape):
        function(np.broadcast_to(np.zeros(()), shape), *args, **kwargs)
        raise UnstreamedError
    return int(axis) % len(shape)


for _function in (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit):
    _pieces(_function)


@implements(getattr(np, "unstack", None), kind="view")
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """`numpy.unstack`."""
    shape = shape_of(x)
    if not shape:
        raise ValueError("Input array must be at least 1-d.")
    axis = int(np.lib.array_utils.normalize_axis_index(axis, len(shape)))
    return tuple(x.lazy[(slice(None),) * axis + (k,)] for k in range(shape[axis]))


# ---- parts --------------------------------------------------------------------------------


@implements(np.diagonal, kind="view", note="cannot be written, as NumPy's; `a.lazy[...].diagonal()` can")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """`numpy.diagonal`."""
    np.diagonal(_hollow(a), offset, axis1, axis2)
    return a.lazy[...].diagonal(offset, axis1, axis2).frozen()


@implements(np.linalg.diagonal, kind="view")
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """`numpy.linalg.diagonal`."""
    return diagonal(x, offset, -2, -1)


@implements(np.real, kind="view")
def real(val: Any) -> Any:
    """`numpy.real`."""
    return val.lazy[...].real


@implements(np.imag, kind="view", note="of real numbers: zeros")
def imag(val: Any) -> Any:
    """`numpy.imag`."""
    if np.dtype(dtype_of(val)).kind != "c":
        return np.broadcast_to(np.zeros((), dtype_of(val)), shape_of(val))
    return val.lazy[...].imag
