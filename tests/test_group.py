from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pytest

import ndzarr


@pytest.fixture
def g() -> ndzarr.Group:
    g = ndzarr.create_group(attributes={"title": "t"})
    g.create_array("a", shape=(3,), dtype="i4")[:] = [1, 2, 3]
    g.create_group("b", attributes={"n": 1})
    g["b/c/d"] = np.arange(4.0)
    return g


def test_a_group_is_a_mapping(g: ndzarr.Group) -> None:
    assert list(g) == ["a", "b"]
    assert len(g) == 2
    assert "a" in g
    assert "b/c/d" in g
    assert "q" not in g
    assert 3 not in g
    assert g["/b//c/"].path == "b/c"
    assert g["b"]["c"]["d"][:].tolist() == [0, 1, 2, 3]
    assert sorted(g.keys()) == ["a", "b"]
    assert [name for name, _ in g.arrays()] == ["a"]
    assert [name for name, _ in g.groups()] == ["b"]
    assert [name for name, _ in g.members()] == ["a", "b"]
    assert [name for name, _ in g.members(1)] == ["a", "b", "b/c"]
    assert [name for name, _ in g.members(None)] == ["a", "b", "b/c", "b/c/d"]
    del g["b"]
    assert list(g) == ["a"]
    assert not [key for key in g.store.list() if key.startswith("b")]
    with pytest.raises(KeyError):
        del g["b"]
    assert g == g
    assert g != g["a"]
    assert len({g, ndzarr.open_group(g.store)}) == 1


def test_what_is_not_there(g: ndzarr.Group) -> None:
    with pytest.raises(ndzarr.NodeNotFoundError) as caught:
        g["x/y"]
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, FileNotFoundError)
    assert "'x/y'" in str(caught.value)
    for name in ("..", "a/../b", "", "/", "a\x00"):
        with pytest.raises(ndzarr.ArgumentError):
            g[name]


def test_shapes_of_trees(g: ndzarr.Group) -> None:
    assert repr(g.tree()) == ("/\n├── a (3,) int32\n└── b\n    └── c\n        └── d (4,) float64")
    assert repr(ndzarr.tree(g.store)) == repr(g.tree())
    assert "Group" in repr(g)
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.tree(g.store, path="a")


def test_require(g: ndzarr.Group) -> None:
    assert g.require_group("b").attrs["n"] == 1
    assert g.require_group("new/er").path == "new/er"
    assert g.require_array("a", shape=3, dtype="i4")[:].tolist() == [1, 2, 3]
    assert g.require_array("a", shape=3, dtype="i2").dtype == "i4"
    assert g.require_array("n", shape=(2, 2)).shape == (2, 2)
    for call in (
        lambda: g.require_group("a"),
        lambda: g.require_array("b", shape=3),
        lambda: g.require_array("a", shape=4, dtype="i4"),
        lambda: g.require_array("a", shape=3, dtype="i8"),
        lambda: g.require_array("a", shape=3, dtype="i2", exact=True),
    ):
        with pytest.raises(ndzarr.ArgumentError):
            call()


def test_nodes_are_not_overwritten_by_accident(g: ndzarr.Group) -> None:
    for call in (
        lambda: g.create_array("a", shape=1),
        lambda: g.create_group("a"),
        lambda: g.create_group("b"),
        lambda: g.create_array("a/inside", shape=1),
        lambda: g.create_group("a/in/side"),
    ):
        with pytest.raises(ndzarr.NodeExistsError):
            call()
    assert g["a"][:].tolist() == [1, 2, 3]
    g.create_array("b", shape=1, overwrite=True)
    assert "b/c/d" not in g


def test_attributes(g: ndzarr.Group) -> None:
    other = ndzarr.open_group(g.store, "r+")
    g.attrs["x"] = np.float32(0.5)
    other.attrs["y"] = [np.int8(1), (2, 3)]  # does not undo the other handle's change
    assert dict(ndzarr.open_group(g.store).attrs) == {"title": "t", "x": 0.5, "y": [1, [2, 3]]}
    assert "y" not in g.attrs
    g.attrs.refresh()
    assert g.attrs["y"] == [1, [2, 3]]
    del g.attrs["x"]
    with pytest.raises(KeyError):
        del g.attrs["x"]
    g.attrs.update({"a": 1}, b=2)
    assert len(g.attrs) == 4
    g.attrs.put({"only": None})
    assert repr(g.attrs) == "Attributes({'only': None})"
    assert json.loads(bytes(g.store.get(".zattrs") or b"")) == {"only": None}
    with pytest.raises(ndzarr.ArgumentError, match="JSON"):
        g.attrs["bad"] = object()
    g.attrs["nan"] = float("nan")
    assert b"NaN" in bytes(g.store.get(".zattrs") or b"")
    assert np.isnan(ndzarr.open_group(g.store).attrs["nan"])


def test_a_group_opened_for_reading_changes_nothing(g: ndzarr.Group) -> None:
    r = ndzarr.open_group(g.store)

    def item() -> None:
        r["z"] = 1

    def delete() -> None:
        del r["a"]

    for attempt in (
        item,
        delete,
        lambda: r.create_group("z"),
        lambda: r.create_array("z", shape=1),
        lambda: r.attrs.put({}),
    ):
        with pytest.raises(ndzarr.ReadOnlyError, match="mode"):
            attempt()
    assert r["a"].writable is False


def test_pickling(g: ndzarr.Group) -> None:
    back = pickle.loads(pickle.dumps(g))
    assert list(back) == ["a", "b"]
    assert back.attrs["title"] == "t"
    assert back.writable


# ---- consolidated metadata --------------------------------------------------------------------------------


def test_consolidated_groups_open_with_few_requests(g: ndzarr.Group) -> None:
    for n in range(20):
        g.create_array(f"many/{n}", shape=(3,), attributes={"n": n})
    store = ndzarr.FaultStore(g.store)
    ndzarr.consolidate(store)
    store.clear()
    c = ndzarr.open_group(store)
    opened = len(store.log)
    assert opened <= 4
    assert [name for name, _ in c.members(None)] == [name for name, _ in g.members(None)]
    assert sum(a.attrs["n"] for _, a in c["many"].arrays()) == 190
    assert len(store.log) == opened
    assert c["a"][:].tolist() == [1, 2, 3]


def test_our_own_writes_keep_consolidated_metadata_true(g: ndzarr.Group) -> None:
    ndzarr.consolidate(g.store)
    ndzarr.consolidate(g.store, path="b")
    g["a"].resize(5)
    g["a"].append([9])
    g["b/c/d"].attrs["unit"] = "m"
    g["b/new"] = [1]
    g.attrs["title"] = "other"
    del g["b/c"]
    for path in ("", "b"):
        c = ndzarr.open_group(g.store, path=path)
        live = ndzarr.open_group(g.store, "r+", path=path)
        assert c._consolidated is not None
        assert [n for n, _ in c.members(None)] == [n for n, _ in live.members(None)]
        assert dict(c.attrs) == dict(live.attrs)
    c = ndzarr.open_group(g.store)
    assert c["a"].shape == (6,)
    assert c.attrs["title"] == "other"


def test_damaged_consolidated_metadata(g: ndzarr.Group) -> None:
    g.store.set(".zmetadata", b"{}")
    with pytest.raises(ndzarr.MetadataError, match="zarr_consolidated_format"):
        ndzarr.open_group(g.store)
    g.store.set(".zmetadata", b'{"zarr_consolidated_format": 1, "metadata": {"a/.zarray": {}}}')
    with pytest.raises(ndzarr.MetadataError, match="zarr_format"):
        ndzarr.open_group(g.store)["a"]
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.consolidate(g.store, path="a")


def test_consolidating_while_others_write_is_never_stale(g: ndzarr.Group) -> None:
    """Promise P19."""
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            g["a"].attrs["n"] = n

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(50):
            ndzarr.consolidate(g.store)
    finally:
        stop.set()
        thread.join()
    assert ndzarr.open_group(g.store)["a"].attrs["n"] == ndzarr.open_array(g.store, path="a").attrs["n"]


def test_an_unreadable_consolidated_document_is_dropped_by_the_next_change(g: ndzarr.Group) -> None:
    g.store.set(".zmetadata", b"{")
    g["a"].attrs["x"] = 1
    assert g.store.get(".zmetadata") is None
    assert ndzarr.open_group(g.store)["a"].attrs["x"] == 1


def test_names_that_nothing_can_have(g: ndzarr.Group) -> None:
    for name in ("", "..", "a/../b", "\x00"):
        assert name not in g
