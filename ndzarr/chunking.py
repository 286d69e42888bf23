"""How long chunks are, from a size and from how the array is going to be read: pure arithmetic over a shape.

Every choice keeps four rules. A chunk never holds more bytes than asked for, unless one element does. No length is 0. An axis
that is cut into k chunks is cut evenly, so that its last chunk is less than k elements shorter than the others; where a divisor
of the axis is within a quarter of that length it is taken instead, and there is no shorter chunk at all. How many chunks there
are follows from the size, and nothing else limits it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, get_args

from ndzarr._typing import Shape
from ndzarr.errors import ArgumentError
from ndzarr.grid import auto_chunks

#: maps: one step of the time axis is read at a time, with all that belongs to it. series: one place, at all times. balanced:
#: either costs about as many chunks as the other.
Access: TypeAlias = Literal["maps", "series", "balanced"]

#: Names of dimensions that are the time axis, wherever they stand.
TIME_NAMES = frozenset({"time", "t", "times", "datetime", "date", "valid_time", "forecast_time"})

#: How many lengths of the time axis "balanced" tries, and how many divisors are looked for.
_TRIES, _DIVISORS = 256, 4096


def access_argument(access: Any) -> Access | None:
    """A caller's `access`, None where he has none; ArgumentError for what is none."""
    for known in get_args(Access):
        if isinstance(access, str) and access == known:
            return known  # type: ignore[no-any-return]  # get_args forgets the types
    if access is None:
        return None
    raise ArgumentError(f"access is {access!r}, expected 'maps', 'series', 'balanced' or None", field="access", found=access)


def time_axis(names: Sequence[str | None] | None) -> int:
    """The axis that maps follow each other along: the one whose name says so, else the first."""
    for axis, name in enumerate(names or ()):
        if isinstance(name, str) and name.lower() in TIME_NAMES:  # what else there may be is refused later
            return axis
    return 0


def chunk_lengths(shape: Shape, itemsize: int, nbytes: int, access: Access | None = None, axis: int = 0) -> Shape:
    """Lengths of a chunk of at most `nbytes` decoded bytes; see the module for what they keep to.

    access None cuts as "auto" does, in the array's own proportions. "maps": the axes other than `axis` whole, from the last one
    on, while they fit; then, if there is room, more than one step along `axis`. "series": as much of `axis` as fits; then, if
    there is room, blocks along the others. "balanced": a map, one step along `axis`, and a series, all steps at one place,
    touch about as many chunks, within a factor of two where the shape allows it.

    >>> chunk_lengths((8760, 721, 1440), 4, 16 << 20, "maps")
    (4, 721, 1440)
    >>> chunk_lengths((8760, 721, 1440), 4, 16 << 20, "series")
    (8760, 21, 20)
    >>> chunk_lengths((8760, 721, 1440), 4, 16 << 20, "balanced")
    (195, 145, 144)
    """
    if access is None or not shape:
        return auto_chunks(shape, itemsize, nbytes)
    room = max(1, nbytes // max(1, itemsize))
    lengths = [max(1, n) for n in shape]
    others = [n for n in range(len(lengths)) if n != axis]
    if access == "maps":
        found = _maps([lengths[n] for n in (*reversed(others), axis)], room)
        return _placed(found, (*reversed(others), axis))
    rest = [lengths[n] for n in others]
    if access == "series":
        along = _even_cut(lengths[axis], room)
        block = _block(rest, room // along if along == lengths[axis] else 1)
    else:
        along, block = _balanced(lengths[axis], rest, room)
    return _placed((along, *block), (axis, *others))


def _placed(found: Iterable[int], axes: Sequence[int]) -> Shape:
    by_axis = dict(zip(axes, found, strict=True))
    return tuple(by_axis[axis] for axis in range(len(by_axis)))


def _maps(lengths: Sequence[int], room: int) -> list[int]:
    """Whole axes while they fit, in this order; the first that does not is cut, and those after it have length 1."""
    found = []
    for n in lengths:
        cut = _even_cut(n, room)
        found.append(cut)
        room = room // cut if cut == n else 1
    return found


def _block(lengths: Sequence[int], room: int) -> list[int]:
    """Lengths that are as equal as the axes allow, with a product of at most `room`."""
    found = [1] * len(lengths)
    left = len(lengths)
    for place in sorted(range(len(lengths)), key=lambda n: lengths[n]):  # the short axes first: what they leave goes on
        found[place] = _even_cut(lengths[place], max(1, _root(room, left)))
        room //= found[place]
        left -= 1
    return found


def _balanced(length: int, rest: Sequence[int], room: int) -> tuple[int, list[int]]:
    """The length along the time axis, and along the others, for which a map and a series touch the fewest chunks together.

    A map touches prod(ceil(n / c)) chunks over the other axes, a series ceil(n / c) along this one. With chunks of one size
    their product is given, so that their sum is least where they are equal.
    """
    most = min(length, room)
    alongs = sorted({_even_cut(length, max(1, round(most ** (n / _TRIES)))) for n in range(_TRIES + 1)})

    def cut(shape: Callable[[Sequence[int], int], list[int]]) -> Iterator[tuple[tuple[bool, int, int], int, list[int]]]:
        for along in alongs:
            block = shape(rest, room // along)
            of_map = math.prod([-(-n // c) for n, c in zip(rest, block, strict=True)])
            of_series = -(-length // along)
            uneven = max(of_map, of_series) > 2 * min(of_map, of_series)
            yield (uneven, max(of_map, of_series) if uneven else of_map + of_series, of_map * of_series), along, block

    best = min(cut(_block), key=lambda found: found[0])
    if best[0][0]:  # where there are few chunks, rows or columns may fit in fewer
        best = min(best, *cut(_rows), *cut(_maps), key=lambda found: found[0])
    return best[1:]


def _rows(lengths: Sequence[int], room: int) -> list[int]:
    """Whole axes from the last one on."""
    return _maps(lengths[::-1], room)[::-1]


def _root(room: int, degree: int) -> int:
    """The largest whole number whose power of that degree is at most `room`."""
    guess = max(1, int(room ** (1 / degree)))
    while guess > 1 and guess**degree > room:
        guess -= 1
    while (guess + 1) ** degree <= room:
        guess += 1
    return guess


def _even_cut(n: int, most: int) -> int:
    """The length of chunks along an axis of `n` elements, at most `most`: all of them about alike, exactly so where a divisor
    is near."""
    if n <= most:
        return n
    count = -(-n // most)
    even = -(-n // count)
    least = -(-even * 3 // 4)
    # Divisors by their length or by how many chunks they make, whichever are fewer.
    if even - least <= n // least - count:
        near = (c for c in range(even, max(least, even - _DIVISORS) - 1, -1) if n % c == 0)
    else:
        near = (n // k for k in range(count, min(n // least, count + _DIVISORS) + 1) if n % k == 0)
    return next(near, even)


def shard_lengths(
    shape: Shape, chunks: Shape, itemsize: int, nbytes: int, access: Access | None = None, axis: int = 0
) -> Shape:
    """Lengths of shards of at most `nbytes` decoded bytes and at least one chunk, made of whole chunks by the same rules."""
    counts = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    per_shard = chunk_lengths(counts, max(1, math.prod(chunks) * itemsize), nbytes, access, axis)
    return tuple(k * c for k, c in zip(per_shard, chunks, strict=True))
