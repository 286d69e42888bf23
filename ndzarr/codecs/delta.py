"""The `delta` codec: the first element, then the differences."""

from __future__ import annotations

from collections.abc import Mapping

from numcodecs.delta import Delta

from ndzarr._typing import Json
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter


class DeltaCodec(NumcodecsFilter):
    """`dtype` of the elements, `astype` of the differences. Lossy where they do not fit, as in numcodecs."""

    name = "delta"
    description = "the differences of the elements"
    decode_ns_per_byte = 0.8

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> DeltaCodec:
        fields = Fields(cls.name, configuration)
        dtype = fields.dtype("dtype", kinds="biufcmM")
        astype = fields.dtype("astype", dtype, kinds="biufcmM")
        fields.done()
        return cls(Delta(dtype, astype), dtype, astype)
