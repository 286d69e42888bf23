"""A compressor of one's own: runs of equal bytes as pairs of a count and a byte.

    python run_length.py

writes a mask with it, reads it back, and shows what damage does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import ndzarr
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import CorruptChunkError


@dataclass(frozen=True)  # immutable, as many threads use one; and equal where the configuration is
class RunLengthCodec(BytesBytesCodec):
    """Each run of at most `longest` equal bytes as two bytes: how many, and which."""

    longest: int = 255

    name = "runlength"
    description = "runs of equal bytes"
    decode_ns_per_byte = 1.5  # so that the engine knows when threads pay

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Any]) -> RunLengthCodec:
        fields = Fields(cls.name, configuration)
        longest = fields.integer("longest", 255, 1, 255)
        fields.done()  # a field that nobody asked for is an error
        return cls(longest)

    def configuration(self) -> dict[str, Any]:
        return {"longest": self.longest}

    def encode(self, data: Any) -> bytes:
        values = np.frombuffer(data, np.uint8)
        if not values.size:
            return b""
        starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
        lengths = np.diff(starts, append=values.size)
        # A long run becomes pieces: all but the last are as long as they may be.
        pieces = -(-lengths // self.longest)
        last = np.cumsum(pieces) - 1
        pairs = np.empty((int(pieces.sum()), 2), np.uint8)
        pairs[:, 0] = self.longest
        pairs[last, 0] = lengths - (pieces - 1) * self.longest
        pairs[:, 1] = np.repeat(values[starts], pieces)
        return pairs.tobytes()

    def decode(self, data: Any, *, size: int | None, limit: int, out: Any = None) -> bytes:
        stored = np.frombuffer(data, np.uint8)
        if stored.size % 2:
            raise CorruptChunkError(f"run-length data of {stored.size} bytes, expected pairs")
        counts, values = stored[::2], stored[1::2]
        total = int(counts.sum(dtype=np.int64))
        # What is stored may be anything: refuse it before there is anything large.
        if total > limit or (size is not None and total != size) or (counts == 0).any():
            raise CorruptChunkError(f"run-length data of {total} bytes, expected {limit if size is None else size}")
        return np.repeat(values, counts).tobytes()

    def max_encoded_size(self, nbytes: int) -> int:
        return 2 * nbytes  # no two neighbours are equal


def main() -> None:
    ndzarr.register_codec(RunLengthCodec)
    mask = np.zeros((1000, 1000), "u1")
    mask[100:900, 200:800] = 1
    store = ndzarr.MemoryStore()
    z = ndzarr.array(mask, store=store, chunks=(250, 250), compressor={"id": "runlength"})
    assert (z[...] == mask).all()
    print(f"{z.nbytes} bytes are stored as {z.nbytes_stored}")

    store.set("c/0/0", b"\xff\x00" * 10)
    try:
        z[0, 0]
    except ndzarr.CorruptChunkError as error:
        print(error)


if __name__ == "__main__":
    main()
