"""The `json2` codec: the elements as a JSON document (RFC 8259, https://www.rfc-editor.org/rfc/rfc8259)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numcodecs.json import JSON

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.items import check_dtype, unpack_items

#: Text encodings only: Python also has some that decompress, or import a module of the given name.
_ENCODINGS = (
    "ascii",
    "latin-1",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-16-le",
    "utf-32",
    "utf-32-be",
    "utf-32-le",
)
_ALIASES = {"utf8": "utf-8", "latin1": "latin-1", "iso-8859-1": "latin-1", "utf16": "utf-16", "utf32": "utf-32"}


@dataclass(frozen=True)
class Json2Codec(ArrayBytesCodec):
    """The arguments of `json.JSONEncoder`, the text's `encoding`, and `strict` of `json.JSONDecoder`."""

    encoding: str = "utf-8"
    skipkeys: bool = False
    ensure_ascii: bool = True
    check_circular: bool = True
    allow_nan: bool = True
    sort_keys: bool = True
    indent: int | None = None
    separators: tuple[str, str] = (",", ":")
    strict: bool = True

    name = "json2"
    description = "anything that JSON can hold"
    decode_ns_per_byte = 10.0
    decode_ns = 10000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Json2Codec:
        fields = Fields(cls.name, configuration)
        encoding = fields.text("encoding", "utf-8")
        lowered = encoding.lower().replace("_", "-")
        if _ALIASES.get(lowered, lowered) not in _ENCODINGS:
            raise fields.bad("encoding", encoding, f"one of {', '.join(_ENCODINGS)}")
        indent = fields.integer("indent", None, 0, 64)
        separators = fields.take("separators", None)
        if separators is None:
            separators = (",", ":") if indent is None else (", ", ": ")
        if not (isinstance(separators, list | tuple) and len(separators) == 2 and all(isinstance(s, str) for s in separators)):
            raise fields.bad("separators", separators, "two strings")
        codec = cls(
            encoding=encoding,
            skipkeys=fields.boolean("skipkeys", False),
            ensure_ascii=fields.boolean("ensure_ascii", True),
            check_circular=fields.boolean("check_circular", True),
            allow_nan=fields.boolean("allow_nan", True),
            sort_keys=fields.boolean("sort_keys", True),
            indent=indent,
            separators=tuple(separators),
            strict=fields.boolean("strict", True),
        )
        fields.done()
        return codec

    def configuration(self) -> dict[str, Json]:
        return {**vars(self), "separators": list(self.separators)}

    def bind(self, spec: ChunkSpec) -> Json2Codec:
        check_dtype(self.name, spec)
        return self

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        return JSON(**vars(self)).encode(array.astype(object) if spec.dtype.kind == "T" else np.asarray(array))

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        return unpack_items(json.JSONDecoder(strict=self.strict).decode(str(data, self.encoding)), spec)
