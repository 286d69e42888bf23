"""One dataset that goes round: ndzarr, zarr-python, xarray, dask and tensorstore each write what the next one reads.

    python interoperability.py

Libraries that are not installed are left out, and said to be. Values must come back bit for bit, so each step checks them.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ndzarr

WANTED = np.round(np.random.default_rng(0).normal(15, 5, (24, 60, 90)), 2).astype("f4")
WANTED[3, 10:20] = np.nan
Step = Callable[[Path], None]


def same(found: object) -> None:
    array = np.asarray(found)
    assert array.dtype == WANTED.dtype
    assert array.tobytes() == WANTED.tobytes()


def with_ndzarr(place: Path) -> None:
    root = ndzarr.create_group(place, attributes={"title": "a demonstration"})
    z = root.create_array(
        "t",
        shape=WANTED.shape,
        chunks=(6, 30, 30),
        shards=(12, 60, 90),
        dtype="f4",
        fill_value=np.nan,
        compressor="zstd",
        dimension_names=["time", "lat", "lon"],
    )
    z[...] = WANTED
    z.attrs["units"] = "degree_Celsius"
    ndzarr.consolidate(place)


def read_by_ndzarr(place: Path) -> None:
    z = ndzarr.open(place, path="t")
    same(z[...])
    same(z.lazy[::-1][::-1].compute())


def read_by_zarr(place: Path) -> None:
    import zarr

    group = zarr.open_group(place, mode="r")
    same(group["t"][...])
    assert group["t"].attrs["units"] == "degree_Celsius"


def with_zarr(place: Path) -> None:
    import zarr

    group = zarr.create_group(place, zarr_format=2)
    z = group.create_array("t", shape=WANTED.shape, chunks=(7, 20, 90), dtype="f4", fill_value=np.nan)
    z[...] = WANTED


def read_by_xarray(place: Path) -> None:
    import xarray as xr

    with xr.open_dataset(place, engine="ndzarr") as dataset:
        assert dataset.t.dims == ("time", "lat", "lon")
        same(dataset.t.values)


def with_xarray(place: Path) -> None:
    import xarray as xr

    dataset = xr.Dataset({"t": (("time", "lat", "lon"), WANTED, {"units": "degree_Celsius"})})
    dataset.ndzarr.to_zarr(place)


def read_by_dask(place: Path) -> None:
    same(ndzarr.open(place, path="t").to_dask().compute())


def with_dask(place: Path) -> None:
    import dask.array as da

    z = ndzarr.create_array(place, path="t", shape=WANTED.shape, chunks=(6, 30, 45), dtype="f4", fill_value=np.nan)
    z.attrs["units"] = "degree_Celsius"
    # Blocks of whole chunks: no two tasks write to one stored object.
    da.from_array(WANTED, chunks=(12, 60, 45)).store(z, lock=False)


def read_by_tensorstore(place: Path) -> None:
    import tensorstore as ts

    same(ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/t/"}}).result().read().result())


#: (the package that writes, how, how others read it).
ROUNDS: list[tuple[str, Step, dict[str, Step]]] = [
    (
        "ndzarr",
        with_ndzarr,
        {
            "ndzarr": read_by_ndzarr,
            "zarr": read_by_zarr,
            "xarray": read_by_xarray,
            "dask": read_by_dask,
            "tensorstore": read_by_tensorstore,
        },
    ),
    ("zarr", with_zarr, {"ndzarr": read_by_ndzarr, "dask": read_by_dask}),
    ("xarray", with_xarray, {"ndzarr": read_by_ndzarr, "zarr": read_by_zarr, "xarray": read_by_xarray}),
    ("dask", with_dask, {"ndzarr": read_by_ndzarr, "zarr": read_by_zarr}),
]


def main() -> None:
    for writer, write, readers in ROUNDS:
        if importlib.util.find_spec(writer) is None:
            print(f"{writer:<12} is not installed")
            continue
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory, "demo.zarr")
            write(place)
            for reader, read in readers.items():
                if importlib.util.find_spec(reader) is None:
                    print(f"{writer:<12} -> {reader:<12} is not installed")
                    continue
                read(place)
                print(f"{writer:<12} -> {reader:<12} {WANTED.nbytes} bytes, the same")


if __name__ == "__main__":
    main()
