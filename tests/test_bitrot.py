"""Promise P12: with `checksum=True` every flipped bit is found, or changes nothing; in each codec, format and shard."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndzarr

_RNG = np.random.default_rng(5)
VALUES = np.cumsum(_RNG.integers(-3, 4, (20, 30)), axis=1).astype("<i4")
_WORDS = np.array(["", "word", "wörter", "中文", "a longer line of text"], object)

#: Keywords of `create_array`; the values are those above unless `dtype` says otherwise.
ARRAYS: dict[str, dict[str, Any]] = {
    **{str(name): {"compressor": name} for name in (None, "zstd", "zlib", "gzip", "blosc", "lz4", "bz2", "lzma", "snappy")},
    "zstd, format 2": {"compressor": "zstd", "zarr_format": 2},
    "raw, format 2": {"compressor": None, "zarr_format": 2},
    "blosc and delta, format 2": {"compressor": "blosc", "filters": [{"id": "delta", "dtype": "<i4"}], "zarr_format": 2},
    "order F": {"compressor": None, "order": "F"},
    "big-endian": {"compressor": "zstd", "dtype": ">f8"},
    "strings": {"dtype": np.dtypes.StringDType(), "compressor": "zstd"},
    "objects, format 2": {"dtype": object, "filters": [{"id": "vlen-utf8"}], "compressor": "lz4", "zarr_format": 2},
    "shards": {"compressor": "zstd", "chunks": (5, 10), "shards": (20, 30)},
    "raw shards": {"compressor": None, "chunks": (5, 10), "shards": (20, 30)},
}


def made(name: str) -> tuple[ndzarr.ZArray, np.ndarray[Any, Any], str, bytes]:
    """The array, its values, its one object's key and bytes."""
    keywords = {"dtype": "<i4", "chunks": VALUES.shape, **ARRAYS[name]}
    values = _WORDS[np.abs(VALUES) % 5] if keywords["dtype"] in (object, np.dtypes.StringDType()) else VALUES
    z = ndzarr.create_array(ndzarr.MemoryStore(), shape=VALUES.shape, checksum=True, **keywords)
    z[...] = values
    (key,) = (key for key in z.store.list() if not key.endswith(("zarr.json", ".zarray", ".zattrs")))
    return z, z[...], key, bytes(z.store.get(key) or b"")


def flips(name: str, count: int) -> tuple[int, int]:
    """How many of `count` objects with flipped bits were refused, and how many had the same values still."""
    z, values, key, good = made(name)
    rng = random.Random(name)
    refused = same = 0
    for _ in range(count):
        damaged = bytearray(good)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        if damaged == good:
            continue
        z.store.set(key, bytes(damaged))
        try:
            found = z[...]
        except ndzarr.CorruptChunkError as error:
            refused += error.key == key
            continue
        assert found.tolist() == values.tolist(), name
        same += 1
    return refused, same


@pytest.mark.parametrize("name", ARRAYS)
def test_flipped_bits(name: str, record_property: Callable[[str, object], None]) -> None:
    refused, same = flips(name, 600)
    assert refused + same > 590
    record_property("count: objects with flipped bits, each found or harmless", refused + same)
    record_property("count: objects with flipped bits, harmless", same)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARRAYS)
def test_many_flipped_bits(name: str, record_property: Callable[[str, object], None]) -> None:
    refused, same = flips(name, 6000)
    assert refused + same > 5900
    record_property("count: objects with flipped bits, each found or harmless", refused + same)
    record_property("count: objects with flipped bits, harmless", same)


@pytest.mark.parametrize("name", ["None", "lz4"])
def test_without_a_checksum_they_are_not_all_found(name: str) -> None:
    """So that it is known that this notices."""
    keywords = ARRAYS[name]
    z = ndzarr.create_array(ndzarr.MemoryStore(), shape=VALUES.shape, chunks=VALUES.shape, dtype="<i4", **keywords)
    z[...] = VALUES
    good = bytes(z.store.get("c/0/0") or b"")
    wrong = 0
    for bit in range(0, 8 * len(good), 97):
        z.store.set("c/0/0", good[: bit // 8] + bytes([good[bit // 8] ^ (1 << bit % 8)]) + good[bit // 8 + 1 :])
        try:
            wrong += not np.array_equal(z[...], VALUES)
        except ndzarr.CorruptChunkError:
            continue
    assert wrong > 10
