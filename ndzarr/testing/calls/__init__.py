"""Calls of every NumPy function that arrays may answer themselves, and of every ufunc: right where they equal NumPy's.

`score(wrap, CALLS)` is what came of each with `wrap` of NumPy's arrays in place of them. `python -m ndzarr.testing.calls`
prints it for ndzarr, and with `--dask` for dask.array.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from numpy.testing import overrides

from ndzarr.testing.calls import creation, indexing, linear, reductions, refusals, sets, shapes, texts, ufuncs
from ndzarr.testing.calls.call import Call, Outcome, Score, run, score

__all__ = ["CALLS", "REFUSED", "Call", "Outcome", "Score", "dispatched", "missing", "run", "score"]

#: All of them, in an order that stays.
CALLS: list[Call] = [
    *reductions.CALLS,
    *shapes.CALLS,
    *indexing.CALLS,
    *sets.CALLS,
    *linear.CALLS,
    *creation.CALLS,
    *texts.CALLS,
    *ufuncs.CALLS,
]

#: Where functions lie that `import numpy` does not register.
_MODULES = ("char", "fft", "lib.recfunctions", "lib.scimath", "lib.stride_tricks", "linalg", "polynomial", "rec", "strings")

#: What NumPy refuses, and with what exception others should.
REFUSED: list[Call] = refusals.CALLS


def dispatched() -> tuple[set[Any], set[Any]]:
    """The functions and the ufuncs that this NumPy lets arrays answer themselves."""
    for module in _MODULES:
        import_module(f"numpy.{module}")
    return set(overrides.get_overridable_numpy_array_functions()), set(overrides.get_overridable_numpy_ufuncs())


def missing() -> set[str]:
    """Names of those in `dispatched` that no call is about: none, or NumPy has got something new."""
    functions, ufuncs = dispatched()
    # Functions with `like=` are registered twice under one name, and only one of the two can be called by it.
    called = {_full_name(call.function) for call in CALLS}
    return {_full_name(function) for function in functions | ufuncs} - called


def _full_name(function: Any) -> str:
    return f"{getattr(function, '__module__', None) or 'numpy'}.{function.__name__}"
