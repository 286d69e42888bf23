"""What may lie in a store beside its keys, or hide them: what `Store.remains` tells `ndzarr.check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ndzarr.keys import join

#: transaction: one that was cut short. leftover: a temporary file. duplicate: a name that is there more than once. folder: a
#: directory, which whoever knows the arrays may find in a chunk's place. link: one that leads nowhere. suspects: what was set
#: aside before. unreadable: a directory that cannot be looked into.
RemainKind: TypeAlias = Literal["transaction", "leftover", "duplicate", "folder", "link", "suspects", "unreadable"]
#: error: data cannot be read. warning: something is wrong, and all data can be read. note: all is well, and worth telling.
Level: TypeAlias = Literal["error", "warning", "note"]

#: The folder below a node for what was set aside, in stores that have nothing but keys. Format 3 keeps names that start with
#: "__" for such things.
SUSPECTS = "__ndzarr_suspects__"


@dataclass(frozen=True, slots=True)
class Remain:
    """One such thing: `name` says where it is, relative to the root of the store; `remedy` what `Store.tidy` would do.

    remedy is None where it would do nothing.
    """

    kind: RemainKind
    name: str
    message: str
    level: Level
    remedy: str | None = None


def aside(path: str, key: str, number: int) -> str:
    """The key for what lay under `key` of the node `path` and is set aside; `number` tells several of them apart.

    With an ending, so that a document that is set aside is none any more.
    """
    relative = key[len(path) + 1 :] if path else key
    return join(path, f"{SUSPECTS}/{relative}.suspect{number or ''}")


def is_aside(key: str) -> bool:
    """Whether a key is of something that was set aside."""
    return f"{SUSPECTS}/" in key and (key.startswith(SUSPECTS) or f"/{SUSPECTS}/" in key)
