"""The `zfp` codec: compressed floats and integers of up to four axes, without a header.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/zfp. `numcodecs.zfpy` is another codec, with a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ndzarr._typing import Buffer, DType, Json, NDArray, Shape
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import Number, number
from ndzarr.codecs.zfp_stream import (
    MAX_BITS,
    NEEDS,
    TYPES,
    Room,
    decode,
    field_shape,
    installed,
    long_header,
    rate_bits,
    room,
    zfpy,
)
from ndzarr.errors import ArgumentError, CorruptChunkError

_MODES = ("reversible", "expert", "fixed_accuracy", "fixed_rate", "fixed_precision")
#: More bits for a value than anything needs.
_RATE = 4096
_KEYWORDS = {"fixed_accuracy": "tolerance", "fixed_rate": "rate", "fixed_precision": "precision"}


@dataclass(frozen=True)
class ZfpCodec(ArrayBytesCodec):
    """`mode`, and the parameters of that mode. Lossy but for "reversible".

    Mode "expert" is read but not written, for zfpy has no way to set its parameters. Integers of 8 and 16 bits and less are
    shifted up to 32; uint32 and uint64 are taken as signed, and those that are too large for that are refused. Narrow
    floats become float32.
    """

    mode: str
    parameters: Mapping[str, int | float]

    name = "zfp"
    description = "zfp, without a header"
    needs = NEEDS
    decode_ns_per_byte = 4.0
    decode_ns = 15000.0

    @classmethod
    def available(cls) -> bool:
        return installed()

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ZfpCodec:
        fields = Fields(cls.name, configuration)
        mode = fields.text("mode", choices=_MODES)
        parameters: dict[str, int | float] = {}
        if mode == "expert":
            parameters["minbits"] = fields.integer("minbits", low=0, high=MAX_BITS)
            parameters["maxbits"] = fields.integer("maxbits", low=max(1, int(parameters["minbits"])), high=MAX_BITS)
            parameters["maxprec"] = fields.integer("maxprec", low=1, high=64)
            parameters["minexp"] = fields.integer("minexp", low=-1075, high=1024)
        elif mode == "fixed_precision":
            parameters["precision"] = fields.integer("precision", low=1, high=64)
        elif mode != "reversible":
            field = _KEYWORDS[mode]
            value = fields.number(field)
            if value < 0 or (mode == "fixed_rate" and not 0 < value <= _RATE):
                raise fields.bad(field, value, f"a number from 0 to {_RATE}" if field == "rate" else "a number of at least 0")
            parameters[field] = value
        fields.done()
        return cls(mode, parameters)

    def configuration(self) -> dict[str, Json]:
        return {"mode": self.mode, **self.parameters}

    def bind(self, spec: ChunkSpec) -> ZfpCodec:
        of = number(_native(spec))
        if of is None or of.components != 1 or of.kind == "b":
            raise self._bad(f"takes integers and floats, not dtype {spec.dtype}", "dtype", str(spec.dtype))
        if len(spec.shape) > 4:
            raise self._bad(f"takes up to 4 axes, a chunk has {len(spec.shape)}; put 'reshape' before it", "chunks", spec.shape)
        if self.mode == "fixed_accuracy" and of.whole:
            raise self._bad(f"has no mode 'fixed_accuracy' for integers ({spec.dtype})", "mode", self.mode)
        return self

    def _bad(self, what: str, field: str, found: Json) -> ArgumentError:
        return ArgumentError(f"codec 'zfp' {what}", codec=self.name, field=field, found=found)

    def _room(self, shape: Shape, dtype: DType) -> Room:
        if self.mode == "expert":
            return room(shape, dtype, int(self.parameters["minbits"]), int(self.parameters["maxbits"]))
        if self.mode == "fixed_rate":
            bits = rate_bits(self.parameters["rate"], len(shape), dtype)
            return Room(room(shape, dtype, bits, bits).blocks, bits, bits)
        return room(shape, dtype, 1, MAX_BITS)

    def max_encoded_size(self, spec: ChunkSpec) -> int:
        # A word more, for those who count in other words.
        return self._room(field_shape(spec.shape), _promoted(_native(spec))).nbytes + 64 if spec.size else 0

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        if self.mode == "expert":
            raise self._bad("of mode 'expert' can be read only; pass one of the other modes", "mode", self.mode)
        if not spec.size:
            return b""
        dtype = _native(spec)
        values = _promote(array.astype(dtype, copy=False), dtype).reshape(field_shape(spec.shape))
        encoded: bytes = zfpy().compress_numpy(np.ascontiguousarray(values), write_header=False, **self.parameters)
        return encoded

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        if not spec.size:
            if len(data):
                raise CorruptChunkError(f"found {len(data)} bytes for no elements", found=len(data), expected=0)
            return np.empty(spec.shape, spec.dtype)
        dtype, shape = _native(spec), field_shape(spec.shape)
        promoted = _promoted(dtype)
        space = self._room(shape, promoted)
        if self.mode == "expert":
            found = decode(data, 0, space, lambda padded: self._expert(padded, shape, promoted))
        else:
            found = decode(data, 0, space, lambda padded: zfpy()._decompress(padded, TYPES[promoted], shape, **self.parameters))
        return _demote(found.reshape(spec.shape), dtype).astype(spec.dtype, copy=False)

    def _expert(self, padded: NDArray, shape: Shape, dtype: DType) -> NDArray:
        """`_decompress` knows no expert mode, but a header does. It ends amid a byte, so that all is moved by four bits."""
        p = self.parameters
        least = max(1, int(p["minbits"]))
        bits, count = long_header(shape, dtype, least, int(p["maxbits"]), int(p["maxprec"]), int(p["minexp"]))
        front = np.frombuffer(bits.to_bytes(-(-count // 8), "little"), np.uint8)
        stream = np.zeros(len(front) + len(padded), np.uint8)
        stream[: len(front)] = front
        stream[len(front) - 1 : -1] |= padded << 4
        stream[len(front) :] |= padded >> 4
        found: NDArray = zfpy().decompress_numpy(stream)
        return found


def _native(spec: ChunkSpec) -> DType:
    native: DType = spec.dtype.newbyteorder("=")
    return native


def _promoted(dtype: DType) -> DType:
    """The dtype of zfp's that holds `dtype`."""
    of: Number | None = number(dtype)
    wide = dtype.itemsize == 8
    return np.dtype((np.int64 if wide else np.int32) if of is not None and of.whole else np.float64 if wide else np.float32)


def _promote(array: NDArray, dtype: DType) -> NDArray:
    """As "Compression" has it; integers of 32 and 64 bits stay the numbers they are, as zarrs has it."""
    of, to = number(dtype), _promoted(dtype)
    if of is None or not of.whole or to == dtype:
        return array.astype(to, copy=False)
    if of.bits >= 32:
        largest = np.iinfo(to).max
        if array.size and array.max() > largest:
            raise ArgumentError(f"codec 'zfp' takes {dtype} up to {largest}, found {array.max()}", codec="zfp", field="dtype")
        return array.astype(to)
    values = array.astype(to)
    return (values - (1 << (of.bits - 1)) if of.kind == "u" else values) << (31 - of.bits)


def _demote(array: NDArray, dtype: DType) -> NDArray:
    """As "Decompression" has it."""
    of = number(dtype)
    if of is None or not of.whole or array.dtype == dtype:
        with np.errstate(all="ignore"):
            return array.astype(dtype, copy=False)
    if of.bits < 32:
        array = array >> (31 - of.bits)
        if of.kind == "u":
            array = array + (1 << (of.bits - 1))
    info = np.iinfo(array.dtype)
    within = np.asarray(np.clip(array, max(of.least, info.min), min(of.largest, info.max)))
    return within.astype(f"{of.kind}{dtype.itemsize}").astype(dtype, copy=False)
