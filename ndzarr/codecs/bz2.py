"""The `bz2` codec (https://sourceware.org/bzip2/)."""

from __future__ import annotations

import bz2
from collections.abc import Mapping
from dataclasses import dataclass

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.streams import unpack


@dataclass(frozen=True, slots=True)
class Bz2Codec(BytesBytesCodec):
    """`level`: 1 to 9. Several streams one after the other are read as one, as numcodecs and the bzip2 program do."""

    level: int = 1

    name = "bz2"
    description = "bzip2"
    decode_ns_per_byte = 16.0
    decode_ns = 25000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Bz2Codec:
        fields = Fields(cls.name, configuration)
        level = fields.integer("level", 1, 1, 9)
        fields.done()
        return cls(level)

    def configuration(self) -> dict[str, Json]:
        return {"level": self.level}

    def encode(self, data: Buffer) -> Buffer:
        return bz2.compress(data, self.level)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        return unpack(bz2.BZ2Decompressor, data, limit, several=True)


@dataclass(frozen=True, slots=True)
class Bzip2Codec(Bz2Codec):
    """ExZarr's name for bzip2, and its form: the decoded size in front, eight bytes. Input without it is read too."""

    name = "bzip2"
    description = "bzip2 behind its size, as ExZarr writes it"

    def encode(self, data: Buffer) -> Buffer:
        return memoryview(data).nbytes.to_bytes(8, "little") + bz2.compress(data, self.level)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        content = data if bytes(data[:3]) == b"BZh" else data[8:]
        return unpack(bz2.BZ2Decompressor, content, limit, several=True)
