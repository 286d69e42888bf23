"""The `base64` codec (RFC 4648, https://www.rfc-editor.org/rfc/rfc4648#section-4)."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields


@dataclass(frozen=True, slots=True)
class Base64Codec(BytesBytesCodec):
    """Bytes as ASCII."""

    name = "base64"
    description = "bytes as ASCII, four for three"
    decode_ns_per_byte = 1.7

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Base64Codec:
        Fields(cls.name, configuration).done()
        return cls()

    def configuration(self) -> dict[str, Json]:
        return {}

    def encoded_size(self, nbytes: int) -> int:
        return 4 * -(-nbytes // 3)

    def max_encoded_size(self, nbytes: int) -> int:
        return self.encoded_size(nbytes)

    def encode(self, data: Buffer) -> Buffer:
        return binascii.b2a_base64(data, newline=False)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        # The standard library skips what is no base64 unless told otherwise, and numcodecs does not tell it.
        return binascii.a2b_base64(data, strict_mode=True)
