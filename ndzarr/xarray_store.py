"""A group as xarray's data store: variables that read what is indexed, attributes, and the encoding of each.

Two conventions say how a Zarr array becomes a variable (https://docs.xarray.dev/en/stable/internals/zarr-encoding-spec.html):

- dimensions: `dimension_names` in format 3, the attribute `_ARRAY_DIMENSIONS` in format 2, or NCZarr's `_NCZARR_ARRAY`;
- missing values: format 2's fill value is also CF's `_FillValue`; format 3 keeps the two apart, and stores `_FillValue` as an
  attribute, floats in base64.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xarray import Variable
from xarray.backends.common import AbstractDataStore, BackendArray
from xarray.core import indexing

from ndzarr._typing import CodecSpec, DType, Json, Shape
from ndzarr.codecs.argument import normalize
from ndzarr.codecs.configuration import to_json
from ndzarr.codecs.registry import kind_of
from ndzarr.errors import ArgumentError, MemoryLimitError, MetadataError
from ndzarr.grid import Edges
from ndzarr.group import Group
from ndzarr.keys import join
from ndzarr.metadata import ArrayMeta
from ndzarr.zarray import ZArray

DIMENSIONS = "_ARRAY_DIMENSIONS"
FILL = "_FillValue"
_SHARDING = "sharding_indexed"
_NUMCODECS = "numcodecs."


class LazyArray(BackendArray):
    """An array as xarray's lazy indexing wants it: each index reads what it touches, and nothing else does.

    The ZArray is made at the first read: most variables of a large dataset are never read. Pickles as the group does.
    """

    __slots__ = ("_group", "_made", "_meta", "_name", "dtype", "shape")

    def __init__(self, group: Group, name: str, meta: ArrayMeta) -> None:
        self._group = group
        self._name = name
        self._meta = meta
        self._made: ZArray | None = None
        self.shape: Shape = meta.shape
        text = meta.dtype.kind == "O" and any(spec.name.removeprefix(_NUMCODECS) == "vlen-utf8" for spec in meta.codecs)
        self.dtype: DType = np.dtype(object, metadata={"element_type": str}) if text else meta.dtype

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyArray, (self._group, self._name, self._meta)

    def stored(self) -> ZArray:
        """The array itself."""
        found = self._made
        if found is None:  # two threads may both make one, and either is as good
            found = self._made = ZArray(self._group.store, join(self._group.path, self._name), self._meta)
        return found

    def _method(self, key: indexing.ExplicitIndexer) -> Callable[[Any], Any]:
        if isinstance(key, indexing.VectorizedIndexer):
            return self._points
        return self._outer if isinstance(key, indexing.OuterIndexer) else self._basic

    def _basic(self, key: Any) -> Any:
        return self._array(self.stored()[key])

    def _outer(self, key: Any) -> Any:
        return self._array(self.stored().oindex[key])

    def _points(self, key: Any) -> Any:
        return self._array(self.stored().vindex[key])

    def _array(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value
        whole = np.empty((), self.dtype)
        whole[()] = value
        return whole

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.VECTORIZED, self._method(key))

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        """What `self[key]` is, read on another thread, so that several are read at once."""
        method = self._method(key)

        async def read(raw: Any) -> Any:
            return await asyncio.to_thread(method, raw)

        return await indexing.async_explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.VECTORIZED, read)


# ---- codecs and chunks, as encoding --------------------------------------------------------------------------------


class EncodedCodec(dict[str, Any]):
    """A codec of format 3 in a variable's encoding: the JSON object that zarr-python and ndzarr both take for one.

    Equal to any codec object that says the same by `to_dict()`, such as zarr-python's, and its configuration can be asked for
    by name as that of such an object: `codec.level`.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self["configuration"][name]
        except KeyError:
            raise AttributeError(f"codec {self.get('name')!r} has no {name!r}") from None

    def to_dict(self) -> dict[str, Json]:
        """The JSON object."""
        return dict(self)

    def __eq__(self, other: object) -> bool:
        told = getattr(other, "to_dict", None)
        said = told() if callable(told) else other
        if dict.__eq__(self, said) is True:
            return True
        try:  # the one may leave out what the other says is as usual
            return isinstance(said, Mapping) and normalize(dict(self)) == normalize(said)
        except ArgumentError:
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as a dict


#: Up to this many chunk lengths along an axis are listed one by one.
_MAX_LISTED = 10_000_000


def _clipped(chunks: tuple[int | Edges, ...], shape: Shape) -> tuple[int | tuple[int, ...], ...]:
    """Chunk lengths by axis: an int, or where they differ one for each chunk, which together are the axis."""
    return tuple([c if isinstance(c, int) else _listed(c, length) for c, length in zip(chunks, shape, strict=True)])


def _listed(edges: Edges, length: int) -> int | tuple[int, ...]:
    runs: list[tuple[int, int]] = []
    left = length
    for size, times in edges.runs:
        whole = min(times, left // size) if size else 0
        if whole:
            runs.append((size, whole))
            left -= size * whole
        if left and whole < times and size:
            runs.append((left, 1))
            left = 0
        if not left:
            break
    sizes = {size for size, _ in runs[:-1]}
    if runs and (len(runs) == 1 or (len(sizes) == 1 and runs[-1][1] == 1 and runs[-1][0] <= runs[0][0])):
        return runs[0][0]  # a regular grid after all, as xarray too has it
    count = sum(times for _, times in runs)
    if count > _MAX_LISTED:
        raise MemoryLimitError(f"an axis has {count} chunk lengths to list", found=count, expected=_MAX_LISTED)
    return tuple([size for size, times in runs for _ in range(times)]) or (0,)


class _Encoding2:
    """Format 2: codecs are numcodecs objects, as the zarr engine has them."""

    masks = True

    def dimensions(self, meta: ArrayMeta, path: str) -> tuple[tuple[Any, ...], dict[str, Json]]:
        """The dimensions of an array, and its attributes without those that say so; KeyError where nothing does."""
        attributes = {k: v for k, v in meta.attributes.items() if k != DIMENSIONS and not k.lower().startswith("_nc")}
        if meta.dimension_names is not None:
            return meta.dimension_names, attributes
        for told in (meta.extra.get("_NCZARR_ARRAY"), meta.attributes.get("_nczarr_array")):
            if isinstance(told, dict):
                names = told.get("dimrefs", told.get("dimension_references"))
                if isinstance(names, list) and len(names) == meta.ndim:
                    return tuple(str(name).rpartition("/")[2] for name in names), attributes
        raise KeyError(
            f"Zarr object is missing the attribute `{DIMENSIONS}` and the NCZarr metadata, which are required for xarray to "
            f"determine variable dimensions: {path!r}"
        )

    def codecs(self, meta: ArrayMeta) -> dict[str, Any]:
        """The codecs and chunks, as encoding."""
        specs = [spec for spec in meta.codecs if spec.name != "transpose"]
        last = specs.pop() if specs and kind_of(specs[-1].name) == "bytes->bytes" else None
        return {
            "chunks": _clipped(meta.chunks, meta.shape),
            "compressors": () if last is None else (_numcodec(last),),
            "filters": tuple([_numcodec(spec) for spec in specs]),
            "shards": None,
        }

    def fill(self, meta: ArrayMeta) -> dict[str, Any]:
        """What encoding says of the fill value: nothing, `_FillValue` does."""
        return {}


class _Encoding3:
    """Format 3: codecs are JSON objects."""

    masks = False

    def dimensions(self, meta: ArrayMeta, path: str) -> tuple[tuple[Any, ...], dict[str, Json]]:
        """As for format 2."""
        names = meta.dimension_names or ()
        if len(names) != meta.ndim:
            raise KeyError(
                "Zarr object is missing the `dimension_names` metadata which is required for xarray to determine variable "
                f"dimensions: {path!r}"
            )
        return names, dict(meta.attributes)

    def codecs(self, meta: ArrayMeta) -> dict[str, Any]:
        """As for format 2."""
        specs = meta.codecs
        chunks: Any = _clipped(meta.chunks, meta.shape)
        shards = None
        if len(specs) == 1 and specs[0].name == _SHARDING:
            told = specs[0].configuration
            shards, chunks = chunks, tuple(told["chunk_shape"])
            specs = tuple(_spec(inner) for inner in told["codecs"])
        found: dict[str, list[EncodedCodec]] = {"array->array": [], "array->bytes": [], "bytes->bytes": []}
        for spec in specs:
            found[kind_of(spec.name)].append(EncodedCodec(to_json(spec)))
        return {
            "chunks": chunks,
            "compressors": tuple(found["bytes->bytes"]),
            "filters": tuple(found["array->array"]),
            "shards": shards,
            "serializer": found["array->bytes"][0] if found["array->bytes"] else None,
        }

    def fill(self, meta: ArrayMeta) -> dict[str, Any]:
        """What encoding says of the fill value, where it is no mask."""
        return {"fill_value": meta.fill_value}


#: By version of the format.
ENCODINGS: dict[int, _Encoding2 | _Encoding3] = {2: _Encoding2(), 3: _Encoding3()}


def _own(value: Any) -> Any:
    """A value of an encoding that may be changed without changing that of another variable."""
    if isinstance(value, EncodedCodec):
        return EncodedCodec({**value, "configuration": dict(value["configuration"])} if "configuration" in value else value)
    return tuple([_own(item) for item in value]) if type(value) is tuple and value and type(value[0]) is not int else value


def _spec(found: Any) -> CodecSpec:
    if isinstance(found, CodecSpec):
        return found
    return CodecSpec(found, {}) if isinstance(found, str) else CodecSpec(found["name"], found.get("configuration", {}))


def _numcodec(spec: CodecSpec) -> Any:
    from numcodecs.registry import get_codec

    document = {"id": spec.name.removeprefix(_NUMCODECS), **spec.configuration}
    try:
        return get_codec(dict(document))
    except Exception:  # a codec of ours, or one that is not installed: numcodecs raises what it likes
        return document


# ---- `_FillValue` --------------------------------------------------------------------------------


def decode_fill(value: Any, dtype: DType) -> Any:
    """`_FillValue` out of JSON, where xarray has floats as base64 of a little-endian double, whatever their own width.

    Numbers that other programs wrote as they stand are taken too.
    """
    kind = dtype.kind
    if kind == "f":
        return _unpacked(value)
    if kind == "c":
        return complex(*(_unpacked(part) for part in value)) if isinstance(value, list | tuple) else complex(value)
    if kind == "S":
        return base64.standard_b64decode(value)
    if kind == "b":
        return bool(value)
    if kind in "iu":
        return int(value)
    return str(value) if kind in "UTO" else value


def _unpacked(value: Any) -> float:
    if isinstance(value, str) and len(value) == 12:
        found: float = struct.unpack("<d", base64.standard_b64decode(value))[0]
        return found
    return float(value)  # "NaN" and "Infinity" too


# ---- the store --------------------------------------------------------------------------------


class GroupStore(AbstractDataStore):
    """One group, read as a dataset.

    masks: whether the fill value of an array is CF's `_FillValue` too; None is as the format has it.
    """

    __slots__ = ("_closes", "_encodings", "_group", "_masks", "metas")

    def __init__(self, group: Group, *, masks: bool | None = None, closes: bool = False) -> None:
        self._group = group
        self._closes = closes
        self._masks = ENCODINGS[group.zarr_format].masks if masks is None else masks
        # By the identity of the codecs, which arrays that are stored alike share; `metas` keeps them alive.
        self._encodings: dict[tuple[Any, ...], dict[str, Any]] = {}
        #: The metadata of each array by name.
        self.metas: dict[str, ArrayMeta] = {}
        for name, meta in group.metadata_of_members():
            if isinstance(meta, MetadataError):
                raise meta
            if isinstance(meta, ArrayMeta):
                self.metas[name] = meta

    def variable(self, name: str) -> Variable:
        """One array as a variable, not yet decoded. KeyError where its dimensions have no names."""
        meta = self.metas[name]
        path = join(self._group.path, name)
        how = ENCODINGS[meta.zarr_format]
        dimensions, attributes = how.dimensions(meta, path)
        key = (id(meta.codecs), meta.chunks, meta.shape)
        like = self._encodings.get(key)
        if like is None:
            like = self._encodings[key] = how.codecs(meta)
        encoding = {name: _own(value) for name, value in like.items()}
        encoding["preferred_chunks"] = dict(zip(dimensions, encoding["chunks"], strict=True))
        if meta.dtype.kind == "T":
            encoding["dtype"] = meta.dtype
        if self._masks:
            if meta.fill_value is not None:
                attributes[FILL] = meta.fill_value
        else:
            encoding |= how.fill(meta)
            if FILL in attributes:
                attributes[FILL] = decode_fill(attributes[FILL], meta.dtype)
        return Variable(dimensions, indexing.LazilyIndexedArray(LazyArray(self._group, name, meta)), attributes, encoding)

    # ---- what xarray asks --------------------------------------------------------------------------------

    def get_variables(self) -> dict[str, Variable]:
        """All arrays, as variables; none is read."""
        return {name: self.variable(name) for name in self.metas}

    def get_attrs(self) -> dict[str, Json]:
        """The group's attributes."""
        return {k: v for k, v in self._group.attrs.items() if not k.lower().startswith("_nc")}

    def get_dimensions(self) -> dict[Any, int]:
        """The length of each dimension; ArgumentError (a ValueError) where two arrays differ."""
        found: dict[Any, int] = {}
        for name, meta in self.metas.items():
            dimensions, _ = ENCODINGS[meta.zarr_format].dimensions(meta, name)
            for dimension, length in zip(dimensions, meta.shape, strict=True):
                if found.setdefault(dimension, length) != length:
                    raise ArgumentError(f"found conflicting lengths for dimension {dimension} ({length} != {found[dimension]})")
        return found

    def close(self) -> None:
        """Close the store if it was opened for this."""
        if self._closes:
            self._group.store.close()


def check_format(found: Group, wanted: int | None) -> None:
    """Raise ArgumentError unless the group is of the format wanted, if one is."""
    if wanted is not None and ENCODINGS.get(wanted) is not ENCODINGS[found.zarr_format]:
        raise ArgumentError(
            f"{found.path or '/'!r} in {found.store.url} is of Zarr format {found.zarr_format}, expected {wanted}",
            field="zarr_format",
            found=found.zarr_format,
            expected=wanted,
        )
