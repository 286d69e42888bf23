"""What is paid before any byte moves: importing, opening, planning."""

from __future__ import annotations

import numpy as np

import ndzarr
from ndzarr.grid import Grid
from ndzarr.plan import plan
from ndzarr.selection import select

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
