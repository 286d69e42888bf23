"""ArrayMeta -> Layout: everything that a read or write needs, worked out once an array."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ndzarr._typing import CodecSpec, Coords, DType, Key, Shape
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import Pipeline, build
from ndzarr.codecs.registry import builtin, create_codec, get_codec, version
from ndzarr.codecs.sharding_indexed import ShardingCodec
from ndzarr.codecs.transpose import TransposeCodec
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.grid import Edges, Grid
from ndzarr.metadata import ArrayMeta

#: How many kinds of objects a rectilinear grid may have before their pipelines are made anew.
_MAX_CELLS = 1024
#: How many cells of uniform grids are kept for the next array like theirs.
_MAX_KEPT = 256


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """How the chunks of one shard lie in their object, with all axes in the array's own order.

    codec: the bound codec, whose index has its axes in the order `order` of the array's (transposes that stand before the codec
    are applied to each inner chunk instead: the same bytes). grid: the inner chunks of a whole shard. pipeline: inner chunk <->
    its bytes.
    """

    codec: ShardingCodec
    order: tuple[int, ...]
    grid: Grid
    pipeline: Pipeline

    def position(self, coords: Coords) -> int:
        """The row of the index for an inner chunk."""
        position = 0
        for axis, count in zip(self.order, self.codec.counts, strict=True):
            position = position * count + coords[axis]
        return position


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What lies under one key: a chunk like `chunk`, encoded by `pipeline`; `shard` where inner chunks can be had singly."""

    chunk: ChunkSpec
    pipeline: Pipeline
    shard: Shard | None


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How an array lies in its store. Immutable; any number of threads may use it.

    objects: the grid of what lies under one key. grid: the grid of the chunks that can be read one by one, which divides the
    other. cell: object coords -> what lies there; one and the same wherever `uniform`. key: object coords -> store key; coords:
    store key -> object coords, None for any other key. fill: what a missing chunk reads as; `blank` is False where the fill
    value is undefined, so that a chunk of zeros may not be left out. order: "F" where elements lie with the axes reversed in a
    chunk, else "C".
    """

    objects: Grid
    grid: Grid
    cell: Callable[[Coords], Cell]
    uniform: Cell | None
    key: Callable[[Coords], Key]
    coords: Callable[[Key], Coords | None]
    dtype: DType
    fill: Any
    blank: bool
    order: str


def compile_layout(meta: ArrayMeta, path: str, *, allow_pickle: bool = False) -> Layout:
    """The Layout of an array at `path`; MetadataError when its codecs cannot decode its dtype."""
    objects = Grid.of(meta.shape, meta.chunks)
    uniform = objects.uniform
    first = _kept(meta, allow_pickle) if uniform else None
    cell: Callable[[Coords], Cell]
    if first is None:
        specs = [spec for spec in meta.codecs if not _identity(spec, meta.ndim)]
        try:
            cells = cell = _Cells(meta, specs, allow_pickle, objects)
            # Of every length that an axis has, so that what cannot be decoded is refused here, not at the first read.
            first, *_ = [cells.make(shape) for shape in _shapes(meta)]
        except ArgumentError as error:
            raise MetadataError(str(error), path=path, codec=error.codec, field=error.field, found=error.found) from error
        if uniform:
            _keep(meta, allow_pickle, first)
    if uniform:
        one = first

        def cell(coords: Coords) -> Cell:
            return one

    shard = first.shard
    grid = objects if shard is None else Grid.of(meta.shape, tuple(axis.size(0) for axis in shard.grid.axes))
    return Layout(
        objects=objects,
        grid=grid,
        cell=cell,
        uniform=first if uniform else None,
        key=meta.key_encoding.encoder(meta.ndim, path),
        coords=meta.key_encoding.decoder(meta.ndim, path),
        dtype=meta.dtype,
        fill=_fill(meta),
        blank=meta.fill_value is not None,
        order=meta.order if shard is None else _chunk_order(shard.pipeline),
    )


# ---- cells kept --------------------------------------------------------------------------------

#: By identity of the chain: all that a cell is made from, and the cell. Who has the same metadata, by `formats.seen`, or has
#: changed a shape alone, has the same objects.
_CELLS: dict[int, tuple[tuple[Any, ...], int, bool, Cell]] = {}


def _kept(meta: ArrayMeta, allow_pickle: bool) -> Cell | None:
    """The cell of an array with a uniform grid, where one was made from these very objects.

    Safe: a cell is immutable, and depends on nothing else but what names of codecs stand for. For those built in `version`
    says when that changes; of others none is kept.
    """
    entry = _CELLS.get(id(meta.codecs))
    if entry is None:
        return None
    of, registered, pickles, cell = entry
    alike = all(map(operator.is_, of, _made_of(meta)))
    return cell if alike and registered == version() and pickles == allow_pickle else None


def _keep(meta: ArrayMeta, allow_pickle: bool, cell: Cell) -> None:
    if all(map(_is_ours, meta.codecs)):
        if len(_CELLS) >= _MAX_KEPT:
            _CELLS.clear()  # another thread may look up at the same time, but no thread iterates
        _CELLS[id(meta.codecs)] = _made_of(meta), version(), allow_pickle, cell


def _made_of(meta: ArrayMeta) -> tuple[Any, ...]:
    return meta.codecs, meta.chunks, meta.dtype, meta.fill_value


def _is_ours(spec: CodecSpec) -> bool:
    """Whether a codec is built in, and none in its configuration but, in a shard, those built in too."""
    if not builtin(spec.name):
        return False
    for value in spec.configuration.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping):
                name, configuration = inner.get("name"), inner.get("configuration", {})
                if not (isinstance(name, str) and isinstance(configuration, Mapping)):
                    return False
                if not _is_ours(CodecSpec(name, configuration)):
                    return False
    return True


class _Cells:
    """Object coords -> Cell, for a grid whose objects differ; made when first asked for, one for each shape."""

    def __init__(self, meta: ArrayMeta, specs: Sequence[CodecSpec], allow_pickle: bool, objects: Grid) -> None:
        self._spec = ChunkSpec((), meta.dtype, meta.fill_value)
        self._specs = specs
        self._allow_pickle = allow_pickle
        self._objects = objects
        self._made: dict[Shape, Cell] = {}

    def __call__(self, coords: Coords) -> Cell:
        shape = self._objects.size(coords)
        cell = self._made.get(shape)
        return self.make(shape) if cell is None else cell

    def make(self, shape: Shape) -> Cell:
        chunk = replace(self._spec, shape=shape)
        if chunk.nbytes >= 1 << 63:
            raise ArgumentError(
                f"chunks of shape {shape} and dtype {chunk.dtype} have {chunk.nbytes} bytes each, expected under 2**63",
                field="chunks",
                found=shape,
            )
        cell = Cell(
            chunk, build(self._specs, chunk, allow_pickle=self._allow_pickle), _shard(self._specs, chunk, self._allow_pickle)
        )
        if len(self._made) >= _MAX_CELLS:
            self._made.clear()  # another thread may hold the dict, not an entry of it
        self._made[shape] = cell
        return cell


def _shapes(meta: ArrayMeta) -> list[Shape]:
    """Shapes of objects in which each length of each axis occurs, the first thousand of it; that of the first object first."""
    lengths = [[c for c, _ in chunk.runs] if isinstance(chunk, Edges) else [chunk or 1] for chunk in meta.chunks]
    shapes = [tuple(axis[0] for axis in lengths)]
    for axis, distinct in enumerate(lengths):
        shapes += [(*shapes[0][:axis], n, *shapes[0][axis + 1 :]) for n in dict.fromkeys(distinct[1:_MAX_CELLS])]
    return shapes


def _sharded(specs: Sequence[CodecSpec]) -> bool:
    """Whether parts of an object can be fetched: its last step is sharding, and nothing but transposes comes before."""
    return (
        bool(specs)
        and get_codec(specs[-1].name) is ShardingCodec
        and all(get_codec(spec.name) is TransposeCodec for spec in specs[:-1])
    )


def _order(transposes: Sequence[CodecSpec], ndim: int) -> tuple[int, ...]:
    """The transposes one after the other: axis `i` of what comes out is axis `order[i]` of the chunk."""
    order = tuple(range(ndim))
    for spec in transposes:
        order = tuple(order[axis] for axis in spec.configuration["order"])
    return order


def _chunk_order(pipeline: Pipeline) -> str:
    axes = tuple(range(len(pipeline.chunk.shape)))
    order = axes
    for codec in pipeline.codecs:
        if not isinstance(codec, TransposeCodec):
            break
        order = tuple(order[axis] for axis in codec.order)
    return "F" if order == axes[::-1] != axes else "C"


def _shard(specs: Sequence[CodecSpec], chunk: ChunkSpec, allow_pickle: bool) -> Shard | None:
    if not _sharded(specs):
        return None
    order = _order(specs[:-1], len(chunk.shape))
    outer = replace(chunk, shape=tuple(chunk.shape[axis] for axis in order))
    codec = create_codec(specs[-1]).bind(outer)
    if not isinstance(codec, ShardingCodec):
        return None
    inner = tuple(codec.chunk_shape[order.index(axis)] for axis in range(len(order)))
    # Transposing a shard and cutting it into chunks is cutting it first and transposing each.
    pipeline = build([*specs[:-1], *codec.codecs], replace(chunk, shape=inner), allow_pickle=allow_pickle)
    return Shard(codec, order, Grid.of(chunk.shape, inner), pipeline)


def _identity(spec: CodecSpec, ndim: int) -> bool:
    """A transpose that moves nothing, such as order F of fewer than two axes: without it ranges of a raw chunk can be read."""
    return spec.name == "transpose" and list(spec.configuration.get("order", ())) == list(range(ndim))


def _fill(meta: ArrayMeta) -> Any:
    """A scalar of the dtype; zero where the document leaves it undefined, as every peer reads it.

    Objects without a fill value read as what their codec makes of nothing: "" for strings, b"" for bytes, else None or 0.
    """
    if meta.fill_value is not None:
        return meta.fill_value
    if meta.dtype.kind == "O":
        ids = {spec.name.removeprefix("numcodecs.") for spec in meta.codecs}
        return "" if "vlen-utf8" in ids else b"" if "vlen-bytes" in ids else None
    return np.zeros((), meta.dtype)[()]
