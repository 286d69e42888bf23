"""What is written is not deleted before it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.sources import nodes_in

VALUES = np.arange(1, 25).reshape(4, 6)


def stored() -> ndzarr.ZArray:
    return ndzarr.array(VALUES, chunks=(2, 2))


def through_a_function(z: ndzarr.ZArray) -> Any:
    import dask.array as da

    lock = threading.Lock()

    def read(block: Any, block_info: Any = None) -> Any:
        with lock:
            return z[tuple(slice(*pair) for pair in block_info[None]["array-location"])]

    return da.map_blocks(read, da.zeros(z.shape, chunks=(2, 2)), dtype=z.dtype)


DASK: dict[str, Callable[[ndzarr.ZArray], Any]] = {
    "an expression": lambda z: (z.to_dask() + 1)[::-1].rechunk((1, 6)),
    "a view": lambda z: z.lazy[:, ::2].to_dask(),
    "a function": through_a_function,
}


@pytest.mark.parametrize("kind", DASK)
def test_a_dask_array_that_reads_what_is_to_be_replaced(kind: str) -> None:
    z = stored()
    with pytest.raises(ndzarr.ArgumentError, match="load it first"):
        ndzarr.from_dask(DASK[kind](z), z.store, overwrite=True)
    np.testing.assert_array_equal(z[...], VALUES)
    other = ndzarr.array([1], store=ndzarr.MemoryStore())
    assert ndzarr.from_dask(DASK[kind](z), other.store, overwrite=True).size > 1


def test_a_dask_array_that_reads_below_what_is_to_be_replaced() -> None:
    group = ndzarr.create_group(None)
    z = ndzarr.array(VALUES, store=group.store, path="a/b")
    with pytest.raises(ndzarr.ArgumentError, match="load it first"):
        ndzarr.from_dask(z.to_dask(), group.store, path="a", overwrite=True)
    np.testing.assert_array_equal(z[...], VALUES)
    ndzarr.from_dask(z.to_dask(), group.store, path="c", overwrite=True)


def test_compress_of_a_view_of_what_is_to_be_replaced() -> None:
    """A view used to be deleted with its array, and stored as fill values."""
    z = stored()
    for src in (z.lazy[:2], z.lazy[...].T, z.to_dask()):
        with pytest.raises(ndzarr.ArgumentError):
            ndzarr.compress(src, z.store, overwrite=True)
        np.testing.assert_array_equal(z[...], VALUES)


@pytest.mark.parametrize("chunks", [{}, None], ids=["dask", "lazy"])
def test_a_dataset_over_the_one_that_it_is_read_from(chunks: Any, tmp_path: Path) -> None:
    xr = pytest.importorskip("xarray")
    from ndzarr.xarray_writer import to_zarr

    made = xr.Dataset({"a": (("x", "y"), VALUES)})
    to_zarr(made, str(tmp_path / "q"))
    opened = xr.open_dataset(str(tmp_path / "q"), engine="ndzarr", chunks=chunks)
    for data in (opened, opened + 1 if chunks is not None else opened, xr.DataTree.from_dict({"/": opened})):
        with pytest.raises(ndzarr.ArgumentError, match="load it first"):
            to_zarr(data, str(tmp_path / "q"), mode="w")
    assert xr.open_dataset(str(tmp_path / "q"), engine="ndzarr").identical(made)
    to_zarr(opened.load(), str(tmp_path / "q"), mode="w")
    assert xr.open_dataset(str(tmp_path / "q"), engine="ndzarr").identical(made)
    to_zarr(opened, str(tmp_path / "other"), mode="w")


def test_nothing_in_memory_is_copied_to_look() -> None:
    class Large:
        def __reduce_ex__(self, protocol: Any) -> Any:
            return tuple, ([np.ones(1 << 20)],)

    z = stored()
    import tracemalloc

    tracemalloc.start()
    found = list(nodes_in([np.ones(1 << 22), Large(), {"z": (z, z.lazy[1:])}, lambda: z, threading.Lock(), z.store]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert z in [node for node in found if node is z]
    assert peak < (1 << 25) + (1 << 23) + (1 << 22)  # what was made above, and no copy of it


def test_a_group_of_arrays_over_one_of_them() -> None:
    for data in (lambda z: z, lambda z: z.lazy[1:], lambda z: z.to_dask()):
        z = stored()
        with pytest.raises(ndzarr.ArgumentError):
            ndzarr.save(z.store, a=data(z))
        np.testing.assert_array_equal(ndzarr.open_array(z.store)[...], VALUES)


def test_a_hierarchy_over_what_it_is_filled_with() -> None:
    group = ndzarr.create_group(None)
    z = ndzarr.array(VALUES, store=group.store, path="a")
    for make in (
        lambda: group.create_hierarchy({"a": {"data": z, "chunks": (1, 6)}}, overwrite=True),
        lambda: ndzarr.create_group(group.store, members={"b": {"data": z}}, overwrite=True),
    ):
        with pytest.raises(ndzarr.ArgumentError):
            make()
        np.testing.assert_array_equal(group["a"][...], VALUES)
    group.create_hierarchy({"b": {"data": z}}, overwrite=True)
    np.testing.assert_array_equal(group["b"][...], VALUES)


@pytest.mark.parametrize("blocks", [lambda z: z.stream(block=1), lambda z: (values + 1 for _, values in z.stream(block=1))])
def test_a_stream_over_what_it_is_read_from(blocks: Any) -> None:
    z = stored()
    with pytest.raises(ndzarr.ArgumentError, match="load it first"):
        ndzarr.write_stream(z.store, blocks(z), overwrite=True)
    np.testing.assert_array_equal(z[...], VALUES)
    assert ndzarr.write_stream(None, blocks(z), overwrite=True).shape == z.shape
