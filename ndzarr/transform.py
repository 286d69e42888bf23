"""How the axes of a view lie over those of a stored array: composed without reading, then made a Selection.

A *transform* has the shape of the view and one map for each axis of the array, which says where along that axis an element of
the view lies:

    Fixed(index)                    at one place, for every element
    Affine(axis, offset, step)      at `offset + i * step`, where `i` is the element's index along one axis of the view
    Table(axes, values)             at `values[i, j, ...]`, by its indices along some axes of the view

Axes of the view that no map names are new or broadcast ones; those that several name are gathered or a diagonal. Any NumPy
index, outer index, point index, permutation, new axis, broadcast, diagonal and split is such a transform from its result to
what it is applied to, so all of them are one operation, `composed`, and a view of a view costs what a view does. Maps stay
small: a table that does not depend on an axis loses it, one in equal steps becomes Affine, and none names an axis of length 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.errors import ArgumentError
from ndzarr.selection import Gather, IntpArray, Pick, Point, Selection, Span, Take

#: An axis that is longer is not split lazily: its table would take more memory than many a chunk.
_LONGEST_SPLIT = 1 << 20


#: So many points are gathered at a time: their index arrays, one for each axis of the array, are made for it.
_MOST_POINTS = 1 << 22


@dataclass(frozen=True, slots=True)
class Fixed:
    """One index for every element of the view."""

    index: int


@dataclass(frozen=True, slots=True)
class Affine:
    """`offset + i * step` for index `i` along `axis` of the view, of length 2 or more; `step` is not 0."""

    axis: int
    offset: int
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """`values[i, j, ...]` for the indices along `axes` of the view, which rise; shaped like those axes."""

    axes: tuple[int, ...]
    values: IntpArray


Map: TypeAlias = Fixed | Affine | Table


@dataclass(frozen=True, eq=False)
class Transform:
    """A view of an array: the shape of the view, and one map for each axis of the array."""

    shape: Shape
    maps: tuple[Map, ...]

    # ---- made --------------------------------------------------------------------------------

    @classmethod
    def identity(cls, shape: Shape) -> Transform:
        """The view of an array of this shape that is the array itself."""
        return cls._stretched(shape, [_along(axis, 0, 1, n) for axis, n in enumerate(shape)])

    @classmethod
    def of(cls, selection: Selection) -> Transform:
        """The view that a selection makes of what it selects from. Its tables may be the caller's own index arrays."""
        shape = selection.shape
        if 0 in shape:
            return cls._stretched(shape, [Fixed(0)] * len(selection.picks))
        groups = list(_aligned(selection.work_shape, shape))
        gathered = None if selection.gather_axis is None else groups.pop(selection.gather_axis)
        rest = iter(groups)
        maps: list[Map] = []
        for pick in selection.picks:
            if isinstance(pick, Point):
                maps.append(Fixed(pick.index))
            elif isinstance(pick, Span):
                group = next(rest)
                first, step = (pick.start + (pick.count - 1) * pick.step, -pick.step) if pick.flip else (pick.start, pick.step)
                maps.append(Affine(group[0], first, step) if group else Fixed(first))
            else:
                group = next(rest) if isinstance(pick, Take) else gathered or ()
                values = pick.indices.reshape([shape[axis] for axis in group])
                maps.append(_tidy(group, values))
        return cls(shape, tuple(maps))

    @classmethod
    def _stretched(cls, shape: Shape, maps: Sequence[Map]) -> Transform:
        """A transform whose maps do not matter where the view has no elements."""
        return cls(shape, (Fixed(0),) * len(maps) if 0 in shape else tuple(maps))

    # ---- views of views --------------------------------------------------------------------------------

    def composed(self, inner: Transform) -> Transform:
        """The view of the array that `inner` makes of this view; none of its tables is one of `inner`, which may change."""
        if 0 in inner.shape:
            return self._stretched(inner.shape, self.maps)
        return Transform(inner.shape, tuple([_through(m, inner) for m in self.maps]))

    def indexed(self, selection: Selection) -> Transform:
        """The view that a selection, of any kind of index, makes of this view."""
        return self.composed(Transform.of(selection))

    def boxed(self, box: Box) -> Transform:
        """The view of a box of this view."""
        maps = [_along(axis, s.start, 1, s.stop - s.start) for axis, s in enumerate(box)]
        return self.composed(self._stretched(_box_shape(box), maps))

    def permuted(self, order: Sequence[int]) -> Transform:
        """The view whose axis `i` is axis `order[i]` of this one."""
        shape = tuple([self.shape[axis] for axis in order])
        return self._renamed(shape, {axis: new for new, axis in enumerate(order)})

    def expanded(self, axes: Sequence[int]) -> Transform:
        """The view with further axes of length 1, whose places in the result are `axes` (none negative)."""
        ndim = len(self.shape) + len(axes)
        kept = [axis for axis in range(ndim) if axis not in axes]
        shape = [1] * ndim
        for axis, n in zip(kept, self.shape, strict=True):
            shape[axis] = n
        return self._renamed(tuple(shape), dict(enumerate(kept)))

    def squeezed(self, axes: Sequence[int]) -> Transform:
        """The view without some axes of length 1 (none negative)."""
        kept = [axis for axis in range(len(self.shape)) if axis not in axes]
        if any(self.shape[axis] != 1 for axis in axes):
            raise ArgumentError(
                f"cannot select an axis to squeeze out which has size not equal to one: axes {tuple(axes)!r} of {self.shape}"
            )
        return self._renamed(tuple([self.shape[axis] for axis in kept]), {axis: new for new, axis in enumerate(kept)})

    def broadcast(self, shape: Shape) -> Transform:
        """The view with new axes in front and axes of length 1 repeated, as NumPy does; ArgumentError where it does not."""
        lead = len(shape) - len(self.shape)
        if lead < 0 or min(shape, default=0) < 0 or any(n not in (m, 1) for n, m in zip(self.shape, shape[lead:], strict=True)):
            raise ArgumentError(f"could not broadcast an array from shape {self.shape} into shape {shape}")
        return self._renamed(shape, {axis: axis + lead for axis in range(len(self.shape))})

    def _renamed(self, shape: Shape, names: dict[int, int]) -> Transform:
        """This view with its axes under other names; those without one have length 1."""
        maps = [_along(names[axis], 0, 1, n) if axis in names else Fixed(0) for axis, n in enumerate(self.shape)]
        return self.composed(Transform(shape, tuple(maps)))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Transform:
        """The view of a diagonal of two axes (not negative, not the same), which becomes the last axis, as `numpy.diagonal`."""
        down, right = max(0, -offset), max(0, offset)
        count = max(0, min(self.shape[axis1] - down, self.shape[axis2] - right))
        kept = [axis for axis in range(len(self.shape)) if axis not in (axis1, axis2)]
        shape = (*[self.shape[axis] for axis in kept], count)
        maps: list[Map] = [_along(kept.index(axis), 0, 1, n) if axis in kept else Fixed(0) for axis, n in enumerate(self.shape)]
        maps[axis1] = _along(len(kept), down, 1, count)
        maps[axis2] = _along(len(kept), right, 1, count)
        return self.composed(self._stretched(shape, maps))

    def reshaped(self, shape: Shape) -> Transform | None:
        """The view in another shape of as many elements, in C order; None where it cannot be lazy.

        Axes of length 1 come and go, an axis may be split (by a table as long as it is, if that is not too long), and axes may
        be merged that only tables name, each all of them, or that nothing names.
        """
        if math.prod(shape) != math.prod(self.shape) or min(shape, default=0) < 0:
            raise ArgumentError(f"cannot reshape array of size {math.prod(self.shape)} into shape {shape}")
        if 0 in shape:
            return self._stretched(shape, self.maps)
        maps: list[Map] = [Fixed(0)] * len(self.shape)
        for old, new in _blocks(self.shape, shape):
            users = [m for m in self.maps if not set(old).isdisjoint(_axes(m))]
            if not users:
                continue
            count = math.prod(self.shape[axis] for axis in old)
            if len(old) == 1 and len(new) == 1:
                maps[old[0]] = Affine(new[0], 0, 1)
                continue
            if len(old) == 1 and count > _LONGEST_SPLIT and not all(isinstance(m, Table) for m in users):
                return None
            if len(old) > 1 and not all(isinstance(m, Table) and set(m.axes) >= set(old) for m in users):
                return None
            within = np.unravel_index(np.arange(count), [self.shape[axis] for axis in old])
            for axis, indices in zip(old, within, strict=True):
                maps[axis] = _tidy(new, indices.reshape([shape[n] for n in new]))
        return self.composed(Transform(shape, tuple(maps)))

    # ---- to a selection --------------------------------------------------------------------------------

    def selection(self) -> Access:
        """The selection over the array that reads or writes the view."""
        whole = tuple([slice(0, n) for n in self.shape])
        return self.box_selection(whole)

    def box_selection(self, box: Box) -> Access:
        """The selection that reads or writes a box of the view; without detours where all maps are Fixed or Affine."""
        straight = self._straight
        shape = _box_shape(box)
        if straight is None:
            return (self if shape == self.shape else self.boxed(box))._gathered()
        if 0 in shape:
            return self._nothing(shape)
        picks: list[Pick] = []
        for m in self.maps:
            if isinstance(m, Affine):
                place = box[m.axis]
                picks.append(_span(m.offset + m.step * place.start, m.step, place.stop - place.start))
            elif isinstance(m, Fixed):
                picks.append(Point(m.index))
        work = tuple([shape[axis] for axis in straight])
        return Access(Selection(tuple(picks), work, work), straight, work, shape)

    def same(self, other: Transform) -> bool:
        """Whether the two are of one shape and every element lies in the same place."""
        return self.shape == other.shape and all(map(_same, self.maps, other.maps))

    def fits(self, shape: Shape) -> bool:
        """Whether every element of the view lies in an array of this shape."""
        if len(shape) != len(self.maps):
            return False
        return 0 in self.shape or all(self._reach(m) < n for m, n in zip(self.maps, shape, strict=True))

    def _reach(self, m: Map) -> int:
        """The last index that a map gives."""
        if isinstance(m, Fixed):
            return m.index
        if isinstance(m, Affine):
            return max(m.offset, m.offset + (self.shape[m.axis] - 1) * m.step)
        return int(m.values.max())

    @cached_property
    def uses(self) -> Counter[int]:
        """How many maps name each axis of the view."""
        return Counter(axis for m in self.maps for axis in _axes(m))

    @cached_property
    def repeats(self) -> bool:
        """Whether elements at several indices may lie at one place; exact but for tables over more than one set of axes."""
        if 0 in self.shape:
            return False
        told = {m.axis for m in self.maps if isinstance(m, Affine)}
        left = {axis for axis, n in enumerate(self.shape) if n > 1} - told
        tables = [m for m in self.maps if isinstance(m, Table)]
        for m in tables:
            if not left.isdisjoint(m.axes) and np.unique(m.values).size == m.values.size:
                left.difference_update(m.axes)
        together = [m.values.reshape(-1) for m in tables if left.issubset(m.axes) and m.axes == tables[0].axes]
        if not left or len(together) < len(tables) or not together:
            return bool(left)
        order = np.lexsort(together)
        same = np.logical_and.reduce([np.diff(values[order]) == 0 for values in together])
        return bool(same.any())

    @cached_property
    def _straight(self) -> tuple[int, ...] | None:
        """The axes of the view that the Affines name, in their order; None if there are tables, or one axis is named twice."""
        if any(isinstance(m, Table) for m in self.maps) or any(n > 1 for n in self.uses.values()):
            return None
        return tuple([m.axis for m in self.maps if isinstance(m, Affine)])

    def _gathered(self) -> Access:
        """`selection` for any maps.

        Tables that share no axis with another map are Takes. As soon as maps share an axis they are Gathers, of which a
        selection has one group and no Takes beside it: then all tables join it, over the product of all their axes.
        """
        if 0 in self.shape:
            return self._nothing(self.shape)
        joined, group = self._joined
        lengths = tuple([self.shape[axis] for axis in group])
        picks: list[Pick] = []
        axes: list[int] = []
        work: list[int] = []
        gather_axis = None
        for join, m in zip(joined, self.maps, strict=True):
            if join:
                if gather_axis is None:
                    gather_axis = len(work)
                    axes += group
                    work.append(math.prod(lengths))
                picks.append(Gather(np.broadcast_to(_over(m, group, self.shape), lengths).reshape(-1)))
            elif isinstance(m, Table):
                picks.append(Take(np.ascontiguousarray(m.values).reshape(-1)))
                axes += m.axes
                work.append(m.values.size)
            elif isinstance(m, Affine):
                count = self.shape[m.axis]
                picks.append(_span(m.offset, m.step, count))
                axes.append(m.axis)
                work.append(count)
            else:
                picks.append(Point(m.index))
        shape = tuple(work)
        selection = Selection(tuple(picks), shape, shape, gather_axis)
        return Access(selection, tuple(axes), tuple([self.shape[axis] for axis in axes]), self.shape)

    @cached_property
    def _joined(self) -> tuple[tuple[bool, ...], tuple[int, ...]]:
        """Which maps become Gathers, and the axes of the view that these name between them."""
        uses = self.uses
        shared = [any(uses[axis] > 1 for axis in _axes(m)) for m in self.maps]
        mixed = any(shared)
        joined = tuple([mixed and (share or isinstance(m, Table)) for share, m in zip(shared, self.maps, strict=True)])
        return joined, tuple(sorted({axis for join, m in zip(joined, self.maps, strict=True) if join for axis in _axes(m)}))

    def pieces(self, box: Box) -> Iterator[Box]:
        """A box cut up so that none needs index arrays that are too large; in an order in which the last in C order is last."""
        group = [axis for axis in self._joined[1] if box[axis].stop - box[axis].start > 1]
        if math.prod([box[axis].stop - box[axis].start for axis in group]) <= _MOST_POINTS:
            yield box
            return
        axis = group[0]
        start, stop = box[axis].start, box[axis].stop
        for part in (slice(start, (start + stop) // 2), slice((start + stop) // 2, stop)):
            yield from self.pieces((*box[:axis], part, *box[axis + 1 :]))

    def _nothing(self, shape: Shape) -> Access:
        """The selection of no elements."""
        selection = Selection(tuple([Span(0, 1, 0) for _ in self.maps]), (0,), (0,))
        return Access(selection, (), (), shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return Transform, (self.shape, self.maps)  # without what was worked out from them

    def describe(self, shape: Shape) -> str:
        """The maps as an index into the array, which has `shape`, and the axes of the view they go by if that is not plain."""
        if 0 in self.shape:
            return "[nothing]"
        told = f"[{', '.join([self._told(m, n) for m, n in zip(self.maps, shape, strict=True)])}]"
        if [axis for m in self.maps for axis in _axes(m)] == [axis for axis, n in enumerate(self.shape) if n > 1]:
            return told
        return f"{told} along axes {', '.join([_named(m) for m in self.maps if not isinstance(m, Fixed)]) or 'none'}"

    def _told(self, m: Map, length: int) -> str:
        if isinstance(m, Fixed):
            return str(m.index)
        if isinstance(m, Table):
            return f"({' x '.join([str(n) for n in m.values.shape])} points)"
        stop = m.offset + self.shape[m.axis] * m.step
        first = "" if m.offset == (0 if m.step > 0 else length - 1) else m.offset
        return f"{first}:{stop if 0 <= stop < length else ''}" + ("" if m.step == 1 else f":{m.step}")


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A selection over the array that reads or writes a view, and how its work array and the view become each other.

    axes, lengths: the axes of the view in the order in which the work array has them, once it is reshaped. shape: of the view.
    """

    selection: Selection
    axes: tuple[int, ...]
    lengths: Shape
    shape: Shape

    def view(self, work: NDArray) -> NDArray:
        """A work array that was read, as the view has it; an array of its own, not necessarily in C order."""
        if 0 in self.shape:
            return work.reshape(self.shape)
        array = work if work.shape == self.lengths else work.reshape(self.lengths)
        axes = self.axes
        if any(a > b for a, b in pairwise(axes)):
            array = array.transpose(sorted(range(len(axes)), key=axes.__getitem__))
        if len(axes) == len(self.shape):
            return array
        array = array[(..., *[slice(None) if axis in axes else None for axis in range(len(self.shape))])]
        # What is repeated is copied: the caller may change it.
        return array if array.shape == self.shape else np.broadcast_to(array, self.shape).copy()

    def work(self, value: NDArray) -> NDArray:
        """A value of the view's shape as the work array to write: of repeated elements the last in C order stays."""
        if 0 in self.shape:
            return value.reshape(0)
        axes = self.axes
        if len(axes) != len(self.shape):
            value = value[(..., *[slice(None) if axis in axes else -1 for axis in range(len(self.shape))])]
        if any(a > b for a, b in pairwise(axes)):
            rank = {axis: n for n, axis in enumerate(sorted(axes))}
            value = value.transpose([rank[axis] for axis in axes])
        return value.reshape(self.selection.work_shape)


# ---- maps --------------------------------------------------------------------------------


def _axes(m: Map) -> tuple[int, ...]:
    return () if isinstance(m, Fixed) else (m.axis,) if isinstance(m, Affine) else m.axes


def _same(a: Map, b: Map) -> bool:
    if isinstance(a, Table) and isinstance(b, Table):
        return a.axes == b.axes and np.array_equal(a.values, b.values)
    return a == b


def _named(m: Map) -> str:
    axes = _axes(m)
    return str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"


def _along(axis: int, offset: int, step: int, length: int) -> Map:
    return Affine(axis, offset, step) if length > 1 else Fixed(offset)


def _span(first: int, step: int, count: int) -> Span:
    return Span(first, step, count) if step > 0 else Span(first + (count - 1) * step, -step, count, count > 1)


def _box_shape(box: Box) -> Shape:
    return tuple([s.stop - s.start for s in box])


def _over(m: Map, axes: tuple[int, ...], shape: Shape) -> IntpArray:
    """The values of a map, shaped to broadcast over `axes`."""
    if isinstance(m, Fixed):
        return np.asarray(m.index, np.intp)
    values = m.values if isinstance(m, Table) else np.arange(shape[m.axis], dtype=np.intp) * m.step + m.offset
    named = _axes(m)
    return values.reshape([shape[axis] if axis in named else 1 for axis in axes])


def _through(m: Map, inner: Transform) -> Map:
    """The map of a view of a view: `m`, which goes by the axes of the outer one, by those of the inner one."""
    if isinstance(m, Fixed):
        return m
    if isinstance(m, Table):
        return _lookup(m, inner)
    by = inner.maps[m.axis]
    if isinstance(by, Fixed):
        return Fixed(m.offset + m.step * by.index)
    if isinstance(by, Affine):
        return Affine(by.axis, m.offset + m.step * by.offset, m.step * by.step)
    return Table(by.axes, by.values * m.step + m.offset)  # as tidy as it was


def _lookup(table: Table, inner: Transform) -> Map:
    by = [inner.maps[axis] for axis in table.axes]
    named = [axis for b in by for axis in _axes(b)]
    axes = tuple(sorted(set(named)))
    if len(axes) == len(named) and not any(isinstance(b, Table) for b in by):
        # Slices: a view of the table.
        values = table.values[tuple([_slice(b, inner.shape) for b in by if not isinstance(b, Table)])]
        return _tidy(axes, np.asarray(values, np.intp).transpose([named.index(axis) for axis in axes]))
    return _tidy(axes, table.values[tuple([_over(b, axes, inner.shape) for b in by])])


def _slice(m: Fixed | Affine, shape: Shape) -> int | slice:
    if isinstance(m, Affine):
        stop = m.offset + shape[m.axis] * m.step
        return slice(m.offset, stop if stop >= 0 else None, m.step)
    return m.index


def _tidy(axes: tuple[int, ...], values: IntpArray) -> Map:
    """The simplest map with these values."""
    for at in reversed(range(len(axes))):
        one = values.take([0], at)
        # Most differ, and soon.
        if (values.take([1], at) == one).all() and (values == one).all():
            values = one.squeeze(at)
            axes = (*axes[:at], *axes[at + 1 :])
    if not axes:
        return Fixed(int(values))
    if len(axes) == 1:
        steps = np.diff(values)
        if (steps == steps[0]).all():
            return Affine(axes[0], int(values[0]), int(steps[0]))
    return Table(axes, values)


# ---- shapes --------------------------------------------------------------------------------


def _aligned(work: Shape, shape: Shape) -> Iterator[tuple[int, ...]]:
    """For each axis of a work array the axes of the result that it becomes; those of length 1 belong to none."""
    at = 0
    for length in work:
        group: list[int] = []
        got = 1
        while got < length:
            if shape[at] != 1:
                group.append(at)
                got *= shape[at]
            at += 1
        yield tuple(group)


def _blocks(old: Shape, new: Shape) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The shortest runs of axes of two shapes with equal products, without axes of length 1."""
    left = [axis for axis, n in enumerate(old) if n != 1]
    right = [axis for axis, n in enumerate(new) if n != 1]
    i = j = 0
    while i < len(left):
        start, other = i, j
        a, b = old[left[i]], new[right[j]]
        i += 1
        j += 1
        while a != b:
            if a < b:
                a *= old[left[i]]
                i += 1
            else:
                b *= new[right[j]]
                j += 1
        yield tuple(left[start:i]), tuple(right[other:j])
