"""A store on obstore: S3, Azure and HTTP by a client that costs a thirtieth of the processor time of others."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix, is_key
from ndzarr.stores.base import ABSENT, Store, as_bytes, list_
from ndzarr.stores.files import file_id
from ndzarr.stores.loops import each, gather, own_loop, run
from ndzarr.stores.ranges import Fetch, merged
from ndzarr.stores.retries import Tries, passes, told

T = TypeVar("T")
_Request = tuple[Key, ByteRange | None]
_Tagged = tuple[Buffer, Hashable]

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_HTTP = frozenset({"http", "https"})
#: obstore's own stores -> the scheme of their URLs.
_KINDS = {
    "S3Store": "s3",
    "AzureStore": "az",
    "GCSStore": "gs",
    "HTTPStore": "http",
    "LocalStore": "file",
    "MemoryStore": "memory",
}
#: From here on a value goes up in parts.
_PARTS_FROM = 64 << 20
_STATUS = re.compile(r"status code: (\d+)")

#: Whether obstore was used in this process, and whether that was before it was forked.
_used = _lost = False


def _after_fork() -> None:
    global _lost, _used
    _lost, _used = _used or _lost, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ObjectStore(Store):
    """What lies under `store_or_url`: "s3://bucket/x.zarr", "az://container/x.zarr", "https://host/x.zarr", or a store of
    obstore's own.

    config: what obstore takes, as `access_key_id`, `endpoint`, `region`, `skip_signature`, `client_options`, or a
    `credential_provider`; without it obstore looks in the environment. An endpoint of `http:` is allowed without being asked.
    readonly: refuse to write; HTTP is never written to. concurrency: how many requests of one call are under way at once.
    conditional: False for a server that takes conditions (If-Match) but does not check them and write in one step, as versitygw
    1.7 does not: `set_if` then excludes this process's threads only.

    Values have the server's tags, and `set_if` is one step on the server (on S3 and Azure). Many keys are many requests at a
    time; ranges of one key that are close are one. Failures that pass are tried again for 30 s (`retries.py`), all others are
    StoreErrors, panics included. Pickles with its configuration, keys included. Listing over HTTP needs WebDAV, or the extra
    `http` and a server with index pages. Its threads do not outlive a fork: start processes by "spawn" or "forkserver".
    """

    batched = True

    def __init__(
        self,
        store_or_url: Any,
        *,
        readonly: bool = False,
        conditional: bool = True,
        concurrency: int = 128,
        **config: Any,
    ) -> None:
        try:
            import obstore
        except ImportError as error:
            raise ArgumentError(f"cannot open {store_or_url!r}: {error}; pip install 'ndzarr[obstore]'") from error
        self._obstore = obstore
        self.concurrency = concurrency
        self._given: tuple[Any, dict[str, Any]] = (
            store_or_url,
            {"readonly": readonly, "conditional": conditional, "concurrency": concurrency, **config},
        )
        if isinstance(store_or_url, str):
            scheme = store_or_url.partition("://")[0]
            self.store, self._shown = _made(store_or_url, config), _bare(store_or_url)
        elif type(store_or_url).__name__ in _KINDS and not config:
            scheme = _KINDS[type(store_or_url).__name__]
            self.store, self._shown = store_or_url, _shown(scheme, store_or_url)
        else:
            raise ArgumentError(
                f"expected a URL, or a store of obstore and no options, found a {type(store_or_url).__name__}",
                found=store_or_url,
            )
        self._web = scheme in _HTTP
        self._suffixes = scheme not in ("az", "azure", "abfs", "abfss")  # the others take "the last n bytes"
        self._listing: Store | None = None
        # A web server's tags may go by seconds; a directory has none at all to compare by.
        self.tagged = not self._web and scheme != "file"
        # Tags of a store in memory are numbers that another one gives out, too.
        self.evidence_after_s = 0.0 if self.tagged and scheme != "memory" else None
        self.conditional = self.tagged and conditional
        self.writable = not (readonly or self._web)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> ObjectStore:
        """The store for `url`."""
        return cls(url, **options)

    @property
    def url(self) -> str:
        return self._shown

    def object_id(self, key: Key) -> Hashable:
        scheme, _, where = self._shown.partition("://")
        if scheme == "file":
            return file_id(where or "/", key)
        return ({"s3a": "s3", "abfs": "az", "abfss": "az", "https": "http"}.get(scheme, scheme), f"{where}/{key}")

    def __getstate__(self) -> tuple[Any, dict[str, Any]]:
        return self._given

    def __setstate__(self, given: tuple[Any, dict[str, Any]]) -> None:
        self.__init__(given[0], **given[1])  # type: ignore[misc]  # made anew, from what it was made from

    # ---- trying --------------------------------------------------------------------------------

    def _must_run(self) -> None:
        global _used
        if _lost:
            raise StoreError(
                f"{self.url}: obstore was used before this process was forked, and has no threads here; start processes by "
                "'spawn' or 'forkserver', or open it with storage='fsspec'",
                store=self.url,
            )
        _used = True

    def _refused(self, tries: Tries, what: str, key: Key, error: BaseException, idempotent: bool) -> float | None:
        """None where `error` says that there is no such key, else how long to wait for the next try. Raises StoreError."""
        if isinstance(error, FileNotFoundError) and _is_missing(str(error)):
            return None
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise error  # Ctrl-C
        pause = tries.pause_s(error, idempotent=idempotent)
        if pause is None:
            raise tries.counted(self._failed(what, key, error)) from error
        return pause

    def _failed(self, what: str, key: Key, error: BaseException) -> StoreError:
        return StoreError(f"cannot {what} {key!r} in {self.url}: {told(error)}", store=self.url, key=key)

    def _tried(self, what: str, key: Key, work: Callable[[], T], *, idempotent: bool = True) -> T | None:
        """What `work` gives, tried again while failures pass; None where there is no such key."""
        self._must_run()
        tries = Tries()
        while True:
            try:
                return work()
            except BaseException as error:
                pause = self._refused(tries, what, key, error, idempotent)
                if pause is None:
                    return None
            time.sleep(pause)

    async def _awaited(self, what: str, key: Key, work: Callable[[], Awaitable[T]], *, idempotent: bool = True) -> T | None:
        tries = Tries()
        while True:
            try:
                return await work()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                pause = self._refused(tries, what, key, error, idempotent)
                if pause is None:
                    return None
            await asyncio.sleep(pause)

    def _all(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> list_[T]:
        self._must_run()
        found: list_[Any] = [None] * len(jobs)
        if jobs:
            run(own_loop(), gather(jobs, self.concurrency, found.__setitem__))
        return found

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        found = self._tried("read", check_key(key), partial(self._read, key, range))
        return None if found is None else found[0]

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> _Tagged | None:
        if not self.tagged:
            return super().get_tagged(key, range)
        return self._tried("read", check_key(key), partial(self._read, key, range))

    def _read(self, key: Key, range: ByteRange | None) -> _Tagged:
        wanted, part = self._asked(range, lambda: self._head(key))
        try:
            got = self._obstore.get(self.store, key, options=wanted)
            value = memoryview(got.bytes())
        except Exception as error:
            if not _odd_range(error, wanted):
                raise
            got = self._obstore.get(self.store, key)
            value, part = memoryview(got.bytes()), range
        return _cut(value, part), self._tag(got.meta)

    async def _read_async(self, key: Key, range: ByteRange | None) -> _Tagged:
        if range is not None and not _plain(range, self._suffixes):
            return await asyncio.to_thread(self._read, key, range)
        wanted, part = self._asked(range, None)
        try:
            got = await self._obstore.get_async(self.store, key, options=wanted)
            value = memoryview(await got.bytes_async())
        except Exception as error:
            if not _odd_range(error, wanted):
                raise
            got = await self._obstore.get_async(self.store, key)
            value, part = memoryview(await got.bytes_async()), range
        return _cut(value, part), self._tag(got.meta)

    def _asked(self, range: ByteRange | None, size: Callable[[], int] | None) -> tuple[Any, ByteRange | None]:
        """The options of the request for `range`, and the part of its answer that is wanted (None: all)."""
        if range is None:
            return None, None
        start, stop = range
        if start < 0 and stop is None and self._suffixes:
            return {"range": {"suffix": -start}}, None
        if start >= 0 and (stop is None or start < stop):
            return {"range": {"offset": start} if stop is None else (start, stop)}, None
        assert size is not None
        start, stop, _ = slice(start, stop).indices(size())
        if start < stop:
            return {"range": (start, stop)}, None
        return {"head": True}, ByteRange(0, 0)

    def _head(self, key: Key) -> int:
        return int(self._obstore.head(self.store, key)["size"])

    def _tag(self, meta: Mapping[str, Any]) -> Hashable:
        return (meta.get("e_tag"), meta.get("version"))

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        if self.evidence_after_s is None or type(self) is not ObjectStore:
            return super().evidence(keys)
        found = self.get_many_tagged([(key, ByteRange(0, 1)) for key in keys])
        tags: list_[Any] = [None if answer is None else answer[1] for answer in found]
        return [ABSENT if tag is None else f"{tag[0]} {tag[1]}" if _is_strong(tag[0]) else None for tag in tags]

    def get_many(self, requests: Iterable[_Request]) -> list_[Buffer | None]:
        wanted = [(check_key(key), range) for key, range in requests]
        if len(wanted) == 1:
            return [self.get(*wanted[0])]
        found: list_[Buffer | None] = [None] * len(wanted)
        fetches = merged(wanted)
        for fetch, value in zip(fetches, self._all(self._jobs(fetches)), strict=True):
            for number, answer in fetch.answers(None if value is None else value[0]):
                found[number] = answer
        return found

    def get_many_tagged(self, requests: Iterable[_Request]) -> list_[_Tagged | None]:
        wanted = [(check_key(key), range) for key, range in requests]
        if not self.tagged or len(wanted) == 1:
            return super().get_many_tagged(wanted)
        found: list_[_Tagged | None] = [None] * len(wanted)
        fetches = merged(wanted)
        for fetch, value in zip(fetches, self._all(self._jobs(fetches)), strict=True):
            for number, answer in fetch.answers(None if value is None else value[0]):
                found[number] = None if value is None or answer is None else (answer, value[1])
        return found

    def get_each(self, requests: Iterable[_Request]) -> Iterator[tuple[int, Buffer | None]]:
        wanted = [(check_key(key), range) for key, range in requests]
        fetches = merged(wanted)
        if len(fetches) < 2:
            for fetch in fetches:
                yield from fetch.answers(self.get(fetch.key, fetch.range))
            return
        self._must_run()
        for number, value in each(own_loop(), self._jobs(fetches), self.concurrency):
            yield from fetches[number].answers(None if value is None else value[0])

    def _jobs(self, fetches: Sequence[Fetch]) -> list_[Callable[[], Awaitable[_Tagged | None]]]:
        return [
            partial(self._awaited, "read", fetch.key, partial(self._read_async, fetch.key, fetch.range)) for fetch in fetches
        ]

    def size(self, key: Key) -> int | None:
        return self._tried("read", check_key(key), partial(self._head, key))

    # ---- listing --------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterable[Key]:
        folder = check_prefix(prefix)[: prefix.rfind("/") + 1]
        if self._web:
            return self._pages().list(prefix)
        names = self._tried("list", prefix, partial(self._names, folder))
        return [key for key in names or () if key.startswith(prefix) and is_key(key)]

    def _names(self, folder: str) -> list_[Key]:
        return [found["path"] for batch in self._obstore.list(self.store, prefix=folder[:-1] or None) for found in batch]

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        check_folder(prefix)
        if self._web:
            return self._pages().list_dir(prefix)
        names = self._tried("list", prefix, partial(self._entries, prefix))
        return [name for name in names or () if is_key(prefix + name.removesuffix("/"))]

    def _entries(self, prefix: str) -> list_[str]:
        found = self._obstore.list_with_delimiter(self.store, prefix=prefix[:-1] or None)
        names = [path + "/" for path in found["common_prefixes"]] + [one["path"] for one in found["objects"]]
        return [name[len(prefix) :] for name in names if name.startswith(prefix) and name != prefix]

    def _pages(self) -> Store:
        """The same place read by its index pages, which obstore does not do."""
        if self._listing is None:
            from ndzarr.stores.fsspec import FsspecStore

            url, options = self._given
            if not isinstance(url, str):
                url = url.url
            headers = (options.get("client_options") or {}).get("default_headers")
            self._listing = FsspecStore(url, **({"headers": headers} if headers else {}))
        return self._listing

    # ---- writing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        self._must_write(check_key(key))
        data = as_bytes(key, value)
        put = partial(self._obstore.put, self.store, key, data, use_multipart=len(data) >= _PARTS_FROM)
        self._accepted(key, self._tried("write", key, put))

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        values = {}
        for key, value in items.items():
            self._must_write(check_key(key))
            values[key] = as_bytes(key, value)
        jobs = [
            partial(self._awaited, "write", key, partial(self._put_async, key, data, use_multipart=len(data) >= _PARTS_FROM))
            for key, data in values.items()
        ]
        for key, done in zip(values, self._all(jobs), strict=True):
            self._accepted(key, done)

    async def _put_async(self, key: Key, data: bytes, **options: Any) -> Any:
        return await self._obstore.put_async(self.store, key, data, **options)

    def _accepted(self, key: Key, done: Any) -> None:
        if done is None:
            raise self._failed("write", key, FileNotFoundError("there is no such bucket or container"))

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        self._must_write(check_key(key))
        if not self.conditional:
            return super().set_if(key, value, tag=tag)
        data = as_bytes(key, value)

        def put() -> bool:
            try:
                self._obstore.put(self.store, key, data, mode=_mode(tag), use_multipart=False)
            except self._obstore.exceptions.BaseError as error:
                if not self._was_first(error):
                    raise
                return False
            return True

        return bool(self._tried("write", key, put, idempotent=False))

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        if not self.conditional:
            return super().set_many_if(items)
        values = {}
        for key, (value, tag) in items.items():
            self._must_write(check_key(key))
            values[key] = (as_bytes(key, value), tag)

        async def put(key: Key, data: bytes, tag: Hashable) -> bool:
            try:
                await self._put_async(key, data, mode=_mode(tag), use_multipart=False)
            except self._obstore.exceptions.BaseError as error:
                if not self._was_first(error):
                    raise
                return False
            return True

        jobs = [
            partial(self._awaited, "write", key, partial(put, key, data, tag), idempotent=False)
            for key, (data, tag) in values.items()
        ]
        return {key: bool(done) for key, done in zip(values, self._all(jobs), strict=True)}

    def _was_first(self, error: Exception) -> bool:
        """Whether `error` says that another was first; a conflict is one that is being written at this moment."""
        known = self._obstore.exceptions
        return isinstance(error, (known.AlreadyExistsError, known.PreconditionError)) or "status code: 409" in str(error)

    def delete(self, key: Key) -> None:
        self._must_write(check_key(key))
        self._tried("delete", key, partial(self._obstore.delete, self.store, key))

    def delete_many(self, keys: Iterable[Key]) -> None:
        gone = list_(dict.fromkeys(keys))
        for key in gone:
            self._must_write(check_key(key))
        if len(gone) > 1 and self._suffixes:  # a thousand in one request; Azure fails at one that is not there
            self._tried("delete", gone[0], partial(self._obstore.delete, self.store, gone))
            return

        async def remove(key: Key) -> None:
            await self._obstore.delete_async(self.store, key)

        self._all([partial(self._awaited, "delete", key, partial(remove, key)) for key in gone])

    def delete_prefix(self, prefix: str) -> None:
        self._must_write(check_prefix(prefix))
        self.delete_many(self.list(prefix))


def _made(url: str, config: dict[str, Any]) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    options = dict(config)
    client = dict(options.pop("client_options", None) or {})
    # For each read rather than for all of it: a large object on a slow line takes its time.
    client = {"connect_timeout": "10s", "read_timeout": "15s", "timeout": "1h", **client}
    scheme, _, rest = url.partition("://")
    endpoint = options.get("endpoint") or next((os.environ[n] for n in _ENDPOINTS if n in os.environ), url)
    if str(endpoint).startswith("http://"):
        client.setdefault("allow_http", True)
    # Tries are ours to count: the clients' own would come on top, and do not know which writes may be repeated.
    options.setdefault("retry_config", {"max_retries": 0, "retry_timeout": timedelta(seconds=30)})
    if scheme not in _HTTP:
        # Every other client takes the key in such a URL as it stands; this one decodes it.
        host, slash, path = rest.partition("/")
        url = f"{scheme}://{host}{slash}{quote(path.strip('/'))}"
    try:
        return from_url(url.rstrip("/"), client_options=client, **options)
    except (BaseError, TypeError, ValueError) as error:
        raise ArgumentError(f"cannot open {_bare(url)!r}: {told(error)}", found=_bare(url)) from error


_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")


def _is_strong(tag: Any) -> bool:
    """Whether a tag (ETag) is another one for any other bytes: a weak one need not be."""
    return bool(tag) and not str(tag).startswith("W/")


def _bare(url: str) -> str:
    """`url` without user, password and query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    container = at and parts.scheme in ("abfs", "abfss")  # container@account
    return f"{parts.scheme}://{user + at if container else ''}{host}{parts.path}".rstrip("/")


def _shown(scheme: str, store: Any) -> str:
    if scheme == "http":
        return _bare(str(store.url))
    config = getattr(store, "config", None) or {}
    name = next((str(config[n]) for n in ("bucket", "container_name", "container") if n in config), "")
    prefix = getattr(store, "prefix", None)
    return f"{scheme}://{name}{f'/{prefix}' if prefix else ''}" if name or prefix else f"{scheme}://{id(store):#x}"


def _mode(tag: Any) -> Any:
    return "create" if tag is None else {"e_tag": tag[0], "version": tag[1]} if tag[1] else {"e_tag": tag[0]}


def _plain(range: ByteRange, suffixes: bool) -> bool:
    """Whether one request answers `range`, without asking for the size first."""
    start, stop = range
    return (start >= 0 and (stop is None or start < stop)) or (start < 0 and stop is None and suffixes)


def _is_missing(text: str) -> bool:
    """Whether a FileNotFoundError is of the key: not of its bucket, nor a 405, which obstore's HTTP takes for one."""
    status = _STATUS.search(text)
    return not any(code in text for code in _NO_BUCKET) and (status is None or status.group(1) == "404")


def _odd_range(error: Exception, wanted: Any) -> bool:
    """Whether `error` is of the range alone: beyond the end, of an empty object, or not done by this server."""
    if wanted is None or "range" not in wanted or isinstance(error, FileNotFoundError) or passes(error):
        return False
    text = str(error)
    return (
        "status code: 416" in text
        or "NotPartial" in text
        or "non-partial" in text
        or "range" in text.partition("\n")[0].lower()
    )


def _cut(value: memoryview, part: ByteRange | None) -> memoryview:
    return value if part is None else value[part[0] : part[1]]
