"""Statistics kept beside an array: never believed when they are not so, and worth something when they are."""

from __future__ import annotations

import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings, strategies as st

import ndzarr
from ndzarr.errors import MetadataError
from ndzarr.keys import STATISTICS
from ndzarr.statistics import record as records
from ndzarr.statistics.interval import Interval, Truth, ask
from ndzarr.statistics.trust import trusted
from ndzarr.stores.base import ABSENT
from ndzarr.stores.fileevidence import file_evidence
from ndzarr.stores.wrapper import WrapperStore
from tests.places import place

#: Blocks of any size go by the form that prunes: below some size NumPy itself does it all.
SMALL = {"working_memory": 1 << 10}
REDUCTIONS = [np.max, np.min, np.nanmax, np.nanmin]


def agrees(z: Any, a: Any) -> None:
    """Everything that statistics can answer is what NumPy says of `a`."""
    with ndzarr.options(**SMALL), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN slices, which NumPy warns of too
        for function in REDUCTIONS:
            for axis in (None, *range(a.ndim), tuple(range(a.ndim))):
                for keepdims in (False, True)[: 2 if a.ndim < 3 else 1]:
                    want = function(a, axis=axis, keepdims=keepdims)
                    found = function(z, axis=axis, keepdims=keepdims)
                    assert np.asarray(found).dtype == np.asarray(want).dtype
                    np.testing.assert_array_equal(found, want)
        for found, want in zip(np.nonzero(z), np.nonzero(a), strict=True):
            np.testing.assert_array_equal(found, want)
        np.testing.assert_array_equal(np.argwhere(z), np.argwhere(a))
        np.testing.assert_array_equal(np.flatnonzero(z), np.flatnonzero(a))
        values = a.reshape(-1)
        for t in (values[0], values[-1], values[values.size // 2]):
            for predicate in predicates(t, a.dtype):
                want = predicate(a)
                for found, index in zip(z.where(predicate), np.nonzero(want), strict=True):
                    np.testing.assert_array_equal(found, index)
                np.testing.assert_array_equal(z.argwhere(predicate), np.argwhere(want))


def predicates(t: Any, dtype: Any) -> list[Any]:
    found = [
        lambda b: b > t,
        lambda b: t > b,
        lambda b: np.less_equal(b, t) | (b == t),
        lambda b: ~(b != t) & np.greater_equal(t, b),
        lambda b: (b == b) & (b < t),  # wants more than bounds
        lambda b: b.astype(bool),
    ]
    if dtype.kind == "f":
        found += [np.isnan, lambda b: ~np.isnan(b) & (b >= 0.1), lambda b: b != np.nan, lambda b: b > np.float32(1)]
    elif dtype.kind in "mM":
        found += [np.isnat]
    else:
        found += [lambda b: b > 2.5, lambda b: b != -1]
    return found


def some_array(rng: Any, dtype: Any, shape: Any) -> Any:
    kind = np.dtype(dtype)
    a = rng.integers(0, 5, shape).astype("i8") + np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1)) * 5
    if kind.kind == "b":
        return a > 12
    b = (a % 100).astype(kind.newbyteorder("="))
    if kind.kind in "fmM" and rng.random() < 0.7:
        b[rng.random(shape) < 0.1] = np.nan if kind.kind == "f" else "NaT"
        b[: int(rng.integers(0, 3))] = np.nan if kind.kind == "f" else "NaT"
    return b


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_it_is_numpy_after_any_writes(data: Any, tmp_path_factory: Any) -> None:
    after_any_writes(data, tmp_path_factory)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_it_is_numpy_after_very_many_writes(data: Any, tmp_path_factory: Any) -> None:
    after_any_writes(data, tmp_path_factory)


def after_any_writes(data: Any, tmp_path_factory: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype = data.draw(st.sampled_from(["i4", "u1", "f4", "f8", "f2", "?", "M8[s]", "m8[D]", "u8", ">f4", ">i8"]))
    ndim = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(3, (20, 9, 5)[ndim - 1])) for _ in range(ndim))
    chunks = tuple(data.draw(st.integers(1, 4)) for _ in shape)
    shards = tuple(2 * n for n in chunks) if data.draw(st.booleans()) else None
    place = data.draw(st.sampled_from(["memory", "local", "mapping"]))
    store: Any = {"memory": None, "mapping": {}}.get(place) if place != "local" else str(tmp_path_factory.mktemp("z"))
    a = some_array(rng, dtype, shape)
    more: dict[str, Any] = {"zarr_format": 2} if dtype[0] == ">" else {"shards": shards}
    codec = rng.choice(np.array(["zstd", None], object))
    z = ndzarr.create_array(store, shape=shape, dtype=dtype, chunks=chunks, compressor=codec, **more)
    z[...] = a
    z.collect_statistics()
    agrees(z, a)
    for _ in range(data.draw(st.integers(1, 4))):
        what = data.draw(st.sampled_from(["write", "all", "blank", "grow", "shrink", "append", "collect"]))
        if what == "write":
            box = tuple(slice(int(i), int(i) + 2) for i in rng.integers(0, shape))
            z[box] = a[box] = some_array(rng, dtype, a[box].shape)
        elif what == "all":
            a[...] = some_array(rng, dtype, a.shape)
            z[...] = a
        elif what == "blank":
            a[: 1 + a.shape[0] // 2] = np.zeros((), a.dtype) if a.dtype.kind not in "mM" else np.array("NaT", a.dtype)
            z[: 1 + a.shape[0] // 2] = a[: 1 + a.shape[0] // 2]
        elif what == "grow":
            new = tuple(n + int(rng.integers(0, 4)) for n in a.shape)
            grown = np.full(new, 0 if z.fill_value is None else z.fill_value, a.dtype)
            grown[tuple(slice(0, n) for n in a.shape)] = a
            a = grown
            z.resize(new)
        elif what == "shrink":
            new = tuple(max(1, n - int(rng.integers(0, 3))) for n in a.shape)
            a = a[tuple(slice(0, n) for n in new)].copy()
            z.resize(new)
        elif what == "append":
            rows = some_array(rng, dtype, (2, *a.shape[1:]))
            a = np.concatenate([a, rows])
            z.append(rows)
        else:
            z.collect_statistics()
        shape = a.shape
        agrees(z, a)


def counted(store: Any, z: Any) -> int:
    """How many requests read chunks."""
    prefix = z.path + "/" if z.path else ""
    return sum(
        record.key != prefix + STATISTICS
        for record in store.records
        if record.op in ("get", "get_tagged", "get_many", "get_many_tagged", "get_each")
    )


@pytest.fixture
def sorted_array(tmp_path: Path) -> tuple[Any, Any, Any]:
    store = ndzarr.RecordingStore(ndzarr.LocalStore(tmp_path / "sorted.zarr"))
    a = np.arange(1_000_000.0).reshape(1000, 1000)
    z = ndzarr.create_array(store, shape=a.shape, dtype=a.dtype, chunks=(20, 100))
    z[...] = a
    z.collect_statistics()
    store.clear()
    return store, z, a


def test_sorted_data_are_hardly_read(sorted_array: Any, record_property: Any) -> None:
    store, z, a = sorted_array
    most = z.nchunks / 10
    for function in REDUCTIONS:
        for axis in (None, 0):
            store.clear()
            np.testing.assert_array_equal(function(z, axis=axis), function(a, axis=axis))
            read = counted(store, z)
            assert read < most
            record_property(f"count: chunks read of {z.nchunks} by {function.__name__} of axis {axis}", read)
    store.clear()
    (rows, columns) = z.where(lambda b: (b > 987_654.0) & ~(b == 999_999.0))
    np.testing.assert_array_equal(rows * 1000 + columns, np.arange(987_655, 999_999))
    read = counted(store, z)
    assert read < most
    record_property(f"count: chunks read of {z.nchunks} by where", read)
    store.clear()
    assert z.argwhere(lambda b: b < 0).shape == (0, 2)
    assert counted(store, z) == 0
    reads = threading.Event()

    def asked(b: Any) -> Any:
        if isinstance(b, np.ndarray):
            reads.set()
        return b >= 0

    assert z.where(asked)[0].size == a.size
    assert not reads.is_set()  # all of them: no chunk was needed


def test_a_write_of_another_program_is_seen(sorted_array: Any) -> None:
    store, z, a = sorted_array
    path = store.inner.root
    theirs = zarr.open_array(path, mode="r+")
    for spot, value in [((0, 0), 2e6), ((999, 999), 1.0), ((500, 500), -5.0), ((3, 3), np.nan), ((3, 3), 0.0)]:
        theirs[spot] = a[spot] = value
        for handle in (z, ndzarr.open(path)):
            for function in REDUCTIONS:
                np.testing.assert_array_equal(function(handle), function(a))
                np.testing.assert_array_equal(function(handle, axis=0), function(a, axis=0))
            np.testing.assert_array_equal(handle.argwhere(lambda b: b > 999_990), np.argwhere(a > 999_990))
    before = store.counts().requests["get"]
    told = z.statistics
    assert told is not None
    assert 1 <= np.count_nonzero(~told.known) <= 4
    assert store.counts().requests["get"] - before <= 6  # those that were written, and the record


@pytest.mark.parametrize("times", [False, True])
def test_same_size_same_time_same_file(tmp_path: Path, times: bool) -> None:
    """Raw chunks rewritten in place, with the old modification time put back: neither size, name, inode nor mtime tell."""
    a = np.arange(64.0).reshape(8, 8)
    z = ndzarr.create_array(str(tmp_path / "z"), shape=(8, 8), dtype="f8", chunks=(2, 2), compressor=None)
    z[...] = a
    z.collect_statistics()
    for step in range(30):
        spot = (2 * (step % 4), 2 * (step % 3))
        file = tmp_path / "z" / "c" / str(spot[0] // 2) / str(spot[1] // 2)
        info = file.stat()
        data = bytearray(file.read_bytes())
        a[spot] = np.frombuffer(data, "f8")[0] + 1000 + step
        data[:8] = a[spot].tobytes()
        with open(file, "r+b") as opened:  # in place
            opened.write(data)
        if times:
            os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
        assert file.stat().st_ino == info.st_ino
        with ndzarr.options(**SMALL):
            assert np.max(z) == a.max()
            np.testing.assert_array_equal(z.argwhere(lambda b: b >= 1000), np.argwhere(a >= 1000))
        if step % 5 == 0:
            z.collect_statistics()  # at once after a write: the clock may not have ticked in between


def test_collecting_beside_a_writer(tmp_path: Path) -> None:
    """Whatever is written while statistics are collected, they are not believed of what was not there when they were."""
    z = ndzarr.create_array(str(tmp_path / "z"), shape=40, dtype="i8", chunks=2, compressor=None)
    z[:] = 1
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            z[n % 40] = n

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(8):
            z.collect_statistics()
    finally:
        stop.set()
        thread.join()
    with ndzarr.options(**SMALL):
        a = z[...]
        agrees(z, a)


# ---- evidence --------------------------------------------------------------------------------


def test_evidence_of_files(tmp_path: Path) -> None:
    store = ndzarr.LocalStore(tmp_path)
    store.set("a", b"1")
    assert store.evidence(["a", "b"]) == [None, ABSENT]  # too young
    time.sleep(0.12)
    (first,) = store.evidence(["a"])
    assert first is not None
    assert first == file_evidence(f"{tmp_path}/", ["a"])[0]
    for change in (
        lambda: (tmp_path / "a").write_bytes(b"2"),
        lambda: os.utime(tmp_path / "a", ns=(1, 1)),
        lambda: store.set("a", b"1"),
    ):
        (before,) = store.evidence(["a"])
        change()
        assert store.evidence(["a"]) != [before]
        time.sleep(0.12)
        assert store.evidence(["a"]) not in ([before], [None], [first])
    with store.transaction():
        assert store.evidence(["a"]) == [None]
    assert ndzarr.CachedStore(store).evidence(["a"]) == [None]
    assert ndzarr.PrefixStore(ndzarr.LocalStore(tmp_path.parent), tmp_path.name).evidence(["a"]) == store.evidence(["a"])
    assert ndzarr.MemoryStore().evidence(["a"]) == [None]


def test_a_large_file_may_still_be_written(tmp_path: Path, monkeypatch: Any) -> None:
    """A write in place has one stamp, of its beginning: what lies there in the middle of it must not look like its end."""
    from ndzarr.stores import fileevidence

    with open(tmp_path / "a", "wb") as opened:
        opened.truncate(200_000_000)  # a hole
    changed = (tmp_path / "a").stat().st_ctime_ns
    for age_ms, known in [(50, False), (150, False), (2000, False), (2110, True)]:
        monkeypatch.setattr(fileevidence.time, "time_ns", lambda age_ms=age_ms: changed + age_ms * 1_000_000)
        assert (file_evidence(f"{tmp_path}/", ["a"]) != [None]) == known


@pytest.mark.parametrize("how", [{"compressor": None}, {"shards": 16_000_000}])
def test_collecting_waits_for_middling_objects(how: dict[str, Any], tmp_path: Path) -> None:
    """As long as their own sizes ask for; 128 MB of ones are few bytes."""
    z = ndzarr.create_array(str(tmp_path / "z"), shape=4_000_000, dtype="f8", chunks=1_000_000, **how)
    z[:] = 1
    z.collect_statistics()
    found = trusted(z._engine, fetch=False)
    assert found is not None
    assert found.chunks.all()


def test_no_evidence_on_file_systems_that_are_not_known(tmp_path: Path, monkeypatch: Any) -> None:
    from ndzarr.stores import fileevidence

    (tmp_path / "a").write_bytes(b"")
    os.utime(tmp_path / "a")
    time.sleep(0.12)
    monkeypatch.setattr(fileevidence, "_kinds", {os.stat(tmp_path).st_dev: (False, time.monotonic())})
    assert file_evidence(f"{tmp_path}/", ["a", "b"]) == [None, None]
    assert fileevidence._looked_up(os.makedev(250, 250)) is False


class Falling(WrapperStore):
    """Keys that `inner` does not have are those of another store: written when `evidence` was not known yet."""

    def __init__(self, inner: Any, other: Any) -> None:
        super().__init__(inner)
        self.other = other

    def get(self, key: str, range: Any = None) -> Any:
        found = self.inner.get(key, range)
        return self.other.get(key, range) if found is None else found

    def get_many(self, requests: Any) -> Any:
        return [self.get(key, range) for key, range in requests]

    def get_each(self, requests: Any) -> Any:
        yield from enumerate(self.get_many(requests))


@pytest.mark.parametrize("base", ["wrapper", "prefix", "readonly", "recording", "local"])
def test_a_store_of_somebody_else_is_not_answered_for(base: str, tmp_path: Path) -> None:
    """Evidence is of what the files say, and a subclass may say something else."""
    local = ndzarr.LocalStore(tmp_path / "a")
    local.set("p/a", b"1")
    time.sleep(0.12)
    kinds: dict[str, Any] = {
        "wrapper": WrapperStore,
        "prefix": ndzarr.PrefixStore,
        "readonly": ndzarr.ReadOnlyStore,
        "recording": ndzarr.RecordingStore,
        "local": ndzarr.LocalStore,
    }
    kind = kinds[base]
    own = type("Own", (kind,), {})
    given = (tmp_path / "a",) if base == "local" else (local, "p") if base == "prefix" else (local,)
    keys = ["a", "b"] if base == "prefix" else ["p/a", "p/b"]
    assert kind(*given).evidence(keys) == [local.evidence(["p/a"])[0], ABSENT]
    assert own(*given).evidence(keys) == [None, None]


def test_chunks_of_a_store_behind_another(tmp_path: Path) -> None:
    z = ndzarr.create_array(str(tmp_path / "old"), shape=100, dtype="i4", chunks=10)
    z[:] = np.arange(100)
    ndzarr.create_array(str(tmp_path / "new"), shape=100, dtype="i4", chunks=10)
    both = ndzarr.open(Falling(ndzarr.LocalStore(tmp_path / "new"), z.store), "r+")
    np.testing.assert_array_equal(both[...], np.arange(100))
    both.collect_statistics()
    agrees(both, np.arange(100, dtype="i4"))


def test_weak_tags_are_no_evidence() -> None:
    from ndzarr.stores.objectstore import _is_strong

    assert [_is_strong(tag) for tag in ('"a"', 'W/"a"', "", None)] == [True, False, False, False]


def test_stores_without_evidence_are_asked_for_the_bytes(record_property: Any) -> None:
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=1000, dtype="f8", chunks=10)
    z[:] = np.arange(1000)
    z.collect_statistics()
    store.clear()
    seen = 0

    def predicate(b: Any) -> Any:
        nonlocal seen
        seen += isinstance(b, np.ndarray)
        return b > 985

    assert z.where(predicate)[0].tolist() == list(range(986, 1000))
    assert seen == 1  # of 100
    assert counted(store, z) == 101
    record_property("count: chunks decoded of 100, all fetched", seen)


@pytest.mark.parametrize("where", [("moto", "obstore"), ("azurite", "obstore"), ("moto", "fsspec")], ids="-".join)
def test_on_servers(where: tuple[str, str], request: pytest.FixtureRequest, record_property: Any) -> None:
    """The tags of a server say what is still so; a client without tags fetches, and decodes nothing."""
    mine, theirs = place(request, *where), ndzarr.MemoryStore()
    store = ndzarr.RecordingStore(mine.store())
    a = np.arange(800.0).reshape(40, 20)
    z = ndzarr.create_array(store, shape=a.shape, dtype="f8", chunks=(1, 20))
    z[...] = a
    z.collect_statistics()
    other = ndzarr.create_array(theirs, shape=a.shape, dtype="f8", chunks=(1, 20))
    for step in range(2):
        store.clear()
        seen = 0

        def predicate(b: Any) -> Any:
            nonlocal seen
            seen += isinstance(b, np.ndarray)
            return b > 785

        np.testing.assert_array_equal(z.argwhere(predicate), np.argwhere(a > 785))
        assert seen == 1 + 2 * step
        if where[1] == "obstore":
            # Those that have changed are fetched for their digest, and to be decoded.
            assert counted(store, z) == 1 + 4 * step
            record_property("count: chunks read of 40 from a server by where", counted(store, z))
        with ndzarr.options(**SMALL):
            assert np.max(z) == a.max()
        # Another program writes two objects, one of them with as many bytes as before.
        for row in (3, 20):
            other[row] = a[row] = 790 + row
            mine.store().set(f"c/{row}/0", theirs.get(f"c/{row}/0"))


# ---- the record --------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_other_programs_do_not_stumble(tmp_path: Path, zarr_format: int) -> None:
    g = ndzarr.create_group(str(tmp_path / "g"), zarr_format=zarr_format)
    z = g.create_array("a/z", shape=(6, 6), dtype="f4", chunks=(2, 2))
    z[...] = np.arange(36).reshape(6, 6)
    z.collect_statistics()
    assert (tmp_path / "g" / "a" / "z" / STATISTICS).exists()
    theirs = zarr.open_group(str(tmp_path / "g"), mode="r+", use_consolidated=False)
    assert sorted(dict(theirs.members(max_depth=None))) == ["a", "a/z"]
    np.testing.assert_array_equal(theirs["a/z"][...], z[...])
    assert theirs["a/z"].nchunks_initialized == 9
    assert [name for name, _ in g.members(None)] == ["a", "a/z"]
    assert list(g["a"]) == ["z"]
    report = ndzarr.check(tmp_path / "g")
    assert report.ok
    assert not report.findings
    ndzarr.consolidate(str(tmp_path / "g"))
    assert ndzarr.check(tmp_path / "g").ok


def test_copies_and_moves_carry_it_along_and_believe_nothing_else(tmp_path: Path) -> None:
    a = np.arange(100.0)
    z = ndzarr.create_array(str(tmp_path / "a"), path="z", shape=100, dtype="f8", chunks=10)
    z[:] = a
    z.collect_statistics()
    ndzarr.copy(z, str(tmp_path / "b"), path="z")
    b = ndzarr.open(str(tmp_path / "b"), "r+", path="z")
    assert b.statistics.complete  # by the digests of their bytes
    b[55] = -7
    assert not b.statistics.complete
    with ndzarr.options(**SMALL):
        assert (np.min(b), np.min(z)) == (-7, 0)
    ndzarr.move(b, str(tmp_path / "b"), path="y")
    moved = ndzarr.open(str(tmp_path / "b"), path="y")
    assert np.count_nonzero(moved.statistics.known) == 9
    made = ndzarr.convert(z, str(tmp_path / "c"), zarr_format=2, chunks=30)
    assert made.statistics is None
    ndzarr.delete(str(tmp_path / "a"), path="z")
    assert not (tmp_path / "a" / "z").exists()


def test_an_array_in_the_place_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    path = str(tmp_path / "z")
    z = ndzarr.create_array(path, shape=16, dtype="i4", chunks=2, compressor=None)
    z[:] = np.arange(16)
    z.collect_statistics()
    kept = (tmp_path / "z" / STATISTICS).read_bytes()
    z = ndzarr.create_array(path, shape=16, dtype="f4", chunks=2, compressor=None, overwrite=True)
    assert z.statistics is None
    z[:] = np.arange(16, dtype="i4").view("f4")  # the same bytes
    (tmp_path / "z" / STATISTICS).write_bytes(kept)
    assert z.statistics is None
    with ndzarr.options(**SMALL):
        assert np.max(z) == z[...].max()


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "future", "columns"])
def test_a_damaged_record_is_none(damage: str) -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=64, dtype="i4", chunks=4)
    z[:] = np.arange(64)
    z.collect_statistics()
    good = bytes(store.get(STATISTICS))
    found = records.from_bytes(good, z._engine.meta, z._engine.layout)
    assert found is not None
    if damage == "columns":
        found.low = found.low[:-1]
        bad = records.to_bytes(found)
    else:
        middle = len(good) // 2
        bad = {
            "cut": good[:-5],
            "bit": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "empty": b"",
            "future": good.replace(b"statistics 1 ", b"statistics 2 ", 1),
        }[damage]
    store.set(STATISTICS, bad)
    with pytest.raises(MetadataError):
        records.from_bytes(bad, z._engine.meta, z._engine.layout)
    assert z.statistics is None
    with ndzarr.options(**SMALL):
        assert np.max(z) == 63
    report = ndzarr.check(store)
    assert report.ok
    assert [finding.kind for finding in report.findings] == ["statistics"]
    z.collect_statistics()
    assert z.statistics.complete
    assert not ndzarr.check(store).findings


def test_it_says_what_is_known(tmp_path: Path) -> None:
    a = np.array([[1, np.nan, 3], [4, 5, np.inf]])
    z = ndzarr.array(a, chunks=(1, 2))
    assert z.statistics is None
    steps: list[tuple[int, int]] = []
    told = z.collect_statistics(progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (4, 4)
    assert told.complete
    assert told.total == {"min": 1, "max": np.inf, "nan_count": 1, "sum": np.inf, "count": 6}
    assert told.nan_count.tolist() == [[1, 0], [0, 0]]
    assert told.count.tolist() == [[2, 1], [2, 1]]
    assert '"max": "inf"' in told.to_json()
    assert "nan count" in str(told)
    z[0, 0] = 7
    again = z.statistics
    assert again.known.tolist() == [[False, True], [True, True]]
    assert again.total["min"] == 3
    for other in (ndzarr.array(["a", "b"], chunks=1), ndzarr.array([1j, 2], chunks=1), ndzarr.array(np.zeros(2, "i4,f4"))):
        told = other.collect_statistics()
        assert told.complete
        assert told.min is None
        assert told.sum is None
        assert told.total["count"] == 2
    for empty in (ndzarr.zeros((0, 3)), ndzarr.array(5.0)):
        assert empty.collect_statistics().total["count"] == empty.size
    with pytest.raises(ndzarr.ReadOnlyError):
        ndzarr.open(z.store).collect_statistics()
    with pytest.raises(ndzarr.MemoryLimitError):
        ndzarr.zeros((1 << 23,), chunks=1).collect_statistics()


def test_collecting_again_decodes_what_has_changed(monkeypatch: Any, tmp_path: Path, record_property: Any) -> None:
    from ndzarr.statistics import collecting

    z = ndzarr.create_array(str(tmp_path / "z"), shape=1000, dtype="f8", chunks=10, shards=50)
    z[:] = np.arange(1000)
    z.collect_statistics()
    z[123] = 5
    seen = []
    true = collecting.summary_of
    monkeypatch.setattr(collecting, "summary_of", lambda chunk: (seen.append(chunk), true(chunk))[1])
    z.collect_statistics()
    assert len(seen) == 5  # the chunks of one shard
    record_property("count: chunks decoded of 100 after one write", len(seen))
    assert z.statistics.min.tolist()[12] == 5


@pytest.mark.parametrize("shards", [None, 20])
def test_writes_know_nothing_of_statistics(shards: int | None, tmp_path: Path, record_property: Any) -> None:
    """Not a request more, with statistics beside the array or without, and none is for the record."""
    made = []
    for known in (False, True):
        store = ndzarr.RecordingStore(ndzarr.LocalStore(tmp_path / str(known)))
        z = ndzarr.create_array(store, shape=100, dtype="i8", chunks=5, shards=shards)
        z[:] = 1
        if known:
            z.collect_statistics()
        store.clear()
        z[:] = np.arange(100)
        z[3:77] = 5
        z[50] = 7
        z.append(np.arange(30))
        z.resize(90)
        ndzarr.open(store, "r+")[:10] = 0
        made.append([(record.op, record.key) for record in store.records])
        assert not [key for _, key in made[-1] if STATISTICS in key]
    assert sorted(made[0]) == sorted(made[1])
    record_property("count: requests of six writes, with statistics and without", len(made[0]))


def test_missing_raise_is_not_passed_over() -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(store, shape=64, dtype="i4", chunks=4)
    z[:32] = 1
    z.collect_statistics()
    for call in (lambda z: np.max(z), lambda z: z.where(lambda b: b > 5), lambda z: np.argwhere(z)):
        with pytest.raises(ndzarr.MissingChunkError):
            call(ndzarr.open(store, missing="raise"))


@pytest.mark.parametrize("known", [False, True])
def test_places_stay_within_limits(known: bool) -> None:
    """A million million zeros, of which all are looked for: an error at once, not when memory is gone."""
    z = ndzarr.zeros((10**6, 10**6), chunks=(10**3, 10**5 if known else 10**3), dtype="u1")
    if known:
        z.collect_statistics()
    asked = 0

    def zero(b: Any) -> Any:
        nonlocal asked
        asked += isinstance(b, np.ndarray)
        return b == 0

    with pytest.raises(ndzarr.MemoryLimitError, match="places of"), ndzarr.options(max_result=1 << 26, workers=2):
        z.where(zero)
    assert asked <= (0 if known else 20)
    if known:
        assert z.where(lambda b: b > 0)[0].size == 0
        assert z.statistics.total["count"] == 10**12


def test_predicates_that_go_wrong() -> None:
    z = ndzarr.array(np.arange(100), chunks=10)
    z.collect_statistics()
    with pytest.raises(ndzarr.ArgumentError, match="shape"):
        z.where(lambda b: True)
    with pytest.raises(ZeroDivisionError):
        z.where(lambda b: b > 1 / 0)
    with pytest.raises(ValueError, match="0d"):
        ndzarr.array(5).where(lambda b: b > 1)
    assert ndzarr.array(5).argwhere(lambda b: b > 1).shape == (1, 0)
    assert ndzarr.zeros((0, 3)).argwhere(lambda b: b > 1).shape == (0, 2)
    assert z.where(lambda b: (b > 3) and (b < 5) if not isinstance(b, np.ndarray) else b == 4)[0].tolist() == [4]


# ---- three-valued logic --------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.0**53, 2.0**53 + 2, np.inf, -np.inf, np.nan]), min_size=1, max_size=4),
    st.sampled_from([0, 1, 1.5, 2.0**53, 2**53 + 1, np.nan, np.inf, np.float32(1), True, np.int64(1), 10**30]),
    st.sampled_from(["f8", "f4", "i8", "u8", "?"]),
)
def test_an_interval_never_says_what_is_not_so(values: Any, t: Any, dtype: str) -> None:
    with np.errstate(all="ignore"):
        block = np.nan_to_num(np.array(values)).clip(0, 2.0**60).astype(dtype) if dtype[0] in "iu?" else np.array(values, dtype)
    odd = np.isnan(block) if block.dtype.kind == "f" else np.zeros(block.shape, bool)
    rest = block[~odd]
    low, high = (rest.min(), rest.max()) if rest.size else (block.dtype.type(0),) * 2
    bounds = Interval(np.array([low]), np.array([high]), np.array([rest.size > 0]), np.array([odd.any()]))
    for predicate in [
        lambda b: b > t, lambda b: b >= t, lambda b: b < t, lambda b: b <= t, lambda b: b == t, lambda b: b != t,
        lambda b: ~(b > t), lambda b: (b > t) | (b == 1), lambda b: (b != t) & (b < 2), lambda b: np.logical_or(b < 0, t <= b),
    ]:  # fmt: skip
        truth = ask(predicate, bounds)
        if dtype == "?" and t == 10**30:
            continue  # for NumPy no comparison of booleans
        assert isinstance(truth, Truth)
        want = np.asarray(predicate(block))
        assert truth.yes[0] or not want.any()
        assert truth.no[0] or want.all()


def caught(b: Any) -> Any:
    try:
        return b + 1 > 3
    except TypeError:
        return b > 100


@pytest.mark.parametrize(
    "predicate",
    [
        lambda b: b.mean() > 3,
        lambda b: b + 1 > 3,
        lambda b: np.asarray(b) > 3,
        lambda b: b > np.arange(3),
        lambda b: b > [1],
        lambda b: b == b,
        lambda b: bool(b > 3),
        lambda b: 1 < b < 3,
        lambda b: not b,
        lambda b: len(b),
        lambda b: list(b),
        lambda b: b[0] > 1,
        lambda b: np.isin(b, [1]),
        lambda b: True,
        lambda b: np.where(b > 3, True, False),
        lambda b: (b > 3) & True,
        lambda b: (b > 3) ^ (b > 4),
        lambda b: np.add(b, 1) > 2,
        lambda b: np.greater(b, 1, out=np.empty(1, bool)),
        lambda b: hash(b) > 3,
        lambda b: b > 3 if getattr(b, "dtype", None) is not None else b < 3,
        lambda b: b < 3 if hasattr(b, "mask") else b > 3,
        lambda b: b > 3 if (b > 4) == True else b < 1,  # noqa: E712  # as users write it
        caught,
        lambda b: (b > 3) | caught(b),
        lambda b: abs(b) > 3,
        lambda b: -b > 3,
        lambda b: b % 2 == 0,
        lambda b: b & 1 > 0,
        lambda b: b in (1, 2),
        lambda b: round(b) > 1,
        lambda b: b > "a",
        lambda b: (b > 3) > (b > 4),
    ],
)
def test_what_an_interval_does_not_understand_is_read(predicate: Any) -> None:
    one = np.ones(1)
    assert ask(predicate, Interval(one, one, one > 0, one < 0)) is None


@pytest.mark.parametrize("t", [np.timedelta64(5, "s"), np.ma.masked, np.ma.array(0, mask=True)])
def test_what_no_order_is_kept_by_is_read(t: Any) -> None:
    """The smallest integer is NaT as a time, and masked elements are compared as they come."""
    a = np.array([-(2**63), 0, 10, 20] * 4) if not np.ma.isMaskedArray(t) else np.array([-1.0, 0, 1, 2] * 4)
    z = ndzarr.array(a, chunks=4)
    z.collect_statistics()
    for predicate in (lambda b: b < t, lambda b: b > t, lambda b: b != t):
        np.testing.assert_array_equal(z.where(predicate)[0], np.nonzero(predicate(a))[0])


def test_dates_in_other_units_are_read() -> None:
    days = np.array(["2020-01-01"], "M8[D]")
    bounds = Interval(days, days, np.array([True]), np.array([False]))
    assert ask(lambda b: b > np.datetime64("2020-01-01T00:00:00.000000000"), bounds) is None
    assert ask(lambda b: b > np.datetime64("2019-01-01"), bounds) is not None
