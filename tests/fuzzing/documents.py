"""Metadata documents of both formats, consolidated ones among them, changed by their structure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

import ndzarr
from ndzarr.errors import DataError, MemoryLimitError, NodeNotFoundError
from tests.fuzzing import mutators
from tests.fuzzing.subjects import CHANGED, UNCHANGED, Subject, refused


class DocumentSubject(Subject):
    """One document of a hierarchy. Whatever it says afterwards: the nodes are opened, shown and read, or refused by name."""

    chunk_nbytes = 4 << 20  # a chunk may be said to be large

    def __init__(self, name: str, store: Mapping[str, bytes], key: str, row: str, share: float = 1.0) -> None:
        self.name, self.row, self.share = name, row, share
        self.store, self.key = dict(store), key
        self.goods = [store[key]]
        #: Documents whose pieces are put into this one; set once all are known.
        self.others: list[bytes] = []

    def mutate(self, rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return mutators.damaged(rng, self.goods[0], self.others)
        return mutators.document(rng, self.goods[0], self.others)

    def judge(self, data: bytes, way: int) -> str:
        try:
            _look(ndzarr.open({**self.store, self.key: data}))
        except Exception as error:
            return refused(error, DataError, MemoryLimitError, NodeNotFoundError, names=_named)
        return UNCHANGED if data == self.goods[0] else CHANGED


def _named(error: Any) -> bool:
    return bool(error.key or error.field or error.codec or error.path) or isinstance(error, MemoryLimitError)


def _look(node: Any) -> None:
    repr(node)
    dict(node.attrs)
    if isinstance(node, ndzarr.Group):
        str(node.tree())
        for _, child in node.members():
            _look(child)
        return
    repr(node.info)
    assert node.nbytes == node.size * node.dtype.itemsize
    _ = node.fill_value, node.nchunks, node.dimension_names, node.nbytes_stored
    if node.ndim <= 8 and node.size:
        node[(0,) * node.ndim]
        node[(-1,) * node.ndim]
        node[(slice(0, 2),) * node.ndim]


def _stores() -> dict[str, tuple[dict[str, bytes], str, str]]:
    values = np.arange(24).reshape(4, 6)
    found: dict[str, tuple[dict[str, bytes], str, str]] = {}

    def array(name: str, document: str, data: Any = values, **keywords: Any) -> None:
        store: dict[str, bytes] = {}
        z = ndzarr.create_array(store, shape=data.shape, attributes={"units": "K", "n": [1, {"a": None}]}, **keywords)
        z[...] = data
        found[name] = ({key: bytes(value) for key, value in store.items()}, document, document)

    words = np.array(["a", "bc", "", "déf"], object)
    record = np.zeros(4, [("a", "<i4"), ("b", "<f8", (2,)), ("c", "S3")])
    delta = [{"id": "delta", "dtype": "<i4"}]
    array("v2", ".zarray", dtype="<i4", chunks=(2, 3), compressor="zlib", filters=delta, zarr_format=2)
    array("v2 raw F", ".zarray", dtype=">f8", chunks=(2, 3), compressor=None, order="F", fill_value=np.nan, zarr_format=2)
    array("v2 blosc", ".zarray", dtype="<i2", chunks=(4, 6), compressor="blosc", zarr_format=2)
    array("v2 words", ".zarray", words, dtype=object, chunks=(2,), filters=[{"id": "vlen-utf8"}], zarr_format=2)
    array("v2 records", ".zarray", record, dtype=record.dtype, chunks=(2,), compressor="lz4", zarr_format=2)
    array("v2 times", ".zarray", values.astype("M8[s]"), dtype="<M8[s]", chunks=(2, 6), compressor=None, zarr_format=2)
    array("v3", "zarr.json", dtype="<i4", chunks=(2, 3), dimension_names=("y", "x"), zarr_format=3)
    array("v3 shards", "zarr.json", dtype="<u2", chunks=(2, 3), shards=(4, 6), checksum=True, zarr_format=3)
    array("v3 lengths", "zarr.json", dtype="<f4", chunks=([1, 3], [2, 2, 2]), compressor="gzip", zarr_format=3)
    array("v3 text", "zarr.json", words.astype(np.dtypes.StringDType()), dtype=np.dtypes.StringDType(), zarr_format=3)
    array("v3 complex", "zarr.json", dtype="c16", chunks=(4, 6), fill_value=1 + 2j, compressor="blosc", zarr_format=3)
    flat = np.zeros(4, [("a", "<i4"), ("c", "S3")])
    array("v3 records", "zarr.json", flat, dtype=flat.dtype, chunks=(2,), zarr_format=3)
    scale = [
        {"name": "scale_offset", "configuration": {"offset": 1, "scale": 2}},
        {"name": "cast_value", "configuration": {"data_type": "int16"}},
    ]
    array("v3 filters", "zarr.json", dtype="<i4", chunks=(4, 3), filters=scale, compressor="zstd", zarr_format=3)

    for version, documents in (
        (2, (".zgroup", ".zattrs", ".zmetadata", "a/.zgroup", "a/x/.zarray")),
        (3, ("zarr.json", "a/zarr.json", "a/x/zarr.json")),
    ):
        store: dict[str, bytes] = {}
        group = ndzarr.create_group(store, zarr_format=version, attributes={"title": "t", "n": 1})
        inner = group.create_group("a", attributes={"k": [1, 2]})
        inner.create_array("x", shape=(4,), dtype="<i4", chunks=(2,))[:] = [1, 2, 3, 4]
        group.create_array("y", shape=(2, 2), dtype="<f4")
        plain = {key: bytes(value) for key, value in store.items()}
        ndzarr.consolidate(store)
        whole = {key: bytes(value) for key, value in store.items()}
        for key in documents:
            root = key in (".zmetadata", "zarr.json")
            found[f"v{version} group {key}"] = (
                whole if root else plain,
                key,
                "consolidated" if root else key.rpartition("/")[2],
            )
    return found


def subjects() -> list[Subject]:
    made = [DocumentSubject(name, *found) for name, found in _stores().items()]
    for subject in made:
        subject.others = [other.goods[0] for other in made if other.name[:2] == subject.name[:2]]
        subject.share = 1.0
    return list(made)
