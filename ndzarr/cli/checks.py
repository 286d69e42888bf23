"""`ndzarr check`: what is damaged, left over or out of place."""

from __future__ import annotations

import argparse

from ndzarr.checking.check import check as check_store
from ndzarr.cli.output import shows_progress


def check(given: argparse.Namespace) -> int:
    """0 where nothing is wrong, or nothing any more."""
    report = check_store(
        given.store,
        given.node,
        repair=given.repair,
        decode=not given.no_decode,
        progress=shows_progress(given),
        **dict(given.option),
    )
    print(report.to_json() if given.json else report)
    return 0 if report.ok else 1
