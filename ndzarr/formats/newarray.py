"""New arrays: what a caller asked for -> the metadata that say so, in either format; and metadata -> what to ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ndzarr._typing import CodecSpec, DType, Json, Shape
from ndzarr.codecs.argument import to_v2, to_v3
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.configuration import to_json
from ndzarr.codecs.registry import kind_of
from ndzarr.dtypes.fill import fill_scalar
from ndzarr.dtypes.v2 import dtype_from_v2, dtype_to_v2, fill_from_v2, fill_to_v2
from ndzarr.dtypes.v3 import default_fill, dtype_from_v3, dtype_to_v3
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.formats import v2, v3
from ndzarr.grid import Edges
from ndzarr.keys import KeyEncoding
from ndzarr.metadata import ArrayMeta, GroupMeta

#: What a new node is stored in where neither the caller nor a group above says.
NEWEST = 3

_INDEX: list[dict[str, Json]] = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_CRC32C = CodecSpec("crc32c")
_AUTO = CodecSpec("zstd", {"level": 1})


@dataclass(frozen=True, slots=True)
class NewArray:
    """An array to be made, its arguments checked one by one but not against a format.

    chunks: the chunks that are read one by one; shards: where they are put together, the lengths of what lies under one key;
    then each of `chunks` is an int.
    filters, compressor: as `codecs.argument` gives them; compressor None is "auto". separator: None is the format's own.
    """

    shape: Shape
    dtype: DType
    chunks: tuple[int | Edges, ...]
    shards: tuple[int | Edges, ...] | None
    filters: tuple[CodecSpec, ...]
    compressor: tuple[CodecSpec, ...] | None
    fill_value: Any
    order: str
    separator: str | None
    dimension_names: tuple[str | None, ...] | None
    attributes: Mapping[str, Json]
    checksum: bool

    @property
    def packers(self) -> tuple[CodecSpec, ...]:
        """The compressor's codecs, "auto" resolved: nothing where a filter shards, since parts of a shard could not be read."""
        if self.compressor is not None:
            return self.compressor
        return () if any(spec.name == v3.SHARDING for spec in self.filters) else (_AUTO,)


def inner_shape(codecs: Sequence[CodecSpec]) -> Shape | None:
    """The chunk lengths of a shard that a caller's codecs make; None where they make none, or transpose before."""
    if codecs and codecs[0].name == v3.SHARDING:
        return tuple(codecs[0].configuration["chunk_shape"])
    return None


def check_format(zarr_format: int | None) -> None:
    """ArgumentError for a format that there is not."""
    if zarr_format is not None and (type(zarr_format) is not int or zarr_format not in _MAKERS):
        raise ArgumentError(f"zarr_format is {zarr_format!r}, expected 2 or 3", field="zarr_format", found=zarr_format)


def make_array(new: NewArray, zarr_format: int) -> ArrayMeta:
    """The metadata of a new array. ArgumentError for what the format cannot store, or not so that it can be read again."""
    return _MAKERS[zarr_format](new)


def make_group(path: str, attributes: Mapping[str, Json], zarr_format: int) -> GroupMeta:
    """The metadata of a new group at `path`; ArgumentError for what the format cannot store."""
    check_path(path, zarr_format)
    meta = GroupMeta(attributes, zarr_format)
    if zarr_format == 3:
        v3.node_to_json(meta)
    return meta


def check_path(path: str, zarr_format: int) -> None:
    """ArgumentError for a path that no node may have in this format."""
    if zarr_format == 3:
        v3.check_path(path)


# ---- format 2 --------------------------------------------------------------------------------


def _make_v2(new: NewArray) -> ArrayMeta:
    if new.shards is not None:
        raise ArgumentError(f"format 2 has no shards, found shards={new.shards!r}; pass zarr_format=3", field="shards")
    for chunk in new.chunks:
        if isinstance(chunk, Edges):
            raise ArgumentError("format 2 has no chunks of different lengths; pass zarr_format=3", field="chunks")
    dtype = new.dtype
    codecs = list(to_v2([*new.filters, *new.packers], ChunkSpec(tuple(c for c in new.chunks if isinstance(c, int)), dtype)))
    if not any("location" in spec.configuration for spec in new.packers):
        # The end is where numcodecs has it, and its older versions know no `location`.
        codecs = [_CRC32C if spec.name == v2.PREFIX + "crc32c" else spec for spec in codecs]
    first = next((n for n, spec in enumerate(codecs) if kind_of(spec.name) != "array->array"), None)
    if first is not None and codecs[first].name == "bytes":
        # Plain memory needs no codec here, and the byte order is the dtype's.
        endian = codecs.pop(first).configuration.get("endian")
        dtype = dtype if endian is None else dtype.newbyteorder("<" if endian == "little" else ">")
    _check_dtype_v2(dtype)
    packed = any(kind_of(spec.name) == "array->bytes" for spec in codecs) or v2.object_codec(codecs) is not None
    if dtype.hasobject and not packed:
        raise ArgumentError(
            f"dtype {dtype} holds objects and needs a codec that turns them into bytes as the first filter: pass "
            "filters=['vlen-utf8'] for strings, ['vlen-bytes'] for bytes, ['json2'] for anything that JSON can hold",
            field="filters",
        )
    if new.checksum:
        if new.packers and codecs and codecs[-1].name.removeprefix(v2.PREFIX) == "zstd":
            codecs[-1] = replace(codecs[-1], configuration={**codecs[-1].configuration, "checksum": True})
        else:
            codecs.append(_CRC32C)
    if new.order == "F":
        codecs.insert(0, CodecSpec("transpose", {"order": list(range(len(new.shape)))[::-1]}))
    fill = fill_scalar(new.fill_value, dtype, v2.object_codec(codecs))
    if dtype.kind in "fc":
        fill = fill_from_v2(fill_to_v2(fill, dtype), dtype)  # a NaN as it will be read: the document has no room for its bits
    meta = ArrayMeta(
        shape=new.shape,
        dtype=dtype,
        chunks=new.chunks,
        codecs=tuple(codecs),
        fill_value=fill,
        key_encoding=KeyEncoding("v2", new.separator or "."),
        attributes=new.attributes,
        zarr_format=2,
    )
    return v2.with_dimension_names(meta, new.dimension_names)


def _check_dtype_v2(dtype: DType) -> None:
    document = dtype_to_v2(dtype)
    try:
        if dtype_from_v2(document) == dtype:
            return
        why = "it would be read as another one"
    except MetadataError as error:
        why = str(error)
    raise ArgumentError(f"format 2 cannot store dtype {dtype}: {why}", field="dtype", found=dtype)


# ---- format 3 --------------------------------------------------------------------------------


def _make_v3(new: NewArray) -> ArrayMeta:
    given = [*new.filters, *new.packers]
    dtype = _dtype_v3(new.dtype, given)
    objects = v3.object_codec(given)
    if new.fill_value is None or (dtype.kind in "OT" and type(new.fill_value) is int and new.fill_value == 0):
        fill = default_fill(dtype, objects)
    else:
        fill = fill_scalar(new.fill_value, dtype, objects)
    chunks = new.chunks
    # Filters may say a byte order, the caller's: `to_v3` turns it into that of the elements in memory.
    told = dtype if dtype.kind in "OT" else new.dtype
    lengths = tuple(max(c.runs)[0] if isinstance(c, Edges) else c for c in chunks)
    chunk = ChunkSpec(lengths, told, fill if told is dtype else np.asarray(fill).astype(told)[()])
    first = []
    if new.order == "F" and len(new.shape) > 1:
        first.append(CodecSpec("transpose", {"order": list(range(len(new.shape)))[::-1]}))
    last = [_CRC32C] if new.checksum else []
    endian = byte_order(new.dtype)
    if any(spec.name == v3.SHARDING for spec in given):
        codecs = [_within(spec, first, last) for spec in to_v3(given, chunk, endian=endian)]
    else:
        codecs = _closed(to_v3([*first, *given], chunk, endian=endian), last)
    if new.shards is not None:
        codecs = [_sharded(codecs, new)]
        chunks = new.shards
    meta = ArrayMeta(
        shape=new.shape,
        dtype=dtype,
        chunks=chunks,
        codecs=tuple(codecs),
        fill_value=fill,
        key_encoding=KeyEncoding("default", new.separator or "/"),
        attributes=new.attributes,
        dimension_names=new.dimension_names,
        zarr_format=3,
    )
    document = v3.node_to_json(meta)
    try:
        return v3.array_from_json(document)
    except MetadataError as error:  # here the caller said it, not a document
        raise ArgumentError(str(error), codec=error.codec, field=error.field, found=error.found) from error


def _dtype_v3(dtype: DType, codecs: Sequence[CodecSpec]) -> DType:
    """The dtype as it will be read: in the machine's byte order, strings without a length as StringDType."""
    if dtype.kind == "U" and dtype.itemsize == 0:
        return np.dtypes.StringDType()
    objects = v3.object_codec(codecs)
    if dtype.kind == "O" and objects is None:
        raise ArgumentError(
            "format 3 has no data type for objects of any kind; pass filters=['vlen-utf8'] for strings (or dtype=str), "
            "['vlen-bytes'] for bytes, or zarr_format=2",
            field="filters",
        )
    native = dtype if dtype.kind == "T" else dtype.newbyteorder("=")
    try:
        read = dtype_from_v3(dtype_to_v3(native, objects))
    except MetadataError as error:
        raise ArgumentError(f"format 3 cannot store dtype {dtype}: {error}", field="dtype", found=dtype) from error
    if dtype.kind not in "OT" and read != native:
        raise ArgumentError(
            f"format 3 cannot store dtype {dtype}: it would be read as {read}", field="dtype", found=dtype, expected=read
        )
    return read


def byte_order(dtype: DType) -> str:
    """ "big" where all that has a byte order in the dtype is big-endian, else "little"."""
    orders = set(byte_orders(dtype))
    return "big" if orders == {">"} else "little"


def byte_orders(dtype: DType) -> list[str]:
    """ "<" or ">" for each part of a dtype that has a byte order."""
    if dtype.subdtype is not None:
        return byte_orders(dtype.subdtype[0])
    if dtype.names is not None:
        return [order for name in dtype.names for order in byte_orders(dtype[name])]
    return [] if dtype.byteorder == "|" else [dtype.str[0]] if dtype.str[0] in "<>" else []


def _sharded(codecs: Sequence[CodecSpec], new: NewArray) -> CodecSpec:
    chunks = [chunk for chunk in new.chunks if isinstance(chunk, int)]  # as `NewArray` says
    for axis, (chunk, shard) in enumerate(zip(chunks, new.shards or (), strict=True)):
        for length in [n for n, _ in shard.runs] if isinstance(shard, Edges) else [shard]:
            if length % chunk:
                raise ArgumentError(
                    f"shards have length {length} on axis {axis}, which is no multiple of the chunk length {chunk}",
                    field="shards",
                    found=length,
                    expected=chunk,
                )
    return CodecSpec(
        v3.SHARDING,
        {
            "chunk_shape": chunks,
            "codecs": [to_json(spec) for spec in codecs],
            "index_codecs": _INDEX,
            "index_location": "end",
        },
    )


def _closed(codecs: Sequence[CodecSpec], last: Sequence[CodecSpec]) -> list[CodecSpec]:
    return list(codecs) if codecs and last and codecs[-1].name == last[0].name else [*codecs, *last]


def _within(spec: CodecSpec, first: Sequence[CodecSpec], last: Sequence[CodecSpec]) -> CodecSpec:
    """A codec of the caller's with more before and behind its innermost chain, if it shards: a step outside the shard would
    forbid reading parts of it."""
    if spec.name != v3.SHARDING:
        return spec
    chain = [_from_json(inner) for inner in spec.configuration["codecs"]]
    if any(inner.name == v3.SHARDING for inner in chain):
        chain = [_within(inner, first, last) for inner in chain]
    else:
        chain = _closed([*first, *chain], last)
    return replace(spec, configuration={**spec.configuration, "codecs": [to_json(inner) for inner in chain]})


def _from_json(found: Json) -> CodecSpec:
    return CodecSpec(found["name"], found.get("configuration", {}))


_MAKERS: dict[int, Callable[[NewArray], ArrayMeta]] = {2: _make_v2, 3: _make_v3}


# ---- back --------------------------------------------------------------------------------


def arguments_of(meta: ArrayMeta) -> dict[str, Any]:
    """The keywords of `create_array` that have another array stored as this one is: its format, chunks, shards, codecs, order.

    Codecs come as `filters`, up to the first that takes bytes, and `compressor`, the rest.
    """
    specs = list(meta.codecs)
    found: dict[str, Any] = {"zarr_format": meta.zarr_format, "chunks": meta.chunks, "shards": None, "order": "C"}
    if len(specs) == 1 and _is_plain_shard(specs[0]):
        shard = specs[0].configuration
        specs = [_from_json(inner) for inner in shard["codecs"]]
        found |= {"chunks": tuple(shard["chunk_shape"]), "shards": meta.chunks}
    axes = list(range(meta.ndim))
    turned = specs and specs[0].name == "transpose" and list(specs[0].configuration.get("order", ())) == axes[::-1]
    # `order="F"` turns the chunks inside a shard, not the shard.
    if turned and not any(spec.name == v3.SHARDING for spec in specs):
        found["order"] = "F"
        del specs[0]
    # The plain step to bytes is made anew for the dtype; only its byte order is the caller's choice.
    specs = [spec for spec in specs if spec.name != "bytes" or spec.configuration.get("endian") == "big"]
    split = next((n for n, spec in enumerate(specs) if kind_of(spec.name) == "bytes->bytes"), len(specs))
    return {**found, "filters": specs[:split], "compressor": specs[split:]}


def _is_plain_shard(spec: CodecSpec) -> bool:
    """Whether `shards=` makes the same: index at the end, encoded as usual."""
    where = spec.configuration
    if spec.name != v3.SHARDING or where.get("index_location", "end") != "end":
        return False
    return bool(where.get("index_codecs", _INDEX) == _INDEX)
