"""A predicate asked about all elements of a chunk at once, which are known by their bounds: yes, no, or maybe. Pure.

`Interval` stands for the chunks' elements: for each chunk a smallest and a largest, and whether NaNs are among them. What it is
compared with gives `Truth`: for each chunk whether the answer can be True and whether it can be False. Comparison with a number
is rising or falling in the element, and so is putting the element in another dtype before, so that what holds for both bounds
holds for all between. Whatever else a predicate does to an Interval raises, and the chunks are read.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import NDArray

_COMPARISONS: dict[Any, Callable[[Any, Any], Any]] = {
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
}
_MIRRORED = {operator.lt: operator.gt, operator.gt: operator.lt, operator.le: operator.ge, operator.ge: operator.le}
_LOGIC = {
    np.logical_and: operator.and_,
    np.bitwise_and: operator.and_,
    np.logical_or: operator.or_,
    np.bitwise_or: operator.or_,
}


class NotUnderstoodError(TypeError):
    """A predicate asks more of an Interval than it can say."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a predicate can answer for elements of each chunk."""

    yes: NDArray
    no: NDArray

    def __and__(self, other: Any) -> Truth:
        other = _truth(other)
        return Truth(self.yes & other.yes, self.no | other.no)

    def __or__(self, other: Any) -> Truth:
        other = _truth(other)
        return Truth(self.yes | other.yes, self.no & other.no)

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Truth:
        return Truth(self.no, self.yes)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            if ufunc in _LOGIC and len(inputs) == 2:
                return _LOGIC[ufunc](_truth(inputs[0]), _truth(inputs[1]))
            if ufunc in (np.logical_not, np.invert):
                return ~self
        raise NotUnderstoodError(f"{ufunc.__name__} of what a predicate says")

    def __bool__(self) -> bool:
        raise NotUnderstoodError("the truth of what a predicate says of many elements")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray:
        raise NotUnderstoodError("what a predicate says of a chunk is no array")


def _truth(value: Any) -> Truth:
    if not isinstance(value, Truth):
        raise NotUnderstoodError(f"{type(value).__name__} among what a predicate says")
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """The elements of chunks: between `low` and `high` where there are `some` that are no NaNs; `nans`: where there are NaNs.

    All are arrays with an element for each chunk; low and high have the dtype of the chunks.
    """

    low: NDArray
    high: NDArray
    some: NDArray
    nans: NDArray

    def _compared(self, other: Any, compare: Callable[[Any, Any], Any]) -> Truth:
        if not isinstance(other, (bool, int, float, np.generic, str, bytes)) and not (
            isinstance(other, np.ndarray) and other.ndim == 0
        ):
            raise NotUnderstoodError(f"comparison with {type(other).__name__}")
        if self.low.dtype.kind in "mM" and np.result_type(self.low.dtype, np.asarray(other)) != self.low.dtype:
            raise NotUnderstoodError("dates put in another unit, of which NumPy may have too few bits")
        # Arrays, so that NumPy puts the two in one dtype as it does for a chunk.
        first, last = (np.asarray(compare(bound, other)) for bound in (self.low, self.high))
        if first.dtype != bool or first.shape != self.low.shape:
            raise NotUnderstoodError(f"comparison with {other!r}")
        odd = np.zeros(first.shape, bool)  # what the comparison says of NaN
        if compare in (operator.eq, operator.ne):
            below, above = np.asarray(self.high < other), np.asarray(self.low > other)
            equal = [np.asarray(bound == other) for bound in (self.low, self.high)]
            strange = np.asarray(other != other).reshape(())[()]  # a NaN equals nothing
            always = equal[0] & equal[1]
            never = below | above | bool(strange)
            truth = Truth(~never, ~always)
            if compare is operator.ne:
                truth, odd = ~truth, ~odd
        else:
            truth = Truth(first | last, ~(first & last))
        return Truth((truth.yes & self.some) | (self.nans & odd), (truth.no & self.some) | (self.nans & ~odd))

    def __lt__(self, other: Any) -> Truth:
        return self._compared(other, operator.lt)

    def __le__(self, other: Any) -> Truth:
        return self._compared(other, operator.le)

    def __gt__(self, other: Any) -> Truth:
        return self._compared(other, operator.gt)

    def __ge__(self, other: Any) -> Truth:
        return self._compared(other, operator.ge)

    def __eq__(self, other: object) -> Any:  # as an array's, which is no bool either
        return self._compared(other, operator.eq)

    def __ne__(self, other: object) -> Any:
        return self._compared(other, operator.ne)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            if ufunc in _COMPARISONS and len(inputs) == 2:
                compare = _COMPARISONS[ufunc]
                if isinstance(inputs[0], Interval):
                    return inputs[0]._compared(inputs[1], compare)
                return self._compared(inputs[0], _MIRRORED.get(compare, compare))
            if ufunc in (np.isnan, np.isnat) and (ufunc is np.isnat) == (self.low.dtype.kind in "mM"):
                return Truth(self.nans.copy(), self.some.copy())
        raise NotUnderstoodError(f"{ufunc.__name__} of the elements of a chunk")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray:
        raise NotUnderstoodError("the bounds of a chunk are no array")

    def __bool__(self) -> bool:
        raise NotUnderstoodError("the truth of many elements")

    def __len__(self) -> int:
        raise NotUnderstoodError("the length of a chunk")

    def __iter__(self) -> Any:
        raise NotUnderstoodError("the elements of a chunk one by one")


def ask(predicate: Callable[[Any], Any], interval: Interval) -> Truth | None:
    """What a predicate says of chunks; None where it wants more than their bounds."""
    try:
        with np.errstate(all="ignore"):
            found = predicate(interval)
    except Exception:  # whatever it is: asked about real elements it may do well
        return None
    return found if type(found) is Truth else None
