"""Zarr format 2: `.zarray`, `.zgroup` and `.zattrs` documents <-> ArrayMeta and GroupMeta.

https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ndzarr._typing import Buffer, CodecSpec, Json
from ndzarr.codecs.registry import kind_of
from ndzarr.dtypes.v2 import dtype_from_v2, dtype_to_v2, fill_from_v2, fill_to_v2
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.formats.document import dump, dump_attributes, lengths, located, parse, wrong
from ndzarr.keys import KeyEncoding
from ndzarr.metadata import ArrayMeta, GroupMeta

ARRAY, GROUP, ATTRIBUTES, CONSOLIDATED = ".zarray", ".zgroup", ".zattrs", ".zmetadata"

#: Names of v2 codecs carry this in a CodecSpec, as zarr-python spells them in v3 documents: two of them ("packbits" for one)
#: mean something else there.
PREFIX = "numcodecs."

_FIELDS = ("zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters")
_DIMENSIONS = "_ARRAY_DIMENSIONS"
#: Codecs that turn objects into bytes; the first filter of an object array is one of them.
_OBJECT_CODECS = ("vlen-utf8", "vlen-bytes", "vlen-array", "json2", "msgpack2", "pickle", "categorize")


def read_array(data: Buffer, attributes: Buffer | None, name: str = ARRAY) -> ArrayMeta:
    """The ArrayMeta of a `.zarray` document and its `.zattrs`; MetadataError names the field that is wrong."""
    return array_from_json(parse(data, name), read_attributes(attributes, name), name)


def array_from_json(document: Mapping[str, Json], attributes: Mapping[str, Json], name: str = ARRAY) -> ArrayMeta:
    """`read_array` for documents that are parsed already."""
    return located(name, lambda: _array(document, attributes))


def _array(document: Mapping[str, Json], attributes: Mapping[str, Json]) -> ArrayMeta:
    _check_format(document)
    for field in _FIELDS:
        if field not in document:
            raise MetadataError(f"field {field!r} is missing", field=field, expected="present")
    shape = lengths(document, "shape")
    chunks = lengths(document, "chunks")
    if len(chunks) != len(shape):
        raise wrong("chunks", document["chunks"], f"expected {len(shape)} lengths, as many as shape has")
    dtype = dtype_from_v2(document["dtype"])
    order = document["order"]
    if order not in ("C", "F"):
        raise wrong("order", order, "expected 'C' or 'F'")
    separator = document.get("dimension_separator")
    if separator not in (".", "/", None):
        raise wrong("dimension_separator", separator, "expected '.' or '/'")
    filters = document["filters"]
    if filters is not None and not isinstance(filters, list):
        raise wrong("filters", filters, "expected null or a list")
    codecs = [_codec(spec, f"filters[{n}]") for n, spec in enumerate(filters or ())]
    if document["compressor"] is not None:
        codecs.append(_codec(document["compressor"], "compressor"))
    objects = object_codec(codecs)
    if order == "F":
        codecs.insert(0, CodecSpec("transpose", {"order": list(range(len(shape)))[::-1]}))
    extra = {k: v for k, v in document.items() if k not in _FIELDS and k != "dimension_separator"}
    return ArrayMeta(
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        codecs=tuple(codecs),
        fill_value=fill_from_v2(document["fill_value"], dtype, objects),
        key_encoding=KeyEncoding("v2", separator or "."),
        attributes=attributes,
        dimension_names=_dimension_names(attributes, len(shape)),
        zarr_format=2,
        extra=extra,
    )


def _check_format(document: Mapping[str, Json]) -> None:
    found = document.get("zarr_format")
    if type(found) is not int or found != 2:
        raise wrong("zarr_format", found, "expected 2")


def _codec(spec: Json, field: str) -> CodecSpec:
    if not isinstance(spec, dict) or not isinstance(spec.get("id"), str):
        raise wrong(field, spec, "expected an object with an 'id'")
    return CodecSpec(PREFIX + spec["id"], {k: v for k, v in spec.items() if k != "id"})


def object_codec(codecs: Sequence[CodecSpec]) -> str | None:
    """The id of the codec of a chain that stores objects, None where there is none."""
    ids = (spec.name.removeprefix(PREFIX) for spec in codecs)
    return next((name for name in ids if name in _OBJECT_CODECS), None)


def array_like(meta: ArrayMeta, attributes: Mapping[str, Json]) -> ArrayMeta:
    """What `array_from_json` gives for the document that `meta` came from and other attributes."""
    return meta.described(attributes, _dimension_names(attributes, meta.ndim))


def _dimension_names(attributes: Mapping[str, Json], ndim: int) -> tuple[str | None, ...] | None:
    """xarray's convention for v2; anything that is not such a list is somebody else's attribute."""
    names = attributes.get(_DIMENSIONS)
    if isinstance(names, list) and len(names) == ndim and all(n is None or isinstance(n, str) for n in names):
        return tuple(names)
    return None


def read_group(data: Buffer, attributes: Buffer | None, name: str = GROUP) -> GroupMeta:
    """The GroupMeta of a `.zgroup` document and its `.zattrs`."""
    return group_from_json(parse(data, name), read_attributes(attributes, name), name)


def group_from_json(document: Mapping[str, Json], attributes: Mapping[str, Json], name: str = GROUP) -> GroupMeta:
    """`read_group` for documents that are parsed already."""
    located(name, lambda: _check_format(document))
    return GroupMeta(attributes, 2, {k: v for k, v in document.items() if k != "zarr_format"})


def read_attributes(data: Buffer | None, beside: str = "") -> dict[str, Json]:
    """The attributes of a `.zattrs` document; no document means none."""
    if data is None:
        return {}
    return parse(data, beside.rpartition("/")[0] + "/" + ATTRIBUTES if "/" in beside else ATTRIBUTES)


# ---- writing --------------------------------------------------------------------------------


def array_to_json(meta: ArrayMeta) -> dict[str, Json]:
    """The `.zarray` document of an array; ArgumentError for what format 2 cannot say."""
    specs = list(meta.codecs)
    order = meta.order
    if specs and specs[0].name == "transpose":
        if order != "F":
            raise ArgumentError("format 2 has no transpose codec; pass order='C' or 'F'", codec="transpose")
        specs.pop(0)
    ids: list[dict[str, Any]] = [
        {"id": spec.name.removeprefix(PREFIX), **spec.configuration} for spec in specs if spec.name != "bytes"
    ]
    # A chain does not say which codec was the compressor: the last one is, if it takes bytes. Listed as a filter it would do
    # the same, so a document that did so may come back in the other spelling.
    compressor = ids.pop() if ids and kind_of(specs[-1].name) == "bytes->bytes" else None
    document: dict[str, Json] = {
        "zarr_format": 2,
        "shape": list(meta.shape),
        "chunks": _chunks(meta),
        "dtype": dtype_to_v2(meta.dtype),
        "compressor": compressor,
        "fill_value": fill_to_v2(meta.fill_value, meta.dtype, object_codec(specs)),
        "order": order,
        "filters": ids or None,
    }
    if meta.key_encoding.separator != ".":
        document["dimension_separator"] = meta.key_encoding.separator
    document.update(meta.extra)
    return document


def _chunks(meta: ArrayMeta) -> list[int]:
    if not all(isinstance(chunk, int) for chunk in meta.chunks):
        raise ArgumentError("format 2 has no chunks of different lengths; pass zarr_format=3", field="chunks")
    return [chunk for chunk in meta.chunks if isinstance(chunk, int)]


def node_to_json(meta: ArrayMeta | GroupMeta) -> dict[str, dict[str, Json]]:
    """The documents of a node by name, in the order in which to write them: attributes first, and only where there are any."""
    documents: dict[str, dict[str, Json]] = {ATTRIBUTES: dict(meta.attributes)} if meta.attributes else {}
    if isinstance(meta, ArrayMeta):
        documents[ARRAY] = array_to_json(meta)
    else:
        documents[GROUP] = {"zarr_format": 2, **meta.extra}
    return documents


def write(name: str, document: Mapping[str, Json]) -> bytes:
    """The bytes of the document of that name."""
    return dump_attributes(document) if name == ATTRIBUTES else dump(document)


def write_attributes(attributes: Mapping[str, Json]) -> bytes:
    """The bytes of a `.zattrs` document."""
    return dump_attributes(attributes)


def with_dimension_names(meta: ArrayMeta, names: tuple[str | None, ...] | None) -> ArrayMeta:
    """`meta` with its axes named in the attribute that xarray reads."""
    if names is None:
        return replace(meta, dimension_names=_dimension_names(meta.attributes, meta.ndim))
    return replace(meta, dimension_names=names, attributes={**meta.attributes, _DIMENSIONS: list(names)})
