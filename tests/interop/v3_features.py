"""The features of Zarr v3 that are tried on every implementation: a document for each, and the values it must hold.

Imported by the tests and, needing only NumPy, by `peer_v3.py` in the environments of the other implementations, so that
who writes and who reads agree on everything without a file between them.

Values are kept in a *plain* form, which any NumPy has: types that NumPy lacks are their bits (bfloat16 is uint16, float8
is uint8), narrow integers are int8 or uint8, variable-length strings and bytes are objects. `to_plain` and `from_plain`
go between that and what an implementation gives or takes.

`features()` is the list for the table in docs/interoperability.md; `drawn(count)` makes arrays at random, the same ones
everywhere.
"""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Any

import numpy as np

Json = Any
Shape = tuple[int, ...]
Box = tuple[slice, ...]

# ---- data types ----

_BITS = {
    "bfloat16": "<u2",
    "float4_e2m1fn": "u1",
    "float6_e2m3fn": "u1",
    "float6_e3m2fn": "u1",
    "float8_e3m4": "u1",
    "float8_e4m3": "u1",
    "float8_e4m3b11fnuz": "u1",
    "float8_e4m3fnuz": "u1",
    "float8_e5m2": "u1",
    "float8_e5m2fnuz": "u1",
    "float8_e8m0fnu": "u1",
    "complex_float16": "<u4",
    "complex_bfloat16": "<u4",
}
_SAME = {
    **{name: name for name in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()},
    "complex64": "complex64",
    "complex128": "complex128",
    "complex_float32": "complex64",
    "complex_float64": "complex128",
    "int2": "int8",
    "int4": "int8",
    "uint2": "uint8",
    "uint4": "uint8",
}
#: How many values there are of types narrower than a byte.
_NARROW = {"int2": 4, "int4": 16, "uint2": 4, "uint4": 16, "float4_e2m1fn": 16, "float6_e2m3fn": 64, "float6_e3m2fn": 64}
OBJECTS = ("string", "bytes", "variable_length_bytes")


def split(named: Json) -> tuple[str, dict[str, Json]]:
    """The name and the configuration of an extension, long or short."""
    return (named, {}) if isinstance(named, str) else (named["name"], named.get("configuration", {}))


def _fields(configuration: dict[str, Json]) -> list[tuple[str, Json]]:
    return [(f["name"], f["data_type"]) if isinstance(f, dict) else (f[0], f[1]) for f in configuration["fields"]]


def plain_dtype(data_type: Json) -> np.dtype:
    """The NumPy dtype of the plain form of a data type."""
    name, configuration = split(data_type)
    if name in OBJECTS:
        return np.dtype(object)
    if name in ("struct", "structured"):
        return np.dtype([(label, plain_dtype(inner)) for label, inner in _fields(configuration)])
    if name in ("numpy.datetime64", "numpy.timedelta64"):
        unit = configuration["unit"]
        letter = "M" if name == "numpy.datetime64" else "m"
        return np.dtype(f"{letter}8" if unit == "generic" else f"{letter}8[{configuration['scale_factor']}{unit}]")
    if name == "fixed_length_utf32":
        return np.dtype(f"<U{configuration['length_bytes'] // 4}")
    if name == "null_terminated_bytes":
        return np.dtype(f"S{configuration['length_bytes']}")
    if name == "raw_bytes":
        return np.dtype(f"V{configuration['length_bytes']}")
    if name[0] == "r" and name[1:].isdigit():
        return np.dtype(f"V{int(name[1:]) // 8}")
    return np.dtype(_BITS.get(name) or _SAME[name])


def itemsize(data_type: Json) -> int:
    """How many bytes the `bytes` codec makes of one element; 0 if that differs from one to the next."""
    plain = plain_dtype(data_type)
    return 0 if plain.kind == "O" else plain.itemsize


def pattern(shape: Shape, data_type: Json, *, special: bool = True, start: int = 1) -> np.ndarray:
    """Values that differ from one another; NaN, infinities, -0.0 and NaT among them where the type has them."""
    name, configuration = split(data_type)
    size = int(np.prod(shape, dtype=int))
    count = np.arange(start, size + start)
    plain = plain_dtype(data_type)
    made = np.zeros(size, plain)
    if plain.fields is not None:
        for label, inner in _fields(configuration):
            made[label] = pattern((size,), inner, special=special, start=start)
    elif name in ("int2", "int4"):
        made[:] = count % _NARROW[name] - _NARROW[name] // 2
    elif name in _NARROW:
        made[:] = count % _NARROW[name]
    elif name == "bfloat16":
        made[:] = (count * 0.5 - 3).astype("<f4").view("<u4") >> 16
        made[3::5] = 0x7FC0
    elif name == "complex_bfloat16":
        made[:] = (count.astype("<f4").view("<u4") >> 16 << 16) | ((count * -0.5).astype("<f4").view("<u4") >> 16)
    elif name == "complex_float16":
        made[:] = np.stack([count * 0.5, -count], -1).astype("<f2").view("<u4").reshape(-1)
    elif name in _BITS:
        made[:] = count * 7 % 256
    elif plain.kind == "b":
        made[:] = count % 3 == 0
    elif plain.kind == "i":
        made[:] = (count * 7 % 100) * np.where(count % 2, 1, -1)
    elif plain.kind == "u":
        made[:] = count * 7 % 100
    elif plain.kind in "fc":
        made[:] = (count - start) % 1000 * 0.5 - 3
        if plain.kind == "c":
            made.imag = count % 1000
        if special:
            # Not a complex -0.0 alone: zarr-python leaves out a chunk of such zeros where the fill value is another zero (and
            # one of complex NaNs where it is another NaN).
            zero = -0.0 if plain.kind == "f" else complex(-0.0, 2)
            made[3::5] = np.resize([np.nan, np.inf, -np.inf, zero], made[3::5].size)
    elif plain.kind in "mM":
        counts = made.view("i8")
        counts[:] = count * 11
        counts[3::5] = np.iinfo("i8").min
    elif plain.kind in "SU":
        made[:] = [f"t\u00e9{n % 30}" if plain.kind == "U" and n % 3 == 2 else f"t{n % 30}" for n in count]
    elif plain.kind == "V":
        made.view("u1").reshape(size, plain.itemsize)[:] = (count[:, None] + np.arange(plain.itemsize)) % 256
    else:
        texts = ["", "a", "\u00e4\u00f6\u00fc", "\U0001f600 x", "line\nbreak", "nul\0in", "long " * 50]
        made[:] = [texts[n % 7] + str(n) * (n % 2) for n in count]
        if name != "string":
            made[:] = [text.encode() for text in made]
    return made.reshape(shape)


def fill_of(data_type: Json, fill: Json) -> np.ndarray:
    """A document's fill value in plain form, as a 0-d array."""
    name, configuration = split(data_type)
    plain = plain_dtype(data_type)
    made = np.zeros((), plain)
    if plain.fields is not None:
        if isinstance(fill, str):
            made = np.frombuffer(base64.b64decode(fill), plain).reshape(()).copy()
        else:
            for label, inner in _fields(configuration):
                made[label] = fill_of(inner, fill[label])
    elif plain.kind == "O":
        made[()] = fill if name == "string" else base64.b64decode(fill) if isinstance(fill, str) else bytes(fill)
    elif plain.kind in "mM":
        made.view("i8")[()] = np.iinfo("i8").min if fill == "NaT" else fill
    elif plain.kind == "V":
        made = np.frombuffer(base64.b64decode(fill) if isinstance(fill, str) else bytes(fill), plain).reshape(()).copy()
    elif plain.kind == "S":
        made[()] = base64.b64decode(fill)
    elif plain.kind == "c":
        part = np.dtype(f"f{plain.itemsize // 2}")
        made = np.array([_float(f, part) for f in fill]).view(plain).reshape(())
    elif name in _BITS:
        made[()] = _bits(name, fill)
    elif plain.kind == "f":
        made[()] = _float(fill, plain)
    else:
        made[()] = fill
    return made


def _float(fill: Json, dtype: np.dtype) -> Any:
    if isinstance(fill, str) and fill.startswith("0x"):
        return np.array(int(fill, 16), f"u{dtype.itemsize}").view(dtype)[()]
    return np.array({"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}.get(fill, fill), dtype)[()]


def _bits(name: str, fill: Json) -> int:
    """The bits of a fill value of a type that NumPy lacks."""
    if name == "complex_bfloat16":
        return _bits("bfloat16", fill[0]) | _bits("bfloat16", fill[1]) << 16
    if name == "complex_float16":
        real, imaginary = (int(np.array(_float(f, np.dtype("<f2"))).view("<u2")) for f in fill)
        return real | imaginary << 16
    if isinstance(fill, str) and fill.startswith("0x"):
        return int(fill, 16)
    known = {("bfloat16", "NaN"): 0x7FC0, ("bfloat16", "-Infinity"): 0xFF80, ("float8_e5m2", "Infinity"): 0x7C}
    if (name, fill) in known:
        return known[name, fill]
    if name == "bfloat16":
        return int(struct.unpack("<I", struct.pack("<f", fill))[0]) >> 16
    if fill != 0:
        raise ValueError(f"no bits known for the {name} fill value {fill!r}")
    return 0


def _extended(dtype: np.dtype) -> bool:
    return "ml_dtypes" in dtype.type.__module__


def _parts(dtype: np.dtype) -> bool:
    """Whether this is a complex number as a record, for want of a type in NumPy."""
    return dtype.names == ("real", "imag")


def to_plain(values: Any, data_type: Json) -> np.ndarray:
    """What an implementation gave, in plain form; raises TypeError for a dtype that does not belong to the data type."""
    name, configuration = split(data_type)
    plain = plain_dtype(data_type)
    if not isinstance(values, np.ndarray):  # the one element of a 0-d array
        values = np.asarray(values, object if plain.kind == "O" else plain if plain.kind in "SU" else None)
    if plain.fields is not None:
        if values.dtype.fields is None or list(values.dtype.names or ()) != list(plain.names or ()):
            raise TypeError(f"dtype {values.dtype}, expected fields {plain.names}")
        made = np.zeros(values.shape, plain)
        for label, inner in _fields(configuration):
            made[label] = to_plain(values[label], inner)
        return made
    if plain.kind == "O":
        if values.dtype.kind not in "OT":
            raise TypeError(f"dtype {values.dtype}, expected objects or StringDType")
        made = np.empty(values.size, object)
        made[:] = [str(v) if name == "string" else bytes(v) for v in values.reshape(-1)]
        return made.reshape(values.shape)
    if _extended(values.dtype) or _parts(values.dtype):
        if values.dtype.name.startswith(("int", "uint")):
            return values.astype(plain)
        if values.dtype.itemsize == plain.itemsize:
            return np.ascontiguousarray(values).reshape(-1).view(plain).reshape(values.shape)
    if values.dtype.newbyteorder("=") != plain.newbyteorder("="):
        raise TypeError(f"dtype {values.dtype}, expected {plain}")
    return values.astype(plain)


def from_plain(values: Any, dtype: np.dtype) -> np.ndarray:
    """Plain values as `dtype`, which an implementation says it takes."""
    values = np.asarray(values, object) if isinstance(values, (str, bytes)) else np.asarray(values)
    if dtype.fields is not None and not _parts(dtype):
        made = np.zeros(values.shape, dtype)
        for label in dtype.names or ():
            made[label] = from_plain(values[label], dtype[label])
        return made
    if (not _extended(dtype) and not _parts(dtype)) or dtype.name.startswith(("int", "uint")):
        return values.astype(dtype)
    return np.ascontiguousarray(values).reshape(-1).view(dtype).reshape(values.shape)


def differs(got: np.ndarray, wanted: np.ndarray) -> str | None:
    """How two plain arrays differ, or None; NaNs compare by their bits."""
    if got.shape != wanted.shape:
        return f"shape {got.shape}, expected {wanted.shape}"
    if wanted.dtype.kind == "O":
        same = all(type(a) is type(b) and a == b for a, b in zip(got.reshape(-1), wanted.reshape(-1), strict=True))
    else:
        same = got.astype(wanted.dtype).tobytes() == wanted.tobytes()
    return None if same else f"{got!r}, expected {wanted!r}".replace("\n", " ")[:400]


# ---- cases ----


@dataclass(frozen=True)
class Case:
    """One array: its document without attributes, which parts are written, and what must be read."""

    path: str
    section: str
    row: str
    document: dict[str, Json]
    boxes: tuple[Box, ...]
    data: np.ndarray
    attributes: dict[str, Json] = field(default_factory=dict)
    lossy: Callable[[np.ndarray], np.ndarray] | None = None
    #: Packages that ndzarr and zarr-python need for it.
    needs: tuple[str, ...] = ()
    #: Arguments of `ndzarr.create_array`, for arrays drawn at random.
    arguments: dict[str, Any] = field(default_factory=dict)
    #: A second write, by somebody else, into what was written.
    change: tuple[Box, np.ndarray] | None = None

    @property
    def data_type(self) -> Json:
        return self.document["data_type"]

    @property
    def fill(self) -> np.ndarray:
        return fill_of(self.data_type, self.document["fill_value"])

    @property
    def names(self) -> list[str | None] | None:
        return self.document.get("dimension_names")

    def expected(self, *, changed: bool = False) -> np.ndarray:
        """What must be read: fill values where nothing was written."""
        made = np.empty(self.data.shape, self.data.dtype)
        made[...] = self.fill
        written = self.data if self.lossy is None else self.lossy(self.data)
        for box in self.boxes:
            made[box] = written[box]
        if changed and self.change is not None:
            values = self.change[1]
            made[self.change[0]] = values if values.ndim else values[()]
        return made


@dataclass(frozen=True)
class GroupCase:
    """A tree of groups and arrays."""

    path: str
    section: str
    row: str
    groups: dict[str, dict[str, Json]]
    arrays: dict[str, np.ndarray]
    consolidated: bool = False
    needs: tuple[str, ...] = ()


ATTRIBUTES = {
    "text": "\u00e4\u00f6\u00fc \u2603 \U0001f600",
    "nested": {"list": [1, 2.5, None, True, {"k": "v"}], "empty": {}},
    "schl\u00fcssel": [],
    "big": 1 << 53,
    "number": 1.5,
}
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
CRC32C = {"name": "crc32c"}


def named(name: str, **configuration: Json) -> Json:
    """An extension as documents write it."""
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


def default_codecs(data_type: Json, endian: str = "little") -> list[Json]:
    """The array -> bytes codec that such an array must have at least."""
    name = split(data_type)[0]
    if name in OBJECTS:
        return [named("vlen-utf8" if name == "string" else "vlen-bytes")]
    narrow = plain_dtype(data_type).itemsize == 1 or name == "raw_bytes" or (name[0] == "r" and name[1:].isdigit())
    if narrow or name == "null_terminated_bytes":
        return [named("bytes")]
    return [named("bytes", endian=endian)]


def edges(grid: Json, shape: Shape) -> list[list[int]]:
    """Chunk lengths along each axis."""
    name, configuration = split(grid)
    if name == "regular":
        return [[c] * -(-n // c) for n, c in zip(shape, configuration["chunk_shape"], strict=True)]
    lengths = []
    for n, axis in zip(shape, configuration["chunk_shapes"], strict=True):
        if isinstance(axis, int):
            lengths.append([axis] * -(-n // axis))
        else:
            lengths.append([c for run in axis for c in ([run] if isinstance(run, int) else [run[0]] * run[1])])
    return lengths


def boxes_of(lengths: Sequence[Sequence[int]], shape: Shape) -> list[Box]:
    """The part of the array that each chunk is."""
    axes = []
    for n, row in zip(shape, lengths, strict=True):
        stops = list(accumulate(row))
        axes.append([slice(stop - c, min(stop, n)) for stop, c in zip(stops, row, strict=True) if stop - c < n])
    return list(product(*axes))


def array(
    section: str,
    row: str,
    data_type: Json = "int32",
    *,
    shape: Shape = (5, 7),
    chunks: Shape | None = None,
    grid: Json = None,
    codecs: list[Json] | None = None,
    fill: Json = 0,
    keys: Json = None,
    cells: Shape | None = None,
    special: bool = True,
    data: np.ndarray | None = None,
    lossy: Callable[[np.ndarray], np.ndarray] | None = None,
    needs: tuple[str, ...] = (),
    attributes: dict[str, Json] | None = None,
    **fields: Json,
) -> Case:
    """A case. One in three of its chunks, or of its `cells` where those are given, is never written."""
    grid = grid or named("regular", chunk_shape=list(chunks if chunks is not None else (3, 3)))
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": grid,
        "chunk_key_encoding": named("default", separator="/") if keys is None else keys,
        "fill_value": fill,
        "codecs": default_codecs(data_type) if codecs is None else codecs,
        **fields,
    }
    lengths = edges(grid, shape) if cells is None else [[c] * -(-n // c) for n, c in zip(shape, cells, strict=True)]
    boxes = boxes_of(lengths, shape)
    return Case(
        path="",
        section=section,
        row=row,
        document=document,
        boxes=tuple(box for number, box in enumerate(boxes) if number % 3 != 1),
        data=pattern(shape, data_type, special=special) if data is None else data,
        attributes={"title": row, "n": 1} if attributes is None else attributes,
        lossy=lossy,
        needs=needs,
    )


def sharded(inner: Shape, codecs: list[Json], index: list[Json] | None = None, location: str | None = None) -> Json:
    """A sharding codec."""
    where = {} if location is None else {"index_location": location}
    index = [LITTLE, CRC32C] if index is None else index
    return named("sharding_indexed", chunk_shape=list(inner), codecs=codecs, index_codecs=index, **where)


def rectilinear(*axes: Json) -> Json:
    return named("rectilinear", kind="inline", chunk_shapes=list(axes))


def blosc(cname: str, shuffle: str, size: int = 4) -> Json:
    typesize = {} if shuffle == "noshuffle" else {"typesize": size}
    return named("blosc", cname=cname, clevel=5, shuffle=shuffle, blocksize=0, **typesize)


FLAT = named("struct", fields=[{"name": "a", "data_type": "int32"}, {"name": "b", "data_type": "float64"}])
DATE = named("numpy.datetime64", unit="us", scale_factor=1)
RECORD = named(
    "struct",
    fields=[
        {"name": "u", "data_type": named("fixed_length_utf32", length_bytes=12)},
        {"name": "m", "data_type": DATE},
        {"name": "c", "data_type": "complex64"},
        {"name": "f", "data_type": "bool"},
    ],
)
NESTED = named(
    "struct",
    fields=[
        {
            "name": "p",
            "data_type": named("struct", fields=[{"name": "x", "data_type": "int16"}, {"name": "y", "data_type": "uint8"}]),
        },
        {"name": "v", "data_type": "float32"},
    ],
)
LEGACY = named("structured", fields=[["a", "int32"], ["b", "float64"]])


def features() -> list[Case | GroupCase]:
    """Every feature of the table, in its order; paths are unique."""
    made: list[Case | GroupCase] = []
    for number, case in enumerate(
        [*_data_types(), *_fills(), *_codecs(), *_sharding(), *_extensions(), *_grids(), *_documents(), *_groups()]
    ):
        object.__setattr__(case, "path", f"f{number:03d}")
        made.append(case)
    return made


def _data_types() -> Iterator[Case]:
    section = "Data types"
    for name in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split():
        yield array(section, f"`{name}`", name, fill=False if name == "bool" else 0)
    for name in ("complex64", "complex128"):
        yield array(section, f"`{name}`", name, fill=[0.0, 0.0])
    for name in ("int2", "int4", "uint2", "uint4", *_BITS, "complex_float32", "complex_float64"):
        fill: Json = [0.0, 0.0] if name.startswith("complex") else "0x7f" if name == "float8_e8m0fnu" else 0
        yield array(
            section,
            f"`{name}`",
            name,
            fill=fill,
            needs=() if name in ("complex_float32", "complex_float64") else ("ml_dtypes",),
        )
    yield array(section, "`string`", "string", fill="")
    yield array(section, "`bytes`", "bytes", fill="")
    yield array(section, "`variable_length_bytes` (zarr-python's name for `bytes`)", "variable_length_bytes", fill="")
    yield array(section, "`fixed_length_utf32`", named("fixed_length_utf32", length_bytes=16), fill="")
    yield array(section, "`null_terminated_bytes` (zarr-python's own)", named("null_terminated_bytes", length_bytes=5), fill="")
    yield array(section, "`raw_bytes` (zarr-python's own)", named("raw_bytes", length_bytes=3), fill="AAAA")
    for bits in (8, 16, 24):
        yield array(section, "`r8`, `r16`, `r24`", f"r{bits}", fill=[0] * (bits // 8))
    for kind in ("datetime64", "timedelta64"):
        for unit, factor in (("ns", 1), ("D", 1), ("s", 25), ("generic", 1)):
            shown = "no unit" if unit == "generic" else unit if factor == 1 else f"{factor} {unit}"
            yield array(section, f"`numpy.{kind}`, {shown}", named(f"numpy.{kind}", unit=unit, scale_factor=factor), fill=0)
    yield array(section, "`struct`", FLAT, fill={"a": 0, "b": 0.0})
    yield array(
        section, "`struct` of text, dates, complex and bool", RECORD, fill={"u": "", "m": 0, "c": [0.0, 0.0], "f": False}
    )
    yield array(section, "`struct` in `struct`", NESTED, fill={"p": {"x": 0, "y": 0}, "v": 0.0})
    yield array(section, "`structured`, the old form", LEGACY, fill="AAAAAAAAAAAAAAAA")


def _fills() -> Iterator[Case]:
    section = "Fill values"
    for fill in ("NaN", "Infinity", "-Infinity", -0.0, 1e-40, "0x7fc00001", "0xffc00000"):
        label = f"`{fill}`"
        if isinstance(fill, str) and fill.startswith("0x"):
            label = "NaNs in hexadecimal"
        elif not isinstance(fill, str):
            label = "`-0.0`" if fill == 0 else "subnormal"
        yield array(section, f"{label}, `float32`", "float32", fill=fill)
    for name, fill in (("float16", "NaN"), ("float64", "NaN"), ("float64", -0.0), ("float64", 0.1), ("float64", 1e300)):
        yield array(section, f"`{name}`: " + ("`NaN`" if fill == "NaN" else "finite"), name, fill=fill)
    yield array(section, "`float64`: a NaN in hexadecimal", "float64", fill="0x7ff8000000000abc")
    yield array(section, "a whole number for a `float64`", "float64", fill=7)
    yield array(section, '`complex64`: `["NaN", -0.0]`', "complex64", fill=["NaN", -0.0])
    yield array(section, '`complex128`: `[1.5, "-Infinity"]`', "complex128", fill=[1.5, "-Infinity"])
    yield array(section, "`complex64`: a NaN in hexadecimal", "complex64", fill=["0x7fc00001", 1.0])
    yield array(section, "`bool`: `true`", "bool", fill=True)
    yield array(section, "`int64`: the least", "int64", fill=-(1 << 63))
    yield array(section, "`uint64`: the greatest", "uint64", fill=(1 << 64) - 1)
    yield array(section, "`numpy.datetime64`: `NaT`", named("numpy.datetime64", unit="ns", scale_factor=1), fill="NaT")
    yield array(section, "`numpy.timedelta64`: negative", named("numpy.timedelta64", unit="s", scale_factor=1), fill=-5)
    yield array(section, "`string`: `füll`", "string", fill="f\u00fcll")
    yield array(section, "`bytes`: base64", "bytes", fill="AQL/")
    yield array(section, "`bytes`: list of numbers", "bytes", fill=[1, 2, 255])
    yield array(section, "`fixed_length_utf32`: `ä`", named("fixed_length_utf32", length_bytes=16), fill="\u00e4")
    yield array(section, "`r16`: `[1, 2]`", "r16", fill=[1, 2])
    yield array(section, "`struct`: an object", FLAT, fill={"a": -7, "b": "NaN"})
    yield array(section, "`structured`: base64", LEGACY, fill=base64.b64encode(struct.pack("<id", 7, -2.5)).decode())
    yield array(section, "`bfloat16`: `NaN`, `1.5`, hexadecimal", "bfloat16", fill="NaN", needs=("ml_dtypes",))
    yield array(section, "`bfloat16`: `NaN`, `1.5`, hexadecimal", "bfloat16", fill=1.5, needs=("ml_dtypes",))
    yield array(section, "`bfloat16`: `NaN`, `1.5`, hexadecimal", "bfloat16", fill="0x7fc1", needs=("ml_dtypes",))
    yield array(section, "`float8_e5m2`: `Infinity`", "float8_e5m2", fill="Infinity", needs=("ml_dtypes",))
    yield array(section, "`int4`: `-8`", "int4", fill=-8, needs=("ml_dtypes",))


def _codecs() -> Iterator[Case]:
    section = "Codecs"
    for name in ("int16", "uint64", "float16", "float64"):
        yield array(section, "`bytes`, big-endian", name, codecs=[BIG])
    for name in ("complex64", "complex128"):
        yield array(section, "`bytes`, big-endian, complex", name, codecs=[BIG], fill=[0.0, 0.0])
    yield array(
        section,
        "`bytes`, big-endian, `fixed_length_utf32`",
        named("fixed_length_utf32", length_bytes=16),
        codecs=[BIG],
        fill="",
    )
    yield array(section, "`bytes`, big-endian, `numpy.datetime64`", DATE, codecs=[BIG], fill=0)
    yield array(section, "`bytes`, big-endian, `struct`", FLAT, codecs=[BIG], fill={"a": 0, "b": 0.0})
    yield array(section, "`bytes`, big-endian, `bfloat16`", "bfloat16", codecs=[BIG], needs=("ml_dtypes",))
    cube: Any = {"shape": (5, 4, 7), "chunks": (2, 3, 4)}
    four: Any = {"shape": (3, 4, 5, 2), "chunks": (2, 3, 4, 1)}
    yield array(section, "`transpose`, 2-d", codecs=[named("transpose", order=[1, 0]), LITTLE], chunks=(2, 3))
    for order in ([2, 0, 1], [1, 2, 0], [2, 1, 0], [0, 2, 1]):
        yield array(
            section, "`transpose`, 3-d, not its own inverse too", codecs=[named("transpose", order=order), LITTLE], **cube
        )
    for order in ([2, 0, 3, 1], [1, 2, 3, 0]):
        yield array(section, "`transpose`, 4-d", codecs=[named("transpose", order=order), BIG], **four)
    twice = [named("transpose", order=[2, 0, 1]), named("transpose", order=[1, 2, 0]), LITTLE]
    yield array(section, "`transpose` twice", codecs=twice, **cube)
    yield array(
        section, "`transpose` of `string`", "string", codecs=[named("transpose", order=[1, 0]), named("vlen-utf8")], fill=""
    )
    for level in (0, 1, 9):
        yield array(section, "`gzip`, levels 0, 1, 9", codecs=[LITTLE, named("gzip", level=level)])
    for level in (-5, 0, 3, 22):
        yield array(section, "`zstd`, levels -5, 0, 3, 22", codecs=[LITTLE, named("zstd", level=level, checksum=False)])
    yield array(section, "`zstd` with checksum", codecs=[LITTLE, named("zstd", level=1, checksum=True)])
    yield array(section, "`zstd` without the member `checksum`", codecs=[LITTLE, named("zstd", level=1)])
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
        for shuffle in ("noshuffle", "shuffle", "bitshuffle"):
            yield array(
                section,
                f"`blosc` {cname}, each shuffle",
                "float64",
                codecs=[LITTLE, blosc(cname, shuffle, 8)],
                shape=(20, 20),
                chunks=(15, 15),
            )
    yield array(section, "`crc32c`", codecs=[LITTLE, CRC32C])
    yield array(section, "`gzip`, `crc32c`", codecs=[LITTLE, named("gzip", level=1), CRC32C])
    chain = [named("transpose", order=[1, 0]), BIG, blosc("lz4", "shuffle"), named("zstd", level=1, checksum=True), CRC32C]
    yield array(section, "`transpose`, `bytes`, `blosc`, `zstd`, `crc32c`", codecs=chain)
    yield array(
        section, "`vlen-utf8`, `zstd`", "string", codecs=[named("vlen-utf8"), named("zstd", level=1, checksum=False)], fill=""
    )
    yield array(section, "`vlen-bytes`, `gzip`", "bytes", codecs=[named("vlen-bytes"), named("gzip", level=1)], fill="")
    yield array(
        section,
        "`vlen-bytes`, `gzip`, `variable_length_bytes`",
        "variable_length_bytes",
        codecs=[named("vlen-bytes"), named("gzip", level=1)],
        fill="",
    )


def _sharding() -> Iterator[Case]:
    section = "Sharding"
    flat: Any = {"shape": (11, 13), "chunks": (6, 8), "cells": (3, 2)}
    zstd = named("zstd", level=1, checksum=False)
    for location in (None, "end", "start"):
        row = "index at the start" if location == "start" else "index at the end"
        yield array(section, row, codecs=[sharded((3, 2), [LITTLE], location=location)], **flat)
        yield array(section, row, "float64", codecs=[sharded((3, 2), [LITTLE, zstd], location=location)], fill="NaN", **flat)
    yield array(section, "index without `crc32c`", codecs=[sharded((3, 2), [LITTLE], [LITTLE])], **flat)
    yield array(section, "big-endian index", codecs=[sharded((3, 2), [LITTLE], [BIG, CRC32C])], **flat)
    yield array(
        section,
        "inner `bytes` big-endian, `gzip`, `crc32c`",
        codecs=[sharded((3, 2), [BIG, named("gzip", level=1), CRC32C])],
        **flat,
    )
    yield array(section, "inner `blosc`", codecs=[sharded((3, 2), [LITTLE, blosc("lz4", "shuffle")])], **flat)
    yield array(section, "a shard of one inner chunk", codecs=[sharded((6, 8), [LITTLE])], **flat)
    yield array(
        section,
        "one shard larger than the array",
        shape=(5, 7),
        chunks=(12, 12),
        cells=(3, 3),
        codecs=[sharded((3, 3), [LITTLE, zstd])],
    )
    yield array(
        section,
        "shards nested in shards",
        shape=(11, 13),
        chunks=(12, 16),
        cells=(3, 2),
        codecs=[sharded((6, 8), [sharded((3, 2), [LITTLE, CRC32C], location="start")])],
    )
    yield array(
        section,
        "shards nested twice",
        "uint8",
        shape=(30,),
        chunks=(24,),
        cells=(2,),
        codecs=[sharded((12,), [sharded((4,), [sharded((2,), [named("bytes")])])])],
    )
    cube: Any = {"shape": (9, 7, 11), "chunks": (4, 6, 8), "cells": (2, 3, 4)}
    # In the order of the shard's own axes, the inner chunk has another shape.
    yield array(
        section,
        "`transpose` before sharding, 3-d, unequal counts",
        codecs=[named("transpose", order=[2, 0, 1]), sharded((4, 2, 2), [LITTLE, zstd])],
        **cube,
    )
    yield array(
        section,
        "`transpose` before sharding, 3-d, unequal counts",
        codecs=[named("transpose", order=[1, 2, 0]), sharded((3, 2, 4), [LITTLE])],
        **cube,
    )
    yield array(
        section, "`transpose` inside, 3-d", codecs=[sharded((2, 3, 4), [named("transpose", order=[2, 0, 1]), LITTLE])], **cube
    )
    both = [named("transpose", order=[2, 0, 1]), sharded((4, 2, 2), [named("transpose", order=[1, 2, 0]), BIG, zstd])]
    yield array(section, "`transpose` before and inside, 3-d", codecs=both, **cube)
    between = [sharded((4, 3, 4), [named("transpose", order=[2, 0, 1]), sharded((2, 2, 3), [LITTLE])])]
    yield array(section, "`transpose` between nested shards", codecs=between, **cube)
    yield array(section, "`gzip` after sharding", codecs=[sharded((3, 2), [LITTLE]), named("gzip", level=1)], **flat)
    yield array(section, "`crc32c` after sharding", codecs=[sharded((3, 2), [LITTLE, zstd]), CRC32C], **flat)
    yield array(section, "`string` in shards", "string", codecs=[sharded((3, 2), [named("vlen-utf8"), zstd])], fill="", **flat)
    yield array(section, "`bytes` in shards", "bytes", codecs=[sharded((3, 2), [named("vlen-bytes")])], fill="AQ==", **flat)
    yield array(section, "`struct` in shards", FLAT, codecs=[sharded((3, 2), [LITTLE])], fill={"a": 1, "b": 0.5}, **flat)
    yield array(
        section,
        "`bfloat16` in shards",
        "bfloat16",
        codecs=[sharded((3, 2), [LITTLE])],
        fill="NaN",
        needs=("ml_dtypes",),
        **flat,
    )
    yield array(section, "0-d", "float32", shape=(), chunks=(), codecs=[sharded((), [LITTLE])], fill="NaN")


def _bitround(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    def rounded(data: np.ndarray) -> np.ndarray:
        drop = {"float32": 23, "float64": 52}[data.dtype.name] - bits
        raw = data.view(f"u{data.itemsize}")
        up = ((raw >> drop) & 1) + (1 << (drop - 1)) - 1
        return ((raw + up.astype(raw.dtype)) >> drop << drop).view(data.dtype)

    return rounded


def _quantize(digits: int) -> Callable[[np.ndarray], np.ndarray]:
    scale = 2.0 ** np.ceil(np.log2(10.0**digits))
    return lambda data: (np.around(scale * data) / scale).astype(data.dtype)


def _tenths(dtype: str, shape: Shape = (5, 7)) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 0.1 - 1).astype(dtype)


def _extensions() -> Iterator[Case]:
    section = "Registered extensions"
    for data_type, configuration in (
        ("bool", {}),
        ("bool", {"padding_encoding": "first_byte"}),
        ("bool", {"padding_encoding": "last_byte"}),
    ):
        yield array(
            section, "`packbits`, `bool`, each padding", data_type, codecs=[named("packbits", **configuration)], fill=True
        )
    for name in ("int4", "uint4", "int2", "uint2"):
        yield array(section, "`packbits`, `int2` to `uint4`", name, codecs=[named("packbits")], needs=("ml_dtypes",))
    part = named("packbits", first_bit=0, last_bit=9)
    yield array(section, "`packbits`, first and last bit", "int16", codecs=[part])
    yield array(section, "`packbits` of whole bytes", "uint16", codecs=[named("packbits")])
    for dtype in ("float32", "float64"):
        yield array(
            section,
            "`bitround`, floats",
            dtype,
            codecs=[named("bitround", keepbits=5), LITTLE],
            data=_tenths(dtype),
            lossy=_bitround(5),
        )
    yield array(section, "`bitround`, integers", "int32", codecs=[named("bitround", keepbits=8), LITTLE])
    cast = named("cast_value", data_type="int16")
    yield array(section, "`cast_value`, `int32` to `int16`", codecs=[cast, LITTLE], fill=-7)
    halves = {"data": pattern((5, 7), "float64", special=False)}
    yield array(
        section,
        "`cast_value`, `float64` to `float32`",
        "float64",
        codecs=[named("cast_value", data_type="float32"), LITTLE],
        fill="NaN",
    )
    mapped = named(
        "cast_value",
        data_type="uint8",
        rounding="nearest-even",
        scalar_map={"encode": [["NaN", 255]], "decode": [[255, "NaN"]]},
    )
    whole = np.where(np.arange(35) % 5 == 3, np.nan, np.arange(35.0)).reshape(5, 7)
    yield array(
        section, "`cast_value`, NaN to 255 by `scalar_map`", "float64", codecs=[mapped, named("bytes")], fill="NaN", data=whole
    )
    clamp = named("cast_value", data_type="int8", out_of_range="clamp", rounding="towards-zero")
    wide = np.arange(35.0).reshape(5, 7) * 10 - 160.5
    yield array(
        section,
        "`cast_value`, clamp, towards zero",
        "float64",
        codecs=[clamp, named("bytes")],
        data=wide,
        lossy=lambda d: np.trunc(d).clip(-128, 127) + 0.0,
    )
    wrap = named("cast_value", data_type="uint8", out_of_range="wrap")
    yield array(
        section,
        "`cast_value`, wrap",
        "int32",
        codecs=[wrap, named("bytes")],
        data=np.arange(35, dtype="i4").reshape(5, 7) * 40,
        lossy=lambda d: d % 256,
    )
    yield array(
        section,
        "`scale_offset`, `float64`",
        "float64",
        codecs=[named("scale_offset", offset=5, scale=0.25), LITTLE],
        fill=-1.5,
        **halves,
    )
    yield array(section, "`scale_offset`, `int32`", codecs=[named("scale_offset", offset=-5, scale=3), LITTLE], fill=4)
    packed = [
        named("scale_offset", offset=-10, scale=2),
        named("cast_value", data_type="int16", rounding="nearest-even"),
        LITTLE,
    ]
    yield array(section, "`scale_offset`, `cast_value`", "float64", codecs=packed, fill=100, **halves)
    flat: Any = {"shape": (11, 13), "chunks": (6, 8), "cells": (3, 2)}
    inner = [*packed[:2], sharded((3, 2), [LITTLE])]
    yield array(
        section, "`scale_offset`, `cast_value` before sharding", "float64", codecs=inner, fill=100, special=False, **flat
    )
    inside = [sharded((3, 2), packed)]
    yield array(
        section, "`scale_offset`, `cast_value` inside shards", "float64", codecs=inside, fill=100, special=False, **flat
    )
    cube: Any = {"shape": (5, 4, 7), "chunks": (2, 3, 4)}
    for shape in ([[0, 1], [2]], [-1, 4], [6, 2, 2], [24]):
        yield array(section, "`reshape`", codecs=[named("reshape", shape=shape), LITTLE], **cube)
    turned = [named("transpose", order=[2, 0, 1]), named("reshape", shape=[[0], [1, 2]]), LITTLE]
    yield array(section, "`transpose`, `reshape`", codecs=turned, **cube)
    yield array(section, "`conditional`", codecs=[LITTLE, named("conditional", codecs=[named("zstd", level=1), CRC32C])])
    n5 = [named("transpose", order=[1, 0]), BIG, named("gzip", level=1)]
    yield array(section, "`n5_default`", codecs=[named("n5_default", codecs=n5)], keys=named("v2", separator="/"))
    yield array(
        section, "`zfp`, reversible", "float64", codecs=[named("zfp", mode="reversible")], needs=("zfpy",), special=False
    )
    section = "`numcodecs.` codecs"
    for name, configuration in {
        "zlib": {"level": 1},
        "gzip": {"level": 1},
        "bz2": {"level": 1},
        "lz4": {"acceleration": 1},
        "lzma": {"format": 1, "check": -1, "preset": None, "filters": None},
        "zstd": {"level": 1, "checksum": False},
        "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
        "crc32": {},
        "crc32c": {},
        "adler32": {},
        "fletcher32": {},
        "jenkins_lookup3": {"initval": 0},
        "shuffle": {"elementsize": 4},
    }.items():
        # zarr-python wants the member even where it is empty.
        codec = {"name": f"numcodecs.{name}", "configuration": configuration}
        yield array(section, f"`numcodecs.{name}`", codecs=[LITTLE, codec])
    yield array(section, "`numcodecs.delta`", codecs=[named("numcodecs.delta", dtype="<i4"), LITTLE])
    yield array(
        section,
        "`numcodecs.bitround`",
        "float32",
        codecs=[named("numcodecs.bitround", keepbits=5), LITTLE],
        data=_tenths("f4"),
        lossy=_bitround(5),
    )
    yield array(
        section,
        "`numcodecs.quantize`",
        "float64",
        codecs=[named("numcodecs.quantize", digits=1, dtype="<f8"), LITTLE],
        data=_tenths("f8"),
        lossy=_quantize(1),
    )
    scale = named("numcodecs.fixedscaleoffset", offset=10, scale=10, dtype="<f8", astype="<i2")
    yield array(section, "`numcodecs.fixedscaleoffset`", "float64", codecs=[scale, LITTLE], **halves)
    narrow = named("numcodecs.astype", encode_dtype="<f4", decode_dtype="<f8")
    yield array(section, "`numcodecs.astype`", "float64", codecs=[narrow, LITTLE])
    yield array(
        section,
        "`numcodecs.packbits`",
        "bool",
        codecs=[{"name": "numcodecs.packbits", "configuration": {}}, named("bytes")],
        fill=True,
    )
    pcodec = named(
        "numcodecs.pcodec",
        level=8,
        mode_spec="auto",
        delta_spec="auto",
        paging_spec="equal_pages_up_to",
        delta_encoding_order=None,
        equal_pages_up_to=262144,
    )
    yield array(section, "`numcodecs.pcodec`", "float64", codecs=[pcodec], needs=("pcodec",))
    yield array(
        section,
        "`numcodecs.zfpy`",
        "float64",
        codecs=[named("numcodecs.zfpy", mode=4, tolerance=0.001, rate=-1, precision=-1)],
        needs=("zfpy",),
        special=False,
    )


def _grids() -> Iterator[Case]:
    section = "Chunk grids"
    yield array(section, "regular, not dividing the shape", shape=(13, 12), chunks=(3, 5))
    yield array(section, "regular, 1-d and 5-d", shape=(17,), chunks=(4,))
    yield array(section, "regular, 1-d and 5-d", shape=(3, 1, 2, 4, 2), chunks=(2, 1, 2, 3, 1))
    yield array(section, "chunk larger than the array", shape=(5, 3), chunks=(10, 10))
    yield array(section, "0-d", shape=(), chunks=())
    yield array(section, "0-d, nothing written", "float64", shape=(), chunks=(), fill="NaN")
    yield array(section, "an axis of length 0", shape=(0,), chunks=(3,))
    yield array(section, "an axis of length 0", shape=(4, 0, 2), chunks=(2, 3, 1))
    yield array(section, "rectilinear, lists", shape=(9, 7), grid=rectilinear([2, 4, 3], [1, 1, 5]))
    yield array(section, "rectilinear, runs", shape=(11, 13), grid=rectilinear([[2, 4], 3], [[3, 2], 1, [2, 3]]))
    yield array(section, "rectilinear, a number for an axis", shape=(11, 13), grid=rectilinear(4, [[3, 4], 1]))
    yield array(section, "rectilinear, chunks past the edge", shape=(10, 7), grid=rectilinear([4, 4, 4, 4], [5, 5]))
    zstd = named("zstd", level=1, checksum=False)
    yield array(
        section,
        "rectilinear, codecs",
        "float64",
        shape=(9, 7),
        grid=rectilinear([2, 4, 3], [2, 5]),
        codecs=[named("transpose", order=[1, 0]), BIG, zstd, CRC32C],
        fill="NaN",
    )
    yield array(section, "rectilinear, `string`", "string", shape=(9, 7), grid=rectilinear([2, 4, 3], [2, 5]), fill="")
    yield array(
        section,
        "rectilinear shards",
        shape=(14, 12),
        grid=rectilinear([4, 8, 2], [[6, 2]]),
        cells=(2, 3),
        codecs=[sharded((2, 3), [LITTLE, zstd])],
    )


def _documents() -> Iterator[Case]:
    section = "Chunk keys"
    for row, keys in {
        "`default`, `/`": named("default", separator="/"),
        "`default`, `.`": named("default", separator="."),
        "`default`, no configuration": named("default"),
        "`v2`, `.`": named("v2", separator="."),
        "`v2`, `/`": named("v2", separator="/"),
        "`v2`, no configuration": named("v2"),
    }.items():
        yield array(section, row, keys=keys)
        yield array(section, row, keys=keys, shape=(), chunks=())
        yield array(section, row, keys=keys, shape=(7,), chunks=(3,))
    section = "Documents"
    yield array(section, "attributes: nested, not ASCII, large numbers", attributes=ATTRIBUTES)
    yield array(section, "`dimension_names`", dimension_names=["y", "x"])
    yield array(section, "`dimension_names` with `null`", dimension_names=[None, "x"])
    yield array(section, "`dimension_names`, the same twice", dimension_names=["x", "x"])
    yield array(section, "`dimension_names`, empty", dimension_names=["", "x"])
    yield array(section, "`storage_transformers: []`", storage_transformers=[])
    yield array(section, "unknown member, `must_understand: false`", extension={"name": "unknown", "must_understand": False})
    yield array(section, "codecs by name alone", "uint8", codecs=["bytes", "crc32c"])
    yield array(section, "chunk keys by name alone", keys="default")
    yield array(section, "data type as an object", {"name": "float32"})
    yield array(section, "`must_understand: true` on a codec", codecs=[LITTLE, {"name": "crc32c", "must_understand": True}])
    yield array(section, "codec `endian`, the old name of `bytes`", codecs=[named("endian", endian="big")])
    yield array(section, "`consolidated_metadata: null` on an array", consolidated_metadata=None)


def _groups() -> Iterator[GroupCase]:
    section = "Groups"
    groups = {"": {"title": "root \u2603"}, "a": {"deep": [1, {"x": None}]}, "a/b": {}}
    arrays = {"x": pattern((5, 7), "int32"), "a/b/y": pattern((4,), "float64")}
    yield GroupCase("", section, "groups in groups, attributes", groups, arrays)
    yield GroupCase("", section, "consolidated metadata inline", groups, arrays, consolidated=True)


# ---- arrays at random ----

_DRAWN_TYPES: dict[str, list[Json]] = {
    "common": [*_SAME][:14],
    "real": [*_SAME][:12],
    "zarr": [*_SAME][:14] + 2 * ["string", named("fixed_length_utf32", length_bytes=16), DATE, FLAT],
}


def drawn(count: int, kind: str = "common", seed: int = 7) -> list[Case]:
    """Arrays at random over data type, shape, chunks, shards, codecs, order, keys and fill value; `kind` says which data
    types: "common" those that everybody has, "real" without the complex ones, "zarr" also what only zarr-python has."""
    return [_draw(random.Random(f"{seed} {kind} {number}"), kind, f"{kind}{seed}/{number}") for number in range(count)]


def _draw(rng: random.Random, kind: str, path: str) -> Case:
    ndim = rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])
    limit = {0: 0, 1: 40, 2: 14, 3: 8, 4: 5}[ndim]
    shape = tuple(rng.randint(0 if rng.random() < 0.03 else 1, limit) for _ in range(ndim))
    data_type = rng.choice(_DRAWN_TYPES[kind])
    plain = plain_dtype(data_type)
    inner = tuple(rng.randint(1, max(1, n)) for n in shape)
    shards = tuple(c * rng.randint(1, 3) for c in inner) if rng.random() < 0.45 else None
    codecs, arguments = _draw_codecs(rng, data_type, inner, shards)
    style, separator = rng.choice([("default", "/"), ("default", "/"), ("default", "."), ("v2", "."), ("v2", "/")])
    fill = _draw_fill(rng, data_type)
    # No name twice: tensorstore refuses that, as the table of features shows.
    dimension_names = [rng.choice([label, None]) for label in "tyxz"[:ndim]] if rng.random() < 0.3 else None
    box, second = _draw_box(rng, shape), _draw_box(rng, shape)
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": named("regular", chunk_shape=list(shards or inner)),
        "chunk_key_encoding": named(style, separator=separator),
        "fill_value": fill,
        "codecs": codecs,
        **({} if dimension_names is None else {"dimension_names": dimension_names}),
    }
    changed = pattern(tuple(s.stop - s.start for s in second), data_type, start=500)
    return Case(
        path=path,
        section="drawn",
        row=json.dumps({k: v for k, v in document.items() if k not in ("zarr_format", "node_type")}),
        document=document,
        boxes=(box,),
        data=pattern(shape, data_type, start=rng.randint(1, 50)),
        attributes={"number": path},
        arguments={
            "shape": shape,
            "chunks": inner,
            "shards": shards,
            "dtype": plain,
            "string": split(data_type)[0] == "string",
            "fill_value": fill_of(data_type, fill)[()],
            "key_encoding": style,
            "separator": separator,
            "dimension_names": dimension_names,
            **arguments,
        },
        change=(second, changed),
    )


def _draw_box(rng: random.Random, shape: Shape) -> Box:
    if rng.random() < 0.3:
        return tuple(slice(0, n) for n in shape)
    starts = [rng.randint(0, n) for n in shape]
    return tuple(slice(start, rng.randint(start, n)) for start, n in zip(starts, shape, strict=True))


def _draw_fill(rng: random.Random, data_type: Json) -> Json:
    plain = plain_dtype(data_type)
    if plain.fields is not None:
        return {label: _draw_fill(rng, inner) for label, inner in _fields(split(data_type)[1])}
    if plain.kind == "c":
        # No NaN and no -0.0, for the reason given in `pattern`.
        return [rng.choice([0.0, 0.0, 1.5, "-Infinity"]) for _ in range(2)]
    choices: dict[str, Callable[[], Json]] = {
        "b": lambda: rng.choice([False, True]),
        "i": lambda: rng.choice([0, 0, 1, -1, int(np.iinfo(plain).min), int(np.iinfo(plain).max)]),
        "u": lambda: rng.choice([0, 0, 1, int(np.iinfo(plain).max)]),
        "f": lambda: rng.choice([0.0, 0.0, -0.0, 1.5, "NaN", "Infinity", "-Infinity"]),
        "M": lambda: rng.choice([0, "NaT", 86400]),
        "U": lambda: rng.choice(["", "\u00e4b"]),
        "O": lambda: rng.choice(["", "f\u00fcll"]),
    }
    return choices[plain.kind]()


def _draw_codecs(rng: random.Random, data_type: Json, inner: Shape, shards: Shape | None) -> tuple[list[Json], dict[str, Any]]:
    """The chain of a document, and the arguments of `create_array` that ask for it."""
    ndim = len(inner)
    size = itemsize(data_type)
    filters: list[Json] = []
    memory = "F" if ndim > 1 and rng.random() < 0.15 else "C"
    if memory == "F":
        filters.append(named("transpose", order=list(range(ndim))[::-1]))
    elif ndim > 1 and rng.random() < 0.4:
        order = list(range(ndim))
        rng.shuffle(order)
        filters.append(named("transpose", order=order))
    compressors = _draw_compressors(rng, size)
    big = size > 1 and rng.random() < 0.2
    serializer = default_codecs(data_type, "big" if big else "little")
    chain = [*filters, *serializer, *compressors]
    arguments: dict[str, Any] = {"filters": filters, "serializer": serializer[0], "compressors": compressors, "order": memory}
    if shards is None:
        return chain, {**arguments, "index_location": "end"}
    location = rng.choice(["end", "end", "start"])
    return [sharded(inner, chain, location=location)], {**arguments, "index_location": location}


def _draw_compressors(rng: random.Random, size: int) -> list[Json]:
    choices = [
        [],
        [named("gzip", level=rng.randint(0, 9))],
        [named("zstd", level=rng.randint(-3, 9), checksum=rng.random() < 0.5)],
        [named("zstd", level=1, checksum=False), CRC32C],
        [CRC32C],
        [
            blosc(
                rng.choice(["lz4", "zstd", "blosclz", "zlib", "lz4hc"]),
                rng.choice(["noshuffle", "shuffle", "bitshuffle"]),
                max(size, 1),
            )
        ],
    ]
    return rng.choice(choices)


def grouped(cases: Sequence[Case | GroupCase]) -> Mapping[tuple[str, str], list[Case | GroupCase]]:
    """Cases by section and row, in order."""
    rows: dict[tuple[str, str], list[Case | GroupCase]] = {}
    for case in cases:
        rows.setdefault((case.section, case.row), []).append(case)
    return rows
