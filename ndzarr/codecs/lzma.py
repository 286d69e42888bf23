"""The `lzma` codec: xz, lzma and raw streams (https://tukaani.org/xz/xz-file-format.txt)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.streams import unpack

try:
    import lzma
except ImportError:  # a Python built without liblzma
    lzma = None  # type: ignore[assignment]  # asked for in `available`

_RAW = 3
#: A header may ask for a dictionary of 4 GiB. The highest preset takes 64 MiB.
_MAX_DICTIONARY = 1 << 29
_EXTREME = 1 << 31


@dataclass(frozen=True, slots=True)
class LzmaCodec(BytesBytesCodec):
    """The arguments of `lzma.compress`. `format`: 1 xz, 2 lzma, 3 raw, 0 (decoding only) either of the first two."""

    format: int = 1
    check: int = -1
    preset: int | None = None
    filters: tuple[Mapping[str, int], ...] | None = None

    name = "lzma"
    description = "LZMA in an xz, lzma or raw stream"
    decode_ns_per_byte = 14.0
    decode_ns = 50000.0
    needs = "a Python that was built with lzma"

    @classmethod
    def available(cls) -> bool:
        return lzma is not None

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> LzmaCodec:
        fields = Fields(cls.name, configuration)
        format = fields.integer("format", 1, 0, 3)
        check = fields.integer("check", -1, -1, 15)
        preset = fields.take("preset", None)
        if preset is not None and (type(preset) is not int or not 0 <= preset & ~_EXTREME <= 9 or preset < 0):
            raise fields.bad("preset", preset, "null or an integer from 0 to 9")
        filters = fields.take("filters", None)
        if filters is not None and not (isinstance(filters, list | tuple) and all(map(_is_filter, filters))):
            raise fields.bad("filters", filters, "null or a list of objects of integers, each with an 'id'")
        if format == _RAW and not filters:
            raise fields.bad("filters", filters, "a list of filters, for raw streams do not hold theirs")
        fields.done()
        return cls(format, check, preset, None if filters is None else tuple(dict(f) for f in filters))

    def configuration(self) -> dict[str, Json]:
        filters = None if self.filters is None else [dict(f) for f in self.filters]
        return {"format": self.format, "check": self.check, "preset": self.preset, "filters": filters}

    def encode(self, data: Buffer) -> Buffer:
        return lzma.compress(data, format=self.format, check=self.check, preset=self.preset, filters=self.filters)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        options: dict[str, Any] = {"format": self.format}
        # Other streams say themselves which filters they went through.
        options |= {"filters": self.filters} if self.format == _RAW else {"memlimit": _MAX_DICTIONARY}
        return unpack(partial(lzma.LZMADecompressor, **options), data, limit, several=self.format in (0, 1))


def _is_filter(found: Any) -> bool:
    return (
        isinstance(found, Mapping)
        and "id" in found
        and all(isinstance(key, str) and type(value) is int for key, value in found.items())
        and 0 <= found.get("dict_size", 0) <= _MAX_DICTIONARY
    )
