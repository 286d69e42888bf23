"""The `pcodec` codec of numcodecs: numbers by their distribution (https://github.com/pcodec/pcodec).

v2 has it as an array's compressor, v3 as "numcodecs.pcodec".
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import extension
from ndzarr.errors import ArgumentError, CorruptChunkError
from ndzarr.imports import once

_DELTAS = ("auto", "none", "try_consecutive", "try_lookback")
_PAGE = 262144


@dataclass(frozen=True, slots=True)
class PcodecCodec(ArrayBytesCodec):
    """`level`: 0 to 12. The others as numcodecs has them. Lossless."""

    level: int = 8
    mode_spec: str = "auto"
    delta_spec: str = "auto"
    paging_spec: str = "equal_pages_up_to"
    delta_encoding_order: int | None = None
    equal_pages_up_to: int = _PAGE

    name = "pcodec"
    description = "numbers by their distribution"
    needs = "pcodec (pip install pcodec)"
    decode_ns_per_byte = 0.7
    decode_ns = 20000.0

    @classmethod
    def available(cls) -> bool:
        return _installed()

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> PcodecCodec:
        fields = Fields(cls.name, configuration)
        codec = cls(
            fields.integer("level", 8, 0, 12),
            fields.text("mode_spec", "auto", ("auto", "classic")),
            fields.text("delta_spec", "auto", _DELTAS),
            fields.text("paging_spec", "equal_pages_up_to", ("equal_pages_up_to",)),
            fields.integer("delta_encoding_order", None, 0, 7),
            fields.integer("equal_pages_up_to", _PAGE, 1, 1 << 24),
        )
        if codec.delta_encoding_order is not None and codec.delta_spec not in ("auto", "try_consecutive"):
            raise fields.bad("delta_encoding_order", codec.delta_encoding_order, "none, unless delta_spec is 'try_consecutive'")
        fields.done()
        return codec

    def configuration(self) -> dict[str, Json]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def bind(self, spec: ChunkSpec) -> PcodecCodec:
        size = {"i": (2, 4, 8), "u": (2, 4, 8), "f": (2, 4, 8), "m": (8,), "M": (8,)}.get(spec.dtype.kind, ())
        if not spec.dtype.isnative or spec.dtype.itemsize not in size or extension(spec.dtype):
            raise ArgumentError(
                f"codec 'pcodec' takes integers and floats of 2, 4 or 8 bytes in native byte order, not dtype {spec.dtype}",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        return self

    def max_encoded_size(self, spec: ChunkSpec) -> int:
        # Verbatim bits, and what each page and each chunk of pages has in front; pages may hold one number.
        return 2 * spec.nbytes + 65536 + 128 * -(-spec.size // self.equal_pages_up_to)

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        numcodec = _numcodecs().PCodec(**self.configuration())
        encoded: bytes = numcodec.encode(_numbers(np.ascontiguousarray(array, spec.dtype).reshape(-1)))
        return encoded

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        standalone = _standalone()
        out = np.empty(spec.size, spec.dtype)
        # Into an array of the chunk's size: the library stops where that is full, and says whether that was all.
        progress = _guarded(standalone.simple_decompress_into, bytes(data), _numbers(out))
        if progress.n_processed != spec.size or not progress.finished:
            raise CorruptChunkError(
                f"holds {progress.n_processed} numbers{'' if progress.finished else ' or more'}, expected {spec.size}",
                found=progress.n_processed,
                expected=spec.size,
            )
        return out.reshape(spec.shape)


@cache
def _installed() -> bool:
    return importlib.util.find_spec("pcodec") is not None


def _numbers(array: NDArray) -> NDArray:
    """Dates as the integers that they are."""
    return array.view(np.int64) if array.dtype.kind in "mM" else array


def _guarded(function: Any, *arguments: Any) -> Any:
    """Rust's panics are no Exceptions to Python; here they are."""
    try:
        return function(*arguments)
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise CorruptChunkError(f"the library gave up: {error}") from error
        raise


@once
def _numcodecs() -> Any:
    return importlib.import_module("numcodecs.pcodec")


@once
def _standalone() -> Any:
    return importlib.import_module("pcodec.standalone")
