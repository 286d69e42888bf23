"""`ndzarr diff` and `digest`: whether values are the same, and where they are not."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from ndzarr import api
from ndzarr.cli.output import print_json, shows_progress
from ndzarr.cli.places import opened, opened_store
from ndzarr.comparing.diff import diff as difference
from ndzarr.zarray import ZArray


def diff(given: argparse.Namespace) -> int:
    """0 where both are the same, 1 where they differ."""
    other = given.node if given.to is None else given.to
    with opened_store(given.store, "r", given.option) as store:
        same = given.target == given.store and given.target_option == given.option
        with nullcontext(store) if same else opened_store(given.target, "r", given.target_option) as target:
            found = difference(
                api.open(store, path=given.node, consolidated=False),
                api.open(target, path=other, consolidated=False),
                rtol=given.rtol,
                atol=given.atol,
                max_regions=given.max_regions,
                progress=shows_progress(given),
            )
    print(found.to_json() if given.json else found)
    return 0 if (found.identical if given.strict else found.same) else 1


def digest(given: argparse.Namespace) -> int:
    """One line an array: its digest, and its path."""
    with opened(given) as node:
        arrays = [node] if isinstance(node, ZArray) else [
            member for _, member in node.members(None, damaged="raise") if isinstance(member, ZArray)
        ]  # fmt: skip
        found = {}
        for z in arrays:
            found[z.path] = z.digest(algorithm=given.algorithm, progress=shows_progress(given))
            if not given.json:
                print(f"{found[z.path]}  {z.path or '/'}")
        if given.json:
            print_json({"store": node.store.url, "path": node.path, "algorithm": given.algorithm, "digests": found})
    return 0
