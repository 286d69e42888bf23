"""Nodes copied and moved: byte for byte, last things last, and nothing lost whatever fails."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.codecs import pipeline


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class Batched(ndzarr.MemoryStore):
    """A store that takes many requests at once, as remote ones do."""

    batched = True


@pytest.fixture(params=["memory", "batched", "local", "zip"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ndzarr.Store]:
    makers: dict[str, Callable[[], ndzarr.Store]] = {
        "memory": ndzarr.MemoryStore,
        "batched": Batched,
        "local": lambda: ndzarr.LocalStore(tmp_path / "dst"),
        "zip": lambda: ndzarr.ZipStore(tmp_path / "dst.zip", mode="a"),
    }
    with makers[request.param]() as store:
        yield store


def snapshot(store: ndzarr.Store, path: str = "") -> dict[str, bytes]:
    prefix = path + "/" if path else ""
    return {key[len(prefix) :]: bytes(store.get(key) or b"") for key in store.list(prefix)}


def sample(version: int, store: ndzarr.Store | None = None) -> ndzarr.Group:
    g = ndzarr.create_group(store, zarr_format=version, attributes={"root": 1})
    a = g.create_array("src/a", shape=(7, 5), dtype="i4", chunks=(2, 2), attributes={"units": "K"})
    a[:6] = np.arange(30).reshape(6, 5)
    g["src/deep/b"] = np.arange(4.0)
    g["src"].attrs["n"] = 1
    g.store.set("src/README.txt", b"not ours")
    return g


def test_a_copy_is_the_same_bytes(version: int, place: ndzarr.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    g = sample(version)

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("decoded or encoded")

    monkeypatch.setattr(pipeline.Pipeline, "decode", never)
    monkeypatch.setattr(pipeline.Pipeline, "encode", never)
    done = ndzarr.copy(g["src"], place, path="x/y")
    assert snapshot(place, "x/y") == snapshot(g.store, "src")
    assert done.nodes == ("", "a", "deep", "deep/b")
    assert done.keys == len(snapshot(g.store, "src"))
    assert done.nbytes == sum(map(len, snapshot(g.store, "src").values()))
    assert (done.skipped, done.replaced, done.dry_run) == ((), False, False)
    assert done.target == (place.url, "x/y")
    monkeypatch.undo()
    h = ndzarr.open_group(place)
    assert h["x/y/a"][:6].tolist() == g["src/a"][:6].tolist()
    assert h["x"].zarr_format == version


def test_places_are_said_in_many_ways(tmp_path: Path, version: int) -> None:
    g = sample(version)
    ndzarr.copy(g, tmp_path / "a.zarr")
    ndzarr.copy(tmp_path / "a.zarr", tmp_path / "b.zip")
    ndzarr.copy(str(tmp_path / "b.zip"), into := {})
    assert snapshot(g.store) == {key: bytes(value) for key, value in into.items()}
    h = ndzarr.create_group(zarr_format=version)
    ndzarr.copy(g["src"], h)  # its own name
    ndzarr.copy(g["src/a"], h["src"], path="other/a2")
    g.copy("src/deep", h, name="d")
    g.copy("src/a", "again")
    h.copy(g["src/a"], "from-elsewhere")
    assert sorted(name for name, _ in h.walk()) == [
        "d", "d/b", "from-elsewhere", "src", "src/a", "src/deep", "src/deep/b", "src/other", "src/other/a2"
    ]  # fmt: skip
    assert g["again"][0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ndzarr.ArgumentError, match="name"):
        ndzarr.copy(g, h)  # the root has no name of its own
    with pytest.raises(ndzarr.ArgumentError, match="name="):
        g.copy("src/a", "b", name="c")


def test_assignment_of_a_node_copies_it(version: int) -> None:
    g = sample(version)
    g["a2"] = g["src/a"]
    g["all"] = g["src"]
    assert snapshot(g.store, "a2") == snapshot(g.store, "src/a")
    assert snapshot(g.store, "all") == snapshot(g.store, "src")
    before = snapshot(g.store)
    g["a2"] = g["a2"]
    assert snapshot(g.store) == before
    g["a2"] += 1  # through the array, and then an assignment of itself
    assert g["a2"][0].tolist() == [1, 2, 3, 4, 5]
    g["a2"] = g["src/deep/b"]  # replaces
    assert g["a2"].shape == (4,)
    with pytest.raises(ndzarr.ArgumentError, match="lies in the other"):
        g["src/deep/inside"] = g["src"]
    with pytest.raises(ndzarr.ArgumentError, match="lies in the other"):
        g["src"] = g["src/deep"]
    assert snapshot(g.store, "src") == snapshot(g.store, "all")


class Undotted(ndzarr.MemoryStore):
    """A store that does not list all that it has, as the index pages of nginx."""

    def list(self, prefix: str = "") -> list[str]:
        return [key for key in super().list(prefix) if not key.rpartition("/")[2].startswith(".")]


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_not_listed_whole_is_not_copied(dry_run: bool) -> None:
    """It was copied without the documents, and what it should replace was deleted first."""
    store, there = Undotted(), ndzarr.MemoryStore()
    ndzarr.array([1, 2, 3], store=store, path="a", zarr_format=2)
    ndzarr.array([4, 5], store=there, path="a")
    before = snapshot(there)
    for verb in (ndzarr.copy, ndzarr.move):
        with pytest.raises(ndzarr.StoreError, match=r"its own document is there and not among 1 keys listed"):
            verb(ndzarr.open(store, "r+", path="a"), there, path="a", if_exists="replace", dry_run=dry_run)
    assert snapshot(there) == before


def test_what_is_there_already(version: int) -> None:
    g = sample(version)
    h = ndzarr.create_group(zarr_format=version)
    h.create_group("src", attributes={"mine": True})
    h["src/a"] = [1, 2]
    h["src/deep/mine"] = [3]
    before = snapshot(h.store)
    with pytest.raises(ndzarr.NodeExistsError, match="if_exists"):
        ndzarr.copy(g["src"], h)
    with pytest.raises(ndzarr.ArgumentError, match="if_exists"):
        ndzarr.copy(g["src"], h, if_exists="overwrite")
    assert snapshot(h.store) == before
    done = ndzarr.copy(g["src"], h, if_exists="skip")
    assert done.skipped == ("a",)
    assert done.nodes == ("deep/b",)
    after = snapshot(h.store)
    assert {key: after[key] for key in before} == before
    assert h["src/deep/b"][:].tolist() == [0, 1, 2, 3]
    done = ndzarr.copy(g["src"], h, if_exists="replace")
    assert done.replaced
    assert snapshot(h.store, "src") == snapshot(g.store, "src")
    assert ndzarr.copy(g["src/a"], h["src"], if_exists="skip").skipped == ("",)


def test_a_dry_run_changes_nothing_and_tells_the_same(version: int, tmp_path: Path) -> None:
    g = sample(version)
    before = snapshot(g.store)
    for verb in (ndzarr.copy, ndzarr.move):
        said = verb(g["src"], g, path="b", dry_run=True)
        assert said.dry_run
        assert snapshot(g.store) == before
        ndzarr.move(g["src"], tmp_path / "new.zarr", dry_run=True)
        assert not (tmp_path / "new.zarr").exists()
    done = ndzarr.move(g["src"], g, path="b")
    assert (done.nodes, done.keys, done.nbytes) == (said.nodes, said.keys, said.nbytes)
    assert ndzarr.copy(ndzarr.open_group(Batched(before))["src"], None, dry_run=True).nbytes is None


def test_progress(version: int) -> None:
    g = sample(version)
    told: list[tuple[int, int]] = []
    done = ndzarr.copy(g["src"], None, progress=lambda *step: told.append(step))
    assert told[-1] == (done.keys, done.keys)
    assert [n for n, _ in told] == sorted({n for n, _ in told})
    with redirect_stderr(io.StringIO()) as text:
        ndzarr.copy(g["src"], None, progress=True)
    assert f"{done.keys} of {done.keys}\n" in text.getvalue()


def test_moves(version: int, place: ndzarr.Store) -> None:
    g = sample(version)
    whole = snapshot(g.store, "src")
    g.move("src", "there/x")
    assert snapshot(g.store, "src") == {}
    assert snapshot(g.store, "there/x") == whole
    assert list(g) == ["there"]
    g.rename("there/x", "y")
    assert snapshot(g.store, "there/y") == whole
    h = ndzarr.create_group(place, zarr_format=version)
    g.move("there/y", h, name="in")
    assert snapshot(place, "in") == whole
    assert list(g["there"]) == []
    for bad in ("a/b", "", "/"):
        with pytest.raises(ndzarr.ArgumentError):
            h.rename("in", bad)
    h.delete("in/a")
    h.delete("in/a", missing_ok=True)
    with pytest.raises(ndzarr.NodeNotFoundError):
        h.delete("in/a")


def test_a_move_within_a_directory_is_one_step(tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    g = sample(version, ndzarr.LocalStore(tmp_path))
    ndzarr.consolidate(g.store)
    whole = snapshot(g.store, "src")
    names = {path.name: path.stat().st_ino for path in (tmp_path / "src/a").rglob("*") if path.is_file()}
    told: list[tuple[int, int]] = []
    done = ndzarr.open_group(tmp_path, "r+").move("src", "x/y", progress=lambda *step: told.append(step))
    assert told == [(done.keys, done.keys)] == [(len(whole), len(whole))]
    assert done.nbytes == sum(map(len, whole.values()))
    assert snapshot(g.store, "x/y") == whole
    assert {path.name: path.stat().st_ino for path in (tmp_path / "x/y/a").rglob("*") if path.is_file()} == names
    assert not (tmp_path / "src").exists()
    c = ndzarr.open_group(tmp_path, consolidated=True)
    assert [name for name, _ in c.walk()] == ["x", "x/y", "x/y/a", "x/y/deep", "x/y/deep/b"]
    assert c.stale() == []
    # The general way where that step is not to be had: in another directory, and where writes are to be durable.
    with ndzarr.options(durable=True):
        g.move("x/y", "src")
    assert snapshot(g.store, "src") == whole
    ndzarr.create_group(tmp_path / "other", zarr_format=version)
    g.move("src", ndzarr.open_group(tmp_path / "other", "r+"))
    assert snapshot(g.store, "other/src") == whole


def test_a_move_into_an_archive_is_in_the_archive_before_anything_is_deleted(tmp_path: Path) -> None:
    g = sample(3)
    whole = snapshot(g.store, "src")
    with ndzarr.ZipStore(tmp_path / "x.zip", mode="a") as archive:
        ndzarr.move(g["src"], archive, path="s")
        assert snapshot(ndzarr.ZipStore(tmp_path / "x.zip"), "s") == whole


def test_what_is_skipped_stays_where_it_was(version: int) -> None:
    g = sample(version)
    h = ndzarr.create_group(zarr_format=version)
    h["src/a"] = [1]
    kept = snapshot(g.store, "src/a")
    ndzarr.move(g["src"], h, if_exists="skip")
    assert snapshot(g.store, "src/a") == kept
    assert list(g["src"]) == ["a"]
    assert h["src/deep/b"].shape == (4,)


def test_refused(version: int) -> None:
    g = sample(version)
    before = snapshot(g.store)
    same = ndzarr.open_group(g.store, "r+")
    for call in (
        lambda: g.copy("src", "src"),
        lambda: g.copy("src", "src/deep/x"),
        lambda: g.move("src/deep", "src", if_exists="replace"),
        lambda: ndzarr.copy(g, same, path="all"),
        lambda: g.copy("src/deep", "src/a/inside"),
        lambda: g.move("src", "../x"),
        lambda: ndzarr.open_group(g.store).move("src", "x"),
        lambda: ndzarr.move(ndzarr.open_group(g.store)["src"], None),
        lambda: ndzarr.copy(g["src"], ndzarr.open_group(g.store), path="x"),
    ):
        with pytest.raises(ndzarr.ArgumentError):
            call()
    with pytest.raises(ndzarr.NodeNotFoundError):
        g.move("nothing", "x")
    assert snapshot(g.store) == before


def test_names_that_format_3_reserves() -> None:
    g = sample(3)
    with pytest.raises(ndzarr.ArgumentError, match="format 3"):
        g.copy("src", "__x")


def test_leftovers_do_not_become_part_of_a_copy(version: int) -> None:
    """A chunk that lies about would be read where the array has none."""
    g = sample(version)
    h = ndzarr.create_group(zarr_format=version)
    gap = [key for key in snapshot(g.store, "src/a") if key in ("3.0", "c/3/0")]
    assert not gap
    key = "x/a/3.0" if version == 2 else "x/a/c/3/0"
    h.store.set(key, b"old")
    h.store.set("x/a/notes.txt", b"kept")
    for how in ("raise", "skip"):
        with pytest.raises(ndzarr.NodeExistsError, match="left"):
            g.copy("src", h, name="x", if_exists=how)
    g.copy("src", h, name="x", if_exists="replace")
    assert h["x/a"][6].tolist() == [0] * 5
    assert snapshot(h.store, "x/a")["notes.txt"] == b"kept"


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize("where", ["within", "between"])
def test_each_request_fails_in_turn_and_nothing_is_lost(version: int, verb: str, where: str) -> None:
    """Whatever call fails, the data are at the old place or at the new one, whole; a node cut short is no node."""
    step = 0
    while True:
        step += 1
        inner = ndzarr.MemoryStore()
        sample(version, inner)
        whole = snapshot(inner, "src")
        store = ndzarr.FaultStore(inner)
        g = ndzarr.open_group(store, "r+")
        target = store if where == "within" else ndzarr.FaultStore(ndzarr.MemoryStore())
        store.clear()
        target.clear()
        store.at = target.at = frozenset([step])
        try:
            getattr(ndzarr, verb)(g["src"], target, path="dst")
            failed = False
        except ndzarr.StoreError:
            failed = True
        old, new = snapshot(inner, "src"), snapshot(target.inner, "dst")
        assert old == whole or new == whole, step
        for store_, path in ((inner, "src"), (target.inner, "dst")):
            try:
                found = ndzarr.open_group(store_, path=path)
            except ndzarr.NodeNotFoundError:
                continue
            if path == "dst" or old == whole:
                assert sorted(found) == ["a", "deep"], step
                assert found["a"][5].tolist() == [25, 26, 27, 28, 29]
        if not failed:
            assert new == whole
            assert old == ({} if verb == "move" else whole)
            break
    assert step > 10


def test_what_is_added_during_a_move_comes_along() -> None:
    store = ndzarr.MemoryStore()
    g = sample(3, store)

    def add(done: int, total: int) -> None:
        if done == 1:
            g["src/late"] = [1, 2, 3]

    g.move("src", "dst", progress=add)
    assert g["dst/late"][:].tolist() == [1, 2, 3]
    assert list(store.list("src")) == []


def test_moves_that_cross_do_not_wait_for_each_other() -> None:
    g = sample(3)

    def swap(a: str, b: str) -> None:
        for _ in range(30):
            with suppress(ndzarr.NodeNotFoundError, ndzarr.NodeExistsError, ndzarr.StoreError):
                g.move(a, b)

    threads = [threading.Thread(target=swap, args=pair, daemon=True) for pair in (("src", "y/z"), ("y/z", "src"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


# ---- consolidated metadata --------------------------------------------------------------------------------


def test_consolidated_metadata_follow(version: int) -> None:
    g = sample(version)
    ndzarr.consolidate(g.store)
    ndzarr.consolidate(g.store, path="src")
    g.copy("src", "new/two")
    g.move("src/a", "moved")
    g["src/deep/b"].resize(2)
    c = ndzarr.open_group(g.store, consolidated=True)
    live = ndzarr.open_group(g.store, consolidated=False)
    assert [n for n, _ in c.walk()] == [n for n, _ in live.walk()]
    assert c.stale() == c["src"].stale() == []
    two = ndzarr.open_group(g.store, path="new/two", consolidated=True)  # came along
    assert [n for n, _ in two.walk()] == ["a", "deep", "deep/b"]
    g.copy("src/deep", "new/two/deep", if_exists="replace")
    assert c.stale() == []
    assert ndzarr.open_group(g.store)["new/two/deep/b"].shape == (2,)


def test_a_node_of_the_other_format_has_them_dropped(version: int) -> None:
    g = sample(version)
    h = ndzarr.create_group(zarr_format=5 - version)
    h["x"] = [1]
    ndzarr.consolidate(h.store)
    g.copy("src", h)
    assert not ndzarr.open_group(h.store).consolidated
    assert [n for n, _ in h.walk()] == ["src", "src/a", "src/deep", "src/deep/b", "x"]
    assert h["src/a"].zarr_format == version
