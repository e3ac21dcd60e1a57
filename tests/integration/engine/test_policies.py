"""Policies from every place reach the calls that they are for."""

import asyncio
from typing import Any

import pytest

from runwright import Agent, App, Context, Guard, tool
from runwright.app import AppOptions
from runwright.guard import Timeout
from runwright.models import ModelRegistry
from runwright.settings import Settings

SOON = Guard(timeout=Timeout(total_s=0.01))
LATE = Guard(timeout=Timeout(total_s=600.0))
OPTIONS = AppOptions(is_in_memory=True, is_offline=True)


async def use(name: str, context: Context) -> str:
    """Use a tool that never answers."""
    await context.tool(name)
    return "done"


async def stuck() -> None:
    """Never answer."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("settings", "agent", "of_tool", "run"),
    [
        ({"timeout": {"total_s": 0.01}}, None, None, None),
        ({"timeout": {"total_s": 600}}, SOON, None, None),
        ({"tools": {"stuck": {"timeout": {"total_s": 0.01}}}}, LATE, LATE, None),
        ({}, LATE, SOON, None),
        ({"tools": {"stuck": {"timeout": {"total_s": 600}}}}, LATE, LATE, {"timeout": {"total_s": 0.01}}),
    ],
    ids=["app", "agent", "settings of the tool", "tool", "run"],
)
async def test_the_narrower_place_wins(
    settings: dict[str, Any], agent: Guard | None, of_tool: Guard | None, run: dict[str, Any] | None
) -> None:
    """The policy of the narrowest place that sets one holds: run, settings of the tool, tool, agent, app."""
    look = tool(effect="read", name="stuck", guard=of_tool)(stuck)
    made = Agent("a", run=use, tools=[look], guard=agent)
    config = {} if run is None else {"guard": run}
    models = ModelRegistry(default="demo")
    async with App(Settings(guard=settings), agents=[made], models=models, options=OPTIONS) as app:
        view = await app.run("a", "stuck", config=config)
    assert view.error is not None
    assert "did not answer within 0.01 s" in view.error.message
