"""Promise P13: opening and reading a store runs nothing that is in it, and imports nothing that it names."""

from __future__ import annotations

import base64
import gc
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ndzarr

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


class Payload:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.path), "w")


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is made by importing `ndzarr_canary`, by an entry point, or by a pickle."""
    path = tmp_path / "canary"
    site = tmp_path / "site"
    site.mkdir()
    code = f"open({str(path)!r}, 'w').close()\nclass Codec:\n    codec_id = name = 'ndzarr_canary'\n"
    (site / "ndzarr_canary.py").write_text(code)
    entries = site / "ndzarr_canary-1.dist-info"
    entries.mkdir()
    (entries / "METADATA").write_text("Metadata-Version: 2.1\nName: ndzarr-canary\nVersion: 1\n")
    groups = ("console_scripts", "zarr.codecs", "zarr.data_type", "fsspec.specs", "canary")
    (entries / "entry_points.txt").write_text("".join(f"[{group}]\ncanary_entry = ndzarr_canary:Codec\n" for group in groups))
    monkeypatch.syspath_prepend(str(site))
    return path


NAMES = (
    *("ndzarr_canary", "ndzarr_canary.Codec", "ndzarr_canary:Codec", "canary_entry", "numcodecs.ndzarr_canary"),
    *("numcodecs.canary_entry", "ndzarr.codecs.ndzarr_canary", "../ndzarr_canary", "ndzarr_canary.py", "!ndzarr_canary"),
    *("builtins.open", "os.system", "posix.system", "subprocess", "antigravity", "this", "pickle", "numcodecs.pickle"),
    *("__import__('ndzarr_canary')", "{ndzarr_canary}", "ndzarr_canary()", "cloudpickle", "dill", "joblib", "marshal"),
)


def _v2(**fields: Any) -> dict[str, bytes]:
    document: dict[str, Any] = {
        "zarr_format": 2,
        "shape": [2],
        "chunks": [2],
        "dtype": "<i4",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    return {".zarray": json.dumps({**document, **fields}).encode()}


def _v3(**fields: Any) -> dict[str, bytes]:
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [2],
        "data_type": "int32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [LITTLE],
    }
    return {"zarr.json": json.dumps({**document, **fields}).encode()}


def _named(name: str) -> Iterator[dict[str, bytes]]:
    """Stores that have `name` in every place where a reader looks for one."""
    configuration = {"module": name, "class": name, "function": name, "codec": name, "chunk_shape": [2]}
    for item in ({"id": name}, {"id": name, **configuration}):
        yield _v2(compressor=item)
        yield _v2(filters=[item])
        yield _v2(filters=[item], dtype="|O")
    for field in ("dtype", "order", "dimension_separator", "object_codec", "class", "storage_transformers", "fill_value"):
        yield _v2(**{field: name})
    yield _v2(dtype=[["a", name]])
    sharding = {"chunk_shape": [1], "codecs": [LITTLE], "index_codecs": [LITTLE]}
    for thing in (name, {"name": name}, {"name": name, "configuration": configuration}):
        yield _v3(codecs=[thing])
        yield _v3(codecs=[thing, LITTLE])
        yield _v3(codecs=[LITTLE, thing])
        for inner in ("codecs", "index_codecs"):
            yield _v3(codecs=[{"name": "sharding_indexed", "configuration": {**sharding, inner: [LITTLE, thing]}}])
        for field in ("data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "node_type"):
            yield _v3(**{field: thing})
        yield _v3(storage_transformers=[thing])
        yield _v3(**{name: thing})
        yield _v3(data_type={"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": thing}]}}, fill_value={})
        yield _v3(codecs=[{"name": "cast_value", "configuration": {"data_type": thing}}, LITTLE])
        yield _v3(attributes={"py/object": name, "__class__": thing, "$type": name})
    yield {".zgroup": b'{"zarr_format": 2}', ".zattrs": json.dumps({"py/reduce": [name], "_ARRAY_DIMENSIONS": [name]}).encode()}


def _pickled(payload: bytes) -> Iterator[dict[str, bytes]]:
    """Stores that have a pickle wherever bytes are decoded, or in the place of a document."""
    text = base64.b64encode(payload).decode()
    chunks = {"0": payload, "c/0": payload}
    for codec in ("pickle", "json2", "msgpack2", "vlen-utf8", "vlen-bytes", "vlen-array", "categorize", "msgpack", "json"):
        for extra in ({}, {"dtype": "|O"}, {"protocol": 5}):
            yield {**_v2(dtype="|O", filters=[{"id": codec, **extra}]), **chunks}
            yield {**_v2(dtype="|O", filters=[{"id": codec, **extra}], fill_value=text), **chunks}
            yield {**_v2(dtype="|O", filters=None, compressor={"id": codec, **extra}), **chunks}
    for data_type in ("bytes", "string", "variable_length_bytes", "int32", "r32", "object", "numcodecs.pickle"):
        for name in ("pickle", "numcodecs.pickle", "numcodecs.json2", "numcodecs.msgpack2", "vlen-utf8", "vlen-bytes"):
            yield {**_v3(data_type=data_type, codecs=[name], fill_value=0 if data_type == "int32" else text), **chunks}
    for key in (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"):
        yield {**_v2(), ".zgroup": b'{"zarr_format": 2}', key: payload}
    yield {**_v2(dtype="|O"), "0": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (2,), }" + payload}


def _read(store: dict[str, bytes]) -> bool:
    """Look at all there is; whether it was refused."""
    try:
        node = ndzarr.open(store)
        repr(node)
        dict(node.attrs)
        if isinstance(node, ndzarr.ZArray):
            repr(node.info)
            node[...]
            node[0]
    except (ndzarr.DataError, ndzarr.StoreError):
        return True
    return False


def test_no_name_is_imported(canary: Path, record_property: Callable[[str, object], None]) -> None:
    stores = [store for name in NAMES for store in _named(name)]
    allowed = ("ndzarr", "numcodecs", "encodings")
    before = set(sys.modules)
    refused = sum(map(_read, stores))
    assert len(stores) > 1000
    assert refused > len(stores) * 0.7  # names among attributes are just text
    assert not canary.exists()
    new = {name for name in set(sys.modules) - before if not name.startswith(allowed) or "canary" in name}
    assert not new & {"antigravity", "this", "dill", "cloudpickle", "joblib", "ndzarr_canary"}
    record_property("count: stores that name code, none of it run", len(stores))
    __import__("ndzarr_canary")
    assert canary.exists()  # so the trap does spring
    del sys.modules["ndzarr_canary"]


def test_no_pickle_is_loaded(canary: Path, record_property: Callable[[str, object], None]) -> None:
    stores = [store for protocol in (0, 2, 5) for store in _pickled(pickle.dumps([Payload(canary)] * 2, protocol))]
    refused = sum(map(_read, stores))
    assert len(stores) > 300
    assert refused > len(stores) * 0.9
    assert not canary.exists()
    record_property("count: stores that hold pickles, none of them loaded", len(stores))
    pickle.loads(pickle.dumps(Payload(canary))).close()
    assert canary.exists()


def _read_corrupt(z: ndzarr.ZArray) -> bool:
    try:
        z[...]
    except ndzarr.CorruptChunkError:  # it is no array
        gc.collect()
        return True
    return False


def test_a_pickle_is_loaded_by_who_asks_for_it(canary: Path) -> None:
    payload = pickle.dumps([Payload(canary)] * 2)
    store = {**_v2(dtype="|O", filters=[{"id": "pickle"}], fill_value=None), "0": payload}
    with pytest.raises(ndzarr.MetadataError, match="allow_pickle"):
        ndzarr.open(store)
    assert not canary.exists()
    z = ndzarr.open(store, allow_pickle=True)
    with pytest.warns(ResourceWarning):  # the file that it makes is not closed
        assert _read_corrupt(z)
    assert canary.exists()
