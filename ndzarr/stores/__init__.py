"""Stores: one file each. The package can be called: `ndzarr.stores()` lists what is registered.

The public function has the package's own name, and importing any of its modules binds the package to that name in
`ndzarr`. So the package itself answers the call, whichever of the two a caller got hold of.

>>> import ndzarr
>>> ndzarr.stores()["sqlite"].transactional
True
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self) -> dict[str, Any]:
        from ndzarr.stores.registry import stores

        return stores()


sys.modules[__name__].__class__ = _CallablePackage
