"""Damaged objects: hypothesis changes, cuts and joins encoded bytes; nothing but a CorruptChunkError or an array comes out."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.config import options
from ndzarr.errors import CorruptChunkError
from tests.fuzzing.chains import CHAINS, CHECKED

#: 100,000 in the long run of promise P10: NDZARR_MUTATIONS=100000.
EXAMPLES = int(os.environ.get("NDZARR_MUTATIONS", "300"))


@st.composite
def mutations(draw, encoded: bytes) -> bytes:
    data = bytearray(encoded)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(len(data), 40)) | st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "word", "cut", "insert", "repeat", "end"]))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "word":
            odd = st.sampled_from([0, 1, 16, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data)])
            word = draw(odd | st.integers(0, 2**32 - 1))
            data[at : at + 4] = word.to_bytes(4, "little")
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "repeat":
            data += data[at : at + 400]
        else:
            del data[at:]
    return bytes(data)


def check_error(error: CorruptChunkError, names: list[str]) -> None:
    assert error.codec in names
    assert error.codec in str(error)


@pytest.mark.parametrize("name", CHAINS)
def test_mutated_objects(name):
    chain, array = CHAINS[name]
    pipeline = build([CodecSpec(*step) for step in chain], ChunkSpec(array.shape, array.dtype))
    encoded = bytes(pipeline.encode(array))
    names = [codec.name for codec in pipeline.codecs]
    out = None if array.dtype.hasobject or array.dtype.kind == "T" else np.empty_like(array)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(mutations(encoded), st.booleans())
    def run(data: bytes, into: bool) -> None:
        try:
            found = pipeline.decode(data, out if into else None)
        except CorruptChunkError as error:
            check_error(error, names)
            return
        assert (found.shape, found.dtype) == (array.shape, array.dtype)
        assert data == encoded or name not in CHECKED

    # Where the decoded size is not known: a limit, or an 8-byte change has lz4 ask for gigabytes.
    with options(max_object=1 << 22):
        run()


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("data", [b"", b"\0", bytes(16), b"\xff" * 16, bytes(5000), b"\xff" * 5000], ids=len)
def test_other_objects(name, data):
    chain, array = CHAINS[name]
    pipeline = build([CodecSpec(*step) for step in chain], ChunkSpec(array.shape, array.dtype))
    with options(max_object=1 << 22):
        try:
            found = pipeline.decode(data)
        except CorruptChunkError as error:
            check_error(error, [codec.name for codec in pipeline.codecs])
        else:
            assert (found.shape, found.dtype) == (array.shape, array.dtype)
            # Zeros are blocks of zeros to zfp, which does not say how long a stream is.
            assert len(data) == pipeline.max_encoded or pipeline.codecs[0].name == "zfp"


def test_every_codec_of_ours_is_mutated():
    from ndzarr.codecs.registry import codecs

    used = {step[0] for chain, _ in CHAINS.values() for step in chain} | {"bytes"}
    used |= {name.removeprefix("numcodecs.") for name in used}
    # `none` does nothing, damaged pickles would be run, and shards are damaged in tests of their own.
    assert {n for n, info in codecs().items() if info.available} - used <= {"none", "pickle", "sharding_indexed"}
