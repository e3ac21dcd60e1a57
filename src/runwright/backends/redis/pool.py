"""The pool: connections to one Redis or Valkey server that all who use it share, and whether the server is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from hashlib import sha1
from typing import Any, Final

import msgspec

from runwright.core.pool import PoolStats
from runwright.errors import ConfigError, MissingExtra, StorageError

try:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.connection import AbstractConnection, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Disconnected
    from redis.exceptions import MaxConnectionsError, NoScriptError, RedisError
    from redis.exceptions import TimeoutError as TooSlow
except ImportError as error:
    raise MissingExtra("This needs the client of Redis, which is not installed: pip install 'runwright[redis]'.") from (
        error
    )

DEFAULT_PORT: Final = 6379
RETURN_S: Final = 0.5
"""Seconds between two looks whether a server that is away is back."""

_NO_CONNECTION = "No connection available."
_logger = logging.getLogger("runwright.redis")

Late = Callable[[Any], None]
"""Gets the answer of a command whose caller was cancelled meanwhile, None where there was none."""


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool is made. The URL may hold a password; it is never shown. Times are seconds.

    `wait_s` is how long a command waits for a connection, `timeout_s` for its answer. Connections that nobody used for
    `idle_s` are closed.
    """

    url: str
    max_connections: int = 16
    connect_timeout_s: float = 1.0
    timeout_s: float = 1.0
    wait_s: float = 1.0
    idle_s: float = 60.0


class Script:
    """A script in Lua, known to the server by its hash."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Connections(BlockingConnectionPool):
    """Counts what is taken and what is connected, and knows since when a connection is idle."""

    def __init__(self, *, on_connect: Callable[[], None], **options: Any) -> None:  # noqa: ANN401 - redis-py's own
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] - redis-py's own
        self._on_connect = on_connect
        self._idle_since: dict[int, float] = {}

    def make_connection(self) -> AbstractConnection:
        """A connection that tells when it is made, and each time that it is made anew."""
        made = super().make_connection()
        made.register_connect_callback(self._connected)  # pyright: ignore[reportUnknownMemberType] - redis-py's own
        return made

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back."""
        self._idle_since[id(connection)] = asyncio.get_running_loop().time()
        await super().release(connection)

    @property
    def available(self) -> int:
        """Open connections that nobody uses."""
        return sum(connection.is_connected for connection in self._available_connections)

    @property
    def in_use(self) -> int:
        """Connections that somebody uses."""
        return len(self._in_use_connections)

    async def close_idle(self, idle_s: float) -> int:
        """Close connections that nobody used for so long; how many."""
        until = asyncio.get_running_loop().time() - idle_s
        old = [each for each in self._available_connections if self._idle_since.get(id(each), until) <= until]
        for connection in old:
            # Out of the list at once: nobody takes it while it is closed.
            self._available_connections.remove(connection)
            self._idle_since.pop(id(connection), None)
        for connection in old:
            await connection.disconnect()
        return len(old)

    async def _connected(self, _connection: AbstractConnection) -> None:
        self._on_connect()


class RedisPool:
    """Connections to one server. Commands raise StorageError where the server cannot be asked.

    A server that does not answer is away: that is told once, commands fail at once meanwhile, and the pool looks by
    itself whether it is back. A command that was begun is always finished: when its caller is cancelled, nobody else
    gets its connection before its answer was read.
    """

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        kwargs = _parsed(options.url)
        self.host = str(kwargs.get("host", kwargs.get("path", "localhost")))
        self.port = int(kwargs.get("port", DEFAULT_PORT))
        self._connects = self._commands = self._idle_closed = 0
        self._connections = _Connections(
            on_connect=self._count_connect,
            **kwargs,
            max_connections=options.max_connections,
            timeout=options.wait_s,
            socket_timeout=options.timeout_s,
            socket_connect_timeout=options.connect_timeout_s,
            socket_keepalive=True,
            # A script that was sent may have acted: whoever calls decides what is sent again.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        # redis-py does not type what commands give.
        self._client: Any = Redis(connection_pool=self._connections)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tending: set[asyncio.Task[Any]] = set()
        self._away: str | None = None
        self._told = ""
        self._is_closed = False
        self._back: list[Callable[[], object]] = []

    @property
    def place(self) -> str:
        """Where the server is, without its password."""
        return f"{self.host}:{self.port}"

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer when it was asked last."""
        return self._away is not None

    async def open(self) -> None:
        """Look whether the server is there. It need not be."""
        self.tend(self._close_idle())
        try:
            await self.run("PING")
        except StorageError:
            # It was told; the pool goes on looking.
            return

    async def close(self) -> None:
        """Let commands that were begun be finished, and close all connections."""
        self._is_closed = True
        for task in self._tending:
            task.cancel()
        while begun := self._tasks | self._tending:
            await asyncio.wait(begun)
        await self._connections.aclose()

    async def quiet(self) -> None:
        """Wait until all that was begun is done, also what nobody waits for."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def when_back(self, tell: Callable[[], object]) -> None:
        """Call this when the server is there again."""
        self._back.append(tell)

    def stats(self) -> PoolStats:
        """What the pool is and did."""
        in_use, most = self._connections.in_use, self._options.max_connections
        return PoolStats(
            host=self.host,
            port=self.port,
            max_connections=most,
            available=self._connections.available,
            in_use=in_use,
            utilisation=in_use / most,
            reuse_ratio=max(0.0, 1 - self._connects / self._commands) if self._commands else 0.0,
            commands=self._commands,
            connects=self._connects,
            idle_closed=self._idle_closed,
            is_closed=self._is_closed,
            is_away=self.is_away,
            error=self._away or "",
        )

    async def run(self, *command: bytes | str | float, late: Late | None = None) -> Any:  # noqa: ANN401 - by command
        """Send a command and give its answer. Raises StorageError."""
        return await self._finish(self._sent(lambda: self._client.execute_command(*command)), late)

    async def run_all(self, commands: Sequence[Sequence[bytes | str | float]]) -> list[Any]:
        """Send commands together and give their answers in order. Raises StorageError."""

        async def send() -> list[Any]:
            async with self._client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute()

        return await self._finish(self._sent(send), None)

    async def script(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[bytes | str | float],
        *,
        late: Late | None = None,
    ) -> Any:  # noqa: ANN401 - by script
        """Run a script and give its answer. Raises StorageError."""

        async def send() -> Any:  # noqa: ANN401 - by script
            try:
                return await self._client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self._client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)

        return await self._finish(self._sent(send), late)

    def later(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have something done that nobody waits for; it is done before the pool is closed."""
        return _kept(work, self._tasks)

    def tend(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have something done that goes on until it is cancelled, or the pool is closed."""
        task = _kept(work, self._tending)
        if self._is_closed:
            # A command that ends meanwhile may have found the server away; nobody would end what looks for it.
            task.cancel()
        return task

    async def _finish(self, work: Coroutine[Any, Any, Any], late: Late | None) -> Any:  # noqa: ANN401 - by command
        """Wait for a command. It belongs to the pool, so that it is finished whoever gives up waiting."""
        if self._is_closed:
            work.close()
            raise StorageError("The pool is closed.", place=self.place)
        task = self.later(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: _end_late(done, late))
            raise

    async def _sent(self, send: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - by command
        if self._away is not None:
            raise self._error(self._away)
        self._commands += 1
        try:
            return await send()
        except RedisError as error:
            if _is_away(error):
                self._leave(str(error))
            elif str(error) != self._told:
                self._told = str(error)
                _logger.warning("Redis at %s refuses: %s", self.place, error)
            raise self._error(str(error)) from error

    def _error(self, why: str) -> StorageError:
        return StorageError(f"Redis cannot be asked: {why}", place=self.place)

    def _leave(self, why: str) -> None:
        if self._away is None:
            _logger.warning("Redis at %s is away: %s", self.place, why)
            self.tend(self._return())
        self._away = why

    async def _return(self) -> None:
        """Look again and again whether the server is there."""
        while True:
            try:
                await self._client.execute_command("PING")
            except RedisError as error:
                self._away = str(error)
            else:
                self._away = None
                self._told = ""
                _logger.warning("Redis at %s is back", self.place)
                for tell in self._back:
                    tell()
                return
            await asyncio.sleep(RETURN_S)

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(self._options.idle_s / 2)
            self._idle_closed += await self._connections.close_idle(self._options.idle_s)

    def _count_connect(self) -> None:
        self._connects += 1


class RedisPools:
    """The pools of an app: one for each server, whoever asks for it."""

    def __init__(self) -> None:
        self._pools: dict[tuple[object, ...], RedisPool] = {}

    async def pool(self, options: PoolOptions) -> RedisPool:
        """The open pool of a server: the one that is there, or a new one. Raises ConfigError."""
        parsed = _parsed(options.url)
        key = tuple(parsed.get(name) for name in ("host", "port", "path", "db", "username", "connection_class"))
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = RedisPool(options)
            await pool.open()
        return pool

    def stats(self) -> tuple[PoolStats, ...]:
        """What each pool is and did."""
        return tuple(pool.stats() for pool in self._pools.values())

    async def close(self) -> None:
        """Close all pools."""
        for pool in self._pools.values():
            await pool.close()


def _parsed(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:
        # The error of the parser may show a part of the URL.
        raise ConfigError(
            "The URL of Redis cannot be read: write redis://HOST:PORT/0, or rediss:// for TLS; a password goes before "
            "the host, as in redis://:PASSWORD@HOST."
        ) from None


def _is_away(error: RedisError) -> bool:
    if isinstance(error, MaxConnectionsError) or str(error) == _NO_CONNECTION:
        return False
    return isinstance(error, Disconnected | TooSlow)


def _kept(work: Coroutine[Any, Any, Any], tasks: set[asyncio.Task[Any]]) -> asyncio.Task[Any]:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def _end_late(task: asyncio.Task[Any], late: Late | None) -> None:
    is_answered = not task.cancelled() and task.exception() is None
    if late is not None:
        late(task.result() if is_answered else None)
