"""What long work on a node notes beside it, so that it can go on after it was cut short: a record, and a mark for each step
done.

All of it lies in a folder under the node's path whose name no node may have
(https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html#node-names: names that start with "__" are reserved).
"""

from __future__ import annotations

from collections.abc import Iterable

from ndzarr._typing import Json, Key
from ndzarr.errors import MetadataError, NodeExistsError, WriteHazardError
from ndzarr.formats.document import parse
from ndzarr.keys import RECHUNKING, UNFINISHED, join
from ndzarr.nodes.reading import read_document
from ndzarr.stores.base import Store

_RECORD = "record.json"
_DONE = "done"
#: The folders that hold one.
WORKLOGS = (UNFINISHED, RECHUNKING)


def is_far(store: Store) -> bool:
    """Whether to look up a record of a store is a request over a network, most likely."""
    return store.batched and not (store.exclusive or store.by_value)


def unfinished(store: Store, paths: Iterable[str], own: str = "") -> Key | None:
    """The record of work that was begun at one of these paths and is not done; None where there is none. One request.

    own: the folder of the caller's own work, which does not count.
    """
    keys = [join(path, f"{name}/{_RECORD}") for path in paths for name in WORKLOGS if name != own]
    found = store.get_many([(key, None) for key in keys])
    return next((key for key, data in zip(keys, found, strict=True) if data is not None), None)


def check_finished(store: Store, paths: Iterable[str], own: str = "") -> None:
    """Raise NodeExistsError where work that writes a node at one of these paths is not done: what it has written there would
    become part of any other one."""
    key = unfinished(store, paths, own)
    if key is not None:
        folder = key.rpartition("/")[0]
        path = folder.rpartition("/")[0]
        verb = "rechunk" if folder.endswith(RECHUNKING) else "convert or compress"
        raise NodeExistsError(
            f"a {verb} to {path or '/'!r} in {store.url} was begun, and is not finished or was cut short: {key!r} is there; "
            "pass overwrite=True for that very path to remove what it has written",
            store=store.url,
            path=path,
            key=key,
        )


class Worklog:
    """The notes of one kind of work on the node at `path`; `name` is that of the folder. Safe to use from any thread;
    pickles."""

    __slots__ = ("_folder", "_path", "_store")

    def __init__(self, store: Store, path: str, name: str) -> None:
        self._store = store
        self._path = path
        self._folder = join(path, name)

    def read(self) -> dict[str, Json] | None:
        """The record; None where there is none, or nothing that could be one."""
        data = read_document(self._store, join(self._folder, _RECORD))
        try:
            return None if data is None else parse(data, join(self._folder, _RECORD))
        except MetadataError:
            return {}

    def write(self, text: bytes) -> None:
        """Put down the record, a JSON object."""
        self._store.set(join(self._folder, _RECORD), text)

    def inside(self) -> set[str]:
        """The relative paths of the nodes that are being made, by the record."""
        found = (self.read() or {}).get("inside")
        return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()

    def check(self, run: str) -> None:
        """Raise WriteHazardError where the record does not name this run any more: another one has taken over."""
        record = self.read()
        if record is None or record.get("run") != run:
            raise WriteHazardError(
                f"other work on {self._path or '/'!r} in {self._store.url} was begun after this one, which stops here so that "
                "the two do not mix; let one of them finish, and call the other again then",
                store=self._store.url,
                path=self._path,
            )

    def mark(self, step: str) -> None:
        """Note that a step is done; what it has written must be in the store."""
        self._store.set(join(self._folder, f"{_DONE}/{step}"), b"1")

    def marked(self) -> set[str]:
        """The steps that are done, by one listing."""
        prefix = join(self._folder, f"{_DONE}/")
        return {key[len(prefix) :] for key in self._store.list(prefix)}

    def clear(self) -> None:
        """Remove everything in the folder, the record last."""
        prefix = self._folder + "/"
        record = prefix + _RECORD
        self._store.delete_many([key for key in self._store.list(prefix) if key != record])
        self._store.delete(record)
