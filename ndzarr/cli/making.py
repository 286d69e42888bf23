"""`ndzarr create` and `append`: new nodes, and values that come as an .npy file or stream."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, BinaryIO

import numpy as np

from ndzarr import api
from ndzarr._typing import NDArray, Shape
from ndzarr.cli import header
from ndzarr.cli.failures import UsageError
from ndzarr.cli.output import print_json, shows_progress
from ndzarr.cli.places import opened_store
from ndzarr.cli.values import read_npy
from ndzarr.dtypes.argument import dtype_argument
from ndzarr.errors import ArgumentError, NdzarrError
from ndzarr.memory import check_result
from ndzarr.progress import meter
from ndzarr.streaming import PIECE_NBYTES
from ndzarr.zarray import ZArray

#: What says how an array is stored; the parser leaves out of the namespace what is not given.
STORAGE = ("chunks", "shards", "access", "compressor", "filters", "fill_value", "order", "checksum")
#: What only an array has.
_OF_ARRAYS = ("data", "shape", "dtype", "dimension_names")
#: Rows of whole objects are kept together up to so many bytes, so that no object is written twice.
_MOST = 4 * PIECE_NBYTES


def create(given: argparse.Namespace) -> int:
    """A new group, or a new array, filled from FILE where that is given."""
    how: dict[str, Any] = {"attributes": dict(given.attribute), "zarr_format": given.zarr_format, "overwrite": given.overwrite}
    storage = {name: getattr(given, name) for name in STORAGE if hasattr(given, name)}
    if given.group:
        wrong = [name for name in _OF_ARRAYS if getattr(given, name) is not None] + list(storage)
        if wrong:
            raise UsageError(f"--{wrong[0].replace('_', '-')} is for arrays; leave it or --group out")
        with opened_store(given.store, "a", given.option) as store:
            told = header.told(api.create_group(store, path=given.node, **how), given)
        print(told)  # an archive is written when its store is closed
        return 0
    if given.data is None and given.shape is None:
        raise UsageError(
            "an array needs --shape, or --data with an .npy file (- is standard input); a group is made with --group"
        )
    try:
        wanted = None if given.dtype is None else dtype_argument(given.dtype)
    except TypeError as error:
        raise UsageError(f"--dtype {given.dtype}: {error}") from error
    source = nullcontext() if given.data is None else _stream(given.data)
    with source as file:
        shape, dtype, fortran = (given.shape, None, False) if file is None else read_npy(file, _name(given.data))
        if given.shape is not None and given.shape != shape:
            raise ArgumentError(f"--shape is {given.shape}, but {_name(given.data)} holds {shape}; leave --shape out")
        how |= {
            "shape": shape,
            "dtype": dtype if wanted is None else wanted,
            "dimension_names": given.dimension_names,
            **storage,
        }
        with opened_store(given.store, "a", given.option) as store:
            z = api.create_array(store, path=given.node, **how)
            if file is not None:
                try:
                    _fill(z, file, shape, np.dtype(dtype), fortran, given)
                except BaseException:
                    with suppress(NdzarrError):  # half of the values are worse than none
                        api.delete(store, given.node)
                    raise
            told = header.told(z, given)
    print(told)
    return 0


def _fill(z: ZArray, file: BinaryIO, shape: Shape, dtype: np.dtype[Any], fortran: bool, given: argparse.Namespace) -> None:
    # In Fortran order the stream is, in C order, that of the array with its axes reversed.
    order = shape[::-1] if fortran else shape
    step = z.object_borders()[-1 if fortran else 0].chunk if shape else 1
    with meter(shows_progress(given), math.prod(shape) * dtype.itemsize, "create") as told:
        for start, block in _slabs(file, order, dtype, _name(given.data), lambda start: step - start % step):
            rows = slice(start, start + len(block))
            if not shape:
                z[...] = block[0]
            else:
                z[(..., rows) if fortran else rows] = block.T if fortran else block
            told(block.nbytes)


def append(given: argparse.Namespace) -> int:
    """Add rows as they come, whole stored objects at a time."""
    with _stream(given.data) as file, opened_store(given.store, "r+", given.option) as store:
        z = api.open_array(store, "r+", path=given.node)
        name = _name(given.data)
        shape, dtype, fortran = read_npy(file, name)
        if not -z.ndim <= given.axis < z.ndim:
            raise ArgumentError(f"axis {given.axis} is out of bounds for an array of {z.ndim} dimensions", found=given.axis)
        axis = given.axis % z.ndim
        if len(shape) != z.ndim or any(a != b for k, (a, b) in enumerate(zip(shape, z.shape, strict=True)) if k != axis):
            raise ArgumentError(
                f"{name} holds values of shape {shape}, which cannot be added to shape {z.shape} along axis {axis}: all other "
                "axes must be equal",
                found=shape,
                expected=z.shape,
            )
        with meter(shows_progress(given), math.prod(shape) * dtype.itemsize, "append") as told:
            if (axis == 0 and not fortran) or len(shape) == 1:
                _append_rows(z, file, shape, dtype, name, told)
            else:
                # They do not come in the order in which they are added.
                check_result(math.prod(shape) * dtype.itemsize, f"adding {name}", "add along axis 0, or less at once")
                order = shape[::-1] if fortran else shape
                whole = _read(file, order, dtype, name)
                z.append(whole.T if fortran else whole, axis)
                told(whole.nbytes)
        found = {"store": store.url, "path": z.path, "shape": list(z.shape), "axis": axis, "added": shape[axis]}
        line = header.line(z)
    print_json(found) if given.json else print(line)
    return 0


def _append_rows(z: ZArray, file: BinaryIO, shape: Shape, dtype: np.dtype[Any], name: str, told: Callable[[int], None]) -> None:
    first, step, done = z.shape[0], z.object_borders()[0].chunk, 0
    try:
        for _, block in _slabs(file, shape, dtype, name, lambda start: step - (first + start) % step):
            z.append(block)
            done += len(block)
            told(block.nbytes)
    except Exception as error:
        if not done:
            raise
        raise ArgumentError(f"{error}; the first {done} of {shape[0]} rows were added, the others were not") from error


def _slabs(
    file: BinaryIO, shape: Shape, dtype: np.dtype[Any], name: str, to_border: Callable[[int], int]
) -> Iterator[tuple[int, NDArray]]:
    """(where it begins, block) for blocks of rows that follow each other; they end with stored objects where memory allows.

    to_border: how many rows there are from one to where its object ends.
    """
    if not shape:
        yield 0, _read(file, (1,), dtype, name)
        return
    row = max(1, math.prod(shape[1:]) * dtype.itemsize)
    start = 0
    while start < shape[0] or (start == 0 and not math.prod(shape)):
        count = to_border(start)
        if count * row > _MOST:
            count = max(1, _MOST // row)
        elif count * row < PIECE_NBYTES:
            step = to_border(start + count)
            count += max(0, (PIECE_NBYTES // row - count) // step) * step
        count = min(count, shape[0] - start)
        block = _read(file, (count, *shape[1:]), dtype, name)
        yield start, block
        start += count
        if not math.prod(shape):
            return


def _read(file: BinaryIO, shape: Shape, dtype: np.dtype[Any], name: str) -> NDArray:
    """So many elements, all of them; ArgumentError where the stream ends before."""
    found = np.empty(shape, dtype)
    room = found.reshape(-1).view(np.uint8).data if found.nbytes else memoryview(b"")
    done = 0
    while done < found.nbytes:
        data = file.read(min(len(room) - done, PIECE_NBYTES))
        if not data:
            raise ArgumentError(f"{name} ends too early: its header says more values than there are; nothing more was written")
        room[done : done + len(data)] = data
        done += len(data)
    return found


@contextmanager
def _stream(name: str) -> Iterator[BinaryIO]:
    if name != "-":
        with open(name, "rb") as file:
            yield file
        return
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal; pipe an .npy file into it, or name one with --data")
    yield sys.stdin.buffer


def _name(data: str) -> str:
    return "standard input" if data == "-" else repr(data)
