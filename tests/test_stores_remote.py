"""Stores on servers beyond the store suite: which client, what is asked of the server, what is shown, forks and failures."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from ndzarr._typing import ByteRange
from ndzarr.api import copy, create_array, create_group, open as open_node
from ndzarr.checking.check import check
from ndzarr.comparing.diff import diff
from ndzarr.conversion import convert
from ndzarr.errors import ArgumentError, ReadOnlyError, StoreError
from ndzarr.stores import remote as remote_module
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.fsspec import FsspecStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.objectstore import ObjectStore
from ndzarr.stores.registry import get_store, resolve, stores
from tests.places import PLACES, Place, place
from tests.servers.programs import Server

SERVED = [one for one in PLACES if one[0] in ("moto", "azurite", "gcs")]
BOTH = [FsspecStore, ObjectStore]


@pytest.fixture(params=SERVED, ids="-".join)
def served(request: pytest.FixtureRequest) -> Place:
    """A new place on an object store."""
    return place(request, *request.param)


# ---- which client ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine where nobody configured a client."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_profiles")
@pytest.mark.parametrize(
    ("url", "options", "wanted"),
    [
        ("s3://bucket/x", {}, ObjectStore),
        ("s3://bucket/x", {"key": "k", "secret": "s", "endpoint_url": "http://h:1"}, ObjectStore),
        ("s3://bucket/x", {"access_key_id": "k", "secret_access_key": "s", "region": "eu-west-1"}, ObjectStore),
        ("s3://bucket/x", {"anon": True, "client_kwargs": {"region_name": "eu-west-1"}}, ObjectStore),
        ("s3://bucket/x", {"anon": True, "requester_pays": True}, FsspecStore),
        ("s3://bucket/x", {"anon": True, "storage": "fsspec", "region": "eu-west-1"}, FsspecStore),
        ("az://container/x", {"account_name": "a", "account_key": "a2V5"}, ObjectStore),
        ("az://container/x", {"connection_string": "AccountName=a;AccountKey=a2V5;BlobEndpoint=http://h/a;"}, FsspecStore),
        ("http://host/x", {}, ObjectStore),
        ("https://host/x", {"storage": "fsspec"}, FsspecStore),
        ("simplecache::http://host/x", {}, FsspecStore),
        ("memory://x", {"storage": "fsspec"}, FsspecStore),
    ],
)
def test_auto_takes_obstore_where_it_understands_all(url: str, options: dict[str, Any], wanted: type) -> None:
    assert type(resolve(url, **options)) is wanted


@pytest.mark.usefixtures("no_profiles")
def test_profiles_and_connection_strings_are_for_the_other_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert isinstance(resolve("s3://bucket/x"), FsspecStore)
    assert isinstance(resolve("s3://bucket/x", anon=True), ObjectStore)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert isinstance(resolve("s3://bucket/x"), ObjectStore)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=a2V5;BlobEndpoint=http://h/a;")
    assert isinstance(resolve("az://container/x"), FsspecStore)


def test_either_client_takes_the_names_of_the_other(request: pytest.FixtureRequest) -> None:
    theirs, ours = place(request, "moto", "obstore"), place(request, "moto", "fsspec")
    data = np.arange(10)
    for url, options, storage in ((theirs.url, ours.options, "obstore"), (ours.url, theirs.options, "fsspec")):
        z = create_array(url, shape=10, chunks=4, dtype=data.dtype, storage=storage, **options)
        z[...] = data
        assert np.array_equal(open_node(url, region="us-east-1", **options)[2:9], data[2:9])
    with pytest.raises(ArgumentError, match="storage is 'both'"):
        resolve("s3://bucket/x", storage="both")


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://b/x", "s3fs", "s3"),
        ("gs://b/x", "gcsfs", "gcs"),
        ("abfs://c/x", "adlfs", "azure"),
        ("http://h/x", "aiohttp", "http"),
        ("sftp://h/x", "paramiko", "sftp"),
    ],
)
def test_what_is_not_installed_is_named(url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, package, None)
    for module in [name for name in sys.modules if name.startswith(("fsspec.implementations.", package + "."))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition("://")[0], raising=False)
    with pytest.raises(ArgumentError) as caught:
        resolve(url)
    assert f"pip install 'ndzarr[{extra}]'" in str(caught.value)


def test_obstore_is_named_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ArgumentError, match=r"pip install 'ndzarr\[obstore\]'"):
        ObjectStore("s3://b/x")


def test_what_is_no_place_is_refused() -> None:
    for make in (partial(FsspecStore, 5), partial(ObjectStore, 5), partial(FsspecStore, "nosuch://x")):
        with pytest.raises(ArgumentError):
            make()
    with pytest.raises(ArgumentError, match="open"):
        FsspecStore(fsspec.filesystem("memory"), anon=True)
    with pytest.raises(ArgumentError, match="accss_key"):
        ObjectStore("s3://bucket/x", accss_key="k")
    with pytest.raises(ArgumentError, match="path is 5"):
        FsspecStore("memory://x", 5)
    assert {"fsspec", "obstore"} <= set(stores())
    assert get_store("fsspec") is FsspecStore
    assert get_store("obstore") is ObjectStore


# ---- what is asked of the server ---------------------------------------------------------------------------------------------


def logged(nginx: Server, root: str, count: int) -> list[str]:
    """What nginx was asked for below `root`, at least `count` times: it writes its log when an answer is sent, not before."""
    give_up = time.monotonic() + 5
    while True:
        seen = [line.split('"')[1] for line in (nginx.directory / "access.log").read_text().splitlines() if root in line]
        if len(seen) >= count or time.monotonic() > give_up:
            return seen
        time.sleep(0.01)


@pytest.mark.parametrize("client", ["fsspec", "obstore"])
def test_one_value_is_one_request(client: str, request: pytest.FixtureRequest, nginx: Server) -> None:
    found = place(request, "nginx", client)
    root = found.url.rpartition("/")[2]
    written = LocalStore(nginx.directory / "files" / root)
    written.set_many({f"c/{n}": b"%d" % n * 1000 for n in range(20)})
    store = found.store()
    assert bytes(store.get("c/3") or b"") == b"3" * 1000
    assert bytes(store.get("c/3", ByteRange(0, 7)) or b"") == b"3" * 7
    assert bytes(store.get("c/3", ByteRange(-7)) or b"") == b"3" * 7
    assert store.get("none") is None
    assert [line.split()[0] for line in logged(nginx, root, 4)] == ["GET"] * 4
    assert len(store.get_many([(f"c/{n}", None) for n in range(20)])) == 20
    assert [line.split()[0] for line in logged(nginx, root, 24)] == ["GET"] * 24
    # Ranges of one object that are close are one request.
    store.get_many([("c/3", ByteRange(n, n + 5)) for n in range(0, 900, 10)])
    assert [line.split()[0] for line in logged(nginx, root, 25)] == ["GET"] * 25


def test_how_often_a_node_calls_its_store(served: Place, zarr_format: int) -> None:
    store = FaultStore(served.store())
    create_group(store)
    z = create_array(store, path="z", shape=(20, 20), chunks=(2, 20), dtype="i4", fill_value=-1)
    assert store.counts["list"] == store.counts["list_dir"] == 0
    z[...] = 7
    store.clear()
    again = open_node(store, path="z")
    gets = store.counts["get"] + store.counts["get_tagged"]
    assert gets <= (1 if zarr_format == 3 else 3)
    assert len(store.log) == gets
    assert (again[...] == 7).all()


def test_zarr_format_3_opens_by_one_request_at_the_server(request: pytest.FixtureRequest, nginx: Server) -> None:
    found = place(request, "nginx", "obstore")
    root = found.url.rpartition("/")[2]
    create_array(LocalStore(nginx.directory / "files" / root), shape=4, chunks=2, dtype="i4", zarr_format=3)
    open_node(found.url)
    assert logged(nginx, root, 1) == [f"GET /{root}/zarr.json HTTP/1.1"]


@pytest.mark.parametrize("make", BOTH)
def test_a_server_that_takes_no_notice_of_ranges(make: Any, tmp_path: Path) -> None:
    value = bytes(range(256)) * 40
    (tmp_path / "k").write_bytes(value)
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        store = make(f"http://127.0.0.1:{server.server_address[1]}")
        for start, stop in ((0, 10), (100, 300), (-7, None), (5000, None), (10000, 20000), (20000, 20001), (0, 1 << 40)):
            assert bytes(store.get("k", ByteRange(start, stop)) or b"") == value[start:stop], (start, stop)
        server.shutdown()


def test_a_cache_is_read_and_never_written(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = place(request, "moto", "fsspec")
    source = found.store()
    z = create_array(source, shape=100, chunks=10, dtype="i4")
    z[:50] = np.arange(50)
    options = {"s3": dict(found.options), "simplecache": {"cache_storage": str(tmp_path / "cache")}}
    cached = open_node("simplecache::" + found.url, **options)
    assert not cached.store.writable
    for _ in range(2):
        assert np.array_equal(cached[...], [*range(50), *[0] * 50])
    assert len(list((tmp_path / "cache").iterdir())) >= 6
    with pytest.raises(ReadOnlyError):
        cached.store.set("zarr.json", b"")
    source.delete_prefix("c/")
    assert np.array_equal(cached[:50], np.arange(50))  # from the copies kept
    assert found.url in cached.store.url


# ---- what fails --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", BOTH)
def test_forbidden_is_not_missing(make: Any, nginx: Server) -> None:
    store = make(f"{nginx.url}/private")
    for call in (store.get, store.size, store.get_tagged, lambda key: store.get_many([(key, None), ("b", None)])):
        with pytest.raises(StoreError, match="403") as caught:
            call("a")
        assert caught.value.key in ("a", "b")
        assert caught.value.tries == 1


@pytest.mark.parametrize("make", BOTH)
def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(make: Any, tmp_path: Path) -> None:
    """fsspec's walk takes any OSError for an empty folder; a copy would miss chunks."""
    for name in ("open/a", "private/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")

    class Handler(SimpleHTTPRequestHandler):
        def send_head(self) -> Any:
            return self.send_error(403) if "private" in self.path else super().send_head()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        store = make(f"http://127.0.0.1:{server.server_address[1]}")
        assert list(store.list("open/")) == ["open/a"]
        assert list(store.list("nowhere/")) == []
        for prefix in ("", "private/"):
            with pytest.raises(StoreError, match=r"cannot list .*403"):
                list(store.list(prefix))
        server.shutdown()
    with pytest.raises(StoreError, match="cannot list"):  # nobody is there
        list(store.list())


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("make", BOTH)
def test_a_server_without_index_pages_is_not_an_empty_one(make: Any, tmp_path: Path, status: int, zarr_format: int) -> None:
    """Many say 404 of a folder. `convert` and `copy` go by what is listed: they made an array of fill values, and no array."""

    class Handler(SimpleHTTPRequestHandler):
        def list_directory(self, path: Any) -> None:
            self.send_error(status)

        def log_message(self, *_: Any) -> None:
            pass

    root = create_group(tmp_path / "x.zarr", zarr_format=zarr_format)
    root.create_array("a", shape=(4,), chunks=(2,), dtype="i4")[:] = [1, 2, 3, 4]
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        store = make(f"http://127.0.0.1:{server.server_address[1]}/x.zarr")
        z = open_node(store, path="a")
        assert z[...].tolist() == [1, 2, 3, 4]
        for call in (
            lambda: list(store.list()),
            lambda: list(store.list_dir()),
            lambda: list(open_node(store)),
            lambda: z.nbytes_stored,
            lambda: copy(z, {}),
            lambda: check(store),
        ):
            with pytest.raises(StoreError, match="cannot list"):
                call()
        assert "unknown" in z._repr_html_()
        for changes in ({}, {"compressor": "zlib"}, {"chunks": (3,)}, {"chunks": (2,), "shards": (4,), "zarr_format": 3}):
            assert convert(z, None, **changes)[...].tolist() == [1, 2, 3, 4]  # by asking for each
        assert not diff(z, create_array(None, shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)).same
        if status == 404:
            assert list(store.list("nowhere/")) == list(store.list_dir("nowhere/")) == []
        server.shutdown()


def test_a_bucket_that_is_not_there_is_not_a_missing_key(served: Place) -> None:
    scheme, _, rest = served.url.partition("://")
    cls = FsspecStore if served.client == "fsspec" else ObjectStore
    store = cls(f"{scheme}://no-such-bucket/{rest.partition('/')[2]}", **served.options)
    with pytest.raises(StoreError):
        store.set("a", b"1")
    with pytest.raises(StoreError):
        store.set_many({"a": b"1", "b": b"2"})
    if served.server != "gcs":  # which says no more than "not found"
        for call in (lambda: store.get("a"), lambda: store.get_many([("a", None), ("b", None)])):
            with pytest.raises(StoreError, match=r"not exist|NoSuchBucket|ContainerNotFound|no such bucket"):
                call()


def test_a_wrong_key_is_not_a_missing_value(request: pytest.FixtureRequest) -> None:
    for client, name in (("fsspec", "secret"), ("obstore", "secret_access_key")):
        store = place(request, "versitygw", client).store(**{name: "wrong"})
        with pytest.raises(StoreError) as caught:
            store.get("a")
        assert caught.value.tries == 1
        assert "wrong" not in str(caught.value)
        with pytest.raises(StoreError):
            list(store.list())


def test_a_panic_is_a_store_error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place(request, "moto", "obstore").store()

    class PanicException(BaseException):  # what pyo3 calls it
        pass

    def panics(*arguments: Any, **options: Any) -> None:
        raise PanicException("index out of bounds")

    for name in ("get", "put", "get_async"):
        monkeypatch.setattr(store._obstore, name, panics)
    for call in (
        lambda: store.get("a"),
        lambda: store.set("a", b""),
        lambda: store.get_many([("a", None), ("b", None)]),
        lambda: list(store.get_each([("a", None), ("b", None)])),
    ):
        with pytest.raises(StoreError, match="index out of bounds"):
            call()

    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store._obstore, "get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.get("a")


# ---- what is shown, and what is not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", BOTH)
def test_credentials_are_never_shown(make: Any, nginx: Server) -> None:
    where = nginx.url.removeprefix("http://")
    store = make(f"http://user:hunter2@{where}/private")
    assert "hunter2" not in repr(store) + store.url + str(store.object_id("a"))
    with pytest.raises(StoreError) as caught:
        store.get("a")
    assert "hunter2" not in str(caught.value)
    if make is FsspecStore:
        signed = make(f"http://{where}/private?sig=hunter2")
        assert "hunter2" not in repr(signed) + signed.url + str(signed.object_id("a"))


def test_a_signature_goes_with_every_key(request: pytest.FixtureRequest, nginx: Server) -> None:
    root = place(request, "nginx", "fsspec").url.rpartition("/")[2]
    LocalStore(nginx.directory / "files" / root).set("a b/c", b"1")
    store = FsspecStore(f"{nginx.url}/{root}?sig=x")
    assert store.get("a b/c") == b"1"
    with pytest.raises(StoreError, match="index pages"):
        list(store.list())
    assert logged(nginx, root, 1) == [f"GET /{root}/a%20b/c?sig=x HTTP/1.1"]


def test_handles_on_one_object_share_its_lock(request: pytest.FixtureRequest) -> None:
    by_fsspec, by_obstore = place(request, "moto", "fsspec"), place(request, "moto", "obstore")
    one = FsspecStore(by_fsspec.url, **by_fsspec.options)
    other = ObjectStore(by_fsspec.url + "/a", **by_obstore.options)
    assert one.object_id("a/b") == other.object_id("b")
    assert one.object_id("a/b") != other.object_id("c")


# ---- other processes ---------------------------------------------------------------------------------------------------------


def test_pickled_by_configuration(served: Place) -> None:
    store = served.store(readonly=True)
    again = pickle.loads(pickle.dumps(store))
    assert type(again) is type(store)
    assert (again.url, again.writable) == (store.url, False)
    assert again.get("none") is None
    if served.client == "fsspec":
        given = FsspecStore(store.fs, served.url)
        assert pickle.loads(pickle.dumps(given)).get("none") is None
        assert given.object_id("a") == store.object_id("a")


def in_a_fork(work: Any) -> int:
    """The exit status of a child of fork that calls `work`; 9 where it hangs."""
    child = os.fork()
    if child == 0:
        status: list[int] = []

        def run() -> None:
            try:
                status.append(int(work()))
            except BaseException:
                status.append(8)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(20)
        os._exit(status[0] if status else 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork(served: Place) -> None:
    store = served.store()
    store.set("a", b"1")
    if served.client == "fsspec":
        assert in_a_fork(lambda: 0 if bytes(store.get("a") or b"") == b"1" else 1) == 0
        assert in_a_fork(lambda: 0 if len(store.get_many([("a", None)] * 5)) == 5 else 1) == 0
    else:

        def refused() -> int:
            try:
                store.get("a")
            except StoreError as error:
                return 0 if "fork" in str(error) else 1
            return 2

        assert in_a_fork(refused) == 0
    assert bytes(store.get("a") or b"") == b"1"


# ---- the steps that a server does at once ------------------------------------------------------------------------------------


def test_of_many_who_create_one_key_one_does(served: Place) -> None:
    # Each with a handle of its own, and no lock that they share.
    handles = [served.store() for _ in range(4)]
    for number, handle in enumerate(handles):
        handle.object_id = partial(lambda number, key: (number, key), number)
    start, won = threading.Barrier(4), []

    def work(number: int) -> None:
        for n in range(8):
            start.wait()
            if handles[number].set_if(f"k/{n}", b"%d" % number, tag=None):
                won.append((n, number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, _ in won) == list(range(8))
    for n, number in won:
        assert bytes(handles[0].get(f"k/{n}") or b"") == b"%d" % number


@pytest.mark.parametrize("server", ["moto", "azurite"])
def test_no_update_is_lost_between_handles(server: str, request: pytest.FixtureRequest) -> None:
    found = place(request, server, "obstore")
    handles = [found.store() for _ in range(4)]
    handles[0].set("n", b"0")

    def work(handle: ObjectStore) -> None:
        for _ in range(10):
            while True:
                value, tag = handle.get_tagged("n")
                if handle.set_many_if({"n": (b"%d" % (int(bytes(value)) + 1), tag)})["n"]:
                    break

    threads = [threading.Thread(target=work, args=(handle,)) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bytes(handles[0].get("n") or b"") == b"40"
