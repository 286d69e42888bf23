"""A process that reads one bomb with one library, and tells what it cost: `python read.py LIBRARY PLACE`.

It stands alone, for the Python that has the other libraries need not have ours.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: What strings, of which the metadata say no size, may take.
_MAX_OBJECT = 16 << 20
#: More address space than this no library gets, so that the machine stays of use to others.
_MOST_NBYTES = 14 << 30


def with_ndzarr(place: str) -> None:
    import ndzarr

    with ndzarr.options(max_object=_MAX_OBJECT):
        ndzarr.open(place)[...]


def with_zarr(place: str) -> None:
    import zarr

    found: Any = zarr.storage.ZipStore(place, mode="r") if place.endswith(".zip") else place
    zarr.open_array(found, mode="r")[...]


def with_tensorstore(place: str) -> None:
    import tensorstore

    kvstore: Any = {"driver": "file", "path": f"{place}/"}
    if place.endswith(".zip"):
        kvstore = {"driver": "zip", "base": {"driver": "file", "path": place}}
    driver = "zarr" if (Path(place) / ".zarray").exists() else "zarr3"
    tensorstore.open({"driver": driver, "kvstore": kvstore}).result().read().result()


READERS: dict[str, Callable[[str], None]] = {"ndzarr": with_ndzarr, "zarr": with_zarr, "tensorstore": with_tensorstore}


def _peak() -> int:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not getrusage's, which remembers the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def main() -> None:
    library, place, good = sys.argv[1:]
    read = READERS[library]
    for warm in good.split(","):
        read(warm)  # what is imported on first use is no part of it
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_NBYTES, _MOST_NBYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, start = _peak(), time.perf_counter()
    error = ""
    try:
        read(place)
    except BaseException as caught:
        error = f"{type(caught).__name__}: {str(caught)[:200]}"
    took = time.perf_counter() - start
    print(json.dumps({"error": error, "seconds": took, "peak": _peak() - before}))


if __name__ == "__main__":
    main()
