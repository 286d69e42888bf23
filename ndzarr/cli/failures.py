"""Any exception as one line that says what to do, and the exit status that goes with it."""

from __future__ import annotations

import argparse
import os
import shlex

from ndzarr.errors import CallerError, CorruptChunkError, MetadataError, NdzarrError, NodeExistsError, NodeNotFoundError


class UsageError(Exception):
    """A command line that argparse takes, and that makes no sense: exit status 2."""


def named(store: str, url: str | None = None) -> str:
    """A store as a message may name it: not a URL as it was typed, which may hold a password, but what the store says."""
    return (url or "STORE") if "://" in store else shlex.quote(store)


def one_line(error: BaseException, given: argparse.Namespace) -> str:
    """What went wrong and what to do, without a line break."""
    return " ".join(f"ndzarr: {_said(error)}{_advice(error, given)}".split())


def status_of(error: BaseException, given: argparse.Namespace) -> int:
    """130 after Ctrl-C, as a shell has it; 2 for what was called wrongly, and where 1 means an answer; else 1."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    wrongly = isinstance(error, UsageError) or (given.command == "check" and isinstance(error, CallerError))
    return 2 if wrongly else int(given.trouble)


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, (NdzarrError, UsageError)):
        return str(error).replace("if_exists='replace'", "--if-exists replace").replace("overwrite=True", "--overwrite")
    if isinstance(error, ImportError):
        return f"{error.name or error} is not installed; install it: pip install {error.name or 'it'}"
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}; ask for less at once"
    if isinstance(error, OSError):
        where = f": {os.fsdecode(error.filename)!r}" if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
        return f"{error.strerror or error}{where}"
    return (
        f"internal error: {type(error).__name__}: {error}; this is a bug, please report it with what NDZARR_TRACEBACK=1 shows"
    )


def _advice(error: BaseException, given: argparse.Namespace) -> str:
    store = vars(given).get("store")
    if isinstance(error, NodeNotFoundError) and store is not None and vars(given).get("node"):
        return f"; `ndzarr ls -r {named(store, error.store)}` lists what is there"
    if isinstance(error, NodeExistsError) and "overwrite" in vars(given) and "overwrite=True" not in str(error):
        return "; --overwrite replaces it"
    if isinstance(error, (CorruptChunkError, MetadataError)) and given.command != "check" and store is not None:
        if error.store is None and error.path is None and error.key is None:
            return ""  # of a trace, which lies elsewhere
        # Of two stores that a command takes it may be the other one.
        where = error.store or "STORE" if "target" in vars(given) else named(store, error.store)
        return f"; `ndzarr check {where}` says what else is damaged"
    return ""
