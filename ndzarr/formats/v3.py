"""Zarr format 3: `zarr.json` documents <-> ArrayMeta and GroupMeta.

https://zarr-specs.readthedocs.io/en/latest/v3/core/ (3.1), and the chunk grids of
https://github.com/zarr-developers/zarr-extensions/tree/main/chunk-grids. Written is what readers of 3.0 take too: objects, not
short-hand names, without `must_understand`. A document that is there already is never written from metadata again but patched,
so that whatever else it says, in whichever spelling, stays as found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ndzarr._typing import Buffer, CodecSpec, DType, Json, Shape
from ndzarr.codecs.bytes import has_order
from ndzarr.codecs.configuration import to_json
from ndzarr.codecs.registry import kind_of
from ndzarr.dtypes.v3 import dtype_from_v3, dtype_to_v3, fill_from_v3, fill_to_v3
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.formats.document import MAX_NODE_DEPTH, dump_node, lengths, located, parse, refuse_nan, too_deep, wrong
from ndzarr.grid import Edges
from ndzarr.keys import KeyEncoding
from ndzarr.metadata import MAX_LENGTH, ArrayMeta, GroupMeta

NODE = "zarr.json"
CONSOLIDATED = "consolidated_metadata"
SHARDING = "sharding_indexed"

_REQUIRED = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs")
_COMMON = ("zarr_format", "node_type", "attributes")
_ARRAY = frozenset((*_COMMON, *_REQUIRED, "storage_transformers", "dimension_names"))
_GROUP = frozenset(_COMMON)
#: Drafts of `rectilinear`, as ZEP 3 had it: https://zarr.dev/zeps/draft/ZEP0003.html
_OLD_GRIDS = ("rectangular", "irregular", "variable")
#: What xarray calls variables and data arrays that have no name; others than it have to read and write them too.
_UNNAMED = ("__values__", "__xarray_dataarray_variable__")
_SEPARATORS = {"default": "/", "v2": "."}

Meta = ArrayMeta | GroupMeta


# ---- reading --------------------------------------------------------------------------------


def read_node(data: Buffer, name: str = NODE) -> Meta:
    """The metadata of a `zarr.json` document; MetadataError names the field that is wrong."""
    return node_from_json(parse(data, name), name)


def node_from_json(document: Mapping[str, Json], name: str = NODE) -> Meta:
    """`read_node` for a document that is parsed already."""
    if located(name, lambda: node_type(document)) == "array":
        return array_from_json(document, name)
    return group_from_json(document, name)


def read_array(data: Buffer, name: str = NODE) -> ArrayMeta:
    """The ArrayMeta of a `zarr.json` document; MetadataError also where it is a group's."""
    return array_from_json(parse(data, name), name)


def array_from_json(document: Mapping[str, Json], name: str = NODE) -> ArrayMeta:
    """`read_array` for a document that is parsed already."""
    return located(name, lambda: _array(document))


def array_like(meta: ArrayMeta, document: Mapping[str, Json], name: str = NODE) -> ArrayMeta:
    """What `array_from_json` gives for a document that differs in its attributes alone from the one that `meta` came from."""
    return meta.described(located(name, lambda: attributes_of(document)), meta.dimension_names)


def read_group(data: Buffer, name: str = NODE) -> GroupMeta:
    """The GroupMeta of a `zarr.json` document; MetadataError also where it is an array's."""
    return group_from_json(parse(data, name), name)


def group_from_json(document: Mapping[str, Json], name: str = NODE) -> GroupMeta:
    """`read_group` for a document that is parsed already.

    `consolidated_metadata` is among `extra` as found: who goes by it checks it, and a damaged one hinders nobody else.
    """
    return located(name, lambda: _group(document))


def node_type(document: Mapping[str, Json]) -> str:
    """ "array" or "group"; MetadataError for a document that says neither or is of another format."""
    found = document.get("zarr_format")
    if type(found) is not int or found != 3:
        raise wrong("zarr_format", found, "expected 3")
    kind = document.get("node_type")
    if kind not in ("array", "group"):
        raise wrong("node_type", kind, "expected 'array' or 'group'")
    return str(kind)


def _group(document: Mapping[str, Json]) -> GroupMeta:
    if node_type(document) != "group":
        raise wrong("node_type", document["node_type"], "expected 'group'")
    extra = {k: v for k, v in document.items() if k not in _GROUP}
    for field, value in extra.items():
        if field != CONSOLIDATED:
            _check_unknown(field, value)
    if extra.get(CONSOLIDATED, ...) is None:  # as zarr-python has written
        del extra[CONSOLIDATED]
    return GroupMeta(attributes_of(document), 3, extra)


def _array(document: Mapping[str, Json]) -> ArrayMeta:
    if node_type(document) != "array":
        raise wrong("node_type", document["node_type"], "expected 'array'")
    for field in _REQUIRED:
        if field not in document:
            raise MetadataError(f"field {field!r} is missing", field=field, expected="present")
    extra = {k: v for k, v in document.items() if k not in _ARRAY and not (k == CONSOLIDATED and v is None)}
    for field, value in extra.items():
        _check_unknown(field, value)
    _check_transformers(document.get("storage_transformers", []))
    shape = lengths(document, "shape")
    data_type = _data_type(document["data_type"])
    dtype = dtype_from_v3(data_type)
    codecs = _codecs(document["codecs"], "codecs", len(shape))
    if isinstance(data_type, dict) and data_type["name"] == "structured":
        # "implementations MUST treat [it] as little-endian if `endian` is absent":
        # https://github.com/zarr-developers/zarr-extensions/tree/main/data-types/structured
        codecs = _with_endian(codecs)
    _check_endian(codecs, dtype)
    return ArrayMeta(
        shape=shape,
        dtype=dtype,
        chunks=_chunks(document["chunk_grid"], shape),
        codecs=codecs,
        fill_value=fill_from_v3(document["fill_value"], dtype, data_type=data_type, endian=endian_of(codecs)),
        key_encoding=_key_encoding(document["chunk_key_encoding"]),
        attributes=attributes_of(document),
        dimension_names=_dimension_names(document.get("dimension_names"), len(shape)),
        zarr_format=3,
        extra=extra,
    )


def _check_unknown(field: str, value: Json) -> None:
    """ "MUST fail to open [where] metadata fields are present which (a) the implementation does not recognize and (b) are not
    explicitly set to `"must_understand": false`"."""
    if not (isinstance(value, dict) and value.get("must_understand") is False):
        raise MetadataError(
            f"unknown field {field!r}: this version does not know what it means, and the document does not say that it may be "
            "ignored (an object with 'must_understand': false)",
            field=field,
            found=value,
            expected="absent",
        )


def _check_transformers(found: Json) -> None:
    if not isinstance(found, list):
        raise wrong("storage_transformers", found, "expected a list")
    for n, item in enumerate(found):
        spec = _extension(item, f"storage_transformers[{n}]")
        raise MetadataError(
            f"field 'storage_transformers' has {spec.name!r}, which this version does not know; it can open arrays without any",
            field="storage_transformers",
            found=found,
            expected=[],
        )


def _extension(found: Json, field: str, *, required: bool = False) -> CodecSpec:
    """The name and configuration of an extension, an object or a short-hand name.

    `required`: `must_understand` may not be false, which is "not supported for the following extension points: data type, chunk
    grid, and chunk key encoding" (core, "Extension definition").
    """
    if isinstance(found, str) and found:
        return CodecSpec(found)
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not found["name"]:
        raise wrong(field, found, "expected a name, or an object with a 'name'")
    unknown = sorted(set(found) - {"name", "configuration", "must_understand"})
    if unknown:
        raise wrong(field, found, f"with the unknown member {unknown[0]!r}; expected 'name' and 'configuration'")
    must = found.get("must_understand", True)
    if type(must) is not bool:
        raise wrong(f"{field}.must_understand", must, "expected true or false")
    if required and not must:
        raise wrong(f"{field}.must_understand", must, "expected true: nobody can read the array without it")
    configuration = found.get("configuration", {})
    if not isinstance(configuration, dict):
        raise wrong(f"{field}.configuration", configuration, "expected an object")
    return CodecSpec(found["name"], configuration)


def _data_type(found: Json) -> Json:
    """A data type in the form that `dtypes.v3` reads: a name, or an object without `must_understand`."""
    _extension(found, "data_type", required=True)
    return {k: v for k, v in found.items() if k != "must_understand"} if isinstance(found, dict) else found


def _members(spec: CodecSpec, field: str, known: Sequence[str]) -> None:
    for member in spec.configuration:
        if member not in known:
            raise wrong(f"{field}.configuration", dict(spec.configuration), f"with the unknown member {member!r}")


def _chunks(found: Json, shape: Shape) -> tuple[int | Edges, ...]:
    spec = _extension(found, "chunk_grid", required=True)
    if spec.name in _OLD_GRIDS:
        raise wrong("chunk_grid", spec.name, "a draft that was never registered; expected 'regular' or 'rectilinear'")
    if spec.name not in ("regular", "rectilinear"):
        raise wrong("chunk_grid", spec.name, "expected 'regular' or 'rectilinear'")
    if spec.name == "rectilinear":
        return _rectilinear(spec, shape)
    field = "chunk_grid.configuration.chunk_shape"
    _members(spec, "chunk_grid", ("chunk_shape",))
    chunks = spec.configuration.get("chunk_shape")
    if not isinstance(chunks, list) or not all(type(n) is int and 0 <= n <= MAX_LENGTH for n in chunks):
        raise wrong(field, chunks, "expected a list of positive integers")
    if len(chunks) != len(shape):
        raise wrong(field, chunks, f"expected {len(shape)} lengths, as many as shape has")
    if any(c == 0 and n > 0 for c, n in zip(chunks, shape, strict=True)):
        raise wrong(field, chunks, "expected positive integers, 0 only where the array has no elements either")
    return tuple(chunks)


def _rectilinear(spec: CodecSpec, shape: Shape) -> tuple[int | Edges, ...]:
    """https://github.com/zarr-developers/zarr-extensions/tree/main/chunk-grids/rectilinear"""
    field = "chunk_grid.configuration.chunk_shapes"
    _members(spec, "chunk_grid", ("kind", "chunk_shapes"))
    kind = spec.configuration.get("kind")
    if kind != "inline":
        raise wrong("chunk_grid.configuration.kind", kind, "expected 'inline'")
    axes = spec.configuration.get("chunk_shapes")
    if not isinstance(axes, list) or len(axes) != len(shape):
        raise wrong(field, axes, f"expected a list of {len(shape)} entries, as many as shape has")
    return tuple(_axis(found, n, f"{field}[{axis}]") for axis, (found, n) in enumerate(zip(axes, shape, strict=True)))


def _axis(found: Json, length: int, field: str) -> int | Edges:
    if type(found) is int and 0 < found <= MAX_LENGTH:
        return found
    if not isinstance(found, list):
        raise wrong(field, found, "expected a positive integer or a list")
    runs: list[tuple[int, int]] = []
    for item in found:
        size, count = item if isinstance(item, list) and len(item) == 2 else (item, 1)
        if not (type(size) is int and 0 < size <= MAX_LENGTH and type(count) is int and count > 0):
            raise wrong(field, found, f"expected positive integers and pairs of them, found {item!r}")
        if runs and runs[-1][0] == size:
            count += runs.pop()[1]
        runs.append((size, count))
    reach = sum(size * count for size, count in runs)
    if reach < length:
        raise wrong(field, found, f"which reaches {reach} elements far, expected at least {length}")
    # No chunk at all: legal where the axis has no elements. Any length does as well.
    return Edges(tuple(runs)) if runs else 1


def _key_encoding(found: Json) -> KeyEncoding:
    spec = _extension(found, "chunk_key_encoding", required=True)
    if spec.name not in _SEPARATORS:
        raise wrong("chunk_key_encoding", spec.name, "expected 'default' or 'v2'")
    _members(spec, "chunk_key_encoding", ("separator",))
    separator = spec.configuration.get("separator", _SEPARATORS[spec.name])
    if separator not in ("/", "."):
        raise wrong("chunk_key_encoding.configuration.separator", separator, "expected '/' or '.'")
    return KeyEncoding(spec.name, separator)


def _dimension_names(found: Json, ndim: int) -> tuple[str | None, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or not all(name is None or isinstance(name, str) for name in found):
        raise wrong("dimension_names", found, "expected a list of strings and nulls")
    if len(found) != ndim:
        raise wrong("dimension_names", found, f"expected {ndim} names, as many as shape has lengths")
    return tuple(found)


def attributes_of(document: Mapping[str, Json]) -> dict[str, Json]:
    """The attributes that a document holds; MetadataError when they are no object."""
    found = document.get("attributes", {})
    if not isinstance(found, dict):
        raise wrong("attributes", found, "expected an object")
    return found


# ---- codecs --------------------------------------------------------------------------------


def _codecs(found: Json, field: str, ndim: int) -> tuple[CodecSpec, ...]:
    """A chain: array->array codecs, one array->bytes, bytes->bytes codecs (core, "Codecs"). Those inside a shard are checked
    likewise, and come out as objects."""
    if not isinstance(found, list) or not found:
        raise wrong(field, found, "expected a list of at least one codec")
    specs = []
    serializer = None
    for n, item in enumerate(found):
        place = f"{field}[{n}]"
        spec = _extension(item, place)
        try:
            kind = kind_of(spec.name)
        except ArgumentError as error:
            raise MetadataError(
                f"field {place!r}: {error}; without it no chunk can be decoded", field=place, codec=spec.name, found=spec.name
            ) from error
        if kind != "bytes->bytes" and serializer is not None:
            raise MetadataError(
                f"field {place!r}: codec {spec.name!r} takes an array and cannot follow {serializer!r}, which gives bytes",
                field=place,
                codec=spec.name,
                found=spec.name,
            )
        if kind == "bytes->bytes" and serializer is None:
            raise MetadataError(
                f"field {place!r}: codec {spec.name!r} takes bytes; expected a codec before it that turns the array into "
                "bytes, as 'bytes' does",
                field=place,
                codec=spec.name,
                found=spec.name,
            )
        serializer = spec.name if kind == "array->bytes" else serializer
        specs.append(_modern(spec, place, ndim))
    if serializer is None:
        raise wrong(field, found, "expected one codec that turns the array into bytes, as 'bytes' does")
    return tuple(specs)


def _modern(spec: CodecSpec, place: str, ndim: int) -> CodecSpec:
    """A codec as the specification now has it, with the chains inside it."""
    configuration = dict(spec.configuration)
    if spec.name == "transpose" and configuration.get("order") in ("C", "F"):
        # "no longer supports the constants": https://zarr-specs.readthedocs.io/en/latest/v3/codecs/transpose/
        axes = list(range(ndim))
        configuration["order"] = axes if configuration["order"] == "C" else axes[::-1]
    if spec.name == SHARDING:
        for member, axes_inside in (("codecs", ndim), ("index_codecs", ndim + 1)):
            if member in configuration:
                chain = _codecs(configuration[member], f"{place}.configuration.{member}", axes_inside)
                configuration[member] = [to_json(inner) for inner in chain]
    return CodecSpec(spec.name, configuration)


def _inside(spec: CodecSpec) -> tuple[CodecSpec, ...] | None:
    """The chain of the chunks inside a shard, None for any codec but a shard's; of a chain that was checked or made here."""
    if spec.name != SHARDING:
        return None
    return tuple(CodecSpec(c["name"], c.get("configuration", {})) for c in spec.configuration.get("codecs", ()))


def leaves(codecs: Sequence[CodecSpec]) -> Iterator[CodecSpec]:
    """The codecs that each chunk goes through in the end: those of a shard in place of the shard, however deep."""
    for spec in codecs:
        inner = _inside(spec)
        if inner is None:
            yield spec
        else:
            yield from leaves(inner)


def endian_of(codecs: Sequence[CodecSpec]) -> str | None:
    """The byte order of stored elements, "little" or "big", None where the chain does not say."""
    for spec in leaves(codecs):
        if _plain_name(spec) in ("bytes", "endian"):
            found = spec.configuration.get("endian")
            return found if isinstance(found, str) else None
    return None


def object_codec(codecs: Sequence[CodecSpec]) -> str | None:
    """ "vlen-utf8" or "vlen-bytes" where the chain has it: what its objects are."""
    return next((_plain_name(s) for s in leaves(codecs) if _plain_name(s) in ("vlen-utf8", "vlen-bytes")), None)


def _plain_name(spec: CodecSpec) -> str:
    return spec.name.removeprefix("numcodecs.")


def _check_endian(codecs: Sequence[CodecSpec], dtype: DType) -> None:
    """ "[endian is] required for data types for which endianness is applicable":
    https://zarr-specs.readthedocs.io/en/latest/v3/codecs/bytes/"""
    for n, spec in enumerate(codecs):
        inner = _inside(spec)
        if inner is not None:
            _check_endian(inner, dtype)
        elif spec.name in ("bytes", "endian") and spec.configuration.get("endian") is None and has_order(dtype):
            raise MetadataError(
                f"field 'codecs': codec {spec.name!r} has no 'endian', which elements of dtype {dtype} need: 'little' or 'big'",
                field=f"codecs[{n}]",
                codec=spec.name,
                found=dict(spec.configuration),
            )
        elif spec.name != "transpose":
            return  # from here on, elements may be others than the array's


def _with_endian(codecs: tuple[CodecSpec, ...]) -> tuple[CodecSpec, ...]:
    changed = []
    for spec in codecs:
        configuration = dict(spec.configuration)
        inner = _inside(spec)
        if inner is not None and "codecs" in configuration:
            configuration["codecs"] = [to_json(c) for c in _with_endian(inner)]
        elif spec.name in ("bytes", "endian"):
            configuration.setdefault("endian", "little")
        changed.append(CodecSpec(spec.name, configuration))
    return tuple(changed)


# ---- writing --------------------------------------------------------------------------------


def array_to_json(meta: ArrayMeta) -> dict[str, Json]:
    """The `zarr.json` document of an array; ArgumentError for what format 3 cannot say."""
    data_type = dtype_to_v3(meta.dtype, object_codec(meta.codecs))
    document: dict[str, Json] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(meta.shape),
        "data_type": data_type,
        "chunk_grid": _grid_to_json(meta.chunks),
        "chunk_key_encoding": {
            "name": meta.key_encoding.name,
            "configuration": {"separator": meta.key_encoding.separator},
        },
        "fill_value": fill_to_v3(meta.fill_value, meta.dtype, data_type),
        "codecs": [to_json(spec) for spec in meta.codecs],
        "attributes": dict(meta.attributes),
    }
    if meta.dimension_names is not None:
        document["dimension_names"] = list(meta.dimension_names)
    document.update(meta.extra)
    return document


def group_to_json(meta: GroupMeta) -> dict[str, Json]:
    """The `zarr.json` document of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(meta.attributes), **meta.extra}


def node_to_json(meta: Meta) -> dict[str, Json]:
    """The `zarr.json` document of a node that is new.

    ArgumentError, naming the attribute, for NaN and for what nests too deep to be repeated in consolidated metadata.
    """
    document = array_to_json(meta) if isinstance(meta, ArrayMeta) else group_to_json(meta)
    refuse_nan(document["attributes"], "attributes")
    _check_depth(document)
    return document


def write(document: Mapping[str, Json]) -> bytes:
    """The bytes of a `zarr.json` document."""
    return dump_node(document)


def _check_depth(document: Mapping[str, Json]) -> None:
    if too_deep(document, MAX_NODE_DEPTH):
        raise ArgumentError(
            f"attributes nest too deep: a 'zarr.json' may nest {MAX_NODE_DEPTH} deep, so that it can be consolidated and read "
            "again",
            field="attributes",
        )


def _grid_to_json(chunks: Sequence[int | Edges]) -> dict[str, Json]:
    if all(isinstance(chunk, int) for chunk in chunks):
        # Old documents have 0 where the axis has no elements; no new one may.
        return {"name": "regular", "configuration": {"chunk_shape": [chunk or 1 for chunk in chunks]}}
    shapes = [
        [size if count == 1 else [size, count] for size, count in chunk.runs] if isinstance(chunk, Edges) else chunk or 1
        for chunk in chunks
    ]
    return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": shapes}}


# ---- patching --------------------------------------------------------------------------------


def with_attributes(document: Mapping[str, Json], attributes: Mapping[str, Json]) -> dict[str, Json]:
    """The document with other attributes, all else as found.

    ArgumentError, naming it, for a NaN in an attribute that is not the very object that `document` holds: what others have
    written may stay.
    """
    before = document.get("attributes", {})
    for name, value in attributes.items():
        if name not in before or before[name] is not value:
            refuse_nan(value, f"attributes.{name}")
    changed = {**document, "attributes": dict(attributes)}
    _check_depth(changed)
    return changed


def with_shape(document: Mapping[str, Json], meta: ArrayMeta) -> dict[str, Json]:
    """An array's document with the shape of `meta`, and its chunk grid where that is another; all else as found."""
    shape = list(meta.shape)
    try:
        kept = _chunks(document.get("chunk_grid"), meta.shape) == meta.chunks
    except MetadataError:  # it no longer reaches the end
        kept = False
    changed: dict[str, Json] = {**document, "shape": shape}
    if not kept:
        changed["chunk_grid"] = _grid_to_json(meta.chunks)
    return changed


def check_path(path: str) -> None:
    """Raise ArgumentError for a path of which a segment cannot be a node's name in format 3 (core, "Node names")."""
    for name in path.split("/") if path else ():
        if not name.strip("."):
            reason = "it has nothing but dots"
        elif name.startswith("__") and name not in _UNNAMED:
            reason = "names that start with '__' are reserved"
        elif name == NODE:
            reason = "that is the name of a metadata document"
        else:
            continue
        raise ArgumentError(f"{name!r} in {path!r} cannot be a node's name in format 3: {reason}", path=path, found=name)
