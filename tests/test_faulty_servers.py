"""Promises P8 and P9 on whole arrays: six kinds of faults that pass, ten and more that stay, from each client; no fill values.

Servers are real sockets. The short run has half a second for an operation in place of 30; the long one (`slow`) has all 30.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.stores.base import Store
from ndzarr.stores.retries import LIMIT_S, Tries
from tests.servers.faulty import CLIENTS, Faulty, http, obstore, obstore_http, s3fs, serving

pytestmark = pytest.mark.once

VALUES = np.arange(1, 145, dtype="<i4").reshape(12, 12)
LAYOUTS: dict[str, dict[str, Any]] = {
    "raw": {"compressor": None, "chunks": (6, 6)},
    "zstd": {"compressor": "zstd", "chunks": (6, 6)},
    "shards": {"compressor": "zstd", "chunks": (3, 3), "shards": (6, 6)},
}
#: What passes, as (fault, headers): each is done to the first two requests.
PASSING: dict[str, list[tuple[Any, dict[str, str]]]] = {
    "408": [(408, {})],
    "429 with Retry-After": [(429, {"Retry_After": "0"}), (429, {})],
    "500, 502, 503, 504": [(500, {}), (502, {}), (503, {}), (504, {})],
    "a reset": [("reset", {})],
    "a short body": [("short", {})],
    "no answer": [("hang", {})],
}
#: What stays, of servers that answer.
STAYING: dict[str, Any] = {
    "400": 400,
    "401": 401,
    "403": 403,
    "405": 405,
    "416 for what is there": 416,
    "501": 501,
    "500 for ever": 500,
    "a short body for ever": "short",
    "a reset for ever": "reset",
    "no answer for ever": "hang",
    "a redirect to itself": "redirect",
}
#: What a test may take longer on a machine that has much else to do.
_SLACK_S = 5.0
READS: dict[str, Any] = {"all": np.s_[...], "a point": np.s_[7, 8], "rows": np.s_[2:9:3]}


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    with serving() as server:
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for an operation."""
    monkeypatch.setattr(Tries.__init__, "__defaults__", (0.5,))


def stored(layout: str) -> dict[str, bytes]:
    memory = ndzarr.MemoryStore()
    z = ndzarr.create_array(memory, shape=VALUES.shape, dtype="<i4", fill_value=-1, **LAYOUTS[layout])
    z[...] = VALUES
    return {key: bytes(memory.get(key) or b"") for key in memory.list()}


def opened(make: Callable[[str], Store], server: Faulty) -> Store:
    return make(f"http://127.0.0.1:{server.server_address[1]}")


#: Each client and fault in the long run; in the short one, a client of either kind.
EVERY = [
    pytest.param(make, id=make.__name__, marks=() if make in (s3fs, obstore_http) else pytest.mark.slow) for make in CLIENTS
]
PASSED = "count: pairs of a client and a fault that passes, all values right"
STAYED = "count: pairs of a client and a fault that stays, an error each, no fill values"


def passes(make: Callable[[str], Store], server: Faulty, kind: str, layout: str, times: int) -> None:
    """Open an array and read it in several ways, through a fault at each."""
    server.values = stored(layout)
    for fault, headers in PASSING[kind]:
        server.fails(fault, times, **headers)
        z = ndzarr.open_array(opened(make, server))
        for index in READS.values() if fault != "hang" else [...]:  # each has to be waited for
            server.fails(fault, times, **headers)
            np.testing.assert_array_equal(z[index], VALUES[index])
            assert server.times == 0


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("make", EVERY)
def test_what_passes_gives_the_values(
    make: Callable[[str], Store], kind: str, faulty: Faulty, record_property: Callable[[str, object], None]
) -> None:
    passes(make, faulty, kind, "zstd", 1)
    record_property(PASSED, 1)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("make", CLIENTS, ids=lambda make: make.__name__)
def test_what_fails_twice_gives_the_values(make: Callable[[str], Store], kind: str, layout: str, faulty: Faulty) -> None:
    passes(make, faulty, kind, layout, 2 if kind != "no answer" else 1)


def surfaced(act: Callable[[], Any], limit_s: float, *classes: type[ndzarr.NdzarrError]) -> None:
    """Raise unless `act` ends with an error of the store within the limit: never a missing key, let alone values."""
    start = time.monotonic()
    with pytest.raises((ndzarr.StoreError, *classes)) as caught:
        act()
    assert time.monotonic() - start < limit_s
    error = caught.value
    assert not isinstance(error, ndzarr.NodeNotFoundError)
    assert error.store
    assert error.key
    assert isinstance(error, ndzarr.DataError) or (error.tries or 0) >= 1


def stays(make: Callable[[str], Store], server: Faulty, fault: Any, limit_s: float, layout: str, reads: dict[str, Any]) -> None:
    """See that reads of an array fail as they should, and opening it."""
    server.values = stored(layout)
    server.times = 0
    z = ndzarr.open_array(opened(make, server))
    server.fails(fault)
    # 416 says that there is less than was asked for, as it is with an object of no bytes; then it is that which is damaged.
    classes = (ndzarr.DataError,) if fault == 416 else ()
    for index in reads.values():
        surfaced(partial(z.__getitem__, index), limit_s, *classes)
    surfaced(partial(ndzarr.open, z.store), limit_s, *classes)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", STAYING)
@pytest.mark.parametrize("make", EVERY)
def test_what_stays_is_an_error(make: Callable[[str], Store], kind: str, faulty: Faulty) -> None:
    waits = STAYING[kind] in (500, "short", "reset", "hang")
    for layout in ("zstd",) if waits else LAYOUTS:
        stays(make, faulty, STAYING[kind], 10.0, layout, {"all": ...} if waits else READS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STAYING)
def test_what_stays_is_an_error_within_30_s(kind: str, record_property: Callable[[str, object], None]) -> None:
    """Each client against a server of its own, all at the same time: what is tried for 30 s is."""

    def one(make: Callable[[str], Store]) -> None:
        with serving() as server:
            stays(make, server, STAYING[kind], LIMIT_S + _SLACK_S, "zstd", {"all": ...})

    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        list(pool.map(one, CLIENTS))
    record_property(STAYED, len(CLIENTS))


@pytest.mark.parametrize("make", CLIENTS, ids=lambda make: make.__name__)
def test_a_page_in_the_place_of_anything_is_damage(make: Callable[[str], Store], faulty: Faulty) -> None:
    for layout in LAYOUTS:
        faulty.values = stored(layout)
        faulty.times = 0
        z = ndzarr.open_array(opened(make, faulty))
        faulty.fails("page")
        for index in READS.values():
            if layout == "raw" and index == READS["a point"]:
                continue  # four bytes of a page are as good as any
            with pytest.raises((ndzarr.CorruptChunkError, ndzarr.StoreError)):
                z[index]
        with pytest.raises((ndzarr.MetadataError, ndzarr.StoreError)):
            ndzarr.open(z.store)


# ---- servers that do not answer at all ---------------------------------------------------------------------------------------


def _nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


UNREACHABLE: dict[str, Callable[[Faulty], str]] = {
    "a port where nobody listens": lambda server: f"http://{_nobody()}",
    "a name that nobody has": lambda server: "http://no-such-host.invalid",
    "no TLS where it is expected": lambda server: f"https://127.0.0.1:{server.server_address[1]}",
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", UNREACHABLE)
@pytest.mark.parametrize("make", [s3fs, http, obstore, obstore_http], ids=lambda make: make.__name__)
def test_who_cannot_be_reached_is_an_error(
    make: Callable[[str], Store], kind: str, faulty: Faulty, record_property: Callable[[str, object], None]
) -> None:
    store = make(UNREACHABLE[kind](faulty))
    meta = ndzarr.create_array(ndzarr.MemoryStore(), shape=(4,), dtype="<i4", fill_value=-1).metadata
    z = ndzarr.ZArray(store, "", meta)
    for act in (lambda: z[...], lambda: z[0], lambda: ndzarr.open(store)):
        surfaced(act, 15.0)
    record_property(STAYED, 1)
