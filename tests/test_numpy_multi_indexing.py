"""NumPy's own automated test of multi-dimensional indexing, put to a ZArray: every index, read and written.

`numpy/_core/tests/test_indexing.py` holds `TestMultiIndexingAutomated`: it makes its indices, and computes the answers
without using the indexing machinery (`_get_multi_index`). Here its four tests run unchanged, except that
`_check_multi_index` and `_check_single_index`, through which each index passes, ask a ZArray instead of the array.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy._core.tests import test_indexing as numpy_tests

import ndzarr

#: How many indices NumPy's tests make: test_multidim 3 positions x 408 x 2 arrays + 2, test_boolean 3, test_1d 17.
INDICES = 2470
#: How many of them are wrong, on purpose: reading and writing must raise what NumPy raises and change nothing.
REFUSED = 1501
#: The tests of the class; one that NumPy adds must be run here too.
TESTS = {"test_boolean", "test_multidim", "test_1d"}


class MultiIndexing(numpy_tests.TestMultiIndexingAutomated):
    """NumPy's test class with ZArrays under test; counts what it checks and keeps what differs."""

    __test__ = False  # run below, as a whole

    def __init__(self, layout: Callable[[tuple[int, ...]], dict[str, Any]]) -> None:
        self.answers: Callable[[np.ndarray, Any], tuple[np.ndarray, bool]] = self._get_multi_index
        self._layout = layout
        self._stored: dict[tuple[int, ...], Any] = {}
        self.gets = 0
        self.sets = 0
        self.refused = 0
        self.differences: list[str] = []

    def stored(self, arr: np.ndarray) -> Any:
        z = self._stored.get(arr.shape)
        if z is None:
            z = ndzarr.create_array(None, shape=arr.shape, dtype=arr.dtype, compressor=None, **self._layout(arr.shape))
            z[...] = arr
            self._stored[arr.shape] = z
        return z

    @property
    def arrays(self) -> list[Any]:
        """The ZArrays that were asked."""
        return list(self._stored.values())

    def _check_multi_index(self, arr: np.ndarray, index: Any) -> None:
        self.check(arr, index, index)

    def _check_single_index(self, arr: np.ndarray, index: Any) -> None:
        self.check(arr, index, (index,))

    def check(self, arr: np.ndarray, index: Any, as_tuple: tuple[Any, ...]) -> None:
        z = self.stored(arr)
        try:
            answer, _ = self.answers(arr, as_tuple)
        except Exception as error:
            self.refused += 1
            self.gets += self.raises(type(error), index, lambda: z[index])
            self.sets += self.raises(type(error), index, lambda: z.__setitem__(index, 0))
            self.unchanged(z, arr, index)
            return
        try:
            got = z[index]
        except Exception as error:
            self.differences.append(f"z[{index!r}] raised {error!r}")
            return
        if np.shape(got) != answer.shape or not np.array_equal(got, answer):
            self.differences.append(f"z[{index!r}] gave {got!r}, NumPy's answer is {answer!r}")
            return
        self.gets += 1

        # The array is an arange, so what an index selects says where it must write.
        expected = arr.copy()
        expected.flat[answer.ravel().astype(np.intp)] += 1000
        try:
            z[index] = answer + 1000
        except Exception as error:
            self.differences.append(f"z[{index!r}] = ... raised {error!r}")
            return
        if np.array_equal(z[...], expected):
            self.sets += 1
        else:
            self.differences.append(f"after z[{index!r}] = ... the array holds {z[...]!r}, expected {expected!r}")
        z[...] = arr

    def raises(self, kind: type[Exception], index: Any, call: Callable[[], Any]) -> bool:
        try:
            result = call()
        except kind:
            return True
        except Exception as error:
            self.differences.append(f"z[{index!r}] raised {error!r}, NumPy a {kind.__name__}")
        else:
            self.differences.append(f"z[{index!r}] gave {result!r}, NumPy raises {kind.__name__}")
        return False

    def unchanged(self, z: Any, arr: np.ndarray, index: Any) -> None:
        if not np.array_equal(z[...], arr):
            self.differences.append(f"z[{index!r}] = 0 raised, but has changed the array")
            z[...] = arr


def halves(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, (n + 1) // 2) for n in shape)


def whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, n) for n in shape)


def plain(
    make: Callable[[tuple[int, ...]], tuple[int, ...]], order: str, version: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    return {"chunks": make(shape), "order": order, "zarr_format": version}


def turned(shape: tuple[int, ...]) -> dict[str, Any]:
    """Chunks with their axes moved round by one: from three axes on, not the inverse of itself."""
    order = [*range(1, len(shape)), *range(min(1, len(shape)))]
    return {"chunks": halves(shape), "filters": [{"name": "transpose", "configuration": {"order": order}}], "zarr_format": 3}


def turned_shards(shape: tuple[int, ...]) -> dict[str, Any]:
    """A turned shard of turned chunks, its index in front."""
    transpose = turned(shape)["filters"][0]
    order = transpose["configuration"]["order"]
    lengths = [(n + 1) // 2 for n in halves(shape)]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "chunk_shape": [lengths[axis] for axis in order],
        "codecs": [transpose, little],
        "index_codecs": [little, "crc32c"],
        "index_location": "start",
    }
    return {
        "chunks": tuple(2 * n for n in lengths),
        "filters": [transpose, {"name": "sharding_indexed", "configuration": sharding}],
        "zarr_format": 3,
    }


def uneven(shape: tuple[int, ...]) -> dict[str, Any]:
    """Chunks of 1, 2, 3, ... along each axis, the last past the end."""
    lengths = [[k + 1 for k in range(max(1, n)) if k * (k + 1) // 2 < max(1, n)] for n in shape]
    return {"chunks": lengths, "zarr_format": 3}


#: Where the bytes lie. Every index must give the same in all of them.
LAYOUTS: dict[str, Callable[[tuple[int, ...]], dict[str, Any]]] = {
    **{
        f"v{version} {name} {order}": partial(plain, make, order, version)
        for version in (2, 3)
        for name, make in (("halves", halves), ("one chunk", whole))
        for order in ("C", "F")
    },
    "shards": lambda shape: {"chunks": halves(shape), "shards": tuple(2 * n for n in halves(shape)), "zarr_format": 3},
    "shards of one": lambda shape: {"chunks": (1,) * len(shape), "shards": halves(shape), "order": "F", "zarr_format": 3},
    "turned": turned,
    "turned shards": turned_shards,
    "uneven": uneven,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_index_of_numpys_own_test(layout: str, record_property: Callable[[str, object], None]) -> None:
    assert {name for name in dir(numpy_tests.TestMultiIndexingAutomated) if name.startswith("test_")} == TESTS
    run = MultiIndexing(LAYOUTS[layout])
    for name in sorted(TESTS):
        getattr(run, name)()
    record_property("count: gets as NumPy's own multi-indexing test wants them", run.gets)
    record_property("count: sets as NumPy's own multi-indexing test wants them", run.sets)
    assert not run.differences, f"{len(run.differences)} differences, the first ones:\n" + "\n".join(run.differences[:10])
    assert (run.gets, run.sets) == (INDICES, INDICES)
    assert run.refused == REFUSED
    assert {z.shards is not None for z in run.arrays} == {"shards" in layout}
