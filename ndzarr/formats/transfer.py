"""The metadata of one array -> what to ask for in another place or format: chain, dtype, fill value, names, unknown fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ndzarr._typing import CodecSpec, Json
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.registry import kind_of
from ndzarr.formats import v3
from ndzarr.formats.newarray import arguments_of, byte_orders
from ndzarr.metadata import ArrayMeta, GroupMeta

_DIMENSIONS = "_ARRAY_DIMENSIONS"
#: A field of a v2 document that is no object becomes one in v3, whose unknown fields must say that they may be ignored.
_VALUE = "value"
#: Where the configurations of filters name dtypes.
_DTYPES = frozenset(("dtype", "astype", "encode_dtype", "decode_dtype"))


def arguments_for(
    meta: ArrayMeta, chunks: tuple[Any, ...], zarr_format: int, fill_value: Any, *, flat: bool = False
) -> tuple[dict[str, Any], bool]:
    """The keywords of `create_array` that store the same array in a format; whether its chunks are then the same bytes.

    chunks: the lengths of the chunks that can be read one by one. fill_value: what missing chunks read as now. flat: without
    shards and transposes that `create_array` has no keywords for, as format 2 always needs it.
    """
    found = arguments_of(meta)
    same = meta.zarr_format == zarr_format
    found |= {
        "shape": meta.shape,
        "dtype": meta.dtype,
        "fill_value": meta.fill_value if same else fill_value,
        "attributes": dict(meta.attributes),
        "dimension_names": meta.dimension_names,
        "dimension_separator": meta.key_encoding.separator if same else None,
        "zarr_format": zarr_format,
    }
    alike = same or len(_orders(meta)) == 1
    if flat or (zarr_format == 2 and not same):
        filters = _without_layout(found)
        alike = alike and filters is None
        found |= {"chunks": chunks, **(filters or {})}
    if not same and zarr_format == 2:
        found["shards"] = None
        if not alike:  # the dtype would get this order, and the filters speak of another
            found["filters"] = [spec for spec in found["filters"] if spec.name != "bytes"]
        if meta.dtype.kind == "T":
            found["dtype"] = np.dtype(object)
            found["filters"] = [*found["filters"], *_strings(found["filters"])]
    elif not same and meta.dimension_names is not None:
        found["attributes"].pop(_DIMENSIONS, None)  # in v3 a field of its own says it
    return found, alike


def _orders(meta: ArrayMeta) -> set[str]:
    """The byte orders that the dtype and the codecs speak of. Format 3 has one for all that is stored, the filters of format 2
    each their own: where there are two, the same bytes would be read as other numbers."""
    orders = set() if meta.zarr_format == 3 else set(byte_orders(meta.dtype))
    for spec in meta.codecs:
        orders |= _told(spec.configuration)
    return orders | (set() if ">" in orders and byte_orders(meta.dtype) else {"<"})


def _told(found: Any) -> set[str]:
    orders: set[str] = set()
    if isinstance(found, Mapping):
        for field, value in found.items():
            if field == "endian":
                orders.add(">" if value == "big" else "<")
            elif field in _DTYPES and isinstance(value, str):
                orders.update(byte_orders(np.dtype(value)))
            elif field != "index_codecs":
                orders |= _told(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            orders |= _told(value)
    return orders


def _strings(filters: Sequence[CodecSpec]) -> list[CodecSpec]:
    return [] if any(kind_of(spec.name) == "array->bytes" for spec in filters) else [CodecSpec("vlen-utf8")]


def _without_layout(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chain of the innermost chunks alone; None if it is that already. Transposes only say where elements lie, and go."""
    filters, compressor = list(found["filters"]), list(found["compressor"])
    if not any(spec.name in (v3.SHARDING, "transpose") for spec in filters):
        return None
    while filters and filters[-1].name == v3.SHARDING:
        inner = list(Fields(v3.SHARDING, filters[-1].configuration).chain("codecs"))
        split = next((n for n, spec in enumerate(inner) if kind_of(spec.name) == "bytes->bytes"), len(inner))
        filters, compressor = [*filters[:-1], *inner[:split]], [*inner[split:], *compressor]
    return {"filters": [s for s in filters if s.name not in ("transpose", "bytes")], "compressor": compressor, "shards": None}


def extra_for(meta: ArrayMeta | GroupMeta, zarr_format: int) -> dict[str, Json]:
    """The unknown fields of a document as another format holds them; those of consolidated metadata are left behind."""
    extra = {field: value for field, value in meta.extra.items() if field != v3.CONSOLIDATED}
    if meta.zarr_format == zarr_format:
        return extra
    if zarr_format == 3:
        return {field: _ignorable(value) for field, value in extra.items()}
    return {field: _plain(value) for field, value in extra.items()}


def _ignorable(value: Json) -> Json:
    if isinstance(value, dict) and value.get("must_understand", False) is False:
        return {**value, "must_understand": False}
    return {"must_understand": False, _VALUE: value}


def _plain(value: Json) -> Json:
    if isinstance(value, dict) and set(value) == {"must_understand", _VALUE}:
        return value[_VALUE]
    return value
