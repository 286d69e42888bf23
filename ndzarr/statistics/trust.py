"""What of a record can be believed at this moment: every object is asked for evidence that it is what it was.

Nothing that is kept is ever told of a write, by us or by anybody else, so nothing can be forgotten: an object counts as known
only when the store says of it what it said when it was looked at (`Store.evidence`), or when its bytes have the digest that
they had. The order of things does the rest. Evidence is taken before and after an object's bytes are read, and kept only if
both are one; and it is compared before anything that was kept is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ndzarr import config
from ndzarr._typing import NDArray
from ndzarr.crew import CREW_FROM_NS, share
from ndzarr.engine import Engine, evidence, evidence_after_s, read_record, whole_objects
from ndzarr.errors import MetadataError
from ndzarr.statistics.evidence import WIDTH, short_digest
from ndzarr.statistics.record import (
    MISSING,
    MOST_CHUNKS,
    THERE,
    UNKNOWN,
    Record,
    chunks_of_objects,
    fitted,
    from_bytes,
    spot_of,
)
from ndzarr.stores.base import ABSENT

#: So many objects are asked for in one call.
RUN = 4096
#: So many are fetched in one call of a store that takes many requests together.
FETCHED = 16


@dataclass(frozen=True, slots=True)
class Trusted:
    """A record, fitted to the array's shape, and what of it is so now: a mask of objects, and one of chunks."""

    record: Record
    objects: NDArray
    chunks: NDArray


def stored_record(engine: Engine) -> Record | None:
    """The record kept beside the array, fitted to its shape; None where there is none for it, or it is damaged."""
    if engine.layout.grid.nchunks > MOST_CHUNKS:
        return None
    data = read_record(engine)
    record = None
    if data is not None:
        with suppress(MetadataError):  # `check` says so; without it everything is read
            record = from_bytes(data, engine.meta, engine.layout)
    return None if record is None else fitted(record, engine.meta, engine.layout)


def damage(engine: Engine) -> str | None:
    """What is wrong with the record kept beside the array; None where nothing is, or there is none."""
    data = read_record(engine)
    try:
        if data is not None:
            from_bytes(data, engine.meta, engine.layout)
    except MetadataError as error:
        return str(error)
    return None


def trusted(engine: Engine, *, fetch: bool, record: Record | None = None) -> Trusted | None:
    """What can be believed of the array's record now; None where there is none.

    fetch: whether objects of which the store has no evidence, or other than before, are fetched and their digests compared.
    """
    if record is None:
        record = stored_record(engine)
    if record is None:
        return None
    good = np.zeros(record.state.shape, bool)
    asked = np.flatnonzero(record.state != UNKNOWN)
    shape = engine.layout.objects.shape
    # What it says for objects that are not there can be believed too, where it says anything.
    if evidence_after_s(engine) is not None:
        for start in range(0, len(asked), RUN):
            run = asked[start : start + RUN]
            said = evidence(engine, [spot_of(int(n), shape) for n in run])
            for n, text in zip(run, said, strict=True):
                if text is not None:
                    there = text != ABSENT
                    known = record.state[n] == (THERE if there else MISSING)
                    good[n] = known and (not there or record.evidence[n].tobytes() == short_digest(text))
    if fetch:
        _compare(engine, record, good, asked[~good[asked]])
    return Trusted(record, good, good[chunks_of_objects(engine.layout)])


def agreed(a: Engine, b: Engine) -> NDArray | None:
    """A mask of the chunks of which both arrays are known to hold the same elements, bit for bit; None where nothing is known.

    The arrays have the same shape, grid of chunks and canonical dtype. Nothing is fetched but their records.
    """
    found = []
    for engine in (a, b):
        # What costs as much to ask as to read is not asked.
        known = trusted(engine, fetch=False) if evidence_after_s(engine) is not None else None
        if known is None or not known.chunks.any():
            return None
        found.append(known)
    same = (found[0].record.values == found[1].record.values).all(axis=1)
    return np.asarray(found[0].chunks & found[1].chunks & same)


def _compare(engine: Engine, record: Record, good: NDArray, left: NDArray) -> None:
    """Fetch objects and compare their digests with those recorded."""
    shape = engine.layout.objects.shape

    def work(mine: Iterator[NDArray]) -> None:
        for run in mine:
            for n, data in zip(run, whole_objects(engine, [spot_of(int(n), shape) for n in run]), strict=True):
                if data is None:
                    good[n] = record.state[n] == MISSING
                else:
                    good[n] = record.state[n] == THERE and record.digests[n].tobytes() == short_digest(data)

    size = FETCHED if engine.store.batched else 1
    runs = [left[start : start + size] for start in range(0, len(left), size)]
    share(iter(runs), work, CREW_FROM_NS, config.current().workers, count=len(runs))


def same_evidence(before: str | None, after: str | None) -> NDArray:
    """What is kept of evidence taken before and after an object was read: zeros where it does not hold."""
    if before is None or before != after or before == ABSENT:
        return np.zeros(WIDTH, np.uint8)
    return np.frombuffer(short_digest(before), np.uint8)
