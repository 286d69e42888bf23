"""The digest of an array's elements, whatever chunks, codecs, format, order or store they lie in; docs/knowing.md defines it.

The elements are cut into blocks whose shape depends on the array's shape alone; each block is hashed, and the hashes are
hashed. Blocks and chunks have no borders in common: a *region* is as many blocks as memory allows, chosen so that few chunks
lie in more than one of them, for each region decodes all chunks that it touches. The blocks of a region are hashed on threads.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, NDArray, Shape
from ndzarr.canonical import dtype_name, element_bytes
from ndzarr.crew import share
from ndzarr.errors import ArgumentError
from ndzarr.memory import room
from ndzarr.operand import Operand
from ndzarr.progress import Progress, meter

#: The most elements of a block.
BLOCK = 1 << 16
#: What the first line of all that is hashed for a root says.
_HEAD = "ndzarr digest 1"
#: About the time of hashing a byte.
_NS_PER_BYTE = 1.0


def algorithm_named(name: str) -> str:
    """`name` itself, when every Python's hashlib has it and it gives digests of one length; ArgumentError otherwise."""
    usable = sorted(known for known in hashlib.algorithms_guaranteed if not known.startswith("shake"))
    if name not in usable:
        raise ArgumentError(
            f"algorithm is {name!r}, expected one of {', '.join(usable)}", field="algorithm", found=name, expected=usable
        )
    return name


def block_shape(shape: Shape) -> Shape:
    """The lengths of a block: powers of two, as few as the axis has; the longest is halved until there are 2**16 elements.

    >>> block_shape((1000, 1000)), block_shape((3, 5)), block_shape(())
    ((256, 256), (4, 8), ())
    """
    lengths = [1 << max(0, n - 1).bit_length() for n in shape]
    while math.prod(lengths) > BLOCK:
        lengths[lengths.index(max(lengths))] //= 2
    return tuple(lengths)


def array_digest(array: Operand, algorithm: str = "sha256", progress: Progress = None) -> str:
    """The digest of all elements, as "algorithm:hexadecimal digits"; see docs/knowing.md.

    Memory: about `options(working_memory)`, and one hash for each 2**16 elements. Raises ArgumentError for an algorithm that
    is none and for objects that have no bytes of their own, and what reading raises.
    """
    algorithm_named(algorithm)
    with meter(progress, math.prod(array.shape), "digest") as done:
        return _digest(array, algorithm, done)


def _digest(array: Operand, algorithm: str, done: Callable[[int], object]) -> str:
    shape = tuple(array.shape)
    name = dtype_name(array.dtype)
    lengths = block_shape(shape)
    counts = tuple([-(-n // length) for n, length in zip(shape, lengths, strict=True)])
    width = hashlib.new(algorithm).digest_size
    hashes = room((math.prod(counts), width), np.dtype(np.uint8), "the hashes of all blocks")

    for region in _regions(array, lengths) if hashes.size else ():
        box = tuple([slice(s.start * n, min(s.stop * n, m), 1) for s, n, m in zip(region, lengths, shape, strict=True)])
        values = array.read_box(box)
        _hash_region(values, region, lengths, counts, hashes, algorithm)
        done(values.size)
    root = hashlib.new(algorithm, b"\x01")
    root.update(f"{_HEAD}\n{_text(name)}\n{_text(list(shape))}\n".encode())
    root.update(hashes.data if hashes.size else b"")
    return f"{algorithm}:{root.hexdigest()}"


def group_digest(arrays: Mapping[str, Operand | None], algorithm: str = "sha256", progress: Progress = None) -> str:
    """The digest of a group from all that it holds: arrays, and None for a group, by path relative to it.

    progress counts elements. Raises what `array_digest` raises.
    """
    algorithm_named(algorithm)
    total = sum(math.prod(array.shape) for array in arrays.values() if array is not None)
    inside: dict[str, dict[str, str]] = {"": {}}
    with meter(progress, total, "digest") as done:
        # What lies deepest comes first, so that the digests of a group's members are there when it is its turn.
        for path in sorted(arrays, key=lambda path: -path.count("/")):
            array = arrays[path]
            found = _group_root(inside.get(path, {}), algorithm) if array is None else _digest(array, algorithm, done)
            above, _, name = path.rpartition("/")
            inside.setdefault(above, {})[name] = found
    return _group_root(inside[""], algorithm)


def _group_root(members: Mapping[str, str], algorithm: str) -> str:
    root = hashlib.new(algorithm, b"\x02")
    root.update(f"{_HEAD}\n".encode())
    for name in sorted(members, key=str.encode):
        root.update(f"{_text(name)} {members[name]}\n".encode())
    return f"{algorithm}:{root.hexdigest()}"


def _text(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _hash_region(
    values: NDArray, region: Sequence[slice], lengths: Shape, counts: Shape, hashes: NDArray, algorithm: str
) -> None:
    """Put the hashes of a region's blocks in their places; `region` counts blocks, `values` are its elements."""

    def work(mine: Iterator[tuple[int, ...]]) -> None:
        for coords in mine:
            inner = tuple(
                [slice((c - s.start) * n, (c - s.start + 1) * n) for c, s, n in zip(coords, region, lengths, strict=True)]
            )
            block = values[inner] if inner else values
            number = 0
            for coord, count in zip(coords, counts, strict=True):
                number = number * count + coord
            leaf = hashlib.new(algorithm, b"\x00")
            leaf.update(element_bytes(block))
            hashes[number] = np.frombuffer(leaf.digest(), np.uint8)  # a place of its own: no lock needed

    blocks = product(*(range(s.start, s.stop) for s in region))
    total = math.prod(s.stop - s.start for s in region)
    share(blocks, work, _NS_PER_BYTE * values.nbytes / max(1, total), config.current().workers, count=total)


def _regions(array: Operand, lengths: Shape) -> Iterator[Box]:
    """Boxes of blocks that cover the array, in C order."""
    shape = tuple(array.shape)
    counts = [-(-n // length) for n, length in zip(shape, lengths, strict=True)]
    chunks = [min(border.chunk, max(1, n)) for border, n in zip(array.borders(), shape, strict=True)]
    # Half is left to the encoded and decoded chunks that a read holds, and to the bytes that are hashed.
    limit = config.current().working_memory // 2 // max(1, array.dtype.itemsize)
    spans = [1] * len(shape)
    while True:
        options = []
        for axis, span in enumerate(spans):
            wider = min(counts[axis], 2 * span)
            grown = [*spans[:axis], wider, *spans[axis + 1 :]]
            if wider > span and math.prod(n * length for n, length in zip(grown, lengths, strict=True)) <= limit:
                gain = _times(span * lengths[axis], chunks[axis], shape[axis]) / _times(
                    wider * lengths[axis], chunks[axis], shape[axis]
                )
                options.append((gain, axis, wider))
        if not options:
            break
        gain, axis, wider = max(options, key=lambda option: (option[0], option[1]))
        spans[axis] = wider
    yield from product(*(_along(count, span) for count, span in zip(counts, spans, strict=True)))


def _along(count: int, span: int) -> list[slice]:
    return [slice(start, min(start + span, count), 1) for start in range(0, count, span)]


def _times(region: int, chunk: int, n: int) -> float:
    """About how often each chunk along an axis is touched by regions of that length."""
    return 1.0 if region >= n else (region + chunk - math.gcd(region, chunk)) / region
