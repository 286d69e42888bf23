"""Objects of zarr-python 3, told without importing it: nobody has one who has not imported it himself."""

from __future__ import annotations

import sys
from typing import Any


def is_zarr_store(target: Any) -> bool:
    """Whether `target` is a store of zarr-python 3."""
    return _is(target, "zarr.abc.store", "Store")


def located(target: Any, path: str) -> tuple[Any, str]:
    """`target` and `path`; of an array, a group or a StorePath of zarr-python 3 its store, and `path` below its own."""
    if _is(target, "zarr", "Array", "Group") and hasattr(target, "store_path"):  # of zarr-python 2 they have none
        target = target.store_path
    elif not _is(target, "zarr.storage", "StorePath"):
        return target, path
    return target.store, f"{target.path}/{path}"


def _is(target: Any, module: str, *names: str) -> bool:
    found = sys.modules.get(module)
    classes = tuple(cls for name in names if isinstance(cls := getattr(found, name, None), type))
    return isinstance(target, classes)
