"""`python -m tests.fuzzing --count 1000000` prints what became of damaged inputs; exit code 1 where one did what none may."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process that forks should have no threads

from tests.fuzzing import corpus, worker  # after the line above
from tests.fuzzing.subjects import CHANGED, REFUSED, UNCHANGED, Subject, subjects  # as above
from tests.fuzzing.worker import Tally, Task, minimised, run  # as above

GROUPS = ("codecs", "shards", "documents", "archives")
#: The parts of a run over everything.
SHARES = {"codecs": 0.7, "shards": 0.1, "documents": 0.15, "archives": 0.05}


def drawn(group: str, count: int) -> list[Task]:
    """`count` inputs in all, or one for each way of each subject where that is more."""
    found = []
    for name in GROUPS if group == "all" else (group,):
        some = subjects(name)
        share = sum(subject.share for subject in some)
        part = count * (SHARES[name] if group == "all" else 1.0)
        found += [Task(subject, 0, max(subject.ways, math.ceil(part * subject.share / share))) for subject in some]
    return found


def table(rows: dict[str, list[tuple[Subject, Tally]]]) -> str:
    """The lines of the table."""
    head = ("", "inputs", "refused", "unchanged", "changed", "failed", "crash", "hang", "garbage", "slowest ms", "peak MiB")
    lines = [head]
    total = [0] * 8
    slowest, peak = 0.0, 0
    for row, members in rows.items():
        tallies = [tally for _, tally in members]
        kinds = [failure.kind for tally in tallies for failure in tally.failures]
        counts = [sum(tally.counts[name] for tally in tallies) for name in (REFUSED, UNCHANGED, CHANGED)]
        numbers = [sum(counts) + len(kinds), *counts, len(kinds), *(kinds.count(kind) for kind in ("crash", "hang", "garbage"))]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        slow, high = max(tally.slowest_s for tally in tallies), max(tally.peak_nbytes for tally in tallies)
        slowest, peak = max(slowest, slow), max(peak, high)
        lines.append((row, *(f"{n:,}" for n in numbers), f"{slow * 1e3:.1f}", f"{high / 2**20:.1f}"))
    lines.append(("all", *(f"{n:,}" for n in total), f"{slowest * 1e3:.1f}", f"{peak / 2**20:.1f}"))
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" if not n else f"{cell:>{w}}" for n, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="inputs in all")
    parser.add_argument("--group", choices=("all", *GROUPS, "faulty"), default="all")
    parser.add_argument("--subject", help="one subject alone, by its name")
    parser.add_argument("--seed", type=int, default=0, help="inputs of another seed are other ones")
    parser.add_argument("--replay", action="store_true", help="what was ever found, instead of new inputs")
    parser.add_argument("--keep", action="store_true", help="put what fails into the corpus, minimised")
    parser.add_argument("--hang", type=float, default=worker.HANG_S, metavar="SECONDS", help="what is longer is a hang")
    parser.add_argument("--json", action="store_true", help="print totals for a program")
    given = parser.parse_args(arguments)

    worker.HANG_S = given.hang
    start = time.monotonic()
    if given.replay:
        tasks = corpus.tasks(subjects())
    elif given.subject:
        (subject,) = (subject for subject in subjects() if subject.name == given.subject)
        tasks = [Task(subject, 0, given.count)]
    else:
        tasks = drawn(given.group, given.count)
    tallies = run(tasks, given.seed)

    rows: dict[str, list[tuple[Subject, Tally]]] = {}
    for task, tally in zip(tasks, tallies, strict=True):
        rows.setdefault(task.subject.row, []).append((task.subject, tally))
    failures = [(subject, failure) for members in rows.values() for subject, tally in members for failure in tally.failures]
    inputs = sum(sum(tally.counts.values()) for tally in tallies) + len(failures)
    if given.json:
        kinds = [failure.kind for _, failure in failures]
        print(json.dumps({"inputs": inputs, "failed": {kind: kinds.count(kind) for kind in sorted(set(kinds))}}))
    else:
        print(table(rows))
        print(f"{inputs:,} inputs in {time.monotonic() - start:.0f} s, seed {given.seed}: {len(failures)} failed")
    for subject, failure in failures[:50]:
        print(
            f"\n{failure.kind} of {subject.name!r}, input {failure.number}, way {failure.way}: {failure.detail}",
            file=sys.stderr,
        )
        if given.keep:
            path = corpus.keep(failure, minimised(subject, failure), f"{failure.kind}: {failure.detail.splitlines()[-1][:200]}")
            print(f"kept as {path.name}", file=sys.stderr)
        else:
            print(failure.data[:200].hex(), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
