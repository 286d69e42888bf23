"""Two rechunks to one target, and what an earlier one has left there: never a mixture, and never blocks passed over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr

MAPS = np.arange(16 * 8 * 8, dtype="i4").reshape(16, 8, 8)
#: Arguments that take one pass, and two.
WAYS = [{"chunks": (2, 4, 8), "max_mem": 6000}, {"chunks": (16, 2, 2), "max_mem": 3000}]


def maps(values: Any = MAPS) -> ndzarr.ZArray:
    return ndzarr.array(values, chunks=(1, 8, 8))


def leftovers(store: ndzarr.Store) -> list[str]:
    return [key for key in store.list() if "__rechunk__" in key]


@pytest.mark.parametrize("after", [1, 5])
@pytest.mark.parametrize("way", WAYS, ids=["one pass", "two passes"])
@pytest.mark.parametrize("another", [False, True], ids=["the same", "another"])
def test_the_one_that_began_last_has_the_target(way: dict[str, Any], another: bool, after: int) -> None:
    """The first one used to go on: it wrote its blocks among those of the other, and its documents over half of them."""
    store = ndzarr.MemoryStore()
    z, second = maps(), maps(-MAPS) if another else None

    def begin(done: int, total: int) -> None:
        if done == after:
            if second is None:
                ndzarr.rechunk(z, store, **way)
            else:
                ndzarr.rechunk(second, store, **{**way, "chunks": (16, 4, 2)}, overwrite=True)

    with ndzarr.options(workers=1), pytest.raises(ndzarr.WriteHazardError, match="begun after this one"):
        ndzarr.rechunk(z, store, **way, progress=begin)
    np.testing.assert_array_equal(ndzarr.open_array(store)[...], -MAPS if another else MAPS)
    assert not leftovers(store)


def test_one_that_lost_its_target_does_not_make_it_an_array() -> None:
    """The second one is not done when the first one comes to its end."""
    store, z = ndzarr.MemoryStore(), maps()

    class Stop(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stop

    def begin(done: int, total: int) -> None:
        if done == total:
            with pytest.raises(Stop):
                ndzarr.rechunk(maps(-MAPS), store, chunks=(2, 4, 8), max_mem=6000, overwrite=True, progress=stop)

    with ndzarr.options(workers=1), pytest.raises(ndzarr.WriteHazardError):
        ndzarr.rechunk(z, store, chunks=(2, 8, 4), max_mem=6000, progress=begin)
    with pytest.raises(ndzarr.NodeNotFoundError):
        ndzarr.open_array(store)


def test_marks_without_a_record_are_not_believed() -> None:
    store, z = ndzarr.MemoryStore(), maps()
    for block in range(64):
        store.set(f"__rechunk__/done/1.{block}", b"1")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ndzarr.rechunk(z, store, **WAYS[0], progress=stop)
    np.testing.assert_array_equal(ndzarr.rechunk(z, store, **WAYS[0])[...], MAPS)


def test_what_is_in_between_goes_when_another_rechunk_starts_over(tmp_path: Path) -> None:
    store, temp = ndzarr.MemoryStore(), ndzarr.LocalStore(tmp_path)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ndzarr.rechunk(maps(), store, **WAYS[1], temp=tmp_path, progress=stop)
    assert list(temp.list())
    ndzarr.rechunk(maps(-MAPS), store, **{**WAYS[1], "chunks": (16, 4, 2)}, temp=tmp_path, overwrite=True)
    assert not list(temp.list())


def test_what_was_finished_is_made_anew_where_it_is_to_be_replaced() -> None:
    """Killed while it cleared away, it was taken for the one that is asked for now, whatever its source has become."""
    store, z = ndzarr.MemoryStore(), maps()
    kept: dict[str, Any] = {}

    def keep(done: int, total: int) -> None:
        kept.update({key: store.get(key) for key in leftovers(store)})

    with ndzarr.options(workers=1):
        ndzarr.rechunk(z, store, **WAYS[0], progress=keep)
        for key, value in kept.items():
            store.set(key, value.replace(b"false", b"true"))
        z[...] = -MAPS
        made = ndzarr.rechunk(z, store, **WAYS[0], overwrite=True)
    np.testing.assert_array_equal(made[...], -MAPS)
    assert not leftovers(store)


@pytest.mark.parametrize("src", [MAPS, ndzarr.create_group(None), maps().lazy[::2]], ids=["numpy", "group", "view"])
def test_what_is_no_stored_array_is_refused_in_one_line(src: Any) -> None:
    with pytest.raises(ndzarr.ArgumentError, match=r"^expected an array that is stored, found a \w+; .*$"):
        ndzarr.rechunk(src, None, chunks=4)


def test_without_dask_nothing_is_deleted_for_its_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was at the target went before dask was found to be missing."""
    store = ndzarr.array([1, 2, 3]).store
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ndzarr.ArgumentError, match="needs dask"):
        ndzarr.rechunk(maps(), store, chunks=4, overwrite=True, scheduler="dask")
    assert ndzarr.open_array(store)[...].tolist() == [1, 2, 3]
