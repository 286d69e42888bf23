"""What an index expression did, a value or an exception, and how two such outcomes differ: NumPy's is the right one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Outcome:
    """The value that came back, or the exception that was raised."""

    value: Any = None
    error: Exception | None = None


def read(array: Any, index: Any) -> Outcome:
    """The outcome of `array[index]`."""
    try:
        return Outcome(array[index])
    except Exception as error:
        return Outcome(error=error)


def write(array: Any, index: Any, value: Any) -> Outcome:
    """The outcome of `array[index] = value`; its value is None."""
    try:
        array[index] = value
    except Exception as error:
        return Outcome(error=error)
    return Outcome()


def difference(got: Outcome, want: Outcome) -> str | None:
    """How `got` differs from `want`, or None: in value to the last bit, shape, dtype, type; or in the class of
    exception.

    A subclass of the wanted exception is right: every error of ndzarr is also the built-in one.
    """
    if want.error is not None:
        expected = f"{type(want.error).__name__}: {want.error}"
        if got.error is None:
            return f"no exception, expected {expected}"
        if not isinstance(got.error, type(want.error)):
            return f"raised {_mro(got.error)}: {got.error}; expected {expected}"
        return None
    if got.error is not None:
        return f"raised {_mro(got.error)}: {got.error}; expected {_short(want.value)}"
    return value_difference(got.value, want.value)


def value_difference(got: Any, want: Any) -> str | None:
    """How one result differs from another, or None."""
    if type(got) is not type(want):
        return f"is a {type(got).__name__}: {_short(got)}; expected a {type(want).__name__}: {_short(want)}"
    if not isinstance(want, (np.ndarray, np.generic)):
        return None if got == want or (got != got and want != want) else f"is {got!r}, expected {want!r}"
    if got.shape != want.shape:
        return f"has shape {got.shape}, expected {want.shape}"
    if got.dtype != want.dtype:
        return f"has dtype {got.dtype!r}, expected {want.dtype!r}"
    if isinstance(got, np.ndarray) and not got.flags.writeable:
        return "is read-only"
    return None if same_values(got, want) else f"holds {_short(got)}, expected {_short(want)}"


def same_values(got: Any, want: Any) -> bool:
    """Whether two arrays or scalars of one dtype hold the same bits in every element (padding and long doubles
    apart)."""
    dtype = want.dtype
    if dtype.fields is not None:
        return all(same_values(np.asarray(got)[name], np.asarray(want)[name]) for name in dtype.names)
    if dtype.kind in "OT" or dtype.char in "gG":  # pointers; x87 long doubles have bytes that mean nothing
        same = np.asarray(got == want)
        return bool(np.all(same | ((got != got) & (want != want))))
    return bool(got.tobytes() == want.tobytes())


def _mro(error: Exception) -> str:
    return "/".join(c.__name__ for c in type(error).__mro__ if c not in (object, BaseException, Exception))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "..."
