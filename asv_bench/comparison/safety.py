"""What safety costs: the rows of the comparison, done by ndzarr with one precaution or another left out.

What is left out is left out from outside, by putting something else in the place of a function; the library has no switch for
it, but for locks between processes and for what is an option anyway.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import ndzarr
from comparison.measure import OURS, Row, Stores
from ndzarr.codecs import blosc, zstd
from ndzarr.stores import local

Setting = Callable[[], AbstractContextManager[Any]]
#: How often a row is run by every variant before the clock counts.
_LEAST = 5


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do the rows: its name, and the context that it is done in."""

    name: str
    setting: Setting


@contextmanager
def without_locks() -> Iterator[None]:
    """Nobody is kept out: neither other processes nor other threads."""
    free = nullcontext()
    with patch.object(local.LocalStore, "lock", lambda self, key: free):
        yield


@contextmanager
def without_checks() -> Iterator[None]:
    """Keys go to the file system, and chunks to the C libraries, unseen."""

    def header(data: Any, size: int | None, limit: int) -> tuple[int, int]:
        _, _, flags, _, nbytes, _, _ = blosc._HEADER.unpack_from(data)
        return flags, nbytes

    quick = zstd.ZstdCodec.quick

    def believed(self: zstd.ZstdCodec, size: int) -> Any:
        context = zstd._context() if size <= zstd._SMALL else None
        return quick(self, size) if context is None else context.decompress

    with (
        patch.object(local, "check_key", lambda key: key),
        patch.object(blosc, "_check", header),
        patch.object(zstd.ZstdCodec, "quick", believed),
    ):
        yield


@contextmanager
def without_both() -> Iterator[None]:
    with without_locks(), without_checks():
        yield


@contextmanager
def in_place() -> Iterator[None]:
    """Files are written where they are, half of a chunk to be seen by whoever looks meanwhile, or after a crash."""

    def write(self: Any, path: str, folder: str, view: memoryview, durable: bool) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            local.write_all(fd, view)
        finally:
            os.close(fd)

    with patch.object(local.LocalStore, "_replace", write):
        yield


AS_IT_IS = Variant("as it is", nullcontext)
#: What is there always, in a file system in memory, where it weighs most.
PRECAUTIONS = [
    AS_IT_IS,
    Variant("without locks", without_locks),
    Variant("without checks", without_checks),
    Variant("without both", without_both),
]
#: What keeps crashes from doing harm, on a disk.
DISK = [
    AS_IT_IS,
    Variant("threads only", lambda: ndzarr.options(exclusive=False)),
    Variant("in place", in_place),
    Variant("durable=True", lambda: ndzarr.options(durable=True)),
]


@dataclass(frozen=True, slots=True)
class Cost:
    """seconds: of one call by each variant, medians. ratios: time as it is / time of the variant, medians of rounds."""

    seconds: dict[str, float]
    ratios: dict[str, float]


def cost(row: Row, variants: list[Variant], stores: Stores, rounds: int, limit_s: float) -> Cost:
    """The row done by every variant in turn, over `rounds` rounds or as many as start within `limit_s` seconds."""
    tasks = {}
    for variant in variants:
        with variant.setting():
            task = tasks[variant.name] = row.task(OURS, stores)
            task.before()
            wrong = task.wrong(task.run())
        if wrong is not None:
            raise SystemExit(f"{row.title}, {variant.name}: {wrong}")
    taken: dict[str, list[float]] = {variant.name: [] for variant in variants}
    order = [*variants]
    started = time.perf_counter()
    for round_ in range(rounds):
        if round_ >= _LEAST and time.perf_counter() - started > limit_s:
            break
        order.append(order.pop(0))
        for variant in order:
            task = tasks[variant.name]
            with variant.setting():
                task.before()
                begun = time.perf_counter()
                result = task.run()
                taken[variant.name].append((time.perf_counter() - begun) / row.calls)
            del result
    base = taken[AS_IT_IS.name]
    ratios = {
        name: statistics.median(ours / theirs for ours, theirs in zip(base, times, strict=True))
        for name, times in taken.items()
        if name != AS_IT_IS.name
    }
    return Cost({name: statistics.median(times) for name, times in taken.items()}, ratios)
