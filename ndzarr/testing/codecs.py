"""The codec suite: what every codec must do, runnable by whoever writes one.

Subclass `CodecSuite` in a test module, say which codec and for which dtypes, and pytest runs it:

    class TestMine(CodecSuite):
        spec = CodecSpec("mine", {"level": 3})
        dtypes = ("<i4", "<f8")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest

from ndzarr._typing import CodecSpec, NDArray, Shape
from ndzarr.codecs.base import BytesBytesCodec, ChunkSpec, Codec
from ndzarr.codecs.pipeline import Pipeline, build
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import ArgumentError, CorruptChunkError

__all__ = ["CodecSuite"]


def _text(rng: np.random.Generator, n: int) -> list[str]:
    return ["".join(chr(c) for c in rng.choice([65, 97, 0xE9, 0x4E2D, 0x1F600], k)) for k in rng.integers(0, 9, n)]


class CodecSuite:
    """Subclass it and set `spec`; the other attributes say what the codec promises beyond the least."""

    #: The codec under test, registered.
    spec: ClassVar[CodecSpec]
    #: Codecs that go before it, such as what turns objects into bytes.
    before: ClassVar[Sequence[CodecSpec]] = ()
    dtypes: ClassVar[Sequence[str]] = ("|b1", "|u1", "<i4", ">i4", "<f4", "<f8", "<c16", "<M8[s]", "|S3", "<U2")
    shapes: ClassVar[Sequence[Shape]] = ((), (0,), (1,), (7,), (64,), (3, 0), (5, 8), (2, 3, 16))
    #: False where what is decoded is not exactly what was encoded.
    lossless: ClassVar[bool] = True
    #: Whether `pickle` and its like are allowed.
    allow_pickle: ClassVar[bool] = False
    #: Whether every changed byte of an object is found.
    detects_changes: ClassVar[bool] = False

    # ---- what the tests are made of -------------------------------------------------------------------------------

    def values(self, dtype: str, shape: Shape) -> NDArray:
        """An array to encode: the same one each time. Override it for values that the codec is particular about."""
        rng = np.random.default_rng([len(shape), *shape])
        wanted = np.dtype(dtype)
        n = int(np.prod(shape))
        flat: NDArray = np.empty(n, wanted)
        if wanted.kind == "O":
            flat[:] = np.fromiter(_text(rng, n), object, n)
        elif wanted.kind in "SU":
            flat[:] = ["abcdefgh"[:k] for k in rng.integers(0, 9, n)]
        elif wanted.kind == "V":
            flat = np.frombuffer(rng.bytes(flat.nbytes), np.uint8).view(wanted) if n else flat
        else:
            flat[:] = np.round(rng.normal(0, 20, n)).clip(0 if wanted.kind == "u" else -99, 99).astype("i8").astype(wanted)
        return flat.reshape(shape)

    def pipeline(self, dtype: str, shape: Shape) -> Pipeline:
        """The codec in a chain of its own."""
        chunk = ChunkSpec(shape, np.dtype(dtype))
        return build([*self.before, self.spec], chunk, allow_pickle=self.allow_pickle)

    def codec(self) -> Codec:
        """The codec by itself."""
        return create_codec(self.spec, allow_pickle=self.allow_pickle)

    def cases(self) -> Iterator[tuple[Pipeline, NDArray]]:
        """Each dtype and shape: the pipeline and the values to send through it."""
        for dtype in self.dtypes:
            for shape in self.shapes:
                yield self.pipeline(dtype, shape), self.values(dtype, shape)

    def check_equal(self, found: NDArray, wanted: NDArray) -> None:
        """Raise AssertionError unless `found` is what decoding should give for `wanted`."""
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        if self.lossless:
            if found.dtype.hasobject:
                assert found.tolist() == wanted.tolist()
            else:
                assert np.ascontiguousarray(found).tobytes() == wanted.tobytes()

    def sample(self) -> tuple[Pipeline, NDArray, bytes]:
        """One pipeline with values of some length, and the object that it makes of them."""
        pipeline, array = self.pipeline(self.dtypes[0], (64,)), self.values(self.dtypes[0], (64,))
        return pipeline, array, bytes(pipeline.encode(array))

    # ---- the tests --------------------------------------------------------------------------------

    def test_round_trip(self) -> None:
        for pipeline, array in self.cases():
            self.check_equal(pipeline.decode(bytes(pipeline.encode(array))), array)

    def test_round_trip_of_a_strided_chunk(self) -> None:
        for dtype in self.dtypes:
            array = self.values(dtype, (6, 8)).T[::-1, ::2]
            pipeline = self.pipeline(dtype, array.shape)
            self.check_equal(pipeline.decode(bytes(pipeline.encode(array))), array)

    def test_decodes_any_buffer(self) -> None:
        pipeline, array, encoded = self.sample()
        for wrap in (bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)):
            self.check_equal(pipeline.decode(wrap(encoded)), array)
        # Bytes in the middle of a larger buffer: nothing may be read beyond them, nor need they be aligned.
        self.check_equal(pipeline.decode(memoryview(b"\xff" * 3 + encoded + b"\xff" * 64)[3:-64]), array)

    def test_decodes_into_out(self) -> None:
        for pipeline, array in self.cases():
            out = np.empty(array.shape, array.dtype)
            self.check_equal(pipeline.decode(bytes(pipeline.encode(array)), out), array)

    def test_encode_repeats_itself_and_leaves_its_input(self) -> None:
        for pipeline, array in self.cases():
            before = array.copy()
            first, second = bytes(pipeline.encode(array)), bytes(pipeline.encode(array))
            assert first == second
            assert before.tolist() == array.tolist()

    def test_object_is_within_its_bound(self) -> None:
        for pipeline, array in self.cases():
            encoded = pipeline.encode(array)
            assert isinstance(encoded, bytes | memoryview)
            assert pipeline.max_encoded is None or len(encoded) <= pipeline.max_encoded
            if pipeline.raw:
                assert len(encoded) == pipeline.max_encoded == array.nbytes

    def test_configuration_round_trips(self) -> None:
        codec = self.codec()
        again = type(codec).from_spec(codec.configuration())
        assert again.configuration() == codec.configuration()
        assert again == codec
        # A configuration that leaves things out is completed, never changed.
        found = codec.configuration()
        assert all(found[key] == value for key, value in self.spec.configuration.items())

    def test_unknown_field_is_refused(self) -> None:
        with pytest.raises(ArgumentError, match="no_such_field"):
            create_codec(
                CodecSpec(self.spec.name, {**self.codec().configuration(), "no_such_field": 1}),
                allow_pickle=self.allow_pickle,
            )

    def test_truncated_empty_and_extended(self) -> None:
        pipeline, _, encoded = self.sample()
        shorter = [encoded[:n] for n in sorted({0, 1, 3, 4, 5, 15, 16, 17, len(encoded) // 2, len(encoded) - 1})]
        damaged = [b for b in shorter if len(b) < len(encoded)]
        damaged += [encoded + b"\0", encoded + b"\xff" * 5, encoded + encoded[: len(encoded) // 2]]
        for data in damaged:
            with pytest.raises(CorruptChunkError) as info:
                pipeline.decode(data)
            assert info.value.codec in [codec.name for codec in pipeline.codecs]

    def test_damage_is_found_or_gives_an_array(self) -> None:
        pipeline, array, encoded = self.sample()
        rng = np.random.default_rng(0)
        for n in range(200):
            data = bytearray(encoded)
            if n % 4 == 3:
                data[:] = rng.bytes(len(data))
            for at in rng.integers(0, len(data), 1 + n % 3):
                data[at] ^= 1 << int(rng.integers(8))
            self.decode_damaged(pipeline, array, encoded, bytes(data))

    def decode_damaged(self, pipeline: Pipeline, array: NDArray, encoded: bytes, data: bytes) -> None:
        """Decode bytes that may be damaged: either a CorruptChunkError, or an array like the one that was encoded."""
        found = None
        with suppress(CorruptChunkError):
            found = pipeline.decode(data)
        if found is None:
            return
        assert (found.shape, found.dtype) == (array.shape, array.dtype)
        assert data == encoded or not self.detects_changes

    def test_limit_is_kept(self) -> None:
        codec = self.codec()
        if not isinstance(codec, BytesBytesCodec):
            return
        content = bytes(range(256)) * 16
        encoded = bytes(codec.encode(content))
        assert bytes(codec.decode(encoded, size=None, limit=len(content))) == content
        smaller = build([self.spec], ChunkSpec((len(content) // 2,), np.dtype("u1")))
        with pytest.raises(CorruptChunkError):
            smaller.decode(encoded)

    def test_threads(self) -> None:
        pipeline, array, encoded = self.sample()

        def work(n: int) -> None:
            for _ in range(25):
                assert bytes(pipeline.encode(array)) == encoded
                out = np.empty(array.shape, array.dtype) if n % 2 else None
                self.check_equal(pipeline.decode(encoded, out), array)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
