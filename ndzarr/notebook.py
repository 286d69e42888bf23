"""Arrays and groups in a notebook: HTML without scripts, in light and dark, everything escaped; no chunk is read."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from ndzarr import display, gridpicture, treeview
from ndzarr.treeview import escape

if TYPE_CHECKING:  # the nodes know how to show themselves, so at run time the arrow points the other way
    from ndzarr.group import Group
    from ndzarr.zarray import ZArray

#: A listing ends after so many objects, or so long: a notebook shows this whenever a cell ends with an array.
_OBJECTS, _SECONDS = 20_000, 0.5
#: Sizes are asked for one by one where the store knows no better.
_SIZES = 500
#: So many nodes of a group are shown.
_NODES = 200

_STYLE = """<style>
.ndzarr-array {display: flex; flex-wrap: wrap; gap: 0 2em; align-items: flex-start; color: inherit; font-size: 0.9em}
.ndzarr-array table {border: none; border-collapse: collapse; margin: 0; font: inherit; color: inherit}
.ndzarr-array caption {text-align: left; padding: 0 0 0.3em; color: inherit; caption-side: top}
.ndzarr-array caption b {font-weight: 600}
.ndzarr-array td, .ndzarr-array th, .ndzarr-array tr {border: none; background: none; color: inherit}
.ndzarr-array td, .ndzarr-array th {padding: 0.1em 1em 0.1em 0; text-align: left; vertical-align: top; font-weight: normal}
.ndzarr-array th {opacity: 0.7; white-space: nowrap}
.ndzarr-array td {font-family: ui-monospace, monospace; overflow-wrap: anywhere; max-width: 34em}
.ndzarr-array details {margin-top: 0.3em}
.ndzarr-array details summary {cursor: pointer; opacity: 0.7}
.ndzarr-array svg text {fill: currentColor; font-size: 11px; opacity: 0.8}
.ndzarr-array svg .face {fill: rgba(128, 128, 128, 0.08)}
.ndzarr-array svg .line {fill: none; stroke: currentColor; stroke-opacity: 0.35; stroke-width: 0.6}
.ndzarr-array svg .edge {fill: none; stroke: currentColor; stroke-opacity: 0.8; stroke-width: 1.2}
.ndzarr-array .scale {opacity: 0.7; font-size: 0.9em; text-align: center}
</style>"""


def array_html(z: ZArray) -> str:
    """A table of what the array is and how it is stored, a picture of its chunk grid, the attributes folded away."""
    found = _Stored(z)
    rows = [*_rows(z), *found.rows()]
    table = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    caption = f"<caption><b>ndzarr.ZArray</b> {escape(z.path or '/')}</caption>"
    picture = gridpicture.picture(z._engine.layout.objects.axes, found.cells)
    scale = f'<div class="scale">{escape(found.scale())}</div>' if picture else ""
    return (
        f'{_STYLE}\n<div class="ndzarr-array"><div><table>{caption}{table}</table>{_attributes(z)}</div>'
        f"<div>{picture}{scale}</div></div>"
    )


def group_html(g: Group) -> str:
    """The hierarchy below the group, which folds; of a large one the first nodes."""
    nodes = g._nodes(None)
    some = list(islice(nodes, _NODES + 1))
    more = "" if len(some) <= _NODES else f"<div>... and more: only the first {_NODES} nodes are shown</div>"
    shown = treeview.tree(g, some[:_NODES])._repr_html_()
    return f"<div><b>ndzarr.Group</b> {escape(g.path or '/')} in {escape(g.store.url)}</div>{shown}{more}"


def inline(z: ZArray, max_width: int) -> str:
    """What xarray shows of the array on one line, in at most `max_width` characters."""
    chunks, shards = display.grid_lengths(z)
    codec = z._meta.codecs[-1].name if z._meta.codecs else ""
    told = [
        f"chunks={chunks}",
        *([f"shards={shards}"] if shards else []),
        *([codec.removeprefix("numcodecs.")] if codec else []),
    ]
    while told:
        text = f"ndzarr.ZArray<{', '.join(told)}>"
        if len(text) <= max_width:
            return text
        told.pop()
    return "ndzarr.ZArray"[:max_width]


def _rows(z: ZArray) -> Iterator[tuple[str, str]]:
    chunks, shards = display.grid_lengths(z)
    yield "shape", str(z.shape)
    if z.dimension_names is not None:
        yield "dimensions", ", ".join("-" if name is None else name for name in z.dimension_names)
    yield "chunks", chunks
    if shards is not None:
        yield "shards", shards
    yield "dtype", display.format_dtype(z.dtype)
    yield "fill value", display.format_scalar(z.fill_value)
    # An arrow of two characters would be broken in two at the end of a line.
    yield "codecs", display.format_codecs(z._meta.codecs).replace(" -> ", " → ") or "none"
    yield "format", f"Zarr {z.zarr_format}, order {z.order}"
    yield "store", z.store.url


def _attributes(z: ZArray) -> str:
    rows = treeview.attribute_rows(z)
    if not rows:
        return ""
    table = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return treeview.attributes_html(len(rows), table)


class _Stored:
    """Which objects there are, as far as a listing of limited length tells, and how many bytes they take."""

    def __init__(self, z: ZArray) -> None:
        self._array = z
        engine = z._engine
        self._axes = engine.layout.objects.axes
        deadline = time.monotonic() + _SECONDS
        self.coords: list[Any] = []
        self.complete = True
        self.failed = False
        try:
            for spot in engine.stored():
                self.coords.append(spot)
                if len(self.coords) >= _OBJECTS or time.monotonic() > deadline:
                    self.complete = False
                    break
            inside = [c for c in self.coords if all(i < axis.count for i, axis in zip(c, self._axes, strict=True))]
            self.nbytes = 0
            self.weighed = 0
            for spot in inside[:_SIZES]:
                self.nbytes += engine.size(spot) or 0
                self.weighed += 1
                if time.monotonic() > deadline + _SECONDS:
                    break
            self.coords = inside
        except OSError:
            # A store that cannot list (or not now) is no reason to show nothing of the array.
            self.failed, self.complete, self.coords = True, False, []

    @property
    def cells(self) -> Any:
        """What is written, for the picture; None where that is not known."""
        return gridpicture.cells(self._axes, self.coords) if self.complete else None

    def scale(self) -> str:
        """What the shades of the picture mean."""
        if not self.complete:
            return "chunk grid"
        what = "chunks" if self._array.shards is None else "shards"
        return f"shaded: {what} that exist"

    def rows(self) -> Iterator[tuple[str, str]]:
        z, count = self._array, self._array._engine.layout.objects.nchunks
        what = "chunks" if z.shards is None else "shards"
        flexible = z.dtype.hasobject or z.dtype.kind == "T"
        yield "size", f"{z.size} elements of any length" if flexible else display.format_nbytes(z.nbytes)
        if self.failed:
            yield f"{what} written", "unknown: the store could not be listed"
            return
        if not self.complete:
            yield f"{what} written", f"{len(self.coords):,} or more of {count:,}"
            return
        share = f" ({100 * len(self.coords) / count:.3g} %)" if count else ""
        yield f"{what} written", f"{len(self.coords):,} of {count:,}{share}"
        about = "about " if self.weighed < len(self.coords) else ""
        stored = round(self.nbytes * len(self.coords) / self.weighed) if self.weighed else 0
        yield "stored", about + display.format_nbytes(stored)
        if stored and not flexible:
            # Of what is written: chunks that are not cost nothing, and say nothing of how well the codecs do.
            elements = sum(math.prod([a.valid(c) for a, c in zip(self._axes, spot, strict=True)]) for spot in self.coords)
            whole = elements * z.itemsize
            yield "ratio", f"{about}{whole / stored:.1f}" + ("" if len(self.coords) == count else f" of the {what} written")
