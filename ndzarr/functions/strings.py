"""numpy.strings, numpy.char and numpy.lib.scimath: element by element, with a dtype that only the values tell.

A first pass asks each block for the dtype of its answer, a second fills a result of the widest: strings of the longest, complex
numbers where any element needs them. Functions whose dtype is known beforehand take one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr._typing import Box, DType, NDArray
from ndzarr.functions.blockwise import elementwise
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of


class _Call:
    """A function with the arguments that are not arrays, to be called with blocks of those that are."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, list(args), kwargs
        self.spots = [k for k, x in enumerate(args) if is_operand(x) or (not isinstance(x, (dict, str, bytes)) and np.ndim(x))]
        self.arrays = [x if is_operand(x) else np.asarray(x) for x in (args[k] for k in self.spots)]
        try:
            self.shape = np.broadcast_shapes(*map(shape_of, self.arrays))
        except ValueError as error:
            raise UnstreamedError from error  # NumPy may have more to say of the dtypes
        self.__name__ = function.__name__
        if any(is_operand(x) for x in kwargs.values()) or not self.shape or 0 in self.shape:
            raise UnstreamedError
        if any(isinstance(x, np.ma.MaskedArray) or type(x).__name__ == "chararray" for x in self.arrays):
            raise UnstreamedError

    def __call__(self, *blocks: Any) -> Any:
        args = list(self.args)
        for k, block in zip(self.spots, blocks, strict=True):
            args[k] = block
        return self.function(*args, **self.kwargs)


def twice(call: _Call, widened: Callable[[NDArray, DType], NDArray] | None = None) -> Any:
    """What `call` gives for all its arrays, in the dtype that the answers of all blocks go into.

    widened: what to make of a block first where some answers are wider than others.
    """
    arrays = call.arrays
    nbytes = 4 * sum(np.dtype(dtype_of(x)).itemsize for x in arrays)
    blocks = cut(arrays, call.shape, nbytes=nbytes)
    found: set[tuple[DType, ...]] = set()

    def ask(box: Box) -> None:
        answer = call(*[read(x, box) for x in arrays])
        found.add(tuple(np.asarray(x).dtype for x in answer) if isinstance(answer, tuple) else (np.asarray(answer).dtype,))

    run(blocks.boxes(), ask, arrays, blocks)
    dtypes = [np.result_type(*column) for column in zip(*found, strict=True)]
    if any(dtype.itemsize == 0 for dtype in dtypes):
        raise UnstreamedError  # nothing but empty strings: no new array can have such a dtype
    places = [result(call.shape, dtype, f"numpy.{call.__name__}") for dtype in dtypes]
    single: list[bool] = []

    def put(box: Box) -> None:
        parts = [read(x, box) for x in arrays]
        if widened is not None and len(found) > 1:
            parts = [widened(x, dtypes[0]) for x in parts]
        answer = call(*parts)
        if not isinstance(answer, tuple):
            single.append(True)
            answer = (answer,)
        for place, part in zip(places, answer, strict=True):
            place[box] = part

    run(blocks.boxes(), put, arrays, blocks)
    return places[0] if single else tuple(places)


def _of_strings(function: Callable[..., Any]) -> None:
    @implements(function, kind="stream", note="two passes where the length of the results depends on the values")
    def form(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            raise UnstreamedError
        call = _Call(function, args, kwargs)
        if function.__name__ in _FIXED:
            return elementwise(call, call.arrays)
        return twice(call)


#: Functions whose results are as long as their arguments may be, or truth values.
_FIXED = {
    "lower", "upper", "swapcase", "capitalize", "title", "strip", "lstrip", "rstrip", "equal", "not_equal", "less",
    "less_equal",
    "greater", "greater_equal",
}  # fmt: skip


def _dispatches(thing: Any) -> bool:
    return callable(thing) and hasattr(thing, "_implementation")


_found: dict[int, Any] = {}
for _module in (np.strings, np.char):
    for _name in dir(_module):
        if _name in ("array", "asarray", "chararray", "compare_chararrays"):
            continue  # they make arrays; NumPy 2.5 warns of the class
        _thing = getattr(_module, _name)
        if _dispatches(_thing):
            _found[id(_thing)] = _thing
for _thing in _found.values():
    _of_strings(_thing)


# ---- roots and logarithms of negative numbers --------------------------------------------------------------------------------


#: Real numbers that become single precision when they have to be complex, as in NumPy's scimath.
_SINGLE = {np.dtype(x) for x in (np.float32, np.int8, np.int16, np.uint8, np.uint16)}


def _widened(block: NDArray, dtype: DType) -> NDArray:
    if block.dtype.kind == "c":
        return block
    if dtype.kind == "c":
        return block.astype(np.complex64 if block.dtype in _SINGLE else np.complex128)
    return block.astype(dtype)


def _of_numbers(function: Callable[..., Any]) -> None:
    @implements(function, kind="stream", note="two passes: complex numbers if any element needs them")
    def form(*args: Any, **kwargs: Any) -> Any:
        call = _Call(function, args, kwargs)
        if any(np.dtype(dtype_of(x)).kind not in "biufc" for x in call.arrays):
            raise UnstreamedError
        return twice(call, _widened)


for _name in ("sqrt", "log", "log2", "log10", "logn", "power", "arccos", "arcsin", "arctanh"):
    _of_numbers(getattr(np.lib.scimath, _name))
