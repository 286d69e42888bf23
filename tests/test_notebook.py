"""What arrays and groups show in a notebook: right, escaped, in bounded time and size, and without reading a chunk."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import ndzarr
from ndzarr import FaultStore, MemoryStore, gridpicture, notebook
from ndzarr.grid import Edges, Grid


class Text(HTMLParser):
    """The texts of the cells and headings of a page; fails where tags do not match."""

    VOID = ("br", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data.strip())


def rows(page: str) -> dict[str, str]:
    """The rows of the table."""
    texts = Text(page).texts
    return dict(pairwise(texts))


def svg(page: str) -> ET.Element:
    (found,) = re.findall(r"<svg.*</svg>", page, re.DOTALL)
    return ET.fromstring(found)


def shaded(picture: ET.Element) -> list[float]:
    return [float(p.attrib["fill-opacity"]) for p in picture.iter("polygon") if "fill-opacity" in p.attrib]


def test_an_array(zarr_format: int) -> None:
    z = ndzarr.create_array(
        shape=(40, 30), chunks=(10, 10), dtype="i4", compressor="zlib", attributes={"units": "K"}, dimension_names=("y", "x")
    )
    z[:20, :15] = np.arange(300).reshape(20, 15)
    page = z._repr_html_()
    table = rows(page)
    assert table["shape"] == "(40, 30)"
    assert table["chunks"] == "(10, 10)"
    assert table["dimensions"] == "y, x"
    assert table["dtype"] == "int32"
    assert "zlib" in table["codecs"]
    assert table["format"] == f"Zarr {zarr_format}, order C"
    assert table["size"] == "4.7 KiB"
    assert table["chunks written"] == "4 of 12 (33.3 %)"
    assert table["stored"] == f"{z.nbytes_stored / 1024:.1f} KiB" if z.nbytes_stored >= 1024 else f"{z.nbytes_stored} B"
    assert table["attrs['units']"] == "'K'"
    assert shaded(svg(page)) == [0.75] * 4
    assert table["ratio"] == f"{20 * 20 * 4 / z.nbytes_stored:.1f} of the chunks written"
    z[...] = 1
    assert rows(z._repr_html_())["ratio"] == f"{z.nbytes / z.nbytes_stored:.1f}"


@pytest.mark.formats(3)
def test_shards(zarr_format: int) -> None:
    z = ndzarr.create_array(shape=(40, 30), chunks=(10, 10), shards=(20, 30), dtype="i4")
    z[0, 0] = 1
    table = rows(z._repr_html_())
    assert (table["chunks"], table["shards"]) == ("(10, 10)", "(20, 30)")
    assert table["shards written"] == "1 of 2 (50 %)"
    assert table["chunk grid" if "chunk grid" in table else "shape"] == "(40, 30)"
    assert "shaded: shards that exist" in Text(z._repr_html_()).texts


def test_nothing_is_read(zarr_format: int) -> None:
    store = FaultStore(MemoryStore())
    z = ndzarr.create_array(store, shape=(40, 30), chunks=(10, 10), dtype="i4")
    z[...] = 1
    store.clear()
    z._repr_html_()
    assert set(store.counts) <= {"list", "size"}


def test_hostile_text_is_text(zarr_format: int) -> None:
    evil = "<script>alert('&')</script>"
    group = ndzarr.create_group(attributes={evil: evil})
    z = group.create_array("a", shape=(4,), dtype="U30", fill_value=evil, attributes={evil: evil}, dimension_names=(evil,))
    for node in (group, z):
        page = node._repr_html_()
        assert "<script" not in page
        assert "script" not in Text(page).tags
        assert any(evil in text for text in Text(page).texts)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((), ()),
        ((0, 4), (1, 2)),
        ((10**12,), (1,)),
        ((10**9, 10**9, 10**9), (1, 1, 1)),
        ((3, 4, 5, 6, 7), (2, 2, 2, 2, 2)),
        ((1,), (9,)),
    ],
)
def test_any_shape_makes_a_page_of_bounded_size(shape: Any, chunks: Any, zarr_format: int) -> None:
    z = ndzarr.create_array(shape=shape, chunks=chunks, dtype="i1", compressor=None)
    if z.size:
        z[(0,) * z.ndim] = 1
    page = z._repr_html_()
    assert len(page) < 100_000
    assert ("<svg" in page) == (z.ndim > 0 and z.size > 0)
    if "<svg" in page:
        assert len(shaded(svg(page))) in (1, 3)
    Text(page)


@pytest.mark.formats(3)
def test_uneven_chunks() -> None:
    z = ndzarr.create_array(shape=(6, 4), chunks=((1, 3, 2), 3), dtype="i1")
    z[1:4] = 1
    page = z._repr_html_()
    assert rows(page)["chunks"] == "([1, 3, 2], 3)"
    assert len(shaded(svg(page))) == 2


def test_a_long_listing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    z = ndzarr.create_array(shape=(100,), chunks=(1,), dtype="i1", compressor=None)
    z[...] = 1
    monkeypatch.setattr(notebook, "_OBJECTS", 10)
    page = z._repr_html_()
    assert rows(page)["chunks written"] == "10 or more of 100"
    assert shaded(svg(page)) == []
    monkeypatch.undo()
    monkeypatch.setattr(notebook, "_SIZES", 10)
    table = rows(z._repr_html_())
    assert (table["stored"], table["ratio"]) == ("about 100 B", "about 1.0")


def test_a_store_that_cannot_list_shows_the_array_all_the_same() -> None:
    store = FaultStore(MemoryStore())
    z = ndzarr.create_array(store, shape=(100,), chunks=(1,), dtype="i1")
    store.chance, store.on = 1.0, frozenset(["list"])
    page = z._repr_html_()
    assert rows(page)["chunks written"] == "unknown: the store could not be listed"
    assert rows(page)["shape"] == "(100,)"


def test_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ndzarr.create_group(attributes={"title": "t"})
    for n in range(5):
        group.create_array(f"g{n}/a", shape=(4,), dtype="i4")
    page = group._repr_html_()
    texts = Text(page).texts
    assert texts.count("a") == 5
    assert "1 attribute" in texts  # folded away
    assert '<details class="attributes"><summary>' in page
    monkeypatch.setattr(notebook, "_NODES", 3)
    page = group._repr_html_()
    assert "... and more: only the first 3 nodes are shown" in Text(page).texts
    assert Text(page).texts.count("a") == 1


def test_inline() -> None:
    z = ndzarr.create_array(shape=(40, 30), chunks=(10, 10), dtype="i4")
    assert z._repr_inline_(80) == "ndzarr.ZArray<chunks=(10, 10), zstd>"
    for width in range(5, 80):
        assert len(z._repr_inline_(width)) <= width


def test_cells_are_shares() -> None:
    """Each cell of the picture stands for some objects; all exist: all are 1, whatever the numbers."""
    for count in (1, 2, 23, 24, 25, 47, 48, 49, 1000):
        axes = Grid.of((count,), (1,)).axes
        np.testing.assert_array_equal(gridpicture.cells(axes, ((n,) for n in range(count))), 1)
        half = gridpicture.cells(axes, ((n,) for n in range(count // 2)))
        assert half.max() <= 1
        assert abs(half.sum() * count / len(half) - count // 2) <= count / 2
    axes = Grid.of((6,), (Edges.of([1, 3, 2]),)).axes
    assert gridpicture.cells(axes, [(1,), (7,)]).tolist() == [0, 1, 0]


def test_metadata_are_not_copied_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """`metadata` are the caller's own, a deep copy: a third of the time of a group of small arrays went into that."""
    copies: list[Any] = []
    deepcopy = copy.deepcopy

    def noted(found: Any, *memo: Any) -> Any:
        if isinstance(found, tuple):  # not a fill value, nor an attribute that is shown
            copies.append(found)
        return deepcopy(found, *memo)

    monkeypatch.setattr(copy, "deepcopy", noted)
    g = ndzarr.create_group(None)
    z = g.create_array("a", shape=(4,), dtype="i4", compressor="zstd", attributes={"units": "K"})
    for shown in (g._repr_html_(), g.tree()._repr_html_(), z._repr_html_(), str(z.info)):
        assert "zstd" in shown
    assert not copies
    assert z.metadata.codecs
    assert copies
