"""The `numcodecs.packbits` codec: eight booleans in a byte, after one byte that counts the padding bits at the end.

The registered `packbits` (`packbits.py`) is another codec: array->bytes, and it fills each byte from the other end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numcodecs.packbits import PackBits

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter
from ndzarr.errors import CorruptChunkError

_BOOL, _U1 = np.dtype(bool), np.dtype(np.uint8)


class NumcodecsPackbitsCodec(NumcodecsFilter):
    """Bytes that are 0 or not, packed into bits."""

    name = "numcodecs.packbits"
    description = "eight booleans in a byte"
    decode_ns_per_byte = 0.05

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> NumcodecsPackbitsCodec:
        Fields(cls.name, configuration).done()
        return cls(PackBits(), _BOOL, _U1)

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        return ChunkSpec((1 + -(-spec.nbytes // 8),), _U1)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        # Of no bits too there is one byte, which the general way would leave out.
        flat = np.ascontiguousarray(array, spec.dtype).reshape(-1)
        packed: NDArray = np.asarray(PackBits().encode(flat.view(_BOOL) if flat.nbytes else np.empty(0, bool)))
        return packed

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        padding = int(array[0])
        if padding != -spec.nbytes % 8:
            raise CorruptChunkError(
                f"the first byte counts {padding} padding bits, expected {-spec.nbytes % 8}",
                found=padding,
                expected=-spec.nbytes % 8,
            )
        return np.unpackbits(array[1:], count=spec.nbytes).view(spec.dtype).reshape(spec.shape)

    def elements(self, data: Buffer) -> int:
        if not len(data):
            raise CorruptChunkError("found no bytes, expected at least 1", found=0, expected=1)
        return max(0, 8 * (len(data) - 1) - int(data[0]))
