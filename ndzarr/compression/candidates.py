"""The chains that `compress` tries: how elements are rounded before they are stored, and by which codecs. Pure.

Two families keep a bound. Elements *rounded* beforehand go through a lossless chain: an element that rounding would take out
of the bound is left as it is, so that such a candidate cannot fail, and anybody can read what it wrote without knowing that it
was rounded. A *coding* chain is lossy itself (scale and offset to small integers, zfp): often smaller, but whether it keeps the
bound shows when it is decoded again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray
from ndzarr.codecs.registry import get_codec
from ndzarr.compression.bound import Bound
from ndzarr.compression.rounding import (
    Rounding,
    bits_for,
    grid_for,
    to_bits,
    to_grid,
    to_multiples,
    to_whole_multiples,
    whole_steps,
    within,
)
from ndzarr.dtypes.v3 import dtype_to_v3

#: What strong but not slow compressors are set to.
_BLOSC, _ZSTD = 5, 9
#: What zarr-python does not read by itself.
_EXTRAS = frozenset({"cast_value", "pcodec", "zfpy"})
#: Of the levels of scaled numbers, what is kept for rounding on the way, as a share of the bound.
_MARGIN = 1 / 32


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the elements of an array, or of a sample of it: the range of the finite ones, their smallest magnitude,
    and whether all are finite."""

    least: float = math.inf
    largest: float = -math.inf
    smallest: float = math.inf
    finite: bool = True

    def join(self, other: Seen) -> Seen:
        """Both together."""
        return Seen(
            min(self.least, other.least),
            max(self.largest, other.largest),
            min(self.smallest, other.smallest),
            self.finite and other.finite,
        )

    @property
    def covers(self) -> bool:
        """Whether there is a finite element."""
        return self.least <= self.largest


def seen_in(block: NDArray) -> Seen:
    """What there is in one block of numbers."""
    finite = np.isfinite(block)
    whole = bool(finite.all())
    numbers = block if whole else block[finite]
    if not numbers.size:
        return Seen(finite=whole)
    with np.errstate(all="ignore"):
        magnitudes = np.abs(numbers.astype(np.float64, copy=False))
    above = magnitudes[magnitudes > 0]
    return Seen(
        float(numbers.min()),
        float(numbers.max()),
        0.0 if above.size < numbers.size else float(above.min(initial=math.inf)),
        whole,
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to store an array.

    rounding: what is done to elements before they are encoded; None for nothing. filters, compressor: the chain, as
    `create_array` takes it. coding: whether the chain itself is lossy, so that only decoding tells. by_range: whether it was
    made for the range of the elements.
    """

    name: str
    compressor: Sequence[Any]
    filters: Sequence[Any] = ()
    rounding: Rounding | None = None
    coding: bool = False
    by_range: bool = False

    @property
    def extra(self) -> bool:
        """Whether zarr-python needs another library to read it."""
        return any(codec.get("id", codec.get("name")) in _EXTRAS for codec in (*self.filters, *self.compressor))


@dataclass(frozen=True, slots=True)
class _Tails:
    """The lossless ends of chains for elements of a dtype."""

    dtype: DType
    names: Sequence[str] = field(default=("shuffle", "bitshuffle", "zstd", "pcodec"))

    def __iter__(self) -> Iterator[tuple[str, Sequence[Any]]]:
        for name in self.names:
            if name == "shuffle" and self.dtype.itemsize > 1:
                yield "blosc zstd shuffle", [_blosc(1)]
            elif name == "bitshuffle" and self.dtype.kind in "iufcmM":
                yield "blosc zstd bitshuffle", [_blosc(2)]
            elif name == "zstd":
                yield "zstd", [{"id": "zstd", "level": _ZSTD}]
            elif name == "pcodec" and _pcodec(self.dtype):
                yield "pcodec", [{"id": "pcodec", "level": 8}]


def _blosc(shuffle: int) -> dict[str, Any]:
    return {"id": "blosc", "cname": "zstd", "clevel": _BLOSC, "shuffle": shuffle, "blocksize": 0}


def _pcodec(dtype: DType) -> bool:
    sizes = {"i": (2, 4, 8), "u": (2, 4, 8), "f": (2, 4, 8), "m": (8,), "M": (8,)}
    return dtype.itemsize in sizes.get(dtype.kind, ()) and get_codec("pcodec").available()


def lossless(dtype: DType) -> Iterator[Candidate]:
    """Chains that change nothing."""
    for name, tail in _Tails(dtype):
        yield Candidate(name, tail)
    if dtype.kind in "iu":
        for name, tail in _Tails(dtype, ("shuffle", "bitshuffle")):
            yield Candidate(f"delta, {name}", tail, [{"id": "delta", "dtype": dtype.str}])


def rounded(bound: Bound) -> Iterator[Candidate]:
    """Elements rounded beforehand, and lossless chains."""
    bits, grid, steps = bits_for(bound), grid_for(bound) if not bound.whole else None, whole_steps(bound)
    if bits is not None:
        yield from _through(f"{bits} bits", bound, to_bits(bits))
    if grid is not None:
        yield from _through(f"steps of 2**{grid}", bound, to_grid(grid))
        step = 2.0 * float(bound.absolute or 0) * (1 - 2.0**-20)
        if step > 2.0**grid * 1.1:
            yield from _through(f"steps of {step:.4g}", bound, to_multiples(step), ("pcodec",))
    if steps is not None:
        full, even = steps
        yield from _through(f"steps of {even}", bound, to_whole_multiples(even))
        if full > even:
            yield from _through(f"steps of {full}", bound, to_whole_multiples(full), ("shuffle", "pcodec"))


def _through(
    what: str, bound: Bound, rounding: Rounding, names: Sequence[str] = ("shuffle", "bitshuffle", "zstd", "pcodec")
) -> Iterator[Candidate]:
    for name, tail in _Tails(bound.dtype, names):
        yield Candidate(f"{what}, {name}", tail, rounding=within(bound, rounding))
    if bound.whole and "bitshuffle" in names:
        for name, tail in _Tails(bound.dtype, ("shuffle", "bitshuffle")):
            filters = [{"id": "delta", "dtype": bound.dtype.str}]
            yield Candidate(f"{what}, delta, {name}", tail, filters, within(bound, rounding))


# ---- lossy chains -------------------------------------------------------------------------------


def coding(bound: Bound, seen: Seen, fill: Any, ndim: int, *, casts: bool) -> Iterator[Candidate]:
    """Chains that are lossy themselves, for elements in the range of `seen`, in chunks that are padded with `fill`.

    casts: whether `cast_value` may be used, which can hold NaN, and refuses what somebody writes later outside of the range;
    what numcodecs has instead stores any number for it.
    """
    absolute = _absolute_for(bound, seen)
    if not absolute or not seen.covers:
        return
    if bound.whole:
        if seen.least >= 0 and fill >= 0:
            yield from _scaled_whole(bound.dtype, int(absolute), max(seen.largest, float(fill)))
        return
    # The fill value pads chunks at the edge, and is what else a chain has to be able to hold.
    padded = seen.join(seen_in(np.asarray([fill], bound.dtype)))
    yield from _scaled(bound.dtype, absolute, padded, float(fill), casts)
    if padded.finite and bound.dtype.itemsize in (4, 8) and 1 <= ndim <= 4 and get_codec("zfpy").available():
        yield Candidate(
            f"zfp, tolerance {absolute:.4g}", [{"id": "zfpy", "mode": 4, "tolerance": absolute}], coding=True, by_range=True
        )


def _absolute_for(bound: Bound, seen: Seen) -> float | int | None:
    """An absolute bound that implies all of `bound`; None or 0 where there is none."""
    if bound.keep_bits is not None:
        return None
    found: list[float | int] = []
    if bound.absolute is not None:
        found.append(bound.absolute)
    if bound.relative is not None:
        found.append(bound.relative * seen.smallest if math.isfinite(seen.smallest) else 0)
    return min(found, default=None)


def _scaled(dtype: DType, absolute: float, seen: Seen, fill: float, casts: bool) -> Iterator[Candidate]:
    """(x - offset) * scale, rounded to an integer that is as narrow as the range allows."""
    of = np.finfo(dtype)
    magnitude = max(abs(seen.least), abs(seen.largest))
    with np.errstate(all="ignore"):
        unit = float(np.spacing(dtype.type(magnitude)))
    # What may be off by the arithmetic of the dtype itself, on the way there and back.
    step = 2 * absolute * (1 - _MARGIN) - 4 * unit
    if not math.isfinite(step) or step <= absolute:
        return
    # With the fill value at 0 it comes back as it is, which `cast_value` asks for; else the middle takes the fewest levels.
    for offset in (*([fill] if math.isfinite(fill) else []), float(dtype.type(seen.least / 2 + seen.largest / 2))):
        levels = 2 * max(seen.largest - offset, offset - seen.least) / step + 2
        # Of so many levels, the arithmetic of the dtype still tells one from the next.
        integer = next((i for i, n in (("i1", 250), ("i2", 65000), ("i4", 1 << 31)) if levels < n), None)
        if integer is not None and levels <= 2.0 ** (int(of.nmant) - 6):
            break
    else:
        return
    with np.errstate(all="ignore"):
        scale = float(dtype.type(1 / step))
    if not math.isfinite(scale) or scale == 0:
        return
    kind = np.dtype("<" + integer)
    # `cast_value` wants the fill value back as it is.
    if casts and (offset == fill or not math.isfinite(fill)):
        info = np.iinfo(kind)
        ends = [["NaN", int(info.min)], ["-Infinity", int(info.min) + 1], ["Infinity", int(info.max)]]
        maps = {"encode": ends, "decode": [[number, name] for name, number in ends]}
        first: list[Any] = [
            {"name": "scale_offset", "configuration": {"offset": offset, "scale": scale}},
            {"name": "cast_value", "configuration": {"data_type": dtype_to_v3(kind), "scalar_map": maps}},
        ]
    elif seen.finite:
        first = [{"id": "fixedscaleoffset", "offset": offset, "scale": scale, "dtype": dtype.str, "astype": kind.str}]
    else:
        return
    yield from _integers(f"scaled to int{8 * kind.itemsize}", first, kind)


def _scaled_whole(dtype: DType, absolute: int, largest: float) -> Iterator[Candidate]:
    """Integers of at least 0, divided by the step. What numcodecs makes of them on the way back is cut off, not rounded, so
    that a quarter is added first."""
    step = 2 * absolute + 1
    levels = largest / step + 2
    kind = next((np.dtype(k) for k, n in (("u1", 255), ("<u2", 65535), ("<u4", 1 << 32)) if levels < n), None)
    if kind is None or kind.itemsize > dtype.itemsize or largest >= 2.0**50:
        return
    first = [{"id": "fixedscaleoffset", "offset": 0.25, "scale": 1 / step, "dtype": dtype.str, "astype": kind.str}]
    yield from _integers(f"scaled to uint{8 * kind.itemsize}", first, kind)


def _integers(what: str, first: Sequence[Any], kind: DType) -> Iterator[Candidate]:
    for name, tail in _Tails(kind):
        yield Candidate(f"{what}, {name}", tail, first, coding=True, by_range=True)
    for name, tail in _Tails(kind, ("shuffle", "bitshuffle") if kind.itemsize > 1 else ("bitshuffle", "zstd")):
        filters = [*first, {"id": "delta", "dtype": kind.str}]
        yield Candidate(f"{what}, delta, {name}", tail, filters, coding=True, by_range=True)
