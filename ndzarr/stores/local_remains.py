"""What lies in a directory beside the keys of the store in it: found, removed, moved aside. Nothing is written to find it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress

from ndzarr.errors import StoreError
from ndzarr.keys import OWN, TEMP_PREFIX
from ndzarr.stores import filelocks, folderlocks, journal
from ndzarr.stores.base import reason
from ndzarr.stores.files import is_leftover
from ndzarr.stores.remains import Remain

_SUSPECTS = "suspects"
#: Temporary files of zarr-python, both versions: "0.0.3fb2....partial".
_partial = re.compile(r".*\.[0-9a-f]{32}\.partial", re.DOTALL).fullmatch
#: A temporary file of somebody else's of this age is a leftover: it does not tell whose it is.
_PARTIAL_AGE_S = 3600.0


def remains(root: str, path: str) -> Iterator[Remain]:
    """See `Store.remains`, of the directory `root`. Links to directories are not followed."""
    yield from _transactions(root)
    folders = [path]
    while folders:
        below = folders.pop()
        place = os.path.join(root, below)
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            yield Remain("unreadable", below, f"the directory cannot be looked into: {reason(error)}", "error")
            continue
        deeper = []
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name == OWN:
                yield from _set_aside(entry.path, f"{name}/{_SUSPECTS}")
            elif entry.is_symlink() and not os.path.exists(entry.path):
                message = (
                    f"a link to {_target(entry.path)!r}, where nothing is; it reads as if it were not there, or not at all"
                )
                yield Remain("link", name, message, "error", "move it aside")
            elif entry.is_dir():
                empty = not entry.is_symlink() and not _holds_any(entry.path)
                what = "a directory, and empty" if empty else "a directory"
                yield Remain("folder", name, what, "error", "remove it" if empty else "move it aside, with what is in it")
                if not entry.is_symlink():
                    deeper.append(name)
            else:
                leftover = _leftover(entry, name)
                if leftover is not None:
                    yield leftover
        folders += reversed(deeper)


def _leftover(entry: os.DirEntry[str], name: str) -> Remain | None:
    with suppress(FileNotFoundError):  # done just now
        if entry.name.startswith(TEMP_PREFIX):
            if is_leftover(entry):
                return _of_leftover(entry, name, "a temporary file that nobody writes any more")
            return Remain("leftover", name, "a temporary file that is being written", "note")
        if _partial(entry.name) and time.time() - entry.stat(follow_symlinks=False).st_mtime > _PARTIAL_AGE_S:
            return _of_leftover(entry, name, "a temporary file of zarr-python, which is older than an hour")
    return None


def _of_leftover(entry: os.DirEntry[str], name: str, what: str) -> Remain:
    return Remain("leftover", name, f"{what} ({entry.stat(follow_symlinks=False).st_size} bytes)", "warning", "remove it")


def _holds_any(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return True


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return "?"


def _set_aside(own: str, name: str) -> Iterator[Remain]:
    count = nbytes = 0
    for place, _, files in os.walk(os.path.join(own, _SUSPECTS)):
        for file in files:
            count += 1
            with suppress(OSError):
                nbytes += os.lstat(os.path.join(place, file)).st_size
    if count:
        yield Remain("suspects", name, f"{count} {'object' if count == 1 else 'objects'} ({nbytes} bytes) set aside", "note")


def _transactions(root: str) -> Iterator[Remain]:
    """Those on the directory or on one above it, which take in this one too."""
    above = os.path.realpath(root)
    while filelocks.AVAILABLE:
        transactions = os.path.join(above, journal.FOLDER)
        try:
            names = sorted(os.listdir(transactions))
        except OSError:
            names = []
        for name in names:
            found = _transaction(os.path.join(transactions, name), os.path.realpath(root))
            if found is not None:
                yield found
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)


def _transaction(folder: str, root: str) -> Remain | None:
    name = os.path.relpath(folder, root)
    try:
        owner = folderlocks.own(folder, wait=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if owner is None:
        return Remain("transaction", name, "a transaction that is under way", "note")
    try:
        record = journal.read_record(folder)
    except StoreError as error:
        return Remain("transaction", name, f"{error}", "error")
    except OSError as error:
        return Remain("transaction", name, f"a transaction whose record cannot be read: {reason(error)}", "error")
    finally:
        owner.release()
    if record is None:
        what = "a transaction that was cut short before it had happened; nothing of it can be seen"
        return Remain("transaction", name, what, "warning", "remove what it has staged")
    changes = len(record[0])
    what = (
        f"a transaction that has happened, and was cut short before its {changes} changes were in place; only ndzarr sees them"
    )
    return Remain("transaction", name, what, "warning", "put its changes in place")


# ---- repair ---------------------------------------------------------------------------------------------------------


def tidy(root: str, remain: Remain) -> None:
    """See `Store.tidy`."""
    path = os.path.join(os.path.realpath(root), remain.name)
    try:
        if remain.kind == "transaction":
            if journal.settle(path) is not None:
                raise StoreError(f"cannot finish the transaction in {path!r}: the place cannot be written to", store=root)
        elif remain.kind == "leftover":
            with suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot tidy up {path!r}: {reason(error)}", store=root) from error


def set_aside(root: str, key: str, path: str, *, keep: bool = False) -> str:
    """See `Store.set_aside`; a directory too, of which an empty one is removed. Raises OSError."""
    source = os.path.join(root, key)
    if not os.path.lexists(source):
        return ""
    with suppress(OSError):
        if not os.path.islink(source):
            os.rmdir(source)
            return ""
    folder = os.path.join(root, path) if path else root
    relative = key[len(path) + 1 :] if path else key
    number = 0
    while True:
        place = os.path.join(folder, OWN, _SUSPECTS, f"{relative}{f'.{number}' if number else ''}")
        if not os.path.lexists(place):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if keep:
                shutil.copy2(source, place)
            else:
                os.rename(source, place)
            return os.path.relpath(place, root)
        number += 1
