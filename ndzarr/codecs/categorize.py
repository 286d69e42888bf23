"""The `categorize` codec: strings as numbers of a list of labels; 0 is a string that is not in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numcodecs.categorize import Categorize

from ndzarr._typing import Json, NDArray
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter
from ndzarr.errors import ArgumentError, CorruptChunkError

_OBJECT = np.dtype(object)


class CategorizeCodec(NumcodecsFilter):
    """`labels`, `dtype` of the strings (unicode or object), `astype` of the numbers."""

    name = "categorize"
    description = "strings as numbers of a list of labels"
    decode_ns_per_byte = 2.5

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> CategorizeCodec:
        fields = Fields(cls.name, configuration)
        labels = fields.take("labels")
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            raise fields.bad("labels", labels, "a list of strings")
        dtype = fields.dtype("dtype", kinds="OU")
        astype = fields.dtype("astype", "u1", kinds="iu")
        if len(labels) > np.iinfo(astype).max:
            raise fields.bad("astype", astype.str, f"room for {len(labels)} labels")
        fields.done()
        return cls(Categorize(list(labels), dtype, astype), dtype, astype)

    def bind(self, spec: ChunkSpec) -> CategorizeCodec:
        if (spec.dtype == _OBJECT) != (self.source == _OBJECT):
            raise ArgumentError(
                f"codec 'categorize': dtype is {self.source.str!r}, the array's is {spec.dtype.str!r}",
                codec=self.name,
                field="dtype",
                found=self.source.str,
                expected=spec.dtype.str,
            )
        if self.source != _OBJECT:
            super().bind(spec)
        return self

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        labels = self.numcodec.labels
        if array.size and not 0 <= int(array.min()) <= int(array.max()) <= len(labels):
            raise CorruptChunkError(
                f"found numbers from {array.min()} to {array.max()}, there are {len(labels)} labels",
                found=int(array.max()),
                expected=len(labels),
            )
        return super().decode(array, spec)
