"""Pictures: they show what is stored, read only what they show, need no pyplot, and say what is missing."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from matplotlib.image import imread

import ndzarr
from ndzarr import MemoryStore, RecordingStore

PNG = b"\x89PNG\r\n\x1a\n"


def stored(a: Any, **options: Any) -> ndzarr.ZArray:
    a = np.asarray(a)
    z = ndzarr.create_array(shape=a.shape, dtype=a.dtype, **{"chunks": tuple(max(1, n // 4) for n in a.shape), **options})
    z[...] = a
    return z


def shown(picture: ndzarr.Quicklook) -> Any:
    return picture.image.get_array()


def test_values_labels_and_places() -> None:
    a = np.arange(3 * 40 * 60, dtype="f4").reshape(3, 40, 60)
    group = ndzarr.create_group()
    z = group.create_array(
        "ocean/sst", shape=a.shape, chunks=(1, 10, 10), dtype="f4", dimension_names=("time", "lat", "lon"),
        attributes={"long_name": "sea_surface_temperature", "units": "K"},
    )  # fmt: skip
    z[...] = a
    picture = z.plot({"time": 2}, max_pixels=200)
    np.testing.assert_array_equal(picture.values, a[picture.index])
    np.testing.assert_array_equal(shown(picture), a[picture.index])
    assert picture.index == (2, slice(0, 40, 3), slice(2, 58, 5))
    ax = picture.axes
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("sst[2, ::3, ::5]", "lon", "lat")
    assert [axes.get_ylabel() for axes in picture.figure.axes] == ["lat", "sea surface temperature [K]"]
    left, right, bottom, top = picture.image.get_extent()
    # A sample stands in the middle of the elements that it stands for.
    assert (left, right, bottom, top) == (-0.5, 59.5, 40.5, -1.5)
    assert repr(picture) == "<ndzarr.Quicklook of sst[2, ::3, ::5]: 14 x 12 of float32>"
    upside_down = z.plot(origin="lower").image.get_extent()
    assert upside_down[2] < upside_down[3]


def test_names_of_axes_in_format_2() -> None:
    for names, label in ((["y", "x"], "x"), (["y"], "axis 1"), (["y", 3], "axis 1"), ("yx", "axis 1"), (None, "axis 1")):
        z = ndzarr.create_array(shape=(3, 4), dtype="i1", zarr_format=2, attributes={"_ARRAY_DIMENSIONS": names})
        assert z.plot().axes.get_xlabel() == label


def test_a_line() -> None:
    a = np.arange(100.0)
    a[30] = np.nan
    picture = stored(a, dimension_names=("t",), attributes={"units": "m"}).plot()
    np.testing.assert_array_equal(picture.image.get_xdata(), np.arange(100))
    np.testing.assert_array_equal(picture.image.get_ydata(), a)
    assert (picture.axes.get_xlabel(), picture.axes.get_ylabel()) == ("t", "[m]")
    assert picture._repr_png_().startswith(PNG)


@pytest.mark.parametrize("shards", [None, (64, 64)])
def test_chunks_that_a_step_jumps_over_are_not_read(shards: Any) -> None:
    store = RecordingStore(MemoryStore())
    z = ndzarr.create_array(store, shape=(256, 256), chunks=(8, 8), shards=shards, dtype="i4", compressor="zlib")
    z[...] = np.arange(256 * 256).reshape(256, 256)
    store.clear()
    picture = ndzarr.quicklook(z, max_pixels=64)  # every 32nd element of each axis, so every 4th chunk: 8 x 8
    assert shown(picture).shape == (8, 8)
    asked = {(r.key, str(r.range)) for r in store.records if r.op.startswith("get") and r.nbytes}
    objects = {key for key, _ in asked}
    if shards is None:
        assert len(asked) == len(objects) == 64
    else:
        # Of each of the 16 shards 4 of 64 chunks, in fewer bytes than there are: near ones are fetched together.
        assert len(objects) == 16
        assert sum(r.nbytes or 0 for r in store.records) < z.nbytes_stored * 0.7
    cost = z.explain(picture.index)
    assert (cost.chunks_present, cost.nbytes_decoded) == (64, 64 * 8 * 8 * 4)
    store.clear()
    ndzarr.quicklook(z, (slice(0, 2), slice(0, 2)))
    assert len({r.key for r in store.records if r.op.startswith("get")}) == 1


def test_no_more_is_decoded_than_allowed() -> None:
    store = RecordingStore(MemoryStore())
    z = ndzarr.create_array(store, shape=(8, 1000, 1000), chunks=(8, 50, 50), dtype="u1", compressor="zlib")
    z[...] = 7
    assert len(z.plot().values) == 500
    chunk = 8 * 50 * 50
    for most in (200, 30, 4, 1):
        store.clear()
        picture = z.plot(max_nbytes=most * chunk)
        read = {r.key for r in store.records if r.op.startswith("get")}
        assert most / 3 <= len(read) <= most
        assert (shown(picture) == 7).all()
    store.clear()
    assert z.plot(max_nbytes=None).values.shape == (500, 500)


def test_a_huge_array_is_looked_at_at_once() -> None:
    z = ndzarr.create_array(shape=(10**9, 10**9, 10**9), chunks=(1, 1000, 1000), dtype="f8", fill_value=1.5)
    assert set(np.unique(z.plot().values)) == {1.5}


def test_outliers_do_not_set_the_colours() -> None:
    a = np.linspace(0, 1, 10_000).reshape(100, 100)
    a[0, 0], a[5, 5] = 1e9, -1e9
    low, high = stored(a).plot().image.get_clim()
    assert 0.01 < low < 0.03
    assert 0.97 < high < 0.99
    assert stored(a).plot(vmin=-3, vmax=4).image.get_clim() == (-3, 4)
    assert stored(a).plot(cmap="magma").image.get_cmap().name == "magma"


@pytest.mark.parametrize(
    ("values", "numbers", "hidden"),
    [
        ([[True, False]], [[1, 0]], [[False, False]]),
        (np.array([[1, 2**64 - 1]], "u8"), [[1, 2.0**64]], [[False, False]]),
        ([[1.5, np.nan, np.inf, -np.inf]], [[1.5, 0, 0, 0]], [[False, True, True, True]]),
        ([[3 + 4j, np.nan]], [[5, 0]], [[False, True]]),
        (np.array([["2020-01-01", "NaT"]], "M8[D]"), [[18262, 0]], [[False, True]]),
        (np.array([[5, "NaT"]], "m8[10s]"), [[50, 0]], [[False, True]]),
        (np.array([[1, 3]], ">i4"), [[1, 3]], [[False, False]]),
        (np.array([[1, 65504]], ">f2"), [[1, 65504]], [[False, False]]),
        (np.array([[1, 2.5]], ml_dtypes.bfloat16), [[1, 2.5]], [[False, False]]),
        (np.array([[1, 3]], ml_dtypes.int4), [[1, 3]], [[False, False]]),
        (np.array([[1, 2]], "g"), [[1, 2]], [[False, False]]),
        (np.ma.array([[1, 2]], mask=[[False, True]]), [[1, 2]], [[False, True]]),
    ],
)
def test_every_kind_of_number(values: Any, numbers: Any, hidden: Any) -> None:
    a = np.repeat(values if isinstance(values, np.ma.MaskedArray) else np.asarray(values), 2, axis=0)
    picture = ndzarr.quicklook(a)
    mask = np.repeat(np.array(hidden), 2, axis=0)
    found = shown(picture)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), mask)
    np.testing.assert_array_equal(np.ma.getdata(found)[~mask], np.repeat(np.array(numbers), 2, axis=0)[~mask])
    assert picture._repr_png_().startswith(PNG)
    assert ndzarr.quicklook(a[0])._repr_png_().startswith(PNG)


def test_scales_name_what_numbers_stand_for() -> None:
    def ticks(picture: Any) -> list[str]:
        picture.figure.canvas.draw()
        return [tick.get_text() for tick in picture.figure.axes[-1].get_yticklabels()]

    assert ticks(stored(np.eye(4, dtype=bool)).plot()) == ["False", "True"]
    days = np.datetime64("2020-01-01") + np.arange(400).reshape(20, 20)
    assert all(tick.startswith("20") and len(tick) == 10 for tick in ticks(stored(days).plot()))
    minutes = np.datetime64("2020-01-01T00:00") + np.arange(400).reshape(20, 20)
    assert all(tick.startswith("20") and len(tick) == 16 for tick in ticks(stored(minutes).plot()))
    years = np.arange(400).reshape(20, 20).astype("M8[Y]")
    assert all(len(tick) == 4 for tick in ticks(stored(years).plot()))
    assert stored(days - days[0, 0]).plot().figure.axes[-1].get_ylabel() == "[D]"
    assert stored(np.eye(3) * 1j).plot().figure.axes[-1].get_ylabel() == "magnitude"


def test_packed_numbers_are_drawn_as_what_they_stand_for() -> None:
    packed = {"scale_factor": 0.5, "add_offset": 10, "_FillValue": -1, "units": "K"}
    picture = stored(np.array([[0, 2], [-1, 4]], "i2"), attributes=packed).plot()
    assert shown(picture).tolist() == [[10, 11], [None, 12]]
    assert picture.values.tolist() == [[0, 2], [-1, 4]]
    line = stored(np.array([0, 2, -1], "i2"), attributes=packed).plot()
    np.testing.assert_array_equal(line.image.get_ydata(), [10, 11, np.nan])
    # What xarray and strangers may have there instead of numbers.
    odd = {"scale_factor": "x", "add_offset": None, "_FillValue": "AAAAAAAA+H8=", "missing_value": [1]}
    assert shown(stored(np.array([[1.0, 2], [3, 4]]), attributes=odd).plot()).tolist() == [[1, 2], [3, 4]]


def test_pixels_in_colour() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), "u1")
    picture = stored(pixels).plot()
    np.testing.assert_array_equal(shown(picture), pixels)
    assert len(picture.figure.axes) == 1  # no scale
    scaled = stored(pixels.astype("u2") * 100, dimension_names=("y", "x", "channel")).plot()
    assert 0 <= shown(scaled).min() <= shown(scaled).max() <= 1
    unit = np.dstack([pixels / 255, np.full((20, 30), 0.5)])
    np.testing.assert_allclose(shown(stored(unit).plot(rgb=True)), unit)
    assert shown(stored(pixels).plot(rgb=False)).shape == (30, 3)
    assert shown(stored(np.repeat(pixels[None], 4, 0)).plot()).shape == (20, 30, 3)


def test_views_and_arrays_in_memory() -> None:
    a = np.arange(600).reshape(20, 30)
    z = stored(a, attributes={"units": "s"})
    view = ndzarr.quicklook(z.lazy[::-1, 5:])
    np.testing.assert_array_equal(shown(view), a[::-1, 5:])
    assert view.figure.axes[-1].get_ylabel() == "[s]"
    np.testing.assert_array_equal(shown(z.lazy[[3, 1, 1]].plot()), a[[3, 1, 1]])
    np.testing.assert_array_equal(shown(ndzarr.quicklook(a)), a)
    named = ndzarr.create_array(shape=(3, 4, 5), dtype="i1", dimension_names=("t", "y", "x"))
    turned = np.transpose(named.lazy[1]).plot()
    assert (turned.axes.get_ylabel(), turned.axes.get_xlabel()) == ("x", "y")
    pair = ndzarr.create_array(shape=(4, 4), dtype=[("a", "i4"), ("b", "f8")])
    with pytest.raises(ndzarr.ArgumentError, match=r"z\.lazy\['a'\]"):
        pair.plot()
    assert shown(pair.lazy["a"].plot()).dtype == np.int32


@pytest.mark.parametrize("dtype", ["U3", "S3", "V5", "T"])
def test_what_is_no_number_is_refused_before_it_is_read(dtype: str) -> None:
    store = RecordingStore(MemoryStore())
    z = ndzarr.create_array(store, shape=(4, 4), dtype=dtype)
    store.clear()
    with pytest.raises(ndzarr.ArgumentError, match="cannot draw elements of dtype"):
        z.plot()
    assert not store.records


def test_arguments() -> None:
    z = stored(np.eye(5))
    with pytest.raises(ndzarr.ArgumentError, match="'nosuch'"):
        z.plot(cmap="nosuch")
    with pytest.raises(ndzarr.ArgumentError, match="expected an array"):
        ndzarr.quicklook("ocean.zarr")
    with pytest.raises(ndzarr.ArgumentError, match="expected an array"):
        ndzarr.quicklook(ndzarr.create_group())
    with pytest.raises(ndzarr.ArgumentError, match="origin"):
        z.plot(origin="left")
    with pytest.raises(ndzarr.ArgumentError, match="real numbers"):
        stored(np.zeros((4, 4, 3), complex)).plot(rgb=True)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RecordingStore(MemoryStore())
    z = ndzarr.create_array(store, shape=(4, 4), dtype="i4")
    store.clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ndzarr.ArgumentError, match=r"pip install 'ndzarr\[plot\]'"):
        z.plot()
    assert not store.records


def test_pyplot_is_left_alone() -> None:
    """In a process of its own: other tests may have imported it."""
    code = "import sys, ndzarr; ndzarr.ones((4, 4)).plot()._repr_png_(); sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_axes_of_the_caller_are_drawn_in_and_shown_by_him() -> None:
    ax = Figure().add_subplot()
    picture = stored(np.eye(5)).plot(ax=ax)
    assert picture.axes is ax
    assert picture._repr_png_() is None
    assert picture.image in ax.get_images()


def test_saved_pictures(tmp_path: Any) -> None:
    picture = stored(np.arange(10_000).reshape(100, 100)).plot()
    picture.save(tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[2] == 4
    buffer = io.BytesIO()
    picture.save(buffer, dpi=50)
    assert buffer.getvalue().startswith(PNG)
    # Nothing in the corner of what is drawn is blank, and light and dark are where they should be: the first row is darkest.
    pixels = imread(io.BytesIO(picture._repr_png_()))
    assert 0.2 < pixels[..., :3].mean() < 0.95


def test_hostile_attributes_are_text() -> None:
    evil = "$\\frac{$ \x00\n\x1b[31m <b>" + "x" * 500
    z = stored(np.eye(5), attributes={"units": evil, "long_name": evil}, dimension_names=("$y_{", "x\t"))
    picture = z.plot()
    assert picture._repr_png_().startswith(PNG)
    assert len(picture.figure.axes[-1].get_ylabel()) < 100
    assert stored(np.eye(5), attributes={"units": {"a": 1}, "long_name": 5}).plot()._repr_png_()


def test_threads_draw_at_once() -> None:
    z = stored(np.arange(400).reshape(20, 20))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(z.plot()._repr_png_())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


@given(
    hnp.arrays(
        st.sampled_from(["f4", "f8", "f2", "i1", "i8", "u8", "c8", "c16", "?", "M8[ns]", "M8[s]", "m8[Y]"]),
        st.sampled_from([(1,), (3,), (2, 2), (1, 4), (2, 3)]),
    )
)
@settings(max_examples=15, deadline=None)
def test_any_values_make_a_picture(a: Any) -> None:
    """Infinities, NaN, the largest numbers and the last dates included; warnings are errors here."""
    picture = ndzarr.quicklook(a)
    picture.save(io.BytesIO(), dpi=40)


@pytest.mark.parametrize(
    "attributes",
    [
        {"scale_factor": math.inf, "_FillValue": math.nan},
        {"scale_factor": 10**400, "add_offset": -(10**400), "missing_value": 10**400},
        {"scale_factor": 1e300, "add_offset": 1e300},
    ],
    ids=["not finite", "not even a float", "too large together"],
)
@pytest.mark.filterwarnings("error")
def test_scales_that_are_no_numbers(attributes: dict[str, Any]) -> None:
    z = ndzarr.array(np.arange(6).reshape(2, 3) * 10**9, zarr_format=2, attributes=attributes)
    assert ndzarr.quicklook(z)._repr_png_()
