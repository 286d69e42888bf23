"""NumPy's arrays as other kinds of array, cut into about three chunks along each axis."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ndzarr._typing import NDArray, Shape
from ndzarr.api import create_array


def chunks_of(shape: Shape) -> Shape:
    """Chunks such that there are three along each axis that is long enough."""
    return tuple(max(1, -(-length // 3)) for length in shape)


def zarray(array: NDArray) -> Any:
    """A ZArray in memory."""
    made = create_array(None, shape=array.shape, dtype=array.dtype, chunks=chunks_of(array.shape), compressor="zstd")
    made[...] = array
    return made


def dask_array(array: NDArray) -> Any:
    """A dask array."""
    from_array: Any = import_module("dask.array").from_array
    return from_array(array, chunks=chunks_of(array.shape))
