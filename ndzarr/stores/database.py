"""What SQLStore asks of a database: values under keys in one table, each with a tag."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from ndzarr._typing import ByteRange


class Found(NamedTuple):
    """The bytes asked for, and the tag of the whole value."""

    value: bytes
    tag: int


class Keys(NamedTuple):
    """The keys from `first` on, and before `past` where that is not None."""

    first: str
    past: str | None


class Database(ABC):
    """One table of one database. Thread-safe; whatever the database says is raised as one of `errors`, or as StoreError.

    A call outside `lock` and `transaction` is seen by others when it returns, and all at once.
    """

    #: The exceptions of the client library.
    errors: tuple[type[Exception], ...]
    #: Whether other processes can reach it.
    shared: bool
    #: The most bytes that a value may have.
    most: int

    @property
    @abstractmethod
    def identity(self) -> Hashable:
        """Equal for all handles on this database, whichever table."""

    @abstractmethod
    def read(self, requests: Sequence[tuple[str, ByteRange | None]]) -> list[Found | None]:
        """The value, or the range of it, under each key. In one statement where all are whole, or all are ranges."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """The bytes of a value."""

    @abstractmethod
    def keys(self, among: Keys) -> list[str]:
        """The keys there are."""

    @abstractmethod
    def names(self, among: Keys, start: int) -> list[str]:
        """One key for each name that the keys have from character `start` on, up to "/"; found without reading the others."""

    @abstractmethod
    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Put values under keys."""

    @abstractmethod
    def write_if(self, items: Sequence[tuple[str, bytes, int | None]]) -> list[bool]:
        """Put each value under its key if the tag still fits (None: if there is no such key); whether it did."""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys."""

    @abstractmethod
    def delete_all(self, among: Keys) -> None:
        """Remove all keys in a range."""

    @abstractmethod
    def move(self, among: Keys, new: Keys) -> bool:
        """Let keys start with `new.first` instead of `among.first`, in one step; False where any do already."""

    @abstractmethod
    def lock(self, key: str) -> AbstractContextManager[Any]:
        """See `Store.lock`."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Any]:
        """See `Store.transaction`."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections that nobody uses; it may be used again."""


def new_tag() -> int:
    """A tag that no value ever had: 63 random bits.

    Not a counter of the database: what a transaction counted is counted again after it was undone, and what the last
    transactions counted again by the replica that takes over; a tag seen meanwhile would then be that of another value.
    """
    return int.from_bytes(os.urandom(8), "big") >> 1


def starting_with(prefix: str) -> Keys:
    """The keys that start with `prefix`, as a range in the order of code points, which is that of UTF-8 too."""
    stem = prefix
    while stem and stem[-1] == "\U0010ffff":
        stem = stem[:-1]
    if not stem:
        return Keys(prefix, None)
    last = ord(stem[-1]) + 1
    return Keys(prefix, stem[:-1] + chr(0xE000 if last == 0xD800 else last))  # surrogates are no characters


def condition(among: Keys, mark: str) -> tuple[str, list[str]]:
    """The condition that a key is among these, and its values; `mark` is how the client library marks a parameter."""
    if among.past is None:
        return f"key >= {mark}", [among.first]
    return f"key >= {mark} and key < {mark}", [among.first, among.past]


def plain_range(range: ByteRange) -> bool:
    """Whether a range is what databases understand: from a place on, or the last bytes."""
    start, stop = range
    return (start >= 0 and (stop is None or stop >= 0)) or (start < 0 and stop is None)
