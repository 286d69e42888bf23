"""Functions that shape and dtype answer; nothing is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import check_result
from ndzarr.streaming import dtype_of, is_operand, shape_of


@implements(np.shape, kind="metadata")
def shape(a: Any) -> Any:
    """`numpy.shape`."""
    return shape_of(a)


@implements(np.ndim, kind="metadata")
def ndim(a: Any) -> Any:
    """`numpy.ndim`."""
    return len(shape_of(a))


@implements(np.size, kind="metadata")
def size(a: Any, axis: Any = None) -> Any:
    """`numpy.size`."""
    return np.size(_hollow(a), axis)


def _hollow(a: Any) -> Any:
    """An array of the same shape and dtype that takes no memory: every element is the same one."""
    return np.broadcast_to(np.zeros((), dtype_of(a)), shape_of(a)) if is_operand(a) else a


def _of_dtypes(function: Callable[..., Any]) -> None:
    @implements(function, kind="metadata")
    def form(*args: Any, **kwargs: Any) -> Any:
        return function(*[_hollow(a) for a in args], **kwargs)


_function: Any
for _function in (np.iscomplexobj, np.isrealobj, np.common_type, np.result_type, np.can_cast):
    _of_dtypes(_function)


@implements(np.min_scalar_type, kind="metadata")
def min_scalar_type(a: Any) -> Any:
    """`numpy.min_scalar_type`."""
    if not shape_of(a):
        raise UnstreamedError  # of an array without axes the value decides
    return a.dtype


@implements(np.shares_memory, np.may_share_memory, kind="metadata", note="a stored array shares memory with nothing")
def shares_memory(a: Any, b: Any, /, max_work: Any = None) -> bool:
    """`numpy.shares_memory`."""
    return False


def _like(function: Callable[..., Any]) -> None:
    @implements(function, kind="metadata", note="a NumPy array; `ndzarr.zeros_like` and its kin make stored ones")
    def form(a: Any, *args: Any, shape: Any = None, **kwargs: Any) -> Any:
        hollow = np.broadcast_to(np.zeros((), dtype_of(a)), shape_of(a)) if is_operand(a) else a
        kind = kwargs.get("dtype") or (args[0] if args and function is not np.full_like else None) or dtype_of(a)
        lengths = shape_of(a) if shape is None else np.broadcast_to(0, shape).shape
        check_result(math.prod(lengths) * np.dtype(kind).itemsize, f"numpy.{function.__name__}", "make a stored array instead")
        return np.ascontiguousarray(function(hollow, *args, shape=shape, **kwargs)).reshape(
            np.shape(hollow) if shape is None else shape
        )


for _function in (np.zeros_like, np.ones_like, np.empty_like, np.full_like):
    _like(_function)


@implements(np.einsum_path, kind="metadata")
def einsum_path(*operands: Any, **kwargs: Any) -> Any:
    """`numpy.einsum_path`."""
    return np.einsum_path(*[_hollow(a) for a in operands], **kwargs)


@implements(np.ix_, kind="stream")
def ix_(*args: Any) -> Any:
    """`numpy.ix_`: index arrays are needed as they are."""
    from ndzarr.functions.dispatch import load_small

    return np.ix_(*[load_small(a) if is_operand(a) else a for a in args])


@implements(np.diag_indices_from, kind="metadata")
def diag_indices_from(arr: Any) -> Any:
    """`numpy.diag_indices_from`."""
    return np.diag_indices_from(_hollow(arr))


def _shown(function: Callable[..., Any]) -> None:
    """NumPy's text of an array: of one that it would cut short, only the ends of each axis are read."""

    @implements(function, kind="metadata", note="of a large array the elements at the ends of each axis are read")
    def form(a: Any, *args: Any, **kwargs: Any) -> Any:
        settings = np.get_printoptions()
        threshold = kwargs.get("threshold")
        shape, edge = shape_of(a), settings["edgeitems"]
        if math.prod(shape) <= (settings["threshold"] if threshold is None else threshold) or kwargs.get("edgeitems"):
            raise UnstreamedError
        ends = [np.r_[0 : edge + 1, n - edge : n] if n > 2 * edge + 1 else np.arange(n) for n in shape]
        with np.printoptions(threshold=0):
            text = function(np.asarray(a.lazy.oindex[tuple(ends)]), *args, **kwargs)
        return text.replace(f"shape={tuple(len(end) for end in ends)}", f"shape={shape}")


for _function in (np.array_repr, np.array_str, np.array2string):
    _shown(_function)
