"""Short digests: of the bytes of objects, of what a store says of them, of how an array is stored. Pure."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from ndzarr._typing import Buffer
from ndzarr.canonical import dtype_name, element_bytes
from ndzarr.errors import ArgumentError
from ndzarr.fillvalue import element
from ndzarr.metadata import ArrayMeta

#: Bytes of a digest in a record: two different objects have the same one by chance once in 2**128.
WIDTH = 16


def short_digest(data: Buffer | str) -> bytes:
    """The first 16 bytes of SHA-256."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).digest()[:WIDTH]


def fingerprint(meta: ArrayMeta) -> str:
    """What the meaning of an array's objects depends on, its shape aside: the dtype, chunks, codecs, fill value and keys."""
    cell = np.empty(1, meta.dtype)
    fill = None
    if meta.fill_value is not None:
        cell[...] = element(meta.fill_value, meta.dtype)
        try:
            fill = bytes(element_bytes(cell)).hex()
        except ArgumentError:
            fill = repr(meta.fill_value)
    described = [
        dtype_name(meta.dtype),
        str(meta.dtype.str),
        repr(meta.chunks),
        [[spec.name, dict(spec.configuration)] for spec in meta.codecs],
        fill,
        repr(meta.key_encoding),
    ]
    return short_digest(json.dumps(described, sort_keys=True, default=repr)).hex()
