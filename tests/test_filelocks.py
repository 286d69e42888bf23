"""Locks of files and directories: who is kept out, what is left, and what happens where there can be none."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import LocalStore, StoreError
from ndzarr.stores import filelocks
from ndzarr.stores.folderlocks import Held

STRIPES = ".ndzarr/locks/stripes"


@pytest.fixture
def z(tmp_path: Path, zarr_format: int) -> Any:
    ndzarr.create_group(tmp_path / "g")
    return ndzarr.create_array(tmp_path / "g", path="x", shape=(8,), chunks=(2,), dtype="i4", compressor=None)


def key(z: Any, coord: int = 0) -> str:
    return str(z._engine.layout.key((coord,)))


def child(work: Callable[[], object]) -> int:
    """Fork a child that does `work` and ends; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def waits(work: Callable[[], object], seconds: float = 0.1) -> Callable[[], None]:
    """Whether a child that does `work` is still at it after some time; what is given waits for its end."""
    pid = child(work)
    time.sleep(seconds)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "nobody kept it out"

    def end() -> None:
        assert os.waitpid(pid, 0)[1] == 0

    return end


def goes(work: Callable[[], object]) -> None:
    assert os.waitpid(child(work), 0)[1] == 0


def enter(lock: Any) -> None:
    with lock:
        pass


# ---- who is kept out ------------------------------------------------------------------------------------------------


def test_another_process_waits_for_a_chunk(z: Any) -> None:
    other = LocalStore(z.store.root + "/x")  # at another root, the same chunk
    inner = key(z).removeprefix("x/")
    with z.store.lock(key(z)), z.store.lock(key(z)):  # re-entrant
        end = waits(lambda: enter(other.lock(inner)))
        goes(lambda: enter(other.lock(key(z, 1).removeprefix("x/"))))
        goes(lambda: enter(other.lock_node("zarr.json")))
    end()
    goes(lambda: enter(other.lock(inner)))


def test_another_process_waits_for_a_node(z: Any) -> None:
    other = LocalStore(z.store.root + "/x")
    with z.store.lock_node("x/.zattrs"), z.store.lock_node("x/zarr.json"):  # one lock for all documents
        end = waits(lambda: enter(other.lock_node(".zarray")))
        end_too = waits(lambda: enter(z.store.lock("x/zarr.json")))
        goes(lambda: enter(z.store.lock_node("zarr.json")))
        goes(lambda: enter(z.store.lock(key(z))))
    end()
    end_too()


def test_a_holder_that_is_killed_blocks_nobody(z: Any) -> None:
    def hold() -> None:
        with z.store.lock(key(z)), z.store.lock_node("x/zarr.json"):
            os.write(into, b"x")
            time.sleep(60)

    out, into = os.pipe()
    pid = child(hold)
    os.read(out, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    enter(z.store.lock(key(z)))
    enter(z.store.lock_node("x/zarr.json"))


def test_a_child_of_fork_holds_nothing(z: Any) -> None:
    """What the parent has locked the child has not, and the parent keeps it when the child ends or locks something else."""
    lock = z.store.lock(key(z))
    with lock, z.store.lock_node("x/zarr.json"):
        end = waits(lambda: enter(z.store.lock(key(z))))
        end_too = waits(lambda: enter(z.store.lock_node("x/zarr.json")))
        goes(lambda: enter(z.store.lock(key(z, 1))))
        third = waits(lambda: enter(z.store.lock(key(z))))
    for one in (end, end_too, third):
        one()
    # And a child that lives on does not keep the parent's locks when that ends.
    with lock:
        living = child(lambda: time.sleep(600))
    goes(lambda: enter(z.store.lock(key(z))))
    assert os.waitpid(living, os.WNOHANG) == (0, 0)
    os.kill(living, signal.SIGKILL)
    os.waitpid(living, 0)


def test_a_child_may_leave_the_block(z: Any) -> None:
    parent = os.getpid()
    lock = z.store.lock(key(z))
    try:
        with lock, z.store.lock_node("x/zarr.json"):
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
                end = waits(lambda: enter(z.store.lock(key(z))))
    finally:
        if os.getpid() != parent:
            os._exit(0)
    end()


def test_programs_that_are_started_hold_nothing(z: Any) -> None:
    with z.store.lock(key(z)):
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], close_fds=False)
    try:
        goes(lambda: enter(z.store.lock(key(z))))
    finally:
        program.kill()
        program.wait()


def test_an_array_deleted_and_made_again_has_new_locks(z: Any, zarr_format: int) -> None:
    root = z.store.root
    z[0] = 1

    def again() -> None:
        del ndzarr.open_group(root, "r+")["x"]
        new = ndzarr.create_array(root, path="x", shape=(8,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
        new[0] = 5

    goes(again)
    with z.store.lock(key(z)):  # by a file that this process has never seen
        end = waits(lambda: enter(LocalStore(root).lock(key(z))))
    end()
    shutil.move(root + "/x", root + "/y")
    enter(z.store.lock(key(z)))  # gone: nothing to lose
    assert not os.path.exists(root + "/x")


def test_waiting_while_an_array_is_deleted_ends(z: Any) -> None:
    root = z.store.root
    with z.store.lock(key(z)):
        end = waits(lambda: enter(LocalStore(root).lock(key(z))))
        del ndzarr.open_group(root, "r+")["x"]
    end()
    assert sorted(os.listdir(root)) == [name for name in sorted(os.listdir(root)) if name in (".zgroup", "zarr.json")]


def test_interrupts_reach_who_waits(z: Any) -> None:
    def wait() -> None:
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyError()))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyError):
            enter(z.store.lock(key(z)))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyError):
            enter(z.store.lock_node("x/zarr.json"))

    with z.store.lock(key(z)), z.store.lock_node("x/zarr.json"):
        goes(wait)


def test_threads_do_not_give_back_what_others_hold(z: Any) -> None:
    """Two keys that share a byte of the file share its lock."""
    first, second = filelocks.ChunkLock(*_found(z), "0"), filelocks.ChunkLock(*_found(z), "1")
    second._byte, second._stripe = first._byte, first._stripe
    entered = threading.Event()
    with first:
        thread = threading.Thread(target=lambda: (enter(second), entered.set()))
        thread.start()
        assert not entered.wait(0.05)
        end = waits(lambda: enter(filelocks.ChunkLock(*_found(z), "0")))
    thread.join()
    end()


def _found(z: Any) -> tuple[Any]:
    return (filelocks.LockFile.of(os.path.realpath(z.store.root + "/x")),)


# ---- what is left ---------------------------------------------------------------------------------------------------


def test_where_files_of_locks_lie(z: Any) -> None:
    root = Path(z.store.root)
    z[0] = 1
    z.attrs["a"] = 1
    z.append([1, 2])
    ndzarr.open_group(root, "r+").attrs["a"] = 1
    assert [str(p.relative_to(root)) for p in root.rglob(".ndzarr")] == ["x/.ndzarr"]
    assert (root / "x" / STRIPES).stat().st_size == 0
    assert not [k for k in z.store.list() if ".ndzarr" in k]
    assert ".ndzarr/" not in z.store.list_dir("x/")
    with pytest.raises(ndzarr.ArgumentError, match="own files"):
        z.store.set("x/" + STRIPES, b"1")
    del ndzarr.open_group(root, "r+")["x"]
    assert not (root / "x").exists()


def test_a_directory_made_for_a_lock_goes_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "new")
    with store.lock_node("a/b/zarr.json"), store.lock("c/0"):
        assert (tmp_path / "new/a/b").is_dir()
    assert list(tmp_path.iterdir()) == []
    with store.lock_node("a/zarr.json"):
        store.set("a/zarr.json", b"{}")
    assert list(store.list()) == ["a/zarr.json"]


def test_descriptors_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelocks, "_KEPT", 4)
    arrays = [ndzarr.create_array(tmp_path / f"{n}", shape=(4,), chunks=(2,), dtype="i1") for n in range(20)]
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    held = arrays[0].store.lock("c/0")
    with held:
        for array in arrays:
            array[:] = 1
        if before:
            gc.collect()
            assert len(os.listdir("/proc/self/fd")) <= before + 6
        end = waits(lambda: enter(arrays[0].store.lock("c/0")))  # though its descriptor is not kept for others any more
    end()


def test_a_program_that_reads_the_directory_finds_nothing_strange(z: Any, peer3: list[str]) -> None:
    z[:] = np.arange(8)
    z.attrs["a"] = 1
    program = (
        "import sys, warnings, zarr\n"
        "warnings.simplefilter('error')\n"
        "g = zarr.open_group(sys.argv[1], mode='r+')\n"
        "assert [name for name, _ in g.members(max_depth=None)] == ['x']\n"
        "x = g['x']\n"
        "assert x[:].tolist() == list(range(8)) and x.nchunks_initialized == 4\n"
        "x[3] = 7; x.resize(10)\n"
    )
    ran = subprocess.run([*peer3, "-c", program, z.store.root], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stderr
    z.refresh()
    assert z[:].tolist() == [0, 1, 2, 7, 4, 5, 6, 7, 0, 0]


@pytest.fixture
def peer3() -> list[str]:
    found = os.environ.get("NDZARR_PEER_ZARR3")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("NDZARR_PEER_ZARR3 names no Python with zarr 3")
        pytest.skip("NDZARR_PEER_ZARR3 names no Python with zarr 3")
    return [found]


# ---- where there can be none ----------------------------------------------------------------------------------------


@pytest.fixture(params=["EROFS", "EPERM", "ENOLCK", "ENOTSUP"])
def refusal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system without locks."""
    number = getattr(errno, request.param)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelocks.fcntl, "fcntl", refuse)
    monkeypatch.setattr(filelocks.fcntl, "flock", refuse)
    return os.strerror(number)


def test_without_locks_of_files_threads_are_kept_apart(z: Any, refusal: str) -> None:
    z[0] = 1
    z.attrs["a"] = 1
    z.append([5])
    entered = threading.Event()
    with z.store.lock(key(z)):
        thread = threading.Thread(target=lambda: (enter(z.store.lock(key(z))), entered.set()))
        thread.start()
        assert not entered.wait(0.05)
    thread.join()
    with ndzarr.options(exclusive=True):
        with pytest.raises(StoreError, match=refusal):
            z[0] = 2
        with pytest.raises(StoreError, match=refusal):
            z.attrs["a"] = 2
    assert (z[0], z.attrs["a"]) == (1, 1)


def test_other_failures_are_raised(z: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(filelocks.fcntl, "fcntl", full)
    with pytest.raises(StoreError, match="No space left"):
        z[0] = 1
    monkeypatch.undo()
    z[0] = 1
    assert z[0] == 1


def test_locks_between_processes_can_be_left_out(z: Any) -> None:
    with ndzarr.options(exclusive=False), z.store.lock(key(z)), z.store.lock_node("x/zarr.json"):
        goes(lambda: enter(z.store.lock(key(z))))
        goes(lambda: enter(z.store.lock_node("x/zarr.json")))
    assert not (Path(z.store.root) / "x" / STRIPES).exists()


def test_systems_without_such_locks(z: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelocks, "AVAILABLE", False)
    monkeypatch.setattr(LocalStore, "exclusive", False)
    z[0] = 1
    z.attrs["a"] = 1
    with ndzarr.options(exclusive=True), pytest.raises(ndzarr.ArgumentError, match="cannot keep other processes out"):
        z[0] = 2
    assert not (Path(z.store.root) / "x" / STRIPES).exists()


# ---- whole arrays, for transactions ---------------------------------------------------------------------------------


def test_held_arrays_and_folders(z: Any) -> None:
    folder = os.path.realpath(z.store.root + "/x")
    held = Held(5.0)
    held.array(folder)
    held.array(folder)
    held.folder(folder)
    ends = [waits(lambda: enter(z.store.lock(key(z, 3)))), waits(lambda: enter(z.store.lock_node("x/zarr.json")))]
    entered = threading.Event()
    thread = threading.Thread(target=lambda: (enter(z.store.lock(key(z, 2))), entered.set()))  # of this process too
    thread.start()
    assert not entered.wait(0.05)
    other = Held(0.05)
    with pytest.raises(StoreError, match="for too long"):
        other.array(folder)
    with pytest.raises(StoreError, match="for too long"):
        other.folder(folder)
    held.release()
    thread.join()
    for end in ends:
        end()
    other.array(folder)
    other.folder(folder)
    other.release()


def test_a_mark_is_seen_before_a_lock_is_given_out(z: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.path.realpath(z.store.root + "/x")
    held = Held(5.0)
    held.array(folder)
    held.mark("/some/record")
    held.release()
    seen = []

    def settle(path: str, record: str) -> None:
        seen.append(record)
        os.truncate(Path(folder) / STRIPES, 0)

    monkeypatch.setattr(filelocks, "settle", settle)
    z[0] = 1
    z[2] = 1
    assert seen == ["/some/record"]
    held.array(folder)
    held.mark("another")
    held.unmark()
    held.release()
    z[4] = 1
    assert len(seen) == 1


def test_held_folders_made_for_it_go_again(tmp_path: Path) -> None:
    held = Held(1.0)
    held.folder(os.path.realpath(tmp_path) + "/a/b")
    held.release()
    assert list(tmp_path.iterdir()) == []
