"""ZArray: what users hold. It delegates: indices to `selection`, chunks to `engine`, documents to `nodes`."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Self

import numpy as np

from ndzarr import config, display, nodes
from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.accessors import select_blocks, select_outer, select_points
from ndzarr.assignment import cast, check_value, spread
from ndzarr.chunkcache import ChunkCache, cache_of
from ndzarr.chunkwise import iter_chunks, map_chunks
from ndzarr.duck import DuckArray
from ndzarr.engine import Engine, presence, read_point
from ndzarr.errors import ArgumentError, MemoryLimitError, MetadataError, NodeNotFoundError
from ndzarr.explain import Explanation, explain_reads
from ndzarr.fields import Field, split_fields
from ndzarr.grid import Edges, EdgesAxis, Grid
from ndzarr.growth import reshaped, rows_of, shell
from ndzarr.knowing import KnowingArray
from ndzarr.layout import compile_layout
from ndzarr.lazyview import Lazy, LazyView
from ndzarr.metadata import ArrayMeta, shape_argument
from ndzarr.node import Node
from ndzarr.operand import Borders
from ndzarr.process import arrived
from ndzarr.progress import Progress
from ndzarr.rowstream import extend, stream
from ndzarr.selection import (
    LateSelectionError,
    Selection,
    Span,
    boxed,
    select,
)
from ndzarr.stores.base import Store
from ndzarr.streaming import goes_by_blocks

#: Up to this many chunk lengths are listed one by one.
_MAX_LISTED = 10_000_000
#: Up to this many chunks `resize` deletes by name; beyond, it asks the store which exist.
_DELETE_BY_NAME = 100


class ZArray(Node, DuckArray, KnowingArray):
    """A chunked, compressed array in a store. `z[index]` and `z[index] = value` mean what they mean to NumPy.

    Made by `create_array`, `open_array` and their kin. Reads give NumPy arrays. Safe to use from any number of threads: no two
    writes through any handle in this process lose an update, but a read over several chunks while somebody writes may see old
    chunks and new ones. Handles can be pickled; a handle's shape is the one it last saw (see `refresh`).

    >>> import ndzarr
    >>> z = ndzarr.zeros((4, 6), dtype="i4", chunks=(2, 3))
    >>> z[1:3, ::-2] = [[1, 2, 3], [4, 5, 6]]
    >>> z[[1, 2], [5, 1]]
    array([1, 6], dtype=int32)
    """

    __slots__ = ("_engine",)

    def __init__(
        self,
        store: Store,
        path: str,
        meta: ArrayMeta,
        *,
        writable: bool = False,
        allow_pickle: bool = False,
        missing: config.Missing | None = None,
        chunk_cache: ChunkCache | None = None,
    ) -> None:
        super().__init__(store, path, writable=writable, allow_pickle=allow_pickle, missing=missing, chunk_cache=chunk_cache)
        # The one attribute that changes, with everything that goes by the shape. Each operation takes it once, so that
        # another thread's `resize` of this handle cannot make it go by two shapes.
        self._engine = self._engine_for(meta)

    def _of(self, home: bytes) -> Self:
        self._engine.home = home
        return super()._of(home)

    def _engine_for(self, meta: ArrayMeta) -> Engine:
        try:
            layout = compile_layout(meta, self._path, allow_pickle=self._allow_pickle)
        except MetadataError as error:
            raise MetadataError(
                f"cannot use {self._path or '/'!r} in {self._store.url}: {error}",
                store=self._store.url,
                path=self._path,
                codec=error.codec,
                field=error.field or "codecs",
                found=error.found,
            ) from error
        return Engine(self._store, meta, layout, self._path, self._chunk_cache, self._home)

    @property
    def _meta(self) -> ArrayMeta:
        return self._engine.meta

    # ---- what it is --------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self._meta.shape

    @property
    def dtype(self) -> DType:
        """The NumPy dtype of the elements."""
        return self._meta.dtype

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self._meta.shape)

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self._meta.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one decoded element."""
        return self._meta.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole decoded array."""
        return self._meta.nbytes

    @property
    def chunks(self) -> tuple[Any, ...]:
        """Lengths of a chunk, by axis: an int, or the lengths of all chunks where they differ (a rectilinear grid).

        In a sharded array these are the chunks inside a shard. MemoryLimitError where an axis has millions of lengths to list.
        """
        layout = self._engine.layout
        if layout.grid is layout.objects:
            return _lengths(layout.objects, self._meta.chunks)
        return tuple([axis.size(0) for axis in layout.grid.axes])

    @property
    def shards(self) -> tuple[Any, ...] | None:
        """Lengths of a shard, by axis as for `chunks`; None where each chunk is an object of its own."""
        layout = self._engine.layout
        return None if layout.grid is layout.objects else _lengths(layout.objects, self._meta.chunks)

    @property
    def nchunks(self) -> int:
        """Chunks in the grid, written or not."""
        return self._engine.layout.grid.nchunks

    @property
    def fill_value(self) -> Any:
        """What chunks that were never written read as; None where the metadata leave it undefined (they read as zeros)."""
        fill: Any = self._meta.fill_value
        return fill.copy() if type(fill) is np.void else copy.deepcopy(fill)

    @property
    def order(self) -> str:
        """ "C" or "F": the order of elements inside a chunk, in a sharded array inside a chunk of a shard."""
        return self._engine.layout.order

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Names of the axes, where the metadata have them."""
        return self._meta.dimension_names

    @property
    def metadata(self) -> ArrayMeta:
        """All the metadata, as this handle last saw them."""
        meta = self._meta  # what the caller may change is his own: others go by the same
        codecs, extra = copy.deepcopy((meta.codecs, meta.extra))
        return replace(meta, attributes=dict(self.attrs), codecs=codecs, extra=extra, fill_value=self.fill_value)

    @property
    def nbytes_stored(self) -> int:
        """Bytes of all chunk objects as stored. Lists the store."""
        return self._engine.nbytes_stored()

    @property
    def info(self) -> display.Info:
        """A table of what the array is and how it is stored; lists the store when it is printed."""
        return display.array_info(self)

    # ---- NumPy indexing --------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        """`numpy.asarray(self)[index]`, reading only the chunks that it touches.

        Besides what NumPy takes, fields of structured dtypes may come with an index: `z["a", 3:5]`. Raises what NumPy raises,
        and CorruptChunkError or StoreError for what cannot be read.
        """
        engine = self._engine
        meta = engine.meta
        entries = (index,) if type(index) is int else index
        if type(entries) is tuple and self._missing is None:
            # Plain ints for every axis: one element, by the shortest way.
            shape = meta.shape
            if len(entries) == len(shape):
                point = []
                for i, n in zip(entries, shape, strict=True):
                    if type(i) is not int or not -n <= i < n:
                        break
                    point.append(i if i >= 0 else i + n)
                else:
                    return read_point(engine, tuple(point), masked=True)
        index, fields = split_fields(index, meta.dtype)
        selection = select(index, meta.shape)
        if isinstance(fields, list):
            return self._read(engine, selection, masked=True)[fields]
        return self._read(engine, selection, fields, masked=True)

    def __setitem__(self, index: Any, value: Any) -> None:
        """What `a[index] = value` does to a NumPy array: cast, broadcast, the last of repeated indices stays.

        Each chunk is replaced whole, under its lock; see `Engine.write` for what an exception leaves behind. A value that is
        stored, and larger than `options(working_memory=)`, is read and written a block at a time where the index is of slices.
        """
        self._check_writable()
        engine = self._engine
        meta = engine.meta
        index, fields = split_fields(index, meta.dtype)
        try:
            selection = select(index, meta.shape)
        except LateSelectionError:
            check_value(value, meta.dtype, index, meta.shape)
            raise
        if fields is None and goes_by_blocks(value, selection, meta.dtype):
            place: Any = self.lazy[index]
            np.copyto(place, value, casting="unsafe")
            return
        if fields is None or isinstance(fields, str):
            self._write(engine, selection, value, fields)
            return
        packed = cast(value, np.dtype([(name, meta.dtype[name]) for name in fields]), selection, selection.shape)
        for name in fields:
            self._write(engine, selection, packed[name], name)

    def _read(self, engine: Engine, selection: Selection, field: Field | None = None, *, masked: bool = False) -> Any:
        with self._policy():
            return engine.read(selection, field, masked=masked)

    def _policy(self) -> AbstractContextManager[object]:
        return nullcontext() if self._missing is None else config.options(missing=self._missing)

    def _write(self, engine: Engine, selection: Selection, value: Any, field: str | None = None) -> None:
        dtype = engine.meta.dtype if field is None else engine.meta.dtype[field]
        array = cast(value, dtype.base, selection, selection.shape + dtype.shape)
        nested = not isinstance(value, np.ndarray) and dtype.base.kind in "OT"
        selection, array = spread(array, selection, dtype.shape, nested=nested)
        engine.write(selection, array, field)

    def presence(self, index: Any = ...) -> Any:
        """Which elements of `z[index]` were ever written, as booleans: True where the element lies in a chunk that exists.

        Exact inside shards too, whose indices are read; no chunk is. Chunks of nothing but fill values are not stored unless
        `options(write_empty=True)`, so that they count as never written. Raises what `z[index]` raises.
        """
        engine = self._engine
        index, fields = split_fields(index, engine.meta.dtype)
        found = presence(engine, select(index, engine.meta.shape))
        inner = engine.meta.dtype[fields].shape if isinstance(fields, str) else ()
        return np.repeat(found, math.prod(inner)).reshape(found.shape + inner) if inner else found

    def _explain_index(self, index: Any, lookups: int) -> Explanation:
        engine = self._engine
        index, fields = split_fields(index, engine.meta.dtype)
        field = fields if isinstance(fields, str) else None
        return explain_reads(engine, [select(index, engine.meta.shape)], field, lookups=lookups)

    def _explain_boxes(self, boxes: Iterable[Box], lookups: int) -> Explanation:
        return explain_reads(self._engine, map(boxed, boxes), lookups=lookups)

    @property
    def oindex(self) -> Indexer:
        """Outer indexing: each axis by itself. `z.oindex[[0, 2], [1, 3]]` has shape (2, 2); ints drop their axis."""
        return Indexer(self, lambda index, engine: select_outer(index, engine.meta.shape))

    @property
    def vindex(self) -> Indexer:
        """Point-wise indexing: arrays, ints and masks broadcast together and come first, sliced axes last."""
        return Indexer(self, lambda index, engine: select_points(index, engine.meta.shape))

    @property
    def blocks(self) -> Indexer:
        """Indexing by whole chunks: `z.blocks[0, 1:3]`."""
        return Indexer(self, lambda index, engine: select_blocks(index, engine.layout.grid))

    @property
    def lazy(self) -> Lazy:
        """Views instead of reads: `z.lazy[index]`, `z.lazy.oindex[...]` and `z.lazy.vindex[...]` are LazyViews."""
        return Lazy(LazyView.whole(self))

    def iter_chunks(self) -> Iterator[tuple[Box, NDArray]]:
        """(box, chunk) for each chunk in C order: `z[box]` is the chunk, cut at the edge of the array.

        Each chunk is read when it is its turn; chunks that were never written come too. See `chunks` for what a chunk is.
        """
        engine = self._engine
        return iter_chunks(engine.layout.grid, lambda box: self._read(engine, boxed(box), masked=True))

    def map_chunks(self, f: Callable[[NDArray], Any], *, out: Any = None, dtype: Any = None) -> Any:
        """`f(chunk)` for each chunk, as a NumPy array, or written into `out`, which is then what is returned.

        Chunks are cut at the edge of the array. `f` runs on several threads at once, in any order, and gives an array of the
        shape of the chunk. dtype: of a new array; by default that of the first result. Raises ArgumentError for a result of
        another shape, and what `f` raises. Memory: the result, and a chunk and what `f` makes of it for each thread.

        >>> import ndzarr
        >>> z = ndzarr.array([[1, 2, 3], [4, 5, 6]], chunks=(1, 2))
        >>> z.map_chunks(lambda chunk: chunk - chunk.min())
        array([[0, 1, 0],
               [0, 1, 0]])
        """
        engine = self._engine
        empty = np.empty((0,) * self.ndim, self.dtype)
        kind = None if dtype is None else np.dtype(dtype)
        return map_chunks(engine.layout.grid, lambda box: self._read(engine, boxed(box), masked=True), f, kind, out, empty)

    # ---- a box at a time: what NumPy's functions go by (`operand.Operand`) ------------------------------

    def read_box(self, box: Box) -> NDArray:
        """The elements in a box, one slice with step 1 an axis, as a fresh array."""
        found: NDArray = self._read(self._engine, boxed(box))
        return found

    def write_box(self, box: Box, value: NDArray) -> None:
        """Put `value`, of the box's shape, there, cast to the dtype."""
        self._check_writable()
        selection = boxed(box)
        self._engine.write(selection, np.asarray(value).astype(self.dtype, copy=False).reshape(selection.shape))

    def borders(self) -> tuple[Borders, ...]:
        """Where chunks begin along each axis."""
        return tuple([Borders.of(axis) for axis in self._engine.layout.grid.axes])

    def object_borders(self) -> tuple[Borders, ...]:
        """Where stored objects begin along each axis."""
        return tuple([Borders.of(axis) for axis in self._engine.layout.objects.axes])

    def chunk_ns(self) -> float:
        """About how long one chunk takes to decode, in nanoseconds."""
        return self._engine.chunk_ns()

    def placed(self) -> tuple[Hashable, Any]:
        """What identifies the stored array, and how this lies over it: None, as it stands."""
        return self._store.object_id(self._engine.layout.key((0,) * self.ndim)), None

    # ---- shape --------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the metadata again: another handle or process may have resized the array."""
        meta = _read_meta(self._store, self._path, self.zarr_format)
        self._attrs = None
        self._engine = self._engine_for(meta)

    def resize(self, *shape: Any) -> None:
        """Change the shape in place: `z.resize(10, 20)` or `z.resize((10, 20))`.

        What is cut off is deleted before this returns, chunks wholly outside as objects and the rest of edge chunks by fill
        values, so that growing again reads fill values; growing itself wipes whatever a failed `append` or another program has
        left behind the old edge (promise P6). Costs a read, and a write where there is something, for each chunk along an edge
        that moves and is no chunk border.
        """
        lengths = shape_argument(shape[0] if len(shape) == 1 else shape)
        self._check_writable()
        if len(lengths) != self.ndim:
            raise ArgumentError(
                f"cannot resize to shape {lengths!r}: expected {self.ndim} lengths", field="shape", found=lengths
            )
        with nodes.node_lock(self._store, self._path):
            self.refresh()
            self._resize(lengths)

    def _resize(self, shape: Shape) -> None:
        kept = tuple(min(n, now) for n, now in zip(shape, self.shape, strict=True))
        if kept not in (shape, self.shape):
            # One axis shrinks, another grows: after a crash, either order of shape and chunks would show what lies behind an
            # edge.
            self._resize(kept)
        old = self._engine
        new = self._engine_for(reshaped(old, shape))
        shrinks = any(n < now for n, now in zip(shape, old.meta.shape, strict=True))
        if not shrinks:
            self._scrub(old, new)
        # Shape first when shrinking, last when growing: a crash in between leaves data that nobody can see, instead of showing
        # half of a cut, or what should have been wiped.
        nodes.write_shape(self._store, self._path, new.meta)
        self._engine = new
        if shrinks:
            self._scrub(old, new)

    def _scrub(self, old: Engine, new: Engine) -> None:
        """Leave nothing but fill values in the chunks of either shape outside what both have."""
        kept = tuple(min(a, b) for a, b in zip(old.meta.shape, new.meta.shape, strict=True))
        # By the new grid, which has all the chunks of the old one, and where it had to grow some more.
        axes = Grid.of(kept, new.meta.chunks).axes
        inside = tuple(axis.count for axis in axes)
        outside = tuple(max(a, b) for a, b in zip(old.layout.objects.shape, new.layout.objects.shape, strict=True))
        count = math.prod(outside) - math.prod(inside)
        if count > _DELETE_BY_NAME:
            old.erase([c for c in old.stored() if any(i >= n for i, n in zip(c, inside, strict=True))])
        else:
            old.erase(shell(inside, outside))
        # The rest of the edge chunks, their part past the edge included: an array of the kept chunks, each whole.
        whole = tuple(axis.start(n - 1) + axis.size(n - 1) if n else 0 for axis, n in zip(axes, inside, strict=True))
        padded = self._engine_for(replace(new.meta, shape=whole))
        for axis, (a, b) in enumerate(zip(old.meta.shape, new.meta.shape, strict=True)):
            if a != b and kept[axis] < whole[axis]:
                picks = [Span(0, 1, n) for n in whole]
                picks[axis] = Span(kept[axis], 1, whole[axis] - kept[axis])
                lengths = tuple(p.count for p in picks)
                padded.blank(Selection(tuple(picks), lengths, lengths))

    def append(self, data: Any, axis: int = 0) -> Shape:
        """Add `data` at the end of an axis; the new shape.

        The rows are written first and the shape last, under the array's lock, so that appenders in this process never overlap
        and no reader sees rows that are not there yet. Raises ArgumentError when the other axes do not match.
        """
        self._check_writable()
        rows = data if isinstance(data, np.ndarray) else rows_of(data, self.dtype, self.ndim)
        axis = operator.index(axis)
        if not -self.ndim <= axis < self.ndim:
            raise ArgumentError(f"axis {axis} is out of bounds for array of dimension {self.ndim}", field="axis", found=axis)
        axis %= self.ndim
        with nodes.node_lock(self._store, self._path):
            self.refresh()
            expected = (*self.shape[:axis], *rows.shape[axis : axis + 1], *self.shape[axis + 1 :])
            if rows.ndim != self.ndim or rows.shape != expected:
                raise ArgumentError(
                    f"cannot append data of shape {rows.shape} to {self._path or '/'!r} of shape {self.shape} along axis "
                    f"{axis}: all other axes must be equal",
                    field="data",
                    found=rows.shape,
                    expected=expected,
                )
            start = self.shape[axis]
            shape = (*self.shape[:axis], start + rows.shape[axis], *self.shape[axis + 1 :])
            grown = self._engine_for(reshaped(self._engine, shape))
            if grown.meta.chunks != self._engine.meta.chunks:
                # Under the keys of chunks made now, a failed `append` may have left some of other lengths.
                grown.erase(shell(self._engine.layout.objects.shape, grown.layout.objects.shape))
            index = (slice(None),) * axis + (slice(start, None),)
            self._write(grown, select(index, shape), rows)
            nodes.write_shape(self._store, self._path, grown.meta)
            self._engine = grown
        return shape

    def stream(
        self,
        axis: int = 0,
        *,
        block: int | None = None,
        max_mem: int | str = "64MiB",
        prefetch: int = 1,
        progress: Progress = None,
    ) -> Iterator[tuple[Box, NDArray]]:
        """(box, values) for each block of rows along `axis`, in order; the next `prefetch` are read meanwhile, by another
        thread.

        block: rows of each; by default as many as whole stored objects, or chunks, have within `max_mem` bytes, which all
        blocks read ahead, the one in the caller's hands and a chunk as it is decoded share. What is read are the rows there
        are now. Raises MemoryLimitError where a block does not fit, and what reading raises. See `ndzarr.write_stream` for
        the way back.

        >>> import ndzarr
        >>> z = ndzarr.array([[1, 2], [3, 4], [5, 6]], chunks=(1, 2))
        >>> [int(values.sum()) for box, values in z.stream(block=2)]
        [10, 11]
        """
        return stream(self, axis, block, max_mem, prefetch, progress)

    def extend(
        self, blocks: Iterable[Any], axis: int = 0, *, max_mem: int | str = "256MiB", progress: Progress = None
    ) -> Shape:
        """Append every block of rows that an iterator gives; the new shape.

        Rows are gathered to whole stored objects, so that each is written once, by another thread while the iterator makes the
        next; it is asked for no more than `max_mem` bytes have room for. The array grows over what is stored, object by object.
        After an exception, of the iterator or for a block of another shape, all rows before it are there. Raises what `append`
        raises, and MemoryLimitError where not even one row of objects fits. Not to be called from two threads at once.
        """
        return extend(self, blocks, axis, max_mem, progress)

    # ---- handles --------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        # Configuration only: the metadata are read anew where the handle arrives, since they may have changed meanwhile.
        limit = None if self._chunk_cache is None else self._chunk_cache.limit
        return _reopen, (self._store, self._path, self._writable, self._allow_pickle, self._missing, limit, self._home)

    def __repr__(self) -> str:
        return display.array_repr(self)

    def _repr_html_(self) -> str:
        from ndzarr import notebook  # of no use where there is no notebook

        return notebook.array_html(self)

    def _repr_inline_(self, max_width: int) -> str:
        """For xarray's own repr."""
        from ndzarr import notebook

        return notebook.inline(self, max_width)


class Indexer:
    """`z.oindex`, `z.vindex` or `z.blocks`: the same array under other rules of indexing, for reading and writing."""

    __slots__ = ("_array", "_select")

    def __init__(self, array: ZArray, select: Callable[[Any, Engine], Selection]) -> None:
        self._array = array
        self._select = select

    def __getitem__(self, index: Any) -> Any:
        engine = self._array._engine
        return self._array._read(engine, self._select(index, engine), masked=True)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array._check_writable()
        engine = self._array._engine
        self._array._write(engine, self._select(index, engine), value)


def _read_meta(store: Store, path: str, zarr_format: int | None = None) -> ArrayMeta:
    meta = nodes.read(store, path, zarr_format)
    if not isinstance(meta, ArrayMeta):
        raise NodeNotFoundError(f"{path or '/'!r} in {store.url} is a group now", path=path)
    return meta


def _reopen(
    store: Store, path: str, writable: bool, pickles: bool, missing: Any, cache: int | None = None, home: bytes | None = None
) -> ZArray:
    kept = cache_of(cache)
    meta = _read_meta(store, path)
    made = ZArray(store, path, meta, writable=writable, allow_pickle=pickles, missing=missing, chunk_cache=kept)
    return made if home is None else made._of(arrived(home))


def _lengths(objects: Grid, chunks: tuple[int | Edges, ...]) -> tuple[Any, ...]:
    """Stored lengths by axis: an int, or one for each chunk that holds an element."""
    for axis in objects.axes:
        if type(axis) is EdgesAxis and axis.count > _MAX_LISTED:
            raise MemoryLimitError(
                f"an axis has {axis.count} chunk lengths to list; see metadata.chunks for their runs",
                found=axis.count,
                expected=_MAX_LISTED,
            )
    return tuple(
        chunk if isinstance(chunk, int) else tuple([axis.size(c) for c in range(axis.count)])
        for axis, chunk in zip(objects.axes, chunks, strict=True)
    )
