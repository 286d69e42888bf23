"""A store in MongoDB: each key a file of GridFS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, NdzarrError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix, is_key
from ndzarr.stores.base import Store, as_view, list_, own_lock, span
from ndzarr.stores.gridfs_files import (
    PAST,
    Bucket,
    Document,
    after,
    between,
    is_spent,
    is_tombstone,
    newest,
    runs,
    version,
    wanes,
)
from ndzarr.stores.mongo import Address, driver
from ndzarr.stores.prefix import PrefixStore
from ndzarr.stores.retries import Tries, told
from ndzarr.stores.wrapper import Request, checked

_T = TypeVar("_T")
_Ids: TypeAlias = set[Any]
_Keys: TypeAlias = set[Key]  # inside the class body `set` is the method
_KiB = 1 << 10
#: GridFS's own, with room for the rest of the document within a power of two.
_CHUNK_SIZE = 255 * _KiB
#: How often a write is begun again because somebody else was first, and a read because its revision was deleted.
_TRIES = 1000
#: A write that took longer than this looks again before it commits.
_PATIENCE_S = 600.0
#: So many keys of one folder in a row, and a listing skips the rest of it.
_SKIP = 200
#: What no tag is: the value is set whatever is there.
_ANY = object()


@dataclass(slots=True)
class _Write:
    """One key to write. view: None for a deletion. tag: what it must have, or _ANY."""

    key: Key
    view: memoryview | None
    tag: Any = _ANY
    id: Any = None


class GridFSStore(Store):
    """Files in the GridFS bucket of a MongoDB, "mongodb://host/database/bucket", or "mongodb+srv://...".

    The options of the URL are MongoDB's: replicaSet, w, journal, readPreference, tls, authSource. In place of a URL there may
    be a `pymongo.database.Database`; the store then does not pickle, and leaves the client open. chunk_size: the most bytes in
    one document; a value may have any number of them, so the limit of 16 MB does not hold for it. readonly: refuses writes.

    A value is replaced whole, without a moment in which the key is missing; `set_if` is atomic against every other ndzarr
    process; tags change with each write. Other programs (mongofiles, GridFSBucket) read the newest revision as a file of that
    name, and may add files of new names. `stores/gridfs_files.py` says how. Pickles by its URL, password included. Thread-safe;
    usable after fork.
    """

    scheme: ClassVar[str | None] = "mongodb"
    conditional = True
    tagged = True
    batched = True
    _lock: Any  # see own_lock

    def __init__(
        self, url_or_database: Any, bucket: str | None = None, *, chunk_size: int = _CHUNK_SIZE, readonly: bool = False
    ) -> None:
        self._address: Address | None = None
        self._database: Any = None
        if isinstance(url_or_database, str):
            address = self._address = Address(url_or_database)
            if address.folder:
                raise ArgumentError(f"{address.folder!r} is no part of a bucket: expected mongodb://host/database/bucket")
            bucket = bucket or address.bucket
            where = address.shown
        elif hasattr(url_or_database, "client") and hasattr(url_or_database, "list_collection_names"):
            driver()
            self._database = url_or_database
            where = f"mongodb:{id(url_or_database.client):#x}/{url_or_database.name}"
        else:
            raise ArgumentError(f"expected a URL or a Database of pymongo, found a {type(url_or_database).__name__}")
        if type(chunk_size) is not int or not _KiB <= chunk_size <= 15 * _KiB * _KiB:
            raise ArgumentError(f"chunk_size is {chunk_size!r}, expected 1 KiB to 15 MiB", field="chunk_size", found=chunk_size)
        #: The name of the bucket, "fs" where none is given.
        self.bucket: str = bucket or "fs"
        if any(c in self.bucket for c in '$/\0" '):
            raise ArgumentError(f"{bucket!r} cannot be the name of a bucket", field="bucket", found=bucket)
        self.chunk_size = chunk_size
        self.writable = not readonly
        self._url = f"{where}/{self.bucket}"
        self._opened: tuple[int, Bucket] | None = None
        own_lock(self)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Store:
        """The store of "mongodb://host/database/bucket", or the folder of it that follows the bucket."""
        address = Address(url)
        if not address.folder:
            return cls(url, **options)
        head, mark, query = url.partition("?")
        return PrefixStore(cls(head.rstrip("/").removesuffix("/" + address.folder) + mark + query, **options), address.folder)

    @property
    def url(self) -> str:
        return self._url

    def __getstate__(self) -> dict[str, Any]:
        if self._address is None:
            raise TypeError(f"{self.url} was made from a Database of pymongo, which does not pickle: give its URL")
        return {**self.__dict__, "_opened": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        own_lock(self)

    def object_id(self, key: Key) -> Hashable:
        return (self._url, check_key(key))

    # ---- asking the server --------------------------------------------------------------------------------

    def _bucket(self) -> Bucket:
        opened = self._opened
        if opened is not None and opened[0] == os.getpid():
            return opened[1]
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                database = self._database if self._address is None else self._address.client()[self._address.database]
                if not database.write_concern.acknowledged:
                    raise ArgumentError(f"cannot use {self.url} with w=0: what a write does must be known", store=self.url)
                self._opened = os.getpid(), Bucket(database, self.bucket, self.chunk_size)
            return self._opened[1]

    def _ask(self, what: str, key: str, work: Callable[[Bucket], _T]) -> _T:
        """What `work` gives, which does no harm when it is done again; whatever fails is a StoreError (promises P8, P9)."""
        tries = Tries()
        while True:
            try:
                return work(self._bucket())
            except NdzarrError:
                raise
            except Exception as error:
                pause = self._pause_s(tries, error)
                if pause is None:
                    raise tries.counted(self._refused(what, key, error)) from error
            time.sleep(pause)

    def _pause_s(self, tries: Tries, error: Exception) -> float | None:
        errors = driver().errors
        if isinstance(error, errors.AutoReconnect) and not isinstance(error, errors.ServerSelectionTimeoutError):
            return tries.pause_s(ConnectionResetError())
        return None  # the driver itself has looked for a server, until its time was up

    def _refused(self, what: str, key: str, error: Exception) -> StoreError:
        found = StoreError(f"cannot {what} {key!r} in {self.url}: {told(error)}", store=self.url, key=key)
        found.__cause__ = error
        return found

    def _live(self, key: Key) -> Document | None:
        doc = self._ask("read", key, lambda bucket: newest(bucket.revisions([key]).get(key, ())))
        return None if doc is None or is_tombstone(doc) else doc

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        return self.get_many([(key, range)])[0]

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        return self.get_many_tagged([(key, range)])[0]

    def get_many(self, requests: Iterable[Request]) -> list_[Buffer | None]:
        return [None if found is None else found[0] for found in self.get_many_tagged(requests)]

    def get_many_tagged(self, requests: Iterable[Request]) -> list_[tuple[Buffer, Hashable] | None]:
        wanted = checked(requests)
        found: list_[tuple[Buffer, Hashable] | None] = [None] * len(wanted)
        for number, answer in self._answers(wanted):
            found[number] = answer
        return found

    def get_each(self, requests: Iterable[Request]) -> Generator[tuple[int, Buffer | None], None, None]:
        for number, answer in self._answers(checked(requests)):
            yield number, None if answer is None else answer[0]

    def _answers(self, wanted: Sequence[Request]) -> Generator[tuple[int, tuple[Buffer, Hashable] | None], None, None]:
        """(number, (bytes, tag) or None) of each request, as they come: one query for the revisions, one for their chunks."""
        left = dict(enumerate(wanted))
        lost: dict[int, Any] = {}  # request -> the revision whose chunks were not there
        tries, rounds = Tries(), 0
        while left:
            first = next(iter(left.values()))[0]
            rounds += 1
            try:
                keys = [*dict.fromkeys(key for key, _ in left.values())]
                found = self._bucket().revisions(keys)
                asked: dict[Any, list_[tuple[int, int, int, Document]]] = {}
                queries: list_[tuple[Document, int, int]] = []
                for number, (key, range) in [*left.items()]:
                    doc = newest(found.get(key, ()))
                    if doc is None or is_tombstone(doc):
                        del left[number]
                        yield number, None
                        continue
                    start, length = span(range or ByteRange(0), doc["length"])
                    if not length:
                        del left[number]
                        yield number, (b"", str(doc["_id"]))
                        continue
                    if number in lost and (lost[number] == doc["_id"] or rounds > _TRIES):
                        raise StoreError(
                            f"cannot read {key!r} in {self.url}: it has {doc['length']} bytes, and chunks of it are missing",
                            store=self.url,
                            key=key,
                        )
                    lost[number] = doc["_id"]
                    asked.setdefault(doc["_id"], []).append((number, start, length, doc))
                    queries.append((doc, start // doc["chunkSize"], (start + length - 1) // doc["chunkSize"]))
                parts: dict[Any, dict[int, bytes]] = {}
                for part in self._bucket().parts(queries) if queries else ():
                    id = part["files_id"]
                    parts.setdefault(id, {})[part["n"]] = part["data"]
                    for one in [*asked.get(id, ())]:
                        if (value := _joined(parts[id], *one[1:])) is not None:
                            asked[id].remove(one)
                            del left[one[0]]
                            yield one[0], (value, str(id))
                    if not asked.get(id):
                        parts.pop(id, None)
            except NdzarrError:
                raise
            except Exception as error:
                pause = self._pause_s(tries, error)
                if pause is None:
                    raise tries.counted(self._refused("read", first, error)) from error
                lost.clear()
                time.sleep(pause)

    def size(self, key: Key) -> int | None:
        doc = self._live(check_key(key))
        return None if doc is None else int(doc["length"])

    # ---- listing --------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        return self._ask("list", prefix, lambda bucket: [*self._names(bucket, prefix)])

    def _names(self, bucket: Bucket, prefix: str, start: str | None = None) -> Iterable[Key]:
        """The keys from `start` on that begin with `prefix`, in order, each once."""
        fields = {"filename": 1, "metadata.version": 1, "metadata.deleted": 1, "uploadDate": 1}
        last: Document | None = None
        for doc in bucket.files.find(between(prefix, start), fields).sort("filename", 1):
            if last is not None and last["filename"] != doc["filename"]:
                if not is_tombstone(last) and is_key(last["filename"]):
                    yield last["filename"]
                last = None
            last = doc if last is None else newest([last, doc])
        if last is not None and not is_tombstone(last) and is_key(last["filename"]):
            yield last["filename"]

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        check_folder(prefix)
        return self._ask("list", prefix, lambda bucket: self._folder(bucket, prefix))

    def _folder(self, bucket: Bucket, prefix: str) -> list_[str]:
        found: list_[str] = []
        start: str | None = None
        while True:
            again, row = None, 0
            for key in self._names(bucket, prefix, start):
                head, slash, _ = key[len(prefix) :].partition("/")
                name = head + slash
                if found and found[-1] == name:
                    row += 1
                    if row == _SKIP:
                        again = after(prefix + name)
                        break
                    continue
                row = 0
                found.append(name)
            if again is None:
                return found
            start = again

    # ---- writing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        self.set_many({key: value})

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        self._write([_Write(self._checked(key), as_view(key, value)) for key, value in items.items()])

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        return self.set_many_if({key: (value, tag)})[key]

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        writes = [_Write(self._checked(key), as_view(key, value), tag) for key, (value, tag) in items.items()]
        lost = self._write(writes)
        return {key: key not in lost for key in items}

    def delete(self, key: Key) -> None:
        self.delete_many([key])

    def delete_many(self, keys: Iterable[Key]) -> None:
        names = [self._checked(key) for key in keys]
        for run in runs(dict.fromkeys(names)):
            self._write([_Write(key, None) for key in run])

    def delete_prefix(self, prefix: str) -> None:
        check_prefix(prefix)
        self._must_write(prefix)
        self.delete_many(self.list(prefix))

        def tidy(bucket: Bucket) -> None:
            bucket.remove([doc for doc in bucket.files.find({**between(prefix), "metadata.deleted": True}) if is_spent(doc)])

        self._ask("delete", prefix, tidy)

    def _checked(self, key: Key) -> Key:
        self._must_write(check_key(key))
        return key

    def _write(self, writes: list_[_Write]) -> _Keys:
        """Do these writes, each for itself; the keys that had not the tag wanted."""
        lost: _Keys = set()
        if not writes:
            return lost
        first = writes[0].key
        self._ask("write", first, lambda bucket: bucket.prepare())
        made: list_[Any] = []
        try:
            left = writes
            for _ in range(_TRIES):
                left = self._round(left, lost, made)
                if not left:
                    return lost
        finally:
            if made:
                with suppress(driver().errors.PyMongoError):
                    self._bucket().withdraw(made)
        raise StoreError(f"cannot write {left[0].key!r} in {self.url}: others were first {_TRIES} times", key=left[0].key)

    def _round(self, writes: list_[_Write], lost: _Keys, made: list_[Any]) -> list_[_Write]:
        """Try each of `writes` once; those to try again. made: ids of uploads that nobody has committed."""
        first = writes[0].key
        began = time.monotonic()
        found = self._ask("write", first, lambda bucket: bucket.revisions([one.key for one in writes]))
        todo: list_[tuple[_Write, Document | None]] = []
        again: list_[_Write] = []
        docs: list_[Document] = []
        for one in writes:
            old = newest(found.get(one.key, ()))
            there = old is not None and not is_tombstone(old)
            if one.tag is not _ANY and (str(old["_id"]) if there and old is not None else None) != one.tag:
                lost.add(one.key)
            elif one.view is not None or there:
                todo.append((one, old))
        fresh = [one for one, _ in todo if one.id is None]
        if fresh:
            views = [one.view or memoryview(b"") for one in fresh]
            for one, id in zip(fresh, self._ask("write", first, lambda bucket: bucket.upload(views)), strict=True):
                one.id = id
                made.append(id)
        if fresh and time.monotonic() - began > _PATIENCE_S:
            return [one for one, _ in todo]
        bucket = self._bucket()
        for one, old in todo:
            if old is not None and wanes(old):
                (id,) = self._ask("write", first, lambda bucket: bucket.upload([memoryview(b"")]))
                stone = bucket.document(id, one.key, old, None)
                self._commit([stone])
                again.append(one)
            else:
                docs.append(bucket.document(one.id, one.key, old, None if one.view is None else one.view.nbytes))
        if not docs:
            return again
        beaten = self._commit(docs)
        by_id = {one.id: one for one, _ in todo}
        won = [doc for doc in docs if doc["_id"] not in beaten]
        for doc in won:
            made.remove(doc["_id"])
        guarded = [doc for doc in won if by_id[doc["_id"]].tag is not _ANY]
        stale = self._overtaken(guarded) if guarded else []
        for doc in stale:
            lost.add(doc["filename"])
            won.remove(doc)
        with suppress(driver().errors.PyMongoError):  # what was committed is so; the next write of the key tries again
            gone = [old for doc in won for old in found.get(doc["filename"], ()) if version(old) < version(doc)]
            if gone or stale:
                bucket.remove([*gone, *stale])
            bucket.done([doc["_id"] for doc in [*won, *stale]])
        for id in beaten:
            one = by_id[id]
            if self._is_burned(one):
                made.remove(id)
                one.id = None
            again.append(one)
        return again

    def _commit(self, docs: list_[Document]) -> _Ids:
        return self._ask("write", docs[0]["filename"], lambda bucket: bucket.commit(docs))

    def _is_burned(self, one: _Write) -> bool:
        return self._ask("write", one.key, lambda bucket: bucket.is_burned(one.id))

    def _overtaken(self, docs: list_[Document]) -> list_[Document]:
        """Which of these revisions were inserted where others had long gone on, so that nobody ever saw them."""
        found = self._ask("write", docs[0]["filename"], lambda bucket: bucket.revisions([doc["filename"] for doc in docs]))
        stale = []
        for doc in docs:
            top = newest(found.get(doc["filename"], ()))
            if top is None or version(top) - version(doc) > PAST:
                raise StoreError(
                    f"cannot tell whether {doc['filename']!r} was written to {self.url}: it was changed too often meanwhile",
                    store=self.url,
                    key=doc["filename"],
                )
            if top["_id"] != doc["_id"] and doc["_id"] not in ((top.get("metadata") or {}).get("past") or ()):
                stale.append(doc)
        return stale

    # ---- closing --------------------------------------------------------------------------------

    def close(self) -> None:
        opened = self._opened
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()
        self._opened = None
        if self._address is not None:
            self._address.close()


def _joined(parts: Mapping[int, bytes], start: int, length: int, doc: Document) -> bytes | None:
    """`length` bytes of a file from `start` on, out of its chunks; None while one of those is missing or too short."""
    size = doc["chunkSize"]
    first, last = start // size, (start + length - 1) // size
    if last - first + 1 > len(parts):
        return None
    pieces = []
    for n in range(first, last + 1):
        part = parts.get(n)
        if part is None or len(part) != min(size, doc["length"] - n * size):
            return None
        pieces.append(part)
    pieces[-1] = pieces[-1][: start + length - last * size]
    pieces[0] = pieces[0][start - first * size :]
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
