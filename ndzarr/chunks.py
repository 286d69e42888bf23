"""One chunk and its bytes: decoded, its share of a result put in place; taken up, changed, encoded. No store, no lock.

Errors name the chunk: what cannot be decoded is said with the array's path, the key and the store it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Coords, NDArray, Shape
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.errors import CorruptChunkError, MemoryLimitError, MissingChunkError
from ndzarr.fields import Field, field_of
from ndzarr.fillvalue import element, is_fill
from ndzarr.layout import Cell, Layout, Shard
from ndzarr.memory import room
from ndzarr.plan import AxisIndex, Part
from ndzarr.scatter import Stretch, fill, lift, lower, put, stretch, take
from ndzarr.shards import Found

#: Copying decoded bytes to their place.
_COPY_NS_PER_BYTE = 0.1


class Scratch:
    """One chunk-sized array, made when first asked for; of one thread, for one run."""

    __slots__ = ("_array", "_spec")

    def __init__(self) -> None:
        self._spec: ChunkSpec | None = None
        self._array: NDArray = np.empty(0)

    def array(self, spec: ChunkSpec) -> NDArray:
        """An array for a chunk like `spec`, with anything in it."""
        if spec is not self._spec:
            self._array = room(spec.shape, spec.dtype, f"a chunk of shape {spec.shape}")
            self._spec = spec
        return self._array

    def leave(self, data: Buffer | None) -> Buffer | None:
        """`data` itself, or a copy where it lies in the scratch array, which is used again."""
        if data is None or type(data) is bytes or not np.may_share_memory(np.frombuffer(data, np.uint8), self._array):
            return data
        return bytes(data)


@dataclass(slots=True)
class Result:
    """Where a read puts what it finds: `out`, a work array of elements, or of the part `field` of each.

    mask: a work array that is made True where chunks are missing; None where nobody asks.
    """

    out: NDArray
    field: Field | None
    options: config.Options
    mask: NDArray | None = None

    def lift(self, part: Part) -> Result:
        """The part's place as a result of its own; what is put there counts after `lower`."""
        out = lift(part, self.out)
        mask = None if self.mask is None else lift(part, self.mask)
        if not part.simple:
            out = np.empty_like(out)
            mask = None if mask is None else np.zeros_like(mask)
        return Result(out, self.field, self.options, mask)

    def lower(self, part: Part, place: Result) -> None:
        """Put what `lift` gave in its place, where it is no view of it."""
        if not part.simple:
            lower(part, place.out, self.out)
            if self.mask is not None and place.mask is not None:
                lower(part, place.mask, self.mask)


class Chunks:
    """What can be done with single chunks of one array, once their bytes are here. Immutable; safe to use from any thread.

    `coords` is the object that a chunk came from; `inner` its own place where that is a shard.
    """

    __slots__ = ("_max_object", "layout", "path", "url")

    def __init__(self, layout: Layout, path: str, url: str) -> None:
        self.layout = layout
        self.path = path
        self.url = url
        self._max_object = config.current().max_object

    def most(self, pipeline: Pipeline) -> int:
        """The most bytes that an encoded chunk may have."""
        return self._max_object if pipeline.max_encoded is None else pipeline.max_encoded

    def reach(self, pipeline: Pipeline) -> ByteRange:
        """The range to ask for: one byte more than any correct object has, so that a longer one is noticed without being read
        (promise P11)."""
        return ByteRange(0, self.most(pipeline) + 1)

    # ---- out of chunks --------------------------------------------------------------------------------

    def unpack(
        self,
        part: Part,
        data: Buffer,
        pipeline: Pipeline,
        result: Result,
        scratch: Scratch,
        coords: Coords,
        inner: Coords | None = None,
    ) -> None:
        """Decode one chunk and put the part's share of it in its place."""
        out, field = result.out, result.field
        # Decode straight into the result where the whole chunk lands in one stretch of it. Safe: the pipeline fills `target`
        # or returns another array, a failed decode raises before the caller can see the result, and no other part has this
        # target (plan, rule (a)).
        if part.whole and part.simple and field is None:
            target = out[part.target] if part.target else out  # `out[()]` of a 0-d array would be a scalar
            if target.flags.c_contiguous and target.shape == pipeline.chunk.shape:
                chunk = self.decode(pipeline, data, target, coords, inner)
                if chunk is not target:
                    target[...] = chunk
                return
        chunk = self.decode(pipeline, data, scratch.array(pipeline.chunk) if pipeline.fills else None, coords, inner)
        take(part, chunk if field is None else field_of(chunk, field), out)

    def divide(self, part: Part, data: Buffer, pipeline: Pipeline, result: Result) -> bool:
        """Put the part's share in its place by decoding no more of the chunk than that takes; False where all of it is needed.

        Safe: `Pipeline.stretch` gives exactly the bytes asked for, or None, and `scatter.stretch` says which they are and how
        the elements lie in them, as it does for raw chunks.
        """
        wanted = stretch(part, pipeline.chunk) if part.simple and result.field is None else None
        if wanted is None:
            return False
        first, nbytes, shape, strides = wanted
        piece = pipeline.stretch(data, first, nbytes)
        if piece is None:
            return False
        result.out[part.target or ...] = np.ndarray(shape, self.layout.dtype, piece, 0, strides)
        return True

    def missing(self, part: Part, result: Result, coords: Coords, inner: Coords | None = None) -> None:
        """Put fill values in the part's place and note that in the mask, or raise MissingChunkError, as `options` say."""
        layout, field = self.layout, result.field
        self.allowed(coords, result.options, inner)
        fill(part, result.out, element(layout.fill, layout.dtype) if field is None else field_of(layout.fill, field))
        if result.mask is not None:
            fill(part, result.mask, True)

    def masked(self, array: NDArray, mask: NDArray, field: Field | None) -> NDArray:
        """A masked array of the two, whose own fill value is that of the stored array."""
        fill_value = self.layout.fill if field is None else field_of(self.layout.fill, field)
        found: NDArray = np.ma.MaskedArray(array, mask, fill_value=fill_value)
        return found

    def decode(
        self, pipeline: Pipeline, data: Buffer, out: NDArray | None, coords: Coords, inner: Coords | None = None
    ) -> NDArray:
        """`pipeline.decode`, bounded, with errors that say which chunk it was."""
        most = self.most(pipeline)
        if len(data) > most:
            raise CorruptChunkError(
                f"cannot decode {self.name(coords, inner)}: the object has more than {most} bytes, the most that "
                + (
                    "its codecs can make of a chunk; it is no chunk of this array, or damaged"
                    if pipeline.max_encoded is not None
                    else "options(max_object=) allowed when the array was opened"
                ),
                **self.where(coords),
                codec=pipeline.codecs[-1].name,
                expected=most,
            )
        try:
            return pipeline.decode(data, out)
        except CorruptChunkError as error:
            raise self.named(error, coords, inner) from error
        except MemoryError as error:
            nbytes = pipeline.chunk.nbytes
            raise MemoryLimitError(
                f"no memory to decode {self.name(coords, inner)}, which takes {nbytes} bytes",
                **self.where(coords),
                found=nbytes,
            ) from error

    # ---- into chunks --------------------------------------------------------------------------------

    def opened(
        self, data: Buffer | None, pipeline: Pipeline, scratch: Scratch, coords: Coords, inner: Coords | None = None
    ) -> NDArray:
        """The chunk that `data` holds, ours to change; fill values when that is None."""
        buffer = scratch.array(pipeline.chunk)
        if data is None:
            buffer[...] = element(self.layout.fill, self.layout.dtype)
            return buffer
        chunk = self.decode(pipeline, data, buffer, coords, inner)
        if chunk is not buffer and not (chunk.flags.writeable and np.may_share_memory(chunk, buffer)):
            buffer[...] = chunk  # a view of the store's own bytes
            return buffer
        return chunk

    def overwrite(
        self, part: Part, value: NDArray, pipeline: Pipeline, scratch: Scratch, options: config.Options
    ) -> Buffer | None:
        """The bytes of a chunk that a part replaces whole; None for one that is left out."""
        if part.simple and in_order(part.target, pipeline.chunk.shape):
            # The value has the chunk as it stands: encode it where it lies. Where it lies in pieces codecs would each time make
            # new memory to put them together; a raw chunk may have to stay longer than the scratch array does.
            piece = value[part.target] if part.target else value
            if pipeline.raw or piece.flags.c_contiguous:
                return self.pack(pipeline, piece, options)
        chunk = scratch.array(pipeline.chunk)
        put(part, chunk, value)
        return self.pack(pipeline, chunk, options)

    def wipe(self, part: Part, chunk: NDArray) -> bool:
        """Put fill values where the part says, in an open chunk; False where there were no others."""
        layout = self.layout
        if is_fill(chunk[part.source], layout.fill):
            return False
        chunk[part.source] = element(layout.fill, layout.dtype)
        return True

    def pack(self, pipeline: Pipeline, chunk: NDArray, options: config.Options) -> Buffer | None:
        """The bytes to store for a chunk; None for one that is left out, since it holds nothing but fill values."""
        if self.layout.blank and not options.write_empty and is_fill(chunk, self.layout.fill):
            return None
        return pipeline.encode(chunk)

    # ---- errors --------------------------------------------------------------------------------

    def allowed(self, coords: Coords, options: config.Options, inner: Coords | None = None) -> bool:
        """Whether a missing chunk is to be masked; MissingChunkError under `options(missing="raise")`."""
        if options.missing == "raise":
            raise MissingChunkError(
                f"{self.name(coords, inner)} was never written, and options(missing='raise') is in force",
                **self.where(coords),
            )
        return options.missing == "mask"

    def short(self, coords: Coords, first: int, found: int, expected: int) -> CorruptChunkError:
        """The error for a raw object that ends too early."""
        return CorruptChunkError(
            f"cannot decode {self.name(coords)}: found {found} bytes at offset {first} of an uncompressed chunk, expected "
            f"{expected}; the object is truncated",
            **self.where(coords),
            codec="bytes",
            found=found,
            expected=expected,
        )

    def named(self, error: CorruptChunkError, coords: Coords, inner: Coords | None = None) -> CorruptChunkError:
        """The error with the chunk, the key and the store in it."""
        return CorruptChunkError(
            f"cannot decode {self.name(coords, inner)}: {error}",
            **self.where(coords),
            codec=error.codec,
            found=error.found,
            expected=error.expected,
        )

    def name(self, coords: Coords, inner: Coords | None = None) -> str:
        """How messages name a chunk."""
        what = "chunk" if inner is None else f"chunk {inner} of shard"
        return f"{what} {coords} of {self.path or '/'!r} (key {self.layout.key(coords)!r} in {self.url})"

    def where(self, coords: Coords) -> dict[str, Any]:
        """The same, as fields of an error."""
        return {"store": self.url, "path": self.path, "key": self.layout.key(coords), "coords": coords}


def decode_ns(pipeline: Pipeline) -> float:
    """The estimated time of decoding one chunk and putting it in its place, in nanoseconds."""
    return pipeline.decode_ns + _COPY_NS_PER_BYTE * pipeline.chunk.nbytes


def stretch_of(part: Part, cell: Cell, field: Field | None) -> Stretch | None:
    """The bytes that a read of a part asks for where that is less than the whole chunk.

    A chunk of which all is wanted is read whole, past the edge of the array too, so that a damaged one is noticed; but never
    for the sake of one element, which `read_point` may read too.
    """
    if not cell.pipeline.raw or not part.simple or field is not None or (part.whole and part.target):
        return None
    return stretch(part, cell.chunk)


def in_order(target: tuple[AxisIndex, ...], shape: Shape) -> bool:
    """Whether the work array holds a whole chunk of this shape in its own order at `target`."""
    return len(target) == len(shape) and all(type(s) is slice and s.step == 1 for s in target)


@dataclass(slots=True)
class ShardReader:
    """Reads inner chunks of one shard."""

    chunks: Chunks
    coords: Coords
    shard: Shard
    found: Found
    result: Result

    def __call__(self, parts: Iterator[Part]) -> None:
        chunks, shard, result, scratch = self.chunks, self.shard, self.result, Scratch()
        for part in parts:
            data = self.found.get(shard.position(part.coords))
            if data is None:
                chunks.missing(part, result, self.coords, part.coords)
            else:
                chunks.unpack(part, data, shard.pipeline, result, scratch, self.coords, part.coords)


@dataclass(slots=True)
class ShardWriter:
    """Makes the new bytes of inner chunks of one shard, by position in `made`; None for those to be left out."""

    chunks: Chunks
    coords: Coords
    shard: Shard
    found: Found | None
    value: NDArray | None
    field: Field | None
    options: config.Options
    made: dict[int, Buffer | None]

    def __call__(self, parts: Iterator[Part]) -> None:
        chunks, pipeline, value, field, scratch = self.chunks, self.shard.pipeline, self.value, self.field, Scratch()
        for part in parts:
            position = self.shard.position(part.coords)
            if value is not None and part.whole and field is None:
                self.made[position] = scratch.leave(chunks.overwrite(part, value, pipeline, scratch, self.options))
                continue
            data = None if self.found is None else self.found.get(position)
            if value is None and data is None:
                continue
            chunk = chunks.opened(data, pipeline, scratch, self.coords, part.coords)
            if value is not None:
                put(part, chunk if field is None else field_of(chunk, field), value)
            elif not chunks.wipe(part, chunk):
                continue
            self.made[position] = scratch.leave(chunks.pack(pipeline, chunk, self.options))
