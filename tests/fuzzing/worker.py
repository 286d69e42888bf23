"""Inputs judged in a child process: what crashes it, hangs it or takes its memory is written down, and the rest goes on."""

from __future__ import annotations

import dataclasses
import gc
import json
import mmap
import os
import random
import resource
import select
import signal
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fuzzing.subjects import CHANGED, REFUSED, UNCHANGED, MiB, OutcomeError, Subject, limits

#: Longer than this is a hang.
HANG_S = 10.0
_SPARE = 64 * MiB
_LARGEST = 4 * MiB
_STATE = struct.Struct("<qdq")
#: macOS counts bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_COUNTS = (REFUSED, UNCHANGED, CHANGED)


@dataclass
class Failure:
    """An input that did what it may not."""

    subject: str
    way: int
    data: bytes
    kind: str
    detail: str
    number: int = -1


@dataclass
class Tally:
    """What became of the inputs of one subject."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    failures: list[Failure] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_nbytes: int = 0


@dataclass(frozen=True)
class Task:
    """Inputs `start` to `stop` of a subject: drawn from numbers, or given."""

    subject: Subject
    start: int
    stop: int
    given: Sequence[tuple[bytes, int]] = ()

    def inputs(self, seed: int) -> Iterator[tuple[int, bytes, int]]:
        """Number, bytes, way of reading; each from its number alone."""
        if self.given:
            for n in range(self.start, self.stop):
                yield n, *self.given[n]
            return
        base = zlib.crc32(self.subject.name.encode()) << 64 | seed << 32
        for n in range(self.start, self.stop):
            rng = random.Random(base | n)
            yield n, self.subject.mutate(rng), n % self.subject.ways


class Shared:
    """Memory that parent and child see: which input is being judged, since when, and its bytes."""

    def __init__(self, tasks: int) -> None:
        self.map = mmap.mmap(-1, _STATE.size + _LARGEST)
        self.tallies = mmap.mmap(-1, max(1, tasks) * 8 * 5)

    def begin(self, task: int, number: int, data: bytes) -> None:
        self.map[_STATE.size : _STATE.size + min(len(data), _LARGEST)] = data[:_LARGEST]
        _STATE.pack_into(self.map, 0, task << 40 | number, time.monotonic(), len(data))

    def end(self) -> None:
        _STATE.pack_into(self.map, 0, -1, 0.0, 0)

    def current(self) -> tuple[int, int, float, bytes] | None:
        """Task, number, start and bytes of the input under way."""
        place, start, length = _STATE.unpack_from(self.map, 0)
        if place < 0:
            return None
        data = self.map[_STATE.size : _STATE.size + min(length, _LARGEST)]
        return place >> 40, place & ((1 << 40) - 1), start, data

    def add(self, task: int, counts: dict[str, int], slowest_s: float, peak: int) -> None:
        """What the child counted so far; on top of what an earlier child did."""
        old = self.read(task)
        new = [*(old[0][name] + counts[name] for name in _COUNTS)]
        struct.pack_into("<qqqdq", self.tallies, task * 40, *new, max(old[1], slowest_s), max(old[2], peak))

    def read(self, task: int) -> tuple[dict[str, int], float, int]:
        *counts, slowest_s, peak = struct.unpack_from("<qqqdq", self.tallies, task * 40)
        return dict(zip(_COUNTS, counts, strict=True)), slowest_s, peak


def _rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def _forget_peak() -> None:
    """Start the peak of this process's memory anew, where Linux lets it."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _allow(nbytes: int) -> None:
    """Let this process have so much more address space than it has now."""
    with suppress(OSError), open("/proc/self/statm") as file:
        have = int(file.read().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (have + nbytes, resource.RLIM_INFINITY))


def _work(tasks: Sequence[Task], first: int, at: int, seed: int, shared: Shared, out: int) -> None:
    """In the child: judge all tasks from `first` on, that one from input `at` on."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with limits():
        for number in range(first, len(tasks)):
            task = tasks[number]
            if number == first:
                task = dataclasses.replace(task, start=at)
            _judge(task, number, seed, shared, out)


def _judge(task: Task, number: int, seed: int, shared: Shared, out: int) -> None:
    subject = task.subject
    allowed = 3 * subject.chunk_nbytes + _SPARE
    for way in range(subject.ways):
        # What is imported or set up once is no part of an input's memory.
        found = subject.judge(subject.goods[0], way)
        if found != UNCHANGED and subject.name != "packbits after crc32":  # of which nothing is good
            raise RuntimeError(f"{subject.name!r} is {found} where nothing is damaged")
    gc.collect()
    _allow(allowed + subject.unused_nbytes)
    _forget_peak()
    base, peak, slowest_s = _rss(), 0, 0.0
    counts = dict.fromkeys(_COUNTS, 0)
    monotonic = time.monotonic
    for n, data, way in task.inputs(seed):
        shared.begin(number, n, data)
        start = monotonic()
        verdict = None
        try:
            verdict = subject.judge(data, way)
        except OutcomeError as wrong:
            _tell(out, number, n, way, data, wrong.kind, wrong.detail)
        except BaseException as error:
            detail = "".join(traceback.format_exception(error))[-1500:]
            _tell(out, number, n, way, data, "exception", detail)
        took = monotonic() - start
        shared.end()
        slowest_s = max(slowest_s, took)
        grown = _rss() - base
        if grown > peak:
            peak = grown
            if grown > allowed:
                verdict = None
                _tell(out, number, n, way, data, "memory", f"{grown >> 20} MiB")
                _forget_peak()
                base = _rss()
        if verdict is not None:
            counts[verdict] += 1
        if not n % 64:
            shared.add(number, counts, slowest_s, peak)
            counts = dict.fromkeys(_COUNTS, 0)
    shared.add(number, counts, slowest_s, peak)


def _tell(out: int, task: int, number: int, way: int, data: bytes, kind: str, detail: str) -> None:
    line = json.dumps([task, number, way, data[:_LARGEST].hex(), kind, detail]) + "\n"
    os.write(out, line.encode())


def run(tasks: Sequence[Task], seed: int, *, most_failures: int = 200) -> list[Tally]:
    """What became of the inputs of each task. Children are forked one after the other, a new one after each that dies."""
    shared = Shared(len(tasks))
    tallies = [Tally() for _ in tasks]
    first, at = 0, tasks[0].start if tasks else 0
    failed = 0
    while first < len(tasks) and failed < most_failures:
        shared.end()
        code, text, hung = _child(tasks, first, at, seed, shared)
        for line in text.splitlines():
            number, n, way, data, kind, detail = json.loads(line)
            tallies[number].failures.append(Failure(tasks[number].subject.name, way, bytes.fromhex(data), kind, detail, n))
            failed += 1
        current = shared.current()
        if code == 0:
            break
        if current is None:
            raise RuntimeError(
                f"the child ended with {code} between two inputs of {tasks[first].subject.name!r}: {text[-500:]}"
            )
        first, n, _, data = current
        way = tasks[first].given[n][1] if tasks[first].given else n % tasks[first].subject.ways
        kind = "hang" if hung else "crash"
        tallies[first].failures.append(Failure(tasks[first].subject.name, way, data, kind, f"ended with {code}", n))
        failed += 1
        first, at = _after(tasks, first, n + 1)
    for number, tally in enumerate(tallies):
        tally.counts, tally.slowest_s, tally.peak_nbytes = shared.read(number)
    return tallies


def _after(tasks: Sequence[Task], first: int, at: int) -> tuple[int, int]:
    if at < tasks[first].stop:
        return first, at
    return first + 1, tasks[first + 1].start if first + 1 < len(tasks) else 0


def _child(tasks: Sequence[Task], first: int, at: int, seed: int, shared: Shared) -> tuple[int, str, bool]:
    """Exit code, what was told, whether it hung."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            _work(tasks, first, at, seed, shared, writing)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    pieces, hung = [], False
    before = None
    while True:
        ready, _, _ = select.select([reading], [], [], 0.5)
        if ready:
            piece = os.read(reading, 1 << 20)
            if not piece:
                break
            pieces.append(piece)
        current = shared.current()
        # Seen twice: one look may fall between two writes of the child's.
        same = current is not None and before is not None and current[:3] == before[:3]
        if not hung and same and current is not None and time.monotonic() - current[2] > HANG_S:
            hung = True
            os.kill(pid, signal.SIGKILL)
        before = current
    os.close(reading)
    status: Any = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), b"".join(pieces).decode(), hung


def fails(subject: Subject, data: bytes, way: int) -> str | None:
    """The kind of failure of one input, in a child of its own; None where there is none."""
    tally = run([Task(subject, 0, 1, [(data, way)])], 0)[0]
    return tally.failures[0].kind if tally.failures else None


def minimised(subject: Subject, failure: Failure, *, tries: int = 150) -> bytes:
    """A shorter or plainer input that fails in the same way."""
    data = failure.data
    width = max(1, len(data) // 2)
    while width and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            for shorter in (data[:at] + data[at + width :], data[:at] + bytes(len(data[at : at + width])) + data[at + width :]):
                if shorter == data:
                    continue
                tries -= 1
                if fails(subject, shorter, failure.way) == failure.kind:
                    data = shorter
                    break
            else:
                at += width
            if data[at : at + width] == bytes(len(data[at : at + width])):
                at += width
        width //= 2
    return data
