"""A store that can only be read, over any store."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ndzarr._typing import Buffer, Key
from ndzarr.errors import ReadOnlyError
from ndzarr.keys import check_folder, check_key, check_prefix
from ndzarr.stores.base import Store
from ndzarr.stores.remains import Remain
from ndzarr.stores.wrapper import WrapperStore


class ReadOnlyStore(WrapperStore):
    """What `inner` holds, for reading: whatever would change it raises ReadOnlyError, and nothing of it is done.

    >>> from ndzarr import MemoryStore
    >>> store = ReadOnlyStore(MemoryStore({"a": b"1"}))
    >>> store.get("a")
    b'1'
    >>> store.delete("a")
    Traceback (most recent call last):
    ndzarr.errors.ReadOnlyError: cannot change 'a': ... is open for reading only
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.writable = self.transactional = False
        if type(self) is ReadOnlyStore:
            self.evidence_after_s = inner.evidence_after_s

    @property
    def url(self) -> str:
        return self.inner.url

    def set(self, key: Key, value: Buffer) -> None:
        self._must_write(check_key(key))

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        self._must_write(check_key(key))
        return False

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        self._refuse(items)

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        self._refuse(items)
        return {}

    def delete(self, key: Key) -> None:
        self._must_write(check_key(key))

    def delete_many(self, keys: Iterable[Key]) -> None:
        self._refuse(keys)

    def delete_prefix(self, prefix: str) -> None:
        self._must_write(check_prefix(prefix))

    def move_prefix(self, old: str, new: str) -> bool:
        check_folder(new)
        self._must_write(check_folder(old))
        return False

    def tidy(self, remain: Remain) -> None:
        self._must_write(remain.name)

    def set_aside(self, key: Key, path: str, *, keep: bool = False) -> str:
        self._must_write(check_key(key))
        return ""

    def transaction(self) -> AbstractContextManager[Any]:
        raise ReadOnlyError(f"cannot begin a transaction: {self.url} is open for reading only", store=self.url)

    def shortcut(self, most: int) -> Callable[[Key], Buffer | None] | None:
        return self.inner.shortcut(most) if type(self) is ReadOnlyStore else None

    def _refuse(self, keys: Iterable[Key]) -> None:
        for key in [check_key(key) for key in keys]:
            self._must_write(key)
