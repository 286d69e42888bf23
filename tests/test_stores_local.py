"""LocalStore: what the file system does to it, and what it leaves behind."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

import ndzarr.stores.local as local
import ndzarr.stores.local_places as local_places
from ndzarr._typing import ByteRange
from ndzarr.config import options
from ndzarr.errors import ArgumentError, ReadOnlyError, StoreError
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores import files
from ndzarr.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "root")


def temps(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.startswith(TEMP_PREFIX)]


def failing(error: int, after: int = 0) -> Callable[..., Any]:
    """A function that raises OSError(error) from its `after`-th call on."""
    calls = iter(range(after))

    def fail(*arguments: Any, **keywords: Any) -> Any:
        if next(calls, None) is None:
            raise OSError(error, os.strerror(error))
        return 1

    return fail


# ---- opening ---------------------------------------------------------------------------------------------------------


def test_reading_creates_nothing(tmp_path: Path, store: LocalStore) -> None:
    assert store.get("a") is None
    assert list(store.list()) == []
    assert list(store.list("a/b/")) == []
    store.delete("a/b")
    store.delete_prefix("a/")
    assert list(tmp_path.iterdir()) == []
    store.set("a/b", b"1")
    assert (tmp_path / "root" / "a" / "b").read_bytes() == b"1"


@pytest.mark.parametrize("path", ["", None, 3, b"bytes", "a\0b"])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ArgumentError, match="expected a path"):
        LocalStore(path)


def test_the_path_is_fixed_at_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore("root")
    monkeypatch.chdir("/")
    store.set("a", b"1")
    assert (tmp_path / "root" / "a").exists()
    assert store.url == f"file://{tmp_path}/root"


def test_from_url(tmp_path: Path) -> None:
    assert LocalStore.from_url(f"file://{tmp_path}/a%20b").root == f"{tmp_path}/a b"
    assert LocalStore.from_url(f"file://localhost{tmp_path}", readonly=True).writable is False
    for url in ("file://elsewhere/a", "file:///a?b", "file:///a#b", "file://"):
        with pytest.raises(ArgumentError):
            LocalStore.from_url(url)


def test_the_root_of_the_file_system_may_be_one() -> None:
    assert LocalStore("/").get("etc/no such file") is None
    assert LocalStore("/").size("dev/null") == 0


def test_read_only(store: LocalStore) -> None:
    store.set("a", b"1")
    reader = LocalStore(store.root, readonly=True)
    for change in (lambda: reader.set("a", b"2"), lambda: reader.delete("a"), lambda: reader.delete_prefix("")):
        with pytest.raises(ReadOnlyError, match="reading only"):
            change()
    assert reader.get("a") == b"1"


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_a_known_range_is_one_open_and_one_read(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/b", bytes(1000))
    calls: list[str] = []
    real = {name: getattr(os, name) for name in ("open", "read", "fstat", "stat", "lseek")}
    for name, function in real.items():
        monkeypatch.setattr(os, name, lambda *a, _n=name, _f=function: (calls.append(_n), _f(*a))[1])
    assert len(store.get("a/b", ByteRange(0, 1000)) or b"") == 1000
    assert calls == ["open", "read"]
    calls.clear()
    assert len(store.get("a/b", ByteRange(8, 16)) or b"") == 8
    assert calls == ["open", "lseek", "read"]
    calls.clear()
    assert len(store.get("a/b") or b"") == 1000
    assert calls == ["open", "fstat", "read"]
    calls.clear()
    assert store.get("a/none") is None
    assert calls == ["open"]


def test_short_reads_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    value = bytes(range(100))
    store.set("a", value)
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, n: real(fd, min(n, 7)))
    assert store.get("a") == value
    assert store.get("a", ByteRange(3, 50)) == value[3:50]
    assert store.get("a", ByteRange(3, 500)) == value[3:]
    assert store.get("a", ByteRange(-9)) == value[-9:]


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ESTALE, errno.ENAMETOOLONG])
def test_only_not_found_is_missing(store: LocalStore, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/b", b"1")
    for name in ("open", "stat", "scandir"):
        monkeypatch.setattr(os, name, failing(error))
    reads = (
        lambda: store.get("a/b"),
        lambda: store.get("a/b", ByteRange(0, 1)),
        lambda: store.get_tagged("a/b"),
        lambda: store.get_many([("a/b", None)]),
        lambda: store.size("a/b"),
        lambda: store.exists("a/b"),
        lambda: list(store.list("a/")),
        lambda: list(store.list_dir("a/")),
    )
    for read in reads:
        with pytest.raises(StoreError) as caught:
            read()
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == error
        assert caught.value.store == store.url
        assert caught.value.key in ("a/b", "a/")
        assert store.url in str(caught.value)


def test_an_error_while_reading_is_no_missing_key(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a", b"1")
    monkeypatch.setattr(os, "read", failing(errno.EIO))
    with pytest.raises(StoreError, match="Input/output error"):
        store.get("a")


def test_a_directory_in_the_place_of_a_value(store: LocalStore) -> None:
    store.set("a/0/0", b"1")
    ranges = (None, ByteRange(0, 4096), ByteRange(0, 0), ByteRange(-1))
    for read in (*(lambda r=r: store.get("a/0", r) for r in ranges), lambda: store.get_tagged("a/0")):
        with pytest.raises(StoreError, match="'a/0'"):
            read()
    for call in (store.size, store.exists, store.delete, lambda key: store.set(key, b"2")):
        with pytest.raises(StoreError, match="'a/0'"):
            call("a/0")
    assert store.get("a/0/0") == b"1"
    assert temps(Path(store.root)) == []


def test_a_value_in_the_place_of_a_directory(store: LocalStore) -> None:
    store.set("a/0", b"1")
    assert store.get("a/0/1") is None
    assert store.get_tagged("a/0/1") is None
    assert store.size("a/0/1") is None
    assert list(store.list("a/0/")) == []
    store.delete("a/0/1")
    store.delete_prefix("a/0/1/")
    with pytest.raises(StoreError, match="Not a directory"):
        store.set("a/0/1", b"2")
    with pytest.raises(StoreError, match="Not a directory"):
        store.set("a/0/1/2", b"2")
    assert store.get("a/0") == b"1"


def test_link_loops_are_errors(store: LocalStore) -> None:
    store.set("a/b", b"1")
    os.symlink("loop", f"{store.root}/a/loop")
    for verb in (store.get, store.get_tagged, store.size):
        with pytest.raises(StoreError, match="symbolic links"):
            verb("a/loop")
        with pytest.raises(StoreError, match="symbolic links"):
            verb("a/loop/0")
    assert sorted(store.list()) == ["a/b"]


def test_listing_leaves_out_what_is_no_key(store: LocalStore) -> None:
    store.set("a/b", b"1")
    folder = os.fsencode(store.root) + b"/a/"
    for name in (
        TEMP_PREFIX.encode() + b"h-1-1",
        b"back\\slash",
        b"new\nline",
        b"not utf-8 \xff",
        b"C:drive",
        b"\xc2\x85",
    ):
        with open(folder + name, "wb"):
            pass
    os.mkdir(folder + b"d\x01")
    assert list(store.list()) == ["a/b"]
    assert list(store.list_dir("a/")) == ["b"]


def test_a_directory_that_goes_while_listing(store: LocalStore) -> None:
    for key in ("a/b", "c/d"):
        store.set(key, b"1")
    keys = iter(store.list())
    first = next(iter(keys))
    store.delete_prefix("a/" if first == "c/d" else "c/")
    assert list(keys) == []


# ---- links -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A root with links: inside it, out of it, to a file, to nothing, and back to itself."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside / "deep", root / "real"):
        folder.mkdir(parents=True)
        (folder / "0").write_bytes(b"1")
    (root / "out").symlink_to(outside)
    (root / "file").symlink_to(outside / "deep" / "0")
    (root / "in").symlink_to("real")
    (root / "nothing").symlink_to("no such file")
    (root / "real" / "back").symlink_to(root)
    return root


def test_links_are_followed(linked: Path) -> None:
    store = LocalStore(linked)
    assert sorted(store.list()) == ["file", "in/0", "out/deep/0", "real/0"]
    assert set(store.list_dir()) == {"file", "in/", "out/", "real/"}
    assert all(store.get(key) == b"1" for key in store.list())
    assert store.get("nothing") is None


def test_links_out_of_the_root_are_refused_on_request(linked: Path) -> None:
    store = LocalStore(linked, follow_symlinks=False)
    assert sorted(store.list()) == ["in/0", "real/0"]
    assert store.get("in/0") == b"1"
    for verb in (store.get, store.get_tagged, store.size, store.exists, lambda k: store.get(k, ByteRange(0, 1))):
        for key in ("file", "out/deep/0", "out/deep/none"):
            with pytest.raises(StoreError, match="follow_symlinks"):
                verb(key)
    for key in ("out/deep/0", "out/new"):
        with pytest.raises(StoreError, match="follow_symlinks"):
            store.set(key, b"2")
        with pytest.raises(StoreError, match="follow_symlinks"):
            store.delete(key)
    for call in (
        lambda: list(store.list("out/")),
        lambda: list(store.list_dir("out/")),
        lambda: store.delete_prefix("out/d"),
    ):
        with pytest.raises(StoreError, match="follow_symlinks"):
            call()
    store.set("file", b"new")  # replaces the link, not what it leads to
    assert (linked.parent / "outside" / "deep" / "0").read_bytes() == b"1"
    assert store.get("file") == b"new"


def test_a_root_that_is_a_link_is_no_way_out(linked: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(linked)
    store = LocalStore(tmp_path / "alias", follow_symlinks=False)
    assert store.get("real/0") == b"1"
    store.set("real/1", b"2")
    assert sorted(store.list("real")) == ["real/0", "real/1"]


def test_deleting_takes_links_and_leaves_what_they_lead_to(linked: Path) -> None:
    store = LocalStore(linked)
    store.delete_prefix("out/")
    assert not (linked / "out").exists()
    (linked / "real" / "out").symlink_to(linked.parent / "outside")
    store.delete_prefix("")
    assert sorted(store.list()) == []
    assert (linked.parent / "outside" / "deep" / "0").read_bytes() == b"1"


def test_one_object_has_one_identity(linked: Path, tmp_path: Path) -> None:
    store, deeper = LocalStore(linked), LocalStore(linked / "real")
    assert store.object_id("real/0") == deeper.object_id("0") == store.object_id("in/0")
    assert store.object_id("real/back/real/0") == deeper.object_id("0")
    assert LocalStore(tmp_path / "new").object_id("a/0") == LocalStore(tmp_path / "new" / "a").object_id("0")


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_short_writes_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    store.set("a", bytes(range(100)))
    assert store.get("a") == bytes(range(100))


@pytest.mark.parametrize("function", ["write", "replace", "close", "fsync"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failed_write_leaves_the_old_value(
    store: LocalStore, function: str, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("a/b", b"old")
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, close if function == "close" else failing(error))
        with pytest.raises(StoreError, match="'a/b'") as caught, options(durable=True):
            store.set("a/b", b"new" * 1000)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == error
    assert store.get("a/b") == b"old"
    assert temps(Path(store.root)) == []


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_disk_that_fills_up_in_the_middle(store: LocalStore, nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/b", b"old")
    real, calls = os.write, iter(range(nth))

    def write(fd: int, data: memoryview) -> int:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StoreError, match="No space left"):
            store.set("a/b", bytes(100))
    assert store.get("a/b") == b"old"
    assert temps(Path(store.root)) == []


def test_an_interrupted_write_leaves_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/b", b"old")

    def interrupt(fd: int, data: memoryview) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.set("a/b", b"new")
    assert store.get("a/b") == b"old"
    assert temps(Path(store.root)) == []


@pytest.mark.parametrize("function", ["open", "makedirs"])
def test_a_directory_that_may_not_be_written(store: LocalStore, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, function, failing(errno.EACCES))
    with pytest.raises(StoreError, match="Permission denied"):
        store.set("a/b", b"new")


def test_delete_reports_failures(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/b", b"1")
    monkeypatch.setattr(os, "unlink", failing(errno.EACCES))
    for delete in (lambda: store.delete("a/b"), lambda: store.delete_prefix("a"), lambda: store.delete_prefix("a/")):
        with pytest.raises(StoreError, match="Permission denied"):
            delete()


def test_a_write_whose_directory_or_file_is_taken_away_starts_again(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = os.replace, [3]

    def replace(source: str, target: str) -> None:
        if left[0]:
            left[0] -= 1
            os.unlink(source)
            os.rmdir(os.path.dirname(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    store.set("a/b", b"1")
    assert left == [0]
    assert store.get("a/b") == b"1"


def test_it_does_not_start_again_for_ever(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", failing(errno.ENOENT))
    with pytest.raises(StoreError, match="FileNotFoundError"):
        store.set("a/b", b"1")
    assert temps(Path(store.root)) == []
    os.symlink("no such directory", f"{store.root}/dangling")
    with pytest.raises(StoreError, match="dangling"):
        store.set("dangling/b", b"1")


def test_deleting_leaves_no_empty_directories(store: LocalStore) -> None:
    for key in ("a/b/c/d", "a/x", "e/f"):
        store.set(key, b"1")
    store.delete("a/b/c/d")
    assert sorted(os.listdir(f"{store.root}/a")) == ["x"]
    store.delete("e/f")
    store.delete("a/x")
    assert os.listdir(store.root) == []
    store.set("a/b/c/d", b"2")
    assert store.get("a/b/c/d") == b"2"


class Scan:
    """`os.scandir` that counts what it names."""

    def __init__(self, path: str) -> None:
        self._entries = SCANDIR(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._entries.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> os.DirEntry[str]:
        named[0] += 1
        return next(self._entries)


SCANDIR = os.scandir
named = [0]


@pytest.mark.parametrize("document", [".zarray", "zarr.json", None])
def test_deleting_many_keys_does_not_list_what_is_left(
    store: LocalStore, document: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did after each of them, to see whether the directory is empty but for locks: quadratic, minutes for 10**5 chunks."""
    keys = [f"a/{n}" for n in range(300)]
    for key in keys:
        store.set(key, b"1")
    if document is not None:
        store.set(f"a/{document}", b'{"node_type": "array"}')
    with store.lock("a/0"):
        pass
    monkeypatch.setattr(os, "scandir", Scan)
    monkeypatch.setattr(os, "listdir", lambda path: [entry.name for entry in Scan(path)])
    named[0] = 0
    for key in keys[:-1]:
        store.delete(key)
    assert named[0] <= len(keys)
    store.delete(keys[-1])
    monkeypatch.undo()
    if document is not None:
        assert sorted(os.listdir(f"{store.root}/a")) == [".ndzarr", document]
        store.delete(f"a/{document}")
    assert os.listdir(store.root) == []  # the locks, which are all that was left, went too


def test_delete_prefix_leaves_what_is_no_key(store: LocalStore) -> None:
    store.set("a/b/c", b"1")
    Path(store.root, "a", "b", "back\\slash").write_bytes(b"not ours")
    store.delete_prefix("a/")
    assert list(store.list()) == []
    assert Path(store.root, "a", "b", "back\\slash").read_bytes() == b"not ours"


def test_delete_prefix_of_what_another_deletes(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("a/b", "a/c/d"):
        store.set(key, b"1")
    real = os.unlink

    def unlink(path: str) -> None:
        real(path)
        real(path)  # as if another had been quicker

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        store.delete_prefix("a/")
    assert list(store.list()) == []


# ---- durability ------------------------------------------------------------------------------------------------------


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(operation, path) of what the store asks of the system, in order."""
    done: list[tuple[str, str]] = []
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def name(fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(("fsync", name(fd))), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append((f"replace {a}", b)), replace(a, b))[1])
    monkeypatch.setattr(os, "unlink", lambda path: (done.append(("unlink", path)), unlink(path))[1])
    return done


def test_a_durable_write_syncs_file_then_directory(store: LocalStore, trace: list[tuple[str, str]]) -> None:
    root = store.root
    store.set("a/b", b"0")
    assert [op for op, _ in trace if op == "fsync"] == []
    trace.clear()
    with options(durable=True):
        store.set("a/b", b"1")
        temp = trace[0][1]
        assert trace[:3] == [("fsync", temp), (f"replace {temp}", f"{root}/a/b"), ("fsync", f"{root}/a")]
        # Once, the directories above: they could be new, and their entries not yet on disk.
        assert trace[3:] == [("fsync", root), ("fsync", os.path.dirname(root))]
        trace.clear()
        store.set("a/b", b"2")
        temp = trace[0][1]
        assert trace == [("fsync", temp), (f"replace {temp}", f"{root}/a/b"), ("fsync", f"{root}/a")]
        trace.clear()
        store.set("a/new/deep/c", b"3")
        synced = [path for op, path in trace if op == "fsync"]
        assert {f"{root}/a/new/deep", f"{root}/a/new", f"{root}/a"} < set(synced)
        assert trace.index((f"replace {synced[2]}", f"{root}/a/new/deep/c")) < trace.index(("fsync", f"{root}/a/new/deep"))
        trace.clear()
        store.delete("a/new/deep/c")
        assert trace == [("unlink", f"{root}/a/new/deep/c"), ("fsync", f"{root}/a")]


def test_a_directory_that_cannot_be_synced(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/b", b"1")
    store.set("a/c", b"1")
    monkeypatch.setattr(local, "sync_folder", failing(errno.EIO))
    with options(durable=True):
        with pytest.raises(StoreError, match="sync the directory of 'a/b'"):
            store.set("a/b", b"2")
        with pytest.raises(StoreError, match="sync the directory of 'a/b'"):
            store.delete("a/b")
    monkeypatch.setattr(local, "sync_folder", failing(errno.ENOENT))
    with options(durable=True):
        store.delete("a/c")  # another has removed the directory: it is more than gone


def test_where_directories_cannot_be_synced(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_POSIX", False)  # as on Windows
    with options(durable=True):
        store.set("a/b", b"1")
    Path(store.root, f"{TEMP_PREFIX}{files.HOST}-1-1").write_bytes(b"")
    store.set("c", b"1")
    assert len(temps(Path(store.root))) == 1  # no way to ask for a process: only age tells


# ---- leftovers -------------------------------------------------------------------------------------------------------


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_are_removed_by_the_next_writer(store: LocalStore) -> None:
    host, old = files.HOST, time.time() - 2 * 3600
    gone = {
        f"{TEMP_PREFIX}{host}-{dead_pid()}-0": None,
        f"{TEMP_PREFIX}{host}-9999999999-3": None,
        f"{TEMP_PREFIX}other-host-1-5": old,
        f"{TEMP_PREFIX}{host}-{os.getpid()}-77777": old,
        f"{TEMP_PREFIX}strange": old,
    }
    kept = {
        f"{TEMP_PREFIX}{host}-{os.getpid()}-88888": None,
        f"{TEMP_PREFIX}other-1-1": None,
        f"{TEMP_PREFIX}odd": None,
    }
    for folder in ("a", "a/b"):
        Path(store.root, folder).mkdir(parents=True, exist_ok=True)
        for name, stamp in (gone | kept).items():
            path = Path(store.root, folder, name)
            path.write_bytes(b"leftover")
            if stamp:
                os.utime(path, (stamp, stamp))
    assert list(store.list()) == []
    store.set("a/x", b"1")
    assert set(temps(Path(store.root, "a"))) - set(temps(Path(store.root, "a", "b"))) == set()
    assert {p.name for p in Path(store.root, "a").iterdir() if p.is_file()} == {*kept, "x"}
    assert len(list(Path(store.root, "a", "b").iterdir())) == len(gone | kept)  # another directory: its next writer's
    store.delete_prefix("a/b/")
    assert {p.name for p in Path(store.root, "a", "b").iterdir()} == set(kept)


def test_leftovers_are_looked_for_once_in_a_directory(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/x", b"1")
    monkeypatch.setattr(local, "remove_leftovers", failing(errno.EIO))
    store.set("a/y", b"1")
    with pytest.raises(OSError, match="Input/output"):
        store.set("b/x", b"1")


def test_a_large_directory_is_not_gone_through_by_every_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens an array for each chunk that he writes made it quadratic: 45 ms a chunk among 100,000 others."""
    folder = tmp_path / "a"
    folder.mkdir()
    for n in range(1000):
        (folder / str(n)).touch()
    later = 1.0
    # A clock by which each name takes a millisecond.
    monkeypatch.setattr(time, "monotonic", lambda: later + named[0] / 1000)
    monkeypatch.setattr(os, "scandir", Scan)
    named[0] = 0
    for n in range(10):
        LocalStore(tmp_path).set(f"a/{n}", b"1")
    assert 1000 <= named[0] <= 1100
    leftover = folder / f"{TEMP_PREFIX}{files.HOST}-{dead_pid()}-0"
    leftover.touch()
    LocalStore(tmp_path).set("a/1", b"2")
    assert leftover.exists()
    later += 101
    LocalStore(tmp_path).set("a/1", b"2")
    assert not leftover.exists()
    leftover.touch()
    LocalStore(tmp_path).delete_prefix("a/")  # always, or the directory would stay
    assert os.listdir(tmp_path) == []


def test_a_store_that_stays_open_looks_for_leftovers_again(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("a/x", b"1")
    leftover = Path(store.root, "a", f"{TEMP_PREFIX}{files.HOST}-{dead_pid()}-0")
    leftover.write_bytes(b"of one that died since")
    store.set("a/x", b"2")
    assert leftover.exists()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    store.set("a/x", b"3")
    assert not leftover.exists()


def test_a_process_that_may_not_be_signalled_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", failing(errno.EPERM))
    assert files._alive(1)
    monkeypatch.setattr(os, "kill", failing(errno.ESRCH))
    assert not files._alive(1)


def test_a_taken_name_is_passed_over(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter([f"{TEMP_PREFIX}x-1-1", f"{TEMP_PREFIX}x-1-2"])
    Path(store.root).mkdir()
    Path(store.root, f"{TEMP_PREFIX}x-1-1").write_bytes(b"another's")
    monkeypatch.setattr(local, "temp_name", lambda: next(names))
    store.set("a", b"1")
    assert store.get("a") == b"1"
    assert Path(store.root, f"{TEMP_PREFIX}x-1-1").read_bytes() == b"another's"


def test_file_systems_without_exact_times(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_fd", set())
    store.set("a", b"1")
    assert store.get("a") == b"1"


def test_what_is_remembered_is_bounded(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_CACHED", 3)
    monkeypatch.setattr(local_places, "_CACHED", 3)
    for n in range(10):
        store.set(f"d{n}/a", b"1")
        with store.lock(f"d{n}/a"):
            pass
    assert len(store._swept) <= 3
    assert len(store._places._real) <= 3


# ---- kill -9 ---------------------------------------------------------------------------------------------------------

# A process of its own, without threads, so that it may fork. Each round a child overwrites one chunk as fast as it can
# and is killed in the middle.
_KILL_LOOP = """
import json, os, random, signal, sys, time
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores.local import LocalStore

root, rounds = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
torn = lost = left = after = 0
for number in range(rounds):
    store = LocalStore(root)
    store.set("a/0.0", bytes([number % 251]) * 300_000)
    after += sum(name.startswith(TEMP_PREFIX) for name in os.listdir(root + "/a"))
    ready, signalled = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(signalled, b"x")
            n = 0
            while True:
                n += 1
                store.set("a/0.0", bytes([n % 251]) * (300_000 + n % 3 * 1_000_000))
        finally:
            os._exit(1)
    os.read(ready, 1)
    time.sleep(rng.random() * 0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(signalled)
    value = LocalStore(root).get("a/0.0")
    if value is None:
        lost += 1
    elif len(value) not in (300_000, 1_300_000, 2_300_000) or value != value[:1] * len(value):
        torn += 1
    left += sum(name.startswith(TEMP_PREFIX) for name in os.listdir(root + "/a"))
    assert list(LocalStore(root).list()) == ["a/0.0"]
print(json.dumps({"torn": torn, "lost": lost, "left": left, "after": after}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
@pytest.mark.parametrize("rounds", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_the_old_or_the_new_value(
    tmp_path: Path, rounds: int, record_property: Callable[[str, object], None]
) -> None:
    command = [sys.executable, "-c", _KILL_LOOP, str(tmp_path / "root"), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["torn"] == 0
    assert found["lost"] == 0
    assert found["left"] > rounds // 20  # else the kills came at the wrong moments, and this shows nothing
    assert found["after"] == 0  # each next write removed what the last kill had left
    record_property("count: writers killed", rounds)
