"""A temporary file for values that wait to be written, and files that are closed after all that may need them."""

from __future__ import annotations

from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any
from weakref import finalize

import numpy as np

from ndzarr.stores.files import write_all


class Spill:
    """A temporary file without a name, in the archive's folder, for pending values; it goes with its last user."""

    def __init__(self, folder: str) -> None:
        self.file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # lives as long as the values in it
        close_last(self, self.file.close)
        self._end = 0

    def add(self, data: bytes) -> tuple[Spill, int]:
        """This file and where in it a value now lies."""
        start = self._end
        self.file.seek(start)
        write_all(self.file.fileno(), memoryview(data))
        self._end += len(data)
        return self, start


def close_last(holder: Any, close: Callable[..., Any], *arguments: Any) -> None:
    """Call `close` when `holder` is gone, and all that it lies in a cycle with; not at exit, when a store may yet be flushed.

    When a cycle is collected, weak references to what is in it die before any `__del__` is called, and that of a ZipStore needs
    its files. The collector does not track arrays of numbers, so that one which only `holder` has goes after all of those.
    """
    holder.last = np.empty(0)
    finalize(holder.last, close, *arguments).atexit = False
