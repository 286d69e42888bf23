"""`rechunk`: an array with other chunks, in bounded memory, which goes on where it was when it is called again after a kill.

The order of things, each of which may be the last before the process dies:

1. What was at the target is deleted, where `overwrite` says so. A record says what is being done, from what and how.
2. Blocks are copied, and each is marked when its last object is in the store. Objects that are there say nothing, since those
   of nothing but fill values are not stored; marks do.
3. The documents of the target are written: from here on it is an array, and a whole one.
4. The record says that all is done; what lies between two passes goes, then the marks, then the record.

Called again, 1 finds the record: if it is of this very work, blocks that are marked are passed over. What lies in between is
stored whole, also where it is nothing but fill values, so that a part of it that somebody removed is an error, not fill values.

Of two at work on one target, the one that began last has it: the record names the run, too, and before a block is written, and
before the documents are, it is looked up whether that is still this one.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, get_args
from weakref import WeakKeyDictionary

import numpy as np

from ndzarr import config, nodes
from ndzarr.api import open_array
from ndzarr.creation import make_room, planned_array, put_node
from ndzarr.crew import share
from ndzarr.dask_writing import compute_blocks, reaches_other_processes
from ndzarr.errors import ArgumentError
from ndzarr.formats.newarray import check_format
from ndzarr.formats.transfer import arguments_for, extra_for
from ndzarr.group import Group
from ndzarr.keys import RECHUNKING, join, normalize_path
from ndzarr.lazyview import LazyView
from ndzarr.metadata import ArrayMeta
from ndzarr.nodes import Worklog
from ndzarr.process import here
from ndzarr.progress import Progress, meter
from ndzarr.rechunking.work import Budget, Step, Target, budget, cut_blocks
from ndzarr.relocation import check_apart
from ndzarr.sizes import nbytes_of
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.zarray import ZArray

Scheduler: TypeAlias = Literal["threads", "dask"]

#: The folder beside the target that notes lie in, and what is in between.
FOLDER = RECHUNKING
#: What may be given anew, besides chunks and shards.
_CHANGES = frozenset("access compressor filters order dimension_separator checksum fill_value zarr_format".split())


def rechunk(
    src: Any,
    dst: Any,
    *,
    path: str = "",
    chunks: Any,
    shards: Any = None,
    max_mem: int | str = "256MiB",
    overwrite: bool = False,
    temp: Any = None,
    progress: Progress = None,
    scheduler: Scheduler = "threads",
    **changes: Any,
) -> ZArray:
    """Write an array with other chunks to another place, within `max_mem`; the new array, open for reading and writing.

    src: a ZArray, or anything that `open_array` takes. dst: anything that `create_array` takes, and `path` in it. chunks,
    shards: as for `create_array`. changes: access, compressor, filters, order, dimension_separator, checksum, fill_value and
    zarr_format; what is not given stays as it is. Values, attributes, names of dimensions and unknown fields are kept.

    max_mem: what arrays, encoded and decoded, may take at any moment, in bytes or as "256MiB"; of strings and objects only the
    pointers count. Where one pass over the array cannot do it within that without reading chunks over and over, two go
    through an array in between, beside the target or in the store or directory `temp`, as large as the whole array
    uncompressed.

    Until it is done there is no array at the target, so that nobody takes half of it for whole. After a kill, or an exception,
    the same call goes on where it was; what the source has got meanwhile in blocks that were done is not seen. scheduler:
    "threads" of this process, or "dask", which makes tasks for its scheduler, on the workers of a cluster too; `max_mem` is
    then that of one task.

    Of two at once to one target the one that began last goes on; the other one stops with WriteHazardError at its next block.

    Raises ArgumentError where a rechunk with other arguments, or of a source whose metadata have changed since, was begun and
    not finished there (`overwrite=True` starts over); NodeExistsError where something is at `dst`, unless `overwrite`;
    MemoryLimitError, which says how much is needed, where `max_mem` is too small for a single object.

    >>> import ndzarr
    >>> maps = ndzarr.ones((6, 4, 4), chunks=(1, 4, 4), dtype="f4")
    >>> series = ndzarr.rechunk(maps, None, chunks=(6, 2, 2))
    >>> series.chunks, float(series[:, 0, 0].sum())
    ((6, 2, 2), 6.0)
    """
    _check(changes, scheduler)
    limit = nbytes_of(max_mem, "max_mem")
    if isinstance(src, (Group, LazyView, np.ndarray)):
        raise ArgumentError(
            f"expected an array that is stored, found a {type(src).__name__}; rechunk the arrays of a group one by one, and "
            "store a view or an array in memory with ndzarr.array, which takes chunks= too",
            field="src",
        )
    given = src if isinstance(src, ZArray) else open_array(src)
    store = resolve(dst, "a")
    where = normalize_path(path)
    check_apart(given.store, given.path, store, where, "rechunk")
    # An archive is complete when it is closed.
    with closing(store) if isinstance(dst, (str, os.PathLike)) else nullcontext():
        work = _Rechunk(given, store, where, limit, temp, scheduler, chunks, shards, changes)
        made = work.run(overwrite, progress)
    if given is not src and given.store is not src:
        given.store.close()
    return open_array(dst, "r+", path=where) if isinstance(dst, (str, os.PathLike)) else made


def _check(changes: dict[str, Any], scheduler: str) -> None:
    unknown = sorted(set(changes) - _CHANGES)
    if unknown:
        raise ArgumentError(f"cannot change {unknown[0]!r}; expected any of {', '.join(sorted(_CHANGES))}", field=unknown[0])
    if scheduler not in get_args(Scheduler):
        raise ArgumentError(f"scheduler is {scheduler!r}, expected 'threads' or 'dask'", field="scheduler", found=scheduler)
    if scheduler == "dask" and find_spec("dask") is None:  # before anything is deleted
        raise ArgumentError("scheduler='dask' needs dask; install it: pip install dask", field="scheduler", found=scheduler)
    check_format(changes.get("zarr_format"))


class _Rechunk:
    """One rechunk: what it reads and writes, and what identifies it."""

    def __init__(
        self,
        source: ZArray,
        store: Store,
        path: str,
        max_mem: int,
        temp: Any,
        scheduler: Scheduler,
        chunks: Any,
        shards: Any,
        changes: dict[str, Any],
    ) -> None:
        self.source = source
        self.store = store
        self.path = path
        self.scheduler = scheduler
        version = changes.get("zarr_format") or source.zarr_format
        fill = source._engine.layout.fill
        create, _ = arguments_for(source.metadata, source.chunks, version, fill, flat=True)
        create |= {**changes, "chunks": chunks, "shards": shards}
        target = planned_array(store, path, allow_pickle=source._allow_pickle, **create)
        extra = extra_for(source.metadata, version)
        self.meta = replace(target.metadata, extra=extra) if extra else target.metadata
        #: Of one task, where dask decides how many there are at once.
        self.budget = budget(source, target, max_mem, tasks=scheduler == "dask")
        self.log = Worklog(store, path, FOLDER)
        #: Which call this is, of all that are made to do the same.
        self.run_id = secrets.token_hex(8)
        self.temp = None if temp is None else resolve(temp, "a")
        self.identity = self._identity()
        self.between = None if self.budget.passes.between is None else self._between(create, version)
        self.steps = self._steps(target)

    def _identity(self) -> str:
        source = self.source
        told = (
            (_named(source.store), source.path, repr(replace(source.metadata, attributes={}))),
            repr(replace(self.meta, attributes={})),
            [step.block for step in self.budget.passes.steps],
            self.budget.passes.between,
            None if self.temp is None else _named(self.temp),
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def _between(self, create: dict[str, Any], version: int) -> Target:
        store, path = self.store, join(join(self.path, FOLDER), "between")
        if self.temp is not None:
            store, path = self.temp, _elsewhere(self.identity)
        create = {**create, "chunks": self.budget.passes.between, "shards": None, "attributes": {}, "dimension_names": None}
        # As fast as can be, and nothing that changes values; what has no size of its own needs its filters.
        create |= {"access": None, "compressor": _QUICK, "checksum": False, "zarr_format": version}
        if not self.source.dtype.hasobject and self.source.dtype.kind != "T":
            create["filters"] = None
        made = planned_array(store, "", allow_pickle=self.source._allow_pickle, **create)
        return Target(store, path, made._meta, self.source._allow_pickle, complete=True)

    def _steps(self, planned: ZArray) -> list[Step]:
        target = Target(self.store, self.path, planned._meta, self.source._allow_pickle)
        inner = config.current()
        inner = replace(inner, workers=self.budget.workers, batch_bytes=self.budget.batch_bytes)
        first, *rest = self.budget.passes.steps
        if self.between is None:
            return [Step(1, self.source, target, cut_blocks(first, planned.object_borders()), self.log, self.run_id, inner)]
        borders = self.between.array().object_borders()
        return [
            Step(1, self.source, self.between, cut_blocks(first, borders), self.log, self.run_id, inner),
            Step(2, self.between, target, cut_blocks(rest[0], planned.object_borders()), self.log, self.run_id, inner),
        ]

    # ---- from the beginning, or from where it was ---------------------------------------------------------

    def run(self, overwrite: bool, progress: Progress) -> ZArray:
        self._check_reachable()
        marked = self._begin(overwrite)
        if marked is not None:
            self._copy(marked, progress)
            with nodes.node_lock(self.store, self.path):
                self.log.check(self.run_id)
                put_node(self.store, self.path, self.meta, own=FOLDER)
                nodes.flush(self.store)
                self._write_record(finished=True)
        self._clear()
        return ZArray(self.store, self.path, self.meta, writable=True, allow_pickle=self.source._allow_pickle)

    def _begin(self, overwrite: bool) -> set[str] | None:
        """The marks of what is done already; None where all is but for what has to be cleared away."""
        earlier = (self.log.read() or {}).get("work") if overwrite else None
        if overwrite:
            nodes.stop_unfinished(self.store, self.path, FOLDER if earlier == self.identity else "")
        with nodes.node_lock(self.store, self.path):
            record = self.log.read()
            there = nodes.find(self.store, self.path) if nodes.kind(self.store, self.path) is not None else None
            if record is not None and record.get("work") == self.identity:
                marked = self.log.marked()
                finished = record.get("finished") is True or not any(step.left(marked) for step in self.steps)
                if there is None and not record.get("finished"):
                    self._write_record(finished=False)  # it is this run's now
                    return marked
                # Where it is to be replaced it is made anew: its source may be another one since.
                if finished and not overwrite and isinstance(there, ArrayMeta) and _alike(there, self.meta):
                    self._write_record(finished=True)
                    return None
            elif record is not None and not overwrite and there is None:
                raise ArgumentError(
                    f"a rechunk to {self.path or '/'!r} in {self.store.url} was begun with other arguments, or the metadata of "
                    "its source have changed since; call it as it was called, or pass overwrite=True to start over",
                    store=self.store.url,
                    path=self.path,
                )
            make_room(self.store, self.path, overwrite, self.meta.zarr_format, "" if overwrite else FOLDER)
            # Marks without a record, too: a run that was no longer wanted may have left them.
            self.log.clear()
            if self.temp is not None:
                for work in {earlier, (record or {}).get("work")}:
                    nodes.remove_below(self.temp, _elsewhere(str(work)))
            self._forget_between()
            self._write_record(finished=False)
        return set()

    def _write_record(self, *, finished: bool) -> None:
        record = {"ndzarr_rechunk": 1, "work": self.identity, "run": self.run_id, "finished": finished}
        self.log.write(json.dumps(record).encode())

    def _clear(self) -> None:
        with nodes.node_lock(self.store, self.path):
            self.log.check(self.run_id)
            self._forget_between()
            self.log.clear()

    def _forget_between(self) -> None:
        if self.between is not None:
            nodes.remove_below(self.between.store, self.between.path)

    # ---- copying ------------------------------------------------------------------------------------------

    def _copy(self, marked: set[str], progress: Progress) -> None:
        todo = [(step, step.left(marked)) for step in self.steps]
        total = sum(step.cut.nblocks for step in self.steps)
        with meter(progress, total, "rechunk") as done:
            if before := total - sum(len(blocks) for _, blocks in todo):
                done(before)
            for step, blocks in todo:
                if self.scheduler == "dask":
                    _by_dask(step, blocks, done if progress else None)
                else:
                    _by_threads(step, blocks, self.budget, done)

    def _check_reachable(self) -> None:
        """Raise ArgumentError where workers of dask's would write to copies of their own."""
        stores = [self.store] if self.between is None else [self.store, self.between.store]
        if self.scheduler == "dask" and any(store.by_value for store in stores) and reaches_other_processes():
            raise ArgumentError(
                "an array in memory cannot be written to by other processes; use scheduler='threads', or write to a directory",
                store=self.store.url,
                path=self.path,
            )


def _named(store: Store) -> str:
    """What stands for a store, as long as it lives, and for no other one. Memory has no name of its own: another array may come
    to lie at the same address, and every process has a database ":memory:"."""
    return f"{here().hex()}:{_memories.setdefault(store, secrets.token_hex(8))}" if store.by_value else store.url


#: A name for each store in memory that was asked for one.
_memories: WeakKeyDictionary[Store, str] = WeakKeyDictionary()


def _elsewhere(identity: str) -> str:
    """Where in a store that was given as `temp` lies what is in between."""
    return f"{FOLDER}{identity[:16]}"


def _alike(a: ArrayMeta, b: ArrayMeta) -> bool:
    """Whether two arrays are stored alike, whatever their attributes say."""
    return repr(replace(a, attributes={})) == repr(replace(b, attributes={}))


def _by_threads(step: Step, blocks: list[int], budget: Budget, done: Callable[[int], None]) -> None:
    def work(mine: Iterator[int]) -> None:
        for block in mine:
            step.copy(block)
            step.done(block)
            done(1)

    # A block takes long enough for a thread, whatever it is made of.
    share(iter(blocks), work, 1e9, budget.lanes, count=len(blocks))


def _by_dask(step: Step, blocks: list[int], done: Callable[[int], None] | None) -> None:
    from dask import delayed

    copy = delayed(_copy_block, pure=False)
    compute_blocks([copy(step, block) for block in blocks], None if done is None else lambda n, total: done(1), "rechunk")


def _copy_block(step: Step, block: int) -> None:
    step.copy(block)
    step.done(block)


#: What is in between is written once and read once.
_QUICK = {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 1}
