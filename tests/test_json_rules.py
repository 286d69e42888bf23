"""Promise P20, rule by rule and counted: what is read of JSON, what is refused by name, what is written."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ndzarr

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
V2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [4, 6],
    "chunks": [2, 3],
    "dtype": "<f8",
    "compressor": {"id": "zlib", "level": 1},
    "fill_value": 0,
    "order": "C",
    "filters": [{"id": "delta", "dtype": "<f8"}],
}
V3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [4, 6],
    "data_type": "float64",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 1}}],
}
RECORD = Callable[[str, object], None]
COUNT = "count: documents that JSON's rules of promise P20 were checked with"


def store(document: dict[str, Any] | str) -> dict[str, bytes]:
    text = document if isinstance(document, str) else json.dumps(document)
    return {".zarray" if '"zarr_format": 2' in text else "zarr.json": text.encode()}


def refused(document: dict[str, Any] | str, *says: str) -> int:
    with pytest.raises(ndzarr.MetadataError) as caught:
        ndzarr.open(store(document))
    error = caught.value
    assert error.key in (".zarray", "zarr.json") or error.codec  # what a codec does not take is said of it
    assert (error.key or error.codec) in str(error)
    assert all(word in str(error) for word in says), str(error)
    return 1


def integers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document an integer stands."""
    if type(value) is int:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from integers(item, (*path, key))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from integers(item, (*path, n))


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize("document", [V2, V3], ids=["v2", "v3"])
def test_a_bool_is_no_integer(document: dict[str, Any], record_property: RECORD) -> None:
    """Nor is a string, a fraction, a list or null, wherever an integer stands."""
    paths = [path for path in integers(document) if path != ("fill_value",)]
    assert len(paths) >= 6
    count = 0
    for path in paths:
        for value in (True, False, "2", 2.5, [2], {}, None, -1, 10**30):
            if path == ("zarr_format",):
                with pytest.raises((ndzarr.MetadataError, ndzarr.NodeNotFoundError)):
                    ndzarr.open(
                        {".zarray" if document is V2 else "zarr.json": json.dumps(changed(document, path, value)).encode()}
                    )
                count += 1
                continue
            if path[-1] == "level" and value == -1:
                continue  # zlib's own default
            count += refused(changed(document, path, value))
    record_property(COUNT, count)


@pytest.mark.parametrize("document", [V2, V3], ids=["v2", "v3"])
def test_a_key_may_be_there_once(document: dict[str, Any], record_property: RECORD) -> None:
    """At every level."""
    text = json.dumps(document)
    count = 0
    for at in [n for n in range(len(text)) if text[n] == "{"]:
        key = json.loads(text[at + 1 : text.index(":", at)])
        count += refused(text[: at + 1] + f"{json.dumps(key)}: 1, " + text[at + 1 :], "twice", key)
    assert count >= 3
    record_property(COUNT, count)


@pytest.mark.parametrize("document", [V2, V3], ids=["v2", "v3"])
def test_depth_and_size_are_limited(document: dict[str, Any], record_property: RECORD) -> None:
    text = json.dumps(document)[:-1]
    count = 0
    for depth in (101, 1000, 100_000):
        for one, other in (("[", "]"), ('{"a": ', "}")):
            nested = one * depth + ("1" if one != "[" else "") + other * depth
            count += refused(f'{text}, "attributes": {nested}}}', "100 deep")
            count += refused(f'{text}, "extra": {nested}}}', "100 deep")
    with ndzarr.options(max_metadata=len(text) + 100):
        assert ndzarr.open(store(f"{text}{' ' * 99}}}")).shape == (4, 6)
        count += refused(f"{text}{' ' * 100}}}", "max_metadata")
    large = f"{text}{' ' * (64 << 20)}}}"
    count += refused(large, str(64 << 20), "max_metadata")
    with ndzarr.options(max_metadata=65 << 20):
        assert ndzarr.open(store(large)).shape == (4, 6)
    record_property(COUNT, count + 2)


@pytest.mark.parametrize("spelling", ["NaN", "Infinity", "-Infinity", '"NaN"', '"Infinity"', '"-Infinity"'])
@pytest.mark.parametrize("document", [V2, V3], ids=["v2", "v3"])
def test_nan_is_read_as_others_wrote_it_and_written_by_the_specification(
    document: dict[str, Any], spelling: str, record_property: RECORD
) -> None:
    text = json.dumps(document).replace('"fill_value": 0', f'"fill_value": {spelling}')
    found = store(text)
    wanted = float(spelling.strip('"'))
    z = ndzarr.open(found)
    np.testing.assert_array_equal(z[0, :2], [wanted, wanted])
    kept = ndzarr.create_array({}, shape=(2,), dtype="f8", fill_value=wanted, zarr_format=document["zarr_format"])
    key = ".zarray" if document is V2 else "zarr.json"
    written = json.loads(bytes(kept.store.get(key) or b""), parse_constant=pytest.fail)
    assert written["fill_value"] == spelling.strip('"')
    record_property(COUNT, 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_among_attributes(value: float, record_property: RECORD) -> None:
    old = ndzarr.create_array({}, shape=(2,), dtype="f8", attributes={"a": {"b": [1.0, value]}}, zarr_format=2)
    text = bytes(old.store.get(".zattrs") or b"").decode()
    assert {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN") in text.replace('"', " ")
    np.testing.assert_array_equal(ndzarr.open(old.store).attrs["a"]["b"], [1.0, value])
    with pytest.raises(ndzarr.ArgumentError, match=r"a\.b\[1\]"):
        ndzarr.create_array({}, shape=(2,), dtype="f8", attributes={"a": {"b": [1.0, value]}}, zarr_format=3)
    new = ndzarr.create_array({}, shape=(2,), dtype="f8", zarr_format=3)
    before = new.store.get("zarr.json")
    with pytest.raises(ndzarr.ArgumentError, match=r"a\.b\[1\]"):
        new.attrs["a"] = {"b": [1.0, value]}
    assert new.store.get("zarr.json") == before
    with ndzarr.options(nan_attributes=True):
        new.attrs["a"] = [value]
    np.testing.assert_array_equal(ndzarr.open(new.store).attrs["a"], [value])
    record_property(COUNT, 5)


@pytest.mark.parametrize("document", [V2, V3], ids=["v2", "v3"])
def test_sizes_are_pythons_integers(document: dict[str, Any], record_property: RECORD) -> None:
    """Nothing overflows that a shape makes: sizes, bytes, counts of chunks."""
    count = 0
    for shape in ([2**62, 2**62], [2**63 - 1, 2**63 - 1], [2**63 - 1, 0], [3037000500, 3037000500]):
        z = ndzarr.open(store({**document, "shape": shape}))
        assert z.size == math.prod(shape)
        assert z.nbytes == 8 * math.prod(shape)
        assert z.nchunks == -(-shape[0] // 2) * -(-shape[1] // 3)
        assert [type(n) for n in (z.size, z.nbytes, z.nchunks, *z.shape)] == [int] * 5
        count += 1
    for shape in ([2**63, 1], [-1, 1], [1.0, 2], [2**64, 2**64], [1], [1, 2, 3], 4, "4", None, [[1, 2]]):
        count += refused({**document, "shape": shape}, "shape" if document is V2 or shape not in ([1], [1, 2, 3]) else "")
    record_property(COUNT, count)
