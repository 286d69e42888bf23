"""The README's first screen is true: two commands, and a tour whose answers are what it prints."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
README = TOP / "README.md"


def test_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(block, {}, "README.md", "README.md", 0)
    results = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
    assert results == doctest.TestResults(failed=0, attempted=5)


@pytest.mark.parametrize(("number", "last"), [("1", "-m ndzarr demo"), ("2", "-m pytest")])
def test_two_commands_on_the_first_screen(number: str, last: str) -> None:
    script = [sys.executable, str(TOP / ".ci/readme_command.py"), str(README), number]
    command = subprocess.run(script, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    assert command.endswith(last)
    assert command in "\n".join(README.read_text(encoding="utf-8").splitlines()[:24])


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (TOP / target).exists(), target
