"""A store in this process's memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, ClassVar

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.keys import check_key, check_prefix
from ndzarr.stores.base import Store, as_bytes, own_lock


class MemoryStore(Store):
    """Values as immutable `bytes` in a dict of its own.

    `data` is copied in; keys are checked, values may be any buffer. Pickles by value: the copy in another process is
    another store. "memory://name" is one store per process and name. Thread-safe: reads are one operation on the dict,
    changes hold a lock.

    >>> from ndzarr import MemoryStore
    >>> store = MemoryStore({"a": b"123"})
    >>> store.get("a"), store.get("b")
    (b'123', None)
    """

    scheme: ClassVar[str | None] = "memory"
    conditional = True
    exclusive = True  # no other process reaches it
    tagged = True
    by_value = True
    _lock: Any  # see own_lock

    def __init__(self, data: Mapping[str, Buffer] | None = None) -> None:
        self._data: dict[str, bytes] = {check_key(k): as_bytes(k, v) for k, v in (data or {}).items()}
        self._name: str | None = None
        own_lock(self)

    @classmethod
    def from_url(cls, url: str) -> MemoryStore:
        """The store that "memory://name" stands for in this process; made when first asked for."""
        name = url.partition("://")[2]
        store = _named.get(name)
        if store is None:
            store = cls()
            store._name = name
            store = _named.setdefault(name, store)  # one step, so that two threads get the same
        return store

    @property
    def url(self) -> str:
        return f"memory://{self._name}" if self._name is not None else f"memory:{id(self._data):#x}"

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        value = self._data.get(check_key(key))
        if range is None or value is None:
            return value
        return memoryview(value)[range[0] : range[1]]

    def shortcut(self, most: int) -> Callable[[Key], Buffer | None] | None:
        return self._data.get if type(self) is MemoryStore else None

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        # The value is its own tag: immutable, no copy, and comparing it with itself is comparing two pointers.
        value = self._data.get(check_key(key))
        if value is None:
            return None
        return value if range is None else memoryview(value)[range[0] : range[1]], value

    def set(self, key: Key, value: Buffer) -> None:
        check_key(key)
        new = as_bytes(key, value)
        with self._lock:  # for `set_if`, which must not be overtaken between its two steps
            self._data[key] = new

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        check_key(key)
        new = as_bytes(key, value)
        with self._lock:
            if self._data.get(key) != tag:
                return False
            self._data[key] = new
            return True

    def delete(self, key: Key) -> None:
        check_key(key)
        with self._lock:
            self._data.pop(key, None)

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        keys = [*self._data]  # one step: other threads may be setting
        return [k for k in keys if k.startswith(prefix)] if prefix else keys

    def size(self, key: Key) -> int | None:
        value = self._data.get(check_key(key))
        return None if value is None else len(value)

    def exists(self, key: Key) -> bool:
        return check_key(key) in self._data

    def object_id(self, key: Key) -> Hashable:
        return (id(self._data), key)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": self._data.copy(), "_lock": None, "_name": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        own_lock(self)


# "memory://name" -> its store, for the life of the process, as fsspec's memory file system does.
_named: dict[str, MemoryStore] = {}
