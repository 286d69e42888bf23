"""`ndzarr copy`, `move`, `convert` and `consolidate`: whole nodes from place to place."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ndzarr import api
from ndzarr.cli import header
from ndzarr.cli.failures import UsageError
from ndzarr.cli.making import STORAGE
from ndzarr.cli.output import print_json, shows_progress
from ndzarr.cli.places import opened_store
from ndzarr.compression.compress import compress as compress_array
from ndzarr.conversion import convert as convert_node
from ndzarr.display import format_nbytes
from ndzarr.errors import ArgumentError
from ndzarr.group import Group
from ndzarr.rechunking.rechunk import rechunk as rechunk_array
from ndzarr.stores.base import Store
from ndzarr.zarray import ZArray


@contextmanager
def both(given: argparse.Namespace, *, move: bool = False) -> Iterator[tuple[ZArray | Group, Store]]:
    """The node to be taken, and the store that it goes to; one store where both are the same."""
    same = given.store == given.target
    with opened_store(given.store, "r+" if move or same else "r", given.option) as source:
        node = api.open(source, "r+" if move else "r", path=given.node, consolidated=False)
        if same:
            yield node, source
            return
        with opened_store(given.target, "a", given.target_option) as target:
            yield node, target


def transfer(given: argparse.Namespace) -> int:
    """`copy` and `move`."""
    run = api.move if given.command == "move" else api.copy
    with both(given, move=given.command == "move") as (node, target):
        done = run(
            node,
            target,
            path=given.to,
            if_exists=given.if_exists,
            dry_run=given.dry_run,
            progress=shows_progress(given),
        )
    if given.json:
        print_json({"command": given.command, **asdict(done)})
        return 0
    verb = {"copy": "copied", "move": "moved"}[given.command]
    size = "" if done.nbytes is None else f", {format_nbytes(done.nbytes)}"
    print(f"{'would have ' if done.dry_run else ''}{verb} {_of(len(done.nodes), 'node')}: {_of(done.keys, 'object')}{size}")
    if done.skipped:
        print(f"skipped {_of(len(done.skipped), 'node')} that {'is' if len(done.skipped) == 1 else 'are'} there already")
    return 0


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def convert(given: argparse.Namespace) -> int:
    """Another format, other chunks, shards or codecs."""
    with both(given) as (node, target):
        made = convert_node(
            node,
            target,
            path=given.to,
            zarr_format=given.zarr_format,
            overwrite=given.overwrite,
            progress=shows_progress(given),
            **_changes(given),
        )
        told = header.told(made, given)
    print(told)
    return 0


def rechunk(given: argparse.Namespace) -> int:
    """Other chunks, in bounded memory."""
    changes = _changes(given)
    if "chunks" not in changes:
        raise UsageError("rechunk needs --chunks, such as --chunks 100,200")
    if given.zarr_format:
        changes["zarr_format"] = given.zarr_format
    with both(given) as (node, target):
        made = rechunk_array(
            _an_array(node),
            target,
            path=given.to,
            max_mem=given.max_mem,
            overwrite=given.overwrite,
            temp=given.temp,
            progress=shows_progress(given),
            **changes,
        )
        told = header.told(made, given)
    print(told)
    return 0


def compress(given: argparse.Namespace) -> int:
    """As small as a bound allows."""
    with both(given) as (node, target):
        made = compress_array(
            _an_array(node),
            target,
            path=given.to,
            max_abs=given.max_abs,
            max_rel=given.max_rel,
            keep_bits=given.keep_bits,
            overwrite=given.overwrite,
            progress=shows_progress(given),
        )
        told = header.told(made, given)
        record: Any = made.attrs["ndzarr_compression"]
    print(told)
    if not given.json:
        measured = ", ".join(f"{name} {value}" for name, value in record["measured"].items())
        print(f"{format_nbytes(record['nbytes'])} stored as {format_nbytes(record['nbytes_stored'])}; measured: {measured}")
    return 0


def _changes(given: argparse.Namespace) -> dict[str, Any]:
    """What of how an array is stored was given anew."""
    return {name: getattr(given, name) for name in STORAGE if hasattr(given, name)}


def _an_array(node: ZArray | Group) -> ZArray:
    if isinstance(node, Group):
        raise ArgumentError(f"{node.path or '/'!r} in {node.store.url} is a group, expected an array; name one with --node")
    return node


def consolidate(given: argparse.Namespace) -> int:
    """All documents under a group in one."""
    with opened_store(given.store, "r+", given.option) as store:
        group = api.consolidate(store, path=given.node, progress=shows_progress(given))
        count = sum(1 for _ in group.metadata_of_members(None))
        found = {"store": store.url, "path": group.path, "zarr_format": group.zarr_format, "members": count}
        line = f"consolidated {_of(count, 'member')} of {header.line(group)}"
    print_json(found) if given.json else print(line)
    return 0
