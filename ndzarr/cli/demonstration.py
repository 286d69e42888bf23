"""`ndzarr demo`."""

from __future__ import annotations

import argparse
import io
from contextlib import redirect_stdout

from ndzarr import demo as demonstration
from ndzarr.cli.output import print_json


def demo(given: argparse.Namespace) -> int:
    """Write it, read it back, say what that cost; 1 where a read gave anything but what NumPy gives."""
    if not given.json:
        return demonstration.run(given.directory)
    said = io.StringIO()
    with redirect_stdout(said):
        status = demonstration.run(given.directory)
    print_json({"directory": given.directory, "equal": status == 0, "report": said.getvalue().splitlines()})
    return status
