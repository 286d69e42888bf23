"""Parts of an element: fields of structured dtypes in an index (`z["a", 3:5]`, `z[["a", "b"]]`), components of complex ones."""

from __future__ import annotations

from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from ndzarr._typing import DType
from ndzarr.errors import ArgumentError, SelectionError

#: Part of each element: the name of a field, "real" or "imag" where the dtype is complex, a list of names, or several of
#: these, each taken out of the one before.
Field: TypeAlias = str | tuple[str | list[str], ...]


def field_of(value: Any, field: Field) -> Any:
    """That part of every element of an array, as a view of it, or of a scalar."""
    for name in (field,) if isinstance(field, str) else field:
        value = value[name] if value.dtype.kind != "c" else value.real if name == "real" else value.imag
    return value


def field_dtype(dtype: DType, field: Field) -> DType:
    """The dtype of `field_of` an array of this dtype; of a field that is itself an array with its shape."""
    for name in (field,) if isinstance(field, str) else field:
        # NumPy has the dtype of a component only as that of an array of them.
        dtype = component_dtype(dtype) if dtype.kind == "c" else dtype[name]
    return dtype


def component_dtype(dtype: DType) -> DType:
    """The dtype of the real parts of complex numbers."""
    return np.empty(0, dtype).real.dtype


def _field_names(item: Any) -> list[str] | None:
    """The names that an entry of an index lists; None when it lists none."""
    if isinstance(item, np.ndarray) and item.ndim == 1 and item.dtype.kind == "U":
        item = item.tolist()
    return item if type(item) is list and item and all(isinstance(name, str) for name in item) else None


def split_fields(index: Any, dtype: DType) -> tuple[Any, str | list[str] | None]:
    """Field names taken out of an index: (the index without them, a name, a list of names, or None)."""
    if type(index) is tuple:
        items = [item for item in index if isinstance(item, str) or (type(item) is list and _field_names(item))]
    else:
        items = [index] if isinstance(index, str) or _field_names(index) else []
    if not items:
        return index, None
    names = dtype.names or ()
    listed = list(chain.from_iterable([item] if isinstance(item, str) else _field_names(item) or () for item in items))
    unknown = [name for name in listed if name not in names]
    if unknown and names and type(index) is not tuple:
        if isinstance(index, str):
            raise ArgumentError(f"no field of name {index!r}; the fields are {', '.join(names)}", field=index)
        raise KeyError(unknown[0])  # NumPy's own class for a list of fields
    if unknown:
        raise SelectionError(
            f"only integers, slices (':'), ellipsis ('...'), None and integer or boolean arrays are valid indices, found "
            f"{unknown[0]!r}, which is no field of dtype {dtype}"
        )
    rest = tuple(item for item in index if not any(item is i for i in items)) or ... if type(index) is tuple else ...
    fields: str | list[str] = listed[0] if len(items) == 1 and isinstance(items[0], str) else listed
    return rest, fields
