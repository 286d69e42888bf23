"""Datasets, data arrays and trees written as Zarr groups: `ds.ndzarr.to_zarr(...)`, with xarray's own meaning of each argument.

xarray has no way to plug in a writer, so that this is an accessor, there once `ndzarr.xarray_backend` is imported or the engine
was used, and a function, `to_zarr`. CF encoding is xarray's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from xarray import (
    DataArray,
    Dataset,
    DataTree,
    Variable,
    conventions,
    register_dataarray_accessor,
    register_dataset_accessor,
    register_datatree_accessor,
)
from xarray.backends.common import (
    AbstractWritableDataStore,
    ArrayWriter,
    _encode_variable_name,
    ensure_dtype_not_object,
)
from xarray.coding.strings import EncodedStringCoder, check_vlen_dtype, ensure_fixed_length_bytes

from ndzarr import config, nodes
from ndzarr._typing import Json, Shape
from ndzarr.api import open_group
from ndzarr.creation import planned_array, put_node
from ndzarr.duck import DuckArray
from ndzarr.errors import ArgumentError, NdzarrError
from ndzarr.formats.document import attribute_mapping
from ndzarr.group import Group
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import ArrayMeta
from ndzarr.stores.base import Store
from ndzarr.xarray_alignment import aligned, check_aligned, chunks_to_write
from ndzarr.xarray_encoding import WRITING, create_arguments
from ndzarr.xarray_region import check_appended, check_same_dimensions, choose_mode, settle_region
from ndzarr.xarray_store import FILL, GroupStore, check_format
from ndzarr.zarray import ZArray

#: What a data array without a name, or one with the name of a coordinate, is called in a file; xarray's own words.
_UNNAMED, _NAME = "__xarray_dataarray_variable__", "__xarray_dataarray_name__"
#: What an encoding may hold that says nothing of how to write.
_DROPPED = ("source", "original_shape", "preferred_chunks")


class _Target:
    """An array to be written to with chunks of nothing but the fill value stored, or left out; wherever dask runs it."""

    def __init__(self, array: ZArray, write_empty: bool) -> None:
        self.array = array
        self.write_empty = write_empty

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self.array.shape

    def __setitem__(self, index: Any, value: Any) -> None:
        with config.options(write_empty=self.write_empty):
            self.array[index] = value


class WritableStore(AbstractWritableDataStore):
    """One group, written as a dataset; `to_zarr` gives it back. `group` is the group as ndzarr has it."""

    __slots__ = (
        "_align_chunks", "_append_dim", "_closes", "_mode", "_safe_chunks", "_write_empty", "existing", "group", "region",
    )  # fmt: skip

    def __init__(
        self,
        group: Group,
        mode: str,
        *,
        append_dim: Hashable | None = None,
        region: Any = None,
        safe_chunks: bool = True,
        align_chunks: bool = False,
        write_empty: bool | None = None,
        closes: bool = False,
    ) -> None:
        self.group = group
        self.region = region
        self._mode = mode
        self._append_dim = append_dim
        self._align_chunks = align_chunks
        self._safe_chunks = safe_chunks and not align_chunks
        self._write_empty = write_empty
        self._closes = closes
        #: What was there when this was opened.
        self.existing = GroupStore(group)

    def get_child_store(self, group: str) -> WritableStore:
        """The same for a group inside, made if there is none."""
        return WritableStore(
            self.group.require_group(group),
            self._mode,
            append_dim=self._append_dim,
            region=self.region,
            safe_chunks=self._safe_chunks,
            align_chunks=self._align_chunks,
            write_empty=self._write_empty,
        )

    # ---- reading what is there: xarray decodes stores that it wrote ------------------------------------

    def get_variables(self) -> dict[str, Variable]:
        """The arrays that are there now, as variables."""
        return GroupStore(self.group).get_variables()

    def get_attrs(self) -> dict[str, Json]:
        """The group's attributes."""
        return GroupStore(self.group).get_attrs()

    def get_dimensions(self) -> dict[Hashable, int]:
        """The length of each dimension; ValueError where two arrays differ."""
        return self.existing.get_dimensions()

    # ---- encoding --------------------------------------------------------------------------------

    def encode_variable(self, variable: Variable, name: Hashable | None = None) -> Variable:
        """A variable by CF's conventions, and with a dtype that Zarr has."""
        variable = conventions.encode_cf_variable(variable, name=name, coders=conventions.ZARR_CODERS)
        variable = ensure_dtype_not_object(variable, name=name)
        if variable.dtype.kind == "T" and WRITING[self.group.zarr_format].strings:
            if not hasattr(variable.dtype, "na_object"):
                return variable
            data = variable.data
            blocks = {"dtype": np.dtypes.StringDType(), "meta": np.empty((0,) * data.ndim, np.dtypes.StringDType())}
            filled = data.map_blocks(_without_missing, **blocks) if hasattr(data, "map_blocks") else _without_missing(data)
            return variable.copy(deep=False, data=filled)
        variable = EncodedStringCoder(allows_unicode=True).encode(variable, name=name)
        return ensure_fixed_length_bytes(variable)

    def encode_attribute(self, value: Any) -> Any:
        """An attribute as JSON has it: NumPy's numbers and arrays as numbers and lists."""
        return value.tolist() if isinstance(value, np.ndarray) else value.item() if isinstance(value, np.generic) else value

    # ---- writing --------------------------------------------------------------------------------

    def store(
        self,
        variables: Mapping[Any, Any],
        attributes: Mapping[Any, Any],
        check_encoding_set: Any = frozenset(),
        writer: ArrayWriter | None = None,
        unlimited_dims: Any = None,
    ) -> None:
        """Write metadata now, and hand data to `writer`, which writes what is in memory at once and the rest in `sync`."""
        writer = ArrayWriter() if writer is None else writer
        variables = {name: _chunked(getattr(variable, "variable", variable)) for name, variable in variables.items()}
        found = {} if self._mode == "w" else self.existing.metas
        old = {name for name in variables if _encode_variable_name(name) in found}
        self._check_names(variables, found)
        encoded, attributes = self.encode({name: v for name, v in variables.items() if name not in old}, attributes)
        encoded |= self._encode_as_stored({name: v for name, v in variables.items() if name in old})
        if self._mode != "r+":
            self._put_attributes(attributes)
        if self._mode == "a-" and self._append_dim is not None:
            encoded = {name: v for name, v in encoded.items() if name not in old or self._append_dim in v.dims}
        for name, variable in encoded.items():
            meta = found.get(_encode_variable_name(name)) if name in old else None
            self._put(name, variable, meta, name in check_encoding_set, writer)

    def _check_names(self, variables: Mapping[Any, Any], found: Mapping[str, ArrayMeta]) -> None:
        if self._mode == "r+":
            new = [name for name in variables if _encode_variable_name(name) not in found]
            if new:
                raise ArgumentError(
                    f"dataset contains non-pre-existing variables {new!r}, which mode='r+' does not allow; pass mode='a' to "
                    "write new variables"
                )
        if self._append_dim is not None and self._append_dim not in found:
            dimensions = self.get_dimensions()
            if self._append_dim not in dimensions:
                raise ArgumentError(
                    f"append_dim={self._append_dim!r} does not match any existing dataset dimensions {dimensions}"
                )

    def _encode_as_stored(self, variables: Mapping[Any, Variable]) -> dict[Any, Variable]:
        """Variables of which there are arrays already, encoded as those are."""
        if not variables:
            return {}
        stored = {name: self.existing.variable(_encode_variable_name(name)) for name in variables}
        decoded, _, _ = conventions.decode_cf_variables(stored, {})
        same = {}
        for name, variable in variables.items():
            check_appended(name, decoded[name], variable)
            same[name] = variable.copy(deep=False)
            same[name].encoding = decoded[name].encoding
        encoded, _ = self.encode(same, {})
        return {
            name: check_same_dimensions(name, variable, decoded[name], self.region, self._append_dim)
            for name, variable in encoded.items()
        }

    def _put_attributes(self, attributes: Mapping[Any, Any]) -> None:
        self.group.attrs.put(_json_attributes(attributes))

    def _put(self, name: Hashable, v: Variable, meta: ArrayMeta | None, check: bool, writer: ArrayWriter) -> None:
        """Write one variable: into the array that is there, or a new one."""
        how = WRITING[self.group.zarr_format]
        attributes = dict(v.attrs)
        encoding = {key: value for key, value in v.encoding.items() if key not in _DROPPED}
        fill = how.take_fill(attributes, encoding, v.dtype)
        if encoding.pop(FILL, None) is not None:
            raise ArgumentError(f"variable {name!r}: Zarr does not support {FILL} in encoding")
        how.check_encoding(encoding, refuse=check)
        chunks = chunks_to_write(encoding.get("chunks"), encoding.get("shards"), v, name)
        objects = chunks.objects
        region = {dim: (self.region or {}).get(dim, slice(None)) for dim in v.dims}
        shape = v.shape
        grown: Shape | None = None
        if meta is not None:
            shape = meta.shape
            if self._append_dim in v.dims:
                axis = v.dims.index(self._append_dim)
                region[self._append_dim] = slice(shape[axis], None)
                grown = shape = (*shape[:axis], shape[axis] + v.shape[axis], *shape[axis + 1 :])
        slices = tuple(region[dim] for dim in v.dims)
        # Before anything is resized or made: what is refused leaves nothing behind.
        if objects is not None and self._align_chunks:
            v = aligned(v, objects, slices)
        if objects is not None and self._safe_chunks:
            check_aligned(v.chunks, objects, shape, slices, partial=self._mode != "r+", name=name)
        if meta is None:
            array = self._create(name, v, fill, attributes, encoding, chunks.arguments())
        else:
            array = ZArray(self.group.store, self._path(name), meta, writable=True)
            if grown is not None:
                array.resize(grown)
        write_empty = self._write_empty if self._write_empty is not None else encoding.get("write_empty_chunks")
        writer.add(v.data, array if write_empty is None else _Target(array, bool(write_empty)), slices)

    def _path(self, name: Hashable) -> str:
        return join(self.group.path, normalize_path(_encode_variable_name(name)))

    def _create(
        self,
        name: Hashable,
        v: Variable,
        fill: Any,
        attributes: Mapping[str, Any],
        encoding: Mapping[str, Any],
        chunks: Mapping[str, Any],
    ) -> ZArray:
        wanted = encoding.get("write_empty_chunks")
        if self._write_empty is not None and wanted not in (None, self._write_empty):
            raise ArgumentError(
                f"write_empty_chunks is {self._write_empty!r} and in the encoding of {name!r} {wanted!r}; name one of them"
            )
        text = check_vlen_dtype(v.dtype) is str
        arguments, keys = create_arguments(encoding, str if text else v.dtype, self.group.zarr_format)
        array = planned_array(
            self.group.store,
            self._path(name),
            shape=v.shape,
            fill_value=fill,
            dimension_names=[str(dim) for dim in v.dims],
            attributes=_json_attributes({key: self.encode_attribute(value) for key, value in attributes.items()}),
            zarr_format=self.group.zarr_format,
            **chunks,
            **arguments,
        )
        meta = keys(array.metadata)
        put_node(self.group.store, self._path(name), meta, overwrite=self._mode == "w")
        return ZArray(self.group.store, self._path(name), meta, writable=True)

    def sync(self) -> None:
        """Nothing: all is written when it is stored."""

    def close(self) -> None:
        """Close the store if it was opened for this."""
        if self._closes:
            self.group.store.close()


def _json_attributes(attributes: Mapping[Any, Any]) -> dict[str, Json]:
    """The attributes, of which each can be JSON; TypeError for one that cannot."""
    try:
        return attribute_mapping(attributes)
    except ArgumentError as error:
        raise TypeError(f"Invalid attribute in Dataset.attrs. {error}") from error


def _without_missing(data: Any) -> Any:
    """Strings of which missing ones are empty: there is no value for them in a file."""
    found = np.asarray(data).astype(object)
    found[pd.isnull(found)] = ""
    return found.astype(np.dtypes.StringDType())


def _chunked(variable: Variable) -> Variable:
    """A variable whose data are an array of ours as one of dask's, written block by block; where dask is missing, loaded."""
    data: Any = variable._data
    if not isinstance(data, DuckArray):
        return variable
    if find_spec("dask") is None:
        return variable.copy(deep=False, data=np.asarray(data))
    made = variable.copy(deep=False, data=data.to_dask())
    if isinstance(data, ZArray) and all(isinstance(c, int) for c in data.chunks) and data.ndim:
        made.encoding = {"chunks": tuple(max(1, c) for c in data.chunks), **variable.encoding}
    return made


# ---- the function and the accessor --------------------------------------------------------------------------------


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
    base = store.path if isinstance(store, Group) else ""
    dataset = settle_region(target, dataset, mode=target._mode, append_dim=append_dim)
    _check_encoding(target, encoding or {})
    writer = ArrayWriter()
    _dump(dataset, target, writer, encoding or {})
    return _finish(target, writer, base, **after)


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
    writer = ArrayWriter()
    for path, node in tree.subtree_with_keys:
        dataset = node.to_dataset(inherit=inherited or node is tree)
        target = top if node is tree else top.get_child_store(path)
        dataset = settle_region(target, dataset, mode=mode, append_dim=None)
        _check_encoding(target, encoding)
        _dump(dataset, target, writer, encoding.get(node.path) or {})
    return _finish(top, writer, store.path if isinstance(store, Group) else "", **after)


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
    """The group to write to, made or emptied as `mode` says."""
    chosen = choose_mode(mode, append_dim, region)
    if storage_options is not None and not isinstance(store, str):
        raise ArgumentError(f"store must be a string to use storage_options, found {type(store)}", field="storage_options")
    path = normalize_path(group or "")
    base = ""
    if isinstance(store, Group):
        base, source = store.path, store.store
    else:
        source = store
    how: Any = "a" if chosen == "a-" else chosen
    where = join(base, path) if path else base
    opened = open_group(source, how, path=where, zarr_format=zarr_format, **(storage_options or {}))
    check_format(opened, zarr_format)
    if consolidated and chosen == "r+" and (nodes.find_consolidated(opened.store, base) or (None, None))[1] is None:
        raise ArgumentError(f"no consolidated metadata in {opened.store.url}", field="consolidated")
    return WritableStore(
        opened,
        chosen,
        append_dim=append_dim,
        region=region,
        safe_chunks=safe_chunks,
        align_chunks=align_chunks,
        write_empty=write_empty_chunks,
        closes=not isinstance(store, (Group, Store)),
    )


def _dump(dataset: Dataset, target: WritableStore, writer: ArrayWriter, encoding: Mapping[Any, Any]) -> None:
    variables, attributes = conventions.encode_dataset_coordinates(dataset)
    for name, wanted in encoding.items():
        variables[name].encoding = wanted
    target.store(variables, attributes, set(encoding), writer)


def _finish(
    target: WritableStore, writer: ArrayWriter, base: str, *, compute: bool, consolidated: bool | None, kwargs: Any
) -> Any:
    try:
        if target._mode != "r+" and consolidated is not False:
            _consolidate(target, base, required=bool(consolidated))
        writes = writer.sync(compute=compute, chunkmanager_store_kwargs=None if kwargs is None else dict(kwargs))
    finally:
        if compute:
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
        for name in target.existing.metas:
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
