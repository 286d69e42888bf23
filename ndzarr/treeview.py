"""Hierarchies as text and as HTML that folds; built from metadata alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ndzarr import display
from ndzarr.errors import MetadataError

if TYPE_CHECKING:  # groups know how to show themselves, so at run time the arrow points the other way
    from ndzarr.group import Group

#: So many nodes are shown with their particulars in HTML; of more only names, shapes and dtypes.
_IN_FULL = 500
#: The longest text of one attribute, or one reason, that is shown.
_LONGEST = 120

_STYLE = """<style>
.ndzarr-tree {font-family: ui-monospace, monospace; font-size: 0.9em; line-height: 1.5; color: inherit}
.ndzarr-tree ul {list-style: none; margin: 0; padding-left: 1.2em; border-left: 1px solid rgba(128, 128, 128, 0.35)}
.ndzarr-tree li {margin: 0}
.ndzarr-tree summary {cursor: pointer}
.ndzarr-tree .plain {padding-left: 1.1em}
.ndzarr-tree .attributes {margin-left: 1.2em}
.ndzarr-tree .attributes > summary {opacity: 0.7}
.ndzarr-tree .name {font-weight: 600}
.ndzarr-tree .what {opacity: 0.7}
.ndzarr-tree .damaged {color: #c62828; color: light-dark(#b71c1c, #ff8a80)}
.ndzarr-tree table {border: none; border-collapse: collapse; margin: 0 0 0.3em 1.1em; font: inherit; color: inherit}
.ndzarr-tree td, .ndzarr-tree tr {border: none; padding: 0 1em 0 0; text-align: left; vertical-align: top; background: none}
.ndzarr-tree td:first-child {opacity: 0.7}
</style>"""


@dataclass(slots=True)
class Branch:
    """One node: its name, what it is in a few words, rows of particulars, and what is in it."""

    name: str
    what: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)
    below: list[Branch] = field(default_factory=list)
    group: bool = True
    damaged: bool = False

    def count(self) -> int:
        """Nodes, this one included."""
        return 1 + sum(branch.count() for branch in self.below)


class Tree:
    """A hierarchy: printed with one line a node, and in notebooks as HTML that folds."""

    def __init__(self, root: Branch) -> None:
        self.root = root

    def __repr__(self) -> str:
        return "\n".join([self.root.name, *_lines(self.root, "")])

    def _repr_html_(self) -> str:
        full = self.root.count() <= _IN_FULL
        return f'{_STYLE}\n<div class="ndzarr-tree">{"".join(_html(self.root, full))}</div>'


def _lines(branch: Branch, indent: str) -> Iterator[str]:
    for n, child in enumerate(branch.below):
        last = n == len(branch.below) - 1
        yield f"{indent}{'└── ' if last else '├── '}{child.name}" + (f" {child.what}" if child.what else "")
        yield from _lines(child, indent + ("    " if last else "│   "))


def escape(text: str) -> str:
    """Text that is nothing but text in HTML, in attributes too; without `html`, which brings a large table of names."""
    for found, put in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(found, put)
    return text


def _html(branch: Branch, full: bool) -> Iterator[str]:
    kind = "damaged" if branch.damaged else "what"
    what = f' <span class="{kind}">{escape(branch.what)}</span>' if branch.what else ""
    title = f'<span class="name">{escape(branch.name)}{"/" if branch.group and branch.name != "/" else ""}</span>{what}'
    rows = branch.rows if full else []
    if not rows and not branch.below:
        yield f'<div class="plain">{title}</div>'
        return
    yield f"<details{' open' if branch.group else ''}><summary>{title}</summary>"
    if rows:
        table = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
        # An array folds its particulars by itself; a group's attributes are folded away from what is in it.
        yield f"<table>{table}</table>" if not branch.group else attributes_html(len(rows), table)
    if branch.below:
        yield "<ul>"
        for child in branch.below:
            yield "<li>"
            yield from _html(child, full)
            yield "</li>"
        yield "</ul>"
    yield "</details>"


def attributes_html(count: int, rows: str) -> str:
    """The rows of a table of so many attributes, folded away."""
    title = f"{count} attribute{'s' * (count > 1)}"
    return f'<details class="attributes"><summary>{title}</summary><table>{rows}</table></details>'


# ---- from nodes --------------------------------------------------------------------------------


def tree(group: Group, found: Iterable[tuple[str, Any]]) -> Tree:
    """The tree of a group and of (relative path, node or why there is none), each after the group that it is in."""
    root = Branch(group.path or "/", rows=attribute_rows(group))
    branches = {"": root}
    for path, node in found:
        above, _, name = path.rpartition("/")
        branches[path] = _branch(name, node)
        branches[above].below.append(branches[path])
    return Tree(root)


def _branch(name: str, node: Any) -> Branch:
    if isinstance(node, MetadataError):
        return Branch(name, f"[cannot be opened: {_short(str(node))}]", group=False, damaged=True)
    if not hasattr(node, "shape"):
        return Branch(name, rows=attribute_rows(node))
    chunks, shards = display.grid_lengths(node)
    rows = [("chunks", chunks)]
    if shards is not None:
        rows.append(("shards", shards))
    if node.dimension_names is not None:
        rows.append(("dimensions", ", ".join("-" if axis is None else axis for axis in node.dimension_names)))
    rows += [("fill value", _short(display.format_scalar(node.fill_value)))]
    rows += [("codecs", display.format_codecs(node._meta.codecs) or "none"), *attribute_rows(node)]
    return Branch(name, f"{node.shape} {display.format_dtype(node.dtype)}", rows, group=False)


def attribute_rows(node: Any) -> list[tuple[str, str]]:
    """(name, value) of each attribute, cut to what can be taken in."""
    return [(f"attrs[{name!r}]", _short(repr(value))) for name, value in node.attrs.items()]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
