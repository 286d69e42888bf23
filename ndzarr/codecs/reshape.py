"""The `reshape` codec: the elements in their order, under another shape.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/reshape
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from ndzarr._typing import Json, NDArray, Shape
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class ReshapeCodec(ArrayArrayCodec):
    """`shape`: for each axis of the result its length, the axes of the chunk whose product it is, or -1 for what is left."""

    shape: tuple[int | tuple[int, ...], ...]

    name = "reshape"
    description = "the elements under another shape"
    decode_ns_per_byte = 0.0
    decode_ns = 1000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ReshapeCodec:
        fields = Fields(cls.name, configuration)
        found = fields.take("shape")
        if not isinstance(found, list | tuple):
            raise fields.bad("shape", found, "a list")
        shape: list[int | tuple[int, ...]] = []
        for item in found:
            if isinstance(item, list | tuple) and all(type(axis) is int and axis >= 0 for axis in item):
                shape.append(tuple(item))
            elif type(item) is int and (item > 0 or item == -1):
                shape.append(item)
            else:
                raise fields.bad("shape", found, "positive integers, lists of axes, or -1")
        axes = [axis for item in shape if isinstance(item, tuple) for axis in item]
        if shape.count(-1) > 1:
            raise fields.bad("shape", found, "-1 once at most")
        if any(after <= before for before, after in pairwise(axes)):
            raise fields.bad("shape", found, "each axis after the one before, for nothing is transposed")
        fields.done()
        return cls(tuple(shape))

    def configuration(self) -> dict[str, Json]:
        return {"shape": [list(item) if isinstance(item, tuple) else item for item in self.shape]}

    def bind(self, spec: ChunkSpec) -> ReshapeCodec:
        self._result(spec.shape)
        return self

    def _result(self, given: Shape) -> Shape:
        """The shape of what is encoded; ArgumentError for a chunk that cannot have it."""
        lengths: list[int] = []
        for item in self.shape:
            if isinstance(item, tuple):
                if item and item[-1] >= len(given):
                    raise self._bad(given, f"axis {item[-1]}, the chunk has {len(given)}")
                lengths.append(prod(given[axis] for axis in item))
            else:
                lengths.append(item)
        if -1 in lengths:
            known = -prod(lengths)
            if known == 0 or prod(given) % known:
                raise self._bad(given, f"{known} elements for each step of the axis that is -1")
            lengths[lengths.index(-1)] = prod(given) // known
        if prod(lengths) != prod(given):
            raise self._bad(given, f"{prod(lengths)} elements, the chunk has {prod(given)}")
        for place, item in enumerate(self.shape):
            # The README leaves out the colon, `A_shape[:input_dims[0]]`, without which its own example would be refused.
            if isinstance(item, tuple) and item:
                before, after = prod(given[: item[0]]), prod(given[item[-1] + 1 :])
                if prod(lengths[:place]) != before or prod(lengths[place + 1 :]) != after:
                    raise self._bad(given, f"axes {list(item)} of the chunk in a place where it has others")
        return tuple(lengths)

    def _bad(self, given: Shape, what: str) -> ArgumentError:
        shape = self.configuration()["shape"]
        return ArgumentError(
            f"codec 'reshape': shape {shape} cannot be had from a chunk of shape {list(given)}: it wants {what}",
            codec=self.name,
            field="shape",
            found=shape,
            expected=list(given),
        )

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        return ChunkSpec(self._result(spec.shape), spec.dtype, spec.fill_value)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array.reshape(self._result(spec.shape))

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array.reshape(spec.shape)
