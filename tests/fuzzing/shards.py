"""Shards: their indexes, the chunks in them, and shards in shards."""

from __future__ import annotations

import random
import struct
from typing import Any

import google_crc32c
import numpy as np

import ndzarr
from ndzarr._typing import NDArray
from ndzarr.errors import CorruptChunkError
from tests.fuzzing import mutators
from tests.fuzzing.subjects import CHANGED, UNCHANGED, OutcomeError, Subject, refused, same

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_KEY = "a/b/c/0/0"
_COUNT = 12
_VALUES = np.arange(1, 97, dtype="<i4").reshape(8, 12)
_MISSING = (1 << 64) - 1


def _sharding(chunks: list[int], codecs: list[Any], location: str, index: list[Any]) -> dict[str, Any]:
    configuration = {"chunk_shape": chunks, "codecs": codecs, "index_codecs": index, "index_location": location}
    return {"name": "sharding_indexed", "configuration": configuration}


class ShardSubject(Subject):
    """One array of one shard, 12 chunks in it. `checked`: each chunk and the index end in a CRC-32C; `leaf`: chunks' shape."""

    row = "shards"
    chunk_nbytes = _VALUES.nbytes
    ways = 3

    def __init__(
        self, name: str, chain: list[Any], *, start: bool = False, checked: bool = False, leaf: tuple[int, int] = (2, 4)
    ) -> None:
        self.name, self.start, self.checked, self.leaf = name, start, checked, leaf
        made = []
        for values in (_VALUES, _VALUES[::-1], np.where(_VALUES % 5, 0, _VALUES)):
            z = ndzarr.create_array(
                ndzarr.MemoryStore(), path="a/b", shape=(8, 12), dtype="<i4", chunks=(8, 12), compressor=chain, zarr_format=3
            )
            z[...] = values
            made.append(z)
        self.z = made[0]
        self.goods = [bytes(z.store.get(_KEY) or b"") for z in made]
        self.wanted = [z[...] for z in made]
        self._index_nbytes = 16 * _COUNT + (4 if '"crc32c"' in repr(chain).replace("'", '"') else 0)

    def _index(self, data: bytes) -> bytes:
        return data[: self._index_nbytes] if self.start else data[-self._index_nbytes :]

    def mutate(self, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return super().mutate(rng)
        # An entry that lies, under a checksum that is right.
        good = self.goods[0]
        size = self._index_nbytes
        entries = bytearray(self._index(good)[: 16 * _COUNT])
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = 8 * rng.randrange(2 * _COUNT)
            old = struct.unpack_from("<Q", entries, at)[0]
            other = struct.unpack_from("<Q", entries, 8 * rng.randrange(2 * _COUNT))[0]
            numbers = (0, 1, old + 1, old - 1, other, len(good), len(good) - 1, _MISSING, _MISSING - rng.randrange(99), 1 << 63)
            number = rng.choice((*numbers, 1 << 40, rng.getrandbits(64), old + (1 << 32)))
            struct.pack_into("<Q", entries, at, number & _MISSING)
        index = bytes(entries)
        if size > 16 * _COUNT:
            index += struct.pack("<I", google_crc32c.value(index))
        found = index + good[size:] if self.start else good[:-size] + index
        return found if rng.random() < 0.8 else mutators.damaged(rng, found, self.goods)

    def judge(self, data: bytes, way: int) -> str:
        self.z.store.set(_KEY, data)
        index: Any = (..., (3, len(data) % 12), (slice(1, 7, 2), slice(0, 4)))[way]
        try:
            found = np.asarray(self.z[index])
        except Exception as error:
            return refused(error, CorruptChunkError, names=lambda e: e.key == _KEY and _KEY in str(e) and bool(e.codec))
        wanted = np.asarray(self.wanted[0][index])
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise OutcomeError("shape", f"{found.shape} {found.dtype}, expected {wanted.shape} {wanted.dtype}")
        if same(found, wanted):
            return UNCHANGED
        if self.checked and self._index(data) in map(self._index, self.goods) and not self._exchanged(found, index):
            raise OutcomeError("garbage", f"wrong values under checksums, {len(data)} bytes")
        return CHANGED

    def _exchanged(self, found: NDArray, index: Any) -> bool:
        """Whether all values are those of good chunks, in other places maybe: a checksum does not say where it belongs."""
        height, width = self.leaf
        rows, columns = (np.broadcast_to(axis, _VALUES.shape)[index] for axis in np.ogrid[:8, :12])
        good = {
            (n % height, m % width, int(wanted[n, m]))
            for wanted in (*self.wanted, 0 * _VALUES)
            for n in range(8)
            for m in range(12)
        }
        places = zip(np.ravel(rows), np.ravel(columns), np.ravel(found), strict=True)
        return all((int(n) % height, int(m) % width, int(value)) in good for n, m, value in places)


def subjects() -> list[Subject]:
    zstd = {"name": "zstd", "configuration": {"level": 1}}
    index = [LITTLE, "crc32c"]
    turned = {"name": "transpose", "configuration": {"order": [1, 0]}}
    inner = _sharding([2, 2], [LITTLE, zstd, "crc32c"], "end", index)
    plain = _sharding([2, 2], [LITTLE], "start", [LITTLE])
    return [
        ShardSubject("shard raw", [_sharding([2, 4], [LITTLE], "end", index)]),
        ShardSubject("shard crc32c", [_sharding([2, 4], [LITTLE, "crc32c"], "end", index)], checked=True),
        ShardSubject(
            "shard crc32c start", [_sharding([2, 4], [LITTLE, zstd, "crc32c"], "start", index)], start=True, checked=True
        ),
        ShardSubject("shard without checksums", [_sharding([2, 4], [LITTLE, zstd], "end", [LITTLE])]),
        ShardSubject("shard of vast index", [_sharding([2, 4], [turned, LITTLE, "gzip"], "start", [LITTLE])], start=True),
        ShardSubject("shard of shards", [_sharding([4, 2], [inner], "end", index)], checked=True, leaf=(2, 2)),
        ShardSubject("shard of raw shards", [_sharding([4, 2], [plain], "end", index)]),
        ShardSubject("shard under gzip", [_sharding([2, 4], [LITTLE, "crc32c"], "end", index), "gzip"]),
        ShardSubject("shard turned", [turned, _sharding([3, 4], [LITTLE], "end", index), "crc32c"]),
    ]
