"""A group as a data store that xarray's datasets are written to: what is to be written, encoded and checked, then written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from xarray import Variable, conventions
from xarray.backends.common import (
    AbstractWritableDataStore,
    ArrayWriter,
    _encode_variable_name,
    ensure_dtype_not_object,
)
from xarray.coding.strings import EncodedStringCoder, check_vlen_dtype, ensure_fixed_length_bytes

from ndzarr import config, nodes
from ndzarr._typing import DType, Json, Shape
from ndzarr.creation import planned_array, put_node
from ndzarr.duck import DuckArray
from ndzarr.errors import ArgumentError
from ndzarr.formats.document import attribute_mapping
from ndzarr.formats.newarray import make_group
from ndzarr.group import Group
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.stores.base import Store
from ndzarr.xarray_alignment import aligned, check_aligned, chunks_to_write
from ndzarr.xarray_encoding import WRITING, create_arguments
from ndzarr.xarray_region import check_appended, check_same_dimensions
from ndzarr.xarray_store import FILL, GroupStore
from ndzarr.zarray import ZArray

#: xarray's own choice for Zarr; before 2026.9 it had none, and stored booleans as numbers.
_CODERS: dict[str, Any] = {"coders": conventions.ZARR_CODERS} if hasattr(conventions, "ZARR_CODERS") else {}
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


@dataclass(frozen=True, slots=True)
class _Planned:
    """One variable, encoded and checked, and the array that it goes to.

    array: which is there, or, with `new`, is to be made with these metadata. grown: the shape that it has to get first. region:
    which part of it the variable is.
    """

    data: Any
    array: ZArray
    new: ArrayMeta | None
    grown: Shape | None
    region: tuple[slice, ...]
    write_empty: bool | None


class WritableStore(AbstractWritableDataStore):
    """One group, written as a dataset; `to_zarr` gives it back. `group` is the group as ndzarr has it.

    pending: there is no such group yet, or, where `mode` is "w", it is to be replaced: that happens when all that is to be
    written has been encoded and checked, so that what cannot be written destroys nothing.
    """

    __slots__ = (
        "_align_chunks", "_append_dim", "_closes", "_existing", "_mode", "_pending", "_safe_chunks", "_write_empty", "group",
        "region",
    )  # fmt: skip

    def __init__(
        self,
        group: Group,
        mode: str,
        *,
        pending: bool = False,
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
        self._pending = pending
        self._append_dim = append_dim
        self._align_chunks = align_chunks
        self._safe_chunks = safe_chunks and not align_chunks
        self._write_empty = write_empty
        self._closes = closes
        self._existing: GroupStore | None = None if pending else GroupStore(group)

    def get_child_store(self, group: str) -> WritableStore:
        """The same for a group inside, to be made if there is none."""
        path = join(self.group.path, normalize_path(group))
        found = None if self._mode == "w" else nodes.find(self.group.store, path, self.group.zarr_format)
        return WritableStore(
            handle(self.group.store, path, found or GroupMeta(zarr_format=self.group.zarr_format)),
            self._mode,
            pending=found is None,
            append_dim=self._append_dim,
            region=self.region,
            safe_chunks=self._safe_chunks,
            align_chunks=self._align_chunks,
            write_empty=self._write_empty,
        )

    def existing(self) -> Mapping[str, ArrayMeta]:
        """The metadata of the arrays that were there when this was opened, and are to stay, by name."""
        return {} if self._existing is None else self._existing.metas

    def existing_variable(self, name: Hashable) -> Variable:
        """One of them as a variable, not yet decoded; KeyError where there is none."""
        if self._existing is None:
            raise KeyError(name)
        return self._existing.variable(_encode_variable_name(name))

    # ---- reading what is there: xarray decodes stores that it wrote ------------------------------------

    def get_variables(self) -> dict[str, Variable]:
        """The arrays that are there now, as variables."""
        return GroupStore(self.group).get_variables()

    def get_attrs(self) -> dict[str, Json]:
        """The group's attributes."""
        return GroupStore(self.group).get_attrs()

    def get_dimensions(self) -> dict[Hashable, int]:
        """The length of each dimension; ValueError where two arrays differ."""
        return {} if self._existing is None else self._existing.get_dimensions()

    # ---- encoding --------------------------------------------------------------------------------

    def encode_variable(self, variable: Variable, name: Hashable | None = None) -> Variable:
        """A variable by CF's conventions, and with a dtype that Zarr has."""
        variable = conventions.encode_cf_variable(variable, name=name, **_CODERS)
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
        self.plan(variables, attributes, check_encoding_set)(ArrayWriter() if writer is None else writer)

    def plan(self, variables: Mapping[Any, Any], attributes: Mapping[Any, Any], checked: Any) -> Callable[[ArrayWriter], None]:
        """What has to be written, encoded and checked; calling it writes. Nothing is changed before.

        checked: the names whose encoding the caller gave, and which may hold nothing unknown. Raises ArgumentError (a
        ValueError), TypeError and whatever encoding raises.
        """
        variables = {name: _chunked(getattr(variable, "variable", variable)) for name, variable in variables.items()}
        found = self.existing()
        old = {name for name in variables if _encode_variable_name(name) in found}
        self._check_names(variables, found)
        encoded, attributes = self.encode({name: v for name, v in variables.items() if name not in old}, attributes)
        encoded |= self._encode_as_stored({name: v for name, v in variables.items() if name in old})
        if self._mode == "a-" and self._append_dim is not None:
            encoded = {name: v for name, v in encoded.items() if name not in old or self._append_dim in v.dims}
        described = make_group(self.group.path, _json_attributes(attributes), self.group.zarr_format)
        planned = [
            self._plan(name, v, found.get(_encode_variable_name(name)) if name in old else None, name in checked)
            for name, v in encoded.items()
        ]
        return lambda writer: self._write(described, planned, writer)

    def _write(self, described: GroupMeta, planned: Sequence[_Planned], writer: ArrayWriter) -> None:
        store, path = self.group.store, self.group.path
        if self._pending:
            put_node(store, path, described, overwrite=self._mode == "w")
            self.group = handle(store, path, described)
            self._pending = False
        elif self._mode != "r+":
            self.group.attrs.put(described.attributes)
        for one in planned:
            if one.new is not None:
                put_node(store, one.array.path, one.new, overwrite=self._mode == "w")
            if one.grown is not None:
                one.array.resize(one.grown)
            target = one.array if one.write_empty is None else _Target(one.array, one.write_empty)
            writer.add(one.data, target, one.region)

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
        stored = {name: self.existing_variable(name) for name in variables}
        decoded, _, _ = conventions.decode_cf_variables(stored, {})
        same, native = {}, {}
        for name, variable in variables.items():
            check_appended(name, decoded[name], variable)
            if stored[name].dtype.kind == "M":
                native[name] = _as_times(name, variable, stored[name].dtype, decoded[name].encoding)
                continue
            same[name] = variable.copy(deep=False)
            same[name].encoding = decoded[name].encoding
        encoded, _ = self.encode(same, {})
        encoded |= native
        return {
            name: check_same_dimensions(name, variable, decoded[name], self.region, self._append_dim)
            for name, variable in encoded.items()
        }

    def _plan(self, name: Hashable, v: Variable, meta: ArrayMeta | None, check: bool) -> _Planned:
        """One variable: into the array that is there, or a new one."""
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
        if objects is not None and self._align_chunks:
            v = aligned(v, objects, slices)
        if objects is not None and self._safe_chunks:
            check_aligned(v.chunks, objects, shape, slices, partial=self._mode != "r+", name=name)
        write_empty = self._write_empty if self._write_empty is not None else encoding.get("write_empty_chunks")
        if meta is None:
            new = self._metadata(name, v, fill, attributes, encoding, chunks.arguments())
            array = ZArray(self.group.store, self._path(name), new, writable=True)
        else:
            new = None
            array = ZArray(self.group.store, self._path(name), meta, writable=True)
        return _Planned(v.data, array, new, grown, slices, None if write_empty is None else bool(write_empty))

    def _path(self, name: Hashable) -> str:
        return join(self.group.path, normalize_path(_encode_variable_name(name)))

    def _metadata(
        self,
        name: Hashable,
        v: Variable,
        fill: Any,
        attributes: Mapping[str, Any],
        encoding: Mapping[str, Any],
        chunks: Mapping[str, Any],
    ) -> ArrayMeta:
        """The metadata of a new array."""
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
        return keys(array.metadata)

    def sync(self) -> None:
        """Nothing: all is written when it is stored."""

    def close(self) -> None:
        """Close the store if it was opened for this."""
        if self._closes:
            self.group.store.close()


def _as_times(name: Hashable, variable: Variable, dtype: DType, encoding: Mapping[str, Any]) -> Variable:
    """Times as an array holds them that has a datetime dtype of its own, and no units by CF's conventions.

    Encoded as all others are, they would become counts since the first of them, which nothing in the array says; xarray's own
    writer has it so (2026.9).
    """
    data = variable.data
    times = data.astype(dtype)
    if not np.can_cast(variable.dtype, dtype, "safe") and not (
        # xarray itself has made seconds of days.
        isinstance(data, np.ndarray) and np.array_equal(times.astype(data.dtype), data, equal_nan=True)
    ):
        raise ArgumentError(
            f"variable {name!r} has dtype {variable.dtype} and the array that is there {dtype}, which cannot hold all of them; "
            "convert it before, or write into the array by an index",
            field="dtype",
            found=variable.dtype,
            expected=dtype,
        )
    made = variable.copy(deep=False, data=times)
    made.encoding = {key: value for key, value in encoding.items() if key != FILL}
    return made


def handle(store: Store, path: str, meta: ArrayMeta | GroupMeta) -> Group:
    """A group to write to; ArgumentError where an array is."""
    if isinstance(meta, ArrayMeta):
        raise ArgumentError(f"{path or '/'!r} in {store.url} is an array, expected a group", path=path)
    return Group(store, path, meta, writable=True)


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
