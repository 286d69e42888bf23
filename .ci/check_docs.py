"""Check the built documentation: `python .ci/check_docs.py HTML`. Needs ndzarr, and no network.

Every link inside the site leads to a page, an anchor or a file that is there; addresses elsewhere are well formed, and not
fetched. Every public name, and every public method and property of a public class, is in the reference: under the class itself,
or under the one that it is inherited from.
"""

from __future__ import annotations

import inspect
import re
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import ndzarr


class Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value:
                self.links.add(value)


def broken_links(top: Path) -> list[str]:
    """What is wrong with links, a line for each."""
    pages = {
        path: Page(path.read_text(encoding="utf-8")) for path in sorted(top.rglob("*.html")) if "_static" not in path.parts
    }
    found = []
    for path, page in pages.items():
        where = path.relative_to(top)
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                known = parts.scheme in ("data", "mailto") or (parts.scheme in ("http", "https") and "." in parts.netloc)
                if not known:
                    found.append(f"{where}: {link!r} is no address")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target = target / "index.html"
            if not target.is_relative_to(top) or not target.exists():
                found.append(f"{where}: {link!r} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{where}: {link!r} is no anchor of {target.relative_to(top)}")
    return found


def described(top: Path) -> set[str]:
    """The full names of all Python objects in the reference, out of Sphinx's inventory."""
    _, _, _, _, packed = (top / "objects.inv").read_bytes().split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines()
    return {name for name, kind, *_ in map(str.split, lines) if kind.startswith("py:")}


def undescribed(names: set[str]) -> tuple[int, list[str]]:
    """How many public names there are, and those that the reference lacks."""
    wanted: dict[str, list[str]] = {}
    homes = {getattr(ndzarr, name): f"ndzarr.{name}" for name in ndzarr.__all__ if inspect.isclass(getattr(ndzarr, name))}
    for name in ndzarr.__all__:
        if name == "__version__":
            continue
        value = getattr(ndzarr, name)
        wanted[f"ndzarr.{name}"] = [f"ndzarr.{name}"]
        if not inspect.isclass(value) or issubclass(value, BaseException):
            continue
        for member in dir(value):
            if not member.startswith("_"):
                named = re.search(rf"\b{member}\b", value.__doc__ or "")
                if named and inspect.ismemberdescriptor(inspect.getattr_static(value, member)):
                    wanted[f"ndzarr.{name}.{member}"] = [f"ndzarr.{name}"]  # a field, told of in the record's own words
                    continue
                owners = [homes[base] for base in value.__mro__ if base in homes and hasattr(base, member)]
                wanted[f"ndzarr.{name}.{member}"] = [f"{owner}.{member}" for owner in owners]
    return len(wanted), [name for name, places in wanted.items() if not names.intersection(places)]


def main() -> int:
    top = Path(sys.argv[1]).resolve()
    broken = broken_links(top)
    count, missing = undescribed(described(top))
    for line in [*broken, *(f"api.md lacks {name}" for name in missing)]:
        print(line, file=sys.stderr)
    print(f"links: {len(broken)} broken; reference: {count - len(missing)} of {count} public names")
    return bool(broken or missing)


if __name__ == "__main__":
    sys.exit(main())
