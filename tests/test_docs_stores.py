"""The pages of docs/stores: what they tell to type starts the server that the tests start, and their examples run against it.

The build of the documentation runs the cells that need no server. Blocks marked as Python are run here, in one namespace a
page, with the address of the page replaced by the server's own; `{code-block} python` is for what needs an account.
"""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from tests.servers.programs import PROGRAMS, Server

pytestmark = pytest.mark.once

FOLDER = Path(__file__).parents[1] / "docs" / "stores"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (FOLDER / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run(page: str, address: str, server: str) -> dict[str, Any]:
    """Run the page's blocks with the address of `server` in place of the page's; what they leave, the last value as "_"."""
    found = blocks(page, "python")
    assert found
    assert any(address in block for block in found)
    names: dict[str, Any] = {}
    for block in found:
        *body, last = block.replace(address, server).rstrip().split("\n")
        exec(compile("\n".join(body), page, "exec"), names)
        names["_"] = eval(compile(last, page, "eval"), names)
    return names


def make_s3_bucket(moto: Server) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{moto.url}/bucket", method="PUT")).close()


def make_azure_container(azurite: Server) -> None:
    from tests.places import _at

    _, options = _at(azurite, "fsspec", "any")
    ndzarr.FsspecStore("az://container", **options).fs.mkdir("container")


def make_gcs_bucket(gcs: Server) -> None:
    body = json.dumps({"name": "bucket"}).encode()
    request = urllib.request.Request(f"{gcs.url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


def test_s3(moto: Server) -> None:
    make_s3_bucket(moto)
    names = run("s3.md", "http://127.0.0.1:5555", moto.url)
    assert names["_"].tolist() == [0, 60, 120]
    z = ndzarr.open("s3://bucket/ocean.zarr", storage="fsspec", **names["server"])
    assert (z.shards, z[72, 100, 3], z[73, 100, 3]) == ((73, 180, 360), 100, 0)
    z.store.delete_prefix("")


def test_azure(azurite: Server) -> None:
    make_azure_container(azurite)
    names = run("azure.md", "http://127.0.0.1:10000/devstoreaccount1", azurite.url)
    assert names["_"].tolist() == [7, 0]


def test_gcs(gcs: Server) -> None:
    make_gcs_bucket(gcs)
    names = run("gcs.md", "http://127.0.0.1:4443", gcs.url)
    assert names["_"].tolist() == [7, 0]


def test_http(nginx: Server) -> None:
    place = nginx.directory / "files" / "ocean.zarr"
    ndzarr.save(place, np.arange(24.0).reshape(4, 6))
    names = run("fsspec.md", "http://127.0.0.1:8099", nginx.url)
    assert names["_"].tolist() == [0, 2, 4]
    shutil.rmtree(place)


def test_postgresql(postgres: Server) -> None:
    names = run("postgresql.md", "postgresql://me@127.0.0.1:5433/postgres", postgres.url)
    assert names["_"].tolist() == [1, 1]
    assert dict(names["root"].attrs) == {"days": 3}
    names["root"].store.delete_prefix("")


def test_mongodb(ferretdb: Server) -> None:
    names = run("mongodb.md", "mongodb://127.0.0.1:27017/", ferretdb.url)
    assert names["_"].tolist() == [7, 0]
    names["z"].store.delete_prefix("")


@pytest.mark.parametrize(
    ("page", "server", "program"),
    [("s3.md", "moto", "moto_server"), ("azure.md", "azurite", "azurite-blob"), ("gcs.md", "gcs", "fake-gcs-server")],
)
def test_the_command_is_the_one_that_is_tested(page: str, server: str, program: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(server)  # or it is told why not
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    (line,) = [line for line in lines if re.search(rf"(^|\s){program} -", line)]
    told = line.partition("  #")[0].split()
    tested = PROGRAMS[server].command(Path(), 1)
    assert Path(tested[0]).name in told
    # But for what keeps the log of the tests short.
    assert {word for word in told if word.startswith("-")} == {word for word in tested if word.startswith("-")} - {"-log-level"}


@pytest.mark.parametrize("page", sorted(path.name for path in FOLDER.glob("*.md")))
def test_every_example_is_run_somewhere(page: str) -> None:
    tests: dict[str, Callable[..., None]] = {n: f for n, f in globals().items() if n.startswith("test_")}
    name = {"fsspec.md": "test_http"}.get(page, f"test_{page.removesuffix('.md')}")
    assert bool(blocks(page, "python")) == (name in tests)
