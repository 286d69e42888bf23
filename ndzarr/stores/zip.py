"""A store in one zip archive."""

from __future__ import annotations

import atexit
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections import ChainMap
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakSet

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, NodeExistsError, NodeNotFoundError, StoreError
from ndzarr.keys import check_key, check_prefix, is_key
from ndzarr.stores.base import Store, as_bytes, list_, node_lock_of, own_lock, span
from ndzarr.stores.connections import Scope, any_scopes, entered, held as under_lock, joined, scope_of
from ndzarr.stores.files import absolute_path, remove_leftovers, sync_file, sync_folder, temp_name
from ndzarr.stores.folderlocks import FolderLock, make_folders
from ndzarr.stores.pread import read_at
from ndzarr.stores.remains import Remain
from ndzarr.stores.spill import Spill, close_last
from ndzarr.stores.turns import Turns
from ndzarr.stores.zip_remains import remains
from ndzarr.stores.ziprecords import UTF8, Record, ends

#: Values not yet in the archive are held in memory up to this many bytes, then in an unnamed temporary file.
PENDING_BYTES = 64 << 20
_MODES = {"r": "r", "r+": "a", "a": "a", "w": "w", "w-": "x", "x": "x"}
_COPY_BYTES = 1 << 20
#: How long a transaction waits for the locks of other threads, and these for it.
TIMEOUT_S = 60.0
_BINARY = getattr(os, "O_BINARY", 0)

# (device, inode, size, mtime_ns): whether the file at the path is still the one that was opened.
_Identity = tuple[int, int, int, int]


class ZipStore(Store):
    """The members of the zip archive at `path`, written uncompressed, since chunks are compressed already.

    mode: "r" reads an archive that must be there; "a" (or "r+") also changes it, or makes it; "w" makes a new one in
    place of what is there; "x" (or "w-") makes one where nothing may be.

    Changes are held back until `flush` or `close`, which write a new archive beside the old one and rename it over it.
    So other processes see the old archive until then, a crash leaves it as it was, and no name is ever in it twice. The end of
    a transaction flushes, and is on the disk then; locks of other threads wait for it.
    Members that other tools compressed are read, and copied as they are. `get` sees changes at once.

    Raises StoreError for a file that is no archive, for damaged, encrypted or oversized members (their CRC is checked
    when they are read to the end, not by a read of a range), and from `flush` when another writer has changed the file
    meanwhile. NodeNotFoundError when mode "r" finds nothing. Members whose names are no keys ("../x", directories) are
    never listed.

    Thread-safe. A child of fork may read, not write. Pickles as its path, what is pending flushed first, for reading.
    """

    scheme: ClassVar[str | None] = "zip"
    tagged = True
    transactional = True
    _lock: Any  # see own_lock
    _dirty = False  # for __del__, of a store too that __init__ refused to make
    _refused = False  # whether the last `close` raised

    def __init__(self, path: str | os.PathLike[str], mode: str = "r") -> None:
        if mode not in _MODES:
            raise ArgumentError(f"mode is {mode!r}, expected one of {', '.join(_MODES)}", field="mode", found=mode)
        #: The archive's real path: a link to it is followed once, and not replaced.
        self.path = os.path.realpath(absolute_path(path))
        self.mode = mode
        self.writable = mode != "r"
        self._pid = os.getpid()
        own_lock(self)
        self._turns = Turns(f"a transaction on {self.url}")
        archive = self._open(_MODES[mode])
        # One attribute, so that a reader gets the archive and the changes to it that belong together.
        self._state: tuple[_Archive, dict[str, _Pending]] = (archive, {})
        self._spill: Spill | None = None
        self._made: list[str] = []  # folders above the archive that may not be on the disk yet
        self._held = 0
        self._serial = 0
        self._dirty = _MODES[mode] in "wx"  # an archive is made even if it stays empty
        if self.writable:
            _writers.add(self)

    def _open(self, mode: str) -> _Archive:
        try:
            if mode == "x" and os.path.lexists(self.path):
                raise NodeExistsError(f"cannot create {self.path!r}: it exists; mode 'w' would replace it", store=self.url)
            if mode in "wx":
                if os.path.isdir(self.path):
                    raise IsADirectoryError(f"{self.path!r} is a directory")
                return _Archive(None, identity=_identity(self.path))
            return _Archive.read(self.path, self.url, may_be_empty=mode == "a")
        except FileNotFoundError as error:
            if mode == "a":
                return _Archive(None)
            raise NodeNotFoundError(f"no archive at {self.path!r}", store=self.url) from error
        except (NodeExistsError, StoreError):
            raise
        except OSError as error:
            raise StoreError(f"cannot open the archive {self.path!r}: {error}", store=self.url) from error

    @property
    def url(self) -> str:
        return f"zip://{self.path}"

    def __getstate__(self) -> dict[str, Any]:
        self.flush()
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], "r")  # type: ignore[misc]  # as if made anew, in the other process

    # ---- reading --------------------------------------------------------------------------------

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        archive, pending = self._seen()
        held = pending.get(check_key(key))
        try:
            if held is not None:
                value = held.read()
                return value if range is None or value is None else memoryview(value)[range[0] : range[1]]
            member = archive.members.get(key)
            return None if member is None else archive.get(member, range)
        except Exception as error:  # zipfile and zlib raise many kinds on damaged members
            raise self._failed("read", key, error) from error

    def _seen(self) -> tuple[_Archive, Mapping[str, _Pending]]:
        """The archive, and what is changed in it as the code running now sees it."""
        scope = scope_of(self._scope_id) if any_scopes() else None
        archive, pending = self._state
        if scope is None:
            return archive, pending
        with scope.use() as staged:
            return archive, ChainMap(staged, pending)

    @property
    def _scope_id(self) -> Hashable:
        return "zip", id(self)

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        while True:
            state, (archive, pending) = self._state, self._seen()
            held = pending.get(check_key(key))
            value = self.get(key, range)
            # The value belongs to the tag only if nothing changed in between.
            if self._state is state and archive is state[0] and pending.get(key) is held:
                break
        if value is None:
            return None
        if held is not None:
            return value, (id(self), held.serial)
        return value, (archive.identity, archive.members[key].header_offset)

    def size(self, key: Key) -> int | None:
        archive, pending = self._seen()
        held = pending.get(check_key(key))
        if held is not None:
            return held.nbytes
        member = archive.members.get(key)
        return None if member is None else member.file_size

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        archive, pending = self._seen()
        with self._lock:
            changed = dict(pending)
        keys = [k for k in archive.members if k.startswith(prefix) and k not in changed]
        keys += [k for k, held in changed.items() if k.startswith(prefix) and held.nbytes is not None]
        return keys

    def object_id(self, key: Key) -> Hashable:
        return (self.path, key)

    # ---- writing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        check_key(key)
        self._must_write(key)
        data = as_bytes(key, value)
        with self._changing() as pending, self._lock:
            self._hold(key, data, self._state[1] if pending is None else pending)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, _Pending] | None]:
        """What a transaction has changed, where the code running now is in one, to be changed; else None."""
        scope = scope_of(self._scope_id) if any_scopes() else None
        if scope is None:
            yield None
        else:
            with scope.use() as staged:
                yield staged

    def delete(self, key: Key) -> None:
        check_key(key)
        self._must_write(key)
        with self._changing() as staged, self._lock:
            archive, pending = self._state
            if key in archive.members or key in pending or (staged is not None and key in staged):
                self._hold(key, None, pending if staged is None else staged)

    def _must_write(self, key: Key) -> None:
        super()._must_write(key)
        if self._pid != os.getpid():
            raise StoreError(
                f"cannot change {key!r}: {self.url} was opened for writing by process {self._pid}; this is its child "
                f"{os.getpid()}; an archive has one writer",
                store=self.url,
                key=key,
            )

    def _hold(self, key: Key, data: bytes | None, pending: dict[str, _Pending]) -> None:
        """Keep `data` (None: deleted) in `pending`, for `flush`. The lock is held."""
        before = pending.get(key)
        if before is not None and isinstance(before.data, bytes):
            self._held -= len(before.data)
        self._serial += 1
        crc = 0 if data is None else zlib.crc32(data)
        if data is None or self._held + len(data) <= PENDING_BYTES:
            self._held += len(data or b"")
            pending[key] = _Pending(data, None if data is None else len(data), crc, self._serial)
        else:
            try:
                if self._spill is None:
                    self._spill = Spill(self._made_folder())
                pending[key] = _Pending(self._spill.add(data), len(data), crc, self._serial)
            except OSError as error:
                if before is not None and isinstance(before.data, bytes):
                    self._held += len(before.data)
                raise self._failed("write", key, error) from error
        self._dirty = self._dirty or pending is self._state[1]

    # ---- transactions --------------------------------------------------------------------------------

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        return self._locked(check_key(key), super().lock(key))

    def lock_node(self, key: Key) -> AbstractContextManager[Any]:
        return self._locked("node of " + check_key(key), node_lock_of(self.object_id(key)))

    @contextmanager
    def _locked(self, name: str, lock: AbstractContextManager[Any]) -> Iterator[None]:
        scope = scope_of(self._scope_id) if any_scopes() else None
        if scope is not None:
            with scope.key(name):
                yield
        elif self._pid != os.getpid():
            yield  # a child of fork changes nothing
        else:
            with self._turns.shared(TIMEOUT_S), lock:
                yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes of the block reach the archive on the disk together, at its end, or not at all. One inside is part of it."""
        self._must_write("")
        outer = scope_of(self._scope_id)
        if outer is not None:
            with joined(outer, self.url):
                yield
            return
        if self._turns.mine:
            raise under_lock(self.url)
        scope: Scope[dict[str, _Pending]] = Scope(dict, self._end, self.url, TIMEOUT_S, whole=True)
        with self._turns.alone(TIMEOUT_S), entered(self._scope_id, scope):
            yield

    def _end(self, staged: dict[str, _Pending], keep: bool) -> None:
        with self._lock:
            archive, pending = self._state
            if not keep or not staged:
                self._held -= sum(len(held.data) for held in staged.values() if isinstance(held.data, bytes))
                return
            dirty, self._dirty = self._dirty, True
            self._state = (archive, {**pending, **staged})
            try:
                with config.options(durable=True):
                    self.flush()
            except BaseException as error:
                if self._state[0] is archive:
                    self._state, self._dirty = (archive, pending), dirty
                if isinstance(error, StoreError):
                    error.add_note("what was written in the transaction is undone")
                raise

    def flush(self) -> None:
        """Put what is pending into the archive on disk; after a StoreError the old one stands, and all is pending."""
        if any_scopes() and scope_of(self._scope_id) is not None:
            return  # at its end
        if self._pid != os.getpid():
            return  # what the parent holds is the parent's to write
        with self._lock:
            if not self._dirty:
                return
            archive, pending = self._state
            folder = os.path.dirname(self.path)
            temp = os.path.join(folder, temp_name())
            durable = config.current().durable
            interrupted: BaseException | None = None
            written = False
            try:
                self._check_unchanged(archive)
                self._made_folder()
                remove_leftovers(folder)
                try:
                    _write_archive(temp, archive, pending, self.path, durable)
                    written = True
                    with FolderLock(folder):  # two that look at the same moment would both find nothing changed
                        self._check_unchanged(archive)
                        os.replace(temp, self.path)
                except BaseException as error:
                    if not written or os.path.lexists(temp):
                        with suppress(OSError):
                            os.unlink(temp)
                        raise
                    interrupted = error  # when it had happened
            except StoreError:
                raise
            except Exception as error:  # a member to be copied may be damaged, in any of many ways
                raise StoreError(
                    f"cannot write the archive {self.path!r}: {type(error).__name__}: {error}; the old one stands",
                    store=self.url,
                ) from error
            try:
                if durable:
                    for changed in (folder, *(os.path.dirname(made) for made in self._made)):
                        sync_folder(changed)
                    self._made.clear()
            except OSError as error:
                raise StoreError(f"{self.path!r} is written, but may not be on the disk: {error}", store=self.url) from error
            finally:
                # Readers that still use the old archive keep it open by their reference.
                self._state = (_Archive.read(self.path, self.url), {})
                self._spill, self._held, self._dirty = None, 0, False
            if interrupted is not None:
                raise interrupted

    def _check_unchanged(self, archive: _Archive) -> None:
        if _identity(self.path) != archive.identity:
            raise StoreError(f"cannot write {self.path!r}: another writer has changed it since it was opened", store=self.url)

    def _made_folder(self) -> str:
        """The folder of the archive, made if there is none."""
        folder = os.path.dirname(self.path)
        make_folders(folder, self._made)
        return folder

    # ---- what lies beside the keys --------------------------------------------------------------------------------

    def remains(self, path: str = "") -> Iterable[Remain]:
        return remains(self._state[0].fd, self.path, path)

    def tidy(self, remain: Remain) -> None:
        self._must_write(remain.name)
        with self._lock:
            self._dirty = True  # `flush` writes each name once, and removes leftovers beside the archive
            archive = self._state[0]
            if remain.kind == "leftover":
                archive.others[:] = [member for member in archive.others if member.filename != remain.name]
                if remain.name in archive.members:
                    self.delete(remain.name)

    def _as_it_lies(self, key: Key) -> Buffer | None:
        try:
            return self.get(key)
        except StoreError:
            archive = self._state[0]
            if (member := archive.members.get(key)) is not None:
                with suppress(Exception):
                    return b"".join(_raw(archive, member))
            raise

    def close(self) -> None:
        """Flush. The store may be used again afterwards; what is changed then wants another close."""
        self._refused = True
        self.flush()
        self._refused = False

    def __del__(self) -> None:
        if not self._dirty or self._pid != os.getpid():
            return
        if self._refused:  # `close` has said why; maybe it works now
            with suppress(StoreError):
                self.flush()
            return
        self.flush()
        warnings.warn(f"{self!r} was not closed; its changes were written late", ResourceWarning, source=self, stacklevel=2)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A value that is not yet in the archive: bytes, a place in the spill file, or None where a member is deleted."""

    data: bytes | tuple[Spill, int] | None
    nbytes: int | None
    crc: int
    serial: int

    def read(self) -> bytes | None:
        if not isinstance(self.data, tuple):
            return self.data
        spill, start = self.data
        return read_at(spill.file.fileno(), start, self.nbytes or 0)


class _Archive:
    """An archive as it was when opened: its file, kept open, and its members. Immutable, so it needs no lock.

    Members are read by position (`pread`), never through a shared file offset: neither threads nor children of fork can
    disturb each other.
    """

    def __init__(self, fd: int | None, identity: _Identity | None = None) -> None:
        self.identity = identity
        self.members: dict[str, zipfile.ZipInfo] = {}  # those whose names are keys
        self.others: list[zipfile.ZipInfo] = []  # the rest, for copying
        self.comment = b""
        self.nbytes = 0
        self._starts: dict[int, int] = {}  # header offset -> where the data starts
        self.fd = -1 if fd is None else fd
        if fd is not None:
            close_last(self, os.close, fd)

    @classmethod
    def read(cls, path: str, url: str, *, may_be_empty: bool = False) -> _Archive:
        fd = os.open(path, os.O_RDONLY | _BINARY)
        info = os.fstat(fd)
        archive = cls(fd, _identity_of(info))
        archive.nbytes = info.st_size
        if stat.S_ISDIR(info.st_mode):
            raise IsADirectoryError(f"{path!r} is a directory")
        if not info.st_size and may_be_empty:  # as tempfile makes them
            return archive
        try:
            with os.fdopen(fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as parsed:
                archive.comment = parsed.comment
                unique = {member.filename: member for member in parsed.infolist()}  # of several the last, as zip tools do
        except Exception as error:  # zipfile raises struct.error, ValueError, UnicodeDecodeError ... on damaged archives
            raise StoreError(
                f"cannot open {path!r} as a zip archive: {type(error).__name__}: {error}; it is damaged or none",
                store=url,
            ) from error
        for name, member in unique.items():
            # `filename` is cut at NUL and has "/" for Windows' "\"; the original shows what the archive says.
            if member.orig_filename == name and is_key(name):
                archive.members[name] = member
            else:
                archive.others.append(member)
        return archive

    def get(self, member: zipfile.ZipInfo, range: ByteRange | None) -> Buffer:
        if member.flag_bits & 0x1:
            raise zipfile.BadZipFile("the member is encrypted")
        start, length = (0, member.file_size) if range is None else span(range, member.file_size)
        limit = config.current().max_object
        if length > limit:
            raise zipfile.BadZipFile(
                f"the member claims {member.file_size} bytes, more than options(max_object={limit}) allows to read"
            )
        if member.compress_type == zipfile.ZIP_STORED:
            return self._get_stored(member, start, length)
        # ZipExtFile decompresses and, at the end, checks the CRC. It is read in steps, so a bomb gives no more than its
        # claim.
        file = zipfile.ZipExtFile(_Window(self, member), "r", member)
        while start and (skipped := file.read(min(start, _COPY_BYTES))):
            start -= len(skipped)
        data = file.read(length)
        if start or len(data) != length:
            raise zipfile.BadZipFile(f"the member ends before its {member.file_size} bytes")
        return data

    def _get_stored(self, member: zipfile.ZipInfo, start: int, length: int) -> bytes:
        if member.compress_size != member.file_size:
            raise zipfile.BadZipFile(
                f"the member is stored as {member.compress_size} bytes and claims to hold {member.file_size}"
            )
        data = self.read_at(self.data_start(member) + start, length)
        if length == member.file_size and (crc := zlib.crc32(data)) != member.CRC:
            raise zipfile.BadZipFile(f"its crc32 is {crc:#010x}, the archive says {member.CRC:#010x}; the member is damaged")
        return data

    def data_start(self, member: zipfile.ZipInfo) -> int:
        """Where the data of `member` starts: after its local header, whose length only that header tells."""
        at = member.header_offset
        start = self._starts.get(at)
        if start is None:
            header = self.read_at(at, 30)
            name_nbytes, extra_nbytes = struct.unpack_from("<HH", header, 26)
            name = member.orig_filename.encode("utf-8" if member.flag_bits & UTF8 else "cp437")
            if header[:4] != b"PK\x03\x04" or self.read_at(at + 30, name_nbytes) != name:
                raise zipfile.BadZipFile(f"there is no header of {member.filename!r} at byte {at}; the archive is damaged")
            start = self._starts[at] = at + 30 + name_nbytes + extra_nbytes
        return start

    def read_at(self, start: int, length: int) -> bytes:
        # Before anything is allocated: a damaged directory may claim any size.
        if start < 0 or start + length > self.nbytes:
            raise zipfile.BadZipFile(f"it names the bytes {start} to {start + length} of {self.nbytes}; the archive is damaged")
        return read_at(self.fd, start, length)


class _Window:
    """The compressed bytes of one member as a file that is read forwards."""

    def __init__(self, archive: _Archive, member: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._at = archive.data_start(member)
        self._end = self._at + member.compress_size

    def read(self, nbytes: int) -> bytes:
        data = self._archive.read_at(self._at, min(nbytes, self._end - self._at))
        self._at += len(data)
        return data

    def seekable(self) -> bool:
        return False


def _identity_of(info: os.stat_result) -> _Identity:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def _identity(path: str) -> _Identity | None:
    try:
        return _identity_of(os.stat(path))
    except FileNotFoundError:
        return None


# ---- writing an archive ---------------------------------------------------------------------------------------------


def _write_archive(temp: str, archive: _Archive, pending: dict[str, _Pending], path: str, durable: bool) -> None:
    """Write to the new file `temp` what `archive` holds, changed by `pending`."""
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    with os.fdopen(fd, "wb", buffering=_COPY_BYTES) as file:
        with suppress(OSError):  # where there is an archive, the new one has its permissions
            os.chmod(temp, stat.S_IMODE(os.stat(path).st_mode))
        directory = []
        for record, parts in _contents(archive, pending):
            directory.append(record.central(file.tell()))
            file.write(record.local())
            for part in parts:
                file.write(part)
        start = file.tell()
        nbytes = sum(map(len, directory))
        file.writelines(directory)
        file.write(ends(len(directory), start, nbytes, archive.comment))
        file.flush()
        if durable:
            sync_file(file.fileno())


def _contents(archive: _Archive, pending: dict[str, _Pending]) -> Iterator[tuple[Record, Iterable[bytes]]]:
    for member in [*archive.others, *(m for key, m in archive.members.items() if key not in pending)]:
        yield Record.of_member(member), _raw(archive, member)
    for key, held in pending.items():
        value = held.read()
        if value is not None:
            yield Record.of_value(key, held.crc, len(value)), [value]


def _raw(archive: _Archive, member: zipfile.ZipInfo) -> Iterator[bytes]:
    at, left = archive.data_start(member), member.compress_size
    while left:
        data = archive.read_at(at, min(left, _COPY_BYTES))
        yield data
        at += len(data)
        left -= len(data)


# Archives that may have something to flush. At exit the interpreter may not run __del__, or too late to open files.
_writers: WeakSet[ZipStore] = WeakSet()


@atexit.register
def _flush_writers() -> None:
    for store in list_(_writers):
        store.__del__()
