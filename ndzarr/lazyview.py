"""LazyView: an index into an array, kept instead of read; views of views compose, and can be written through."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.accessors import select_outer, select_points
from ndzarr.assignment import cast, check_value, spread
from ndzarr.duck import DuckArray
from ndzarr.engine import Engine
from ndzarr.errors import ArgumentError, MemoryLimitError, ReadOnlyError, SelectionError
from ndzarr.explain import Explanation, explain_reads
from ndzarr.fields import Field, field_dtype, split_fields
from ndzarr.grid import Axis
from ndzarr.memory import check_result, room
from ndzarr.operand import Borders
from ndzarr.selection import LateSelectionError, Selection, select
from ndzarr.stores.base import Store
from ndzarr.streaming import goes_by_blocks
from ndzarr.transform import Affine, Table, Transform


class Base(Protocol):
    """What a view needs of the array that it is a view of."""

    _engine: Engine

    @property
    def path(self) -> str:
        """See `node.Node`."""

    @property
    def store(self) -> Store:
        """See `node.Node`."""

    def placed(self) -> tuple[Hashable, Any]:
        """See `DuckArray.placed`."""

    @property
    def writable(self) -> bool:
        """See `node.Node`."""

    def _read(self, engine: Engine, selection: Selection, field: Field | None = None, *, masked: bool = False) -> Any:
        """What `engine.read` gives under the handle's own policies."""

    def _check_writable(self) -> None:
        """Raise ReadOnlyError where the handle may not write."""


class LazyView(DuckArray):
    """A view of a stored array, which has been read nowhere yet: `z.lazy[10:20, ::-1]`, `z.lazy.oindex[...]`, `view.real`.

    `view[index]`, `view.oindex[index]` and `view.vindex[index]` are views again, exactly those that NumPy's, applied one after
    the other, would be; none reads anything. `compute()` or `numpy.asarray(view)` reads, only the chunks that are touched.
    Assigning to `view[index]` writes into the array, as if the view's elements were assigned one after the other in C order,
    so that of an element that the view repeats the last value stays. What `broadcast` makes cannot be written.

    A view holds the handle, and goes by the shape that it had when the view was made. When the array grows, the view stays as
    it is; when it has shrunk so that elements asked for are outside, reading or writing them raises SelectionError. Views can
    be pickled as handles can, and used from any number of threads.

    >>> import ndzarr
    >>> z = ndzarr.array([[0, 1, 2], [3, 4, 5]])
    >>> view = z.lazy[:, ::-1][1]
    >>> view.compute()
    array([5, 4, 3])
    >>> view[0] = 50
    >>> z[1]
    array([ 3,  4, 50])
    """

    __slots__ = ("_base", "_dtype", "_field", "_readonly", "_seen", "_stored", "_transform")

    def __init__(
        self,
        base: Base,
        transform: Transform,
        field: tuple[str | list[str], ...] = (),
        seen: Shape | None = None,
        *,
        readonly: bool = False,
    ) -> None:
        meta = base._engine.meta
        self._base = base
        self._transform = transform
        self._field = field
        # The shape and dtype of the array that the view was made for.
        self._seen = meta.shape if seen is None else seen
        self._stored = meta.dtype
        self._dtype = field_dtype(meta.dtype, field)
        self._readonly = readonly
        if self._dtype.shape:
            raise ArgumentError(
                f"there is no lazy view of field {field!r}, whose elements are arrays of shape {self._dtype.shape}; read it",
                field=str(field[-1]),
            )

    @classmethod
    def whole(cls, base: Base) -> LazyView:
        """The view of all of an array."""
        shape = base._engine.meta.shape
        return cls(base, Transform.identity(shape), seen=shape)

    # ---- what it is --------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self._transform.shape

    @property
    def dtype(self) -> DType:
        """The NumPy dtype of the elements."""
        return self._dtype

    @property
    def base(self) -> Any:
        """The array that this is a view of."""
        return self._base

    @property
    def writable(self) -> bool:
        """Whether the view may be written: not if it is broadcast, nor if the handle was opened for reading."""
        return not self._readonly and self._base.writable

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Of each axis the name of the array's axis that it runs along; None for an axis of length 1 and any other.

        None where the metadata of the array have no names.
        """
        names = self._base._engine.meta.dimension_names
        if names is None:
            return None
        found: list[str | None] = [None] * len(self.shape)
        for m, name in zip(self._transform.maps, names, strict=True):
            axes = (m.axis,) if isinstance(m, Affine) else m.axes if isinstance(m, Table) else ()
            if len(axes) == 1 and self._transform.uses[axes[0]] == 1:
                found[axes[0]] = name
        return tuple(found)

    def borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""
        return self._borders(self._base._engine.layout.grid.axes)

    def object_borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""
        return self._borders(self._base._engine.layout.objects.axes)

    def _borders(self, axes: Sequence[Axis]) -> tuple[Borders, ...]:
        transform = self._transform
        found = [Borders.loose(n) for n in transform.shape]
        if 0 in transform.shape:
            return tuple(found)
        for m, axis in zip(transform.maps, axes, strict=True):
            if isinstance(m, Affine):
                count = transform.shape[m.axis]
                first = m.offset if m.step > 0 else m.offset + (count - 1) * m.step
                borders = Borders.spanned(axis, first, abs(m.step), count, m.step < 0)
                if transform.uses[m.axis] == 1:
                    found[m.axis] = borders
                else:
                    found[m.axis] = Borders.loose(count, min(borders.chunk, found[m.axis].chunk))
            elif isinstance(m, Table):
                coords = axis.find_many(m.values)
                for at, named in enumerate(m.axes):
                    count = transform.shape[named]
                    changes = np.count_nonzero(np.diff(coords, axis=at)) / (coords.size // count)
                    found[named] = Borders.loose(count, min(max(1, int(count / (1 + changes))), found[named].chunk))
        return tuple(found)

    def chunk_ns(self) -> float:
        """See `operand.Operand`."""
        return self._base._engine.chunk_ns()

    def placed(self) -> tuple[Hashable, Any]:
        """See `DuckArray.placed`."""
        transform = self._transform
        how: Any = transform
        if not any(isinstance(m, Table) for m in transform.maps):
            how = transform.shape, transform.maps, self._field
            whole = Transform.identity(self._seen)
            if how == (whole.shape, whole.maps, ()):
                how = None
        return self._base.placed()[0], how

    def _repeats(self) -> bool:
        return self._transform.repeats

    # ---- views of it --------------------------------------------------------------------------------

    def _with(self, transform: Transform, *, readonly: bool = False) -> LazyView:
        return LazyView(self._base, transform, self._field, self._seen, readonly=self._readonly or readonly)

    def _part(self, name: str | list[str]) -> LazyView:
        return LazyView(self._base, self._transform, (*self._field, name), self._seen, readonly=self._readonly)

    def __getitem__(self, index: Any) -> LazyView:
        """The view that NumPy's `a[index]` is of an array like this one, also where NumPy would copy; nothing is read.

        Names of fields may come with an index, as for ZArray. Raises what NumPy raises.
        """
        index, fields = split_fields(index, self._dtype)
        selection = select(index, self.shape)
        view = self if fields is None else self._part(fields)
        return view._with(self._transform.indexed(selection))

    @property
    def lazy(self) -> Lazy:
        """The view itself, for code that takes arrays as well as views."""
        return Lazy(self)

    @property
    def oindex(self) -> ViewIndexer:
        """Outer indexing: each axis by itself, as `ZArray.oindex`."""
        return ViewIndexer(self, select_outer)

    @property
    def vindex(self) -> ViewIndexer:
        """Point-wise indexing, sliced axes last, as `ZArray.vindex`."""
        return ViewIndexer(self, select_points)

    @property
    def real(self) -> LazyView:
        """The real parts, a view that can be written; the view itself where numbers are real."""
        return self._part("real") if self._dtype.kind == "c" else self

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary parts, a view that can be written; zeros that cannot be, of NumPy's, where numbers are real."""
        if self._dtype.kind == "c":
            return self._part("imag")
        return np.broadcast_to(np.zeros((), self._dtype), self.shape)

    @imag.setter
    def imag(self, value: Any) -> None:
        if self._dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        self.imag[...] = value

    def permuted(self, order: Sequence[int]) -> LazyView:
        """The view whose axis `i` is axis `order[i]` of this one."""
        ndim = len(self.shape)
        axes = normalize_axis_tuple(order, ndim)
        if len(axes) != ndim:
            raise ArgumentError(f"axes don't match array: expected {ndim}, found {tuple(order)!r}")
        return self._with(self._transform.permuted(axes))

    def broadcast(self, shape: Shape) -> LazyView:
        """The view broadcast to another shape; it cannot be written."""
        return self._with(self._transform.broadcast(shape), readonly=True)

    def expanded(self, axes: int | Sequence[int]) -> LazyView:
        """The view with new axes of length 1 at these places of the result."""
        axes = (axes,) if isinstance(axes, int) else tuple(axes)
        return self._with(self._transform.expanded(normalize_axis_tuple(axes, len(self.shape) + len(axes))))

    def squeezed(self, axes: int | Sequence[int] | None = None) -> LazyView:
        """The view without these axes, or all, of length 1."""
        if axes is None:
            return self._with(self._transform.squeezed([axis for axis, n in enumerate(self.shape) if n == 1]))
        return self._with(self._transform.squeezed(normalize_axis_tuple(axes, len(self.shape))))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> LazyView:
        """The view of diagonals, along a new last axis; unlike NumPy's it can be written."""
        ndim = len(self.shape)
        if ndim < 2:
            raise ArgumentError("diag requires an array of at least two dimensions")
        first, second = normalize_axis_index(axis1, ndim), normalize_axis_index(axis2, ndim)
        if first == second:
            raise ArgumentError("axis1 and axis2 cannot be the same")
        return self._with(self._transform.diagonal(offset, first, second))

    def frozen(self) -> LazyView:
        """The same view, which cannot be written."""
        return self._with(self._transform, readonly=True)

    def reshaped(self, shape: Shape) -> LazyView | None:
        """The view in another shape, without a -1; None where it cannot be lazy (see `Transform.reshaped`)."""
        transform = self._transform.reshaped(shape)
        return None if transform is None else self._with(transform)

    # ---- reading --------------------------------------------------------------------------------

    def compute(self) -> NDArray:
        """Read the view: an array of its shape, 0-d ones included; a masked one under `options(missing="mask")`.

        Raises what reading the array raises, MemoryLimitError above `options(max_result=)` or where there is no room.
        """
        return self._read(tuple([slice(0, n) for n in self.shape]), masked=True)

    def read_box(self, box: Box) -> NDArray:
        """See `operand.Operand`."""
        return self._read(box)

    def _read(self, box: Box, *, masked: bool = False) -> NDArray:
        pieces = list(self._transform.pieces(box))
        if len(pieces) == 1:
            return self._read_piece(box, masked=masked)
        shape = tuple([s.stop - s.start for s in box])
        self._check_room(shape)
        found: NDArray = room(shape, self._dtype, f"a view of shape {shape}")
        for piece in pieces:
            read = self._read_piece(piece, masked=masked)
            if isinstance(read, np.ma.MaskedArray) and not isinstance(found, np.ma.MaskedArray):
                found = np.ma.MaskedArray(found, np.zeros(shape, np.bool_), fill_value=read.fill_value)
            found[_within(piece, box)] = read
        return found

    def _read_piece(self, box: Box, *, masked: bool) -> NDArray:
        access = self._transform.box_selection(box)
        selection = access.selection
        repeated = len(access.axes) != len(access.shape)
        if repeated:
            # The engine sees what is read, not how often it is repeated.
            self._check_room(access.shape)
        work = self._base._read(self._engine_for(selection), selection, self._field or None, masked=masked)
        if not repeated:
            return access.view(work)
        try:
            if not isinstance(work, np.ma.MaskedArray):
                return access.view(work)
            # NumPy does not broadcast the mask of a masked array with it.
            mask = access.view(np.ma.getmaskarray(work))
            found: NDArray = np.ma.MaskedArray(access.view(work.data), mask, fill_value=work.fill_value)
            return found
        except (MemoryError, ValueError) as error:
            nbytes = math.prod(access.shape) * self._dtype.itemsize
            raise MemoryLimitError(f"no memory for {nbytes} bytes of {self!r}", path=self._base.path, found=nbytes) from error

    def _check_room(self, shape: Shape) -> None:
        nbytes = math.prod(shape) * self._dtype.itemsize
        check_result(nbytes, f"reading {shape} of {self!r}", "read it in slices", path=self._base.path)

    def _engine_for(self, selection: Selection) -> Engine:
        """The array's engine as it is now; SelectionError where what is selected is no longer there."""
        engine = self._base._engine
        meta = engine.meta
        if meta.shape != self._seen and not Transform.of(selection).fits(meta.shape):
            raise SelectionError(
                f"{self!r} was made when the array had shape {self._seen}; it has {meta.shape} now, and not all that is asked "
                "for is inside"
            )
        if meta.dtype is not self._stored and meta.dtype != self._stored:
            raise ArgumentError(f"{self!r} was made when the array had dtype {self._stored}; it has {meta.dtype} now")
        return engine

    def _explain_index(self, index: Any, lookups: int) -> Explanation:
        view = self[index]
        return view._explain_boxes([tuple([slice(0, n) for n in view.shape])], lookups)

    def _explain_boxes(self, boxes: Iterable[Box], lookups: int) -> Explanation:
        transform = self._transform
        reads = (transform.box_selection(piece).selection for box in boxes for piece in transform.pieces(box))
        return explain_reads(self._base._engine, reads, self._field or None, lookups=lookups)

    # ---- writing --------------------------------------------------------------------------------

    def __setitem__(self, index: Any, value: Any) -> None:
        """What `a[index] = value` does to a NumPy array, down to what it raises; nothing is written before the value is cast.

        Each chunk is replaced whole, under its lock, as `z[index] = value` does.
        """
        self._check_writable()
        index, fields = split_fields(index, self._dtype)
        if fields is not None:
            self._part(fields)[index] = value
            return
        try:
            selection = select(index, self.shape)
        except LateSelectionError:
            check_value(value, self._dtype, index, self.shape)
            raise
        self._assign(selection, value)

    def _assign(self, selection: Selection, value: Any) -> None:
        if isinstance(value, LazyView) and value._is(self._with(self._transform.indexed(selection))):
            return  # what Python does after `view[index] += 1`, which has written already
        dtype = self._dtype
        if goes_by_blocks(value, selection, dtype):
            place: Any = self._with(self._transform.indexed(selection))
            np.copyto(place, value, casting="unsafe")
            return
        array = cast(value, dtype, selection, selection.shape)
        nested = not isinstance(value, np.ndarray) and dtype.kind in "OT"
        selection, array = spread(array, selection, (), nested=nested)
        whole = tuple([slice(0, n) for n in selection.shape])
        self._put(self._transform.indexed(selection), whole, array.reshape(selection.shape))

    def _is(self, other: LazyView) -> bool:
        """Whether the two are views of the same elements."""
        alike = self._base is other._base and self._field == other._field and self._seen == other._seen
        return alike and self._transform.same(other._transform)

    def write_box(self, box: Box, value: NDArray) -> None:
        """See `operand.Operand`."""
        self._check_writable()
        self._put(self._transform, box, np.asarray(value).astype(self._dtype, copy=False))

    def _put(self, transform: Transform, box: Box, value: NDArray) -> None:
        """Write what was cast, of the box's shape, where a transform over the array says."""
        for piece in transform.pieces(box):
            access = transform.box_selection(piece)
            engine = self._engine_for(access.selection)
            part = value if piece is box else value[_within(piece, box)]
            engine.write(access.selection, access.work(part), self._field or None)

    def _check_writable(self) -> None:
        if self._readonly:
            raise ReadOnlyError(
                "assignment destination is read-only: the view is broadcast, so that elements share their place, or a diagonal"
            )
        self._base._check_writable()

    # ---- handles --------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._base, self._transform, self._field, self._seen, self._readonly)

    def __repr__(self) -> str:
        base = self._base
        of = f"{base.path or '/'}{self._told_field()}{self._transform.describe(self._seen)}"
        return f"<ndzarr.LazyView shape={self.shape} dtype={self._dtype} of {of} in {base.store.url}>"

    def _told_field(self) -> str:
        told = ""
        dtype = self._stored
        for name in self._field:
            told += f".{name}" if dtype.kind == "c" else f"[{name!r}]"
            dtype = field_dtype(dtype, (name,))
        return told


def _within(piece: Box, box: Box) -> Box:
    """Where a piece of a box lies in it."""
    return tuple([slice(p.start - s.start, p.stop - s.start) for p, s in zip(piece, box, strict=True)])


class ViewIndexer:
    """`view.oindex` or `view.vindex`: the view under other rules of indexing; views come of it, and it can be assigned to."""

    __slots__ = ("_select", "_view")

    def __init__(self, view: LazyView, select: Callable[[Any, Shape], Selection]) -> None:
        self._view = view
        self._select = select

    def __getitem__(self, index: Any) -> LazyView:
        return self._view._with(self._view._transform.indexed(self._select(index, self._view.shape)))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._view._check_writable()
        self._view._assign(self._select(index, self._view.shape), value)


class Lazy:
    """`z.lazy`: the same array, of which an index makes a view instead of reading."""

    __slots__ = ("_view",)

    def __init__(self, view: LazyView) -> None:
        self._view = view

    def __getitem__(self, index: Any) -> LazyView:
        return self._view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._view[index] = value

    @property
    def oindex(self) -> ViewIndexer:
        """Outer indexing, see `LazyView.oindex`."""
        return self._view.oindex

    @property
    def vindex(self) -> ViewIndexer:
        """Point-wise indexing, see `LazyView.vindex`."""
        return self._view.vindex


def _restored(base: Base, transform: Transform, field: Any, seen: Shape, readonly: bool) -> LazyView:
    return LazyView(base, transform, field, seen, readonly=readonly)
