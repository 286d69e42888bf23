"""What tests of ndzarr, and of what is written for it, are made of: suites for stores and codecs, index strategies.

    from ndzarr.testing import CodecSuite, StoreSuite

Needs pytest, and hypothesis for the strategies. Each name is imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ndzarr.testing.codecs import CodecSuite
    from ndzarr.testing.stores import StoreSuite

__all__ = ["CodecSuite", "StoreSuite"]

_MODULE_OF = {"CodecSuite": "ndzarr.testing.codecs", "StoreSuite": "ndzarr.testing.stores"}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'ndzarr.testing' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
