"""New nodes: arguments, checked and completed, -> metadata in a store."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ndzarr import nodes
from ndzarr._typing import DType, Json, Shape
from ndzarr.chunkcache import ChunkCache, cache_of
from ndzarr.chunking import Access, access_argument, chunk_lengths, shard_lengths, time_axis
from ndzarr.codecs.argument import normalize_all
from ndzarr.dtypes.argument import dtype_argument
from ndzarr.errors import ArgumentError, MetadataError, NodeExistsError, ReadOnlyError
from ndzarr.formats.document import attribute_mapping
from ndzarr.formats.newarray import NEWEST, NewArray, check_format, check_path, inner_shape, make_array, make_group
from ndzarr.grid import TARGET_NBYTES, Edges
from ndzarr.metadata import ArrayMeta, GroupMeta, shape_argument
from ndzarr.sizes import nbytes_of
from ndzarr.stores.base import Store
from ndzarr.streaming import is_operand
from ndzarr.zarray import ZArray

#: What `shards="auto"` aims at for one decoded shard, in bytes: few objects, and each can still be rewritten in memory.
SHARD_NBYTES = 64 << 20


#: What says how an array is made, wherever it is made.
ARRAY_KEYWORDS = frozenset(
    "shape dtype chunks shards access compressor filters fill_value order zarr_format dimension_separator dimension_names "
    "attributes checksum".split()
)


def new_array(store: Store, path: str, *, overwrite: bool = False, **create: Any) -> ZArray:
    """A new array at `path`, its ancestors made groups; see `ndzarr.create_array`."""
    array = planned_array(store, path, **create)
    put_node(store, path, array._meta, overwrite=overwrite)
    return array


def values_of(data: Any, dtype: Any = None, *, gone: bool = False) -> tuple[Any, DType]:
    """What a new array is to hold, and its dtype: what is stored as it is, to be read block by block, all else in memory.

    gone: whether what is stored may be deleted before it is read.
    """
    kind = None if dtype is None else dtype_argument(dtype)
    if is_operand(data) and not gone and not data.dtype.hasobject and data.dtype.kind != "T":
        return data, data.dtype if kind is None else kind
    values = np.asarray(data, kind)
    return values, values.dtype


def planned_array(
    store: Store,
    path: str,
    *,
    shape: Any,
    dtype: Any = None,
    chunks: Any = "auto",
    shards: Any = None,
    access: Any = None,
    compressor: Any = "auto",
    filters: Any = None,
    fill_value: Any = None,
    order: str = "C",
    zarr_format: int | None = None,
    dimension_separator: str | None = None,
    dimension_names: Any = None,
    attributes: Mapping[str, Json] | None = None,
    checksum: bool = False,
    allow_pickle: bool = False,
    chunk_cache: Any = None,
) -> ZArray:
    """The array that `new_array` would make, before anything of it is written."""
    version = format_for(store, path, zarr_format)
    check_path(path, version)
    # What cannot be stored, or read again as it is, is refused before anything is written.
    lengths = shape_argument(shape)
    kind = dtype_argument(dtype)
    if order not in ("C", "F"):
        raise ArgumentError(f"order is {order!r}, expected 'C' or 'F'", field="order", found=order)
    if dimension_separator not in (None, ".", "/"):
        raise ArgumentError(
            f"dimension_separator is {dimension_separator!r}, expected '.' or '/'",
            field="dimension_separator",
            found=dimension_separator,
        )
    auto = isinstance(compressor, str) and compressor == "auto"
    steps = normalize_all(filters)
    packers = None if auto else normalize_all(compressor)
    names = _names(dimension_names)
    inside = inner_shape((*steps, *(packers or ())))
    inner, outer = grid_arguments(chunks, shards, lengths, kind, inside, access=access, dimension_names=names)
    meta = make_array(
        NewArray(
            shape=lengths,
            dtype=kind,
            chunks=inner,
            shards=outer,
            filters=steps,
            compressor=packers,
            fill_value=fill_value,
            order=order,
            separator=dimension_separator,
            dimension_names=names,
            attributes={} if attributes is None else attribute_mapping(attributes),
            checksum=bool(checksum),
        ),
        version,
    )
    try:
        cache = chunk_cache if isinstance(chunk_cache, ChunkCache) else cache_of(chunk_cache)  # a group's, or a caller's wish
        return ZArray(store, path, meta, writable=True, allow_pickle=allow_pickle, chunk_cache=cache)
    except MetadataError as error:  # here the caller said it, not a document
        raise ArgumentError(str(error), codec=error.codec, field=error.field, found=error.found) from error


def put_node(store: Store, path: str, meta: ArrayMeta | GroupMeta, *, overwrite: bool = False, own: str = "") -> None:
    """Write the documents of a new node, its ancestors made groups; NodeExistsError where something is, unless `overwrite`.

    own: see `make_room`.
    """
    nodes.check_spelling(store, path)  # before the lock makes the directory
    if overwrite:
        nodes.stop_unfinished(store, path)
    with nodes.node_lock(store, path):
        make_room(store, path, overwrite, meta.zarr_format, own)
        nodes.write(store, path, meta)


def new_group(
    store: Store,
    path: str,
    *,
    attributes: Mapping[str, Json] | None = None,
    overwrite: bool = False,
    zarr_format: int | None = None,
) -> GroupMeta:
    """Make a group at `path`, its ancestors too; its metadata."""
    version = format_for(store, path, zarr_format)
    meta = make_group(path, {} if attributes is None else attribute_mapping(attributes), version)
    put_node(store, path, meta, overwrite=overwrite)
    return meta


def format_for(store: Store, path: str, zarr_format: int | None) -> int:
    """The format of a new node: the caller's choice, else that of the nearest node above, else the newest."""
    check_format(zarr_format)
    return zarr_format or nodes.format_above(store, path) or NEWEST


def check_free(store: Store, path: str, version: int, *, overwrite: bool) -> str | None:
    """What kind of node is at `path`, None where none is; ReadOnlyError and NodeExistsError where none can be made there."""
    if not store.writable:
        raise ReadOnlyError(f"{store.url} is read-only; open it for writing", store=store.url)
    found = nodes.kind(store, path, version, likely=overwrite)
    if found is not None:
        nodes.check_spelling(store, path)  # it may have been made meanwhile
    if found is not None and not overwrite:
        what = {"array": "an array", "group": "a group"}.get(found, "a damaged 'zarr.json'")
        raise NodeExistsError(
            f"there is {what} at {path or '/'!r} in {store.url} already; pass overwrite=True to replace it with all that it "
            "holds",
            store=store.url,
            path=path,
        )
    return found


def make_room(store: Store, path: str, overwrite: bool, version: int, own: str = "") -> None:
    """See to it that nothing is at `path` and that its ancestors are groups; the caller holds the node's lock.

    own: the folder of the caller's notes on work whose node this is; others' is something, too, and goes with `overwrite`.
    """
    found = check_free(store, path, version, overwrite=overwrite)
    above = nodes.require_ancestors(store, path, version)
    if above is not None:
        raise NodeExistsError(
            f"cannot create {path!r} in {store.url}: {above or '/'!r} is an array, and arrays hold no members",
            store=store.url,
            path=path,
        )
    if found is not None:
        nodes.delete(store, path)
    elif overwrite:
        nodes.remove_unfinished(store, path, own)
        nodes.delete_remains(store, path)
    else:
        nodes.check_finished(store, [path], own)


def _names(dimension_names: Any) -> tuple[str | None, ...] | None:
    if dimension_names is None:
        return None
    if isinstance(dimension_names, str) or not hasattr(dimension_names, "__iter__"):
        raise ArgumentError(
            f"dimension_names must be a sequence of strings, found {dimension_names!r}", field="dimension_names"
        )
    return tuple(dimension_names)


# ---- chunks and shards --------------------------------------------------------------------------------


def grid_arguments(
    chunks: Any,
    shards: Any,
    shape: Shape,
    dtype: DType,
    inside: Shape | None = None,
    *,
    access: Any = None,
    dimension_names: Sequence[str | None] | None = None,
) -> tuple[tuple[int | Edges, ...], tuple[int | Edges, ...] | None]:
    """The lengths of chunks, and those of shards where there are any.

    `inside`: chunk lengths of a shard that the caller's own codecs make; `chunks` are then the lengths of the shard. Where only
    one of the two is left to choose, it is chosen so that whole chunks make up a shard. `access`: how what is chosen is shaped;
    ArgumentError where nothing is.
    """
    way, axis = access_argument(access), time_axis(dimension_names)
    size, shard_size = _size(chunks, TARGET_NBYTES), _size(shards, SHARD_NBYTES)
    sharded = not (shards is None or shards is False)
    if way is not None and size is None and (shard_size is None or not sharded):
        raise ArgumentError(
            f"access={access!r} chooses the lengths of chunks, and chunks={chunks!r} gives them; pass one of the two, or a "
            "size such as chunks='16MiB'",
            field="access",
            found=access,
        )
    if not sharded:
        if inside is not None and size is not None and len(inside) == len(shape):
            nbytes = SHARD_NBYTES if _is_auto(chunks) else size
            return shard_lengths(shape, inside, dtype.itemsize, nbytes, way, axis), None
        return _chosen(chunks, shape, dtype, size, way, axis), None
    if shard_size is not None:
        inner = _chosen(chunks, shape, dtype, size, way, axis)
        return inner, shard_lengths(shape, _regular(inner), dtype.itemsize, shard_size, way, axis)
    if size is not None:
        given = lengths_argument(shards, shape, "shards")
        # Whole chunks of any length fit a shard that takes a whole axis.
        auto = chunk_lengths(shape, dtype.itemsize, size, way, axis)
        near = _divisor if _is_auto(chunks) and way is None else _divisor_below
        inner = tuple(c if s == -1 else near(s, c) for s, c in zip(given, auto, strict=True))
        return inner, tuple(_whole(s, n, c) for s, n, c in zip(given, shape, auto, strict=True))
    inner = chunks_argument(chunks, shape, dtype)
    given = lengths_argument(shards, shape, "shards")
    return inner, tuple(_whole(s, n, c) for s, n, c in zip(given, shape, _regular(inner), strict=True))


def _chosen(
    chunks: Any, shape: Shape, dtype: DType, size: int | None, access: Access | None, axis: int
) -> tuple[int | Edges, ...]:
    if size is None:
        return chunks_argument(chunks, shape, dtype)
    return chunk_lengths(shape, dtype.itemsize, size, access, axis)


def _size(argument: Any, auto: int) -> int | None:
    """The bytes of a size or of "auto"; None for lengths, and for what is neither, which `lengths_argument` refuses."""
    if _is_auto(argument):
        return auto
    if not isinstance(argument, str) or not argument.strip()[-1:].isalpha():  # a number in quotes is no size
        return None
    try:
        return nbytes_of(argument, "chunks")
    except ArgumentError:
        return None


def chunks_argument(chunks: Any, shape: Shape, dtype: DType) -> tuple[int | Edges, ...]:
    """Chunk lengths: "auto" (or True, None) aims at 1 MiB, a text such as "16MiB" at that, False is one chunk, an int is for
    every axis; -1 is a whole axis, a sequence in place of an int the lengths of all chunks of an axis."""
    size = _size(chunks, TARGET_NBYTES)
    if size is not None:
        return chunk_lengths(shape, dtype.itemsize, size)
    if chunks is False:
        return tuple(max(1, n) for n in shape)
    given = lengths_argument(chunks, shape, "chunks")
    return tuple(_whole(c, n, 1) for c, n in zip(given, shape, strict=True))


def _is_auto(argument: Any) -> bool:
    return argument is None or argument is True or (isinstance(argument, str) and argument == "auto")


def lengths_argument(argument: Any, shape: Shape, field: str) -> tuple[int | Edges, ...]:
    """Lengths by axis, -1 for a whole one: an int for every axis, or a sequence with an int, None or a sequence for each."""
    try:
        found: tuple[int | Edges, ...] = (operator.index(argument),) * len(shape)
    except TypeError:
        try:
            found = tuple(_axis_argument(item) for item in argument)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"{field} must be 'auto', a size such as '16MiB', an int, or a sequence of ints, or of the lengths along each "
                f"axis, found {argument!r}: "
                f"{error}",
                field=field,
                found=argument,
            ) from error
    if len(found) != len(shape):
        raise ArgumentError(f"{field} {found!r} have {len(found)} axes, the array has {len(shape)}", field=field, found=found)
    if any(c < 1 and c != -1 for c in found if isinstance(c, int)):
        raise ArgumentError(f"{field} {found!r} must be at least 1 on every axis", field=field, found=found)
    for axis, (edges, n) in enumerate(zip(found, shape, strict=True)):
        if isinstance(edges, Edges) and (edges.total < n or not edges.runs):
            raise ArgumentError(
                f"{field} along axis {axis} add up to {edges.total}, expected at least {n}, the length of the axis",
                field=field,
                found=edges.total,
                expected=n,
            )
    return found


def _axis_argument(item: Any) -> int | Edges:
    if item is None:
        return -1
    if isinstance(item, Edges):
        return item
    try:
        return operator.index(item)
    except TypeError:
        if isinstance(item, str):
            raise
        return Edges.of([operator.index(length) for length in item])


def _whole(length: int | Edges, n: int, unit: int) -> int | Edges:
    """-1 as the least multiple of `unit` that takes a whole axis; all else as it is."""
    return max(1, -(-n // unit)) * unit if length == -1 else length


def _regular(chunks: Sequence[int | Edges]) -> Shape:
    if not all(isinstance(chunk, int) for chunk in chunks):
        raise ArgumentError(
            "chunks inside shards are all alike; pass shards of different lengths instead, each a multiple of the chunk's",
            field="chunks",
        )
    return tuple(chunk for chunk in chunks if isinstance(chunk, int))


def auto_shards(shape: Shape, chunks: Shape, itemsize: int) -> Shape:
    """Shards of whole chunks and about 64 MiB, as near to the array's own proportions as `auto_chunks` comes.

    >>> auto_shards((10_000, 10_000), (512, 256), 8)
    (2560, 2560)
    """
    return shard_lengths(shape, chunks, itemsize, SHARD_NBYTES)


def _divisor(shard: int | Edges, near: int) -> int:
    """The divisor of a shard's length, or of all of them, that is nearest to `near` as a ratio."""
    length = math.gcd(*(size for size, _ in shard.runs)) if isinstance(shard, Edges) else shard
    return min(_divisors(length), key=lambda k: (max(k, near) / min(k, near), k))


def _divisor_below(shard: int | Edges, most: int) -> int:
    """The largest divisor of a shard's length, or of all of them, that is at most `most`."""
    length = math.gcd(*(size for size, _ in shard.runs)) if isinstance(shard, Edges) else shard
    return max(k for k in _divisors(length) if k <= most)


def _divisors(length: int) -> list[int]:
    small = [k for k in range(1, min(math.isqrt(length), 1 << 16) + 1) if length % k == 0]
    return [*small, *(length // k for k in small)]
