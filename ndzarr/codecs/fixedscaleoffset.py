"""The `fixedscaleoffset` codec: `(x - offset) * scale`, rounded and stored as another dtype."""

from __future__ import annotations

from collections.abc import Mapping

from numcodecs.fixedscaleoffset import FixedScaleOffset

from ndzarr._typing import Json
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter


class FixedScaleOffsetCodec(NumcodecsFilter):
    """`offset`, `scale`, `dtype` of the elements, `astype` of what is stored. Lossy."""

    name = "fixedscaleoffset"
    description = "(x - offset) * scale, rounded"
    elementwise = True
    decode_ns_per_byte = 0.2

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> FixedScaleOffsetCodec:
        fields = Fields(cls.name, configuration)
        offset, scale = fields.number("offset"), fields.number("scale")
        if scale == 0:
            raise fields.bad("scale", scale, "a number other than 0")
        dtype = fields.dtype("dtype", kinds="biufc")
        astype = fields.dtype("astype", dtype, kinds="biufc")
        fields.done()
        return cls(FixedScaleOffset(offset, scale, dtype, astype), dtype, astype)
