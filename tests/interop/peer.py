"""Writes a matrix of Zarr v2 arrays with zarr-python, or reads one that somebody wrote; run by the peer's own Python.

    python peer.py write DIR    all arrays that this zarr-python can write, and what they must hold: DIR/manifest.json
    python peer.py read DIR     read every array of DIR/manifest.json, print {path: "ok", "wrong: ..." or "error: ..."}

Needs only zarr (2.18 or 3), numpy and numcodecs, none of which is imported before it is needed: the tests import this
file too, so that `cases()` is the one list of what is written, by zarr-python and by ndzarr.

The manifest: {"arrays": [entry], "groups": {path: attributes}, "consolidated": path of a group with .zmetadata}. An
entry holds path, family, shape, chunks, order, separator, compressor, filters, attributes, fill (see `pack_fill`),
holes (regions of chunks never written, as [start, stop] pairs), and expected: the name of an .npy file, or {"objects":
packed} (see `pack`). An array that the writer could not write has "error" too; "self" says how the writer's own reading
differs, if it does, and "read_back" and "fill_read_back" what it reads.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

Json = Any
Config = dict[str, Any]


# ---- the matrix ----


@dataclass
class Case:
    """One array: how it is stored and what it holds. `data` is what is written; `expected` what must be read."""

    path: str
    data: np.ndarray
    chunks: tuple[int, ...]
    order: str = "C"
    separator: str = "."
    compressor: Config | None = None
    filters: list[Config] = field(default_factory=list)
    fill: Any = 0
    holes: bool = False
    attributes: dict[str, Json] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The first two parts of the path: what the tests group by."""
        return "/".join(self.path.split("/")[:2])

    @property
    def object_codec(self) -> str | None:
        return self.filters[0]["id"] if self.data.dtype.kind == "O" else None

    def regions(self) -> Iterator[tuple[bool, tuple[slice, ...]]]:
        """Each chunk: whether it is written, and which part of the array it is."""
        grid = product(*(range(-(-n // c)) for n, c in zip(self.data.shape, self.chunks, strict=True)))
        for number, coords in enumerate(grid):
            region = tuple(slice(k * c, (k + 1) * c) for k, c in zip(coords, self.chunks, strict=True))
            yield not (self.holes and number % 3 == 1), region

    def expected(self) -> np.ndarray:
        """What a reader must see: lossy filters applied, missing chunks filled (an undefined fill value reads as
        zero)."""
        wanted = roundtrip(self.data, self.filters)
        empty = {"vlen-utf8": "", "vlen-bytes": b""}.get(self.object_codec or "")
        for written, region in self.regions():
            if not written:
                if self.data.dtype.kind == "O":
                    wanted[region] = empty if self.fill is None else self.fill
                else:
                    wanted[region] = np.zeros((), self.data.dtype) if self.fill is None else self.fill
        return wanted


#: Filters that give back something else than they were given; all of them work element by element.
LOSSY = ("quantize", "fixedscaleoffset", "astype", "bitround")


def roundtrip(data: np.ndarray, filters: list[Config]) -> np.ndarray:
    """`data` after encoding and decoding by the lossy ones among `filters`."""
    lossy = [f for f in filters if f["id"] in LOSSY]
    if not lossy:
        return data.copy()
    import numcodecs

    codecs = [numcodecs.get_codec(dict(config)) for config in lossy]
    value = np.ascontiguousarray(data).reshape(-1)
    for codec in codecs:
        value = codec.encode(value)
    for codec in reversed(codecs):
        value = np.asarray(codec.decode(value))
    return value.view(data.dtype).reshape(data.shape).copy()


SIMPLE_DTYPES = (
    ["|b1", "|i1", "|u1"]
    + [order + kind for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16") for order in "<>"]
    + ["<f16", "<c32"]
    + [f"<M8[{unit}]" for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s", "7D", "100ns")]
    + [f"<m8[{unit}]" for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s")]
    + [">M8[ns]", ">m8[s]", "<M8", "<m8"]
    + ["|S1", "|S5", "<U1", "<U4", ">U4", "|V3", "|V16"]
)
STRUCTURED: dict[str, Any] = {
    "flat": [("a", "<i4"), ("b", "<f8"), ("c", "|S3")],
    "mixed-endian": [("a", ">i4"), ("b", "<f2"), ("c", "|b1")],
    "text-dates": [("u", "<U3"), ("m", "<M8[us]"), ("d", "<m8[25s]")],
    "nested": [("a", "<i2"), ("b", [("p", "<f4"), ("q", [("r", "|u1"), ("s", ">i8")])])],
    "subarray": [("a", "<i4", (2,)), ("b", "<f8")],
    "subarray-2d": [("a", "<i2"), ("b", "<f4", (2, 3))],
    "subarray-nested": [("a", "<i2"), ("b", [("p", "<f4", (2,))], (2,))],
    "aligned": np.dtype([("a", "|u1"), ("b", "<f8"), ("c", "<i2")], align=True),
    "offsets": np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [2, 8], "itemsize": 12}),
}
BASIC_COMPRESSORS: dict[str, Config | None] = {
    "none": None,
    "zlib": {"id": "zlib", "level": 1},
    "zstd": {"id": "zstd", "level": 1},
    "blosc": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
}
LZMA_FILTERS = [{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]
CHECKSUMS = ("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3")


def _compressors() -> dict[str, Config]:
    found: dict[str, Config] = {
        "zlib-0": {"id": "zlib", "level": 0},
        "zlib-9": {"id": "zlib", "level": 9},
        "gzip-1": {"id": "gzip", "level": 1},
        "gzip-9": {"id": "gzip", "level": 9},
        "bz2-1": {"id": "bz2", "level": 1},
        "bz2-9": {"id": "bz2", "level": 9},
        "lzma": {"id": "lzma", "format": 1, "check": -1, "preset": None, "filters": None},
        "lzma-preset": {"id": "lzma", "format": 1, "check": 0, "preset": 1, "filters": None},
        "lzma-alone": {"id": "lzma", "format": 2, "check": -1, "preset": 1, "filters": None},
        "lzma-delta": {"id": "lzma", "format": 1, "check": -1, "preset": None, "filters": LZMA_FILTERS},
        "lzma-raw": {"id": "lzma", "format": 3, "check": -1, "preset": None, "filters": LZMA_FILTERS},
        "lz4-1": {"id": "lz4", "acceleration": 1},
        "lz4-9": {"id": "lz4", "acceleration": 9},
        "zstd-0": {"id": "zstd", "level": 0},
        "zstd-minus-5": {"id": "zstd", "level": -5},
        "zstd-22": {"id": "zstd", "level": 22},
        "zstd-checksum": {"id": "zstd", "level": 3, "checksum": True},
        "blosc-0": {"id": "blosc", "cname": "lz4", "clevel": 0, "shuffle": 1, "blocksize": 0},
        "blosc-blocks": {"id": "blosc", "cname": "zstd", "clevel": 9, "shuffle": 2, "blocksize": 128},
        "crc32-end": {"id": "crc32", "location": "end"},
        "crc32c-start": {"id": "crc32c", "location": "start"},
        "adler32-end": {"id": "adler32", "location": "end"},
    }
    for cname, shuffle in product(("blosclz", "lz4", "lz4hc", "zlib", "zstd"), (-1, 0, 1, 2)):
        found[f"blosc-{cname}-{shuffle}".replace("--", "-auto")] = {
            "id": "blosc",
            "cname": cname,
            "clevel": 5,
            "shuffle": shuffle,
            "blocksize": 0,
        }
    for name in CHECKSUMS:
        found[name] = _checksum(name)
    return found


def _checksum(name: str) -> Config:
    if name == "jenkins_lookup3":
        return {"id": name, "initval": 0, "prefix": None}
    return {"id": name}


def _filters() -> dict[str, tuple[str, list[Config]]]:
    """name: (dtype of the array, filters)."""
    delta = {"id": "delta", "dtype": "<i4", "astype": "<i4"}
    scale = {"id": "fixedscaleoffset", "offset": 10, "scale": 10, "dtype": "<f8", "astype": "<i2"}
    shuffle = {"id": "shuffle", "elementsize": 4}
    found: dict[str, tuple[str, list[Config]]] = {
        "delta-i4": ("<i4", [delta]),
        "delta-i4-i2": ("<i4", [{"id": "delta", "dtype": "<i4", "astype": "<i2"}]),
        "delta-big": (">i2", [{"id": "delta", "dtype": ">i2", "astype": ">i2"}]),
        "delta-u1-i1": ("|u1", [{"id": "delta", "dtype": "|u1", "astype": "|i1"}]),
        "delta-f8": ("<f8", [{"id": "delta", "dtype": "<f8", "astype": "<f8"}]),
        "quantize-f8": ("<f8", [{"id": "quantize", "digits": 1, "dtype": "<f8", "astype": "<f8"}]),
        "quantize-f8-f4": ("<f8", [{"id": "quantize", "digits": 2, "dtype": "<f8", "astype": "<f4"}]),
        "quantize-f4": ("<f4", [{"id": "quantize", "digits": 0, "dtype": "<f4", "astype": "<f4"}]),
        "shuffle-i4": ("<i4", [shuffle]),
        "shuffle-f8": ("<f8", [{"id": "shuffle", "elementsize": 8}]),
        "shuffle-S5": ("|S5", [{"id": "shuffle", "elementsize": 5}]),
        "scale-f8-i2": ("<f8", [scale]),
        "scale-f4-u1": ("<f4", [{"id": "fixedscaleoffset", "offset": -2, "scale": 2, "dtype": "<f4", "astype": "|u1"}]),
        "scale-big": (">f8", [{"id": "fixedscaleoffset", "offset": 0, "scale": 10, "dtype": ">f8", "astype": ">i4"}]),
        "astype-f8-f4": ("<f8", [{"id": "astype", "encode_dtype": "<f4", "decode_dtype": "<f8"}]),
        "astype-i8-i2": ("<i8", [{"id": "astype", "encode_dtype": ">i2", "decode_dtype": "<i8"}]),
        "bitround-f4": ("<f4", [{"id": "bitround", "keepbits": 3}]),
        "bitround-f8": ("<f8", [{"id": "bitround", "keepbits": 5}]),
        "bitround-f2": ("<f2", [{"id": "bitround", "keepbits": 2}]),
        "packbits": ("|b1", [{"id": "packbits"}]),
        "categorize-U": (
            "<U4",
            [{"id": "categorize", "labels": ["t0", "t1", "t\u00e92"], "dtype": "<U4", "astype": "|u1"}],
        ),
        "base64": ("<i4", [{"id": "base64"}]),
        "base64-f8": ("<f8", [{"id": "base64"}]),
        "scale-delta": ("<f8", [scale, {"id": "delta", "dtype": "<i2", "astype": "<i2"}]),
        "astype-bitround": (
            "<f8",
            [{"id": "astype", "encode_dtype": "<f4", "decode_dtype": "<f8"}, {"id": "bitround", "keepbits": 4}],
        ),
        "quantize-shuffle": (
            "<f4",
            [{"id": "quantize", "digits": 1, "dtype": "<f4", "astype": "<f4"}, {"id": "shuffle", "elementsize": 4}],
        ),
        "delta-shuffle": ("<i4", [delta, shuffle]),
        "delta-delta": ("<i4", [delta, delta]),
        "delta-crc32c": ("<i4", [delta, {"id": "crc32c"}]),
        "packbits-crc32": ("|b1", [{"id": "packbits"}, {"id": "crc32"}]),
        "shuffle-fletcher32": ("<i4", [shuffle, {"id": "fletcher32"}]),
        "zlib-as-filter": ("<i4", [{"id": "zlib", "level": 1}]),
        "crc32-adler32": ("<i4", [{"id": "crc32"}, {"id": "adler32"}]),
    }
    for name in CHECKSUMS:
        found[name] = ("<i4", [_checksum(name)])
        found[f"{name}-f8"] = ("<f8", [_checksum(name)])
    return found


def _objects(rows: int, columns: int) -> dict[str, tuple[np.ndarray, Config, Any]]:
    """name: (values, object codec, fill value)."""

    def grid(values: list[Any]) -> np.ndarray:
        made = np.empty(rows * columns, object)
        for n in range(made.size):
            made[n] = values[n % len(values)]
        return made.reshape(rows, columns)

    strings = grid(["", "a", "\u00e4\u00f6\u00fc", "\U0001f600 x", "line\nbreak", "nul\0in", "long " * 50])
    binary = grid([b"", b"a", b"\xff\x00", b"long" * 50])
    plain = grid(["", "a", "\u00e4", "bc"])
    json_values = grid([None, 1, 2.5, "text", [1, [2]], {"k": [True, None]}, False, "\u00e4"])
    ragged = grid([np.arange(n) for n in (0, 1, 5, 2)])
    json_config = {
        "id": "json2",
        "encoding": "utf-8",
        "allow_nan": True,
        "check_circular": True,
        "ensure_ascii": True,
        "indent": None,
        "separators": [",", ":"],
        "skipkeys": False,
        "sort_keys": True,
        "strict": True,
    }
    return {
        "vlen-utf8": (strings, {"id": "vlen-utf8"}, ""),
        "vlen-utf8-null": (strings, {"id": "vlen-utf8"}, None),
        "vlen-utf8-fill": (strings, {"id": "vlen-utf8"}, "f\u00fcll"),
        "vlen-bytes": (binary, {"id": "vlen-bytes"}, b""),
        "vlen-bytes-null": (binary, {"id": "vlen-bytes"}, None),
        "vlen-array-i4": (_cast(ragged, "<i4"), {"id": "vlen-array", "dtype": "<i4"}, None),
        "vlen-array-f8": (_cast(ragged, "<f8"), {"id": "vlen-array", "dtype": "<f8"}, None),
        "json2": (json_values, json_config, None),
        "msgpack2": (
            json_values,
            {"id": "msgpack2", "raw": False, "use_bin_type": True, "use_single_float": False},
            None,
        ),
        "categorize": (
            plain,
            {"id": "categorize", "labels": ["", "a", "\u00e4", "bc"], "dtype": "|O", "astype": "|u1"},
            None,
        ),
        "pickle": (grid([1, "a", (1, 2), {3}]), {"id": "pickle", "protocol": 4}, None),
    }


def _cast(ragged: np.ndarray, dtype: str) -> np.ndarray:
    made = np.empty(ragged.shape, object)
    for at in np.ndindex(ragged.shape):
        made[at] = ragged[at].astype(dtype)
    return made


def _fills() -> dict[str, tuple[Any, Any]]:
    """name: (dtype, fill value)."""
    nan, inf = float("nan"), float("inf")
    flat = np.dtype(STRUCTURED["flat"])
    return {
        "i4-null": ("<i4", None),
        "i4-zero": ("<i4", 0),
        "i4-minus-7": ("<i4", -7),
        "i8-least": ("<i8", -(1 << 63)),
        "u8-largest": ("<u8", (1 << 64) - 1),
        "big-i4": (">i4", 1000),
        "b1-true": ("|b1", True),
        "b1-null": ("|b1", None),
        "f2": ("<f2", 0.1),
        "f4": ("<f4", np.float32(0.1)),
        "f8": ("<f8", 1e300),
        "f8-null": ("<f8", None),
        "f8-minus-zero": ("<f8", -0.0),
        "f8-nan": ("<f8", nan),
        "f8-inf": ("<f8", inf),
        "f8-minus-inf": ("<f8", -inf),
        "big-f8-nan": (">f8", nan),
        "f16": ("<f16", 1.5),
        "f16-nan": ("<f16", nan),
        "c16": ("<c16", 1 - 2j),
        "c16-zero": ("<c16", 0),
        "c16-nan-inf": ("<c16", complex(nan, inf)),
        "c8-minus-inf": ("<c8", complex(-0.0, -inf)),
        "big-c16": (">c16", 1 - 2j),
        "M8-null": ("<M8[ns]", None),
        "M8-zero": ("<M8[ns]", np.datetime64(0, "ns")),
        "M8-NaT": ("<M8[ns]", np.datetime64("NaT", "ns")),
        "M8-date": ("<M8[D]", np.datetime64("2020-02-29", "D")),
        "M8-25s": ("<M8[25s]", np.datetime64(7, ("s", 25))),
        "m8": ("<m8[s]", np.timedelta64(-5, "s")),
        "m8-NaT": (">m8[s]", np.timedelta64("NaT", "s")),
        "S5": ("|S5", b"ab"),
        "S5-empty": ("|S5", b""),
        "S5-null": ("|S5", None),
        "S5-bytes": ("|S5", b"\xff\x00a"),
        "U4": ("<U4", "\u00e4\u00f6"),
        "U4-empty": ("<U4", ""),
        "U4-null": ("<U4", None),
        "big-U4": (">U4", "ab"),
        "V3": ("|V3", np.void(b"abc")),
        "V3-null": ("|V3", None),
        "flat": (flat, np.array((1, 2.5, b"xy"), flat)[()]),
        "flat-null": (flat, None),
        "flat-zero": (flat, np.zeros((), flat)[()]),
        "nested": (np.dtype(STRUCTURED["nested"]), np.array((1, (2.5, (3, 4))), STRUCTURED["nested"])[()]),
        "aligned": (STRUCTURED["aligned"], np.array((1, 2.5, 3), STRUCTURED["aligned"])[()]),
    }


ATTRIBUTES = {
    "text": "\u00e4\u00f6\u00fc \u2603 \U0001f600",
    "nested": {"list": [1, 2.5, None, True, {"k": "v"}], "empty": {}},
    "schl\u00fcssel": [],
    "_ARRAY_DIMENSIONS": ["y", "x"],
    "big": 1 << 53,
    "number": 1.5,
}


def pattern(shape: tuple[int, ...], dtype: Any, *, special: bool = True) -> np.ndarray:
    """Values that differ from one another; NaN, infinities, -0.0 and NaT among them where the dtype has them."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape))
    count = np.arange(1, size + 1)
    made = np.zeros(size, dtype)
    if dtype.fields is not None:
        for name in dtype.names:
            inner = dtype.fields[name][0]
            made[name] = pattern((size, *inner.shape), inner.base, special=special)
        return made.reshape(shape)
    kind = dtype.kind
    if kind == "b":
        made[:] = count % 3 == 0
    elif kind == "i":
        made[:] = (count * 7 % 100) * np.where(count % 2, 1, -1)
    elif kind == "u":
        made[:] = count * 7 % 100
    elif kind in "fc":
        made[:] = count * 0.5 - 3
        if kind == "c":
            made.imag = count
        if special:
            made[3::5] = [np.nan, np.inf, -np.inf, -0.0][: made[3::5].size] if made[3::5].size <= 4 else np.nan
    elif kind in "mM":
        counts = made.view(np.dtype("i8").newbyteorder(dtype.byteorder))
        counts[:] = count * 11
        counts[3::5] = np.iinfo("i8").min  # NaT, without the name: NumPy 2.5 warns of it where there is no unit
    elif kind in "SU":
        made[:] = [f"t\u00e9{n % 3}" if kind == "U" and n % 3 == 2 else f"t{n % 3}" for n in count]
    elif kind == "V":
        made.view("u1").reshape(size, dtype.itemsize)[:] = count[:, None] % 256
    return made.reshape(shape)


def cases() -> list[Case]:
    """The whole matrix."""
    return [*_dtype_cases(), *_codec_cases(), *_filter_cases(), *_fill_cases(), *_layout_cases(), *_object_cases()]


SHAPE, CHUNKS = (5, 3), (3, 2)


def _dtype_cases() -> Iterator[Case]:
    named = {_label(d): d for d in SIMPLE_DTYPES} | {f"struct-{name}": d for name, d in STRUCTURED.items()}
    for label, dtype in named.items():
        data = pattern(SHAPE, dtype)
        for (codec, config), order, separator in product(BASIC_COMPRESSORS.items(), "CF", "./"):
            place = "dot" if separator == "." else "slash"
            yield Case(
                f"dtypes/{label}/{codec}-{order}-{place}",
                data,
                CHUNKS,
                order,
                separator,
                config,
                fill=np.zeros((), dtype)[()],
                attributes=ATTRIBUTES if codec == "zlib" else {},
            )


def _label(dtype: str) -> str:
    return dtype.replace("<", "").replace("|", "").replace(">", "big-").replace("[", "-").replace("]", "")


def _codec_cases() -> Iterator[Case]:
    for (name, config), dtype, order in product(_compressors().items(), ("<i4", "<f8", ">i2", "|b1", "<U4"), "CF"):
        yield Case(
            f"codecs/{name}/{_label(dtype)}-{order}",
            pattern((20, 9), dtype),
            (12, 5),
            order,
            compressor=config,
            fill=None,
        )


def _filter_cases() -> Iterator[Case]:
    for (name, (dtype, filters)), codec, order in product(_filters().items(), ("none", "zlib"), "CF"):
        data = pattern((7, 5), dtype, special=False)
        yield Case(f"filters/{name}/{codec}-{order}", data, (4, 3), order, ".", BASIC_COMPRESSORS[codec], filters, fill=None)


def _fill_cases() -> Iterator[Case]:
    for (name, (dtype, fill)), codec in product(_fills().items(), ("none", "zlib")):
        yield Case(
            f"fills/{name}/{codec}",
            pattern((7, 5), dtype),
            (3, 2),
            compressor=BASIC_COMPRESSORS[codec],
            fill=fill,
            holes=True,
        )


def _layout_cases() -> Iterator[Case]:
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "0d": ((), ()),
        "1d": ((7,), (3,)),
        "1d-empty": ((0,), (3,)),
        "2d-empty": ((4, 0), (2, 3)),
        "2d-empty-first": ((0, 3), (1, 2)),
        "3d": ((5, 4, 3), (2, 3, 2)),
        "4d": ((3, 2, 4, 3), (2, 2, 3, 1)),
        "5d-ones": ((1, 1, 1, 1, 1), (1, 1, 1, 1, 1)),
        "large-chunk": ((5, 3), (10, 10)),
        "small-chunks": ((4, 3), (1, 1)),
        "many-chunks": ((13, 12), (1, 5)),
    }
    for (name, (shape, chunks)), order, separator, codec in product(shapes.items(), "CF", "./", ("none", "zlib")):
        place = "dot" if separator == "." else "slash"
        yield Case(
            f"layouts/{name}/{codec}-{order}-{place}",
            pattern(shape, "<i4"),
            chunks,
            order,
            separator,
            BASIC_COMPRESSORS[codec],
            fill=9,
            holes=name in ("3d", "many-chunks"),
        )


def _object_cases() -> Iterator[Case]:
    for (name, (data, codec, fill)), compressor, order in product(_objects(5, 3).items(), ("none", "zlib"), "CF"):
        yield Case(
            f"objects/{name}/{compressor}-{order}",
            data,
            CHUNKS,
            order,
            compressor=BASIC_COMPRESSORS[compressor],
            filters=[codec],
            fill=fill,
            holes=name.startswith(("vlen-utf8", "vlen-bytes")),
        )


GROUPS: dict[str, dict[str, Json]] = {
    "": {"title": "root \u2603"},
    "tree": {},
    "tree/a": {"a": 1, "text": "\u00e4"},
    "tree/a/b": {},
    "tree/a/b/c": {"deep": [1, {"x": None}]},
    "consolidated": {"title": "consolidated \u2603"},
    "consolidated/sub": {"n": 1},
    "consolidated/sub/empty": {},
}
CONSOLIDATED = "consolidated"


def tree_cases() -> list[Case]:
    """A few arrays inside nested groups, some under consolidated metadata."""
    paths = ("tree/x", "tree/a/x", "tree/a/b/c/x", "consolidated/x", "consolidated/sub/y", "consolidated/sub/z")
    return [Case(p, pattern(SHAPE, "<i4"), CHUNKS, compressor={"id": "zlib", "level": 1}, attributes=ATTRIBUTES) for p in paths]


# ---- the manifest ----


def pack(value: Any) -> Json:
    """A Python object as JSON that `unpack` turns back; no pickle."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return {"array": [value.dtype.str, value.tolist()]}
    if isinstance(value, np.generic):
        return pack(value.item())
    if isinstance(value, (list, tuple, set)):
        return {type(value).__name__: [pack(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(k), pack(v)] for k, v in value.items()]}
    return value


def pack_fill(fill: Any, dtype: np.dtype) -> Json:
    """A fill value as JSON: null, the raw bytes of one element, or a packed object."""
    if fill is None:
        return None
    if dtype.kind == "O":
        return {"object": pack(fill)}
    return {"raw": base64.b64encode(np.array(fill, dtype).tobytes()).decode()}


def entry(case: Case, root: str) -> dict[str, Json]:
    """The manifest's entry for a case; its expected value goes to a file beside the manifest."""
    wanted = case.expected()
    made: dict[str, Json] = {
        "path": case.path,
        "family": case.family,
        "shape": list(wanted.shape),
        "chunks": list(case.chunks),
        "order": case.order,
        "separator": case.separator,
        "compressor": case.compressor,
        "filters": case.filters or None,
        "attributes": case.attributes,
        "fill": pack_fill(case.fill, wanted.dtype),
        "holes": [[[s.start, s.stop] for s in region] for written, region in case.regions() if not written],
    }
    made["expected"] = save_values(wanted, case.path, root)
    return made


def save_values(values: np.ndarray, path: str, root: str) -> Json:
    """Keep values for `load_values`; gives what the manifest says of them."""
    values = np.asarray(values)
    if values.dtype.kind == "O":
        return {"shape": list(values.shape), "objects": [pack(v) for v in values.reshape(-1)]}
    name = path.replace("/", "+") + ".npy"
    os.makedirs(os.path.join(root, "expected"), exist_ok=True)
    np.save(os.path.join(root, "expected", name), values)
    return name


def load_values(saved: Json, root: str) -> np.ndarray:
    """The values; objects stay packed, each a JSON text, as `comparable` makes them."""
    if not isinstance(saved, dict):
        return np.asarray(np.load(os.path.join(root, "expected", saved)))
    values = np.empty(len(saved["objects"]), object)
    values[:] = [json.dumps(v, sort_keys=True) for v in saved["objects"]]
    return values.reshape(saved["shape"])


def comparable(values: Any) -> np.ndarray:
    """Objects and variable-length strings as JSON texts, everything else as it is."""
    found: np.ndarray = np.asarray(values)
    if found.dtype.kind not in "OT":
        return found
    packed = np.empty(found.size, object)
    packed[:] = [json.dumps(pack(v), sort_keys=True) for v in found.reshape(-1)]
    return packed.reshape(found.shape)


def differs(got: Any, item: dict[str, Json], root: str, *, undefined: bool = False) -> str | None:
    """How what was read differs from what the manifest expects, or None.

    `undefined=True` leaves out missing chunks without a fill value: zarr-python 2 gives uninitialised memory there.
    """
    wanted = load_values(item["expected"], root)
    got = comparable(got)
    if undefined and item["fill"] is None and got.shape == wanted.shape:
        for hole in item["holes"]:
            at = tuple(slice(*pair) for pair in hole)
            got[at] = wanted[at]
    return array_differs(got, wanted)


def array_differs(got: np.ndarray, wanted: np.ndarray) -> str | None:
    """How two arrays differ, byte order and padding apart, or None; NaNs compare by their bits."""
    wanted = np.asarray(wanted)
    if got.shape != wanted.shape:
        return f"shape {got.shape}, expected {wanted.shape}"
    if wanted.dtype.fields is not None:
        for name in wanted.dtype.names or ():
            if name not in (got.dtype.names or ()):
                return f"dtype {got.dtype}, expected {wanted.dtype}"
            found = array_differs(got[name], wanted[name])
            if found:
                return f"field {name!r}: {found}"
        return None
    if got.dtype.newbyteorder("=") != wanted.dtype.newbyteorder("="):
        return f"dtype {got.dtype}, expected {wanted.dtype}"
    if wanted.dtype.kind == "O":
        same = all(a == b for a, b in zip(got.reshape(-1), wanted.reshape(-1), strict=True))
    elif wanted.dtype.char in "gG":
        same = np.array_equal(got, wanted, equal_nan=True)
    else:
        same = got.astype(wanted.dtype).tobytes() == wanted.tobytes()
    return None if same else f"{got!r}, expected {wanted!r}".replace("\n", " ")[:400]


# ---- zarr-python ----


class Peer:
    """What differs between the two zarr-pythons."""

    def __init__(self, root: str) -> None:
        import numcodecs
        import zarr

        self.zarr = zarr
        self.two = zarr.__version__.startswith("2.")
        self.codec = lambda config: None if config is None else numcodecs.get_codec(dict(config))
        self.root = root
        self.store = zarr.DirectoryStore(root) if self.two else zarr.storage.LocalStore(root)

    def open_group(self, path: str, mode: str) -> Any:
        if self.two:
            return self.zarr.open_group(self.store, mode=mode, path=path)
        return self.zarr.open_group(self.store, mode=mode, path=path, zarr_format=2, use_consolidated=False)

    def open_consolidated(self, path: str) -> Any:
        place = os.path.join(self.root, path)
        if self.two:
            return self.zarr.open_consolidated(self.zarr.DirectoryStore(place), mode="r")
        return self.zarr.open_consolidated(place, zarr_format=2)

    def consolidate(self, path: str) -> None:
        place = os.path.join(self.root, path)
        if self.two:
            self.zarr.consolidate_metadata(self.zarr.DirectoryStore(place))
        else:
            self.zarr.consolidate_metadata(place, zarr_format=2)

    def open_array(self, path: str) -> Any:
        if self.two:
            return self.zarr.open_array(self.store, mode="r", path=path)
        return self.zarr.open_array(self.store, mode="r", path=path, zarr_format=2)

    def create(self, case: Case) -> Any:
        filters = [self.codec(f) for f in case.filters]
        if self.two:
            # An array's own separator needs a store of its own in zarr-python 2.
            store = self.store
            z = self.zarr.create(
                case.data.shape,
                chunks=case.chunks,
                dtype=case.data.dtype,
                compressor=self.codec(case.compressor),
                fill_value=case.fill,
                order=case.order,
                store=store,
                path=case.path,
                filters=filters[1:] if case.object_codec else filters or None,
                object_codec=filters[0] if case.object_codec else None,
                dimension_separator=case.separator,
            )
            z.attrs.update(case.attributes)
            return z
        dtype: Any = case.data.dtype
        if case.object_codec == "vlen-utf8":
            dtype = self.zarr.dtype.VariableLengthUTF8()
        elif case.object_codec == "vlen-bytes":
            dtype = self.zarr.dtype.VariableLengthBytes()
        return self.zarr.create_array(
            self.store,
            name=case.path,
            shape=case.data.shape,
            chunks=case.chunks,
            dtype=dtype,
            compressors=self.codec(case.compressor),
            filters=filters or None,
            fill_value=case.fill,
            order=case.order,
            zarr_format=2,
            attributes=case.attributes,
            chunk_key_encoding={"name": "v2", "separator": case.separator},
        )


def brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


def write(root: str) -> None:
    peer = Peer(root)
    for path, attributes in GROUPS.items():
        peer.open_group(path, "a").attrs.update(attributes)
    for name in ("dtypes", "codecs", "filters", "fills", "layouts", "objects"):
        peer.open_group(name, "a")
    entries = []
    for case in [*cases(), *tree_cases()]:
        item = entry(case, root)
        entries.append(item)
        try:
            z = peer.create(case)
            for written, region in case.regions():
                if written:
                    z[region] = case.data[region]
            with open(os.path.join(root, case.path, ".zarray")) as file:
                document = json.load(file)
            if document["fill_value"] is None:
                item["fill"] = None
            elif case.fill is None:
                item["fill"] = pack_fill(z.fill_value, case.data.dtype)
            item["separator"] = document.get("dimension_separator", ".")
            try:
                reopened = peer.open_array(case.path)
                values = reopened[...]
                found = differs(values, item, root, undefined=True)
                if found:
                    item["self"] = found
                    item["read_back"] = save_values(values, case.path + "+read", root)
                    item["fill_read_back"] = pack_fill(reopened.fill_value, case.data.dtype)
            except Exception as error:
                item["self"] = brief(error)
        except Exception as error:
            item["error"] = brief(error)
    peer.consolidate(CONSOLIDATED)
    manifest = {
        "writer": f"zarr-python {peer.zarr.__version__}",
        "arrays": entries,
        "groups": GROUPS,
        "consolidated": CONSOLIDATED,
    }
    with open(os.path.join(root, "manifest.json"), "w") as file:
        json.dump(manifest, file)


def read(root: str) -> dict[str, str]:
    peer = Peer(root)
    with open(os.path.join(root, "manifest.json")) as file:
        manifest = json.load(file)
    report: dict[str, str] = {}
    for item in manifest["arrays"]:
        if "error" not in item:
            report[item["path"]] = read_array(peer, item, lambda item=item: peer.open_array(item["path"]))
    for path, attributes in manifest["groups"].items():
        report[f"group {path}"] = read_group(lambda path=path: peer.open_group(path, "r"), attributes)
    top = manifest.get("consolidated")
    if top is not None:
        group = peer.open_consolidated(top)
        for item in manifest["arrays"]:
            if item["path"].startswith(top + "/") and "error" not in item:
                name = item["path"][len(top) + 1 :]
                report[f"consolidated {item['path']}"] = read_array(peer, item, lambda name=name: group[name])
        for path, attributes in manifest["groups"].items():
            if path.startswith(top + "/"):
                name = path[len(top) + 1 :]
                report[f"consolidated {path}"] = read_group(lambda name=name: group[name], attributes)
    return report


def compared(got: Any, wanted: Any) -> str | None:
    return None if got == wanted else f"{got!r}, expected {wanted!r}"


def answer(check: Any) -> str:
    try:
        found = check()
    except Exception as error:
        if os.environ.get("PEER_TRACE"):
            traceback.print_exc()
        return f"error: {brief(error)}"
    return "ok" if found is None else f"wrong: {found}"


def read_group(opened: Any, attributes: Any) -> str:
    return answer(lambda: compared(dict(opened().attrs), attributes))


def read_array(peer: Peer, item: dict[str, Json], opened: Any) -> str:
    def check() -> str | None:
        z = opened()
        if tuple(z.chunks) != tuple(item["chunks"]) or z.order != item["order"]:
            return f"chunks {z.chunks} order {z.order!r}, expected {item['chunks']} {item['order']!r}"
        found = differs(z[...], item, peer.root, undefined=peer.two)
        return found or compared(dict(z.attrs), item["attributes"])

    return answer(check)


def main(arguments: list[str]) -> int:
    # The pickles are ours; whether ndzarr refuses them is tested elsewhere.
    os.environ["NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE"] = "1"
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if len(arguments) != 2 or arguments[0] not in ("write", "read"):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments[0] == "write":
        write(arguments[1])
    else:
        json.dump(read(arguments[1]), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
