"""`xarray.open_dataset(..., engine="ndzarr")` and its kin: groups as datasets and trees, read lazily.

https://docs.xarray.dev/en/stable/internals/how-to-add-new-backend.html. xarray finds the class by the entry point
`xarray.backends` of this package. Where no engine is named it asks each in turn who can open a thing: what xarray's own zarr
engine opens is left to that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from xarray import Dataset, DataTree
from xarray.backends.common import BackendEntrypoint, _normalize_path, datatree_from_dict_with_io_cleanup
from xarray.backends.store import StoreBackendEntrypoint
from xarray.core.utils import close_on_error

from ndzarr.api import open_group
from ndzarr.errors import ArgumentError, NodeNotFoundError
from ndzarr.group import Group
from ndzarr.keys import join, normalize_path
from ndzarr.stores.base import Store
from ndzarr.xarray_store import GroupStore, check_format
from ndzarr.xarray_writer import NdzarrAccessor as NdzarrAccessor, to_zarr as to_zarr


class NdzarrBackendEntrypoint(BackendEntrypoint):
    """Reads Zarr groups of either format as datasets: paths, URLs, stores and groups of ndzarr, mutable mappings.

    Keywords mean what they mean to `engine="zarr"`: `group`, `consolidated`, `storage_options`, `zarr_format`,
    `use_zarr_fill_value_as_mask`, and xarray's own for decoding. `mode` must be "r".

    >>> import ndzarr, xarray as xr
    >>> g = ndzarr.create_group(None)
    >>> g.create_array("t", shape=(3,), dtype="f8", dimension_names=["x"])[:] = [1, 2, 3]
    >>> xr.open_dataset(g, engine="ndzarr").t.sum().item()
    6.0
    """

    description = "Open Zarr groups (formats 2 and 3) with ndzarr"
    url = "https://zarr-specs.readthedocs.io/"
    supports_groups = True
    open_dataset_parameters = (
        "filename_or_obj", "mask_and_scale", "decode_times", "concat_characters", "decode_coords", "drop_variables",
        "use_cftime", "decode_timedelta", "group", "mode", "consolidated", "storage_options", "zarr_format",
        "use_zarr_fill_value_as_mask", "cache_members",
    )  # fmt: skip

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is ours and nobody else's: a group or a store of ndzarr, a zip archive `.zarr.zip`."""
        if isinstance(filename_or_obj, (Group, Store)):
            return True
        return isinstance(filename_or_obj, (str, os.PathLike)) and os.fspath(filename_or_obj).endswith(".zarr.zip")

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        mode: str = "r",
        consolidated: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        zarr_format: int | None = None,
        use_zarr_fill_value_as_mask: bool | None = None,
        cache_members: bool = True,
    ) -> Dataset:
        """One group as a dataset. Raises FileNotFoundError (a NodeNotFoundError) where there is none.

        cache_members: taken as the zarr engine takes it; a dataset holds the members that there were when it was opened.
        """
        opened, ours = _opened(filename_or_obj, group, mode, consolidated, storage_options, zarr_format)
        store = GroupStore(opened, masks=use_zarr_fill_value_as_mask, closes=ours)
        with close_on_error(store):
            return StoreBackendEntrypoint().open_dataset(
                store,
                mask_and_scale=mask_and_scale,
                decode_times=decode_times,
                concat_characters=concat_characters,
                decode_coords=decode_coords,
                drop_variables=drop_variables,
                use_cftime=use_cftime,
                decode_timedelta=decode_timedelta,
            )

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        mode: str = "r",
        consolidated: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        zarr_format: int | None = None,
        use_zarr_fill_value_as_mask: bool | None = None,
    ) -> dict[str, Dataset]:
        """Every group as a dataset, by its path, "/" being the outermost; with `group` relative to that."""
        top, ours = _opened(filename_or_obj, group, mode, consolidated, storage_options, zarr_format)
        found = [("/" if group is None else ".", top)]
        found += [(name if group else "/" + name, node) for name, node in top.members(None) if isinstance(node, Group)]
        datasets = {}
        for n, (name, node) in enumerate(found):
            store = GroupStore(node, masks=use_zarr_fill_value_as_mask, closes=ours and n == 0)
            with close_on_error(store):
                datasets[name] = StoreBackendEntrypoint().open_dataset(
                    store,
                    mask_and_scale=mask_and_scale,
                    decode_times=decode_times,
                    concat_characters=concat_characters,
                    decode_coords=decode_coords,
                    drop_variables=drop_variables,
                    use_cftime=use_cftime,
                    decode_timedelta=decode_timedelta,
                )
        return datasets

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        mode: str = "r",
        consolidated: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        zarr_format: int | None = None,
        use_zarr_fill_value_as_mask: bool | None = None,
    ) -> DataTree:
        """All groups as a tree."""
        return datatree_from_dict_with_io_cleanup(
            self.open_groups_as_dict(
                filename_or_obj,
                mask_and_scale=mask_and_scale,
                decode_times=decode_times,
                concat_characters=concat_characters,
                decode_coords=decode_coords,
                drop_variables=drop_variables,
                use_cftime=use_cftime,
                decode_timedelta=decode_timedelta,
                group=group,
                mode=mode,
                consolidated=consolidated,
                storage_options=storage_options,
                zarr_format=zarr_format,
                use_zarr_fill_value_as_mask=use_zarr_fill_value_as_mask,
            )
        )


def _opened(
    target: Any,
    group: str | None,
    mode: str,
    consolidated: bool | None,
    storage_options: Mapping[str, Any] | None,
    zarr_format: int | None,
) -> tuple[Group, bool]:
    """The group to read, and whether its store was opened for this."""
    if mode != "r":
        raise ArgumentError(f"mode is {mode!r}, expected 'r': the engine only reads", field="mode", found=mode)
    path = normalize_path(group or "")
    try:
        if isinstance(target, Group):
            found = open_group(target.store, "r", path=join(target.path, path), consolidated=consolidated)
            ours = False
        else:
            ours = not isinstance(target, Store)
            source = _normalize_path(target) if isinstance(target, (str, os.PathLike)) else target
            found = open_group(source, "r", path=path, consolidated=consolidated, **(storage_options or {}))
    except NodeNotFoundError as error:
        raise NodeNotFoundError(
            f"No such file or directory: {target!r}: {error}", store=error.store, path=error.path
        ) from error
    check_format(found, zarr_format)
    return found, ours
