"""`compress` keeps its bound on every finite element, whatever it is given, and says truly what it did."""

from __future__ import annotations

import json
import tracemalloc
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import ndzarr
from ndzarr.compression import compress as module
from ndzarr.compression.bound import Bound, Measured
from ndzarr.compression.information import Information
from ndzarr.compression.rounding import bits_for, grid_for, whole_steps

RECORD = "ndzarr_compression"

# ---- the three datasets -------------------------------------------------------------------------


@cache
def climate() -> np.ndarray:
    """A smooth field with some noise, float32, NaN over land."""
    random = np.random.default_rng(1)
    t, y, x = np.meshgrid(np.arange(24), np.radians(np.linspace(-90, 90, 90)), np.radians(np.arange(0, 360, 2)), indexing="ij")
    field = 288 - 40 * np.sin(y) ** 2 + 5 * np.sin(3 * x + t / 8) * np.cos(y) + 2 * np.sin(t / 9 + 4 * y)
    field = (field + random.normal(0, 0.05, field.shape)).astype("f4")
    field[:, np.sin(5 * y[0]) * np.cos(2 * x[0]) > 0.6] = np.nan
    return field


@cache
def imaging() -> np.ndarray:
    """A volume of photon counts with the noise of a camera, uint16."""
    random = np.random.default_rng(2)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (16, 128, 128)), indexing="ij")
    light = 100 + 3000 * np.exp(-8 * (x * x + y * y + z * z)) + 500 * np.exp(-90 * ((x - 0.4) ** 2 + (y + 0.3) ** 2 + z * z))
    return np.clip(random.poisson(light) + random.normal(0, 3, light.shape), 0, 65535).round().astype("u2")


@cache
def hostile() -> np.ndarray:
    """float64 of 600 orders of magnitude, zeros of both signs, subnormals, infinities, NaN."""
    random = np.random.default_rng(3)
    a = random.standard_normal(120_000) * 10.0 ** random.integers(-320, 300, 120_000)
    a[::7], a[3::11], a[5::13], a[6::17], a[8::19] = 0.0, -0.0, np.inf, -np.inf, np.nan
    a[9::23] = 5e-324 * random.integers(1, 100, a[9::23].size)
    a[30_000:60_000] = random.standard_normal(30_000)
    return a.reshape(300, 400)


def check(x: np.ndarray, y: np.ndarray, *, max_abs: Any = None, max_rel: Any = None) -> None:
    """What a reader would check, in the array's own dtype."""
    assert x.dtype == y.dtype
    assert x.shape == y.shape
    finite = np.isfinite(x)
    np.testing.assert_array_equal(x[~finite], y[~finite])
    a, b = x[finite], y[finite]
    assert np.isfinite(b).all()
    if x.dtype.kind in "iu":
        if x.dtype.itemsize < 8:  # exact
            a, b = a.astype("i8"), b.astype("i8")
            assert max_abs is None or (np.abs(a - b) <= max_abs).all()
            assert max_rel is None or (np.abs(a - b) <= max_rel * np.abs(a)).all()
            return
        a, b = a.astype(object), b.astype(object)
        if max_abs is not None and a.size:
            assert abs(a - b).max() <= max_abs
        if max_rel is not None and a.size:
            assert all(abs(p - q) <= Fraction(max_rel) * abs(p) for p, q in zip(a.tolist(), b.tolist(), strict=True))
        return
    with np.errstate(all="ignore"):
        if max_abs is not None:
            assert (np.abs(a - b) <= max_abs).all()
            assert (np.abs(a.astype("f8") - b.astype("f8")) <= max_abs).all()
        if max_rel is not None:
            assert (np.abs(a - b) <= max_rel * np.abs(a)).all()
            assert (b[a == 0] == 0).all()


CASES = [
    ("climate", climate, {"max_abs": 0.01}),
    ("climate", climate, {"max_rel": 1e-4}),
    ("climate", climate, {"keep_bits": 7}),
    ("climate", climate, {"keep_bits": "auto"}),
    ("imaging", imaging, {"max_abs": 8}),
    ("imaging", imaging, {"max_rel": 0.02}),
    ("imaging as float32", lambda: imaging().astype("f4"), {"max_rel": 0.02}),
    ("imaging as float32", lambda: imaging().astype("f4") + np.float32(0.37), {"max_abs": 3, "max_rel": 0.05}),
    ("hostile", hostile, {"max_abs": 1e-3}),
    ("hostile", hostile, {"max_rel": 1e-3}),
    ("hostile", hostile, {"max_abs": 1e290}),
    ("hostile", hostile, {"keep_bits": 5}),
]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("name", "data", "bound"), CASES, ids=[f"{n}-{'-'.join(map(str, b.items()))}" for n, _, b in CASES])
def test_datasets(name: str, data: Any, bound: dict[str, Any], zarr_format: int, record_property: Any) -> None:
    """The bound is kept on every finite element, and the array is smaller than by the best lossless chain."""
    x = data()
    z = ndzarr.compress(x, **bound, zarr_format=zarr_format, chunks="128KiB", sample="512KiB")
    y = z[:]
    record = z.attrs[RECORD]
    bits = record["bound"].get("keep_bits")
    check(
        x,
        y,
        max_abs=bound.get("max_abs"),
        max_rel=bound.get("max_rel") if bits is None else 2.0 ** -(bits + 1),
    )
    smallest = ndzarr.compress(x, zarr_format=zarr_format, chunks="128KiB", sample="512KiB")
    np.testing.assert_array_equal(smallest[:].view("u1"), x.view("u1"))
    assert z.nbytes_stored < 0.8 * smallest.nbytes_stored
    record_property("count: bytes of three datasets within a bound", z.nbytes_stored)
    record_property("count: bytes of three datasets, lossless", smallest.nbytes_stored)
    # What is recorded is so.
    assert json.loads(json.dumps(record)) == record
    assert record["nbytes_stored"] == z.nbytes_stored
    assert record["measured"]["elements"] == x.size
    assert record["measured"]["nonfinite"] == np.count_nonzero(~np.isfinite(x))
    finite = np.isfinite(x)
    with np.errstate(all="ignore"):
        assert record["measured"]["max_abs"] == np.abs(x[finite].astype("f8") - y[finite].astype("f8")).max()
    assert {name: record["bound"][name] for name in bound if bound[name] != "auto"} == {
        name: value for name, value in bound.items() if value != "auto"
    }


# ---- anything -----------------------------------------------------------------------------------

DTYPES = ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


@given(st.data(), st.sampled_from(DTYPES), st.sampled_from([2, 3]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_array(data: st.DataObject, kind: str, zarr_format: int) -> None:
    dtype = np.dtype(kind)
    x = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9), fill=st.nothing()))
    numbers = st.floats(0, 1e300) | st.sampled_from([1e-3, 0.5, 1.0, 3, 1000, 0])
    max_abs = data.draw(st.none() | numbers)
    max_rel = data.draw(st.none() | st.floats(0, 2) | st.sampled_from([1e-6, 0.01, 0.1]))
    fill = data.draw(st.sampled_from([0, 7] + ([np.nan, -np.inf, 1e4] if dtype.kind == "f" else [])))
    z = ndzarr.compress(
        x, max_abs=max_abs, max_rel=max_rel, zarr_format=zarr_format, chunks=4 if x.ndim else (), fill_value=fill
    )
    y = z[...]
    check(x, np.asarray(y), max_abs=max_abs, max_rel=max_rel)
    if max_abs is None and max_rel is None:
        assert np.asarray(y).tobytes() == x.tobytes()


@given(st.sampled_from(["f4", "f8"]), st.data())
@settings(max_examples=200, deadline=None)
def test_bound_is_exact(kind: str, data: st.DataObject) -> None:
    """The judge against fractions: what it lets pass is within the bound, and what is well within passes."""
    width = 8 * np.dtype(kind).itemsize
    x = data.draw(st.floats(allow_nan=False, allow_infinity=False, width=width))
    most = float(np.finfo(kind).max)
    near = st.floats(-2, 2).map(lambda d: float(np.dtype(kind).type(min(most, max(-most, x * (1 + d))))))
    y = data.draw(near | st.floats(allow_nan=False, allow_infinity=False, width=width))
    limit = data.draw(st.floats(0, 1e308) | st.just(abs(x - y)).filter(np.isfinite))
    share = data.draw(st.floats(2.0**-40, 4))
    a, b = np.array([x], kind), np.array([y], kind)
    error = abs(Fraction(float(a[0])) - Fraction(float(b[0])))
    absolute = Bound(np.dtype(kind), max_abs=limit).kept(a, b)[0]
    relative = Bound(np.dtype(kind), max_rel=share).kept(a, b)[0]
    if absolute:
        assert error <= Fraction(limit)
    elif float(np.finfo(kind).tiny) < limit < most:
        assert error > Fraction(limit) * Fraction(999, 1000)
    allowed = Fraction(share) * abs(Fraction(float(a[0])))
    if relative:
        assert error <= allowed
    elif allowed > Fraction(2.0**-900) and error < Fraction(most) / 2:
        assert error > allowed * Fraction(999, 1000)


def test_bound_is_held_where_it_cannot_be_written_down() -> None:
    """0.1 is no float32, and the nearest one is larger; a share of the smallest number there is, is rounded to all of it."""
    zero, tenth = np.zeros(1, "f4"), np.full(1, 0.1, "f4")
    assert not Bound(np.dtype("f4"), max_abs=0.1).kept(zero, tenth)[0]
    assert Bound(np.dtype("f4"), max_abs=0.1).kept(zero, np.nextafter(tenth, zero))[0]
    assert not Bound(np.dtype("f8"), max_rel=0.6).kept(np.full(1, 5e-324), np.zeros(1))[0]
    # 1 + 2**-60 rounds to 1 in float64, and is more than 1.
    assert not Bound(np.dtype("f8"), max_abs=1).kept(np.ones(1), np.full(1, -(2.0**-60)))[0]
    assert Bound(np.dtype("f8"), max_abs=1).kept(np.ones(1), np.full(1, 2.0**-60))[0]


def test_whole_numbers_at_their_limits() -> None:
    info = np.iinfo("i8")
    x = np.array([info.min, info.min + 3, -1, 0, 1, info.max - 3, info.max], "i8")
    for max_abs in (1, 2, 1000, 2**40 + 1, 2**62, 2**63, 2**64):
        check(x, ndzarr.compress(x, max_abs=max_abs)[:], max_abs=max_abs)
    bound = Bound(np.dtype("i8"), max_abs=2.0**62)
    assert bound.kept(x, np.zeros_like(x)).tolist() == [False, False, True, True, True, False, False]


def test_steps_are_as_wide_as_the_bound_allows() -> None:
    assert grid_for(Bound(np.dtype("f8"), max_abs=0.25)) == -1
    assert grid_for(Bound(np.dtype("f8"), max_abs=0.24)) == -2
    assert whole_steps(Bound(np.dtype("u2"), max_abs=8)) == (17, 16)
    assert whole_steps(Bound(np.dtype("i1"), max_abs=500)) == (127, 64)
    assert whole_steps(Bound(np.dtype("u2"), max_abs=0.9)) is None
    assert bits_for(Bound(np.dtype("f4"), max_rel=2.0**-8 * 1.01)) == 7
    assert bits_for(Bound(np.dtype("f4"), keep_bits=7)) == 7
    assert bits_for(Bound(np.dtype("f4"), max_rel=1e-12)) is None


# ---- fallback -----------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("outlier", [1e30, np.nan, -np.inf])
def test_a_chunk_that_breaks_the_bound_has_the_next_chain_take_over(
    monkeypatch: pytest.MonkeyPatch, outlier: float, zarr_format: int
) -> None:
    """The range is taken from the sample, as if nothing had looked at the rest: what is then found is never stored."""
    x = np.sin(np.linspace(0, 300, 200_000)).astype("f4") * 5
    x[123_456] = outlier
    seen = module.Seen(-5, 5, 0.0, True)
    monkeypatch.setattr(module._Work, "_range", lambda self: seen)
    monkeypatch.setattr(module._Work, "_seen", lambda self, blocks: seen)
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.compress(x, store, max_abs=0.01, chunks=(2000,), zarr_format=zarr_format, fill_value=1.5, sample="64KiB")
    record = z.attrs[RECORD]
    check(x, z[:], max_abs=0.01)
    tried = [failure["chain"] for failure in record["failed"]]
    if zarr_format == 2 or outlier == 1e30:  # in format 3, `cast_value` holds NaN and infinities
        assert tried, record["chain"]
        assert all(name.startswith(("scaled", "zfp")) for name in tried)
        assert not record["coding"]
    assert z.nbytes_stored == record["nbytes_stored"]


def test_range_is_that_of_all_of_the_array() -> None:
    """One element in 200,000 is far out: no sample finds it, and no chain fails for it."""
    x = np.sin(np.linspace(0, 300, 200_000)).astype("f4") * 5
    x[123_456] = 1e30
    z = ndzarr.compress(x, max_abs=0.01, chunks=(2000,), sample="16KiB")
    assert z.attrs[RECORD]["failed"] == []
    check(x, z[:], max_abs=0.01)


# ---- information --------------------------------------------------------------------------------


def test_information_is_mutual_information() -> None:
    """Against the definition, counted pair by pair."""
    random = np.random.default_rng(0)
    x = np.cumsum(random.standard_normal(500)).astype("f4")
    found = Information(np.dtype("f4"), 1)
    found.add(x)
    bits = [f"{word:032b}" for word in x.view("u4").tolist()]
    for n in (0, 5, 9, 12, 31):
        pairs = [(a[n], b[n]) for a, b in pairwise(bits)]
        wanted = 0.0
        for pair in set(pairs):
            p = pairs.count(pair) / len(pairs)
            p_a = sum(a == pair[0] for a, _ in pairs) / len(pairs)
            p_b = sum(b == pair[1] for _, b in pairs) / len(pairs)
            wanted += p * np.log2(p / (p_a * p_b))
        assert found.by_axis()[0][n] in (pytest.approx(wanted, abs=1e-12), 0.0)


@pytest.mark.parametrize("true_bits", [3, 6, 10])
def test_information_finds_the_bits_that_are_no_noise(true_bits: int) -> None:
    """A smooth signal in [1, 2) with so many true bits, and random bits behind them."""
    random = np.random.default_rng(true_bits)
    smooth = 1.5 + 0.45 * np.sin(np.linspace(0, 40, 400_000))
    words = smooth.astype("f4").view("u4") >> (23 - true_bits) << (23 - true_bits)
    words |= random.integers(0, 1 << (23 - true_bits), words.size, dtype="u4")
    found = Information(np.dtype("f4"), 1)
    found.add(words.view("f4"))
    assert true_bits - 1 <= found.keep_bits() <= true_bits
    noise = Information(np.dtype("f4"), 2)
    noise.add(random.integers(0x3F800000, 0x40000000, (500, 500), dtype="u4").view("f4"))
    assert noise.keep_bits() is None


def test_nothing_is_said_of_noise_and_so_nothing_is_lost() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0x3F800000, 0x40000000, 50_000, dtype="u4").view("f4")
    np.testing.assert_array_equal(ndzarr.compress(noise, keep_bits="auto")[:], noise)


# ---- what goes in and comes out -------------------------------------------------------------------


def test_everything_but_the_values_is_kept(tmp_path: Path) -> None:
    x = climate()
    src = ndzarr.array(
        x,
        store=tmp_path / "src.zarr",
        chunks=(6, 45, 90),
        shards=(12, 90, 180),
        fill_value=np.nan,
        attributes={"units": "K"},
        dimension_names=("time", "lat", "lon"),
    )
    z = ndzarr.compress(src, tmp_path / "dst.zarr", path="a/b", max_abs=0.01)
    assert (z.chunks, z.shards, z.dimension_names, z.dtype) == (src.chunks, src.shards, src.dimension_names, src.dtype)
    assert z.attrs["units"] == "K"
    assert np.isnan(z.fill_value)
    check(x, z[:], max_abs=0.01)
    again = ndzarr.compress(
        tmp_path / "dst.zarr" / "a" / "b", tmp_path / "again.zip", max_abs=0.01, access="maps", chunks="64KiB"
    )
    assert again.shards is None
    assert again.chunks == (1, 90, 180)
    check(x, again[:], max_abs=0.02)
    part = ndzarr.compress(src.lazy[3:9, ::2], max_abs=0.01)
    check(x[3:9, ::2], part[:], max_abs=0.01)
    with pytest.raises(ndzarr.ArgumentError, match="one lies in the other"):
        ndzarr.compress(src, tmp_path / "src.zarr", max_abs=1, overwrite=True)
    counted = ndzarr.RecordingStore(src.store)
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.compress(ndzarr.open(counted), tmp_path / "dst.zarr", path="a/b", max_abs=1)
    assert not [r for r in counted.records if "/c/" in f"/{r.key}"]  # before anything is read


def test_chunks_of_fill_values_stay_away() -> None:
    src = ndzarr.zeros((100, 100), dtype="f4", chunks=(10, 10))
    src[15:18, 20:30] = 3.25
    store: dict[str, bytes] = {}
    z = ndzarr.compress(src, store, max_abs=0.1)
    assert sum(key.startswith("c/") for key in store) == 1
    assert z[16, 25] == pytest.approx(3.25, abs=0.1)
    assert z[50, 50] == 0


@pytest.mark.parametrize("kind", ["?", "c8", "M8[s]", "S5", "U3", "i4"])
def test_lossless_for_what_cannot_be_rounded(kind: str) -> None:
    x = np.arange(1000).astype(kind).reshape(10, 100)
    z = ndzarr.compress(x)
    np.testing.assert_array_equal(z[:], x)
    assert z.attrs[RECORD]["measured"]["max_abs"] == 0


def test_structures_and_chunks_of_different_lengths() -> None:
    records = np.zeros(1003, [("a", "i4"), ("b", "f8")])
    records["a"] = np.arange(1003)
    for version in (2, 3):
        np.testing.assert_array_equal(ndzarr.compress(records, chunks=100, zarr_format=version)[:], records)
    x = climate()[0]
    z = ndzarr.compress(x, max_abs=0.01, chunks=[[30, 60], 50])
    assert z.chunks == ((30, 60), 50)
    check(x, z[:], max_abs=0.01)
    z = ndzarr.compress(x, max_abs=0.01, chunks=10, shards=[[30, 60], 90])
    assert z.shards == ((30, 60), 90)
    check(x, z[:], max_abs=0.01)


def test_an_archive_that_was_cut_short_is_closed(tmp_path: Path) -> None:
    """Or it would be written some time later, over what the next call has made."""

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    caught = []
    try:
        ndzarr.compress(np.arange(8), tmp_path / "a.zip", chunks=4, progress=cut)
    except KeyboardInterrupt as error:
        caught.append(error)  # with all that it was in the middle of
    z = ndzarr.compress(np.arange(8), tmp_path / "a.zip", chunks=4, overwrite=True)
    np.testing.assert_array_equal(z, np.arange(8))
    assert caught
    z.store.close()


def test_what_pads_a_structure_is_no_value() -> None:
    padded = np.dtype([("a", "S3"), ("b", "<f8"), ("c", "<i2", (2,))], align=True)
    values = np.frombuffer(np.random.default_rng(1).bytes(40 * padded.itemsize), padded).reshape(8, 5).copy()
    values["b"] = np.arange(40.0).reshape(8, 5)
    z = ndzarr.compress(ndzarr.array(values, chunks=(3, 2), zarr_format=2))
    assert z.dtype == padded
    for name in "abc":
        np.testing.assert_array_equal(z[name], values[name])


def test_big_endian_and_columns_first() -> None:
    x = climate().astype(">f4")
    z = ndzarr.compress(ndzarr.array(x, zarr_format=2, order="F", chunks=(8, 45, 60)), max_abs=0.05)
    check(climate(), z[:], max_abs=0.05)
    assert z.order == "F"


def test_extras() -> None:
    """Without them, nothing is chosen that zarr-python could not read by itself."""
    z = ndzarr.compress(climate(), max_abs=0.01, extras=False)
    named = {spec.name.removeprefix("numcodecs.") for spec in z.metadata.codecs}
    assert not named & {"pcodec", "zfpy", "cast_value"}
    check(climate(), z[:], max_abs=0.01)


def test_progress_counts_objects() -> None:
    told: list[tuple[int, int]] = []
    ndzarr.compress(climate(), max_abs=0.01, chunks=(6, 90, 180), progress=lambda done, total: told.append((done, total)))
    assert sorted(told) == [(n, 4) for n in range(1, 5)]


def test_memory_is_bounded(record_property: Any) -> None:
    """A source of 40 MiB that is made as it is read."""

    class Made:
        shape, dtype = (40, 512, 512), np.dtype("f4")

        def __getitem__(self, box: Any) -> np.ndarray:
            t, y, x = np.ogrid[box]
            return (np.sin(t / 9) + np.cos(y / 50) * np.sin(x / 70)).astype("f4")

    with ndzarr.options(workers=1):
        ndzarr.compress(Made(), max_abs=0.01, sample="1MiB", chunks=(1, 512, 512))  # what is imported and made once
        tracemalloc.start()
        try:
            ndzarr.compress(Made(), max_abs=0.01, sample="1MiB", chunks=(1, 512, 512))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    record_property("count: MiB of memory that compressing 40 MiB takes", peak >> 20)
    assert peak < 20 << 20


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"max_abs": -1}, "at least 0"),
        ({"max_abs": np.inf}, "finite"),
        ({"max_rel": "1%"}, "finite number"),
        ({"keep_bits": 2.5}, "'auto' or"),
        ({"keep_bits": "all"}, "'auto' or"),
        ({"keep_bits": 3, "max_abs": 1}, "without"),
        ({"compressor": "zstd"}, "takes no 'compressor'"),
        ({"filters": ["delta"]}, "takes no 'filters'"),
        ({"sample": "some"}, "sample is"),
    ],
)
def test_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match=match):
        ndzarr.compress(np.zeros(10), **arguments)


def test_refused_for_what_it_is() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="one by one"):
        ndzarr.compress(ndzarr.create_group(None, members={"a": [1, 2]}))
    with pytest.raises(ndzarr.ArgumentError, match="cannot have max_abs"):
        ndzarr.compress(np.zeros(3, "c16"), max_abs=1)
    with pytest.raises(ndzarr.ArgumentError, match="mantissa"):
        ndzarr.compress(np.zeros(3, "i4"), keep_bits="auto")
    with pytest.raises(ndzarr.ArgumentError, match="masked"):
        ndzarr.compress(np.ma.MaskedArray([1.0, 2.0], [True, False]))
    with pytest.raises(ndzarr.ArgumentError, match="fixed length"):
        ndzarr.compress(np.array(["a", None], object))


def test_measured() -> None:
    measured = Measured()
    measured.add(np.array([1.0, np.nan, 0.0, 4.0]), np.array([1.5, np.nan, 0.25, 4.0]))
    measured.add(np.array([2.0]), np.array([1.5]))
    assert (measured.max_abs, measured.max_rel, measured.elements, measured.nonfinite) == (0.5, 0.5, 5, 1)
