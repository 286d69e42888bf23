"""Transactions on a zip archive, and archives whose writer is killed: the old archive or the new one, never a damaged one."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import ArgumentError, StoreError, ZipStore
from ndzarr.stores import zip as zip_module
from tests.test_transactions import (
    _children,
    _count_system_calls,
    _killed_at,
    change,
    check_changed,
    contents,
    elsewhere,
    prepare,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with ZipStore(tmp_path / "a.zip", "w") as store:
        prepare(store)
    return tmp_path / "a.zip"


def inside(path: Path) -> dict[str, bytes]:
    """What any other program finds; each member's CRC is checked, and no name may be there twice."""
    with zipfile.ZipFile(path) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def test_others_see_it_at_the_end(path: Path) -> None:
    before = inside(path)
    with ZipStore(path, "a") as store:
        with ndzarr.transaction(store):
            change(store)
            check_changed(ndzarr.open_group(store))
            assert elsewhere(store) == before
            store.flush()  # is part of it
            assert inside(path) == before
        check_changed(ndzarr.open_group(store))
        assert elsewhere(store) == contents(store) == inside(path) != before
        assert not store._dirty
    check_changed(ndzarr.open_group(path))


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_after_an_exception_nothing_has_happened(path: Path, error: type[BaseException]) -> None:
    before = inside(path)
    with ZipStore(path, "a") as store:
        store.set("pending", b"1")
        with pytest.raises(error), ndzarr.transaction(store):
            change(store)
            store.delete("pending")
            raise error
        assert contents(store) == {**before, "pending": b"1"}
        assert inside(path) == before  # what was pending is so still
        assert store._held == 1
    assert inside(path) == {**before, "pending": b"1"}


def test_what_is_pending_goes_along(path: Path) -> None:
    with ZipStore(path, "a") as store:
        store.set("pending", b"1")
        with ndzarr.transaction(store):
            store.set("new", b"2")
        assert {"pending", "new"} <= inside(path).keys()
        with ndzarr.transaction(store):
            pass
        with ndzarr.transaction(store), ndzarr.transaction(store):
            store.set("inner", b"3")
        assert inside(path)["inner"] == b"3"
        with pytest.raises(StoreError, match="undone: KeyError"), ndzarr.transaction(store):
            store.set("outer", b"4")
            with pytest.raises(KeyError), ndzarr.transaction(store):
                store.set("inner", b"4")
                raise KeyError
        assert inside(path)["inner"] == b"3"


def test_large_values_are_staged_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "PENDING_BYTES", 1000)
    with ZipStore(path, "a") as store:
        for kept in (False, True):
            try:
                with ndzarr.transaction(store):
                    store.set("large", b"x" * 5000)
                    store.set("small", b"y" * 100)
                    assert store.get("large", (10, 20)) == b"x" * 10
                    assert store.size("large") == 5000
                    if not kept:
                        raise KeyError
            except KeyError:
                assert store.get("large") is None
            assert store._held == 0
        assert inside(path)["large"] == b"x" * 5000


def test_a_failure_at_the_end_undoes_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inside(path)
    store = ZipStore(path, "a")
    store.set("pending", b"1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left") as caught, ndzarr.transaction(store):
        change(store)
        monkeypatch.setattr(zip_module, "_write_archive", full)
    monkeypatch.undo()
    assert "what was written in the transaction is undone" in caught.value.__notes__
    assert contents(store) == {**before, "pending": b"1"}
    assert inside(path) == before
    store.close()
    assert inside(path) == {**before, "pending": b"1"}


def test_it_cannot_begin_under_a_lock(path: Path) -> None:
    with (
        ZipStore(path, "a") as store,
        store.lock("a"),
        pytest.raises(ArgumentError, match="lock"),
        ndzarr.transaction(store),
    ):
        pass


def test_readers_and_children_have_none(path: Path) -> None:
    with ZipStore(path, "r") as store, pytest.raises(ndzarr.ReadOnlyError), ndzarr.transaction(store):
        pass
    with ZipStore(path, "a") as store:
        store.set("a", b"1")

        def child() -> None:
            with pytest.raises(StoreError, match="one writer"), ndzarr.transaction(store):
                pass
            with store.lock("a"), store.lock_node("a"):
                assert store.get("a") == b"1"

        assert _children([child]) == [0]


def test_other_threads_wait_and_lose_nothing(path: Path) -> None:
    rounds = 100
    with ZipStore(path, "a") as store:
        array = ndzarr.create_array(store, path="z", shape=(2,), chunks=(2,), dtype="i4", compressor=None)

        def outside() -> None:
            z = ndzarr.open_array(store, "r+", path="z")
            for n in range(rounds):
                z[1] = z[1] + 1
                z.attrs["outside"] = n

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(outside)
            for n in range(rounds):
                with ndzarr.transaction(store):
                    array[0] = array[0] + 1
                    array.attrs["inside"] = n
            done.result()
        assert array[:].tolist() == [rounds, rounds]
        array.refresh()
        assert dict(array.attrs) == {"outside": rounds - 1, "inside": rounds - 1}
    assert ndzarr.open_array(path, path="z")[:].tolist() == [rounds, rounds]


def test_waiting_for_others_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "TIMEOUT_S", 0.05)
    with ZipStore(path, "a") as store:
        held, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with store.lock("a"):
                held.set()
                leave.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        with pytest.raises(StoreError, match="other threads have held locks"), ndzarr.transaction(store):
            pass
        leave.set()
        thread.join()
        with ndzarr.transaction(store):
            store.set("a", b"1")


# ---- kill -9 ----------------------------------------------------------------------------------------------------------


def test_killed_at_every_call_of_the_system(path: Path, record_property: Any) -> None:
    start = path.read_bytes()
    old = inside(path)
    with ZipStore(path, "a") as store, ndzarr.transaction(store):
        change(store)
    new = inside(path)
    kills = 0
    for n in itertools.count(1):
        path.write_bytes(start)

        def work(n: int) -> None:
            store = ZipStore(path, "a")
            _count_system_calls(n)
            with ndzarr.options(workers=1), ndzarr.transaction(store):
                change(store)

        if not _killed_at(work, n):
            break
        kills += 1
        assert inside(path) in (old, new), n
        assert contents(ZipStore(path)) == inside(path)
    assert inside(path) == new
    assert kills > 5
    record_property("count: writers of archives killed at a call of the system", kills)


_LOOP = """
import json, os, random, signal, sys, time, zipfile
import numpy as np, ndzarr

path, rounds = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
with ndzarr.ZipStore(path, "w") as store:
    z = ndzarr.create_array(store, path="z", shape=(64, 64), chunks=(16, 16), dtype="i4")
    z[...] = 0
    z.attrs["n"] = 0
unopenable = mixed = twice = lost = left = 0
last = 0
for number in range(rounds):
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            store = ndzarr.ZipStore(path, "a")
            w = ndzarr.open_array(store, "r+", path="z")
            n = int(w.attrs["n"])
            os.write(into, b"x")
            while True:
                n += 1
                w[...] = n
                w.attrs["n"] = n
                if n % 2:
                    store.flush()
                else:
                    with ndzarr.transaction(store):
                        w[0, 0] = w[0, 0]
        finally:
            os._exit(1)
    os.read(out, 1)
    time.sleep(rng.random() * 0.03)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(out); os.close(into)
    left += len(os.listdir(os.path.dirname(path))) - 1
    try:
        r = ndzarr.open_array(path, path="z")
        found = np.unique(r[...])
        mixed += len(found) != 1 or found[0] != r.attrs["n"]
        lost += r.attrs["n"] < last
        last = int(r.attrs["n"])
        with zipfile.ZipFile(path) as archive:
            unopenable += archive.testzip() is not None
            twice += len(set(archive.namelist())) != len(archive.namelist())
    except Exception:
        unopenable += 1
with ndzarr.ZipStore(path, "a") as store:
    store.set("x", b"1")
after = [name for name in os.listdir(os.path.dirname(path)) if name != os.path.basename(path)]
counts = {"unopenable": unopenable, "mixed": mixed, "twice": twice, "lost": lost, "last": last}
print(json.dumps({name: int(n) for name, n in {**counts, "left": left, "after": len(after)}.items()}))
"""


@pytest.mark.parametrize("rounds", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_killed_at_random_times(tmp_path: Path, rounds: int, record_property: Callable[[str, object], None]) -> None:
    """zarr-python leaves 40 of 40 archives that it was writing to in such a way that nobody can open them."""
    (tmp_path / "in").mkdir()
    command = [sys.executable, "-c", _LOOP, str(tmp_path / "in" / "a.zip"), str(rounds)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    last = found.pop("last")
    assert found.pop("left") > 0  # else no kill came while an archive was written
    assert found == {"unopenable": 0, "mixed": 0, "twice": 0, "lost": 0, "after": 0}
    assert last > rounds / 2
    record_property("count: writers of archives killed at random times", rounds)
    record_property("count: archives that nobody can open", found["unopenable"])


def test_values_are_those_of_numpy(path: Path) -> None:
    with ZipStore(path, "a") as store:
        array = ndzarr.create_array(store, path="z", shape=(64, 1 << 10), chunks=(1, 1 << 10), dtype="i8", compressor="zlib")
        data = np.random.default_rng(0).integers(0, 100, array.shape)
        with ndzarr.transaction(store), ndzarr.options(workers=4):
            array[:] = data
            array[3:60, 5:100] = 1
            data[3:60, 5:100] = 1
            np.testing.assert_array_equal(array[:], data)
        np.testing.assert_array_equal(ndzarr.open_array(path, path="z")[:], data)
    assert os.path.exists(path)
