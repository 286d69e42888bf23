"""How a name is spelt on a disk that takes several names for one: those that differ in case, or in how letters are composed.

Such a file system finds `foo` for `Foo`, so whoever makes one beside the other would change what is there (promise P15).
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress

from ndzarr.stores.files import temp_name

#: Directories that are known to be spelt as asked, by path: their inodes. Where no such file system is, it stays empty.
Sure = dict[str, int]
_MOST = 1 << 12


def other(root: str, path: str, sure: Sure) -> tuple[str, str] | None:
    """The first directory on the way to `path` below `root` that is there under another name: as asked, and as it is spelt.

    None where each is spelt as asked, or not there. Of the root itself only the last name counts. On a file system that keeps
    names apart this takes a call or two for each directory that is there, and none is listed.
    """
    above, last = os.path.split(root)
    if last:
        spelt = _spelt(above, last, sure)
        if spelt != last:
            return None if spelt is None else (root, os.path.join(above, spelt))
    folder, done = root, ""
    for name in path.split("/") if path else ():
        spelt = _spelt(folder, name, sure)
        if spelt is None:
            return None
        if spelt != name:
            return done + name, done + spelt
        folder, done = os.path.join(folder, name), f"{done}{name}/"
    return None


def _spelt(folder: str, name: str, sure: Sure) -> str | None:
    """The name in a directory under which `name` is found; None where it is not."""
    path = os.path.join(folder, name)
    try:
        here = os.stat(path)
    except OSError:
        return None  # what else it may be is told by whoever makes it
    if not any(_is_there(os.path.join(folder, variant), here) for variant in _variants(name)):
        return name
    if sure.get(path) == here.st_ino:
        return name
    found = name
    with suppress(OSError), os.scandir(folder) as entries:
        names = {entry.name: entry.inode() for entry in entries}
        if name not in names:  # else a link leads there by the other name, or both are names of one file
            alike = [entry for entry in names if _folded(entry) == _folded(name)]
            alike += [entry for entry, inode in names.items() if inode == here.st_ino]
            found = alike[0] if alike else name
    if found != name and _composed(found) == _composed(name) and not _keeps(folder):
        found = name  # the file system's own form of it
    if found == name:
        if len(sure) >= _MOST:
            sure.clear()
        sure[path] = here.st_ino
    return found


def _variants(name: str) -> set[str]:
    """Names that a file system which folds case, or composes letters, takes for this one."""
    swapped = "".join(c.swapcase() if c.swapcase().swapcase() == c else c for c in name)
    forms = {swapped} if name.isascii() else {swapped, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}
    return forms - {name}


def _is_there(path: str, here: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), here)
    except OSError:
        return False


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


def _keeps(folder: str) -> bool:
    """Whether names are stored as they are given; HFS+ takes every letter apart."""
    name = temp_name() + "\u00e9"
    try:
        os.mkdir(os.path.join(folder, name))
        try:
            return name in os.listdir(folder)
        finally:
            os.rmdir(os.path.join(folder, name))
    except OSError:
        return True
