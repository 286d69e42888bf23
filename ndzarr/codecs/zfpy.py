"""The `zfpy` codec of numcodecs: zfp streams with a header that says their shape and type.

https://numcodecs.readthedocs.io/en/stable/compression/zfpy.html. v2 has it as an array's compressor, v3 as
"numcodecs.zfpy"; the registered `zfp` has no header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.zfp_stream import MAX_BITS, NEEDS, TYPES, Room, decode, field_shape, installed, rate_bits, room, zfpy
from ndzarr.errors import ArgumentError, CorruptChunkError

#: Magic, type and shape, and parameters in short; or in full, which is 18 bytes and a half.
_HEADER, _FULL = 12, 18
_KEYWORDS = {2: "rate", 3: "precision", 4: "tolerance"}


@dataclass(frozen=True, slots=True)
class ZfpyCodec(ArrayBytesCodec):
    """`mode`: 2 fixed rate, 3 fixed precision, 4 fixed accuracy, each with its parameter; -1 leaves that out: reversible."""

    mode: int = 4
    tolerance: int | float = -1
    rate: int | float = -1
    precision: int = -1

    name = "zfpy"
    description = "zfp, with a header"
    needs = NEEDS
    decode_ns_per_byte = 4.0
    decode_ns = 25000.0

    @classmethod
    def available(cls) -> bool:
        return installed()

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ZfpyCodec:
        fields = Fields(cls.name, configuration)
        mode = fields.integer("mode", 4, 2, 4)
        found = {name: fields.take(name, -1) for name in ("tolerance", "rate", "precision")}
        for name, value in found.items():
            if type(value) not in (int, float) or not np.isfinite(value):
                raise fields.bad(name, value, "a finite number")
        if type(found["precision"]) is not int:
            raise fields.bad("precision", found["precision"], "an integer")
        # numcodecs takes this argument and does nothing with it.
        fields.take("compression_kwargs", None)
        fields.done()
        return cls(mode, **found)

    def configuration(self) -> dict[str, Json]:
        return {"mode": self.mode, "tolerance": self.tolerance, "rate": self.rate, "precision": self.precision}

    def bind(self, spec: ChunkSpec) -> ZfpyCodec:
        if (
            spec.dtype.newbyteorder("=") not in TYPES
            or not spec.dtype.isnative
            or not 1 <= len(spec.shape) <= 4
            or not spec.size
        ):
            raise ArgumentError(
                "codec 'zfpy' takes chunks of 1 to 4 axes of int32, int64, float32 or float64 in native byte order, not of "
                f"shape {spec.shape} and dtype {spec.dtype}",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        return self

    def max_encoded_size(self, spec: ChunkSpec) -> int:
        # Another writer may have seen the chunk as one run of values, which takes more blocks.
        most = max(self._most(spec, spec.shape), self._most(spec, (spec.size,)))
        return most + _HEADER + 64

    def _most(self, spec: ChunkSpec, shape: tuple[int, ...]) -> int:
        space = room(shape, spec.dtype, 1, MAX_BITS)
        bits = rate_bits(self.rate, len(shape), spec.dtype) if self.mode == 2 and self.rate > 0 else 1
        return max(space.nbytes, Room(space.blocks, bits, bits).nbytes)

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        keyword = _KEYWORDS[self.mode]
        encoded: bytes = zfpy().compress_numpy(
            np.ascontiguousarray(array, spec.dtype), write_header=True, **{keyword: getattr(self, keyword)}
        )
        return encoded

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        # The library believes the header: it is read first, and held to the chunk, before anything is allocated by it.
        front = bytes(data[:24]) + bytes(16)
        if len(data) < _HEADER:
            raise CorruptChunkError(f"found {len(data)} bytes, a header has {_HEADER}", found=len(data), expected=_HEADER)
        header = zfpy().header(front)
        shape = tuple(header[axis] for axis in ("nw", "nz", "ny", "nx") if header[axis])
        if np.dtype(header["type"]) != spec.dtype or shape not in (field_shape(spec.shape), (spec.size,)):
            raise CorruptChunkError(
                f"the header says shape {shape} and dtype {np.dtype(header['type'])}, expected {spec.shape} and {spec.dtype}",
                found=str(shape),
                expected=str(spec.shape),
            )
        expert = header["config"]["expert"]
        least = int(expert["minbits"])
        length = _FULL if header["mode"] == "expert" else _HEADER
        space = room(shape, spec.dtype, least, MAX_BITS)
        return decode(data, length, space, lambda padded: zfpy().decompress_numpy(padded)).reshape(spec.shape)
