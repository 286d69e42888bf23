"""Writing: the whole, parts of chunks, appending, and chunks of shards. Each library writes an array of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import libraries
from benchmarks.libraries import BLOSC, ZSTD, document, sharded

from comparison.measure import OURS, Row, Stores, Task

_random = np.random.default_rng(2)
_CORNERS = _random.integers(0, 4096 - 100, (200, 2)).tolist()


def stored(name: str, path: Path, expected: Any) -> str | None:
    """What is wrong with the array that `name` wrote, as another library reads it."""
    others = [other for other in libraries.installed() if other != OURS]
    reader = OURS if name != OURS or not others else others[0]
    with libraries.pipeline(reader):
        found = libraries.read(reader, libraries.open_local(reader, path), np.s_[...])
    return None if np.array_equal(found, expected) else f"wrote {found!r} (as {reader} reads it), expected {expected!r}"


def writing(
    title: str, description: dict[str, Any], job: Callable[[str, Any], object], change: Callable[[Any], object], **more: Any
) -> Row:
    """A row that does `job` to an array that holds values already; `change` does the same to a NumPy array."""

    def task(name: str, stores: Stores) -> Task:
        path, values = stores.new(), libraries.values(tuple(description["shape"]))
        array = libraries.create_local(name, path, description)
        libraries.write(name, array, np.s_[...], values)
        change(values)
        return Task(lambda: job(name, array), lambda _: stored(name, path, values))

    return Row(title, task, **more)


def whole(title: str, description: dict[str, Any]) -> Row:
    """A full write of an array whose objects are there already."""
    values = libraries.values(tuple(description["shape"]), seed=1)

    def change(array: Any) -> None:
        array[...] = values

    return writing(title, description, lambda name, array: libraries.write(name, array, np.s_[...], values), change)


def new(title: str, description: dict[str, Any]) -> Row:
    """A full write of a new array, the way of most: the objects are not there yet. Making the array is not timed."""

    def task(name: str, stores: Stores) -> Task:
        path, values = stores.new(), libraries.values(tuple(description["shape"]))
        made: list[Any] = []

        def before() -> None:
            shutil.rmtree(path, ignore_errors=True)
            made[:] = [libraries.create_local(name, path, description)]

        run = lambda: libraries.write(name, made[0], np.s_[...], values)  # noqa: E731  # as short as the others
        return Task(run, lambda _: stored(name, path, values), before)

    return Row(title, task)


def unaligned() -> Row:
    block = libraries.values((100, 100), seed=3)

    def job(name: str, array: Any) -> None:
        for i, j in _CORNERS:
            libraries.write(name, array, np.s_[i : i + 100, j : j + 100], block)

    def change(array: Any) -> None:
        for i, j in _CORNERS:
            array[i : i + 100, j : j + 100] = block

    return writing("200 unaligned 100x100 writes, 512x512 blosc-lz4", document((4096, 4096), (512, 512), BLOSC), job, change)


def appends() -> Row:
    """Two thousand rows of 1,024 in 64 appends of 32; a chunk of 512 rows is changed sixteen times."""
    description = document((0, 1024), (512, 512), ZSTD)
    values = libraries.values((2048, 1024))

    def task(name: str, stores: Stores) -> Task:
        path = stores.new()
        made: list[Any] = []

        def before() -> None:
            shutil.rmtree(path, ignore_errors=True)
            made[:] = [libraries.create_local(name, path, description)]

        def run() -> None:
            array = made[0]
            for start in range(0, 2048, 32):
                array = libraries.append(name, array, values[start : start + 32])

        return Task(run, lambda _: stored(name, path, values), before)

    return Row("64 appends of 32 rows, 512x512 zstd", task)


def one_element() -> Row:
    def change(array: Any) -> None:
        array[5, 5] = 1

    def job(name: str, array: Any) -> None:
        for _ in range(20):
            libraries.write(name, array, (5, 5), 1.0)

    return writing("z[5, 5] = 1, 64x64 zstd", document((1024, 1024), (64, 64), ZSTD), job, change, calls=20)


def one_of_a_shard() -> Row:
    chunk = libraries.values((64, 64), seed=1)

    def change(array: Any) -> None:
        array[64:128, 640:704] = chunk

    return writing(
        "one 64x64 chunk of a shard of 16 MiB",
        sharded((2048, 2048), (2048, 2048), (64, 64)),
        lambda name, array: libraries.write(name, array, np.s_[64:128, 640:704], chunk),
        change,
    )


WRITES = [
    whole("full write, 512x512 zstd", document((4096, 4096), (512, 512), ZSTD)),
    whole("full write 2048x2048, 64x64 zstd", document((2048, 2048), (64, 64), ZSTD)),
    new("full write 2048x2048, 64x64 zstd, new", document((2048, 2048), (64, 64), ZSTD)),
    whole("full write 2048x2048, 64x64 zstd in one shard", sharded((2048, 2048), (2048, 2048), (64, 64))),
    unaligned(),
    appends(),
    one_element(),
    one_of_a_shard(),
]
