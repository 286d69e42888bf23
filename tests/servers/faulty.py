"""A server that fails as it is told, on a real socket, and each client of ndzarr pointed at it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ndzarr.stores.base import Store
from ndzarr.stores.fsspec import FsspecStore
from ndzarr.stores.objectstore import ObjectStore

VALUE = b"0123456789" * 100
ETAG = '"tag"'


class Faulty(ThreadingHTTPServer):
    """Answers as S3 would for `values`, after `fault` was done `times` times."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault: Any = None
        self.times = 0
        self.seen: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        #: What it holds, by key.
        self.values: dict[str, bytes] = {"k": VALUE}

    def fails(self, fault: Any, times: int = 1 << 30, **headers: str) -> None:
        self.fault, self.times, self.headers = fault, times, headers
        self.seen.clear()

    def handle_error(self, *arguments: Any) -> None:
        """Nothing is printed: what breaks here is meant to."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faulty

    def log_message(self, *arguments: Any) -> None:
        pass

    def answer(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert body is not None
        server.seen.append((self.command, self.path))
        self.cut = False
        if server.times > 0:
            server.times -= 1
            self.cut = server.fault == "short"
            if not self.cut:
                self.do_fault(server.fault)
                return
        if self.command == "POST":  # the deletion of several
            self.send(200, b"<DeleteResult><Deleted><Key>root/k</Key></Deleted></DeleteResult>")
        elif self.command == "DELETE":
            self.send(204, b"")
        elif self.command == "PUT":
            self.send(200, b"")
        elif (value := server.values.get(self.path.partition("?")[0].partition("/root/")[2])) is None:
            self.send(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif asked := self.asked():
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            part = slice(int(start), int(stop) + 1 if stop else None) if start else slice(-int(stop), None)
            first, last, _ = part.indices(len(value))
            self.send(206, value[part], {"Content-Range": f"bytes {first}-{last - 1}/{len(value)}"})
        else:
            self.send(200, value)

    def asked(self) -> str | None:
        return self.headers.get("Range") or self.headers.get("x-ms-range")  # as Azure's client says it

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # names that the base class looks for

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", ETAG)
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        for name, value in {**(headers or {}), **self.server.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self.cut else body)
        self.close_connection |= self.cut

    def do_fault(self, fault: Any) -> None:
        if fault == "redirect":
            self.send(302, b"", {"Location": f"http://{self.headers.get('Host')}{self.path}"})
            return
        if fault == "page":
            self.send(200, b"<!DOCTYPE html><html><body>Please log in</body></html>" * 20)
            return
        if isinstance(fault, int):
            self.send(fault, b"<Error><Code>Fault</Code><Message>told to</Message></Error>")
            return
        self.close_connection = True
        if fault == "hang":
            time.sleep(3)
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def s3fs(where: str) -> Store:
    config = {"read_timeout": 1, "connect_timeout": 1, "retries": {"total_max_attempts": 1}}
    return FsspecStore("s3://bucket/root", key="t", secret="t", endpoint_url=where, config_kwargs=config)


def http(where: str) -> Store:
    from aiohttp import ClientTimeout

    return FsspecStore(f"{where}/bucket/root", client_kwargs={"timeout": ClientTimeout(total=None, sock_read=1)})


def obstore(where: str) -> Store:
    options = {"read_timeout": "1s"}
    return ObjectStore("s3://bucket/root", access_key_id="t", secret_access_key="t", endpoint=where, client_options=options)


def obstore_http(where: str) -> Store:
    return ObjectStore(f"{where}/bucket/root", client_options={"read_timeout": "1s"})


def adlfs(where: str) -> Store:
    parts = {"DefaultEndpointsProtocol": "http", "AccountName": "a", "AccountKey": "a2V5", "BlobEndpoint": f"{where}/a"}
    return FsspecStore("az://bucket/root", connection_string="".join(f"{k}={v};" for k, v in parts.items()), read_timeout=1)


def obstore_azure(where: str) -> Store:
    options = {"read_timeout": "1s"}
    return ObjectStore("az://bucket/root", account_name="a", account_key="a2V5", endpoint=f"{where}/a", client_options=options)


CLIENTS = [s3fs, http, adlfs, obstore, obstore_http, obstore_azure]


@contextmanager
def serving() -> Iterator[Faulty]:
    """The server, answering until the block ends."""
    with Faulty() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
