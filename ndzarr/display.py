"""What nodes look like in print; nothing here reads data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ndzarr._typing import CodecSpec
from ndzarr.grid import Axis, EdgesAxis

if TYPE_CHECKING:  # the nodes know how to show themselves, so at run time the arrow points the other way
    from ndzarr.group import Group
    from ndzarr.zarray import ZArray

#: So many chunk lengths of one axis are listed; of more only their number and range.
_LISTED = 8

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
    """One line: shape, chunks, shards if there are any, dtype, path and store."""
    chunks, shards = grid_lengths(z)
    told = f"shape={z.shape} chunks={chunks}" + ("" if shards is None else f" shards={shards}")
    return f"<ndzarr.ZArray {z.path or '/'} {told} dtype={format_dtype(z.dtype)} in {z.store.url}>"


def grid_lengths(z: ZArray) -> tuple[str, str | None]:
    """The lengths of chunks, and of shards if there are any, however many there are."""
    layout = z._engine.layout
    objects = format_lengths(layout.objects.axes)
    return (objects, None) if layout.grid is layout.objects else (format_lengths(layout.grid.axes), objects)


def format_lengths(axes: Sequence[Axis]) -> str:
    """The chunk lengths of each axis, as a tuple is printed; where they differ those of all chunks, or how many there are.

    >>> from ndzarr.grid import Edges, Grid
    >>> format_lengths(Grid.of((90, 50), (Edges.of([31, 28, 31]), 10)).axes)
    '([31, 28, 31], 10)'
    >>> format_lengths(Grid.of((10**9,), (Edges(((1, 10), (3, 10**12))),)).axes)
    '(333333340 of 1 to 3,)'
    """
    shown = [_lengths(axis) for axis in axes]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _lengths(axis: Axis) -> str:
    if not isinstance(axis, EdgesAxis):
        return str(axis.chunk)
    if axis.count <= _LISTED:
        return str([axis.size(n) for n in range(axis.count)])
    start, found = 0, []
    for length, count in axis.edges.runs:
        if start < axis.length:
            found.append(length)
        start += length * count
    return f"{axis.count} of {min(found)}" + (f" to {max(found)}" if min(found) != max(found) else "")


def group_repr(g: Group) -> str:
    """One line: path and store. Members are not listed, since that costs requests."""
    return f"<ndzarr.Group {g.path or '/'} in {g.store.url}>"


def format_dtype(dtype: Any) -> str:
    """A dtype as people write it; a structure as its fields."""
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
    chunks, shards = grid_lengths(z)
    stored = z.nbytes_stored
    rows = [
        ("path", z.path or "/"),
        ("store", z.store.url),
        ("format", f"Zarr {z.zarr_format}"),
        ("shape", str(z.shape)),
        ("chunks", f"{chunks}, {z.nchunks} in all"),
        ("dtype", format_dtype(z.dtype)),
        ("order", z.order),
        ("fill value", format_scalar(z.fill_value)),
        ("codecs", format_codecs(z._meta.codecs) or "none"),
    ]
    if shards is not None:
        rows.insert(5, ("shards", f"{shards}, {z._engine.layout.objects.nchunks} in all"))
    if z.dimension_names is not None:
        rows.insert(4, ("dimensions", ", ".join("-" if name is None else name for name in z.dimension_names)))
    if z.dtype.hasobject or z.dtype.kind == "T":
        # What an element holds is somewhere else: the array knows only the size of the place that points to it.
        return Info([*rows, ("size", f"{z.size} elements of any length"), ("stored", format_nbytes(stored))])
    ratio = f" (ratio {z.nbytes / stored:.1f})" if stored else ""
    return Info([*rows, ("size", format_nbytes(z.nbytes)), ("stored", format_nbytes(stored) + ratio)])


def format_scalar(value: Any) -> str:
    """A scalar as Python prints it, without the name of its type."""
    # A NumPy number names its type, which stands two lines above. A timedelta64 is a number to NumPy, and NaT no Python value.
    if isinstance(value, np.void) and value.dtype.names:
        return str(value)
    plain = isinstance(value, (np.number, np.bool_, np.character)) and not isinstance(value, np.timedelta64)
    return str(value) if isinstance(value, (np.datetime64, np.timedelta64)) else repr(value.item() if plain else value)


def format_codecs(specs: Sequence[CodecSpec]) -> str:
    """A chain of codecs in encoding order, "" for none."""
    return " -> ".join(_codec(spec.name, spec.configuration) for spec in specs)


def _codec(name: str, configuration: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{field}={_setting(field, value)}" for field, value in configuration.items())
    return name.removeprefix("numcodecs.") + (f"({settings})" if settings else "")


def _setting(field: str, value: Any) -> str:
    """A setting as Python prints it; a chain inside a codec as a chain."""
    if not field.endswith("codecs") or not isinstance(value, (list, tuple)):
        return repr(value)
    inner = [
        _codec(codec["name"], codec.get("configuration", {})) if isinstance(codec, Mapping) else str(codec) for codec in value
    ]
    return f"[{' -> '.join(inner)}]"
