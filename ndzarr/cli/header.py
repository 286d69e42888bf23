"""What is said of a node before any value: as rows for people, and as JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ndzarr import display
from ndzarr.cli.output import Style, finite, json_text, print_rows
from ndzarr.cli.values import plain
from ndzarr.errors import MetadataError, StoreError
from ndzarr.group import Group
from ndzarr.zarray import ZArray

#: A longer attribute is cut.
_LONGEST = 400


def rows(node: ZArray | Group) -> list[tuple[str, str]]:
    """What the metadata say."""
    if isinstance(node, Group):
        how = ", consolidated" if node.consolidated else ""
        return [("path", node.path or "/"), ("store", node.store.url), ("format", f"Zarr {node.zarr_format}{how}")]
    chunks, shards = display.grid_lengths(node)
    found = [
        ("path", node.path or "/"),
        ("store", node.store.url),
        ("format", f"Zarr {node.zarr_format}"),
        ("shape", str(node.shape)),
        ("chunks", f"{chunks}, {node.nchunks} in all"),
        ("dtype", display.format_dtype(node.dtype)),
        ("order", node.order),
        ("fill value", display.format_scalar(node.fill_value)),
        ("codecs", display.format_codecs(node.metadata.codecs) or "none"),
        ("size", display.format_nbytes(node.nbytes) if _is_sized(node) else f"{node.size} elements of any length"),
    ]
    if shards is not None:
        found.insert(5, ("shards", f"{shards}, {node._engine.layout.objects.nchunks} in all"))
    if node.dimension_names is not None:
        found.insert(4, ("dimensions", ", ".join("-" if name is None else name for name in node.dimension_names)))
    return found


def _is_sized(z: ZArray) -> bool:
    """Whether all elements lie in the array itself, and are no pointers to something of any length."""
    return not z.dtype.hasobject and z.dtype.kind != "T"


def stored(z: ZArray) -> tuple[int, int] | None:
    """How many objects of the grid are stored, and the bytes of all; None of a store that cannot be listed, as a web server.

    One listing, and a look at each for its size.
    """
    objects, count, nbytes = z._engine.layout.objects, 0, 0
    try:
        for coords in z._engine.stored():
            count += coords in objects
            nbytes += z._engine.size(coords) or 0
    except StoreError:
        return None
    return count, nbytes


def stored_rows(z: ZArray) -> list[tuple[str, str]]:
    """What is stored."""
    found = stored(z)
    if found is None:
        return [("stored".ljust(10), "unknown, since the store cannot be listed")]
    count, nbytes = found
    _, shards = display.grid_lengths(z)
    ratio = f" (ratio {z.nbytes / nbytes:.1f})" if nbytes and _is_sized(z) else ""
    what = "chunks" if shards is None else "shards"
    # As wide as the longest of the names above.
    return [
        ("stored".ljust(10), display.format_nbytes(nbytes) + ratio),
        ("written".ljust(10), f"{count} of {z._engine.layout.objects.nchunks} {what}"),
    ]


def told(node: ZArray | Group, given: argparse.Namespace) -> str:
    """What was made, as `--json` or in a line: to be printed when the store is closed, and an archive is written."""
    return json_text(document(node)) if given.json else line(node)


def line(node: ZArray | Group) -> str:
    """What a node is, in one line."""
    where = f"{node.path or '/'} in {node.store.url}"
    if isinstance(node, Group):
        return f"group {where}"
    chunks, shards = display.grid_lengths(node)
    inside = "" if shards is None else f" in shards of {shards}"
    return f"array {where}: {node.shape} {display.format_dtype(node.dtype)}, chunks of {chunks}{inside}"


def print_attributes(node: ZArray | Group, style: Style, indent: str = "") -> None:
    """One attribute a line, below a heading; nothing where there are none."""
    if node.attrs:
        print(indent + style("cyan", "attributes"))
        print_rows([(name, _short(finite(value))) for name, value in node.attrs.items()], style, indent=f"{indent}  ")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


# ---- as JSON --------------------------------------------------------------------------------


def document(node: ZArray | Group, *, listed: bool = False) -> dict[str, Any]:
    """All of it: `info --json`."""
    found = {"store": node.store.url, "path": node.path, **member(node, listed=listed)}
    if isinstance(node, Group):
        members = list(node._nodes(0))
        found["consolidated"] = node.consolidated
        for what, kind in (("arrays", ZArray), ("groups", Group), ("damaged", MetadataError)):
            found[what] = [name for name, inner in members if isinstance(inner, kind)]
    return found


def member(node: ZArray | Group | MetadataError, *, listed: bool = False) -> dict[str, Any]:
    """What the metadata say of a node; with `listed`, what is stored too."""
    if isinstance(node, MetadataError):
        return {"kind": "damaged", "error": str(node)}
    attributes = finite(dict(node.attrs))
    if isinstance(node, Group):
        return {"kind": "group", "zarr_format": node.zarr_format, "attributes": attributes}
    found = {
        "kind": "array",
        "zarr_format": node.zarr_format,
        "shape": list(node.shape),
        "dtype": display.format_dtype(node.dtype),
        "chunks": finite(node.chunks),
        "shards": finite(node.shards),
        "order": node.order,
        "fill_value": plain(node.fill_value),
        "dimension_names": None if node.dimension_names is None else list(node.dimension_names),
        "codecs": [{"name": s.name, "configuration": finite(dict(s.configuration))} for s in node.metadata.codecs],
        "nchunks": node.nchunks,
        "nbytes": node.nbytes if _is_sized(node) else None,
        "attributes": attributes,
    }
    if listed:
        found["nobjects_stored"], found["nbytes_stored"] = stored(node) or (None, None)
        found["nobjects"] = node._engine.layout.objects.nchunks
    return found


def codec_names(z: ZArray) -> list[str]:
    """The names of a chain of codecs; of a shard's, those of its chunks."""
    found = []
    for spec in z.metadata.codecs:
        inner = spec.configuration.get("codecs") if spec.name == "sharding_indexed" else None
        names = [c["name"] for c in inner] if isinstance(inner, (list, tuple)) else [spec.name]
        found += [name.removeprefix("numcodecs.") for name in names]
    return [name for name in found if name != "bytes"]
