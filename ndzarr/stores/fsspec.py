"""A store on any file system of fsspec: S3, Google, Azure, HTTP, SFTP, caches over them and many more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import StoreError
from ndzarr.keys import TEMP_PREFIX, check_folder, check_key, check_prefix, is_key
from ndzarr.stores.base import Store, as_bytes, list_
from ndzarr.stores.bridge import at_once
from ndzarr.stores.loops import each, gather, run
from ndzarr.stores.opening import Opened
from ndzarr.stores.ranges import Fetch, merged
from ndzarr.stores.retries import ShortBodyError, Tries, causes, told

T = TypeVar("T")
_Request = tuple[Key, ByteRange | None]

#: What file systems raise for a key that is not there; the last where a file stands in the place of a folder.
_ABSENT = (FileNotFoundError, NotADirectoryError)
#: Codes of S3 and Azure for a bucket or container that is not there, which clients call a missing file too.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist", "The specified container does not")
#: Whose `_pipe_file(mode="create")` is one step on the server.
_CREATES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
#: Who gives the last n bytes for `start=-n` in one request; others are asked for the size first.
_SUFFIXES = frozenset({"s3", "s3a", "gs", "gcs", "http", "https"})
_LARGE = 1 << 26
_HTTP = frozenset({"http", "https"})
#: One of these is where an array or a group is.
_NODES = ("zarr.json", ".zarray", ".zgroup")
#: Where fsspec's own `find` is, which file systems without a faster one inherit.
_WALKS = frozenset({"fsspec.spec", "fsspec.asyn"})


class FsspecStore(Store):
    """What lies under `url`, any URL that fsspec knows ("s3://bucket/x.zarr", "simplecache::s3://..."), or under `path` in a
    file system of fsspec.

    storage_options: the file system's own, such as credentials, `endpoint_url` or `anon`; of a chain, by protocol
    (`s3={"anon": True}`). Without them the client finds credentials as it always does: environment, configuration files, the
    machine's role. readonly: refuse to write; HTTP and caches are never written to. batch_size: how many requests are under way
    at once.

    Many keys are many requests at a time; ranges of one key that are close are one request. Failures that pass are tried again
    for 30 s (`retries.py`), all others are StoreErrors. Nothing is kept: neither listings nor values. `set_if` is one step on
    the server only to create a key, and only on S3, Google and Azure. Pickles with its options; works in a child of fork.
    """

    batched = True

    def __init__(
        self, url: Any, path: str = "", *, readonly: bool = False, batch_size: int = 32, **storage_options: Any
    ) -> None:
        self._opened = Opened(url, path, storage_options)
        self.batch_size = batch_size
        self._protocol = self._opened.protocol
        self.writable = not (readonly or self._protocol in _HTTP or self._opened.cached)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> FsspecStore:
        """The store for `url`."""
        return cls(url, **options)

    @property
    def url(self) -> str:
        return self._opened.shown

    @property
    def fs(self) -> Any:
        """The file system."""
        return self._opened.fs

    def object_id(self, key: Key) -> Hashable:
        return self._opened.identity(key)

    # ---- running --------------------------------------------------------------------------------

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        fs = self._opened.fs
        if fs.async_impl:
            return run(fs.loop, coroutine)
        return at_once(coroutine)

    async def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """A method of the file system: the coroutine of one that has those, else the plain one."""
        fs = self._opened.fs
        if fs.async_impl:
            return await getattr(fs, f"_{name}")(*arguments, **options)
        return getattr(fs, name)(*arguments, **options)

    async def _tried(self, what: str, key: Key, work: Callable[[], Awaitable[T]], *, idempotent: bool = True) -> T | None:
        """What `work` gives, tried again while failures pass; None where there is no such key."""
        tries = Tries()
        while True:
            try:
                return await work()
            except StoreError:
                raise
            except Exception as error:
                if isinstance(error, _ABSENT):
                    if any(code in str(cause) for cause in causes(error) for code in _NO_BUCKET):
                        gone = FileNotFoundError("there is no such bucket or container")
                        raise self._failed(what, key, gone) from error
                    if self._says_missing(error):
                        return None
                    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
                pause = tries.pause_s(error, idempotent=idempotent)
                if pause is None:
                    raise tries.counted(self._failed(what, key, error)) from error
            if self._opened.fs.async_impl:
                await asyncio.sleep(pause)
            else:
                time.sleep(pause)

    def _says_missing(self, error: Exception) -> bool:
        """Whether it is the server that says so: fsspec's HTTP raises FileNotFoundError for a 403 or an unknown host too."""
        for cause in causes(error):
            code = _code(cause)
            if (code is None and self._protocol in _HTTP and not isinstance(cause, _ABSENT)) or code not in (None, 404):
                return False
        return True

    def _failed(self, what: str, key: Key, error: BaseException) -> StoreError:
        return StoreError(f"cannot {what} {key!r} in {self.url}: {told(error)}", store=self.url, key=key)

    async def _all(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> list_[T]:
        found: list_[Any] = [None] * len(jobs)
        if self._opened.fs.async_impl:
            await gather(jobs, self.batch_size, found.__setitem__)
        else:
            for number, job in enumerate(jobs):
                found[number] = await job()
        return found

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        return self._run(self._get(check_key(key), range))

    def get_many(self, requests: Iterable[_Request]) -> list_[Buffer | None]:
        wanted = [(check_key(key), range) for key, range in requests]
        found: list_[Buffer | None] = [None] * len(wanted)
        for fetch, value in self._fetched(wanted):
            for number, answer in fetch.answers(value):
                found[number] = answer
        return found

    def get_each(self, requests: Iterable[_Request]) -> Iterator[tuple[int, Buffer | None]]:
        wanted = [(check_key(key), range) for key, range in requests]
        for fetch, value in self._fetched(wanted):
            yield from fetch.answers(value)

    def get_many_tagged(self, requests: Iterable[_Request]) -> list_[tuple[Buffer, Hashable] | None]:
        # The value is the tag: what a client tells of a version comes by another request, and may be of another version.
        wanted = list_(requests)
        values = [None if value is None else bytes(value) for value in self.get_many((key, None) for key, _ in wanted)]
        return [
            None if value is None else (value if range is None else memoryview(value)[range[0] : range[1]], value)
            for value, (_, range) in zip(values, wanted, strict=True)
        ]

    def _fetched(self, wanted: Sequence[_Request]) -> Iterator[tuple[Fetch, Buffer | None]]:
        fetches = merged(wanted)
        if not fetches:
            return
        fs = self._opened.fs
        if fs.async_impl:
            jobs = [partial(self._get, fetch.key, fetch.range) for fetch in fetches]
            for number, value in each(fs.loop, jobs, self.batch_size):
                yield fetches[number], value
            return
        ready = self._at_once(fetches)
        for fetch in fetches:
            value = ready.get(fetch.key) if fetch.range is None else None
            yield fetch, at_once(self._get(fetch.key, fetch.range)) if value is None else value

    def _at_once(self, fetches: Sequence[Fetch]) -> dict[Key, bytes]:
        """What one `cat` gives of whole objects; what it did not give is asked for by name.

        A cache over a file system that has many requests at a time uses them only so.
        """
        keys = [fetch.key for fetch in fetches if fetch.range is None and not _is_pattern(fetch.key)]
        if len(keys) < 2 or not self._opened.chained:
            return {}
        paths = {self._opened.path(key): key for key in keys}
        try:
            found = self._opened.fs.cat(list_(paths), on_error="return")
        except Exception:  # of some key, perhaps only a missing one
            return {}
        return {paths[path]: value for path, value in found.items() if path in paths and isinstance(value, bytes)}

    async def _get(self, key: Key, range: ByteRange | None) -> Buffer | None:
        return await self._tried("read", key, partial(self._read, key, range))

    async def _read(self, key: Key, range: ByteRange | None) -> Buffer:
        # Clients differ in what an empty range, one from the end and one beyond the end are; none of those reaches them.
        if range is None:
            return await self._cat(key)
        start, stop = range
        if start < 0 and stop is None and self._protocol not in _SUFFIXES:
            start = max(0, await self._nbytes(key) + start)
        elif (start < 0 and stop is not None) or (stop is not None and stop < 0):
            nbytes = await self._nbytes(key)
            start, stop, _ = slice(start, stop).indices(nbytes)
        if stop is None and start > 0 and self._protocol in _HTTP:
            stop = await self._nbytes(key)  # else an answer of the whole cannot be told from that of a part
        if self._opened.folders and stop is not None and stop - start > _LARGE:
            stop = min(stop, await self._nbytes(key))  # they make room for all that is asked for
        if stop is not None and stop <= start:
            await self._nbytes(key)  # is it there?
            return b""
        try:
            value = await self._cat(key, start=start, end=stop)
        except _ABSENT:
            raise
        except Exception as error:
            if not _beyond(error) or 0 <= start < await self._nbytes(key):
                raise
            return b""
        # A server may take no notice of a range: HTTP allows it.
        most = -start if start < 0 else None if stop is None else stop - start
        if most is not None and len(value) > most:
            return memoryview(value)[start:stop]
        return value

    async def _cat(self, key: Key, **range: int | None) -> bytes:
        options: dict[str, Any] = dict(range)
        if self._protocol in ("s3", "s3a"):
            options["max_concurrency"] = 1  # else one more request each, and parts of two versions of one object
        value: bytes = await self._call("cat_file", self._opened.path(key), **options)
        return value

    async def _nbytes(self, key: Key) -> int:
        info = await self._call("info", self._opened.path(key))
        if info.get("type") == "directory":
            raise FileNotFoundError(key)
        nbytes = info.get("size")
        if nbytes is None:  # a server that does not say how long it is
            return len(await self._cat(key))
        return int(nbytes)

    def size(self, key: Key) -> int | None:
        return self._run(self._tried("read", check_key(key), partial(self._nbytes, key)))

    # ---- listing --------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        folder = prefix[: prefix.rfind("/") + 1]
        names = self._run(self._tried("list", prefix, partial(self._find, folder)))
        if names is None:
            self._must_be_absent(folder)
        return [key for key in names or () if key.startswith(prefix) and is_key(key)]

    async def _find(self, folder: str) -> list_[Key] | None:
        self._opened.must_list()
        missing: list_[Exception] = []

        def noted(error: Exception) -> None:
            if not (isinstance(error, _ABSENT) and self._says_missing(error)):
                raise error
            missing.append(error)

        # By itself fsspec's walk takes a folder that cannot be listed for an empty one; file systems with a `find` of their own
        # raise, and know no `on_error`.
        find = getattr(self._opened.fs, "_find" if self._opened.fs.async_impl else "find")
        options = {"on_error": noted} if getattr(find, "__module__", "") in _WALKS else {}
        names = await self._call("find", self._opened.path(folder.removesuffix("/")), **options)
        found = list_(dict.fromkeys(key for name in names if (key := self._opened.key(name)) is not None))
        return None if missing and not found else found

    def _must_be_absent(self, folder: str) -> None:
        """StoreError where a web server says 404 of a folder because it lists none: a node of Zarr's is in it all the same."""
        for key in [folder + name for name in _NODES] if self._protocol in _HTTP else ():
            if self.exists(key):
                raise self._failed("list", folder, OSError(f"{key!r} is there, and the server has no index page beside it"))

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        check_folder(prefix)
        names = self._run(self._tried("list", prefix, partial(self._entries, prefix)))
        if names is None:
            self._must_be_absent(prefix)
        return [name for name in names or () if is_key(prefix + name.removesuffix("/"))]

    async def _entries(self, prefix: str) -> list_[str]:
        self._opened.must_list()
        found: dict[str, None] = {}
        for entry in await self._call("ls", self._opened.path(prefix.removesuffix("/")), detail=True):
            key = self._opened.key(entry["name"].rstrip("/"))
            # Not the folder itself, nor the file that is no folder.
            if key is not None and key.startswith(prefix) and "/" not in (name := key[len(prefix) :]) and name:
                found[name + "/" if entry["type"] == "directory" else name] = None
        return list_(found)

    # ---- writing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        self._must_write(check_key(key))
        self._run(self._set(key, as_bytes(key, value)))

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        values = []
        for key, value in items.items():
            self._must_write(check_key(key))
            values.append((key, as_bytes(key, value)))
        if values:
            self._run(self._all([partial(self._set, key, data) for key, data in values]))

    async def _set(self, key: Key, data: bytes) -> None:
        if await self._tried("write", key, partial(self._write, key, data)) is None:
            raise self._failed("write", key, FileNotFoundError("there is no such bucket or folder"))

    async def _write(self, key: Key, data: bytes) -> bool:
        path = self._opened.path(key)
        if not self._opened.folders:
            await self._call("pipe_file", path, data)
            return True
        # Written in place a reader would see a part of it. Folders are made when they turn out to be missing.
        folder, _, _ = path.rpartition("/")
        temp = f"{folder}/{TEMP_PREFIX}{time.time_ns():x}-{id(data):x}"
        fs = self._opened.fs
        try:
            try:
                await self._call("pipe_file", temp, data)
            except FileNotFoundError:
                fs.makedirs(folder, exist_ok=True)
                await self._call("pipe_file", temp, data)
            fs.mv(temp, path)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temp)
            raise
        return True

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        self._must_write(check_key(key))
        if tag is not None or self._protocol not in _CREATES:
            return super().set_if(key, value, tag=tag)
        data = as_bytes(key, value)
        with self.lock(key):
            created = self._run(self._tried("create", key, partial(self._create, key, data), idempotent=False))
        if created is None:
            raise self._failed("create", key, FileNotFoundError("there is no such bucket"))
        return created

    async def _create(self, key: Key, data: bytes) -> bool:
        try:
            await self._call("pipe_file", self._opened.path(key), data, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            if any(_code(cause) in (409, 412) for cause in causes(error)):
                return False
            raise
        return True

    def delete(self, key: Key) -> None:
        self._must_write(check_key(key))
        self._run(self._tried("delete", key, partial(self._remove, key)))

    def delete_many(self, keys: Iterable[Key]) -> None:
        gone = []
        for key in dict.fromkeys(keys):
            self._must_write(check_key(key))
            gone.append(key)
        self._run(self._delete(gone))

    async def _delete(self, keys: list_[Key]) -> None:
        if self._protocol in ("s3", "s3a") and len(keys) > 1:  # a thousand in one request
            bulk = [self._opened.path(key) for key in keys if not _is_pattern(key)]
            if bulk:
                await self._tried("delete", keys[0], partial(self._call, "rm", bulk))
            keys = [key for key in keys if _is_pattern(key)]
        await self._all([partial(self._tried, "delete", key, partial(self._remove, key)) for key in keys])

    async def _remove(self, key: Key) -> None:
        await self._call("rm_file", self._opened.path(key))

    def delete_prefix(self, prefix: str) -> None:
        self._must_write(check_prefix(prefix))
        self.delete_many(self.list(prefix))

    def close(self) -> None:
        """Nothing: connections end with the file system, which others may use."""


def _is_pattern(key: Key) -> bool:
    """Whether fsspec would take `key` for a pattern of names where it is given several."""
    return any(c in key for c in "*?[]")


def _code(error: BaseException) -> Any:
    told = getattr(error, "response", None)
    if isinstance(told, Mapping):
        return told.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return next((n for n in (getattr(error, a, None) for a in ("status", "status_code", "code")) if isinstance(n, int)), None)


def _beyond(error: BaseException) -> bool:
    """Whether `error` says that a range starts beyond the end."""
    return isinstance(error, ShortBodyError) or any(
        _code(cause) == 416 or "InvalidRange" in str(cause) or "range" in str(cause).lower() for cause in causes(error)
    )
