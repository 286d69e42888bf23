"""Index expressions, values and small arrays, drawn by anything that makes choices: `random.Random`, or hypothesis.

One description of "every index that NumPy takes" serves two uses: `ndzarr.testing.strategies` draws from it through
hypothesis, which shrinks what fails; a long run draws from it through `RandomChoices`, which is some hundred times
faster.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from ndzarr._typing import Coords, DType, NDArray, Shape

T = TypeVar("T")
Maker: TypeAlias = Callable[[], T]


class Choices(Protocol):
    """Where the decisions come from. The first option, the lowest integer and False are taken to be the simplest."""

    def integer(self, low: int, high: int) -> int:
        """An integer, both ends included."""

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, which are not empty."""

    def chance(self, percent: int) -> bool:
        """True in `percent` of a hundred cases."""


class RandomChoices:
    """Choices from a seeded generator; equal seeds give equal expressions."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def chance(self, percent: int) -> bool:
        return self._random.random() * 100 < percent


def _weighted(choices: Choices, options: Sequence[tuple[int, T]]) -> T:
    """One option, as often as its weight says; the first one is the simplest."""
    at = choices.integer(0, sum(weight for weight, _ in options) - 1)
    for weight, option in options:
        at -= weight
        if at < 0:
            return option
    raise AssertionError("unreachable: the weights add up")


# ---- indices ----

_INT_DTYPES = ("intp", "i1", "i2", "i4", "u1", "u2", "u4", "u8", ">i8", ">u2")
_HUGE = 1 << 70


@dataclass(frozen=True, slots=True)
class IndexKinds:
    """Which parts of NumPy's index language to draw from.

    min_entries: at least so many axes get an entry of their own (fewer where the array has fewer). arrays: integer
    arrays, lists and masks. newaxis: None. invalid: about one expression in eight is spoilt, so that NumPy refuses it
    (mostly).
    """

    min_entries: int = 0
    arrays: bool = True
    newaxis: bool = True
    invalid: bool = False


def index(choices: Choices, shape: Shape, kinds: IndexKinds = IndexKinds()) -> Any:
    """An index expression for an array of this shape: anything that may stand between `a[` and `]`."""
    if kinds.arrays and choices.chance(4):
        return _whole(choices, shape)
    entries = _entries(choices, shape, kinds)
    if kinds.invalid and choices.chance(12):
        _spoil(choices, entries, shape)
    if len(entries) == 1 and choices.chance(60):
        return entries[0]
    return tuple(entries)


def _whole(choices: Choices, shape: Shape) -> Any:
    """The forms that concern the array as a whole."""
    options: list[Maker[Any]] = [
        lambda: (),
        lambda: Ellipsis,
        lambda: None,
        lambda: True,
        lambda: False,
        lambda: np.True_,
        lambda: np.array(choices.chance(50)),
        lambda: _mask(choices, shape, None),
        lambda: (Ellipsis, None),
        lambda: (True, Ellipsis),
    ]
    return choices.pick(options)()


def _entries(choices: Choices, shape: Shape, kinds: IndexKinds) -> list[Any]:
    ndim = len(shape)
    fewest = min(kinds.min_entries, ndim)
    indexed = ndim if choices.chance(45) else choices.integer(fewest, ndim)
    # Entries before an Ellipsis belong to the first axes, those after it to the last.
    tail = choices.integer(0, indexed) if choices.chance(30 if indexed < ndim else 15) else None
    axes: list[int | None] = list(range(indexed))
    if tail is not None:
        axes = [*range(indexed - tail), None, *range(ndim - tail, ndim)]  # None stands for the Ellipsis

    fancy = kinds.arrays and choices.chance(60)
    broadcast = _broadcast_shape(choices) if fancy else ()
    entries: list[Any] = []
    skip = 0
    for position, axis in enumerate(axes):
        if skip:
            skip -= 1
            continue
        if axis is None:
            entries.append(Ellipsis)
            continue
        run = 1  # how many axes a mask that starts here may cover
        while position + run < len(axes) and axes[position + run] is not None:
            run += 1
        entry, used = _entry(choices, shape, axis, run, fancy, broadcast)
        entries.append(entry)
        skip = used - 1
    if kinds.newaxis and choices.chance(20):
        for _ in range(choices.integer(1, 2)):
            entries.insert(choices.integer(0, len(entries)), None)
    if kinds.arrays and choices.chance(4):
        entries.insert(choices.integer(0, len(entries)), choices.pick((True, np.True_, np.array(True), False)))
    return entries


def _broadcast_shape(choices: Choices) -> Shape:
    rank = _weighted(choices, ((6, 1), (3, 2), (1, 0), (1, 3)))
    return tuple(_weighted(choices, ((4, 2), (3, 3), (2, 1), (2, 4), (1, 0))) for _ in range(rank))


def _entry(choices: Choices, shape: Shape, axis: int, run: int, fancy: bool, broadcast: Shape) -> tuple[Any, int]:
    """One entry for `axis`, and how many axes it covers."""
    length = shape[axis]
    kind = _weighted(
        choices,
        (
            (5, "slice"),
            (3 if length else 0, "int"),
            (8 if fancy and (length or 0 in broadcast) else 0, "array"),
            (3 if fancy else 0, "mask"),
        ),
    )
    if kind == "int":
        return _int(choices, length), 1
    if kind == "array":
        return _int_array(choices, length, broadcast), 1
    if kind == "mask":
        rank = 1 if run == 1 or choices.chance(60) else choices.integer(1, run)
        return _mask(choices, shape[axis : axis + rank], broadcast[-1] if broadcast else 1), rank
    return _slice(choices, length), 1


def _int(choices: Choices, length: int) -> Any:
    value = choices.integer(-length, length - 1)
    forms: tuple[tuple[int, Callable[[int], Any]], ...] = ((6, int), (1, np.int64), (1, np.int8), (1, np.array))
    return _weighted(choices, forms)(value)


def _slice(choices: Choices, length: int) -> slice:
    if choices.chance(25):
        return slice(None)
    far = length + 2
    start: Any = None if choices.chance(25) else choices.integer(-far, far)
    stop: Any = None if choices.chance(25) else choices.integer(-far, far)
    step: Any = _weighted(choices, ((8, None), (4, -1), (3, 2), (2, -2), (2, 3), (1, 1), (1, -3), (1, far), (1, -far)))
    if not range(*slice(start, stop, step).indices(length)) and choices.chance(70):
        start, stop = stop, start  # empty results are too many otherwise
    if choices.chance(4):
        start = np.int64(start) if start is not None else -_HUGE
    if choices.chance(4):
        stop = _HUGE
    if step is not None and choices.chance(4):
        step = np.int16(step)
    return slice(start, stop, step)


def _int_array(choices: Choices, length: int, broadcast: Shape) -> Any:
    """Integers within the axis, of a shape that broadcasts to `broadcast`."""
    shape = _narrower(choices, broadcast)
    count = 1
    for n in shape:
        count *= n
    dtype = np.dtype(_weighted(choices, ((8, "intp"), (4, choices.pick(_INT_DTYPES)))))
    low = 0 if dtype.kind == "u" or choices.chance(40) else -length
    values = [choices.integer(low, length - 1) if length else 0 for _ in range(count)]
    array = np.array(values, dtype).reshape(shape)
    if choices.chance(30) and array.ndim:
        return array.tolist()  # an empty list among them, whose type NumPy has to guess
    if array.ndim > 1 and choices.chance(20):
        return np.asfortranarray(array)
    if array.ndim == 1 and choices.chance(10):
        return np.repeat(array, 2)[::2]  # not contiguous
    return array


def _narrower(choices: Choices, shape: Shape) -> Shape:
    """`shape`, perhaps without its first dimensions, perhaps with some of them 1: it broadcasts to `shape`."""
    if not choices.chance(30):
        return shape
    kept = shape[choices.integer(0, len(shape)) :]
    return tuple(1 if choices.chance(40) else n for n in kept)


def _mask(choices: Choices, shape: Shape, count: int | None) -> Any:
    """A mask; with about `count` true elements, which lets it stand beside index arrays of that length."""
    size = 1
    for n in shape:
        size *= n
    flat = np.zeros(size, bool)
    if count is None or choices.chance(20):
        if size:
            period = choices.integer(1, min(size, 5))
            flat[choices.integer(0, size - 1) :: period] = True
    else:
        for _ in range(min(count, size)):
            free = np.flatnonzero(~flat)
            flat[free[choices.integer(0, len(free) - 1)]] = True
    mask = flat.reshape(shape)
    if mask.ndim and size and choices.chance(15):
        return mask.tolist()
    if mask.ndim > 1 and choices.chance(15):
        return np.asfortranarray(mask)
    return mask


def _spoil(choices: Choices, entries: list[Any], shape: Shape) -> None:
    """Put one fault into the expression."""
    longest = max(shape, default=0)
    faulty: list[Maker[Any]] = [
        lambda: longest,
        lambda: -longest - 1,
        lambda: _HUGE,
        lambda: 1.0,
        lambda: np.float64(0),
        lambda: "0",
        lambda: b"f0",
        lambda: 1j,
        lambda: object(),
        dict,
        lambda: np.datetime64(0, "s"),
        lambda: [0, longest],
        lambda: np.array([-longest - 1]),
        lambda: np.array([0.0]),
        lambda: np.array([], np.float64),
        lambda: np.array(["0"]),
        lambda: np.array([0], object),
        lambda: [0.5],
        lambda: [[0, 0], [0]],
        lambda: [0, None],
        lambda: np.zeros(longest + 1, bool),
        lambda: np.ones((longest + 1, 2), bool),
        lambda: [0] * 7,
        lambda: slice(0, 1, 0),
        lambda: slice("a"),
        lambda: slice(0.0, 1),
        lambda: slice(None, None, 1.5),
    ]
    how = choices.integer(0, 5)
    if how == 0 and entries:
        entries.extend([slice(None)] * (len(shape) + 1))  # too many indices
    elif how == 1:
        entries.insert(choices.integer(0, len(entries)), Ellipsis)
        entries.insert(choices.integer(0, len(entries)), Ellipsis)
    elif entries:
        entries[choices.integer(0, len(entries) - 1)] = choices.pick(faulty)()
    else:
        entries.append(choices.pick(faulty)())


# ---- values to assign ----

_OTHER_DTYPES = ("i8", "f8", "?", "u1", "c16", "i2", ">i4", "f4", "U3", "S2", "O", "M8[s]")
_MISFITS: tuple[Any, ...] = (None, "x", "12", 300, -1, float("nan"), 1e300, 2j, b"\xff", [[1], [1, 2]], 1 << 80, object())
#: Of both the last are left out for strings without a length: NumPy 2.4 crashes when it has to cast one value to more than 15
#: bytes of text for an index array (2.5 does not).
_LONG_TEXTS, _LONG_TEXT_DTYPES = 2, 1


def value(choices: Choices, shape: Shape, dtype: DType, *, mismatched: bool = False) -> Any:
    """Something to assign to a selection of this shape: a scalar, nested lists or an array that broadcasts to it.

    Most are of the array's own dtype. `mismatched` adds, now and then, other dtypes, values that do not fit the dtype
    and shapes that do not broadcast.
    """
    if mismatched and choices.chance(4):
        return choices.pick(_MISFITS[: -_LONG_TEXTS if dtype.kind == "T" else None])
    kind = _weighted(choices, ((5, "full"), (4, "scalar"), (4, "narrow"), (1, "list"), (1, "leading")))
    given = shape
    if kind == "scalar":
        given = ()
    elif kind == "narrow":
        kept = shape[choices.integer(0, len(shape)) :]
        given = tuple(1 if choices.chance(35) else n for n in kept)
    elif kind == "leading":
        given = (1,) * choices.integer(1, 2) + shape
    if mismatched and choices.chance(6):
        at = choices.integer(0, len(given))
        given = (*given[:at], choices.integer(0, 5), *given[at:])
    own = not (mismatched and choices.chance(25))
    others = _OTHER_DTYPES[: -_LONG_TEXT_DTYPES if dtype.kind == "T" else None]
    array = pattern(given, dtype if own else np.dtype(choices.pick(others)), choices.integer(1, 50))
    if not given and choices.chance(80):
        scalar: Any = array[()]
        return scalar.item() if isinstance(scalar, np.generic) and choices.chance(50) else scalar
    if kind == "list" or choices.chance(4):
        return array.tolist()
    if array.ndim > 1 and choices.chance(20):
        return np.asfortranarray(array)
    return array


def pattern(shape: Shape, dtype: DType, start: int = 0) -> NDArray:
    """An array whose elements differ from one another as far as the dtype lets them, beginning at `start`."""
    size = 1
    for n in shape:
        size *= n
    count = np.arange(start, start + size)
    if dtype.fields is not None:
        array = np.zeros(size, dtype)
        for name in dtype.names or ():
            field = dtype[name]
            array[name] = pattern((size, *field.shape), field.base, start)
        return array.reshape(shape)
    kind = dtype.kind
    if kind == "b":
        return np.asarray(count % 3 == 0).reshape(shape)
    if kind in "iu":
        return (count * 7 % (1 << (8 * min(dtype.itemsize, 4) - 1))).astype(dtype).reshape(shape)
    if kind == "f":
        return (count + 0.5).astype(dtype).reshape(shape)
    if kind == "c":
        return (count - 1j * count).astype(dtype).reshape(shape)
    if kind in "mM":
        return count.astype("i8").view(f"{kind}8{dtype.str[3:]}").astype(dtype).reshape(shape)
    if kind in "SU":
        return np.array([str(n)[-dtype.itemsize :] for n in count], dtype).reshape(shape)
    if kind == "V":
        return np.array([str(n).encode() for n in count], f"S{dtype.itemsize}").view(dtype).reshape(shape)
    objects = np.empty(size, object)
    objects[:] = [str(n) for n in count]
    return (objects.astype(dtype) if kind == "T" else objects).reshape(shape)


# ---- arrays ----

#: "T" is strings of any length.
_DTYPES = ("i4", "f8", "i2", "u1", ">i2", "?", "c8", "S2", "U2", "M8[ns]", ">m8[25s]", "f2", "i4,f4", "T")
_COMPRESSORS = (None, "zstd", "blosc")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A small array with the facts about its storage: all that `create_array` needs, and what it must hold.

    lengths: of the chunks along each axis. missing: coordinates of chunks that are never written. data: the contents, with
    the fill value where chunks are missing. keywords: the keyword arguments of `create_array`.
    """

    data: NDArray
    lengths: tuple[Shape, ...]
    missing: frozenset[Coords]
    keywords: Mapping[str, Any]

    def regions(self) -> Iterator[tuple[Coords, tuple[slice, ...]]]:
        """Each chunk's coordinates with the part of the array that it covers."""
        axes = []
        for length, chunks in zip(self.data.shape, self.lengths, strict=True):
            stops = list(accumulate(chunks))
            axes.append(
                [slice(stop - n, min(stop, length)) for stop, n in zip(stops, chunks, strict=True) if stop - n < length]
            )
        for cells in product(*(enumerate(axis) for axis in axes)):
            yield tuple(k for k, _ in cells), tuple(cell for _, cell in cells)

    def fill_into(self, target: Any) -> None:
        """Write every chunk that is not missing into `target`, an array made with `keywords`."""
        for coords, region in self.regions():
            if coords not in self.missing:
                target[region] = self.data[region]


def sample(choices: Choices) -> Sample:
    """An array of 0 to 4 dimensions, in any layout; zero-length axes, ragged, oversized and missing chunks among them."""
    ndim = _weighted(choices, ((4, 2), (4, 3), (3, 1), (1, 4), (1, 0)))
    longest = {1: 17, 2: 8, 3: 7, 4: 5}.get(ndim, 1)
    shape = tuple(0 if choices.chance(3) else choices.integer(1, longest) for _ in range(ndim))
    # Not one chunk an element: a chunk of 2 or more keeps the number of objects, and so the time, down.
    chunks = tuple(choices.integer(min(2, n), n + 2) or 1 for n in shape)
    dtype = np.dtype(choices.pick(_DTYPES) if choices.chance(50) else "i4")
    lengths, keywords = _weighted(choices, _LAYOUTS)(choices, shape, chunks, dtype)
    # Format 3 knows no byte order of dtypes, nor NumPy one of strings without a length.
    native = dtype if keywords["zarr_format"] == 2 or dtype.kind == "T" else dtype.newbyteorder("=")
    data = pattern(shape, native)
    fill = pattern((), native, choices.integer(0, 90))[()]
    made = Sample(data, lengths, frozenset(), {"shape": shape, "dtype": dtype, "fill_value": fill, **keywords})
    if not choices.chance(40):
        return made
    missing = frozenset(coords for coords, _ in made.regions() if choices.chance(30))
    for coords, region in made.regions():
        if coords in missing:
            data[region] = fill
    return Sample(data, lengths, missing, made.keywords)


# ---- layouts: chunk lengths by axis, and the keywords of `create_array` that ask for them ----

_Layout: TypeAlias = tuple[tuple[Shape, ...], dict[str, Any]]


def _even(shape: Shape, chunks: Shape) -> tuple[Shape, ...]:
    return tuple((c,) * -(-n // c) for n, c in zip(shape, chunks, strict=True))


def _plain(choices: Choices, shape: Shape, chunks: Shape, dtype: DType) -> _Layout:
    order = "F" if choices.chance(25) else "C"
    version = 2 if choices.chance(50) and dtype.kind != "T" else 3
    return _even(shape, chunks), {
        "chunks": chunks, "order": order, "compressor": choices.pick(_COMPRESSORS), "zarr_format": version,
    }  # fmt: skip


def _sharded(choices: Choices, shape: Shape, chunks: Shape, dtype: DType) -> _Layout:
    shards = tuple(c * choices.integer(1, 3) for c in chunks)
    lengths, keywords = _plain(choices, shape, chunks, dtype)
    return lengths, {**keywords, "shards": shards, "zarr_format": 3}


def _permutation(choices: Choices, ndim: int) -> list[int]:
    """Mostly one that is not its own inverse, where there is any."""
    left = list(range(ndim))
    if ndim > 2 and choices.chance(70):
        return [*left[1:], left[0]]
    return [left.pop(choices.integer(0, len(left) - 1)) for _ in range(ndim)]


def _chain(choices: Choices, dtype: DType) -> list[Any]:
    compressor = choices.pick(_COMPRESSORS)
    endian = choices.pick(("little", "big"))
    serializer: Any = {"name": "bytes", "configuration": {"endian": endian}} if dtype.itemsize > 1 else "bytes"
    if dtype.kind == "T":
        serializer = "vlen-utf8"
    blosc = {"typesize": 1, "cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}
    return [
        serializer,
        *([] if compressor is None else [{"name": compressor, "configuration": blosc if compressor == "blosc" else {}}]),
    ]


def _transposed(choices: Choices, shape: Shape, chunks: Shape, dtype: DType) -> _Layout:
    order = _permutation(choices, len(shape))
    transpose = {"name": "transpose", "configuration": {"order": order}}
    return _even(shape, chunks), {
        "chunks": chunks,
        "filters": [transpose],
        "compressor": _chain(choices, dtype),
        "zarr_format": 3,
    }


def _nested(choices: Choices, shape: Shape, chunks: Shape, dtype: DType) -> _Layout:
    """Shards of shards, or one level, with transposes before and inside, the index in front or behind."""
    order = _permutation(choices, len(shape))
    outer = chunks
    chain: list[Any] = _chain(choices, dtype)
    if choices.chance(50):
        turn = _permutation(choices, len(shape))
        chain.insert(0, {"name": "transpose", "configuration": {"order": turn}})
    lengths = tuple(chunks[axis] for axis in order)
    for _ in range(choices.integer(1, 2)):
        chain = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(lengths),
                    "codecs": chain,
                    "index_codecs": [
                        {"name": "bytes", "configuration": {"endian": choices.pick(("little", "big"))}},
                        *(["crc32c"] if choices.chance(50) else []),
                    ],
                    "index_location": choices.pick(("end", "start")),
                },
            }
        ]  # fmt: skip
        factors = [choices.integer(1, 3) for _ in shape]
        lengths = tuple(n * factors[axis] for n, axis in zip(lengths, order, strict=True))
        outer = tuple(n * factor for n, factor in zip(outer, factors, strict=True))
    filters = [{"name": "transpose", "configuration": {"order": order}}]
    return _even(shape, chunks), {"chunks": outer, "filters": filters, "compressor": chain, "zarr_format": 3}


def _uneven(choices: Choices, length: int, unit: int = 1) -> Shape:
    """Chunk lengths that reach `length`, the last of them perhaps past it, and one more perhaps."""
    lengths: list[int] = []
    while sum(lengths) < max(1, length) or choices.chance(10):
        lengths.append(choices.integer(1, max(1, length // unit)) * unit)
    return tuple(lengths)


def _rectilinear(choices: Choices, shape: Shape, chunks: Shape, dtype: DType) -> _Layout:
    even = _even(shape, chunks)
    _, keywords = _plain(choices, shape, chunks, dtype)
    axes = [choices.chance(60) or axis == 0 for axis in range(len(shape))]
    uneven = [_uneven(choices, n) if odd else None for n, odd in zip(shape, axes, strict=True)]
    lengths = tuple(even[axis] if u is None else u for axis, u in enumerate(uneven))
    given = tuple(chunks[axis] if u is None else list(u) for axis, u in enumerate(uneven))
    return lengths, {**keywords, "chunks": given, "zarr_format": 3}


def _rectilinear_shards(choices: Choices, shape: Shape, chunks: Shape, dtype: DType) -> _Layout:
    _, keywords = _plain(choices, shape, chunks, dtype)
    shards = tuple(list(_uneven(choices, n, c)) for n, c in zip(shape, chunks, strict=True))
    return _even(shape, chunks), {**keywords, "chunks": chunks, "shards": shards, "zarr_format": 3}


_LAYOUTS = (
    (6, _plain),
    (4, _sharded),
    (2, _transposed),
    (4, _nested),
    (3, _rectilinear),
    (2, _rectilinear_shards),
)
