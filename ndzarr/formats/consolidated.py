"""Consolidated metadata of format 2: the `.zmetadata` document, one JSON object with every document of a hierarchy.

zarr-python's convention; the specification does not know it. Missing `.zattrs` entries are normal.
"""

from __future__ import annotations

from collections.abc import Mapping

from ndzarr._typing import Buffer, Json
from ndzarr.errors import MetadataError
from ndzarr.formats.document import dump_attributes, parse


def read(data: Buffer, name: str) -> dict[str, Json]:
    """The documents by key, relative to the consolidated group: {"a/.zarray": {...}, ".zgroup": {...}}."""
    document = parse(data, name)
    found = document.get("zarr_consolidated_format")
    if type(found) is not int or found != 1:
        raise MetadataError(
            f"{name!r}: field 'zarr_consolidated_format' is {found!r}, expected 1",
            key=name,
            field="zarr_consolidated_format",
            found=found,
            expected=1,
        )
    documents = document.get("metadata")
    if not isinstance(documents, dict) or not all(isinstance(d, dict) for d in documents.values()):
        raise MetadataError(f"{name!r}: field 'metadata' must be an object of objects", key=name, field="metadata")
    return documents


def write(documents: Mapping[str, Json]) -> bytes:
    """The bytes of a `.zmetadata` document. NaN attributes stay bare, as in the documents themselves."""
    return dump_attributes({"zarr_consolidated_format": 1, "metadata": documents})
