"""Keys that are no documents: chunks, each looked into; chunks of no array; and whatever else lies there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby

from ndzarr import engine, nodes, statistics
from ndzarr._typing import Coords, Key
from ndzarr.checking.documents import Repair
from ndzarr.checking.report import Finding, Notes
from ndzarr.engine import Engine, Problem
from ndzarr.errors import MetadataError, NdzarrError
from ndzarr.keys import STATISTICS
from ndzarr.layout import compile_layout
from ndzarr.metadata import ArrayMeta
from ndzarr.nodes import Survey
from ndzarr.stores.base import Store
from ndzarr.stores.remains import Remain

#: What the keys of chunks end in, by any encoding: "c", "c/0/1", "c.0.1", "0.1", "0/1".
_chunk = re.compile(r"(?:.*/)?(?:c(?:[./][0-9]+)*|[0-9]+(?:[./][0-9]+)*)", re.DOTALL).fullmatch
#: tensorstore leaves a lock beside a file that it has replaced; nothing is wrong with that.
_LOCK = ".__lock"
#: Folders whose nearest node is remembered.
_CACHED = 1 << 14
_ASIDE = "set it aside"
_LIKE_MISSING = "set it aside; it then reads as a chunk that was never written"


class Objects:
    """Looks at the keys of one survey. `repairs`: what was found that can be repaired, and how."""

    def __init__(self, store: Store, survey: Survey, notes: Notes, path: str, *, decode: bool) -> None:
        self._store = store
        self._survey = survey
        self._notes = notes
        self._path = path
        self._decode = decode
        self._told: Callable[[int], None] = lambda count: None
        self._homes: dict[str, str | None] = {}
        self._engines: dict[str, Engine | None] = {}
        self._in_place: dict[Key, list[Key]] = {}  # keys of chunks that directories stand in for, and what lies in them
        self.repairs: list[Repair] = []

    def look(self, told: Callable[[int], None]) -> None:
        """Look at every key, in the order of the listing; the chunks of one array that follow each other, together.

        told: called with how many more keys are done, from any thread.
        """
        self._told = told
        for home, keys in groupby(self._survey.keys(), self._home):
            node = None if home is None else self._survey.nodes[home]
            if isinstance(node, NdzarrError):
                self._passed(keys)  # damaged: which keys are its chunks, nobody can tell
                continue
            if home is not None and isinstance(node, ArrayMeta):
                array = self._engine(home)
                if array is None:
                    self._passed(keys)
                else:
                    engine.examine(array, self._coords(array, keys), partial(self._examined, array), decode=self._decode)
            else:
                for key in keys:
                    self._loose(key, home)
                    told(1)
        for key, below in self._in_place.items():
            if below:
                self._add_in_place(key, "other keys lie below the name of a chunk", below)

    def _passed(self, keys: Iterable[Key]) -> None:
        """Pass over keys that cannot be looked at."""
        for _ in keys:
            self._told(1)

    def _home(self, key: Key) -> str | None:
        """The path of the nearest node at or above a key."""
        folder = key.rpartition("/")[0]
        if folder not in self._homes:
            if len(self._homes) >= _CACHED:
                self._homes.clear()
            self._homes[folder] = self._survey.above(folder)
        return self._homes[folder]

    def _engine(self, path: str) -> Engine | None:
        if path not in self._engines:
            meta = self._survey.nodes[path]
            made = None
            try:
                if isinstance(meta, ArrayMeta):
                    made = Engine(self._store, meta, compile_layout(meta, path), path)
            except MetadataError as error:
                # A codec of another library, or one that would run what is stored: that is no damage.
                lacking = error.field == "allow_pickle" or " needs " in error.message or "unknown codec" in error.message
                if lacking:
                    self._notes.add(Finding("unchecked", path, str(error), "note"))
                else:
                    self._notes.add(Finding("metadata", path, str(error), "error"))
            self._engines[path] = made
        return self._engines[path]

    # ---- chunks --------------------------------------------------------------------------------

    def _coords(self, array: Engine, keys: Iterable[Key]) -> Iterator[Coords]:
        """The coords of those keys that are chunks of the array, in its grid; what else there is is noted."""
        layout = array.layout
        for key in keys:
            coords = layout.coords(key)
            if coords is None:
                self._foreign(array, key)
                self._told(1)
            elif coords in layout.objects:
                yield coords
            else:
                self._told(1)
                what = (
                    f"a chunk outside of the array, whose shape is {array.meta.shape}; it could come back when the array grows"
                )
                finding = self._notes.add(Finding("orphan", key, what, "warning", _ASIDE))
                self.repairs.append((finding, partial(self._set_orphan_aside, array, key)))

    def _examined(self, array: Engine, coords: Coords, nbytes: int | None, problems: Sequence[Problem]) -> None:
        self._told(1)
        if nbytes is None:
            return  # deleted since it was listed
        self._notes.count(nbytes)
        if not problems:
            return
        first = problems[0]
        key = array.layout.key(coords)
        more = f"; {len(problems) - 1} more chunks of this shard are damaged" if len(problems) > 1 else ""
        if first.kind == "unreadable":
            self._notes.add(Finding("unreadable", key, first.message, "error"))
            return
        inner = all(problem.position is not None for problem in problems)
        remedy = "set it aside, and keep those of its chunks that are whole" if inner else _LIKE_MISSING
        finding = self._notes.add(Finding(first.kind, key, first.message + more, "error", remedy))
        self.repairs.append((finding, partial(_set_chunk_aside, array, coords, inner)))

    def _set_orphan_aside(self, array: Engine, key: Key) -> str | None:
        place = nodes.set_orphan_aside(self._store, key, array.path, array.meta)
        return f"moved to {place}" if place else None

    # ---- what is no chunk --------------------------------------------------------------------------------

    def _foreign(self, array: Engine, key: Key) -> None:
        """Note a key below an array that is no chunk of it."""
        above = key.rpartition("/")[0]
        while len(above) > len(array.path):
            if array.layout.coords(above) is not None:
                if self._in_place.setdefault(above, []) is not _DONE:
                    self._in_place[above].append(key)
                return
            above = above.rpartition("/")[0]
        name = key[len(array.path) + 1 :] if array.path else key
        if key.endswith(_LOCK):
            return
        if name == STATISTICS:
            why = statistics.damage(array)
            if why is not None:
                self._notes.add(Finding("statistics", key, f"{why}; nothing goes by them: collect them again", "note"))
            return
        if _chunk(name):
            usual = array.layout.key((0,) * array.meta.ndim)
            what = f"is named like a chunk, but those here are named like {usual!r}; nothing reads it: is the separator right?"
            self._notes.add(Finding("orphan", key, what, "error"))
            return
        self._notes.add(Finding("other", key, "none of Zarr's", "note"))

    def _loose(self, key: Key, home: str | None) -> None:
        """Note a key that is below no array."""
        name = key[len(home) + 1 :] if home else key
        if key.endswith(_LOCK):
            return
        if not _chunk(name):
            self._notes.add(Finding("other", key, "none of Zarr's", "note"))
        elif home is None:
            what = "is named like a chunk, but no array or group is at or above it; if a metadata document was lost, restore it"
            self._notes.add(Finding("orphan", key, what, "error"))
        else:
            what = "is named like a chunk, but there is no array; what a deletion has left, or a metadata document was lost"
            finding = self._notes.add(Finding("orphan", key, what, "warning", _ASIDE))
            self.repairs.append((finding, partial(self._set_aside, [key], home)))

    def beside(self, remain: Remain) -> None:
        """Note a directory, or a link that leads nowhere, where it is in the place of a chunk; any other directory is none."""
        home = self._home(remain.name)
        array = None if home is None or not isinstance(self._survey.nodes[home], ArrayMeta) else self._engine(home)
        if array is not None and array.layout.coords(remain.name) is not None:
            self._in_place[remain.name] = _DONE
            self._add_in_place(remain.name, remain.message, [remain.name])
        elif remain.kind == "link":
            self._notes.add(Finding("unreadable", remain.name, remain.message, "warning"))

    def _add_in_place(self, key: Key, what: str, keys: list[Key]) -> None:
        home = self._home(key) or ""
        finding = self._notes.add(Finding("directory", key, f"{what}, where a chunk should be", "error", _LIKE_MISSING))
        self.repairs.append((finding, partial(self._set_aside, keys, home)))

    def _set_aside(self, keys: list[Key], home: str) -> str | None:
        places = [nodes.set_aside(self._store, key, home) for key in keys]
        return f"moved to {places[0]}" if places[0] else "removed, being empty"


#: Marks a place that is noted already.
_DONE: list[Key] = []


def _set_chunk_aside(array: Engine, coords: Coords, inner: bool) -> str | None:
    place = engine.set_aside(array, coords)
    if place is None:
        return None
    if inner:
        return f"a copy is at {place}; the chunks that could be decoded are kept, the others read as never written"
    return f"moved to {place}; it reads as a chunk that was never written"
