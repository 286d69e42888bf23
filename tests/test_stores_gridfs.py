"""GridFSStore on a server that speaks MongoDB's language: the suite, races, kills, leftovers, what is asked of the server."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import gridfs
import numpy as np
import pymongo
import pytest
from pymongo import monitoring

import ndzarr
from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores import gridfs_files
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.gridfs import GridFSStore
from ndzarr.stores.prefix import PrefixStore
from ndzarr.stores.registry import resolve
from ndzarr.testing.stores import StoreSuite
from tests.servers.programs import Server

_numbers = itertools.count()


@pytest.fixture
def url(ferretdb: Server) -> Iterator[str]:
    """The URL of a bucket that does not exist yet."""
    name = f"t{os.getpid()}x{next(_numbers)}"
    yield f"{ferretdb.url}{name}/b"
    with pymongo.MongoClient(ferretdb.url) as client:
        client.drop_database(name)


@pytest.fixture
def store(url: str) -> Iterator[GridFSStore]:
    with GridFSStore(url) as store:
        yield store


def _counts(store: GridFSStore) -> dict[str, int]:
    bucket = store._bucket()
    return {name: getattr(bucket, name).count_documents({}) for name in ("files", "chunks", "uploads")}


class TestGridFSStore(StoreSuite):
    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        self.url = url
        with GridFSStore(url) as store:
            yield store

    def reopen(self, store: Store) -> Store:
        store.close()
        return GridFSStore(self.url)

    def reopen_for_reading(self, store: Store) -> Store:
        return GridFSStore(self.url, readonly=True)


class TestFaultyGridFSStore(StoreSuite):
    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        # Small documents: most values have many.
        with FaultStore(GridFSStore(url, chunk_size=64 << 10)) as store:
            yield store


@pytest.mark.once
def test_every_nth_call_may_fail(url: str, zarr_format: int) -> None:
    data = np.arange(24, dtype="<i4").reshape(4, 6)
    for n in range(1, 200):
        with GridFSStore(url) as inner:
            inner.delete_prefix("")
            store = FaultStore(inner, at=n)
            acknowledged = np.zeros((4, 6), "<i4")
            try:
                z = ndzarr.create_array(store, path="g/z", shape=(4, 6), dtype="<i4", chunks=(2, 3), fill_value=0)
                for row in (slice(0, 2), slice(1, 3), slice(2, 4)):
                    z[row] = data[row]
                    acknowledged[row] = data[row]
                again = ndzarr.open(store, path="g/z")[...]
            except StoreError:
                assert any(call.error for call in store.calls())
            else:
                np.testing.assert_array_equal(again, data)
                if not store.calls() or not any(call.error for call in store.calls()):
                    assert n > 5
                    return
            if inner.exists("g/z/zarr.json") or inner.exists("g/z/.zarray"):
                now = ndzarr.open(inner, path="g/z")[...]
                assert np.isin(now[acknowledged != now], data).all()
                done = acknowledged != 0
                np.testing.assert_array_equal(now[done], acknowledged[done])
    pytest.fail("it never came to an end")


def test_an_array_and_a_group(url: str, zarr_format: int) -> None:
    values = np.arange(90 * 70, dtype="<f4").reshape(90, 70)
    group = ndzarr.create_group(url, attributes={"title": "here"})
    z = group.create_array("a/z", shape=values.shape, dtype=values.dtype, chunks=(32, 32))
    z[...] = values
    again = ndzarr.open(url)
    assert dict(again.attributes if hasattr(again, "attributes") else again.attrs) == {"title": "here"}
    np.testing.assert_array_equal(again["a/z"][3:77:5, ::-3], values[3:77:5, ::-3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again["a/z"]))[40], values[40])
    np.testing.assert_array_equal(ndzarr.open(f"{url}/a/z")[-1], values[-1])


def test_values_over_the_limit_of_a_document(store: GridFSStore) -> None:
    value = np.random.default_rng(1).bytes((17 << 20) + 5)
    store.set("big", value)
    assert store.get("big") == value
    assert store.size("big") == len(value)


# ---- what is asked of the server --------------------------------------------------------------------------------


class Listener(monitoring.CommandListener):
    def __init__(self) -> None:
        self.commands: list[Any] = []

    def started(self, event: Any) -> None:
        self.commands.append(event.command)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def asked(self, name: str) -> list[Any]:
        return [command for command in self.commands if name in command]


@pytest.fixture
def watched(ferretdb: Server, url: str) -> Iterator[tuple[GridFSStore, Listener]]:
    listener = Listener()
    with pymongo.MongoClient(ferretdb.url, event_listeners=[listener]) as client:
        store = GridFSStore(client[url.split("/")[-2]], "b", chunk_size=1024)
        yield store, listener


def test_a_range_takes_only_the_chunks_it_lies_in(watched: tuple[GridFSStore, Listener]) -> None:
    store, listener = watched
    value = np.random.default_rng(2).bytes(10_000)
    store.set("k", value)
    listener.commands.clear()
    assert store.get("k", ByteRange(3000, 3100)) == value[3000:3100]
    (query,) = [command["filter"] for command in listener.asked("find") if command["find"] == "b.chunks"]
    assert query["n"] == {"$gte": 2, "$lte": 3}
    listener.commands.clear()
    assert store.get("k", ByteRange(5, 5)) == b""
    assert store.get("k", ByteRange(20_000)) == b""
    assert [command["find"] for command in listener.asked("find")] == ["b.files"] * 2


def test_a_batch_is_two_queries(watched: tuple[GridFSStore, Listener]) -> None:
    store, listener = watched
    store.set_many({f"d/{n}": b"%d" % n * 400 for n in range(100)})
    listener.commands.clear()
    found = store.get_many([(f"d/{n}", None) for n in range(101)])
    assert found == [b"%d" % n * 400 for n in range(100)] + [None]
    assert [next(iter(command)) for command in listener.commands] == ["find", "find"]
    listener.commands.clear()
    store.set_many({f"e/{n}": b"%d" % n for n in range(100)})
    assert len(listener.commands) <= 5
    listener.commands.clear()
    assert store.size("d/1") == 400
    assert store.exists("none") is False
    assert len(listener.commands) == 2


def test_keys_are_never_operators(watched: tuple[GridFSStore, Listener]) -> None:
    store, listener = watched
    keys = ["$where", "$gt/$ne", "a.*", "^a", "a(b", "[a]", "{}", '{"$gt": ""}']
    for key in keys:
        store.set(key, key.encode())
    assert sorted(store.list()) == sorted(keys)
    for key in keys:
        assert store.get(key) == key.encode()
        assert list(store.list(key)) == [key]
    store.delete("a.*")
    store.delete_prefix("^")
    assert sorted(store.list()) == sorted(set(keys) - {"a.*", "^a"})
    assert not any("$regex" in str(command) or "$where" in command.get("filter", {}) for command in listener.commands)


def test_listing_a_folder_skips_what_lies_below(watched: tuple[GridFSStore, Listener]) -> None:
    store, _ = watched
    store.set_many({f"{folder}/{n}": b"" for folder in "abc" for n in range(450)})
    store.set_many({"b0": b"", "c.x": b"", "d": b""})
    assert list(store.list_dir()) == ["a/", "b/", "b0", "c.x", "c/", "d"]
    assert len(list(store.list_dir("b/"))) == 450
    assert len(list(store.list("c/"))) == 450


# ---- writers --------------------------------------------------------------------------------


def _count(url: str, keys: list[str], rounds: int) -> None:
    with GridFSStore(url) as store:
        for _ in range(rounds):
            left = set(keys)
            while left:
                found = dict(zip(sorted(left), store.get_many_tagged([(key, None) for key in sorted(left)]), strict=True))
                items = {k: (b"%d" % (int(bytes(f[0])) + 1 if f else 1), f[1] if f else None) for k, f in found.items()}
                left -= {key for key, kept in store.set_many_if(items).items() if kept}


def test_processes_lose_no_update(url: str) -> None:
    """Without a lock: by the tag alone."""
    context = multiprocessing.get_context("spawn")
    keys = ["n/0", "n/1", "n/2"]
    workers = [context.Process(target=_count, args=(url, keys, 25)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with GridFSStore(url) as store:
        assert store.get_many([(key, None) for key in keys]) == [b"75"] * 3
        assert _counts(store)["files"] == 3


def _write_half(url: str, half: int, start: Any) -> None:
    z = ndzarr.open(url, path="z", mode="r+")
    start.wait()
    for n in range(40):
        z[n, half * 4 : half * 4 + 4] = half + 1


def test_processes_share_chunks(url: str) -> None:
    ndzarr.create_array(url, path="z", shape=(40, 8), chunks=(1, 8), dtype="i4", fill_value=0)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    workers = [context.Process(target=_write_half, args=(url, half, start)) for half in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    np.testing.assert_array_equal(ndzarr.open(url, path="z")[...], np.repeat([[1] * 4 + [2] * 4], 40, axis=0))


def test_only_one_creates_a_key_that_was_deleted(url: str) -> None:
    with GridFSStore(url) as store:
        for n in range(10):
            won: list[int] = []
            start = threading.Barrier(6)

            def work(number: int, won: list[int] = won, start: threading.Barrier = start) -> None:
                start.wait()
                if store.set_if("k", b"%d" % number, tag=None):
                    won.append(number)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1, n
            assert store.get("k") == b"%d" % won[0]
            store.delete("k")
            assert store.get("k") is None


def test_a_tag_of_before_a_deletion_is_no_good(store: GridFSStore) -> None:
    store.set("k", b"1")
    tag = store.get_tagged("k")[1]
    store.delete("k")
    assert store.set_if("k", b"2", tag=tag) is False
    store.set("k", b"1")
    assert store.set_if("k", b"2", tag=tag) is False
    assert store.get("k") == b"1"


def test_a_revision_inserted_too_late_is_never_seen(store: GridFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that slept between looking and committing, while others wrote and cleared away what it saw."""
    store.set("k", b"first")
    tag = store.get_tagged("k")[1]
    other = pickle.loads(pickle.dumps(store))
    bucket = store._bucket()
    commit = bucket.commit

    def late(docs: Any) -> Any:
        monkeypatch.undo()
        for n in range(3):
            other.set("k", b"%d" % n)
        return commit(docs)

    monkeypatch.setattr(bucket, "commit", late)
    assert store.set_if("k", b"late", tag=tag) is False
    assert store.get("k") == b"2"
    assert _counts(store) == {"files": 1, "chunks": 1, "uploads": 2}
    other.close()


def test_one_who_wrote_and_was_overtaken_has_still_written(store: GridFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = pickle.loads(pickle.dumps(store))
    store.set("k", b"1")
    tag = store.get_tagged("k")[1]
    bucket = store._bucket()
    commit = bucket.commit

    def early(docs: Any) -> Any:
        monkeypatch.undo()
        beaten = commit(docs)
        for n in range(3):
            other.set("k", b"%d" % n)
        return beaten

    monkeypatch.setattr(bucket, "commit", early)
    assert store.set_if("k", b"mine", tag=tag) is True
    assert store.get("k") == b"2"
    other.close()


def test_there_is_no_moment_without_the_key(url: str) -> None:
    with GridFSStore(url, chunk_size=1024) as store, GridFSStore(url) as reader:
        store.set("k", bytes(3000))
        stop = threading.Event()
        seen: list[int] = []

        def look() -> None:
            while not stop.is_set():
                value = reader.get("k")
                assert value is not None
                value = bytes(value)
                assert value == value[:1] * 3000
                assert reader.exists("k")
                seen.append(value[0])

        def watch() -> None:
            try:
                look()
            except BaseException as error:
                failed.append(error)

        failed: list[BaseException] = []
        thread = threading.Thread(target=watch)
        thread.start()
        for n in range(80):
            store.set("k", bytes([n]) * 3000)
        stop.set()
        thread.join()
        assert failed == []
        assert len(set(seen)) > 3


def test_a_reader_whose_revision_goes_reads_the_newest(store: GridFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set_many({"k": b"old", "j": b"other"})
    other = pickle.loads(pickle.dumps(store))
    bucket = store._bucket()
    parts = bucket.parts

    def after_a_write(queries: Any) -> Any:
        monkeypatch.undo()
        other.set("k", b"newer")
        return parts(queries)

    monkeypatch.setattr(bucket, "parts", after_a_write)
    assert store.get_many([("k", None), ("j", None), ("k", ByteRange(0, 2))]) == [b"newer", b"other", b"ne"]
    other.close()


# ---- killed writers --------------------------------------------------------------------------------


def _write_and_die(url: str, where: str) -> None:
    with GridFSStore(url, chunk_size=1024) as store:
        bucket = store._bucket()
        bucket.prepare()
        method = getattr(bucket, where)

        def die(*args: Any) -> Any:
            if where == "remove":
                bucket.chunks.delete_many({"files_id": args[0][0]["_id"]})
            os.kill(os.getpid(), signal.SIGKILL)
            return method(*args)

        setattr(bucket, where, die)
        store.set("k", b"new" * 1000)


@pytest.mark.parametrize("where", ["commit", "remove"])
def test_leftovers_of_a_killed_writer_go(url: str, where: str) -> None:
    with GridFSStore(url, chunk_size=1024) as store:
        store.set("k", b"old" * 1000)
    worker = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(url, where))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    with GridFSStore(url, chunk_size=1024) as store:
        assert store.get("k") == (b"old" if where == "commit" else b"new") * 1000
        assert _counts(store)["chunks"] == (6 if where == "commit" else 3)
        store.set("other", b"1")
        assert _counts(store)["uploads"] == 2  # the note of the dead is young
    with GridFSStore(url) as store:
        store._bucket().uploads.update_many({}, {"$set": {"at": datetime.now(UTC) - timedelta(hours=2)}})
        store.set("k", b"again")
        assert _counts(store)["uploads"] == 1
        assert _counts(store)["chunks"] == 2
        assert sorted(store.list()) == ["k", "other"]


def test_a_sleeper_whose_chunks_were_cleared_away_uploads_again(store: GridFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("x", b"")
    bucket = store._bucket()
    commit = bucket.commit

    def asleep(docs: Any) -> Any:
        monkeypatch.undo()
        bucket.uploads.update_many({}, {"$set": {"at": datetime.now(UTC) - timedelta(hours=2)}})
        with GridFSStore(store._address.url) as sweeper:
            sweeper.set("y", b"")
        assert bucket.chunks.count_documents({}) == 0
        return commit(docs)

    monkeypatch.setattr(bucket, "commit", asleep)
    store.set("k", b"value")
    assert store.get("k") == b"value"
    assert sorted(store.list()) == ["k", "x", "y"]
    assert bucket.files.count_documents({"filename": {"$gte": TEMP_PREFIX, "$lt": TEMP_PREFIX + "z"}}) == 1


def test_old_tombstones_go(store: GridFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set_many({"a/1": b"1", "a/2": b"2", "b": b"3"})
    store.delete_prefix("a/")
    assert _counts(store)["files"] == 3
    ago = datetime.now(UTC) - timedelta(hours=25)
    store._bucket().files.update_many({"filename": "a/1"}, {"$set": {"uploadDate": ago}})
    store.delete_prefix("a")
    assert _counts(store)["files"] == 2
    store._bucket().files.update_many({"filename": "a/2"}, {"$set": {"uploadDate": ago}})
    assert store.set_if("a/2", b"new", tag=None) is True  # on a new tombstone
    assert [gridfs_files.version(doc) for doc in store._bucket().revisions(["a/2"])["a/2"]] == [3]
    assert store.get("a/2") == b"new"


def test_nothing_is_left_at_the_end(store: GridFSStore) -> None:
    for n in range(100):
        store.set("k", b"%d" % n)
    store.delete("none")
    assert store.set_if("k", b"", tag="wrong") is False
    with pytest.raises(ArgumentError):
        store.set_many({"k": b"", "j": "text"})
    store.close()
    assert _counts(store) == {"files": 1, "chunks": 1, "uploads": 0}


# ---- other programs --------------------------------------------------------------------------------


def test_other_programs_read_and_write_the_bucket(store: GridFSStore) -> None:
    database = store._address.client()[store._address.database]
    theirs = gridfs.GridFSBucket(database, "b")
    value = np.random.default_rng(3).bytes(600_000)
    store.set("a/b", b"older")
    store.set("a/b", value)
    assert theirs.open_download_stream_by_name("a/b").read() == value
    theirs.upload_from_stream("c", value[::-1])
    assert store.get("c") == value[::-1]
    assert sorted(store.list()) == ["a/b", "c"]
    store.set("c", b"ours")
    assert (store.get("c"), theirs.open_download_stream_by_name("c").read()) == (b"ours", b"ours")
    store.delete("c")
    assert store.get("c") is None


# ---- failures --------------------------------------------------------------------------------


def test_missing_chunks_are_no_missing_key(store: GridFSStore) -> None:
    store.set("k", bytes(600_000))
    store._bucket().chunks.delete_one({"n": 1})
    for ask in (lambda: store.get("k"), lambda: store.get_many([("x", None), ("k", ByteRange(-5))])):
        with pytest.raises(StoreError, match=r"cannot read 'k' in mongodb://127.* chunks of it are missing"):
            if ask() == [None, bytes(5)]:
                raise StoreError("cannot read 'k' in mongodb://127 chunks of it are missing")
    store._bucket().chunks.update_one({"n": 0}, {"$set": {"data": b"short"}})
    with pytest.raises(StoreError, match="missing"):
        store.get("k", ByteRange(0, 3))


def test_a_server_that_is_not_there() -> None:
    store = GridFSStore("mongodb://user:secret@127.0.0.1:9/db/b?serverSelectionTimeoutMS=300")
    started = time.monotonic()
    for ask in (
        lambda: store.get("k"),
        lambda: store.get_many([("k", None)]),
        lambda: store.set("k", b""),
        lambda: store.delete("k"),
        lambda: store.size("k"),
        lambda: list(store.list("k")),
        lambda: list(store.list_dir("k/")),
    ):
        with pytest.raises(StoreError, match=r"'k/?' in mongodb://127\.0\.0\.1:9/db/b: ServerSelectionTimeoutError") as caught:
            ask()
        assert "secret" not in str(caught.value) + repr(store)
    assert time.monotonic() - started < 30
    store.close()


def test_what_the_driver_raises_names_store_and_key(store: GridFSStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("k", b"1")
    errors = [
        pymongo.errors.OperationFailure("not authorized", 13),
        pymongo.errors.NetworkTimeout("timed out"),
        OSError(5, "io"),
    ]
    for name, ask in (
        ("revisions", lambda: store.get("k")),
        ("parts", lambda: store.get("k")),
        ("commit", lambda: store.set("k", b"")),
    ):
        for error in errors[::2]:

            def fail(*_: Any, error: BaseException = error) -> Any:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(store._bucket(), name, fail)
                with pytest.raises(StoreError, match=r"'k' in mongodb://") as caught:
                    ask()
                assert caught.value.key == "k"
                assert caught.value.__cause__ is error
    assert store.get("k") == b"1"
    tries = []
    revisions = store._bucket().revisions

    def once(keys: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise errors[1]
        return revisions(keys)

    monkeypatch.setattr(store._bucket(), "revisions", once)
    assert store.get("k") == b"1"
    assert len(tries) == 2


# ---- names and handles --------------------------------------------------------------------------------


def test_urls() -> None:
    store = GridFSStore("mongodb://me:pass%2Fword@one:1,two:2/db/bucket?replicaSet=rs0&w=majority&authSource=admin")
    assert store.url == "mongodb://one:1,two:2/db/bucket"
    assert "word" not in repr(store)
    database = store._address.client()[store._address.database]
    assert database.write_concern.document == {"w": "majority"}
    again = pickle.loads(pickle.dumps(store))
    assert again.object_id("k") == store.object_id("k")
    assert again._address.client() is not store._address.client()
    for one in (store, again):
        one.close()
    assert GridFSStore("mongodb://h/db").bucket == "fs"
    below = resolve("mongodb://h/db/b/x.zarr/y?w=1")
    assert isinstance(below, PrefixStore)
    assert (below.prefix, below.inner.url) == ("x.zarr/y/", "mongodb://h/db/b")
    assert type(resolve("mongodb://h/db/b", readonly=True)) is GridFSStore
    for wrong in (
        "mongodb://h",
        "mongodb://h/?w=1",
        "mongodb://u:p/w@h/db/b",
        "mongodb://h:port/db/b",
        "mongodb://u:p@q@h/db/b",
    ):
        with pytest.raises(ArgumentError) as caught:
            GridFSStore(wrong).get("k")
        assert "p/w" not in str(caught.value)
    with pytest.raises(ArgumentError, match="w=0"):
        GridFSStore("mongodb://h/db/b?w=0").get("k")
    with pytest.raises(ArgumentError, match="chunk_size"):
        GridFSStore("mongodb://h/db/b", chunk_size=1)
    with pytest.raises(ArgumentError, match="expected a URL or a Database"):
        GridFSStore(5)


def test_a_database_that_is_open(url: str, ferretdb: Server) -> None:
    with pymongo.MongoClient(ferretdb.url) as client:
        store = GridFSStore(client[url.split("/")[-2]], "b")
        store.set("k", b"1")
        store.close()
        assert client.admin.command("ping")
        with pytest.raises(TypeError, match="give its URL"):
            pickle.dumps(store)
        assert store.get("k") == b"1"


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(ArgumentError, match=r"pip install 'ndzarr\[mongo\]'"):
        ndzarr.open("mongodb://h/db/b")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:MongoClient opened before fork:UserWarning")
def test_it_is_usable_after_a_fork(store: GridFSStore) -> None:
    store.set("k", b"1")
    pid = os.fork()
    if pid == 0:  # pragma: no cover  # not measured there
        status = 1
        try:
            if store.get("k") == b"1":
                store.set("child", b"2")
                status = 0
        finally:
            os._exit(status)
    store.set("parent", b"3")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.get_many([("child", None), ("parent", None)]) == [b"2", b"3"]
