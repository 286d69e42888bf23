"""The command line `ndzarr`: one module a kind of command, what they say in `parser.py`.

Results go to standard output, one JSON document with `--json`. The exit status is 0 where all was done; 1 where something could
not be, or is damaged, or differs; 2 for a command that is not one, and from `diff` for trouble, as that of diff(1); 130 after
Ctrl-C. Errors are one line on standard error that says what to do, and never a traceback.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ndzarr.cli.failures import one_line, status_of
from ndzarr.cli.parser import make_parser
from ndzarr.errors import DamagedNodeWarning, StaleMetadataWarning
from ndzarr.imports import import_behind

#: Set to anything, it shows where in the library an error came from.
_TRACEBACK = "NDZARR_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default the process's own; the exit status.

    Raises SystemExit(2) for a command line that cannot be understood, and SystemExit(0) after `--help`, as argparse does.
    """
    _complete_streams()
    given = argparse.Namespace(command="", trouble=1)
    try:
        try:
            given = make_parser().parse_args(arguments)
        except SystemExit:
            sys.stdout.flush()  # what `--help` printed
            raise
        with _surroundings(given):
            status = _run(given)
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        _forget_output()  # whoever read us (`| head`) has enough
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if _TRACEBACK in os.environ:
            raise
        print(one_line(error, given), file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()
        return status_of(error, given)


def _forget_output() -> None:
    """What could not be written goes nowhere: Python would try again, and complain, when it flushes at exit."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _complete_streams() -> None:
    """Nowhere in place of what the shell has closed (`>&-`): the next file opened would get its number, and errors go to
    standard output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _run(given: argparse.Namespace) -> int:
    # What a command needs is imported when it is run, so that `--help` and completion are there at once.
    module, _, name = given.run.partition(":")
    status: int = getattr(import_behind(f"ndzarr.cli.{module}"), name)(given)
    return status


@contextmanager
def _surroundings(given: argparse.Namespace) -> Iterator[None]:
    """Warnings as one line each, colours as wished, and no name that cannot be printed, while a command runs.

    JSON is UTF-8 (RFC 8259, section 8.1); what else the output has no letters for is told by its number.
    """
    before = os.environ.get("NO_COLOR")
    out = sys.stdout
    as_it_was = (out.encoding, out.errors) if isinstance(out, io.TextIOWrapper) else None
    try:
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(encoding="utf-8" if given.json else None, errors="backslashreplace")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for kind in (DamagedNodeWarning, StaleMetadataWarning):
                warnings.simplefilter("always", kind)
            warnings.showwarning = _show_warning
            if given.color == "never":
                os.environ["NO_COLOR"] = "1"  # for the bar, which is another library's
            yield
    finally:
        if before is None:
            os.environ.pop("NO_COLOR", None)
        else:
            os.environ["NO_COLOR"] = before
        if isinstance(out, io.TextIOWrapper) and as_it_was is not None and not out.closed:
            out.reconfigure(encoding=as_it_was[0], errors=as_it_was[1])


def _show_warning(message: Warning | str, *rest: object, **more: object) -> None:
    print(f"ndzarr: warning: {' '.join(str(message).split())}", file=sys.stderr)
