"""The `packbits` codec: values of any number of bits, one after the other, no bit between them.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/packbits. The first bit is the lowest one of the first
byte, as zarrs and tensorstore have it. The README says that "first_byte" gives what `numcodecs.packbits` does: it does not,
for that codec starts at the highest bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from ndzarr._typing import Buffer, Json, NDArray
from ndzarr.codecs.base import ArrayBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import from_bytes
from ndzarr.codecs.bytes import ordered
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.number import Number, number
from ndzarr.errors import ArgumentError, CorruptChunkError

_PADDINGS = ("none", "first_byte", "last_byte")
#: Components packed at a time, a multiple of 8 so that each block ends with a byte.
_BLOCK = 1 << 14
_U1 = np.dtype(np.uint8)


@dataclass(frozen=True)
class PackbitsCodec(ArrayBytesCodec):
    """`padding`: where a byte says how many bits the last byte has too many. `first_bit`, `last_bit`: those kept, from 0.

    Of complex numbers the bits are counted in each part. The rest is set by `bind`.
    """

    padding: str = "none"
    first_bit: int | None = None
    last_bit: int | None = None
    _number: Number = field(default=Number("b", 1), compare=False, repr=False)
    #: The first bit and the number of bits of a component, and how many components there are.
    _cut: tuple[int, int, int] = field(default=(0, 1, 0), compare=False, repr=False)

    name = "packbits"
    description = "values of any number of bits, without gaps"
    decode_ns_per_byte = 1.0
    decode_ns = 4000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> PackbitsCodec:
        fields = Fields(cls.name, configuration)
        padding = fields.text("padding_encoding", "none", _PADDINGS)
        first, last = fields.integer("first_bit", None, 0, 127), fields.integer("last_bit", None, 0, 127)
        if last is not None and last < (first or 0):
            raise fields.bad("last_bit", last, f"at least first_bit, which is {first or 0}")
        fields.done()
        return cls(padding, first, last)

    def configuration(self) -> dict[str, Json]:
        found: dict[str, Json] = {"padding_encoding": self.padding}
        if self.first_bit is not None:
            found["first_bit"] = self.first_bit
        if self.last_bit is not None:
            found["last_bit"] = self.last_bit
        return found

    def bind(self, spec: ChunkSpec) -> PackbitsCodec:
        # Dates are 64-bit integers.
        of = number(np.dtype(np.int64)) if spec.dtype.kind in "mM" else number(spec.dtype)
        if of is None:
            raise ArgumentError(
                f"codec 'packbits' takes numbers and bool, not dtype {spec.dtype}",
                codec=self.name,
                field="dtype",
                found=str(spec.dtype),
            )
        first = self.first_bit or 0
        last = of.bits - 1 if self.last_bit is None else self.last_bit
        if not first <= last < of.bits:
            raise ArgumentError(
                f"codec 'packbits': bits {first} to {last} are wanted, dtype {spec.dtype} has 0 to {of.bits - 1}",
                codec=self.name,
                field="last_bit" if last >= of.bits else "first_bit",
                found=[first, last],
                expected=of.bits - 1,
            )
        return replace(self, _number=of, _cut=(first, last - first + 1, spec.size * of.components))

    def encoded_size(self, spec: ChunkSpec) -> int:
        _, bits, count = self._cut
        return -(-bits * count // 8) + (self.padding != "none")

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        first, bits, count = self._cut
        nbytes = -(-bits * count // 8)
        out = np.zeros(self.encoded_size(spec), _U1)
        content = out[1:] if self.padding == "first_byte" else out[:nbytes]
        if self.padding != "none":
            out[0 if self.padding == "first_byte" else -1] = -bits * count % 8
        flat = np.ascontiguousarray(array, ordered(spec.dtype, "little")).reshape(-1)
        if count:
            components = flat.view(f"<u{flat.itemsize // self._number.components}")
            for start in range(0, count, _BLOCK):
                packed = _pack(components[start : start + _BLOCK], first, bits)
                at = start * bits // 8
                content[at : at + len(packed)] = packed
        return out.data

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        first, bits, count = self._cut
        expected = self.encoded_size(spec)
        if len(data) != expected:
            raise CorruptChunkError(f"found {len(data)} bytes, expected {expected}", found=len(data), expected=expected)
        stored = from_bytes(data)
        content = stored[1:] if self.padding == "first_byte" else stored[:-1] if self.padding == "last_byte" else stored
        if self.padding != "none":
            padding = int(stored[0 if self.padding == "first_byte" else -1])
            if padding != -bits * count % 8:
                raise CorruptChunkError(
                    f"the {self.padding.replace('_', ' ')} counts {padding} padding bits, expected {-bits * count % 8}",
                    found=padding,
                    expected=-bits * count % 8,
                )
        little = ordered(spec.dtype, "little")
        if not count:
            return np.empty(spec.shape, spec.dtype)
        components = np.empty(count, f"<u{little.itemsize // self._number.components}")
        for start in range(0, count, _BLOCK):
            block = components[start : start + _BLOCK]
            _unpack(content[start * bits // 8 :][: -(-len(block) * bits // 8)], block, first, bits, self._number)
        return components.view(little).reshape(spec.shape).astype(spec.dtype, copy=False)


def _pack(components: NDArray, first: int, bits: int) -> NDArray:
    """Bits `first` up to `first + bits` of each component, as bytes."""
    if bits == 1:
        return np.packbits((components >> first & 1).astype(_U1), bitorder="little")
    count = len(components)
    width = components.itemsize
    if first % 8 == 0 and bits % 8 == 0:
        return components.view(_U1).reshape(count, width)[:, first // 8 : (first + bits) // 8].reshape(-1)
    # Eight components have as many bytes as one has bits.
    eights = np.zeros((-(-count // 8), 8), "<u8")
    eights.reshape(-1)[:count] = components >> first & ((1 << bits) - 1)
    packed = np.zeros((len(eights), bits), _U1)
    for k, byte, shift in _places(bits):
        packed[:, byte] |= (eights[:, k] << shift if shift >= 0 else eights[:, k] >> -shift).astype(_U1)
    flat: NDArray = packed.reshape(-1)[: -(-count * bits // 8)]
    return flat


def _unpack(content: NDArray, components: NDArray, first: int, bits: int, of: Number) -> None:
    """The inverse of `_pack`, into `components`, with the sign of signed integers in the bits above."""
    count = len(components)
    if bits == 1:
        found = np.unpackbits(content, count=count, bitorder="little").astype("<u8")
    elif first % 8 == 0 and bits % 8 == 0:
        wide = np.zeros((count, 8), _U1)
        wide[:, : bits // 8] = content.reshape(count, -1)
        found = wide.view("<u8").reshape(-1)
    else:
        packed = np.zeros((-(-count // 8), bits), _U1)
        packed.reshape(-1)[: len(content)] = content
        eights = np.zeros((len(packed), 8), "<u8")
        for k, byte, shift in _places(bits):
            part = packed[:, byte].astype("<u8")
            eights[:, k] |= part >> shift if shift >= 0 else part << -shift
        found = eights.reshape(-1)[:count] & ((1 << bits) - 1)
    if of.kind == "i":
        sign = np.uint64(1 << (bits - 1))
        found = (found ^ sign) - sign
    found = found << first
    if of.bits < 8:
        found &= (1 << of.bits) - 1  # as ml_dtypes has them: the upper bits of the byte are 0
    components[:] = found.astype(components.dtype)


@cache
def _places(bits: int) -> tuple[tuple[int, int, int], ...]:
    """Of eight values: which of them has bits in which byte, and how far it is shifted to the left there."""
    return tuple(
        (k, byte, k * bits - 8 * byte) for k in range(8) for byte in range(k * bits // 8, (k * bits + bits - 1) // 8 + 1)
    )
