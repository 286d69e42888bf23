"""Documents looked at: damaged, out of place, out of date in consolidated ones; names of nodes that collide."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from ndzarr import nodes
from ndzarr.checking.report import Finding, Notes
from ndzarr.errors import MetadataError, StoreError
from ndzarr.formats import v2, v3
from ndzarr.keys import join
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.nodes import Survey, ancestors
from ndzarr.stores.base import Store

#: A finding, and what repairs it: what was done, or None where there was nothing to do any more.
Repair: TypeAlias = tuple[Finding, Callable[[], str | None]]

#: So many paths are named in one message.
_NAMED = 3


def look_at_documents(store: Store, survey: Survey, path: str, notes: Notes) -> list[Repair]:
    """Note what is wrong with the documents of all nodes, but for consolidated ones; what repairs it."""
    repairs: list[Repair] = []
    for place, failure in survey.failures.items():
        notes.add(Finding("unreadable", place, f"cannot be listed: {failure}", "error"))
    for place, names in sorted(survey.documents.items()):
        node = survey.nodes.get(place)
        if isinstance(node, StoreError):
            notes.add(Finding("unreadable", place, str(node), "error"))
        elif isinstance(node, MetadataError):
            notes.add(Finding("metadata", node.key or place, str(node), "error"))
        for name, why, movable in _stray(names, node):
            remedy = "set it aside" if movable else None
            finding = notes.add(Finding("stray", join(place, name), why, "warning", remedy))
            if movable:
                home = place if node is not None else survey.above(place) or path
                repairs.append((finding, partial(_set_aside, store, join(place, name), home)))
    missing = set()
    for place in survey.nodes:
        above = next((p for p in ancestors(place) if isinstance(survey.nodes.get(p), ArrayMeta)), None)
        if above is not None:
            notes.add(Finding("stray", place, f"a node inside the array {above or '/'!r}; move it to a group", "warning"))
        parent = place.rpartition("/")[0]
        while place and above is None and parent not in survey.nodes and survey.above(parent) is not None:
            missing.add(parent)
            parent = parent.rpartition("/")[0]
    for place in sorted(missing):
        what = "has no document of a group, though nodes lie below it; ndzarr.create_group makes it one"
        notes.add(Finding("stray", place, what, "warning"))
    return repairs


def _stray(names: set[str], node: object) -> list[tuple[str, str, bool]]:
    """(name, why it should not be there, whether it may be moved) of documents at one path."""
    if v3.NODE in names:
        whole = not isinstance(node, MetadataError | StoreError)
        why = f"stands beside a {v3.NODE}, which counts; nothing reads this one but programs that know format 2 alone"
        return [(name, why, whole) for name in sorted(names - {v3.NODE})]
    if v2.ARRAY in names:
        why = f"stands beside a {v2.ARRAY}, which counts"
        return [(name, why, isinstance(node, ArrayMeta)) for name in (v2.GROUP, v2.CONSOLIDATED) if name in names]
    if v2.GROUP in names:
        return []
    found = [(v2.ATTRIBUTES, "the attributes of no node: no array or group is here", True)] if v2.ATTRIBUTES in names else []
    if v2.CONSOLIDATED in names:
        found.append((v2.CONSOLIDATED, "the consolidated metadata of no group: the group's own document is missing", False))
    return found


def _set_aside(store: Store, key: str, path: str) -> str | None:
    return _moved(nodes.set_aside(store, key, path))


def _moved(place: str) -> str | None:
    return f"moved to {place}" if place else None


def look_at_names(survey: Survey, notes: Notes) -> None:
    """Note names of nodes that a file system which ignores case, or the way a letter is encoded, takes for the same."""
    seen: dict[tuple[str, str], str] = {}
    for place in sorted(survey.nodes):
        parent, _, name = place.rpartition("/")
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        first = seen.setdefault((parent, folded), place)
        if first != place and place:
            what = f"is the same name as {first!r} where a file system ignores case or Unicode forms; do not copy both there"
            notes.add(Finding("collision", place, what, "warning"))


def look_at_consolidated(store: Store, survey: Survey, notes: Notes) -> list[Repair]:
    """Note the consolidated metadata that are out of date; what makes them anew."""
    repairs: list[Repair] = []
    for place, meta in survey.nodes.items():
        if not isinstance(meta, GroupMeta):
            continue
        try:
            differing = nodes.differing(store, place, meta)
            # What cannot be understood has a finding of its own.
            wrong = [name for name in differing or () if not isinstance(survey.nodes.get(join(place, name)), MetadataError)]
            if not wrong:
                continue
            more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            named = ", ".join(repr(name) for name in wrong[:_NAMED])
            message = f"the consolidated metadata say something else than the nodes themselves of {named}{more}"
        except MetadataError as error:
            message = f"the consolidated metadata cannot be understood: {error}"
        except StoreError as error:
            if not survey.failures and not any(isinstance(node, StoreError) for node in survey.nodes.values()):
                notes.add(Finding("unreadable", place, str(error), "error"))
            continue
        finding = notes.add(Finding("stale", place, message, "warning", "make them anew from the nodes"))
        repairs.append((finding, partial(_consolidate, store, place)))
    return repairs


def follow(store: Store, survey: Survey) -> None:
    """Make those consolidated metadata anew that documents moved by a repair have left out of date."""
    for place, meta in survey.nodes.items():
        now = nodes.read_again(store, place) if isinstance(meta, GroupMeta) else None
        if isinstance(now, GroupMeta) and nodes.differing(store, place, now):
            nodes.consolidate(store, place)


def _consolidate(store: Store, path: str) -> str:
    return f"made anew from {nodes.consolidate(store, path)} documents"
