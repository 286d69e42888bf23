"""The command line: `ndzarr demo`, `info`, `tree`, `check`, `codecs`.

Results go to standard output. The exit status is 0, 1 for anything that could not be done (one line on standard error says
what), 2 for a command that is not one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from ndzarr import api, checking, demo
from ndzarr.codecs.registry import codecs
from ndzarr.display import Info
from ndzarr.errors import CallerError, NdzarrError
from ndzarr.group import Group
from ndzarr.zarray import ZArray


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default the process's own; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        status: int = given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us (`| head`) has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NdzarrError, OSError) as error:
        print(f"ndzarr: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ndzarr", description="Chunked, compressed arrays in the Zarr formats.")
    parser.add_argument("--version", action="version", version=f"ndzarr {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = commands.add_parser("demo", help="write a small dataset to a directory, read it back, say what that cost")
    command.add_argument("directory", metavar="DIR", nargs="?", default=demo.DIRECTORY, help="default: %(default)s")
    command.set_defaults(run=lambda given: demo.run(given.directory))

    command = commands.add_parser("info", help="what an array or group is and how it is stored")
    _add_node(command)
    command.set_defaults(run=_info)

    command = commands.add_parser("tree", help="the groups and arrays under a group")
    _add_node(command)
    command.set_defaults(run=_tree)

    command = commands.add_parser("check", help="what is damaged, left over or out of place in a store; changes nothing")
    _add_node(command)
    command.add_argument("--repair", action="store_true", help="tidy up, and set aside what is damaged; deletes no data")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.add_argument("--no-decode", action="store_true", help="look at sizes and documents, and decode nothing")
    command.set_defaults(run=_check)

    command = commands.add_parser("codecs", help="the codecs that can be used, and those that lack a library")
    command.set_defaults(run=_codecs)
    return parser


def _add_node(command: argparse.ArgumentParser) -> None:
    command.add_argument("store", metavar="PATH", help="a directory, a zip archive or a URL")
    command.add_argument("node", metavar="NODE", nargs="?", default="", help="the path of a node inside it; default: the root")


def _version() -> str:
    try:
        return version("ndzarr")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "(not installed)"


def _info(given: argparse.Namespace) -> int:
    node = api.open(given.store, path=given.node)
    print(node.info if isinstance(node, ZArray) else _group_info(node))
    return 0


def _group_info(group: Group) -> Info:
    members = list(group.members())
    arrays = [name for name, node in members if isinstance(node, ZArray)]
    groups = [name for name, node in members if isinstance(node, Group)]
    return Info(
        [
            ("path", group.path or "/"),
            ("store", group.store.url),
            ("format", f"Zarr {group.zarr_format}"),
            ("arrays", ", ".join(arrays) or "none"),
            ("groups", ", ".join(groups) or "none"),
            ("attributes", ", ".join(group.attrs) or "none"),
        ]
    )


def _tree(given: argparse.Namespace) -> int:
    print(api.open_group(given.store, path=given.node).tree())
    return 0


def _check(given: argparse.Namespace) -> int:
    shown = sys.stderr.isatty() and not given.json

    def progress(chunks: int, nbytes: int) -> None:
        print(f"\r{chunks:,} chunks, {nbytes / 2**20:,.0f} MiB", end="", file=sys.stderr, flush=True)

    try:
        report = checking.check(
            given.store,
            given.node,
            repair=given.repair,
            decode=not given.no_decode,
            progress=progress if shown else None,
        )
    except CallerError as error:
        print(f"ndzarr: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print(report.to_json() if given.json else report)
    return 0 if report.ok else 1


def _codecs(given: argparse.Namespace) -> int:
    found = codecs()
    width = max(len(name) for name in found)
    kind_width = max(len(info.kind) for info in found.values())
    for name, info in sorted(found.items()):
        note = "" if info.available else "  (not installed)"
        print(f"{name:<{width}}  {info.kind:<{kind_width}}  {info.description}{note}")
    return 0
