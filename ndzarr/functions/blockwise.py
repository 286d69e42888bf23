"""Functions that work element by element, block by block: into a NumPy result, or by `out=` into a stored array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.errors import ArgumentError
from ndzarr.functions.gather import fill
from ndzarr.functions.places import displaced, repeats, store
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, load, read, run, shape_of


def elementwise(
    function: Any, inputs: Sequence[Any], out: Any = None, where: Any = True, *, fills: bool = False, **kwargs: Any
) -> Any:  # fmt: skip
    """A ufunc, or any function that works element by element on broadcast arrays; one with an `out` of its own if `fills`.

    Each block of the result is made from the same block of every input, so `out` may be one of the inputs. Where it overlaps an
    input that lies otherwise the result is made in memory first. Without `fills` an `out` has to have the dtype of the result.
    """
    ufunc = isinstance(function, np.ufunc)
    nout = function.nout if ufunc else 1
    outs = [None] * nout if out is None else list(out) if isinstance(out, tuple) else [out]
    inputs = [x if is_operand(x) or _is_scalar(x) or isinstance(x, np.ndarray) else np.asarray(x) for x in inputs]
    masked = where is not True
    operands = [*inputs, *([where] if masked else [])]
    fills = out is not None and (fills or ufunc)
    together = [shape_of(x) for x in (*operands, *(o for o in outs if o is not None))]
    if not ufunc:
        np.broadcast_shapes(*together)  # ufuncs look at dtypes first
    # NumPy itself, on arrays without elements, says what comes out and what it would raise.
    given = {"out": _filled([None if o is None else np.empty(0, dtype_of(o)) for o in outs])} if fills else {}
    probes = function(*[_empty(x) for x in inputs], **given, **kwargs)
    shape = np.broadcast_shapes(*together)
    if (wrong := next((o for o in outs if o is not None and tuple(o.shape) != shape), None)) is not None:
        raise ArgumentError(
            f"out of numpy.{function.__name__} has shape {tuple(wrong.shape)}, which is not the broadcast shape {shape}",
            field="out",
            found=wrong.shape,
            expected=shape,
        )
    dtypes = [p.dtype for p in (probes if isinstance(probes, tuple) else (probes,))]
    if not shape:
        return _single(function, operands, outs, masked, fills, kwargs)
    name = f"numpy.{function.__name__}"
    subclass = any(isinstance(p, np.ma.MaskedArray) for p in (probes if isinstance(probes, tuple) else (probes,)))
    hidden = [o is not None and (repeats(o) or any(displaced(x, o) for x in operands)) for o in outs]
    places: list[Any] = [
        (_masked(shape, dtype, name) if subclass else _room(shape, dtype, name, o if masked else None)) if o is None or h else o
        for o, h, dtype in zip(outs, hidden, dtypes, strict=True)
    ]
    written = [place for place in places if is_operand(place)]
    # Along the objects of the array that is written: each is replaced whole, by one thread, unread.
    blocks = cut(
        [*written, *operands], shape, objects=bool(written),
        nbytes=sum(_itemsize(x) for x in operands) + 3 * sum(d.itemsize for d in dtypes),
    )  # fmt: skip

    def one(box: Box) -> None:
        arrays = [read(x, box) for x in operands]
        options = dict(kwargs)
        if masked:
            options["where"] = arrays.pop()
        if fills or (ufunc and masked):
            buffers = []
            for place in places:
                old = place.read_box(box) if is_operand(place) and masked else None
                lengths = tuple([s.stop - s.start for s in box])
                buffers.append(place[box] if not is_operand(place) else np.empty(lengths, place.dtype) if old is None else old)
            options["out"] = _filled(buffers)
            function(*arrays, **options)
            for place, buffer in zip(places, buffers, strict=True):
                if is_operand(place):
                    place.write_box(box, buffer)
            return
        answers = function(*arrays, **options)
        for place, answer in zip(places, answers if isinstance(answers, tuple) else (answers,), strict=True):
            if is_operand(place):
                place.write_box(box, answer)
            else:
                place[box] = answer

    run(blocks.boxes(), one, operands or written, blocks)
    for o, place, h in zip(outs, places, hidden, strict=True):
        if h:
            store(place, o)
    answers = tuple(place if o is None else o for o, place in zip(outs, places, strict=True))
    return answers[0] if nout == 1 else answers


def _filled(buffers: Sequence[Any]) -> Any:
    """`out=` for NumPy: functions that are not ufuncs take no tuple."""
    return buffers[0] if len(buffers) == 1 else tuple(buffers)


def _room(shape: Shape, dtype: Any, name: str, old: Any) -> NDArray:
    """An array for the result, which begins as `old` where that is given: not all of it will be written."""
    found = result(shape, dtype, name)
    if old is not None:
        fill(found, old)
    return found


def _is_scalar(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex))


def _itemsize(x: Any) -> int:
    return int(np.dtype(dtype_of(x)).itemsize)


def _empty(x: Any) -> Any:
    """No elements of the dtype of `x`; a scalar is itself, since promotion looks at it."""
    if _is_scalar(x):
        return x
    empty = np.empty(0, dtype_of(x))
    return np.ma.MaskedArray(empty) if isinstance(x, np.ma.MaskedArray) else empty


def _masked(shape: Shape, dtype: Any, name: str) -> Any:
    return np.ma.MaskedArray(result(shape, dtype, name), mask=np.zeros(shape, bool))


def _single(function: Any, operands: list[Any], outs: list[Any], masked: bool, fills: bool, kwargs: dict[str, Any]) -> Any:
    """Everything is one element."""
    arrays = [load(x) if is_operand(x) else x for x in operands]
    if masked:
        kwargs = {**kwargs, "where": arrays.pop()}
    if not fills:
        found = function(*arrays, **kwargs)
        if outs == [None] * len(outs):
            return found
        store(np.asarray(found), outs[0])
        return outs[0]
    buffers = [None if o is None else load(o) if is_operand(o) else o for o in outs]
    answers = function(*arrays, out=_filled(buffers), **kwargs)
    for o, buffer in zip(outs, buffers, strict=True):
        if o is not None and is_operand(o) and buffer is not None:
            o.write_box((), buffer)
    found = answers if isinstance(answers, tuple) else (answers,)
    kept = tuple(a if o is None else o for a, o in zip(found, outs, strict=True))
    return kept[0] if len(kept) == 1 else kept
