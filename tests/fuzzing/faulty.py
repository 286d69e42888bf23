"""Subjects that do what none may, one each: so that it is known to be noticed."""

from __future__ import annotations

import ctypes
import random
import time
from collections.abc import Sequence

import numpy as np

from ndzarr.errors import CorruptChunkError
from tests.fuzzing.guarded import Guarded
from tests.fuzzing.subjects import CHANGED, UNCHANGED, MiB, OutcomeError, Subject, refused


class FaultySubject(Subject):
    """Right for good input; for damage it does what its name says."""

    row = "faulty"
    unused_nbytes = 256 * MiB
    goods: Sequence[bytes] = [b"good"]

    def __init__(self, name: str) -> None:
        self.name = name

    def mutate(self, rng: random.Random) -> bytes:
        return b"damaged"

    def judge(self, data: bytes, way: int) -> str:
        if data == b"good":
            return UNCHANGED
        if self.name == "crash":
            ctypes.string_at(0)
        elif self.name == "crash beyond the end":
            view = Guarded(64).holding(data)
            address = np.frombuffer(view, "u1").ctypes.data
            assert ctypes.string_at(address, len(view)) == data
            ctypes.string_at(address, len(view) + 1)
        elif self.name == "hang":
            time.sleep(3600)
        elif self.name == "memory":
            np.ones(100 * MiB, "u1")
        elif self.name == "exception":
            return refused(KeyError("x"), CorruptChunkError, names=bool)
        elif self.name == "unnamed":
            return refused(CorruptChunkError("x"), CorruptChunkError, names=lambda error: bool(error.codec))
        elif self.name == "garbage":
            raise OutcomeError("garbage", "wrong values under a checksum")
        return CHANGED


def subjects() -> list[Subject]:
    kinds = ("crash", "crash beyond the end", "hang", "memory", "exception", "unnamed", "garbage")
    return [FaultySubject(name) for name in kinds]
