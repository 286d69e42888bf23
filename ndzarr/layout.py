"""ArrayMeta -> Layout: everything that a read or write needs, worked out once an array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndzarr._typing import CodecSpec, Coords, Key
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.pipeline import Pipeline, build
from ndzarr.errors import ArgumentError, MetadataError
from ndzarr.grid import Grid
from ndzarr.metadata import ArrayMeta


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How an array lies in its store. Immutable; any number of threads may use it.

    chunk: what every stored chunk looks like (edge chunks are stored whole). fill: what a missing chunk reads as; `blank` is
    False where the fill value is undefined, so that a chunk of zeros may not be left out. key: chunk coords -> store key;
    coords: store key -> chunk coords, None for any other key.
    """

    grid: Grid
    chunk: ChunkSpec
    pipeline: Pipeline
    key: Callable[[Coords], Key]
    coords: Callable[[Key], Coords | None]
    fill: Any
    blank: bool


def compile_layout(meta: ArrayMeta, path: str, *, allow_pickle: bool = False) -> Layout:
    """The Layout of an array at `path`; MetadataError when its codecs cannot decode its dtype."""
    chunk = ChunkSpec(tuple(c or 1 for c in meta.chunks), meta.dtype, meta.fill_value)
    if chunk.nbytes >= 1 << 63:
        raise MetadataError(
            f"chunks {meta.chunks} of {meta.dtype} have {chunk.nbytes} bytes each, expected under 2**63",
            path=path,
            field="chunks",
            found=meta.chunks,
        )
    try:
        pipeline = build([s for s in meta.codecs if not _identity(s)], chunk, allow_pickle=allow_pickle)
    except ArgumentError as error:
        raise MetadataError(str(error), path=path, codec=error.codec, field=error.field, found=error.found) from error
    return Layout(
        grid=Grid.regular(meta.shape, meta.chunks),
        chunk=chunk,
        pipeline=pipeline,
        key=meta.key_encoding.encoder(meta.ndim, path),
        coords=meta.key_encoding.decoder(meta.ndim, path),
        fill=_fill(meta),
        blank=meta.fill_value is not None,
    )


def _identity(spec: CodecSpec) -> bool:
    """A transpose that moves nothing: order F of fewer than two axes."""
    return spec.name == "transpose" and list(spec.configuration.get("order", ())) in ([], [0])


def _fill(meta: ArrayMeta) -> Any:
    """A scalar of the dtype; zero where the document leaves it undefined, as every peer reads it.

    Objects without a fill value read as what their codec makes of nothing: "" for strings, b"" for bytes, else None or 0.
    """
    if meta.fill_value is not None:
        return meta.fill_value
    if meta.dtype.kind == "O":
        ids = {spec.name.removeprefix("numcodecs.") for spec in meta.codecs}
        return "" if "vlen-utf8" in ids else b"" if "vlen-bytes" in ids else None
    return np.zeros((), meta.dtype)[()]
