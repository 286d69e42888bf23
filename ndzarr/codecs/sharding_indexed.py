"""The `sharding_indexed` codec: many chunks in one object, with an index of where each lies.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/

The index is an array of shape `counts + (2,)` of unsigned 64-bit integers: offset and length in bytes of each inner chunk, in C
order of inner chunks; both are 2**64 - 1 where a chunk is missing and reads as fill values. Inner chunks may lie in any order,
with gaps between them, and two may share bytes: nothing here takes them to adjoin. Here the index is a (n, 2) array, and a
chunk's *position* is its row.

The codec decodes whole shards, for the places where parts cannot be fetched (inside another shard, before a compressor). Where
they can, `shards` and the engine use the same functions on single chunks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ndzarr._typing import Buffer, CodecSpec, Coords, Json, NDArray, Shape
from ndzarr.codecs.base import ArrayBytesCodec, BytesBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import flat
from ndzarr.codecs.configuration import Fields, to_json
from ndzarr.codecs.pipeline import Pipeline, build
from ndzarr.config import current
from ndzarr.errors import ArgumentError, CorruptChunkError
from ndzarr.fillvalue import element, is_fill

Index = npt.NDArray[np.uint64]

#: Offset and length of a chunk that is not there.
MISSING = (1 << 64) - 1
_INDEX_CODECS = (CodecSpec("bytes", {"endian": "little"}), CodecSpec("crc32c"))
_U8 = np.dtype("<u8")


@dataclass(frozen=True)
class ShardingCodec(ArrayBytesCodec):
    """`chunk_shape`: lengths of an inner chunk, which divide those of the shard. `codecs`: the chain of each inner chunk.

    `index_codecs`: the chain of the index; none of it may make bytes of a number that depends on their values. `at_start`: the
    index stands in front of the chunks, not behind. The rest is set by `bind`: `inner`, the bound chain; `counts`, inner chunks
    by axis; `index_nbytes`, the encoded size of the index.
    """

    chunk_shape: Shape
    codecs: tuple[CodecSpec, ...]
    index_codecs: tuple[CodecSpec, ...] = _INDEX_CODECS
    at_start: bool = False
    inner: Pipeline = field(default=None, compare=False, repr=False)  # type: ignore[assignment]  # set by `bind`
    counts: Shape = field(default=(), compare=False, repr=False)
    index_nbytes: int = field(default=0, compare=False, repr=False)
    _index: Pipeline = field(default=None, compare=False, repr=False)  # type: ignore[assignment]  # set by `bind`

    name = "sharding_indexed"
    description = "many chunks in one object, with an index"
    decode_ns_per_byte = 0.1

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ShardingCodec:
        fields = Fields(cls.name, configuration)
        shape = fields.take("chunk_shape")
        if not isinstance(shape, list | tuple) or not all(type(n) is int and n > 0 for n in shape):
            raise fields.bad("chunk_shape", shape, "a list of positive integers")
        codecs = fields.chain("codecs")
        index_codecs = fields.chain("index_codecs", _INDEX_CODECS)
        where = fields.text("index_location", "end", ("start", "end"))
        fields.done()
        for chain, of in ((codecs, "codecs"), (index_codecs, "index_codecs")):
            if not chain:
                raise fields.bad(of, [], "at least one codec")
        return cls(tuple(shape), codecs, index_codecs, where == "start")

    def configuration(self) -> dict[str, Json]:
        return {
            "chunk_shape": list(self.chunk_shape),
            "codecs": [_json(spec) for spec in self.codecs],
            "index_codecs": [_json(spec) for spec in self.index_codecs],
            "index_location": "start" if self.at_start else "end",
        }

    def bind(self, spec: ChunkSpec) -> ShardingCodec:
        if len(self.chunk_shape) != len(spec.shape) or any(n % c for n, c in zip(spec.shape, self.chunk_shape, strict=True)):
            raise ArgumentError(
                f"codec 'sharding_indexed': chunk_shape is {list(self.chunk_shape)}, expected lengths that divide those of the "
                f"shard, {list(spec.shape)}",
                codec=self.name,
                field="chunk_shape",
                found=list(self.chunk_shape),
                expected=list(spec.shape),
            )
        counts = tuple(n // c for n, c in zip(spec.shape, self.chunk_shape, strict=True))
        index = build(self.index_codecs, ChunkSpec((*counts, 2), _U8, np.uint64(MISSING)))
        if index.encoded_size is None:
            named = next(
                (c.name for c in index.codecs if isinstance(c, BytesBytesCodec) and c.encoded_size(index.chunk.nbytes) is None),
                index.codecs[0].name,
            )
            raise ArgumentError(
                f"codec 'sharding_indexed': index_codecs has {named!r}, whose output has no fixed size, so that nobody could "
                "find the index; expected 'bytes', and 'crc32c' perhaps",
                codec=self.name,
                field="index_codecs",
                found=named,
            )
        inner = build(self.codecs, ChunkSpec(self.chunk_shape, spec.dtype, spec.fill_value))
        return replace(self, inner=inner, counts=counts, index_nbytes=index.encoded_size, _index=index)

    def max_encoded_size(self, spec: ChunkSpec) -> int | None:
        # Twice what the chunks can take, for gaps: the specification allows any. What is larger is read in parts only.
        if self.inner.max_encoded is None:
            return None
        return 2 * math.prod(self.counts) * self.inner.max_encoded + self.index_nbytes + 65536

    # ---- the index --------------------------------------------------------------------------------

    def read_index(self, data: Buffer) -> Index:
        """The index that `data`, its encoded bytes, holds. Raises CorruptChunkError."""
        if len(data) != self.index_nbytes:
            raise CorruptChunkError(
                f"sharding_indexed: found {len(data)} bytes of index, {math.prod(self.counts)} inner chunks take "
                f"{self.index_nbytes}; the object is truncated, or no shard",
                codec=self.name,
                found=len(data),
                expected=self.index_nbytes,
            )
        try:
            index: Index = self._index.decode(data).reshape(-1, 2)
        except CorruptChunkError as error:
            raise CorruptChunkError(
                f"sharding_indexed: the index cannot be decoded: {error}",
                codec=self.name,
                found=error.found,
                expected=error.expected,
            ) from error
        return index

    def split(self, data: Buffer) -> Index:
        """The index of a whole shard, each entry checked against the shard's size. Raises CorruptChunkError."""
        nbytes = len(data)
        view = memoryview(data)
        index = self.read_index(view[: self.index_nbytes] if self.at_start else view[max(0, nbytes - self.index_nbytes) :])
        offsets, lengths = index[:, 0], index[:, 1]
        # Compared this way round, no sum can pass 2**64.
        bad = (offsets > nbytes) | (lengths > nbytes - np.minimum(offsets, np.uint64(nbytes)))
        if self.inner.max_encoded is not None:
            bad |= lengths > self.inner.max_encoded
        bad &= (offsets != MISSING) | (lengths != MISSING)
        if bad.any():
            self.check_entry(index, int(np.argmax(bad)), nbytes)
        return index

    def check_entry(self, index: Index, position: int, nbytes: int | None) -> tuple[int, int] | None:
        """Offset and length of the chunk at `position`, None when it is missing; `nbytes`: the size of the shard, if known.

        Raises CorruptChunkError for an entry that no correct writer makes.
        """
        offset, length = index[position].tolist()
        if offset == MISSING and length == MISSING:
            return None
        limit = (1 << 63) - 1 if nbytes is None else nbytes
        most = self.inner.max_encoded
        if offset > limit or length > limit - offset or (most is not None and length > most):
            raise CorruptChunkError(
                f"sharding_indexed: the index says that inner chunk {self.coords(position)} has {length} bytes at offset "
                f"{offset}; "
                + (
                    f"the object has {nbytes} bytes"
                    if nbytes is not None and (offset > limit or length > limit - offset)
                    else f"its codecs make at most {most} bytes of a chunk"
                ),
                codec=self.name,
                found=(offset, length),
                expected=nbytes if nbytes is not None else most,
            )
        return offset, length

    def coords(self, position: int) -> Coords:
        """Which inner chunk the row `position` of the index is about."""
        return tuple(int(c) for c in np.unravel_index(position, self.counts)) if self.counts else ()

    # ---- whole shards --------------------------------------------------------------------------------

    def encode(self, array: NDArray, spec: ChunkSpec) -> Buffer:
        fill = _fill(spec)
        drop = spec.fill_value is not None and not current().write_empty
        chunks: dict[int, Buffer | None] = {}
        for position, coords in enumerate(product(*map(range, self.counts))):
            part = array[self._slices(coords)] if coords else array  # `array[()]` would be a scalar
            chunks[position] = None if drop and is_fill(part, fill) else self.inner.encode(part)
        shard = self.join(None, None, chunks)
        # A shard in which nothing is: the array leaves such an object out; inside another codec it is an index alone.
        return self.empty() if shard is None else shard

    def empty(self) -> Buffer:
        """A shard without chunks."""
        return self._index.encode(np.full((*self.counts, 2), MISSING, _U8))

    def decode(self, data: Buffer, spec: ChunkSpec) -> NDArray:
        index = self.split(data)
        view = memoryview(data)
        array: NDArray = np.empty(spec.shape, spec.dtype)
        if (index == MISSING).all():
            array[...] = element(_fill(spec), spec.dtype)
            return array
        for position, coords in enumerate(product(*map(range, self.counts))):
            place = self.check_entry(index, position, len(data))
            if place is None:
                array[self._slices(coords)] = element(_fill(spec), spec.dtype)
            else:
                array[self._slices(coords)] = self.inner.decode(view[place[0] : place[0] + place[1]])
        return array

    def _slices(self, coords: Coords) -> tuple[slice, ...]:
        return tuple(slice(c * n, (c + 1) * n) for c, n in zip(coords, self.chunk_shape, strict=True))

    def join(self, old: Buffer | None, index: Index | None, chunks: Mapping[int, Buffer | None]) -> Buffer | None:
        """A shard like `old` (with its `index`; None for one that does not exist) but with `chunks` replaced; None if empty.

        `chunks`: encoded chunks by position, None for those to be left out. All others are copied as they lie, in the order in
        which they lie, without the gaps; they are not decoded.
        """
        new: Index = np.full((math.prod(self.counts), 2), MISSING, _U8)
        pieces: list[Buffer] = []
        end = self.index_nbytes if self.at_start else 0
        if old is not None and index is not None:
            keep = index[:, 0] != MISSING
            keep[list(chunks)] = False
            kept = np.flatnonzero(keep)
            if kept.size:
                kept = kept[np.argsort(index[kept, 0], kind="stable")]
                offsets, lengths = index[kept, 0].astype(np.int64), index[kept, 1].astype(np.int64)
                new[kept, 0] = end + np.cumsum(lengths) - lengths
                new[kept, 1] = lengths
                # Chunks that adjoin are copied together.
                cuts = np.flatnonzero(offsets[1:] != offsets[:-1] + lengths[:-1]) + 1
                view = memoryview(old)
                stops = offsets + lengths
                for first, last in zip([0, *cuts.tolist()], [*(cuts - 1).tolist(), kept.size - 1], strict=True):
                    pieces.append(view[int(offsets[first]) : int(stops[last])])
                end += int(lengths.sum())
        for position in sorted(chunks):
            chunk = chunks[position]
            if chunk is not None:
                new[position] = end, len(chunk)
                end += len(chunk)
                pieces.append(chunk)
        if (new[:, 0] == MISSING).all():
            return None
        encoded = flat(self._index.encode(new.reshape(*self.counts, 2)))
        return b"".join([encoded, *pieces] if self.at_start else [*pieces, encoded])


def _fill(spec: ChunkSpec) -> Any:
    """What a missing chunk reads as: zero where a codec in front left the fill value undefined."""
    return np.zeros((), spec.dtype)[()] if spec.fill_value is None else spec.fill_value


def _json(spec: CodecSpec) -> dict[str, Json]:
    if spec.name == ShardingCodec.name:  # its own codecs may be bare names still
        spec = CodecSpec(spec.name, ShardingCodec.from_spec(spec.configuration).configuration())
    return to_json(spec)
