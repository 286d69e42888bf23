"""Trees: as text, and as HTML in which nothing that a file says can be more than text."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

import ndzarr


class Checked(HTMLParser):
    """Collects text, and sees to it that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)
        assert all(name in ("class", "open") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Checked:
    parser = Checked()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def g(request: pytest.FixtureRequest) -> ndzarr.Group:
    g = ndzarr.create_group(attributes={"<b>": "<script>alert(1)</script>"}, zarr_format=request.param)
    g["a & b/<img src=x>"] = np.zeros((3, 4))
    g["a & b"].attrs['"quoted"'] = "x" * 1000
    g["s"] = np.zeros(2, [("x", "i4"), ("y", "f8")])
    g.create_group("empty")
    return g


def test_text(g: ndzarr.Group) -> None:
    assert repr(g.tree()).splitlines() == [
        "/",
        "├── a & b",
        "│   └── <img src=x> (3, 4) float64",
        "├── empty",
        "└── s (2,) [x: int32, y: float64]",
    ]
    assert repr(g.tree(0)).splitlines() == ["/", "├── a & b", "├── empty", "└── s (2,) [x: int32, y: float64]"]
    assert repr(g["a & b"].tree()).splitlines()[0] == "a & b"


def test_html_is_whole_and_escaped(g: ndzarr.Group) -> None:
    html = g.tree()._repr_html_()
    found = parsed(html)
    assert found.seen == {"style", "div", "details", "summary", "span", "table", "tr", "td", "ul", "li"}
    text = "".join(found.text)
    for part in ("<img src=x>", "a & b/", "<script>alert(1)</script>", "(3, 4) float64", "chunks", "zstd"):
        assert part in text
    assert "x" * 200 not in text  # attributes are cut
    assert "<script" not in html
    assert "<img" not in html


def test_no_data_are_read(g: ndzarr.Group) -> None:
    store = ndzarr.FaultStore(g.store, keys=r"(^|/)(c/|\d+(\.\d+)*$)", fail="always")
    assert len(ndzarr.open_group(store).tree()._repr_html_()) > 500


def test_a_damaged_member_is_shown_as_such(g: ndzarr.Group) -> None:
    name = "zarr.json" if g.zarr_format == 3 else ".zarray"
    g.store.set(f"s/{name}", b"{")
    lines = repr(g.tree()).splitlines()
    assert lines[-1].startswith("└── s [cannot be opened: ")
    assert "cannot be opened" in "".join(parsed(g.tree()._repr_html_()).text)
    assert len(lines) == 5


def test_large_hierarchies_have_short_html() -> None:
    g = ndzarr.create_group()
    for n in range(600):
        g.create_group(f"{n:03}", attributes={"n": n})
    html = g.tree()._repr_html_()
    assert len(html) < 100_000
    assert "table>" not in html
    parsed(html)
