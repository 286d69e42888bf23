"""matmul and the other products: vecdot, dot, inner, outer, tensordot, einsum, kron, cross, multi_dot."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndzarr._typing import DType, Shape
from ndzarr.functions.blockwise import elementwise
from ndzarr.functions.contract import Factor, contract
from ndzarr.functions.places import answer, place_for
from ndzarr.functions.stand_ins import arrays, miniature, numeric
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import dtype_of, is_operand, shape_of

#: The core axes of each ufunc of products: of the inputs, of the output. `conj` of the first input where it is complex.
_CORES = {"matmul": ("nk", "km", "nm"), "vecdot": ("n", "n", ""), "matvec": ("mn", "n", "m"), "vecmat": ("n", "nm", "m")}
_CONJUGATED = {"vecdot", "vecmat"}


def multiply_into(
    out: Any, factors: Sequence[Factor], labels: Sequence[int | None], dtype: DType, name: str, *, scalar: bool = True
) -> Any:
    """The product of `factors` summed over all labels that are not among `labels`: in `out`, or a new array in memory."""
    lengths: dict[int, int] = {}
    for f in factors:
        for x, n in zip(f.labels, f.array.shape, strict=True):
            if x is not None:
                lengths[x] = int(n)
    shape = tuple(1 if x is None else lengths[x] for x in labels)
    place = place_for(out, shape, dtype, name, [f.array for f in factors])
    contract(factors, labels, lengths, dtype, place)
    return answer(place, out) if scalar or out is not None else place


def stretched(shapes: Sequence[Shape], labels: Sequence[Sequence[int]]) -> list[tuple[int | None, ...]]:
    """The labels with None for each axis of length 1 whose label is longer elsewhere."""
    lengths: dict[int, int] = {}
    for shape, own in zip(shapes, labels, strict=True):
        for n, x in zip(shape, own, strict=True):
            if lengths.get(x, 1) == 1:
                lengths[x] = n
    return [
        tuple(None if n == 1 and lengths[x] != 1 else x for n, x in zip(shape, own, strict=True))
        for shape, own in zip(shapes, labels, strict=True)
    ]


# ---- ufuncs with core axes --------------------------------------------------------------------------------


def core(ufunc: np.ufunc, inputs: tuple[Any, ...], out: Any = None, **kwargs: Any) -> Any:
    """`ufunc(*inputs, out=out, **kwargs)` for matmul, vecdot, matvec and vecmat."""
    if ufunc.__name__ not in _CORES or len(inputs) != 2:
        raise UnstreamedError
    if isinstance(out, tuple):
        (out,) = out
    a, b = arrays(*inputs)
    numeric(a, b)
    if kwargs.get("subok") is False or kwargs.get("where", True) is not True:
        raise UnstreamedError
    probe = miniature(lambda x, y: ufunc(x, y, **kwargs), a, b)
    if out is not None:
        miniature(lambda x, y, o: ufunc(x, y, out=o, **kwargs), a, b, out)
    dtype = np.asarray(probe).dtype
    axes = _core_axes(ufunc, (a, b), kwargs)
    keep = bool(kwargs.get("keepdims", False))
    first, second, found = _labelled(ufunc, (a, b), axes, keep)
    one, other = stretched((shape_of(a), shape_of(b)), (first, second))
    labels = [x if x is None or x in one or x in other else None for x in found]
    factors = [Factor(a, one, conj=ufunc.__name__ in _CONJUGATED), Factor(b, other)]
    if len(labels) != np.ndim(probe):
        raise UnstreamedError
    return multiply_into(out, factors, labels, dtype, f"numpy.{ufunc.__name__}")


def _core_axes(ufunc: np.ufunc, inputs: tuple[Any, Any], kwargs: dict[str, Any]) -> list[tuple[int, ...]]:
    """Where the core axes lie: of both inputs and of the output, as NumPy counts them, from the back."""
    cores = [len(c) for c in _CORES[ufunc.__name__]]
    ndims = [len(shape_of(x)) for x in inputs]
    if kwargs.get("axes") is not None:
        if ufunc is np.matmul and min(ndims) < 2:
            raise UnstreamedError
        axes = [
            (operator.index(e),) if not isinstance(e, (tuple, list)) else tuple(map(operator.index, e)) for e in kwargs["axes"]
        ]
        # The output may be left out where it has no core axes.
        return axes if len(axes) == 3 else [*axes, axes[0] if kwargs.get("keepdims") else ()]
    if kwargs.get("axis") is not None:
        axis = (operator.index(kwargs["axis"]),)
        return [axis, axis, axis if kwargs.get("keepdims") else ()]
    if ufunc is np.matmul:
        cores = [min(2, ndims[0]), min(2, ndims[1]), max(0, min(2, ndims[0]) + min(2, ndims[1]) - 2)]
    elif kwargs.get("keepdims"):
        cores[2] = 1
    return [tuple(range(-n, 0)) for n in cores]


def _labelled(
    ufunc: np.ufunc, inputs: tuple[Any, Any], axes: list[tuple[int, ...]], keep: bool
) -> tuple[list[int], list[int], list[int | None]]:
    """The labels of both inputs and the output: 0, 1, 2 ... from the back for axes that broadcast, negative for the core."""
    names = [*_CORES[ufunc.__name__]]
    ndims = [len(shape_of(x)) for x in inputs]
    if ufunc is np.matmul:
        names[0] = names[0] if ndims[0] > 1 else "k"
        names[1] = names[1] if ndims[1] > 1 else "k"
        names[2] = ("n" if ndims[0] > 1 else "") + ("m" if ndims[1] > 1 else "")
    number = {"n": -1, "k": -2, "m": -3}
    found: list[list[int | None]] = []
    batch = 0
    for k, ndim in enumerate(ndims):
        cores = {axis % ndim: number[c] for axis, c in zip(axes[k], names[k], strict=True)}
        free = ndim - len(cores)
        batch = max(batch, free)
        left = iter(range(free - 1, -1, -1))
        found.append([cores[axis] if axis in cores else next(left) for axis in range(ndim)])
    own: list[int | None] = [number[c] for c in names[2]] if not keep else [None]
    ndim = batch + len(own)
    cores_out = {axis % ndim: x for axis, x in zip(axes[2], own, strict=True)}
    left = iter(range(batch - 1, -1, -1))
    last: list[int | None] = [cores_out[axis] if axis in cores_out else next(left) for axis in range(ndim)]
    return found[0], found[1], last  # type: ignore[return-value]  # inputs have no None


@implements(getattr(np.linalg, "matmul", None), kind="stream")
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """`numpy.linalg.matmul`."""
    return core(np.matmul, (x1, x2))


@implements(getattr(np.linalg, "vecdot", None), kind="stream")
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """`numpy.linalg.vecdot`."""
    return core(np.vecdot, (x1, x2), axis=axis)


# ---- products by function --------------------------------------------------------------------------------


@implements(np.dot, kind="stream")
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """`numpy.dot`."""
    a, b = arrays(a, b)
    numeric(a, b)
    dtype = np.asarray(miniature(np.dot, a, b)).dtype
    if out is not None:
        miniature(lambda x, y, o: np.dot(x, y, out=o), a, b, np.zeros(out.shape, out.dtype) if not is_operand(out) else out)
    m, n = len(shape_of(a)), len(shape_of(b))
    first, second = list(range(m)), list(range(m, m + n))
    if m and n:
        second[-2 if n > 1 else -1] = first[-1]
        labels = [*first[:-1], *(x for x in second if x != first[-1])]
    else:
        labels = [*first, *second]
    return multiply_into(out, [Factor(a, tuple(first)), Factor(b, tuple(second))], labels, dtype, "numpy.dot")


@implements(np.vdot, kind="stream")
def vdot(a: Any, b: Any, /) -> Any:
    """`numpy.vdot`; arrays of several axes have to be of one shape."""
    a, b = arrays(a, b)
    numeric(a, b)
    if shape_of(a) != shape_of(b):
        if math.prod(shape_of(a)) != math.prod(shape_of(b)):
            np.vdot(np.zeros(2), np.zeros(3))
        raise UnstreamedError
    dtype = np.asarray(np.vdot(np.zeros(1, a.dtype), np.zeros(1, b.dtype))).dtype
    own = tuple(range(len(shape_of(a))))
    return multiply_into(None, [Factor(a, own, conj=True), Factor(b, own)], (), dtype, "numpy.vdot")


@implements(np.inner, kind="stream")
def inner(a: Any, b: Any, /) -> Any:
    """`numpy.inner`."""
    a, b = arrays(a, b)
    numeric(a, b)
    dtype = np.asarray(miniature(np.inner, a, b)).dtype
    m, n = len(shape_of(a)), len(shape_of(b))
    first, second = list(range(m)), list(range(m, m + n))
    if m and n:
        second[-1] = first[-1]
        labels = [*first[:-1], *second[:-1]]
    else:
        labels = [*first, *second]
    return multiply_into(None, [Factor(a, tuple(first)), Factor(b, tuple(second))], labels, dtype, "numpy.inner")


@implements(np.outer, kind="stream")
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """`numpy.outer`; arrays of several axes as if they had one."""
    a, b = arrays(a, b)
    numeric(a, b)
    if out is not None and (len(shape_of(a)), len(shape_of(b))) != (1, 1):
        raise UnstreamedError
    dtype = np.outer(np.zeros(1, a.dtype), np.zeros(1, b.dtype)).dtype
    if out is not None:
        np.outer(np.zeros(1, a.dtype), np.zeros(1, b.dtype), out=np.zeros((1, 1), dtype_of(out)))
    m, n = len(shape_of(a)), len(shape_of(b))
    first, second = tuple(range(m)), tuple(range(m, m + n))
    found = multiply_into(
        out, [Factor(a, first), Factor(b, second)], (*first, *second), dtype, "numpy.outer", scalar=False
    )  # fmt: skip
    return found if out is not None else found.reshape(math.prod(shape_of(a)), math.prod(shape_of(b)))


@implements(getattr(np.linalg, "outer", None), kind="stream")
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """`numpy.linalg.outer`."""
    x1, x2 = arrays(x1, x2)
    miniature(np.linalg.outer, x1, x2)
    return outer(x1, x2)


@implements(np.tensordot, getattr(np.linalg, "tensordot", None), kind="stream")
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """`numpy.tensordot`."""
    a, b = arrays(a, b)
    numeric(a, b)
    dtype = np.asarray(miniature(lambda x, y: np.tensordot(x, y, axes), a, b)).dtype
    m, n = len(shape_of(a)), len(shape_of(b))
    try:
        one, other = ((operator.index(x),) if not hasattr(x, "__len__") else tuple(map(operator.index, x)) for x in axes)
    except TypeError:
        count = operator.index(axes)
        one, other = tuple(range(m - count, m)), tuple(range(count))
    first, second = list(range(m)), list(range(m, m + n))
    for j, k in zip(one, other, strict=True):
        second[k] = first[j]
    gone = {first[j] for j in one}
    labels = [x for x in (*first, *second) if x not in gone]
    return multiply_into(
        None, [Factor(a, tuple(first)), Factor(b, tuple(second))], labels, dtype, "numpy.tensordot", scalar=False
    )


@implements(np.einsum, kind="stream", note="of three factors or more every block of all of them meets every other")
def einsum(
    *operands: Any, out: Any = None, dtype: Any = None, order: Any = "K", casting: Any = "safe", optimize: Any = False
) -> Any:
    """`numpy.einsum`."""
    if isinstance(operands[0], str):
        subscripts, factors = operands[0], arrays(*operands[1:])
        numeric(*factors)
        given: list[Any] = [subscripts, *factors]
    else:
        factors = arrays(*operands[: len(operands) // 2 * 2 : 2])
        numeric(*factors)
        sublists = [list(x) for x in operands[1::2]]
        given = [p for pair in zip(factors, sublists, strict=True) for p in pair]
        given += [list(operands[-1])] if len(operands) % 2 else []
        subscripts = _letters(sublists, list(operands[-1]) if len(operands) % 2 else None)

    def call(*small: Any) -> Any:
        mine = iter(small)
        return np.einsum(*[next(mine) if any(x is f for f in factors) else x for x in given], dtype=dtype, casting=casting)

    probe = np.asarray(miniature(call, *factors))
    if out is not None and not np.can_cast(probe.dtype, dtype_of(out), casting if dtype is None else "same_kind"):
        raise UnstreamedError
    owns, labels = _subscripts(subscripts, [len(shape_of(f)) for f in factors])
    own = stretched([shape_of(f) for f in factors], owns)
    if len(labels) != probe.ndim or any(_uneven(f, x) for f, x in zip(factors, own, strict=True)):
        raise UnstreamedError
    kept = [x if any(x in o for o in own) else None for x in labels]
    made = [Factor(f, o) for f, o in zip(factors, own, strict=True)]
    return multiply_into(out, made, kept, probe.dtype, "numpy.einsum")


def _uneven(factor: Any, labels: tuple[int | None, ...]) -> bool:
    """Whether a label that occurs twice stands for axes of unequal lengths."""
    lengths: dict[int, int] = {}
    return any(x is not None and lengths.setdefault(x, n) != n for x, n in zip(labels, shape_of(factor), strict=True))


def _letters(sublists: list[list[Any]], last: list[Any] | None) -> str:
    """Subscripts by lists of numbers as a text of letters."""
    lists = [*sublists, *([last] if last is not None else [])]
    numbers = sorted({operator.index(x) for own in lists for x in own if x is not Ellipsis})
    letters = {x: chr(ord("A") + k if k < 26 else ord("a") + k - 26) for k, x in enumerate(numbers)}
    texts = ["".join("..." if x is Ellipsis else letters[operator.index(x)] for x in own) for own in lists]
    return ",".join(texts[: len(sublists)]) + ("" if last is None else "->" + texts[-1])


def _subscripts(text: str, ndims: list[int]) -> tuple[list[list[int]], list[int]]:
    """The labels of the axes of each factor and of the result: letters by their codes, those of an ellipsis negative."""
    text = text.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    owns: list[list[int]] = []
    widest = 0
    for part, ndim in zip(inputs.split(","), ndims, strict=True):
        before, dots, behind = part.partition("...")
        count = ndim - len(before) - len(behind) if dots else 0
        widest = max(widest, count)
        owns.append([*map(ord, before), *range(-count, 0), *map(ord, behind)])
    if arrow:
        before, dots, behind = output.partition("...")
        return owns, [*map(ord, before), *(range(-widest, 0) if dots else ()), *map(ord, behind)]
    letters = [x for own in owns for x in own if x >= 0]
    return owns, [*range(-widest, 0), *sorted(x for x in set(letters) if letters.count(x) == 1)]


@implements(np.linalg.multi_dot, kind="stream", note="what stands between is held in memory")
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """`numpy.linalg.multi_dot`, multiplied in the order that takes the fewest multiplications."""
    factors = [x if is_operand(x) or isinstance(x, np.ndarray) else np.asarray(x) for x in arrays]
    if len(factors) < 3:
        miniature(lambda *small: np.linalg.multi_dot(small), *factors)
        return dot(factors[0], factors[1], out)
    miniature(lambda *small: np.linalg.multi_dot(small), *factors)
    shapes = [shape_of(x) for x in factors]
    # A vector at an end is a row or a column.
    lengths = [1, *shapes[0]] if len(shapes[0]) == 1 else [*shapes[0]]
    lengths += [s[1] if len(s) == 2 else 1 for s in shapes[1:]]
    return _chained(factors, _best_splits(lengths), 0, len(factors) - 1, out)


def _best_splits(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Where each stretch of a chain of matrices is best divided: Cormen et al., Introduction to Algorithms, 15.2."""
    n = len(lengths) - 1
    costs: dict[tuple[int, int], int] = {(k, k): 0 for k in range(n)}
    splits: dict[tuple[int, int], int] = {}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span

            def cost(k: int, i: int = i, j: int = j) -> int:
                return costs[i, k] + costs[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1]

            splits[i, j] = min(range(i, j), key=cost)
            costs[i, j] = cost(splits[i, j])
    return splits


def _chained(factors: list[Any], splits: dict[tuple[int, int], int], i: int, j: int, out: Any = None) -> Any:
    if i == j:
        return factors[i]
    k = splits[i, j]
    return dot(_chained(factors, splits, i, k), _chained(factors, splits, k + 1, j), out)


@implements(np.kron, kind="stream")
def kron(a: Any, b: Any) -> Any:
    """`numpy.kron`."""
    a, b = arrays(a, b)
    numeric(a, b)
    if not shape_of(a) or not shape_of(b):
        raise UnstreamedError
    dtype = np.kron(np.zeros(1, a.dtype), np.zeros(1, b.dtype)).dtype
    ndim = max(len(shape_of(a)), len(shape_of(b)))
    one, other = ((1,) * (ndim - len(s)) + tuple(s) for s in (shape_of(a), shape_of(b)))
    # Element (i, j) of the result along each axis, first counted by `a`, then by `b`.
    first = tuple(2 * k for k in range(ndim))
    second = tuple(2 * k + 1 for k in range(ndim))
    shape = tuple(n for pair in zip(one, other, strict=True) for n in pair)
    place = result(shape, dtype, "numpy.kron")
    own, its = first[ndim - len(shape_of(a)) :], second[ndim - len(shape_of(b)) :]
    labels = [x if x in own or x in its else None for x in range(2 * ndim)]
    multiply_into(place, [Factor(a, own), Factor(b, its)], labels, dtype, "numpy.kron")
    return place.reshape([m * n for m, n in zip(one, other, strict=True)])


# ---- traces --------------------------------------------------------------------------------


@implements(np.trace, kind="stream")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """`numpy.trace`: reads the chunks on the diagonal."""
    miniature(lambda x: np.trace(x, offset, axis1, axis2, dtype), a)
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype, out=out)


@implements(getattr(np.linalg, "trace", None), kind="stream")
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """`numpy.linalg.trace`."""
    return trace(x, offset, -2, -1, dtype)


# ---- cross products --------------------------------------------------------------------------------


@implements(np.cross, kind="stream")
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """`numpy.cross`, component by component."""
    a, b = arrays(a, b)
    numeric(a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    # Lengths 2 and 3 mean something here, so only the other ones may be changed.
    shapes = [_small_but(shape_of(x), k) for x, k in ((a, axisa), (b, axisb))]
    probe = np.cross(np.zeros(shapes[0], a.dtype), np.zeros(shapes[1], b.dtype), axisa, axisb, axisc)
    axisa, axisb = axisa % len(shape_of(a)), axisb % len(shape_of(b))
    if shape_of(a)[axisa] != 3 or shape_of(b)[axisb] != 3 or not (is_operand(a) or is_operand(b)):
        raise UnstreamedError
    rest = np.broadcast_shapes(_without(shape_of(a), axisa), _without(shape_of(b), axisb))
    axisc %= len(rest) + 1
    place = result((*rest[:axisc], 3, *rest[axisc:]), probe.dtype, "numpy.cross")
    first = [_component(a, axisa, k) for k in range(3)]
    second = [_component(b, axisb, k) for k in range(3)]

    def difference(p: Any, q: Any, r: Any, s: Any) -> Any:
        return np.multiply(p, q, dtype=probe.dtype) - np.multiply(r, s, dtype=probe.dtype)

    difference.__name__ = "cross"
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        at = place[(slice(None),) * axisc + (k, ...)]
        elementwise(difference, (first[i], second[j], first[j], second[i]), out=at)
    return place


def _small_but(shape: Shape, axis: int) -> list[int]:
    """The lengths 0, 1 and that of `axis` as they are, all others 1."""
    ndim = len(shape)
    return [n if n < 2 or k == axis % ndim else 1 for k, n in enumerate(shape)] if ndim else []


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _component(x: Any, axis: int, k: int) -> Any:
    index = (slice(None),) * axis + (k,)
    return x.lazy[index] if is_operand(x) else x[index]


@implements(getattr(np.linalg, "cross", None), kind="stream")
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """`numpy.linalg.cross`."""
    x1, x2 = arrays(x1, x2)
    if shape_of(x1)[axis] != 3 or shape_of(x2)[axis] != 3:
        np.linalg.cross(np.zeros(_small_but(shape_of(x1), axis)), np.zeros(_small_but(shape_of(x2), axis)), axis=axis)
    return cross(x1, x2, axis=axis)
