"""A predicate asked about all elements of a chunk at once, which are known by their bounds: yes, no, or maybe. Pure.

`Interval` stands for the chunks' elements: for each chunk a smallest and a largest, and whether NaNs are among them. What it is
compared with gives `Truth`: for each chunk whether the answer can be True and whether it can be False. Comparison with a number
is rising or falling in the element, and so is putting the element in another dtype before, so that what holds for both bounds
holds for all between. Whatever else a predicate does to an Interval raises, and the chunks are read.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
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


class _Asked:
    """What stands for elements that nobody has seen. `doubts` remembers that more was asked, whoever catches the exception."""

    __slots__ = ("doubts",)

    def __init__(self, doubts: list[str]) -> None:
        self.doubts = doubts

    def refuse(self, what: str) -> NotUnderstoodError:
        """The exception to raise; it is remembered."""
        self.doubts.append(what)
        return NotUnderstoodError(f"bounds alone do not tell {what}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # Python and NumPy look whether there are such
        raise self.refuse(name)

    def _refused(self, *args: Any, **kwargs: Any) -> Any:
        raise self.refuse("what comes of this")

    __array__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __hash__ = __index__ = _refused
    __int__ = __float__ = __complex__ = __round__ = __neg__ = __pos__ = __abs__ = __invert__ = _refused
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refused
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _refused
    __matmul__ = __rmatmul__ = __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __xor__ = __rxor__ = _refused
    __and__ = __rand__ = __or__ = __ror__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refused


class Truth(_Asked):
    """What a predicate can answer for elements of each chunk: `yes`, `no`, or both."""

    __slots__ = ("no", "yes")

    def __init__(self, yes: NDArray, no: NDArray, doubts: list[str]) -> None:
        super().__init__(doubts)
        self.yes = yes
        self.no = no

    def _other(self, value: Any) -> Truth:
        if not isinstance(value, Truth):
            raise self.refuse(f"what comes of this and a {type(value).__name__}")
        return value

    def __and__(self, other: Any) -> Any:
        other = self._other(other)
        return Truth(self.yes & other.yes, self.no | other.no, self.doubts)

    def __or__(self, other: Any) -> Any:
        other = self._other(other)
        return Truth(self.yes | other.yes, self.no & other.no, self.doubts)

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Any:
        return Truth(self.no, self.yes, self.doubts)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            if ufunc in _LOGIC and len(inputs) == 2:
                return _LOGIC[ufunc](self._other(inputs[0]), self._other(inputs[1]))
            if ufunc in (np.logical_not, np.invert):
                return ~self
        raise self.refuse(f"{ufunc.__name__} of an answer")


class Interval(_Asked):
    """The elements of chunks: between `low` and `high` where there are `some` that are no NaNs; `nans`: where there are NaNs.

    All are arrays with an element for each chunk; low and high have the dtype of the chunks.
    """

    __slots__ = ("_high", "_low", "_nans", "_some")

    def __init__(self, low: NDArray, high: NDArray, some: NDArray, nans: NDArray) -> None:
        super().__init__([])
        self._low, self._high, self._some, self._nans = low, high, some, nans

    def _compared(self, other: Any, compare: Callable[[Any, Any], Any]) -> Truth:
        number = isinstance(other, (bool, int, float, np.generic, str, bytes))
        if not number and not (type(other) is np.ndarray and other.ndim == 0):  # a masked one says other things
            raise self.refuse(f"a comparison with a {type(other).__name__}")
        try:
            return self._answer(other, compare)
        except Exception as error:  # NumPy's own, of what does not compare: it may raise the same of a chunk
            raise self.refuse(f"a comparison with {other!r}") from error

    def _answer(self, other: Any, compare: Callable[[Any, Any], Any]) -> Truth:
        low, high = self._low, self._high
        dated = {low.dtype.kind, np.asarray(other).dtype.kind} & set("mM")
        if dated and np.result_type(low.dtype, np.asarray(other)) != low.dtype:
            # In another unit NumPy may have too few bits, and of integers as dates the smallest is NaT.
            raise self.refuse("how dates compare with what is none, or of another unit")
        # Arrays, so that NumPy puts the two in one dtype as it does for a chunk.
        first, last = np.asarray(compare(low, other)), np.asarray(compare(high, other))
        if first.dtype != bool or first.shape != low.shape:
            raise self.refuse(f"a comparison with {other!r}")
        odd = np.zeros(first.shape, bool)  # what the comparison says of NaN
        if compare in (operator.eq, operator.ne):
            always = np.asarray(low == other) & np.asarray(high == other)
            strange = bool(np.asarray(other != other))  # a NaN equals nothing
            never = np.asarray(high < other) | np.asarray(low > other) | strange
            yes, no = ~never, ~always
            if compare is operator.ne:
                yes, no, odd = no, yes, ~odd
        else:
            yes, no = first | last, ~(first & last)
        return Truth((yes & self._some) | (self._nans & odd), (no & self._some) | (self._nans & ~odd), self.doubts)

    def __lt__(self, other: Any) -> Any:
        return self._compared(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compared(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compared(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
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
            if ufunc in (np.isnan, np.isnat) and (ufunc is np.isnat) == (self._low.dtype.kind in "mM"):
                return Truth(self._nans.copy(), self._some.copy(), self.doubts)
        raise self.refuse(f"{ufunc.__name__} of the elements")


def ask(predicate: Callable[[Any], Any], interval: Interval) -> Truth | None:
    """What a predicate says of chunks; None where it wants more than their bounds."""
    interval.doubts.clear()
    try:
        with np.errstate(all="ignore"):
            found = predicate(interval)
    except Exception:  # whatever it is: asked about real elements it may do well
        return None
    return found if type(found) is Truth and not interval.doubts else None
