"""A filter of one's own, a transformation of elements: signed integers as unsigned ones, small ones staying small.

    python zigzag.py

0, -1, 1, -2, 2 become 0, 1, 2, 3, 4 (https://protobuf.dev/programming-guides/encoding/#signed-ints). After `delta`, which
makes small numbers of both signs, the high bytes are all zero then, which suits every compressor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import ndzarr
from ndzarr.codecs.base import ArrayArrayCodec, ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError


@dataclass(frozen=True)
class ZigzagCodec(ArrayArrayCodec):
    """Signed integers as unsigned ones of the same size: n -> 2n, or -2n - 1 where n is negative."""

    name = "zigzag"
    description = "signed integers as unsigned, small ones staying small"

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Any]) -> ZigzagCodec:
        Fields(cls.name, configuration).done()
        return cls()

    def configuration(self) -> dict[str, Any]:
        return {}

    def resolve(self, spec: ChunkSpec) -> ChunkSpec:
        # Called once for an array, so what cannot work is said when the array is made or opened.
        if spec.dtype.kind != "i":
            raise ArgumentError(f"codec 'zigzag' takes signed integers, found {spec.dtype}", found=spec.dtype)
        dtype = np.dtype(f"u{spec.dtype.itemsize}").newbyteorder(spec.dtype.byteorder)
        # The fill value goes the way of the elements: codecs behind this one see what it became.
        fill = None if spec.fill_value is None else self._forth(np.asarray(spec.fill_value, spec.dtype), dtype)[()]
        return ChunkSpec(spec.shape, dtype, fill)

    def encode(self, array: np.ndarray, spec: ChunkSpec) -> np.ndarray:
        return self._forth(array, self.resolve(spec).dtype)

    def decode(self, array: np.ndarray, spec: ChunkSpec) -> np.ndarray:
        half = array >> array.dtype.type(1)
        return np.where(array & array.dtype.type(1), ~half, half).view(half.dtype).astype(spec.dtype)

    @staticmethod
    def _forth(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        bits = array.dtype.type(array.dtype.itemsize * 8 - 1)
        # An arithmetic shift: all ones where the number is negative.
        return ((array << array.dtype.type(1)) ^ (array >> bits)).astype(dtype)


def main() -> None:
    ndzarr.register_codec(ZigzagCodec)
    steps = np.random.default_rng(1).integers(-3, 4, (1000, 1000))
    data = np.cumsum(steps, axis=1).astype("i4")
    delta = {"id": "delta", "dtype": "<i4"}
    for filters in ([], [delta], [delta, {"id": "zigzag"}]):
        z = ndzarr.array(data, chunks=(250, 250), filters=filters, compressor="zlib")
        assert (z[...] == data).all()
        print(f"{' + '.join([f['id'] for f in filters] + ['zlib']):<24} {z.nbytes_stored:>9} bytes of {z.nbytes}")


if __name__ == "__main__":
    main()
