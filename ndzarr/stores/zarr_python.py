"""A store on top of any store of zarr-python 3: its own, obstore's through it, the store of an icechunk session."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix, is_key
from ndzarr.stores.base import Store, as_bytes, as_view, list_
from ndzarr.stores.bridge import at_once, gather, wait
from ndzarr.stores.foreign import is_zarr_store
from ndzarr.stores.local import LocalStore

T = TypeVar("T")

#: What zarr-python's own stores raise for a key that is not there, in methods that do not say so by None.
_ABSENT = (FileNotFoundError, NotADirectoryError)
#: Never folders.
_DOCUMENTS = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"})
#: Packages whose stores run on threads that a child of fork does not have, and wait for them for ever.
_RUNTIMES = frozenset({"icechunk", "obstore"})
#: Those of them that were used here, and those used before this process was forked.
_alive: set[str] = set()
_dead: set[str] = set()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _dead.update(_alive))


class ZarrPythonStore(Store):
    """The values of `store`, a `zarr.abc.store.Store`, which is used as it is and may be used beside by zarr-python.

    Many keys are asked for at once, as many as zarr-python's `async.concurrency` says. A read-only store, or one that supports
    no writes, is read-only here. What counts as missing is what `store` says is: FsspecStore and LocalStore also take a
    directory in a key's place for a missing key. A key that is a folder as well is listed as a key. Pickles with `store`;
    an icechunk session's has to be a fork, or read-only.

    `set_if` never replaces what another wrote, where `store.set_if_not_exists` does not. But zarr-python does not tell who was
    first: of two processes that create a key with the very same bytes, both may be told that they were.
    """

    def __init__(self, store: Any) -> None:
        if not is_zarr_store(store):
            raise ArgumentError(f"expected a store of zarr-python 3, found a {type(store).__name__}", found=store)
        self.store = store
        self._prepare()

    def _prepare(self) -> None:
        store = self.store
        self.writable = bool(store.supports_writes and not store.read_only)
        inner = store
        while is_zarr_store(getattr(inner, "_store", None)):  # a WrapperStore, as the one that logs is
            inner = inner._store
        #: The store under all wrappers, which is only asked what it stands for, never for a value.
        self._inner = inner
        root = getattr(inner, "root", None)
        self._root: Path | None = root if isinstance(root, Path) else None
        #: The same directory as a store of ours, for its locks and identities.
        self._local = None if self._root is None else LocalStore(self._root, readonly=not self.writable)
        #: Of FsspecStore: its file system tells files from directories, which zarr-python's interface does not.
        self._fs: Any = inner.fs if callable(getattr(getattr(inner, "fs", None), "_ls", None)) else None
        # Synchronous methods save the way over the loop. Only of zarr-python's own classes: a subclass that changed `get`
        # alone would be passed by.
        self._direct = (
            type(store).__module__.startswith("zarr.storage.")
            and all(callable(getattr(store, name, None)) for name in ("get_sync", "set_sync", "delete_sync"))
            and getattr(store, "_supports_sync_io", True)
        )
        self.batched = not self._direct
        held = getattr(inner, "store", inner)
        self._runtime = name if (name := type(held).__module__.partition(".")[0]) in _RUNTIMES else None

    @property
    def url(self) -> str:
        inner = self._inner
        if self._root is not None:
            where = str(self._root)
        elif self._fs is not None:
            where = f"{type(inner.fs).__name__}({inner.path!r})"  # not its options, which may hold credentials
        else:
            where = hex(id(inner))
        return f"zarr:{type(inner).__name__}:{where}"

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.store = state["store"]
        self._prepare()

    def _do(self, what: str, key: Key, coroutine: Coroutine[Any, Any, T], *, at_once_if: bool = False) -> T:
        """What `coroutine` returns; any failure, KeyError included, is a StoreError (promise P8)."""
        try:
            self._must_run()
        except StoreError:
            coroutine.close()
            raise
        try:
            return at_once(coroutine) if at_once_if else wait(self._opened(coroutine))
        except Exception as error:
            raise self._failed(what, key, error) from error

    def _wait_all(self, calls: list_[Any]) -> list_[Any]:
        self._must_run()
        try:
            return wait(self._opened(gather(calls)))
        except StoreError:
            raise
        except Exception as error:  # of none of the keys: those have been told above
            raise self._failed("open", "", error) from error

    async def _opened(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self.store._is_open:
            try:
                await self.store._ensure_open()  # not every store does so when it is first asked
            except BaseException:
                coroutine.close()
                raise
        return await coroutine

    def _must_run(self) -> None:
        """Raise StoreError where the answer would never come: in a child of fork, of a store that has threads of its own."""
        if self._runtime is None:
            return
        if self._runtime in _dead:
            raise StoreError(
                f"{self.url} was used before this process was forked, and {self._runtime} has no threads here; start processes "
                "by 'spawn' or 'forkserver'",
                store=self.url,
            )
        _alive.add(self._runtime)

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        return self._do("read", check_key(key), self._get(key, range), at_once_if=self._direct)

    def get_many(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[Buffer | None]:
        wanted = [(check_key(key), range) for key, range in requests]
        if self._direct or len(wanted) == 1:
            return [self.get(key, range) for key, range in wanted]
        if not wanted:
            return []
        return self._wait_all([partial(self._get_told, key, range) for key, range in wanted])

    async def _get_told(self, key: Key, range: ByteRange | None) -> Buffer | None:
        try:
            return await self._get(key, range)
        except Exception as error:
            raise self._failed("read", key, error) from error

    async def _get(self, key: Key, range: ByteRange | None) -> Buffer | None:
        if range is None:
            return await self._fetch(key)
        if self._runtime == "icechunk" and key.endswith("zarr.json"):
            # Its reader panics at a range that ends beyond a document's end.
            return _part(await self._fetch(key), range)
        from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest

        start, stop = range
        wanted: Any
        if start < 0 and stop is None:
            wanted = SuffixByteRequest(-start)
        elif stop is None:
            wanted = OffsetByteRequest(start)
        elif 0 <= start < stop:
            wanted = RangeByteRequest(start, stop)
        else:  # stores disagree on what an empty range is
            return _part(await self._fetch(key), range)
        try:
            found = await self._fetch(key, wanted)
        except Exception:
            # Some stores refuse a range that is not wholly inside the value, or that starts at its end.
            nbytes = await self._nbytes(key)
            if nbytes is None:
                return None
            if start >= nbytes:
                return memoryview(b"")
            if not (-start > nbytes or (stop or 0) > nbytes):
                raise
            return _part(await self._fetch(key, None if start < 0 else OffsetByteRequest(start)), _moved(range))
        if start < 0 and found is not None and len(found) != -start:
            # The value is shorter than the end that was asked for. zarr-python 3.1's MemoryStore then gives less than all.
            return _part(await self._fetch(key), range)
        return found

    async def _fetch(self, key: Key, request: Any = None) -> memoryview | None:
        from zarr.core.buffer.cpu import buffer_prototype  # not the default one, which may be a GPU's

        if self._direct:
            found = self.store.get_sync(key, prototype=buffer_prototype, byte_range=request)
        else:
            try:
                found = await self.store.get(key, prototype=buffer_prototype, byte_range=request)
            except Exception as error:
                if not self._refuses(error):
                    raise
                return None
        return None if found is None else as_view(key, found.as_numpy_array())

    def _refuses(self, error: Exception) -> bool:
        """Whether `error` says that nothing can have a name: icechunk holds documents, and chunks of nodes that it has."""
        told = str(error)
        return self._runtime == "icechunk" and ("invalid zarr key format" in told or "bad key prefix" in told)

    async def _nbytes(self, key: Key) -> int | None:
        if self._direct:
            found = await self._fetch(key)
            return None if found is None else len(found)
        return await self._size(key)

    def size(self, key: Key) -> int | None:
        return self._do("read", check_key(key), self._size(key))

    async def _size(self, key: Key) -> int | None:
        if self._fs is not None:
            try:
                info = await self._fs._info(self._path(key))
            except _ABSENT:
                return None
            if info.get("type") == "directory":  # which `exists` would say is there
                return None
            if info.get("size") is not None:
                return int(info["size"])
            found = await self._fetch(key)
            return None if found is None else len(found)
        if not await self._exists(key):  # `getsize` gives a directory one
            return None
        try:
            return int(await self.store.getsize(key))
        except _ABSENT:
            if await self._exists(key):  # so it was not deleted meanwhile
                raise
            return None

    def exists(self, key: Key) -> bool:
        return self._do("read", check_key(key), self._exists(key))

    async def _exists(self, key: Key) -> bool:
        if self._fs is not None:
            return await self._size(key) is not None
        try:
            return bool(await self.store.exists(key))
        except Exception:  # icechunk's raises for the names of format 2, which it has none of; its `get` does not
            return await self._fetch(key) is not None

    # ---- listing --------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterable[Key]:
        return self._do("list", check_prefix(prefix), self._list(prefix))

    async def _list(self, prefix: str) -> list_[Key]:
        # Of a prefix that is no folder every store has its own idea.
        folder = prefix[: prefix.rfind("/") + 1]
        found: dict[str, None] = {}
        async for key in self._listed(self.store.list_prefix, folder):
            found[key.lstrip("/")] = None  # FsspecStore at the root of its file system gives absolute names
        return [key for key in found if key.startswith(prefix) and is_key(key)]

    async def _listed(self, listing: Callable[[str], AsyncIterator[str]], folder: str) -> AsyncIterator[str]:
        try:
            async for name in listing(folder):
                yield name
        except _ABSENT:
            return
        except Exception as error:
            if not self._refuses(error):
                raise

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        check_folder(prefix)
        return self._do("list", prefix, self._list_dir(prefix))

    async def _list_dir(self, prefix: str) -> list_[str]:
        folder = prefix.removesuffix("/")
        names = await (self._entries(folder) if self._fs is not None else self._names(folder))
        return [name for name in names if is_key(prefix + name.removesuffix("/"))]

    async def _entries(self, folder: str) -> Iterable[str]:
        base = self._path(folder).strip("/")
        found: dict[str, None] = {}
        with suppress(*_ABSENT):
            for entry in await self._fs._ls(self._path(folder), detail=True):
                path = entry["name"].strip("/")
                above, _, name = path.rpartition("/")
                if name and above == base:  # not the folder itself, or the file that is no folder
                    found[name + "/" if entry["type"] == "directory" else name] = None
        return found

    async def _names(self, folder: str) -> Iterable[str]:
        found = {name async for name in self._listed(self.store.list_dir, folder)}
        # zarr-python does not say which of the names are folders: those that are no key.
        unsure = sorted(name for name in found if not name.endswith("/") and name not in _DOCUMENTS)
        start = folder + "/" if folder else ""
        keys = await gather([partial(self._exists, start + name) for name in unsure if is_key(start + name)])
        folders = {name for name, is_one in zip([n for n in unsure if is_key(start + n)], keys, strict=True) if not is_one}
        return [name + "/" if name in folders else name for name in found]

    # ---- writing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        self._must_write(check_key(key))
        self._do("write", key, self._set(key, as_bytes(key, value)), at_once_if=self._direct)

    async def _set(self, key: Key, data: bytes, *, only_new: bool = False) -> None:
        from zarr.core.buffer.cpu import Buffer as ZarrBuffer

        # Of bytes that nobody can change: zarr-python 3.1's MemoryStore keeps what it is given.
        value = ZarrBuffer.from_bytes(data)
        if only_new:
            await self.store.set_if_not_exists(key, value)
        elif self._direct:
            self.store.set_sync(key, value)
        else:
            await self.store.set(key, value)

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        values = []
        for key, value in items.items():
            self._must_write(check_key(key))
            values.append((key, as_bytes(key, value)))
        if self._direct or len(values) < 2:
            for key, data in values:
                self.set(key, data)
        else:
            self._wait_all([partial(self._told, "write", key, partial(self._set, key, data)) for key, data in values])

    async def _told(self, what: str, key: Key, call: Any) -> None:
        try:
            await call()
        except Exception as error:
            raise self._failed(what, key, error) from error

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        self._must_write(check_key(key))
        if tag is not None:
            return super().set_if(key, value, tag=tag)
        data = as_bytes(key, value)
        with self.lock(key):
            return self._do("write", key, self._create(key, data))

    async def _create(self, key: Key, data: bytes) -> bool:
        if await self._exists(key):
            return False
        await self._set(key, data, only_new=True)
        # It says nothing where it did nothing.
        now = await self.store.get(key, prototype=_prototype())
        return now is not None and now.to_bytes() == data

    def delete(self, key: Key) -> None:
        self._must_write(check_key(key))
        self._do("delete", key, self._delete(key), at_once_if=self._direct)

    async def _delete(self, key: Key) -> None:
        if self._root is not None and os.path.isdir(self._root / key):
            return  # no such key, and LocalStore would remove all that is in the directory
        with suppress(*_ABSENT):
            if self._direct:
                self.store.delete_sync(key)
            else:
                await self.store.delete(key)

    def delete_many(self, keys: Iterable[Key]) -> None:
        gone = []
        for key in dict.fromkeys(keys):
            self._must_write(check_key(key))
            gone.append(key)
        if self._direct or len(gone) < 2:
            for key in gone:
                self.delete(key)
        else:
            self._wait_all([partial(self._told, "delete", key, partial(self._delete, key)) for key in gone])

    def delete_prefix(self, prefix: str) -> None:
        self._must_write(check_prefix(prefix))
        if prefix.endswith("/"):
            # In one request where the store has one for it, directories included. Never of the root: that may be a bucket.
            self._must_run()
            with suppress(Exception):
                wait(self._opened(self.store.delete_dir(prefix[:-1])))
        self.delete_many(self.list(prefix))

    # ---- what it stands for --------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        """Where FsspecStore keeps `key` in its file system."""
        base = str(self._inner.path).rstrip("/")
        return f"{base}/{key}" if base and key else base or key

    # A handle on a directory, and a LocalStore on it, are to keep each other out.

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        return super().lock(key) if self._local is None else self._local.lock(key)

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        return super().lock_node(key) if self._local is None else self._local.lock_node(key)

    def object_id(self, key: Key) -> Hashable:
        inner = self._inner
        if self._local is not None:
            return self._local.object_id(key)
        if self._fs is not None:
            return (hash(self._fs), self._path(key))
        held = getattr(inner, "_store_dict", inner)  # which read-only copies of a MemoryStore share
        return (id(held), key)

    def close(self) -> None:
        try:
            if self.store._is_open:
                self.store.close()
        except Exception as error:
            raise self._failed("close", "", error) from error


def _prototype() -> Any:
    from zarr.core.buffer.cpu import buffer_prototype

    return buffer_prototype


def _part(value: memoryview | None, range: ByteRange) -> memoryview | None:
    return None if value is None else value[range[0] : range[1]]


def _moved(range: ByteRange) -> ByteRange:
    """`range` of a value, of what is left of it from `range.start` on; one from the end stays."""
    start, stop = range
    return range if start < 0 else ByteRange(0, None if stop is None else stop - start)


def over(target: Any) -> Store:
    """The store over `target`, for which `is_zarr_store` holds.

    What `zarr_store` made is taken apart again, and zarr-python's own LocalStore becomes ours on the same directory, which is
    faster and tells a directory in a chunk's place from a missing chunk.
    """
    wrapped = getattr(target, "ndzarr_store", None)
    if isinstance(wrapped, Store) and target.read_only != wrapped.writable:
        return wrapped
    cls = type(target)
    if cls.__module__.startswith("zarr.storage.") and cls.__name__ == "LocalStore":
        return LocalStore(target.root, readonly=target.read_only)
    return ZarrPythonStore(target)
