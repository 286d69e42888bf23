"""Names: what a store key and a node path may be, and chunk coordinates <-> key. Pure; no store.

Keys are checked once, here, for every store, before a backend sees them (promise P14): names come from untrusted
metadata and archives as well as from callers, and a file system or a database would give "..", "\\" or "C:" a meaning
of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ndzarr._typing import Coords, Key
from ndzarr.errors import ArgumentError

#: A folder of files that are ndzarr's own, locks for instance; no key may have a segment of this name.
OWN = ".ndzarr"
#: Below an array: its statistics, a key as any other. Format 3 keeps names that start with "__" for such things.
STATISTICS = "__ndzarr_statistics__"
#: Below a place whose node is not finished: folders of what long work notes meanwhile.
UNFINISHED = "__unfinished__"
RECHUNKING = "__rechunk__"
#: Files that a store writes beside the final ones start with this; no key may.
TEMP_PREFIX = ".ndzarr-tmp-"
#: What ext4, APFS and NTFS allow for one name.
MAX_SEGMENT_BYTES = 255

# The whole check for the keys of chunks: segments of plain characters that do not start with ".", so neither "." nor
# ".." nor a temporary name; ":" is no plain character, so there is no drive letter either. Only with fewer than 256
# characters, which bounds every segment. Possessive: a mismatch does not backtrack. Other keys (".zarray") take the
# long way, some 2 us.
_SEGMENT = r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*+"
_plain_key = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*+").fullmatch
_control = re.compile("[\x00-\x1f\x7f-\x9f]").search
_drive = re.compile("[A-Za-z]:").match


def check_key(key: str) -> Key:
    """`key` itself, when it may be given to a store.

    Raises ArgumentError, naming the key and the reason, for an empty or absolute key, for "." and "..", empty segments,
    backslashes, control characters (NUL too), drive letters, segments over 255 bytes, lone surrogates, and names that
    are kept for temporary files. Costs about 0.2 us for the keys of chunks.
    """
    if type(key) is str and len(key) < 256 and _plain_key(key):
        return key
    reason = _fault(key)
    if reason is not None:
        raise ArgumentError(f"{key!r} cannot be a store key: {reason}", key=key, found=key)
    return key


def is_key(key: str) -> bool:
    """Whether `check_key` accepts `key`: for names found in a store, which are skipped when they are no keys."""
    return (len(key) < 256 and _plain_key(key) is not None) or _fault(key) is None


def check_prefix(prefix: str) -> str:
    """`prefix` itself, when keys may be listed by it: "", or a key, or the start of one (it may end in "/").

    Raises ArgumentError as `check_key` does.
    """
    if prefix == "":
        return prefix
    reason = _fault(prefix, "/")
    if reason is not None:
        raise ArgumentError(f"{prefix!r} cannot be a prefix of store keys: {reason}", found=prefix)
    return prefix


def check_folder(prefix: str) -> str:
    """`prefix` itself, when it is "" or ends in "/" and `check_prefix` accepts it; ArgumentError otherwise."""
    check_prefix(prefix)
    if prefix and not prefix.endswith("/"):
        raise ArgumentError(f"{prefix!r} names no folder: expected '' or a prefix that ends in '/'", found=prefix)
    return prefix


def _fault(key: object, end: str = "") -> str | None:
    """Why `key`, without `end`, is no key; None when it is one."""
    if not isinstance(key, str):
        return f"it is a {type(key).__name__}, expected a str"
    if not key:
        return "it is empty"
    if key[0] == "/":
        return "it is absolute"
    if "\\" in key:
        return "it has a backslash"
    if found := _control(key):
        return f"it has the control character {found.group()!r}"
    for segment in key.removesuffix(end).split("/"):
        if reason := _segment_fault(segment):
            return reason
    return None


def _segment_fault(segment: str) -> str | None:
    if not segment:
        return "it has an empty segment ('//' or a '/' at its end)"
    if segment in (".", ".."):
        return f"it has the segment {segment!r}"
    if _drive(segment):
        return f"the segment {segment!r} starts with a drive letter"
    if segment == OWN:
        return f"the name {OWN!r} is kept for ndzarr's own files"
    if segment.startswith(TEMP_PREFIX):
        return f"names that start with {TEMP_PREFIX!r} are kept for temporary files"
    try:
        nbytes = len(segment.encode())
    except UnicodeEncodeError:
        return "it has a lone surrogate, which is no text"
    if nbytes > MAX_SEGMENT_BYTES:
        return f"a segment has {nbytes} bytes in UTF-8, at most {MAX_SEGMENT_BYTES} are allowed"
    return None


def normalize_path(path: str) -> str:
    r"""The path of a node as the library keeps it: no "/" at either end, none doubled, "" for the root.

    For paths that a caller gives; names found in a store are never changed. As the v2 specification asks, "\" counts as
    "/" (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html#logical-storage-paths). Raises ArgumentError for "."
    and ".." and whatever else no key may hold.

    >>> normalize_path("/temp//sst/")
    'temp/sst'
    """
    if not isinstance(path, str):
        raise ArgumentError(f"a node path is a str, found {path!r}", path=None, found=path)
    normal = "/".join(segment for segment in path.replace("\\", "/").split("/") if segment)
    reason = _fault(normal) if normal else None
    if reason is not None:
        raise ArgumentError(f"{path!r} cannot be a node path: {reason}", path=path, found=path)
    return normal


def join(path: str, name: str) -> str:
    """The key or path of `name` under the node `path` ("" is the root)."""
    return f"{path}/{name}" if path else name


@dataclass(frozen=True, slots=True)
class KeyEncoding:
    """How chunk coordinates become the last part of a key.

    "v2": "0.1" or "0/1", and "0" for the one chunk of a 0-d array. "default" (v3): "c/0/1" or "c.0.1", and "c".
    Raises ArgumentError for another name or separator.
    """

    name: str
    separator: str

    def __post_init__(self) -> None:
        if self.name not in ("v2", "default"):
            raise ArgumentError(f"chunk key encoding is {self.name!r}, expected 'v2' or 'default'", found=self.name)
        if self.separator not in (".", "/"):
            raise ArgumentError(f"chunk key separator is {self.separator!r}, expected '.' or '/'", found=self.separator)

    def _join(self, ndim: int, path: str, cell: str) -> str:
        """The key with `cell` in place of each coordinate; `path` stands as given."""
        parts = [cell] * ndim
        if self.name == "default":
            parts = ["c", *parts]
        return join(path, self.separator.join(parts) or "0")

    def encoder(self, ndim: int, path: str = "") -> Callable[[Coords], Key]:
        """The function coords -> key for chunks of the array at `path`. It wants a tuple of `ndim` integers.

        Not a Python function but the bound `str.__mod__` of a template: 0.15 us a key, half of what an f-string in a
        lambda costs.
        """
        return self._join(ndim, path.replace("%", "%%"), "%d").__mod__

    def decoder(self, ndim: int, path: str = "") -> Callable[[Key], Coords | None]:
        """The function key -> coords; None for what `encoder` would not write (signs, leading zeros, another rank)."""
        # 19 digits hold every index that fits int64, and bound what int() is asked to convert.
        # Without the path, so that one pattern serves all arrays of a rank: to compile it takes longer than all else that it
        # takes to open one.
        match = _cells(self.name, self.separator, ndim)
        prefix = join(path, "") if path else ""
        start = len(prefix)

        def decode(key: Key) -> Coords | None:
            found = match(key, start) if key.startswith(prefix) else None
            return None if found is None else tuple(map(int, found.groups()))

        return decode


@lru_cache
def _cells(name: str, separator: str, ndim: int) -> Callable[[str, int], re.Match[str] | None]:
    pattern = KeyEncoding(name, separator)._join(ndim, "", "(0|[1-9][0-9]{0,18})")
    return re.compile(pattern.replace(".", r"\.")).fullmatch
