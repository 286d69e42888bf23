"""Words of a command line as values: lengths, codecs, attributes, indices. Nothing here is ever evaluated."""

from __future__ import annotations

import argparse
import ast
import json
from typing import Any


def lengths(text: str) -> Any:
    """Lengths of axes: "100,200", or JSON such as "[[10, 20], 5]"; one number is that of every axis, any other word itself.

    >>> lengths("100,200"), lengths("30"), lengths("30,"), lengths("auto"), lengths("")
    ((100, 200), 30, (30,), 'auto', ())
    """
    words = text.strip().strip("()").removesuffix(",")
    if text.lstrip().startswith("["):
        return _json(text)
    try:
        found = tuple([int(word) for word in words.split(",")]) if words else ()
        return found[0] if len(found) == 1 and "," not in text else found
    except ValueError:
        if "," in words:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of lengths; expected some such as 100,200") from None
        return text


def shape(text: str) -> Any:
    """Lengths that are all numbers."""
    found = lengths(text)
    if isinstance(found, str):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; expected lengths such as 100,200")
    return (found,) if isinstance(found, int) else tuple(found)


def optional_lengths(text: str) -> Any:
    """The same; "none" is None."""
    return None if text == "none" else lengths(text)


def codec(text: str) -> Any:
    """A codec: a name, JSON of one or of several, or "none"."""
    return None if text == "none" else _json(text) if text.lstrip()[:1] in ("{", "[") else text


def value(text: str) -> Any:
    """JSON, or where it is none, the text itself.

    >>> value("3"), value('[1, "a"]'), value("degC")
    (3, [1, 'a'], 'degC')
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def pair(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is."""
    name, equals, rest = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value(rest)


def names(text: str) -> tuple[str | None, ...]:
    """Names of dimensions, with commas between them; "-" for an axis without one."""
    return tuple([None if name in ("-", "") else name for name in text.split(",")])


def count(text: str) -> int:
    """A number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def bits(text: str) -> Any:
    """A number of bits, or "auto"."""
    return text if text == "auto" else count(text)


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from None


# ---- indices --------------------------------------------------------------------------------

_EXPECTED = "expected an index as NumPy takes it, such as [10:20, ::2], of integers, slices, lists, ..., None and 'field'"


def index(text: str) -> Any:
    """An index written as between the brackets of Python, brackets included or not.

    >>> index("[10:20, ::-2, ..., [0, 3]]")
    (slice(10, 20, None), slice(None, None, -2), Ellipsis, [0, 3])
    >>> index("-1")
    -1
    """
    inside = text.strip()
    tree = _parsed(inside) if inside.startswith("[") else None
    if tree is None:
        tree = _parsed(f"[{inside}]")
    if tree is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no index; {_EXPECTED}")
    return _entry(tree, text, top=True)


def is_index(text: str) -> bool:
    """Whether a word is meant as an index and not as the path of a node."""
    return text.startswith("[")


def _parsed(brackets: str) -> ast.expr | None:
    """What stands in the first brackets, where nothing follows them."""
    try:
        tree = ast.parse(f"z{brackets}", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    whole = isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name)
    return tree.slice if whole and isinstance(tree, ast.Subscript) else None


def _entry(node: ast.expr, text: str, *, top: bool = False) -> Any:
    match node:
        case ast.Tuple(elts=entries) if top:
            return tuple([_entry(entry, text) for entry in entries])
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*[None if bound is None else _number(bound, text) for bound in (lower, upper, step)])
        case ast.List(elts=entries):
            return [_entry(entry, text) for entry in entries]
        case ast.Constant(value=None) | ast.Constant(value=str()) | ast.Constant(value=bool()):
            return node.value
        case ast.Constant() if node.value is ...:
            return node.value
    return _number(node, text)


def _number(node: ast.expr, text: str) -> int:
    sign = 1
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return sign * node.value
    raise argparse.ArgumentTypeError(f"{text!r} is no index: {ast.unparse(node)!r} is not allowed in one; {_EXPECTED}")


def spelled(index: Any) -> str:
    """An index as it is written in Python.

    >>> spelled((0, slice(None, 10), ..., [1, 2]))
    '[0, :10, ..., [1, 2]]'
    """
    entries = index if isinstance(index, tuple) else (index,)
    return f"[{', '.join(_spelled(entry) for entry in entries) or '()'}]"


def _spelled(entry: Any) -> str:
    if entry is ...:
        return "..."
    if not isinstance(entry, slice):
        return repr(entry)
    start, stop, step = ["" if bound is None else str(bound) for bound in (entry.start, entry.stop, entry.step)]
    return f"{start}:{stop}" + (f":{step}" if step else "")
