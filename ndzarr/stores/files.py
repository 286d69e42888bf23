"""Files of ours on a local disk: read and written whole, put on the disk, and known for ours when they are left over."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from contextlib import suppress

from ndzarr._typing import ByteRange
from ndzarr.errors import ArgumentError
from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores.base import span

BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_POSIX = os.name == "posix"
#: Lengths beyond this are asked of the file first: `os.read` allocates what it is asked for.
TRUSTED_LENGTH = 1 << 20
#: A temporary file of this age is a leftover whoever wrote it (promise P22).
_LEFTOVER_AGE_S = 3600.0

#: From so many names on it counts what it takes to look at each.
_MANY = 1000
#: Directories of that many that were gone through: until when that is enough, by `time.monotonic`.
_looked_until: dict[str, float] = {}

_node = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "host")
HOST = re.sub(r"[^A-Za-z0-9_.]", "_", _node)[:64] or "host"
_numbers = itertools.count()
_parse_temp = re.compile(re.escape(TEMP_PREFIX) + r"(.+)-([1-9][0-9]{0,9})-[0-9]+", re.DOTALL).fullmatch


def absolute_path(path: object) -> str:
    """The absolute form of a caller's path. Raises ArgumentError for what is none."""
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str) or not name or "\0" in name:
        raise ArgumentError(f"cannot open {path!r}: expected a path, a str or os.PathLike of one", found=path)
    return os.path.abspath(name)


def temp_name() -> str:
    """A name for a temporary file that no other has, and that tells a later writer whose it was."""
    return f"{TEMP_PREFIX}{HOST}-{os.getpid()}-{next(_numbers)}"


def read_file(fd: int, range: ByteRange | None) -> bytes:
    """The bytes of an open file, or the range of them."""
    start, length = 0, 0
    if range is None:
        length = os.fstat(fd).st_size
    else:
        start, stop = range
        if start < 0 or stop is None or stop < 0 or stop - start > TRUSTED_LENGTH:
            start, length = span(range, os.fstat(fd).st_size)
        else:
            length = max(0, stop - start)
        if start:
            os.lseek(fd, start, os.SEEK_SET)
    data = os.read(fd, length)
    if len(data) == length or not data:
        return data
    # Short: the end of the file, or one of the reads that stop early (2 GiB, some network file systems). The next
    # tells.
    parts = []
    while data:
        parts.append(data)
        length -= len(data)
        data = os.read(fd, length) if length else b""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_all(fd: int, view: memoryview) -> None:
    """Write all of `view`; one `os.write` may stop early."""
    done = os.write(fd, view)
    while done < len(view):
        done += os.write(fd, view[done:])


def sync_file(fd: int) -> None:
    """Return when what was written to `fd` would survive power loss."""
    if sys.platform == "darwin":  # pragma: no cover  # macOS only
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync leaves the data in the drive's cache
    else:
        os.fsync(fd)


def sync_folder(folder: str) -> None:
    """Make renames in `folder` durable. Windows has no such call: its file systems journal them."""
    if _POSIX:
        fd = os.open(folder, os.O_RDONLY)
        try:
            sync_file(fd)
        finally:
            os.close(fd)


def remove_leftovers(folder: str, *, again: bool = True) -> None:
    """Remove from `folder` the temporary files whose writer is dead, or that are too old to have one (promise P22).

    again: also where this process has done so a moment ago. Else, after it took some time to go through many names, that
    directory is left alone for a hundred times as long: who opens an array for each chunk that he writes would go through all
    of them each time.
    """
    begun, names = time.monotonic(), 0
    if not again and _looked_until.get(folder, begun) > begun:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            names += 1
            if entry.name.startswith(TEMP_PREFIX) and is_leftover(entry):
                with suppress(OSError):
                    os.unlink(entry.path)
    if names >= _MANY:
        if len(_looked_until) >= _MANY:
            _looked_until.clear()
        ended = time.monotonic()
        _looked_until[folder] = ended + 100 * (ended - begun)


def is_leftover(entry: os.DirEntry[str]) -> bool:
    """Whether nobody is writing a temporary file any more: its writer is dead, or it is old."""
    found = _parse_temp(entry.name)
    if found and found[1] == HOST and _POSIX and not _alive(int(found[2])):
        return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFTOVER_AGE_S


def _alive(pid: int) -> bool:
    """Whether there is such a process. Only for POSIX: on Windows `os.kill(pid, 0)` is no question."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # there, and not ours
    return True


def file_id(root: str, key: str) -> str:
    """What tells a file of a store in a directory from all others, by whichever class of store and links it is reached."""
    folder, _, name = key.rpartition("/")
    return f"{os.path.realpath(os.path.join(root, folder))}/{name}"
