"""Memory that ends at a page which may not be touched: whoever reads or writes beyond its end crashes at once."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from ndzarr._typing import NDArray

_PROT_NONE = 0


class Guarded:
    """Room for `nbytes` bytes before a page without access."""

    def __init__(self, nbytes: int) -> None:
        page = mmap.PAGESIZE
        self.nbytes = -(-max(nbytes, 1) // page) * page
        self._map = mmap.mmap(-1, self.nbytes + page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(start + self.nbytes), ctypes.c_size_t(page), _PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect failed")
        self._view = memoryview(self._map)

    def holding(self, data: bytes) -> memoryview:
        """`data`, its last byte the last one before the guard; read-only. The memory is that of every other call."""
        view = self._view[self.nbytes - len(data) : self.nbytes]
        view[:] = data
        return view.toreadonly()

    def array(self, like: NDArray) -> NDArray:
        """An array of the shape and dtype of `like` whose last byte is the last one before the guard."""
        found: NDArray = np.ndarray(like.shape, like.dtype, self._view[self.nbytes - like.nbytes : self.nbytes])
        return found
