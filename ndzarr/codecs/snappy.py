"""The `snappy` codec: one raw block (https://github.com/google/snappy/blob/main/format_description.txt).

That is what ExZarr and imagecodecs write. Framed input (framing_format.txt, same place) is told by its first bytes and
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError, CorruptChunkError
from ndzarr.imports import once

_FRAMED = b"\xff\x06\x00\x00sNaPpY"
#: The most that one chunk of a framed stream holds.
_MAX_FRAME = 65536


@dataclass(frozen=True, slots=True)
class SnappyCodec(BytesBytesCodec):
    """Needs cramjam."""

    name = "snappy"
    description = "snappy, one raw block"
    decode_ns_per_byte = 1.0
    needs = "cramjam: pip install 'ndzarr[snappy]'"

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> SnappyCodec:
        fields = Fields(cls.name, configuration)
        fields.stray_level()
        fields.done()
        return cls()

    def configuration(self) -> dict[str, Json]:
        return {}

    @classmethod
    def available(cls) -> bool:
        return _library() is not None

    def encode(self, data: Buffer) -> Buffer:
        return memoryview(_needed().compress_raw(data))

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        if data[: len(_FRAMED)] == _FRAMED:
            return _unframe(data, limit)
        found = _length(data)
        if found > limit or (size is not None and found != size):
            expected = limit if size is None else size
            raise CorruptChunkError(f"the header says {found} bytes, expected {expected}", found=found, expected=expected)
        return decompress_block(data, found)


def decompress_block(data: Buffer, size: int) -> Buffer:
    """The content of a raw block, which must be `size` bytes: nothing is allocated when its header says otherwise."""
    found = _length(data)
    if found != size:
        raise CorruptChunkError(f"the snappy header says {found} bytes, expected {size}", found=found, expected=size)
    content = memoryview(_needed().decompress_raw(data))
    if content.nbytes != size:
        raise CorruptChunkError(f"decoded to {content.nbytes} bytes", found=content.nbytes, expected=size)
    return content


def _length(data: Buffer) -> int:
    """The decoded size that a raw block starts with: a little-endian base-128 number under 2**32."""
    value = 0
    for position, byte in enumerate(bytes(data[:5])):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if value >> 32:
                break
            return value
    raise CorruptChunkError("no snappy header: the decoded size is not a number under 2**32", found=bytes(data[:5]))


def _unframe(data: Buffer, limit: int) -> bytes:
    parts: list[Buffer] = []
    total = at = 0
    while at < len(data):
        kind = data[at]
        length = int.from_bytes(data[at + 1 : at + 4], "little")
        body = data[at + 4 : at + 4 + length]
        if at + 4 + length > len(data):
            raise CorruptChunkError(f"the frame at byte {at} is truncated", found=len(data), expected=at + 4 + length)
        if kind in (0x00, 0x01):
            if length < 4:
                raise CorruptChunkError(f"the frame at byte {at} has no checksum", found=length, expected=4)
            size = _length(body[4:]) if kind == 0x00 else length - 4
            if size > min(_MAX_FRAME, limit - total):
                raise CorruptChunkError(f"decoded to more than {limit} bytes", found=total + size, expected=limit)
            part = decompress_block(body[4:], size) if kind == 0x00 else body[4:]
            found, expected = _masked(part), int.from_bytes(body[:4], "little")
            if found != expected:
                raise CorruptChunkError(
                    f"crc32c of the frame at byte {at} is {found:#010x}, the frame says {expected:#010x}",
                    found=found,
                    expected=expected,
                )
            total += size
            parts.append(part)
        elif kind == 0xFF:
            if body != _FRAMED[4:]:
                raise CorruptChunkError(f"no snappy stream at byte {at}", found=bytes(body[:16]))
        elif kind < 0x80:
            raise CorruptChunkError(f"unknown kind {kind:#x} of frame at byte {at}", found=kind)
        at += 4 + length
    return b"".join(parts)


def _masked(data: Buffer) -> int:
    crc: int = google_crc32c.value(np.frombuffer(data, np.uint8) if len(data) else b"")
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _needed() -> Any:
    library = _library()
    if library is None:
        raise ArgumentError(f"codec 'snappy' needs {SnappyCodec.needs}", codec="snappy")
    return library


@once
def _library() -> Any:
    try:
        import cramjam
    except ImportError:
        return None
    return cramjam.snappy
