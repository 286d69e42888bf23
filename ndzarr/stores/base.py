"""What a store is: names to bytes. Four methods to write, the rest has defaults."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self
from weakref import WeakSet, WeakValueDictionary

import numpy as np

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, ReadOnlyError, StoreError
from ndzarr.keys import check_folder
from ndzarr.stores.remains import Remain, aside

#: What `evidence` says of a key under which nothing is.
ABSENT = "absent"
#: What a shortcut gives for a key that is not there; told by identity: an object may be empty.
NO_KEY: Buffer = memoryview(b"")
#: See `Store.evidence_after_s`.
AFTER_BYTES = 10_000_000

list_ = list  # inside the class body `list` is the method


class Store(ABC):
    """Bytes under keys. Subclass it with `get`, `set`, `delete` and `list`; `ndzarr.testing.StoreSuite` says if it is
    right.

    Keys are "/"-separated relative names that `keys.check_key` accepts. Every method may be called from any thread.
    `None` from `get` is the only "missing": any failure (a timeout, a permission, a directory in the key's place) is
    raised as StoreError naming the store and the key, or a missing chunk would silently be read as fill values (promise
    P8).
    """

    #: URL scheme, or the name `register_store` takes when none is given.
    scheme: ClassVar[str | None] = None
    # The flags may be set per instance.
    #: False where `set` and `delete` always raise ReadOnlyError.
    writable: bool = True
    #: `set_if` compares and sets in one step, also against other processes.
    conditional: bool = False
    #: `get_tagged` gives tags that change whenever the value does.
    tagged: bool = False
    #: `get_many` and `set_many` are better than a loop (one round trip, or concurrent requests).
    batched: bool = False
    #: `lock` also excludes other processes on this host or beyond.
    exclusive: bool = False
    #: `transaction` makes writes visible together or not at all.
    transactional: bool = False
    #: Pickles with all that it holds: what another process writes to its copy nobody else sees.
    by_value: bool = False
    #: `evidence` says something of a value so many seconds after its last change, and as many more for each AFTER_BYTES of it;
    #: None where it never does.
    evidence_after_s: float | None = None

    @property
    def url(self) -> str:
        """How messages and reprs name this store; never holds credentials."""
        return f"{self.scheme or type(self).__name__.lower()}:"

    @abstractmethod
    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        """The value under `key`, or the `range` of it, as a buffer; None when there is no such key.

        The buffer is the caller's to read, not to change, and does not change when the key is set again.
        """

    @abstractmethod
    def set(self, key: Key, value: Buffer) -> None:
        """Put `value` under `key`. A reader sees the whole old or the whole new value, never a mix."""

    @abstractmethod
    def delete(self, key: Key) -> None:
        """Remove `key`; a key that is not there is no error."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterable[Key]:
        """All keys that start with `prefix`, each once, in any order."""

    # ---- with defaults --------------------------------------------------------------------------------

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        """What `get` gives, and a tag of this version of the whole value; or None.

        Without tags of its own the value itself is the tag.
        """
        value = self.get(key)
        if value is None:
            return None
        whole = bytes(value)
        return whole if range is None else memoryview(whole)[range[0] : range[1]], whole

    def tag(self, key: Key) -> Hashable | None:
        """The tag of the value under `key` as it is now, what `get_tagged` gives with it; None when there is no such key."""
        found = self.get_tagged(key, ByteRange(0, 1))
        return None if found is None else found[1]

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        """Of each key a text that changes with the value under it, whoever changes it, also when no process of ours runs.

        ABSENT where there is no such key; None where nothing short of the value itself would tell, as of a file that was
        written a moment ago. What is kept beside data goes by it: a store that is not certain says None.
        """
        return [None for _ in keys]

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        """Set `key` only if its value still has `tag` (None: only if there is no such key); False when somebody was
        first.

        The default holds `lock(key)`, so it is atomic among this process's threads, and beyond where `exclusive` is
        True.
        """
        with self.lock(key):
            found = self.get_tagged(key)
            if (None if found is None else found[1]) != tag:
                return False
            self.set(key, value)
            return True

    def get_many(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[Buffer | None]:
        """`get` of each (key, range), in order."""
        return [self.get(key, range) for key, range in requests]

    def get_many_tagged(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[tuple[Buffer, Hashable] | None]:
        """`get_tagged` of each (key, range), in order."""
        return [self.get_tagged(key, range) for key, range in requests]

    def get_each(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> Iterator[tuple[int, Buffer | None]]:
        """(number of the request, what `get` gives), each once, in the order in which they come.

        So that the first can be decoded while the others are on their way. Closing the iterator gives up the rest.
        """
        yield from enumerate(self.get_many(requests))

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        """`set` of each item."""
        for key, value in items.items():
            self.set(key, value)

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        """`set_if` of each key with its value and tag."""
        return {key: self.set_if(key, value, tag=tag) for key, (value, tag) in items.items()}

    def delete_many(self, keys: Iterable[Key]) -> None:
        """`delete` of each key."""
        for key in keys:
            self.delete(key)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every key that starts with `prefix`."""
        self.delete_many(list_(self.list(prefix)))

    def transaction(self) -> AbstractContextManager[Any]:
        """A block of code all of whose writes to this store are seen by others together, at its end, or never.

        It holds for the calling context: its thread, and threads that work for it. Raises ArgumentError where the store has no
        such thing; see `transactional`.
        """
        raise ArgumentError(f"{self.url} has no transactions", store=self.url)

    def move_prefix(self, old: str, new: str) -> bool:
        """Move every key under the folder `old` to the folder `new` (both end in "/") in one step; whether that was done.

        False, and nothing changed, where the store has no such step or anything is at `new`: the caller copies and deletes.
        """
        return False

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        """The names directly under `prefix` ("" or ending in "/"), each once; those with names below end in "/"."""
        start, seen = len(check_folder(prefix)), set()
        for key in self.list(prefix):
            head, slash, _ = key[start:].partition("/")
            if head + slash not in seen:
                seen.add(head + slash)
                yield head + slash

    def size(self, key: Key) -> int | None:
        """How many bytes lie under `key`; None when there is no such key."""
        value = self.get(key)
        return None if value is None else memoryview(value).nbytes

    def exists(self, key: Key) -> bool:
        """Whether there is such a key."""
        return self.size(key) is not None

    def object_id(self, key: Key) -> Hashable:
        """What identifies the stored object itself, equal for every handle that reaches it: what locks go by.

        Stores that can be opened at several roots (a directory and its parent) must join root and key, links resolved.
        """
        return (id(self), key)

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        """The lock to hold around read-modify-write of `key`; re-entrant in one thread."""
        return object_lock(self.object_id(key))

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        """The lock to hold around changes of the document at `key`, or of its node; re-entrant in one thread.

        Several may be held, and locks of chunks taken meanwhile; `ndzarr.nodes.locks` says in which order. A store with
        transactions locks by itself: what one has locked must stay locked until it ends, and no thread may hold a lock that the
        store knows nothing of while it waits for the end of a transaction.
        """
        return self.lock(key) if self.transactional else node_lock_of(self.object_id(key))

    def settle(self, path: str = "") -> None:
        """Finish, or undo, what a transaction that was cut short has left at the node `path`, or above it.

        Called when a node is opened. Nothing to do for a store whose transactions end by themselves.
        """

    def other_spelling(self, path: str) -> tuple[str, str] | None:
        """Of the node `path`, or the first above it, that the store finds under another name: as asked, and as it is spelt.

        None where names that differ are different ones, which is all that most stores know.
        """
        return None

    def remains(self, path: str = "") -> Iterable[Remain]:
        """What lies at or below `path` beside the keys, or hides them: left over, or there twice; see `ndzarr.check`.

        Transactions that were cut short come first. Nothing in the store changes. By default there is nothing of the kind.
        """
        return ()

    def tidy(self, remain: Remain) -> None:
        """Do what the `remedy` of one of `remains` says; nothing where it is gone. For an archive, done by the next `flush`."""
        raise ArgumentError(f"{self.url} knows of nothing to clear at {remain.name!r}", store=self.url)

    def set_aside(self, key: Key, path: str, *, keep: bool = False) -> str:
        """Move what lies under `key`, which belongs to the node `path`, to where nobody takes it for data; where that is.

        "" where there is nothing. keep: copy it there. The caller holds the key's lock.
        """
        value = self._as_it_lies(key)
        if value is None:
            return ""
        number = 0
        while self.exists(place := aside(path, key, number)):
            number += 1
        self.set(place, value)
        if not keep:
            self.delete(key)
        return place

    def flush(self) -> None:
        """Return when what was set so far is where it would survive this process; raises what a pending write raises.

        Nothing to do for a store that holds nothing back.
        """

    def close(self) -> None:
        """Give back what the store holds open; raises what a pending write raises. Closing twice is no error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url!r}>"

    def shortcut(self, most: int) -> Callable[[Key], Buffer | None] | None:
        """A function that gives the bytes under a key at less cost than `get`, for the engine; None where there is none.

        For keys that `check_key` accepts. It may give only the first `most` bytes, or fewer. It gives NO_KEY where `get` would
        find nothing at this moment either, and None for whatever else it could not read at once, a missing key too: its caller
        then asks `get`. Only a store of exactly the class that defines it may give one, so that a subclass sees every call.
        """
        return None

    def _as_it_lies(self, key: Key) -> Buffer | None:
        """What `set_aside` keeps of a value: where `get` refuses a damaged one, the bytes that there are."""
        return self.get(key)

    # ---- for those who write a store --------------------------------------------------------------------------------

    def _failed(self, what: str, key: Key, error: BaseException) -> StoreError:
        """The StoreError to raise from `error` when `what` ("read", "write" ...) failed on `key`."""
        return StoreError(f"cannot {what} {key!r} in {self.url}: {reason(error)}", store=self.url, key=key)

    def _must_write(self, key: Key) -> None:
        """Raise ReadOnlyError unless `writable`."""
        if not self.writable:
            raise ReadOnlyError(f"cannot change {key!r}: {self.url} is open for reading only", store=self.url, key=key)


def reason(error: BaseException) -> str:
    """What went wrong, in a few words."""
    strerror = getattr(error, "strerror", None)  # without the file's name, which OSError would repeat
    return f"{type(error).__name__}: {strerror or error}"


def as_view(key: Key, value: Buffer) -> memoryview:
    """The bytes of `value` as a flat memoryview of "B", without a copy where they lie in C order.

    Raises ArgumentError for what has no bytes to store: a str, an int, Python objects.
    """
    if isinstance(value, np.ndarray):
        # Not memoryview(array): it refuses datetimes, and a view of Python objects would store their addresses.
        if value.dtype.hasobject:
            raise ArgumentError(f"cannot store an array of Python objects under {key!r}; encode it first", key=key)
        if not value.nbytes:
            return memoryview(b"")
        return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError) as error:
        raise ArgumentError(
            f"cannot store a {type(value).__name__} under {key!r}: expected bytes or another buffer", key=key
        ) from error
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    if "O" in view.format:
        raise ArgumentError(f"cannot store a buffer of Python objects under {key!r}; encode it first", key=key)
    return memoryview(view.tobytes())


def as_bytes(key: Key, value: Buffer) -> bytes:
    """The bytes of `value`, copied unless it is `bytes` itself. Raises ArgumentError as `as_view` does.

    Never `bytes(value)`, which makes n zeros of an integer n, and of a 0-d integer array too.
    """
    return value if type(value) is bytes else as_view(key, value).tobytes()


def span(range: ByteRange, nbytes: int) -> tuple[int, int]:
    """`range` of a value of `nbytes` bytes as (start, length), cut to what there is, as slicing a `bytes` would."""
    start, stop, _ = slice(range[0], range[1]).indices(nbytes)
    return start, max(0, stop - start)


# Locks belong to stored objects, not to handles: two stores opened on one directory share them. A fixed number of
# stripes bounds memory; two keys in one stripe only wait for each other. A thread that holds one stripe and wants
# another could deadlock, so the engine holds one at a time.
_STRIPES = 1024
_locks = [threading.RLock() for _ in range(_STRIPES)]


def object_lock(identity: Hashable) -> AbstractContextManager[Any]:
    """The process-wide lock of the stored object `identity`."""
    return _locks[hash(identity) % _STRIPES]


def stripe(number: int) -> Any:
    """The process-wide lock for objects with this number."""
    return _locks[number % _STRIPES]


class _NodeLock:
    """A re-entrant lock that a WeakValueDictionary can hold."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


# No stripes: a thread holds several of them, and chunk locks besides.
_node_locks: WeakValueDictionary[Hashable, _NodeLock] = WeakValueDictionary()
_node_locks_lock = threading.Lock()


def node_lock_of(identity: Hashable) -> AbstractContextManager[Any]:
    """The process-wide lock of the node, or document, `identity`."""
    with _node_locks_lock:
        return _node_locks.setdefault(identity, _NodeLock())


_holders: WeakSet[Any] = WeakSet()


def own_lock(holder: Any) -> None:
    """Give `holder` a re-entrant lock of its own as `holder._lock`, and a new one in a child of fork.

    For what a store keeps to itself. Never one of the stripes: they are held around calls of the store, and a stripe
    wanted inside another could deadlock.
    """
    holder._lock = threading.RLock()
    _holders.add(holder)


def _fresh_locks() -> None:
    # A child of fork has one thread; locks that other threads of the parent held would stay locked for ever.
    global _node_locks, _node_locks_lock
    _locks[:] = [threading.RLock() for _ in range(_STRIPES)]
    _node_locks = WeakValueDictionary()
    _node_locks_lock = threading.Lock()
    for holder in list_(_holders):
        holder._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)
