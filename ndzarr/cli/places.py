"""Stores and nodes that a command line names: opened, and closed when the command is over."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ndzarr import api
from ndzarr.errors import ArgumentError
from ndzarr.group import Group
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.zarray import ZArray


@contextmanager
def opened_store(target: str, mode: str, options: list[tuple[str, Any]] | None = None) -> Iterator[Store]:
    """The store that a path or a URL stands for; an archive is complete when this is over."""
    store = resolve(target, mode, **dict(options or ()))
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(given: argparse.Namespace, mode: Any = "r", **how: Any) -> Iterator[ZArray | Group]:
    """The node that STORE and NODE name, which must exist."""
    with opened_store(given.store, mode, given.option) as store:
        yield api.open(store, mode, path=given.node, **how)


@contextmanager
def opened_array(given: argparse.Namespace, mode: Any = "r", **how: Any) -> Iterator[ZArray]:
    """The array that STORE and NODE name; ArgumentError where that is a group."""
    with opened(given, mode, **how) as node:
        if not isinstance(node, ZArray):
            raise ArgumentError(
                f"{node.path or '/'!r} in {node.store.url} is a group, expected an array; name one of its arrays as NODE",
                path=node.path,
            )
        yield node


@contextmanager
def opened_group(given: argparse.Namespace, mode: Any = "r", **how: Any) -> Iterator[Group]:
    """The group that STORE and NODE name; ArgumentError where that is an array."""
    with opened(given, mode, **how) as node:
        if not isinstance(node, Group):
            raise ArgumentError(f"{node.path or '/'!r} in {node.store.url} is an array, expected a group", path=node.path)
        yield node
