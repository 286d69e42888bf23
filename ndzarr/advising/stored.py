"""What an array says about itself by its metadata, the sizes of some objects, and some chunks of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ndzarr._typing import Box, Coords, NDArray
from ndzarr.advising.advice import Suggestion, size_text
from ndzarr.chunking import chunk_lengths
from ndzarr.compression.bound import Bound, lossy_dtype
from ndzarr.compression.candidates import lossless, rounded
from ndzarr.compression.information import information_of
from ndzarr.compression.sample import tried
from ndzarr.creation import planned_array
from ndzarr.display import format_nbytes
from ndzarr.errors import ArgumentError
from ndzarr.fillvalue import is_fill
from ndzarr.grid import TARGET_NBYTES
from ndzarr.stores.memory import MemoryStore
from ndzarr.zarray import ZArray

#: Of one array so many objects are listed, and of so many the size is asked.
_LISTED, _SIZED = 10_000, 64
#: Objects below this are small, above the other large. Requests of a remote store cost as much as some 100 KiB of transfer;
#: chunks above 64 MiB are a burden for whoever wants one element.
SMALL, LARGE = 64 << 10, 64 << 20
#: So many small objects are many.
_MANY = 128
#: A gain below this is not worth a rewrite, nor is anything in an array of less bytes.
_WORTH, _TINY = 0.2, 4096
#: The most digits after the point that are looked for.
_DIGITS = 7


@dataclass(slots=True)
class Look:
    """One array, and how much of it was looked at: objects by name, chunks and bytes of them decoded."""

    z: ZArray
    sample: int
    objects: list[Coords] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    blocks: list[NDArray] = field(default_factory=list)
    #: Of the chunks looked at, how many hold nothing but fill values, and how many bytes they have as stored.
    filled: int = 0
    complete: bool = True

    def findings(self) -> Iterator[Suggestion]:
        """All that is worth saying."""
        self._look()
        yield from self._grid()
        yield from self._objects()
        yield from self._values()

    def _look(self) -> None:
        engine = self.z._engine
        if not self.z.size:
            return
        found = [c for c in islice(engine.stored(), _LISTED + 1) if c in engine.layout.objects]
        self.complete = len(found) <= _LISTED
        self.objects = found[:_LISTED]
        some = _spread(self.objects, _SIZED)
        self.sizes = [size for size in (engine.size(coords) for coords in some) if size is not None]
        nbytes = self._chunk_nbytes()
        if nbytes > max(self.sample, LARGE):
            return  # one chunk alone is more than should be read for this
        for coords in _spread(self.objects, max(1, min(16, self.sample // max(1, nbytes)))):
            block = self.z.read_box(self._first_chunk(coords))
            if is_fill(block, engine.layout.fill):
                self.filled += 1
            else:
                self.blocks.append(block)

    def _first_chunk(self, coords: Coords) -> Box:
        """The box of one chunk of an object, its first one."""
        layout = self.z._engine.layout
        starts = layout.objects.start(coords)
        return tuple([slice(a, a + axis.valid(axis.find(a)), 1) for a, axis in zip(starts, layout.grid.axes, strict=True)])

    def _chunk_nbytes(self) -> int:
        """Decoded bytes of one chunk."""
        layout = self.z._engine.layout
        return math.prod([axis.size(0) for axis in layout.grid.axes]) * layout.dtype.itemsize if self.z.size else 0

    # ---- the grid ----

    def _grid(self) -> Iterator[Suggestion]:
        z, layout = self.z, self.z._engine.layout
        if not z.size or not layout.grid.uniform:
            return
        nbytes = self._chunk_nbytes()
        if nbytes > LARGE:
            yield Suggestion(
                "large-chunks",
                z.path,
                f"a chunk is {format_nbytes(nbytes)} decoded: whoever wants one element reads and decodes all of it",
                {"chunk_nbytes": nbytes, "chunks": layout.grid.nchunks},
                'ndzarr.convert(z, dst, chunks="16MiB")',
                1 - (16 << 20) / nbytes,
            )
        padded = math.prod([axis.count * axis.size(0) for axis in layout.grid.axes])
        used = z.size / padded
        lengths = chunk_lengths(z.shape, z.itemsize, nbytes)
        better = z.size / math.prod([-(-n // c) * c for n, c in zip(z.shape, lengths, strict=True)])
        if used < 0.7 and better > used * 1.2 and padded * z.itemsize > TARGET_NBYTES:
            size = max(nbytes, 1 << 10)
            yield Suggestion(
                "past-the-edge",
                z.path,
                f"{(1 - used) * 100:.0f} % of what chunks hold lies past the edge of the array, where there is nothing: their "
                f"lengths do not fit the shape {z.shape}",
                {"share_used": used, "share_used_then": better, "elements": z.size, "elements_in_chunks": padded},
                f'ndzarr.convert(z, dst, chunks="{size_text(size)}")',
                1 - used / better,
            )

    # ---- objects ----

    def _objects(self) -> Iterator[Suggestion]:
        z = self.z
        if not self.sizes:
            return
        mean = sum(self.sizes) / len(self.sizes)
        count = len(self.objects)
        if mean < SMALL and count >= _MANY and z._engine.layout.grid.uniform:
            yield from self._small(mean, count)
        looked = self.filled + len(self.blocks)
        if looked and self.filled / looked > _WORTH and z._engine.layout.blank:
            share = self.filled / looked
            yield Suggestion(
                "stored-fill-values",
                z.path,
                f"{share * 100:.0f} % of the chunks looked at are stored and hold nothing but the fill value {z.fill_value!r}; "
                "chunks that do not exist read the same",
                {"chunks_looked_at": looked, "chunks_of_fill_values": self.filled, "objects": count},
                "ndzarr.compress(z, dst)",
                share,
            )

    def _small(self, mean: float, count: int) -> Iterator[Suggestion]:
        z = self.z
        raw = math.prod([axis.size(0) for axis in z._engine.layout.objects.axes]) * z.itemsize
        # So that an object is about a MiB as stored.
        target = int(min(256 << 20, max(raw * TARGET_NBYTES / max(mean, 1), raw * 2)))
        remote = z.store.batched
        evidence = {"objects": count, "mean_nbytes": mean, "nbytes_decoded": raw}
        more = "" if self.complete else " at least"
        text = f"{more} {count:,} objects of {format_nbytes(round(mean))} on average".strip()
        if self._shardable():
            text += ": each costs a request" if remote else ": each is a file or a record of its own"
            call = f'ndzarr.convert(z, dst, chunks={_lengths(z)!r}, shards="{size_text(target)}")'
            text += "; shards hold many chunks, which can still be read one by one"
        else:
            text += "; larger chunks would be fewer"
            call = f'ndzarr.convert(z, dst, chunks="{size_text(target)}")'
        yield Suggestion("small-objects", z.path, text, evidence, call, max(0.0, 1 - raw / target))

    def _shardable(self) -> bool:
        """Whether the array could have shards, and has none: its format says."""
        if self.z.shards is not None:
            return False
        try:
            planned_array(MemoryStore(), "", shape=(1,), dtype="u1", shards=(1,), zarr_format=self.z.zarr_format)
        except ArgumentError:
            return False
        return True

    # ---- values ----

    def _values(self) -> Iterator[Suggestion]:
        if not self.blocks or self.z.nbytes < _TINY:
            return
        blocks = self.blocks
        if self.z.dtype.kind not in "biufcmMSUV" or self.z.dtype.hasobject:
            return
        yield from self._codecs(blocks)
        if self.z.dtype.kind in "iu":
            yield from self._narrow_whole(blocks)
        if self.z.dtype.kind == "f" and lossy_dtype(self.z.dtype):
            yield from self._narrow_float(blocks)
            yield from self._digits(blocks)

    def _encoded(self, blocks: Sequence[NDArray]) -> int:
        """Bytes of the blocks as the array encodes them now."""
        cell = self.z._engine.layout.cell((0,) * self.z.ndim)
        pipeline = cell.pipeline if cell.shard is None else cell.shard.pipeline
        return sum(len(pipeline.encode(block)) for block in blocks)

    def _whole(self) -> list[NDArray]:
        """Of the blocks those that are whole chunks."""
        lengths = tuple([axis.size(0) for axis in self.z._engine.layout.grid.axes])
        return [block for block in self.blocks if block.shape == lengths]

    def _codecs(self, blocks: Sequence[NDArray]) -> Iterator[Suggestion]:
        z = self.z
        blocks = self._whole()
        if not blocks or not z._engine.layout.grid.uniform:
            return
        now = self._encoded(blocks)
        native = z.dtype.newbyteorder("=")
        swapped = [block.astype(native, copy=False) for block in blocks]
        create = {"dtype": native, "zarr_format": z.zarr_format, "fill_value": z.fill_value}
        trials = [tried(one, swapped, Bound(native), create) for one in lossless(native) if not one.extra]
        best = min((t for t in trials if t.nbytes is not None), key=lambda t: t.nbytes or 0, default=None)
        if best is None or best.nbytes is None or best.nbytes > now * (1 - _WORTH):
            return
        decoded = sum(block.nbytes for block in blocks)
        names = ", ".join(spec.name.removeprefix("numcodecs.") for spec in z._meta.codecs)
        yield Suggestion(
            "codecs",
            z.path,
            f"its codecs ({names}) make {now / decoded * 100:.0f} % of it, {best.candidate.name} would make "
            f"{best.nbytes / decoded * 100:.0f} %, and lose nothing",
            {"nbytes": decoded, "nbytes_encoded": now, "nbytes_then": best.nbytes, "codecs_then": best.candidate.name},
            "ndzarr.compress(z, dst, extras=False)",
            1 - best.nbytes / now,
        )

    def _narrow_whole(self, blocks: Sequence[NDArray]) -> Iterator[Suggestion]:
        z = self.z
        least, largest = min(int(b.min()) for b in blocks), max(int(b.max()) for b in blocks)
        fill = int(z._engine.layout.fill)
        least, largest = min(least, fill), max(largest, fill)
        room = ("u1", "u2", "u4") if least >= 0 else ("i1", "i2", "i4")
        # What was not looked at may be larger: half of the range stays free.
        narrow = next((np.dtype(k) for k in room if 2 * least >= np.iinfo(k).min and 2 * largest <= np.iinfo(k).max), None)
        if narrow is None or narrow.itemsize >= z.itemsize:
            return
        info = np.iinfo(narrow)
        yield Suggestion(
            "wide-integers",
            z.path,
            f"{z.dtype.name}, though the values looked at are between {least:,} and {largest:,}: {narrow.name} takes "
            f"{narrow.itemsize} bytes for each in memory instead of {z.itemsize}",
            {"least": least, "largest": largest, "itemsize": z.itemsize, "itemsize_then": narrow.itemsize},
            f"assert {info.min} <= np.min(z) and np.max(z) <= {info.max}  # looks at all of it\n{_recast(narrow.name)}",
            1 - narrow.itemsize / z.itemsize,
        )

    def _narrow_float(self, blocks: Sequence[NDArray]) -> Iterator[Suggestion]:
        z = self.z
        if z.itemsize != 8:
            return
        with np.errstate(all="ignore"):
            same = all(np.array_equal(b.astype("f4").astype("f8"), b, equal_nan=True) for b in blocks)
        if same:
            yield Suggestion(
                "wide-floats",
                z.path,
                "float64, though every value looked at is a float32: half of each is zeros",
                {"values_looked_at": sum(b.size for b in blocks), "itemsize": 8, "itemsize_then": 4},
                "assert all(np.array_equal(c.astype('f4'), c, equal_nan=True) for _, c in z.iter_chunks())  # looks at all\n"
                + _recast("float32"),
                0.5,
            )

    def _digits(self, blocks: Sequence[NDArray]) -> Iterator[Suggestion]:
        """Decimal digits, or else bits without information."""
        z = self.z
        values = np.concatenate([b.reshape(-1)[: 1 << 16] for b in blocks])
        values = values[np.isfinite(values)].astype(z.dtype.newbyteorder("="), copy=False)
        if not values.size:
            return
        now = self._whole_encoded()
        digits = _digits_of(values)
        with np.errstate(all="ignore"):
            unit = float(np.spacing(np.abs(values).max()))
        if digits is not None and 10.0**-digits > 64 * unit:
            asked: dict[str, Any] = {"max_abs": 0.4 * 10.0**-digits}
            reason = (
                f"no value looked at has more than {digits} digits after the point, and all of {8 * z.itemsize} bits are stored"
            )
            evidence: dict[str, int | float] = {"digits": digits, "values_looked_at": values.size}
        else:
            lines = [b.astype(z.dtype.newbyteorder("="), copy=False) for b in blocks]
            bits = information_of(lines, lines[0].dtype, lines[0].ndim).keep_bits() if lines[0].ndim else None
            mantissa = int(np.finfo(z.dtype).nmant)
            if bits is None or bits > mantissa - 4:
                return
            asked = {"keep_bits": bits}
            reason = (
                f"of the {mantissa} bits of a mantissa, the first {bits} hold 99 % of the information that neighbours share; "
                "the others look like noise, which does not compress"
            )
            evidence = {"bits": mantissa, "bits_of_information": bits}
        then = self._lossy_encoded(asked)
        if now is None or then is None or then > now * (1 - _WORTH):
            return
        arguments = ", ".join(f"{name}={value!r}" for name, value in asked.items())
        kind = "few-digits" if "digits" in evidence else "noise"
        yield Suggestion(
            kind,
            z.path,
            reason,
            {**evidence, "nbytes_encoded": now, "nbytes_then": then},
            f"ndzarr.compress(z, dst, {arguments}, extras=False)",
            1 - then / now,
            lossy=True,
        )

    def _whole_encoded(self) -> int | None:
        blocks = self._whole()
        return self._encoded(blocks) if blocks and self.z._engine.layout.grid.uniform else None

    def _lossy_encoded(self, asked: dict[str, Any]) -> int | None:
        native = self.z.dtype.newbyteorder("=")
        bound = Bound(native, **asked)
        blocks = [block.astype(native, copy=False) for block in self._whole()]
        if not blocks:
            return None
        create = {"dtype": native, "zarr_format": self.z.zarr_format, "fill_value": self.z.fill_value}
        trials = [tried(one, blocks, bound, create) for one in rounded(bound) if not one.extra]
        return min((t.nbytes for t in trials if t.nbytes is not None), default=None)


def _digits_of(values: NDArray) -> int | None:
    """How many digits after the point the values have at most; None for more than are looked for."""
    with np.errstate(all="ignore"):
        return next((d for d in range(_DIGITS) if np.array_equal(values, np.round(values, d))), None)


def _spread(found: Sequence[Coords], count: int) -> list[Coords]:
    """So many of them, from the first to the last."""
    if len(found) <= count:
        return list(found)
    ordered = sorted(found)
    return [ordered[n * (len(ordered) - 1) // max(1, count - 1)] for n in range(count)]


def _lengths(z: ZArray) -> tuple[int, ...]:
    return tuple([axis.size(0) for axis in z._engine.layout.grid.axes])


def _recast(dtype: str) -> str:
    kept = "chunks=z.chunks, attributes=dict(z.attrs), dimension_names=z.dimension_names, fill_value=z.fill_value"
    return (
        f'new = ndzarr.create_array(dst, shape=z.shape, dtype="{dtype}", {kept})\n'
        f'z.map_chunks(lambda chunk: chunk.astype("{dtype}"), out=new)'
    )
