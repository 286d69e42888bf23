"""A store that keeps copies of what was read from another."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakSet

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix
from ndzarr.stores.base import Store, list_, own_lock
from ndzarr.stores.cachefiles import Copy, FileCopies, MemoryCopies
from ndzarr.stores.mapping import MappingStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.wrapper import Request, WrapperStore, checked

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B?\s*").fullmatch
_UNIT = {
    "": 1,
    **{f"{u}i": 1024 ** (n + 1) for n, u in enumerate("KMGT")},
    **{u: 1000 ** (n + 1) for n, u in enumerate("KMGT")},
}
#: Of the tag alone.
_NOTHING = ByteRange(0, 0)
Answer = tuple[Buffer, Hashable] | None

#: All of this process, to tell them of each other's writes.
_stores: WeakSet[CachedStore] = WeakSet()


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What `CachedStore.info` tells.

    hits, misses: requests answered by copies, and not; hit_bytes, missed_bytes: their bytes. entries, nbytes: copies kept now,
    and their bytes, of at most `limit`. evicted: copies that had to make room for others.
    """

    hits: int
    misses: int
    hit_bytes: int
    missed_bytes: int
    entries: int
    nbytes: int
    limit: int
    evicted: int


@dataclass(slots=True, eq=False)
class _Flight:
    """A request that is under way: what changes meanwhile is not kept."""

    keys: dict[Hashable, Key]
    stale: set[Key] = field(default_factory=set)


class CachedStore(WrapperStore):
    """`inner`, read once: what was read is kept, in at most `limit` bytes, and those not used for longest go first.

    limit: bytes, or a text such as "256MiB". path: a directory for the copies, which then outlive the process and may be shared
    by several; None keeps them in memory. name: what tells the objects of `inner` from those of other stores in the directory,
    by default its URL; a store whose URL is not the same in the next process needs one.

    validate: "never" (the default) takes a copy for the value until this process writes it or the limit drives it out: for data
    that others do not change. A change by another process, or by a handle on `inner` that does not go through a CachedStore, is
    **not seen**. "tag" asks `inner` for the tag of the value each time, without its bytes, and reads it again when that has
    changed; it needs a store that has tags.

    Whole values and ranges are kept, and ranges are answered out of whole values. That a key is missing is never kept: it is
    asked for each time. Lists are not kept either. Writes go to `inner`, and drop the copies of what they write, here and in
    every CachedStore of this process. In a transaction nothing is taken from the copies, and nothing added. Thread-safe: two
    threads that miss the same value both read it. Pickles by its configuration, in memory without the copies.

    >>> from ndzarr import CachedStore, MemoryStore
    >>> store = CachedStore(MemoryStore({"a": b"123"}))
    >>> _ = store.get("a"), store.get("a")
    >>> store.info().hits, store.info().misses
    (1, 1)
    """

    _lock: Any  # see own_lock

    def __init__(
        self,
        inner: Store,
        *,
        limit: int | str = "256MiB",
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        validate: Literal["never", "tag"] = "never",
    ) -> None:
        super().__init__(inner)
        if validate not in ("never", "tag"):
            raise ArgumentError(f"validate is {validate!r}, expected 'never' or 'tag'", field="validate", found=validate)
        if validate == "tag" and not inner.tagged:
            raise ArgumentError(f"validate is 'tag', and {inner.url} has no tags", field="validate", found=validate)
        if path is not None and name is None and not _is_named(inner):
            raise ArgumentError(f"{inner.url} is another store in the next process: give a name for its copies", field="name")
        self.limit, self.validate = _size(limit), validate
        self.path = None if path is None else os.path.abspath(path)
        self.name = name
        self._prepare()

    def _prepare(self) -> None:
        own_lock(self)
        self._copies: MemoryCopies | FileCopies
        if self.path is None:
            self._copies = MemoryCopies(self.limit)
        else:
            try:
                self._copies = FileCopies(self.path, self.name or self.inner.url, self.limit)
            except OSError as error:
                raise StoreError(f"cannot keep copies in {self.path!r}: {error}", store=self.url) from error
        self._flights: set[_Flight] = set()
        self._ids: dict[Hashable, set[Key]] = {}
        self._counts = [0, 0, 0, 0]
        self._outside: ContextVar[set[Key] | None] = ContextVar("outside", default=None)
        _stores.add(self)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for made in ("_lock", "_copies", "_flights", "_ids", "_counts", "_outside"):
            del state[made]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    @property
    def url(self) -> str:
        return f"cached:{self.inner.url}"

    def info(self) -> CacheInfo:
        """How much was answered by copies since the store was made, and how much is kept."""
        with self._lock:
            copies, (hits, misses, hit, missed) = self._copies, self._counts
            return CacheInfo(hits, misses, hit, missed, len(copies), copies.nbytes, copies.limit, copies.evicted)

    def clear(self) -> None:
        """Drop all copies."""
        with self._lock:
            for flight in self._flights:
                flight.stale.update(flight.keys.values())
            self._copies.drop_prefix("")
            self._ids.clear()

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        found = self._one(check_key(key), range, False)
        return None if found is None else found[0]

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> Answer:
        check_key(key)
        return self._one(key, range, True) if self.tagged else Store.get_tagged(self, key, range)

    def get_many(self, requests: Iterable[Request]) -> list_[Buffer | None]:
        wanted = checked(requests)
        found: list_[Buffer | None] = [None] * len(wanted)
        for number, answer in self._answers(wanted, False, self._ask_many):
            found[number] = None if answer is None else answer[0]
        return found

    def get_many_tagged(self, requests: Iterable[Request]) -> list_[Answer]:
        if not self.tagged:
            return Store.get_many_tagged(self, requests)
        wanted = checked(requests)
        found: list_[Answer] = [None] * len(wanted)
        for number, answer in self._answers(wanted, True, self._ask_many):
            found[number] = answer
        return found

    def get_each(self, requests: Iterable[Request]) -> Generator[tuple[int, Buffer | None], None, None]:
        # As they come, where that is worth more than their tags.
        ask = self._ask_each if self.batched and self.validate == "never" else self._ask_many
        for number, answer in self._answers(checked(requests), False, ask):
            yield number, None if answer is None else answer[0]

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        return [None for _ in keys]

    def size(self, key: Key) -> int | None:
        copy = self._fresh([(check_key(key), None)], False)[0]
        return self.inner.size(key) if copy is None else memoryview(copy[0]).nbytes

    def exists(self, key: Key) -> bool:
        return self._fresh([(check_key(key), None)], False)[0] is not None or self.inner.exists(key)

    def shortcut(self, most: int) -> Callable[[Key], Buffer | None] | None:
        if type(self) is not CachedStore or self.validate != "never" or self.path is not None:
            return None

        def kept(key: Key) -> Buffer | None:
            copy = self._fresh([(key, None)], False)[0]
            if copy is None:
                return None
            self._count(1, copy[0])
            return copy[0]

        return kept

    def _one(self, key: Key, range: ByteRange | None, tagged: bool) -> Answer:
        for _, answer in self._answers([(key, range)], tagged, self._ask_many):
            return answer
        return None

    def _fresh(self, wanted: Sequence[Request], tagged: bool) -> list_[Copy | None]:
        """The copy of each request that may be used; None where there is none."""
        if self._outside.get() is not None:
            return [None] * len(wanted)
        with self._lock if self.path is None else nullcontext():  # files need none, and take longer
            copies = [self._copies.find(key, range) for key, range in wanted]
        if tagged or self.validate == "tag":
            copies = [None if copy is None or copy[1] is None else copy for copy in copies]
        if self.validate == "tag" and any(copies):
            keys = [*dict.fromkeys(key for (key, _), copy in zip(wanted, copies, strict=True) if copy is not None)]
            found = self.inner.get_many_tagged([(key, _NOTHING) for key in keys])
            tags = {key: None if one is None else one[1] for key, one in zip(keys, found, strict=True)}
            copies = [
                copy if copy is not None and copy[1] == tags[key] else None
                for (key, _), copy in zip(wanted, copies, strict=True)
            ]
        return copies

    def _answers(
        self, wanted: Sequence[Request], tagged: bool, ask: Callable[[list_[Request]], Iterator[tuple[int, Answer]]]
    ) -> Generator[tuple[int, Answer], None, None]:
        """The answer to each request: from the copies, and then, in one call of `inner`, all others."""
        copies = self._fresh(wanted, tagged)
        missed = [number for number, copy in enumerate(copies) if copy is None]
        for number, copy in enumerate(copies):
            if copy is not None:
                self._count(1, copy[0])
                yield number, (copy[0], copy[1])
        if not missed:
            return
        requests = [wanted[number] for number in missed]
        if self._outside.get() is not None:
            for number, answer in ask(requests):
                yield missed[number], answer
            return
        flight = _Flight({self.inner.object_id(key): key for key, _ in requests})
        with self._lock:
            self._flights.add(flight)
        try:
            for number, answer in ask(requests):
                self._count(0, b"" if answer is None else answer[0])
                if answer is not None:
                    self._keep(flight, requests[number], answer)
                yield missed[number], answer
        finally:
            with self._lock:
                self._flights.discard(flight)

    def _ask_many(self, requests: list_[Request]) -> Iterator[tuple[int, Answer]]:
        inner = self.inner
        if inner.tagged:
            if len(requests) == 1:
                yield 0, inner.get_tagged(*requests[0])
            else:
                yield from enumerate(inner.get_many_tagged(requests))
        elif len(requests) == 1:
            value = inner.get(*requests[0])
            yield 0, None if value is None else (value, None)
        else:
            for number, value in enumerate(inner.get_many(requests)):
                yield number, None if value is None else (value, None)

    def _ask_each(self, requests: list_[Request]) -> Iterator[tuple[int, Answer]]:
        for number, value in self.inner.get_each(requests):
            yield number, None if value is None else (value, None)

    def _keep(self, flight: _Flight, request: Request, answer: tuple[Buffer, Hashable]) -> None:
        key, range = request
        value = answer[0] if type(answer[0]) is bytes else bytes(memoryview(answer[0]))
        if range is not None:
            start, stop = range
            if (start == 0 and (stop is None or len(value) < stop)) or (start < 0 and len(value) < -start):
                range = None  # it is all of the value
        # Worked out before the lock is taken, as it may ask the file system.
        id = self.inner.object_id(key)
        with self._lock:
            if key not in flight.stale:
                self._copies.keep(key, range, value, answer[1])
                self._ids.setdefault(id, set()).add(key)

    def _count(self, kind: int, value: Buffer) -> None:
        with self._lock:
            self._counts[1 - kind] += 1
            self._counts[3 - kind] += memoryview(value).nbytes

    # ---- writing --------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, keys: Sequence[Key]) -> Iterator[None]:
        """Drop the copies of `keys`, before the block and after it: who reads meanwhile may get either value."""
        written = self._outside.get()
        if written is not None:
            written.update(keys)
        self._dropped(keys)
        try:
            yield
        finally:
            self._dropped(keys)

    def _dropped(self, keys: Iterable[Key]) -> None:
        keys = [*keys]
        ids = [self.inner.object_id(key) for key in keys]
        for store in [*_stores]:
            with store._lock:
                gone = set(keys) if store is self else set()
                for id in ids:
                    gone.update(store._ids.pop(id, ()))
                    for flight in store._flights:
                        if id in flight.keys:
                            flight.stale.add(flight.keys[id])
                store._drop(gone)

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            try:
                self._copies.drop(key)
            except OSError as error:
                raise StoreError(
                    f"cannot drop the copy of {key!r} in {self.path!r}: {error}", store=self.url, key=key
                ) from error

    @contextmanager
    def _changing_prefix(self, *prefixes: str) -> Iterator[None]:
        def drop() -> None:
            for store in [*_stores]:
                if store is not self:
                    store.clear()  # which of its keys these are, nobody can tell
            with self._lock:
                for flight in self._flights:
                    flight.stale.update(flight.keys.values())
                for prefix in prefixes:
                    self._copies.drop_prefix(prefix)

        written = self._outside.get()
        drop()
        try:
            yield
        finally:
            drop()
            if written is not None:
                written.add("")

    def set(self, key: Key, value: Buffer) -> None:
        with self._changing([check_key(key)]):
            self.inner.set(key, value)

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        with self._changing([check_key(key)]):
            return self.inner.set_if(key, value, tag=tag)

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        with self._changing([check_key(key) for key in items]):
            self.inner.set_many(items)

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        with self._changing([check_key(key) for key in items]):
            return self.inner.set_many_if(items)

    def delete(self, key: Key) -> None:
        with self._changing([check_key(key)]):
            self.inner.delete(key)

    def delete_many(self, keys: Iterable[Key]) -> None:
        names = [check_key(key) for key in keys]
        with self._changing(names):
            self.inner.delete_many(names)

    def delete_prefix(self, prefix: str) -> None:
        with self._changing_prefix(check_prefix(prefix)):
            self.inner.delete_prefix(prefix)

    def move_prefix(self, old: str, new: str) -> bool:
        with self._changing_prefix(check_folder(old), check_folder(new)):
            return self.inner.move_prefix(old, new)

    def transaction(self) -> AbstractContextManager[Any]:
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        outer = self._outside.get()
        written: set[Key] = set() if outer is None else outer
        token = self._outside.set(written)
        try:
            with self.inner.transaction() as entered:
                yield entered
        finally:
            self._outside.reset(token)
            # Others may have kept what was so until now.
            if "" in written:
                for store in [*_stores]:
                    store.clear()
            else:
                self._dropped(written)


def _is_named(store: Store) -> bool:
    """Whether its URL names the same objects in another process."""
    inner = getattr(store, "inner", None)
    if isinstance(inner, Store):
        return _is_named(inner)
    return type(store).url is not Store.url and not isinstance(store, (MemoryStore, MappingStore)) and "0x" not in store.url


def _size(limit: int | str) -> int:
    if type(limit) is int and limit >= 0:
        return limit
    found = _SIZE(limit) if isinstance(limit, str) else None
    if found is None:
        raise ArgumentError(
            f"limit is {limit!r}, expected a number of bytes or a text such as '256MiB'", field="limit", found=limit
        )
    return int(float(found[1]) * _UNIT[(found[2] or "").replace("k", "K")])
