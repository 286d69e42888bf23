"""The least that a whole read can be in Python: every chunk read, decoded and put in its place, and nothing else.

No planning, no checks, no locks, no fill values. It decodes by what ndzarr decodes by.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from comparison.measure import Stores, Task, equal

#: From here on numcodecs decodes zstd faster than a context of `zstandard` does.
_LARGE = 1 << 18


def whole_read(description: dict[str, Any]) -> Callable[[int, Stores], Task]:
    """What the bare loop does in a row that reads the whole of a v2 array of two dimensions."""

    def make(threads: int, stores: Stores) -> Task:
        path, values = stores.get(description)
        return Task(lambda: _read(path, description, threads), equal(values))

    return make


def _read(path: Path, description: dict[str, Any], threads: int) -> Any:
    (height, width), (rows, columns) = description["shape"], description["chunks"]
    out = np.empty((height, width), "f4")
    spots = list(product(range(height // rows), range(width // columns)))

    def share(spots: list[tuple[int, int]]) -> None:
        nbytes, decode = rows * columns * 4, _decoder(description["compressor"], rows * columns * 4)
        for i, j in spots:
            file = os.open(f"{path}/{i}.{j}", os.O_RDONLY)
            data = decode(os.read(file, nbytes + nbytes // 64 + 1024))
            os.close(file)
            chunk = np.frombuffer(data, "f4").reshape(rows, columns)
            out[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = chunk

    crew = [threading.Thread(target=share, args=(spots[n::threads],)) for n in range(1, threads)]
    for thread in crew:
        thread.start()
    share(spots[::threads])
    for thread in crew:
        thread.join()
    return out


def _decoder(compressor: dict[str, Any] | None, nbytes: int) -> Callable[[bytes], Any]:
    if compressor is None:
        return lambda data: data
    scratch = np.empty(nbytes, np.uint8)
    if compressor["id"] == "zstd":
        import zstandard
        from numcodecs import zstd

        context = zstandard.ZstdDecompressor()
        return context.decompress if nbytes < _LARGE else lambda data: zstd.decompress(data, scratch)
    if compressor["id"] == "blosc":
        from numcodecs import blosc

        return lambda data: blosc.decompress(data, scratch)
    try:
        from deflate import zlib_decompress
    except ImportError:
        from isal.isal_zlib import decompress

        return decompress  # type: ignore[no-any-return]  # isal has no types
    return lambda data: zlib_decompress(data, nbytes)
