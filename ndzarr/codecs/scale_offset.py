"""The `scale_offset` codec: `(x - offset) * scale`, in the arithmetic of the array's own data type.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/scale_offset
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ndzarr._typing import Json, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.casting import cast
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import Number, extension, number, work
from ndzarr.dtypes.v3 import dtype_to_v3, fill_from_v3
from ndzarr.errors import ArgumentError, NdzarrError

_BLOCK = 1 << 15


@dataclass(frozen=True)
class Arithmetic:
    """What `bind` works out. Of integers, `ahead` and `back` are the ranges of what can be encoded and decoded.

    An integer overflows nowhere on the way exactly when it is in such a range: it is worked out once, and each chunk is
    compared with it.
    """

    number: Number
    offset: Any
    scale: Any
    ahead: tuple[int, int] = (0, 0)
    back: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ScaleOffsetCodec(ArrayArrayCodec):
    """`offset` and `scale` as the document has them, fill values of the array's data type; None is 0 and 1."""

    offset: Json = None
    scale: Json = None
    _bound: Arithmetic | None = field(default=None, compare=False, repr=False)

    name = "scale_offset"
    description = "(x - offset) * scale"
    decode_ns_per_byte = 0.4
    decode_ns = 12000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ScaleOffsetCodec:
        fields = Fields(cls.name, configuration)
        found = {}
        for name in ("offset", "scale"):
            value = fields.take(name, None)
            if type(value) not in (int, float, str, type(None)):
                raise fields.bad(name, value, "a number as fill values are written")
            found[name] = value
        fields.done()
        return cls(**found)

    def configuration(self) -> dict[str, Json]:
        found = {"offset": self.offset, "scale": self.scale}
        return {name: value for name, value in found.items() if value is not None}

    def bind(self, spec: ChunkSpec) -> ScaleOffsetCodec:
        of = number(spec.dtype)
        if of is None or of.components != 1 or of.kind == "b":
            raise ArgumentError(
                f"codec 'scale_offset' takes integers or floats, not dtype {spec.dtype}",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        offset, scale = self._scalar("offset", 0, spec), self._scalar("scale", 1, spec)
        bound = replace(self, _bound=_whole(of, int(offset), int(scale)) if of.whole else Arithmetic(of, offset, scale))
        if spec.fill_value is not None:
            try:
                bound.encode(np.full(1, spec.fill_value, spec.dtype), spec)
            except ValueError as error:
                raise ArgumentError(
                    f"codec 'scale_offset': the fill value {spec.fill_value!r} cannot be encoded: {error}; pass another one",
                    codec=self.name,
                    field="fill_value",
                    found=spec.fill_value,
                ) from error
        return bound

    def _scalar(self, name: str, default: int, spec: ChunkSpec) -> Any:
        """The field as a scalar of comparison, exactly what the array's data type makes of it."""
        found = getattr(self, name)
        native = spec.dtype.newbyteorder("=")
        if found is None:
            return work(np.full(1, default, native))[0]
        try:
            value = work(np.full(1, fill_from_v3(found, native, data_type=dtype_to_v3(native)), native))[0]
        except NdzarrError as error:
            raise self._bad(name, f"a scalar of dtype {native}", found) from error
        if not np.isfinite(value) or (name == "scale" and value == 0):
            raise self._bad(name, "a finite number, and not 0" if name == "scale" else "a finite number", found)
        return value

    def _bad(self, name: str, expected: str, found: Json) -> ArgumentError:
        return ArgumentError(
            f"codec 'scale_offset': {name} is {found!r}, expected {expected}",
            codec=self.name,
            field=name,
            found=found,
            expected=expected,
        )

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        fill = spec.fill_value
        if fill is not None:
            fill = self.encode(np.full(1, fill, spec.dtype), spec)[0]
        return ChunkSpec(spec.shape, spec.dtype, fill)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return self._apply(array, spec, _whole_ahead, _float_ahead)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return self._apply(array, spec, _whole_back, _float_back)

    def _apply(self, array: NDArray, spec: ChunkSpec, whole: _Step, floating: _Step) -> NDArray:
        bound = self._bound
        if bound is None:
            raise ArgumentError("codec 'scale_offset' is used before it is bound to a chunk", codec=self.name)
        native = spec.dtype.newbyteorder("=")
        flat = np.ascontiguousarray(array).astype(native, copy=False).reshape(-1)
        out = np.empty(flat.shape, native)
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, _BLOCK):
                block = flat[start : start + _BLOCK]
                out[start : start + _BLOCK] = (whole if bound.number.whole else floating)(block, bound)
        return out.reshape(array.shape).astype(spec.dtype, copy=False)


def _whole(of: Number, offset: int, scale: int) -> Arithmetic:
    least, largest = int(of.least), int(of.largest)
    # The differences whose product with the scale is in range, of those that are in range themselves.
    low, high = (least, largest) if scale > 0 else (largest, least)
    low, high = max(least, -(-low // scale)), min(largest, high // scale)
    ahead = max(least, low + offset), min(largest, high + offset)
    # The quotients that are in range, before and after the offset is added; the stored numbers are those times the scale.
    low, high = max(least, least - offset), min(largest, largest - offset)
    products = sorted((low * scale, high * scale))
    return Arithmetic(of, offset, scale, ahead, (max(least, products[0]), min(largest, products[1])))


_Step = Callable[[NDArray, Arithmetic], NDArray]


def _refuse(block: NDArray, bad: NDArray, what: str) -> None:
    if bad.any():
        raise ValueError(f"{block[bad][0]} {what}")


def _whole_ahead(block: NDArray, bound: Arithmetic) -> NDArray:
    values = work(block)
    low, high = bound.ahead
    _refuse(values, (values < low) | (values > high), f"overflows {block.dtype} on its way")
    # No step overflows, so that it makes no difference that the offset may only be there modulo 2**64.
    done: NDArray = ((values - values.dtype.type(bound.offset)) * values.dtype.type(bound.scale)).astype(block.dtype)
    return done


def _whole_back(block: NDArray, bound: Arithmetic) -> NDArray:
    values = work(block)
    low, high = bound.back
    _refuse(values, (values < low) | (values > high), f"overflows {block.dtype} on its way back")
    scale = values.dtype.type(bound.scale)
    _refuse(values, values % scale != 0, f"does not divide by the scale, {bound.scale}")
    done: NDArray = (values // scale + values.dtype.type(bound.offset)).astype(block.dtype)
    return done


def _float_ahead(block: NDArray, bound: Arithmetic) -> NDArray:
    if extension(block.dtype):
        # float64 holds so much more that rounding its result gives what rounding the exact one would.
        moved = cast(work(block) - bound.offset, block.dtype)
        done = cast(work(moved) * bound.scale, block.dtype)
    else:
        of = block.dtype.type
        done = (block - of(bound.offset)) * of(bound.scale)
    _refuse(block, np.isfinite(block) & ~np.isfinite(done), f"overflows {block.dtype} on its way")
    return done


def _float_back(block: NDArray, bound: Arithmetic) -> NDArray:
    if extension(block.dtype):
        moved = cast(work(block) / bound.scale, block.dtype)
        done = cast(work(moved) + bound.offset, block.dtype)
    else:
        of = block.dtype.type
        done = block / of(bound.scale) + of(bound.offset)
    _refuse(block, np.isfinite(block) & ~np.isfinite(done), f"overflows {block.dtype} on its way back")
    return done
