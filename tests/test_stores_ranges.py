"""Ranges asked for together, and coroutines on the loop of a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import pytest
from hypothesis import given, strategies as st

from ndzarr._typing import ByteRange
from ndzarr.stores.loops import each, own_loop, run
from ndzarr.stores.ranges import merged

VALUE = bytes(range(256)) * 8

_range = st.one_of(
    st.none(),
    st.builds(ByteRange, st.integers(0, 2100), st.integers(0, 2100)),
    st.builds(ByteRange, st.integers(-2100, 2100)),
)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "none"]), _range), max_size=12),
    st.integers(0, 300),
    st.integers(1, 700),
)
def test_every_request_is_answered_once(requests: list[tuple[str, ByteRange | None]], gap: int, most: int) -> None:
    store = {"a": VALUE, "b": VALUE[::-1]}
    found = {}
    fetches = merged(requests, gap, most)
    for fetch in fetches:
        value = store.get(fetch.key)
        if value is not None and fetch.range is not None:
            value = value[fetch.range[0] : fetch.range[1]]
        for number, answer in fetch.answers(value):
            assert number not in found
            found[number] = None if answer is None else bytes(answer)
        if fetch.parts is not None:
            assert fetch.range is not None
            assert fetch.range[1] - fetch.range[0] <= max(most, *(stop - start for _, start, stop in fetch.parts))
    want = [(v := store.get(key)) and (v if range is None else v[range[0] : range[1]]) for key, range in requests]
    assert [found[n] for n in range(len(requests))] == want
    assert len(fetches) <= len(requests)


def test_what_is_close_is_one() -> None:
    requests = [("a", ByteRange(n * 10, n * 10 + 4)) for n in range(50)]
    assert len(merged(requests)) == 1
    assert len(merged(requests, gap=5)) == 50
    assert len(merged(requests, most=100)) == 5
    assert len(merged([("a", ByteRange(0, 5)), ("b", ByteRange(5, 9))])) == 2


def test_a_coroutine_runs_on_the_loop() -> None:
    async def where() -> int:
        return threading.get_ident()

    assert run(own_loop(), where()) != threading.get_ident()
    assert own_loop() is own_loop()

    async def within() -> None:
        with pytest.raises(RuntimeError, match="own event loop"):
            run(own_loop(), where())
        with pytest.raises(RuntimeError, match="own event loop"):
            next(each(own_loop(), [where], 1))

    run(own_loop(), within())


def test_each_streams_and_gives_up_the_rest() -> None:
    started: list[int] = []

    async def work(n: int) -> int:
        started.append(n)
        await asyncio.sleep(0.001 if n < 4 else 0.05)
        return n * n

    jobs = [partial(work, n) for n in range(100)]
    assert sorted(each(own_loop(), jobs[:4], 2)) == [(n, n * n) for n in range(4)]
    stream = each(own_loop(), jobs, 3)
    next(stream)
    stream.close()
    time.sleep(0.1)
    assert len(started) < 30


def test_the_first_failure_stops_the_rest() -> None:
    ended: list[int] = []

    async def work(n: int) -> None:
        if n == 2:
            raise ValueError("two")
        try:
            await asyncio.sleep(0.01)
        finally:
            ended.append(n)

    before = len(ended)
    with pytest.raises(ValueError, match="two"):
        list(each(own_loop(), [partial(work, n) for n in range(100)], 3))
    assert len(ended) - before < 10
