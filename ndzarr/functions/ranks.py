"""Exact order statistics of arrays that do not fit in memory: which value has rank k when all are sorted.

The algorithm is radix selection from the most significant digit (Knuth, The Art of Computer Programming vol. 3, 5.2.5 and
5.3.3; Alabi et al., "Fast k-selection algorithms for graphics processing units", 2012). Each value becomes an unsigned integer
that sorts as the value does. A pass over the array counts how many of these begin with each digit of 8 to 16 bits; the digit in
which a wanted rank falls is then known, and the next pass counts the digits behind it, for all ranks at once. As soon as what
is left fits into its share of `options(working_memory)` it is collected in one more pass and sorted.

Passes: at most one for each digit (2 to 4 of 4-byte numbers, 4 to 8 of 8-byte ones, were they all nearly equal); two, a count
and a collection, for most data. Of more ranks than there is room for tables, some wait for another pass. Memory: the tables of
counts, the collected values, and the blocks of the threads. Counts are added up as integers, so the order in which threads
finish does not matter.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.operand import Borders
from ndzarr.streaming import cut, read, run, share_nbytes

#: Elements that are counted at a time; a few for each bin, so that adding up the bins costs little beside.
_SLICE = 1 << 14


@dataclass(frozen=True, slots=True)
class Keys:
    """The map between values of a dtype and unsigned integers that sort alike; -0.0 comes right before 0.0."""

    dtype: DType
    unsigned: DType

    @classmethod
    def of(cls, dtype: DType) -> Keys | None:
        """The map for a dtype, None where there is none: complex numbers, long doubles, strings, objects."""
        if dtype.kind in "biufmM" and dtype.itemsize in (1, 2, 4, 8):
            return cls(dtype.newbyteorder("="), np.dtype(f"u{dtype.itemsize}"))
        return None

    @property
    def bits(self) -> int:
        """Bits of a key."""
        return self.unsigned.itemsize * 8

    def keys(self, values: NDArray) -> tuple[NDArray, int]:
        """The keys of a flat array, without its NaNs (NaTs), and how many of these there were."""
        values = values.astype(self.dtype, copy=False)
        found = values.view(self.unsigned)
        nans = 0
        kind = self.dtype.kind
        if kind in "fmM":
            odd = np.isnan(values)
            nans = int(np.count_nonzero(odd))
            if nans:
                found = found[~odd]
        if kind in "bu":
            return found, nans
        top = self.unsigned.type(1 << (self.bits - 1))
        if kind != "f":
            return found ^ top, nans
        # Negative floats sort in reverse, so all their bits are flipped; of the others the sign alone.
        flips = (found.view(f"i{self.unsigned.itemsize}") >> (self.bits - 1)).view(self.unsigned)
        flips |= top
        flips ^= found
        return flips, nans

    def values(self, keys: NDArray) -> NDArray:
        """What the keys stand for."""
        kind = self.dtype.kind
        if kind not in "bu":
            top = self.unsigned.type(1 << (self.bits - 1))
            keys = np.where(keys & top, keys ^ top, ~keys) if kind == "f" else keys ^ top
        return keys.astype(self.unsigned, copy=False).view(self.dtype)


@dataclass(slots=True)
class _Bucket:
    """The keys that begin with `prefix`: `below` sort before all of them, `count` are in it."""

    prefix: int
    below: int
    count: int
    ranks: list[int]


class Ranks:
    """The order statistics of one operand, NaNs left out. Reads it when made, and again when values are asked for.

    count: elements that are not NaN. nans: those that are. Not for several threads at once.
    """

    def __init__(self, operand: Any, keys: Keys) -> None:
        self._operand = operand
        self._keys = keys
        self._lock = threading.Lock()
        # A table of counts is small beside what a thread reads; few bits only mean more passes.
        self._digit = min(16, keys.bits, max(8, (share_nbytes() // 256).bit_length() - 1))
        self._room = max(1, config.current().working_memory // 8 // keys.unsigned.itemsize)
        self._lowest = (1 << keys.bits) - 1
        self._highest = 0
        self.nans = 0
        self._first = self._count([0], keys.bits, self._digit)[0]
        self.count = int(self._first.sum())

    def values(self, ranks: Sequence[int]) -> NDArray:
        """The values of the given ranks, each from 0 to `count` - 1."""
        known = {0: self._lowest, self.count - 1: self._highest}
        wanted = sorted({int(k) for k in ranks} - set(known))
        shift = self._keys.bits - self._digit
        buckets = _narrowed(_Bucket(0, 0, self.count, wanted), self._first, self._digit) if wanted else []
        while buckets:
            if not shift:
                known |= {k: b.prefix for b in buckets for k in b.ranks}
                break
            if sum(b.count for b in buckets) <= self._room:
                self._collect(buckets, shift, known)
                break
            # Of many ranks each gets a smaller table, so that one pass still serves all.
            each = self._room * self._keys.unsigned.itemsize // (8 * len(buckets))
            digit = min(self._digit, shift, max(4, each.bit_length() - 1))
            tables = self._count([b.prefix for b in buckets], shift, digit)
            buckets = [c for b, table in zip(buckets, tables, strict=True) for c in _narrowed(b, table, digit)]
            shift -= digit
        return self._keys.values(np.array([known[int(k)] for k in ranks], self._keys.unsigned))

    def _count(self, prefixes: list[int], shift: int, digit: int) -> list[NDArray]:
        """For each prefix, which is what is left of a key after `shift`, a table of how often each next digit follows it."""
        whole = shift == self._keys.bits
        together = max(1, self._room * self._keys.unsigned.itemsize // (8 << digit))
        tables: list[NDArray] = []
        for start in range(0, len(prefixes), together):
            mine = prefixes[start : start + together]
            totals = np.zeros(len(mine) << digit, np.int64)
            few = np.array(mine, self._keys.unsigned)

            def add(keys: NDArray, few: NDArray = few, totals: NDArray = totals) -> None:
                spots = (keys >> (shift - digit)).astype(np.intp)
                if not whole:
                    place, hit = _member(keys >> shift, few)
                    spots = (spots[hit] & ((1 << digit) - 1)) + (place << digit)
                if spots.size:
                    found = np.bincount(spots, minlength=totals.size)
                    with self._lock:
                        np.add(totals, found, out=totals)

            self._pass(add, first=whole)
            tables += list(totals.reshape(len(mine), -1))
        return tables

    def _collect(self, buckets: list[_Bucket], shift: int, known: dict[int, int]) -> None:
        """Sort what is left, and find the ranks in it."""
        buckets = sorted(buckets, key=lambda b: b.prefix)
        few = np.array([b.prefix for b in buckets], self._keys.unsigned)
        left = np.empty(sum(b.count for b in buckets), self._keys.unsigned)
        done = 0

        def add(keys: NDArray) -> None:
            nonlocal done
            found = keys[_member(keys >> shift, few)[1]]
            with self._lock:
                left[done : done + found.size] = found
                done += found.size

        self._pass(add)
        left.sort()
        before = 0
        for bucket in buckets:
            known |= {k: int(left[before + k - bucket.below]) for k in bucket.ranks}
            before += bucket.count

    def _pass(self, work: Any, first: bool = False) -> None:
        """Do `work` on the keys of all elements, a slice at a time."""
        operand, keys = self._operand, self._keys
        slice_ = max(_SLICE, 2 << self._digit)
        blocks = cut([operand], operand.shape, nbytes=2 * keys.unsigned.itemsize)

        def one(box: Box) -> None:
            block = np.asarray(read(operand, box)).reshape(-1)
            for start in range(0, block.size, slice_):
                found, nans = keys.keys(block[start : start + slice_])
                if first:
                    with self._lock:
                        self.nans += nans
                        if found.size:
                            self._lowest = min(self._lowest, int(found.min()))
                            self._highest = max(self._highest, int(found.max()))
                if found.size:
                    work(found)

        run(blocks.boxes(), one, [operand], blocks)


def _narrowed(bucket: _Bucket, table: NDArray, digit: int) -> list[_Bucket]:
    """The parts of a bucket in which its ranks fall, by a table of its next digits."""
    ends = np.cumsum(table)
    parts: dict[int, _Bucket] = {}
    for rank in bucket.ranks:
        spot = int(np.searchsorted(ends, rank - bucket.below, side="right"))
        if spot not in parts:
            below = bucket.below + int(ends[spot] - table[spot])
            parts[spot] = _Bucket((bucket.prefix << digit) | spot, below, int(table[spot]), [])
        parts[spot].ranks.append(rank)
    return list(parts.values())


def _member(heads: NDArray, few: NDArray) -> tuple[Any, NDArray]:
    """Which of the sorted `few` each of some heads is, for those that are one, and a mask of these."""
    if len(few) == 1:
        return 0, heads == few[0]
    place = np.minimum(np.searchsorted(few, heads), len(few) - 1)
    hit = few[place] == heads
    return place[hit], hit


class Sorted(np.ndarray[Any, Any]):
    """A stand-in for all elements of an operand, flat, that NumPy's own `median` and `quantile` take.

    It has the length and dtype of the elements but one element of memory. These functions partition their array and look at
    what lies at a few indices; `partition` here finds these by `Ranks`. So every method of interpolation, and every oddity of
    the NumPy that runs, is NumPy's own. `asked` is True when the function went that way.
    """

    ranks: Ranks
    asked: bool
    _where: NDArray
    _what: NDArray

    @classmethod
    def over(cls, ranks: Ranks, dtype: DType) -> Sorted:
        """The stand-in for what `ranks` has counted."""
        blank = np.zeros(1, dtype)
        found = np.lib.stride_tricks.as_strided(blank, (ranks.count,), (0,)).view(cls)
        found.ranks = ranks
        found.asked = False
        return found

    def flatten(self, order: Any = "C") -> Any:
        """Itself: it is flat, and is not changed."""
        return self

    def ravel(self, order: Any = "C") -> Any:
        """Itself."""
        return self

    def copy(self, order: Any = "C") -> Any:
        """Itself."""
        return self

    def partition(self, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> None:
        """Find the values of these ranks."""
        spots = np.unique(np.atleast_1d(np.asarray(kth)).astype(np.intp) % self.size)
        self._where, self._what = spots, self.ranks.values([int(k) for k in spots]).astype(self.dtype)
        self.asked = True

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
        """The values of some of the ranks that were found."""
        return self[indices]

    def __getitem__(self, index: Any) -> Any:
        whole = isinstance(index, tuple)
        index = index[0] if whole else index
        spots = range(*index.indices(self.size)) if isinstance(index, slice) else index
        if isinstance(spots, range) and len(spots) > len(self._where):
            raise IndexError(f"{index!r} has not been partitioned")
        where = np.asarray(spots, np.intp) % self.size
        places = np.minimum(np.searchsorted(self._where, where), len(self._where) - 1)
        if np.any(self._where[places] != where):
            raise IndexError(f"{index!r} has not been partitioned")
        return self._what[places]


@dataclass(frozen=True, slots=True)
class Lane:
    """The part of an operand at fixed indices of some axes, as an operand; only to be read."""

    operand: Any
    axes: tuple[int, ...]
    fixed: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """Lengths of the axes that are left."""
        return tuple([self.operand.shape[axis] for axis in self.axes])

    @property
    def dtype(self) -> DType:
        """The dtype of the operand."""
        found: DType = self.operand.dtype
        return found

    def read_box(self, box: Box) -> NDArray:
        """See `operand.Operand`."""
        index = dict(zip(self.axes, box, strict=True))
        spots = iter(self.fixed)
        rest = [index[k] if k in index else next(spots) for k in range(len(self.operand.shape))]
        full = tuple([s if isinstance(s, slice) else slice(s, s + 1, 1) for s in rest])
        return np.asarray(self.operand.read_box(full)).reshape([s.stop - s.start for s in box])

    def borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""
        found = self.operand.borders()
        return tuple([found[axis] for axis in self.axes])

    def object_borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""
        found = self.operand.object_borders()
        return tuple([found[axis] for axis in self.axes])

    def chunk_ns(self) -> float:
        """See `operand.Operand`."""
        return float(self.operand.chunk_ns())

    @property
    def nbytes(self) -> int:
        """Bytes of the part."""
        return math.prod(self.shape) * self.dtype.itemsize
