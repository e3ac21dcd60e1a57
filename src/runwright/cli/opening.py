"""Opens what commands reach: the data directory, or a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from runwright.cli.access import Access
from runwright.errors import StorageFull, StorageReadOnly

if TYPE_CHECKING:
    from runwright.agents.agent import Agent
    from runwright.settings import Settings


@asynccontextmanager
async def local(settings: Settings, sources: Sequence[str], *, agents: Sequence[Agent] = ()) -> AsyncGenerator[Access]:
    """The data directory, opened by this process for this command, which may bring agents of its own."""
    from runwright.app import App

    async with App(settings, sources=sources, agents=agents) as app:
        yield app


@asynccontextmanager
async def local_to_read(
    settings: Settings, sources: Sequence[str], *, note: Callable[[str], None]
) -> AsyncGenerator[Access]:
    """The data directory for a command that only looks; `note` is told when it cannot be written."""
    from runwright.app import DATABASE, App, AppOptions

    async with AsyncExitStack() as stack:
        try:
            app = await stack.enter_async_context(App(settings, sources=sources))
        except (StorageReadOnly, StorageFull):
            if not (settings.data / DATABASE).is_file():
                raise
            reading = App(settings, sources=sources, options=AppOptions(is_read_only=True))
            app = await stack.enter_async_context(reading)
            note(f"The data directory {str(settings.data)!r} cannot be written: this is what it holds.")
        yield app


@asynccontextmanager
async def remote(settings: Settings) -> AsyncGenerator[Access]:
    """The server that the settings name."""
    from runwright.cli.remote import connect

    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    async with connect(settings.server or "", key=key) as server:
        yield server
