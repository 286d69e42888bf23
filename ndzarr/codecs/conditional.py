"""The `conditional` codec: bytes->bytes codecs of which each object says which were applied.

https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/conditional. An object starts with a mask, bit 0 of its
first byte for the first codec. Which are applied is for the writer to decide; here it is the README's
"compress_if_smaller".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ndzarr._typing import Buffer, CodecSpec, Json
from ndzarr.codecs.base import BytesBytesCodec, ChunkSpec
from ndzarr.codecs.buffers import flat
from ndzarr.codecs.configuration import Fields, to_json
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import CorruptChunkError


@dataclass(frozen=True)
class ConditionalCodec(BytesBytesCodec):
    """`codecs`: what may be applied, in order. `header_bits`: the size of the mask, a multiple of 8.

    A codec whose output depends on the bytes, a compressor, is applied where it makes them fewer; those of equal size before it
    (shuffle) only prepare for it and share its lot. All others are applied always: what a checksum is for is not fewer bytes.
    """

    codecs: tuple[CodecSpec, ...]
    header_bits: int
    _steps: tuple[BytesBytesCodec, ...] = field(default=(), compare=False, repr=False)

    name = "conditional"
    description = "codecs that each object may leave out"
    decode_ns_per_byte = 1.0

    @classmethod
    def from_spec(cls, configuration: Mapping[str, Json]) -> ConditionalCodec:
        fields = Fields(cls.name, configuration)
        codecs = fields.chain("codecs")
        least = -(-len(codecs) // 8) * 8
        bits = fields.integer("header_bits", least, least, 1 << 16)
        if bits % 8:
            raise fields.bad("header_bits", bits, "a multiple of 8")
        fields.done()
        steps = []
        for n, spec in enumerate(codecs):
            codec = create_codec(spec)
            if not isinstance(codec, BytesBytesCodec):
                raise fields.bad(f"codecs[{n}]", spec.name, f"a bytes->bytes codec; it is {codec.kind}")
            steps.append(codec)
        return cls(codecs, bits, tuple(steps))

    def configuration(self) -> dict[str, Json]:
        return {"codecs": [to_json(spec) for spec in self.codecs], "header_bits": self.header_bits}

    def bind(self, spec: ChunkSpec) -> ConditionalCodec:
        # Each may be the first to be applied, or follow one that is not.
        steps = [step.bind(spec) for step in self._steps]
        return replace(self, _steps=tuple(step for step in steps if isinstance(step, BytesBytesCodec)))

    @property
    def _header(self) -> int:
        return self.header_bits // 8

    def max_encoded_size(self, nbytes: int) -> int | None:
        most: int | None = nbytes
        for step in self._steps:
            larger = None if most is None else step.max_encoded_size(most)
            most = None if larger is None or most is None else max(most, larger)
        return None if most is None else most + self._header

    def encoded_size(self, nbytes: int) -> int | None:
        return None if self._steps else nbytes + self._header

    def encode(self, data: Buffer) -> Buffer:
        mask = pending = 0
        done = prepared = flat(data)
        for n, step in enumerate(self._steps):
            pending |= 1 << n
            encoded = flat(step.encode(prepared))
            size = step.encoded_size(len(prepared))
            if size is None and len(encoded) >= len(done):
                # Not worth it, nor is what prepared for it.
                pending, prepared = 0, done
                continue
            prepared = encoded
            if size is None or size != len(done):
                mask, pending, done = mask | pending, 0, prepared
        mask, done = mask | pending, prepared
        return b"".join((mask.to_bytes(self._header, "little"), done))

    def decode(self, data: Buffer, *, size: int | None, limit: int, out: Buffer | None = None) -> Buffer:
        header = self._header
        if len(data) < header:
            raise CorruptChunkError(f"found {len(data)} bytes, the mask alone has {header}", found=len(data), expected=header)
        mask = int.from_bytes(data[:header], "little")
        if mask >> len(self._steps):
            raise CorruptChunkError(
                f"the mask {mask:#x} has bits of codecs that are not there; there are {len(self._steps)}",
                found=mask,
                expected=(1 << len(self._steps)) - 1,
            )
        # What went into each of the codecs that were applied: the exact size or None, and the most that it can be.
        sizes: list[tuple[BytesBytesCodec, int | None, int | None]] = []
        most: int | None = limit
        for n, step in enumerate(self._steps):
            if mask >> n & 1:
                sizes.append((step, size, most))
                size = None if size is None else step.encoded_size(size)
                most = size if size is not None else None if most is None else step.max_encoded_size(most)
        content: Buffer = memoryview(data)[header:]
        for step, exact, bound in reversed(sizes):
            allowed = exact if exact is not None else bound
            # Without a bound anywhere on the way there is still that of the whole: no codec here makes that much more.
            allowed = 2 * limit + 65536 if allowed is None else allowed
            content = flat(step.decode(content, size=exact, limit=allowed))
            if len(content) != exact and (exact is not None or len(content) > allowed):
                raise CorruptChunkError(
                    f"{step.name}: decoded to {len(content)} bytes, expected {allowed}", found=len(content), expected=allowed
                )
        return content
