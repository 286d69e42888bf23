"""The servers: where each program is found, its command, and how one knows that it is ready."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).parents[2]
HOST = "127.0.0.1"


class AbsentError(Exception):
    """A program that is not installed here."""


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, and a directory of its own that goes when it stops."""

    name: str
    port: int
    url: str
    directory: Path

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Program:
    """How one server is run.

    command: of (directory, port), which may also prepare the directory; raises AbsentError. ready: of (directory, port). url:
    with {port}. stop: the signal that makes it end at once, in order.
    """

    command: Callable[[Path, int], list[str]]
    ready: Callable[[Path, int], bool]
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: int = signal.SIGTERM


def places() -> list[Path]:
    """Where `.ci/run servers` may have put programs: what NDZARR_SERVERS names, and `.srv` here and above."""
    named = os.environ.get("NDZARR_SERVERS")
    return [*([Path(named)] if named else []), *(folder / ".srv" for folder in (TOP, *TOP.parents))]


def find(*names: str) -> str:
    """The path of a program: a path below `.srv`, or a name on PATH (or where Debian keeps what is not). Raises AbsentError."""
    for name in names:
        for place in places():
            if (place / name).is_file():
                return str(place / name)
        if "/" not in name:
            path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *map(str, _postgres_folders())])
            if found := shutil.which(name, path=path):
                return found
    raise AbsentError(f"{names[-1]!r} is not installed")


def _postgres_folders() -> list[Path]:
    # Debian's, and Homebrew's on macOS.
    patterns = ("usr/lib/postgresql/*/bin", "opt/homebrew/opt/postgresql@*/bin", "usr/local/opt/postgresql@*/bin")
    return [folder for pattern in patterns for folder in sorted(Path("/").glob(pattern), reverse=True)]


# ---- when they are ready -----------------------------------------------------------------------------------------------------


def _listens(directory: Path, port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(path: str = "/") -> Callable[[Path, int], bool]:
    def ready(directory: Path, port: int) -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def _postgres_is_ready(directory: Path, port: int) -> bool:
    # What pg_ctl goes by: the last line of the file says so. A connection is accepted, and refused, long before.
    try:
        return (directory / "data" / "postmaster.pid").read_text().rstrip().endswith("ready")
    except OSError:
        return False


# ---- what they are started with ----------------------------------------------------------------------------------------------


def _moto(directory: Path, port: int) -> list[str]:
    return [find("moto/bin/moto_server", "moto_server"), "-H", HOST, "-p", str(port)]


def _versitygw(directory: Path, port: int) -> list[str]:
    (directory / "buckets").mkdir()
    return [find("bin/versitygw", "versitygw"), "--port", f"{HOST}:{port}", "--quiet", "posix", str(directory / "buckets")]


def _azurite(directory: Path, port: int) -> list[str]:
    # The client sends a newer version of the API than it knows.
    options = ["--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    program = find("azurite/node_modules/.bin/azurite-blob", "azurite-blob")
    return [program, "--blobHost", HOST, "--blobPort", str(port), *options]


def _gcs(directory: Path, port: int) -> list[str]:
    program = find("bin/fake-gcs-server", "fake-gcs-server")
    where = ["-host", HOST, "-port", str(port), "-public-host", f"{HOST}:{port}"]
    return [program, "-scheme", "http", "-backend", "memory", "-log-level", "error", *where]


_NGINX = """\
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log {directory}/access.log; default_type application/octet-stream; keepalive_requests 100000;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen {host}:{port}; root {directory}/files; autoindex on; location /private/ {{ deny all; }} }}
}}
"""


def _nginx(directory: Path, port: int) -> list[str]:
    (directory / "files").mkdir()
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(directory=directory, host=HOST, port=port))
    return [find("nginx"), "-e", str(directory / "error.log"), "-c", str(configuration)]


def _postgres(directory: Path, port: int) -> list[str]:
    # Neither initdb nor the server runs as root.
    become: list[str] = []
    if os.geteuid() == 0:
        become = [find("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(directory, "nobody", "nogroup")
    data = str(directory / "data")
    initdb = [*become, find("initdb"), "-D", data, "-U", "nd", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=directory)
    settings = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": directory,
        "max_connections": 200,
        # A crash of the machine may lose all of it.
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    return [*become, find("postgres"), "-D", data, *(part for name in settings for part in ("-c", f"{name}={settings[name]}"))]


def _ferretdb(directory: Path, port: int) -> list[str]:
    return [find("bin/ferretdb"), f"{HOST}:{port}", str(directory)]


#: By the name of the fixture.
PROGRAMS: Mapping[str, Program] = {
    "moto": Program(_moto, _answers("/moto-api/"), "http://127.0.0.1:{port}"),
    "versitygw": Program(
        _versitygw,
        _answers(),
        "http://127.0.0.1:{port}",
        {"ROOT_ACCESS_KEY": "ndzarr", "ROOT_SECRET_KEY": "for-tests-only"},
    ),
    "azurite": Program(_azurite, _answers(), "http://127.0.0.1:{port}/devstoreaccount1"),
    "gcs": Program(_gcs, _answers("/storage/v1/b"), "http://127.0.0.1:{port}"),
    "nginx": Program(_nginx, _answers(), "http://127.0.0.1:{port}"),
    "postgres": Program(_postgres, _postgres_is_ready, "postgresql://nd@127.0.0.1:{port}/postgres", stop=signal.SIGINT),
    "ferretdb": Program(_ferretdb, _listens, "mongodb://127.0.0.1:{port}/"),
}


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
