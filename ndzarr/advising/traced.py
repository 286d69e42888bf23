"""What a trace of requests says about how arrays are read: along which axis, how often the same, how small, how many documents.

A trace has no indices, only the objects that were asked for. Reads that go along the time axis ask for one object after the
other that differ in that coordinate alone; reads of maps for objects that have it in common.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ndzarr._typing import Coords
from ndzarr.advising.advice import Suggestion, size_text
from ndzarr.chunking import Access, chunk_lengths, time_axis
from ndzarr.display import format_nbytes
from ndzarr.formats import v2, v3
from ndzarr.stores.recording import Recorded
from ndzarr.zarray import ZArray

_READS = frozenset({"get", "get_tagged", "get_many", "get_many_tagged", "get_each"})
_DOCUMENTS = frozenset({v2.ARRAY, v2.GROUP, v2.ATTRIBUTES, v3.NODE})
#: From so many requests on a pattern is one.
ENOUGH = 24
#: So many requests of so few bytes are too many.
_MANY, _SMALL = 128, 64 << 10
#: Objects read so often are read again and again.
_AGAIN = 2.0


@dataclass(slots=True)
class Reads:
    """What was asked of one array: coords of objects in the order of the requests, ranges of one object as one, and bytes."""

    z: ZArray
    coords: list[Coords] = field(default_factory=list)
    nbytes: int = 0
    requests: int = 0

    def add(self, coords: Coords, nbytes: int) -> None:
        """Take up one request."""
        self.requests += 1
        self.nbytes += nbytes
        if not self.coords or self.coords[-1] != coords:
            self.coords.append(coords)

    def findings(self) -> Iterator[Suggestion]:
        """All that is worth saying."""
        if self.requests < ENOUGH or not self.z._engine.layout.grid.uniform:
            return
        again = self._again()
        access = self._access()
        if again is not None:
            yield again
        if access is not None:
            yield access
        elif self.requests >= _MANY and self.nbytes < _SMALL * self.requests:
            yield self._small()

    # ---- the same again ----

    def _again(self) -> Suggestion | None:
        distinct = set(self.coords)
        times = len(self.coords) / len(distinct)
        if times < _AGAIN:
            return None
        layout = self.z._engine.layout
        decoded = math.prod([axis.size(0) for axis in layout.objects.axes]) * layout.dtype.itemsize * len(distinct)
        size = max(1, -(-decoded * 5 // 4 >> 20))  # and what is kept with each
        return Suggestion(
            "read-again",
            self.z.path,
            f"{len(distinct):,} objects were asked for {len(self.coords):,} times, {times:.1f} times each; decoded they take "
            f"{format_nbytes(decoded)}, which a cache can keep",
            {
                "requests": self.requests,
                "objects": len(distinct),
                "times": times,
                "nbytes": self.nbytes,
                "nbytes_decoded": decoded,
            },
            f'ndzarr.open(store, path={self.z.path!r}, chunk_cache="{size}MiB")',
            1 - 1 / times,
        )

    # ---- the direction ----

    def steps(self) -> tuple[int, int, int]:
        """How many steps from one object to the next went along the time axis, across it, and neither."""
        axis = time_axis(self.z.dimension_names)
        along = across = other = 0
        for a, b in zip(self.coords, self.coords[1:], strict=False):
            same = [n for n, (p, q) in enumerate(zip(a, b, strict=True)) if p == q]
            if len(same) == len(a) - 1 and axis not in same:
                along += 1
            elif axis in same:
                across += 1
            else:
                other += 1
        return along, across, other

    def _access(self) -> Suggestion | None:
        z, layout = self.z, self.z._engine.layout
        if z.ndim < 2:
            return None
        along, across, _ = self.steps()
        steps = along + across
        if steps < ENOUGH:
            return None
        share = along / steps
        access: Access = "series" if share >= 0.8 else "maps" if share <= 0.2 else "balanced"
        axis = time_axis(z.dimension_names)
        now = tuple([a.size(0) for a in layout.grid.axes])
        nbytes = max(math.prod(now) * z.itemsize, 1 << 20)
        then = chunk_lengths(z.shape, z.itemsize, nbytes, access, axis)
        cost, less = (self._cost(lengths, axis, share) for lengths in (now, then))
        if cost < 2 * less or layout.grid is not layout.objects:
            return None
        what = {"series": "along", "maps": "across", "balanced": "both along and across"}[access]
        return Suggestion(
            "access",
            z.path,
            f"{steps:,} steps from one object to the next went {what} axis {axis}: with chunks {then} in place of {now} such a "
            f"read touches {less:,.0f} instead of {cost:,.0f}",
            {
                "requests": self.requests,
                "steps_along": along,
                "steps_across": across,
                "chunks_per_read": cost,
                "chunks_per_read_then": less,
                "chunks": list(now),
                "chunks_then": list(then),
            },
            f'ndzarr.rechunk(z, dst, chunks="{size_text(nbytes)}", access="{access}")',
            1 - less / cost,
        )

    def _cost(self, lengths: Sequence[int], axis: int, share: float) -> float:
        """Chunks that a read touches: a series, a map, or as many of each as the trace has."""
        counts = [-(-n // c) for n, c in zip(self.z.shape, lengths, strict=True)]
        series, maps = counts[axis], math.prod(counts[:axis] + counts[axis + 1 :])
        if 0.2 < share < 0.8:
            return (series + maps) / 2
        return float(series if share >= 0.8 else maps)

    # ---- small ones ----

    def _small(self) -> Suggestion:
        mean = self.nbytes / self.requests
        layout = self.z._engine.layout
        raw = math.prod([axis.size(0) for axis in layout.grid.axes]) * layout.dtype.itemsize
        target = int(min(16 << 20, max(1 << 20, raw * _SMALL * 4 / max(mean, 1))))
        return Suggestion(
            "small-requests",
            self.z.path,
            f"{self.requests:,} requests gave {format_nbytes(round(mean))} each on average; larger chunks need fewer",
            {"requests": self.requests, "nbytes": self.nbytes, "mean_nbytes": mean, "chunk_nbytes": raw},
            f'ndzarr.convert(z, dst, chunks="{size_text(target)}")',
            max(0.0, 1 - raw / target),
        )


def is_read(record: Recorded) -> bool:
    """Whether a request was one for a value."""
    return record.op in _READS and record.key is not None


def is_document(key: str) -> bool:
    """Whether a key is that of a metadata document."""
    return key.rpartition("/")[2] in _DOCUMENTS


def documents(records: Iterable[Recorded], consolidated: bool, path: str) -> Suggestion | None:
    """What the requests for metadata documents say of a hierarchy that could be consolidated."""
    asked = Counter(r.key for r in records if is_read(r) and r.key is not None and is_document(r.key))
    if consolidated or len(asked) < ENOUGH:
        return None
    count = sum(asked.values())
    return Suggestion(
        "consolidate",
        path,
        f"{count:,} requests were for {len(asked):,} metadata documents; consolidated, they are one",
        {"requests": count, "documents": len(asked)},
        f"ndzarr.consolidate(store, path={path!r})",
        1 - 1 / count,
    )
