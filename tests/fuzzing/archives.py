"""Zip archives: their directory, local headers and members."""

from __future__ import annotations

import io
import os
import random
import struct
import tempfile
import zipfile
import zlib
from typing import Any

import numpy as np

import ndzarr
from ndzarr.errors import DataError, MemoryLimitError, StoreError
from tests.fuzzing.subjects import CHANGED, UNCHANGED, OutcomeError, Subject, refused


class ZipSubject(Subject):
    """One archive. Its members are listed and read: each is what it was, or an error, or its CRC was changed too."""

    row = "zip archives"
    chunk_nbytes = 4096

    def __init__(self, name: str, method: int, share: float) -> None:
        self.name, self.share = name, share
        self.goods = [_archive(method, comment) for comment in (b"", b"a comment", b"PK\x05\x06" + bytes(18))]
        with zipfile.ZipFile(io.BytesIO(self.goods[0])) as archive:
            self.members = {member: archive.read(member) for member in archive.namelist()}
        self._file: Any = None

    def mutate(self, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return super().mutate(rng)
        # A field of one of the records.
        good = bytearray(self.goods[0])
        magics = [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"]
        magic = rng.choice(magics)
        places = [at for at in range(len(good) - 4) if good[at : at + 4] == magic]
        at = rng.choice(places) + rng.randrange(4, 46)
        width = rng.choice((1, 2, 4))
        old = int.from_bytes(good[at : at + width], "little")
        number = rng.choice(
            (0, 1, old + 1, old - 1, old ^ (1 << rng.randrange(8 * width)), 0xFFFFFFFF, 0x7FFFFFFF, 8, 12, 14, 93, 99)
        )
        good[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        return bytes(good)

    def judge(self, data: bytes, way: int) -> str:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(suffix=".zip", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)  # noqa: SIM115  # for the life of the process
        self._file.seek(0)
        self._file.truncate()
        self._file.write(data)
        self._file.flush()
        verdicts = []
        try:
            with ndzarr.ZipStore(self._file.name) as store:
                listed = sorted(store.list())
                for key in listed:
                    verdicts.append(self._member(store, key, data))
                if listed != sorted(self.members):
                    verdicts.append(CHANGED)
                node = ndzarr.open(store)
                np.asarray(node["x"])
        except Exception as error:
            return refused(error, DataError, StoreError, MemoryLimitError, names=lambda e: bool(e.store or e.key or e.path))
        return CHANGED if CHANGED in verdicts else UNCHANGED

    def _member(self, store: ndzarr.ZipStore, key: str, data: bytes) -> str:
        try:
            found = bytes(store.get(key) or b"")
            assert store.size(key) == len(found)
        except Exception as error:
            return refused(error, StoreError, names=lambda e: e.key == key)
        if found == self.members.get(key):
            return UNCHANGED
        # The directory is under no checksum, and may say another one.
        if struct.pack("<L", zlib.crc32(found)) not in data:
            raise OutcomeError("garbage", f"wrong bytes of {key!r} under its CRC")
        return CHANGED


def _archive(method: int, comment: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.zip")
        with ndzarr.ZipStore(path, "w") as store:
            group = ndzarr.create_group(store, attributes={"a": 1})
            group.create_array("x", shape=(9,), dtype="<i4", chunks=(3,), compressor=None)[:] = range(9)
        with zipfile.ZipFile(path) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, value in found.items():
            archive.writestr(zipfile.ZipInfo(name), value, method)
        archive.comment = comment
    return file.getvalue()


def subjects() -> list[Subject]:
    return [
        ZipSubject("zip stored", zipfile.ZIP_STORED, 1.0),
        ZipSubject("zip deflated", zipfile.ZIP_DEFLATED, 1.0),
        ZipSubject("zip bzip2", zipfile.ZIP_BZIP2, 0.2),
        ZipSubject("zip lzma", zipfile.ZIP_LZMA, 0.2),
    ]
