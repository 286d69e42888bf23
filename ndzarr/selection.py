"""An index expression and a shape -> a Selection: what NumPy means by `a[index]`; `accessors` has the other kinds.

The rules are NumPy's own, https://numpy.org/doc/stable/user/basics.indexing.html, down to the class of each exception; where
that page is silent the C source speaks (`prepare_index` and `PyArray_MapIterNew` in numpy/_core/src/multiarray/mapping.c).

The algorithm. (1) `parse_entries` turns the expression into a flat list of entries, one an axis or none: ints, slices, None,
one Ellipsis, index arrays (a mask of rank n becomes n of them). (2) Each storage axis gets one pick:

    Point(index)                one element; the axis is dropped
    Span(start, step, count)    a lattice with a positive step; `flip` when the result runs backwards along it
    Take(indices)               an index array of its own (outer indexing, or NumPy's with one index array)
    Gather(indices)             index arrays broadcast together and flattened; all share one axis of the result

(3) The *work shape* has one axis for each Span and Take, and one for all Gathers together at the place where NumPy puts the
broadcast dimensions. The result is the work array, reshaped: new axes and the broadcast dimensions' own shape come back there.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.errors import ArgumentError, SelectionError, SelectionTypeError

IntpArray: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Point:
    """One element of the axis; 0 <= index < length."""

    index: int


@dataclass(frozen=True, slots=True)
class Span:
    """`count` elements from `start` on, `step` >= 1 apart; in falling order in the result when `flip`."""

    start: int
    step: int
    count: int
    flip: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """`indices`: 1-d intp, non-negative, in the order of the result; repeats allowed."""

    indices: IntpArray


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """`indices`: 1-d intp, non-negative, as long as those of every other Gather of the selection."""

    indices: IntpArray


class LateSelectionError(SelectionError):
    """Index arrays that do not fit each other or the array, which NumPy notices only after it has looked at the value."""


#: NumPy's own limit.
MAX_NDIM = 64

Pick: TypeAlias = Point | Span | Take | Gather


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What an index asks for, with nothing left to interpret.

    picks: one for each storage axis. work_shape: the result before it is reshaped to `shape`. gather_axis: which axis of the
    work array the Gathers share, None without them. scalar: a read gives a scalar, not a 0-d array. mask: the index was one
    boolean mask over all axes, for which NumPy takes no value of more than one dimension. fancy: the index
    held arrays or booleans, which changes what NumPy makes of nested lists on assignment. arrays: the broadcast index arrays as
    given, where their memory order decides which of repeated indices comes last. A selection whose shape holds a 0 selects
    nothing, whatever its picks.
    """

    picks: tuple[Pick, ...]
    shape: Shape
    work_shape: Shape
    gather_axis: int | None = None
    scalar: bool = False
    mask: bool = False
    fancy: bool = False
    arrays: tuple[IntpArray, ...] = ()


def boxed(box: Box) -> Selection:
    """What a box selects."""
    lengths = tuple([s.stop - s.start for s in box])
    return Selection(tuple([Span(s.start, 1, n) for s, n in zip(box, lengths, strict=True)]), lengths, lengths)


ONLY_VALID = (
    "only integers, slices (':'), ellipsis ('...'), None and integer or boolean arrays are valid indices, "
    "found {found!r} of type {type}"
)


def select(index: Any, shape: Shape, *, bounds: bool = True) -> Selection:
    """The selection that NumPy's `a[index]` means for an `a` of this shape.

    `bounds=False`: index arrays are not compared with the axes, for the sake of the result's shape alone. Raises
    SelectionError (an IndexError), SelectionTypeError (a TypeError) or ArgumentError (a ValueError) wherever NumPy raises that
    built-in class.
    """
    entries = parse_entries(index if type(index) is tuple else (index,), shape)
    fancy = any(type(entry) is IndexArray for entry in entries)
    selection = _fancy(entries, shape, bounds) if fancy else _basic(entries, shape)
    if len(selection.shape) > MAX_NDIM:
        raise SelectionError(f"the result would have {len(selection.shape)} dimensions, NumPy has at most {MAX_NDIM}")
    return selection


# ---- step 1: entries --------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class IndexArray:
    """An index array: intp, of any rank; `axes` is 0 for a boolean scalar, which consumes no axis."""

    values: IntpArray
    axes: int = 1
    whole_mask: bool = False


class Rest:
    """The Ellipsis with the number of axes that it stands for; kept at 0 too, since it still separates index arrays."""

    __slots__ = ("axes",)

    def __init__(self, axes: int) -> None:
        self.axes = axes


def parse_entries(items: tuple[Any, ...], shape: Shape) -> list[Any]:
    """int | slice | None | Rest | IndexArray, with bounds not yet checked, covering exactly the axes of `shape`."""
    entries: list[Any] = []
    used = 0
    rest: int | None = None
    ndim = len(shape)
    for item in items:
        kind = type(item)
        if kind is int or kind is slice:
            entries.append(item)
            used += 1
        elif item is None:
            entries.append(None)
        elif item is Ellipsis:
            if rest is not None:
                raise SelectionError("an index can only have a single ellipsis ('...')")
            rest = len(entries)
            entries.append(Rest(0))
        else:
            taken = _array_entry(item, shape, alone=len(items) == 1)
            entries.extend(taken)
            used += sum(e.axes if type(e) is IndexArray else 1 for e in taken)
    if used > ndim:
        raise SelectionError(f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed")
    if rest is not None:
        entries[rest].axes = ndim - used
    elif used < ndim:
        entries.append(Rest(ndim - used))
    _check_masks(entries, shape)
    return entries


def _array_entry(item: Any, shape: Shape, *, alone: bool) -> list[Any]:
    """What an entry that is no plain int, slice, None or Ellipsis means: an int or index arrays."""
    if isinstance(item, (bool, np.bool_)):
        return _mask_entries(np.asarray(item), shape, alone=alone)
    if isinstance(item, slice):
        return [item]
    if not isinstance(item, np.ndarray):
        if isinstance(item, np.integer) or not hasattr(item, "__len__"):
            # NumPy tries the number protocol before it makes an array of a thing.
            try:
                return [operator.index(item)]
            except TypeError:
                pass
        if isinstance(item, (str, bytes)):
            raise SelectionError(ONLY_VALID.format(found=item, type=type(item).__name__))
        try:
            array = np.asarray(item)
        except ValueError as error:  # ragged nested lists
            raise ArgumentError(f"cannot make an index array of {item!r}: {error}") from error
        if array.size == 0 and array.dtype == np.float64:
            array = array.astype(np.intp)  # `a[[]]`: an empty list has no type of its own
    else:
        array = item
    if array.dtype == np.bool_:
        return _mask_entries(array, shape, alone=alone)
    if array.dtype.kind not in "iu":
        raise SelectionError(
            "arrays used as indices must be of integer (or boolean) type, "
            f"found dtype {array.dtype} in an index of type {type(item).__name__}"
            if array.ndim or isinstance(item, np.ndarray)
            else ONLY_VALID.format(found=item, type=type(item).__name__)
        )
    if array.ndim == 0:
        return [int(array)]
    return [IndexArray(array.astype(np.intp, copy=False))]


def _mask_entries(mask: npt.NDArray[np.bool_], shape: Shape, *, alone: bool) -> list[Any]:
    if mask.ndim == 0:
        return [IndexArray(np.zeros(int(mask), np.intp), axes=0, whole_mask=alone and not shape)]
    whole = alone and mask.ndim == len(shape)
    return [_Mask(mask, axis, whole) for axis in range(mask.ndim)]


class _Mask(IndexArray):
    """One axis of a boolean mask. Its shape can be checked only when it is known which axes the Ellipsis takes."""

    def __init__(self, mask: npt.NDArray[np.bool_], axis: int, whole: bool) -> None:
        self.mask = mask
        self.axis = axis
        self.axes = 1
        self.whole_mask = whole
        self.values = np.zeros(0, np.intp)


def mask_mismatch(axis: int, size: int, length: int) -> SelectionError:
    """The error for a mask of this length on an axis of that size."""
    return SelectionError(
        f"boolean index did not match indexed array along axis {axis}; "
        f"size of axis is {size} but size of corresponding boolean axis is {length}"
    )


def _check_masks(entries: list[Any], shape: Shape) -> None:
    """Compare each mask with the axes that it covers and replace it by the indices of its true elements."""
    axis = 0
    position = 0
    while position < len(entries):
        entry = entries[position]
        if type(entry) is _Mask:
            mask = entry.mask
            for k, length in enumerate(mask.shape):
                if length != shape[axis + k]:
                    if length == 0:  # NumPy notices this one only after it has looked at the slices
                        for slice_ in (e for e in entries if type(e) is slice):
                            span_of(slice_, 1)
                    raise mask_mismatch(axis + k, shape[axis + k], length)
            for k, values in enumerate(mask.nonzero()):
                entries[position + k] = IndexArray(values, whole_mask=entry.whole_mask)
            axis += mask.ndim
            position += mask.ndim
            continue
        if type(entry) is Rest or type(entry) is IndexArray:
            axis += entry.axes
        elif entry is not None:
            axis += 1
        position += 1


# ---- steps 2 and 3 --------------------------------------------------------------------------------


def _basic(entries: list[Any], shape: Shape) -> Selection:
    picks: list[Pick] = []
    result: list[int] = []
    work: list[int] = []
    scalar = True
    for entry in entries:
        if entry is None:
            result.append(1)
            scalar = False
        elif type(entry) is Rest:
            for length in shape[len(picks) : len(picks) + entry.axes]:
                picks.append(Span(0, 1, length))
                result.append(length)
                work.append(length)
            scalar = False
        elif type(entry) is slice:
            span = span_of(entry, shape[len(picks)])
            picks.append(span)
            result.append(span.count)
            work.append(span.count)
            scalar = False
        else:
            picks.append(point_of(entry, shape[len(picks)], len(picks)))
    return Selection(tuple(picks), tuple(result), tuple(work), scalar=scalar)


def _fancy(entries: list[Any], shape: Shape, bounds: bool) -> Selection:
    # NumPy complains of slices and ints first, in their order.
    plain = iter([_plain(e, n, axis) for axis, (e, n) in enumerate(_axes(entries, shape)) if type(e) is not IndexArray])
    arrays = [e.values for e in entries if type(e) is IndexArray]
    broadcast = broadcast_shape(arrays, LateSelectionError)
    axed = sum(1 for e in entries if type(e) is IndexArray and e.axes)
    count = math.prod(broadcast)

    # Where the broadcast dimensions go: in the place of the index arrays when these stand together, else first. An int
    # beside an index array counts as one (`x[0, :, [1, 2]]` is split); None, slices and the Ellipsis split.
    at: int | None = None
    split = False
    closed = False
    out_axes = 0
    for entry in entries:
        if type(entry) is IndexArray or type(entry) is int:
            if at is None:
                at = out_axes
            elif closed:
                split = True
        else:
            closed = at is not None
            out_axes += entry.axes if type(entry) is Rest else 1
    place = 0 if split else (at or 0)

    picks: list[Pick] = []
    rest_shape: list[int] = []  # the result without the broadcast dimensions
    rest_work: list[int] = []
    single = axed == 1 and all(e.axes for e in entries if type(e) is IndexArray)
    for entry in entries:
        if entry is None:
            rest_shape.append(1)
        elif type(entry) is Rest:
            for length in shape[len(picks) : len(picks) + entry.axes]:
                picks.append(Span(0, 1, length))
                rest_shape.append(length)
                rest_work.append(length)
        elif type(entry) is slice:
            span = next(plain)
            picks.append(span)
            rest_shape.append(span.count)
            rest_work.append(span.count)
        elif type(entry) is IndexArray:
            if not entry.axes:
                continue
            axis = len(picks)
            # NumPy does not look at indices that are broadcast away to nothing.
            if not count:
                values = np.zeros(broadcast, np.intp)
            elif bounds:
                values = checked(entry.values, shape[axis], axis, LateSelectionError)
            else:
                values = entry.values
            if values.shape != broadcast:
                values = np.broadcast_to(values, broadcast)
            flat = values.reshape(-1)
            picks.append(Take(flat) if single else Gather(flat))
        else:
            picks.append(next(plain))
    result = (*rest_shape[:place], *broadcast, *rest_shape[place:])
    mask = any(type(e) is IndexArray and e.whole_mask for e in entries)
    if not axed:
        # Only boolean scalars: `a[True]` adds an axis of length 1, `a[False]` one of length 0, and nothing is selected.
        return Selection(tuple(picks), result, tuple(rest_work) if count else result, mask=mask, fancy=True)
    work_place = _work_axis(entries, place)
    work = (*rest_work[:work_place], count, *rest_work[work_place:])
    if single and not _take_in_place(picks, work_place):
        picks = [Gather(p.indices) if type(p) is Take else p for p in picks]
        single = False
    ordered: tuple[IntpArray, ...] = ()
    if len(broadcast) > 1 and all(n == 1 for n in rest_shape):
        ordered = tuple(_lift(np.broadcast_to(a, broadcast), len(result), place) for a in arrays)
    return Selection(tuple(picks), result, work, None if single else work_place, mask=mask, fancy=True, arrays=ordered)


def _plain(entry: slice | int, length: int, axis: int) -> Any:
    return span_of(entry, length) if type(entry) is slice else point_of(entry, length, axis)


def _axes(entries: list[Any], shape: Shape) -> Iterator[tuple[Any, int]]:
    """Each entry that is for one axis, with the length of that axis."""
    axis = 0
    for entry in entries:
        if type(entry) is Rest:
            axis += entry.axes
        elif entry is not None and not (type(entry) is IndexArray and not entry.axes):
            yield entry, shape[axis]
            axis += 1


def in_numpy_order(selection: Selection, value: NDArray, *, nested: bool = False) -> tuple[Selection, NDArray]:
    """The same assignment with its points in the order in which NumPy visits them: the last of repeated indices stays.

    Where index arrays of rank 2 or more select, and nothing else does more than one element, NumPy goes by memory order if all
    of them and the value agree on one (`npyiter_find_best_axis_ordering`: per pair of axes the larger strides go outside, C
    order where operands differ). `value`: broadcast to the selection's shape. `nested`: it was given as nested lists for
    objects or strings of any length, which NumPy copies into an array of the index arrays' own order, so that it has no say.
    """
    arrays = selection.arrays
    if not arrays:
        return selection, value
    operands = [_moving_strides(a) for a in (arrays if nested else (*arrays, value))]
    inside_out: list[int] = []
    for axis in reversed(range(value.ndim)):  # an insertion sort from the innermost axis on, as NumPy's
        place = len(inside_out)
        for at in reversed(range(len(inside_out))):
            swap = _belongs_inside(axis, inside_out[at], operands)
            if swap:
                place = at
            elif swap is False:
                break
        inside_out.insert(place, axis)
    order = inside_out[::-1]
    if order == sorted(order):
        return selection, value
    turned = np.arange(value.size).reshape(value.shape).transpose(order).reshape(-1)
    picks = tuple(type(p)(p.indices[turned]) if isinstance(p, (Take, Gather)) else p for p in selection.picks)
    moved = value.transpose(order)
    return replace(selection, picks=picks, shape=moved.shape, arrays=()), moved


def _lift(array: IntpArray, ndim: int, place: int) -> IntpArray:
    """A view of `array` with further axes of length 1 around its own, which begin at `place`."""
    return array[(None,) * place + (...,) + (None,) * (ndim - place - array.ndim)]


def _moving_strides(array: NDArray) -> Shape:
    return tuple(stride if length > 1 else 0 for stride, length in zip(array.strides, array.shape, strict=True))


def _belongs_inside(axis: int, inner: int, operands: list[Shape]) -> bool | None:
    """Whether `axis` has smaller strides than axis `inner`; None where no operand moves along both."""
    answer = None
    for strides in operands:
        mine, other = abs(strides[axis]), abs(strides[inner])
        if mine and other:
            if other <= mine:
                return False  # where operands differ C order wins
            answer = True if answer is None else answer
    return answer


def _work_axis(entries: list[Any], place: int) -> int:
    """How many of the first `place` axes of the result are axes of the work array too, that is, not made by None."""
    seen = work = 0
    for entry in entries:
        if type(entry) is IndexArray or type(entry) is int:
            continue
        n = entry.axes if type(entry) is Rest else 1
        for _ in range(n):
            if seen == place:
                return work
            seen += 1
            work += entry is not None
    return work


def _take_in_place(picks: list[Pick], work_place: int) -> bool:
    """Whether a Take's own axis order gives the place that NumPy wants (not so for `x[0, :, [1, 2]]`)."""
    before = 0
    for pick in picks:
        if type(pick) is Take:
            return before == work_place
        before += type(pick) is Span
    return False


def span_of(item: slice, length: int) -> Span:
    """The lattice that a slice means on an axis of this length, for any step."""
    try:
        start, stop, step = item.indices(length)
    except TypeError as error:
        raise SelectionTypeError(f"{error}, found {item!r}") from None
    except ValueError as error:
        raise ArgumentError(f"{error}, found {item!r}") from None
    count = len(range(start, stop, step))
    if count == 0:
        return Span(0, 1, 0)
    if step > 0:
        return Span(start, step if count > 1 else 1, count)
    return Span(start + (count - 1) * step, -step if count > 1 else 1, count, flip=count > 1)


def point_of(item: int, length: int, axis: int) -> Point:
    """One element, counted from the end when negative."""
    index = item + length if item < 0 else item
    if not 0 <= index < length:
        raise SelectionError(f"index {item} is out of bounds for axis {axis} with size {length}")
    return Point(index)


def checked(
    indices: npt.NDArray[np.integer[Any]], length: int, axis: int, error: type[SelectionError] = SelectionError
) -> IntpArray:
    """`indices` without negative ones, as intp; `error` if one is out of bounds."""
    values = indices.astype(np.intp, copy=False)
    if values.size:
        low, high = int(values.min()), int(values.max())
        if low < -length or high >= length:
            bad = low if low < -length else high
            raise error(f"index {bad} is out of bounds for axis {axis} with size {length}")
        if low < 0:
            values = np.where(values < 0, values + length, values)
    return values


def broadcast_shape(arrays: Sequence[IntpArray], error: type[SelectionError] = SelectionError) -> Shape:
    """The shape that the arrays broadcast to; `error` when they do not."""
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        shapes = " ".join(str(a.shape) for a in arrays)
        raise error(f"shape mismatch: indexing arrays could not be broadcast together with shapes {shapes}") from None
