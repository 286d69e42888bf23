"""Stores of zarr-python as stores of ours."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore.store
import pytest
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, ObjectStore, StorePath, WrapperStore, ZipStore

import ndzarr
from ndzarr import ArgumentError, ReadOnlyError, StoreError, ZarrPythonStore
from ndzarr._typing import ByteRange
from ndzarr.stores.base import Store
from ndzarr.stores.registry import resolve
from ndzarr.testing import StoreSuite


class Suite(StoreSuite):
    def reopen_for_reading(self, store: Store) -> Store | None:
        assert isinstance(store, ZarrPythonStore)
        return ZarrPythonStore(store.store.with_read_only(True))


class TestMemoryStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(MemoryStore())


class TestLocalStore(Suite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ZarrPythonStore(LocalStore(tmp_path / "root"))

    def test_what_is_set_is_read_back(self, store: Store) -> None:
        # zarr-python's temporary file has a longer name than the key, so that one of 255 bytes cannot be written.
        with pytest.raises(StoreError, match="name too long"):
            store.set("x" * 255, b"1")
        for key in ("a", "b/c", "b/d/0.0", ".zarray", "x" * 200, "\N{GREEK SMALL LETTER ALPHA}/ b%20.c"):
            store.set(key, key.encode())
            assert bytes(store.get(key) or b"") == key.encode()
            assert store.size(key) == len(key.encode())


class Plain(WrapperStore):
    """A store without synchronous methods, such as others write."""

    _supports_sync_io = False


class TestAsynchronousMemoryStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(Plain(MemoryStore()))


class TestAsynchronousLocalStore(TestLocalStore):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ZarrPythonStore(Plain(LocalStore(tmp_path / "root")))


def in_memory(name: str) -> FsspecStore:
    fs = fsspec.filesystem("memory")
    if fs.exists(f"/{name}"):
        fs.rm(f"/{name}", recursive=True)
    return FsspecStore(AsyncFileSystemWrapper(fs, asynchronous=True), path=f"/{name}")


class TestFsspecStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(in_memory("suite"))


class TestLoggedFsspecStore(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(LoggingStore(in_memory("logged"), log_level="ERROR"))


class TestObjectStore(Suite):
    pickles = False  # obstore's MemoryStore refuses
    @pytest.fixture
    def store(self) -> Store:
        return ZarrPythonStore(ObjectStore(obstore.store.MemoryStore()))
