"""The documentation is whole: links of its sources lead somewhere, files that it names are there, every public name is in it.

What Sphinx makes of it is checked by .ci/check_docs.py, after each build.
"""

from __future__ import annotations

import inspect
import json
import re
import runpy
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import ndzarr

TOP = Path(__file__).parents[1]
PAGES = sorted([TOP / "README.md", *(p for p in TOP.joinpath("docs").rglob("*.md") if "_build" not in p.parts)])
REFERENCE = TOP.joinpath("docs/api.md").read_text(encoding="utf-8")
#: Public names without an example of their own, and where there is one.
RECORDS = (
    "Advice CacheInfo CodecInfo Difference Explanation Finding Options Quicklook Recorded Report Requests Statistics StoreInfo "
    "Transfer WritePlan"
).split()
ELSEWHERE = {
    **dict.fromkeys(["ones", "empty", "empty_like", "full_like", "ones_like", "zeros_like"], "as `zeros` and `full`"),
    **dict.fromkeys(RECORDS, "a record: what returns it has one"),
    **dict.fromkeys(["FsspecStore", "GridFSStore", "ObjectStore", "ZarrPythonStore"], "needs a server or another library"),
    "move": "as `copy`",
    "consolidate": "docs/groups.md",
    "LocalStore": "docs/quickstart.md, as every path",
    "ZipStore": "docs/stores/zip.md",
    "ReplayStore": "docs/stores/around.md, since it takes a file to replay",
    "Store": "abstract: docs/stores/own.md has a whole store",
}


def prose(path: Path) -> str:
    """The text without blocks of code."""
    return re.sub(r"^(```+).*?^\1$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """What headings are linked by, as GitHub and myst-parser make it of them."""
    titles = re.findall(r"^#+ +(.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(TOP)))
def test_links_and_files_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", prose(page))):
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https" and "." in parts.netloc, target  # noqa: PT018  # one thing: an address
            continue
        found = page.parent / parts.path if parts.path else page
        assert found.exists(), f"{target} leads nowhere"
        if parts.fragment and found.suffix == ".md":
            assert parts.fragment in anchors(found), f"{target} is no heading there"
    for name in re.findall(r"`((?:ndzarr|tests|docs|asv_bench|\.ci)/[\w./-]+\w)`", prose(page)):
        assert (TOP / name).exists(), f"there is no {name}"


def test_every_page_is_in_the_list_of_pages() -> None:
    """A page that no list names is found by nobody."""
    listed = set()
    for path in PAGES:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    listed.add((path.parent / re.sub(r".*<(.*)>", r"\1", line)).resolve())
    for path in PAGES[1:] if PAGES[0].name == "README.md" else PAGES:
        shown = path.with_suffix("") not in listed
        assert not shown or path.name in ("index.md", "README.md") or path.name[0].isdigit(), path


def documented(value: type, member: str) -> bool:
    """Whether a member says what it is: by itself or what it overrides; a value by its class's words or a comment."""
    for base in value.__mro__:
        if member in vars(base):
            attribute = vars(base)[member]
            if inspect.isroutine(attribute) or isinstance(attribute, property):
                if (attribute.__doc__ or "").strip():
                    return True
                continue
            noted = rf"^ *#: .*\n(?: *#.*\n)* *{member}\b"
            if re.search(rf"\b{member}\b", base.__doc__ or "") or re.search(noted, inspect.getsource(base), re.MULTILINE):
                return True
    return False


def test_a_member_without_a_word_is_seen() -> None:
    class Example:
        """Has `told`, and another."""

        told = 1
        #: What nobody asked for.
        noted = 2
        silent = 3

        def said(self) -> None:
            """Something."""

        def mute(self) -> None:
            pass

    assert [m for m in ("told", "noted", "silent", "said", "mute") if not documented(Example, m)] == ["silent", "mute"]


@pytest.mark.parametrize("path", sorted(TOP.glob("docs/notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_hold_no_output(path: Path) -> None:
    """They are run by each build; output that was stored would be shown instead, and go stale."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


def test_pictures_are_used_small_and_made_by_the_script() -> None:
    script = runpy.run_path(str(TOP / "docs/pictures/make.py"))
    pictures = {path.stem: path.read_bytes() for path in TOP.glob("docs/pictures/*.png")}
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert set(pictures) == {*script["TERMINALS"], "notebook"}
    for name, content in pictures.items():
        assert content.startswith(b"\x89PNG")
        assert len(content) <= script["MOST_BYTES"]
        assert f"pictures/{name}.png)" in text


def test_terminals_in_pictures_show_what_terminals_show() -> None:
    """Colours, a line written over, a bar that goes up two lines and is cleared."""
    screen = runpy.run_path(str(TOP / "docs/pictures/make.py"))["Screen"]()
    screen.write("\x1b[1;32mok\x1b[0m done\r\nabc\rX\r\none\r\ntwo\x1b[1A\x1b[2K\x1b[1G\x1b[38;5;196m<\x1b[0m\x1b[0J")
    assert screen.text() == "ok done\nXbc\n<"
    assert screen.html() == (
        '<span style="color:#98c379;font-weight:bold;">ok</span> done\nXbc\n<span style="color:rgb(255,0,0);">&lt;</span>'
    )


@pytest.mark.parametrize("name", [name for name in ndzarr.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name: str, record_property) -> None:
    """In the reference, with a description, with an example or a reason for having none; its methods and properties too."""
    value = getattr(ndzarr, name)
    text = inspect.getdoc(value) or ""
    assert text.strip()
    assert re.search(rf"^\.\. auto\w+:: ndzarr\.{name}$", REFERENCE, re.MULTILINE), f"docs/api.md lacks {name}"
    is_error = inspect.isclass(value) and issubclass(value, Exception)
    assert (">>>" in text) != (name in ELSEWHERE) or is_error, name
    members = [m for m in dir(value) if not m.startswith("_")] if inspect.isclass(value) and not is_error else []
    assert [m for m in members if not documented(value, m)] == []
    record_property("count: public names documented", 1 + len(members))


def test_the_check_of_what_is_built_sees_what_is_wrong(tmp_path: Path) -> None:
    """On a site of two pages."""
    check = runpy.run_path(str(TOP / ".ci/check_docs.py"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text('<h1 id="here"></h1><a href="../a.html">up</a><a href="#here">h</a>')
    good = '<a href="sub/b.html#here">b</a><img src="data:image/png;base64,x"><a href="https://zarr.dev">z</a>'
    (tmp_path / "a.html").write_text(good)
    assert check["broken_links"](tmp_path) == []
    (tmp_path / "a.html").write_text(good + '<a href="c.html">c</a><a href="sub/b.html#x">x</a><a href="http://">h</a>')
    assert [line.split("'")[1] for line in check["broken_links"](tmp_path)] == ["c.html", "http://", "sub/b.html#x"]
    count, missing = check["undescribed"]({"ndzarr.zeros"})
    assert len(missing) == count - 1
