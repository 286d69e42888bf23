"""A store of one's own: everything in one file, to which is only ever appended.

    python journal_store.py

A record is a head (the lengths of key and value), the key and the value; a deletion is a record without a value. What lies
where is kept in memory, and brought up to date before each look by reading the heads that were added since. Nothing that
was written ever changes, so a reader needs no lock, and the offset of a record is the tag of its version.

One process writes, any number read. A write that a crash cut short is dropped by the next one that writes. Room is not
given back: copy into a new file (`ndzarr.copy`) for that.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import ndzarr
from ndzarr import Store
from ndzarr.keys import check_key, check_prefix
from ndzarr.stores.base import as_bytes

HEAD = struct.Struct("<IQ")
DELETED = 2**64 - 1


class JournalStore(Store):
    """Keys and values in the file at `path`, which the first write makes. Thread-safe; pickles by its path."""

    scheme = "journal"
    tagged = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(path)
        self._open_anew()

    def _open_anew(self) -> None:
        self._lock = threading.Lock()
        self._file = -1
        self._writes = False
        self._end = 0
        self._places: dict[str, tuple[int, int]] = {}  # key -> (offset, length) of its value

    @property
    def url(self) -> str:
        return f"journal://{self.path}"

    # ---- the four methods that every store has -------------------------------------------------------------------------

    def get(self, key: str, range: Any = None) -> bytes | None:
        found = self.get_tagged(key, range)
        return None if found is None else found[0]

    def set(self, key: str, value: Any) -> None:
        check_key(key)
        data = as_bytes(key, value)
        self._append("write", key, len(data), data)

    def delete(self, key: str) -> None:
        if self._place(check_key(key)) is not None:
            self._append("delete", key, DELETED, b"")

    def list(self, prefix: str = "") -> Iterable[str]:
        check_prefix(prefix)
        with self._lock:
            self._catch_up("list", prefix)
            return [key for key in self._places if key.startswith(prefix)]

    # ---- what this place can do better than the defaults ---------------------------------------------------------------

    def get_tagged(self, key: str, range: Any = None) -> tuple[bytes, Hashable] | None:
        place = self._place(check_key(key))
        if place is None:
            return None
        offset, nbytes = place
        start, stop, _ = slice(0, None).indices(nbytes) if range is None else slice(*range).indices(nbytes)
        try:
            return os.pread(self._file, max(0, stop - start), offset + start), offset
        except OSError as error:
            raise self._failed("read", key, error) from error  # never None: that would be read as fill values

    def tag(self, key: str) -> Hashable | None:
        place = self._place(check_key(key))
        return None if place is None else place[0]

    def size(self, key: str) -> int | None:
        place = self._place(check_key(key))
        return None if place is None else place[1]

    def object_id(self, key: str) -> Hashable:
        return (self.path, key)  # two handles on one file take the same locks

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file, self._writes = -1, False

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._open_anew()

    # ---- the file ------------------------------------------------------------------------------------------------------

    def _place(self, key: str) -> tuple[int, int] | None:
        """Where the value of `key` lies, as (offset, length)."""
        with self._lock:
            self._catch_up("read", key)
            return self._places.get(key)

    def _append(self, what: str, key: str, nbytes: int, value: bytes) -> None:
        name = key.encode()
        record = HEAD.pack(len(name), nbytes) + name + value
        try:
            with self._lock:
                if not self._writes:
                    if self._file >= 0:
                        os.close(self._file)
                    self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
                    self._writes = True
                    self._read_heads()
                    os.ftruncate(self._file, self._end)  # the rest is what a crash left of a record
                written = 0
                while written < len(record):
                    written += os.write(self._file, memoryview(record)[written:])
                self._read_heads()
        except OSError as error:
            raise self._failed(what, key, error) from error

    def _catch_up(self, what: str, key: str) -> None:
        try:
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDONLY)
            self._read_heads()
        except FileNotFoundError:
            pass  # nothing was written yet
        except OSError as error:
            raise self._failed(what, key, error) from error

    def _read_heads(self) -> None:
        """Take note of the records that were added since the last time."""
        end = os.fstat(self._file).st_size
        while self._end + HEAD.size <= end:
            name_length, nbytes = HEAD.unpack(os.pread(self._file, HEAD.size, self._end))
            offset = self._end + HEAD.size + name_length
            if offset + (0 if nbytes == DELETED else nbytes) > end:
                return  # not all of it is there, yet
            key = os.pread(self._file, name_length, self._end + HEAD.size).decode()
            if nbytes == DELETED:
                self._places.pop(key, None)
                self._end = offset
            else:
                self._places[key] = (offset, nbytes)
                self._end = offset + nbytes


def main() -> None:
    ndzarr.register_store(JournalStore)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "run.journal")
        z = ndzarr.create_array(f"journal://{path}", shape=(0, 100), chunks=(10, 100), dtype="f4")
        for step in range(25):
            z.append(np.full((1, 100), step, "f4"))
        again = ndzarr.open(f"journal://{path}")
        print(again.shape, again[::6, 0])
        print(f"{len(list(again.store.list()))} objects in one file of {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
