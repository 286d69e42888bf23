"""Chunks read the short way: fetched, decoded at once, put in place, with none of the objects that the general way makes.

Each reader here takes what one kind of selection is cut into. Whatever is not the common case (no such object, bytes that do
not decode at once) is given back as a Part, for the general way; so errors and fill values are made in one place.

Safe: `Pipeline.quick` gives a chunk only of a whole, correct object, and None for anything else, an object cut short or too
long among it; then the general way looks at it again, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ndzarr._typing import Buffer, Coords, Key, NDArray
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.grid import Grid
from ndzarr.plan import Part
from ndzarr.points import Cluster, part_of as part_of_cluster
from ndzarr.scatter import take
from ndzarr.stores.base import NO_KEY
from ndzarr.tiles import Tile, part_of as part_of_tile

Name = TypeVar("Name")


@dataclass(slots=True)
class TileReader(Generic[Name]):
    """Reads tiles into `out`.

    fetch: name -> the bytes of the chunk, or None; it may give fewer or more bytes than there are, never others; NO_KEY where
    there are none for certain. general: reads what was not read here. missing: what to do about a chunk that is not there.
    """

    fetch: Callable[[Name], Buffer | None]
    pipeline: Pipeline
    out: NDArray
    grid: Grid
    general: Callable[[Part], None]
    missing: Callable[[Part], None]

    def __call__(self, tiles: Iterator[Tile[Name]]) -> None:
        fetch, out = self.fetch, self.out
        decode = self.pipeline.quick()
        for tile in tiles:
            _, name, target, source = tile
            data = fetch(name)
            chunk = None if data is None or data is NO_KEY or decode is None else decode(data)
            if chunk is None:
                (self.missing if data is NO_KEY else self.general)(part_of_tile(tile, self.grid))
            else:
                out[target] = chunk[source]
            data = chunk = None  # or there would be two of each while the next is made


@dataclass(slots=True)
class PointReader(Generic[Name]):
    """Reads clusters of points into `out`; see TileReader."""

    fetch: Callable[[Name], Buffer | None]
    pipeline: Pipeline
    out: NDArray
    grid: Grid
    general: Callable[[Part], None]
    missing: Callable[[Part], None]

    def __call__(self, clusters: Iterator[Cluster[Name]]) -> None:
        fetch, out = self.fetch, self.out
        decode = self.pipeline.quick()
        for cluster in clusters:
            _, name, positions, flat = cluster
            data = fetch(name)
            chunk = None if data is None or data is NO_KEY or decode is None else decode(data)
            if chunk is None:
                (self.missing if data is NO_KEY else self.general)(part_of_cluster(cluster, self.grid))
            else:
                out[positions] = chunk.reshape(-1)[flat]  # no copy: `quick` gives chunks in C order
            data = chunk = None


@dataclass(slots=True)
class PartReader:
    """Reads parts of a plan into `out`; see TileReader."""

    fetch: Callable[[Key], Buffer | None]
    pipeline: Pipeline
    out: NDArray
    key: Callable[[Coords], Key]
    general: Callable[[Part], None]
    missing: Callable[[Part], None]

    def __call__(self, parts: Iterator[Part]) -> None:
        fetch, key, out = self.fetch, self.key, self.out
        decode = self.pipeline.quick()
        for part in parts:
            data = fetch(key(part.coords))
            chunk = None if data is None or data is NO_KEY or decode is None else decode(data)
            if chunk is None:
                (self.missing if data is NO_KEY else self.general)(part)
            else:
                take(part, chunk, out)
            data = chunk = None
