"""The `lz4` codec: one block, after its decoded size in four bytes.

https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numcodecs import lz4

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import CorruptChunkError

#: A byte of a block stands for 255 bytes at most.
_MAX_RATIO = 255
#: The most that lz4 takes (LZ4_MAX_INPUT_SIZE).
_MAX_NBYTES = 0x7E000000


@dataclass(frozen=True, slots=True)
class Lz4Codec(BytesBytesCodec):
    """`acceleration`: 1 and up, the more the faster and the larger.

    ExZarr puts the size in front as eight bytes of its machine's order, or not at all; both are read where the decoded size
    is known from elsewhere.
    """

    acceleration: int = 1

    name = "lz4"
    description = "LZ4, one block with its size in front"
    decode_ns_per_byte = 0.25

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Lz4Codec:
        fields = Fields(cls.name, configuration)
        # liblz4 takes anything under 1 for 1, and numcodecs writes what it was given.
        acceleration = fields.integer("acceleration", 1, -(1 << 31), (1 << 31) - 1)
        fields.stray_level()
        fields.done()
        return cls(acceleration)

    def configuration(self) -> dict[str, Json]:
        return {"acceleration": self.acceleration}

    def encode(self, data: Buffer) -> Buffer:
        return lz4.compress(data, self.acceleration)

    def quick(self, size: int) -> Callable[[Buffer], Buffer | None] | None:
        # Safe: as in `decode`; a block cut short does not fill the output, and is refused. A header of ExZarr's is left to it.
        header = size.to_bytes(4, "little") if 0 < size <= _MAX_NBYTES else None
        out = np.empty(size, np.uint8)

        def decode(data: Buffer) -> Buffer | None:
            if data[:4] != header or data[4:8] == b"\0\0\0\0" or size > _MAX_RATIO * len(data):
                return None
            return lz4.decompress(data, out)

        return decode if header is not None else None

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        found = int.from_bytes(data[:4], "little") if len(data) > 4 else -1
        # Safe: liblz4 is given the length of the input and of the output, and fills the output or fails; the size that
        # numcodecs allocates by is the one just checked.
        wide = size is not None and data[4:8] == b"\0\0\0\0"  # ExZarr's header, eight bytes long: no block starts so
        if not wide and found == (size if size is not None else found) and 0 <= found <= min(limit, _MAX_RATIO * len(data)):
            if found == 0:
                if data[4:] != b"\0":  # the one token of an empty block
                    raise CorruptChunkError("the header says 0 bytes, but data follows", found=len(data), expected=5)
                return b""
            return lz4.decompress(data, np.empty(found, np.uint8) if out is None else out)
        if size and size <= min(_MAX_NBYTES, _MAX_RATIO * len(data)):
            wide = bytes(data[:8]) in (size.to_bytes(8, "little"), size.to_bytes(8, "big"))
            for block in (bytes(data[8:]), bytes(data)) if wide else (bytes(data),):
                with suppress(RuntimeError):  # no block of that kind either
                    return lz4.decompress(size.to_bytes(4, "little") + block, np.empty(size, np.uint8) if out is None else out)
        expected = limit if size is None else size
        raise CorruptChunkError(
            f"the header says {found} bytes, expected {expected}" if found >= 0 else f"found only {len(data)} bytes",
            found=found if found >= 0 else len(data),
            expected=expected,
        )
