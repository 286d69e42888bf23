"""The store suite over real servers, by either client; and programs in which every n-th call of a store fails."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from ndzarr.api import create_array, create_group, open as open_node
from ndzarr.errors import NodeNotFoundError, StoreError
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.testing.stores import StoreSuite
from tests.places import PLACES, Place, ServedStore, place, store_at

pytestmark = [
    # Of aiohttp, about what gcsfs and adlfs do.
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
    # Of clients whose sessions end with the interpreter.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

IDS = ["-".join(one) for one in PLACES]


@pytest.mark.parametrize("where", PLACES, ids=IDS, scope="class")
class TestRemoteStore(StoreSuite):
    @pytest.fixture
    def store(self, where: tuple[str, str], request: pytest.FixtureRequest) -> Store:
        self.place: Place = place(request, *where)
        return store_at(self.place, request)

    def reopen(self, store: Store) -> Store:
        store.close()
        return store if isinstance(store, ServedStore) else self.place.store()

    def reopen_for_reading(self, store: Store) -> Store | None:
        if isinstance(store, ServedStore):
            return store.served
        return self.place.store(readonly=True)


@pytest.fixture(params=PLACES, ids=IDS)
def remote(request: pytest.FixtureRequest) -> Iterator[tuple[Place, Store]]:
    """A new place, and a store at it."""
    found = place(request, *request.param)
    with store_at(found, request) as store:
        yield found, store


@pytest.mark.once
def test_every_nth_call_may_fail(remote: tuple[Place, Store], zarr_format: int) -> None:
    """As SQLite's own tests do: for n = 1, 2, ... run, fail at call n, look.

    What was acknowledged is there, what was not is the old or the new value, and the same program goes through without faults.
    """
    _, store = remote
    data = np.arange(24, dtype="<i4").reshape(4, 6)

    def program(target: Store, name: str, done: list[str]) -> None:
        z = create_array(target, path=name, shape=(4, 6), chunks=(2, 6), dtype="<i4", fill_value=-1)
        done.append("created")
        z[:2] = data[:2]
        done.append("upper")
        z[2:] = data[2:]
        done.append("lower")
        assert np.array_equal(z[...], data)

    failures = 0
    for n in range(1, 60, 3 if isinstance(store, ServedStore) else 1):
        name, done = f"a{n}", list[str]()
        broken = FaultStore(store, at=n)
        try:
            program(broken, name, done)
        except StoreError:
            failures += 1
        else:
            if not any(call.error for call in broken.calls()):
                break
        assert [str(call.error)[:8] for call in broken.calls() if call.error] == ["injected"]
        if "created" in done:
            z = open_node(store, path=name)
            for part, rows in (("upper", slice(0, 2)), ("lower", slice(2, 4))):
                found = z[rows]
                assert np.array_equal(found, data[rows]) or (part not in done and (found == -1).all())
        else:
            with suppress(NodeNotFoundError):
                open_node(store, path=name)
        program(store, f"b{n}", [])
    assert failures >= 3


def test_arrays_and_groups_are_read_back_by_slices(remote: tuple[Place, Store], zarr_format: int) -> None:
    found, store = remote
    data = np.random.default_rng(7).normal(size=(20, 30))
    root = create_group(store, attributes={"title": "remote"})
    z = root.create_array("deep/down/z", shape=data.shape, chunks=(6, 7), dtype=data.dtype)
    z[...] = data
    if zarr_format == 3:
        sharded = root.create_array("s", shape=data.shape, chunks=(2, 5), shards=(10, 15), dtype=data.dtype)
        sharded[...] = data
    again = open_node(found.url, **found.options) if found.server not in ("memory", "file") else open_node(found.store())
    assert again.attrs["title"] == "remote"
    read = again["deep/down/z"]
    for index in (..., (3, 4), (slice(2, 17, 3), slice(None, None, -2)), ([1, 5, 19], slice(3, 9)), data > 0):
        assert np.array_equal(read[index], data[index])
        if zarr_format == 3:
            assert np.array_equal(again["s"][index], data[index])
    assert sorted(again) == (["deep", "s"] if zarr_format == 3 else ["deep"])


def let_go(fs: Any) -> None:
    """End what a file system of zarr-python's holds open on its loop, which nobody else does."""
    from zarr.core.sync import sync

    async def close() -> None:
        for name in ("_session", "service_client", "_s3"):
            held = getattr(fs, name, None)
            if held is not None:
                await held.close()

    sync(close())
    for last in list(weakref.finalize._registry):
        if (found := last.peek()) is not None and found[0] is fs:
            last.detach()


def test_zarr_python_reads_what_was_written(remote: tuple[Place, Store], zarr_format: int) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")

    found, store = remote
    data = np.arange(60, dtype="<f4").reshape(6, 10)
    z = create_array(store, shape=data.shape, chunks=(4, 3), dtype=data.dtype)
    z[...] = data
    if found.client == "obstore":
        inner = store.served.store if isinstance(store, ServedStore) else store.store
        theirs = zarr.storage.ObjectStore(inner, read_only=True)
    elif found.server in ("memory", "file"):
        theirs = zarr.storage.FsspecStore.from_url(found.url, read_only=True)
    else:
        options = {**found.options, "asynchronous": True, "skip_instance_cache": True}
        theirs = zarr.storage.FsspecStore.from_url(found.url, storage_options=options, read_only=True)
    read = zarr.open_array(theirs, mode="r")
    assert np.array_equal(read[...], data)
    assert np.array_equal(read[1:5, 2:9:2], data[1:5, 2:9:2])
    if found.client == "fsspec" and found.server not in ("memory", "file"):
        let_go(theirs.fs)
