"""The attributes of one node, as a mapping that reads and writes its document."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping

from ndzarr import nodes
from ndzarr._typing import Json
from ndzarr.engine import check_seen
from ndzarr.errors import ReadOnlyError
from ndzarr.formats.document import attribute_mapping, plain
from ndzarr.stores.base import Store


class Attributes(MutableMapping[str, Json]):
    """User attributes of an array or group: names to JSON values, NumPy scalars and arrays turned into numbers and lists.

    Reading goes by what was read when the node was opened, or last changed through this object. Each change is written at
    once and is one step among the threads of this process: it starts from what is stored, so nobody else's is lost. Values are
    copies: to change a list inside, assign it again.

    What JSON cannot hold, such as bytes, complex numbers and dates, is refused with an ArgumentError that names its place:
    "a.b[2]". NaN is stored by format 2 only: format 3 refuses it likewise.

    >>> import ndzarr
    >>> z = ndzarr.zeros((3,))
    >>> z.attrs["units"] = "K"
    >>> dict(z.attrs)
    {'units': 'K'}
    """

    def __init__(
        self, store: Store, path: str, values: Mapping[str, Json], *, writable: bool, zarr_format: int, home: bytes
    ) -> None:
        self._store = store
        self._path = path
        self._zarr_format = zarr_format
        self._values = dict(values)
        self._writable = writable
        self._home = home

    def _check(self) -> None:
        check_seen(self._store, self._path, self._home)
        if not self._writable:
            raise ReadOnlyError(
                f"cannot change the attributes of {self._path or '/'!r} in {self._store.url}: it was opened with mode 'r'; "
                "open it with mode 'r+'",
                store=self._store.url,
                path=self._path,
            )

    def __getitem__(self, name: str) -> Json:
        return copy.deepcopy(self._values[name])

    def __setitem__(self, name: str, value: Json) -> None:
        self.update({name: value})

    def __delitem__(self, name: str) -> None:
        self._check()
        if name not in self._values:
            raise KeyError(name)
        self._change(lambda stored: stored.pop(name, None))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def update(self, *args: object, **names: Json) -> None:
        """Set several attributes with one write."""
        self._check()
        changes = plain(dict(*args, **names))
        self._change(lambda stored: stored.update(changes))

    def setdefault(self, name: str, default: Json = None) -> Json:
        """The attribute of that name, set to `default` if there is none stored; one step, so that of two callers one wins."""
        self._check()
        value = plain(default, name)
        self._change(lambda stored: stored.setdefault(name, value))
        return self[name]

    def pop(self, name: str, *default: Json) -> Json:
        """Remove an attribute and give its value; `default`, where there is one, if it is not stored. One step."""
        self._check()
        found: list[Json] = []

        def take(stored: dict[str, Json]) -> None:
            found.append(stored.pop(name, *default))

        self._change(take)
        return found[0]

    def clear(self) -> None:
        """Remove all attributes with one write."""
        self.put({})

    def asdict(self) -> dict[str, Json]:
        """All attributes as a dict of one's own."""
        return copy.deepcopy(self._values)

    def put(self, values: Mapping[str, Json]) -> None:
        """Replace all attributes with one write."""
        self._check()
        changes = attribute_mapping(values)

        def replace(stored: dict[str, Json]) -> None:
            stored.clear()
            stored.update(changes)

        self._change(replace)

    def _change(self, change: nodes.Change) -> None:
        self._values = nodes.update_attributes(self._store, self._path, change, self._zarr_format)

    def refresh(self) -> None:
        """Read the attributes from the store again."""
        self._values = nodes.read_attributes(self._store, self._path, self._zarr_format)

    def __repr__(self) -> str:
        return f"Attributes({self._values!r})"
