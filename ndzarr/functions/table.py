"""The table {NumPy function: how it is done here}. The documentation's page of functions is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

#: How a function is done. view: gives a LazyView, nothing is read. metadata: answered from shape and dtype, nothing is read.
#: stream: block by block within `options(working_memory)`. lanes: block by block, each as long as the axis that the function
#: works along. write: changes a stored array, block by block. load: NumPy itself, on operands loaded under `options(max_load)`.
Kind: TypeAlias = Literal["view", "metadata", "stream", "lanes", "write", "load"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One function: how it is done, by what, and a remark for the documentation."""

    function: Callable[..., Any]
    kind: Kind
    run: Callable[..., Any]
    note: str = ""


class UnstreamedError(Exception):
    """There is no form but NumPy's own for these arguments; the operands have to be loaded. Never reaches a caller."""


TABLE: dict[Callable[..., Any], Entry] = {}

Implementation = TypeVar("Implementation", bound=Callable[..., Any])


def implements(*functions: Callable[..., Any] | None, kind: Kind, note: str = "") -> Callable[[Implementation], Implementation]:
    """Register what is decorated as the form of some NumPy functions; None stands for one that this NumPy does not have."""

    def register(run: Implementation) -> Implementation:
        for function in functions:
            if function is not None:
                TABLE[function] = Entry(function, kind, run, note)
        return run

    return register
