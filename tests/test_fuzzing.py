"""Promise P10 at scale: damaged inputs by the thousand, judged in processes that may crash; the million is `slow`.

`python -m tests.fuzzing --count 1000000` prints the table of which these are the totals.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzzing import corpus
from tests.fuzzing.__main__ import GROUPS
from tests.fuzzing.subjects import subjects

ROOT = Path(__file__).parents[1]


def fuzz(*arguments: str) -> tuple[int, Any, str]:
    """Exit code, totals, and what is told of each failure. In a process without threads: it forks."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzzing", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.once
@pytest.mark.parametrize("group", GROUPS)
def test_damaged_inputs(group: str, record_property: Callable[[str, object], None]) -> None:
    code, totals, told = fuzz("--group", group, "--count", "5000")
    assert (code, totals["failed"]) == (0, {}), told
    assert totals["inputs"] >= 5000
    record_property(
        "count: damaged inputs, none of which crashed, hung or gave wrong values under a checksum", totals["inputs"]
    )


@pytest.mark.slow
def test_a_million_damaged_inputs(record_property: Callable[[str, object], None]) -> None:
    code, totals, told = fuzz("--count", "1000000", "--seed", "1")
    assert (code, totals["failed"]) == (0, {}), told
    assert totals["inputs"] >= 1_000_000
    record_property(
        "count: damaged inputs, none of which crashed, hung or gave wrong values under a checksum", totals["inputs"]
    )


def test_all_that_ever_failed(record_property: Callable[[str, object], None]) -> None:
    code, totals, told = fuzz("--replay")
    assert (code, totals["failed"]) == (0, {}), told
    assert totals["inputs"] >= len(corpus.entries()) > 40
    record_property("count: inputs that once failed, here or elsewhere", len(corpus.entries()))


def test_every_entry_of_the_corpus_is_about_something_that_is_fuzzed() -> None:
    known = {subject.name for subject in subjects()}
    assert {entry.subject for entry in corpus.entries()} <= known
    assert all(entry.was for entry in corpus.entries())


def test_what_may_not_happen_is_noticed() -> None:
    """Subjects that crash, read beyond the end of an input, hang, and so on: each is told of, and the next goes on."""
    code, totals, told = fuzz("--group", "faulty", "--count", "7", "--hang", "1")
    assert code == 1
    assert totals == {
        "inputs": 7,
        "failed": {"crash": 2, "hang": 1, "memory": 1, "exception": 1, "unnamed": 1, "garbage": 1},
    }
    assert "KeyError" in told


def test_inputs_are_drawn_from_their_number() -> None:
    from tests.fuzzing.worker import Task

    for subject in subjects("documents")[:2] + subjects("codecs")[:2] + subjects("archives")[:1]:
        some = list(Task(subject, 5, 40).inputs(3))
        assert some == list(Task(subject, 5, 40).inputs(3))
        assert some[7:] == list(Task(subject, 12, 40).inputs(3))
        assert some != list(Task(subject, 5, 40).inputs(4))
        assert len({data for _, data, _ in some}) > 20
