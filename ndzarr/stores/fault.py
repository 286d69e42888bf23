"""A store that fails, waits and counts when told to: for testing what is built on stores."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix
from ndzarr.stores.base import Store, list_, own_lock
from ndzarr.stores.remains import Remain

#: The operations that are counted and may fail: the methods of a store that reach what is stored.
OPERATIONS = (
    "get",
    "get_tagged",
    "get_many",
    "get_many_tagged",
    "get_each",
    "set",
    "set_if",
    "set_many",
    "set_many_if",
    "delete",
    "delete_many",
    "delete_prefix",
    "list",
    "list_dir",
    "size",
    "exists",
    "close",
    "set_aside",
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a FaultStore. `key` may be a prefix, and is None for many; `nbytes` is what went in or came out."""

    op: str
    key: str | None
    range: ByteRange | None
    nbytes: int | None
    time_s: float
    error: BaseException | None


class FaultStore(Store):
    """`inner`, with faults, delays and a log.

    fail: "never", "always", or the probability of a fault, drawn from a generator with `seed`. at: the numbers of the
    calls that fail, 1 for the first. on: which operations (OPERATIONS) may fail; keys: a regular expression searched in
    the key, or None for all. Only calls that `on` and `keys` match are counted by `at`. error: what a fault raises: an
    exception class, an exception, or a function of (operation, key) that returns one; by default a StoreError. when:
    "before" the inner store is called, or "after", as when the answer is lost. latency_s: seconds that every call
    waits, or a function of (operation, key). truncate: cut what `get` returns to so many bytes.

    `get_many`, `get_each`, `set_many`, `delete_many` and their like go to the inner store as one call where it is `batched`,
    else as one call each, so that `at` can fail between two of them. Everything else, flags and locks included, is the inner
    store's. Thread-safe; with `fail` as a probability, the order of threads decides which call gets which number.

    >>> from ndzarr import MemoryStore
    >>> store = FaultStore(MemoryStore(), at=2, on="set")
    >>> store.set("a", b"1")
    >>> store.set("a", b"2")
    Traceback (most recent call last):
    ndzarr.errors.StoreError: injected fault: call 2, set of 'a' in ...
    >>> store.get("a"), store.counts["set"]
    (b'1', 2)
    """

    _lock: Any  # see own_lock

    def __init__(
        self,
        inner: Store,
        *,
        fail: Literal["always", "never"] | float = "never",
        on: str | Collection[str] = OPERATIONS,
        at: int | Collection[int] = (),
        keys: str | None = None,
        error: BaseException | type[BaseException] | Callable[[str, str | None], BaseException] | None = None,
        when: Literal["before", "after"] = "before",
        latency_s: float | Callable[[str, str | None], float] = 0.0,
        truncate: int | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(inner, Store):
            raise ArgumentError(f"expected a Store to wrap, found a {type(inner).__name__}", found=inner)
        self.inner = inner
        self.on = frozenset((on,) if isinstance(on, str) else on)
        if unknown := sorted(self.on - set(OPERATIONS)):
            raise ArgumentError(f"no store operation {unknown[0]!r}; there are {', '.join(OPERATIONS)}", field="on")
        chances = {"never": 0.0, "always": 1.0}
        chance = chances.get(fail, -1.0) if isinstance(fail, str) else float(fail)
        if not 0.0 <= chance <= 1.0:
            raise ArgumentError(f"fail is {fail!r}, expected 'always', 'never' or a probability", field="fail", found=fail)
        if when not in ("before", "after"):
            raise ArgumentError(f"when is {when!r}, expected 'before' or 'after'", field="when", found=when)
        self.at = frozenset((at,) if isinstance(at, int) else at)
        self.chance = chance
        self.keys = keys
        self.error = error
        self.when = when
        self.latency_s = latency_s
        self.truncate = truncate
        #: The calls so far, oldest first.
        self.log: list_[Call] = []
        self._random = random.Random(seed)
        self._matching = 0
        self._forced = 0
        own_lock(self)
        self.conditional, self.tagged = inner.conditional, inner.tagged
        self.batched, self.exclusive = inner.batched, inner.exclusive
        self.writable, self.transactional = inner.writable, inner.transactional

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        own_lock(self)

    # ---- looking and steering --------------------------------------------------------------------------------

    def calls(self, op: str | None = None) -> list_[Call]:
        """The calls so far, or those of one operation."""
        with self._lock:
            return [call for call in self.log if op is None or call.op == op]

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each operation was called; 0 for one that was not."""
        return Counter(call.op for call in self.calls())

    def clear(self) -> None:
        """Empty the log, and count from 1 again."""
        with self._lock:
            self.log.clear()
            self._matching = 0

    def heal(self) -> None:
        """Let every call from now on succeed."""
        with self._lock:
            self.chance, self.at, self._forced, self.truncate = 0.0, frozenset(), 0, None

    def fail_next(self, n: int = 1) -> None:
        """Let the next `n` calls that `on` and `keys` match fail."""
        with self._lock:
            self._forced = n

    def snapshot(self) -> dict[str, bytes]:
        """What the inner store holds, read without faults and not logged."""
        values = ((key, self.inner.get(key)) for key in list_(self.inner.list()))
        return {key: bytes(value) for key, value in values if value is not None}

    def _call(
        self,
        op: str,
        key: str | None,
        run: Callable[[], _T],
        range: ByteRange | None = None,
        nbytes: int | None = None,
    ) -> _T:
        start = time.perf_counter()
        failure: BaseException | None = None
        try:
            delay = self.latency_s(op, key) if callable(self.latency_s) else self.latency_s
            if delay:
                time.sleep(delay)
            fault = self._fault(op, key)
            if fault is not None and self.when == "before":
                raise fault
            result = run()
            if fault is not None:
                raise fault
            nbytes = _nbytes(result) if nbytes is None else nbytes
            return result
        except BaseException as error:
            failure = error
            raise
        finally:
            call = Call(op, key, range, nbytes, time.perf_counter() - start, failure)
            with self._lock:
                self.log.append(call)

    def _fault(self, op: str, key: str | None) -> BaseException | None:
        """What this call raises, or None."""
        with self._lock:
            if op not in self.on or (self.keys is not None and not re.search(self.keys, key or "")):
                return None
            self._matching += 1
            number = self._matching
            # Drawn at each call, so that the faults of a seed do not move when others are added.
            drawn = self._random.random() < self.chance
            if self._forced:
                self._forced -= 1
            elif not drawn and number not in self.at:
                return None
        error = self.error
        if isinstance(error, BaseException):
            return error
        where = "" if key is None else f" of {key!r}"
        message = f"injected fault: call {number}, {op}{where} in {self.inner.url}"
        if error is None:
            return StoreError(message, store=self.inner.url, key=key)
        return error(message) if isinstance(error, type) else error(op, key)

    # ---- the store --------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"fault:{self.inner.url}"

    def _cut(self, value: Buffer | None) -> Buffer | None:
        return value if value is None or self.truncate is None else memoryview(value)[: self.truncate]

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        check_key(key)
        return self._call("get", key, lambda: self._cut(self.inner.get(key, range)), range)

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        check_key(key)

        def run() -> tuple[Buffer, Hashable] | None:
            found = self.inner.get_tagged(key, range)
            return None if found is None else (self._cut(found[0]), found[1])

        return self._call("get_tagged", key, run, range)

    def get_many(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[Buffer | None]:
        if not self.batched:
            return super().get_many(requests)
        wanted = [(check_key(key), range) for key, range in requests]
        return self._call("get_many", None, lambda: [self._cut(value) for value in self.inner.get_many(wanted)])

    def get_many_tagged(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[tuple[Buffer, Hashable] | None]:
        if not self.batched:
            return super().get_many_tagged(requests)
        wanted = [(check_key(key), range) for key, range in requests]

        def run() -> list_[tuple[Buffer, Hashable] | None]:
            return [found and (self._cut(found[0]), found[1]) for found in self.inner.get_many_tagged(wanted)]

        return self._call("get_many_tagged", None, run)

    def get_each(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> Iterator[tuple[int, Buffer | None]]:
        if not self.batched:
            yield from super().get_each(requests)
            return
        wanted = [(check_key(key), range) for key, range in requests]
        for number, value in self._call("get_each", None, lambda: self.inner.get_each(wanted)):
            yield number, self._cut(value)

    def set(self, key: Key, value: Buffer) -> None:
        check_key(key)
        self._call("set", key, lambda: self.inner.set(key, value), nbytes=_nbytes(value))

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        check_key(key)
        return self._call("set_if", key, lambda: self.inner.set_if(key, value, tag=tag), nbytes=_nbytes(value))

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        if not self.batched:
            super().set_many(items)
            return
        for key in items:
            check_key(key)
        self._call("set_many", None, lambda: self.inner.set_many(items), nbytes=_nbytes(list_(items.values())))

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        if not self.batched:
            return super().set_many_if(items)
        for key in items:
            check_key(key)
        nbytes = _nbytes([value for value, _ in items.values()])
        return self._call("set_many_if", None, lambda: self.inner.set_many_if(items), nbytes=nbytes)

    def delete(self, key: Key) -> None:
        check_key(key)
        self._call("delete", key, lambda: self.inner.delete(key))

    def delete_many(self, keys: Iterable[Key]) -> None:
        if not self.batched:
            super().delete_many(keys)
            return
        wanted = [check_key(key) for key in keys]
        self._call("delete_many", None, lambda: self.inner.delete_many(wanted))

    def delete_prefix(self, prefix: str) -> None:
        check_prefix(prefix)
        self._call("delete_prefix", prefix, lambda: self.inner.delete_prefix(prefix))

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        return self._call("list", prefix, lambda: list_(self.inner.list(prefix)))

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        check_folder(prefix)
        return self._call("list_dir", prefix, lambda: list_(self.inner.list_dir(prefix)))

    def size(self, key: Key) -> int | None:
        check_key(key)
        return self._call("size", key, lambda: self.inner.size(key))

    def exists(self, key: Key) -> bool:
        check_key(key)
        return self._call("exists", key, lambda: self.inner.exists(key))

    def object_id(self, key: Key) -> Hashable:
        return self.inner.object_id(key)

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock(key)

    def settle(self, path: str = "") -> None:
        self.inner.settle(path)

    def other_spelling(self, path: str) -> tuple[str, str] | None:
        return self.inner.other_spelling(path)

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock_node(key)

    def remains(self, path: str = "") -> Iterable[Remain]:
        return self.inner.remains(path)

    def tidy(self, remain: Remain) -> None:
        self.inner.tidy(remain)

    def set_aside(self, key: Key, path: str, *, keep: bool = False) -> str:
        return self._call("set_aside", check_key(key), lambda: self.inner.set_aside(key, path, keep=keep))

    def transaction(self) -> AbstractContextManager[Any]:
        return self.inner.transaction()

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        self._call("close", None, self.inner.close)


def _nbytes(value: object) -> int | None:
    """How many bytes a value, a tagged value or a list of values has; None for what is no value."""
    if isinstance(value, tuple):
        return _nbytes(value[0])
    if isinstance(value, list):
        sizes = [_nbytes(item) for item in value]
        return sum(n for n in sizes if n is not None) if any(n is not None for n in sizes) else None
    if value is None or isinstance(value, (bool, int, str)):
        return None
    try:
        return memoryview(value).nbytes  # type: ignore[arg-type]  # whatever is no buffer raises
    except (TypeError, ValueError):
        return None
