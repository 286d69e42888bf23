"""Documents in a store: which is found, what is kept, how many requests each step takes."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr import nodes
from ndzarr.errors import MetadataError, NodeNotFoundError
from ndzarr.grid import Edges
from ndzarr.metadata import ArrayMeta, GroupMeta


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def store() -> ndzarr.FaultStore:
    return ndzarr.FaultStore(ndzarr.MemoryStore())


def document(store: ndzarr.Store, key: str) -> dict[str, Any]:
    return dict(json.loads(bytes(store.get(key) or b"")))


def keys_read(store: ndzarr.FaultStore) -> list[str]:
    return [str(call.key) for call in store.log]


def test_requests_of_a_look(store: ndzarr.FaultStore, version: int) -> None:
    ndzarr.create_group(store, zarr_format=version)
    ndzarr.create_array(store, path="x", shape=3, zarr_format=version)
    for path, hint, want in (
        ("x", None, {3: ["x/zarr.json"], 2: ["x/zarr.json", "x/.zarray", "x/.zattrs"]}),
        ("x", 3, {3: ["x/zarr.json"], 2: ["x/zarr.json", "x/.zarray", "x/.zattrs"]}),
        ("x", 2, {3: ["x/.zarray", "x/.zgroup", "x/zarr.json"], 2: ["x/.zarray", "x/.zattrs"]}),
        ("", None, {3: ["zarr.json"], 2: ["zarr.json", ".zarray", ".zgroup", ".zattrs"]}),
        ("", 2, {3: [".zarray", ".zgroup", "zarr.json"], 2: [".zarray", ".zgroup", ".zattrs"]}),
    ):
        store.clear()
        assert nodes.read(store, path, hint).zarr_format == version
        assert keys_read(store) == want[version]
    store.clear()
    assert nodes.kind(store, "x", version) == "array"
    assert len(store.log) == 1
    assert nodes.kind(store, "") == "group"
    assert nodes.kind(store, "q") is None
    with pytest.raises(NodeNotFoundError, match=r"'q/zarr\.json', 'q/\.zarray', 'q/\.zgroup'"):
        nodes.read(store, "q")


def test_a_group_opened_for_reading_goes_by_what_it_read(store: ndzarr.FaultStore, version: int) -> None:
    g = ndzarr.create_group(store, zarr_format=version)
    g["a/x"] = [1]
    ndzarr.consolidate(store)
    meta = nodes.read(store, "")
    assert isinstance(meta, GroupMeta)
    store.clear()
    found = nodes.read_consolidated(store, "", meta)
    assert found is not None
    assert keys_read(store) == {3: [], 2: [".zmetadata"]}[version]
    assert found.children("") == ["a"]
    assert found.children("a") == ["x"]
    assert found.children("a/x") == found.children("q") == []
    assert isinstance(found.find("a/x"), ArrayMeta)
    assert isinstance(found.find("a"), GroupMeta)
    assert found.find("a/x/y") is None
    sub = nodes.read(store, "a")
    assert isinstance(sub, GroupMeta)
    assert nodes.read_consolidated(store, "a", sub) is None


def test_with_both_documents_the_newer_counts() -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_array(data, shape=2, zarr_format=2)
    old = dict(data)
    data.clear()
    ndzarr.create_array(data, shape=3, zarr_format=3)
    data |= old
    assert ndzarr.open(data).shape == (3,)
    z = ndzarr.open_array(data, "r+")
    z.resize(7)
    z.attrs["a"] = 1
    assert {k: data[k] for k in old} == old
    assert ndzarr.open(data).shape == (7,)
    ndzarr.delete(data)
    assert data == {}


def test_write_shape_keeps_attributes_of_others(store: ndzarr.FaultStore, version: int) -> None:
    z = ndzarr.create_array(store, shape=3, dtype="i4", attributes={"a": 1}, zarr_format=version)
    other = ndzarr.open_array(store, "r+")
    other.attrs["b"] = 2
    z.resize(5)
    z.append([1])
    assert dict(ndzarr.open_array(store).attrs) == {"a": 1, "b": 2}
    other.attrs["c"] = 3  # this handle still has the old shape
    assert ndzarr.open_array(store).shape == (6,)


def test_write_shape_writes_a_grid_that_had_to_grow() -> None:
    z = ndzarr.create_array(shape=(5,), dtype="i4", chunks=[[2, 3]])
    before = document(z.store, "zarr.json")
    z.resize(4)
    assert document(z.store, "zarr.json") == {**before, "shape": [4]}
    z.resize(9)
    after = document(z.store, "zarr.json")
    assert after["shape"] == [9]
    grid = after["chunk_grid"]
    assert {**after, "shape": 0, "chunk_grid": 0} == {**before, "shape": 0, "chunk_grid": 0}
    (lengths,) = grid["configuration"]["chunk_shapes"]
    assert lengths[0] == 2
    meta = nodes.read(z.store, "")
    assert isinstance(meta, ArrayMeta)
    assert isinstance(meta.chunks[0], Edges)
    assert meta.chunks[0].total >= 9


def test_what_is_gone_is_not_written_again(store: ndzarr.FaultStore) -> None:
    z = ndzarr.create_array(store, shape=3, path="x")
    ndzarr.delete(store, "x")
    with pytest.raises(NodeNotFoundError):
        z.attrs["a"] = 1
    with pytest.raises(NodeNotFoundError):
        z.attrs.refresh()
    with pytest.raises(NodeNotFoundError):
        z.resize(4)
    with pytest.raises(NodeNotFoundError):
        nodes.write_shape(store, "x", z.metadata)
    with pytest.raises(NodeNotFoundError):
        nodes.update_attributes(store, "x", lambda attributes: attributes.update(a=1))
    assert list(store.list("x")) == []


def test_formats_are_looked_up_where_nobody_says(store: ndzarr.FaultStore, version: int) -> None:
    ndzarr.create_group(store, attributes={"a": 1}, zarr_format=version)
    assert nodes.read_attributes(store, "") == {"a": 1}
    assert nodes.update_attributes(store, "", lambda attributes: attributes.update(b=2)) == {"a": 1, "b": 2}
    assert nodes.read(store, "").attributes == {"a": 1, "b": 2}
    assert nodes.format_above(store, "x/y") == version
    assert nodes.format_above(store, "") is None


def test_damaged_documents_are_told_with_their_place(store: ndzarr.FaultStore) -> None:
    z = ndzarr.create_array(store, shape=3, path="a/x")
    store.set("a/x/zarr.json", b"[]")
    for attempt in (
        lambda: nodes.find(store, "a/x"),
        lambda: nodes.read_attributes(store, "a/x", 3),
        lambda: nodes.update_attributes(store, "a/x", dict.clear, 3),
        lambda: nodes.write_shape(store, "a/x", z.metadata),
        lambda: nodes.require_ancestors(store, "a/x/y", 3),
    ):
        with pytest.raises(MetadataError, match=r"a/x/zarr\.json") as caught:
            attempt()
        assert (caught.value.store, caught.value.path, caught.value.key) == (store.url, "a/x", "a/x/zarr.json")
    assert nodes.kind(store, "a/x") == "damaged"
    assert list(ndzarr.open_group(store, path="a")) == ["x"]


def test_a_damaged_group_above_does_not_hinder_changes_below(store: ndzarr.FaultStore) -> None:
    z = ndzarr.create_array(store, shape=3, path="a/x")
    store.set("a/zarr.json", b'{"consolidated_metadata": ')
    z.attrs["n"] = 1
    z.resize(4)
    assert bytes(store.get("a/zarr.json") or b"") == b'{"consolidated_metadata": '
    assert ndzarr.open_array(store, path="a/x").shape == (4,)


def test_consolidated_metadata_too_large_to_be_read_again_are_dropped(version: int) -> None:
    g = ndzarr.create_group(zarr_format=version)
    g["x"] = [1]
    ndzarr.consolidate(g.store)
    with ndzarr.options(max_metadata=2500):
        g["x"].attrs["long"] = "x" * 1200
        live = ndzarr.open_group(g.store)
        assert live._consolidated is None or live["x"].attrs["long"] == "x" * 1200
        for n in range(5):
            g[f"y{n}"] = [1]
        assert ndzarr.open_group(g.store)._consolidated is None
        with pytest.raises(ndzarr.ArgumentError, match="max_metadata"):
            ndzarr.consolidate(g.store)
        assert len(list(ndzarr.open_group(g.store))) == 6


def test_changes_from_many_threads_are_all_kept(version: int) -> None:
    """Members, attributes and shapes change at once under a group that is consolidated all the while: nothing is lost, nothing
    hangs, and what the group says at the end is so (promises P3 and P19)."""
    g = ndzarr.create_group(zarr_format=version)
    g.create_group("s")
    ndzarr.consolidate(g.store)
    ndzarr.consolidate(g.store, path="s")
    failed: list[BaseException] = []

    def work(n: int) -> None:
        try:
            z = g.create_array(f"s/{n}", shape=1, dtype="i4", chunks=2)
            for k in range(8):
                z.attrs[f"k{k}"] = k
                g["s"].attrs[f"{n}.{k}"] = k
                g.attrs[f"{n}.{k}"] = k
                z.append([k])
                if k % 3 == 0:
                    ndzarr.consolidate(g.store, path="s" if n % 2 else "")
            g.create_group(f"s/{n}g")
            del g[f"s/{n}g"]
        except BaseException as error:  # shown by the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)
    for path in ("", "s"):
        live, seen = ndzarr.open_group(g.store, "r+", path=path), ndzarr.open_group(g.store, path=path)
        assert seen._consolidated is not None
        assert len(live.attrs) == 48
        assert dict(live.attrs) == dict(seen.attrs)
        want = {name: (node.attrs, getattr(node, "shape", None)) for name, node in live.members(None)}
        assert {name: (dict(a), s) for name, (a, s) in want.items()} == {
            name: (dict(node.attrs), getattr(node, "shape", None)) for name, node in seen.members(None)
        }
        assert all(shape == (9,) for name, (_, shape) in want.items() if shape is not None)


@pytest.mark.parametrize("step", range(12))
def test_a_failure_in_between_leaves_no_node_that_lies(step: int, version: int) -> None:
    """Each request of a resize fails in turn: the array then opens with the old shape or the new one."""
    inner = ndzarr.MemoryStore()
    g = ndzarr.create_group(inner, zarr_format=version)
    z = g.create_array("x", shape=4, dtype="i4", chunks=2)
    z[:] = 7
    ndzarr.consolidate(inner)
    store = ndzarr.FaultStore(inner)
    opened = ndzarr.open_array(store, "r+", path="x")
    store.clear()
    store.at = frozenset([step + 1])
    try:
        opened.resize(6)
        finished = True
    except ndzarr.StoreError:
        finished = False
    shape = ndzarr.open_array(inner, path="x").shape
    assert shape in ({(6,)} if finished else {(4,), (6,)})
    np.testing.assert_array_equal(ndzarr.open_array(inner, path="x")[:4], [7] * 4)
