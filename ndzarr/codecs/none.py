"""The `none` codec: no compression at all, as ExZarr names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields


@dataclass(frozen=True, slots=True)
class NoneCodec(BytesBytesCodec):
    """Bytes as they are; the pipeline leaves it out, so that parts of a chunk can still be read."""

    name = "none"
    description = "no compression"
    decode_ns_per_byte = 0.0
    decode_ns = 0.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> NoneCodec:
        Fields(cls.name, configuration).done()
        return cls()

    def configuration(self) -> dict[str, Json]:
        return {}

    def encoded_size(self, nbytes: int) -> int:
        return nbytes

    def encode(self, data: Buffer) -> Buffer:
        return data

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        return data
