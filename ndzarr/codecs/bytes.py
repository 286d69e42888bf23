"""The `bytes` codec: an array's elements one after the other, in C order.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/bytes/. A v2 chunk is the same with the dtype's own byte order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, DType, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import as_bytes
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError, CorruptChunkError

_ORDERS = {"little": "<", "big": ">"}


@dataclass(frozen=True, slots=True)
class BytesCodec(ArrayBytesCodec):
    """`endian`: "little", "big", or None for the byte order that the chunk's dtype has."""

    endian: str | None = None

    name = "bytes"
    description = "the elements one after the other, uncompressed"
    decode_ns_per_byte = 0.0
    decode_ns = 1000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> BytesCodec:
        fields = Fields(cls.name, configuration)
        endian = fields.take("endian", None)
        if endian is not None and endian not in _ORDERS:
            raise fields.bad("endian", endian, "'little' or 'big'")
        fields.done()
        return cls(endian)

    def configuration(self) -> dict[str, Json]:
        return {} if self.endian is None else {"endian": self.endian}

    def bind(self, spec: ChunkSpec) -> BytesCodec:
        if spec.dtype.hasobject:
            raise ArgumentError(
                f"dtype {spec.dtype} holds objects and needs a codec that turns them into bytes as the first filter: "
                "'vlen-utf8' for strings, 'vlen-bytes' for bytes, 'json2' for anything that JSON can hold",
                codec=self.name,
                field="filters",
                found=str(spec.dtype),
            )
        return self

    def stored(self, dtype: DType) -> DType:
        """The dtype of the elements as they are stored."""
        return dtype if self.endian is None else dtype.newbyteorder(_ORDERS[self.endian])  # type: ignore[arg-type]  # one of NumPy's order letters

    def encoded_size(self, spec: ChunkSpec) -> int:
        return spec.nbytes

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        return as_bytes(np.ascontiguousarray(array, self.stored(spec.dtype))).data

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        # `data` is flat: the pipeline hands every codec bytes or a memoryview of bytes.
        if len(data) != spec.nbytes:
            raise CorruptChunkError(f"found {len(data)} bytes, expected {spec.nbytes}", found=len(data), expected=spec.nbytes)
        stored = self.stored(spec.dtype)
        array: np.ndarray[Any, Any] = np.ndarray(spec.shape, stored, data)
        return array if stored == spec.dtype else array.astype(spec.dtype)
