"""Options: what may be set for a block of code, and their defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from ndzarr.errors import ArgumentError

MiB = 1 << 20
#: What a read does with a chunk that was never written.
Missing: TypeAlias = Literal["fill", "raise", "mask"]


@dataclass(frozen=True, slots=True)
class Options:
    """The settings in force; immutable. Sizes are in bytes.

    workers: threads that share one read or write, at most one a processor; None is as many.
    max_result: the largest result in memory of one read or one function; "auto" is half of the memory that is free at that
    moment, None no limit of ours.
    max_load: how much all operands together may take for a function of NumPy's that has no form of its own here and runs on
    loaded arrays.
    working_memory: what functions that go block by block may hold at once in all threads, results aside; a chunk that is
    larger is still read whole.
    missing: "fill" reads a chunk that was never written as the fill value, "raise" refuses, "mask" makes masked arrays of what
    is read by an index, with such chunks masked.
    durable: a write returns only when it would survive power loss, on stores that keep files.
    exclusive: "auto" uses the best lock that the store has; True refuses a store that has none across processes.
    write_empty: write chunks that hold nothing but the fill value, which are otherwise left out (or deleted).
    nan_attributes: write NaN and infinities among the attributes of format 3 bare, as zarr-python does, though JSON has no such
    numbers and other readers may refuse the whole document; False refuses them by name.
    batch_bytes: how many encoded bytes are asked for, or handed over, in one call of a store that takes many requests at once.
    max_metadata: the largest metadata document read.
    max_object: the largest chunk object read where the format sets no bound of its own (strings, objects).
    progress: told by NumPy's functions on arrays of more than one block how many blocks are done, and of how many: True shows
    a bar on standard error, a function is called as `progress(done, total)`. A function that goes over an array more than once
    begins at one again each time.
    """

    workers: int | None = None
    max_result: int | Literal["auto"] | None = "auto"
    max_load: int = 512 * MiB
    working_memory: int = 64 * MiB
    missing: Missing = "fill"
    durable: bool = False
    exclusive: Literal["auto"] | bool = "auto"
    write_empty: bool = False
    nan_attributes: bool = False
    batch_bytes: int = 64 * MiB
    max_metadata: int = 64 * MiB
    max_object: int = 2048 * MiB - 1
    progress: bool | Callable[[int, int], object] | None = None

    def __post_init__(self) -> None:
        self._check("workers", self.workers is None or _count(self.workers), "None or an integer of at least 1")
        limited = self.max_result is None or self.max_result == "auto" or _count(self.max_result)
        self._check("max_result", limited, "'auto', None or an integer of at least 1")
        for name in ("max_load", "working_memory", "batch_bytes", "max_metadata", "max_object"):
            self._check(name, _count(getattr(self, name)), "an integer of at least 1")
        for name in ("durable", "write_empty", "nan_attributes"):
            self._check(name, isinstance(getattr(self, name), bool), "True or False")
        self._check("missing", self.missing in get_args(Missing), "'fill', 'raise' or 'mask'")
        shown = self.progress is None or isinstance(self.progress, bool) or callable(self.progress)
        self._check("progress", shown, "None, True, False or a function of two numbers")
        self._check("exclusive", isinstance(self.exclusive, bool) or self.exclusive == "auto", "'auto', True or False")

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            found = getattr(self, name)
            raise ArgumentError(f"{name} is {found!r}, expected {expected}", field=name, found=found, expected=expected)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_current: ContextVar[Options] = ContextVar("ndzarr.options", default=Options())  # noqa: B039  # frozen


def current() -> Options:
    """The options in force here: those of the nearest `with options(...)`, else the defaults."""
    return _current.get()


@contextmanager
def options(**changes: Any) -> Iterator[Options]:
    """Set options for the `with` block; the old ones return at its end.

    Kept in a context variable, so that threads and asyncio tasks do not see each other's. Raises ArgumentError for a name
    or value that is not allowed.

    >>> import ndzarr
    >>> with ndzarr.options(workers=1, missing="raise") as o:
    ...     o.workers
    1
    """
    known = [f.name for f in dataclasses.fields(Options)]
    for name in changes:
        if name not in known:
            raise ArgumentError(f"no option {name!r}; the options are {', '.join(known)}", field=name)
    changed = dataclasses.replace(_current.get(), **changes)
    token = _current.set(changed)
    try:
        yield changed
    finally:
        _current.reset(token)
