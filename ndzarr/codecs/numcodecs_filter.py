"""Filters of numcodecs as array->array codecs: they see a chunk as one flat run of elements, in C order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, DType, Json, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, BytesBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import as_bytes, from_bytes
from ndzarr.codecs.numcodecs_codec import configuration_of
from ndzarr.errors import ArgumentError, CorruptChunkError


class NumcodecsFilter(ArrayArrayCodec):
    """A numcodecs filter object, `numcodec`, that makes an element of dtype `target` of each of dtype `source`.

    A chunk of another dtype is seen as elements of `source`, as numcodecs does; its bytes must divide into them.
    """

    decode_ns_per_byte = 1.0
    decode_ns = 5000.0
    #: Whether what an element becomes depends on that element only, so that a fill value can be mapped forward.
    elementwise = False

    def __init__(self, numcodec: Any, source: DType, target: DType) -> None:
        self.numcodec = numcodec
        self.source = source
        self.target = target

    def configuration(self) -> dict[str, Json]:
        return configuration_of(self.numcodec)

    def bind(self, spec: ChunkSpec) -> NumcodecsFilter:
        if spec.dtype.hasobject:
            raise ArgumentError(
                f"codec {self.name!r} cannot take dtype {spec.dtype}, which holds objects; put a codec that turns them "
                "into bytes first, such as 'vlen-utf8' for strings",
                codec=self.name,
                field="filters",
                found=str(spec.dtype),
            )
        if spec.nbytes % self.source.itemsize:
            raise ArgumentError(
                f"codec {self.name!r} takes elements of dtype {self.source.str!r}, into which a chunk of "
                f"{spec.nbytes} bytes does not divide",
                codec=self.name,
                field="dtype",
                found=self.source.str,
                expected=spec.dtype.str,
            )
        return self

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        if spec.dtype.itemsize == self.source.itemsize:
            return ChunkSpec(spec.shape, self.target, self._fill(spec))
        return ChunkSpec((spec.nbytes // self.source.itemsize,), self.target)

    def _fill(self, spec: ChunkSpec) -> Any:
        if spec.fill_value is None or not self.elementwise:
            return None
        try:
            with np.errstate(all="ignore"):
                return self.numcodec.encode(np.full(1, spec.fill_value, spec.dtype).view(self.source))[0]
        except Exception:  # whatever a value that cannot be encoded raises
            return None

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        resolved = self.resolve(spec)
        if not array.size:
            return np.empty(resolved.shape, resolved.dtype)
        flat = np.ascontiguousarray(array, spec.dtype).reshape(-1).view(self.source)
        encoded: NDArray = np.asarray(self.numcodec.encode(flat)).reshape(-1)
        return encoded.view(resolved.dtype).reshape(resolved.shape)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        if not array.size:
            return np.empty(spec.shape, spec.dtype)
        # Damage gives values that overflow; there is no telling them from data.
        with np.errstate(all="ignore"):
            decoded: NDArray = np.asarray(self.numcodec.decode(np.ascontiguousarray(array).reshape(-1)))
        return decoded.reshape(-1).view(spec.dtype).reshape(spec.shape)

    def elements(self, data: Buffer) -> int:
        """How many elements of `source` are encoded in `data`."""
        count, rest = divmod(len(data), self.target.itemsize)
        if rest:
            raise CorruptChunkError(f"found {len(data)} bytes, expected elements of {self.target.itemsize}", found=len(data))
        return count

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.configuration() == other.configuration()

    __hash__ = None  # type: ignore[assignment]  # configurations are dicts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.configuration()})"


@dataclass(frozen=True)
class BytesFilter(BytesBytesCodec):
    """A filter that follows a bytes->bytes codec, as v2 allows: the bytes are elements of the filter's own dtype."""

    filter: NumcodecsFilter

    name = "filter"
    description = "a filter over bytes"

    @classmethod
    def from_spec(cls, configuration: Any) -> BytesFilter:
        raise ArgumentError("a filter over bytes has no name of its own in documents")

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.filter.name)
        object.__setattr__(self, "decode_ns_per_byte", self.filter.decode_ns_per_byte)

    def configuration(self) -> dict[str, Json]:
        return self.filter.configuration()

    def _spec(self, nbytes: int) -> ChunkSpec:
        count, rest = divmod(nbytes, self.filter.source.itemsize)
        if rest:
            raise ArgumentError(
                f"codec {self.filter.name!r} takes elements of dtype {self.filter.source.str!r}, into which "
                f"{nbytes} bytes do not divide",
                codec=self.filter.name,
                field="dtype",
            )
        return ChunkSpec((count,), self.filter.source)

    def encoded_size(self, nbytes: int) -> int:
        return self.filter.resolve(self._spec(nbytes)).nbytes

    def max_encoded_size(self, nbytes: int) -> int:
        return self.encoded_size(-(-nbytes // self.filter.source.itemsize) * self.filter.source.itemsize)

    def encode(self, data: Buffer) -> Buffer:
        spec = self._spec(len(data))
        return as_bytes(self.filter.encode(from_bytes(data).view(spec.dtype), spec)).data

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        spec = ChunkSpec((self.filter.elements(data),), self.filter.source)
        if spec.nbytes > limit or (size is not None and spec.nbytes != size):
            raise CorruptChunkError(f"holds {spec.nbytes} bytes, expected {limit}", found=spec.nbytes, expected=limit)
        resolved = self.filter.resolve(spec)
        return as_bytes(np.ascontiguousarray(self.filter.decode(from_bytes(data).view(resolved.dtype), spec))).data
