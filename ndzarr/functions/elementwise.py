"""NumPy's functions, not ufuncs, that work element by element: round, clip, where, select, isclose, interp, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndzarr.functions.blockwise import elementwise
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.streaming import cut, dtype_of, is_operand, load, read, shape_of

_NOT_GIVEN: Any = np._NoValue


def _small(thing: Any) -> Any:
    """An argument that every block needs whole: a table of bins, of points, of test elements."""
    if not is_operand(thing):
        return thing
    from ndzarr.functions.dispatch import load_small

    return load_small(thing)


def _plain(function: Callable[..., Any]) -> None:
    """A function of one array and other arguments that has the array's shape."""

    @implements(function, kind="stream")
    def form(a: Any, *args: Any, **kwargs: Any) -> Any:
        if any(is_operand(x) for x in (*args, *kwargs.values())):
            raise UnstreamedError
        return elementwise(_bound(function, args, kwargs), (a,))


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> Callable[..., Any]:
    def bound(block: Any, **more: Any) -> Any:
        return function(block, *args, **(kwargs or {}), **more)

    bound.__name__ = getattr(function, "__name__", "function")
    return bound


_function: Any
for _function in (np.i0, np.sinc, np.angle, np.iscomplex, np.isreal, np.datetime_as_string):
    _plain(_function)


@implements(np.round, np.around, kind="stream")
def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """`numpy.round`."""
    return elementwise(_bound(np.round, (decimals,)), (a,), out=out, fills=True)


def _unary_with_out(function: Callable[..., Any]) -> None:
    @implements(function, kind="stream")
    def form(x: Any, out: Any = None) -> Any:
        return elementwise(function, (x,), out=out, fills=True)


for _function in (np.fix, np.isposinf, np.isneginf):
    _unary_with_out(_function)


@implements(np.clip, kind="stream")
def clip(
    a: Any, a_min: Any = _NOT_GIVEN, a_max: Any = _NOT_GIVEN, out: Any = None, *, min: Any = _NOT_GIVEN,
    max: Any = _NOT_GIVEN, **kwargs: Any,
) -> Any:  # fmt: skip
    """`numpy.clip`."""
    if kwargs or (a_min is not _NOT_GIVEN and min is not _NOT_GIVEN) or (a_max is not _NOT_GIVEN and max is not _NOT_GIVEN):
        raise UnstreamedError
    low = next((x for x in (a_min, min) if x is not _NOT_GIVEN), None)
    high = next((x for x in (a_max, max) if x is not _NOT_GIVEN), None)
    bounds = [x for x in (low, high) if x is not None]

    def clipped(block: Any, *limits: Any, **more: Any) -> Any:
        given = iter(limits)
        return np.clip(block, None if low is None else next(given), None if high is None else next(given), **more)

    clipped.__name__ = "clip"
    return elementwise(clipped, (a, *bounds), out=out, fills=True)


@implements(np.nan_to_num, kind="stream", note="copy=False changes a stored array in place")
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """`numpy.nan_to_num`."""
    if any(is_operand(v) for v in (nan, posinf, neginf)):
        raise UnstreamedError
    bound = _bound(np.nan_to_num, (), {"nan": nan, "posinf": posinf, "neginf": neginf})
    return elementwise(bound, (x,), out=None if copy else x)


@implements(np.real_if_close, kind="stream")
def real_if_close(a: Any, tol: float = 100) -> Any:
    """`numpy.real_if_close`."""
    kind = np.dtype(dtype_of(a))
    if kind.kind != "c":
        return np.real_if_close(load(a), tol)
    if tol > 1:
        tol = float(np.finfo(kind).eps * tol)
    for box in cut([a], shape_of(a)).boxes():
        if not np.all(np.absolute(read(a, box).imag) < tol):
            return elementwise(_bound(np.positive), (a,))
    return elementwise(_bound(np.real), (a,))


@implements(np.copy, kind="stream", note="a NumPy array; `ndzarr.convert` copies in the store")
def copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    """`numpy.copy`."""
    return elementwise(_bound(np.copy), (a,))


@implements(getattr(np, "astype", None), kind="stream")
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """`numpy.astype`."""
    return elementwise(_bound(lambda block: block.astype(dtype)), (x,))


# ---- of several arrays --------------------------------------------------------------------------------


@implements(np.where, kind="stream", note="with one argument: the coordinates, as nonzero")
def where(condition: Any, *choices: Any) -> Any:
    """`numpy.where`."""
    if not choices:
        from ndzarr.functions.picking import nonzero

        return nonzero(condition)
    return elementwise(np.where, (condition, *choices))


@implements(np.isclose, kind="stream")
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """`numpy.isclose`."""

    def close(x: Any, y: Any, rtol: Any, atol: Any) -> Any:
        return np.asarray(np.isclose(x, y, rtol, atol, equal_nan))

    found = elementwise(close, (a, b, rtol, atol))
    return found if found.shape else found[()]


def _every(function: Callable[[Any, Any], Any], a: Any, b: Any, shape: tuple[int, ...]) -> bool:
    """Whether `function` says yes of every block; stops at the first no."""
    return all(bool(function(read(a, box), read(b, box))) for box in cut([a, b], shape).boxes())


@implements(np.allclose, kind="stream")
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """`numpy.allclose`."""
    a, b = (x if is_operand(x) else np.asarray(x) for x in (a, b))
    if any(np.ndim(x) for x in (rtol, atol)):
        raise UnstreamedError
    shape = np.broadcast_shapes(shape_of(a), shape_of(b))
    return _every(lambda x, y: np.allclose(x, y, rtol, atol, equal_nan), a, b, shape)


@implements(np.array_equal, kind="stream")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """`numpy.array_equal`."""
    a1, a2 = (x if is_operand(x) else np.asarray(x) for x in (a1, a2))
    if shape_of(a1) != shape_of(a2):
        return False
    return _every(lambda x, y: np.array_equal(x, y, equal_nan), a1, a2, shape_of(a1))


@implements(np.array_equiv, kind="stream")
def array_equiv(a1: Any, a2: Any) -> bool:
    """`numpy.array_equiv`."""
    a1, a2 = (x if is_operand(x) else np.asarray(x) for x in (a1, a2))
    try:
        shape = np.broadcast_shapes(shape_of(a1), shape_of(a2))
    except ValueError:
        return False
    return _every(np.array_equiv, a1, a2, shape)


@implements(np.select, kind="stream")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """`numpy.select`."""
    if len(condlist) != len(choicelist) or not condlist or any(_kind(c) != "b" for c in condlist):
        raise UnstreamedError
    n = len(condlist)

    def selected(*arrays: Any) -> Any:
        return np.select(list(arrays[:n]), list(arrays[n:-1]), arrays[-1])

    selected.__name__ = "select"
    return elementwise(selected, (*condlist, *choicelist, default))


def _kind(x: Any) -> str:
    return str(np.dtype(dtype_of(x)).kind)


@implements(np.choose, kind="stream")
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """`numpy.choose`."""
    if is_operand(choices) or isinstance(choices, np.ndarray):
        choices = [choices[k] if not is_operand(choices) else choices.lazy[k] for k in range(shape_of(choices)[0])]

    function: Callable[..., Any] = np.choose

    def chosen(index: Any, *arrays: Any, **more: Any) -> Any:
        return function(index, arrays, mode=mode, **more)

    chosen.__name__ = "choose"
    return elementwise(chosen, (a, *choices), out=out, fills=True)


@implements(np.piecewise, kind="stream")
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """`numpy.piecewise`."""
    if not isinstance(condlist, (list, tuple)) or not all(shape_of(c) == shape_of(x) for c in condlist):
        raise UnstreamedError

    def pieces(block: Any, *conditions: Any) -> Any:
        return np.piecewise(block, list(conditions), funclist, *args, **kw)

    pieces.__name__ = "piecewise"
    return elementwise(pieces, (x, *condlist))


# ---- of one array and a table --------------------------------------------------------------------------------


@implements(np.digitize, kind="stream", note="the bins are loaded")
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """`numpy.digitize`."""
    return elementwise(_bound(np.digitize, (_small(bins), right)), (x,))


@implements(np.searchsorted, kind="stream", note="the sorted array is loaded, what is searched for streams")
def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    """`numpy.searchsorted`."""
    a, sorter = _small(a), _small(sorter)
    if not is_operand(v):
        return np.searchsorted(a, v, side, sorter)
    return elementwise(_bound(lambda block: np.searchsorted(a, block, side, sorter)), (v,))


@implements(np.interp, kind="stream", note="the data points are loaded")
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """`numpy.interp`."""
    xp, fp = _small(xp), _small(fp)
    if not is_operand(x):
        return np.interp(x, xp, fp, left, right, period)
    return elementwise(_bound(np.interp, (xp, fp, left, right, period)), (x,))


@implements(np.isin, kind="stream", note="the test elements are loaded")
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None) -> Any:
    """`numpy.isin`."""
    tests = np.asarray(_small(test_elements))
    if not is_operand(element):
        return np.isin(element, tests, assume_unique, invert, kind=kind)
    return elementwise(_bound(lambda block: np.isin(block, tests, invert=invert, kind=kind)), (element,))


@implements(np.polyval, kind="stream", note="the coefficients are loaded")
def polyval(p: Any, x: Any) -> Any:
    """`numpy.polyval`."""
    p = _small(p)
    if not is_operand(x):
        return np.polyval(p, x)
    return elementwise(_bound(lambda block: np.polyval(p, block)), (x,))


def _dates(function: Callable[..., Any], narrays: int) -> None:
    """The functions of business days, whose first arguments broadcast."""

    @implements(function, kind="stream")
    def form(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if any(is_operand(x) for x in (*args[narrays:], *kwargs.values())):
            raise UnstreamedError
        more = args[narrays:]
        args = tuple(np.asarray(x, "M8[D]") if isinstance(x, str) else x for x in args)

        def dates(*arrays: Any, **into: Any) -> Any:
            return function(*arrays, *more, **kwargs, **into)

        dates.__name__ = function.__name__
        return elementwise(dates, args[:narrays], out=out, fills=True)


_dates(np.busday_count, 2)
_dates(np.busday_offset, 2)
_dates(np.is_busday, 1)
