"""A store in a directory: one file per key."""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, ClassVar, TypeVar

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix, is_key
from ndzarr.stores import fileevidence, filelocks, folderlocks, journal, local_remains, spelling, staging
from ndzarr.stores.base import NO_KEY, Store, as_view, list_, node_lock_of
from ndzarr.stores.connections import Scope
from ndzarr.stores.files import (
    BINARY,
    TRUSTED_LENGTH,
    absolute_path,
    read_file,
    remove_leftovers,
    sync_file,
    sync_folder,
    temp_name,
    write_all,
)
from ndzarr.stores.folderlocks import remove_folder
from ndzarr.stores.local_places import Places
from ndzarr.stores.overlay import Overlay
from ndzarr.stores.remains import Remain

T = TypeVar("T")

_READ = os.O_RDONLY | BINARY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY
#: How often a write starts again when its directory or its temporary file is taken away meanwhile.
_TRIES = 100
#: Directories whose state is kept.
_CACHED = 1 << 14
#: How long a directory counts as swept: a process may outlive many that write beside it, and die.
_SWEPT_S = 600.0


class LocalStore(Store):
    """Files under the directory `path`, which need not exist: then every key is missing, and the first `set` makes it.

    A value is replaced by writing a temporary file in the same directory and renaming it over the old one, so a reader,
    or a crash, sees the whole old or the whole new value (promise P1). Under `options(durable=True)` file and directory
    are synced before `set` returns. Temporary files that a dead process left are removed by the next writer in their
    directory.

    `follow_symlinks=False` refuses, with StoreError, every key that symbolic links lead out of the directory; it holds
    against a hostile archive that was unpacked here, not against someone changing links at the same moment.
    `readonly=True` refuses writes. Pickles by its path. Thread-safe, without a lock of its own.

    Locks keep other processes on this host out too, where the system and the file system have them (`stores.filelocks`): those
    of an array's chunks lie in a folder `.ndzarr` beside them.
    """

    scheme: ClassVar[str | None] = "file"
    tagged, evidence_after_s = True, fileevidence.AFTER_S
    exclusive = filelocks.AVAILABLE
    transactional = filelocks.AVAILABLE

    def __init__(self, path: str | os.PathLike[str], *, follow_symlinks: bool = True, readonly: bool = False) -> None:
        #: The directory, absolute: a later chdir changes nothing.
        self.root = absolute_path(path)
        self.follow_symlinks = follow_symlinks
        self.writable = not readonly
        self._prepare()

    def _prepare(self) -> None:
        self._prefix = self.root if self.root.endswith(os.sep) else self.root + os.sep
        self._swept: dict[str, float] = {}  # directories whose leftovers this store has removed, and when
        # Directories whose own entry is known to be on disk, by their inode: another process may make one again.
        self._synced: dict[str, int] = {}
        self._spelt: spelling.Sure = {}
        self._places = Places(self._prefix)
        # What a transaction that was cut short has recorded, and cannot be put in place here.
        self._overlays: list_[Overlay] = []
        self.settle()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> LocalStore:
        """The store of a `file:` URL of this host."""
        from urllib.parse import urlsplit
        from urllib.request import url2pathname  # brings half of the network modules: 20 ms

        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
            raise ArgumentError(f"cannot open {url!r}: expected file:///path, without host, query or fragment", found=url)
        return cls(url2pathname(parts.path), **options)

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "follow_symlinks": self.follow_symlinks, "writable": self.writable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        # No stat and no exists: open says whether it is there. A directory opens too, and the read then fails with
        # EISDIR.
        check_key(key)
        if not self.follow_symlinks:
            self._inside(key)
        try:
            fd = self._opened(key)
            if fd is None:
                return None
            try:
                return read_file(fd, range)
            finally:
                os.close(fd)
        except (FileNotFoundError, NotADirectoryError):
            # ENOTDIR: a parent is a file, as when "0" is a chunk and "0/1" is asked for. There is no such key.
            return None
        except OSError as error:
            raise self._failed("read", key, error) from error

    def _opened(self, key: Key) -> int | None:
        """A descriptor of the file that holds a value; None where it is deleted. FileNotFoundError where there is none."""
        path = self._path(key)
        if path is None:
            return None
        try:
            return os.open(path, _READ)
        except FileNotFoundError:
            if path == self._prefix + key:
                raise
            # Staged by a transaction that another process has just put in place.
            return os.open(self._prefix + key, _READ)

    def shortcut(self, most: int) -> Callable[[Key], Buffer | None] | None:
        if type(self) is not LocalStore or not self.follow_symlinks or most > TRUSTED_LENGTH:
            return None
        prefix, overlays, open_, read, close = self._prefix, self._overlays, os.open, os.read, os.close

        def first(key: Key) -> Buffer | None:
            # One read where `get` makes two: whether it reached the end is for the caller to see. Each call of the system
            # also lets go of the GIL, which another thread that reads then takes.
            if staging.live or overlays:
                return None
            try:
                fd = open_(prefix + key, _READ)
            except FileNotFoundError:
                return NO_KEY
            except OSError:
                return None
            try:
                return read(fd, most)
            except OSError:
                return None
            finally:
                close(fd)

        return first

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        check_key(key)
        if not self.follow_symlinks:
            self._inside(key)
        try:
            fd = self._opened(key)
            if fd is None:
                return None
            try:
                # Of the opened file, so that it is the tag of these bytes even when the name is replaced meanwhile.
                info = os.fstat(fd)
                return read_file(fd, range), _tag_of(info)
            finally:
                os.close(fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed("read", key, error) from error

    def tag(self, key: Key) -> Hashable | None:
        if type(self) is not LocalStore:
            return super().tag(key)  # by `get_tagged`, which may be a subclass's own
        info = self._stat(key)
        return None if info is None else _tag_of(info)

    def _stat(self, key: Key) -> os.stat_result | None:
        check_key(key)
        if not self.follow_symlinks:
            self._inside(key)
        path = self._path(key)
        if path is None:
            return None
        try:
            try:
                return os.stat(path)
            except FileNotFoundError:
                if path == self._prefix + key:
                    raise
                return os.stat(self._prefix + key)  # see `_opened`
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed("read", key, error) from error

    def get_many(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list[Buffer | None]:
        get = self.get
        return [get(key, range) for key, range in requests]

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        plain = type(self) is LocalStore and self.follow_symlinks and not (staging.live or self._overlays)
        return fileevidence.file_evidence(self._prefix, keys) if plain else super().evidence(keys)

    def size(self, key: Key) -> int | None:
        info = self._stat(key)
        if info is None:
            return None
        if stat.S_ISDIR(info.st_mode):
            raise StoreError(f"cannot read {key!r} in {self.url}: a directory is in its place", store=self.url, key=key)
        return info.st_size

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        folder, slash, start = prefix.rpartition("/")
        return self._walk(folder + slash, start, [])

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        """The names directly under `prefix`, from one directory; a subdirectory that is empty is named too."""
        check_folder(prefix)
        return [name + "/" if is_folder else name for name, is_folder, _ in self._entries(prefix)]

    def _walk(self, folder: str, start: str, above: list_[str]) -> Iterator[Key]:
        above = [*above, self._prefix + folder]
        for name, is_folder, is_link in self._entries(folder):
            if not name.startswith(start):
                continue
            if not is_folder:
                yield folder + name
            elif not is_link or not _leads_back(self._prefix + folder + name, above):
                yield from self._walk(f"{folder}{name}/", "", above)

    def _entries(self, folder: str) -> list_[tuple[str, bool, bool]]:
        """(name, is a directory, is a link) of what stands in `folder` and may be a key or hold one."""
        if folder and not self.follow_symlinks:
            self._inside(folder)
        found = []
        try:
            with os.scandir(self._prefix + folder) as entries:
                for entry in entries:
                    if not is_key(entry.name):
                        continue  # temporary files, and names that no key could reach
                    is_link = entry.is_symlink()
                    if is_link and not self._listed(folder + entry.name):
                        continue
                    found.append((entry.name, entry.is_dir(), is_link))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise self._failed("list", folder, error) from error
        if staging.live or self._overlays:
            return self._staged(folder[:-1], lambda overlay, path: overlay.listed(path, found), found)
        return found

    def _listed(self, key: Key) -> bool:
        """Whether the link at `key` leads to something, and somewhere it may."""
        return os.path.exists(self._prefix + key) and (self.follow_symlinks or self._is_inside(key))

    # ---- writing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        path, folder = self._writable_path(key)
        view = as_view(key, value)
        if staging.live and (scope := self._scope(key)) is not None:
            try:
                staging.put(scope[0], scope[1], view)
            except OSError as error:
                raise self._failed("write", key, error) from error
            return
        durable = config.current().durable
        if folder not in self._swept or time.monotonic() - self._swept[folder] > _SWEPT_S:
            self._sweep(folder, again=False)
        for attempt in itertools.count(1):
            try:
                self._replace(path, folder, view, durable)
                break
            except FileNotFoundError as error:
                # The directory is not there yet; or a `delete` removed it since, being empty; or somebody took our file
                # for a leftover. Each is cured by starting again.
                if attempt == _TRIES:
                    raise self._failed("write", key, error) from error
                try:
                    self._make_folder(folder, durable)
                except (FileNotFoundError, FileExistsError):
                    continue  # that `delete` again, while we were making it
                except OSError as reason:
                    raise self._failed("make the directory of", key, reason) from reason
            except OSError as error:
                raise self._failed("write", key, error) from error
        if durable:
            try:
                self._sync_folders(folder)
            except OSError as error:
                raise self._failed("sync the directory of", key, error) from error

    def delete(self, key: Key) -> None:
        path, folder = self._writable_path(key)
        if staging.live and (scope := self._scope(key)) is not None:
            try:
                staging.take(scope[0], scope[1])
            except OSError as error:
                raise self._failed("delete", key, error) from error
            return
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            if config.current().durable:  # it may have gone a moment ago, and not from the disk
                self._sync_nearest(key, folder)
            return
        except OSError as error:
            raise self._failed("delete", key, error) from error
        self._removed(key, folder)

    def delete_prefix(self, prefix: str) -> None:
        check_prefix(prefix)
        self._must_write(prefix)
        if staging.live and self._scope(prefix or "a") is not None:
            self.delete_many(list_(self.list(prefix)))
            return
        folder, slash, start = prefix.rpartition("/")
        if slash and not start and os.path.islink(self._prefix + folder):
            self.delete(folder)  # the link goes, not what it leads to
            return
        for name, is_folder, is_link in self._entries(folder + slash):
            if name.startswith(start):
                self._delete_tree(folder + slash + name, is_folder and not is_link)
        if slash:
            self._sweep(self._prefix + folder)
        self._removed(prefix, self._prefix + folder if slash else self.root)

    def move_prefix(self, old: str, new: str) -> bool:
        for folder in (old, new):
            check_folder(folder)
            self._must_write(folder)
        source, target = self._prefix + old[:-1], self._prefix + new[:-1]
        # A link in the way, or a promise to be durable, is for the general way.
        if staging.live and self._scope(old or "a") is not None:
            return False
        if not old or not new or not self.follow_symlinks or config.current().durable or os.path.islink(source):
            return False
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(source, target)  # refuses where something is, and goes to no other file system
        except OSError:
            return False
        self._places.clear()
        self._swept.clear()
        self._removed(old, os.path.dirname(source))
        return True

    def _delete_tree(self, key: Key, is_folder: bool) -> None:
        path = self._prefix + key
        try:
            if not is_folder:  # a link goes, not what it leads to
                os.unlink(path)
                return
            for name, deeper, is_link in self._entries(key + "/"):
                self._delete_tree(f"{key}/{name}", deeper and not is_link)
            self._sweep(path)
            if remove_folder(path):
                self._forget(path)
            elif config.current().durable:
                sync_folder(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._failed("delete", key, error) from error

    def _removed(self, key: Key, folder: str) -> None:
        """Tidy up after a removal in `folder`: the directories left empty go, up to the root, which stays."""
        while len(folder) > len(self.root):
            if not remove_folder(folder):
                break
            self._forget(folder)
            folder = os.path.dirname(folder)
        if config.current().durable:
            self._sync_nearest(key, folder)

    def _sync_nearest(self, key: Key, folder: str) -> None:
        """Sync `folder` after a removal in it; where it is gone itself, the nearest above it, but none above the root."""
        while len(folder) >= len(self.root):
            try:
                sync_folder(folder)
                return
            except (FileNotFoundError, NotADirectoryError):
                folder = os.path.dirname(folder)
            except OSError as error:
                raise self._failed("sync the directory of", key, error) from error

    def _forget(self, folder: str) -> None:
        self._swept.pop(folder, None)
        self._synced.pop(folder, None)

    def _writable_path(self, key: Key) -> tuple[str, str]:
        """The path of `key` and of its directory, when it may be written."""
        check_key(key)
        self._must_write(key)
        folder, slash, _ = key.rpartition("/")
        if slash and not self.follow_symlinks:
            self._inside(folder)  # rename and unlink do not follow the last name
        return self._prefix + key, self._prefix + folder if slash else self.root

    def _replace(self, path: str, folder: str, view: memoryview, durable: bool) -> None:
        """Write a temporary file and rename it to `path`; whatever is raised, the temporary file is gone."""
        while True:
            temp = f"{folder}{os.sep}{temp_name()}"
            try:
                fd = os.open(temp, _CREATE, 0o666)
                break
            except FileExistsError:
                continue  # left by a process that had our number
        try:
            try:
                write_all(fd, view)
                # The time of the write to the nanosecond. File systems stamp files by a clock of some milliseconds, and
                # give a freed inode number to the next file: two quick changes could have had the tag of the first.
                if os.utime in os.supports_fd:
                    with suppress(OSError):
                        now = time.time_ns()
                        os.utime(fd, ns=(now, now))
                if durable:
                    sync_file(fd)
            finally:
                os.close(fd)  # may be where a network file system says that the disk is full
            os.replace(temp, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temp)
            raise

    def _make_folder(self, folder: str, durable: bool) -> None:
        if not durable:
            with suppress(FileNotFoundError, FileExistsError):
                os.mkdir(folder)  # most often it is the last alone that is missing
                self._synced.pop(folder, None)
                return
        missing = []
        above = folder
        while not os.path.isdir(above):
            missing.append(above)
            self._synced.pop(above, None)
            above = os.path.dirname(above)
        os.makedirs(folder, exist_ok=True)
        if durable:
            for made in missing:
                sync_folder(os.path.dirname(made))

    def _sync_folders(self, folder: str) -> None:
        """Sync `folder` after a change and, once, those above up to the root's parent: others may have made them."""
        sync_folder(folder)
        while len(folder) >= len(self.root):
            inode = os.stat(folder).st_ino
            if self._synced.get(folder) == inode:
                return
            above = os.path.dirname(folder)
            sync_folder(above)
            if len(self._synced) >= _CACHED:
                self._synced.clear()
            self._synced[folder] = inode
            folder = above

    def _sweep(self, folder: str, *, again: bool = True) -> None:
        if len(self._swept) >= _CACHED:
            self._swept.clear()
        self._swept[folder] = time.monotonic()
        remove_leftovers(folder, again=again)

    # ---- where things are --------------------------------------------------------------------------------

    def object_id(self, key: Key) -> Hashable:
        folder, _, name = check_key(key).rpartition("/")
        return f"{self._places.real(folder)}/{name}"

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        folder, _, name = check_key(key).rpartition("/")
        if staging.live and (scope := self._scope(key)) is not None:
            return staging.lock(scope[0], self._places.real(folder), name)
        found = self._places.array(folder)
        if found is None or name in filelocks.DOCUMENTS:
            return self.lock_node(key)  # of no array: the lock of its directory
        file, below = found
        return filelocks.ChunkLock(file, below + name)

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        folder, slash, _ = check_key(key).rpartition("/")
        if slash and not self.follow_symlinks:
            self._inside(folder)  # the directory is made where there is none
        if staging.live and (scope := self._scope(key)) is not None:
            return staging.lock(scope[0], self._places.real(folder), ".zarray")
        if self.writable and filelocks.AVAILABLE:
            return folderlocks.FolderLock(self._places.real(folder))
        return node_lock_of(self.object_id(folder + slash + "node"))

    # ---- transactions --------------------------------------------------------------------------------

    def transaction(self) -> AbstractContextManager[Any]:
        """Writes below the directory, whichever store they go through, are seen by others together or never; see `staging`."""
        self._must_write("")
        return staging.transaction(self._places.real(""), self.url) if self.transactional else super().transaction()

    def settle(self, path: str = "") -> None:
        top = self._places.real("")
        found = journal.settle_above(self._places.real(path) if path else top, change=self.writable, top=top if path else None)
        self._overlays[:] = [*(old for old in self._overlays if old.holds), *found]

    def other_spelling(self, path: str) -> tuple[str, str] | None:
        return spelling.other(self.root, path, self._spelt)

    def _scope(self, key: Key) -> tuple[Scope[staging.Staged], str] | None:
        """The transaction that a change of `key` is part of, and the real path of its file."""
        folder, _, name = key.rpartition("/")
        path = f"{self._places.real(folder)}/{name}"
        scope = staging.scope_at(path)
        return None if scope is None else (scope, path)

    def _path(self, key: Key) -> str | None:
        """The file that holds the value of `key`; None where it is deleted, in this transaction or one that was cut short."""
        path = self._prefix + key
        if not staging.live and not self._overlays:
            return path
        folder, _, name = key.rpartition("/")
        found: str | None = path
        return self._staged(folder, lambda overlay, real: overlay.find(f"{real}/{name}"), found)

    def _staged(self, folder: str, ask: Callable[[Overlay, str], T], otherwise: T) -> T:
        """What `ask` finds of a folder in the overlay that it is below, given its real path."""
        real = self._places.real(folder)
        scope = staging.scope_at(real) if staging.live else None
        if scope is not None:
            with scope.use() as staged:
                return ask(staged.overlay, real)
        for overlay in self._overlays:
            if journal.is_in(real, overlay.root) and overlay.holds:
                return ask(overlay, real)
        return otherwise

    # ---- what lies beside the keys --------------------------------------------------------------------------------

    def remains(self, path: str = "") -> Iterable[Remain]:
        return local_remains.remains(self.root, path)

    def tidy(self, remain: Remain) -> None:
        self._must_write(remain.name)
        local_remains.tidy(self.root, remain)

    def set_aside(self, key: Key, path: str, *, keep: bool = False) -> str:
        self._writable_path(key)
        check_prefix(path)
        try:
            return local_remains.set_aside(self.root, key, path, keep=keep)
        except OSError as error:
            raise self._failed("set aside", key, error) from error

    # ---- symbolic links --------------------------------------------------------------------------------

    def _is_inside(self, key: Key) -> bool:
        real_root = os.path.join(os.path.realpath(self.root), "")
        return os.path.join(os.path.realpath(self._prefix + key), "").startswith(real_root)

    def _inside(self, key: Key) -> None:
        if not self._is_inside(key):
            raise StoreError(
                f"refused {key!r} in {self.url}: symbolic links lead out of the directory and follow_symlinks=False",
                store=self.url,
                key=key,
            )


def _leads_back(path: str, above: list_[str]) -> bool:
    """Whether the link at `path` is one of the directories `above` it: following it would not end."""
    with suppress(OSError):
        target = os.stat(path)
        return any(os.path.samestat(target, os.stat(folder)) for folder in above)
    return True


def _tag_of(info: os.stat_result) -> Hashable:
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
