"""`ndzarr codecs` and `stores`: what there is to choose from here."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ndzarr.cli.output import Style, print_columns, print_json
from ndzarr.codecs.registry import codecs as all_codecs
from ndzarr.errors import ArgumentError
from ndzarr.stores.registry import stores as all_stores

#: What a store may be able to do, and a word for it.
_ABILITIES = {
    "conditional": "compare-and-set",
    "tagged": "versions",
    "batched": "many at once",
    "exclusive": "locks",
    "transactional": "transactions",
}


def codecs(given: argparse.Namespace) -> int:
    """Name, kind and what it is."""
    found = _one(all_codecs(), given.name, "codec")
    if given.json:
        print_json({"codecs": [asdict(info) for _, info in sorted(found.items())]})
        return 0
    style = Style(given)
    lines = [
        [name, info.kind or "-", info.description + ("" if info.available else "  (not installed)")]
        for name, info in sorted(found.items())
    ]
    print_columns(lines, ["bold", "cyan", None], style)
    return 0


def stores(given: argparse.Namespace) -> int:
    """Name, what it can do and what it is."""
    found = _one(all_stores(), given.name, "store")
    if given.json:
        print_json({"stores": [_as_json(info) for _, info in sorted(found.items())]})
        return 0
    lines = [
        [
            name,
            "(cannot be loaded)" if info.cls is None else info.cls.__name__,
            ", ".join(word for field, word in _ABILITIES.items() if getattr(info, field)),
            info.description if info.error is None else info.error,
        ]
        for name, info in sorted(found.items())
    ]
    print_columns(lines, ["bold", "cyan", "dim", None], Style(given))
    return 0


def _as_json(info: Any) -> dict[str, Any]:
    fields = {name: getattr(info, name) for name in info.__slots__ if name != "cls"}
    return {**fields, "class": None if info.cls is None else f"{info.cls.__module__}.{info.cls.__qualname__}"}


def _one(found: dict[str, Any], name: str | None, what: str) -> dict[str, Any]:
    if name is None:
        return found
    if name not in found:
        raise ArgumentError(f"no {what} {name!r}; `ndzarr {what}s` lists those there are", found=name)
    return {name: found[name]}
