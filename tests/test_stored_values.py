"""Stored arrays as values: assigned, and made arrays of, a block at a time; values as NumPy has them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr

SMALL = {"working_memory": 100}  # bytes: of all but the smallest arrays more than one block


def stored(a: np.ndarray, chunks: Any = 3, **create: Any) -> ndzarr.ZArray:
    return ndzarr.array(a, chunks=chunks, **create)


@st.composite
def slices(draw: st.DrawFn, shape: tuple[int, ...], lengths: tuple[int, ...]) -> tuple[slice, ...]:
    """Slices of an array of a shape that select so many elements each."""
    found = []
    for n, length in zip(shape, lengths, strict=True):
        step = draw(st.integers(1, (n - 1) // max(1, length - 1))) if length > 1 and draw(st.booleans()) else 1
        start = draw(st.integers(0, n - (length - 1) * step - 1)) if length else 0
        part = slice(start, start + (length - 1) * step + 1, step) if length else slice(start, start)
        if draw(st.booleans()) and length:
            stop = start - 1
            part = slice(start + (length - 1) * step, stop if stop >= 0 else None, -step)
        found.append(part)
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_assignments(data: st.DataObject) -> None:
    """By slices, from another array, from another handle on the same one, or from the very same one, where the two overlap."""
    shape = tuple(data.draw(st.lists(st.integers(1, 14), min_size=1, max_size=3)))
    lengths = tuple(data.draw(st.integers(0, n)) for n in shape)
    kinds = st.sampled_from(["i4", "f8", ">i2", "c8", "M8[s]", "S3"])
    dtype = np.dtype(data.draw(kinds))
    there = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    where = data.draw(st.sampled_from(["another", "handle", "same"]))
    z = stored(there, chunks=tuple(data.draw(st.integers(1, 5)) for _ in shape))
    given_dtype = (
        dtype if where != "another" or dtype.kind in "MS" else np.dtype(data.draw(st.sampled_from(["i4", "f8", "u1"])))
    )
    a = np.arange(100, 100 + np.prod(shape)).astype(given_dtype).reshape(shape)
    src = {"another": lambda: stored(a), "handle": lambda: ndzarr.open_array(z.store), "same": lambda: z}[where]()
    a = a if where == "another" else there.copy()
    into, out_of = data.draw(slices(shape, lengths)), data.draw(slices(shape, lengths))
    value = src if where == "another" and lengths == shape and data.draw(st.booleans()) else src.lazy[out_of]
    with ndzarr.options(**SMALL), np.errstate(all="ignore"):
        if data.draw(st.booleans()):
            z[into] = value
        else:
            z.lazy[into] = value
    there[into] = a if isinstance(value, ndzarr.ZArray) else a[out_of]
    np.testing.assert_array_equal(z[...], there)


def test_what_numpy_refuses() -> None:
    z, a = stored(np.zeros((8, 8))), np.zeros((8, 8))
    for value in (np.zeros((8, 7)), np.array([[b"x"] * 8] * 8), np.zeros((8, 8), "i4,i4")):
        with pytest.raises(Exception) as wanted:  # whatever NumPy raises
            a[...] = value
        with ndzarr.options(**SMALL), pytest.raises(wanted.type):
            z[...] = stored(value)
        assert not z[...].any()


VERBS: dict[str, Callable[[ndzarr.ZArray, Path], Any]] = {
    "array": lambda z, to: ndzarr.array(z, store=to),
    "array of another dtype": lambda z, to: ndzarr.array(z, store=to, dtype="f4"),
    "array of a view": lambda z, to: ndzarr.array(z.lazy[:, ::-1], store=to, chunks=(512, 512)),
    "create_array": lambda z, to: ndzarr.create_array(to, data=z, chunks=(300, 700)),
    "in a group": lambda z, to: ndzarr.create_group(to).create_array("a", data=z, chunks=(300, 700)),
    "save": lambda z, to: ndzarr.save(to, z),
    "save many": lambda z, to: ndzarr.save(to, a=z),
    "save, told": lambda z, to: ndzarr.save(to, z, progress=lambda done, total: None),
    "assign": lambda z, to: ndzarr.create_array(to, shape=z.shape, dtype=z.dtype).__setitem__(..., z),
    "assign a view": lambda z, to: ndzarr.create_array(to, shape=z.shape, dtype=z.dtype).lazy.__setitem__(..., z.lazy[::-1]),
}


@pytest.mark.parametrize("verb", VERBS)
def test_memory_is_bounded(verb: str, tmp_path: Path) -> None:
    z = ndzarr.create_array(tmp_path / "a", shape=(4096, 2048), dtype="f8", chunks=(256, 256))
    for row in range(0, 4096, 256):
        z[row : row + 256] = np.arange(row, row + 256)[:, None]
    tracemalloc.start()
    try:
        with ndzarr.options(working_memory=4 << 20, workers=2):
            VERBS[verb](z, tmp_path / "b")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20  # of 64 MiB
    made: Any = ndzarr.open(tmp_path / "b")
    made = made if isinstance(made, ndzarr.ZArray) else made["a"]
    want = z[...]
    flip = {"array of a view": np.s_[:, ::-1], "assign a view": np.s_[::-1]}.get(verb, ...)
    np.testing.assert_array_equal(made[...], want[flip])


def test_data_of_create_array() -> None:
    z = ndzarr.create_array(None, data=[[1, 2], [3, 4]], dtype="i2", chunks=1, attributes={"a": 1})
    assert (z.dtype, z.chunks, dict(z.attrs)) == (np.dtype("i2"), (1, 1), {"a": 1})
    assert z[...].tolist() == [[1, 2], [3, 4]]
    assert ndzarr.create_array(None, shape=(2, 3), data=7)[...].tolist() == [[7] * 3] * 2  # spread, as by assignment
    assert ndzarr.create_array(None, data="abc").dtype == np.dtype("U3")
    with pytest.raises(ndzarr.ArgumentError, match="shape"):
        ndzarr.create_array(None, dtype="i4")


@pytest.mark.parametrize("verb", ["array", "create_array", "group", "save", "save, told"])
def test_an_array_that_replaces_itself(verb: str, tmp_path: Path) -> None:
    """What is deleted first is loaded before."""
    want = np.arange(1000.0)
    z = ndzarr.array(want, store=tmp_path, path="a" if verb == "group" else "", chunks=10)
    with ndzarr.options(**SMALL):
        if verb == "array":
            ndzarr.array(z, store=tmp_path, overwrite=True)
        elif verb == "create_array":
            ndzarr.create_array(tmp_path, data=z.lazy[...], chunks=7, overwrite=True)
        elif verb == "group":
            ndzarr.open_group(tmp_path, "a").create_array("a", data=z, overwrite=True)
        else:
            ndzarr.save(tmp_path, z, progress=(lambda done, total: None) if verb == "save, told" else None)
    made: Any = ndzarr.open(tmp_path)
    np.testing.assert_array_equal((made["a"] if verb == "group" else made)[...], want)
