"""Reading: one element, everything, parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import libraries
from .libraries import LIBRARIES

#: name -> (shape, chunks, compressor)
LOCAL: dict[str, Any] = {
    "4096 chunks of 16 KiB, zstd": ((4096, 4096), (64, 64), libraries.ZSTD),
    "64 chunks of 1 MiB, blosc": ((4096, 4096), (512, 512), libraries.BLOSC),
    "64 chunks of 1 MiB, raw": ((4096, 4096), (512, 512), None),
}


class Point:
    """`z[5, 5]` of an uncompressed array in memory: what is not decoding."""

    params = LIBRARIES
    param_names = ("library",)

    def setup(self, library: str) -> None:
        libraries.require(library)
        self.array = libraries.create_memory(library, (1024, 1024), (64, 64))
        libraries.write(library, self.array, np.s_[:64, :64], libraries.values((64, 64)))

    def time_one(self, library: str) -> None:
        libraries.read(library, self.array, (5, 5))


class Local:
    """A directory, read as each library does by default."""

    params = (LIBRARIES, list(LOCAL))
    param_names = ("library", "array")
    timeout = 300

    def setup_cache(self) -> str:
        # asv makes a directory for this, stays in it, and removes it afterwards.
        top = str(Path("arrays").absolute())
        for number, (shape, chunks, compressor) in enumerate(LOCAL.values()):
            array = libraries.create_local("ndzarr", Path(top, str(number)), libraries.document(shape, chunks, compressor))
            array[...] = libraries.values(shape)
        return top

    def setup(self, top: str, library: str, name: str) -> None:
        libraries.require(library)
        self.array = libraries.open_local(library, Path(top, str(list(LOCAL).index(name))))

    def time_everything(self, top: str, library: str, name: str) -> None:
        libraries.read(library, self.array, np.s_[...])

    def time_column(self, top: str, library: str, name: str) -> None:
        libraries.read(library, self.array, np.s_[:, 100])

    def time_box_across_four_chunks(self, top: str, library: str, name: str) -> None:
        libraries.read(library, self.array, np.s_[500:530, 500:530])

    def peakmem_everything(self, top: str, library: str, name: str) -> None:
        libraries.read(library, self.array, np.s_[...])


class Scattered:
    """1,000 points, by index arrays; only ndzarr and NumPy spell it `z[rows, columns]`."""

    def setup(self) -> None:
        self.array = libraries.create_memory("ndzarr", (4096, 4096), (64, 64))
        self.array[...] = libraries.values((4096, 4096))
        self.rows, self.columns = np.random.default_rng(3).integers(0, 4096, (2, 1000))

    def time_points(self) -> None:
        self.array[self.rows, self.columns]

    def time_negative_step(self) -> None:
        self.array[::-7, 5]


class Shards:
    """Sixteen shards of 1,024 chunks each, 64x64, zstd, in a directory."""

    params = LIBRARIES
    param_names = ("library",)
    timeout = 300

    def setup_cache(self) -> str:
        path = Path("shards").absolute()
        array = libraries.create_local("ndzarr", path, libraries.sharded((8192, 8192), (2048, 2048), (64, 64)))
        array[...] = libraries.values((8192, 8192))
        return str(path)

    def setup(self, path: str, library: str) -> None:
        libraries.require(library)
        self.array = libraries.open_local(library, Path(path))
        self.corners = np.random.default_rng(0).integers(0, 8192 - 64, (50, 2)).tolist()

    def time_random_windows(self, path: str, library: str) -> None:
        for x, y in self.corners:
            libraries.read(library, self.array, np.s_[x : x + 64, y : y + 64])
