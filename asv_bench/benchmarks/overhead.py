"""What is paid before any byte moves: importing, opening, planning."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ndzarr
from ndzarr.grid import Grid
from ndzarr.plan import plan
from ndzarr.selection import select

from . import libraries

HUGE = (10**9, 10**9, 10**9)


class Import:
    def timeraw_numpy(self) -> str:
        return "import numpy"

    def timeraw_ndzarr(self) -> str:
        return "import ndzarr"

    def timeraw_ndzarr_and_first_array(self) -> str:
        return "import ndzarr; ndzarr.zeros((10, 10), chunks=(5, 5))[0, 0]"


class Open:
    def setup(self) -> None:
        self.mapping: dict[str, bytes] = {}
        ndzarr.create_array(self.mapping, shape=(1000, 1000), dtype="f4", chunks=(100, 100))

    def time_open(self) -> None:
        ndzarr.open(self.mapping)


class OpenStored:
    """What lies in a directory: an array of 16 KiB chunks, and a consolidated group of 1,000 arrays."""

    timeout = 300

    def setup_cache(self) -> str:
        top = Path("opened").absolute()
        array = libraries.create_local("ndzarr", top / "array", libraries.document((512, 512), (64, 64), libraries.ZSTD))
        array[...] = libraries.values((512, 512))
        group = ndzarr.create_group(str(top / "group"), zarr_format=3)
        for n in range(1000):
            group.create_array(f"a{n}", shape=(100, 100), chunks=(50, 50), dtype="f4", attributes={"number": n})
        ndzarr.consolidate(str(top / "group"))
        return str(top)

    def setup(self, top: str) -> None:
        self.time_open_and_point(top)  # what is imported at first use is not measured

    def time_open_and_point(self, top: str) -> None:
        ndzarr.open_array(f"{top}/array")[5, 5]

    def time_an_attribute_of_each_of_1000(self, top: str) -> None:
        group = ndzarr.open_group(f"{top}/group")
        for n in range(1000):
            group[f"a{n}"].attrs["number"]


class Planning:
    """Cost goes by the chunks that are touched, never by the grid: this one has 10**21 chunks."""

    params = ("point", "box of 27 chunks", "far apart", "1000 points")
    param_names = ("index",)

    def setup(self, name: str) -> None:
        self.grid = Grid.of(HUGE, (100, 100, 100))
        points = tuple(np.random.default_rng(0).integers(0, 10**9, (3, 1000)))
        box = np.s_[50:250, 50:250, 50:250]
        self.index = {
            "point": (5, 5, 5), "box of 27 chunks": box, "far apart": np.s_[:: 10**8, 7, 7], "1000 points": points
        }[name]  # fmt: skip

    def time_plan(self, name: str) -> None:
        for _ in plan(select(self.index, HUGE), self.grid):
            pass
