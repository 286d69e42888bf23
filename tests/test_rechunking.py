"""`rechunk`: which blocks are copied, in how much memory, and that it goes on after it was cut short anywhere."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ndzarr
from ndzarr import config
from ndzarr.rechunking.plan import amplification, grown, plan_passes
from tests.dying import Dying, Stop

Record = Callable[[str, object], None]


# ---- which blocks ------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 45))
def test_amplification_is_how_often_chunks_are_read(length: int, block: int, chunk: int) -> None:
    """By the formula over a length that both divide: there edges do not blur it."""
    n = math.lcm(block, chunk)
    read = sum(-(-min(b + block, n) // chunk) - b // chunk for b in range(0, n, block)) * chunk
    assert amplification(block, chunk, n + 1) == pytest.approx(read / n)
    assert amplification(max(block, length), chunk, length) == 1


@st.composite
def rechunks(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    shape = draw(st.lists(st.integers(1, 40), min_size=0, max_size=3).map(tuple))
    source, target = (tuple(draw(st.integers(1, n + 3)) for n in shape) for _ in range(2))
    return shape, source, target, draw(st.integers(1, 2 * math.prod(shape)))


@given(rechunks())
@settings(max_examples=300)
def test_blocks_fit_and_are_whole_objects(case: Any) -> None:
    shape, source, target, most = case
    passes = plan_passes(*case)
    clipped = tuple(min(a, n) for a, n in zip(target, shape, strict=True))
    if passes is None:
        assert math.prod(clipped) > most
        return
    written = [clipped] if passes.between is None else [passes.between, clipped]
    read = [source] if passes.between is None else [source, passes.between]
    assert len(passes.steps) == len(written)
    for step, unit, chunk in zip(passes.steps, written, read, strict=True):
        assert math.prod(step.block) <= most
        assert all(b % u == 0 or b == n for b, u, n in zip(step.block, unit, shape, strict=True))
        factors = (amplification(b, min(c, n), n) for b, c, n in zip(step.block, chunk, shape, strict=True))
        assert step.amplification == pytest.approx(math.prod(factors))


@pytest.mark.parametrize(
    ("shape", "source", "target", "most"),
    [
        ((4096, 512, 512), (1, 512, 512), (4096, 16, 16), 24 << 20),
        ((4096, 512, 512), (4096, 16, 16), (1, 512, 512), 24 << 20),
        ((8760, 721, 1440), (24, 721, 1440), (8760, 10, 10), 24 << 20),
        ((10_000, 10_000), (1, 10_000), (10_000, 1), 1 << 20),
        ((1000, 1000, 1000), (10, 100, 1000), (1000, 10, 100), 10 << 20),
    ],
)
def test_maps_and_series_take_two_passes_that_read_everything_once(shape: Any, source: Any, target: Any, most: int) -> None:
    passes = plan_passes(shape, source, target, most)
    assert passes is not None
    assert passes.between is not None
    assert [step.amplification for step in passes.steps] == [1, 1]
    # As large as the memory makes possible: few objects in between.
    assert math.prod(passes.between) >= most**2 / math.prod(shape) / 8


def test_one_pass_where_it_reads_little_twice() -> None:
    passes = plan_passes((10_000, 10_000), (64, 64), (100, 100), 1 << 20)
    assert passes is not None
    assert passes.between is None
    assert passes.amplification < 1.1
    many = grown((1 << 20,), (4,), (4,), 1 << 18)
    assert many.block == (1 << 16,)  # small objects go together, but not all in one block


# ---- equal to NumPy, and every object once ---------------------------------------------------------------------


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Any, ...]:
    shape = draw(st.lists(st.integers(0, 12), min_size=0, max_size=3).map(tuple))
    dtype = draw(st.sampled_from(["i4", "f8", ">u2", "?", "S3", "U2", "M8[s]", "T", [("a", "i2"), ("b", "f4")]]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(0, 3, shape)
    data = np.zeros(shape, dtype) if isinstance(dtype, list) else values.astype("T" if dtype == "T" else "i8").astype(dtype)
    if isinstance(dtype, list):
        data["a"], data["b"] = values, values / 2
    grids = []
    for _ in range(2):
        chunks = tuple(draw(st.integers(1, max(n, 1) + 2)) for n in shape)
        grid: dict[str, Any] = {"chunks": chunks}
        if shape and draw(st.booleans()):
            grid["shards"] = tuple(c * draw(st.integers(1, 3)) for c in chunks)
        grids.append(grid)
    room = draw(st.sampled_from([1, 3, 30]))
    return data, grids[0], grids[1], room, 2 if isinstance(dtype, list) and not any("shards" in g for g in grids) else 3


@given(arrays())
@settings(max_examples=120, deadline=None)
def test_values_are_the_same(case: Any) -> None:
    data, source, target, room, zarr_format = case
    z = ndzarr.create_array(shape=data.shape, dtype=data.dtype, zarr_format=zarr_format, attributes={"a": [1]}, **source)
    z[...] = data
    store = ndzarr.RecordingStore(ndzarr.MemoryStore())
    largest = math.prod(target.get("shards", target["chunks"])) * data.dtype.itemsize
    # From what just fits an object to everything at once.
    need = 8 * largest + 3 * math.prod(z.chunks) * data.dtype.itemsize + 200
    made = ndzarr.rechunk(z, store, **target, max_mem=need * room)
    assert (made.shape, made.dtype, dict(made.attrs)) == (data.shape, z.dtype, {"a": [1]})
    assert (made.chunks, made.shards) == (tuple(target["chunks"]), target.get("shards"))
    assert type(made[...]) is np.ndarray or data.ndim == 0
    np.testing.assert_array_equal(made[...], data)
    np.testing.assert_array_equal(ndzarr.open_array(store.inner)[...], data)
    sets = Counter(r.key for r in store.records if r.op == "set" and "__rechunk__" not in (r.key or ""))
    assert set(sets.values()) <= {1}, "an object was written twice"
    assert not [key for key in store.list() if "__rechunk__" in key]


@pytest.mark.parametrize(
    "source",
    [
        {"order": "F"},
        {"chunks": ((3, 5, 2), 4)},
        {"filters": [{"id": "delta", "dtype": "<i4"}], "zarr_format": 2},
        {"fill_value": 7},
        {"dimension_names": ["t", "x"]},
        {"zarr_format": 2, "dimension_separator": "/"},
    ],
)
def test_what_is_not_changed_stays(source: dict[str, Any]) -> None:
    data = np.arange(80, dtype="i4").reshape(10, 8)
    z = ndzarr.array(data, **({"chunks": (1, 8)} | source))
    made = ndzarr.rechunk(z, None, chunks=(10, 2), max_mem=1000)
    np.testing.assert_array_equal(made[...], data)
    for name in ("order", "fill_value", "dimension_names", "zarr_format"):
        assert getattr(made, name) == getattr(z, name), name
    assert made.metadata.key_encoding.separator == z.metadata.key_encoding.separator


def test_changes() -> None:
    z = ndzarr.array(np.arange(24.0).reshape(4, 6), chunks=(1, 6), fill_value=0)
    made = ndzarr.rechunk(z, None, chunks=(4, 2), compressor=None, fill_value=-1, zarr_format=2, path="a/b")
    assert (made.path, made.zarr_format, made.fill_value) == ("a/b", 2, -1)
    assert not made.metadata.codecs
    np.testing.assert_array_equal(made[...], z[...])


def test_chunks_that_were_never_written_read_the_same_by_another_fill_value() -> None:
    z = ndzarr.full((6, 6), 5, dtype="i4", chunks=(1, 6))
    z[2] = 1
    made = ndzarr.rechunk(z, None, chunks=(6, 1), fill_value=1, max_mem=1000)
    np.testing.assert_array_equal(made[...], z[...])


def test_progress_counts_every_block() -> None:
    z = ndzarr.array(np.arange(4096).reshape(64, 64), chunks=(1, 64))
    told: list[tuple[int, int]] = []
    ndzarr.rechunk(z, None, chunks=(64, 1), max_mem=8000, progress=lambda done, total: told.append((done, total)))
    total = told[0][1]
    assert [done for done, _ in told] == list(range(1, total + 1))
    assert total > 8


# ---- what is refused ------------------------------------------------------------------------------------------


MAPS = np.random.default_rng(5).integers(0, 9, (16, 8, 8)).astype("i4")
#: Two passes.
SMALL = {"chunks": (16, 2, 2), "max_mem": 3000}


def maps(store: Any = None) -> ndzarr.ZArray:
    z = ndzarr.create_array(store, shape=MAPS.shape, dtype="i4", chunks=(1, 8, 8), compressor=None)
    z[...] = MAPS
    return z


def stopped(z: ndzarr.ZArray, store: Any, after: int, **arguments: Any) -> None:
    """Begin a rechunk, and stop it when so many blocks are done."""

    def stop(done: int, total: int) -> None:
        if done >= after:
            raise Stop

    with config.options(workers=1), pytest.raises(Stop):
        ndzarr.rechunk(z, store, **{**SMALL, **arguments}, progress=stop)


@pytest.mark.parametrize("make", [ndzarr.MemoryStore, lambda: ndzarr.SQLStore("sqlite:///:memory:")], ids=["memory", "sqlite"])
def test_another_source_in_memory_is_not_taken_for_the_one_before(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has the same name: its address may come again."""
    monkeypatch.setattr(ndzarr.MemoryStore, "url", "memory:0x1")
    store, others = ndzarr.MemoryStore(), [ndzarr.convert(maps(), make()) for _ in range(2)]
    stopped(others[0], store, 1, max_mem=3 << 20)
    with pytest.raises(ndzarr.ArgumentError, match="other arguments"):
        ndzarr.rechunk(others[1], store, **{**SMALL, "max_mem": 3 << 20})
    np.testing.assert_array_equal(ndzarr.rechunk(others[0], store, **{**SMALL, "max_mem": 3 << 20}), MAPS)


def test_half_of_it_is_no_array() -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3)
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.open(store)
    assert any(key.startswith("c/") or "between" in key for key in store.list())


def test_another_rechunk_does_not_go_on_with_it() -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3)
    with pytest.raises(ndzarr.ArgumentError, match=r"begun with other arguments.*overwrite=True to start over"):
        ndzarr.rechunk(z, store, chunks=(8, 2, 2), max_mem=3000)
    made = ndzarr.rechunk(z, store, chunks=(8, 2, 2), max_mem=3000, overwrite=True)
    np.testing.assert_array_equal(made[...], MAPS)
    assert not [key for key in store.list() if "__rechunk__" in key]


def test_a_source_that_became_another_is_refused() -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3)
    z.resize(17, 8, 8)
    with pytest.raises(ndzarr.ArgumentError, match="metadata of its source have changed"):
        ndzarr.rechunk(z, store, **SMALL)
    made = ndzarr.rechunk(z, store, **SMALL, overwrite=True)
    np.testing.assert_array_equal(made[...], z[...])


def test_attributes_may_change_meanwhile() -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3)
    z.attrs["late"] = 1
    assert dict(ndzarr.rechunk(z, store, **SMALL).attrs) == {"late": 1}


def test_what_is_there_is_not_replaced_unasked() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.rechunk(maps(), store, **SMALL)
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.rechunk(maps(), store, **SMALL)
    other = ndzarr.array(-MAPS, chunks=(1, 8, 8))
    made = ndzarr.rechunk(other, store, **SMALL, overwrite=True)
    np.testing.assert_array_equal(made[...], -MAPS)


def test_an_array_made_there_meanwhile_is_not_taken_for_ours() -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3)
    with pytest.raises(ndzarr.NodeExistsError, match="not finished"):
        ndzarr.create_array(store, shape=MAPS.shape, dtype="i4", chunks=(16, 2, 2), compressor=None)
    other = ndzarr.create_array(None, shape=MAPS.shape, dtype="i4", chunks=(16, 2, 2), compressor=None)
    store.set_many({key: other.store.get(key) for key in other.store.list()})  # as another library would
    with pytest.raises(ndzarr.NodeExistsError):
        ndzarr.rechunk(z, store, **SMALL)


def test_what_is_in_between_may_not_vanish() -> None:
    """Fill values in its place would be wrong data that nobody notices."""
    z, store = maps(), ndzarr.MemoryStore()
    total: list[int] = []
    ndzarr.rechunk(z, None, **SMALL, progress=lambda done, n: total.append(n))
    stopped(z, store, total[0] - 1)
    store.delete_many([key for key in store.list() if "between" in key])
    with pytest.raises(ndzarr.MissingChunkError):
        ndzarr.rechunk(z, store, **SMALL)


def test_temp_elsewhere(tmp_path: Path) -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3, temp=tmp_path)
    assert not [key for key in store.list() if "between" in key]
    assert list(tmp_path.iterdir())
    made = ndzarr.rechunk(z, store, **SMALL, temp=tmp_path)
    np.testing.assert_array_equal(made[...], MAPS)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "locks"]


def test_another_one_over_it_leaves_nothing_elsewhere(tmp_path: Path) -> None:
    z, store = maps(), ndzarr.MemoryStore()
    stopped(z, store, 3, temp=tmp_path)
    made = ndzarr.rechunk(maps(), store, **{**SMALL, "chunks": (16, 1, 2)}, temp=tmp_path, overwrite=True)
    np.testing.assert_array_equal(made[...], MAPS)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "locks"]


def test_too_little_memory_says_how_much_is_needed() -> None:
    z = maps()
    with pytest.raises(ndzarr.MemoryLimitError, match=r"needs [0-9]+ bytes at least") as caught:
        ndzarr.rechunk(z, None, chunks=(16, 8, 8), max_mem="4 KiB")
    made = ndzarr.rechunk(z, None, chunks=(16, 8, 8), max_mem=caught.value.found)
    np.testing.assert_array_equal(made[...], MAPS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dtype": "f4"}, "cannot change 'dtype'"),
        ({"scheduler": "slurm"}, "expected 'threads' or 'dask'"),
        ({"max_mem": "lots"}, "max_mem is 'lots'"),
        ({"zarr_format": 4}, "zarr_format"),
    ],
)
def test_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match=words):
        ndzarr.rechunk(maps(), None, **{**SMALL, **arguments})


def test_into_itself_is_refused() -> None:
    z = maps()
    with pytest.raises(ndzarr.ArgumentError, match="cannot rechunk"):
        ndzarr.rechunk(z, z.store, **SMALL, overwrite=True)


# ---- cut short anywhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("arguments", [SMALL, {"chunks": (2, 4, 8), "max_mem": 6000}], ids=["two passes", "one pass"])
def test_after_every_single_change_it_can_go_on(arguments: dict[str, Any], overwrite: bool, record_property: Record) -> None:
    z = maps()
    z[3:6] = 0  # some of it is fill values, and not stored
    want = z[...]
    cuts = 0
    while True:
        store = Dying()
        if overwrite:
            ndzarr.array(-MAPS[:5], store=store, chunks=(5, 8, 8))
        store.left = cuts
        with config.options(workers=1):
            try:
                ndzarr.rechunk(z, store, **arguments, overwrite=overwrite)
                finished = True
            except Stop:
                finished = False
            store.left = math.inf
            try:
                seen = ndzarr.open_array(store)
            except ndzarr.NodeNotFoundError:
                seen = None
            if seen is not None:
                good = seen.shape == want.shape and bool((seen[...] == want).all())
                # Before anything was deleted, the old array is still there.
                assert good or (overwrite and seen.shape[0] == 5 and bool((seen[...] == -MAPS[:5]).all()))
            if not finished:
                made = ndzarr.rechunk(z, store, **arguments, overwrite=overwrite)
                np.testing.assert_array_equal(made[...], want)
                assert not [key for key in store.list() if "__rechunk__" in key]
        if finished:
            break
        cuts += 1
    assert cuts > 20
    record_property("count: rechunks cut short at a change of the store, and finished", cuts)


def test_no_block_is_done_twice() -> None:
    z, store = maps(), ndzarr.RecordingStore(ndzarr.MemoryStore())
    told: list[int] = []
    ndzarr.rechunk(z, None, **SMALL, progress=lambda done, total: told.append(total))
    for after in range(1, told[0]):
        stopped(z, store, after)
    ndzarr.rechunk(z, store, **SMALL)
    sets = Counter(r.key for r in store.records if r.op == "set")
    twice = {key for key, n in sets.items() if n > 1}
    # A block that was stopped in is done when its mark is: here marks come before the progress that stops.
    assert {key for key in twice if key and "record" not in key} == set()


_KILLED = '''
import json, os, random, signal, sys, time
import numpy as np
import ndzarr

top, mib, max_mem, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
side = 64
shape = (mib * 64, side, side)
source = ndzarr.create_array(top + "/maps", shape=shape, dtype="f4", chunks=(1, side, side))
rng = np.random.default_rng(1)
for n in range(shape[0]):
    source[n] = rng.normal(size=(side, side)).round(1) if n % 7 else 0
want = source[...]


def rechunk(out, stop=None):
    def told(done, total):
        if done == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    ndzarr.rechunk(top + "/maps", out, chunks=(shape[0], 4, 4), max_mem=max_mem, progress=told)


# What is imported when first used, once and not in each child.
ndzarr.rechunk(ndzarr.array(want[:32], chunks=(1, side, side)), None, chunks=(32, 4, 4), max_mem=100_000)

def killed(out, stop=None, after=None):
    """Run in a child; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            rechunk(out, stop)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert status == 0, status
    return False


def left(out):
    names = [name for _, folders, files in os.walk(out) for name in folders + files]
    return [name for name in names if "rechunk" in name or name.startswith(".ndzarr-tmp")]


def check(out):
    np.testing.assert_array_equal(ndzarr.open_array(out)[...], want)
    assert not left(out), left(out)


found = {"block": 0, "moment": 0}
out = top + "/block"
while killed(out, stop=found["block"] + 1):  # one block further each time
    assert not os.path.exists(out + "/zarr.json")
    found["block"] += 1
check(out)
chance = random.Random(2)
for n in range(rounds):
    out = top + f"/moment{n}"
    longest = 0.1
    while killed(out, after=chance.uniform(0, longest)):
        found["moment"] += 1
        longest *= 1.2  # a busy machine may take long for a block
        if os.path.exists(out + "/zarr.json"):
            np.testing.assert_array_equal(ndzarr.open_array(out)[...], want)
            if not left(out):
                break  # it was done, and only the process had not ended
    check(out)
print(json.dumps(found))
'''


def kills(tmp_path: Path, mib: int, max_mem: int, rounds: int) -> dict[str, int]:
    program = [sys.executable, "-c", _KILLED, str(tmp_path), str(mib), str(max_mem), str(rounds)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, int] = json.loads(ran.stdout)
    return found


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this platform has no fork")
@pytest.mark.parametrize("mib", [8, pytest.param(64, marks=pytest.mark.slow)])
def test_killed_after_every_block_and_at_any_moment(mib: int, tmp_path: Path, record_property: Record) -> None:
    """An array of so many MiB under an eighth of that, or a sixteenth."""
    slow = mib > 8
    found = kills(tmp_path, mib, mib << (16 if slow else 17), 20 if slow else 1)
    assert found["block"] > 20
    record_property("count: rechunks killed after a block", found["block"])
    record_property("count: rechunks killed at any moment", found["moment"])


_PEAK = """
import json, os, sys
import numpy as np
import ndzarr

top, mib, max_mem = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
side = 128
shape = (mib * 16, side, side)


def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


source = ndzarr.create_array(top + "/maps", shape=shape, dtype="f4", chunks=(1, side, side))
rng = np.random.default_rng(1)
for n in range(shape[0]):
    source[n] = rng.normal(size=(side, side))
small = ndzarr.array(source[:64], chunks=(1, side, side))
ndzarr.rechunk(small, top + "/warm", chunks=(64, 4, 4), max_mem=max_mem // 8)  # libraries, threads
before = peak()
z = ndzarr.rechunk(source, top + "/series", chunks=(shape[0], 4, 4), max_mem=max_mem)
print(json.dumps(peak() - before))
assert z[:, :8, :8].tobytes() == np.stack([source[n, :8, :8] for n in range(shape[0])]).tobytes()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the peak")
@pytest.mark.parametrize(("mib", "max_mem"), [(64, 4 << 20), pytest.param(1024, 64 << 20, marks=pytest.mark.slow)])
def test_memory_stays_within_what_was_allowed(mib: int, max_mem: int, tmp_path: Path, record_property: Record) -> None:
    program = [sys.executable, "-c", _PEAK, str(tmp_path), str(mib), str(max_mem)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    grown_by = int(ran.stdout)
    record_property("count: bytes of memory at the peak of a rechunk", grown_by)
    # Beside arrays: what codecs keep for each thread, and what two threads cost the allocator.
    assert grown_by <= max_mem + (2 << 20)


# ---- by dask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_as_tasks_of_dask(scheduler: str, tmp_path: Path) -> None:
    import dask

    z = maps(tmp_path / "maps")
    told: list[tuple[int, int]] = []
    with dask.config.set(scheduler=scheduler):
        made = ndzarr.rechunk(
            z, tmp_path / "series", **SMALL, scheduler="dask", progress=lambda done, total: told.append((done, total))
        )
    np.testing.assert_array_equal(made[...], MAPS)
    assert [done for done, _ in told] == list(range(1, told[0][1] + 1))


def test_threads_and_dask_plan_the_same_way_on_what_was_begun(tmp_path: Path) -> None:
    """What one has begun the other may finish where both have the same blocks; else it is refused, never mixed."""
    z = maps(tmp_path / "maps")
    stopped(z, tmp_path / "series", 3, scheduler="dask")
    made = ndzarr.rechunk(z, tmp_path / "series", **SMALL, scheduler="dask")
    np.testing.assert_array_equal(made[...], MAPS)


def test_memory_does_not_reach_processes() -> None:
    import dask

    with dask.config.set(scheduler="processes"), pytest.raises(ndzarr.ArgumentError, match="other processes"):
        ndzarr.rechunk(maps(), None, **SMALL, scheduler="dask")
