"""Ranges of one object that lie close together, asked for as one. Pure; no store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ndzarr._typing import Buffer, ByteRange, Key

#: Bytes between two ranges that cost less than another request: half a round trip of 20 ms at some 50 MB/s.
GAP = 1 << 19
#: What one merged request may ask for.
MOST = 16 << 20


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request to a server, and whose answers are in it: (number of the request, start in it, stop in it) each.

    `parts` is None where the answer is that of the one request `number`.
    """

    key: Key
    range: ByteRange | None
    number: int
    parts: Sequence[tuple[int, int, int]] | None = None

    def answers(self, value: Buffer | None) -> Iterable[tuple[int, Buffer | None]]:
        """(number of the request, its bytes) of all that `value` answers; None for a missing key."""
        if self.parts is None:
            return [(self.number, value)]
        if value is None:
            return [(number, None) for number, _, _ in self.parts]
        view = memoryview(value)
        return [(number, view[start:stop]) for number, start, stop in self.parts]


def merged(requests: Sequence[tuple[Key, ByteRange | None]], gap: int = GAP, most: int = MOST) -> list[Fetch]:
    """What to ask for: each request once, ranges of one key no further apart than `gap` together, up to `most` bytes.

    Whole objects, and ranges counted from the end or to it, stand alone, as does what is empty.
    """
    fetches: list[Fetch] = []
    ranges: dict[Key, list[tuple[int, int, int]]] = {}
    for number, (key, range) in enumerate(requests):
        if range is not None and range[0] >= 0 and range[1] is not None and range[0] < range[1]:
            ranges.setdefault(key, []).append((range[0], range[1], number))
        else:
            fetches.append(Fetch(key, range, number))
    for key, found in ranges.items():
        if len(found) > 1:
            found.sort()
        group: list[tuple[int, int, int]] = []
        first = last = 0
        for start, stop, number in found:
            if group and (start > last + gap or max(last, stop) - first > most):
                fetches.append(_fetch(key, group, first, last))
                group = []
            if not group:
                first = last = start
            group.append((start, stop, number))
            last = max(last, stop)
        fetches.append(_fetch(key, group, first, last))
    return fetches


def _fetch(key: Key, group: list[tuple[int, int, int]], first: int, last: int) -> Fetch:
    parts = [(number, start - first, stop - first) for start, stop, number in group]
    if len(parts) == 1:
        return Fetch(key, ByteRange(first, last), parts[0][0])
    return Fetch(key, ByteRange(first, last), parts[0][0], parts)
