"""The HTTP server: which routes there are, what stands before them, and how it starts and stops."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from runwright import __version__
from runwright.errors import ConfigError
from runwright.server import (
    agents,
    approvals,
    budgets,
    cache,
    chains,
    costs,
    groups,
    guard,
    memory,
    openai,
    ops,
    pins,
    redis,
    replays,
    runs,
    schedules,
    stats,
    threads,
)
from runwright.server.auth import Auth, check_bind
from runwright.server.fast import FastRoutes
from runwright.server.live import LIVE_PATH, LiveStream
from runwright.server.login import PATH as LOGIN
from runwright.server.login import Login
from runwright.server.problems import Problems, reraise
from runwright.server.reference import document, page
from runwright.server.sessions import Sessions
from runwright.server.sse import Streams
from runwright.studio import Studio

if TYPE_CHECKING:
    from runwright.app import App

BACKLOG = 2048
CLOSE_S = 3
"""Seconds that connections get to finish after the runs have."""

KEEP_ALIVE_S = 75
"""Seconds that an idle connection stays open: longer than the 60 after which proxies and pools drop theirs.

A server that closes first resets a request which is on its way.
"""

GC_THRESHOLDS = (20_000, 20, 50)
"""Runs make few cycles: the default of 700 new objects lets the collector take a tenth of the time."""

OnStart = Callable[[str, str | None], None]

HANDLED = (signal.SIGINT, signal.SIGTERM)


def create_server(app: App, *, host: str | None = None) -> FastAPI:
    """The ASGI application of an open App. `host` is the address it will be reached at."""
    host = host or app.settings.host
    check_bind(host, app.settings.api_key)
    streams = Streams(heartbeat_s=app.settings.heartbeat_s)
    key, prefix = app.settings.api_key, app.settings.root_path
    sessions = Sessions(key.get_secret_value()) if key and key.get_secret_value() else None
    studio = Studio(prefix=prefix, has_key=sessions is not None)
    fast = [
        Route(runs.START_PATH, runs.StartRun(app.runs, streams, runs.read_run), methods=["POST"]),
        Route(chains.CHAIN_PATH, runs.StartRun(app.runs, streams, chains.read_chain), methods=["POST"]),
        Route(chains.PARALLEL_PATH, runs.StartRun(app.runs, streams, chains.read_parallel), methods=["POST"]),
        Route(replays.REPLAY_PATH, runs.StartRun(app.runs, streams, replays.read_replay), methods=["POST"]),
        Route(replays.FORK_PATH, runs.StartRun(app.runs, streams, replays.read_fork), methods=["POST"]),
        Route(openai.CHAT_PATH, openai.Chat(app.runs, app.registry, streams), methods=["POST"]),
        Route(runs.EVENTS_PATH, runs.RunEvents(app.runs, streams), methods=["GET"]),
    ]
    server = FastAPI(
        title="Runwright",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # Outermost first.
        middleware=[
            Middleware(Problems, studio=studio, root_path=prefix),
            Middleware(Auth, sessions=sessions, host=host, hosts=app.settings.hosts),
            Middleware(FastRoutes, routes=fast),
        ],
        exception_handlers={HTTPException: reraise, RequestValidationError: reraise},
    )
    server.state.app = app
    server.state.started = int(time.time())
    server.state.streams = streams
    server.state.sessions = sessions
    # Known to the router too, so that another method on their paths is told which ones there are.
    server.router.routes += fast
    for part in (
        *(agents, runs, approvals, groups, costs, budgets, cache, redis, stats, guard, threads, memory, pins),
        *(schedules, openai, ops),
    ):
        server.include_router(part.router)
    server.router.routes += [Route(LIVE_PATH, LiveStream(app.live, app.runs, streams), methods=["GET"])]
    if sessions is not None:
        server.router.routes += Login(sessions, studio, prefix=prefix).routes()
    server.router.routes += studio.routes()
    _add_reference(server)
    return server


def _add_reference(server: FastAPI) -> None:
    @functools.cache
    def reference() -> dict[str, object]:
        return document(server, [*runs.FAST, *chains.FAST, *replays.FAST, *openai.FAST])

    async def openapi(_: Request) -> JSONResponse:
        return JSONResponse(reference())

    async def docs(_: Request) -> HTMLResponse:
        return HTMLResponse(page(reference()))

    server.openapi = reference
    server.add_route("/openapi.json", openapi, include_in_schema=False)
    server.add_route("/docs", docs, include_in_schema=False)


async def serve(app: App, *, host: str | None = None, port: int | None = None, on_start: OnStart | None = None) -> None:
    """Serve an open App until SIGTERM or SIGINT, then let its runs finish or leave them to the next start.

    `on_start` is handed the server's URL, and where there is a key a link that logs a browser in once. Raises
    ConfigError when the address cannot be had. Run it on uvloop.
    """
    host = host or app.settings.host
    server = create_server(app, host=host)
    config = uvicorn.Config(
        server,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
    )

    def started(url: str) -> None:
        sessions: Sessions | None = server.state.sessions
        login = sessions and f"{url}{app.settings.root_path}{LOGIN}?once={sessions.link()}"
        if on_start is not None:
            on_start(url, login)

    listener = listen(host, app.settings.port if port is None else port)
    try:
        await _Server(config, app, streams=server.state.streams, on_start=started).serve(sockets=[listener])
    finally:
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else str(error)
        raise ConfigError(
            f"Cannot listen on {host}:{port}: {reason}. Choose another address with --host or --port."
        ) from error


class _Server(uvicorn.Server):
    """uvicorn that drains the App before it closes connections, and leaves the end of the process to its caller."""

    def __init__(self, config: uvicorn.Config, app: App, *, streams: Streams, on_start: Callable[[str], None]) -> None:
        super().__init__(config)
        self._app = app
        self._streams = streams
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and set the collector aside from what lives as long as the process."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if sockets:
            self._on_start(_url(sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """New runs are refused while those at work finish; then streams are told, and connections close."""
        await self._app.drain()
        self._streams.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals ask for the end; uvicorn's own way would kill the process before the App has closed."""
        loop = asyncio.get_running_loop()
        for number in HANDLED:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in HANDLED:
                loop.remove_signal_handler(number)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
