"""Handles that came from another process say so where what they write would be seen by nobody."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr


def elements(group: ndzarr.Group) -> None:
    group["a"][:5] = 1


def attributes(group: ndzarr.Group) -> None:
    group.attrs["k"] = 1


def attributes_of_a_member(group: ndzarr.Group) -> None:
    group["a"].attrs.update(k=1)


def shape(group: ndzarr.Group) -> None:
    group["a"].resize((20,))


def rows(group: ndzarr.Group) -> None:
    group["a"].append(np.ones(3))


def member(group: ndzarr.Group) -> None:
    group["b"] = [1]


def deletion(group: ndzarr.Group) -> None:
    del group["a"]


WRITES = [elements, attributes, attributes_of_a_member, shape, rows, member, deletion]


def written(write: Callable[[ndzarr.Group], None], group: ndzarr.Group) -> str:
    try:
        write(group)
    except ndzarr.WriteHazardError as error:
        return str(error)
    return "written"


def made() -> ndzarr.ZArray:
    return ndzarr.zeros((10,), chunks=5)


@pytest.fixture(scope="module")
def pool() -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "store", [ndzarr.MemoryStore, dict, lambda: ndzarr.SQLStore("sqlite:///:memory:")], ids=["memory", "dict", "sqlite"]
)
def test_a_copy_of_an_array_in_memory_is_not_written_to(store: Any, write: Any, pool: Any) -> None:
    """Attributes, shapes and members were written to the copy, without a word, and gone with the process."""
    group = ndzarr.create_group(store())
    group["a"] = np.zeros(10)
    assert "nobody else would see" in pool.submit(written, write, group).result(60)
    assert written(write, group) == "written"


@pytest.mark.parametrize("write", WRITES)
def test_what_others_see_is_written(write: Any, pool: Any, tmp_path: Path) -> None:
    group = ndzarr.create_group(str(tmp_path))
    group["a"] = np.zeros(10)
    assert pool.submit(written, write, group).result(60) == "written"


def test_one_made_elsewhere_is_written_to_when_it_is_opened_anew(pool: Any) -> None:
    z = pool.submit(made).result(60)
    with pytest.raises(ndzarr.WriteHazardError, match="open it anew"):
        z[0] = 1
    z = ndzarr.open_array(z.store, "r+")
    z[0] = 1
    assert z[0] == 1
