"""Reading parts of a stored array: points, windows, scattered elements, strides, rows. Ours alone, from commit to commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import libraries

SHAPE = (4096, 4096)
#: name -> the document of an array of 64 MiB
STORED: dict[str, dict[str, Any]] = {
    "64 chunks of 1 MiB, blosc": libraries.document(SHAPE, (512, 512), libraries.BLOSC),
    "4096 chunks of 16 KiB, zstd": libraries.document(SHAPE, (64, 64), libraries.ZSTD),
    "4 shards of 1024 chunks, zstd": libraries.sharded(SHAPE, (2048, 2048), (64, 64)),
}


class Parts:
    params = (list(STORED),)
    param_names = ("array",)
    timeout = 300

    def setup_cache(self) -> str:
        top = str(Path("parts").absolute())
        for number, description in enumerate(STORED.values()):
            libraries.create_local("ndzarr", Path(top, str(number)), description)[...] = libraries.values(SHAPE)
        return top

    def setup(self, top: str, name: str) -> None:
        self.array = libraries.open_local("ndzarr", Path(top, str(list(STORED).index(name))))
        random = np.random.default_rng(0)
        self.points = random.integers(0, 4096, (200, 2)).tolist()
        self.corners = random.integers(0, 4096 - 64, (200, 2)).tolist()
        self.rows, self.columns = random.integers(0, 4096, (2, 20_000))
        self.some = np.sort(random.choice(4096, 200, replace=False))
        self.array[5, 5]  # what is imported at first use is not measured

    def time_200_points(self, top: str, name: str) -> None:
        for i, j in self.points:
            self.array[i, j]

    def time_200_windows(self, top: str, name: str) -> None:
        for i, j in self.corners:
            self.array[i : i + 64, j : j + 64]

    def time_vindex(self, top: str, name: str) -> None:
        self.array.vindex[self.rows, self.columns]

    def time_stride(self, top: str, name: str) -> None:
        self.array[::37, ::41]

    def time_oindex_of_rows(self, top: str, name: str) -> None:
        self.array.oindex[self.some, :]
