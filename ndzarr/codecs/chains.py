"""Chains of codecs in the words of the one format or the other: `to_v3` and `to_v2`.

v3 names the array->bytes step and wants the kinds in order (https://zarr-specs.readthedocs.io/en/latest/v3/core/#codecs);
v2 has no such step, and its filters come in any order. Codecs of numcodecs that v3 does not register are called
"numcodecs.<id>" there (https://github.com/zarr-developers/zarr-extensions/tree/main/codecs).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ndzarr._typing import CodecSpec, DType, Json
from ndzarr.codecs.base import ArrayArrayCodec, ArrayBytesCodec, ChunkSpec, Codec
from ndzarr.codecs.bytes import BytesCodec, has_order
from ndzarr.codecs.none import NoneCodec
from ndzarr.codecs.number import number
from ndzarr.codecs.numcodecs_filter import NumcodecsFilter
from ndzarr.codecs.registry import PREFIX, builtin, create_codec, registered
from ndzarr.codecs.transpose import TransposeCodec
from ndzarr.errors import ArgumentError

#: What both formats have, with the name that v3 registers.
_BOTH = {"bitround", "blosc", "crc32c", "gzip", "vlen-bytes", "vlen-utf8", "zstd"}
#: What v3 has alone. Plain "packbits" is its own, "numcodecs.packbits" is not.
_V3_ONLY = {
    "bytes",
    "cast_value",
    "conditional",
    "endian",
    "n5_default",
    "packbits",
    "reshape",
    "scale_offset",
    "sharding_indexed",
    "transpose",
    "zfp",
}
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
#: The fields of numcodecs' filters that hold dtypes of the array or of what becomes of it.
_DTYPES = ("dtype", "astype", "encode_dtype", "decode_dtype")


def to_v3(specs: Sequence[CodecSpec], spec: ChunkSpec, *, endian: str | None = None) -> tuple[CodecSpec, ...]:
    """The chain as a v3 document names it: array->array codecs, exactly one array->bytes, bytes->bytes codecs.

    `specs`: as `normalize_all` gives them, or already in v3's words. `spec`: the chunks that go in; they may be those of a
    v2 array, of a byte order other than native. `endian`: that of the `bytes` step where one is put in and the elements
    have a byte order; None is the order that they have, so that the chain makes the bytes which it made before.

    Raises ArgumentError for a chain that v3 cannot say, naming the codec, and what `create_codec` raises.
    """
    before = spec
    now = ChunkSpec(spec.shape, _native(spec.dtype), _fill(spec))
    chain: list[CodecSpec] = []
    giver: str | None = None  # the codec after which there are bytes
    after_bytes = False  # only the `bytes` step was there so far: what follows gets elements
    for item in specs:
        codec = create_codec(item, allow_pickle=True)
        if isinstance(codec, NoneCodec):
            continue
        if isinstance(codec, ArrayArrayCodec | ArrayBytesCodec) and giver is not None:
            raise ArgumentError(
                f"codec {item.name!r} takes an array and cannot follow {giver!r}, which gives bytes; Zarr format 3 has no such "
                "chain",
                codec=item.name,
                field="filters",
            )
        if isinstance(codec, ArrayArrayCodec):
            here, configuration = _natively(codec, item, before)
            # On floats the registered `bitround` and numcodecs' are the same; zarr-python reads the second name alone.
            known = codec.name == "bitround" and _numcodecs_rounds(configuration["keepbits"], before.dtype)
            chain.append(CodecSpec(PREFIX + codec.name if known else _name(item), configuration))
            old: ArrayArrayCodec = codec.bind(before)  # type: ignore[assignment]  # binding does not change the kind
            new: ArrayArrayCodec = here.bind(now)  # type: ignore[assignment]  # as above
            before, now = old.resolve(before), new.resolve(now)
            continue
        if isinstance(codec, ArrayBytesCodec):
            codec.bind(before)
            step = _bytes(before.dtype, codec.endian or endian) if isinstance(codec, BytesCodec) else _said(codec, item)
            after_bytes = isinstance(codec, BytesCodec)
            chain.append(step)
            giver = step.name
            continue
        if giver is None:
            chain.append(_bytes(before.dtype, endian))
            giver, after_bytes = chain[-1].name, chain[-1].name == "bytes"
        size = now.dtype.itemsize if after_bytes else 1
        chain.append(_blosc(codec.configuration(), size) if codec.name == "blosc" else _said(codec, item))
        giver, after_bytes = item.name, False
    if giver is None:
        chain.append(_bytes(before.dtype, endian))
    return tuple(chain)


def to_v2(specs: Sequence[CodecSpec], spec: ChunkSpec | None = None) -> tuple[CodecSpec, ...]:
    """The chain of a v3 document as v2 names it; its `bytes` step is there only where it has an `endian`.

    A `transpose` that comes first and reverses all axes is kept: it is v2's order "F". `spec`: the chunks that go in, if
    known; numcodecs rounds the bits of floats only. Raises ArgumentError naming the codec that v2 cannot say.
    """
    chain: list[CodecSpec] = []
    for n, item in enumerate(specs):
        codec = create_codec(item, allow_pickle=True)
        if isinstance(codec, NoneCodec):
            continue
        if isinstance(codec, BytesCodec):
            if codec.endian is not None:
                chain.append(CodecSpec("bytes", codec.configuration()))
            continue
        if isinstance(codec, TransposeCodec):
            kept = _order(codec, item, n, spec)
            chain += [] if kept is None else [kept]
        else:
            kept = _numcodec(codec, item, spec)
            chain += [] if kept is None else [kept]
        if isinstance(codec, ArrayArrayCodec) and spec is not None:
            bound: ArrayArrayCodec = codec.bind(spec)  # type: ignore[assignment]  # binding does not change the kind
            spec = bound.resolve(spec)
    return tuple(chain)


def _order(codec: TransposeCodec, item: CodecSpec, n: int, spec: ChunkSpec | None) -> CodecSpec | None:
    """A transpose that v2 can say; None for one that does nothing."""
    if codec.letter is not None and spec is None:
        raise _unsaid(item, "an order that is a letter in place of axes")
    order = codec.order if spec is None else codec.bind(spec).order
    if order == tuple(range(len(order))):
        return None
    if n or order != tuple(range(len(order)))[::-1]:
        raise _unsaid(item, f"the order {list(order)}; it has order 'F' for the chunk as it is, which reverses all axes")
    return CodecSpec("transpose", {"order": list(order)})


def _numcodec(codec: Codec, item: CodecSpec, spec: ChunkSpec | None) -> CodecSpec | None:
    """A codec as numcodecs has it; None for one that does nothing."""
    if item.name in _V3_ONLY:
        raise _unsaid(item, "such a codec")
    configuration = codec.configuration()
    if codec.name == "bitround" and spec is not None:
        if number(spec.dtype) is None or spec.dtype.kind != "f":
            raise _unsaid(item, f"it for dtype {spec.dtype}")
        if not _numcodecs_rounds(configuration["keepbits"], spec.dtype):
            return None
    elif codec.name == "blosc":
        shuffle = configuration["shuffle"]
        configuration["shuffle"] = _SHUFFLES.index(shuffle) if shuffle in _SHUFFLES else shuffle
        configuration.pop("typesize", None)  # numcodecs takes it from the array, and reads it from the chunk
    elif codec.name == "crc32c":
        configuration.setdefault("location", "end")
    return CodecSpec(PREFIX + item.name.removeprefix(PREFIX), configuration)


def _numcodecs_rounds(keepbits: int, dtype: DType) -> bool:
    """Whether numcodecs' bitround takes the dtype; it refuses to write what rounds nothing."""
    of = number(dtype)
    return of is not None and dtype.kind == "f" and dtype.itemsize > 1 and keepbits < of.precision - 1


def _name(item: CodecSpec) -> str:
    """What v3 calls the codec."""
    plain = item.name.removeprefix(PREFIX)
    if plain in _BOTH or item.name in _V3_ONLY:
        return plain
    if builtin(item.name):
        return PREFIX + plain
    # What a user registered has the name that it was given; what only numcodecs knows has the prefix.
    return next((name for name in (plain, item.name) if registered(name)), PREFIX + plain)


def _said(codec: Codec, item: CodecSpec) -> CodecSpec:
    """A codec whose configuration needs no knowledge of the chunk."""
    name, configuration = _name(item), codec.configuration()
    if codec.name == "gzip" and configuration["level"] == -1:
        configuration["level"] = 6  # what zlib takes -1 for
    if codec.name == "crc32c" and "location" in configuration:
        if configuration["location"] == "start":
            name = PREFIX + codec.name  # the registered one has it at the end
        else:
            configuration.pop("location")
    return CodecSpec(name, configuration)


def _blosc(configuration: Mapping[str, Json], size: int) -> CodecSpec:
    """With what v3 wants to be recorded: the shuffle that is meant by -1, and the typesize."""
    typesize = configuration.get("typesize") or (size if 0 < size <= 255 else 1)
    shuffle = configuration["shuffle"]
    if shuffle not in _SHUFFLES:
        shuffle = _SHUFFLES[shuffle if shuffle >= 0 else 2 if typesize == 1 else 1]
    found = {"cname": configuration["cname"], "clevel": configuration["clevel"], "shuffle": shuffle, "typesize": typesize}
    return CodecSpec("blosc", {**found, "blocksize": configuration["blocksize"]})


def _bytes(dtype: DType, endian: str | None) -> CodecSpec:
    """The array->bytes step where the chain names none."""
    if dtype.kind == "T":
        return CodecSpec("vlen-utf8")
    if dtype.kind == "O":
        return CodecSpec("vlen-bytes")
    if not has_order(dtype):
        return CodecSpec("bytes")
    return CodecSpec("bytes", {"endian": endian or _endian(dtype)})


def _endian(dtype: DType) -> str:
    """The byte order that the elements of `dtype` have in memory."""
    found = {_LETTERS[letter] for letter in _letters(dtype)}
    if len(found) > 1:
        raise ArgumentError(f"the fields of dtype {dtype} have both byte orders; Zarr format 3 has one for all", field="dtype")
    return found.pop()


_LETTERS = {"<": "little", ">": "big", "=": sys.byteorder}


def _letters(dtype: DType) -> list[str]:
    if dtype.subdtype is not None:
        return _letters(dtype.subdtype[0])
    if dtype.fields is not None:
        return [letter for field in dtype.fields.values() for letter in _letters(field[0])]
    return [dtype.byteorder] if has_order(dtype) else []


def _native(dtype: DType) -> DType:
    native: DType = dtype.newbyteorder("=") if has_order(dtype) else dtype
    return native


def _fill(spec: ChunkSpec) -> Any:
    if spec.fill_value is None or not has_order(spec.dtype):
        return spec.fill_value
    return np.array([spec.fill_value], spec.dtype).astype(_native(spec.dtype))[0]


def _natively(codec: ArrayArrayCodec, item: CodecSpec, spec: ChunkSpec) -> tuple[ArrayArrayCodec, dict[str, Json]]:
    """The codec for arrays of native byte order, and its configuration. numcodecs' filters say which order they expect."""
    configuration = codec.configuration()
    if not isinstance(codec, NumcodecsFilter):
        return codec, configuration
    if spec.dtype != _native(spec.dtype) and codec.source.itemsize != spec.dtype.itemsize:
        raise ArgumentError(
            f"codec {item.name!r} sees elements of dtype {spec.dtype.str!r} as {codec.source.str!r}; Zarr format 3 has another "
            "byte order in memory, in which those are other numbers",
            codec=item.name,
            field="dtype",
            found=codec.source.str,
        )
    for field in _DTYPES:
        if isinstance(configuration.get(field), str):
            configuration[field] = _native(np.dtype(configuration[field])).str
    native: ArrayArrayCodec = create_codec(CodecSpec(item.name, configuration))  # type: ignore[assignment]  # of the same class
    return native, configuration


def _unsaid(item: CodecSpec, what: str) -> ArgumentError:
    return ArgumentError(
        f"codec {item.name!r}: Zarr format 2 does not have {what}", codec=item.name, field="codecs", found=item.name
    )
