"""Pipelines: a chain of codecs bound to one kind of chunk, every size along it worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ndzarr._typing import Buffer, CodecSpec, NDArray
from ndzarr.codecs.base import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec, ChunkSpec, Codec
from ndzarr.codecs.buffers import as_bytes, flat
from ndzarr.codecs.bytes import BytesCodec
from ndzarr.codecs.none import NoneCodec
from ndzarr.codecs.numcodecs_filter import BytesFilter, NumcodecsFilter
from ndzarr.codecs.registry import create_codec
from ndzarr.config import current
from ndzarr.errors import ArgumentError, CallerError, CorruptChunkError, NdzarrError

_U1 = np.dtype(np.uint8)


class Pipeline:
    """Chunk <-> object. Immutable; any number of threads may use it.

    codecs: the bound codecs, in the order in which they encode. chunk: what is encoded. raw: an object is the chunk's
    elements and nothing else, so that ranges of it can be read. max_encoded: the most bytes that a correct writer makes
    of a chunk (exactly that many where `raw`), None where there is no bound. encoded_size: how many bytes every chunk makes,
    None where that depends on its values. divisible: `stretch` may give some bytes of a chunk without the others. decode_ns:
    estimated time to decode one chunk on one thread.
    """

    __slots__ = (
        "_direct",
        "_filters",
        "_packers",
        "_plain",
        "_serializer",
        "_typed",
        "_unpackers",
        "chunk",
        "codecs",
        "decode_ns",
        "divisible",
        "encoded_size",
        "fills",
        "max_encoded",
        "raw",
    )

    def __init__(
        self,
        filters: Sequence[ArrayArrayCodec],
        serializer: ArrayBytesCodec,
        packers: Sequence[BytesBytesCodec],
        chunk: ChunkSpec,
    ) -> None:
        """The codecs come unbound and in order; raises ArgumentError for a codec that cannot take what it is given."""
        self.chunk = spec = chunk
        # Each filter with what goes into it.
        self._filters: list[tuple[ArrayArrayCodec, ChunkSpec]] = []
        for unbound in filters:
            filter: ArrayArrayCodec = unbound.bind(spec)  # type: ignore[assignment]  # binding does not change the kind
            self._filters.append((filter, spec))
            spec = filter.resolve(spec)
        bound: ArrayBytesCodec = serializer.bind(spec)  # type: ignore[assignment]  # as above
        self._serializer = (bound, spec)
        plain = isinstance(bound, BytesCodec) and bound.plain(spec.dtype)

        size = bound.encoded_size(spec)
        most = bound.max_encoded_size(spec) if size is None else size
        # Each bytes->bytes codec with the exact size of what goes into it, or None, and the most that it can be, or
        # None.
        steps: list[tuple[BytesBytesCodec, int | None, int | None]] = []
        incoming = spec if plain else _stream(size)
        for unbound_packer in packers:
            packer: BytesBytesCodec = unbound_packer.bind(incoming)  # type: ignore[assignment]  # as above
            steps.append((packer, size, most))
            most = None if most is None else packer.max_encoded_size(most)
            size = None if size is None else packer.encoded_size(size)
            most = most if size is None else size
            incoming = _stream(size)
        self._packers = [packer for packer, _, _ in steps]
        self._unpackers = steps[::-1]
        self.max_encoded = most
        self.encoded_size = size
        self.codecs: tuple[Codec, ...] = (*(f for f, _ in self._filters), bound, *self._packers)
        self._typed = plain and bool(self._packers) and self._packers[0].typed
        self._plain = (spec.shape, spec.dtype, spec.nbytes) if plain else None
        self.raw = plain and not self._filters and not steps
        #: The last step of decoding may write into the caller's array: its bytes are the array's.
        self._direct = plain and not self._filters and chunk.nbytes > 0
        self.divisible = self._direct and len(self._packers) == 1 and self._packers[0].divisible(chunk.nbytes)
        #: It does so, for the most part: `decode` may be given an `out` that is there for nothing else.
        self.fills = self._direct and bool(self._packers) and self._packers[0].fills(chunk.nbytes)
        self.decode_ns = sum(c.decode_ns + c.decode_ns_per_byte * chunk.nbytes for c in self.codecs)

    def encode(self, array: NDArray) -> Buffer:
        """The object that holds `array` (of the chunk's shape and dtype), as one flat buffer of bytes.

        It may share the array's memory: use it before the array changes. Raises ArgumentError for values that a codec
        cannot take.
        """
        if array.shape != self.chunk.shape:
            raise ArgumentError(f"cannot encode an array of shape {array.shape}, expected {self.chunk.shape}")
        codec: Codec = self._serializer[0]
        try:
            for codec, spec in self._filters:
                array = codec.encode(array, spec)
            serializer, spec = self._serializer
            codec = serializer
            data: Buffer
            if self._typed:
                data = np.ascontiguousarray(array, spec.dtype).reshape(spec.shape)
            elif self._plain is not None:
                # What `BytesCodec.encode` does where elements are stored as they are in memory, the dtype looked at beforehand.
                data = as_bytes(np.ascontiguousarray(array, spec.dtype)).data
            else:
                data = serializer.encode(array, spec)
            for packer in self._packers:
                codec = packer
                data = packer.encode(data if packer.typed else flat(data))
            return flat(data)
        except (NdzarrError, MemoryError):
            raise
        except Exception as error:
            raise ArgumentError(f"cannot encode a chunk: codec {codec.name!r}: {error}", codec=codec.name) from error

    def decode(self, data: Buffer, out: NDArray | None = None) -> NDArray:
        """The chunk that `data` holds: an array of the chunk's shape and dtype, maybe a read-only view of `data`.

        `out`: a C-contiguous, writable array of that shape and dtype whose memory may be used: the result is then `out`
        itself, a view of it, or something else. Raises CorruptChunkError naming the codec when `data` cannot be
        decoded, or to another size than the chunk's.
        """
        codec: Codec = self._serializer[0]
        try:
            data = flat(data)
            into = None
            for codec, size, most in self._unpackers:
                if out is not None and self._direct and codec is self._packers[0]:
                    into = as_bytes(out)
                limit = most if size is None else size
                if limit is None:
                    limit = current().max_object
                data = codec.decode(data, size=size, limit=limit, out=into)
                if data is into and into is not None:
                    return out  # type: ignore[return-value]  # `into` is a view of it
                data = flat(data)
                if len(data) != size and (size is not None or len(data) > limit):
                    expected = size if size is not None else limit
                    raise CorruptChunkError(
                        f"decoded to {len(data)} bytes, expected {'' if size is not None else 'at most '}{expected}",
                        found=len(data),
                        expected=expected,
                    )
            codec, spec = self._serializer
            if self._plain is None:
                array = codec.decode(data, spec)
            else:
                # What `BytesCodec.decode` does, its sizes known beforehand: this is all there is to many a read.
                shape, dtype, nbytes = self._plain
                if len(data) != nbytes:
                    raise CorruptChunkError(f"found {len(data)} bytes, expected {nbytes}", found=len(data), expected=nbytes)
                array = np.ndarray(shape, dtype, data)
                if not self._filters:
                    return array
            for codec, spec in reversed(self._filters):
                array = codec.decode(array, spec)
        except (CallerError, MemoryError):
            raise
        except CorruptChunkError as error:
            if error.codec is not None:
                raise
            raise CorruptChunkError(
                f"{codec.name}: {error}", codec=codec.name, found=error.found, expected=error.expected
            ) from error
        except Exception as error:
            what = str(error) or type(error).__name__
            raise CorruptChunkError(f"{codec.name}: {what}", codec=codec.name) from error
        # Codecs of other people are held to what they should give.
        if type(array) is not np.ndarray or array.shape != self.chunk.shape or array.dtype != self.chunk.dtype:
            was = f"{type(array).__name__} {getattr(array, 'shape', '')} {getattr(array, 'dtype', '')}".rstrip()
            like = f"ndarray {self.chunk.shape} {self.chunk.dtype}"
            raise CorruptChunkError(
                f"{codec.name}: decoded to {was}, expected {like}",
                codec=codec.name,
                found=was,
                expected=like,
            )
        return array

    def quick(self) -> Callable[[Buffer], NDArray | None] | None:
        """What `decode` does to an ordinary object, at less cost; None for a chain that has no such way.

        For one thread. The function gives None for every object that is not ordinary, damaged ones among them: ask `decode`.
        What it gave may change with its next call.
        """
        if self._plain is None or self._filters or len(self._packers) > 1:
            return None
        shape, dtype, nbytes = self._plain
        unpack = self._packers[0].quick(nbytes) if self._packers and nbytes else _itself
        if unpack is None:
            return None

        def decode(data: Buffer) -> NDArray | None:
            try:
                plain = unpack(data)
            except Exception:
                return None
            return None if plain is None or len(plain) != nbytes else np.ndarray(shape, dtype, plain)

        return decode

    def stretch(self, data: Buffer, first: int, nbytes: int) -> Buffer | None:
        """The bytes `[first, first + nbytes)` of a chunk's memory, the rest of it not decoded; None: decode all of it.

        Only where `divisible`. It gives None for a damaged object too: ask `decode`, which says what is wrong with it.
        """
        if self._plain is None or len(data) > (self.max_encoded or 0):
            return None
        try:
            piece = self._packers[0].stretch(data, first, nbytes, self._plain[2])
        except Exception:
            return None
        return None if piece is None or len(piece) != nbytes else piece

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(codec.name for codec in self.codecs)})"


def build(specs: Sequence[CodecSpec], chunk: ChunkSpec, *, allow_pickle: bool = False) -> Pipeline:
    """The Pipeline of a chain for chunks like `chunk`; raises ArgumentError for a chain that cannot be.

    v2 chains name no array->bytes codec: then the chunk's plain memory goes between the filters that lead the chain and
    the rest. In v2 a filter that wants an array may also follow one that gave bytes; it sees them as elements of its
    own dtype.
    """
    codecs = [create_codec(spec, allow_pickle=allow_pickle) for spec in specs]
    codecs = [codec for codec in codecs if not isinstance(codec, NoneCodec)]
    filters: list[ArrayArrayCodec] = []
    serializer: ArrayBytesCodec | None = None
    packers: list[BytesBytesCodec] = []
    for codec in codecs:
        if isinstance(codec, ArrayBytesCodec):
            if serializer is not None or packers:
                before = packers[-1] if packers else serializer
                raise ArgumentError(
                    f"codec {codec.name!r} takes an array and cannot follow {before.name!r}, which gives bytes",  # type: ignore[union-attr]  # one of the two is set
                    codec=codec.name,
                )
            serializer = codec
        elif isinstance(codec, BytesBytesCodec):
            packers.append(codec)
        elif serializer is None and not packers:
            filters.append(codec)  # type: ignore[arg-type]  # the third kind
        elif isinstance(codec, NumcodecsFilter):
            packers.append(BytesFilter(codec))
        else:
            raise ArgumentError(f"codec {codec.name!r} takes an array and cannot follow one that gives bytes", codec=codec.name)
    return Pipeline(filters, serializer or BytesCodec(), packers, chunk)


def _itself(data: Buffer) -> Buffer:
    return data


def _stream(size: int | None) -> ChunkSpec:
    """What a codec that follows another one is bound to: bytes, of which the number may not be known."""
    return ChunkSpec((size or 0,), _U1)
