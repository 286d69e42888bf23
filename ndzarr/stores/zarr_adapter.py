"""Any store of ours as a store of zarr-python 3. Imports zarr-python, so it is imported by `for_zarr.zarr_store` alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Literal, TypeVar
from uuid import uuid4

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store as ZarrStore, SuffixByteRequest
from zarr.core.buffer import Buffer, default_buffer_prototype

from ndzarr._typing import ByteRange
from ndzarr.errors import ReadOnlyError
from ndzarr.stores.base import Store
from ndzarr.stores.bridge import aside
from ndzarr.stores.memory import MemoryStore

T = TypeVar("T")
list_ = list


class NdzarrStore(ZarrStore):  # type: ignore[misc]  # zarr is not followed by the type checker
    """`store` for zarr-python: what zarr-python's functions, and all that is built on it, take as a store.

    Every method calls the one of `store` in a thread, so that zarr-python's event loop goes on; only MemoryStore, which waits
    for nothing, is called in place. Values are replaced whole, as `store` does it; `set_if_not_exists` is its `set_if`. A
    failure is the StoreError that `store` raises: never a missing key.

    `close` closes `store`, except in the copies that `with_read_only` makes. Equal where both stand for the same objects.
    Pickles with `store`.
    """

    def __init__(self, store: Store, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only or not store.writable)
        self.ndzarr_store = store
        self._owns = True
        self._in_place = type(store) is MemoryStore

    def with_read_only(self, read_only: bool = False) -> NdzarrStore:
        if not read_only and not self.ndzarr_store.writable:
            raise ReadOnlyError(f"{self.ndzarr_store.url} is open for reading only", store=self.ndzarr_store.url)
        copy = type(self)(self.ndzarr_store, read_only=read_only)
        copy._owns = False
        return copy

    def close(self) -> None:
        super().close()
        if self._owns:
            self.ndzarr_store.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.ndzarr_store, "read_only": self.read_only}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Asking the store again: an archive that was written here is only read elsewhere.
        type(self).__init__(self, state["store"], read_only=state["read_only"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NdzarrStore):
            return NotImplemented
        return self.ndzarr_store is other.ndzarr_store or self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> Any:
        return self.ndzarr_store.object_id("zarr.json")

    def __dask_tokenize__(self) -> str:
        # A new one each time: what the store holds may have changed, and pickling it to find out could take all of it along.
        return uuid4().hex

    def __str__(self) -> str:
        return self.ndzarr_store.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ndzarr_store.url!r}{' read-only' if self.read_only else ''}>"

    @property
    def supports_writes(self) -> bool:
        return self.ndzarr_store.writable

    @property
    def supports_deletes(self) -> bool:
        return self.ndzarr_store.writable

    @property
    def supports_listing(self) -> bool:
        return True

    @property
    def supports_partial_writes(self) -> Literal[False]:
        return False

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        if not self._is_open:
            await self._open()
        return function(*arguments) if self._in_place else await aside(function, *arguments)

    # ---- reading --------------------------------------------------------------------------------

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
        range = _range(byte_range)
        found = await self._call(self.ndzarr_store.get, key, range)
        return _buffer(found, prototype)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list_[Buffer | None]:
        wanted = [(key, _range(byte_range)) for key, byte_range in key_ranges]
        return [_buffer(found, prototype) for found in await self._call(self.ndzarr_store.get_many, wanted)]

    async def _get_many(self, requests: Iterable[tuple[str, Any, Any]]) -> AsyncIterator[tuple[str, Buffer | None]]:
        asked = list(requests)
        wanted = [(key, _range(byte_range)) for key, _, byte_range in asked]
        values = await self._call(self.ndzarr_store.get_many, wanted)
        for (key, prototype, _), found in zip(asked, values, strict=True):
            yield key, _buffer(found, prototype)

    async def exists(self, key: str) -> bool:
        return await self._call(self.ndzarr_store.exists, key)

    async def getsize(self, key: str) -> int:
        nbytes = await self._call(self.ndzarr_store.size, key)
        if nbytes is None:
            raise FileNotFoundError(key)
        return nbytes

    async def getsize_prefix(self, prefix: str) -> int:
        store = self.ndzarr_store
        return await self._call(lambda: sum(store.size(key) or 0 for key in store.list(_folder(prefix))))

    # ---- writing --------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await self._call(self.ndzarr_store.set, key, _bytes(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        self._check_writable()
        data, store = _bytes(value), self.ndzarr_store
        await self._call(lambda: store.set_if(key, data, tag=None))

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        self._check_writable()
        await self._call(self.ndzarr_store.set_many, {key: _bytes(value) for key, value in values})

    async def delete(self, key: str) -> None:
        self._check_writable()
        await self._call(self.ndzarr_store.delete, key)

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        await self._call(self.ndzarr_store.delete_prefix, _folder(prefix))

    async def clear(self) -> None:
        await self.delete_dir("")

    # ---- listing --------------------------------------------------------------------------------

    async def list(self) -> AsyncIterator[str]:
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        store = self.ndzarr_store
        for key in await self._call(lambda: list_(store.list(prefix))):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        store = self.ndzarr_store
        names = await self._call(lambda: list_(store.list_dir(_folder(prefix))))
        for name in dict.fromkeys(name.removesuffix("/") for name in names):
            yield name

    async def is_empty(self, prefix: str) -> bool:
        store = self.ndzarr_store
        return await self._call(lambda: not any(True for _ in store.list(_folder(prefix))))

    # ---- what newer zarr-python calls in threads of its own ----------------------------------------------------------------

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
        return _buffer(self.ndzarr_store.get(key, _range(byte_range)), prototype)

    def set_sync(self, key: str, value: Buffer) -> None:
        self._check_writable()
        self.ndzarr_store.set(key, _bytes(value))

    def delete_sync(self, key: str) -> None:
        self._check_writable()
        self.ndzarr_store.delete(key)


def _folder(prefix: str) -> str:
    """zarr-python's word for a folder, with or without a "/" at its end, as ours."""
    bare = prefix.strip("/")
    return bare + "/" if bare else ""


def _range(wanted: Any) -> ByteRange | None:
    if wanted is None:
        return None
    if isinstance(wanted, RangeByteRequest) and wanted.start >= 0:
        return ByteRange(wanted.start, max(wanted.start, wanted.end))
    if isinstance(wanted, OffsetByteRequest) and wanted.offset >= 0:
        return ByteRange(wanted.offset)
    if isinstance(wanted, SuffixByteRequest) and wanted.suffix >= 0:
        return ByteRange(-wanted.suffix) if wanted.suffix else ByteRange(0, 0)
    raise ValueError(f"Unexpected byte_range, got {wanted}.")  # zarr-python's words, which its own tests ask for


def _buffer(found: Any, prototype: Any) -> Buffer | None:
    if found is None:
        return None
    return (prototype or default_buffer_prototype()).buffer.from_bytes(found)


def _bytes(value: Any) -> Any:
    if not isinstance(value, Buffer):
        raise TypeError(f"NdzarrStore.set(): `value` must be a Buffer instance. Got an instance of {type(value)} instead.")
    return value.as_numpy_array()
