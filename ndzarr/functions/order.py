"""median, percentile, quantile and the forms that pass over NaNs: exact, in bounded memory, by NumPy's own interpolation.

Over all axes: `ranks` finds the order statistics by counting digits, a few passes over the array, and NumPy's own function
makes of them what it would. Over some axes: NumPy's own function on whole lanes; where one lane alone is more than
`options(working_memory)` it too goes by counting. Numbers equal NumPy's bit for bit, but for the sign of a zero where both
zeros are in the data.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from ndzarr import config
from ndzarr._typing import NDArray
from ndzarr.functions.blockwise import store
from ndzarr.functions.dispatch import load_small
from ndzarr.functions.fold import answer, normal_axes, place_for, reduced_shape
from ndzarr.functions.lanes import lanes
from ndzarr.functions.ranks import Keys, Lane, Ranks, Sorted
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import dtype_of, is_operand, shape_of

_NOT_GIVEN: Any = np._NoValue
#: How often NumPy's functions hold an element of a block: as it was read and as it is partitioned; and in masked arrays.
_COPIES, _MASKED_COPIES = 3, 8
#: Lanes shorter than this have their nanmedian found in masked arrays, which rounds otherwise (NumPy's `_nanmedian`).
_MASKED = 600


def statistic(function: Any, operand: Any, q: tuple[Any, ...], kwargs: dict[str, Any], skip: bool) -> NDArray:
    """`function(all elements, *q, **kwargs)` with NumPy's `median`, `percentile` or `quantile`; `skip` leaves NaNs out."""
    dtype = np.dtype(dtype_of(operand))
    keys = Keys.of(dtype)
    if keys is None:
        raise UnstreamedError
    ranks = Ranks(operand, keys)
    if (ranks.nans and not skip) or not ranks.count:
        # One NaN is as good as all of them, and NumPy's own warning comes of it.
        nan = np.full(1, "NaT" if dtype.kind in "mM" else np.nan, dtype)
        return np.asarray((getattr(np, f"nan{function.__name__}") if skip else function)(nan, *q, **kwargs))
    stand_in = Sorted.over(ranks, dtype)
    found = np.asarray(function(stand_in, *q, **kwargs))
    if not stand_in.asked:  # pragma: no cover - a NumPy that does not partition
        raise UnstreamedError
    return found


def order(
    function: Any, a: Any, q: tuple[Any, ...], axis: Any, out: Any, keepdims: bool, skip: bool, kwargs: dict[str, Any],
    weights: Any = None,
) -> Any:  # fmt: skip
    """What `function`, or its form without NaNs if `skip`, gives of an operand; `q` is empty for a median."""
    if not is_operand(a):
        raise UnstreamedError
    called = getattr(np, f"nan{function.__name__}") if skip else function
    name = f"numpy.{called.__name__}"
    shape, dtype = shape_of(a), np.dtype(dtype_of(a))
    q = tuple(load_small(x) if is_operand(x) else x for x in q)
    lead = np.shape(q[0]) if q else ()
    # NumPy says on one element what it would raise, and what comes out.
    single = np.zeros((1,) * len(shape), dtype)
    weighted = {} if weights is None else {"weights": np.ones(single.shape)}
    raw = called(single, *q, axis=axis, **kwargs, **weighted)
    probe = np.asarray(raw)
    axes = normal_axes(axis, len(shape))
    if not axes or not math.prod(shape):
        raise UnstreamedError
    wanted = lead + reduced_shape(shape, axes, keepdims)
    everything = len(axes) == len(shape)
    if skip and len(lead) > 1 and len(axes) > 1 and not everything:
        raise UnstreamedError  # NumPy 2.4 and before mix up the axes of such a result, and what is small comes out that way
    count = math.prod(shape[k] for k in axes)
    long = _COPIES * count * dtype.itemsize > config.current().working_memory and Keys.of(dtype) is not None
    if called is np.nanmedian and count < _MASKED:
        long = False
    if weights is None and (everything or long):
        if everything and out is None:
            return statistic(function, a, q, kwargs, skip).reshape(wanted)[()]
        place = place_for(out, wanted, probe.dtype, name)
        if everything:
            _put(place, statistic(function, a, q, kwargs, skip).reshape(wanted))
            return answer(place, out)
        target = place
        if is_operand(target):
            place = result(wanted, probe.dtype, name)
        kept = [k for k in range(len(shape)) if k not in axes]
        for fixed in product(*(range(shape[k]) for k in kept)):
            spot = dict(zip(kept, fixed, strict=True))
            box = [spot.get(k, 0) for k in range(len(shape)) if keepdims or k in spot]
            place[(slice(None),) * len(lead) + tuple(box)] = statistic(function, Lane(a, axes, fixed), q, kwargs, skip)
        if is_operand(target):
            store(place, target)
        return answer(target, out)
    if weights is not None and everything and len(shape) > 1:
        raise UnstreamedError
    inputs = [a] if weights is None else [a, _weights(weights, shape, axis)]

    def block(array: Any, *more: Any) -> NDArray:
        given = {**kwargs, "weights": more[0]} if more else kwargs
        return np.asarray(called(array, *q, axis=axes, keepdims=True, overwrite_input=True, **given))

    nbytes = dtype.itemsize * (_MASKED_COPIES if called is np.nanmedian else _COPIES) + (32 if weights is not None else 0)
    found = lanes(block, inputs, axes, name=name, lead=len(lead), drop=not keepdims, out=out, nbytes=nbytes)
    return np.asarray(found) if isinstance(raw, np.ndarray) and out is None else found


def _weights(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Weights that go along with the array block by block."""
    weights = weights if is_operand(weights) else np.asarray(weights)
    if shape_of(weights) == shape:
        return weights
    raise UnstreamedError  # one for each place along the axis


def _put(place: Any, value: NDArray) -> None:
    if is_operand(place):
        place.write_box(tuple(slice(0, n, 1) for n in value.shape), value.astype(place.dtype, copy=False))
    else:
        np.copyto(place, value, "same_kind")


def _medians(function: Any, skip: bool) -> None:
    @implements(function, kind="stream", note="exact; over all axes by counting digits, a few passes")
    def form(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
        return order(np.median, a, (), axis, out, keepdims is not _NOT_GIVEN and bool(keepdims), skip, {})


def _quantiles(function: Any, skip: bool) -> None:
    plain = getattr(np, function.__name__.removeprefix("nan"))

    @implements(function, kind="stream", note="exact; over all axes by counting digits, a few passes; weights: whole lanes")
    def form(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: Any = False, *, weights: Any = None, **more: Any) -> Any:  # fmt: skip
        if any(x is not None for x in more.values()):
            raise UnstreamedError
        keep = keepdims is not _NOT_GIVEN and bool(keepdims)
        if weights is not None and method != "inverted_cdf":
            raise UnstreamedError
        return order(plain, a, (q,), axis, out, keep, skip, {"method": method}, weights)


_medians(np.median, False)
_medians(np.nanmedian, True)
for _function, _skip in (
    (np.percentile, False), (np.quantile, False), (np.nanpercentile, True), (np.nanquantile, True),
):  # fmt: skip
    _quantiles(_function, _skip)
