"""Locks of directories, for nodes and their documents; directories made for them, and removed while nobody has one locked.

The lock is `flock` on the directory itself, so that nothing appears among the members of a group. See `filelocks` for chunks.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from operator import call
from typing import Any
from weakref import WeakValueDictionary

from ndzarr import config
from ndzarr.keys import OWN
from ndzarr.stores import filelocks
from ndzarr.stores.filelocks import AVAILABLE, FILE, Handle, LockFile, open_file, refused, wait
from ndzarr.stores.files import sync_folder

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows
    fcntl = None  # type: ignore[assignment]  # never used there


def _nothing(folder: str) -> None:
    pass


#: Finishes or undoes what transactions left in a directory and above it, or raises StoreError; called before a lock is given
#: out. (`journal` puts it here, which knows of these locks.)
settle_above: Callable[[str], None] = _nothing


class _Folder:
    """What the threads of this process share of one directory's lock; one for each real path."""

    __slots__ = ("__weakref__", "depth", "handle", "lock", "made", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.forget()

    def forget(self) -> None:
        """Take nothing along into a child of fork."""
        self.lock: Any = threading.RLock()
        self.depth = 0
        self.handle: Handle | None = None
        self.made: list[str] = []


_folders: WeakValueDictionary[str, _Folder] = WeakValueDictionary()
_table_lock = threading.Lock()


class FolderLock:
    """The lock of the node in a directory, a real path, and of its documents; re-entrant in one thread.

    The directory is made if there is none, and goes again with the lock if nothing was put into it.
    """

    __slots__ = ("_folder", "_held", "_lock", "_pid")

    def __init__(self, path: str) -> None:
        #: For each `with`, how often its thread had the lock before.
        self._held: list[int] = []
        self._lock: Any = None
        self._pid = 0
        with _table_lock:
            self._folder = _folders.setdefault(path, _Folder(path))

    # For Ctrl-C see `ChunkLock`.

    def __enter__(self) -> None:
        folder = self._folder
        self._lock, self._pid = folder.lock, os.getpid()
        list(map(call, (self._lock.acquire, lambda: self._held.append(folder.depth))))
        count = len(self._held)
        try:
            if not folder.depth and AVAILABLE and config.current().exclusive is not False:
                self._take(folder)
            folder.depth = self._held[-1] + 1
        except BaseException:
            self._leave(count)
            raise

    def _take(self, folder: _Folder) -> None:
        made: list[str] = []
        try:
            folder.handle = lock_folder(folder.path, made, sync=config.current().durable)
            folder.made = made
        except OSError as error:
            remove_empty(made)
            refused(folder.path, error)

    def __exit__(self, *exc: object) -> None:
        count = len(self._held)
        try:
            self._leave(count)
        except BaseException:
            self._leave(count)
            raise

    def _leave(self, count: int) -> None:
        if len(self._held) != count:
            return
        if self._pid != os.getpid():  # a child of fork, which has none of it
            self._held.pop()
            return
        folder = self._folder
        folder.depth = self._held[-1]
        if not folder.depth:
            handle, made = folder.handle, folder.made
            try:
                for place in made:
                    gone = _remove(place) if place == folder.path else remove_folder(place)
                    if gone and config.current().durable:
                        with suppress(FileNotFoundError):
                            sync_folder(os.path.dirname(place))
            finally:
                folder.made = []
                if handle is not None:
                    handle.release()
                folder.handle = None
        list(map(call, (self._held.pop, self._lock.release)))

    def __del__(self) -> None:
        # Entered, and not left: Ctrl-C came when `__exit__` was about to begin.
        while self._held:
            with suppress(RuntimeError):  # another thread collects it: that cannot give back the first one's lock
                self._leave(len(self._held))


def held_here() -> bool:
    """Whether this thread holds any lock of a directory, or of a chunk."""
    return filelocks.held_here() or any(folder.depth and folder.lock._is_owned() for folder in list(_folders.values()))


def lock_folder(path: str, made: list[str], *, sync: bool, deadline: float | None = None) -> Handle:
    """Lock a directory, made if there is none. `made` is told which were made, the deepest first.

    deadline: when to give up, by `time.monotonic`, with StoreError. sync: put those made on the disk: who writes there finds
    that they are there, and would not know.
    """
    while True:
        try:
            handle = Handle(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except FileNotFoundError:
            make_folders(path, made)
            for folder in made if sync else ():
                with suppress(FileNotFoundError):  # removed just now, being empty
                    sync_folder(os.path.dirname(folder))
            continue
        try:
            wait("folder", handle, path, deadline=deadline)
            if handle.is_at(path):
                settle_above(path)
                return handle
        except BaseException:
            handle.release()
            raise
        handle.release()  # removed, and perhaps made again, while we waited


def own(folder: str, *, wait: bool = True) -> Handle | None:
    """Lock a directory that is there, for as long as the handle is open; None where somebody has it and `wait` is False.

    Raises FileNotFoundError where it is gone.
    """
    handle = Handle(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW))
    try:
        fcntl.flock(handle.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        handle.close()
        return None
    if not handle.is_at(folder):
        handle.release()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    return handle


# ---- made and removed -----------------------------------------------------------------------------------------------


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


def remove_folder(folder: str, *, mine: bool = False) -> bool:
    """Remove a directory that holds nothing, but for locks of ours; whether it is gone.

    Not while somebody has it locked: who came next would make another, and lock that. If it is this thread that has, it goes at
    the end of that lock. mine: it is the caller who has it locked, and is done with it.
    """
    if mine:
        return _remove(folder)
    own_lock = _folders.get(folder)
    if own_lock is not None and own_lock.depth and own_lock.lock._is_owned():
        if folder not in own_lock.made:
            own_lock.made.insert(0, folder)
        return False
    if not AVAILABLE:
        return _remove(folder)
    try:
        handle = own(folder, wait=False)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if handle is None:
        return False
    try:
        return _remove(folder)
    finally:
        handle.release()


def _remove(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        try:
            if not _only_locks(folder):
                return False
            remove_files(folder)
            os.rmdir(folder)
        except OSError:
            return False
    return True


def _only_locks(folder: str) -> bool:
    """Whether a directory holds nothing but the locks of an array."""
    # Asked after every removal of a key: to list all that is left would make removing many keys quadratic. No locks: then
    # something else is in the way. A document: that is something else.
    if not os.path.lexists(os.path.join(folder, OWN)):
        return False
    if any(os.path.lexists(os.path.join(folder, name)) for name in (".zarray", "zarr.json")):
        return False
    with os.scandir(folder) as entries:
        return all(entry.name == OWN for entry in entries)  # the first other one ends it


def remove_empty(folders: list[str]) -> None:
    """Remove those of the directories that are empty, and nobody's; the deepest comes first."""
    for folder in folders:
        remove_folder(folder)


def remove_files(folder: str) -> None:
    """Remove the file of locks of the array in `folder`, which is going to be removed itself."""
    above = os.path.join(folder, OWN)
    with suppress(OSError):
        os.unlink(os.path.join(folder, FILE))
    remove_own(os.path.join(above, "locks"), above)


def remove_own(*folders: str) -> None:
    """Remove those of our own folders that are empty, the deepest first: nobody locks these as nodes."""
    for folder in folders:
        with suppress(OSError):
            os.rmdir(folder)


# ---- for transactions -----------------------------------------------------------------------------------------------


class Held:
    """Arrays and directories locked as a whole, until `release`, by descriptors of its own.

    So threads of this process are kept out too, unless they go by this object. timeout_s: how long to wait for others before
    StoreError; there is no order in which everybody takes such locks, so two might wait for each other. Calls are to be made
    one at a time; any thread may make them.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._arrays: dict[str, Handle] = {}
        self._folders: dict[str, Handle] = {}
        self._made: list[str] = []

    @property
    def arrays(self) -> list[str]:
        """The files of locks that are held."""
        return [*self._arrays]

    @property
    def folders(self) -> set[str]:
        """The directories that are held."""
        return {*self._folders}

    def array(self, folder: str) -> None:
        """Lock all chunks of the array in the directory `folder`, a real path; its node first, as whoever appends does."""
        path = os.path.join(folder, FILE)
        if path in self._arrays:
            return
        self.folder(folder)
        deadline = time.monotonic() + self._timeout_s
        file = LockFile(path)
        while True:
            handle = open_file(path)
            try:
                wait("file", handle, path, deadline=deadline)
                if file.is_current(handle):
                    self._arrays[path] = handle
                    return
            except BaseException:
                handle.release()
                raise
            handle.release()

    def folder(self, folder: str) -> bool:
        """Lock the node in the directory `folder`, a real path, and its documents; False where it was locked before."""
        if folder in self._folders:
            return False
        made: list[str] = []
        try:
            self._folders[folder] = lock_folder(folder, made, sync=True, deadline=time.monotonic() + self._timeout_s)
        finally:
            self._made[:0] = made
        return True

    def give_back(self, folder: str) -> None:
        """Give back the lock of one directory, in which nothing was changed."""
        handle = self._folders.pop(folder)
        if folder in self._made and _remove(folder):
            self._made.remove(folder)
        handle.release()

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
        try:
            for folder in self._made:
                if folder in self._folders:
                    _remove(folder)
            for folder in self._made:
                remove_folder(folder)
        finally:
            for handle in [*self._arrays.values(), *self._folders.values()]:
                handle.release()
            self._arrays.clear()
            self._folders.clear()
            self._made.clear()


def _forget() -> None:
    # The handles are closed by `filelocks`.
    global _table_lock
    _table_lock = threading.Lock()
    for folder in list(_folders.values()):
        folder.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
