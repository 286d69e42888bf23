"""`z[...]` and `z[...] = v` against NumPy: values, shapes, dtypes, types and exceptions.

`--index-examples=N` says how many drawn expressions are compared (each is read and then written); the tables below are
always complete.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import ndzarr
from ndzarr.testing import expressions, strategies
from ndzarr.testing.expressions import IndexKinds, RandomChoices, Sample
from ndzarr.testing.outcomes import difference, read, same_values, write

PARTS = 10
PER_SAMPLE = 50


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """NumPy warns of casts that lose something; which warnings come is the subject of `test_conversion_warns_alike`."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def stored(sample: Sample) -> Any:
    z = ndzarr.create_array(None, **sample.keywords)
    sample.fill_into(z)
    return z


def compare_read(z: Any, reference: np.ndarray, index: Any) -> str | None:
    # A copy, for NumPy's basic indexing returns views.
    return difference(read(z, index), read(reference, index))


def compare_write(z: Any, reference: np.ndarray, index: Any, value: Any) -> str | None:
    """Write to both and compare the whole array. Where NumPy raises, `z` must not have changed, or only as NumPy's
    did."""
    before = reference.copy()
    want = write(reference, index, fresh(value))
    found = difference(write(z, index, fresh(value)), want)
    contents = z[...] if z.shape else np.asarray(z[...])
    if want.error is not None:
        if same_values(contents, before):
            reference[...] = before  # NumPy may stop half-way; leaving all as it was is as good
            return found
        if not same_values(contents, reference):
            found = f"{found or 'raised as expected'}, but has changed: {contents!r}, expected {before!r}"
    elif found is None and not same_values(contents, reference):
        found = f"the array now holds {contents!r}, expected {reference!r}"
    return found


def fresh(value: Any) -> Any:
    """`value`, or another generator like it: that can be used only once."""
    return (n for n in (1, 2, 3)) if hasattr(value, "send") else value


def describe(sample: Sample, what: str, found: str) -> str:
    # NumPy's own repr of index arrays is the reproduction.
    return f"\n{what}\n    on {dict(sample.keywords)!r} missing={sorted(sample.missing)}\n    {found}"


# ---- drawn expressions ----


@pytest.mark.parametrize("part", range(PARTS))
def test_drawn_expressions(part: int, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]) -> None:
    examples = pytestconfig.getoption("index_examples")
    wanted = examples * (part + 1) // PARTS - examples * part // PARTS
    kinds = IndexKinds(invalid=True)
    done = refused = 0
    problems: list[str] = []
    number = 0
    while done < wanted and len(problems) < 20:
        seed = f"{part}-{number}"
        number += 1
        choices = RandomChoices(seed)
        sample = expressions.sample(choices)
        reference = sample.data.copy()
        z = stored(sample)
        for _ in range(min(PER_SAMPLE, wanted - done)):
            index = expressions.index(choices, reference.shape, kinds)
            done += 1
            want = read(reference, index)
            refused += want.error is not None
            found = compare_read(z, reference, index)
            if found is not None:
                problems.append(describe(sample, f"seed {seed}: z[{index!r}]", found))
            shape = () if want.error is not None else np.shape(want.value)
            value = expressions.value(choices, shape, reference.dtype, mismatched=True)
            found = compare_write(z, reference, index, value)
            if found is not None:
                problems.append(describe(sample, f"seed {seed}: z[{index!r}] = {value!r}", found))
                # What follows must not fail only because this did.
                z = stored(sample)
                reference = sample.data.copy()
    record_property("count: index expressions compared with NumPy, each read and written", done)
    record_property("count: ... of which NumPy refuses", refused)
    assert not problems, f"{len(problems)} differences in {done} expressions:" + "".join(problems)
    assert done == wanted
    # The generator must neither draw nothing but errors nor leave them out.
    if wanted >= 200:
        assert 0.02 < refused / done < 0.35


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_reads_shrunk(data: st.DataObject) -> None:
    """As above through hypothesis, which makes a failure small."""
    sample = data.draw(strategies.samples())
    z = stored(sample)
    for _ in range(5):
        index = data.draw(strategies.indices(sample.data.shape, invalid=True))
        found = compare_read(z, sample.data, index)
        assert found is None, describe(sample, f"z[{index!r}]", found)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_writes_shrunk(data: st.DataObject) -> None:
    sample = data.draw(strategies.samples())
    z = stored(sample)
    reference = sample.data.copy()
    for _ in range(3):
        index = data.draw(strategies.indices(reference.shape, invalid=True))
        want = read(reference, index)
        shape = () if want.error is not None else np.shape(want.value)
        value = data.draw(strategies.values_for(shape, reference.dtype, mismatched=True))
        found = compare_write(z, reference, index, value)
        assert found is None, describe(sample, f"z[{index!r}] = {value!r}", found)


def test_generator_reaches_everything() -> None:
    """The drawn expressions hold every kind of entry, on arrays of every rank: or the counts above would say little."""
    seen: set[str] = set()
    for number in range(3000):
        choices = RandomChoices(f"coverage-{number}")
        shape = tuple(choices.integer(1, 5) for _ in range(choices.integer(0, 4)))
        index = expressions.index(choices, shape, IndexKinds(invalid=True))
        seen.add(f"rank {len(shape)}")
        seen.add("bare" if not isinstance(index, tuple) else "tuple")
        arrays = 0
        for entry in index if isinstance(index, tuple) else (index,):
            if isinstance(entry, slice):
                step = entry.step if isinstance(entry.step, int) else 1
                seen.add("slice back" if step < 0 else "slice")
            elif isinstance(entry, np.ndarray):
                seen.add(f"{entry.dtype.kind} array of rank {entry.ndim}")
                arrays += 1
            else:
                seen.add(type(entry).__name__)
                arrays += isinstance(entry, list)
        seen.add(f"{min(arrays, 3)} arrays")
    expected = {f"rank {n}" for n in range(5)} | {f"{n} arrays" for n in range(4)} | {"bare", "tuple", "slice", "slice back"}
    expected |= {f"i array of rank {n}" for n in range(4)} | {f"b array of rank {n}" for n in range(5)}
    expected |= {
        "u array of rank 1",
        "NoneType",
        "ellipsis",
        "int",
        "int64",
        "int8",
        "bool",
        "list",
        "float",
        "str",
    }
    assert not expected - seen


# ---- every expression that some other implementation gets wrong ----

SHAPE = (7, 6, 5)
CHUNKS = (3, 4, 2)
_random = random.Random(7)
MASK_3D = np.arange(210).reshape(SHAPE) % 3 == 0
MASK_2D = np.array([[_random.random() < 0.4 for _ in range(6)] for _ in range(7)])
MASK_1D = np.array([True, False, True, True, False, False, True])

READS = {
    "x[2]": 2,
    "x[...,1]": (..., 1),
    "x[::2,1:5:3]": (slice(None, None, 2), slice(1, 5, 3)),
    "x[1,2,3]": (1, 2, 3),
    "x[3:3]": slice(3, 3),
    "x[np.int64(2)]": np.int64(2),
    "x[-1]": -1,
    "x[5:100]": slice(5, 100),
    "x[::-1]": slice(None, None, -1),
    "x[5:1:-2,::-1]": (slice(5, 1, -2), slice(None, None, -1)),
    "x[None,2:4]": (None, slice(2, 4)),
    "x[:,None,1,...,None]": (slice(None), None, 1, ..., None),
    "x[[0,3,3,1]]": [0, 3, 3, 1],
    "x[[4,1],1:5]": ([4, 1], slice(1, 5)),
    "x[:,[4,0,4],1:]": (slice(None), [4, 0, 4], slice(1, None)),
    "x[[0,1],[2,3]]": ([0, 1], [2, 3]),
    "x[[0,1],[2,3],1:4]": ([0, 1], [2, 3], slice(1, 4)),
    "x[[0,1],:,[2,3]]": ([0, 1], slice(None), [2, 3]),
    "x[0,:,[2,3]]": (0, slice(None), [2, 3]),
    "x[np.array([[0,1],[2,3]])]": np.array([[0, 1], [2, 3]]),
    "x[np.ix_(...)]": np.ix_([0, 6, 3], [5, 1], [4, 0, 0]),
    "x[mask3d]": MASK_3D,
    "x[mask1d]": MASK_1D,
    "x[mask2d,1:3]": (MASK_2D, slice(1, 3)),
    "x[mask1d,[0,1,2,3]]": (MASK_1D, [0, 1, 2, 3]),
    "x[True]": True,
    "x[False]": False,
    "x[[-1,-2]]": [-1, -2],
    "x[[]]": [],
    "x[np.array(2)]": np.array(2),
    "x[None,[0,1],:,[1,2]]": (None, [0, 1], slice(None), [1, 2]),
    "x[::-1,[0,2]]": (slice(None, None, -1), [0, 2]),
    "x[:,[0,1],...,-2]": (slice(None), [0, 1], ..., -2),
    "x[[0,1],[2,3],...,-2]": ([0, 1], [2, 3], ..., -2),
    "x[()]": (),
    "x[...]": ...,
    "x[1,2,3,...]": (1, 2, 3, ...),
    "x[np.array(True)]": np.array(True),
    "x[True,2]": (True, 2),
    "x[...,None]": (..., None),
    "x[MASK_1D.tolist()]": MASK_1D.tolist(),
    "x[np.uint8([6,0])]": np.array([6, 0], "u1"),
    "x[(0,1),]": ((0, 1),),
    "x[7]": 7,
    "x[-8]": -8,
    "x[1,2,3,4]": (1, 2, 3, 4),
    "x[[0,7]]": [0, 7],
    "x[[0,1],[0,1,2]]": ([0, 1], [0, 1, 2]),
    "x[MASK_1D[:6]]": MASK_1D[:6],
    "x[:,MASK_1D]": (slice(None), MASK_1D),
    "x[1.0]": 1.0,
    "x[[1.0]]": [1.0],
    "x['a']": "a",
    "x[['a']]": ["a"],
    "x[::0]": slice(None, None, 0),
    "x['a':]": slice("a", None),
    "x[1.0:]": slice(1.0, None),
    "x[...,...]": (..., ...),
    "x[2**70]": 1 << 70,
    "x[:2**70]": slice(None, 1 << 70),
    "x[object()]": object(),
}


#: Where the bytes of the array lie.
LAYOUTS: dict[str, dict[str, Any]] = {
    "v2 C": {"chunks": CHUNKS, "order": "C", "zarr_format": 2},
    "v2 F": {"chunks": CHUNKS, "order": "F", "zarr_format": 2},
    "v3 C": {"chunks": CHUNKS, "order": "C", "zarr_format": 3},
    "v3 F": {"chunks": CHUNKS, "order": "F", "zarr_format": 3},
    "shards": {"chunks": (3, 2, 1), "shards": (6, 4, 4), "zarr_format": 3},
    "uneven": {"chunks": ([1, 5, 3], 4, [2, 3]), "zarr_format": 3},
}


@pytest.fixture(params=list(LAYOUTS))
def pair(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    reference = np.arange(210, dtype="i4").reshape(SHAPE)
    z = ndzarr.create_array(None, shape=SHAPE, dtype="i4", **LAYOUTS[request.param])
    z[...] = reference
    return z, reference


@pytest.mark.parametrize("name", READS)
def test_read(name: str, pair: tuple[Any, np.ndarray]) -> None:
    z, reference = pair
    assert compare_read(z, reference, READS[name]) is None


# (index, value); a function of the reference makes the value where it depends on the selection.
WRITES: dict[str, tuple[Any, Any]] = {
    "x[1:4]=arange(5)": (slice(1, 4), np.arange(5)),
    "x[::-1]=a": (slice(None, None, -1), np.arange(210, 420).reshape(SHAPE)),
    "x[mask3d]=-1": (MASK_3D, -1),
    "x[mask3d]=values": (MASK_3D, np.arange(int(MASK_3D.sum()))),
    "x[mask1d]=-1": (MASK_1D, -1),
    "x[[0,1],[2,3]]=7": (([0, 1], [2, 3]), 7),
    "x[:,:2,[0,1]]=col": ((slice(None), slice(0, 2), [0, 1]), np.arange(7).reshape(7, 1, 1)),
    "x[0,:,[1,2]]=v": ((0, slice(None), [1, 2]), np.arange(12).reshape(2, 6)),
    "x[None,0]=3": ((None, 0), 3),
    "x[...,0]=0": ((..., 0), 0),
    "x[[2,2,2]]=last wins": ([2, 2, 2], np.arange(3 * 30).reshape(3, 6, 5)),
    "x[[1,1],[2,2],[3,3]]=last wins": (([1, 1], [2, 2], [3, 3]), [10, 20]),
    "x[mask2d,1:3]=row": ((MASK_2D, slice(1, 3)), [[5, 6]]),
    "x[True]=9": (True, 9),
    "x[False]=9": (False, 9),
    "x[[]]=9": ([], 9),
    "x[3:3]=9": (slice(3, 3), 9),
    "x[3:3]=zeros((0,6,5))": (slice(3, 3), np.zeros((0, 6, 5))),
    "x[...]=x.T shape": (..., np.zeros((5, 6, 7))),
    "x[1]=leading ones": (1, np.arange(30).reshape(1, 1, 6, 5)),
    "x[[1]]=leading ones": ([1], np.arange(30).reshape(1, 1, 6, 5)),
    "x[mask3d]=leading ones": (MASK_3D, np.ones((1, int(MASK_3D.sum())), int)),
    "x[1,2,3]=[5]": ((1, 2, 3), [5]),
    "x[1,2,3]=[[5]]": ((1, 2, 3), [[5]]),
    "x[1,2,3]=[5,6]": ((1, 2, 3), [5, 6]),
    "x[1:3]=wrong length": (slice(1, 3), np.arange(4)),
    "x[mask3d]=wrong length": (MASK_3D, np.arange(3)),
    "x[[0,1]]=wrong length": ([0, 1], np.arange(3)),
    "x[9]=1": (9, 1),
    "x[0]='x'": (0, "x"),
    "x[0]=2**40": (0, 1 << 40),
}


@pytest.mark.parametrize("name", WRITES)
def test_write(name: str, pair: tuple[Any, np.ndarray]) -> None:
    z, reference = pair
    index, value = WRITES[name]
    assert compare_write(z, reference, index, value) is None


@pytest.mark.parametrize("name", list(READS))
def test_write_through_read_index(name: str, pair: tuple[Any, np.ndarray]) -> None:
    """Each expression of the read table, assigned to: distinct values, so that a misplaced one shows."""
    z, reference = pair
    want = read(reference, READS[name])
    shape = () if want.error is not None else np.shape(want.value)
    value = -1 - np.arange(int(np.prod(shape))).reshape(shape)
    assert compare_write(z, reference, READS[name], value) is None


def test_augmented_assignment(pair: tuple[Any, np.ndarray]) -> None:
    z, reference = pair
    z[1] += 1
    reference[1] += 1
    z[[0, 0, 2], ::-1] *= 3
    reference[[0, 0, 2], ::-1] *= 3
    z[MASK_3D] -= 4
    reference[MASK_3D] -= 4
    assert np.array_equal(z[...], reference)


def test_value_is_an_array_of_ours(pair: tuple[Any, np.ndarray]) -> None:
    z, reference = pair
    other = ndzarr.create_array(None, shape=(6, 5), dtype="f8", chunks=(4, 4))
    other[...] = np.arange(30.0).reshape(6, 5)
    z[2] = other
    reference[2] = np.arange(30.0).reshape(6, 5)
    z[...] = z[::-1]
    reference[...] = reference[::-1].copy()
    assert np.array_equal(z[...], reference)


def test_result_is_the_callers(pair: tuple[Any, np.ndarray]) -> None:
    """A result does not change with the array, nor the array with the result."""
    z, reference = pair
    part = z[2:4]
    part += 1
    assert np.array_equal(z[...], reference)
    part = z[2:4]
    z[2:4] = 0
    assert np.array_equal(part, reference[2:4])


# ---- fields ----

FIELDS = {
    "flat": np.dtype([("a", "<i4"), ("b", ">f8"), ("c", "S3")]),
    "nested": np.dtype([("a", "<i4"), ("b", [("p", "<f4"), ("q", "<u2")]), ("c", "U2")]),
    "subarray": np.dtype([("a", "<i4"), ("b", "<f4", (2, 3)), ("c", "?")]),
    "aligned": np.dtype([("a", "u1"), ("b", "<f8"), ("c", "<i2")], align=True),
}


#: Format 3 has no data type for fields that are arrays, nor for gaps between fields.
IN_BOTH = ("flat", "nested")


@pytest.fixture(params=[*((name, 2) for name in FIELDS), *((name, 3) for name in IN_BOTH)], ids=lambda p: f"{p[0]} v{p[1]}")
def structured(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    name, version = request.param
    dtype = FIELDS[name] if version == 2 else FIELDS[name].newbyteorder("=")
    reference = expressions.pattern((7, 4), dtype)
    z = ndzarr.create_array(None, shape=(7, 4), dtype=FIELDS[name], chunks=(3, 3), zarr_format=version)
    assert z.dtype == dtype
    z[...] = reference
    return z, reference


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - set(IN_BOTH)))
def test_structures_that_format_3_has_not(name: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match="dtype"):
        ndzarr.create_array(None, shape=(7, 4), dtype=FIELDS[name], zarr_format=3)


FIELD_READS: dict[str, tuple[Any, Callable[[np.ndarray], Any]]] = {
    "z['a']": ("a", lambda x: x["a"]),
    "z['b']": ("b", lambda x: x["b"]),
    "z[['a','b']]": (["a", "b"], lambda x: x[["a", "b"]]),
    "z[['c','a']]": (["c", "a"], lambda x: x[["c", "a"]]),
    "z['a',3:5]": (("a", slice(3, 5)), lambda x: x["a"][3:5]),
    "z['b',::-1,0]": (("b", slice(None, None, -1), 0), lambda x: x["b"][::-1, 0]),
    "z['a',3,2]": (("a", 3, 2), lambda x: x["a"][3, 2]),
    "z['c',[0,6,0],[1,2,3]]": (("c", [0, 6, 0], [1, 2, 3]), lambda x: x["c"][[0, 6, 0], [1, 2, 3]]),
    "z['none']": ("none", lambda x: x["none"]),
    "z[['a','none']]": (["a", "none"], lambda x: x[["a", "none"]]),
    "z[2]": (2, lambda x: x[2]),
    "z[2,3]": ((2, 3), lambda x: x[2, 3]),
    "z[[0,0],::-1]": (([0, 0], slice(None, None, -1)), lambda x: x[[0, 0], ::-1]),
}


class _Called:
    """Gives a function's result, or its exception, where `read` expects an indexing."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def __getitem__(self, _: object) -> Any:
        return self._function()


@pytest.mark.parametrize("name", FIELD_READS)
def test_field_read(name: str, structured: tuple[Any, np.ndarray]) -> None:
    z, reference = structured
    index, numpy_form = FIELD_READS[name]
    assert difference(read(z, index), read(_Called(lambda: numpy_form(reference)), ...)) is None


def test_field_write(structured: tuple[Any, np.ndarray]) -> None:
    z, reference = structured
    z["a"] = 5
    reference["a"] = 5
    assert same_values(z[...], reference)
    z["a"] = np.arange(28).reshape(7, 4) + 50
    reference["a"] = np.arange(28).reshape(7, 4) + 50
    assert same_values(z[...], reference)
    z["a", 3:5] = [[1], [2]]
    reference["a"][3:5] = [[1], [2]]
    assert same_values(z[...], reference)
    z["a", [0, 6], [1, 2]] = 77
    reference["a"][[0, 6], [1, 2]] = 77
    assert same_values(z[...], reference)
    part = reference[::-1][["a", "c"]].copy()
    z[["a", "c"]] = part
    reference[["a", "c"]] = part
    assert same_values(z[...], reference)
    z["b"] = reference["b"][::-1].copy()
    reference["b"] = reference["b"][::-1].copy()
    assert same_values(z[...], reference)
    z[2, 3] = reference[0, 0]
    reference[2, 3] = reference[0, 0]
    assert same_values(z[...], reference)


@pytest.mark.parametrize(("index", "value"), [("a", "x"), ("none", 1), (["a", "none"], 1), ("a", [1, 2, 3, 4, 5])])
def test_field_write_refused(index: Any, value: Any, structured: tuple[Any, np.ndarray]) -> None:
    z, reference = structured
    assert compare_write(z, reference, index, value) is None


def test_field_of_an_array_without_fields(pair: tuple[Any, np.ndarray]) -> None:
    z, reference = pair
    assert compare_read(z, reference, "a") is None
    assert compare_read(z, reference, ["a", "b"]) is None
    assert compare_write(z, reference, "a", 1) is None


# ---- conversion of values ----


class _Interface:
    """Something with `__array__` only."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1, 2, 3], dtype)


class _Index:
    def __index__(self) -> int:
        return 3


class _Float:
    def __float__(self) -> float:
        return 2.5


DTYPES = ("i1", "u1", "i4", "u8", "f2", "f4", "f8", "c8", "?", "S3", "U2", "M8[D]", "M8[ns]", "m8[s]", "V3", "i4,f4")
VALUES: dict[str, Any] = {
    "int": 5,
    "-1": -1,
    "200": 200,
    "300": 300,
    "2**31": 1 << 31,
    "2**63": 1 << 63,
    "2**64": 1 << 64,
    "10**400": 10**400,
    "1.5": 1.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "1e300": 1e300,
    "1+2j": 1 + 2j,
    "True": True,
    "None": None,
    "'12'": "12",
    "'1.5'": "1.5",
    "'x'": "x",
    "'abcdef'": "abcdef",
    "'\u00e9'": "\u00e9",
    "''": "",
    "b'12'": b"12",
    "b'\\xff'": b"\xff",
    "'2020-01-02'": "2020-01-02",
    "'NaT'": "NaT",
    "np.int8(-1)": np.int8(-1),
    "np.int64(300)": np.int64(300),
    "np.uint64(2**63)": np.uint64(1 << 63),
    "np.float64(nan)": np.float64("nan"),
    "np.float64(1e300)": np.float64(1e300),
    "np.complex64": np.complex64(1 + 2j),
    "np.datetime64": np.datetime64("2020-01-02T03:04:05", "s"),
    "np.timedelta64": np.timedelta64(7, "m"),
    "np.str_": np.str_("12"),
    "np.bytes_": np.bytes_(b"12"),
    "np.void": np.void(b"abc"),
    "Decimal": Decimal("1.25"),
    "Fraction": Fraction(5, 4),
    "object": object(),
    "dict": {},
    "set": {1},
    "_Index": _Index(),
    "_Float": _Float(),
    "_Interface": _Interface(),
    "range": range(3),
    "generator": (n for n in (1, 2, 3)),
    "tuple": (1, 2),
    "list": [1, 2, 3],
    "list of str": ["1", "2", "3"],
    "list of bad str": ["1", "2", "x"],
    "list with 300": [1, 300, 2],
    "list with -1": [1, -1, 2],
    "list with None": [1, None, 2],
    "list with float": [1, 2.5, 3],
    "list with complex": [1, 2j, 3],
    "list with nan": [1, float("nan"), 2],
    "list of tuples": [(1, 2.0), (3, 4.0), (5, 6.0)],
    "list of bytes": [b"1", b"2", b"3"],
    "ragged": [[1, 2, 3], [1]],
    "empty list": [],
    "wrong length": [1, 2],
    "array with 300": np.array([1, 300, 2]),
    "array with nan": np.array([1.0, np.nan, 2.0]),
    "array with inf": np.array([1.0, np.inf, 2.0]),
    "array with 1e300": np.array([1e300, 1.0, 2.0]),
    "array complex": np.array([1j, 2, 3]),
    "array of str": np.array(["1", "2", "3"]),
    "array of bad str": np.array(["1", "2", "x"]),
    "array of bytes": np.array([b"1", b"2", b"3"]),
    "array of objects": np.array([1, 2, 3], object),
    "array of bad objects": np.array([1, object(), 3], object),
    "array of dates": np.array(["2020-01-02", "NaT", "1969-01-01"], "M8[h]"),
    "array of deltas": np.array([1, 2, 3], "m8[D]"),
    "array of V3": np.array([b"abc", b"d", b"e"]).view("V3"),
    "array of structs": np.array([(1, 2.0), (3, 4.0), (5, 6.0)], "i8,f8"),
    "array of other structs": np.array([(1,), (2,), (3,)], [("x", "i4")]),
    "bytearray": bytearray(b"\x01\x02\x03"),
    "memoryview": memoryview(b"\x01\x02\x03"),
    "masked": np.ma.masked_array([1, 2, 3], [False, True, False]),
    "matrix row": np.array([[1, 2, 3]]),
    "big endian": np.array([1, 2, 3], ">f8"),
}


#: Strings of any length are in format 3 only.
IN_FORMATS = [*((dtype, 2) for dtype in DTYPES), *((dtype, 3) for dtype in (*DTYPES, "T"))]


def made(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, version: int) -> Any:
    codecs: dict[str, Any] = {"filters": ["json2"]} if dtype == "O" else {}
    return ndzarr.create_array(None, shape=shape, dtype=dtype, chunks=chunks, zarr_format=version, **codecs)


def unanswered(dtype: str, value: str) -> bool:
    """NumPy puts bytes that are no text into strings as they are, and cannot read them again."""
    return dtype == "T" and "xff" in value


@pytest.mark.parametrize(("dtype", "version"), IN_FORMATS)
@pytest.mark.parametrize(
    "index", [slice(None), 1, [2, 0, 1], np.array([True, True, True])], ids=["slice", "int", "list", "mask"]
)
def test_conversion(dtype: str, version: int, index: Any) -> None:
    problems = []
    for name, value in VALUES.items():
        if unanswered(dtype, name):
            continue
        reference = expressions.pattern((3,), np.dtype(dtype))
        z = made((3,), (2,), dtype, version)
        z[...] = reference
        found = compare_write(z, reference, index, value)
        if found is not None:
            problems.append(f"\n{dtype}: z[{index!r}] = {name}: {found}")
    assert not problems, f"{len(problems)} of {len(VALUES)}" + "".join(problems)


@pytest.mark.parametrize(("dtype", "version"), IN_FORMATS)
def test_conversion_warns_alike(dtype: str, version: int) -> None:
    problems = []
    for name, value in VALUES.items():
        if unanswered(dtype, name):
            continue
        raised: list[list[str]] = []
        z = made((3,), (2,), dtype, version)
        for array in (np.zeros(3, dtype), z):
            with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn"):
                warnings.simplefilter("always")
                write(array, slice(None), fresh(value))
            raised.append(sorted({w.category.__name__ for w in caught}))
        if raised[0] != raised[1]:
            problems.append(f"\n{dtype}: z[:] = {name} warns {raised[1]}, NumPy {raised[0]}")
    assert not problems, f"{len(problems)} of {len(VALUES)}" + "".join(problems)


#: Indices that are wrong, or select nothing, for shapes (3,) and (3, 3).
_EMPTY = np.array([], int)
IDLE_INDICES: dict[int, list[Any]] = {
    1: [[-8], [0, 9], [[0, 9]], 9, -4, (None, [9]), slice(3, 3), [], np.zeros((0, 2), int), np.zeros(3, bool)],
    2: [[-8], ([0, 1], [0, 1, 2]), ([0, 9], [0, 1]), (slice(None), [9]), (0, [9]), (0, 9), (slice(0, 0), [9]),
        ([9], slice(0, 0)), ([9], 9), (_EMPTY, [9]), (_EMPTY, 0), (_EMPTY, slice(None)), np.zeros((3, 3), bool)],
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "version"), [*IN_FORMATS, ("O", 2)])
def test_conversion_where_nothing_is_written(dtype: str, version: int) -> None:
    """Which comes first where both the index and the value are wrong, and whether a value is cast that goes nowhere."""
    problems = []
    for ndim, indices in IDLE_INDICES.items():
        z = made((3,) * ndim, (2,) * ndim, dtype, version)
        before = z[...]
        reference = before.copy()
        values = {name: value for name, value in VALUES.items() if not name.startswith("generator")}
        for name, value in list(values.items()):
            if not isinstance(value, np.ndarray) and not isinstance(value, (list, tuple, dict, set, range)):
                values |= {
                    f"{name} as an array": np.array(value),
                    f"{name} as one of an array": np.array(value).reshape(-1)[:1],
                }
        values["structs of one"] = np.zeros(1, "i8,f8")
        values["structs without axes"] = np.zeros((), "i8,f8")
        for index in indices:
            for name, value in values.items():
                if unanswered(dtype, name):
                    continue
                found = difference(write(z, index, value), write(reference, index, value))
                if found is not None:
                    problems.append(f"\n{dtype}: z[{index!r}] = {name}: {found}")
        assert same_values(reference, before)
        assert same_values(z[...], before)
    assert not problems, f"{len(problems)}" + "".join(problems)


SMALL_INDICES: list[Any] = [(), ..., None, (..., None), True, False, np.array(True), 0, -1, [0], [], [[]], slice(None)]


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (1, 1)])
@pytest.mark.parametrize("dtype", ["i4", "U3", "M8[s]", "i4,f4"])
def test_small_shapes(shape: tuple[int, ...], dtype: str, zarr_format: int) -> None:
    reference = expressions.pattern(shape, np.dtype(dtype), 3)
    z = ndzarr.create_array(None, shape=shape, dtype=dtype, chunks=tuple(n or 1 for n in shape))
    z[...] = reference
    for index in SMALL_INDICES:
        assert compare_read(z, reference, index) is None, index
        value = reference.flat[0] if reference.size else 0
        assert compare_write(z, reference, index, value) is None, index


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("dtype", ["T", "O", "U2", "i4"])
def test_which_of_repeated_indices_stays_for_nested_lists(order: tuple[int, ...], dtype: str) -> None:
    """NumPy visits points in the memory order of the index; objects and strings in lists do not change it, others do."""
    points = np.array([[[6, 1], [9, 8]], [[0, 8], [13, 3]], [[2, 13], [8, 9]], [[6, 0], [4, 11]]])
    index = np.ascontiguousarray(points.transpose(order)).transpose(np.argsort(order))
    kind: Any = np.dtypes.StringDType() if dtype == "T" else dtype
    value = np.arange(42, 58).reshape(4, 2, 2).astype("i4" if dtype == "i4" else "U2").tolist()
    a = np.zeros(14, kind) if dtype == "i4" else np.full(14, "x", kind)
    more = {"filters": ["vlen-utf8"], "zarr_format": 2} if dtype == "O" else {}
    z = ndzarr.array(a, chunks=(5,), **more)
    a[(index,)] = z[(index,)] = value
    assert z[...].tolist() == a.tolist()
