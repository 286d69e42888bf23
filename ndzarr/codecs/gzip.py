"""The `gzip` codec (RFC 1952, https://www.rfc-editor.org/rfc/rfc1952)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.inflate import GZIP, inflate, inflate_whole


@dataclass(frozen=True, slots=True)
class GzipCodec(BytesBytesCodec):
    """`level`: 0 to 9, or -1 for zlib's own choice. Several members one after the other are read as one."""

    level: int = 1

    name = "gzip"
    description = "DEFLATE in a gzip file"
    decode_ns_per_byte = 3.0  # by libdeflate 1.7, by the standard library 5

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> GzipCodec:
        fields = Fields(cls.name, configuration)
        level = fields.integer("level", 1, -1, 9)
        fields.done()
        return cls(level)

    def configuration(self) -> dict[str, Json]:
        return {"level": self.level}

    def encode(self, data: Buffer) -> Buffer:
        # Not `gzip.GzipFile`, as numcodecs does: it writes the time of day, so that equal chunks would differ.
        return zlib.compress(data, self.level, wbits=GZIP)

    def quick(self, size: int) -> Callable[[Buffer], Buffer | None] | None:
        return inflate_whole(size, gzip=True)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        return inflate(data, size, limit, gzip=True)
