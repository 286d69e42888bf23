"""Keys of a directory that hold something else than the files there: what a transaction has staged, or deleted."""

from __future__ import annotations

import errno
import os

from ndzarr.keys import is_key
from ndzarr.stores.filelocks import DOCUMENTS


class Overlay:
    """Keys below `root` that hold something else than the files there: a staged file, or nothing."""

    def __init__(self, root: str, record: str | None = None) -> None:
        self.root = root
        self._record = record
        #: Relative path -> the staged file, or None where the key is deleted.
        self.files: dict[str, str | None] = {}
        # Folder -> names in it that are staged, or lead to what is; and how many keys below it are deleted.
        self._names: dict[str, dict[str, int]] = {}
        self._deleted: dict[str, int] = {}

    def relative(self, path: str) -> str:
        """A real path as it is named here."""
        return path[len(self.root) + 1 :]

    def put(self, path: str, staged: str | None) -> str | None:
        """Let a real path be that file, or nothing; the staged file that it was before."""
        relative = self.relative(path)
        known = relative in self.files
        old = self.files.get(relative)
        self.files[relative] = staged
        if (known and old is None) != (staged is None):
            self._count_deleted(relative, 1 if staged is None else -1)
        if (old is not None) != (staged is not None):
            self._count_name(relative, 1 if staged is not None else -1)
        return old

    def _count_deleted(self, path: str, by: int) -> None:
        while path:
            path = path.rpartition("/")[0]
            self._deleted[path] = self._deleted.get(path, 0) + by

    def _count_name(self, path: str, by: int) -> None:
        while path:
            path, _, name = path.rpartition("/")
            names = self._names.setdefault(path, {})
            names[name] = names.get(name, 0) + by
            if not names[name]:
                del names[name]
                if not names:
                    del self._names[path]

    def find(self, path: str) -> str | None:
        """Where the value of a real path is; None where it is deleted."""
        return self.files.get(self.relative(path), path)

    @property
    def holds(self) -> bool:
        """Whether it is still so: what a transaction has left may be put in place by another process meanwhile."""
        return self._record is None or os.access(self._record, os.F_OK)

    def listed(self, folder: str, entries: list[tuple[str, bool, bool]]) -> list[tuple[str, bool, bool]]:
        """What stands in a folder, by the files there (as `LocalStore` lists them) and what is staged."""
        relative = self.relative(folder) if len(folder) > len(self.root) else ""
        prefix = relative + "/" if relative else ""
        found = {}
        for name, is_folder, is_link in entries:
            path = prefix + name
            if is_folder and not is_link and self._deleted.get(path) and path not in self._names and not self._holds(path):
                continue
            if is_folder or path not in self.files:
                found[name] = (name, is_folder, is_link)
        for name in self._names.get(relative, ()):
            found[name] = (name, prefix + name in self._names, False)
        return list(found.values())

    def _holds(self, folder: str) -> bool:
        """Whether any file in a folder is not deleted."""
        for place, _, names in os.walk(os.path.join(self.root, folder)):
            inside = self.relative(place)
            if any(is_key(name) and f"{inside}/{name}" not in self.files for name in names):
                return True
        return False

    def changes_in(self, folder: str) -> bool:
        """Whether any file that stands in a folder, a real path, is staged or deleted."""
        prefix = self.relative(folder) + "/" if len(folder) > len(self.root) else ""
        return any(prefix + name in self.files for name in DOCUMENTS)

    def is_folder(self, path: str) -> bool:
        """Whether there are staged keys below a real path."""
        return self.relative(path) in self._names

    def check(self, path: str) -> None:
        """Raise what the system would say of a file at `path` where a directory is, or below a file."""
        relative = self.relative(path)
        if relative in self._names or (os.path.isdir(path) and self._holds(relative)):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        while "/" in relative:
            relative = relative.rpartition("/")[0]
            above = self.files.get(relative, ...)
            if isinstance(above, str) or (above is ... and os.path.isfile(os.path.join(self.root, relative))):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
