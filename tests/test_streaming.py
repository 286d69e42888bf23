"""Cuts: every element in one block, none larger than allowed, borders kept where they can be."""

from __future__ import annotations

import math
import random
import threading

import numpy as np
import pytest

import ndzarr
from ndzarr import streaming
from ndzarr.testing.calls.wraps import zarray


def stored(shape: tuple[int, ...], chunks: tuple[int, ...], **more: object) -> ndzarr.ZArray:
    return ndzarr.create_array(None, shape=shape, chunks=chunks, dtype="f4", **more)


@pytest.mark.parametrize("seed", range(100))
def test_blocks_cover_the_shape_and_stay_small(seed: int) -> None:
    choose = random.Random(seed)
    shape = tuple(choose.randint(1, 30) for _ in range(choose.randint(1, 4)))
    chunks = tuple(choose.randint(1, n) for n in shape)
    whole = {axis for axis in range(len(shape)) if choose.random() < 0.3}
    z = stored(shape, chunks)
    limit = choose.choice([1, 64, 1000, 1 << 20])
    with ndzarr.options(working_memory=limit, workers=1):
        cut = streaming.cut([z], shape, whole=whole)
        seen = np.zeros(shape, int)
        for box in cut.boxes():
            seen[box] += 1
            size = math.prod(s.stop - s.start for s in box)
            least = math.prod(
                n if axis in whole else 1 if whole else c for axis, (n, c) in enumerate(zip(shape, chunks, strict=True))
            )
            assert size <= max(limit // 2 // 8, least)
            for axis in whole:
                assert box[axis] == slice(0, shape[axis], 1)
    assert (seen == 1).all()
    assert cut.nblocks == len(list(cut.boxes()))


def test_blocks_end_at_chunks_and_grow_to_shards() -> None:
    z = stored((64, 64), (4, 4), shards=(16, 32))
    with ndzarr.options(working_memory=8 * 2 * 16 * 32 * 4 * 2):
        cut = streaming.cut([z], z.shape)
        assert cut.stops == (list(range(16, 65, 16)), [32, 64])
        assert streaming.cut([z], z.shape, objects=True).stops == cut.stops


def test_the_largest_operand_decides() -> None:
    row, z = stored((1, 40), (1, 7)), stored((40, 40), (10, 20))
    with ndzarr.options(working_memory=1):
        assert streaming.cut([row, z], (40, 40)).stops == ([10, 20, 30, 40], [20, 40])


def test_nothing_to_cut() -> None:
    z = stored((0, 5), (1, 5))
    assert list(streaming.cut([z], z.shape).boxes()) == []
    assert list(streaming.cut([], ()).boxes()) == [()]


def test_read_broadcasts() -> None:
    a = np.arange(6.0).reshape(1, 6)
    box = (slice(1, 3, 1), slice(2, 5, 1))
    np.testing.assert_array_equal(streaming.read(zarray(a), box), a[:, 2:5])
    np.testing.assert_array_equal(streaming.read(a, box), a[:, 2:5])
    assert streaming.read(3, box) == 3


def test_threads_share_the_tasks_and_an_error_stops_them() -> None:
    z = stored((8, 8), (8, 8))
    seen = []
    meet = threading.Barrier(2, timeout=30)

    def work(task: int) -> None:
        if task < 2:
            meet.wait()  # both threads are here, or this raises
        seen.append(task)
        if task == 5:
            raise KeyError(task)

    with ndzarr.options(workers=2), pytest.raises(KeyError):
        streaming.run(iter(range(1000)), work, [z])
    assert len(seen) < 1000
