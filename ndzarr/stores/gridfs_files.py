"""The revisions of a GridFS file: how one is added so that of two writers one wins, how it is read, and what is left over.

A bucket is GridFS's own: documents of `<bucket>.files` name and measure a file, `<bucket>.chunks` hold its bytes. A key is a
file name, and each write adds a revision, `metadata.version`, one more than the newest. (file name, version) is unique, and to
insert the document is what commits the write: whoever inserts a version first has won, the other is told. That one step is all
that is asked of the server, and every server does it; to change a document on a condition is not atomic in all that speak
MongoDB's language. Readers take the newest, so there is always one; older revisions are deleted afterwards.

A deletion is a revision too, without bytes, so that versions never start again, and nobody takes a new file for an old one.
Such a tombstone goes when the key is written again, or when `delete_prefix` comes by a day later. A writer that finds one older
than half a day puts a new one on top before it goes on, so that nobody builds on one that is about to go.

Chunks come before their document, so a writer that is killed leaves chunks that belong to nothing. Before it uploads, a writer
notes the ids that it will use in `<bucket>.uploads`; who first writes through a store looks for notes older than an hour.
Before the chunks of an id go, a document takes the id's place, so that their writer, had it only slept, cannot commit it.
"""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ndzarr._typing import Key
from ndzarr.imports import import_behind
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores.base import own_lock

Document = dict[str, Any]
#: How many ids a note reserves, at least.
_RESERVED = 64
#: Notes of uploads and other leftovers of this age have no writer any more (promise P22).
_LEFTOVER = timedelta(hours=1)
_STALE = timedelta(minutes=20)
_TOMBSTONE = timedelta(hours=24)
_WANING = timedelta(hours=12)
#: How many earlier revisions a document names.
PAST = 64
#: The most names or ids in one query.
MOST = 1000


def version(doc: Document) -> int:
    """The number of a revision; those of files that others put into the bucket come before all of ours."""
    found = (doc.get("metadata") or {}).get("version")
    return found if isinstance(found, int) else -1


def is_tombstone(doc: Document) -> bool:
    """Whether this revision says that there is no such key."""
    return bool((doc.get("metadata") or {}).get("deleted"))


def age(doc: Document) -> timedelta:
    """How long ago a revision was made."""
    made: datetime = doc["uploadDate"]
    return datetime.now(UTC) - (made if made.tzinfo else made.replace(tzinfo=UTC))


def newest(docs: Iterable[Document]) -> Document | None:
    """The revision that counts, tombstones among them."""
    return max(docs, key=lambda doc: (version(doc), doc["uploadDate"].replace(tzinfo=None)), default=None)


def wanes(doc: Document) -> bool:
    """Whether a tombstone is so old that it may soon be gone."""
    return is_tombstone(doc) and age(doc) > _WANING


def is_spent(doc: Document) -> bool:
    """Whether a tombstone is so old that nobody builds on it any more."""
    return is_tombstone(doc) and age(doc) > _TOMBSTONE


def runs(items: Iterable[Any], most: int = MOST) -> Iterator[list[Any]]:
    """`items` in lists of at most `most`."""
    run: list[Any] = []
    for item in items:
        run.append(item)
        if len(run) == most:
            yield run
            run = []
    if run:
        yield run


def after(prefix: str) -> str | None:
    """The least text that is greater than all that start with `prefix`, in the order of code points; None for no such text."""
    while prefix:
        last = ord(prefix[-1])
        prefix = prefix[:-1]
        if last < 0x10FFFF:
            return prefix + chr(0xE000 if last == 0xD7FF else last + 1)
    return None


def between(prefix: str, start: str | None = None) -> Document:
    """The condition that a name starts with `prefix`, and does not come before `start`."""
    bounds = {"$gte": prefix if start is None else start}
    if (end := after(prefix)) is not None:
        bounds["$lt"] = end
    return {"filename": bounds}


class Bucket:
    """The collections of a bucket, in one process. Raises what pymongo raises. Thread-safe."""

    _lock: Any  # see own_lock

    def __init__(self, database: Any, name: str, chunk_size: int) -> None:
        self.files, self.chunks, self.uploads = (
            database[f"{name}.files"],
            database[f"{name}.chunks"],
            database[f"{name}.uploads"],
        )
        self.chunk_size = chunk_size
        self._ready = False
        self._ids: list[Any] = []
        self._noted = datetime.now(UTC)
        self._note: Any = None
        self._open: dict[Any, set[Any]] = {}  # note -> ids of it that are in use
        own_lock(self)

    # ---- reading --------------------------------------------------------------------------------

    def revisions(self, keys: Sequence[Key]) -> dict[Key, list[Document]]:
        """The documents of each of `keys` that has any."""
        found: dict[Key, list[Document]] = defaultdict(list)
        for run in runs(keys):
            # A str, or a list of them: never an operator.
            for doc in self.files.find({"filename": run[0] if len(run) == 1 else {"$in": run}}):
                found[doc["filename"]].append(doc)
        return found

    def parts(self, wanted: Iterable[tuple[Document, int, int]]) -> Iterator[Document]:
        """The chunks `first` to `last` of each (document, first, last), in any order."""
        whole, clauses = [], []
        for doc, first, last in wanted:
            if first == 0 and (last + 1) * doc["chunkSize"] >= doc["length"]:
                whole.append(doc["_id"])
            else:
                clauses.append({"files_id": doc["_id"], "n": {"$gte": first, "$lte": last}})
        clauses += [{"files_id": {"$in": run} if len(run) > 1 else run[0]} for run in runs(whole)]
        for run in runs(clauses, 100):
            yield from self.chunks.find(run[0] if len(run) == 1 else {"$or": run})

    # ---- writing --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the indices, and clear away what others left; once."""
        if self._ready:
            return
        self.files.create_index([("filename", 1), ("metadata.version", -1)], unique=True)
        self.chunks.create_index([("files_id", 1), ("n", 1)], unique=True)
        self._ready = True
        self.sweep()

    def upload(self, views: Sequence[memoryview]) -> list[Any]:
        """Put the bytes of each into chunks; their ids."""
        ids = self._take(len(views))
        try:
            if any(view.nbytes for view in views):
                self.chunks.insert_many(
                    (part for view, id in zip(views, ids, strict=True) for part in self._cut(view, id)), ordered=False
                )
        except BaseException:
            self.withdraw(ids)
            raise
        return ids

    def _cut(self, view: memoryview, id: Any) -> Iterator[Document]:
        size = self.chunk_size
        for n, start in enumerate(range(0, view.nbytes, size)):
            yield {"files_id": id, "n": n, "data": view[start : start + size].tobytes()}

    def document(self, id: Any, key: Key, old: Document | None, nbytes: int | None) -> Document:
        """The document of the revision after `old`; nbytes: None for a tombstone."""
        meta: Document = {"version": 0 if old is None else version(old) + 1, "past": []}
        if old is not None:
            meta["past"] = [*((old.get("metadata") or {}).get("past") or []), old["_id"]][-PAST:]
        if nbytes is None:
            meta["deleted"] = True
        named = {"_id": id, "filename": key, "length": nbytes or 0, "chunkSize": self.chunk_size}
        return {**named, "uploadDate": datetime.now(UTC), "metadata": meta}

    def commit(self, docs: Sequence[Document]) -> set[Any]:
        """Insert revisions, each for itself; the ids of those that somebody else was before."""
        errors = import_behind("pymongo.errors")
        try:
            self.files.insert_many(docs, ordered=False)
        except errors.BulkWriteError as error:
            told = error.details or {}
            failed = told.get("writeErrors", [])
            if told.get("writeConcernErrors") or any(one.get("code") != 11000 for one in failed):
                raise
            lost = {docs[one["index"]]["_id"] for one in failed}
            # An insert that the driver repeated, its answer having been lost, meets itself.
            here = {doc["_id"]: doc for doc in self.files.find({"_id": {"$in": [*lost]}})}
            return {doc["_id"] for doc in docs if doc["_id"] in lost and not _same(doc, here.get(doc["_id"]))}
        return set()

    def is_burned(self, id: Any) -> bool:
        """Whether somebody cleared away the chunks of an upload, taking it for a leftover."""
        return self.files.find_one({"_id": id}) is not None

    def withdraw(self, ids: Sequence[Any]) -> None:
        """Take back uploads; what cannot be taken back now is a leftover."""
        with suppress(import_behind("pymongo.errors").PyMongoError):
            self.chunks.delete_many({"files_id": {"$in": [*ids]}})
            self.done(ids)

    def remove(self, docs: Sequence[Document]) -> None:
        """Delete revisions that do not count any more. Chunks first: a document without them shows what is still to do."""
        for run in runs(docs):
            ids = [doc["_id"] for doc in run]
            self.chunks.delete_many({"files_id": {"$in": ids}})
            self.files.delete_many({"_id": {"$in": ids}})

    # ---- notes of uploads --------------------------------------------------------------------------------

    def _take(self, count: int) -> list[Any]:
        bson = import_behind("bson")
        with self._lock:
            if len(self._ids) < count or datetime.now(UTC) - self._noted > _STALE:
                ids = [bson.ObjectId() for _ in range(max(count, _RESERVED))]
                note = {
                    "_id": bson.ObjectId(),
                    "ids": ids,
                    "at": datetime.now(UTC),
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                }
                self.uploads.insert_one(note)
                before, self._note, self._ids, self._noted = self._note, note["_id"], ids, note["at"]
                self._open[self._note] = set()
                self._settle(before)
            taken, self._ids = self._ids[:count], self._ids[count:]
            self._open[self._note].update(taken)
        return taken

    def done(self, ids: Iterable[Any]) -> None:
        """These uploads are committed, or taken back."""
        with self._lock:
            for note, used in [*self._open.items()]:
                used.difference_update(ids)
                if note != self._note:
                    self._settle(note)

    def _settle(self, note: Any) -> None:
        if note is not None and not self._open.get(note):
            self._open.pop(note, None)
            self.uploads.delete_one({"_id": note})

    def close(self) -> None:
        """Take back the notes of which nothing is under way."""
        with self._lock, suppress(import_behind("pymongo.errors").PyMongoError):
            note, self._note, self._ids = self._note, None, []
            self._settle(note)

    def sweep(self) -> None:
        """Clear away what writers that are gone left behind."""
        now = datetime.now(UTC)
        for note in [*self.uploads.find({"at": {"$lt": now - _LEFTOVER}})]:
            for run in runs(note["ids"]):
                there = {part["files_id"] for part in self.chunks.find({"files_id": {"$in": run}}, {"files_id": 1})}
                whole = {doc["_id"] for doc in self.files.find({"_id": {"$in": run}}, {"_id": 1})}
                for id in there - whole:
                    self._burn(id)
            self.uploads.delete_one({"_id": note["_id"]})
        old = [doc for doc in self.files.find(between(TEMP_PREFIX)) if age(doc) > _TOMBSTONE]
        self.remove(old)

    def _burn(self, id: Any) -> None:
        name = f"{TEMP_PREFIX}{id}"  # that no key can have
        if not self.commit([self.document(id, name, None, None)]):
            self.chunks.delete_many({"files_id": id})


def _same(mine: Document, found: Document | None) -> bool:
    return found is not None and (found["filename"], version(found)) == (mine["filename"], version(mine))
