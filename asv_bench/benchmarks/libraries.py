"""The libraries compared: one way to say "this array, that place" to each of them.

A library that is not installed is left out by asv, which takes NotImplementedError from `setup` as "does not apply".
"""

from __future__ import annotations

import importlib.metadata
import json
import math
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

LIBRARIES = ["ndzarr", "zarr-python", "zarrs", "tensorstore"]
#: zarr-python with the pipeline that it has beside the one it takes by itself; in `asv_bench/compare.py` only.
FUSED = "zarr fused"
_MODULES = {"ndzarr": "ndzarr", "zarr-python": "zarr", "zarrs": "zarrs", "tensorstore": "tensorstore", FUSED: "zarr"}

#: What works inside zarr-python, as its codec pipeline. zarr-python's own default is named nowhere.
_PIPELINES = {
    "zarr-python": {},
    "zarrs": {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"},
    FUSED: {"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"},
}

ZSTD = {"id": "zstd", "level": 1}
ZLIB = {"id": "zlib", "level": 1}
BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}


def require(library: str) -> None:
    """Skip a benchmark whose library is not installed."""
    if find_spec(_MODULES[library]) is None:
        raise NotImplementedError(f"{library} is not installed")


def installed() -> list[str]:
    """Those that are there, the pipelines that zarr-python can do without among them."""
    found = [library for library in LIBRARIES if find_spec(_MODULES[library]) is not None]
    if "zarr-python" in found:
        import zarr.core.codec_pipeline

        if hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):  # since 3.4
            found.insert(found.index("zarr-python") + 1, FUSED)
    return found


def pipeline(library: str) -> AbstractContextManager[Any]:
    """For everything done with a library: arrays take their pipeline when opened, but shards ask for it at every read."""
    if library not in _PIPELINES:
        return nullcontext()
    import zarr

    context: AbstractContextManager[Any] = zarr.config.set(_PIPELINES[library])
    return context


def version(library: str) -> str:
    """Its version; ndzarr need not be installed, it may be run from its tree."""
    if library == "ndzarr":
        import ndzarr

        return ndzarr.__version__
    return importlib.metadata.version(_MODULES[library])


def values(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Smooth float32 values with some noise: they compress about as measurements do."""
    x = np.linspace(0.0, 20.0, math.prod(shape), dtype="f4").reshape(shape)
    noise = np.random.default_rng(seed).integers(0, 64, shape).astype("f4") / 64
    return np.round((np.sin(x) * 8 + noise) * 64) / 64


def document(shape: tuple[int, ...], chunks: tuple[int, ...], compressor: dict[str, Any] | None) -> dict[str, Any]:
    """A v2 document, the same for every library: none of them chooses its own defaults."""
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": "<f4",
        "compressor": compressor,
        "fill_value": 0.0,
        "order": "C",
        "filters": None,
        "dimension_separator": ".",
    }


def sharded(shape: tuple[int, ...], shards: tuple[int, ...], chunks: tuple[int, ...]) -> dict[str, Any]:
    """A v3 document of shards, their chunks compressed with zstd."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "chunk_shape": list(chunks),
        "codecs": [little, {"name": "zstd", "configuration": {"level": 1, "checksum": False}}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shards)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }


def open_local(library: str, path: Path, *, write: bool = False, cache: int = 0) -> Any:
    """The array in directory `path`, as `library` opens it by default; `cache` bytes of decoded chunks kept if it can."""
    if library == "ndzarr":
        import ndzarr

        return ndzarr.open_array(path, "r+" if write else "r", chunk_cache=cache)
    if library in _PIPELINES:
        import zarr

        with pipeline(library):
            return zarr.open_array(str(path), mode="r+" if write else "r")
    import tensorstore

    driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
    kvstore = {"driver": "file", "path": f"{path}/"}
    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": cache}})
    return tensorstore.open({"driver": driver, "kvstore": kvstore}, open=True, write=write, context=context).result()


def create_local(library: str, path: Path, description: dict[str, Any]) -> Any:
    """A new array in directory `path`, open for writing."""
    path.mkdir(parents=True)
    (path / (".zarray" if description["zarr_format"] == 2 else "zarr.json")).write_text(json.dumps(description))
    return open_local(library, path, write=True)


def create_memory(library: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Any:
    """A new uncompressed array in memory."""
    if library == "ndzarr":
        import ndzarr

        return ndzarr.create_array(None, shape=shape, chunks=chunks, dtype="f4", compressor=None, fill_value=0, zarr_format=2)
    if library in _PIPELINES:
        import zarr

        store = zarr.storage.MemoryStore()
        with pipeline(library):
            return zarr.create_array(
                store, shape=shape, chunks=chunks, dtype="f4", compressors=None, fill_value=0, zarr_format=2
            )
    import tensorstore

    metadata = document(shape, chunks, None)
    spec = {"driver": "zarr", "kvstore": {"driver": "memory", "path": "a/"}, "metadata": metadata}
    return tensorstore.open(spec, create=True, context=tensorstore.Context()).result()


def read(library: str, array: Any, index: Any) -> Any:
    return array[index].read().result() if library == "tensorstore" else array[index]


def write(library: str, array: Any, index: Any, value: Any) -> None:
    if library == "tensorstore":
        array[index].write(value).result()
    else:
        array[index] = value


def points(library: str, array: Any, rows: Any, columns: Any) -> Any:
    """The elements at pairs of `rows` and `columns`, by index arrays."""
    return array.vindex[rows, columns].read().result() if library == "tensorstore" else array.vindex[rows, columns]


def some_rows(library: str, array: Any, rows: Any) -> Any:
    return array.oindex[rows].read().result() if library == "tensorstore" else array.oindex[rows, :]


def append(library: str, array: Any, rows: Any) -> Any:
    """`rows` written after the last row; gives the array to go on with."""
    if library != "tensorstore":
        array.append(rows)
        return array
    length = array.shape[0]
    array = array.resize(exclusive_max=[length + len(rows), array.shape[1]]).result()
    array[length:].write(rows).result()
    return array


def mean_of_columns(library: str, array: Any, rows: int) -> Any:
    """The mean over axis 0 of a float32 array, by what each library offers a user whose array does not fit into memory.

    ndzarr: `np.mean(z, axis=0)`. tensorstore: slabs of so many rows read and added in double precision, as ndzarr adds them.
    zarr-python and zarrs: dask.
    """
    if library == "ndzarr":
        return np.mean(array, axis=0)
    if library == "tensorstore":
        total = np.zeros(array.shape[1])
        for start in range(0, array.shape[0], rows):
            total += array[start : start + rows].read().result().sum(axis=0, dtype="f8")
        return (total / array.shape[0]).astype("f4")
    import dask.array

    return dask.array.from_zarr(array).mean(axis=0, dtype="f8").astype("f4").compute()
