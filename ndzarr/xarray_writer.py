"""Datasets, data arrays and trees written as Zarr groups: `ds.ndzarr.to_zarr(...)`, with xarray's own meaning of each argument.

xarray has no way to plug in a writer, so that this is an accessor, there once `ndzarr.xarray_backend` is imported or the engine
was used, and a function, `to_zarr`. CF encoding is xarray's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from xarray import (
    DataArray,
    Dataset,
    DataTree,
    conventions,
    register_dataarray_accessor,
    register_dataset_accessor,
    register_datatree_accessor,
)
from xarray.backends.common import ArrayWriter

from ndzarr import nodes
from ndzarr.creation import format_for
from ndzarr.errors import ArgumentError, NdzarrError, NodeExistsError
from ndzarr.formats.newarray import make_group
from ndzarr.group import Group
from ndzarr.keys import join, normalize_path
from ndzarr.sources import check_unread
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.xarray_region import choose_mode, settle_region
from ndzarr.xarray_store import check_format
from ndzarr.xarray_writable import WritableStore, handle

#: What a data array without a name, or one with the name of a coordinate, is called in a file; xarray's own words.
_UNNAMED, _NAME = "__xarray_dataarray_variable__", "__xarray_dataarray_name__"


def to_zarr(
    data: Dataset | DataArray | DataTree,
    store: Any = None,
    mode: str | None = None,
    group: str | None = None,
    encoding: Mapping[Any, Any] | None = None,
    *,
    compute: bool = True,
    consolidated: bool | None = None,
    append_dim: Hashable | None = None,
    region: Any = None,
    safe_chunks: bool = True,
    align_chunks: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    zarr_format: int | None = None,
    write_empty_chunks: bool | None = None,
    chunkmanager_store_kwargs: Mapping[str, Any] | None = None,
    write_inherited_coords: bool = False,
) -> Any:
    """Write a dataset, data array or tree as a Zarr group; arguments, and errors, are those of `xarray.Dataset.to_zarr`.

    store: a path, a URL, a store or group of ndzarr, one of zarr-python's stores, any mutable mapping; None is a new
    MemoryStore. zarr_format: 2 or 3; None is that of the group that is there, else 3. consolidated: gather the metadata of all
    that lies in the store; None does where it can be done. write_inherited_coords: of a tree.

    A WritableStore, whose `group` is the group; with `compute=False` a dask delayed that writes dask's arrays.

    >>> import xarray as xr
    >>> ds = xr.Dataset({"t": ("x", [1.0, 2.0])})
    >>> to_zarr(ds).group["t"][:]
    array([1., 2.])
    """
    options: dict[str, Any] = {
        "group": group, "consolidated": consolidated, "append_dim": append_dim, "region": region, "safe_chunks": safe_chunks,
        "align_chunks": align_chunks, "storage_options": storage_options, "zarr_format": zarr_format,
        "write_empty_chunks": write_empty_chunks,
    }  # fmt: skip
    after: dict[str, Any] = {"compute": compute, "consolidated": consolidated, "kwargs": chunkmanager_store_kwargs}
    if isinstance(data, DataTree):
        return _write_tree(data, store, mode or "w-", encoding or {}, write_inherited_coords, options, after)
    dataset = _as_dataset(data) if isinstance(data, DataArray) else data
    _check_variable_names(dataset)
    for variable in dataset.variables.values():
        if variable.size == 0:
            variable.load()
    target = open_writable(store, mode, **options)
    _check_unread(target, dataset)
    base = store.path if isinstance(store, Group) else ""
    dataset = settle_region(target, dataset, mode=target._mode, append_dim=append_dim)
    _check_encoding(target, encoding or {})
    return _finish(target, [_planned(dataset, target, encoding or {})], base, **after)


def _write_tree(
    tree: DataTree,
    store: Any,
    mode: str,
    encoding: Mapping[Any, Any],
    inherited: bool,
    options: dict[str, Any],
    after: dict[str, Any],
) -> Any:
    if options["group"] is not None:
        raise NotImplementedError("specifying a root group for the tree has not been implemented")
    if options["append_dim"] is not None:
        raise NotImplementedError("specifying ``append_dim`` with ``DataTree.to_zarr`` has not been implemented")
    unknown = set(encoding) - set(tree.groups)
    if unknown:
        raise ArgumentError(f"unexpected encoding group name(s) provided: {unknown}")
    top = open_writable(store, mode, **options)
    for node in tree.subtree:
        _check_unread(top, node.to_dataset(inherit=False))
    plans = []
    for path, node in tree.subtree_with_keys:
        dataset = node.to_dataset(inherit=inherited or node is tree)
        target = top if node is tree else top.get_child_store(path)
        dataset = settle_region(target, dataset, mode=mode, append_dim=None)
        _check_encoding(target, encoding)
        plans.append(_planned(dataset, target, encoding.get(node.path) or {}))
    return _finish(top, plans, store.path if isinstance(store, Group) else "", **after)


def open_writable(
    store: Any = None,
    mode: str | None = None,
    *,
    group: str | None = None,
    consolidated: bool | None = None,
    append_dim: Hashable | None = None,
    region: Any = None,
    safe_chunks: bool = True,
    align_chunks: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    zarr_format: int | None = None,
    write_empty_chunks: bool | None = None,
) -> WritableStore:
    """The group to write to; it is made or emptied, as `mode` says, when all that is to be written is known to be good."""
    chosen = choose_mode(mode, append_dim, region)
    if storage_options is not None and not isinstance(store, str):
        raise ArgumentError(f"store must be a string to use storage_options, found {type(store)}", field="storage_options")
    path = normalize_path(group or "")
    base = ""
    if isinstance(store, Group):
        base, opened = store.path, store.store
    else:
        opened = resolve(store, "a" if chosen == "a-" else chosen, **(storage_options or {}))
    where = join(base, path) if path else base
    found = None if chosen == "w" else nodes.find(opened, where)
    if found is not None and chosen == "w-":
        raise NodeExistsError(
            f"there is a node at {where or '/'!r} in {opened.url} already; pass mode='w' to replace it with all that it holds, "
            "mode='a' to add to it",
            store=opened.url,
            path=where,
        )
    if found is None and chosen == "r+":
        raise nodes.nowhere(opened, where)
    target = handle(opened, where, found or make_group(where, {}, format_for(opened, where, zarr_format)))
    check_format(target, zarr_format)
    if consolidated and chosen == "r+" and (nodes.find_consolidated(opened, base) or (None, None))[1] is None:
        raise ArgumentError(f"no consolidated metadata in {opened.url}", field="consolidated")
    return WritableStore(
        target,
        chosen,
        pending=found is None,
        append_dim=append_dim,
        region=region,
        safe_chunks=safe_chunks,
        align_chunks=align_chunks,
        write_empty=write_empty_chunks,
        closes=not isinstance(store, (Group, Store)),
    )


def _check_unread(target: WritableStore, dataset: Dataset) -> None:
    """Raise ArgumentError where what is to be replaced is what lazy variables will be read from."""
    if target._mode == "w":
        lazy = [variable._data for variable in dataset.variables.values() if not isinstance(variable._data, np.ndarray)]
        check_unread(lazy, target.group.store, target.group.path)


def _planned(dataset: Dataset, target: WritableStore, encoding: Mapping[Any, Any]) -> Callable[[ArrayWriter], None]:
    variables, attributes = conventions.encode_dataset_coordinates(dataset)
    for name, wanted in encoding.items():
        variables[name].encoding = wanted
    return target.plan(variables, attributes, set(encoding))


def _finish(
    target: WritableStore,
    plans: Sequence[Callable[[ArrayWriter], None]],
    base: str,
    *,
    compute: bool,
    consolidated: bool | None,
    kwargs: Any,
) -> Any:
    writer = ArrayWriter()
    done = False
    try:
        for write in plans:
            write(writer)
        if target._mode != "r+" and consolidated is not False:
            _consolidate(target, base, required=bool(consolidated))
        writes = writer.sync(compute=compute, chunkmanager_store_kwargs=None if kwargs is None else dict(kwargs))
        done = True
    finally:
        if compute or not done:
            target.close()
    if compute:
        return target
    from dask import delayed

    return delayed(_close_after, pure=False)(writes, target)


def _close_after(writes: Any, target: WritableStore) -> None:
    target.close()


def _consolidate(target: WritableStore, base: str, *, required: bool) -> None:
    """Gather metadata where they can be: not of nodes of two formats, and not in a store whose owner keeps them by itself."""
    store = target.group.store
    if not required and not getattr(store, "supports_consolidated_metadata", True):
        return
    try:
        nodes.consolidate(store, base)
    except NdzarrError:
        if required:
            raise


def _as_dataset(array: DataArray) -> Dataset:
    if array.name is None:
        return array.to_dataset(name=_UNNAMED)
    if array.name in array.coords or array.name in array.dims:
        dataset = array.to_dataset(name=_UNNAMED)
        dataset.attrs[_NAME] = array.name
        return dataset
    return array.to_dataset()


def _check_variable_names(dataset: Dataset) -> None:
    for name in (*dataset.variables, *dataset.dims):
        if isinstance(name, str):
            if not name:
                raise ArgumentError(f"Invalid name {name!r} for DataArray or Dataset key: string must be length 1 or greater")
        elif name is not None:
            raise TypeError(f"Invalid name {name!r} for DataArray or Dataset key: it must be a string or None")


def _check_encoding(target: WritableStore, encoding: Mapping[Any, Any]) -> None:
    if target._mode in ("a", "a-", "r+"):
        for name in target.existing():
            if name in encoding:
                raise ArgumentError(f"variable {name!r} already exists, but encoding was provided")


@register_datatree_accessor("ndzarr")
@register_dataarray_accessor("ndzarr")
@register_dataset_accessor("ndzarr")
class NdzarrAccessor:
    """`ds.ndzarr`: writing with ndzarr, for datasets, data arrays and trees."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def to_zarr(
        self,
        store: Any = None,
        mode: str | None = None,
        group: str | None = None,
        encoding: Mapping[Any, Any] | None = None,
        **options: Any,
    ) -> Any:
        """`xarray_writer.to_zarr` of these data."""
        return to_zarr(self._data, store, mode, group, encoding, **options)
