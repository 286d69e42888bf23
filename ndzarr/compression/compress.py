"""`compress`: candidates tried on a sample, the smallest written, each chunk decoded again and compared before it is stored."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, Buffer, Coords, DType, NDArray, Shape
from ndzarr.api import open, open_array
from ndzarr.codecs.pipeline import Pipeline
from ndzarr.compression.bound import Bound, Measured, bound_argument
from ndzarr.compression.candidates import Candidate, Seen, coding, lossless, rounded, seen_in
from ndzarr.compression.information import LEVEL, information_of
from ndzarr.compression.sample import Trial, blocks_of, has_casts, tried
from ndzarr.creation import ARRAY_KEYWORDS, check_free, format_for, planned_array
from ndzarr.crew import CREW_FROM_NS, share
from ndzarr.errors import ArgumentError, CorruptChunkError
from ndzarr.formats.document import attribute_mapping
from ndzarr.formats.transfer import arguments_for
from ndzarr.grid import Grid
from ndzarr.group import Group
from ndzarr.keys import normalize_path
from ndzarr.lazyview import LazyView
from ndzarr.operand import Operand
from ndzarr.placing import Place
from ndzarr.progress import Progress, meter
from ndzarr.relocation import check_apart
from ndzarr.sizes import nbytes_of
from ndzarr.sources import check_unread
from ndzarr.stores.alone import Alone
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.zarray import ZArray

#: The attribute that says what was done.
RECORD = "ndzarr_compression"

_CREATE = (ARRAY_KEYWORDS | {"overwrite"}) - {"shape", "dtype", "compressor", "filters"}


def compress(
    src: Any,
    dst: Any = None,
    *,
    max_abs: float | None = None,
    max_rel: float | None = None,
    keep_bits: int | Literal["auto"] | None = None,
    path: str = "",
    sample: int | str = "4MiB",
    extras: bool = True,
    progress: Progress = None,
    **create: Any,
) -> ZArray:
    """A copy of an array, as small as a bound on the error of its elements allows; open for reading and writing.

    src: a ZArray or a view of one, anything that `open` takes, or an array in memory. dst: anything that `create_array` takes,
    None for a new MemoryStore, and `path` in it. create: keywords of `create_array` but for the codecs; what is not given is as
    it is in `src` (with new chunks, shards go).

    max_abs: `|x - y|` at most, for each finite element x and what is stored of it, y. max_rel: `|x - y| / |x|` at most. Both
    may be given. keep_bits: so many bits of the mantissa, to the nearest; "auto" keeps the bits that hold 99 % of the
    information that neighbours share (Klöwer et al. 2021, https://doi.org/10.1038/s43588-021-00156-2). With none of them
    nothing changes, and the smallest lossless chain is found. Integers, and floats of 2, 4 and 8 bytes, can have a bound. NaN
    and infinities stay what they are; 0 too, but for max_abs alone.

    Chains are tried on `sample`, bytes or a text such as "64MiB", spread over the array: rounding before lossless codecs,
    small integers by scale and offset, zfp and pcodec where they are installed. The smallest is written, and **every chunk is
    decoded again and compared before it is stored**: where one breaks the bound the next best chain takes over, from the
    start; those that round beforehand cannot break it. Readers need nothing of ndzarr's. extras: whether a chain may be chosen
    for which zarr-python needs another library, which is pcodec, zfpy or cast-value-rs.

    What was done is in the attribute "ndzarr_compression": "bound", "chain", the errors "measured" over all elements, "nbytes",
    "nbytes_stored", and the "candidates" with what became of the sample. Documents are written when all else is: after an
    exception or a kill there is no array at `dst`, only chunks, which `overwrite=True` removes; `src` is never changed. Values
    that are written into the array later are rounded only where the chain itself rounds ("coding" in the record), and nobody
    compares them.

    Memory: the sample, and for each thread one stored object, decoded and encoded. progress: see `copy`; it counts objects.
    Raises ArgumentError for a bound that is none or that the dtype cannot have, and what reading and creating raise.

    >>> import ndzarr, numpy as np
    >>> x = np.sin(np.linspace(0, 20, 100_000)).astype("f4")
    >>> z = ndzarr.compress(x, max_abs=1e-3)
    >>> bool(np.abs(z[:] - x).max() <= 1e-3), z.nbytes_stored < 20_000
    (True, True)
    """
    unknown = sorted(set(create) - _CREATE)
    if unknown:
        raise ArgumentError(
            f"compress takes no {unknown[0]!r}; expected any of {', '.join(sorted(_CREATE))}",
            field=unknown[0],
            found=unknown[0],
        )
    nbytes = nbytes_of(sample, "sample")
    source, opened = _source(src)
    try:
        store = resolve(dst, "a")
        where = normalize_path(path)
        stored = source.array.base if isinstance(source.array, LazyView) else source.array
        if isinstance(stored, ZArray):
            check_apart(stored.store, stored.path, store, where, "compress")
        elif create.get("overwrite"):
            check_unread(stored, store, where)
        work = _Work.of(source, store, where, create, (max_abs, max_rel, keep_bits), nbytes, extras)
        with (
            closing(store) if isinstance(dst, (str, os.PathLike)) else nullcontext()
        ):  # an archive is complete when it is closed
            made = work.run(bool(create.get("overwrite")), progress)
        return open_array(dst, "r+", path=where) if isinstance(dst, (str, os.PathLike)) else made
    finally:
        if opened is not None:
            opened.close()


# ---- what is read -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """An array to read boxes of; elements come in native byte order."""

    array: Any
    shape: Shape
    dtype: DType
    get: Callable[[Box], Any]

    def read(self, box: Box) -> NDArray:
        found: NDArray = np.asarray(self.get(box)).astype(self.dtype, copy=False)
        return found


def _source(src: Any) -> tuple[_Source, Store | None]:
    """What is read, and the store to close after it."""
    opened = None
    if isinstance(src, (str, os.PathLike, Store, Mapping)) and not isinstance(src, Group):
        src, given = open(src), src
        opened = None if src.store is given else src.store
    if isinstance(src, Group):
        raise ArgumentError(f"{src!r} is a group; compress its arrays one by one", field="src")
    if isinstance(src, np.ma.MaskedArray):
        raise ArgumentError(
            "src is a masked array; pass src.filled(value), with a value that stands for what is missing", field="src"
        )
    array: Any = src if all(hasattr(src, name) for name in ("shape", "dtype", "__getitem__")) else np.asarray(src)
    get = src.read_box if isinstance(src, Operand) else array.__getitem__
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "biufcmMSUV" or dtype.hasobject:
        raise ArgumentError(
            f"compress takes numbers, dates and text of fixed length, not dtype {dtype}", field="src", found=dtype
        )
    return _Source(array, tuple(array.shape), dtype.newbyteorder("="), get), opened


# ---- what is done -------------------------------------------------------------------------------


class _BrokenError(Exception):
    """A chunk that did not keep the bound."""


@dataclass(slots=True)
class _Work:
    """One call: from the source to the array, by one candidate after the other until one keeps the bound everywhere."""

    source: _Source
    store: Store
    path: str
    create: dict[str, Any]
    bound: Bound
    auto: bool
    extras: bool
    blocks: list[NDArray]
    plan: ZArray
    failed: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        source: _Source,
        store: Store,
        path: str,
        create: Mapping[str, Any],
        bounds: tuple[Any, Any, Any],
        nbytes: int,
        extras: bool,
    ) -> _Work:
        asked = _arguments(source, store, path, create)
        check_free(store, path, asked["zarr_format"], overwrite=bool(create.get("overwrite")))  # before all the work
        plan = planned_array(store, path, **asked)  # for the grid
        lengths = tuple(axis.size(0) for axis in plan._engine.layout.grid.axes)
        max_abs, max_rel, keep_bits = bounds
        auto = isinstance(keep_bits, str) and keep_bits == "auto"
        bound = bound_argument(source.dtype, max_abs, max_rel, 1 if auto else keep_bits)
        if auto and source.dtype.kind != "f":
            raise ArgumentError(
                f"keep_bits='auto' looks at the mantissa of floats, found dtype {source.dtype}", field="keep_bits", found="auto"
            )
        blocks = blocks_of(source.shape, lengths, source.dtype.itemsize, nbytes, source.read)
        if auto:
            bound = Bound(source.dtype, keep_bits=_informative(blocks, plan._engine.layout.fill, source.dtype))
        if bound.keep_bits is not None and not bound.whole and bound.keep_bits >= np.finfo(source.dtype).nmant:
            bound = Bound(source.dtype)  # all there are
        return cls(source, store, path, asked, bound, auto, extras, blocks, plan)

    def run(self, overwrite: bool, progress: Progress) -> ZArray:
        trials = self._trials(self._seen(self.blocks))
        if not self.bound.lossless and (best := _best(trials)) is not None and best.by_range:
            # The range of a sample is not that of all: it is looked up before a chain is made for it.
            trials = [t for t in trials if not t.candidate.by_range] + self._tried(self._coding(self._range()))
        ranked = sorted([t for t in trials if t.nbytes is not None], key=lambda t: t.nbytes or 0)
        place = Place(self.store, self.path, self.plan.zarr_format)
        place.take(overwrite=overwrite)
        for trial in ranked:
            chain = trial.candidate
            made = planned_array(
                Alone(self.store), self.path, filters=chain.filters, compressor=chain.compressor, **self.create
            )
            try:
                writer = _Writer(self.source, made, chain, self.bound, place.check)
                writer.run(progress)
            except _BrokenError as error:
                self.failed.append({"chain": chain.name, "why": str(error)})
                place.empty()
                continue
            record = {**made.metadata.attributes, RECORD: self._record(chain, writer, trials)}
            place.finish([(self.path, replace(made.metadata, attributes=attribute_mapping(record)))])
            return open_array(self.store, "r+", path=self.path)
        raise CorruptChunkError(
            f"no chain of codecs gives back what it was given: {self.failed!r}; please report this", path=self.path
        )

    # ---- candidates ----

    def _trials(self, seen: Seen) -> list[Trial]:
        found = list(lossless(self.source.dtype))
        if not self.bound.lossless:
            found += rounded(self.bound)
        return self._tried([*found, *(self._coding(seen) if not self.bound.lossless else ())])

    def _coding(self, seen: Seen) -> Iterator[Candidate]:
        casts = self.extras and has_casts(self.create)
        return coding(self.bound, seen, self.plan._engine.layout.fill, len(self.source.shape), casts=casts)

    def _tried(self, candidates: Iterable[Candidate]) -> list[Trial]:
        if not self.blocks:
            return [Trial(candidate, 0) for candidate in candidates if not candidate.coding][:1]
        asked = {**self.create, "dtype": self.source.dtype}
        return [tried(one, self.blocks, self.bound, asked) for one in candidates if self.extras or not one.extra]

    def _seen(self, blocks: Iterable[NDArray]) -> Seen:
        seen = Seen()
        for block in () if self.bound.lossless else blocks:
            seen = seen.join(seen_in(block))
        return seen

    def _range(self) -> Seen:
        """What there is in all of the array, read once through."""
        seen = Seen()
        lock = threading.Lock()

        def work(mine: Iterator[Coords]) -> None:
            nonlocal seen
            for coords in mine:
                found = seen_in(self.source.read(objects.box(coords)))
                with lock:
                    seen = seen.join(found)

        objects = self.plan._engine.layout.objects
        share(iter(objects), work, CREW_FROM_NS, config.current().workers, count=objects.nchunks)
        return seen

    # ---- the record ----

    def _record(self, chosen: Candidate, writer: _Writer, trials: Sequence[Trial]) -> dict[str, Any]:
        plain = [t for t in trials if t.nbytes is not None and t.candidate.rounding is None and not t.candidate.coding]
        measured = writer.measured
        return {
            "bound": {**self.bound.to_json(), **({"auto": LEVEL} if self.auto else {})},
            "chain": chosen.name,
            "coding": chosen.coding,
            "measured": {
                "max_abs": measured.max_abs,
                "max_rel": measured.max_rel if math.isfinite(measured.max_rel) else None,
                "elements": measured.elements,
                "nonfinite": measured.nonfinite,
            },
            "nbytes": writer.array.nbytes,
            "nbytes_stored": writer.nbytes,
            "sample": {
                "nbytes": sum(block.nbytes for block in self.blocks),
                "lossless": min((t.nbytes or 0 for t in plain), default=None),
            },
            "candidates": [
                {"chain": t.candidate.name, "nbytes": t.nbytes} | ({} if t.why is None else {"why": t.why}) for t in trials
            ],
            "failed": self.failed,
        }


def _best(trials: Iterable[Trial]) -> Candidate | None:
    can = [t for t in trials if t.nbytes is not None]
    return min(can, key=lambda t: t.nbytes or 0).candidate if can else None


def _informative(blocks: Sequence[NDArray], fill: Any, dtype: DType) -> int | None:
    """The bits that hold the information of a sample. A fill value other than 0 stands for what is missing."""
    missing = dtype.type(fill)
    cleared = [np.where(block == missing, dtype.type(np.nan), block) if missing else block for block in blocks]
    lines = [block.reshape(-1) if not block.ndim else block for block in cleared]
    return information_of(lines, dtype, lines[0].ndim).keep_bits() if lines else None


def _arguments(source: _Source, store: Store, path: str, create: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that the new array is made with, but for its codecs."""
    given = {name: value for name, value in create.items() if name != "overwrite"}
    found: dict[str, Any] = {}
    if isinstance(source.array, ZArray):
        meta, layout = source.array.metadata, source.array._engine.layout
        version = given.get("zarr_format") or meta.zarr_format
        found, _ = arguments_for(meta, source.array.chunks, version, layout.fill, flat=True)
        found = {name: value for name, value in found.items() if name not in ("filters", "compressor")}
        if any(given.get(name) is not None for name in ("chunks", "access")):
            found["shards"] = None
            found["chunks"] = "auto"
    else:
        version = format_for(store, path, given.get("zarr_format"))
    return {**found, **given, "zarr_format": version, "shape": source.shape, "dtype": source.dtype}


# ---- writing ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Writes all of an array by one candidate. Raises _BrokenError at the first chunk that does not keep the bound, before that
    chunk is stored. Works from several threads."""

    source: _Source
    array: ZArray
    candidate: Candidate
    bound: Bound
    check: Callable[[], None]
    measured: Measured = field(default_factory=Measured)
    nbytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, progress: Progress) -> None:
        objects = self.array._engine.layout.objects
        with meter(progress, objects.nchunks, "compress") as tell:

            def work(mine: Iterator[Coords]) -> None:
                for coords in mine:
                    self._object(coords)
                    self.check()
                    tell(1)

            share(iter(objects), work, CREW_FROM_NS, config.current().workers, count=max(1, objects.nchunks))

    def _object(self, coords: Coords) -> None:
        engine = self.array._engine
        layout = engine.layout
        cell = layout.cell(coords)
        box = layout.objects.box(coords)
        values = self.source.read(box)
        measured = Measured()
        chunks: dict[Coords, Buffer] = {}
        pipeline = cell.pipeline if cell.shard is None else cell.shard.pipeline
        for spot in [coords] if cell.shard is None else _inside(layout.grid, box):
            place = layout.grid.box(spot)
            within = tuple([slice(p.start - b.start, p.stop - b.start) for p, b in zip(place, box, strict=True)])
            piece = values[within or ...]  # `values[()]` of no axes would be a scalar
            data = self._chunk(spot, piece, pipeline, measured)
            if data is not None:
                chunks[spot] = data
        if chunks:
            engine.put_encoded(coords, chunks)
        with self._lock:
            self.measured.join(measured)
            self.nbytes += sum(map(len, chunks.values()))

    def _chunk(self, spot: Coords, values: NDArray, pipeline: Pipeline, measured: Measured) -> Buffer | None:
        """The bytes of one chunk, which were decoded again and compared; None for one that is left out."""
        layout, spec = self.array._engine.layout, pipeline.chunk
        given = values if self.candidate.rounding is None else self.candidate.rounding(values)
        inside = tuple([slice(0, n) for n in values.shape]) or ...
        if values.shape != spec.shape:  # at the edge
            whole = np.full(spec.shape, layout.fill, spec.dtype)
            whole[inside] = given
            given = whole
        try:
            with np.errstate(all="ignore"):  # what overflows shows below
                data = self.array._engine.chunks.pack(pipeline, given, config.current())
                back = given[inside] if data is None else pipeline.decode(data)[inside]
        except (ArgumentError, CorruptChunkError) as error:
            raise _BrokenError(f"chunk {spot}: {error}") from error
        if not self.bound.kept(values, back).all():
            raise _BrokenError(f"chunk {spot} breaks the bound")
        measured.add(values, back)
        return data


def _inside(grid: Grid, box: Box) -> Iterator[Coords]:
    """The coords of the chunks in a box that is made of whole chunks."""
    first = tuple(axis.find(part.start) for axis, part in zip(grid.axes, box, strict=True))
    counts = tuple(axis.find(part.stop - 1) - a + 1 for axis, part, a in zip(grid.axes, box, first, strict=True))
    for step in np.ndindex(*counts):
        yield tuple(a + n for a, n in zip(first, step, strict=True))
