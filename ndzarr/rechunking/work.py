"""One rechunk as it is worked on: the arrays, the blocks of its passes, and how much memory each of them takes.

A target is not opened but planned: its documents are written when all else is done, so that what is half done is no array to
anybody. Pickles by configuration, for workers of dask's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ndzarr import config
from ndzarr._typing import Shape
from ndzarr.crew import processors
from ndzarr.errors import MemoryLimitError
from ndzarr.grid import Grid, RegularAxis
from ndzarr.metadata import ArrayMeta
from ndzarr.nodes import Worklog
from ndzarr.operand import Borders
from ndzarr.rechunking.plan import Pass, Passes, plan_passes
from ndzarr.stores.alone import Alone
from ndzarr.stores.base import Store
from ndzarr.streaming import Cut
from ndzarr.zarray import ZArray

#: Of what was allowed, this is planned with: allocators round up, and keep some of what was given back.
_USED = 0.85
#: What a chunk takes while it is read: encoded, and decoded. While it is written: a copy in order, encoded, and in a shard once
#: more as the shard is put together. Codecs may make incompressible data a little longer.
_READ, _WRITTEN, _SHARDED = 2.1, 2.1, 3.2


@dataclass(frozen=True, slots=True)
class Target:
    """An array that is written to before it has documents."""

    store: Store
    path: str
    meta: ArrayMeta
    allow_pickle: bool = False
    #: In between of two passes nothing may be missing: what is has been removed by somebody else.
    complete: bool = False

    def array(self, *, alone: bool = False) -> ZArray:
        """A handle that reads and writes its chunks; alone: as nobody else does at the same time."""
        missing: Any = "raise" if self.complete else None
        return ZArray(
            Alone(self.store) if alone else self.store,
            self.path,
            self.meta,
            writable=True,
            allow_pickle=self.allow_pickle,
            missing=missing,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One pass: what is read and written, and where its blocks end. run: the name of the call, as the record has it."""

    number: int
    source: ZArray | Target
    target: Target
    cut: Cut
    log: Worklog
    run: str
    options: config.Options

    def copy(self, block: int) -> None:
        """Copy one block, and note that it is done."""
        coords = []
        for count in reversed(self.cut.counts):
            block, coord = divmod(block, count)
            coords.append(coord)
        box = self.cut.box(tuple(reversed(coords)))
        source = self.source if isinstance(self.source, ZArray) else self.source.array()
        options = self.options
        with config.options(workers=options.workers, batch_bytes=options.batch_bytes, durable=options.durable):
            try:
                value = source.read_box(box)
            finally:  # where another run has removed what is in between, that is what is to be said
                self.log.check(self.run)
            with config.options(write_empty=self.target.complete or options.write_empty):
                # Blocks are of whole objects.
                self.target.array(alone=True).write_box(box, value)

    def done(self, block: int) -> None:
        """Note that a block is done."""
        self.log.check(self.run)
        self.log.mark(f"{self.number}.{block}")

    def left(self, marked: set[str]) -> list[int]:
        """The blocks that are not done."""
        return [block for block in range(self.cut.nblocks) if f"{self.number}.{block}" not in marked]


@dataclass(frozen=True, slots=True)
class Budget:
    """How memory is shared out: so many blocks at a time, each read and written by some of so many threads."""

    passes: Passes
    lanes: int
    workers: int
    batch_bytes: int


def budget(source: ZArray, target: ZArray, max_mem: int, *, tasks: bool = False) -> Budget:
    """The passes and threads that keep within `max_mem` bytes; MemoryLimitError, which says what is needed, where none do.

    Blocks go by shapes and `max_mem` alone, so that another machine, or other options, go on with what was begun; how many
    threads copy them does not. tasks: one block at a time, by one thread.
    """
    itemsize = max(1, source.dtype.itemsize)
    read, objects = _longest(source._engine.layout.grid, source.shape), _longest(target._engine.layout.objects, source.shape)
    layout = target._engine.layout
    written = (_WRITTEN if layout.grid is layout.objects else _SHARDED) * math.prod(objects) * itemsize
    scratch = max(_READ * math.prod(read) * itemsize, written)
    batch = max(1 << 20, max_mem // 16) if any(z._store.batched for z in (source, target)) else 0
    usable = int(max_mem * _USED)
    need = 0
    for lanes, crew in _choices(tasks):
        room = (usable - crew * scratch - 2 * lanes * batch) / lanes
        # Not more threads than leave most of the memory to blocks.
        passes = plan_passes(source.shape, read, objects, int(room / itemsize)) if room > 0 else None
        if passes is not None and (crew == 1 or room * lanes >= usable / 2):
            options = config.current()
            blocks = lanes * itemsize * max(math.prod(step.block) for step in passes.steps)
            most = max(crew, int((usable - blocks - 2 * lanes * batch) / scratch)) if scratch and not tasks else crew
            workers = min(options.workers or processors(), most)
            return Budget(passes, min(lanes, workers), workers, min(options.batch_bytes, batch) or options.batch_bytes)
        need = int((crew * scratch + 2 * lanes * batch + math.prod(objects) * itemsize) / _USED) + 2
    raise MemoryLimitError(
        f"rechunking {source.shape} of {source.dtype} from chunks {read} to objects {objects} needs {need} bytes at least, and "
        f"max_mem allows {max_mem}; pass more, or smaller chunks or shards",
        found=need,
        expected=max_mem,
    )


def _choices(tasks: bool) -> list[tuple[int, int]]:
    """Blocks at a time, and threads: two blocks, so that one is read while the other is written, where there is room for
    that."""
    return [(1, 1)] if tasks else [(2, 8), (2, 4), (2, 2), (1, 1)]


def _longest(grid: Grid, shape: Shape) -> Shape:
    """The longest lengths of the cells of a grid, by axis."""
    lengths = []
    for axis, n in zip(grid.axes, shape, strict=True):
        longest = axis.chunk if isinstance(axis, RegularAxis) else max((length for length, _ in axis.edges.runs), default=1)
        lengths.append(longest if n else 1)
    return tuple(lengths)


def cut_blocks(step: Pass, borders: Sequence[Borders]) -> Cut:
    """A pass's blocks, which end where objects do."""
    return Cut(tuple(along.stops(length) for along, length in zip(borders, step.block, strict=True)))
