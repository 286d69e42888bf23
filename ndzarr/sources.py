"""What stored arrays something reads when it is computed: looked up before what is stored there is deleted.

A dask array, and a lazy variable of xarray's, may read from the very place that it is to be written to. Where that is replaced
it would find nothing there, which reads as fill values: all would be lost, and no error say so.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Iterator
from contextlib import suppress
from types import CellType, FunctionType, GeneratorType
from typing import Any

from ndzarr import nodes
from ndzarr.errors import ArgumentError
from ndzarr.node import Node
from ndzarr.relocation import check_apart
from ndzarr.stores.base import Store


def check_unread(thing: Any, store: Store, path: str) -> None:
    """Raise ArgumentError where `thing` reads from the node at `path`, or from below it, which is about to be replaced.

    Looks at all that `thing` would be pickled with; what cannot be pickled, as a lock, is not looked into.
    """
    if nodes.kind(store, path) is None:
        return
    for node in nodes_in(thing):
        try:
            check_apart(node.store, node.path, store, path, "write")
        except ArgumentError as error:
            raise ArgumentError(
                f"cannot replace {path or '/'!r} in {store.url}: what is to be written there is read from "
                f"{node.path or '/'!r} in {node.store.url} only when it is computed, and would be gone by then; write to "
                "another place, or load it first",
                store=store.url,
                path=path,
            ) from error


def nodes_in(thing: Any) -> Iterator[Node]:
    """The arrays and groups that `thing` holds in any depth, as far as it can be pickled; no store is looked into."""
    finder = _Finder()
    with suppress(Exception):  # nested too deep: what comes after is not seen
        finder.dump(thing)
    yield from finder.found


class _Nowhere(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(data)


class _Finder(pickle.Pickler):
    """Pickles to nowhere, without a copy of any array in memory, and keeps the nodes that it meets."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda buffer: None)
        self.found: list[Node] = []

    def persistent_id(self, obj: Any) -> str | None:
        """What stands in the pickle for a node or store; None for all else, which is pickled."""
        if isinstance(obj, Node):
            self.found.append(obj)
            return "node"
        return "store" if isinstance(obj, Store) else None

    def reducer_override(self, obj: Any) -> Any:
        """What is looked into for an object, as `__reduce_ex__` has it; nothing for what cannot be pickled, such as a lock."""
        if obj is _made:
            return NotImplemented
        if isinstance(obj, FunctionType):
            cells = [cell.cell_contents for cell in obj.__closure__ or () if cell != _EMPTY]
            return _made, ([*cells, *(obj.__defaults__ or ()), obj.__kwdefaults__],)
        if isinstance(obj, type):
            return _NOTHING
        if isinstance(obj, GeneratorType):
            return _made, ([] if obj.gi_frame is None else list(obj.gi_frame.f_locals.values()),)
        try:
            reduce = copyreg.dispatch_table.get(type(obj))
            found = obj.__reduce_ex__(5) if reduce is None else reduce(obj)
        except Exception:
            return _NOTHING
        return _NOTHING if isinstance(found, str) else found


def _made(parts: Any) -> None:
    """What a pickle would call to put together something that we do not pickle for real."""


_NOTHING: Any = (_made, ((),))
#: Of a function that refers to what was never assigned.
_EMPTY = CellType()
