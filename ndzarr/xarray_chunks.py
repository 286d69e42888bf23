"""What xarray asks about the chunks of a ZArray in a Variable: an array with `.chunks` needs a chunk manager to be loaded.

Found by the entry point `xarray.chunkmanagers`. Computing reads the array; whatever goes block by block is left to dask, of
which xarray's own manager is the base. Without dask there is none: to xarray, one manager alone is the one for all arrays, and
`xarray.open_zarr` would then make chunks of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from xarray.namedarray.daskmanager import DaskManager

from ndzarr.dask_bridge import Blocks, own_blocks
from ndzarr.duck import DuckArray


def _dask(value: Any) -> Any:
    """An array of ours as dask's; all else as it is, lists of them included."""
    if isinstance(value, DuckArray):
        return value.to_dask()
    return [_dask(item) for item in value] if isinstance(value, list | tuple) else value


class NdzarrManager(DaskManager):
    """The chunk manager of ZArrays and LazyViews."""

    available = find_spec("dask") is not None

    def __init__(self) -> None:
        self.array_cls = DuckArray

    def is_chunked_array(self, data: Any) -> bool:
        """Whether it is one of ours."""
        return isinstance(data, DuckArray)

    def chunks(self, data: Any) -> Blocks:
        """The lengths of blocks by axis, in dask's form: what `to_dask` makes."""
        return own_blocks(data) if isinstance(data, DuckArray) else data.chunks

    def from_array(self, data: Any, chunks: Any, **kwargs: Any) -> Any:
        """A dask array."""
        if isinstance(data, DuckArray):
            return data.to_dask(chunks)
        return super().from_array(data, chunks, **kwargs)

    def rechunk(self, data: Any, chunks: Any, **kwargs: Any) -> Any:
        """A dask array with these chunks."""
        if isinstance(data, DuckArray):
            wanted = [chunks.get(axis, -1) for axis in range(data.ndim)] if isinstance(chunks, dict) else chunks
            return data.to_dask(wanted)
        return super().rechunk(data, chunks, **kwargs)

    def compute(self, *data: Any, **kwargs: Any) -> tuple[Any, ...]:
        """NumPy arrays, read."""
        ours = [np.asarray(array) if isinstance(array, DuckArray) else array for array in data]
        return super().compute(*ours, **kwargs)

    def persist(self, *data: Any, **kwargs: Any) -> tuple[Any, ...]:
        """dask arrays that are in memory."""
        return super().persist(*_dask(data), **kwargs)

    def reduction(self, arr: Any, *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().reduction(_dask(arr), *args, **kwargs)

    def scan(self, func: Any, binop: Any, ident: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().scan(func, binop, ident, _dask(arr), *args, **kwargs)

    def apply_gufunc(self, func: Callable[..., Any], signature: str, *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().apply_gufunc(func, signature, *_dask(args), **kwargs)

    def map_blocks(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().map_blocks(func, *_dask(args), **kwargs)

    def blockwise(self, func: Callable[..., Any], out_ind: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().blockwise(func, out_ind, *[_dask(a) if isinstance(a, DuckArray) else a for a in args], **kwargs)

    def unify_chunks(self, *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().unify_chunks(*[_dask(a) if isinstance(a, DuckArray) else a for a in args], **kwargs)

    def store(self, sources: Any | Sequence[Any], targets: Any, **kwargs: Any) -> Any:
        """By dask, block by block."""
        return super().store(_dask(sources), targets, **kwargs)

    def shuffle(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """By dask."""
        return super().shuffle(_dask(x), *args, **kwargs)
