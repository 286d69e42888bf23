"""Metadata of documents seen before: arrays that differ in their attributes alone are understood once.

Most arrays of a dataset differ from another in nothing else, and a program opens the same arrays again and again.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping

from ndzarr._typing import Json
from ndzarr.codecs.registry import version
from ndzarr.formats import v2, v3
from ndzarr.metadata import ArrayMeta, GroupMeta

#: Longer documents are not kept by `Seen(most)`: rectilinear grids may have millions of lengths.
_MAX_NBYTES = 8192


class Seen:
    """Documents of arrays, without attributes, and what they mean. Any number of threads may use it.

    What is kept is what parsing an equal document anew would give: the key has all that the answer depends on, the codecs
    registered among it. Attributes are never kept, nor what says more than this version knows, nor errors.
    """

    __slots__ = ("_held", "_most")

    def __init__(self, most: int | None = None) -> None:
        """most: how many to keep, None for all."""
        self._held: dict[tuple[int, bytes], ArrayMeta] = {}
        self._most = most

    def array_v2(self, document: Mapping[str, Json], attributes: Mapping[str, Json], name: str) -> ArrayMeta:
        """`v2.array_from_json`."""
        key = version(), _exact(dict(document))
        like = self._held.get(key)
        if like is not None:
            return v2.array_like(like, attributes)
        return self._keep(key, v2.array_from_json(document, attributes, name))

    def node_v3(self, document: Mapping[str, Json], name: str) -> ArrayMeta | GroupMeta:
        """`v3.node_from_json`."""
        if document.get("node_type") != "array":
            return v3.node_from_json(document, name)
        key = version(), _exact({field: value for field, value in document.items() if field != "attributes"})
        like = self._held.get(key)
        if like is not None:
            return v3.array_like(like, document, name)
        return self._keep(key, v3.array_from_json(document, name))

    def _keep(self, key: tuple[int, bytes], meta: ArrayMeta) -> ArrayMeta:
        if self._most is None:
            self._held[key] = meta
        elif len(key[1]) <= _MAX_NBYTES and not meta.extra:
            if len(self._held) >= self._most:
                self._held.clear()  # another thread may look up at the same time, but no thread iterates
            # Not with its attributes, which may be long.
            self._held[key] = meta.described({}, None if meta.zarr_format == 2 else meta.dimension_names)
        return meta


def _exact(document: dict[str, Json]) -> bytes:
    """The same bytes for the same JSON only: 1, 1.0 and true, or 0.0 and -0.0, are equal to Python and not to us."""
    return marshal.dumps(document, 2)  # of a version that shares nothing, and so does not depend on which objects are one
