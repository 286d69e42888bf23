"""What a variable's encoding, and xarray's conventions, say of a new array; the reverse of what `xarray_store` reads."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np

from ndzarr._typing import DType
from ndzarr.errors import ArgumentError
from ndzarr.keys import KeyEncoding
from ndzarr.metadata import ArrayMeta
from ndzarr.xarray_store import FILL

_KEYS = frozenset("chunks shards compressors filters serializer cache_metadata write_empty_chunks chunk_key_encoding".split())
_TEXT = "vlen-utf8"
_OBJECTS = (_TEXT, "vlen-bytes", "vlen-array")


class _Writing2:
    """Format 2: `_FillValue` is the array's fill value."""

    #: Whether strings of any length have a dtype of their own.
    strings = False

    def take_fill(self, attributes: MutableMapping[Any, Any], encoding: MutableMapping[str, Any], dtype: DType) -> Any:
        """The array's fill value, taken out of the attributes and the encoding; what stays there is to be stored as such."""
        return attributes.pop(FILL, None)

    def check_encoding(self, encoding: MutableMapping[str, Any], *, refuse: bool) -> None:
        """Leave only keys that say how to write: another one is an error, or with `refuse=False` left out."""
        _check(encoding, _KEYS, refuse, f" Use `{FILL}` to set the Zarr array `fill_value`")

    def text(self, filters: list[Any]) -> dict[str, Any]:
        """How strings of any length are made."""
        return {"dtype": object, "filters": [_TEXT, *filters]}

    def keys(self, name: str, separator: str | None) -> KeyEncoding:
        """The keys of chunks."""
        if name != "v2":
            raise ArgumentError(f"format 2 has no chunk_key_encoding {name!r}, expected 'v2'", field="chunk_key_encoding")
        return KeyEncoding("v2", separator or ".")


class _Writing3:
    """Format 3: `_FillValue` is an attribute, and the array's fill value another thing."""

    strings = True

    def take_fill(self, attributes: MutableMapping[Any, Any], encoding: MutableMapping[str, Any], dtype: DType) -> Any:
        """As for format 2. The fill value of floats is NaN where nothing else is said, as xarray has it."""
        fill = encoding.pop("fill_value", None)
        mask = attributes.pop(FILL, None)
        if mask is not None:
            attributes[FILL] = encode_fill(mask, dtype)
        return np.nan if fill is None and dtype.kind == "f" else fill

    def check_encoding(self, encoding: MutableMapping[str, Any], *, refuse: bool) -> None:
        """As for format 2."""
        _check(encoding, _KEYS | {"fill_value"}, refuse, "")

    def text(self, filters: list[Any]) -> dict[str, Any]:
        """As for format 2."""
        return {"dtype": np.dtypes.StringDType(), "filters": filters}

    def keys(self, name: str, separator: str | None) -> KeyEncoding:
        """As for format 2."""
        return KeyEncoding(name, separator or {"default": "/", "v2": "."}.get(name, "/"))


#: By version of the format.
WRITING: dict[int, _Writing2 | _Writing3] = {2: _Writing2(), 3: _Writing3()}


def _check(encoding: MutableMapping[str, Any], known: frozenset[str], refuse: bool, hint: str) -> None:
    unknown = [key for key in encoding if key not in known]
    if unknown and refuse:
        hint = hint if "fill_value" in unknown else ""
        raise ArgumentError(f"unexpected encoding parameters for zarr backend:  {unknown!r}.{hint}", field="encoding")
    for key in unknown:
        del encoding[key]


def create_arguments(
    encoding: Mapping[str, Any], dtype: Any, zarr_format: int
) -> tuple[dict[str, Any], Callable[[ArrayMeta], ArrayMeta]]:
    """Keywords of a new array for the codecs and the dtype, and what its metadata need besides: the keys of its chunks.

    Codecs may be objects of numcodecs or zarr-python, JSON objects, or names.
    """
    how = WRITING[zarr_format]
    filters = _codecs(encoding.get("filters"))
    serializer = encoding.get("serializer")
    if serializer is not None and not (isinstance(serializer, str) and serializer == "auto"):
        filters += _codecs(serializer)
    found: dict[str, Any] = {"compressor": "auto"}
    if "compressors" in encoding:
        wanted = encoding["compressors"]
        found["compressor"] = "auto" if isinstance(wanted, str) and wanted == "auto" else _codecs(wanted)
    if dtype is str or dtype.kind == "T":
        # The text codec is made with the dtype.
        found |= how.text([codec for codec in filters if _name(codec) != _TEXT])
    else:
        # So is the plain step to bytes, of which only an unusual byte order has to be said. Codecs of objects are left from
        # data that were such when they were read.
        kept = [
            codec for codec in filters if not _plain_bytes(codec) and _name(codec).removeprefix("numcodecs.") not in _OBJECTS
        ]
        found |= {"dtype": dtype, "filters": filters if dtype.hasobject else kept}
    return found, _keys(encoding.get("chunk_key_encoding"), how)


def _codecs(found: Any) -> list[Any]:
    if found is None or (isinstance(found, str) and found == "auto"):
        return []
    if isinstance(found, list | tuple):
        return [_codec(one) for one in found]
    return [_codec(found)]


def _codec(found: Any) -> Any:
    """A codec as ndzarr takes it: zarr-python's as the JSON object that it stands for."""
    told = getattr(found, "to_dict", None)
    return found if isinstance(found, dict) or not callable(told) else _json(told())


def _json(found: Any) -> Any:
    """JSON without what zarr-python leaves in it: its enumerations and tuples."""
    if isinstance(found, Mapping):
        return {str(key): _json(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_json(value) for value in found]
    if callable(getattr(found, "to_dict", None)):
        return _json(found.to_dict())
    return getattr(found, "value", found) if not isinstance(found, str | int | float | bool | None) else found


def _name(codec: Any) -> str:
    if isinstance(codec, Mapping):
        return str(codec.get("name", codec.get("id", "")))
    return codec if isinstance(codec, str) else str(getattr(codec, "codec_id", ""))


def _plain_bytes(codec: Any) -> bool:
    return _name(codec) == "bytes" and isinstance(codec, Mapping) and (codec.get("configuration") or {}).get("endian") != "big"


def _keys(found: Any, how: _Writing2 | _Writing3) -> Callable[[ArrayMeta], ArrayMeta]:
    if found is None:
        return lambda meta: meta
    told = _json(found.to_dict()) if callable(getattr(found, "to_dict", None)) else found
    if not isinstance(told, Mapping) or not isinstance(told.get("name"), str):
        raise ArgumentError(f"chunk_key_encoding is {found!r}, expected an object with a 'name'", field="chunk_key_encoding")
    separator = (told.get("configuration") or {}).get("separator", told.get("separator"))
    keys = how.keys(told["name"], separator)
    return lambda meta: replace(meta, key_encoding=keys)


def encode_fill(value: Any, dtype: DType) -> Any:
    """`_FillValue` as xarray stores it in JSON: floats as base64 of a little-endian double, whatever their own width."""
    kind = dtype.kind
    if kind == "S":
        if not isinstance(value, bytes):
            raise TypeError(f"Failed to encode fill_value: expected bytes for dtype {dtype}, got {type(value).__name__}")
        return base64.standard_b64encode(value).decode()
    if kind == "b":
        return bool(value)
    if kind in "iufc":
        if not isinstance(value, int | float | np.number | (complex if kind == "c" else int)):
            raise TypeError(f"Failed to encode fill_value: expected a number for dtype {dtype}, got {type(value).__name__}")
        if kind in "iu":
            return int(value)  # type: ignore[arg-type]  # no complex number, as just seen
        return _packed(value) if kind == "f" else [_packed(value.real), _packed(value.imag)]
    if kind in "UTO":
        return str(value)
    raise ArgumentError(f"Failed to encode fill_value. Unsupported dtype {dtype}", field=FILL)


def _packed(value: Any) -> str:
    return base64.standard_b64encode(struct.pack("<d", float(value))).decode()
