"""A server over a real App in memory, and a client that asks for pages as a browser does."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.models import ModelRegistry
from runwright.server import create_server
from runwright.server.sessions import Sessions
from runwright.settings import Settings

AGENTS = (Agent("support", model="demo", instructions="Be brief.", description="Answers."),)
BROWSER = {"accept": "text/html,application/xhtml+xml"}


class Site:
    """A client with its App, and the sessions of its server."""

    def __init__(self, app: App, client: httpx2.AsyncClient, sessions: Sessions | None) -> None:
        self.app = app
        self.client = client
        self._sessions = sessions

    @property
    def sessions(self) -> Sessions:
        """The sessions of a server with a key."""
        assert self._sessions is not None
        return self._sessions

    async def text(self, path: str, **headers: str) -> str:
        """A page that must be there."""
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text


Open = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def open_site() -> Open:
    """Opens a site with agents and settings of a test's own."""

    @asynccontextmanager
    async def opened(agents: Sequence[Agent] = AGENTS, **settings: Any) -> AsyncGenerator[Site]:
        options = AppOptions(is_in_memory=True)
        own = Settings(model="demo", heartbeat_s=0.05, drain_s=0, **settings)
        async with App(own, agents=agents, models=ModelRegistry(default="demo"), options=options) as app:
            server = create_server(app)
            transport = httpx2.ASGITransport(app=server)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=BROWSER) as client:
                yield Site(app, client, server.state.sessions)

    return opened


@pytest.fixture
async def site(open_site: Open) -> AsyncIterator[Site]:
    """A site with an agent that answers."""
    async with open_site() as opened:
        yield opened
