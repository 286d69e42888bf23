"""The `blosc` codec: blosc 1 containers (https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numcodecs import blosc

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec, ChunkSpec
from ndzarr.codecs.blosc_snappy import decompress_snappy
from ndzarr.codecs.buffers import flat, from_bytes
from ndzarr.codecs.configuration import Fields
from ndzarr.errors import ArgumentError, CorruptChunkError

# The engine runs many chunks at once; blosc's own threads would share one global state behind a lock.
blosc.use_threads = False

#: What blosc 1 can hold: sizes in its header are signed 32-bit, and 16 bytes are the header.
MAX_NBYTES = (1 << 31) - 1 - 16
#: Under so many decoded bytes there is one block, or no gain.
_DIVISIBLE_FROM = 1 << 16
_HEADER = struct.Struct("<BBBBIII")
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
_WORDS = {number: word for word, number in _SHUFFLES.items()}
_CNAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
_MEMCPYED, _RESERVED = 0x02, 0x08
_SNAPPY = 2


@dataclass(frozen=True, slots=True)
class BloscCodec(BytesBytesCodec):
    """`shuffle`: 0 none, 1 bytes, 2 bits, -1 bits for elements of one byte and else bytes. `blocksize`: 0 is automatic.

    `typesize`: bytes in an element; None takes it from the array. `words`: the shuffle is written as a word, as v3
    does. `element`: the itemsize of the dtype that the codec was bound to.
    """

    cname: str = "lz4"
    clevel: int = 5
    shuffle: int = 1
    blocksize: int = 0
    typesize: int | None = None
    words: bool = False
    element: int = field(default=1, compare=False, repr=False)

    name = "blosc"
    description = "blosc 1: shuffle, then lz4, lz4hc, blosclz, zlib or zstd; reads snappy"
    decode_ns_per_byte = 0.25
    decode_ns = 4000.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> BloscCodec:
        fields = Fields(cls.name, configuration)
        shuffle = fields.take("shuffle", 1)
        words = isinstance(shuffle, str)
        if words and shuffle in _SHUFFLES:
            shuffle = _SHUFFLES[shuffle]
        elif type(shuffle) is not int or not -1 <= shuffle <= 2:
            raise fields.bad("shuffle", shuffle, "-1, 0, 1, 2, 'noshuffle', 'shuffle' or 'bitshuffle'")
        codec = cls(
            cname=fields.text("cname", "lz4", _CNAMES),
            clevel=fields.integer("clevel", 5, 0, 9),
            shuffle=shuffle,
            blocksize=fields.integer("blocksize", 0, 0, MAX_NBYTES),
            typesize=fields.integer("typesize", None, 1, (1 << 31) - 1),
            words=words,
        )
        fields.stray_level()
        fields.done()
        return codec

    def configuration(self) -> dict[str, Json]:
        shuffle: Json = _WORDS.get(self.shuffle, self.shuffle) if self.words else self.shuffle
        found = {"cname": self.cname, "clevel": self.clevel, "shuffle": shuffle, "blocksize": self.blocksize}
        if self.typesize is not None:
            found["typesize"] = self.typesize
        return found

    def in_numbers(self) -> BloscCodec:
        """The same codec, its shuffle written as a number."""
        return replace(self, words=False)

    def bind(self, spec: ChunkSpec) -> BloscCodec:
        if spec.nbytes > MAX_NBYTES:
            raise ArgumentError(
                f"codec 'blosc' holds at most {MAX_NBYTES} bytes, a chunk has {spec.nbytes}; pass smaller chunks or "
                "another compressor",
                codec=self.name,
                field="chunks",
                found=spec.nbytes,
                expected=MAX_NBYTES,
            )
        return replace(self, element=spec.dtype.itemsize or 1)

    def max_encoded_size(self, nbytes: int) -> int:
        # Header and verbatim bytes is what blosc falls back to; blocks of their own streams may take a little more.
        return nbytes + nbytes // 64 + 65536

    def encode(self, data: Buffer) -> Buffer:
        source = from_bytes(flat(data))
        if source.nbytes > MAX_NBYTES:
            raise ArgumentError(f"codec 'blosc' holds at most {MAX_NBYTES} bytes, found {source.nbytes}", codec=self.name)
        if self.cname == "snappy":
            raise ArgumentError("codec 'blosc': no library here writes snappy any more; pass cname='lz4'", field="cname")
        size = self.typesize or self.element
        if 1 < size <= 255 and source.nbytes % size == 0:
            # An element of that many bytes is how numcodecs before 0.16 is told the typesize. Over 255 blosc takes 1.
            source = source.view(_element(size))
        shuffle = self.shuffle if self.shuffle >= 0 else 2 if size == 1 else 1
        return blosc.compress(source, self.cname.encode(), self.clevel, shuffle, self.blocksize)

    def fills(self, size: int) -> bool:
        return True

    def quick(self, size: int) -> Callable[[Buffer], Buffer | None] | None:
        # Safe: `_check` knows that the header says `size` bytes, and that the object is as long as the header says. Large
        # chunks go to one buffer, whose pages need not be made anew; to small ones a fresh object is cheaper.
        out = np.empty(size, np.uint8) if size >= _DIVISIBLE_FROM else None

        def decode(data: Buffer) -> Buffer | None:
            flags, _ = _check(data, size, size)
            if flags & _MEMCPYED:
                return memoryview(data)[16:]
            return None if flags >> 5 == _SNAPPY else blosc.decompress(data, out)

        return decode

    def divisible(self, size: int) -> bool:
        return size >= _DIVISIBLE_FROM

    def stretch(self, data: Buffer, first: int, nbytes: int, size: int) -> Buffer | None:
        flags, _ = _check(data, size, size)
        view = memoryview(data)
        if flags & _MEMCPYED:
            return view[16 + first : 16 + first + nbytes]
        block = int.from_bytes(view[8:12], "little")
        count = -(-size // block)
        start, stop = first // block, -(-(first + nbytes) // block)
        if stop == count and size % block and start:
            start = min(start, stop - 2)  # a short block by itself would be decoded as a whole one
        if flags >> 5 == _SNAPPY or 4 * (stop - start) > 3 * count:
            return None
        # A container of those blocks alone. Safe: each begins where the header says, and ends before the next one in the
        # object begins; what goes to c-blosc is held to these bytes as a whole container is to its own.
        begins = np.frombuffer(view, "<i4", count, 16)
        ends = np.append(np.sort(begins), len(view))
        ends = ends[np.searchsorted(ends, begins[start:stop], "right")]
        if begins.min() < 16 + 4 * count or begins.max() >= len(view):
            return None
        pieces = [view[a:b] for a, b in zip(begins[start:stop].tolist(), ends.tolist(), strict=True)]
        at = 16 + 4 * len(pieces)
        places = []
        for piece in pieces:
            places.append(at)
            at += len(piece)
        version, inner, _, typesize, *_ = _HEADER.unpack_from(view)
        held = min(size, stop * block) - start * block
        header = _HEADER.pack(version, inner, flags, typesize, held, block, at)
        part = blosc.decompress(b"".join([header, np.array(places, "<i4").tobytes(), *pieces]))
        return memoryview(part)[first - start * block : first - start * block + nbytes] if len(part) == held else None

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        flags, nbytes = _check(data, size, limit)
        if nbytes == 0:
            return b""
        if flags & _MEMCPYED:
            return flat(data)[16:]
        if flags >> 5 == _SNAPPY:
            return decompress_snappy(data, np.empty(nbytes, np.uint8) if out is None else out)
        return blosc.decompress(data, np.empty(nbytes, np.uint8) if out is None else out)


def _check(data: Buffer, size: int | None, limit: int) -> tuple[int, int]:
    """The flags and the decoded bytes that a header tells of, when all of it is as it should be; else CorruptChunkError."""
    # c-blosc is told where the input starts, not where it ends: it believes the header. With cbytes equal to the length and
    # nbytes equal to the room there is for it, it checks the rest by itself (zarr-developers/numcodecs#228 is what happens
    # without).
    if len(data) < 16:
        raise CorruptChunkError(f"found {len(data)} bytes, a blosc header has 16", found=len(data), expected=16)
    version, _, flags, typesize, nbytes, blocksize, cbytes = _HEADER.unpack_from(data)
    if version != 2:
        raise CorruptChunkError(f"blosc format is {version}, expected 2", found=version, expected=2)
    if cbytes != len(data):
        raise CorruptChunkError(f"the header says {cbytes} bytes, the object has {len(data)}", found=len(data), expected=cbytes)
    if nbytes > limit or (size is not None and nbytes != size):
        expected = limit if size is None else size
        raise CorruptChunkError(f"the header says {nbytes} decoded bytes, expected {expected}", found=nbytes, expected=expected)
    if flags & _RESERVED or typesize == 0:
        raise CorruptChunkError(f"no blosc header: flags {flags:#x}, typesize {typesize}", found=flags)
    if nbytes == 0:
        if cbytes != 16:
            raise CorruptChunkError("the header says 0 decoded bytes, but data follows", found=cbytes, expected=16)
        return flags, nbytes
    if not 0 < blocksize <= nbytes:
        raise CorruptChunkError(f"blocks of {blocksize} bytes in {nbytes}", found=blocksize, expected=nbytes)
    if flags & _MEMCPYED:
        if cbytes != nbytes + 16:
            raise CorruptChunkError(f"{nbytes} bytes stored verbatim take {cbytes}", found=cbytes, expected=nbytes + 16)
    elif 16 + 4 * -(-nbytes // blocksize) > cbytes:
        raise CorruptChunkError(f"{cbytes} bytes cannot hold blocks of {blocksize} bytes", found=blocksize)
    return flags, nbytes


_elements: dict[int, np.dtype[Any]] = {}


def _element(size: int) -> np.dtype[Any]:
    try:
        return _elements[size]
    except KeyError:
        return _elements.setdefault(size, np.dtype(f"V{size}"))
