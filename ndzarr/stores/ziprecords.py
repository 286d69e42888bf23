"""The records of a zip archive as bytes: local headers, directory, end. Pure; no file.

By hand, since `zipfile` cannot copy a compressed member as it is. After APPNOTE 6.3.10, sections 4.3.7 (local header),
4.3.12 (directory), 4.3.14 to 4.3.16 (ends): https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import stat
import struct
import zipfile
from dataclasses import dataclass

from ndzarr._typing import Key

#: The flag of a member whose name is UTF-8; else it is cp437.
UTF8 = 0x800
_MAX32 = 0xFFFFFFFF
_DATE = (1 << 5) | 1  # 1980-01-01: equal values make equal archives


@dataclass(frozen=True, slots=True)
class Record:
    """What the headers of one member say."""

    name: bytes
    flags: int
    method: int
    version: int
    time: int
    date: int
    crc: int
    compressed: int
    nbytes: int
    extra: bytes
    comment: bytes
    made_by: int
    internal: int
    external: int

    @classmethod
    def of_value(cls, key: Key, crc: int, nbytes: int) -> Record:
        flags = 0 if key.isascii() else UTF8
        mode = (stat.S_IFREG | 0o644) << 16
        return cls(key.encode(), flags, 0, 20, 0, _DATE, crc, nbytes, nbytes, b"", b"", (3 << 8) | 20, 0, mode)

    @classmethod
    def of_member(cls, member: zipfile.ZipInfo) -> Record:
        year, month, day, hour, minute, second = member.date_time
        name = member.orig_filename
        # 0x8 says that the sizes follow the data; here they stand in the header.
        flags = member.flag_bits & ~(0x8 | UTF8) | (0 if name.isascii() else UTF8)
        return cls(
            name.encode(),
            flags,
            member.compress_type,
            member.extract_version,
            hour << 11 | minute << 5 | second // 2,
            (year - 1980) << 9 | month << 5 | day,
            member.CRC,
            member.compress_size,
            member.file_size,
            without_zip64(member.extra),
            member.comment,
            member.create_system << 8 | member.create_version,
            member.internal_attr,
            member.external_attr,
        )

    def local(self) -> bytes:
        extra, version = self.extra, self.version
        compressed, nbytes = self.compressed, self.nbytes
        if max(compressed, nbytes) >= _MAX32:
            extra = struct.pack("<HHQQ", 1, 16, nbytes, compressed) + extra
            compressed = nbytes = _MAX32
            version = max(version, 45)
        fields = (version, self.flags, self.method, self.time, self.date, self.crc, compressed, nbytes)
        return b"PK\x03\x04" + struct.pack("<5H3L2H", *fields, len(self.name), len(extra)) + self.name + extra

    def central(self, offset: int) -> bytes:
        wide = [n for n in (self.nbytes, self.compressed, offset) if n >= _MAX32]
        extra = (struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b"") + self.extra
        version = max(self.version, 45 if wide else 0)
        nbytes, compressed, offset = (min(n, _MAX32) for n in (self.nbytes, self.compressed, offset))
        head = (self.made_by, version, self.flags, self.method, self.time, self.date, self.crc, compressed, nbytes)
        lengths = (len(self.name), len(extra), len(self.comment), 0, self.internal, self.external, offset)
        return b"PK\x01\x02" + struct.pack("<6H3L5H2L", *head, *lengths) + self.name + extra + self.comment


def without_zip64(extra: bytes) -> bytes:
    """The extra fields but that of the sizes over 4 GiB, which is written anew where it is wanted."""
    kept, at = b"", 0
    while at + 4 <= len(extra):
        kind, nbytes = struct.unpack_from("<HH", extra, at)
        if kind != 1:
            kept += extra[at : at + 4 + nbytes]
        at += 4 + nbytes
    return kept


def ends(count: int, start: int, nbytes: int, comment: bytes) -> bytes:
    """What follows the directory: `count` members, `nbytes` bytes from `start` on."""
    data = b""
    if count >= 0xFFFF or start >= _MAX32 or nbytes >= _MAX32:
        data = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, nbytes, start)
        data += b"PK\x06\x07" + struct.pack("<LQL", 0, start + nbytes, 1)
    few = min(count, 0xFFFF)
    last = struct.pack("<4H2LH", 0, 0, few, few, min(nbytes, _MAX32), min(start, _MAX32), len(comment))
    return data + b"PK\x05\x06" + last + comment
