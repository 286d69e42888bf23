"""What is kept of the elements of one chunk. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ndzarr._typing import DType, NDArray
from ndzarr.canonical import element_bytes
from ndzarr.statistics.evidence import short_digest


@dataclass(frozen=True, slots=True)
class Summary:
    """low, high: the smallest and largest element that is no NaN (NaT), each an array of one; zeros where all are.

    nans: how many there are. total: the sum of the others, in double precision or modulo 2**64; 0 for dates. values: a digest
    of the canonical bytes of all elements.
    """

    low: NDArray
    high: NDArray
    nans: int
    total: NDArray
    values: bytes


def ordered(dtype: DType) -> bool:
    """Whether elements of a dtype have a smallest and a largest one here: numbers but complex ones, booleans, dates."""
    return dtype.isbuiltin != 2 and dtype.kind in "biufMm" and dtype.itemsize <= 8


def total_dtype(dtype: DType) -> DType:
    """The dtype of sums: NumPy's own for integers, double precision for floats; dates have none."""
    return np.dtype({"f": "<f8", "u": "<u8"}.get(dtype.kind, "<i8"))


def summary_of(chunk: NDArray) -> Summary:
    """The summary of a chunk with at least one element; low, high and total are zeros where the dtype is not `ordered`."""
    values = short_digest(element_bytes(chunk))
    dtype = chunk.dtype
    if not ordered(dtype):
        nothing = np.zeros(1, np.uint8)
        return Summary(nothing, nothing, 0, nothing, values)
    low, high, nans = extremes_of(chunk)
    total = np.zeros(1, total_dtype(dtype))
    if dtype.kind in "biu":
        total[0] = chunk.sum(dtype=total.dtype)
    elif dtype.kind == "f":
        with np.errstate(all="ignore"):
            total[0] = np.nansum(chunk, dtype=total.dtype) if nans else chunk.sum(dtype=total.dtype)
    return Summary(low, high, nans, total, values)


def extremes_of(chunk: NDArray) -> tuple[NDArray, NDArray, int]:
    """The smallest and the largest element that is no NaN, each an array of one of the chunk's dtype, and how many NaNs."""
    dtype = chunk.dtype
    nans = 0
    if dtype.kind in "fmM":
        odd = np.isnat(chunk) if dtype.kind in "mM" else np.isnan(chunk)
        nans = int(np.count_nonzero(odd))
        if nans == chunk.size:
            return np.zeros(1, dtype), np.zeros(1, dtype), nans
        if nans:
            chunk = chunk[~odd]
    return np.array([chunk.min()], dtype), np.array([chunk.max()], dtype), nans
