"""Which bytes of a shard to ask for, and whether they belong together: everything about single inner chunks but the asking.

`fetch` is a generator: it yields byte ranges and is sent what lies there, with the tag of the version of the object that it was
read from. So nothing here knows a store, and a test can play one. The engine answers it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.codecs.sharding_indexed import MISSING, Index, ShardingCodec
from ndzarr.errors import CorruptChunkError

#: Chunks that are no further apart than this are read as one range: below it one more request costs more than the bytes.
GAP = 16384
#: How often a shard may be rewritten under a read before the whole of it is read at once.
_TRIES = 3
#: The most bytes of indices that one array keeps.
_KEPT_NBYTES = 32 << 20

#: What lies in one range and the tag of the version it belongs to; None when there is no object. The tag is None where the
#: store has none, and then the asker sees to it that nobody writes in between.
Answer: TypeAlias = tuple[Buffer, Hashable] | None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Inner chunks of one version of a shard: its index and its tag, and either the whole object or some encoded chunks.

    chunks: by position, those that are missing left out; empty where `data`, the whole object, is there.
    """

    codec: ShardingCodec
    index: Index
    tag: Hashable
    data: Buffer | None
    chunks: dict[int, Buffer]

    def get(self, position: int) -> Buffer | None:
        """The bytes of one chunk, None when it is missing. Raises CorruptChunkError."""
        if self.data is None:
            return self.chunks.get(position)
        place = self.codec.check_entry(self.index, position, len(self.data))
        return None if place is None else memoryview(self.data)[place[0] : place[0] + place[1]]

    def getter(self) -> Callable[[int], Buffer | None]:
        """`get`, for many positions that are looked up once each; entries were checked when the whole object came."""
        if self.data is None:
            return self.chunks.get
        view = memoryview(self.data)
        places = self.index.tolist()

        def get(position: int) -> Buffer | None:
            offset, length = places[position]
            return None if offset == MISSING else view[offset : offset + length]

        return get


def index_range(codec: ShardingCodec) -> ByteRange:
    """Where the index of a shard lies in it."""
    return ByteRange(0, codec.index_nbytes) if codec.at_start else ByteRange(-codec.index_nbytes)


def fetch(
    codec: ShardingCodec, positions: Sequence[int], known: tuple[Hashable, Index] | None, most: int
) -> Generator[list[ByteRange], list[Answer], Found | None]:
    """Get the inner chunks at `positions` of one shard; None when there is no such object.

    known: an index read before and its tag; it is used only if what it leads to has that tag too. most: shards with no more
    bytes than this are read whole when most of their chunks are wanted. Raises CorruptChunkError.
    """
    if 2 * len(positions) > _count(codec):
        (answer,) = yield [ByteRange(0, most + 1)]
        if answer is None:
            return None
        data, tag = answer
        if len(data) <= most:
            return Found(codec, codec.split(data), tag, data, {})
        known = None
    where = index_range(codec)
    for _ in range(_TRIES):
        fresh = known is None
        if known is None:
            (answer,) = yield [where]
            if answer is None:
                return None
            known = answer[1], codec.read_index(answer[0])
        tag, index = known
        places = {}
        for position in positions:
            place = codec.check_entry(index, position, None)
            if place is not None:
                places[position] = place
        if not places and fresh:
            return Found(codec, index, tag, None, {})
        ranges, members = _coalesce(places)
        # An old index that knows of none of the chunks is not asked: it may be out of date, and nothing would show it.
        answers = (yield ranges) if ranges else [None]
        if all(answer is not None and answer[1] == tag for answer in answers):
            return Found(codec, index, tag, None, _cut(codec, places, ranges, members, answers))
        known = None
    (answer,) = yield [ByteRange(0)]
    return None if answer is None else Found(codec, codec.split(answer[0]), answer[1], answer[0], {})


def _count(codec: ShardingCodec) -> int:
    """How many inner chunks a shard has."""
    count = 1
    for n in codec.counts:
        count *= n
    return count


def _coalesce(places: dict[int, tuple[int, int]]) -> tuple[list[ByteRange], list[list[int]]]:
    """Ranges that cover all places, near ones together, and the positions that lie in each. Places may overlap."""
    ranges: list[ByteRange] = []
    members: list[list[int]] = []
    for position, (offset, length) in sorted(places.items(), key=lambda item: item[1]):
        if ranges and offset - (ranges[-1].stop or 0) <= GAP:
            ranges[-1] = ByteRange(ranges[-1].start, max(ranges[-1].stop or 0, offset + length))
            members[-1].append(position)
        else:
            ranges.append(ByteRange(offset, offset + length))
            members.append([position])
    return ranges, members


def _cut(
    codec: ShardingCodec,
    places: dict[int, tuple[int, int]],
    ranges: list[ByteRange],
    members: list[list[int]],
    answers: Sequence[Answer],
) -> dict[int, Buffer]:
    chunks: dict[int, Buffer] = {}
    for within, held, answer in zip(ranges, members, answers, strict=True):
        view = memoryview(answer[0] if answer else b"")
        for position in held:
            offset, length = places[position]
            chunk = view[offset - within.start : offset - within.start + length]
            if len(chunk) != length:
                raise CorruptChunkError(
                    f"sharding_indexed: the index says that inner chunk {codec.coords(position)} has {length} bytes at offset "
                    f"{offset}, but the object ends before; it is truncated, or its index is damaged",
                    codec=codec.name,
                    found=len(chunk),
                    expected=length,
                )
            chunks[position] = chunk
    return chunks


class Indices:
    """Indices of the shards read last, each with the tag of its version. Any number of threads may use it."""

    def __init__(self) -> None:
        self._held: OrderedDict[Key, tuple[Hashable, Index]] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def copy(self) -> Indices:
        """The same indices, to be kept and forgotten apart."""
        other = Indices()
        with self._lock:
            other._held, other._nbytes = self._held.copy(), self._nbytes
        return other

    def get(self, key: Key) -> tuple[Hashable, Index] | None:
        """The tag and the index kept for a shard."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def keep(self, key: Key, tag: Hashable, index: Index) -> None:
        """Keep an index, and forget those that were not used for longest."""
        with self._lock:
            held = self._held.get(key)
            if held is not None and held[1] is index:
                return  # the one that was got from here
            self._forget(key)
            # A copy: a view would keep the whole shard in memory.
            self._held[key] = tag, index.copy()
            self._nbytes += index.nbytes
            while self._nbytes > _KEPT_NBYTES and self._held:
                self._forget(next(iter(self._held)))

    def forget(self, key: Key) -> None:
        """Drop what is kept for a shard."""
        with self._lock:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._nbytes -= found[1].nbytes
