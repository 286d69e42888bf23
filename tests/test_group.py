from __future__ import annotations

import json
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import ndzarr


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def g(version: int) -> ndzarr.Group:
    g = ndzarr.create_group(attributes={"title": "t"}, zarr_format=version)
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
    assert dict(ndzarr.open_group(g.store).attrs) == {"only": None}
    with pytest.raises(ndzarr.ArgumentError, match="JSON"):
        g.attrs["bad"] = object()


def test_nan_as_an_attribute(g: ndzarr.Group, version: int) -> None:
    """Promise P20: written bare in format 2, refused by name in format 3, read in both."""
    if version == 2:
        g.attrs["nan"] = float("nan")
        assert b"NaN" in bytes(g.store.get(".zattrs") or b"")
        assert np.isnan(ndzarr.open_group(g.store).attrs["nan"])
        return
    before = {k: bytes(g.store.get(k) or b"") for k in g.store.list()}
    for attempt in (
        lambda: g.attrs.update(nan=float("nan")),
        lambda: g.create_group("new", attributes={"nan": [float("nan")]}),
        lambda: g.create_array("a", shape=3, attributes={"x": {"nan": float("inf")}}, overwrite=True),
    ):
        with pytest.raises(ndzarr.ArgumentError, match=r"attributes\.(x\.)?nan"):
            attempt()
    assert {k: bytes(g.store.get(k) or b"") for k in g.store.list()} == before
    document = json.loads(before["zarr.json"])
    g.store.set("zarr.json", json.dumps({**document, "attributes": {"nan": float("nan")}}).encode())
    g.attrs["other"] = 1  # what somebody else wrote stays
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


def test_consolidated_groups_open_with_few_requests(g: ndzarr.Group, version: int) -> None:
    for n in range(20):
        g.create_array(f"many/{n}", shape=(3,), attributes={"n": n})
    store = ndzarr.FaultStore(g.store)
    ndzarr.consolidate(store)
    store.clear()
    c = ndzarr.open_group(store)
    opened = len(store.log)
    assert opened == (1 if version == 3 else 2)
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


def test_damaged_consolidated_metadata(g: ndzarr.Group, version: int) -> None:
    with pytest.raises(ndzarr.ArgumentError):
        ndzarr.consolidate(g.store, path="a")
    if version == 2:
        g.store.set(".zmetadata", b"{}")
        with pytest.raises(ndzarr.MetadataError, match="zarr_consolidated_format"):
            ndzarr.open_group(g.store)
        g.store.set(".zmetadata", b'{"zarr_consolidated_format": 1, "metadata": {"a/.zarray": {}}}')
    else:
        with_inline(g, [])
        with pytest.raises(ndzarr.MetadataError, match="consolidated_metadata"):
            ndzarr.open_group(g.store)
        with_inline(g, {"kind": "inline", "must_understand": False, "metadata": {"a": {}}})
    with pytest.raises(ndzarr.MetadataError, match="zarr_format"):
        ndzarr.open_group(g.store)["a"]


def with_inline(g: ndzarr.Group, value: Any) -> None:
    document = json.loads(bytes(g.store.get("zarr.json") or b""))
    g.store.set("zarr.json", json.dumps({**document, "consolidated_metadata": value}).encode())


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


def test_an_unreadable_consolidated_document_is_dropped_by_the_next_change(g: ndzarr.Group, version: int) -> None:
    if version == 2:
        g.store.set(".zmetadata", b"{")
    else:
        with_inline(g, {"kind": "inline", "must_understand": False, "metadata": [1]})
    g["a"].attrs["x"] = 1
    assert g.store.get(".zmetadata") is None
    assert b"consolidated_metadata" not in bytes(g.store.get("zarr.json") or b"")
    assert ndzarr.open_group(g.store)["a"].attrs["x"] == 1
    assert ndzarr.open_group(g.store).attrs["title"] == "t"


def test_names_that_nothing_can_have(g: ndzarr.Group) -> None:
    for name in ("", "..", "a/../b", "\x00"):
        assert name not in g


# ---- formats --------------------------------------------------------------------------------


def test_members_have_the_format_of_the_group_above(g: ndzarr.Group, version: int) -> None:
    assert {node.zarr_format for _, node in g.members(None)} == {version}
    other = 5 - version
    g.create_group("other", zarr_format=other)
    assert g.create_array("other/x/y", shape=1).zarr_format == other
    assert g["other"].create_array("z", shape=1).zarr_format == other
    assert g.require_group("other/w").zarr_format == other
    assert g.create_array("mine/deep", shape=1).zarr_format == version
    assert ndzarr.create_array(g.store, path="b/q/r", shape=1).zarr_format == version
    assert sorted(g) == ["a", "b", "mine", "other"]
    assert [name for name, _ in g["other"].members(None)] == ["w", "x", "x/y", "z"]


def test_consolidated_metadata_cannot_hold_nodes_of_two_formats(g: ndzarr.Group, version: int) -> None:
    ndzarr.consolidate(g.store)
    ndzarr.consolidate(g.store, path="b")
    g.create_array("x", shape=1, zarr_format=5 - version)
    live = ndzarr.open_group(g.store)
    assert live._consolidated is None
    assert list(live) == ["a", "b", "x"]
    assert ndzarr.open_group(g.store, path="b")._consolidated is not None
    with pytest.raises(ndzarr.ArgumentError, match="another format"):
        ndzarr.consolidate(g.store)
    del g["x"]
    assert list(ndzarr.consolidate(g.store)) == ["a", "b"]


def test_consolidated_metadata_as_zarr_python_writes_them() -> None:
    g = ndzarr.create_group(zarr_format=3)
    g["b/x"] = [1]
    g["a"] = [1.0]
    ndzarr.consolidate(g.store)
    found = json.loads(bytes(g.store.get("zarr.json") or b""))["consolidated_metadata"]
    assert list(found) == ["kind", "must_understand", "metadata"]
    assert (found["kind"], found["must_understand"]) == ("inline", False)
    assert list(found["metadata"]) == ["a", "b", "b/x"]
    empty = {"kind": "inline", "must_understand": False, "metadata": {}}
    assert found["metadata"]["b"] == {**json.loads(bytes(g.store.get("b/zarr.json") or b"")), "consolidated_metadata": empty}
    assert found["metadata"]["b/x"] == json.loads(bytes(g.store.get("b/x/zarr.json") or b""))


def test_nested_consolidated_metadata_are_read_and_stay_true() -> None:
    """Groups inside may have their own; the specification does not forbid it."""
    g = ndzarr.create_group(zarr_format=3)
    g["b/x"] = [1]
    documents = {key: json.loads(bytes(g.store.get(f"{key}/zarr.json") or b"")) for key in ("b", "b/x")}
    inner = {"kind": "inline", "must_understand": False, "metadata": {"x": documents["b/x"]}}
    outer = {**inner, "metadata": {"b": {**documents["b"], "consolidated_metadata": inner}}}
    with_inline(g, outer)
    assert [name for name, _ in ndzarr.open_group(g.store).members(None)] == ["b", "b/x"]
    g["b/x"].resize(5)
    c = ndzarr.open_group(g.store)
    assert c._consolidated is not None
    assert c["b/x"].shape == (5,)
    del g["b/x"]
    assert [name for name, _ in ndzarr.open_group(g.store).members(None)] == ["b"]


def test_consolidated_metadata_of_an_unknown_kind_are_passed_over() -> None:
    g = ndzarr.create_group(zarr_format=3)
    g["x"] = [1]
    for value in (None, {"kind": "elsewhere", "must_understand": False, "metadata": 3}):
        with_inline(g, value)
        assert list(ndzarr.open_group(g.store)) == ["x"]
    g["y"] = [2]
    assert list(ndzarr.open_group(g.store)) == ["x", "y"]


def test_attributes_that_nest_deep_do_not_spoil_the_groups_above() -> None:
    for version in (2, 3):
        g = ndzarr.create_group(zarr_format=version)
        g["x/y"] = [1]
        ndzarr.consolidate(g.store)
        deep: Any = 1
        for _ in range(97):
            deep = [deep]
        try:
            g["x/y"].attrs["deep"] = deep
        except ndzarr.ArgumentError:
            assert version == 3
        assert ndzarr.open_group(g.store)["x/y"].shape == (1,)
        assert ("deep" in ndzarr.open_group(g.store)["x/y"].attrs) == (version == 2)


def test_the_deepest_attributes_of_format_3_can_be_consolidated() -> None:
    g = ndzarr.create_group(zarr_format=3)
    deep: Any = 1
    for _ in range(87):
        deep = [deep]
    g["a/b/x"] = [1]
    g["a/b/x"].attrs["deep"] = deep
    assert ndzarr.consolidate(g.store)["a/b/x"].attrs["deep"] == deep
    for make in (lambda: g.attrs.update(deep=[deep]), lambda: g.create_group("y", attributes={"deep": [deep]})):
        with pytest.raises(ndzarr.ArgumentError, match="deep"):
            make()


def test_a_group_converted_in_place_is_of_the_newer_format() -> None:
    data: dict[str, bytes] = {}
    ndzarr.create_group(data, zarr_format=2, attributes={"n": 2})["x"] = [1]
    ndzarr.create_group(other := {}, zarr_format=3, attributes={"n": 3})["x"] = [1, 2]
    both = {**data, **other}
    g = ndzarr.open_group(both)
    assert (g.attrs["n"], g["x"].shape) == (3, (2,))
    ndzarr.consolidate(both)
    assert ndzarr.open_group(both)["x"].shape == (2,)


def test_names_that_format_3_reserves() -> None:
    g = ndzarr.create_group(zarr_format=3)
    for name in ("__x", "...", "zarr.json", "a/__b"):
        for make in (lambda name=name: g.create_group(name), lambda name=name: g.create_array(name, shape=1)):
            with pytest.raises(ndzarr.ArgumentError, match="format 3"):
                make()
    assert list(g.store.list()) == ["zarr.json"]
    ndzarr.create_group(zarr_format=2).create_group("__x")


def test_groups_made_from_below_keep_their_attributes() -> None:
    """A member's ancestors are made while another thread makes one of them, with attributes."""
    for version in (2, 3):
        for _ in range(30):
            store = ndzarr.MemoryStore()
            barrier = threading.Barrier(2)

            def below(store: ndzarr.MemoryStore = store, barrier: threading.Barrier = barrier, version: int = version) -> None:
                barrier.wait()
                ndzarr.create_array(store, path="a/b", shape=1, zarr_format=version)

            thread = threading.Thread(target=below)
            thread.start()
            barrier.wait()
            try:
                ndzarr.create_group(store, path="a", attributes={"n": 1}, zarr_format=version)
                made = True
            except ndzarr.NodeExistsError:
                made = False
            thread.join()
            assert dict(ndzarr.open_group(store, path="a").attrs) == ({"n": 1} if made else {})
            assert "b" in ndzarr.open_group(store, path="a")


# ---- as scientists use them --------------------------------------------------------------------------------


class Batched(ndzarr.MemoryStore):
    """A store that takes many requests at once, as remote ones do."""

    batched = True


def test_the_rest_of_a_mutable_mapping(g: ndzarr.Group) -> None:
    assert g.pop("a").tolist() == [1, 2, 3]
    assert g.pop("a", 5) == 5
    with pytest.raises(KeyError):
        g.pop("a")
    assert g.pop("b")["c"]["d"].tolist() == [0, 1, 2, 3]
    assert list(g) == []
    g.update({"x": [1], "y": [2]}, z=[3])
    assert [(name, node[:].tolist()) for name, node in g.items()] == [("x", [1]), ("y", [2]), ("z", [3])]
    assert [node.path for node in g.values()] == ["x", "y", "z"]
    assert len(g.items()) == len(g.values()) == 3
    assert g.get("q") is None
    assert g.setdefault("x", [9])[:].tolist() == [1]
    assert g.setdefault("w", [9])[:].tolist() == [9]
    assert g.popitem()[0] == "w"
    g.clear()
    assert list(g) == []
    assert dict(g.attrs) == {"title": "t"}
    with pytest.raises(KeyError):
        g.popitem()


@pytest.mark.parametrize("kind", ["plain", "batched", "folders"])
def test_members_are_the_same_however_they_are_found(g: ndzarr.Group, kind: str, tmp_path: Any) -> None:
    """By one listing, by one for each group, or from consolidated metadata; also with what is no member lying about."""
    g["b/c/e"] = [1]
    g.store.set("b/c/d/inside/zarr.json", b"{}")  # under an array
    g.store.set("nothing/zarr.json/x", b"")
    g.store.set("orphan/x/.zgroup", b'{"zarr_format": 2}')  # under no node
    g.store.set("notes.txt", b"")
    content = {key: bytes(g.store.get(key) or b"") for key in g.store.list()}
    store: ndzarr.Store
    if kind == "folders":
        del content["nothing/zarr.json/x"]  # a directory in the place of a document is an error there
        store = ndzarr.LocalStore(tmp_path)
        for key, value in content.items():
            store.set(key, value)
    else:
        store = ndzarr.MemoryStore(content) if kind == "plain" else Batched(content)
    opened = ndzarr.open_group(store)
    everything = ["a", "b", "b/c", "b/c/d", "b/c/e"]
    for depth, want in ((0, ["a", "b"]), (1, ["a", "b", "b/c"]), (2, everything), (None, everything)):
        assert [name for name, _ in opened.members(depth)] == want
    assert list(opened) == ["a", "b"]
    assert [name for name, _ in opened.walk()] == everything
    assert [name for name, _ in opened["b"].walk()] == ["c", "c/d", "c/e"]
    assert opened["b/c/e"][:].tolist() == [1]
    with pytest.raises(ndzarr.ArgumentError, match="max_depth"):
        list(opened.members(-1))


def thousand(version: int, inner: ndzarr.Store) -> ndzarr.FaultStore:
    g = ndzarr.create_group(inner, zarr_format=version)
    for n in range(1000):
        g.create_array(f"a{n:03}", shape=(n + 1,), dtype="i2", attributes={"n": n})
    for n in range(20):
        g.create_array(f"deep/{n}/x", shape=2)
    return ndzarr.FaultStore(inner)


def test_requests_for_a_thousand_members(version: int) -> None:
    """Consolidated: one (two in format 2). Else one listing, and the documents together; never a request for each node."""
    store = thousand(version, Batched())

    def requests(call: Any) -> int:
        store.clear()
        call()
        return len(store.log)

    def look(**options: Any) -> None:
        g = ndzarr.open_group(store, **options)
        found = [(node.shape, node.attrs["n"]) for _, node in g.arrays()]
        assert found == [((n + 1,), n) for n in range(1000)]

    opened = requests(lambda: ndzarr.open_group(store))
    assert opened <= {3: 1, 2: 5}[version]
    more = {3: 2, 2: 4}[version]  # runs of 1000 documents
    assert requests(look) <= opened + 1 + more
    assert store.counts["list_dir"] == 1
    assert requests(lambda: list(ndzarr.open_group(store).items())) <= opened + 2 * (1 + more)  # `list` asks for the length
    for walk in (lambda: list(ndzarr.open_group(store).walk()), lambda: repr(ndzarr.open_group(store).tree())):
        assert requests(walk) <= opened + 1 + more
        assert (store.counts["list"], store.counts["list_dir"]) == (1, 0)
    assert requests(lambda: len(ndzarr.open_group(store))) <= opened + 1 + more
    assert requests(lambda: ndzarr.consolidate(store)) < 20
    want = {3: 1, 2: 2}[version]
    assert requests(lambda: ndzarr.open_group(store)) == want
    assert requests(look) == want
    assert requests(lambda: look(consolidated=True)) == want
    for walk in (
        lambda: list(ndzarr.open_group(store).walk()),
        lambda: ndzarr.open_group(store).tree()._repr_html_(),
        lambda: [ndzarr.open_group(store)[f"a{n:03}"] for n in range(1)],
    ):
        assert requests(walk) == want
    assert requests(lambda: look(consolidated=False)) > want


def test_a_listing_of_chunks_is_given_up(monkeypatch: pytest.MonkeyPatch, g: ndzarr.Group) -> None:
    from ndzarr.nodes import listing

    inner = Batched({key: bytes(g.store.get(key) or b"") for key in g.store.list()})
    store = ndzarr.FaultStore(inner)
    monkeypatch.setattr(listing, "_LISTED", 3)
    assert [name for name, _ in ndzarr.open_group(store).walk()] == ["a", "b", "b/c", "b/c/d"]
    assert store.counts["list_dir"] == 3  # of each group


def test_whether_to_go_by_consolidated_metadata(g: ndzarr.Group) -> None:
    for opener in (ndzarr.open, ndzarr.open_group):
        with pytest.raises(ndzarr.ArgumentError, match="no consolidated metadata"):
            opener(g.store, consolidated=True)
    ndzarr.consolidate(g.store)
    for opener in (ndzarr.open, ndzarr.open_group):
        for mode, consolidated, want in (
            ("r", None, True), ("r", True, True), ("r", False, False), ("r+", None, False), ("r+", True, False)
        ):  # fmt: skip
            found = opener(g.store, mode, consolidated=consolidated)
            assert found.consolidated is want
            assert pickle.loads(pickle.dumps(found)).consolidated is want
    assert ndzarr.open(g.store, path="a", consolidated=True).shape == (3,)


def behind(g: ndzarr.Group, version: int, path: str, shape: int) -> None:
    """Change a shape as a program does that knows nothing of consolidated metadata."""
    key = f"{path}/{'zarr.json' if version == 3 else '.zarray'}"
    document = json.loads(bytes(g.store.get(key) or b""))
    g.store.set(key, json.dumps({**document, "shape": [shape]}).encode())


def test_stale_consolidated_metadata_are_noticed(g: ndzarr.Group, version: int) -> None:
    """Promise P19."""
    ndzarr.consolidate(g.store)
    assert g.stale() == ndzarr.open_group(g.store).stale() == []
    behind(g, version, "a", 7)
    behind(g, version, "b/c/d", 2)
    w = ndzarr.open_group(g.store, "r+")
    for look in (lambda: w["a"], lambda: w["b"]["c/d"], lambda: w["b/c"]["d"]):
        with pytest.warns(ndzarr.StaleMetadataWarning, match=r"consolidate") as caught:
            look()
        assert caught[0].filename == __file__
    with pytest.warns(ndzarr.StaleMetadataWarning):
        assert [a.shape for _, a in w.arrays()] == [(7,)]
    assert w.stale() == ["a", "b/c/d"]
    g.store.delete("b/c/d/zarr.json" if version == 3 else "b/c/d/.zarray")
    other = ndzarr.create_array(ndzarr.MemoryStore(), shape=1, path="new", zarr_format=version).store
    for key in other.list("new"):
        g.store.set(key, bytes(other.get(key) or b""))
    assert w.stale() == ["a", "b/c/d", "new"]
    ndzarr.consolidate(g.store)
    assert w.stale() == []
    assert w["a"].shape == (7,)  # no warning: they are errors here


@pytest.mark.parametrize("change", ["attributes", "resize", "append"])
def test_a_write_makes_a_stale_shape_true_again(g: ndzarr.Group, version: int, change: str) -> None:
    """Promise P19: another program has changed the shape; whatever ndzarr then writes, no reader sees the old one."""
    ndzarr.consolidate(g.store)
    ndzarr.consolidate(g.store, path="b")
    behind(g, version, "b/c/d", 2)
    z = ndzarr.open_array(g.store, "r+", path="b/c/d")
    if change == "attributes":
        z.attrs["n"] = 1
    elif change == "resize":
        z.resize(3)
    else:
        z.append([7.0])
    want = ndzarr.open_array(g.store, path="b/c/d").shape
    assert want == {"attributes": (2,), "resize": (3,), "append": (3,)}[change]
    for path in ("", "b"):
        c = ndzarr.open_group(g.store, path=path, consolidated=True)
        assert c["b/c/d" if not path else "c/d"].shape == want
        assert c.stale() == []


def test_our_own_writes_through_another_handle_are_not_stale(g: ndzarr.Group) -> None:
    ndzarr.consolidate(g.store)
    w = ndzarr.open_group(g.store, "r+")
    assert w["a"].shape == (3,)
    ndzarr.open_array(g.store, "r+", path="a").resize(9)
    w["new"] = [1]
    assert w["a"].shape == (9,)  # a warning would be an error
    assert w.stale() == []


def test_a_half_deleted_group_is_no_node(g: ndzarr.Group) -> None:
    """What consolidated metadata say may not outlive the group."""
    ndzarr.consolidate(g.store, path="b")
    whole = {key: bytes(g.store.get(key) or b"") for key in g.store.list()}
    for step in range(1, 8):
        store = ndzarr.FaultStore(ndzarr.MemoryStore(whole), on=("delete", "delete_prefix"), at=step)
        try:
            del ndzarr.open_group(store, "r+")["b"]
        except ndzarr.StoreError:
            pass
        else:
            break
        live = "b" in ndzarr.open_group(store, consolidated=False)
        try:
            opened = ndzarr.open_group(store, path="b")
        except ndzarr.NodeNotFoundError:
            assert not live
        else:
            assert live
            assert opened["c/d"].shape == (4,)


def test_a_damaged_member_hides_no_other(g: ndzarr.Group, version: int) -> None:
    g["b/more"] = [1]
    name = "zarr.json" if version == 3 else ".zarray"
    codec = json.loads(bytes(g.store.get(f"b/more/{name}") or b""))
    codec |= {"codecs": [{"name": "no.such"}]} if version == 3 else {"compressor": {"id": "no-such"}}
    g.store.set(f"b/more/{name}", json.dumps(codec).encode())
    g.store.set(f"a/{name}", b"{")
    for opened in (
        ndzarr.open_group(g.store),
        ndzarr.open_group(Batched({k: bytes(g.store.get(k) or b"") for k in g.store.list()})),
    ):
        assert list(opened) == ["a", "b"]
        with pytest.raises(ndzarr.MetadataError):
            opened["a"]
        with pytest.warns(ndzarr.DamagedNodeWarning) as caught:
            assert [n for n, _ in opened.walk()] == ["b", "b/c", "b/c/d"]
        assert [str(w.message).split(":")[0] for w in caught] == ["left out 'a'", "left out 'b/more'"]
        assert caught[0].filename == __file__
        with pytest.warns(ndzarr.DamagedNodeWarning, match="'a'"):
            assert [name for name, _ in opened.items()] == ["b"]
        with pytest.raises(ndzarr.MetadataError, match="'a'"):
            list(opened.members(damaged="raise"))
        with pytest.raises(ndzarr.MetadataError):
            ndzarr.load(opened.store)
        with pytest.raises(ndzarr.MetadataError):
            ndzarr.convert(opened, None)
    with pytest.raises(ndzarr.ArgumentError, match="damaged"):
        list(g.members(damaged="ignore"))


def test_a_store_that_fails_is_no_damaged_member(g: ndzarr.Group) -> None:
    """Promise P8: only what is understood as damage is soft."""
    store = ndzarr.FaultStore(g.store, keys="^b/", fail="always")
    with pytest.raises(ndzarr.StoreError):
        list(ndzarr.open_group(store).members())


def test_values_that_attributes_take(g: ndzarr.Group, version: int) -> None:
    g.attrs.update(
        words=np.array(["x", "y"], dtype=object),
        text=np.array(["x"], dtype=np.dtypes.StringDType()),
        half=np.float16(2),
        nothing=np.array(3),
        nested={"x": [np.int8(1), {"y": np.array([[True]])}]},
        masked=np.ma.masked_array([1, 2], [False, True]),
    )
    want = {
        "title": "t", "words": ["x", "y"], "text": ["x"], "half": 2.0, "nothing": 3, "nested": {"x": [1, {"y": [[True]]}]},
        "masked": [1, None],
    }  # fmt: skip
    assert ndzarr.open_group(g.store).attrs.asdict() == g.attrs.asdict() == want
    g.attrs.asdict()["nested"]["x"].append(1)
    assert g.attrs.asdict() == want
    bad: Any
    for bad, where in (
        (b"x", "'bad'"), ({"a": {"b": [1, b"z"]}}, r"bad\.a\.b\[1\]"), (np.array([b"x"]), "'bad'"), (1j, "'bad'"),
        (np.datetime64("2000"), "'bad'"), ({1: 2}, "'bad'"), ({1, 2}, "'bad'"), (np.array([object()]), r"bad\[0\]"),
    ):  # fmt: skip
        for change in (lambda bad=bad: g.attrs.update(good=1, bad=bad), lambda bad=bad: g.attrs.setdefault("bad", bad)):
            with pytest.raises(ndzarr.ArgumentError, match=where):
                change()
    assert ndzarr.open_group(g.store).attrs.asdict() == want


def test_each_change_of_attributes_is_one_step(g: ndzarr.Group) -> None:
    other = ndzarr.open_group(g.store, "r+")
    other.attrs["new"] = 1
    assert g.attrs.setdefault("new", 2) == 1  # what is stored counts
    assert g.attrs.pop("new") == 1
    with pytest.raises(KeyError):
        other.attrs.pop("new")
    assert other.attrs.pop("new", None) is None
    store = ndzarr.FaultStore(g.store)
    third = ndzarr.open_group(store, "r+")
    store.clear()
    third.attrs.clear()
    assert store.counts["set"] == 1
    assert dict(ndzarr.open_group(g.store).attrs) == {}


def test_an_array_of_data(zarr_format):
    g = ndzarr.create_group(zarr_format=zarr_format)
    z = g.create_array("a/b", data=[[1, 2], [3, 4]], chunks=(1, 2), compressor="zlib", attributes={"k": 1})
    assert (z.shape, z.chunks, z.dtype, z.zarr_format, dict(z.attrs)) == ((2, 2), (1, 2), np.dtype(int), zarr_format, {"k": 1})
    assert g["a/b"][...].tolist() == [[1, 2], [3, 4]]
    assert g.create_array("c", data=[1, 2], dtype="f4")[...].dtype == np.dtype("f4")
    np.testing.assert_array_equal(g.create_array("d", data=g["a/b"], overwrite=True)[...], z[...])
    with pytest.raises(ndzarr.NodeExistsError):
        g.create_array("c", data=[5])
    assert g["c"][...].tolist() == [1, 2]
