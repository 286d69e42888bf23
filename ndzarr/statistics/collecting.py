"""Statistics collected: each object that is not known already is read once, and what it holds is kept beside the array."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, Coords, Shape
from ndzarr.crew import CREW_FROM_NS, share
from ndzarr.engine import Engine, chunk_in, encoded_in, evidence, evidence_after_s, whole_objects, write_record
from ndzarr.progress import Progress, meter
from ndzarr.statistics.evidence import short_digest
from ndzarr.statistics.record import MISSING, THERE, UNKNOWN, Record, check_size, chunks_of_objects, to_bytes
from ndzarr.statistics.summary import Summary, summary_of
from ndzarr.statistics.told import Statistics, told
from ndzarr.statistics.trust import FETCHED, same_evidence, stored_record
from ndzarr.stores.base import ABSENT, AFTER_BYTES

T = TypeVar("T")

#: Longer than this nobody waits for evidence.
_LONGEST_S = 1.0


def collect(engine: Engine, progress: Progress = None) -> Statistics:
    """The statistics of all chunks as they are now, whose record is put beside the array.

    What is known and still so is kept: only objects that are new, or other than they were, are decoded. progress counts
    objects. Raises MemoryLimitError for more chunks than a record may have, and what reading and writing raise.
    """
    check_size(engine.layout)
    grid = engine.layout.objects
    made = Record.blank(engine.meta, grid.nchunks, engine.layout.grid.nchunks)
    with meter(progress, grid.nchunks, "statistics") as done:
        collector = _Collector(engine, made, stored_record(engine), done)
        collector.run()
    write_record(engine, to_bytes(made))
    return told(engine, made, (made.state != UNKNOWN)[chunks_of_objects(engine.layout)])


@dataclass(slots=True)
class _Collector:
    """Fills `made`; each object is of one task, which writes to rows of its own, so that those need no lock."""

    engine: Engine
    made: Record
    old: Record | None
    done: Callable[[int], object]
    blanks: dict[Shape, Summary] = field(default_factory=dict)
    largest: int = 0  # bytes of an object that was read: changed under the lock
    lock: Any = field(default_factory=threading.Lock)

    def run(self) -> None:
        engine = self.engine
        owner = chunks_of_objects(engine.layout)
        order = np.argsort(owner, kind="stable")
        bounds = np.searchsorted(owner[order], np.arange(engine.layout.objects.nchunks + 1))

        def work(mine: Iterator[list[tuple[int, Coords]]]) -> None:
            for run in mine:
                chunks = [order[bounds[n] : bounds[n + 1]].tolist() for n, _ in run]
                self._run([n for n, _ in run], [coords for _, coords in run], chunks)
                self.done(len(run))

        size = FETCHED if engine.store.batched else 1
        share(_runs(enumerate(engine.layout.objects), size), work, CREW_FROM_NS, config.current().workers)
        self._later()

    def _run(self, numbers: list[int], coords: list[Coords], chunks: list[list[int]]) -> None:
        """Look at some objects; `chunks`: the numbers of those in each."""
        engine, made, old = self.engine, self.made, self.old
        before = evidence(engine, coords)
        left = []
        for k, (n, text) in enumerate(zip(numbers, before, strict=True)):
            state = UNKNOWN if old is None else old.state[n]
            if text == ABSENT:
                self._blank(n, coords[k], chunks[k])
            elif old is not None and text is not None and state == THERE and old.evidence[n].tobytes() == short_digest(text):
                made.state[n], made.digests[n], made.evidence[n] = THERE, old.digests[n], old.evidence[n]
                made.copy_chunks(old, np.array(chunks[k], np.intp))
            else:
                left.append(k)
        found = whole_objects(engine, [coords[k] for k in left]) if left else []
        after = evidence(engine, [coords[k] for k in left]) if left else []
        with self.lock:
            self.largest = max([self.largest, *(memoryview(data).nbytes for data in found if data is not None)])
        for k, data, text in zip(left, found, after, strict=True):
            n = numbers[k]
            if data is None:
                self._blank(n, coords[k], chunks[k])
                continue
            digest = short_digest(data)
            if old is not None and old.state[n] == THERE and old.digests[n].tobytes() == digest:
                made.copy_chunks(old, np.array(chunks[k], np.intp))
            else:
                self._decode(coords[k], data, chunks[k])
            made.state[n] = THERE
            made.digests[n] = np.frombuffer(digest, np.uint8)
            made.evidence[n] = same_evidence(before[k], text)

    def _decode(self, coords: Coords, data: Buffer, chunks: list[int]) -> None:
        engine = self.engine
        encoded = encoded_in(engine, coords, data)
        for number in chunks:
            spot = tuple(int(i) for i in np.unravel_index(number, engine.layout.grid.shape))
            if spot in encoded:
                self.made.put(number, summary_of(chunk_in(engine, coords, spot, encoded[spot])))
            else:
                self.made.put(number, self._blank_summary(coords, spot))

    def _blank(self, n: int, coords: Coords, chunks: list[int]) -> None:
        """Keep of an object that is not there what it reads as."""
        self.made.state[n] = MISSING
        for number in chunks:
            spot = tuple(int(i) for i in np.unravel_index(number, self.engine.layout.grid.shape))
            self.made.put(number, self._blank_summary(coords, spot))

    def _blank_summary(self, coords: Coords, spot: Coords) -> Summary:
        valid = self.engine.layout.grid.valid(spot)
        found = self.blanks.get(valid)
        if found is None:
            found = self.blanks[valid] = summary_of(chunk_in(self.engine, coords, spot, None))
        return found

    def _later(self) -> None:
        """Get evidence of objects that were written a moment before they were read: wait for it, and read those again."""
        engine, made = self.engine, self.made
        shape = engine.layout.objects.shape
        wait = evidence_after_s(engine)
        late = np.flatnonzero((made.state == THERE) & ~made.evidence.any(axis=1))
        if wait is None or not len(late):
            return
        time.sleep(min(_LONGEST_S, wait * (1 + self.largest / AFTER_BYTES)))

        def work(mine: Iterator[list[int]]) -> None:
            for run in mine:
                coords = [tuple(int(i) for i in np.unravel_index(n, shape)) for n in run]
                before = evidence(engine, coords)
                asked = [k for k, text in enumerate(before) if text is not None and text != ABSENT]
                found = whole_objects(engine, [coords[k] for k in asked]) if asked else []
                after = evidence(engine, [coords[k] for k in asked]) if asked else []
                for k, data, text in zip(asked, found, after, strict=True):
                    if data is not None and short_digest(data) == made.digests[run[k]].tobytes():
                        made.evidence[run[k]] = same_evidence(before[k], text)

        size = FETCHED if engine.store.batched else 1
        share(_runs(iter(late.tolist()), size), work, CREW_FROM_NS, config.current().workers)


def _runs(items: Iterator[T], size: int) -> Iterator[list[T]]:
    run: list[T] = []
    for item in items:
        run.append(item)
        if len(run) == size:
            yield run
            run = []
    if run:
        yield run
