"""Writes and reads Zarr arrays by dask and xarray, over ndzarr: what `peer_others.py` has other implementations do."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

import ndzarr

sys.path.insert(0, str(Path(__file__).parent))
v3: Any = importlib.import_module("v3_features")
others: Any = importlib.import_module("peer_others")


class Dask:
    """dask: blocks stored by `dask.array.store`, and `ZArray.to_dask`."""

    def write(self, case: Any, place: Path) -> None:
        import dask.array as da

        others.put(case, place)
        z = ndzarr.open_array(place / "a", "r+")
        for box in case.boxes:
            part = v3.from_plain(case.data[box], z.dtype)
            da.store(da.from_array(part, chunks=-1), z, regions=box, lock=False, scheduler="synchronous")

    def read(self, case: Any, place: Path) -> Any:
        values = ndzarr.open_array(place / "a").to_dask().compute(scheduler="synchronous")
        return others.Found(v3.to_plain(np.asarray(values), case.data_type), None, None, case.names)


class Xarray:
    """xarray: regions written by the accessor, and `engine="ndzarr"`; nothing is decoded or encoded."""

    def write(self, case: Any, place: Path) -> None:
        import xarray as xr

        import ndzarr.xarray_backend  # makes the accessor

        others.put(case, place)
        z = ndzarr.open_array(place / "a", "r+")
        dims = others.dims(case)
        if len({*dims} - {None, ""}) < len(dims):
            raise others.UnableError("xarray wants a name for each dimension, and each another")
        for box in case.boxes:
            part = xr.Dataset({"a": (dims, v3.from_plain(case.data[box], z.dtype))})
            if dims:
                part.ndzarr.to_zarr(place, region=dict(zip(dims, box, strict=True)), consolidated=False)
            else:
                part.ndzarr.to_zarr(place, mode="r+", consolidated=False)

    def read(self, case: Any, place: Path) -> Any:
        import xarray as xr

        with xr.open_dataset(place, engine="ndzarr", decode_cf=False, consolidated=False) as dataset:
            values = dataset["a"].values
        return others.Found(others.as_plain(values, case), None, None, case.names)


HOSTS: dict[str, Any] = {"dask": Dask, "xarray": Xarray}
