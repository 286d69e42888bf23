"""Tries of a write by compare and set: each time somebody else was first, so that theirs was made."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from ndzarr._typing import Key
from ndzarr.errors import StoreError
from ndzarr.stores.base import Store

#: How often a write is done over.
MOST = 1000


def attempts(store: Store, key: Key) -> Iterator[int]:
    """The numbers of tries, with pauses that grow in between; StoreError, naming `key`, after the last one."""
    for number in range(MOST):
        yield number
        # Random, or two would go on meeting each other.
        time.sleep(random.random() * min(0.1, 0.001 * 2 ** min(number, 10)))
    raise StoreError(f"cannot write {key!r} in {store.url}: others changed it {MOST} times", store=store.url, key=key)
