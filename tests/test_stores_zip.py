"""ZipStore: archives that other tools wrote, damaged ones, and what a rewrite keeps."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ndzarr.stores.zip as zip_module
from ndzarr._typing import ByteRange
from ndzarr.config import options
from ndzarr.errors import ArgumentError, NodeExistsError, NodeNotFoundError, ReadOnlyError, StoreError
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores import pread, spill, ziprecords
from ndzarr.stores.zip import ZipStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    return path


def contents(store: ZipStore) -> dict[str, bytes]:
    return {key: bytes(store.get(key) or b"") for key in store.list()}


def fail(error: int) -> Callable[..., Any]:
    def function(*arguments: Any, **keywords: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return function


# ---- modes -----------------------------------------------------------------------------------------------------------


def test_modes_of_a_missing_archive(path: Path) -> None:
    with pytest.raises(NodeNotFoundError, match="no archive at"):
        ZipStore(path)
    for mode in ("a", "r+"):
        with ZipStore(path, mode) as store:
            assert list(store.list()) == []
        assert not path.exists()  # nothing was set, so nothing is made
    for mode in ("w", "x", "w-"):
        ZipStore(path, mode).close()
        assert zipfile.ZipFile(path).namelist() == []
        path.unlink()


def test_modes_of_an_archive_that_is_there(path: Path) -> None:
    write(path, {"a": b"1"})
    for mode in ("x", "w-"):
        with pytest.raises(NodeExistsError):
            ZipStore(path, mode)
    with ZipStore(path, "r") as store:
        for change in (lambda: store.set("b", b"2"), lambda: store.delete("a"), lambda: store.delete("none")):
            with pytest.raises(ReadOnlyError):
                change()
    for mode in ("a", "r+"):
        with ZipStore(path, mode) as store:
            store.set(mode[0], b"2")
    assert contents(ZipStore(path)) == {"a": b"2", "r": b"2"}
    with ZipStore(path, "w") as store:
        assert store.get("a") is None
        assert contents(ZipStore(path)) == {"a": b"2", "r": b"2"}  # until it is closed
    assert contents(ZipStore(path)) == {}
    with pytest.raises(ArgumentError, match="mode"):
        ZipStore(path, "rb")


def test_an_empty_file(path: Path) -> None:
    path.write_bytes(b"")
    with ZipStore(path, "a") as store:  # as tempfile makes them
        store.set("a", b"1")
    assert contents(ZipStore(path)) == {"a": b"1"}
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="zip archive"):
        ZipStore(path, "r")


@pytest.mark.parametrize("mode", ["r", "a", "w"])
def test_a_directory_is_no_archive(tmp_path: Path, mode: str) -> None:
    with pytest.raises(StoreError, match="directory"):
        ZipStore(tmp_path, mode)


def test_an_archive_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, {"a": b"1"})
    monkeypatch.setattr(os, "open", fail(errno.EACCES))
    for mode in ("r", "a"):
        with pytest.raises(StoreError, match="Permission denied"):
            ZipStore(path, mode)


def test_parents_are_made(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "b" / "c" / "a.zip", "a") as store:
        store.set("a", b"1")
    assert contents(ZipStore(tmp_path / "b" / "c" / "a.zip")) == {"a": b"1"}


def test_a_link_to_an_archive_stays_one(path: Path, tmp_path: Path) -> None:
    write(path, {"a": b"1"})
    alias = tmp_path / "alias.zip"
    alias.symlink_to(path)
    with ZipStore(alias, "a") as store:
        store.set("b", b"2")
        assert store.object_id("a") == ZipStore(path).object_id("a")
    assert alias.is_symlink()
    assert contents(ZipStore(path)) == {"a": b"1", "b": b"2"}


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_no_name_is_ever_there_twice(path: Path) -> None:
    for number in range(4):
        with ZipStore(path, "a") as store:
            for again in range(3):
                store.set("a/b", b"%d.%d" % (number, again) * 1000)
                store.set(f"c/{number}", b"x")
                store.flush()
            store.delete(f"c/{number - 1}")
            assert contents(store) == {"a/b": b"%d.2" % number * 1000, f"c/{number}": b"x"}
        with zipfile.ZipFile(path) as archive:
            assert sorted(archive.namelist()) == ["a/b", f"c/{number}"]
            assert archive.testzip() is None
            assert all(m.compress_type == zipfile.ZIP_STORED for m in archive.infolist())
    assert path.stat().st_size < 4000  # compacted: one value of 3000 bytes, not twelve
    assert [p.name for p in path.parent.iterdir()] == ["a.zip"]


def test_equal_contents_make_equal_archives(tmp_path: Path) -> None:
    for name in ("1.zip", "2.zip"):
        with ZipStore(tmp_path / name, "w") as store:
            store.set("a", b"1")
            store.set("\N{GREEK SMALL LETTER ALPHA}/b", b"2")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert contents(ZipStore(tmp_path / "1.zip")) == {"a": b"1", "\N{GREEK SMALL LETTER ALPHA}/b": b"2"}


def test_it_is_read_while_it_is_written(path: Path) -> None:
    write(path, {"a": b"old", "gone": b"x"})
    before = ZipStore(path)
    with ZipStore(path, "a") as store:
        store.set("a", b"new")
        store.set("b", b"2")
        store.delete("gone")
        store.delete("never")
        assert contents(store) == {"a": b"new", "b": b"2"}
        assert store.size("a") == 3
        assert store.size("gone") is None
        assert store.get("gone") is None
        assert store.get("a", ByteRange(1, 2)) == b"e"
        code = "import sys; from ndzarr.stores.zip import ZipStore; print(bytes(ZipStore(sys.argv[1]).get('a')))"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=60)
        assert other.stdout.strip() == "b'old'"
    assert contents(ZipStore(path)) == {"a": b"new", "b": b"2"}
    assert contents(before) == {"a": b"old", "gone": b"x"}  # it keeps the archive that it opened


def test_tags_tell_a_flushed_value_from_the_next(path: Path) -> None:
    with ZipStore(path, "a") as store:
        tags = set()
        for n in range(3):
            store.set("a", b"%d" % n)
            tags.add((store.get_tagged("a") or (b"", None))[1])
            store.flush()
            tags.add((store.get_tagged("a") or (b"", None))[1])
    assert len(tags) == 6


def test_a_tag_belongs_to_its_value(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ZipStore(write(path, {"a": b"1"}), "a")
    real = store.get

    def get(key: str, range: ByteRange | None = None) -> Any:
        value = real(key, range)
        monkeypatch.setattr(store, "get", real)
        store.set("a", b"2")  # another thread, between value and tag
        store.flush()
        return value

    monkeypatch.setattr(store, "get", get)
    found = store.get_tagged("a")
    assert found is not None
    assert found[0] == b"2"
    assert found == store.get_tagged("a")


def test_large_pending_values_go_to_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "PENDING_BYTES", 1000)
    with ZipStore(path, "w") as store:
        for n in range(20):
            store.set(f"a/{n}", b"%02d" % n * 150)
        assert store._spill is not None
        store.set("a/0", b"small now")
        store.set("a/19", b"")
        want = {f"a/{n}": b"%02d" % n * 150 for n in range(20)} | {"a/0": b"small now", "a/19": b""}
        assert contents(store) == want
        assert store.get("a/15", ByteRange(1, 4)) == b"515"
        assert store._held <= 1000
        assert len(os.listdir(path.parent)) <= 1
        store.flush()
        assert store._spill is None
        assert store._held == 0
        assert contents(store) == want
    assert contents(ZipStore(path)) == want


def test_a_full_disk_while_spilling(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "PENDING_BYTES", 10)
    with ZipStore(path, "w") as store:
        store.set("a", b"old")
        with monkeypatch.context() as patch:
            patch.setattr(spill, "write_all", fail(errno.ENOSPC))
            for key in ("a", "b"):
                with pytest.raises(StoreError, match="No space left"):
                    store.set(key, bytes(100))
        assert contents(store) == {"a": b"old"}
        store.set("a", bytes(100))
    assert contents(ZipStore(path)) == {"a": bytes(100)}


@pytest.mark.parametrize("function", ["replace", "open", "fsync"])
def test_a_failed_flush_leaves_the_old_archive(path: Path, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, {"a": b"old"})
    before = path.read_bytes()
    store = ZipStore(path, "a")
    store.set("a", b"new")
    with monkeypatch.context() as patch, options(durable=True):
        patch.setattr(os, function, fail(errno.ENOSPC))
        with pytest.raises(StoreError, match="No space left"):
            store.close()
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.zip"]
    assert store.get("a") == b"new"  # still pending
    store.close()
    assert contents(ZipStore(path)) == {"a": b"new"}


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "deep" / "a.zip"
    store = ZipStore(path, "a")
    store.set("a", b"new")
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", fail(errno.ENOSPC))
        with pytest.raises(StoreError, match="No space left"):
            store.flush()
    assert not path.parent.exists()
    store.close()
    assert contents(ZipStore(path)) == {"a": b"new"}


def test_an_interrupted_flush_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ZipStore(write(path, {"a": b"old"}), "a")
    store.set("a", b"new")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.flush()
    assert [p.name for p in path.parent.iterdir()] == ["a.zip"]
    assert contents(ZipStore(path)) == {"a": b"old"}
    store.close()


def test_leftovers_of_dead_writers_go(path: Path) -> None:
    leftover = path.parent / f"{TEMP_PREFIX}strange"
    leftover.write_bytes(b"")
    os.utime(leftover, (0, 0))
    with ZipStore(path, "w"):
        pass
    assert not leftover.exists()


def test_durable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b))[1])
    with options(durable=True), ZipStore(path, "w") as store:
        store.set("a", b"1")
    assert done == ["fsync", "replace", "fsync"]


def test_another_writers_changes_are_not_lost(path: Path) -> None:
    write(path, {"a": b"1"})
    first, second = ZipStore(path, "a"), ZipStore(path, "a")
    first.set("b", b"2")
    second.set("c", b"3")
    first.close()
    with pytest.raises(StoreError, match="another writer"):
        second.close()
    assert contents(ZipStore(path)) == {"a": b"1", "b": b"2"}
    path.unlink()
    with pytest.raises(StoreError, match="another writer"):
        second.flush()
    second._dirty = False  # given up, or it would be tried again when it is collected


def test_what_was_not_closed_is_written_late(path: Path) -> None:
    store = ZipStore(path, "w")
    store.set("a", b"1")
    with pytest.warns(ResourceWarning, match="not closed"):
        store.__del__()
    assert contents(ZipStore(path)) == {"a": b"1"}
    store.__del__()  # nothing more to say


@pytest.mark.parametrize("large", [False, True])
def test_a_store_that_is_lost_in_a_cycle_is_written(large: bool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the traceback of an exception: the archive's own file must not be closed before the store is."""
    if large:
        monkeypatch.setattr(zip_module, "PENDING_BYTES", 10)
    store = ZipStore(path, "w")
    store.set("a", b"1")
    store.flush()
    store.set("b", b"2" * 1000)
    cycle: list[Any] = [store]
    cycle.append(cycle)
    del store, cycle
    with pytest.warns(ResourceWarning, match="not closed"):
        gc.collect()
    assert contents(ZipStore(path)) == {"a": b"1", "b": b"2" * 1000}


def test_what_was_not_closed_is_written_at_exit(path: Path) -> None:
    code = "import sys; from ndzarr.stores.zip import ZipStore; s = ZipStore(sys.argv[1], 'w'); s.set('a', b'1'); s.me = s"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert "ResourceWarning" in done.stderr
    assert "not closed" in done.stderr
    assert contents(ZipStore(path)) == {"a": b"1"}


def test_a_child_process_reads_and_does_not_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ZipStore(write(path, {"a": b"1"}), "a")
    store.set("b", b"2")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)  # as after fork
        assert contents(store) == {"a": b"1", "b": b"2"}
        for change in (lambda: store.set("c", b"3"), lambda: store.delete("a")):
            with pytest.raises(StoreError, match="one writer"):
                change()
        store.close()
        store.__del__()
        assert path.read_bytes() == before
    store.close()
    assert contents(ZipStore(path)) == {"a": b"1", "b": b"2"}


def test_threads(path: Path) -> None:
    with ZipStore(path, "w") as store:

        def work(thread: int) -> None:
            for n in range(20):
                store.set(f"{thread}/{n}", b"%d" % n * 100)
                assert store.get(f"{thread}/{n}") == b"%d" % n * 100
                if n % 7 == thread % 7:
                    store.flush()
                store.set("same", bytes([thread]) * 1000)
                value = bytes(store.get("same") or b"")
                assert value == value[:1] * 1000

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    assert len(contents(ZipStore(path))) == 161
    assert zipfile.ZipFile(path).testzip() is None


def test_pickling_flushes_and_reads(path: Path) -> None:
    store = ZipStore(path, "w")
    store.set("a", b"1")
    again = pickle.loads(pickle.dumps(store))
    assert contents(again) == {"a": b"1"}
    assert (again.mode, again.writable) == ("r", False)
    store.set("b", b"2")
    store.close()
    assert contents(again) == {"a": b"1"}


# ---- archives of other tools -----------------------------------------------------------------------------------------

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("nbytes", [0, 1, 5000, 3_000_000])
def test_compressed_members_are_read(path: Path, method: int, nbytes: int) -> None:
    value = (bytes(range(256)) * (nbytes // 256 + 1))[:nbytes]
    store = ZipStore(write(path, {"a": value, "b": b"next"}, method))
    assert store.get("a") == value
    assert store.size("a") == nbytes
    for start, stop in (
        (0, 10),
        (10, 20),
        (nbytes // 2, None),
        (-7, None),
        (nbytes, None),
        (0, nbytes),
        (3, nbytes + 9),
    ):
        assert store.get("a", ByteRange(start, stop)) == value[start:stop]


def test_a_range_of_a_stored_member_reads_only_that(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ZipStore(write(path, {"a": bytes(1_000_000)}))
    real, wanted = os.pread, []
    monkeypatch.setattr(pread, "_pread", lambda fd, n, at: (wanted.append(n), real(fd, n, at))[1])
    assert store.get("a", ByteRange(500_000, 500_100)) == bytes(100)
    assert sum(wanted) < 200
    wanted.clear()
    assert store.get("a", ByteRange(-5)) == bytes(5)
    assert wanted == [5]  # where the data starts is known by now


def test_a_rewrite_copies_members_as_they_are(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"a comment"
        for method in METHODS:
            info = zipfile.ZipInfo(f"m{method}", (2020, 2, 29, 12, 34, 56))
            info.external_attr = 0o600 << 16
            info.comment = b"of a member"
            info.extra = struct.pack("<HH4s", 0x5455, 4, b"abcd")
            archive.writestr(info, bytes(10_000), method)
        archive.writestr("folder/", b"")
        archive.writestr("../hostile", b"kept, and never given")
        archive.writestr("unicode \N{GREEK SMALL LETTER ALPHA}", b"1")
    with zipfile.ZipFile(path, "a") as archive, archive.open("streamed", "w", force_zip64=True) as member:
        member.write(b"sizes are told after the data")
    os.chmod(path, 0o640)
    before = {m.filename: m for m in zipfile.ZipFile(path).infolist()}
    with ZipStore(path, "a") as store:
        store.set("new", b"1")
        store.delete("m0")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment == b"a comment"
        after = {m.filename: m for m in archive.infolist()}
    assert set(after) == set(before) - {"m0"} | {"new"}
    for name in set(after) - {"new"}:
        for field in ("compress_type", "CRC", "file_size", "compress_size", "date_time", "external_attr", "comment"):
            assert getattr(after[name], field) == getattr(before[name], field), (name, field)
    assert after["m8"].extra == before["m8"].extra
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_data_descriptor_is_not_needed(path: Path) -> None:
    with open(path, "wb") as raw:
        stream = Unseekable(raw)
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a", b"streamed")
            archive.writestr("b", bytes(5000), zipfile.ZIP_DEFLATED)
    assert zipfile.ZipFile(path).getinfo("a").flag_bits & 0x8
    with ZipStore(path, "a") as store:
        assert contents(store) == {"a": b"streamed", "b": bytes(5000)}
        store.set("c", b"1")
    assert contents(ZipStore(path)) == {"a": b"streamed", "b": bytes(5000), "c": b"1"}
    assert zipfile.ZipFile(path).testzip() is None


class Unseekable:
    def __init__(self, file: Any) -> None:
        self.write, self.flush = file.write, file.flush


def test_of_duplicate_names_the_last_counts(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"second")
    with ZipStore(path, "a") as store:
        assert contents(store) == {"a": b"second"}
        store.set("b", b"1")
    assert sorted(zipfile.ZipFile(path).namelist()) == ["a", "b"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:/x", "a//b", "x/", "a\\b", "a\x01b", ".ndzarr-tmp-h-1-1", "."])
def test_hostile_names_are_not_there(path: Path, name: str) -> None:
    store = ZipStore(write(path, {name: b"hostile", "good": b"1"}))
    assert list(store.list()) == ["good"]
    assert list(store.list_dir()) == ["good"]
    with pytest.raises(ArgumentError):
        store.get(name)


def test_a_name_that_is_cut_at_nul_is_not_there(path: Path) -> None:
    write(path, {"a_b": b"hostile", "good": b"1"})
    path.write_bytes(path.read_bytes().replace(b"a_b", b"a\0b"))
    store = ZipStore(path)
    assert list(store.list()) == ["good"]
    assert store.get("a") is None


# ---- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"no archive", b"PK\x05\x06", bytes(5000), b"PK\x03\x04" + bytes(100), b"PK\x05\x06" + b"\xff" * 18],
)
def test_what_is_no_archive(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for mode in ("r", "a"):
        with pytest.raises(StoreError) as caught:
            ZipStore(path, mode)
        assert str(path) in str(caught.value)


def test_every_truncation_is_an_error(path: Path) -> None:
    data = write(path, {"a": b"1" * 50, "b/c": b"2" * 50}).read_bytes()
    for n in range(len(data)):
        path.write_bytes(data[:n])
        with pytest.raises(StoreError):
            ZipStore(path)


@pytest.mark.parametrize("method", METHODS)
def test_every_flipped_byte_is_found_or_harmless(path: Path, method: int) -> None:
    members = {"a": bytes(range(100)), "b": b"2" * 100}
    data = write(path, members, method).read_bytes()
    found = 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            store = ZipStore(path)
            values = {key: store.get(key) for key in store.list()}
        except StoreError as error:
            found += str(path) in str(error)
            continue
        # A name may have been changed, a member hidden; never is a wrong value given.
        assert all(value in members.values() for value in values.values()), at
    assert found > 100


def test_a_changed_value_is_found(path: Path) -> None:
    data = write(path, {"a": b"value" * 100, "b": b"1"}).read_bytes()
    path.write_bytes(data.replace(b"valuevalue", b"valuevalux", 1))
    store = ZipStore(path)
    with pytest.raises(StoreError, match="crc32") as caught:
        store.get("a")
    assert caught.value.key == "a"
    assert str(path) in str(caught.value)
    assert store.get("b") == b"1"


def patch_directory(path: Path, name: bytes, at: int, field: bytes) -> None:
    """Overwrite a field of a member's entry in the directory; `at` as APPNOTE 4.3.12 counts."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02", 0)
    while data[entry + 46 : entry + 46 + len(name)] != name:
        entry = data.index(b"PK\x01\x02", entry + 1)
    data[entry + at : entry + at + len(field)] = field
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "field", "reason"),
    [
        (8, struct.pack("<H", 1), "encrypted"),
        (10, struct.pack("<H", 99), "compression"),
        (20, struct.pack("<L", 7), "claims to hold"),
        (20, struct.pack("<LL", 1 << 30, 1 << 30), "damaged"),
        (24, struct.pack("<L", 4_000_000_000), "max_object"),
        (42, struct.pack("<L", 3), "no header"),
        (16, b"\0\0\0\0", "crc32"),
    ],
)
def test_a_directory_that_lies(path: Path, at: int, field: bytes, reason: str) -> None:
    write(path, {"a": b"value" * 100, "b": b"1"})
    patch_directory(path, b"a", at, field)
    store = ZipStore(path, "a")
    with pytest.raises(StoreError, match=reason) as caught:
        store.get("a")
    assert caught.value.store == store.url
    assert store.get("b") == b"1"


def test_a_damaged_member_is_not_copied(path: Path) -> None:
    write(path, {"a": b"value" * 100, "b": b"1"})
    patch_directory(path, b"a", 42, struct.pack("<L", 3))
    before = path.read_bytes()
    store = ZipStore(path, "a")
    store.set("b", b"2")
    with pytest.raises(StoreError, match="no header of 'a'"):
        store.flush()
    assert path.read_bytes() == before
    store.delete("a")
    store.close()
    assert contents(ZipStore(path)) == {"b": b"2"}


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_bomb_gives_no_more_than_it_claims(path: Path, method: int) -> None:
    store = ZipStore(write(path, {"a": bytes(8_000_000)}, method))
    with options(max_object=1_000_000):
        with pytest.raises(StoreError, match="max_object"):
            store.get("a")
        assert store.get("a", ByteRange(0, 1000)) == bytes(1000)
    patch_directory(path, b"a", 24, struct.pack("<L", 1000))  # claims less than it holds
    with pytest.raises(StoreError):
        ZipStore(path).get("a")


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_member_shorter_than_it_claims(path: Path, method: int) -> None:
    write(path, {"a": bytes(1000)}, method)
    patch_directory(path, b"a", 24, struct.pack("<L", 2000))
    store = ZipStore(path)
    for range in (None, ByteRange(0, 1500), ByteRange(1500, 1600)):
        with pytest.raises(StoreError):
            store.get("a", range)


def test_a_file_that_is_cut_while_it_is_open(path: Path) -> None:
    store = ZipStore(write(path, {"a": bytes(1000), "b": b"1"}))
    os.truncate(path, 100)
    with pytest.raises(StoreError, match="cut while it was open"):
        store.get("a")


# ---- large archives --------------------------------------------------------------------------------------------------


def test_more_members_than_sixteen_bits_count(path: Path) -> None:
    with ZipStore(path, "w") as store:
        for n in range(66_000):
            store.set(f"{n}", b"")
        store.set("last", b"1")
    with ZipStore(path, "a") as store:
        assert len(list(store.list())) == 66_001
        assert store.get("last") == b"1"
    assert len(zipfile.ZipFile(path).namelist()) == 66_001


def test_offsets_and_sizes_beyond_four_gibibytes(path: Path) -> None:
    # A sparse file: a member's data lies beyond 5 GiB, written by the records that the store writes.
    record = ziprecords.Record.of_value("far", zlib.crc32(b"value"), 5)
    with open(path, "wb") as file:
        file.seek(5 << 30)
        file.write(record.local() + b"value")
        start = file.tell()
        directory = record.central(5 << 30)
        file.write(directory + ziprecords.ends(1, start, len(directory), b""))
    assert zipfile.ZipFile(path).read("far") == b"value"
    store = ZipStore(path)
    assert store.get("far") == b"value"
    large = ziprecords.Record.of_value("a", 0, 6 << 30)
    header = large.local()
    assert struct.unpack("<LL", header[18:26]) == (0xFFFFFFFF, 0xFFFFFFFF)
    assert struct.unpack("<HHQQ", header[31:51]) == (1, 16, 6 << 30, 6 << 30)
    # Read back and written again, the field is there once.
    assert ziprecords.without_zip64(header[31:] + b"\x01\x00") == b""
