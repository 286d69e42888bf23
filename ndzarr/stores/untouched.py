"""What a target stands for, to be looked at: nothing in it changes by that, which opening it may do otherwise."""

from __future__ import annotations

import os
from typing import Any

from ndzarr.errors import StoreError
from ndzarr.stores.base import Store
from ndzarr.stores.local import LocalStore
from ndzarr.stores.registry import resolve

#: Schemes of stores that take `readonly`.
_DATABASES = ("sqlite", "postgres", "postgresql")


class UntouchedStore(LocalStore):
    """A directory to look at: what a transaction has left stays, and is read as done; not even locks are written.

    Where its record is damaged, as what the files say.
    """

    def __init__(self, path: str | os.PathLike[str], *, follow_symlinks: bool = True, readonly: bool = True) -> None:
        super().__init__(path, follow_symlinks=follow_symlinks, readonly=True)

    def settle(self, path: str = "") -> None:
        try:
            super().settle(path)
        except StoreError:
            self._overlays.clear()  # `remains` says so


def look(target: Any, **options: Any) -> Store:
    """The store that `target` stands for, as `resolve` says, to be read without changing anything.

    A store that is open is itself, but for a directory's, in which reading alone may finish what a transaction has left.
    """
    if type(target) is LocalStore and not options:
        return UntouchedStore(target.root, follow_symlinks=target.follow_symlinks)
    if isinstance(target, Store) and not options:
        return target
    if isinstance(target, (str, os.PathLike)) and isinstance(path := os.fspath(target), str):
        scheme, separator, _ = path.partition("://") if isinstance(target, str) else ("", "", "")
        if scheme in _DATABASES:
            return resolve(target, "r", **{"readonly": True, **options})
        if scheme == LocalStore.scheme:
            path, separator = LocalStore.from_url(path).root, ""
        if not separator and not os.path.isfile(path) and (os.path.isdir(path) or not path.lower().endswith(".zip")):
            return UntouchedStore(path, **options)
    return resolve(target, "r", **options)
