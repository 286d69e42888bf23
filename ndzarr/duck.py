"""DuckArray: what ZArray and LazyView share of being an array to NumPy: protocols, operators, methods."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.operand import Borders


class DuckArray:
    """An array that is read when it is needed, and that NumPy's functions take; an `operand.Operand`."""

    __slots__ = ()

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Lengths of the axes."""

    @property
    @abstractmethod
    def dtype(self) -> DType:
        """The NumPy dtype of the elements."""

    @abstractmethod
    def read_box(self, box: Box) -> NDArray:
        """See `operand.Operand`."""

    @abstractmethod
    def write_box(self, box: Box, value: NDArray) -> None:
        """See `operand.Operand`."""

    @abstractmethod
    def borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""

    @abstractmethod
    def object_borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""

    @property
    @abstractmethod
    def lazy(self) -> Any:
        """`a.lazy[index]`, `a.lazy.oindex[...]`, `a.lazy.vindex[...]`: LazyViews, which read nothing until asked."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Any: ...

    @abstractmethod
    def __setitem__(self, index: Any, value: Any) -> None: ...
