"""Every function of NumPy's that dispatches, and every ufunc, called with arrays that are not NumPy's."""

from __future__ import annotations

import operator
import re
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin

from ndzarr.config import options
from ndzarr.errors import MemoryLimitError
from ndzarr.testing.calls import CALLS, REFUSED, Call, Outcome, Score, dispatched, missing, run, score
from ndzarr.testing.calls.operands import NAMES, operand
from ndzarr.testing.calls.wraps import dask_array, zarray

EVERY = [*CALLS, *REFUSED]


# ---- the table ----


def test_every_function_and_ufunc_of_this_numpy_is_called() -> None:
    assert missing() == set()


def test_every_function_is_called_with_an_operand_wrapped() -> None:
    """One that is only ever called with NumPy's arrays would count as right whatever it did."""
    wrapped = {call.name for call in EVERY if any(name.islower() for name in call.operands)}
    assert {call.name for call in EVERY} - wrapped == set()


def test_no_call_stands_twice() -> None:
    assert [text for text, times in Counter(call.text for call in EVERY).items() if times > 1] == []


def test_numpy_takes_what_it_should_and_refuses_the_rest() -> None:
    taken = score(np.copy, CALLS)
    assert [outcome for outcome in taken.outcomes if outcome.kind != "right"] == []
    # Two views that NumPy makes read-only are written to, which is an error there too.
    raising = [outcome.call.text for outcome in taken.outcomes if outcome.error is not None]
    assert raising == ["op.setitem(np.diagonal(f), 0, 1)", "op.setitem(np.broadcast_to(row, (3, 6)), 0, 1)"]
    refused = score(np.copy, REFUSED)
    assert [outcome for outcome in refused.outcomes if outcome.kind != "right" or outcome.error is None] == []


def test_operands_are_what_they_are_said_to_be() -> None:
    for name, said in NAMES.items():
        array = operand(name)
        assert f"{array.shape}" in said, name
        words = {"U": "str", "S": "bytes", "T": "StringDType", "V": "structured"}
        assert words.get(array.dtype.kind, str(array.dtype)) in said, name
        assert operand(name) is not array


# ---- what the comparison notices ----


class Loading(NDArrayOperatorsMixin):
    """An array that loads itself for whatever it is asked, and puts back what changed: the simplest that is right."""

    def __init__(self, array: Any) -> None:
        self.array = array

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: self.array.dtype)
    T = property(lambda self: type(self)(self.array.T))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.array, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[index] = self.bare(value)

    def __index__(self) -> int:
        return operator.index(self.array)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self.answer(func(*self.bare(args), **self.bare(kwargs)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.answer(getattr(ufunc, method)(*self.bare(inputs), **self.bare(kwargs)))

    def answer(self, value: Any) -> Any:
        return value

    def bare(self, value: Any) -> Any:
        if isinstance(value, Loading):
            return value.array
        if isinstance(value, dict):
            return {key: self.bare(one) for key, one in value.items()}
        return type(value)(map(self.bare, value)) if type(value) in (list, tuple) else value


class Hasty(Loading):
    """Right but for one dtype."""

    def answer(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.answer(one) for one in value]
        return value.astype("f4") if isinstance(value, np.ndarray) and value.dtype == "f8" else value


class Forgetful(Loading):
    """What it is told to change is a copy."""

    def bare(self, value: Any) -> Any:
        return value.array.copy() if isinstance(value, Loading) else super().bare(value)


class Lenient(Loading):
    """Never raises."""

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().__array_function__(func, types, args, kwargs)
        except Exception:
            return np.zeros(3)


class Late(Loading):
    """Refuses, but only after the harm is done."""

    def answer(self, value: Any) -> Any:
        raise MemoryLimitError("too much")


def outcome(wrap: Any, text: str) -> Outcome:
    return run(Call(text, "exact"), wrap)


def test_an_array_that_loads_itself_is_right() -> None:
    assert [one for one in score(Loading, EVERY).outcomes if one.kind != "right"] == []


@pytest.mark.parametrize(
    ("wrap", "text", "why"),
    [
        (Hasty, "np.cumsum(f, axis=0)", "has dtype float32, expected float64"),
        (Hasty, "np.split(f, [2])", "[0] has dtype float32"),
        (Forgetful, "np.copyto(o, f)", "afterwards o holds"),
        (Forgetful, "np.add.at(o, [0, 2], row)", "afterwards o holds"),
        (Lenient, "np.sum(f, axis=2)", "no exception, expected AxisError"),
        (Lenient, "np.concatenate([f, t])", "no exception, expected ValueError"),
        (Late, "np.put(o, [1], 9)", "MemoryLimitError: too much; and o holds"),
        (lambda array: array + 1, "np.sum(i)", "holds"),
        (lambda array: array[:-1], "np.sum(f, axis=1)", "has shape (6,), expected (7,)"),
        (lambda array: array.astype("f4"), "np.mean(f)", "has dtype float32"),
        (lambda array: [1], "np.shape(f)", "is"),
        (lambda array: array + 1e-9, "np.sort(f)", "holds"),
    ],
)
def test_what_is_wrong_is_found(wrap: Any, text: str, why: str) -> None:
    found = outcome(wrap, text)
    assert (found.kind, found.why[: len(why)]) == ("wrong", why)


def test_refusals_are_no_wrong_answers() -> None:
    found = outcome(Late, "np.sum(f)")
    assert found.kind == "refused"
    assert isinstance(found.error, MemoryLimitError)
    assert outcome(Late, "np.sum(f, axis=2)").kind == "right"  # refused by NumPy itself


def test_rounding_is_right_and_more_is_not() -> None:
    def shifted(by: float) -> Any:
        return lambda array: array * (1 + by)

    assert run(Call("np.sum(f)"), shifted(1e-14)).kind == "right"
    assert run(Call("np.sum(f)"), shifted(1e-9)).kind == "wrong"
    assert run(Call("np.sum(f)", "exact"), shifted(1e-14)).kind == "wrong"


# ---- dask ----


@cache
def dask_score() -> Score:
    return score(dask_array, CALLS)


@pytest.mark.once
def test_score_of_dask() -> None:
    """What `docs` say of dask.array is measured by the same calls."""
    found = dask_score()
    assert 0.7 < found.share < 0.95, str(found)
    # Of what is wrong, arrays that cannot be changed in place are a choice; wrong values are not.
    assert len([one for one in found.of("wrong") if not one.why.startswith("afterwards")]) >= 3, str(found)


# ---- ndzarr ----


@pytest.mark.parametrize("limits", [{}, {"working_memory": 1}], ids=["whole", "in blocks"])
def test_small_arrays_are_right(limits: dict[str, int]) -> None:
    """`working_memory=1` makes a block of every chunk, as if the array were far larger than memory."""
    found = score(zarray, CALLS, lambda: options(**limits))
    assert found.of("wrong") == []
    assert found.share >= 0.98, "\n".join(f"{one.call.text}: {one.why}" for one in found.of("refused"))


@cache
def unloaded() -> Score:
    """Every call where nothing may be loaded: each array is above the limit."""
    return score(zarray, CALLS, lambda: options(max_load=1, working_memory=1))


def test_above_the_load_limit_all_stream_or_refuse() -> None:
    found = unloaded()
    assert found.of("wrong") == []
    assert [one for one in found.of("refused") if not isinstance(one.error, MemoryLimitError)] == []


def given_whole(call: Call) -> bool:
    """Whether some array above the limit is an argument itself, not a part of it taken before, nor only `like=`."""
    return any(re.search(rf"(?<!like=)\b{name}\b(?![\[.])", call.text) for name in call.operands if name.islower())


def test_functions_and_ufuncs_that_stream() -> None:
    """Those right in every one of their calls though nothing may be loaded."""
    functions, ufuncs = dispatched()
    refused = unloaded().functions("refused")
    done = {one.call.name: one.call.function for one in unloaded().of("right") if given_whole(one.call)}
    assert {one.call.name for one in unloaded().of("refused") if one.call.function in ufuncs} == set()
    streaming = {name for name, function in done.items() if function in functions and name not in refused}
    assert len(streaming) >= 150, sorted(refused)


@pytest.mark.parametrize("limits", [{}, {"working_memory": 1}], ids=["whole", "in blocks"])
def test_what_numpy_refuses_is_refused_with_the_same_exception(limits: dict[str, int]) -> None:
    outcomes = score(zarray, REFUSED, lambda: options(**limits)).outcomes
    assert [f"{one.call.text}: {one.why}" for one in outcomes if one.kind != "right"] == []
