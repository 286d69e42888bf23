"""Promise P4 on S3: of two processes that write half of every chunk at the same time, neither loses anything."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndzarr
from tests.places import place

pytestmark = pytest.mark.once

CHUNKS = 2000


def _write_half(url: str, options: dict[str, Any], half: int, together: Any) -> None:
    array = ndzarr.open_array(ndzarr.ObjectStore(url, **options), "r+")
    together.wait(60)
    for first in range(0, CHUNKS, 100):  # a hundred chunks in one call, the other process at the same hundred
        rows = np.arange(first, first + 100, dtype="i4")
        array[first : first + 100, 4 * half : 4 * half + 4] = 2 * rows[:, None] + half


@pytest.mark.parametrize("shards", [None, (4, 8)], ids=["chunks", "shards"])
def test_two_processes_write_half_of_every_chunk(
    shards: Any, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    found = place(request, "moto", "obstore")
    array = ndzarr.create_array(
        found.store(), shape=(CHUNKS, 8), chunks=(1, 8), shards=shards, dtype="i4", fill_value=-1, zarr_format=3
    )
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    processes = [context.Process(target=_write_half, args=(found.url, found.options, half, together)) for half in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    wanted = np.arange(CHUNKS, dtype="i4")[:, None] * 2 + np.repeat([0, 1], 4)
    lost = int((array[...] != wanted).any(axis=1).sum())
    record_property("count: chunks written by two processes", CHUNKS)
    assert lost == 0
