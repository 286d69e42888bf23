"""The store suite over every store of ndzarr, one that a user might write, and each wrapped in a FaultStore."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ndzarr._typing import Buffer, ByteRange
from ndzarr.keys import check_key, check_prefix
from ndzarr.stores.base import Store, as_bytes
from ndzarr.stores.fault import FaultStore
from ndzarr.stores.local import LocalStore
from ndzarr.stores.mapping import MappingStore
from ndzarr.stores.memory import MemoryStore
from ndzarr.stores.zip import ZipStore
from ndzarr.testing.stores import HOSTILE_KEYS, HOSTILE_PREFIXES, StoreSuite, prefix_verbs, verbs


class LeastStore(Store):
    """The four methods and nothing else: what the documentation tells an author to write."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str, range: ByteRange | None = None) -> Buffer | None:
        value = self.values.get(check_key(key))
        return value if range is None or value is None else value[range.start : range.stop]

    def set(self, key: str, value: Buffer) -> None:
        self.values[check_key(key)] = as_bytes(key, value)

    def delete(self, key: str) -> None:
        self.values.pop(check_key(key), None)

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        return iter([key for key in [*self.values] if key.startswith(prefix)])


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestLocalStore(StoreSuite):
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(tmp_path / "root", **self.options)

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, LocalStore)
        return LocalStore(store.root, **self.options)

    def reopen_for_reading(self, store: Store) -> Store:
        assert isinstance(store, LocalStore)
        return LocalStore(store.root, readonly=True, **self.options)


class TestLocalStoreWithoutLinks(TestLocalStore):
    options: ClassVar[dict[str, Any]] = {"follow_symlinks": False}


class TestZipStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with ZipStore(tmp_path / "a.zip", "a") as store:
            yield store

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, ZipStore)
        store.close()
        return ZipStore(store.path)

    def reopen_for_reading(self, store: Store) -> Store:
        return self.reopen(store)


class TestMappingStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return MappingStore({})

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, MappingStore)
        return MappingStore(store.mapping)


class TestLeastStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return LeastStore()


class TestFaultyMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return FaultStore(MemoryStore())


class TestFaultyLocalStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return FaultStore(LocalStore(tmp_path / "root"))

    def reopen_for_reading(self, store: Store) -> Store:
        assert isinstance(store, FaultStore)
        assert isinstance(store.inner, LocalStore)
        return FaultStore(LocalStore(store.inner.root, readonly=True))


class TestFaultyZipStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with FaultStore(ZipStore(tmp_path / "a.zip", "a")) as store:
            yield store


class TestFaultyMappingStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return FaultStore(MappingStore({}))


class TestFaultyLeastStore(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return FaultStore(LeastStore())


def _tree(path: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in sorted(path.rglob("*"))}


@pytest.mark.parametrize("kind", ["local", "local without links", "zip", "memory", "mapping"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_hostile_keys_touch_nothing(
    tmp_path: Path,
    kind: str,
    wrapped: bool,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    assert len(HOSTILE_KEYS) >= 500
    assert len(HOSTILE_PREFIXES) >= 490
    # Canaries wherever ".." or a drive letter could lead to, the working directory among them.
    home = tmp_path / "1" / "2" / "3"
    home.mkdir(parents=True)
    for folder in (home, *home.parents[:3]):
        (folder / "canary").write_bytes(b"untouched")
    monkeypatch.chdir(home)
    inner: Store
    if kind == "zip":
        inner = ZipStore(home / "a.zip", "w")
    elif kind.startswith("local"):
        inner = LocalStore(home / "root", follow_symlinks=kind == "local")
    else:
        inner = MemoryStore() if kind == "memory" else MappingStore({})
    store = FaultStore(inner) if wrapped else inner
    store.set("a/b", b"1")
    getattr(store, "flush", store.close)()
    before = _tree(tmp_path)
    refused = 0
    for table, keys in ((verbs(store), HOSTILE_KEYS), (prefix_verbs(store), HOSTILE_PREFIXES)):
        for name, verb in table.items():
            for key in keys:
                with pytest.raises(ValueError, match="cannot be"):
                    verb(key)
                refused += 1
                assert name
    assert refused > 500 * 11
    assert sorted(store.list()) == ["a/b"]
    store.close()
    assert _tree(tmp_path) == before
    assert os.getcwd() == str(home)
    record_property("count: hostile keys beside canaries, none of them touched", refused)
