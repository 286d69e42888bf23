"""Places of nodes that are not finished: what was written there becomes part of no other node, by whatever makes one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.nodes import copying
from tests.dying import Dying, Stop

VALUES = np.arange(1, 13).reshape(6, 2)


def array() -> ndzarr.ZArray:
    return ndzarr.array(VALUES, chunks=(1, 2))


def group(*names: str, zarr_format: Any = 3) -> ndzarr.Group:
    found = ndzarr.create_group(None, zarr_format=zarr_format)
    for name in names:
        found[name] = VALUES
    return found


VERBS: dict[str, Callable[..., Any]] = {
    "convert": lambda store, **given: ndzarr.convert(array(), store, path="at", **given),
    "compress": lambda store, **given: ndzarr.compress(array(), store, path="at", **given),
    "rechunk": lambda store, **given: ndzarr.rechunk(array(), store, path="at", chunks=(2, 2), **given),
}
MAKERS: dict[str, Callable[..., Any]] = {
    "create_array": lambda store, **given: ndzarr.create_array(
        store, path="at", shape=(6, 2), chunks=(2, 2), dtype="i8", **given
    ),
    "create_group": lambda store, **given: ndzarr.create_group(store, path="at", **given),
    "array": lambda store, **given: ndzarr.array(np.zeros((6, 2), "i8"), store=store, path="at", chunks=(2, 2), **given),
    "hierarchy": lambda store, **given: ndzarr.open_group(store, mode="r+").create_hierarchy(
        {"at": np.zeros((6, 2), "i8")}, **given
    ),
    "write_stream": lambda store, **given: ndzarr.write_stream(
        store, [np.zeros((6, 2), "i8")], path="at", chunks=(2, 2), **given
    ),
    "copy": lambda store, **given: ndzarr.copy(
        ndzarr.zeros((6, 2), dtype="i8", chunks=(2, 2)), store, path="at", **({"if_exists": "replace"} if given else {})
    ),
} | {name: verb for name, verb in VERBS.items() if name != "rechunk"}


class CutError(Exception):
    pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "WAIT_NEAR_S", 0)


def cut_short(work: Callable[..., Any], store: Any, steps: int = 1) -> None:
    def told(done: int, total: int) -> None:
        if done == steps:
            raise CutError

    with ndzarr.options(workers=1), pytest.raises(CutError):
        work(store, progress=told)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("verb", VERBS)
def test_nothing_else_is_made_of_what_was_cut_short(verb: str, maker: str) -> None:
    store = ndzarr.MemoryStore()
    cut_short(VERBS[verb], store)
    before = sorted(store.list())
    with pytest.raises(ndzarr.NodeExistsError, match=r"not finished|is left from"):
        MAKERS[maker](store)
    assert sorted(store.list()) == before
    MAKERS[maker](store, overwrite=True)
    made = ndzarr.open(store, path="at")
    if isinstance(made, ndzarr.ZArray):
        want = VALUES if maker in VERBS else np.zeros((6, 2), "i8")
        np.testing.assert_array_equal(made, want)
    assert not [key for key in store.list() if "__" in key]


@pytest.mark.parametrize("cutter", VERBS)
def test_marks_go_before_the_blocks_that_they_speak_of(cutter: str) -> None:
    """A rechunk that was cut short does not go on where something else began over it, and was cut short too."""
    store = ndzarr.MemoryStore()
    cut_short(VERBS["rechunk"], store, 2)
    cut_short(lambda at, **given: VERBS[cutter](at, overwrite=True, **given), store)
    VERBS["rechunk"](store, overwrite=True)
    np.testing.assert_array_equal(ndzarr.open_array(store, path="at"), VALUES)


def test_members_of_a_group_that_was_cut_short() -> None:
    store = ndzarr.MemoryStore()
    cut_short(lambda at, **given: ndzarr.convert(group("a", "b"), at, path="at", **given), store)
    assert "at/a/c/0/0" in store.list()
    for overwrite in (False, True):  # it is the group's place that is kept
        with pytest.raises(ndzarr.NodeExistsError, match=r"'at'.*not finished"):
            ndzarr.zeros((6, 2), dtype="i8", store=store, path="at/a", overwrite=overwrite)
    ndzarr.create_group(store, path="at", overwrite=True)
    assert not ndzarr.zeros((6, 2), dtype="i8", store=store, path="at/a")[:].any()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_members_that_were_finished_before_the_cut_do_not_join_the_next_group(zarr_format: Any) -> None:
    """Nor are they among its members by the consolidated metadata of a group above."""
    cuts = 0
    while True:
        store = Dying()
        ndzarr.create_group(store, zarr_format=zarr_format)
        ndzarr.consolidate(store)
        store.left = cuts
        try:
            with ndzarr.options(workers=1):
                ndzarr.convert(group("a", "b", "d", zarr_format=zarr_format), store, path="at")
        except Stop:
            store.left = float("inf")
        else:
            break
        made = ndzarr.convert(group("b", zarr_format=zarr_format), store, path="at", overwrite=True)
        assert isinstance(made, ndzarr.Group)
        assert sorted(made) == ["b"], cuts
        root = ndzarr.open_group(store)
        assert root.consolidated
        assert sorted(root["at"]) == ["b"], cuts
        assert not [key for key in store.list() if "/a/" in key or "/d/" in key or "__" in key], cuts
        cuts += 1
    assert cuts > 5


@pytest.mark.parametrize("maker", [name for name in MAKERS if name != "create_group"])
@pytest.mark.parametrize("cutter", VERBS)
def test_what_was_being_written_when_the_place_was_taken_over(cutter: str, maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes it over waits for that, and removes it: chunks of nothing but fill values would not replace it."""
    store, late = ndzarr.MemoryStore(), []
    cut_short(VERBS[cutter], store)

    def lands(seconds: float) -> None:
        late.append(seconds)
        store.set("at/c/2/0", b"what another one has written")

    monkeypatch.setattr(copying, "time", SimpleNamespace(sleep=lands))
    MAKERS[maker](store, overwrite=True)
    want = VALUES if maker in VERBS else np.zeros((6, 2), "i8")
    np.testing.assert_array_equal(ndzarr.open_array(store, path="at"), want)
    assert late == [0]
