"""DEFLATE decoded with a bound, by the fastest library that is installed: `deflate`, `isal`, else the standard one."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from ndzarr._typing import Buffer
from ndzarr.codecs.streams import unpack
from ndzarr.imports import once

#: `wbits` for a zlib stream and for a gzip member.
ZLIB, GZIP = 15, 31
#: DEFLATE copies 258 bytes with two bits at best (RFC 1951, section 3.2.5).
_MAX_RATIO = 258 * 4


def inflate(data: Buffer, size: int | None, limit: int, *, gzip: bool) -> Buffer:
    """The content of a zlib stream, or of the members of a gzip file.

    Raises CorruptChunkError or the library's own error for damage; never makes more than `limit` bytes (and a byte).
    """
    if size:
        content = _whole(data, size, gzip)
        if content is not None:
            return content
    return unpack(partial(_decompressors().decompressobj, GZIP if gzip else ZLIB), data, limit, several=gzip)


def inflate_whole(size: int, *, gzip: bool) -> Callable[[Buffer], Buffer | None] | None:
    """A function that decodes a stream of `size` bytes, or gives None for any that is odd; None without libdeflate."""
    if not size or _libdeflate() is None:
        return None
    return lambda data: _whole(data, size, gzip)


def _whole(data: Buffer, size: int, gzip: bool) -> Buffer | None:
    """The `size` bytes that `data` holds, by libdeflate; None when it is not installed, or when anything is odd.

    Safe: libdeflate fails rather than write more than `size` bytes, and checks the checksum. What it does not say is
    how much of `data` it used; but the checksum ends a stream, so bytes after it would have to repeat it. Whatever
    fails here is decoded again by the careful way, which decides and has the words for it.
    """
    library = _libdeflate()
    if library is None or size > _MAX_RATIO * len(data):  # it allocates `size` bytes at once, and the size is only a claim
        return None
    tail = data[-8:]
    try:
        if gzip:
            content = library.gzip_decompress(data, size)
            ends = int.from_bytes(tail[:4], "little") == library.crc32(content)
            ends = ends and int.from_bytes(tail[4:], "little") == size & 0xFFFFFFFF
        else:
            content = library.zlib_decompress(data, size)
            ends = int.from_bytes(tail[-4:], "big") == library.adler32(content)
    except (library.DeflateError, ValueError):
        return None
    return content if ends and len(content) == size else None


@once
def _libdeflate() -> Any:
    try:
        import deflate
    except ImportError:
        return None
    return deflate


@once
def _decompressors() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib
