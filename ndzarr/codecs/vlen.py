"""The vlen codecs: how many items, then the length and the bytes of each, all lengths in four bytes, little-endian."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numcodecs.vlen import VLenArray, VLenBytes, VLenUTF8

from ndzarr._typing import Buffer, DType, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import from_bytes
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError, CorruptChunkError


class VlenCodec(ArrayBytesCodec):
    """Items of any length, by the numcodecs codec of that name."""

    #: Kinds of dtype that the codec takes.
    kinds: ClassVar[str] = "O"
    decode_ns_per_byte = 6.5  # a byte of the object array, which holds pointers
    decode_ns = 5000.0

    @property
    @abstractmethod
    def _numcodec(self) -> Any:
        """The numcodecs object, which has no state."""

    @abstractmethod
    def _stored(self, items: NDArray) -> int:
        """How many bytes the items take, without their lengths."""

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> VlenCodec:
        Fields(cls.name, configuration).done()
        return cls()

    def configuration(self) -> dict[str, Json]:
        return {}

    def bind(self, spec: ChunkSpec) -> VlenCodec:
        if spec.dtype.kind not in self.kinds:
            raise ArgumentError(
                f"codec {self.name!r} takes objects, not dtype {spec.dtype}; pass dtype=object",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        return self

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        # Flat already, for numcodecs flattens a transposed view in the order of its memory.
        items = np.ascontiguousarray(array).reshape(-1)
        return self._numcodec.encode(items.astype(object, copy=not items.flags.writeable))

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        # numcodecs allocates by the count before it looks at what follows, and stops without a word before the end.
        if len(data) < 4 + 4 * spec.size:
            raise CorruptChunkError(
                f"found {len(data)} bytes, {spec.size} items take at least {4 + 4 * spec.size}",
                found=len(data),
                expected=4 + 4 * spec.size,
            )
        count = int.from_bytes(data[:4], "little")
        if count != spec.size:
            raise CorruptChunkError(f"holds {count} items, expected {spec.size}", found=count, expected=spec.size)
        items: NDArray = self._numcodec.decode(from_bytes(data))
        expected = 4 + 4 * count + self._stored(items)
        if len(data) != expected:
            raise CorruptChunkError(f"{len(data) - expected} bytes follow the last item", found=len(data), expected=expected)
        return items.astype(spec.dtype, copy=False).reshape(spec.shape)


@dataclass(frozen=True)
class VlenUtf8Codec(VlenCodec):
    """Strings. None and 0 are stored as the empty string, as numcodecs does."""

    name = "vlen-utf8"
    description = "strings of any length, in UTF-8"
    kinds = "OT"
    _numcodec = VLenUTF8()

    def _stored(self, items: NDArray) -> int:
        return len("".join(items.tolist()).encode())


@dataclass(frozen=True)
class VlenBytesCodec(VlenCodec):
    """Bytes. None and 0 are stored as no bytes, as numcodecs does."""

    name = "vlen-bytes"
    description = "bytes of any length"
    _numcodec = VLenBytes()

    def _stored(self, items: NDArray) -> int:
        return sum(map(len, items.tolist()))


@dataclass(frozen=True)
class VlenArrayCodec(VlenCodec):
    """One-dimensional arrays of `dtype`. None is stored as an empty array."""

    dtype: DType

    name = "vlen-array"
    description = "one-dimensional arrays of any length"

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> VlenArrayCodec:
        fields = Fields(cls.name, configuration)
        dtype = fields.dtype("dtype", kinds="biufcSUV")
        fields.done()
        return cls(dtype)

    def configuration(self) -> dict[str, Json]:
        return {"dtype": self.dtype.str}

    @property
    def _numcodec(self) -> Any:
        return VLenArray(self.dtype)

    def _stored(self, items: NDArray) -> int:
        return sum(item.nbytes for item in items)
