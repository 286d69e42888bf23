"""Evidence that files have not changed since, for `Store.evidence`: only where the file system's own word is enough.

Whoever writes to a file, cuts it, replaces it or sets its times changes the time of its last change (ctime), which no program
can set; with the inode and the size it tells of any change since, but for one: a change within the same tick of the clock as
the one before. So there is no evidence of a file that was changed a moment ago, and of a large one for longer, since whoever
writes it in place may still be at it, under the stamp that the call began with. Compare git's index ("racy git",
https://git-scm.com/docs/racy-git), which goes by the modification time (mtime), which programs may set.

That is so on file systems of this host, which stamp changes by its clock. A network file system may answer from a cache, and
its server has another clock: there is none. Writes through a shared memory map are stamped when a page is first written to, not
at each write, so that a program that holds one open may change a file unseen for some seconds; none is known that does so to
chunks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ndzarr.keys import check_key
from ndzarr.stores.base import ABSENT, AFTER_BYTES

#: File systems that keep their inodes, and stamp every change, on this host.
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "zfs", "f2fs", "bcachefs", "overlay", "jfs", "reiserfs"})
#: The longest tick of a kernel's clock is 10 ms; where times are whole seconds, two are the longest that any has.
AFTER_S = 0.1
_AFTER_NS, _AFTER_COARSE_NS = int(AFTER_S * 1e9), 2_500_000_000
#: A write is stamped as it begins, by one call for as many bytes as the caller likes; this is how slow one may be.
_AFTER_NS_PER_BYTE = _AFTER_NS // AFTER_BYTES

#: What the table of mounts said of a device is kept so long: another file system may get the number of one that is gone.
_KEPT_S = 10.0
_kinds: dict[int, tuple[bool, float]] = {}


def file_evidence(prefix: str, keys: Sequence[str]) -> list[str | None]:
    """Of the file at `prefix + key` for each key: what tells of any change to it, ABSENT, or None where nothing does."""
    found: list[str | None] = []
    folders: dict[str, bool] = {}  # asked once in a call: of a sparse array most keys are not there
    now = time.time_ns()  # before the first look: a file that is changed after its own is never taken for old
    for key in keys:
        try:
            info = os.stat(prefix + check_key(key))
        except (FileNotFoundError, NotADirectoryError):
            above = os.path.dirname(prefix + key)
            if above not in folders:
                folders[above] = _is_local_folder(above)
            found.append(ABSENT if folders[above] else None)
            continue
        except OSError:
            found.append(None)
            continue
        after = _AFTER_NS if info.st_ctime_ns % 1_000_000_000 else _AFTER_COARSE_NS
        old = now - info.st_ctime_ns > after + info.st_size * _AFTER_NS_PER_BYTE
        stamp = f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"
        found.append(stamp if old and _is_local(info.st_dev) else None)
    return found


def _is_local_folder(path: str) -> bool:
    """The same of a directory, or the nearest above it that is there: a network file system may not know yet what is there."""
    while True:
        try:
            return _is_local(os.stat(path).st_dev)
        except (FileNotFoundError, NotADirectoryError):
            above = os.path.dirname(path)
            if above == path:
                return False
            path = above
        except OSError:
            return False


def _is_local(dev: int) -> bool:
    """Whether a device is one whose stamps can be relied on, by Linux' table of mounts."""
    known = _kinds.get(dev)
    if known is None or time.monotonic() - known[1] > _KEPT_S:
        known = _kinds[dev] = _looked_up(dev), time.monotonic()
    return known[0]


def _looked_up(dev: int) -> bool:
    wanted = f"{os.major(dev)}:{os.minor(dev)}" if hasattr(os, "major") else ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
            for line in table:
                mount, _, source = line.partition(" - ")
                if mount.split()[2] == wanted:
                    return source.split()[0] in _LOCAL
    except (OSError, IndexError):
        pass  # another system than Linux
    return False
