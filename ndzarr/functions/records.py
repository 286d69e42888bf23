"""numpy.lib.recfunctions that change each record by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.lib.recfunctions as rfn

from ndzarr._typing import Box, NDArray
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, is_operand, run


def _recast(function: Callable[[NDArray], Any], arr: Any, name: str, spent: int = 0) -> Any:
    """What `function` gives for all of an operand, block by block: it may add axes at the end, or take `spent` of them away."""
    if not is_operand(arr) or len(arr.shape) <= spent:
        raise UnstreamedError
    ndim = len(arr.shape) - spent
    # NumPy itself says of no records what comes out, and what it would raise.
    probe = np.asarray(function(np.empty((0,) * ndim + tuple(arr.shape[ndim:]), arr.dtype)))
    place = result((*arr.shape[:ndim], *probe.shape[ndim:]), probe.dtype, f"numpy.lib.recfunctions.{name}")
    nbytes = 2 * arr.dtype.itemsize + 2 * probe.dtype.itemsize * max(1, place.size // max(1, np.prod(arr.shape, dtype=int)))
    blocks = cut([arr], tuple(arr.shape), whole=range(ndim, len(arr.shape)), nbytes=int(nbytes))

    def one(box: Box) -> None:
        place[box[:ndim]] = function(arr.read_box(box))

    run(blocks.boxes(), one, [arr], blocks)
    return place


def _each(function: Callable[..., Any], spent: int = 0) -> None:
    @implements(function, kind="stream")
    def form(arr: Any, *args: Any, **kwargs: Any) -> Any:
        if any(is_operand(x) for x in (*args, *kwargs.values())):
            raise UnstreamedError
        return _recast(lambda block: function(block, *args, **kwargs), arr, function.__name__, spent)


for _function in (rfn.structured_to_unstructured, rfn.rename_fields, rfn.repack_fields, rfn.require_fields):
    _each(_function)
_each(rfn.unstructured_to_structured, 1)


@implements(rfn.drop_fields, kind="stream", note="with usemask=False and asrecarray=False; else loaded")
def drop_fields(base: Any, drop_names: Any, usemask: bool = True, asrecarray: bool = False) -> Any:
    """`numpy.lib.recfunctions.drop_fields`."""
    if usemask or asrecarray:
        raise UnstreamedError
    return _recast(lambda block: rfn.drop_fields(block, drop_names, usemask=False), base, "drop_fields")


@implements(rfn.apply_along_fields, kind="stream")
def apply_along_fields(func: Any, arr: Any) -> Any:
    """`numpy.lib.recfunctions.apply_along_fields`."""

    def applied(block: NDArray) -> Any:
        return rfn.apply_along_fields(func, block)

    return _recast(applied, arr, "apply_along_fields")
