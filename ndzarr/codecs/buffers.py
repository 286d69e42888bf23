"""Buffers between codecs: what a codec is handed is `bytes` or a flat memoryview of bytes, whatever came before it."""

from __future__ import annotations

import numpy as np

from ndzarr._typing import Buffer, NDArray

_U1 = np.dtype(np.uint8)


def flat(data: Buffer) -> bytes | memoryview:
    """`data` as bytes, or as a one-dimensional memoryview of bytes over the same memory: `len` counts its bytes."""
    if type(data) is bytes:
        return data
    if isinstance(data, np.ndarray):
        return as_bytes(data).data
    view = data if type(data) is memoryview else memoryview(data)
    if view.format == "B" and view.ndim == 1:
        return view
    return view.cast("B")


def as_bytes(array: NDArray) -> NDArray:
    """The memory of a C-contiguous array as a flat uint8 array.

    A view, because memoryview does not know datetimes nor NumPy's own strings.
    """
    if array.nbytes == 0:
        return np.empty(0, _U1)
    return array.reshape(-1).view(_U1)


def from_bytes(data: Buffer) -> NDArray:
    """`data`, as `flat` gives it, as a uint8 array over the same memory."""
    return np.frombuffer(data, _U1) if len(data) else np.empty(0, _U1)
