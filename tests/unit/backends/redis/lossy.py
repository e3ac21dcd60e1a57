"""A way to a server on which answers can be lost: what was asked is done, and nobody hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_MOST = 65_536


class Lossy:
    """Passes on what clients send. While `losing` is set, the answer is thrown away and the connection closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.is_losing = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while data := await reader.read(_MOST):
                to_server.write(data)
                answer = await from_server.read(_MOST)
                if self.is_losing:
                    return
                writer.write(answer)
        finally:
            to_server.close()
            writer.close()


@asynccontextmanager
async def lossy(port: int) -> AsyncGenerator[Lossy]:
    """A way to the server at a port of this machine."""
    way = Lossy(port)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield way
    finally:
        server.close()
