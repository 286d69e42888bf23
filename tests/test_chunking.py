"""Lengths of chunks from a size and a declared access: the four rules, and that what is declared is what is cheap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import ndzarr
from ndzarr.chunking import chunk_lengths, shard_lengths, time_axis
from ndzarr.grid import auto_chunks
from ndzarr.sizes import nbytes_of

ACCESS = ["maps", "series", "balanced"]
SHAPES = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 10**6)), min_size=0, max_size=5).map(tuple)


def touched(shape: tuple[int, ...], chunks: tuple[int, ...], axis: int) -> tuple[int, int]:
    """How many chunks a map, and a series, touches."""
    counts = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    return math.prod(counts[:axis] + counts[axis + 1 :]), counts[axis]


@given(
    SHAPES,
    st.sampled_from([1, 2, 4, 8, 24, 5000]),
    st.integers(0, 1 << 26),
    st.sampled_from([None, *ACCESS]),
    st.integers(0, 4),
)
@settings(max_examples=400, deadline=None)
def test_rules(shape: tuple[int, ...], itemsize: int, nbytes: int, access: Any, axis: int) -> None:
    axis = min(axis, max(0, len(shape) - 1))
    chunks = chunk_lengths(shape, itemsize, nbytes, access, axis)
    assert len(chunks) == len(shape)
    # Never zero, never past the end, never more than the size unless one element is.
    assert all(1 <= c <= max(1, n) for n, c in zip(shape, chunks, strict=True))
    assert math.prod(chunks) * itemsize <= max(nbytes, itemsize)
    for n, c in zip(shape, chunks, strict=True):
        count = -(-n // c)
        assert count * c - n <= max(0, count - 1)  # what the last chunk is short of


@given(st.lists(st.integers(1, 10**5), min_size=1, max_size=4).map(tuple), st.integers(64, 1 << 22), st.sampled_from(ACCESS))
@settings(max_examples=300, deadline=None)
def test_room_is_used(shape: tuple[int, ...], nbytes: int, access: Any) -> None:
    """No length could be doubled, or made a whole axis of, without breaking the size: except where the access forbids it."""
    chunks = chunk_lengths(shape, 1, nbytes, access)
    if access == "maps":
        maps = list(zip(shape, chunks, strict=True))
        order = [*reversed(maps[1:]), maps[0]]
        cut = next((k for k, (n, c) in enumerate(order) if c < n), len(order))
        assert all(c == 1 for _, c in order[cut + 1 :])
    if access == "series" and chunks[0] < shape[0]:
        assert all(c == 1 for c in chunks[1:])
        assert chunks[0] * 3 >= min(nbytes, shape[0])


@given(st.tuples(st.integers(1, 60), st.integers(1, 30), st.integers(1, 30)), st.integers(1, 4000))
@example((5, 5, 27), 14)
@settings(max_examples=150, deadline=None)
def test_balanced(shape: tuple[int, ...], room: int) -> None:
    """A map and a series touch as many chunks within a factor of two, unless no chunk of about that size has this: all are
    tried."""
    of_map, of_series = touched(shape, chunk_lengths(shape, 1, room, "balanced"), 0)
    if max(of_map, of_series) <= 2 * min(of_map, of_series):
        return
    t, y, x = np.meshgrid(*(np.arange(1, n + 1) for n in shape), indexing="ij")
    fits = (t * y * x <= room) & (t * y * x * 2 >= min(room, math.prod(shape)))
    maps, series = -(-shape[1] // y) * -(-shape[2] // x), -(-shape[0] // t)
    better = fits & (np.maximum(maps, series) <= 2 * np.minimum(maps, series)) & (np.maximum(maps, series) < of_map + of_series)
    # Near a factor of two, cutting evenly may cost it.
    assert max(of_map, of_series) <= 3 * min(of_map, of_series) or not better.any(), (of_map, of_series)


@given(st.tuples(st.integers(100, 20000), st.integers(100, 3000), st.integers(100, 3000)), st.integers(1 << 12, 1 << 18))
@settings(max_examples=150, deadline=None)
def test_balanced_where_there_are_many_chunks(shape: tuple[int, ...], room: int) -> None:
    of_map, of_series = touched(shape, chunk_lengths(shape, 1, room, "balanced"), 0)
    ideal = math.sqrt(math.prod(shape) / room)
    if 8 <= ideal <= shape[0] / 8:  # neither axis is at its end
        assert max(of_map, of_series) <= 2 * min(of_map, of_series)
        assert max(of_map, of_series) <= 2.5 * ideal


@pytest.mark.parametrize(
    "shape", [(8760, 721, 1440), (365, 180, 360), (1000, 1000, 1000), (4096, 512, 512), (730, 13, 90, 180)]
)
@pytest.mark.parametrize("size", ["256KiB", "1MiB", "16MiB"])
def test_what_is_declared_is_cheap(shape: tuple[int, ...], size: str) -> None:
    nbytes = nbytes_of(size, "size")
    cost = {access: touched(shape, chunk_lengths(shape, 4, nbytes, access), 0) for access in ACCESS}
    assert cost["maps"][0] <= cost["balanced"][0] <= cost["series"][0]
    assert cost["series"][1] <= cost["balanced"][1] <= cost["maps"][1]
    assert max(cost["balanced"]) <= 2 * min(cost["balanced"])
    assert cost["series"][1] == 1


def test_balanced_is_counted_at_the_store(record_property: Any) -> None:
    """Requests for a map and for a series, of the store itself."""
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(120, 60, 80), dtype="f4", chunks="64KiB", access="balanced")
    z[:] = np.arange(z.size, dtype="f4").reshape(z.shape)
    counts = []
    for index in ((7, slice(None), slice(None)), (slice(None), 7, 9)):
        store.clear()
        z[index]
        counts.append(store.counts().requests["get"])
    record_property("count: objects read for a map and a series, balanced", sum(counts))
    assert max(counts) <= 2 * min(counts)
    worse = ndzarr.create_array(None, shape=(120, 60, 80), dtype="f4", chunks="64KiB", access="maps")
    assert touched(worse.shape, worse.chunks, 0)[1] > 3 * counts[1]


def test_auto_stays_what_it_is() -> None:
    for shape in [(10, 10), (1000, 1000, 50), (3, 10**7), ()]:
        z = ndzarr.create_array(shape=shape, dtype="f8")
        assert z.chunks == auto_chunks(shape, 8) == ndzarr.create_array(shape=shape, dtype="f8", chunks="1MiB").chunks


def test_time_axis() -> None:
    assert time_axis(None) == 0
    assert time_axis(("y", "x")) == 0
    assert time_axis(("y", None, "Time")) == 2
    by_name = ndzarr.create_array(
        shape=(100, 200, 5000), dtype="f4", chunks="1MiB", access="series", dimension_names=("y", "x", "time")
    )
    assert by_name.chunks[2] == 5000


def test_sizes_in_every_way_to_make_an_array() -> None:
    data = np.arange(4000, dtype="i4").reshape(40, 10, 10)
    g = ndzarr.create_group(None, members={"a": {"shape": (40, 10, 10), "dtype": "i4", "chunks": "4kB", "access": "maps"}})
    assert g["a"].chunks == (10, 10, 10)
    assert g.create_array("b", shape=(40, 10, 10), dtype="i4", chunks="4kB", access="series").chunks == (40, 5, 5)
    assert ndzarr.array(data, chunks="4kB", access="series").chunks == (40, 5, 5)
    z = ndzarr.array(data, chunks=(1, 10, 10))
    assert ndzarr.array(z, access="series", chunks="4kB").chunks == (40, 5, 5)
    assert ndzarr.zeros_like(z, access="maps", chunks="4kB").chunks == (10, 10, 10)
    for turned in (
        ndzarr.convert(z, None, access="series", chunks="4kB"),
        ndzarr.rechunk(z, None, access="series", chunks="4kB"),
        ndzarr.rechunk(z, None, access="series", chunks="4kB", max_mem="60kB"),
    ):
        assert turned.chunks == (40, 5, 5)
        np.testing.assert_array_equal(turned[:], data)
    assert ndzarr.convert(z, None, access="series").chunks == (40, 10, 10)
    assert ndzarr.open_array({}, "w", shape=(40, 10, 10), dtype="i4", chunks="400B", access="maps").chunks == (1, 10, 10)
    assert ndzarr.zeros((40, 10, 10), dtype="i4", chunks="400B", zarr_format=2, access="maps").chunks == (1, 10, 10)


def test_shards() -> None:
    z = ndzarr.zeros((400, 100, 100), dtype="f4", chunks="64KiB", shards="4MiB", access="maps")
    assert z.chunks == (1, 100, 100)
    assert z.shards == (100, 100, 100)
    z[0] = 1
    assert z[0, 5, 5] == 1
    given = ndzarr.zeros((400, 100, 100), dtype="f4", chunks="64KiB", shards=(64, 100, 100), access="series")
    assert all(s % c == 0 for s, c in zip(given.shards, given.chunks, strict=True))
    assert math.prod(given.chunks) * 4 <= 1 << 16
    lengths = ndzarr.zeros((400, 100, 100), dtype="f4", chunks=(4, 50, 50), shards="2MiB", access="series")
    assert lengths.shards == (200, 50, 50)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=3).map(tuple), st.data(), st.integers(1, 1 << 22))
@settings(max_examples=200, deadline=None)
def test_shards_are_whole_chunks(shape: tuple[int, ...], data: st.DataObject, nbytes: int) -> None:
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    access = data.draw(st.sampled_from([None, *ACCESS]))
    shards = shard_lengths(shape, chunks, 2, nbytes, access)
    assert all(s % c == 0 for s, c in zip(shards, chunks, strict=True))
    assert math.prod(shards) * 2 <= max(nbytes, math.prod(chunks) * 2)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"access": "rows"}, "expected 'maps'"),
        ({"access": "maps", "chunks": (5, 5)}, "pass one of the two"),
        ({"access": "maps", "chunks": False}, "pass one of the two"),
        ({"chunks": "16 potatoes"}, "a size such as"),
        ({"chunks": "16"}, "a size such as"),
        ({"chunks": "5MiB", "shards": "five"}, "a size such as"),
    ],
)
def test_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match=match):
        ndzarr.create_array(shape=(10, 10), dtype="f4", **wrong)


def test_sizes() -> None:
    assert nbytes_of("16MiB", "x") == 16 << 20
    assert nbytes_of(" 1.5 gb ", "x") == 1_500_000_000
    assert nbytes_of(7, "x") == 7
    for wrong in ("", "MiB", "-1MiB", -1, 1.5, True, None, "1 parsec"):
        with pytest.raises(ndzarr.ArgumentError, match="x is"):
            nbytes_of(wrong, "x")
