"""Locks on a directory that other processes on this host respect: of each chunk, and of each node.

A chunk's lock is one byte of a file beside the array, `.ndzarr/locks/stripes`, which is always empty otherwise: byte ranges of
files can be locked past their end. So there is one file for an array, and one descriptor for a process, however many chunks
there are. A node's lock, under which documents change too, is that of its directory itself: a file among the members of a group
would be taken for one by other programs.

Both are advisory, belong to an open file description, and end with it, so that a process that died blocks nobody. (The older
kind, of `F_SETLK`, ends when any descriptor of the file is closed, and does not keep two handles of one process apart.) Threads
of one process are kept apart by locks of Python's, taken first. Between machines, locks are what the network file system makes
of them.

See fcntl(2), "Open file description locks", and flock(2).
"""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from ndzarr import config
from ndzarr.errors import StoreError
from ndzarr.keys import OWN
from ndzarr.stores.base import stripe
from ndzarr.stores.files import sync_folder

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows
    fcntl = None  # type: ignore[assignment]  # asked for below

#: Whether this system has such locks.
AVAILABLE = hasattr(fcntl, "F_OFD_SETLKW") and sys.maxsize > 2**32
#: Where locks lie, below the directory of an array.
FILE = os.path.join(OWN, "locks", "stripes")
#: Names of the documents of nodes.
DOCUMENTS = frozenset({".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"})
#: Bytes from here on are those of chunks.
_CHUNKS = 1 << 32
#: What a file system says that has no locks, or a place where no file can be made for one.
_REFUSALS = frozenset(
    getattr(errno, name)
    for name in ("EROFS", "EACCES", "EPERM", "ENOLCK", "ENOTSUP", "EOPNOTSUPP", "EBADF", "EINVAL", "ENOSYS")
    if hasattr(errno, name)
)
#: Descriptors kept open for the locks of arrays.
_KEPT = 128
#: Pauses while somebody else has what a transaction wants: the first, and the longest, in seconds.
_PAUSE_S, _LONGEST_S = 0.0005, 0.02

if sys.platform == "darwin":  # pragma: no cover  # macOS only
    _pack = struct.Struct("qqihh").pack  # start, length, pid, type, whence

    def _range(kind: int, start: int, length: int) -> bytes:
        return _pack(start, length, 0, kind, os.SEEK_SET)
else:
    _pack = struct.Struct("hhqqi4x").pack  # type, whence, start, length, pid

    def _range(kind: int, start: int, length: int) -> bytes:
        return _pack(kind, os.SEEK_SET, start, length, 0)


def _not_settled(record: str) -> None:
    raise StoreError(f"a transaction was cut short, and its record {record!r} is still there")


#: Finishes or undoes the transaction whose record is named; called where one was cut short, before a lock is given out.
settle: Callable[[str], None] = _not_settled
#: The same for whatever was cut short in a directory or above it.
settle_above: Callable[[str], object] = os.path.basename  # till there is one: does nothing


class _Handle:
    """An open file, closed when nobody uses it any more, or in a child of fork."""

    __slots__ = ("__weakref__", "dev", "fd", "ino")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        info = os.fstat(fd)
        self.dev, self.ino = info.st_dev, info.st_ino
        _open.add(self)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


class _Mine(threading.local):
    """How many locks this thread holds."""

    count = 0


_mine = _Mine()


def held_here() -> bool:
    """Whether this thread holds any of the locks here."""
    return _mine.count > 0


#: All handles of this process, for a child of fork to close: what is locked through a copy of a descriptor is locked for both.
_open: WeakSet[_Handle] = WeakSet()
#: By path, and those whose handle is kept, the one opened first in front.
_files: WeakValueDictionary[str, LockFile] = WeakValueDictionary()
_kept: dict[str, LockFile] = {}
_table_lock = threading.Lock()


class LockFile:
    """The file of locks beside one array. One for each real path in a process."""

    __slots__ = ("__weakref__", "_handle", "depths", "path", "salt")

    def __init__(self, path: str) -> None:
        self.path = path
        self.salt = hash(path)
        #: How often each byte is held by the thread that holds its stripe.
        self.depths: dict[int, int] = {}
        self._handle: _Handle | None = None

    @classmethod
    def of(cls, folder: str) -> LockFile:
        """The one of the array in the directory `folder`, a real path."""
        path = os.path.join(folder, FILE)
        with _table_lock:
            return _files.setdefault(path, cls(path))

    @property
    def folder(self) -> str:
        """The directory of the array."""
        return self.path[: -len(FILE) - 1]

    def lock(self, byte: int) -> _Handle:
        """Wait for a byte; what to give to `unlock`. The caller holds its stripe."""
        while True:
            handle = self._handle or self._opened()
            fcntl.fcntl(handle.fd, fcntl.F_OFD_SETLKW, _range(fcntl.F_WRLCK, byte, 1))
            try:
                if self.is_current(handle):
                    return handle
                self._handle = None
            except BaseException:
                unlock(handle, byte)
                raise
            unlock(handle, byte)

    def is_current(self, handle: _Handle) -> bool:
        """Whether others who come now lock the same file. What a transaction left behind is finished or undone first.

        Not so when the array was deleted, and perhaps made again, while we waited or since we opened the file.
        """
        try:
            info = os.stat(self.path)
        except FileNotFoundError:
            return False
        if info.st_ino != handle.ino or info.st_dev != handle.dev:
            return False
        if info.st_size:
            settle(os.pread(handle.fd, info.st_size, 0).decode(errors="replace"))
            os.ftruncate(handle.fd, 0)  # nobody else marks it: for that all of the file has to be locked
        return True

    def _opened(self) -> _Handle:
        handle = self._handle = open_file(self.path)
        with _table_lock:
            _kept.pop(self.path, None)
            _kept[self.path] = self
            while len(_kept) > _KEPT:
                first = next(iter(_kept))
                # Whoever holds a byte through that handle keeps it open by a reference.
                _kept.pop(first)._handle = None
        return handle

    def forget(self) -> None:
        """Take nothing along into a child of fork."""
        self._handle = None
        self.depths = {}


def open_file(path: str) -> _Handle:
    """The file of locks, made if there is none."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    while True:
        try:
            return _Handle(os.open(path, flags, 0o666))
        except FileNotFoundError:
            folder = os.path.dirname(path)
            array = os.path.dirname(os.path.dirname(folder))
            if not os.path.isdir(array):
                raise  # deleted: not to be made again here
            with suppress(FileNotFoundError):  # deleted just now
                os.makedirs(folder, exist_ok=True)


def unlock(handle: _Handle, byte: int) -> None:
    """Give a byte back."""
    if handle.fd >= 0:  # else this is a child of fork
        fcntl.fcntl(handle.fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, byte, 1))


def find(folder: str) -> tuple[LockFile, str] | None:
    """The locks of the array in whose directory `folder`, a real path, is, and its path below that; None where it is in none.

    Whichever root a store has, the array is the same one.
    """
    above = folder
    while not _is_array(above):
        top = os.path.dirname(above)
        if top == above:
            return None
        above = top
    return LockFile.of(above), folder[len(above) + 1 :] + "/"


def _is_array(folder: str) -> bool:
    if os.path.exists(os.path.join(folder, FILE)) or os.path.exists(os.path.join(folder, ".zarray")):
        return True
    try:
        with open(os.path.join(folder, "zarr.json"), "rb") as file:
            document = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("node_type") == "array"


class ChunkLock:
    """The lock of one chunk, or shard; re-entrant. `name`: that of its file in the array's directory.

    Raises StoreError where there can be no lock and `options(exclusive=True)` asks for one.
    """

    __slots__ = ("_byte", "_file", "_handle", "_stripe")

    def __init__(self, file: LockFile, name: str) -> None:
        self._file = file
        self._byte = _CHUNKS + zlib.crc32(name.encode())
        # By the byte, not by the name: two names may share a byte, and one thread must not give back what another holds.
        self._stripe: Any = stripe(file.salt ^ self._byte)
        self._handle: list[_Handle | None] = []

    def __enter__(self) -> None:
        self._stripe.acquire()
        try:
            depths = self._file.depths
            depth = depths.get(self._byte, 0)
            self._handle.append(None if depth else self._locked())
            depths[self._byte] = depth + 1
            _mine.count += 1
        except BaseException:
            self._stripe.release()
            raise

    def _locked(self) -> _Handle | None:
        exclusive = config.current().exclusive
        if exclusive is False:
            return None
        try:
            return self._file.lock(self._byte)
        except FileNotFoundError:
            return None  # the array is gone, and with it all that could be lost
        except OSError as error:
            refused(self._file.path, error)
            return None

    def __exit__(self, *exc: object) -> None:
        _mine.count -= 1
        handle = self._handle.pop()
        depths = self._file.depths
        depth = depths.pop(self._byte, 1) - 1
        if depth:
            depths[self._byte] = depth
        try:
            if handle is not None:
                unlock(handle, self._byte)
        finally:
            self._stripe.release()


def refused(path: str, error: OSError) -> None:
    """Raise StoreError unless a lock among threads will do: no such locks here, and nobody insists on them."""
    if isinstance(error, StoreError):
        raise error
    if error.errno not in _REFUSALS or config.current().exclusive is True:
        raise StoreError(
            f"cannot lock {path!r} against other processes: {type(error).__name__}: {error.strerror}", store=path
        ) from error


# ---- nodes ----------------------------------------------------------------------------------------------------------


class FolderLock:
    """The lock of the node in a directory, and of its documents; re-entrant. One for each real path in a process.

    The directory is made if there is none, and goes again with the lock if nothing was put into it.
    """

    __slots__ = ("__weakref__", "_depth", "_fd", "_lock", "_made", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._fd = -1
        self._made: list[str] = []

    @classmethod
    def of(cls, folder: str) -> FolderLock:
        """The lock of the directory `folder`, a real path."""
        with _table_lock:
            return _folders.setdefault(folder, cls(folder))

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            if not self._depth and config.current().exclusive is not False and AVAILABLE:
                self._fd, self._made = self._locked()
            self._depth += 1
            _mine.count += 1
        except BaseException:
            self._lock.release()
            raise

    def _locked(self) -> tuple[int, list[str]]:
        made: list[str] = []
        try:
            return lock_folder(self.path, made, None, sync=config.current().durable), made
        except OSError as error:
            remove_empty(made)
            refused(self.path, error)
            return -1, []

    def __exit__(self, *exc: object) -> None:
        self._depth -= 1
        _mine.count -= 1
        try:
            if not self._depth and self._fd >= 0:
                fd, self._fd = self._fd, -1
                remove_empty(self._made)
                os.close(fd)
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Take nothing along into a child of fork."""
        self._lock = threading.RLock()
        self._depth, self._fd, self._made = 0, -1, []

    def close(self) -> None:
        """Close the copy that a child of fork has of the parent's descriptor."""
        if self._fd >= 0:
            os.close(self._fd)


_folders: WeakValueDictionary[str, FolderLock] = WeakValueDictionary()


def lock_folder(path: str, made: list[str], deadline: float | None, *, sync: bool) -> int:
    """Lock a directory, made if there is none; its descriptor. `made` is told which were made, the deepest first.

    deadline: when to give up, by `time.monotonic`, with StoreError; None waits for ever. sync: put those made on the disk: who
    writes there finds that they are there, and would not know.
    """
    while True:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            make_folders(path, made)
            for folder in made if sync else ():
                with suppress(FileNotFoundError):  # removed just now, being empty
                    sync_folder(os.path.dirname(folder))
            continue
        try:
            if deadline is None:
                fcntl.flock(fd, fcntl.LOCK_EX)
            else:
                poll(partial(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB), path, deadline)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    settle_above(path)
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # removed, and perhaps made again, while we waited


def own(folder: str, *, wait: bool = True) -> _Handle | None:
    """Lock a directory that is there, for as long as the handle is open; None where somebody has it and `wait` is False.

    Raises FileNotFoundError where it is gone.
    """
    handle = _Handle(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        fcntl.flock(handle.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        handle.close()
        return None
    info = os.stat(folder)
    if (info.st_dev, info.st_ino) != (handle.dev, handle.ino):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    return handle


def make_folders(path: str, made: list[str]) -> None:
    """Make a directory and those above it; `made` is told which, the deepest first. Another may be gone again at once."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
            made.insert(0, folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
        except FileNotFoundError:
            return  # somebody has removed one above, being empty


def remove_empty(folders: list[str]) -> None:
    """Remove those of the directories that are empty; the deepest comes first."""
    for folder in folders:
        with suppress(OSError):
            os.rmdir(folder)


def remove_files(folder: str) -> None:
    """Remove the file of locks of the array in `folder`, which is going to be removed itself."""
    own = os.path.join(folder, OWN)
    with suppress(OSError):
        os.unlink(os.path.join(folder, FILE))
    remove_empty([os.path.join(own, "locks"), own])


# ---- for transactions -----------------------------------------------------------------------------------------------


def poll(attempt: Callable[[], object], path: str, deadline: float) -> None:
    """Call `attempt` until it does not say that somebody else has the lock; StoreError after the deadline."""
    pause = _PAUSE_S
    while True:
        try:
            attempt()
            return
        except (BlockingIOError, PermissionError) as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if time.monotonic() > deadline:
                raise StoreError(f"cannot lock {path!r}: others have kept it for too long", store=path) from error
        time.sleep(pause)
        pause = min(_LONGEST_S, 2 * pause)


class Held:
    """Arrays and directories locked as a whole, until `release`, by descriptors of its own.

    So threads of this process are kept out too, unless they go by this object. timeout_s: how long to wait for others before
    StoreError; there is no order in which everybody takes such locks, so two might wait for each other. Calls are to be made
    one at a time; any thread may make them.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._arrays: dict[str, _Handle] = {}
        self._folders: dict[str, _Handle] = {}
        self._made: list[str] = []

    @property
    def arrays(self) -> list[str]:
        """The files of locks that are held."""
        return [*self._arrays]

    def array(self, folder: str) -> None:
        """Lock all chunks of the array in the directory `folder`, a real path."""
        path = os.path.join(folder, FILE)
        if path in self._arrays:
            return
        deadline = time.monotonic() + self._timeout_s
        file = LockFile(path)
        while True:
            handle = open_file(path)
            everything = _range(fcntl.F_WRLCK, 0, 0)  # of length 0: to the end, wherever that is
            poll(partial(fcntl.fcntl, handle.fd, fcntl.F_OFD_SETLK, everything), path, deadline)
            if file.is_current(handle):
                self._arrays[path] = handle
                return

    def folder(self, folder: str) -> None:
        """Lock the node in the directory `folder`, a real path, and its documents."""
        if folder not in self._folders:
            made: list[str] = []
            deadline = time.monotonic() + self._timeout_s
            self._folders[folder] = _Handle(lock_folder(folder, made, deadline, sync=True))
            self._made[:0] = made

    def mark(self, record: str) -> None:
        """Say in the arrays' lock files where the record of a transaction is, for whoever comes after a crash."""
        for handle in self._arrays.values():
            os.pwrite(handle.fd, record.encode(), 0)

    def unmark(self) -> None:
        """Say that it is done."""
        for handle in self._arrays.values():
            os.ftruncate(handle.fd, 0)

    def release(self) -> None:
        """Give all back. Directories made for a lock go again if they are empty."""
        remove_empty(self._made)
        for handle in [*self._arrays.values(), *self._folders.values()]:
            handle.close()
        self._arrays.clear()
        self._folders.clear()
        self._made.clear()


def _forget() -> None:
    # What the parent has locked it still has. The child must not hold on to it by its copies of the descriptors, nor take
    # what it locks through them for its own.
    global _table_lock
    _table_lock = threading.Lock()
    for handle in list(_open):
        handle.close()
    for file in list(_files.values()):
        file.forget()
    _kept.clear()
    for folder in list(_folders.values()):
        folder.close()
        folder.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
