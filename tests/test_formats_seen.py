"""Documents seen before: what is kept means what parsing anew would."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.codecs.base import BytesBytesCodec
from ndzarr.formats import v2, v3
from ndzarr.formats.seen import Seen
from ndzarr.layout import compile_layout
from ndzarr.metadata import ArrayMeta


def document(version: int, **fields: Any) -> dict[str, Any]:
    z = ndzarr.create_array(None, shape=(4, 6), dtype="f4", chunks=(2, 3), zarr_format=version)
    name = ".zarray" if version == 2 else "zarr.json"
    return {**json.loads(bytes(z.store.get(name) or b"")), **fields}


def understood(seen: Seen, version: int, found: dict[str, Any], attributes: dict[str, Any]) -> ArrayMeta:
    meta = seen.array_v2(found, attributes, "x") if version == 2 else seen.node_v3({**found, "attributes": attributes}, "x")
    assert isinstance(meta, ArrayMeta)
    return meta


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_alike_share_all_but_their_attributes(version: int) -> None:
    seen = Seen(4)
    one = understood(seen, version, document(version), {"units": "K", "_ARRAY_DIMENSIONS": ["y", "x"]})
    two = understood(seen, version, document(version), {"units": "m"})
    assert (one.attributes["units"], two.attributes["units"]) == ("K", "m")
    assert "_ARRAY_DIMENSIONS" not in two.attributes
    assert one.dimension_names == (("y", "x") if version == 2 else None)
    assert two.dimension_names is None
    assert two.codecs is one.codecs
    assert compile_layout(one, "a").uniform is compile_layout(two, "b").uniform
    assert compile_layout(two, "b").key((0, 1)) == ("b/0.1" if version == 2 else "b/c/0/1")


@pytest.mark.parametrize(("a", "b"), [(0, False), (0.0, -0.0), (1, True), (1, 1.0), (math.nan, 0)])
def test_numbers_that_only_python_calls_equal_are_told_apart(a: Any, b: Any) -> None:
    seen = Seen(8)
    for fill in (a, b, a):
        found = document(3, fill_value=fill)
        try:
            want: Any = v3.array_from_json(found).fill_value
        except ndzarr.MetadataError:
            with pytest.raises(ndzarr.MetadataError):
                seen.node_v3(found, "x")
        else:
            got = understood(seen, 3, found, {}).fill_value
            assert np.float32(got).tobytes() == np.float32(want).tobytes()


def test_a_damaged_document_is_refused_each_time() -> None:
    seen = Seen(8)
    for _ in range(2):
        with pytest.raises(ndzarr.MetadataError, match="shape"):
            seen.node_v3(document(3, shape=[-1]), "x")
        with pytest.raises(ndzarr.MetadataError, match="attributes"):
            seen.node_v3(document(3, attributes=[]), "x")
    understood(seen, 3, document(3), {})
    with pytest.raises(ndzarr.MetadataError, match="attributes"):
        seen.node_v3(document(3, attributes=[]), "x")


def test_only_so_many_are_kept_and_no_long_ones() -> None:
    seen = Seen(3)
    for n in range(10):
        assert understood(seen, 3, document(3, shape=[n, 6]), {}).shape == (n, 6)
        assert len(seen._held) <= 3
    seen = Seen(3)
    grid = {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [list(range(1, 4000)), 3]}}
    understood(seen, 3, document(3, chunk_grid=grid), {})
    assert not seen._held


@pytest.mark.parametrize("version", [2, 3])
def test_what_a_caller_does_to_metadata_is_his_own(version: int, tmp_path: Path) -> None:
    ndzarr.create_array(tmp_path, shape=(4,), dtype="f4", chunks=(2,), compressor="zstd", zarr_format=version)
    meta = ndzarr.open_array(tmp_path).metadata
    meta.codecs[-1].configuration["level"] = 99
    meta.extra["x"] = 1
    again = ndzarr.open_array(tmp_path).metadata
    assert again.codecs[-1].configuration["level"] == 1
    assert "x" not in again.extra


def test_a_codec_registered_anew_counts_for_arrays_opened_after_it(tmp_path: Path) -> None:
    class Turned(BytesBytesCodec):
        name = "zstd"

        @classmethod
        def from_spec(cls, configuration: Any) -> Turned:
            return cls()

        def configuration(self) -> dict[str, Any]:
            return {}

        def encode(self, data: Any) -> Any:
            return bytes(data)[::-1]

        def decode(self, data: Any, *, size: int | None, limit: int, out: Any = None) -> Any:
            return bytes(data)[::-1]

    ndzarr.create_array(tmp_path / "z", shape=(4,), dtype="u1", chunks=(4,), compressor="zstd")[...] = [1, 2, 3, 4]
    np.testing.assert_array_equal(ndzarr.open_array(tmp_path / "z")[:], [1, 2, 3, 4])
    ndzarr.register_codec(Turned, replace=True)
    try:
        (tmp_path / "z/c/0").write_bytes(bytes([4, 3, 2, 1]))
        np.testing.assert_array_equal(ndzarr.open_array(tmp_path / "z")[:], [1, 2, 3, 4])
    finally:
        ndzarr.unregister_codec("zstd")
    with pytest.raises(ndzarr.CorruptChunkError):
        ndzarr.open_array(tmp_path / "z")[:]


def test_cells_of_other_peoples_codecs_are_made_for_each_array(tmp_path: Path) -> None:
    from numcodecs.abc import Codec
    from numcodecs.registry import codec_registry

    class Plus(Codec):
        codec_id = "seen_plus"
        add = 1

        def encode(self, buf: Any) -> Any:
            return bytes((b + self.add) % 256 for b in bytes(buf))

        def decode(self, buf: Any, out: Any = None) -> Any:
            return bytes((b - self.add) % 256 for b in bytes(buf))

    class Two(Plus):
        add = 2

    try:
        codec_registry["seen_plus"] = Plus
        made = ndzarr.create_array(tmp_path, shape=(2,), dtype="u1", chunks=(2,), compressor={"id": "seen_plus"}, zarr_format=2)
        made[...] = [5, 6]
        np.testing.assert_array_equal(ndzarr.open_array(tmp_path)[:], [5, 6])
        codec_registry["seen_plus"] = Two  # as when a cell of a notebook is run again
        np.testing.assert_array_equal(ndzarr.open_array(tmp_path)[:], [4, 5])
    finally:
        codec_registry.pop("seen_plus", None)


def test_pickles_are_asked_for_each_time(tmp_path: Path) -> None:
    ndzarr.create_array(
        tmp_path, shape=(2,), dtype=object, filters=[{"id": "pickle"}], zarr_format=2, allow_pickle=True, fill_value=None
    )
    for _ in range(2):
        ndzarr.open_array(tmp_path, allow_pickle=True)
        with pytest.raises(ndzarr.MetadataError, match="allow_pickle"):
            ndzarr.open_array(tmp_path)


def test_v2_documents_of_one_array_with_other_fields_are_told_apart() -> None:
    seen = Seen(8)
    plain = understood(seen, 2, document(2), {})
    turned = understood(seen, 2, document(2, order="F"), {})
    assert (plain.order, turned.order) == ("C", "F")
    assert v2.array_from_json(document(2, order="F"), {}).codecs == turned.codecs
