"""A server as if it were far away: a proxy that hands on every byte so many seconds later, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def far_away(host: str, port: int, delay: float) -> Iterator[int]:
    """The port, on 127.0.0.1, of a proxy of a server; what a client sends reaches the server `delay` seconds later."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(
            lambda reader, writer: _join(reader, writer, host, port, delay), "127.0.0.1", 0, backlog=1024
        )

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, delay: float) -> None:
    far_reader, far_writer = await asyncio.open_connection(host, port)
    await asyncio.gather(_hand_on(reader, far_writer, delay), _hand_on(far_reader, writer, 0.0))


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(1 << 18):
            if delay:
                loop.call_later(delay, writer.write, data)  # in order: equal delays
            else:
                writer.write(data)
                await writer.drain()
    except OSError:
        pass  # the other side has hung up
    loop.call_later(delay, writer.close)
