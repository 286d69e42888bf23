"""Names that a file system takes for one are refused for two nodes (promise P15); here it is made to fold them."""

from __future__ import annotations

import builtins
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.stores import spelling
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.prefix import PrefixStore
from ndzarr.stores.wrapper import WrapperStore

ONE = ("open", "stat", "lstat", "mkdir", "rmdir", "unlink", "scandir", "listdir", "access", "truncate", "chmod", "readlink")
TWO = ("rename", "replace")
#: As APFS does by default: "é" in one code point, and in two.
COMPOSED, APART = "caf\u00e9", "cafe\u0301"


class Folding:
    """Paths below `base` as a file system finds them that folds names by `key`, and stores them as `kept` says."""

    def __init__(self, base: Path, key: Callable[[str], str], kept: Callable[[str], str] = str) -> None:
        self.base, self.key, self.kept = str(base), key, kept
        self._listdir = os.listdir
        self._isdir = os.path.isdir

    def place(self, path: Any) -> Any:
        """The path of what `path` finds."""
        if not isinstance(path, (str, os.PathLike)) or not str(path).startswith(self.base + "/"):
            return path
        at = self.base
        for part in str(path)[len(self.base) + 1 :].split("/"):
            try:
                names = self._listdir(at)
            except OSError:
                names = []
            alike = [name for name in names if self.key(name) == self.key(part)]
            at = f"{at}/{part if part in names else alike[0] if alike else self.kept(part)}"
        return at

    def install(self, patch: pytest.MonkeyPatch) -> None:
        def folded(function: Callable[..., Any], paths: int) -> Callable[..., Any]:
            def call(*arguments: Any, **keywords: Any) -> Any:
                return function(*map(self.place, arguments[:paths]), *arguments[paths:], **keywords)

            return call

        for name in ONE:
            patch.setattr(os, name, folded(getattr(os, name), 1))
        for name in TWO:
            patch.setattr(os, name, folded(getattr(os, name), 2))
        patch.setattr(builtins, "open", folded(open, 1))


def _apfs(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _apart(name: str) -> str:
    return unicodedata.normalize("NFD", name)


@pytest.fixture
def folding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on a file system that folds case and composition, and keeps names as they are given."""
    Folding(tmp_path, _apfs).install(monkeypatch)
    (tmp_path / "probe").mkdir()
    assert os.path.samefile(tmp_path / "probe", tmp_path / "PROBE")
    return tmp_path


HOW = {"shape": (2,), "dtype": "i2"}
WAYS: dict[str, Callable[[ndzarr.Group, str], object]] = {
    "array": lambda g, name: g.create_array(name, **HOW),
    "array-overwrite": lambda g, name: g.create_array(name, overwrite=True, **HOW),
    "group": lambda g, name: g.create_group(name),
    "group-overwrite": lambda g, name: g.create_group(name, overwrite=True),
    "require_array": lambda g, name: g.require_array(name, **HOW),
    "require_group": lambda g, name: g.require_group(name),
    "below": lambda g, name: g.create_array(name + "/x", overwrite=True, **HOW),
    "assign": lambda g, name: g.__setitem__(name, np.zeros(2)),
    "assign-node": lambda g, name: g.__setitem__(name, g["other"]),
    "copy": lambda g, name: g.copy("other", name, if_exists="replace"),
    "move": lambda g, name: g.move("other", name, if_exists="replace"),
    "hierarchy": lambda g, name: g.create_hierarchy({"first": [1], name: {"x": [1]}}, overwrite=True),
    "hierarchy-array": lambda g, name: g.create_hierarchy({"first": [1], name: [1]}),
    "open_array-a": lambda g, name: ndzarr.open_array(g.store, "a", path=name, **HOW),
    "open_array-w": lambda g, name: ndzarr.open_array(g.store, "w", path=name, **HOW),
    "open_array-w-": lambda g, name: ndzarr.open_array(g.store, "w-", path=name, **HOW),
    "open_group-a": lambda g, name: ndzarr.open_group(g.store, "a", path=name),
    "open_group-w": lambda g, name: ndzarr.open_group(g.store, "w", path=name),
    "open_group-w-": lambda g, name: ndzarr.open_group(g.store, "w-", path=name),
    "create_array": lambda g, name: ndzarr.create_array(g.store, path=name, overwrite=True, **HOW),
    "copy-function": lambda g, name: ndzarr.copy(g["other"], g.store, path=name, if_exists="replace"),
}


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".ndzarr" not in path.parts
    }


@pytest.mark.parametrize(
    "names", [("foo", "Foo"), ("Foo", "fOO"), (COMPOSED, APART), (APART, COMPOSED), ("stra\u00dfe", "STRASSE")]
)
@pytest.mark.parametrize("kind", ["array", "group"])
@pytest.mark.parametrize("way", WAYS)
def test_a_second_spelling_is_refused(
    way: str, kind: str, names: tuple[str, str], folding: Path, zarr_format: int, record_property: Callable[[str, object], None]
) -> None:
    there, asked = names
    group = ndzarr.create_group(folding / "root")
    group.create_array("other", shape=(3,), dtype="i4")[...] = 7
    if kind == "array":
        group.create_array(there, **HOW)[...] = 5
    else:
        group.create_group(there).create_array("inner", **HOW)[...] = 5
    before = _files(folding)
    with pytest.raises(ndzarr.NodeExistsError) as caught:
        WAYS[way](ndzarr.open_group(folding / "root", "r+"), asked)
    assert repr(there) in str(caught.value)
    assert repr(asked) in str(caught.value)
    assert _files(folding) == before
    record_property("count: second spellings refused", 1)


def test_the_store_itself_is_a_name(folding: Path) -> None:
    ndzarr.create_array(folding / "data.zarr", **HOW)[...] = 5
    for call in (
        lambda: ndzarr.create_array(folding / "Data.zarr", overwrite=True, **HOW),
        lambda: ndzarr.create_group(folding / "DATA.zarr", overwrite=True),
        lambda: ndzarr.open_array(folding / "Data.zarr", "a", **HOW),
        lambda: ndzarr.create_array(folding / "Data.zarr", path="a/b", **HOW),
    ):
        with pytest.raises(ndzarr.NodeExistsError, match=r"data\.zarr"):
            call()
    assert ndzarr.open_array(folding / "data.zarr", "a", **HOW)[...].tolist() == [5, 5]


def test_the_same_spelling_is_not(folding: Path, zarr_format: int) -> None:
    for _ in range(2):
        group = ndzarr.create_group(folding / "root", overwrite=True)
        for name in ("foo", COMPOSED, "Deep/Er/x", "Deep/er2", "7"):
            for overwrite in (False, True):
                group.create_array(name, overwrite=overwrite, **HOW)[...] = 5
            assert group.require_array(name, **HOW)[...].tolist() == [5, 5]
    del group["foo"]
    group.create_array("Foo", **HOW)
    assert set(group) == {"Foo", COMPOSED, "Deep", "7"}


def test_a_file_system_that_takes_letters_apart_keeps_its_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Folding(tmp_path, _apfs, _apart).install(monkeypatch)  # as HFS+ does
    group = ndzarr.create_group(tmp_path / "root")
    for _ in range(3):
        group.create_array(COMPOSED, overwrite=True, **HOW)[...] = 5
        assert group.require_array(COMPOSED, **HOW)[...].tolist() == [5, 5]
    assert [unicodedata.normalize("NFC", name) for name in group] == [COMPOSED]
    with pytest.raises(ndzarr.NodeExistsError):
        group.create_array(COMPOSED.upper(), overwrite=True, **HOW)
    assert not [name for name in os.listdir(tmp_path / "root") if name.startswith(".ndzarr-tmp")]


def test_one_that_was_made_meanwhile_is_seen(folding: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = ndzarr.create_group(folding / "root")
    real, calls = spelling.other, []

    def other(root: str, path: str, sure: spelling.Sure) -> Any:
        calls.append(path)
        if len(calls) == 1:
            ndzarr.create_array(folding / "root", path="foo", **HOW)[...] = 5
            return None  # it was not there when we looked
        return real(root, path, sure)

    monkeypatch.setattr(spelling, "other", other)
    with pytest.raises(ndzarr.NodeExistsError, match="'foo' is there"):
        group.create_array("Foo", overwrite=True, **HOW)
    assert group["foo"][...].tolist() == [5, 5]


def test_in_a_transaction(folding: Path) -> None:
    group = ndzarr.create_group(folding / "root")
    group.create_array("foo", **HOW)[...] = 5
    with pytest.raises(ndzarr.NodeExistsError), ndzarr.transaction(folding / "root"):
        group.create_array("Foo", overwrite=True, **HOW)
    assert group["foo"][...].tolist() == [5, 5]


def test_names_are_kept_apart_where_the_file_system_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without so much as a look at what else there is.
    if os.path.exists(tmp_path.parent / tmp_path.name.upper()):
        pytest.skip("this file system folds names")
    monkeypatch.setattr(spelling, "os", SimpleNamespace(stat=os.stat, path=os.path, stat_result=os.stat_result))
    group = ndzarr.create_group(tmp_path / "root")
    names = ["foo", "Foo", COMPOSED, APART, "Bar/x", "bar/x"]
    for number, name in enumerate(names):
        for overwrite in (False, True):
            group.create_array(name, overwrite=overwrite, **HOW)[...] = number
    assert [group[name][0] for name in names] == list(range(len(names)))
    os.symlink(tmp_path / "root" / "foo", tmp_path / "root" / "FOO")  # a link is a name like another
    with pytest.raises(AttributeError):  # this once it looks: both names lead to one place
        ndzarr.open_group(tmp_path / "root", "r+").create_array("foo", overwrite=True, **HOW)
    monkeypatch.undo()
    group.create_array("foo", overwrite=True, **HOW)


class FoldingStore(MemoryStore):
    """A store of somebody's that folds case."""

    def other_spelling(self, path: str) -> tuple[str, str] | None:
        for key in self.list():
            there = key.rpartition("/")[0]
            if there.casefold() == path.casefold():
                return None if there == path else (path, there)
        return None


def test_other_stores_may_say_so_too() -> None:
    inner = FoldingStore()
    ndzarr.create_array(inner, path="a/foo", **HOW)
    for store, path in (
        (inner, "a/Foo"),
        (WrapperStore(inner), "a/Foo"),
        (FaultStore(inner), "a/Foo"),
        (PrefixStore(inner, "a"), "Foo"),
        (PrefixStore(inner, "a/Foo"), ""),
        (PrefixStore(inner, "A"), "foo"),
    ):
        with pytest.raises(ndzarr.NodeExistsError, match="'a/foo' is there"):
            ndzarr.create_array(store, path=path, **HOW)
    ndzarr.create_array(PrefixStore(inner, "a"), path="foo", overwrite=True, **HOW)
