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


class Blocks:
    """Blocks that lie over chunks of 1 MiB as they like, and rows appended to such. Ours alone, from commit to commit."""

    def setup(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="ndzarr-bench-"))
        description = libraries.document((4096, 4096), (512, 512), libraries.BLOSC)
        self.array = libraries.create_local("ndzarr", self.top / "a", description)
        self.array[...] = libraries.values((4096, 4096))
        self.block = libraries.values((100, 100), seed=1)
        self.corners = np.random.default_rng(0).integers(0, 4096 - 100, (200, 2)).tolist()
        self.rows = libraries.values((32, 1024))
        self.made = 0

    def teardown(self) -> None:
        shutil.rmtree(self.top)

    def time_200_unaligned(self) -> None:
        for i, j in self.corners:
            self.array[i : i + 100, j : j + 100] = self.block

    def time_64_appends(self) -> None:
        self.made += 1
        path = self.top / f"rows{self.made}"
        array = libraries.create_local("ndzarr", path, libraries.document((0, 1024), (512, 512), libraries.ZSTD))
        for _ in range(64):
            array.append(self.rows)
