"""Nodes copied and moved within and between stores: what is done, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ndzarr import nodes
from ndzarr.errors import ArgumentError, MetadataError, NodeExistsError, ReadOnlyError, StoreError
from ndzarr.formats.newarray import check_path
from ndzarr.keys import join
from ndzarr.metadata import GroupMeta
from ndzarr.nodes import Contents
from ndzarr.progress import Progress, meter
from ndzarr.stores.base import Store

IfExists: TypeAlias = Literal["raise", "skip", "replace"]

#: How often a move looks for what was added while it copied.
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Transfer:
    """What `copy` and `move` did, or with `dry_run` would do.

    source, target: the node's place before and after, as a store's URL and a path. nodes: the paths of the nodes that were
    copied, relative to it; "" is the node itself. skipped: likewise, those left alone because something was there. replaced:
    whether something was there and had to go. keys, nbytes: the objects copied and their bytes; nbytes is None in a dry run
    where asking for sizes would take a request each.
    """

    source: tuple[str, str]
    target: tuple[str, str]
    nodes: tuple[str, ...]
    skipped: tuple[str, ...]
    replaced: bool
    keys: int
    nbytes: int | None
    dry_run: bool


def transfer(
    src: Store,
    old: str,
    dst: Store,
    new: str,
    *,
    move: bool,
    if_exists: IfExists = "raise",
    dry_run: bool = False,
    progress: Progress = None,
) -> Transfer:
    """Copy the node at `old` in `src` to `new` in `dst`, and with `move` delete it afterwards; see `ndzarr.copy`."""
    if if_exists not in get_args(IfExists):
        raise ArgumentError(
            f"if_exists is {if_exists!r}, expected 'raise', 'skip' or 'replace'", field="if_exists", found=if_exists
        )
    version = nodes.format_at(src, old)
    if version is None:
        raise nodes.nowhere(src, old)
    check_path(new, version)
    check_apart(src, old, dst, new, "move" if move else "copy")
    nodes.check_spelling(dst, new)
    for store in (dst, src) if move else (dst,):
        if not store.writable:
            raise ReadOnlyError(f"{store.url} is read-only; open it for writing", store=store.url)
    if dry_run:
        plan = _plan(src, old, dst, new, if_exists)
        return plan.told(nodes.nbytes(src, old, plan.found.keys), dry_run=True)
    if if_exists == "replace":
        nodes.stop_unfinished(dst, new)
    with nodes.node_lock(dst, new):
        plan = _plan(src, old, dst, new, if_exists)
        above = nodes.require_ancestors(dst, new, version) if plan.tops else None
        if above is not None:
            raise NodeExistsError(
                f"cannot put {new!r} into {dst.url}: {above or '/'!r} is an array, and arrays hold no members",
                store=dst.url,
                path=new,
            )
        if plan.replaced:
            nodes.delete(dst, new)
        if plan.leftovers:
            nodes.remove_unfinished(dst, new)
        nodes.remove_keys(dst, new, plan.leftovers)
        if move and plan.tops == ("",) and _place(src, old) == _place(dst, old):
            nbytes = nodes.nbytes(src, old, plan.found.keys)
            if nodes.move_at_once(dst, old, new, plan.found):
                with meter(progress, len(plan.found.keys), "move") as done:
                    done(len(plan.found.keys))
                return plan.told(nbytes, dry_run=False)
        with meter(progress, len(plan.found.keys), "move" if move else "copy") as done:
            nbytes = nodes.copy_keys(src, old, dst, new, plan.found, plan.tops, done)
        found = _rest(plan) if move else plan.found
    if move:
        dst.flush()  # what is not safely there may not go here
        nodes.remove_copied(src, old, found, plan.tops)
    return plan.told(nbytes, dry_run=False)


@dataclass(frozen=True, slots=True)
class _Plan:
    src: Store
    old: str
    dst: Store
    new: str
    found: Contents
    tops: tuple[str, ...]
    skipped: tuple[str, ...]
    replaced: bool
    leftovers: tuple[str, ...]

    def told(self, nbytes: int | None, *, dry_run: bool) -> Transfer:
        return Transfer(
            source=(self.src.url, self.old),
            target=(self.dst.url, self.new),
            nodes=tuple(sorted(self.found.nodes)),
            skipped=self.skipped,
            replaced=self.replaced,
            keys=len(self.found.keys),
            nbytes=nbytes,
            dry_run=dry_run,
        )


def _plan(src: Store, old: str, dst: Store, new: str, if_exists: IfExists) -> _Plan:
    found = nodes.contents(src, old)
    if "" not in found.nodes:  # web servers leave names with a dot out of their index pages
        raise StoreError(
            f"cannot list {old or '/'!r} in {src.url}: its own document is there and not among {len(found.keys)} keys listed, "
            "so others may be missing too; write the values to a new array (`rechunk`, `save`)",
            store=src.url,
            path=old,
        )
    there = nodes.kind(dst, new)
    tops: tuple[str, ...] = ("",)
    skipped: tuple[str, ...] = ()
    if there is not None and if_exists == "raise":
        raise NodeExistsError(
            f"there is something at {new or '/'!r} in {dst.url} already; pass if_exists='replace' to replace it with all that "
            "it holds, or 'skip' to leave it",
            store=dst.url,
            path=new,
        )
    if there is not None and if_exists == "skip":
        tops, skipped = _missing(src, old, dst, new)
        found = found.below(tops)
    replaced = there is not None and if_exists == "replace"
    left = () if replaced else tuple(nodes.leftovers(dst, new, found.nodes))
    if left and if_exists != "replace":
        raise NodeExistsError(
            f"{join(new, left[0])!r} in {dst.url} is left from a node that is gone, and would become part of the new one; pass "
            "if_exists='replace' to remove such keys",
            store=dst.url,
            path=new,
            key=join(new, left[0]),
        )
    return _Plan(src, old, dst, new, found, tops, skipped, replaced, left)


def _missing(src: Store, old: str, dst: Store, new: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The outermost nodes that are not there yet, and those that are; groups on both sides are merged."""
    mine, theirs = _groups(src, old), _groups(dst, new)
    tops, skipped = [], []
    for path in sorted(mine, key=lambda path: path.split("/") if path else []):
        if not all(mine[above] and theirs.get(above) for above in nodes.ancestors(path)):
            continue  # it is part of a node that was dealt with as a whole
        if path not in theirs:
            tops.append(path)
        elif not (mine[path] and theirs[path]):
            skipped.append(path)
    return tuple(tops), tuple(skipped)


def _groups(store: Store, path: str) -> dict[str, bool]:
    """Whether it is a group that can be opened, for the node at `path` and each one below, by relative path."""
    try:
        found = {"": isinstance(nodes.find(store, path), GroupMeta)}
    except MetadataError:
        return {"": False}
    if found[""]:
        found.update((name, isinstance(meta, GroupMeta)) for name, meta in nodes.members(store, path, None, None))
    return found


def _rest(plan: _Plan) -> Contents:
    """Copy what was put under the old node since it was listed; all that was copied."""
    done = set(plan.found.keys)
    for _ in range(_ROUNDS):
        now = nodes.contents(plan.src, plan.old).below(plan.tops)
        extra = [key for key in now.keys if key not in done]
        if not extra:
            return plan.found if len(done) == len(plan.found.keys) else Contents(sorted(done), now.nodes)
        rest = Contents(extra, now.nodes)
        nodes.copy_keys(plan.src, plan.old, plan.dst, plan.new, rest, plan.tops, lambda count: None)
        done.update(extra)
    raise StoreError(
        f"cannot move {plan.old or '/'!r} in {plan.src.url}: somebody keeps writing there; it has been copied and not deleted",
        store=plan.src.url,
        path=plan.old,
    )


def check_apart(src: Store, old: str, dst: Store, new: str, what: str) -> None:
    """ArgumentError where the new node would lie in the old one, or the other way round."""

    mine, theirs = _place(src, old), _place(dst, new)
    if mine in {theirs, *(_place(dst, above) for above in nodes.ancestors(new))} or theirs in {
        _place(src, above) for above in nodes.ancestors(old)
    }:
        raise ArgumentError(
            f"cannot {what} {old or '/'!r} in {src.url} to {new or '/'!r} in {dst.url}: one lies in the other; {what} to "
            "another place",
            store=dst.url,
            path=new,
        )


def _place(store: Store, path: str) -> Hashable:
    """What two handles on one node have in common."""
    return store.object_id(join(path, "zarr.json"))
