"""Reads and writes of stores that take many requests at once, and of those that many processes write to without locks.

Parts go by *runs*, as many as `options(batch_bytes)` has room for. A run of a read is one call of the store, and its chunks are
decoded while others are on their way; shards take a second call, for what the indices lead to. A run of a write is one call to
read what is not overwritten whole, and one to write.

Where the store is `conditional`, what was read is written only if it is still what it was, and else done over, so that of two
processes that change one chunk neither loses (promise P4). Elsewhere the locks of a run are held, in one order for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field as field_, replace
from typing import TYPE_CHECKING, Any

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Key, NDArray
from ndzarr.chunkcache import CachedChunks
from ndzarr.chunks import Result, Scratch, ShardWriter, decode_ns, stretch_of
from ndzarr.crew import Ledger, share
from ndzarr.engine.sharded import cut_shard, join_shard, place_shard
from ndzarr.fields import Field, field_of
from ndzarr.layout import Cell, Shard
from ndzarr.plan import Part, plan, within
from ndzarr.scatter import Stretch, lift, put
from ndzarr.shards import Answer, Found
from ndzarr.stores.attempts import attempts

if TYPE_CHECKING:
    from ndzarr.engine.objects import Engine

#: The most parts of a run, however small.
_MOST = 4096


def read_batches(engine: Engine, parts: Iterator[Part], result: Result, part_ns: float) -> None:
    """Read all parts into `result`, a run at a time."""
    cached = engine.cached  # by which chunks are read whole

    def nbytes(part: Part) -> int:
        cell = engine.cell(part)
        wanted = None if cached is not None else stretch_of(part, cell, result.field)
        return cell.chunk.nbytes if wanted is None else wanted[1]

    for run in _runs(parts, nbytes, result.options):
        if cached is not None:
            _read_cached(engine, cached, run, result, part_ns)
        else:
            _read_run(engine, run, result, part_ns)


def _runs(parts: Iterable[Part], weigh: Callable[[Part], int], options: config.Options) -> Iterator[list[Part]]:
    """The parts, as many together as fit into `options(batch_bytes)` by what `weigh` says that each takes."""
    run: list[Part] = []
    room = options.batch_bytes
    for part in parts:
        nbytes = weigh(part)
        if run and (nbytes > room or len(run) == _MOST):
            yield run
            run, room = [], options.batch_bytes
        run.append(part)
        room -= nbytes
    if run:
        yield run


def _read_run(engine: Engine, run: list[Part], result: Result, part_ns: float) -> None:
    plain: list[tuple[Part, Cell, Stretch | None]] = []
    requests: list[tuple[Key, ByteRange | None]] = []
    sharded: list[tuple[Part, Cell, Shard]] = []
    for part in run:
        cell = engine.cell(part)
        if cell.shard is not None:
            sharded.append((part, cell, cell.shard))
        else:
            wanted = stretch_of(part, cell, result.field)
            plain.append((part, cell, wanted))
            requests.append((engine.layout.key(part.coords), engine.reach(cell, wanted)))
    if sharded:
        cuts = [cut_shard(part, shard, result) for part, _, shard in sharded]
        wants = [(part, cell, shard, cut.positions) for (part, cell, shard), cut in zip(sharded, cuts, strict=True)]
        keys = [engine.layout.key(part.coords) for part, _, _ in sharded]
        # Where versions have no tags, only locks keep somebody else's write from coming between index and chunks.
        with ExitStack() if engine.store.tagged else _locks(engine, keys):
            found = _fetch_shards(engine, wants)
        for (part, _, shard), cut, one in zip(sharded, cuts, found, strict=True):
            place_shard(engine.chunks, part, shard, cut, one, result)
    if not plain:
        return

    def place(arrived: Iterator[tuple[int, Buffer | None]]) -> None:
        scratch = Scratch()
        for number, data in arrived:
            part, cell, wanted = plain[number]
            engine.place(part, cell, wanted, data, result, scratch)

    arriving = iter(engine.store.get_each(requests))
    try:
        share(arriving, place, part_ns, result.options.workers, count=len(requests))
    finally:
        if isinstance(arriving, Generator):  # after an error the rest need not come
            arriving.close()


def _read_cached(engine: Engine, cached: CachedChunks, run: list[Part], result: Result, part_ns: float) -> None:
    """Read a run of what the cache does not have."""
    plain: list[Part] = []
    for part in run:
        cell = engine.cell(part)
        if cell.shard is None and cached.takes(cell.pipeline):
            plain.append(part)
        else:
            engine.read_part(part, result, Scratch())
    if not plain:
        return
    requests = [(engine.layout.key(part.coords), engine.reach(engine.cell(part), None)) for part in plain]

    def place(arrived: Iterator[tuple[Part, Answer]]) -> None:
        for part, answer in arrived:
            cached.place(part, engine.cell(part).pipeline, answer, result)

    share(zip(plain, engine.ask_many(requests), strict=True), place, part_ns, result.options.workers, count=len(plain))


def _fetch_shards(engine: Engine, wants: Sequence[tuple[Part, Cell, Shard, Sequence[int]]]) -> list[Found | None]:
    """The encoded inner chunks wanted of many shards: what each asks for next goes into one call."""
    found: list[Found | None] = [None] * len(wants)
    waiting: dict[int, tuple[Key, Generator[list[ByteRange], list[Answer], Found | None], list[ByteRange]]] = {}
    for number, (part, cell, shard, positions) in enumerate(wants):
        steps = engine.steps(part.coords, cell, shard, positions)
        waiting[number] = engine.layout.key(part.coords), steps, next(steps)
    while waiting:
        answers = iter(engine.ask_many([(key, range) for key, _, ranges in waiting.values() for range in ranges]))
        for number, (key, steps, ranges) in list(waiting.items()):
            try:
                waiting[number] = key, steps, steps.send([next(answers) for _ in ranges])
            except StopIteration as stop:
                found[number] = stop.value
                del waiting[number]
    return found


def _locks(engine: Engine, keys: Iterable[Key]) -> ExitStack:
    """The locks of all these objects, taken in an order that is everybody's."""
    stack = ExitStack()
    try:
        for _, key in sorted((repr(engine.store.object_id(key)), key) for key in keys):
            stack.enter_context(engine.store.lock(key))
    except BaseException:
        stack.close()
        raise
    return stack


# ---- write --------------------------------------------------------------------------------


def write_batches(
    engine: Engine,
    parts: Iterable[Part],
    value: NDArray | None,
    field: Field | None,
    part_ns: float,
    done: Ledger,
) -> None:
    """Put `value` where the parts say, a run at a time; None puts fill values there, and makes no chunk."""
    options = config.current()
    batch = _Batch(engine, value, field, options, part_ns)
    number = 0
    # By whole chunks: those that are changed in part are read and encoded whole.
    for run in _runs(parts, lambda part: engine.cell(part).chunk.nbytes, options):
        batch.write(run)
        done.append([number, len(run)])
        number += len(run)


@dataclass(slots=True)
class _Batch:
    engine: Engine
    value: NDArray | None
    field: Field | None
    options: config.Options
    part_ns: float
    #: What a run has made, by key: the bytes, None for nothing; and what they may replace, where that was read.
    made: dict[Key, tuple[Buffer | None, Answer]] = field_(default_factory=dict)

    def write(self, run: list[Part]) -> None:
        """Write one run of parts."""
        store, key = self.engine.store, self.engine.layout.key
        together: AbstractContextManager[Any] = ExitStack()
        if not store.conditional:
            together = _locks(self.engine, [key(part.coords) for part in run])
        with together:
            for _ in attempts(store, key(run[0].coords)):
                left = self._write(run)
                if not left:
                    return
                run = [part for part in run if key(part.coords) in left]

    def _write(self, run: list[Part]) -> set[Key]:
        """Write a run once; the keys that somebody else has written to meanwhile."""
        engine, store = self.engine, self.engine.store
        unread = [self.value is not None and self.field is None and engine.covers(part) for part in run]
        found = dict(self._read([part for part, skip in zip(run, unread, strict=True) if not skip]))
        self.made.clear()
        share(iter(zip(run, unread, strict=True)), lambda mine: self._make(mine, found), self.part_ns, self.options.workers,
              count=len(run))  # fmt: skip
        sets: dict[Key, Buffer] = {}
        guarded: dict[Key, tuple[Buffer, Hashable]] = {}
        gone: list[Key] = []
        for key, (data, old) in self.made.items():
            if data is None:
                gone.append(key)
            elif store.conditional and key in found:
                guarded[key] = data, None if old is None else old[1]
            else:
                sets[key] = data
        if sets:
            store.set_many(sets)
        if gone:
            store.delete_many(gone)
        written = store.set_many_if(guarded) if guarded else {}
        engine.forget(self.made)
        self.made.clear()
        return {key for key, kept in written.items() if not kept}

    def _read(self, run: list[Part]) -> Iterator[tuple[Key, Any]]:
        """The stored objects of parts, by key: (bytes, tag) or None; what `shards` finds of a shard."""
        engine, key = self.engine, self.engine.layout.key
        plain = [part for part in run if engine.cell(part).shard is None]
        requests = [(key(part.coords), engine.reach(engine.cell(part), None)) for part in plain]
        yield from zip([name for name, _ in requests], engine.ask_many(requests) if requests else (), strict=True)
        wants = [
            (part, cell, cell.shard, range(cell.shard.grid.nchunks))
            for part in run
            if (cell := engine.cell(part)).shard is not None
        ]
        yield from zip([key(part.coords) for part, *_ in wants], _fetch_shards(engine, wants) if wants else (), strict=True)

    def _make(self, parts: Iterator[tuple[Part, bool]], found: dict[Key, Any]) -> None:
        """Make the new bytes of some parts' objects."""
        engine, value = self.engine, self.value
        chunks, scratch = engine.chunks, Scratch()
        for part, unread in parts:
            cell, key = engine.cell(part), engine.layout.key(part.coords)
            old = found.get(key)
            if cell.shard is not None:
                self._make_shard(part, cell.shard, key, old, unread)
            elif unread and value is not None:
                data = chunks.overwrite(part, value, cell.pipeline, scratch, self.options)
                self.made[key] = scratch.leave(data), None
            elif value is not None or old is not None:
                chunk = chunks.opened(None if old is None else old[0], cell.pipeline, scratch, part.coords)
                if value is not None:
                    put(part, chunk if self.field is None else field_of(chunk, self.field), value)
                elif not chunks.wipe(part, chunk):
                    continue
                options = self.options if old is None or not engine.store.conditional else _everything(self.options)
                data = scratch.leave(chunks.pack(cell.pipeline, chunk, options))
                if data is not None or old is not None:
                    self.made[key] = data, old

    def _make_shard(self, part: Part, shard: Shard, key: Key, found: Found | None, unread: bool) -> None:
        value = None if self.value is None else lift(part, self.value)
        if value is None and found is None:
            return
        made: dict[int, Buffer | None] = {}
        inner = list(plan(within(part), shard.grid))
        work = ShardWriter(self.engine.chunks, part.coords, shard, found, value, self.field, self.options, made)
        share(iter(inner), work, decode_ns(shard.pipeline), self.options.workers, count=len(inner))
        if not made:
            return
        new = join_shard(shard, found, made)
        if new is None and found is None and not unread:
            return
        if new is None and found is not None and self.engine.store.conditional:
            new = shard.codec.empty()
        self.made[key] = new, None if found is None else (b"", found.tag)


def _everything(options: config.Options) -> config.Options:
    """The same, but chunks of fill values are written: nothing can be deleted only if it is still what was read."""
    return replace(options, write_empty=True)
