"""What a codec is: three kinds, each a small class that sees a value and a description of the chunk, never a store.

A chain is any number of array->array codecs, one array->bytes codec, any number of bytes->bytes codecs (Zarr v3,
section "Codecs", https://zarr-specs.readthedocs.io/en/latest/v3/core/). v2's filters and compressor are brought into
the same form.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ndzarr._typing import Buffer, DType, Json, NDArray, Shape


@dataclass(frozen=True, slots=True)
class ChunkSpec:
    """All that a codec may know about its chunk: `fill_value` is a scalar of `dtype`, or None for undefined.

    size: elements. nbytes: decoded bytes; both are Python ints, so they cannot overflow.
    """

    shape: Shape
    dtype: DType
    fill_value: Any = None
    size: int = field(init=False, repr=False, compare=False)
    nbytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "nbytes", size * self.dtype.itemsize)


class Codec(ABC):
    """One step of a chain. Instances are immutable and may be used by many threads at once.

    Subclass one of `ArrayArrayCodec`, `ArrayBytesCodec`, `BytesBytesCodec`. Raise `CorruptChunkError` for input that
    cannot be decoded (any other exception from `decode` is turned into one, with the codec's name), `ArgumentError` for
    a configuration that is not allowed.
    """

    #: The name that documents use.
    name: ClassVar[str]
    #: One line for `codecs()`.
    description: ClassVar[str] = ""
    version: ClassVar[str] = "1"
    #: "array->array", "array->bytes" or "bytes->bytes".
    kind: ClassVar[str]
    #: Rough time to decode one byte on one thread, in nanoseconds: the engine weighs threads by it.
    decode_ns_per_byte: ClassVar[float] = 1.0
    #: Rough fixed time of one decode, in nanoseconds.
    decode_ns: ClassVar[float] = 5000.0

    @classmethod
    @abstractmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> Codec:
        """The codec for a configuration read from a document; raises ArgumentError when it is not allowed."""

    @abstractmethod
    def configuration(self) -> dict[str, Json]:
        """The configuration to write into a document; `from_spec` of it gives an equal codec."""

    @classmethod
    def available(cls) -> bool:
        """Whether the libraries that the codec needs are installed."""
        return True

    def bind(self, spec: ChunkSpec) -> Codec:
        """The codec for chunks like `spec`: work done once per array belongs here (blosc takes its typesize)."""
        return self


class ArrayArrayCodec(Codec):
    """Array in, array out: a filter."""

    kind = "array->array"

    @abstractmethod
    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        """What `encode` makes of a chunk like `spec`: its shape, dtype and fill value."""

    @abstractmethod
    def encode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        """`array` (like `spec`) -> an array like `resolve(spec)`."""

    @abstractmethod
    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        """`array` (like `resolve(spec)`) -> an array like `spec`."""


class ArrayBytesCodec(Codec):
    """Array in, bytes out: the one step that every chain has."""

    kind = "array->bytes"

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        """How many bytes `encode` makes of every chunk like `spec`; None when it depends on the values."""
        return None

    def max_encoded_size(self, spec: ChunkSpec) -> int | None:
        """The most bytes that any writer's `encode` can make of a chunk like `spec`, generously; None for no bound."""
        return self.encoded_size(spec)

    @abstractmethod
    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        """`array` (like `spec`) -> one contiguous buffer."""

    @abstractmethod
    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        """`data` (bytes or a flat memoryview of bytes) -> an array like `spec`; may be a read-only view of `data`."""


class BytesBytesCodec(Codec):
    """Bytes in, bytes out: a compressor or a checksum."""

    kind = "bytes->bytes"
    #: `encode` takes the chunk itself, a C-contiguous array, where nothing comes between: its dtype and shape matter to
    #: some.
    typed: ClassVar[bool] = False

    def max_encoded_size(self, nbytes: int) -> int | None:
        """The most bytes that any writer's `encode` can make of `nbytes` bytes, generously; None for no bound."""
        return 2 * nbytes + 65536

    def encoded_size(self, nbytes: int) -> int | None:
        """How many bytes `encode` makes of every `nbytes` bytes; None when it depends on the values."""
        return None

    def fills(self, size: int) -> bool:
        """Whether `decode` puts `size` bytes into `out`, for the most part; where not, nobody need make one."""
        return False

    def quick(self, size: int) -> Callable[[Buffer], Buffer | None] | None:
        """A function that decodes what most objects look like at less cost than `decode`; None where there is none.

        For one thread. It takes bytes and gives `size` bytes, never allocating more, which may change with the next call; or
        None, or it raises: then its caller asks `decode`, which says what is wrong. Never may it take an encoded chunk that
        was cut short for a whole one.
        """
        return None

    def divisible(self, size: int) -> bool:
        """Whether `stretch` may be cheaper than `decode` for `size` decoded bytes."""
        return False

    def stretch(self, data: Buffer, first: int, nbytes: int, size: int) -> Buffer | None:
        """The decoded bytes `[first, first + nbytes)` of `size`, at less cost than all; None or an error: ask `decode`."""
        return None

    @abstractmethod
    def encode(self, data: Buffer) -> Buffer:
        """`data` (bytes or a flat memoryview of bytes; an array where `typed`) -> one contiguous buffer."""

    @abstractmethod
    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        """`data` (bytes or a flat memoryview of bytes) -> the buffer that was encoded.

        `size`: the exact decoded size in bytes where it is known, else None. `limit`: never allocate or return more
        than this many bytes (it equals `size` where that is known); raise CorruptChunkError instead. `out`: a writable,
        flat uint8 array of `size` bytes; a codec may decode into it and return it, or ignore it.
        """
