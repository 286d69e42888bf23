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
import stat
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import call
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from ndzarr import config
from ndzarr.errors import StoreError
from ndzarr.keys import OWN
from ndzarr.stores.base import stripe

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
#: No mark is longer.
_LONGEST_MARK = 1 << 14
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


def _not_settled(path: str, record: str) -> None:
    raise StoreError(f"a transaction was cut short, and its record {record!r} is still there", store=path)


#: Finishes or undoes the transaction that a file of locks is marked with, or raises StoreError; called before a lock in it is
#: given out. (`journal` puts it here, which knows of these locks.)
settle: Callable[[str, str], None] = _not_settled


class Handle:
    """An open file, or directory, with locks on it; closed when nobody uses it any more, or in a child of fork."""

    __slots__ = ("__weakref__", "dev", "fd", "ino")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        _open.add(self)
        info = os.fstat(fd)
        self.dev, self.ino = info.st_dev, info.st_ino

    def is_at(self, path: str) -> bool:
        """Whether it is what now has this name."""
        try:
            info = os.stat(path)
        except FileNotFoundError:
            return False
        return (info.st_dev, info.st_ino) == (self.dev, self.ino)

    def release(self) -> None:
        """Give back what is locked, and close. To close alone does not do if a child of fork has a copy meanwhile."""
        if self.fd >= 0:
            with suppress(OSError):
                fcntl.flock(self.fd, fcntl.LOCK_UN)
            with suppress(OSError):
                fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, 0, 0))
        self.close()

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


#: All handles of this process, for a child of fork to close: what is locked through a copy of a descriptor is locked for both.
_open: WeakSet[Handle] = WeakSet()
#: By path, and those whose handle is kept, the one opened first in front.
_files: WeakValueDictionary[str, LockFile] = WeakValueDictionary()
_kept: dict[str, LockFile] = {}
_table_lock = threading.Lock()
#: How long to wait for others, in seconds; None for as long as it takes. A transaction of this process has it set: what it has
#: locked, threads and children that do not belong to it might wait for while it waits for them.
patience_s: float | None = None


def wait(kind: str, handle: Handle, path: str, byte: int = 0, deadline: float | None = None) -> None:
    """Lock a byte ("byte"), all of a file ("file") or a directory ("folder"); StoreError where that takes too long.

    deadline: when to give up, by `time.monotonic`; else it goes by `patience_s`.
    """
    if deadline is None and patience_s is not None:
        deadline = time.monotonic() + patience_s
    pause = _PAUSE_S
    while True:
        try:
            if kind == "folder":
                fcntl.flock(handle.fd, fcntl.LOCK_EX | (0 if deadline is None else fcntl.LOCK_NB))
            else:
                how = fcntl.F_OFD_SETLKW if deadline is None else fcntl.F_OFD_SETLK
                span = _range(fcntl.F_WRLCK, byte, 1) if kind == "byte" else _range(fcntl.F_WRLCK, 0, 0)  # 0: to the end
                fcntl.fcntl(handle.fd, how, span)
            return
        except (BlockingIOError, PermissionError) as error:
            if deadline is None or error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if time.monotonic() > deadline:
                raise StoreError(f"cannot lock {path!r}: others have kept it for too long", store=path) from error
        time.sleep(pause)
        pause = min(_LONGEST_S, 2 * pause)


class LockFile:
    """The file of locks beside one array. One for each real path in a process."""

    __slots__ = ("__weakref__", "_handle", "depths", "path", "salt")

    def __init__(self, path: str) -> None:
        self.path = path
        self.salt = hash(path)
        #: How often each byte is held by the thread that holds its stripe.
        self.depths: dict[int, int] = {}
        self._handle: Handle | None = None

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

    def lock(self, byte: int, hold: _Hold) -> None:
        """Wait for a byte; `hold` is told by which handle, before it is locked. The caller holds its stripe."""
        while True:
            handle = hold.handle = self._handle or self._opened()
            if patience_s is None:
                fcntl.fcntl(handle.fd, fcntl.F_OFD_SETLKW, _range(fcntl.F_WRLCK, byte, 1))
            else:
                wait("byte", handle, self.path, byte)
            if self.is_current(handle):
                return
            self._handle = None
            unlock(handle, byte)

    def is_current(self, handle: Handle) -> bool:
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
            settle(self.path, os.pread(handle.fd, min(info.st_size, _LONGEST_MARK), 0).decode(errors="replace"))
            os.ftruncate(handle.fd, 0)  # nobody else marks it: for that all of the file has to be locked
        return True

    def _opened(self) -> Handle:
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


def open_file(path: str) -> Handle:
    """The file of locks, made if there is none. StoreError where it, or a folder on the way, is a link or no file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    folder = os.path.dirname(path)
    own = os.path.dirname(folder)
    array = os.path.dirname(own)
    while True:
        for place in (own, folder):
            if os.path.islink(place):
                raise StoreError(f"cannot lock {array!r}: {place!r} is a symbolic link, expected a directory", store=array)
        try:
            handle = Handle(os.open(path, flags, 0o666))
        except FileNotFoundError:
            if not os.path.isdir(array):
                raise  # deleted: not to be made again here
            for place in (own, folder):
                with suppress(FileExistsError, FileNotFoundError):  # deleted just now
                    os.mkdir(place)
            continue
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise StoreError(f"cannot lock {array!r}: {path!r} is a symbolic link, expected a file", store=array) from error
        info = os.fstat(handle.fd)
        if not stat.S_ISREG(info.st_mode):
            raise StoreError(f"cannot lock {array!r}: {path!r} is no file", store=array)
        wanted = os.stat(array).st_mode & 0o666
        if info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) & wanted != wanted:
            with suppress(OSError):  # whoever may write to the array may lock it
                os.fchmod(handle.fd, wanted | stat.S_IMODE(info.st_mode))
        return handle


def unlock(handle: Handle, byte: int) -> None:
    """Give a byte back."""
    if handle.fd >= 0:  # else this is a child of fork
        fcntl.fcntl(handle.fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, byte, 1))


def find(folder: str) -> tuple[LockFile, str] | None:
    """The locks of the array in whose directory `folder`, a real path, is, and its path below that; None where it is in none.

    Whichever root a store has, the array is the same one.
    """
    above = folder
    while not is_array(above):
        top = os.path.dirname(above)
        if top == above:
            return None
        above = top
    return LockFile.of(above), folder[len(above) + 1 :] + "/"


def is_array(folder: str) -> bool:
    """Whether a directory is that of an array."""
    # Asked of each folder with chunks, of which most have none of them: `access`, since it makes no exceptions.
    there, document_path = os.access, os.path.join(folder, "zarr.json")
    if there(os.path.join(folder, FILE), os.F_OK) or there(os.path.join(folder, ".zarray"), os.F_OK):
        return True
    if not there(document_path, os.F_OK):
        return False
    try:
        with open(document_path, "rb") as file:
            document = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("node_type") == "array"


class ChunkLock:
    """The lock of one chunk, or shard; re-entrant. `name`: that of its file in the array's directory.

    Raises StoreError where there can be no lock and `options(exclusive=True)` asks for one.
    """

    __slots__ = ("_byte", "_file", "_held", "_stripe")

    def __init__(self, file: LockFile, name: str) -> None:
        self._held: list[_Hold] = []
        self._file = file
        self._byte = _CHUNKS + zlib.crc32(name.encode())
        # By the byte, not by the name: two names may share a byte, and one thread must not give back what another holds.
        self._stripe: Any = stripe(file.salt ^ self._byte)

    # Ctrl-C may come between any two lines here, and neither the byte nor the stripe may stay locked then. So it is noted what
    # is held before it is, what gives it back may begin again, and two steps that may not come apart are one call, of `map`.

    def __enter__(self) -> None:
        hold = _Hold()
        list(map(call, (self._stripe.acquire, partial(self._held.append, hold))))
        try:
            hold.depth = self._file.depths.get(self._byte, 0)
            if not hold.depth:
                self._lock(hold)
            self._file.depths[self._byte] = hold.depth + 1
        except BaseException:
            self._leave(hold)
            raise

    def _lock(self, hold: _Hold) -> None:
        if config.current().exclusive is False:
            return
        try:
            self._file.lock(self._byte, hold)
        except OSError as error:
            hold.handle = None  # the system has refused it
            # Where the array is gone, so is all that could be lost.
            if not isinstance(error, FileNotFoundError):
                refused(self._file.path, error)

    def __exit__(self, *exc: object) -> None:
        hold = self._held[-1]
        try:
            self._leave(hold)
        except BaseException:
            self._leave(hold)
            raise

    def _leave(self, hold: _Hold) -> None:
        if hold not in self._held:
            return
        if hold.handle is not None:
            unlock(hold.handle, self._byte)
        if hold.depth:
            self._file.depths[self._byte] = hold.depth
        elif hold.depth == 0:
            self._file.depths.pop(self._byte, None)
        list(map(call, (self._held.pop, self._stripe.release)))

    def __del__(self) -> None:
        # Entered, and not left: Ctrl-C came when `__exit__` was about to begin.
        while self._held:
            with suppress(RuntimeError):  # another thread collects it: that cannot give back the first one's stripe
                self._leave(self._held[-1])


class _Hold:
    """What one `with` has of a byte: how often its thread had it before, and by which handle it is locked, if by any."""

    __slots__ = ("depth", "handle")

    def __init__(self) -> None:
        self.depth: int | None = None
        self.handle: Handle | None = None


def held_here() -> bool:
    """Whether this thread holds the lock of any chunk."""
    for file in list(_files.values()):
        for byte in list(file.depths):
            if stripe(file.salt ^ byte)._is_owned():
                return True
    return False


def refused(path: str, error: OSError) -> None:
    """Raise StoreError unless a lock among threads will do: no such locks here, and nobody insists on them."""
    if isinstance(error, StoreError):
        raise error
    # No room for a new file of locks: what is deleted to make room must not wait for that.
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)) and not os.path.exists(path)
    denied = error.errno == errno.EACCES and os.path.exists(path)  # others do lock it
    if (error.errno not in _REFUSALS and not full) or denied or config.current().exclusive is True:
        raise StoreError(
            f"cannot lock {path!r} against other processes: {type(error).__name__}: {error.strerror}", store=path
        ) from error


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
