"""Chunks far away: 500 objects of 64 KiB on an S3 server 20 ms away, read by ndzarr and others: `python asv_bench/remote.py`.

The server is versitygw, started as the tests start it (`.ci/run servers` installs it), behind a proxy that hands on what
clients send 20 ms later. All libraries ask the same server, in one run, one after the other in each round; medians are
compared. The measure of what can be had is obstore's own asynchronous gather of the same objects, not decoded.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from comparison.latency import far_away  # noqa: E402  # found by the path just set

os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
DELAY_S = 0.02
COUNT, CHUNK = 500, 16_384  # float32: 64 KiB
BUCKET, KEY, SECRET = "ndz", "ndzarr", "for-tests-only"


def main() -> None:
    import s3fs

    from tests.servers.run import Run

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    run = Run.own()
    try:
        server = run.server("versitygw")
        s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=server.url).mkdir(BUCKET)
        where = urllib.parse.urlsplit(server.url)
        with far_away(where.hostname or "", where.port or 0, DELAY_S) as port:
            compare(f"http://127.0.0.1:{port}", given.rounds)
    finally:
        run.end()


def compare(endpoint: str, rounds: int) -> None:
    jobs = readers(endpoint)
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            taken[name].append(time.perf_counter() - started)
    ours = statistics.median(taken["ndzarr, ObjectStore"])
    print(f"{COUNT} objects of 64 KiB, {DELAY_S * 1e3:.0f} ms away; medians of {rounds}")
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"{name:<32}{median * 1e3:>9.0f} ms{median / ours:>8.2f} x ndzarr")


def readers(endpoint: str) -> dict[str, Callable[[], Any]]:
    """What each library does: the whole array, or the bytes of its chunks."""
    import obstore
    import zarr
    from obstore.store import S3Store

    import ndzarr

    values = np.arange(COUNT * CHUNK, dtype="f4")
    url = f"s3://{BUCKET}/a.zarr"
    config: dict[str, Any] = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint": endpoint, "region": "us-east-1"}
    store = ndzarr.ObjectStore(url, conditional=False, **config)
    made = ndzarr.create_array(store, shape=values.shape, chunks=(CHUNK,), dtype="f4", compressor=None, zarr_format=2)
    made[...] = values
    s3fs = {"key": KEY, "secret": SECRET, "endpoint_url": endpoint}
    plain = S3Store(BUCKET, prefix="a.zarr", client_options={"allow_http": True}, **config)
    keys = [str(number) for number in range(COUNT)]

    async def gather() -> Any:
        async def one(key: str) -> Any:
            return await (await obstore.get_async(plain, key)).bytes_async()

        return await asyncio.gather(*map(one, keys))

    arrays = {
        "ndzarr, ObjectStore": ndzarr.open_array(store),
        "ndzarr, FsspecStore on s3fs": ndzarr.open_array(ndzarr.FsspecStore(url, **s3fs)),
        "zarr-python on obstore": zarr.open_array(zarr.storage.ObjectStore(plain, read_only=True), mode="r"),
        "zarr-python on s3fs": zarr.open_array(url, mode="r", storage_options=s3fs),
    }
    jobs: dict[str, Callable[[], Any]] = {"obstore's own gather": lambda: asyncio.run(gather())}
    for name, array in arrays.items():
        if not np.array_equal(array[...], values):
            raise SystemExit(f"{name} gives other values")
        jobs[name] = lambda array=array: array[...]
    return jobs


if __name__ == "__main__":
    main()
