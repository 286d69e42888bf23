"""What the interoperability tests share: where the other implementations are, and directories made once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TIMEOUT_S = 600
VARIABLES = {"zarr2": "NDZARR_PEER_ZARR2", "zarr3": "NDZARR_PEER_ZARR3", "others": "NDZARR_PEER_OTHERS"}
INSTALL = {
    "zarr2": "python -m venv .srv/zarr2 && .srv/zarr2/bin/pip install 'zarr==2.18.7' 'numcodecs[crc32c,msgpack]<0.16'",
    "zarr3": "python3.13 -m venv .srv/zarr3 && .srv/zarr3/bin/pip install zarr tensorstore zarrs ml_dtypes "
    "cast-value-rs msgpack pcodec zfpy==1.0.1",
    "others": "python3.13 -m venv .srv/others && .srv/others/bin/pip install z5py rasterio netCDF4",
}


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], str]:
    """A function from "zarr2", "zarr3" or "others" to the Python that has it; skips, or fails in CI, where it is missing."""

    def find(name: str) -> str:
        python = os.environ.get(VARIABLES[name])
        if python:
            return python
        message = f"{VARIABLES[name]} does not name a Python that has {name}; make one: {INSTALL[name]}"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(message)
        pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A function that makes a directory once for all workers of this run, and gives it to each."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def get(name: str, make: Callable[[Path], None]) -> Path:
        root = base / f"interop-{name}"
        done, failed = root.with_suffix(".done"), root.with_suffix(".failed")
        try:
            root.mkdir()
        except FileExistsError:
            limit = time.monotonic() + TIMEOUT_S
            while not done.exists():
                assert not failed.exists(), failed.read_text("utf-8")
                assert time.monotonic() < limit, f"{name} was not made within {TIMEOUT_S} s"
                time.sleep(0.05)
            return root
        try:
            make(root)
        except BaseException as error:
            failed.write_text(repr(error), "utf-8")
            raise
        done.touch()
        return root

    return get
