"""Extremes and places found with statistics, reading only the chunks that could change the answer.

Each chunk whose statistics cannot be believed at this moment is read, so that the answer is NumPy's, whoever wrote what.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, Coords, NDArray
from ndzarr.crew import CREW_FROM_NS, share
from ndzarr.engine import Engine, evidence_after_s
from ndzarr.errors import ArgumentError
from ndzarr.memory import check_result, result
from ndzarr.operand import Operand
from ndzarr.statistics.interval import Interval, Truth, ask
from ndzarr.statistics.record import MOST_CHUNKS
from ndzarr.statistics.summary import extremes_of, ordered
from ndzarr.statistics.told import chunk_sizes
from ndzarr.statistics.trust import Trusted, trusted
from ndzarr.streaming import cut, run

#: With fewer objects than this, asking for statistics costs as much as it could save.
_FEW = 4
_HIGHEST = (np.maximum, np.fmax)


def may_help(engine: Engine) -> bool:
    """Whether statistics, if there are any, may save something: then one request looks for them."""
    meta, layout = engine.meta, engine.layout
    return ordered(meta.dtype) and 0 not in meta.shape and layout.objects.nchunks >= _FEW and layout.grid.nchunks <= MOST_CHUNKS


def _pruning(engine: Engine, *, fetch: bool) -> Trusted | None:
    """What can be believed; None where all is read as if there were no statistics."""
    found = trusted(engine, fetch=fetch) if may_help(engine) else None
    return found if found is not None and found.chunks.any() else None


def _fetched(engine: Engine) -> bool:
    """Whether comparing digests is worth the bytes for a mere extreme: hashing a raw chunk takes longer than looking at it."""
    cell = engine.layout.uniform or engine.layout.cell((0,) * len(engine.layout.objects.axes))
    return evidence_after_s(engine) is None and not cell.pipeline.raw


def _box(engine: Engine, number: int) -> Box:
    grid = engine.layout.grid
    return grid.box(tuple(int(n) for n in np.unravel_index(number, grid.shape)))


# ---- extremes --------------------------------------------------------------------------------


def extreme(array: Operand, engine: Engine, ufunc: np.ufunc, axes: tuple[int, ...], keepdims: bool) -> Any:
    """What `ufunc.reduce(array, axes, keepdims=keepdims)` gives, for maximum, minimum, fmax and fmin.

    NotImplemented where there are no statistics that help. `axes` are counted from the front.
    """
    found = _pruning(engine, fetch=_fetched(engine)) if axes else None
    if found is None:
        return NotImplemented
    if len(axes) == engine.meta.ndim:
        value = _whole(array, engine, found, ufunc)
        return value.reshape((1,) * engine.meta.ndim) if keepdims else value[()]
    return _along(array, engine, found, ufunc, axes, keepdims)


def _whole(array: Operand, engine: Engine, found: Trusted, ufunc: np.ufunc) -> NDArray:
    """The extreme of all elements, 0-d: of what is known by the statistics, of the rest by reading it."""
    record, known = found.record, found.chunks
    dtype = engine.meta.dtype.newbyteorder("=")
    some = known & (record.nans < chunk_sizes(engine))
    odd = bool(record.nans[known].any())
    skips = ufunc in (np.fmax, np.fmin)
    bounds = (record.high if ufunc in _HIGHEST else record.low)[some].astype(dtype)
    parts = [np.asarray(ufunc.reduce(bounds))] if bounds.size else []

    def work(mine: Iterator[int]) -> None:
        nonlocal odd
        for number in mine:
            chunk = array.read_box(_box(engine, number))
            low, high, nans = extremes_of(chunk)
            if nans:
                odd = True  # whoever writes it writes True
            if nans < chunk.size:
                parts.append((high if ufunc in _HIGHEST else low)[0])

    if skips or not odd:
        left = np.flatnonzero(~known)
        share(iter(left.tolist()), work, CREW_FROM_NS, config.current().workers, count=len(left))
    if not parts or (odd and not skips):
        return np.array("NaT" if dtype.kind in "mM" else np.nan, dtype)
    return np.asarray(ufunc.reduce(np.array(parts, dtype)), dtype)


def _along(array: Operand, engine: Engine, found: Trusted, ufunc: np.ufunc, axes: tuple[int, ...], keepdims: bool) -> NDArray:
    """The extreme along some axes: of the chunks over each other, those that promise most are read first, and then only those
    that could beat what was found."""
    grid, record = engine.layout.grid, found.record
    shape = tuple([1 if axis in axes else n for axis, n in enumerate(engine.meta.shape)])
    out = result(shape, engine.meta.dtype.newbyteorder("="), f"numpy.{ufunc.__name__}.reduce")
    highest, skips = ufunc in _HIGHEST, ufunc in (np.fmax, np.fmin)
    known = found.chunks.reshape(grid.shape)
    bounds = (record.high if highest else record.low).reshape(grid.shape)
    nans = record.nans.reshape(grid.shape)
    empty = (record.nans >= chunk_sizes(engine)).reshape(grid.shape)

    def beaten(spot: Coords, best: NDArray) -> bool:
        """Whether nothing in a chunk can change what was found."""
        if not known[spot] or (nans[spot] and not skips):
            return False
        bound = bounds[spot]
        # A NaN found stays; to fmax and fmin it says that there was no number yet.
        enough = best >= bound if highest else best <= bound
        if not skips and best.dtype.kind in "fmM":
            enough = enough | (np.isnat(best) if best.dtype.kind in "mM" else np.isnan(best))
        return bool(empty[spot] or enough.all())

    def work(mine: Iterator[Coords]) -> None:
        for tile in mine:
            spots = list(product(*(range(n) if axis in axes else (tile[axis],) for axis, n in enumerate(grid.shape))))
            order = np.array([bounds[spot] for spot in spots])
            first = np.argsort(order, kind="stable")
            # What is not known comes first, since it is read in any case; then what promises most.
            ranked = sorted(first[::-1] if highest else first, key=lambda n: bool(known[spots[n]]) and not nans[spots[n]])
            best: NDArray | None = None
            for n in ranked:
                if best is None or not beaten(spots[n], best):
                    start, valid = grid.start(spots[n]), grid.valid(spots[n])
                    box = tuple([slice(a, a + b, 1) for a, b in zip(start, valid, strict=True)])
                    part = ufunc.reduce(array.read_box(box), axis=axes, keepdims=True)
                    best = part if best is None else ufunc(best, part)
            if best is not None:
                start = grid.start(tile)
                out[tuple([slice(a, a + b) for a, b in zip(start, best.shape, strict=True)])] = best

    tiles = product(*(range(1) if axis in axes else range(n) for axis, n in enumerate(grid.shape)))
    share(tiles, work, CREW_FROM_NS, config.current().workers)
    return out if keepdims else out.reshape([n for axis, n in enumerate(out.shape) if axis not in axes])


# ---- places --------------------------------------------------------------------------------


def where(array: Operand, engine: Engine, predicate: Callable[[Any], Any], *, prune: bool = True) -> NDArray:
    """The numbers in C order of the elements of which `predicate` is true, sorted; see `ZArray.where`.

    prune: False reads every chunk.
    """
    found = _pruning(engine, fetch=True) if prune else None
    truth = None if found is None else _asked(engine, found, predicate)
    places = _Places()
    if found is None or truth is None:
        blocks = cut([array], engine.meta.shape, nbytes=4 * (engine.meta.dtype.itemsize + 8))

        def one(box: Box) -> None:
            places.add(_numbers(engine, box, predicate, array.read_box(box)))

        run(blocks.boxes(), one, [array], blocks)
        return places.sorted()
    sure = np.flatnonzero(found.chunks & ~truth.no)
    places.expect(int(chunk_sizes(engine)[sure].sum()))
    for number in sure.tolist():
        places.add(_numbers(engine, _box(engine, number), None, None))
    left = np.flatnonzero(~found.chunks | (truth.yes & truth.no)).tolist()

    def work(mine: Iterator[int]) -> None:
        for number in mine:
            box = _box(engine, number)
            places.add(_numbers(engine, box, predicate, array.read_box(box)))

    share(iter(left), work, CREW_FROM_NS, config.current().workers, count=len(left))
    return places.sorted()


def nonzero(array: Operand, engine: Engine) -> NDArray | None:
    """The numbers in C order of the elements that are not zero; None where there are no statistics that help."""
    if engine.meta.dtype.kind not in "biuf":
        return None
    found = _pruning(engine, fetch=_fetched(engine))
    return None if found is None else where(array, engine, lambda block: block != 0)


def _asked(engine: Engine, found: Trusted, predicate: Callable[[Any], Any]) -> Truth | None:
    record = found.record
    some = record.nans < chunk_sizes(engine)
    dtype = engine.meta.dtype
    return ask(predicate, Interval(record.low.astype(dtype), record.high.astype(dtype), some, record.nans > 0))


def _numbers(engine: Engine, box: Box, predicate: Callable[[Any], Any] | None, block: NDArray | None) -> NDArray:
    """The numbers of the elements in a box for which the predicate holds; all of them without one."""
    shape = engine.meta.shape
    lengths = tuple([s.stop - s.start for s in box])
    if predicate is None or block is None:
        inside: tuple[Any, ...] = tuple(np.indices(lengths, np.intp, sparse=True))
    else:
        answer = np.asarray(np.ma.filled(predicate(block), 0))  # masked: as numpy.nonzero does
        if answer.shape != lengths:
            raise ArgumentError(
                f"the predicate gave an array of shape {answer.shape} for a block of shape {lengths}, expected its own: "
                "it is asked about one at a time",
                field="predicate",
                found=answer.shape,
                expected=lengths,
            )
        inside = np.nonzero(answer)
    number = np.zeros((), np.intp)
    for axis, spots in enumerate(inside):
        number = number + (spots + box[axis].start) * math.prod(shape[axis + 1 :])
    return np.asarray(number).reshape(-1)


class _Places:
    """Numbers of elements as they are found, from any thread, never more than `options(max_result=)` allows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[NDArray] = []
        self._count = 0
        self._allowed = 1 << 20

    def expect(self, count: int) -> None:
        """Raise MemoryLimitError where so many numbers are too many."""
        nbytes = count * np.dtype(np.intp).itemsize
        check_result(nbytes, f"the places of {count} elements or more", "ask for fewer, or of a part of the array")

    def add(self, piece: NDArray) -> None:
        with self._lock:
            self._pieces.append(piece)
            self._count += piece.size
            if self._count > self._allowed:
                self._allowed = 2 * self._count  # asking the system each time would take longer than the search
                self.expect(self._count)

    def sorted(self) -> NDArray:
        """All of them in C order."""
        place = result((self._count,), np.dtype(np.intp), "where")
        if place.size:
            np.concatenate(self._pieces, out=place)
            place.sort(kind="stable")
        return place
