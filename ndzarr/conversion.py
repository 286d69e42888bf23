"""`convert`: arrays and hierarchies from one place and form to another, a bounded piece at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from ndzarr._typing import Coords, Shape
from ndzarr.api import open
from ndzarr.creation import planned_array
from ndzarr.engine import Engine
from ndzarr.errors import ArgumentError, StoreError
from ndzarr.fillvalue import element, is_fill
from ndzarr.formats.document import attribute_mapping
from ndzarr.formats.newarray import check_format, make_group
from ndzarr.formats.transfer import arguments_for, extra_for
from ndzarr.grid import Axis, Grid
from ndzarr.group import Group
from ndzarr.keys import join, normalize_path
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.placing import Place
from ndzarr.progress import Progress, is_wanted, meter
from ndzarr.relocation import check_apart
from ndzarr.stores.alone import Alone
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.zarray import ZArray

#: The most decoded bytes that are held at once, unless one stored object is larger.
BLOCK_NBYTES = 64 << 20

#: What may be given anew; of a group, for every array in it.
_CHANGES = frozenset("chunks shards access compressor filters order dimension_separator checksum fill_value".split())
#: What changes the bytes of an encoded chunk.
_ENCODING = frozenset("compressor filters order checksum".split())


def convert(
    src: Any,
    dst: Any,
    *,
    path: str = "",
    zarr_format: int | None = None,
    overwrite: bool = False,
    allow_pickle: bool = False,
    progress: Progress = None,
    **changes: Any,
) -> ZArray | Group:
    """Write an array, or a group with all that it holds, to another place; the new node, open for reading and writing.

    src: a ZArray, a Group, or anything that `open` takes. dst: anything that `create_array` takes, and `path` in it.
    zarr_format: 2 or 3; None keeps that of `src`. changes: any of chunks, shards, access (which has the lengths chosen anew
    where they are not given), compressor, filters, order,
    dimension_separator, checksum and fill_value, as for `create_array`; what is not given stays as it is (with new chunks, and
    in format 2, shards go).

    Values, attributes, names of dimensions and unknown fields of the documents are kept. Where neither the chunks nor their
    encoding change, encoded chunks are copied as they are, also into shards and out of them; else they pass through memory,
    some 64 MiB at a time. Chunks that do not exist are not made, unless another fill_value would change what they read as, so
    that they hold the old one. Consolidated metadata are not carried along: see `consolidate`. progress: True shows a bar on
    standard error, or a function called with how many steps are done, and of how many: stored objects copied, or blocks of
    them where values pass through memory. To know how many, what is stored is listed once more.

    Raises ArgumentError for what the format cannot hold, naming it, before any chunk is written; NodeExistsError where
    something is at `dst`, were it chunks of a node that is gone, unless `overwrite`; CorruptChunkError for a chunk that has to
    be decoded and cannot be. Documents are written last, that of `path` last of all: after an exception or a kill nothing is
    there that could be opened and taken for whole, and `src` is as it was; call it again with `overwrite=True`.

    >>> import ndzarr
    >>> old = ndzarr.array([[1, 2, 3], [4, 5, 6]], chunks=(1, 3), zarr_format=2)
    >>> new = ndzarr.convert(old, None, zarr_format=3, shards=(2, 3))
    >>> new[1].tolist(), new.shards, new.zarr_format
    ([4, 5, 6], (2, 3), 3)
    """
    unknown = sorted(set(changes) - _CHANGES)
    if unknown:
        raise ArgumentError(f"cannot change {unknown[0]!r}; expected any of {', '.join(sorted(_CHANGES))}", field=unknown[0])
    check_format(zarr_format)
    given = src if isinstance(src, (ZArray, Group)) else open(src, allow_pickle=allow_pickle)
    store = resolve(dst, "a")
    where = normalize_path(path)
    check_apart(given.store, given.path, store, where, "convert")
    version = zarr_format or given.zarr_format
    plan = _Plan(store, version, allow_pickle, changes)
    try:
        made = plan.array(given, where) if isinstance(given, ZArray) else plan.group(given, where)
        inside = [below[len(where) + 1 :] if where else below for below, _ in plan.nodes]
        place = Place(store, where, version, inside)
        place.take(overwrite=overwrite)
        total = sum([sum(1 for _ in move.steps()) for move in plan.moves]) if is_wanted(progress) else 0
        with meter(progress, total, "convert") as told:
            for move in plan.moves:
                for _ in move.run():
                    place.check()
                    told(1)
        place.finish(plan.nodes)
    finally:
        if not isinstance(src, (ZArray, Group)) and given.store is not src:
            given.store.close()
        if isinstance(dst, (str, os.PathLike)):
            store.close()  # an archive is complete when it is closed
    return open(dst, "r+", path=where, allow_pickle=allow_pickle) if isinstance(dst, (str, os.PathLike)) else made


@dataclass(slots=True)
class _Plan:
    """What is to be written, before anything is: the nodes, each after the group that it is in, and the values of arrays."""

    store: Store
    version: int
    allow_pickle: bool
    changes: dict[str, Any]
    nodes: list[tuple[str, ArrayMeta | GroupMeta]] = field(default_factory=list)
    moves: list[_Move] = field(default_factory=list)

    def group(self, src: Group, path: str) -> Group:
        """The group at `path` and all that it is to hold."""
        made = make_group(path, attribute_mapping(dict(src.attrs)), self.version)
        extra = extra_for(src._meta, self.version)
        if extra:
            made = replace(made, extra=extra)
        self.nodes.append((path, made))
        for name, member in src.members(damaged="raise"):
            below = join(path, name)
            if isinstance(member, ZArray):
                self.array(member, below)
            else:
                self.group(member, below)
        return Group(self.store, path, made, writable=True, allow_pickle=self.allow_pickle)

    def array(self, src: ZArray, path: str) -> ZArray:
        """The array at `path`."""
        engine, changes = src._engine, self.changes
        if changes.get("access") is not None:
            changes = {"chunks": "auto", **changes}
        anew = not changes.keys().isdisjoint(("chunks", "shards"))
        create, alike = arguments_for(src.metadata, src.chunks, self.version, engine.layout.fill, flat=anew)
        if "chunks" in changes:
            create["shards"] = None
        create |= changes
        made = planned_array(self.store, path, allow_pickle=self.allow_pickle, **create)
        extra = extra_for(src.metadata, self.version)
        if extra:
            meta = replace(made.metadata, extra=extra)
            made = ZArray(self.store, path, meta, writable=True, allow_pickle=self.allow_pickle)
        self.nodes.append((path, made.metadata))
        refilled = _refilled(engine, made._engine)
        encoded = alike and not refilled and _ENCODING.isdisjoint(changes) and engine.layout.grid == made._engine.layout.grid
        alone = ZArray(Alone(self.store), path, made.metadata, writable=True, allow_pickle=self.allow_pickle)
        self.moves.append(_Move(src, alone, encoded=encoded, everywhere=refilled))
        return made


def _refilled(old: Engine, new: Engine) -> bool:
    """Whether a missing chunk reads as other values than before."""
    fill = np.empty(1, new.layout.dtype)
    fill[...] = element(old.layout.fill, new.layout.dtype)
    return not is_fill(fill, new.layout.fill)


@dataclass(frozen=True, slots=True)
class _Move:
    """The values of one array, to be moved into another.

    encoded: copy encoded chunks, and leave behind what lies past the edge of the array; else decode and encode, a block of
    whole new objects at a time. everywhere: also where nothing is stored, which else is passed over.
    """

    src: ZArray
    dst: ZArray
    encoded: bool
    everywhere: bool

    def steps(self) -> Iterator[Coords]:
        """The coords of what is moved in one step: of an object, or of a block."""
        layout, after = self.src._engine.layout, self.dst._engine.layout.objects
        by_object = self.encoded and after == layout.grid  # one chunk an object
        cells = layout.objects if by_object else after if self.encoded else self._blocks()
        stored = None if self.everywhere and not self.encoded else _stored(self.src._engine)
        if stored is None:
            return iter(cells)
        return iter(sorted(stored) if by_object else sorted(_touched(layout.objects, stored, cells)))

    def run(self) -> Iterator[Coords]:
        """Move everything; the coords of each step when it is done."""
        step = self._copy() if self.encoded else self._rewrite()
        for coords in self.steps():
            step(coords)
            yield coords

    def _copy(self) -> Callable[[Coords], None]:
        old, new = self.src._engine, self.dst._engine
        grid, before, after = old.layout.grid, old.layout.objects, new.layout.objects

        def one(coords: Coords) -> None:
            for spot, data in old.encoded(coords).items():
                if spot in grid:
                    new.put_encoded(spot, {spot: data})

        # Shards of another shape hold chunks of the same old one: it is not read for each of them.
        encoded = lru_cache(maxsize=2)(old.encoded)

        def shard(target: Coords) -> None:
            region = after.box(target)
            chunks = {}
            for coords in _overlapping(before, region):
                for spot, data in encoded(coords).items():
                    if all(part.start <= n < part.stop for n, part in zip(grid.start(spot), region, strict=True)):
                        chunks[spot] = data
            new.put_encoded(target, chunks)

        return one if after == grid else shard

    def _rewrite(self) -> Callable[[Coords], None]:
        blocks = self._blocks()

        def one(coords: Coords) -> None:
            region = blocks.box(coords)
            self.dst[region] = self.src[region]

        return one

    def _blocks(self) -> Grid:
        objects = self.dst._engine.layout.objects
        return Grid.of(self.dst.shape, _block(self.src, self.dst)) if self.dst._engine.layout.uniform is not None else objects


def _block(src: ZArray, dst: ZArray) -> Shape:
    """Lengths of a block: whole objects of `dst`, more of them along the last axes while memory allows.

    Multiples of what `src` stores come first, so that few of its chunks are decoded twice.
    """
    lengths = [axis.size(0) for axis in dst._engine.layout.objects.axes]
    stored = [max(axis.size(0), 1) for axis in src._engine.layout.objects.axes]
    itemsize = dst.itemsize
    for wanted in ([math.lcm(a, b) for a, b in zip(lengths, stored, strict=True)], list(dst.shape)):
        for axis in reversed(range(len(lengths))):
            room = BLOCK_NBYTES // max(1, math.prod(lengths) * itemsize)
            steps = min(max(1, room), -(-min(wanted[axis], max(1, dst.shape[axis])) // lengths[axis]))
            lengths[axis] *= max(1, steps)
    return tuple(lengths)


def _stored(old: Engine) -> list[Coords] | None:
    """The coords of the objects that there are; None where the store cannot list, as a web server."""
    try:
        return [coords for coords in old.stored() if coords in old.layout.objects]
    except StoreError:
        return None


def _touched(objects: Grid, stored: Iterable[Coords], cells: Grid) -> set[Coords]:
    """The cells of another grid over the same array that hold an element of a stored object.

    As many are held in memory as there are stored objects, or cells that they touch.
    """
    return {coords for spot in stored for coords in _overlapping(cells, objects.box(spot))}


def _overlapping(grid: Grid, region: Sequence[slice]) -> Iterator[Coords]:
    def along(axis: Axis, part: slice) -> range:
        return range(axis.find(part.start), axis.find(part.stop - 1) + 1)

    return product(*(along(axis, part) for axis, part in zip(grid.axes, region, strict=True)))
