"""Promise P11: each bomb is refused in seconds and in little memory, measured in a process of its own.

`python -m tests.bombs` prints what each cost; with `--with zarr tensorstore`, what it costs them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import ndzarr
from tests.bombs.__main__ import LIMIT_NBYTES, LIMIT_S, good, read
from tests.bombs.made import MiB, names, write

#: One of each kind; all of them are `slow`.
_SOME = (
    "zstd, 10 GB in 305 kB",
    "zstd in gzip in zstd",
    "gzip, 250 MB in 250 kB",
    "blosc, a header of 2 GiB",
    "blosc, blocks of 1 GiB",
    "lz4, a header of 2 GiB",
    "strings, a count of 2**32 - 1",
    "shard, 10 GB in one chunk",
    "sparse file of 10 GB, zstd",
    "zip, a chunk of 10 GB",
    "JSON, a million levels",
    "JSON, one string of 100 MB",
)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return good(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in _SOME else pytest.mark.slow) for name in names()])
def test_a_bomb_is_refused(name: str, warm: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    cost = read(write(tmp_path / "bomb", name), warm)
    assert cost.refused, cost
    assert cost.seconds < LIMIT_S, cost
    assert cost.peak < LIMIT_NBYTES, cost
    kind = cost.error.partition(":")[0]
    assert issubclass(getattr(ndzarr, kind), ndzarr.NdzarrError)
    record_property("count: bombs refused within 10 s and 67 MiB", 1)


def test_one_of_each_kind_is_always_read() -> None:
    assert set(_SOME) <= set(names())


def test_what_is_measured(tmp_path: Path) -> None:
    """A good array is read, and what it takes is seen."""
    z = ndzarr.create_array(tmp_path / "a", shape=(50 * MiB,), dtype="u1", chunks=(MiB,), compressor="zstd")
    z[...] = 1
    cost = read(tmp_path / "a", good(tmp_path / "good"))
    assert not cost.error
    assert 45 * MiB < cost.peak < 120 * MiB  # some pages were had before, for something else
    assert not cost.refused
