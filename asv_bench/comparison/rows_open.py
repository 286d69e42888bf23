"""Opening: one array, and what stands in a group of a thousand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import libraries
from benchmarks.libraries import ZSTD, document

from comparison.measure import OURS, Row, Stores, Task, equal

_NAMES = [f"a{n}" for n in range(1000)]


def open_and_point() -> Row:
    description = document((4096, 4096), (64, 64), ZSTD)

    def task(name: str, stores: Stores) -> Task:
        path, values = stores.get(description)

        def run() -> Any:
            for _ in range(20):
                found = libraries.read(name, libraries.open_local(name, path), (5, 5))
            return found

        return Task(run, equal(values[5, 5]))

    return Row("open an array and read a point, 20 times, 64x64 zstd", task)


def _group(stores: Stores) -> Path:
    """The directory of a consolidated group of format 3, made once."""
    path = stores.top / "group"
    if not path.exists():
        import ndzarr

        group = ndzarr.create_group(str(path), zarr_format=3)
        for number, name in enumerate(_NAMES):
            group.create_array(name, shape=(100, 100), chunks=(50, 50), dtype="f4", attributes={"number": number})
        ndzarr.consolidate(str(path))
    return path


def _numbers(name: str, path: Path, *, at_once: bool) -> list[int]:
    """An attribute of each. tensorstore has no groups: it is told the names, and opens each by its own document."""
    if name == OURS:
        import ndzarr

        group = ndzarr.open_group(str(path))
        return [group[array].attrs["number"] for array in _NAMES]
    if name != "tensorstore":
        import zarr

        found = zarr.open_group(str(path), mode="r")
        return [found[array].attrs["number"] for array in _NAMES]
    import tensorstore

    def opened(array: str) -> Any:
        return tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/{array}/"}}, open=True)

    def number(future: Any) -> int:
        found: int = future.result().spec().to_json()["metadata"]["attributes"]["number"]
        return found

    if at_once:
        return list(map(number, list(map(opened, _NAMES))))
    return [number(opened(array)) for array in _NAMES]


def group(title: str, *, at_once: bool) -> Row:
    def task(name: str, stores: Stores) -> Task:
        path = _group(stores)

        def wrong(found: Any) -> str | None:
            return None if found == list(range(1000)) else f"gives {found}, expected 0 to 999"

        return Task(lambda: _numbers(name, path, at_once=at_once), wrong)

    return Row(title, task)


OPENS = [
    open_and_point(),
    group("a consolidated group of 1,000 arrays, one attribute of each", at_once=False),
    group("the same, tensorstore opening all 1,000 at once", at_once=True),
]
