"""A store for writes to a place where nobody else writes: without the locks of keys."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ndzarr._typing import Key
from ndzarr.stores.connections import any_scopes
from ndzarr.stores.wrapper import WrapperStore


class Alone(WrapperStore):
    """`inner`, without locks of keys, for an array that has no documents yet; no two threads may write to one key.

    A directory finds the locks of a chunk by the documents of its array: where there are none it looks all the way up, and
    then locks a whole directory. Here nobody is to be kept out: readers and writers find no array, whoever would make one is
    kept away by other means, and each value is put in place whole, as ever. In a transaction the locks are part of that, and
    stay.
    """

    @property
    def url(self) -> str:
        return self.inner.url

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        return self.inner.lock(key) if any_scopes() else nullcontext()
