"""Failures that pass are tried again, all others raised at once, none becomes a missing key: with real clients on sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ndzarr._typing import ByteRange
from ndzarr.errors import StoreError
from ndzarr.stores import retries
from ndzarr.stores.base import Store
from ndzarr.stores.retries import ShortBodyError, Tries, causes, passes, status_of, was_not_done
from tests.servers.faulty import CLIENTS, VALUE, Faulty, http, obstore, s3fs, serving

pytestmark = pytest.mark.once

PASSING = [408, 429, 500, 503, "reset", "short", "hang"]
PERMANENT = [400, 401, 403, 405, 410, 501]


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    with serving() as server:
        yield server


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def client(request: pytest.FixtureRequest, faulty: Faulty) -> Store:
    """A store whose server is `faulty`."""
    make: Callable[[str], Store] = request.param
    return make(f"http://127.0.0.1:{faulty.server_address[1]}")


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again(client: Store, faulty: Faulty, fault: Any) -> None:
    faulty.fails(fault, 2 if fault != "hang" else 1)
    assert _bytes(client.get("k")) == VALUE
    faulty.fails(fault, 1)
    assert _bytes(client.get("k", ByteRange(10, 30))) == VALUE[10:30]
    faulty.fails(fault, 1)
    assert [_bytes(value) for value in client.get_many([("k", None), ("none", None), ("k", ByteRange(-7))])] == [
        VALUE,
        None,
        VALUE[-7:],
    ]
    assert faulty.times == 0


@pytest.mark.parametrize("fault", [*PERMANENT, *PASSING])
def test_no_failure_becomes_a_missing_key(client: Store, faulty: Faulty, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tries.__init__, "__defaults__", (0.4,))
    assert client.get("none") is None  # so that what is slow once has been
    faulty.fails(fault)
    calls = [
        lambda: client.get("k"),
        lambda: client.get("k", ByteRange(0, 5)),
        lambda: client.get_many([("k", None), ("none", None)]),
        lambda: list(client.get_each([("k", None), ("none", None)])),
        lambda: client.get_tagged("none"),
    ]
    for call in calls if fault in PERMANENT else calls[1:3]:
        faulty.seen.clear()
        start = time.monotonic()
        with pytest.raises(StoreError) as caught:
            call()
        assert time.monotonic() - start < 5
        assert caught.value.key in ("k", "none")
        assert caught.value.store == client.url
        if fault in PERMANENT:
            assert caught.value.tries == 1
        elif fault != "hang" and not (fault == "short" and client.url.startswith("az:")):  # adlfs reads a body thrice by itself
            assert caught.value.tries is not None
            assert caught.value.tries > 1
            assert "tried" in str(caught.value)
    assert list(client.get_each([])) == []


@pytest.mark.parametrize("fault", [500, 503, "reset"])
@pytest.mark.parametrize("make", [s3fs, obstore])
def test_writes_that_may_be_repeated_are(make: Any, faulty: Faulty, fault: Any) -> None:
    store = make(f"http://127.0.0.1:{faulty.server_address[1]}")
    faulty.fails(fault, 2)
    store.set("k", b"1")
    faulty.fails(fault, 2)
    store.delete("k")
    faulty.fails(fault, 2)
    store.set_many({"k": b"1", "x/k": b"2"})
    assert faulty.times == 0


@pytest.mark.parametrize("make", [s3fs, obstore])
def test_a_condition_is_not_sent_twice_unless_it_was_not_done(make: Any, faulty: Faulty) -> None:
    store = make(f"http://127.0.0.1:{faulty.server_address[1]}")
    # aiohttp itself sends a PUT again on a new connection where one that was kept is closed.
    for fault in (500, "reset") if make is obstore else (500,):
        faulty.fails(fault, 1)
        with pytest.raises(StoreError):
            store.set_if("k", b"1", tag=None)
        assert [verb for verb, _ in faulty.seen] == ["PUT"], fault
    for fault in (429, 503):
        faulty.fails(fault, 1)
        assert store.set_if("k", b"1", tag=None) is True
        assert [verb for verb, _ in faulty.seen] == ["PUT", "PUT"], fault
    faulty.fails(412, 1)
    assert store.set_if("k", b"1", tag=None) is False


@pytest.mark.parametrize("make", [s3fs, http])
def test_a_server_that_asks_for_time_gets_it(make: Any, faulty: Faulty) -> None:
    store = make(f"http://127.0.0.1:{faulty.server_address[1]}")
    faulty.fails(503, 1, Retry_After="1")
    start = time.monotonic()
    assert _bytes(store.get("k")) == VALUE
    assert time.monotonic() - start > 0.9
    faulty.fails(503, Retry_After="3600")
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"503|Service|Fault|told"):
        store.get("k")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("make", CLIENTS)
def test_a_port_where_nobody_listens_is_told_at_once(make: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        store = make(f"http://127.0.0.1:{probe.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(StoreError) as caught:
            store.get("k")
        assert time.monotonic() - start < 5
        assert caught.value.tries == 1


# ---- the policy alone --------------------------------------------------------------------------------------------------------


class ResponseError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def test_what_passes_is_told_along_the_causes() -> None:
    for error in (TimeoutError(), ConnectionResetError(), ShortBodyError(), OSError(110, "timed out"), ResponseError(502)):
        wrapped = OSError("wrapped")
        wrapped.__cause__ = error
        assert passes(error), error
        assert passes(wrapped), error
        assert list(causes(wrapped)) == [wrapped, error]
    for error in (
        PermissionError(),
        OSError(2, "gone"),
        ResponseError(403),
        ResponseError(501),
        ValueError("timed out"),
        KeyError("k"),
    ):
        assert not passes(error), error
    loop = OSError("a")
    loop.__cause__ = inner = OSError("b")
    inner.__cause__ = loop
    assert not passes(loop)
    assert status_of(ResponseError(429)) == 429
    assert was_not_done(ResponseError(503))
    assert not was_not_done(ResponseError(500))


def test_time_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(retries.time, "monotonic", lambda: now[0])
    tries = Tries()
    while (pause := tries.pause_s(ResponseError(503))) is not None:
        assert 0 < pause <= 5
        now[0] += pause
    assert now[0] <= 30
    assert 8 < tries.count < 20
    counted = tries.counted(StoreError("it failed"))
    assert counted.tries == tries.count
    assert f"tried {tries.count} times" in str(counted)


def test_how_long_a_server_asks_for() -> None:
    assert 7 <= (Tries().pause_s(ResponseError(503, Retry_After="7")) or 0) < 7.1
    assert Tries().pause_s(ResponseError(503, Retry_After="31")) is None
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 10))
    assert 8 < (Tries().pause_s(ResponseError(503, Retry_After=soon)) or 0) < 11
    assert (Tries().pause_s(ResponseError(503, Retry_After="soon")) or 9) < 1


def test_what_is_told_holds_no_credentials() -> None:
    error = OSError("GET http://user:hunter2@host/a?sig=hunter2&x=1 failed" + "x" * 5000)
    assert "hunter2" not in retries.told(error)
    assert retries.told(error).startswith("OSError: GET http://host/a?... failed")
    assert len(retries.told(error)) < 500


def test_a_conflict_is_tried_a_few_times() -> None:
    tries = Tries()
    while tries.pause_s(ResponseError(409)) is not None:
        pass
    assert tries.count == 5
    assert Tries().pause_s(ResponseError(409), idempotent=False) is None
