"""`ndzarr head`, `dump` and `explain`: values, and what it costs to read them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from ndzarr import display
from ndzarr.cli import arguments, header, values
from ndzarr.cli.failures import UsageError
from ndzarr.cli.output import Style, print_json, print_rows
from ndzarr.cli.places import opened, opened_array
from ndzarr.errors import ArgumentError, NdzarrError
from ndzarr.group import Group
from ndzarr.zarray import ZArray

#: So many bytes of decoded chunks are kept, since rows that follow each other lie in the same ones.
_CACHE = "128MiB"


def head(given: argparse.Namespace) -> int:
    """The first rows and columns, at 0 along all axes but the last two."""
    with opened_array(given) as z:
        corner = (slice(0, given.rows), slice(0, given.columns))
        index = (*[0] * (z.ndim - 2), *corner) if z.ndim > 1 else corner[:1] if z.ndim else ()
        if given.npy:
            _write_npy(z, index)
        elif given.json:
            _print_json(z, index)
        else:
            print(f"{Style(given)('bold', z.path or '/')} {z.shape} {display.format_dtype(z.dtype)} {arguments.spelled(index)}")
            _print_values(z, index)
    return 0


def dump(given: argparse.Namespace) -> int:
    """Headers, and the values after them."""
    with opened(given, chunk_cache=None if given.header else _CACHE) as node:
        if given.npy:
            if isinstance(node, Group):
                raise UsageError(f"--npy takes an array, and {node.path or '/'!r} is a group; name one of its arrays as NODE")
            _write_npy(node, given.index)
            return 0
        if isinstance(node, Group) and given.index is not ...:
            raise UsageError(f"--index takes an array, and {node.path or '/'!r} is a group; name one of its arrays as NODE")
        nodes: list[ZArray | Group] = [node]
        if isinstance(node, Group):
            nodes += [member for _, member in node.members(None, damaged="raise")]
        if not given.json:
            _dump_text(nodes, given)
        elif isinstance(node, ZArray):
            if given.header:
                print_json(header.document(node))
            else:
                _print_json(node, given.index)
        else:
            _dump_json(node, nodes, given.header)
    return 0


def _dump_text(nodes: list[ZArray | Group], given: argparse.Namespace) -> None:
    style = Style(given)
    if isinstance(nodes[0], ZArray):
        nodes[0].lazy[given.index]  # an index that is out of bounds is told before anything is printed
    for n, node in enumerate(nodes):
        if n:
            print()
        print(style("bold", f"{'group' if isinstance(node, Group) else 'array'} {node.path or '/'}"))
        print_rows(header.rows(node)[1 if n == 0 else 2 :], style, indent="  ")  # the store is that of the first
        header.print_attributes(node, style, indent="  ")
        if isinstance(node, ZArray) and not given.header:
            print(style("cyan", "  values" + ("" if given.index is ... else f" {arguments.spelled(given.index)}")))
            sys.stdout.flush()
            _print_values(node, given.index, indent="    ")


def _dump_json(group: Group, nodes: list[ZArray | Group], headers: bool) -> None:
    print(f'{{"store": {json.dumps(group.store.url)}, "path": {json.dumps(group.path)}, "nodes": [')
    for n, node in enumerate(nodes):
        print(", " if n else "  ", end="")
        if isinstance(node, Group) or headers:
            print(json.dumps({"path": node.path, **header.member(node)}, ensure_ascii=False, allow_nan=False))
        else:
            _print_json(node, ...)
    print("]}")


def _print_values(z: ZArray, index: Any, indent: str = "") -> None:
    view = z.lazy[index]
    for line in values.text_lines(view.shape, values.flat(view), view.dtype, values.places(index, z.shape)):
        print(indent + line)


def _print_json(z: ZArray, index: Any) -> None:
    """The header and the values as one document; the values piece by piece."""
    view = z.lazy[index]
    about = {"path": z.path, **header.member(z), "index": arguments.spelled(index)}
    pieces = values.json_pieces(view.shape, values.flat(view))
    first = next(pieces)  # what cannot be read is told before anything is printed, where it is of the first piece
    print(json.dumps(about, ensure_ascii=False, allow_nan=False)[:-1], end=f', "data": {first}')
    for piece in pieces:
        print(piece, end="")
    print("}")


def _write_npy(z: ZArray, index: Any) -> None:
    view = z.lazy[index]
    values.write_npy(view.shape, values.flat(view), view.dtype)


def explain(given: argparse.Namespace) -> int:
    """What a read, or a reduction, would cost."""
    text = given.index
    if text is None and arguments.is_index(given.node):
        given.node, text = "", given.node
    if text is not None and given.function is not None:
        raise UsageError("--function takes the whole array; leave the index out")
    with opened_array(given) as z:
        if given.function is None:
            told = z.explain(... if text is None else _index(text))
        else:
            told = _explained(z, given.function, {} if given.axis is None else {"axis": given.axis})
        if given.json:
            found = {"amplification": round(told.amplification, 3), **asdict(told)}
            what = {"function": given.function} if given.function else {"index": text or "[...]"}
            print_json({"store": z.store.url, "path": z.path, **what, **found})
        else:
            print(told)
    return 0


def _explained(z: ZArray, name: str, axis: dict[str, int]) -> Any:
    function = _reduction(name)
    try:
        return z.explain(function, **axis)
    except NdzarrError:
        raise
    except (
        TypeError,
        ValueError,
        AttributeError,
    ) as error:  # what NumPy says of an axis, and of arguments that a command line cannot give
        raise ArgumentError(f"cannot explain {name} of {z.path or '/'!r}: {error}", found=name) from error


def _index(text: str) -> Any:
    try:
        return arguments.index(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from None


def _reduction(name: str) -> Any:
    found = getattr(np, name, None) if name.isidentifier() and not name.startswith("_") else None
    if not callable(found) or isinstance(found, type):
        raise ArgumentError(f"{name!r} is no function of NumPy's; expected a reduction such as mean, sum or max", found=name)
    return found
