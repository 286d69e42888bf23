"""How large a dtype in a document may be, and how much of a document an error message shows."""

from __future__ import annotations

import reprlib

from ndzarr._typing import Json

#: Merely opening an array makes one element, the fill value; no real dtype comes near.
MAX_ITEMSIZE = 1 << 26
#: How deep fields may hold fields.
MAX_DEPTH = 32

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 4, 8, 8, 120, 60, 120


def short(value: Json) -> str:
    """The `repr` of part of a document, cut where it is long or deep: hostile ones are both."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python 3.11 writes no integer of more than 4300 digits
        return f"<{type(value).__name__}>"
