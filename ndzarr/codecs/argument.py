"""Arguments: whatever a caller may pass as `compressor` or `filters` -> CodecSpecs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndzarr._typing import CodecSpec, Json
from ndzarr.codecs.base import Codec
from ndzarr.codecs.chains import to_v2, to_v3
from ndzarr.codecs.numcodecs_codec import configuration_of, is_numcodec
from ndzarr.codecs.registry import PREFIX, create_codec, get_codec
from ndzarr.errors import ArgumentError

__all__ = ["normalize", "normalize_all", "to_v2", "to_v3"]


def normalize(argument: Any) -> CodecSpec:
    """The CodecSpec of one codec, with its full configuration, checked; ArgumentError for anything that is none.

    `argument`: a name ("zstd"), a v2 object ({"id": ...}), a v3 object ({"name": ..., "configuration": ...}), an object of
    numcodecs or of zarr-python 3, one of our codecs, or a CodecSpec. The name comes out as the registry has it and the
    configuration in numcodecs' words (blosc's shuffle as a number), whichever form came in, so that either format starts
    from one form.
    """
    name, configuration = _parse(argument)
    # Whether pickle is allowed is asked when the array is opened, not when a codec is described.
    codec = create_codec(CodecSpec(name, configuration), allow_pickle=True)
    if codec.name == "blosc":
        # Imported here, for it brings numcodecs along, and an array may do without.
        from ndzarr.codecs.blosc import BloscCodec

        codec = codec.in_numbers() if isinstance(codec, BloscCodec) else codec
    return CodecSpec(_registered(name), codec.configuration())


def normalize_all(argument: Any) -> tuple[CodecSpec, ...]:
    """The CodecSpecs of no codec (None), of one, or of each in a list or tuple."""
    if argument is None:
        return ()
    if isinstance(argument, list | tuple):
        return tuple(normalize(item) for item in argument)
    return (normalize(argument),)


def _parse(argument: Any) -> tuple[str, Mapping[str, Json]]:
    if isinstance(argument, CodecSpec):
        return argument.name, argument.configuration
    if isinstance(argument, str):
        return _prefixed(argument), {}
    if isinstance(argument, Codec):
        return argument.name, argument.configuration()
    if isinstance(argument, Mapping):
        if isinstance(argument.get("id"), str):
            return PREFIX + argument["id"], {key: value for key, value in argument.items() if key != "id"}
        if isinstance(argument.get("name"), str):
            unknown = sorted(set(argument) - {"name", "configuration", "must_understand"})
            if unknown:
                raise ArgumentError(f"unknown field {unknown[0]!r} in codec {dict(argument)!r}", found=dict(argument))
            return argument["name"], argument.get("configuration") or {}
        raise ArgumentError(f"no codec: {dict(argument)!r} has neither 'id' nor 'name'", found=dict(argument))
    if is_numcodec(argument) and not isinstance(argument, type):
        return PREFIX + argument.codec_id, configuration_of(argument)
    if callable(getattr(argument, "to_dict", None)) and not isinstance(argument, type):
        return _parse(_of_zarr_python(argument))
    raise ArgumentError(
        f"no codec: {argument!r}; expected a name, a dict with 'id' (v2) or 'name' (v3), or a codec object",
        found=argument,
    )


def _of_zarr_python(codec: Any) -> Json:
    """What a codec of zarr-python 3 writes into a document, without what it leaves open until it knows the dtype."""
    found = codec.to_dict()
    # Its Blosc shows 1 and "bitshuffle" for a typesize and a shuffle that nobody chose, and chooses better ones later, as ours
    # does for those that are not there.
    left_open = getattr(codec, "_tunable_attrs", ())
    if not left_open or not isinstance(found, dict):
        return found
    return {**found, "configuration": {k: v for k, v in found["configuration"].items() if k not in left_open}}


def _prefixed(name: str) -> str:
    """A bare name from a caller means numcodecs' codec where the two differ."""
    try:
        numcodec = get_codec(PREFIX + name)
    except ArgumentError:
        return name  # for `create_codec` to find or to refuse
    try:
        return name if get_codec(name) is numcodec else PREFIX + name
    except ArgumentError:
        return PREFIX + name


def _registered(name: str) -> str:
    """The shortest name that gives the same codec."""
    rest = name.removeprefix(PREFIX)
    if rest == name:
        return name
    try:
        return rest if get_codec(rest) is get_codec(name) else name
    except ArgumentError:
        return name
