"""`ndzarr stats`: the range, mean and spread of all values, in one pass.

Mean and variance are merged by the formulas of Chan, Golub and LeVeque (1979), in an order that goes by shape and chunks alone,
so that the same array gives the same bits however many threads there are.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from ndzarr import config, display
from ndzarr._typing import Box, NDArray
from ndzarr.cli import arguments, header
from ndzarr.cli.output import Style, print_json, print_rows, shows_progress
from ndzarr.cli.places import opened_array
from ndzarr.cli.values import plain
from ndzarr.errors import ArgumentError
from ndzarr.functions.fold import Sink, State, fold

#: The kinds of dtype that have a range, and those that have a mean too.
_ORDERED, _NUMBERS = "biufmM", "biufc"


def stats(given: argparse.Namespace) -> int:
    """Count, NaNs, least, largest, mean and standard deviation."""
    with opened_array(given, "r+" if given.collect else "r") as z:
        view = z.lazy[given.index]
        if view.dtype.kind not in _ORDERED + _NUMBERS:
            raise ArgumentError(
                f"{z.path or '/'!r} holds {display.format_dtype(z.dtype)}, which have no range; expected numbers or times"
            )
        with config.options(progress=shows_progress(given)):
            found = summary(view)
        kept = None
        if given.collect:
            kept = int(z.collect_statistics(progress=shows_progress(given)).known.sum())
        if given.json:
            index = arguments.spelled(given.index)
            about: dict[str, Any] = {"store": z.store.url, "path": z.path, "index": index, "shape": list(view.shape)}
            about["dtype"] = display.format_dtype(z.dtype)
            told = {name: plain(value) for name, value in found.items()}
            print_json({**about, **told, **({} if kept is None else {"chunks_known": kept})})
            return 0
        rows = [("array", f"{z.path or '/'} {z.shape} {display.format_dtype(z.dtype)}")]
        if given.index is not ...:
            rows.append(("index", f"{arguments.spelled(given.index)} {view.shape}"))
        rows.append(("values", f"{found['count']:,}" + (f", and {found['nan']:,} NaN" if found["nan"] else "")))
        names = {"min": "least", "max": "largest", "mean": "mean", "std": "std"}
        rows += [(names[name], str(found[name])) for name in names if found[name] is not None]
        if kept is not None:
            rows.append(("kept", f"statistics of {kept:,} chunks"))
        print_rows([*rows, *(header.stored_rows(z) if given.index is ... else [])], Style(given))
    return 0


def summary(view: Any) -> dict[str, Any]:
    """count (without nan), nan, min, max, mean, std of what `view` holds; None for what its dtype does not have."""
    if not view.shape or not math.prod(view.shape):
        # What `fold` does not take: a scalar, which is one block, and no elements at all.
        return _told(_Summary().first([view.read_box(tuple(slice(0, n, 1) for n in view.shape))], (), ()))
    place: Any = np.empty((), object)
    axes = tuple(range(len(view.shape)))
    itemsize = view.dtype.itemsize
    fold(_Summary(), [view], view.shape, axes, Sink(place, axes, keepdims=False), nbytes=3 * itemsize + 16)
    found: dict[str, Any] = place[()]
    return found


class _Summary:
    """A Fold whose state is (count, nan, least, largest, mean, sum of squared distances from it)."""

    def first(self, arrays: list[Any], axes: tuple[int, ...], box: Box) -> State:
        """Of one block."""
        values = np.asarray(arrays[0]).reshape(-1)
        size = values.size
        if values.dtype.kind in "mM":
            values = values[~np.isnat(values)]
        elif values.dtype.kind not in "biu":
            values = values[~np.isnan(values)]
        count, nan = values.size, size - values.size
        if not count:
            return 0, nan, None, None, None, None
        ordered = values.dtype.kind in _ORDERED
        low, high = (values.min(), values.max()) if ordered else (None, None)
        if values.dtype.kind not in _NUMBERS:
            return count, nan, low, high, None, None
        with np.errstate(all="ignore"):  # infinities, which then are what comes out
            wide = values.astype(complex if values.dtype.kind == "c" else float)
            mean = wide.mean()
            distances = np.abs(wide - mean)
            return count, nan, low, high, mean, float(np.dot(distances, distances))

    def merge(self, state: State, later: State) -> State:
        """Of both together."""
        if not state[0] or not later[0]:
            some, none = (later, state) if later[0] else (state, later)
            return some[0], some[1] + none[1], *some[2:]
        count, nan, low, high, mean, squares = state
        more, more_nan, other_low, other_high, other_mean, other_squares = later
        low, high = (None, None) if low is None else (min(low, other_low), max(high, other_high))
        both = count + more
        if mean is not None:
            with np.errstate(all="ignore"):
                apart = other_mean - mean
                squares += other_squares + float(abs(apart)) ** 2 * count * more / both
                mean += apart * (more / both)
        return both, nan + more_nan, low, high, mean, squares

    def last(self, state: State) -> NDArray:
        """As a mapping in an array of one."""
        found: NDArray = np.empty(1, object)
        found[0] = _told(state)
        return found


def _told(state: State) -> dict[str, Any]:
    count, nan, low, high, mean, squares = state
    std = None if squares is None else math.sqrt(squares / count) if squares >= 0 else float("nan")
    return {"count": count, "nan": nan, "min": low, "max": high, "mean": mean, "std": std}
