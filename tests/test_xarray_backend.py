"""`engine="ndzarr"` beside xarray's own zarr engine: the same datasets, encoding and errors, fewer requests."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ndzarr
from ndzarr.xarray_backend import NdzarrBackendEntrypoint


def climate() -> xr.Dataset:
    """Packed numbers, an odd calendar, strings, booleans, scalars, missing values."""
    time = xr.date_range("2000-02-28", periods=6, freq="D", calendar="noleap", use_cftime=True)
    data = np.linspace(270, 300, 6 * 4 * 5).reshape(6, 4, 5)
    data[0, 0, 0] = np.nan
    made = xr.Dataset(
        {
            "tas": (("time", "lat", "lon"), data, {"units": "K"}),
            "n": (("lat", "lon"), np.arange(20, dtype="i4").reshape(4, 5)),
            "land": (("lat", "lon"), np.eye(4, 5, dtype=bool)),
            "name": (("lat",), np.array(["a", "bé", "", "ddd"], object)),
            "z": ((), 3.5),
            "when": (("lat",), np.array(["2001-01-01", "NaT", "2002-02-02", "2003-03-03"], "M8[ns]")),
            "c": (("lon",), np.arange(5) * (1 + 1j)),
        },
        coords={"time": time, "lat": np.linspace(-60, 60, 4), "lon": np.arange(5.0), "height": 2.0},
        attrs={"title": "made up", "list": [1, 2, 3]},
    )
    made.tas.encoding = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -999, "chunks": (2, 4, 5)}
    return made


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "climate.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python on its own dtypes, and consolidated metadata in format 3
        climate().to_zarr(path, zarr_format=request.param, consolidated=True)
    return path


def both(target: Any, **kwargs: Any) -> tuple[xr.Dataset, xr.Dataset]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.open_dataset(target, engine="ndzarr", **kwargs), xr.open_dataset(target, engine="zarr", **kwargs)


def test_as_the_zarr_engine(stored: Path) -> None:
    ours, theirs = both(stored)
    xr.testing.assert_identical(ours.load(), theirs.load())
    assert set(ours.variables) == set(theirs.variables)
    for name, variable in theirs.variables.items():
        # Strings of format 2 are objects to ndzarr, as to zarr-python 2; newer ones have NumPy's StringDType for them too.
        texts = {ours[name].dtype.kind, variable.dtype.kind} <= set("OT")
        assert ours[name].dtype == variable.dtype or texts, name
        mine = ours.variables[name].encoding
        assert set(mine) | {"dtype"} == set(variable.encoding) | {"dtype"}, name
        keys = ("chunks", "preferred_chunks", "shards", "scale_factor", "add_offset", "units", "calendar", "dtype")
        for key in keys[: len(keys) - texts]:
            assert mine.get(key) == variable.encoding.get(key), (name, key)
        fills = [mine.get("_FillValue"), variable.encoding.get("_FillValue")]
        np.testing.assert_array_equal(*fills)
    xr.testing.assert_allclose(ours, climate(), atol=0.01)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"mask_and_scale": False},
        {"decode_times": False},
        {"decode_cf": False},
        {"drop_variables": ["tas", "lat"]},
        {"consolidated": False},
        {"consolidated": True},
        {"cache_members": False},
        {"chunks": {}},
        {"chunks": {"time": 3}},
    ],
    ids=repr,
)
def test_keywords_mean_the_same(stored: Path, kwargs: dict[str, Any]) -> None:
    ours, theirs = both(stored, **kwargs)
    assert ours.chunks == theirs.chunks
    xr.testing.assert_identical(ours.load(), theirs.load())


def test_fill_values_are_masks_where_that_is_asked_for(stored: Path) -> None:
    # The zarr engine of xarray 2026.9 takes the keyword and goes by the format all the same.
    packed = ndzarr.open_group(stored)["tas"]
    masked = xr.open_dataset(stored, engine="ndzarr", use_zarr_fill_value_as_mask=True, drop_variables=["time"])
    bare = xr.open_dataset(stored, engine="ndzarr", use_zarr_fill_value_as_mask=False, drop_variables=["time"])
    again = {2: masked, 3: bare}[packed.zarr_format]  # what the format says by itself
    xr.testing.assert_identical(again.load(), xr.open_dataset(stored, engine="ndzarr", drop_variables=["time"]).load())
    assert np.isnan(again.tas[0, 0, 0])
    if packed.zarr_format == 2:
        assert bare.tas[0, 0, 0] == pytest.approx(280 - 9.99)


@pytest.mark.parametrize(
    "pick",
    [
        lambda d: d.isel(time=5),
        lambda d: d.isel(time=slice(None, None, -2), lat=[3, 0]),
        lambda d: d.isel(lat=xr.DataArray([0, 1, 3], dims="p"), lon=xr.DataArray([4, 0, 2], dims="p")),
        lambda d: d.sel(lat=slice(-60, 0)).mean("lon"),
        lambda d: d.isel(time=[], lon=-1),
    ],
)
def test_lazy_indexing(stored: Path, pick: Any) -> None:
    ours, theirs = both(stored)
    xr.testing.assert_identical(pick(ours[["tas", "n"]]).load(), pick(theirs[["tas", "n"]]).load())


def test_what_ndzarr_writes(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        g = ndzarr.create_group(tmp_path / f"{zarr_format}", zarr_format=zarr_format)
        more = {"shards": (4, 6)} if zarr_format == 3 else {}
        z = g.create_array("a", shape=(8, 6), chunks=(2, 3), dtype="f4", dimension_names=["y", "x"], fill_value=0, **more)
        z[...] = np.arange(48).reshape(8, 6)
        g.create_array("x", shape=(6,), dtype="i8", dimension_names=["x"])[:] = np.arange(6)
        ours, theirs = both(tmp_path / f"{zarr_format}", consolidated=False)
        xr.testing.assert_identical(ours.load(), theirs.load())
        assert ours.a.encoding["shards"] == theirs.a.encoding["shards"]


def test_stores_groups_and_mappings() -> None:
    g = ndzarr.create_group(None)
    g.create_array("in/a", shape=(3,), dtype="f8", dimension_names=["x"])[:] = [1, 2, 3]
    for target, group in [(g, "in"), (g["in"], None), (g.store, "/in"), (g.store, "in/")]:
        assert xr.open_dataset(target, engine="ndzarr", group=group).a.values.tolist() == [1, 2, 3]
        assert xr.open_dataset(target, group=group).a.values.tolist() == [1, 2, 3]  # nobody else's, so found by itself
    with pytest.raises(FileNotFoundError):
        xr.open_dataset(g, engine="ndzarr", group="nowhere")
    with pytest.raises(ValueError, match="the engine only reads"):
        xr.open_dataset(g, engine="ndzarr", mode="r+")
    with pytest.raises(ValueError, match="format 3, expected 2"):
        xr.open_dataset(g, engine="ndzarr", zarr_format=2)


def test_an_array_without_dimensions_is_refused_by_name() -> None:
    for zarr_format in (2, 3):
        g = ndzarr.create_group(None, zarr_format=zarr_format)
        g.create_array("bare", shape=(3,), dtype="f8")
        with pytest.raises(KeyError, match="bare"):
            xr.open_dataset(g, engine="ndzarr")


def test_what_zarr_opens_is_left_to_zarr(tmp_path: Path) -> None:
    guess = NdzarrBackendEntrypoint().guess_can_open
    assert not guess(tmp_path / "x.zarr")
    assert not guess("s3://bucket/x.zarr")
    assert not guess("x.nc")
    assert guess("x.zarr.zip")
    assert guess(ndzarr.MemoryStore())
    assert "ndzarr" in xr.backends.list_engines()


def test_trees(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"/": climate()[["n"]], "/a": climate()[["land"]], "/a/b": climate()[["z"]]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree.to_zarr(tmp_path / "t.zarr")
        for kwargs in ({}, {"group": "a"}):
            ours = xr.open_datatree(tmp_path / "t.zarr", engine="ndzarr", **kwargs)
            theirs = xr.open_datatree(tmp_path / "t.zarr", engine="zarr", **kwargs)
            xr.testing.assert_identical(ours.load(), theirs.load())
            mine = xr.open_groups(tmp_path / "t.zarr", engine="ndzarr", **kwargs)
            assert set(mine) == set(xr.open_groups(tmp_path / "t.zarr", engine="zarr", **kwargs))


def many(variables: int, zarr_format: int) -> ndzarr.FaultStore:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    g = ndzarr.create_group(store, zarr_format=zarr_format)
    for n in range(variables):
        z = g.create_array(f"v{n}", shape=(20, 4), chunks=(2, 4), dtype="f4", dimension_names=["time", "x"])
        z[...] = n
    ndzarr.consolidate(store)
    store.clear()
    return store


def test_a_hundred_variables_cost_two_reads(zarr_format: int) -> None:
    store = many(100, zarr_format)
    opened = xr.open_dataset(store, engine="ndzarr")
    assert len(opened.variables) == 100
    repr(opened)
    assert len(store.calls()) == {2: 2, 3: 1}[zarr_format]  # format 2 is looked for where `zarr.json` is not
    store.clear()
    opened.v7.isel(time=5).load()
    assert [call.key for call in store.calls("get")] == [{2: "v7/2.0", 3: "v7/c/2/0"}[zarr_format]]
    assert len(store.calls()) == 1


def test_asynchronous_loading(stored: Path) -> None:
    ours, _ = both(stored)
    loaded = asyncio.run(ours.load_async())
    xr.testing.assert_allclose(loaded, climate(), atol=0.01)


def test_pickles_without_data(stored: Path) -> None:
    ours, _ = both(stored)
    again = pickle.loads(pickle.dumps(ours))
    xr.testing.assert_identical(again.load(), ours.load())


def test_several_files(tmp_path: Path) -> None:
    parts = []
    for n in range(3):
        part = climate()[["tas"]].isel(time=slice(2 * n, 2 * n + 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part.to_zarr(tmp_path / f"{n}.zarr")
        parts.append(tmp_path / f"{n}.zarr")
    whole = xr.open_mfdataset(parts, engine="ndzarr")
    assert whole.chunks["time"] == (2, 2, 2)
    xr.testing.assert_allclose(whole.load(), climate()[["tas"]], atol=0.01)


# ---- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_round_trips_by_both_writers_and_engines(tmp_path: Path, zarr_format: int) -> None:
    made = climate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.ndzarr.to_zarr(tmp_path / "ours", zarr_format=zarr_format)
        made.to_zarr(tmp_path / "theirs", zarr_format=zarr_format)
        written, expected = (xr.open_dataset(tmp_path / who, engine="zarr").load() for who in ("ours", "theirs"))
        again = xr.open_dataset(tmp_path / "ours", engine="ndzarr").load()
    xr.testing.assert_identical(written, expected)
    xr.testing.assert_identical(again, expected)
    for name, variable in expected.variables.items():
        for key in ("chunks", "dtype", "scale_factor", "add_offset", "units", "calendar"):
            assert written.variables[name].encoding.get(key) == variable.encoding.get(key), (name, key)


def test_appending_and_regions(tmp_path: Path) -> None:
    made = xr.Dataset({"a": (("t", "x"), np.arange(12.0).reshape(4, 3))}, coords={"t": np.arange(4), "x": np.arange(3)})
    path = tmp_path / "a.zarr"
    made.isel(t=slice(0, 2)).ndzarr.to_zarr(path)
    made.isel(t=slice(2, 4)).ndzarr.to_zarr(path, append_dim="t")
    xr.testing.assert_identical(xr.open_dataset(path, engine="ndzarr").load(), made)
    (made.isel(t=slice(1, 3))[["a"]] * 10).drop_vars("x").ndzarr.to_zarr(path, region="auto")
    found = xr.open_dataset(path, engine="ndzarr").a.values
    np.testing.assert_array_equal(found, made.a.values * np.array([1, 10, 10, 1])[:, None])
    with pytest.raises(FileExistsError):
        made.ndzarr.to_zarr(path, mode="w-")


def test_dask_blocks_that_share_a_chunk_are_refused(tmp_path: Path) -> None:
    made = xr.Dataset({"a": ("x", np.arange(12.0))}).chunk(x=4)
    with pytest.raises(ValueError, match="overlap"):
        made.ndzarr.to_zarr(tmp_path / "a.zarr", encoding={"a": {"chunks": (6,)}})
    made.ndzarr.to_zarr(tmp_path / "b.zarr", encoding={"a": {"chunks": (6,)}}, align_chunks=True)
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "b.zarr", engine="ndzarr").load(), made.compute())


@pytest.mark.parametrize("view", [False, True], ids=["array", "view"])
def test_a_stored_array_inside_a_variable(view: bool) -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    a = np.arange(12.0).reshape(4, 3)
    z = ndzarr.array(a, store=store, chunks=(2, 2))
    made = xr.DataArray(z.lazy[::-1] if view else z, dims=("y", "x"), name="a")
    a = a[::-1] if view else a
    store.clear()
    assert "y: 4" in repr(made)
    made._repr_html_()
    assert set(store.counts) <= {"list", "size"}  # which chunks there are, and how large; none is read
    np.testing.assert_array_equal(made.compute().values, a)
    np.testing.assert_array_equal((made + 1).values, a + 1)
    np.testing.assert_allclose(made.mean("y").values, a.mean(axis=0))
    assert float(made.max()) == 11.0
    np.testing.assert_array_equal(made.isel(x=1).values, a[:, 1])
    np.testing.assert_array_equal(made.load().values, a)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_netcdf_file_and_back(tmp_path: Path, zarr_format: int) -> None:
    """What netCDF4 makes: an unlimited dimension, packed numbers, an odd calendar, strings, characters, groups."""
    import netCDF4

    with netCDF4.Dataset(tmp_path / "model.nc", "w") as file:
        file.title = "made by netCDF4"
        file.createDimension("time", None)
        file.createDimension("lat", 4)
        file.createDimension("letters", 5)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "hours since 1850-01-01", "360_day"
        time[:] = np.arange(6) * 720
        tas = file.createVariable("tas", "i2", ("time", "lat"), fill_value=-32768, chunksizes=(2, 4))
        tas.scale_factor, tas.add_offset, tas.units, tas.cell_methods = 0.01, 273.15, "K", "time: mean"
        tas[:] = np.ma.masked_less(273 + np.arange(24.0).reshape(6, 4), 275)
        file.createVariable("name", str, ("lat",))[:] = np.array(["north", "", "équateur", "south"], object)
        file.createVariable("code", "S1", ("lat", "letters"))[:] = np.array([list("abcde")] * 4, "S1")
        file.createVariable("u", "u1", ("lat",))[:] = [0, 1, 254, 255]
        inner = file.createGroup("run/second")
        inner.createVariable("count", "i8", ("time",))[:] = np.arange(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of calendars that pandas has not got
        with xr.open_datatree(tmp_path / "model.nc", engine="netcdf4") as opened:
            tree = opened.load()
        tree.ndzarr.to_zarr(tmp_path / "model.zarr", zarr_format=zarr_format)
        for engine in ("ndzarr", "zarr"):
            xr.testing.assert_identical(xr.open_datatree(tmp_path / "model.zarr", engine=engine).load(), tree)
        found = xr.open_dataset(tmp_path / "model.zarr", engine="ndzarr")
        assert found.tas.encoding["scale_factor"] == 0.01
        assert found.tas.encoding["dtype"] == np.int16
        assert found.time.encoding["calendar"] == "360_day"
        found.to_netcdf(tmp_path / "again.nc")
        xr.testing.assert_identical(
            xr.open_dataset(tmp_path / "again.nc").load(), xr.open_dataset(tmp_path / "model.nc").load()
        )
