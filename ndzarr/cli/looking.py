"""`ndzarr info`, `tree` and `ls`: what there is, from metadata alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from ndzarr import display
from ndzarr.cli import header
from ndzarr.cli.failures import named
from ndzarr.cli.output import Style, print_columns, print_json, print_rows, shown
from ndzarr.cli.places import opened, opened_group
from ndzarr.errors import MetadataError
from ndzarr.group import Group
from ndzarr.treeview import Branch
from ndzarr.zarray import ZArray


def info(given: argparse.Namespace) -> int:
    """What a node is: its header first, then what takes a listing."""
    with opened(given) as node:
        if given.json:
            found = header.document(node, listed=not given.no_list)
            print_json(found)
            return _tell_of(len(found.get("damaged", ())), given)
        style = Style(given)
        print_rows(header.rows(node), style)
        sys.stdout.flush()  # a listing of a large store may take a while
        if isinstance(node, ZArray) and not given.no_list:
            print_rows(header.stored_rows(node), style)
        header.print_attributes(node, style)
        return _tell_of(0 if isinstance(node, ZArray) else _print_members(node, style), given)


def _print_members(group: Group, style: Style) -> int:
    """The direct members, below a heading; how many of them cannot be opened."""
    members = list(group._nodes(0))
    print(style("cyan", "members") + ("" if members else "  none"))
    lines = [_line(name, member, long=False) for name, member in members]
    print_columns([["", *line] for line in lines], [None, *_looks(long=False)], style)
    return sum(isinstance(member, MetadataError) for _, member in members)


def ls(given: argparse.Namespace) -> int:
    """One line a node; 1 where one of them cannot be opened."""
    with opened(given) as node:
        found: list[tuple[str, Any]] = [(node.path.rpartition("/")[2] or "/", node)]
        if isinstance(node, Group):
            found = list(node._nodes(None if given.recursive else 0))
        damaged = sum(isinstance(member, MetadataError) for _, member in found)
        if given.json:
            members = [{"name": name, **header.member(member, listed=given.long)} for name, member in found]
            print_json({"store": node.store.url, "path": node.path, "members": members})
        else:
            print_columns([_line(name, member, given.long) for name, member in found], _looks(given.long), Style(given))
    return _tell_of(damaged, given)


def _looks(long: bool) -> list[str | None]:
    return ["bold", None, "cyan", "dim", *(["dim", None, "dim"] if long else [])]


def _line(name: str, member: Any, long: bool) -> list[str]:
    if isinstance(member, MetadataError):
        cells = [name, "cannot be opened", "", ""]
    elif isinstance(member, Group):
        cells = [f"{name}/", "group", "", ""]
    else:
        chunks, shards = display.grid_lengths(member)
        cells = [name, str(member.shape), display.format_dtype(member.dtype), f"chunks {chunks}"]
        if long:
            codecs = " -> ".join(header.codec_names(member)) or "none"
            return [*cells, f"shards {shards}" if shards else "", _stored(member), codecs]
    return [*cells, "", "", ""] if long else cells


def _stored(z: ZArray) -> str:
    found = header.stored(z)
    return "?" if found is None else display.format_nbytes(found[1])


def tree(given: argparse.Namespace) -> int:
    """The hierarchy under a group; 1 where a node in it cannot be opened."""
    with opened_group(given) as group:
        depth = None if given.depth is None else given.depth - 1
        if given.json:
            nodes = list(group._nodes(depth))
            print_json({"store": group.store.url, "path": group.path, **_nested(group, nodes)})
            return _tell_of(sum(isinstance(node, MetadataError) for _, node in nodes), given)
        root = group.tree(depth).root
    style = Style(given)
    print(style("blue", root.name))
    for line in _lines(root, "", style):
        print(line)
    return _tell_of(_damaged(root), given)


def _lines(branch: Branch, indent: str, style: Style) -> Iterator[str]:
    for n, child in enumerate(branch.below):
        last = n == len(branch.below) - 1
        name = style("red" if child.damaged else "blue" if child.group else "bold", shown(child.name))
        chunks = dict(child.rows).get("chunks")
        more = f"{' ' + child.what if child.what else ''}{style('dim', ' in chunks of ' + chunks) if chunks else ''}"
        yield f"{style('dim', indent + ('└── ' if last else '├── '))}{name}{more}"
        yield from _lines(child, indent + ("    " if last else "│   "), style)


def _damaged(branch: Branch) -> int:
    return branch.damaged + sum(_damaged(child) for child in branch.below)


def _nested(group: Group, nodes: list[tuple[str, Any]]) -> dict[str, Any]:
    root: dict[str, Any] = {**header.member(group), "members": {}}
    found = {"": root}
    for path, node in nodes:
        above, _, name = path.rpartition("/")
        found[path] = header.member(node)
        if isinstance(node, Group):
            found[path]["members"] = {}
        found[above]["members"][name] = found[path]
    return root


def _tell_of(damaged: int, given: argparse.Namespace) -> int:
    if damaged:
        what = "1 node" if damaged == 1 else f"{damaged} nodes"
        print(f"ndzarr: {what} cannot be opened; `ndzarr check {named(given.store)}` says why", file=sys.stderr)
    return 1 if damaged else 0
