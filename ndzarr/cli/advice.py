"""`ndzarr advise`: what would make a store smaller, or its reads cheaper."""

from __future__ import annotations

import argparse

from ndzarr.advising.advise import advise as advise_on


def advise(given: argparse.Namespace) -> int:
    """Findings, the greatest gain first, each with the call that does it."""
    found = advise_on(given.store, given.node, trace=given.trace, sample=given.sample, **dict(given.option))
    print(found.to_json() if given.json else found)
    return 0
