"""Operands as dask arrays that read them block by block, and NumPy's functions where both are among the arguments.

What a class of arrays owes to dask, each held by tests/test_dask_bridge.py:

- `dask + z`, `np.add(dask, z)`, `np.concatenate([dask, z])`: dask.array answers NotImplemented beside a class that has
  `__array_ufunc__` and is no type of chunk to it; Python or NumPy then ask the other operand. So `__array_ufunc__` and
  `__array_function__` call `dispatch_ufunc` and `dispatch_function` where `is_dask` is true of a type among the arguments.
  Operators that call ufuncs follow. Never `register_chunk_type`: dask would put such an array into its blocks as it stands.
- `da.stack([dask, z])`, `da.asarray(z)`, `da.add(dask, z)`: dask calls `z.to_dask_array()`, where there is one, else it wraps
  `z` in one that it cuts and names itself.
- `da.from_array(z)` calls `z.copy()`, where there is one: the class must have no such method, for it would read everything.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ndzarr._typing import DType, NDArray, Shape
from ndzarr.errors import ArgumentError
from ndzarr.operand import Borders, Operand
from ndzarr.streaming import is_operand

#: What small chunks are put together to, at most: enough that a task's overhead of about a millisecond does not matter, and
#: little enough that the blocks in flight on many processors fit in memory.
BLOCK_NBYTES = 32 << 20

#: Lengths of blocks, by axis, as dask's `Array.chunks`.
Blocks: TypeAlias = tuple[tuple[int, ...], ...]


def is_dask(kind: type) -> bool:
    """Whether a class is dask.array's Array or made from it, without importing dask."""
    return any(base.__module__.startswith("dask.array") and base.__name__ == "Array" for base in kind.__mro__)


@dataclass(frozen=True, slots=True)
class Boxed:
    """An operand in the graph of a dask array, which takes from it by slices and integers. Pickles if the operand does."""

    operand: Operand

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self.operand.shape

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""
        return self.operand.dtype

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.operand.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray:
        """What stands at `index`, which has slices and integers; dask puts indices of its arrays together to one."""
        whole: list[Any] = [slice(None)] * len(self.operand.shape)
        whole[: len(index)] = index
        box: list[slice] = []
        within: list[Any] = []
        for entry, length in zip(whole, self.operand.shape, strict=True):
            if not isinstance(entry, slice):
                position = range(length)[entry]
                box.append(slice(position, position + 1, 1))
                within.append(0)
                continue
            picked = range(length)[entry]
            if not picked:
                box.append(slice(0, 0, 1))
                within.append(slice(None))
            else:
                low, high = min(picked[0], picked[-1]), max(picked[0], picked[-1])
                box.append(slice(low, high + 1, 1))
                within.append(slice(None, None, picked.step))
        # A 0-d array, not a scalar, where integers stand for all axes.
        return self.operand.read_box(tuple(box))[(*within, ...)]


def to_dask(operand: Operand, chunks: Any = None, *, name: str | None = None, inline_array: bool = True) -> Any:
    """A dask array whose blocks are read from `operand` when it is computed, by any scheduler; nothing is read now.

    chunks: anything that dask takes for chunks; None is the operand's own chunks, or shards, put together along the last axes
    first to at most `BLOCK_NBYTES`, none of them cut. name: of the array in graphs, else unique to this call: blocks are read
    from the store when they are computed, and what another call reads then may have changed by a write in between.
    inline_array: as for `dask.array.from_array`.
    """
    from dask.array import from_array
    from dask.array.core import normalize_chunks

    if chunks is None:
        blocks = own_blocks(operand)
    else:
        previous = tuple(b.chunk for b in _units(operand))
        blocks = normalize_chunks(chunks, operand.shape, dtype=operand.dtype, previous_chunks=previous)
    if name is None:
        from uuid import uuid4

        name = f"ndzarr-{uuid4().hex}"
    meta = np.empty((0,) * len(operand.shape), operand.dtype)
    return from_array(Boxed(operand), blocks, name=name, meta=meta, asarray=False, fancy=False, inline_array=inline_array)


def own_blocks(operand: Operand) -> Blocks:
    """The blocks that `to_dask` chooses: their lengths, by axis."""
    return _blocks(operand, _units(operand))


def _blocks(operand: Operand, borders: tuple[Borders, ...]) -> Blocks:
    lengths = [b.chunk for b in borders]
    room = BLOCK_NBYTES // max(1, operand.dtype.itemsize)
    for axis in reversed(range(len(lengths))):
        # Blocks end where chunks do, so that regular chunks make regular blocks.
        rest = math.prod(lengths) // max(1, lengths[axis])
        lengths[axis] = min(borders[axis].length, max(lengths[axis], room // max(1, rest)))
    return tuple(_lengths(b, n) for b, n in zip(borders, lengths, strict=True))


def _units(operand: Operand) -> tuple[Borders, ...]:
    """What blocks are put together from: stored objects, but for shards so large that chunks of them are better."""
    objects = operand.object_borders()
    nbytes = math.prod(b.chunk for b in objects) * operand.dtype.itemsize
    return objects if nbytes <= 2 * BLOCK_NBYTES else operand.borders()


def _lengths(along: Borders, wanted: int) -> tuple[int, ...]:
    stops = along.stops(max(1, wanted))
    return tuple(stop - start for start, stop in zip([0, *stops], stops, strict=False)) or (0,)


# ---- NumPy's protocols ----


def dispatch_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What dask.array makes of a ufunc with our operands and its arrays among the arguments: a lazy dask array.

    `out=` one of our operands is computed and written now, see `store`. Raises TypeError for what dask.array has not got.
    """
    out = tuple(kwargs.get("out") or ())
    if not any(is_operand(target) for target in out):
        inputs, kwargs = _lazy((inputs, dict(kwargs)))
        return getattr(ufunc, method)(*inputs, **kwargs)
    if method != "__call__" or len(out) != 1:
        what = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        raise TypeError(f"{what} of dask arrays cannot write to a stored array: compute it and assign what it gives")
    target = out[0]
    where, casting = kwargs.get("where", True), kwargs.get("casting", "same_kind")
    for operand in _operands((inputs, where)):
        # Of the target itself, a block of an elementwise result needs no more than the block that it replaces.
        if operand.overlaps(target) or (ufunc.signature is not None and _same(operand, target)):
            raise ArgumentError(f"out= of numpy.{ufunc.__name__} overlaps an input at other indices; write to another array")
    inputs, rest = _lazy((inputs, {key: kwargs[key] for key in kwargs if key not in ("out", "where", "casting")}))
    store(ufunc(*inputs, **rest), target, where=where, casting=casting)
    return target


def dispatch_function(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What dask.array makes of a function of NumPy's with our operands and its arrays among the arguments: lazy arrays.

    `out=` and what `copyto` copies to, where they are our operands, are computed and written now, see `store`. Raises TypeError
    for a function that dask.array has not got: dask itself would warn, and load everything.
    """
    if func is np.copyto:
        return _copyto(*args, **kwargs)
    if not _has_form(func):
        raise TypeError(
            f"dask.array has no {func.__module__}.{func.__name__}: compute the dask arrays, or use dask.array.map_blocks"
        )
    target: Any = kwargs.get("out")
    if not is_operand(target):
        args, kwargs = _lazy((args, dict(kwargs)))
        return func(*args, **kwargs)
    rest = {key: kwargs[key] for key in kwargs if key != "out"}
    _check_apart((args, rest), target, func.__name__)
    args, rest = _lazy((args, rest))
    value = func(*args, **rest)
    if value.shape != target.shape:
        raise ArgumentError(f"out= of numpy.{func.__name__} has shape {target.shape}, expected {value.shape}")
    store(value, target, casting="same_kind")
    return target


def store(value: Any, target: Operand, *, where: Any = True, casting: Any = "unsafe") -> None:
    """Compute `value`, broadcast to the shape of `target`, and write it there by whole stored objects, on dask's scheduler.

    where: elements of `target` that are False there stay as they are. Raises TypeError where `casting` forbids the cast and
    ValueError where shapes do not go together, before anything is computed. A dask array that itself reads `target` at other
    indices than it is written to finds there what was written or not yet: compute it first. ArgumentError too for an array in
    memory where dask works in other processes.
    """
    from dask.array import asarray, broadcast_to, where as choose

    value = asarray(value)
    if not np.can_cast(value.dtype, target.dtype, casting):
        raise TypeError(f"cannot cast from {value.dtype} to {target.dtype} with casting={casting!r}")
    blocks = _blocks(target, target.object_borders())
    value = broadcast_to(value, target.shape).astype(target.dtype)
    if where is not True:
        # Reads of a block come before its write, which needs all of it.
        value = choose(broadcast_to(asarray(where), target.shape), value, to_dask(target, blocks))
    written = value.rechunk(blocks).map_blocks(
        write_block, Boxed(target), dtype=bool, meta=np.empty((0,) * len(target.shape), bool)
    )
    check_reachable(target, written)
    written.compute()


def check_reachable(target: Operand, written: Any) -> None:
    """Raise ArgumentError where other processes would write to a copy of `target`, as of an array in memory."""
    from dask import local, threaded
    from dask.base import get_scheduler

    if get_scheduler(collections=[written]) in (threaded.get, local.get_sync):
        return
    placed = getattr(target, "placed", None)
    if placed is None or pickle.loads(pickle.dumps(target)).placed()[0] != placed()[0]:
        raise ArgumentError("an array in memory cannot be written to by other processes; use the scheduler 'threads'")


def write_block(block: NDArray, target: Boxed, block_info: Any = None) -> NDArray:
    """Write a block where it belongs; a part of nothing but ones, to have something to compute."""
    where = block_info[0]["array-location"]
    target.operand.write_box(tuple(slice(start, stop, 1) for start, stop in where), np.asarray(block))
    return np.ones((1,) * block.ndim, bool)


def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    if not is_operand(dst):
        raise TypeError("numpy.copyto cannot write to a dask array, which never changes")
    for operand in _operands((src, where)):
        if operand.overlaps(dst):
            raise ArgumentError("numpy.copyto: what is read overlaps what is written at other indices")
    source, mask = _lazy((src, where))
    store(source, dst, where=mask, casting=casting)


def _has_form(func: Callable[..., Any]) -> bool:
    """Whether dask.array answers `func` without loading, found as its `__array_function__` finds it."""
    import dask.array
    from dask.array import core

    if func in getattr(core, "_HANDLED_FUNCTIONS", ()):
        return True
    module: Any = dask.array
    for name in func.__module__.split(".")[1:]:
        module = getattr(module, name, None)
    return getattr(module, func.__name__, func) is not func


def _lazy(thing: Any, made: dict[int, Any] | None = None) -> Any:
    """`thing` with each operand in it, in tuples, lists and dicts too, as a dask array: one of each."""
    made = {} if made is None else made
    if is_operand(thing):
        if id(thing) not in made:
            made[id(thing)] = to_dask(thing)
        return made[id(thing)]
    if type(thing) in (list, tuple):
        return type(thing)(_lazy(one, made) for one in thing)
    if type(thing) is dict:
        return {key: _lazy(one, made) for key, one in thing.items()}
    return thing


def _operands(thing: Any) -> Iterator[Any]:
    """Every operand in nested tuples, lists and dicts."""
    if is_operand(thing):
        yield thing
    elif type(thing) in (list, tuple, dict):
        for one in thing.values() if type(thing) is dict else thing:
            yield from _operands(one)


def _same(operand: Any, target: Any) -> bool:
    """Whether two operands lie in one stored array."""
    if operand is target or not (hasattr(operand, "placed") and hasattr(target, "placed")):
        return operand is target
    return bool(operand.placed()[0] == target.placed()[0])


def _check_apart(arguments: Any, target: Any, name: str) -> None:
    for operand in _operands(arguments):
        if operand.overlaps(target) or _same(operand, target):
            raise ArgumentError(f"out= of numpy.{name} is, or overlaps, an argument; write to another array")
