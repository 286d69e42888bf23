"""A store whose process dies when it has changed so many keys."""

from __future__ import annotations

import math
from typing import Any

import ndzarr


class Stop(BaseException):
    """What a dying process raises in place of going on."""


class Dying(ndzarr.MemoryStore):
    """Raises Stop at the change after the last one that is `left`."""

    left: float = math.inf

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stop

    def set(self, key: str, value: Any) -> None:
        self._step()
        super().set(key, value)

    def set_if(self, key: str, value: Any, *, tag: Any) -> bool:
        self._step()
        return super().set_if(key, value, tag=tag)

    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)
