"""How results look: colours on a terminal, tables, JSON, and whether a bar may be shown."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import category, east_asian_width

#: Select Graphic Rendition: what ECMA-48 calls each look.
_CODES = {"bold": "1", "dim": "2", "red": "31", "blue": "1;34", "cyan": "36"}


class Style:
    """Puts text in colours, where `--color` and the terminal have it so; NO_COLOR (https://no-color.org) means none."""

    def __init__(self, given: argparse.Namespace) -> None:
        capable = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.on = given.color == "always" or (given.color == "auto" and capable)

    def __call__(self, look: str, text: str) -> str:
        """The text in the look; as it is where there are no colours."""
        return f"\x1b[{_CODES[look]}m{text}\x1b[0m" if self.on and text else text


def shows_progress(given: argparse.Namespace) -> bool:
    """Whether a bar may be drawn: on a terminal only, and never with `--quiet`."""
    return not given.quiet and sys.stderr.isatty()


def json_text(document: Any) -> str:
    """One document."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str)


def print_json(document: Any) -> None:
    """The same, on standard output."""
    print(json_text(document))


def finite(thing: Any) -> Any:
    """JSON in which numbers that JSON does not have are the words that Zarr uses: "NaN", "Infinity", "-Infinity"."""
    if isinstance(thing, dict):
        return {str(name): finite(inner) for name, inner in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [finite(inner) for inner in thing]
    if isinstance(thing, float) and not -float("inf") < thing < float("inf"):
        return "NaN" if thing != thing else "Infinity" if thing > 0 else "-Infinity"
    return thing


def shown(text: str) -> str:
    """Text that somebody else wrote, with what would steer the terminal told by its number; line breaks stay.

    >>> print(shown("\\x1b[31mred\\a"))
    \\x1b[31mred\\x07
    """
    if text.isprintable():
        return text
    return "".join([c if c in "\n\t" or category(c)[0] != "C" else ascii(c)[1:-1] for c in text])


def width_of(text: str) -> int:
    """How many columns of a terminal a line of text takes (Unicode Standard Annex 11).

    >>> width_of("Zu\u0308rich"), width_of("\u6c17\u6e29")
    (6, 4)
    """
    if text.isascii():
        return len(text)
    return sum([0 if category(c) in ("Mn", "Me", "Cf") else 2 if east_asian_width(c) in "WF" else 1 for c in text])


def print_rows(rows: Iterable[tuple[str, str]], style: Style, indent: str = "") -> None:
    """Names and values, below each other; a longer value goes on below itself."""
    rows = [(shown(name).replace("\n", "\\n"), value) for name, value in rows]
    width = max([width_of(name) for name, _ in rows], default=0)
    for name, value in rows:
        first, *rest = shown(value).splitlines() or [""]
        print(f"{indent}{style('cyan', name)}{' ' * (width - width_of(name))}  {first}".rstrip())
        for line in rest:
            print(f"{indent}{' ' * width}  {line}".rstrip())


def print_columns(lines: Sequence[Sequence[str]], looks: Sequence[str | None], style: Style) -> None:
    """Lines of cells in columns, each in its look."""
    lines = [[shown(cell) for cell in line] for line in lines]
    widths = [max([width_of(cell) for cell in column], default=0) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            (cell if look is None else style(look, cell)) + " " * (width - width_of(cell))
            for cell, width, look in zip(line, widths, looks, strict=True)
        ]
        print("  ".join(cells).rstrip())
