"""Sizes in bytes as people write them: a number, or a text with a unit."""

from __future__ import annotations

import operator
import re
from typing import Any

from ndzarr.errors import ArgumentError

_UNITS = {unit: 1024**n for n, unit in enumerate(("B", "KIB", "MIB", "GIB", "TIB"))} | {
    unit: 1000**n for n, unit in enumerate(("B", "KB", "MB", "GB", "TB"))
}
_text = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*").fullmatch


def nbytes_of(argument: Any, field: str, *, none: str | None = None) -> int:
    """How many bytes a caller means by a number, or by a text such as "256MiB" or "1.5 GB".

    KiB, MiB, GiB and TiB are powers of 1024, kB, MB, GB and TB of 1000, in any case; a number alone is bytes. none: what None
    means, in words, where it is allowed; it is 0 then. Raises ArgumentError, which names `field`.

    >>> nbytes_of("1.5 KiB", "chunks"), nbytes_of(2000, "chunks"), nbytes_of("2 kB", "chunks")
    (1536, 2000, 2000)
    """
    if argument is None and none is not None:
        return 0
    if isinstance(argument, str):
        found = _text(argument)
        unit = _UNITS.get((found[2] or "B").upper()) if found else None
        if found and unit:
            return int(float(found[1]) * unit)
    elif not isinstance(argument, bool):
        try:
            nbytes = operator.index(argument)
        except TypeError:
            nbytes = -1
        if nbytes >= 0:
            return nbytes
    but = "" if none is None else f", or None for {none}"
    join = " or" if none is None else ","
    raise ArgumentError(
        f"{field} is {argument!r}, expected a number of bytes{join} a text such as '256MiB'{but}", field=field, found=argument
    )
