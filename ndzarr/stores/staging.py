"""Transactions on a directory: what is written in one is staged beside it, recorded in one step, and then put in place.

Staged values are files in `<root>/.ndzarr/transactions/<id>/`. The commit is the renaming of a file there to `record`, which
lists what becomes of which key; all before it is on the disk by then. See `journal` for what follows, and
docs/design/0008-transactions.md for why this is safe at every moment.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import OWN
from ndzarr.stores import filelocks, folderlocks
from ndzarr.stores.base import reason
from ndzarr.stores.connections import Scope, entered, held, joined, scopes
from ndzarr.stores.files import sync_file, sync_folder, temp_name, write_all
from ndzarr.stores.journal import CREATE, FOLDER, RECORD, is_in, parents, remove, roll_forward, write_record
from ndzarr.stores.overlay import Overlay

#: How long one waits for a lock that another transaction has.
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class _Root:
    """What a scope of a directory goes by."""

    path: str


class Staged:
    """What one transaction has written so far, the locks that it holds, and its folder."""

    def __init__(self, root: str) -> None:
        self.overlay = Overlay(root)
        self.held = folderlocks.Held(TIMEOUT_S)
        self.root = root
        self._folder: str | None = None
        self._owner: Any = None
        self._made: list[str] = []

    @property
    def folder(self) -> str:
        """The folder for staged files, made when it is first asked for."""
        if self._folder is None:
            transactions = os.path.join(self.root, FOLDER)
            folder = os.path.join(transactions, temp_name())
            while True:
                folderlocks.make_folders(transactions, self._made)
                try:
                    os.mkdir(folder)
                    self._owner = folderlocks.own(folder)
                except FileNotFoundError:  # removed just now by another transaction that ended
                    continue
                break
            self._folder = folder
        return self._folder

    def new(self) -> str:
        """A name for a staged file."""
        return os.path.join(self.folder, temp_name())

    def hold(self, folder: str, name: str) -> bool:
        """Lock, until the end, whatever else locks `name` in a folder: its array as a whole, or the folder.

        True where it is the folder, and was not locked before.
        """
        found = None if name in filelocks.DOCUMENTS else filelocks.find(folder)
        try:
            if found is not None:
                self.held.array(found[0].folder)
            elif not self._is_new_array(folder):  # of which nobody else knows
                return self.held.folder(folder)
            return False
        except StoreError:
            raise
        except OSError as error:  # no room for the file of locks, or for the folder
            raise StoreError(f"cannot lock {folder!r} for a transaction: {reason(error)}", store=folder) from error

    def give_back(self, folder: str) -> None:
        """Give back the lock of a folder in which nothing was changed: whoever comes up from another node may wait for it."""
        if not self.overlay.changes_in(folder) and folder not in self._arrays():
            self.held.give_back(folder)

    def _arrays(self) -> set[str]:
        return {path[: -len(filelocks.FILE) - 1] for path in self.held.arrays}

    def _is_new_array(self, folder: str) -> bool:
        files, inside = self.overlay.files, self.overlay.relative(folder)
        while True:
            prefix = inside + "/" if inside else ""
            if files.get(prefix + "zarr.json") or files.get(prefix + ".zarray"):
                return True
            if not inside:
                return False
            inside = inside.rpartition("/")[0]

    def commit(self) -> None:
        """Let all of it be seen. Raises StoreError when it cannot be recorded, and nothing has happened then."""
        if self._folder is None or not self.overlay.files:
            self.discard()
            return
        record = os.path.join(self._folder, RECORD)
        interrupted: BaseException | None = None
        try:
            self.held.mark(record)
            write_record(self._folder, self.overlay, self.held.arrays)
            for folder in (
                self._folder,
                os.path.dirname(self._folder),
                os.path.join(self.root, OWN),
                self.root,
                *parents(self._made),
            ):
                sync_folder(folder)  # or the record might be on the disk, and the way to it not
            os.rename(os.path.join(self._folder, RECORD + ".new"), record)
            sync_folder(self._folder)
        except BaseException as error:
            if not os.path.exists(record):
                self.discard()
                if isinstance(error, OSError):
                    raise StoreError(
                        f"cannot record a transaction on {self.root!r}: {reason(error)}; what was written is undone",
                        store=self.root,
                    ) from error
                raise
            interrupted = error  # after it had happened: let it be seen, too
        try:
            if isinstance(interrupted, OSError):
                raise interrupted
            try:
                roll_forward(self._folder, self.held.folders)
            except KeyboardInterrupt as error:
                interrupted = error
                roll_forward(self._folder, self.held.folders)
        except OSError as error:
            raise StoreError(
                f"a transaction on {self.root!r} is recorded, but cannot be put in place: {reason(error)}; whoever opens the "
                f"directory next tries again, by {record!r}",
                store=self.root,
            ) from error
        finally:
            self._release()
        if interrupted is not None:
            raise interrupted

    def discard(self) -> None:
        """Let none of it have happened."""
        if self._folder is not None:
            with suppress(OSError):
                self.held.unmark()
            remove(self._folder)
        self._release()

    def _release(self) -> None:
        try:
            for folder in self._made:
                with suppress(OSError):
                    os.rmdir(folder)
        finally:
            self.held.release()
            if self._owner is not None:
                self._owner.release()


# ---- scopes ---------------------------------------------------------------------------------------------------------

#: How many transactions on directories run in this process: 0 spares everybody else the look.
live = 0
_live_lock = threading.Lock()


def scope_at(folder: str) -> Scope[Staged] | None:
    """The transaction that a real path is part of, of those that the code running now is in."""
    for identity, scope in scopes().items():
        if type(identity) is _Root and scope.lives and is_in(folder, identity.path):
            return scope
    return None


@contextmanager
def transaction(root: str, url: str) -> Iterator[None]:
    """See `Store.transaction`; `root` is a real path."""
    outer = scope_at(root)
    if outer is not None:
        with joined(outer, url):
            yield
        return
    if folderlocks.held_here():
        raise held(url)
    if any(type(identity) is _Root and scope.lives and is_in(identity.path, root) for identity, scope in scopes().items()):
        raise ArgumentError(
            f"cannot begin a transaction on {url} inside one on a part of it; begin the larger one first", store=url
        )
    scope = Scope(lambda: Staged(root), _end, url, TIMEOUT_S, whole=True)
    _count(1)
    try:
        with entered(_Root(root), scope):
            yield
    finally:
        _count(-1)


@contextmanager
def lock(scope: Scope[Staged], folder: str, name: str) -> Iterator[None]:
    """The lock of `name` in a folder, a real path, for code in a transaction: others are kept out until its end."""
    with scope.use() as staged:
        first = staged.hold(folder, name)
    # A fixed number of locks among the transaction's own threads; those of chunks apart from those of nodes, held around them.
    kept = folder if name in filelocks.DOCUMENTS else f"\0{zlib.crc32(f'{folder}/{name}'.encode()) % 256}"
    with scope.key(kept):
        try:
            yield
        finally:
            if first and scope.lives and scope.failed is None:
                with scope.use() as staged:
                    staged.give_back(folder)


def put(scope: Scope[Staged], path: str, view: memoryview) -> None:
    """Stage a value for a real path."""
    with scope.use() as staged:
        place = staged.new()
    try:
        fd = os.open(place, CREATE, 0o666)
        try:
            write_all(fd, view)
            sync_file(fd)  # before the record is; here, where threads do it at the same time
        finally:
            os.close(fd)
        with scope.use() as staged:
            staged.overlay.check(path)
            old = staged.overlay.put(path, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(place)
        raise
    if old is not None:
        with suppress(OSError):
            os.unlink(old)


def take(scope: Scope[Staged], path: str) -> None:
    """Stage that there is nothing at a real path; a directory there raises what the system would say."""
    with scope.use() as staged:
        if staged.overlay.is_folder(path) or os.path.isdir(staged.overlay.find(path) or "/dev/null"):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        found = staged.overlay.find(path)
        if found is None or not os.path.lexists(found):
            return
        _ = staged.folder  # there is something to commit
        old = staged.overlay.put(path, None)
    if old is not None:
        with suppress(OSError):
            os.unlink(old)


def _count(by: int) -> None:
    global live
    with _live_lock:
        live += by
        # What a transaction has locked, threads that are not part of it may wait for while it waits for them.
        filelocks.patience_s = TIMEOUT_S if live else None


def _end(staged: Staged, keep: bool) -> None:
    if keep:
        staged.commit()
    else:
        staged.discard()
