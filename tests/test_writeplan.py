"""`plan_write`: blocks grouped so that no two groups touch one stored object, by the definition."""

from __future__ import annotations

import pickle
from itertools import accumulate, combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr
from ndzarr.writeplan import aligned_blocks


def objects_of(box: Any, chunks: Any) -> set[tuple[int, ...]]:
    """The stored objects that a box touches, element by element."""
    return set(product(*({i // c for i in range(s.start, s.stop)} for s, c in zip(box, chunks, strict=True))))


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Any, tuple[int, ...]]:
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
    chunks = tuple(draw(st.integers(1, 4)) for _ in shape)
    objects = chunks
    arguments: dict[str, Any] = {"chunks": chunks}
    if shape and draw(st.booleans()):
        objects = tuple(c * draw(st.integers(1, 3)) for c in chunks)
        arguments["shards"] = objects
    return ndzarr.zeros(shape, dtype="i1", **arguments), objects


def check(plan: Any, boxes: list[Any], objects: Any) -> None:
    assert sorted(map(repr, (box for group in plan for box in group))) == sorted(map(repr, boxes))
    touched = [set().union(*(objects_of(box, objects) for box in group)) for group in plan]
    assert all(not a & b for a, b in combinations(touched, 2))
    # No group is larger than it must be: its blocks hang together.
    for group in plan:
        reached = {0}
        while True:
            more = {
                n
                for n, box in enumerate(group)
                if n not in reached and any(objects_of(box, objects) & objects_of(group[m], objects) for m in reached)
            }
            if not more:
                break
            reached |= more
        assert len(reached) == len(group)
    counts: dict[Any, int] = {}
    for box in boxes:
        for one in objects_of(box, objects):
            counts[one] = counts.get(one, 0) + 1
    starts = {tuple(i * c for i, c in zip(one, objects, strict=True)) for one, n in counts.items() if n > 1}
    assert {tuple(s.start for s in box) for box in plan.shared} == starts
    assert plan.aligned == (not starts)


@given(arrays(), st.data())
@settings(max_examples=60, deadline=None)
def test_blocks_of_dask(case: Any, data: st.DataObject) -> None:
    z, objects = case
    blocks = []
    for n in z.shape:
        stops = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
        blocks.append(tuple(b - a for a, b in pairwise([0, *stops, n])))
    edges = [[slice(b - a, b, 1) for a, b in zip(lengths, accumulate(lengths), strict=True)] for lengths in blocks]
    boxes = list(product(*edges))
    plan = ndzarr.plan_write(z, tuple(blocks))
    check(plan, boxes, objects)
    check(ndzarr.plan_write(z, boxes), boxes, objects)
    better = aligned_blocks(z, blocks)
    assert tuple(map(sum, better)) == z.shape
    assert ndzarr.plan_write(z, better).aligned


@given(arrays(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_boxes(case: Any, data: st.DataObject) -> None:
    z, objects = case
    boxes = []
    for _ in range(data.draw(st.integers(0, 7))):
        ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in z.shape]
        boxes.append(tuple(slice(a, b, 1) for a, b in ends))
    check(ndzarr.plan_write(z, boxes), boxes, objects)


def test_order_and_pickles() -> None:
    z = ndzarr.zeros((12,), chunks=4)
    boxes = [slice(10, 12), slice(0, 3), slice(8, 9), slice(3, 6)]
    plan = ndzarr.plan_write(z, boxes)
    assert [[s.start for (s,) in group] for group in plan] == [[10, 8], [0, 3]]
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert repr(plan) == "<ndzarr.WritePlan of 4 blocks in 2 groups: some share stored objects>"


def test_a_view_is_planned_by_what_lies_under_it() -> None:
    z = ndzarr.zeros((12, 6), chunks=(4, 6))
    assert not ndzarr.plan_write(z.lazy[2:], ((4, 6), (6,))).aligned
    assert ndzarr.plan_write(z.lazy[2:], ((2, 8), (6,))).aligned


def test_chunks_of_different_lengths() -> None:
    z = ndzarr.zeros((10,), chunks=((3, 5, 2),))
    assert ndzarr.plan_write(z, ((3, 5, 2),)).aligned
    assert [len(group) for group in ndzarr.plan_write(z, ((3, 2, 3, 2),))] == [1, 2, 1]


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (((4, 4), (6,)), "does not add up to its length, 12"),
        (((12,),), "blocks have 1 axes, the array has 2"),
        (((float("nan"), 4), (6,)), r"unknown; call compute_chunk_sizes\(\)"),
        ([slice(0, 4, 2)], "slices with step 1"),
        ([(slice(0, 4), 3)], "slices with step 1"),
        ([(slice(0, 4),) * 3], "at most 2 slices"),
    ],
)
def test_what_are_no_blocks_of_the_array(blocks: Any, words: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match=words):
        ndzarr.plan_write(ndzarr.zeros((12, 6), chunks=(4, 6)), blocks)
    with pytest.raises(ndzarr.ArgumentError, match="expected a ZArray"):
        ndzarr.plan_write(np.zeros(3), [slice(0, 1)])


@pytest.mark.parametrize("blocks", [5, None, "abc", b"ab"])
def test_what_is_no_blocks(blocks: Any) -> None:
    with pytest.raises(ndzarr.ArgumentError, match="expected a dask array, lengths of blocks by axis, or boxes"):
        ndzarr.plan_write(ndzarr.zeros((8,), chunks=3), blocks)
