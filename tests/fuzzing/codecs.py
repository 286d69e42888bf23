"""Encoded chunks of every codec, and of chains of them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import google_crc32c
import numcodecs
import numpy as np

import ndzarr
from ndzarr._typing import CodecSpec, NDArray
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.errors import CorruptChunkError
from ndzarr.metadata import ArrayMeta
from tests.fuzzing.chains import CHAINS, LITTLE, NUMBERS, drawn
from tests.fuzzing.guarded import Guarded
from tests.fuzzing.subjects import CHANGED, UNCHANGED, OutcomeError, Subject, refused, same

KEY = "a/b/0"


def _holds(check: Callable[[bytes], Any]) -> Callable[[bytes], bool]:
    """Whether a reference takes the object for undamaged."""

    def holds(data: bytes) -> bool:
        try:
            return check(data) is not False
        except Exception:
            return False

    return holds


#: Chains with a checksum over all of the object, or all of what it decodes to, and whether the reference implementation of that
#: checksum finds it right: where it does, the checksum cannot tell (Fletcher's sums take 0 and 0xFFFF for the same).
CHECKSUMS: dict[str, Callable[[bytes], bool]] = {
    "crc32": _holds(lambda d: zlib.crc32(d[4:]) == int.from_bytes(d[:4], "little")),
    "adler32": _holds(lambda d: zlib.adler32(d[4:]) == int.from_bytes(d[:4], "little")),
    "crc32c": _holds(lambda d: google_crc32c.value(d[:-4]) == int.from_bytes(d[-4:], "little")),
    "fletcher32": _holds(numcodecs.Fletcher32().decode),
    "jenkins_lookup3": _holds(numcodecs.JenkinsLookup3().decode),
    "zlib": _holds(zlib.decompress),
    "gzip": _holds(gzip.decompress),
    "bz2": _holds(bz2.decompress),
    "bzip2": _holds(lambda d: bz2.decompress(d[8:])),
    "lzma": _holds(lzma.decompress),
    # A bit of the header says whether there is one.
    "zstd checksum": lambda d: len(d) < 5 or not d[4] & 4,
}
#: Tables that libraries allocate before they see that the object is shorter, and never touch: no memory is taken. pcodec's is
#: of up to 2**25 numbers, xz's dictionary held to 2**29 bytes.
_UNUSED = {"pcodec": (1 << 25) * 8, "lzma": 1 << 29}
#: Anywhere in a chain these two find what is changed.
_STRONG = {"crc32", "crc32c", "jenkins_lookup3"}


class ChunkSubject(Subject):
    """One chain. Read through the pipeline, guarded memory on both sides; through an array; through parts of it."""

    def __init__(self, name: str, chain: list[Any], array: NDArray, *, row: str | None = None, share: float = 1.0) -> None:
        self.name = name
        self.row = row or name
        self.share = share
        self.array = array
        specs = [CodecSpec(*step) for step in chain]
        self.pipeline = build(specs, ChunkSpec(array.shape, array.dtype))
        self.chunk_nbytes = 4 << 20 if array.dtype.kind in "OT" or self.pipeline.max_encoded is None else array.nbytes
        self.unused_nbytes = sum(_UNUSED.get(codec.name, 0) for codec in self.pipeline.codecs)
        meta = ArrayMeta(array.shape, array.dtype, tuple(array.shape), tuple(specs))
        self.z = ndzarr.ZArray(ndzarr.MemoryStore(), "a/b", meta, writable=True)
        key = ".".join("0" * array.ndim)
        self.key = f"a/b/{key}"
        assert self.z.store is not None
        others = [array, array[::-1], np.roll(array, 7), np.resize(array.reshape(-1)[:1], array.shape)]
        self.goods = [bytes(self.pipeline.encode(np.ascontiguousarray(other))) for other in others]
        self.wanted = [self._wanted(good, other) for good, other in zip(self.goods, others, strict=True)]
        last = [name for name, _ in chain]
        self.holds = CHECKSUMS.get(name)
        if self.holds is None and len(last) > 1 and last[-1] in CHECKSUMS and last[-1] in _STRONG:
            self.holds = CHECKSUMS[last[-1]]
        elif self.holds is None and "conditional" not in last and len(last) > 1 and _STRONG & set(last):
            self.holds = lambda data: False
        plain = array.dtype.kind not in "OT"
        self.ways = 4 if plain else 3
        self._source = Guarded(2 * max(map(len, self.goods)) + 8192)
        self._target = Guarded(array.nbytes) if plain else None
        # A point, and a few elements.
        few = tuple(slice(0, 3) for _ in array.shape)
        # An element that is an array or a list itself is no array to compare.
        self._parts: list[Any] = [tuple(m // 2 for m in array.shape) if plain else few, few]

    def _wanted(self, good: bytes, other: NDArray) -> NDArray:
        try:
            return self.pipeline.decode(good).copy()
        except CorruptChunkError:
            assert self.name == "packbits after crc32"  # a chain that only damage makes sense of
            return other

    def judge(self, data: bytes, way: int) -> str:
        index: Any = ...
        try:
            if way in (0, 3):
                source: Any = self._source.holding(data) if len(data) <= self._source.nbytes else data
                into = self._target.array(self.array) if way == 3 and self._target is not None else None
                found = self.pipeline.decode(source, into)
            else:
                self.z.store.set(self.key, data)
                if way == 1:
                    found = self.z[...]
                else:
                    index = self._parts[len(data) % 2]
                    found = np.asarray(self.z[index], self.array.dtype)
        except Exception as error:
            if way in (0, 3):
                return refused(error, CorruptChunkError, names=lambda e: bool(e.codec) and e.codec in str(e))
            return refused(error, CorruptChunkError, names=lambda e: e.key == self.key and self.key in str(e) and bool(e.codec))
        wanted = self.wanted[0][index]
        if found.dtype != self.array.dtype or found.shape != np.shape(wanted):
            raise OutcomeError("shape", f"{found.shape} {found.dtype}, expected {np.shape(wanted)} {self.array.dtype}")
        if same(found, np.asarray(wanted, self.array.dtype)):
            return UNCHANGED
        if data in self.goods:
            if not same(found, np.asarray(self.wanted[self.goods.index(data)][index], self.array.dtype)):
                raise OutcomeError("garbage", "a good object is decoded to other values")
        elif self.holds is not None and not self.holds(data) and not self._spliced(found, index):
            raise OutcomeError("garbage", f"wrong values under a checksum, {len(data)} bytes")
        return CHANGED

    def _spliced(self, found: NDArray, index: Any) -> bool:
        """Whether the values are those of another good object: whole streams were exchanged."""
        return any(same(found, np.asarray(wanted[index], self.array.dtype)) for wanted in self.wanted)


def subjects() -> list[Subject]:
    found: list[Subject] = [ChunkSubject(name, *CHAINS[name]) for name in CHAINS if not name.startswith("blosc ")]
    blosc = [name for name in CHAINS if name.startswith("blosc ")]
    found += [ChunkSubject(name, *CHAINS[name], row=" ".join(name.split()[:2]), share=0.35) for name in blosc]
    # Chunks so large that other ways of decoding are taken.
    wide = np.resize(NUMBERS, 40_000)
    for name in ("lz4", "zstd", "zlib", "gzip"):
        found.append(ChunkSubject(f"{name}, 160 kB", [LITTLE, (name, {})], wide, row="large chunks", share=0.1))
    for cname in ("lz4", "zstd", "blosclz", "zlib"):
        chain = [LITTLE, ("blosc", {"cname": cname, "shuffle": 1, "blocksize": 8192})]
        found.append(ChunkSubject(f"blosc {cname}, 160 kB", chain, wide, row="large chunks", share=0.25))
    chains = drawn(120)
    found += [ChunkSubject(name, *chains[name], row="chains of codecs", share=0.12) for name in chains]
    return found
