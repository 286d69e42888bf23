"""Buffers between codecs, and the smallest codecs by themselves."""

from __future__ import annotations

import array
import sys

import numpy as np
import pytest

from ndzarr.codecs import zstd
from ndzarr.codecs.buffers import as_bytes, flat, from_bytes
from ndzarr.codecs.none import NoneCodec
from ndzarr.codecs.zstd import ZstdCodec

NUMBERS = np.arange(6, dtype="<i4").reshape(2, 3)


@pytest.mark.parametrize(
    "buffer",
    [
        NUMBERS.tobytes(),
        bytearray(NUMBERS.tobytes()),
        memoryview(NUMBERS.tobytes()),
        memoryview(NUMBERS),
        NUMBERS,
        NUMBERS.reshape(-1).view("<M8[s]"),
        array.array("i", range(6)),
    ],
    ids=lambda b: type(b).__name__,
)
def test_flat(buffer):
    found = flat(buffer)
    assert type(found) is bytes or (found.format == "B" and found.ndim == 1)
    assert len(found) == 24
    assert bytes(found) == NUMBERS.tobytes()
    assert from_bytes(found).tolist() == list(NUMBERS.tobytes())
    if not isinstance(buffer, bytes):
        assert np.may_share_memory(from_bytes(found), np.frombuffer(flat(buffer), "u1"))


def test_nothing():
    assert len(flat(np.empty((3, 0), "<M8[s]"))) == 0
    assert as_bytes(np.empty((0,), "<f8")).dtype == np.uint8
    assert from_bytes(b"").shape == (0,)


def test_what_is_no_buffer():
    for wrong in (None, 5, "text", [1]):
        with pytest.raises(TypeError):
            flat(wrong)


def test_none():
    codec = NoneCodec.from_spec({})
    assert codec.configuration() == {}
    assert codec.encode(b"abc") == codec.decode(b"abc", size=3, limit=3) == b"abc"
    assert codec.encoded_size(3) == 3


def test_zstandard_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    zstd._zstandard.forget()
    zstd._threads.__dict__.clear()
    try:
        assert zstd._context() is None
        assert bytes(ZstdCodec().decode(ZstdCodec().encode(b"abc"), size=3, limit=3)) == b"abc"
    finally:
        monkeypatch.undo()
        zstd._zstandard.forget()
        zstd._threads.__dict__.clear()
    assert zstd._context() is zstd._context() is not None
