"""Chunk objects looked into: whether each can be decoded, and what is wrong with one that cannot.

Memory is bounded as it is for reads: by chunks, or by `_AT_ONCE` bytes of a shard, whatever the objects claim to hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Coords, Key
from ndzarr.chunks import Scratch
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.codecs.sharding_indexed import MISSING, Index, ShardingCodec
from ndzarr.crew import share
from ndzarr.engine.objects import Engine
from ndzarr.errors import CorruptChunkError, NdzarrError, StoreError
from ndzarr.layout import Cell, Shard
from ndzarr.shards import GAP

#: truncated: it ends too early. size: it has another size than every correct object. checksum: a checksum does not fit. index:
#: a shard's index is missing or damaged. undecodable: any other damage. unreadable: the store could not give it.
ProblemKind: TypeAlias = Literal["truncated", "size", "checksum", "index", "undecodable", "unreadable"]

#: So many bytes of a shard are held at once.
_AT_ONCE = 32 << 20
#: How often an object that a writer changes meanwhile is looked at again.
_TRIES = 3

_of_checksum = re.compile(r"crc|adler|fletcher|checksum", re.IGNORECASE).search
_of_end = re.compile(
    r"truncat|ends? (too early|before|after)|end[- ]of[- ](stream|file)|found only|incomplete|too (short|small)|unexpected end",
    re.IGNORECASE,
).search

_claim = re.compile(r"the header says ([0-9]{1,19}) bytes, the object has ([0-9]{1,19})").search


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one object, or with one chunk in it: `position` is its row in the index of a shard."""

    kind: ProblemKind
    message: str
    position: int | None = None


#: Coords of an object, its size in bytes (None where it is gone), and what is wrong with it.
Told: TypeAlias = Callable[[Coords, int | None, Sequence[Problem]], None]


def examine(engine: Engine, coords: Iterator[Coords], told: Told, *, decode: bool = True) -> None:
    """Look into the objects at `coords`, on threads where that pays; `told` is called for each, from any of them.

    decode: decode every chunk; else only sizes are looked at, and the indices of shards.
    """
    share(coords, _Examiner(engine, told, decode), engine.chunk_ns() if decode else 0.0, config.current().workers)


@dataclass(slots=True)
class _Examiner:
    engine: Engine
    told: Told
    decode: bool

    def __call__(self, coords: Iterator[Coords]) -> None:
        scratch = Scratch()
        engine = self.engine
        while run := list(islice(coords, self._together())):
            for spot, data in zip(run, self._fetched(run), strict=True):
                nbytes, problems = _one(engine, spot, self.decode, scratch, data)
                if problems:  # perhaps of two versions; a store without tags gives no other way to know
                    nbytes, problems = _one(engine, spot, self.decode, scratch, None)
                self.told(spot, nbytes, problems)

    def _together(self) -> int:
        """How many objects are asked for in one call of the store."""
        cell = self.engine.layout.uniform
        if not (self.engine.store.batched and self.decode) or cell is None or cell.shard is not None:
            return 1
        return max(1, min(64, config.current().batch_bytes // (self.engine.most(cell) + 1)))

    def _fetched(self, run: Sequence[Coords]) -> Sequence[Buffer | None]:
        if len(run) > 1:
            engine = self.engine
            cell = engine.layout.cell(run[0])
            try:
                return engine.store.get_many([(engine.layout.key(spot), engine.reach(cell, None)) for spot in run])
            except StoreError:
                pass  # one of them: which, the single requests tell
        return [None] * len(run)


def _one(
    engine: Engine, coords: Coords, decode: bool, scratch: Scratch, data: Buffer | None
) -> tuple[int | None, list[Problem]]:
    """The size of one object, None where there is none, and what is wrong; `data` may be what `reach` gives of it."""
    cell = engine.layout.cell(coords)
    key = engine.layout.key(coords)
    try:
        if cell.shard is not None:
            return _shard(engine, key, coords, cell, cell.shard, decode, scratch)
        if not decode:
            nbytes = engine.store.size(key)
            problem = None if nbytes is None else _of_size(nbytes, cell.pipeline, engine.most(cell))
            return nbytes, [] if problem is None else [problem]
        if data is None:
            data = engine.store.get(key, engine.reach(cell, None))
        if data is None:
            return None, []
        if len(data) > engine.most(cell):  # of which only the beginning was asked for
            nbytes = engine.store.size(key)
            problem = None if nbytes is None else _of_size(nbytes, cell.pipeline, engine.most(cell))
            return nbytes, [] if problem is None else [problem]
        problem = _decoded(engine, cell.pipeline, data, coords, None, scratch)
        return len(data), [] if problem is None else [problem]
    except StoreError as error:
        return 0, [Problem("checksum" if _of_checksum(error.message) else "unreadable", error.message)]


def _of_size(nbytes: int, pipeline: Pipeline, most: int) -> Problem | None:
    """What the size of an object alone tells."""
    if not nbytes and pipeline.chunk.nbytes:
        return Problem("truncated", "the object is empty")
    if pipeline.encoded_size is not None and nbytes != pipeline.encoded_size:
        return Problem("size", f"the object has {nbytes} bytes, expected {pipeline.encoded_size}")
    if nbytes > most:
        return Problem("size", f"the object has {nbytes} bytes, expected at most {most}")
    return None


def _decoded(
    engine: Engine, pipeline: Pipeline, data: Buffer, coords: Coords, inner: Coords | None, scratch: Scratch
) -> Problem | None:
    """What is wrong with one encoded chunk."""
    try:
        out = scratch.array(pipeline.chunk) if pipeline.fills else None
        engine.chunks.decode(pipeline, data, out, coords, inner)
    except CorruptChunkError as error:
        by_size = _of_size(len(data), pipeline, engine.chunks.most(pipeline))
        return by_size or Problem(_kind(error), _bare(error))
    except (NdzarrError, MemoryError) as error:  # it would need more memory than there is
        return Problem("undecodable", str(error) or "decoding it takes more memory than there is")
    return None


def _kind(error: CorruptChunkError) -> ProblemKind:
    said = _bare(error)
    if error.codec == ShardingCodec.name and "index" in said:
        return "index"
    if _of_checksum(said):
        return "checksum"
    claim = _claim(said)
    return "truncated" if _of_end(said) or (claim and int(claim[1]) > int(claim[2])) else "undecodable"


def _bare(error: CorruptChunkError) -> str:
    """The message without the name of the chunk, which whoever shows it knows."""
    cause = error.__cause__
    return cause.message if isinstance(cause, CorruptChunkError) and error.key is not None else error.message


# ---- shards ---------------------------------------------------------------------------------------------------------


def _shard(
    engine: Engine, key: Key, coords: Coords, cell: Cell, shard: Shard, decode: bool, scratch: Scratch
) -> tuple[int | None, list[Problem]]:
    for _ in range(_TRIES):
        nbytes = engine.store.size(key)
        answer = engine.index_bytes(coords, shard)
        if nbytes is None or answer is None:
            return None, []
        try:
            index = shard.codec.read_index(answer[0])
        except CorruptChunkError as error:
            return nbytes, [Problem("index", _bare(error))]
        problems: list[Problem] = []
        places = _places(shard.codec, index, nbytes, problems)
        if not decode:
            return nbytes, problems
        if _members(engine, key, coords, shard, places, answer[1], scratch, problems):
            return nbytes, problems
    return nbytes, []  # it is being written all the time


def _places(codec: ShardingCodec, index: Index, nbytes: int, problems: list[Problem]) -> list[tuple[int, int, int]]:
    """(offset, length, position) of the chunks that there are, in the order in which they lie."""
    found = []
    for position in (index != MISSING).any(axis=1).nonzero()[0].tolist():
        try:
            place = codec.check_entry(index, position, nbytes)
            if place is not None:
                found.append((*place, position))
        except CorruptChunkError as error:
            past = sum(index[position].tolist()) > nbytes
            what = f"inner chunk {codec.coords(position)}: {error}"
            problems.append(Problem("truncated" if past and not codec.at_start else "index", what, position))
    return sorted(found)


def _members(
    engine: Engine,
    key: Key,
    coords: Coords,
    shard: Shard,
    places: Sequence[tuple[int, int, int]],
    tag: object,
    scratch: Scratch,
    problems: list[Problem],
) -> bool:
    """Decode the chunks of one shard; False where it was replaced meanwhile."""
    at = 0
    while at < len(places):
        start = end = places[at][0]
        stop = at
        while stop < len(places):
            offset, length, _ = places[stop]
            if stop > at and (offset - end > GAP or max(end, offset + length) - start > _AT_ONCE):
                break
            end = max(end, offset + length)
            stop += 1
        (answer,) = engine.ask_many([(key, ByteRange(start, end))])
        if answer is None or answer[1] != tag:
            return False
        view = memoryview(answer[0])
        for offset, length, position in places[at:stop]:
            inner = shard.codec.coords(position)
            spot = tuple(inner[shard.order.index(axis)] for axis in range(len(inner)))
            problem = _decoded(engine, shard.pipeline, view[offset - start : offset - start + length], coords, spot, scratch)
            if problem is not None:
                problems.append(Problem(problem.kind, f"inner chunk {spot}: {problem.message}", position))
        at = stop
    return True


# ---- repair ---------------------------------------------------------------------------------------------------------


def set_aside(engine: Engine, coords: Coords) -> str | None:
    """Move an object that cannot be decoded to where nobody takes it for data; where that is, None where it is whole after all.

    Of a shard of which only some chunks cannot be decoded the others are kept, as they are encoded: a copy of all of it is set
    aside. What is gone reads as chunks that were never written. Under the lock that writers of the object take.
    """
    key = engine.layout.key(coords)
    cell = engine.layout.cell(coords)
    with engine.store.lock(key):
        _, problems = _one(engine, coords, True, Scratch(), None)
        if not problems:
            return None
        kept = None
        if cell.shard is not None and all(problem.position is not None for problem in problems):
            positions = [problem.position for problem in problems if problem.position is not None]
            kept = _without(engine, key, cell.shard, positions)
        place = engine.store.set_aside(key, engine.path, keep=kept is not None)
        if kept is not None:
            engine.store.set(key, kept)
        engine.forget([key])
        return place


def _without(engine: Engine, key: Key, shard: Shard, positions: Sequence[int]) -> Buffer | None:
    """The bytes of a shard without some of its chunks; None where none is left."""
    most = config.current().max_object
    data = engine.store.get(key, ByteRange(0, most + 1))
    if data is None or len(data) > most:
        raise StoreError(
            f"cannot repair {key!r} in {engine.store.url}: it is larger than options(max_object={most}) allows to read",
            store=engine.store.url,
            key=key,
        )
    codec = shard.codec
    view = memoryview(data)
    index = codec.read_index(view[: codec.index_nbytes] if codec.at_start else view[-codec.index_nbytes :]).copy()
    index[list(positions)] = MISSING
    return codec.join(data, index, {})
