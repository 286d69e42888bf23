"""The `n5_default` codec: blocks of N5 in "default" mode, a header and the encoded elements.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/n5_default. The header is 0x0000, the number of axes in
two bytes and each length in four, all big-endian, the lengths in the order of the array's axes (N5 stores the first axis
fastest, which is why the chain starts with a transpose of all axes).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ndzarr._typing import Buffer, CodecSpec, Json, NDArray, Shape
from ndzarr.codecs.base import ArrayBytesCodec, BytesBytesCodec, ChunkSpec
from ndzarr.codecs.bytes import BytesCodec
from ndzarr.codecs.configuration import Fields, to_json
from ndzarr.codecs.pipeline import Pipeline, build
from ndzarr.codecs.registry import create_codec
from ndzarr.codecs.transpose import TransposeCodec
from ndzarr.errors import ArgumentError, CorruptChunkError

_DTYPES = tuple(np.dtype(code) for code in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"))
#: A block may be larger than the chunk (N5 pads at the edge, the chunk grid may not), but not at any price.
_LARGEST = 64 << 20


@dataclass(frozen=True)
class N5DefaultCodec(ArrayBytesCodec):
    """`codecs`: `transpose` of all axes, `bytes` in big endian, and one compressor perhaps."""

    codecs: tuple[CodecSpec, ...]
    _inner: Pipeline = field(default=None, compare=False, repr=False)  # type: ignore[assignment]  # set by `bind`

    name = "n5_default"
    description = "blocks of N5 in default mode"
    decode_ns_per_byte = 1.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> N5DefaultCodec:
        fields = Fields(cls.name, configuration)
        specs = fields.chain("codecs")
        fields.done()
        codecs = [create_codec(spec) for spec in specs]
        order = codecs[0].order if codecs and isinstance(codecs[0], TransposeCodec) else None
        right = (
            2 <= len(codecs) <= 3
            and order is not None
            and order == tuple(range(len(order)))[::-1]
            and isinstance(codecs[1], BytesCodec)
            and codecs[1].endian != "little"
            and all(isinstance(codec, BytesBytesCodec) for codec in codecs[2:])
        )
        if not right:
            raise fields.bad(
                "codecs",
                [to_json(spec) for spec in specs],
                "'transpose' with all axes reversed, 'bytes' with endian 'big', and one bytes->bytes codec or none",
            )
        return cls(specs)

    def configuration(self) -> dict[str, Json]:
        return {"codecs": [to_json(spec) for spec in self.codecs]}

    def bind(self, spec: ChunkSpec) -> N5DefaultCodec:
        if spec.dtype.newbyteorder("=") not in _DTYPES:
            raise ArgumentError(
                f"codec 'n5_default': N5 has no dtype {spec.dtype}; it has integers of 8 to 64 bits, float32 and float64",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        if spec.dtype.itemsize > 1 and self.codecs[1].configuration.get("endian") != "big":
            raise ArgumentError(
                f"codec 'n5_default': codec 'bytes' has no endian, expected 'big' for dtype {spec.dtype}",
                codec=self.name,
                field="endian",
                expected="big",
            )
        if len(spec.shape) > 0xFFFF or any(length > 0xFFFFFFFF for length in spec.shape):
            raise ArgumentError(
                f"codec 'n5_default': a chunk of shape {spec.shape} does not fit an N5 header",
                codec=self.name,
                field="chunks",
                found=list(spec.shape),
            )
        return replace(self, _inner=build(self.codecs, spec))

    def _header(self, shape: Shape) -> bytes:
        return struct.pack(f">HH{len(shape)}I", 0, len(shape), *shape)

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        # Not known: other writers' blocks may be smaller or larger than the chunk.
        return None

    def max_encoded_size(self, spec: ChunkSpec) -> int | None:
        if self._inner.max_encoded is None:
            return None
        return 4 + 4 * len(spec.shape) + max(self._inner.max_encoded, 2 * _LARGEST)

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        return b"".join((self._header(spec.shape), self._inner.encode(array)))

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        ndim = len(spec.shape)
        header = 4 + 4 * ndim
        if len(data) < header:
            raise CorruptChunkError(f"found {len(data)} bytes, the header has {header}", found=len(data), expected=header)
        mode, axes = struct.unpack_from(">HH", data)
        if mode != 0:
            raise CorruptChunkError(f"the block is of mode {mode}, expected 0, default", found=mode, expected=0)
        if axes != ndim:
            raise CorruptChunkError(f"the block has {axes} axes, expected {ndim}", found=axes, expected=ndim)
        shape = struct.unpack_from(f">{ndim}I", data, 4)
        content = memoryview(data)[header:]
        try:
            if shape == spec.shape:
                return self._inner.decode(content)
            nbytes = math.prod(shape) * spec.dtype.itemsize
            largest = max(spec.nbytes, _LARGEST)
            if nbytes > largest:
                raise CorruptChunkError(
                    f"the block has {nbytes} bytes, expected at most {largest}", found=nbytes, expected=largest
                )
            block = build(self.codecs, ChunkSpec(shape, spec.dtype)).decode(content)
        except CorruptChunkError as error:
            raise CorruptChunkError(
                f"n5_default: {error}", codec=self.name, found=error.found, expected=error.expected
            ) from error
        # At the edge of the array blocks are cut or padded, as their writer liked it.
        chunk = np.full(spec.shape, 0 if spec.fill_value is None else spec.fill_value, spec.dtype)
        both = tuple(slice(min(a, b)) for a, b in zip(shape, spec.shape, strict=True))
        chunk[both] = block[both]
        return chunk
