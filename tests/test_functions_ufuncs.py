"""Ufuncs block by block: NumPy's values, whole objects written unread, nothing larger than a block in memory."""

from __future__ import annotations

import operator
import random
import tracemalloc
import warnings

import numpy as np
import pytest

import ndzarr
from ndzarr.testing.calls.wraps import zarray

CAP = 4 << 20


def floats(shape: tuple[int, ...] = (7, 6), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def counting(array: np.ndarray, chunks: tuple[int, ...], **more: object) -> tuple[ndzarr.ZArray, ndzarr.FaultStore]:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=array.shape, dtype=array.dtype, chunks=chunks, compressor=None, **more)
    z[...] = array
    store.clear()
    return z, store


def calls(store: ndzarr.FaultStore, *ops: str) -> int:
    return sum(call.op in ops for call in store.log)


@pytest.mark.parametrize("seed", range(200))
def test_mixed_operands_follow_numpys_rules(seed: int) -> None:
    choose = random.Random(seed)
    rng = np.random.default_rng(seed)
    dtypes = ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", ">i4"]

    def operand() -> object:
        what = choose.random()
        if what < 0.2:
            return choose.choice([2, 3.5, True, np.float32(1.5), np.int8(3), 1 + 2j])
        a = rng.integers(0, 5, choose.choice([(5, 6), (6,), (1, 6), (5, 1), (2, 5, 6), ()])).astype(choose.choice(dtypes))
        return zarray(a) if what < 0.75 else a.tolist() if what < 0.8 else a

    inputs = [operand(), operand()]
    if not any(isinstance(x, ndzarr.ZArray) for x in inputs):
        inputs[0] = zarray(rng.integers(0, 5, (5, 6)).astype("i4"))
    ufunc = choose.choice(
        [np.add, np.multiply, np.true_divide, np.maximum, np.less, np.divmod, np.power, np.logical_and, np.hypot]
    )
    plain = [np.asarray(x) if isinstance(x, ndzarr.ZArray) else x for x in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = ufunc(*plain)
        except (TypeError, OverflowError) as error:
            with ndzarr.options(working_memory=1), pytest.raises(type(error)):
                ufunc(*inputs)
            return
        with ndzarr.options(working_memory=choose.choice([1, 400]), workers=choose.choice([1, 2])):
            got = ufunc(*inputs)
    for g, w in zip(got if isinstance(want, tuple) else [got], want if isinstance(want, tuple) else [want], strict=True):
        assert type(g) is type(w)
        assert g.dtype == w.dtype
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize(
    "op",
    [
        operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow,
    ],
)  # fmt: skip
def test_in_place_operators_write_to_the_store(op: object) -> None:
    a = np.abs(floats()) + 1
    for z in (zarray(a), ndzarr.array(a, chunks=(2, 2), shards=(4, 4))):
        same = op(z, 2)
        assert same is z
        np.testing.assert_array_equal(z[...], op(a.copy(), 2))


def test_in_place_on_integers_refuses_what_numpy_refuses() -> None:
    z = zarray(np.arange(6))
    with pytest.raises(TypeError, match="Cannot cast"):
        z /= 2
    with pytest.raises(TypeError, match="Cannot cast"):
        np.add(z, 0.5, out=z)
    np.testing.assert_array_equal(z[...], np.arange(6))
    z <<= 1
    np.testing.assert_array_equal(z[...], np.arange(6) << 1)


def test_each_object_is_written_once_and_read_only_where_it_is_an_operand() -> None:
    a = floats((8, 8))
    z, store = counting(a, (2, 2), shards=(4, 4))
    other = zarray(a)
    with ndzarr.options(working_memory=1):
        np.multiply(other, 2, out=z)
    np.testing.assert_array_equal(z[...], a * 2)
    z, store = counting(a, (4, 4))
    with ndzarr.options(working_memory=1):
        np.multiply(other, 2, out=z)
    assert calls(store, "set") == 4
    assert calls(store, "get", "get_tagged", "get_many") == 0
    store.clear()
    z += 1
    assert calls(store, "set") == 4
    assert calls(store, "get", "get_tagged", "get_many") == 4


def test_an_overlapping_view_is_computed_before_it_is_written() -> None:
    for seed in range(40):
        choose = random.Random(seed)
        a = floats((24,), seed)
        z = ndzarr.array(a, chunks=(choose.randint(1, 7),))
        start, shift, step = choose.randint(0, 3), choose.randint(0, 4), choose.choice([1, 1, 2, -1])
        source = slice(start, start + 12) if step > 0 else slice(start + 11, start - 1 if start else None, -1)
        target = slice(start + shift, start + shift + 12)
        with ndzarr.options(working_memory=1):
            np.add(z.lazy[source], 1, out=z.lazy[target])
        a[target] = a[source] + 1
        np.testing.assert_array_equal(z[...], a)


def test_where_leaves_what_it_does_not_select() -> None:
    a, mask = floats(), floats(seed=1) > 0
    for given in (mask, zarray(mask), mask[0]):
        want, z = a.copy(), zarray(a)
        np.negative(a, out=want, where=np.asarray(given))
        with ndzarr.options(working_memory=1):
            np.negative(z, out=z, where=given)
        np.testing.assert_array_equal(z[...], want)


def test_masked_arrays_stay_masked() -> None:
    a = floats()
    masked = np.ma.masked_array(floats(seed=2), mask=floats(seed=3) > 0.5)
    with ndzarr.options(working_memory=1):
        got = np.add(zarray(a), masked)
    want = np.add(a, masked)
    assert isinstance(got, np.ma.MaskedArray)
    np.testing.assert_array_equal(got.mask, want.mask)
    np.testing.assert_array_equal(got.filled(0), want.filled(0))


def test_out_of_the_wrong_shape() -> None:
    z = zarray(floats())
    for out in (zarray(floats((7, 5))), np.empty((6, 7)), zarray(floats((1, 6)))):
        with pytest.raises(ValueError, match="broadcast"):
            np.add(floats(), 1, out=np.asarray(out))
        with ndzarr.options(working_memory=1), pytest.raises(ValueError, match="broadcast"):
            np.add(z, 1, out=out)


def test_read_only_handles_are_not_written() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.save(store, np.arange(6.0))
    z = ndzarr.open_array(store)
    with pytest.raises(ndzarr.ReadOnlyError):
        z += 1
    np.testing.assert_array_equal(z[...], np.arange(6.0))


def test_a_result_above_the_limit_is_refused_before_anything_is_read() -> None:
    z, store = counting(floats((32, 32)), (8, 8))
    with ndzarr.options(max_result=1000, working_memory=1):
        for call in (
            lambda: z + 1,
            lambda: np.sin(z),
            lambda: np.cumsum(z),
            lambda: np.add.outer(z, [1, 2]),
            lambda: np.round(z),
        ):
            with pytest.raises(ndzarr.MemoryLimitError, match="out="):
                call()
        assert not store.log
        np.sin(z, out=z)


def test_half_of_the_free_memory_is_the_limit() -> None:
    z = ndzarr.create_array(None, shape=(1 << 40,), dtype="f8", chunks=(1 << 17,))
    with pytest.raises(ndzarr.MemoryLimitError, match="half of the memory that is free"):
        z + 1
    with pytest.raises(ndzarr.MemoryLimitError, match="half of the memory that is free"):
        z[...]


@pytest.mark.parametrize("call", ["add", "where", "self"])
def test_memory_stays_under_the_cap(call: str) -> None:
    side = 7424
    made = [ndzarr.create_array(None, shape=(side, side), dtype="f4", chunks=(256, 256), compressor="zstd") for _ in range(2)]
    z, out = made
    z[...] = np.broadcast_to(np.arange(side, dtype="f4"), (side, side))
    assert z.nbytes > 50 * CAP
    row = np.ones(side, "f4")
    np.add(z.lazy[:10], row, out=out.lazy[:10])  # what is loaded at first use is not the function's
    with ndzarr.options(working_memory=CAP, workers=2):
        tracemalloc.start()
        start = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        if call == "add":
            np.add(z, row, out=out)
        elif call == "self":
            z += row
        else:
            np.negative(z, out=out, where=row > 0)
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # What the store holds now (the encoded chunks) is no memory of the function's.
    assert peak - max(now - start, 0) - start < CAP
    np.testing.assert_array_equal((z if call == "self" else out)[5, :4], [1, 2, 3, 4] if call != "where" else [0, -1, -2, -3])
