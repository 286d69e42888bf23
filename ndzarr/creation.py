"""New nodes: arguments, checked and completed, -> metadata in a store."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from ndzarr import nodes
from ndzarr._typing import CodecSpec, DType, Json, Shape
from ndzarr.codecs.argument import normalize_all
from ndzarr.codecs.registry import kind_of
from ndzarr.dtypes import dtype_from_v2, dtype_to_v2, fill_scalar
from ndzarr.errors import ArgumentError, MetadataError, NodeExistsError, ReadOnlyError
from ndzarr.formats.document import attribute_mapping
from ndzarr.formats.v2 import check_format, object_codec, with_dimension_names
from ndzarr.grid import auto_chunks
from ndzarr.keys import KeyEncoding
from ndzarr.metadata import ArrayMeta, GroupMeta, shape_argument
from ndzarr.stores.base import Store
from ndzarr.zarray import ZArray


def new_array(
    store: Store,
    path: str,
    *,
    shape: Any,
    dtype: Any = None,
    chunks: Any = "auto",
    shards: Any = None,
    compressor: Any = "auto",
    filters: Any = None,
    fill_value: Any = None,
    order: str = "C",
    zarr_format: int | None = None,
    dimension_separator: str | None = None,
    dimension_names: Any = None,
    attributes: Mapping[str, Json] | None = None,
    overwrite: bool = False,
    checksum: bool = False,
    allow_pickle: bool = False,
) -> ZArray:
    """A new array at `path`, its ancestors made groups; see `ndzarr.create_array`."""
    check_format(zarr_format)
    if shards is not None:
        raise ArgumentError(f"shards={shards!r} needs format 3, which this version does not write", field="shards")
    lengths = shape_argument(shape)
    kind = np.dtype(float if dtype is None else dtype)
    # What cannot be stored, or read again as it is, is refused before anything is written.
    _check_dtype(kind)
    if order not in ("C", "F"):
        raise ArgumentError(f"order is {order!r}, expected 'C' or 'F'", field="order", found=order)
    if dimension_separator not in (None, ".", "/"):
        raise ArgumentError(
            f"dimension_separator is {dimension_separator!r}, expected '.' or '/'",
            field="dimension_separator",
            found=dimension_separator,
        )
    codecs = _codecs(kind, compressor, filters, checksum)
    if order == "F":
        codecs.insert(0, CodecSpec("transpose", {"order": list(range(len(lengths)))[::-1]}))
    meta = ArrayMeta(
        shape=lengths,
        dtype=kind,
        chunks=chunks_argument(chunks, lengths, kind),
        codecs=tuple(codecs),
        fill_value=fill_scalar(fill_value, kind, object_codec(codecs)),
        key_encoding=KeyEncoding("v2", dimension_separator or "."),
        attributes={} if attributes is None else attribute_mapping(attributes),
        zarr_format=2,
    )
    meta = with_dimension_names(meta, _names(dimension_names))
    try:
        array = ZArray(store, path, meta, writable=True, allow_pickle=allow_pickle)
    except MetadataError as error:  # here the caller said it, not a document
        raise ArgumentError(str(error), codec=error.codec, field=error.field, found=error.found) from error
    with nodes.node_lock(store, path):
        _make_room(store, path, overwrite)
        nodes.write_array(store, path, meta)
    return array


def new_group(
    store: Store,
    path: str,
    *,
    attributes: Mapping[str, Json] | None = None,
    overwrite: bool = False,
    zarr_format: int | None = None,
) -> GroupMeta:
    """Make a group at `path`, its ancestors too; its metadata."""
    check_format(zarr_format)
    meta = GroupMeta({} if attributes is None else attribute_mapping(attributes))
    with nodes.node_lock(store, path):
        _make_room(store, path, overwrite)
        nodes.write_group(store, path, meta)
    return meta


def _make_room(store: Store, path: str, overwrite: bool) -> None:
    """See to it that nothing is at `path` and that its ancestors are groups; the caller holds the node's lock."""
    if not store.writable:
        raise ReadOnlyError(f"{store.url} is read-only; open it for writing", store=store.url)
    found = nodes.kind(store, path)
    if found is not None and not overwrite:
        raise NodeExistsError(
            f"there is {'an array' if found == 'array' else 'a group'} at {path or '/'!r} in {store.url} already; pass "
            "overwrite=True to replace it with all that it holds",
            store=store.url,
            path=path,
        )
    above = nodes.require_ancestors(store, path)
    if above is not None:
        raise NodeExistsError(
            f"cannot create {path!r} in {store.url}: {above or '/'!r} is an array, and arrays hold no members",
            store=store.url,
            path=path,
        )
    if found is not None:
        nodes.delete(store, path)
    elif overwrite:
        nodes.delete_remains(store, path)


def _check_dtype(dtype: DType) -> None:
    document = dtype_to_v2(dtype)
    try:
        if dtype_from_v2(document) == dtype:
            return
        why = "it would be read as another one"
    except MetadataError as error:
        why = str(error)
    raise ArgumentError(f"format 2 cannot store dtype {dtype}: {why}", field="dtype", found=dtype)


def _names(dimension_names: Any) -> tuple[str | None, ...] | None:
    if dimension_names is None:
        return None
    if isinstance(dimension_names, str) or not hasattr(dimension_names, "__iter__"):
        raise ArgumentError(
            f"dimension_names must be a sequence of strings, found {dimension_names!r}", field="dimension_names"
        )
    return tuple(dimension_names)


def chunks_argument(chunks: Any, shape: Shape, dtype: DType) -> Shape:
    """Chunk lengths: "auto" (or True, None) aims at 1 MiB, False is one chunk, an int is for every axis; -1 is a whole axis."""
    if chunks is None or chunks is True or (isinstance(chunks, str) and chunks == "auto"):
        return auto_chunks(shape, dtype.itemsize)
    if chunks is False:
        return tuple(max(1, n) for n in shape)
    try:
        lengths: Shape = (operator.index(chunks),) * len(shape)
    except TypeError:
        try:
            lengths = tuple(-1 if n is None else operator.index(n) for n in chunks)
        except TypeError as error:
            raise ArgumentError(
                f"chunks must be 'auto', an int or a sequence of ints, found {chunks!r}", field="chunks", found=chunks
            ) from error
    if len(lengths) != len(shape):
        raise ArgumentError(
            f"chunks {lengths!r} have {len(lengths)} axes, the array has {len(shape)}", field="chunks", found=lengths
        )
    lengths = tuple(max(1, n) if c == -1 else c for c, n in zip(lengths, shape, strict=True))
    if any(c < 1 for c in lengths):
        raise ArgumentError(f"chunks {lengths!r} must be at least 1 on every axis", field="chunks", found=lengths)
    return lengths


def _codecs(dtype: DType, compressor: Any, filters: Any, checksum: bool) -> list[CodecSpec]:
    codecs = list(normalize_all(filters))
    if isinstance(compressor, str) and compressor == "auto":
        compressor = "zstd"
    packers = list(normalize_all(compressor))
    if (
        dtype.hasobject
        and not any(kind_of(spec.name) == "array->bytes" for spec in codecs + packers)
        and object_codec(codecs + packers) is None
    ):
        raise ArgumentError(
            f"dtype {dtype} holds objects and needs a codec that turns them into bytes as the first filter: pass "
            "filters=['vlen-utf8'] for strings, ['vlen-bytes'] for bytes, ['json2'] for anything that JSON can hold",
            field="filters",
        )
    if checksum:
        if packers and packers[-1].name == "zstd":
            packers[-1] = CodecSpec("zstd", {**packers[-1].configuration, "checksum": True})
        else:
            packers.append(CodecSpec("crc32c", {}))
    return codecs + packers
