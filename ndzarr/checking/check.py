"""`check`: looks at all that lies in a store, and repairs what can be repaired without inventing data.

Order: the nodes by one listing; what lies beside the keys; every chunk; consolidated metadata. Repairs come last, each under
the locks that writers take, but for transactions, which are finished first of all: everything else is looked at as it is then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ndzarr import nodes
from ndzarr.checking.documents import Repair, follow, look_at_consolidated, look_at_documents, look_at_names
from ndzarr.checking.objects import Objects
from ndzarr.checking.report import Finding, Notes, Report
from ndzarr.errors import NdzarrError, ReadOnlyError, StoreError
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.node import Node
from ndzarr.progress import Progress, meter
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.stores.remains import Remain
from ndzarr.stores.untouched import look

#: What `Store.tidy` has done.
_TIDIED = {
    "leftover": "removed",
    "duplicate": "written anew, once, with what readers saw",
    "transaction": "finished, or undone where it was not recorded",
}


def check(
    target: Any,
    path: str = "",
    *,
    repair: bool = False,
    decode: bool = True,
    progress: Progress = None,
    **store_options: Any,
) -> Report:
    """A Report of what is wrong in a store at and below `path`: damaged chunks and documents, leftovers, what does not fit.

    target: what `open` takes, or an array or group that is open. Every chunk is decoded, a few at a time, within the limits
    that reads have; decode=False looks at sizes, documents and the indices of shards alone. progress: True shows a bar on
    standard error, or a function called with how many keys were looked at, chunks and what else there is, and of how many.

    Nothing is written, not even a lock, unless `repair`: then leftovers are removed, transactions that were cut short are
    finished or undone, consolidated metadata that are out of date made anew, an archive with names that are there twice written
    anew with the last of each, and what is damaged is moved aside: into `<array>/.ndzarr/suspects` on a directory, under
    `<array>/__ndzarr_suspects__` elsewhere. It then reads as missing. No value is invented and no data deleted.

    What can be decoded is not damaged as far as anybody can tell: changed bits in chunks without a checksum are not found.

    Raises StoreError where the store can say nothing at all (a single failure is a finding), NodeNotFoundError where there is
    nothing of Zarr's, ReadOnlyError to repair what can only be read.

    >>> import ndzarr
    >>> store = ndzarr.MemoryStore()
    >>> z = ndzarr.create_array(store, shape=(4,), chunks=(2,), dtype="i4")
    >>> z[:] = [1, 2, 3, 4]
    >>> ndzarr.check(store).ok
    True
    >>> store.set("c/1", store.get("c/1")[:-3])
    >>> report = ndzarr.check(store)
    >>> report.ok, [(finding.kind, finding.where) for finding in report.findings]
    (False, [('truncated', 'c/1')])
    """
    start = time.monotonic()
    top = normalize_path(path)
    if isinstance(target, Node):
        target, top = target.store, join(target.path, top) if top else target.path
    notes = Notes()
    opened = not isinstance(target, Store)
    store = look(target, **store_options)
    try:
        if repair:
            store = _finished(target, store, top, notes, store_options)
        groups, arrays = _look(store, top, notes, repair=repair, decode=decode, progress=progress)
    finally:
        if opened:
            store.close()
    return Report(
        store=store.url,
        path=top,
        groups=groups,
        arrays=arrays,
        chunks=notes.chunks,
        nbytes=notes.nbytes,
        seconds=round(time.monotonic() - start, 3),
        decoded=decode,
        repair=repair,
        findings=notes.sorted(),
        totals=notes.totals,
        left=notes.left,
    )


def _finished(target: Any, looked: Store, path: str, notes: Notes, store_options: dict[str, Any]) -> Store:
    """The store open for writing, which finishes transactions that were cut short; those are noted."""
    found = [(remain, notes.add(_of(remain))) for remain in nodes.remains(looked, path) if remain.kind == "transaction"]
    try:
        store = resolve(target, "a", **store_options)
    except StoreError as error:
        for _, finding in found:
            if finding.open:
                notes.failed(finding, str(error))
        if found:
            return looked
        raise
    if not store.writable:
        raise ReadOnlyError(f"cannot repair {store.url}: it is open for reading only", store=store.url)
    left = {remain.name for remain in nodes.remains(store, path) if remain.kind == "transaction"}
    for remain, finding in found:
        if finding.open and remain.name not in left:
            notes.repaired(finding, "finished" if "has happened" in remain.message else "removed")
    return store


def _of(remain: Remain) -> Finding:
    return Finding(remain.kind, remain.name, remain.message, remain.level, remain.remedy)


def _look(store: Store, path: str, notes: Notes, *, repair: bool, decode: bool, progress: Progress) -> tuple[int, int]:
    """Look at everything, then repair what is to be; how many groups and arrays there are."""
    survey = nodes.Survey(store, path)
    repairs = look_at_documents(store, survey, path, notes)
    look_at_names(survey, notes)
    objects = Objects(store, survey, notes, path, decode=decode)
    for remain in nodes.remains(store, path):
        if remain.kind in ("folder", "link"):
            objects.beside(remain)
        elif remain.kind != "transaction" or not notes.found.get("transaction"):
            finding = notes.add(_of(remain))
            if remain.remedy is not None:
                repairs.append((finding, _tidying(store, remain)))
    count = sum(1 for _ in survey.set_aside())
    if count:
        notes.add(Finding("suspects", path, f"{count} {'object' if count == 1 else 'objects'} set aside", "note"))
    with meter(progress, survey.count, "check") as told:
        objects.look(told)
    if not survey.nodes and not notes.totals["error"] + notes.totals["warning"]:
        raise nodes.nowhere(store, path)
    stale = look_at_consolidated(store, survey, notes)
    if repair:
        _repair(store, [*repairs, *objects.repairs, *stale], notes)
        if any(finding.repaired for finding in notes.found.get("stray", ())):
            with suppress(NdzarrError):  # the next check tells
                follow(store, survey)
                nodes.flush(store)
    found = [*survey.nodes.values()]
    return sum(isinstance(meta, GroupMeta) for meta in found), sum(isinstance(meta, ArrayMeta) for meta in found)


def _tidying(store: Store, remain: Remain) -> Callable[[], str]:
    def run() -> str:
        nodes.tidy(store, remain)
        return _TIDIED.get(remain.kind, "done")

    return run


def _repair(store: Store, repairs: list[Repair], notes: Notes) -> None:
    if not store.writable:
        for finding, _ in repairs:
            notes.failed(finding, "the store could not be opened for writing")
        return
    done = []
    for finding, run in repairs:
        try:
            done.append((finding, run() or "gone, or in order, by now"))
        except (NdzarrError, MemoryError) as error:
            notes.failed(finding, str(error))
    try:
        nodes.flush(store)
    except StoreError as error:
        for finding, _ in done:
            notes.failed(finding, str(error))
        return
    for finding, what in done:
        notes.repaired(finding, what)
