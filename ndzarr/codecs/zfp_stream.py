"""zfp streams: how long they can be, and decoding that reads no byte beyond them (https://zfp.readthedocs.io/en/release1.0.1/).

zfp reads as many bits as it wants and does not ask how many there are. So it is given the stream with so much after it as
the largest stream of that shape has. What follows is once all zeros and once all ones: where that makes a difference, bits
are missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, DType, NDArray, Shape
from ndzarr.errors import CorruptChunkError
from ndzarr.imports import once

#: What zfp calls the type of each dtype that it knows.
TYPES = {np.dtype(np.int32): 1, np.dtype(np.int64): 2, np.dtype(np.float32): 3, np.dtype(np.float64): 4}
#: Bits that a block may have besides its coefficients: sign of "not empty", exponent, and of reversible blocks their precision.
_EXTRA = {1: 5, 2: 6, 3: 15, 4: 19}
#: ZFP_MAX_BITS, the largest that `maxbits` can be.
MAX_BITS = 16658
NEEDS = "zfpy (pip install zfpy)"


@cache
def installed() -> bool:
    """Whether zfpy can be imported."""
    return importlib.util.find_spec("zfpy") is not None


@once
def zfpy() -> Any:
    """The zfpy module, imported when first asked for."""
    return importlib.import_module("zfpy")


def field_shape(shape: Shape) -> Shape:
    """The shape that zfp sees: a 0-dimensional chunk is one value."""
    return shape or (1,)


@dataclass(frozen=True)
class Room:
    """How many bits a stream of `blocks` blocks has: `least` and `most` of them in each block."""

    blocks: int
    least: int
    most: int

    @property
    def least_nbytes(self) -> int:
        """No stream that is whole has fewer bytes."""
        return -(-self.blocks * max(1, self.least) // 8)

    @property
    def nbytes(self) -> int:
        """No stream has more bytes, and no decoder reads on beyond."""
        return -(-self.blocks * max(self.least, self.most) // 64) * 8


def room(shape: Shape, dtype: DType, minbits: int, maxbits: int) -> Room:
    """What `zfp_stream_maximum_size` works out; it holds for damaged streams too, for it counts what the decoder may read."""
    values = 4 ** len(shape)
    natural = _EXTRA[TYPES[dtype]] + values - 1 + values * 8 * dtype.itemsize
    return Room(math.prod(-(-n // 4) for n in shape), minbits, max(1, min(natural, maxbits)))


def rate_bits(rate: float, ndim: int, dtype: DType) -> int:
    """How many bits a block has in fixed-rate mode (`zfp_stream_set_rate`)."""
    exponent = {np.dtype(np.float32): 9, np.dtype(np.float64): 12}.get(dtype, 0)
    return max(math.floor((1 << 2 * ndim) * rate + 0.5), exponent, 1)


def decode(data: Buffer, header: int, space: Room, decompress: Callable[[NDArray], NDArray]) -> NDArray:
    """What `decompress` makes of `data`, a header of so many bytes and a stream; CorruptChunkError when bits are missing."""
    nbytes = len(data) - header
    if nbytes < space.least_nbytes:
        raise CorruptChunkError(
            f"found {nbytes} bytes of blocks, expected at least {space.least_nbytes}", found=nbytes, expected=space.least_nbytes
        )
    if nbytes > space.nbytes + 64:
        raise CorruptChunkError(
            f"found {nbytes} bytes, blocks have at most {space.nbytes}", found=nbytes, expected=space.nbytes
        )
    # Some words more than could be read: the decoder fetches whole words, and one ahead.
    padded = np.zeros(max(len(data), header + space.nbytes) + 64, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    found = decompress(padded)
    # Blocks of a fixed size need no such proof, unless the last bits are near the end: a header may end amid a byte.
    if space.least < space.most or (nbytes - 1) * 8 < space.blocks * space.least:
        padded[len(data) :] = 0xFF
        again = decompress(padded)
        if found.tobytes() != again.tobytes():
            raise CorruptChunkError(f"its {nbytes} bytes of blocks end too early; the object is truncated", found=nbytes)
    return found


def long_header(shape: Shape, dtype: DType, minbits: int, maxbits: int, maxprec: int, minexp: int) -> tuple[int, int]:
    """The header that says what a stream holds and all four parameters, as (bits, how many).

    https://zfp.readthedocs.io/en/release1.0.1/high-level-api.html#c.zfp_write_header: 32 bits of magic, 52 of type and
    shape, 64 of parameters.
    """
    ndim = len(shape)
    meta, width = 0, 48 // ndim
    for length in shape:
        meta = (meta << width) | (length - 1)
    meta = ((meta << 2 | (ndim - 1)) << 2) | (TYPES[dtype] - 1)
    mode = minexp + 16495
    for value, bits in ((maxprec - 1, 7), (maxbits - 1, 15), (minbits - 1, 15), (0xFFF, 12)):
        mode = mode << bits | value
    return int.from_bytes(b"zfp\x05", "little") | meta << 32 | mode << 84, 148
