"""The `astype` codec: stored as another dtype."""

from __future__ import annotations

from collections.abc import Mapping

from numcodecs.astype import AsType

from ndzarr._typing import Json
from ndzarr.codecs.configuration import Fields
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter


class AstypeCodec(NumcodecsFilter):
    """`encode_dtype` is stored, `decode_dtype` is the array's. Lossy where values do not fit."""

    name = "astype"
    description = "stored as another dtype"
    elementwise = True
    decode_ns_per_byte = 0.1

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> AstypeCodec:
        fields = Fields(cls.name, configuration)
        encoded = fields.dtype("encode_dtype", kinds="biufcmMSU")
        decoded = fields.dtype("decode_dtype", kinds="biufcmMSU")
        fields.done()
        return cls(AsType(encoded, decoded), decoded, encoded)
