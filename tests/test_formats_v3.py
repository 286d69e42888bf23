"""`zarr.json` documents: every form that is right, every field absent or wrong, and what must stay as found."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr
from ndzarr._typing import CodecSpec
from ndzarr.formats import consolidated, v3
from ndzarr.grid import Edges
from ndzarr.keys import KeyEncoding
from ndzarr.metadata import ArrayMeta, GroupMeta

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
GOOD: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [10, 20],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 7]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": "NaN",
    "codecs": [BYTES, {"name": "zstd", "configuration": {"level": 1}}],
    "attributes": {"units": "K"},
    "dimension_names": ["x", None],
}
GROUP: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {"a": [1]}}


def read(document: Any) -> Any:
    return v3.read_node(json.dumps(document).encode(), "a/zarr.json")


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def grid(**configuration: Any) -> dict[str, Any]:
    return {"name": "rectilinear", "configuration": {"kind": "inline", **configuration}}


def shard(*codecs: Any, shape: Any = (5, 7), **more: Any) -> dict[str, Any]:
    return {"name": "sharding_indexed", "configuration": {"chunk_shape": list(shape), "codecs": list(codecs), **more}}


def test_good() -> None:
    meta = read(GOOD)
    assert (meta.shape, meta.chunks, meta.dtype, meta.order, meta.zarr_format) == ((10, 20), (5, 7), "f4", "C", 3)
    assert meta.codecs == (CodecSpec("bytes", {"endian": "little"}), CodecSpec("zstd", {"level": 1}))
    assert np.isnan(meta.fill_value)
    assert meta.key_encoding == KeyEncoding("default", "/")
    assert meta.dimension_names == ("x", None)
    assert meta.attributes == {"units": "K"}
    assert meta.extra == {}
    assert read(GROUP) == GroupMeta({"a": [1]}, 3)


ROUND = [
    GOOD,
    changed(shape=[], chunk_grid={"name": "regular", "configuration": {"chunk_shape": []}}, dimension_names=[]),
    changed(shape=[2**62, 3], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2**62, 1]}}),
    changed(shape=[0, 4]),
    changed(chunk_grid=grid(chunk_shapes=[[3, [2, 3], 1], 6])),
    changed(chunk_grid=grid(chunk_shapes=[[[1, 10**18], 7], [[10**17, 10**30]]])),
    changed(chunk_key_encoding={"name": "v2", "configuration": {"separator": "."}}),
    changed(chunk_key_encoding={"name": "v2", "configuration": {"separator": "/"}}),
    changed(chunk_key_encoding={"name": "default", "configuration": {"separator": "."}}),
    changed(dimension_names=["", ""]),
    changed(dimension_names=["same", "same"]),
    changed(somebody={"must_understand": False, "name": "x", "more": [1]}),
    changed(codecs=[{"name": "transpose", "configuration": {"order": [1, 0]}}, BYTES]),
    changed(codecs=[shard({"name": "transpose", "configuration": {"order": [1, 0]}}, BYTES, {"name": "crc32c"})]),
    changed(codecs=[shard(shard(BYTES, shape=(1, 7)))]),
    changed(data_type="string", fill_value="x", codecs=[{"name": "vlen-utf8"}]),
    changed(data_type="bytes", fill_value="AAE=", codecs=[{"name": "vlen-bytes"}]),
    changed(data_type="r16", fill_value=[1, 2], codecs=[{"name": "bytes"}]),
    changed(data_type="int8", fill_value=-3, codecs=[{"name": "bytes"}]),
    changed(data_type="complex64", fill_value=["NaN", "-Infinity"]),
    changed(fill_value="0x7fc00001"),
]


@pytest.mark.parametrize("document", ROUND, ids=lambda d: json.dumps(d)[:40])
def test_round_trip(document: dict[str, Any]) -> None:
    document = {k: v for k, v in document.items() if not (k == "dimension_names" and v is None)}
    meta = read(document)
    assert isinstance(meta, ArrayMeta)
    assert v3.array_to_json(meta) == document
    assert json.loads(v3.write(v3.node_to_json(meta))) == document
    again = read(json.loads(v3.write(v3.node_to_json(meta))))
    assert np.asarray(again.fill_value).tobytes() == np.asarray(meta.fill_value).tobytes()
    assert {**dataclass_dict(again), "fill_value": 0} == {**dataclass_dict(meta), "fill_value": 0}


def dataclass_dict(meta: ArrayMeta) -> dict[str, Any]:
    return {name: getattr(meta, name) for name in ArrayMeta.__dataclass_fields__}


def test_groups_round_trip() -> None:
    for document in (GROUP, {**GROUP, "x": {"must_understand": False}}):
        assert v3.group_to_json(read(document)) == document


def test_written_for_readers_of_3_0() -> None:
    """Objects only, and nothing that 3.0 does not know."""
    document = changed(
        chunk_key_encoding="default",
        codecs=[shard("bytes", {"name": "crc32c", "must_understand": True}, index_codecs=["bytes"])],
        data_type={"name": "int8", "must_understand": True},
        fill_value=1,
    )
    written = v3.array_to_json(read(document))
    assert "must_understand" not in json.dumps(written)
    assert written["data_type"] == "int8"
    assert written["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
    inner = written["codecs"][0]["configuration"]
    assert inner["codecs"] == [{"name": "bytes"}, {"name": "crc32c"}]
    assert inner["index_codecs"] == [{"name": "bytes"}]


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # Spellings that mean the same: peers.md 1.4 and the 3.1 extension rule.
    (changed(chunk_key_encoding="default"), GOOD),
    (changed(chunk_key_encoding={"name": "default"}), GOOD),
    (changed(chunk_key_encoding={"name": "default", "configuration": {}, "must_understand": True}), GOOD),
    (changed(chunk_key_encoding="v2"), changed(chunk_key_encoding={"name": "v2", "configuration": {"separator": "."}})),
    (changed(data_type={"name": "float32"}), GOOD),
    (changed(data_type={"name": "float32", "must_understand": True, "configuration": {}}), GOOD),
    (changed(codecs=[{**BYTES, "must_understand": False}, GOOD["codecs"][1]]), GOOD),
    (changed(storage_transformers=[]), GOOD),
    (changed(consolidated_metadata=None), GOOD),
    (changed(dimension_names=None), {k: v for k, v in GOOD.items() if k != "dimension_names"}),
    (
        changed(codecs=[{"name": "transpose", "configuration": {"order": "F"}}, BYTES]),
        changed(codecs=[{"name": "transpose", "configuration": {"order": [1, 0]}}, BYTES]),
    ),
    (
        changed(codecs=[shard({"name": "transpose", "configuration": {"order": "C"}}, BYTES)]),
        changed(codecs=[shard({"name": "transpose", "configuration": {"order": [0, 1]}}, BYTES)]),
    ),
    (changed(chunk_grid=grid(chunk_shapes=[[5, 5], 20])), changed(chunk_grid=grid(chunk_shapes=[[[5, 2]], 20]))),
    (
        changed(shape=[0, 4], chunk_grid=grid(chunk_shapes=[[], 20])),
        changed(shape=[0, 4], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [1, 20]}}),
    ),
    (
        changed(shape=[0, 4], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0, 20]}}),
        changed(shape=[0, 4], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [1, 20]}}),
    ),
]


@pytest.mark.parametrize(("found", "means"), SAME, ids=lambda d: json.dumps(d)[90:150])
def test_other_spellings(found: dict[str, Any], means: dict[str, Any]) -> None:
    assert v3.array_to_json(read(found)) == v3.array_to_json(read(means))


def test_short_hand_codecs() -> None:
    meta = read(changed(data_type="uint8", fill_value=0, codecs=["bytes", "crc32c"]))
    assert meta.codecs == (CodecSpec("bytes"), CodecSpec("crc32c"))


def test_rectilinear_runs_are_not_expanded() -> None:
    meta = read(changed(shape=[10**18, 5], chunk_grid=grid(chunk_shapes=[[[1, 10**18], 2], [2, [1, 3]]])))
    assert meta.chunks == (Edges(((1, 10**18), (2, 1))), Edges(((2, 1), (1, 3))))


def test_groups_of_zarr_python() -> None:
    meta = read({**GROUP, "consolidated_metadata": None})
    assert meta == GroupMeta({"a": [1]}, 3)
    inline = {"kind": "inline", "must_understand": False, "metadata": {"x": GOOD}}
    meta = read({**GROUP, "consolidated_metadata": inline})
    assert meta.extra == {"consolidated_metadata": inline}
    assert v3.group_to_json(meta)["consolidated_metadata"] == inline


@pytest.mark.parametrize("field", sorted(set(GOOD) - {"attributes", "dimension_names"}))
def test_absent_fields(field: str) -> None:
    document = {k: v for k, v in GOOD.items() if k != field}
    with pytest.raises(ndzarr.MetadataError, match=field) as caught:
        read(document)
    assert (caught.value.field, caught.value.key) == (field, "a/zarr.json")
    assert "a/zarr.json" in str(caught.value)


def test_fields_that_may_be_absent() -> None:
    meta = read({k: v for k, v in GOOD.items() if k not in ("attributes", "dimension_names")})
    assert (meta.attributes, meta.dimension_names) == ({}, None)


def named(name: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


REGULAR = GOOD["chunk_grid"]
WRONG: list[tuple[str, Any]] = [
    *[("zarr_format", v) for v in (None, "3", 2, 3.0, True, [3], {})],
    *[("node_type", v) for v in (None, "Array", "arrays", 1, [], {})],
    *[("shape", v) for v in (None, 10, "10", [10], [10, 20, 3], [10, -1], [10, 2.0], [True, 1], [10, "a"], {}, [10, 2**63])],
    *[("shape", [1] * 65)],
    *[("data_type", v) for v in (None, 4, "f4", "float31", "<f4", [], {}, "", named(3), named("float32", x=1), ["float32"])],
    *[("data_type", named("float32", must_understand=v)) for v in (False, None, 1, "true")],
    *[("data_type", named("float32", configuration=v)) for v in (None, 1, [])],
    *[("chunk_grid", v) for v in (None, "regular", 1, [], {}, named("regular"), named("nope"))],
    *[("chunk_grid", named("regular", configuration=1))],
    *[("chunk_grid", {**REGULAR, "must_understand": v}) for v in (False, 0, None)],
    *[("chunk_grid", {**REGULAR, "x": 1}), ("chunk_grid", named("rectangular", configuration={"chunk_shape": [[5, 5], 20]}))],
    *[
        ("chunk_grid", named("regular", configuration={"chunk_shape": v}))
        for v in (None, 5, [5], [5, 7, 1], [0, 7], [-5, 7], [5.0, 7], [True, 7], ["5", 7], [[5, 5], 7], [2**63, 7], {})
    ],
    *[("chunk_grid", named("regular", configuration={"chunk_shape": [5, 7], "x": 1}))],
    *[("chunk_grid", named("rectilinear", configuration={"kind": v, "chunk_shapes": [5, 7]})) for v in (None, "x", 1, [])],
    *[("chunk_grid", named("rectilinear", configuration={"chunk_shapes": [5, 7]}))],
    *[("chunk_grid", grid()), ("chunk_grid", grid(chunk_shapes=[5, 7], x=1))],
    *[
        ("chunk_grid", grid(chunk_shapes=v))
        for v in (
            None, 5, [], [5], [5, 7, 1], [0, 7], [5, -7], [5, True], [5, 7.0], [5, "7"], [5, None], [5, {}], [5, []], [5, [19]],
            [5, [20, 0]], [5, [[20]]], [5, [[20, 1, 1]]], [5, [[20, 0]]], [5, [[0, 20]]], [5, [[20, True]]], [5, [[20.0, 1]]],
            [5, [[2, 9]]], [5, [[[20], 1]]], [5, [2**63]], [5, [[20, -1], 40]],
        )
    ],
    *[("chunk_key_encoding", v) for v in (None, "Default", 1, [], {}, named("zarrs"), named("default", configuration="/"))],
    *[("chunk_key_encoding", named("default", configuration={"separator": v})) for v in (None, "-", 1, "", "//", [])],
    *[("chunk_key_encoding", named("default", configuration={"separator": "/", "x": 1}))],
    *[("chunk_key_encoding", named("default", must_understand=v)) for v in (False, "no", None)],
    *[("fill_value", v) for v in (None, "x", [], {}, True, "nan", "0x7fc0", [1.0])],
    *[("codecs", v) for v in (None, "bytes", {}, 1, [], [None], [1], [[]], [{}], [named(1)], [""], [named("bytes", x=1)])],
    *[("codecs", [{**BYTES, "must_understand": v}]) for v in (None, 1, "false")],
    *[("codecs", [named("bytes", configuration=v)]) for v in (None, 1, [])],
    *[("codecs", ["bytes"]), ("codecs", [BYTES, "nope"]), ("codecs", [named("nope", must_understand=False), BYTES])],
    *[("codecs", ["crc32c"]), ("codecs", ["crc32c", BYTES]), ("codecs", [BYTES, BYTES]), ("codecs", [BYTES, "transpose"])],
    *[("codecs", [named("transpose", configuration={"order": [1, 0]})])],
    *[("codecs", [shard()]), ("codecs", [shard("crc32c")]), ("codecs", [shard("bytes")]), ("codecs", [shard("nope")])],
    *[("codecs", [shard(BYTES, index_codecs=v)]) for v in (None, [], 1, ["crc32c"], ["nope"], [BYTES, BYTES])],
    *[("codecs", [named("sharding_indexed", configuration={"chunk_shape": [5, 7], "codecs": v})]) for v in (None, 1, {})],
    *[("attributes", v) for v in (None, [], 1, "x")],
    *[("dimension_names", v) for v in ("xy", ["x"], ["x", "y", "z"], ["x", 1], {}, 1, [["x"], "y"])],
    *[("storage_transformers", v) for v in (None, {}, 1, ["x"], [named("x", must_understand=False)], [1], [{}])],
    *[("somebody", v) for v in (None, 1, "x", [], {}, {"must_understand": True}, {"must_understand": 0}, {"name": "x"})],
    *[("consolidated_metadata", v) for v in (1, {}, {"must_understand": True}, [])],
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG, ids=repr)
def test_wrong_fields(field: str, value: Any) -> None:
    with pytest.raises(ndzarr.MetadataError) as caught:
        read(changed(**{field: value}))
    error = caught.value
    assert error.key == "a/zarr.json"
    assert error.field is not None
    found = error.field.partition("[")[0].partition(".")[0]
    # A wrong rank may be blamed on whichever of the two comes later; a missing byte order on the codec.
    assert found in ({"shape", "chunk_grid", "dimension_names"} if field == "shape" else {field})
    assert found in str(error)
    assert "a/zarr.json" in str(error)


@pytest.mark.parametrize(
    ("codecs", "place", "says"),
    [
        ([BYTES, {"name": "nope"}], "codecs[1]", "nope"),
        ([BYTES, "zstd", "transpose"], "codecs[2]", "follow 'bytes'"),
        (["zstd", BYTES], "codecs[0]", "takes bytes"),
        ([shard(BYTES, "nope")], "codecs[0].configuration.codecs[1]", "nope"),
        ([shard(BYTES, index_codecs=["zstd"])], "codecs[0].configuration.index_codecs[0]", "zstd"),
    ],
)
def test_chains_that_cannot_be_are_named_by_position(codecs: Any, place: str, says: str) -> None:
    with pytest.raises(ndzarr.MetadataError, match=says) as caught:
        read(changed(codecs=codecs))
    assert caught.value.field == place
    assert place in str(caught.value)


def test_wrong_groups() -> None:
    for bad in (
        {"zarr_format": 3},
        {**GROUP, "zarr_format": 2},
        {**GROUP, "attributes": []},
        {**GROUP, "shape": [1]},
        {**GROUP, "x": 1},
    ):
        with pytest.raises(ndzarr.MetadataError, match=r"g/zarr\.json"):
            v3.read_node(json.dumps(bad).encode(), "g/zarr.json")
    with pytest.raises(ndzarr.MetadataError, match="node_type"):
        v3.read_group(json.dumps(GOOD).encode())
    with pytest.raises(ndzarr.MetadataError, match="node_type"):
        v3.read_array(json.dumps(GROUP).encode())
    with pytest.raises(ndzarr.MetadataError, match="twice"):
        v3.read_node(b'{"zarr_format": 3, "zarr_format": 3, "node_type": "group"}')


def test_a_byte_order_is_needed_where_elements_have_one() -> None:
    for data_type, fill in (("uint8", 0), ("bool", False), ("r16", [0, 0])):
        read(changed(data_type=data_type, fill_value=fill, codecs=["bytes"]))
    struct = {"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": "int16"}]}}
    utf32 = {"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}}
    time = {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}}
    for data_type, fill in (("int16", 0), ("complex64", [0, 0]), (struct, {"a": 0}), (utf32, ""), (time, 0)):
        with pytest.raises(ndzarr.MetadataError, match="endian"):
            read(changed(data_type=data_type, fill_value=fill, codecs=["bytes"]))
        with pytest.raises(ndzarr.MetadataError, match="endian"):
            read(changed(data_type=data_type, fill_value=fill, codecs=[shard("bytes")]))
        assert read(changed(data_type=data_type, fill_value=fill)).shape == (10, 20)


def test_a_legacy_structure_is_little_endian_where_nobody_says() -> None:
    structured = {"name": "structured", "configuration": {"fields": [["a", "int32"]]}}
    meta = read(changed(data_type=structured, fill_value="AQAAAA==", codecs=["bytes"]))
    assert meta.codecs == (CodecSpec("bytes", {"endian": "little"}),)
    assert meta.fill_value["a"] == 1
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    assert read(changed(data_type=structured, fill_value="AQAAAA==", codecs=[big])).fill_value["a"] == 1 << 24
    assert read(changed(data_type=structured, fill_value="AQAAAA==", codecs=[shard(big)])).fill_value["a"] == 1 << 24


# ---- writing --------------------------------------------------------------------------------


def test_nan_in_attributes_is_refused_by_name() -> None:
    for value, where in (
        ({"a": {"b": [1, float("nan")]}}, r"attributes\.a\.b\[1\]"),
        ({"x": float("inf")}, r"attributes\.x"),
    ):
        with pytest.raises(ndzarr.ArgumentError, match=where):
            v3.node_to_json(GroupMeta(value, 3))
    found = v3.read_node(b'{"zarr_format": 3, "node_type": "group", "attributes": {"x": NaN}}')
    assert np.isnan(found.attributes["x"])


def test_attributes_are_patched_in() -> None:
    document = {**GOOD, "data_type": {"name": "float32"}, "attributes": {"old": float("nan")}, "z": {"must_understand": False}}
    attributes = dict(document["attributes"])
    attributes["new"] = 1
    patched = v3.with_attributes(document, attributes)
    assert {**patched, "attributes": 0} == {**document, "attributes": 0}
    assert patched["attributes"]["new"] == 1
    with pytest.raises(ndzarr.ArgumentError, match=r"attributes\.new"):
        v3.with_attributes(document, {**attributes, "new": float("nan")})
    with pytest.raises(ndzarr.ArgumentError, match=r"attributes\.old"):
        v3.with_attributes(document, {"old": float("inf")})


def test_a_shape_is_patched_in() -> None:
    document = changed(chunk_grid=grid(chunk_shapes=[[5, 5], 7]), data_type={"name": "float32"}, codecs=[BYTES])
    meta = read(document)
    grown = v3.with_shape(document, ArrayMeta((4, 30), meta.dtype, meta.chunks, meta.codecs, meta.fill_value))
    assert grown == {**document, "shape": [4, 30]}
    chunks = (Edges(((5, 3),)), 7)
    grown = v3.with_shape(document, ArrayMeta((15, 30), meta.dtype, chunks, meta.codecs, meta.fill_value))
    assert grown == {**document, "shape": [15, 30], "chunk_grid": grid(chunk_shapes=[[[5, 3]], 7])}
    empty = changed(shape=[0, 20], chunk_grid=grid(chunk_shapes=[[], 20]))
    meta = read(empty)
    grown = v3.with_shape(empty, ArrayMeta((3, 20), meta.dtype, meta.chunks, meta.codecs, meta.fill_value))
    assert read(grown).shape == (3, 20)


def test_names_of_nodes() -> None:
    for path in ("", "a", "a/b.c", "c/0", "_x", "é"):
        v3.check_path(path)
    for path in ("...", "a/....", "__x", "a/__x/b", "zarr.json", "a/zarr.json"):
        with pytest.raises(ndzarr.ArgumentError, match="format 3"):
            v3.check_path(path)


# ---- any document --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "bytes", "regular", "default", "/", "int8", "NaN", "vlen-utf8", "inline", "r8", "F"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "configuration", "must_understand", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    document = copy.deepcopy(draw(st.sampled_from([*ROUND, GROUP, {**GROUP, "consolidated_metadata": {
        "kind": "inline", "must_understand": False, "metadata": {"a": GROUP, "a/b": GOOD}}}])))  # fmt: skip
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(document)))
        if not place:
            continue
        node = document
        for key in place[:-1]:
            node = node[key]
        if isinstance(node, dict) and draw(st.booleans()) and draw(st.booleans()):
            del node[place[-1]]
        else:
            node[place[-1]] = draw(JSON)
    return document


def outcome(document: Any) -> Any:
    """The metadata, or the MetadataError; nothing else may come of a document."""
    try:
        return read(document)
    except ndzarr.MetadataError as error:
        return error


@settings(max_examples=1500, deadline=None)
@given(mutated())
def test_any_document_is_read_or_refused(document: Any) -> None:
    meta = outcome(document)
    if isinstance(meta, ndzarr.MetadataError):
        assert meta.key == "a/zarr.json"
        assert "a/zarr.json" in str(meta)
    elif isinstance(meta, ArrayMeta):
        again = dataclass_dict(read(v3.array_to_json(meta)))
        want = {**dataclass_dict(meta), "chunks": tuple(chunk or 1 for chunk in meta.chunks)}
        loose = {"fill_value": 0, "attributes": 0, "extra": 0}  # which may hold NaN
        assert {**again, **loose} == {**want, **loose}
    else:
        assert isinstance(meta, GroupMeta)


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_any_consolidated_metadata_are_read_or_refused(document: Any) -> None:
    value = document.get("consolidated_metadata", {"x": document}) if isinstance(document, dict) else document
    extra = {"consolidated_metadata": value}

    def nodes() -> Any:
        try:
            found = consolidated.inline(extra, "a/zarr.json")
            return None if found is None else [consolidated.of_v3(found, "", "a/zarr.json").find(path) for path in found]
        except ndzarr.MetadataError as error:
            return error

    found = nodes()
    assert found is None or isinstance(found, list) or found.key is not None


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json(document: Any) -> None:
    found = outcome(document)
    assert isinstance(found, ndzarr.MetadataError)
    assert found.key == "a/zarr.json"


def test_numcodecs_codecs_are_written_with_a_configuration() -> None:
    """zarr-python 3.4.2 refuses `{"name": "numcodecs.packbits"}`: "Named configuration does not have a 'configuration' key"."""
    import ndzarr

    for more in ({}, {"shards": (8,)}):
        z = ndzarr.create_array({}, shape=(8,), chunks=(4,), dtype="?", filters=[{"id": "packbits"}], compressor=None, **more)
        document = json.loads(bytes(z.store.get("zarr.json") or b""))
        codecs = document["codecs"]
        if more:
            codecs = codecs[0]["configuration"]["codecs"]
        assert codecs == [{"name": "numcodecs.packbits", "configuration": {}}, {"name": "bytes"}]
