"""Covariances and correlations, block by block, and convolutions of long arrays with short ones.

Covariances of few variables take one pass: means and co-moments of blocks, each found in two passes over the block, are merged
by the formula for co-moments of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979. Of many variables they take two passes over the array, as NumPy's: the means, then the products of the
distances from them, in tiles.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeAlias

import numpy as np

from ndzarr._typing import DType, NDArray
from ndzarr.functions import folds
from ndzarr.functions.contract import Factor, matrix_product
from ndzarr.functions.dispatch import load_small
from ndzarr.functions.linear import multiply_into
from ndzarr.functions.stand_ins import arrays, miniature, numeric
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, read, run, shape_of, share_nbytes

_NOT_GIVEN: Any = np._NoValue


def _variables(m: Any, rowvar: bool, first: bool) -> Any:
    """The array with a row for each variable. A second argument of one row is one variable whatever `rowvar` says."""
    shape = shape_of(m)
    if len(shape) < 2:
        index = (None,) * (2 - len(shape)) + (...,)
        return m.lazy[index] if is_operand(m) else m[index]
    turned = not rowvar if first else not rowvar and shape[0] != 1
    return np.transpose(m) if turned else m


def _weights(fweights: Any, aweights: Any, count: int) -> tuple[Any, Any]:
    """The product of both weights and the second one, as floats; NumPy's own errors."""
    f, a = (None if x is None else np.asarray(load_small(x)) for x in (fweights, aweights))
    if f is None and a is None:
        return None, None
    # One variable of so many observations is enough for NumPy to see what is wrong with the weights.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        np.cov(np.broadcast_to(np.zeros(1), (1, count)), fweights=f, aweights=a)
    f, a = (None if x is None else np.asarray(x, float) for x in (f, a))
    return (a if f is None else f if a is None else f * a), a


@implements(np.cov, kind="stream", note="the weights are loaded")
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    """`numpy.cov`."""
    given = arrays(m) if y is None else arrays(m, y)
    numeric(*given)

    def call(m: Any, y: Any = None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.cov(m, y, rowvar=rowvar, bias=bias, ddof=ddof, dtype=dtype)

    probe = miniature(call, *given)
    kind = np.asarray(probe).dtype
    parts = [_variables(x, rowvar, k == 0) for k, x in enumerate(given)]
    if shape_of(parts[0])[0] == 0 or kind.kind not in "fc" or (kind.kind == "f" and any(x.dtype.kind == "c" for x in given)):
        raise UnstreamedError
    count = shape_of(parts[0])[1]
    w, a = _weights(fweights, aweights, count)
    if ddof is None:
        ddof = 0 if bias else 1
    fact = count - ddof if w is None else w.sum() if ddof == 0 else w.sum() - ddof * (1 if a is None else sum(w * a) / w.sum())
    if fact <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        fact = 0.0
    if w is not None and w.sum() == 0:
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    found = _merged(parts, w, kind)
    if found is None:
        found = _products(parts, [_means(x, w, kind) for x in parts], w, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        found *= np.true_divide(1, fact)
    return found.squeeze()


def _means(x: Any, w: Any, dtype: DType) -> NDArray:
    if w is None:
        return np.asarray(folds.mean(x, 1, dtype) if is_operand(x) else np.mean(x, 1, dtype))
    totals = multiply_into(None, [Factor(x, (0, 1)), Factor(w, (1,))], (0,), dtype, "numpy.cov")
    return np.asarray(totals / w.sum())


def _products(parts: list[Any], means: list[NDArray], w: Any, dtype: DType) -> NDArray:
    """The sums of products of distances from the means, of every two variables of all parts."""
    bounds = np.cumsum([0, *(shape_of(x)[0] for x in parts)])
    found = result((int(bounds[-1]),) * 2, dtype, "numpy.cov")
    changes = [_Distances(middle, None, dtype) for middle in means]
    weighted = changes if w is None else [_Distances(middle, w, dtype) for middle in means]
    for i, one in enumerate(parts):
        for j, other in enumerate(parts[i:], i):
            rows, columns = slice(*bounds[i : i + 2]), slice(*bounds[j : j + 2])
            factors = [
                Factor(one, (0, 2), change=changes[i]),
                Factor(other, (1, 2), change=weighted[j], conj=True),
            ]
            multiply_into(found[rows, columns], factors, (0, 1), dtype, "numpy.cov")
            if j > i:
                found[columns, rows] = found[rows, columns].T.conj()
    return found


#: Sum of weights, means, and sums of products of distances from the means.
_Moments: TypeAlias = tuple[Any, NDArray, NDArray]

#: Stretches that are merged each by itself; fixed, so that results do not depend on the machine.
_TASKS = 16


def _merged(parts: list[Any], w: Any, dtype: DType) -> NDArray | None:
    """The same in one pass; None where all variables of one row of chunks are too much for a thread's share of memory."""
    large = max((x for x in parts if is_operand(x)), key=lambda x: math.prod(x.shape))
    count = sum(shape_of(x)[0] for x in parts)
    along = large.borders()[1]
    # Blocks as read, joined, and as distances from the means; a state, what it is merged with, and the product of a block.
    limit = share_nbytes() // 2 - 4 * dtype.itemsize * count * count
    wanted = limit // (5 * dtype.itemsize * count)
    if wanted < along.chunk or not large.shape[1]:
        return None
    stops = along.stops(wanted)
    if max(np.diff([0, *stops])) > wanted:
        return None
    tasks = min(_TASKS, len(stops), max(1, limit // (4 * dtype.itemsize * count * count)))
    bounds = [len(stops) * k // tasks for k in range(tasks + 1)]
    states: list[_Moments | None] = [None] * tasks

    def joined(spot: slice) -> NDArray:
        rows = [read(x, (slice(0, shape_of(x)[0], 1), spot)).astype(dtype, copy=False) for x in parts]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    # Means far from zero would be rounded more coarsely than their differences are large.
    origin = joined(slice(0, stops[0], 1)).mean(1, keepdims=True)

    def stretch(k: int) -> int:
        state: _Moments | None = None
        for j in range(bounds[k], bounds[k + 1]):
            spot = slice(stops[j - 1] if j else 0, stops[j], 1)
            found = _moments(joined(spot) - origin, None if w is None else w[spot])
            state = found if state is None else _both(state, found)
        states[k] = state
        return bounds[k + 1] - bounds[k]

    run(range(tasks), stretch, [x for x in parts if is_operand(x)], total=len(stops))
    first, *others = [state for state in states if state is not None]
    for later in others:
        first = _both(first, later)
    return first[2]


def _moments(block: NDArray, w: Any) -> _Moments:
    number = block.shape[1] if w is None else w.sum()
    total = np.add.reduce(block if w is None else block * w, axis=1)
    means = np.zeros_like(total) if number == 0 else np.asarray(total / number)
    away = np.subtract(block, means[:, None], out=block)  # made for this
    other = away if w is None else away * w
    other = np.conj(other) if other.dtype.kind == "c" else other
    return number, means, matrix_product(away[None], other.T[None])[0].astype(block.dtype, copy=False)


def _both(state: _Moments, later: _Moments) -> _Moments:
    n, means, products = state
    m, others, more = later
    if n + m == 0:
        return state
    shift = others - means
    share = m / (n + m)
    return n + m, means + shift * share, products + more + np.multiply.outer(shift, np.conj(shift)) * (n * share)


class _Distances:
    """What becomes of a block of variables: their distances from the means, times the weights if there are any."""

    def __init__(self, means: NDArray, weights: Any, dtype: DType) -> None:
        self.means, self.weights, self.dtype = means, weights, dtype

    def __call__(self, block: NDArray, spots: tuple[slice, ...]) -> NDArray:
        away = np.subtract(block, self.means[spots[0], None], dtype=self.dtype)
        return away if self.weights is None else away * self.weights[spots[1]]


@implements(np.corrcoef, kind="stream")
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """`numpy.corrcoef`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not np.ndim(c):
        return c / c
    deviations = np.sqrt(np.diag(c).real)
    c /= deviations[:, None]
    c /= deviations[None, :]
    np.clip(c.real, -1, 1, out=c.real)
    if np.iscomplexobj(c):
        np.clip(c.imag, -1, 1, out=c.imag)
    return c


# ---- convolutions --------------------------------------------------------------------------------


@implements(np.convolve, kind="stream", note="the shorter array is loaded")
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """`numpy.convolve`."""
    a, v = _lines(np.convolve, a, v, mode)
    n = min(shape_of(a)[0], shape_of(v)[0])
    return _convolved(a, v, mode, n - 1 - n // 2, "numpy.convolve", conj=(False, False))


@implements(np.correlate, kind="stream", note="the shorter array is loaded")
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """`numpy.correlate`: the convolution with the complex conjugate of `v` reversed."""
    a, v = _lines(np.correlate, a, v, mode)
    m, n = shape_of(a)[0], shape_of(v)[0]
    # Of an even number of elements the middle is on the other side when NumPy exchanges the two.
    start = n - 1 - n // 2 if m >= n else m // 2
    turned = v.lazy[::-1] if is_operand(v) else v[::-1]
    return _convolved(a, turned, mode, start, "numpy.correlate", conj=(False, True))


def _lines(function: Any, a: Any, v: Any, mode: Any) -> tuple[Any, Any]:
    a, v = arrays(a, v)
    numeric(a, v)
    if len(shape_of(a)) != 1 or len(shape_of(v)) != 1 or mode not in ("full", "same", "valid"):
        function(np.zeros((min(1, *shape_of(a), 1),) * len(shape_of(a))), np.zeros((1,) * len(shape_of(v))), mode)
        raise UnstreamedError
    if 0 in (shape_of(a)[0], shape_of(v)[0]):
        raise UnstreamedError
    return a, v


def _convolved(a: Any, v: Any, mode: str, middle: int, name: str, conj: tuple[bool, bool]) -> NDArray:
    """The convolution of two lines. `middle`: where mode "same" begins in the full one; conj: of which line."""
    dtype = np.convolve(np.zeros(1, dtype_of(a)), np.zeros(1, dtype_of(v))).dtype
    if shape_of(v)[0] > shape_of(a)[0]:
        a, v, conj = v, a, conj[::-1]
    long, n = shape_of(a)[0], shape_of(v)[0]
    short = load_small(v)
    if conj[1]:
        short = np.conj(short)
    start, length = {"full": (0, long + n - 1), "same": (middle, long), "valid": (n - 1, long - n + 1)}[mode]
    place = result((length,), dtype, name)
    blocks = cut([a], (long,), nbytes=3 * max(dtype.itemsize, np.dtype(dtype_of(a)).itemsize))

    def one(box: Any) -> None:
        # Element k of the full convolution needs the elements k - n + 1 ... k; behind the last block come those of its tail.
        low, high = box[0].start, box[0].stop if box[0].stop < long else long + n - 1
        low, high = max(low, start), min(high, start + length)
        if low >= high:
            return
        begin = max(0, low - n + 1)
        piece = (slice(begin, min(high, long), 1),)
        block = a.read_box(piece) if is_operand(a) else a[piece]
        full = np.convolve(np.conj(block) if conj[0] else block, short)
        place[low - start : high - start] = full[low - begin : high - begin]

    run(blocks.boxes(), one, [a], blocks)
    return place
