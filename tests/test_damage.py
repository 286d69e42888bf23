"""Promise P10 on whole arrays: every kind of damage, for every codec, is a typed error that names the chunk; never a crash.

In both formats. The codecs' own tests go deeper (tests/test_codecs_*.py), shards are in tests/test_sharding_damage.py, metadata
documents in tests/test_formats_v2.py and tests/test_formats_v3.py.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ndzarr
from ndzarr.testing import outcomes

if TYPE_CHECKING:
    from tests.conftest import Names

pytestmark = pytest.mark.usefixtures("zarr_format")  # everything is true of both

VALUES = np.arange(600, dtype="<i4").reshape(20, 30) % 37

#: Compressors and checksums, with what else they need.
COMPRESSORS: dict[str, Any] = {
    "raw": None,
    "zlib": "zlib",
    "gzip": "gzip",
    "bz2": "bz2",
    "lzma": "lzma",
    "lz4": "lz4",
    "zstd": "zstd",
    "zstd with checksum": {"id": "zstd", "level": 1, "checksum": True},
    "snappy": "snappy",
    "base64": "base64",
    "crc32c": "crc32c",
    "crc32": "crc32",
    "adler32": "adler32",
    "fletcher32": "fletcher32",
    "jenkins_lookup3": "jenkins_lookup3",
    **{
        f"blosc {inner} shuffle {shuffle}": {"id": "blosc", "cname": inner, "clevel": 5, "shuffle": shuffle, "blocksize": 0}
        for inner in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    },
}
FILTERS: dict[str, Any] = {
    "delta": {"id": "delta", "dtype": "<i4"},
    "fixedscaleoffset": {"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<i4", "astype": "<i4"},
    "astype": {"id": "astype", "encode_dtype": "<i8", "decode_dtype": "<i4"},
    "shuffle": {"id": "shuffle", "elementsize": 4},
}
TURNED = {"name": "transpose", "configuration": {"order": [1, 0]}}
LITTLE, BIG = ({"name": "bytes", "configuration": {"endian": endian}} for endian in ("little", "big"))
#: What only format 3 can say: a dtype and the whole chain.
CHAINS: dict[str, tuple[str, list[Any]]] = {
    "big-endian": ("i4", [BIG]),
    "transpose": ("i4", [TURNED, LITTLE]),
    "reshape": ("i4", [{"name": "reshape", "configuration": {"shape": [-1]}}, LITTLE]),
    "scale_offset": ("i4", [{"name": "scale_offset", "configuration": {"offset": 5, "scale": 2}}, LITTLE]),
    "cast_value": ("i4", [{"name": "cast_value", "configuration": {"data_type": "int16"}}, LITTLE]),
    "bitround": ("f8", [{"name": "bitround", "configuration": {"keepbits": 20}}, LITTLE]),
    "quantize": ("f8", [{"name": "numcodecs.quantize", "configuration": {"digits": 3, "dtype": "<f8"}}, LITTLE]),
    "packbits": ("i4", [{"name": "packbits", "configuration": {"last_bit": 6, "padding_encoding": "first_byte"}}]),
    "packbits of bools": ("?", ["packbits"]),
    "numcodecs.packbits": ("?", ["numcodecs.packbits", "bytes"]),
    "pcodec": ("i4", ["pcodec"]),
    "zfp": ("f8", [{"name": "zfp", "configuration": {"mode": "reversible"}}]),
    "zfpy": ("f8", ["zfpy"]),
    "n5_default": (
        "i4",
        [{"name": "n5_default", "configuration": {"codecs": [TURNED, BIG, {"name": "gzip", "configuration": {"level": 1}}]}}],
    ),
    "conditional": ("i4", [LITTLE, {"name": "conditional", "configuration": {"codecs": ["crc32c"]}}]),
    "a shuffle, zstd and crc32c": (
        "i4",
        [LITTLE, {"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}}, "zstd", "crc32c"],
    ),
}
OBJECTS: dict[str, tuple[Any, list[Any]]] = {
    "vlen-utf8": ({"id": "vlen-utf8"}, ["a", "bc", "", "déf"] * 5),
    "vlen-bytes": ({"id": "vlen-bytes"}, [b"a", b"bc", b"", b"\xff"] * 5),
    "vlen-array": ({"id": "vlen-array", "dtype": "<i4"}, [np.arange(k % 5, dtype="<i4") for k in range(20)]),
    "json2": ({"id": "json2"}, [1, "a", None, [1, 2]] * 5),
    "msgpack2": ({"id": "msgpack2"}, [1, "a", None, [1, 2]] * 5),
}


def codecs_of(name: str) -> dict[str, Any]:
    """The keywords of `create_array` for an array whose codecs are listed above as `name`."""
    if name in CHAINS:
        dtype, chain = CHAINS[name]
        return {"dtype": dtype, "filters": chain, "compressor": None}
    if name in OBJECTS:
        return {"dtype": object, "filters": [OBJECTS[name][0]], "compressor": None}
    if name in FILTERS:
        return {"dtype": "<i4", "filters": [FILTERS[name]], "compressor": None}
    return {"dtype": "<i4", "compressor": COMPRESSORS[name]}


def numeric(name: str) -> ndzarr.ZArray:
    z = ndzarr.create_array({}, path="a/b", shape=VALUES.shape, chunks=(20, 30), fill_value=9, **codecs_of(name))
    z[...] = VALUES
    return z


def objects(name: str) -> ndzarr.ZArray:
    z = ndzarr.create_array({}, path="a/b", shape=(20,), chunks=(20,), **codecs_of(name))
    for k, value in enumerate(OBJECTS[name][1]):
        z[k] = value
    return z


def other_size(name: str, length: int, key: str) -> bytes:
    """A good object of the same codecs for a chunk of another size."""
    shape = (length,) if name in OBJECTS else (1, length)
    other = ndzarr.create_array({}, shape=shape, chunks=shape, **codecs_of(name))
    if name in OBJECTS:
        for k in range(length):
            other[k] = OBJECTS[name][1][k % 20]
    else:
        other[0] = np.resize(VALUES, length)
    return bytes(other.store.get(key) or b"")


def check(z: ndzarr.ZArray, key: str, damaged: bytes, kind: str) -> None:
    z.store.set(key, damaged)
    for read in (lambda: z[...], lambda: z[(0,) * z.ndim], lambda: z[(slice(0, 20, 3),)]):
        tracemalloc.start()
        try:
            with pytest.raises(ndzarr.CorruptChunkError) as caught:
                read()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3 * max(z.nbytes, 1000) + (64 << 20), kind
        error = caught.value
        assert isinstance(error, ValueError)
        assert error.key == key
        assert error.codec, kind
        assert repr(key) in str(error)
        assert "a/b" in str(error)
        assert "memory" in str(error) or "mapping" in str(error).lower()


#: What can be told apart by length alone, and by nothing else.
_BY_LENGTH = {
    "raw", *FILTERS, "big-endian", "transpose", "reshape", "scale_offset", "cast_value", "bitround", "quantize", "packbits",
    "packbits of bools", "numcodecs.packbits", "zfp",
}  # fmt: skip


def damage(z: ndzarr.ZArray, name: str, names: Names) -> None:
    key = "a/b/" + names.chunk(0, 0)
    good = bytes(z.store.get(key) or b"")
    kinds: dict[str, bytes] = {
        "empty": b"",
        "one byte": good[:1],
        "truncated": good[: len(good) // 2],
        "one byte short": good[:-1],
        "trailing bytes": good + b"\x01garbage",
        "decoded too short": other_size(name, 599, names.chunk(0, 0)),
        "decoded too long": other_size(name, 601, names.chunk(0, 0)),
        "decoded far too long": other_size(name, 60_000, names.chunk(0, 0)),
    }
    if name in ("n5_default", "zfp"):
        # N5: "Pad or truncate the resulting array to match the expected shape". A zfp stream does not say how many it holds.
        kinds = {kind: damaged for kind, damaged in kinds.items() if not kind.startswith("decoded")}
    if name not in _BY_LENGTH:
        kinds["garbage"] = bytes(np.random.default_rng(0).integers(0, 256, len(good), dtype="u1"))
        kinds["wrong magic"] = b"\xaa\x55\xaa\x55" + good[4:]
        if name != "fletcher32":  # the sum of zeros is zero
            kinds["zeros"] = bytes(len(good))
    for kind, damaged in kinds.items():
        assert damaged != good, kind
        if (name, kind) in UNNOTICED:
            z.store.set(key, damaged)
            np.testing.assert_array_equal(z[...], VALUES.astype(z.dtype))
            continue
        if name in RANGED and kind not in ("empty", "one byte"):
            # A point or a few rows of an uncompressed chunk are read without the rest.
            z.store.set(key, damaged)
            with pytest.raises(ndzarr.CorruptChunkError, match=re.escape(repr(key))) as caught:
                z[...]
            assert "bytes" in str(caught.value)
            continue
        check(z, key, damaged, f"{name}: {kind}")
    z.store.set(key, good)
    np.testing.assert_array_equal(z[...], VALUES.astype(z.dtype))


#: Chunks of which single elements are read.
RANGED = {"raw"}
#: These streams say nowhere how long they are, and the libraries not where they stopped: the values are there all the same.
UNNOTICED = {
    ("pcodec", "trailing bytes"),
    ("zfp", "trailing bytes"),
    ("zfp", "one byte short"),  # of zeros, to a whole word
    ("zfpy", "trailing bytes"),
}


@pytest.mark.parametrize("name", [*COMPRESSORS, *FILTERS])
def test_damaged_chunks(name: str, names: Names) -> None:
    damage(numeric(name), name, names)


@pytest.mark.formats(3)
@pytest.mark.parametrize("name", CHAINS)
def test_damaged_chunks_of_other_chains(name: str, names: Names) -> None:
    damage(numeric(name), name, names)


@pytest.mark.parametrize("name", OBJECTS)
def test_damaged_objects(name: str, zarr_format: int, names: Names) -> None:
    if zarr_format == 3 and name not in ("vlen-utf8", "vlen-bytes"):
        with pytest.raises(ndzarr.ArgumentError, match="zarr_format=2"):
            objects(name)
        return
    z = objects(name)
    key = "a/b/" + names.chunk(0)
    good = bytes(z.store.get(key) or b"")
    kinds = {
        "empty": b"",
        "one byte": good[:1],
        "truncated": good[: len(good) // 2],
        "one byte short": good[:-1],
        "garbage": bytes(np.random.default_rng(0).integers(0, 256, len(good), dtype="u1")),
        "too few items": other_size(name, 19, names.chunk(0)),
        "too many items": other_size(name, 21, names.chunk(0)),
    }
    if name.startswith("vlen"):
        kinds["a count that lies"] = b"\xff\xff\xff\x7f" + good[4:]
        kinds["a length that lies"] = good[:4] + b"\xff\xff\xff\x7f" + good[8:]
    if name == "vlen-utf8":
        kinds["no UTF-8"] = good.replace(b"bc", b"\xff\xfe")
    for kind, damaged in kinds.items():
        assert damaged != good, kind
        check(z, key, damaged, f"{name}: {kind}")
    z.store.set(key, good)
    assert z[1] == OBJECTS[name][1][1] if name != "vlen-array" else z[1].tolist() == [0]


CHECKED = ["zstd with checksum", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "gzip", "zlib", "bz2", "lzma"]


@pytest.mark.parametrize("name", CHECKED)
def test_flips_under_a_checksum(name: str, names: Names) -> None:
    """No flip of a bit gives wrong values. (A few bits of a gzip or zstd header carry nothing.)"""
    z = numeric(name)
    key = "a/b/" + names.chunk(0, 0)
    good = bytes(z.store.get(key) or b"")
    rng = np.random.default_rng(1)
    for bit in rng.choice(8 * len(good), 200, replace=8 * len(good) < 200):
        z.store.set(key, good[: bit // 8] + bytes([good[bit // 8] ^ (1 << int(bit) % 8)]) + good[bit // 8 + 1 :])
        try:
            got = z[...]
        except ndzarr.CorruptChunkError:
            continue
        np.testing.assert_array_equal(got, VALUES)


@pytest.mark.parametrize("compressor", ["auto", None, "zlib", "blosc"])
def test_flips_under_the_checksum_that_is_asked_for(compressor: str | None, names: Names) -> None:
    """Promise P12: `checksum=True` finds them all, in what is raw too."""
    z = ndzarr.create_array({}, shape=VALUES.shape, dtype="i4", chunks=(20, 30), compressor=compressor, checksum=True)
    z[...] = VALUES
    key = names.chunk(0, 0)
    good = bytes(z.store.get(key) or b"")
    for bit in np.random.default_rng(1).choice(8 * len(good), 200, replace=False):
        z.store.set(key, good[: bit // 8] + bytes([good[bit // 8] ^ (1 << int(bit) % 8)]) + good[bit // 8 + 1 :])
        try:
            got = z[...]
        except ndzarr.CorruptChunkError:
            continue
        np.testing.assert_array_equal(got, VALUES)  # a bit of the header that carries nothing


def test_partial_writes_refuse_damaged_chunks_and_leave_them(names: Names) -> None:
    z = numeric("zlib")
    key = "a/b/" + names.chunk(0, 0)
    good = bytes(z.store.get(key) or b"")
    z.store.set(key, good[:-3])
    with pytest.raises(ndzarr.CorruptChunkError):
        z[3, 3] = 1
    assert z.store.get(key) == good[:-3]
    z[...] = VALUES  # overwriting it whole needs nothing of it
    np.testing.assert_array_equal(z[...], VALUES)


def test_a_chunk_larger_than_any_is_not_read(names: Names) -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(10,), dtype="u1", chunks=(10,), compressor="zlib")
    store.inner.set(names.chunk(0), bytes(50 << 20))
    store.clear()
    with pytest.raises(ndzarr.CorruptChunkError, match="more than"):
        z[...]
    (call,) = store.calls("get")
    assert call.nbytes is not None
    assert call.nbytes < 1 << 20


@pytest.mark.parametrize("make", ["directory", "loop", "dangling"])
def test_what_stands_in_a_chunks_place(make: str, tmp_path: Path, names: Names) -> None:
    """A directory or a symlink loop is an error; a link to nothing is nothing."""
    z = ndzarr.create_array(tmp_path, shape=(4,), dtype="i4", chunks=(2,), fill_value=3)
    place = tmp_path / names.chunk(0)
    place.parent.mkdir(exist_ok=True)
    if make == "directory":
        place.mkdir()
    elif make == "loop":
        os.symlink("0", place)
    else:
        os.symlink("nothing", place)
        assert z[:].tolist() == [3, 3, 3, 3]
        return
    for read in (lambda: z[...], lambda: z[(0,)], lambda: z[[0]]):
        with pytest.raises(ndzarr.StoreError) as caught:
            read()
        assert isinstance(caught.value, OSError)
        assert "0" in str(caught.value)
        assert str(tmp_path) in str(caught.value)


# ---- stores that fail --------------------------------------------------------------------------------

#: How an array lies in its store: one chunk an object, raw or not, and shards.
LAYOUTS: dict[str, dict[str, Any]] = {
    "raw": {"compressor": None},
    "zstd": {"compressor": "zstd"},
    "shards": {"shards": (8, 8), "zarr_format": 3},
    "lengths": {"chunks": ([3, 5, 4], 4), "zarr_format": 3},
}
#: What a transport may raise for a key that it cannot tell anything about: none of it is "not found".
TRANSPORT: dict[str, BaseException] = {
    "403": PermissionError(13, "403 Forbidden"),
    "500": OSError(5, "500 Internal Server Error"),
    "a timeout": TimeoutError("no answer in 30 s"),
    "a reset": ConnectionResetError(104, "connection reset by peer"),
    "a store's own": ndzarr.StoreError("503 Slow Down"),
}
AREA = np.arange(1, 145).reshape(12, 12)
READS: dict[str, Any] = {
    "all": np.s_[...],
    "point": np.s_[5, 7],
    "steps": np.s_[2:9:3],
    "list": np.s_[[0, 11], [11, 0]],
    "mask": AREA % 7 == 0,
}


def failing(name: str, **faults: Any) -> tuple[ndzarr.ZArray, ndzarr.MemoryStore]:
    """A writable array over a store with these faults, which hold from now on, and what is behind it."""
    inner = ndzarr.MemoryStore()
    z = ndzarr.create_array(inner, path="a/b", shape=(12, 12), dtype="i4", fill_value=0, **{"chunks": (4, 4), **LAYOUTS[name]})
    z[...] = AREA
    return ndzarr.ZArray(ndzarr.FaultStore(inner, **faults), "a/b", z.metadata, writable=True), inner


@pytest.mark.parametrize("error", TRANSPORT)
@pytest.mark.parametrize("name", LAYOUTS)
def test_only_not_found_is_a_fill_value(name: str, error: str) -> None:
    """Promise P8: whatever else a store says about a chunk reaches the caller, from every way of reading, and of writing."""
    z, inner = failing(name, fail="always", on=("get", "get_tagged", "get_many"), error=TRANSPORT[error])
    before = {key: bytes(inner.get(key) or b"") for key in inner.list()}
    for index in READS.values():
        with pytest.raises(type(TRANSPORT[error])) as caught:
            z[index]
        assert caught.value is TRANSPORT[error]
    for index in (np.s_[5, 7], np.s_[1:11]):
        with pytest.raises(type(TRANSPORT[error])) as caught, ndzarr.options(workers=1):
            z[index] = -1
        assert caught.value is TRANSPORT[error]
    # The first chunk of either write has to be read.
    assert {key: bytes(inner.get(key) or b"") for key in inner.list()} == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_read_that_fails_at_any_call_gives_no_values(name: str) -> None:
    for index in READS.values():
        for at in range(1, 100):
            z, _ = failing(name, at=at, on=("get", "get_tagged", "get_many"))
            got = outcomes.read(z, index)
            if got.error is None:
                break
            assert type(got.error) is ndzarr.StoreError
            assert re.search(rf"call {at}, .*'a/b/", str(got.error))
        np.testing.assert_array_equal(got.value, AREA[index])  # `at` is past the last call
        assert at > 1


@pytest.mark.parametrize("nbytes", [0, 1, 7])
@pytest.mark.parametrize("name", LAYOUTS)
def test_answers_that_are_cut_short_are_damage(name: str, nbytes: int) -> None:
    z, _ = failing(name, truncate=nbytes)
    for what, index in READS.items():
        if name == "raw" and what == "point" and nbytes == 7:
            assert z[index] == AREA[index]  # four bytes are all that was asked for
            continue
        with pytest.raises(ndzarr.CorruptChunkError, match="a/b/"):
            z[index]


@pytest.mark.parametrize("op", ["set", "delete"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_write_that_fails_at_any_call_leaves_old_or_new_chunks(name: str, op: str) -> None:
    """Promises P1, P17: each object is the old or the new one, and the error says which."""
    new = -AREA if op == "set" else np.zeros_like(AREA)
    for at in range(1, 100):
        z, inner = failing(name, at=at, on=op)
        grid = z._engine.layout.objects
        try:
            with ndzarr.options(workers=1):
                z[...] = new
        except ndzarr.StoreError as error:
            done, left = error.chunks_done, error.chunks_left
            assert len(done) == at - 1
            assert sorted([*done, *left]) == sorted(grid)
        else:
            np.testing.assert_array_equal(z[...], new)
            assert at == grid.nchunks + 1
            break
        found = ndzarr.open_array(inner, path="a/b")[...]
        for coords in grid:
            box = tuple(slice(a, a + n) for a, n in zip(grid.start(coords), grid.valid(coords), strict=True))
            np.testing.assert_array_equal(found[box], (new if coords in done else AREA)[box])
    else:
        pytest.fail("the writes never end")


# ---- documents --------------------------------------------------------------------------------


def document(**fields: Any) -> dict[str, bytes]:
    """A store of format 2 with an array of four numbers, some fields of its document replaced."""
    good = {
        "zarr_format": 2,
        "shape": [4],
        "chunks": [2],
        "dtype": "<i4",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    return {".zarray": json.dumps({**good, **fields}).encode()}


def document_v3(**fields: Any) -> dict[str, bytes]:
    """The same in format 3."""
    good = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4],
        "data_type": "int32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [LITTLE],
    }
    return {"zarr.json": json.dumps({**good, **fields}).encode()}


@pytest.mark.formats(2)
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"compressor": {"id": "nope"}}, "nope"),
        ({"compressor": {"id": "zlib", "level": 77}}, "level"),
        ({"compressor": {"id": "zlib", "colour": 1}}, "colour"),
        ({"compressor": {"id": "os"}}, "os"),
        ({"filters": [{"id": "delta"}]}, "dtype"),
        ({"filters": [{"id": "pickle"}]}, "allow_pickle"),
        ({"dtype": "|O"}, "object"),
        ({"dtype": "|O", "filters": [{"id": "delta", "dtype": "<i4"}]}, "object"),
        ({"chunks": [2**40], "compressor": {"id": "blosc"}}, "blosc"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_documents_that_no_codec_can_serve(fields: dict[str, Any], says: str) -> None:
    modules = set(sys.modules)
    with pytest.raises(ndzarr.MetadataError, match=says) as caught:
        ndzarr.open(document(**fields))
    assert caught.value.field or caught.value.codec
    assert not {m for m in set(sys.modules) - modules if not m.startswith(("ndzarr", "numcodecs"))} & {"nope", "antigravity"}


@pytest.mark.formats(3)
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"codecs": [LITTLE, "nope"]}, "nope"),
        ({"codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 77}}]}, "level"),
        ({"codecs": [LITTLE, {"name": "numcodecs.zlib", "configuration": {"level": 1, "colour": 1}}]}, "colour"),
        ({"codecs": [LITTLE, "os"]}, "os"),
        ({"codecs": ["antigravity", LITTLE]}, "antigravity"),
        ({"codecs": ["numcodecs.delta", LITTLE]}, "dtype"),
        ({"codecs": ["numcodecs.pickle"]}, "pickle"),
        ({"codecs": ["numcodecs.pickle"], "data_type": "bytes", "fill_value": ""}, "allow_pickle"),
        ({"codecs": ["vlen-utf8"]}, "vlen-utf8"),
        ({"codecs": [LITTLE], "data_type": "string", "fill_value": ""}, "bytes"),
        ({"codecs": [LITTLE], "data_type": "bytes", "fill_value": ""}, "bytes"),
        ({"codecs": [LITTLE, LITTLE]}, "bytes"),
        ({"codecs": ["crc32c", LITTLE]}, "crc32c"),
        ({"codecs": ["crc32c"]}, "codecs"),
        ({"codecs": []}, "codecs"),
        ({"codecs": [{"name": "packbits", "configuration": {"last_bit": 40}}]}, "bits 0 to 40"),
        (
            {
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**40]}},
                "codecs": [LITTLE, {"name": "numcodecs.blosc", "configuration": {}}],
            },
            "blosc",
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_documents_of_format_3_that_no_codec_can_serve(fields: dict[str, Any], says: str) -> None:
    modules = set(sys.modules)
    with pytest.raises(ndzarr.MetadataError, match=says) as caught:
        ndzarr.open(document_v3(**fields))
    assert caught.value.field or caught.value.codec
    assert not {m for m in set(sys.modules) - modules if not m.startswith(("ndzarr", "numcodecs"))} & {"nope", "antigravity"}


class Bomb:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.path), "w")


@pytest.mark.formats(2)
def test_opening_runs_nothing(tmp_path: Path) -> None:
    """Promise P13: a pickle in the store, under every id that might load it, does not run."""
    canary = tmp_path / "canary"
    payload = pickle.dumps([Bomb(canary)])
    for codec in ("pickle", "json2", "msgpack2", "vlen-utf8", "vlen-bytes"):
        store = document(dtype="|O", filters=[{"id": codec}])
        store |= {"0": payload, "1": payload, ".zattrs": b"{}"}
        with pytest.raises(ndzarr.DataError):
            ndzarr.open(store)[...]
    store = document(dtype="|O", filters=[{"id": "vlen-array", "dtype": "|O"}])
    store |= {"0": payload}
    with pytest.raises(ndzarr.DataError):
        ndzarr.open(store)[...]
    assert not canary.exists()


@pytest.mark.formats(3)
def test_opening_format_3_runs_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps([Bomb(canary)])
    for data_type in ("bytes", "string", "variable_length_bytes", "int32", "r32", "object", "numcodecs.pickle"):
        for codec in ("pickle", "numcodecs.pickle", "numcodecs.json2", "numcodecs.msgpack2", "vlen-utf8", "vlen-bytes"):
            store = document_v3(data_type=data_type, codecs=[codec], fill_value=0 if data_type == "int32" else "")
            store |= {"c/0": payload, "c/1": payload}
            with pytest.raises(ndzarr.DataError):
                ndzarr.open(store)[...]
    assert not canary.exists()
    pickle.loads(payload)[0].close()
    assert canary.exists()  # so the trap does spring


def test_huge_shapes_cost_nothing(zarr_format: int) -> None:
    """Sizes are Python ints: nothing overflows, and only what is touched is read."""

    def store(length: int, chunk: int) -> dict[str, bytes]:
        if zarr_format == 2:
            return document(shape=[length], chunks=[chunk])
        return document_v3(shape=[length], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [chunk]}})

    z = ndzarr.open(store(2**62, 2**60))
    assert z.nbytes == 2**64
    assert z[2**62 - 1] == 0
    assert z[5:8].tolist() == [0, 0, 0]
    w = ndzarr.open_array(store(2**62, 2**60), "r+")
    with pytest.raises(ndzarr.MemoryLimitError, match="no memory for a chunk"):
        w[0] = 1
    with pytest.raises(ndzarr.MemoryLimitError, match="half of the memory that is free"):
        z[...]
    with ndzarr.options(max_result=None), pytest.raises(ndzarr.MemoryLimitError, match="no memory for a result"):
        z[...]
    with pytest.raises(ndzarr.MetadataError, match="chunks"):
        ndzarr.open(store(2**62, 2**62))


@pytest.mark.formats(3)
def test_huge_shards_and_lengths_cost_nothing() -> None:
    """A shard of 2**40 chunks has an index of 2**44 bytes: it is refused, or not looked for, but never allocated."""
    sharding = {"name": "sharding_indexed", "configuration": {"chunk_shape": [1], "codecs": [LITTLE], "index_codecs": [LITTLE]}}
    huge = document_v3(
        shape=[2**62], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2**40]}}, codecs=[sharding]
    )
    lengths = document_v3(
        shape=[2**62],
        chunk_grid={"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[[1, 2**62]]]}},
    )
    tracemalloc.start()
    try:
        z = ndzarr.open_array(huge | {"c/0": b"\x00" * 100})
        assert z[2**62 - 1] == 0
        with pytest.raises((ndzarr.CorruptChunkError, ndzarr.MemoryLimitError)):
            z[0]
        z = ndzarr.open_array(lengths | {"c/5": b"\x07\x00\x00\x00"})
        assert z.nchunks == 2**62
        assert z[4:7].tolist() == [0, 7, 0]
        assert z[2**62 - 1] == 0
        assert len(repr(z)) < 300
        assert len(repr(z.info)) < 2000
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
