"""numpy.linalg for stacks of matrices, (..., M, N), by blocks of whole matrices. A single large matrix has to be loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndzarr._typing import Box, NDArray, Shape
from ndzarr.functions.stand_ins import arrays, numeric
from ndzarr.functions.table import UnstreamedError, implements
from ndzarr.memory import result
from ndzarr.streaming import cut, dtype_of, is_operand, run, shape_of


def stacked(function: Callable[..., Any], operands: Sequence[Any], cores: Sequence[int], name: str) -> Any:
    """What `function` gives for stacks, called with blocks of them: an array, or a tuple as it gives one.

    cores: how many axes at the end of each operand belong to one matrix. Raises UnstreamedError where there is but one.
    """
    batch, blocks = _batches(operands, cores)
    boxes = blocks.boxes()
    first = next(boxes)
    found = function(*[_part(x, n, first) for x, n in zip(operands, cores, strict=True)])
    parts = found if isinstance(found, tuple) else (found,)
    places = []
    for part in parts:
        part = np.asarray(part)
        places.append(result((*batch, *part.shape[len(batch) :]), part.dtype, name))
    _put(places, first, parts)

    def one(box: Box) -> None:
        answers = function(*[_part(x, n, box) for x, n in zip(operands, cores, strict=True)])
        _put(places, box, answers if isinstance(answers, tuple) else (answers,))

    run(boxes, one, operands, blocks, total=blocks.nblocks - 1)
    if not isinstance(found, tuple):
        return places[0]
    return type(found)(*places) if hasattr(found, "_fields") else tuple(places)


def _batches(operands: Sequence[Any], cores: Sequence[int]) -> tuple[Shape, Any]:
    """The shape of the stack that the operands broadcast to, and how it is cut."""
    if any(len(shape_of(x)) < n for x, n in zip(operands, cores, strict=True)):
        raise UnstreamedError
    heads = [shape_of(x)[: len(shape_of(x)) - n] for x, n in zip(operands, cores, strict=True)]
    batch = np.broadcast_shapes(*heads)
    if not batch or 0 in batch or any(0 in shape_of(x) for x in operands):
        raise UnstreamedError
    large = max((k for k, x in enumerate(operands) if is_operand(x)), key=lambda k: math.prod(shape_of(operands[k])))
    core = shape_of(operands[large])[len(heads[large]) :]
    shape = (*batch, *core)
    view = operands[large] if heads[large] == batch else operands[large].lazy[...].broadcast(shape)
    # What is read, a copy of it in the order of LAPACK, and a result or two.
    held = sum(4 * _core_nbytes(x, n) for x, n in zip(operands, cores, strict=True))
    blocks = cut([view], shape, whole=range(len(batch), len(shape)), nbytes=max(1, held // max(1, math.prod(core))))
    return batch, type(blocks)(blocks.stops[: len(batch)])


def _core_nbytes(x: Any, n: int) -> int:
    shape = shape_of(x)
    return math.prod(shape[len(shape) - n :]) * int(np.dtype(dtype_of(x)).itemsize)


def _part(x: Any, core: int, box: Box) -> NDArray:
    """The matrices of a box of the stack."""
    shape = shape_of(x)
    head = shape[: len(shape) - core]
    own = [slice(0, 1, 1) if n == 1 else s for n, s in zip(head, box[len(box) - len(head) :], strict=True)]
    whole = (*own, *[slice(0, n, 1) for n in shape[len(head) :]])
    found: NDArray = x.read_box(whole) if is_operand(x) else x[whole]
    return found


def _put(places: Sequence[NDArray], box: Box, parts: Sequence[Any]) -> None:
    for place, part in zip(places, parts, strict=True):
        place[box] = part


# ---- of one stack --------------------------------------------------------------------------------


def _of_matrices(function: Callable[..., Any] | None) -> None:
    if function is None:
        return
    known = function

    @implements(known, kind="lanes", note="of a stack of matrices; a single one is loaded")
    def form(a: Any, *args: Any, **kwargs: Any) -> Any:
        (a,) = arrays(a)
        numeric(a)
        if any(np.ndim(x) for x in (*args, *kwargs.values())):
            raise UnstreamedError  # a limit for each matrix

        def each(block: NDArray) -> Any:
            return known(block, *args, **kwargs)

        return stacked(each, [a], [2], f"numpy.linalg.{known.__name__}")


for _function in (
    np.linalg.det, np.linalg.slogdet, np.linalg.inv, np.linalg.pinv, np.linalg.cholesky, np.linalg.qr, np.linalg.svd,
    getattr(np.linalg, "svdvals", None), np.linalg.eigh, np.linalg.eigvalsh, np.linalg.matrix_rank, np.linalg.cond,
    np.linalg.matrix_power,
):  # fmt: skip
    _of_matrices(_function)


def _complex(parts: Any) -> Any:
    """Complex numbers whatever they are: other blocks may have some."""
    if isinstance(parts, tuple):
        return type(parts)(*[_complex(x) for x in parts])
    return np.asarray(parts).astype(np.result_type(parts, np.complex64), copy=False)


@implements(np.linalg.eigvals, kind="lanes", note="of a stack of matrices; a single one is loaded")
def eigvals(a: Any) -> Any:
    """`numpy.linalg.eigvals`: real where all of them are."""
    (a,) = arrays(a)
    numeric(a)
    found = stacked(lambda block: _complex(np.linalg.eigvals(block)), [a], [2], "numpy.linalg.eigvals")
    return found.real.copy() if a.dtype.kind != "c" and not found.imag.any() else found


@implements(np.linalg.eig, kind="lanes", note="of a stack of matrices; a single one is loaded")
def eig(a: Any) -> Any:
    """`numpy.linalg.eig`: real where all eigenvalues are."""
    (a,) = arrays(a)
    numeric(a)
    found = stacked(lambda block: _complex(np.linalg.eig(block)), [a], [2], "numpy.linalg.eig")
    if a.dtype.kind != "c" and not found[0].imag.any():
        return type(found)(*[x.real.copy() for x in found])
    return found


@implements(np.linalg.solve, kind="lanes", note="of a stack of matrices; a single one is loaded")
def solve(a: Any, b: Any) -> Any:
    """`numpy.linalg.solve`."""
    a, b = arrays(a, b)
    numeric(a, b)
    if not is_operand(a) and not is_operand(b):
        raise UnstreamedError
    if len(shape_of(b)) == 1:
        raise UnstreamedError  # one vector for all matrices: what NumPy makes of it depends on its version
    return stacked(np.linalg.solve, [a, b], [2, 2], "numpy.linalg.solve")
