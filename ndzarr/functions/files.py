"""numpy.save, savez, savez_compressed and savetxt: stored arrays go to files of NumPy's, block by block in C order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ndzarr.functions.cumulative import rows
from ndzarr.functions.stand_ins import hollow
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import is_operand


def write_array(file: Any, array: Any, allow_pickle: bool) -> None:
    """Write an operand or an array as `numpy.lib.format.write_array` does."""
    if not is_operand(array):
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=allow_pickle)
        return
    fields = np.lib.format.header_data_from_array_1_0(hollow(array))
    fields["fortran_order"] = False
    try:
        np.lib.format.write_array_header_1_0(file, fields)
    except ValueError:  # more than 65535 bytes of header: very many fields
        np.lib.format.write_array_header_2_0(file, fields)
    for box in rows(array):
        file.write(array.read_box(box).tobytes())


def _plain(array: Any) -> None:
    """UnstreamedError for what cannot be written as bytes: NumPy pickles it, or refuses."""
    if not is_operand(array):
        return
    kind = array.dtype
    names = str(kind.fields or "")
    if kind.hasobject or kind.kind == "T" or not names.isascii():
        raise UnstreamedError


@contextmanager
def _opened(file: Any, ending: str) -> Iterator[Any]:
    """A file to write bytes to: an open one, or that of a path, which gets `ending` where it has not."""
    if hasattr(file, "write"):
        yield file
        return
    path = os.fspath(file)
    if not path.endswith(ending):
        path += ending
    with open(path, "wb") as opened:
        yield opened


@implements(np.save, kind="stream")
def save(file: Any, arr: Any, allow_pickle: bool = True, **kwargs: Any) -> None:
    """`numpy.save`."""
    _plain(arr)
    if kwargs:
        raise UnstreamedError
    with _opened(file, ".npy") as opened:
        write_array(opened, arr, allow_pickle)


def _saved(file: Any, args: tuple[Any, ...], named: dict[str, Any], compressed: bool, allow_pickle: bool) -> None:
    import zipfile  # only here: it takes milliseconds to import

    arrays = dict(named)
    for k, x in enumerate(args):
        if f"arr_{k}" in arrays:
            raise ValueError(f"Cannot use un-named variables and keyword arr_{k}")
        arrays[f"arr_{k}"] = x
    for x in arrays.values():
        _plain(x)
    if not hasattr(file, "write"):
        file = os.fspath(file)
        if not file.endswith(".npz"):
            file += ".npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, x in arrays.items():
            # Without `force_zip64` an entry that turns out longer than 4 GiB could not be closed.
            with archive.open(name + ".npy", "w", force_zip64=True) as entry:
                write_array(entry, x, allow_pickle)


@implements(np.savez, kind="stream")
def savez(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """`numpy.savez`."""
    _saved(file, args, kwds, False, allow_pickle)


@implements(np.savez_compressed, kind="stream")
def savez_compressed(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """`numpy.savez_compressed`."""
    _saved(file, args, kwds, True, allow_pickle)


@implements(np.savetxt, kind="stream")
def savetxt(
    fname: Any,
    X: Any,  # noqa: N803  # NumPy's name
    fmt: Any = "%.18e", delimiter: str = " ", newline: str = "\n", header: str = "",
    footer: str = "", comments: str = "# ", encoding: Any = None,
) -> None:  # fmt: skip
    """`numpy.savetxt`: rows of a block at a time."""
    if not is_operand(X) or len(X.shape) not in (1, 2):
        raise UnstreamedError
    boxes = list(rows(X))
    if not boxes or (len(X.shape) == 2 and boxes[0][1].stop - boxes[0][1].start < X.shape[1]):
        raise UnstreamedError  # parts of rows
    if hasattr(fname, "write"):
        _written(fname, X, boxes, fmt, delimiter, newline, header, footer, comments, encoding)
        return
    path = os.fspath(fname)
    if path.endswith((".gz", ".bz2", ".xz", ".lzma")):
        raise UnstreamedError
    with open(path, "w", encoding=encoding or "latin1") as opened:
        _written(opened, X, boxes, fmt, delimiter, newline, header, footer, comments, encoding)


def _written(
    file: Any, array: Any, boxes: list[Any], fmt: Any, delimiter: str, newline: str, header: str, footer: str, comments: str,
    encoding: Any,
) -> None:  # fmt: skip
    for k, box in enumerate(boxes):
        np.savetxt(
            file,
            array.read_box(box),
            fmt,
            delimiter,
            newline,
            header if k == 0 else "",
            footer if k == len(boxes) - 1 else "",
            comments,
            encoding,
        )
