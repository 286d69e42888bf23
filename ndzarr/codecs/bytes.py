"""The `bytes` codec: an array's elements one after the other, in C order.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/bytes/. A v2 chunk is the same with the dtype's own byte order.

Booleans are taken as they stand, also where a byte is neither 0 nor 1: to NumPy all of those are true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, DType, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import as_bytes, from_bytes
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import extension, number
from ndzarr.errors import ArgumentError, CorruptChunkError

_ORDERS = {"little": "<", "big": ">"}


def has_order(dtype: DType) -> bool:
    """Whether elements of `dtype`, or any field of it, are stored otherwise in big than in little endian."""
    if dtype.subdtype is not None:
        return has_order(dtype.subdtype[0])
    if dtype.fields is not None:
        return any(has_order(field[0]) for field in dtype.fields.values())
    if extension(dtype):
        return dtype.itemsize > 1  # to NumPy these are of kind "V", which has no order
    return dtype.kind in "iufcmMU" and (dtype.itemsize > 1 or dtype.kind == "U")


def _mask(dtype: DType) -> np.uint8 | None:
    """The bits of a byte that an element narrower than that has; None for other dtypes.

    The upper bits are to be ignored
    (https://github.com/zarr-developers/zarr-extensions/tree/main/data-types/float4_e2m1fn), but ml_dtypes 0.6 takes a
    float4 of 0x11 for -0.5.
    """
    found = number(dtype) if dtype.itemsize <= 2 else None
    return None if found is None or found.kind == "b" or found.bits >= 8 else np.uint8((1 << found.bits) - 1)


def ordered(dtype: DType, endian: str) -> DType:
    """`dtype` in the byte order "little" or "big", in its fields too; equal to `dtype` where that changes nothing."""
    if not has_order(dtype):
        return dtype  # NumPy would give one that is not equal, of the types of ml_dtypes
    found: DType = dtype.newbyteorder(_ORDERS[endian])  # type: ignore[arg-type]  # one of NumPy's order letters
    return found


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
        return dtype if self.endian is None else ordered(dtype, self.endian)

    def plain(self, dtype: DType) -> bool:
        """Whether the elements are stored just as they are in memory."""
        return self.stored(dtype) == dtype and _mask(dtype) is None

    def encoded_size(self, spec: ChunkSpec) -> int:
        return spec.nbytes

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        mask = _mask(spec.dtype)
        stored = as_bytes(np.ascontiguousarray(array, self.stored(spec.dtype)))
        return (stored if mask is None else stored & mask).data

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        # `data` is flat: the pipeline hands every codec bytes or a memoryview of bytes.
        if len(data) != spec.nbytes:
            raise CorruptChunkError(f"found {len(data)} bytes, expected {spec.nbytes}", found=len(data), expected=spec.nbytes)
        mask = _mask(spec.dtype)
        if mask is not None:
            masked: NDArray = (from_bytes(data) & mask).view(spec.dtype).reshape(spec.shape)
            return masked
        stored = self.stored(spec.dtype)
        array: np.ndarray[Any, Any] = np.ndarray(spec.shape, stored, data)
        return array if stored == spec.dtype else array.astype(spec.dtype)
