"""`advise`: each finding is there where it should be and not where it should not, and doing what it says helps, by count."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr
from ndzarr.advising.advice import Advice, Suggestion


def smooth(shape: tuple[int, ...] = (32, 64, 64)) -> np.ndarray:
    grids = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return np.sum([np.sin(g * (n + 1)) for n, g in enumerate(grids)], axis=0)


def kinds(advice: Advice) -> list[str]:
    return [finding.kind for finding in advice]


def only(advice: Advice, kind: str) -> Suggestion:
    (found,) = [finding for finding in advice if finding.kind == kind]
    return found


def done(finding: Suggestion, z: Any, store: Any = None) -> Any:
    """Run what a finding says to run: the new array, or what the last line gives."""
    names: dict[str, Any] = {"ndzarr": ndzarr, "np": np, "z": z, "store": store, "dst": ndzarr.MemoryStore()}
    *lines, last = finding.call.splitlines()
    exec("\n".join(lines), names)
    return eval(last, names)


def objects(z: ndzarr.ZArray) -> int:
    return sum(1 for _ in z._engine.stored())


def cost(z: ndzarr.ZArray, *indices: Any) -> tuple[int, int]:
    """Requests for chunks, and bytes, that reading these indices takes."""
    store = ndzarr.RecordingStore(z.store)
    handle = ndzarr.open(store, path=z.path)
    store.clear()
    for index in indices:
        handle[index]
    counts = store.counts()
    return sum(counts.requests.values()), sum(counts.nbytes.values())


# ---- what is stored ------------------------------------------------------------------------------


def test_nothing_to_say_of_an_array_that_is_well(record_property: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 62, (256, 512))
    z = ndzarr.array(noise, chunks=(128, 512))
    advice = ndzarr.advise(z)
    assert kinds(advice) == []
    assert str(advice).startswith(f"{z.store.url}: nothing to advise")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_small_objects(zarr_format: int) -> None:
    x = np.random.default_rng(0).standard_normal((400, 300))
    z = ndzarr.array(x, chunks=(20, 10), zarr_format=zarr_format)
    finding = only(ndzarr.advise(z), "small-objects")
    assert finding.evidence["objects"] == 600
    new = done(finding, z)
    assert objects(new) * 10 < objects(z)
    np.testing.assert_array_equal(new[:], x)
    if zarr_format == 3:
        assert new.chunks == z.chunks  # still read one by one
        assert new.shards is not None
    assert "small-objects" not in kinds(ndzarr.advise(new))


def test_large_chunks() -> None:
    z = ndzarr.create_array(shape=(2200, 4000), dtype="f8", chunks=(2200, 4000), compressor=None)
    z[:] = 1
    finding = only(ndzarr.advise(z), "large-chunks")
    assert ndzarr.advise(z).looked_at["chunks"] == 0  # one of them would be more than it may read
    new = done(finding, z)
    compressed = ndzarr.convert(z, None, compressor="zstd"), ndzarr.convert(new, None, compressor="zstd")
    before, after = (a.lazy[5, 5].explain().nbytes_decoded for a in compressed)
    assert after * 5 < before
    assert "large-chunks" not in kinds(ndzarr.advise(new))


def test_past_the_edge() -> None:
    x = np.random.default_rng(0).standard_normal((130, 1030))
    z = ndzarr.array(x, chunks=(128, 1024), compressor=None)
    finding = only(ndzarr.advise(z), "past-the-edge")
    new = done(finding, z)
    assert new.nbytes_stored < 0.5 * z.nbytes_stored
    assert finding.gain == pytest.approx(1 - new.nbytes_stored / z.nbytes_stored, abs=0.1)


def test_stored_fill_values() -> None:
    with ndzarr.options(write_empty=True):
        z = ndzarr.create_array(shape=(100, 1000), dtype="f4", chunks=(1, 1000), compressor=None)
        z[:] = 0
        z[::5] = np.random.default_rng(0).standard_normal((20, 1000))
    assert objects(z) == 100
    finding = only(ndzarr.advise(z), "stored-fill-values")
    new = done(finding, z)
    assert objects(new) == 20
    np.testing.assert_array_equal(new[:], z[:])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_codecs(zarr_format: int) -> None:
    x = (smooth() * 100).round().astype("i4")
    z = ndzarr.array(x, chunks=(16, 64, 64), compressor=None, zarr_format=zarr_format)
    finding = only(ndzarr.advise(z), "codecs")
    assert not finding.lossy
    new = done(finding, z)
    np.testing.assert_array_equal(new[:], x)
    # As much as was said.
    assert new.nbytes_stored / z.nbytes_stored == pytest.approx(1 - finding.gain, rel=0.15)
    assert "codecs" not in kinds(ndzarr.advise(new))


@pytest.mark.parametrize(("least", "largest", "narrow"), [(0, 100, "uint8"), (-90, 30000 // 2, "int16"), (0, 40000, "uint32")])
def test_wide_integers(least: int, largest: int, narrow: str) -> None:
    x = np.random.default_rng(0).integers(least, largest + 1, (100, 200))
    z = ndzarr.array(x, chunks=(50, 200), attributes={"units": "1"})
    finding = only(ndzarr.advise(z), "wide-integers")
    new = done(finding, z)
    assert new.dtype == narrow
    assert new.nbytes * (8 // np.dtype(narrow).itemsize) == z.nbytes
    assert new.attrs == {"units": "1"}
    np.testing.assert_array_equal(new[:], x)


def test_wide_integers_asserts_what_it_has_not_seen() -> None:
    x = np.zeros((1000, 1000), "i8")
    x[::2] = 5
    x[777, 777] = 1 << 40
    z = ndzarr.array(x, chunks=(10, 1000))
    finding = only(ndzarr.advise(z, sample="200kB"), "wide-integers")
    with pytest.raises(AssertionError):
        done(finding, z)


def test_wide_floats() -> None:
    x = smooth().astype("f4").astype("f8")
    x[3, 3, 3] = np.nan
    z = ndzarr.array(x, chunks=(16, 64, 64))
    finding = only(ndzarr.advise(z), "wide-floats")
    new = done(finding, z)
    assert new.dtype == np.float32
    assert new.nbytes * 2 == z.nbytes
    np.testing.assert_array_equal(new[:], x)
    assert "wide-floats" not in kinds(ndzarr.advise(ndzarr.array(smooth(), chunks=(16, 64, 64))))


def test_few_digits() -> None:
    """Tenths, as a thermometer gives them: what was thrown away by rounding comes back by rounding."""
    x = np.round(20 + 3 * smooth() + np.random.default_rng(0).normal(0, 1, (32, 64, 64)), 1)
    z = ndzarr.array(x, chunks=(16, 64, 64))
    finding = only(ndzarr.advise(z), "few-digits")
    assert finding.lossy
    assert finding.evidence["digits"] == 1
    new = done(finding, z)
    np.testing.assert_array_equal(np.round(new[:], 1), x)
    assert new.nbytes_stored < 0.8 * z.nbytes_stored


def test_noise() -> None:
    x = 280 + smooth() + np.random.default_rng(0).normal(0, 0.01, (32, 64, 64))
    z = ndzarr.array(x.astype("f4"), chunks=(16, 64, 64))
    finding = only(ndzarr.advise(z), "noise")
    assert finding.lossy
    new = done(finding, z)
    assert new.nbytes_stored < 0.8 * z.nbytes_stored
    assert new.nbytes_stored / z.nbytes_stored == pytest.approx(1 - finding.gain, abs=0.1)
    assert abs(new[:] - x).max() <= 280 * 2.0 ** -finding.evidence["bits_of_information"]


def test_consolidate() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_group(store, members={f"a{n}": [n] for n in range(40)})
    advice = ndzarr.advise(store)
    finding = only(advice, "consolidate")

    def requests() -> int:
        recording = ndzarr.RecordingStore(store)
        group = ndzarr.open_group(recording)
        assert len([a.shape for _, a in group.members()]) == 40
        return sum(recording.counts().requests.values())

    before = requests()
    done(finding, None, store)
    assert requests() * 10 < before
    assert "consolidate" not in kinds(ndzarr.advise(store))


def test_a_damaged_member_hides_no_other() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_group(store, members={"a": np.zeros(10) + 1, "b": np.arange(5000) % 7})
    store.set("a/c/0", b"\1")
    advice = ndzarr.advise(store)
    assert {f.where: f.kind for f in advice}["a"] == "unreadable"
    assert "wide-integers" in kinds(advice)
    with pytest.raises(ndzarr.CorruptChunkError):
        ndzarr.advise(store, "a")


# ---- what is read ----------------------------------------------------------------------------------


def read(z: ndzarr.ZArray, *indices: Any) -> ndzarr.RecordingStore:
    store = ndzarr.RecordingStore(z.store)
    handle = ndzarr.open(store, path=z.path)
    for index in indices:
        handle[index]
    return store


SERIES = [(slice(None), y, x) for y, x in ((3, 5), (30, 41), (17, 60))]
MAPS = [(t, slice(None), slice(None)) for t in (3, 100, 151)]


@pytest.mark.parametrize(
    ("chunks", "indices", "access"),
    [((1, 64, 64), SERIES, "series"), ((200, 4, 4), MAPS, "maps"), ((200, 1, 64), [*MAPS[:1], *SERIES], "maps")],
)
def test_access(chunks: tuple[int, ...], indices: list[Any], access: str) -> None:
    x = np.random.default_rng(0).standard_normal((200, 64, 64)).astype("f4")
    z = ndzarr.array(x, chunks=chunks)
    trace = read(z, *indices)
    finding = only(ndzarr.advise(trace), "access")
    assert f'access="{access}"' in finding.call
    new = done(finding, z)
    np.testing.assert_array_equal(new[:], x)
    before, after = cost(z, *indices)[0], cost(new, *indices)[0]
    assert after * 2 < before
    if len(indices) == 3:
        assert before == 3 * finding.evidence["chunks_per_read"]
        assert after == 3 * finding.evidence["chunks_per_read_then"]
    assert "access" not in kinds(ndzarr.advise(read(new, *indices)))


def test_both_accesses_are_balanced() -> None:
    x = np.zeros((600, 60, 60), "f4") + np.arange(600, dtype="f4")[:, None, None]
    z = ndzarr.array(x, chunks=(1, 60, 60))
    series = [(slice(None), 5, 5)]
    maps = [(t, slice(None), slice(None)) for t in range(0, 600, 3)]
    assert 'access="series"' in only(ndzarr.advise(read(z, *series)), "access").call
    spread = ndzarr.array(x, chunks=(600, 5, 5))
    trace = read(spread, *maps[:3], *series)
    finding = only(ndzarr.advise(trace), "access")
    new = done(finding, spread)
    assert cost(new, maps[0], *series)[0] * 2 < cost(spread, maps[0], *series)[0]


def test_read_again() -> None:
    x = np.random.default_rng(0).standard_normal((100, 100))
    z = ndzarr.array(x, chunks=(25, 50))
    trace = read(z, *[(slice(n, n + 60), slice(None)) for n in range(40)])
    finding = only(ndzarr.advise(trace), "read-again")
    assert finding.evidence["objects"] == 8
    counted = ndzarr.RecordingStore(z.store)
    cached = done(finding, None, counted)
    for n in range(40):
        cached[n : n + 60]
    assert counted.counts().nbytes["get"] + counted.counts().nbytes["get_tagged"] < trace.counts().nbytes["get"] / 10


def test_small_requests() -> None:
    z = ndzarr.array(np.random.default_rng(0).standard_normal(100_000), chunks=(100,))
    finding = only(ndzarr.advise(read(z, slice(None))), "small-requests")
    assert finding.evidence["requests"] == 1000
    assert cost(done(finding, z), slice(None))[0] * 100 <= 1000


def test_documents_asked_for_one_by_one() -> None:
    inner = ndzarr.MemoryStore()
    ndzarr.create_group(inner, members={f"a{n}": [n] for n in range(40)})
    trace = ndzarr.RecordingStore(inner)
    for _, z in ndzarr.open_group(trace).members():
        z[:]
    finding = only(ndzarr.advise(trace), "consolidate")
    assert finding.evidence["documents"] == 41
    done(finding, None, inner)
    again = ndzarr.RecordingStore(inner)
    list(ndzarr.open_group(again).members())
    assert again.counts().total * 10 < trace.counts().total
    assert "consolidate" not in kinds(ndzarr.advise(again))


def test_ways_to_give_a_trace(tmp_path: Path) -> None:
    z = ndzarr.array(np.ones((200, 64, 64), "f4"), store=tmp_path / "z", chunks=(1, 64, 64))
    trace = read(z, *SERIES)
    trace.save(tmp_path / "trace")
    wanted = kinds(ndzarr.advise(trace))
    assert wanted
    assert kinds(ndzarr.advise(tmp_path / "z", trace=tmp_path / "trace")) == wanted
    assert kinds(ndzarr.advise(z, trace=trace)) == wanted
    assert kinds(ndzarr.advise(z, trace=list(trace.records))) == wanted
    with pytest.raises(ndzarr.ArgumentError, match="counts alone"):
        ndzarr.advise(z, trace=trace.counts())
    assert kinds(ndzarr.advise(ndzarr.RecordingStore(z.store))) == kinds(ndzarr.advise(z))  # no trace yet


# ---- bounds ----------------------------------------------------------------------------------------


def test_it_reads_samples_and_changes_nothing(record_property: Any) -> None:
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(4096, 1024), dtype="f4", chunks=(4, 1024), compressor=None)
    z[:] = np.random.default_rng(0).standard_normal(z.shape)
    store.clear()
    advice = ndzarr.advise(z, sample="128KiB")
    counts = store.counts()
    record_property("count: bytes read to advise on 16 MiB", sum(counts.nbytes.values()))
    assert sum(counts.nbytes.values()) <= (128 << 10) + 4096
    assert not {op for op in counts.calls if op.startswith(("set", "delete", "move"))}
    assert counts.requests["size"] <= 64
    assert advice.looked_at["nbytes"] <= 128 << 10
    assert advice.complete


def test_limits_are_told() -> None:
    g = ndzarr.create_group(None, members={f"a{n}": np.arange(10) for n in range(5)})
    advice = ndzarr.advise(g, arrays=3)
    assert advice.looked_at["arrays"] == 3
    assert not advice.complete
    assert "there is more" in str(advice)


def test_no_lock_or_file_is_made(tmp_path: Path) -> None:
    ndzarr.array(np.arange(5000) % 7, store=tmp_path / "z", chunks=(10,))
    before = sorted(tmp_path.rglob("*"))
    assert len(ndzarr.advise(tmp_path / "z")) > 1
    assert sorted(tmp_path.rglob("*")) == before


def test_how_it_is_told() -> None:
    z = ndzarr.array(np.arange(5000) % 7, chunks=(10,), compressor=None)
    advice = ndzarr.advise(z)
    assert len(advice) == len(list(advice)) == len(advice.findings)
    assert advice[0] is advice.findings[0]
    document = json.loads(advice.to_json())
    assert [f["kind"] for f in document["findings"]] == kinds(advice)
    for finding in advice:
        assert finding.kind in str(advice)
        assert all(line in str(advice) for line in finding.call.splitlines())
        assert 0 <= finding.gain <= 1
        assert finding.evidence
    text = Advice("<b>", (Suggestion("k", "<i>", "1 < 2", {}, "f('<')", 0.5),), {})._repr_html_()
    assert not re.search(r"<[bi]>(?! ?Changes)", text)


@given(st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_any_array(seed: int) -> None:
    """Nothing is raised or warned of, and what is said to lose nothing loses nothing."""
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(1, 40, random.integers(0, 4)))
    kind = random.choice(["f2", "f4", "f8", "i1", "u2", "i4", "i8", "u8", "?", "c8", "M8[s]", "S4", ">f8", ">i4"])
    values = [
        random.normal(0, 1, shape),
        np.round(random.normal(20, 5, shape), 1),
        random.integers(0, 50, shape),
        np.zeros(shape),
    ][random.integers(4)]
    with np.errstate(all="ignore"):
        x = np.abs(values).astype("i8" if kind[0] == "M" else "f8").astype(kind)
    if x.dtype.kind == "f" and random.random() < 0.3:
        x.reshape(-1)[::3] = np.nan
    with ndzarr.options(write_empty=bool(random.random() < 0.3)):
        z = ndzarr.array(
            x,
            chunks=tuple(int(random.integers(1, n + 1)) for n in shape),
            zarr_format=int(random.integers(2, 4)),
            compressor=[None, "zstd", "auto"][random.integers(3)],
            order="CF"[random.integers(2)],
            fill_value=None if kind[0] in "MS" or random.random() < 0.2 else 0,
        )
    for finding in ndzarr.advise(z):
        new = done(finding, z)
        if not finding.lossy:
            np.testing.assert_array_equal(new[...], x)


def test_empty_and_odd_arrays() -> None:
    for z in (
        ndzarr.zeros((0, 5)),
        ndzarr.zeros(()),
        ndzarr.zeros((10**6, 10**6, 10**6)),
        ndzarr.array(["a", "bc"], dtype=str),
        ndzarr.array([1 + 2j]),
        ndzarr.array(np.array(["2020", "2021"], "M8[Y]")),
        ndzarr.array(np.zeros(4, [("a", "i8")])),
        ndzarr.array(np.full((20, 20), np.nan), fill_value=0),
        ndzarr.create_array(shape=(90, 50), dtype="i8", chunks=[[30, 60], 10]),
        ndzarr.array(np.arange(400.0).reshape(20, 20), zarr_format=2, dtype=">f8", order="F"),
    ):
        assert isinstance(ndzarr.advise(z), Advice)
        assert isinstance(ndzarr.advise(ndzarr.RecordingStore(z.store), trace=[]), Advice)
