"""`.zarray` documents: every field absent, of the wrong type, out of range, of the wrong rank; and every form that is right."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr._typing import CodecSpec
from ndzarr.formats import consolidated, v2
from ndzarr.metadata import ArrayMeta, GroupMeta

GOOD: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [10, 20],
    "chunks": [5, 7],
    "dtype": "<f4",
    "compressor": {"id": "zlib", "level": 1},
    "fill_value": "NaN",
    "order": "C",
    "filters": [{"id": "delta", "dtype": "<f4"}],
}


def read(document: Any, attributes: Any = None) -> ArrayMeta:
    return v2.read_array(
        json.dumps(document).encode(), None if attributes is None else json.dumps(attributes).encode(), "a/.zarray"
    )


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def test_good() -> None:
    meta = read(GOOD, {"units": "K", "_ARRAY_DIMENSIONS": ["x", None]})
    assert (meta.shape, meta.chunks, meta.dtype, meta.order, meta.zarr_format) == ((10, 20), (5, 7), "<f4", "C", 2)
    assert meta.codecs == (
        CodecSpec("numcodecs.delta", {"dtype": "<f4"}),
        CodecSpec("numcodecs.zlib", {"level": 1}),
    )
    assert np.isnan(meta.fill_value)
    assert meta.dimension_names == ("x", None)
    assert meta.attributes["units"] == "K"
    assert meta.nbytes == 800


def test_round_trip_of_documents() -> None:
    for document in [
        GOOD,
        changed(order="F", dimension_separator="/"),
        changed(order="F", shape=[3], chunks=[2]),
        changed(order="F", shape=[], chunks=[]),
        changed(compressor=None, filters=None, fill_value=None),
        changed(dtype=[["a", "<i4"], ["", "|V4"], ["b", "<f8", [2]]], fill_value=None, filters=None),
        changed(dtype="|O", filters=[{"id": "vlen-utf8"}], fill_value="x"),
        changed(shape=[0, 4], chunks=[0, 4]),
        changed(somebody={"else": [1, 2]}, another=None),
        changed(shape=[2**62, 3], chunks=[2**62, 1]),
    ]:
        assert v2.array_to_json(read(document)) == document
        assert json.loads(v2.write(v2.ARRAY, v2.array_to_json(read(document)))) == document


def test_an_empty_list_of_filters_is_written_as_null() -> None:
    assert v2.array_to_json(read(changed(filters=[])))["filters"] is None


def test_a_compressor_among_the_filters_moves_to_its_place() -> None:
    document = changed(compressor=None, filters=[{"id": "delta", "dtype": "<f4"}, {"id": "zlib", "level": 3}])
    again = v2.array_to_json(read(document))
    assert again["compressor"] == {"id": "zlib", "level": 3}
    assert again["filters"] == [{"id": "delta", "dtype": "<f4"}]
    assert read(again).codecs == read(document).codecs


def test_a_filter_that_is_no_compressor_stays() -> None:
    document = changed(compressor=None)
    assert v2.array_to_json(read(document)) == document


@pytest.mark.parametrize("field", sorted(GOOD))
def test_absent_fields(field: str) -> None:
    document = {k: v for k, v in GOOD.items() if k != field}
    with pytest.raises(ndzarr.MetadataError, match=field) as caught:
        read(document)
    assert caught.value.field == field
    assert "a/.zarray" in str(caught.value)


WRONG: list[tuple[str, Any]] = [
    *[("zarr_format", v) for v in (None, "2", 3, 2.0, True, [2], {})],
    *[("shape", v) for v in (None, 10, "10", [10], [10, 20, 3], [10, -1], [10, 2.0], [True, 1], [10, "a"], {}, [10, 2**63])],
    *[("chunks", v) for v in (None, 5, "5", [5], [5, 7, 1], [5, 0], [5, -7], [5, 7.0], [True, 7], {})],
    *[("dtype", v) for v in (None, 4, "f", "<q9", "float32", [], {}, "|O2")],
    *[("order", v) for v in (None, "c", "A", 1, [], "CF")],
    *[("dimension_separator", v) for v in ("", "-", 1, [], "//")],
    *[("filters", v) for v in ("delta", {}, [None], ["delta"], [{}], [{"id": 3}], 1)],
    *[("compressor", v) for v in ("zlib", [], {}, {"id": None}, {"id": 1}, 1, True)],
    *[("fill_value", v) for v in ("x", [], {}, True, "nan")],
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=repr)
def test_wrong_fields(field: str, value: Any) -> None:
    with pytest.raises(ndzarr.MetadataError) as caught:
        read(changed(**{field: value}))
    # A wrong rank may be blamed on either of the two.
    assert caught.value.field is not None
    assert caught.value.field.partition("[")[0] in ({"shape", "chunks"} if field in ("shape", "chunks") else {field})
    assert caught.value.field.partition("[")[0] in str(caught.value)


def test_attributes_that_only_look_like_dimension_names() -> None:
    for names in (["x"], "xy", [1, 2], None, {"x": 1}):
        assert read(GOOD, {"_ARRAY_DIMENSIONS": names}).dimension_names is None


def test_groups() -> None:
    meta = v2.read_group(b'{"zarr_format": 2, "extra": 1}', b'{"a": [1]}')
    assert meta == GroupMeta({"a": [1]}, 2, {"extra": 1})
    assert json.loads(v2.write(v2.GROUP, v2.node_to_json(meta)[v2.GROUP])) == {"zarr_format": 2, "extra": 1}
    for bad in (b"{}", b'{"zarr_format": 3}', b'{"zarr_format": "2"}'):
        with pytest.raises(ndzarr.MetadataError, match="zarr_format"):
            v2.read_group(bad, None, "g/.zgroup")


def test_damaged_attributes_are_named() -> None:
    with pytest.raises(ndzarr.MetadataError, match=r"a/\.zattrs"):
        v2.read_array(json.dumps(GOOD).encode(), b"[]", "a/.zarray")


def test_transpose_that_format_2_cannot_say() -> None:
    meta = ArrayMeta((2, 3, 4), np.dtype("i4"), (1, 1, 1), (CodecSpec("transpose", {"order": [1, 0, 2]}),))
    with pytest.raises(ndzarr.ArgumentError, match="order"):
        v2.array_to_json(meta)


@pytest.mark.parametrize(
    "fields",
    [
        {"chunks": (1,)},
        {"shape": (-1, 2)},
        {"chunks": (0, 1)},
        {"chunks": (-1, 1)},
        {"dimension_names": ("x",)},
    ],
    ids=repr,
)
def test_metadata_cannot_be_wrong_by_themselves(fields: dict[str, Any]) -> None:
    with pytest.raises(ndzarr.ArgumentError):
        ArrayMeta(**{"shape": (2, 2), "dtype": np.dtype("i4"), "chunks": (1, 1), **fields})


def test_consolidated_documents() -> None:
    documents = {".zgroup": {"zarr_format": 2}, "a/.zarray": GOOD}
    assert consolidated.read(consolidated.write(documents), ".zmetadata") == documents
    for bad in (b"{}", b'{"zarr_consolidated_format": 2, "metadata": {}}', b'{"zarr_consolidated_format": 1}',
                b'{"zarr_consolidated_format": 1, "metadata": {"a": 1}}'):  # fmt: skip
        with pytest.raises(ndzarr.MetadataError, match=r"\.zmetadata"):
            consolidated.read(bad, ".zmetadata")


@pytest.mark.parametrize(("dtype", "bits"), [("f2", "<u2"), (">f4", ">u4"), ("f8", "<u8"), ("c8", "<u4"), (">c16", ">u8")])
def test_a_fill_value_is_at_once_what_it_will_be_read_as(dtype: str, bits: str) -> None:
    """A document says "NaN", and nothing of its bits: chunks with other ones are stored; what is missing stays as it is."""
    nan = np.full(4, np.nan, dtype)
    nan.view(bits)[0] += 5
    z = ndzarr.create_array(None, shape=8, chunks=4, dtype=dtype, fill_value=nan[0], zarr_format=2)
    z[:4] = nan[[0, 0, 0, 0]]
    again = ndzarr.open_array(z.store)
    assert z[:].tobytes() == again[:].tobytes()
    assert z[:4].tobytes() == nan[[0, 0, 0, 0]].tobytes()
    assert again.digest() == z.digest()
    other = ndzarr.create_array(None, shape=8, chunks=4, dtype=dtype, fill_value=nan[0], zarr_format=3)
    assert ndzarr.convert(other, None, zarr_format=2).digest() == other.digest()
