"""What `Store` gives to those who write four methods, and the locks of stored objects."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import ndzarr.stores.base as base
from ndzarr._typing import Buffer, ByteRange
from ndzarr.errors import ArgumentError
from ndzarr.stores.base import Store, as_bytes, as_view, object_lock, own_lock, span
from ndzarr.stores.memory import MemoryStore


class Least(Store):
    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        return None

    def set(self, key: str, value: Buffer) -> None:
        pass

    def delete(self, key: str) -> None:
        pass

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(())


def test_four_methods_make_a_store() -> None:
    with Least() as store:
        assert store.url == "least:"
        assert repr(store) == "<Least 'least:'>"
        assert store.object_id("a") != Least().object_id("a") or store is None
    for name in ("get", "set", "delete", "list"):
        with pytest.raises(TypeError, match=name):
            type("Less", (Least,), {name: getattr(Store, name)})()


def test_locks_belong_to_stored_objects() -> None:
    assert object_lock(("a", "b")) is object_lock(("a", "b"))
    with object_lock("x"), object_lock("x"):
        pass


def test_locks_are_new_after_fork() -> None:
    store = MemoryStore()
    identity = ("test", "fork")
    held = [object_lock(identity), store._lock]
    for lock in held:
        lock.__enter__()
    try:
        base._fresh_locks()  # what a child of fork runs first
        taken: list[bool] = []

        def take() -> None:
            with object_lock(identity):
                taken.append(store.set_if("a", b"1", tag=None))

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        thread.join(10)
        assert taken == [True]
    finally:
        for lock in held:
            lock.__exit__(None, None, None)


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="there is no fork")
def test_holders_are_not_kept_alive() -> None:
    before = len(base._holders)
    store = MemoryStore()
    assert len(base._holders) == before + 1
    del store
    assert len(base._holders) == before
    held, again = MemoryStore(), MemoryStore()
    own_lock(held)
    assert held._lock is not again._lock


def test_views_do_not_copy_what_is_in_order() -> None:
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    view = as_view("a", array)
    assert (view.format, view.ndim, view.nbytes) == ("B", 1, 24)
    array[0, 0] = 7
    assert view[0] == 7
    assert as_view("a", array.T).tobytes() == array.T.tobytes()
    assert as_view("a", memoryview(b"abc")).obj == b"abc"
    value = b"abc"
    assert as_bytes("a", value) is value
    with pytest.raises(ArgumentError, match="'a'"):
        as_view("a", 5)


@pytest.mark.parametrize("range", [(0, 5), (3, None), (-4, None), (0, 99), (20, 30), (5, 2), (-99, None), (2, -1)])
def test_span_is_slicing(range: tuple[int, int | None]) -> None:
    value = bytes(np.arange(10, dtype="u1"))
    start, length = span(ByteRange(*range), len(value))
    assert value[start : start + length] == value[range[0] : range[1]]
