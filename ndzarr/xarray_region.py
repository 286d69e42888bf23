"""Writing into a dataset that is there: modes, regions, appending, and whether what is written fits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from xarray import Dataset, Variable, conventions

from ndzarr.errors import ArgumentError

if TYPE_CHECKING:
    from ndzarr.xarray_writable import WritableStore

_MODES = ("w", "w-", "a", "a-", "r+")


def choose_mode(mode: str | None, append_dim: Hashable | None, region: Any) -> str:
    """The mode, by default as what else is asked for needs it. Raises ArgumentError for what does not go together."""
    chosen = mode or ("a" if append_dim is not None else "r+" if region is not None else "w-")
    if chosen not in ("a", "a-") and append_dim is not None:
        raise ArgumentError("cannot set append_dim unless mode='a' or mode=None", field="append_dim")
    if chosen not in ("a", "a-", "r+") and region is not None:
        raise ArgumentError("cannot set region unless mode='a', mode='a-', mode='r+' or mode=None", field="region")
    if chosen not in _MODES:
        raise ArgumentError(
            f"The only supported options for mode are {', '.join(map(repr, _MODES))}, but mode={chosen!r}", field="mode"
        )
    return chosen


def settle_region(target: WritableStore, dataset: Dataset, *, mode: str, append_dim: Hashable | None) -> Dataset:
    """The dataset without its indexes, with the region to write worked out and kept by `target`; as it is without a region."""
    if target.region is None:
        return dataset
    region = dict.fromkeys(dataset.dims, "auto") if isinstance(target.region, str) else target.region
    if region == "auto" or not isinstance(region, Mapping) or (isinstance(target.region, str) and target.region != "auto"):
        raise TypeError(f"``region`` must be a dict, got {type(target.region)}")
    region = dict(region)
    if any(isinstance(part, str) and part == "auto" for part in region.values()):
        if mode not in ("r+", "a"):
            raise ArgumentError(f"``mode`` must be 'r+' or 'a' when using ``region='auto'``, got {mode!r}", field="mode")
        region = {
            dim: _found(target, dataset, dim) if isinstance(part, str) and part == "auto" else part
            for dim, part in region.items()
        }
    for dim, part in region.items():
        if dim not in dataset.dims:
            raise ArgumentError(
                f"all keys in ``region`` are not in Dataset dimensions, got {list(region)} and {list(dataset.dims)}"
            )
        if not isinstance(part, slice):
            raise TypeError(f"all values in ``region`` must be slice objects, got region={region}")
        if part.step not in (1, None):
            raise ArgumentError(f"step on all slices in ``region`` must be 1 or None, got region={region}", field="region")
    other = [name for name, v in dataset.variables.items() if not set(region).intersection(v.dims)]
    if region and other:
        raise ArgumentError(
            "when setting `region` explicitly in to_zarr(), all variables in the dataset to write must have at least one "
            f"dimension in common with the region's dimensions {list(region)}, but that is not the case for some variables "
            f"here. To drop these variables from this dataset before exporting to zarr, write: .drop_vars({other!r})"
        )
    if append_dim is not None and append_dim in region:
        raise ArgumentError(
            f"cannot list the same dimension in both ``append_dim`` and ``region`` with to_zarr(), got {append_dim} in both"
        )
    target.region = region
    return dataset.drop_vars(dataset.indexes)


def _found(target: WritableStore, dataset: Dataset, dim: Hashable) -> slice:
    """Where the values of a dimension's coordinate stand in the one that is stored."""
    if dim not in dataset.variables:
        return slice(0, dataset.sizes[dim])
    stored = conventions.decode_cf_variable(dim, target.existing_variable(dim).compute())
    places = pd.Index(stored.data).get_indexer(dataset[dim].data)
    if (places == -1).any():
        raise KeyError(
            f"Not all values of coordinate '{dim}' in the new array were found in the original store. Writing to a zarr region "
            "slice requires that no dimensions or metadata are changed by the write."
        )
    if (np.diff(places) != 1).any():
        raise ArgumentError(
            f"The auto-detected region of coordinate '{dim}' for writing new data to the original store had non-contiguous "
            "indices. Writing to a zarr region slice requires that the new data constitute a contiguous subset of the "
            "original store."
        )
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def check_appended(name: Hashable, stored: Variable, new: Variable) -> None:
    """ArgumentError (a ValueError) where values would be cut short: strings of a fixed length, of another one."""
    kind = new.dtype.kind
    if kind in "biufcMO" or (kind in "SU" and stored.dtype == object) or new.dtype == stored.dtype:
        return
    raise ArgumentError(
        f"Mismatched dtypes for variable {name} between Zarr store on disk and dataset to append. Store has dtype "
        f"{stored.dtype} but dataset to append has dtype {new.dtype}.",
        field="dtype",
        found=new.dtype,
        expected=stored.dtype,
    )


def check_same_dimensions(
    name: Hashable, new: Variable, stored: Variable, region: Mapping[Any, slice] | None, append_dim: Hashable | None
) -> Variable:
    """The new variable with its dimensions in the order of the stored one; ArgumentError where they or their lengths differ."""
    if new.dims != stored.dims:
        if set(new.dims) != set(stored.dims):
            raise ArgumentError(
                f"variable {name!r} already exists with different dimension names {stored.dims} != {new.dims}, but changing "
                "variable dimensions is not supported by to_zarr()."
            )
        new = new.transpose(*stored.dims)
    there = {
        dim: len(range(size)[region[dim]]) if region is not None and dim in region else size
        for dim, size in stored.sizes.items()
        if dim != append_dim
    }
    given = {dim: size for dim, size in new.sizes.items() if dim != append_dim}
    if there != given:
        raise ArgumentError(
            f"variable {name!r} already exists with different dimension sizes: {there} != {given}. to_zarr() only supports "
            f"changing dimension sizes when explicitly appending, but append_dim={append_dim!r}. If you are attempting to "
            "write to a subset of the existing store without changing dimension sizes, consider using the region argument in "
            "to_zarr()."
        )
    return new
