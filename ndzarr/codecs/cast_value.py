"""The `cast_value` codec: each number as the same number of another data type.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ndzarr._typing import DType, Json, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.casting import OUT_OF_RANGE, ROUNDINGS, cast
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import number, work
from ndzarr.dtypes.v3 import dtype_from_v3, dtype_to_v3, fill_from_v3
from ndzarr.errors import ArgumentError, NdzarrError

#: Up to here, comparing with each key is faster than a search.
_FEW = 8
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Table:
    """One direction of a scalar map: `keys`, sorted, in the dtype of comparison, and `values` in the dtype of the result.

    `nan`: what NaN becomes, an array of one element; None where it is no key.
    """

    keys: NDArray
    values: NDArray
    nan: NDArray | None

    def find(self, array: NDArray) -> tuple[NDArray, NDArray]:
        """Which elements of a flat `array` are keys, and the value of each that is one."""
        found = work(array)
        hit = np.zeros(found.shape, bool)
        values = np.empty(found.shape, self.values.dtype)
        if len(self.keys) <= _FEW:
            for key, value in zip(self.keys, self.values, strict=True):
                same = found == key
                hit |= same
                np.copyto(values, value, where=same)
        else:
            place = np.minimum(np.searchsorted(self.keys, found), len(self.keys) - 1)
            hit = self.keys[place] == found
            values = self.values[place]
        if self.nan is not None and found.dtype.kind == "f":
            same = np.isnan(found)
            hit |= same
            np.copyto(values, self.nan, where=same)
        return hit, values


@dataclass(frozen=True)
class CastValueCodec(ArrayArrayCodec):
    """`data_type`: what is stored, as zarr.json names it. `rounding`, `out_of_range`, `scalar_map`: as the document has them.

    A NaN in `scalar_map` stands for every NaN, and 0 for both zeros. The rest is set by `from_spec` and `bind`.
    """

    data_type: Json
    rounding: str = "nearest-even"
    out_of_range: str | None = None
    scalar_map: Mapping[str, Json] | None = None
    dtype: DType = field(default=np.dtype(np.float64), compare=False, repr=False)
    _tables: tuple[Table | None, Table | None] = field(default=(None, None), compare=False, repr=False)

    name = "cast_value"
    description = "each number as the same number of another data type"
    decode_ns_per_byte = 0.7
    decode_ns = 15000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> CastValueCodec:
        fields = Fields(cls.name, configuration)
        data_type = fields.take("data_type")
        try:
            dtype = dtype_from_v3(data_type)
        except NdzarrError as error:
            raise fields.bad("data_type", data_type, f"the data type of integers or floats ({error})") from error
        target = number(dtype)
        if target is None or target.components != 1 or target.kind == "b":
            raise fields.bad("data_type", data_type, "the data type of integers or floats")
        rounding = fields.text("rounding", "nearest-even", ROUNDINGS)
        out_of_range = fields.take("out_of_range", None)
        if out_of_range is not None and out_of_range not in OUT_OF_RANGE:
            raise fields.bad("out_of_range", out_of_range, "'clamp' or 'wrap'")
        if out_of_range == "wrap" and not target.whole:
            raise fields.bad("out_of_range", out_of_range, f"'clamp', for {data_type} is no integer type")
        scalar_map = fields.take("scalar_map", None)
        if scalar_map is not None and not _is_map(scalar_map):
            raise fields.bad(
                "scalar_map", scalar_map, "an object with 'encode', 'decode' or both, each a list of pairs of scalars"
            )
        fields.done()
        return cls(data_type, rounding, out_of_range, scalar_map, dtype)

    def configuration(self) -> dict[str, Json]:
        found: dict[str, Json] = {"data_type": self.data_type, "rounding": self.rounding}
        if self.out_of_range is not None:
            found["out_of_range"] = self.out_of_range
        if self.scalar_map is not None:
            found["scalar_map"] = {way: [list(pair) for pair in pairs] for way, pairs in self.scalar_map.items()}
        return found

    def bind(self, spec: ChunkSpec) -> CastValueCodec:
        source = number(spec.dtype)
        if source is None or source.components != 1 or source.kind == "b":
            raise ArgumentError(
                f"codec 'cast_value' takes integers or floats, not dtype {spec.dtype}",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        native = spec.dtype.newbyteorder("=")
        here = dtype_to_v3(native), native
        there = self.data_type, self.dtype
        maps = self.scalar_map or {}
        bound = replace(self, _tables=(self._table("encode", maps, *here, *there), self._table("decode", maps, *there, *here)))
        if spec.fill_value is not None:
            bound._check_fill(spec)
        return bound

    def _table(
        self, way: str, maps: Mapping[str, Json], data_type: Json, dtype: DType, to_type: Json, to: DType
    ) -> Table | None:
        pairs = maps.get(way)
        if not pairs:
            return None
        chosen: dict[Any, Any] = {}
        nan = None
        for pair in pairs:
            key = work(np.asarray(self._scalar(way, pair[0], data_type, dtype), dtype))[()]
            value = self._scalar(way, pair[1], to_type, to)
            # The first one of a key counts; comparing makes one of 0.0 and -0.0.
            if key != key:
                nan = np.full(1, value, to) if nan is None else nan
            else:
                chosen.setdefault(key, value)
        keys = sorted(chosen)
        values = np.empty(len(keys), to)
        for place, key in enumerate(keys):
            values[place] = chosen[key]
        return Table(np.array(keys, work(np.empty(0, dtype)).dtype), values, nan)

    def _scalar(self, way: str, found: Json, data_type: Json, dtype: DType) -> Any:
        try:
            # The README of this codec writes "+Infinity", which the data types' pages do not know.
            return fill_from_v3("Infinity" if found == "+Infinity" else found, dtype, data_type=data_type)
        except NdzarrError as error:
            raise ArgumentError(
                f"codec 'cast_value': scalar_map.{way} has {found!r}, expected a scalar of data type {data_type!r}",
                codec=self.name,
                field="scalar_map",
                found=found,
                expected=data_type,
            ) from error

    def _check_fill(self, spec: ChunkSpec) -> None:
        """A fill value that does not come back as it was would have chunks that are not stored read as another number."""
        native = spec.dtype.newbyteorder("=")
        fill = np.full(1, spec.fill_value, native)
        try:
            again = self._cast(self._cast(fill, self.dtype, self._tables[0]), native, self._tables[1])
        except ValueError as error:
            raise self._unfit(spec, str(error)) from error
        before, after = work(fill)[0], work(again)[0]
        if before != after and not (before != before and after != after):
            raise self._unfit(spec, f"it comes back as {after}")

    def _unfit(self, spec: ChunkSpec, why: str) -> ArgumentError:
        return ArgumentError(
            f"codec 'cast_value': the fill value {spec.fill_value!r} cannot be cast to {self.data_type!r} and back: {why}; "
            "pass another fill value, or a scalar_map that has both ways for it",
            codec=self.name,
            field="fill_value",
            found=spec.fill_value,
        )

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        fill = spec.fill_value
        if fill is not None:
            fill = self._cast(np.full(1, fill, spec.dtype.newbyteorder("=")), self.dtype, self._tables[0])[0]
        return ChunkSpec(spec.shape, self.dtype, fill)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        native = array.astype(spec.dtype.newbyteorder("="), copy=False)
        return self._cast(native, self.dtype, self._tables[0])

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return self._cast(array, spec.dtype.newbyteorder("="), self._tables[1]).astype(spec.dtype, copy=False)

    def _cast(self, array: NDArray, dtype: DType, table: Table | None) -> NDArray:
        if table is None:
            return cast(array, dtype, self.rounding, self.out_of_range)
        flat = np.ascontiguousarray(array).reshape(-1)
        out = np.empty(flat.shape, dtype)
        for start in range(0, flat.size, _BLOCK):
            block, done = flat[start : start + _BLOCK], out[start : start + _BLOCK]
            hit, values = table.find(block)
            if hit.any():
                # What the map has is not cast, for it may be what cannot be: another element stands in for it.
                other = np.argmin(hit)
                if hit[other]:
                    done[:] = values
                    continue
                block = np.where(hit, block[other], block)
            done[:] = cast(block, dtype, self.rounding, self.out_of_range)
            np.copyto(done, values, where=hit)
        return out.reshape(array.shape)


def _is_map(found: Json) -> bool:
    return (
        isinstance(found, Mapping)
        and set(found) <= {"encode", "decode"}
        and all(
            isinstance(pairs, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs)
            for pairs in found.values()
        )
    )
