"""Names -> codec classes: built in, registered, installed as plug-ins, or known to numcodecs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec, Codec
from ndzarr.codecs.numcodecs_codec import is_numcodec, wrap
from ndzarr.errors import ArgumentError, NdzarrError
from ndzarr.plugins import Registry

#: What a v2 codec id carries in a CodecSpec, and numcodecs' codecs in a v3 document.
PREFIX = "numcodecs."

_HOME = {
    "astype": "astype:AstypeCodec",
    "adler32": "checksum32:Adler32Codec",
    "base64": "base64:Base64Codec",
    "bitround": "bitround:BitroundCodec",
    "blosc": "blosc:BloscCodec",
    "bytes": "bytes:BytesCodec",
    "bz2": "bz2:Bz2Codec",
    "bzip2": "bz2:Bzip2Codec",
    "cast_value": "cast_value:CastValueCodec",
    "categorize": "categorize:CategorizeCodec",
    "conditional": "conditional:ConditionalCodec",
    "crc32": "checksum32:Crc32Codec",
    "crc32c": "checksum32:Crc32cCodec",
    "delta": "delta:DeltaCodec",
    # What `bytes` was called before ZEP 1 was accepted.
    "endian": "bytes:BytesCodec",
    "fixedscaleoffset": "fixedscaleoffset:FixedScaleOffsetCodec",
    "fletcher32": "checksum32:Fletcher32Codec",
    "gzip": "gzip:GzipCodec",
    "jenkins_lookup3": "checksum32:JenkinsLookup3Codec",
    "json2": "json2:Json2Codec",
    "lz4": "lz4:Lz4Codec",
    "lzma": "lzma:LzmaCodec",
    "msgpack2": "msgpack2:Msgpack2Codec",
    "n5_default": "n5_default:N5DefaultCodec",
    "none": "none:NoneCodec",
    # Plain "packbits" is another codec, which v3 registers: it fills each byte from the other end.
    "numcodecs.packbits": "numcodecs_packbits:NumcodecsPackbitsCodec",
    "packbits": "packbits:PackbitsCodec",
    "pcodec": "pcodec:PcodecCodec",
    "pickle": "pickle:PickleCodec",
    "quantize": "quantize:QuantizeCodec",
    "reshape": "reshape:ReshapeCodec",
    "scale_offset": "scale_offset:ScaleOffsetCodec",
    "sharding_indexed": "sharding_indexed:ShardingCodec",
    "shuffle": "shuffle:ShuffleCodec",
    "snappy": "snappy:SnappyCodec",
    "transpose": "transpose:TransposeCodec",
    "vlen-array": "vlen:VlenArrayCodec",
    "vlen-bytes": "vlen:VlenBytesCodec",
    "vlen-utf8": "vlen:VlenUtf8Codec",
    "zfp": "zfp:ZfpCodec",
    "zfpy": "zfpy:ZfpyCodec",
    "zlib": "zlib:ZlibCodec",
    "zstd": "zstd:ZstdCodec",
}
_BUILTIN: Mapping[str, str] = {name: f"ndzarr.codecs.{target}" for name, target in _HOME.items()}


@dataclass(frozen=True, slots=True)
class CodecInfo:
    """One line of `codecs()`.

    name: what documents call it. kind: what it makes of what, such as "bytes->bytes". version: of our code for it.
    description: its first sentence. `kind` is "" and `available` False for a plug-in that cannot be loaded.
    """

    name: str
    kind: str
    version: str
    description: str
    available: bool


def _check(cls: Any) -> None:
    if isinstance(cls, type) and issubclass(cls, ArrayArrayCodec | ArrayBytesCodec | BytesBytesCodec):
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(cls.__abstractmethods__))
            raise ArgumentError(f"cannot register codec {cls!r}: it does not define {missing}", found=cls)
        return
    if isinstance(cls, type) and is_numcodec(cls):
        return
    raise ArgumentError(
        f"cannot register codec {cls!r}: expected a subclass of ArrayArrayCodec, ArrayBytesCodec or BytesBytesCodec, "
        "or a numcodecs class with codec_id, encode, decode and from_config",
        found=cls,
    )


def _name_of(cls: Any) -> str | None:
    return getattr(cls, "name" if issubclass(cls, Codec) else "codec_id", None)


_registry = Registry("codec", _BUILTIN, check=_check, name_of=_name_of)

_Class = TypeVar("_Class", bound=type)


@overload
def register_codec(cls: _Class, *, name: str | None = ..., replace: bool = ...) -> _Class: ...
@overload
def register_codec(cls: None = ..., *, name: str | None = ..., replace: bool = ...) -> Callable[[_Class], _Class]: ...
def register_codec(cls: Any = None, *, name: str | None = None, replace: bool = False) -> Any:
    """Register a codec class and return it, so that it also serves as a decorator, with or without arguments.

    `cls`: a subclass of one of our three kinds, or any class that does what a numcodecs codec does. `name`: what
    documents call it; by default what the class says. Raises ArgumentError when the name is taken and not `replace`.
    May be called from any thread.

    >>> import ndzarr, numcodecs.abc
    >>> @ndzarr.register_codec
    ... class Reversed(numcodecs.abc.Codec):
    ...     codec_id = "reversed"
    ...     def encode(self, buffer):
    ...         return bytes(buffer)[::-1]
    ...     def decode(self, buffer, out=None):
    ...         return bytes(buffer)[::-1]
    >>> "reversed" in ndzarr.codecs()
    True
    >>> ndzarr.unregister_codec("reversed")
    """
    if cls is None:
        return lambda decorated: register_codec(decorated, name=name, replace=replace)
    _registry.register(cls, name=name, replace=replace)
    return cls


def unregister_codec(name: str) -> None:
    """Undo `register_codec`; a built-in of that name is seen again.

    >>> import ndzarr
    >>> _ = ndzarr.register_codec(ndzarr.get_codec("zlib"), name="squeeze")
    >>> ndzarr.unregister_codec("squeeze")
    >>> "squeeze" in ndzarr.codecs()
    False
    """
    _registry.unregister(name)


def codecs() -> dict[str, CodecInfo]:
    """Every codec that can be named, sorted: built in, registered, installed, and those that only numcodecs has."""
    import numcodecs.registry

    names = set(_registry.names())
    names.update(i for i in numcodecs.registry.codec_registry if i not in names and PREFIX + i not in names)
    return {name: _info(name) for name in sorted(names)}


def _info(name: str) -> CodecInfo:
    try:
        cls = get_codec(name)
    except Exception as error:  # a plug-in of somebody else's that does not load
        return CodecInfo(name, "", "", f"cannot be loaded: {error}", False)
    return CodecInfo(name, cls.kind, cls.version, cls.description, cls.available())


def get_codec(name: str) -> type[Codec]:
    """The class of the codec that documents call `name`; ArgumentError, with the nearest name, when there is none.

    Nothing is imported because of a name alone, so names in documents are safe to look up: only our own modules, what
    the user registered, configured or installed for ndzarr, and the codecs that numcodecs has loaded already.

    >>> import ndzarr
    >>> ndzarr.get_codec("zstd")
    <class 'ndzarr.codecs.zstd.ZstdCodec'>
    """
    cls = _find(str(name))
    if cls is None:
        raise ArgumentError(f"unknown codec {name!r}{_suggestion(str(name))}", codec=name, found=name)
    return cls


def _find(name: str) -> type[Codec] | None:
    rest = name.removeprefix(PREFIX)
    known = [n for n in (name, rest) if _registry.knows(n)]
    if not known and PREFIX + rest in _BUILTIN and name == rest:
        return None  # never numcodecs' codec under the name of a v3 codec that differs
    # What is built in or registered first: looking through what is installed takes milliseconds.
    for candidate in known or dict.fromkeys((name, rest)):
        cls = _registry.find(candidate)
        if cls is not None:
            return cls if issubclass(cls, Codec) else wrap(cls)
    import numcodecs.registry

    # Not `numcodecs.registry.get_codec`, which loads entry points by name.
    cls = numcodecs.registry.codec_registry.get(rest)
    return None if cls is None else wrap(cls)


def _suggestion(name: str) -> str:
    import difflib

    names = list(_registry.names())
    near = difflib.get_close_matches(name.removeprefix(PREFIX), names, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; the codecs are {', '.join(names)}"


def builtin(name: str) -> bool:
    """Whether `name`, with or without the prefix, is a codec of ours."""
    rest = name.removeprefix(PREFIX)
    return rest in _BUILTIN or PREFIX + rest in _BUILTIN


def registered(name: str) -> bool:
    """Whether `name`, exactly, is a codec that a user registered, configured or installed."""
    return name not in _BUILTIN and _registry.knows(name)


def version() -> int:
    """A number that changes when a name comes to stand for another codec of ours, or a user's own."""
    return _registry.version


def kind_of(name: str) -> str:
    """The kind of the codec that documents call `name`: "array->array", "array->bytes" or "bytes->bytes"."""
    return get_codec(name).kind


def create_codec(spec: CodecSpec, *, allow_pickle: bool = False) -> Codec:
    """The codec that `spec` describes.

    Raises ArgumentError when it is unknown, its configuration is not allowed, a library is missing, or it is `pickle`,
    which runs code from the store, and not `allow_pickle`.
    """
    cls = get_codec(spec.name)
    if getattr(cls, "unsafe", False) and not allow_pickle:
        raise ArgumentError(
            f"codec {spec.name!r} runs code that the stored data hold; pass allow_pickle=True if you trust who wrote them",
            codec=spec.name,
            field="allow_pickle",
        )
    if not cls.available():
        needs = getattr(cls, "needs", "a library that is not installed")
        raise ArgumentError(f"codec {spec.name!r} needs {needs}", codec=spec.name, found=spec.name)
    try:
        return cls.from_spec(spec.configuration)
    except NdzarrError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"codec {spec.name!r} does not take the configuration {dict(spec.configuration)!r}: {error}",
            codec=spec.name,
            found=dict(spec.configuration),
        ) from error
