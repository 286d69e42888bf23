"""Any numcodecs codec as one of ours: the way in for codec classes that numcodecs knows, or that a user registers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from ndzarr._typing import Buffer, Json
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.codecs.buffers import flat
from ndzarr.errors import ArgumentError, NdzarrError


class NumcodecsCodec(BytesBytesCodec):
    """Bytes to bytes by a numcodecs codec object, `numcodec`.

    `encode` hands it what zarr-python 2 did: the chunk itself, or what the codec before made of it. What it decodes is
    held to the limit after the call only, for the numcodecs interface has no bound.
    """

    #: The class with `codec_id`, `encode`, `decode` and `from_config`.
    wrapped: ClassVar[Any]
    typed = True
    decode_ns_per_byte = 2.0
    decode_ns = 20000.0

    def __init__(self, numcodec: Any) -> None:
        self.numcodec = numcodec

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> NumcodecsCodec:
        try:
            return cls(cls.wrapped.from_config(dict(configuration)))
        except NdzarrError:
            raise
        except Exception as error:
            raise ArgumentError(
                f"codec {cls.name!r} does not take the configuration {dict(configuration)!r}: {error}",
                codec=cls.name,
                found=dict(configuration),
            ) from error

    def configuration(self) -> dict[str, Json]:
        return configuration_of(self.numcodec)

    def encode(self, data: Buffer) -> Buffer:
        return self.numcodec.encode(data)

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        return flat(self.numcodec.decode(data))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.configuration() == other.configuration()

    __hash__ = None  # type: ignore[assignment]  # configurations are dicts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.numcodec!r})"


@cache
def wrap(cls: Any) -> type[NumcodecsCodec]:
    """The codec class for a numcodecs class; the same one each time."""
    lines = (cls.__doc__ or "").strip().splitlines()
    attributes = {
        "wrapped": cls,
        "name": cls.codec_id,
        "description": lines[0] if lines else "",
        "__module__": __name__,
        "__doc__": f"{cls.__module__}.{cls.__qualname__} as a codec.",
    }
    return type(cls.__name__ + "Codec", (NumcodecsCodec,), attributes)


def is_numcodec(found: Any) -> bool:
    """Whether `found` is a numcodecs codec, class or object, by what it can do: the base class is not asked for."""
    return isinstance(getattr(found, "codec_id", None), str) and all(
        callable(getattr(found, name, None)) for name in ("encode", "decode", "from_config")
    )


def configuration_of(numcodec: Any) -> dict[str, Json]:
    """What a numcodecs object would write into a v2 document, without the id."""
    if callable(getattr(numcodec, "get_config", None)):
        found = dict(numcodec.get_config())
    else:
        found = {name: value for name, value in vars(numcodec).items() if not name.startswith("_")}
    found.pop("id", None)
    return found
