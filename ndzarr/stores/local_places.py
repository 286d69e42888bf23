"""Where the folders of a store in a directory really are, links resolved, and which locks hold for the chunks in them."""

from __future__ import annotations

import os

from ndzarr.stores import filelocks

#: Folders kept of one store.
_CACHED = 1 << 14
_POSIX = os.name == "posix"


class Places:
    """What one store has found out about its folders, each "a/b" in the words of keys; "" is its root.

    Arrays may have a folder for each chunk, so that each is found from the one above it. Another thread may look up at the same
    time: nothing is iterated.
    """

    __slots__ = ("_arrays", "_prefix", "_real")

    def __init__(self, prefix: str) -> None:
        #: The root, with the separator behind it.
        self._prefix = prefix
        self._real: dict[str, str] = {}
        self._arrays: dict[str, tuple[filelocks.LockFile, str]] = {}

    def clear(self) -> None:
        """Forget all: folders were moved."""
        self._real.clear()
        self._arrays.clear()

    def real(self, folder: str) -> str:
        """The real path of a folder, whether or not it is there, so that handles at different roots agree."""
        real = self._real.get(folder)
        if real is None:
            above, _, name = folder.rpartition("/")
            if folder and _POSIX:
                # Safe: a name that is no link stands where it stands in the folder above, and no key has a "..". Resolving
                # all of the path asks the system about each folder in it.
                real = os.path.join(self.real(above), name)
                if os.path.islink(real):
                    real = os.path.realpath(real)
            else:
                real = os.path.realpath(self._prefix + folder)
            if len(self._real) >= _CACHED:
                self._real.clear()
            self._real[folder] = real
        return real

    def array(self, folder: str) -> tuple[filelocks.LockFile, str] | None:
        """The locks of the array that a folder belongs to, and its path below that; None where it is in none."""
        found = self._arrays.get(folder)
        if found is None and (found := self._found(folder)) is not None:
            if len(self._arrays) >= _CACHED:
                self._arrays.clear()
            self._arrays[folder] = found
        return found

    def _found(self, folder: str) -> tuple[filelocks.LockFile, str] | None:
        if not filelocks.AVAILABLE:
            return None
        real = self.real(folder)
        above, _, name = folder.rpartition("/")
        # Safe: it is what `find` would give, which goes up folder by folder until one is that of an array. That one is still
        # where it was if its locks are; the first lock makes them.
        if folder and real == os.path.join(self.real(above), name) and not filelocks.is_array(real):
            upper = self.array(above)
            if upper is None:
                return None
            if os.path.exists(upper[0].path):
                return upper[0], f"{upper[1].lstrip('/')}{name}/"
        return filelocks.find(real)
