"""`advise`: what is looked at, and what is said of it. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ndzarr import nodes
from ndzarr.advising.advice import Advice, Suggestion, sorted_findings
from ndzarr.advising.stored import Look
from ndzarr.advising.traced import ENOUGH, Reads, documents, is_document, is_read
from ndzarr.errors import ArgumentError, NdzarrError
from ndzarr.group import Group, open_node
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import GroupMeta
from ndzarr.sizes import nbytes_of
from ndzarr.stores.base import Store
from ndzarr.stores.recording import Recorded, RecordingStore, ReplayStore, read_trace
from ndzarr.stores.untouched import look
from ndzarr.zarray import ZArray


def advise(
    what: Any,
    path: str = "",
    *,
    trace: Any = None,
    sample: int | str = "4MiB",
    arrays: int = 100,
    **store_options: Any,
) -> Advice:
    """Advice on how a store is laid out, or on how it is read: findings with numbers, and the call for each that does it.

    what: a ZArray, a Group, or anything that `open` takes, and `path` in it. It is looked at by its metadata, by the sizes of
    some objects, and by some chunks, of each array at most about `sample` bytes decoded ("64MiB" is a text for them), or one
    chunk if that is less than 64 MiB; of a group, so many `arrays`. Codecs are tried on the chunks looked at.

    trace: what was asked of that store: a RecordingStore or ReplayStore, the path of what `RecordingStore.save` wrote, or a
    sequence of Recorded. Then the advice is about the reads in it. A RecordingStore with requests in it as `what` is its own
    trace.

    Changes nothing. Raises NodeNotFoundError where there is nothing, and what reading metadata and chunks raises.

    >>> import ndzarr, numpy as np
    >>> z = ndzarr.array(np.arange(100_000) % 50, chunks=(500,), zarr_format=3, compressor=None)
    >>> for finding in ndzarr.advise(z):
    ...     print(finding.kind, finding.call.splitlines()[-1])
    small-objects ndzarr.convert(z, dst, chunks=(500,), shards="1MiB")
    codecs ndzarr.compress(z, dst, extras=False)
    wide-integers z.map_chunks(lambda chunk: chunk.astype("uint8"), out=new)
    """
    nbytes = nbytes_of(sample, "sample")
    if trace is None and isinstance(what, RecordingStore | ReplayStore) and any(is_read(r) for r in what.records):
        trace = what
    records = None if trace is None else _records(trace)
    opened = None
    if isinstance(what, ZArray | Group):
        node: ZArray | Group = what
    else:
        store = look(what.inner if isinstance(what, RecordingStore) else what, **store_options)
        opened = store if not isinstance(what, Store) else None
        where = normalize_path(path)
        found = open_node(store, where, writable=False, consolidated=False)
        if found is None:
            raise nodes.nowhere(store, where)
        node = found
    try:
        if records is not None:
            return _of_trace(node, records, arrays)
        return _of_node(node, nbytes, arrays)
    finally:
        if opened is not None:
            opened.close()


def _records(trace: Any) -> Sequence[Recorded]:
    if isinstance(trace, RecordingStore | ReplayStore):
        return trace.records
    if isinstance(trace, (str, os.PathLike)):
        return read_trace(trace)[1]
    if isinstance(trace, Iterable):
        records = list(trace)
        if all(isinstance(record, Recorded) for record in records):
            return records
    raise ArgumentError(
        f"trace is {type(trace).__name__}, expected a RecordingStore, a ReplayStore, the path of a trace, or a sequence of "
        "Recorded; counts alone do not say which objects were asked for",
        field="trace",
    )


# ---- stores -------------------------------------------------------------------------------------


def _of_node(node: ZArray | Group, sample: int, most: int) -> Advice:
    findings: list[Suggestion] = []
    seen = {"arrays": 0, "objects": 0, "chunks": 0, "nbytes": 0}
    complete = True
    count = 0
    for member in _nodes(node):
        count += 1
        if not isinstance(member, ZArray):
            continue
        if seen["arrays"] >= most:
            complete = False
            break
        seen["arrays"] += 1
        look_at = Look(member, sample)
        try:
            findings += look_at.findings()
        except NdzarrError as error:
            if node is member:
                raise
            # A damaged member hides no other.
            findings.append(Suggestion("unreadable", member.path, str(error), {}, f"ndzarr.check(store, {member.path!r})", 0.0))
        complete = complete and look_at.complete
        seen["objects"] += len(look_at.objects)
        seen["chunks"] += len(look_at.blocks) + look_at.filled
        seen["nbytes"] += sum(block.nbytes for block in look_at.blocks)
    if isinstance(node, Group) and count > ENOUGH and not _is_consolidated(node):
        findings.append(
            Suggestion(
                "consolidate",
                node.path,
                f"{count:,} groups and arrays, each with a document of its own; consolidated, whoever opens them reads one",
                {"documents": count},
                f"ndzarr.consolidate(store, path={node.path!r})",
                1 - 1 / count,
            )
        )
    return Advice(_name(node), sorted_findings(findings), seen, complete)


def _nodes(node: ZArray | Group) -> Iterator[ZArray | Group]:
    yield node
    if isinstance(node, Group):
        for _, member in node.members(None):
            yield member


def _is_consolidated(group: Group) -> bool:
    meta = nodes.read(group.store, group.path)
    return isinstance(meta, GroupMeta) and nodes.read_consolidated(group.store, group.path, meta) is not None


def _name(node: ZArray | Group) -> str:
    return f"{node.store.url} {node.path}".rstrip()


# ---- traces -------------------------------------------------------------------------------------


def _of_trace(node: ZArray | Group, records: Sequence[Recorded], most: int) -> Advice:
    reads: dict[str, Reads] = {}
    found = list(islice((n for n in _nodes(node) if isinstance(n, ZArray)), most + 1))
    for z in found[:most]:
        reads[z.path] = Reads(z)
    for record in records:
        if not is_read(record) or record.key is None or is_document(record.key):
            continue
        of = _array_of(record.key, reads)
        coords = None if of is None else of.z._engine.layout.coords(record.key)
        if of is not None and coords is not None:
            of.add(coords, record.nbytes or 0)
    findings = [finding for of in reads.values() for finding in of.findings()]
    if isinstance(node, Group):
        said = documents(records, _is_consolidated(node), node.path)
        findings += [] if said is None else [said]
    seen = {"arrays": len(reads), "requests": len(records)}
    return Advice(_name(node), sorted_findings(findings), seen, len(found) <= most)


def _array_of(key: str, reads: dict[str, Reads]) -> Reads | None:
    """The array that a key lies in: the longest path above it."""
    path = key
    while path:
        path = path.rpartition("/")[0]
        if path in reads:
            return reads[path]
    return reads.get(join("", ""))
