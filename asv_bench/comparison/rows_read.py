"""Reading: the whole, single points, windows, scattered elements, strides, rows, and the mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from benchmarks import libraries
from benchmarks.libraries import BLOSC, ZLIB, ZSTD, document, sharded

from comparison.bare import whole_read
from comparison.measure import Row, Stores, Task, equal

SHAPE = (4096, 4096)
#: What is read: 4096 x 4096 float32 in chunks of 1 MiB, of 16 KiB, or those in shards of 16 MiB.
LARGE, SMALL = (512, 512), (64, 64)
SHARDED = sharded(SHAPE, (2048, 2048), SMALL)
_random = np.random.default_rng(0)
_POINTS = _random.integers(0, 4096, (200, 2)).tolist()
_CORNERS = _random.integers(0, 4096 - 64, (200, 2)).tolist()
_SCATTERED = _random.integers(0, 4096, (2, 20_000))
_ROWS = np.sort(_random.choice(4096, 200, replace=False))

#: What is done with an opened array, by library.
Job = Callable[[str, Any], Any]


def reading(
    title: str, description: dict[str, Any], job: Job, expected: Callable[[Any], Any], cache: int = 0, **more: Any
) -> Row:
    """A row that does `job` to the array; what it gives is to be `expected(values)`."""

    def task(name: str, stores: Stores) -> Task:
        path, values = stores.get(description)
        return Task(partial(job, name, libraries.open_local(name, path, cache=cache)), equal(expected(values)))

    return Row(title, task, **more)


def whole(title: str, description: dict[str, Any]) -> Row:
    plain = description["zarr_format"] == 2
    return reading(
        f"full read, {title}",
        description,
        lambda name, array: libraries.read(name, array, np.s_[...]),
        lambda values: values,
        bare=whole_read(description) if plain else None,
    )


def points(title: str, description: dict[str, Any]) -> Row:
    def job(name: str, array: Any) -> Any:
        return np.array([libraries.read(name, array, (i, j)) for i, j in _POINTS])

    return reading(f"200 single points, {title}", description, job, lambda values: values[tuple(np.transpose(_POINTS))])


def windows(title: str, description: dict[str, Any], cache: int = 0) -> Row:
    def job(name: str, array: Any) -> Any:
        return [libraries.read(name, array, np.s_[i : i + 64, j : j + 64]) for i, j in _CORNERS]

    def expected(values: Any) -> Any:
        return np.stack([values[i : i + 64, j : j + 64] for i, j in _CORNERS])

    return reading(f"200 random 64x64 windows, {title}", description, job, expected, cache)


def slabs(title: str, description: dict[str, Any]) -> Row:
    """The whole array by slabs of one row of chunks each, as what streams over it reads it."""
    step = description["chunks"][0]

    def job(name: str, array: Any) -> Any:
        return [libraries.read(name, array, np.s_[start : start + step])[0] for start in range(0, 4096, step)]

    return reading(f"{4096 // step} slabs, {title}", description, job, lambda values: values[::step])


def mean(title: str, description: dict[str, Any]) -> Row:
    """The mean over axis 0; see `libraries.mean_of_columns`. tensorstore's best slab for 64x64 chunks is 512 rows, not 64."""

    def task(name: str, stores: Stores) -> Task:
        path, values = stores.get(description)
        array, expected = libraries.open_local(name, path), values.mean(axis=0, dtype="f8")

        def wrong(found: Any) -> str | None:
            # How doubles add up depends on their order.
            return None if np.allclose(found, expected, rtol=1e-6) else f"gives {found!r}, expected {expected!r}"

        return Task(lambda: libraries.mean_of_columns(name, array, 512), wrong)

    return Row(f"mean over axis 0, {title}", task)


def point_in_memory() -> Row:
    def task(name: str, _: Stores) -> Task:
        array = libraries.create_memory(name, (1024, 1024), SMALL)
        values = libraries.values(SMALL)
        libraries.write(name, array, np.s_[:64, :64], values)

        def run() -> Any:
            for _ in range(199):
                libraries.read(name, array, (5, 5))
            return libraries.read(name, array, (5, 5))

        return Task(run, equal(values[5, 5]))

    return Row("z[5, 5], in memory, 64x64 raw", task, calls=200)


def many_shards() -> Row:
    """One random 64x64 window of an array in 16 shards of 1,024 chunks each: more than anyone keeps indices of by itself."""
    corners = np.random.default_rng(1).integers(0, 8192 - 64, (100, 2)).tolist()

    def job(name: str, array: Any) -> Any:
        return [libraries.read(name, array, np.s_[i : i + 64, j : j + 64])[0] for i, j in corners]

    def expected(values: Any) -> Any:
        return np.stack([values[i, j : j + 64] for i, j in corners])

    description = sharded((8192, 8192), (2048, 2048), SMALL)
    return reading("one 64x64 window of 16 shards, zstd", description, job, expected, calls=100)


def _of(chunks: tuple[int, int], compressor: dict[str, Any] | None) -> dict[str, Any]:
    return document(SHAPE, chunks, compressor)


WHOLE = [
    whole("512x512 blosc-lz4", _of(LARGE, BLOSC)),
    whole("512x512 zstd", _of(LARGE, ZSTD)),
    whole("512x512 zlib", _of(LARGE, ZLIB)),
    whole("512x512 raw", _of(LARGE, None)),
    whole("64x64 zstd", _of(SMALL, ZSTD)),
    whole("64x64 blosc-lz4", _of(SMALL, BLOSC)),
    whole("64x64 raw", _of(SMALL, None)),
    whole("64x64 zstd in 2048x2048 shards", SHARDED),
    whole("256x256 zstd in 2048x2048 shards", sharded(SHAPE, (2048, 2048), (256, 256))),
]

PARTS = [
    points("512x512 blosc-lz4", _of(LARGE, BLOSC)),
    points("64x64 zstd", _of(SMALL, ZSTD)),
    points("64x64 zstd in shards", SHARDED),
    windows("512x512 blosc-lz4", _of(LARGE, BLOSC)),
    windows("64x64 zstd in shards", SHARDED),
    windows("512x512 zstd", _of(LARGE, ZSTD)),
    windows("512x512 zstd, decoded chunks kept", _of(LARGE, ZSTD), 1 << 28),
    many_shards(),
    reading(
        "20,000 points by vindex, 64x64 zstd",
        _of(SMALL, ZSTD),
        lambda name, array: libraries.points(name, array, *_SCATTERED),
        lambda values: values[tuple(_SCATTERED)],
    ),
    reading(
        "z[::37, ::41], 64x64 zstd",
        _of(SMALL, ZSTD),
        lambda name, array: libraries.read(name, array, np.s_[::37, ::41]),
        lambda values: values[::37, ::41],
    ),
    reading(
        "oindex of 200 rows, 512x512 blosc-lz4",
        _of(LARGE, BLOSC),
        lambda name, array: libraries.some_rows(name, array, _ROWS),
        lambda values: values[_ROWS],
    ),
    slabs("64x64 zstd", _of(SMALL, ZSTD)),
    slabs("64x64 blosc-lz4", _of(SMALL, BLOSC)),
    slabs("64x64 raw", _of(SMALL, None)),
    point_in_memory(),
]

SUMS = [
    mean("64x64 zstd", _of(SMALL, ZSTD)),
    mean("64x64 blosc-lz4", _of(SMALL, BLOSC)),
    mean("512x512 zstd", _of(LARGE, ZSTD)),
]
