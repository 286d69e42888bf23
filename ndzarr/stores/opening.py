"""A file system of fsspec, opened as the stores want it: no cache of listings, no credentials shown, a new one after a fork."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from ndzarr._typing import Key
from ndzarr.errors import ArgumentError
from ndzarr.stores.base import own_lock
from ndzarr.stores.files import file_id

#: URL scheme -> what to install for it.
EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "azure"),
    **dict.fromkeys(("http", "https"), "http"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
}
#: Of one client; botocore's own 10 would hold back a batch.
_CONNECTIONS = 64
_CACHES = frozenset({"simplecache", "filecache", "blockcache", "cached", "readahead"})
_HTTP = frozenset({"http", "https"})
#: Have folders that must be made, and files that are written in place.
_FOLDERS = frozenset({"file", "local", "sftp", "ssh", "smb", "ftp"})


class Opened:
    """A file system and the path in it under which the keys lie. Pickles by what it was made from.

    url: a URL, or a file system with `path` in it. Raises ArgumentError for a scheme that nobody knows, and for one whose
    package is not installed.
    """

    _lock: Any  # see own_lock

    def __init__(self, url: Any, path: str, options: Mapping[str, Any]) -> None:
        if not isinstance(path, str):
            raise ArgumentError(f"path is {path!r}, expected a str", found=path)
        self._given = (url, path, dict(options))
        self._made: tuple[int, Any] | None = None
        self._query = ""
        own_lock(self)
        if isinstance(url, (str, os.PathLike)):
            self._url = str(os.fspath(url)).rstrip("/") + (f"/{path.strip('/')}" if path.strip("/") else "")
            bits = [bit.partition("://")[0] if "://" in bit else bit for bit in self._url.split("::")]
            self.chained, self.cached = len(bits) > 1, any(bit in _CACHES for bit in bits)
            if bits[0] in _HTTP and not self.chained and "?" in self._url:
                # What is signed for the root is for all below it: it goes to the end of every URL.
                head, _, query = self._url.partition("?")
                self._url, self._query = head.rstrip("/"), f"?{query}"
            fs, base = self._open()
        elif options:
            raise ArgumentError(f"{', '.join(options)}: options make no sense with a file system that is open", found=url)
        elif hasattr(url, "cat_file") and hasattr(url, "protocol"):
            fs, base = url, url._strip_protocol(path)
            bits = [_protocol(fs)]
            self.chained, self.cached = hasattr(fs, "fs"), bits[0] in _CACHES
            self._made = (os.getpid(), fs)
        else:
            raise ArgumentError(f"expected a URL or a file system of fsspec, found a {type(url).__name__}", found=url)
        self.protocol = bits[0] if not self.cached else "cache"
        self.folders = self.protocol in _FOLDERS
        self.base = str(base).rstrip("/")
        where = self.base.split("://", 1)[-1]
        if self.protocol in _HTTP:
            where = where.rpartition("@")[2] if "@" in where.split("/", 1)[0] else where
        #: Without user names, passwords and signatures.
        self.shown = f"{'::'.join(bits)}://{where.lstrip('/') if bits[-1] not in _FOLDERS else where}"

    def _open(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        url, options = self._url, dict(self._given[2])
        scheme = url.partition("://")[0].rpartition("::")[2]
        if not self.chained:
            # Clients that are dear to make are shared by all stores that were given the same; their like of others', who do not
            # turn off the listings kept, are not among them.
            own = (
                {"use_listings_cache": False} if scheme in EXTRAS and scheme not in _FOLDERS else {"skip_instance_cache": True}
            )
            options = {**options, **_defaults(scheme, options), **own}
        try:
            fs, base = url_to_fs(url, **options)
        except ImportError as error:
            extra = EXTRAS.get(scheme)
            how = f"pip install 'ndzarr[{extra}]'" if extra else str(error)
            raise ArgumentError(f"cannot open {_bare(url)!r}: {error}; {how}", found=scheme) from error
        except ValueError as error:
            if "Protocol not known" not in str(error):
                raise ArgumentError(f"cannot open {_bare(url)!r}: {error}", found=scheme) from error
            raise ArgumentError(
                f"cannot open {_bare(url)!r}: no store for the scheme {scheme!r} is built in, registered or installed, and "
                "fsspec knows none either",
                found=scheme,
            ) from error
        if not self.chained:
            listings = getattr(fs, "dircache", None)
            if listings is not None and hasattr(listings, "use_listings_cache"):
                listings.use_listings_cache = False
            if scheme in ("s3", "s3a") and isinstance(getattr(fs, "retries", None), int):
                fs.retries = 1  # tries are ours to count
            # Azure's client would try three times, 15 s apart and more. Where it keeps its policies is its own affair: one that
            # keeps them elsewhere goes on as it does.
            pipeline = getattr(getattr(fs, "service_client", None), "_pipeline", None)
            for policy in getattr(pipeline, "_impl_policies", ()):
                if hasattr(policy, "total_retries"):
                    policy.total_retries = 0
        self._made = (os.getpid(), fs)
        return fs, str(base)

    @property
    def fs(self) -> Any:
        """The file system; in a child of fork a new one, since the old one's thread is not there."""
        made = self._made
        if made is not None and made[0] == os.getpid():
            return made[1]
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                url = self._given[0]
                if isinstance(url, (str, os.PathLike)):
                    self._open()
                else:
                    fs = type(url)(*url.storage_args, **url.storage_options, skip_instance_cache=True)
                    self._made = (os.getpid(), fs)
            assert self._made is not None
            return self._made[1]

    def __getstate__(self) -> tuple[Any, ...]:
        return self._given

    def __setstate__(self, given: tuple[Any, ...]) -> None:
        self.__init__(*given)  # type: ignore[misc]  # made anew, from what it was made from

    # ---- names --------------------------------------------------------------------------------

    def path(self, key: str) -> str:
        """Where the file system keeps `key`; the root for ""."""
        if self.protocol in _HTTP:
            return (f"{self.base}/{quote(key)}" if key else f"{self.base}/") + self._query
        return f"{self.base}/{key}" if key and self.base else key or self.base

    def key(self, path: str) -> Key | None:
        """The key that lies at `path`; None for one that is not under the root."""
        base = self.base.strip("/")
        if self.protocol in _HTTP:
            path = path.partition("?")[0]
        path = path.strip("/") if not path.endswith("/") else path.lstrip("/")
        if base:
            if not path.startswith(base + "/"):
                return None
            path = path[len(base) + 1 :]
        return unquote(path) if self.protocol in _HTTP else path

    def must_list(self) -> None:
        """Raise OSError where nothing can be listed: the links in index pages have no signatures."""
        if self._query:
            raise OSError("a URL with a query, as a signed one, has no index pages that could be read")

    def identity(self, key: Key) -> Hashable:
        """Equal for all handles on one object; two objects of one name on two servers only share a lock."""
        if self.protocol in ("file", "local"):
            return file_id(self.shown.partition("://")[2] or "/", key)
        scheme = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "https": "http"}.get(self.protocol, self.protocol)
        return (scheme, f"{self.shown.partition('://')[2].strip('/')}/{key}")


def _defaults(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with what the caller did not give: time-outs for each read rather than for all of it, tries that are ours."""
    if scheme in ("s3", "s3a"):
        own = {"retries": {"total_max_attempts": 1, "mode": "standard"}, "max_pool_connections": _CONNECTIONS}
        return {"config_kwargs": {**own, **(options.get("config_kwargs") or {})}}
    if scheme in _HTTP and "client_kwargs" not in options:
        try:
            from aiohttp import ClientTimeout
        except ImportError:
            return {}
        return {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=10, sock_read=15)}}
    return {}


def _bare(url: str) -> str:
    """`url` without user, password and query."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _protocol(fs: Any) -> str:
    protocol = fs.protocol
    return protocol if isinstance(protocol, str) else str(protocol[0])
