"""Whether blocks of a dask array can be written at the same time: no two of them into one stored object."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from xarray import Variable

from ndzarr._typing import Shape
from ndzarr.creation import auto_shards
from ndzarr.errors import ArgumentError

#: Lengths of blocks, by axis.
Blocks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ChunksToWrite:
    """The chunks of a new array, and what lies under one key: None where they are to be chosen."""

    chunks: Shape | None
    shards: Any

    @property
    def objects(self) -> Shape | None:
        """The lengths of what lies under one key, where they are known."""
        return self.shards if isinstance(self.shards, tuple) else self.chunks

    def arguments(self) -> dict[str, Any]:
        """As keywords of a new array."""
        chunks = "auto" if self.chunks is None else tuple(max(1, c) for c in self.chunks)
        return {"chunks": chunks, "shards": self.shards}


def chunks_to_write(chunks: Any, shards: Any, v: Variable, name: Hashable) -> ChunksToWrite:
    """What the encoding asks for, or else as the data are chunked.

    Raises ArgumentError (a ValueError) for dask chunks that no regular grid can be, TypeError for lengths that are no ints.
    """
    if isinstance(shards, int) and not isinstance(shards, bool):
        shards = (shards,) * v.ndim
    if isinstance(shards, list):
        shards = tuple(shards)
    if isinstance(shards, tuple) and any(isinstance(n, list | tuple) for n in shards):
        raise _irregular("shards", shards, name)
    found = _chunks(chunks, v, name)
    if isinstance(shards, tuple) and len(shards) != v.ndim:
        shards = None  # of what this is a part of; as with chunks, those are no wish for this
    if found is not None and (shards is True or (isinstance(shards, str) and shards == "auto")):
        # Known here, since blocks that are written at once may not share a shard.
        shards = auto_shards(v.shape, tuple(max(1, c) for c in found), v.dtype.itemsize)
    return ChunksToWrite(found, shards)


def _chunks(wanted: Any, v: Variable, name: Hashable) -> Shape | None:
    if isinstance(wanted, int):
        wanted = (wanted,) * v.ndim
    if isinstance(wanted, str) and wanted == "auto":
        wanted = None
    if wanted is not None and len(wanted := tuple(wanted)) == v.ndim and wanted:
        for n in wanted:
            if isinstance(n, list | tuple):
                raise _irregular("chunks", wanted, name)
            if not isinstance(n, int):
                raise TypeError(
                    f"encoding['chunks'] must be an int or a tuple of ints, found {wanted!r} for variable named {name!r}"
                )
        return tuple(int(n) for n in wanted)
    if not v.chunks:
        return None
    for blocks in v.chunks:
        if len(set(blocks[:-1])) > 1:
            raise ArgumentError(
                f"Zarr requires uniform chunk sizes except for final chunk. Variable named {name!r} has incompatible dask "
                f"chunks: {v.chunks!r}. Consider rechunking using `chunk()`."
            )
        if blocks[0] < blocks[-1]:
            raise ArgumentError(
                f"Final chunk of Zarr array must be the same size or smaller than the first. Variable named {name!r} has "
                f"incompatible Dask chunks {v.chunks!r}. Consider rechunking, or deleting or changing `encoding['chunks']`."
            )
    return tuple(blocks[0] for blocks in v.chunks)


def _irregular(key: str, found: Any, name: Hashable) -> TypeError:
    return TypeError(
        f"encoding[{key!r}]={found!r} for variable {name!r} is a rectilinear (variable-sized) grid, which a dataset can be "
        f"read from but not written to; delete it from the encoding, and see that the variable's own chunks are uniform"
    )


def check_aligned(
    blocks: Blocks | None, objects: Shape, shape: Shape, region: Sequence[slice], *, partial: bool, name: Hashable
) -> None:
    """ArgumentError (a ValueError) where two blocks share a stored object.

    objects: the lengths of what lies under one key. shape: of the whole array. partial: whether the region may begin and end
    inside an object, since nobody else writes; several regions written at once may not.
    """
    if blocks is None:
        return
    for axis, (sizes, unit, length, part) in enumerate(zip(blocks, objects, shape, region, strict=True)):
        start, stop, _ = part.indices(length)
        borders = list(accumulate(sizes, initial=start))
        bad = [n for n, border in enumerate(borders[1:-1]) if border % unit]
        if not partial and (start % unit or (stop % unit and stop != length)):
            bad.append(len(sizes) - 1)
        if bad:
            raise ArgumentError(
                f"Specified Zarr chunks encoding['chunks']={objects!r} for variable named {name!r} would overlap multiple Dask "
                f"chunks: the chunk at position {bad[0]} on axis {axis} shares a Zarr chunk in the region {part}. Writing this "
                "array in parallel could lose data. Rechunk the array using `chunk()`, change or delete "
                "`encoding['chunks']`, or pass `align_chunks=True`, or `safe_chunks=False` if nobody writes at the same time.",
                field="chunks",
            )


def aligned(v: Variable, objects: Shape, region: Sequence[slice]) -> Variable:
    """The variable with blocks that end where stored objects do, each about as long as those it had."""
    if not v.chunks:
        return v
    made = {
        dim: _snapped(blocks, unit, part.start or 0)
        for dim, blocks, unit, part in zip(v.dims, v.chunks, objects, region, strict=True)
    }
    return v.chunk(made)


def _snapped(blocks: tuple[int, ...], unit: int, start: int) -> tuple[int, ...]:
    """The lengths of blocks whose inner borders, counted from `start` elements before the first, are multiples of `unit`.

    Each is less than one unit longer than one that there was, or less than two units long.

    >>> _snapped((3, 5, 3, 1), 3, 0)
    (3, 3, 3, 3)
    >>> _snapped((4, 4, 4), 5, 2)
    (3, 5, 4)
    """
    stops: list[int] = []
    for border in list(accumulate(blocks))[:-1]:
        below = (start + border) // unit * unit - start
        if below > (stops[-1] if stops else 0):
            stops.append(below)
    stops.append(sum(blocks))
    return tuple(stop - at for at, stop in zip([0, *stops], stops, strict=False))
