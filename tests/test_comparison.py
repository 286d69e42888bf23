"""`asv_bench/compare.py` runs, and docs/performance.md has what it measures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "performance.md"


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOP / "asv_bench" / "compare.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_rows_run_and_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ran = compare("--quick", "--rows", "z[5, 5]", "--json", str(file))
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(file.read_text())
    rows = [title for group in figures.values() for title in group]
    assert rows == ["z[5, 5], in memory, 64x64 raw", "z[5, 5] = 1, 64x64 zstd"]
    for group in figures.values():
        for measured in group.values():
            assert measured["rounds"] == 3
            assert measured["seconds"]["ndzarr"] > 0
            assert set(measured["ratios"]) == set(measured["seconds"]) - {"ndzarr"}
    for title in rows:
        assert title in ran.stdout


def test_page_is_written_whole_or_not_at_all() -> None:
    before = PAGE.read_bytes()
    ran = compare("--write", "--rows", "z[5, 5]")
    assert ran.returncode == 2
    assert "leave out --rows" in ran.stderr
    assert PAGE.read_bytes() == before


@pytest.mark.parametrize("name", ["comparison", "growth", "import"])
def test_tables_of_the_page(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (text,) = re.findall(rf"<!-- {name}: begin -->(.*)<!-- {name}: end -->", page, re.DOTALL)
    assert text.count("| ---") >= 1
    if name == "comparison":
        titles = compare("--list").stdout.splitlines()
        assert len(titles) > 30
        for title in titles:
            assert f"| {title} |" in text, f"run `python asv_bench/compare.py --write`: the page has no row {title!r}"
