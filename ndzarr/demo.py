"""`python -m ndzarr demo`: write a small dataset, read it back by slices, and say what each read cost.

The dataset is made up but shaped like a real one: twenty years of monthly sea-surface temperature on a two-degree grid, with
land masked, coordinates, attributes and consolidated metadata. Costs are counted, not estimated: a `FaultStore` that never
fails notes every call that reaches the directory.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ndzarr import api
from ndzarr._typing import NDArray
from ndzarr.display import format_nbytes
from ndzarr.errors import NdzarrError, NodeExistsError
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.local import LocalStore

DIRECTORY = "ndzarr-demo.zarr"
CHUNKS = (60, 10, 20)  # five years of a box of 20 by 40 degrees: 47 KiB decoded
YEARS = 20

_CHUNK = re.compile(r"/\d+[./]\d+[./]\d+$")

#: The attribute by which the demo knows a directory as its own, which it may replace.
_MARK = {"written_by": "python -m ndzarr demo"}


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is written: `sst` is (time, lat, lon) in degrees Celsius, NaN on land; the others are its coordinates."""

    time: NDArray
    lat: NDArray
    lon: NDArray
    sst: NDArray

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return int(self.time.nbytes + self.lat.nbytes + self.lon.nbytes + self.sst.nbytes)


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls of a store: `chunks` different chunk objects among them, `nbytes` bytes moved."""

    chunks: int
    requests: int
    nbytes: int


def make_dataset(seed: int = 11) -> Dataset:
    """The dataset, the same for the same seed: a climate by latitude, seasons, a slow oscillation, noise."""
    random = np.random.default_rng(seed)
    months = np.arange(12 * YEARS)
    lat = np.arange(-89.0, 90.0, 2.0)
    lon = np.arange(1.0, 360.0, 2.0)
    t, north, east = months[:, None, None], np.radians(lat)[None, :, None], np.radians(lon)[None, None, :]

    climate = 31.0 * np.cos(north) ** 1.5 - 2.5
    seasons = 6.0 * np.sin(2.0 * north) * np.cos(2.0 * np.pi * (t - 7) / 12.0)
    pool = np.exp(-((north / 0.2) ** 2) - ((east - np.radians(225.0)) / 0.7) ** 2)
    oscillation = 1.8 * np.sin(2.0 * np.pi * t / 45.0) * pool
    noise = random.normal(0.0, 0.2, (len(months), len(lat), len(lon)))
    sst = np.maximum(climate + seasons + oscillation + noise, -1.8)

    # Continents are where a few smooth waves add up to a lot, and all of the far south.
    height = np.sin(2.0 * east + 1.0) * np.cos(1.5 * north) + 0.5 * np.cos(3.0 * north - 1.0)
    land = (height > 0.75) | (north < np.radians(-70.0))
    # 1/32 degree is finer than such an instrument measures, and the zero bits below it compress away.
    sst = np.where(land, np.nan, np.round(sst * 32.0) / 32.0)
    return Dataset(np.round(months * 30.4375).astype("i4"), lat.astype("f4"), lon.astype("f4"), sst.astype("f4"))


def write_dataset(store: FaultStore, data: Dataset) -> None:
    """Write the dataset as the root group of `store`, replacing what is there."""
    root = api.create_group(store, overwrite=True, attributes={"title": "made-up sea-surface temperature", **_MARK})
    days = {"units": "days since 2006-01-15", "calendar": "standard"}
    for name, values, attributes in (
        ("time", data.time, days),
        ("lat", data.lat, {"units": "degrees_north"}),
        ("lon", data.lon, {"units": "degrees_east"}),
    ):
        coordinate = root.create_array(
            name, shape=values.shape, dtype=values.dtype, dimension_names=[name], attributes=attributes
        )
        coordinate[...] = values
    sst = root.create_array(
        "sst",
        shape=data.sst.shape,
        dtype=data.sst.dtype,
        chunks=CHUNKS,
        compressor={"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1},
        fill_value=np.nan,
        dimension_names=["time", "lat", "lon"],
        attributes={"standard_name": "sea_surface_temperature", "units": "degree_Celsius"},
    )
    sst[...] = data.sst
    api.consolidate(store)


def run(directory: str = DIRECTORY) -> int:
    """Do all of it and print what happened; the exit status, 1 if a read gave anything but what NumPy gives.

    Raises NodeExistsError when `directory` holds something that is not the demo's own.
    """
    started = time.perf_counter()
    _check_place(directory)
    data = make_dataset()
    store = FaultStore(LocalStore(directory))

    write_dataset(store, data)
    written = cost_of(store, "set")
    objects = {call.key: call.nbytes or 0 for call in store.calls("set")}  # the root's document is written twice
    sst = api.open_array(store, path="sst")
    print(f"Wrote {directory}: {YEARS} years of monthly sea-surface temperature on a two-degree grid.")
    print(f"  sst     {sst.shape} {sst.dtype} in chunks of {sst.chunks}, blosc (zstd, shuffle); land is NaN")
    print(f"  values  {format_nbytes(data.nbytes)}, stored as {format_nbytes(sum(objects.values()))} in {len(objects)} objects")
    print(f"  chunks  {written.chunks} of sst; the other {sst.nchunks - written.chunks} are all land: fill values, not stored")

    print("\nRead it back by slices. A request that finds no chunk gives fill values:\n")
    print(f"  {'':<32}{'result':<16}{'chunks':>7}{'requests':>10}{'fetched':>11}{'decoded':>11}")
    differing = 0
    for text, index in _reads(data):
        store.clear()
        result = sst[index]
        cost = cost_of(store, "get")
        decoded = cost.chunks * math.prod(sst.chunks) * sst.itemsize
        print(
            f"  {text:<32}{result.shape!s:<16}{cost.chunks:>7}{cost.requests:>10}"
            f"{format_nbytes(cost.nbytes):>11}{format_nbytes(decoded):>11}"
        )
        differing += not np.array_equal(result, data.sst[index], equal_nan=True)
    if differing:
        print(f"\n{differing} of these differ from what NumPy gives: that is a bug, please report it")
        return 1
    print(f"\nAll are equal to what NumPy gives; {time.perf_counter() - started:.1f} s in all. Other libraries read it too:\n")
    print(f"  zarr.open_group({directory!r}, mode='r')['sst'][:, 44, 125]")
    print(f"  xarray.open_zarr({directory!r})")
    return 0


def _reads(data: Dataset) -> list[tuple[str, Any]]:
    """Indices as they are printed, and as they are: a series, a flipped map, the points of a mask, two stations, everything."""
    warm = data.sst[6] > 30.0
    return [
        ("sst[:, 44, 125]", np.s_[:, 44, 125]),
        ("sst[6, ::-1]", np.s_[6, ::-1]),
        ("sst[6, warm]  (where above 30)", np.s_[6, warm]),
        ("sst[6::12, [20, 60], [75, 80]]", np.s_[6::12, [20, 60], [75, 80]]),
        ("sst[...]", np.s_[...]),
    ]


def cost_of(store: FaultStore, op: str) -> Cost:
    """What the calls of `op` in the store's log came to."""
    calls = store.calls(op)
    # Chunk objects of `sst` are the keys that end in three numbers; all others are metadata and coordinates.
    chunks = {call.key for call in calls if call.key and call.nbytes is not None and _CHUNK.search(call.key)}
    return Cost(len(chunks), len(calls), sum(call.nbytes or 0 for call in calls))


def _check_place(directory: str) -> None:
    """Refuse a place that holds anything but an earlier demo."""
    place = Path(directory)
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    try:
        if api.open_group(directory).attrs.get("written_by") == _MARK["written_by"]:
            return
    except NdzarrError:
        pass  # not even a group
    raise NodeExistsError(f"{directory!r} holds something that the demo did not write; name another directory", path=directory)
