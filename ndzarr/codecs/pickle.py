"""The `pickle` codec: the chunk as Python pickles it. Decoding runs whatever code the object holds."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import CorruptChunkError


@dataclass(frozen=True)
class PickleCodec(ArrayBytesCodec):
    """`protocol`: of `pickle.dumps`. Made by `create_codec(..., allow_pickle=True)` only."""

    protocol: int = pickle.HIGHEST_PROTOCOL

    #: Not made unless the caller allows it.
    unsafe: ClassVar[bool] = True
    name = "pickle"
    description = "any Python object; refused unless allow_pickle=True"
    decode_ns_per_byte = 20.0
    decode_ns = 10000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> PickleCodec:
        fields = Fields(cls.name, configuration)
        protocol = fields.integer("protocol", pickle.HIGHEST_PROTOCOL, 0, 255)
        fields.done()
        return cls(protocol)

    def configuration(self) -> dict[str, Json]:
        return {"protocol": self.protocol}

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        return pickle.dumps(np.ascontiguousarray(array).reshape(spec.shape), min(self.protocol, pickle.HIGHEST_PROTOCOL))

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        # The caller allowed it by name: `create_codec` refuses to make this codec otherwise.
        file = io.BytesIO(data)
        found = pickle.load(file)
        if file.tell() != len(data):
            raise CorruptChunkError(f"{len(data) - file.tell()} bytes follow the pickle", found=len(data), expected=file.tell())
        if not isinstance(found, np.ndarray) or found.size != spec.size:
            raise CorruptChunkError(
                f"holds {type(found).__name__} of {getattr(found, 'size', 'no')} elements, expected {spec.size}",
                found=type(found).__name__,
                expected=spec.size,
            )
        # zarr-python 2 pickled Fortran-ordered chunks as such, and flattens what it reads in the order of its memory.
        return found.reshape(-1, order="A").astype(spec.dtype, copy=False).reshape(spec.shape)
