"""Hypothesis strategies: arrays, every index that NumPy takes on them, and values to assign.

The drawing itself is in `ndzarr.testing.expressions`; here hypothesis makes the choices, so that what fails is shrunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from ndzarr._typing import DType, Shape
from ndzarr.testing import expressions
from ndzarr.testing.expressions import IndexKinds, Sample

T = TypeVar("T")


class _Drawn:
    """Choices made by hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        return options[self._draw(st.integers(0, len(options) - 1))]

    def chance(self, percent: int) -> bool:
        # Shrinking goes towards 0, which must mean no.
        return self._draw(st.integers(0, 99)) >= 100 - percent


@st.composite
def indices(
    draw: st.DrawFn,
    shape: Shape,
    *,
    min_entries: int = 0,
    arrays: bool = True,
    newaxis: bool = True,
    invalid: bool = False,
) -> Any:
    """Index expressions for an array of this shape, as NumPy understands them.

    Integers, slices of any step, None, Ellipsis, integer arrays and lists of rank 0 to 3, masks of any rank, booleans,
    and mixes of them. `min_entries`: at least so many axes have an entry of their own. `arrays=False` leaves out index
    arrays, lists and masks, `newaxis=False` leaves out None. `invalid=True` spoils about one in eight: compare what is
    raised.
    """
    return expressions.index(_Drawn(draw), tuple(shape), IndexKinds(min_entries, arrays, newaxis, invalid))


@st.composite
def values_for(draw: st.DrawFn, shape: Shape, dtype: DType, *, mismatched: bool = False) -> Any:
    """Values to assign to a selection of this shape: scalars, lists and arrays that broadcast to it.

    `mismatched=True` adds other dtypes, values that do not fit and shapes that do not broadcast.
    """
    return expressions.value(_Drawn(draw), tuple(shape), dtype, mismatched=mismatched)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Small arrays with their storage: `ndzarr.create_array(None, **sample.keywords)`, then `sample.fill_into(z)`."""
    return expressions.sample(_Drawn(draw))
