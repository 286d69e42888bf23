"""The `msgpack2` codec: the elements as one MessagePack value.

https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.items import check_dtype, unpack_items
from ndzarr.imports import once


@dataclass(frozen=True)
class Msgpack2Codec(ArrayBytesCodec):
    """The arguments of `msgpack.packb`, and `raw` of `msgpack.unpackb`: strings come back as bytes."""

    raw: bool = False
    use_single_float: bool = False
    use_bin_type: bool = True

    name = "msgpack2"
    description = "anything that MessagePack can hold"
    decode_ns_per_byte = 8.0
    decode_ns = 10000.0
    needs = "msgpack: pip install 'ndzarr[codecs]'"

    @classmethod
    def available(cls) -> bool:
        return find_spec("msgpack") is not None

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Msgpack2Codec:
        fields = Fields(cls.name, configuration)
        codec = cls(
            fields.boolean("raw", False),
            fields.boolean("use_single_float", False),
            fields.boolean("use_bin_type", True),
        )
        fields.done()
        return codec

    def configuration(self) -> dict[str, Json]:
        return dict(vars(self))

    def bind(self, spec: ChunkSpec) -> Msgpack2Codec:
        check_dtype(self.name, spec)
        return self

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        items = np.atleast_1d(array)  # of no axes numcodecs makes no list
        return _numcodecs().MsgPack(**vars(self)).encode(items.astype(object) if spec.dtype.kind == "T" else items)

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        # Not numcodecs: it allocates by the dtype and shape in the document. Lengths are held to the length of `data`
        # by the library; extension types stay opaque, so that nothing but plain values comes out.
        return unpack_items(_msgpack().unpackb(data, raw=self.raw), spec)


@once
def _numcodecs() -> Any:
    return import_module("numcodecs.msgpacks")


@once
def _msgpack() -> Any:
    return import_module("msgpack")
