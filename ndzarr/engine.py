"""Read, write and erase chunk objects: the only module but `nodes` that calls a store.

One `Engine` serves one array in one store. A read plans, fetches each object, decodes it and scatters it into the result; a
write does the reverse under the object's lock. `crew` shares the work out among threads.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Buffer, ByteRange, Coords, DType, NDArray, Shape
from ndzarr.crew import Ledger, share
from ndzarr.errors import ArgumentError, CorruptChunkError, MemoryLimitError, MissingChunkError
from ndzarr.layout import Layout
from ndzarr.metadata import ArrayMeta
from ndzarr.plan import AxisIndex, Part, plan
from ndzarr.scatter import fill, put, take
from ndzarr.selection import Selection
from ndzarr.stores.base import Store

#: How many chunks an error lists.
_TOLD = 1000
#: Copying decoded bytes to their place.
_COPY_NS_PER_BYTE = 0.1


class Engine:
    """The chunk objects of one array. Immutable and safe to use from any thread."""

    __slots__ = ("_most", "_part_ns", "_range", "layout", "meta", "path", "store")

    def __init__(self, store: Store, meta: ArrayMeta, layout: Layout, path: str) -> None:
        self.store = store
        self.meta = meta
        self.layout = layout
        self.path = path
        pipeline = layout.pipeline
        # Ask for one byte more than any correct object has: a longer one is noticed without being read (promise P11).
        most = config.current().max_object if pipeline.max_encoded is None else pipeline.max_encoded
        self._most = most
        self._range = ByteRange(0, most + 1)
        self._part_ns = pipeline.decode_ns + _COPY_NS_PER_BYTE * layout.chunk.nbytes

    # ---- read --------------------------------------------------------------------------------

    def read(self, selection: Selection, field: str | None = None) -> Any:
        """What `selection` selects, as a fresh array (or a scalar); with `field`, that field of a structured dtype.

        Raises CorruptChunkError, StoreError, MissingChunkError (under `options(missing="raise")`), MemoryLimitError.
        """
        options = config.current()
        dtype = self.layout.chunk.dtype if field is None else self.layout.chunk.dtype[field]
        nbytes = math.prod(selection.work_shape) * dtype.itemsize
        if options.max_result is not None and nbytes > options.max_result:
            raise MemoryLimitError(
                f"reading {selection.shape} of {self.path!r} needs {nbytes} bytes, options(max_result=) allows "
                f"{options.max_result}; read it in slices",
                path=self.path,
                found=nbytes,
                expected=options.max_result,
            )
        out = _room(selection.work_shape, dtype, f"a result of shape {selection.shape}")
        if out.size:
            share(plan(selection, self.layout.grid), _Reader(self, out, field, options), self._part_ns, options.workers)
        trailing = out.shape[len(selection.work_shape) :]  # of a field that is itself an array
        result = out.reshape(selection.shape + trailing)
        return result[()] if selection.scalar else result

    def read_point(self, index: tuple[int, ...]) -> Any:
        """One element, for plain ints already within bounds: the shortest way from an index to a scalar.

        Does what `read` does for a selection of Points only; a test compares the two.
        """
        layout = self.layout
        coords = []
        local = []
        for i, axis in zip(index, layout.grid.axes, strict=True):
            coord, offset = divmod(i, axis.chunk)
            coords.append(coord)
            local.append(offset)
        pipeline = layout.pipeline
        spot = tuple(coords)
        if pipeline.raw:
            offset = 0
            for step, extent in zip(local, layout.chunk.shape, strict=True):
                offset = offset * extent + step
            dtype = layout.chunk.dtype
            offset *= dtype.itemsize
            data = self.store.get(layout.key(spot), ByteRange(offset, offset + dtype.itemsize))
            if data is not None:
                if len(data) != dtype.itemsize:
                    raise self._short(spot, offset, len(data), dtype.itemsize)
                return _own(np.frombuffer(data, dtype)[0])
        else:
            data = self.store.get(layout.key(spot), self._range)
            if data is not None:
                return _own(self._decode(data, spot, None)[tuple(local)])
        self._missing(spot, config.current())
        return _own(fill_array(layout)[()]) if layout.chunk.dtype.kind == "O" else _own(layout.fill)

    def _read_part(self, part: Part, out: NDArray, field: str | None, options: config.Options, scratch: _Scratch) -> None:
        layout = self.layout
        pipeline = layout.pipeline
        if pipeline.raw and part.simple and not part.whole and field is None and self._read_span(part, out, options):
            return
        data = self.store.get(layout.key(part.coords), self._range)
        if data is None:
            self._missing(part.coords, options)
            fill(part, out, fill_array(layout) if field is None else layout.fill[field])
            return
        # Decode straight into the result where the whole chunk lands in one stretch of it. Safe: the pipeline fills `target`
        # or returns another array, a failed decode raises before the caller can see the result, and no other part has this
        # target (plan, rule (a)).
        if part.whole and part.simple and field is None:
            target = out[part.target] if part.target else out  # `out[()]` of a 0-d array would be a scalar
            if target.flags.c_contiguous and target.shape == layout.chunk.shape:
                chunk = self._decode(data, part.coords, target)
                if chunk is not target:
                    target[...] = chunk
                return
        chunk = self._decode(data, part.coords, scratch.array)
        take(part, chunk if field is None else chunk[field], out)

    def _read_span(self, part: Part, out: NDArray, options: config.Options) -> bool:
        """Read only the bytes between the first and the last element wanted; False when that is most of the chunk.

        Safe: the elements of a raw chunk lie at known offsets, `np.ndarray` refuses strides that leave the buffer, and an
        object too short for the range is refused here.
        """
        layout = self.layout
        itemsize = layout.chunk.dtype.itemsize
        first = last = 0
        shape: list[int] = []
        strides: list[int] = []
        stride = itemsize
        for entry, extent in zip(reversed(part.source), reversed(layout.chunk.shape), strict=True):
            if type(entry) is slice:
                count = -(-(entry.stop - entry.start) // entry.step)
                first += entry.start * stride
                last += (entry.start + (count - 1) * entry.step) * stride
                shape.append(count)
                strides.append(entry.step * stride)
            else:
                first += entry * stride  # type: ignore[assignment]  # a simple part has ints and slices only
                last += entry * stride  # type: ignore[assignment]  # likewise
            stride *= extent
        stop = last + itemsize
        if (stop - first) * 2 > layout.chunk.nbytes:
            return False
        data = self.store.get(layout.key(part.coords), ByteRange(first, stop))
        if data is None:
            self._missing(part.coords, options)
            fill(part, out, fill_array(layout))
            return True
        if len(data) != stop - first:
            raise self._short(part.coords, first, len(data), stop - first)
        out[part.target] = np.ndarray(shape[::-1], layout.chunk.dtype, data, 0, strides[::-1])
        return True

    def _decode(self, data: Buffer, coords: Coords, out: NDArray | None) -> NDArray:
        pipeline = self.layout.pipeline
        most = self._most
        if len(data) > most:
            raise CorruptChunkError(
                f"cannot decode {self._name(coords)}: the object has more than {most} bytes, the most that "
                + (
                    "its codecs can make of a chunk; it is no chunk of this array, or damaged"
                    if pipeline.max_encoded is not None
                    else "options(max_object=) allowed when the array was opened"
                ),
                **self._where(coords),
                codec=pipeline.codecs[-1].name,
                expected=most,
            )
        try:
            return pipeline.decode(data, out)
        except CorruptChunkError as error:
            raise CorruptChunkError(
                f"cannot decode {self._name(coords)}: {error}",
                **self._where(coords),
                codec=error.codec,
                found=error.found,
                expected=error.expected,
            ) from error

    def _short(self, coords: Coords, first: int, found: int, expected: int) -> CorruptChunkError:
        return CorruptChunkError(
            f"cannot decode {self._name(coords)}: found {found} bytes at offset {first} of an uncompressed chunk, expected "
            f"{expected}; the object is truncated",
            **self._where(coords),
            codec="bytes",
            found=found,
            expected=expected,
        )

    def _missing(self, coords: Coords, options: config.Options) -> None:
        if options.missing == "raise":
            raise MissingChunkError(
                f"{self._name(coords)} was never written, and options(missing='raise') is in force",
                **self._where(coords),
            )

    def _name(self, coords: Coords) -> str:
        return f"chunk {coords} of {self.path or '/'!r} (key {self.layout.key(coords)!r} in {self.store.url})"

    def _where(self, coords: Coords) -> dict[str, Any]:
        return {"store": self.store.url, "path": self.path, "key": self.layout.key(coords), "coords": coords}

    # ---- write --------------------------------------------------------------------------------

    def write(self, selection: Selection, value: NDArray, field: str | None = None) -> None:
        """Put `value`, shaped like the work array of `selection`, where `selection` says; one object at a time, each whole.

        `value` has the dtype of the array (or of `field`). After an exception the objects already replaced hold new values,
        the others old ones; no thread of ours still writes when the exception reaches the caller (promise P17).
        """
        if 0 in selection.shape:
            return
        options = config.current()
        if options.exclusive is True and not self.store.exclusive:
            raise ArgumentError(
                f"options(exclusive=True) is in force, but {self.store.url} cannot keep other processes out",
                store=self.store.url,
            )
        done: Ledger = []
        try:
            work = _Writer(self, value, field, options)
            share(plan(selection, self.layout.grid), work, self._part_ns, options.workers, done)
        except BaseException as error:
            self._tell(error, selection, done)
            raise

    def _tell(self, error: BaseException, selection: Selection, done: Ledger) -> None:
        """Say in the error how many chunks were replaced, and which: `chunks_done`, `chunks_left`, and a note."""
        count = sum(n for _, n in done)
        coords: tuple[list[Coords], list[Coords]] = ([], [])
        # The first of them only: a plan may have more parts than anybody would read about, or memory would hold.
        for n, part in enumerate(islice(plan(selection, self.layout.grid), _TOLD)):
            coords[any(start <= n < start + length for start, length in done)].append(part.coords)
        error.chunks_left, error.chunks_done = coords  # type: ignore[attr-defined]  # any exception, KeyboardInterrupt too
        error.add_note(
            f"{count} chunks of {self.path or '/'!r} hold the new values, the others were not written; chunks_done and "
            f"chunks_left of this error list which, of the first {_TOLD} of the plan"
        )

    def _write_part(self, part: Part, value: NDArray, field: str | None, options: config.Options, scratch: _Scratch) -> None:
        layout = self.layout
        key = layout.key(part.coords)
        with self.store.lock(key):
            # Only a chunk that lies wholly inside the array may be replaced unread: behind the edge that this handle knows
            # of there may be rows that another handle has appended.
            full = layout.grid.valid(part.coords) == layout.chunk.shape
            if not (full and part.whole and field is None):
                chunk = self._stored(part.coords, scratch)
            elif part.simple and _in_order(part.target, layout.chunk.shape):
                # The value has the chunk as it stands: encode it where it lies.
                self._store(key, value[part.target] if part.target else value, options)
                return
            else:
                chunk = scratch.array
            put(part, chunk if field is None else chunk[field], value)
            self._store(key, chunk, options)

    def _stored(self, coords: Coords, scratch: _Scratch) -> NDArray:
        """The stored chunk, ours to change; fill values when there is none."""
        data = self.store.get(self.layout.key(coords), self._range)
        if data is None:
            chunk = scratch.array
            chunk[...] = fill_array(self.layout)
            return chunk
        buffer = scratch.array
        chunk = self._decode(data, coords, buffer)
        if chunk is not buffer and not (chunk.flags.writeable and np.may_share_memory(chunk, buffer)):
            buffer[...] = chunk  # a view of the store's own bytes
            return buffer
        return chunk

    def _store(self, key: str, chunk: NDArray, options: config.Options) -> None:
        layout = self.layout
        if layout.blank and not options.write_empty and is_fill(chunk, layout.fill):
            self.store.delete(key)
        else:
            self.store.set(key, layout.pipeline.encode(chunk))

    # ---- erase --------------------------------------------------------------------------------

    def blank(self, selection: Selection) -> None:
        """Set what `selection` (spans with step 1) selects to the fill value; chunks that do not exist stay away."""
        if 0 in selection.shape:
            return
        options = config.current()
        layout = self.layout
        scratch = _Scratch(layout)
        for part in plan(selection, layout.grid):
            key = layout.key(part.coords)
            with self.store.lock(key):
                if not self.store.exists(key):
                    continue
                chunk = self._stored(part.coords, scratch)
                if not is_fill(chunk[part.source], layout.fill):
                    chunk[part.source] = fill_array(layout)
                    self._store(key, chunk, options)

    def erase(self, coords: Iterable[Coords]) -> None:
        """Delete chunk objects."""
        for spot in coords:
            key = self.layout.key(spot)
            with self.store.lock(key):
                self.store.delete(key)

    def stored(self) -> Iterator[Coords]:
        """The coords of every chunk object there is, from one listing, in any order; those outside the grid too."""
        prefix = self.path + "/" if self.path else ""
        for key in self.store.list(prefix):
            coords = self.layout.coords(key)
            if coords is not None:
                yield coords

    def nbytes_stored(self) -> int:
        """The encoded bytes of all chunk objects."""
        return sum(self.store.size(self.layout.key(coords)) or 0 for coords in self.stored())


class _Scratch:
    """One chunk-sized array, made when first asked for; of one thread, for one run."""

    __slots__ = ("_array", "_spec")

    def __init__(self, layout: Layout) -> None:
        self._spec = layout.chunk
        self._array: NDArray | None = None

    @property
    def array(self) -> NDArray:
        if self._array is None:
            self._array = _room(self._spec.shape, self._spec.dtype, f"a chunk of shape {self._spec.shape}")
        return self._array


def _room(shape: Shape, dtype: DType, what: str) -> NDArray:
    """An uninitialised array; MemoryLimitError when the machine has no room for it, or NumPy no number for its size."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        nbytes = math.prod(shape) * dtype.itemsize
        raise MemoryLimitError(f"no memory for {what} and dtype {dtype}, which take {nbytes} bytes", found=nbytes) from error


def _own(scalar: Any) -> Any:
    """`scalar`, copied where NumPy's scalar is a view: records can be changed, and would change what they were read from."""
    return scalar.copy() if type(scalar) is np.void else scalar


def _in_order(target: tuple[AxisIndex, ...], shape: Shape) -> bool:
    """Whether the work array holds a whole chunk of this shape in its own order at `target`."""
    return len(target) == len(shape) and all(type(s) is slice and s.step == 1 for s in target)


@dataclass(slots=True)
class _Reader:
    engine: Engine
    out: NDArray
    field: str | None
    options: config.Options

    def __call__(self, parts: Iterator[Part]) -> None:
        scratch = _Scratch(self.engine.layout)
        read, out, field, options = self.engine._read_part, self.out, self.field, self.options
        for part in parts:
            read(part, out, field, options, scratch)


@dataclass(slots=True)
class _Writer:
    engine: Engine
    value: NDArray
    field: str | None
    options: config.Options

    def __call__(self, parts: Iterator[Part]) -> None:
        scratch = _Scratch(self.engine.layout)
        write, value, field, options = self.engine._write_part, self.value, self.field, self.options
        for part in parts:
            write(part, value, field, options, scratch)


# ---- fill values --------------------------------------------------------------------------------

_UNSIGNED: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}


def fill_array(layout: Layout) -> Any:
    """The fill value in a form that NumPy assigns as one element: an object may be a list, and must not be shared by reads."""
    if layout.chunk.dtype.kind != "O":
        return layout.fill
    array = np.empty((), object)
    array[()] = copy.deepcopy(layout.fill)
    return array


def is_fill(array: NDArray, fill_value: Any) -> bool:
    """Whether every element is the fill value bit for bit: -0.0 is not 0.0, and a NaN equals itself.

    Objects are compared by type and value. The first element is looked at alone, since it settles nearly every chunk.
    """
    if array.size == 0:
        return True
    dtype = array.dtype
    if dtype.hasobject:
        kind = type(fill_value)
        return all(item is fill_value or (type(item) is kind and bool(item == fill_value)) for item in array.flat)
    blank = np.array(fill_value, dtype)
    if array[(slice(0, 1),) * array.ndim].tobytes() != blank.tobytes():  # a slice: a bytes scalar would lose its zeros
        return False
    unsigned: np.dtype[Any] | None = _UNSIGNED.get(dtype.itemsize)
    if unsigned is not None and dtype.fields is None:
        return bool((array.view(unsigned) == blank.view(unsigned)).all())
    return array.tobytes() == blank.tobytes() * array.size
