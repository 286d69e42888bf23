"""The features of Zarr v2 that are tried on other implementations: a document for each, and the values it must hold.

As `v3_features.py`, whose values and plain forms these are: `kind` is the data type as v3 names it.
"""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
v3: Any = importlib.import_module("v3_features")

Json = Any
named = v3.named


@dataclass(frozen=True)
class Case(v3.Case):
    """One array of Zarr v2."""

    kind: Json = "int32"
    fill_plain: Json = 0

    @property
    def data_type(self) -> Json:
        return self.kind

    @property
    def fill(self) -> np.ndarray:
        return np.asarray(v3.fill_of(self.kind, self.fill_plain))


def array(
    section: str,
    row: str,
    dtype: Json = "<i4",
    kind: Json = "int32",
    *,
    shape: tuple[int, ...] = (5, 7),
    chunks: tuple[int, ...] = (3, 3),
    fill: Json = 0,
    fill_plain: Json = None,
    compressor: Json = None,
    filters: Json = None,
    order: str = "C",
    separator: str | None = None,
    data: np.ndarray | None = None,
    lossy: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Case:
    """A case. One in three of its chunks is never written. `fill`: as documents write it; `fill_plain`: as v3 does."""
    document = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype,
        "compressor": compressor,
        "fill_value": fill,
        "order": order,
        "filters": filters,
        **({} if separator is None else {"dimension_separator": separator}),
    }
    boxes = v3.boxes_of([[c] * -(-n // c) for n, c in zip(shape, chunks, strict=True)], shape)
    return Case(
        path="",
        section=section,
        row=row,
        document=document,
        boxes=tuple(box for number, box in enumerate(boxes) if number % 3 != 1),
        data=v3.pattern(shape, kind) if data is None else data,
        attributes={"title": row},
        lossy=lossy,
        kind=kind,
        fill_plain=fill if fill_plain is None else fill_plain,
    )


def features() -> list[Case]:
    """Every feature of the table, in its order; paths are unique."""
    made = [*_data_types(), *_fills(), *_compressors(), *_filters(), *_layout()]
    for number, case in enumerate(made):
        object.__setattr__(case, "path", f"f{number:03d}")
    return made


def _data_types() -> Iterator[Case]:
    section = "Data types"
    yield array(section, "`b1`", "|b1", "bool", fill=False)
    for letter, word in (("i", "int"), ("u", "uint")):
        for size in (1, 2, 4, 8):
            yield array(section, f"`{letter}{size}`", f"{'|' if size == 1 else '<'}{letter}{size}", f"{word}{8 * size}")
    for size in (2, 4, 8):
        yield array(section, f"`f{size}`", f"<f{size}", f"float{8 * size}")
    for size in (8, 16):
        yield array(section, f"`c{size}`", f"<c{size}", f"complex{8 * size}", fill=[0.0, 0.0])
    for dtype, kind in ((">i2", "int16"), (">u4", "uint32"), (">f8", "float64")):
        yield array(section, "big-endian", dtype, kind)
    yield array(section, "`S5`", "|S5", named("null_terminated_bytes", length_bytes=5), fill="", fill_plain="")
    yield array(section, "`U4`", "<U4", named("fixed_length_utf32", length_bytes=16), fill="", fill_plain="")
    yield array(section, "`V3`", "|V3", named("raw_bytes", length_bytes=3), fill="AAAA")
    for letter, name in (("M", "numpy.datetime64"), ("m", "numpy.timedelta64")):
        yield array(section, f"`{letter}8[ns]`, `{letter}8[D]`", f"<{letter}8[ns]", named(name, unit="ns", scale_factor=1))
        yield array(section, f"`{letter}8[ns]`, `{letter}8[D]`", f"<{letter}8[D]", named(name, unit="D", scale_factor=1))
    flat = v3.LEGACY
    zeros = base64.b64encode(bytes(12)).decode()
    yield array(section, "structures", [["a", "<i4"], ["b", "<f8"]], flat, fill=zeros)
    utf8 = [{"id": "vlen-utf8"}]
    yield array(section, "objects: text by `vlen-utf8`", "|O", "string", fill="", fill_plain="", filters=utf8)


def _fills() -> Iterator[Case]:
    section = "Fill values"
    yield array(section, "`null`", fill=None, fill_plain=0)
    yield array(section, "a negative number", fill=-7)
    for fill in ("NaN", "Infinity", "-Infinity"):
        yield array(section, f"`{fill}`", "<f4", "float32", fill=fill)
    yield array(section, "`-0.0`", "<f8", "float64", fill=-0.0)
    yield array(section, "the greatest `u8`", "<u8", "uint64", fill=(1 << 64) - 1)


def _compressors() -> Iterator[Case]:
    section = "Compressors"
    yield array(section, "none")
    yield array(section, "`zlib`", compressor={"id": "zlib", "level": 1})
    yield array(section, "`gzip`", compressor={"id": "gzip", "level": 1})
    yield array(section, "`bz2`", compressor={"id": "bz2", "level": 1})
    yield array(section, "`lzma`", compressor={"id": "lzma", "format": 1, "check": -1, "preset": None, "filters": None})
    yield array(section, "`lz4`", compressor={"id": "lz4", "acceleration": 1})
    yield array(section, "`zstd`", compressor={"id": "zstd", "level": 1})
    for cname in ("lz4", "zstd", "blosclz", "zlib"):
        for shuffle, word in ((0, "no shuffle"), (1, "shuffle"), (2, "bit shuffle")):
            blosc = {"id": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": 0}
            yield array(section, f"`blosc`, {word}", compressor=blosc)


def _filters() -> Iterator[Case]:
    section = "Filters"
    zlib = {"id": "zlib", "level": 1}
    yield array(section, "`delta`", filters=[{"id": "delta", "dtype": "<i4"}], compressor=zlib)
    yield array(section, "`shuffle`", filters=[{"id": "shuffle", "elementsize": 4}], compressor=zlib)
    scaled = v3.pattern((5, 7), "float64", special=False)
    offset = {"id": "fixedscaleoffset", "offset": 0.0, "scale": 2.0, "dtype": "<f8", "astype": "<i4"}
    yield array(section, "`fixedscaleoffset`", "<f8", "float64", filters=[offset], compressor=zlib, data=scaled)
    yield array(section, "`quantize`", "<f8", "float64", filters=[{"id": "quantize", "digits": 1, "dtype": "<f8"}], data=scaled)
    yield array(section, "`astype`", "<i4", "int32", filters=[{"id": "astype", "encode_dtype": "<i8", "decode_dtype": "<i4"}])
    yield array(section, "`packbits`", "|b1", "bool", fill=False, filters=[{"id": "packbits"}])
    yield array(section, "`crc32` as a compressor", compressor={"id": "crc32"})
    yield array(section, "`fletcher32`", filters=[{"id": "fletcher32"}])


def _layout() -> Iterator[Case]:
    section = "Layout"
    yield array(section, "order F", order="F")
    yield array(section, "order F, 3-d", order="F", shape=(5, 4, 7), chunks=(2, 3, 4), compressor={"id": "zlib", "level": 1})
    yield array(section, 'separator "/"', separator="/")
    yield array(section, 'separator "."', separator=".")
    yield array(section, "no dimensions", shape=(), chunks=())
    yield array(section, "one dimension", shape=(10,), chunks=(4,))
    yield array(section, "four dimensions", shape=(3, 4, 5, 2), chunks=(2, 3, 4, 1))
    yield array(section, "an axis of length 0", shape=(0, 3), chunks=(1, 3))
    yield array(section, "chunks larger than the array", shape=(5, 7), chunks=(8, 9))
