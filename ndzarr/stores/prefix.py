"""What lies under one folder of a store, as a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError
from ndzarr.keys import check_folder, check_key, check_prefix, normalize_path
from ndzarr.stores.base import Store, list_
from ndzarr.stores.remains import Remain
from ndzarr.stores.wrapper import Request, WrapperStore


class PrefixStore(WrapperStore):
    """The keys of `inner` under the folder `prefix`, by what follows it: "b" here is "a/b" there when `prefix` is "a".

    No key leads out of the folder. Locks and identities are those of the whole keys, so this and `inner` may be used side by
    side.

    >>> from ndzarr import MemoryStore
    >>> whole = MemoryStore({"a/b": b"1", "c": b"2"})
    >>> list(PrefixStore(whole, "a").list())
    ['b']
    """

    def __init__(self, inner: Store, prefix: str) -> None:
        super().__init__(inner)
        path = normalize_path(prefix)
        if not path:
            raise ArgumentError(f"prefix is {prefix!r}: expected the name of a folder", field="prefix", found=prefix)
        #: The folder in `inner`, with "/" at its end.
        self.prefix = f"{path}/"
        if type(self) is PrefixStore:
            self.evidence_after_s = inner.evidence_after_s

    @property
    def url(self) -> str:
        return f"{self.inner.url.rstrip('/')}/{self.prefix[:-1]}"

    def _whole(self, key: Key) -> Key:
        return self.prefix + check_key(key)

    def _requests(self, requests: Iterable[Request]) -> list_[Request]:
        return [(self._whole(key), range) for key, range in requests]

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        return self.inner.get(self._whole(key), range)

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        return self.inner.get_tagged(self._whole(key), range)

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        return super().evidence(keys) if self.evidence_after_s is None else self.inner.evidence([self._whole(k) for k in keys])

    def get_many(self, requests: Iterable[Request]) -> list_[Buffer | None]:
        return self.inner.get_many(self._requests(requests))

    def get_many_tagged(self, requests: Iterable[Request]) -> list_[tuple[Buffer, Hashable] | None]:
        return self.inner.get_many_tagged(self._requests(requests))

    def get_each(self, requests: Iterable[Request]) -> Generator[tuple[int, Buffer | None], None, None]:
        yield from self.inner.get_each(self._requests(requests))

    def set(self, key: Key, value: Buffer) -> None:
        self.inner.set(self._whole(key), value)

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        return self.inner.set_if(self._whole(key), value, tag=tag)

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        self.inner.set_many({self._whole(key): value for key, value in items.items()})

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        written = self.inner.set_many_if({self._whole(key): item for key, item in items.items()})
        return {key[len(self.prefix) :]: kept for key, kept in written.items()}

    def delete(self, key: Key) -> None:
        self.inner.delete(self._whole(key))

    def delete_many(self, keys: Iterable[Key]) -> None:
        self.inner.delete_many([self._whole(key) for key in keys])

    def delete_prefix(self, prefix: str) -> None:
        self.inner.delete_prefix(self.prefix + check_prefix(prefix))

    def move_prefix(self, old: str, new: str) -> bool:
        # The whole of it ("") has no place within itself to go to.
        folders = check_folder(old), check_folder(new)
        return all(folders) and self.inner.move_prefix(self.prefix + old, self.prefix + new)

    def list(self, prefix: str = "") -> Iterable[Key]:
        start = len(self.prefix)
        return (key[start:] for key in self.inner.list(self.prefix + check_prefix(prefix)))

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        return self.inner.list_dir(self.prefix + check_folder(prefix))

    def size(self, key: Key) -> int | None:
        return self.inner.size(self._whole(key))

    def exists(self, key: Key) -> bool:
        return self.inner.exists(self._whole(key))

    def object_id(self, key: Key) -> Hashable:
        return self.inner.object_id(self._whole(key))

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock(self._whole(key))

    def settle(self, path: str = "") -> None:
        self.inner.settle(self._whole(path) if path else self.prefix.rstrip("/"))

    def other_spelling(self, path: str) -> tuple[str, str] | None:
        return self.inner.other_spelling(self.prefix + path if path else self.prefix[:-1])

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock_node(self._whole(key))

    def remains(self, path: str = "") -> Iterable[Remain]:
        start = len(self.prefix)
        for remain in self.inner.remains(self._whole(path) if path else self.prefix.rstrip("/")):
            inside = remain.name.startswith(self.prefix)
            yield replace(remain, name=remain.name[start:] if inside else f"/{remain.name}")

    def tidy(self, remain: Remain) -> None:
        outside = remain.name.startswith("/")
        self.inner.tidy(replace(remain, name=remain.name[1:] if outside else self.prefix + remain.name))

    def set_aside(self, key: Key, path: str, *, keep: bool = False) -> str:
        place = self.inner.set_aside(self._whole(key), self._whole(path) if path else self.prefix.rstrip("/"), keep=keep)
        return place.removeprefix(self.prefix)

    def shortcut(self, most: int) -> Callable[[Key], Buffer | None] | None:
        found = self.inner.shortcut(most) if type(self) is PrefixStore else None
        if found is None:
            return None
        ask, prefix = found, self.prefix
        return lambda key: ask(prefix + key)
