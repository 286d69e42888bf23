"""Products of arrays summed over the axes they share, block by block: what matmul, dot, tensordot and einsum are.

Every axis of every factor has a label, and axes of one label run together. The labels of the result cut it into tiles; those
that are not in the result are cut too, and the products of the blocks are added up: integers exactly (modulo their width), half
and single precision in double, double precision in double. The order of adding depends on shape, chunks and options alone.

How large the blocks are. A tile that spans more of a label saves reading the factors which lack that label once more. So from
blocks of one chunk on the label whose growth saves most reading grows, as long as everything that one thread holds stays within
its share of `options(working_memory)`. A factor that is small is read once and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, TypeAlias

import numpy as np

from ndzarr import config
from ndzarr._typing import Coords, DType, NDArray
from ndzarr.functions.folds import wide
from ndzarr.operand import Borders
from ndzarr.streaming import Cut, dtype_of, is_operand, load, run, share_nbytes

#: Where each label's blocks lie.
Spots: TypeAlias = Mapping[int, slice]

#: So many products in one block are enough: more would only take memory.
_PRODUCTS = 1 << 22
#: A product of matrices with so few multiplications is done by one thread (OpenBLAS: `SMP_THRESHOLD_MIN` times 4, for floats).
_ONE_THREAD = 1 << 18
#: A result of so few elements is small beside what is multiplied.
_THIN = 1 << 12
#: So many products are added up at once: fewer make pieces of one thread flat, more make them thin.
_DEEP = 256
#: So many tasks are enough to keep all threads busy; fixed, so that results do not depend on the machine.
_TASKS = 16


@dataclass(frozen=True, slots=True)
class Factor:
    """One array of a product. labels: of its axes; None for an axis of length 1 that is stretched.

    change: what becomes of a block that is read, told where it lies along each axis; `conj`: then its complex conjugate.
    """

    array: Any
    labels: tuple[int | None, ...]
    conj: bool = False
    change: Callable[[NDArray, tuple[slice, ...]], NDArray] | None = None

    @property
    def own(self) -> tuple[int, ...]:
        """Each label once, in the order of the axes of what `read` gives."""
        return tuple(dict.fromkeys(x for x in self.labels if x is not None))

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return int(np.dtype(dtype_of(self.array)).itemsize)

    @property
    def stored(self) -> bool:
        """Whether it has to be read."""
        return is_operand(self.array)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(math.prod(self.array.shape)) * self.itemsize

    def read(self, spots: Spots) -> NDArray:
        """A block; its axes are `own`: of an axis that occurs twice the diagonal."""
        box = tuple([slice(0, 1, 1) if x is None else spots[x] for x in self.labels])
        block = self.array.read_box(box) if self.stored else self.array[box]
        if None in self.labels:
            block = block.reshape([n for n, x in zip(block.shape, self.labels, strict=True) if x is not None])
        labels = [x for x in self.labels if x is not None]
        if len(labels) != len(self.own):
            block = _diagonals(block, labels, self.own)
        if self.change is not None:
            block = self.change(block, tuple([spots[x] for x in self.own]))
        return np.conj(block) if self.conj and block.dtype.kind == "c" else np.asarray(block)


def _diagonals(block: NDArray, labels: list[int], own: tuple[int, ...]) -> NDArray:
    numbers = {x: k for k, x in enumerate(own)}
    found: NDArray = np.einsum(block, [numbers[x] for x in labels], list(range(len(own))))
    return found


def contract(
    factors: Sequence[Factor], labels: Sequence[int | None], lengths: Mapping[int, int], dtype: DType, place: Any
) -> None:
    """Put the product of `factors`, summed over every label that is not among `labels`, into `place`, whose axes these are.

    dtype: in which NumPy would compute it. `place`: an array or an operand that shares no element with a factor.
    """
    if 0 in [lengths[x] for x in labels if x is not None]:
        return
    factors = _kept(factors)
    blocks = plan(factors, labels, lengths, dtype, place)
    _Contraction(list(factors), tuple(labels), dtype, place, blocks, {}).run()


def _kept(factors: Sequence[Factor]) -> list[Factor]:
    """The factors, small ones read once and for all."""
    limit = config.current().working_memory // 8
    found = []
    for f in factors:
        if f.stored and f.nbytes <= limit:
            limit -= f.nbytes
            f = Factor(load(f.array), f.labels, f.conj, f.change)
        found.append(f)
    return found


# ---- how large the blocks are --------------------------------------------------------------------------------


def plan(
    factors: Sequence[Factor], labels: Sequence[int | None], lengths: Mapping[int, int], dtype: DType, place: Any
) -> dict[int, list[int]]:
    """Where the blocks of each label end."""
    out = [x for x in labels if x is not None]
    chunks = _chunks(factors, lengths)
    borders = {x: max(found, key=lambda b: b.chunk) if found else Borders.loose(lengths[x]) for x, found in chunks.items()}
    sizes = {x: b.chunk if chunks[x] else 1 for x, b in borders.items()}
    if is_operand(place):
        # Tiles of whole stored objects, which are written unread.
        for x, own in zip(labels, place.object_borders(), strict=True):
            if x is not None and own.axis is not None:
                borders[x], sizes[x] = own, own.chunk
    ledger = _Ledger(factors, out, lengths, dtype, {x: {id(b): b.chunk for b in found} for x, found in chunks.items()})
    # Room is left for a chunk that is decoded, its encoded bytes and what a codec holds between. Nothing smaller than a chunk
    # can be decoded, so a block may always be as large as a few of them.
    decoded = [f.itemsize * math.prod(min(b.chunk, b.length) for b in f.array.borders()) for f in factors if f.stored]
    share = share_nbytes()
    limit = max(share // 2, share * 7 // 8 - 4 * max(decoded, default=0), 4 * sum(decoded))
    while ledger.held(sizes) > limit and max(sizes.values(), default=1) > 1:
        _shrink(ledger, sizes)
    _grow(ledger, sizes, limit)
    return {x: _stops(borders[x], sizes[x]) if lengths[x] else [] for x in sizes}


def _chunks(factors: Sequence[Factor], lengths: Mapping[int, int]) -> dict[int, list[Borders]]:
    """The borders of all stored axes that have a label, by label."""
    found: dict[int, list[Borders]] = {x: [] for x in lengths}
    for f in factors:
        if f.stored:
            for x, own in zip(f.labels, f.array.borders(), strict=True):
                if x is not None and own.axis is not None:
                    found[x].append(own)
    return found


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What blocks of given sizes hold in memory, and how much reading they cost."""

    factors: Sequence[Factor]
    out: list[int]
    lengths: Mapping[int, int]
    dtype: DType
    chunks: Mapping[int, Mapping[int, int]]

    def held(self, sizes: Mapping[int, int]) -> int:
        """Bytes of the blocks of all factors, read and once more in another order, and of a tile with what is added to it."""
        total = (wide(self.dtype).itemsize + max(4, self.dtype.itemsize)) * math.prod(sizes[x] for x in self.out)
        for f in self.factors:
            copied = max(f.itemsize, self.dtype.itemsize)
            total += (f.itemsize * f.stored + copied) * math.prod(sizes[x] for x in f.own)
        return total

    def cost(self, sizes: Mapping[int, int]) -> float:
        """Bytes decoded."""
        total = 0.0
        for f in self.factors:
            if f.stored:
                own = f.own
                times = math.prod(-(-n // sizes[x]) for x, n in self.lengths.items() if x not in own and n)
                cuts = math.prod(max([1.0, *(c / sizes[x] for c in self.chunks[x].values())]) for x in own)
                total += f.nbytes * times * cuts
        return total

    def products(self, sizes: Mapping[int, int]) -> int:
        """Multiplications in one block."""
        return math.prod(sizes.values())


def _shrink(ledger: _Ledger, sizes: dict[int, int]) -> None:
    """Halve the label that costs least."""
    long = [x for x, n in sizes.items() if n > 1]
    before = ledger.held(sizes)

    def price(x: int) -> float:
        tried = {**sizes, x: -(-sizes[x] // 2)}
        saved = before - ledger.held(tried)
        return ledger.cost(tried) / saved if saved else math.inf

    x = min(long, key=price)
    sizes[x] = -(-sizes[x] // 2)


def _grow(ledger: _Ledger, sizes: dict[int, int], limit: int) -> None:
    """Double labels within `limit`: first what saves reading, then, while blocks are small, what is summed over."""
    while True:
        best, now = None, ledger.cost(sizes)
        spare = None
        for x in sorted(sizes, key=lambda x: x in ledger.out):
            if sizes[x] >= ledger.lengths[x]:
                continue
            tried = {**sizes, x: min(ledger.lengths[x], 2 * sizes[x])}
            if ledger.held(tried) > limit:
                continue
            cost = ledger.cost(tried)
            if cost < now:
                best, now = x, cost
            elif spare is None and ledger.products(tried) <= _PRODUCTS:
                spare = x
        chosen = spare if best is None else best
        if chosen is None:
            return
        sizes[chosen] = min(ledger.lengths[chosen], 2 * sizes[chosen])


def _stops(borders: Borders, wanted: int) -> list[int]:
    """Where blocks of at most `wanted` elements end, at borders where these are; a chunk that is longer is cut."""
    if borders.axis is None or wanted >= borders.chunk:
        return borders.stops(wanted)
    found: list[int] = []
    start = 0
    for stop in borders.stops(borders.chunk):
        found += [*range(start + wanted, stop, wanted), stop]
        start = stop
    return found


# ---- products of blocks --------------------------------------------------------------------------------


def multiplied(blocks: list[NDArray], owns: list[tuple[int, ...]], out: list[int], dtype: DType) -> NDArray:
    """The product of blocks whose axes have the labels `owns`, summed over the labels that are not in `out`."""
    kind = np.dtype(np.float32) if dtype == np.float16 else dtype
    blocks = [b.astype(kind, copy=False) for b in blocks]
    if len(blocks) == 2:
        return _pair(blocks, owns, out)
    numbers = {x: k for k, x in enumerate(dict.fromkeys(x for own in owns for x in own))}
    if len(blocks) == 1:
        gone = tuple([k for k, x in enumerate(owns[0]) if x not in out])
        total = _added(blocks[0], gone)
        left = [x for x in owns[0] if x in out]
        return total.transpose([left.index(x) for x in out])
    parts: list[Any] = []
    for b, own in zip(blocks, owns, strict=True):
        parts += [b, [numbers[x] for x in own]]
    found: NDArray = np.einsum(*parts, [numbers[x] for x in out], optimize="greedy")
    return found


def _added(block: NDArray, axes: tuple[int, ...]) -> NDArray:
    if not axes:
        return block
    if block.dtype == bool:
        return np.asarray(np.logical_or.reduce(block, axis=axes))
    return np.asarray(np.add.reduce(block, axis=axes, dtype=wide(block.dtype)).astype(block.dtype, copy=False))


def _pair(blocks: list[NDArray], owns: list[tuple[int, ...]], out: list[int]) -> NDArray:
    """Two blocks by one matmul: (labels of both and the result, rows, summed) @ (.., summed, columns)."""
    a, b = blocks
    first, second = owns
    gone = tuple([k for k, x in enumerate(first) if x not in out and x not in second])
    a, first = _added(a, gone), tuple(x for k, x in enumerate(first) if k not in gone)
    gone = tuple([k for k, x in enumerate(second) if x not in out and x not in first])
    b, second = _added(b, gone), tuple(x for k, x in enumerate(second) if k not in gone)
    both = [x for x in first if x in second and x in out]
    summed = [x for x in first if x in second and x not in out]
    rows = [x for x in first if x not in second]
    columns = [x for x in second if x not in first]
    lengths = dict(zip([*first, *second], [*a.shape, *b.shape], strict=True))
    size = [math.prod(lengths[x] for x in group) for group in (both, rows, summed, columns)]
    left = a.transpose([first.index(x) for x in (*both, *rows, *summed)]).reshape(size[0], size[1], size[2])
    right = b.transpose([second.index(x) for x in (*both, *summed, *columns)]).reshape(size[0], size[2], size[3])
    # With nothing to sum, or no rows and columns, a product of elements is faster than a product of matrices.
    found = left * right if not summed else matrix_product(left, right)
    order = [*both, *rows, *columns]
    return np.asarray(found.reshape([lengths[x] for x in order]).transpose([order.index(x) for x in out]))


def matrix_product(left: NDArray, right: NDArray) -> NDArray:
    """`left @ right` of stacks of matrices, in pieces that one thread multiplies.

    BLAS would share out a larger product among threads of its own, for which it then waits: beside our own threads, which keep
    the processors busy, that takes up to a hundred times as long as the product itself (OpenBLAS 0.3: 37 ms against 0.4 ms for
    matrices of 256 x 256 on a busy machine).
    """
    stack, m, k = left.shape
    n = right.shape[2]
    if left.dtype.kind not in "fc" or m * n * k <= _ONE_THREAD:
        return np.asarray(np.matmul(left, right))
    if stack == 1 and m * n <= _THIN:
        size = max(1, _ONE_THREAD // (m * n))
        whole = k // size * size
        parts = np.matmul(left[0, :, :whole].reshape(m, -1, size).transpose(1, 0, 2), right[0, :whole].reshape(-1, size, n))
        total = np.asarray(np.add.reduce(parts, axis=0, keepdims=True, dtype=wide(left.dtype)))
        return total if whole == k else np.asarray(total + np.matmul(left[:, :, whole:], right[:, whole:]))
    found = np.empty((stack, m, n), left.dtype)
    for a, b, place in zip(left, right, found, strict=True):
        _pieces(a[:, :_DEEP], b[:_DEEP], place)
        for start in range(_DEEP, k, _DEEP):
            more = np.empty((m, n), left.dtype)
            _pieces(a[:, start : start + _DEEP], b[start : start + _DEEP], more)
            place += more
    return found


def _pieces(left: NDArray, right: NDArray, place: NDArray) -> None:
    """Put `left @ right` into `place`, all of one size at once."""
    m, k = left.shape
    n = right.shape[1]
    area = max(1, _ONE_THREAD // k)
    columns = min(n, max(1, math.isqrt(area)))
    rows = min(m, area // columns)
    columns = min(n, area // rows)
    for top, bottom, r in ((0, m // rows * rows, rows), (m // rows * rows, m, m % rows)):
        for start, stop, c in ((0, n // columns * columns, columns), (n // columns * columns, n, n % columns)):
            if top < bottom and start < stop:
                a = left[top:bottom].reshape(-1, 1, r, k)
                b = right[:, start:stop].reshape(k, -1, c).transpose(1, 0, 2)[None]
                np.matmul(a, b, out=place[top:bottom, start:stop].reshape(-1, r, (stop - start) // c, c).transpose(0, 2, 1, 3))


# ---- the loop --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Contraction:
    factors: list[Factor]
    labels: tuple[int | None, ...]
    dtype: DType
    place: Any
    blocks: dict[int, list[int]]
    states: dict[tuple[Coords, int], NDArray]
    out: list[int] = field(init=False)
    summed: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.out = [x for x in self.labels if x is not None]
        self.summed = [x for x in self.blocks if x not in self.out]

    def run(self) -> None:
        counts = [len(self.blocks[x]) for x in self.out]
        steps = math.prod(len(self.blocks[x]) for x in self.summed)
        tile = math.prod(max(np.diff([0, *self.blocks[x]])) for x in self.out) * wide(self.dtype).itemsize
        segments = min(steps, -(-_TASKS // math.prod(counts)), share_nbytes() // int(4 * tile))
        segments = max(1, segments)
        bounds = [steps * k // segments for k in range(segments + 1)]
        tiles = [range(n) for n in counts]
        tasks = ((spot, k, bounds[k], bounds[k + 1]) for spot in product(*tiles) for k in range(segments))
        stored = [f.array for f in self.factors if f.stored]
        cut = Cut(tuple([self.blocks[x] for x in (*self.out, *self.summed)]))
        run(tasks, self._task, stored, cut)
        if segments > 1:
            for spot in product(*tiles):
                total = self.states.pop((spot, 0))
                for k in range(1, segments):
                    total = self._add(total, self.states.pop((spot, k)))
                self._put(self._spots(self.out, spot), total)

    def _spots(self, labels: Sequence[int], coords: Coords) -> dict[int, slice]:
        found = {}
        for x, c in zip(labels, coords, strict=True):
            stops = self.blocks[x]
            found[x] = slice(stops[c - 1] if c else 0, stops[c], 1)
        return found

    def _task(self, task: tuple[Coords, int, int, int]) -> int:
        tile, segment, start, stop = task
        spots = self._spots(self.out, tile)
        total: NDArray | None = None
        steps = product(*(range(len(self.blocks[x])) for x in self.summed))
        for coords in islice(steps, start, stop):
            found = self._block({**spots, **self._spots(self.summed, coords)})
            if total is None:
                kind = wide(self.dtype)
                total = found if found.dtype == kind and found.flags.owndata else found.astype(kind)
            else:
                total = self._add(total, found)
        if total is None:  # a sum over nothing
            total = np.zeros([s.stop - s.start for s in spots.values()], self.dtype)
        if (start, stop) == (0, math.prod(len(self.blocks[x]) for x in self.summed)):
            self._put(spots, total)
        else:
            self.states[tile, segment] = total  # one key a task: no lock needed
        return stop - start

    def _block(self, spots: Spots) -> NDArray:
        blocks: list[NDArray] = []
        for k, f in enumerate(self.factors):
            twin = next((j for j in range(k) if self._same(self.factors[j], f, spots)), None)
            blocks.append(f.read(spots) if twin is None else np.conj(blocks[twin]) if f.conj else blocks[twin])
        return multiplied(blocks, [f.own for f in self.factors], self.out, self.dtype)

    @staticmethod
    def _same(one: Factor, other: Factor, spots: Spots) -> bool:
        """Whether two factors are the same block of the same array: then it is read once."""
        if one.array is not other.array or one.conj or one.change is not other.change or not one.stored:
            return False
        return [spots.get(x, 0) if x is not None else 0 for x in one.labels] == [
            spots.get(x, 0) if x is not None else 0 for x in other.labels
        ]

    @staticmethod
    def _add(total: NDArray, found: NDArray) -> NDArray:
        if total.dtype == bool:
            return np.asarray(np.logical_or(total, found, out=total))
        with np.errstate(all="ignore"):
            total += found
        return total

    def _put(self, spots: Spots, total: NDArray) -> None:
        box = tuple([slice(0, 1, 1) if x is None else spots[x] for x in self.labels])
        with np.errstate(all="ignore"):
            value = total.astype(self.dtype, copy=False).reshape([s.stop - s.start for s in box])
        if is_operand(self.place):
            self.place.write_box(box, value)
        else:
            self.place[box or ...] = value
