"""Reads that come back to the same chunks, with and without decoded chunks kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import libraries

ARRAYS: dict[str, Any] = {
    "512x512 blosc": libraries.document((4096, 4096), (512, 512), libraries.BLOSC),
    "512x512 zstd": libraries.document((4096, 4096), (512, 512), libraries.ZSTD),
    "64x64 in shards, zstd": libraries.sharded((4096, 4096), (2048, 2048), (64, 64)),
}


class Windows:
    """200 random 64x64 windows of 4096 x 4096 float32 in a directory, all of which the cache has room for."""

    params = (list(ARRAYS), [None, "256MiB"])
    param_names = ("array", "chunk_cache")
    timeout = 300

    def setup_cache(self) -> str:
        top = str(Path("cached").absolute())
        for number, description in enumerate(ARRAYS.values()):
            array = libraries.create_local("ndzarr", Path(top, str(number)), description)
            array[...] = libraries.values((4096, 4096))
        return top

    def setup(self, top: str, name: str, chunk_cache: str | None) -> None:
        import ndzarr

        self.array = ndzarr.open_array(Path(top, str(list(ARRAYS).index(name))), chunk_cache=chunk_cache)
        self.corners = np.random.default_rng(0).integers(0, 4096 - 64, (200, 2)).tolist()
        self.time_windows(top, name, chunk_cache)

    def time_windows(self, top: str, name: str, chunk_cache: str | None) -> None:
        for x, y in self.corners:
            self.array[x : x + 64, y : y + 64]
