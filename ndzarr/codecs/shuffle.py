"""The `shuffle` codec: all first bytes of the elements, then all second bytes, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numcodecs.shuffle import Shuffle

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import from_bytes
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class ShuffleCodec(BytesBytesCodec):
    """`elementsize`: bytes in an element; 0 and 1 do nothing."""

    elementsize: int = 4

    name = "shuffle"
    description = "the bytes of the elements by their place"
    decode_ns_per_byte = 0.27

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ShuffleCodec:
        fields = Fields(cls.name, configuration)
        elementsize = fields.integer("elementsize", 4, 0, (1 << 31) - 1)
        fields.done()
        return cls(elementsize)

    def configuration(self) -> dict[str, Json]:
        return {"elementsize": self.elementsize}

    def bind(self, spec: ChunkSpec) -> ShuffleCodec:
        if self.elementsize > 1 and spec.nbytes % self.elementsize:
            raise ArgumentError(
                f"codec 'shuffle': elements of {self.elementsize} bytes, into which {spec.nbytes} bytes do not divide",
                codec=self.name,
                field="elementsize",
                found=self.elementsize,
                expected=spec.dtype.itemsize,
            )
        return self

    def encoded_size(self, nbytes: int) -> int:
        return nbytes

    def max_encoded_size(self, nbytes: int) -> int:
        return nbytes

    def encode(self, data: Buffer) -> Buffer:
        if self.elementsize < 2 or not len(data):
            return data
        return Shuffle(self.elementsize).encode(from_bytes(data))

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        if self.elementsize < 2 or not len(data):
            return data
        # Only a buffer that is as long as the input will do for `out`.
        room = np.empty(len(data), np.uint8) if out is None or len(out) != len(data) else out
        return Shuffle(self.elementsize).decode(from_bytes(data), room)
