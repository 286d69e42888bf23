"""Opening a consolidated dataset of 100 variables: what lies between xarray and the documents."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np


class Open:
    params = (["ndzarr", "zarr"], [2, 3])
    param_names = ("engine", "zarr_format")

    def setup_cache(self) -> str:
        top = str(Path("datasets").absolute())
        if find_spec("xarray") is None or find_spec("zarr") is None:
            return top
        import xarray

        names = [f"v{n}" for n in range(100)]
        made = xarray.Dataset({name: (("t", "x"), np.zeros((20, 4), "f4")) for name in names}, coords={"t": np.arange(20.0)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr-python, of consolidated metadata in format 3
            for zarr_format in (2, 3):
                made.to_zarr(f"{top}/{zarr_format}", zarr_format=zarr_format, consolidated=True)
        return top

    def setup(self, top: str, engine: str, zarr_format: int) -> None:
        if find_spec("xarray") is None or find_spec("zarr") is None:
            raise NotImplementedError("xarray or zarr-python is not installed")
        self.time_open(top, engine, zarr_format)  # what is imported at first use is not measured

    def time_open(self, top: str, engine: str, zarr_format: int) -> None:
        import xarray

        xarray.open_dataset(f"{top}/{zarr_format}", engine=engine)
