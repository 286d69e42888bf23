"""What a picture reads: few enough elements, from few enough chunks, of the right axes; and what cannot be asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from ndzarr.decimation import look
from ndzarr.errors import ArgumentError, SelectionError, SelectionTypeError

lengths = st.one_of(st.integers(1, 12), st.integers(1, 10**12))


@given(st.lists(lengths, min_size=1, max_size=5), st.integers(1, 10**6), st.data())
@settings(max_examples=300)
@example([1, 1], 1, None)
def test_within_bounds(shape: list[int], most: int, data: Any) -> None:
    """At most as many as allowed; evenly spaced, reaching both ends; ints elsewhere; and budgets of bytes hold."""
    chunk = [max(1, n // 7) for n in shape] if data is None else [data.draw(st.integers(1, n)) for n in shape]
    limit = 64 if data is None else data.draw(st.integers(1, 4096))
    seen = look(tuple(shape), max_pixels=most, chunk=tuple(chunk), chunk_nbytes=8, max_nbytes=8 * limit)
    drawn = [n for n, entry in enumerate(seen.index) if isinstance(entry, slice)]
    assert 1 <= len(drawn) == len(seen.shown) <= 2
    chunks = 1
    for axis, elements in zip(drawn, seen.shown, strict=True):
        entry = seen.index[axis]
        assert range(shape[axis])[entry] == elements
        # What is left out before the first and behind the last is no more than a step together.
        assert elements[0] + (shape[axis] - 1 - elements[-1]) < elements.step
        chunks *= min(len(elements), -(-shape[axis] // chunk[axis]))
    assert math.prod(map(len, seen.shown)) <= most
    assert chunks <= limit
    for axis, entry in enumerate(seen.index):
        if axis not in drawn:
            assert entry == shape[axis] // 2


def test_nothing_is_left_out_of_what_is_small() -> None:
    assert look((5, 40, 30), max_pixels=1200).index == (2, slice(0, 40, 1), slice(0, 30, 1))


def test_a_short_axis_is_kept_whole() -> None:
    assert [len(r) for r in look((10**9, 3), max_pixels=300).shown] == [100, 3]
    assert [len(r) for r in look((3, 10**9), max_pixels=300).shown] == [3, 100]


@pytest.mark.parametrize(
    ("shape", "index", "told", "names"),
    [
        ((4, 6, 8), None, "2, :, :", ("y", "x")),
        ((4, 6, 8), 1, "1, :, :", ("y", "x")),
        ((4, 6, 8), -1, "3, :, :", ("y", "x")),
        ((4, 6, 8), (..., 3), ":, :, 3", ("t", "y")),
        ((4, 6, 8), (slice(None), 2), ":, 2, :", ("t", "x")),
        ((4, 6, 8), {"x": 5}, ":, :, 5", ("t", "y")),
        ((4, 6, 8), {"x": 5, 0: 1}, "1, :, 5", ("y",)),
        ((4, 6, 8), {-1: slice(2, 7, 2)}, "2, :, 2:7:2", ("y", "x")),
        ((4, 6, 8), (1, 2), "1, 2, :", ("x",)),
        ((4, 1, 8), None, ":, 0, :", ("t", "x")),
        ((1, 1, 1), None, "0, :, :", ("y", "x")),
        ((4, 6, 8), np.int64(2), "2, :, :", ("y", "x")),
        ((4, 6, 8), (2, slice(None, None, -1)), "2, ::-1, :", ("y", "x")),
    ],
)
def test_which_axes(shape: Any, index: Any, told: str, names: Any) -> None:
    seen = look(shape, index, names=("t", "y", "x"), max_pixels=10_000)
    assert str(seen) == told
    assert seen.names == names


@pytest.mark.parametrize("entry", [slice(None, None, -1), slice(7, 2, -3), slice(5, None), slice(-3, None), slice(1, 9, 4)])
@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_slices_are_those_of_numpy(entry: slice, most: int) -> None:
    """What is read is every so-many-th of what the slice picks."""
    a = np.arange(10)
    picked = a[entry]
    seen = look((10,), entry, max_pixels=most)
    got = a[seen.index]
    step = -(-len(picked) // most)
    assert 1 <= len(got) <= most
    first = list(picked).index(got[0])
    assert got.tolist() == picked[first::step].tolist()


@pytest.mark.parametrize(
    ("shape", "names", "pixels", "found"),
    [
        ((20, 30, 3), None, True, True),
        ((20, 30, 4), None, True, True),
        ((20, 30, 5), None, True, False),
        ((20, 30, 3), None, False, False),
        ((30, 3), None, True, False),
        ((20, 30, 3), ("y", "x", "rgb"), False, True),
        ((20, 30, 4), ("y", "x", "RGBA"), False, True),
        ((20, 30, 4), ("y", "x", "band"), True, False),
        ((20, 30, 3), ("z", "y", "x"), True, False),
        ((9, 20, 30, 3), None, True, True),
    ],
)
def test_colours(shape: Any, names: Any, pixels: bool, found: bool) -> None:
    seen = look(shape, names=names, pixels=pixels, max_pixels=10_000)
    assert seen.colours == found
    if found:
        assert seen.index[-3:] == tuple(slice(0, n, 1) for n in shape[-3:])


@pytest.mark.parametrize(
    ("shape", "options", "error", "match"),
    [
        ((), {}, ArgumentError, "single element"),
        ((3, 4), {"index": (1, 2)}, ArgumentError, "single element"),
        ((0, 4), {}, ArgumentError, "holds nothing"),
        ((3, 4), {"index": slice(2, 2)}, ArgumentError, "holds nothing"),
        ((3, 4), {"index": 3}, SelectionError, "index 3 is out of bounds for axis 0 with size 3"),
        ((3, 4), {"index": (0, 0, 0)}, SelectionError, "too many indices"),
        ((3, 4), {"index": (..., ...)}, SelectionError, "single ellipsis"),
        ((3, 4), {"index": [0, 1]}, SelectionTypeError, "ints and slices"),
        ((3, 4), {"index": True}, SelectionTypeError, "ints and slices"),
        ((3, 4), {"index": None, "max_pixels": 0}, ArgumentError, "max_pixels"),
        ((3, 4), {"index": slice("a", None)}, SelectionTypeError, "slice"),
        ((3, 4), {"index": slice(None, None, 0)}, ArgumentError, "slice step cannot be zero"),
        ((3, 4), {"index": {"time": 0}, "names": ("y", None)}, ArgumentError, r"'time': there are \['y'\]"),
        ((3, 4), {"index": {2: 0}}, ArgumentError, "no axis is called 2"),
        ((3, 4), {"colours": True}, ArgumentError, "last axis of 3 or 4"),
        ((3, 4, 3), {"colours": True, "index": (..., 0)}, ArgumentError, "last axis of 3 or 4"),
    ],
)
def test_what_cannot_be_drawn(shape: Any, options: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        look(shape, **{"max_pixels": 100, **options})


@pytest.mark.parametrize(
    ("index", "told"),
    [
        (None, "20, ::5, ::6"),
        ((8, 150, slice(0, 100)), "8, 150, 0:100"),
        ((8, slice(5, 50, 3), slice(300, 100, -2)), "8, 5:50:3, 300:100:-2"),
        ((8, slice(None), slice(None, None, -1)), "8, ::5, ::-6"),
        ((-1, slice(-10, None), 3), "39, 290:300, 3"),
        ((0, slice(None, None, 7), slice(100, None, -1)), "0, ::7, 100::-1"),
        ((0, slice(10, 250)), "0, 10:250:4, ::6"),
    ],
)
def test_a_part_of_an_axis_is_told_as_one(index: Any, told: str) -> None:
    """A title that says `:` of the first 100 of 4000 is wrong."""
    assert str(look((40, 300, 400), index, max_pixels=5000)) == told
