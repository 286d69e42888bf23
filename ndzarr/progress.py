"""How far a long call has come: told to a function of the caller's, or shown as a bar.

Every verb that goes over many chunks takes `progress=`: None or False says nothing, True shows a bar on standard error (rich's,
where that is installed; else a line that counts up), and a function is called as `progress(done, total)`. For NumPy's own
functions, which take no such argument, it is one of the `options`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Progress: TypeAlias = bool | Callable[[int, int], object] | None

#: What is shown is drawn again after so long, in seconds.
_PAUSE_S = 0.1
#: Held while something is shown: of two at once, each would draw over the other.
_showing = threading.Lock()


def is_wanted(progress: Progress) -> bool:
    """Whether anybody is told; a function may be false, as an empty list is."""
    return progress is not None and progress is not False


@contextmanager
def meter(progress: Progress, total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A function to call with how much more is done, from any thread; calls of the caller's own function never overlap.

    total: how much there is to do, in whatever is counted; it may turn out to be less or more. what: a word or two for the
    bar, such as "copy". A bar goes away at the end, also after an exception; what the caller's function raises ends the work.
    """
    if progress is None or progress is False:
        yield lambda count: None
        return
    if progress is not True:
        yield _Counter(progress, total)
        return
    if not _showing.acquire(blocking=False):
        yield lambda count: None
        return
    try:
        with _shown(what, total) as show:
            yield _Counter(_seldom(show), total)
    finally:
        _showing.release()


class _Counter:
    def __init__(self, tell: Callable[[int, int], object], total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._tell(self._done, self._total)


def _seldom(show: Callable[[int, int], object]) -> Callable[[int, int], None]:
    """Hand on the first call, the last one, and in between no more than an eye can follow."""
    last = 0.0

    def told(done: int, total: int) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last > _PAUSE_S:
            last = time.monotonic()
            show(done, total)

    return told


@contextmanager
def _shown(what: str, total: int) -> Iterator[Callable[[int, int], object]]:
    console = _console()
    if console is None:
        with _line(what) as show:
            yield show
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _console() -> Any:
    """Where rich can draw: a terminal or a notebook; None where rich is missing or would draw into a file."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None


@contextmanager
def _line(what: str) -> Iterator[Callable[[int, int], object]]:
    shown = False

    def show(done: int, total: int) -> None:
        nonlocal shown
        shown = True
        print(f"\r{what}: {done:,} of {total:,}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print(file=sys.stderr)
