"""An HDF5 file as a Zarr hierarchy: groups, datasets, attributes, chunk by chunk in bounded memory.

    python from_hdf5.py old.h5 new.zarr

Chunks stay as they are where they hold at least 256 KiB, else they are joined: small ones are for HDF5's cache. Links are
followed once; references and what has no shape are named and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

import ndzarr

LEAST_NBYTES = 256 << 10


def convert(source: h5py.Group, target: ndzarr.Group, skipped: list[str]) -> None:
    """Copy what `source` holds into `target`; the names of what could not be are added to `skipped`."""
    copy_attributes(source, target, skipped)
    for name, node in source.items():
        if isinstance(node, h5py.Group):
            convert(node, target.create_group(name), skipped)
        elif node.shape is None or (node.dtype.hasobject and h5py.check_string_dtype(node.dtype) is None):
            skipped.append(node.name)
        else:
            copy_dataset(node, target, name, skipped)


def copy_dataset(source: h5py.Dataset, target: ndzarr.Group, name: str, skipped: list[str]) -> None:
    text = h5py.check_string_dtype(source.dtype)
    z = target.create_array(
        name,
        shape=source.shape,
        dtype=np.dtypes.StringDType() if text else source.dtype,
        chunks=joined(source),
        fill_value=None if text else source.fillvalue,
        dimension_names=dimensions(source),
    )
    copy_attributes(source, z, skipped)
    values = source.asstr() if text else source
    # Boxes of our chunks, so that each is written once and whole.
    for box in boxes(z.shape, z.chunks):
        z[box] = values[box]


def joined(source: h5py.Dataset) -> Any:
    """The chunks of a dataset, several in one where they are small; "auto" where it has none."""
    if source.chunks is None:
        return "auto"
    chunks = list(source.chunks)
    for axis in reversed(range(len(chunks))):
        while np.prod(chunks) * source.dtype.itemsize < LEAST_NBYTES and chunks[axis] < source.shape[axis]:
            chunks[axis] *= 2
    return tuple(chunks)


def dimensions(source: h5py.Dataset) -> list[str | None] | None:
    """The names of the axes: of their scales, or their labels."""
    names = [dim[0].name.rpartition("/")[2] if len(dim) else dim.label or None for dim in source.dims]
    return names if any(names) else None


def copy_attributes(source: Any, target: Any, skipped: list[str]) -> None:
    for name, value in source.attrs.items():
        if name in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):  # what scales are made of
            continue
        if isinstance(value, h5py.Empty) or np.asarray(value).dtype.hasobject:
            skipped.append(f"{source.name}@{name}")
            continue
        target.attrs[name] = value.decode() if isinstance(value, bytes) else value


def boxes(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for at in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunks, strict=True))):
        yield tuple(slice(i * c, min(n, (i + 1) * c)) for i, c, n in zip(at, chunks, shape, strict=True))


def main(old: str, new: str) -> None:
    skipped: list[str] = []
    with h5py.File(old, "r") as source:
        target = ndzarr.create_group(new)
        convert(source, target, skipped)
    ndzarr.consolidate(new)
    print(ndzarr.open(new).tree())
    for name in skipped:
        print(f"left out: {name}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
