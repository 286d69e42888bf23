"""The `transpose` codec: the axes in another order (https://zarr-specs.readthedocs.io/en/latest/v3/codecs/transpose/).

v2's `order: "F"` is a transpose that reverses the axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ndzarr._typing import Json, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class TransposeCodec(ArrayArrayCodec):
    """Axis `i` of what is encoded is axis `order[i]` of the chunk.

    `letter`: "C" or "F" where the document has that in place of axes, as drafts of Zarr v3 allowed; `bind` makes axes of it.
    """

    order: tuple[int, ...]
    letter: str | None = None

    name = "transpose"
    description = "the axes in another order"
    decode_ns_per_byte = 0.0
    decode_ns = 1000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> TransposeCodec:
        fields = Fields(cls.name, configuration)
        order = fields.take("order")
        if order in ("C", "F"):
            fields.done()
            return cls((), order)
        if (
            not isinstance(order, list | tuple)
            or not all(type(axis) is int for axis in order)
            or sorted(order) != list(range(len(order)))
        ):
            raise fields.bad("order", order, "a permutation of the axes")
        fields.done()
        return cls(tuple(order))

    def configuration(self) -> dict[str, Json]:
        return {"order": self.letter or list(self.order)}

    def bind(self, spec: ChunkSpec) -> TransposeCodec:
        if self.letter is not None:
            axes = tuple(range(len(spec.shape)))
            return TransposeCodec(axes if self.letter == "C" else axes[::-1], self.letter)
        if len(self.order) != len(spec.shape):
            raise ArgumentError(
                f"codec 'transpose': order {list(self.order)} has {len(self.order)} axes, the chunk {len(spec.shape)}",
                codec=self.name,
                field="order",
                found=list(self.order),
                expected=len(spec.shape),
            )
        return self

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        return ChunkSpec(tuple(spec.shape[axis] for axis in self.order), spec.dtype, spec.fill_value)

    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array.transpose(self.order)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        inverse = [0] * len(self.order)
        for position, axis in enumerate(self.order):
            inverse[axis] = position
        return array.transpose(inverse)
