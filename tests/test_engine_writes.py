"""Chunks replaced whole, the short way: the same objects as the general way leaves, whatever is written and in which order."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.engine import Engine

COMPRESSORS: list[Any] = [None, "zstd", "blosc", ["zstd", "crc32c"]]


def random_index(rng: random.Random, shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[Any, ...]:
    entries: list[Any] = []
    for n, c in zip(shape, chunks, strict=True):
        start, stop = sorted(rng.choices(range(n + 1), k=2))
        first = c * rng.randrange(-(-n // c))
        aligned = slice(first, min(n, first + 2 * c))
        choices = [
            slice(None),
            slice(None, None, -1),
            aligned,
            aligned,
            slice(start, stop),
            rng.randrange(n),
            [rng.randrange(n)],
        ]
        entries.append(rng.choice(choices))
    return tuple(entries)


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the parts that were written the general way."""
    parts: list[int] = []
    write = Engine._write_part

    def counted(*args: Any) -> None:
        parts.append(1)
        write(*args)

    monkeypatch.setattr(Engine, "_write_part", counted)
    return parts


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compressor", COMPRESSORS, ids=str)
def test_the_short_way_leaves_what_the_general_way_leaves(compressor: Any, order: str) -> None:
    rng = random.Random(3)
    for dtype in ("<f4", ">i2", "M8[s]", [("a", "u1"), ("b", "<f8")]):
        for shape, chunks in (((37, 24), (8, 6)), ((50,), (7,)), ((), ()), ((6, 7, 8), (2, 7, 3))):
            a = np.zeros(shape, dtype)
            stores = [ndzarr.MemoryStore(), ndzarr.MemoryStore()]
            arrays = [
                ndzarr.create_array(
                    store,
                    shape=shape,
                    chunks=chunks,
                    dtype=dtype,
                    compressor=compressor,
                    order=order,
                    fill_value=0,
                    zarr_format=2,
                )
                for store in stores
            ]
            for _ in range(25):
                index = random_index(rng, shape, chunks)
                part = a[index]
                value: Any = np.frombuffer(rng.randbytes(part.nbytes), dtype).reshape(part.shape)
                if rng.random() < 0.3:  # fill values, of which no chunk is kept; broadcast, so that strides are 0
                    value = np.broadcast_to(np.zeros((), dtype), part.shape)
                elif rng.random() < 0.3 and part.ndim == 2:
                    value = np.asfortranarray(value)
                a[index] = value
                arrays[0][index] = value
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Engine, "_full", lambda self: None)
                    arrays[1][index] = value
            assert arrays[0][...].tobytes() == a.tobytes()
            keys = set(stores[0].list())
            assert keys == set(stores[1].list())
            assert all(stores[0].get(key) == stores[1].get(key) for key in keys)


def test_which_parts_go_the_short_way(general: list[int]) -> None:
    z = ndzarr.create_array(shape=(20, 20), chunks=(8, 8), dtype="i4", compressor="zstd")
    z[...] = np.arange(400).reshape(20, 20)
    assert len(general) == 5  # the chunks over the edge: another handle may know of more rows
    z[:16, 15::-1] = 1
    assert len(general) == 5
    z[:16, :15] = 1
    assert len(general) == 7
    assert np.array_equal(z[:16, :16], np.ones((16, 16)))


def test_values_do_not_change_the_chunks_before() -> None:
    """Each thread puts strided pieces of the value together in one place: what was stored from it may not change with it."""
    for compressor in (None, "zstd", "blosc"):
        for shards in (None, (16, 16)):
            a = np.arange(64 * 64, dtype="f4").reshape(64, 64)
            z = ndzarr.create_array(shape=a.shape, chunks=(8, 8), shards=shards, dtype="f4", compressor=compressor)
            z[...] = a
            assert np.array_equal(z[...], a)
            z[::-1] = a
            assert np.array_equal(z[::-1], a)
