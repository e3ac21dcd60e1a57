"""Runs that are taken in from files."""

import asyncio

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.settings import Settings

OPTIONS = AppOptions(is_in_memory=True, is_offline=True)
AGENT = Agent("a", model="demo")


async def opened(*agents: Agent) -> App:
    """An app of its own."""
    return await asyncio.to_thread(lambda: App(Settings(metrics=False), agents=agents, options=OPTIONS))


async def test_a_run_that_is_taken_in_is_pinned() -> None:
    """A run from a file is pinned where it is new, and can be let go; where it is already nothing is changed."""
    async with await opened(AGENT) as home:
        view = await home.run("a", "hello")
        raw = await home.exports.export(view.id)
        await home.exports.import_file(raw)
        assert not (await home.pins.get(view.id)).is_pinned
    async with await opened() as elsewhere:
        assert (await elsewhere.exports.import_file(raw)).ended_at == view.ended_at
        assert (await elsewhere.pins.get(view.id)).is_pinned
        await elsewhere.pins.unpin(view.id)
        await elsewhere.exports.import_file(raw)
        assert not (await elsewhere.pins.get(view.id)).is_pinned
