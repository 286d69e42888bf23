"""The names for plain values that every module shares; no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Shape: TypeAlias = tuple[int, ...]
#: Which chunk: one grid index per axis, never negative.
Coords: TypeAlias = tuple[int, ...]
#: A name in a store: "/"-separated, relative, already checked by `keys.check_key`.
Key: TypeAlias = str
#: What `json.loads` gives: dict, list, str, int, float, bool or None.
Json: TypeAlias = Any
#: Anything that exports one contiguous buffer: bytes, memoryview, a C-contiguous ndarray.
Buffer: TypeAlias = Any
#: A rectangle of an array: one slice an axis, step 1, start and stop given, both within the axis.
Box: TypeAlias = tuple[slice, ...]
NDArray: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]


class ByteRange(NamedTuple):
    """Part of a stored value: bytes `start` up to, not including, `stop`.

    `stop=None` is "to the end"; a negative `start` (with `stop=None`) is "the last -start bytes". A range that runs past
    the end is cut there, an empty one is `b""`: every store answers as slicing a `bytes` would.
    """

    start: int
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """A codec as a document names it: JSON, not yet code.

    A name from a v2 document carries the prefix "numcodecs." (see `codecs.registry`), one from v3 stands as found.
    """

    name: str
    configuration: Mapping[str, Json] = field(default_factory=dict)
