"""What every store around another one does: hand each call on, flags, locks and identities included."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError
from ndzarr.keys import check_folder, check_key, check_prefix
from ndzarr.stores.base import Store, list_
from ndzarr.stores.remains import Remain

Request = tuple[Key, ByteRange | None]


class WrapperStore(Store):
    """`inner`, unchanged: subclasses change what they are about. Keys are checked here, before anything is done with them.

    Locks and identities are those of `inner`, so that handles through a wrapper and beside it agree on what one object is.
    Thread-safe as `inner` is. Pickles with `inner`.
    """

    def __init__(self, inner: Store) -> None:
        if not isinstance(inner, Store):
            raise ArgumentError(f"expected a Store to wrap, found a {type(inner).__name__}", found=inner)
        self.inner = inner
        self.writable, self.conditional, self.tagged = inner.writable, inner.conditional, inner.tagged
        self.batched, self.exclusive, self.transactional = inner.batched, inner.exclusive, inner.transactional
        self.by_value = inner.by_value
        # What a subclass makes of values is not what `inner` knows of: only ours, each by its own exact type, hand that on.
        if type(self) is WrapperStore:
            self.evidence_after_s = inner.evidence_after_s

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        return self.inner.get(check_key(key), range)

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        return self.inner.get_tagged(check_key(key), range)

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        wanted = [check_key(key) for key in keys]
        return self.inner.evidence(wanted) if self.evidence_after_s is not None else super().evidence(wanted)

    def get_many(self, requests: Iterable[Request]) -> list_[Buffer | None]:
        return self.inner.get_many(checked(requests))

    def get_many_tagged(self, requests: Iterable[Request]) -> list_[tuple[Buffer, Hashable] | None]:
        return self.inner.get_many_tagged(checked(requests))

    def get_each(self, requests: Iterable[Request]) -> Generator[tuple[int, Buffer | None], None, None]:
        yield from self.inner.get_each(checked(requests))

    def set(self, key: Key, value: Buffer) -> None:
        self.inner.set(check_key(key), value)

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        return self.inner.set_if(check_key(key), value, tag=tag)

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        self.inner.set_many({check_key(key): value for key, value in items.items()})

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        return self.inner.set_many_if({check_key(key): item for key, item in items.items()})

    def delete(self, key: Key) -> None:
        self.inner.delete(check_key(key))

    def delete_many(self, keys: Iterable[Key]) -> None:
        self.inner.delete_many([check_key(key) for key in keys])

    def delete_prefix(self, prefix: str) -> None:
        self.inner.delete_prefix(check_prefix(prefix))

    def transaction(self) -> AbstractContextManager[Any]:
        return self.inner.transaction()

    def move_prefix(self, old: str, new: str) -> bool:
        return self.inner.move_prefix(check_folder(old), check_folder(new))

    def list(self, prefix: str = "") -> Iterable[Key]:
        return self.inner.list(check_prefix(prefix))

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        return self.inner.list_dir(check_folder(prefix))

    def size(self, key: Key) -> int | None:
        return self.inner.size(check_key(key))

    def exists(self, key: Key) -> bool:
        return self.inner.exists(check_key(key))

    def object_id(self, key: Key) -> Hashable:
        return self.inner.object_id(check_key(key))

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock(check_key(key))

    def settle(self, path: str = "") -> None:
        self.inner.settle(path)

    def other_spelling(self, path: str) -> tuple[str, str] | None:
        return self.inner.other_spelling(path)

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock_node(check_key(key))

    def remains(self, path: str = "") -> Iterable[Remain]:
        return self.inner.remains(path)

    def tidy(self, remain: Remain) -> None:
        self.inner.tidy(remain)

    def set_aside(self, key: Key, path: str, *, keep: bool = False) -> str:
        return self.inner.set_aside(check_key(key), path, keep=keep)

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        self.inner.close()


def checked(requests: Iterable[Request]) -> list_[Request]:
    """The requests, every key of them checked before the first is asked for."""
    return [(check_key(key), range) for key, range in requests]
