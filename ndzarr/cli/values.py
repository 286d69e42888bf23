"""Values of an array as text, as JSON and as an .npy stream, a piece at a time."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from ndzarr._typing import NDArray, Shape
from ndzarr.cli.failures import UsageError
from ndzarr.display import format_dtype
from ndzarr.errors import ArgumentError
from ndzarr.functions.cumulative import rows

#: Elements in C order, any number at a time.
Flat: TypeAlias = Iterator[NDArray]
#: The longest line of text.
_WIDTH = 100


def flat(view: Any) -> Flat:
    """The elements of a stored array, or of a view of one, in C order; reads no more at a time than memory allows."""
    if math.prod(view.shape):
        for box in rows(view, max(1, view.dtype.itemsize)):
            yield view.read_box(box).reshape(-1)


# ---- one element --------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """An element as JSON: what JSON has no word for as Zarr's fill values have it, or as text."""
    if isinstance(value, np.void) and value.dtype.names:
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (str, bool, np.bool_)):
        return value if value is None or isinstance(value, str) else bool(value)
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (bytes, np.void)):
        return value.tobytes().decode("latin-1") if isinstance(value, np.void) else value.decode("latin-1")
    if isinstance(value, (complex, np.complexfloating)):
        return [plain(float(value.real)), plain(float(value.imag))]
    try:
        number = float(str(value))  # by the shortest text: 0.1 of a float32 is 0.1
    except ValueError:
        return str(value)
    return number if math.isfinite(number) else "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"


def text_of(dtype: np.dtype[Any]) -> Callable[[Any], str]:
    """How an element of this dtype is printed."""
    if dtype.kind in "SUTO":
        return lambda value: repr(value.item() if isinstance(value, np.generic) else value)
    if dtype.kind == "V" and dtype.names is None:
        return lambda value: value.tobytes().hex() if isinstance(value, np.void) else str(value)
    return str


# ---- as text --------------------------------------------------------------------------------


def text_lines(shape: Shape, elements: Flat, dtype: np.dtype[Any], where: Callable[[Sequence[int]], str]) -> Iterator[str]:
    """Lines of values, each after where its first one is; a row of the last axis begins a line, and goes on below where long.

    where: the place of an element of the result, as it is printed.
    """
    length = shape[-1] if shape else 1
    text = text_of(dtype)
    right = dtype.kind in "biufc"
    done = 0
    for block in elements:
        words = [text(value) for value in block]
        width = min(max(map(len, words), default=0), 24) if right else 0
        at = 0
        while at < len(words):
            label = where([int(i) for i in np.unravel_index(done + at, shape)] if shape else [])
            room = max(1, (_WIDTH - len(label) - 2) // (width + 1)) if width else _fitting(words, at, _WIDTH - len(label) - 2)
            stop = min(len(words), at + room, at + length - (done + at) % length)
            yield f"{label}  {' '.join(word.rjust(width) for word in words[at:stop])}".rstrip()
            at = stop
        done += len(words)


def _fitting(words: Sequence[str], at: int, room: int) -> int:
    count = 0
    while at + count < len(words) and (count == 0 or len(words[at + count]) < room):
        room -= len(words[at + count]) + 1
        count += 1
    return count


def places(index: Any, shape: Shape) -> Callable[[Sequence[int]], str]:
    """Where in an array of `shape` an element of `z[index]` is, as "(3,0)".

    Of indices with more than one list it is the place in the result, and so it is with fields.
    """
    entries = list(index) if isinstance(index, tuple) else [index]
    lists = sum(isinstance(entry, list) for entry in entries)
    if lists > 1 or any(isinstance(entry, (str, bool)) for entry in entries) or (lists and not _simple(entries)):
        return _label
    used = sum(entry is not None and entry is not ... for entry in entries)
    if not any(entry is ... for entry in entries):
        entries.append(...)
    at = next(n for n, entry in enumerate(entries) if entry is ...)
    entries[at : at + 1] = [slice(None)] * (len(shape) - used)
    axes: list[range | list[int] | int | None] = []
    lengths = iter(shape)
    for entry in entries:
        if entry is None:
            axes.append(None)
            continue
        n = next(lengths)
        if isinstance(entry, int):
            axes.append(entry % n if n else 0)
        else:
            axes.append([i % n for i in entry] if isinstance(entry, list) else range(n)[entry])

    def where(spot: Sequence[int]) -> str:
        left = iter(spot)
        found = []
        for axis in axes:
            if isinstance(axis, int):
                found.append(axis)
            else:
                position = next(left)
                if axis is not None:
                    found.append(axis[int(position)])
        return _label(found)

    return where


def _simple(entries: Sequence[Any]) -> bool:
    """Whether a single list picks plain positions, and no ints or new axes move its axis to the front."""
    return all(isinstance(entry, slice) or entry is ... or isinstance(entry, list) for entry in entries) and all(
        type(i) is int for entry in entries if isinstance(entry, list) for i in entry
    )


def _label(spot: Sequence[int]) -> str:
    return f"({','.join(str(int(i)) for i in spot)})"


# ---- as JSON --------------------------------------------------------------------------------


def json_pieces(shape: Shape, elements: Flat) -> Iterator[str]:
    """The text of nested lists, piece by piece."""
    if not shape or not math.prod(shape):
        value = next(elements, None)
        yield json.dumps(np.empty(shape).tolist() if value is None else plain(value[0]), ensure_ascii=False)
        return
    behind = [math.prod(shape[axis:]) for axis in range(len(shape))]
    done = 0
    for block in elements:
        at = 0
        while at < len(block):
            stop = min(len(block), at + behind[-1] - (done + at) % behind[-1])
            opening = "[" * sum((done + at) % n == 0 for n in behind)
            closing = "]" * sum((done + stop) % n == 0 for n in behind)
            row = ", ".join([json.dumps(plain(value), ensure_ascii=False) for value in block[at:stop]])
            yield f"{', ' if done + at else ''}{opening}{row}{closing}"
            at = stop
        done += len(block)


# ---- as .npy --------------------------------------------------------------------------------


def write_npy(shape: Shape, elements: Flat, dtype: np.dtype[Any]) -> None:
    """Write an .npy file to standard output, which may not be a terminal. ArgumentError for a dtype that needs pickle."""
    if sys.stdout.isatty():
        raise UsageError("--npy writes bytes, and standard output is a terminal; redirect it: ndzarr dump --npy ... > FILE.npy")
    if dtype.hasobject or dtype.kind == "T":
        raise ArgumentError(f"an .npy file cannot hold {format_dtype(dtype)} without pickle; use --json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dtypes of other libraries, which come to nothing
        descr = np.lib.format.dtype_to_descr(dtype)
    if np.lib.format.descr_to_dtype(descr) != dtype:
        raise ArgumentError(f"an .npy file cannot hold {format_dtype(dtype)}; use --json")
    out = sys.stdout.buffer
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    try:
        np.lib.format.write_array_header_1_0(out, fields)
    except ValueError:  # a structure with many fields
        np.lib.format.write_array_header_2_0(out, fields)
    for block in elements:
        out.write(np.ascontiguousarray(block, dtype).tobytes())  # times have no buffer of their own
    out.flush()


def read_npy(file: BinaryIO, name: str) -> tuple[Shape, np.dtype[Any], bool]:
    """Shape, dtype and whether it is in Fortran order, from the header of an .npy stream; ArgumentError for anything else."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of the format, expected 1.0 or 2.0")
        form = np.lib.format
        shape, fortran, dtype = (form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0)(file)
    except (ValueError, EOFError) as error:
        raise ArgumentError(f"{name} is no .npy file: {error}; numpy.save makes one", found=name) from error
    if dtype.hasobject:
        raise ArgumentError(f"{name} holds pickled objects, which could run any code; save it with a plain dtype", found=name)
    return shape, dtype, fortran
