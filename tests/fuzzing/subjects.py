"""What is fuzzed: good input, how to damage it, and what may come of that."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ndzarr
from ndzarr._typing import NDArray
from tests.fuzzing import mutators

MiB = 1 << 20

REFUSED, UNCHANGED, CHANGED = "refused", "unchanged", "changed"


class OutcomeError(Exception):
    """What may not happen: `kind` is "exception", "unnamed", "garbage", "shape", "memory", "crash" or "hang"."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class Subject(ABC):
    """One kind of input. `row` is the line of the table that it counts in, `share` its part of all inputs."""

    name: str
    row: str
    share: float = 1.0
    #: Decoded bytes of a chunk: memory may grow by three times this and 64 MiB.
    chunk_nbytes: int = 4096
    #: Address space beyond that which a library may ask for and never use.
    unused_nbytes: int = 0
    #: How many ways of reading `judge` knows.
    ways: int = 1
    #: Good inputs; the first is what is damaged most.
    goods: Sequence[bytes]

    def mutate(self, rng: random.Random) -> bytes:
        """A damaged input."""
        good = self.goods[0] if rng.random() < 0.7 else rng.choice(self.goods)
        return mutators.damaged(rng, good, self.goods)

    @abstractmethod
    def judge(self, data: bytes, way: int) -> str:
        """REFUSED, UNCHANGED or CHANGED; raises OutcomeError for what may not happen."""


def refused(error: BaseException, *classes: type[BaseException], names: Callable[[Any], bool]) -> str:
    """REFUSED where `error` is one of `classes` and names what it is about; else OutcomeError."""
    if not isinstance(error, classes):
        told = f"{type(error).__module__}.{type(error).__name__}: {str(error)[:300]}"
        raise OutcomeError("exception", told) from error
    if not names(error):
        raise OutcomeError("unnamed", f"{type(error).__name__}: {str(error)[:300]}") from error
    return REFUSED


def same(found: Any, wanted: NDArray) -> bool:
    """Whether two arrays hold the same, bit by bit; of objects, equal ones."""
    if wanted.dtype.kind in "OT":
        return repr(found.tolist()) == repr(wanted.tolist())
    return bool(np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(wanted).tobytes())


def subjects(group: str = "") -> list[Subject]:
    """All of them, or those of one group: "codecs", "shards", "documents", "archives"; or those of "faulty"."""
    from tests.fuzzing import archives, codecs, documents, faulty, shards

    if group == "faulty":
        return faulty.subjects()

    groups: dict[str, Callable[[], Sequence[Subject]]] = {
        "codecs": codecs.subjects,
        "shards": shards.subjects,
        "documents": documents.subjects,
        "archives": archives.subjects,
    }
    return [subject for name, make in groups.items() if group in ("", name) for subject in make()]


def limits() -> Any:
    """The options that inputs are read under: one thread, and no more than this of what has no size of its own."""
    return ndzarr.options(max_object=4 * MiB, workers=1, max_metadata=MiB)
