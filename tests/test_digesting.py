"""`z.digest()`: equal for equal elements however they are stored, another for any other element."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ndzarr
from ndzarr.canonical import dtype_name, element_bytes
from ndzarr.digesting import block_shape

RNG = np.random.default_rng(20)


def by_the_book(array: Any) -> str:
    """The definition in docs/knowing.md, in a few plain lines, for numbers of NumPy's."""
    lengths = [1] * array.ndim
    for axis, n in enumerate(array.shape):
        while lengths[axis] < n:
            lengths[axis] *= 2
    while int(np.prod(lengths, dtype=object)) > 65536:
        lengths[lengths.index(max(lengths))] //= 2
    root = hashlib.sha256(b"\x01ndzarr digest 1\n")
    root.update((json.dumps(array.dtype.name) + "\n" + json.dumps(list(array.shape), separators=(",", ":")) + "\n").encode())
    for start in product(*(range(0, n, step) for n, step in zip(array.shape, lengths, strict=True))):
        block = array[tuple(slice(a, a + n) for a, n in zip(start, lengths, strict=True))]
        root.update(hashlib.sha256(b"\x00" + block.astype(block.dtype.newbyteorder("<")).tobytes()).digest())
    return f"sha256:{root.hexdigest()}"


@pytest.mark.parametrize("shape", [(), (0,), (1,), (70000,), (300, 301), (3, 0, 5), (40, 50, 60), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", ["i2", ">f8", "c8", "u1"])
def test_it_is_what_the_definition_says(shape: tuple[int, ...], dtype: str) -> None:
    a = (RNG.random(shape) * 100).astype(dtype)
    assert ndzarr.array(a, zarr_format=2).digest() == by_the_book(a)


def encodings(rng: Any, shape: tuple[int, ...], itemsize: int, tmp: Any, number: int) -> dict[str, Any]:
    chunks = tuple(int(rng.integers(1, n + 3)) for n in shape)
    version = int(rng.choice([2, 3]))
    create: dict[str, Any] = {
        "chunks": chunks,
        "zarr_format": version,
        "order": rng.choice(["C", "F"]),
        "compressor": rng.choice(["zstd", "zlib", "blosc", "lz4", None]),
    }
    if version == 3 and rng.random() < 0.5:
        create["shards"] = tuple(c * int(rng.integers(1, 4)) for c in chunks)
    elif version == 2:
        create["dimension_separator"] = rng.choice([".", "/"])
        create["filters"] = [{"id": "shuffle", "elementsize": itemsize}] if rng.random() < 0.5 else None
    place = [None, str(tmp / f"{number}.zarr"), str(tmp / f"{number}.zip"), f"sqlite:///{tmp}/{number}.db"]
    return {"store": place[int(rng.integers(len(place)))], **create}


@pytest.mark.parametrize("dtype", ["<f4", ">i8", "M8[s]", "U3", "f2", [("a", "u1"), ("b", ">f4")]])
def test_equal_over_random_re_encodings(dtype: Any, tmp_path: Any, record_property: Any) -> None:
    rng = np.random.default_rng(7)
    count = 34  # six dtypes: 204 in all
    shape = (13, 9, 7)
    raw = rng.integers(0, 100, shape)
    kind = np.dtype(dtype)
    a = np.zeros(shape, kind)
    if kind.names:
        a["a"], a["b"] = raw, raw / 3
    else:
        a[...] = raw.astype(str) if kind.kind == "U" else raw.astype(kind)
    found = set()
    for number in range(count):
        create = encodings(rng, shape, kind.itemsize, tmp_path, number)
        store = create.pop("store")
        swapped = a.astype(a.dtype.newbyteorder(rng.choice(["<", ">"]))) if create["zarr_format"] == 2 else a
        z = ndzarr.create_array(store, shape=shape, dtype=swapped.dtype, **create)
        z[...] = swapped
        with ndzarr.options(working_memory=int(rng.choice([1, 1 << 12, 1 << 26]))):
            found.add(z.digest())
        z.store.close()
    assert len(found) == 1
    record_property("count: re-encodings of one digest", count)


def changes(a: Any) -> Iterator[Any]:
    """Arrays that differ from `a`: in each element, in shape, in dtype."""
    for spot in np.ndindex(a.shape):
        b = a.copy()
        raw = bytearray(b[spot].tobytes())
        raw[0] ^= 1
        b[spot] = np.frombuffer(bytes(raw), b.dtype)[0]
        yield b
    yield a.reshape(-1)
    yield a.reshape(a.shape[::-1])
    yield a[:-1]
    yield a.view(f"i{a.itemsize}")
    yield a.T.copy()


@pytest.mark.parametrize("dtype", ["f4", "f8", "u4", "M8[D]", "c16"])
def test_another_for_every_change(dtype: str, record_property: Any) -> None:
    a = RNG.integers(1, 100, (6, 7)).astype(dtype)
    tried = [a, *changes(a.view("f8") if a.dtype.kind == "c" else a)]
    digests = [ndzarr.array(b, chunks=(4,) * b.ndim).digest() for b in tried]
    assert len(set(digests)) == len(tried)
    record_property("count: single changes, each with a digest of its own", len(tried))


TEXT = np.dtypes.StringDType()
#: Digests that programs may have kept: they may never change. Those of text and records are also worked out below, by hand.
GOLDEN = [
    (np.arange(10, dtype="i4"), "a902969d85cf22f85af90c787a872680d0609d768f8ebb82e66ad248601feed6"),
    (np.array([[np.nan, -0.0], [np.inf, 1.5]]), "b77486a4b32f9b23fc4a9234b7c7c6116938d018d6448ae5524f1dfe073d82d4"),
    (np.array(7, "u1"), "463b3a0d1af2f58d40156d0bd1d53ce463048f7d9d749deca45ed64991d4cd71"),
    (np.zeros((0, 3), "f4"), "bb75c7d93a13e626f661972a6707ab897cfac9d0f480b1fbae52fc836ef83b63"),
    (np.array([True, False]), "e064b9749e78da8a5fbf125e933e1be6f0fae1ba9bfa04ecb29cca4ba61fc7e0"),
    (np.array([1, 2], "f2"), "86f67f8fb5686f0305b750e6336cb73ca4e51bbf8471567bb62bc2c5f5bf8638"),
    (np.array([1 + 2j], "c8"), "498605b7519a0802d47a704f3f4e07c308f18befacfd2a26bc5971242824fbce"),
    (np.array(["2020-01-01", "NaT"], "M8[D]"), "88bfc66bc97c50db4f8732156bba371786b8bd2e52b11880761a1b16cab650d4"),
    (np.array(["a", "größer"]), "36fa3a082e4fc1203c27df90f42430ffb995eb2479f784b5040aebdce89ca18d"),
    (np.array([b"a", b"bcd"]), "8fbbbbaf01d4aeb5389bc34052a87e1e343159170bf7291618f21be268c39901"),
    (
        np.array(["", "a", "größer"], np.dtypes.StringDType()),
        "98ef0b64d2292c4add777b9e631e0e50d452ac70c62444569c7ea5207dc6a2b0",
    ),
    (np.array([(1, 2.5)], [("a", "u1"), ("ß", ">f4")]), "8d50c8eabb960ba8c1d829b6a11cd83fdc921a159792fcfe164f931bdd875997"),
    (np.array([1, -2], ml_dtypes.int4), "16e2c8dc6a57e9bfab3c2267d1022ff7a1c47011460eb6fffcadd124d38d296a"),
    (np.array([1, -2], ml_dtypes.bfloat16), "e67971f07ac69ba91764d3392e30aa08ead4ebc03949a03f64c545fa7bdc2ede"),
]


@pytest.mark.parametrize(("array", "digest"), GOLDEN, ids=[str(array.dtype) for array, _ in GOLDEN])
def test_digests_never_change(array: Any, digest: str) -> None:
    assert ndzarr.array(array, zarr_format=2 if array.dtype.names else 3).digest() == f"sha256:{digest}"


def test_digests_worked_out_by_hand() -> None:
    def rooted(dtype: str, shape: str, leaf: bytes) -> str:
        text = f"ndzarr digest 1\n{dtype}\n{shape}\n".encode("ascii")
        return hashlib.sha256(b"\x01" + text + hashlib.sha256(b"\x00" + leaf).digest()).hexdigest()

    words = b"".join(b"s" + len(t.encode()).to_bytes(8, "little") + t.encode() for t in ("", "a", "größer"))
    assert rooted('"variable"', "[3]", words) == GOLDEN[10][1]
    assert rooted('[["a","uint8"],["\\u00df","float32"]]', "[1]", b"\x01" + bytes.fromhex("00002040")) == GOLDEN[11][1]
    g = ndzarr.create_group(None, members={"a": {"x": [1, 2, 3]}, "b": np.arange(2.0)})
    assert g.digest() == "sha256:d13fa4eb77a08e8acdabc83a6e236287eadd3bb56318845d5031783dbcaf8d04"
    text = "ndzarr digest 1\n" + "".join(f'"{name}" {g[name].digest()}\n' for name in "ab")
    assert g.digest() == "sha256:" + hashlib.sha256(b"\x02" + text.encode()).hexdigest()


def test_bits_count_and_attributes_do_not() -> None:
    def of(*values: Any, dtype: Any = "f8") -> str:
        return ndzarr.array(np.array(values, dtype)).digest()

    assert of(0.0) != of(-0.0)
    one, other = np.array([0x7FF8000000000000, 0x7FF8000000000001], "u8").view("f8")
    assert of(one) == of(one) != of(other)
    assert of("NaT", dtype="M8[s]") != of(0, dtype="M8[s]") != of(0, dtype="M8[ms]")
    assert of("a", dtype="U3") != of("a", dtype="U4")
    assert ndzarr.array([1]).digest() == ndzarr.array([1], attributes={"a": 1}).digest()
    assert ndzarr.zeros(5).digest() == ndzarr.array(np.zeros(5)).digest()  # no chunk, and chunks
    assert ndzarr.array(np.array([True, False])).digest() == ndzarr.array(np.array([2, 0], "u1").view(bool)).digest()


def test_text_and_bytes_are_the_same_in_both_formats() -> None:
    words = ["", "a", "größer", "\U0001f600", "b" * 300]
    two = ndzarr.create_array(None, shape=5, dtype=object, zarr_format=2, filters=[{"id": "vlen-utf8"}], chunks=2)
    two[:] = np.array(words, object)
    three = ndzarr.array(np.array(words, np.dtypes.StringDType()), chunks=3)
    assert two.digest() == three.digest()
    for k in range(5):
        changed = words.copy()
        changed[k] += "x"
        assert ndzarr.array(np.array(changed, np.dtypes.StringDType())).digest() != two.digest()
    octets = ndzarr.create_array(None, shape=2, dtype=object, zarr_format=2, filters=[{"id": "vlen-bytes"}])
    octets[:] = np.array([b"a", b""], object)
    text = ndzarr.array(np.array(["a", ""], np.dtypes.StringDType()))
    assert octets.digest() != text.digest()


def test_objects_by_class_and_value() -> None:
    def of(item: Any) -> bytes:
        array = np.empty(1, object)
        array[0] = item
        return bytes(element_bytes(array))

    items = [None, True, False, 1, 0, 1.0, -0.0, 0.0, "1", b"1", [], [1], [[1]], {}, {"a": 1}, {"a": 2}, np.arange(2), 2**70]
    assert len({of(item) for item in items}) == len(items)
    assert of({"a": 1, "b": 2}) == of({"b": 2, "a": 1})
    with pytest.raises(ndzarr.ArgumentError, match="complex"):
        of(1j)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3", "int4", "uint2", "float4_e2m1fn"])
def test_types_of_ml_dtypes(name: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, name))
    a = np.array([0, 1, 1, 0, 1], "f4").astype(kind)
    z = ndzarr.array(a, chunks=2)
    assert dtype_name(kind) == name
    assert z.digest() == ndzarr.array(a, chunks=5, compressor=None).digest()
    b = a.copy()
    b[3] = b[1]
    assert ndzarr.array(b).digest() != z.digest()


def test_padding_between_fields_does_not_count() -> None:
    packed = np.dtype([("a", "u1"), ("b", "<f8")])
    padded = np.dtype([("a", "u1"), ("b", "<f8")], align=True)
    a = np.zeros(3, padded)
    a.view("u1")[...] = 255  # the padding too
    b = np.zeros(3, packed)
    b["a"], b["b"] = a["a"], a["b"]
    assert bytes(element_bytes(a)) == bytes(element_bytes(b))
    assert dtype_name(padded) == dtype_name(packed)


@pytest.mark.parametrize("dtype", ["g", "G", ">g"])
def test_padding_of_long_doubles_does_not_count(dtype: str) -> None:
    used = 10 if np.finfo("g").nmant == 63 else np.dtype("g").itemsize
    clean, dirty = (np.full((3, 2), fill, np.uint8).repeat(np.dtype(dtype).itemsize // 2, 1) for fill in (0, 255))
    bits = np.arange(3 * clean.shape[1], dtype=np.uint8).reshape(clean.shape)
    counts = np.arange(clean.shape[1]) % np.dtype("g").itemsize < used
    if dtype[0] == ">":
        counts = counts[::-1]
    a, b = (np.where(counts, bits, side).copy().view(dtype)[:, 0] for side in (clean, dirty))
    fields = [np.array([(x, 1) for x in side], [("x", dtype), ("n", "u1")]) for side in (a, b)]
    fields[1].view(np.uint8).reshape(3, -1)[:, : clean.shape[1]] = b.view(np.uint8).reshape(3, -1)
    sides = [ndzarr.array(side, zarr_format=2, compressor=None) for side in (a, b, *fields)]
    digests = [side.digest() for side in sides]
    assert digests[0] == digests[1] != digests[2] == digests[3]
    b[1] = 5
    assert ndzarr.array(b, zarr_format=2).digest() != digests[0]


def test_groups() -> None:
    g = ndzarr.create_group(None)
    g["a/b"] = np.arange(5)
    g["c"] = np.arange(3.0)
    h = ndzarr.create_group(None, zarr_format=2, attributes={"x": 1})
    h.create_array("c", shape=3, dtype=">f8", chunks=1)[:] = np.arange(3.0)
    h.create_array("a/b", shape=5, dtype="i8", chunks=2)[:] = np.arange(5)
    steps: list[tuple[int, int]] = []
    assert g.digest(progress=lambda done, total: steps.append((done, total))) == h.digest()
    assert steps[-1] == (8, 8)
    before = h.digest()
    h["a/b"][4] = 7
    changed = h.digest()
    h["a/b"][4] = 4
    h.create_group("e")
    assert len({before, changed, h.digest()}) == 3
    del h["e"]
    assert h.digest() == before


def test_algorithms() -> None:
    z = ndzarr.array([1, 2, 3])
    assert z.digest(algorithm="blake2b").startswith("blake2b:")
    for wrong in ("shake_128", "crc32", ""):
        with pytest.raises(ndzarr.ArgumentError, match="algorithm"):
            z.digest(algorithm=wrong)


@pytest.mark.parametrize("chunks", [(64, 256), (100, 100), (1, 600), (600, 1)])
def test_chunks_are_decoded_as_often_as_memory_says(chunks: tuple[int, int]) -> None:
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(600, 600), dtype="f8", chunks=chunks)
    z[:] = 1
    store.clear()
    z.digest()
    assert store.counts().requests["get"] == z.nchunks  # all of it fits: once each
    if min(chunks) > 1:
        store.clear()
        with ndzarr.options(working_memory=1 << 20):  # 2**16 elements in half of it: one block at a time
            z.digest()
        assert z.nchunks <= store.counts().requests["get"] <= 4 * z.nchunks


def test_blocks() -> None:
    for shape in [(10**9,), (1, 10**6), (1000, 1000, 1000), (7, 1, 1, 5000)]:
        lengths = block_shape(shape)
        assert np.prod(lengths) <= 1 << 16
        assert all(n & (n - 1) == 0 for n in lengths)
