"""The way in for NumPy's functions: the table's own form, else NumPy on loaded operands while these are small enough."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import Box, NDArray
from ndzarr.errors import ArgumentError, MemoryLimitError
from ndzarr.functions.fold import planned
from ndzarr.functions.stand_ins import Unread, UnreadError
from ndzarr.functions.table import TABLE, Entry, UnstreamedError
from ndzarr.imports import import_behind
from ndzarr.operand import Operand
from ndzarr.streaming import fits_block, is_operand, load, own_box

#: The modules that fill the table, each with functions of its own. Those that most programs want come first.
FAMILIES = (
    "folds",
    "extremes",
    "moments",
    "elementwise",
    "shape",
    "joining",
    "metadata",
    "picking",
    "order",
    "cumulative",
    "linear",
    "unique",
    "histograms",
    "sorting",
    "applied",
    "files",
    "fourier",
    "matrices",
    "norms",
    "records",
    "stretches",
    "strings",
    "writes",
)


def _entry(function: Callable[..., Any]) -> Entry | None:
    """The table's entry for a function; families are imported in turn until one has it."""
    for family in FAMILIES:
        found = TABLE.get(function)
        if found is not None:
            return found
        import_behind(f"ndzarr.functions.{family}")
    return TABLE.get(function)


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What `function(*args, **kwargs)` gives when some of the arguments, or elements of lists in them, are operands.

    Raises what NumPy raises, and MemoryLimitError where it would have to load more than `options(max_load)`.
    """
    args, kwargs = named_out(function, args, kwargs)
    entry = _entry(function)
    small = False
    if entry is not None:
        small = entry.kind in ("stream", "lanes") and not _changes(kwargs) and fits_block(operands_in((args, kwargs)))
        if not small:
            try:
                return entry.run(*args, **kwargs)
            except UnstreamedError:
                pass
    return loaded(function, args, kwargs, limited=not small)


@dataclass(frozen=True, slots=True)
class Reads:
    """What a function would read of one operand: boxes in turn, each in one read.

    weight: bytes of one element of a box in all that is made of it. nbytes_result: of the function's result. looks: requests
    besides, which look for statistics.
    """

    boxes: Iterable[Box]
    weight: int
    nbytes_result: int
    looks: int = 0


#: Reductions that go by statistics where there are any (`functions.extremes`).
_KNOWN = {np.max, np.amax, np.min, np.amin, np.nanmax, np.nanmin}


def reads(function: Callable[..., Any], operand: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reads:
    """What the reduction `function(operand, *args, **kwargs)` would read of `operand` without statistics; nothing is read.

    Raises ArgumentError for what is no reduction, and what NumPy raises for its arguments.
    """
    ufunc = getattr(function, "__self__", None)
    entry = _entry(function)
    unread = Unread(operand)  # many functions are no reductions, and would write
    plan = None
    with suppress(UnreadError, UnstreamedError):
        if isinstance(ufunc, np.ufunc) and function.__name__ == "reduce":
            from ndzarr.functions.folds import reduce

            plan = planned(lambda: reduce(ufunc, unread, *args, **kwargs))
        elif entry is not None:
            plan = planned(lambda: entry.run(unread, *args, **kwargs))
    if plan is None:
        raise ArgumentError(
            f"{name_of(function)} is no reduction: what it reads is not known before it has read", field="function"
        )
    if fits_block([x for x in plan.operands if is_operand(x)]) and kwargs.get("out") is None:
        whole = tuple([slice(0, n, 1) for n in operand.shape])
        return Reads([whole], 2 * operand.dtype.itemsize, plan.nbytes_result)
    may_prune = getattr(type(operand), "_may_prune", None)
    looks = may_prune is not None and function in _KNOWN and kwargs.keys() <= {"axis", "keepdims"} and may_prune(operand)
    boxes = (own_box(operand.shape, box) for box in plan.blocks.boxes())
    return Reads(boxes, plan.weight, plan.nbytes_result, int(looks))


def loaded(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, limited: bool = True) -> Any:
    """NumPy's own answer on loaded operands. `out=` may be an operand, which is written when the answer is there.

    Raises MemoryLimitError above `options(max_load)`, if `limited`.
    """
    # By identity: arrays have no hash, since `==` goes element by element.
    found = {id(x): x for x in operands_in((args, {k: v for k, v in kwargs.items() if k != "out"}))}
    total = sum(math.prod(x.shape) * x.dtype.itemsize for x in found.values())
    limit = config.current().max_load
    if limited and total > limit:
        raise MemoryLimitError(
            f"{name_of(function)} has no form that goes chunk by chunk (for these arguments): it would load {total} bytes, "
            f"options(max_load=) allows {limit}; take a slice, load it yourself with numpy.asarray(z), or use z.to_dask()",
            found=total,
            expected=limit,
        )
    # A function that changes an argument in place would change a copy, and the change be lost: better an error. Some are
    # told that they may, and use it as scratch.
    arrays = {key: np.asarray(load(x)) for key, x in found.items()}
    if not kwargs.get("overwrite_input"):
        for array in arrays.values():
            array.flags.writeable = False
    kwargs = dict(kwargs)
    out = kwargs.pop("out", None)
    args, kwargs = replaced((args, kwargs), arrays)
    if out is None:
        return _writable(function(*args, **kwargs), arrays.values())
    outs = out if isinstance(out, tuple) else (out,)
    buffers = tuple(load(x) if is_operand(x) else x for x in outs)
    answer = function(*args, **kwargs, out=buffers if isinstance(out, tuple) else buffers[0])
    for place, buffer in zip(outs, buffers, strict=True):
        if is_operand(place):
            place.write_box(tuple(slice(0, n, 1) for n in place.shape), buffer)
    found_in = dict(zip(map(id, buffers), outs, strict=True))
    return tuple(found_in.get(id(a), a) for a in answer) if isinstance(answer, tuple) else found_in.get(id(answer), answer)


def _writable(answer: Any, arrays: Iterable[NDArray]) -> Any:
    """The answer, of which what is a view of loaded arrays can be changed: nobody else has these."""
    for array in arrays:
        array.flags.writeable = True
    for found in answer if isinstance(answer, (tuple, list)) else (answer,):
        if not isinstance(found, np.ndarray) or found.flags.writeable:
            continue
        if not found.size or any(np.may_share_memory(found, x) for x in arrays):  # nothing shares no memory
            with suppress(ValueError):  # a view of what cannot be changed
                found.flags.writeable = True
    return answer


def load_small(thing: Any) -> Any:
    """An operand loaded whole, as what a function needs all at once; MemoryLimitError above `options(max_load)`.

    Anything else is made an array.
    """
    if not is_operand(thing):
        return np.asarray(thing)
    nbytes = math.prod(thing.shape) * thing.dtype.itemsize
    limit = config.current().max_load
    if nbytes > limit:
        raise MemoryLimitError(
            f"an argument of shape {thing.shape} that is needed whole takes {nbytes} bytes, options(max_load=) allows {limit}; "
            "take a slice, or load it yourself with numpy.asarray(z)",
            found=nbytes,
            expected=limit,
        )
    return np.asarray(load(thing))


def loaded_into(function: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """`function(target, *args)`, which changes `target`, an array in memory, with the operands among `args` loaded."""
    function(target, *[load_small(x) if is_operand(x) else x for x in args], **kwargs)


def _changes(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call writes to an argument, so that it cannot work on loaded copies."""
    return kwargs.get("out") is not None or kwargs.get("copy") is False


@lru_cache(maxsize=1024)
def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return signature if "out" in signature.parameters else None


def named_out(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The same arguments with an `out` that was given by position given by name."""
    signature = _signature(function) if len(args) > 1 else None
    if signature is None:
        return args, kwargs
    position = list(signature.parameters).index("out")
    if len(args) <= position or signature.parameters["out"].kind is inspect.Parameter.KEYWORD_ONLY:
        return args, kwargs
    names = list(signature.parameters)[position:]
    return args[:position], {**dict(zip(names, args[position:], strict=False)), **kwargs}


def operands_in(thing: Any) -> Iterator[Operand]:
    """Every operand among nested tuples, lists and dicts."""
    if is_operand(thing):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for item in thing:
            yield from operands_in(item)
    elif isinstance(thing, dict):
        yield from operands_in(list(thing.values()))


def replaced(thing: Any, arrays: Mapping[int, Any]) -> Any:
    """Nested tuples, lists and dicts with each operand replaced by what `arrays` has for its id."""
    if is_operand(thing):
        return arrays[id(thing)]
    if type(thing) in (tuple, list):
        return type(thing)([replaced(item, arrays) for item in thing])
    if type(thing) is dict:
        return {key: replaced(value, arrays) for key, value in thing.items()}
    return thing


def name_of(function: Any) -> str:
    """How messages name a function of NumPy's.

    >>> name_of(np.linalg.svd)
    'numpy.linalg.svd'
    """
    return f"{getattr(function, '__module__', None) or 'numpy'}.{getattr(function, '__name__', function)}"


#: Functions that make or read arrays, and are dispatched only by their `like=`.
_MAKERS = frozenset(
    "arange array asanyarray asarray ascontiguousarray asfortranarray empty eye frombuffer fromfile fromfunction fromiter "
    "fromstring full genfromtxt geomspace identity linspace loadtxt logspace ones require tri zeros".split()
)


def described() -> list[tuple[str, str, str]]:
    """(name, kind, note) of every function that NumPy lets arrays answer, by name; what is not in the table is "load".

    Functions that make arrays of nothing (`numpy.zeros`) are left out: they ask `like=` only.
    """
    from numpy.testing.overrides import get_overridable_numpy_array_functions

    for module in ("fft", "lib.recfunctions", "lib.scimath", "lib.stride_tricks", "linalg", "strings"):
        import_module(f"numpy.{module}")
    found = {}
    for function in get_overridable_numpy_array_functions():
        entry = _entry(function)
        if entry is None and function.__name__ in _MAKERS:
            continue
        found[name_of(function)] = ("load", "") if entry is None else (entry.kind, entry.note)
    return sorted((name, kind, note) for name, (kind, note) in found.items())
