"""Copies of stored bytes, by key and range: in memory, and in files that several processes share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import google_crc32c

from ndzarr._typing import ByteRange, Key
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores.base import list_, span
from ndzarr.stores.files import absolute_path, remove_leftovers, temp_name, write_all

#: The bytes, and the tag of the version that they are of; None where that is not known.
Copy: TypeAlias = tuple[bytes | memoryview, Hashable | None]

_MAGIC = b"ndzc0001"
_HEAD = struct.Struct("<8sIQI")  # magic, bytes of the JSON that follows, bytes after that, crc32c of both
_FOLDER = re.compile("[0-9a-f]{2}").fullmatch
#: A file used this recently is not marked as used again.
_USED_S = 30.0
#: Down to this part of the limit is cleared, so that it is not done again at once.
_LOW = 0.9


class MemoryCopies:
    """At most `limit` bytes of values; those not used for longest go first. Not thread-safe: its owner holds a lock."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = self.evicted = 0
        self._copies: OrderedDict[tuple[Key, ByteRange | None], tuple[bytes, Hashable | None]] = OrderedDict()
        self._ranges: dict[Key, set[ByteRange | None]] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def find(self, key: Key, range: ByteRange | None) -> Copy | None:
        """The copy of this range, also out of a larger one; None where there is none."""
        ranges = self._ranges.get(key)
        if ranges is None:
            return None
        if None in ranges:
            self._copies.move_to_end((key, None))
            value, tag = self._copies[key, None]
            return (value if range is None else memoryview(value)[range[0] : range[1]]), tag
        if range is None:
            return None
        if range in ranges:
            self._copies.move_to_end((key, range))
            return self._copies[key, range]
        start, stop = range
        if start < 0 or stop is None:
            return None
        for other in ranges:
            if other is not None and 0 <= other.start <= start and other.stop is not None and stop <= other.stop:
                value, tag = self._copies[key, other]
                if len(value) == other.stop - other.start:  # else the value ends in it
                    self._copies.move_to_end((key, other))
                    return memoryview(value)[start - other.start : max(start, stop) - other.start], tag
        return None

    def keep(self, key: Key, range: ByteRange | None, value: bytes, tag: Hashable | None) -> None:
        """Keep a copy. What is kept of another version of this value goes."""
        for other in [*self._ranges.get(key, ())]:
            if range is None or other == range or self._copies[key, other][1] != tag:
                self._remove(key, other)
        if len(value) > self.limit:
            return
        self._copies[key, range] = value, tag
        self._ranges.setdefault(key, set()).add(range)
        self.nbytes += len(value)
        while self.nbytes > self.limit:
            self._remove(*next(iter(self._copies)))
            self.evicted += 1

    def drop(self, key: Key) -> None:
        """Forget all of this value."""
        for range in [*self._ranges.get(key, ())]:
            self._remove(key, range)

    def drop_prefix(self, prefix: str) -> None:
        """Forget all values whose keys start with `prefix`."""
        for key in [key for key in self._ranges if key.startswith(prefix)]:
            self.drop(key)

    def _remove(self, key: Key, range: ByteRange | None) -> None:
        value, _ = self._copies.pop((key, range))
        self.nbytes -= len(value)
        ranges = self._ranges[key]
        ranges.discard(range)
        if not ranges:
            del self._ranges[key]


@dataclass(slots=True)
class _File:
    path: str
    nbytes: int
    used: float


class FileCopies:
    """The same in files under `path`, one for each copy, shared by all processes that name the same directory.

    name: what tells the objects of this store from those of others in the directory; "name/key" is the whole name of one. A
    file is written aside and renamed, and what is read from one is used only if length and crc32c are right, so neither a
    crash nor another process makes a torn copy. The limit holds for the directory: a process that finds it passed removes the
    files that were not used for longest. A directory that cannot be written to keeps nothing.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, limit: int) -> None:
        self.path, self.limit = absolute_path(path), limit
        self._name = name.rstrip("/")
        self.evicted = 0
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        self._swept: set[str] = set()
        #: What the files had in all when this process last looked, and what it added since.
        self.nbytes = sum(file.nbytes for file in self._files())

    def __len__(self) -> int:
        return sum(1 for _ in self._files())

    def _files(self) -> Iterator[_File]:
        with suppress(OSError), os.scandir(self.path) as folders:
            for folder in folders:
                if _FOLDER(folder.name):  # whatever else lies there is not ours to remove
                    with suppress(OSError), os.scandir(folder.path) as entries:
                        for entry in entries:
                            if not entry.name.startswith(TEMP_PREFIX):
                                with suppress(OSError):
                                    info = entry.stat(follow_symlinks=False)
                                    yield _File(entry.path, info.st_size, info.st_mtime)

    def _stem(self, key: Key) -> tuple[str, str]:
        """The directory of the copies of a value, and how their names start."""
        digest = hashlib.sha256(f"{self._name}/{key}".encode()).hexdigest()
        return os.path.join(self.path, digest[:2]), digest[2:40]

    def _place(self, key: Key, range: ByteRange | None) -> str:
        end = "" if range is None else f".{range[0]}_{'' if range[1] is None else range[1]}"
        folder, name = self._stem(key)
        return os.path.join(folder, name + end)

    def find(self, key: Key, range: ByteRange | None) -> Copy | None:
        """The copy of this range, or of all of the value; None where there is none."""
        whole = self._read(self._place(key, None), key)
        if whole is not None:
            if range is None:
                return whole
            start, length = span(range, len(whole[0]))
            return whole[0][start : start + length], whole[1]
        return None if range is None else self._read(self._place(key, range), key)

    def _read(self, path: str, key: Key) -> Copy | None:
        try:
            with open(path, "rb") as file:
                data = file.read()
                used = os.fstat(file.fileno()).st_mtime
        except OSError:
            return None
        found = _opened(data)
        if found is None or found[0].get("name") != f"{self._name}/{key}":
            with suppress(OSError):
                os.unlink(path)
            return None
        now = time.time()
        if now - used > _USED_S:
            with suppress(OSError):
                os.utime(path, (now, now))
        return found[1], _hashable(found[0].get("tag"))

    def keep(self, key: Key, range: ByteRange | None, value: bytes, tag: Hashable | None) -> None:
        """Keep a copy. Where its version is not that of what is kept of this value, that goes."""
        told = tag if _is_json(tag) else None
        data = _closed({"name": f"{self._name}/{key}", "tag": told}, value)
        if range is None or any((_told(path) or {}).get("tag") != _listed(told) for path in self._of(key)):
            self.drop(key)
        if len(data) > self.limit:
            return
        folder, _ = self._stem(key)
        temp = os.path.join(folder, temp_name())
        try:
            if folder not in self._swept:
                os.makedirs(folder, mode=0o700, exist_ok=True)
                remove_leftovers(folder)
                self._swept.add(folder)
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                write_all(fd, memoryview(data))
            finally:
                os.close(fd)
            os.replace(temp, self._place(key, range))
        except OSError:  # a full disk, a directory that was taken away: it is only a cache
            with suppress(OSError):
                os.unlink(temp)
            return
        except BaseException:
            with suppress(OSError):
                os.unlink(temp)
            raise
        self.nbytes += len(data)
        if self.nbytes > self.limit:
            self._evict()

    def _of(self, key: Key) -> list_[str]:
        folder, stem = self._stem(key)
        with suppress(FileNotFoundError, NotADirectoryError):
            return [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(stem)]
        return []

    def _evict(self) -> None:
        files = sorted(self._files(), key=lambda file: file.used)
        self.nbytes = sum(file.nbytes for file in files)
        for file in files if self.nbytes > self.limit else ():
            if self.nbytes <= self.limit * _LOW:
                break
            with suppress(OSError):
                os.unlink(file.path)
            self.nbytes -= file.nbytes
            self.evicted += 1

    def drop(self, key: Key) -> None:
        """Forget all of this value. Raises OSError where a copy cannot be removed: it would be taken for the value."""
        for path in self._of(key):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def drop_prefix(self, prefix: str) -> None:
        """Forget all values whose keys start with `prefix`; likewise."""
        for file in self._files():
            told = _told(file.path)
            if told is None or str(told.get("name")).startswith(f"{self._name}/{prefix}"):
                with suppress(FileNotFoundError):
                    os.unlink(file.path)


def _closed(told: dict[str, Any], value: bytes) -> bytes:
    head = json.dumps(told).encode()
    crc = google_crc32c.extend(google_crc32c.value(head), value)
    return b"".join((_HEAD.pack(_MAGIC, len(head), len(value), crc), head, value))


def _opened(data: bytes) -> tuple[dict[str, Any], memoryview] | None:
    """What `_closed` was given; None for what is not whole."""
    if len(data) < _HEAD.size:
        return None
    magic, head, nbytes, crc = _HEAD.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEAD.size + head + nbytes or google_crc32c.value(data[_HEAD.size :]) != crc:
        return None
    told = json.loads(data[_HEAD.size : _HEAD.size + head])
    return told, memoryview(data)[_HEAD.size + head :]


def _told(path: str) -> dict[str, Any] | None:
    """What is said of a copy at the beginning of its file; None where that cannot be read."""
    try:
        with open(path, "rb") as file:
            magic, head, _, _ = _HEAD.unpack(file.read(_HEAD.size))
            told = json.loads(file.read(head)) if magic == _MAGIC else None
    except (OSError, ValueError, struct.error):
        return None
    return told if isinstance(told, dict) else None


def _listed(tag: Any) -> Any:
    return json.loads(json.dumps(tag))


def _is_json(tag: object) -> bool:
    if isinstance(tag, (list, tuple)):
        return all(_is_json(part) for part in tag)
    return tag is None or type(tag) in (str, int, float, bool)


def _hashable(tag: Any) -> Hashable:
    return tuple(_hashable(part) for part in tag) if isinstance(tag, list) else tag
