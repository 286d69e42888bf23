"""A fresh root on each server of the tests, as a URL and the options that either client takes for it."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from ndzarr._typing import Buffer, ByteRange
from ndzarr.stores.base import Store
from ndzarr.stores.fsspec import FsspecStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.objectstore import ObjectStore
from tests.servers.programs import Server

# gcsfs asks Google itself what kind of bucket it has, which no emulator answers. Read when it is imported.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

_BUCKET = "ndz"
#: The account of every Azurite; published by its authors.
_AZURE = {
    "account_name": "devstoreaccount1",
    "account_key": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}

#: (server, client) of every kind of place; "memory" and "file" are fsspec's own.
PLACES = [
    *[(server, client) for server in ("moto", "versitygw", "azurite", "nginx") for client in ("fsspec", "obstore")],
    ("gcs", "fsspec"),
    ("memory", "fsspec"),
    ("file", "fsspec"),
]


@dataclass(frozen=True)
class Place:
    """Where a store may be: nothing is there yet."""

    server: str
    client: str
    url: str
    options: Mapping[str, Any]

    def store(self, **more: Any) -> Store:
        """A new handle on it, by its client."""
        cls = FsspecStore if self.client == "fsspec" else ObjectStore
        return cls(self.url, **{**self.options, **more})


class ServedStore(Store):
    """Written to in a directory, read through a web server: as data are that somebody publishes.

    nginx's index pages leave out names that start with a dot, so listings have those from the directory.
    """

    batched = True

    def __init__(self, written: LocalStore, served: Store) -> None:
        self.written, self.served = written, served

    @property
    def url(self) -> str:
        return self.served.url

    def object_id(self, key: str) -> Any:
        return self.written.object_id(key)

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        return self.served.get(key, range)

    def get_many(self, requests: Iterable[tuple[str, ByteRange | None]]) -> list[Buffer | None]:
        return self.served.get_many(requests)

    def get_each(self, requests: Iterable[tuple[str, ByteRange | None]]) -> Iterator[tuple[int, Buffer | None]]:
        return self.served.get_each(requests)

    def list(self, prefix: str = "") -> Iterable[str]:
        hidden = [key for key in self.written.list(prefix) if "/." in f"/{key}"]
        return [*self.served.list(prefix), *hidden]

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        hidden = [name for name in self.written.list_dir(prefix) if name.startswith(".")]
        return [*self.served.list_dir(prefix), *hidden]

    def size(self, key: str) -> int | None:
        return self.served.size(key)

    def set(self, key: str, value: Buffer) -> None:
        self.written.set(key, value)

    def delete(self, key: str) -> None:
        self.written.delete(key)


def place(request: pytest.FixtureRequest, server: str, client: str) -> Place:
    """A new place on that server for that client."""
    root = f"root-{uuid4().hex[:12]}"
    if server in ("memory", "file"):
        folder = f"/{root}" if server == "memory" else request.getfixturevalue("tmp_path") / root
        return Place(server, client, f"{server}://{folder}", {})
    started: Server = request.getfixturevalue(server)
    url, options = _at(started, client, root)
    found = Place(server, client, url, options)
    marker = started.directory.parent / f"{server}.bucket"
    if not marker.exists():
        _make_bucket(started)
        marker.touch()
    return found


def _at(started: Server, client: str, root: str) -> tuple[str, dict[str, Any]]:
    name, where = started.name, started.url
    if name == "azurite":
        options: dict[str, Any] = {**_AZURE}
        if client == "obstore":
            return f"az://{_BUCKET}/{root}", {**options, "endpoint": where}
        parts = {"DefaultEndpointsProtocol": "http", "AccountName": options["account_name"], "BlobEndpoint": where}
        parts["AccountKey"] = options["account_key"]
        return f"az://{_BUCKET}/{root}", {"connection_string": "".join(f"{k}={v};" for k, v in parts.items())}
    if name == "gcs":
        return f"gs://{_BUCKET}/{root}", {"project": "test", "token": "anon", "endpoint_url": where}
    if name == "nginx":
        return f"{where}/{root}", {}
    # Any will do for moto; versitygw has one user.
    key, secret = "ndzarr", "for-tests-only"
    if client == "obstore":
        options = {"access_key_id": key, "secret_access_key": secret, "endpoint": where}
        # It checks a condition and puts the object in place in two steps.
        return f"s3://{_BUCKET}/{root}", options if name == "moto" else {**options, "conditional": False}
    return f"s3://{_BUCKET}/{root}", {"key": key, "secret": secret, "endpoint_url": where}


def _make_bucket(started: Server) -> None:
    if started.name == "gcs":
        body = json.dumps({"name": _BUCKET}).encode()
        request = urllib.request.Request(f"{started.url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
        with suppress(OSError):  # two workers at once
            urllib.request.urlopen(request).close()
    elif started.name != "nginx":
        url, options = _at(started, "fsspec", "any")
        with suppress(OSError):
            FsspecStore(url, **options).fs.mkdir(_BUCKET)


def store_at(found: Place, request: pytest.FixtureRequest, **options: Any) -> Store:
    """A store at `found` that can be written to, if need be beside its server."""
    if found.server != "nginx":
        return found.store(**options)
    started: Server = request.getfixturevalue("nginx")
    folder = started.directory / "files" / found.url.rpartition("/")[2]
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    return ServedStore(LocalStore(folder), found.store(**options))
