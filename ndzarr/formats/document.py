"""JSON documents, read with suspicion and written so that every other implementation can read them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, Json, Shape
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.metadata import MAX_LENGTH, MAX_NDIM

MAX_DEPTH = 100
#: How deep a new `zarr.json` may nest: it is repeated, some levels down, in the consolidated metadata of every group above.
MAX_NODE_DEPTH = MAX_DEPTH - 10
#: An empty list takes three bytes of a document, and eighty of memory. In real documents each list or object takes far more:
#: 50 to 90 bytes in the consolidated metadata of large hierarchies, 20 in lists of coordinates.
_NBYTES_EACH = 16
_FEW = 10_000

_T = TypeVar("_T")


def parse(data: Buffer, name: str) -> dict[str, Json]:
    """The object that a document holds. MetadataError when it is anything else, has a key twice or nests over 100 deep.

    Bare NaN and Infinity are accepted: real files hold them. `name` is the document's key, for messages.
    """
    try:
        text = bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MetadataError(f"{name!r} is not UTF-8: {error}", key=name) from error
    # Strings count too: few hold that many.
    nests = text.count("{") + text.count("[")
    if nests > _FEW and nests > (most := config.current().max_metadata // _NBYTES_EACH):
        raise MetadataError(
            f"{name!r} holds {nests} lists and objects, more than {most}; if it is a real document, raise "
            "options(max_metadata=)",
            key=name,
            found=nests,
            expected=most,
        )
    try:
        document = json.loads(text, object_pairs_hook=partial(_object, name))
    except MetadataError:
        raise
    except RecursionError as error:
        raise MetadataError(f"{name!r} nests more than {MAX_DEPTH} deep", key=name) from error
    except ValueError as error:
        found = "nothing" if not text.strip() else repr(text[:40])
        raise MetadataError(f"{name!r} is not JSON: {error}, found {found}", key=name, found=text[:40]) from error
    if not isinstance(document, dict):
        raise MetadataError(
            f"{name!r} holds a JSON {type(document).__name__}, expected an object",
            key=name,
            found=document,
            expected="object",
        )
    # Nothing lies deeper than there are brackets; most documents have few.
    if nests >= MAX_DEPTH:
        _check_depth(document, name)
    return document


def _object(name: str, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]  # set.add is None
        raise MetadataError(f"{name!r} holds the key {twice!r} twice", key=name, field=twice)
    return document


def _check_depth(document: Json, name: str) -> None:
    if too_deep(document):
        raise MetadataError(f"{name!r} nests more than {MAX_DEPTH} deep", key=name)


def too_deep(document: Json, most: int = MAX_DEPTH) -> bool:
    """Whether a document nests deeper than `most`."""
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(most - 1):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return any(level)


# ---- fields --------------------------------------------------------------------------------


def wrong(field: str, found: Json, expected: str) -> MetadataError:
    """The error for a field that holds what it may not."""
    text = repr(found)
    text = text if len(text) <= 200 else text[:200] + "..."
    return MetadataError(f"field {field!r} is {text}, {expected}", field=field, found=found, expected=expected)


def lengths(document: Mapping[str, Json], field: str) -> Shape:
    """A list of lengths: integers, none negative, of at most 64 axes; MetadataError for anything else."""
    found = document[field]
    if not isinstance(found, list) or not all(type(n) is int and 0 <= n <= MAX_LENGTH for n in found):
        raise wrong(field, found, "expected a list of integers, none negative, none over 2**63 - 1")
    if len(found) > MAX_NDIM:
        raise wrong(field, found, f"expected at most {MAX_NDIM} axes, as many as NumPy has")
    return tuple(found)


def located(name: str, make: Callable[[], _T]) -> _T:
    """What `make` gives; its errors, and those of the values it makes, become MetadataErrors that name the document."""
    try:
        return make()
    except MetadataError as error:
        if error.key is not None:
            raise
        raise MetadataError(
            f"{name!r}: {error}", key=name, field=error.field, found=error.found, expected=error.expected, codec=error.codec
        ) from error
    except ArgumentError as error:  # of ArrayMeta's own invariants, and of codecs
        raise MetadataError(f"{name!r}: {error}", key=name, field=error.field, found=error.found, codec=error.codec) from error


# ---- writing --------------------------------------------------------------------------------


def dump(document: Mapping[str, Json]) -> bytes:
    """The document as zarr-python 2 spells it: four spaces, sorted keys, ASCII. NaN is refused; spell it as a string."""
    return _dump(document, allow_nan=False)


def dump_attributes(attributes: Mapping[str, Json]) -> bytes:
    """Attributes as a document. NumPy scalars and arrays become numbers and lists; NaN is written bare, as v2 files hold it."""
    return _dump(attributes, allow_nan=True)


def dump_node(document: Mapping[str, Json]) -> bytes:
    """A `zarr.json` document: two spaces, ASCII, its fields in the order they have.

    NaN is written bare here, so that what was found so may be kept; `refuse_nan` is for what is new.
    """
    return _dump(document, allow_nan=True, indent=2, sort_keys=False)


def refuse_nan(value: Json, where: str) -> None:
    """Raise ArgumentError, naming the place, for a NaN or infinity: JSON has none, and no reader of format 3 need take them.

    `options(nan_attributes=True)` lets them pass.
    """
    if isinstance(value, float) and not math.isfinite(value) and not config.current().nan_attributes:
        raise ArgumentError(
            f"{where} is {value!r}, which JSON cannot hold; write a string or null in its place, use zarr_format=2, which "
            "holds it bare, or options(nan_attributes=True)",
            field=where,
            found=value,
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            refuse_nan(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for n, item in enumerate(value):
            refuse_nan(item, f"{where}[{n}]")


def _dump(document: Mapping[str, Json], *, allow_nan: bool, indent: int = 4, sort_keys: bool = True) -> bytes:
    try:
        text = json.dumps(plain(document), indent=indent, sort_keys=sort_keys, allow_nan=allow_nan)
    except ValueError as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"cannot write {type(document).__name__} as JSON: {error}") from error
    return text.encode("ascii")


def plain(value: Any, where: str = "", depth: int = 0) -> Json:
    """`value` with NumPy scalars and arrays turned into JSON's own types; ArgumentError, naming the place, for the rest."""
    if depth >= MAX_DEPTH:
        raise ArgumentError(f"cannot write {where[:40]!r}...: it nests {MAX_DEPTH} deep or more, and could not be read again")
    if value is None or (isinstance(value, (str, bool, int, float)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ArgumentError(
                    f"attribute names must be strings, found {key!r} in {where or 'the top level'!r}", found=key
                )
        return {key: plain(item, f"{where}.{key}" if where else key, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
    if isinstance(value, np.ndarray) and (_json_kind(value.dtype) or value.dtype.kind in "OT"):
        # Of objects and strings each item is looked at.
        return plain(value.tolist(), where, depth)
    if isinstance(value, np.generic) and _json_kind(value.dtype):
        return value.item()
    kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise ArgumentError(
        f"cannot write {where or 'a value'!r} of type {kind} as JSON; found {_told(value)}, expected a string, number, bool, "
        "None, list, dict or NumPy array of those",
        field=where or None,
        found=value,
    )


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def attribute_mapping(attributes: Any) -> dict[str, Json]:
    """Attributes as JSON; ArgumentError when they are no mapping of strings."""
    if not isinstance(attributes, Mapping):
        raise ArgumentError(f"attributes must be a mapping, found {attributes!r}", field="attributes", found=attributes)
    checked: dict[str, Json] = plain(attributes)
    return checked


def _json_kind(dtype: np.dtype[Any]) -> bool:
    # A longdouble stays one in Python, and JSON has no number for it.
    return dtype.kind in "biuU" or (dtype.kind == "f" and dtype.itemsize <= 8)
