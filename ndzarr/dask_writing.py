"""`from_dask`: dask arrays written by whole stored objects, by any scheduler, so that no two tasks write to one of them."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.creation import new_array
from ndzarr.dask_bridge import Blocks, Boxed, check_reachable, write_block
from ndzarr.errors import ArgumentError, WriteHazardError
from ndzarr.grid import TARGET_NBYTES
from ndzarr.keys import normalize_path
from ndzarr.progress import Progress, meter
from ndzarr.sources import check_unread
from ndzarr.stores.registry import resolve
from ndzarr.writeplan import aligned_blocks, plan_write
from ndzarr.zarray import ZArray

Align: TypeAlias = Literal["rechunk", "raise"]

#: Blocks of dask's up to this size become chunks as they are; larger ones are cut, since nothing smaller can be read.
_CHUNK_NBYTES = 16 * TARGET_NBYTES


def from_dask(
    x: Any,
    store: Any,
    *,
    path: str = "",
    chunks: Any = "auto",
    shards: Any = None,
    align: Align = "rechunk",
    compute: bool = True,
    overwrite: bool = False,
    progress: Progress = None,
    **create: Any,
) -> Any:
    """Compute a dask array into a stored one, on dask's scheduler; the ZArray.

    store: anything that `create_array` takes, and `path` in it; or a ZArray of the same shape, which is then written to.
    chunks: "auto" is as `x` is chunked, with blocks over 16 MiB cut into equal parts. create: further keywords of
    `create_array`. align: "rechunk" moves the borders of blocks, where they cut stored objects, to those of the objects;
    "raise" raises WriteHazardError instead. Either way each stored object is written once and by one task, and none is read,
    so that threads, processes and the workers of a cluster may all write at once, to any store that they reach.

    An `x` that reads the ZArray it is written to finds there what was written or not yet, unless it reads each element only for
    that element itself, as `from_dask(z.to_dask() + 1, z)`: compute it first.

    compute=False writes the metadata alone and gives a `dask.delayed` object that writes the rest, and whose value is the
    ZArray. Raises ArgumentError for an array of unknown shape, one that does not fit, an array in memory where other
    processes are to write, and an `x` that itself reads from what `overwrite` would delete; TypeError where NumPy would not
    cast to the dtype of the array ("same_kind").

    >>> import dask.array as da, ndzarr
    >>> z = ndzarr.from_dask(da.arange(12, chunks=5), None, chunks=4)
    >>> z.chunks, int(z[-1])
    ((4,), 11)
    """
    if align not in get_args(Align):
        raise ArgumentError(f"align is {align!r}, expected 'rechunk' or 'raise'", field="align", found=align)
    if not (hasattr(x, "dask") and hasattr(x, "chunks")):
        raise ArgumentError(f"expected a dask array, found a {type(x).__name__}; see ndzarr.array", field="x", found=x)
    if any(math.isnan(n) for n in x.shape):
        raise ArgumentError(
            f"the shape of the dask array is not known, {x.shape}; call its compute_chunk_sizes() first", field="x"
        )
    if isinstance(x._meta, np.ma.MaskedArray):
        raise ArgumentError(
            "x is a masked array, and what lies under the mask would be written; pass dask.array.ma.filled(x, value), with a "
            "value that stands for what is missing",
            field="x",
        )
    if isinstance(store, ZArray):
        _check_alone(path=path, chunks=chunks, shards=shards, overwrite=overwrite, **create)
        target = store
        if target.shape != x.shape:
            raise ArgumentError(
                f"cannot write an array of shape {x.shape} to one of shape {target.shape}", found=x.shape, expected=target.shape
            )
    else:
        chunks = own_chunks(x) if isinstance(chunks, str) and chunks == "auto" else chunks
        create = {"shape": x.shape, "dtype": x.dtype, "chunks": chunks, "shards": shards, **create}
        opened, where = resolve(store, "a"), normalize_path(path)
        if overwrite:
            check_unread(x, opened, where)
        target = new_array(opened, where, overwrite=overwrite, **create)
    try:
        return store_blocks(x, target, align, compute, progress)
    except BaseException:
        if isinstance(store, (str, os.PathLike)):
            target.store.close()  # of an archive what there is is written, now that nobody has a handle on it
        raise


def _check_alone(**given: Any) -> None:
    defaults = {"path": "", "chunks": "auto", "shards": None, "overwrite": False}
    for name, value in given.items():
        if name not in defaults or (value is not defaults[name] and value != defaults[name]):
            raise ArgumentError(f"{name}= is for a new array; the one to write to is there", field=name, found=value)


def own_chunks(x: Any) -> Shape | str:
    """Lengths of chunks after those of a dask array: as they are, or equal parts of them; "auto" where they differ."""
    blocks: Blocks = x.chunks
    if any(len(set(lengths[:-1])) > 1 or lengths[-1] > lengths[0] for lengths in blocks):
        return "auto"
    chunks = [max(1, lengths[0]) for lengths in blocks]
    while math.prod(chunks) * max(1, x.dtype.itemsize) > _CHUNK_NBYTES:
        axis = max(range(len(chunks)), key=chunks.__getitem__)
        smallest = next((d for d in (2, 3, 5, 7) if chunks[axis] % d == 0), None)
        if smallest is None:
            return "auto"
        chunks[axis] //= smallest
    return tuple(chunks)


def store_blocks(x: Any, target: ZArray, align: Align, compute: bool, progress: Progress) -> Any:
    """Write a dask array to an array of its shape, by whole stored objects."""
    if not np.can_cast(x.dtype, target.dtype, "same_kind"):
        raise TypeError(f"cannot write {x.dtype} to an array of {target.dtype}: NumPy casts by 'same_kind'; use x.astype")
    target._check_writable()
    plan = plan_write(target, x)
    if not plan.aligned and align == "raise":
        group = next(group for group in plan.groups if len(group) > 1)
        raise WriteHazardError(
            f"blocks {x.chunks} cut stored objects of {target.shards or target.chunks}: {len(group)} of them, from {group[0]} "
            "on, write to the same ones, and one would undo what another has written; use align='rechunk', or rechunk the dask "
            "array to multiples of these lengths",
            store=target.store.url,
            path=target.path,
            found=x.chunks,
            expected=target.shards or target.chunks,
        )
    blocks = x if plan.aligned else x.rechunk(aligned_blocks(target, x.chunks))
    meta = np.empty((0,) * x.ndim, bool)
    gate = _Gate()
    written = blocks.astype(target.dtype).map_blocks(_write_block, Boxed(target), gate, dtype=bool, meta=meta)
    if not compute:
        from dask import delayed

        return delayed(_stored)(target, written.to_delayed().ravel().tolist())
    check_reachable(target, written)
    try:
        compute_blocks(written.to_delayed().ravel().tolist(), progress, "write")
    except BaseException:
        gate.shut()
        raise
    return target


class _Gate:
    """Lets writes of this process through until it is shut: threads of dask's go on with what they have begun after Ctrl-C,
    and with what was given to them (promise P17). Pickles as one that is never shut."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._open = True

    def __enter__(self) -> None:
        with self._changed:
            if not self._open:
                raise CancelledError("the write that this block belongs to was given up")
            self._inside += 1

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        """Let no more through, and wait for those that are inside."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: not self._inside)

    def __reduce__(self) -> tuple[type[_Gate], tuple[()]]:
        return _Gate, ()


def _write_block(block: NDArray, target: Boxed, gate: _Gate, block_info: Any = None) -> NDArray:
    with gate:
        return write_block(block, target, block_info)


def _stored(target: ZArray, written: list[NDArray]) -> ZArray:
    return target


def compute_blocks(tasks: list[Any], progress: Progress, what: str) -> None:
    """Compute delayed objects for what they do, on dask's scheduler, which tells `progress` of each that is done."""
    import dask

    with meter(progress, len(tasks), what) as done:
        client = _client(tasks)
        if client is not None and progress:
            from distributed import as_completed

            for future in as_completed(client.compute(tasks)):
                future.result()
                done(1)
            return
        with _counted({task.key for task in tasks}, done) if progress else nullcontext():
            dask.compute(*tasks)


def _client(tasks: list[Any]) -> Any:
    """The client of dask.distributed that would compute these; None where another scheduler would."""
    from dask.base import get_scheduler

    owner = getattr(get_scheduler(collections=tasks), "__self__", None)
    return owner if hasattr(owner, "scheduler_info") else None


def reaches_other_processes() -> bool:
    """Whether dask's scheduler may run tasks in other processes."""
    from dask import local, threaded
    from dask.base import get_scheduler

    return get_scheduler() not in (None, threaded.get, local.get_sync)


def _counted(keys: set[Any], done: Callable[[int], None]) -> AbstractContextManager[Any]:
    from dask.callbacks import Callback

    def told(key: Any, value: Any, graph: Any, state: Any, worker: Any) -> None:
        if key in keys:
            done(1)

    callback: AbstractContextManager[Any] = Callback(posttask=told)
    return callback
