"""Operands cut into blocks within the memory allowed, and blocks shared out among threads.

The cut. A block begins as one chunk of the operand that is largest, grows to the stored object it lies in, then along the last
axes first, until it is `BLOCK_NBYTES` large or takes its share of `options(working_memory)`. Axes that a function needs whole
are whole from the beginning. A chunk larger than the share stays one block: nothing smaller can be decoded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, Coords, DType, NDArray, Shape
from ndzarr.crew import THREADS_FROM_NS, processors, share
from ndzarr.operand import Borders, Operand
from ndzarr.progress import meter
from ndzarr.selection import Selection

Task = TypeVar("Task")

#: What a block aims at: large enough that the cost of a block vanishes, small enough for the caches of one processor.
BLOCK_NBYTES = 2 << 20
#: What a piece aims at: enough for all threads.
PIECE_NBYTES = 64 << 20
#: `options(working_memory)` is cut for so many threads at least.
_THREADS = 8
#: A block of so few chunks gains from threads whatever its codec, since single calls of NumPy are long.
_FEW_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """A shape cut into blocks: for each axis, where its blocks end."""

    stops: tuple[Sequence[int], ...]

    @property
    def counts(self) -> Shape:
        """Blocks along each axis."""
        return tuple(len(s) for s in self.stops)

    @property
    def nblocks(self) -> int:
        """Blocks in all."""
        return math.prod(self.counts)

    def slice(self, axis: int, coord: int) -> slice:
        """One axis of a block."""
        stops = self.stops[axis]
        return slice(stops[coord - 1] if coord else 0, stops[coord], 1)

    def box(self, coords: Coords) -> Box:
        """The box of one block."""
        return tuple([self.slice(axis, coord) for axis, coord in enumerate(coords)])

    def boxes(self) -> Iterator[Box]:
        """Every box, in C order."""
        yield from map(tuple, product(*([self.slice(axis, c) for c in range(n)] for axis, n in enumerate(self.counts))))


def is_operand(thing: Any) -> bool:
    """Whether `thing` is an array that is read a box at a time."""
    # By one attribute: `isinstance` of a Protocol looks at all of them.
    return hasattr(type(thing), "read_box")


def goes_by_blocks(value: Any, selection: Selection, dtype: DType) -> bool:
    """Whether `value`, assigned to what `selection` selects of an array of this dtype, is copied a block at a time: a stored
    array of the same shape that would take more than `options(working_memory=)`, to a place made of slices."""
    return (
        is_operand(value)
        and value.nbytes > config.current().working_memory
        and value.shape == selection.shape
        and not (selection.fancy or selection.mask)
        and np.can_cast(value.dtype, dtype, "unsafe")
    )


def shape_of(thing: Any) -> Shape:
    """The shape of an operand, an array, or anything that NumPy makes one of."""
    return thing.shape if hasattr(thing, "shape") else np.shape(thing)


def dtype_of(thing: Any) -> Any:
    """The dtype of an operand or array; of a Python scalar the class, which promotion treats otherwise than a dtype."""
    return (
        thing.dtype
        if hasattr(thing, "dtype")
        else type(thing)
        if type(thing) in (int, float, complex, bool)
        else np.asarray(thing).dtype
    )


def read(thing: Any, box: Box) -> Any:
    """What broadcasts to the elements of `box`, a box of the shape that `thing` is broadcast to."""
    shape = shape_of(thing)
    if not shape:
        return thing.read_box(()) if is_operand(thing) else thing
    own = own_box(shape, box)
    return thing.read_box(own) if is_operand(thing) else thing[own]


def own_box(shape: Shape, box: Box) -> Box:
    """The box of an array of this shape whose elements broadcast to those of `box`."""
    return tuple([slice(0, 1, 1) if n == 1 else s for n, s in zip(shape, box[len(box) - len(shape) :], strict=True)])


def cut(
    operands: Sequence[Any], shape: Shape, *, whole: Collection[int] = (), nbytes: int | None = None, objects: bool = False
) -> Cut:
    """Cut `shape`, which the operands broadcast to, into blocks.

    whole: axes not to be cut. nbytes: of one element of `shape` in all the arrays that a block's computation holds at once;
    by default what the operands themselves take, twice. objects: never cut a stored object of the first operand, if one fits.
    """
    borders, inner, outer = _borders(operands, shape, objects)
    itemsize = max(1, sum(np.dtype(dtype_of(x)).itemsize for x in operands))
    nbytes = max(2 * itemsize if nbytes is None else nbytes, 1)
    # Half is left to the encoded and decoded chunk that a read holds besides its result.
    limit = max(1, min(_block_nbytes() // 2 // nbytes, BLOCK_NBYTES // itemsize))
    lengths = [n if axis in whole else min(n, inner[axis]) for axis, n in enumerate(shape)]
    for axis, along in enumerate(borders):
        # Along an axis without chunks a block may be as short as needed; so it may where another axis has to be whole.
        if axis not in whole and (along.axis is None or whole):
            rest = math.prod(lengths[:axis]) * math.prod(lengths[axis + 1 :])
            lengths[axis] = max(1, min(lengths[axis], limit // max(1, rest)))
    for goal in (outer, shape):
        for axis in reversed(range(len(shape))):
            fits = limit // max(1, math.prod(lengths))
            if axis not in whole and fits > 1:
                lengths[axis] = min(max(lengths[axis], goal[axis]), lengths[axis] * fits)
    return Cut(tuple(b.stops(max(1, n), inside=bool(whole)) for b, n in zip(borders, lengths, strict=True)))


def pieces(target: Operand, nbytes: int = PIECE_NBYTES) -> Cut:
    """An array cut into pieces of whole stored objects, of about `nbytes` each, for what goes through it in C order.

    Pieces are larger than the blocks of `cut`: one is read or written in one call, which threads share out.
    """
    shape, borders = tuple(target.shape), target.object_borders()
    lengths = [min(n, b.chunk) for n, b in zip(shape, borders, strict=True)]
    limit = max(1, nbytes // max(1, np.dtype(target.dtype).itemsize))
    for axis in reversed(range(len(shape))):
        lengths[axis] = max(lengths[axis], min(shape[axis], lengths[axis] * (limit // max(1, math.prod(lengths)))))
    return Cut(tuple([b.stops(max(1, n)) for b, n in zip(borders, lengths, strict=True)]))


def _borders(operands: Sequence[Any], shape: Shape, objects: bool) -> tuple[list[Borders], list[int], list[int]]:
    """The borders that a cut goes by, the lengths of a chunk, and those of a stored object."""
    large = max((x for x in operands if is_operand(x)), key=lambda x: math.prod(x.shape), default=None)
    if objects and operands and is_operand(operands[0]):
        large = operands[0]
    borders = [Borders.loose(n) for n in shape]
    outer = list(shape)
    if large is not None:
        chunks = large.object_borders() if objects else large.borders()
        for n, own, stored in zip(range(len(shape) - len(chunks), len(shape)), chunks, large.object_borders(), strict=True):
            if own.length == shape[n]:
                borders[n] = own
                outer[n] = stored.chunk
    return borders, [b.chunk for b in borders], outer


def _block_nbytes() -> int:
    """What one block may take with all that is made of it.

    The same for any number of threads up to `_THREADS`, so that where blocks end, and with it the order of adding, depends on
    shapes and chunks and not on threads.
    """
    options = config.current()
    return max(1, options.working_memory // max(_THREADS, options.workers or processors()))


def share_nbytes() -> int:
    """One thread's share of `options(working_memory)`."""
    options = config.current()
    return max(1, options.working_memory // (options.workers or processors()))


def fits_block(operands: Iterable[Any], nbytes: int = 0) -> bool:
    """Whether the operands, and `nbytes` more, are no more than one block: then NumPy itself does it all."""
    total = nbytes
    for x in operands:
        total += math.prod(shape_of(x)) * np.dtype(dtype_of(x)).itemsize
    return total <= min(BLOCK_NBYTES, config.current().working_memory // 4)


def run(
    tasks: Iterable[Task],
    work: Callable[[Task], int | None],
    operands: Sequence[Any],
    cut: Cut | None = None,
    *,
    total: int | None = None,
) -> None:
    """Do `work` for all tasks, shared out among threads where reading the operands gains from it.

    What `work` gives is how many blocks it went through, None is one; of how many in all `total` says, by default all of `cut`.
    `options(progress=)` is told. When this returns or raises no thread works any more. The order of the tasks is not kept, nor
    is it that of the calls.
    """
    options = config.current()
    if total is None:
        total = 1 if cut is None else cut.nblocks
    with meter(options.progress, total, "compute") as told:

        def crew(mine: Iterator[Task]) -> None:
            for task in mine:
                count = work(task)
                told(1 if count is None else count)

        share(iter(tasks), crew, _task_ns(operands, cut), options.workers)


def _task_ns(operands: Sequence[Any], cut: Cut | None) -> float:
    """The estimated time of one task; less than a thread's worth where threads would only pass the interpreter's lock."""
    for x in operands:
        if not is_operand(x):
            continue
        chunks = math.prod(min(b.chunk, b.length) for b in x.borders())
        block = math.prod(x.shape) / max(1, cut.nblocks) if cut is not None else math.prod(x.shape)
        if x.chunk_ns() < THREADS_FROM_NS and block > _FEW_CHUNKS * chunks:
            return 1.0
    return 1e6


def each(operands: Sequence[Any], shape: Shape, work: Callable[[Box, list[Any]], None], **cutting: Any) -> None:
    """Read all operands block by block and do `work(box, arrays)` for each; `cutting` as for `cut`."""
    blocks = cut(operands, shape, **cutting)

    def one(box: Box) -> None:
        work(box, [read(x, box) for x in operands])

    run(blocks.boxes(), one, operands, blocks)


def load(thing: Operand) -> NDArray:
    """All of an operand."""
    return thing.read_box(tuple(slice(0, n, 1) for n in thing.shape))
