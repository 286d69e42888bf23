"""Reads and writes touch the chunks that they need and no others; writing a whole chunk does not read it first.

Which chunks an index needs is computed by NumPy: the same index, applied to an array of chunk numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ndzarr
from ndzarr.stores.base import Store
from ndzarr.testing import expressions
from ndzarr.testing.expressions import IndexKinds, RandomChoices

if TYPE_CHECKING:
    from tests.conftest import Names

pytestmark = pytest.mark.usefixtures("zarr_format")  # everything is true of both


class CountingStore(Store):
    """A dict that notes every access to a chunk."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self.read: list[str] = []
        self.written: list[str] = []
        self.deleted: list[str] = []

    def forget(self) -> None:
        """Start counting anew."""
        self.read, self.written, self.deleted = [], [], []

    def get(self, key: str, range: Any = None) -> bytes | None:
        if is_chunk(key):
            self.read.append(key)
        value = self._values.get(key)
        if value is None or range is None:
            return value
        return value[range.start : range.stop]

    def set(self, key: str, value: Any) -> None:
        if is_chunk(key):
            self.written.append(key)
        self._values[key] = bytes(value)

    def delete(self, key: str) -> None:
        if is_chunk(key):
            self.deleted.append(key)
        self._values.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter([key for key in self._values if key.startswith(prefix)])


def is_chunk(key: str) -> bool:
    return not key.rpartition("/")[2].startswith(".z") and not key.endswith("zarr.json")


def chunk_numbers(shape: tuple[int, ...], chunks: tuple[int, ...], key: Callable[..., str]) -> tuple[np.ndarray, list[str]]:
    """For each element the number of its chunk, and the chunks' keys."""
    grid = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    axes = [np.arange(n) // c for n, c in zip(shape, chunks, strict=True)]
    keys = [key(*coords) for coords in np.ndindex(*grid)]
    if not shape:
        return np.zeros((), int), keys
    return np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), grid), keys


def stored(shape: tuple[int, ...], chunks: tuple[int, ...], **keywords: Any) -> tuple[Any, CountingStore]:
    store = CountingStore()
    z = ndzarr.create_array(store, shape=shape, chunks=chunks, dtype="i4", fill_value=0, **keywords)
    z[...] = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    store.forget()
    return z, store


def wanted(numbers: np.ndarray, keys: list[str], index: Any) -> set[str]:
    return {keys[n] for n in np.unique(numbers[index])}


SHAPE, CHUNKS = (20, 15, 9), (6, 4, 4)
INDICES: dict[str, Any] = {
    "one element": (3, 4, 5),
    "one row": 7,
    "all": ...,
    "nothing": slice(3, 3),
    "empty list": [],
    "inside one chunk": (slice(1, 5), slice(4, 8), slice(8, 9)),
    "stride over chunks": slice(None, None, 13),
    "backwards": (slice(None, None, -7), slice(None, 3)),
    "two far rows": [0, 19],
    "repeats": [5, 5, 5],
    "outer": (slice(0, 2), [0, 14]),
    "point-wise": ([0, 19], [0, 14], [0, 8]),
    "point-wise, split": ([0, 19], slice(None), [0, 8]),
    "mask": np.arange(20) % 9 == 0,
    "sparse full mask": np.arange(20 * 15 * 9).reshape(20, 15, 9) % 997 == 0,
    "nothing in the mask": np.zeros((20, 15), bool),
    "new axes": (None, 3, ..., None),
}


@pytest.mark.parametrize("compressor", [None, "zstd"])
@pytest.mark.parametrize("name", INDICES)
def test_read_touches_its_chunks_once(name: str, compressor: str | None, names: Names) -> None:
    z, store = stored(SHAPE, CHUNKS, compressor=compressor)
    numbers, keys = chunk_numbers(SHAPE, CHUNKS, names.chunk)
    z[INDICES[name]]
    assert sorted(store.read) == sorted(wanted(numbers, keys, INDICES[name]))
    assert store.written == store.deleted == []


@pytest.mark.parametrize("compressor", [None, "zstd"])
@pytest.mark.parametrize("name", INDICES)
def test_write_touches_its_chunks_once(name: str, compressor: str | None, names: Names) -> None:
    z, store = stored(SHAPE, CHUNKS, compressor=compressor)
    numbers, keys = chunk_numbers(SHAPE, CHUNKS, names.chunk)
    index = INDICES[name]
    z[index] = -1
    touched = wanted(numbers, keys, index)
    assert sorted(store.written) == sorted(touched)
    # A chunk is read only if some of its elements stay, or lie behind the edge, where another handle may have appended.
    covered = np.zeros(SHAPE, bool)
    covered[index] = True
    full = math.prod(CHUNKS)
    whole = {keys[n] for n in range(len(keys)) if covered[numbers == n].all() and (numbers == n).sum() == full}
    assert sorted(store.read) == sorted(touched - whole)
    assert store.deleted == []


@pytest.mark.parametrize("compressor", [None, "zstd"])
def test_drawn_indices_touch_their_chunks(compressor: str | None, names: Names) -> None:
    for number in range(300):
        choices = RandomChoices(f"counts-{number}")
        shape = tuple(choices.integer(1, 9) for _ in range(choices.integer(0, 3)))
        chunks = tuple(choices.integer(1, n + 1) for n in shape)
        z, store = stored(shape, chunks, compressor=compressor)
        numbers, keys = chunk_numbers(shape, chunks, names.chunk)
        for _ in range(5):
            index = expressions.index(choices, shape, IndexKinds())
            try:
                touched = wanted(numbers, keys, index)
            except IndexError:  # arrays that do not broadcast
                continue
            z[index]
            assert sorted(store.read) == sorted(touched), (number, shape, chunks, index)
            store.forget()
            z[index] = -5
            assert sorted(store.written) == sorted(touched), (number, shape, chunks, index)
            covered = np.zeros(shape, bool)
            covered[index] = True
            full = math.prod(chunks)
            whole = {keys[n] for n in range(len(keys)) if covered[numbers == n].all() and (numbers == n).sum() == full}
            assert set(store.read) >= touched - whole, (number, shape, chunks, index)
            # Index arrays that happen to name every element of a chunk need not be recognised; slices must be.
            if all(isinstance(e, (int, slice)) or e in (None, Ellipsis) for e in _plain(index)):
                assert sorted(store.read) == sorted(touched - whole), (number, shape, chunks, index)
            store.forget()


def _plain(index: Any) -> tuple[Any, ...]:
    entries = index if isinstance(index, tuple) else (index,)
    return tuple(object() if isinstance(e, (list, np.ndarray, np.generic, bool)) else e for e in entries)


def test_edge_chunks_are_read_even_when_all_their_elements_are_written(names: Names) -> None:
    """Behind the edge that this handle knows of there may be rows that another one has appended."""
    z, store = stored((10, 10), (4, 4))
    z[8:, 8:] = 1
    assert sorted(store.read) == sorted(store.written) == [names.chunk(2, 2)]


def test_writing_only_fill_values_deletes(names: Names) -> None:
    z, store = stored((8, 8), (4, 4))
    z[:4, :4] = 0
    assert (store.read, sorted(store.deleted), store.written) == ([], [names.chunk(0, 0)], [])
    assert np.array_equal(z[:4, :4], np.zeros((4, 4)))


def test_empty_writes_touch_nothing() -> None:
    z, store = stored((8, 8), (4, 4))
    z[3:3] = 5
    z[[]] = 5
    z[False] = 5
    assert store.read == store.written == store.deleted == []


def test_a_refused_write_touches_nothing() -> None:
    z, store = stored((8, 8), (4, 4))
    for index, value in ((9, 1), (0, "x"), (slice(0, 3), [1, 2]), ([0, 8], 1), ("a", 1), (0, 1 << 40)):
        with pytest.raises((IndexError, ValueError, TypeError, OverflowError)):
            z[index] = value
    assert store.read == store.written == store.deleted == []


def test_uncompressed_chunks_are_read_in_part() -> None:
    """One element of a large raw chunk does not fetch the chunk."""

    class Ranges(CountingStore):
        nbytes = 0

        def get(self, key: str, range: Any = None) -> bytes | None:
            value = super().get(key, range)
            if value is not None and is_chunk(key):
                self.nbytes += len(value)
            return value

    store = Ranges()
    z = ndzarr.create_array(store, shape=(1000, 1000), chunks=(1000, 1000), dtype="i4", compressor=None)
    z[...] = np.arange(1_000_000).reshape(1000, 1000)
    store.nbytes = 0
    assert z[500, 500] == 500500
    assert store.nbytes <= 4096


def test_a_read_costs_the_chunks_it_touches_not_the_grid() -> None:
    z = ndzarr.create_array(CountingStore(), shape=(10**12, 10**6), chunks=(10, 10), dtype="i4")
    z[10**11, 5] = 3
    assert z[10**11, 5] == 3
    assert z[-1, -1] == 0
    assert z[10**11 :: 10**11, 5].tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert z[[0, 10**11], [5, 5]].tolist() == [0, 3]
