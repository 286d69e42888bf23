"""Checksums of 32 bits beside the bytes: crc32, adler32, crc32c, fletcher32 and jenkins_lookup3.

Where the four bytes stand, little-endian, is numcodecs' rule: in front for crc32 and adler32, behind for the others;
the first three take another `location`.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import google_crc32c
import numpy as np

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.buffers import flat, from_bytes
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import CorruptChunkError
from ndzarr.imports import once


class Checksum32Codec(BytesBytesCodec):
    """The bytes and their checksum; `decode` refuses bytes that have another one."""

    decode_ns = 2000.0

    @property
    @abstractmethod
    def at_start(self) -> bool:
        """Whether the checksum stands in front."""

    @abstractmethod
    def checksum(self, data: Buffer) -> int:
        """The checksum of `data`, bytes or a flat memoryview of bytes."""

    def encoded_size(self, nbytes: int) -> int:
        return nbytes + 4

    def max_encoded_size(self, nbytes: int) -> int:
        return nbytes + 4

    def encode(self, data: Buffer) -> Buffer:
        parts = [self.checksum(data).to_bytes(4, "little"), data]
        return b"".join(parts if self.at_start else parts[::-1])

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        if len(data) < 4:
            raise CorruptChunkError(f"found {len(data)} bytes, the checksum alone has 4", found=len(data), expected=4)
        view = memoryview(data)
        stored, content = (view[:4], view[4:]) if self.at_start else (view[-4:], view[:-4])
        expected, found = int.from_bytes(stored, "little"), self.checksum(content)
        if found != expected:
            raise CorruptChunkError(
                f"{self.name} is {found:#010x} but the object says {expected:#010x}; the object is damaged",
                found=found,
                expected=expected,
            )
        return content


@dataclass(frozen=True)
class _Placed(Checksum32Codec):
    """`location`: "start", "end", or None for the codec's own place."""

    location: str | None = None

    default: ClassVar[str] = "start"

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> _Placed:
        fields = Fields(cls.name, configuration)
        location = fields.take("location", None)
        if location not in (None, "start", "end"):
            raise fields.bad("location", location, "'start' or 'end'")
        fields.stray_level()
        fields.done()
        return cls(location)

    def configuration(self) -> dict[str, Json]:
        return {} if self.location is None else {"location": self.location}

    @property
    def at_start(self) -> bool:
        return (self.location or self.default) == "start"


class Crc32Codec(_Placed):
    """The CRC of zlib, gzip and PNG (RFC 1952, section 8)."""

    name = "crc32"
    description = "CRC-32 (that of zlib), in front"
    decode_ns_per_byte = 0.16

    def checksum(self, data: Buffer) -> int:
        return zlib.crc32(data)


class Adler32Codec(_Placed):
    """The checksum of zlib streams (RFC 1950, section 8)."""

    name = "adler32"
    description = "Adler-32 (that of zlib), in front"
    decode_ns_per_byte = 0.27

    def checksum(self, data: Buffer) -> int:
        return zlib.adler32(data)


class Crc32cCodec(_Placed):
    """https://zarr-specs.readthedocs.io/en/latest/v3/codecs/crc32c/"""

    name = "crc32c"
    description = "CRC-32C (Castagnoli), behind"
    default = "end"
    decode_ns_per_byte = 0.035

    def checksum(self, data: Buffer) -> int:
        # An array over the same memory: google_crc32c refuses memoryviews.
        return int(google_crc32c.value(data if type(data) is bytes else from_bytes(data)))


@dataclass(frozen=True)
class Fletcher32Codec(Checksum32Codec):
    """The variant of netCDF-4 and HDF5 (https://github.com/Unidata/netcdf-c/blob/main/plugins/H5checksum.c)."""

    name = "fletcher32"
    description = "Fletcher-32 (that of HDF5), behind"
    decode_ns_per_byte = 0.21
    at_start = False

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Fletcher32Codec:
        Fields(cls.name, configuration).done()
        return cls()

    def configuration(self) -> dict[str, Json]:
        return {}

    def checksum(self, data: Buffer) -> int:
        if not len(data):
            return 0  # numcodecs reaches past the end of nothing
        return int.from_bytes(memoryview(flat(_fletcher32().Fletcher32().encode(from_bytes(data))))[-4:], "little")


@dataclass(frozen=True)
class JenkinsLookup3Codec(Checksum32Codec):
    """lookup3 (https://burtleburtle.net/bob/c/lookup3.c) of `prefix` and the bytes, started at `initval`."""

    initval: int = 0
    prefix: tuple[int, ...] | None = None

    name = "jenkins_lookup3"
    description = "Jenkins' lookup3 (that of HDF5), behind"
    decode_ns_per_byte = 0.33
    at_start = False

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> JenkinsLookup3Codec:
        fields = Fields(cls.name, configuration)
        initval = fields.integer("initval", 0, 0, (1 << 32) - 1)
        prefix = fields.take("prefix", None)
        if isinstance(prefix, bytes | np.ndarray):  # of a numcodecs object
            prefix = list(bytes(prefix))
        if prefix is not None and not (
            isinstance(prefix, list | tuple) and all(type(byte) is int and 0 <= byte < 256 for byte in prefix)
        ):
            raise fields.bad("prefix", prefix, "null or a list of bytes")
        fields.done()
        return cls(initval, None if prefix is None else tuple(prefix))

    def configuration(self) -> dict[str, Json]:
        return {"initval": self.initval, "prefix": None if self.prefix is None else list(self.prefix)}

    def checksum(self, data: Buffer) -> int:
        content: NDArray = from_bytes(data)
        if self.prefix:
            content = np.concatenate([np.array(self.prefix, np.uint8), content])
        return int(_jenkins().jenkins_lookup3(content, self.initval)) if len(content) else self._nothing()

    def _nothing(self) -> int:
        # lookup3 of no bytes is where it starts; numcodecs reaches past the end.
        return (0xDEADBEEF + self.initval) & 0xFFFFFFFF


@once
def _fletcher32() -> Any:
    return import_module("numcodecs.fletcher32")


@once
def _jenkins() -> Any:
    return import_module("numcodecs.jenkins")
