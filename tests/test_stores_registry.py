"""Which store a target stands for; registering stores; plug-ins by entry point, variable and configuration file."""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import ndzarr
import ndzarr.stores as stores_package
from ndzarr.errors import ArgumentError, NodeNotFoundError, StoreError
from ndzarr.stores.base import Store
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.mapping import MappingStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.registry import StoreInfo, get_store, register_store, registry, resolve, stores, unregister_store
from ndzarr.stores.zip import ZipStore


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)
    registry.reload()


class MyStore(MemoryStore):
    scheme = "mystore"

    def __init__(self, rest: str, *, level: int = 0) -> None:
        super().__init__()
        self.rest, self.level = rest, level
        if level > 9:
            raise TypeError("a mistake inside")


# MemoryStore's `from_url` would be inherited; this class is made from what follows "://".
MyStore.from_url = None


# ---- resolve ---------------------------------------------------------------------------------------------------------


def test_a_store_is_itself() -> None:
    store = MemoryStore()
    assert resolve(store) is store
    assert resolve(store, "a") is store
    with pytest.raises(ArgumentError, match="level"):
        resolve(store, level=3)


def test_nothing_is_a_new_memory_store() -> None:
    first, second = resolve(None), resolve(None, "a")
    assert type(first) is type(second) is MemoryStore
    assert first is not second


@pytest.mark.parametrize("make", [dict, UserDict, lambda: MappingProxyType({})])
def test_an_empty_mapping_is_a_store(make: Any) -> None:
    mapping = make()
    store = resolve(mapping, "a")
    assert type(store) is MappingStore
    assert store.mapping is mapping


@pytest.mark.parametrize("as_target", [str, Path])
@pytest.mark.parametrize("mode", ["r", "r+", "a", "w", "w-"])
def test_a_path_is_a_directory(tmp_path: Path, as_target: Any, mode: str) -> None:
    store = resolve(as_target(tmp_path / "a.zarr"), mode)
    assert type(store) is LocalStore
    assert store.get("a") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "dir.zip").mkdir()
    assert type(resolve(as_target(tmp_path / "dir.zip"), mode)) is LocalStore


@pytest.mark.parametrize("name", ["a.zip", "A.ZIP", "no suffix"])
def test_a_regular_file_is_an_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    zipfile.ZipFile(path, "w").close()
    for target in (path, str(path), f"file://{path}", f"zip://{path}"):
        for mode in ("r", "r+", "a", "w", "w-"):
            store = resolve(target, mode)
            assert type(store) is ZipStore
            assert store.writable == (mode != "r")
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(StoreError, match="zip archive"):
        resolve(tmp_path / "text")


def test_a_name_that_ends_in_zip_is_an_archive(tmp_path: Path) -> None:
    with pytest.raises(NodeNotFoundError):
        resolve(tmp_path / "new.zip", "r")
    with resolve(tmp_path / "new.zip", "a") as store:
        assert list(tmp_path.iterdir()) == []
        store.set("a", b"1")
    # "w" replaces nodes, not the archive: what is beside the node stays.
    for mode in ("w", "w-", "r+"):
        with resolve(tmp_path / "new.zip", mode) as store:
            assert store.get("a") == b"1"


def test_urls(tmp_path: Path) -> None:
    store = resolve(f"file://{tmp_path}/a%20b", "a", readonly=True)
    assert isinstance(store, LocalStore)
    assert store.root == f"{tmp_path}/a b"
    assert resolve("memory://test_urls") is resolve("memory://test_urls", "a")
    assert resolve("memory://test_urls") is not resolve("memory://test_others")


@pytest.mark.parametrize("url", ["s3x://bucket/a", "os.path://x", "://", "../evil://x"])
def test_an_unknown_scheme_is_named(url: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        resolve(url)
    assert repr(url.partition("://")[0]) in str(caught.value)
    assert "memory" in str(caught.value)


@pytest.mark.parametrize("url", ["mapping://x", "fault://memory://x"])
def test_what_is_made_from_objects_has_no_url(url: str) -> None:
    with pytest.raises(ArgumentError, match="not from a URL"):
        resolve(url)


@pytest.mark.parametrize("target", [5, b"path", 1.5, ["a"], object(), LocalStore, True])
def test_anything_else_is_refused(target: Any) -> None:
    with pytest.raises(ArgumentError, match="expected a path"):
        resolve(target)


def test_a_path_of_bytes_is_refused() -> None:
    class BytesPath:
        def __fspath__(self) -> bytes:
            return b"path"

    with pytest.raises(ArgumentError, match="expected a path"):
        resolve(BytesPath())


def test_options_are_checked(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "a.zip", None, {}, f"file://{tmp_path}", "memory://x"):
        with pytest.raises(ArgumentError, match="levle"):
            resolve(target, "a", levle=3)
    with pytest.raises(ArgumentError, match="mode is 'rb'"):
        resolve(tmp_path, "rb")


def test_a_slip_in_a_call_is_told_as_one(tmp_path: Path) -> None:
    """`chunk=` for `chunks=` goes to the store, which the caller may not have thought of."""
    for target in (tmp_path / "a.zarr", MemoryStore()):
        with pytest.raises(ArgumentError, match=r"'?chunk'?\W.*the call itself"):
            ndzarr.create_array(target, shape=3, chunk=3)


# ---- registering -----------------------------------------------------------------------------------------------------


def test_register_and_unregister() -> None:
    assert register_store(MyStore) is MyStore
    assert get_store("mystore") is MyStore
    store = resolve("mystore://a/b?c", level=3)
    assert isinstance(store, MyStore)
    assert (store.rest, store.level) == ("a/b?c", 3)
    assert stores()["mystore"].cls is MyStore
    with pytest.raises(ArgumentError, match="taken"):
        register_store(MyStore)
    register_store(MyStore, replace=True)
    unregister_store("mystore")
    with pytest.raises(ArgumentError, match="not registered"):
        unregister_store("mystore")
    with pytest.raises(ArgumentError, match="no store 'mystore'"):
        get_store("mystore")


def test_a_mistake_inside_a_store_is_not_the_caller_s() -> None:
    register_store(MyStore)
    with pytest.raises(TypeError, match="a mistake inside"):
        resolve("mystore://x", level=10)


def test_register_as_a_decorator() -> None:
    @register_store
    class First(MyStore):
        scheme = "first"

    @register_store(name="second.name")
    class Second(MyStore):
        @classmethod
        def from_url(cls, url: str, **options: Any) -> Second:
            return cls(f"made from {url}", **options)

    assert isinstance(resolve("first://x"), First)
    store = resolve("second.name://x", level=2)
    assert isinstance(store, Second)
    assert (store.rest, store.level) == ("made from second.name://x", 2)
    with pytest.raises(ArgumentError, match="levle"):
        resolve("second.name://x", levle=2)


def test_a_built_in_can_be_replaced_on_purpose_only() -> None:
    with pytest.raises(ArgumentError, match="taken"):
        register_store(MyStore, name="memory")
    register_store(MyStore, name="memory", replace=True)
    assert isinstance(resolve("memory://x"), MyStore)
    unregister_store("memory")
    assert type(resolve("memory://x")) is MemoryStore
    with pytest.raises(ArgumentError, match="built in"):
        unregister_store("memory")


def test_what_is_missing_is_listed() -> None:
    class Half:
        def get(self) -> None: ...
        def list(self) -> None: ...

    class Abstract(Store):
        def get(self, key: str, range: Any = None) -> None: ...

    class Whole:
        def get(self) -> None: ...
        def set(self) -> None: ...
        def delete(self) -> None: ...
        def list(self) -> None: ...

    class More(MyStore):
        @abstractmethod
        def extra(self) -> None: ...

    bad: list[tuple[Any, str]] = [
        (Half, "set, delete"),
        (Abstract, "set, delete, list"),
        (Whole, "subclass of ndzarr.Store"),
        (More, "extra"),
        (MyStore("x"), "expected a class"),
        ("module:Class", "expected a class"),
    ]
    for cls, reason in bad:
        with pytest.raises(ArgumentError, match=reason):
            register_store(cls, name="bad")
    with pytest.raises(ArgumentError, match="no name"):
        register_store(type("Nameless", (MyStore,), {"scheme": None}))


def test_stores_are_listed() -> None:
    found = stores()
    assert {"fault", "file", "mapping", "memory", "zip"} <= set(found)
    assert found["file"] == StoreInfo(
        "file", LocalStore, found["file"].description, tagged=True, exclusive=True, transactional=True
    )
    assert found["memory"].conditional
    assert found["fault"].cls is FaultStore
    assert all(info.description and info.error is None for info in found.values())
    assert stores_package() == found
    assert ndzarr.stores() == found


# ---- plug-ins --------------------------------------------------------------------------------------------------------

_PLUGIN = """
from ndzarr.stores.memory import MemoryStore

class Plugged(MemoryStore):
    scheme = "plugged"
    def __init__(self, rest=""):
        super().__init__()
        self.rest = rest
    from_url = None

class NotOne:
    pass

print("imported", __name__)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module that can be imported and holds a store."""
    name = "plugin_" + request.node.name.replace("[", "_").replace("]", "")
    (tmp_path / f"{name}.py").write_text(_PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def check_plugged(capsys: pytest.CaptureFixture[str], plugin: str, name: str = "plugged") -> None:
    assert capsys.readouterr().out == ""  # not imported before it is asked for
    assert name in stores()
    store = resolve(f"{name}://x")
    assert type(store).__name__ == "Plugged"
    assert type(store).__module__ == plugin
    assert "imported" in capsys.readouterr().out


def test_plug_ins_by_variable(plugin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NDZARR_PLUGINS", f"{plugin}:Plugged, {plugin}:NotOne")
    registry.reload()
    check_plugged(capsys, plugin)


def test_plug_ins_by_configuration_file(
    plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ndzarr.toml").write_text(f'[plugins]\nmine = "{plugin}:Plugged"\n')
    monkeypatch.setenv("NDZARR_CONFIG", str(tmp_path / "ndzarr.toml"))
    registry.reload()
    check_plugged(capsys, plugin)


def distribution(tmp_path: Path, name: str, target: str) -> None:
    info = tmp_path / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ndzarr.stores]\n{name} = {target}\n")


def test_plug_ins_by_entry_point(plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distribution(tmp_path, "pointed", f"{plugin}:Plugged")
    check_plugged(capsys, plugin, "pointed")


def test_an_entry_point_that_is_no_store(plugin: str, tmp_path: Path) -> None:
    distribution(tmp_path, "pointed", f"{plugin}:NotOne")
    with pytest.raises(ArgumentError, match="does not define get, set, delete, list"):
        resolve("pointed://x")


def test_a_plug_in_that_cannot_be_imported_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "broken", "no_such_module_of_ours:Thing")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = stores()
    assert found["broken"].cls is None
    assert "no_such_module_of_ours" in (found["broken"].error or "")
    assert found["memory"].cls is MemoryStore


def test_an_entry_point_does_not_replace_a_built_in(plugin: str, tmp_path: Path) -> None:
    distribution(tmp_path, "memory", f"{plugin}:Plugged")
    assert get_store("memory") is MemoryStore


@pytest.mark.parametrize("target", ["no colon", "no_such_module_of_ours:Thing", "os:no_such_name"])
def test_a_variable_that_names_nothing(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDZARR_PLUGINS", target)
    registry.reload()
    with pytest.raises(ArgumentError, match="cannot load plug-in"):
        resolve("plugged://x")
    assert type(resolve("memory://test_still_there")) is MemoryStore


def test_what_is_open_is_no_store() -> None:
    """A group is a mapping, and none of bytes."""
    group = ndzarr.create_group({})
    array = group.create_array("x/a", data=[1, 2])
    for call in (ndzarr.open, ndzarr.consolidate, ndzarr.load, lambda store: ndzarr.create_array(store, shape=3, path="b")):
        with pytest.raises(ndzarr.ArgumentError, match="is open: use its own methods"):
            call(group)
        with pytest.raises(ndzarr.ArgumentError, match="path='x/a'"):
            call(array)
    assert sorted(group) == ["x"]
