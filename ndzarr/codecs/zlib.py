"""The `zlib` codec (RFC 1950, https://www.rfc-editor.org/rfc/rfc1950). Not to be taken for `gzip`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.inflate import inflate, inflate_whole


@dataclass(frozen=True, slots=True)
class ZlibCodec(BytesBytesCodec):
    """`level`: 0 to 9, or -1 for zlib's own choice."""

    level: int = 1

    name = "zlib"
    description = "DEFLATE in a zlib stream"
    decode_ns_per_byte = 3.0  # by libdeflate 1.7, by the standard library 5

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ZlibCodec:
        fields = Fields(cls.name, configuration)
        level = fields.integer("level", 1, -1, 9)
        fields.done()
        return cls(level)

    def configuration(self) -> dict[str, Json]:
        return {"level": self.level}

    def encode(self, data: Buffer) -> Buffer:
        return zlib.compress(data, self.level)

    def quick(self, size: int) -> Callable[[Buffer], Buffer | None] | None:
        return inflate_whole(size, gzip=False)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        return inflate(data, size, limit, gzip=False)
