"""blosc 1 containers whose blocks are snappy, which the c-blosc in numcodecs no longer has: decoded block by block.

The container is described in https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst; where that is silent,
by `blosc_d` in c-blosc's blosc.c. The snappy blocks themselves are decoded by cramjam.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from ndzarr._typing import Buffer, NDArray
from ndzarr.codecs.snappy import decompress_block
from ndzarr.errors import CorruptChunkError

_HEADER = struct.Struct("<BBBBIII")
_SHUFFLE, _BITSHUFFLE, _DONT_SPLIT = 0x01, 0x04, 0x10
#: c-blosc: a block is split into one stream per byte of the element only for few, and long enough, streams.
_MAX_SPLITS, _MIN_SPLIT = 16, 128


def decompress_snappy(data: Buffer, out: NDArray, decompress: Callable[[Buffer, int], Buffer] = decompress_block) -> NDArray:
    """`out`, flat uint8 of the header's `nbytes`, filled with what `data` holds; the caller has checked its header.

    `decompress(stream, size)` decodes one stream to exactly `size` bytes. Raises CorruptChunkError for offsets and
    lengths that leave the object.
    """
    _, _, flags, typesize, nbytes, blocksize, cbytes = _HEADER.unpack_from(data)
    nblocks = -(-nbytes // blocksize)
    starts = struct.unpack_from(f"<{nblocks}i", data, 16)
    first = 16 + 4 * nblocks
    view = memoryview(data)
    for number, at in enumerate(starts):
        begin = number * blocksize
        length = min(blocksize, nbytes - begin)
        whole = length == blocksize
        split = not flags & _DONT_SPLIT and typesize <= _MAX_SPLITS and blocksize // typesize >= _MIN_SPLIT and whole
        nstreams = typesize if split else 1
        each = length // nstreams
        if each * nstreams != length:
            raise CorruptChunkError(f"block {number} of {length} bytes in {nstreams} streams", found=length)
        block = np.empty(length, np.uint8)
        for stream in range(nstreams):
            if not first <= at <= cbytes - 4:
                raise CorruptChunkError(f"block {number} starts at byte {at} of {cbytes}", found=at, expected=cbytes)
            size = int.from_bytes(view[at : at + 4], "little")
            at += 4
            if size > cbytes - at:
                raise CorruptChunkError(f"block {number} ends at byte {at + size} of {cbytes}", found=at + size)
            # A stream that would not shrink is stored as it is.
            content = view[at : at + size] if size == each else decompress(view[at : at + size], each)
            block[stream * each : (stream + 1) * each] = np.frombuffer(content, np.uint8)
            at += size
        if flags & _SHUFFLE and typesize > 1:
            block = unshuffle(block, typesize)
        elif flags & _BITSHUFFLE and blocksize >= typesize:
            block = bitunshuffle(block, typesize)
        out[begin : begin + length] = block
    return out


def unshuffle(block: NDArray, typesize: int) -> NDArray:
    """The bytes of elements that were stored as all first bytes, all second bytes and so on; a rest stays as it is."""
    count = len(block) // typesize
    out = block.copy()
    out[: count * typesize] = block[: count * typesize].reshape(typesize, count).T.reshape(-1)
    return out


def bitunshuffle(block: NDArray, typesize: int) -> NDArray:
    """The same for bits. c-blosc does it only to blocks whose number of elements is a multiple of 8."""
    count = len(block) // typesize
    if count % 8 or not count:
        return block
    out = block.copy()
    rows = block[: count * typesize].reshape(typesize * 8, count // 8)  # one row per bit of the element, lowest first
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    out[: count * typesize] = np.packbits(bits.T, axis=1, bitorder="little").reshape(-1)
    return out
