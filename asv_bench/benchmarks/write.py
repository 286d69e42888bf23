"""Writing: whole chunks, and parts of them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from . import libraries
from .libraries import LIBRARIES

SHAPE = (2048, 2048)


class Local:
    """1,024 chunks of 16 KiB, zstd, in a directory."""

    params = LIBRARIES
    param_names = ("library",)

    def setup(self, library: str) -> None:
        libraries.require(library)
        self.top = tempfile.mkdtemp(prefix="ndzarr-bench-")
        description = libraries.document(SHAPE, (64, 64), libraries.ZSTD)
        self.array = libraries.create_local(library, Path(self.top, "a"), description)
        self.values = libraries.values(SHAPE)
        libraries.write(library, self.array, np.s_[...], self.values)

    def teardown(self, library: str) -> None:
        shutil.rmtree(self.top)

    def time_whole(self, library: str) -> None:
        libraries.write(library, self.array, np.s_[...], self.values)

    def time_row(self, library: str) -> None:
        """32 chunks, each read, changed and replaced."""
        libraries.write(library, self.array, np.s_[100], self.values[0])

    def time_one(self, library: str) -> None:
        libraries.write(library, self.array, (5, 5), 1.0)
