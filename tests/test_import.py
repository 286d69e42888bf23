"""`import ndzarr` costs little more than NumPy: nothing else that is heavy comes along until it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ndzarr

#: Everything that some part of ndzarr may import later, and what is slow to import of the standard library.
LATER = (
    "xarray dask pandas fsspec numcodecs zarr cramjam isal deflate zstandard google_crc32c msgpack hypothesis pytest rich "
    "asyncio concurrent.futures.thread unittest multiprocessing sqlite3 zipfile tomllib importlib.metadata argparse doctest"
).split()


def modules_after(code: str) -> set[str]:
    """The names in `sys.modules` when `code` has run in a process of its own."""
    ask = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_import_brings_nothing_heavy() -> None:
    # Subtracting NumPy's: what it imports costs its user nothing more.
    more = modules_after("import numpy, ndzarr") - modules_after("import numpy")
    assert not more & set(LATER)
    assert {name for name in more if name.startswith("ndzarr.")} == set()
    assert "ndzarr" in more


def test_a_first_array_brings_what_it_needs() -> None:
    """Chunks of zstd that nobody has written are not decoded; what hints at names, or is for others, comes later."""
    more = modules_after("import ndzarr; ndzarr.zeros((4, 4))[0, 0]") - modules_after("import numpy")
    assert "ndzarr.codecs.zstd" in more
    assert not more & {"numcodecs", "difflib", "uuid", "tomllib", "email", "ndzarr.codecs.blosc"}


def test_a_function_brings_its_own_family() -> None:
    code = "import ndzarr, numpy as np; z = ndzarr.zeros((4, 4)); assert np.mean(z) == 0"
    loaded = modules_after(code)
    assert "ndzarr.functions.folds" in loaded
    assert not loaded & {f"ndzarr.functions.{name}" for name in ("records", "linear", "histograms", "strings", "unique")}
    more = "; assert np.median(z) == 0; assert np.fft.fft(z).sum() == 0"
    assert "ndzarr.functions.records" not in modules_after(f"{code}; assert np.max(z) == 0")
    assert {"ndzarr.functions.order", "ndzarr.functions.fourier"} <= modules_after(code + more)


@pytest.mark.parametrize("absent", ["xarray", "dask", "fsspec", "asyncio", "sqlite3", "hypothesis"])
@pytest.mark.parametrize("create", ["zarr_format=2", "zarr_format=3", "shards=(4, 4)"])
def test_an_array_in_memory_needs_none_of(absent: str, create: str) -> None:
    array = f"ndzarr.zeros((4, 4), dtype='i4', chunks=(2, 2), {create})"
    code = f"import ndzarr; z = {array}; z[1, ::-1] = 5; assert z[...].sum() == 20"
    assert absent not in modules_after(code) - modules_after("import numpy")


@pytest.mark.once
def test_every_module_can_be_imported_first() -> None:
    """A cycle may show only to whoever enters it at a certain place."""
    modules = sorted(f"ndzarr.{path.stem}" for path in Path(ndzarr.__file__).parent.glob("*.py") if path.stem != "__init__")
    for name in [*modules, "ndzarr.codecs", "ndzarr.stores", "ndzarr.formats", "ndzarr.testing"]:
        assert name in modules_after(f"import {name}")
