"""How much memory is free, and results within the limits that `options` set."""

from __future__ import annotations

import math
import os
from contextlib import suppress

import numpy as np

from ndzarr import config
from ndzarr._typing import DType, NDArray, Shape
from ndzarr.errors import MemoryLimitError

#: Results under this size are made without asking the system how much is free.
_SMALL = 64 << 20
_CGROUP = "/sys/fs/cgroup"


def free() -> int | None:
    """Bytes that this process could still take: of the machine, or of its container where that is less; None if unknown.

    Linux: `MemAvailable` of /proc/meminfo, and memory.max of the control group (v2) less what it uses. Elsewhere: all pages.
    """
    found = []
    with suppress(OSError, ValueError), open("/proc/meminfo", "rb") as lines:
        for line in lines:
            if line.startswith(b"MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
                break
    with suppress(OSError, ValueError):  # "max" where there is no limit
        most, used = (_number(f"{_CGROUP}/{name}") for name in ("memory.max", "memory.current"))
        found.append(most - used)
    if not found:
        with suppress(AttributeError, ValueError, OSError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found)) if found else None


def _number(path: str) -> int:
    with open(path, "rb") as file:
        return int(file.read())


def check_result(nbytes: int, what: str, advice: str, *, path: str | None = None) -> None:
    """Raise MemoryLimitError where a result of `nbytes` bytes is more than `options(max_result=)` allows.

    `what` begins the message ("reading (3, 4) of 'a'"), `advice` ends it.
    """
    limit = config.current().max_result
    if limit is None or (limit == "auto" and nbytes < _SMALL):
        return
    reason = "options(max_result=) allows"
    if limit == "auto":
        available = free()
        if available is None:
            return
        limit = available // 2
        reason = "half of the memory that is free is"
    if nbytes > limit:
        raise MemoryLimitError(
            f"{what} needs {nbytes} bytes, {reason} {limit}; {advice}", path=path, found=nbytes, expected=limit
        )


def room(shape: Shape, dtype: DType, what: str) -> NDArray:
    """An uninitialised array; MemoryLimitError when the machine has no room for it, or NumPy no number for its size."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        nbytes = math.prod(shape) * dtype.itemsize
        raise MemoryLimitError(f"no memory for {what} and dtype {dtype}, which take {nbytes} bytes", found=nbytes) from error


def result(shape: Shape, dtype: DType, name: str) -> NDArray:
    """An uninitialised array for the result of a function called `name`, within `options(max_result=)`."""
    shape = tuple(int(n) for n in shape)
    check_result(math.prod(shape) * dtype.itemsize, f"the result of {name}, of shape {shape},", "give a stored array as out=")
    return room(shape, dtype, f"a result of shape {shape}")
