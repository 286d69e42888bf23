"""NumPy's functions on stored arrays, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import libraries
from .libraries import LIBRARIES


class Mean:
    """The mean over axis 0 of 64 MiB in 4,096 chunks, beside what the other libraries offer."""

    params = LIBRARIES
    param_names = ("library",)
    timeout = 300

    def setup_cache(self) -> str:
        path = Path("mean").absolute()
        array = libraries.create_local("ndzarr", path, libraries.document((4096, 4096), (64, 64), libraries.ZSTD))
        array[...] = libraries.values((4096, 4096))
        return str(path)

    def setup(self, path: str, library: str) -> None:
        libraries.require(library)
        self.array = libraries.open_local(library, Path(path))
        libraries.mean_of_columns(library, self.array, 512)  # what is imported at first use is not measured

    def time_mean(self, path: str, library: str) -> None:
        libraries.mean_of_columns(library, self.array, 512)

    def peakmem_mean(self, path: str, library: str) -> None:
        libraries.mean_of_columns(library, self.array, 512)


#: name -> what is done with a 64 MiB array and one to write to
FUNCTIONS: dict[str, Any] = {
    "sum": lambda z, out: np.sum(z),
    "std": lambda z, out: np.std(z),
    "max, axis 1": lambda z, out: np.max(z, axis=1),
    "argmax": lambda z, out: np.argmax(z),
    "median": lambda z, out: np.median(z),
    "median, axis 0": lambda z, out: np.median(z, axis=0),
    "histogram": lambda z, out: np.histogram(z, bins=100),
    "unique": lambda z, out: np.unique(z),
    "sqrt": lambda z, out: np.sqrt(z),
    "add, out": lambda z, out: np.add(z, 1, out=out),
    "cumsum, axis 0": lambda z, out: np.cumsum(z, axis=0),
    "matmul by a vector": lambda z, out: z @ np.ones(4096, "f4"),
}


class Functions:
    """An array of 64 chunks of 1 MiB in a directory."""

    params = (list(FUNCTIONS),)
    param_names = ("function",)
    timeout = 300

    def setup_cache(self) -> str:
        path = Path("functions").absolute()
        array = libraries.create_local("ndzarr", path, libraries.document((4096, 4096), (512, 512), libraries.ZSTD))
        array[...] = libraries.values((4096, 4096))
        return str(path)

    def setup(self, path: str, function: str) -> None:
        self.array = libraries.open_local("ndzarr", Path(path))
        self.out = libraries.create_memory("ndzarr", (4096, 4096), (512, 512))
        np.sum(self.array)  # what is imported at first use is not measured

    def time_it(self, path: str, function: str) -> None:
        FUNCTIONS[function](self.array, self.out)

    def peakmem_it(self, path: str, function: str) -> None:
        FUNCTIONS[function](self.array, self.out)
