"""Open, create, save and load: the functions that take a store by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from ndzarr import config, hierarchy, nodes, treeview
from ndzarr._typing import Json, NDArray
from ndzarr.chunkcache import cache_of
from ndzarr.chunking import Access
from ndzarr.creation import ARRAY_KEYWORDS, new_array, new_group, values_of
from ndzarr.dtypes.argument import dtype_argument
from ndzarr.errors import ArgumentError, NodeNotFoundError
from ndzarr.formats.newarray import arguments_of
from ndzarr.group import Group, loaded, open_node
from ndzarr.keys import normalize_path
from ndzarr.metadata import ArrayMeta, GroupMeta
from ndzarr.progress import Progress, is_wanted, meter
from ndzarr.relocation import IfExists, Transfer, transfer
from ndzarr.sources import check_unread
from ndzarr.stores.base import Store
from ndzarr.stores.foreign import located
from ndzarr.stores.registry import resolve
from ndzarr.streaming import pieces, read
from ndzarr.zarray import ZArray

Mode: TypeAlias = Literal["r", "r+", "a", "w", "w-"]
Missing: TypeAlias = config.Missing | None

_MODES = ("r", "r+", "a", "w", "w-")
#: What `create_array` takes besides the store's own options; `open_array` hands these on.
_CREATE = ARRAY_KEYWORDS | {"overwrite"}


def create_array(
    store: Any = None,
    *,
    shape: Any = None,
    dtype: Any = None,
    data: Any = None,
    chunks: Any = "auto",
    shards: Any = None,
    access: Access | None = None,
    compressor: Any = "auto",
    filters: Any = None,
    fill_value: Any = None,
    order: str = "C",
    zarr_format: int | None = None,
    dimension_separator: str | None = None,
    dimension_names: Any = None,
    attributes: Mapping[str, Json] | None = None,
    path: str = "",
    overwrite: bool = False,
    checksum: bool = False,
    allow_pickle: bool = False,
    chunk_cache: int | str | None = None,
    **store_options: Any,
) -> ZArray:
    """A new array, open for reading and writing. Also called `create`.

    store: a path (one that ends in ".zip" is a zip archive), a URL, a Store, any mutable mapping of str to bytes, a store
    of zarr-python 3; None is a new MemoryStore. zarr_format: 2 or 3; None is that of the nearest group above, else 3.
    data: what it is to hold, which also says of which shape and dtype it is where these are not given.

    chunks: "auto" (about 1 MiB decoded), a size such as "16MiB" (at most that), an int or a sequence; -1 takes a whole axis.
    shards (format 3): None, or likewise the lengths of what lies under one key, multiples of the chunk lengths; "auto" is about
    64 MiB. With shards and automatic chunks, chunks are chosen to divide them. access: what chunks and shards that are left to
    choose are good for: "maps" (a step along the time axis at a time), "series" (all steps at one place), "balanced" (either
    touches about as many chunks), None for blocks in the array's proportions. The time axis is the one with such a name in
    dimension_names ("time", "t", "date" ...), else the first. A sequence in place of a length gives the lengths of all chunks
    along an axis, which then may differ (format 3, a rectilinear grid): `chunks=[[10, 20, 5], 4]`; with shards, those of the
    shards.

    dtype: of NumPy, or a name of Zarr's such as "bfloat16". In format 3, `str` is text of any length (StringDType), a byte
    order says how elements are stored (but `z.dtype` is native), and objects need filters=["vlen-bytes"] (bytes) or
    ["vlen-utf8"] (text). fill_value: what chunks never written read as. None leaves it undefined in format 2 (they read as
    zeros); in format 3 it is the dtype's zero, NaT for times.

    compressor: "auto" (zstd at level 1), None, a name, a v2 or v3 dict, a numcodecs object, or a list of those. filters:
    likewise, applied before it. order: "F" stores each chunk with its axes reversed. checksum: have damage to a stored chunk
    noticed. dimension_names: a name or None for each axis. dimension_separator: "/" or "." in the keys of chunks; None is "/"
    in format 3, "." in format 2. chunk_cache: see `open`.

    Raises NodeExistsError where something is, unless `overwrite`; ArgumentError for what the format cannot store.

    >>> import ndzarr
    >>> z = ndzarr.create_array(None, shape=(1000, 1000), dtype="f4", chunks=(100, 100), fill_value="NaN")
    >>> z[5, 5]
    np.float32(nan)
    """
    if data is None and shape is None:
        raise ArgumentError("create_array needs shape=, or data= to take it from", field="shape")
    values = None
    if data is not None:
        values, dtype = values_of(data, dtype, gone=overwrite)
        shape = values.shape if shape is None else shape
    z = new_array(
        resolve(store, "a", **store_options),
        normalize_path(path),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        access=access,
        compressor=compressor,
        filters=filters,
        fill_value=fill_value,
        order=order,
        zarr_format=zarr_format,
        dimension_separator=dimension_separator,
        dimension_names=dimension_names,
        attributes=attributes,
        overwrite=overwrite,
        checksum=checksum,
        allow_pickle=allow_pickle,
        chunk_cache=chunk_cache,
    )
    if values is not None:
        z[...] = values
    return z


create = create_array


def create_group(
    store: Any = None,
    *,
    path: str = "",
    attributes: Mapping[str, Json] | None = None,
    members: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    zarr_format: int | None = None,
    chunk_cache: int | str | None = None,
    **store_options: Any,
) -> Group:
    """A new group, open for reading and writing; NodeExistsError where something is, unless `overwrite`.

    members: a nested mapping of what is to be in it, see `Group.create_hierarchy`. zarr_format: 2 or 3; None is that of the
    nearest group above, else 3. chunk_cache: see `open`.

    >>> import ndzarr
    >>> g = ndzarr.create_group(attributes={"title": "ocean"})
    >>> g.create_array("sst", shape=(4, 6), dtype="f4").shape
    (4, 6)
    """
    cache = cache_of(chunk_cache)
    opened = resolve(store, "a", **store_options)
    where = normalize_path(path)
    meta = hierarchy.create_group(
        opened, where, attributes=attributes, members=members, overwrite=overwrite, zarr_format=zarr_format
    )
    return Group(opened, where, meta, writable=True, chunk_cache=cache)


def open(
    store: Any,
    mode: Mode = "r",
    *,
    path: str = "",
    allow_pickle: bool = False,
    missing: Missing = None,
    consolidated: bool | None = None,
    chunk_cache: int | str | None = None,
    **store_options: Any,
) -> ZArray | Group:
    """The array or group at `path`, which must exist.

    store: what `create_array` takes, or an array or a group of zarr-python 3, whose `path` comes first.
    mode: "r" to read, "r+" or "a" to read and write. allow_pickle: let an array decode pickled objects, which can run any
    code; only for stores that you trust. missing: what a chunk never written does, "fill", "raise" or "mask"; None goes by
    `options`. consolidated: None goes by the consolidated metadata of a group opened for reading where there are any, False
    does not, True refuses a group that has none. chunk_cache: how many bytes of decoded chunks to keep for further reads, a
    number or a text such as "256MiB"; None keeps none. A group's is shared by all that is opened through it.

    Raises NodeNotFoundError when nothing is there, MetadataError when what is there cannot be understood.

    >>> import ndzarr
    >>> store = ndzarr.create_array(ndzarr.MemoryStore(), shape=3).store
    >>> ndzarr.open(store).shape
    (3,)
    """
    _check_mode(mode)
    if mode in ("w", "w-"):
        raise ArgumentError(f"mode {mode!r} creates a node: call create_array, create_group, open_array or open_group")
    store, path = located(store, path)
    opened = resolve(store, mode, **store_options)
    where = normalize_path(path)
    found = open_node(
        opened,
        where,
        writable=mode != "r",
        consolidated=consolidated,
        allow_pickle=allow_pickle,
        missing=missing,
        chunk_cache=cache_of(chunk_cache),
    )
    if found is None:
        raise nodes.nowhere(opened, where)
    return found


def open_array(
    store: Any,
    mode: Mode = "r",
    *,
    path: str = "",
    allow_pickle: bool = False,
    missing: Missing = None,
    chunk_cache: int | str | None = None,
    **options: Any,
) -> ZArray:
    """The array at `path`; modes "a", "w" and "w-" create it with the keywords of `create_array`.

    "r" and "r+" need it to exist, "a" creates it if there is none, "w" replaces what is there, "w-" refuses to.
    chunk_cache: see `open`. Raises NodeNotFoundError, NodeExistsError, or ArgumentError if a group is there.

    >>> import ndzarr
    >>> store = ndzarr.array([1, 2, 3]).store
    >>> z = ndzarr.open_array(store, mode="r+")
    >>> z[0] = 9
    >>> ndzarr.open_array(store)[:]
    array([9, 2, 3])
    """
    _check_mode(mode)
    cache = cache_of(chunk_cache)
    create = {name: options.pop(name) for name in _CREATE & options.keys()}
    store, path = located(store, path)
    opened = resolve(store, mode, **options)
    where = normalize_path(path)
    meta = None if mode in ("w", "w-") else nodes.find(opened, where)
    if mode == "a":
        nodes.check_spelling(opened, where)
    if isinstance(meta, ArrayMeta):
        return ZArray(opened, where, meta, writable=mode != "r", allow_pickle=allow_pickle, missing=missing, chunk_cache=cache)
    if meta is not None:
        raise ArgumentError(f"{where or '/'!r} in {opened.url} is a group, expected an array", path=where)
    if mode in ("r", "r+"):
        nodes.read(opened, where)  # raises
    if "shape" not in create:
        if mode == "a":
            raise NodeNotFoundError(
                f"no array at {where or '/'!r} in {opened.url}; pass shape= and dtype= to create it", path=where
            )
        raise ArgumentError(f"mode {mode!r} creates an array: pass shape= and dtype=", field="shape")
    create["overwrite"] = mode == "w" or create.get("overwrite", False)
    return new_array(opened, where, allow_pickle=allow_pickle, chunk_cache=cache, **create)


def open_group(
    store: Any,
    mode: Mode = "r",
    *,
    path: str = "",
    allow_pickle: bool = False,
    missing: Missing = None,
    attributes: Mapping[str, Json] | None = None,
    zarr_format: int | None = None,
    consolidated: bool | None = None,
    chunk_cache: int | str | None = None,
    **store_options: Any,
) -> Group:
    """The group at `path`; modes "a", "w" and "w-" create it. See `open_array` for the modes and errors, and `open` for
    `consolidated` and `chunk_cache`.

    >>> import ndzarr
    >>> g = ndzarr.open_group(ndzarr.MemoryStore(), mode="a", attributes={"title": "ocean"})
    >>> g.attrs["title"]
    'ocean'
    """
    _check_mode(mode)
    cache = cache_of(chunk_cache)
    store, path = located(store, path)
    opened = resolve(store, mode, **store_options)
    where = normalize_path(path)
    if mode == "a":
        nodes.check_spelling(opened, where)
    if mode not in ("w", "w-"):
        found = open_node(
            opened,
            where,
            writable=mode != "r",
            group=True,
            consolidated=consolidated,
            allow_pickle=allow_pickle,
            missing=missing,
            chunk_cache=cache,
        )
        if isinstance(found, Group):
            return found
        if found is not None:
            raise ArgumentError(f"{where or '/'!r} in {opened.url} is an array, expected a group", path=where)
        if mode != "a":
            raise nodes.nowhere(opened, where)
    made = new_group(opened, where, attributes=attributes, overwrite=mode == "w", zarr_format=zarr_format)
    return Group(opened, where, made, writable=True, allow_pickle=allow_pickle, missing=missing, chunk_cache=cache)


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise ArgumentError(f"mode is {mode!r}, expected one of {', '.join(_MODES)}", field="mode", found=mode)


# ---- arrays from data --------------------------------------------------------------------------------


def array(data: Any, *, store: Any = None, dtype: Any = None, **create: Any) -> ZArray:
    """A new array holding a copy of `data`; keywords as for `create_array`.

    Data that are stored are not loaded whole, unless they may be what `overwrite` is about to delete.

    >>> import ndzarr
    >>> ndzarr.array([[1, 2], [3, 4]], dtype="i2")[:, 1]
    array([2, 4], dtype=int16)
    """
    if isinstance(data, ZArray):  # stored as that is
        given = create.get("shape")
        create = {**_like(data, create), "shape": given}
    return create_array(store, data=np.asarray(None) if data is None else data, **{**create, "dtype": dtype})


def empty(shape: Any, *, dtype: Any = None, store: Any = None, **create: Any) -> ZArray:
    """A new array without a fill value; chunks never written read as zeros (NaT for times in format 3)."""
    create.setdefault("fill_value", None)
    return create_array(store, shape=shape, dtype=dtype, **create)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, store: Any = None, **create: Any) -> ZArray:
    """A new array that reads as `fill_value` everywhere; no chunk is written.

    >>> import ndzarr
    >>> ndzarr.full(3, 7)[:]
    array([7, 7, 7])
    """
    kind = np.asarray(fill_value).dtype if dtype is None else dtype
    return create_array(store, shape=shape, dtype=kind, fill_value=fill_value, **create)


def zeros(shape: Any, *, dtype: Any = None, store: Any = None, **create: Any) -> ZArray:
    """A new array that reads as zeros everywhere; no chunk is written.

    >>> import ndzarr
    >>> ndzarr.zeros((2, 3), dtype="i4")[:]
    array([[0, 0, 0],
           [0, 0, 0]], dtype=int32)
    """
    return create_array(store, shape=shape, dtype=dtype, fill_value=_zero(dtype), **create)


def ones(shape: Any, *, dtype: Any = None, store: Any = None, **create: Any) -> ZArray:
    """A new array that reads as ones everywhere; no chunk is written."""
    return create_array(store, shape=shape, dtype=dtype, fill_value=np.ones((), dtype_argument(dtype))[()], **create)


def _zero(dtype: Any) -> Any:
    kind = dtype_argument(dtype)
    return 0 if kind.kind == "O" else np.zeros((), kind)[()]


def _like(a: Any, create: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(a, "dtype"):
        a = np.asarray(a)
    create.setdefault("dtype", a.dtype)
    if isinstance(a, ZArray):
        found = arguments_of(a.metadata)
        if create.get("access") is not None:
            del found["chunks"], found["shards"]  # which are to be chosen anew
        elif create.get("zarr_format") not in (None, a.zarr_format):
            del found["shards"]  # which the other format may not have
        for name, value in found.items():
            create.setdefault(name, value)
    create.setdefault("shape", a.shape)
    return create


def empty_like(a: Any, **create: Any) -> ZArray:
    """`empty` with the shape and dtype of `a`, and the format, chunks, shards and codecs if it is a ZArray."""
    return empty(**_like(a, create))


def full_like(a: Any, fill_value: Any, **create: Any) -> ZArray:
    """`full` with the shape and dtype of `a`, and the format, chunks, shards and codecs if it is a ZArray."""
    return full(fill_value=fill_value, **_like(a, create))


def zeros_like(a: Any, **create: Any) -> ZArray:
    """`zeros` with the shape and dtype of `a`, and the format, chunks, shards and codecs if it is a ZArray."""
    return zeros(**_like(a, create))


def ones_like(a: Any, **create: Any) -> ZArray:
    """`ones` with the shape and dtype of `a`, and the format, chunks, shards and codecs if it is a ZArray."""
    return ones(**_like(a, create))


# ---- whole stores --------------------------------------------------------------------------------


def save(store: Any, *arrays: Any, progress: Any = None, **named: Any) -> None:
    """Write arrays, replacing what is there: one unnamed as the root array, else a group with "arr_0", "arr_1" and the names.

    progress: True shows a bar on standard error, or a function called with how many bytes of values are written, and of how
    many. Anything else is an array of that name.

    >>> import ndzarr
    >>> data = {}
    >>> ndzarr.save(data, [1, 2], times=[0.5])
    >>> sorted(ndzarr.load(data))
    ['arr_0', 'times']
    """
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        named, progress = {**named, "progress": progress}, None
    if not arrays and not named:
        raise ArgumentError("nothing to save: pass at least one array")
    opened = resolve(store, "w")
    try:
        if len(arrays) == 1 and not named:
            everything = {"": arrays[0]}
        else:
            for data in (*arrays, *named.values()):
                check_unread(data, opened, "")
            new_group(opened, "", overwrite=True)
            everything = {**{f"arr_{n}": a for n, a in enumerate(arrays)}, **named}
        # The sum is wanted before the first is written; without it no array is looked at before its turn.
        total = sum([values_of(data)[0].nbytes for data in everything.values()]) if is_wanted(progress) else 0
        with meter(progress, total, "save") as told:
            for name, data in everything.items():
                _save(data, told if is_wanted(progress) else None, opened, name)
    finally:
        if opened is not store:
            opened.close()


def _save(data: Any, told: Callable[[int], None] | None, store: Store, name: str) -> None:
    gone = False
    if not name:  # in a group nothing is replaced, and `save` has looked
        try:
            check_unread(data, store, name)
        except ArgumentError:
            gone = True  # replaced by itself: that is held in memory meanwhile
    values, kind = values_of(data, gone=gone)
    how = _like(data, {}) if isinstance(data, ZArray) else {}
    z = create_array(store, **{**how, "shape": values.shape, "dtype": kind}, path=name, overwrite=not name)
    if told is None:
        z[...] = values
        return
    for box in pieces(z, config.current().working_memory).boxes():
        block = np.asarray(read(values, box))
        z[box] = block
        told(block.nbytes)


def load(store: Any, *, path: str = "", **store_options: Any) -> NDArray | dict[str, Any]:
    """The array at `path` as NumPy's, or a group as a dict of its members, each loaded likewise.

    >>> import ndzarr
    >>> ndzarr.load(ndzarr.array([1, 2, 3]).store)
    array([1, 2, 3])
    """
    whole: NDArray | dict[str, Any] = loaded(open(store, path=path, **store_options))
    return whole


def copy(
    src: Any,
    dst: Any,
    *,
    path: str = "",
    if_exists: IfExists = "raise",
    dry_run: bool = False,
    progress: Progress = None,
) -> Transfer:
    """Copy an array, or a group with all that it holds, as the bytes it is: nothing is decoded. What was done, in figures.

    src: a ZArray, a Group, or anything that `open` takes. dst: anything that `create_array` takes, and `path` in it; or a
    Group, and `path` in that, by default the node's own name. Files beside the node's own come along, consolidated metadata
    too. For another format, other chunks or codecs, see `convert`.

    if_exists: "raise" raises NodeExistsError where something is; "replace" removes it first, with all that it holds; "skip"
    leaves it, but merges groups: what the one there lacks is copied into it, and its attributes stay. dry_run: say what would
    be done, and write nothing. progress: True counts on standard error, or a function called with how many objects
    are done, and of how many.

    Documents are written last, those of the outermost node last of all, so that a copy cut short is no node; what it leaves is
    in the way of the next copy unless that replaces. ArgumentError where one place lies in the other.

    >>> import ndzarr
    >>> g = ndzarr.create_group(None, members={"a": {"x": [1, 2, 3]}})
    >>> ndzarr.copy(g["a"], g, path="b").keys
    3
    >>> g["b/x"][:].tolist()
    [1, 2, 3]
    """
    return _transfer(src, dst, path, move=False, if_exists=if_exists, dry_run=dry_run, progress=progress)


def move(
    src: Any,
    dst: Any,
    *,
    path: str = "",
    if_exists: IfExists = "raise",
    dry_run: bool = False,
    progress: Progress = None,
) -> Transfer:
    """As `copy`, and then delete what was copied; what was done, in figures.

    Nothing is deleted before all of it is in its new place, and nothing but what was copied: after an exception all data are
    at `src`, or at `dst`, or at both. What is skipped stays where it was, and so do groups that were merged. Let nobody write
    to the node meanwhile: a chunk that is changed after it was copied is lost.
    """
    return _transfer(src, dst, path, move=True, if_exists=if_exists, dry_run=dry_run, progress=progress)


def _transfer(src: Any, dst: Any, path: str, *, move: bool, **how: Any) -> Transfer:
    given = src if isinstance(src, (ZArray, Group)) else open(src, "r+" if move else "r", consolidated=False)
    try:
        if move:
            given._check_writable()
        if isinstance(dst, Group):
            holder, where = dst._place(given, dst, path or None)
            return transfer(given.store, given.path, holder.store, where, move=move, **how)
        store = resolve(dst, "a")
        done = transfer(given.store, given.path, store, normalize_path(path), move=move, **how)
        if isinstance(dst, (str, os.PathLike)):
            store.close()  # an archive is complete when it is closed
        return done
    finally:
        if not isinstance(src, (ZArray, Group)) and given.store is not src:
            given.store.close()


def delete(store: Any, path: str = "", **store_options: Any) -> None:
    """Remove the node at `path` with all that it holds; NodeNotFoundError when there is none.

    >>> import ndzarr
    >>> g = ndzarr.create_group()
    >>> _ = g.create_array("raw", shape=3)
    >>> ndzarr.delete(g.store, "raw")
    >>> "raw" in g
    False
    """
    opened = resolve(store, "r+", **store_options)
    where = normalize_path(path)
    if nodes.kind(opened, where) is None:
        raise NodeNotFoundError(f"no array or group at {where or '/'!r} in {opened.url}", store=opened.url, path=where)
    nodes.delete(opened, where)


def consolidate(store: Any, *, path: str = "", progress: Progress = None, **store_options: Any) -> Group:
    """Gather the metadata of every node under a group into one document of it; the group, opened from that document.

    Writes through ndzarr keep the document true afterwards; other programs' do not. In format 2 it is `.zmetadata`, in format 3
    a field of the group's `zarr.json`. progress: True shows a bar on standard error, or a function called with how many
    documents were read, and of how many. ArgumentError where nodes of both formats lie under the group.
    """
    opened = resolve(store, "r+", **store_options)
    where = normalize_path(path)
    _group_meta(opened, where)
    nodes.consolidate(opened, where, progress)
    found = open_node(opened, where, writable=False, group=True)
    if not isinstance(found, Group):
        raise nodes.nowhere(opened, where)  # somebody has just deleted it
    return found


def _group_meta(store: Store, path: str) -> GroupMeta:
    meta = nodes.read(store, path)
    if not isinstance(meta, GroupMeta):
        raise ArgumentError(f"{path or '/'!r} in {store.url} is an array; only groups are consolidated", path=path)
    return meta


def tree(store: Any, **store_options: Any) -> treeview.Tree:
    """The hierarchy of a group, given as such or by its store.

    >>> import ndzarr
    >>> g = ndzarr.create_group()
    >>> _ = g.create_array("ocean/sst", shape=(4, 6), dtype="f4")
    >>> ndzarr.tree(g.store)
    /
    └── ocean
        └── sst (4, 6) float32
    """
    group = store if isinstance(store, Group) else open(store, **store_options)
    if not isinstance(group, Group):
        raise ArgumentError(f"{group!r} is an array; only groups have a tree")
    return group.tree()
