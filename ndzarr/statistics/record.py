"""The record of an array's statistics as bytes, and back: a line with a checksum, a line of JSON, compressed columns. Pure.

docs/design/0010-statistics.md has the layout. A record that is damaged, or of another version, is no record: whoever reads goes
by the chunks then.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ndzarr._typing import Buffer, Coords, DType, NDArray, Shape
from ndzarr.errors import MemoryLimitError, MetadataError
from ndzarr.grid import Grid
from ndzarr.layout import Layout
from ndzarr.metadata import ArrayMeta
from ndzarr.statistics.evidence import WIDTH, fingerprint
from ndzarr.statistics.summary import Summary, ordered, total_dtype

#: The most chunks that an array with statistics may have: some 100 bytes are kept of each.
MOST_CHUNKS = 1 << 22
_MAGIC = "ndzarr statistics 1"
#: What is known of an object: nothing, that it is there, that it is not.
UNKNOWN, THERE, MISSING = 0, 1, 2


@dataclass(slots=True)
class Record:
    """Columns, each as long as there are objects or chunks in the grid, in C order.

    shape: of the array when it was looked at. state: UNKNOWN, THERE or MISSING. digests: of the bytes of objects; evidence: of
    what the store said of them, zeros for nothing. low, high, nans, totals, values: see `Summary`, of each chunk of an object
    whose state is not UNKNOWN.
    """

    shape: Shape
    layout: str
    state: NDArray
    digests: NDArray
    evidence: NDArray
    low: NDArray
    high: NDArray
    nans: NDArray
    totals: NDArray
    values: NDArray

    @classmethod
    def blank(cls, meta: ArrayMeta, objects: int, chunks: int) -> Record:
        """A record that knows nothing."""
        dtype = _kept_dtype(meta.dtype)
        return cls(
            meta.shape,
            fingerprint(meta),
            np.zeros(objects, np.uint8),
            np.zeros((objects, WIDTH), np.uint8),
            np.zeros((objects, WIDTH), np.uint8),
            np.zeros(chunks, dtype),
            np.zeros(chunks, dtype),
            np.zeros(chunks, "<i8"),
            np.zeros(chunks, total_dtype(meta.dtype) if ordered(meta.dtype) else np.uint8),
            np.zeros((chunks, WIDTH), np.uint8),
        )

    def columns(self) -> Sequence[NDArray]:
        """All columns, in the order in which they are stored."""
        return (
            self.state, self.digests, self.evidence, self.low, self.high, self.nans, self.totals, self.values,
        )  # fmt: skip

    def put(self, chunk: int, summary: Summary) -> None:
        """Keep the summary of one chunk."""
        self.low[chunk], self.high[chunk] = summary.low[0], summary.high[0]
        self.nans[chunk], self.totals[chunk] = summary.nans, summary.total[0]
        self.values[chunk] = np.frombuffer(summary.values, np.uint8)

    def copy_chunks(self, other: Record, chunks: NDArray) -> None:
        """Keep what another record has of these chunks."""
        for name in ("low", "high", "nans", "totals", "values"):
            getattr(self, name)[chunks] = getattr(other, name)[chunks]


def _kept_dtype(dtype: DType) -> DType:
    return dtype.newbyteorder("<") if ordered(dtype) else np.dtype(np.uint8)


def check_size(layout: Layout) -> None:
    """MemoryLimitError for a grid with more chunks than a record may have."""
    count = layout.grid.nchunks
    if count > MOST_CHUNKS:
        raise MemoryLimitError(
            f"statistics are kept of arrays with up to {MOST_CHUNKS} chunks, this one has {count}; with larger chunks "
            "there are fewer",
            found=count,
            expected=MOST_CHUNKS,
        )


def to_bytes(record: Record) -> bytes:
    """A record as it is stored."""
    head = json.dumps({"shape": list(record.shape), "layout": record.layout}).encode()
    packer = zlib.compressobj(1)
    parts = [packer.compress(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data) for column in record.columns()]
    body = b"".join([head, b"\n", *parts, packer.flush()])
    return f"{_MAGIC} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def from_bytes(data: Buffer, meta: ArrayMeta, layout: Layout) -> Record | None:
    """The record that `to_bytes` made of an array stored as `meta` says; None where it is of an array stored otherwise.

    Raises MetadataError for what is damaged.
    """
    first, _, body = bytes(data).partition(b"\n")
    if first != f"{_MAGIC} {hashlib.sha256(body).hexdigest()}".encode():
        version = first.startswith(_MAGIC.rpartition(" ")[0].encode()) and not first.startswith(_MAGIC.encode() + b" ")
        what = "they are of a version that this one does not know" if version else "their checksum is wrong"
        raise MetadataError(f"cannot read the statistics: {what}", found=first[:80], expected=_MAGIC)
    head, _, packed = body.partition(b"\n")
    try:
        document = json.loads(head)
        shape = tuple(int(n) for n in document["shape"])
        if document["layout"] != fingerprint(meta) or len(shape) != meta.ndim:
            return None
        objects, chunks = (math.prod(grid.shape) for grid in grids(meta, shape, layout))
        if max(objects, chunks) > MOST_CHUNKS:
            return None
        record = Record.blank(meta, objects, chunks)
        record.shape = shape
        unpacker, size = zlib.decompressobj(), sum(column.nbytes for column in record.columns())
        raw = unpacker.decompress(packed, size + 1)
        if len(raw) != size:
            raise ValueError(f"{len(raw)} bytes of columns, expected {size}")
        start = 0
        for column in record.columns():
            column.reshape(-1).view(np.uint8)[...] = np.frombuffer(raw, np.uint8, column.nbytes, start)
            start += column.nbytes
    except (ValueError, TypeError, KeyError, zlib.error, OverflowError) as error:
        raise MetadataError(f"cannot read the statistics: {error}") from error
    return record


def grids(meta: ArrayMeta, shape: Shape, layout: Layout) -> tuple[Grid, Grid]:
    """The grids of objects and of chunks that an array like this has in another shape."""
    objects = Grid.of(shape, meta.chunks)
    if layout.grid is layout.objects:
        return objects, objects
    return objects, Grid.of(shape, tuple([axis.size(0) for axis in layout.grid.axes]))


def fitted(record: Record, meta: ArrayMeta, layout: Layout) -> Record:
    """The record for the array's present shape: what it knows of objects whose part inside the array is what it was."""
    if record.shape == meta.shape:
        return record
    before, inner_before = grids(meta, record.shape, layout)
    now, inner_now = layout.objects, layout.grid
    made = Record.blank(meta, math.prod(now.shape), math.prod(inner_now.shape))
    for old, new, names in (
        (before, now, ("state", "digests", "evidence")),
        (inner_before, inner_now, ("low", "high", "nans", "totals", "values")),
    ):
        common = tuple([slice(0, min(a, b)) for a, b in zip(old.shape, new.shape, strict=True)])
        for name in names:
            source, target = getattr(record, name), getattr(made, name)
            target.reshape(*new.shape, *target.shape[1:])[common] = source.reshape(*old.shape, *source.shape[1:])[common]
    state = made.state.reshape(now.shape)
    for axis, (a, b) in enumerate(zip(before.axes, now.axes, strict=True)):
        for coord in range(b.count):
            if coord >= a.count or a.valid(coord) != b.valid(coord):
                # Of a regular axis these are the last ones of either shape.
                state[(slice(None),) * axis + (coord,)] = UNKNOWN
    return made


def chunks_of_objects(layout: Layout) -> NDArray:
    """The number of the object that each chunk lies in, in C order of the chunks."""
    if layout.grid is layout.objects:
        return np.arange(math.prod(layout.grid.shape))
    found = np.zeros((), np.int64)
    for chunks, objects in zip(layout.grid.axes, layout.objects.axes, strict=True):
        along = np.array([objects.find(chunks.start(coord)) for coord in range(chunks.count)], np.int64)
        found = found[..., None] * objects.count + along
    return found.reshape(-1)


def spot_of(number: int, shape: Shape) -> Coords:
    """The coords of a cell from its number in C order."""
    coords = []
    for n in reversed(shape):
        number, coord = divmod(number, n)
        coords.append(coord)
    return tuple(reversed(coords))
