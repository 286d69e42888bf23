"""Damage: bytes changed, cut and joined; JSON documents changed by their structure."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

_BYTES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
#: Numbers at which sizes, offsets and counts go wrong.
_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 127, 128, 255, 256, 1023, 1024, 4095, 4096, 65535, 65536),
    *((1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
    *((1 << 64) - 16, (1 << 63) + 8, 0x7FFFFFEF, 0xFFFFFFF0),
)
#: Headers and trailers are where lies do most.
_EDGE = 40


def damaged(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`data` with one to four changes; `others` are good objects of the same kind, to splice in."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        _BYTE_CHANGES[rng.randrange(len(_BYTE_CHANGES))](rng, found, others)
    return bytes(found)


def _at(rng: random.Random, data: bytearray) -> int:
    length = len(data)
    where = rng.random()
    if where < 0.4:
        return rng.randrange(min(length, _EDGE) + 1)
    if where < 0.55:
        return length - rng.randrange(min(length, _EDGE) + 1)
    return rng.randrange(length + 1)


def _flip(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(rng, data)
    if at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(rng, data)
    if at < len(data):
        data[at] = rng.choice(_BYTES) if rng.random() < 0.5 else rng.randrange(256)


def _word(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    width = rng.choice((2, 4, 4, 8))
    number = rng.choice((*_NUMBERS, len(data))) if rng.random() < 0.8 else rng.getrandbits(64)
    at = _at(rng, data)
    order: Any = "little" if rng.random() < 0.7 else "big"
    data[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, order)


def _step(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """A size or an offset that is a little off."""
    width = rng.choice((1, 2, 4, 8))
    at = _at(rng, data)
    order: Any = "little" if rng.random() < 0.7 else "big"
    number = int.from_bytes(data[at : at + width], order) + rng.randrange(-16, 17)
    data[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, order)


def _cut(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(rng, data)
    del data[at : at + rng.randrange(1, 40)]


def _end(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_at(rng, data) :]


def _insert(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(rng, data)
    data[at:at] = rng.randbytes(rng.randrange(1, 20)) if rng.random() < 0.6 else bytes(rng.randrange(1, 300))


def _repeat(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at, to = _at(rng, data), _at(rng, data)
    data[to:to] = data[at : at + rng.randrange(1, 400)]


def _blank(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(rng, data)
    stop = min(len(data), at + rng.randrange(1, 600))
    data[at:stop] = bytes([rng.choice((0, 0xFF))]) * (stop - at)


def _noise(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(rng, data)
    stop = min(len(data), at + rng.randrange(1, 100))
    data[at:stop] = rng.randbytes(stop - at)


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if others:
        other = others[rng.randrange(len(others))]
        at = _at(rng, data)
        data[at:] = other[at if rng.random() < 0.6 else rng.randrange(len(other) + 1) :]


_BYTE_CHANGES = (
    *(_flip, _flip, _flip, _byte, _byte, _word, _word, _word, _step, _step),
    *(_cut, _end, _insert, _repeat, _blank, _noise, _splice),
)


# ---- documents ---------------------------------------------------------------------------------------------------------------


class Pairs(list[Any]):
    """A JSON object as the pairs that it is written with: a key may be there twice."""


def parsed(text: bytes) -> Any:
    """A document with its objects as Pairs."""
    return json.loads(text, object_pairs_hook=Pairs)


def written(value: Any) -> str:
    """The document of what `parsed` gives, after changes; a str in a `Raw` goes in as it is."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


class Raw:
    """A piece of a document that json.dumps would not write."""

    def __init__(self, text: str) -> None:
        self.text = text


_NAMES = (
    *(
        "",
        "os",
        "os.system",
        "antigravity",
        "numcodecs.pickle",
        "pickle",
        "bytes",
        "zstd",
        "sharding_indexed",
        "numcodecs.zlib",
    ),
    *("regular", "rectilinear", "default", "v2", "int32", "r24", "r0", "r7", "<i4", ">f8", "|O", "|V0", "|S0", "<U9999999999"),
    *(
        "<M8",
        "<M8[ns]",
        "<M8[9999999999s]",
        "struct",
        "string",
        "NaN",
        "0x7fc00000",
        "-Infinity",
        "group",
        "array",
        "F",
        "/",
        ".",
    ),
    *("\0", "\ud800", "..", "../x", "crc32c", "|V2147483648", "|S2147483647", "datetime64", "numpy.datetime64", "complex128"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 4, -5, 0.5, 1e308, -0.0, "x", [], [0], [None], [[]], {}, {"a": 1}, [1, 2, 3]),
    *(
        1 << 31,
        1 << 32,
        1 << 53,
        (1 << 63) - 1,
        1 << 63,
        1 << 64,
        1 << 200,
        10**30,
        [1 << 62],
        [1 << 40, 1 << 40],
        [-1],
        [True],
    ),
    *([1] * 64, [1] * 65, [2] * 64, [1.0], ["1"], {"name": "x"}, {"id": "x"}, {"name": "zstd", "configuration": []}),
    *({"name": "x", "must_understand": False}, {"configuration": {}}, ["zstd"] * 3, [{"name": "bytes"}] * 2, [["a", "<i4"]]),
    *([["a", "<i4", [1 << 40]]], [["a", [["b", "<i4"]]]], [["a", "<i4"], ["a", "<i4"]], [["", "|V4"]]),
)

_ODD = tuple(json.dumps(value).encode() for value in _VALUES)


def odd_value(rng: random.Random) -> Any:
    """Something that may be wrong wherever it stands."""
    kind = rng.randrange(12)
    if kind < 5:
        return parsed(rng.choice(_ODD))  # a new one: it may be changed further
    if kind < 8:
        return rng.choice(_NAMES)
    if kind == 8:
        return rng.choice(_NUMBERS) * rng.choice((1, -1))
    if kind == 9:
        return Raw(
            rng.choice(("NaN", "Infinity", "-Infinity", "1e400", "1" * 400, "-" + "9" * 4400, "1.0", "1e2", "01", "tru"))
        )
    if kind == 10:
        depth = rng.choice((2, 20, 95, 99, 100, 101, 150, 5000))
        return Raw("[" * depth + "]" * depth if rng.random() < 0.5 else '{"a":' * depth + "1" + "}" * depth)
    return (
        "x" * rng.choice((0, 1, 255, 256, 5000)) if rng.random() < 0.5 else [rng.choice((0, 1, 7))] * rng.choice((2, 100, 3000))
    )


def _places(value: Any, found: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """(container, position) of every value in a document but the outermost."""
    for n, item in enumerate(value):
        found.append((value, n))
        inner = item[1] if isinstance(value, Pairs) else item
        if isinstance(inner, list):
            _places(inner, found)
    return found


def document(rng: random.Random, text: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A JSON document, changed by its structure: fields removed, renamed, doubled, of another type, range or rank."""
    tree = parsed(text)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        places = _places(tree, [])
        if places:
            _change(rng, tree, *places[rng.randrange(len(places))], others)
    data = written(tree).encode("utf-8", "surrogatepass")
    return damaged(rng, data, others) if rng.random() < 0.1 else data


def _change(rng: random.Random, tree: Any, holder: Any, at: int, others: Sequence[bytes]) -> None:
    pairs = isinstance(holder, Pairs)
    value = holder[at][1] if pairs else holder[at]

    def put(new: Any) -> None:
        holder[at] = (holder[at][0], new) if pairs else new

    kind = rng.randrange(12)
    if kind == 0:
        del holder[at]
    elif kind == 1:
        twin = holder[at]
        if pairs and rng.random() < 0.5:
            twin = (twin[0], odd_value(rng))
        holder.insert(rng.randrange(len(holder) + 1), twin)
    elif kind == 2 and pairs:
        key = holder[at][0]
        key = rng.choice(
            (key + "_", key.upper(), key[:-1], rng.choice(_NAMES), "zarr.json", "a/" + key, "../" + key, "/" + key)
        )
        holder[at] = (key, value)
    elif kind == 3:
        # A value from elsewhere, in this document or another.
        source = parsed(rng.choice(others)) if others and rng.random() < 0.4 else tree
        inner, n = rng.choice(_places(source, []) or [(holder, at)])
        taken = inner[n][1] if isinstance(inner, Pairs) else inner[n]
        # Through text: a value that holds itself would be endless.
        put(Raw(written(taken)))
    elif kind == 4:
        put([value] if rng.random() < 0.5 else Pairs([("name", value)]))
    elif kind == 5 and pairs:
        holder.append((rng.choice(_NAMES), odd_value(rng)))
    elif kind == 6 and isinstance(value, list) and value:
        put(value * rng.choice((2, 3, 70)) if not isinstance(value, Pairs) else Pairs(value[:-1]))
    elif type(value) is int and rng.random() < 0.7:
        put(rng.choice((value + 1, value - 1, value * 2, -value, value * 1000, value * 1.0, str(value), value << 40)))
    elif isinstance(value, str) and rng.random() < 0.5:
        put(rng.choice((value[:-1], value + "x", value.upper(), value[1:], value + "\0", rng.choice(_NAMES))))
    else:
        put(odd_value(rng))
