"""A database of MongoDB by its URL: a client for each process, and nothing secret in what is shown."""

from __future__ import annotations

import os
import weakref
from typing import Any

from ndzarr.errors import ArgumentError
from ndzarr.imports import import_behind
from ndzarr.stores.base import own_lock

#: Used where the URL says nothing: pymongo's own would wait for ever on a line that went dead.
_DEFAULTS = {"socketTimeoutMS": 30_000, "serverSelectionTimeoutMS": 15_000, "connectTimeoutMS": 10_000, "appname": "ndzarr"}


def driver() -> Any:
    """The package pymongo. Raises ArgumentError, with what to install, where there is none."""
    try:
        return import_behind("pymongo")
    except ImportError as error:
        raise ArgumentError(f"MongoDB needs pymongo ({error}): pip install 'ndzarr[mongo]'", field="url") from error


class Address:
    """What a URL "mongodb://hosts/database/bucket/folder?options" says, and the client that it stands for.

    Options are MongoDB's own (replicaSet, w, journal, readPreference, tls, authSource ...). Raises ArgumentError for a URL that
    cannot be understood. Pickles by the URL. Thread-safe.
    """

    _lock: Any  # see own_lock

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        rest, _, options = rest.partition("?")
        hosts, _, path = rest.partition("/")
        if "@" in path:
            raise ArgumentError("cannot open the URL of a MongoDB: user name and password must be percent-encoded", field="url")
        self.url = url
        database, _, rest = path.strip("/").partition("/")
        bucket, _, folder = rest.partition("/")
        #: The names in the URL, "" for those that are not there.
        self.database, self.bucket, self.folder = database, bucket, folder
        #: Without user, password and options, some of which are secret.
        self.shown = f"{scheme}://{hosts.rpartition('@')[2]}/{database}"
        if not database:
            raise ArgumentError(f"cannot open {self.shown!r}: expected mongodb://host/database/bucket", field="url")
        self._target = f"{scheme}://{hosts}/{database}" + (f"?{options}" if options else "")
        self._clients: dict[int, Any] = {}
        driver()
        own_lock(self)

    def client(self) -> Any:
        """The client of this process: those of another do not survive a fork."""
        found = self._clients.get(os.getpid())
        if found is None:
            with self._lock:
                found = self._clients.get(os.getpid())
                if found is None:
                    found = self._connected()
                    weakref.finalize(self, _end, found, os.getpid())  # nobody closes what `open` has opened
                    self._clients.clear()
                    self._clients[os.getpid()] = found
        return found

    def _connected(self) -> Any:
        pymongo = driver()
        try:
            said = import_behind("pymongo.uri_parser").parse_uri(self._target)["options"]
            given = {name.lower() for name in said}
            return pymongo.MongoClient(self._target, **{k: v for k, v in _DEFAULTS.items() if k.lower() not in given})
        except (pymongo.errors.PyMongoError, ValueError) as error:
            # Neither its text nor its cause: they may repeat the URL.
            kind = type(error).__name__
        raise ArgumentError(f"cannot open {self.shown!r}: the URL's hosts or options are not understood ({kind})", field="url")

    def close(self) -> None:
        """Close the client; the next use makes a new one."""
        with self._lock:
            client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def __getstate__(self) -> str:
        return self.url

    def __setstate__(self, url: str) -> None:
        self.__init__(url)  # type: ignore[misc]  # made anew, from what it was made from


def _end(client: Any, pid: int) -> None:
    if os.getpid() == pid:
        client.close()
