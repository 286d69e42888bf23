"""Compressed streams decoded with a bound: what the decompressors of the standard library have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndzarr._typing import Buffer
from ndzarr.errors import CorruptChunkError

#: Streams that hold nothing are legal, but a long run of them is only there to keep the reader busy.
_MAX_EMPTY = 1000
_FIRST_SLICE = 1 << 12


def unpack(make: Callable[[], Any], data: Buffer, limit: int, *, several: bool) -> Buffer:
    """The content of the stream in `data`, or of all the streams one after the other where `several` are legal.

    `make` gives a decompressor object as `zlib.decompressobj` does. Never makes more than `limit` + 1 bytes. Raises
    CorruptChunkError for more content than `limit`, for a stream that ends early and for bytes after the last one.
    """
    first = make()
    content = first.decompress(data, limit + 1)
    _check(first, content, len(content), limit)
    if not first.unused_data:
        return content
    if not several:
        trailing = len(first.unused_data)
        raise CorruptChunkError(
            f"{trailing} bytes follow the end of the stream", found=len(data), expected=len(data) - trailing
        )
    parts, total, empty = [content], len(content), 0
    start = len(data) - len(first.unused_data)
    view = memoryview(data)
    while start < len(view):
        # In slices, for `unused_data` is a copy of all that follows: quadratic in the number of streams.
        stream, step, begun = make(), _FIRST_SLICE, total
        while not stream.eof and start < len(view):
            part = stream.decompress(view[start : start + step], limit + 1 - total)
            total += len(part)
            parts.append(part)
            start += min(step, len(view) - start)
            step *= 2
            if total > limit:
                break
        _check(stream, part, total, limit)
        start -= len(stream.unused_data)
        empty += total == begun
        if empty > _MAX_EMPTY:
            raise CorruptChunkError(f"more than {_MAX_EMPTY} empty streams", found=empty, expected=_MAX_EMPTY)
    return b"".join(parts)


def _check(stream: Any, part: Buffer, total: int, limit: int) -> None:
    if total > limit:
        raise CorruptChunkError(f"decoded to more than {limit} bytes", found=total, expected=limit)
    if not stream.eof:
        raise CorruptChunkError(f"the stream is truncated: it ends after {total} decoded bytes", found=total, expected=limit)
