"""`ndzarr.check`: all damage is planted, found, repaired and then found no more, in both formats and four kinds of stores.

Healthy stores are in tests/interop/test_checking_healthy.py.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.cli import main
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores import filelocks, journal
from ndzarr.stores.base import Store
from ndzarr.stores.files import HOST
from ndzarr.stores.overlay import Overlay
from ndzarr.stores.registry import resolve
from ndzarr.stores.remains import SUSPECTS
from tests.dying import Dying, Stop

PLACES = ("directory", "zip", "sqlite", "memory")
DEAD = 2**31 - 2  # no process has this number
DATA = np.arange(1, 101, dtype="i4").reshape(10, 10)


@dataclass
class Place:
    """A store of one kind, of one format: what `check` takes, and ways to change it behind everybody's back."""

    kind: str
    zarr_format: int
    target: Any
    path: Path

    @property
    def at(self) -> Callable[..., str]:
        return lambda *coords: ".".join(map(str, coords)) if self.zarr_format == 2 else "/".join(["c", *map(str, coords)])

    @property
    def document(self) -> str:
        return ".zarray" if self.zarr_format == 2 else "zarr.json"

    def store(self) -> Store:
        return resolve(self.target, "a")

    def change(self, key: str, change: Callable[[bytes], bytes]) -> None:
        self.do(lambda store: store.set(key, change(bytes(store.get(key) or b""))))

    def do(self, run: Callable[[Store], object]) -> None:
        store = self.store()
        run(store)
        if self.kind != "memory":
            store.close()

    def files(self) -> dict[str, tuple[Any, ...]]:
        """All that is on disk, to the byte and the nanosecond; of SQLite not the two files that it keeps beside its own."""
        found = {}
        sqlite = self.kind == "sqlite"
        for place in [self.path / "s.db"] if sqlite else [self.path, *self.path.rglob("*")]:
            info = place.lstat()
            data = place.read_bytes() if stat.S_ISREG(info.st_mode) else None
            found[str(place)] = (info.st_mode, info.st_mtime_ns, info.st_ctime_ns, data)
        return found


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str, int], Place]:

    def make(kind: str, zarr_format: int) -> Place:
        path = tmp_path / f"{kind}{zarr_format}"
        path.mkdir()
        target: Any = {
            "directory": path / "s",
            "zip": path / "s.zip",
            "sqlite": f"sqlite:///{path / 's.db'}",
            "memory": ndzarr.MemoryStore(),
        }[kind]
        place = Place(kind, zarr_format, target, path)
        place.do(lambda store: build(store, zarr_format))
        return place

    return make


def build(store: Store, zarr_format: int) -> None:
    """A group with one array of each kind that damage is done to."""
    root = ndzarr.create_group(store, zarr_format=zarr_format)
    for path, options in {
        "zstd": {"compressor": "zstd"},
        "raw": {"compressor": None},
        "sums": {"compressor": None, "checksum": True},
        "deep/zstd": {"compressor": "zstd"},
    }.items():
        root.create_array(path, shape=DATA.shape, chunks=(5, 5), dtype="i4", fill_value=-1, **options)[:] = DATA
    if zarr_format == 3:
        root.create_array("shards", shape=(10, 10), chunks=(1, 5), shards=(5, 5), dtype="i4", fill_value=-1)[:] = DATA
    ndzarr.consolidate(store)


# ---- the twelve kinds -----------------------------------------------------------------------------------------------

#: Plants damage; True where the store and the format can have it.
Plant = Callable[[Place], bool]


def plant_leftover(place: Place) -> bool:
    name = f"{TEMP_PREFIX}{HOST}-{DEAD}-7"
    if place.kind == "directory":
        (place.target / "zstd" / name).write_bytes(b"half")
    elif place.kind == "zip":
        (place.path / name).write_bytes(b"half")
        with zipfile.ZipFile(place.target, "a") as archive:
            archive.writestr(f"zstd/{name}", b"half")
    return place.kind in ("directory", "zip")


def plant_partial(place: Place) -> bool:
    name = f"0.0.{'0a' * 16}.partial"
    if place.kind == "directory":
        (place.target / "zstd" / name).write_bytes(b"half")
        os.utime(place.target / "zstd" / name, (0, 0))
    elif place.kind == "zip":
        with zipfile.ZipFile(place.target, "a") as archive:
            archive.writestr(f"zstd/{name}", b"half")
    return place.kind in ("directory", "zip")


def plant_outside(place: Place) -> bool:
    place.change(f"zstd/{place.at(2, 0)}", lambda _: b"from before the array was shrunk")
    return True


def plant_gone(place: Place) -> bool:
    def run(store: Store) -> None:
        for document in (place.document, ".zattrs"):
            store.delete(f"deep/zstd/{document}")
        ndzarr.consolidate(store)

    place.do(run)
    return True


def plant_undecodable(place: Place) -> bool:
    place.change(f"zstd/{place.at(0, 1)}", lambda data: b"no zstd frame " + data)
    return True


def plant_checksum(place: Place) -> bool:
    place.change(f"sums/{place.at(0, 1)}", lambda data: data[:9] + bytes([data[9] ^ 4]) + data[10:])
    return True


def plant_zip_checksum(place: Place) -> bool:
    """A flip that the archive's own checksum knows of, in a chunk that has none."""
    if place.kind != "zip":
        return False
    data = bytearray(place.target.read_bytes())
    with zipfile.ZipFile(place.target) as archive:
        member = archive.getinfo(f"raw/{place.at(0, 1)}")
    data[member.header_offset + 30 + len(member.filename) + 5] ^= 1
    place.target.write_bytes(data)
    return True


def plant_duplicate(place: Place) -> bool:
    if place.kind == "zip":
        with zipfile.ZipFile(place.target, "a") as archive:
            key = f"raw/{place.at(0, 0)}"
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(key, archive.read(key))
    return place.kind == "zip"


def plant_stale(place: Place) -> bool:
    def grow(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "shape": [20, 10]}).encode()

    place.change(f"zstd/{place.document}", grow)
    return True


def plant_transaction(place: Place, *, recorded: bool = False) -> bool:
    if place.kind != "directory":
        return False
    folder = place.target / journal.FOLDER / f"{TEMP_PREFIX}{HOST}-{DEAD}-1"
    folder.mkdir(parents=True)
    staged = folder / f"{TEMP_PREFIX}{HOST}-{DEAD}-2"
    staged.write_bytes((place.target / "raw" / place.at(1, 1)).read_bytes())
    if recorded:
        overlay = Overlay(os.path.realpath(place.target))
        overlay.put(f"{overlay.root}/raw/{place.at(0, 0)}", str(staged))
        journal.write_record(str(folder), overlay, [])
        (folder / "record.new").rename(folder / "record")
    return True


def plant_recorded(place: Place) -> bool:
    return plant_transaction(place, recorded=True)


def plant_truncated(place: Place) -> bool:
    place.change(f"zstd/{place.at(1, 0)}", lambda data: data[:-4])
    return True


def plant_empty(place: Place) -> bool:
    place.change(f"zstd/{place.at(1, 0)}", lambda _: b"")
    return True


def plant_short(place: Place) -> bool:
    place.change(f"raw/{place.at(1, 0)}", lambda data: data[:-1])
    return True


def plant_long(place: Place) -> bool:
    place.change(f"raw/{place.at(1, 0)}", lambda data: data + b"\0")
    return True


def plant_directory(place: Place) -> bool:
    key = f"raw/{place.at(0, 1)}"
    if place.kind == "directory":
        (place.target / key).unlink()
        (place.target / key).mkdir()
        return True

    def run(store: Store) -> None:
        store.delete(key)
        store.set(f"{key}/x", b"what is this")

    place.do(run)
    return True


def plant_full_directory(place: Place) -> bool:
    if place.kind != "directory":
        return False
    plant_directory(place)
    (place.target / "raw" / place.at(0, 1) / "notes.txt").write_text("mine")
    return True


def plant_loop(place: Place) -> bool:
    if place.kind != "directory":
        return False
    key = place.target / "raw" / place.at(0, 1)
    key.unlink()
    key.symlink_to(key.name)
    return True


def plant_both_formats(place: Place) -> bool:
    if place.zarr_format == 3:
        place.change("zstd/.zarray", lambda _: b"{}")
        place.change("zstd/.zattrs", lambda _: b"{}")
    else:
        place.change("zstd/.zgroup", lambda _: b'{"zarr_format": 2}')
        place.do(ndzarr.consolidate)
    return True


def plant_lonely(place: Place) -> bool:
    place.change("nothing/here/.zattrs", lambda _: b'{"units": "K"}')
    return True


def plant_index(place: Place) -> bool:
    if place.zarr_format == 3:
        place.change("shards/c/0/1", lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:])
    return place.zarr_format == 3


def plant_no_index(place: Place) -> bool:
    if place.zarr_format == 3:
        place.change("shards/c/0/1", lambda data: data[:20])
    return place.zarr_format == 3


#: Of each kind of finding what brings it about, and how bad it is.
KINDS: dict[str, tuple[str, list[Plant]]] = {
    "leftover": ("warning", [plant_leftover, plant_partial]),
    "orphan": ("warning", [plant_outside, plant_gone]),
    "undecodable": ("error", [plant_undecodable]),
    "checksum": ("error", [plant_checksum, plant_zip_checksum]),
    "duplicate": ("warning", [plant_duplicate]),
    "stale": ("warning", [plant_stale]),
    "transaction": ("warning", [plant_transaction, plant_recorded]),
    "truncated": ("error", [plant_truncated, plant_empty]),
    "size": ("error", [plant_short, plant_long]),
    "directory": ("error", [plant_directory, plant_full_directory, plant_loop]),
    "stray": ("warning", [plant_both_formats, plant_lonely]),
    "index": ("error", [plant_index, plant_no_index]),
}
WHERE = [(kind, plant) for kind, (_, plants) in KINDS.items() for plant in plants]


def wrong(report: ndzarr.Report) -> set[tuple[str, str]]:
    return {(finding.kind, finding.level) for finding in report.findings if finding.level != "note"}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_and_repaired(
    kind: str, make: Callable[[str, int], Place], record_property: Callable[[str, object], None]
) -> None:
    level, plants = KINDS[kind]
    planted = 0
    for plant in plants:
        for zarr_format in (2, 3):
            for name in PLACES:
                place = make(name, zarr_format)
                assert ndzarr.check(place.target).ok
                if plant(place):
                    planted += 1
                    found_and_repaired(place, kind, level, plant)
                shutil.rmtree(place.path)
    assert planted
    record_property("count: kinds of damage found", 1)
    record_property("count: damages planted, found and repaired", planted)


def found_and_repaired(place: Place, kind: str, level: str, plant: Plant) -> None:
    what = f"{plant.__name__} {place.kind} {place.zarr_format}"
    before = place.files()
    report = ndzarr.check(place.target)
    assert place.files() == before, what
    assert not report.ok, what
    assert wrong(report) == {(kind, level)}, f"{what}: {report}"
    assert all(finding.remedy and finding.repaired is None for finding in report.findings if finding.level != "note"), what
    assert ndzarr.check(place.target).findings == report.findings, what

    repaired = ndzarr.check(place.target, repair=True)
    assert wrong(repaired) == {(kind, level)}, f"{what}: {repaired}"
    assert repaired.ok, f"{what}: {repaired}"

    before = place.files()
    second = ndzarr.check(place.target)
    assert second.ok, f"{what}: {second}"
    assert not wrong(second), f"{what}: {second}"
    assert {finding.kind for finding in second.findings} <= {"suspects"}, f"{what}: {second}"
    assert place.files() == before, what
    values_are_kept(place, plant)


#: Which chunk of which array reads as missing after the repair.
MISSING: dict[Plant, tuple[str, int, int]] = {
    plant_undecodable: ("zstd", 0, 1),
    plant_checksum: ("sums", 0, 1),
    plant_zip_checksum: ("raw", 0, 1),
    plant_truncated: ("zstd", 1, 0),
    plant_empty: ("zstd", 1, 0),
    plant_short: ("raw", 1, 0),
    plant_long: ("raw", 1, 0),
    plant_directory: ("raw", 0, 1),
    plant_full_directory: ("raw", 0, 1),
    plant_loop: ("raw", 0, 1),
    plant_index: ("shards", 0, 1),
    plant_no_index: ("shards", 0, 1),
}


def values_are_kept(place: Place, plant: Plant) -> None:
    root = ndzarr.open_group(place.target)
    paths = ["zstd", "raw", "sums", *(["deep/zstd"] if plant is not plant_gone else [])]
    for path in [*paths, *(["shards"] if place.zarr_format == 3 else [])]:
        want = DATA.copy()
        gone, row, column = MISSING.get(plant, ("", 0, 0))
        if path == gone:
            want[5 * row : 5 * row + 5, 5 * column : 5 * column + 5] = -1
        if plant is plant_recorded and path == "raw":
            want[:5, :5] = want[5:, 5:]
        np.testing.assert_array_equal(root[path][:10], want, err_msg=f"{plant.__name__} {place.kind} {path}")


def test_every_kind_of_damage_has_its_words() -> None:
    """The page on checking tells of every kind that a report may have."""
    from ndzarr.checking.report import KINDS as SAID

    page = (Path(__file__).parents[1] / "docs" / "checking.md").read_text("utf-8")
    assert set(KINDS) < set(SAID)
    assert [kind for kind in SAID if f"`{kind}`" not in page] == []


# ---- what else is found ---------------------------------------------------------------------------------------------


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, make: Callable[[str, int], Place], zarr_format: int) -> Place:
    return make(request.param, zarr_format)


def only(report: ndzarr.Report) -> ndzarr.Finding:
    (found,) = [finding for finding in report.findings if finding.level != "note"]
    return found


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"zarr_format": 7}', b"\xff\xfe"], ids=repr)
def test_damaged_documents(place: Place, data: bytes) -> None:
    place.change(f"deep/zstd/{place.document}", lambda _: data)
    report = ndzarr.check(place.target)
    assert [f.where for f in report.findings if f.kind == "metadata"] == [f"deep/zstd/{place.document}"]
    assert not report.ok
    assert not ndzarr.check(place.target, repair=True).ok
    np.testing.assert_array_equal(ndzarr.open_group(place.target)["zstd"][:], DATA)


@pytest.mark.parametrize("name", ["ZSTD", "Zstd", "z\u017ftd"])
def test_names_that_collide(place: Place, name: str) -> None:
    place.do(lambda store: ndzarr.create_array(store, path=name, shape=(3,), dtype="i1", zarr_format=place.zarr_format))
    found = only(ndzarr.check(place.target))
    assert (found.kind, found.level, found.remedy) == ("collision", "warning", None)
    assert "zstd" in found.message or found.where == "zstd"


def test_unicode_forms_collide(place: Place) -> None:
    for name in ("fu\u0308r", "f\u00fcr"):
        place.do(lambda store, name=name: ndzarr.create_array(store, path=name, shape=(3,), dtype="i1"))
    assert only(ndzarr.check(place.target)).kind == "collision"


def test_chunks_by_another_separator_are_never_moved(place: Place) -> None:
    """Data that the wrong separator hides are no leftovers."""
    key = "zstd/0/1" if place.zarr_format == 2 else "zstd/0.1"

    def run(store: Store) -> None:
        store.set(key, store.get(f"zstd/{place.at(0, 1)}"))

    place.do(run)
    found = only(ndzarr.check(place.target))
    assert (found.kind, found.level, found.where, found.remedy) == ("orphan", "error", key, None)
    ndzarr.check(place.target, repair=True)
    store = place.store()
    assert store.exists(key)


def test_chunks_whose_only_document_is_lost() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(4,), chunks=(2,), dtype="i1")[:] = 1
    store.delete("zarr.json")
    report = ndzarr.check(store, repair=True)
    assert [(f.kind, f.level, f.remedy) for f in report.findings] == [("orphan", "error", None)] * 2
    assert sorted(store.list()) == ["c/0", "c/1"]


def test_nodes_without_a_group_and_inside_an_array(place: Place) -> None:
    place.do(lambda store: store.delete("deep/" + (".zgroup" if place.zarr_format == 2 else "zarr.json")))
    place.do(lambda store: ndzarr.create_array(store, path="other", shape=(3,), dtype="i1", zarr_format=place.zarr_format))

    def inside(store: Store) -> None:
        document = store.get(f"other/{place.document}")
        store.set(f"raw/inner/{place.document}", document)
        ndzarr.consolidate(store)

    place.do(inside)
    found = {finding.where: finding for finding in ndzarr.check(place.target).findings}
    assert {where: finding.kind for where, finding in found.items()} == {"deep": "stray", "raw/inner": "stray"}
    assert "create_group" in found["deep"].message
    assert "inside the array 'raw'" in found["raw/inner"].message


def test_other_files_and_locks_of_tensorstore_are_no_damage(place: Place) -> None:
    def run(store: Store) -> None:
        store.set("zstd/README.md", b"hello")
        store.set("deep/.DS_Store", b"")
        store.set(f"zstd/{place.at(0, 0)}.__lock", b"")
        store.set(f"zstd/{place.document}.__lock", b"")

    place.do(run)
    report = ndzarr.check(place.target)
    assert report.ok
    assert {(f.kind, f.where) for f in report.findings} == {("other", "zstd/README.md"), ("other", "deep/.DS_Store")}
    ndzarr.check(place.target, repair=True)
    assert place.store().get("zstd/README.md") == b"hello"


def test_part_of_a_shard_is_kept(make: Callable[[str, int], Place]) -> None:
    for kind in PLACES:
        place = make(kind, 3)
        place.do(
            lambda store: ndzarr.create_array(
                store, path="s", shape=(20,), chunks=(5,), shards=(20,), dtype="i4", fill_value=-1, checksum=True
            ).__setitem__(slice(None), np.arange(20))
        )
        place.do(ndzarr.consolidate)
        place.change("s/c/0", lambda data: data[:2] + bytes([data[2] ^ 1]) + data[3:])
        found = only(ndzarr.check(place.target))
        assert (found.kind, found.where) == ("checksum", "s/c/0")
        assert "inner chunk (0,)" in found.message
        report = ndzarr.check(place.target, repair=True)
        assert "kept" in str(only(report).repaired)
        np.testing.assert_array_equal(ndzarr.open(place.target, path="s")[:], [-1] * 5 + [*range(5, 20)])
        assert ndzarr.check(place.target).ok


def test_a_bomb_is_a_finding(place: Place) -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 << 20))
    place.change(f"zstd/{place.at(0, 0)}", lambda _: bomb)
    place.change(f"raw/{place.at(0, 0)}", lambda data: data * 1000)
    found = {f.where: f for f in ndzarr.check(place.target).findings}
    assert set(found) == {f"zstd/{place.at(0, 0)}", f"raw/{place.at(0, 0)}"}
    assert found[f"raw/{place.at(0, 0)}"].kind == "size"


def test_a_document_that_asks_for_too_much_memory_is_a_finding() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(1 << 50,), chunks=(1 << 50,), dtype="u1", fill_value=0)
    store.set("c/0", b"\x28\xb5\x2f\xfd")
    assert not ndzarr.check(store).ok


def test_sizes_alone() -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(40,), chunks=(10,), dtype="i4", compressor=None)
    z[:] = 1
    store.set("c/0", b"x" * 41)
    store.set("c/1", b"")
    asked: list[str] = []
    traced = ndzarr.FaultStore(store)
    report = ndzarr.check(traced, decode=False)
    asked = [call.op for call in traced.calls() if call.key and call.key.startswith("c/")]
    assert set(asked) == {"size"}
    assert {f.where: f.kind for f in report.findings} == {"c/0": "size", "c/1": "truncated"}
    assert not report.decoded
    assert "sizes only" in str(report)


def test_many_objects_in_one_request() -> None:
    """Of a store far away objects are asked for together; one that fails hides none of the others."""
    from ndzarr.stores.fsspec import FsspecStore

    store = FsspecStore("memory://checked")
    assert store.batched
    z = ndzarr.create_array(store, shape=(100,), chunks=(1,), dtype="i4")
    z[:] = 1
    store.set("c/7", b"garbage")
    store.set("c/70", b"")
    traced = ndzarr.FaultStore(store)
    report = ndzarr.check(traced)
    assert {f.where: f.kind for f in report.findings} == {"c/7": "undecodable", "c/70": "truncated"}
    assert report.chunks == 100
    assert len(traced.calls("get_many")) < 10
    assert ndzarr.check(store, repair=True).ok
    assert (z[:8] == [1, 1, 1, 1, 1, 1, 1, 0]).all()
    store.delete_prefix("")


def test_a_repair_that_is_cut_short_loses_nothing() -> None:
    """StoppedError before any change of the store: what is set aside is there, or still in its place."""
    whole = ndzarr.MemoryStore()
    ndzarr.create_array(whole, shape=(20,), chunks=(5,), shards=(10,), dtype="i4", checksum=True)[:] = np.arange(20)
    whole.set("c/0", bytes([*whole.get("c/0")[:2], whole.get("c/0")[2] ^ 1, *whole.get("c/0")[3:]]))
    whole.set("c/1", b"garbage")
    damaged = {key: bytes(whole.get(key)) for key in whole.list()}

    for n in range(100):
        store = Dying(dict(damaged))
        store.left = n
        try:
            ndzarr.check(store, repair=True)
            break
        except Stop:
            store.left = math.inf
        assert {damaged["c/0"], damaged["c/1"]} <= {bytes(store.get(key)) for key in store.list()}
        np.testing.assert_array_equal(ndzarr.open(store)[5:10], np.arange(5, 10))
        assert ndzarr.check(store, repair=True).ok
        assert ndzarr.check(store).ok
    assert n == 4  # a copy and a shard without its damaged chunk; a copy and a deletion


# ---- what a store cannot give ---------------------------------------------------------------------------------------


class Failing(ndzarr.MemoryStore):
    """Refuses some keys, and the listing of some folders."""

    refused = ""

    def get(self, key: str, range: Any = None) -> Any:
        self._refuse(key)
        return super().get(key, range)

    def list(self, prefix: str = "") -> Any:
        for key in super().list(prefix):
            self._refuse(key)
            yield key

    def list_dir(self, prefix: str = "") -> Any:
        self._refuse(prefix)
        names = {key[len(prefix) :].partition("/") for key in ndzarr.MemoryStore.list(self, prefix)}
        return sorted({head + slash for head, slash, _ in names})

    def _refuse(self, key: str) -> None:
        if self.refused and key.startswith(self.refused):
            raise ndzarr.StoreError(f"cannot read {key!r}: permission denied", store=self.url, key=key)


def test_failures_are_findings_and_hide_nothing_else() -> None:
    store = Failing()
    build(store, 3)
    store.set("zstd/c/0/1", b"garbage")
    store.refused = "deep/"
    report = ndzarr.check(store)
    assert {f.where: f.kind for f in report.findings} == {"deep": "unreadable", "zstd/c/0/1": "undecodable"}
    store.refused = "raw/zarr.json"
    kinds = {f.where: f.kind for f in ndzarr.check(store).findings}
    assert kinds == {"raw": "unreadable", "zstd/c/0/1": "undecodable"}


def test_a_chunk_that_cannot_be_read_is_a_finding() -> None:
    inner = ndzarr.MemoryStore()
    build(inner, 3)

    class Refusing(ndzarr.MemoryStore):
        def get(self, key: str, range: Any = None) -> Any:
            if key == "raw/c/0/0":
                raise ndzarr.StoreError(f"cannot read {key!r}: timeout", key=key)
            return super().get(key, range)

    refusing = Refusing({key: inner.get(key) for key in inner.list()})
    found = only(ndzarr.check(refusing))
    assert (found.kind, found.where, found.remedy) == ("unreadable", "raw/c/0/0", None)


def test_a_store_that_says_nothing_raises(tmp_path: Path) -> None:
    class Dead(ndzarr.MemoryStore):
        def list(self, prefix: str = "") -> Any:
            raise ndzarr.StoreError("cannot list: no route to host")

    with pytest.raises(ndzarr.StoreError, match="no route"):
        ndzarr.check(Dead())
    (tmp_path / "x.zip").write_bytes(b"PK no archive")
    with pytest.raises(ndzarr.StoreError, match="zip"):
        ndzarr.check(tmp_path / "x.zip")
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.check(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "draft.txt").write_text("no array")
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.check(tmp_path / "papers")


# ---- transactions and writers ---------------------------------------------------------------------------------------


def test_a_damaged_record_is_a_finding_and_the_rest_is_looked_at(make: Callable[[str, int], Place]) -> None:
    place = make("directory", 3)
    plant_recorded(place)
    (record,) = place.target.glob(".ndzarr/transactions/*/record")
    record.write_bytes(b"00000000\n{}")
    place_chunk = place.target / "zstd" / "c/0/0"
    place_chunk.write_bytes(b"garbage")
    before = place.files()
    report = ndzarr.check(place.target)
    assert place.files() == before
    assert {f.kind for f in report.findings} == {"transaction", "undecodable"}
    repaired = ndzarr.check(place.target, repair=True)
    assert {f.kind for f in repaired.findings if f.failed} == {"undecodable"} | (
        {"transaction"} if any(f.failed for f in repaired.findings if f.kind == "transaction") else set()
    )
    assert not repaired.ok


@pytest.mark.skipif(not filelocks.AVAILABLE, reason="no transactions on directories here")
def test_a_transaction_under_way_is_a_note_and_is_left_alone(make: Callable[[str, int], Place]) -> None:
    place = make("directory", 3)
    z = ndzarr.open_array(place.target, path="raw", mode="r+")
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with ndzarr.transaction(z.store):
            z[:] = 7
            begun.set()
            assert done.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        report = ndzarr.check(place.target)
        assert report.ok
        assert {(f.kind, f.level) for f in report.findings} == {("transaction", "note")}
    finally:
        done.set()
        writer.join()
    assert (ndzarr.open_array(place.target, path="raw")[:] == 7).all()
    assert not ndzarr.check(place.target).findings


def test_a_repair_waits_for_a_writer_and_then_looks_again() -> None:
    """What was written anew between the look and the repair is not moved."""
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(8,), chunks=(4,), dtype="i4")
    z[:] = 1
    store.set("c/1", b"garbage")
    started = threading.Event()
    results: list[ndzarr.Report] = []

    def repair() -> None:
        started.set()
        results.append(ndzarr.check(store, repair=True))

    with store.lock("c/1"):
        thread = threading.Thread(target=repair)
        thread.start()
        started.wait()
        thread.join(0.3)
        assert thread.is_alive()
        good = bytes(store.get("c/0"))
        store.set("c/1", good)
    thread.join(60)
    assert [report.ok for report in results] == [True]
    assert store.get("c/1") == good
    assert not [key for key in store.list() if SUSPECTS in key]


def test_rows_that_are_being_appended_are_no_orphans() -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(4,), chunks=(4,), dtype="i4")
    z[:] = 1
    store.set("c/1", bytes(store.get("c/0")))
    (found,) = ndzarr.check(store).findings
    assert found.kind == "orphan"
    document = json.loads(bytes(store.get("zarr.json")))
    # The writer has gone on to the shape by the time that the repair has the array's lock.
    original = ndzarr.MemoryStore.lock_node

    def lock_node(self: Any, key: str) -> Any:
        store.set("zarr.json", json.dumps({**document, "shape": [8]}).encode())
        return original(self, key)

    store.lock_node = lock_node.__get__(store)
    report = ndzarr.check(store, repair=True)
    assert "by now" in str(only(report).repaired)
    assert store.exists("c/1")


def test_checks_of_what_can_only_be_read(make: Callable[[str, int], Place]) -> None:
    place = make("memory", 3)
    readonly = ndzarr.ReadOnlyStore(place.target)
    assert ndzarr.check(readonly).ok
    with pytest.raises(ndzarr.ReadOnlyError):
        ndzarr.check(readonly, repair=True)


def test_what_may_be_checked(make: Callable[[str, int], Place]) -> None:
    """A path in it, a node, a store around a store: a report is about what is named, and nothing else."""
    place = make("memory", 3)
    store = place.target
    store.set("zstd/c/0/0", b"garbage")
    store.set("deep/zstd/c/0/0", b"garbage")
    root = ndzarr.open_group(store)
    for report in (
        ndzarr.check(store, "deep"),
        ndzarr.check(root["deep"]),
        ndzarr.check(root["deep/zstd"]),
        ndzarr.check(root, "deep/zstd"),
    ):
        assert [f.where for f in report.findings] == ["deep/zstd/c/0/0"]
    assert [f.where for f in ndzarr.check(ndzarr.PrefixStore(store, "deep")).findings] == ["zstd/c/0/0"]
    assert ndzarr.check(store, "raw").ok
    repaired = ndzarr.check(ndzarr.PrefixStore(store, "deep"), repair=True)
    assert repaired.ok
    assert [f.where for f in ndzarr.check(store).findings if f.level == "error"] == ["zstd/c/0/0"]
    assert [key for key in store.list() if SUSPECTS in key] == [f"deep/zstd/{SUSPECTS}/c/0/0.suspect"]


def test_a_second_suspect_does_not_replace_the_first(place: Place) -> None:
    key = f"zstd/{place.at(0, 0)}"
    for text in (b"first", b"second", b"third"):
        place.change(key, lambda _, text=text: text)
        assert ndzarr.check(place.target, repair=True).ok
    if place.kind == "directory":
        kept = {path.read_bytes() for path in (place.target / "zstd/.ndzarr/suspects").rglob("*") if path.is_file()}
    else:
        store = place.store()
        kept = {bytes(store.get(name)) for name in store.list() if SUSPECTS in name}
    assert kept == {b"first", b"second", b"third"}


def test_suspects_are_no_members_and_no_chunks(place: Place) -> None:
    plant_both_formats(place)
    place.change(f"zstd/{place.at(0, 0)}", lambda _: b"garbage")
    assert ndzarr.check(place.target, repair=True).ok
    root = ndzarr.open_group(place.target)
    assert SUSPECTS not in list(root)
    assert not [path for path, _ in root.members(max_depth=None) if SUSPECTS in path]
    place.do(ndzarr.consolidate)
    assert ndzarr.check(place.target).ok


def test_progress_is_told() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(100,), chunks=(1,), dtype="i4", compressor=None)[:] = 1
    store.set("notes.txt", b"none of Zarr's")
    told: list[tuple[int, int]] = []
    ndzarr.check(store, progress=lambda *step: told.append(step))
    assert told == [(n, 101) for n in range(1, 102)]


def test_progress_counts_what_cannot_be_looked_at(make: Callable[[str, int], Place]) -> None:
    place = make("memory", 3)
    place.change("zstd/zarr.json", lambda _: b"{")
    place.change("stray/c/0/0", lambda _: b"x")
    place.change("raw/c/9/9", lambda _: b"x")
    told: list[tuple[int, int]] = []
    assert not ndzarr.check(place.target, progress=lambda *step: told.append(step)).ok
    assert [done for done, _ in told] == list(range(1, told[0][1] + 1))


def test_arrays_that_need_what_is_not_here_are_noted() -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=(4,), dtype="i4", zarr_format=2, compressor=None)
    z[:] = 1
    document = json.loads(bytes(store.get(".zarray")))
    for filters in ([{"id": "pickle"}], [{"id": "of-another-library"}]):
        store.set(".zarray", json.dumps({**document, "dtype": "|O", "filters": filters, "fill_value": None}).encode())
        report = ndzarr.check(store)
        assert [(f.kind, f.level) for f in report.findings] == [("unchecked", "note")], report


# ---- the report and the command -------------------------------------------------------------------------------------


def test_the_report_says_first_whether_data_are_lost(make: Callable[[str, int], Place]) -> None:
    place = make("memory", 3)
    assert str(ndzarr.check(place.target)).startswith("OK: no damage found\n")
    plant_stale(place)
    assert str(ndzarr.check(place.target)).startswith("NO DATA LOST: 1 thing found that is not in order\n")
    for n in range(7):
        place.change(f"zstd/{place.at(9, n)}", lambda _: b"x")
    plant_undecodable(place)
    report = ndzarr.check(place.target)
    lines = str(report).splitlines()
    assert lines[0] == "DATA DAMAGED: 1 object cannot be read, all else can"
    assert "zstd/c/0/1" in str(report)
    document = json.loads(report.to_json())
    assert document["ok"] is False
    assert document["arrays"] == 5
    assert {finding["kind"] for finding in document["findings"]} == {f.kind for f in report.findings}
    assert max(map(len, lines)) < 200


def test_the_command(make: Callable[[str, int], Place], capsys: pytest.CaptureFixture[str]) -> None:
    place = make("directory", 3)
    assert main(["check", str(place.target)]) == 0
    assert capsys.readouterr().out.startswith("OK")
    plant_undecodable(place)
    plant_leftover(place)
    assert main(["check", str(place.target), "raw"]) == 0
    assert main(["check", str(place.target)]) == 1
    capsys.readouterr()
    assert main(["check", str(place.target), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert {finding["kind"] for finding in document["findings"]} == {"undecodable", "leftover"}
    assert main(["check", str(place.target), "--repair"]) == 0
    assert "suspects" in capsys.readouterr().out
    assert main(["check", str(place.target), "--no-decode"]) == 0
    assert main(["check", str(place.target), "../up"]) == 2
    assert main(["check", str(place.target / "nowhere")]) == 1
    with pytest.raises(SystemExit) as exit_:
        main(["check", str(place.target), "--mend"])
    assert exit_.value.code == 2
