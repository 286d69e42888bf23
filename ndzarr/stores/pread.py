"""Bytes of an archive's open file by position, which no thread and no child of fork can disturb."""

from __future__ import annotations

import os
import zipfile


def read_at(fd: int, start: int, length: int) -> bytes:
    """`length` bytes at `start`. Raises BadZipFile where the file is shorter."""
    parts = []
    while length:
        data = _pread(fd, length, start)
        if not data:
            raise zipfile.BadZipFile("the file ends too early; it was cut while it was open")
        parts.append(data)
        start += len(data)
        length -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


if hasattr(os, "pread"):
    _pread = os.pread
else:  # pragma: no cover  # Windows
    from threading import Lock

    _seek_lock = Lock()

    def _pread(fd: int, length: int, start: int, /) -> bytes:
        with _seek_lock:
            os.lseek(fd, start, os.SEEK_SET)
            return os.read(fd, length)
