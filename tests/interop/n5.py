"""Writes or reads an N5 array with zarr-python 2's N5Store; run by the Python that has it.

python n5.py write DIR DTYPE CODEC     an array of `values(DTYPE)` in chunks of CHUNKS; CODEC is gzip or raw
python n5.py read DIR DTYPE CODEC      prints "ok" if DIR holds those values plus one
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

SHAPE, CHUNKS = (5, 7, 4), (2, 3, 4)


def values(dtype: str) -> np.ndarray:
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


def main(arguments: list[str]) -> int:
    import numcodecs
    import zarr

    warnings.simplefilter("ignore")
    verb, directory, dtype, codec = arguments
    store = zarr.N5Store(directory)
    if verb == "write":
        compressor = numcodecs.GZip(1) if codec == "gzip" else None
        z = zarr.create(SHAPE, chunks=CHUNKS, dtype=dtype, store=store, compressor=compressor, fill_value=0)
        z[...] = values(dtype)
    else:
        found = zarr.open_array(store, mode="r")[...]
        print("ok" if np.array_equal(found, values(dtype) + np.array(1, dtype)) else f"found {found!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
