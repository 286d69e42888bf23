"""Which elements of an array a picture shows: a slice along two axes (or one), thinned out until there are few enough.

Nothing is read here. A picture costs what `z[look.index]` costs: chunks that a step jumps over are not read, and where the
chunks that remain would still decode to more than the limit, the steps grow until they are longer than chunks.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ndzarr._typing import Shape
from ndzarr.errors import ArgumentError, SelectionError, SelectionTypeError

#: Samples along a line; more cannot be told apart on a page.
_SAMPLES = 4096
#: Names of axes that hold the colours of pixels when they are 3 long. Of 4 the last need not be how opaque a pixel is.
_COLOURS = frozenset("rgb s sample samples channel channels colour color band c".split())


@dataclass(frozen=True, slots=True)
class Look:
    """What is read: `index`, an int or a slice for each axis.

    shown: the elements along each axis that is drawn, that of rows first, or along the one axis of a line. names: of those
    axes. colours: whether the last axis of the array holds the colours of pixels. told: the index in words.
    """

    index: tuple[int | slice, ...]
    shown: tuple[range, ...]
    names: tuple[str, ...]
    colours: bool
    told: tuple[str, ...]

    def __str__(self) -> str:
        """The part asked for, in the steps that were read: "182, ::4, 100:900:7"; not at which element those begin."""
        return ", ".join(self.told)


def look(
    shape: Shape,
    index: Any = None,
    *,
    names: Sequence[str | None] | None = None,
    max_pixels: int,
    colours: bool | None = None,
    pixels: bool = False,
    chunk: Shape = (),
    chunk_nbytes: int = 0,
    max_nbytes: int | None = None,
) -> Look:
    """The thinned slice of an array of `shape` that `index` asks for.

    index: ints and slices by position, or by axis or name of the axis in a mapping; the last two axes that are left are drawn,
    others of them are taken at their middle. names: of the axes. colours: whether the last axis is colours; None for what its
    name and length say, or where it has no name, its length and whether the elements look like `pixels`. chunk: lengths of a
    chunk, which decodes to `chunk_nbytes` bytes. max_nbytes: of chunks that may be decoded, None for any number. Raises
    SelectionError, SelectionTypeError and ArgumentError.

    >>> str(look((365, 2000, 4000), {"time": 3}, names=("time", "y", "x"), max_pixels=10_000))
    '3, ::20, ::40'
    """
    if max_pixels < 1:
        raise ArgumentError(f"max_pixels must be at least 1, not {max_pixels!r}", field="max_pixels", found=max_pixels)
    entries = _entries(shape, index, names)
    whole = {axis: r for axis, r in enumerate(entries) if isinstance(r, range)}
    if not whole or not all(whole.values()):
        what = "a single element" if all(whole.values()) else "nothing"
        raise ArgumentError(
            f"cannot draw index {index!r} of an array of shape {shape}: it holds {what}", field="index", found=index
        )
    tinted = _tinted(shape, whole, names, pixels) if colours is None else colours
    if tinted:
        last = len(shape) - 1
        if len(whole) < 3 or len(whole.get(last, ())) not in (3, 4):
            raise ArgumentError(
                f"cannot draw colours of an array of shape {shape}: expected a last axis of 3 or 4 after two others",
                field="rgb",
                found=shape,
            )
    kept = [axis for axis in whole if not (tinted and axis == len(shape) - 1)]
    long = [axis for axis in kept if len(whole[axis]) > 1]
    shown = kept[-2:] if tinted else (long or kept)[-2:]
    counts = _counts([len(whole[axis]) for axis in shown], max_pixels)
    steps = [-(-len(whole[axis]) // n) for axis, n in zip(shown, counts, strict=True)]
    if max_nbytes is not None and chunk:
        colour_chunks = -(-shape[-1] // chunk[-1]) if tinted else 1
        lengths, sides = [len(whole[axis]) for axis in shown], [chunk[axis] for axis in shown]
        steps = _fewer(lengths, sides, steps, max_nbytes // max(1, chunk_nbytes * colour_chunks))
    elements = []
    for axis, step in zip(shown, steps, strict=True):
        r = whole[axis]
        # In the middle of what they stand for.
        elements.append((axis, r[(len(r) - 1) % step // 2 :: step]))
    found: list[int | slice] = [r if isinstance(r, int) else r[len(r) // 2] for r in entries]
    for axis, r in elements:
        found[axis] = _slice(r)
    if tinted:
        found[-1] = slice(0, shape[-1], 1)
    called = [(names[axis] if names is not None else None) or f"axis {axis}" for axis in shown]
    told = [
        _told(whole[axis], entry.step, n) if isinstance(entry, slice) else str(entry)
        for axis, (entry, n) in enumerate(zip(found, shape, strict=True))
    ]
    return Look(tuple(found), tuple([r for _, r in elements]), tuple(called), tinted, tuple(told))


def _entries(shape: Shape, index: Any, names: Sequence[str | None] | None) -> list[int | range]:
    """What is asked for along each axis, one element or a range of them."""
    given: dict[int, Any] = {}
    if isinstance(index, Mapping):
        for name, entry in index.items():
            given[_axis(name, shape, names)] = entry
    elif index is not None:
        entries = list(index) if isinstance(index, tuple) else [index]
        where = [n for n, entry in enumerate(entries) if entry is Ellipsis]
        if len(where) > 1:
            raise SelectionError("an index can only have a single ellipsis ('...')", found=index)
        if len(entries) - len(where) > len(shape):
            raise SelectionError(
                f"too many indices for array: array is {len(shape)}-dimensional, but {len(entries)} were indexed", found=index
            )
        if where:
            entries[where[0] : where[0] + 1] = [slice(None)] * (len(shape) - len(entries) + 1)
        given = dict(enumerate(entries))
    return [_entry(given.get(axis, slice(None)), axis, n) for axis, n in enumerate(shape)]


def _axis(name: Any, shape: Shape, names: Sequence[str | None] | None) -> int:
    if isinstance(name, int) and -len(shape) <= name < len(shape):
        return name % len(shape)
    known = [known for known in names or () if known is not None]
    if names is not None and name in known:
        return list(names).index(name)
    raise ArgumentError(f"no axis is called {name!r}: there are {known}", field="index", found=name, expected=known)


def _entry(entry: Any, axis: int, length: int) -> int | range:
    if isinstance(entry, slice):
        try:
            return range(length)[entry]
        except TypeError as error:
            raise SelectionTypeError(f"{error}: {entry!r} along axis {axis}", found=entry) from error
        except ValueError as error:
            raise ArgumentError(f"{error}: {entry!r} along axis {axis}", field="index", found=entry) from error
    try:
        i = operator.index(entry)
    except TypeError:
        i = None
    if i is None or isinstance(entry, bool):
        raise SelectionTypeError(
            f"a picture takes ints and slices, not {entry!r}: draw a view instead, as in quicklook(z.lazy[index])", found=entry
        )
    if not -length <= i < length:
        raise SelectionError(f"index {i} is out of bounds for axis {axis} with size {length}", found=i)
    return i % length


def _tinted(shape: Shape, whole: Mapping[int, range], names: Sequence[str | None] | None, pixels: bool) -> bool:
    last = len(shape) - 1
    if len(whole) < 3 or whole.get(last) not in (range(3), range(4)):
        return False
    name = names[last] if names is not None else None
    if name is None:
        return pixels
    return name.lower() == "rgba" if shape[last] == 4 else name.lower() in _COLOURS


def _counts(lengths: Sequence[int], most: int) -> list[int]:
    """Samples along each axis: about as many along both, but all of a short one."""
    if len(lengths) == 1:
        return [min(lengths[0], most, _SAMPLES)]
    rows, columns = lengths
    side = max(1, math.isqrt(most))
    if rows <= side:
        return [rows, min(columns, most // rows)]
    if columns <= side:
        return [min(rows, most // columns), columns]
    return [side, side]


def _fewer(lengths: Sequence[int], sides: Sequence[int], steps: Sequence[int], most: int) -> list[int]:
    """Steps so long that at most `most` chunks are touched, or one."""
    found = list(steps)

    def touched(axis: int) -> int:
        samples = -(-lengths[axis] // found[axis])
        return min(samples, -(-((samples - 1) * found[axis] + 1) // sides[axis]) + 1, -(-lengths[axis] // sides[axis]))

    while math.prod(touches := [touched(axis) for axis in range(len(found))]) > max(1, most):
        axis = max(range(len(found)), key=touches.__getitem__)
        fewer = touches[axis] * 3 // 4
        found[axis] = -(-lengths[axis] // max(1, fewer))
    return found


def _slice(r: range) -> slice:
    stop = r[-1] + (1 if r.step > 0 else -1)
    return slice(r.start, None if stop < 0 else stop, r.step)


def _told(asked: range, step: int, n: int) -> str:
    """A part of an axis of `n` elements in steps; ends are named where elements beyond them are left out."""
    reach = abs(asked.step)
    start, stop = str(asked[0]), str(asked.stop) if asked.stop >= 0 else ""
    if min(asked[0], asked[-1]) < reach and n - 1 - max(asked[0], asked[-1]) < reach:
        start = stop = ""
    return f"{start}:{stop}" + ("" if step == 1 else f":{step}")
