"""Statistics as users see them: what is known of each chunk, and of the array as a whole."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import DType, NDArray, Shape
from ndzarr.canonical import dtype_name
from ndzarr.engine import Engine
from ndzarr.statistics.record import Record
from ndzarr.statistics.summary import ordered
from ndzarr.statistics.trust import trusted


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What the chunks of an array hold, as far as it is known to be so now; `print(z.statistics)` says it in words.

    shape, dtype: of the array. grid: chunks along each axis; in a sharded array, the chunks inside shards. The rest are arrays
    of that shape, one entry a chunk. known: whether the other entries are so; they are zeros where not. min, max: of the
    elements that are no NaN (or NaT), zeros where there is none; None for dtypes without order here: complex, text, structured,
    objects. nan_count: how many are NaN. sum: of the others, for dates None; of integers modulo 2**64. count: elements.
    """

    shape: Shape
    dtype: DType
    grid: Shape
    known: NDArray
    min: NDArray | None
    max: NDArray | None
    nan_count: NDArray
    sum: NDArray | None
    count: NDArray

    @property
    def complete(self) -> bool:
        """Whether all chunks are known: then `total` says what is so of the whole array."""
        return bool(self.known.all())

    @property
    def total(self) -> dict[str, Any]:
        """min, max, nan_count, sum and count of the chunks that are known, as NumPy scalars; None where there is none.

        min and max pass over NaNs, as `numpy.nanmin` does; the sum of floats is rounded in another order than NumPy's.
        """
        some = self.known & (self.nan_count < self.count)
        with np.errstate(all="ignore"):
            return {
                "min": None if self.min is None or not some.any() else self.min[some].min(),
                "max": None if self.max is None or not some.any() else self.max[some].max(),
                "nan_count": int(self.nan_count[self.known].sum()),
                "sum": None if self.sum is None else self.sum[self.known].sum(dtype=self.sum.dtype),
                "count": int(self.count[self.known].sum()),
            }

    def to_json(self) -> str:
        """The totals, and how many chunks are known, as one JSON document."""
        return json.dumps(self._told(), indent=2, ensure_ascii=False)

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = {name: _plain(value) for name, value in self.total.items()}
        chunks = {"chunks": math.prod(self.grid), "chunks_known": int(self.known.sum())}
        return {"shape": list(self.shape), "dtype": dtype_name(self.dtype), **chunks, **told}

    def __str__(self) -> str:
        rows = [(name.replace("_", " "), value) for name, value in self._told().items() if value is not None]
        return "\n".join(f"{name:<14}{value:,}" if type(value) is int else f"{name:<14}{value}" for name, value in rows)

    def __repr__(self) -> str:
        return f"<Statistics of {int(self.known.sum()):,} of {math.prod(self.grid):,} chunks>"


def _plain(value: Any) -> Any:
    """A NumPy scalar for JSON, which has no dates, infinities or NaNs."""
    if isinstance(value, np.generic):
        if value.dtype.kind in "mM":
            return str(value)
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def statistics_of(engine: Engine) -> Statistics | None:
    """The statistics kept beside an array, as far as they are so now; None where there are none.

    Of objects that the store has no evidence of, the bytes are fetched and hashed; nothing is decoded.
    """
    found = trusted(engine, fetch=True)
    return None if found is None else told(engine, found.record, found.chunks)


def told(engine: Engine, record: Record, known: NDArray) -> Statistics:
    """The statistics of a record of which the chunks in the mask `known` are to be believed."""
    meta, grid = engine.meta, engine.layout.grid
    has_order = ordered(meta.dtype)
    shape = grid.shape

    def column(values: NDArray) -> NDArray:
        return np.where(known, values, np.zeros((), values.dtype)).reshape(shape)

    return Statistics(
        shape=meta.shape,
        dtype=meta.dtype,
        grid=shape,
        known=known.reshape(shape),
        min=column(record.low) if has_order else None,
        max=column(record.high) if has_order else None,
        nan_count=column(record.nans),
        sum=column(record.totals) if has_order and meta.dtype.kind in "biuf" else None,
        count=chunk_sizes(engine).reshape(shape),
    )


def chunk_sizes(engine: Engine) -> NDArray:
    """How many elements each chunk has inside the array, in C order."""
    found = np.ones((), np.int64)
    for axis in engine.layout.grid.axes:
        found = found[..., None] * np.array([axis.valid(coord) for coord in range(axis.count)], np.int64)
    return found.reshape(-1)
