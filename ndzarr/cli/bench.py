"""`ndzarr bench`: how fast this machine reads and writes one array, and in how many requests."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from ndzarr import api
from ndzarr._typing import Box, NDArray
from ndzarr.cli.output import Style, print_json, print_rows, shows_progress
from ndzarr.cli.places import opened_array, opened_store
from ndzarr.display import format_nbytes
from ndzarr.errors import ArgumentError, NodeExistsError, NodeNotFoundError
from ndzarr.progress import meter
from ndzarr.stores.base import Store
from ndzarr.stores.recording import RecordingStore
from ndzarr.streaming import pieces
from ndzarr.zarray import ZArray

#: Each is done so often at least, so that one odd run does not count.
_RUNS = 3
MiB = 1 << 20


def bench(given: argparse.Namespace) -> int:
    """Read a part of the array, then write it elsewhere; several times each."""
    with opened_array(given) as z:
        if not z.size:
            raise ArgumentError(f"{z.path or '/'!r} has no elements, so there is nothing to measure")
        box = _box(z, given.limit * MiB)
        found: dict[str, Any] = {"store": z.store.url, "path": z.path, "box": [[s.start, s.stop] for s in box]}
        target: AbstractContextManager[Store | None] = nullcontext() if given.no_write else _target(given.write_to)
        with target as store, meter(shows_progress(given), 1 if store is None else 2, "bench") as told:
            values = z[box]
            found["nbytes"] = int(values.nbytes)
            found["read"] = _read(z, box, int(values.nbytes), given.seconds)
            told(1)
            if store is not None:
                found["write"] = _write(z, store, box, values, given.seconds)
                told(1)
    if given.json:
        print_json(found)
    else:
        _print(z, found, Style(given))
    return 0


def _box(z: ZArray, limit: int) -> Box:
    """The first piece of the array in which something is stored, of about `limit` bytes."""
    cut = pieces(z, limit)
    if not z.ndim:
        return ()
    objects = z._engine.layout.objects
    first = min((coords for coords in z._engine.stored() if coords in objects), default=(0,) * z.ndim)
    corner = objects.start(first)
    coords = [next(n for n, stop in enumerate(stops) if at < stop) for at, stops in zip(corner, cut.stops, strict=True)]
    return cut.box(tuple(coords))


def _read(z: ZArray, box: Box, nbytes: int, seconds: float) -> dict[str, Any]:
    store = RecordingStore(z.store)
    counted = api.open_array(store, path=z.path)
    store.clear()
    counted[box]
    count = store.counts()
    fetched = sum([n for op, n in count.nbytes.items() if op.startswith("get")])
    return {**_timed(lambda: z[box], nbytes, seconds), "requests": sum(count.requests.values()), "nbytes_fetched": fetched}


def _write(z: ZArray, store: Store, box: Box, values: NDArray, seconds: float) -> dict[str, Any]:
    counted = RecordingStore(store)
    api.empty_like(z, store=counted, overwrite=True)
    made = api.open_array(counted, "r+")
    counted.clear()
    made[box] = values
    count = counted.counts()
    plain = api.open_array(store, "r+")

    def again() -> None:
        plain[box] = values

    times = _timed(again, int(values.nbytes), seconds)
    written = sum([n for op, n in count.nbytes.items() if op.startswith("set")])
    return {**times, "requests": sum(count.requests.values()), "nbytes_stored": written, "store": store.url}


def _timed(run: Callable[[], object], nbytes: int, seconds: float) -> dict[str, Any]:
    """Run it for so long, and _RUNS times at least; how long one took in the middle, and how much that is in a second."""
    times: list[float] = []
    while len(times) < _RUNS or sum(times) < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    middle = statistics.median(times)
    return {"runs": len(times), "seconds": round(middle, 6), "mib_per_s": round(nbytes / MiB / middle, 2)}


@contextmanager
def _target(write_to: str | None) -> Iterator[Store]:
    """A store to write to, empty before and afterwards."""
    if write_to is None:
        with (
            tempfile.TemporaryDirectory(prefix="ndzarr-bench-") as directory,
            opened_store(os.path.join(directory, "z"), "a") as store,
        ):
            yield store
        return
    with opened_store(write_to, "a") as store:
        try:
            api.open(store)
        except NodeNotFoundError:
            pass
        else:
            raise NodeExistsError(f"there is something in {store.url} already; --write-to takes a place where nothing is")
        try:
            yield store
        finally:
            with suppress(NodeNotFoundError):  # nothing was written
                api.delete(store)


def _print(z: ZArray, found: dict[str, Any], style: Style) -> None:
    box = ", ".join(f"{start}:{stop}" for start, stop in found["box"])
    rows = [("array", f"{z.path or '/'} [{box}], {format_nbytes(found['nbytes'])} in {z.store.url}")]
    for name, moved in (("read", "nbytes_fetched"), ("write", "nbytes_stored")):
        if name in found:
            one = found[name]
            where = f", to {one['store']}" if "store" in one else ""
            rows.append(
                (name, f"{one['mib_per_s']:,.0f} MiB/s: {one['seconds'] * 1000:,.1f} ms, the median of {one['runs']} runs")
            )
            rows.append(("", f"{one['requests']:,} requests, {format_nbytes(one[moved])}{where}"))
    print_rows(rows, style)
