"""The `quantize` codec: floats rounded to a number of decimal digits."""

from __future__ import annotations

from collections.abc import Mapping

from numcodecs.quantize import Quantize

from ndzarr._typing import Json
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter


class QuantizeCodec(NumcodecsFilter):
    """`digits` after the point to keep, `dtype` of the elements, `astype` of what is stored. Lossy."""

    name = "quantize"
    description = "floats rounded to some decimal digits"
    elementwise = True
    decode_ns_per_byte = 0.1

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> QuantizeCodec:
        fields = Fields(cls.name, configuration)
        digits = fields.integer("digits", low=-300, high=300)
        dtype = fields.dtype("dtype", kinds="f")
        astype = fields.dtype("astype", dtype, kinds="f")
        fields.done()
        return cls(Quantize(digits, dtype, astype), dtype, astype)
