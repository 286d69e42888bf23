"""The `bitround` codec: floats rounded to some bits of their mantissa (https://doi.org/10.1038/s43588-021-00156-2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numcodecs.bitround import BitRound

from ndzarr._typing import Json, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError

_MANTISSA = {2: 10, 4: 23, 8: 52}


@dataclass(frozen=True, slots=True)
class BitroundCodec(ArrayArrayCodec):
    """`keepbits`: how many bits of the mantissa are kept. Lossy; there is nothing to decode."""

    keepbits: int

    name = "bitround"
    description = "floats rounded to some bits"
    decode_ns_per_byte = 0.0
    decode_ns = 500.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> BitroundCodec:
        fields = Fields(cls.name, configuration)
        keepbits = fields.integer("keepbits", low=0, high=52)
        fields.done()
        return cls(keepbits)

    def configuration(self) -> dict[str, Json]:
        return {"keepbits": self.keepbits}

    def bind(self, spec: ChunkSpec) -> BitroundCodec:
        most = _MANTISSA.get(spec.dtype.itemsize) if spec.dtype.kind == "f" else None
        if most is None or self.keepbits > most:
            expected = "float16, float32 or float64" if most is None else f"keepbits of at most {most}"
            raise ArgumentError(
                f"codec 'bitround': keepbits {self.keepbits} of dtype {spec.dtype}, expected {expected}",
                codec=self.name,
                field="keepbits",
                found=self.keepbits,
                expected=most,
            )
        return self

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        fill = spec.fill_value
        if fill is not None:
            fill = self.encode(np.full((1,), fill, spec.dtype), ChunkSpec((1,), spec.dtype))[0]
        return ChunkSpec(spec.shape, spec.dtype, fill)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        # numcodecs knows the native byte order only.
        native = np.ascontiguousarray(array, spec.dtype.newbyteorder("=")).reshape(spec.shape)
        if not native.size:
            return array
        rounded: NDArray = np.asarray(BitRound(self.keepbits).encode(native))
        return rounded.view(native.dtype).astype(spec.dtype, copy=False)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array
