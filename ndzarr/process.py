"""Which process this is: a handle made in another one may have others like it, which write at the same time."""

from __future__ import annotations

import os

#: Told apart from every other process on any machine; a number of the system's comes again.
_here = os.urandom(16)
_AWAY = b"away:"


def here() -> bytes:
    """What stands for this process, and for no other one; a child that was forked is another one."""
    return _here


def arrived(home: bytes) -> bytes:
    """The home of a handle that was pickled where its home was `home`, and is unpickled here."""
    origin = home.removeprefix(_AWAY)
    return origin if origin == _here else _AWAY + origin


def is_away(home: bytes) -> bool:
    """Whether a handle with this home came by pickle from another process; one that a fork brought along did not."""
    return home.startswith(_AWAY)


def _forked() -> None:
    global _here
    _here = os.urandom(16)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
