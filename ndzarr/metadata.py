"""What a metadata document says, whichever format it is in: frozen values that cannot be wrong by themselves."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ndzarr._typing import CodecSpec, DType, Json, Shape
from ndzarr.errors import ArgumentError
from ndzarr.grid import Edges
from ndzarr.keys import KeyEncoding

MAX_NDIM = 64
#: One axis: what an intp can index, so that a shape never overflows inside NumPy.
MAX_LENGTH = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class ArrayMeta:
    """An array's metadata.

    chunks: what lies under one key, by axis: a length, or the Edges of a rectilinear grid. codecs: the whole chain in encoding
    order, transpose for Fortran order included; where it shards, the lengths of the chunks inside a shard are in there.
    fill_value: a scalar of `dtype`, or None for "undefined". extra: top-level fields that this version does not know, kept for
    writing back.
    """

    shape: Shape
    dtype: DType
    chunks: tuple[int | Edges, ...]
    codecs: tuple[CodecSpec, ...] = ()
    fill_value: Any = None
    key_encoding: KeyEncoding = field(default_factory=lambda: KeyEncoding("v2", "."))
    attributes: Mapping[str, Json] = field(default_factory=dict)
    dimension_names: tuple[str | None, ...] | None = None
    zarr_format: int = 2
    extra: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.chunks) != len(self.shape):
            raise ArgumentError(
                f"chunks {self.chunks!r} have {len(self.chunks)} axes, the array has {len(self.shape)}", field="chunks"
            )
        if len(self.shape) > MAX_NDIM:
            raise ArgumentError(f"shape has {len(self.shape)} axes, expected at most {MAX_NDIM}, as NumPy has", field="shape")
        plain = tuple(n for c in self.chunks for n in ([length for length, _ in c.runs] if isinstance(c, Edges) else [c]))
        for name, lengths in (("shape", self.shape), ("chunks", plain)):
            if any(length < 0 or length > MAX_LENGTH for length in lengths):
                raise ArgumentError(
                    f"{name} {lengths!r} must have no negative length and none over 2**63 - 1", field=name, found=lengths
                )
        for length, chunk in zip(self.shape, self.chunks, strict=True):
            if isinstance(chunk, Edges):
                if chunk.total < length or not chunk.runs:
                    raise ArgumentError(
                        f"chunks of lengths {chunk.runs[:10]!r} (length, how many) reach {chunk.total} elements far, the axis "
                        f"has {length}",
                        field="chunks",
                        found=chunk.total,
                        expected=length,
                    )
            # Old files hold 0 where the axis has no elements.
            elif chunk == 0 and length > 0:
                raise ArgumentError(
                    f"chunks {self.chunks!r} must be at least 1 on every axis", field="chunks", found=self.chunks
                )
        names = self.dimension_names
        if names is not None and not all(name is None or isinstance(name, str) for name in names):
            raise ArgumentError(f"dimension_names {names!r} must be strings or None", field="dimension_names", found=names)
        if names is not None and len(names) != len(self.shape):
            raise ArgumentError(
                f"dimension_names {names!r} name {len(names)} axes, the array has {len(self.shape)}",
                field="dimension_names",
            )

    def described(self, attributes: Mapping[str, Json], names: tuple[str | None, ...] | None) -> ArrayMeta:
        """The same array with other attributes, and other names of its axes, as many as those; not checked again."""
        made = object.__new__(ArrayMeta)
        for name in _FIELDS:
            object.__setattr__(made, name, getattr(self, name))
        object.__setattr__(made, "attributes", attributes)
        object.__setattr__(made, "dimension_names", names)
        return made

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Decoded size of the whole array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def order(self) -> str:
        """ "F" where the chain begins by reversing the axes, else "C": the order of elements inside a chunk."""
        if self.codecs and self.codecs[0].name == "transpose":
            order = self.codecs[0].configuration.get("order")
            if list(order or ()) == list(range(self.ndim))[::-1]:
                return "F"
        return "C"


_FIELDS = tuple(f.name for f in fields(ArrayMeta))


@dataclass(frozen=True, slots=True)
class GroupMeta:
    """A group's metadata."""

    attributes: Mapping[str, Json] = field(default_factory=dict)
    zarr_format: int = 2
    extra: Mapping[str, Json] = field(default_factory=dict)


def shape_argument(shape: Any) -> Shape:
    """Lengths from an int or a sequence of ints."""
    try:
        lengths: Shape = (operator.index(shape),)
    except TypeError:
        try:
            lengths = tuple(operator.index(n) for n in shape)
        except TypeError as error:
            raise ArgumentError(f"shape must be an int or a sequence of ints, found {shape!r}", field="shape") from error
    if any(n < 0 for n in lengths):
        raise ArgumentError(f"shape {lengths!r} has a negative length", field="shape", found=lengths)
    return lengths
