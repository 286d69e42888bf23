"""What nodes look like in print; nothing here reads data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the nodes know how to show themselves, so at run time the arrow points the other way
    from ndzarr.group import Group
    from ndzarr.zarray import ZArray

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def format_nbytes(nbytes: int) -> str:
    """A size for people.

    >>> format_nbytes(1536)
    '1.5 KiB'
    """
    size = float(nbytes)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{nbytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError  # the loop returns at the last unit


def array_repr(z: ZArray) -> str:
    """One line: shape, chunks, dtype, path and store."""
    return f"<ndzarr.ZArray {z.path or '/'} shape={z.shape} chunks={z.chunks} dtype={_dtype(z.dtype)} in {z.store.url}>"


def group_repr(g: Group) -> str:
    """One line: path and store. Members are not listed, since that costs requests."""
    return f"<ndzarr.Group {g.path or '/'} in {g.store.url}>"


def _dtype(dtype: Any) -> str:
    return str(dtype) if dtype.names is None else "[" + ", ".join(f"{n}: {dtype[n]}" for n in dtype.names) + "]"


class Info:
    """Rows of names and values, printed as a table."""

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.rows)


def array_info(z: ZArray) -> Info:
    """What an array is and how it is stored. Lists the store once and asks it for the size of each chunk object."""
    codecs = " -> ".join(
        spec.name.removeprefix("numcodecs.") + (f"({_settings(spec.configuration)})" if spec.configuration else "")
        for spec in z.metadata.codecs
    )
    stored = z.nbytes_stored
    ratio = f" (ratio {z.nbytes / stored:.1f})" if stored else ""
    rows = [
        ("path", z.path or "/"),
        ("store", z.store.url),
        ("format", f"Zarr {z.zarr_format}"),
        ("shape", str(z.shape)),
        ("chunks", f"{z.chunks}, {z.nchunks} in all"),
        ("dtype", _dtype(z.dtype)),
        ("order", z.order),
        ("fill value", _scalar(z.fill_value)),
        ("codecs", codecs or "none"),
        ("size", format_nbytes(z.nbytes)),
        ("stored", format_nbytes(stored) + ratio),
    ]
    return Info(rows)


def _scalar(value: Any) -> str:
    # A NumPy number names its type, which stands two lines above.
    return repr(value.item() if isinstance(value, (np.number, np.bool_)) else value)


def _settings(configuration: Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in configuration.items())


class Tree:
    """A hierarchy, printed with one line a node."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def __repr__(self) -> str:
        return "\n".join(self.lines)


def tree(g: Group) -> Tree:
    """The nodes below a group."""
    return Tree([g.path or "/", *_branches(g, "")])


def _branches(g: Any, indent: str) -> Iterator[str]:
    members = list(g.members())
    for n, (name, node) in enumerate(members):
        last = n == len(members) - 1
        branch = f"{indent}{'└── ' if last else '├── '}{name}"
        if hasattr(node, "shape"):
            yield f"{branch} {node.shape} {_dtype(node.dtype)}"
        else:
            yield branch
            yield from _branches(node, indent + ("    " if last else "│   "))
