"""`zarr_store`: a store for zarr-python, which is imported only then."""

from __future__ import annotations

from typing import Any

from ndzarr.errors import ArgumentError
from ndzarr.stores.registry import resolve


def zarr_store(store: Any = None, *, read_only: bool = False, **store_options: Any) -> Any:
    """A `zarr.abc.store.Store` over any store of ndzarr: for zarr-python 3, and for all that writes through it.

    store: what `create_array` takes: a path (one that ends in ".zip" is a zip archive), a URL, a Store, a mapping; None is a
    new MemoryStore. `xarray.Dataset.to_zarr`, `dask.array.to_zarr` and `zarr.open` take the result. Closing it closes the
    store: needed for an archive, whose directory is written then, so use `with`. It pickles, and follows zarr-python's rules,
    not ours, in one thing: nothing keeps two writers of parts of one chunk from undoing each other's.

    Raises ArgumentError without zarr-python 3, and where `store` stands for nothing.

    >>> import ndzarr, zarr
    >>> with ndzarr.zarr_store({}) as store:
    ...     _ = zarr.create_array(store, name="a", data=ndzarr.ones(5)[...])
    ...     ndzarr.open(store, path="a")[:]
    array([1., 1., 1., 1., 1.])
    """
    try:
        from ndzarr.stores.zarr_adapter import NdzarrStore
    except ImportError as error:
        raise ArgumentError(f"zarr_store needs zarr-python 3 or later: {error}; install `zarr>=3`") from error
    opened = resolve(store, "r" if read_only else "a", **store_options)
    return NdzarrStore(opened, read_only=read_only)
